//! The text index: BM25 over the fields of a film, on tantivy's inverted index.
//!
//! tantivy keeps postings, dictionaries and stored films on disk. Scoring is our own and exhaustive:
//! every posting of every query term is added into one array with a cell per film. Block-max pruning,
//! tantivy's default, is several times slower on the long questions people ask (a median of 60
//! distinct terms), because no film can be ruled out by a few terms; and the dense array is what the
//! additive fusion needs, an exact score for every film.
//!
//! Score of film `d` for query `q`, summed over fields `f` with weight `w_f` and terms `t`:
//! `w_f · qtf(t) · idf_f(t) · tf·(k1 + 1) / (tf + k1·(1 - b + b·|d_f| / avg|f|))`, with
//! `idf_f(t) = ln(1 + (N - n_t + ½) / (n_t + ½))` (Robertson and Zaragoza, *The Probabilistic
//! Relevance Framework*, 2009) and `qtf(t) = 1 + ln(count of t in q)`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tantivy::fieldnorm::FieldNormReader;
use tantivy::indexer::NoMergePolicy;
use tantivy::postings::{Postings, TermInfo};
use tantivy::schema::{
    Field, IndexRecordOption, NumericOptions, STORED, Schema, TextFieldIndexing, TextOptions, Value,
};
use tantivy::tokenizer::{Token, TokenStream};
use tantivy::{
    DocSet, Index, IndexReader, IndexWriter, InvertedIndexReader, ReloadPolicy, Searcher, SegmentReader,
    TERMINATED, TantivyDocument, Term,
};

use super::layout::Layout;
use crate::catalogue::Film;
use crate::progress::{Interrupted, Report, silent, tell};
use crate::text::{Tokenizer, is_stop_word};

/// Why the text index could not be built or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LexicalError {
    /// The index library refused (disk full, file missing or damaged).
    #[error("text index: {0}")]
    Tantivy(#[from] tantivy::TantivyError),
    /// A file of the text index could not be opened.
    #[error("text index: {0}")]
    Open(#[from] tantivy::directory::error::OpenDirectoryError),
    /// A posting list or dictionary could not be read.
    #[error("text index: {0}")]
    Read(#[from] std::io::Error),
    /// A stored film is not what was written.
    #[error("text index: film {film_idx} cannot be read ({what}); remake the index with `titlecard index`")]
    StoredFilm {
        /// Position of the film.
        film_idx: usize,
        /// What does not fit.
        what: String,
    },
    /// A constant is out of range.
    #[error("lexical setting `{name}` is {value}; it must be {range}")]
    Setting {
        /// Name in `titlecard.toml`.
        name: &'static str,
        /// Value found.
        value: f32,
        /// Values allowed.
        range: &'static str,
    },
    /// Stopped from outside.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// The searched fields of a film, in the order of [`FieldWeights::as_array`].
pub const FIELDS: [&str; 6] = ["title", "tags", "overview", "people", "keywords", "plot"];

/// How much a match in each field counts; 0 leaves the field out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FieldWeights {
    /// Title and original title.
    pub title: f32,
    /// The catalogue's `tags`: overview, genres, keywords, people in one text.
    pub tags: f32,
    /// Overview alone.
    pub overview: f32,
    /// Cast and directors.
    pub people: f32,
    /// Keywords and genres.
    pub keywords: f32,
    /// The plot told at length, where the catalogue has one.
    pub plot: f32,
}

impl Default for FieldWeights {
    /// Tuned on 1,297 real training questions over 282,884 films (docs/results.md). The tags hold
    /// overview and leading people already, so their own fields add nothing there.
    fn default() -> Self {
        Self { title: 0.1, tags: 0.8, overview: 0.0, people: 0.0, keywords: 1.0, plot: 1.0 }
    }
}

impl FieldWeights {
    /// The weights in the order of [`FIELDS`].
    pub fn as_array(&self) -> [f32; 6] {
        [self.title, self.tags, self.overview, self.people, self.keywords, self.plot]
    }

    /// From weights in the order of [`FIELDS`].
    pub fn from_array([title, tags, overview, people, keywords, plot]: [f32; 6]) -> Self {
        Self { title, tags, overview, people, keywords, plot }
    }

    /// Only the title counts: the task "title from tags" sees nothing else of a film.
    pub fn title_only() -> Self {
        Self { title: 1.0, tags: 0.0, overview: 0.0, people: 0.0, keywords: 0.0, plot: 0.0 }
    }
}

/// BM25 constants and field weights. None of them is stored in the index: they can change at any time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LexicalConfig {
    /// Saturation of the term frequency, at least 0.
    pub k1: f32,
    /// Normalisation by field length, 0 (none) to 1 (full).
    pub b: f32,
    /// How much a match in each field counts.
    pub weights: FieldWeights,
}

impl Default for LexicalConfig {
    /// The usual constants.
    fn default() -> Self {
        Self { k1: 1.2, b: 0.75, weights: FieldWeights::default() }
    }
}

impl LexicalConfig {
    /// The same without the plots.
    pub fn of_records(&self) -> Self {
        Self { weights: FieldWeights { plot: 0.0, ..self.weights }, ..*self }
    }

    /// The same for the plots alone.
    pub fn of_plots(&self) -> Self {
        let mut weights = [0.0; FIELDS.len()];
        weights[FIELDS.len() - 1] = self.weights.plot;
        Self { weights: FieldWeights::from_array(weights), ..*self }
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`LexicalError::Setting`] naming the first setting out of range.
    pub fn validate(&self) -> Result<(), LexicalError> {
        let check = |name, value: f32, good: bool, range| {
            if good { Ok(()) } else { Err(LexicalError::Setting { name, value, range }) }
        };
        check("lexical.k1", self.k1, self.k1 >= 0.0 && self.k1.is_finite(), "at least 0")?;
        check("lexical.b", self.b, (0.0..=1.0).contains(&self.b), "between 0 and 1")?;
        for (name, value) in FIELDS.into_iter().zip(self.weights.as_array()) {
            check(name, value, value >= 0.0 && value.is_finite(), "at least 0")?;
        }
        let sum: f32 = self.weights.as_array().iter().sum();
        check("lexical.weights", sum, sum > 0.0, "above 0 for at least one field")
    }
}

/// A term of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryTerm {
    /// The term as indexed (folded, stemmed).
    pub term: String,
    /// The word as first written in the query.
    pub word: String,
    /// How often it stands in the query.
    pub count: u32,
    /// What it is worth, 0 to 1: the most any of its places is worth.
    pub emphasis: f32,
}

