//! Fine-tuning: batches in a seeded order, AdamW, warm-up and cosine, clipping, accumulation by target
//! tokens, evaluation and early stopping, checkpoints.
//!
//! Everything random is drawn from the seed and the place in the training, and a checkpoint holds values,
//! optimiser and history: a training that is stopped and resumed ends with the same bytes as one that was
//! not. While it runs, its files are in `unfinished/` of the model's folder; the model that was there
//! before stays until the new one is whole.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nn::{Adam, AdamConfig};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use titlecard_engine::artifact::{ArtifactError, hex, read_bytes, write_atomically};
use titlecard_engine::progress::Interrupted;

use crate::data::{Dataset, Example, batch_of, batches_of};
use crate::generate::{Decoder, GenerateConfig, Precision, Sampling};
use crate::log::{Log, Record, plot_loss};
use crate::model::write_json;
use crate::{GptNeoX, LmError, StoredAs, Tokenizer, Workspace};

/// Settings of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Passes over the examples.
    pub epochs: usize,
    /// Steps at most; 0 for as many as the passes take.
    pub max_steps: usize,
    /// Tokens of a batch at most, prompts included.
    pub batch_tokens: usize,
    /// Batches of one step.
    pub accumulate: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Learning rate at the end.
    pub final_learning_rate: f64,
    /// Share of all steps in which the rate rises from 0.
    pub warm_up: f64,
    /// Decay of matrices, taken from the values themselves.
    pub weight_decay: f32,
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of squared gradients.
    pub beta2: f32,
    /// Longest gradient of a step; longer ones are scaled down. 0 for no limit.
    pub clip: f64,
    /// Keep less of the forward pass and compute it again: less memory, a third more work.
    pub gradient_checkpointing: bool,
    /// Steps between two evaluations; 0 for one at the end of every pass.
    pub evaluate_every: usize,
    /// Development examples scored, at most; 0 for all.
    pub dev_examples: usize,
    /// Evaluations without improvement after which training ends; 0 for never.
    pub patience: usize,
    /// Development prompts continued at every evaluation.
    pub samples: usize,
    /// Seed of the order of examples.
    pub seed: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 3,
            max_steps: 0,
            batch_tokens: 2048,
            accumulate: 1,
            learning_rate: 1e-3,
            final_learning_rate: 0.0,
            warm_up: 0.05,
            weight_decay: 0.1,
            beta1: 0.9,
            beta2: 0.95,
            clip: 1.0,
            gradient_checkpointing: false,
            evaluate_every: 0,
            dev_examples: 512,
            patience: 0,
            samples: 3,
            seed: 7,
        }
    }
}

impl TrainConfig {
    /// Checks ranges.
    ///
    /// # Errors
    /// [`LmError::Setting`] naming the setting.
    pub fn validate(&self) -> Result<(), LmError> {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        let checks: [(&'static str, String, bool, &'static str); 9] = [
            ("lm.epochs", self.epochs.to_string(), self.epochs > 0 || self.max_steps > 0, "1 or more"),
            ("lm.batch_tokens", self.batch_tokens.to_string(), self.batch_tokens > 0, "1 or more"),
            ("lm.accumulate", self.accumulate.to_string(), self.accumulate > 0, "1 or more"),
            ("lm.learning_rate", self.learning_rate.to_string(), positive(self.learning_rate), "above 0"),
            (
                "lm.final_learning_rate",
                self.final_learning_rate.to_string(),
                (0.0..=self.learning_rate).contains(&self.final_learning_rate),
                "0 to `lm.learning_rate`",
            ),
            ("lm.warm_up", self.warm_up.to_string(), (0.0..=1.0).contains(&self.warm_up), "0 to 1"),
            (
                "lm.weight_decay",
                self.weight_decay.to_string(),
                (0.0..10.0).contains(&self.weight_decay),
                "0 or above, below 10",
            ),
            ("lm.clip", self.clip.to_string(), self.clip.is_finite() && self.clip >= 0.0, "0 or above"),
            (
                "lm.beta1` and `lm.beta2",
                format!("{} and {}", self.beta1, self.beta2),
                (0.0..1.0).contains(&self.beta1) && (0.0..1.0).contains(&self.beta2),
                "0 or above, below 1",
            ),
        ];
        for (name, found, holds, expected) in checks {
            if !holds {
                return Err(LmError::Setting { name, found, expected });
            }
        }
        Ok(())
    }
}

