//! Title regression: a deep net predicts the vector of a film's title from the vector of its tags; the
//! titles nearest to the prediction are the answer.
//!
//! The net is the research project's (`d-1024-512-256-512-d`, ReLU, dropout .2 after the first three
//! hidden layers, L1 loss, squared-weight penalty 1e-4, SGD; [`RegressorConfig::original`]). The
//! default differs where that is measurably weak: SIF pooling instead of the plain mean, an in-batch
//! contrastive loss instead of L1 (which pulls every prediction to the middle of all titles), and a
//! linear path from input to output beside the deep one.

mod train;

use nn::{Activation, Matrix, Mlp, MlpConfig};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::artifact::hex;
use crate::embedding::{Pooling, normalise_rows};
use crate::progress::Interrupted;

pub use train::{EpochRecord, Trained, Trainer, TrainingRows, TrainingSet};

/// Why a regressor could not be trained or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegressorError {
    /// A setting is out of range.
    #[error("setting `regressor.{name}` is {found}; it must be {expected}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Value found.
        found: String,
        /// Values allowed.
        expected: &'static str,
    },
    /// Too little to learn from.
    #[error(
        "{n_rows} training films have both a title and tags with known words, at least {needed} are needed; \
         use a larger catalogue, or word vectors that fit its language"
    )]
    TooFewFilms {
        /// Films usable.
        n_rows: usize,
        /// Films needed.
        needed: usize,
    },
    /// The loss stopped being a number.
    #[error(
        "the loss is not a number after {steps} steps; lower `regressor.learning_rate` (now {learning_rate})"
    )]
    Diverged {
        /// Optimiser steps taken.
        steps: u64,
        /// Learning rate in use.
        learning_rate: f32,
    },
    /// The saved model or checkpoint cannot be used.
    #[error("the saved regressor is unusable: {0}; train it again with `titlecard train regressor`")]
    Unusable(String),
    /// The checkpoint belongs to another training.
    #[error(
        "the checkpoint was made with other settings or data ({what}); train with those, \
         or start over without `--resume`"
    )]
    OtherTraining {
        /// What differs.
        what: String,
    },
    /// The layers refused.
    #[error(transparent)]
    Network(#[from] nn::NnError),
    /// Stopped from outside.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// What the net minimises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Mean absolute difference of all components.
    L1,
    /// 1 - cosine.
    Cosine,
    /// Cross entropy of the film's own title among the titles of the batch (InfoNCE).
    Contrastive,
}

/// How far a title is from a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Sum of absolute differences.
    L1,
    /// Euclidean distance.
    L2,
    /// Angle.
    Cosine,
}

impl Metric {
    /// How near `title` is to `prediction`; higher is nearer, whatever the metric.
    pub fn nearness(self, prediction: &[f32], title: &[f32]) -> f32 {
        match self {
            Self::L1 => -sum_of(prediction, title, |a, b| (a - b).abs()),
            Self::L2 => -sum_of(prediction, title, |a, b| (a - b) * (a - b)).sqrt(),
            Self::Cosine => {
                let dot = sum_of(prediction, title, |a, b| a * b);
                let lengths =
                    sum_of(prediction, prediction, |a, b| a * b) * sum_of(title, title, |a, b| a * b);
                if lengths > 0.0 { dot / lengths.sqrt() } else { 0.0 }
            }
        }
    }
}

/// Sum of `part` over pairs of components, in eight running sums: one after the other, each addition
/// would wait for the last.
fn sum_of(left: &[f32], right: &[f32], part: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (left, left_rest) = left.as_chunks::<8>();
    let (right, right_rest) = right.as_chunks::<8>();
    for (left, right) in left.iter().zip(right) {
        for ((sum, a), b) in sums.iter_mut().zip(left).zip(right) {
            *sum += part(*a, *b);
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(a, b)| part(*a, *b)).sum();
    sums.iter().sum::<f32>() + rest
}

/// Settings of the title regressor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegressorConfig {
    /// How words become the vectors of tags and titles.
    pub pooling: Pooling,
    /// What the net minimises.
    pub loss: Loss,
    /// How near titles are found.
    pub nearest: Metric,
    /// Width of the hidden layers.
    pub hidden: Vec<usize>,
    /// Share of components dropped after each of the first hidden layers.
    pub dropout: Vec<f32>,
    /// Add a linear path from input to output, beginning as the identity.
    pub skip: bool,
    /// Scale inputs to unit variance (length 1, times the square root of the dimension).
    pub scale_input: bool,
    /// `sgd`, `adam` or `adam-w`.
    pub optimizer: OptimizerKind,
    /// Learning rate; falls along a cosine after a warm-up, except with `sgd`.
    pub learning_rate: f32,
    /// Momentum of `sgd`.
    pub momentum: f32,
    /// Penalty on squared weights (decoupled with `adam-w`).
    pub weight_decay: f32,
    /// Films in a step.
    pub batch: usize,
    /// Passes over the training films, at most.
    pub epochs: usize,
    /// Stop after this many epochs without a better development loss.
    pub patience: usize,
    /// Temperature of the contrastive loss.
    pub temperature: f32,
}

