//! Every error code, by a request that earns it.

use std::collections::BTreeSet;

use serde_json::json;
use titlecard_server::Code;

use crate::client::{Answer, request, send_raw, serve, serve_with_keys};

const JSON: &str = "application/json";

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn every_mistake_has_its_code() {
    let (server, [read, write, admin]) = serve_with_keys(|config| config.server.max_query_bytes = 2_000);
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut check = |answer: Answer, status: u16, code: &str| {
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        seen.insert(code.to_owned());
    };
    let search = |query: &str, filters: &[&str]| {
        server.post("/v1/search", &json!({ "query": query, "filters": filters }))
    };

    check(server.get("/v1/search"), 400, "bad_parameter");
    check(server.get("/v1/search?q=shark&limit=many"), 400, "bad_parameter");
    check(server.get("/v1/search?q=shark&lmit=3"), 400, "bad_parameter");
    check(server.get("/v1/films/%FF"), 400, "bad_parameter");
    check(server.post("/v1/search", &json!({ "qery": "shark" })), 400, "bad_json");
    check(server.send("POST", "/v1/search", &[("content-type", JSON)], b"{"), 400, "bad_json");
    check(server.send("POST", "/v1/search", &[("content-type", JSON)], b"\xff"), 400, "bad_json");
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    check(server.send("POST", "/v1/search", &[("content-type", JSON)], deep.as_bytes()), 400, "too_deep");
    check(server.send("POST", "/v1/search", &[], b"{}"), 415, "wrong_content_type");
    check(search("", &[]), 422, "empty_query");
    check(search(" \u{a0}?! ", &[]), 422, "empty_query");
    check(search("xyzzyq", &[]), 422, "no_known_word");
    check(search(&"shark ".repeat(500), &[]), 422, "query_too_long");
    check(search("shark", &["horror"]), 422, "bad_filter");
    check(search("shark", &["genre:horor"]), 422, "bad_filter");
    check(search("shark gener:horror", &[]), 422, "bad_filter");
    check(search("shark", &["year:1980..1970"]), 422, "bad_filter");
    check(search("shark", &["genre:horror a shark"]), 422, "bad_filter");
    check(search("shark", &vec!["genre:horror"; 40]), 422, "bad_filter");
    check(search("shark", &["year:1870"]), 422, "nothing_passes");
    check(server.get("/v1/search?q=shark&limit=0"), 422, "page_too_large");
    check(server.get("/v1/search?q=shark&limit=101"), 422, "page_too_large");
    check(server.get("/v1/search?q=shark&offset=18446744073709551615"), 422, "page_too_large");
    check(server.get("/v1/suggest?q=jaws&limit=21"), 422, "page_too_large");
    check(server.get("/v1/films/none"), 404, "unknown_film");
    check(server.get("/v1/films/none/similar"), 404, "unknown_film");
    check(server.get("/v1/films/none/graph.svg"), 404, "unknown_film");
    check(server.by(&write, "DELETE", "/v1/films/none", "", ""), 404, "unknown_film");
    check(server.get("/v2/search"), 404, "unknown_path");
    let wrong = server.send("DELETE", "/v1/search", &[], b"");
    assert!(wrong.header("allow").is_some_and(|allow| allow.contains("get")), "{wrong:?}");
    check(wrong, 405, "wrong_method");

    let hits = server.search("a shark at the beach")["hits"].clone();
    let shark = hits[0]["film"]["id"].as_str().unwrap();
    let compare = |second: &str, query: &str| {
        server.post("/v1/compare", &json!({ "query": query, "first": shark, "second": second }))
    };
    check(compare("none", "a shark"), 404, "unknown_film");
    let other =
        hits.as_array().unwrap().iter().find(|hit| hit["film"]["year"] != hits[0]["film"]["year"]).unwrap();
    let only = format!("a shark at the beach year:{}", hits[0]["film"]["year"]);
    check(compare(other["film"]["id"].as_str().unwrap(), &only), 404, "not_a_candidate");

    for path in ["/v1/films", "/v1/rules", "/v1/reload"] {
        let method = if path == "/v1/rules" { "PUT" } else { "POST" };
        check(server.send(method, path, &[], b""), 401, "key_needed");
        check(server.by("titlecard-admin-0", method, path, "", ""), 401, "unknown_key");
        check(server.by(&read, method, path, JSON, "{}"), 403, "not_allowed");
    }
    check(server.by(&read[1..], "GET", "/v1/search?q=shark", "", ""), 401, "unknown_key");
    let basic = [("authorization", "Basic YTpi")];
    check(server.send("GET", "/v1/search?q=shark", &basic, b""), 401, "unknown_key");
    check(server.send("GET", "/v1/search?q=shark", &[("host", "evil.example")], b""), 421, "wrong_host");

    let films = |body: &str| server.by(&write, "POST", "/v1/films", "application/x-ndjson", body);
    check(films(""), 400, "bad_json");
    check(films("{\"id\":\"1\",\"title\":\"A\",\"overview\":\"x\"}\nno"), 400, "bad_json");
    check(films(r#"{"id":"1","title":"A","overview":"x","rating":3}"#), 400, "bad_json");
    for film in [
        r#"{"title":"A","overview":"x"}"#,
        r#"{"id":"","title":"A","overview":"x"}"#,
        r#"{"id":" 1","title":"A","overview":"x"}"#,
        r#"{"id":"1","title":" ","overview":"x"}"#,
        r#"{"id":"1","title":"A"}"#,
        r#"{"id":"1","title":"A","overview":"x","year":1492}"#,
    ] {
        check(films(film), 422, "bad_film");
    }
    let put = server.by(&write, "PUT", "/v1/films/1", JSON, r#"{"id":"2","title":"A","overview":"x"}"#);
    check(put, 422, "bad_film");
    let put_rules = |body: &str| server.by(&admin, "PUT", "/v1/rules", JSON, body);
    check(put_rules("{"), 400, "bad_json");
    check(put_rules("{}"), 422, "bad_rules");
    check(put_rules(&deep), 400, "too_deep");
    let never = r#"{"bias": 0, "literals": [{"name": "year fits"}], "linear": [],
        "rules": [{"logic": "and", "literals": [0, {"not": 0}], "weights": [1]}]}"#;
    check(put_rules(never), 422, "bad_rules");
    check(server.by(&admin, "PATCH", "/v1/rules/9999", JSON, r#"{"weight":1}"#), 422, "bad_rules");
    check(server.by(&admin, "PATCH", "/v1/rules/x", JSON, r#"{"weight":1}"#), 400, "bad_parameter");
    check(server.by(&admin, "PATCH", "/v1/rules/1", JSON, r#"{"weight":1e9}"#), 422, "bad_rules");

    // A folder without rules has nothing to compare by.
    std::fs::remove_file(server.workspace.rules()).unwrap();
    server.by(&admin, "POST", "/v1/reload", "", "").expect(200);
    check(server.get("/v1/rules"), 409, "no_rules");
    check(compare(shark, "a shark"), 409, "no_rules");
    check(server.by(&admin, "PATCH", "/v1/rules/1", JSON, r#"{"weight":1}"#), 409, "no_rules");
    assert!(server.get("/v1/search?q=shark&explain=true").expect(200).json()["hits"][0].get("why").is_none());

    // What is left has tests of its own: in `answers.rs`, `limits.rs`, `running.rs`, and `internal` in `src/gate.rs`, since no
    // request can bring it about.
    let elsewhere = [
        "rules_changed",
        "body_too_large",
        "body_timeout",
        "too_many_requests",
        "busy",
        "deadline",
        "stopping",
        "storage",
        "internal",
    ];
    let missing: Vec<&str> = Code::ALL
        .iter()
        .map(|code| code.name_and_status().0)
        .filter(|code| !seen.contains(*code) && !elsewhere.contains(code))
        .collect();
    assert!(missing.is_empty(), "no test for {missing:?}");
}

#[test]
fn no_request_gets_another_answer_than_promised() {
    let (_folder, workspace) = crate::folder();
    let api = crate::fuzz_api::Api::open(workspace, crate::small());
    crate::fuzz_mutations::run("api", 400, |bytes| api.request(bytes));
}

#[test]
fn the_hint_says_what_to_do() {
    let server = serve(|_| {});
    let answer =
        server.post("/v1/search", &json!({ "query": "shark", "filters": ["genre:horor"] })).expect(422);
    assert_eq!(answer.json()["error"]["hint"], "did you mean `Horror`?");
}

#[test]
fn what_is_no_http_is_refused_and_nothing_falls_over() {
    let server = serve(|_| {});
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\x00\r\n\r\n",
        b"HELP\r\n\r\n",
        b"GET /v1/search?q=%00%ff HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\ncontent-type: application/json\r\nconnection: close\r\n\r\nzz\r\n",
        b"POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    ] {
        let answer = send_raw(server.address, bytes);
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
    }
    let many: Vec<(String, String)> = (0..100).map(|at| (format!("x-{at}"), "y".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = send_raw(server.address, &request("GET", "/healthz", &many, b""));
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 431"));
    let long = "x".repeat(400_000);
    let answer = send_raw(server.address, &request("GET", "/healthz", &[("x-long", &long)], b""));
    assert!(answer.is_empty() || String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 4"));
    assert_eq!(server.get("/healthz").status, 200);
}
