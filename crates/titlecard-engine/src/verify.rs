//! Every file of a working folder, read from end to end and compared with the checksums it has. Nothing is written.
//!
//! ```
//! # use titlecard_engine::{pipeline::Workspace, progress, verify::verify};
//! # let folder = tempfile::tempdir().unwrap();
//! let workspace = Workspace::new(folder.path());
//! std::fs::write(workspace.settings(), "[run]\nsed = 7\n").unwrap();
//! let found = verify(&workspace, &|_, _| None, &mut progress::silent)?;
//! assert_eq!((found[0].file.as_str(), found[0].verdict.is_damaged()), ("titlecard.toml", true));
//! # Ok::<(), progress::Interrupted>(())
//! ```

use std::collections::HashSet;
use std::error::Error;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wordvec::encoder::StaticEncoder;
use wordvec::train::SubwordVectors;

use crate::artifact::{ArtifactError, Manifest, read_bytes};
use crate::catalogue::{for_each_prepared, has_checksum};
use crate::config::ConfigBuilder;
use crate::graph::{Graph, Lists};
use crate::index::SearchIndex;
use crate::pipeline::{DEFAULT_REGRESSOR, Workspace};
use crate::progress::{Interrupted, Report, tell};
use crate::query::Lexicon;
use crate::rank::ranker::Ranker;
use crate::regressor::Regressor;
use crate::titles;

/// What is known of a file after reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its bytes are those that were written.
    Ok,
    /// It can be read; a checksum that would tell whether it was changed is not there, or not for all of it.
    NoChecksum,
    /// It is not what was written, or missing.
    Damaged,
}

/// What was found of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Its state.
    pub state: State,
    /// What is to be said of it; empty if nothing.
    pub note: String,
    /// How a damaged file is made again; empty for others.
    pub remake: String,
}

impl Verdict {
    /// All bytes are covered and fit.
    pub fn ok() -> Self {
        Self { state: State::Ok, note: String::new(), remake: String::new() }
    }

    /// Readable, not covered by a checksum; `note` says why.
    pub fn no_checksum(note: &str) -> Self {
        Self { state: State::NoChecksum, note: note.to_owned(), remake: String::new() }
    }

    /// Damaged; `remake` is the command that makes it again.
    pub fn damaged(what: impl Display, remake: &str) -> Self {
        Self { state: State::Damaged, note: what.to_string(), remake: remake.to_owned() }
    }

    /// [`Verdict::damaged`] of an error with all its causes.
    pub fn of_error(error: &dyn Error, remake: &str) -> Self {
        let mut what = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let words = error.to_string();
            if !what.contains(&words) {
                what = format!("{what}: {words}");
            }
            cause = error.source();
        }
        Self::damaged(what, remake)
    }

    /// Whether the file is damaged.
    pub fn is_damaged(&self) -> bool {
        self.state == State::Damaged
    }

    fn with_note(self, note: &str) -> Self {
        Self { note: note.to_owned(), ..self }
    }
}

/// One file of a working folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Its path inside the folder, with `/`.
    pub file: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// What was found.
    #[serde(flatten)]
    pub verdict: Verdict,
}

const STEP: &str = "verifying";
/// Folders whose files are looked at; others hold results, pictures and logs.
const FOLDERS: [&str; 5] = ["data", "models", "graph", "index", "server"];
const EDITED: &str = "made to be edited";
const TOLD: &str = "figures for people";

/// Reads all files and says what each is like, in the order of their names. Left out are `results/`, `plots/`, `tmp/`,
/// locks, files being written and index generations that are no longer current.
///
/// - `others`: asked about files that are not the engine's, by path inside the folder and path.
///
/// # Errors
/// [`Interrupted`] if `report` says so. A damaged file is no error.
pub fn verify(
    workspace: &Workspace,
    others: &dyn Fn(&str, &Path) -> Option<Verdict>,
    report: &mut Report<'_>,
) -> Result<Vec<Checked>, Interrupted> {
    let mut files = files_of(workspace);
    let total: u64 = files.iter().map(|(_, path)| length(path)).sum();
    let mut done = 0;
    let mut checked = Vec::new();
    // Files of the index are known by its manifest.
    files.retain(|(name, _)| !name.starts_with("index/"));
    for (name, path) in files {
        tell(report, STEP, done as usize, total as usize, &name)?;
        let verdict = of_engine(workspace, &name, &path)
            .or_else(|| others(&name, &path))
            .unwrap_or_else(|| Verdict::no_checksum("unknown to this program"));
        let bytes = length(&path);
        done += bytes;
        checked.push(Checked { file: name, bytes, verdict });
    }
    if workspace.index().exists() {
        checked.extend(index(workspace, done, total, report)?);
    }
    checked.sort_by(|a, b| a.file.cmp(&b.file));
    tell(report, STEP, total as usize, total as usize, "")?;
    Ok(checked)
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}

