//! The same seed gives the same bytes on one thread, on two, and a second time: every model, the graph, the index but for
//! the names that tantivy draws for its files, and the rankings of fifty questions.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use titlecard_engine::catalogue::Split;
use titlecard_engine::encoder::{self, EncoderSettings};
use titlecard_engine::eval::tasks::KnownItem;
use titlecard_engine::pipeline::{self, DEFAULT_REGRESSOR, Workspace};
use titlecard_engine::rank::learn::RankerConfig;
use titlecard_engine::rank::training::{Sampling, build_lists};
use titlecard_engine::sample;

use crate::go_on;
use crate::index::small_config;

/// Everything that is made of the sample with small settings, file by file, and what is answered.
fn made(n_threads: usize) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::new(folder.path());
    let mut config = small_config();
    config.run.threads = n_threads;
    config.regressor.epochs = 1;
    config.vectors.dim = 16;
    config.vectors.epochs = 1;
    config.vectors.min_count = 2;
    config.vectors.subwords = true;
    config.vectors.subword_buckets = 200;
    config.vectors.phrases = 1;
    config.search.year = 2020;
    config.ranker = RankerConfig {
        max_rules: 8,
        networks: 2,
        nodes: 12,
        epochs: 1,
        best: 30,
        random: 30,
        ..config.ranker
    };
    pipeline::prepare(&workspace, &config, &mut go_on).unwrap();
    let catalogue = pipeline::load_films(&workspace).unwrap();
    let films = catalogue.films();
    pipeline::train_word_vectors(&workspace, &config, films, &mut go_on).unwrap();
    pipeline::train_regressor(&workspace, &config, films, DEFAULT_REGRESSOR, false, &mut go_on).unwrap();
    let queries = sample::queries().unwrap();
    let mut settings = EncoderSettings { n_buckets: 64, folds: 2, ..EncoderSettings::default() };
    (settings.training.batch, settings.training.random_negatives) = (32, 32);
    encoder::train(&workspace, &config, films, &queries, &settings, &mut go_on).unwrap();
    pipeline::build_graph(&workspace, &config, films, &mut go_on).unwrap();
    pipeline::build_index(&workspace, &config, films, &mut go_on).unwrap();

    let engine = pipeline::open_engine(&workspace, &config).unwrap();
    let task = KnownItem { engine: &engine, films, regressors: &[], folds: &[], seed: config.run.seed };
    let wanted = task.wanted(&task.select(&queries, Some(Split::Train)), true);
    let sampling = Sampling { best: config.ranker.best, random: config.ranker.random, seed: config.run.seed };
    let lists = build_lists(&engine, &wanted, Some(sampling), &mut go_on).unwrap();
    pipeline::train_ranker(&workspace, &config, &lists, &mut go_on).unwrap();

    let engine = pipeline::open_engine(&workspace, &config).unwrap();
    assert!(engine.ranker().is_some_and(|ranker| !ranker.rules().rules().is_empty()));
    let mut made = BTreeMap::new();
    let mut rankings = String::new();
    for query in &queries[..50] {
        for (film, score) in engine.rank(&query.text, films.len()).unwrap() {
            let _ = writeln!(rankings, "{} {} {:016x}", query.query_id, films[film].id, score.to_bits());
        }
    }
    made.insert("rankings".to_owned(), rankings.into_bytes());
    read_all(folder.path(), "", &mut made);
    made
}

/// Files by path inside the folder; a generation of the index goes by no name, and its text index is left out.
fn read_all(folder: &Path, prefix: &str, made: &mut BTreeMap<String, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            let name = if name.starts_with("gen-") { "generation".to_owned() } else { name };
            if name != "text" {
                read_all(&entry.path(), &format!("{prefix}{name}/"), made);
            }
        } else if name != "manifest.json" {
            made.insert(format!("{prefix}{name}"), fs::read(entry.path()).unwrap());
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let on = |n_threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| made(n_threads))
    };
    let one = on(1);
    for name in [
        "data/films.jsonl.zst",
        "models/vectors.tcwv",
        "models/vectors.tcsw",
        "models/regressor-default.safetensors",
        "models/encoder.tcse",
        "models/encoder-fold-0.tcse",
        "models/rules.json",
        "graph/graph.tcg",
        "graph/names.tclx",
        "graph/other_titles.json",
        "index/generation/tags.tcvi",
        "index/generation/encoded.tcvi",
        "index/generation/facts.tcff",
    ] {
        assert!(one[name].len() > 30, "`{name}` is made");
    }
    assert!(one["rankings"].split(|&byte| byte == b'\n').count() > 50 * 400);
    for (n_threads, other) in [(2, on(2)), (2, on(2))] {
        assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
        for (name, bytes) in &one {
            assert!(*bytes == other[name], "`{name}` differs between 1 and {n_threads} threads");
        }
    }
}
