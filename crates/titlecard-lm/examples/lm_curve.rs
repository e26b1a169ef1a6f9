//! Trains a small GPT-NeoX from scratch on overviews and writes down everything another program needs to
//! do the same: the initial model, the batches of every step, the development examples.
//! `benchmarks/lm/curve.py` repeats it with Hugging Face transformers.
//!
//! `lm_curve WORKING_FOLDER OUT STEPS`: films of a prepared working folder.

#![allow(clippy::print_stdout, reason = "a measuring program")]

use std::error::Error;
use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::json;
use titlecard_engine::catalogue::{Film, Split, SplitConfig, split_of};
use titlecard_engine::pipeline::{self as engine, Workspace};
use titlecard_lm::log::Record;
use titlecard_lm::{Dataset, GptNeoX, ModelConfig, StoredAs, Template, Tokenizer, TrainConfig, Trainer};

/// Development films scored.
const DEV: usize = 400;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [workspace, out, steps] = arguments.as_slice() else {
        return Err("lm_curve WORKING_FOLDER OUT STEPS".into());
    };
    let out = Path::new(out);
    fs::create_dir_all(out)?;
    let catalogue = engine::load_films(&Workspace::new(workspace))?;
    let split = SplitConfig::default();
    // Every film's hash decides; a sample of training films is enough for the tokenizer.
    let films: Vec<Film> =
        catalogue.films().iter().filter(|film| film.overview.len() > 80).cloned().collect();
    let texts: Vec<&str> = films
        .iter()
        .filter(|film| split_of(&film.id, &split) == Split::Train)
        .take(20_000)
        .map(|film| film.overview.as_str())
        .collect();
    let shape = ModelConfig { max_positions: 128, ..ModelConfig::of_size(4, 128, 4, 4096) };
    let tokenizer = Tokenizer::train(texts.into_iter(), shape.vocab_size)?;
    let template = Template::new("", "{overview}")?;
    let data = Dataset::from_films(&films, &split, &template, &tokenizer, shape.eos, 128)?;
    let config = TrainConfig {
        max_steps: steps.parse()?,
        batch_tokens: 2048,
        learning_rate: 2e-3,
        evaluate_every: 25,
        dev_examples: DEV,
        samples: 0,
        ..TrainConfig::default()
    };
    let model = GptNeoX::new(&shape, 7);
    model.save(&out.join("start"), StoredAs::F32)?;
    let trainer = Trainer::new(model, &tokenizer, &data, &config, &out.join("ours"), "")?;
    let mut file = fs::File::create(out.join("batches.jsonl"))?;
    for step in 0..trainer.n_steps() {
        let rows: Vec<&Vec<u32>> =
            trainer.examples_of(step).flatten().map(|&example| &data.train[example].ids).collect();
        writeln!(file, "{}", json!(rows))?;
    }
    let dev: Vec<&Vec<u32>> = data.dev.iter().take(DEV).map(|example| &example.ids).collect();
    fs::write(out.join("dev.json"), json!(dev).to_string())?;
    fs::write(out.join("settings.json"), serde_json::to_string(&config)?)?;
    trainer.fit(&mut |event| {
        if let Record::Evaluation { step, perplexity, .. } = event.record {
            println!("step {step}: development perplexity {perplexity:.3}");
        }
        ControlFlow::Continue(())
    })?;
    Ok(())
}
