// The page in real Chromium; started by check_page.sh, which says where everything is.
"use strict";
const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");
const { chromium } = require("playwright-core");

const { CHROMIUM, ADDRESS, OUT, ADMIN, SERVER } = process.env;
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const SHARK = "a shark frightens the bathers of a small beach town in the 70s, not a comedy";

let browser;
const shot = (page, name) => page.screenshot({ path: path.join(OUT, `${name}.png`), fullPage: true });

async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.elsewhere = [];
  page.faults = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(ADDRESS) && !request.url().startsWith("blob:")) page.elsewhere.push(request.url());
  });
  page.on("pageerror", (error) => page.faults.push(String(error)));
  page.on("console", (message) => {
    // A status of 4xx is logged by the browser itself.
    if (message.type() === "error" && !message.text().includes("Failed to load resource")) page.faults.push(message.text());
  });
  await page.goto(ADDRESS);
  return page;
}

async function ask(page, text) {
  await page.getByLabel("Describe it in your own words").fill(text);
  await page.getByRole("button", { name: "Find it" }).click();
  await page.waitForSelector("article.film");
}

/** No serious finding of axe. The policy of the page forbids added scripts, so it is run outside of it. */
async function accessible(page, where) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const bad = found.violations.filter((violation) => ["serious", "critical"].includes(violation.impact));
  for (const violation of found.violations) {
    console.log(`  axe, ${where}: ${violation.impact}: ${violation.id}: ${violation.nodes.map((node) => node.target).join(" ")}`);
  }
  assert.deepStrictEqual(bad.map((violation) => `${violation.id}: ${violation.nodes.map((node) => node.failureSummary)}`), [], where);
}

async function done(page) {
  assert.deepStrictEqual(page.elsewhere, [], "requests to others");
  assert.deepStrictEqual(page.faults, [], "faults in the page");
  await page.context().close();
}

async function fits(page) {
  const [inside, outside] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(inside <= outside, `the page is ${inside} wide in a window of ${outside}`);
}

