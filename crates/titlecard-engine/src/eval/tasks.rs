//! The two retrieval tasks, every method side by side on the same queries and candidates.
//!
//! - **Title from tags** (the research project's task): the tags of a held-out film ask for its title;
//!   the candidates are all titles of the catalogue, as text and nothing else.
//! - **Known item**: a person's description asks for a film; the candidates are all film records.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use nn::Matrix;
use rayon::prelude::*;

use super::metrics::mean_rank;
use super::queries::Query;
use super::report::{EvalReport, MethodRow};
use crate::catalogue::{Film, Split, SplitConfig, split_of};
use crate::embedding::{Embedder, Pooling, normalise_rows};
use crate::index::Encoded;
use crate::index::lexical::{FIELDS, FieldWeights, LexicalConfig, LexicalError, LexicalIndex};
use crate::progress::{Interrupted, Report, tell};
use crate::rank::training::Wanted;
use crate::rank::{Candidates, FusionWeights, N_PARTS, PARTS, normalise_lexical, tune_weights};
use crate::regressor::{Metric, Regressor};
use crate::search::{Engine, Scores, milliseconds};
use crate::text::Tokenizer;

/// Why an evaluation has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// No query is left to ask.
    #[error("no query can be used: {why}")]
    NoQuery {
        /// Why all were left out.
        why: String,
    },
    /// The index cannot be read.
    #[error(transparent)]
    Lexical(#[from] LexicalError),
    /// Stopped from outside.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// A regressor with the name it is shown under.
pub struct NamedRegressor {
    /// Name, as given to `titlecard train regressor --name`.
    pub name: String,
    /// The model.
    pub regressor: Regressor,
}

/// Queries scored against all candidates at a time: a block of scores stays within some tens of MB.
const BLOCK: usize = 32;
/// Films each score contributes to the candidates that weights are compared over.
const TUNING_DEPTH: usize = 300;
/// Queries weights are tuned on, at most.
pub const MAX_TUNING_QUERIES: usize = 1_500;

/// Ranks of the sought rows among all `candidates` by nearness to each query.
///
/// - `queries`: `[n_queries, dim]`; `candidates`: `[n_candidates, dim]`.
/// - `sought`: `[n_queries]`, row numbers in `candidates`.
///
/// Returns the ranks and the mean time a query took, in milliseconds.
///
/// # Errors
/// [`Interrupted`] if the report says to stop.
pub fn dense_ranks(
    queries: &Matrix,
    candidates: &Matrix,
    sought: &[usize],
    metric: Metric,
    report: &mut Report<'_>,
) -> Result<(Vec<f64>, f64), Interrupted> {
    let mut ranks = Vec::with_capacity(sought.len());
    let started = Instant::now();
    for_each_block(queries, candidates, metric, report, &mut |first, scores| {
        let block: Vec<f64> = scores
            .as_slice()
            .par_chunks(candidates.rows())
            .enumerate()
            .map(|(at, scores)| mean_rank(scores, sought[first + at]))
            .collect();
        ranks.extend(block);
    })?;
    Ok((ranks, milliseconds(started.elapsed()) / sought.len().max(1) as f64))
}

/// Calls `with` for every block of queries with the number of its first query and the nearness of
/// all candidates, `[block, n_candidates]`.
fn for_each_block(
    queries: &Matrix,
    candidates: &Matrix,
    metric: Metric,
    report: &mut Report<'_>,
    with: &mut dyn FnMut(usize, &Matrix),
) -> Result<(), Interrupted> {
    // Cosine is a matrix product of unit rows; the others go pair by pair.
    let unit = (metric == Metric::Cosine).then(|| {
        let (mut queries, mut candidates) = (queries.clone(), candidates.clone());
        normalise_rows(&mut queries);
        normalise_rows(&mut candidates);
        (queries, candidates)
    });
    let (queries, candidates) = unit.as_ref().map_or((queries, candidates), |(q, c)| (q, c));
    let dim = queries.cols();
    for first in (0..queries.rows()).step_by(BLOCK) {
        tell(report, "ranking", first, queries.rows(), "")?;
        let n = BLOCK.min(queries.rows() - first);
        let mut block = Matrix::zeros(n, dim);
        block.as_mut_slice().copy_from_slice(&queries.as_slice()[first * dim..(first + n) * dim]);
        let scores = if metric == Metric::Cosine {
            block.matmul_bt(candidates)
        } else {
            let mut scores = Matrix::zeros(n, candidates.rows());
            scores.as_mut_slice().par_chunks_mut(candidates.rows()).enumerate().for_each(
                |(query, scores)| {
                    for (candidate, score) in scores.iter_mut().enumerate() {
                        *score = metric.nearness(block.row(query), candidates.row(candidate));
                    }
                },
            );
            scores
        };
        with(first, &scores);
    }
    Ok(())
}

/// Asks for the titles of held-out films by their tags.
pub struct TitleFromTags<'a> {
    /// All films; every title is a candidate.
    pub films: &'a [Film],
    /// Which films are held out.
    pub split: SplitConfig,
    /// Makes vectors of texts.
    pub embedder: &'a Embedder,
    /// The text index of the same films.
    pub lexical: &'a LexicalIndex,
    /// BM25 constants; the field weights are replaced by the title alone.
    pub lexical_config: LexicalConfig,
    /// Regressors to compare; the first is the one of the hybrid.
    pub regressors: &'a [NamedRegressor],
    /// Take the words of the title (by stem) out of the tags.
    pub remove_title_words: bool,
    /// Held-out films asked for at most, spread evenly; 0 for all.
    pub max_films: usize,
    /// Seed, for the report.
    pub seed: u64,
}

