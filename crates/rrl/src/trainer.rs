//! Training step by step: discrete forward pass, grafted backward pass, Adam.
//!
//! Nodes are kept in blocks of 32 that own everything about them: logical weights, moments, the table of
//! terms, edges, and their part of the linear layer. A step runs over blocks, each on one thread from
//! start to end, and partial outputs are added in block order, so the number of threads changes no bit.

use rayon::prelude::*;

use crate::activation::{Activation, with_soft};
use crate::config::{Grafting, MaskKind, RrlConfig};
use crate::data::{Dataset, list_starts};
use crate::error::RrlError;
use crate::kernels::{self, Adam, BitRows, Bounds, LANES, Lanes, Updated, WeightGradient};
use crate::loss::{self, Batch, Evaluated, Objective};
use crate::matrix::Matrix;
use crate::network::{Network, UnionLayer, sources};
use crate::patterns::{Patterns, Plan};
use crate::real::Real;
use crate::rows::{low_bits, transpose, words_of};
use crate::rules::Logic;
use crate::soft::LogicLayer;

/// Adam's decay of the two moments, and what keeps its division finite.
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const ADAM_EPSILON: f64 = 1e-8;

/// A network in training, in the precision `R`.
#[derive(Debug)]
pub struct Trainer<R> {
    config: RrlConfig,
    objective: Objective,
    layers: Vec<Layer<R>>,
    n_literals: usize,
    skip: bool,
    n_outputs: usize,
    bias: Moving<R>,
    log_temperature: Moving<R>,
    linear: Moving<R>,
    n_steps: i32,
    n_rows: usize,
    scores: Vec<R>,
    /// Patterns of the rows of the batch, `[batch, n_groups]`.
    pattern_ids: Vec<u32>,
    slope_lanes: Vec<Lanes<R>>,
}

/// Parameters with their moments.
#[derive(Debug, Clone)]
struct Moving<R> {
    values: Vec<R>,
    first: Vec<R>,
    second: Vec<R>,
}

impl<R: Real> Moving<R> {
    fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let values: Vec<R> = values.into_iter().map(R::from_f64).collect();
        let zeros = vec![R::ZERO; values.len()];
        Self { values, first: zeros.clone(), second: zeros }
    }

    fn step(&mut self, gradients: &[R], adam: Adam<R>) {
        for (at, &gradient) in gradients.iter().enumerate() {
            adam.apply(gradient, &mut self.values[at], &mut self.first[at], &mut self.second[at]);
        }
    }
}

#[derive(Debug)]
struct Layer<R> {
    blocks: Vec<Block<R>>,
    n_conjunctions: usize,
    n_disjunctions: usize,
    /// After negation.
    n_inputs: usize,
    negated: bool,
    /// `[n_inputs, batch]` bits.
    columns: Vec<u64>,
    /// `[batch, n_inputs]` bits.
    rows: Vec<u64>,
    /// Gradient in what the layer reads, before negation: `[batch, n_read]`.
    of_inputs: Vec<R>,
}

#[derive(Debug)]
struct Block<R> {
    conjunction: bool,
    n_nodes: usize,
    /// Position of the first node among its kind, and among the outputs of the layer.
    first_node: usize,
    first_output: usize,
    weights: Vec<Lanes<R>>,
    first: Vec<Lanes<R>>,
    second: Vec<Lanes<R>>,
    terms: Vec<Lanes<R>>,
    total: Lanes<R>,
    edges: Vec<(u32, u32)>,
    visible: Option<Vec<u32>>,
    decay_each: Option<Vec<Lanes<R>>>,
    head: Option<Head<R>>,
    /// `[n_nodes, batch]` bits.
    nodes: Vec<u64>,
    /// `[n_outputs, batch / 64]`.
    partial_scores: Vec<[R; 64]>,
    upstream: Vec<Lanes<R>>,
    /// Sums of the nodes, then upstream gradient times slope: `[batch]`.
    coefficients: Vec<Lanes<R>>,
    marked: Vec<Lanes<R>>,
    other: Vec<Lanes<R>>,
    /// Sums of patterns, and what they come to for each literal.
    table: Vec<Lanes<R>>,
    picked: Vec<Lanes<R>>,
}

/// A block's part of the linear layer: `[n_outputs]`.
#[derive(Debug)]
struct Head<R> {
    /// Column of the first node in the linear layer.
    first_dim: usize,
    weights: Vec<Lanes<R>>,
    first: Vec<Lanes<R>>,
    second: Vec<Lanes<R>>,
    gradients: Vec<Lanes<R>>,
}

/// Loss and gradients of one batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// Loss of the data, without penalties.
    pub data_loss: f64,
    /// Sum of squares that the penalty weighs: of logical and linear weights.
    pub squares: f64,
    /// Scores of the batch, before the temperature: `[batch, n_outputs]`.
    pub scores: Matrix,
    /// Gradient of loss and penalties in every parameter, shaped like the network.
    pub parameters: Network,
}

/// Runs `work` on every item, on the threads of the current pool if there are more than one.
///
/// Each thread gets as many neighbours: items cost alike, and a block that moves to another core takes its weights
/// and moments along, which costs more than it saves.
fn each<T: Send>(parallel: bool, items: &mut [T], work: impl Fn(&mut T) + Send + Sync) {
    if parallel {
        let share = items.len().div_ceil(rayon::current_num_threads());
        items.par_iter_mut().with_min_len(share).for_each(work);
    } else {
        items.iter_mut().for_each(work);
    }
}