const tests = {
  async "search, why, compare, like, around"() {
    const page = await open();
    await accessible(page, "beginning");
    await shot(page, "beginning");
    await ask(page, SHARK);
    const first = page.locator("article.film").first();
    assert.match(await first.locator("h2").innerText(), /Jaws/);
    assert.match(await page.locator("#status").innerText(), /best 10 among/);
    assert.ok(await first.locator("p.overview mark").count() > 0, "no word is marked");
    await accessible(page, "films");
    await shot(page, "films");

    await first.getByRole("button", { name: "Why", exact: true }).click();
    const panel = first.locator(".panel:not([hidden])");
    const numbers = (await panel.locator(".bars li:not(.total) .number").allInnerTexts()).map((text) => Number(text.replace("−", "-")));
    const total = Number(await panel.locator(".bars li.total .number").innerText());
    const sum = numbers.reduce((a, b) => a + b, 0);
    assert.ok(numbers.length >= 4 && Math.abs(sum - total) < 0.0006 * (numbers.length + 20), `${sum} is not ${total}`);
    assert.ok(await panel.locator(".said mark").count() > 0, "nothing is marked in the question");
    await accessible(page, "why");
    await first.screenshot({ path: path.join(OUT, "why.png") });

    await first.getByRole("button", { name: "Compare" }).click();
    await panel.locator(".bars").waitFor();
    assert.equal(await first.locator(".panel:not([hidden])").count(), 1, "one panel at a time");
    assert.match(await panel.locator("h3").innerText(), /is ahead of/);
    await panel.getByLabel("Against").selectOption({ index: 2 });
    await page.waitForFunction(() => document.querySelector(".panel:not([hidden]) h3")?.textContent.includes("ahead"));
    const third = page.locator("article.film").nth(2);
    await third.getByRole("button", { name: "Compare" }).click();
    await third.locator(".panel .bars").waitFor();
    assert.match(await third.locator(".panel:not([hidden]) h3").innerText(), /^Not “.*because “/);
    await accessible(page, "compare");
    await third.screenshot({ path: path.join(OUT, "compare.png") });

    await first.getByRole("button", { name: "Around it" }).click();
    await panel.locator("svg").waitFor();
    await first.screenshot({ path: path.join(OUT, "around.png") });
    await first.getByRole("button", { name: "Like this" }).click();
    await panel.locator("ol.like li").first().waitFor();
    await accessible(page, "like");
    await panel.locator("ol.like button").first().click();
    await page.waitForFunction(() => document.querySelectorAll("article.film").length === 1);
    await done(page);
  },

  async "evidence is marked where it stands"() {
    const page = await open();
    await ask(page, "a japanese movie where poor farmers hire warriors to defend their village");
    const first = page.locator("article.film").first();
    await first.getByRole("button", { name: "Why", exact: true }).click();
    assert.deepStrictEqual(await first.locator(".said mark.evidence").allInnerTexts(), ["japanese"]);
    assert.ok(await first.locator(".bars .evidence q", { hasText: "japanese" }).count() > 0);
    await done(page);
  },

  async "chips are removed, made strict, and survive a reload"() {
    const page = await open();
    await ask(page, `${SHARK} year:1960..1999`);
    const chips = page.locator("#understood .chip");
    await page.getByRole("button", { name: "Remove filter: year 1960..1999" }).waitFor();
    await page.getByRole("button", { name: "Only films with not genre comedy" }).click();
    await page.getByRole("button", { name: /Remove filter: not genre comedy/i }).waitFor();
    assert.match(await page.locator("#status").innerText(), /of 414 films that pass/);
    await shot(page, "chips");
    await page.reload();
    await page.getByRole("button", { name: /Remove filter: not genre comedy/i }).click();
    await page.waitForFunction(() => !document.querySelector('[aria-label^="Remove filter: not genre"]'));
    const before = await chips.count();
    await page.getByRole("button", { name: /Leave out of the question: not genre comedy/ }).click();
    await page.waitForFunction((n) => document.querySelectorAll("#understood .chip").length < n, before);
    assert.ok(!(await page.getByLabel("Describe it in your own words").inputValue()).includes("comedy"));
    await page.getByRole("button", { name: "Remove filter: year 1960..1999" }).click();
    await page.waitForFunction(() => !document.querySelector('[aria-label^="Remove filter"]'));
    await done(page);
  },

  async "the question back narrows the films"() {
    const page = await open();
    await ask(page, "a man and a woman");
    const question = page.locator("#asked-back");
    await question.waitFor();
    const text = await question.locator("h2").innerText();
    await accessible(page, "question back");
    await shot(page, "question");
    await question.getByRole("button").first().click();
    await page.waitForFunction((old) => document.querySelector("#asked-back h2")?.textContent !== old || document.querySelector("#asked-back").hidden, text);
    assert.match(await page.locator("#status").innerText(), /that pass the filters/);
    await done(page);
  },

  async "more films, one after the other"() {
    const page = await open();
    await ask(page, "a man and a woman");
    await page.getByRole("button", { name: "Show more" }).click();
    await page.waitForFunction(() => document.querySelectorAll("article.film").length === 20);
    const places = await page.locator("h2 .place").allInnerTexts();
    assert.deepStrictEqual(places.map(Number), [...Array(20).keys()].map((n) => n + 1));
    await done(page);
  },

  async "with the keyboard alone"() {
    const page = await open();
    await page.waitForFunction(() => document.activeElement?.id === "query");
    await page.keyboard.type(SHARK);
    await page.keyboard.press("Enter");
    await page.waitForSelector("article.film");
    await page.keyboard.press("ArrowDown");
    const at = () => page.evaluate(() => document.activeElement.querySelector?.("h2 .place")?.textContent);
    assert.equal(await at(), "1");
    await page.keyboard.press("ArrowDown");
    assert.equal(await at(), "2");
    await page.keyboard.press("w");
    assert.equal(await page.locator("article.film").nth(1).locator(".panel:not([hidden]) .bars").count(), 1);
    await page.keyboard.press("w");
    assert.equal(await page.locator(".panel:not([hidden])").count(), 0);
    await page.keyboard.press("Escape");
    assert.equal(await page.evaluate(() => document.activeElement.id), "query");
    // By Tab alone to the first "Why", and open it.
    for (let n = 0; n < 60; n += 1) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(() => document.activeElement.textContent === "Why")) break;
    }
    await page.keyboard.press("Enter");
    assert.equal(await page.locator(".panel:not([hidden]) .bars").count(), 1);
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, "none", "the focus is not to be seen");
    await done(page);
  },

  async "titles while typing"() {
    const page = await open();
    await page.getByLabel("Describe it in your own words").pressSequentially("jwas", { delay: 20 });
    await page.getByRole("button", { name: "Jaws (1975)" }).click();
    await page.waitForSelector("article.film");
    assert.match(await page.locator("article.film h2").innerText(), /^Jaws/);
    await accessible(page, "one film");
    await done(page);
  },

  async "on a phone, and in the dark"() {
    const page = await open({ viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, colorScheme: "dark", hasTouch: true, isMobile: true });
    await fits(page);
    await ask(page, SHARK);
    await fits(page);
    await shot(page, "phone");
    const first = page.locator("article.film").first();
    for (const name of ["Why", "Compare", "Around it", "Like this"]) {
      await first.getByRole("button", { name, exact: true }).click();
      await first.locator(".panel:not([hidden]) h3").waitFor();
      await fits(page);
      if (name === "Why") await first.screenshot({ path: path.join(OUT, "phone_why.png") });
    }
    await accessible(page, "dark");
    await done(page);
    const wide = await open({ colorScheme: "dark" });
    await ask(wide, SHARK);
    await wide.locator("article.film").first().getByRole("button", { name: "Why", exact: true }).click();
    await shot(wide, "dark");
    await accessible(wide, "dark, wide");
    await done(wide);
  },

  async "the rendered API"() {
    const page = await open();
    await page.goto(`${ADDRESS}/docs`);
    assert.ok(await page.locator("section").count() >= 20);
    await accessible(page, "docs");
    await page.screenshot({ path: path.join(OUT, "docs.png") });
    await page.setViewportSize({ width: 360, height: 740 });
    await fits(page);
    await done(page);
  },

  async "what is wrong is said"() {
    const page = await open();
    const box = page.getByLabel("Describe it in your own words");
    const trouble = page.getByRole("alert");
    for (const [text, said] of [["", /no words/], ["xyzzyq", /No word of the query is known/], ["a shark genre:horor", /did you mean .Horror.\?/i]]) {
      await box.fill(text);
      await box.press("Enter");
      await page.waitForFunction((pattern) => new RegExp(pattern, "i").test(document.getElementById("trouble").textContent), said.source);
      assert.match(await trouble.innerText(), new RegExp(said.source, "i"));
    }
    await accessible(page, "trouble");
    await shot(page, "trouble");
    const answer = (status, code, message, headers) => ({
      status, contentType: "application/json", headers, body: JSON.stringify({ error: { code, message, hint: "try again" } }),
    });
    await page.route("**/v1/search", (route) => route.fulfill(answer(503, "busy", "64 requests wait already", { "Retry-After": "1" })), { times: 1 });
    await box.fill(SHARK);
    await box.press("Enter");
    await page.getByRole("button", { name: "Try again (after 1 s)" }).click();
    await page.waitForSelector("article.film");
    assert.equal(await trouble.innerText(), "");
    // A server that wants a key gets one.
    await page.route("**/v1/search", (route) => {
      if (route.request().headers().authorization === `Bearer ${ADMIN}`) route.continue();
      else route.fulfill(answer(401, "key_needed", "this needs a key that may read"));
    });
    await box.press("Enter");
    await page.getByLabel("Key", { exact: true }).fill(ADMIN);
    await accessible(page, "key");
    await page.getByRole("button", { name: "Use it" }).click();
    await page.waitForSelector("article.film");
    await done(page);
  },

  async "offline: the page stays, and says that nobody answers"() {
    const page = await open();
    await ask(page, SHARK);
    await page.context().setOffline(true);
    await page.getByRole("button", { name: "Find it" }).click();
    await page.getByRole("button", { name: "Try again" }).waitFor();
    assert.match(await page.getByRole("alert").innerText(), /does not answer/);
    await page.context().setOffline(false);
    await page.getByRole("button", { name: "Try again" }).click();
    await page.waitForSelector("article.film");
    // The server ends while the page is open.
    process.kill(Number(SERVER), "SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await page.getByRole("button", { name: "Find it" }).click();
    await page.getByRole("button", { name: "Try again" }).waitFor();
    await done(page);
  },
};

(async () => {
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  let failed = 0;
  for (const [name, test] of Object.entries(tests)) {
    const started = Date.now();
    try {
      await test();
      console.log(`ok: ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED: ${name}\n${error.stack ?? error}`);
      for (const context of browser.contexts()) {
        for (const page of context.pages()) await shot(page, `failed_${failed}`).catch(() => {});
        await context.close();
      }
    }
  }
  await browser.close();
  console.log(failed ? `${failed} tests failed` : `all ${Object.keys(tests).length} tests of the page passed; pictures in ${OUT}`);
  process.exit(failed ? 1 : 0);
})();
