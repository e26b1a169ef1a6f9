//! Element-wise functions of transformers, written so that the compiler turns loops over them into the
//! widest vector instructions of the machine.
//!
//! [`wide`] runs a closure compiled for those instructions. Sums are kept in 16 lanes whatever the
//! machine, and every element is computed alone, so the width does not change a bit of a result.
//!
//! ```
//! let mut values = vec![0.5_f32; 100];
//! nn::simd::wide(#[inline(always)] || values.iter_mut().for_each(|x| *x = nn::simd::exp(*x)));
//! assert!((values[99] - 0.5_f32.exp()).abs() < 1e-6);
//! ```

#![allow(clippy::inline_always, reason = "a separate function would lose the target features")]

use rayon::prelude::*;

/// Runs `task` compiled for the widest vector instructions of the machine. The closure must be
/// `#[inline(always)]`, and what it calls too, or it is compiled apart without them.
pub fn wide<R>(task: impl FnOnce() -> R) -> R {
    struct Task<F>(F);
    impl<R, F: FnOnce() -> R> pulp::WithSimd for Task<F> {
        type Output = R;

        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) -> R {
            (self.0)()
        }
    }
    pulp::Arch::new().dispatch(Task(task))
}

/// Lanes of sums.
pub const LANES: usize = 16;

/// `a · b + c` with one rounding: an instruction inside [`wide`], a library call with the same bits on a
/// machine without it.
#[inline(always)]
pub fn fma(a: f32, b: f32, c: f32) -> f32 {
    a.mul_add(b, c)
}

/// `e^x` within 2e-7 of relative error; below -87 it stays at `e^-87`, above 88 at `e^88`.
///
/// Range reduction by powers of two and a polynomial of degree 6 on the rest, fitted for the least
/// largest relative error (3e-9) on ±ln 2 / 2.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, the first with zeros at its end, so that the product is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and taking away 1.5 · 2^23 rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let n = fma(x, LOG2_E, ROUND) - ROUND;
    let r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x));
    let p = fma(0.001_381_312_3, r, 0.008_369_421);
    let p = fma(p, r, 0.041_668_456);
    let p = fma(p, r, 0.166_665_15);
    let p = fma(p, r, 0.499_999_94);
    let p = fma(p * r, r, r) + 1.0;
    p * f32::from_bits(((n as i32 + 127) as u32) << 23)
}

/// `Φ(x)` and `φ(x)`: the normal distribution and its density, within 1e-7.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    // erfc(z) = exp(-z²) · R(t), t = 1 / (1 + 0.4 z); R fitted for the least largest relative error
    // (3e-8) on z in [0, 6.4].
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / fma(z, 0.4, 1.0);
    let p = fma(0.029_787_177, t, -0.082_262_39);
    let p = fma(p, t, -0.041_609_167);
    let p = fma(p, t, 0.239_325_99);
    let p = fma(p, t, -0.031_198_078);
    let p = fma(p, t, 0.243_971_47);
    let p = fma(p, t, 0.187_905_95);
    let p = fma(p, t, 0.228_583_74);
    let p = fma(p, t, 0.225_495_34);
    let e = exp(-z * z);
    let tail = 0.5 * e * p * t;
    let below = if x < 0.0 { tail } else { 1.0 - tail };
    // 1 / √(2π)
    (below, e * 0.398_942_3)
}

/// The two forms of GELU (Hendrycks and Gimpel, 2016).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gelu {
    /// `x · Φ(x)`.
    Exact,
    /// `x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`.
    Tanh,
}

/// `x · Φ(x)` and its derivative.
#[inline(always)]
fn gelu_exact(x: f32) -> (f32, f32) {
    let (below, density) = normal(x);
    (x * below, fma(x, density, below))
}

/// The tanh form and its derivative; `(1 + tanh u) / 2` is the logistic function of `2u`.
#[inline(always)]
fn gelu_tanh(x: f32) -> (f32, f32) {
    // 2 · √(2/π)
    const TWICE: f32 = 1.595_769;
    let square = x * x;
    let u = TWICE * x * fma(square, 0.044_715, 1.0);
    let share = 1.0 / (1.0 + exp(-u));
    let slope = TWICE * fma(square, 3.0 * 0.044_715, 1.0);
    (x * share, fma(x * share * (1.0 - share), slope, share))
}

/// Values in one task of an element-wise pass.
const CHUNK: usize = 1 << 14;

