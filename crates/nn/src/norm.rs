//! Layer normalisation (Ba, Kiros and Hinton, 2016) with an explicit backward pass.
//!
//! `y = (x - mean) / √(variance + ε) · weight + bias`, over the last dimension. The mean and the
//! reciprocal of the deviation of every row are kept; the normalised rows are computed again where needed.

use rayon::prelude::*;

use crate::simd::{dot, fma, squares_around, sum, wide};

/// Rows in one task.
const ROWS: usize = 32;

/// Mean and reciprocal deviation of a row.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RowStats {
    mean: f32,
    scale: f32,
}

/// Mean and reciprocal deviation of every row of `x`, `[n, width]`.
///
/// # Panics
/// If `stats` has another length than there are rows.
pub fn row_stats(x: &[f32], width: usize, epsilon: f32, stats: &mut [RowStats]) {
    assert_eq!(x.len(), stats.len() * width, "rows");
    stats.par_chunks_mut(ROWS).zip(x.par_chunks(ROWS * width)).for_each(|(stats, x)| {
        pulp::Arch::new().dispatch(Measure { x, width, epsilon, stats });
    });
}

struct Measure<'a> {
    x: &'a [f32],
    width: usize,
    epsilon: f32,
    stats: &'a mut [RowStats],
}

impl pulp::WithSimd for Measure<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        for (stats, x) in self.stats.iter_mut().zip(self.x.chunks_exact(self.width)) {
            let mean = sum(simd, x) / self.width as f32;
            let variance = squares_around(simd, x, mean) / self.width as f32;
            *stats = RowStats { mean, scale: 1.0 / (variance + self.epsilon).sqrt() };
        }
    }
}

/// Normalised rows: `out[i] = (x[i] - mean) · scale · weight + bias`.
///
/// # Panics
/// If lengths do not fit.
pub fn normalise(x: &[f32], stats: &[RowStats], weight: &[f32], bias: &[f32], out: &mut [f32]) {
    let width = weight.len();
    assert!(x.len() == stats.len() * width && out.len() == x.len() && bias.len() == width, "lengths");
    let rows = out.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width)).zip(stats.par_chunks(ROWS));
    rows.for_each(|((out, x), stats)| {
        wide(
            #[inline(always)]
            || {
                let rows = out.chunks_exact_mut(width).zip(x.chunks_exact(width)).zip(stats);
                for ((out, x), stats) in rows {
                    let parameters = weight.iter().zip(bias);
                    for ((out, x), (weight, bias)) in out.iter_mut().zip(x).zip(parameters) {
                        *out = fma((x - stats.mean) * stats.scale, *weight, *bias);
                    }
                }
            },
        );
    });
}

/// The pass back: adds the gradient by `x` to `grad_x`, and those by weight and bias to `grad_parameters`.
///
/// - `grad_out`: gradient by the normalised rows, `[n, width]`.
///
/// # Panics
/// If lengths do not fit.
pub fn backward(
    x: &[f32],
    stats: &[RowStats],
    weight: &[f32],
    grad_out: &[f32],
    grad_x: &mut [f32],
    grad_parameters: Option<(&mut [f32], &mut [f32])>,
) {
    let width = weight.len();
    assert!(
        x.len() == stats.len() * width && grad_out.len() == x.len() && grad_x.len() == x.len(),
        "lengths"
    );
    let wanted = grad_parameters.is_some();
    let tasks = grad_x
        .par_chunks_mut(ROWS * width)
        .zip(x.par_chunks(ROWS * width))
        .zip(grad_out.par_chunks(ROWS * width))
        .zip(stats.par_chunks(ROWS));
    let parts: Vec<(Vec<f32>, Vec<f32>)> = tasks
        .map(|(((grad_x, x), grad_out), stats)| {
            let size = if wanted { width } else { 0 };
            let (mut for_weight, mut for_bias) = (vec![0.0_f32; size], vec![0.0_f32; size]);
            pulp::Arch::new().dispatch(Backward {
                x,
                stats,
                weight,
                grad_out,
                grad_x,
                parameters: wanted.then_some((&mut for_weight, &mut for_bias)),
            });
            (for_weight, for_bias)
        })
        .collect();
    if let Some((grad_weight, grad_bias)) = grad_parameters {
        for (weight, bias) in parts {
            grad_weight.iter_mut().zip(weight).for_each(|(a, b)| *a += b);
            grad_bias.iter_mut().zip(bias).for_each(|(a, b)| *a += b);
        }
    }
}

