//! The inner loops of training, in the widest vectors the processor has.
//!
//! Rows are padded to [`LANES`] components with zeros. A sum always runs in the same [`LANES`] partial
//! sums, added up in the same order, so without fused multiply-add every version gives the same bits,
//! the plain one included; with it (half the instructions, other rounding) bits depend on the processor.
//!
//! `unsafe` is here for two reasons only: calling a function compiled for a processor feature after the
//! feature was found, and copying rows that other threads may be writing.
#![allow(unsafe_code)]
// Each version has to be one function, compiled for its processor features from end to end.
#![allow(clippy::inline_always)]

use std::sync::atomic::{AtomicU32, Ordering};

/// Rows are a multiple of so many components.
pub(crate) const LANES: usize = 16;

type Lanes = [f32; LANES];

/// `scores[k] = input · outputs[k]`.
type Dots = fn(input: &[f32], outputs: &[f32], scores: &mut [f32]);
/// `change = Σ_k gains[k] · outputs[k]`, `outputs[k] += gains[k] · input`, then `input += change`.
type Update = fn(input: &mut [f32], outputs: &mut [f32], gains: &[f32], change: &mut [f32]);

/// `sum += Σ_k gains[k] · rows[k]`.
type Combine = fn(sum: &mut [f32], rows: &[f32], gains: &[f32]);

/// Goes through chosen rows of a table of `[n, dim]`, given by position and weight, without padding.
type Gather = fn(table: &[f32], rows: &[(usize, f32)], out: &mut [f32]);

/// The inner loops in one version.
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    /// Shapes: `[dim]`, `[n, dim]` → `[n]`.
    pub(crate) dots: Dots,
    /// Shapes: `[dim]`, `[n, dim]`, `[n]`, `[dim]`.
    pub(crate) update: Update,
    /// Shapes: `[dim]`, `[n, dim]`, `[n]`.
    pub(crate) combine: Combine,
    /// `out += Σ weight · row`, in the order of the rows.
    pub(crate) gather: Gather,
    /// `out = max(out, |row|)` over the rows, whatever their weights.
    pub(crate) gather_max: Gather,
}

impl Kernels {
    /// Same bits on every processor.
    pub(crate) fn exact() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return x86::AVX512_EXACT;
            }
            if is_x86_feature_detected!("avx2") {
                return x86::AVX2_EXACT;
            }
        }
        Self::plain()
    }

    /// The quickest; bits depend on the processor.
    pub(crate) fn fast() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return x86::AVX512_FUSED;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return x86::AVX2_FUSED;
            }
        }
        Self::plain()
    }

    /// For any processor: the safe twin.
    pub(crate) fn plain() -> Self {
        Self {
            dots: dots::<false>,
            update: update::<false>,
            combine: combine::<false>,
            gather: gather::<false>,
            gather_max,
        }
    }
}

#[inline(always)]
fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn dots<const FUSED: bool>(input: &[f32], outputs: &[f32], scores: &mut [f32]) {
    let mut done = 0;
    while done + 4 <= scores.len() {
        dots_group::<FUSED, 4>(input, &outputs[done * input.len()..], &mut scores[done..]);
        done += 4;
    }
    while done + 2 <= scores.len() {
        dots_group::<FUSED, 2>(input, &outputs[done * input.len()..], &mut scores[done..]);
        done += 2;
    }
    if done < scores.len() {
        dots_group::<FUSED, 1>(input, &outputs[done * input.len()..], &mut scores[done..]);
    }
}