/// What a training says while it runs: what also goes into the log, and how long it will take.
#[derive(Debug, Clone, Copy)]
pub struct TrainEvent<'a> {
    /// What happened.
    pub record: &'a Record,
    /// Steps of the whole training.
    pub n_steps: u64,
    /// Seconds left, by the speed so far.
    pub seconds_left: f64,
}

/// Outcome of a training.
#[derive(Debug)]
pub struct Trained {
    /// The model with the lowest development loss (the last one without development examples).
    pub model: GptNeoX,
    /// All that was logged.
    pub history: Vec<Record>,
    /// Steps done.
    pub n_steps: u64,
    /// Step and loss of the best evaluation.
    pub best: Option<(u64, f64)>,
    /// Seconds of this run.
    pub seconds: f64,
    /// Files drawn.
    pub plots: Vec<PathBuf>,
}

/// State between two steps.
#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    format_version: u32,
    /// Of settings, data and what is not trained.
    fingerprint: String,
    step: u64,
    n_values: usize,
    optimizer_steps: u64,
    best: Option<(u64, f64)>,
    history: Vec<Record>,
}

const FORMAT: &str = "titlecard-lm-checkpoint";
const VERSION: u32 = 1;
/// Folder of a training that is not over.
const UNFINISHED: &str = "unfinished";
/// The step, for messages.
const STEP: &str = "training the language model";
const CHECKPOINT: &str = "checkpoint";
/// Name of the file that says how a model was trained.
pub(crate) const TRAINING: &str = "training.json";
/// Most tokens of a sample.
const SAMPLE_TOKENS: usize = 32;

/// A training of a model on examples.
pub struct Trainer<'a> {
    model: GptNeoX,
    tokenizer: &'a Tokenizer,
    data: &'a Dataset,
    config: TrainConfig,
    folder: PathBuf,
    base: String,
    about: serde_json::Map<String, serde_json::Value>,
    optimizer: Adam,
    /// Examples of every step's batches.
    plan: Vec<Vec<Vec<usize>>>,
    /// Steps after which the development examples are scored.
    evaluations: Vec<u64>,
    step: u64,
    best: Option<(u64, f64)>,
    history: Vec<Record>,
}

impl<'a> Trainer<'a> {
    /// Prepares a training; the model comes into `folder`. `base` names what an adapter is for.
    ///
    /// # Errors
    /// [`LmError`] if settings are out of range, or tokenizer and examples do not fit the model.
    pub fn new(
        model: GptNeoX,
        tokenizer: &'a Tokenizer,
        data: &'a Dataset,
        config: &TrainConfig,
        folder: &Path,
        base: &str,
    ) -> Result<Self, LmError> {
        config.validate()?;
        tokenizer.check(model.config().vocab_size)?;
        let longest = data.train.iter().chain(&data.dev).map(|example| example.ids.len()).max().unwrap_or(0);
        if longest > model.config().max_positions {
            let context = model.config().max_positions;
            return Err(LmError::TooLong { n_prompt: longest, n_new: 0, context });
        }
        if data.train.is_empty() {
            return Err(LmError::NoExamples { template: "none".to_owned(), n_films: 0, n_dropped: 0 });
        }
        let adam = AdamConfig {
            learning_rate: 0.0,
            beta1: config.beta1,
            beta2: config.beta2,
            epsilon: 1e-8,
            weight_decay: config.weight_decay,
            decoupled: true,
        };
        let (plan, evaluations) = plan(data, config);
        Ok(Self {
            optimizer: Adam::new(model.trained().len(), adam),
            model,
            tokenizer,
            data,
            config: config.clone(),
            folder: folder.to_owned(),
            base: base.to_owned(),
            about: serde_json::Map::new(),
            plan,
            evaluations,
            step: 0,
            best: None,
            history: Vec::new(),
        })
    }

    /// Adds to what `training.json` says of the training.
    #[must_use]
    pub fn about(mut self, key: &str, value: serde_json::Value) -> Self {
        self.about.insert(key.to_owned(), value);
        self
    }

