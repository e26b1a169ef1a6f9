// The page of titlecard: one module, no framework, no request to anybody but the server it came from.

const $ = (id) => document.getElementById(id);
const PAGE = 10;
const EXAMPLES = [
  "black and white, a rich newspaper man dies alone in his huge house and nobody knows what his last word means, I think it was about a sled",
  "japanese movie where poor farmers hire warriors without a master to defend their village from bandits, it was really long",
  "it is the one with the shark that scares a beach town, the police chief hates water. Not a comedy, 70s",
];

/** What was asked, and what came of it. */
const state = { query: "", filters: [], asked: [], hits: [], answer: null, running: null };

// ---- Elements

/** An element with attributes, listeners (`onclick`) and children; text never becomes markup. */
function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/** The server counts bytes of UTF-8, the browser does not. */
class Bytes {
  constructor(text) { this.bytes = new TextEncoder().encode(text); }
  slice(start, end) { return new TextDecoder().decode(this.bytes.subarray(start, end)); }
  get length() { return this.bytes.length; }
}

/** `text` as nodes, with `spans` ({start, end, kind}) marked; where they overlap the first wins. */
function marked(text, spans) {
  const bytes = new Bytes(text);
  const nodes = [];
  let at = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start || b.end - a.end)) {
    if (span.start < at) continue;
    if (span.start > at) nodes.push(bytes.slice(at, span.start));
    nodes.push(el("mark", { class: span.kind }, bytes.slice(span.start, span.end)));
    at = span.end;
  }
  nodes.push(bytes.slice(at, bytes.length));
  return nodes;
}

/** Where `name` stands in `text` as whole words, whatever the case, in bytes. */
function places(text, name) {
  const found = [];
  if (!name || name.length < 3) return found;
  const escaped = name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])${escaped}(?![\\p{L}\\p{N}])`, "giu");
  const length = (part) => new TextEncoder().encode(part).length;
  for (const match of text.matchAll(pattern)) {
    const start = length(text.slice(0, match.index));
    found.push({ start, end: start + length(match[0]), kind: "evidence" });
  }
  return found;
}

// ---- The server

class Trouble extends Error {
  constructor(status, code, message, hint, retryAfter) {
    super(message);
    Object.assign(this, { status, code, hint, retryAfter });
  }
}

async function call(path, body, signal) {
  const headers = {};
  const key = sessionStorage.getItem("key");
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble(0, "no_answer", "The server does not answer.", "See whether it is running, then try again.");
  }
  let json = null;
  try { json = await response.json(); } catch { /* told below */ }
  if (response.ok && json) return json;
  const { code = "unknown", message = `The server answered ${response.status}.`, hint } = json?.error ?? {};
  throw new Trouble(response.status, code, message, hint, Number(response.headers.get("Retry-After")) || null);
}

/** A message of the server as a sentence. */
function sentence(text) {
  const quoted = text.replace(/`([^`]*)`/g, "“$1”");
  const first = quoted.charAt(0).toUpperCase() + quoted.slice(1);
  return /[.?!]$/.test(first) ? first : `${first}.`;
}

function showTrouble(error, again) {
  const parts = [el("p", {}, el("strong", {}, sentence(error.message)))];
  if (error.hint) parts.push(el("p", {}, sentence(error.hint)));
  if (error.status === 401) {
    const input = el("input", { id: "key", type: "password", required: true, autocomplete: "off" });
    const form = el("form", {
      onsubmit: (event) => {
        event.preventDefault();
        sessionStorage.setItem("key", input.value.trim());
        again();
      },
    }, el("div", {}, el("label", { for: "key" }, "Key"), input), el("button", { class: "plain", type: "submit" }, "Use it"));
    parts.push(form);
  } else if (again && (error.status === 0 || error.status === 429 || error.status >= 500)) {
    const wait = error.retryAfter ? ` (after ${error.retryAfter} s)` : "";
    parts.push(el("button", { class: "plain", type: "button", onclick: again }, `Try again${wait}`));
  }
  $("trouble").replaceChildren(...parts);
}

// ---- Posters: drawn of title and genre, the same for the same film

