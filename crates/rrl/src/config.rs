//! Settings of a training run.

use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::error::RrlError;

/// What a network is and how it is trained; [`RrlConfig::default`] avoids the known pitfalls of the
/// published method, [`RrlConfig::published`] follows it step by step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
// Independent switches, each with its own meaning.
#[allow(clippy::struct_excessive_bools)]
pub struct RrlConfig {
    /// Conjunctions, and as many disjunctions, in each union layer; at least one layer.
    pub nodes: Vec<usize>,
    /// Soft function behind the logical nodes.
    pub activation: Activation,
    /// Where the gradient of the discrete network enters the soft one.
    pub grafting: Grafting,
    /// Whether a layer from the third on, and the linear layer after two or more, also sees the layer
    /// before the previous one.
    pub skip: bool,
    /// Whether the first union layer also sees the negation of every literal.
    pub negate_first: bool,
    /// Whether later union layers also see the negation of every rule below.
    pub negate_deeper: bool,
    /// Range of the first logical weights.
    pub initial: InitialWeights,
    /// Literals that each disjunction of the first layer starts with (conjunctions at most one), drawn so
    /// that all get their turn, at weights just above one half. With 0, as published, a network starts without rules and equal for all rows;
    /// with 1 it starts as a linear model of the literals.
    pub start_literals: usize,
    /// Networks trained from different seeds whose mean score is the model: one list with the rules of
    /// all, steadier and longer.
    pub committee: usize,
    /// Logical weights stay in this range after every step. At exactly 0 NLAF, at exactly 1 the product,
    /// has no gradient, so the default keeps a margin.
    pub weight_range: (f64, f64),
    /// First value of the temperature that divides the outputs of classification and ranking.
    pub temperature: f64,
    /// Whether the temperature is trained.
    pub train_temperature: bool,
    /// Penalties on the weights.
    pub penalty: Penalty,
    /// Adam's learning rate in the first epoch.
    pub learning_rate: f64,
    /// The rate is multiplied by the first value after every so many epochs.
    pub decay: (f64, usize),
    /// Passes over the training rows.
    pub epochs: usize,
    /// Rows (of ranking: lists) a step.
    pub batch_size: usize,
    /// Order of the rows.
    pub order: BatchOrder,
    /// Keep the best network on held-out rows instead of the last.
    pub selection: Option<Selection>,
    /// Shift the class scores after training so that macro F1 on the training rows (with a selection: the
    /// held-out rows) is highest. The shift is part of the bias of the rule list.
    pub tune_bias: bool,
    /// Number type of the training.
    pub precision: Precision,
    /// Worker threads; the result does not depend on it.
    pub n_threads: usize,
    /// Seed of everything random.
    pub seed: u64,
    /// What nodes may see.
    pub masks: Vec<NodeMask>,
    /// Rules the first layer starts with; training may drop them.
    pub seeds: Vec<SeedRule>,
}

/// Where the gradient of the discrete network enters the soft one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grafting {
    /// At every logical layer (2023): the network runs discretely, and each layer's gradient is that of
    /// its soft function at the discrete input.
    Hierarchical,
    /// Once at the outputs (2021): a soft network receives the loss gradient of the discrete one. Slow:
    /// meant for comparison with the earlier publication.
    Single,
}

/// Range of the first logical weights, drawn evenly from 0 (or the floor) up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InitialWeights {
    /// Up to one half, whatever the width, as published.
    Half,
    /// Up to this value over the mean number of inputs that count in a row, at most one half: keeps the
    /// soft truth, and with it the gradient, from vanishing in wide layers.
    PerInput(f64),
}

/// Penalties on logical and linear weights; they go through Adam with the gradient of the loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Penalty {
    /// Weight of the sum of squares.
    pub squares: f64,
    /// Weight of the sum of absolute values of the logical weights.
    pub absolutes: f64,
    /// Scheme of 2021: half the sum of squares, of all parameters, biases included.
    pub all_parameters: bool,
}

impl Default for Penalty {
    fn default() -> Self {
        Self { squares: 1e-6, absolutes: 0.0, all_parameters: false }
    }
}

/// Order of the rows in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchOrder {
    /// A new random order every epoch.
    Shuffled,
    /// One random order for all epochs, as published.
    Fixed,
}

/// Model selection on rows held out of the training rows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Share held out, in (0, 1).
    pub share: f64,
    /// Steps from one check to the next; the end of training is always checked.
    pub every: usize,
}

/// Number type of the training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// `f32`.
    Single,
    /// `f64`.
    Double,
}

/// A limit on what some nodes of the first union layer see.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeMask {
    /// First node (of the conjunctions and of the disjunctions alike) and the one after the last.
    pub nodes: (usize, usize),
    /// Groups of literals the nodes are about.
    pub groups: Vec<String>,
    /// How strict the mask is.
    pub kind: MaskKind,
}

/// How strict a mask is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaskKind {
    /// Other literals cannot enter.
    Hard,
    /// Other literals pay this penalty on squares besides the common one.
    Soft(f64),
}

/// A rule a node of the first union layer starts as.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedRule {
    /// Conjunction or disjunction.
    pub logic: crate::Logic,
    /// Names of its literals.
    pub literals: Vec<String>,
    /// First weight of each literal, between one half and the ceiling.
    #[serde(default = "seed_weight")]
    pub weight: f64,
}

fn seed_weight() -> f64 {
    0.65
}

