//! What every set of word vectors can do, in memory or mapped from a file.

use std::borrow::Cow;
use std::sync::Arc;

/// A vocabulary with one vector a word.
///
/// [`WordVectors`](crate::WordVectors) holds everything in memory; [`MappedVectors`](crate::MappedVectors)
/// and [`Word2vecFile`](crate::Word2vecFile) read from a mapped file what is asked for. Pooling,
/// neighbours and writing take any of them.
pub trait WordTable {
    /// Number of words.
    fn len(&self) -> usize;

    /// Whether there is no word.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of components of a vector.
    fn dim(&self) -> usize;

    /// Position of a word.
    fn index_of(&self, word: &str) -> Option<usize>;

    /// The word at position `at`; bytes that are no UTF-8 read as `\u{fffd}`.
    ///
    /// # Panics
    /// If there is no such position.
    fn word_at(&self, at: usize) -> Cow<'_, str>;

    /// The vector at position `at`, `[dim]`; borrowed where it is stored as `f32`.
    ///
    /// # Panics
    /// If there is no such position.
    fn row_at(&self, at: usize) -> Cow<'_, [f32]>;

    /// How often the word at position `at` was seen in the training text, if known.
    fn count_at(&self, at: usize) -> Option<u64>;

    /// `out += weight · row`, without a copy of the row where that can be had.
    ///
    /// # Panics
    /// If there is no such position.
    fn add_row(&self, at: usize, weight: f32, out: &mut [f32]) {
        for (sum, x) in out.iter_mut().zip(self.row_at(at).iter()) {
            *sum += weight * x;
        }
    }

    /// [`WordTable::add_row`] for positions with weights, one after the other.
    ///
    /// # Panics
    /// If there is no such position.
    fn add_rows(&self, rows: &[(usize, f32)], out: &mut [f32]) {
        for &(at, weight) in rows {
            self.add_row(at, weight, out);
        }
    }

    /// Raises every component of `out` to the largest absolute value of the rows; weights do not count.
    ///
    /// # Panics
    /// If there is no such position.
    fn raise_to_rows(&self, rows: &[(usize, f32)], out: &mut [f32]) {
        for &(at, _) in rows {
            for (largest, x) in out.iter_mut().zip(self.row_at(at).iter()) {
                *largest = largest.max(x.abs());
            }
        }
    }
}

impl<T: WordTable + ?Sized> WordTable for Arc<T> {
    fn len(&self) -> usize {
        (**self).len()
    }
    fn dim(&self) -> usize {
        (**self).dim()
    }
    fn index_of(&self, word: &str) -> Option<usize> {
        (**self).index_of(word)
    }
    fn word_at(&self, at: usize) -> Cow<'_, str> {
        (**self).word_at(at)
    }
    fn row_at(&self, at: usize) -> Cow<'_, [f32]> {
        (**self).row_at(at)
    }
    fn count_at(&self, at: usize) -> Option<u64> {
        (**self).count_at(at)
    }
    fn add_row(&self, at: usize, weight: f32, out: &mut [f32]) {
        (**self).add_row(at, weight, out);
    }
    fn add_rows(&self, rows: &[(usize, f32)], out: &mut [f32]) {
        (**self).add_rows(rows, out);
    }
    fn raise_to_rows(&self, rows: &[(usize, f32)], out: &mut [f32]) {
        (**self).raise_to_rows(rows, out);
    }
}