const TONES = {
  horror: ["#1d1416", "#6e1420", "#d9c9b4"], "science fiction": ["#0f2233", "#2c6e7f", "#e9d9a6"],
  comedy: ["#f0b43c", "#c9473a", "#fff3d6"], drama: ["#2d3142", "#8a6552", "#ead7c3"], romance: ["#7d2e46", "#d78a7e", "#f9e6d8"],
  western: ["#a8552f", "#e0a458", "#3a2318"], war: ["#3d4230", "#7a7a52", "#d9d2b0"], crime: ["#17191f", "#454d5f", "#d8c7a3"],
  thriller: ["#1c2230", "#7b3b2f", "#cfd3cf"], animation: ["#2c5d8a", "#f2c14e", "#fdf3dd"], family: ["#3f7d6a", "#f0c05a", "#fff6e0"],
  fantasy: ["#2f2450", "#7a5c9e", "#e8d8a8"], adventure: ["#1f4d4a", "#d08c3f", "#f3e6c8"], action: ["#2a1a17", "#c8502e", "#f0d9b5"],
  documentary: ["#3a3f44", "#8d9499", "#eceae4"], music: ["#3b1f4a", "#c25b7a", "#f6dfc4"], mystery: ["#182430", "#4f6272", "#dfd3b8"],
  history: ["#4a3520", "#a07c46", "#efe2c4"],
};
const OTHER_TONES = [["#26384a", "#94675a", "#ece0cc"], ["#3a2f3f", "#8a7f6b", "#ece3d2"], ["#274038", "#a98349", "#efe5cd"]];

function hash(text) {
  let value = 2166136261;
  for (const char of text) value = Math.imul(value ^ char.codePointAt(0), 16777619) >>> 0;
  // The low bits of FNV are the poor ones.
  value ^= value >>> 15;
  return Math.imul(value, 2246822519) >>> 0;
}

function wrap(title, width) {
  const lines = [];
  for (const word of title.split(/\s+/)) {
    const last = lines.at(-1);
    if (last !== undefined && (last + " " + word).length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word.length > width + 3 ? `${word.slice(0, width + 1)}…` : word);
  }
  if (lines.length > 4) { lines.length = 4; lines[3] = `${lines[3]}…`; }
  return lines;
}

function poster(film) {
  const seed = hash(film.id + film.title);
  const genre = film.genres.map((name) => name.toLowerCase()).find((name) => TONES[name]);
  const [back, middle, front] = TONES[genre] ?? OTHER_TONES[seed % OTHER_TONES.length];
  const picture = svg("svg", { viewBox: "0 0 120 180", class: "poster", "aria-hidden": "true", focusable: "false" },
    svg("rect", { width: 120, height: 180, fill: back }));
  const r = (shift, n) => (seed >>> shift) % n;
  const add = (name, attributes) => picture.append(svg(name, attributes));
  switch (r(3, 6)) {
    case 0: {
      const x = 30 + r(6, 60);
      add("circle", { cx: x, cy: 118, r: 30 + r(9, 12), fill: middle });
      add("path", { d: `M0 180V${140 + r(12, 10)}L40 ${132 - r(14, 8)}L75 150L120 ${128 + r(17, 14)}V180Z`, fill: front, opacity: .9 });
      break;
    }
    case 1:
      for (let i = 0; i < 7; i += 1) add("path", { d: `M${i * 20 - 20 + r(6, 12)} 180l60 -90h${5 + r(9 + i, 8)}l-60 90z`, fill: i % 3 ? middle : front, opacity: .85 });
      break;
    case 2:
      for (let i = 5; i > 0; i -= 1) add("circle", { cx: 60 + (r(6, 40) - 20), cy: 130, r: i * 13, fill: i % 2 ? middle : back });
      add("circle", { cx: 60, cy: 130, r: 5, fill: front });
      break;
    case 3:
      for (let y = 0; y < 4; y += 1) for (let x = 0; x < 4; x += 1) {
        const lit = (seed >>> ((x + y * 4) % 29)) % 3 === 0;
        add("rect", { x: 18 + x * 22, y: 88 + y * 21, width: 17, height: 15, fill: lit ? front : middle, opacity: lit ? 1 : .7 });
      }
      break;
    case 4:
      add("path", { d: `M60 ${80 + r(6, 16)}L${112 - r(9, 20)} 180H${8 + r(12, 20)}Z`, fill: middle });
      add("path", { d: `M60 ${80 + r(6, 16)}L${80 - r(15, 12)} 180H${50 - r(18, 12)}Z`, fill: front, opacity: .9 });
      break;
    default:
      add("rect", { x: 0, y: 118, width: 120, height: 62, fill: middle });
      add("path", { d: `M0 118Q30 ${106 - r(6, 12)} 60 118T120 118V130Q90 142 60 130T0 130Z`, fill: front, opacity: .85 });
      add("circle", { cx: 24 + r(9, 72), cy: 100, r: 8 + r(12, 6), fill: front });
  }
  const lines = wrap(film.title, 12);
  // Fonts differ in width; the longest line fits in the widest of them.
  const size = Math.min(14.5, 98 / (0.66 * Math.max(...lines.map((line) => line.length))));
  lines.forEach((line, at) => {
    picture.append(svg("text", {
      x: 10, y: 25 + at * 16.5, fill: front, "font-size": size.toFixed(1),
      "font-family": "Palatino, 'Palatino Linotype', 'TeX Gyre Pagella', Georgia, 'DejaVu Serif', serif", "font-weight": 600,
    }, line));
  });
  picture.append(svg("rect", { x: 4.5, y: 4.5, width: 111, height: 171, fill: "none", stroke: front, "stroke-width": .8, opacity: .55 }));
  return picture;
}

