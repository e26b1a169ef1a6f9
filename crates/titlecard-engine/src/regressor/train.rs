//! Training of the title regressor: batches in a seeded order, early stopping, checkpoints.
//!
//! A checkpoint after every epoch holds weights, optimiser state and history, and everything random
//! is drawn from (seed, epoch, step); a run that is stopped and resumed therefore ends with the same
//! bytes as one that was never stopped.

use nn::{AdamConfig, Loss as NnLoss, Matrix, Mlp, Optimizer, Workspace};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Loss, OptimizerKind, Regressor, RegressorConfig, RegressorError, scale_rows};
use crate::artifact::hex;
use crate::catalogue::Film;
use crate::embedding::Embedder;
use crate::progress::{Report, tell};

/// Pairs of vectors to learn from: row `i` of `tags` belongs to row `i` of `titles`.
#[derive(Debug, Clone)]
pub struct TrainingRows {
    /// `[n, dim]`.
    pub tags: Matrix,
    /// `[n, dim]`.
    pub titles: Matrix,
}

/// Rows for training and for early stopping.
#[derive(Debug, Clone)]
pub struct TrainingSet {
    /// Rows the weights are fitted to.
    pub train: TrainingRows,
    /// Rows that say when to stop.
    pub dev: TrainingRows,
    /// Films left out because their title or their tags have no known word.
    pub n_dropped: usize,
}

impl TrainingSet {
    /// Embeds films; those without a known word in title or tags are left out and counted.
    pub fn embed(embedder: &Embedder, config: &RegressorConfig, train: &[&Film], dev: &[&Film]) -> Self {
        let (train, dropped) = embed_rows(embedder, config, train);
        let (dev, dropped_dev) = embed_rows(embedder, config, dev);
        Self { train, dev, n_dropped: dropped + dropped_dev }
    }
}

fn embed_rows(embedder: &Embedder, config: &RegressorConfig, films: &[&Film]) -> (TrainingRows, usize) {
    let tags: Vec<&str> = films.iter().map(|film| film.tags.as_str()).collect();
    let titles: Vec<&str> = films.iter().map(|film| film.title.as_str()).collect();
    let (mut tags, n_tags) = embedder.embed_all(&tags, config.pooling);
    let (titles, n_titles) = embedder.embed_all(&titles, config.pooling);
    if config.scale_input {
        scale_rows(&mut tags);
    }
    let kept: Vec<usize> = (0..films.len()).filter(|&i| n_tags[i] > 0 && n_titles[i] > 0).collect();
    let rows = TrainingRows { tags: select_rows(&tags, &kept), titles: select_rows(&titles, &kept) };
    (rows, films.len() - kept.len())
}

fn select_rows(from: &Matrix, rows: &[usize]) -> Matrix {
    let mut into = Matrix::zeros(rows.len(), from.cols());
    copy_rows(from, rows, &mut into);
    into
}

fn copy_rows(from: &Matrix, rows: &[usize], into: &mut Matrix) {
    for (to, &row) in rows.iter().enumerate() {
        into.row_mut(to).copy_from_slice(from.row(row));
    }
}

/// One epoch of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Mean loss over its training batches (with dropout).
    pub train_loss: f64,
    /// Mean loss over the development rows (without dropout).
    pub dev_loss: f64,
}

/// Outcome of a training.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The net with the lowest development loss.
    pub regressor: Regressor,
    /// All epochs.
    pub history: Vec<EpochRecord>,
}

/// State between two epochs.
#[derive(Debug, Serialize, Deserialize)]
struct Checkpoint {
    format: String,
    format_version: u32,
    /// Of settings, seed and data.
    fingerprint: String,
    history: Vec<EpochRecord>,
    steps: u64,
    /// Lengths of the three binary parts that follow: current weights, best weights, optimiser.
    parts: [usize; 3],
}

const FORMAT: &str = "titlecard-regressor-checkpoint";
const VERSION: u32 = 1;
/// Least films to train on: with fewer, a held-out figure means nothing.
const MIN_ROWS: usize = 16;
/// Share of all steps in which the learning rate rises from 0 (not with plain SGD).
const WARM_UP: f32 = 0.05;

/// A training that can be run to its end, or stopped and resumed.
pub struct Trainer<'a> {
    set: &'a TrainingSet,
    config: RegressorConfig,
    seed: u64,
    network: Mlp,
    best: Mlp,
    optimizer: Optimizer,
    history: Vec<EpochRecord>,
    steps: u64,
}

