//! Matrix products. The one file with `unsafe`: `gemm` takes pointers and strides.
//!
//! The rows of the result are cut into the same blocks whatever the number of threads, and each block
//! is one single-threaded product, so that the bytes of a result do not depend on the machine's cores.

#![allow(unsafe_code)]

use gemm::Parallelism;
use rayon::prelude::*;

use crate::Matrix;

/// A matrix or its transpose, read in place.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a> {
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

/// From so many rows on a transposed right operand is copied into row order first. Every block packs it
/// again, and packing across rows costs as much as the products it serves (measured: 51 against 109
/// GFLOP/s for 256 x 1024 x 512 on a core whose peak is 117).
const COPY_FROM_ROWS: usize = 64;

/// Side of a square tile in [`rows_of_transposed`]: one cache line of values.
const TILE: usize = 16;

/// The transpose of the row-major `[rows, cols]` values `from`.
fn rows_of_transposed(from: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    let mut into = vec![0.0; rows * cols];
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
    into
}

/// `out = left · right`, or `out += left · right` if `accumulate`.
///
/// # Panics
/// If the shapes do not fit.
pub(crate) fn multiply(left: Operand<'_>, right: Operand<'_>, out: &mut Matrix, accumulate: bool) {
    assert_eq!(left.cols, right.rows, "inner dimensions");
    assert_eq!((left.rows, right.cols), (out.rows(), out.cols()), "shape of the result");
    assert!(left.data.len() >= left.extent() && right.data.len() >= right.extent(), "operands in bounds");
    let n = right.cols;
    if n == 0 || left.rows == 0 {
        return;
    }
    let copied;
    let right = if right.row_stride == 1 && right.rows > 0 && left.rows >= COPY_FROM_ROWS {
        // As stored, the operand has `right.cols` rows of `right.rows` values.
        copied = rows_of_transposed(right.data, right.cols, right.rows);
        Operand { data: &copied, row_stride: n, col_stride: 1, ..right }
    } else {
        right
    };
    out.as_mut_slice().par_chunks_mut(BLOCK_ROWS * n).enumerate().for_each(|(block, out)| {
        let first = block * BLOCK_ROWS;
        let m = out.len() / n;
        let left_block = &left.data[(first * left.row_stride).min(left.data.len())..];
        // SAFETY: `out` is `m * n` values, written with strides (n, 1) for m rows and n columns, all in
        // bounds, and borrowed mutably, so nothing else reads or writes it. The last element read of
        // `left` is at `(first + m - 1) * row_stride + (k - 1) * col_stride`, below `extent()`, which
        // the assertion above compares with its length; the same for `right`. With `k == 0` gemm reads
        // neither operand.
        unsafe {
            gemm::gemm(
                m,
                n,
                left.cols,
                out.as_mut_ptr(),
                1,
                n as isize,
                accumulate,
                left_block.as_ptr(),
                left.col_stride as isize,
                left.row_stride as isize,
                right.data.as_ptr(),
                right.col_stride as isize,
                right.row_stride as isize,
                1.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    });
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
