//! Products of a few rows with a large matrix: what generating text one token at a time comes to.
//!
//! Such a product reads every weight once and does little with it, so its limit is the memory's speed,
//! not the processor's. Weights stand in panels of 16 outputs, `[n_out / 16][n_in][16]`: memory is read
//! from start to end, and 16 sums grow side by side and never have to be added across a register. Weights
//! may be kept in 16 or 8 bits to read less.
//!
//! Every sum is in 32 bits. With 8-bit weights the rows they meet are rounded to whole numbers too, of as
//! many bits as a 32-bit sum has room for (13 to 16 in layers of usual widths), and sums are exact. A sum of
//! floats is cut into as many parts as the number of rows asks for, so the last bits of a row's product
//! depend on how many rows are multiplied together, but not on the number of threads.

use rayon::prelude::*;

use crate::simd::wide;

/// Outputs of one panel.
const PANEL: usize = 16;
/// Panels in one task.
const TASK: usize = 16;
/// Rows multiplied at a time, as many as possible: rows in a tile, largest first.
const TILES: [usize; 4] = [8, 4, 2, 1];

/// Weights `[n_out, n_in]` in one of three precisions.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    n_in: usize,
    n_out: usize,
    values: Values,
}

#[derive(Debug, Clone, PartialEq)]
enum Values {
    /// `[panel][n_in][16]`.
    F32(Vec<f32>),
    /// `[panel][n_in / 2][16]`: the upper 16 bits of two values, the second in the upper half.
    Bf16(Vec<u32>),
    /// `[panel][n_in / 2][16][2]`: a value is `q · scale`, with a scale a row.
    Int8 { values: Vec<i8>, scales: Vec<f32> },
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

/// The upper half of 32 bits.
const UPPER: u32 = 0xffff_0000;

/// Sorts rows into panels; `together` values of a row stand side by side. Places without a value hold 0.
fn panels<T: Copy + Default + Send + Sync>(
    rows: &[f32],
    n_in: usize,
    together: usize,
    of: impl Fn(usize, f32) -> T + Sync,
) -> Vec<T> {
    let n_out = rows.len() / n_in;
    let size = n_in.next_multiple_of(together) * PANEL;
    let mut values = vec![T::default(); n_out.div_ceil(PANEL) * size];
    values.par_chunks_mut(size).zip(rows.par_chunks(PANEL * n_in)).enumerate().for_each(
        |(panel, (values, rows))| {
            for (lane, row) in rows.chunks_exact(n_in).enumerate() {
                for (at, group) in row.chunks(together).enumerate() {
                    let to = &mut values[(at * PANEL + lane) * together..][..group.len()];
                    to.iter_mut().zip(group).for_each(|(to, x)| *to = of(panel * PANEL + lane, *x));
                }
            }
        },
    );
    values
}

impl Weights {
    /// Stores `rows`, each of `n_in` values, in `precision`.
    ///
    /// # Panics
    /// If `n_in` is 0 or the length is no multiple of it.
    pub fn new(rows: &[f32], n_in: usize, precision: Precision) -> Self {
        assert!(n_in > 0 && rows.len().is_multiple_of(n_in), "whole rows");
        let values = match precision {
            Precision::F32 => Values::F32(panels(rows, n_in, 1, |_, x| x)),
            Precision::Bf16 => {
                let halves = panels(rows, n_in, 2, |_, x| to_bf16(x));
                let pair = |pair: &[u16; 2]| u32::from(pair[0]) | u32::from(pair[1]) << 16;
                Values::Bf16(halves.as_chunks().0.iter().map(pair).collect())
            }
            Precision::Int8 => {
                let scales: Vec<f32> = rows.par_chunks_exact(n_in).map(|row| largest(row) / 127.0).collect();
                let round = |row: usize, x: f32| {
                    let scale = scales[row];
                    // A row of zeros has the scale 0.
                    if scale > 0.0 { (x / scale).round_ties_even() as i8 } else { 0 }
                };
                let values = panels(rows, n_in, 2, round);
                Values::Int8 { values, scales }
            }
        };
        Self { n_in, n_out: rows.len() / n_in, values }
    }

