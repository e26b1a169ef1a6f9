//! From the words of a text to one vector.
//!
//! Every pooling takes the tokens of a text and writes one row. [`mean`] and [`max_abs`] work with
//! anything that can look a word up, so an [out-of-vocabulary policy](crate::oov) or subwords take part;
//! [`Sif`] and [`Idf`] carry one weight a word and leave unknown words out.

use serde::{Deserialize, Serialize};

use crate::oov::{Lookup, in_batches};
use crate::{WordTable, WordVecError};

/// Mean of the vectors of the known words, per dimension; zeros if none is known.
///
/// - `out`: `[dim]`, overwritten. Returns the number of known words.
///
/// # Panics
/// If `out` has another length than the vectors.
pub fn mean<'a>(
    vectors: &(impl Lookup + ?Sized),
    tokens: impl IntoIterator<Item = &'a str>,
    out: &mut [f32],
) -> usize {
    assert_eq!(out.len(), vectors.n_components(), "one value a dimension");
    out.fill(0.0);
    let n_known = vectors.add_all(&mut tokens.into_iter(), out);
    scale(out, n_known as f32);
    n_known
}

/// Largest absolute value of the known words' vectors, per dimension; the sign is lost.
///
/// - `out`: `[dim]`, overwritten. Returns the number of known words.
///
/// # Panics
/// If `out` has another length than the vectors.
pub fn max_abs<'a>(
    vectors: &(impl Lookup + ?Sized),
    tokens: impl IntoIterator<Item = &'a str>,
    out: &mut [f32],
) -> usize {
    assert_eq!(out.len(), vectors.n_components(), "one value a dimension");
    out.fill(0.0);
    vectors.raise_to_all(&mut tokens.into_iter(), out)
}

/// Divides by `by`, unless it is 0.
fn scale(row: &mut [f32], by: f32) {
    if by > 0.0 {
        row.iter_mut().for_each(|x| *x /= by);
    }
}

/// Mean weighted by inverse document frequency, `ln((1 + n) / (1 + df)) + 1`, as scikit-learn smooths it.
///
/// Source: Spärck Jones, *A statistical interpretation of term specificity* (1972).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Idf {
    /// `[n_words]`.
    weights: Vec<f32>,
}

impl Idf {
    /// Counts in how many of `texts` each word occurs.
    pub fn fit<'a, T: IntoIterator<Item = &'a str>>(
        vectors: &(impl WordTable + ?Sized),
        texts: impl IntoIterator<Item = T>,
    ) -> Self {
        let mut n_with = vec![0_u32; vectors.len()];
        let mut last = vec![u32::MAX; vectors.len()];
        let mut n_texts = 0_u32;
        for text in texts {
            for at in text.into_iter().filter_map(|token| vectors.index_of(token)) {
                if last[at] != n_texts {
                    last[at] = n_texts;
                    n_with[at] += 1;
                }
            }
            n_texts += 1;
        }
        let n = 1.0 + f64::from(n_texts);
        Self {
            weights: n_with.into_iter().map(|df| ((n / (1.0 + f64::from(df))).ln() + 1.0) as f32).collect(),
        }
    }

    /// Weight of every word, `[n_words]`.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Embeds one text: `Σ w·v / Σ w` over its known words; zeros if none is known.
    ///
    /// - `out`: `[dim]`, overwritten. Returns the number of known words.
    ///
    /// # Panics
    /// If `out` has another length than the vectors.
    pub fn embed<'a>(
        &self,
        vectors: &(impl WordTable + ?Sized),
        tokens: impl IntoIterator<Item = &'a str>,
        out: &mut [f32],
    ) -> usize {
        let (n_known, weight) = weighted_sum(vectors, &self.weights, tokens, out);
        scale(out, weight);
        n_known
    }
}

/// Sum of the known words' vectors times their weights; the number of words and the sum of weights.
fn weighted_sum<'a>(
    vectors: &(impl WordTable + ?Sized),
    weights: &[f32],
    tokens: impl IntoIterator<Item = &'a str>,
    out: &mut [f32],
) -> (usize, f32) {
    assert_eq!(out.len(), vectors.dim(), "one value a dimension");
    out.fill(0.0);
    let mut total = 0.0;
    let n_known = in_batches(vectors, &mut tokens.into_iter(), |rows| {
        for (at, weight) in rows.iter_mut() {
            *weight = weights.get(*at).copied().unwrap_or(0.0);
            total += *weight;
        }
        vectors.add_rows(rows, out);
    });
    (n_known, total)
}

