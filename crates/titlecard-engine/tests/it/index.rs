//! The text index against brute force, and indexes that are damaged, half built or of another time.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use titlecard_engine::catalogue::Film;
use titlecard_engine::config::Config;
use titlecard_engine::embedding::Embedder;
use titlecard_engine::index::lexical::{FieldWeights, LexicalConfig, LexicalIndex};
use titlecard_engine::index::{IndexError, SearchIndex, lexical_tokenizer, word_tokenizer};
use titlecard_engine::rank::{FusionWeights, PARTS};
use titlecard_engine::regressor::{Regressor, RegressorConfig, Trainer, TrainingSet};
use titlecard_engine::sample;
use titlecard_engine::search::{Engine, SearchError};
use titlecard_engine::text::{Tokenizer, is_stop_word};

use crate::{go_on, sample_films};

fn film(id: usize, title: &str, tags: &str) -> Film {
    Film { id: id.to_string(), title: title.to_owned(), tags: tags.to_owned(), ..Film::default() }
}

/// BM25 by the formula in the module's head, in 64 bits, over plain lists of words.
fn brute_force(films: &[Film], query: &str, config: &LexicalConfig, tokenizer: Tokenizer) -> Vec<f64> {
    let mut scores = vec![0.0; films.len()];
    // Terms with the word as it first stands and how often they come.
    let mut terms: HashMap<String, (String, f64)> = HashMap::new();
    tokenizer.for_each_with_span(query, |term, span| {
        terms.entry(term.to_owned()).or_insert_with(|| (query[span].to_owned(), 0.0)).1 += 1.0;
    });
    // Function words only count where there is nothing else.
    if terms.values().any(|(word, _)| !is_stop_word(word)) {
        terms.retain(|_, (word, _)| !is_stop_word(word));
    }
    let counts: HashMap<String, f64> = terms.into_iter().map(|(term, (_, count))| (term, count)).collect();
    let [title, tags, ..] = config.weights.as_array().map(f64::from);
    for (weight, text_of) in
        [(title, (|film: &Film| film.title.clone()) as fn(&Film) -> String), (tags, |film| film.tags.clone())]
    {
        let texts: Vec<Vec<String>> = films.iter().map(|film| tokenizer.tokens(&text_of(film))).collect();
        let average = texts.iter().map(Vec::len).sum::<usize>() as f64 / films.len() as f64;
        for (term, count) in &counts {
            let n_matching = texts.iter().filter(|text| text.contains(term)).count() as f64;
            let idf = (1.0 + (films.len() as f64 - n_matching + 0.5) / (n_matching + 0.5)).ln();
            for (score, text) in scores.iter_mut().zip(&texts) {
                let tf = text.iter().filter(|word| *word == term).count() as f64;
                if tf == 0.0 {
                    // Where no film has a word, lengths have no average to be compared with.
                    continue;
                }
                let (k1, b) = (f64::from(config.k1), f64::from(config.b));
                let norm = k1 * (1.0 - b + b * text.len() as f64 / average);
                *score += weight * (1.0 + count.ln()) * idf * tf * (k1 + 1.0) / (tf + norm);
            }
        }
    }
    scores
}

fn lexical(films: &[Film]) -> (tempfile::TempDir, LexicalIndex, Tokenizer) {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = lexical_tokenizer(&Config::default());
    LexicalIndex::build(folder.path(), films, &tokenizer, 2, &mut go_on).unwrap();
    let index = LexicalIndex::open(folder.path(), &tokenizer).unwrap();
    (folder, index, tokenizer)
}

proptest! {
    // Every case writes an index to disk.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn scores_are_those_of_brute_force(
        texts in prop::collection::vec(("[a-d ]{1,9}", "[a-f ]{0,30}"), 1..25),
        query in "[a-g ]{1,20}",
    ) {
        let films: Vec<Film> =
            texts.iter().enumerate().map(|(at, (title, tags))| film(at, title, tags)).collect();
        let (_folder, index, tokenizer) = lexical(&films);
        let config = LexicalConfig::default();
        let mut scores = vec![0.0; films.len()];
        let query_terms = index.parse(&query);
        index.score_all(&query_terms, &config, &mut scores).unwrap();
        let expected = brute_force(&films, &query, &config, tokenizer);
        for (at, (score, expected)) in scores.iter().zip(&expected).enumerate() {
            // Lengths up to 40 words are stored exactly; these texts are shorter.
            prop_assert!((f64::from(*score) - expected).abs() < 1e-4, "film {at}: {score}, expected {expected}");
            let shown: f32 = index.explain(at, &query_terms, &config).unwrap().iter().map(|found| found.score).sum();
            prop_assert!((shown - score).abs() < 1e-4, "film {at}: {shown} shown, {score} ranked by");
        }
    }
}

#[test]
fn function_words_count_only_where_there_is_nothing_else() {
    let (_folder, index, _) = lexical(&[film(1, "It", "a clown"), film(2, "The Thing", "it is cold")]);
    let terms =
        |query: &str| index.parse(query).terms().iter().map(|term| term.word.clone()).collect::<Vec<_>>();
    assert_eq!(terms("Is it the one where they DON'T speak?"), ["one", "speak"]);
    assert_eq!(terms("it"), ["it"]);
    assert_eq!(terms("The It of it"), ["The", "It", "of"]);
}

#[test]
fn a_field_of_weight_zero_does_not_count() {
    let (_folder, index, _) = lexical(&[film(1, "Shark", "boat"), film(2, "Boat", "shark shark")]);
    let config = LexicalConfig { weights: FieldWeights::title_only(), ..LexicalConfig::default() };
    let mut scores = [0.0; 2];
    index.score_all(&index.parse("sharks"), &config, &mut scores).unwrap();
    assert!(scores[0] > 0.0 && scores[1] == 0.0);
    assert_eq!(index.film(1).unwrap().title, "Boat");
    assert!(index.film(2).is_err());
}