impl<R: Real> Block<R> {
    fn new(layer: &UnionLayer, logic: Logic, first_node: usize) -> Self {
        let conjunction = logic == Logic::And;
        let from = if conjunction { &layer.conjunctions } else { &layer.disjunctions };
        let n_nodes = (from.n_columns() - first_node).min(LANES);
        let n_inputs = from.n_rows();
        let mut weights = vec![Lanes::default(); n_inputs];
        for (input, lanes) in weights.iter_mut().enumerate() {
            for node in 0..n_nodes {
                lanes.0[node] = R::from_f64(from.at(input, first_node + node));
            }
        }
        let zeros = vec![Lanes::default(); n_inputs];
        Self {
            conjunction,
            n_nodes,
            first_node,
            first_output: first_node + if conjunction { 0 } else { layer.conjunctions.n_columns() },
            weights,
            first: zeros.clone(),
            second: zeros.clone(),
            terms: zeros,
            total: Lanes::default(),
            edges: Vec::new(),
            visible: None,
            decay_each: None,
            head: None,
            nodes: Vec::new(),
            partial_scores: Vec::new(),
            upstream: Vec::new(),
            coefficients: Vec::new(),
            marked: Vec::new(),
            other: Vec::new(),
            table: Vec::new(),
            picked: Vec::new(),
        }
    }

    /// Truth of the nodes for a batch, and their part of the scores.
    fn forward(&mut self, columns: BitRows<'_>, n_outputs: usize) {
        let n_words = columns.words_per_row;
        self.nodes.clear();
        self.nodes.resize(self.n_nodes * n_words, if self.conjunction { u64::MAX } else { 0 });
        if self.conjunction && !columns.n_bits.is_multiple_of(64) {
            let last = low_bits(columns.n_bits % 64);
            self.nodes.iter_mut().skip(n_words - 1).step_by(n_words).for_each(|word| *word = last);
        }
        for &(input, node) in &self.edges {
            let node = &mut self.nodes[node as usize * n_words..(node as usize + 1) * n_words];
            for (node, &input) in node.iter_mut().zip(columns.row(input as usize)) {
                if self.conjunction {
                    *node &= input;
                } else {
                    *node |= input;
                }
            }
        }
        if let Some(head) = &self.head {
            self.partial_scores.clear();
            self.partial_scores.resize(n_outputs * n_words, [R::ZERO; 64]);
            let nodes = BitRows { words: &self.nodes, words_per_row: n_words, n_bits: columns.n_bits };
            kernels::add_logits(nodes, &head.weights, &mut self.partial_scores);
        }
    }

    fn node_bits(&self, n_bits: usize) -> BitRows<'_> {
        BitRows { words: &self.nodes, words_per_row: words_of(n_bits), n_bits }
    }

    /// Makes the terms, total and edges of the present weights.
    fn refresh(&mut self, activation: Activation) {
        let bounds = Bounds { floor: R::ZERO, ceiling: R::ONE, visible: None };
        with_soft!(activation, R, soft => kernels::update_given(soft, &[], None, bounds, Updated {
            weights: &mut self.weights,
            first: &mut self.first,
            second: &mut self.second,
            terms: &mut self.terms,
            total: &mut self.total,
            edges: &mut self.edges,
        }));
    }
}

/// What every block needs to know of a step.
struct Step<'a, R> {
    config: &'a RrlConfig,
    adam: Adam<R>,
    n_rows: usize,
    slopes: &'a [R],
    slope_lanes: &'a [Lanes<R>],
}

/// Inputs of a layer for a batch.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    rows: BitRows<'a>,
    columns: BitRows<'a>,
    /// Plan and patterns `[batch, n_groups]` of the rows, where known.
    patterns: Option<(&'a Plan, usize, &'a [u32])>,
}

impl<R: Real> Step<'_, R> {
    fn decay(&self) -> R {
        decay_of(self.config)
    }

    /// Coefficients of a block: what comes down to its nodes, times the slopes of their soft truth.
    fn coefficients(&self, block: &mut Block<R>, inputs: Inputs<'_>, from_above: &[(&Layer<R>, usize)]) {
        block.upstream.clear();
        block.upstream.resize(self.n_rows, Lanes::default());
        for &(layer, offset) in from_above {
            let n_read = layer.of_inputs.len() / self.n_rows;
            let first = offset + block.first_output;
            for (row, upstream) in block.upstream.iter_mut().enumerate() {
                let from = &layer.of_inputs[row * n_read + first..][..block.n_nodes];
                upstream.0.iter_mut().zip(from).for_each(|(to, &from)| *to += from);
            }
        }
        if let Some(head) = &block.head {
            kernels::head_upstream(self.slopes, &head.weights, &mut block.upstream);
        }
        block.coefficients.clear();
        block.coefficients.resize(self.n_rows, Lanes::default());
        if let Some((plan, n_patterns, ids)) = inputs.patterns {
            block.table.resize(n_patterns, Lanes::default());
            kernels::pattern_sums(
                plan,
                ids,
                block.conjunction,
                &block.terms,
                &mut block.table,
                &mut block.coefficients,
            );
        } else {
            let total = may_complete(self.config).then_some(&block.total);
            kernels::node_sums(inputs.rows, block.conjunction, &block.terms, total, &mut block.coefficients);
        }
        with_soft!(self.config.activation, R, soft =>
            kernels::coefficients(soft, &block.upstream, &mut block.coefficients));
    }

    /// Gradient of the linear layer's part of a block, penalty included.
    fn head_gradients(&self, block: &mut Block<R>) {
        let Some(mut head) = block.head.take() else { return };
        head.gradients.clear();
        head.gradients.resize(head.weights.len(), Lanes::default());
        kernels::head_gradients(block.node_bits(self.n_rows), self.slope_lanes, &mut head.gradients);
        let decay = self.decay();
        for (gradient, weights) in head.gradients.iter_mut().zip(&head.weights) {
            for node in 0..block.n_nodes {
                gradient.0[node] += decay * weights.0[node];
            }
        }
        block.head = Some(head);
    }

    fn gradient_source<'b>(
        &self,
        block: &'b Block<R>,
        columns: BitRows<'b>,
        total: Option<&'b Lanes<R>>,
    ) -> WeightGradient<'b, R> {
        WeightGradient {
            columns,
            conjunction: block.conjunction,
            coefficients: &block.coefficients,
            total,
            picked: None,
            decay: self.decay(),
            decay_each: block.decay_each.as_deref(),
            decay_constant: R::from_f64(self.config.penalty.absolutes),
        }
    }

    /// Adam on the logical weights and the head of a block.
    fn update(&self, block: &mut Block<R>, inputs: Inputs<'_>) {
        self.head_gradients(block);
        let bounds = bounds_of(self.config);
        let mut taken = std::mem::take(&mut block.weights);
        let [mut first, mut second, mut terms] =
            [&mut block.first, &mut block.second, &mut block.terms].map(std::mem::take);
        let (mut total, mut edges) = (block.total, std::mem::take(&mut block.edges));
        let mut picked = std::mem::take(&mut block.picked);
        let mut sum = None;
        if let Some((plan, _, ids)) = inputs.patterns {
            picked.resize(taken.len(), Lanes::default());
            kernels::pattern_gather(
                plan,
                ids,
                block.conjunction,
                &block.coefficients,
                &mut block.table,
                &mut picked,
            );
        } else if may_complete(self.config) {
            let mut total = Lanes::default();
            for row in &block.coefficients {
                total.0.iter_mut().zip(row.0).for_each(|(sum, value)| *sum += value);
            }
            sum = Some(total);
        }
        let source = WeightGradient {
            picked: inputs.patterns.is_some().then_some(&picked),
            ..self.gradient_source(block, inputs.columns, sum.as_ref())
        };
        let bounds = Bounds { visible: block.visible.as_deref(), ..bounds };
        let to = Updated {
            weights: &mut taken,
            first: &mut first,
            second: &mut second,
            terms: &mut terms,
            total: &mut total,
            edges: &mut edges,
        };
        with_soft!(self.config.activation, R, soft => kernels::update(soft, source, self.adam, bounds, to));
        (block.weights, block.first, block.second, block.terms) = (taken, first, second, terms);
        (block.total, block.edges, block.picked) = (total, edges, picked);
        if let Some(head) = &mut block.head {
            head.step(block.n_nodes, self.adam);
        }
    }
}

