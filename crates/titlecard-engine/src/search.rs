//! From a description to films, each with the parts its score is the sum of.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::ask::Question;
use crate::catalogue::Film;
use crate::embedding::Pooling;
use crate::filter::FilmSet;
use crate::index::lexical::{LexicalConfig, LexicalError, LexicalQuery, TermMatch};
use crate::index::{Encoded, IndexError, SearchIndex};
use crate::query::Understanding;
use crate::rank::ranker::Ranker;
use crate::rank::reasons::{Comparison, Context, FilmReasons};
use crate::rank::{AllowedYears, FusionWeights, Knowledge, N_PARTS, PARTS, Pool, normalise_lexical, top_k};

/// Why a search has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SearchError {
    /// The query is empty or only white space and punctuation.
    #[error("the query has no words; describe the film in your own words")]
    EmptyQuery,
    /// The catalogue and the word vectors know no word of the query.
    #[error("no word of the query is known to this catalogue (looked for: {words})")]
    NoKnownWord {
        /// The words looked for.
        words: String,
    },
    /// The index cannot be read.
    #[error(transparent)]
    Lexical(#[from] LexicalError),
    /// The index cannot be opened.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A filter written into the query cannot be read.
    #[error(transparent)]
    FilterForm(#[from] crate::query::FilterError),
    /// A filter asks for something the catalogue does not know.
    #[error(transparent)]
    Filter(#[from] crate::filter::FilterError),
    /// No film passes the filters.
    #[error("no film passes the filters of the query; leave one out")]
    NothingPasses,
    /// Stopped from outside.
    #[error(transparent)]
    Interrupted(#[from] crate::progress::Interrupted),
}

/// One part of a score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// One of [`PARTS`].
    pub name: &'static str,
    /// Normalised value of the part.
    pub value: f32,
    /// Weight of the part.
    pub weight: f32,
    /// `weight · value`, what it adds to the score.
    pub contribution: f32,
}

/// One film of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hit {
    /// Place, from 1.
    pub rank: usize,
    /// Position in the catalogue.
    #[serde(skip)]
    pub film_idx: usize,
    /// The film.
    pub film: Film,
    /// What films are ranked by: the sum in `reasons`, or without rules the sum of the parts' contributions,
    /// added in their order.
    pub score: f64,
    /// Scores of the first stage.
    pub parts: Vec<Part>,
    /// The rules and scores that put the film here; none without rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasons: Option<FilmReasons>,
    /// The words of the query found in the film, the most telling first, with what each adds to BM25
    /// before it is normalised.
    pub matches: Vec<TermMatch>,
}

/// What is wanted of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SearchOptions<'a> {
    /// Films wanted.
    pub k: usize,
    /// Films left out before them.
    pub skip: usize,
    /// Whether to ask back, and what was asked already ([`crate::ask::Question::id`]).
    pub ask: Option<&'a [String]>,
}

/// Answer to a query.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// Films, best first.
    pub hits: Vec<Hit>,
    /// The question whose answer would tell most, if one was wanted and there is one worth asking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
    /// Films that pass the filters, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_passing: Option<usize>,
    /// What was understood of the question, if there is a graph to understand it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub understood: Option<Understanding>,
    /// Number of films compared.
    pub n_films: usize,
    /// Time taken, in milliseconds.
    pub latency_ms: f64,
}

/// Scores of every film for one query; the arrays are reused from query to query.
#[derive(Debug, Clone, Default)]
pub struct Scores {
    /// One array `[n_films]` a part, in the order of [`PARTS`].
    pub parts: [Vec<f32>; N_PARTS],
    /// Weighted sum, `[n_films]`.
    pub total: Vec<f32>,
}

impl Scores {
    /// The parts of film `film_idx`, in the order of [`PARTS`].
    pub fn parts(&self, film_idx: usize) -> [f32; N_PARTS] {
        self.parts.each_ref().map(|scores| scores[film_idx])
    }
}

