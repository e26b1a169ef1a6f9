//! Gradient descent: SGD with momentum, Adam, AdamW; the arithmetic of PyTorch's.

use rayon::prelude::*;

use crate::mlp::{Dense, Gradients};
use crate::simd::wide;
use crate::{Mlp, NnError};

/// Constants of Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamConfig {
    /// Step size.
    pub learning_rate: f32,
    /// Decay of the mean of gradients.
    pub beta1: f32,
    /// Decay of the mean of squared gradients.
    pub beta2: f32,
    /// Added to the root of the mean square.
    pub epsilon: f32,
    /// Weight decay; biases are never decayed.
    pub weight_decay: f32,
    /// Decay weights directly (AdamW) instead of through the gradient.
    pub decoupled: bool,
}

impl Default for AdamConfig {
    fn default() -> Self {
        Self {
            learning_rate: 1e-3,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
        }
    }
}

#[derive(Debug, Clone)]
enum Method {
    Sgd { learning_rate: f32, momentum: f32, weight_decay: f32 },
    Adam(AdamConfig),
}

/// One step of Adam or AdamW over some values; `n_steps` counts this one. `factor` scales the gradients
/// first, so that clipping needs no pass of its own.
#[allow(clippy::too_many_arguments, reason = "the state of Adam is what it is")]
fn adam_update(
    config: &AdamConfig,
    n_steps: u64,
    decayed: bool,
    factor: f32,
    values: &mut [f32],
    gradients: &[f32],
    first: &mut [f32],
    second: &mut [f32],
) {
    const CHUNK: usize = 1 << 14;
    let decay = if decayed { config.weight_decay } else { 0.0 };
    let (in_gradient, direct) =
        if config.decoupled { (0.0, 1.0 - config.learning_rate * decay) } else { (decay, 1.0) };
    let correction = |beta: f32| (1.0 - f64::from(beta).powf(n_steps as f64)) as f32;
    let step_size = config.learning_rate / correction(config.beta1);
    let root = correction(config.beta2).sqrt();
    let (beta1, beta2, epsilon) = (config.beta1, config.beta2, config.epsilon);
    let chunks = values.par_chunks_mut(CHUNK).zip(gradients.par_chunks(CHUNK));
    let chunks = chunks.zip(first.par_chunks_mut(CHUNK)).zip(second.par_chunks_mut(CHUNK));
    chunks.for_each(|(((values, gradients), first), second)| {
        wide(
            #[inline(always)]
            || {
                let state = first.iter_mut().zip(second);
                for ((value, gradient), (mean, square)) in values.iter_mut().zip(gradients).zip(state) {
                    let gradient = factor * gradient + in_gradient * *value;
                    *mean += (1.0 - beta1) * (gradient - *mean);
                    *square = beta2 * *square + (1.0 - beta2) * gradient * gradient;
                    *value = *value * direct - step_size * *mean / (square.sqrt() / root + epsilon);
                }
            },
        );
    });
}