impl<R: Real> Head<R> {
    fn step(&mut self, n_nodes: usize, adam: Adam<R>) {
        for (at, gradient) in self.gradients.iter().enumerate() {
            let (weights, first, second) = (&mut self.weights[at], &mut self.first[at], &mut self.second[at]);
            for node in 0..n_nodes {
                adam.apply(gradient.0[node], &mut weights.0[node], &mut first.0[node], &mut second.0[node]);
            }
        }
    }
}

/// Whether sums may be completed from totals, or made by patterns: not while a term can be infinite, and not
/// in the published scheme, which makes sums as they stand.
fn may_complete(config: &RrlConfig) -> bool {
    config.weight_range.1 < 1.0
}

fn decay_of<R: Real>(config: &RrlConfig) -> R {
    let penalty = config.penalty;
    R::from_f64(if penalty.all_parameters { penalty.squares } else { 2.0 * penalty.squares })
}

fn bounds_of<R: Real>(config: &RrlConfig) -> Bounds<'static, R> {
    let (floor, ceiling) = config.weight_range;
    Bounds { floor: R::from_f64(floor), ceiling: R::from_f64(ceiling), visible: None }
}

impl<R: Real> Layer<R> {
    fn new(layer: &UnionLayer) -> Self {
        let (n_conjunctions, n_disjunctions) =
            (layer.conjunctions.n_columns(), layer.disjunctions.n_columns());
        let blocks = [(Logic::And, n_conjunctions), (Logic::Or, n_disjunctions)]
            .into_iter()
            .flat_map(|(logic, n_nodes)| {
                (0..n_nodes).step_by(LANES).map(move |first| Block::new(layer, logic, first))
            })
            .collect();
        Self {
            blocks,
            n_conjunctions,
            n_disjunctions,
            n_inputs: layer.conjunctions.n_rows(),
            negated: layer.negated,
            columns: Vec::new(),
            rows: Vec::new(),
            of_inputs: Vec::new(),
        }
    }

    /// From the inputs before negation, as columns: negates, and makes rows.
    fn take_columns(&mut self, n_rows: usize) {
        let n_words = words_of(n_rows);
        if self.negated {
            let n_read = self.columns.len();
            self.columns.extend_from_within(..);
            let last = low_bits(n_rows - (n_words - 1) * 64);
            for (at, word) in self.columns[n_read..].iter_mut().enumerate() {
                *word = !*word & if at % n_words == n_words - 1 { last } else { u64::MAX };
            }
        }
        self.rows.clear();
        self.rows.resize(n_rows * words_of(self.n_inputs), 0);
        transpose(&self.columns, self.n_inputs, n_rows, &mut self.rows);
    }

    fn inputs<'a>(columns: &'a [u64], rows: &'a [u64], n_inputs: usize, n_rows: usize) -> Inputs<'a> {
        Inputs {
            columns: BitRows { words: columns, words_per_row: words_of(n_rows), n_bits: n_rows },
            rows: BitRows { words: rows, words_per_row: words_of(n_inputs), n_bits: n_inputs },
            patterns: None,
        }
    }

    /// Gradient in what the layer reads, from the coefficients of its blocks.
    fn input_gradients(&mut self, n_rows: usize, activation: Activation, parallel: bool) {
        each(parallel, &mut self.blocks, |block| {
            block.marked.resize(block.weights.len(), Lanes::default());
            block.other.resize(block.weights.len(), Lanes::default());
            with_soft!(activation, R, soft =>
                kernels::input_tables(soft, &block.weights, &mut block.marked, &mut block.other));
        });
        let (n_inputs, words) = (self.n_inputs, words_of(self.n_inputs));
        let n_read = if self.negated { n_inputs / 2 } else { n_inputs };
        self.of_inputs.clear();
        self.of_inputs.resize(n_rows * n_read, R::ZERO);
        let (blocks, rows) = (&self.blocks, &self.rows);
        let mut by_row: Vec<(usize, &mut [R])> =
            self.of_inputs.chunks_exact_mut(n_read).enumerate().collect();
        let negated = self.negated;
        each(parallel, &mut by_row, |(row, gradient)| {
            let mut full = vec![R::ZERO; n_inputs];
            for block in blocks {
                let bits = &rows[*row * words..(*row + 1) * words];
                let coefficients = &block.coefficients[*row];
                kernels::input_gradient(
                    bits,
                    block.conjunction,
                    coefficients,
                    &block.marked,
                    &block.other,
                    &mut full,
                );
            }
            gradient.copy_from_slice(&full[..gradient.len()]);
            if negated {
                let n_read = gradient.len();
                gradient.iter_mut().zip(&full[n_read..]).for_each(|(to, &of_negation)| *to -= of_negation);
            }
        });
    }
}

