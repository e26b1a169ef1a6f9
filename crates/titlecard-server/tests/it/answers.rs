//! What the API answers.

use serde_json::{Value, json};

use crate::client::{serve, serve_with_keys};

const SHARK: &str = "a shark frightens the bathers of a small beach town";

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn the_sum_shown_is_the_score_and_spans_are_of_the_text() {
    let server = serve(|_| {});
    let answer = server
        .post(
            "/v1/search",
            &json!({ "query": format!("{SHARK} in the 70s, not a comedy"), "explain": true, "ask": true,
                "filters": ["year:1960..1990"] }),
        )
        .expect(200)
        .json();
    assert_eq!(answer["hits"][0]["film"]["title"], "Jaws");
    assert_eq!(answer["n_films"], 414);
    assert!(answer["n_passing"].as_u64().unwrap() < 414);
    for (at, hit) in answer["hits"].as_array().unwrap().iter().enumerate() {
        assert_eq!(hit["rank"], at + 1);
        let year = hit["film"]["year"].as_i64().unwrap();
        assert!((1960..=1990).contains(&year));
        let why = &hit["why"];
        let sum = |list: &str, field: &str| -> f64 {
            why[list].as_array().unwrap().iter().map(|one| number(&one[field])).sum()
        };
        let total = number(&why["bias"]) + sum("rules", "weight") + sum("scores", "contribution");
        assert!((total - number(&hit["score"])).abs() < 1e-6, "{hit}");
        let overview = hit["film"]["overview"].as_str().unwrap();
        for mark in hit["marks"].as_array().unwrap() {
            let (start, end) =
                (mark["start"].as_u64().unwrap() as usize, mark["end"].as_u64().unwrap() as usize);
            assert!(!overview[start..end].trim().is_empty());
        }
    }
    let query = answer["query"].as_str().unwrap();
    assert!(query.ends_with(" year:1960..1990"));
    let chips = answer["chips"].as_array().unwrap();
    let text = |chip: &Value| {
        let at = |end: &str| chip["span"][end].as_u64().unwrap() as usize;
        query[at("start")..at("end")].to_owned()
    };
    let filter = chips.iter().find(|chip| chip["kind"] == "filter").unwrap();
    assert_eq!((text(filter).as_str(), &filter["filter"]), ("year:1960..1990", &json!(0)));
    let comedy = chips.iter().find(|chip| chip["value"] == "comedy").unwrap();
    assert_eq!((text(comedy).as_str(), &comedy["negated"]), ("comedy", &json!(true)));
    assert_eq!(comedy["strict"], "-genre:\"Comedy\"");
    let seventies = chips.iter().find(|chip| chip["field"] == "released").unwrap();
    assert_eq!(seventies["strict"], "year:1970..1979");
}

#[test]
fn a_strict_cue_is_a_filter_that_works() {
    let server = serve(|_| {});
    let first = server
        .post("/v1/search", &json!({ "query": "a japanese film about warriors, a drama from the 1950s" }));
    let chips = first.expect(200).json()["chips"].clone();
    let mut n = 0;
    for chip in chips.as_array().unwrap() {
        if let Some(strict) = chip["strict"].as_str() {
            let answer = server.post("/v1/search", &json!({ "query": "warriors", "filters": [strict] }));
            assert!(answer.status == 200 || answer.code() == "nothing_passes", "{strict}: {answer:?}");
            n += 1;
        }
    }
    assert!(n >= 2, "{chips}");
}

#[test]
fn pages_are_parts_of_one_ranking() {
    let server = serve(|_| {});
    let ids = |path: &str| -> Vec<String> {
        let answer = server.get(path).expect(200).json();
        answer["hits"].as_array().unwrap().iter().map(|hit| hit["film"]["id"].to_string()).collect()
    };
    let all = ids("/v1/search?q=a+man+and+a+woman+in+the+war&limit=30");
    assert_eq!(all.len(), 30);
    let mut pages = Vec::new();
    for offset in [0, 10, 20] {
        pages.extend(ids(&format!("/v1/search?q=a+man+and+a+woman+in+the+war&limit=10&offset={offset}")));
    }
    assert_eq!(pages, all);
    assert!(ids("/v1/search?q=war&limit=10&offset=900").is_empty(), "behind the last film is nothing");
}