/// Small settings, so that a test trains in a moment.
pub(crate) fn small_config() -> Config {
    let mut config = Config::default();
    config.regressor =
        RegressorConfig { hidden: vec![32], dropout: vec![0.1], epochs: 2, batch: 64, ..config.regressor };
    config.run.threads = 2;
    config
}

pub(crate) fn embedder(films: &[Film], config: &Config) -> Embedder {
    let texts: Vec<&str> = films.iter().map(|film| film.tags.as_str()).collect();
    Embedder::fit(Arc::new(sample::word_vectors().unwrap()), word_tokenizer(config), &texts).unwrap()
}

fn regressor(films: &[Film], embedder: &Embedder, config: &Config) -> Regressor {
    let films: Vec<&Film> = films.iter().collect();
    let set = TrainingSet::embed(embedder, &config.regressor, &films[..300], &films[300..]);
    let trainer = Trainer::new(&set, &config.regressor, 1).unwrap();
    trainer.run(&mut go_on, |_| Ok::<_, titlecard_engine::regressor::RegressorError>(())).unwrap().regressor
}

pub(crate) fn build(folder: &Path) -> (Vec<Film>, Config) {
    let (films, config) = (sample_films(), small_config());
    let embedder = embedder(&films, &config);
    let regressor = regressor(&films, &embedder, &config);
    SearchIndex::build(folder, &films, &embedder, &regressor, None, &config, &mut go_on).unwrap();
    (films, config)
}

fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            files.extend(all_files(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

#[test]
fn an_index_answers_explains_and_survives_its_faults() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let missing = SearchIndex::open(folder, false).err().unwrap().to_string();
    assert!(missing.ends_with("run `titlecard index` first"), "{missing}");
    let (films, config) = build(folder);

    let fusion = FusionWeights::from_array([1.0, 0.0, 0.0, 0.0, 0.5, 0.1, 0.0, 0.0]);
    let engine = Engine::new(SearchIndex::open(folder, true).unwrap(), config.lexical, fusion);
    let answer = engine
        .search("a great white shark scares a beach town, the police chief is afraid of water", 400)
        .unwrap();
    assert_eq!(answer.hits[0].film.title, "Jaws");
    assert_eq!((answer.n_films, answer.hits.len()), (films.len(), 400));
    for (at, hit) in answer.hits.iter().enumerate() {
        assert_eq!(hit.rank, at + 1);
        assert_eq!(
            hit.parts.iter().map(|part| part.name).collect::<Vec<_>>(),
            [PARTS[0], PARTS[4], PARTS[5]]
        );
        // The sum shown is the sum ranked by, to the last bit.
        let sum = hit.parts[0].contribution + hit.parts[1].contribution + hit.parts[2].contribution;
        assert_eq!(f64::from(sum), hit.score);
        assert!(at == 0 || hit.score <= answer.hits[at - 1].score);
    }
    assert!(answer.hits[0].matches.iter().any(|found| found.word == "shark"), "{:?}", answer.hits[0].matches);
    assert!(matches!(engine.search(" ,.! ", 5), Err(SearchError::EmptyQuery)));
    let error = engine.search("qqqzzz xxyyx", 5).unwrap_err().to_string();
    assert_eq!(error, "no word of the query is known to this catalogue (looked for: qqqzzz, xxyyx)");

    // A build that stops leaves the old index as it was.
    let before = all_files(folder);
    let embedder = embedder(&films, &config);
    let regressor = regressor(&films, &embedder, &config);
    let mut stop = |_: &titlecard_engine::progress::Progress<'_>| std::ops::ControlFlow::Break(());
    let stopped = SearchIndex::build(folder, &films[..50], &embedder, &regressor, None, &config, &mut stop);
    assert!(stopped.is_err());
    assert_eq!(all_files(folder), before);
    assert_eq!(SearchIndex::open(folder, true).unwrap().n_films(), films.len());
    let empty = SearchIndex::build(folder, &[], &embedder, &regressor, None, &config, &mut go_on);
    assert!(matches!(empty, Err(IndexError::EmptyCatalogue)));

    // A file that is missing, cut or changed is an error that says what to do.
    // (Lock files are empty and belong to whoever has the index open.)
    for path in
        all_files(folder).into_iter().filter(|path| path.extension().is_none_or(|kind| kind != "lock"))
    {
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_says_what_to_do(folder, &path);
        fs::write(&path, &good[..good.len() / 2]).unwrap();
        assert_says_what_to_do(folder, &path);
        let mut changed = good.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        fs::write(&path, &changed).unwrap();
        assert_says_what_to_do(folder, &path);
        fs::write(&path, &good).unwrap();
    }
    SearchIndex::open(folder, true).unwrap();

    // A new state replaces the old one, and only one generation stays.
    SearchIndex::build(folder, &films[..50], &embedder, &regressor, None, &config, &mut go_on).unwrap();
    assert_eq!(SearchIndex::open(folder, true).unwrap().n_films(), 50);
    assert_eq!(fs::read_dir(folder).unwrap().count(), 2, "the manifest and one generation");
}

fn assert_says_what_to_do(folder: &Path, path: &Path) {
    let Err(error) = SearchIndex::open(folder, true) else {
        panic!("{} was changed and opens", path.display())
    };
    assert!(error.to_string().contains("titlecard index"), "{}: {error}", path.display());
}
