//! One layer of logical nodes of one kind over real-valued inputs: truth, and gradients in both arguments.
//!
//! Training by hierarchical grafting never needs it, as inputs are binary there and
//! the sums of [`activation`](crate::Activation) do. It is the plain form of the soft functions: for the
//! 2021 scheme, for numeric checks, and to study the functions themselves.

use crate::activation::{Activation, EPSILON, Nlaf, Soft, with_soft};
use crate::error::RrlError;
use crate::matrix::Matrix;
use crate::rules::Logic;

/// Conjunctions or disjunctions over the same inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct LogicLayer {
    logic: Logic,
    activation: Activation,
    weights: Matrix,
}

/// Gradients of a [`LogicLayer`].
#[derive(Debug, Clone, PartialEq)]
pub struct LogicGradients {
    /// In the inputs: `[batch, n_inputs]`.
    pub inputs: Matrix,
    /// In the weights: `[n_inputs, n_nodes]`.
    pub weights: Matrix,
}

impl LogicLayer {
    /// A layer of `weights` `[n_inputs, n_nodes]`, each in `[0, 1]`.
    ///
    /// ```
    /// use rrl::{Activation, Logic, LogicLayer, Matrix};
    /// let weights = Matrix::from_rows(&[[0.9], [0.2]])?;
    /// let both = LogicLayer::new(Logic::And, Activation::PRODUCT, weights);
    /// let inputs = Matrix::from_rows(&[[1.0, 0.0], [0.0, 1.0]])?;
    /// assert_eq!(both.discrete(&inputs)?.values(), [1.0, 0.0]); // the second input is not part of it
    /// assert!(both.soft(&inputs)?.at(0, 0) > both.soft(&inputs)?.at(1, 0));
    /// # Ok::<(), rrl::RrlError>(())
    /// ```
    pub fn new(logic: Logic, activation: Activation, weights: Matrix) -> Self {
        Self { logic, activation, weights }
    }

    fn check(&self, inputs: &Matrix) -> Result<(), RrlError> {
        if inputs.n_columns() == self.weights.n_rows() {
            return Ok(());
        }
        Err(RrlError::Shape {
            what: "inputs of a layer",
            found: inputs.n_columns(),
            expected: self.weights.n_rows(),
        })
    }

    /// How much an input counts against a conjunction, or for a disjunction.
    fn mark(&self, input: f64) -> f64 {
        if self.logic == Logic::And { 1.0 - input } else { input }
    }

    /// A conjunction as computed, or a disjunction as one minus it.
    fn signed(&self, truth: f64) -> f64 {
        if self.logic == Logic::And { truth } else { 1.0 - truth }
    }

    /// Soft truth of every node: `[batch, n_inputs]` to `[batch, n_nodes]`.
    ///
    /// # Errors
    /// [`RrlError::Shape`].
    pub fn soft(&self, inputs: &Matrix) -> Result<Matrix, RrlError> {
        self.check(inputs)?;
        let mut truths = Matrix::zeros(inputs.n_rows(), self.weights.n_columns());
        for row in 0..inputs.n_rows() {
            let sums = self.sums(inputs.row(row));
            for (truth, sum) in truths.row_mut(row).iter_mut().zip(sums) {
                *truth = self.signed(self.conjunction_truth(sum));
            }
        }
        Ok(truths)
    }

    /// Whether every node holds, as 0 or 1: a conjunction where all inputs of weight above one half are 1,
    /// a disjunction where one of them is not 0. With the product, inputs between 0 and 1 give their
    /// product (of a disjunction: one minus the product of complements), as in the reference.
    ///
    /// # Errors
    /// [`RrlError::Shape`].
    pub fn discrete(&self, inputs: &Matrix) -> Result<Matrix, RrlError> {
        self.check(inputs)?;
        let mut truths = Matrix::zeros(inputs.n_rows(), self.weights.n_columns());
        for row in 0..inputs.n_rows() {
            for node in 0..self.weights.n_columns() {
                let marks = (0..self.weights.n_rows())
                    .filter(|&input| self.weights.at(input, node) > 0.5)
                    .map(|input| self.mark(inputs.at(row, input)));
                let unbroken = match self.activation {
                    Activation::Product { .. } => marks.map(|mark| 1.0 - mark).product(),
                    Activation::Nlaf { .. } => f64::from(marks.sum::<f64>() <= 0.0),
                };
                truths.row_mut(row)[node] = self.signed(unbroken);
            }
        }
        Ok(truths)
    }