/// Adam or AdamW for values of the caller's own, all in one row; [`Optimizer`] is for an [`Mlp`].
#[derive(Debug, Clone)]
pub struct Adam {
    config: AdamConfig,
    n_steps: u64,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl Adam {
    /// For `n` values.
    pub fn new(n: usize, config: AdamConfig) -> Self {
        Self { config, n_steps: 0, first: vec![0.0; n], second: vec![0.0; n] }
    }

    /// Changes the step size, for schedules.
    pub fn set_learning_rate(&mut self, rate: f32) {
        self.config.learning_rate = rate;
    }

    /// Takes one step with gradients times `factor`.
    ///
    /// - `groups`: lengths of consecutive values, each with whether they are decayed.
    ///
    /// # Panics
    /// If lengths do not fit.
    pub fn step(&mut self, values: &mut [f32], gradients: &[f32], factor: f32, groups: &[(usize, bool)]) {
        let n: usize = groups.iter().map(|(length, _)| length).sum();
        assert!(n == values.len() && n == gradients.len() && n == self.first.len(), "lengths");
        self.n_steps += 1;
        let mut place = 0;
        for &(length, decayed) in groups {
            let range = place..place + length;
            adam_update(
                &self.config,
                self.n_steps,
                decayed,
                factor,
                &mut values[range.clone()],
                &gradients[range.clone()],
                &mut self.first[range.clone()],
                &mut self.second[range],
            );
            place += length;
        }
    }

    /// Steps taken, means of gradients, means of squared gradients: what a checkpoint keeps.
    pub fn state(&self) -> (u64, &[f32], &[f32]) {
        (self.n_steps, &self.first, &self.second)
    }

    /// Puts a saved state back.
    ///
    /// # Errors
    /// [`NnError::State`] if the lengths do not fit.
    pub fn restore(&mut self, n_steps: u64, first: Vec<f32>, second: Vec<f32>) -> Result<(), NnError> {
        let expected = self.first.len();
        if first.len() != expected || second.len() != expected {
            let found = 4 * (first.len() + second.len());
            return Err(NnError::State { found, expected: 8 * expected });
        }
        (self.n_steps, self.first, self.second) = (n_steps, first, second);
        Ok(())
    }
}

/// An optimiser with its state for one net.
#[derive(Debug, Clone)]
pub struct Optimizer {
    method: Method,
    n_steps: u64,
    /// Momentum or mean of gradients, a slot a parameter.
    first: Vec<f32>,
    /// Mean of squared gradients (Adam).
    second: Vec<f32>,
}

impl Optimizer {
    /// Stochastic gradient descent; `weight_decay` is added to the gradient of weights, not of biases.
    pub fn sgd(net: &Mlp, learning_rate: f32, momentum: f32, weight_decay: f32) -> Self {
        let n = if momentum > 0.0 { net.n_parameters() } else { 0 };
        let method = Method::Sgd { learning_rate, momentum, weight_decay };
        Self { method, n_steps: 0, first: vec![0.0; n], second: Vec::new() }
    }

    /// Adam or AdamW.
    pub fn adam(net: &Mlp, config: AdamConfig) -> Self {
        let n = net.n_parameters();
        Self { method: Method::Adam(config), n_steps: 0, first: vec![0.0; n], second: vec![0.0; n] }
    }

    /// Changes the step size, for schedules.
    pub fn set_learning_rate(&mut self, rate: f32) {
        match &mut self.method {
            Method::Sgd { learning_rate, .. } => *learning_rate = rate,
            Method::Adam(config) => config.learning_rate = rate,
        }
    }

    /// Takes one step.
    ///
    /// # Panics
    /// If the gradients are of another net.
    pub fn step(&mut self, net: &mut Mlp, gradients: &Gradients) {
        self.n_steps += 1;
        let mut place = 0;
        let layers = net.layers.iter_mut().chain(&mut net.skip);
        for (Dense { weight, bias }, gradient) in layers.zip(gradients.layers.iter().chain(&gradients.skip)) {
            place = self.update(place, weight.as_mut_slice(), gradient.weight.as_slice(), true);
            place = self.update(place, bias, &gradient.bias, false);
        }
    }

    /// Updates the parameters whose state begins at `place`; returns where the next begin.
    fn update(&mut self, place: usize, values: &mut [f32], gradients: &[f32], is_weight: bool) -> usize {
        const CHUNK: usize = 1 << 14;
        assert_eq!(values.len(), gradients.len(), "gradients of this net");
        let end = place + values.len();
        let chunks = values.par_chunks_mut(CHUNK).zip(gradients.par_chunks(CHUNK));
        match self.method {
            Method::Sgd { learning_rate, momentum, weight_decay } => {
                let decay = if is_weight { weight_decay } else { 0.0 };
                if momentum > 0.0 {
                    let velocity = self.first[place..end].par_chunks_mut(CHUNK);
                    let is_first = self.n_steps == 1;
                    chunks.zip(velocity).for_each(|((values, gradients), velocity)| {
                        for ((value, gradient), velocity) in values.iter_mut().zip(gradients).zip(velocity) {
                            let gradient = gradient + decay * *value;
                            *velocity = if is_first { gradient } else { momentum * *velocity + gradient };
                            *value -= learning_rate * *velocity;
                        }
                    });
                } else {
                    chunks.for_each(|(values, gradients)| {
                        for (value, gradient) in values.iter_mut().zip(gradients) {
                            *value -= learning_rate * (gradient + decay * *value);
                        }
                    });
                }
            }
            Method::Adam(config) => {
                let first = &mut self.first[place..end];
                let second = &mut self.second[place..end];
                adam_update(&config, self.n_steps, is_weight, 1.0, values, gradients, first, second);
            }
        }
        end
    }