// ---- Searching

function remember() {
  const params = new URLSearchParams();
  if (state.query) params.set("q", state.query);
  for (const filter of state.filters) params.append("f", filter);
  // Behind the #: what was asked stays in the browser.
  history.replaceState(null, "", params.size ? `#${params}` : location.pathname);
}

async function search({ keepAsked = false, more = false } = {}) {
  state.query = $("query").value;
  if (!keepAsked && !more) state.asked = [];
  state.running?.abort();
  const running = new AbortController();
  state.running = running;
  document.querySelector(".go").setAttribute("aria-busy", "true");
  hideSuggestions();
  try {
    const answer = await call("/v1/search", {
      query: state.query, filters: state.filters, limit: PAGE, offset: more ? state.hits.length : 0,
      explain: true, ask: !more, asked: state.asked,
    }, running.signal);
    $("trouble").replaceChildren();
    $("examples").hidden = true;
    if (more) state.hits.push(...answer.hits);
    else Object.assign(state, { answer, hits: answer.hits });
    remember();
    if (!more) { showChips(); showQuestion(); $("results").replaceChildren(); }
    const cards = answer.hits.map(card);
    $("results").append(...cards);
    if (more) cards[0]?.focus();
    $("more").hidden = answer.hits.length < PAGE;
    const among = answer.n_passing === undefined ? `${answer.n_films.toLocaleString("en")} films` :
      `${answer.n_passing.toLocaleString("en")} of ${answer.n_films.toLocaleString("en")} films that pass the filters`;
    $("status").textContent = state.hits.length
      ? `The best ${state.hits.length} among ${among}, in ${Math.max(1, Math.round(answer.latency_ms))} ms.` : `No film fits among ${among}.`;
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Trouble)) throw error;
    if (!more) {
      $("results").replaceChildren();
      $("more").hidden = true;
      $("asked-back").hidden = true;
      state.hits = [];
      // Filters stay to be seen: one of them may be the trouble.
      state.answer = null;
      showChips();
    }
    $("status").textContent = "";
    showTrouble(error, () => search({ keepAsked, more }));
  } finally {
    if (state.running === running) document.querySelector(".go").removeAttribute("aria-busy");
  }
}

// ---- Chips and the question back

function showChips() {
  const chips = state.answer?.chips ?? state.filters.map((filter, at) => ({
    kind: "filter", field: filter.split(":")[0].replace("-", ""), value: filter.slice(filter.indexOf(":") + 1), negated: filter.startsWith("-"), filter: at,
  }));
  const nodes = chips.map((chip) => {
    const name = `${chip.negated ? "not " : ""}${chip.field} ${chip.value}`;
    const remove = el("button", {
      type: "button", "aria-label": chip.kind === "filter" ? `Remove filter: ${name}` : `Leave out of the question: ${name}`,
      onclick: () => removeChip(chip),
    }, "×");
    const only = chip.strict && !state.filters.includes(chip.strict) ? el("button", {
      type: "button", class: "only", "aria-label": `Only films with ${name}`,
      onclick: () => { state.filters.push(chip.strict); search({ keepAsked: true }); },
    }, "only") : null;
    return el("span", { class: `chip ${chip.kind}`, role: "group", "aria-label": name },
      el("span", {}, el("i", {}, `${chip.negated ? "not " : ""}${chip.field} `), el("b", {}, chip.value)), remove, only);
  });
  $("understood").replaceChildren(...nodes);
  $("understood").hidden = nodes.length === 0;
}