    /// Bytes in memory.
    pub fn size_bytes(&self) -> usize {
        match &self.values {
            Values::F32(values) => 4 * values.len(),
            Values::Bf16(values) => 4 * values.len(),
            Values::Int8 { values, scales } => values.len() + 4 * scales.len(),
        }
    }

    /// Row `row` as 32-bit values.
    ///
    /// # Panics
    /// If there is no such row, or `into` has another length than rows have.
    pub fn row_into(&self, row: usize, into: &mut [f32]) {
        assert!(row < self.n_out && into.len() == self.n_in, "a row of the weights");
        let (panel, lane) = (row / PANEL, row % PANEL);
        match &self.values {
            Values::F32(values) => {
                let from = values[panel * self.n_in * PANEL + lane..].iter().step_by(PANEL);
                into.iter_mut().zip(from).for_each(|(x, value)| *x = *value);
            }
            Values::Bf16(values) => {
                let from = values[panel * self.n_in.div_ceil(2) * PANEL + lane..].iter().step_by(PANEL);
                for (pair, &bits) in into.chunks_mut(2).zip(from) {
                    pair[0] = f32::from_bits(bits << 16);
                    if let Some(second) = pair.get_mut(1) {
                        *second = f32::from_bits(bits & UPPER);
                    }
                }
            }
            Values::Int8 { values, scales } => {
                let values = &values[panel * self.n_in.next_multiple_of(2) * PANEL..];
                for (at, x) in into.iter_mut().enumerate() {
                    *x = f32::from(values[(at / 2 * PANEL + lane) * 2 + at % 2]) * scales[row];
                }
            }
        }
    }

    /// `out = x · weightsᵀ`: `[m, n_in] · [n_out, n_in]ᵀ → [m, n_out]`.
    ///
    /// # Panics
    /// If lengths do not fit.
    pub fn product(&self, x: &[f32], out: &mut [f32]) {
        let (n_in, n_out) = (self.n_in, self.n_out);
        assert!(x.len().is_multiple_of(n_in), "whole rows");
        let m = x.len() / n_in;
        assert_eq!(out.len(), m * n_out, "size of the result");
        if out.is_empty() {
            return;
        }
        match &self.values {
            Values::F32(values) => {
                let tiles = pack(x, n_in, 1);
                by_task(out, n_out, |task, out| {
                    let weights = part(values, task, n_in * PANEL);
                    pulp::Arch::new().dispatch(F32Task { weights, tiles: &tiles, n_in, out });
                });
            }
            Values::Bf16(values) => {
                let tiles = pack(x, n_in, 2);
                let n_pairs = n_in.div_ceil(2);
                by_task(out, n_out, |task, out| {
                    let weights = part(values, task, n_pairs * PANEL);
                    pulp::Arch::new().dispatch(Bf16Task { weights, tiles: &tiles, n_pairs, out });
                });
            }
            Values::Int8 { values, scales } => {
                let rounded = Rounded::new(x, n_in);
                let n_pairs = n_in.div_ceil(2);
                by_task(out, n_out, |task, out| {
                    let weights = part(values, task, 2 * n_pairs * PANEL);
                    let scales = &scales[task * TASK * PANEL..];
                    IntegerTask { weights, scales, rounded: &rounded, n_pairs, out }.run();
                });
            }
        }
    }
}

/// Largest absolute value.
fn largest(x: &[f32]) -> f32 {
    x.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()))
}

/// Weights of one task.
fn part<T>(values: &[T], task: usize, panel: usize) -> &[T] {
    let first = task * TASK * panel;
    &values[first..values.len().min(first + TASK * panel)]
}

/// Cuts every row of `out` at the same places; a task has its part of all rows.
fn by_task(out: &mut [f32], n_out: usize, run: impl Fn(usize, &mut [&mut [f32]]) + Sync) {
    let mut rows: Vec<_> = out.chunks_exact_mut(n_out).map(|row| row.chunks_mut(TASK * PANEL)).collect();
    let n_tasks = n_out.div_ceil(TASK * PANEL);
    let tasks: Vec<Vec<&mut [f32]>> =
        (0..n_tasks).map(|_| rows.iter_mut().filter_map(Iterator::next).collect()).collect();
    tasks.into_par_iter().enumerate().for_each(|(task, mut out)| run(task, &mut out));
}

