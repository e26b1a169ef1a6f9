//! Causal attention with rotary positions over sequences of different lengths, without padding.
//!
//! A batch is a row of tokens cut into segments; a token sees the tokens before it in its own segment and
//! nothing else (a block-diagonal mask), and positions count from the start of the segment. Scores are
//! computed block by block and not kept: the pass back computes them again from the logarithm of their
//! sum, so memory grows with the number of tokens, not with its square (as in Dao and others, 2022).

use rayon::prelude::*;

use crate::product::{Operand, multiply_strided};
use crate::simd::{add_scaled, dot, exp, softmax};

/// Queries of one block.
const BLOCK: usize = 64;

/// How heads share the width of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Number of heads.
    pub n_heads: usize,
    /// Components of a head.
    pub head_dim: usize,
}

impl Heads {
    /// Components of all heads.
    pub fn width(self) -> usize {
        self.n_heads * self.head_dim
    }
}

/// Cosines and sines of rotary positions (Su and others, 2021): component `i` of the first `2 · half` of
/// a head turns with component `i + half` by `position · base^(-i / half)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotary {
    half: usize,
    /// `[n_positions, half]`.
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rotary {
    /// Tables for positions below `n_positions`; `dims` components of a head turn (an even number).
    pub fn new(dims: usize, base: f64, n_positions: usize) -> Self {
        let half = dims / 2;
        let mut cos = Vec::with_capacity(n_positions * half);
        let mut sin = Vec::with_capacity(n_positions * half);
        for position in 0..n_positions {
            for i in 0..half {
                // In 32 bits, as the models were trained.
                let frequency = 1.0 / (base as f32).powf(i as f32 / half as f32);
                let angle = f64::from(position as f32 * frequency);
                cos.push(angle.cos() as f32);
                sin.push(angle.sin() as f32);
            }
        }
        Self { half, cos, sin }
    }

    /// Number of positions in the tables.
    pub fn n_positions(&self) -> usize {
        self.cos.len().checked_div(self.half).unwrap_or(usize::MAX)
    }

    /// Turns one head's components at `position`, back if `inverse`.
    ///
    /// # Panics
    /// If the position is beyond the tables.
    pub fn turn(&self, head: &mut [f32], position: usize, inverse: bool) {
        let half = self.half;
        let cos = &self.cos[position * half..][..half];
        let sin = &self.sin[position * half..][..half];
        let (first, rest) = head.split_at_mut(half);
        for i in 0..half {
            let (a, b) = (first[i], rest[i]);
            let s = if inverse { -sin[i] } else { sin[i] };
            first[i] = a * cos[i] - b * s;
            rest[i] = b * cos[i] + a * s;
        }
    }
}

/// Cuts `values` (a number of values for every token) into the parts of the segments.
fn parts_mut<'a>(mut values: &'a mut [f32], segments: &[usize], a_token: usize) -> Vec<&'a mut [f32]> {
    let mut parts = Vec::with_capacity(segments.len());
    for &length in segments {
        let (part, rest) = values.split_at_mut(length * a_token);
        parts.push(part);
        values = rest;
    }
    parts
}

fn parts<'a>(mut values: &'a [f32], segments: &[usize], a_token: usize) -> Vec<&'a [f32]> {
    let mut parts = Vec::with_capacity(segments.len());
    for &length in segments {
        let (part, rest) = values.split_at(length * a_token);
        parts.push(part);
        values = rest;
    }
    parts
}

