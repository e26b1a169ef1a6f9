//! What is inside the program: the sample catalogue, its queries, and small word vectors.
//!
//! The films are real and the facts true; overviews and queries are written for titlecard
//! (`data/sample/README.md`). The vectors were trained on a large catalogue's texts
//! (`docs/sample-vectors.md`); they are data learned from text, not text.

use std::io::{Cursor, Read};
use std::ops::ControlFlow;
use std::path::Path;

use wordvec::WordVectors;

use crate::catalogue::{CatalogueError, CleaningReport, Film, ReadOptions, read_films_from};
use crate::eval::queries::{Query, QueryError, parse_queries};

/// `data/sample/films.jsonl`, compressed by `scripts/pack_sample.sh`.
const FILMS: &[u8] = include_bytes!("../../../data/sample/films.jsonl.zst");
/// `data/sample/queries.jsonl`, compressed by `scripts/pack_sample.sh`.
const QUERIES: &[u8] = include_bytes!("../../../data/sample/queries.jsonl.zst");
/// Word vectors, 8 bits a component.
const VECTORS: &[u8] = include_bytes!("../../../data/sample/vectors.tcwv");

/// The rules that rank the sample, learned from its training queries (`data/sample/README.md`).
pub const RULES: &str = include_str!("../../../data/sample/rules.json");

/// Reads the sample catalogue like any other.
///
/// # Errors
/// Those of [`crate::catalogue::read_films`].
pub fn read_films(
    options: &ReadOptions,
    on_film: &mut dyn FnMut(Film) -> ControlFlow<()>,
) -> Result<CleaningReport, CatalogueError> {
    read_films_from(Cursor::new(FILMS), "the sample catalogue", options, on_film)
}

/// The sample queries of all splits.
///
/// # Errors
/// [`QueryError`] only if the program itself is damaged.
pub fn queries() -> Result<Vec<Query>, QueryError> {
    let name = Path::new("sample queries");
    let mut text = Vec::new();
    zstd::Decoder::new(QUERIES)
        .and_then(|mut decoder| decoder.read_to_end(&mut text))
        .map_err(|error| QueryError::Io { path: name.to_owned(), message: error.to_string() })?;
    parse_queries(text.as_slice(), name)
}

/// The small word vectors.
///
/// # Errors
/// [`wordvec::WordVecError`] only if the program itself is damaged.
pub fn word_vectors() -> Result<WordVectors, wordvec::WordVecError> {
    wordvec::read::read_from_bytes(VECTORS)
}
