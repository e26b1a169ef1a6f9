//! What all requests share: the current state of the catalogue, keys, limits, the journal.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use titlecard_engine::config::Config;
use titlecard_engine::graph::{Graph, Lists};
use titlecard_engine::index::lexical_tokenizer;
use titlecard_engine::pipeline::{self, PipelineError, Workspace};
use titlecard_engine::rank::Knowledge;
use titlecard_engine::rank::ranker::Ranker;
use titlecard_engine::search::Engine;
use titlecard_engine::text::Tokenizer;
use titlecard_engine::titles::TitleIndex;

use crate::gate::Gate;
use crate::journal::{Journal, JournalError};
use crate::keys::{KeyError, Keys};
use crate::limits::Limiters;
use crate::metrics::Metrics;
use crate::updates;

/// Why the server cannot start or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Opening the working folder, or building in it.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// Settings read again.
    #[error("settings: {0}")]
    Settings(String),
    /// There is no graph.
    #[error("`{}` does not exist; the server needs the graph, run `titlecard graph build` first", .0.display())]
    NoGraph(PathBuf),
    /// An address that is none.
    #[error("`server.address` is `{0}`, expected an address and a port; write for example `127.0.0.1:7878`")]
    Address(String),
    /// An address others can reach, without a key.
    #[error(
        "`{0}` can be reached by others and there is no key; make one with `titlecard serve --new-key read` (add \
         `server.public_reads = true` if searching shall need none), or listen on 127.0.0.1"
    )]
    PublicWithoutKey(String),
    /// The operating system refuses the address.
    #[error("cannot listen on `{address}`: {source}; is another server running there?")]
    Bind {
        /// The address.
        address: String,
        /// The reason.
        source: std::io::Error,
    },
    /// Certificate or key.
    #[error("TLS: {0}")]
    Tls(String),
    /// Another server has the working folder.
    #[error("another `titlecard serve` is using `{}`; stop it first", .0.display())]
    InUse(PathBuf),
    /// The operating system refused something else.
    #[error("cannot {action}: {source}")]
    Io {
        /// What.
        action: &'static str,
        /// The reason.
        source: std::io::Error,
    },
}

/// One state of the catalogue with everything that answers by it; requests hold one from beginning to end.
#[derive(Clone)]
pub(crate) struct Snapshot {
    pub(crate) engine: Engine,
    pub(crate) titles: Arc<TitleIndex>,
    pub(crate) config: Config,
    /// How the index cuts texts into words.
    pub(crate) tokenizer: Tokenizer,
    /// Names the rule list; none without rules.
    pub(crate) rules_tag: Option<String>,
    /// Names the films: the generation of the index, and the number of the last change put on top of it.
    pub(crate) generation: String,
}

impl Snapshot {
    /// Opens the working folder as it stands.
    pub(crate) fn open(workspace: &Workspace, config: Config) -> Result<Self, ServeError> {
        if !workspace.graph().exists() {
            return Err(ServeError::NoGraph(workspace.graph()));
        }
        let engine = pipeline::open_engine(workspace, &config)?;
        let Some(graph) = engine.knowledge().map(Knowledge::graph) else {
            return Err(ServeError::NoGraph(workspace.graph()));
        };
        let titles = pipeline::open_titles(workspace, graph)?;
        let built_with: Config = engine.index().manifest.settings.clone().try_into().unwrap_or_default();
        let tokenizer = lexical_tokenizer(&built_with);
        let generation = engine.index().manifest.generation.clone();
        let rules_tag = tag_of(&engine);
        Ok(Self { engine, titles: Arc::new(titles), config, tokenizer, rules_tag, generation })
    }

    /// The same state, ranked by other rules.
    fn with_ranker(&self, ranker: &Ranker) -> Self {
        let engine = self.engine.with_ranker(ranker.clone());
        Self { rules_tag: tag_of(&engine), engine, ..self.clone() }
    }

    /// The same settings and rules with other films, after change number `seq`.
    pub(crate) fn with_films(&self, engine: Engine, titles: TitleIndex, seq: u64) -> Self {
        let generation = format!("{}+{seq}", engine.index().manifest.generation);
        Self { engine, titles: Arc::new(titles), generation, ..self.clone() }
    }

    /// The graph; [`Snapshot::open`] makes sure that there is one.
    pub(crate) fn graph(&self) -> Option<&Graph> {
        self.engine.knowledge().map(Knowledge::graph)
    }
}

/// Names a rule list by its content.
fn tag_of(engine: &Engine) -> Option<String> {
    let json = engine.ranker()?.rules().to_json();
    Some(format!("\"{:08x}-{}\"", crc32fast::hash(json.as_bytes()), json.len()))
}

/// What the background work is doing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Build {
    Idle,
    Waiting,
    Running { step: String, done: u64, total: u64 },
    Failed(String),
}

/// Changes and the work on them.
pub(crate) struct Updates {
    pub(crate) journal: Journal,
    /// Films whose newest state waits to be built in: id to whether it will be there.
    pub(crate) pending: BTreeMap<String, bool>,
    pub(crate) build: Build,
    pub(crate) built_seq: u64,
    /// The last change that searches see.
    pub(crate) visible_seq: u64,
    pub(crate) n_builds: u64,
    pub(crate) last_build_s: Option<f64>,
    pub(crate) last_change: Option<Instant>,
    /// When the first of the changes that wait to be built in came.
    pub(crate) first_change: Option<Instant>,
}