impl QueryTerm {
    /// `qtf` of the module's formula.
    fn weight(&self) -> f32 {
        self.emphasis * (1.0 + (self.count as f32).ln())
    }
}

/// Distinct terms of a query, in order of first appearance.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LexicalQuery {
    terms: Vec<QueryTerm>,
}

impl LexicalQuery {
    /// Cuts `text` with the tokenizer of the index. Function words are left out unless there is nothing
    /// else ("It"): in a long question they are a third of the words, and in short fields, where they
    /// are rare, each would weigh as much as a telling word.
    pub fn parse(text: &str, tokenizer: &Tokenizer) -> Self {
        Self::parse_weighted(text, tokenizer, |_| 1.0)
    }

    /// [`LexicalQuery::parse`] where `worth` says what the word at a byte of the text is worth, 0 to 1; words
    /// worth nothing are left out.
    pub fn parse_weighted(text: &str, tokenizer: &Tokenizer, worth: impl Fn(usize) -> f32) -> Self {
        let mut places = HashMap::new();
        let mut terms: Vec<QueryTerm> = Vec::new();
        tokenizer.for_each_with_span(text, |term, span| {
            let emphasis = worth(span.start);
            if emphasis <= 0.0 {
                return;
            }
            let at = *places.entry(term.to_owned()).or_insert_with(|| {
                terms.push(QueryTerm {
                    term: term.to_owned(),
                    word: text[span].to_owned(),
                    count: 0,
                    emphasis,
                });
                terms.len() - 1
            });
            terms[at].count += 1;
            terms[at].emphasis = terms[at].emphasis.max(emphasis);
        });
        let is_telling = |term: &QueryTerm| !is_stop_word(&term.word);
        if terms.iter().any(is_telling) {
            terms.retain(is_telling);
        }
        Self { terms }
    }

