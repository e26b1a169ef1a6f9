//! Words with a vector each.

use std::borrow::Cow;

use crate::kernels::Kernels;
use crate::table::WordTable;
use crate::word_index::{self, Key, WordIndex};
use crate::{WordVecError, similar};

/// A vocabulary with one vector a word, in file order (usually the most frequent word first).
#[derive(Debug, Clone)]
pub struct WordVectors {
    words: Vec<String>,
    dim: usize,
    /// `[n_words, dim]`, row-major.
    data: Vec<f32>,
    counts: Option<Vec<u64>>,
    index: WordIndex,
    /// Of every word, in order: frequent words come first in most files, so that their keys share a cache.
    keys: Vec<Key>,
}

impl PartialEq for WordVectors {
    /// The same words, vectors and counts in the same order.
    fn eq(&self, other: &Self) -> bool {
        self.dim == other.dim
            && self.words == other.words
            && self.data == other.data
            && self.counts == other.counts
    }
}

impl WordVectors {
    /// Puts words and vectors together.
    ///
    /// - `data`: `[words.len(), dim]`, row-major.
    ///
    /// # Errors
    /// [`WordVecError::Shape`], [`WordVecError::Empty`] or [`WordVecError::Duplicate`].
    pub fn new(words: Vec<String>, dim: usize, data: Vec<f32>) -> Result<Self, WordVecError> {
        if words.is_empty() || dim == 0 {
            return Err(WordVecError::Empty);
        }
        if words.len() * dim != data.len() {
            return Err(WordVecError::Shape {
                n_words: words.len(),
                dim,
                expected: words.len() * dim,
                found: data.len(),
            });
        }
        let mut index = WordIndex::with_capacity(words.len());
        let mut keys = Vec::with_capacity(words.len());
        for word in &words {
            if !insert(&mut index, &mut keys, &words, word) {
                return Err(WordVecError::Duplicate(word.clone()));
            }
        }
        Ok(Self { words, dim, data, counts: None, index, keys })
    }

    /// Adds how often each word was seen in the training text.
    ///
    /// # Errors
    /// [`WordVecError::Shape`] if there is not one count a word.
    pub fn with_counts(mut self, counts: Vec<u64>) -> Result<Self, WordVecError> {
        if counts.len() != self.words.len() {
            return Err(WordVecError::Shape {
                n_words: self.words.len(),
                dim: 1,
                expected: self.words.len(),
                found: counts.len(),
            });
        }
        self.counts = Some(counts);
        Ok(self)
    }

    /// Number of words.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Never true: there is at least one word.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Number of components of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// All words, in order.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// How often each word was seen, if known.
    pub fn counts(&self) -> Option<&[u64]> {
        self.counts.as_deref()
    }

    /// Position of a word.
    pub fn index_of(&self, word: &str) -> Option<usize> {
        let hash = word_index::hash(word.as_bytes());
        let key = Key::new(word.as_bytes(), hash);
        let same =
            |at: u32| self.keys[at as usize] == key && (key.is_whole() || self.words[at as usize] == word);
        self.index.find(hash, same).map(|at| at as usize)
    }

    /// Vector at position `at`.
    ///
    /// # Panics
    /// If there is no such position.
    pub fn row(&self, at: usize) -> &[f32] {
        &self.data[at * self.dim..(at + 1) * self.dim]
    }

    /// Vector of a word.
    pub fn get(&self, word: &str) -> Option<&[f32]> {
        self.index_of(word).map(|at| self.row(at))
    }

    /// All vectors, `[n_words, dim]`, row-major.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// Keeps the first `n` words.
    #[must_use]
    pub fn prefix(mut self, n: usize) -> Self {
        let n = n.clamp(1, self.words.len());
        self.words.truncate(n);
        self.data.truncate(n * self.dim);
        if let Some(counts) = &mut self.counts {
            counts.truncate(n);
        }
        self.index = WordIndex::with_capacity(n);
        self.keys.clear();
        for word in &self.words {
            insert(&mut self.index, &mut self.keys, &self.words, word);
        }
        self
    }

    /// The `k` words nearest to `query` by cosine with their cosines, best first; ties in word order.
    ///
    /// - `query`: `[dim]`.
    /// - `exclude`: words left out, such as those the query was made from.
    pub fn nearest(&self, query: &[f32], k: usize, exclude: &[&str]) -> Vec<(usize, f32)> {
        similar::nearest(self, query, k, exclude)
    }
}

/// Adds `word` at the next position; false if it is there already.
///
/// - `keys`: of the words added so far. - `words`: begins with them.
fn insert(index: &mut WordIndex, keys: &mut Vec<Key>, words: &[String], word: &str) -> bool {
    let hash = word_index::hash(word.as_bytes());
    let key = Key::new(word.as_bytes(), hash);
    let same = |at: u32| keys[at as usize] == key && (key.is_whole() || words[at as usize] == word);
    let is_new = index.find(hash, same).is_none();
    if is_new {
        index.insert(hash, keys.len() as u32, |at| word_index::hash(words[at as usize].as_bytes()));
        keys.push(key);
    }
    is_new
}

impl WordTable for WordVectors {
    fn len(&self) -> usize {
        self.words.len()
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn index_of(&self, word: &str) -> Option<usize> {
        WordVectors::index_of(self, word)
    }

    fn word_at(&self, at: usize) -> Cow<'_, str> {
        Cow::Borrowed(&self.words[at])
    }

    fn row_at(&self, at: usize) -> Cow<'_, [f32]> {
        Cow::Borrowed(self.row(at))
    }

    fn count_at(&self, at: usize) -> Option<u64> {
        self.counts.as_ref().map(|counts| counts[at])
    }

    fn add_rows(&self, rows: &[(usize, f32)], out: &mut [f32]) {
        (Kernels::exact().gather)(&self.data, rows, out);
    }

    fn raise_to_rows(&self, rows: &[(usize, f32)], out: &mut [f32]) {
        (Kernels::exact().gather_max)(&self.data, rows, out);
    }
}

/// Collects rows as a reader finds them.
#[derive(Debug)]
pub(crate) struct Builder {
    words: Vec<String>,
    data: Vec<f32>,
    dim: usize,
    index: WordIndex,
    keys: Vec<Key>,
}

impl Builder {
    pub(crate) fn new(dim: usize) -> Self {
        Self {
            words: Vec::new(),
            data: Vec::new(),
            dim,
            index: WordIndex::with_capacity(1024),
            keys: Vec::new(),
        }
    }

    /// Adds a word; false if it is there already.
    pub(crate) fn push(&mut self, word: &str, row: &[f32]) -> bool {
        let is_new = insert(&mut self.index, &mut self.keys, &self.words, word);
        if is_new {
            self.words.push(word.to_owned());
            self.data.extend_from_slice(row);
        }
        is_new
    }

    pub(crate) fn finish(self) -> Result<WordVectors, WordVecError> {
        let Self { words, mut data, dim, index, keys } = self;
        if words.is_empty() || dim == 0 {
            return Err(WordVecError::Empty);
        }
        data.shrink_to_fit();
        Ok(WordVectors { words, dim, data, counts: None, index, keys })
    }
}
