//! Vectors of words as the mean of the word's own and those of its character n-grams.
//!
//! N-grams are taken from the word between `<` and `>`, hashed into a fixed number of buckets. A word
//! that was never seen still has n-grams, so every word has a vector.
//!
//! Source: Bojanowski et al., *Enriching word vectors with subword information* (2017). The hash is
//! theirs (FNV-1a of 32 bits over bytes taken as signed), so buckets are the same as in fastText.

use std::borrow::Cow;
use std::io::{Read, Write};
use std::path::Path;

use crate::oov::Lookup;
use crate::write::{Precision, replace_file, write_tcwv};
use crate::{WordVecError, WordVectors, similar, tcwv};

/// Settings of subwords; the default is fastText's, with fewer buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubwordConfig {
    /// Shortest n-gram, in characters, marks of begin and end included.
    pub min_n: usize,
    /// Longest n-gram.
    pub max_n: usize,
    /// Buckets n-grams are hashed into; fastText's own default is 2,000,000.
    pub n_buckets: usize,
}

impl Default for SubwordConfig {
    fn default() -> Self {
        Self { min_n: 3, max_n: 6, n_buckets: 200_000 }
    }
}

impl SubwordConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`WordVecError::Setting`] naming the first setting out of range.
    pub fn validate(&self) -> Result<(), WordVecError> {
        if self.min_n == 0 || self.min_n > self.max_n || self.max_n > 100 {
            let found = format!("{} to {}", self.min_n, self.max_n);
            return Err(WordVecError::Setting {
                name: "min_n to max_n",
                found,
                expected: "1 to 100, rising",
            });
        }
        if self.n_buckets == 0 || self.n_buckets > u32::MAX as usize / 2 {
            let found = self.n_buckets.to_string();
            return Err(WordVecError::Setting { name: "n_buckets", found, expected: "1 to 2147483647" });
        }
        Ok(())
    }

    /// Buckets of the n-grams of `word`, in order, repetitions included.
    pub fn buckets(&self, word: &str) -> Vec<u32> {
        let marked = format!("<{word}>");
        let starts: Vec<usize> = marked.char_indices().map(|(at, _)| at).chain([marked.len()]).collect();
        let n_chars = starts.len() - 1;
        let mut buckets = Vec::new();
        for from in 0..n_chars {
            for length in self.min_n..=self.max_n.min(n_chars - from) {
                // The marks alone say nothing.
                if length == 1 && (from == 0 || from == n_chars - 1) {
                    continue;
                }
                let gram = &marked.as_bytes()[starts[from]..starts[from + length]];
                buckets.push((u64::from(fnv1a(gram)) % self.n_buckets as u64) as u32);
            }
        }
        buckets
    }
}

fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(2_166_136_261, |hash: u32, &byte| {
        // Bytes above 127 are negative there.
        (hash ^ i32::from(byte.cast_signed()) as u32).wrapping_mul(16_777_619)
    })
}

/// Vectors of words and of the buckets of their n-grams.
#[derive(Debug, Clone, PartialEq)]
pub struct SubwordVectors {
    vectors: WordVectors,
    config: SubwordConfig,
    /// `[n_buckets, dim]`.
    buckets: Vec<f32>,
}

const MAGIC: &[u8; 4] = b"TCSW";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 40;

impl SubwordVectors {
    /// - `own`: `[n_words, dim]`, the words' own parts. - `buckets`: `[n_buckets, dim]`.
    pub(crate) fn new(
        words: Vec<String>,
        counts: Vec<u64>,
        own: &[f32],
        buckets: Vec<f32>,
        config: SubwordConfig,
    ) -> Result<Self, WordVecError> {
        let dim = buckets.len() / config.n_buckets;
        let mut data = Vec::with_capacity(own.len());
        for (word, own) in words.iter().zip(own.chunks_exact(dim)) {
            let mut row = own.to_vec();
            let grams = config.buckets(word);
            for &bucket in &grams {
                let gram = &buckets[bucket as usize * dim..(bucket as usize + 1) * dim];
                row.iter_mut().zip(gram).for_each(|(sum, x)| *sum += x);
            }
            let n = 1 + grams.len();
            data.extend(row.into_iter().map(|x| x / n as f32));
        }
        let vectors = WordVectors::new(words, dim, data)?.with_counts(counts)?;
        Ok(Self { vectors, config, buckets })
    }

    /// The vectors of the vocabulary.
    pub fn vectors(&self) -> &WordVectors {
        &self.vectors
    }

    /// The settings of n-grams.
    pub fn config(&self) -> &SubwordConfig {
        &self.config
    }