struct Backward<'a> {
    x: &'a [f32],
    stats: &'a [RowStats],
    weight: &'a [f32],
    grad_out: &'a [f32],
    grad_x: &'a mut [f32],
    parameters: Option<(&'a mut [f32], &'a mut [f32])>,
}

impl pulp::WithSimd for Backward<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        let Self { x, stats, weight, grad_out, grad_x, mut parameters } = self;
        let width = weight.len();
        let n = width as f32;
        // Gradients by the normalised row, and the normalised row itself.
        let (mut slopes, mut units) = (vec![0.0_f32; width], vec![0.0_f32; width]);
        let rows = grad_x.chunks_exact_mut(width).zip(x.chunks_exact(width));
        for (((grad_x, x), grad_out), stats) in rows.zip(grad_out.chunks_exact(width)).zip(stats) {
            for ((slope, grad), weight) in slopes.iter_mut().zip(grad_out).zip(weight) {
                *slope = grad * weight;
            }
            for (unit, x) in units.iter_mut().zip(x) {
                *unit = (x - stats.mean) * stats.scale;
            }
            let mean = sum(simd, &slopes) / n;
            let along = dot(simd, &slopes, &units) / n;
            for ((grad_x, slope), unit) in grad_x.iter_mut().zip(&slopes).zip(&units) {
                *grad_x += stats.scale * (slope - mean - unit * along);
            }
            if let Some((for_weight, for_bias)) = &mut parameters {
                for ((sum, grad), unit) in for_weight.iter_mut().zip(grad_out).zip(&units) {
                    *sum = fma(*grad, *unit, *sum);
                }
                for (sum, grad) in for_bias.iter_mut().zip(grad_out) {
                    *sum += grad;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    /// In double precision, straight from the formula.
    fn by_hand(x: &[f64], weight: &[f64], bias: &[f64], epsilon: f64) -> Vec<f64> {
        let width = weight.len();
        x.chunks_exact(width)
            .flat_map(|row| {
                let mean = row.iter().sum::<f64>() / width as f64;
                let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                let unit = move |x: &f64| (x - mean) / (variance + epsilon).sqrt();
                row.iter().zip(weight.iter().zip(bias)).map(move |(x, (w, b))| unit(x) * w + b)
            })
            .collect()
    }

    #[test]
    fn gradients_are_numeric_gradients() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let (n, width) = (3, 20);
        let mut draw = |n: usize| (0..n).map(|_| rng.random_range(-1.0_f32..1.0)).collect::<Vec<f32>>();
        let (x, weight, bias, grad_out) = (draw(n * width), draw(width), draw(width), draw(n * width));
        let double = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let loss = |x: &[f64], weight: &[f64], bias: &[f64]| -> f64 {
            by_hand(x, weight, bias, 1e-5).iter().zip(&grad_out).map(|(y, g)| y * f64::from(*g)).sum()
        };
        let mut stats = vec![RowStats::default(); n];
        row_stats(&x, width, 1e-5, &mut stats);
        let mut out = vec![0.0; n * width];
        normalise(&x, &stats, &weight, &bias, &mut out);
        for (found, expected) in out.iter().zip(by_hand(&double(&x), &double(&weight), &double(&bias), 1e-5))
        {
            assert!((f64::from(*found) - expected).abs() < 1e-5);
        }
        let mut grad_x = vec![0.5; n * width];
        let (mut grad_weight, mut grad_bias) = (vec![0.0; width], vec![0.0; width]);
        backward(&x, &stats, &weight, &grad_out, &mut grad_x, Some((&mut grad_weight, &mut grad_bias)));
        let inputs = [double(&x), double(&weight), double(&bias)];
        for (which, found) in [&grad_x, &grad_weight, &grad_bias].into_iter().enumerate() {
            for at in 0..found.len() {
                let moved = |by: f64| {
                    let mut inputs = inputs.clone();
                    inputs[which][at] += by;
                    loss(&inputs[0], &inputs[1], &inputs[2])
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                // `grad_x` is added to what was there.
                let before = if which == 0 { 0.5 } else { 0.0 };
                assert!((f64::from(found[at]) - before - slope).abs() < 2e-5, "{which} {at}");
            }
        }
    }
}