impl<R: Real> Trainer<R> {
    /// Starts from the parameters of `network`.
    ///
    /// - `literals`: names and groups of the inputs, which masks refer to.
    ///
    /// # Errors
    /// [`RrlError`] if the settings, shapes or masks cannot be used.
    pub fn new(
        network: &Network,
        literals: &[crate::Literal],
        objective: Objective,
        config: &RrlConfig,
    ) -> Result<Self, RrlError> {
        config.validate()?;
        network.validate()?;
        if literals.len() != network.n_literals {
            return Err(RrlError::Shape {
                what: "literals",
                found: literals.len(),
                expected: network.n_literals,
            });
        }
        let mut layers: Vec<Layer<R>> = network.layers.iter().map(Layer::new).collect();
        let mut first_dim = 0;
        for source in sources(layers.len(), network.skip).into_iter().flatten() {
            let n_outputs = layers[source].n_conjunctions + layers[source].n_disjunctions;
            for block in &mut layers[source].blocks {
                let first_dim = first_dim + block.first_output;
                let weights: Vec<Lanes<R>> = (0..network.n_outputs())
                    .map(|output| {
                        let mut lanes = Lanes::default();
                        for node in 0..block.n_nodes {
                            lanes.0[node] = R::from_f64(network.head.at(output, first_dim + node));
                        }
                        lanes
                    })
                    .collect();
                let zeros = vec![Lanes::default(); weights.len()];
                block.head = Some(Head {
                    first_dim,
                    first: zeros.clone(),
                    second: zeros.clone(),
                    gradients: zeros,
                    weights,
                });
            }
            first_dim += n_outputs;
        }
        apply_masks(&mut layers[0], literals, config)?;
        for layer in &mut layers {
            layer.blocks.iter_mut().for_each(|block| block.refresh(config.activation));
        }
        Ok(Self {
            config: config.clone(),
            objective,
            layers,
            n_literals: network.n_literals,
            skip: network.skip,
            n_outputs: network.n_outputs(),
            bias: Moving::new(network.bias.iter().copied()),
            log_temperature: Moving::new([network.log_temperature]),
            linear: Moving::new(network.linear.iter().copied()),
            n_steps: 0,
            n_rows: 0,
            scores: Vec::new(),
            pattern_ids: Vec::new(),
            slope_lanes: Vec::new(),
        })
    }

    fn parallel(&self) -> bool {
        self.config.n_threads > 1
    }

    /// Discrete pass over the rows at `rows`, to the scores before the temperature.
    fn forward(&mut self, data: &Dataset, rows: &[usize]) {
        self.n_rows = rows.len();
        let (n_rows, n_words, parallel) = (rows.len(), words_of(rows.len()), self.parallel());
        for at in 0..self.layers.len() {
            let (below, from) = self.layers.split_at_mut(at);
            let layer = &mut from[0];
            layer.columns.clear();
            if at == 0 {
                let words = words_of(self.n_literals);
                layer.rows.clear();
                layer.rows.resize(n_rows * words, 0);
                for (&row, to) in rows.iter().zip(layer.rows.chunks_exact_mut(words)) {
                    data.rows.write_words(row, to);
                }
                layer.columns.resize(self.n_literals * n_words, 0);
                transpose(&layer.rows, n_rows, self.n_literals, &mut layer.columns);
                if layer.negated {
                    layer.take_columns(n_rows);
                }
            } else {
                for source in sources(at, self.skip).into_iter().flatten() {
                    for block in &below[source].blocks {
                        layer.columns.extend_from_slice(&block.nodes);
                    }
                }
                layer.take_columns(n_rows);
            }
            let Layer { blocks, columns, .. } = layer;
            let columns = BitRows { words: columns, words_per_row: n_words, n_bits: n_rows };
            let n_outputs = self.n_outputs;
            each(parallel, blocks, |block| block.forward(columns, n_outputs));
        }
        let n_outputs = self.n_outputs;
        self.scores.clear();
        self.scores.resize(n_rows * n_outputs, R::ZERO);
        for output in 0..n_outputs {
            for word in 0..n_words {
                // Block by block, so that 64 rows are added at a time; each row's sum is in the order of blocks.
                let mut sums = [self.bias.values[output]; 64];
                for layer in &self.layers {
                    for block in layer.blocks.iter().filter(|block| block.head.is_some()) {
                        let partial = &block.partial_scores[output * n_words + word];
                        sums.iter_mut().zip(partial).for_each(|(sum, &part)| *sum += part);
                    }
                }
                let scores = self.scores[word * 64 * n_outputs..].iter_mut().skip(output).step_by(n_outputs);
                scores.zip(sums).for_each(|(score, sum)| *score = sum);
            }
        }
        if let Some(linear) = &data.linear {
            for (score, &row) in self.scores.iter_mut().zip(rows) {
                for (&weight, &value) in self.linear.values.iter().zip(linear.values.row(row)) {
                    *score += weight * R::from_f64(value);
                }
            }
        }
    }

    /// Rows of a batch of units, and the lists they are from.
    fn batch_rows(data: &Dataset, units: &[usize]) -> (Vec<usize>, Vec<usize>) {
        if let crate::Targets::Lists { sizes, .. } = &data.targets {
            let starts = list_starts(sizes);
            let rows = units.iter().flat_map(|&list| starts[list]..starts[list] + sizes[list]).collect();
            (rows, units.to_vec())
        } else {
            (units.to_vec(), Vec::new())
        }
    }

