//! Fitting a model, and what a fitted model can do.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::config::{BatchOrder, InitialWeights, MaskKind, Precision, RrlConfig};
use crate::data::{Dataset, Targets};
use crate::error::RrlError;
use crate::literal::{Literal, ancestors, positions};
use crate::loss::Objective;
use crate::matrix::Matrix;
use crate::metrics::{best_class, macro_f1, mean_reciprocal_rank, tune_bias};
use crate::network::{Network, Wiring};
use crate::patterns::Patterns;
use crate::program::{Program, fill_from_rows};
use crate::real::Real;
use crate::rows::Rows;
use crate::rules::{Logic, RuleList};
use crate::table::Table;
use crate::trainer::Trainer;

/// Steps between two calls of the progress callback within an epoch.
const STEPS_PER_REPORT: usize = 256;
/// Looks for work in vain before a thread gives its core away between two.
const IDLE_LOOKS: u32 = 10_000;
/// Version of the saved model that is written; all versions up to it are read.
const VERSION: u64 = 1;
/// What saved models call themselves.
const FORMAT: &str = "rrl model";

/// Where training stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Network of a committee, from 0.
    pub member: usize,
    /// Epoch, from 0.
    pub epoch: usize,
    /// Epochs planned.
    pub n_epochs: usize,
    /// Steps done since the start.
    pub step: usize,
    /// Whether the epoch is complete.
    pub epoch_done: bool,
    /// Mean loss of the epoch so far, without penalties.
    pub loss: f64,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// Best value on held-out rows so far, if there are: macro F1, mean reciprocal rank, or minus the
    /// loss.
    pub best: Option<f64>,
}

/// A fitted model: a rule list with what it is for.
///
/// ```
/// use std::ops::ControlFlow;
/// use rrl::{Dataset, Literal, Objective, RrlConfig, Rows, Targets, fit};
/// let bools: Vec<[bool; 3]> = (0..64).map(|row| [row % 2 == 0, row / 2 % 2 == 0, row / 4 % 2 == 0]).collect();
/// let data = Dataset {
///     rows: Rows::from_bools(3, &bools)?,
///     literals: ["a", "b", "c"].map(Literal::new).to_vec(),
///     targets: Targets::Classes {
///         labels: bools.iter().map(|row| usize::from(row[0] && row[1])).collect(),
///         names: vec!["no".into(), "yes".into()],
///     },
///     linear: None,
/// };
/// let config = RrlConfig { nodes: vec![4], epochs: 300, batch_size: 16, learning_rate: 0.01, ..RrlConfig::default() };
/// let model = fit(&data, Objective::Classify, &config, |_| ControlFlow::Continue(()))?;
/// assert_eq!(model.classify(&model.scores(&data.rows, None)?)[..2], [1, 0]);
/// assert!(model.rules().to_string().contains("a & b"), "{}", model.rules());
/// # Ok::<(), rrl::RrlError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RrlModel {
    objective: Objective,
    rules: RuleList,
    networks: Vec<Network>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedModel {
    format: String,
    version: u64,
    objective: Objective,
    rules: serde_json::Value,
}

impl RrlModel {
    /// A model that serves a rule list, learned, edited or written by hand.
    pub fn from_rules(objective: Objective, rules: RuleList) -> Self {
        Self { objective, rules, networks: Vec::new() }
    }

    /// The rules: all there is to the model when it predicts.
    pub fn rules(&self) -> &RuleList {
        &self.rules
    }

    /// What it was trained for.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// The trained networks behind the rules, one but for a committee; a model that was loaded has none.
    pub fn networks(&self) -> &[Network] {
        &self.networks
    }

    /// Scores: of classes (their softmax are probabilities), values, or relevance. `[n_rows, n_outputs]`.
    ///
    /// - `linear`: `[n_rows, n_linear]`, if the model has linear inputs.
    ///
    /// # Errors
    /// [`RrlError::Shape`].
    pub fn scores(&self, rows: &Rows, linear: Option<&Matrix>) -> Result<Matrix, RrlError> {
        self.rules.scores(rows, linear.unwrap_or(&Matrix::default()))
    }