/// Sizes of the tiles that `m` rows are cut into.
fn tile_sizes(m: usize) -> impl Iterator<Item = usize> {
    let mut left = m;
    std::iter::from_fn(move || {
        let size = TILES.into_iter().find(|&size| size <= left)?;
        left -= size;
        Some(size)
    })
}

/// Rows cut into tiles, each turned: `[n_in, rows of the tile]`, so that a step reads neighbours. Rows are
/// filled with 0 up to a multiple of `together`.
fn pack<T: Copy + Default>(x: &[T], n_in: usize, together: usize) -> Vec<T> {
    let m = x.len() / n_in;
    let length = n_in.next_multiple_of(together);
    let mut packed = vec![T::default(); m * length];
    let mut first = 0;
    for size in tile_sizes(m) {
        let tile = &mut packed[first * length..(first + size) * length];
        for (at, row) in x[first * n_in..(first + size) * n_in].chunks_exact(n_in).enumerate() {
            for (to, from) in tile[at..].iter_mut().step_by(size).zip(row) {
                *to = *from;
            }
        }
        first += size;
    }
    packed
}

/// Some panels of 32-bit weights with all tiles.
struct F32Task<'a, 'b> {
    weights: &'a [f32],
    tiles: &'a [f32],
    n_in: usize,
    out: &'a mut [&'b mut [f32]],
}

impl pulp::WithSimd for F32Task<'_, '_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        // Registers of a panel.
        match S::F32_LANES {
            16 => self.run::<S, 1>(simd),
            8 => self.run::<S, 2>(simd),
            4 => self.run::<S, 4>(simd),
            _ => self.run::<S, 16>(simd),
        }
    }
}

impl F32Task<'_, '_> {
    #[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
    #[inline(always)]
    fn run<S: pulp::Simd, const V: usize>(self, simd: S) {
        let Self { weights, tiles, n_in, out } = self;
        for (panel, weights) in weights.chunks_exact(n_in * PANEL).enumerate() {
            let weights = S::as_simd_f32s(weights).0.as_chunks::<V>().0;
            let (mut tiles, mut out) = (tiles, &mut *out);
            for size in tile_sizes(out.len()) {
                let (tile, rest) = tiles.split_at(size * n_in);
                tiles = rest;
                let (rows, rest) = out.split_at_mut(size);
                out = rest;
                match size {
                    8 => store(simd, &f32_sums::<S, V, 8, 1>(simd, weights, tile.as_chunks().0), rows, panel),
                    4 => store(simd, &f32_sums::<S, V, 4, 2>(simd, weights, tile.as_chunks().0), rows, panel),
                    2 => store(simd, &f32_sums::<S, V, 2, 4>(simd, weights, tile.as_chunks().0), rows, panel),
                    _ => store(simd, &f32_sums::<S, V, 1, 8>(simd, weights, tile.as_chunks().0), rows, panel),
                }
            }
        }
    }
}

/// Some panels of 16-bit weights with all tiles.
struct Bf16Task<'a, 'b> {
    weights: &'a [u32],
    tiles: &'a [f32],
    n_pairs: usize,
    out: &'a mut [&'b mut [f32]],
}

impl pulp::WithSimd for Bf16Task<'_, '_> {
    type Output = ();

    #[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, simd: S) {
        match S::F32_LANES {
            16 => self.run::<S, 1>(simd),
            8 => self.run::<S, 2>(simd),
            4 => self.run::<S, 4>(simd),
            _ => self.run::<S, 16>(simd),
        }
    }
}