    /// Sum of each node for one row.
    fn sums(&self, row: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; self.weights.n_columns()];
        for (input, &value) in row.iter().enumerate() {
            let mark = self.mark(value);
            match self.activation {
                Activation::Product { .. } => {
                    for (sum, weight) in sums.iter_mut().zip(self.weights.row(input)) {
                        *sum += (1.0 - weight * mark).ln();
                    }
                }
                Activation::Nlaf { alpha, beta, gamma } => {
                    let nlaf = Nlaf::<f64, 0, 0>::new(alpha, beta, gamma);
                    let of_mark = nlaf.u(mark);
                    for (sum, &weight) in sums.iter_mut().zip(self.weights.row(input)) {
                        *sum += of_mark * nlaf.u(weight);
                    }
                }
            }
        }
        sums
    }

    fn conjunction_truth(&self, sum: f64) -> f64 {
        with_soft!(self.activation, f64, soft => soft.truth(sum))
    }

    /// Gradients of the soft truth for an upstream gradient `[batch, n_nodes]`.
    ///
    /// # Errors
    /// [`RrlError::Shape`].
    pub fn backward(&self, inputs: &Matrix, upstream: &Matrix) -> Result<LogicGradients, RrlError> {
        self.check(inputs)?;
        let (n_inputs, n_nodes) = (self.weights.n_rows(), self.weights.n_columns());
        if (upstream.n_rows(), upstream.n_columns()) != (inputs.n_rows(), n_nodes) {
            return Err(RrlError::Shape {
                what: "values of the upstream gradient",
                found: upstream.values().len(),
                expected: inputs.n_rows() * n_nodes,
            });
        }
        // Truth rises with the marks of a disjunction, and falls with those of a conjunction; inputs and
        // marks of a conjunction have opposite signs.
        let sign = if self.logic == Logic::And { -1.0 } else { 1.0 };
        let mut gradients = LogicGradients {
            inputs: Matrix::zeros(inputs.n_rows(), n_inputs),
            weights: Matrix::zeros(n_inputs, n_nodes),
        };
        for row in 0..inputs.n_rows() {
            let sums = self.sums(inputs.row(row));
            for (input, &value) in inputs.row(row).iter().enumerate() {
                let mark = self.mark(value);
                let mut of_input = 0.0;
                for (node, &sum) in sums.iter().enumerate() {
                    let weight = self.weights.at(input, node);
                    let (in_weight, in_input) = self.derivatives(mark, weight, sum);
                    gradients.weights.row_mut(input)[node] += sign * upstream.at(row, node) * in_weight;
                    of_input += upstream.at(row, node) * in_input;
                }
                gradients.inputs.row_mut(row)[input] = of_input;
            }
        }
        Ok(gradients)
    }

    /// Derivative of the truth of a disjunction in a weight and in its mark.
    fn derivatives(&self, mark: f64, weight: f64, sum: f64) -> (f64, f64) {
        let slope = with_soft!(self.activation, f64, soft => soft.slope(sum));
        match self.activation {
            Activation::Product { .. } => {
                let shared = slope / (1.0 - weight * mark + EPSILON);
                (mark * shared, weight * shared)
            }
            Activation::Nlaf { alpha, beta, gamma } => {
                let nlaf = Nlaf::<f64, 0, 0>::new(alpha, beta, gamma);
                (slope * nlaf.u(mark) * nlaf.u_slope(weight), slope * nlaf.u_slope(mark) * nlaf.u(weight))
            }
        }
    }
}