    /// Scores of the rows of a table.
    ///
    /// # Errors
    /// As [`RuleList::scores_of_table`].
    pub fn scores_of_table(&self, table: &Table, linear: Option<&Matrix>) -> Result<Matrix, RrlError> {
        self.rules.scores_of_table(table, linear.unwrap_or(&Matrix::default()))
    }

    /// The class of the highest score of each row; of equal ones the first.
    pub fn classify(&self, scores: &Matrix) -> Vec<usize> {
        (0..scores.n_rows()).map(|row| best_class(scores.row(row))).collect()
    }

    /// Probability of each class: softmax of the scores.
    pub fn probabilities(&self, scores: &Matrix) -> Matrix {
        let mut probabilities = scores.clone();
        for row in 0..scores.n_rows() {
            let values = probabilities.row_mut(row);
            let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            values.iter_mut().for_each(|value| *value = (*value - highest).exp());
            let sum: f64 = values.iter().sum();
            values.iter_mut().for_each(|value| *value /= sum);
        }
        probabilities
    }

    /// The saved form: JSON, with the rule list in the form of [`RuleList::to_json`] under `rules`.
    ///
    /// # Panics
    /// Never: plain numbers and strings can be written.
    pub fn to_json(&self) -> String {
        let rules = serde_json::from_str(&self.rules.to_json()).expect("just written");
        let saved =
            SavedModel { format: FORMAT.to_owned(), version: VERSION, objective: self.objective, rules };
        serde_json::to_string_pretty(&saved).expect("plain numbers and strings")
    }

    /// Reads a saved model.
    ///
    /// # Errors
    /// [`RrlError::Unreadable`] for text that is no model, [`RrlError::Version`] for a later version, and
    /// as [`RuleList::from_json`].
    pub fn from_json(text: &str) -> Result<Self, RrlError> {
        let unreadable = |problem: String| RrlError::Unreadable { problem };
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
        if let Some(found) = value.get("version").and_then(serde_json::Value::as_u64)
            && found > VERSION
        {
            return Err(RrlError::Version { found, supported: VERSION });
        }
        let saved: SavedModel =
            serde_json::from_value(value).map_err(|error| unreadable(error.to_string()))?;
        if saved.format != FORMAT {
            return Err(unreadable(format!("the format is `{}`, expected `{FORMAT}`", saved.format)));
        }
        Ok(Self::from_rules(saved.objective, RuleList::from_json(&saved.rules.to_string())?))
    }
}

