//! A retriever that costs a table look-up a word: text vectors as weighted sums of token vectors, learned
//! from pairs of texts.
//!
//! Map of the formulas, for a text with distinct tokens `t`, each `n_t` times:
//!
//! - `u = Σ_t (1 + ln n_t) · exp(θ_t) · E_t`; `E` is the table, `θ` the logarithm of a learned weight, one for
//!   the side of queries and one for that of documents → [`StaticEncoder`];
//! - a text's vector is `û = u / ‖u‖`; for Matryoshka dimensions, of the first `d` components alone;
//! - loss of a query `q` with document `p`: `-ln(exp(q̂·p̂ / τ) / Σ_j exp(q̂·d̂_j / τ))` over the documents of
//!   the batch, hard negatives and random ones, summed over the Matryoshka dimensions → [`train_encoder`].
//!
//! Words outside the vocabulary fall into hashed buckets with rows of their own, so that two texts that
//! share a rare name meet. Only rows of tokens in a batch have gradients, and only they are touched.
//!
//! Sources: Arora et al. (2017) for weighted sums; Henderson et al., *Efficient natural language response
//! suggestion* (2017), for the in-batch softmax; Kusupati et al., *Matryoshka representation learning*
//! (2022); Kingma and Ba (2015) for Adam, here with moments of touched rows only.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::Path;

use rand::RngExt;

use crate::kernels::{Kernels, LANES};
use crate::write::{Precision, replace_file, write_tcwv};
use crate::{WordTable, WordVecError, WordVectors, tcwv, word_index};

mod mapped;
mod train;

pub use mapped::MappedEncoder;
pub use train::{EncoderConfig, EncoderProgress, Pair, hard_negatives, train_encoder};

/// Which side of a pair a text is on; weights of tokens differ ("remember" says something in a document,
/// nothing in a question).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What is asked.
    Query,
    /// What is searched.
    Document,
}

/// A text as token numbers with their multiplicity, each number once, rising.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TokenBag(pub(crate) Vec<(u32, f32)>);

impl TokenBag {
    /// Number of distinct tokens.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no token is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What turns texts into vectors: an encoder in memory or one mapped from its file.
pub trait TextEncoder {
    /// Components of a full vector.
    fn dim(&self) -> usize;

    /// Number of a token: its word's, or its bucket's.
    fn token(&self, word: &str) -> Option<u32>;

    /// Vector of length 1 of one text, `[dim]`; zeros if no token is known.
    ///
    /// # Panics
    /// If `out` has another length than [`TextEncoder::dim`].
    fn encode_bag(&self, bag: &TokenBag, side: Side, out: &mut [f32]);

    /// Counts the tokens of a text.
    fn count(&self, tokens: &[String]) -> TokenBag {
        count_tokens(tokens.iter().map(String::as_str), |token| self.token(token))
    }
}

fn count_tokens<'a>(
    tokens: impl IntoIterator<Item = &'a str>,
    number: impl Fn(&str) -> Option<u32>,
) -> TokenBag {
    let mut counts: HashMap<u32, f32> = HashMap::new();
    for token in tokens.into_iter().filter_map(number) {
        *counts.entry(token).or_default() += 1.0;
    }
    let mut bag: Vec<(u32, f32)> = counts.into_iter().collect();
    bag.sort_unstable_by_key(|(token, _)| *token);
    TokenBag(bag)
}

/// Number of the bucket of a word outside the vocabulary.
fn bucket_of(word: &str, n_words: usize, n_buckets: usize) -> Option<u32> {
    let bucket = word_index::hash(word.as_bytes()).checked_rem(n_buckets as u64)?;
    Some((n_words as u64 + bucket) as u32)
}

/// Factor of a token's row in the sum of a text.
fn gain_of(count: f32, log_weight: f32) -> f32 {
    (1.0 + count.ln()) * log_weight.exp()
}

/// Token vectors and weights.
#[derive(Debug, Clone, PartialEq)]
pub struct StaticEncoder {
    words: WordVectors,
    n_buckets: usize,
    dim: usize,
    /// Components of a row with padding.
    stride: usize,
    /// `[n_words + n_buckets, stride]`.
    table: Vec<f32>,
    /// Logarithms of the weights of queries, then of documents, `[n_words + n_buckets]` each.
    log_weights: [Vec<f32>; 2],
    /// Lengths a vector can be cut to, rising; the last is `dim`.
    dims: Vec<usize>,
}