    /// The terms.
    pub fn terms(&self) -> &[QueryTerm] {
        &self.terms
    }
}

/// What one term in one field added to a film's score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TermMatch {
    /// Name of the field, one of [`FIELDS`].
    pub field: &'static str,
    /// The term as indexed.
    pub term: String,
    /// The word as written in the query.
    pub word: String,
    /// What it added to the score.
    pub score: f32,
}

/// An opened text index. Cloning is cheap; all clones see the same state.
#[derive(Clone)]
pub struct LexicalIndex {
    segments: Vec<Segment>,
    fields: [Field; 6],
    stored: Field,
    n_films: usize,
    /// Segment and document of every film.
    doc_of_film: Arc<Vec<(u32, u32)>>,
    /// What the segments count of films that are gone.
    gone: Arc<Gone>,
    tokenizer: Tokenizer,
}

/// A segment of tantivy's, which knows its own documents alone.
#[derive(Clone)]
struct Segment {
    searcher: Searcher,
    /// Its number there.
    number: u32,
    /// Position of every document's film in the catalogue; [`NO_FILM`] for one that is gone.
    film_of_doc: Arc<Vec<u32>>,
}

impl Segment {
    fn reader(&self) -> &SegmentReader {
        self.searcher.segment_reader(self.number)
    }
}

const NO_FILM: u32 = u32::MAX;

/// What stands in segments of films that have been changed or deleted, by field.
#[derive(Debug, Clone, Default)]
struct Gone {
    n_tokens: [u64; 6],
    /// Films with each term.
    n_films: [HashMap<String, u32>; 6],
}

impl Gone {
    fn add(&mut self, film: &Film, tokenizer: Tokenizer) {
        for (field, text) in field_texts(film).into_iter().enumerate() {
            let mut terms = tokenizer.tokens(&text);
            // tantivy leaves longer ones out.
            terms.retain(|term| term.len() <= MAX_TERM_BYTES);
            self.n_tokens[field] += terms.len() as u64;
            terms.sort_unstable();
            terms.dedup();
            for term in terms {
                *self.n_films[field].entry(term).or_default() += 1;
            }
        }
    }
}

/// tantivy's limit, its `MAX_TOKEN_LEN`.
const MAX_TERM_BYTES: usize = u16::MAX as usize - 5;

const FILM_IDX: &str = "film_idx";
const STORED_FILM: &str = "film";
const TOKENIZER: &str = "titlecard";
/// Memory of the index writer in all, in bytes; past it a segment goes to disk.
const WRITER_MEMORY: usize = 256 << 20;

impl LexicalIndex {
    /// Builds a text index in the empty folder `folder`, one document a film in catalogue order.
    ///
    /// # Errors
    /// [`LexicalError`] if the folder cannot be written or the report asks to stop.
    pub fn build(
        folder: &Path,
        films: &[Film],
        tokenizer: &Tokenizer,
        n_threads: usize,
        report: &mut Report<'_>,
    ) -> Result<(), LexicalError> {
        let index = Index::create_in_dir(folder, schema())?;
        let n_threads = n_threads.clamp(1, 8);
        let memory = WRITER_MEMORY.max(n_threads * (16 << 20));
        let films: Vec<&Film> = films.iter().collect();
        let mut writer = write_films(&index, &films, *tokenizer, (n_threads, memory), report)?;
        writer.commit()?;
        tell(report, "indexing text", films.len(), films.len(), "merging")?;
        // One segment: one posting list a term, and scores that do not depend on how work was split.
        let segments = index.searchable_segment_ids()?;
        if segments.len() > 1 {
            writer.merge(&segments).wait()?;
        }
        writer.wait_merging_threads()?;
        // Files of merged-away segments are removed by a fresh writer; none is left in the index.
        index.writer_with_num_threads::<TantivyDocument>(1, 16 << 20)?.garbage_collect_files().wait()?;
        Ok(())
    }

    /// Opens the text index in `folder`; `tokenizer` must be the one it was built with.
    ///
    /// # Errors
    /// [`LexicalError`] if files are missing or damaged.
    pub fn open(folder: &Path, tokenizer: &Tokenizer) -> Result<Self, LexicalError> {
        let index = Index::open_in_dir(folder)?;
        index.tokenizers().register(TOKENIZER, FieldTokenizer::new(*tokenizer));
        Self::of_index(&index, *tokenizer)
    }

