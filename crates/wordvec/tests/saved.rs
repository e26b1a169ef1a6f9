//! Files saved by earlier programs open for ever: `fixtures/saved/wordvec/`, one of every format and version
//! that is written today (files of `.tcwv` version 1 are in `fixtures/golden/wordvec/`).
//!
//! The files are never written again. A new format version gets files of its own: name them, run
//! `cargo test -p wordvec --test saved -- --ignored`, which writes what is missing, and add their test.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use wordvec::encoder::{EncoderConfig, Pair, Side, StaticEncoder, train_encoder};
use wordvec::read::{self, ReadOptions};
use wordvec::train::{Corpus, SkipGramConfig, SubwordConfig, SubwordVectors, TrainConfig, train_subwords};
use wordvec::write::{Precision, replace_file, write_tcwv, write_word2vec_binary};
use wordvec::{IndexOrigin, MappedVectors, Word2vecFile, WordTable, WordVectors};

/// Short, longer than any key in memory, not ASCII, and with a counterpart that differs in case.
const WORDS: [&str; 6] = ["the", "film", "lighthouse-keeper", "café", "七人の侍", "The"];
const COUNTS: [u64; 6] = [900, 70, 60, 5, 5, 1];
/// Exact in 16 bits; in 8 bits to half of the largest component of a row divided by 127.
const ROWS: [[f32; 3]; 6] = [
    [1.0, 0.0, -1.0],
    [0.5, -0.25, 0.125],
    [-8.0, 4.0, 2.0],
    [0.0, 0.0, 0.0],
    [0.0625, 0.03125, -0.0625],
    [100.0, -50.0, 25.0],
];
const TCWV: [(&str, Precision, f32); 3] = [
    ("vectors_v2_f32.tcwv", Precision::F32, 0.0),
    ("vectors_v2_f16.tcwv", Precision::F16, 0.0),
    ("vectors_v2_int8.tcwv", Precision::Int8, 0.5 / 127.0),
];
/// Time of change of the word2vec file that the tables of rows were made for.
const CHANGED: Duration = Duration::from_secs(1_767_225_600);

fn saved(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/saved/wordvec").join(name)
}

fn check_table(table: &dyn WordTable, tolerance: f32, has_counts: bool) {
    assert_eq!((table.len(), table.dim()), (6, 3));
    for (at, word) in WORDS.into_iter().enumerate() {
        assert_eq!((table.index_of(word), &*table.word_at(at)), (Some(at), word));
        assert_eq!(table.count_at(at), has_counts.then_some(COUNTS[at]), "`{word}`");
        let largest = ROWS[at].iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        for (x, expected) in table.row_at(at).iter().zip(ROWS[at]) {
            assert!(
                (x - expected).abs() <= tolerance * 1.001 * largest,
                "`{word}`: {x}, expected {expected}"
            );
        }
    }
    assert_eq!((table.index_of("films"), table.index_of("")), (None, None));
}

#[test]
fn tcwv_version_2() {
    for (name, precision, tolerance) in TCWV {
        let mapped = MappedVectors::open(&saved(name)).unwrap();
        mapped.verify().unwrap();
        assert_eq!(mapped.precision(), precision, "{name}");
        check_table(&mapped, tolerance, true);
        let (whole, _) = read::read_path(&saved(name), &ReadOptions::default()).unwrap();
        check_table(&whole, tolerance, true);
    }
}

#[test]
fn tcwi_version_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows_v1.bin");
    let tables = Word2vecFile::index_path(&path);
    fs::copy(saved("rows_v1.bin"), &path).unwrap();
    fs::copy(saved("rows_v1.bin.tcwi"), &tables).unwrap();
    set_changed(&path);
    let file = Word2vecFile::open(&path).unwrap();
    assert_eq!(file.origin(), IndexOrigin::Cached, "the saved tables are in use");
    check_table(&file, 0.0, false);
    assert_eq!(fs::read(&tables).unwrap(), fs::read(saved("rows_v1.bin.tcwi")).unwrap());
}

fn set_changed(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + CHANGED).unwrap();
}

/// Values of trained files, as they were in memory before saving.
#[derive(Serialize, Deserialize)]
struct Trained {
    words: Vec<String>,
    counts: Vec<u64>,
    /// Of a word of the vocabulary, and of one that was never seen.
    subword_rows: [Vec<f32>; 2],
    encoder_words: Vec<String>,
    /// Of `sea`, on the side of questions and of documents.
    encoder_weights: [f32; 2],
    /// Of `a ship and a kraken`, on both sides.
    encoded: [Vec<f32>; 2],
}

const UNSEEN: &str = "shipwright";
const TEXT: [&str; 5] = ["a", "ship", "and", "a", "kraken"];

fn trained() -> Trained {
    serde_json::from_slice(&fs::read(saved("trained_v1.json")).unwrap()).unwrap()
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance, "{found}, expected {expected}");
    }
}