/// Answers queries over an opened index. Cloning is cheap; all clones see the same state.
#[derive(Clone)]
pub struct Engine {
    index: Arc<SearchIndex>,
    lexical: LexicalConfig,
    fusion: FusionWeights,
    knowledge: Option<Arc<Knowledge>>,
    ranker: Option<Arc<Ranker>>,
    pool_size: usize,
}

/// Films that are ranked by more than the first stage.
const POOL_SIZE: usize = 1_000;
/// Most telling words shown for a film.
const MAX_MATCHES: usize = 8;

impl Engine {
    /// Puts an index and the settings of ranking together.
    pub fn new(index: SearchIndex, lexical: LexicalConfig, fusion: FusionWeights) -> Self {
        Self { index: Arc::new(index), lexical, fusion, knowledge: None, ranker: None, pool_size: POOL_SIZE }
    }

    /// The index.
    pub fn index(&self) -> &SearchIndex {
        &self.index
    }

    /// The same engine with other constants and field weights of BM25.
    pub fn with_lexical(&self, lexical: LexicalConfig) -> Self {
        Self { lexical, ..self.clone() }
    }

    /// The same engine with another index.
    pub fn with_index(&self, index: SearchIndex) -> Self {
        Self { index: Arc::new(index), ..self.clone() }
    }

    /// The same engine with the graph of its catalogue.
    pub fn with_knowledge(&self, knowledge: Knowledge) -> Self {
        Self { knowledge: Some(Arc::new(knowledge)), ..self.clone() }
    }

    /// The graph and what understands questions by it, if there is one.
    pub fn knowledge(&self) -> Option<&Knowledge> {
        self.knowledge.as_deref()
    }

    /// The same engine with rules that rank.
    pub fn with_ranker(&self, ranker: Ranker) -> Self {
        Self { ranker: Some(Arc::new(ranker)), ..self.clone() }
    }

    /// The rules that rank, if there are any and a graph to read facts from.
    pub fn ranker(&self) -> Option<&Ranker> {
        self.ranker.as_deref().filter(|_| self.knowledge.is_some())
    }

    /// The films worth ranking for `query`, with their facts; `scores` receives the first stage. Without a graph
    /// the pool is empty.
    ///
    /// # Errors
    /// [`LexicalError`] if the index cannot be read.
    pub fn pool(
        &self,
        query: &str,
        encoded: Option<&Encoded>,
        scores: &mut Scores,
    ) -> Result<(Pool, Understanding), LexicalError> {
        let Some(knowledge) = &self.knowledge else { return Ok(Default::default()) };
        let understood = knowledge.understand(query);
        let wanted = self.fusion.as_array().map(|weight| weight > 0.0);
        self.score_parts(query, Some(&understood), wanted, encoded, scores)?;
        let pool = Pool::new(query, &understood, scores, &self.index, encoded, knowledge, self.pool_size);
        Ok((pool, understood))
    }

    /// Constants and field weights of BM25.
    pub fn lexical(&self) -> &LexicalConfig {
        &self.lexical
    }

    /// Weights of the parts.
    pub fn fusion(&self) -> &FusionWeights {
        &self.fusion
    }

    /// The `k` films that fit `query` best.
    ///
    /// # Errors
    /// [`SearchError::EmptyQuery`] and [`SearchError::NoKnownWord`] if there is nothing to search by.
    pub fn search(&self, query: &str, k: usize) -> Result<Answer, SearchError> {
        self.search_with(query, &SearchOptions { k, ..SearchOptions::default() })
    }

