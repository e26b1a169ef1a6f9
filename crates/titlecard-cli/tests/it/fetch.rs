//! `fetch` against a server of this test that behaves like the real ones, good and bad.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::{Run, command};

/// What was asked: path, and headers by lower-case name.
#[derive(Debug, Clone)]
struct Asked {
    path: String,
    headers: HashMap<String, String>,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// Answers every request with `answer` (number of the request from 0, request, connection).
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn start(answer: impl Fn(usize, &Asked, &mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let Some(Ok(first)) = lines.next() else { continue };
                let headers = lines
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                    .filter_map(|line| {
                        line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                    })
                    .collect();
                let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
                let request = Asked { path, headers };
                log.lock().unwrap().push(request.clone());
                answer(number, &request, &mut stream);
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// Writes a head and a body; a client that went away is no fault of the server.
fn send(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let _ = write!(stream, "HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n");
    let _ = stream.write_all(body);
    let _ = stream.flush();
}

fn length(body: &[u8]) -> String {
    format!("Content-Length: {}\r\n", body.len())
}

fn body() -> Vec<u8> {
    (0..200_000_u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 8).to_le_bytes()).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// A server with ranges: sends what is asked for, at most `cut` bytes of it in the first `n_cuts` answers.
fn with_ranges(etag: &'static str, cut: usize, n_cuts: usize) -> Server {
    Server::start(move |number, request, stream| {
        let whole = body();
        let start = request.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
        let start =
            start.filter(|_| request.header("if-range") == etag).map_or(0, |start| start.parse().unwrap());
        let (status, range) = if start > 0 {
            (
                "206 Partial Content",
                format!("Content-Range: bytes {start}-{}/{}\r\n", whole.len() - 1, whole.len()),
            )
        } else {
            ("200 OK", String::new())
        };
        let rest = &whole[start..];
        let headers = format!("{}{range}ETag: {etag}\r\nAccept-Ranges: bytes\r\n", length(rest));
        let sent = if number < n_cuts { cut.min(rest.len()) } else { rest.len() };
        send(stream, status, &headers, &rest[..sent]);
    })
}

/// Runs `fetch` without credentials of whoever runs the tests.
fn fetch(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    let mut command = command(folder, &[&["fetch"], arguments].concat());
    for name in ["KAGGLE_API_TOKEN", "KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_API_ENDPOINT"] {
        command.env_remove(name);
    }
    command.env("KAGGLE_CONFIG_DIR", folder).envs(variables.iter().copied());
    command.output().unwrap().into()
}

#[test]
fn a_file_that_is_cut_off_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_ranges("\"one\"", 300_000, 2);
    let url = format!("{}/films.csv", server.url);
    let run = fetch(folder.path(), &[&url, "--sha256", &sha256(&body())], &[]).expect(0);
    assert!(run.stderr.contains("800000 bytes"), "{}", run.stderr);
    assert_eq!(fs::read(folder.path().join("data/raw/films.csv")).unwrap(), body());
    let ranges: Vec<String> = server.asked().iter().map(|asked| asked.header("range").to_owned()).collect();
    assert_eq!(ranges, ["", "bytes=300000-", "bytes=600000-"]);
    let left = fs::read_dir(folder.path().join("data/raw")).unwrap().count();
    assert_eq!(left, 1, "no part stays");
    let again = fetch(folder.path(), &[&url], &[]).expect(0);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn a_part_of_an_earlier_run_is_used_only_if_the_file_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    // Every answer is cut: the run ends, the part stays.
    let server = with_ranges("\"one\"", 100_000, 4);
    let url = format!("{}/a.bin", server.url);
    let cut = fetch(folder.path(), &[&url], &[]).expect(2);
    assert!(cut.stderr.contains("hint: run the same command again to go on"), "{}", cut.stderr);
    let raw = folder.path().join("data/raw");
    assert!(!raw.join("a.bin").exists());
    assert_eq!(fs::metadata(raw.join("a.bin.part")).unwrap().len(), 400_000);
    let state = fs::read_to_string(raw.join("a.bin.part.json")).unwrap();
    let json = fetch(folder.path(), &[&url, "--json"], &[]).expect(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["resumed_from"].as_u64(), json["bytes"].as_u64()), (Some(400_000), Some(800_000)));
    assert_eq!(fs::read(raw.join("a.bin")).unwrap(), body());

    // The file has changed since: all of it is sent, none of the part is kept.
    fs::remove_file(raw.join("a.bin")).unwrap();
    fs::write(raw.join("a.bin.part"), vec![0; 1000]).unwrap();
    fs::write(raw.join("a.bin.part.json"), state.replace("one", "older")).unwrap();
    fetch(folder.path(), &[&url], &[]).expect(0);
    assert_eq!(server.asked().last().unwrap().header("if-range"), "\"older\"");
    assert_eq!(fs::read(raw.join("a.bin")).unwrap(), body());
}

#[test]
fn a_server_without_ranges_is_asked_for_all_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|number, _, stream| {
        let whole = body();
        let sent = if number == 0 { 5000 } else { whole.len() };
        send(stream, "200 OK", &length(&whole), &whole[..sent]);
    });
    fetch(folder.path(), &[&format!("{}/a", server.url)], &[]).expect(0);
    assert_eq!(fs::read(folder.path().join("data/raw/a")).unwrap(), body());
    assert!(server.asked().iter().all(|asked| asked.header("range").is_empty()));
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn credentials_do_not_follow_to_another_host() {
    let folder = tempfile::tempdir().unwrap();
    let storage = with_ranges("\"x\"", 1000, 1);
    let there = format!("{}/signed?key=1", storage.url.replace("127.0.0.1", "localhost"));
    let kaggle = Server::start(move |_, _, stream| {
        send(stream, "302 Found", &format!("Location: {there}\r\nContent-Length: 0\r\n"), b"");
    });
    let endpoint = ["kaggle:owner/films", "--endpoint", &kaggle.url];
    fetch(folder.path(), &endpoint, &[("KAGGLE_USERNAME", "me"), ("KAGGLE_KEY", "secret")]).expect(0);
    let asked = kaggle.asked();
    assert_eq!(asked[0].path, "/api/v1/datasets/download/owner/films");
    // printf me:secret | base64
    assert!(asked.iter().all(|asked| asked.header("authorization") == "Basic bWU6c2VjcmV0"));
    assert_eq!(storage.asked().len(), 2, "cut once, gone on with");
    assert_eq!(storage.asked()[1].header("range"), "bytes=1000-");
    assert!(storage.asked().iter().all(|asked| asked.header("authorization").is_empty()));
    assert_eq!(fs::read(folder.path().join("data/raw/films.zip")).unwrap(), body());

    let bearer = [&endpoint[..], &["--output", "b.zip"]].concat();
    fetch(folder.path(), &bearer, &[("KAGGLE_API_TOKEN", "token")]).expect(0);
    assert_eq!(kaggle.asked().last().unwrap().header("authorization"), "Bearer token");
    fs::write(folder.path().join("kaggle.json"), r#"{"username": "me", "key": "secret"}"#).unwrap();
    fetch(folder.path(), &[&endpoint[..], &["--output", "c.zip"]].concat(), &[]).expect(0);
    assert_eq!(kaggle.asked().last().unwrap().header("authorization"), "Basic bWU6c2VjcmV0");
    fs::write(folder.path().join("kaggle.json"), "secret").unwrap();
    let run = fetch(folder.path(), &[&endpoint[..], &["--output", "d.zip"]].concat(), &[]).expect(2);
    assert!(run.stderr.contains("does not hold") && !run.stderr.contains("secret"), "{}", run.stderr);
}

#[test]
fn a_file_that_is_there_is_taken_only_if_it_is_the_one_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("data/raw")).unwrap();
    fs::write(folder.path().join("data/raw/films.csv"), body()).unwrap();
    // Nobody listens there: nothing is asked.
    let url = "http://127.0.0.1:9/films.csv";
    let run = fetch(folder.path(), &[url, "--json", "--sha256", &sha256(&body())], &[]).expect(0);
    assert!(run.stdout.contains(&sha256(&body())), "{}", run.stdout);
    let run = fetch(folder.path(), &[url, "--sha256", &sha256(b"other")], &[]).expect(2);
    assert!(run.stderr.contains("is there already with the checksum"), "{}", run.stderr);
    assert_eq!(fs::read(folder.path().join("data/raw/films.csv")).unwrap(), body());
}