/// Sorts the output of the fused projection by segment and head, and turns queries and keys.
///
/// - `rows`: `[n_tokens, n_heads, 3, head_dim]`: for every head its query, key and value.
/// - `out`: for every segment `[n_heads, 3, length, head_dim]`.
///
/// # Panics
/// If lengths do not fit.
pub fn split_heads(rows: &[f32], segments: &[usize], heads: Heads, rotary: &Rotary, out: &mut [f32]) {
    let dim = heads.head_dim;
    let width = 3 * heads.width();
    assert!(rows.len() == out.len() && rows.len() == segments.iter().sum::<usize>() * width, "lengths");
    let tasks: Vec<_> =
        parts(rows, segments, width).into_iter().zip(parts_mut(out, segments, width)).collect();
    tasks.into_par_iter().for_each(|(rows, out)| {
        let length = rows.len() / width;
        for (position, row) in rows.chunks_exact(width).enumerate() {
            for (at, from) in row.chunks_exact(dim).enumerate() {
                let to = &mut out[(at * length + position) * dim..][..dim];
                to.copy_from_slice(from);
                if at % 3 < 2 {
                    rotary.turn(to, position, false);
                }
            }
        }
    });
}

/// The pass back of [`split_heads`]: gradients by segment and head to `[n_tokens, n_heads, 3, head_dim]`.
///
/// # Panics
/// If lengths do not fit.
pub fn join_gradients(from: &[f32], segments: &[usize], heads: Heads, rotary: &Rotary, rows: &mut [f32]) {
    let dim = heads.head_dim;
    let width = 3 * heads.width();
    assert!(rows.len() == from.len() && rows.len() == segments.iter().sum::<usize>() * width, "lengths");
    let tasks: Vec<_> =
        parts(from, segments, width).into_iter().zip(parts_mut(rows, segments, width)).collect();
    tasks.into_par_iter().for_each(|(from, rows)| {
        let length = rows.len() / width;
        for (position, row) in rows.chunks_exact_mut(width).enumerate() {
            for (at, to) in row.chunks_exact_mut(dim).enumerate() {
                to.copy_from_slice(&from[(at * length + position) * dim..][..dim]);
                if at % 3 < 2 {
                    rotary.turn(to, position, true);
                }
            }
        }
    });
}

/// From `[n_heads, length, head_dim]` a segment to `[n_tokens, n_heads · head_dim]`.
///
/// # Panics
/// If lengths do not fit.
pub fn to_rows(from: &[f32], segments: &[usize], heads: Heads, rows: &mut [f32]) {
    reorder(from, segments, heads, rows, false);
}

/// From `[n_tokens, n_heads · head_dim]` to `[n_heads, length, head_dim]` a segment.
///
/// # Panics
/// If lengths do not fit.
pub fn to_heads(rows: &[f32], segments: &[usize], heads: Heads, out: &mut [f32]) {
    reorder(rows, segments, heads, out, true);
}

fn reorder(from: &[f32], segments: &[usize], heads: Heads, to: &mut [f32], by_head: bool) {
    let (dim, width) = (heads.head_dim, heads.width());
    assert!(from.len() == to.len() && to.len() == segments.iter().sum::<usize>() * width, "lengths");
    let tasks: Vec<_> =
        parts(from, segments, width).into_iter().zip(parts_mut(to, segments, width)).collect();
    tasks.into_par_iter().for_each(|(from, to)| {
        let length = to.len() / width;
        for position in 0..length {
            for head in 0..heads.n_heads {
                let (row, sorted) =
                    ((position * heads.n_heads + head) * dim, (head * length + position) * dim);
                let (a, b) = if by_head { (row, sorted) } else { (sorted, row) };
                to[b..b + dim].copy_from_slice(&from[a..a + dim]);
            }
        }
    });
}

