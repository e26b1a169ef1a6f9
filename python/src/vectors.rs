//! Word vectors and the text encoder.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::{PyIndexError, PyKeyError, PyValueError};
use pyo3::prelude::*;
use titlecard_engine::text::{Tokenizer, TokenizerConfig};
use wordvec::encoder::{Side, StaticEncoder};
use wordvec::pool::{self, Idf, Sif};
use wordvec::train::{
    Architecture, Corpus, CorpusOptions, Mode, Objective, SkipGramConfig, TextFile, TrainConfig, train,
};
use wordvec::write::{
    Precision, replace_file, write_glove_text, write_table, write_word2vec_binary, write_word2vec_text,
};
use wordvec::{MappedVectors, WordTable, WordVecError, similar};

use crate::errors::raise;
use crate::runner;

/// Smoothing of SIF's word weights, `a / (a + p(word))`.
const SIF_SMOOTHING: f32 = 1e-3;

/// Words with a vector each, in memory or mapped from a file.
#[pyclass(frozen, module = "titlecard._native")]
pub(crate) struct WordVectors {
    table: Arc<dyn WordTable + Send + Sync>,
    /// Of a mapped `.tcwv` file: precision, and where values and scales begin.
    stored: Option<(&'static str, u64, u64)>,
}

impl WordVectors {
    fn of(vectors: wordvec::WordVectors) -> Self {
        Self { table: Arc::new(vectors), stored: None }
    }

    fn position(&self, word: &str) -> PyResult<usize> {
        self.table.index_of(word).ok_or_else(|| unknown(word))
    }