    /// Number of steps of the whole training.
    pub fn n_steps(&self) -> u64 {
        self.plan.len() as u64
    }

    /// Examples of every batch of a step, by their place in the training data.
    ///
    /// # Panics
    /// If there is no such step.
    pub fn examples_of(&self, step: u64) -> impl Iterator<Item = &[usize]> {
        self.plan[step as usize].iter().map(Vec::as_slice)
    }

    /// Number of steps done.
    pub fn n_steps_done(&self) -> u64 {
        self.step
    }

    /// Whether there is a training in `folder` to go on with.
    pub fn has_checkpoint(folder: &Path) -> bool {
        folder.join(UNFINISHED).join(CHECKPOINT).exists()
    }

    /// Goes on from the checkpoint in the folder.
    ///
    /// # Errors
    /// [`LmError::OtherTraining`] if it is of another training, [`LmError::Artifact`] if there is none.
    pub fn resume(mut self) -> Result<Self, LmError> {
        let path = self.unfinished().join(CHECKPOINT);
        let bytes = read_bytes(&path, "titlecard train lm")?;
        let damaged =
            |what: &dyn std::fmt::Display| LmError::Damaged { path: path.clone(), what: what.to_string() };
        let end = bytes.iter().position(|&byte| byte == b'\n').ok_or_else(|| damaged(&"it is cut short"))?;
        let head: Head = serde_json::from_slice(&bytes[..end]).map_err(|error| damaged(&error))?;
        if head.format != FORMAT || head.format_version != VERSION {
            return Err(damaged(&format!("format {} {}", head.format, head.format_version)));
        }
        if head.fingerprint != self.fingerprint() {
            return Err(LmError::OtherTraining { what: "model, settings, seed or films" });
        }
        let rest = &bytes[end + 1..];
        let n = self.model.trained().len();
        if head.n_values != n || rest.len() != 12 * n {
            return Err(damaged(&format!("{} bytes of values, expected {}", rest.len(), 12 * n)));
        }
        let read = |part: usize| -> Vec<f32> {
            let bytes = &rest[part * 4 * n..(part + 1) * 4 * n];
            bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        };
        self.model.trained_mut().copy_from_slice(&read(0));
        self.optimizer.restore(head.optimizer_steps, read(1), read(2)).map_err(|error| damaged(&error))?;
        (self.step, self.best, self.history) = (head.step, head.best, head.history);
        Ok(self)
    }

    fn unfinished(&self) -> PathBuf {
        self.folder.join(UNFINISHED)
    }

