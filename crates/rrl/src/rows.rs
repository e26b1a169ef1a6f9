//! Truth values of literals, row by row: bit words, or lists of the literals that hold.

use crate::error::RrlError;

/// `[n_rows, n_literals]` truth values.
///
/// Dense rows are 64-bit words, one bit a literal; sparse rows list the literals that hold, for
/// thousands of literals of which few hold.
///
/// ```
/// use rrl::Rows;
/// let dense = Rows::from_bools(3, &[[true, false, true], [false, false, false]])?;
/// let sparse = Rows::from_lists(3, &[vec![2, 0], vec![]])?;
/// assert_eq!(dense.holding(0), [0, 2]);
/// assert_eq!(sparse.holding(0), [0, 2]);
/// # Ok::<(), rrl::RrlError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_field_names)] // `n_rows` is the term everywhere.
pub struct Rows {
    n_rows: usize,
    n_literals: usize,
    store: Store,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Store {
    /// `words_of(n_literals)` words a row; bits past the last literal are 0.
    Words(Vec<u64>),
    /// Ascending literals of row `i` at `offsets[i]..offsets[i + 1]`.
    Lists { offsets: Vec<usize>, literals: Vec<u32> },
}

/// Words that hold `n_bits` bits.
pub(crate) fn words_of(n_bits: usize) -> usize {
    n_bits.div_ceil(64)
}

/// The word with its lowest `n_bits` bits set; all of them from 64 on.
pub(crate) fn low_bits(n_bits: usize) -> u64 {
    if n_bits < 64 { (1 << n_bits) - 1 } else { u64::MAX }
}

impl Rows {
    /// Dense rows from truth values.
    ///
    /// # Errors
    /// [`RrlError::Shape`] if a row has not `n_literals` values.
    pub fn from_bools(n_literals: usize, rows: &[impl AsRef<[bool]>]) -> Result<Self, RrlError> {
        let n_words = words_of(n_literals);
        let mut words = vec![0; rows.len() * n_words];
        for (at, row) in rows.iter().enumerate() {
            let row = row.as_ref();
            if row.len() != n_literals {
                return Err(RrlError::Shape {
                    what: "truth values in a row",
                    found: row.len(),
                    expected: n_literals,
                });
            }
            for (literal, &holds) in row.iter().enumerate() {
                words[at * n_words + literal / 64] |= u64::from(holds) << (literal % 64);
            }
        }
        Ok(Self { n_rows: rows.len(), n_literals, store: Store::Words(words) })
    }

    /// Dense rows from bit words: literal `j` of a row is bit `j % 64` of its word `j / 64`, and a row has
    /// `n_literals` divided by 64 words, rounded up. Bits past the last literal are ignored.
    ///
    /// # Errors
    /// [`RrlError::Shape`] if the number of words does not fit.
    pub fn from_words(n_rows: usize, n_literals: usize, mut words: Vec<u64>) -> Result<Self, RrlError> {
        let n_words = words_of(n_literals);
        if words.len() != n_rows * n_words {
            return Err(RrlError::Shape {
                what: "bit words",
                found: words.len(),
                expected: n_rows * n_words,
            });
        }
        if !n_literals.is_multiple_of(64) {
            for row in words.chunks_exact_mut(n_words) {
                row[n_words - 1] &= low_bits(n_literals % 64);
            }
        }
        Ok(Self { n_rows, n_literals, store: Store::Words(words) })
    }

    /// Sparse rows from the positions of the literals that hold, in any order; repeats count once.
    ///
    /// # Errors
    /// [`RrlError::UnknownLiteral`].
    pub fn from_lists(n_literals: usize, rows: &[impl AsRef<[u32]>]) -> Result<Self, RrlError> {
        let mut builder = SparseBuilder::new(n_literals);
        for row in rows {
            builder.push(row.as_ref())?;
        }
        Ok(builder.finish())
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of literals.
    pub fn n_literals(&self) -> usize {
        self.n_literals
    }

    /// Whether the rows are lists of literals.
    pub fn is_sparse(&self) -> bool {
        matches!(self.store, Store::Lists { .. })
    }

    /// The literals that hold for a row, ascending.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn holding(&self, row: usize) -> Vec<usize> {
        match &self.store {
            Store::Words(words) => {
                let n_words = words_of(self.n_literals);
                ones(&words[row * n_words..(row + 1) * n_words]).collect()
            }
            Store::Lists { offsets, literals } => {
                literals[offsets[row]..offsets[row + 1]].iter().map(|&literal| literal as usize).collect()
            }
        }
    }

