//! A multi-layer perceptron: dense layers, an activation and dropout between them, optionally a linear
//! path from input to output beside them.

use std::borrow::Cow;
use std::collections::HashMap;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;
use safetensors::tensor::{Metadata, TensorView};
use safetensors::{Dtype, SafeTensors};

use crate::product::{Operand, multiply};
use crate::{Matrix, NnError};

/// What stands between two dense layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `max(0, x)`.
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// Nothing: the layers make one linear map.
    Identity,
}

/// Shape of a net.
#[derive(Debug, Clone, PartialEq)]
pub struct MlpConfig {
    /// Widths from input to output, at least two.
    pub sizes: Vec<usize>,
    /// Between the layers; none after the last.
    pub activation: Activation,
    /// Share of values dropped after each hidden layer, one a hidden layer.
    pub dropout: Vec<f32>,
    /// Adds a linear map of the input to the output. It begins as the identity and the last layer at
    /// zero, so an untrained net returns its input (as far as the sizes agree).
    pub residual_io: bool,
    /// Seed of the initial weights.
    pub seed: u64,
}

impl MlpConfig {
    /// Checks sizes and dropout.
    ///
    /// # Errors
    /// [`NnError::Sizes`] or [`NnError::Dropout`].
    pub fn validate(&self) -> Result<(), NnError> {
        if self.sizes.len() < 2 || self.sizes.contains(&0) {
            return Err(NnError::Sizes { sizes: self.sizes.clone() });
        }
        let n_hidden = self.sizes.len() - 2;
        if self.dropout.len() != n_hidden || !self.dropout.iter().all(|p| (0.0..1.0).contains(p)) {
            return Err(NnError::Dropout { dropout: self.dropout.clone(), n_hidden });
        }
        Ok(())
    }
}

/// `y = x · weightᵀ + bias`, as `torch.nn.Linear`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dense {
    /// `[n_out, n_in]`.
    pub(crate) weight: Matrix,
    /// `[n_out]`; empty for a layer without bias.
    pub(crate) bias: Vec<f32>,
}

impl Dense {
    /// `PyTorch`'s default: weights and biases uniform in ±1/√n_in.
    fn new(n_in: usize, n_out: usize, rng: &mut Xoshiro256PlusPlus) -> Self {
        let bound = 1.0 / (n_in as f32).sqrt();
        let mut draw = |n: usize| (0..n).map(|_| rng.random_range(-bound..bound)).collect::<Vec<f32>>();
        Self { weight: Matrix::from_vec(n_out, n_in, draw(n_out * n_in)), bias: draw(n_out) }
    }

    fn zeros_like(&self) -> Self {
        Self {
            weight: Matrix::zeros(self.weight.rows(), self.weight.cols()),
            bias: vec![0.0; self.bias.len()],
        }
    }
}

/// Gradient of the loss by every parameter.
#[derive(Debug, Clone)]
pub struct Gradients {
    pub(crate) layers: Vec<Dense>,
    pub(crate) skip: Option<Dense>,
}

impl Gradients {
    /// Euclidean length of all gradients together.
    pub fn norm(&self) -> f32 {
        let square = |values: &[f32]| values.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>();
        let sum: f64 = self
            .layers
            .iter()
            .chain(&self.skip)
            .map(|layer| square(layer.weight.as_slice()) + square(&layer.bias))
            .sum();
        sum.sqrt() as f32
    }

    /// Scales all gradients so that their length is at most `max_norm`; returns the length before.
    pub fn clip(&mut self, max_norm: f32) -> f32 {
        let norm = self.norm();
        if norm > max_norm {
            let factor = max_norm / norm;
            for layer in self.layers.iter_mut().chain(&mut self.skip) {
                layer.weight.as_mut_slice().iter_mut().chain(&mut layer.bias).for_each(|x| *x *= factor);
            }
        }
        norm
    }
}

/// Buffers of a training step; made once and used for every batch.
#[derive(Debug)]
pub struct Workspace {
    /// Input of every layer and the output: `[batch, sizes[i]]`.
    activations: Vec<Matrix>,
    /// Gradient by the values of every layer but the input.
    deltas: Vec<Matrix>,
    gradients: Gradients,
}

impl Workspace {
    /// Buffers for batches of `batch` rows (other sizes work and resize them).
    pub fn new(net: &Mlp, batch: usize) -> Self {
        let sizes = &net.config.sizes;
        Self {
            activations: sizes.iter().map(|&size| Matrix::zeros(batch, size)).collect(),
            deltas: sizes[1..].iter().map(|&size| Matrix::zeros(batch, size)).collect(),
            gradients: Gradients {
                layers: net.layers.iter().map(Dense::zeros_like).collect(),
                skip: net.skip.as_ref().map(Dense::zeros_like),
            },
        }
    }