const MAGIC: &[u8; 4] = b"TCSE";
/// In version 1 the checksum was of what follows the header alone.
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 64;
/// Where the checksum stands; what is before it in the header is covered too.
const CHECKSUM_AT: usize = 60;
/// Lengths a vector can be cut to, at most.
const MOST_DIMS: usize = 8;

impl StaticEncoder {
    /// Starts from word vectors: rows of length 1, weights of smooth inverse frequency
    /// (`a / (a + p(word))`, `a` = 0.001); buckets start with random rows and the weight of a rare word.
    ///
    /// - `dims`: lengths a vector can be cut to, rising; the last must be that of the vectors.
    /// - `n_buckets`: rows for words outside the vocabulary; 0 leaves them out.
    ///
    /// # Errors
    /// [`WordVecError::Setting`] if `dims` does not rise to the vectors' own.
    pub fn new(
        vectors: &WordVectors,
        dims: &[usize],
        n_buckets: usize,
        seed: u64,
    ) -> Result<Self, WordVecError> {
        let dim = vectors.dim();
        if dims.last() != Some(&dim)
            || !dims.is_sorted_by(|a, b| a < b)
            || dims[0] == 0
            || dims.len() > MOST_DIMS
        {
            let found = dims.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
            let expected = "rising lengths, at most 8, the last that of the vectors";
            return Err(WordVecError::Setting { name: "dims", found, expected });
        }
        let stride = dim.next_multiple_of(LANES);
        let n_words = vectors.len();
        let mut table = vec![0.0; (n_words + n_buckets) * stride];
        let mut rng = crate::train::generator(seed, [7, 0, 0, 0]);
        for (at, row) in table.chunks_exact_mut(stride).enumerate() {
            let row = &mut row[..dim];
            if at < n_words {
                row.copy_from_slice(vectors.row(at));
            } else {
                row.iter_mut().for_each(|x| *x = rng.random_range(-1.0..1.0));
            }
            let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            if norm > 0.0 {
                row.iter_mut().for_each(|x| *x /= norm);
            }
        }
        let total: f64 = (0..n_words).map(|at| vectors.count_at(at).unwrap_or(0) as f64).sum();
        let log_weight = |at: usize| {
            let share = match vectors.count_at(at) {
                Some(count) => count as f64 / total.max(1.0),
                // Zipf's law, in the order of the file.
                None => 1.0 / ((at + 1) as f64 * (n_words as f64).ln().max(1.0)),
            };
            (1e-3 / (1e-3 + share)).ln() as f32
        };
        let log_weights: Vec<f32> = (0..n_words).map(log_weight).chain((0..n_buckets).map(|_| 0.0)).collect();
        // The index of words is all that is needed of the vectors from here on.
        let words = WordVectors::new(vectors.words().to_vec(), 1, vec![0.0; n_words])?;
        let log_weights = [log_weights.clone(), log_weights];
        Ok(Self { words, n_buckets, dim, stride, table, log_weights, dims: dims.to_vec() })
    }

    /// Components of a full vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Lengths a vector can be cut to, rising; cut, then scale to length 1 again ([`cut`]).
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Words of the vocabulary.
    pub fn words(&self) -> &[String] {
        self.words.words()
    }

    /// Rows of the table: words, then buckets.
    pub fn n_tokens(&self) -> usize {
        self.words.len() + self.n_buckets
    }

    /// Weight of a token number on a side.
    ///
    /// # Panics
    /// If there is no such token.
    pub fn weight(&self, token: usize, side: Side) -> f32 {
        self.log_weights[side as usize][token].exp()
    }

    /// Number of a token: its word's, or its bucket's.
    pub fn token(&self, word: &str) -> Option<u32> {
        let known = self.words.index_of(word).map(|at| at as u32);
        known.or_else(|| bucket_of(word, self.words.len(), self.n_buckets))
    }

