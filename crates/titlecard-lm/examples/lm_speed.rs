//! Measures training steps, generation and the search for titles; `benchmarks/lm/peers.py` runs it beside
//! Hugging Face transformers.
//!
//! `lm_speed make SIZE FOLDER` writes a model of random weights;
//! `lm_speed full|completion|lora|lora-completion|generate FOLDER ROWS LENGTH TARGETS SECONDS f32|bf16|int8`;
//! `lm_speed titles FOLDER FILMS.jsonl.zst|titlecard-folder TOKENIZER N` searches titles for N descriptions.

#![allow(clippy::print_stdout, reason = "a measuring program")]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use nn::{Adam, AdamConfig};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use titlecard_engine::pipeline::{self as engine, Workspace as Folder};
use titlecard_lm::generate::{GenerateConfig, Precision, Sampling, TitleSearch};
use titlecard_lm::pipeline::Titles;
use titlecard_lm::{
    Batch, Decoder, GptNeoX, LoraConfig, ModelConfig, StoredAs, Template, Tokenizer, Workspace,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["make", size, folder] => {
            GptNeoX::new(&ModelConfig::named(size)?, 7).save(Path::new(folder), StoredAs::F32)?;
            Ok(())
        }
        ["titles", folder, workspace, tokenizer, n] => titles(folder, workspace, tokenizer, n.parse()?),
        [task, folder, rows, length, targets, seconds, precision] => {
            let model = GptNeoX::load(Path::new(folder))?;
            let (rows, length, targets) = (rows.parse()?, length.parse()?, targets.parse()?);
            let seconds: f64 = seconds.parse()?;
            if *task == "generate" {
                generate(model, rows, seconds, precision)
            } else {
                train(model, task, rows, length, targets, seconds)
            }
        }
        _ => Err("see the head of examples/lm_speed.rs".into()),
    }
}

fn random_ids(n: usize, rng: &mut Xoshiro256PlusPlus) -> Vec<u32> {
    (0..n).map(|_| rng.random_range(100..50_000)).collect()
}

/// Peak resident memory in bytes, by Linux.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

fn timed(seconds: f64, mut run: impl FnMut()) -> Vec<f64> {
    run();
    let mut times = Vec::new();
    let started = Instant::now();
    while times.is_empty() || started.elapsed().as_secs_f64() < seconds {
        let before = Instant::now();
        run();
        times.push(before.elapsed().as_secs_f64());
    }
    times
}

fn report(n_tokens: usize, times: &[f64]) {
    let best = times.iter().copied().fold(f64::INFINITY, f64::min);
    println!(
        "{{\"tokens_per_second\": {}, \"seconds\": {best}, \"runs\": {}, \"peak_bytes\": {}}}",
        n_tokens as f64 / best,
        times.len(),
        peak_bytes()
    );
}

fn train(
    mut model: GptNeoX,
    task: &str,
    rows: usize,
    length: usize,
    targets: usize,
    seconds: f64,
) -> Result<(), Box<dyn Error>> {
    if task.starts_with("lora") {
        model.add_lora(&LoraConfig::default(), 1)?;
    }
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let mut batch = Batch::default();
    let n_given = if task.contains("completion") { length - targets } else { 0 };
    let labelled: Vec<bool> = (0..length).map(|at| at >= n_given).collect();
    (0..rows).for_each(|_| batch.push(&random_ids(length, &mut rng), &labelled));
    let adam = AdamConfig {
        learning_rate: 1e-4,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        weight_decay: 0.1,
        decoupled: true,
    };
    let mut optimizer = Adam::new(model.trained().len(), adam);
    let groups = model.decay_groups();
    let mut gradients = vec![0.0; model.trained().len()];
    let mut workspace = Workspace::new();
    let scale = 1.0 / batch.targets.len() as f32;
    let times = timed(seconds, || {
        model.loss_and_gradients(&batch, scale, &mut workspace, &mut gradients, false);
        let norm = nn::simd::sum_of_squares(&gradients).sqrt();
        let factor = (1.0 / (norm + 1e-6)).min(1.0) as f32;
        optimizer.step(model.trained_mut(), &gradients, factor, &groups);
    });
    report(rows * length, &times);
    Ok(())
}

fn generate(model: GptNeoX, rows: usize, seconds: f64, precision: &str) -> Result<(), Box<dyn Error>> {
    let precision = match precision {
        "bf16" => Precision::Bf16,
        "int8" => Precision::Int8,
        _ => Precision::F32,
    };
    let decoder = Decoder::new(model, precision);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    let prompts: Vec<Vec<u32>> = (0..rows).map(|_| random_ids(64, &mut rng)).collect();
    let config = GenerateConfig {
        max_new_tokens: 64,
        sampling: Sampling::GREEDY,
        stop: Vec::new(),
        n_tokens: 50_277,
        seed: 1,
    };
    let mut failure = None;
    let times = timed(seconds, || {
        let new = decoder.generate(&prompts, &config, &mut |_, _| ControlFlow::Continue(()));
        failure = failure.take().or(new.err());
    });
    failure.map_or(Ok(()), Err)?;
    report(rows * 64, &times);
    Ok(())
}

fn titles(folder: &str, workspace: &str, tokenizer: &str, n: usize) -> Result<(), Box<dyn Error>> {
    let model = GptNeoX::load(Path::new(folder))?;
    let tokenizer = Tokenizer::load(Path::new(tokenizer))?;
    let catalogue = engine::load_films(&Folder::new(workspace))?;
    let template = Template::named("description-to-title")?;
    let started = Instant::now();
    let titles = Titles::new(catalogue.films(), &template, &tokenizer, 0, 256)?;
    let built = started.elapsed().as_secs_f64();
    let decoder = Decoder::new(model, Precision::F32);
    let search = TitleSearch { n_beams: 5, n_titles: 5, exact: false };
    let mut times = Vec::new();
    for film in catalogue.films().iter().filter(|film| !film.overview.is_empty()).step_by(997).take(n) {
        let prompt = tokenizer.encode(&template.prompt_for(&film.overview))?;
        let before = Instant::now();
        let found = decoder.find_titles(&prompt, &titles.trie, search)?;
        assert!(found.len() == 5, "five titles");
        times.push(before.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    println!(
        "{{\"n_titles\": {}, \"n_nodes\": {}, \"built_seconds\": {built}, \"queries\": {}, \"p50_seconds\": {}, \
         \"p99_seconds\": {}, \"peak_bytes\": {}}}",
        titles.trie.n_titles(),
        titles.trie.n_nodes(),
        times.len(),
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        peak_bytes()
    );
    Ok(())
}
