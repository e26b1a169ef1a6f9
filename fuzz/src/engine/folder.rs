//! A small working folder with all that is mapped or read when searching.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use titlecard_engine::catalogue::{Film, ReadOptions};
use titlecard_engine::config::Config;
use titlecard_engine::index::word_tokenizer;
use titlecard_engine::pipeline::{self, DEFAULT_REGRESSOR, Workspace};
use titlecard_engine::{progress, sample};
use wordvec::WordVectors;
use wordvec::encoder::StaticEncoder;
use wordvec::write::Precision;

const SEED: u64 = 2026;
/// Films enough to learn a regressor from (16 to learn, others to try it on), few enough for files of some kilobytes.
pub const FEW: usize = 40;

/// The first `n_films` films of the sample.
///
/// # Panics
/// If the sample cannot be read.
pub fn films(n_films: usize) -> Vec<Film> {
    let mut films = Vec::new();
    let options = ReadOptions { limit: Some(n_films), ..ReadOptions::default() };
    let kept = sample::read_films(&options, &mut |film| {
        films.push(film);
        ControlFlow::Continue(())
    });
    kept.expect("the sample can be read");
    films
}

/// Makes a working folder of the first `n_films` films of the sample: random vectors of 8 components, a regressor, an
/// encoder, graph, names and index. Some hundred kilobytes for 160 films.
///
/// # Panics
/// If a step fails.
pub fn make(folder: &Path, n_films: usize) -> Config {
    let workspace = Workspace::new(folder);
    let films = films(n_films);
    pipeline::write_films(&workspace, &films).expect("a folder that can be written");
    let mut words = BTreeSet::new();
    for film in &films {
        for text in [&film.tags, &film.title] {
            words.extend(word_tokenizer(&Config::default()).tokens(text));
        }
    }
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let data: Vec<f32> = (0..8 * words.len()).map(|_| random.random_range(-1.0..1.0)).collect();
    let vectors = WordVectors::new(words.into_iter().collect(), 8, data).expect("one row a word");
    let mut text = String::new();
    for (word, row) in vectors.words().iter().zip(vectors.as_slice().chunks(8)) {
        let row: Vec<String> = row.iter().map(f32::to_string).collect();
        let _ = writeln!(text, "{word} {}", row.join(" "));
    }
    let path = folder.join("words.txt");
    fs::write(&path, text).expect("a folder that can be written");
    let mut config = Config::default();
    config.regressor.hidden = vec![32];
    config.regressor.dropout = vec![0.1];
    config.regressor.epochs = 2;
    config.regressor.batch = 64;
    config.run.threads = 2;
    config.vectors.path = path.display().to_string();
    config.search.year = 2020;
    let report = &mut progress::silent;
    pipeline::train_regressor(&workspace, &config, &films, DEFAULT_REGRESSOR, false, report)
        .expect("films to learn from");
    StaticEncoder::new(&vectors, &[4, 8], 16, 1)
        .and_then(|encoder| encoder.save(&folder.join("models/encoder.tcse"), Precision::F16))
        .expect("lengths that rise");
    pipeline::build_graph(&workspace, &config, &films, report).expect("films of our own");
    pipeline::build_index(&workspace, &config, &films, report).expect("films of our own");
    config
}