/// Which optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Stochastic gradient descent, with momentum if set.
    Sgd,
    /// Adam.
    Adam,
    /// Adam with decoupled weight decay.
    AdamW,
}

impl Default for RegressorConfig {
    fn default() -> Self {
        Self {
            pooling: Pooling::Sif,
            loss: Loss::Contrastive,
            nearest: Metric::Cosine,
            hidden: vec![1024, 512, 256, 512],
            dropout: vec![0.2, 0.2, 0.2],
            skip: true,
            scale_input: true,
            optimizer: OptimizerKind::AdamW,
            learning_rate: 5e-4,
            momentum: 0.0,
            weight_decay: 1e-2,
            batch: 512,
            epochs: 20,
            patience: 3,
            temperature: 0.07,
        }
    }
}

impl RegressorConfig {
    /// The research project's settings, with one of its two poolings.
    pub fn original(pooling: Pooling) -> Self {
        Self {
            pooling,
            loss: Loss::L1,
            nearest: Metric::L1,
            skip: false,
            scale_input: false,
            optimizer: OptimizerKind::Sgd,
            learning_rate: 0.1,
            momentum: 0.9,
            weight_decay: 1e-4,
            batch: 256,
            ..Self::default()
        }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`RegressorError::Setting`] naming the first setting out of range.
    pub fn validate(&self) -> Result<(), RegressorError> {
        let check = |name, good: bool, found: &dyn std::fmt::Display, expected| {
            if good {
                Ok(())
            } else {
                Err(RegressorError::Setting { name, found: found.to_string(), expected })
            }
        };
        check(
            "hidden",
            self.hidden.iter().all(|&n| n > 0),
            &format!("{:?}", self.hidden),
            "widths of at least 1",
        )?;
        check(
            "dropout",
            self.dropout.iter().all(|p| (0.0..1.0).contains(p)) && self.dropout.len() <= self.hidden.len(),
            &format!("{:?}", self.dropout),
            "shares from 0 to below 1, at most one a hidden layer",
        )?;
        let positive = |x: f32| x > 0.0 && x.is_finite();
        check("learning_rate", positive(self.learning_rate), &self.learning_rate, "above 0")?;
        check("momentum", (0.0..1.0).contains(&self.momentum), &self.momentum, "from 0 to below 1")?;
        check("weight_decay", self.weight_decay >= 0.0, &self.weight_decay, "at least 0")?;
        check("temperature", positive(self.temperature), &self.temperature, "above 0")?;
        check("batch", self.batch >= 2, &self.batch, "at least 2")?;
        check("epochs", self.epochs >= 1, &self.epochs, "at least 1")?;
        check("patience", self.patience >= 1, &self.patience, "at least 1")
    }

    fn network(&self, dim: usize, seed: u64) -> MlpConfig {
        let mut sizes = vec![dim];
        sizes.extend(&self.hidden);
        sizes.push(dim);
        let mut dropout = self.dropout.clone();
        dropout.resize(self.hidden.len(), 0.0);
        MlpConfig { sizes, activation: Activation::Relu, dropout, residual_io: self.skip, seed }
    }
}

/// A trained net. An untrained one cannot be made.
#[derive(Debug, Clone)]
pub struct Regressor {
    config: RegressorConfig,
    network: Mlp,
    seed: u64,
}

/// What a saved model says of itself, in the metadata of the weights file.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: String,
    format_version: u32,
    dim: usize,
    seed: u64,
    config: RegressorConfig,
    /// SHA-256 of the whole file with zeros in place of these 64 digits; none in version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
}

const FORMAT: &str = "titlecard-regressor";
/// Version 1 has no checksum and is read too.
const VERSION: u32 = 2;
const HEAD_KEY: &str = "titlecard";
/// What stands before the checksum in the file: JSON within JSON.
const CHECKSUM: &[u8] = br#"\"checksum\":\""#;
const CHECKSUM_DIGITS: usize = 64;