impl Gelu {
    /// `values[i] = gelu(values[i])`.
    pub fn apply(self, values: &mut [f32]) {
        values.par_chunks_mut(CHUNK).for_each(|values| match self {
            Self::Exact => wide(
                #[inline(always)]
                || values.iter_mut().for_each(|x| *x = gelu_exact(*x).0),
            ),
            Self::Tanh => wide(
                #[inline(always)]
                || values.iter_mut().for_each(|x| *x = gelu_tanh(*x).0),
            ),
        });
    }

    /// `into[i] = gelu(from[i])`.
    ///
    /// # Panics
    /// If lengths differ.
    pub fn apply_to(self, from: &[f32], into: &mut [f32]) {
        assert_eq!(from.len(), into.len(), "lengths");
        into.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK)).for_each(|(into, from)| match self {
            Self::Exact => wide(
                #[inline(always)]
                || into.iter_mut().zip(from).for_each(|(y, x)| *y = gelu_exact(*x).0),
            ),
            Self::Tanh => wide(
                #[inline(always)]
                || into.iter_mut().zip(from).for_each(|(y, x)| *y = gelu_tanh(*x).0),
            ),
        });
    }

    /// The pass back: `values` (inputs of the forward pass) become its outputs, `gradient` (by the outputs)
    /// becomes that by the inputs.
    ///
    /// # Panics
    /// If lengths differ.
    pub fn backward(self, values: &mut [f32], gradient: &mut [f32]) {
        assert_eq!(values.len(), gradient.len(), "lengths");
        let chunks = values.par_chunks_mut(CHUNK).zip(gradient.par_chunks_mut(CHUNK));
        chunks.for_each(|(values, gradient)| match self {
            Self::Exact => wide(
                #[inline(always)]
                || {
                    for (x, d) in values.iter_mut().zip(gradient) {
                        let (y, slope) = gelu_exact(*x);
                        *x = y;
                        *d *= slope;
                    }
                },
            ),
            Self::Tanh => wide(
                #[inline(always)]
                || {
                    for (x, d) in values.iter_mut().zip(gradient) {
                        let (y, slope) = gelu_tanh(*x);
                        *x = y;
                        *d *= slope;
                    }
                },
            ),
        });
    }
}

/// Sum of `of(i)` over the places of `x`, in lanes; for use inside [`wide`].
#[inline(always)]
pub fn sum_by(x: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += of(*x);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += of(*x);
    }
    fold(lanes)
}

/// Sum of `a[i] · b[i]`, in lanes; for use inside [`wide`].
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let n = a.len().min(b.len());
    let (a_chunks, a_rest) = a[..n].as_chunks::<LANES>();
    let (b_chunks, b_rest) = b[..n].as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            lanes[lane] = fma(a[lane], b[lane], lanes[lane]);
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane = fma(*a, *b, *lane);
    }
    fold(lanes)
}

/// The largest value; for use inside [`wide`].
#[inline(always)]
pub fn largest(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = if *x > *lane { *x } else { *lane };
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = if *x > *lane { *x } else { *lane };
    }
    lanes.into_iter().fold(f32::NEG_INFINITY, f32::max)
}