    /// The state (not the settings) for a checkpoint: step count, then all means, little endian.
    pub fn state_bytes(&self) -> Vec<u8> {
        let mut bytes = self.n_steps.to_le_bytes().to_vec();
        for value in self.first.iter().chain(&self.second) {
            bytes.extend(value.to_le_bytes());
        }
        bytes
    }

    /// Puts a saved state back into an optimiser made for the same net with the same settings.
    ///
    /// # Errors
    /// [`NnError::State`] if the length does not fit.
    pub fn load_state(&mut self, bytes: &[u8]) -> Result<(), NnError> {
        let expected = 8 + 4 * (self.first.len() + self.second.len());
        let (Some((head, rest)), true) = (bytes.split_first_chunk::<8>(), bytes.len() == expected) else {
            return Err(NnError::State { found: bytes.len(), expected });
        };
        self.n_steps = u64::from_le_bytes(*head);
        for (value, bytes) in self.first.iter_mut().chain(&mut self.second).zip(rest.as_chunks::<4>().0) {
            *value = f32::from_le_bytes(*bytes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adam_over_a_row_is_adam_over_a_net() {
        use crate::{Activation, Loss, Matrix, MlpConfig, Workspace};
        let config = MlpConfig {
            sizes: vec![3, 2],
            activation: Activation::Identity,
            dropout: Vec::new(),
            residual_io: false,
            seed: 4,
        };
        let adam = AdamConfig { weight_decay: 0.1, decoupled: true, ..AdamConfig::default() };
        let mut net = Mlp::new(&config).unwrap();
        let flat = |net: &Mlp| [net.layers[0].weight.as_slice(), &net.layers[0].bias].concat();
        let mut values = flat(&net);
        let (mut of_net, mut of_row) = (Optimizer::adam(&net, adam), Adam::new(8, adam));
        let mut workspace = Workspace::new(&net, 1);
        let input = Matrix::from_rows(&[&[1.0, -2.0, 0.5]]);
        let mut gradient = Matrix::zeros(1, 2);
        for _ in 0..5 {
            let predicted = net.forward_train(&input, 0, &mut workspace);
            Loss::Mse.value_and_grad(predicted, &Matrix::zeros(1, 2), &mut gradient);
            net.backward(&gradient, &mut workspace);
            let layer = &workspace.gradients().layers[0];
            let doubled: Vec<f32> =
                [layer.weight.as_slice(), &layer.bias].concat().iter().map(|x| 2.0 * x).collect();
            of_net.step(&mut net, workspace.gradients());
            of_row.step(&mut values, &doubled, 0.5, &[(6, true), (2, false)]);
        }
        assert_eq!(values, flat(&net));
        let (n_steps, first, second) = of_row.state();
        assert_eq!(n_steps, 5);
        let (first, second) = (first.to_vec(), second.to_vec());
        let mut other = Adam::new(8, adam);
        other.restore(n_steps, first, second).unwrap();
        let mut again = values.clone();
        of_row.step(&mut values, &[0.1; 8], 1.0, &[(8, true)]);
        other.step(&mut again, &[0.1; 8], 1.0, &[(8, true)]);
        assert_eq!(values, again);
        assert!(other.restore(1, vec![0.0], vec![0.0]).is_err());
    }
}
