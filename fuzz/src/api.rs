//! The HTTP API in memory: every request has an answer of 2xx, or of 4xx in the form and with a code of `docs/api.md`.

use std::fs;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use serde_json::Value;
use titlecard_engine::config::Config;
use titlecard_engine::pipeline::Workspace;
use titlecard_server::{Code, Role, Server, keys_path, new_key};
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// Bytes of an answer, at most: far more than any of so small a catalogue.
const MAX_ANSWER: usize = 8 << 20;

/// A server that does not listen, with a key that may do everything.
pub struct Api {
    runtime: Runtime,
    router: Router,
    /// Holds the working folder as long as the router is used.
    _server: Server,
    workspace: Workspace,
    bearer: String,
    rules: Vec<u8>,
}

impl Api {
    /// Opens a working folder with index, graph and rules.
    ///
    /// # Panics
    /// If it cannot be served.
    pub fn open(workspace: Workspace, mut config: Config) -> Self {
        "127.0.0.1:0".clone_into(&mut config.server.address);
        let key = new_key(&keys_path(&workspace), Role::Admin, "fuzz").expect("a folder that can be written");
        let rules = fs::read(workspace.rules()).expect("rules");
        let server = Server::open(workspace.clone(), Box::new(move || Ok(config.clone())))
            .expect("a folder that can be served");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a thread");
        Self {
            runtime,
            router: server.router(),
            _server: server,
            workspace,
            bearer: format!("Bearer {key}"),
            rules,
        }
    }

    /// `bytes`: a line of method, address and, if there is one, content type; behind it the body. Changes of films are taken
    /// and never built in, and other rules are taken back, so that every request meets the same state.
    ///
    /// # Panics
    /// If the answer is not what clients are promised.
    pub fn request(&self, bytes: &[u8]) {
        let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
        let (line, body) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
        let Ok(line) = std::str::from_utf8(line) else { return };
        let mut words = line.splitn(3, ' ');
        let (Some(method), Some(address)) = (words.next(), words.next()) else { return };
        // What is no method or address never comes this far.
        let (Ok(method), Ok(address)) = (method.parse::<Method>(), address.parse::<Uri>()) else { return };
        let mut request = Request::builder()
            .method(&method)
            .uri(address)
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, &self.bearer);
        if let Some(kind) = words.next() {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let Ok(request) = request.body(Body::from(body.to_vec())) else { return };
        let (status, headers, answer) = self.answer(request);
        self.check(&method, status, &headers, &answer);
        if status.is_success() && matches!(method, Method::PUT | Method::PATCH) {
            self.put_rules_back();
        }
    }

    fn answer(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Vec<u8>) {
        self.runtime.block_on(async {
            let Ok(response) = self.router.clone().oneshot(request).await;
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, MAX_ANSWER).await.expect("an answer of bounded length");
            (parts.status, parts.headers, body.to_vec())
        })
    }

    fn check(&self, method: &Method, status: StatusCode, headers: &HeaderMap, answer: &[u8]) {
        let shown = String::from_utf8_lossy(answer);
        let is_json = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        assert!(headers.contains_key(header::X_CONTENT_TYPE_OPTIONS), "{status}: {headers:?}");
        if *method == Method::HEAD {
            return assert!(!status.is_server_error(), "{status}");
        }
        if status.is_success() {
            assert!(!is_json || serde_json::from_slice::<Value>(answer).is_ok(), "{status}: {shown}");
            return;
        }
        assert!(status.is_client_error() && is_json, "{status}: {shown}");
        let answer: Value = serde_json::from_slice(answer).unwrap_or_else(|error| panic!("{error}: {shown}"));
        let error = &answer["error"];
        let known =
            |code: &Code| error["code"] == code.name_and_status().0 && status == code.name_and_status().1;
        assert!(Code::ALL.iter().any(known), "{status}: {shown}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{status}: {shown}");
        assert!(
            error["hint"].is_null() || error["hint"].as_str().is_some_and(|hint| !hint.is_empty()),
            "{status}: {shown}"
        );
        assert!(!shown.contains(&*self.workspace.root().to_string_lossy()), "a path in an answer: {shown}");
    }

    fn put_rules_back(&self) {
        if fs::read(self.workspace.rules()).is_ok_and(|rules| rules == self.rules) {
            return;
        }
        fs::write(self.workspace.rules(), &self.rules).expect("a folder of our own");
        let request = Request::post("/v1/reload")
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, &self.bearer)
            .body(Body::empty())
            .expect("a request of our own");
        assert_eq!(self.answer(request).0, StatusCode::OK);
    }
}
