//! A small dense matrix, rows one after another.

use crate::error::RrlError;

/// `[n_rows, n_columns]` numbers, row by row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    n_rows: usize,
    n_columns: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// Takes `values` as `n_rows` rows of `n_columns`.
    ///
    /// # Errors
    /// [`RrlError::Shape`] if their number differs.
    ///
    /// ```
    /// let matrix = rrl::Matrix::new(2, 2, vec![1.0, 2.0, 3.0, 4.0])?;
    /// assert_eq!(matrix.row(1), [3.0, 4.0]);
    /// # Ok::<(), rrl::RrlError>(())
    /// ```
    pub fn new(n_rows: usize, n_columns: usize, values: Vec<f64>) -> Result<Self, RrlError> {
        if Some(values.len()) != n_rows.checked_mul(n_columns) {
            return Err(RrlError::Shape {
                what: "values of a matrix",
                found: values.len(),
                expected: n_rows.saturating_mul(n_columns),
            });
        }
        Ok(Self { n_rows, n_columns, values })
    }

    /// All zeros.
    pub fn zeros(n_rows: usize, n_columns: usize) -> Self {
        Self { n_rows, n_columns, values: vec![0.0; n_rows * n_columns] }
    }

    /// Copies rows of equal length.
    ///
    /// # Errors
    /// [`RrlError::Shape`] if a row has another length than the first.
    pub fn from_rows(rows: &[impl AsRef<[f64]>]) -> Result<Self, RrlError> {
        let n_columns = rows.first().map_or(0, |row| row.as_ref().len());
        if let Some(row) = rows.iter().find(|row| row.as_ref().len() != n_columns) {
            return Err(RrlError::Shape {
                what: "values of a row",
                found: row.as_ref().len(),
                expected: n_columns,
            });
        }
        let values = rows.iter().flat_map(|row| row.as_ref().iter().copied()).collect();
        Ok(Self { n_rows: rows.len(), n_columns, values })
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of columns.
    pub fn n_columns(&self) -> usize {
        self.n_columns
    }

    /// One row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.n_columns..(row + 1) * self.n_columns]
    }

    /// One row, to change it.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.values[row * self.n_columns..(row + 1) * self.n_columns]
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// All values, row by row, to change them.
    pub fn values_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }

    /// The rows at `rows`, in that order.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let values = rows.iter().flat_map(|&row| self.row(row).iter().copied()).collect();
        Self { n_rows: rows.len(), n_columns: self.n_columns, values }
    }

    /// The value at a position.
    ///
    /// # Panics
    /// If there is none.
    pub fn at(&self, row: usize, column: usize) -> f64 {
        self.row(row)[column]
    }

    /// The position of the first value that is not finite, if any: row and column.
    pub(crate) fn first_not_finite(&self) -> Option<(usize, usize)> {
        let at = self.values.iter().position(|value| !value.is_finite())?;
        Some((at / self.n_columns, at % self.n_columns))
    }
}