    /// Gradients of the last [`Mlp::backward`].
    pub fn gradients(&self) -> &Gradients {
        &self.gradients
    }

    /// Gradients of the last [`Mlp::backward`], to clip them.
    pub fn gradients_mut(&mut self) -> &mut Gradients {
        &mut self.gradients
    }
}

/// A multi-layer perceptron.
#[derive(Debug, Clone, PartialEq)]
pub struct Mlp {
    config: MlpConfig,
    pub(crate) layers: Vec<Dense>,
    pub(crate) skip: Option<Dense>,
}

impl Mlp {
    /// A net with initial weights drawn from the seed.
    ///
    /// # Errors
    /// Those of [`MlpConfig::validate`].
    pub fn new(config: &MlpConfig) -> Result<Self, NnError> {
        config.validate()?;
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(config.seed);
        let mut layers: Vec<Dense> =
            config.sizes.windows(2).map(|pair| Dense::new(pair[0], pair[1], &mut rng)).collect();
        let skip = config.residual_io.then(|| {
            if let Some(last) = layers.last_mut() {
                *last = last.zeros_like();
            }
            let (n_in, n_out) = (config.sizes[0], config.sizes[config.sizes.len() - 1]);
            let mut weight = Matrix::zeros(n_out, n_in);
            for i in 0..n_in.min(n_out) {
                weight.row_mut(i)[i] = 1.0;
            }
            Dense { weight, bias: Vec::new() }
        });
        Ok(Self { config: config.clone(), layers, skip })
    }

    /// The shape.
    pub fn config(&self) -> &MlpConfig {
        &self.config
    }

    /// Number of trained values.
    pub fn n_parameters(&self) -> usize {
        self.layers
            .iter()
            .chain(&self.skip)
            .map(|layer| layer.weight.as_slice().len() + layer.bias.len())
            .sum()
    }

    /// Output for `input`, without dropout: `[batch, n_in] → [batch, n_out]`.
    ///
    /// # Panics
    /// If the width of the input differs.
    pub fn forward(&self, input: &Matrix) -> Matrix {
        let mut current = Cow::Borrowed(input);
        for (at, layer) in self.layers.iter().enumerate() {
            let mut next = Matrix::zeros(input.rows(), layer.weight.rows());
            self.forward_layer(at, &current, &mut next, None);
            current = Cow::Owned(next);
        }
        let mut output = current.into_owned();
        if let Some(skip) = &self.skip {
            multiply(input.into(), Operand::transposed(&skip.weight), &mut output, true);
        }
        output
    }