#[test]
fn every_refusal_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for (status, expected) in [
        ("401 Unauthorized", "hint: make a token at https://www.kaggle.com/settings"),
        ("403 Forbidden", "refuses (status 403)"),
        ("404 Not Found", "hint: check the name"),
        ("418 Odd", "answers with status 418, expected 200"),
        ("429 Too Many Requests", "asks to wait 7200 s"),
    ] {
        let server = Server::start(move |_, _, stream| {
            send(stream, status, "Content-Length: 0\r\nRetry-After: 7200\r\n", b"");
        });
        let run = fetch(folder.path(), &["tmdb-clean", "--endpoint", &server.url], &[]).expect(2);
        assert!(run.stderr.contains(expected), "{status}: {}", run.stderr);
        assert_eq!(server.asked().len(), 1);
        assert!(!folder.path().join("data/raw/tmdb-clean.zip").exists());
    }
    let message = |arguments: &[&str]| fetch(folder.path(), arguments, &[]).expect(2).stderr;
    assert!(message(&["tmdb"]).contains("there is nothing called `tmdb`"));
    assert!(message(&["kaggle:../x"]).contains("is no data set of Kaggle"));
    assert!(message(&["http://127.0.0.1:9/"]).contains("say where it goes with `--output FILE`"));
    assert!(message(&["http://127.0.0.1:9/a", "--sha256", "12"]).contains("64 digits"));
    // Nobody listens on the port for "discard".
    assert!(message(&["http://127.0.0.1:9/a"]).contains("hint: is there a network?"));
}