    fn named(&self, found: Vec<(usize, f32)>) -> Vec<(String, f32)> {
        found.into_iter().map(|(at, cosine)| (self.table.word_at(at).into_owned(), cosine)).collect()
    }
}

fn unknown(word: &str) -> PyErr {
    PyKeyError::new_err(WordVecError::UnknownWord(word.to_owned()).to_string())
}

/// A word without a vector is a missing key; the rest as everywhere.
fn raise_lookup(error: WordVecError) -> PyErr {
    match error {
        WordVecError::UnknownWord(word) => unknown(&word),
        error => raise(error),
    }
}

fn precision_named(name: &str) -> PyResult<Precision> {
    match name {
        "f32" => Ok(Precision::F32),
        "f16" => Ok(Precision::F16),
        "int8" => Ok(Precision::Int8),
        _ => Err(PyValueError::new_err(format!("the precision `{name}` is unknown; take f32, f16 or int8"))),
    }
}

/// Texts one thread reads in a row between two looks at Ctrl-C.
const TEXTS_A_TIME: usize = 1024;

#[pymethods]
impl WordVectors {
    /// Opens a file of whatever format in the cheapest way it allows.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let opened = runner::run(py, None, |_| match MappedVectors::open(&path) {
            Ok(mapped) => {
                let precision = match mapped.precision() {
                    Precision::F32 => "f32",
                    Precision::F16 => "f16",
                    Precision::Int8 => "int8",
                };
                let (values, scales) = mapped.offsets();
                Ok(Self { table: Arc::new(mapped), stored: Some((precision, values, scales)) })
            }
            Err(WordVecError::NotMappable { .. }) => {
                wordvec::read::open(&path).map(|table| Self { table: Arc::from(table), stored: None })
            }
            Err(error) => Err(error),
        })?;
        opened.map_err(raise)
    }

    /// The small vectors inside the program.
    #[staticmethod]
    fn sample() -> PyResult<Self> {
        titlecard_engine::sample::word_vectors().map(Self::of).map_err(raise)
    }

    /// Puts words and their vectors `[n_words, dim]` together.
    #[staticmethod]
    #[pyo3(signature = (words, vectors, counts=None))]
    fn from_arrays(
        words: Vec<String>,
        vectors: PyReadonlyArray2<'_, f32>,
        counts: Option<Vec<u64>>,
    ) -> PyResult<Self> {
        let vectors = vectors.as_array();
        if vectors.nrows() != words.len() {
            return Err(PyValueError::new_err(format!(
                "found {} vectors for {} words; give one vector a word",
                vectors.nrows(),
                words.len()
            )));
        }
        let made = wordvec::WordVectors::new(words, vectors.ncols(), vectors.iter().copied().collect());
        let made = made.and_then(|vectors| match counts {
            Some(counts) => vectors.with_counts(counts),
            None => Ok(vectors),
        });
        made.map(Self::of).map_err(raise)
    }

    fn __len__(&self) -> usize {
        self.table.len()
    }

    fn __contains__(&self, word: &str) -> bool {
        self.table.index_of(word).is_some()
    }

    /// Components of a vector.
    #[getter]
    fn dim(&self) -> usize {
        self.table.dim()
    }

    /// Of a mapped file: precision, offset of the values, offset of the scales.
    #[getter]
    fn stored(&self) -> Option<(&'static str, u64, u64)> {
        self.stored
    }

    /// Position of a word, or none.
    fn index_of(&self, word: &str) -> Option<usize> {
        self.table.index_of(word)
    }

    /// The word at a position.
    fn word_at(&self, at: usize) -> PyResult<String> {
        if at >= self.table.len() {
            let n_words = self.table.len();
            return Err(PyIndexError::new_err(format!("there is no word {at}; there are {n_words}")));
        }
        Ok(self.table.word_at(at).into_owned())
    }

    /// All words, in order.
    fn words(&self, py: Python<'_>) -> Vec<String> {
        py.detach(|| (0..self.table.len()).map(|at| self.table.word_at(at).into_owned()).collect())
    }

    /// How often each word was seen in training, if known.
    fn counts(&self, py: Python<'_>) -> Option<Vec<u64>> {
        py.detach(|| (0..self.table.len()).map(|at| self.table.count_at(at)).collect())
    }

    /// A copy of the vector of a word, `[dim]`.
    fn get<'py>(&self, py: Python<'py>, word: &str) -> PyResult<Bound<'py, PyArray1<f32>>> {
        Ok(self.table.row_at(self.position(word)?).into_owned().into_pyarray(py))
    }

    /// A copy of the vectors of some words, `[n, dim]`.
    fn get_many<'py>(&self, py: Python<'py>, words: Vec<String>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let mut values = Vec::with_capacity(words.len() * self.table.dim());
        for word in &words {
            values.extend_from_slice(&self.table.row_at(self.position(word)?));
        }
        matrix(py, words.len(), self.table.dim(), values)
    }

    /// All vectors, `[n_words, dim]`: one copy.
    fn to_array<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let values = runner::run(py, None, |_| {
            let mut values = Vec::with_capacity(self.table.len() * self.table.dim());
            (0..self.table.len()).for_each(|at| values.extend_from_slice(&self.table.row_at(at)));
            values
        })?;
        matrix(py, self.table.len(), self.table.dim(), values)
    }

    /// The `k` words nearest to a vector `[dim]` by cosine.
    fn nearest(
        &self,
        py: Python<'_>,
        vector: PyReadonlyArray1<'_, f32>,
        k: usize,
        exclude: Vec<String>,
    ) -> PyResult<Vec<(String, f32)>> {
        let query: Vec<f32> = vector.as_array().iter().copied().collect();
        if query.len() != self.table.dim() {
            return Err(PyValueError::new_err(format!(
                "found a vector of {} components, expected {}; take one of the same vectors",
                query.len(),
                self.table.dim()
            )));
        }
        let exclude: Vec<&str> = exclude.iter().map(String::as_str).collect();
        Ok(self.named(py.detach(|| similar::nearest(&*self.table, &query, k, &exclude))))
    }

    /// The words nearest to the mean of `positive` words and negated `negative` ones.
    fn combine(
        &self,
        py: Python<'_>,
        positive: Vec<String>,
        negative: Vec<String>,
        k: usize,
    ) -> PyResult<Vec<(String, f32)>> {
        let positive: Vec<&str> = positive.iter().map(String::as_str).collect();
        let negative: Vec<&str> = negative.iter().map(String::as_str).collect();
        let found = py.detach(|| similar::combine(&*self.table, &positive, &negative, k));
        found.map(|found| self.named(found)).map_err(raise_lookup)
    }

    /// Cosine of two words.
    fn similarity(&self, a: &str, b: &str) -> PyResult<f32> {
        similar::similarity(&*self.table, a, b).map_err(raise_lookup)
    }

    /// The word least like the others.
    fn doesnt_match(&self, words: Vec<String>) -> PyResult<String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        similar::doesnt_match(&*self.table, &words).map(str::to_owned).map_err(raise_lookup)
    }

    /// One vector a text, `[n_texts, dim]`, and how many of its words are known. `how`: `mean`, `max-abs`, `sif` or
    /// `idf`; the last two are fitted to `fit_to`, or to the texts themselves.
    #[pyo3(signature = (texts, how, fit_to=None))]
    #[allow(clippy::type_complexity)]
    fn pool<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<Vec<String>>,
        how: &str,
        fit_to: Option<Vec<Vec<String>>>,
    ) -> PyResult<(Bound<'py, PyArray2<f32>>, Bound<'py, PyArray1<u32>>)> {
        if !["mean", "max-abs", "sif", "idf"].contains(&how) {
            return Err(PyValueError::new_err(format!(
                "the pooling `{how}` is unknown; take mean, max-abs, sif or idf"
            )));
        }
        let table = &*self.table;
        let (dim, n_texts) = (table.dim(), texts.len());
        let pooled = runner::run(py, None, |teller| -> Result<(Vec<f32>, Vec<u32>), WordVecError> {
            let fitted = fit_to.as_ref().unwrap_or(&texts);
            let fitted = || fitted.iter().map(|text| text.iter().map(String::as_str));
            let sif = (how == "sif").then(|| Sif::fit(table, SIF_SMOOTHING, fitted())).transpose()?;
            let idf = (how == "idf").then(|| Idf::fit(table, fitted()));
            let mut rows = vec![0.0; n_texts * dim];
            let mut n_known = Vec::with_capacity(n_texts);
            for (at, (text, row)) in texts.iter().zip(rows.chunks_exact_mut(dim)).enumerate() {
                if at % TEXTS_A_TIME == 0
                    && teller.tell("pooling texts", at as u64, n_texts as u64, "").is_break()
                {
                    return Err(WordVecError::Interrupted);
                }
                let tokens = text.iter().map(String::as_str);
                n_known.push(match (&sif, &idf) {
                    (Some(sif), _) => sif.embed(table, tokens, row),
                    (_, Some(idf)) => idf.embed(table, tokens, row),
                    _ if how == "mean" => pool::mean(table, tokens, row),
                    _ => pool::max_abs(table, tokens, row),
                } as u32);
            }
            Ok((rows, n_known))
        })?;
        let (rows, n_known) = pooled.map_err(raise)?;
        Ok((matrix(py, n_texts, dim, rows)?, n_known.into_pyarray(py)))
    }

    /// Writes the vectors: `.bin` and `.txt`/`.vec` as word2vec, `.glove` as GloVe, anything else as `.tcwv` of `precision`.
    fn save(&self, py: Python<'_>, path: PathBuf, precision: &str) -> PyResult<()> {
        let precision = precision_named(precision)?;
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_owned();
        let saved = runner::run(py, None, |_| {
            replace_file(&path, |file| {
                let failed = |source| WordVecError::Write { path: path.clone(), source };
                let mut out = BufWriter::with_capacity(1 << 20, file);
                match ending.as_str() {
                    "bin" => write_word2vec_binary(&in_memory(&*self.table)?, &mut out).map_err(failed)?,
                    "txt" | "vec" => {
                        write_word2vec_text(&in_memory(&*self.table)?, &mut out).map_err(failed)?;
                    }
                    "glove" => write_glove_text(&in_memory(&*self.table)?, &mut out).map_err(failed)?,
                    _ => write_table(&*self.table, precision, &mut out)?,
                }
                out.flush().map_err(failed)
            })
        })?;
        saved.map_err(raise)
    }
}