    fn of_index(index: &Index, tokenizer: Tokenizer) -> Result<Self, LexicalError> {
        let schema = index.schema();
        let mut fields = [Field::from_field_id(0); 6];
        for (field, name) in fields.iter_mut().zip(FIELDS) {
            *field = schema.get_field(name)?;
        }
        let stored = schema.get_field(STORED_FILM)?;
        // A generation never changes once written, so there is nothing to reload.
        let reader: IndexReader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;

        let searcher = reader.searcher();
        let n_films = searcher.num_docs() as usize;
        let mut segments = Vec::new();
        for (number, segment) in (0..).zip(searcher.segment_readers()) {
            let column = segment.fast_fields().u64(FILM_IDX)?;
            let mut films = Vec::with_capacity(segment.max_doc() as usize);
            for doc in 0..segment.max_doc() {
                let film_idx = column.first(doc).filter(|&film_idx| film_idx < n_films as u64);
                films.push(film_idx.ok_or_else(|| LexicalError::StoredFilm {
                    film_idx: doc as usize,
                    what: "its position is missing or out of range".to_owned(),
                })? as u32);
            }
            segments.push(Segment { searcher: searcher.clone(), number, film_of_doc: Arc::new(films) });
        }
        Ok(Self {
            doc_of_film: Arc::new(doc_of_film(&segments, n_films)?),
            segments,
            fields,
            stored,
            n_films,
            gone: Arc::default(),
            tokenizer,
        })
    }

    /// The index of a changed catalogue, `new` being the films that are new or changed: they become a segment in
    /// memory, and what the other segments count of films that are gone is taken off again, so that scores
    /// are those of an index built anew, to the bit.
    ///
    /// # Errors
    /// [`LexicalError`] if films cannot be read back.
    pub fn changed(&self, new: &[&Film], layout: &Layout) -> Result<Self, LexicalError> {
        let (places, places_of_new) = layout.places();
        let mut gone = Gone::clone(&self.gone);
        for (film_idx, _) in places.iter().enumerate().filter(|(_, place)| **place == NO_FILM) {
            gone.add(&self.film(film_idx)?, self.tokenizer);
        }
        let moved = |films: &[u32], places: &[u32]| -> Arc<Vec<u32>> {
            let place = |&film: &u32| places.get(film as usize).copied().unwrap_or(NO_FILM);
            Arc::new(films.iter().map(place).collect())
        };
        let mut segments: Vec<Segment> = self
            .segments
            .iter()
            .map(|segment| Segment { film_of_doc: moved(&segment.film_of_doc, &places), ..segment.clone() })
            .collect();
        if !new.is_empty() {
            let index = Index::create_in_ram(schema());
            write_films(&index, new, self.tokenizer, (1, 64 << 20), &mut silent)?.commit()?;
            let fresh = Self::of_index(&index, self.tokenizer)?;
            segments.extend(fresh.segments.into_iter().map(|segment| Segment {
                film_of_doc: moved(&segment.film_of_doc, &places_of_new),
                ..segment
            }));
        }
        let n_films = layout.n_films();
        Ok(Self {
            doc_of_film: Arc::new(doc_of_film(&segments, n_films)?),
            segments,
            n_films,
            gone: Arc::new(gone),
            ..self.clone()
        })
    }

    /// Number of segments: how much is looked up more than once.
    pub fn n_segments(&self) -> usize {
        self.segments.len()
    }

    /// Number of films.
    pub fn n_films(&self) -> usize {
        self.n_films
    }

    /// Cuts a query into the terms of this index.
    pub fn parse(&self, query: &str) -> LexicalQuery {
        LexicalQuery::parse(query, &self.tokenizer)
    }

    /// [`LexicalQuery::parse_weighted`] with the tokenizer of this index.
    pub fn parse_weighted(&self, query: &str, worth: impl Fn(usize) -> f32) -> LexicalQuery {
        LexicalQuery::parse_weighted(query, &self.tokenizer, worth)
    }