/// Attention of every head of every segment.
///
/// - `qkv`: as [`split_heads`] makes it.
/// - `out`: `[n_heads, length, head_dim]` a segment.
/// - `log_sums`: `[n_heads, length]` a segment: logarithm of the sum of exponentiated scores, for the pass
///   back.
///
/// # Panics
/// If lengths do not fit.
pub fn forward(qkv: &[f32], segments: &[usize], heads: Heads, out: &mut [f32], log_sums: &mut [f32]) {
    let dim = heads.head_dim;
    let n_tokens: usize = segments.iter().sum();
    assert!(
        qkv.len() == 3 * n_tokens * heads.width()
            && out.len() == n_tokens * heads.width()
            && log_sums.len() == n_tokens * heads.n_heads,
        "lengths"
    );
    let mut tasks = Vec::with_capacity(segments.len() * heads.n_heads);
    let by_segment = parts(qkv, segments, 3 * heads.width())
        .into_iter()
        .zip(parts_mut(out, segments, heads.width()))
        .zip(parts_mut(log_sums, segments, heads.n_heads))
        .zip(segments);
    for (((qkv, out), log_sums), &length) in by_segment {
        if length > 0 {
            let by_head = qkv.chunks_exact(3 * length * dim).zip(out.chunks_exact_mut(length * dim));
            tasks.extend(by_head.zip(log_sums.chunks_exact_mut(length)));
        }
    }
    let scale = 1.0 / (dim as f32).sqrt();
    tasks.into_par_iter().for_each(|((qkv, out), log_sums)| {
        let length = log_sums.len();
        let (q, rest) = qkv.split_at(length * dim);
        let (k, v) = rest.split_at(length * dim);
        let mut scores = vec![0.0_f32; BLOCK.min(length) * length];
        for first in (0..length).step_by(BLOCK) {
            let end = (first + BLOCK).min(length);
            let n = end - first;
            let scores = &mut scores[..n * end];
            let queries = Operand::rows_of(&q[first * dim..], n, dim);
            multiply_strided(queries, Operand::rows_of(k, end, dim).t(), scores, end, scale, false);
            let log_sums = &mut log_sums[first..end];
            pulp::Arch::new().dispatch(Shares { scores, end, first, log_sums });
            let values = Operand::rows_of(v, end, dim);
            let out = &mut out[first * dim..end * dim];
            multiply_strided(Operand::rows_of(scores, n, end), values, out, dim, 1.0, false);
        }
    });
}

/// Scores of some queries, which see the keys up to their own, to shares.
struct Shares<'a> {
    /// `[n, end]`.
    scores: &'a mut [f32],
    end: usize,
    /// Keys before the first query's own.
    first: usize,
    /// `[n]`: logarithms of the sums of exponentials.
    log_sums: &'a mut [f32],
}

impl pulp::WithSimd for Shares<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        let rows = self.scores.chunks_exact_mut(self.end).zip(self.log_sums).enumerate();
        for (i, (row, log_sum)) in rows {
            let (seen, beyond) = row.split_at_mut(self.first + i + 1);
            *log_sum = softmax(simd, seen);
            beyond.fill(0.0);
        }
    }
}

/// Keys and values of one head, `[n_keys, head_dim]` each.
pub type KeysValues = (Vec<f32>, Vec<f32>);

/// From so many new tokens on, [`attend`] goes through matrix products.
const PRODUCT_FROM: usize = 8;