/// All files that are looked at, by path inside the folder.
fn files_of(workspace: &Workspace) -> Vec<(String, PathBuf)> {
    let root = workspace.root();
    let mut files = Vec::new();
    if workspace.settings().exists() {
        files.push(("titlecard.toml".to_owned(), workspace.settings()));
    }
    let mut open: Vec<String> = FOLDERS.map(str::to_owned).into();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root.join(&folder)).into_iter().flatten().flatten() {
            let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
            let path = entry.path();
            if is_passing(&name) {
            } else if path.is_dir() {
                open.push(name);
            } else {
                files.push((name, path));
            }
        }
    }
    files.sort();
    files
}

/// Locks, files and folders being written, and the state that a server builds.
pub(crate) fn is_passing(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or_default();
    last.starts_with(".writing-")
        || last.starts_with(".building-")
        || last.strip_suffix(".lock").is_some()
        || ["server/lock", "server/building"].contains(&name)
}

/// What is known of a file of the engine's outside the index; none of others.
fn of_engine(workspace: &Workspace, name: &str, path: &Path) -> Option<Verdict> {
    fn ok<E: Error + 'static>(result: Result<(), E>, remake: &str) -> Verdict {
        match result {
            Ok(()) => Verdict::ok(),
            Err(error) => Verdict::of_error(&error, remake),
        }
    }
    let stem = name.strip_prefix("models/");
    Some(match name {
        "titlecard.toml" => settings(path, "mend it (`titlecard config` shows all settings)"),
        "models/ranking.toml" => settings(path, "titlecard train fusion"),
        "data/films.jsonl.zst" => films(path),
        "data/cleaning.json" => json(path, "titlecard prepare"),
        "models/vectors.tcwv" => ok(
            wordvec::read::read_path(path, &wordvec::read::ReadOptions::default()).map(drop),
            "titlecard train word2vec",
        ),
        "models/vectors.tcsw" => {
            ok(SubwordVectors::open(path).map(drop), "titlecard train word2vec --subwords")
        }
        "models/rules.json" => rules(path),
        "graph/graph.tcg" => ok(Graph::open(path).map(drop), GRAPH),
        "graph/names.tclx" => names(workspace),
        "graph/other_titles.json" => other_titles(path),
        "graph/phrases.json" => ok(Lists::check(path), GRAPH),
        "graph/summary.json" => json(path, GRAPH),
        _ if name.starts_with("data/raw/") => Verdict::no_checksum("as it was fetched"),
        _ => match stem? {
            name if name.strip_suffix(".tcse").is_some() => encoder(name, path),
            name if name.starts_with("regressor-") && name.ends_with(".safetensors") => {
                regressor(&name["regressor-".len()..name.len() - ".safetensors".len()], path)
            }
            name if name.ends_with(".checkpoint") => Verdict::no_checksum("a training that is unfinished"),
            _ => return None,
        },
    })
}

const GRAPH: &str = "titlecard graph build";
const INDEX: &str = "titlecard index";

fn settings(path: &Path, remake: &str) -> Verdict {
    match ConfigBuilder::default().file(path).and_then(ConfigBuilder::build) {
        Ok(_) => Verdict::no_checksum(EDITED),
        Err(error) => Verdict::of_error(&error, remake),
    }
}

fn json(path: &Path, remake: &str) -> Verdict {
    let read = fs::read(path).map_err(|error| error.to_string());
    let is_json = |bytes: Vec<u8>| {
        serde_json::from_slice::<serde_json::Value>(&bytes).map_err(|error| error.to_string())
    };
    match read.and_then(is_json) {
        Ok(_) => Verdict::no_checksum(TOLD),
        Err(what) => Verdict::damaged(what, remake),
    }
}

fn films(path: &Path) -> Verdict {
    const PREPARE: &str = "titlecard prepare";
    let mut ids = HashSet::new();
    let mut repeated = None;
    let read = for_each_prepared(path, &mut |film| {
        if let Some(id) = ids.replace(film.id) {
            repeated = Some(id);
        }
        Ok(())
    });
    match (read, repeated) {
        (Err(error), _) => Verdict::of_error(&error, PREPARE),
        (Ok(()), Some(id)) => Verdict::damaged(format!("id `{id}` is used twice"), PREPARE),
        (Ok(()), None) => match has_checksum(path) {
            Ok(true) => Verdict::ok(),
            Ok(false) => Verdict::no_checksum("written by an earlier release; every row can be read"),
            Err(error) => Verdict::of_error(&error, PREPARE),
        },
    }
}

fn rules(path: &Path) -> Verdict {
    const TRAIN: &str = "titlecard train ranker";
    let read = read_bytes(path, TRAIN).map_err(|error| error.to_string()).and_then(|bytes| {
        let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
        Ranker::from_json(&text).map_err(|error| error.to_string())
    });
    match read {
        Ok(_) => Verdict::no_checksum(EDITED),
        Err(what) => Verdict::damaged(what, TRAIN),
    }
}