impl<'a> Trainer<'a> {
    /// Prepares a training from the start.
    ///
    /// # Errors
    /// [`RegressorError`] if settings are out of range or there are too few rows.
    pub fn new(set: &'a TrainingSet, config: &RegressorConfig, seed: u64) -> Result<Self, RegressorError> {
        config.validate()?;
        let n_rows = set.train.tags.rows();
        if n_rows < MIN_ROWS {
            return Err(RegressorError::TooFewFilms { n_rows, needed: MIN_ROWS });
        }
        let network = Mlp::new(&config.network(set.train.tags.cols(), seed))?;
        let optimizer = match config.optimizer {
            OptimizerKind::Sgd => {
                Optimizer::sgd(&network, config.learning_rate, config.momentum, config.weight_decay)
            }
            OptimizerKind::Adam | OptimizerKind::AdamW => {
                let adam = AdamConfig {
                    learning_rate: config.learning_rate,
                    weight_decay: config.weight_decay,
                    decoupled: config.optimizer == OptimizerKind::AdamW,
                    ..AdamConfig::default()
                };
                Optimizer::adam(&network, adam)
            }
        };
        Ok(Self {
            set,
            config: config.clone(),
            seed,
            best: network.clone(),
            network,
            optimizer,
            history: Vec::new(),
            steps: 0,
        })
    }

    /// Prepares to go on from a checkpoint of the same training.
    ///
    /// # Errors
    /// [`RegressorError::OtherTraining`] if it was made with other settings or data,
    /// [`RegressorError::Unusable`] if it is damaged.
    pub fn resume(mut self, checkpoint: &[u8]) -> Result<Self, RegressorError> {
        let unusable =
            |error: &dyn std::fmt::Display| RegressorError::Unusable(format!("checkpoint: {error}"));
        let end = checkpoint.iter().position(|&byte| byte == b'\n').ok_or_else(|| unusable(&"cut short"))?;
        let head: Checkpoint =
            serde_json::from_slice(&checkpoint[..end]).map_err(|error| unusable(&error))?;
        if head.format != FORMAT || head.format_version != VERSION {
            return Err(unusable(&"another format or version"));
        }
        if head.fingerprint != self.fingerprint() {
            return Err(RegressorError::OtherTraining { what: "seed, settings or films".to_owned() });
        }
        let mut rest = &checkpoint[end + 1..];
        let mut part = |length: usize| {
            let (part, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(part)
        };
        let parts = head.parts.map(&mut part);
        let [Some(network), Some(best), Some(optimizer)] = parts else { return Err(unusable(&"cut short")) };
        let shape = self.network.config().clone();
        self.network = Mlp::from_safetensors(&shape, network).map_err(|error| unusable(&error))?;
        self.best = Mlp::from_safetensors(&shape, best).map_err(|error| unusable(&error))?;
        self.optimizer.load_state(optimizer).map_err(|error| unusable(&error))?;
        self.history = head.history;
        self.steps = head.steps;
        Ok(self)
    }

    /// Number of epochs done.
    pub fn n_epochs_done(&self) -> usize {
        self.history.len()
    }

    fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(serde_json::to_vec(&self.config).unwrap_or_default());
        hash.update(self.seed.to_le_bytes());
        for rows in [&self.set.train, &self.set.dev] {
            for matrix in [&rows.tags, &rows.titles] {
                hash.update((matrix.rows() as u64).to_le_bytes());
                hash.update(bytemuck::cast_slice::<f32, u8>(matrix.as_slice()));
            }
        }
        hex(&hash.finalize())
    }

    fn checkpoint(&self, fingerprint: &str) -> Result<Vec<u8>, RegressorError> {
        let parts =
            [self.network.to_safetensors(&[])?, self.best.to_safetensors(&[])?, self.optimizer.state_bytes()];
        let head = Checkpoint {
            format: FORMAT.to_owned(),
            format_version: VERSION,
            fingerprint: fingerprint.to_owned(),
            history: self.history.clone(),
            steps: self.steps,
            parts: [parts[0].len(), parts[1].len(), parts[2].len()],
        };
        let mut bytes =
            serde_json::to_vec(&head).map_err(|error| RegressorError::Unusable(error.to_string()))?;
        bytes.push(b'\n');
        bytes.extend(parts.into_iter().flatten());
        Ok(bytes)
    }

