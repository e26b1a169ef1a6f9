//! `titlecard serve` as a process: signals, and its end at any moment.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{command, run};

/// A server that is killed when it is dropped.
struct Served {
    child: Child,
    address: String,
    stderr: std::thread::JoinHandle<String>,
}

/// A working folder of the sample with a small regressor, a graph, an index and rules.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let small = "[regressor]\nepochs = 1\nhidden = [16]\ndropout = [0.1]\n[server]\naddress = \"127.0.0.1:0\"\nrate_per_second = 0\n";
    std::fs::write(path.join("titlecard.toml"), small).unwrap();
    for arguments in [&["prepare"][..], &["train", "regressor"], &["graph", "build"], &["index"]] {
        run(path, arguments).expect(0);
    }
    std::fs::write(path.join("models/rules.json"), titlecard_engine::sample::RULES).unwrap();
    folder
}

fn serve(folder: &Path, arguments: &[&str]) -> Served {
    let arguments: Vec<&str> = std::iter::once("serve").chain(arguments.iter().copied()).collect();
    let mut child = command(folder, &arguments).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut seen = String::new();
    let address = loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the server ended: {seen}");
        seen.push_str(&line);
        if let Some((_, rest)) = line.split_once("serving on http://") {
            break rest.split('/').next().unwrap().to_owned();
        }
    };
    let stderr = std::thread::spawn(move || {
        let mut rest = seen;
        let _ = lines.read_to_string(&mut rest);
        rest
    });
    Served { child, address, stderr }
}

impl Served {
    /// Status and body; none if the server is gone.
    fn send(&self, method: &str, path: &str, key: &str, body: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let kind = if body.contains('\n') { "application/x-ndjson" } else { "application/json" };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\
             content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.stderr.join().unwrap();
    }

    /// Exit code and stderr.
    fn ended(mut self) -> (i32, String) {
        let status = self.child.wait().unwrap();
        (status.code().unwrap_or(-1), self.stderr.join().unwrap())
    }
}

fn key(folder: &Path, role: &str) -> String {
    run(folder, &["serve", "--new-key", role, "--key-name", role]).expect(0).stdout.trim().to_owned()
}

#[test]
fn signals_reload_and_end_it_and_the_log_has_no_question() {
    let folder = folder();
    let server = serve(folder.path(), &[]);
    let search = "/v1/search?q=octopus+shark+beach&explain=true";
    assert_eq!(server.send("GET", search, "none", "").unwrap().0, 401);
    let admin = key(folder.path(), "admin");
    server.signal("-HUP");
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.send("GET", search, &admin, "").unwrap().0 != 200 {
        assert!(Instant::now() < deadline, "the new key is not taken");
        std::thread::sleep(Duration::from_millis(50));
    }
    let started = Instant::now();
    server.signal("-TERM");
    let (code, stderr) = server.ended();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("/v1/search") && stderr.contains("key=\"admin\""), "{stderr}");
    assert!(!stderr.contains("octopus") && !stderr.contains(&admin), "{stderr}");

    let server = serve(folder.path(), &["--set", "server.log_queries=true"]);
    server.send("GET", search, &admin, "").unwrap();
    server.signal("-INT");
    let (code, stderr) = server.ended();
    assert!(code == 0 && stderr.contains("octopus"), "{stderr}");
}