/// Smooth inverse frequency: a mean weighted by `a / (a + p(word))`, without its part along the
/// direction most texts share (the first principal component, uncentred).
///
/// Source: Arora, Liang and Ma, *A simple but tough-to-beat baseline for sentence embeddings* (2017).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sif {
    /// Smoothing constant `a`.
    smoothing: f32,
    /// `[n_words]`.
    weights: Vec<f32>,
    /// Unit vector `[dim]`.
    component: Vec<f32>,
}

/// Iterations of the power method; the first component of texts stands out, so few are needed.
const POWER_ITERATIONS: usize = 60;

impl Sif {
    /// Fits weights and common direction to `texts`.
    ///
    /// Word probabilities come from the counts of the vectors; without counts from Zipf's law over
    /// their order (files of vectors are sorted by frequency).
    ///
    /// # Errors
    /// [`WordVecError::NoKnownWord`] if no text has a known word.
    pub fn fit<'a, T: IntoIterator<Item = &'a str>>(
        vectors: &(impl WordTable + ?Sized),
        smoothing: f32,
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Self, WordVecError> {
        let weights = word_weights(vectors, smoothing);
        let dim = vectors.dim();
        let mut sif = Self { smoothing, weights, component: vec![0.0; dim] };
        let mut rows = Vec::new();
        let mut row = vec![0.0; dim];
        for text in texts {
            if sif.embed(vectors, text, &mut row) > 0 {
                rows.extend_from_slice(&row);
            }
        }
        if rows.is_empty() {
            return Err(WordVecError::NoKnownWord);
        }
        sif.component = first_component(&rows, dim);
        Ok(sif)
    }

    /// The common direction, a unit vector `[dim]`.
    pub fn component(&self) -> &[f32] {
        &self.component
    }

    /// Weight of every word, `[n_words]`.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// Embeds one text; zeros if no word is known.
    ///
    /// - `out`: `[dim]`, overwritten. Returns the number of known words.
    ///
    /// # Panics
    /// If `out` has another length than the vectors.
    pub fn embed<'a>(
        &self,
        vectors: &(impl WordTable + ?Sized),
        tokens: impl IntoIterator<Item = &'a str>,
        out: &mut [f32],
    ) -> usize {
        let (n_known, _) = weighted_sum(vectors, &self.weights, tokens, out);
        if n_known > 0 {
            scale(out, n_known as f32);
            let along: f32 = out.iter().zip(&self.component).map(|(x, c)| x * c).sum();
            out.iter_mut().zip(&self.component).for_each(|(x, c)| *x -= along * c);
        }
        n_known
    }
}

fn word_weights(vectors: &(impl WordTable + ?Sized), smoothing: f32) -> Vec<f32> {
    let weight = |p: f64| (f64::from(smoothing) / (f64::from(smoothing) + p)) as f32;
    let counts: Option<Vec<u64>> = (0..vectors.len()).map(|at| vectors.count_at(at)).collect();
    if let Some(counts) = counts {
        let total = counts.iter().sum::<u64>().max(1) as f64;
        counts.iter().map(|&count| weight(count as f64 / total)).collect()
    } else {
        let total: f64 = (1..=vectors.len()).map(|rank| 1.0 / rank as f64).sum();
        (1..=vectors.len()).map(|rank| weight(1.0 / rank as f64 / total)).collect()
    }
}

/// First right singular vector of `rows` `[n, dim]`, by the power method on the Gram matrix.
fn first_component(rows: &[f32], dim: usize) -> Vec<f32> {
    let mut gram = vec![0.0_f64; dim * dim];
    for row in rows.chunks_exact(dim) {
        for (i, &x) in row.iter().enumerate() {
            let x = f64::from(x);
            gram[i * dim..(i + 1) * dim].iter_mut().zip(row).for_each(|(sum, &y)| *sum += x * f64::from(y));
        }
    }
    // A start with a part in every direction, and no random numbers.
    let mut vector: Vec<f64> = (0..dim).map(|i| 1.0 + (i as f64 * 0.618_033_988_75).fract()).collect();
    for _ in 0..POWER_ITERATIONS {
        let mut next: Vec<f64> =
            gram.chunks_exact(dim).map(|row| row.iter().zip(&vector).map(|(a, b)| a * b).sum()).collect();
        let length = next.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length == 0.0 {
            break;
        }
        next.iter_mut().for_each(|x| *x /= length);
        vector = next;
    }
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    vector.iter().map(|x| (x / length) as f32).collect()
}