/// Several rows at a time: the input is read once, and sums of different rows do not wait for each other.
#[inline(always)]
fn dots_group<const FUSED: bool, const N: usize>(input: &[f32], outputs: &[f32], scores: &mut [f32]) {
    let input = input.as_chunks::<LANES>().0;
    let stride = input.len();
    let outputs = &outputs.as_chunks::<LANES>().0[..N * stride];
    let mut sums = [[0.0_f32; LANES]; N];
    for at in 0..stride {
        let x = &input[at];
        for row in 0..N {
            let y = &outputs[row * stride + at];
            for lane in 0..LANES {
                sums[row][lane] = multiply_add::<FUSED>(x[lane], y[lane], sums[row][lane]);
            }
        }
    }
    // Seen through the final additions, the compiler would keep the sums in halves and quarters all along.
    for (score, sums) in scores.iter_mut().zip(std::hint::black_box(&sums)) {
        *score = add_up(sums);
    }
}

#[inline(always)]
fn add_up(sums: &Lanes) -> f32 {
    let mut half = [0.0_f32; 8];
    for lane in 0..8 {
        half[lane] = sums[lane] + sums[lane + 8];
    }
    let quarter = [half[0] + half[4], half[1] + half[5], half[2] + half[6], half[3] + half[7]];
    (quarter[0] + quarter[2]) + (quarter[1] + quarter[3])
}

#[inline(always)]
fn update<const FUSED: bool>(input: &mut [f32], outputs: &mut [f32], gains: &[f32], change: &mut [f32]) {
    let stride = input.len();
    change.fill(0.0);
    let mut done = 0;
    while done < gains.len() {
        let (outputs, gains) = (&mut outputs[done * stride..], &gains[done..]);
        done += match gains.len() {
            6.. => update_group::<FUSED, 6>(input, outputs, gains, change),
            4..6 => update_group::<FUSED, 4>(input, outputs, gains, change),
            2..4 => update_group::<FUSED, 2>(input, outputs, gains, change),
            _ => update_group::<FUSED, 1>(input, outputs, gains, change),
        };
    }
    input.iter_mut().zip(change).for_each(|(x, change)| *x += *change);
}

/// Several rows at a time: input and change are read once for all of them. Returns how many.
#[inline(always)]
fn update_group<const FUSED: bool, const N: usize>(
    input: &[f32],
    outputs: &mut [f32],
    gains: &[f32],
    change: &mut [f32],
) -> usize {
    let input = input.as_chunks::<LANES>().0;
    let stride = input.len();
    let change = &mut change.as_chunks_mut::<LANES>().0[..stride];
    let outputs = &mut outputs.as_chunks_mut::<LANES>().0[..N * stride];
    let gains: [f32; N] = std::array::from_fn(|row| gains[row]);
    for at in 0..stride {
        let x = input[at];
        let mut sum = change[at];
        for row in 0..N {
            let y = &mut outputs[row * stride + at];
            for lane in 0..LANES {
                sum[lane] = multiply_add::<FUSED>(gains[row], y[lane], sum[lane]);
                y[lane] = multiply_add::<FUSED>(gains[row], x[lane], y[lane]);
            }
        }
        change[at] = sum;
    }
    N
}

#[inline(always)]
fn combine<const FUSED: bool>(sum: &mut [f32], rows: &[f32], gains: &[f32]) {
    let stride = sum.len();
    let mut done = 0;
    while done + 8 <= gains.len() {
        combine_group::<FUSED, 8>(sum, &rows[done * stride..], &gains[done..]);
        done += 8;
    }
    while done < gains.len() {
        combine_group::<FUSED, 1>(sum, &rows[done * stride..], &gains[done..]);
        done += 1;
    }
}

#[inline(always)]
fn combine_group<const FUSED: bool, const N: usize>(sum: &mut [f32], rows: &[f32], gains: &[f32]) {
    let sum = sum.as_chunks_mut::<LANES>().0;
    let stride = sum.len();
    let rows = &rows.as_chunks::<LANES>().0[..N * stride];
    let gains: [f32; N] = std::array::from_fn(|row| gains[row]);
    for at in 0..stride {
        let mut total = sum[at];
        for row in 0..N {
            let y = &rows[row * stride + at];
            for lane in 0..LANES {
                total[lane] = multiply_add::<FUSED>(gains[row], y[lane], total[lane]);
            }
        }
        sum[at] = total;
    }
}

