//! The parameters of a network, outside of any training.

use rand::{Rng, RngExt};

use crate::error::RrlError;
use crate::matrix::Matrix;

/// Parameters of union layers and the linear layer on top.
///
/// Layer 1 sees the literals; layer 2 the outputs of layer 1; with `skip`, a layer from the third on, and
/// the linear layer after two or more, sees the previous layer and then the one before it. A negated layer
/// sees all that, and then the complement of all that.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Number of literals.
    pub n_literals: usize,
    /// Union layers, first to last.
    pub layers: Vec<UnionLayer>,
    /// Whether layers see two layers back.
    pub skip: bool,
    /// Linear weights `[n_outputs, n_dims]`; dims are conjunctions, then disjunctions, of the last layer,
    /// then, with skip, of the one before.
    pub head: Matrix,
    /// `[n_outputs]`.
    pub bias: Vec<f64>,
    /// Natural logarithm of the temperature.
    pub log_temperature: f64,
    /// Non-negative weights of real-valued inputs beside the rules: `[n_linear]`.
    pub linear: Vec<f64>,
}

/// Logical weights of a union layer, each in `[0, 1]`; above one half an input is part of the node.
#[derive(Debug, Clone, PartialEq)]
pub struct UnionLayer {
    /// `[n_inputs, n_conjunctions]`.
    pub conjunctions: Matrix,
    /// `[n_inputs, n_disjunctions]`.
    pub disjunctions: Matrix,
    /// Whether the second half of the inputs is the complement of the first.
    pub negated: bool,
}

impl UnionLayer {
    /// Conjunctions and disjunctions together.
    pub fn n_outputs(&self) -> usize {
        self.conjunctions.n_columns() + self.disjunctions.n_columns()
    }
}

/// The layers whose outputs a layer reads, nearest first; `None` is the literals. Layer `n_layers` is the
/// linear layer.
pub(crate) fn sources(layer: usize, skip: bool) -> Vec<Option<usize>> {
    match layer {
        0 => vec![None],
        1 => vec![Some(0)],
        _ if skip => vec![Some(layer - 1), Some(layer - 2)],
        _ => vec![Some(layer - 1)],
    }
}

impl Network {
    /// Number of outputs.
    pub fn n_outputs(&self) -> usize {
        self.bias.len()
    }

    /// Number of inputs a layer reads, before negation.
    pub(crate) fn n_read(&self, layer: usize) -> usize {
        sources(layer, self.skip)
            .into_iter()
            .map(|source| source.map_or(self.n_literals, |source| self.layers[source].n_outputs()))
            .sum()
    }

    /// A network with random weights: logical ones even in `[0, reach)` of the layer and kind, linear ones
    /// even in `+-1 / sqrt(n_dims)`.
    ///
    /// - `reach`: upper end for conjunctions and disjunctions of the first layer; later layers use the
    ///   third value over their number of inputs, at most one half.
    pub(crate) fn random(
        n_literals: usize,
        nodes: &[usize],
        wiring: Wiring,
        n_outputs: usize,
        reach: [f64; 3],
        rng: &mut impl Rng,
    ) -> Self {
        let mut network = Self {
            n_literals,
            layers: Vec::new(),
            skip: wiring.skip,
            head: Matrix::zeros(0, 0),
            bias: Vec::new(),
            log_temperature: 0.0,
            linear: vec![0.0; wiring.n_linear],
        };
        for (layer, &n_nodes) in nodes.iter().enumerate() {
            let negated = if layer == 0 { wiring.negate_first } else { wiring.negate_deeper };
            let n_inputs = network.n_read(layer) * (1 + usize::from(negated));
            let ends =
                if layer == 0 { [reach[0], reach[1]] } else { [(reach[2] / n_inputs as f64).min(0.5); 2] };
            let [conjunctions, disjunctions] = ends.map(|end| {
                let mut weights = Matrix::zeros(n_inputs, n_nodes);
                weights.values_mut().iter_mut().for_each(|weight| *weight = rng.random::<f64>() * end);
                weights
            });
            network.layers.push(UnionLayer { conjunctions, disjunctions, negated });
        }
        let n_dims = network.n_read(nodes.len());
        let mut draw = || (rng.random::<f64>() * 2.0 - 1.0) / (n_dims as f64).sqrt();
        network.head = Matrix::zeros(n_outputs, n_dims);
        network.head.values_mut().iter_mut().for_each(|weight| *weight = draw());
        network.bias = (0..n_outputs).map(|_| draw()).collect();
        network
    }

    /// Checks that all shapes fit each other.
    ///
    /// # Errors
    /// [`RrlError::Shape`] or [`RrlError::Empty`].
    pub fn validate(&self) -> Result<(), RrlError> {
        if self.layers.is_empty() {
            return Err(RrlError::Empty { what: "union layers" });
        }
        for (at, layer) in self.layers.iter().enumerate() {
            let expected = self.n_read(at) * (1 + usize::from(layer.negated));
            for weights in [&layer.conjunctions, &layer.disjunctions] {
                if weights.n_rows() != expected {
                    return Err(RrlError::Shape {
                        what: "inputs of a layer",
                        found: weights.n_rows(),
                        expected,
                    });
                }
            }
        }
        let (found, expected) = (self.head.n_columns(), self.n_read(self.layers.len()));
        if found != expected {
            return Err(RrlError::Shape { what: "columns of the linear layer", found, expected });
        }
        let (found, expected) = (self.head.n_rows(), self.n_outputs());
        if found != expected {
            return Err(RrlError::Shape { what: "rows of the linear layer", found, expected });
        }
        Ok(())
    }
}

/// How the layers of a random network are connected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wiring {
    pub(crate) skip: bool,
    pub(crate) negate_first: bool,
    pub(crate) negate_deeper: bool,
    pub(crate) n_linear: usize,
}