    /// Output for a training batch, keeping in `workspace` what [`Mlp::backward`] needs.
    ///
    /// - `input`: `[batch, n_in]`; returns `[batch, n_out]`.
    /// - `step_seed`: dropout is drawn from it, layer and place alone; give every step its own.
    ///
    /// # Panics
    /// If the width of the input differs.
    pub fn forward_train<'w>(
        &self,
        input: &Matrix,
        step_seed: u64,
        workspace: &'w mut Workspace,
    ) -> &'w Matrix {
        for matrix in workspace.activations.iter_mut().chain(&mut workspace.deltas) {
            matrix.set_rows(input.rows());
        }
        workspace.activations[0].as_mut_slice().copy_from_slice(input.as_slice());
        for at in 0..self.layers.len() {
            let (before, after) = workspace.activations.split_at_mut(at + 1);
            self.forward_layer(at, &before[at], &mut after[0], Some(step_seed));
        }
        let last = workspace.activations.len() - 1;
        if let Some(skip) = &self.skip {
            let (before, after) = workspace.activations.split_at_mut(last);
            multiply((&before[0]).into(), Operand::transposed(&skip.weight), &mut after[0], true);
        }
        &workspace.activations[last]
    }

    /// One layer with bias, activation and dropout in one pass over its output.
    fn forward_layer(&self, at: usize, input: &Matrix, output: &mut Matrix, step_seed: Option<u64>) {
        let layer = &self.layers[at];
        multiply(input.into(), Operand::transposed(&layer.weight), output, false);
        let width = layer.bias.len();
        if at + 1 == self.layers.len() {
            for_each_row(
                output,
                width,
                #[inline(always)]
                |_, row| {
                    row.iter_mut().zip(&layer.bias).for_each(|(x, bias)| *x += bias);
                },
            );
            return;
        }
        let dropout = self.config.dropout[at];
        let drop = step_seed.filter(|_| dropout > 0.0).map(|seed| Dropout::new(dropout, seed, at));
        // One loop an activation, so that none has a branch inside.
        match self.config.activation {
            Activation::Relu => activate(output, &layer.bias, drop, |x| x.max(0.0)),
            Activation::Tanh => activate(output, &layer.bias, drop, f32::tanh),
            Activation::Identity => activate(output, &layer.bias, drop, |x| x),
        }
    }

    /// Gradients of all parameters for the batch of the last [`Mlp::forward_train`].
    ///
    /// - `grad_output`: gradient of the loss by the output, `[batch, n_out]`.
    /// - `step_seed` of the forward pass is remembered in the activations: what was dropped is 0 there.
    ///
    /// # Panics
    /// If the shape differs from the output's.
    pub fn backward(&self, grad_output: &Matrix, workspace: &mut Workspace) {
        let n_layers = self.layers.len();
        let Workspace { activations, deltas, gradients } = workspace;
        deltas[n_layers - 1].as_mut_slice().copy_from_slice(grad_output.as_slice());
        if let Some(skip) = &mut gradients.skip {
            multiply(Operand::transposed(grad_output), (&activations[0]).into(), &mut skip.weight, false);
        }
        for at in (0..n_layers).rev() {
            let gradient = &mut gradients.layers[at];
            multiply(
                Operand::transposed(&deltas[at]),
                (&activations[at]).into(),
                &mut gradient.weight,
                false,
            );
            gradient.bias.fill(0.0);
            for row in deltas[at].as_slice().chunks_exact(gradient.bias.len()) {
                gradient.bias.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
            if at == 0 {
                break;
            }
            let (before, after) = deltas.split_at_mut(at);
            let delta = &mut before[at - 1];
            multiply((&after[0]).into(), (&self.layers[at].weight).into(), delta, false);
            self.through_activation(at - 1, &activations[at], delta);
        }
    }

    /// Turns the gradient by a hidden layer's output (after dropout) into that by its sums.
    fn through_activation(&self, at: usize, output: &Matrix, delta: &mut Matrix) {
        let keep = 1.0 - self.config.dropout[at];
        match self.config.activation {
            Activation::Relu => chain(output, delta, keep, |y| if y > 0.0 { 1.0 } else { 0.0 }),
            Activation::Tanh => chain(output, delta, keep, |y| 1.0 - y * y),
            Activation::Identity => chain(output, delta, keep, |_| 1.0),
        }
    }

    /// Names and layers, as in a file.
    fn named(&self) -> Vec<(String, &Dense)> {
        let layers = self.layers.iter().enumerate().map(|(at, layer)| (format!("layers.{at}"), layer));
        layers.chain(self.skip.as_ref().map(|skip| ("skip".to_owned(), skip))).collect()
    }

    /// The weights as a safetensors file, named like `torch.nn.Linear`'s (`layers.0.weight`
    /// `[n_out, n_in]`, `layers.0.bias`, …, `skip.weight`), with `metadata` in its header.
    ///
    /// # Errors
    /// [`NnError::File`] if the file would be too large for the format.
    pub fn to_safetensors(&self, metadata: &[(&str, &str)]) -> Result<Vec<u8>, NnError> {
        let mut tensors = Vec::new();
        for (name, layer) in self.named() {
            let shape = vec![layer.weight.rows(), layer.weight.cols()];
            let bytes = bytemuck::cast_slice(layer.weight.as_slice());
            tensors.push((format!("{name}.weight"), TensorView::new(Dtype::F32, shape, bytes)?));
            if !layer.bias.is_empty() {
                let bytes = bytemuck::cast_slice(&layer.bias);
                tensors.push((
                    format!("{name}.bias"),
                    TensorView::new(Dtype::F32, vec![layer.bias.len()], bytes)?,
                ));
            }
        }
        let metadata: HashMap<String, String> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let metadata = (!metadata.is_empty()).then_some(metadata);
        Ok(safetensors::serialize(tensors, metadata)?)
    }

    /// Reads weights written by [`Mlp::to_safetensors`] (or saved from PyTorch under the same names).
    ///
    /// # Errors
    /// [`NnError`] naming the tensor that is missing or has another shape.
    pub fn from_safetensors(config: &MlpConfig, bytes: &[u8]) -> Result<Self, NnError> {
        let mut net = Self::new(config)?;
        let file = SafeTensors::deserialize(bytes)?;
        let read = |name: &str, shape: &[usize], into: &mut [f32]| -> Result<(), NnError> {
            let missing = || NnError::Tensor { name: name.to_owned() };
            let tensor = file.tensor(name).map_err(|_| missing())?;
            if tensor.shape() != shape {
                return Err(NnError::Shape {
                    name: name.to_owned(),
                    found: tensor.shape().to_vec(),
                    expected: shape.to_vec(),
                });
            }
            if tensor.dtype() != Dtype::F32 {
                return Err(missing());
            }
            for (value, bytes) in into.iter_mut().zip(tensor.data().as_chunks::<4>().0) {
                *value = f32::from_le_bytes(*bytes);
            }
            Ok(())
        };
        let names: Vec<String> = net.named().into_iter().map(|(name, _)| name).collect();
        for (name, layer) in names.iter().zip(net.layers.iter_mut().chain(&mut net.skip)) {
            let shape = [layer.weight.rows(), layer.weight.cols()];
            read(&format!("{name}.weight"), &shape, layer.weight.as_mut_slice())?;
            if !layer.bias.is_empty() {
                let width = layer.bias.len();
                read(&format!("{name}.bias"), &[width], &mut layer.bias)?;
            }
        }
        Ok(net)
    }
}