/// Adds lanes up, always in the same order.
#[inline(always)]
pub fn fold(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// `into[i] += factor · from[i]`; for use inside [`wide`].
#[inline(always)]
pub fn add_scaled(into: &mut [f32], factor: f32, from: &[f32]) {
    for (a, b) in into.iter_mut().zip(from) {
        *a = fma(factor, *b, *a);
    }
}

/// Adds `bias` to every row of `rows`.
pub fn add_to_rows(rows: &mut [f32], bias: &[f32]) {
    if bias.is_empty() {
        return;
    }
    rows.par_chunks_mut(32 * bias.len()).for_each(|rows| {
        wide(
            #[inline(always)]
            || {
                for row in rows.chunks_exact_mut(bias.len()) {
                    row.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
                }
            },
        );
    });
}

/// Rows summed by one task in [`sum_rows`].
const SUM_ROWS: usize = 256;

/// Adds the sum of all rows to `into`: the gradient of a bias. Same bytes on any number of threads.
pub fn sum_rows(rows: &[f32], into: &mut [f32]) {
    let cols = into.len();
    if cols == 0 {
        return;
    }
    let parts: Vec<Vec<f32>> = rows
        .par_chunks(SUM_ROWS * cols)
        .map(|rows| {
            let mut sum = vec![0.0; cols];
            wide(
                #[inline(always)]
                || {
                    for row in rows.chunks_exact(cols) {
                        sum.iter_mut().zip(row).for_each(|(a, b)| *a += b);
                    }
                },
            );
            sum
        })
        .collect();
    for part in parts {
        into.iter_mut().zip(part).for_each(|(a, b)| *a += b);
    }
}

/// Sum of squares in double precision: same bytes on any number of threads.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let parts: Vec<f64> = values
        .par_chunks(1 << 16)
        .map(|values| {
            wide(
                #[inline(always)]
                || {
                    let mut lanes = [0.0_f64; LANES];
                    let (chunks, rest) = values.as_chunks::<LANES>();
                    for chunk in chunks {
                        for (lane, x) in lanes.iter_mut().zip(chunk) {
                            let x = f64::from(*x);
                            *lane = x.mul_add(x, *lane);
                        }
                    }
                    lanes.iter().sum::<f64>()
                        + rest.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>()
                },
            )
        })
        .collect();
    parts.into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_over_its_range() {
        for i in -8700..=8800 {
            let x = i as f32 / 100.0;
            let expected = f64::from(x).exp();
            let relative = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(relative < 2e-7, "{x}: {relative:e}");
        }
        assert!(exp(f32::NEG_INFINITY) < 1e-37 && exp(1000.0).is_finite());
    }

    /// Expected values: `torch.nn.functional.gelu(x, approximate=...)` of torch 2.15 in 64 bits, and its
    /// gradients.
    #[test]
    fn gelu_matches_torch() {
        for (x, exact, slope, tanh, tanh_slope) in [
            (-3.0_f32, -0.004_049_694_f32, -0.011_945_647_f32, -0.003_637_392_f32, -0.011_584_166_f32),
            (-1.0, -0.158_655_25, -0.083_315_47, -0.158_808_01, -0.082_964_084),
            (0.0, 0.0, 0.5, 0.0, 0.5),
            (0.5, 0.345_731_23, 0.867_495_1, 0.345_714, 0.867_369_9),
            (2.0, 1.954_499_7, 1.085_231_8, 1.954_597_7, 1.086_099_3),
        ] {
            let (y, d) = gelu_exact(x);
            assert!((y - exact).abs() < 3e-7 && (d - slope).abs() < 3e-7, "{x}: {y} {d}");
            let (y, d) = gelu_tanh(x);
            assert!((y - tanh).abs() < 3e-7 && (d - tanh_slope).abs() < 3e-7, "{x}: {y} {d}");
        }
    }

    #[test]
    fn gelu_slopes_are_numeric_gradients() {
        let h = 1e-3_f32;
        for form in [Gelu::Exact, Gelu::Tanh] {
            for i in -60..=60 {
                let x = i as f32 / 10.0;
                let (mut values, mut gradient) = (vec![x], vec![1.0]);
                form.backward(&mut values, &mut gradient);
                let mut around = vec![x + h, x - h, x];
                form.apply(&mut around);
                assert_eq!(values[0], around[2]);
                let slope = (f64::from(around[0]) - f64::from(around[1])) / f64::from(2.0 * h);
                assert!(
                    (f64::from(gradient[0]) - slope).abs() < 5e-4,
                    "{form:?} {x}: {} {slope}",
                    gradient[0]
                );
            }
        }
        assert_eq!(gelu_exact(40.0).0, 40.0);
        assert!(gelu_exact(-40.0).0.abs() < 1e-30 && gelu_tanh(-40.0).0.abs() < 1e-30);
    }

    #[test]
    fn sums_are_right_for_every_length() {
        for n in 0..40 {
            let x: Vec<f32> = (0..n).map(|i| i as f32 - 7.0).collect();
            let ones = vec![2.0; n];
            assert_eq!(dot(&x, &ones), 2.0 * x.iter().sum::<f32>());
            assert_eq!(sum_by(&x, |x| x), x.iter().sum::<f32>());
            assert_eq!(largest(&x), x.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            assert_eq!(sum_of_squares(&x), x.iter().map(|x| f64::from(x * x)).sum::<f64>());
        }
        let mut sum = vec![1.0, 1.0];
        sum_rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut sum);
        assert_eq!(sum, [10.0, 13.0]);
    }
}