/// Attention of the last tokens of one sequence, whose keys and values are kept.
///
/// - `qkv`: `[n, n_heads, 3, head_dim]`: turned queries (keys and values are not read here).
/// - `pieces`: the parts of the sequence in order, each with keys and values of every head,
///   `[n_keys, head_dim]`; the last `n` are those of the new tokens.
/// - `out`: `[n, width]`.
///
/// # Panics
/// If lengths do not fit.
pub fn attend(qkv: &[f32], pieces: &[&[KeysValues]], heads: Heads, out: &mut [f32]) {
    let (width, dim) = (heads.width(), heads.head_dim);
    let n = out.len() / width;
    let keys_of = |piece: &[KeysValues]| piece.first().map_or(0, |(keys, _)| keys.len());
    let total: usize = pieces.iter().map(|piece| keys_of(piece) / dim).sum();
    let fits = |piece: &&[KeysValues]| {
        let n = keys_of(piece);
        piece.len() == heads.n_heads
            && piece.iter().all(|(keys, values)| keys.len() == n && values.len() == n)
    };
    assert!(qkv.len() == 3 * out.len() && n <= total && pieces.iter().all(fits), "lengths");
    if n < PRODUCT_FROM {
        pulp::Arch::new().dispatch(Attend { qkv, pieces, heads, total, out });
        return;
    }
    let scale = 1.0 / (dim as f32).sqrt();
    let mut scores = vec![0.0_f32; n * total];
    let mut log_sums = vec![0.0_f32; n];
    for head in 0..heads.n_heads {
        let mut first = 0;
        for keys in pieces.iter().map(|piece| &piece[head].0).filter(|keys| !keys.is_empty()) {
            let n_keys = keys.len() / dim;
            let queries = Operand::strided(&qkv[head * 3 * dim..], n, dim, 3 * width);
            let keys = Operand::rows_of(keys, n_keys, dim);
            multiply_strided(queries, keys.t(), &mut scores[first..], total, scale, false);
            first += n_keys;
        }
        let (scores, log_sums) = (scores.as_mut_slice(), log_sums.as_mut_slice());
        pulp::Arch::new().dispatch(Shares { scores: &mut *scores, end: total, first: total - n, log_sums });
        let mut first = 0;
        for values in pieces.iter().map(|piece| &piece[head].1).filter(|values| !values.is_empty()) {
            let n_values = values.len() / dim;
            let shares = Operand::strided(&scores[first..], n, n_values, total);
            let values = Operand::rows_of(values, n_values, dim);
            multiply_strided(shares, values, &mut out[head * dim..], width, 1.0, first > 0);
            first += n_values;
        }
    }
}

/// The same for a few tokens, key by key.
struct Attend<'a> {
    qkv: &'a [f32],
    pieces: &'a [&'a [KeysValues]],
    heads: Heads,
    total: usize,
    out: &'a mut [f32],
}

impl pulp::WithSimd for Attend<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        let Self { qkv, pieces, heads, total, out } = self;
        let (width, dim) = (heads.width(), heads.head_dim);
        let n = out.len() / width;
        let scale = 1.0 / (dim as f32).sqrt();
        let mut scores = vec![0.0_f32; total];
        for (i, (row, out)) in qkv.chunks_exact(3 * width).zip(out.chunks_exact_mut(width)).enumerate() {
            let seen = &mut scores[..=(total - n + i)];
            for (head, to) in out.chunks_exact_mut(dim).enumerate() {
                let query = &row[head * 3 * dim..][..dim];
                let mut left = &mut *seen;
                for (keys, _) in pieces.iter().map(|piece| &piece[head]) {
                    let n_keys = left.len().min(keys.len() / dim);
                    let (scores, rest) = left.split_at_mut(n_keys);
                    left = rest;
                    for (score, key) in scores.iter_mut().zip(keys.chunks_exact(dim)) {
                        *score = dot(simd, query, key) * scale;
                    }
                }
                softmax(simd, seen);
                to.fill(0.0);
                let mut left = &*seen;
                for (_, values) in pieces.iter().map(|piece| &piece[head]) {
                    let (shares, rest) = left.split_at(left.len().min(values.len() / dim));
                    left = rest;
                    for (share, value) in shares.iter().zip(values.chunks_exact(dim)) {
                        add_scaled(to, *share, value);
                    }
                }
            }
        }
    }
}

