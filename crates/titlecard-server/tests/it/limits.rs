//! Limits: how much, how fast, how long.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;
use titlecard_engine::config::Config;
use titlecard_server::{Role, ServeError, Server, keys_path, new_key};

use crate::client::{Answer, request, serve, serve_in, serve_with_keys};

#[test]
fn a_body_is_no_longer_than_it_may_be() {
    let (server, [_, write, _]) = serve_with_keys(|config| {
        config.server.max_body_bytes = 1_000;
        config.server.max_update_bytes = 2_000;
    });
    let long = json!({ "query": "shark ".repeat(300) });
    assert_eq!(server.post("/v1/search", &long).expect(413).code(), "body_too_large");
    let film = json!({ "id": "1", "title": "A", "overview": "x".repeat(3_000) }).to_string();
    let kind = "application/x-ndjson";
    assert_eq!(server.by(&write, "POST", "/v1/films", kind, &film).expect(413).code(), "body_too_large");
    let film = json!({ "id": "1", "title": "A", "overview": "x".repeat(1_500) }).to_string();
    server.by(&write, "POST", "/v1/films", kind, &film).expect(202);
}

#[test]
fn each_key_has_its_own_rate() {
    let (server, [read, write, _]) = serve_with_keys(|config| {
        config.server.rate_per_second = 1;
        config.server.rate_burst = 3;
    });
    let status = |key: &str| server.by(key, "GET", "/v1/status", "", "");
    let answers: Vec<Answer> = (0..8).map(|_| status(&read)).collect();
    assert!(answers[..3].iter().all(|answer| answer.status == 200));
    let refused = answers.iter().find(|answer| answer.status == 429).expect("eight requests in a moment");
    assert_eq!(refused.code(), "too_many_requests");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(status(&write).status, 200, "another key is not held up");
    assert_eq!(server.get("/v1/status").status, 200, "nor who has none");
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn beyond_the_queue_clients_are_told_to_come_back() {
    let server = serve(|config| {
        config.server.workers = 1;
        config.server.queue = 2;
    });
    let text = "a man and a woman in the war ".repeat(400);
    let body = json!({ "query": text, "limit": 100, "explain": true }).to_string();
    let bytes = request("POST", "/v1/search", &[("content-type", "application/json")], body.as_bytes());
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let sent: Vec<_> = (0..24)
            .map(|_| scope.spawn(|| Answer::parse(&crate::client::send_raw(server.address, &bytes))))
            .collect();
        sent.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let n_ok = answers.iter().filter(|answer| answer.status == 200).count();
    let busy: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert_eq!(n_ok + busy.len(), 24);
    assert!(n_ok >= 3 && !busy.is_empty(), "{n_ok} answered, {} refused", busy.len());
    for answer in busy {
        assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("busy", Some("1")));
    }
    server.search("a shark at the beach");
}

#[test]
fn a_request_is_given_up_after_its_time() {
    let server = serve(|config| {
        config.server.workers = 1;
        config.server.deadline_ms = 1;
    });
    let text = "a man and a woman in the war ".repeat(400);
    let answer = server.post("/v1/search", &json!({ "query": text })).expect(503);
    assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("deadline", Some("2")));
}