    /// BM25 score of every film, 0 where nothing matches.
    ///
    /// - `scores`: `[n_films]`, overwritten.
    ///
    /// # Errors
    /// [`LexicalError::Read`] if a posting list cannot be read.
    ///
    /// # Panics
    /// If `scores` has another length than the number of films.
    pub fn score_all(
        &self,
        query: &LexicalQuery,
        config: &LexicalConfig,
        scores: &mut [f32],
    ) -> Result<(), LexicalError> {
        assert_eq!(scores.len(), self.n_films, "one score a film");
        scores.fill(0.0);
        for (field_idx, weight) in config.weights.as_array().into_iter().enumerate() {
            if weight == 0.0 {
                continue;
            }
            let Some(scorer) = FieldScorer::new(self, field_idx, config)? else { continue };
            for term in query.terms() {
                scorer.add_term(&term.term, weight * term.weight(), scores)?;
            }
        }
        Ok(())
    }

    /// What every query term in every field added to the score of one film; the values sum to its
    /// score in [`LexicalIndex::score_all`] (in another order, so up to rounding).
    ///
    /// # Errors
    /// [`LexicalError::Read`] if a posting list cannot be read.
    pub fn explain(
        &self,
        film_idx: usize,
        query: &LexicalQuery,
        config: &LexicalConfig,
    ) -> Result<Vec<TermMatch>, LexicalError> {
        let Some(&(segment_idx, doc)) = self.doc_of_film.get(film_idx) else { return Ok(Vec::new()) };
        let mut matches = Vec::new();
        for (field_idx, weight) in config.weights.as_array().into_iter().enumerate() {
            if weight == 0.0 {
                continue;
            }
            let Some(scorer) = FieldScorer::new(self, field_idx, config)? else { continue };
            for query_term in query.terms() {
                let score =
                    scorer.term_score(&query_term.term, weight * query_term.weight(), (segment_idx, doc))?;
                if score > 0.0 {
                    let QueryTerm { term, word, .. } = query_term.clone();
                    matches.push(TermMatch { field: FIELDS[field_idx], term, word, score });
                }
            }
        }
        Ok(matches)
    }

    /// The film at position `film_idx` of the catalogue.
    ///
    /// # Errors
    /// [`LexicalError`] if it cannot be read back.
    pub fn film(&self, film_idx: usize) -> Result<Film, LexicalError> {
        let fail = |what: &str| LexicalError::StoredFilm { film_idx, what: what.to_owned() };
        let &(segment, doc) = self.doc_of_film.get(film_idx).ok_or_else(|| fail("no such position"))?;
        let Segment { searcher, number, .. } = &self.segments[segment as usize];
        let document: TantivyDocument = searcher.doc(tantivy::DocAddress::new(*number, doc))?;
        let json = document
            .get_first(self.stored)
            .and_then(|value| value.as_str().map(str::to_owned))
            .ok_or_else(|| fail("nothing is stored"))?;
        serde_json::from_str(&json).map_err(|error| fail(&error.to_string()))
    }
}

/// The texts of a film's fields, in the order of [`FIELDS`].
fn field_texts(film: &Film) -> [String; 6] {
    let mut title = film.title.clone();
    if let Some(original) = &film.original_title {
        title.push('\n');
        title.push_str(original);
    }
    let lines = |lists: [&[String]; 2]| lists.concat().join("\n");
    [
        title,
        film.tags.clone(),
        film.overview.clone(),
        lines([&film.cast, &film.directors]),
        lines([&film.keywords, &film.genres]),
        film.plot.clone(),
    ]
}

fn schema() -> Schema {
    let mut schema = Schema::builder();
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_index_option(IndexRecordOption::WithFreqs)
        .set_fieldnorms(true);
    for name in FIELDS {
        schema.add_text_field(name, TextOptions::default().set_indexing_options(indexing.clone()));
    }
    schema.add_u64_field(FILM_IDX, NumericOptions::default().set_fast());
    schema.add_text_field(STORED_FILM, STORED);
    schema.build()
}