impl Bf16Task<'_, '_> {
    #[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
    #[inline(always)]
    fn run<S: pulp::Simd, const V: usize>(self, simd: S) {
        let Self { weights, tiles, n_pairs, out } = self;
        for (panel, weights) in weights.chunks_exact(n_pairs * PANEL).enumerate() {
            let weights = S::as_simd_u32s(weights).0.as_chunks::<V>().0;
            let (mut tiles, mut out) = (tiles, &mut *out);
            for size in tile_sizes(out.len()) {
                let (tile, rest) = tiles.split_at(size * 2 * n_pairs);
                tiles = rest;
                let (rows, rest) = out.split_at_mut(size);
                out = rest;
                match size {
                    8 => store(simd, &bf16_sums::<S, V, 8, 1>(simd, weights, pairs(tile)), rows, panel),
                    4 => store(simd, &bf16_sums::<S, V, 4, 2>(simd, weights, pairs(tile)), rows, panel),
                    2 => store(simd, &bf16_sums::<S, V, 2, 4>(simd, weights, pairs(tile)), rows, panel),
                    _ => store(simd, &bf16_sums::<S, V, 1, 8>(simd, weights, pairs(tile)), rows, panel),
                }
            }
        }
    }
}

#[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
#[inline(always)]
fn pairs<const M: usize>(tile: &[f32]) -> &[[[f32; M]; 2]] {
    tile.as_chunks().0.as_chunks().0
}

/// Sums of a panel of `V` registers with `M` rows, in `U` parts, so that no addition waits for the one before.
#[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
#[inline(always)]
fn f32_sums<S: pulp::Simd, const V: usize, const M: usize, const U: usize>(
    simd: S,
    weights: &[[S::f32s; V]],
    x: &[[f32; M]],
) -> [[S::f32s; V]; M] {
    let mut sums = [[[simd.splat_f32s(0.0); V]; M]; U];
    let (weights, weights_rest) = weights.as_chunks::<U>();
    let (x, x_rest) = x.as_chunks::<U>();
    for (weights, x) in weights.iter().zip(x) {
        for part in 0..U {
            for row in 0..M {
                let x = simd.splat_f32s(x[part][row]);
                for at in 0..V {
                    sums[part][row][at] = simd.mul_add_f32s(weights[part][at], x, sums[part][row][at]);
                }
            }
        }
    }
    for (weights, x) in weights_rest.iter().zip(x_rest) {
        for row in 0..M {
            let x = simd.splat_f32s(x[row]);
            for at in 0..V {
                sums[0][row][at] = simd.mul_add_f32s(weights[at], x, sums[0][row][at]);
            }
        }
    }
    total(simd, &sums)
}

/// The same with weights of 16 bits, two to a place: `x` is `[n_pairs][2][M]`.
#[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
#[inline(always)]
fn bf16_sums<S: pulp::Simd, const V: usize, const M: usize, const U: usize>(
    simd: S,
    weights: &[[S::u32s; V]],
    x: &[[[f32; M]; 2]],
) -> [[S::f32s; V]; M] {
    let mut sums = [[[simd.splat_f32s(0.0); V]; M]; U];
    let (upper, by) = (simd.splat_u32s(UPPER), simd.splat_u32s(16));
    let (groups, rest) = weights.as_chunks::<U>();
    let (x_groups, x_rest) = x.as_chunks::<U>();
    for (weights, x) in groups.iter().zip(x_groups) {
        for part in 0..U {
            for at in 0..V {
                let first = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(weights[part][at], by));
                let second = simd.transmute_f32s_u32s(simd.and_u32s(weights[part][at], upper));
                for row in 0..M {
                    let sum = sums[part][row][at];
                    let sum = simd.mul_add_f32s(first, simd.splat_f32s(x[part][0][row]), sum);
                    sums[part][row][at] = simd.mul_add_f32s(second, simd.splat_f32s(x[part][1][row]), sum);
                }
            }
        }
    }
    for (weights, x) in rest.iter().zip(x_rest) {
        for at in 0..V {
            let first = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(weights[at], by));
            let second = simd.transmute_f32s_u32s(simd.and_u32s(weights[at], upper));
            for row in 0..M {
                let sum = simd.mul_add_f32s(first, simd.splat_f32s(x[0][row]), sums[0][row][at]);
                sums[0][row][at] = simd.mul_add_f32s(second, simd.splat_f32s(x[1][row]), sum);
            }
        }
    }
    total(simd, &sums)
}