#[test]
fn an_answer_to_the_question_back_leaves_fewer_films() {
    let server = serve(|_| {});
    let mut filters: Vec<String> = Vec::new();
    let mut asked: Vec<String> = Vec::new();
    let mut open = f64::INFINITY;
    let mut n = 0;
    for _ in 0..6 {
        let body = json!({ "query": "a man and a woman", "filters": filters, "asked": asked, "ask": true });
        let answer = server.post("/v1/search", &body).expect(200).json();
        let passing = answer["n_passing"].as_f64().unwrap_or(414.0);
        assert!(passing <= open);
        open = passing;
        let Some(question) = answer.get("question") else { break };
        assert!(number(&question["gain_bits"]) <= number(&question["entropy_bits"]) + 1e-9);
        assert!(!asked.contains(&question["id"].as_str().unwrap().to_owned()), "asked twice");
        let answers = question["answers"].as_array().unwrap();
        let likely =
            answers.iter().max_by(|a, b| number(&a["share"]).total_cmp(&number(&b["share"]))).unwrap();
        filters.push(likely["filter"].as_str().unwrap().to_owned());
        asked.push(question["id"].as_str().unwrap().to_owned());
        n += 1;
    }
    assert!(n >= 1, "no question");
    assert!(open < 414.0, "{open} films left after {filters:?}");
}

#[test]
fn a_comparison_adds_up_and_is_that_of_the_ranking() {
    let server = serve(|_| {});
    let hits = server.search(SHARK)["hits"].clone();
    let film = |at: usize| hits[at]["film"]["id"].as_str().unwrap();
    let found = server
        .post("/v1/compare", &json!({ "query": SHARK, "first": film(0), "second": film(2) }))
        .expect(200)
        .json();
    let sum = |list: &str, field: &str| -> f64 {
        found[list].as_array().unwrap().iter().map(|one| number(&one[field])).sum()
    };
    let difference = number(&found["difference"]);
    let total = sum("only_first", "weight") - sum("only_second", "weight") + sum("scores", "difference");
    assert!((total - difference).abs() < 1e-6);
    assert!((number(&hits[0]["score"]) - number(&hits[2]["score"]) - difference).abs() < 1e-6);
    assert!(difference > 0.0);
}

#[test]
fn films_can_be_looked_at() {
    let server = serve(|_| {});
    let jaws = server.search(SHARK)["hits"][0]["film"].clone();
    let id = jaws["id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/v1/films/{id}")).expect(200).json(), jaws);
    let titles = server.get("/v1/suggest?q=jwas").expect(200).json();
    assert_eq!(titles["titles"][0]["id"], id);
    assert!(server.get("/v1/suggest?q=zzzzqqqq").expect(200).json()["titles"].as_array().unwrap().is_empty());
    let similar = server.get(&format!("/v1/films/{id}/similar?limit=5")).expect(200).json();
    assert_eq!(similar["similar"].as_array().unwrap().len(), 5);
    for one in similar["similar"].as_array().unwrap() {
        let sum: f64 =
            one["parts"].as_array().unwrap().iter().map(|part| number(&part["contribution"])).sum();
        assert!((sum - number(&one["score"])).abs() < 1e-4, "{one}");
    }
    let graph = server.get(&format!("/v1/films/{id}/graph")).expect(200).json();
    assert!(graph["entities"].as_array().unwrap().iter().any(|entity| entity["relation"] == "director"));
    let picture = server.get(&format!("/v1/films/{id}/graph.svg")).expect(200);
    assert_eq!(picture.header("content-type"), Some("image/svg+xml"));
    assert!(String::from_utf8_lossy(&picture.body).starts_with("<svg"));
}

