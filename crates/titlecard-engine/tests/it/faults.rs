//! Damage and odd input: a typed error or the same answers; never a panic, never another answer.
//!
//! Few cases by default; `TITLECARD_FAULTS` is how many of each kind (0: every byte of every file). See
//! `docs/reliability.md`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use titlecard_engine::catalogue::{ReadOptions, load_prepared, read_films_from};
use titlecard_engine::config::Config;
use titlecard_engine::graph::Graph;
use titlecard_engine::index::word_tokenizer;
use titlecard_engine::pipeline::{self, DEFAULT_REGRESSOR, PipelineError, Workspace};
use titlecard_engine::query::{Lexicon, parse_filters};
use titlecard_engine::rank::ranker::Ranker;
use wordvec::WordVectors;
use wordvec::encoder::StaticEncoder;
use wordvec::write::Precision;

use crate::index::small_config;
use crate::{go_on, sample_films};

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
    let workspace = Workspace::new(folder);
    let mut films = sample_films();
    films.truncate(160);
    pipeline::write_films(&workspace, &films).unwrap();
    let mut words = BTreeSet::new();
    for film in &films {
        words.extend(word_tokenizer(&Config::default()).tokens(&film.tags));
    }
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let data: Vec<f32> = (0..8 * words.len()).map(|_| random.random_range(-1.0..1.0)).collect();
    let vectors = WordVectors::new(words.into_iter().collect(), 8, data).unwrap();
    let mut text = String::new();
    for (word, row) in vectors.words().iter().zip(vectors.as_slice().chunks(8)) {
        let row: Vec<String> = row.iter().map(f32::to_string).collect();
        let _ = writeln!(text, "{word} {}", row.join(" "));
    }
    let path = folder.join("words.txt");
    fs::write(&path, text).unwrap();
    let mut config = small_config();
    config.vectors.path = path.display().to_string();
    config.search.year = 2020;
    pipeline::train_regressor(&workspace, &config, &films, DEFAULT_REGRESSOR, false, &mut go_on).unwrap();
    StaticEncoder::new(&vectors, &[4, 8], 16, 1)
        .unwrap()
        .save(&folder.join("models/encoder.tcse"), Precision::F16)
        .unwrap();
    pipeline::build_graph(&workspace, &config, &films, &mut go_on).unwrap();
    pipeline::build_index(&workspace, &config, &films, &mut go_on).unwrap();
    (workspace, config)
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

/// Other bytes than `seed`: some changed, cut, doubled or put in from the words of a format.
fn mutated(seed: &[u8], words: &[&str], random: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=bytes.len());
        let end = (at + random.random_range(0..20_usize)).min(bytes.len());
        match random.random_range(0..5) {
            0 if at < bytes.len() => bytes[at] = random.random(),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            3 => drop(bytes.splice(at..at, words[random.random_range(0..words.len())].bytes())),
            _ => bytes.truncate(at.max(seed.len() / 2)),
        }
    }
    bytes
}

/// Runs `body` over mutations of `seeds`; what it panics on is shown.
fn mutate(name: &str, seeds: &[Vec<u8>], words: &[&str], usual: usize, body: impl Fn(&[u8])) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let n = n_cases(usual).max(usual);
    for case in 0..n {
        let bytes = mutated(&seeds[case % seeds.len()], words, &mut random);
        let ended = catch_unwind(AssertUnwindSafe(|| body(&bytes)));
        assert!(ended.is_ok(), "{name}, case {case}, a panic on {:?}", String::from_utf8_lossy(&bytes));
    }
    eprintln!("{name}: {n} mutations, no panic");
}

#[test]
fn no_catalogue_panics() {
    let seeds: Vec<Vec<u8>> = [
        "id,title,tags\n1,Jaws,\"a shark, a beach\"\n2,Up,a house\n",
        "title;overview;genres;release_date\nUp;An old man;['Animation'];2009-05-13\n",
        "{\"id\":1,\"title\":\"Jaws\",\"overview\":\"A shark\",\"genres\":[{\"id\":1,\"name\":\"Horror\"}]}\n",
        "id\ttitle\ttags\n1\tÉté\tПляж\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into();
    let words =
        ["\"", ",", "\n", "\r", "[{'name': '", "\u{feff}", "title", "99999999999999999999", "\0", "é"];
    mutate("catalogue", &seeds, &words, 3000, |bytes| {
        let reader = std::io::Cursor::new(bytes.to_vec());
        let _ = read_films_from(reader, "f", &ReadOptions::default(), &mut |film| {
            assert!(!film.title.trim().is_empty() && !film.tags.trim().is_empty());
            ControlFlow::Continue(())
        });
    });
}

#[test]
fn no_question_no_rules_no_vectors_and_no_table_panics() {
    let folder = tempfile::tempdir().unwrap();
    let (workspace, config) = workspace(folder.path());
    let engine = pipeline::open_engine(&workspace, &config).unwrap();
    let seeds: Vec<Vec<u8>> = QUESTIONS.iter().map(|text| text.as_bytes().to_vec()).collect();
    let words = [
        "year:",
        "1970..",
        "-genre:",
        "\"",
        "director:\"",
        "not ",
        "the 90s",
        "'s",
        "İ",
        "ß",
        "\u{301}",
        "(",
        "around 2020-13-45",
        "1900s",
        "\n",
        "…",
        "Steven Spielberg",
        "99999999999",
    ];
    mutate("question", &seeds, &words, 1500, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let _ = parse_filters(&text);
        let _ = engine.understand(&text);
        let _ = engine.search(&text, 3);
    });

    let rules = include_bytes!("../../../../data/sample/rules.json").to_vec();
    assert!(Ranker::from_json(&String::from_utf8_lossy(&rules)).is_ok());
    mutate(
        "rules",
        &[rules],
        &["{", "]", "null", "-1", "1e999", "\"not\":", "18446744073709551616"],
        200,
        |bytes| {
            let _ = Ranker::from_json(&String::from_utf8_lossy(bytes));
        },
    );

    let text = fs::read(folder.path().join("words.txt")).unwrap()[..2000].to_vec();
    let generation =
        fs::read_dir(workspace.index()).unwrap().flatten().find(|e| e.path().is_dir()).unwrap().path();
    let packed = fs::read(generation.join("vectors.tcwv")).unwrap();
    let seeds = [text, b"2 3\nab 1 2 3\ncd 4 5 6\n".to_vec(), packed];
    mutate("vectors", &seeds, &["\n", " ", "nan", "1e99", "99999999999 300\n"], 1500, |bytes| {
        let _ = wordvec::read::read_from_bytes(bytes);
    });

    // A right checksum over wrong tables: only an attacker or a fault of ours writes that.
    let path = folder.path().join("mutated");
    for (name, source) in [("graph", workspace.graph()), ("names", workspace.names())] {
        let graph = Graph::open(&workspace.graph()).unwrap();
        let seeds = [fs::read(&source).unwrap()];
        mutate(name, &seeds, &["\0\0\0\0", "\u{7f}\u{7f}\u{7f}\u{7f}"], 300, |bytes| {
            let _ = fs::remove_file(&path);
            fs::write(&path, bytes).unwrap();
            if name == "graph" {
                let _ = Graph::open(&path);
            } else {
                let _ = Lexicon::open(&path, &graph);
            }
        });
    }
}