/// Writes films as documents, in their order; [`tantivy::IndexWriter::commit`] is left to the caller. `threads`: their
/// number, and bytes of memory for all of them.
fn write_films(
    index: &Index,
    films: &[&Film],
    tokenizer: Tokenizer,
    threads: (usize, usize),
    report: &mut Report<'_>,
) -> Result<IndexWriter, LexicalError> {
    index.tokenizers().register(TOKENIZER, FieldTokenizer::new(tokenizer));
    let schema = index.schema();
    let fields = FIELDS.map(|name| schema.get_field(name));
    let (film_idx_field, stored) = (schema.get_field(FILM_IDX)?, schema.get_field(STORED_FILM)?);
    let writer = index.writer_with_num_threads(threads.0, threads.1)?;
    writer.set_merge_policy(Box::new(NoMergePolicy));
    for (film_idx, film) in films.iter().enumerate() {
        let mut document = TantivyDocument::new();
        document.add_u64(film_idx_field, film_idx as u64);
        for (field, text) in fields.iter().zip(field_texts(film)) {
            if let (Ok(field), false) = (field, text.is_empty()) {
                document.add_text(*field, text);
            }
        }
        let json = serde_json::to_string(film)
            .map_err(|error| LexicalError::StoredFilm { film_idx, what: error.to_string() })?;
        document.add_text(stored, json);
        writer.add_document(document)?;
        if film_idx % 4096 == 0 {
            tell(report, "indexing text", film_idx, films.len(), "")?;
        }
    }
    Ok(writer)
}

/// Segment and document of every film.
fn doc_of_film(segments: &[Segment], n_films: usize) -> Result<Vec<(u32, u32)>, LexicalError> {
    let mut docs = vec![(u32::MAX, 0); n_films];
    for (at, segment) in (0..).zip(segments) {
        for (doc, &film_idx) in (0..).zip(segment.film_of_doc.iter()) {
            if let Some(place) = docs.get_mut(film_idx as usize) {
                *place = (at, doc);
            }
        }
    }
    match docs.iter().position(|&(segment, _)| segment == u32::MAX) {
        Some(film_idx) => {
            Err(LexicalError::StoredFilm { film_idx, what: "it is not in any segment".to_owned() })
        }
        None => Ok(docs),
    }
}

/// Where a term stands in the segments of a [`FieldScorer`].
type Places = Vec<Option<TermInfo>>;

/// Scores the terms of one field.
struct FieldScorer<'i> {
    index: &'i LexicalIndex,
    /// Those with the field: number of the segment, its terms, lengths of its documents.
    segments: Vec<(usize, Arc<InvertedIndexReader>, FieldNormReader)>,
    field_idx: usize,
    k1: f32,
    /// `k1 · (1 - b + b · length / average length)` by code of the field length.
    length_norm: [f32; 256],
}

impl<'i> FieldScorer<'i> {
    /// `None` if no film has this field.
    fn new(
        index: &'i LexicalIndex,
        field_idx: usize,
        config: &LexicalConfig,
    ) -> Result<Option<Self>, LexicalError> {
        let (mut segments, mut n_tokens) = (Vec::new(), 0);
        for (at, segment) in index.segments.iter().enumerate() {
            let inverted = segment.reader().inverted_index(index.fields[field_idx])?;
            if inverted.total_num_tokens() > 0 {
                n_tokens += inverted.total_num_tokens();
                let norms = segment.reader().get_fieldnorms_reader(index.fields[field_idx])?;
                segments.push((at, inverted, norms));
            }
        }
        n_tokens = n_tokens.saturating_sub(index.gone.n_tokens[field_idx]);
        if n_tokens == 0 {
            return Ok(None);
        }
        let average = n_tokens as f32 / index.n_films as f32;
        let mut length_norm = [0.0; 256];
        for (code, norm) in length_norm.iter_mut().enumerate() {
            let length = FieldNormReader::id_to_fieldnorm(code as u8) as f32;
            *norm = config.k1 * (1.0 - config.b + config.b * length / average);
        }
        Ok(Some(Self { index, segments, field_idx, k1: config.k1, length_norm }))
    }