/// Adds up the parts of sums, in order.
#[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
#[inline(always)]
fn total<S: pulp::Simd, const V: usize, const M: usize, const U: usize>(
    simd: S,
    sums: &[[[S::f32s; V]; M]; U],
) -> [[S::f32s; V]; M] {
    let mut total = sums[0];
    for part in &sums[1..] {
        for row in 0..M {
            for at in 0..V {
                total[row][at] = simd.add_f32s(total[row][at], part[row][at]);
            }
        }
    }
    total
}

/// Writes the sums of a panel; the last one may be cut short.
#[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
#[inline(always)]
fn store<S: pulp::Simd, const V: usize>(_: S, sums: &[[S::f32s; V]], out: &mut [&mut [f32]], panel: usize) {
    for (sums, out) in sums.iter().zip(out) {
        let out = &mut out[panel * PANEL..];
        if let Some(out) = out.first_chunk_mut::<PANEL>() {
            for (to, sum) in S::as_mut_simd_f32s(out).0.iter_mut().zip(sums) {
                *to = *sum;
            }
        } else {
            let mut all = [0.0_f32; PANEL];
            S::as_mut_simd_f32s(&mut all).0.iter_mut().zip(sums).for_each(|(to, sum)| *to = *sum);
            out.copy_from_slice(&all[..out.len()]);
        }
    }
}

/// Rows as whole numbers for 8-bit weights: tiles of pairs, both in one 32-bit value, and a scale a row.
struct Rounded {
    tiles: Vec<i32>,
    scales: Vec<f32>,
}

impl Rounded {
    fn new(x: &[f32], n_in: usize) -> Self {
        // A sum of `n_in` products with weights up to 127 fits 32 bits.
        let most = (i32::MAX as usize / (127 * n_in)).min(i16::MAX as usize) as f32;
        let scales: Vec<f32> = x.chunks_exact(n_in).map(|row| largest(row) / most).collect();
        let n_pairs = n_in.div_ceil(2);
        let mut pairs = vec![0_i32; n_pairs * scales.len()];
        for ((row, scale), pairs) in x.chunks_exact(n_in).zip(&scales).zip(pairs.chunks_exact_mut(n_pairs)) {
            let by = if *scale > 0.0 { 1.0 / scale } else { 0.0 };
            let round = |x: f32| (x * by).round_ties_even().clamp(-most, most) as i32;
            for (pair, x) in pairs.iter_mut().zip(row.chunks(2)) {
                *pair = (round(x[0]) & 0xffff) | (x.get(1).map_or(0, |x| round(*x)) << 16);
            }
        }
        Self { tiles: pack(&pairs, n_pairs, 1), scales }
    }
}

/// Some panels of 8-bit weights with all tiles.
struct IntegerTask<'a, 'b> {
    weights: &'a [i8],
    scales: &'a [f32],
    rounded: &'a Rounded,
    n_pairs: usize,
    out: &'a mut [&'b mut [f32]],
}

impl IntegerTask<'_, '_> {
    fn run(self) {
        #[cfg(target_arch = "x86_64")]
        if let Some(v4) = pulp::x86::V4::try_new() {
            v4.vectorize(
                #[inline(always)]
                || self.with(v4),
            );
            return;
        }
        self.run_plain();
    }

    /// The same numbers on any machine.
    fn run_plain(self) {
        wide(
            #[inline(always)]
            || self.with(Plain),
        );
    }