function removeChip(chip) {
  if (chip.filter !== undefined) {
    state.filters.splice(chip.filter, 1);
  } else {
    const bytes = new Bytes(state.answer.query);
    const before = bytes.slice(0, chip.span.start).trimEnd();
    // Filters sent beside the question stand behind it.
    const end = new Bytes($("query").value).length;
    const after = bytes.slice(chip.span.end, end).trimStart();
    $("query").value = before && after && !/^[,.;!?]/.test(after) ? `${before} ${after}` : before + after;
  }
  search({ keepAsked: true }).then(() => $("understood").querySelector("button")?.focus() ?? $("query").focus());
}

function showQuestion() {
  const question = state.answer?.question;
  $("asked-back").hidden = !question;
  if (!question) return;
  const answer = (filter) => {
    state.asked.push(question.id);
    if (filter) state.filters.push(filter);
    search({ keepAsked: true }).then(() => $("asked-back").querySelector("button")?.focus());
  };
  const choices = question.answers.map((choice) => el("button", { type: "button", class: "plain", onclick: () => answer(choice.filter) },
    choice.label, el("small", {}, `${Math.round(100 * choice.share)} %`)));
  $("asked-back").replaceChildren(
    el("h2", { id: "asked-back-head" }, question.text),
    el("div", {}, ...choices, el("button", { type: "button", class: "plain", onclick: () => answer(null) }, "I don’t know")));
}

// ---- A film

function card(hit) {
  const { film } = hit;
  const titleId = `film-${hit.rank}`;
  const people = [film.directors.length ? `by ${film.directors.slice(0, 2).join(", ")}` : "", film.cast.length ? `with ${film.cast.slice(0, 3).join(", ")}` : ""];
  const meta = [film.genres.slice(0, 4).join(", "), ...people].filter(Boolean).join(" · ");
  const overview = el("p", { class: "overview" }, ...marked(film.overview, hit.marks.map((mark) => ({ ...mark, kind: "word" }))));
  const article = el("article", { class: "film", tabindex: "-1", "aria-labelledby": titleId });
  const panels = {};
  const toggle = (name, label, fill) => {
    const id = `${name}-${hit.rank}`;
    const button = el("button", { type: "button", class: `plain ${name}`, "aria-expanded": "false", "aria-controls": id }, label);
    const panel = el("div", { class: "panel", id, role: "region", "aria-label": `${label}: ${film.title}`, hidden: true });
    panels[name] = { button, panel };
    button.addEventListener("click", async () => {
      const opens = panel.hidden;
      for (const other of Object.values(panels)) {
        other.panel.hidden = true;
        other.button.setAttribute("aria-expanded", "false");
      }
      overview.replaceChildren(...marked(film.overview, hit.marks.map((mark) => ({ ...mark, kind: "word" }))));
      if (!opens) return;
      panel.hidden = false;
      button.setAttribute("aria-expanded", "true");
      try { await fill(panel, overview); } catch (error) {
        if (!(error instanceof Trouble)) throw error;
        panel.replaceChildren(el("p", {}, el("strong", {}, sentence(error.message))), error.hint ? el("p", {}, sentence(error.hint)) : "");
      }
    });
    return button;
  };
  const acts = el("div", { class: "acts" });
  if (hit.why) {
    acts.append(toggle("why", "Why", (panel, text) => why(panel, text, hit)));
    if (state.hits.length > 1) acts.append(toggle("compare", "Compare", (panel) => compare(panel, hit)));
  }
  acts.append(toggle("like", "Like this", (panel) => like(panel, film)), toggle("around", "Around it", (panel) => around(panel, film)));
  if (hit.score !== undefined) acts.append(el("span", { class: "score" }, `score ${hit.score.toFixed(2)}`));
  article.append(poster(film),
    el("div", { class: "body" },
      el("div", { class: "head" },
        el("h2", { id: titleId }, hit.score === undefined ? null : el("span", { class: "place" }, `${hit.rank}`), film.title,
          film.year ? el("span", { class: "year" }, ` ${film.year}`) : null),
        film.original_title ? el("p", { class: "meta" }, film.original_title) : null,
        meta ? el("p", { class: "meta" }, meta) : null),
      el("div", { class: "rest" }, overview, acts)),
    ...Object.values(panels).map(({ panel }) => panel));
  article.addEventListener("keydown", (event) => {
    if (event.target !== article || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "w" || event.key === "W") panels.why?.button.click();
  });
  return el("li", {}, article);
}

