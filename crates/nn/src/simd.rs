//! Element-wise functions of transformers, written so that the compiler turns loops over them into the
//! widest vector instructions of the machine.
//!
//! [`wide`] runs a closure compiled for those instructions. Elements are computed alone, so the width does
//! not change a bit of them. Sums are kept in registers of the machine, written out with `pulp` (a loop over
//! an array of lanes is not always made into one), so their last bits differ between machines with
//! registers of different widths, but not with the number of threads.
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
    let rounded = fma(x, LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = fma(n, -LN2_LOW, fma(n, -LN2_HIGH, x));
    let p = fma(0.001_381_312_3, r, 0.008_369_421);
    let p = fma(p, r, 0.041_668_456);
    let p = fma(p, r, 0.166_665_15);
    let p = fma(p, r, 0.499_999_94);
    let p = fma(p * r, r, r) + 1.0;
    // The lowest bits of `rounded` are those of `n`: 2^n without a conversion.
    p * f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23))
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

/// Sum of `x[i]`, in four registers.
#[inline(always)]
pub(crate) fn sum<S: pulp::Simd>(simd: S, x: &[f32]) -> f32 {
    let (body, rest) = S::as_simd_f32s(x);
    let mut sums = [simd.splat_f32s(0.0); 4];
    let (fours, ones) = body.as_chunks::<4>();
    for x in fours {
        for i in 0..4 {
            sums[i] = simd.add_f32s(sums[i], x[i]);
        }
    }
    for x in ones {
        sums[0] = simd.add_f32s(sums[0], *x);
    }
    rest.iter().fold(fold(simd, sums), |sum, x| sum + x)
}

/// Sum of `(x[i] - middle)²`, in four registers.
#[inline(always)]
pub(crate) fn squares_around<S: pulp::Simd>(simd: S, x: &[f32], middle: f32) -> f32 {
    let (body, rest) = S::as_simd_f32s(x);
    let mut sums = [simd.splat_f32s(0.0); 4];
    let middles = simd.splat_f32s(middle);
    let (fours, ones) = body.as_chunks::<4>();
    for x in fours {
        for i in 0..4 {
            let away = simd.sub_f32s(x[i], middles);
            sums[i] = simd.mul_add_f32s(away, away, sums[i]);
        }
    }
    for x in ones {
        let away = simd.sub_f32s(*x, middles);
        sums[0] = simd.mul_add_f32s(away, away, sums[0]);
    }
    rest.iter().fold(fold(simd, sums), |sum, x| fma(x - middle, x - middle, sum))
}

/// Sum of `a[i] · b[i]`, in four registers.
#[inline(always)]
pub(crate) fn dot<S: pulp::Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let n = a.len().min(b.len());
    let (a_body, a_rest) = S::as_simd_f32s(&a[..n]);
    let (b_body, b_rest) = S::as_simd_f32s(&b[..n]);
    let mut sums = [simd.splat_f32s(0.0); 4];
    let (a_fours, a_ones) = a_body.as_chunks::<4>();
    let (b_fours, b_ones) = b_body.as_chunks::<4>();
    for (a, b) in a_fours.iter().zip(b_fours) {
        for i in 0..4 {
            sums[i] = simd.mul_add_f32s(a[i], b[i], sums[i]);
        }
    }
    for (a, b) in a_ones.iter().zip(b_ones) {
        sums[0] = simd.mul_add_f32s(*a, *b, sums[0]);
    }
    a_rest.iter().zip(b_rest).fold(fold(simd, sums), |sum, (a, b)| fma(*a, *b, sum))
}

/// The largest value.
#[inline(always)]
pub(crate) fn largest<S: pulp::Simd>(simd: S, x: &[f32]) -> f32 {
    let (body, rest) = S::as_simd_f32s(x);
    let mut tops = [simd.splat_f32s(f32::NEG_INFINITY); 4];
    let (fours, ones) = body.as_chunks::<4>();
    for x in fours {
        for i in 0..4 {
            tops[i] = simd.max_f32s(tops[i], x[i]);
        }
    }
    for x in ones {
        tops[0] = simd.max_f32s(tops[0], *x);
    }
    let top = simd.max_f32s(simd.max_f32s(tops[0], tops[1]), simd.max_f32s(tops[2], tops[3]));
    rest.iter().fold(simd.reduce_max_f32s(top), |top, x| if *x > top { *x } else { top })
}

