//! What a word without a vector counts as.
//!
//! By default it is left out, as gensim loops do. [`WithPolicy`] puts another answer behind any table;
//! vectors with subwords ([`SubwordVectors`](crate::train::SubwordVectors)) answer for every word by
//! themselves.

use std::borrow::Cow;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::{WordTable, WordVecError, word_index};

/// Something that has vectors for words.
pub trait Lookup {
    /// Number of components of a vector.
    fn n_components(&self) -> usize;

    /// The vector of `word`, `[dim]`; none if the word takes no part.
    fn find(&self, word: &str) -> Option<Cow<'_, [f32]>>;

    /// `out += weight · vector`; false, and `out` as it was, if the word takes no part.
    fn add(&self, word: &str, weight: f32, out: &mut [f32]) -> bool {
        let Some(row) = self.find(word) else { return false };
        out.iter_mut().zip(row.iter()).for_each(|(sum, x)| *sum += weight * x);
        true
    }

    /// `out += vector` for every token that takes part; how many do.
    fn add_all(&self, tokens: &mut dyn Iterator<Item = &str>, out: &mut [f32]) -> usize {
        tokens.filter(|token| self.add(token, 1.0, out)).count()
    }

    /// Raises every component of `out` to the largest absolute value of the tokens' vectors; how many take
    /// part.
    fn raise_to_all(&self, tokens: &mut dyn Iterator<Item = &str>, out: &mut [f32]) -> usize {
        let mut n_known = 0;
        for row in tokens.filter_map(|token| self.find(token)) {
            out.iter_mut().zip(row.iter()).for_each(|(largest, x)| *largest = largest.max(x.abs()));
            n_known += 1;
        }
        n_known
    }
}

/// Looks tokens up some at a time, before any row is touched: the processor then waits for several words at
/// once, and rows are added up without going through memory for every one.
///
/// `with` gets positions and weights 1 of known words, in the order of the text. Returns how many there
/// are.
pub(crate) fn in_batches(
    table: &(impl WordTable + ?Sized),
    tokens: &mut dyn Iterator<Item = &str>,
    mut with: impl FnMut(&mut [(usize, f32)]),
) -> usize {
    let mut batch = [(0, 1.0); BATCH];
    let mut n_known = 0;
    loop {
        let mut n = 0;
        for at in (&mut *tokens).filter_map(|token| table.index_of(token)).take(BATCH) {
            batch[n] = (at, 1.0);
            n += 1;
        }
        with(&mut batch[..n]);
        n_known += n;
        if n < BATCH {
            return n_known;
        }
    }
}

/// Most words of a batch: most films' texts are one.
const BATCH: usize = 64;

impl<T: WordTable + ?Sized> Lookup for T {
    fn n_components(&self) -> usize {
        self.dim()
    }

    fn find(&self, word: &str) -> Option<Cow<'_, [f32]>> {
        self.index_of(word).map(|at| self.row_at(at))
    }

    fn add(&self, word: &str, weight: f32, out: &mut [f32]) -> bool {
        let at = self.index_of(word);
        if let Some(at) = at {
            self.add_row(at, weight, out);
        }
        at.is_some()
    }

    fn add_all(&self, tokens: &mut dyn Iterator<Item = &str>, out: &mut [f32]) -> usize {
        in_batches(self, tokens, |rows| self.add_rows(rows, out))
    }

    fn raise_to_all(&self, tokens: &mut dyn Iterator<Item = &str>, out: &mut [f32]) -> usize {
        in_batches(self, tokens, |rows| self.raise_to_rows(rows, out))
    }
}

/// What stands in for a word without a vector.
#[derive(Debug, Clone, PartialEq)]
pub enum OovPolicy {
    /// Nothing: the word is left out, and does not count in a mean.
    Skip,
    /// Zeros: the word counts in a mean.
    Zero,
    /// The vector of this word, such as `<unk>` or `UNK`.
    Word(String),
    /// A random direction that depends on the word and this seed alone, as long as vectors are on
    /// average: two texts that share an unknown name still come closer.
    Hashed {
        /// Seed of the directions.
        seed: u64,
    },
}