/// Where the digits of the checksum stand, and what they should be.
fn checksum_of(bytes: &[u8]) -> Option<(std::ops::Range<usize>, String)> {
    let start = bytes.windows(CHECKSUM.len()).position(|part| part == CHECKSUM)? + CHECKSUM.len();
    let behind = bytes.get(start + CHECKSUM_DIGITS..)?;
    let mut hash = Sha256::new();
    hash.update(&bytes[..start]);
    hash.update([b'0'; CHECKSUM_DIGITS]);
    hash.update(behind);
    Some((start..start + CHECKSUM_DIGITS, hex(&hash.finalize())))
}

impl Regressor {
    /// Number of components of input and output.
    pub fn dim(&self) -> usize {
        self.network.config().sizes.first().copied().unwrap_or(0)
    }

    /// Settings it was trained with.
    pub fn config(&self) -> &RegressorConfig {
        &self.config
    }

    /// Predicts title vectors.
    ///
    /// - `tags`: `[n, dim]`, pooled as [`RegressorConfig::pooling`] says → `[n, dim]`.
    pub fn predict(&self, tags: &Matrix) -> Matrix {
        if self.config.scale_input {
            let mut tags = tags.clone();
            scale_rows(&mut tags);
            self.network.forward(&tags)
        } else {
            self.network.forward(tags)
        }
    }

    /// [`Regressor::predict`] for one vector `[dim]`.
    pub fn predict_one(&self, tags: &[f32]) -> Vec<f32> {
        let mut row = Matrix::zeros(1, tags.len());
        row.as_mut_slice().copy_from_slice(tags);
        self.predict(&row).as_slice().to_vec()
    }

    /// The model as a safetensors file; settings and seed are in its metadata under `titlecard`.
    ///
    /// # Errors
    /// [`RegressorError`] if the weights cannot be written as such.
    pub fn to_bytes(&self) -> Result<Vec<u8>, RegressorError> {
        let head = Head {
            format: FORMAT.to_owned(),
            format_version: VERSION,
            dim: self.dim(),
            seed: self.seed,
            config: self.config.clone(),
            checksum: Some("0".repeat(CHECKSUM_DIGITS)),
        };
        let head =
            serde_json::to_string(&head).map_err(|error| RegressorError::Unusable(error.to_string()))?;
        let mut bytes = self.network.to_safetensors(&[(HEAD_KEY, &head)])?;
        if let Some((place, checksum)) = checksum_of(&bytes) {
            bytes[place].copy_from_slice(checksum.as_bytes());
        }
        Ok(bytes)
    }

    /// Whether a file that [`Regressor::from_bytes`] reads has a checksum, which it then compared.
    pub fn has_checksum(bytes: &[u8]) -> bool {
        checksum_of(bytes).is_some()
    }

    /// Reads a model written by [`Regressor::to_bytes`].
    ///
    /// # Errors
    /// [`RegressorError::Unusable`] saying what does not fit.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RegressorError> {
        let unusable = |error: &dyn std::fmt::Display| RegressorError::Unusable(error.to_string());
        let metadata = nn::safetensors_metadata(bytes).map_err(|error| unusable(&error))?;
        let head = metadata.get(HEAD_KEY).ok_or_else(|| unusable(&"it is not a titlecard model"))?;
        let head: Head = serde_json::from_str(head).map_err(|error| unusable(&error))?;
        if head.format != FORMAT || !(1..=VERSION).contains(&head.format_version) {
            return Err(unusable(&format!(
                "it has format `{}` version {}, expected `{FORMAT}` version 1 to {VERSION}",
                head.format, head.format_version
            )));
        }
        if head.format_version > 1 || head.checksum.is_some() {
            let found = checksum_of(bytes).map(|(_, checksum)| checksum);
            if found.is_none() || found != head.checksum {
                return Err(unusable(&"its checksum does not fit"));
            }
        }
        let network = Mlp::from_safetensors(&head.config.network(head.dim, head.seed), bytes)
            .map_err(|error| unusable(&error))?;
        Ok(Self { config: head.config, network, seed: head.seed })
    }
}

/// Length 1, times the square root of the dimension: components of variance about 1.
fn scale_rows(rows: &mut Matrix) {
    normalise_rows(rows);
    let scale = (rows.cols() as f32).sqrt();
    rows.as_mut_slice().iter_mut().for_each(|x| *x *= scale);
}