    /// The weight of a term and its place in the dictionary of each segment, if a film has it.
    fn find(&self, term: &str) -> Result<Option<(f32, Places)>, LexicalError> {
        let key = Term::from_field_text(self.index.fields[self.field_idx], term);
        let infos = self.segments.iter().map(|(_, inverted, _)| inverted.get_term_info(&key));
        let infos: Places = infos.collect::<Result<_, _>>()?;
        let n_found: u32 = infos.iter().flatten().map(|info| info.doc_freq).sum();
        let n_gone = self.index.gone.n_films[self.field_idx].get(term).copied().unwrap_or(0);
        let n_matching = n_found.saturating_sub(n_gone) as f32;
        let n_films = self.index.n_films as f32;
        let idf = (1.0 + (n_films - n_matching + 0.5) / (n_matching + 0.5)).ln();
        Ok((n_found > 0).then_some((idf, infos)))
    }

    fn term_frequency_part(&self, frequency: u32, length_code: u8) -> f32 {
        let frequency = frequency as f32;
        frequency * (self.k1 + 1.0) / (frequency + self.length_norm[length_code as usize])
    }

    fn add_term(&self, term: &str, weight: f32, scores: &mut [f32]) -> Result<(), LexicalError> {
        let Some((idf, infos)) = self.find(term)? else { return Ok(()) };
        let factor = weight * idf;
        for ((at, inverted, norms), info) in self.segments.iter().zip(infos) {
            let Some(info) = info else { continue };
            let film_of_doc = self.index.segments[*at].film_of_doc.as_slice();
            let mut block =
                inverted.read_block_postings_from_terminfo(&info, IndexRecordOption::WithFreqs)?;
            while block.block_len() > 0 {
                for (&doc, &frequency) in block.docs().iter().zip(block.freqs()) {
                    // A film that is gone has no score.
                    if let Some(score) = scores.get_mut(film_of_doc[doc as usize] as usize) {
                        *score += factor * self.term_frequency_part(frequency, norms.fieldnorm_id(doc));
                    }
                }
                block.advance();
            }
        }
        Ok(())
    }

    fn term_score(&self, term: &str, weight: f32, (segment, doc): (u32, u32)) -> Result<f32, LexicalError> {
        let Some((idf, infos)) = self.find(term)? else { return Ok(0.0) };
        let of_segment = self.segments.iter().zip(infos).find(|((at, ..), _)| *at == segment as usize);
        let Some(((_, inverted, norms), Some(info))) = of_segment else { return Ok(0.0) };
        let mut postings = inverted.read_postings_from_terminfo(&info, IndexRecordOption::WithFreqs)?;
        if postings.doc() == TERMINATED || (postings.doc() < doc && postings.seek(doc) != doc) {
            return Ok(0.0);
        }
        if postings.doc() != doc {
            return Ok(0.0);
        }
        let part = self.term_frequency_part(postings.term_freq(), norms.fieldnorm_id(doc));
        Ok(weight * idf * part)
    }
}

/// titlecard's tokenizer as tantivy wants it. Lines are separate values ("Jean" of one actor and
/// "Reno" of the next are no phrase), which does not matter to BM25: positions are not indexed.
#[derive(Clone)]
struct FieldTokenizer {
    tokenizer: Tokenizer,
    tokens: Vec<String>,
    current: Token,
}

impl FieldTokenizer {
    fn new(tokenizer: Tokenizer) -> Self {
        Self { tokenizer, tokens: Vec::new(), current: Token::default() }
    }
}

impl tantivy::tokenizer::Tokenizer for FieldTokenizer {
    type TokenStream<'a> = FieldTokenStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> FieldTokenStream<'a> {
        self.tokens = self.tokenizer.tokens(text);
        self.current.reset();
        FieldTokenStream { tokens: self.tokens.iter(), current: &mut self.current }
    }
}

/// The tokens of one value.
struct FieldTokenStream<'a> {
    tokens: std::slice::Iter<'a, String>,
    current: &'a mut Token,
}

impl TokenStream for FieldTokenStream<'_> {
    fn advance(&mut self) -> bool {
        let Some(token) = self.tokens.next() else { return false };
        self.current.text.clear();
        self.current.text.push_str(token);
        self.current.position = self.current.position.wrapping_add(1);
        true
    }

    fn token(&self) -> &Token {
        self.current
    }

    fn token_mut(&mut self) -> &mut Token {
        self.current
    }
}