#[test]
fn rules_are_read_checked_and_edited_at_once() {
    let (server, [_, _, admin]) = serve_with_keys(|_| {});
    let answer = server.get("/v1/rules").expect(200);
    let rules = answer.json();
    let tag = rules["tag"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("etag"), Some(tag.as_str()));
    let kind = "application/json";
    let list = rules["list"].to_string();
    let lint = server.by(&admin, "POST", "/v1/rules/lint", kind, &list).expect(200).json();
    assert_eq!(lint["is_usable"], true);

    // The heaviest rule of the first hit, switched off, is gone from its reasons, and the score falls by its weight.
    let hit = server.search(SHARK)["hits"][0].clone();
    let rule = &hit["why"]["rules"][0];
    let path = format!("/v1/rules/{}", rule["rule"]);
    server.by(&admin, "PATCH", &path, kind, r#"{"weight": 0}"#).expect(200);
    let edited = server.search(SHARK);
    let same = edited["hits"].as_array().unwrap().iter().find(|one| one["film"] == hit["film"]).unwrap();
    let expected = number(&hit["score"]) - number(&rule["weight"]);
    assert!((number(&same["score"]) - expected).abs() < 1e-6);

    // The old list, put back, is refused for a client that has not seen the edit, and taken without condition.
    let bearer = format!("Bearer {admin}");
    let headers = [("authorization", bearer.as_str()), ("content-type", kind), ("if-match", tag.as_str())];
    let refused = server.send("PUT", "/v1/rules", &headers, list.as_bytes()).expect(412);
    assert_eq!(refused.code(), "rules_changed");
    let back = server.by(&admin, "PUT", "/v1/rules", kind, &list).expect(200).json();
    assert_eq!(back["tag"], tag.as_str());
    assert_eq!(server.search(SHARK)["hits"][0]["score"], hit["score"]);
    // It is on disk as well.
    let on_disk = std::fs::read_to_string(server.workspace.rules()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&on_disk).unwrap(), rules["list"]);
}

#[test]
fn a_reload_ranks_by_the_rules_of_the_folder() {
    let (server, [_, write, admin]) = serve_with_keys(|_| {});
    let before = server.search(SHARK)["hits"][0]["score"].clone();
    let text = std::fs::read_to_string(server.workspace.rules()).unwrap();
    let mut list: Value = serde_json::from_str(&text).unwrap();
    for rule in list["rules"].as_array_mut().unwrap() {
        rule["weights"] = json!([0.0]);
    }
    std::fs::write(server.workspace.rules(), list.to_string()).unwrap();
    assert_eq!(server.search(SHARK)["hits"][0]["score"], before, "nothing changes unasked");
    assert_eq!(server.by(&write, "POST", "/v1/reload", "", "").expect(403).code(), "not_allowed");
    server.by(&admin, "POST", "/v1/reload", "", "").expect(200);
    let after = server.search(SHARK)["hits"][0].clone();
    assert_ne!(after["score"], before);
    // A broken file leaves the old state.
    std::fs::write(server.workspace.rules(), "{").unwrap();
    assert_eq!(server.by(&admin, "POST", "/v1/reload", "", "").expect(500).code(), "storage");
    assert_eq!(server.search(SHARK)["hits"][0]["score"], after["score"]);
}

#[test]
fn state_and_metrics_are_told() {
    let server = serve(|_| {});
    server.search(SHARK);
    assert_eq!(server.get("/healthz").expect(200).json()["status"], "ok");
    assert_eq!(server.get("/readyz").expect(200).json()["status"], "ok");
    let status = server.get("/v1/status").expect(200).json();
    assert_eq!((&status["n_films"], &status["build"]["state"]), (&json!(414), &json!("idle")));
    let metrics = server.get("/metrics").expect(200);
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    for line in [
        r#"titlecard_requests_total{route="/v1/search",status="200"} 1"#,
        r#"titlecard_request_seconds_count{route="/v1/search"} 1"#,
        "titlecard_films 414",
        "titlecard_pending_changes 0",
        "# EOF",
    ] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
    if cfg!(target_os = "linux") {
        let memory = text.lines().find(|line| line.starts_with("titlecard_resident_memory_bytes ")).unwrap();
        assert!(memory.rsplit(' ').next().unwrap().parse::<u64>().unwrap() > 1_000_000);
    }
}