    fn loss(&mut self, data: &Dataset, rows: &[usize], lists: &[usize], epoch: usize) -> Evaluated<R> {
        self.forward(data, rows);
        let batch = Batch { targets: &data.targets, rows, lists, epoch };
        let temperature =
            if self.objective.has_temperature() { self.log_temperature.values[0] } else { R::ZERO };
        loss::evaluate(self.objective, &batch, &self.scores, temperature)
    }

    /// Groups of 32 outputs side by side, in `lanes`: `[n_groups, batch]`.
    fn slope_lanes(&self, slopes: &[R], mut lanes: Vec<Lanes<R>>) -> Vec<Lanes<R>> {
        let n_groups = self.n_outputs.div_ceil(LANES);
        // Lanes behind the last output stay 0 from one step to the next of as many rows.
        if lanes.len() != n_groups * self.n_rows {
            lanes.clear();
            lanes.resize(n_groups * self.n_rows, Lanes::default());
        }
        for (row, slopes) in slopes.chunks_exact(self.n_outputs).enumerate() {
            for (output, &slope) in slopes.iter().enumerate() {
                lanes[output / LANES * self.n_rows + row].0[output % LANES] = slope;
            }
        }
        lanes
    }

    fn next_adam(&mut self, learning_rate: f64) -> Adam<R> {
        self.n_steps += 1;
        Adam {
            beta1: R::from_f64(BETA1),
            beta2: R::from_f64(BETA2),
            step: R::from_f64(learning_rate / (1.0 - BETA1.powi(self.n_steps))),
            root: R::from_f64(1.0 / (1.0 - BETA2.powi(self.n_steps)).sqrt()),
            epsilon: R::from_f64(ADAM_EPSILON),
        }
    }

    /// One step of Adam on a batch; returns the loss of the data, without penalties.
    ///
    /// - `units`: rows, of ranking targets lists, of the batch, at least one.
    /// - `epoch`: counted from 0, for the learning rate and the warm-up of a ranking loss.
    ///
    /// # Errors
    /// [`RrlError::Shape`] if the data does not fit the network, [`RrlError::Mismatch`] if the targets do
    /// not fit the objective.
    ///
    /// # Panics
    /// If there is no such unit.
    pub fn step(&mut self, data: &Dataset, units: &[usize], epoch: usize) -> Result<f64, RrlError> {
        self.step_by_patterns(data, None, units, epoch)
    }

    /// As [`Trainer::step`], with the patterns of the rows of `data` if they were found.
    pub(crate) fn step_by_patterns(
        &mut self,
        data: &Dataset,
        patterns: Option<&Patterns>,
        units: &[usize],
        epoch: usize,
    ) -> Result<f64, RrlError> {
        self.check(data)?;
        if self.config.grafting == Grafting::Single {
            let gradients = self.gradients(data, units, epoch)?;
            self.apply(&gradients.parameters, epoch)?;
            return Ok(gradients.data_loss);
        }
        let (rows, lists) = Self::batch_rows(data, units);
        let patterns = patterns.filter(|_| may_complete(&self.config) && !self.layers[0].negated);
        let mut pattern_ids = std::mem::take(&mut self.pattern_ids);
        pattern_ids.clear();
        let mut gather = || {
            if let Some(patterns) = patterns {
                rows.iter().for_each(|&row| pattern_ids.extend_from_slice(patterns.row(row)));
            }
        };
        let parallel = self.parallel();
        let mut forward = || self.loss(data, &rows, &lists, epoch);
        let evaluated = if parallel {
            rayon::join(forward, gather).0
        } else {
            gather();
            forward()
        };
        self.pattern_ids = pattern_ids;
        let adam = self.next_adam(self.config.learning_rate_at(epoch));
        let slope_lanes = std::mem::take(&mut self.slope_lanes);
        let slope_lanes = self.slope_lanes(&evaluated.slopes, slope_lanes);
        self.descend(patterns, &evaluated.slopes, &slope_lanes, adam);
        self.slope_lanes = slope_lanes;
        self.step_scalars(data, &rows, &evaluated, adam);
        Ok(evaluated.loss)
    }

    /// Backward pass and Adam on all blocks, top layer first.
    fn descend(
        &mut self,
        patterns: Option<&Patterns>,
        slopes: &[R],
        slope_lanes: &[Lanes<R>],
        adam: Adam<R>,
    ) {
        let parallel = self.parallel();
        let step = Step { config: &self.config, adam, n_rows: self.n_rows, slopes, slope_lanes };
        for at in (0..self.layers.len()).rev() {
            let (from, above) = self.layers.split_at_mut(at + 1);
            let layer = &mut from[at];
            let from_above = readers(
                at,
                above,
                self.skip,
                |layer| layer.n_conjunctions + layer.n_disjunctions,
                layer.n_conjunctions + layer.n_disjunctions,
            );
            let Layer { blocks, columns, rows, n_inputs, .. } = layer;
            let inputs = Layer::<R>::inputs(columns, rows, *n_inputs, self.n_rows);
            if at == 0 {
                let inputs = Inputs {
                    patterns: patterns
                        .map(|found| (&found.plan, found.n_patterns, self.pattern_ids.as_slice())),
                    ..inputs
                };
                each(parallel, blocks, |block| {
                    step.coefficients(block, inputs, &from_above);
                    step.update(block, inputs);
                });
            } else {
                each(parallel, blocks, |block| step.coefficients(block, inputs, &from_above));
                layer.input_gradients(self.n_rows, self.config.activation, parallel);
                let Layer { blocks, columns, rows, n_inputs, .. } = layer;
                let inputs = Layer::<R>::inputs(columns, rows, *n_inputs, self.n_rows);
                each(parallel, blocks, |block| step.update(block, inputs));
            }
        }
    }