    /// What must be the same for a checkpoint to fit.
    fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(serde_json::to_vec(&self.config).unwrap_or_default());
        hash.update(self.model.config().to_json("float32").to_string());
        for (part, examples) in [&self.data.train, &self.data.dev].into_iter().enumerate() {
            hash.update([part as u8]);
            for Example { ids, n_prompt } in examples {
                hash.update((*n_prompt as u64).to_le_bytes());
                hash.update(bytemuck::cast_slice::<u32, u8>(ids));
            }
        }
        if let Some(lora) = self.model.lora() {
            // The adapter is learned for these weights alone.
            hash.update(format!("{:?}", lora.config()));
            hash.update(bytemuck::cast_slice::<f32, u8>(self.model.values()));
        }
        hex(&hash.finalize())
    }

    fn save_checkpoint(&self, fingerprint: &str) -> Result<(), LmError> {
        let path = self.unfinished().join(CHECKPOINT);
        let (optimizer_steps, first, second) = self.optimizer.state();
        let head = Head {
            format: FORMAT.to_owned(),
            format_version: VERSION,
            fingerprint: fingerprint.to_owned(),
            step: self.step,
            n_values: first.len(),
            optimizer_steps,
            best: self.best,
            history: self.history.clone(),
        };
        write_atomically(&path, |out: &mut dyn Write| -> Result<(), LmError> {
            let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(ArtifactError::io("write", &path));
            let mut text = serde_json::to_vec(&head)
                .map_err(|error| ArtifactError::io("write", &path)(std::io::Error::other(error)))?;
            text.push(b'\n');
            put(&text)?;
            for part in [self.model.trained(), first, second] {
                put(bytemuck::cast_slice(part))?;
            }
            Ok(())
        })
    }

    /// Trains to the end, or until stopped.
    ///
    /// - `on_event`: hears of every step, evaluation and sample; may stop the training, which then can be
    ///   resumed from where it was.
    ///
    /// # Errors
    /// [`LmError::Interrupted`] if stopped, [`LmError::Diverged`] if the loss is no number, or
    /// [`LmError::Artifact`] if a file cannot be written.
    pub fn fit(
        mut self,
        on_event: &mut dyn FnMut(&TrainEvent<'_>) -> ControlFlow<()>,
    ) -> Result<Trained, LmError> {
        let fingerprint = self.fingerprint();
        let unfinished = self.unfinished();
        fs::create_dir_all(&unfinished).map_err(ArtifactError::io("create folder", &unfinished))?;
        let mut log = Log::create(&unfinished, &self.history)?;
        let mut workspace =
            if self.config.gradient_checkpointing { Workspace::checkpointing() } else { Workspace::new() };
        let mut gradients = vec![0.0_f32; self.model.trained().len()];
        let groups = self.model.decay_groups();
        let (started, first_step) = (Instant::now(), self.step);
        let n_steps = self.n_steps();
        let mut seconds_left = 0.0;
        loop {
            // A training that was stopped before an evaluation makes up for it.
            if self.evaluations.binary_search(&self.step).is_ok() && !self.was_evaluated() {
                let flow = self.evaluate(&mut workspace, &mut log, n_steps, seconds_left, on_event)?;
                self.save_checkpoint(&fingerprint)?;
                if flow.is_break() {
                    return Err(Interrupted { step: STEP }.into());
                }
            }
            if self.step == n_steps || self.is_over() {
                break;
            }
            let record = self.one_step(&mut workspace, &mut gradients, &groups)?;
            self.step += 1;
            let done = (self.step - first_step) as f64;
            seconds_left = started.elapsed().as_secs_f64() / done * (n_steps - self.step) as f64;
            log.write(&record)?;
            let flow = on_event(&TrainEvent { record: &record, n_steps, seconds_left });
            self.history.push(record);
            if flow.is_break() {
                self.save_checkpoint(&fingerprint)?;
                return Err(Interrupted { step: STEP }.into());
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        self.finish(log, seconds)
    }

    fn was_evaluated(&self) -> bool {
        self.history
            .iter()
            .any(|record| matches!(record, Record::Evaluation { step, .. } if *step == self.step))
    }

    /// One step of the optimiser.
    fn one_step(
        &mut self,
        workspace: &mut Workspace,
        gradients: &mut [f32],
        groups: &[(usize, bool)],
    ) -> Result<Record, LmError> {
        let clock = Instant::now();
        let batches: Vec<_> =
            self.plan[self.step as usize].iter().map(|order| batch_of(&self.data.train, order)).collect();
        let n_targets: usize = batches.iter().map(|batch| batch.targets.len()).sum();
        let n_tokens: usize = batches.iter().map(super::Batch::n_tokens).sum();
        let scale = 1.0 / n_targets as f32;
        let mut sum = 0.0;
        for (at, batch) in batches.iter().enumerate() {
            let losses = self.model.loss_and_gradients(batch, scale, workspace, gradients, at > 0);
            sum += losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
        }
        let loss = sum / n_targets as f64;
        let total = self.n_steps();
        let warm_up = (self.config.warm_up * total as f64).ceil() as u64;
        let learning_rate = nn::schedule::cosine_from_zero(
            self.step,
            warm_up,
            total,
            self.config.learning_rate,
            self.config.final_learning_rate,
        );
        let grad_norm = nn::simd::sum_of_squares(gradients).sqrt();
        if !loss.is_finite() || !grad_norm.is_finite() {
            let loss = if loss.is_finite() { grad_norm } else { loss };
            return Err(LmError::Diverged { step: self.step + 1, loss, learning_rate });
        }
        // As PyTorch's `clip_grad_norm_` does it.
        let factor = if self.config.clip > 0.0 {
            (self.config.clip / (grad_norm + 1e-6)).min(1.0) as f32
        } else {
            1.0
        };
        self.optimizer.set_learning_rate(learning_rate as f32);
        self.optimizer.step(self.model.trained_mut(), gradients, factor, groups);
        Ok(Record::Step {
            step: self.step + 1,
            loss,
            learning_rate,
            grad_norm,
            n_tokens,
            n_targets,
            tokens_per_second: n_tokens as f64 / clock.elapsed().as_secs_f64(),
        })
    }

    /// Scores the development examples, keeps the model if it is the best so far, and samples.
    fn evaluate(
        &mut self,
        workspace: &mut Workspace,
        log: &mut Log,
        n_steps: u64,
        seconds_left: f64,
        on_event: &mut dyn FnMut(&TrainEvent<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, LmError> {
        let mut tell = |record: Record, history: &mut Vec<Record>| -> Result<ControlFlow<()>, LmError> {
            log.write(&record)?;
            let flow = on_event(&TrainEvent { record: &record, n_steps, seconds_left });
            history.push(record);
            Ok(flow)
        };
        let mut flow = ControlFlow::Continue(());
        let dev = self.dev_examples();
        if !dev.is_empty() {
            let (dev_loss, _) =
                mean_loss(&self.model, dev, self.config.batch_tokens, workspace, &mut |_, _| {
                    ControlFlow::Continue(())
                })?;
            let is_best = self.best.is_none_or(|(_, best)| dev_loss < best);
            let record =
                Record::Evaluation { step: self.step, dev_loss, perplexity: dev_loss.exp(), is_best };
            if is_best {
                self.save_model(&self.unfinished())?;
                self.best = Some((self.step, dev_loss));
            }
            flow = tell(record, &mut self.history)?;
        }
        for record in self.samples()? {
            let told = tell(record, &mut self.history)?;
            if told.is_break() {
                flow = told;
            }
        }
        Ok(flow)
    }

    fn dev_examples(&self) -> &'a [Example] {
        let dev = &self.data.dev;
        let n = if self.config.dev_examples == 0 { dev.len() } else { self.config.dev_examples };
        &dev[..n.min(dev.len())]
    }

    /// Continues the first development prompts.
    fn samples(&self) -> Result<Vec<Record>, LmError> {
        let n = self.config.samples.min(self.data.dev.len());
        if n == 0 {
            return Ok(Vec::new());
        }
        let decoder = Decoder::new(self.model.clone(), Precision::F32);
        let context = self.model.config().max_positions;
        let examples = self.data.dev[..n].iter().filter(|example| example.n_prompt.max(1) < context);
        let (prompts, rest): (Vec<Vec<u32>>, Vec<&[u32]>) = examples
            .map(|example| {
                let (prompt, rest) = example.ids.split_at(example.n_prompt.max(1));
                (prompt.to_vec(), rest)
            })
            .unzip();
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        let config = GenerateConfig {
            max_new_tokens: SAMPLE_TOKENS.min(context - longest),
            sampling: Sampling::GREEDY,
            stop: vec![self.model.config().eos],
            n_tokens: self.tokenizer.n_tokens(),
            seed: self.config.seed,
        };
        let new = decoder.generate(&prompts, &config, &mut |_, _| ControlFlow::Continue(()))?;
        let decode = |ids: &[u32]| self.tokenizer.decode(ids, true);
        prompts
            .iter()
            .zip(new)
            .zip(rest)
            .map(|((prompt, new), rest)| {
                Ok(Record::Sample {
                    step: self.step,
                    prompt: decode(prompt)?,
                    completion: decode(&new)?,
                    expected: decode(rest)?,
                })
            })
            .collect()
    }

    /// Whether the last evaluations brought nothing better.
    fn is_over(&self) -> bool {
        let Some((best, _)) = self.best.filter(|_| self.config.patience > 0) else { return false };
        let since = self
            .history
            .iter()
            .filter(|record| matches!(record, Record::Evaluation { step, .. } if *step > best))
            .count();
        since >= self.config.patience
    }

    fn save_model(&self, folder: &Path) -> Result<(), LmError> {
        match self.model.lora() {
            Some(lora) => lora.save(folder, &self.base),
            None => self.model.save(folder, StoredAs::F32),
        }
    }

    /// Puts the best model in its place.
    fn finish(mut self, log: Log, seconds: f64) -> Result<Trained, LmError> {
        drop(log);
        let unfinished = self.unfinished();
        if self.best.is_some() {
            match self.model.lora() {
                Some(_) => self.model.load_lora(&unfinished)?,
                None => self.model = GptNeoX::load(&unfinished)?,
            }
        }
        self.save_model(&self.folder)?;
        self.tokenizer.save(&self.folder)?;
        let last_loss = self.history.iter().rev().find_map(|record| match record {
            Record::Step { loss, .. } => Some(*loss),
            _ => None,
        });
        let facts = serde_json::json!({
            "settings": self.config,
            "data": self.data.report,
            "n_train": self.data.train.len(),
            "n_dev": self.dev_examples().len(),
            "steps": self.step,
            "best_step": self.best.map(|(step, _)| step),
            "best_dev_loss": self.best.map(|(_, loss)| loss),
            "last_train_loss": last_loss,
        });
        self.about.extend(facts.as_object().cloned().unwrap_or_default());
        write_json(&self.folder.join(TRAINING), &serde_json::Value::Object(std::mem::take(&mut self.about)))?;
        let n = self.model.trained().len();
        let subtitle = format!("{n} trained values, {} examples, {} steps", self.data.train.len(), self.step);
        let plots = plot_loss(&self.folder, &self.history, &subtitle)?;
        // Everything is in its place: the log too, then the rest may go.
        for entry in fs::read_dir(&unfinished).map_err(ArtifactError::io("read", &unfinished))?.flatten() {
            let name = entry.file_name();
            let is_log = name.to_string_lossy().starts_with("events.") || name == crate::log::LINES;
            if is_log {
                fs::rename(entry.path(), self.folder.join(&name))
                    .map_err(ArtifactError::io("rename into", &self.folder))?;
            }
        }
        fs::remove_dir_all(&unfinished).map_err(ArtifactError::io("remove", &unfinished))?;
        Ok(Trained {
            n_steps: self.step,
            best: self.best,
            history: self.history,
            model: self.model,
            seconds,
            plots,
        })
    }
}

/// Examples of every step's batches, and the steps after which the development examples are scored.
fn plan(data: &Dataset, config: &TrainConfig) -> (Vec<Vec<Vec<usize>>>, Vec<u64>) {
    let mut steps: Vec<Vec<Vec<usize>>> = Vec::new();
    let mut evaluations = Vec::new();
    let limit = if config.max_steps > 0 { config.max_steps } else { usize::MAX };
    // Steps may ask for more passes than the setting says.
    let n_epochs = if config.max_steps > 0 { usize::MAX } else { config.epochs };
    for epoch in 0..n_epochs {
        let mut order: Vec<usize> = (0..data.train.len()).collect();
        order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(config.seed.wrapping_add(epoch as u64 + 1)));
        let batches = batches_of(&data.train, &order, config.batch_tokens);
        for batches in batches.chunks(config.accumulate) {
            if steps.len() < limit {
                steps.push(batches.iter().map(|range| order[range.clone()].to_vec()).collect());
            }
        }
        evaluations.push(steps.len() as u64);
        if steps.len() >= limit {
            break;
        }
    }
    if config.evaluate_every > 0 {
        let last = steps.len() as u64;
        evaluations = (1..=last).filter(|step| step.is_multiple_of(config.evaluate_every as u64)).collect();
        if evaluations.last() != Some(&last) {
            evaluations.push(last);
        }
    }
    evaluations.dedup();
    (steps, evaluations)
}

/// Mean negative log-likelihood of all target tokens, and their number.
///
/// # Errors
/// [`LmError::Interrupted`] if `on_batch` (examples done, all) says to stop.
pub fn mean_loss(
    model: &GptNeoX,
    examples: &[Example],
    batch_tokens: usize,
    workspace: &mut Workspace,
    on_batch: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<(f64, usize), LmError> {
    let order: Vec<usize> = (0..examples.len()).collect();
    let (mut sum, mut n_targets) = (0.0, 0);
    for range in batches_of(examples, &order, batch_tokens) {
        if on_batch(range.start, examples.len()).is_break() {
            return Err(Interrupted { step: "scoring examples" }.into());
        }
        let losses = model.losses(&batch_of(examples, &order[range]), workspace);
        sum += losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
        n_targets += losses.len();
    }
    Ok((sum / n_targets.max(1) as f64, n_targets))
}
