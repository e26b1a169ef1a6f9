//! Words with a vector each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::WordVecError;

/// A vocabulary with one vector a word, in file order (usually the most frequent word first).
#[derive(Debug, Clone, PartialEq)]
pub struct WordVectors {
    words: Vec<String>,
    dim: usize,
    /// `[n_words, dim]`, row-major.
    data: Vec<f32>,
    counts: Option<Vec<u64>>,
    index: HashMap<String, u32>,
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
        let mut index = HashMap::with_capacity(words.len());
        for (at, word) in words.iter().enumerate() {
            match index.entry(word.clone()) {
                Entry::Vacant(entry) => {
                    entry.insert(at as u32);
                }
                Entry::Occupied(_) => return Err(WordVecError::Duplicate(word.clone())),
            }
        }
        Ok(Self { words, dim, data, counts: None, index })
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
        self.index.get(word).map(|&at| at as usize)
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
        self.index.retain(|_, at| (*at as usize) < n);
        self
    }

    /// The `k` words nearest to `query` by cosine with their cosines, best first; ties in word order.
    ///
    /// - `query`: `[dim]`.
    /// - `exclude`: words left out, such as those the query was made from.
    pub fn nearest(&self, query: &[f32], k: usize, exclude: &[&str]) -> Vec<(usize, f32)> {
        let length = |v: &[f32]| v.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        let query_length = length(query);
        let mut scored: Vec<(usize, f32)> = (0..self.len())
            .filter(|&at| !exclude.contains(&self.words[at].as_str()))
            .map(|at| {
                let row = self.row(at);
                let dot: f64 = row.iter().zip(query).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                let lengths = length(row) * query_length;
                (at, if lengths > 0.0 { (dot / lengths) as f32 } else { 0.0 })
            })
            .collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        scored.truncate(k);
        scored
    }
}