impl TitleFromTags<'_> {
    /// Runs all methods.
    ///
    /// The weights of the hybrid are tuned on development films, figures are of test films.
    ///
    /// # Errors
    /// [`EvalError`].
    pub fn run(&self, report: &mut Report<'_>) -> Result<EvalReport, EvalError> {
        let test = self.select(Split::Test, self.max_films);
        let (sought, n_unusable) = self.usable(&test);
        if sought.is_empty() {
            return Err(EvalError::NoQuery {
                why: format!(
                    "{} of {} films are held out, none of them with known words in title and tags; \
                     use a larger catalogue",
                    test.len(),
                    self.films.len()
                ),
            });
        }
        let texts = self.query_texts(&sought);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let titles: Vec<&str> = self.films.iter().map(|film| film.title.as_str()).collect();

        let mut rows = Vec::new();
        for (name, pooling) in [
            ("word vectors, mean", Pooling::Mean),
            ("word vectors, max-abs", Pooling::MaxAbs),
            ("word vectors, SIF", Pooling::Sif),
        ] {
            let (queries, _) = self.embedder.embed_all(&texts, pooling);
            let (candidates, _) = self.embedder.embed_all(&titles, pooling);
            let (ranks, ms) = dense_ranks(&queries, &candidates, &sought, Metric::Cosine, report)?;
            rows.push(MethodRow::new(name, &ranks, ms));
        }

        let title_config = LexicalConfig { weights: FieldWeights::title_only(), ..self.lexical_config };
        let started = Instant::now();
        let ranks = self.lexical_ranks(&texts, &sought, &title_config)?;
        let ms = milliseconds(started.elapsed()) / sought.len() as f64;
        rows.push(MethodRow::new("BM25", &ranks, ms));

        for named in self.regressors {
            let config = named.regressor.config();
            let (tags, _) = self.embedder.embed_all(&texts, config.pooling);
            let predicted = named.regressor.predict(&tags);
            let (candidates, _) = self.embedder.embed_all(&titles, config.pooling);
            let (ranks, ms) = dense_ranks(&predicted, &candidates, &sought, config.nearest, report)?;
            rows.push(MethodRow::new(&format!("regression, {}", named.name), &ranks, ms));
        }
        let mut notes = Vec::new();
        if let Some(main) = self.regressors.first() {
            let (row, weights) = self.hybrid(main, &titles, &texts, &sought, &title_config, report)?;
            notes.push(format!(
                "hybrid weights, tuned on development films: lexical {}, vectors {}, regression {}",
                weights[0], weights[1], weights[2]
            ));
            rows.push(row);
        }
        notes.push(format!("{n_unusable} held-out films left out: no known word in title or tags"));
        Ok(EvalReport {
            task: if self.remove_title_words {
                "title from tags, title words removed".to_owned()
            } else {
                "title from tags, as is".to_owned()
            },
            candidates: "titles as text".to_owned(),
            n_candidates: self.films.len(),
            split: "test (by film)".to_owned(),
            seed: self.seed,
            notes,
            methods: rows,
        })
    }

    /// Positions of the films of a split, at most `max` of them, spread evenly.
    fn select(&self, split: Split, max: usize) -> Vec<usize> {
        let all: Vec<usize> =
            (0..self.films.len()).filter(|&i| split_of(&self.films[i].id, &self.split) == split).collect();
        if max == 0 || all.len() <= max {
            return all;
        }
        (0..max).map(|i| all[i * all.len() / max]).collect()
    }

    /// Films whose title and (remaining) tags have a known word, and how many have not.
    fn usable(&self, films: &[usize]) -> (Vec<usize>, usize) {
        let texts = self.query_texts(films);
        let kept: Vec<usize> = films
            .par_iter()
            .zip(&texts)
            .filter(|(film, text)| self.knows_a_word(text) && self.knows_a_word(&self.films[**film].title))
            .map(|(&film, _)| film)
            .collect();
        let n_unusable = films.len() - kept.len();
        (kept, n_unusable)
    }

    fn knows_a_word(&self, text: &str) -> bool {
        let tokens = self.embedder.tokenizer().tokens(text);
        tokens.iter().any(|token| self.embedder.vectors().index_of(token).is_some())
    }

    fn query_texts(&self, films: &[usize]) -> Vec<String> {
        let stems = Tokenizer::new(crate::text::TokenizerConfig { stem: true, ..Default::default() });
        films
            .par_iter()
            .map(|&film| {
                let film = &self.films[film];
                if self.remove_title_words {
                    without_words_of(&film.tags, &film.title, &stems)
                } else {
                    film.tags.clone()
                }
            })
            .collect()
    }

    fn lexical_ranks(
        &self,
        texts: &[&str],
        sought: &[usize],
        config: &LexicalConfig,
    ) -> Result<Vec<f64>, LexicalError> {
        texts
            .par_iter()
            .zip(sought)
            .map_init(
                || vec![0.0; self.films.len()],
                |scores, (text, &sought)| {
                    self.lexical.score_all(&self.lexical.parse(text), config, scores)?;
                    Ok(mean_rank(scores, sought))
                },
            )
            .collect()
    }

    fn hybrid(
        &self,
        main: &NamedRegressor,
        titles: &[&str],
        texts: &[&str],
        sought: &[usize],
        title_config: &LexicalConfig,
        report: &mut Report<'_>,
    ) -> Result<(MethodRow, [f32; 3]), EvalError> {
        let dev = self.select(Split::Dev, MAX_TUNING_QUERIES);
        let (dev, _) = self.usable(&dev);
        let dev_texts = self.query_texts(&dev);
        let dev_texts: Vec<&str> = dev_texts.iter().map(String::as_str).collect();
        let start = [0.2, 0.5, 1.0];
        let pools = self.with_parts(main, titles, &dev_texts, title_config, report, &|at, parts| {
            Candidates::collect(parts, dev[at], TUNING_DEPTH)
        })?;
        let weights = match *tune_weights(&pools, &start).weights {
            [lexical, vectors, regression] => [lexical, vectors, regression],
            _ => start,
        };
        let started = Instant::now();
        let ranks = self.with_parts(main, titles, texts, title_config, report, &|at, parts| {
            let total: Vec<f32> =
                (0..titles.len()).map(|i| (0..3).map(|part| weights[part] * parts[part][i]).sum()).collect();
            mean_rank(&total, sought[at])
        })?;
        let ms = milliseconds(started.elapsed()) / sought.len() as f64;
        Ok((MethodRow::new("hybrid", &ranks, ms), weights))
    }

    /// Calls `with` for every query with the scores of all titles by each part.
    fn with_parts<T: Send>(
        &self,
        main: &NamedRegressor,
        titles: &[&str],
        texts: &[&str],
        title_config: &LexicalConfig,
        report: &mut Report<'_>,
        with: &(dyn Fn(usize, &[&[f32]]) -> T + Sync),
    ) -> Result<Vec<T>, EvalError> {
        let config = main.regressor.config();
        let (mut sif_titles, _) = self.embedder.embed_all(titles, Pooling::Sif);
        let (mut sif_texts, _) = self.embedder.embed_all(texts, Pooling::Sif);
        let (mut own_titles, _) = self.embedder.embed_all(titles, config.pooling);
        let (tags, _) = self.embedder.embed_all(texts, config.pooling);
        let mut predicted = main.regressor.predict(&tags);
        for rows in [&mut sif_titles, &mut sif_texts, &mut own_titles, &mut predicted] {
            normalise_rows(rows);
        }
        let mut results = Vec::with_capacity(texts.len());
        let dim = self.embedder.dim();
        for first in (0..texts.len()).step_by(BLOCK) {
            tell(report, "ranking", first, texts.len(), "")?;
            let n = BLOCK.min(texts.len() - first);
            let scores_of = |queries: &Matrix, titles: &Matrix| {
                let mut block = Matrix::zeros(n, dim);
                block.as_mut_slice().copy_from_slice(&queries.as_slice()[first * dim..(first + n) * dim]);
                block.matmul_bt(titles)
            };
            let (vectors, regression) =
                (scores_of(&sif_texts, &sif_titles), scores_of(&predicted, &own_titles));
            let block: Result<Vec<T>, LexicalError> = (0..n)
                .into_par_iter()
                .map_init(
                    || vec![0.0; titles.len()],
                    |lexical, at| {
                        let query = self.lexical.parse(texts[first + at]);
                        self.lexical.score_all(&query, title_config, lexical)?;
                        normalise_lexical(lexical);
                        Ok(with(first + at, &[&*lexical, vectors.row(at), regression.row(at)]))
                    },
                )
                .collect();
            results.extend(block?);
        }
        Ok(results)
    }
}

