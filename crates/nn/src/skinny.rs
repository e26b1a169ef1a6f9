//! Products of a few rows with a large matrix: what generating text one token at a time comes to.
//!
//! Such a product reads every weight once and does little with it, so its limit is the memory's speed,
//! not the processor's. Weights may be kept in 16 or 8 bits to read less; sums are always in 32 bits.

use rayon::prelude::*;

use crate::simd::{LANES, fma, fold, wide};

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
            match self {
                Self::F32(values) => block_product(
                    &values[range],
                    x,
                    n_in,
                    out,
                    #[inline(always)]
                    |x| x,
                ),
                Self::Bf16(values) => block_product(&values[range], x, n_in, out, from_bf16),
                Self::Int8 { values, scales } => {
                    block_product(&values[range], x, n_in, out, f32::from);
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

/// Rows of `x` that share one reading of the weights.
const SHARED: usize = 4;

/// `out[row, i] = weights[row] · x[i]`, `[n_out, m]`.
fn block_product<T: Copy>(weights: &[T], x: &[f32], n_in: usize, out: &mut [f32], widen: impl Fn(T) -> f32) {
    let m = x.len() / n_in;
    wide(
        #[inline(always)]
        || {
            for (weights, out) in weights.chunks_exact(n_in).zip(out.chunks_exact_mut(m)) {
                let mut at = 0;
                while at + SHARED <= m {
                    let sums = dots::<SHARED, T>(weights, &x[at * n_in..], n_in, &widen);
                    out[at..at + SHARED].copy_from_slice(&sums);
                    at += SHARED;
                }
                while at < m {
                    out[at] = dots::<1, T>(weights, &x[at * n_in..], n_in, &widen)[0];
                    at += 1;
                }
            }
        },
    );
}

/// Dot products of one row of weights with `N` rows of `x`. Two sets of lanes a row hide the latency of
/// the additions where there are few rows.
#[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
#[inline(always)]
fn dots<const N: usize, T: Copy>(
    weights: &[T],
    x: &[f32],
    n_in: usize,
    widen: &impl Fn(T) -> f32,
) -> [f32; N] {
    let mut sums = [[[0.0_f32; LANES]; 2]; N];
    let (chunks, rest) = weights.as_chunks::<{ 2 * LANES }>();
    for (at, chunk) in chunks.iter().enumerate() {
        for n in 0..N {
            let Some(x) = x[n * n_in + at * 2 * LANES..].first_chunk::<{ 2 * LANES }>() else { continue };
            for lane in 0..LANES {
                sums[n][0][lane] = fma(widen(chunk[lane]), x[lane], sums[n][0][lane]);
                sums[n][1][lane] = fma(widen(chunk[LANES + lane]), x[LANES + lane], sums[n][1][lane]);
            }
        }
    }
    let done = chunks.len() * 2 * LANES;
    let mut out = [0.0; N];
    for n in 0..N {
        let [mut first, second] = sums[n];
        for lane in 0..LANES {
            first[lane] += second[lane];
        }
        let mut sum = fold(first);
        for (w, x) in rest.iter().zip(&x[n * n_in + done..]) {
            sum = fma(widen(*w), *x, sum);
        }
        out[n] = sum;
    }
    out
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
