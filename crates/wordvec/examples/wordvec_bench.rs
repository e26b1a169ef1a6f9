//! Steps the comparisons in `benchmarks/wordvec` time: one JSON object on stdout each.
//!
//! ```text
//! wordvec_bench train CORPUS OUT.bin [name=value ...]   train; settings as `NAMES` below
//! wordvec_bench open FILE WORD                          open, look one word up
//! wordvec_bench convert FROM TO f32|f16|int8            convert to `.tcwv`
//! wordvec_bench export FROM TO bin|text|glove           write another format
//! wordvec_bench nearest FILE K WORD...                  neighbours of words
//! wordvec_bench pool FILE TEXTS                         pool every line of TEXTS on one thread
//! wordvec_bench retrofit FILE GROUPS OUT.bin [name=value ...] move vectors towards those of the words in a group (a line each)
//! ```
#![allow(clippy::print_stdout, missing_docs)]

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use wordvec::read::{self, ReadOptions};
use wordvec::retrofit::{RetrofitConfig, links_of_groups, retrofit};
use wordvec::train::{
    Architecture, Corpus, CorpusOptions, Mode, Objective, SubwordConfig, TextFile, TrainConfig, train,
    train_subwords,
};
use wordvec::write::{self, Precision};
use wordvec::{MappedVectors, Word2vecFile, WordTable, pool, similar};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["train", corpus, out, ref settings @ ..] => train_file(Path::new(corpus), Path::new(out), settings),
        ["open", file, word] => open(Path::new(file), word),
        ["convert", from, to, precision] => convert(Path::new(from), Path::new(to), precision),
        ["export", from, to, format] => export(Path::new(from), Path::new(to), format),
        ["nearest", file, k, ref words @ ..] => nearest(Path::new(file), k.parse()?, words),
        ["retrofit", file, groups, out, ref settings @ ..] => {
            retrofit_file(Path::new(file), Path::new(groups), Path::new(out), settings)
        }
        ["pool", file, texts] => pool_texts(Path::new(file), Path::new(texts)),
        _ => Err("see the head of this example for its commands".into()),
    }
}

fn train_file(path: &Path, out: &Path, settings: &[&str]) -> Result<()> {
    let mut config = TrainConfig::default();
    let mut options = CorpusOptions { min_count: 5, ..CorpusOptions::default() };
    let mut subwords = None;
    for setting in settings {
        let (name, value) = setting.split_once('=').ok_or("settings are name=value")?;
        let common = &mut config.common;
        match name {
            "dim" => common.dim = value.parse()?,
            "window" => common.window = value.parse()?,
            "negatives" => common.negatives = value.parse()?,
            "epochs" => common.epochs = value.parse()?,
            "subsample" => common.subsample = value.parse()?,
            "rate" => common.learning_rate = value.parse()?,
            "seed" => common.seed = value.parse()?,
            "min_count" => options.min_count = value.parse()?,
            "scratch" => options.scratch = Some(value.into()),
            "threads" => config.mode = Mode::Fast { threads: value.parse()? },
            "cbow" => config.architecture = Architecture::Cbow,
            "tree" => config.objective = Objective::HierarchicalSoftmax,
            "buckets" => {
                subwords = Some(SubwordConfig { n_buckets: value.parse()?, ..SubwordConfig::default() });
            }
            _ => return Err(format!("no setting {name}").into()),
        }
    }
    let started = Instant::now();
    let corpus = Corpus::from_source(&mut TextFile::new(path), &options)?;
    let read_s = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let mut loss = 0.0;
    let mut progress = |state: &wordvec::train::TrainingProgress| {
        loss = state.mean_loss;
        ControlFlow::Continue(())
    };
    let vectors = match &subwords {
        Some(subwords) => train_subwords(&corpus, &config, subwords, &mut progress)?.vectors().clone(),
        None => train(&corpus, &config, &mut progress)?,
    };
    let train_s = started.elapsed().as_secs_f64();
    write::replace_file(out, |file| Ok(write::write_word2vec_binary(&vectors, &mut BufWriter::new(file))?))?;
    let n_words = corpus.n_seen() * config.common.epochs as u64;
    println!(
        "{{\"settings\": \"{}\", \"vocabulary\": {}, \"words\": {n_words}, \"read_s\": {read_s:.2}, \"train_s\": {train_s:.2}, \
         \"words_per_s\": {:.0}, \"last_loss\": {loss:.4}}}",
        settings.join(" "),
        vectors.len(),
        n_words as f64 / train_s
    );
    Ok(())
}

fn open(path: &Path, word: &str) -> Result<()> {
    let started = Instant::now();
    let (how, vectors): (String, Box<dyn WordTable>) = if path.extension().is_some_and(|name| name == "tcwv")
    {
        ("mapped".to_owned(), Box::new(MappedVectors::open(path)?))
    } else {
        let file = Word2vecFile::open(path)?;
        (format!("{:?}", file.origin()), Box::new(file))
    };
    let opened_ms = started.elapsed().as_secs_f64() * 1e3;
    let at = vectors.index_of(word).ok_or("unknown word")?;
    let sum: f32 = vectors.row_at(at).iter().sum();
    let lookup_ms = started.elapsed().as_secs_f64() * 1e3;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: 0 kB");
    let resident_kib: u64 = resident.split_whitespace().nth(1).unwrap_or("0").parse()?;
    println!(
        "{{\"how\": \"{how}\", \"open_ms\": {opened_ms:.3}, \"first_lookup_ms\": {lookup_ms:.3}, \"peak_resident_mib\": {:.1}, \
         \"words\": {}, \"sum\": {sum}}}",
        resident_kib as f64 / 1024.0,
        vectors.len()
    );
    Ok(())
}