fn in_memory(table: &(dyn WordTable + Send + Sync)) -> Result<wordvec::WordVectors, WordVecError> {
    let words = (0..table.len()).map(|at| table.word_at(at).into_owned()).collect();
    let mut values = Vec::with_capacity(table.len() * table.dim());
    (0..table.len()).for_each(|at| values.extend_from_slice(&table.row_at(at)));
    wordvec::WordVectors::new(words, table.dim(), values)
}

/// Rows in a row as an array, without a copy.
pub(crate) fn matrix<T: numpy::Element>(
    py: Python<'_>,
    n_rows: usize,
    n_columns: usize,
    values: Vec<T>,
) -> PyResult<Bound<'_, PyArray2<T>>> {
    let array = Array2::from_shape_vec((n_rows, n_columns), values)
        .map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(array.into_pyarray(py))
}

/// Trains word vectors on sentences of tokens, or on a text file with one sentence a line.
#[pyfunction]
#[pyo3(signature = (sentences, path, dim, window, negatives, epochs, subsample, learning_rate, min_count, max_vocab, architecture, objective, mode, n_threads, seed, progress=None))]
#[allow(clippy::too_many_arguments)] // One a setting; Python names them.
pub(crate) fn train_word_vectors(
    py: Python<'_>,
    sentences: Option<Vec<Vec<String>>>,
    path: Option<PathBuf>,
    dim: usize,
    window: usize,
    negatives: usize,
    epochs: usize,
    subsample: f64,
    learning_rate: f32,
    min_count: u64,
    max_vocab: Option<usize>,
    architecture: &str,
    objective: &str,
    mode: &str,
    n_threads: usize,
    seed: u64,
    progress: Option<Py<PyAny>>,
) -> PyResult<WordVectors> {
    let unknown = |what: &str, found: &str, known: &str| {
        PyValueError::new_err(format!("the {what} `{found}` is unknown; take {known}"))
    };
    let architecture = match architecture {
        "skip-gram" => Architecture::SkipGram,
        "cbow" => Architecture::Cbow,
        other => return Err(unknown("architecture", other, "skip-gram or cbow")),
    };
    let objective = match objective {
        "negative-sampling" => Objective::NegativeSampling,
        "hierarchical-softmax" => Objective::HierarchicalSoftmax,
        other => return Err(unknown("objective", other, "negative-sampling or hierarchical-softmax")),
    };
    let common = SkipGramConfig {
        dim,
        window,
        negatives,
        epochs,
        subsample,
        learning_rate,
        seed,
        ..SkipGramConfig::default()
    };
    let mode = match mode {
        "reproducible" => Mode::Reproducible,
        "fast" => Mode::Fast { threads: n_threads },
        other => return Err(unknown("mode", other, "reproducible or fast")),
    };
    let config = TrainConfig { common, architecture, objective, mode };
    config.validate().map_err(raise)?;
    let trained = runner::run(py, progress.as_ref(), |teller| {
        let corpus = corpus(sentences.as_deref(), path.as_deref(), min_count, max_vocab)?;
        drop(sentences);
        train(&corpus, &config, &mut |state| {
            let note = format!("loss {:.4}", state.mean_loss);
            teller.tell("training word vectors", state.tokens_done, state.tokens_total, &note)
        })
    })?;
    trained.map(WordVectors::of).map_err(raise)
}

