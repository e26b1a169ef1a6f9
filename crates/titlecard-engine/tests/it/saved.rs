//! Files of every released format version: they open and say what they said, or the error names the command that makes
//! them anew; nothing is written on opening.
//!
//! `fixtures/saved/` is never written again. A new format version gets a folder of its own: raise the number in the
//! name of the missing one below, run `cargo test -p titlecard-engine --test it -- --ignored write_the_saved`, and add
//! its line to the test. (Vectors and encoders on their own: `crates/wordvec/tests/saved.rs`; the regressor:
//! `regressor.rs`; rule lists: `crates/rrl/tests`; the journal: `crates/titlecard-server/src/journal.rs`.)

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use titlecard_engine::config::Config;
use titlecard_engine::pipeline::{self, DEFAULT_REGRESSOR, Workspace};
use titlecard_engine::rank::ranker::Ranker;
use titlecard_engine::regressor::Regressor;
use titlecard_engine::verify::{State, verify};
use wordvec::WordVectors;
use wordvec::encoder::StaticEncoder;
use wordvec::write::{Precision, write_tcwv};

use crate::{go_on, sample_films};

fn saved(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/saved").join(name)
}

fn settings() -> Config {
    let mut config = Config::default();
    config.search.year = 2020;
    config.run.threads = 1;
    config
}

/// Bytes and time of change of every file, the lock files of whoever has an index open left out.
fn contents(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_none_or(|kind| kind != "lock") {
                let changed = path.metadata().unwrap().modified().unwrap();
                all.insert(path.clone(), (fs::read(path).unwrap(), changed));
            }
        }
    }
    all
}

/// A copy of a saved folder, to be opened; what is under `fixtures/` must not even get a lock.
fn copied(name: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for (path, (bytes, _)) in contents(&saved(name)) {
        let to = copy.path().join(path.strip_prefix(saved(name)).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(&to, bytes).unwrap();
        let file = fs::File::options().write(true).open(&to).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_767_225_600)).unwrap();
    }
    copy
}

const QUESTIONS: [&str; 3] =
    ["a shark at the beach", "a boy and a body along the railway", "war year:1940..1999"];

/// What a folder answers, in words that stay readable when they differ.
fn answers(workspace: &Workspace) -> Result<String, pipeline::PipelineError> {
    let engine = pipeline::open_engine(workspace, &settings())?;
    let mut said = String::new();
    for question in QUESTIONS {
        for hit in engine.search(question, 5).unwrap().hits {
            said += &format!("{question}: {} {} {:.4}\n", hit.film.id, hit.film.title, hit.score);
        }
    }
    let knowledge = engine.knowledge().unwrap();
    let titles = pipeline::open_titles(workspace, knowledge.graph())?;
    for title in ["jaws", "shichinin no samurai"] {
        for found in titles.find(knowledge.graph(), title, 2) {
            said += &format!("{title}: {} {:?}\n", knowledge.graph().film_id(found.film), found.fit);
        }
    }
    Ok(said)
}

#[test]
fn working_folders_of_earlier_releases_open_and_are_not_rewritten() {
    // Both are of the same films and models. Version 1 has no stamp of its films in the manifest, and regressor, encoder
    // and other titles of their versions 1; version 2 has these in their versions 2.
    let expected = fs::read_to_string(saved("folder_v2.txt")).unwrap();
    for name in ["folder_v1", "folder_v2"] {
        let folder = copied(name);
        let workspace = Workspace::new(folder.path());
        let before = contents(folder.path());
        assert_eq!(pipeline::load_films(&workspace).unwrap().len(), 12, "{name}");
        assert_eq!(answers(&workspace).unwrap(), expected, "{name}");
        pipeline::load_regressor(&workspace, DEFAULT_REGRESSOR).unwrap();
        let checked = verify(&workspace, &|_, _| None, &mut go_on).unwrap();
        assert!(checked.iter().all(|file| file.verdict.state != State::Damaged), "{name}: {checked:?}");
        assert!(contents(folder.path()) == before, "{name} was changed by opening it");
    }
}

#[test]
fn files_of_versions_that_are_not_read_name_the_command_that_makes_them_anew() {
    let folder = copied("folder_v2");
    let workspace = Workspace::new(folder.path());
    // Index format 1 as it was: the manifest is all of it that is looked at.
    fs::copy(saved("index_v1_manifest.json"), workspace.index().join("manifest.json")).unwrap();
    let before = contents(folder.path());
    let error = answers(&workspace).unwrap_err().to_string();
    assert!(
        error.contains("has format version 1") && error.ends_with("remake it with `titlecard index`"),
        "{error}"
    );
    assert!(contents(folder.path()) == before);

    // A later release's files: the version is the first thing looked at.
    for (file, at) in [("graph/graph.tcg", 4), ("models/encoder.tcse", 4)] {
        let folder = copied("folder_v2");
        let path = folder.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] = 99;
        fs::write(&path, &bytes).unwrap();
        let workspace = Workspace::new(folder.path());
        let error = match file {
            "graph/graph.tcg" => answers(&workspace).unwrap_err().to_string(),
            _ => titlecard_engine::encoder::open(&workspace).unwrap_err().to_string(),
        };
        assert!(error.contains("99"), "{file}: {error}");
        assert!(fs::read(&path).unwrap() == bytes);
    }
}

/// Writes the folder of the present formats, unless it is there.
#[test]
#[ignore = "writes fixtures"]
fn write_the_saved_folder() {
    let name = "folder_v2";
    let folder = saved(name);
    if folder.exists() {
        return;
    }
    let workspace = Workspace::new(&folder);
    let mut films = sample_films();
    let is_wanted = |title: &str| ["Jaws", "Seven Samurai", "Stand by Me"].contains(&title);
    films.sort_by_key(|film| !is_wanted(&film.title));
    films.truncate(12);
    pipeline::write_films(&workspace, &films).unwrap();
    let words = ["shark", "beach", "boy", "body", "railway", "war", "samurai", "village"].map(str::to_owned);
    let data = (0..3 * words.len()).map(|at| ((at * 7 % 11) as f32 - 5.0) / 5.0).collect();
    let vectors = WordVectors::new(words.into(), 3, data).unwrap();
    fs::create_dir_all(folder.join("models")).unwrap();
    let mut bytes = Vec::new();
    write_tcwv(&vectors, Precision::Int8, &mut bytes).unwrap();
    fs::write(workspace.vectors(), bytes).unwrap();
    StaticEncoder::new(&vectors, &[3], 2, 1)
        .unwrap()
        .save(&folder.join("models/encoder.tcse"), Precision::F16)
        .unwrap();
    let regressor = Regressor::from_bytes(&fs::read(saved("regressor_v1.safetensors")).unwrap()).unwrap();
    fs::write(workspace.regressor(DEFAULT_REGRESSOR), regressor.to_bytes().unwrap()).unwrap();
    let mut rules = Ranker::from_json(titlecard_engine::sample::RULES).unwrap();
    for at in 3..rules.rules().rules().len() {
        rules = rules.with_weight(at, 0.0).unwrap();
    }
    fs::write(workspace.rules(), rules.rules().to_json()).unwrap();
    pipeline::build_graph(&workspace, &settings(), &films, &mut go_on).unwrap();
    pipeline::build_index(&workspace, &settings(), &films, &mut go_on).unwrap();
    for (path, _) in contents(&folder) {
        assert!(path.metadata().unwrap().len() < 100_000, "`{}` is small", path.display());
    }
    fs::write(saved(&format!("{name}.txt")), answers(&workspace).unwrap()).unwrap();
}