#[test]
fn tcsw_version_1() {
    let expected = trained();
    let subwords = SubwordVectors::open(&saved("subwords_v1.tcsw")).unwrap();
    assert_eq!(*subwords.config(), SubwordConfig { min_n: 3, max_n: 4, n_buckets: 32 });
    assert_eq!(subwords.vectors().words(), expected.words);
    assert_eq!(subwords.vectors().counts(), Some(&expected.counts[..]));
    assert_eq!(subwords.vectors().index_of(UNSEEN), None);
    for (word, row) in ["ship", UNSEEN].into_iter().zip(&expected.subword_rows) {
        assert_close(&subwords.get(word).unwrap(), row, 0.0);
    }
}

#[test]
fn tcse_versions_1_and_2() {
    for name in ["encoder_v1.tcse", "encoder_v2.tcse"] {
        check_encoder(name);
    }
}

fn check_encoder(name: &str) {
    let expected = trained();
    let encoder = StaticEncoder::open(&saved(name)).unwrap();
    assert_eq!(encoder.words(), expected.encoder_words);
    assert_eq!((encoder.dims(), encoder.n_tokens()), (&[2, 4][..], expected.encoder_words.len() + 3));
    let sea = encoder.token("sea").unwrap() as usize;
    for (side, at) in [(Side::Query, 0), (Side::Document, 1)] {
        assert_close(&[encoder.weight(sea, side)], &[expected.encoder_weights[at]], 1e-6);
        let mut row = [0.0; 4];
        encoder.encode(TEXT, side, &mut row);
        // Rows are saved in 16 bits.
        assert_close(&row, &expected.encoded[at], 2e-3);
    }
    assert!(expected.encoder_weights[0] != expected.encoder_weights[1], "sides differ");
}

/// Writes a file unless it is there.
fn write(name: &str, with: impl FnOnce(&Path)) {
    let path = saved(name);
    if !path.exists() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        with(&path);
    }
}

#[test]
#[ignore = "writes the fixtures that are missing"]
fn files_of_this_version_are_written() {
    let words = WORDS.map(str::to_owned).to_vec();
    let vectors = WordVectors::new(words, 3, ROWS.concat()).unwrap().with_counts(COUNTS.to_vec()).unwrap();
    for (name, precision, _) in TCWV {
        write(name, |path| replace_file(path, |file| write_tcwv(&vectors, precision, file)).unwrap());
    }
    write("rows_v1.bin", |path| {
        write_word2vec_binary(&vectors, &mut fs::File::create(path).unwrap()).unwrap();
        set_changed(path);
        assert_eq!(Word2vecFile::open(path).unwrap().origin(), IndexOrigin::Built);
    });

    let text = ["a ship on the sea", "the ship and the sea", "a judge in the court", "the court and a judge"];
    let corpus = Corpus::from_sentences(text.map(str::split_whitespace), 1, None).unwrap();
    let mut go_on = |_: &wordvec::train::TrainingProgress| ControlFlow::Continue(());
    let config = TrainConfig {
        common: SkipGramConfig { dim: 4, epochs: 20, subsample: 0.0, ..SkipGramConfig::default() },
        ..TrainConfig::default()
    };
    let grams = SubwordConfig { min_n: 3, max_n: 4, n_buckets: 32 };
    let subwords = train_subwords(&corpus, &config, &grams, &mut go_on).unwrap();
    let mut encoder = StaticEncoder::new(subwords.vectors(), &[2, 4], 3, 1).unwrap();
    let bags = text.map(|text| encoder.bag(text.split(' ')));
    let pairs: Vec<Pair> = [(0, 1), (1, 0), (2, 3), (3, 2)]
        .map(|(query, document)| Pair {
            query: bags[query].clone(),
            document: document as u32,
            negatives: vec![],
        })
        .to_vec();
    let training = EncoderConfig {
        epochs: 10,
        batch: 4,
        hard_negatives: 0,
        random_negatives: 0,
        ..EncoderConfig::default()
    };
    train_encoder(&mut encoder, &bags, &pairs, &training, &mut |_| ControlFlow::Continue(())).unwrap();
    write("subwords_v1.tcsw", |path| subwords.save(path).unwrap());
    write("encoder_v2.tcse", |path| encoder.save(path, Precision::F16).unwrap());
    write("trained_v1.json", |path| {
        let sea = encoder.token("sea").unwrap() as usize;
        let encoded = [Side::Query, Side::Document].map(|side| {
            let mut row = vec![0.0; 4];
            encoder.encode(TEXT, side, &mut row);
            row
        });
        let values = Trained {
            words: subwords.vectors().words().to_vec(),
            counts: subwords.vectors().counts().unwrap().to_vec(),
            subword_rows: ["ship", UNSEEN].map(|word| subwords.get(word).unwrap().into_owned()),
            encoder_words: encoder.words().to_vec(),
            encoder_weights: [Side::Query, Side::Document].map(|side| encoder.weight(sea, side)),
            encoded,
        };
        fs::write(path, serde_json::to_vec_pretty(&values).unwrap()).unwrap();
    });
}