fn corpus(
    sentences: Option<&[Vec<String>]>,
    path: Option<&Path>,
    min_count: u64,
    max_vocab: Option<usize>,
) -> Result<Corpus, WordVecError> {
    match (sentences, path) {
        (Some(sentences), _) => {
            Corpus::from_sentences(sentences.iter().map(|sentence| sentence.iter()), min_count, max_vocab)
        }
        (None, Some(path)) => {
            let options = CorpusOptions { min_count, max_vocab, ..CorpusOptions::default() };
            Corpus::from_source(&mut TextFile::new(path), &options)
        }
        (None, None) => Err(WordVecError::Empty),
    }
}

/// A trained text encoder.
#[pyclass(frozen, module = "titlecard._native")]
pub(crate) struct Encoder {
    encoder: StaticEncoder,
}

#[pymethods]
impl Encoder {
    /// Opens a saved encoder.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        py.detach(|| StaticEncoder::open(&path)).map(|encoder| Self { encoder }).map_err(raise)
    }

    /// Components of a vector.
    #[getter]
    fn dim(&self) -> usize {
        self.encoder.dim()
    }

    /// Lengths a vector can be cut to.
    #[getter]
    fn dims(&self) -> Vec<usize> {
        self.encoder.dims().to_vec()
    }

    /// One vector a text, `[n_texts, dim]`, of length 1; zeros where no word is known.
    #[pyo3(signature = (texts, side, progress=None))]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<String>,
        side: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let side = match side {
            "query" => Side::Query,
            "document" => Side::Document,
            other => {
                return Err(PyValueError::new_err(format!(
                    "the side `{other}` is unknown; take query or document"
                )));
            }
        };
        let dim = self.encoder.dim();
        let encoded = runner::run(py, progress.as_ref(), |teller| -> Result<Vec<f32>, WordVecError> {
            let tokenizer = Tokenizer::new(TokenizerConfig::default());
            let mut rows = vec![0.0; texts.len() * dim];
            for (at, (text, row)) in texts.iter().zip(rows.chunks_exact_mut(dim)).enumerate() {
                if at % TEXTS_A_TIME == 0
                    && teller.tell("encoding texts", at as u64, texts.len() as u64, "").is_break()
                {
                    return Err(WordVecError::Interrupted);
                }
                let tokens = tokenizer.tokens(text);
                self.encoder.encode(tokens.iter().map(String::as_str), side, row);
            }
            Ok(rows)
        })?;
        matrix(py, texts.len(), dim, encoded.map_err(raise)?)
    }
}