/// Takes the words of `title` out of `text`, comparing stems; the rest is joined by spaces.
pub fn without_words_of(text: &str, title: &str, stems: &Tokenizer) -> String {
    let unwanted: BTreeSet<String> = stems.tokens(title).into_iter().collect();
    let mut kept = String::with_capacity(text.len());
    stems.for_each_with_span(text, |stem, span| {
        if !unwanted.contains(stem) {
            if !kept.is_empty() {
                kept.push(' ');
            }
            kept.push_str(&text[span]);
        }
    });
    kept
}

/// Asks for films by people's descriptions.
pub struct KnownItem<'a> {
    /// Search as served.
    pub engine: &'a Engine,
    /// The films of the index, in its order.
    pub films: &'a [Film],
    /// Other regressors to compare with the one of the index.
    pub regressors: &'a [NamedRegressor],
    /// For tuning on queries the encoder was trained on: encoders each without the films of one fold.
    pub folds: &'a [Encoded],
    /// Seed, for the report.
    pub seed: u64,
}

/// Queries with the positions of the films they are about.
pub struct Asked<'a> {
    queries: Vec<&'a Query>,
    sought: Vec<usize>,
    n_absent: usize,
    n_titled: usize,
}

impl KnownItem<'_> {
    /// Keeps the queries whose film is in the catalogue and whose text does not contain its title.
    pub fn select<'q>(&self, queries: &'q [Query], split: Option<Split>) -> Asked<'q> {
        let position: HashMap<&str, usize> =
            self.films.iter().enumerate().map(|(at, film)| (film.id.as_str(), at)).collect();
        let mut asked = Asked { queries: Vec::new(), sought: Vec::new(), n_absent: 0, n_titled: 0 };
        for query in queries.iter().filter(|query| split.is_none() || query.split == split) {
            match position.get(query.film_id.as_str()) {
                None => asked.n_absent += 1,
                Some(_) if query.title_in_text => asked.n_titled += 1,
                Some(&at) => {
                    asked.queries.push(query);
                    asked.sought.push(at);
                }
            }
        }
        asked
    }

    /// Parts there is anything to compute for.
    fn shown(&self) -> [bool; N_PARTS] {
        let index = self.engine.index();
        let has_plots = !index.facts.with_plot().is_empty();
        let has_encoder = index.encoded.is_some();
        let is_known = index.facts.popularity().iter().any(|&x| x > 0.0);
        [true, has_plots, has_encoder, has_encoder && has_plots, true, true, is_known, true]
    }

    /// The encoder a training query may be scored with: one that has not seen its film.
    fn encoded_for(&self, query: &Query) -> Option<&Encoded> {
        if self.folds.is_empty() {
            return self.engine.index().encoded.as_ref();
        }
        self.folds.get(crate::encoder::fold_of(&query.film_id, self.folds.len()))
    }

    /// The questions `asked` as lists are built from, with the encoder each may be scored with.
    pub fn wanted<'q>(&'q self, asked: &Asked<'q>, is_training: bool) -> Vec<Wanted<'q>> {
        let encoded = |query| if is_training { self.encoded_for(query) } else { None };
        let queries = asked.queries.iter().zip(&asked.sought);
        queries
            .map(|(&query, &sought)| Wanted { text: &query.text, sought, encoded: encoded(query) })
            .collect()
    }

    /// Runs all methods on the queries `asked`.
    ///
    /// # Errors
    /// [`EvalError`].
    pub fn run(
        &self,
        asked: &Asked<'_>,
        split: &str,
        report: &mut Report<'_>,
    ) -> Result<EvalReport, EvalError> {
        let Asked { queries, sought, n_absent, n_titled } = asked;
        if queries.is_empty() {
            return Err(EvalError::NoQuery {
                why: format!(
                    "{n_absent} ask for films that are not in the catalogue, {n_titled} contain the title"
                ),
            });
        }
        let index = self.engine.index();
        let texts: Vec<&str> = queries.iter().map(|query| query.text.as_str()).collect();
        let tags: Vec<&str> = self.films.iter().map(|film| film.tags.as_str()).collect();
        let mut rows = Vec::new();
        for (name, pooling) in
            [("word vectors, mean", Pooling::Mean), ("word vectors, max-abs", Pooling::MaxAbs)]
        {
            let (queries, _) = index.embedder.embed_all(&texts, pooling);
            let (candidates, _) = index.embedder.embed_all(&tags, pooling);
            let (ranks, ms) = dense_ranks(&queries, &candidates, sought, Metric::Cosine, report)?;
            rows.push(MethodRow::new(name, &ranks, ms));
        }
        let titles: Vec<&str> = self.films.iter().map(|film| film.title.as_str()).collect();
        for named in self.regressors {
            let config = named.regressor.config();
            let (texts, _) = index.embedder.embed_all(&texts, config.pooling);
            let (candidates, _) = index.embedder.embed_all(&titles, config.pooling);
            let predicted = named.regressor.predict(&texts);
            let (ranks, ms) = dense_ranks(&predicted, &candidates, sought, config.nearest, report)?;
            rows.push(MethodRow::new(&format!("regression, {}", named.name), &ranks, ms));
        }

        let Served { ranks, rule_ranks, rule_ms, mut latency_ms } = self.as_served(&texts, sought, report)?;
        let is_shown = self.shown();
        let mean_ms = latency_ms.iter().sum::<f64>() / latency_ms.len() as f64;
        let names =
            ["BM25", "BM25, plots", "encoder", "encoder, plots", "word vectors, SIF", "regression, default"];
        for part in (0..names.len()).filter(|&part| is_shown[part]) {
            rows.push(MethodRow::new(names[part], &ranks[part], f64::NAN));
        }
        rows.push(MethodRow::new("hybrid", &ranks[N_PARTS], mean_ms));
        if !rule_ranks.is_empty() {
            let mean_ms = rule_ms.iter().sum::<f64>() / rule_ms.len() as f64;
            rows.push(MethodRow::new("rules", &rule_ranks, mean_ms));
        }
        latency_ms.sort_by(f64::total_cmp);
        let percentile = |p: usize| latency_ms[(latency_ms.len() - 1) * p / 100];
        let fusion = self.engine.fusion();
        let weights = self.engine.lexical().weights;
        Ok(EvalReport {
            task: "known item".to_owned(),
            candidates: "film records".to_owned(),
            n_candidates: self.films.len(),
            split: split.to_owned(),
            seed: self.seed,
            notes: vec![
                format!(
                    "queries left out: {n_absent} about films not in the catalogue, {n_titled} that contain the title"
                ),
                format!(
                    "hybrid weights: {}; field weights: title {}, tags {}, \
                     overview {}, people {}, keywords {}, plot {}",
                    PARTS
                        .iter()
                        .zip(fusion.as_array())
                        .map(|(name, weight)| format!("{name} {weight}"))
                        .collect::<Vec<_>>()
                        .join(", "),
                    weights.title,
                    weights.tags,
                    weights.overview,
                    weights.people,
                    weights.keywords,
                    weights.plot
                ),
                format!(
                    "scoring one query, all stages: p50 {:.1} ms, p99 {:.1} ms on {} threads",
                    percentile(50),
                    percentile(99),
                    rayon::current_num_threads()
                ),
            ],
            methods: rows,
        })
    }

    /// Asks one query after the other through all stages, so the times are those a user sees.
    fn as_served(
        &self,
        texts: &[&str],
        sought: &[usize],
        report: &mut Report<'_>,
    ) -> Result<Served, EvalError> {
        let index = self.engine.index();
        let mut scores = Scores::default();
        let mut ranks: [Vec<f64>; N_PARTS + 1] = Default::default();
        let is_shown = self.shown();
        let (mut rule_ranks, mut rule_ms) = (Vec::new(), Vec::new());
        let mut latency_ms = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            if at % 16 == 0 {
                tell(report, "ranking", at, texts.len(), "")?;
            }
            let started = Instant::now();
            self.engine.score_all(text, &mut scores)?;
            latency_ms.push(milliseconds(started.elapsed()));
            ranks[N_PARTS].push(mean_rank(&scores.total, sought[at]));
            if let Some(ranker) = self.engine.ranker() {
                let started = Instant::now();
                let (pool, _) = self.engine.pool(text, index.encoded.as_ref(), &mut scores)?;
                let values = ranker.scores(&pool);
                rule_ranks.push(pool.rank_of(&values, sought[at]).unwrap_or_else(|| {
                    // Behind the pool, the order is that of the first stage.
                    mean_rank(&scores.total, sought[at]).max(pool.films.len() as f64 + 1.0)
                }));
                rule_ms.push(milliseconds(started.elapsed()));
            }
            // Also the parts that have no weight.
            let understood = self.engine.understand(text);
            self.engine.score_parts(
                text,
                understood.as_ref(),
                is_shown,
                index.encoded.as_ref(),
                &mut scores,
            )?;
            for part in (0..N_PARTS).filter(|&part| is_shown[part]) {
                ranks[part].push(mean_rank(&scores.parts[part], sought[at]));
            }
        }
        Ok(Served { ranks, rule_ranks, rule_ms, latency_ms })
    }

    /// Tunes field weights on BM25 alone, then the weights of the parts, on the queries `asked`.
    ///
    /// Returns the settings and, for each, MRR before and after on these queries.
    ///
    /// # Errors
    /// [`EvalError`].
    pub fn tune(&self, asked: &Asked<'_>, report: &mut Report<'_>) -> Result<Tuned, EvalError> {
        if asked.queries.is_empty() {
            return Err(EvalError::NoQuery { why: "none of them can be used for training".to_owned() });
        }
        let stride = asked.queries.len().div_ceil(MAX_TUNING_QUERIES);
        let chosen: Vec<usize> = (0..asked.queries.len()).step_by(stride).collect();
        let index = &self.engine.index().lexical;
        let mut lexical = *self.engine.lexical();

        let mut field_pools = Vec::with_capacity(chosen.len());
        for block in chosen.chunks(BLOCK) {
            tell(report, "tuning field weights", field_pools.len(), chosen.len(), "")?;
            let pools: Result<Vec<Candidates>, LexicalError> = block
                .par_iter()
                .map(|&at| {
                    let text = &asked.queries[at].text;
                    let query = self.engine.terms(text, self.engine.understand(text).as_ref());
                    let fields = (0..lexical.weights.as_array().len())
                        .map(|field| {
                            let mut one = [0.0; FIELDS.len()];
                            one[field] = 1.0;
                            let config = LexicalConfig { weights: FieldWeights::from_array(one), ..lexical };
                            let mut scores = vec![0.0; index.n_films()];
                            index.score_all(&query, &config, &mut scores)?;
                            Ok(scores)
                        })
                        .collect::<Result<Vec<_>, LexicalError>>()?;
                    let fields: Vec<&[f32]> = fields.iter().map(Vec::as_slice).collect();
                    Ok(Candidates::collect(&fields, asked.sought[at], TUNING_DEPTH))
                })
                .collect();
            field_pools.extend(pools?);
        }
        let fields = tune_weights(&field_pools, &lexical.weights.as_array());
        if let Ok(weights) = <[f32; FIELDS.len()]>::try_from(fields.weights.as_slice()) {
            lexical.weights = FieldWeights::from_array(weights);
        }

        let mut scores = Scores::default();
        let engine = self.engine.with_lexical(lexical);
        let is_shown = self.shown();
        let mut pools = Vec::with_capacity(chosen.len());
        for &at in &chosen {
            if pools.len() % BLOCK == 0 {
                tell(report, "tuning fusion weights", pools.len(), chosen.len(), "")?;
            }
            let query = asked.queries[at];
            let encoded = self.encoded_for(query);
            let understood = engine.understand(&query.text);
            engine.score_parts(&query.text, understood.as_ref(), is_shown, encoded, &mut scores)?;
            let parts = scores.parts.each_ref().map(Vec::as_slice);
            pools.push(Candidates::collect(&parts, asked.sought[at], TUNING_DEPTH));
        }
        let parts = tune_weights(&pools, &self.engine.fusion().as_array());
        let fusion = <[f32; N_PARTS]>::try_from(parts.weights.as_slice())
            .map_or(*self.engine.fusion(), FusionWeights::from_array);
        Ok(Tuned {
            lexical,
            fusion,
            n_queries: chosen.len(),
            field_mrr: (fields.mrr_before, fields.mrr),
            fusion_mrr: (parts.mrr_before, parts.mrr),
        })
    }
}