    /// Whether a literal holds for a row.
    ///
    /// # Panics
    /// If there is no such row or literal.
    pub fn holds(&self, row: usize, literal: usize) -> bool {
        assert!(literal < self.n_literals, "literal {literal} of {}", self.n_literals);
        match &self.store {
            Store::Words(words) => {
                words[row * words_of(self.n_literals) + literal / 64] >> (literal % 64) & 1 == 1
            }
            Store::Lists { offsets, literals } => {
                literals[offsets[row]..offsets[row + 1]].binary_search(&(literal as u32)).is_ok()
            }
        }
    }

    /// The rows at `rows`, in that order, in the same form.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let store = match &self.store {
            Store::Words(words) => {
                let n_words = words_of(self.n_literals);
                Store::Words(
                    rows.iter()
                        .flat_map(|&row| words[row * n_words..(row + 1) * n_words].iter().copied())
                        .collect(),
                )
            }
            Store::Lists { offsets, literals } => {
                let mut chosen = (vec![0], Vec::new());
                for &row in rows {
                    chosen.1.extend_from_slice(&literals[offsets[row]..offsets[row + 1]]);
                    chosen.0.push(chosen.1.len());
                }
                Store::Lists { offsets: chosen.0, literals: chosen.1 }
            }
        };
        Self { n_rows: rows.len(), n_literals: self.n_literals, store }
    }

    /// Writes a row as bit words.
    pub(crate) fn write_words(&self, row: usize, to: &mut [u64]) {
        match &self.store {
            Store::Words(words) => {
                let n_words = words_of(self.n_literals);
                to.copy_from_slice(&words[row * n_words..(row + 1) * n_words]);
            }
            Store::Lists { offsets, literals } => {
                to.fill(0);
                for &literal in &literals[offsets[row]..offsets[row + 1]] {
                    to[literal as usize / 64] |= 1 << (literal % 64);
                }
            }
        }
    }

    /// How many rows each literal holds for.
    pub fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.n_literals];
        match &self.store {
            Store::Words(words) => {
                if self.n_literals > 0 {
                    for row in words.chunks_exact(words_of(self.n_literals)) {
                        ones(row).for_each(|literal| counts[literal] += 1);
                    }
                }
            }
            Store::Lists { literals, .. } => {
                literals.iter().for_each(|&literal| counts[literal as usize] += 1);
            }
        }
        counts
    }

    /// Sets every ancestor of a literal that holds.
    ///
    /// - `ancestors`: `[n_literals]`, all ancestors of each literal.
    pub(crate) fn close(&mut self, ancestors: &[Vec<usize>]) {
        if ancestors.iter().all(Vec::is_empty) {
            return;
        }
        let n_words = words_of(self.n_literals);
        match &mut self.store {
            Store::Words(words) => {
                for row in words.chunks_exact_mut(n_words) {
                    for literal in ones(row).collect::<Vec<_>>() {
                        for &ancestor in &ancestors[literal] {
                            row[ancestor / 64] |= 1 << (ancestor % 64);
                        }
                    }
                }
            }
            Store::Lists { offsets, literals } => {
                let mut closed = SparseBuilder::new(self.n_literals);
                for row in 0..self.n_rows {
                    let mut holding = literals[offsets[row]..offsets[row + 1]].to_vec();
                    for at in 0..holding.len() {
                        let up = &ancestors[holding[at] as usize];
                        holding.extend(up.iter().map(|&ancestor| ancestor as u32));
                    }
                    closed.push_known(holding);
                }
                *self = closed.finish();
            }
        }
    }
}

/// The positions of set bits, ascending.
pub(crate) fn ones(words: &[u64]) -> impl Iterator<Item = usize> + '_ {
    words.iter().enumerate().flat_map(|(at, &word)| {
        std::iter::successors((word != 0).then_some(word), |word| Some(word & (word - 1)).filter(|&w| w != 0))
            .map(move |word| at * 64 + word.trailing_zeros() as usize)
    })
}

/// Builds sparse [`Rows`] one row at a time.
#[derive(Debug)]
pub struct SparseBuilder {
    n_literals: usize,
    offsets: Vec<usize>,
    literals: Vec<u32>,
}

impl SparseBuilder {
    /// No rows yet, of `n_literals`.
    pub fn new(n_literals: usize) -> Self {
        Self { n_literals, offsets: vec![0], literals: Vec::new() }
    }

    /// Adds a row: the literals that hold, in any order; repeats count once.
    ///
    /// # Errors
    /// [`RrlError::UnknownLiteral`].
    pub fn push(&mut self, holding: &[u32]) -> Result<(), RrlError> {
        if let Some(&literal) = holding.iter().find(|&&literal| literal as usize >= self.n_literals) {
            return Err(RrlError::UnknownLiteral {
                row: self.offsets.len() - 1,
                literal: literal as usize,
                n_literals: self.n_literals,
            });
        }
        self.push_known(holding.to_vec());
        Ok(())
    }