    /// [`Engine::search`] page by page, and with a question back.
    ///
    /// # Errors
    /// As [`Engine::search`].
    pub fn search_with(&self, query: &str, options: &SearchOptions<'_>) -> Result<Answer, SearchError> {
        let started = Instant::now();
        let mut scores = Scores::default();
        let (understood, n_passing) = self.first_stage(query, &mut scores)?;
        let encoded = self.index.encoded.as_ref();
        let terms = self.terms(query, understood.as_ref());
        let &SearchOptions { k, skip, ask } = options;
        let mut hits = Vec::with_capacity(k.min(self.index.n_films()));
        let mut question = None;
        match (self.ranker(), self.knowledge(), &understood) {
            (Some(ranker), Some(knowledge), Some(understood)) => {
                let size = self.pool_size.max(skip.saturating_add(k));
                let pool = Pool::new(query, understood, &scores, &self.index, encoded, knowledge, size);
                let values = ranker.scores(&pool);
                let graph = knowledge.graph();
                if let Some(asked) = ask {
                    question =
                        crate::ask::best_question(graph, &self.index.facts, &pool.films, &values, asked);
                }
                let context = Context { ranker, graph, query, understood, pool: &pool };
                for row in Ranker::order(&values).into_iter().skip(skip).take(k) {
                    let mut hit = self.hit(skip + hits.len(), pool.films[row] as usize, &scores, &terms)?;
                    let reasons = context.of_film(row, &hit.film);
                    hit.score = reasons.score;
                    hit.reasons = Some(reasons);
                    hits.push(hit);
                }
            }
            _ => {
                let passes = |film_idx: &usize| scores.total[*film_idx] > f32::NEG_INFINITY;
                let best = top_k(&scores.total, skip.saturating_add(k)).into_iter().filter(passes);
                for film_idx in best.skip(skip) {
                    hits.push(self.hit(skip + hits.len(), film_idx, &scores, &terms)?);
                }
            }
        }
        let latency_ms = milliseconds(started.elapsed());
        Ok(Answer { hits, question, n_passing, understood, n_films: self.index.n_films(), latency_ms })
    }

    /// The positions in the catalogue and scores of the `k` films that fit `query` best, best first: the ranking of
    /// [`Engine::search`] without films and reasons, for long rankings.
    ///
    /// # Errors
    /// As [`Engine::search`].
    pub fn rank(&self, query: &str, k: usize) -> Result<Vec<(usize, f64)>, SearchError> {
        let mut scores = Scores::default();
        let (understood, _) = self.first_stage(query, &mut scores)?;
        let (Some(ranker), Some(knowledge), Some(understood)) =
            (self.ranker(), self.knowledge(), &understood)
        else {
            let passes = |film_idx: &usize| scores.total[*film_idx] > f32::NEG_INFINITY;
            let best = top_k(&scores.total, k).into_iter().filter(passes);
            return Ok(best.map(|film_idx| (film_idx, f64::from(scores.total[film_idx]))).collect());
        };
        let (encoded, size) = (self.index.encoded.as_ref(), self.pool_size.max(k));
        let pool = Pool::new(query, understood, &scores, &self.index, encoded, knowledge, size);
        let values = ranker.scores(&pool);
        Ok(Ranker::order(&values)
            .into_iter()
            .take(k)
            .map(|row| (pool.films[row] as usize, values[row]))
            .collect())
    }

    /// Scores of every film that passes the filters (the others are at minus infinity), with what was understood and
    /// how many pass, if there are filters.
    fn first_stage(
        &self,
        query: &str,
        scores: &mut Scores,
    ) -> Result<(Option<Understanding>, Option<usize>), SearchError> {
        let terms = self.index.lexical.parse(query);
        if terms.terms().is_empty() {
            return Err(SearchError::EmptyQuery);
        }
        let understood = self.understand(query);
        let wanted = self.fusion.as_array().map(|weight| weight > 0.0);
        let encoded = self.index.encoded.as_ref();
        if !self.score_parts(query, understood.as_ref(), wanted, encoded, scores)? {
            let words: Vec<&str> = terms.terms().iter().take(8).map(|term| term.word.as_str()).collect();
            return Err(SearchError::NoKnownWord { words: words.join(", ") });
        }
        let n_passing = self.filter(understood.as_ref(), scores)?;
        Ok((understood, n_passing))
    }

