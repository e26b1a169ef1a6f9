//! Products of a few rows with a large matrix: what generating text one token at a time comes to.
//!
//! Such a product reads every weight once and does little with it, so its limit is the memory's speed,
//! not the processor's. Weights may be kept in 16 or 8 bits to read less; sums are always in 32 bits. They are
//! kept in as many lanes as a register of the machine has, so the last bits of a product differ between
//! machines (but not with the number of threads).

use rayon::prelude::*;

use crate::simd::fma;

/// Weights `[n_out, n_in]` in one of three precisions.
#[derive(Debug, Clone, PartialEq)]
pub enum Weights {
    /// 32 bits: exact.
    F32(Vec<f32>),
    /// The upper 16 bits of each value, rounded to nearest (bfloat16).
    Bf16(Vec<u16>),
    /// 8 bits and a scale a row: `value = q · scale`.
    Int8 {
        /// `[n_out, n_in]`.
        values: Vec<i8>,
        /// `[n_out]`.
        scales: Vec<f32>,
    },
}

/// Precision of [`Weights`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32 bits: exact.
    #[default]
    F32,
    /// bfloat16: half the bytes, 3 significant digits.
    Bf16,
    /// 8 bits with a scale a row: a quarter of the bytes.
    Int8,
}

/// The nearest bfloat16, ties to even.
fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

impl Weights {
    /// Stores `rows`, each of `n_in` values, in `precision`.
    ///
    /// # Panics
    /// If `n_in` is 0 or the length is no multiple of it.
    pub fn new(rows: &[f32], n_in: usize, precision: Precision) -> Self {
        assert!(n_in > 0 && rows.len().is_multiple_of(n_in), "whole rows");
        match precision {
            Precision::F32 => Self::F32(rows.to_vec()),
            Precision::Bf16 => Self::Bf16(rows.iter().map(|&value| to_bf16(value)).collect()),
            Precision::Int8 => {
                let scales: Vec<f32> = rows
                    .chunks_exact(n_in)
                    .map(|row| row.iter().fold(0.0_f32, |largest, x| largest.max(x.abs())) / 127.0)
                    .collect();
                let values = rows
                    .chunks_exact(n_in)
                    .zip(&scales)
                    .flat_map(|(row, &scale)| {
                        let by = if scale > 0.0 { 1.0 / scale } else { 0.0 };
                        row.iter().map(move |x| (x * by).round_ties_even() as i8)
                    })
                    .collect();
                Self::Int8 { values, scales }
            }
        }
    }

    /// Bytes in memory.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::F32(values) => 4 * values.len(),
            Self::Bf16(values) => 2 * values.len(),
            Self::Int8 { values, scales } => values.len() + 4 * scales.len(),
        }
    }

    /// Row `row` as 32-bit values.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row_into(&self, row: usize, into: &mut [f32]) {
        let range = row * into.len()..(row + 1) * into.len();
        match self {
            Self::F32(values) => into.copy_from_slice(&values[range]),
            Self::Bf16(values) => {
                into.iter_mut().zip(&values[range]).for_each(|(x, &bits)| *x = from_bf16(bits));
            }
            Self::Int8 { values, scales } => {
                into.iter_mut().zip(&values[range]).for_each(|(x, &q)| *x = f32::from(q) * scales[row]);
            }
        }
    }

    /// `out = x · weightsᵀ`: `[m, n_in] · [n_out, n_in]ᵀ → [m, n_out]`.
    ///
    /// # Panics
    /// If lengths do not fit.
    pub fn product(&self, x: &[f32], n_in: usize, out: &mut [f32]) {
        assert!(n_in > 0 && x.len().is_multiple_of(n_in), "whole rows");
        let m = x.len() / n_in;
        if m == 0 {
            return;
        }
        let n_out = out.len() / m;
        assert_eq!(out.len(), m * n_out, "size of the result");
        // Result by weight row first, so that blocks of weight rows are blocks of memory; turned at the end.
        let mut turned = vec![0.0_f32; m * n_out];
        turned.par_chunks_mut(BLOCK * m).enumerate().for_each(|(block, out)| {
            let first = block * BLOCK;
            let n = out.len() / m;
            let range = first * n_in..(first + n) * n_in;
            let arch = pulp::Arch::new();
            match self {
                Self::F32(values) => arch.dispatch(BlockF32 { weights: &values[range], x, n_in, out }),
                Self::Bf16(values) => {
                    arch.dispatch(Block { weights: &values[range], x, n_in, out, widen: from_bf16 });
                }
                Self::Int8 { values, scales } => {
                    arch.dispatch(Block {
                        weights: &values[range],
                        x,
                        n_in,
                        out: &mut *out,
                        widen: f32::from,
                    });
                    for (out, scale) in out.chunks_exact_mut(m).zip(&scales[first..]) {
                        out.iter_mut().for_each(|x| *x *= scale);
                    }
                }
            }
        });
        if m == 1 {
            out.copy_from_slice(&turned);
            return;
        }
        for (at, out) in out.chunks_exact_mut(n_out).enumerate() {
            out.iter_mut().zip(turned[at..].iter().step_by(m)).for_each(|(to, from)| *to = *from);
        }
    }
}