/// `out[at..at + N]` over all rows, in registers from the first row to the last.
#[inline(always)]
fn gather_columns<const N: usize>(
    table: &[f32],
    rows: &[(usize, f32)],
    out: &mut [f32],
    at: usize,
    step: impl Fn(f32, f32, f32) -> f32,
) {
    let dim = out.len();
    let Some(part) = out[at..].first_chunk_mut::<N>() else { return };
    let mut total = *part;
    for &(position, weight) in rows {
        let row = &table[position * dim..(position + 1) * dim];
        let Some(row) = row[at..].first_chunk::<N>() else { return };
        for lane in 0..N {
            total[lane] = step(total[lane], weight, row[lane]);
        }
    }
    *part = total;
}

#[inline(always)]
fn gather_with(
    table: &[f32],
    rows: &[(usize, f32)],
    out: &mut [f32],
    step: impl Fn(f32, f32, f32) -> f32 + Copy,
) {
    const WIDE: usize = 4 * LANES;
    let mut at = 0;
    while at + WIDE <= out.len() {
        gather_columns::<WIDE>(table, rows, out, at, step);
        at += WIDE;
    }
    while at + LANES <= out.len() {
        gather_columns::<LANES>(table, rows, out, at, step);
        at += LANES;
    }
    while at + 4 <= out.len() {
        gather_columns::<4>(table, rows, out, at, step);
        at += 4;
    }
    while at < out.len() {
        gather_columns::<1>(table, rows, out, at, step);
        at += 1;
    }
}

#[inline(always)]
fn gather<const FUSED: bool>(table: &[f32], rows: &[(usize, f32)], out: &mut [f32]) {
    gather_with(table, rows, out, |total, weight, x| multiply_add::<FUSED>(weight, x, total));
}

#[inline(always)]
fn gather_max(table: &[f32], rows: &[(usize, f32)], out: &mut [f32]) {
    // `f32::max` would take more instructions, for values that are not numbers.
    gather_with(table, rows, out, |total, _, x| if x.abs() > total { x.abs() } else { total });
}

/// The same loops compiled for wider vectors.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Kernels, combine, dots, gather, gather_max, update};

    macro_rules! versions {
        ($name:ident, $features:literal, $fused:literal, $module:ident) => {
            mod $module {
                #[target_feature(enable = $features)]
                fn dots(input: &[f32], outputs: &[f32], scores: &mut [f32]) {
                    super::dots::<$fused>(input, outputs, scores);
                }
                #[target_feature(enable = $features)]
                fn update(input: &mut [f32], outputs: &mut [f32], gains: &[f32], change: &mut [f32]) {
                    super::update::<$fused>(input, outputs, gains, change);
                }
                #[target_feature(enable = $features)]
                fn combine(sum: &mut [f32], rows: &[f32], gains: &[f32]) {
                    super::combine::<$fused>(sum, rows, gains);
                }
                #[target_feature(enable = $features)]
                fn gather(table: &[f32], rows: &[(usize, f32)], out: &mut [f32]) {
                    super::gather::<$fused>(table, rows, out);
                }
                #[target_feature(enable = $features)]
                fn gather_max(table: &[f32], rows: &[(usize, f32)], out: &mut [f32]) {
                    super::gather_max(table, rows, out);
                }
                pub(super) fn call_gather(table: &[f32], rows: &[(usize, f32)], out: &mut [f32]) {
                    // SAFETY: as below.
                    unsafe { gather(table, rows, out) }
                }
                pub(super) fn call_gather_max(table: &[f32], rows: &[(usize, f32)], out: &mut [f32]) {
                    // SAFETY: as below.
                    unsafe { gather_max(table, rows, out) }
                }
                pub(super) fn call_combine(sum: &mut [f32], rows: &[f32], gains: &[f32]) {
                    // SAFETY: as below.
                    unsafe { combine(sum, rows, gains) }
                }
                pub(super) fn call_dots(input: &[f32], outputs: &[f32], scores: &mut [f32]) {
                    // SAFETY: this version is only handed out by `Kernels::exact` and `Kernels::fast`, after
                    // they found the features it was compiled for.
                    unsafe { dots(input, outputs, scores) }
                }
                pub(super) fn call_update(
                    input: &mut [f32],
                    outputs: &mut [f32],
                    gains: &[f32],
                    change: &mut [f32],
                ) {
                    // SAFETY: as above.
                    unsafe { update(input, outputs, gains, change) }
                }
            }
            pub(super) const $name: Kernels = Kernels {
                dots: $module::call_dots,
                update: $module::call_update,
                combine: $module::call_combine,
                gather: $module::call_gather,
                gather_max: $module::call_gather_max,
            };
        };
    }

    versions!(AVX512_FUSED, "avx512f,fma", true, avx512_fused);
    versions!(AVX512_EXACT, "avx512f", false, avx512_exact);
    versions!(AVX2_FUSED, "avx2,fma", true, avx2_fused);
    versions!(AVX2_EXACT, "avx2", false, avx2_exact);
}

