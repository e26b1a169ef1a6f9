//! Changes while serving.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use titlecard_engine::catalogue::Film;
use titlecard_engine::pipeline::{self, Workspace};
use titlecard_engine::progress;
use titlecard_server::{Change, Journal};

use crate::client::{Running, serve_in, serve_with_keys};

const LINES: &str = "application/x-ndjson";

fn film(id: &str, title: &str, overview: &str) -> Value {
    json!({ "id": id, "title": title, "overview": overview, "year": 1999, "genres": ["Mystery"] })
}

/// Waits until every acknowledged change is built in.
fn built(server: &Running) -> Value {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let status = server.get("/v1/status").expect(200).json();
        if status["changes"]["pending"] == 0 && status["build"]["state"] == "idle" {
            return status;
        }
        assert_ne!(status["build"]["state"], "failed", "{status}");
        assert!(Instant::now() < deadline, "not built in: {status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn answers(server: &Running) -> Vec<Value> {
    [
        "a lighthouse keeper who breeds violet octopuses",
        "a shark at the beach",
        "a man and a woman in the war",
    ]
    .iter()
    .map(|query| server.search(query)["hits"].clone())
    .collect()
}

#[test]
fn answers_after_changes_are_those_of_a_fresh_build() {
    let (server, [_, write, _]) = serve_with_keys(|config| config.server.rebuild_after_ms = 50);
    let jaws = server.search("a shark at the beach")["hits"][0]["film"]["id"].as_str().unwrap().to_owned();
    let lines = [
        film(
            "new-1",
            "The Violet Keeper",
            "A lighthouse keeper breeds violet octopuses and speaks to nobody.",
        ),
        film("new-2", "Nothing Much", "Somebody waits for a bus."),
    ];
    let body = format!("{}\n\n{}\n", lines[0], lines[1]);
    let accepted = server.by(&write, "POST", "/v1/films", LINES, &body).expect(202).json();
    assert_eq!((&accepted["accepted"], &accepted["seq"]), (&json!(2), &json!(2)));
    built(&server);
    let found = server.search("a lighthouse keeper who breeds violet octopuses");
    assert_eq!(found["hits"][0]["film"]["title"], "The Violet Keeper");
    assert_eq!(found["n_films"], 416);

    let mut changed = film("new-1", "The Lilac Keeper", "A lighthouse keeper breeds lilac octopuses.");
    changed["companies"] = json!(["Octopus Pictures", " "]);
    changed["collections"] = json!(["Keeper Collection"]);
    server.by(&write, "PUT", "/v1/films/new-1", "application/json", &changed.to_string()).expect(202);
    server.by(&write, "DELETE", &format!("/v1/films/{jaws}"), "", "").expect(202);
    server.by(&write, "DELETE", "/v1/films/new-2", "", "").expect(202);
    assert_eq!(server.by(&write, "DELETE", "/v1/films/new-2", "", "").expect(404).code(), "unknown_film");
    let status = built(&server);
    assert_eq!(status["n_films"], 414);
    assert_eq!(
        (&status["changes"]["acknowledged_seq"], &status["changes"]["built_seq"]),
        (&json!(5), &json!(5))
    );
    assert_eq!(server.get(&format!("/v1/films/{jaws}")).expect(404).code(), "unknown_film");
    let lilac = server.get("/v1/films/new-1").expect(200).json();
    assert_eq!(lilac["title"], "The Lilac Keeper");
    assert_eq!(
        (&lilac["companies"], &lilac["collections"]),
        (&json!(["Octopus Pictures"]), &json!(["Keeper Collection"]))
    );
    assert_eq!(server.get("/v1/suggest?q=lilac+keeper").json()["titles"][0]["id"], "new-1");

    // The same films by the steps of the command line, in a folder that never saw a change.
    let (_folder, fresh) = crate::folder();
    let mut films: Vec<Film> = pipeline::load_films(&fresh).unwrap().into_films();
    films.retain(|film| film.id != jaws);
    let mut film = Film {
        id: "new-1".into(),
        title: "The Lilac Keeper".into(),
        overview: "A lighthouse keeper breeds lilac octopuses.".into(),
        year: Some(1999),
        genres: vec!["Mystery".into()],
        companies: vec!["Octopus Pictures".into()],
        collections: vec!["Keeper Collection".into()],
        ..Film::default()
    };
    film.tags = film.build_tags();
    films.push(film);
    pipeline::write_films(&fresh, &films).unwrap();
    let config = crate::small();
    pipeline::build_graph(&fresh, &config, &films, &mut progress::silent).unwrap();
    pipeline::build_index(&fresh, &config, &films, &mut progress::silent).unwrap();
    let fresh = serve_in(fresh, config);
    assert_eq!(answers(&server), answers(&fresh));
}

#[test]
fn companies_and_series_are_chips_that_filter() {
    let (server, [_, write, _]) = serve_with_keys(|config| config.server.rebuild_after_ms = 0);
    let mut lilac = film("lilac", "The Lilac Keeper", "A lighthouse keeper breeds lilac octopuses.");
    lilac["companies"] = json!(["Quillon Pictures"]);
    lilac["collections"] = json!(["Keeper Collection"]);
    server.by(&write, "PUT", "/v1/films/lilac", "application/json", &lilac.to_string()).expect(202);
    built(&server);
    let answer = server.search("one of the Keeper movies, not a Quillon film I think");
    let strict: Vec<&str> =
        answer["chips"].as_array().unwrap().iter().filter_map(|chip| chip["strict"].as_str()).collect();
    assert!(strict.contains(&"collection:\"keeper\""), "{strict:?}");
    assert!(strict.contains(&"-company:\"quillon\""), "{strict:?}");
    for (filters, n_passing) in [
        (json!(["collection:\"keeper\""]), 1),
        (json!(["company:\"Quillon Pictures\""]), 1),
        (json!(["-company:\"quillon\""]), 414),
    ] {
        let body = json!({ "query": "a lighthouse", "filters": filters });
        let found = server.post("/v1/search", &body).expect(200).json();
        assert_eq!(found["n_passing"], n_passing, "{filters}");
    }
    let unknown =
        server.post("/v1/search", &json!({ "query": "a lighthouse", "filters": ["company:quillonn"] }));
    assert_eq!(unknown.expect(422).code(), "bad_filter");
}

#[test]
fn readers_see_the_old_state_or_the_new_one() {
    let (server, [_, write, _]) = serve_with_keys(|config| config.server.rebuild_after_ms = 0);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut n = 0;
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        // Both films come in one batch: never one without the other.
                        let found = server.search("violet octopuses of the lighthouse");
                        let text = found["hits"].to_string();
                        let has = |id: &str| text.contains(&format!("\"{id}\""));
                        assert_eq!(has("pair-a"), has("pair-b"), "{text}");
                        assert_eq!(found["n_films"], if has("pair-a") { 416 } else { 414 });
                        n += 1;
                    }
                    n
                })
            })
            .collect();
        let pair = format!(
            "{}\n{}\n",
            film("pair-a", "Violet", "violet octopuses of the lighthouse"),
            film("pair-b", "Octopuses", "the lighthouse of violet octopuses")
        );
        server.by(&write, "POST", "/v1/films", LINES, &pair).expect(202);
        built(&server);
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
    assert_eq!(server.search("violet octopuses of the lighthouse")["hits"][0]["film"]["year"], 1999);
}