fn encoder(name: &str, path: &Path) -> Verdict {
    let remake =
        if name == "encoder.tcse" { "titlecard train encoder" } else { "titlecard train encoder --folds N" };
    match fs::read(path).map_err(wordvec::WordVecError::from).and_then(|bytes| {
        StaticEncoder::from_bytes(&bytes)?;
        Ok(bytes)
    }) {
        Ok(bytes) if bytes[4] == 1 => Verdict::no_checksum("format version 1: the header is not covered"),
        Ok(_) => Verdict::ok(),
        Err(error) => Verdict::of_error(&error, remake),
    }
}

fn regressor(name: &str, path: &Path) -> Verdict {
    let remake = match name {
        DEFAULT_REGRESSOR => "titlecard train regressor".to_owned(),
        name => format!("titlecard train regressor --name {name}"),
    };
    let bytes = match read_bytes(path, "titlecard train regressor") {
        Ok(bytes) => bytes,
        Err(error) => return Verdict::of_error(&error, &remake),
    };
    match Regressor::from_bytes(&bytes) {
        Ok(_) if Regressor::has_checksum(&bytes) => Verdict::ok(),
        Ok(_) => Verdict::no_checksum("format version 1"),
        Err(error) => Verdict::of_error(&error, &remake),
    }
}

fn names(workspace: &Workspace) -> Verdict {
    // Without a graph that can be read nobody needs the names, and `graph build` makes both.
    let Ok(graph) = Graph::open(&workspace.graph()) else {
        return Verdict::no_checksum("its graph cannot be read");
    };
    match Lexicon::open(&workspace.names(), &graph) {
        Ok(Some(_)) => Verdict::ok(),
        Ok(None) => Verdict::no_checksum("of another graph or version; it is made anew in memory"),
        Err(error) => Verdict::of_error(&error, GRAPH),
    }
}

fn other_titles(path: &Path) -> Verdict {
    match titles::read_other_titles(path) {
        Ok(_) if fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"[")) => {
            Verdict::no_checksum("format version 1")
        }
        Ok(_) => Verdict::ok(),
        Err(error) => Verdict::of_error(&error, GRAPH),
    }
}

/// The manifest and every file it names. If another process makes a new generation meanwhile, that one.
fn index(
    workspace: &Workspace,
    done: u64,
    total: u64,
    report: &mut Report<'_>,
) -> Result<Vec<Checked>, Interrupted> {
    let path = workspace.index().join("manifest.json");
    loop {
        let manifest = match Manifest::read(&path) {
            Ok(manifest) => manifest,
            Err(error) => {
                let verdict = Verdict::of_error(&error, INDEX);
                return Ok(vec![Checked {
                    file: "index/manifest.json".to_owned(),
                    bytes: length(&path),
                    verdict,
                }]);
            }
        };
        let checked = generation(workspace, &manifest, done, total, report)?;
        let is_current = Manifest::read(&path).is_ok_and(|now| now.generation == manifest.generation);
        if is_current || !checked.iter().any(|file| file.verdict.is_damaged()) {
            return Ok(checked);
        }
    }
}

fn generation(
    workspace: &Workspace,
    manifest: &Manifest,
    mut done: u64,
    total: u64,
    report: &mut Report<'_>,
) -> Result<Vec<Checked>, Interrupted> {
    let folder = workspace.index().join(&manifest.generation);
    let mut checked = Vec::new();
    for (name, stamp) in &manifest.files {
        let file = format!("index/{}/{name}", manifest.generation);
        tell(report, STEP, done as usize, total as usize, &file)?;
        let path = folder.join(name);
        let verdict = match stamp.check(&path, true, INDEX) {
            Ok(()) => Verdict::ok(),
            Err(ArtifactError::Missing { .. }) => Verdict::damaged("it is missing", INDEX),
            Err(error) => Verdict::of_error(&error, INDEX),
        };
        done += stamp.bytes;
        checked.push(Checked { file, bytes: length(&path), verdict });
    }
    let verdict = if checked.iter().any(|file| file.verdict.is_damaged()) {
        Verdict::ok()
    } else {
        whole_index(workspace, manifest)
    };
    let path = workspace.index().join("manifest.json");
    checked.push(Checked { file: "index/manifest.json".to_owned(), bytes: length(&path), verdict });
    Ok(checked)
}

/// Whether an index whose files are sound opens, and fits graph and catalogue.
fn whole_index(workspace: &Workspace, manifest: &Manifest) -> Verdict {
    if let Err(error) = SearchIndex::open(&workspace.index(), false) {
        return Verdict::of_error(&error, INDEX);
    }
    if let Ok(graph) = Graph::open(&workspace.graph())
        && !manifest.is_of(graph.film_ids())
    {
        return Verdict::damaged(
            "graph and index are of different films",
            "titlecard graph build, titlecard index",
        );
    }
    let mut ids = Vec::new();
    let read = for_each_prepared(&workspace.films(), &mut |film| {
        ids.push(film.id);
        Ok(())
    });
    if read.is_ok() && !manifest.is_of(ids.iter().map(String::as_str)) {
        return Verdict::ok()
            .with_note("the catalogue has other films; `titlecard index` brings it up to date");
    }
    Verdict::ok()
}