/// Ranks and times of queries asked as they are served.
struct Served {
    /// Of every part, then of the first stage.
    ranks: [Vec<f64>; N_PARTS + 1],
    /// By the rules; empty without.
    rule_ranks: Vec<f64>,
    /// Milliseconds with the rules.
    rule_ms: Vec<f64>,
    /// Milliseconds of the first stage.
    latency_ms: Vec<f64>,
}

/// Outcome of [`KnownItem::tune`].
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    /// BM25 with the tuned field weights.
    pub lexical: LexicalConfig,
    /// Tuned weights of the parts.
    pub fusion: FusionWeights,
    /// Training queries used.
    pub n_queries: usize,
    /// MRR of BM25 before and after, on the candidates of the training queries.
    pub field_mrr: (f64, f64),
    /// MRR of the hybrid before and after, on the candidates of the training queries.
    pub fusion_mrr: (f64, f64),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::silent;

    #[test]
    fn dense_ranks_agree_with_a_full_sort() {
        let candidates = Matrix::from_rows(&[&[1.0, 0.0], &[0.8, 0.6], &[0.0, 1.0], &[-1.0, 0.0]]);
        let queries = Matrix::from_rows(&[&[0.9, 0.1], &[0.1, 2.0], &[-3.0, 0.0]]);
        for metric in [Metric::Cosine, Metric::L1, Metric::L2] {
            let (ranks, _) = dense_ranks(&queries, &candidates, &[1, 0, 3], metric, &mut silent).unwrap();
            for ((query, sought), rank) in [1, 0, 3].into_iter().enumerate().zip(&ranks) {
                let own = metric.nearness(queries.row(query), candidates.row(sought));
                let better =
                    (0..4).filter(|&c| metric.nearness(queries.row(query), candidates.row(c)) > own).count();
                assert_eq!(*rank, 1.0 + better as f64, "{metric:?}, query {query}");
            }
        }
    }

    #[test]
    fn title_words_are_removed_by_stem() {
        let stems = Tokenizer::new(crate::text::TokenizerConfig { stem: true, ..Default::default() });
        let text = "Two runners race. Running is all they know; the RACE of their lives.";
        assert_eq!(
            without_words_of(text, "Running", &stems),
            "Two runners race is all they know the RACE of their lives"
        );
    }
}