    /// Vector of any word, `[dim]`; none only if it is too short to have an n-gram and was never seen.
    pub fn get(&self, word: &str) -> Option<Cow<'_, [f32]>> {
        if let Some(row) = self.vectors.get(word) {
            return Some(Cow::Borrowed(row));
        }
        let grams = self.config.buckets(word);
        if grams.is_empty() {
            return None;
        }
        let dim = self.vectors.dim();
        let mut row = vec![0.0; dim];
        for &bucket in &grams {
            let gram = &self.buckets[bucket as usize * dim..(bucket as usize + 1) * dim];
            row.iter_mut().zip(gram).for_each(|(sum, x)| *sum += x / grams.len() as f32);
        }
        Some(row.into())
    }

    /// Whether a file begins as [`SubwordVectors::save`] writes it.
    pub fn is_saved_as(beginning: &[u8]) -> bool {
        beginning.starts_with(MAGIC)
    }

    /// The words of the vocabulary nearest to the mean of `positive` words and negated `negative` ones, each
    /// of length 1; all of them left out. The words given may be ones never seen.
    ///
    /// # Errors
    /// [`WordVecError::UnknownWord`] for a word that is unknown and too short to have an n-gram.
    pub fn nearest(
        &self,
        positive: &[&str],
        negative: &[&str],
        k: usize,
    ) -> Result<Vec<(usize, f32)>, WordVecError> {
        let mut query = vec![0.0; self.vectors.dim()];
        for (words, sign) in [(positive, 1.0), (negative, -1.0)] {
            for word in words {
                let row = self.get(word).ok_or_else(|| WordVecError::UnknownWord((*word).to_owned()))?;
                let norm = similar::length(&row) as f32;
                let weight = if norm > 0.0 { sign / norm } else { 0.0 };
                query.iter_mut().zip(row.iter()).for_each(|(sum, x)| *sum += weight * x);
            }
        }
        let given: Vec<&str> = positive.iter().chain(negative).copied().collect();
        Ok(similar::nearest(&self.vectors, &query, k, &given))
    }

    /// Saves to a new file renamed into place. Layout, little endian: `TCSW`, version u32, min_n u32,
    /// max_n u32, n_buckets u64, dim u32, zeros u32, CRC-32 of the rest u32, zeros u32; buckets f32; the
    /// vocabulary as a `.tcwv` file.
    ///
    /// # Errors
    /// [`WordVecError::Io`] or [`WordVecError::Open`].
    pub fn save(&self, path: &Path) -> Result<(), WordVecError> {
        let mut body: Vec<u8> = self.buckets.iter().flat_map(|x| x.to_le_bytes()).collect();
        write_tcwv(&self.vectors, Precision::F32, &mut body)?;
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(MAGIC);
        header[4..8].copy_from_slice(&VERSION.to_le_bytes());
        header[8..12].copy_from_slice(&(self.config.min_n as u32).to_le_bytes());
        header[12..16].copy_from_slice(&(self.config.max_n as u32).to_le_bytes());
        header[16..24].copy_from_slice(&(self.config.n_buckets as u64).to_le_bytes());
        header[24..28].copy_from_slice(&(self.vectors.dim() as u32).to_le_bytes());
        header[32..36].copy_from_slice(&crc32fast::hash(&body).to_le_bytes());
        replace_file(path, |file| {
            file.write_all(&header)?;
            Ok(file.write_all(&body)?)
        })
    }

    /// Opens what [`SubwordVectors::save`] wrote.
    ///
    /// # Errors
    /// [`WordVecError::Open`], [`WordVecError::Version`] or [`WordVecError::Damaged`].
    pub fn open(path: &Path) -> Result<Self, WordVecError> {
        let mut file = std::fs::File::open(path)
            .map_err(|source| WordVecError::Open { path: path.to_owned(), source })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let damaged = |what: &str| WordVecError::Damaged(what.to_owned());
        let (header, body) =
            bytes.split_at_checked(HEADER_BYTES).ok_or_else(|| damaged("it is cut short"))?;
        let u32_at =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if !header.starts_with(MAGIC) {
            return Err(damaged("it holds no subword vectors"));
        }
        if u32_at(4) != VERSION {
            return Err(WordVecError::Version { found: u32_at(4), newest: VERSION });
        }
        if crc32fast::hash(body) != u32_at(32) {
            return Err(damaged("its checksum does not fit"));
        }
        let n_buckets = (u64::from(u32_at(16)) | u64::from(u32_at(20)) << 32) as usize;
        let config = SubwordConfig { min_n: u32_at(8) as usize, max_n: u32_at(12) as usize, n_buckets };
        config.validate()?;
        let n_bytes = n_buckets.checked_mul(u32_at(24) as usize).and_then(|n| n.checked_mul(4));
        let (buckets, words) =
            n_bytes.and_then(|n| body.split_at_checked(n)).ok_or_else(|| damaged("it is cut short"))?;
        let vectors = tcwv::read(words, &crate::read::ReadOptions::default())?;
        if vectors.dim() != u32_at(24) as usize {
            return Err(damaged("words and n-grams have vectors of different lengths"));
        }
        let buckets = buckets.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect();
        Ok(Self { vectors, config, buckets })
    }
}

impl Lookup for SubwordVectors {
    fn n_components(&self) -> usize {
        self.vectors.dim()
    }

    fn find(&self, word: &str) -> Option<Cow<'_, [f32]>> {
        self.get(word)
    }
}
