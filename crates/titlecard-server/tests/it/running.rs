//! Beginning, ending, TLS.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::json;
use titlecard_server::{ServeError, Server};

use crate::client::{Answer, request, serve, serve_in};

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_stop_takes_less_than_five_seconds_and_answers_what_is_in_flight() {
    let mut server = serve(|config| config.server.workers = 1);
    let text = "a man and a woman in the war ".repeat(400);
    let body = json!({ "query": text, "limit": 50, "explain": true }).to_string();
    let bytes = request("POST", "/v1/search", &[("content-type", "application/json")], body.as_bytes());
    let address = server.address;
    // A connection that only stands there must not hold the end up.
    let _idle = TcpStream::connect(address).unwrap();
    let sent: Vec<_> = (0..3)
        .map(|_| {
            let bytes = bytes.clone();
            std::thread::spawn(move || crate::client::send_raw(address, &bytes))
        })
        .collect();
    // Until all three are being answered.
    loop {
        let metrics = server.get("/metrics");
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        let in_flight = text.lines().find_map(|line| line.strip_prefix("titlecard_in_flight ")).unwrap();
        let done = text.contains(r#"titlecard_requests_total{route="/v1/search",status="200"} 3"#);
        if done || in_flight.parse::<u32>().unwrap() >= 4 {
            break;
        }
    }
    let took = server.stop();
    assert!(took < Duration::from_secs(5), "{took:?}");
    for one in sent {
        assert_eq!(Answer::parse(&one.join().unwrap()).status, 200);
    }
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn while_it_ends_it_says_that_it_is_not_ready() {
    let mut server = serve(|_| {});
    server.get("/readyz").expect(200);
    let address = server.address;
    // A request that has begun: its connection is waited for.
    let mut stream = TcpStream::connect(address).unwrap();
    let bytes = request("GET", "/readyz", &[], b"");
    let (begun, rest) = bytes.split_at(20);
    stream.write_all(begun).unwrap();
    while server.connections() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::scope(|scope| {
        let ending = scope.spawn(|| server.stop());
        // It listens no more just before it says so.
        while TcpStream::connect(address).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(rest).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = Answer::parse(&answer).expect(503);
        assert_eq!((answer.code().as_str(), answer.header("retry-after")), ("stopping", Some("5")));
        assert!(ending.join().unwrap() < Duration::from_secs(5));
    });
}

#[test]
fn a_folder_is_served_once_and_can_be_served_again() {
    let (_folder, workspace) = crate::folder();
    let mut server = serve_in(workspace.clone(), crate::small());
    let second = Server::open(workspace.clone(), Box::new(|| Ok(crate::small())));
    assert!(matches!(second, Err(ServeError::InUse(_))));
    server.stop();
    let server = serve_in(workspace, crate::small());
    server.get("/readyz").expect(200);
}

#[test]
fn what_is_missing_is_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = titlecard_engine::pipeline::Workspace::new(folder.path());
    let open = |workspace: &titlecard_engine::pipeline::Workspace,
                change: fn(&mut titlecard_engine::config::Config)| {
        let mut config = crate::small();
        change(&mut config);
        match Server::open(workspace.clone(), Box::new(move || Ok(config.clone()))) {
            Ok(_) => panic!("opened"),
            Err(error) => error.to_string(),
        }
    };
    assert!(open(&workspace, |_| {}).contains("run `titlecard graph build` first"));
    let (_folder, workspace) = crate::folder();
    let no_file = open(&workspace, |config| {
        config.server.tls_certificate = "none.pem".to_owned();
        config.server.tls_key = "none.key".to_owned();
    });
    assert!(no_file.starts_with("TLS: certificate `none.pem`"), "{no_file}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut config = crate::small();
    config.server.address = address.clone();
    let Err(error) = Server::open(workspace, Box::new(move || Ok(config.clone()))) else { panic!("opened") };
    assert!(error.to_string().contains(&format!("cannot listen on `{address}`")), "{error}");
}

#[test]
fn tls_is_spoken_directly() {
    let server = serve(|config| {
        config.server.tls_certificate = fixture("server.pem");
        config.server.tls_key = fixture("server.key");
        config.server.header_timeout_ms = 1_000;
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(server.address).unwrap();
    let mut stream = rustls::Stream::new(&mut tls, &mut socket);
    stream.write_all(&request("GET", "/v1/search?q=a+shark+at+the+beach", &[], b"")).unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    assert_eq!(Answer::parse(&bytes).expect(200).json()["hits"][0]["film"]["title"], "Jaws");
    // Who speaks no TLS is not answered, and who says nothing is cut off.
    assert!(!crate::client::send_raw(server.address, b"GET / HTTP/1.1\r\n\r\n").starts_with(b"HTTP"));
    assert!(crate::client::send_raw(server.address, b"").is_empty());
}