    /// Counts the tokens of a text.
    pub fn bag<'a>(&self, tokens: impl IntoIterator<Item = &'a str>) -> TokenBag {
        count_tokens(tokens, |token| self.token(token))
    }

    /// Vector of length 1 of one text, `[dim]`; zeros if no token is known.
    ///
    /// # Panics
    /// If `out` has another length than [`StaticEncoder::dim`].
    pub fn encode<'a>(&self, tokens: impl IntoIterator<Item = &'a str>, side: Side, out: &mut [f32]) {
        self.encode_bag(&self.bag(tokens), side, out);
    }

    /// [`StaticEncoder::encode`] for tokens already counted.
    ///
    /// # Panics
    /// As [`StaticEncoder::encode`].
    pub fn encode_bag(&self, bag: &TokenBag, side: Side, out: &mut [f32]) {
        assert_eq!(out.len(), self.dim, "one value a dimension");
        let mut sum = vec![0.0; self.stride];
        self.sum(bag, side, &Kernels::exact(), &mut sum);
        out.copy_from_slice(&sum[..self.dim]);
        cut(out, self.dim);
    }

    /// `u` of a text, `[stride]`.
    fn sum(&self, bag: &TokenBag, side: Side, kernels: &Kernels, out: &mut [f32]) {
        out.fill(0.0);
        for &(token, count) in &bag.0 {
            let gain = gain_of(count, self.log_weights[side as usize][token as usize]);
            let row = &self.table[token as usize * self.stride..(token as usize + 1) * self.stride];
            (kernels.combine)(out, row, &[gain]);
        }
    }

    /// Saves to a new file renamed into place.
    ///
    /// Layout, little endian: `TCSE`, version u32, dim u32, precision u32 (0 f32, 1 int8, 2 f16), n_words
    /// u64, n_buckets u32, number of dims u32, up to 7 dims before the last u32, CRC-32 of all other bytes u32 (byte
    /// 60; in version 1 of those behind it alone); log weights f32 of queries, then documents; the table as a `.tcwv`
    /// file, where bucket `b` is the word of two characters U+0000 and `b`.
    ///
    /// # Errors
    /// [`WordVecError::Io`] or [`WordVecError::Open`].
    pub fn save(&self, path: &Path, precision: Precision) -> Result<(), WordVecError> {
        let mut body: Vec<u8> = self.log_weights.iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
        let names =
            self.words().iter().cloned().chain((0..self.n_buckets).map(|bucket| format!("\0{bucket}")));
        let rows = self.table.chunks_exact(self.stride).flat_map(|row| &row[..self.dim]).copied().collect();
        write_tcwv(&WordVectors::new(names.collect(), self.dim, rows)?, precision, &mut body)?;
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(MAGIC);
        header[4..8].copy_from_slice(&VERSION.to_le_bytes());
        header[8..12].copy_from_slice(&(self.dim as u32).to_le_bytes());
        header[16..24].copy_from_slice(&(self.words().len() as u64).to_le_bytes());
        header[24..28].copy_from_slice(&(self.n_buckets as u32).to_le_bytes());
        header[28..32].copy_from_slice(&(self.dims.len() as u32).to_le_bytes());
        for (at, dim) in self.dims[..self.dims.len() - 1].iter().enumerate() {
            header[32 + at * 4..36 + at * 4].copy_from_slice(&(*dim as u32).to_le_bytes());
        }
        let mut checksum = checksum_of(&header);
        checksum.update(&body);
        header[CHECKSUM_AT..].copy_from_slice(&checksum.finalize().to_le_bytes());
        replace_file(path, |file| {
            file.write_all(&header)?;
            Ok(file.write_all(&body)?)
        })
    }

    /// Opens what [`StaticEncoder::save`] wrote.
    ///
    /// # Errors
    /// [`WordVecError::Open`], [`WordVecError::Version`] or [`WordVecError::Damaged`].
    pub fn open(path: &Path) -> Result<Self, WordVecError> {
        let mut file = std::fs::File::open(path)
            .map_err(|source| WordVecError::Open { path: path.to_owned(), source })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Self::from_bytes(&bytes)
    }

    /// [`StaticEncoder::open`] for a file in memory.
    ///
    /// # Errors
    /// [`WordVecError::Version`] or [`WordVecError::Damaged`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, WordVecError> {
        let (header, body) =
            bytes.split_at_checked(HEADER_BYTES).ok_or_else(|| damaged("it is cut short"))?;
        let mut checksum = checksum_of(header);
        checksum.update(body);
        let header = Header::read(header, bytes.len(), checksum.finalize())?;
        let Header { n_words, n_buckets, dim, .. } = header;
        let (weights, vectors) = body.split_at(header.weight_bytes());
        let vectors = tcwv::read(vectors, &crate::read::ReadOptions::default())?;
        if vectors.len() != n_words + n_buckets || dim != vectors.dim() {
            return Err(damaged("its table does not fit its header"));
        }
        let dims = header.dims;
        let weights: Vec<f32> = weights.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect();
        let (queries, documents) = weights.split_at(n_words + n_buckets);
        let stride = dim.next_multiple_of(LANES);
        let mut table = vec![0.0; vectors.len() * stride];
        for (at, row) in table.chunks_exact_mut(stride).enumerate() {
            row[..dim].copy_from_slice(vectors.row(at));
        }
        let words = WordVectors::new(vectors.words()[..n_words].to_vec(), 1, vec![0.0; n_words])?;
        let log_weights = [queries.to_vec(), documents.to_vec()];
        Ok(Self { words, n_buckets, dim, stride, table, log_weights, dims })
    }
}