/// The metadata in the header of a safetensors file; empty if there is none.
///
/// # Errors
/// [`NnError::File`] if the bytes are no such file.
pub fn safetensors_metadata(bytes: &[u8]) -> Result<HashMap<String, String>, NnError> {
    let (_, metadata): (usize, Metadata) = SafeTensors::read_metadata(bytes)?;
    Ok(metadata.metadata().clone().unwrap_or_default())
}

/// Rows handled by one task in element-wise passes.
const ROWS_PER_TASK: usize = 32;

/// Calls `with` for every row with its number, in the widest vector instructions of the machine. Every
/// element is computed alone, so their width does not change a bit of the result.
fn for_each_row(matrix: &mut Matrix, width: usize, with: impl Fn(usize, &mut [f32]) + Sync) {
    if width == 0 {
        return;
    }
    matrix.as_mut_slice().par_chunks_mut(ROWS_PER_TASK * width).enumerate().for_each(|(task, rows)| {
        pulp::Arch::new().dispatch(RowTask { rows, width, first: task * ROWS_PER_TASK, with: &with });
    });
}

/// Rows of one task with what is to be done to them. Everything below `with_simd` must be inlined, or it
/// would be compiled apart, without the wide instructions.
struct RowTask<'a, F> {
    rows: &'a mut [f32],
    width: usize,
    first: usize,
    with: &'a F,
}

impl<F: Fn(usize, &mut [f32])> pulp::WithSimd for RowTask<'_, F> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        for (at, row) in self.rows.chunks_exact_mut(self.width).enumerate() {
            (self.with)(self.first + at, row);
        }
    }
}

/// Adds the bias, applies the activation, and drops some values if asked.
fn activate(
    output: &mut Matrix,
    bias: &[f32],
    drop: Option<Dropout>,
    activation: impl Fn(f32) -> f32 + Sync,
) {
    let width = bias.len();
    match drop {
        Some(drop) => for_each_row(
            output,
            width,
            #[inline(always)]
            |row_idx, row| {
                let first = (row_idx * width) as u32;
                for (col, (x, bias)) in row.iter_mut().zip(bias).enumerate() {
                    *x = activation(*x + bias) * drop.factor(first.wrapping_add(col as u32));
                }
            },
        ),
        None => for_each_row(
            output,
            width,
            #[inline(always)]
            |_, row| {
                row.iter_mut().zip(bias).for_each(|(x, bias)| *x = activation(*x + bias));
            },
        ),
    }
}

/// Multiplies `delta` by the derivative of the activation, which is given by the activation's value, and
/// by what dropout multiplied with.
fn chain(output: &Matrix, delta: &mut Matrix, keep: f32, derivative: impl Fn(f32) -> f32 + Sync) {
    let width = delta.cols();
    let output = output.as_slice();
    let (scale, drops) = (1.0 / keep, keep < 1.0);
    for_each_row(
        delta,
        width,
        #[inline(always)]
        |row_idx, row| {
            let output = &output[row_idx * width..][..width];
            for (x, &y) in row.iter_mut().zip(output) {
                // What was kept was scaled by 1 / keep; what was dropped is exactly 0, and so is its gradient.
                // (A kept value of exactly 0 has derivative 0 under ReLU too; for the other activations it
                // has measure zero.)
                let slope = scale * derivative(y * keep);
                *x *= if drops && (y == 0.0) { 0.0 } else { slope };
            }
        },
    );
}

/// Inverted dropout, drawn place by place from a hash: no stream to share between threads.
struct Dropout {
    scale: f32,
    /// Values whose hash is below are dropped.
    threshold: u32,
    key: u32,
}

impl Dropout {
    fn new(share: f32, step_seed: u64, layer: usize) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(step_seed.wrapping_add(layer as u64));
        let threshold = (f64::from(share) * f64::from(u32::MAX)) as u32;
        Self { scale: 1.0 / (1.0 - share), threshold, key: rng.random() }
    }

    /// 0 if the value at `place` is dropped, else the scale that keeps the mean.
    #[allow(clippy::inline_always, reason = "as `with_simd`")]
    #[inline(always)]
    fn factor(&self, place: u32) -> f32 {
        // Wellons' lowbias32: two multiplications, every output bit depends on every input bit.
        let mut x = place ^ self.key;
        x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
        x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
        x ^= x >> 16;
        if x < self.threshold { 0.0 } else { self.scale }
    }
}
