//! Damage: a typed error or the same answers; never a panic, never another answer. Odd input: `fuzz.rs`.
//!
//! Few cases by default; `TITLECARD_FAULTS` is how many of each kind (0: every byte of every file). See
//! `docs/reliability.md`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use titlecard_engine::catalogue::load_prepared;
use titlecard_engine::config::Config;
use titlecard_engine::graph::Graph;
use titlecard_engine::pipeline::{self, DEFAULT_REGRESSOR, PipelineError, Workspace};
use wordvec::encoder::StaticEncoder;

use crate::fuzz_engine::folder::make;

const SEED: u64 = 2026;
const QUESTIONS: [&str; 3] = [
    "a shark frightens the bathers of a small beach town",
    "an orphan in the 1940s year:1900..1999",
    "a war",
];

/// How many cases of each kind are tried; 0 is all.
pub(crate) fn n_cases(usual: usize) -> usize {
    std::env::var("TITLECARD_FAULTS").ok().map_or(usual, |text| text.parse().expect("a number of cases"))
}

/// A working folder of 160 films with all that is mapped or read when searching, some hundred kilobytes.
pub(crate) fn workspace(folder: &Path) -> (Workspace, Config) {
    (Workspace::new(folder), make(folder, 160))
}

fn answers(workspace: &Workspace, config: &Config) -> Result<String, PipelineError> {
    let engine = pipeline::open_engine(workspace, config)?;
    let mut said = String::new();
    for question in QUESTIONS {
        match engine.search(question, 40) {
            Ok(answer) => {
                for hit in answer.hits {
                    let _ = writeln!(said, "{} {} {}", hit.film.id, hit.film.title, hit.score);
                }
            }
            Err(error) => {
                let _ = writeln!(said, "{error}");
            }
        }
    }
    Ok(said)
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            files.extend(files_below(&entry.path()));
        } else if entry.path().extension().is_none_or(|kind| kind != "lock") {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

/// Positions of a file of `length` bytes: all, or `n` at random with the first and the last.
fn positions(length: usize, n: usize, random: &mut Xoshiro256PlusPlus) -> Vec<usize> {
    if n == 0 || n >= length {
        return (0..length).collect();
    }
    let mut at: BTreeSet<usize> = [0, length - 1].into();
    at.extend((0..n).map(|_| random.random_range(0..length)));
    at.into_iter().collect()
}

#[test]
fn a_flipped_byte_is_an_error_or_changes_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (workspace, config) = workspace(folder.path());
    let expected = answers(&workspace, &config).unwrap();
    assert!(expected.lines().count() > 60, "{expected}");
    let mut files = files_below(&workspace.index());
    files.extend([workspace.graph(), workspace.names()]);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let (mut n_flipped, mut n_refused) = (0, 0);
    for path in &files {
        let good = fs::read(path).unwrap();
        for at in positions(good.len(), n_cases(16), &mut random) {
            let mut bad = good.clone();
            bad[at] ^= random.random_range(1..=255_u8);
            // A file that is mapped may not be cut under the reader: it is replaced.
            fs::remove_file(path).unwrap();
            fs::write(path, &bad).unwrap();
            let place = format!("byte {at} of {}: {} became {}", path.display(), good[at], bad[at]);
            match catch_unwind(AssertUnwindSafe(|| answers(&workspace, &config))) {
                Err(payload) => panic!("a panic, {place}: {:?}", payload.downcast_ref::<String>()),
                Ok(Ok(said)) => assert_eq!(said, expected, "another answer, {place}"),
                Ok(Err(error)) => {
                    let said = error.to_string();
                    assert!(said.contains("`titlecard "), "no way out in `{said}`, {place}");
                    n_refused += 1;
                }
            }
            n_flipped += 1;
        }
        fs::remove_file(path).unwrap();
        fs::write(path, &good).unwrap();
    }
    assert_eq!(answers(&workspace, &config).unwrap(), expected);
    eprintln!(
        "{n_flipped} bytes of {} files flipped, {n_refused} refused, the rest without effect",
        files.len()
    );
    assert!(n_refused * 10 > n_flipped * 9, "{n_refused} of {n_flipped} refused");

    // What is read at other times: every changed byte is refused, or (of the catalogue) is one without effect.
    let films = pipeline::load_films(&workspace).unwrap();
    let graph = Graph::open(&workspace.graph()).unwrap();
    let encoder = folder.path().join("models/encoder.tcse");
    for path in
        [workspace.films(), encoder.clone(), workspace.regressor(DEFAULT_REGRESSOR), workspace.other_titles()]
    {
        let good = fs::read(&path).unwrap();
        for at in positions(good.len(), n_cases(100), &mut random) {
            let mut bad = good.clone();
            bad[at] ^= random.random_range(1..=255_u8);
            fs::write(&path, &bad).unwrap();
            let place = format!("byte {at} of {}", path.display());
            if path == workspace.films() {
                if let Ok(found) = load_prepared(&path) {
                    assert_eq!(found, films, "{place}");
                }
            } else if path == encoder {
                assert!(StaticEncoder::open(&path).is_err(), "{place}");
            } else if path == workspace.other_titles() {
                assert!(pipeline::open_titles(&workspace, &graph).is_err(), "{place}");
            } else {
                assert!(pipeline::load_regressor(&workspace, DEFAULT_REGRESSOR).is_err(), "{place}");
            }
        }
        fs::write(&path, &good).unwrap();
    }
    pipeline::open_titles(&workspace, &graph).unwrap();
}