/// Kills a server at moments spread over writing, building and exchanging. `TITLECARD_KILLS=200` for as many moments
/// as one has time for.
#[test]
fn nothing_acknowledged_is_lost_whenever_it_is_killed() {
    let folder = folder();
    let write = key(folder.path(), "write");
    let kills: u64 = std::env::var("TITLECARD_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    let mut acknowledged = 0;
    for round in 0..kills {
        let server = serve(folder.path(), &["--set", "server.rebuild_after_ms=0"]);
        // Moments from the first write to well into a build, in an order that leaves none out.
        let moment = Duration::from_millis(round * 379 % 1_900);
        let started = Instant::now();
        let before = acknowledged;
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut taken = 0;
                loop {
                    let n = before + taken;
                    let film = format!(
                        "{{\"id\":\"k{n}\",\"title\":\"Kept {n}\",\"overview\":\"the film that was kept number {n}\"}}\n"
                    );
                    match server.send("POST", "/v1/films", &write, &film) {
                        Some((202, _)) => taken += 1,
                        Some((status, body)) => panic!("{status} {body}"),
                        None => return taken,
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
            std::thread::sleep(moment.saturating_sub(started.elapsed()));
            server.signal("-KILL");
            acknowledged += writer.join().unwrap();
        });
        server.kill();
    }
    let server = serve(folder.path(), &["--set", "server.rebuild_after_ms=0"]);
    let status = server.wait_until_idle(&write);
    // A change that was on disk but whose answer was cut off may be there as well.
    let n_films = status["n_films"].as_u64().unwrap();
    assert!((414 + acknowledged..=414 + acknowledged + kills).contains(&n_films), "{acknowledged} {status}");
    for n in 0..acknowledged {
        assert_eq!(
            server.send("GET", &format!("/v1/films/k{n}"), &write, "").unwrap().0,
            200,
            "film {n} is lost"
        );
    }
    eprintln!("{kills} kills, {acknowledged} changes acknowledged, none lost");
    server.kill();
}

impl Served {
    fn status(&self, key: &str) -> serde_json::Value {
        let (_, body) = self.send("GET", "/v1/status", key, "").unwrap();
        serde_json::from_str(&body).unwrap()
    }

    /// Waits until all changes are built in.
    fn wait_until_idle(&self, key: &str) -> serde_json::Value {
        let deadline = Instant::now() + Duration::from_secs(180);
        loop {
            let status = self.status(key);
            if status["changes"]["pending"] == 0 && status["build"]["state"] == "idle" {
                return status;
            }
            assert!(Instant::now() < deadline, "{status}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Adds film number `n`.
    fn put(&self, key: &str, n: usize) {
        let film = format!(
            "{{\"id\":\"k{n}\",\"title\":\"Kept {n}\",\"overview\":\"the film that was kept number {n}\"}}\n"
        );
        assert_eq!(self.send("POST", "/v1/films", key, &film).unwrap().0, 202);
    }

    fn answers(&self, key: &str) -> Vec<String> {
        let questions =
            ["shark+beach+town", "the+film+that+was+kept", "a+long+war+year:1930..1990", "kept+number+3"];
        let ask = |question: &str| {
            let (status, body) =
                self.send("GET", &format!("/v1/search?q={question}&limit=50"), key, "").unwrap();
            assert_eq!(status, 200, "{body}");
            let mut body: serde_json::Value = serde_json::from_str(&body).unwrap();
            let fields = body.as_object_mut().unwrap();
            // A state is named by its files, and the text index names its own by chance.
            fields.retain(|name, _| name != "latency_ms" && name != "generation");
            body.to_string()
        };
        questions.map(ask).into()
    }
}

#[test]
fn a_server_builds_when_nobody_else_writes() {
    let folder = folder();
    let write = key(folder.path(), "write");
    let server = serve(folder.path(), &["--set", "server.rebuild_after_ms=0"]);
    let lock = titlecard_engine::pipeline::Workspace::new(folder.path()).lock().unwrap();
    server.put(&write, 0);
    std::thread::sleep(Duration::from_millis(500));
    let status = server.status(&write);
    assert_eq!(
        (&status["changes"]["pending"], &status["build"]["state"]),
        (&1.into(), &"waiting".into()),
        "{status}"
    );
    assert_eq!(server.send("GET", "/v1/search?q=shark", &write, "").unwrap().0, 200);
    drop(lock);
    assert_eq!(server.wait_until_idle(&write)["n_films"], 415);
    server.kill();
}

/// Backups while changes come in: each restores to a state that has all that was acknowledged before it began, and the
/// last one, taken while a build runs, to the same answers.
#[test]
fn a_backup_while_serving_restores_to_the_same_answers() {
    let folder = folder();
    let write = key(folder.path(), "write");
    let no_wait = ["--set", "server.rebuild_after_ms=0"];
    let server = serve(folder.path(), &no_wait);
    let copies = tempfile::tempdir().unwrap();
    let target = |name: &str| copies.path().join(name);
    let backup = |name: &str, flags: &[&str]| {
        let target = target(name);
        let arguments: Vec<&str> = [&["backup", target.to_str().unwrap()], flags].concat();
        run(folder.path(), &arguments).expect(0);
    };
    let n_put = std::sync::atomic::AtomicUsize::new(0);
    let is_done = std::sync::atomic::AtomicBool::new(false);
    let n_rounds = std::env::var("TITLECARD_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3_usize);
    let acknowledged: Vec<usize> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(std::sync::atomic::Ordering::SeqCst) {
                let n = n_put.load(std::sync::atomic::Ordering::SeqCst);
                server.put(&write, n);
                n_put.store(n + 1, std::sync::atomic::Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let rounds = (0..n_rounds).map(|round| {
            std::thread::sleep(Duration::from_millis(150 + 70 * round as u64 % 300));
            let before = n_put.load(std::sync::atomic::Ordering::SeqCst);
            backup(&format!("round-{round}"), if round % 2 == 0 { &[] } else { &["--link"] });
            before
        });
        let rounds = rounds.collect();
        is_done.store(true, std::sync::atomic::Ordering::SeqCst);
        rounds
    });
    backup("last", &[]);
    for (round, before) in acknowledged.into_iter().enumerate() {
        let target = target(&format!("round-{round}"));
        run(&target, &["verify"]).expect(0);
        let restored = serve(&target, &no_wait);
        let status = restored.wait_until_idle(&write);
        assert!(
            status["n_films"].as_u64().unwrap() >= 414 + before as u64,
            "{before} acknowledged: {status}"
        );
        for n in 0..before {
            assert_eq!(
                restored.send("GET", &format!("/v1/films/k{n}"), &write, "").unwrap().0,
                200,
                "film {n}"
            );
        }
        restored.kill();
    }
    let restored = serve(&target("last"), &no_wait);
    restored.wait_until_idle(&write);
    server.wait_until_idle(&write);
    assert_eq!(restored.answers(&write), server.answers(&write));
    restored.kill();
    server.kill();
    // What was linked is not changed by what came later.
    run(&target("round-1"), &["verify"]).expect(0);

    let again = run(folder.path(), &["backup", target("last").to_str().unwrap()]).expect(2);
    assert!(
        again.stderr.contains("exists") && again.stderr.contains("hint: name a folder"),
        "{}",
        again.stderr
    );
    let inside = run(folder.path(), &["backup", "data/copy"]).expect(2);
    assert!(inside.stderr.contains("lies in the folder that is copied"), "{}", inside.stderr);
}