fn convert(from: &Path, to: &Path, precision: &str) -> Result<()> {
    let precision = match precision {
        "f32" => Precision::F32,
        "f16" => Precision::F16,
        "int8" => Precision::Int8,
        _ => return Err("precision is f32, f16 or int8".into()),
    };
    let started = Instant::now();
    let report =
        read::convert(from, to, precision, &ReadOptions::default(), &mut |_| ControlFlow::Continue(()))?;
    println!(
        "{{\"convert_s\": {:.2}, \"format\": \"{:?}\", \"n_duplicates\": {}, \"n_not_utf8\": {}, \"size_bytes\": {}}}",
        started.elapsed().as_secs_f64(),
        report.format,
        report.n_duplicates,
        report.n_not_utf8,
        std::fs::metadata(to)?.len()
    );
    Ok(())
}

fn export(from: &Path, to: &Path, format: &str) -> Result<()> {
    let (vectors, _) = read::read_path(from, &ReadOptions::default())?;
    let mut out = BufWriter::new(File::create(to)?);
    match format {
        "bin" => write::write_word2vec_binary(&vectors, &mut out)?,
        "text" => write::write_word2vec_text(&vectors, &mut out)?,
        "glove" => write::write_glove_text(&vectors, &mut out)?,
        _ => return Err("format is bin, text or glove".into()),
    }
    Ok(out.flush()?)
}

fn nearest(path: &Path, k: usize, words: &[&str]) -> Result<()> {
    let vectors = read::open(path)?;
    for word in words {
        let at = vectors.index_of(word).ok_or_else(|| format!("unknown word {word}"))?;
        let found = similar::nearest(&*vectors, &vectors.row_at(at), k, &[word]);
        let found: Vec<(String, f32)> =
            found.iter().map(|(at, cosine)| (vectors.word_at(*at).into_owned(), *cosine)).collect();
        println!("{}", serde_json::json!({ "word": word, "nearest": found }));
    }
    Ok(())
}

/// Pools every line by mean and by max-abs; tokens between spaces.
fn retrofit_file(path: &Path, groups: &Path, out: &Path, settings: &[&str]) -> Result<()> {
    let mut config = RetrofitConfig::default();
    for setting in settings {
        match setting.split_once('=').ok_or("settings are name=value")? {
            ("stay", value) => config.stay = value.parse()?,
            ("pull", value) => config.pull = value.parse()?,
            ("sweeps", value) => config.sweeps = value.parse()?,
            (name, _) => return Err(format!("no setting {name}").into()),
        }
    }
    let (vectors, _) = read::read_path(path, &ReadOptions::default())?;
    let groups = std::fs::read_to_string(groups)?;
    let links = links_of_groups(&vectors, groups.lines().map(str::split_whitespace));
    let moved = retrofit(&vectors, &links, &config)?;
    write::replace_file(out, |file| Ok(write::write_word2vec_binary(&moved, &mut BufWriter::new(file))?))?;
    let changed = (0..vectors.len()).filter(|&at| vectors.row(at) != moved.row(at)).count();
    println!("{{\"links\": {}, \"words_moved\": {changed}}}", links.len());
    Ok(())
}

fn pool_texts(path: &Path, texts: &Path) -> Result<()> {
    let (vectors, _) = read::read_path(path, &ReadOptions::default())?;
    let lines: Vec<String> = BufReader::new(File::open(texts)?).lines().collect::<std::io::Result<_>>()?;
    let tokens: Vec<Vec<&str>> = lines.iter().map(|line| line.split(' ').collect()).collect();
    // Not zeros, which the system would only give memory for when they are written.
    let mut rows = vec![1.0; tokens.len() * vectors.dim()];
    let before = processor_s();
    let n_known = tokens.iter().flatten().filter(|token| vectors.index_of(token).is_some()).count();
    let look_up_s = processor_s() - before;
    let (mut seconds, mut processor_seconds) = ([0.0; 2], [0.0; 2]);
    let mut sums = [0.0_f64; 2];
    for (pooling, seconds) in seconds.iter_mut().enumerate() {
        let (started, before) = (Instant::now(), processor_s());
        for (row, tokens) in rows.chunks_exact_mut(vectors.dim()).zip(&tokens) {
            let tokens = tokens.iter().copied();
            if pooling == 0 {
                pool::mean(&vectors, tokens, row)
            } else {
                pool::max_abs(&vectors, tokens, row)
            };
        }
        *seconds = started.elapsed().as_secs_f64();
        processor_seconds[pooling] = processor_s() - before;
        sums[pooling] = rows.iter().map(|x| f64::from(*x)).sum();
    }
    println!(
        "{{\"texts\": {}, \"tokens\": {}, \"known\": {n_known}, \"look_up_cpu_s\": {look_up_s:.3}, \"mean_s\": {:.3}, \"max_abs_s\": {:.3}, \"mean_cpu_s\": {:.3}, \"max_abs_cpu_s\": {:.3}, \"mean_sum\": {}, \"max_abs_sum\": {}}}",
        tokens.len(),
        tokens.iter().map(Vec::len).sum::<usize>(),
        seconds[0],
        seconds[1],
        processor_seconds[0],
        processor_seconds[1],
        sums[0],
        sums[1]
    );
    Ok(())
}

/// Seconds this thread was on a processor, where the system tells (Linux); 0 elsewhere.
fn processor_s() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    told.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}
