//! Listening: connections, time limits, TLS, signals, an end in order.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use titlecard_engine::artifact::try_lock;
use titlecard_engine::config::ServerConfig;
use titlecard_engine::pipeline::{PipelineError, Workspace};

use crate::api::{self, App, Peer};
use crate::journal::Journal;
use crate::keys::Keys;
use crate::state::{ReadSettings, ServeError, Shared, Snapshot, folder_of, keys_path, locked};
use crate::updates;

/// Longest head of a request, in bytes, looked at after every read; a question in the address must fit.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Header lines of a request, at most.
const MAX_HEADERS: usize = 64;

/// An opened server that does not listen yet.
pub struct Server {
    app: App,
    listener: std::net::TcpListener,
    tls: Option<TlsAcceptor>,
    /// Held as long as the server lives: one server a working folder.
    _lock: std::fs::File,
}

impl Server {
    /// Opens the working folder, ends what an earlier server could not, and binds the address.
    ///
    /// `read_settings` is asked now, and again at every reload.
    ///
    /// # Errors
    /// [`ServeError`].
    pub fn open(workspace: Workspace, read_settings: Box<ReadSettings>) -> Result<Self, ServeError> {
        let config = read_settings().map_err(ServeError::Settings)?;
        let settings = config.server.clone();
        let address: SocketAddr = resolve(&settings.address)?;
        let keys = Keys::read(&keys_path(&workspace))?;
        let is_public = !address.ip().is_loopback();
        if is_public && keys.is_empty() {
            return Err(ServeError::PublicWithoutKey(settings.address));
        }
        let tls = acceptor(&settings)?;
        let lock = lock(&workspace)?;
        let mut journal = Journal::open(&updates::journal_path(&workspace))?;
        updates::begin(&workspace, &mut journal)?;
        let snapshot = Snapshot::open(&workspace, config)?;
        let listener = std::net::TcpListener::bind(address)
            .map_err(|source| ServeError::Bind { address: settings.address.clone(), source })?;
        listener
            .set_nonblocking(true)
            .map_err(|source| ServeError::Io { action: "set up the listener", source })?;
        let hosts = hosts_of(&settings, address.ip());
        let app = Arc::new(Shared::new(workspace, read_settings, snapshot, keys, journal, hosts, is_public));
        updates::show(&app, &mut locked(&app.base), true);
        Ok(Self { app, listener, tls, _lock: lock })
    }

    /// Where it listens; the port is known even if port 0 was asked for.
    ///
    /// # Errors
    /// [`ServeError::Io`].
    pub fn address(&self) -> Result<SocketAddr, ServeError> {
        self.listener.local_addr().map_err(|source| ServeError::Io { action: "read the address", source })
    }

    /// All it answers, as a service: for requests that come by other ways than its socket. Changes are taken, but built in
    /// by [`Server::run`] alone.
    pub fn router(&self) -> Router {
        api::router(App::clone(&self.app))
    }

    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Answers requests until `stop` ends; then lets those in flight end, for at most `server.drain_ms`.
    ///
    /// # Errors
    /// [`ServeError::Io`] if threads cannot be started.
    pub fn run(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<(), ServeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .thread_name("titlecard-http")
            .build()
            .map_err(|source| ServeError::Io { action: "start threads", source })?;
        let thread = |name: &str, work: fn(&App)| {
            let app = App::clone(&self.app);
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work(&app))
                .map_err(|source| ServeError::Io { action: "start a thread", source })
        };
        let workers =
            [thread("titlecard-view", updates::viewer)?, thread("titlecard-build", updates::builder)?];
        let app = App::clone(&self.app);
        let result = runtime.block_on(self.listen(stop));
        updates::stop(&app);
        // Searches that nobody waits for any more do not hold up the end.
        runtime.shutdown_timeout(Duration::from_millis(100));
        // A build may be deep in a step that tells nothing for a while; files are whole at any moment.
        let given_up = std::time::Instant::now() + Duration::from_millis(300);
        while !workers.iter().all(std::thread::JoinHandle::is_finished)
            && std::time::Instant::now() < given_up
        {
            std::thread::sleep(Duration::from_millis(10));
        }
        result
    }

    async fn listen(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { app, listener, tls, _lock } = self;
        let listener =
            TcpListener::from_std(listener).map_err(|source| ServeError::Io { action: "listen", source })?;
        let router = api::router(App::clone(&app));
        let graceful = GracefulShutdown::new();
        let drain = Duration::from_millis(app.settings.drain_ms);
        tokio::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut stop => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Such as too many open files: let some be closed.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            if app.connections.load(Ordering::Relaxed) >= app.settings.max_connections {
                tokio::spawn(turn_away(stream));
                continue;
            }
            let open = Open::new(&app);
            let watcher = graceful.watcher();
            let (router, app, tls) = (router.clone(), App::clone(&app), tls.clone());
            tokio::spawn(async move {
                let _open = open;
                let _ = stream.set_nodelay(true);
                let mut timed = TimeoutStream::new(stream);
                timed.set_write_timeout(Some(Duration::from_millis(app.settings.write_timeout_ms)));
                let timed = Box::pin(timed);
                match tls {
                    None => connection(timed, peer, router, &app.settings, watcher).await,
                    Some(tls) => {
                        let time = Duration::from_millis(app.settings.header_timeout_ms);
                        match tokio::time::timeout(time, tls.accept(timed)).await {
                            Ok(Ok(stream)) => connection(stream, peer, router, &app.settings, watcher).await,
                            Ok(Err(error)) => tracing::debug!(%error, "no TLS"),
                            Err(_) => tracing::debug!("TLS was not agreed on in time"),
                        }
                    }
                }
            });
        }
        drop(listener);
        app.stopping.store(true, Ordering::SeqCst);
        app.changed.notify_all();
        tracing::info!("stopping");
        if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
            tracing::warn!("connections were still busy when the time to end was over");
        }
        Ok(())
    }
}