/// A matrix that several threads read and write at the same time without a lock.
///
/// Threads work on copies of rows and write them back. When two do that with the same row, part of one
/// change may be lost, which training bears (Recht et al., *Hogwild!*, 2011); a component is always one
/// that was written, never a mixture of two.
#[derive(Debug)]
pub(crate) struct SharedRows {
    cells: Vec<AtomicU32>,
    dim: usize,
    stride: usize,
    wide_copy: bool,
}

impl SharedRows {
    /// - `rows`: `[n, dim]`.
    pub(crate) fn new(rows: impl Iterator<Item = f32>, dim: usize) -> Self {
        let stride = dim.next_multiple_of(LANES);
        let mut cells = Vec::new();
        let mut filled = 0;
        for value in rows {
            cells.push(AtomicU32::new(value.to_bits()));
            filled += 1;
            if filled == dim {
                cells.extend((dim..stride).map(|_| AtomicU32::new(0)));
                filled = 0;
            }
        }
        Self { cells, dim, stride, wide_copy: can_copy_wide() }
    }

    /// Components of a row, padding included.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// Copies a row out.
    pub(crate) fn load(&self, at: usize, into: &mut [f32]) {
        let row = &self.cells[at * self.stride..(at + 1) * self.stride];
        assert_eq!(into.len(), row.len(), "one value a component");
        #[cfg(target_arch = "x86_64")]
        if self.wide_copy {
            // SAFETY: AVX was found when the matrix was made. Both sides are `stride` values of 4 bytes, a
            // multiple of 16 values. The copy stands for one relaxed atomic load a component: it reads
            // every aligned 4-byte value in one piece (vector moves never split such a value), and as
            // assembly it is opaque to the compiler, which must take it for what it could be.
            unsafe { copy_wide(row.as_ptr().cast(), into.as_mut_ptr(), row.len() / LANES) };
            return;
        }
        load_plain(row, into);
    }

    /// Copies a row in.
    pub(crate) fn store(&self, at: usize, from: &[f32]) {
        let row = &self.cells[at * self.stride..(at + 1) * self.stride];
        assert_eq!(from.len(), row.len(), "one value a component");
        #[cfg(target_arch = "x86_64")]
        if self.wide_copy {
            // SAFETY: as in `load`, with relaxed atomic stores; `AtomicU32` may be written through a shared
            // reference.
            unsafe { copy_wide(from.as_ptr(), row.as_ptr().cast_mut().cast(), row.len() / LANES) };
            return;
        }
        store_plain(from, row);
    }