#[test]
fn a_busy_server_is_asked_again_when_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|number, _, stream| match number {
        0 => send(stream, "429 Too Many Requests", "Retry-After: 1\r\nContent-Length: 0\r\n", b""),
        _ => send(stream, "200 OK", "Content-Length: 2\r\n", b"ok"),
    });
    let started = Instant::now();
    fetch(folder.path(), &[&format!("{}/a", server.url)], &[]).expect(0);
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(fs::read(folder.path().join("data/raw/a")).unwrap(), b"ok");
}

#[test]
fn a_wrong_checksum_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = with_ranges("\"x\"", 0, 0);
    let run =
        fetch(folder.path(), &[&format!("{}/a", server.url), "--sha256", &sha256(b"other")], &[]).expect(2);
    assert!(run.stderr.contains(&format!("has the checksum {}", sha256(&body()))), "{}", run.stderr);
    assert_eq!(fs::read_dir(folder.path().join("data/raw")).unwrap().count(), 0);
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|number, _, stream| {
        if number == 0 {
            send(stream, "200 OK", "Content-Length: 4\r\nETag: \"a\"\r\n", b"ab");
            let stream = stream.try_clone().unwrap();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(20));
                drop(stream);
            });
        } else {
            send(stream, "206 Partial Content", "Content-Length: 2\r\nContent-Range: bytes 2-3/4\r\n", b"cd");
        }
    });
    let started = Instant::now();
    fetch(folder.path(), &[&format!("{}/a", server.url), "--patience", "1"], &[]).expect(0);
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_eq!(fs::read(folder.path().join("data/raw/a")).unwrap(), b"abcd");
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_part() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _, stream| {
        let whole = body();
        let head = format!("HTTP/1.1 200 OK\r\n{}ETag: \"a\"\r\n\r\n", length(&whole));
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&whole[..200_000]);
        std::thread::sleep(Duration::from_secs(30));
    });
    let url = format!("{}/a", server.url);
    let child = command(folder.path(), &["fetch", &url])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let part = folder.path().join("data/raw/a.part");
    let started = Instant::now();
    while !fs::metadata(&part).is_ok_and(|part| part.len() == 200_000) {
        assert!(started.elapsed() < Duration::from_secs(20), "nothing was fetched");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let run = Run::from(child.wait_with_output().unwrap()).expect(130);
    assert!(run.stderr.contains("kept for the next run"), "{}", run.stderr);
    assert_eq!(fs::metadata(&part).unwrap().len(), 200_000);
    assert!(started.elapsed() < Duration::from_secs(25));
}

#[test]
fn what_was_fetched_is_unpacked_safely() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _, stream| {
        let packed = zstd::encode_all(&b"1 2\nword 0.5 0.5\n"[..], 3).unwrap();
        send(stream, "200 OK", &length(&packed), &packed);
    });
    let url = format!("{}/vectors.txt.zst", server.url);
    fetch(folder.path(), &[&url, "--unpack"], &[]).expect(0);
    let unpacked = folder.path().join("data/raw/vectors.txt");
    assert_eq!(fs::read(&unpacked).unwrap(), b"1 2\nword 0.5 0.5\n");
    fs::remove_file(&unpacked).unwrap();
    let run = fetch(folder.path(), &[&url, "--unpack", "--max-unpacked-mb", "0"], &[]).expect(2);
    assert!(run.stderr.contains("unpacks to more than 0 bytes"), "{}", run.stderr);
    assert!(!unpacked.exists());
}
