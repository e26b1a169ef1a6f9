//! Values computed by gensim and numpy: `fixtures/golden/wordvec.py` and its output beside it.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use wordvec::pool::{self, Sif};
use wordvec::read::{self, Format, ReadOptions};
use wordvec::retrofit::{RetrofitConfig, retrofit};
use wordvec::train::{PhraseConfig, PhraseScore, Phrases, SentenceSource, SubwordConfig};
use wordvec::{WordVecError, WordVectors, similar, write};

#[derive(Deserialize)]
struct Golden {
    words: Vec<String>,
    rows: Vec<Vec<f32>>,
    counts: Vec<u64>,
    nearest: HashMap<String, Vec<(String, f32)>>,
    analogies: Vec<Analogy>,
    doesnt_match: Vec<Odd>,
    mean: Vec<f32>,
    phrases: HashMap<String, PhraseCase>,
    sentences: Vec<String>,
    ngrams: HashMap<String, Vec<u32>>,
    sif: Pooled,
    retrofit: Retrofitted,
}

#[derive(Deserialize)]
struct Analogy {
    words: [String; 3],
    add: Vec<(String, f32)>,
    multiply: Vec<(String, f32)>,
}

#[derive(Deserialize)]
struct Odd {
    words: Vec<String>,
    odd: String,
}

#[derive(Deserialize)]
struct PhraseCase {
    threshold: f64,
    scores: HashMap<String, f64>,
    joined: Vec<Vec<String>>,
}

#[derive(Deserialize)]
struct Pooled {
    texts: Vec<Vec<String>>,
    rows: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Retrofitted {
    links: Vec<(usize, usize)>,
    rows: Vec<Vec<f32>>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden").join(name)
}

fn golden() -> Golden {
    serde_json::from_slice(&std::fs::read(fixture("wordvec.json")).unwrap()).unwrap()
}

impl Golden {
    fn vectors(&self) -> WordVectors {
        let vectors = WordVectors::new(self.words.clone(), self.rows[0].len(), self.rows.concat()).unwrap();
        vectors.with_counts(self.counts.clone()).unwrap()
    }
}

fn close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance, "{found}, expected {expected}");
    }
}

fn same_words(vectors: &WordVectors, found: &[(usize, f32)], expected: &[(String, f32)]) {
    assert_eq!(found.len(), expected.len());
    for ((at, score), (word, expected)) in found.iter().zip(expected) {
        assert_eq!(&vectors.words()[*at], word);
        assert!((score - expected).abs() < 1e-5, "{score} for {word}, expected {expected}");
    }
}

#[test]
fn files_written_by_gensim_hold_its_vectors() {
    let golden = golden();
    for (name, format, tolerance) in [
        ("gensim.bin", Format::Word2vecBinary, 0.0),
        ("gensim.bin.gz", Format::Word2vecBinary, 0.0),
        ("gensim.txt", Format::TextWithHeader, 1e-6),
        ("gensim_glove.txt", Format::TextWithoutHeader, 1e-6),
    ] {
        let (vectors, report) =
            read::read_path(&fixture("wordvec").join(name), &ReadOptions::default()).unwrap();
        assert_eq!((report.format, report.n_duplicates, report.has_more), (format, 0, false), "{name}");
        assert_eq!(vectors.words(), golden.words, "{name}");
        close(vectors.as_slice(), &golden.rows.concat(), tolerance);
    }
}

#[test]
fn our_binary_file_is_gensims_byte_by_byte() {
    let mut bytes = Vec::new();
    write::write_word2vec_binary(&golden().vectors(), &mut bytes).unwrap();
    // The original program ends a row with a line feed; gensim does not, and reads both.
    let ours: Vec<u8> = bytes;
    let theirs = std::fs::read(fixture("wordvec/gensim.bin")).unwrap();
    let again = |bytes: &[u8]| read::read_from_bytes(bytes).unwrap();
    assert_eq!(again(&ours), again(&theirs));
    assert_eq!(ours.len(), theirs.len() + golden().words.len());
}