impl TextEncoder for StaticEncoder {
    fn dim(&self) -> usize {
        self.dim
    }

    fn token(&self, word: &str) -> Option<u32> {
        Self::token(self, word)
    }

    fn encode_bag(&self, bag: &TokenBag, side: Side, out: &mut [f32]) {
        Self::encode_bag(self, bag, side, out);
    }
}

fn damaged(what: &str) -> WordVecError {
    WordVecError::Damaged(what.to_owned())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The checksum of a file as far as its header, which version 1 left out.
fn checksum_of(header: &[u8]) -> crc32fast::Hasher {
    let mut checksum = crc32fast::Hasher::new();
    if u32_at(header, 4) != 1 {
        checksum.update(&header[..CHECKSUM_AT]);
    }
    checksum
}

/// The first bytes of a file, checked against its length and its checksum.
#[derive(Debug)]
struct Header {
    n_words: usize,
    n_buckets: usize,
    dim: usize,
    dims: Vec<usize>,
}

impl Header {
    /// - `bytes`: the first [`HEADER_BYTES`]; `length`: of the whole file; `checksum`: as found.
    fn read(bytes: &[u8], length: usize, checksum: u32) -> Result<Self, WordVecError> {
        let u32_at = |at: usize| u32_at(bytes, at);
        if !bytes.starts_with(MAGIC) {
            return Err(damaged("it holds no static encoder"));
        }
        if !(1..=VERSION).contains(&u32_at(4)) {
            return Err(WordVecError::Version { found: u32_at(4), newest: VERSION });
        }
        if u32_at(CHECKSUM_AT) != checksum {
            return Err(damaged("its checksum does not fit"));
        }
        let n_words = (u64::from(u32_at(16)) | u64::from(u32_at(20)) << 32) as usize;
        let (n_buckets, n_dims, dim) = (u32_at(24) as usize, u32_at(28) as usize, u32_at(8) as usize);
        let weight_bytes = n_words.checked_add(n_buckets).and_then(|n| n.checked_mul(8));
        if weight_bytes.and_then(|n| n.checked_add(HEADER_BYTES)).is_none_or(|end| end > length) {
            return Err(damaged("it is cut short"));
        }
        if n_words == 0 || !(1..=MOST_DIMS).contains(&n_dims) {
            return Err(damaged("its table does not fit its header"));
        }
        let mut dims: Vec<usize> = (0..n_dims - 1).map(|at| u32_at(32 + at * 4) as usize).collect();
        dims.push(dim);
        if !dims.is_sorted_by(|a, b| a < b) || dims[0] == 0 {
            return Err(damaged("its lengths do not rise"));
        }
        Ok(Self { n_words, n_buckets, dim, dims })
    }

    /// Bytes of the log weights of both sides.
    fn weight_bytes(&self) -> usize {
        (self.n_words + self.n_buckets) * 8
    }
}

/// Keeps the first `dim` components and scales them to length 1; zeros stay zeros.
pub fn cut(vector: &mut [f32], dim: usize) -> &mut [f32] {
    let dim = dim.min(vector.len());
    let vector = &mut vector[..dim];
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|x| *x /= norm);
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn small() -> StaticEncoder {
        let words = ["the", "sea", "ship", "court", "judge"].map(String::from).to_vec();
        let data = (0..5 * 6).map(|at| ((at * 7 % 11) as f32 - 5.0) / 5.0).collect();
        let vectors =
            WordVectors::new(words, 6, data).unwrap().with_counts(vec![900, 30, 20, 30, 20]).unwrap();
        StaticEncoder::new(&vectors, &[2, 6], 4, 1).unwrap()
    }

    #[test]
    fn a_text_is_the_weighted_sum_of_its_tokens() {
        let encoder = small();
        let mut out = [0.0; 6];
        encoder.encode(["sea", "the", "sea"], Side::Query, &mut out);
        let mut expected = [0.0_f32; 6];
        for (token, gain) in
            [(1, (1.0 + 2.0_f32.ln()) * encoder.weight(1, Side::Query)), (0, encoder.weight(0, Side::Query))]
        {
            let row = &encoder.table[token * encoder.stride..][..6];
            expected.iter_mut().zip(row).for_each(|(sum, x)| *sum += gain * x);
        }
        cut(&mut expected, 6);
        for (x, y) in out.iter().zip(expected) {
            assert!((x - y).abs() < 1e-6);
        }
        assert!(encoder.weight(0, Side::Query) < 0.01 && encoder.weight(1, Side::Query) > 0.03);
    }

    #[test]
    fn unknown_words_have_a_bucket_and_no_text_is_zeros() {
        let encoder = small();
        let token = encoder.token("kraken").unwrap();
        assert!((5..9).contains(&token));
        let mut out = [1.0; 6];
        encoder.encode([], Side::Document, &mut out);
        assert_eq!(out, [0.0; 6]);
    }

    #[test]
    fn saved_and_opened_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encoder.tcse");
        let encoder = small();
        encoder.save(&path, Precision::F32).unwrap();
        assert_eq!(StaticEncoder::open(&path).unwrap(), encoder);
        let mut bytes = std::fs::read(&path).unwrap();
        for cut in [0, 10, 63, 100, bytes.len() - 1] {
            assert!(StaticEncoder::from_bytes(&bytes[..cut]).is_err(), "{cut} bytes");
            std::fs::write(&path, &bytes[..cut]).unwrap();
            assert!(MappedEncoder::open(&path).is_err(), "{cut} bytes");
        }
        // Every byte of the header, used or not, and one of the table.
        for at in (0..HEADER_BYTES).chain([bytes.len() / 2]) {
            for bit in [1, 128] {
                bytes[at] ^= bit;
                assert!(StaticEncoder::from_bytes(&bytes).is_err(), "byte {at}");
                std::fs::write(&path, &bytes).unwrap();
                let error = MappedEncoder::open(&path).unwrap_err();
                let is_version = matches!(error, WordVecError::Version { .. });
                assert_eq!(is_version, (4..8).contains(&at), "byte {at}: {error}");
                bytes[at] ^= bit;
            }
        }
    }

    #[test]
    fn mapped_and_in_memory_give_the_same_vectors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encoder.tcse");
        for precision in [Precision::F32, Precision::F16, Precision::Int8] {
            small().save(&path, precision).unwrap();
            let (encoder, mapped) =
                (StaticEncoder::open(&path).unwrap(), MappedEncoder::open(&path).unwrap());
            assert_eq!((mapped.dim(), mapped.n_tokens()), (6, 9));
            for text in ["the sea and the ship", "judge", "kraken court kraken", ""] {
                let tokens: Vec<String> = text.split_whitespace().map(String::from).collect();
                let (bag, counted) = (encoder.bag(text.split_whitespace()), mapped.count(&tokens));
                assert_eq!(bag, counted);
                for side in [Side::Query, Side::Document] {
                    let (mut expected, mut found) = ([0.0; 6], [1.0; 6]);
                    encoder.encode_bag(&bag, side, &mut expected);
                    mapped.encode_bag(&counted, side, &mut found);
                    assert_eq!(expected, found, "{text} {precision:?}");
                }
            }
        }
    }

    #[test]
    fn lengths_must_rise_to_the_vectors_own() {
        let vectors = WordVectors::new(vec!["a".into()], 4, vec![1.0; 4]).unwrap();
        for dims in [&[][..], &[2], &[4, 2], &[0, 4], &[2, 2, 4]] {
            assert!(matches!(StaticEncoder::new(&vectors, dims, 0, 1), Err(WordVecError::Setting { .. })));
        }
    }
}