    fn step_scalars(&mut self, data: &Dataset, rows: &[usize], evaluated: &Evaluated<R>, adam: Adam<R>) {
        let (of_bias, of_linear) = self.scalar_gradients(data, rows, evaluated);
        self.bias.step(&of_bias, adam);
        if self.config.train_temperature && self.objective.has_temperature() {
            self.log_temperature.step(&[evaluated.of_log_temperature], adam);
        }
        self.linear.step(&of_linear, adam);
        self.linear
            .values
            .iter_mut()
            .filter(|weight| **weight < R::ZERO)
            .for_each(|weight| *weight = R::ZERO);
    }

    /// Gradients in the biases and in the weights of the linear inputs.
    fn scalar_gradients(&self, data: &Dataset, rows: &[usize], evaluated: &Evaluated<R>) -> (Vec<R>, Vec<R>) {
        let mut of_bias = vec![R::ZERO; self.n_outputs];
        for slopes in evaluated.slopes.chunks_exact(self.n_outputs) {
            of_bias.iter_mut().zip(slopes).for_each(|(to, &slope)| *to += slope);
        }
        if self.config.penalty.all_parameters {
            let decay: R = decay_of(&self.config);
            of_bias.iter_mut().zip(&self.bias.values).for_each(|(to, &bias)| *to += decay * bias);
        }
        let mut of_linear = vec![R::ZERO; self.linear.values.len()];
        if let Some(linear) = &data.linear {
            for (&slope, &row) in evaluated.slopes.iter().zip(rows) {
                for (to, &value) in of_linear.iter_mut().zip(linear.values.row(row)) {
                    *to += slope * R::from_f64(value);
                }
            }
        }
        (of_bias, of_linear)
    }

    fn check(&self, data: &Dataset) -> Result<(), RrlError> {
        self.objective.validate(&data.targets)?;
        let n_linear = data.linear.as_ref().map_or(0, |linear| linear.names.len());
        let n_outputs = data.targets.output_names().len();
        for (what, found, expected) in [
            ("literals", data.rows.n_literals(), self.n_literals),
            ("linear inputs", n_linear, self.linear.values.len()),
            ("outputs", n_outputs, self.n_outputs),
        ] {
            if found != expected {
                return Err(RrlError::Shape { what, found, expected });
            }
        }
        Ok(())
    }

    /// Loss and gradients of a batch, without changing anything.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    ///
    /// # Panics
    /// If there is no such unit.
    pub fn gradients(
        &mut self,
        data: &Dataset,
        units: &[usize],
        epoch: usize,
    ) -> Result<Gradients, RrlError> {
        self.check(data)?;
        let (rows, lists) = Self::batch_rows(data, units);
        let evaluated = self.loss(data, &rows, &lists, epoch);
        let scores = Matrix::new(
            rows.len(),
            self.n_outputs,
            self.scores.iter().map(|score| score.to_f64()).collect(),
        )?;
        let network = self.network();
        let squares = network
            .layers
            .iter()
            .flat_map(|layer| [&layer.conjunctions, &layer.disjunctions])
            .chain([&network.head])
            .flat_map(Matrix::values)
            .map(|weight| weight * weight)
            .sum();
        let parameters = if self.config.grafting == Grafting::Single {
            let slopes: Vec<f64> = evaluated.slopes.iter().map(|slope| slope.to_f64()).collect();
            self.single_graft(&network, data, &rows, &Matrix::new(rows.len(), self.n_outputs, slopes)?)?
        } else {
            self.hierarchical_graft(network, data, &rows, &evaluated)
        };
        Ok(Gradients { data_loss: evaluated.loss, squares, scores, parameters })
    }

    fn hierarchical_graft(
        &mut self,
        mut network: Network,
        data: &Dataset,
        rows: &[usize],
        evaluated: &Evaluated<R>,
    ) -> Network {
        let slope_lanes = self.slope_lanes(&evaluated.slopes, Vec::new());
        let adam = Adam { beta1: R::ZERO, beta2: R::ZERO, step: R::ZERO, root: R::ZERO, epsilon: R::ONE };
        let step = Step {
            config: &self.config,
            adam,
            n_rows: self.n_rows,
            slopes: &evaluated.slopes,
            slope_lanes: &slope_lanes,
        };
        for at in (0..self.layers.len()).rev() {
            let (from, above) = self.layers.split_at_mut(at + 1);
            let layer = &mut from[at];
            let from_above = readers(
                at,
                above,
                self.skip,
                |layer| layer.n_conjunctions + layer.n_disjunctions,
                layer.n_conjunctions + layer.n_disjunctions,
            );
            let to = &mut network.layers[at];
            let Layer { blocks, columns, rows, n_inputs, .. } = layer;
            let inputs = Layer::<R>::inputs(columns, rows, *n_inputs, self.n_rows);
            for block in blocks {
                step.coefficients(block, inputs, &from_above);
                step.head_gradients(block);
                let mut gradients = vec![Lanes::default(); block.weights.len()];
                let source = step.gradient_source(block, inputs.columns, None);
                with_soft!(self.config.activation, R, soft =>
                    kernels::weight_gradients(soft, source, &block.weights, &mut gradients));
                let weights = if block.conjunction { &mut to.conjunctions } else { &mut to.disjunctions };
                block.write(&gradients, weights);
                if let Some(head) = &block.head {
                    head.write(&head.gradients, block.n_nodes, &mut network.head);
                }
            }
            if at > 0 {
                layer.input_gradients(self.n_rows, self.config.activation, false);
            }
        }
        let (of_bias, of_linear) = self.scalar_gradients(data, rows, evaluated);
        network.bias = of_bias.iter().map(|slope| slope.to_f64()).collect();
        network.linear = of_linear.iter().map(|slope| slope.to_f64()).collect();
        network.log_temperature = evaluated.of_log_temperature.to_f64();
        network
    }