/// A table with an [`OovPolicy`].
///
/// ```
/// use wordvec::oov::{Lookup, OovPolicy, WithPolicy};
/// use wordvec::{WordVectors, pool};
/// let vectors = WordVectors::new(vec!["red".into()], 2, vec![4.0, 2.0])?;
/// let with_zeros = WithPolicy::new(&vectors, OovPolicy::Zero)?;
/// let mut out = [0.0; 2];
/// assert_eq!(pool::mean(&with_zeros, ["red", "zeppelin"], &mut out), 2);
/// assert_eq!(out, [2.0, 1.0]);
/// # Ok::<(), wordvec::WordVecError>(())
/// ```
#[derive(Debug)]
pub struct WithPolicy<'t, T: ?Sized> {
    table: &'t T,
    policy: OovPolicy,
    /// Row of the word that stands in.
    stand_in: Option<usize>,
    mean_length: f32,
}

/// Rows the average length is taken from.
const LENGTH_SAMPLE: usize = 10_000;

impl<'t, T: WordTable + ?Sized> WithPolicy<'t, T> {
    /// Puts `policy` behind `table`.
    ///
    /// # Errors
    /// [`WordVecError::UnknownWord`] if the word that is to stand in has no vector itself.
    pub fn new(table: &'t T, policy: OovPolicy) -> Result<Self, WordVecError> {
        let stand_in = match &policy {
            OovPolicy::Word(word) => {
                Some(table.index_of(word).ok_or_else(|| WordVecError::UnknownWord(word.clone()))?)
            }
            _ => None,
        };
        let mean_length = if matches!(policy, OovPolicy::Hashed { .. }) {
            let step = table.len().div_ceil(LENGTH_SAMPLE).max(1);
            let lengths: Vec<f32> = (0..table.len())
                .step_by(step)
                .map(|at| table.row_at(at).iter().map(|x| x * x).sum::<f32>().sqrt())
                .collect();
            lengths.iter().sum::<f32>() / lengths.len().max(1) as f32
        } else {
            0.0
        };
        Ok(Self { table, policy, stand_in, mean_length })
    }
}

impl<T: WordTable + ?Sized> Lookup for WithPolicy<'_, T> {
    fn n_components(&self) -> usize {
        self.table.dim()
    }

    fn find(&self, word: &str) -> Option<Cow<'_, [f32]>> {
        if let Some(at) = self.table.index_of(word) {
            return Some(self.table.row_at(at));
        }
        match &self.policy {
            OovPolicy::Skip => None,
            OovPolicy::Zero => Some(vec![0.0; self.table.dim()].into()),
            OovPolicy::Word(_) => self.stand_in.map(|at| self.table.row_at(at)),
            OovPolicy::Hashed { seed } => {
                let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed ^ word_index::hash(word.as_bytes()));
                // Independent signs: every direction has the same length, and two are nearly at right angles.
                let size = self.mean_length / (self.table.dim() as f32).sqrt();
                Some((0..self.table.dim()).map(|_| if rng.random::<bool>() { size } else { -size }).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{WordVectors, pool};

    #[test]
    fn every_policy_answers_as_it_says() {
        let words = vec!["<unk>".to_owned(), "sea".to_owned()];
        let vectors = WordVectors::new(words, 4, vec![1.0, 1.0, 1.0, 1.0, 0.0, 4.0, 0.0, 0.0]).unwrap();
        let mut out = [0.0; 4];
        let mut pooled = |policy| {
            let table = WithPolicy::new(&vectors, policy).unwrap();
            (pool::mean(&table, ["sea", "kraken"], &mut out), out)
        };
        assert_eq!(pooled(OovPolicy::Skip), (1, [0.0, 4.0, 0.0, 0.0]));
        assert_eq!(pooled(OovPolicy::Zero), (2, [0.0, 2.0, 0.0, 0.0]));
        assert_eq!(pooled(OovPolicy::Word("<unk>".to_owned())), (2, [0.5, 2.5, 0.5, 0.5]));
        let no_stand_in = WithPolicy::new(&vectors, OovPolicy::Word("UNK".to_owned()));
        assert!(matches!(no_stand_in, Err(WordVecError::UnknownWord(_))));
    }

    #[test]
    fn hashed_directions_depend_on_word_and_seed_alone() {
        let vectors = WordVectors::new(vec!["sea".to_owned()], 64, vec![0.5; 64]).unwrap();
        let table = |seed| WithPolicy::new(&vectors, OovPolicy::Hashed { seed }).unwrap();
        let find = |seed, word| table(seed).find(word).unwrap().into_owned();
        assert_eq!(find(1, "kraken"), find(1, "kraken"));
        assert_ne!(find(1, "kraken"), find(2, "kraken"));
        assert_ne!(find(1, "kraken"), find(1, "hydra"));
        let length = find(1, "kraken").iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((length - 4.0).abs() < 1e-4, "{length}");
    }
}