/// What the working folder holds, and what has been put on top of it in memory. Held by whoever exchanges the state or
/// files of the working folder.
pub(crate) struct Base {
    /// The working folder as it was opened, with the rules that rank now.
    pub(crate) snapshot: Arc<Snapshot>,
    /// The last change that is built into it.
    pub(crate) seq: u64,
    /// What texts are read by; opened at the first change, and again after every build.
    pub(crate) lists: Option<Arc<Lists>>,
    /// Updates in memory one upon the other.
    pub(crate) n_updates: usize,
}

/// Reads the settings again.
pub type ReadSettings = dyn Fn() -> Result<Config, String> + Send + Sync;

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) workspace: Workspace,
    pub(crate) read_settings: Box<ReadSettings>,
    snapshot: RwLock<Arc<Snapshot>>,
    keys: RwLock<Arc<Keys>>,
    pub(crate) settings: titlecard_engine::config::ServerConfig,
    /// Hosts this server answers to; none if it answers to any.
    pub(crate) hosts: Option<Vec<String>>,
    /// Whether reading needs a key.
    pub(crate) is_public: bool,
    pub(crate) gate: Gate,
    pub(crate) limiters: Limiters,
    pub(crate) metrics: Metrics,
    pub(crate) stopping: AtomicBool,
    pub(crate) in_flight: AtomicUsize,
    pub(crate) connections: AtomicUsize,
    updates: Mutex<Updates>,
    pub(crate) changed: Condvar,
    pub(crate) base: Mutex<Base>,
    pub(crate) started: Instant,
}

/// A lock that a panic elsewhere does not close: all that is kept under our locks is whole at any moment.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    #[allow(clippy::too_many_arguments, reason = "the parts are made where they can fail")]
    pub(crate) fn new(
        workspace: Workspace,
        read_settings: Box<ReadSettings>,
        snapshot: Snapshot,
        keys: Keys,
        journal: Journal,
        hosts: Option<Vec<String>>,
        is_public: bool,
    ) -> Self {
        let settings = snapshot.config.server.clone();
        let workers = match settings.workers {
            0 => snapshot.config.n_threads(),
            n => n,
        };
        let built_seq = journal.last_seq() - journal.entries().len() as u64;
        let pending = pending_of(&journal);
        let snapshot = Arc::new(snapshot);
        let build = if pending.is_empty() { Build::Idle } else { Build::Waiting };
        Self {
            workspace,
            read_settings,
            base: Mutex::new(Base {
                snapshot: Arc::clone(&snapshot),
                seq: built_seq,
                lists: None,
                n_updates: 0,
            }),
            snapshot: RwLock::new(snapshot),
            keys: RwLock::new(Arc::new(keys)),
            hosts,
            is_public,
            gate: Gate::new(workers, settings.queue),
            limiters: Limiters::new(settings.rate_per_second, settings.rate_burst),
            metrics: Metrics::new(),
            stopping: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            updates: Mutex::new(Updates {
                built_seq,
                visible_seq: built_seq,
                first_change: (!pending.is_empty()).then(Instant::now),
                journal,
                pending,
                build,
                n_builds: 0,
                last_build_s: None,
                last_change: None,
            }),
            changed: Condvar::new(),
            started: Instant::now(),
            settings,
        }
    }

    /// The current state.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes `snapshot` the current state; requests that hold the old one end with it.
    pub(crate) fn swap(&self, snapshot: Arc<Snapshot>) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    /// Ranks by other rules from now on; all else stays.
    pub(crate) fn swap_rules(&self, base: &mut Base, ranker: &Ranker) {
        base.snapshot = Arc::new(base.snapshot.with_ranker(ranker));
        self.swap(Arc::new(self.snapshot().with_ranker(ranker)));
    }

    /// The keys.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn updates(&self) -> MutexGuard<'_, Updates> {
        locked(&self.updates)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Opens settings, weights, rules, models and keys again.
    pub(crate) fn reload(&self) -> Result<(), ServeError> {
        let mut base = locked(&self.base);
        let config = (self.read_settings)().map_err(ServeError::Settings)?;
        let keys = Keys::read(&keys_path(&self.workspace))?;
        if self.is_public && keys.is_empty() {
            return Err(ServeError::PublicWithoutKey(self.settings.address.clone()));
        }
        base.snapshot = Arc::new(Snapshot::open(&self.workspace, config)?);
        base.lists = None;
        updates::show(self, &mut base, true);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        tracing::info!("reloaded");
        Ok(())
    }
}

/// What the journal will change, by id.
pub(crate) fn pending_of(journal: &Journal) -> BTreeMap<String, bool> {
    use crate::journal::Change;
    journal
        .entries()
        .iter()
        .map(|entry| (entry.change.id().to_owned(), matches!(entry.change, Change::Put { .. })))
        .collect()
}

/// Folder of the server's own files.
pub(crate) fn folder_of(workspace: &Workspace) -> PathBuf {
    workspace.root().join("server")
}

/// The keys of the server of a working folder.
pub fn keys_path(workspace: &Workspace) -> PathBuf {
    folder_of(workspace).join("keys")
}