    /// The scheme of 2021: the gradient at the discrete outputs, sent back through a soft network.
    fn single_graft(
        &self,
        network: &Network,
        data: &Dataset,
        rows: &[usize],
        slopes: &Matrix,
    ) -> Result<Network, RrlError> {
        let decay: f64 = decay_of::<f64>(&self.config);
        let mut inputs: Vec<Matrix> = Vec::new();
        let mut outputs: Vec<Matrix> = Vec::new();
        let mut literals = Matrix::zeros(rows.len(), network.n_literals);
        for (at, &row) in rows.iter().enumerate() {
            data.rows.holding(row).iter().for_each(|&literal| literals.row_mut(at)[literal] = 1.0);
        }
        let read = |layer: usize, outputs: &[Matrix], negated: bool| {
            let mut parts: Vec<Vec<f64>> = vec![Vec::new(); rows.len()];
            for source in sources(layer, network.skip) {
                let from = source.map_or(&literals, |source| &outputs[source]);
                parts.iter_mut().enumerate().for_each(|(row, part)| part.extend_from_slice(from.row(row)));
            }
            if negated {
                for part in &mut parts {
                    let complement: Vec<f64> = part.iter().map(|value| 1.0 - value).collect();
                    part.extend(complement);
                }
            }
            Matrix::from_rows(&parts)
        };
        let kinds = |layer: &UnionLayer| {
            [(Logic::And, &layer.conjunctions), (Logic::Or, &layer.disjunctions)]
                .map(|(logic, weights)| LogicLayer::new(logic, self.config.activation, weights.clone()))
        };
        for (at, layer) in network.layers.iter().enumerate() {
            let seen = read(at, &outputs, layer.negated)?;
            let [conjunctions, disjunctions] = kinds(layer);
            let (all, some) = (conjunctions.soft(&seen)?, disjunctions.soft(&seen)?);
            let both: Vec<Vec<f64>> =
                (0..rows.len()).map(|row| [all.row(row), some.row(row)].concat()).collect();
            outputs.push(Matrix::from_rows(&both)?);
            inputs.push(seen);
        }
        let top = read(network.layers.len(), &outputs, false)?;
        let mut gradients = network.clone();
        let mut upstream: Vec<Matrix> =
            outputs.iter().map(|output| Matrix::zeros(output.n_rows(), output.n_columns())).collect();
        gradients.head.values_mut().iter_mut().for_each(|weight| *weight *= decay);
        gradients
            .bias
            .iter_mut()
            .for_each(|bias| *bias *= if self.config.penalty.all_parameters { decay } else { 0.0 });
        let mut of_top = Matrix::zeros(top.n_rows(), top.n_columns());
        for row in 0..rows.len() {
            for (output, &slope) in slopes.row(row).iter().enumerate() {
                gradients.bias[output] += slope;
                for dim in 0..top.n_columns() {
                    gradients.head.row_mut(output)[dim] += slope * top.at(row, dim);
                    of_top.row_mut(row)[dim] += slope * network.head.at(output, dim);
                }
            }
        }
        let hand_down = |layer: usize, of_read: &Matrix, upstream: &mut Vec<Matrix>| {
            let mut offset = 0;
            for source in sources(layer, network.skip).into_iter().flatten() {
                let width = upstream[source].n_columns();
                for row in 0..of_read.n_rows() {
                    let from = &of_read.row(row)[offset..offset + width];
                    upstream[source].row_mut(row).iter_mut().zip(from).for_each(|(to, from)| *to += from);
                }
                offset += width;
            }
        };
        hand_down(network.layers.len(), &of_top, &mut upstream);
        for at in (0..network.layers.len()).rev() {
            let layer = &network.layers[at];
            let split = layer.conjunctions.n_columns();
            let mut of_seen = Matrix::zeros(rows.len(), inputs[at].n_columns());
            for (kind, logic) in kinds(layer).iter().enumerate() {
                let part: Vec<Vec<f64>> = (0..rows.len())
                    .map(|row| {
                        let row = upstream[at].row(row);
                        if kind == 0 { row[..split].to_vec() } else { row[split..].to_vec() }
                    })
                    .collect();
                let back = logic.backward(&inputs[at], &Matrix::from_rows(&part)?)?;
                of_seen.values_mut().iter_mut().zip(back.inputs.values()).for_each(|(to, from)| *to += from);
                let to = &mut gradients.layers[at];
                let to = if kind == 0 { &mut to.conjunctions } else { &mut to.disjunctions };
                to.values_mut()
                    .iter_mut()
                    .zip(back.weights.values())
                    .for_each(|(weight, from)| *weight = *weight * decay + from);
            }
            let n_read = network.n_read(at);
            let mut of_read = Matrix::zeros(rows.len(), n_read);
            for row in 0..rows.len() {
                for input in 0..n_read {
                    let negation = if layer.negated { of_seen.at(row, n_read + input) } else { 0.0 };
                    of_read.row_mut(row)[input] = of_seen.at(row, input) - negation;
                }
            }
            hand_down(at, &of_read, &mut upstream);
        }
        gradients.log_temperature = 0.0;
        Ok(gradients)
    }

    /// One step of Adam from gradients shaped like the network.
    ///
    /// # Errors
    /// [`RrlError::Shape`] if they have another shape.
    pub fn apply(&mut self, gradients: &Network, epoch: usize) -> Result<(), RrlError> {
        gradients.validate()?;
        let (found, expected) = (gradients.head.values().len(), self.network().head.values().len());
        if found != expected {
            return Err(RrlError::Shape { what: "linear gradients", found, expected });
        }
        let adam = self.next_adam(self.config.learning_rate_at(epoch));
        let bounds = bounds_of(&self.config);
        for (layer, from) in self.layers.iter_mut().zip(&gradients.layers) {
            for block in &mut layer.blocks {
                let from = if block.conjunction { &from.conjunctions } else { &from.disjunctions };
                let lanes = block.read(from);
                let bounds = Bounds { visible: block.visible.as_deref(), ..bounds };
                with_soft!(self.config.activation, R, soft =>
                kernels::update_given(soft, &lanes, Some(adam), bounds, Updated {
                    weights: &mut block.weights,
                    first: &mut block.first,
                    second: &mut block.second,
                    terms: &mut block.terms,
                    total: &mut block.total,
                    edges: &mut block.edges,
                }));
                if let Some(head) = &mut block.head {
                    for (output, to) in head.gradients.iter_mut().enumerate() {
                        for node in 0..block.n_nodes {
                            to.0[node] = R::from_f64(gradients.head.at(output, head.first_dim + node));
                        }
                    }
                    head.step(block.n_nodes, adam);
                }
            }
        }
        let real = |values: &[f64]| -> Vec<R> { values.iter().map(|&value| R::from_f64(value)).collect() };
        self.bias.step(&real(&gradients.bias), adam);
        if self.config.train_temperature && self.objective.has_temperature() {
            self.log_temperature.step(&real(&[gradients.log_temperature]), adam);
        }
        self.linear.step(&real(&gradients.linear), adam);
        self.linear
            .values
            .iter_mut()
            .filter(|weight| **weight < R::ZERO)
            .for_each(|weight| *weight = R::ZERO);
        Ok(())
    }