/// Adds four registers up, always in the same order.
#[inline(always)]
fn fold<S: pulp::Simd>(simd: S, sums: [S::f32s; 4]) -> f32 {
    simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3])))
}

/// Turns scores into shares; returns the logarithm of the sum of their exponentials.
#[inline(always)]
pub(crate) fn softmax<S: pulp::Simd>(simd: S, scores: &mut [f32]) -> f32 {
    let top = largest(simd, scores);
    for x in &mut *scores {
        *x = exp(*x - top);
    }
    let sum = sum(simd, scores);
    let by = 1.0 / sum;
    for x in scores {
        *x *= by;
    }
    top + sum.ln()
}

/// Logarithm of the sum of exponentials of `row`.
pub fn log_sum(row: &[f32]) -> f32 {
    struct Task<'a>(&'a [f32]);
    impl pulp::WithSimd for Task<'_> {
        type Output = f32;

        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, simd: S) -> f32 {
            let top = largest(simd, self.0);
            let mut room = [0.0_f32; 512];
            let mut total = 0.0;
            for part in self.0.chunks(room.len()) {
                let room = &mut room[..part.len()];
                for (to, x) in room.iter_mut().zip(part) {
                    *to = exp(*x - top);
                }
                total += sum(simd, room);
            }
            top + total.ln()
        }
    }
    pulp::Arch::new().dispatch(Task(row))
}

/// Place of the first of the largest values; 0 if there is none above minus infinity.
pub fn place_of_largest(row: &[f32]) -> usize {
    struct Task<'a>(&'a [f32]);
    impl pulp::WithSimd for Task<'_> {
        type Output = f32;

        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, simd: S) -> f32 {
            largest(simd, self.0)
        }
    }
    let top = pulp::Arch::new().dispatch(Task(row));
    row.iter().position(|x| *x == top).unwrap_or(0)
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

/// Sum of squares, in double precision over runs of 1024 values: same bytes on any number of threads.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    struct Task<'a>(&'a [f32]);
    impl pulp::WithSimd for Task<'_> {
        type Output = f64;

        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, simd: S) -> f64 {
            let mut total = 0.0;
            for run in self.0.chunks(1024) {
                let sum = dot(simd, run, run);
                // Squares of very large values are beyond 32 bits.
                total += if sum.is_finite() {
                    f64::from(sum)
                } else {
                    run.iter().map(|x| f64::from(*x) * f64::from(*x)).sum()
                };
            }
            total
        }
    }
    let of_part = |values: &[f32]| pulp::Arch::new().dispatch(Task(values));
    let parts: Vec<f64> = values.par_chunks(1 << 16).map(of_part).collect();
    parts.into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::WithSimd;

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
        struct Sums<'a>(&'a [f32]);
        impl WithSimd for Sums<'_> {
            type Output = [f32; 4];

            fn with_simd<S: pulp::Simd>(self, simd: S) -> [f32; 4] {
                let twos = vec![2.0; self.0.len()];
                let around = squares_around(simd, self.0, 3.0);
                [dot(simd, self.0, &twos), sum(simd, self.0), largest(simd, self.0), around]
            }
        }
        for n in 0..200 {
            let x: Vec<f32> = (0..n).map(|i| (i * 7 % 31) as f32 - 7.0).collect();
            let sum = x.iter().sum::<f32>();
            let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let around = x.iter().map(|x| (x - 3.0) * (x - 3.0)).sum::<f32>();
            let expected = [2.0 * sum, sum, largest, around];
            assert_eq!(pulp::Arch::new().dispatch(Sums(&x)), expected);
            assert_eq!(Sums(&x).with_simd(pulp::Scalar::new()), expected);
            assert_eq!(sum_of_squares(&x), x.iter().map(|x| f64::from(x * x)).sum::<f64>());
            assert_eq!(place_of_largest(&x), x.iter().position(|x| *x == largest).unwrap_or(0));
            if n > 0 {
                let expected = x.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln();
                assert!((f64::from(log_sum(&x)) - expected).abs() < 1e-5);
            }
        }
        assert_eq!(sum_of_squares(&[1e30, 1e30]), 2.0 * f64::from(1e30_f32).powi(2));
        assert_eq!(place_of_largest(&[f32::NAN; 3]), 0);
        let mut sum = vec![1.0, 1.0];
        sum_rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut sum);
        assert_eq!(sum, [10.0, 13.0]);
    }
}