/** Bars around a zero line; `rows` are {label, value, detail, evidence}. */
function bars(rows, total, totalLabel) {
  const low = Math.min(0, ...rows.map((row) => row.value));
  const high = Math.max(0, ...rows.map((row) => row.value));
  const width = high - low || 1;
  const zero = (100 * -low) / width;
  const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(3)}`;
  const items = rows.map((row) => {
    const bar = el("span", { class: row.value < 0 ? "bar down" : "bar" });
    bar.style.left = `${row.value < 0 ? zero - (100 * -row.value) / width : zero}%`;
    bar.style.width = `${(100 * Math.abs(row.value)) / width}%`;
    const track = el("span", { class: "track", "aria-hidden": "true" }, bar);
    track.style.setProperty("--zero", `${zero}%`);
    const evidence = (row.evidence ?? []).map((found) => el("div", { class: "evidence" },
      found.said ? el("q", {}, found.said) : "your question as a whole", found.film ? ` — the film: ${found.film}` : ""));
    return el("li", {}, el("span", {}, row.label, row.detail ? el("small", {}, ` ${row.detail}`) : ""), track,
      el("span", { class: "number" }, signed(row.value)), ...evidence);
  });
  items.push(el("li", { class: "total" }, el("span", {}, totalLabel), el("span", { class: "gap" }), el("span", { class: "number" }, total.toFixed(3))));
  return el("ul", { class: "bars" }, ...items);
}

/** What the first stage is the sum of. */
const PARTS = {
  lexical: "Words of the question in the film’s record",
  plot: "Words of the question in its plot",
  encoder: "The question is near the record, by the text encoder",
  plot_encoder: "The question is near its plot, by the text encoder",
  vectors: "The question is near the record, by word vectors",
  regression: "The title is near the one predicted",
  popularity: "How widely it is known",
  time: "How well the year fits",
};

const inWords = (rule) => sentence(rule.words.join(" ")).replace(/\.$/, "");

function why(panel, overview, hit) {
  const rows = hit.why.rules.map((rule) => ({ label: inWords(rule), value: rule.weight, evidence: rule.evidence }));
  for (const score of hit.why.scores) {
    if (score.name === "first stage") {
      // The largest score is itself a sum: its parts say more than one long bar.
      for (const part of hit.why.parts) rows.push({ label: PARTS[part.name] ?? part.name, value: part.contribution * score.weight });
      continue;
    }
    rows.push({ label: sentence(score.words).replace(/\.$/, ""), detail: `${score.value.toFixed(3)} × ${score.weight.toFixed(3)}`, value: score.contribution });
  }
  if (hit.why.bias) rows.push({ label: "The same for every film", value: hit.why.bias });
  const said = rows.filter((row) => Math.abs(row.value) >= 0.0005).sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
  const evidence = hit.why.rules.flatMap((rule) => rule.evidence);
  const inQuery = evidence.filter((found) => found.question).map((found) => ({ ...found.question, kind: "evidence" }));
  const query = state.answer.query;
  for (const word of hit.words) inQuery.push(...places(query, word).map((place) => ({ ...place, kind: "word" })));
  inQuery.sort((a, b) => (a.kind === "evidence" ? 0 : 1) - (b.kind === "evidence" ? 0 : 1));
  const inFilm = evidence.flatMap((found) => found.film.split(/, | \(/).flatMap((name) => places(hit.film.overview, name)));
  overview.replaceChildren(...marked(hit.film.overview, [...inFilm, ...hit.marks.map((mark) => ({ ...mark, kind: "word" }))]));
  panel.replaceChildren(
    el("h3", {}, "What put it here"),
    el("p", { class: "said", tabindex: "0", "aria-label": "Your question, with what was found marked" }, ...marked(query, inQuery)),
    bars(said, hit.why.score, "Score: the sum of these"));
}

async function compare(panel, hit) {
  const others = state.hits.filter((other) => other !== hit);
  let chosen = others[0];
  const id = `with-${hit.rank}`;
  const select = el("select", { id }, ...others.map((other) => el("option", { value: other.film.id }, `${other.rank}. ${other.film.title}${other.film.year ? ` (${other.film.year})` : ""}`)));
  const result = el("div", { "aria-live": "polite" });
  panel.replaceChildren(el("p", {}, el("label", { for: id }, "Against "), select), result);
  const show = async () => {
    const [upper, lower] = hit.rank < chosen.rank ? [hit, chosen] : [chosen, hit];
    const found = await call("/v1/compare", { query: state.query, filters: state.filters, first: upper.film.id, second: lower.film.id });
    const rows = [
      ...found.only_first.map((rule) => ({ label: inWords(rule), detail: `(“${found.first.title}” alone)`, value: rule.weight, evidence: rule.evidence })),
      ...found.only_second.map((rule) => ({ label: inWords(rule), detail: `(“${found.second.title}” alone)`, value: -rule.weight, evidence: rule.evidence })),
      ...found.scores.map((score) => ({ label: sentence(score.words).replace(/\.$/, ""), detail: "(difference)", value: score.difference })),
    ].sort((a, b) => Math.abs(b.value) - Math.abs(a.value));
    result.replaceChildren(
      el("h3", {}, lower === hit ? `Not “${lower.film.title}”, because “${upper.film.title}” is ahead by ${found.difference.toFixed(3)}` : `“${upper.film.title}” is ahead of “${lower.film.title}” by ${found.difference.toFixed(3)}`),
      bars(rows, found.difference, "Difference: the sum of these"),
      found.counterfactual ? el("p", { class: "turn" }, found.counterfactual.text) : el("p", {}, "No change of up to three facts would turn them round."));
  };
  select.addEventListener("change", () => {
    chosen = others.find((other) => other.film.id === select.value);
    show().catch((error) => result.replaceChildren(el("p", {}, sentence(error.message))));
  });
  await show();
}

async function like(panel, film) {
  const found = await call(`/v1/films/${encodeURIComponent(film.id)}/similar?limit=8`);
  const items = found.similar.map((similar) => {
    const shared = [...new Set(similar.parts.flatMap((part) => part.shared))].slice(0, 5).join(", ");
    return el("li", {}, el("button", { type: "button", class: "link", onclick: () => openFilm(similar.film.id) }, nameOf(similar.film)), shared ? el("small", {}, ` ${shared}`) : "");
  });
  panel.replaceChildren(el("h3", {}, `Films like “${film.title}”`), el("ol", { class: "like" }, ...items));
}

const nameOf = (film) => `${film.title}${film.year ? ` (${film.year})` : ""}`;

async function around(panel, film) {
  const found = await call(`/v1/films/${encodeURIComponent(film.id)}/graph`);
  const rows = found.entities.slice(0, 24);
  const step = 24;
  const films = found.related.filter((related) => related.shared.some((at) => at < rows.length));
  const height = Math.max(rows.length * step, films.length * 34, 80) + 24;
  const [left, middle, right] = [150, 330, 600];
  const rowY = (at) => 22 + (at + .5) * ((height - 24) / Math.max(rows.length, 1));
  const filmY = (at) => 22 + (at + .5) * ((height - 24) / Math.max(films.length, 1));
  const cut = (text, n) => (text.length > n ? `${text.slice(0, n - 1)}…` : text);
  const picture = svg("svg", { viewBox: `0 0 800 ${height + 8}`, role: "img", "aria-label": `What “${film.title}” is linked to` });
  let before = "";
  rows.forEach((entity, at) => {
    const y = rowY(at);
    picture.append(svg("path", { d: `M${left} ${height / 2}C${left + 60} ${height / 2} ${middle - 70} ${y} ${middle - 8} ${y}`, class: entity.derived ? "derived" : "" }));
    picture.append(svg("text", { x: middle, y: y + 4 }, cut(entity.name, 26)));
    if (entity.relation !== before) picture.append(svg("text", { x: middle - 14, y: y - 6, class: "soft", "text-anchor": "end" }, entity.relation));
    before = entity.relation;
  });
  films.forEach((related, at) => {
    for (const entity of related.shared.filter((index) => index < rows.length)) {
      const x = middle + Math.min(rows[entity].name.length, 26) * 7 + 8;
      picture.append(svg("path", { d: `M${x} ${rowY(entity)}C${x + 60} ${rowY(entity)} ${right - 70} ${filmY(at)} ${right - 10} ${filmY(at)}`, class: "shared" }));
    }
    picture.append(svg("text", { x: right, y: filmY(at) + 4 }, cut(nameOf(related.film), 28)));
  });
  picture.append(svg("circle", { cx: left, cy: height / 2, r: 5 }));
  wrap(film.title, 17).forEach((line, at, lines) => picture.append(svg("text", { x: left - 14, y: height / 2 + 5 + (at - (lines.length - 1) / 2) * 18, class: "film-name", "text-anchor": "end" }, line)));
  const list = found.entities.map((entity) => `${entity.relation}: ${entity.name}`).join("; ");
  panel.replaceChildren(
    el("h3", {}, `Around “${film.title}”`),
    el("div", { class: "around", tabindex: "0", role: "group", "aria-label": `Picture: ${list}` }, picture),
    el("p", {}, el("small", {}, "Dashed: read from the text. Red: what other films share.")));
}

async function openFilm(id) {
  try {
    const film = await call(`/v1/films/${encodeURIComponent(id)}`);
    hideSuggestions();
    Object.assign(state, { answer: null, hits: [], filters: [] });
    $("trouble").replaceChildren();
    $("understood").hidden = true;
    $("asked-back").hidden = true;
    $("more").hidden = true;
    $("examples").hidden = true;
    $("status").textContent = "The film with this title.";
    const item = card({ rank: 1, film, marks: [], words: [] });
    $("results").replaceChildren(item);
    item.firstChild.focus();
  } catch (error) {
    if (!(error instanceof Trouble)) throw error;
    showTrouble(error, () => openFilm(id));
  }
}

// ---- Titles while typing

let waiting = 0;
let suggesting = null;

function hideSuggestions() {
  clearTimeout(waiting);
  suggesting?.abort();
  $("suggestions").hidden = true;
}

function suggestSoon() {
  clearTimeout(waiting);
  suggesting?.abort();
  const text = $("query").value.trim();
  // A title is short; a description is not one.
  if (text.length < 3 || text.length > 40 || text.includes("\n")) { hideSuggestions(); return; }
  waiting = setTimeout(async () => {
    suggesting = new AbortController();
    try {
      const { titles } = await call(`/v1/suggest?limit=4&q=${encodeURIComponent(text)}`, null, suggesting.signal);
      const items = titles.map((film) => el("li", {}, el("button", { type: "button", class: "link", onclick: () => openFilm(film.id) }, nameOf(film))));
      $("suggestions").replaceChildren("A title? ", el("ul", {}, ...items));
      $("suggestions").hidden = items.length === 0;
    } catch { /* A suggestion that does not come is no trouble. */ }
  }, 180);
}

// ---- Keys and the beginning

$("ask").addEventListener("submit", (event) => { event.preventDefault(); search(); });
$("query").addEventListener("input", suggestSoon);
$("query").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); search(); }
  if (event.key === "Escape") hideSuggestions();
  if (event.key === "ArrowDown" && $("query").selectionEnd === $("query").value.length) {
    const first = $("results").querySelector("article");
    if (first) { event.preventDefault(); first.focus(); }
  }
});
document.addEventListener("keydown", (event) => {
  const article = event.target.closest?.("article.film");
  if (!article || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") { $("query").focus(); return; }
  if (event.target !== article || (event.key !== "ArrowDown" && event.key !== "ArrowUp")) return;
  event.preventDefault();
  const all = [...$("results").querySelectorAll("article")];
  const next = all[all.indexOf(article) + (event.key === "ArrowDown" ? 1 : -1)];
  (next ?? (event.key === "ArrowUp" ? $("query") : article)).focus();
});
$("more").addEventListener("click", () => search({ more: true }));
$("examples").querySelector("ul").append(...EXAMPLES.map((text) => el("li", {}, el("button", {
  type: "button", class: "link", onclick: () => { $("query").value = text; state.filters = []; search(); },
}, text))));

const start = new URLSearchParams(location.hash.slice(1));
if (start.get("q")) {
  $("query").value = start.get("q");
  state.filters = start.getAll("f");
  search();
} else {
  $("query").focus();
}
