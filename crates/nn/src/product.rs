//! Matrix products. The one file with `unsafe`: `gemm` takes pointers and strides.
//!
//! The rows of the result are cut into the same blocks whatever the number of threads, and each block
//! is one single-threaded product, so that the bytes of a result do not depend on the machine's cores.

#![allow(unsafe_code)]

use std::cell::Cell;

use gemm::Parallelism;
use rayon::prelude::*;

use crate::Matrix;

/// A matrix or its transpose, read in place; also a part of a larger one, by strides.
#[derive(Debug, Clone, Copy)]
pub struct Operand<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> From<&'a Matrix> for Operand<'a> {
    fn from(matrix: &'a Matrix) -> Self {
        Self {
            data: matrix.as_slice(),
            rows: matrix.rows(),
            cols: matrix.cols(),
            row_stride: matrix.cols(),
            col_stride: 1,
        }
    }
}

impl<'a> Operand<'a> {
    /// `rows` rows of `cols` values, one after the other.
    ///
    /// # Panics
    /// If there are fewer values.
    pub fn rows_of(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// `rows` rows of `cols` values; row `i` begins at `i * row_stride`.
    ///
    /// # Panics
    /// If a value would be out of bounds.
    pub fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        let operand = Self { data, rows, cols, row_stride, col_stride: 1 };
        assert!(data.len() >= operand.extent(), "operand in bounds");
        operand
    }

    /// The transpose, of the same values.
    pub fn t(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    /// The transpose of `matrix`.
    pub(crate) fn transposed(matrix: &'a Matrix) -> Self {
        Self {
            data: matrix.as_slice(),
            rows: matrix.cols(),
            cols: matrix.rows(),
            row_stride: 1,
            col_stride: matrix.cols(),
        }
    }

    /// Rows `first..first + rows`.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn rows_from(self, first: usize, rows: usize) -> Self {
        assert!(first + rows <= self.rows, "rows in bounds");
        Self { data: &self.data[(first * self.row_stride).min(self.data.len())..], rows, ..self }
    }

    /// Number of values that must exist for every element to be in bounds.
    fn extent(&self) -> usize {
        if self.rows == 0 || self.cols == 0 {
            0
        } else {
            (self.rows - 1) * self.row_stride + (self.cols - 1) * self.col_stride + 1
        }
    }
}

/// Rows of the result in one block. Large enough that packing the right operand again for every block
/// costs little, small enough that two threads share a batch of 256.
const BLOCK_ROWS: usize = 128;
/// The same for results of at least [`MANY_ROWS`], which are enough for four threads.
const LARGE_BLOCK_ROWS: usize = 256;
const MANY_ROWS: usize = 1024;

/// From so many rows on a transposed right operand is copied into row order first. Every block packs it
/// again, and packing across rows costs as much as the products it serves (measured: 51 against 109
/// GFLOP/s for 256 x 1024 x 512 on a core whose peak is 117).
const COPY_FROM_ROWS: usize = 64;

/// Side of a square tile in [`rows_of_transposed`]: one cache line of values.
const TILE: usize = 16;

