//! Texts as vectors: word vectors pooled over the tokens of a text.
//!
//! Three poolings: the mean and the maximum of absolute values per dimension ("max-abs", which loses
//! the sign), as the research project defines them, and SIF, the frequency-weighted mean with the
//! common direction removed (Arora, Liang and Ma, *A simple but tough-to-beat baseline for sentence
//! embeddings*, 2017).

use std::sync::Arc;

use nn::Matrix;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use wordvec::WordVectors;
use wordvec::pool::{self, Sif};

use crate::text::Tokenizer;

/// How the vectors of a text's words become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// Mean per dimension.
    Mean,
    /// Maximum of absolute values per dimension; the sign is lost.
    MaxAbs,
    /// Smooth inverse frequency: weighted mean, first principal component removed.
    Sif,
}

impl Pooling {
    /// Name in `titlecard.toml` and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::MaxAbs => "max-abs",
            Self::Sif => "sif",
        }
    }
}

/// Why texts cannot be embedded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmbeddingError {
    /// None of the texts has a word with a vector.
    #[error(
        "none of the {n_texts} texts has a word among the {n_words} word vectors; \
         they are of another language or another catalogue: train new ones with `titlecard train word2vec`"
    )]
    NoKnownWord {
        /// Number of texts.
        n_texts: usize,
        /// Number of words that have a vector.
        n_words: usize,
    },
    /// The word-vector library refused.
    #[error(transparent)]
    WordVectors(#[from] wordvec::WordVecError),
}

/// Smoothing constant of SIF, `a` in `a / (a + p(word))`.
const SIF_SMOOTHING: f32 = 1e-3;
/// Texts the common direction of SIF is estimated from.
const SIF_SAMPLE: usize = 20_000;

/// Turns texts into vectors of [`Embedder::dim`] components.
#[derive(Clone)]
pub struct Embedder {
    vectors: Arc<WordVectors>,
    tokenizer: Tokenizer,
    sif: Arc<Sif>,
}

impl Embedder {
    /// Prepares pooling over `vectors`; the common direction of SIF is estimated from `texts`.
    ///
    /// # Errors
    /// [`EmbeddingError::NoKnownWord`] if no text has a known word.
    pub fn fit(
        vectors: Arc<WordVectors>,
        tokenizer: Tokenizer,
        texts: &[&str],
    ) -> Result<Self, EmbeddingError> {
        // Evenly spread over the catalogue, whatever its order.
        let stride = texts.len().div_ceil(SIF_SAMPLE).max(1);
        let sample: Vec<Vec<String>> =
            texts.par_iter().step_by(stride).map(|text| tokenizer.tokens(text)).collect();
        if !sample.iter().flatten().any(|token| vectors.index_of(token).is_some()) {
            return Err(EmbeddingError::NoKnownWord { n_texts: texts.len(), n_words: vectors.len() });
        }
        let sif =
            Sif::fit(&vectors, SIF_SMOOTHING, sample.iter().map(|tokens| tokens.iter().map(String::as_str)))?;
        Ok(Self { vectors, tokenizer, sif: Arc::new(sif) })
    }

    /// Puts a saved embedder together again.
    pub fn from_parts(vectors: Arc<WordVectors>, tokenizer: Tokenizer, sif: Sif) -> Self {
        Self { vectors, tokenizer, sif: Arc::new(sif) }
    }

    /// Number of components.
    pub fn dim(&self) -> usize {
        self.vectors.dim()
    }

    /// The word vectors.
    pub fn vectors(&self) -> &WordVectors {
        &self.vectors
    }

    /// The fitted SIF weights and direction.
    pub fn sif(&self) -> &Sif {
        &self.sif
    }

    /// The tokenizer of texts.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Pools the known words of `text` into `out` and returns how many there were; zeros if none.
    ///
    /// - `out`: `[dim]`, overwritten.
    pub fn embed_into(&self, text: &str, pooling: Pooling, out: &mut [f32]) -> usize {
        let tokens = self.tokenizer.tokens(text);
        self.embed_tokens(&tokens, pooling, out)
    }