    /// The present parameters.
    pub fn network(&self) -> Network {
        let n_dims = self
            .layers
            .iter()
            .flat_map(|layer| &layer.blocks)
            .filter_map(|block| block.head.as_ref().map(|head| head.first_dim + block.n_nodes))
            .max()
            .unwrap_or(0);
        let mut head = Matrix::zeros(self.n_outputs, n_dims);
        let layers = self
            .layers
            .iter()
            .map(|layer| {
                let mut conjunctions = Matrix::zeros(layer.n_inputs, layer.n_conjunctions);
                let mut disjunctions = Matrix::zeros(layer.n_inputs, layer.n_disjunctions);
                for block in &layer.blocks {
                    let to = if block.conjunction { &mut conjunctions } else { &mut disjunctions };
                    block.write(&block.weights, to);
                    if let Some(part) = &block.head {
                        part.write(&part.weights, block.n_nodes, &mut head);
                    }
                }
                UnionLayer { conjunctions, disjunctions, negated: layer.negated }
            })
            .collect();
        let plain = |values: &[R]| values.iter().map(|value| value.to_f64()).collect::<Vec<_>>();
        Network {
            n_literals: self.n_literals,
            layers,
            skip: self.skip,
            head,
            bias: plain(&self.bias.values),
            log_temperature: self.log_temperature.values[0].to_f64(),
            linear: plain(&self.linear.values),
        }
    }
}

/// The layers above that read a layer, with where its outputs start in what they read.
///
/// - `above`: the layers from `at + 1` on; `width` of a layer between, and `own` width.
fn readers<L>(
    at: usize,
    above: &[L],
    skip: bool,
    width: impl Fn(&L) -> usize,
    own: usize,
) -> Vec<(&L, usize)> {
    let mut found = Vec::new();
    for (distance, layer) in above.iter().enumerate() {
        let mut offset = 0;
        for source in sources(at + 1 + distance, skip).into_iter().flatten() {
            if source == at {
                found.push((layer, offset));
            }
            offset += if source > at { width(&above[source - at - 1]) } else { own };
        }
    }
    found
}

impl<R: Real> Block<R> {
    fn write(&self, lanes: &[Lanes<R>], to: &mut Matrix) {
        for (input, lanes) in lanes.iter().enumerate() {
            let to = &mut to.row_mut(input)[self.first_node..self.first_node + self.n_nodes];
            to.iter_mut().zip(lanes.0).for_each(|(to, value)| *to = value.to_f64());
        }
    }

    fn read(&self, from: &Matrix) -> Vec<Lanes<R>> {
        (0..from.n_rows())
            .map(|input| {
                let mut lanes = Lanes::default();
                let from = &from.row(input)[self.first_node..self.first_node + self.n_nodes];
                lanes.0.iter_mut().zip(from).for_each(|(to, &value)| *to = R::from_f64(value));
                lanes
            })
            .collect()
    }
}

impl<R: Real> Head<R> {
    fn write(&self, lanes: &[Lanes<R>], n_nodes: usize, to: &mut Matrix) {
        for (output, lanes) in lanes.iter().enumerate() {
            let to = &mut to.row_mut(output)[self.first_dim..self.first_dim + n_nodes];
            to.iter_mut().zip(lanes.0).for_each(|(to, value)| *to = value.to_f64());
        }
    }
}

/// Puts masks on the first layer: hidden weights become 0, soft ones get their penalty.
fn apply_masks<R: Real>(
    layer: &mut Layer<R>,
    literals: &[crate::Literal],
    config: &RrlConfig,
) -> Result<(), RrlError> {
    for mask in &config.masks {
        if let Some(unknown) = mask
            .groups
            .iter()
            .find(|group| !literals.iter().any(|literal| literal.group.as_ref() == Some(group)))
        {
            return Err(RrlError::UnknownName {
                what: "a mask".to_owned(),
                part: "group",
                name: unknown.clone(),
            });
        }
        let n_read = literals.len();
        let sees = |input: usize| {
            literals[input % n_read].group.as_ref().is_some_and(|group| mask.groups.contains(group))
        };
        for block in &mut layer.blocks {
            let range =
                mask.nodes.0.max(block.first_node)..mask.nodes.1.min(block.first_node + block.n_nodes);
            if range.is_empty() {
                continue;
            }
            let hidden = (0..layer.n_inputs).filter(|&input| !sees(input));
            match mask.kind {
                MaskKind::Hard => {
                    let visible = block.visible.get_or_insert_with(|| vec![u32::MAX; layer.n_inputs]);
                    for input in hidden {
                        for node in range.clone() {
                            visible[input] &= !(1 << (node - block.first_node));
                            block.weights[input].0[node - block.first_node] = R::ZERO;
                        }
                    }
                }
                MaskKind::Soft(penalty) => {
                    let each = block.decay_each.get_or_insert_with(|| vec![Lanes::default(); layer.n_inputs]);
                    for input in hidden {
                        for node in range.clone() {
                            each[input].0[node - block.first_node] += R::from_f64(2.0 * penalty);
                        }
                    }
                }
            }
        }
    }
    Ok(())
}