/// Weight rows in one task.
const BLOCK: usize = 256;

#[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
#[inline(always)]
fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Some rows of weights with all rows of `x`: `out[row, i] = weights[row] · x[i]`, `[n_out, m]`.
struct Block<'a, T, W> {
    weights: &'a [T],
    x: &'a [f32],
    n_in: usize,
    out: &'a mut [f32],
    widen: W,
}

impl<T: Copy, W: Fn(T) -> f32> pulp::WithSimd for Block<'_, T, W> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        let m = self.x.len() / self.n_in;
        let mut row = vec![0.0_f32; self.n_in];
        for (weights, out) in self.weights.chunks_exact(self.n_in).zip(self.out.chunks_exact_mut(m)) {
            // Into the first cache, so that the sums are the same code for every precision.
            row.iter_mut().zip(weights).for_each(|(x, w)| *x = (self.widen)(*w));
            row_product(simd, &row, self.x, self.n_in, out);
        }
    }
}

/// The same where the weights need no widening.
struct BlockF32<'a> {
    weights: &'a [f32],
    x: &'a [f32],
    n_in: usize,
    out: &'a mut [f32],
}

impl pulp::WithSimd for BlockF32<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        let m = self.x.len() / self.n_in;
        for (weights, out) in self.weights.chunks_exact(self.n_in).zip(self.out.chunks_exact_mut(m)) {
            row_product(simd, weights, self.x, self.n_in, out);
        }
    }
}

/// One row of weights with all rows of `x`, four at a time.
#[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
#[inline(always)]
fn row_product<S: pulp::Simd>(simd: S, weights: &[f32], x: &[f32], n_in: usize, out: &mut [f32]) {
    let (fours, rest) = out.as_chunks_mut::<4>();
    let (x_fours, x_rest) = x.split_at(4 * fours.len() * n_in);
    for (out, x) in fours.iter_mut().zip(x_fours.chunks_exact(4 * n_in)) {
        *out = four_dots(simd, weights, x, n_in);
    }
    for (out, x) in rest.iter_mut().zip(x_rest.chunks_exact(n_in)) {
        *out = one_dot(simd, weights, x);
    }
}