thread_local! {
    /// Memory for transposed operands, so that it need not be asked for and zeroed for every product.
    static ROOM: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// The transpose of the row-major `[rows, cols]` values `from`; every value of `into` is written.
fn rows_of_transposed(from: &[f32], rows: usize, cols: usize, into: &mut Vec<f32>) {
    into.resize(rows * cols, 0.0);
    into.par_chunks_mut(TILE * rows).enumerate().for_each(|(strip, into)| {
        let first_col = strip * TILE;
        let n_cols = into.len() / rows;
        for first_row in (0..rows).step_by(TILE) {
            let n_rows = TILE.min(rows - first_row);
            // Through a tile, so that whole cache lines are read and written.
            let mut tile = [[0.0_f32; TILE]; TILE];
            for i in 0..n_rows {
                let row = &from[(first_row + i) * cols + first_col..][..n_cols];
                if let Some(row) = row.first_chunk::<TILE>() {
                    // A length known beforehand: no loop, no checks.
                    (0..TILE).for_each(|j| tile[j][i] = row[j]);
                } else {
                    row.iter().enumerate().for_each(|(j, &value)| tile[j][i] = value);
                }
            }
            for (j, tile) in tile.iter().enumerate().take(n_cols) {
                into[j * rows + first_row..][..n_rows].copy_from_slice(&tile[..n_rows]);
            }
        }
    });
}

/// `out = left · right`, or `out += left · right` if `accumulate`.
///
/// # Panics
/// If the shapes do not fit.
pub(crate) fn multiply(left: Operand<'_>, right: Operand<'_>, out: &mut Matrix, accumulate: bool) {
    assert_eq!((left.rows, right.cols), (out.rows(), out.cols()), "shape of the result");
    multiply_into(left, right, out.as_mut_slice(), accumulate);
}

/// `out = left · right`, or `out += left · right` if `accumulate`, for values of the caller's own.
///
/// - `out`: `[left.rows, right.cols]`, row by row.
///
/// Large results are made by all threads; the same bytes on any number of them.
///
/// # Panics
/// If the shapes do not fit.
pub fn multiply_into(left: Operand<'_>, right: Operand<'_>, out: &mut [f32], accumulate: bool) {
    assert_eq!(out.len(), left.rows * right.cols, "size of the result");
    let n = right.cols;
    if n == 0 || left.rows == 0 {
        return;
    }
    let mut copied = Vec::new();
    let right = if right.row_stride == 1 && right.rows > 0 && left.rows >= COPY_FROM_ROWS {
        if right.col_stride == right.rows {
            // As stored, the operand has `right.cols` rows of `right.rows` values.
            copied = ROOM.take();
            rows_of_transposed(right.data, right.cols, right.rows, &mut copied);
            Operand { data: &copied, row_stride: n, col_stride: 1, ..right }
        } else {
            right
        }
    } else {
        right
    };
    let block_rows = if left.rows < MANY_ROWS { BLOCK_ROWS } else { LARGE_BLOCK_ROWS };
    out.par_chunks_mut(block_rows * n).enumerate().for_each(|(block, out)| {
        let rows = out.len() / n;
        multiply_strided(left.rows_from(block * block_rows, rows), right, out, n, 1.0, accumulate);
    });
    if copied.capacity() > 0 {
        ROOM.set(copied);
    }
}

/// `out = scale · left · right`, or `out += …` if `accumulate`, on this thread, into a part of a larger
/// result: row `i` of it begins at `out[i * out_stride]`.
///
/// # Panics
/// If the shapes do not fit.
pub fn multiply_strided(
    left: Operand<'_>,
    right: Operand<'_>,
    out: &mut [f32],
    out_stride: usize,
    scale: f32,
    accumulate: bool,
) {
    assert_eq!(left.cols, right.rows, "inner dimensions");
    let (m, n) = (left.rows, right.cols);
    if m == 0 || n == 0 {
        return;
    }
    assert!(out_stride >= n && out.len() >= (m - 1) * out_stride + n, "result in bounds");
    assert!(left.data.len() >= left.extent() && right.data.len() >= right.extent(), "operands in bounds");
    // SAFETY: `out` is written with strides (out_stride, 1) for m rows and n columns; `out_stride >= n`
    // keeps rows apart and the last element is below `out.len()` by the assertion. It is borrowed mutably,
    // so nothing else reads or writes it. The last element read of `left` is at `(m - 1) * row_stride +
    // (k - 1) * col_stride`, below `extent()`, which the assertion compares with its length; the same for
    // `right`. With `k == 0` gemm reads neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            left.cols,
            out.as_mut_ptr(),
            1,
            out_stride as isize,
            accumulate,
            left.data.as_ptr(),
            left.col_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.col_stride as isize,
            right.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    fn random(rows: usize, cols: usize, rng: &mut Xoshiro256PlusPlus) -> Matrix {
        let values = (0..rows * cols).map(|_| rng.random_range(-1.0_f32..1.0)).collect();
        Matrix::from_vec(rows, cols, values)
    }

    /// The safe twin: three loops, in 64 bits.
    fn by_hand(left: Operand<'_>, right: Operand<'_>, out: &mut Matrix, accumulate: bool) {
        for i in 0..left.rows {
            for j in 0..right.cols {
                let sum: f64 = (0..left.cols)
                    .map(|k| {
                        let a = left.data[i * left.row_stride + k * left.col_stride];
                        let b = right.data[k * right.row_stride + j * right.col_stride];
                        f64::from(a) * f64::from(b)
                    })
                    .sum();
                let cell = &mut out.row_mut(i)[j];
                *cell = sum as f32 + if accumulate { *cell } else { 0.0 };
            }
        }
    }

    #[test]
    fn products_agree_with_the_safe_twin() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
        for (m, k, n) in [
            (1, 1, 1),
            (3, 5, 2),
            (130, 7, 9),
            (300, 33, 17),
            (70, 16, 32),
            (64, 1, 1),
            (5, 0, 4),
            (0, 3, 2),
            (4, 3, 0),
            (70, 0, 4),
        ] {
            let (a, b) = (random(m, k, &mut rng), random(k, n, &mut rng));
            let (at, bt) = (random(k, m, &mut rng), random(n, k, &mut rng));
            for accumulate in [false, true] {
                let pairs: [(Operand<'_>, Operand<'_>); 4] = [
                    ((&a).into(), (&b).into()),
                    ((&a).into(), Operand::transposed(&bt)),
                    (Operand::transposed(&at), (&b).into()),
                    (Operand::transposed(&at), Operand::transposed(&bt)),
                ];
                for (left, right) in pairs {
                    let start = random(m, n, &mut rng);
                    let (mut fast, mut slow) = (start.clone(), start);
                    multiply(left, right, &mut fast, accumulate);
                    by_hand(left, right, &mut slow, accumulate);
                    for (fast, slow) in fast.as_slice().iter().zip(slow.as_slice()) {
                        assert!((fast - slow).abs() < 1e-4, "{m} x {k} x {n}: {fast} and {slow}");
                    }
                }
            }
        }
    }

    #[test]
    fn parts_of_a_larger_result_agree_with_the_safe_twin() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(9);
        let (a, b) = (random(7, 40, &mut rng), random(5, 40, &mut rng));
        // Columns 3..13 of `a` times the transpose of those of `b`, into columns 2..7 of rows of 11.
        let left = Operand::strided(&a.as_slice()[3..], 7, 10, 40);
        let right = Operand::strided(&b.as_slice()[3..], 5, 10, 40).t();
        for accumulate in [false, true] {
            let start = random(7, 11, &mut rng);
            let mut fast = start.clone();
            multiply_strided(left, right, &mut fast.as_mut_slice()[2..], 11, 0.5, accumulate);
            let mut slow = Matrix::zeros(7, 5);
            by_hand(left, right, &mut slow, false);
            for i in 0..7 {
                for j in 0..11_usize {
                    let expected = match j.checked_sub(2).filter(|&j| j < 5) {
                        None => start.row(i)[j],
                        Some(at) => 0.5 * slow.row(i)[at] + if accumulate { start.row(i)[j] } else { 0.0 },
                    };
                    assert!((fast.row(i)[j] - expected).abs() < 1e-5, "{i} {j}");
                }
            }
        }
        let whole = left.t().t().rows_from(2, 3);
        let (mut part, mut all) = (Matrix::zeros(3, 5), Matrix::zeros(7, 5));
        multiply_strided(whole, right, part.as_mut_slice(), 5, 1.0, false);
        by_hand(left, right, &mut all, false);
        assert!((part.row(0)[0] - all.row(2)[0]).abs() < 1e-5);
    }

    #[test]
    #[should_panic(expected = "operand in bounds")]
    fn operands_out_of_bounds_are_refused() {
        let _ = Operand::strided(&[0.0; 9], 2, 5, 5);
    }

    #[test]
    #[should_panic(expected = "inner dimensions")]
    fn shapes_that_do_not_fit_are_refused() {
        Matrix::zeros(2, 3).matmul(&Matrix::zeros(2, 3));
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(4);
        let (a, b) = (random(700, 65, &mut rng), random(33, 65, &mut rng));
        let on = |n_threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| a.matmul_bt(&b))
        };
        assert_eq!(on(1), on(2));
        assert_eq!(on(1), on(5));
    }
}
