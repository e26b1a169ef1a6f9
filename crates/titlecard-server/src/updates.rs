//! Changes of films while serving: journal, build, exchange.
//!
//! A change is in the journal before it is acknowledged. A thread of its own waits until no change has come for a
//! while, makes a new catalogue, graph and index of catalogue and journal in `server/building` by the steps of the
//! pipeline, and exchanges them:
//!
//! ```text
//! server/publish.json     written first: "what stands in server/building holds the changes up to number N"
//! data/ graph/ index/     moved into the working folder
//! server/journal          written anew without the changes up to N
//! server/publish.json     removed
//! ```
//!
//! Whenever the process ends, the next start finds either no `publish.json`, and the old state is whole, or one,
//! and ends what it says. The engine is exchanged last: a request sees the old state or the new one.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use titlecard_engine::artifact::{ArtifactError, read_bytes, write_bytes};
use titlecard_engine::pipeline::{self, PipelineError, Workspace};
use titlecard_engine::progress::Progress;

use crate::journal::{Change, Journal, apply};
use crate::state::{Build, ServeError, Shared, Snapshot, folder_of, locked, pending_of};

/// The file that says a finished build is being exchanged.
#[derive(Debug, Serialize, Deserialize)]
struct Publish {
    seq: u64,
}

/// Least time between two builds, so that whoever waits to write into the folder, such as a backup, comes to it.
const LET_OTHERS: Duration = Duration::from_millis(100);
/// Wait after a failed build, if no change comes.
const RETRY: Duration = Duration::from_secs(60);

pub(crate) fn journal_path(workspace: &Workspace) -> PathBuf {
    folder_of(workspace).join("journal")
}

fn publish_path(workspace: &Workspace) -> PathBuf {
    folder_of(workspace).join("publish.json")
}

fn building_path(workspace: &Workspace) -> PathBuf {
    folder_of(workspace).join("building")
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ServeError {
    let path = path.to_owned();
    move |source| ServeError::Pipeline(ArtifactError::io(action, &path)(source).into())
}

/// Ends what an earlier server left unfinished, before the working folder is opened.
pub(crate) fn begin(workspace: &Workspace, journal: &mut Journal) -> Result<(), ServeError> {
    // Opening alone writes nothing that others write, so it need not wait for them.
    let _lock = publish_path(workspace).exists().then(|| workspace.lock()).transpose()?;
    recover(workspace, journal)
}

/// Ends an exchange that was cut off, and removes what an unfinished build left.
fn recover(workspace: &Workspace, journal: &mut Journal) -> Result<(), ServeError> {
    let marker = publish_path(workspace);
    if marker.exists() {
        let bytes = read_bytes(&marker, "titlecard serve").map_err(PipelineError::from)?;
        let publish: Publish = serde_json::from_slice(&bytes)
            .map_err(|error| io("read", &marker)(std::io::Error::other(error)))?;
        tracing::warn!(seq = publish.seq, "ending an exchange that was cut off");
        exchange(workspace, journal, publish.seq)?;
    }
    remove_building(workspace)
}

fn remove_building(workspace: &Workspace) -> Result<(), ServeError> {
    let building = building_path(workspace);
    // The models inside are a link; the link goes, not what it leads to.
    match fs::remove_dir_all(&building) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io("remove", &building)(error)),
        _ => Ok(()),
    }
}

fn exchange(workspace: &Workspace, journal: &mut Journal, seq: u64) -> Result<(), ServeError> {
    pipeline::publish(&Workspace::new(building_path(workspace)), workspace)?;
    journal.forget(seq)?;
    let marker = publish_path(workspace);
    fs::remove_file(&marker).map_err(io("remove", &marker))
}

/// Takes changes: when this returns they are on disk.
pub(crate) fn take(shared: &Shared, changes: Vec<Change>) -> Result<(u64, usize), ServeError> {
    let n = changes.len() as u64;
    let states: Vec<(String, bool)> =
        changes.iter().map(|change| (change.id().to_owned(), matches!(change, Change::Put { .. }))).collect();
    let mut updates = shared.updates();
    let seq = updates.journal.append(changes)?;
    updates.pending.extend(states);
    updates.last_change = Some(Instant::now());
    if !matches!(updates.build, Build::Running { .. }) {
        updates.build = Build::Waiting;
    }
    let n_pending = updates.pending.len();
    drop(updates);
    shared.metrics.changes.inc_by(n);
    shared.changed.notify_all();
    Ok((seq, n_pending))
}