impl Default for RrlConfig {
    fn default() -> Self {
        Self {
            nodes: vec![64],
            activation: Activation::NLAF,
            grafting: Grafting::Hierarchical,
            skip: false,
            negate_first: false,
            negate_deeper: true,
            initial: InitialWeights::PerInput(4.0),
            start_literals: 1,
            committee: 1,
            weight_range: (1e-3, 0.999),
            temperature: 0.1,
            train_temperature: true,
            penalty: Penalty::default(),
            learning_rate: 2e-3,
            decay: (0.75, 20),
            epochs: 100,
            batch_size: 64,
            order: BatchOrder::Shuffled,
            selection: None,
            tune_bias: false,
            precision: Precision::Single,
            n_threads: 1,
            seed: 0,
            masks: Vec::new(),
            seeds: Vec::new(),
        }
    }
}

impl RrlConfig {
    /// The published method: double precision, first weights up to one half, weights clipped to exactly
    /// 0 and 1, one batch order for all epochs.
    pub fn published() -> Self {
        Self {
            activation: Activation::PRODUCT,
            start_literals: 0,
            initial: InitialWeights::Half,
            weight_range: (0.0, 1.0),
            temperature: 1.0,
            penalty: Penalty { squares: 1e-4, absolutes: 0.0, all_parameters: false },
            decay: (0.75, 200),
            epochs: 401,
            batch_size: 32,
            order: BatchOrder::Fixed,
            precision: Precision::Double,
            ..Self::default()
        }
    }

    /// Checks the ranges of all settings.
    ///
    /// # Errors
    /// [`RrlError::Setting`] naming the first that is out of range.
    pub fn validate(&self) -> Result<(), RrlError> {
        let refuse = |setting, found: String, expected| Err(RrlError::Setting { setting, found, expected });
        if self.nodes.is_empty() || self.nodes.contains(&0) {
            return refuse("nodes", format!("{:?}", self.nodes), "one positive number a layer");
        }
        if let Activation::Nlaf { alpha, beta, gamma } = self.activation
            && !(alpha > 0.0 && alpha < 1.0 && beta > 1.0 && beta < 1e3 && gamma > 0.0 && gamma < 1e3)
        {
            return refuse(
                "activation",
                format!("alpha {alpha}, beta {beta}, gamma {gamma}"),
                "alpha in (0, 1), beta above 1, gamma above 0",
            );
        }
        let (floor, ceiling) = self.weight_range;
        if !((0.0..0.5).contains(&floor) && ceiling > 0.5 && ceiling <= 1.0) {
            return refuse(
                "weight_range",
                format!("{floor} to {ceiling}"),
                "0 <= floor < 0.5 < ceiling <= 1",
            );
        }
        if let InitialWeights::PerInput(reach) = self.initial
            && !(reach > 0.0 && reach.is_finite())
        {
            return refuse("initial", reach.to_string(), "a positive number");
        }
        for (setting, value) in [
            ("temperature", self.temperature),
            ("learning_rate", self.learning_rate),
            ("decay", self.decay.0),
        ] {
            if !(value > 0.0 && value.is_finite()) {
                return refuse(setting, value.to_string(), "a positive number");
            }
        }
        for (setting, value) in
            [("penalty.squares", self.penalty.squares), ("penalty.absolutes", self.penalty.absolutes)]
        {
            if !(value >= 0.0 && value.is_finite()) {
                return refuse(setting, value.to_string(), "0 or a positive number");
            }
        }
        for (setting, value) in [
            ("decay", self.decay.1),
            ("epochs", self.epochs),
            ("batch_size", self.batch_size),
            ("n_threads", self.n_threads),
            ("committee", self.committee),
        ] {
            if value == 0 {
                return refuse(setting, value.to_string(), "a positive number");
            }
        }
        if let Some(Selection { share, every }) = self.selection
            && !(share > 0.0 && share < 1.0 && every > 0)
        {
            return refuse(
                "selection",
                format!("share {share} every {every}"),
                "a share in (0, 1), every above 0",
            );
        }
        for mask in &self.masks {
            let (from, to) = mask.nodes;
            if from >= to || to > self.nodes[0] {
                return refuse("masks.nodes", format!("{from} to {to}"), "a range of first-layer nodes");
            }
            if let MaskKind::Soft(penalty) = mask.kind
                && !(penalty >= 0.0 && penalty.is_finite())
            {
                return refuse("masks.kind", penalty.to_string(), "0 or a positive number");
            }
        }
        for seed in &self.seeds {
            if !(seed.weight > 0.5 && seed.weight <= ceiling) || seed.literals.is_empty() {
                return refuse(
                    "seeds",
                    format!("{} literals of weight {}", seed.literals.len(), seed.weight),
                    "at least one literal and a weight above 0.5 within the range",
                );
            }
        }
        for logic in [crate::Logic::And, crate::Logic::Or] {
            let n_seeds = self.seeds.iter().filter(|seed| seed.logic == logic).count();
            if n_seeds > self.nodes[0] {
                return refuse("seeds", n_seeds.to_string(), "no more of a kind than first-layer nodes");
            }
        }
        Ok(())
    }

    /// Learning rate of an epoch, counted from 0.
    pub fn learning_rate_at(&self, epoch: usize) -> f64 {
        self.learning_rate * self.decay.0.powi((epoch / self.decay.1) as i32)
    }
}