/// The pass back of [`forward`].
///
/// - `out`, `log_sums`: what the forward pass gave; `grad_out`: like `out`.
/// - `grad_qkv`: like `qkv`, overwritten.
///
/// # Panics
/// If lengths do not fit.
pub fn backward(
    qkv: &[f32],
    segments: &[usize],
    heads: Heads,
    out: &[f32],
    log_sums: &[f32],
    grad_out: &[f32],
    grad_qkv: &mut [f32],
) {
    let dim = heads.head_dim;
    assert!(
        qkv.len() == grad_qkv.len() && out.len() == grad_out.len() && 3 * out.len() == qkv.len(),
        "lengths"
    );
    let mut tasks = Vec::with_capacity(segments.len() * heads.n_heads);
    let by_segment = parts(qkv, segments, 3 * heads.width())
        .into_iter()
        .zip(parts(out, segments, heads.width()))
        .zip(parts(grad_out, segments, heads.width()))
        .zip(parts(log_sums, segments, heads.n_heads))
        .zip(parts_mut(grad_qkv, segments, 3 * heads.width()))
        .zip(segments);
    for (((((qkv, out), grad_out), log_sums), grad_qkv), &length) in by_segment {
        if length > 0 {
            let by_head = qkv.chunks_exact(3 * length * dim).zip(out.chunks_exact(length * dim));
            let by_head = by_head.zip(grad_out.chunks_exact(length * dim));
            let by_head = by_head.zip(log_sums.chunks_exact(length));
            tasks.extend(by_head.zip(grad_qkv.chunks_exact_mut(3 * length * dim)));
        }
    }
    tasks.into_par_iter().for_each(|((((qkv, out), grad_out), log_sums), grad_qkv)| {
        head_backward(qkv, dim, out, grad_out, log_sums, grad_qkv);
    });
}

/// One head of one segment.
fn head_backward(
    qkv: &[f32],
    dim: usize,
    out: &[f32],
    grad_out: &[f32],
    log_sums: &[f32],
    grad_qkv: &mut [f32],
) {
    let length = log_sums.len();
    let scale = 1.0 / (dim as f32).sqrt();
    let (q, rest) = qkv.split_at(length * dim);
    let (k, v) = rest.split_at(length * dim);
    grad_qkv.fill(0.0);
    let (grad_q, rest) = grad_qkv.split_at_mut(length * dim);
    let (grad_k, grad_v) = rest.split_at_mut(length * dim);
    let size = BLOCK.min(length) * length;
    let (mut shares, mut slopes) = (vec![0.0_f32; size], vec![0.0_f32; size]);
    for first in (0..length).step_by(BLOCK) {
        let end = (first + BLOCK).min(length);
        let n = end - first;
        let (shares, slopes) = (&mut shares[..n * end], &mut slopes[..n * end]);
        let queries = Operand::rows_of(&q[first * dim..], n, dim);
        let grad_rows = Operand::rows_of(&grad_out[first * dim..], n, dim);
        let keys = Operand::rows_of(k, end, dim);
        multiply_strided(queries, keys.t(), shares, end, scale, false);
        multiply_strided(grad_rows, Operand::rows_of(v, end, dim).t(), slopes, end, 1.0, false);
        pulp::Arch::new().dispatch(ScoreGradients {
            shares: &mut *shares,
            slopes: &mut *slopes,
            end,
            first,
            dim,
            scale,
            out: &out[first * dim..end * dim],
            grad_out: &grad_out[first * dim..end * dim],
            log_sums: &log_sums[first..end],
        });
        let (shares, slopes) = (Operand::rows_of(shares, n, end), Operand::rows_of(slopes, n, end));
        multiply_strided(shares.t(), grad_rows, &mut grad_v[..end * dim], dim, 1.0, true);
        multiply_strided(slopes, keys, &mut grad_q[first * dim..end * dim], dim, 1.0, false);
        multiply_strided(slopes.t(), queries, &mut grad_k[..end * dim], dim, 1.0, true);
    }
}

/// Scores to shares once more, and gradients by shares to those by scores.
struct ScoreGradients<'a> {
    /// `[n, end]` both.
    shares: &'a mut [f32],
    slopes: &'a mut [f32],
    end: usize,
    /// Keys before the first query's own.
    first: usize,
    dim: usize,
    scale: f32,
    /// `[n, dim]` both.
    out: &'a [f32],
    grad_out: &'a [f32],
    log_sums: &'a [f32],
}