    /// Takes films that do not pass the filters of a question out of the ranking; answers how many pass, if there
    /// are filters.
    fn filter(
        &self,
        understood: Option<&Understanding>,
        scores: &mut Scores,
    ) -> Result<Option<usize>, SearchError> {
        let (Some(understood), Some(knowledge)) = (understood, self.knowledge()) else { return Ok(None) };
        if let Some(error) = understood.filter_errors.first() {
            return Err(error.clone().into());
        }
        let Some(passing) = FilmSet::of(&understood.filters, knowledge.graph(), &self.index.facts)? else {
            return Ok(None);
        };
        if passing.is_empty() {
            return Err(SearchError::NothingPasses);
        }
        for (film, total) in scores.total.iter_mut().enumerate() {
            if !passing.contains(film as u32) {
                *total = f32::NEG_INFINITY;
            }
        }
        Ok(Some(passing.len()))
    }

    /// A hit by the first stage.
    fn hit(
        &self,
        at: usize,
        film_idx: usize,
        scores: &Scores,
        terms: &LexicalQuery,
    ) -> Result<Hit, LexicalError> {
        let values = scores.parts(film_idx);
        let (weights, contributions) = (self.fusion.as_array(), self.fusion.contributions(values));
        let part = |i: usize| Part {
            name: PARTS[i],
            value: values[i],
            weight: weights[i],
            contribution: contributions[i],
        };
        let mut matches = self.index.lexical.explain(film_idx, terms, &self.lexical)?;
        matches.sort_by(|a, b| b.score.total_cmp(&a.score));
        matches.truncate(MAX_MATCHES);
        Ok(Hit {
            rank: at + 1,
            film_idx,
            film: self.index.lexical.film(film_idx)?,
            score: f64::from(scores.total[film_idx]),
            // A part of no weight was not computed.
            parts: (0..N_PARTS).filter(|&i| weights[i] != 0.0).map(part).collect(),
            reasons: None,
            matches,
        })
    }

    /// Why, for `query`, one film stands above another, by their positions in the catalogue; none if there are
    /// no rules or one of them is not among the candidates.
    ///
    /// # Errors
    /// [`SearchError`] if the index cannot be read.
    pub fn compare(&self, query: &str, a: usize, b: usize) -> Result<Option<Comparison>, SearchError> {
        let (Some(ranker), Some(knowledge)) = (self.ranker(), self.knowledge()) else { return Ok(None) };
        let mut scores = Scores::default();
        let understood = knowledge.understand(query);
        let wanted = self.fusion.as_array().map(|weight| weight > 0.0);
        let encoded = self.index.encoded.as_ref();
        self.score_parts(query, Some(&understood), wanted, encoded, &mut scores)?;
        self.filter(Some(&understood), &mut scores)?;
        let pool = Pool::new(query, &understood, &scores, &self.index, encoded, knowledge, self.pool_size);
        let row = |film: usize| pool.films.iter().position(|&other| other as usize == film);
        let (Some(row_a), Some(row_b)) = (row(a), row(b)) else { return Ok(None) };
        let context =
            Context { ranker, graph: knowledge.graph(), query, understood: &understood, pool: &pool };
        let (film_a, film_b) = (self.index.lexical.film(a)?, self.index.lexical.film(b)?);
        Ok(Some(context.compare((row_a, &film_a), (row_b, &film_b))))
    }

    /// The terms of a question without its filters; where it is understood, with what each word is worth.
    pub fn terms(&self, query: &str, understood: Option<&Understanding>) -> LexicalQuery {
        let weighs = self.knowledge().is_some_and(Knowledge::weighs_words);
        match understood {
            Some(understood) if weighs => {
                self.index.lexical.parse_weighted(query, |at| understood.weight_at(at))
            }
            Some(understood) => self.index.lexical.parse_weighted(query, |at| {
                let spans = &understood.filters.spans;
                f32::from(!spans.iter().any(|span| (span.start..span.end).contains(&at)))
            }),
            None => self.index.lexical.parse(query),
        }
    }

    /// What a question says, if there is a graph to understand it by.
    pub fn understand(&self, query: &str) -> Option<Understanding> {
        self.knowledge().map(|knowledge| knowledge.understand(query))
    }

