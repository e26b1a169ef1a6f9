//! A row-major matrix of 32-bit floats.

use crate::product::{Operand, multiply};

/// Row-major matrix `[rows, cols]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    data: Vec<f32>,
}

impl Matrix {
    /// A matrix of zeros.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self { rows, cols, data: vec![0.0; rows * cols] }
    }

    /// Takes `data` as `rows` rows of `cols` values.
    ///
    /// # Panics
    /// If `data` has another length than `rows * cols`.
    pub fn from_vec(rows: usize, cols: usize, data: Vec<f32>) -> Self {
        assert_eq!(data.len(), rows * cols, "{rows} rows of {cols} values");
        Self { rows, cols, data }
    }

    /// Copies rows of equal length.
    ///
    /// # Panics
    /// If lengths differ.
    pub fn from_rows(rows: &[&[f32]]) -> Self {
        let cols = rows.first().map_or(0, |row| row.len());
        assert!(rows.iter().all(|row| row.len() == cols), "rows of equal length");
        Self { rows: rows.len(), cols, data: rows.concat() }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// All values, row by row.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// All values, row by row.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// Row `row`.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.cols..(row + 1) * self.cols]
    }

    /// Row `row`.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        &mut self.data[row * self.cols..(row + 1) * self.cols]
    }

    /// Gives the matrix `rows` rows, keeping what fits; new values are 0.
    pub(crate) fn set_rows(&mut self, rows: usize) {
        self.rows = rows;
        self.data.resize(rows * self.cols, 0.0);
    }

    /// `self · other`: `[m, k] · [k, n] → [m, n]`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn matmul(&self, other: &Self) -> Self {
        let mut out = Self::zeros(self.rows, other.cols);
        multiply(self.into(), other.into(), &mut out, false);
        out
    }

    /// `self · otherᵀ`: `[m, k] · [n, k]ᵀ → [m, n]`; the dot products of all pairs of rows.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn matmul_bt(&self, other: &Self) -> Self {
        let mut out = Self::zeros(self.rows, other.rows);
        multiply(self.into(), Operand::transposed(other), &mut out, false);
        out
    }
}
