//! A server in a thread, and a client that sends what it is told, well-formed or not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use titlecard_engine::config::Config;
use titlecard_engine::pipeline::Workspace;
use titlecard_server::{Role, ServeError, Server, keys_path, new_key};

/// A server that ends when it is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) workspace: Workspace,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
    /// Removed after the server has ended.
    folder: Option<tempfile::TempDir>,
}

impl Running {
    /// Ends the server; answers how long that took.
    pub(crate) fn stop(&mut self) -> Duration {
        let started = Instant::now();
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
        started.elapsed()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

/// Opens and runs a server over `workspace`.
pub(crate) fn serve_in(workspace: Workspace, config: Config) -> Running {
    let read = Box::new(move || Ok(config.clone()));
    let server = Server::open(workspace.clone(), read).unwrap();
    let address = server.address().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        server.run(async {
            let _ = stopped.await;
        })
    });
    Running { address, workspace, stop: Some(stop), thread: Some(thread), folder: None }
}

/// A server over a copy of the sample.
pub(crate) fn serve(change: impl FnOnce(&mut Config)) -> Running {
    let (folder, workspace) = crate::folder();
    let mut config = crate::small();
    change(&mut config);
    let mut running = serve_in(workspace, config);
    running.folder = Some(folder);
    running
}

/// A server over a copy of the sample with a key of each role.
pub(crate) fn serve_with_keys(change: impl FnOnce(&mut Config)) -> (Running, [String; 3]) {
    let (folder, workspace) = crate::folder();
    let keys = [Role::Read, Role::Write, Role::Admin]
        .map(|role| new_key(&keys_path(&workspace), role, role.name()).unwrap());
    let mut config = crate::small();
    change(&mut config);
    let mut running = serve_in(workspace, config);
    running.folder = Some(folder);
    (running, keys)
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The code of an error, checking its form.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        let json = self.json();
        let error = &json["error"];
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{json}");
        error["code"].as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, String::from_utf8_lossy(&self.body));
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// Sends bytes and reads to the end of the connection.
pub(crate) fn send_raw(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    // A server that has seen enough may answer and close before everything is sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// A request, ready to be sent.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        text.push_str("host: localhost\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method != "GET" {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

impl Running {
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Answer::parse(&send_raw(self.address, &request(method, path, headers, body)))
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    /// With a key.
    pub(crate) fn by(&self, key: &str, method: &str, path: &str, kind: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {key}");
        let mut headers = vec![("authorization", bearer.as_str())];
        if !kind.is_empty() {
            headers.push(("content-type", kind));
        }
        self.send(method, path, &headers, body.as_bytes())
    }

    pub(crate) fn search(&self, query: &str) -> Value {
        self.post("/v1/search", &serde_json::json!({ "query": query, "explain": true })).expect(200).json()
    }
}

impl Running {
    /// The status, if there is an answer at all.
    pub(crate) fn get_or_none(&self, path: &str) -> Option<u16> {
        let bytes = send_raw(self.address, &request("GET", path, &[], b""));
        String::from_utf8_lossy(&bytes).split(' ').nth(1)?.parse().ok()
    }

    /// Connections that are open, with the one that asks.
    pub(crate) fn connections(&self) -> usize {
        let metrics = self.get("/metrics").expect(200).body;
        let text = String::from_utf8_lossy(&metrics).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("titlecard_connections "));
        line.unwrap().parse().unwrap()
    }
}