    /// Trains until the epochs are done or the development loss has stopped falling.
    ///
    /// After every epoch `save` receives a checkpoint for [`Trainer::resume`].
    ///
    /// # Errors
    /// [`RegressorError::Diverged`], [`RegressorError::Interrupted`], or the error of `save`.
    pub fn run<E: From<RegressorError>>(
        mut self,
        report: &mut Report<'_>,
        mut save: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Trained, E> {
        let fingerprint = self.fingerprint();
        let n_rows = self.set.train.tags.rows();
        let batch = self.config.batch.min(n_rows);
        let n_batches = n_rows / batch;
        let n_steps = n_batches * self.config.epochs;
        let mut workspace = Workspace::new(&self.network, batch);
        let dim = self.set.train.tags.cols();
        let (mut input, mut target) = (Matrix::zeros(batch, dim), Matrix::zeros(batch, dim));
        let mut gradient = Matrix::zeros(batch, dim);
        let loss = self.loss();

        while self.history.len() < self.config.epochs && !self.is_over() {
            let epoch = self.history.len();
            let mut order: Vec<usize> = (0..n_rows).collect();
            order.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(self.seed.wrapping_add(epoch as u64 + 1)));
            let mut sum = 0.0;
            // The rows beyond the last whole batch come first in another epoch's order.
            for rows in order.chunks_exact(batch) {
                copy_rows(&self.set.train.tags, rows, &mut input);
                copy_rows(&self.set.train.titles, rows, &mut target);
                let step_seed = self.seed ^ (self.steps + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let predicted = self.network.forward_train(&input, step_seed, &mut workspace);
                let value = loss.value_and_grad(predicted, &target, &mut gradient);
                if !value.is_finite() {
                    let learning_rate = self.config.learning_rate;
                    return Err(RegressorError::Diverged { steps: self.steps, learning_rate }.into());
                }
                self.network.backward(&gradient, &mut workspace);
                self.optimizer.set_learning_rate(self.learning_rate(n_steps));
                self.optimizer.step(&mut self.network, workspace.gradients());
                sum += f64::from(value);
                self.steps += 1;
                let note = format!("epoch {}, loss {value:.4}", epoch + 1);
                tell(report, "training regressor", self.steps as usize, n_steps, &note)
                    .map_err(RegressorError::from)?;
            }
            let dev_loss = self.dev_loss(loss);
            let is_best = self.history.iter().all(|record| dev_loss < record.dev_loss);
            if is_best {
                self.best = self.network.clone();
            }
            let record = EpochRecord { epoch: epoch + 1, train_loss: sum / n_batches as f64, dev_loss };
            tracing::info!(epoch = record.epoch, train_loss = record.train_loss, dev_loss, "regressor epoch");
            self.history.push(record);
            save(&self.checkpoint(&fingerprint)?)?;
        }
        let regressor = Regressor { config: self.config, network: self.best, seed: self.seed };
        Ok(Trained { regressor, history: self.history })
    }

    fn loss(&self) -> NnLoss {
        match self.config.loss {
            Loss::L1 => NnLoss::L1,
            Loss::Cosine => NnLoss::Cosine,
            Loss::Contrastive => NnLoss::InBatchContrastive { temperature: self.config.temperature },
        }
    }

    /// Whether the last `patience` epochs brought nothing better.
    fn is_over(&self) -> bool {
        let best = self
            .history
            .iter()
            .min_by(|a, b| a.dev_loss.total_cmp(&b.dev_loss))
            .map_or(0, |record| record.epoch);
        self.history.len() >= best + self.config.patience && !self.history.is_empty()
    }

    /// Constant for plain SGD as in the original; else linear warm-up and a cosine down to a tenth.
    fn learning_rate(&self, n_steps: usize) -> f32 {
        let peak = self.config.learning_rate;
        if self.config.optimizer == OptimizerKind::Sgd {
            return peak;
        }
        let warm_up = (n_steps as f32 * WARM_UP).ceil() as u64;
        nn::schedule::warm_up_cosine(self.steps, warm_up, n_steps as u64, peak, peak * 0.1)
    }

    /// Mean loss over the development rows in fixed batches, so that epochs compare.
    fn dev_loss(&self, loss: NnLoss) -> f64 {
        let rows = &self.set.dev;
        let n = rows.tags.rows();
        if n < 2 {
            // Nothing to stop by: every epoch counts as better than the last.
            return -(self.history.len() as f64);
        }
        let batch = self.config.batch.min(n);
        let order: Vec<usize> = (0..n).collect();
        let (mut sum, mut count) = (0.0, 0);
        for chunk in order.chunks_exact(batch) {
            let (input, target) = (select_rows(&rows.tags, chunk), select_rows(&rows.titles, chunk));
            let predicted = self.network.forward(&input);
            let mut gradient = Matrix::zeros(chunk.len(), input.cols());
            sum += f64::from(loss.value_and_grad(&predicted, &target, &mut gradient));
            count += 1;
        }
        sum / f64::from(count)
    }
}