/// Dot products of a row of weights with four rows.
#[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
#[inline(always)]
fn four_dots<S: pulp::Simd>(simd: S, weights: &[f32], x: &[f32], n_in: usize) -> [f32; 4] {
    let (a, rest) = x.split_at(n_in);
    let (b, rest) = rest.split_at(n_in);
    let (c, d) = rest.split_at(n_in);
    let zero = simd.splat_f32s(0.0);
    let (mut sum_a, mut sum_b, mut sum_c, mut sum_d) = (zero, zero, zero, zero);
    let (w, w_rest) = S::as_simd_f32s(weights);
    let (a, a_rest) = S::as_simd_f32s(a);
    let (b, b_rest) = S::as_simd_f32s(b);
    let (c, c_rest) = S::as_simd_f32s(c);
    let (d, d_rest) = S::as_simd_f32s(d);
    for ((((w, a), b), c), d) in w.iter().zip(a).zip(b).zip(c).zip(d) {
        sum_a = simd.mul_add_f32s(*w, *a, sum_a);
        sum_b = simd.mul_add_f32s(*w, *b, sum_b);
        sum_c = simd.mul_add_f32s(*w, *c, sum_c);
        sum_d = simd.mul_add_f32s(*w, *d, sum_d);
    }
    let end = |sum: S::f32s, x: &[f32]| {
        w_rest.iter().zip(x).fold(simd.reduce_sum_f32s(sum), |sum, (w, x)| fma(*w, *x, sum))
    };
    [end(sum_a, a_rest), end(sum_b, b_rest), end(sum_c, c_rest), end(sum_d, d_rest)]
}

/// Dot product with one row: four sums, or every addition would wait for the one before.
#[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
#[inline(always)]
fn one_dot<S: pulp::Simd>(simd: S, weights: &[f32], x: &[f32]) -> f32 {
    let zero = simd.splat_f32s(0.0);
    let mut sums = [zero; 4];
    let (w, w_rest) = S::as_simd_f32s(weights);
    let (y, y_rest) = S::as_simd_f32s(x);
    let (w_fours, w_ones) = w.as_chunks::<4>();
    let (y_fours, y_ones) = y.as_chunks::<4>();
    for (w, y) in w_fours.iter().zip(y_fours) {
        sums[0] = simd.mul_add_f32s(w[0], y[0], sums[0]);
        sums[1] = simd.mul_add_f32s(w[1], y[1], sums[1]);
        sums[2] = simd.mul_add_f32s(w[2], y[2], sums[2]);
        sums[3] = simd.mul_add_f32s(w[3], y[3], sums[3]);
    }
    for (w, y) in w_ones.iter().zip(y_ones) {
        sums[0] = simd.mul_add_f32s(*w, *y, sums[0]);
    }
    let sum = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
    w_rest.iter().zip(y_rest).fold(simd.reduce_sum_f32s(sum), |sum, (w, x)| fma(*w, *x, sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn products_agree_with_plain_sums_in_every_precision() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        for (m, n_in, n_out) in [(1, 64, 300), (3, 40, 7), (4, 33, 5), (9, 100, 257), (1, 5, 1)] {
            let mut draw = |n: usize| (0..n).map(|_| rng.random_range(-1.0_f32..1.0)).collect::<Vec<f32>>();
            let (x, rows) = (draw(m * n_in), draw(n_out * n_in));
            for (precision, bits) in
                [(Precision::F32, 1e-5), (Precision::Bf16, 4e-3), (Precision::Int8, 8e-3)]
            {
                let weights = Weights::new(&rows, n_in, precision);
                let mut out = vec![0.0; m * n_out];
                weights.product(&x, n_in, &mut out);
                let mut row = vec![0.0; n_in];
                for i in 0..m {
                    for j in 0..n_out {
                        weights.row_into(j, &mut row);
                        let sum: f64 =
                            x[i * n_in..][..n_in].iter().zip(&row).map(|(a, b)| f64::from(a * b)).sum();
                        assert!((f64::from(out[i * n_out + j]) - sum).abs() < 2e-5, "{precision:?} {i} {j}");
                        for (found, expected) in row.iter().zip(&rows[j * n_in..]) {
                            assert!((found - expected).abs() <= bits, "{precision:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn bfloat16_rounds_to_nearest_even() {
        // torch: torch.tensor(x).bfloat16().view(torch.int16)
        for (value, bits) in
            [(1.0_f32, 0x3f80), (1.003_906_2, 0x3f80), (1.011_718_8, 0x3f82), (-3.12, 0xc048)]
        {
            assert_eq!(to_bf16(value), bits, "{value}");
        }
        assert!(from_bf16(to_bf16(f32::NAN)).is_nan());
        assert_eq!(from_bf16(to_bf16(f32::INFINITY)), f32::INFINITY);
    }
}