#[test]
fn a_new_server_takes_up_what_an_old_one_left() {
    let (folder, workspace) = crate::folder();
    // A change that was acknowledged and never built in.
    let journal = folder.path().join("server/journal");
    let mut film = Film {
        id: "left".into(),
        title: "Left Behind".into(),
        overview: "violet octopuses of the lighthouse".into(),
        ..Film::default()
    };
    film.tags = film.build_tags();
    Journal::open(&journal).unwrap().append(vec![Change::Put { film: Box::new(film.clone()) }]).unwrap();
    let mut config = crate::small();
    config.server.rebuild_after_ms = 0;
    let mut server = serve_in(workspace.clone(), config.clone());
    assert_eq!(built(&server)["n_films"], 415);
    server.stop();
    assert_eq!(Journal::open(&journal).unwrap().last_seq(), 1);
    // What stands in the folder is what the command line would open.
    let engine = pipeline::open_engine(&workspace, &config).unwrap();
    assert_eq!(engine.index().n_films(), 415);
    assert_eq!(pipeline::load_films(&workspace).unwrap().find("left"), Some(&film));
}

#[test]
fn an_exchange_that_was_cut_off_is_ended_at_the_next_start() {
    for n_moved in 0..4 {
        let (folder, workspace) = crate::folder();
        let config = crate::small();
        // A finished build in `server/building`, its exchange begun.
        let building = Workspace::new(folder.path().join("server/building"));
        let mut films = pipeline::load_films(&workspace).unwrap().into_films();
        films.truncate(100);
        std::fs::create_dir_all(building.root().join("models")).unwrap();
        let model = "models/regressor-default.safetensors";
        std::fs::copy(workspace.root().join(model), building.root().join(model)).unwrap();
        pipeline::write_films(&building, &films).unwrap();
        pipeline::build_graph(&building, &config, &films, &mut progress::silent).unwrap();
        pipeline::build_index(&building, &config, &films, &mut progress::silent).unwrap();
        std::fs::write(folder.path().join("server/publish.json"), r#"{"seq":7}"#).unwrap();
        for file in ["data/films.jsonl.zst", "graph/graph.tcg", "graph/names.tclx"].iter().take(n_moved) {
            std::fs::rename(building.root().join(file), workspace.root().join(file)).unwrap();
        }
        let server = serve_in(workspace.clone(), config);
        assert_eq!(server.get("/v1/status").expect(200).json()["n_films"], 100, "{n_moved} files moved");
        assert!(!folder.path().join("server/publish.json").exists());
        assert!(!building.root().exists());
        assert_eq!(pipeline::load_films(&workspace).unwrap().len(), 100);
    }
}

#[test]
fn a_change_that_cannot_be_built_in_is_kept_and_told() {
    let (server, [_, write, admin]) = serve_with_keys(|config| config.server.rebuild_after_ms = 0);
    let model = server.workspace.root().join("models/regressor-default.safetensors");
    let aside = model.with_extension("aside");
    std::fs::rename(&model, &aside).unwrap();
    let body = film("new", "New", "violet octopuses").to_string();
    server.by(&write, "POST", "/v1/films", LINES, &body).expect(202);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = server.get("/v1/status").expect(200).json();
        if status["build"]["state"] == "failed" {
            assert_eq!(status["changes"]["pending"], 1);
            break;
        }
        assert!(Instant::now() < deadline, "{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
    // Searching goes on, and the next change is a reason to try again.
    server.search("a shark at the beach");
    std::fs::rename(&aside, &model).unwrap();
    server
        .by(&admin, "POST", "/v1/films", LINES, &film("newer", "Newer", "octopuses").to_string())
        .expect(202);
    let deadline = Instant::now() + Duration::from_secs(120);
    while server.get("/v1/status").json()["n_films"] != 416 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
}