#[test]
fn saved_files_of_version_1_still_open() {
    let golden = golden();
    let open =
        |name: &str| read::read_path(&fixture("wordvec").join(name), &ReadOptions::default()).unwrap().0;
    let exact = open("version_1_f32.tcwv");
    assert_eq!(exact.words(), golden.words);
    assert_eq!((exact.as_slice(), exact.counts()), (&golden.rows.concat()[..], None));
    let rounded = open("version_1_int8.tcwv");
    assert_eq!(rounded.counts(), Some(&golden.counts[..]));
    close(rounded.as_slice(), &golden.rows.concat(), 0.02);
    let part =
        ReadOptions { limit: Some(3), only: Some(["ship", "the", "sea", "film"].map(String::from).into()) };
    let (vectors, _) = read::read_path(&fixture("wordvec/version_1_f32.tcwv"), &part).unwrap();
    assert_eq!(vectors.words(), ["the", "film", "sea"]);
}

#[test]
fn neighbours_and_analogies_are_gensims() {
    let golden = golden();
    let vectors = golden.vectors();
    for (word, expected) in &golden.nearest {
        same_words(&vectors, &vectors.nearest(vectors.get(word).unwrap(), 5, &[word]), expected);
    }
    for case in &golden.analogies {
        let words = [&*case.words[0], &*case.words[1], &*case.words[2]];
        same_words(&vectors, &similar::analogy(&vectors, words, 4).unwrap(), &case.add);
        same_words(&vectors, &similar::analogy_multiplied(&vectors, words, 4).unwrap(), &case.multiply);
    }
    for case in &golden.doesnt_match {
        let words: Vec<&str> = case.words.iter().map(String::as_str).collect();
        assert_eq!(similar::doesnt_match(&vectors, &words).unwrap(), case.odd);
    }
}

#[test]
fn means_and_sif_are_numpys() {
    let golden = golden();
    let vectors = golden.vectors();
    let mut row = vec![0.0; vectors.dim()];
    pool::mean(&vectors, golden.words[2..6].iter().map(String::as_str), &mut row);
    close(&row, &golden.mean, 1e-6);
    let texts = || golden.sif.texts.iter().map(|text| text.iter().map(String::as_str));
    let sif = Sif::fit(&vectors, 1e-3, texts()).unwrap();
    for (text, expected) in texts().zip(&golden.sif.rows) {
        sif.embed(&vectors, text, &mut row);
        // The direction comes from the power method, whose last digits are slow.
        close(&row, expected, 1e-4);
    }
}

struct Sentences(Vec<String>);

impl SentenceSource for Sentences {
    fn for_each(
        &mut self,
        with: &mut dyn FnMut(&[&str]) -> Result<(), WordVecError>,
    ) -> Result<(), WordVecError> {
        self.0.iter().try_for_each(|sentence| with(&sentence.split(' ').collect::<Vec<&str>>()))
    }
}

#[test]
fn phrases_are_gensims() {
    let golden = golden();
    for (scoring, score) in [("default", PhraseScore::Original), ("npmi", PhraseScore::Npmi)] {
        let case = &golden.phrases[scoring];
        let config =
            PhraseConfig { min_count: 2, threshold: case.threshold, score, ..PhraseConfig::default() };
        let phrases = Phrases::learn(&mut Sentences(golden.sentences.clone()), &config).unwrap();
        assert_eq!(phrases.len(), case.scores.len(), "{scoring}");
        for (pair, expected) in &case.scores {
            let (first, second) = pair.split_once('_').unwrap();
            let found = phrases.score(first, second).unwrap();
            assert!((found - expected).abs() < 1e-9, "{found} for {pair}, expected {expected}");
        }
        for (sentence, joined) in golden.sentences.iter().zip(&case.joined) {
            assert_eq!(&phrases.join(&sentence.split(' ').collect::<Vec<&str>>()), joined);
        }
    }
}

#[test]
fn buckets_of_ngrams_are_fasttexts() {
    let config = SubwordConfig { min_n: 3, max_n: 6, n_buckets: 1000 };
    for (word, expected) in golden().ngrams {
        let (mut found, mut expected) = (config.buckets(&word), expected);
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{word}");
    }
}

#[test]
fn retrofitting_is_the_papers_update() {
    let golden = golden();
    let moved = retrofit(&golden.vectors(), &golden.retrofit.links, &RetrofitConfig::default()).unwrap();
    close(moved.as_slice(), &golden.retrofit.rows.concat(), 1e-5);
}
