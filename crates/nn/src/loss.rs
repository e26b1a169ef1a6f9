//! Losses with their gradients by the prediction.

use rayon::prelude::*;

use crate::Matrix;
use crate::product::{Operand, multiply};

/// What training minimises; always a mean over the batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// Mean absolute difference over all elements (`torch.nn.L1Loss`). The derivative at 0 is 0.
    L1,
    /// Mean squared difference over all elements (`torch.nn.MSELoss`).
    Mse,
    /// 1 - cosine of prediction and target; a row without direction costs 1 and has no gradient.
    Cosine,
    /// Cross entropy of each row's own target among all targets of the batch, by cosine over
    /// temperature (`InfoNCE`; van den Oord, Li and Vinyals, 2018). Other rows with the very same target
    /// are left out: they are not wrong.
    InBatchContrastive {
        /// Divides the cosines; small values look at the hardest targets only.
        temperature: f32,
    },
}

impl Loss {
    /// Value of the loss, and its gradient by `predicted` into `grad`.
    ///
    /// - `predicted`, `target`, `grad`: `[batch, n]`; `grad` is overwritten.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn value_and_grad(&self, predicted: &Matrix, target: &Matrix, grad: &mut Matrix) -> f32 {
        let shape = (predicted.rows(), predicted.cols());
        assert_eq!(shape, (target.rows(), target.cols()), "shapes of prediction and target");
        assert_eq!(shape, (grad.rows(), grad.cols()), "shapes of prediction and gradient");
        if shape.0 == 0 || shape.1 == 0 {
            return 0.0;
        }
        match *self {
            Self::L1 => elementwise(predicted, target, grad, |difference, n| {
                // `signum` of 0 is 1 in Rust.
                let sign = if difference == 0.0 { 0.0 } else { difference.signum() };
                (difference.abs(), sign / n)
            }),
            Self::Mse => elementwise(predicted, target, grad, |difference, n| {
                (difference * difference, 2.0 * difference / n)
            }),
            Self::Cosine => cosine(predicted, target, grad),
            Self::InBatchContrastive { temperature } => contrastive(predicted, target, grad, temperature),
        }
    }
}

fn elementwise(
    predicted: &Matrix,
    target: &Matrix,
    grad: &mut Matrix,
    part: impl Fn(f32, f32) -> (f32, f32) + Sync,
) -> f32 {
    let cols = predicted.cols();
    let n = predicted.as_slice().len() as f32;
    let rows = grad.as_mut_slice().par_chunks_mut(cols);
    let rows = rows.zip(predicted.as_slice().par_chunks(cols)).zip(target.as_slice().par_chunks(cols));
    let sums: Vec<f32> = rows
        .with_min_len(32)
        .map(|((grad, predicted), target)| {
            let mut sum = 0.0;
            for ((grad, predicted), target) in grad.iter_mut().zip(predicted).zip(target) {
                let (value, slope) = part(predicted - target, n);
                sum += value;
                *grad = slope;
            }
            sum
        })
        .collect();
    (sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() / f64::from(n)) as f32
}

fn norm(row: &[f32]) -> f32 {
    row.iter().map(|x| x * x).sum::<f32>().sqrt()
}

fn cosine(predicted: &Matrix, target: &Matrix, grad: &mut Matrix) -> f32 {
    let n = predicted.rows();
    let mut sum = 0.0;
    for row in 0..n {
        let (p, t) = (predicted.row(row), target.row(row));
        let (length_p, length_t) = (norm(p), norm(t));
        if length_p == 0.0 || length_t == 0.0 {
            grad.row_mut(row).fill(0.0);
            sum += 1.0;
            continue;
        }
        let value = p.iter().zip(t).map(|(p, t)| p * t).sum::<f32>() / (length_p * length_t);
        sum += f64::from(1.0 - value);
        for ((grad, p), t) in grad.row_mut(row).iter_mut().zip(p).zip(t) {
            *grad = (value * p / length_p - t / length_t) / (length_p * n as f32);
        }
    }
    (sum / n as f64) as f32
}

/// Unit rows and the lengths they had.
fn unit_rows(matrix: &Matrix) -> (Matrix, Vec<f32>) {
    let mut unit = matrix.clone();
    let lengths = unit
        .as_mut_slice()
        .par_chunks_mut(matrix.cols())
        .map(|row| {
            let length = norm(row);
            if length > 0.0 {
                row.iter_mut().for_each(|x| *x /= length);
            }
            length
        })
        .collect();
    (unit, lengths)
}

fn contrastive(predicted: &Matrix, target: &Matrix, grad: &mut Matrix, temperature: f32) -> f32 {
    let (n, cols) = (predicted.rows(), predicted.cols());
    let (unit_p, lengths) = unit_rows(predicted);
    let (unit_t, _) = unit_rows(target);
    let mut shares = Matrix::zeros(n, n);
    multiply((&unit_p).into(), Operand::transposed(&unit_t), &mut shares, false);
    // Cosines become the derivative by the logits: softmax minus one at the own target.
    let losses: Vec<f64> = shares
        .as_mut_slice()
        .par_chunks_mut(n)
        .enumerate()
        .map(|(row, logits)| {
            let own = target.row(row);
            for (other, logit) in logits.iter_mut().enumerate() {
                let same = other != row && target.row(other) == own;
                *logit = if same { f32::NEG_INFINITY } else { *logit / temperature };
            }
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let own_logit = logits[row];
            let mut sum = 0.0_f32;
            for logit in logits.iter_mut() {
                *logit = (*logit - largest).exp();
                sum += *logit;
            }
            logits.iter_mut().for_each(|share| *share /= sum);
            logits[row] -= 1.0;
            f64::from(sum.ln() + largest - own_logit)
        })
        .collect();
    multiply((&shares).into(), (&unit_t).into(), grad, false);
    let scale = 1.0 / (temperature * n as f32);
    grad.as_mut_slice().par_chunks_mut(cols).enumerate().for_each(|(row, grad)| {
        let (unit, length) = (unit_p.row(row), lengths[row]);
        if length == 0.0 {
            grad.fill(0.0);
            return;
        }
        // Through the normalisation: only what is across the prediction changes its direction.
        let along: f32 = grad.iter().zip(unit).map(|(g, u)| g * u).sum();
        for (g, u) in grad.iter_mut().zip(unit) {
            *g = (*g - along * u) * scale / length;
        }
    });
    (losses.iter().sum::<f64>() / n as f64) as f32
}