    #[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
    #[inline(always)]
    fn with<K: PairSums>(self, kernel: K) {
        let Self { weights, scales, rounded, n_pairs, out } = self;
        for (panel, weights) in weights.chunks_exact(2 * n_pairs * PANEL).enumerate() {
            let weights = weights.as_chunks::<{ 2 * PANEL }>().0;
            let mut tiles = rounded.tiles.as_slice();
            let mut first = 0;
            for size in tile_sizes(out.len()) {
                let (tile, rest) = tiles.split_at(size * n_pairs);
                tiles = rest;
                let mut sums = [[0_i32; PANEL]; TILES[0]];
                match size {
                    8 => sums = kernel.sums::<8, 1>(weights, tile.as_chunks().0),
                    4 => sums[..4].copy_from_slice(&kernel.sums::<4, 2>(weights, tile.as_chunks().0)),
                    2 => sums[..2].copy_from_slice(&kernel.sums::<2, 4>(weights, tile.as_chunks().0)),
                    _ => sums[..1].copy_from_slice(&kernel.sums::<1, 8>(weights, tile.as_chunks().0)),
                }
                for (row, sums) in sums[..size].iter().enumerate() {
                    let scale = rounded.scales[first + row];
                    let out = out[first + row][panel * PANEL..].iter_mut();
                    for ((out, sum), of_weight) in out.zip(sums).zip(&scales[panel * PANEL..]) {
                        *out = *sum as f32 * (scale * of_weight);
                    }
                }
                first += size;
            }
        }
    }
}

/// Sums of products of 8-bit weights and 16-bit values, pair by pair.
trait PairSums: Copy {
    /// - `weights`: `[n_pairs][16][2]`; `x`: `[n_pairs][M]`, two 16-bit values each.
    fn sums<const M: usize, const U: usize>(
        self,
        weights: &[[i8; 2 * PANEL]],
        x: &[[i32; M]],
    ) -> [[i32; PANEL]; M];
}

#[derive(Clone, Copy)]
struct Plain;

impl PairSums for Plain {
    #[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
    #[inline(always)]
    fn sums<const M: usize, const U: usize>(
        self,
        weights: &[[i8; 2 * PANEL]],
        x: &[[i32; M]],
    ) -> [[i32; PANEL]; M] {
        let mut sums = [[0_i32; PANEL]; M];
        for (weights, x) in weights.iter().zip(x) {
            for row in 0..M {
                let (even, odd) = ((x[row] << 16) >> 16, x[row] >> 16);
                for lane in 0..PANEL {
                    sums[row][lane] +=
                        even * i32::from(weights[2 * lane]) + odd * i32::from(weights[2 * lane + 1]);
                }
            }
        }
        sums
    }
}