    /// [`Embedder::embed_into`] for tokens already cut.
    pub fn embed_tokens(&self, tokens: &[String], pooling: Pooling, out: &mut [f32]) -> usize {
        let tokens = tokens.iter().map(String::as_str);
        match pooling {
            Pooling::Mean => pool::mean(&self.vectors, tokens, out),
            Pooling::MaxAbs => pool::max_abs(&self.vectors, tokens, out),
            Pooling::Sif => self.sif.embed(&self.vectors, tokens, out),
        }
    }

    /// Embeds many texts in parallel.
    ///
    /// Returns the rows `[n_texts, dim]` and, per text, the number of known words.
    pub fn embed_all(&self, texts: &[&str], pooling: Pooling) -> (Matrix, Vec<u32>) {
        let mut rows = Matrix::zeros(texts.len(), self.dim());
        let mut n_known = vec![0; texts.len()];
        rows.as_mut_slice()
            .par_chunks_mut(self.dim())
            .zip(texts.par_iter())
            .zip(n_known.par_iter_mut())
            .for_each(|((row, text), n_known)| *n_known = self.embed_into(text, pooling, row) as u32);
        (rows, n_known)
    }
}

/// Scales every row of `rows` to length 1; zero rows stay zero.
pub fn normalise_rows(rows: &mut Matrix) {
    let dim = rows.cols();
    if dim == 0 {
        return;
    }
    rows.as_mut_slice().par_chunks_mut(dim).for_each(|row| {
        let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        if norm > 0.0 {
            row.iter_mut().for_each(|x| *x /= norm);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::TokenizerConfig;

    #[derive(Deserialize)]
    struct Golden {
        dim: usize,
        words: Vec<String>,
        counts: Vec<u64>,
        vectors: Vec<Vec<f32>>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        text: String,
        n_known: usize,
        mean: Vec<f32>,
        max_abs: Vec<f32>,
        sif: Vec<f32>,
    }

    fn golden() -> (Golden, Arc<WordVectors>) {
        let golden: Golden =
            serde_json::from_str(include_str!("../../../fixtures/golden/pooling.json")).unwrap();
        let vectors = WordVectors::new(golden.words.clone(), golden.dim, golden.vectors.concat()).unwrap();
        let vectors = Arc::new(vectors.with_counts(golden.counts.clone()).unwrap());
        (golden, vectors)
    }

    /// Expected values: gensim's vectors pooled by NumPy (fixtures/golden/pooling.py).
    #[test]
    fn texts_are_pooled_as_gensim_and_numpy_do() {
        let (golden, vectors) = golden();
        let texts: Vec<&str> = golden.cases.iter().map(|case| case.text.as_str()).collect();
        let tokenizer = Tokenizer::new(TokenizerConfig::default());
        let embedder = Embedder::fit(vectors, tokenizer, &texts).unwrap();
        for (pooling, expected) in [
            (Pooling::Mean, (|case| &case.mean) as fn(&Case) -> &Vec<f32>),
            (Pooling::MaxAbs, |case| &case.max_abs),
            (Pooling::Sif, |case| &case.sif),
        ] {
            let (rows, n_known) = embedder.embed_all(&texts, pooling);
            for (at, case) in golden.cases.iter().enumerate() {
                assert_eq!(n_known[at] as usize, case.n_known, "`{}`", case.text);
                for (found, expected) in rows.row(at).iter().zip(expected(case)) {
                    let name = pooling.name();
                    assert!(
                        (found - expected).abs() < 1e-5,
                        "{name} of `{}`: {found}, expected {expected}",
                        case.text
                    );
                }
            }
        }
    }

    #[test]
    fn texts_without_a_known_word_are_refused() {
        let (_, vectors) = golden();
        let fit = Embedder::fit(vectors, Tokenizer::new(TokenizerConfig::default()), &["nothing of it", ""]);
        assert!(matches!(fit.err(), Some(EmbeddingError::NoKnownWord { n_texts: 2, n_words: 13 })));
    }

    #[test]
    fn rows_become_unit_length_and_zeros_stay() {
        let mut rows = Matrix::from_rows(&[&[3.0, 4.0], &[0.0, 0.0]]);
        normalise_rows(&mut rows);
        assert_eq!(rows.as_slice(), [0.6, 0.8, 0.0, 0.0]);
    }
}