    /// Asks the processor to fetch a row that will be needed soon.
    pub(crate) fn prefetch(&self, at: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            for line in self.cells[at * self.stride..(at + 1) * self.stride].chunks(16) {
                // SAFETY: a prefetch reads nothing a program can see; the address is inside the matrix.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    /// The first `n` rows without padding, `[n, dim]`.
    pub(crate) fn to_rows(&self, n: usize) -> Vec<f32> {
        self.cells
            .chunks_exact(self.stride)
            .take(n)
            .flat_map(|row| row[..self.dim].iter().map(|cell| f32::from_bits(cell.load(Ordering::Relaxed))))
            .collect()
    }

    /// All rows from `first` on, without padding.
    pub(crate) fn rows_from(&self, first: usize) -> Vec<f32> {
        self.cells[first * self.stride..]
            .chunks_exact(self.stride)
            .flat_map(|row| row[..self.dim].iter().map(|cell| f32::from_bits(cell.load(Ordering::Relaxed))))
            .collect()
    }
}

fn can_copy_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

fn load_plain(row: &[AtomicU32], into: &mut [f32]) {
    for (value, cell) in into.iter_mut().zip(row) {
        *value = f32::from_bits(cell.load(Ordering::Relaxed));
    }
}

fn store_plain(from: &[f32], row: &[AtomicU32]) {
    for (value, cell) in from.iter().zip(row) {
        cell.store(value.to_bits(), Ordering::Relaxed);
    }
}

/// Copies `n` times 16 values.
///
/// # Safety
/// The processor has AVX; both pointers are good for `16 * n` values of 4 bytes, aligned to 4 bytes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
unsafe fn copy_wide(from: *const f32, to: *mut f32, n: usize) {
    if n == 0 {
        return;
    }
    // SAFETY: the loop touches 64 bytes behind each pointer `n` times, as the caller allows.
    unsafe {
        std::arch::asm!(
            "2:",
            "vmovups {low}, [{from}]",
            "vmovups {high}, [{from} + 32]",
            "vmovups [{to}], {low}",
            "vmovups [{to} + 32], {high}",
            "add {from}, 64",
            "add {to}, 64",
            "dec {n}",
            "jnz 2b",
            from = inout(reg) from => _,
            to = inout(reg) to => _,
            n = inout(reg) n => _,
            low = out(ymm_reg) _,
            high = out(ymm_reg) _,
            options(nostack),
        );
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    fn random(n: usize, seed: u64) -> Vec<f32> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        (0..n).map(|_| rng.random_range(-1.0..1.0)).collect()
    }

    #[test]
    fn exact_versions_agree_with_the_plain_one_bit_by_bit() {
        for (stride, n) in [(16, 1), (16, 5), (112, 6), (304, 7), (304, 23)] {
            let (input, outputs, gains) = (random(stride, 1), random(stride * n, 2), random(n, 3));
            let run = |kernels: Kernels| {
                let (mut input, mut outputs, mut scores) = (input.clone(), outputs.clone(), vec![0.0; n]);
                (kernels.dots)(&input, &outputs, &mut scores);
                (kernels.update)(&mut input, &mut outputs, &gains, &mut vec![7.0; stride]);
                let mut sum = input.clone();
                (kernels.combine)(&mut sum, &outputs, &gains);
                scores.extend(sum);
                (input, outputs, scores)
            };
            let plain = run(Kernels::plain());
            assert_eq!(plain, run(Kernels::exact()));
            let fast = run(Kernels::fast());
            let pairs = plain
                .0
                .iter()
                .chain(&plain.1)
                .chain(&plain.2)
                .zip(fast.0.iter().chain(&fast.1).chain(&fast.2));
            for (plain, fast) in pairs {
                assert!((plain - fast).abs() <= 1e-4 * plain.abs().max(1.0), "{plain} and {fast}");
            }
        }
    }

    #[test]
    fn gathered_rows_are_those_one_by_one() {
        for dim in [1, 3, 16, 50, 64, 100, 300] {
            let table = random(dim * 9, 4);
            let rows: Vec<(usize, f32)> = [8, 0, 3, 3, 7].into_iter().zip(random(5, 5)).collect();
            let (mut sum, mut largest) = (random(dim, 6), vec![0.25; dim]);
            let (mut expected_sum, mut expected_largest) = (sum.clone(), largest.clone());
            for &(at, weight) in &rows {
                for (d, x) in table[at * dim..(at + 1) * dim].iter().enumerate() {
                    expected_sum[d] += weight * x;
                    expected_largest[d] = f32::max(expected_largest[d], x.abs());
                }
            }
            for kernels in [Kernels::plain(), Kernels::exact()] {
                let (before_sum, before_largest) = (sum.clone(), largest.clone());
                (kernels.gather)(&table, &rows, &mut sum);
                (kernels.gather_max)(&table, &rows, &mut largest);
                assert_eq!((&sum, &largest), (&expected_sum, &expected_largest), "{dim} components");
                (sum, largest) = (before_sum, before_largest);
            }
            let mut fast = sum.clone();
            (Kernels::fast().gather)(&table, &rows, &mut fast);
            for (fast, exact) in fast.iter().zip(&expected_sum) {
                assert!((fast - exact).abs() < 1e-5, "{fast} and {exact}");
            }
        }
    }

    #[test]
    fn plain_kernels_do_what_the_formulas_say() {
        let (stride, n) = (32, 3);
        let (mut input, mut outputs, gains) = (random(stride, 4), random(stride * n, 5), random(n, 6));
        let (old_input, old_outputs) = (input.clone(), outputs.clone());
        let mut scores = vec![0.0; n];
        (Kernels::plain().dots)(&input, &outputs, &mut scores);
        (Kernels::plain().update)(&mut input, &mut outputs, &gains, &mut vec![7.0; stride]);
        for (k, score) in scores.iter().enumerate() {
            let row = &old_outputs[k * stride..(k + 1) * stride];
            let dot: f32 = old_input.iter().zip(row).map(|(a, b)| a * b).sum();
            assert!((dot - score).abs() < 1e-5);
        }
        let mut sum = old_input.clone();
        (Kernels::plain().combine)(&mut sum, &old_outputs, &gains);
        for (sum, input) in sum.iter().zip(&input) {
            assert!((sum - input).abs() < 1e-5);
        }
        for d in 0..stride {
            let change: f32 = (0..n).map(|k| gains[k] * old_outputs[k * stride + d]).sum();
            assert!((input[d] - old_input[d] - change).abs() < 1e-5);
            for k in 0..n {
                let expected = old_outputs[k * stride + d] + gains[k] * old_input[d];
                assert!((outputs[k * stride + d] - expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn wide_and_plain_copies_agree() {
        let values = random(3 * 20, 7);
        let rows = SharedRows::new(values.iter().copied(), 20);
        assert_eq!(rows.stride(), 32);
        let (mut wide, mut plain) = (vec![9.0; 32], vec![9.0; 32]);
        rows.load(1, &mut wide);
        load_plain(&rows.cells[32..64], &mut plain);
        assert_eq!(wide, plain);
        assert_eq!(&wide[..20], &values[20..40]);
        let new = random(32, 8);
        rows.store(2, &new);
        load_plain(&rows.cells[64..96], &mut plain);
        assert_eq!(plain, new);
        store_plain(&wide, &rows.cells[64..96]);
        rows.load(2, &mut plain);
        assert_eq!(plain, wide);
        assert_eq!(rows.to_rows(1), values[..20]);
        assert_eq!(rows.rows_from(1)[..20], values[20..40]);
    }

    #[test]
    fn threads_never_see_half_a_component() {
        let rows = SharedRows::new((0..64).map(|_| 1.0), 64);
        let written = [1.0_f32, -3.25, 1e-20, 7e20];
        std::thread::scope(|scope| {
            for value in &written[1..] {
                scope.spawn(|| (0..20_000).for_each(|_| rows.store(0, &[*value; 64])));
            }
            let mut row = [0.0; 64];
            for _ in 0..20_000 {
                rows.load(0, &mut row);
                assert!(row.iter().all(|x| written.contains(x)));
            }
        });
    }
}