    /// Scores every film for `query`; answers whether anything in the query is known. Parts of no weight
    /// stay 0.
    ///
    /// # Errors
    /// [`LexicalError`] if the index cannot be read.
    pub fn score_all(&self, query: &str, scores: &mut Scores) -> Result<bool, LexicalError> {
        let wanted = self.fusion.as_array().map(|weight| weight > 0.0);
        let understood = self.understand(query);
        self.score_parts(query, understood.as_ref(), wanted, self.index.encoded.as_ref(), scores)
    }

    /// [`Engine::score_all`] with the `wanted` parts alone and another encoder than the index's.
    ///
    /// # Errors
    /// [`LexicalError`] if the index cannot be read.
    pub fn score_parts(
        &self,
        query: &str,
        understood: Option<&Understanding>,
        wanted: [bool; N_PARTS],
        encoded: Option<&Encoded>,
        scores: &mut Scores,
    ) -> Result<bool, LexicalError> {
        let n_films = self.index.n_films();
        scores.parts.iter_mut().for_each(|part| part.resize(n_films, 0.0));
        scores.total.resize(n_films, 0.0);
        let [lexical, plot, encoder, plot_encoder, vectors, regression, popularity, time] = &mut scores.parts;
        let mut is_known = false;

        let terms = self.terms(query, understood);
        // Filters say what is left out, not what the film is like.
        let filters =
            understood.map(|understood| &understood.filters).filter(|filters| !filters.spans.is_empty());
        let described = filters.map(|filters| filters.rest(query).join(" "));
        let query = described.as_deref().unwrap_or(query);
        for (scores, is_wanted, fields) in
            [(lexical, wanted[0], self.lexical.of_records()), (plot, wanted[1], self.lexical.of_plots())]
        {
            scores.fill(0.0);
            if is_wanted && fields.weights.as_array().iter().any(|&weight| weight > 0.0) {
                self.index.lexical.score_all(&terms, &fields, scores)?;
                is_known |= normalise_lexical(scores) > 0.0;
            }
        }
        encoder.fill(0.0);
        plot_encoder.fill(0.0);
        if let Some(encoded) = encoded.filter(|_| wanted[2] || wanted[3]) {
            let question = encoded.question(query);
            is_known |= question.iter().any(|&x| x != 0.0);
            if wanted[2] {
                encoded.with_records(&question, encoder);
            }
            if wanted[3] {
                encoded.with_plots(&question, &self.index.facts, plot_encoder);
            }
        }
        vectors.fill(0.0);
        regression.fill(0.0);
        if wanted[4] || wanted[5] {
            let embedder = &self.index.embedder;
            let tokens = embedder.tokenizer().tokens(query);
            let mut vector = vec![0.0; embedder.dim()];
            let n_known = embedder.embed_tokens(&tokens, Pooling::Sif, &mut vector);
            is_known |= n_known > 0;
            if wanted[4] {
                self.index.tag_vectors.cosine_all(&vector, vectors);
            }
            // No word, no direction: the prediction for a zero vector would be the same for every query.
            if wanted[5] && n_known > 0 {
                embedder.embed_tokens(&tokens, self.index.regressor.config().pooling, &mut vector);
                let predicted = self.index.regressor.predict_one(&vector);
                self.index.title_vectors.cosine_all(&predicted, regression);
            }
        }
        popularity.copy_from_slice(self.index.facts.popularity());
        time.fill(0.0);
        let allowed = understood.filter(|_| wanted[7]).and_then(AllowedYears::of);
        if let Some(allowed) = allowed {
            for (film_idx, time) in time.iter_mut().enumerate() {
                *time = allowed.fit(self.index.facts.year(film_idx));
            }
        }
        // Part by part, in their order: the same sums as `FusionWeights::score`, read from memory once each.
        scores.total.fill(0.0);
        for (part, weight) in scores.parts.iter().zip(self.fusion.as_array()) {
            if weight != 0.0 {
                scores.total.iter_mut().zip(part).for_each(|(total, value)| *total += weight * value);
            }
        }
        Ok(is_known)
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