    fn push_known(&mut self, mut holding: Vec<u32>) {
        holding.sort_unstable();
        holding.dedup();
        self.literals.extend_from_slice(&holding);
        self.offsets.push(self.literals.len());
    }

    /// The rows added.
    pub fn finish(self) -> Rows {
        Rows {
            n_rows: self.offsets.len() - 1,
            n_literals: self.n_literals,
            store: Store::Lists { offsets: self.offsets, literals: self.literals },
        }
    }
}

/// Turns `[n_rows, n_columns]` bits into `[n_columns, n_rows]`.
///
/// - `from`: `words_of(n_columns)` words a row; `to`: `words_of(n_rows)` words a column, overwritten.
pub(crate) fn transpose(from: &[u64], n_rows: usize, n_columns: usize, to: &mut [u64]) {
    let (from_words, to_words) = (words_of(n_columns), words_of(n_rows));
    let mut block = [0_u64; 64];
    for row_word in 0..to_words {
        let n_block_rows = (n_rows - row_word * 64).min(64);
        for column_word in 0..from_words {
            for (at, word) in block.iter_mut().enumerate() {
                *word =
                    if at < n_block_rows { from[(row_word * 64 + at) * from_words + column_word] } else { 0 };
            }
            let n_block_columns = (n_columns - column_word * 64).min(64);
            transpose_block(&mut block, n_block_columns);
            for (at, &word) in block[..n_block_columns].iter().enumerate() {
                to[(column_word * 64 + at) * to_words + row_word] = word;
            }
        }
    }
}

/// Transposes 64 by 64 bits by swapping ever smaller squares across the diagonal; of the result only the first
/// `n_columns` words are right.
fn transpose_block(block: &mut [u64; 64], n_columns: usize) {
    swap_squares::<32>(block, n_columns, 0x0000_0000_ffff_ffff);
    swap_squares::<16>(block, n_columns, 0x0000_ffff_0000_ffff);
    swap_squares::<8>(block, n_columns, 0x00ff_00ff_00ff_00ff);
    swap_squares::<4>(block, n_columns, 0x0f0f_0f0f_0f0f_0f0f);
    swap_squares::<2>(block, n_columns, 0x3333_3333_3333_3333);
    swap_squares::<1>(block, n_columns, 0x5555_5555_5555_5555);
}

/// Swaps the squares of `WIDTH` bits above and below the diagonal of each square twice as wide, as far as the
/// first `n_columns` words come from them. A constant width lets the loop run over whole vectors.
fn swap_squares<const WIDTH: usize>(block: &mut [u64; 64], n_columns: usize, mask: u64) {
    for square in block.chunks_exact_mut(2 * WIDTH).take(n_columns.div_ceil(2 * WIDTH)) {
        let (upper, lower) = square.split_at_mut(WIDTH);
        for (upper, lower) in upper.iter_mut().zip(lower) {
            let swapped = (*upper >> WIDTH ^ *lower) & mask;
            *upper ^= swapped << WIDTH;
            *lower ^= swapped;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transposing_swaps_rows_and_columns() {
        let (n_rows, n_columns) = (100, 70);
        let bit =
            |row: usize, column: usize| (row * 37 + column * column * 11 + row * column).is_multiple_of(3);
        let mut from = vec![0; n_rows * 2];
        for row in 0..n_rows {
            for column in 0..n_columns {
                from[row * 2 + column / 64] |= u64::from(bit(row, column)) << (column % 64);
            }
        }
        let mut to = vec![u64::MAX; n_columns * 2];
        transpose(&from, n_rows, n_columns, &mut to);
        for column in 0..n_columns {
            for row in 0..128 {
                let found = to[column * 2 + row / 64] >> (row % 64) & 1 == 1;
                assert_eq!(found, row < n_rows && bit(row, column), "{row} {column}");
            }
        }
    }

    #[test]
    fn sparse_and_dense_rows_say_the_same() {
        let lists = [vec![3_u32, 1, 3], vec![], vec![69, 0]];
        let sparse = Rows::from_lists(70, &lists).unwrap();
        let bools: Vec<Vec<bool>> =
            lists.iter().map(|list| (0..70).map(|at| list.contains(&at)).collect()).collect();
        let dense = Rows::from_bools(70, &bools).unwrap();
        for row in 0..3 {
            assert_eq!(sparse.holding(row), dense.holding(row));
            assert!((0..70).all(|at| sparse.holds(row, at) == dense.holds(row, at)));
        }
        assert_eq!(sparse.counts(), dense.counts());
        assert_eq!(sparse.select(&[2, 0]).holding(1), [1, 3]);
        assert_eq!(dense.select(&[2, 0]).holding(0), [0, 69]);
        let error = Rows::from_lists(2, &[vec![0], vec![2]]).unwrap_err();
        assert_eq!(error.to_string(), "row 1 names literal 2, there are 2; use positions below that");
    }
}