impl pulp::WithSimd for ScoreGradients<'_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        let rows = self.shares.chunks_exact_mut(self.end).zip(self.slopes.chunks_exact_mut(self.end));
        let outputs = self.out.chunks_exact(self.dim).zip(self.grad_out.chunks_exact(self.dim));
        let rows = rows.zip(outputs).zip(self.log_sums).enumerate();
        for (i, (((shares, slopes), (out, grad_out)), log_sum)) in rows {
            let along = dot(simd, grad_out, out);
            let seen = self.first + i + 1;
            for (share, slope) in shares[..seen].iter_mut().zip(&mut slopes[..seen]) {
                *share = exp(*share - log_sum);
                *slope = *share * (*slope - along) * self.scale;
            }
            shares[seen..].fill(0.0);
            slopes[seen..].fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    const HEADS: Heads = Heads { n_heads: 2, head_dim: 6 };

    /// The whole of attention in double precision, token by token.
    fn by_hand(rows: &[f64], segments: &[usize], rotary_dims: usize) -> Vec<f64> {
        let (dim, width) = (HEADS.head_dim, HEADS.width());
        let half = rotary_dims / 2;
        let turned = |row: &[f64], position: usize| -> Vec<f64> {
            let mut out = row.to_vec();
            for i in 0..half {
                let angle = position as f64 * 10_000_f64.powf(-(i as f64) / half as f64);
                out[i] = row[i] * angle.cos() - row[i + half] * angle.sin();
                out[i + half] = row[i + half] * angle.cos() + row[i] * angle.sin();
            }
            out
        };
        let mut out = vec![0.0; rows.len() / 3];
        let mut start = 0;
        for &length in segments {
            for head in 0..HEADS.n_heads {
                let part = |token: usize, which: usize| {
                    &rows[(start + token) * 3 * width + (head * 3 + which) * dim..][..dim]
                };
                for i in 0..length {
                    let q = turned(part(i, 0), i);
                    let scores: Vec<f64> = (0..=i)
                        .map(|j| {
                            q.iter().zip(turned(part(j, 1), j)).map(|(a, b)| a * b).sum::<f64>()
                                / (dim as f64).sqrt()
                        })
                        .collect();
                    let total: f64 = scores.iter().map(|s| s.exp()).sum();
                    for (j, score) in scores.iter().enumerate() {
                        for (c, v) in part(j, 2).iter().enumerate() {
                            out[(start + i) * width + head * dim + c] += score.exp() / total * v;
                        }
                    }
                }
            }
            start += length;
        }
        out
    }

    #[test]
    fn forward_and_gradients_agree_with_plain_sums() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        // Longer than a block, empty, and single.
        let segments = [3, 70, 0, 1];
        let n_tokens: usize = segments.iter().sum();
        let width = HEADS.width();
        let rows: Vec<f32> = (0..3 * n_tokens * width).map(|_| rng.random_range(-1.0..1.0)).collect();
        let grad: Vec<f32> = (0..n_tokens * width).map(|_| rng.random_range(-1.0..1.0)).collect();
        let rotary = Rotary::new(4, 10_000.0, 70);
        let mut qkv = vec![0.0; rows.len()];
        split_heads(&rows, &segments, HEADS, &rotary, &mut qkv);
        let (mut sorted, mut log_sums) = (vec![0.0; n_tokens * width], vec![0.0; n_tokens * 2]);
        forward(&qkv, &segments, HEADS, &mut sorted, &mut log_sums);
        let mut out = vec![0.0; n_tokens * width];
        to_rows(&sorted, &segments, HEADS, &mut out);
        let double: Vec<f64> = rows.iter().map(|&x| f64::from(x)).collect();
        for (found, expected) in out.iter().zip(by_hand(&double, &segments, 4)) {
            assert!((f64::from(*found) - expected).abs() < 2e-6);
        }

        let (mut grad_sorted, mut grad_qkv) = (vec![0.0; grad.len()], vec![0.0; rows.len()]);
        to_heads(&grad, &segments, HEADS, &mut grad_sorted);
        backward(&qkv, &segments, HEADS, &sorted, &log_sums, &grad_sorted, &mut grad_qkv);
        let mut grad_rows = vec![0.0; rows.len()];
        join_gradients(&grad_qkv, &segments, HEADS, &rotary, &mut grad_rows);
        let loss = |rows: &[f64]| -> f64 {
            by_hand(rows, &segments, 4).iter().zip(&grad).map(|(y, g)| y * f64::from(*g)).sum()
        };
        for at in (0..rows.len()).step_by(37) {
            let moved = |by: f64| {
                let mut rows = double.clone();
                rows[at] += by;
                loss(&rows)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((f64::from(grad_rows[at]) - slope).abs() < 1e-5, "{at}: {} and {slope}", grad_rows[at]);
        }
        let zeros = grad_rows.iter().filter(|x| **x == 0.0).count();
        assert!(zeros < rows.len() / 20, "{zeros} of {} gradients are zero", rows.len());
    }

    /// New tokens after others, in two pieces, a few and many: the rows of the whole sequence.
    #[test]
    fn attention_with_kept_keys_is_that_of_the_whole() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(8);
        let (length, width, dim) = (40, HEADS.width(), HEADS.head_dim);
        let rotary = Rotary::new(4, 10_000.0, length);
        let rows: Vec<f32> = (0..3 * length * width).map(|_| rng.random_range(-1.0..1.0)).collect();
        let mut qkv = vec![0.0; rows.len()];
        split_heads(&rows, &[length], HEADS, &rotary, &mut qkv);
        let (mut sorted, mut log_sums) = (vec![0.0; length * width], vec![0.0; length * 2]);
        forward(&qkv, &[length], HEADS, &mut sorted, &mut log_sums);
        let mut whole = vec![0.0; length * width];
        to_rows(&sorted, &[length], HEADS, &mut whole);
        // Turned rows as they came, and keys and values by token.
        let mut turned = rows.clone();
        let mut kept = vec![(Vec::new(), Vec::new()); HEADS.n_heads];
        for (position, row) in turned.chunks_exact_mut(3 * width).enumerate() {
            for (head, (keys, values)) in row.chunks_exact_mut(3 * dim).zip(&mut kept) {
                rotary.turn(&mut head[..dim], position, false);
                rotary.turn(&mut head[dim..2 * dim], position, false);
                keys.extend_from_slice(&head[dim..2 * dim]);
                values.extend_from_slice(&head[2 * dim..]);
            }
        }
        for n in [1, 3, 9, 40] {
            for cut in [0, 20] {
                let part = |range: std::ops::Range<usize>| -> Vec<KeysValues> {
                    let of = |values: &[f32]| values[range.start * dim..range.end * dim].to_vec();
                    kept.iter().map(|(keys, values)| (of(keys), of(values))).collect()
                };
                let pieces = [part(0..cut), part(cut..length)];
                let mut out = vec![0.0; n * width];
                let rows = &turned[(length - n) * 3 * width..];
                attend(rows, &[pieces[0].as_slice(), pieces[1].as_slice()], HEADS, &mut out);
                for (found, expected) in out.iter().zip(&whole[(length - n) * width..]) {
                    assert!((found - expected).abs() < 2e-6, "{n} {cut}");
                }
            }
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(6);
        let segments = [40, 33, 90];
        let n_tokens: usize = segments.iter().sum();
        let qkv: Vec<f32> = (0..3 * n_tokens * HEADS.width()).map(|_| rng.random_range(-1.0..1.0)).collect();
        let on = |n_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let (mut out, mut log_sums) = (vec![0.0; n_tokens * HEADS.width()], vec![0.0; n_tokens * 2]);
            let mut grad = vec![0.0; qkv.len()];
            pool.install(|| {
                forward(&qkv, &segments, HEADS, &mut out, &mut log_sums);
                backward(&qkv, &segments, HEADS, &out, &log_sums, &out, &mut grad);
            });
            (out, grad)
        };
        assert_eq!(on(1), on(3));
    }
}