/// Counts a connection for as long as it lives.
struct Open(App);

impl Open {
    fn new(app: &App) -> Self {
        app.connections.fetch_add(1, Ordering::Relaxed);
        Self(App::clone(app))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells a client that there are too many, without reading what it wants.
async fn turn_away(mut stream: TcpStream) {
    const BODY: &str =
        r#"{"error":{"code":"busy","message":"too many connections","hint":"try again in a second"}}"#;
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\nretry-after: \
         1\r\nconnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(answer.as_bytes())).await;
}

async fn connection<S>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    settings: &ServerConfig,
    watcher: hyper_util::server::graceful::Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(settings.header_timeout_ms))
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection broke off");
    }
}

fn resolve(address: &str) -> Result<SocketAddr, ServeError> {
    // No name is looked up: that would be a connection to somebody else.
    let address_or_name = address.replacen("localhost:", "127.0.0.1:", 1);
    address_or_name.parse().map_err(|_| ServeError::Address(address.to_owned()))
}

/// Hosts a server on a loopback address answers to; one on a public address answers to any unless told.
fn hosts_of(settings: &ServerConfig, ip: IpAddr) -> Option<Vec<String>> {
    if !ip.is_loopback() && settings.hosts.is_empty() {
        return None;
    }
    let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    hosts.push(ip.to_string());
    hosts.extend(settings.hosts.iter().cloned());
    Some(hosts)
}

fn lock(workspace: &Workspace) -> Result<std::fs::File, ServeError> {
    match try_lock(&folder_of(workspace).join("lock")).map_err(PipelineError::from)? {
        Some(file) => Ok(file),
        None => Err(ServeError::InUse(workspace.root().to_owned())),
    }
}

fn acceptor(settings: &ServerConfig) -> Result<Option<TlsAcceptor>, ServeError> {
    if settings.tls_certificate.is_empty() {
        return Ok(None);
    }
    let tls = |what: &str, path: &str, error: &dyn std::fmt::Display| {
        ServeError::Tls(format!("{what} `{path}`: {error}; expected a PEM file"))
    };
    let path = &settings.tls_certificate;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(Path::new(path))
        .and_then(Iterator::collect)
        .map_err(|error| tls("certificate", path, &error))?;
    if chain.is_empty() {
        return Err(tls("certificate", path, &"there is none in it"));
    }
    let path = &settings.tls_key;
    let key = PrivateKeyDer::from_pem_file(Path::new(path)).map_err(|error| tls("key", path, &error))?;
    let mut config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ServeError::Tls(error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| ServeError::Tls(format!("{error}; certificate and key must belong together")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// Ends at Ctrl-C or a request to end; meanwhile reloads at every SIGHUP.
#[cfg(unix)]
fn signals(app: App) -> Result<Pin<Box<dyn Future<Output = ()> + Send>>, ServeError> {
    use tokio::signal::unix::{SignalKind, signal};
    let io = |source| ServeError::Io { action: "listen for signals", source };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(io)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(io)?;
    Ok(Box::pin(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => return,
                _ = terminate.recv() => return,
                _ = hangup.recv() => {
                    let app = App::clone(&app);
                    tokio::task::spawn_blocking(move || {
                        if let Err(error) = app.reload() {
                            tracing::error!(%error, "not reloaded; the old state stays");
                        }
                    });
                }
            }
        }
    }))
}

#[cfg(not(unix))]
fn signals(_: App) -> Result<Pin<Box<dyn Future<Output = ()> + Send>>, ServeError> {
    Ok(Box::pin(async {
        let _ = tokio::signal::ctrl_c().await;
    }))
}

impl Server {
    /// [`Server::run`] until Ctrl-C or a request to end; SIGHUP reloads.
    ///
    /// # Errors
    /// As [`Server::run`].
    pub fn run_until_signal(self) -> Result<(), ServeError> {
        let app = App::clone(&self.app);
        self.run(async move {
            match signals(app) {
                Ok(signals) => signals.await,
                Err(error) => tracing::error!(%error, "ending"),
            }
        })
    }
}