#[test]
fn slow_clients_are_cut_off() {
    let server = serve(|config| {
        config.server.header_timeout_ms = 300;
        config.server.body_timeout_ms = 300;
    });
    let closed = |stream: &mut TcpStream| {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let started = Instant::now();
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        assert!(started.elapsed() < Duration::from_secs(20), "not cut off");
        bytes
    };
    // Nothing, half a head, and a head that comes letter by letter.
    let mut idle = TcpStream::connect(server.address).unwrap();
    let mut half = TcpStream::connect(server.address).unwrap();
    half.write_all(b"GET /healthz HTTP/1.1\r\nhost: loc").unwrap();
    let mut slow = TcpStream::connect(server.address).unwrap();
    let started = Instant::now();
    for byte in b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: yyyyyyyyyyyyyyyyyyyyyyyyyyyy".iter().cycle()
    {
        if slow.write_all(&[*byte]).is_err() || started.elapsed() > Duration::from_secs(20) {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(started.elapsed() < Duration::from_secs(20), "a slow head is not cut off");
    closed(&mut idle);
    closed(&mut half);
    // A body that does not come.
    let mut body = TcpStream::connect(server.address).unwrap();
    let head = "POST /v1/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{";
    body.write_all(head.as_bytes()).unwrap();
    let answer = Answer::parse(&closed(&mut body));
    assert_eq!((answer.status, answer.code().as_str()), (408, "body_timeout"));
    server.search("a shark at the beach");
}

#[test]
fn a_client_that_leaves_its_answer_standing_is_cut_off() {
    let server = serve(|config| config.server.write_timeout_ms = 300);
    let mut stream = TcpStream::connect(server.address).unwrap();
    // Requests upon requests, and never a byte read: the way back fills up.
    let bytes = request("GET", "/app.js", &[("connection", "keep-alive")], b"").repeat(50);
    stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    let started = Instant::now();
    let mut cut_off = false;
    while started.elapsed() < Duration::from_secs(20) {
        let text = String::from_utf8_lossy(&bytes).replace("connection: close\r\n", "");
        if stream.write_all(text.as_bytes()).is_err() {
            cut_off = true;
            break;
        }
    }
    assert!(cut_off, "the connection still stands");
}

#[test]
fn too_many_connections_are_turned_away() {
    let server = serve(|config| config.server.max_connections = 3);
    let held: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = Answer::parse(&crate::client::send_raw(server.address, b""));
        if answer.status == 503 {
            assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("busy", Some("1")));
            break;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
    }
    drop(held);
    while server.get_or_none("/healthz") != Some(200) {
        assert!(Instant::now() < deadline, "connections that are closed still count");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_public_address_needs_a_key() {
    let (_folder, workspace) = crate::folder();
    let mut config = crate::small();
    config.server.address = "0.0.0.0:0".to_owned();
    let open = |config: &Config| {
        let config = config.clone();
        Server::open(workspace.clone(), Box::new(move || Ok(config.clone())))
    };
    let Err(error) = open(&config) else { panic!("a public server without a key") };
    assert!(matches!(error, ServeError::PublicWithoutKey(_)));
    assert!(error.to_string().contains("titlecard serve --new-key read"), "{error}");
    for address in ["7878", "example.org:80", "localhost"] {
        let mut config = crate::small();
        config.server.address = address.to_owned();
        assert!(matches!(open(&config), Err(ServeError::Address(_))), "{address}");
    }

    let key = new_key(&keys_path(&workspace), Role::Read, "reader").unwrap();
    let mut server = serve_in(workspace.clone(), config.clone());
    server.address.set_ip([127, 0, 0, 1].into());
    assert_eq!(server.get("/v1/search?q=shark").expect(401).code(), "key_needed");
    assert_eq!(server.get("/metrics").expect(401).code(), "key_needed");
    server.by(&key, "GET", "/v1/search?q=shark", "", "").expect(200);
    server.get("/").expect(200);
    server.get("/healthz").expect(200);
    server.stop();

    config.server.public_reads = true;
    let mut server = serve_in(workspace, config);
    server.address.set_ip([127, 0, 0, 1].into());
    server.get("/v1/search?q=shark").expect(200);
    assert_eq!(server.send("POST", "/v1/reload", &[], b"").expect(401).code(), "key_needed");
}

#[test]
fn other_origins_read_nothing_unless_told() {
    let origin = [("origin", "https://films.example")];
    let server = serve(|_| {});
    let answer = server.send("GET", "/v1/search?q=shark", &origin, b"");
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let server = serve(|config| config.server.origins = vec!["https://films.example".to_owned()]);
    let answer = server.send("GET", "/v1/search?q=shark", &origin, b"");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://films.example"));
    let other = [("origin", "https://other.example")];
    let answer = server.send("GET", "/v1/search?q=shark", &other, b"");
    assert_eq!(answer.header("access-control-allow-origin"), None);
}