/// Trains a model.
///
/// `progress` is called after every epoch, and every 256 steps in between; when it breaks, training ends
/// and the model so far is returned. Parents of literals are made to hold first. The result depends on
/// data, settings and seed alone.
///
/// # Errors
/// [`RrlError`] if data or settings cannot be used, or training diverges.
pub fn fit(
    data: &Dataset,
    objective: Objective,
    config: &RrlConfig,
    mut progress: impl FnMut(&Progress) -> ControlFlow<()> + Send,
) -> Result<RrlModel, RrlError> {
    config.validate()?;
    data.validate()?;
    objective.validate(&data.targets)?;
    if config.tune_bias && objective != Objective::Classify {
        return Err(RrlError::Mismatch {
            problem: "`tune_bias` is for classification",
            way_out: "switch it off",
        });
    }
    let up = ancestors(&data.literals)?;
    let closed;
    let data = if up.iter().all(Vec::is_empty) {
        data
    } else {
        let mut copy = data.clone();
        copy.rows.close(&up);
        closed = copy;
        &closed
    };
    let patterns = Patterns::find(&data.rows, &data.literals);
    let patterns = patterns.as_ref();
    let mut train_all = || -> Result<Vec<Network>, RrlError> {
        let mut networks = Vec::new();
        for member in 0..config.committee {
            // Far apart, so that committees of neighbouring seeds share no member.
            let seed = config.seed.wrapping_add((member as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let config = RrlConfig { seed, ..config.clone() };
            let mut stopped = false;
            networks.push(train(data, patterns, objective, &config, |report| {
                let flow = progress(&Progress { member, ..report.clone() });
                stopped = flow.is_break();
                flow
            })?);
            if stopped {
                break;
            }
        }
        Ok(networks)
    };
    let networks = if config.n_threads == 1 {
        train_all()?
    } else {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(config.n_threads)
            .build()
            .map_err(|error| RrlError::Threads { n_threads: config.n_threads, problem: error.to_string() })?;
        pool.install(|| with_threads_awake(config.n_threads - 1, train_all))?
    };
    let share = 1.0 / networks.len() as f64;
    let scaled: Vec<(&Network, f64)> = networks
        .iter()
        .map(|network| {
            let cold = if objective.has_temperature() { (-network.log_temperature).exp() } else { 1.0 };
            (network, cold * share)
        })
        .collect();
    let linear_names = data.linear.as_ref().map_or(&[][..], |linear| &linear.names);
    let rules = RuleList::from_networks(&scaled, &data.literals, &data.targets.output_names(), linear_names)?
        .with_support(&data.rows)?;
    Ok(RrlModel { objective, rules, networks })
}

/// Runs `work` on this thread of a pool while the `n_others` other threads keep looking for its parts.
///
/// A step of a small network takes some 50 microseconds, and waking a sleeping thread takes as long as its
/// share of it. A thread that finds nothing often gives its core away, so that on a busy machine others run.
fn with_threads_awake<T: Send>(n_others: usize, work: impl FnOnce() -> T + Send) -> T {
    /// Ends the others whatever `work` does.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }

    let (n_awake, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    rayon::scope(|scope| {
        for _ in 0..n_others {
            scope.spawn(|_| {
                // None looks for work before all are there: it would find another one of these.
                n_awake.fetch_add(1, Ordering::AcqRel);
                while n_awake.load(Ordering::Acquire) < n_others {
                    std::thread::yield_now();
                }
                let mut n_idle = 0_u32;
                while !done.load(Ordering::Acquire) {
                    if rayon::yield_now() == Some(rayon::Yield::Executed) {
                        n_idle = 0;
                    } else if n_idle < IDLE_LOOKS {
                        n_idle += 1;
                        std::hint::spin_loop();
                    } else {
                        std::thread::yield_now();
                    }
                }
            });
        }
        while n_awake.load(Ordering::Acquire) < n_others {
            std::thread::yield_now();
        }
        let _done = Done(&done);
        work()
    })
}

fn train(
    data: &Dataset,
    patterns: Option<&Patterns>,
    objective: Objective,
    config: &RrlConfig,
    progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Network, RrlError> {
    match config.precision {
        Precision::Single => train_in::<f32>(data, patterns, objective, config, progress),
        Precision::Double => train_in::<f64>(data, patterns, objective, config, progress),
    }
}

/// The best network on held-out units so far.
struct Best {
    quality: f64,
    loss: f64,
    network: Network,
}

fn train_in<R: Real>(
    data: &Dataset,
    patterns: Option<&Patterns>,
    objective: Objective,
    config: &RrlConfig,
    mut progress: impl FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Network, RrlError> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(config.seed);
    let network = initial_network(data, config, &mut rng)?;
    let mut trainer = Trainer::<R>::new(&network, &data.literals, objective, config)?;
    let mut units: Vec<usize> = (0..data.targets.n_units()).collect();
    units.shuffle(&mut rng);
    let held_out = match config.selection {
        Some(selection) => {
            let n_held = ((units.len() as f64 * selection.share) as usize).clamp(1, units.len() - 1);
            Some(data.select(&units.split_off(units.len() - n_held)))
        }
        None => None,
    };
    let mut best: Option<Best> = None;
    let mut n_steps = 0;
    'epochs: for epoch in 0..config.epochs {
        if config.order == BatchOrder::Shuffled && epoch > 0 {
            units.shuffle(&mut rng);
        }
        let n_batches = units.len().div_ceil(config.batch_size);
        let mut loss_sum = 0.0;
        for (at, batch) in units.chunks(config.batch_size).enumerate() {
            let loss = trainer.step_by_patterns(data, patterns, batch, epoch)?;
            if !loss.is_finite() {
                return Err(RrlError::Diverged { epoch, loss });
            }
            loss_sum += loss;
            n_steps += 1;
            let epoch_done = at + 1 == n_batches;
            if let (Some(held_out), Some(selection)) = (&held_out, config.selection) {
                let last = epoch_done && epoch + 1 == config.epochs;
                if n_steps % selection.every == 0 || last {
                    keep_better(&mut best, trainer.network(), held_out, objective);
                }
            }
            if epoch_done || (at + 1) % STEPS_PER_REPORT == 0 {
                let report = Progress {
                    member: 0,
                    epoch,
                    n_epochs: config.epochs,
                    step: n_steps,
                    epoch_done,
                    loss: loss_sum / (at + 1) as f64,
                    learning_rate: config.learning_rate_at(epoch),
                    best: best.as_ref().map(|best| best.quality),
                };
                if progress(&report).is_break() {
                    if let Some(held_out) = &held_out {
                        keep_better(&mut best, trainer.network(), held_out, objective);
                    }
                    break 'epochs;
                }
            }
        }
    }
    let mut network = best.map_or_else(|| trainer.network(), |best| best.network);
    if config.tune_bias {
        add_tuned_bias(&mut network, held_out.as_ref().unwrap_or(data));
    }
    Ok(network)
}

/// Scores of the discrete network, before the temperature.
pub(crate) fn network_scores(network: &Network, data: &Dataset) -> Matrix {
    let program = Program::of_network(network);
    let rows = &data.rows;
    let mut scores =
        program.scores(rows.n_rows(), |start, n, columns| fill_from_rows(rows, start, n, columns));
    if let Some(linear) = &data.linear {
        for row in 0..scores.n_rows() {
            for (weight, value) in network.linear.iter().zip(linear.values.row(row)) {
                scores.row_mut(row)[0] += weight * value;
            }
        }
    }
    scores
}

fn add_tuned_bias(network: &mut Network, data: &Dataset) {
    let Targets::Classes { labels, names } = &data.targets else { return };
    let scores = network_scores(network, data);
    let rows = (0..scores.n_rows()).map(|row| scores.row(row));
    let shifts = tune_bias(&rows, labels, names.len());
    network.bias.iter_mut().zip(shifts).for_each(|(bias, shift)| *bias += shift);
}

fn keep_better(best: &mut Option<Best>, network: Network, held_out: &Dataset, objective: Objective) {
    let scores = network_scores(&network, held_out);
    let all_rows: Vec<usize> = (0..scores.n_rows()).collect();
    let lists: Vec<usize> = (0..held_out.targets.n_units()).collect();
    let batch =
        crate::loss::Batch { targets: &held_out.targets, rows: &all_rows, lists: &lists, epoch: usize::MAX };
    let temperature = if objective.has_temperature() { network.log_temperature } else { 0.0 };
    let loss = crate::loss::evaluate::<f64>(objective, &batch, scores.values(), temperature).loss;
    let quality = match &held_out.targets {
        Targets::Classes { labels, .. } => {
            let predicted: Vec<usize> = (0..scores.n_rows()).map(|row| best_class(scores.row(row))).collect();
            macro_f1(labels, &predicted)
        }
        Targets::Lists { sizes, relevance, first_stage } => {
            mean_reciprocal_rank(scores.values(), relevance, first_stage, sizes)
        }
        Targets::Values { .. } => -loss,
    };
    let better = best.as_ref().is_none_or(|best| {
        quality > best.quality + 1e-10 || (quality > best.quality - 1e-10 && loss < best.loss)
    });
    if better {
        *best = Some(Best { quality, loss, network });
    }
}

/// Random weights of a range that suits the data, then seeds.
fn initial_network(
    data: &Dataset,
    config: &RrlConfig,
    rng: &mut Xoshiro256PlusPlus,
) -> Result<Network, RrlError> {
    let n_literals = data.rows.n_literals();
    let reach = match config.initial {
        InitialWeights::Half => [0.5; 3].map(|half| half),
        InitialWeights::PerInput(reach) => {
            let n_on = data.rows.counts().iter().sum::<usize>() as f64 / data.rows.n_rows() as f64;
            let n_off = n_literals as f64 - n_on;
            let [conjunctions, disjunctions] =
                if config.negate_first { [n_literals as f64; 2] } else { [n_off, n_on] };
            let end = |n_marked: f64| (reach / n_marked.max(1.0)).min(0.5);
            [end(conjunctions), end(disjunctions), 2.0 * reach]
        }
    };
    let wiring = Wiring {
        skip: config.skip,
        negate_first: config.negate_first,
        negate_deeper: config.negate_deeper,
        n_linear: data.linear.as_ref().map_or(0, |linear| linear.names.len()),
    };
    // One half of a deeper layer is `reach[2] / n_inputs`; with `Half` it must not shrink.
    let reach = if config.initial == InitialWeights::Half { [0.5, 0.5, f64::INFINITY] } else { reach };
    let n_outputs = data.targets.output_names().len();
    let mut network = Network::random(n_literals, &config.nodes, wiring, n_outputs, reach, rng);
    let (floor, ceiling) = config.weight_range;
    for layer in &mut network.layers {
        for weights in [&mut layer.conjunctions, &mut layer.disjunctions] {
            weights.values_mut().iter_mut().for_each(|weight| *weight = weight.clamp(floor, ceiling));
        }
    }
    network.log_temperature = config.temperature.ln();
    network.linear.iter_mut().for_each(|weight| *weight = rng.random::<f64>() * 0.1);
    start_with_literals(&mut network, &data.literals, config, rng);
    plant_seeds(&mut network, &data.literals, config)?;
    Ok(network)
}

/// Whether a hard mask keeps a literal from a node of the first layer.
fn hidden(config: &RrlConfig, literals: &[Literal], node: usize, literal: usize) -> bool {
    config.masks.iter().any(|mask| {
        mask.kind == MaskKind::Hard
            && (mask.nodes.0..mask.nodes.1).contains(&node)
            && !literals[literal].group.as_ref().is_some_and(|group| mask.groups.contains(group))
    })
}

/// Lets every node of the first layer start with some literals; all inputs get their turn before one is
/// used again.
fn start_with_literals(
    network: &mut Network,
    literals: &[Literal],
    config: &RrlConfig,
    rng: &mut Xoshiro256PlusPlus,
) {
    let n_inputs = network.layers[0].conjunctions.n_rows();
    let mut turns: Vec<usize> = Vec::new();
    for node in 0..config.nodes[0] {
        for conjunction in [true, false] {
            // Several literals seldom hold together, so conjunctions start with one.
            let n_start = if conjunction { config.start_literals.min(1) } else { config.start_literals };
            for _ in 0..n_start {
                if turns.is_empty() {
                    turns = (0..n_inputs).collect();
                    turns.shuffle(rng);
                }
                let Some(input) = turns.pop() else { return };
                let weight = 0.55 + 0.1 * rng.random::<f64>();
                if !hidden(config, literals, node, input % literals.len()) {
                    let layer = &mut network.layers[0];
                    let weights = if conjunction { &mut layer.conjunctions } else { &mut layer.disjunctions };
                    weights.row_mut(input)[node] = weight;
                }
            }
        }
    }
}

/// Starts nodes as the rules asked for, the first nodes first. Other literals of a seeded node start at
/// the floor.
fn plant_seeds(network: &mut Network, literals: &[Literal], config: &RrlConfig) -> Result<(), RrlError> {
    let places = positions(literals);
    let mut next = [0; 2];
    for seed in &config.seeds {
        let kind = usize::from(seed.logic == Logic::Or);
        let layer = &mut network.layers[0];
        let weights = if kind == 0 { &mut layer.conjunctions } else { &mut layer.disjunctions };
        let node = next[kind];
        next[kind] += 1;
        for input in 0..weights.n_rows() {
            weights.row_mut(input)[node] = config.weight_range.0;
        }
        for name in &seed.literals {
            let literal = *places.get(name.as_str()).ok_or_else(|| RrlError::UnknownName {
                what: "a seed rule".to_owned(),
                part: "literal",
                name: name.clone(),
            })?;
            if hidden(config, literals, node, literal) {
                return Err(RrlError::UnknownName {
                    what: "a seed rule at a masked node".to_owned(),
                    part: "visible literal",
                    name: name.clone(),
                });
            }
            weights.row_mut(literal)[node] = seed.weight;
        }
    }
    Ok(())
}
