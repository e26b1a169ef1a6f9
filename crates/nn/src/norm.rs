//! Layer normalisation (Ba, Kiros and Hinton, 2016) with an explicit backward pass.
//!
//! `y = (x - mean) / √(variance + ε) · weight + bias`, over the last dimension. The mean and the
//! reciprocal of the deviation of every row are kept; the normalised rows are computed again where needed.

use rayon::prelude::*;

use crate::simd::{fma, sum_by, wide};

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
        wide(
            #[inline(always)]
            || {
                for (stats, x) in stats.iter_mut().zip(x.chunks_exact(width)) {
                    let mean = sum_by(x, |x| x) / width as f32;
                    let variance = sum_by(x, |x| (x - mean) * (x - mean)) / width as f32;
                    *stats = RowStats { mean, scale: 1.0 / (variance + epsilon).sqrt() };
                }
            },
        );
    });
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
    let n = width as f32;
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
            wide(
                #[inline(always)]
                || {
                    let rows = grad_x
                        .chunks_exact_mut(width)
                        .zip(x.chunks_exact(width))
                        .zip(grad_out.chunks_exact(width))
                        .zip(stats);
                    for (((grad_x, x), grad_out), stats) in rows {
                        let (mut sum, mut along) = ([0.0_f32; 16], [0.0_f32; 16]);
                        let mut at = 0;
                        while at < width {
                            let end = (at + 16).min(width);
                            for i in at..end {
                                let d = grad_out[i] * weight[i];
                                sum[i - at] += d;
                                along[i - at] = fma(d, (x[i] - stats.mean) * stats.scale, along[i - at]);
                            }
                            at = end;
                        }
                        let (sum, along) = (crate::simd::fold(sum) / n, crate::simd::fold(along) / n);
                        for i in 0..width {
                            let unit = (x[i] - stats.mean) * stats.scale;
                            grad_x[i] += stats.scale * (grad_out[i] * weight[i] - sum - unit * along);
                        }
                        if wanted {
                            for i in 0..width {
                                let unit = (x[i] - stats.mean) * stats.scale;
                                for_weight[i] = fma(grad_out[i], unit, for_weight[i]);
                                for_bias[i] += grad_out[i];
                            }
                        }
                    }
                },
            );
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