/// The thread that builds; ends when the server stops.
pub(crate) fn builder(shared: &Arc<Shared>) {
    let pause = Duration::from_millis(shared.settings.rebuild_after_ms);
    let mut not_before: Option<Instant> = None;
    let mut failed_seq = 0;
    let mut ended = Instant::now();
    while !shared.is_stopping() {
        let updates = shared.updates();
        let last_seq = updates.journal.last_seq();
        let now = Instant::now();
        let quiet_at = updates.last_change.map_or(now, |last| last + pause).max(ended + LET_OTHERS);
        // A change that comes after a failure is a reason to try again at once.
        let ready_at = match not_before {
            Some(retry) if failed_seq == last_seq => quiet_at.max(retry),
            _ => quiet_at,
        };
        let wait = if updates.pending.is_empty() {
            Duration::from_secs(3600)
        } else {
            ready_at.saturating_duration_since(now)
        };
        if !wait.is_zero() {
            drop(shared.changed.wait_timeout(updates, wait));
            continue;
        }
        drop(updates);
        let started = Instant::now();
        match build(shared) {
            Ok(()) => {
                not_before = None;
                shared.metrics.builds.inc();
                let mut updates = shared.updates();
                updates.n_builds += 1;
                updates.last_build_s = Some(started.elapsed().as_secs_f64());
                updates.build = if updates.pending.is_empty() { Build::Idle } else { Build::Waiting };
            }
            Err(_) if shared.is_stopping() => {}
            Err(error) => {
                tracing::error!(%error, "changes could not be built in; they are kept and tried again");
                shared.metrics.failed_builds.inc();
                failed_seq = last_seq;
                not_before = Some(Instant::now() + RETRY);
                shared.updates().build = Build::Failed(error.to_string());
            }
        }
        ended = Instant::now();
    }
}

/// Builds a state of catalogue and journal, and exchanges it.
fn build(shared: &Shared) -> Result<(), ServeError> {
    let workspace = &shared.workspace;
    // What is read now is written over at the end: nobody else may write in between.
    let _lock = workspace.lock_when_free(&mut |_| go_on(shared))?;
    if publish_path(workspace).exists() {
        // An exchange failed half-way, such as for want of room: it is ended before anything new is built in its place.
        let _exchange = locked(&shared.exchange);
        recover(workspace, &mut shared.updates().journal)?;
    }
    let (changes, seq) = {
        let updates = shared.updates();
        let changes: Vec<Change> =
            updates.journal.entries().iter().map(|entry| entry.change.clone()).collect();
        (changes, updates.journal.last_seq())
    };
    let mut report = |progress: &Progress<'_>| {
        let (step, done, total) = (progress.step.to_owned(), progress.done, progress.total);
        shared.updates().build = Build::Running { step, done, total };
        go_on(shared)
    };
    let note =
        |step: &str| shared.updates().build = Build::Running { step: step.to_owned(), done: 0, total: 0 };
    note("reading catalogue");
    let config = (shared.read_settings)().map_err(ServeError::Settings)?;
    remove_building(workspace)?;
    let building = Workspace::new(building_path(workspace));
    fs::create_dir_all(building.root()).map_err(io("create folder", building.root()))?;
    link_models(workspace, &building)?;
    let films = apply(pipeline::load_films(workspace)?.into_films(), &changes);
    if films.is_empty() {
        return Err(ServeError::Settings("the changes leave no film; an index needs one".to_owned()));
    }
    note("writing catalogue");
    pipeline::write_films(&building, &films)?;
    pipeline::build_graph(&building, &config, &films, &mut report)?;
    pipeline::build_index(&building, &config, &films, &mut report)?;
    drop(films);

    let _exchange = locked(&shared.exchange);
    let publish = serde_json::to_vec(&Publish { seq })
        .map_err(|error| io("write", &publish_path(workspace))(std::io::Error::other(error)))?;
    write_bytes(&publish_path(workspace), &publish).map_err(PipelineError::from)?;
    {
        // Changes wait for the moment in which files are moved.
        let mut updates = shared.updates();
        exchange(workspace, &mut updates.journal, seq)?;
    }
    shared.swap(Snapshot::open(workspace, config)?);
    let mut updates = shared.updates();
    updates.pending = pending_of(&updates.journal);
    updates.built_seq = seq;
    drop(updates);
    remove_building(workspace)?;
    shared.metrics.films.set(shared.snapshot().engine.index().n_films() as i64);
    tracing::info!(seq, "changes are built in");
    Ok(())
}

fn go_on(shared: &Shared) -> ControlFlow<()> {
    if shared.is_stopping() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// A state is built with the models of the working folder.
fn link_models(from: &Workspace, to: &Workspace) -> Result<(), ServeError> {
    let (models, link) = (from.root().join("models"), to.root().join("models"));
    if !models.exists() {
        return Ok(());
    }
    let models = fs::canonicalize(&models).map_err(io("find", &models))?;
    #[cfg(unix)]
    std::os::unix::fs::symlink(&models, &link).map_err(io("link", &link))?;
    #[cfg(not(unix))]
    {
        fs::create_dir_all(&link).map_err(io("create folder", &link))?;
        for entry in fs::read_dir(&models).map_err(io("read", &models))? {
            let entry = entry.map_err(io("read", &models))?;
            fs::copy(entry.path(), link.join(entry.file_name())).map_err(io("copy", &entry.path()))?;
        }
    }
    Ok(())
}

/// Tells the builder that the server ends.
pub(crate) fn stop(shared: &Shared) {
    shared.stopping.store(true, Ordering::SeqCst);
    shared.changed.notify_all();
}
