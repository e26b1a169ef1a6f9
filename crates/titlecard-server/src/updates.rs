//! Changes of films while serving: journal, view, build, exchange.
//!
//! A change is in the journal before it is acknowledged. One thread puts changes into the opened state, in memory
//! ([`titlecard_engine::update`]), so that searches see them within a second or so. Another waits until no change has come
//! for a while, makes a new catalogue, graph and index of catalogue and journal in `server/building` by the steps of
//! the pipeline, and exchanges them:
//!
//! ```text
//! server/publish.json     written first: "what stands in server/building holds the changes up to number N"
//! data/ graph/ index/     moved into the working folder
//! server/journal          written anew without the changes up to N
//! server/publish.json     removed
//! ```
//!
//! Whenever the process ends, the next start finds either no `publish.json`, and the old state is whole, or one,
//! and ends what it says; what the journal holds then is put into the opened state before the first request. The engine
//! is exchanged last: a request sees the old state or the new one, and no change that was seen goes out of view.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use titlecard_engine::artifact::{ArtifactError, read_bytes, write_bytes};
use titlecard_engine::graph::Lists;
use titlecard_engine::pipeline::{self, PipelineError, Workspace};
use titlecard_engine::progress::Progress;
use titlecard_engine::update::{FilmChange, update};

use crate::journal::{Change, Journal, apply};
use crate::state::{Base, Build, ServeError, Shared, Snapshot, folder_of, locked, pending_of};

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
    updates.first_change = updates.first_change.or(updates.last_change);
    if !matches!(updates.build, Build::Running { .. }) {
        updates.build = Build::Waiting;
    }
    let n_pending = updates.pending.len();
    drop(updates);
    shared.metrics.changes.inc_by(n);
    shared.changed.notify_all();
    Ok((seq, n_pending))
}

/// Updates in memory that may stand one upon the other: each is a segment more to search.
const MAX_UPDATES: usize = 8;

/// The thread that brings changes into view; ends when the server stops.
pub(crate) fn viewer(shared: &Arc<Shared>) {
    // The first change should not wait for them; an error is said when they are needed.
    let _ = lists_of(shared, &mut locked(&shared.base));
    let mut failed_seq = 0;
    while !shared.is_stopping() {
        let updates = shared.updates();
        let last_seq = updates.journal.last_seq();
        if updates.visible_seq >= last_seq || failed_seq == last_seq {
            drop(shared.changed.wait_timeout(updates, Duration::from_secs(3600)));
            continue;
        }
        drop(updates);
        let mut base = locked(&shared.base);
        if !show(shared, &mut base, false) {
            failed_seq = last_seq;
        }
    }
}

/// Brings all changes of the journal into view; `afresh`: on top of the working folder as it was opened, whatever is
/// seen now. Answers whether all can be seen; what cannot be shown is seen after the next build.
pub(crate) fn show(shared: &Shared, base: &mut Base, afresh: bool) -> bool {
    let current = shared.snapshot();
    let (changes, visible_seq, last_seq) = {
        let updates = shared.updates();
        let afresh = afresh || base.n_updates >= MAX_UPDATES;
        let after = if afresh { base.seq } else { updates.visible_seq };
        let entries = updates.journal.entries().iter().filter(|entry| entry.seq > after);
        let changes: Vec<Change> = entries.map(|entry| entry.change.clone()).collect();
        (changes, after, updates.journal.last_seq())
    };
    let is_afresh = afresh || visible_seq == base.seq;
    let from = Arc::clone(if is_afresh { &base.snapshot } else { &current });
    let (snapshot, is_shown) = if changes.is_empty() {
        (from, true)
    } else {
        match updated(shared, &from, base, &changes, last_seq) {
            Ok(snapshot) => (Arc::new(snapshot), true),
            Err(error) => {
                tracing::error!(%error, "changes cannot be shown yet; they are kept and built in");
                (if afresh { from } else { current }, false)
            }
        }
    };
    shared.metrics.films.set(snapshot.engine.index().n_films() as i64);
    shared.swap(snapshot);
    if is_shown {
        base.n_updates = if is_afresh { 0 } else { base.n_updates } + usize::from(!changes.is_empty());
        shared.updates().visible_seq = last_seq;
    } else if afresh {
        base.n_updates = 0;
        shared.updates().visible_seq = base.seq;
    }
    is_shown
}

/// The lists by which texts are read, opened once for every build.
fn lists_of(shared: &Shared, base: &mut Base) -> Result<Arc<Lists>, ServeError> {
    if let Some(lists) = &base.lists {
        return Ok(Arc::clone(lists));
    }
    let graph = base.snapshot.graph().ok_or(PipelineError::NoGraph)?;
    let lists = Arc::new(pipeline::open_lists(&shared.workspace, &base.snapshot.config, graph)?);
    base.lists = Some(Arc::clone(&lists));
    Ok(lists)
}

fn updated(
    shared: &Shared,
    from: &Snapshot,
    base: &mut Base,
    changes: &[Change],
    seq: u64,
) -> Result<Snapshot, ServeError> {
    let lists = lists_of(shared, base)?;
    let changes: Vec<FilmChange<'_>> = changes
        .iter()
        .filter_map(|change| match change {
            Change::Put { film } => Some(FilmChange::Put(film)),
            Change::Delete { id } => Some(FilmChange::Delete(id)),
            Change::Built => None,
        })
        .collect();
    let (engine, titles) = update(&from.engine, &from.titles, &changes, &lists, &from.config)?;
    Ok(from.with_films(engine, titles, seq))
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
        // Changes that never pause are built in all the same.
        let latest = updates.first_change.map_or(now, |first| first + 10 * pause);
        let quiet_at =
            updates.last_change.map_or(now, |last| last + pause).min(latest).max(ended + LET_OTHERS);
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
        let mut base = locked(&shared.base);
        let seq = {
            let mut updates = shared.updates();
            recover(workspace, &mut updates.journal)?;
            updates.journal.last_seq() - updates.journal.entries().len() as u64
        };
        reopen(shared, &mut base, seq)?;
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

    let mut base = locked(&shared.base);
    let publish = serde_json::to_vec(&Publish { seq })
        .map_err(|error| io("write", &publish_path(workspace))(std::io::Error::other(error)))?;
    write_bytes(&publish_path(workspace), &publish).map_err(PipelineError::from)?;
    {
        // Changes wait for the moment in which files are moved.
        let mut updates = shared.updates();
        exchange(workspace, &mut updates.journal, seq)?;
    }
    reopen(shared, &mut base, seq)?;
    drop(base);
    remove_building(workspace)?;
    tracing::info!(seq, "changes are built in");
    Ok(())
}

fn go_on(shared: &Shared) -> ControlFlow<()> {
    if shared.is_stopping() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Opens the working folder, into which changes up to number `seq` have been built, and shows it with the others.
fn reopen(shared: &Shared, base: &mut Base, seq: u64) -> Result<(), ServeError> {
    let config = (shared.read_settings)().map_err(ServeError::Settings)?;
    base.snapshot = Arc::new(Snapshot::open(&shared.workspace, config)?);
    (base.seq, base.lists) = (seq, None);
    {
        let mut updates = shared.updates();
        updates.pending = pending_of(&updates.journal);
        updates.first_change = (!updates.pending.is_empty()).then(Instant::now);
        updates.built_seq = seq;
    }
    show(shared, base, true);
    Ok(())
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