#[cfg(target_arch = "x86_64")]
impl PairSums for pulp::x86::V4 {
    #[allow(clippy::inline_always, reason = "a separate function would lose the target features")]
    #[inline(always)]
    fn sums<const M: usize, const U: usize>(
        self,
        weights: &[[i8; 2 * PANEL]],
        x: &[[i32; M]],
    ) -> [[i32; PANEL]; M] {
        let (words, floats) = (self.avx512bw, self.avx512f);
        let mut sums = [[floats._mm512_set1_epi32(0); M]; U];
        let (weights, weights_rest) = weights.as_chunks::<U>();
        let (x, x_rest) = x.as_chunks::<U>();
        for (weights, x) in weights.iter().zip(x) {
            for part in 0..U {
                let weights = words._mm512_cvtepi8_epi16(pulp::cast(weights[part]));
                for row in 0..M {
                    let products = words._mm512_madd_epi16(weights, floats._mm512_set1_epi32(x[part][row]));
                    sums[part][row] = floats._mm512_add_epi32(sums[part][row], products);
                }
            }
        }
        for (weights, x) in weights_rest.iter().zip(x_rest) {
            let weights = words._mm512_cvtepi8_epi16(pulp::cast(*weights));
            for row in 0..M {
                let products = words._mm512_madd_epi16(weights, floats._mm512_set1_epi32(x[row]));
                sums[0][row] = floats._mm512_add_epi32(sums[0][row], products);
            }
        }
        let mut total = [[0_i32; PANEL]; M];
        for row in 0..M {
            let mut sum = sums[0][row];
            for part in &sums[1..] {
                sum = floats._mm512_add_epi32(sum, part[row]);
            }
            total[row] = pulp::cast(sum);
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn products_agree_with_plain_sums_in_every_precision() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(2);
        for (m, n_in, n_out) in
            [(1, 64, 300), (3, 40, 7), (4, 33, 5), (9, 100, 257), (1, 5, 1), (31, 17, 16), (2, 3, 515)]
        {
            let mut draw = |n: usize| (0..n).map(|_| rng.random_range(-1.0_f32..1.0)).collect::<Vec<f32>>();
            let (x, rows) = (draw(m * n_in), draw(n_out * n_in));
            for (precision, bits) in
                [(Precision::F32, 1e-5), (Precision::Bf16, 4e-3), (Precision::Int8, 8e-3)]
            {
                let weights = Weights::new(&rows, n_in, precision);
                let mut out = vec![0.0; m * n_out];
                weights.product(&x, &mut out);
                // The other side is rounded to 15 bits where weights have 8.
                let tolerance = if precision == Precision::Int8 { 4e-4 } else { 2e-5 };
                let mut row = vec![0.0; n_in];
                for i in 0..m {
                    for j in 0..n_out {
                        weights.row_into(j, &mut row);
                        let sum: f64 =
                            x[i * n_in..][..n_in].iter().zip(&row).map(|(a, b)| f64::from(a * b)).sum();
                        let off = (f64::from(out[i * n_out + j]) - sum).abs();
                        assert!(off < tolerance, "{precision:?} {i} {j}: off by {off:e}");
                        for (found, expected) in row.iter().zip(&rows[j * n_in..]) {
                            assert!((found - expected).abs() <= bits, "{precision:?}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn integer_sums_are_the_same_on_any_machine() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        // At the largest width the sums come near the bounds of 32 bits.
        for (m, n_in, n_out) in [(15, 64, 40), (1, 33, 17), (7, 20_000, 3)] {
            let mut draw = |n: usize| (0..n).map(|_| rng.random_range(0.99_f32..1.0)).collect::<Vec<f32>>();
            let (x, rows) = (draw(m * n_in), draw(n_out * n_in));
            let weights = Weights::new(&rows, n_in, Precision::Int8);
            let mut out = vec![0.0; m * n_out];
            weights.product(&x, &mut out);
            let Values::Int8 { values, scales } = &weights.values else { unreachable!() };
            let mut plain = vec![0.0; m * n_out];
            let rounded = Rounded::new(&x, n_in);
            let n_pairs = n_in.div_ceil(2);
            by_task(&mut plain, n_out, |_, out| {
                IntegerTask { weights: values, scales, rounded: &rounded, n_pairs, out }.run_plain();
            });
            assert_eq!(out, plain);
            let exact = n_in as f32 * 0.99;
            assert!(out.iter().all(|&x| x > 0.98 * exact), "no sum wraps");
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(6);
        let mut draw = |n: usize| (0..n).map(|_| rng.random_range(-1.0_f32..1.0)).collect::<Vec<f32>>();
        let (x, rows) = (draw(11 * 70), draw(700 * 70));
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let weights = Weights::new(&rows, 70, precision);
            let on = |n_threads| {
                let mut out = vec![0.0; 11 * 700];
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                pool.install(|| weights.product(&x, &mut out));
                out
            };
            assert_eq!(on(1), on(3));
        }
    }

    #[test]
    #[should_panic(expected = "a row of the weights")]
    fn rows_that_do_not_exist_are_refused() {
        Weights::new(&[0.0; 6], 3, Precision::F32).row_into(2, &mut [0.0; 3]);
    }

    #[test]
    fn bfloat16_rounds_to_nearest_even() {
        // torch: torch.tensor(x).bfloat16().view(torch.int16)
        for (value, bits) in
            [(1.0_f32, 0x3f80), (1.003_906_2, 0x3f80), (1.011_718_8, 0x3f82), (-3.12, 0xc048)]
        {
            assert_eq!(to_bf16(value), bits, "{value}");
        }
        let back = |x: f32| f32::from_bits(u32::from(to_bf16(x)) << 16);
        assert!(back(f32::NAN).is_nan());
        assert_eq!(back(f32::INFINITY), f32::INFINITY);
    }
}
