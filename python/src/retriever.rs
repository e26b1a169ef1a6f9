//! An opened index: search, similar films, comparisons, titles.

use std::sync::OnceLock;

use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pythonize::pythonize;
use titlecard_engine::graph::{Graph, film_name};
use titlecard_engine::pipeline::{self, Workspace};
use titlecard_engine::search::{self, SearchError};
use titlecard_engine::similar::{SimilarFilms, SimilarWeights};
use titlecard_engine::titles::{Fit, TitleIndex};

use crate::errors::{Class, Classify, Error, raise};
use crate::rules::RuleList;
use crate::runner;
use crate::vectors::matrix;

/// Films offered as choices, at most.
const MAX_CHOICES: usize = 20;

/// An opened index.
#[pyclass(frozen, module = "titlecard._native")]
pub(crate) struct Engine {
    searcher: search::Engine,
    workspace: Workspace,
    titles: OnceLock<TitleIndex>,
}

impl Engine {
    pub(crate) fn new(searcher: search::Engine, workspace: Workspace) -> Self {
        Self { searcher, workspace, titles: OnceLock::new() }
    }

    fn graph(&self) -> PyResult<&Graph> {
        match self.searcher.knowledge() {
            Some(knowledge) => Ok(knowledge.graph()),
            // The engine was opened without a graph; opening it says what is missing.
            None => match pipeline::open_graph(&self.workspace, None) {
                Err(error) => Err(raise(error)),
                Ok(_) => Err(Error::new_err("the graph was made after the index was opened; open it again")),
            },
        }
    }

    fn titles(&self, graph: &Graph) -> PyResult<&TitleIndex> {
        if let Some(titles) = self.titles.get() {
            return Ok(titles);
        }
        let opened = pipeline::open_titles(&self.workspace, graph).map_err(raise)?;
        Ok(self.titles.get_or_init(|| opened))
    }

    fn id(&self, film: usize) -> Result<String, SearchError> {
        match self.searcher.knowledge() {
            Some(knowledge) => Ok(knowledge.graph().film_id(film as u32).to_owned()),
            None => Ok(self.searcher.index().lexical.film(film)?.id),
        }
    }

    /// Identifiers and scores of a long ranking; none if no film answers.
    fn ranked(&self, query: &str, k: usize) -> Result<Option<Vec<(String, f64)>>, SearchError> {
        let ranked = match self.searcher.rank(query, k) {
            Err(error) if error.class() == Class::NoAnswer => return Ok(None),
            ranked => ranked?,
        };
        ranked
            .into_iter()
            .map(|(film, score)| Ok((self.id(film)?, score)))
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

#[pymethods]
impl Engine {
    /// Films in the index.
    #[getter]
    fn n_films(&self) -> usize {
        self.searcher.index().n_films()
    }

    /// Whether there is a graph to understand questions by.
    #[getter]
    fn has_graph(&self) -> bool {
        self.searcher.knowledge().is_some()
    }

    /// Weights of the parts of the first stage.
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, self.searcher.fusion())?)
    }

    /// The `k` films that fit a query best, what was understood of it, and the milliseconds it took.
    fn search(&self, py: Python<'_>, query: &str, k: usize) -> PyResult<(Vec<Hit>, Vec<String>, f64)> {
        let answer = py.detach(|| self.searcher.search(query, k)).map_err(raise)?;
        let understood = answer.understood.map(|understood| understood.in_words(query)).unwrap_or_default();
        Ok((answer.hits.into_iter().map(|hit| Hit { hit }).collect(), understood, answer.latency_ms))
    }

    /// Rankings of many queries: for each query identifiers and scores of at most `k` films.
    #[pyo3(signature = (queries, k, progress=None))]
    #[allow(clippy::type_complexity)]
    fn rank_many<'py>(
        &self,
        py: Python<'py>,
        queries: Vec<String>,
        k: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<(Vec<String>, Bound<'py, PyArray1<f64>>)>> {
        let ranked = runner::run(py, progress.as_ref(), |teller| -> Result<Vec<_>, SearchError> {
            let mut all = Vec::with_capacity(queries.len());
            for (at, query) in queries.iter().enumerate() {
                if teller.tell("searching", at as u64, queries.len() as u64, "").is_break() {
                    break;
                }
                let (ids, scores): (Vec<String>, Vec<f64>) =
                    self.ranked(query, k)?.unwrap_or_default().into_iter().unzip();
                all.push((ids, scores));
            }
            Ok(all)
        })?;
        let ranked = ranked.map_err(raise)?;
        Ok(ranked.into_iter().map(|(ids, scores)| (ids, scores.into_pyarray(py))).collect())
    }

    /// Why, for a query, the film in one place of the answer stands above that in another.
    fn compare<'py>(
        &self,
        py: Python<'py>,
        query: &str,
        first: usize,
        second: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        if first == second || first == 0 || second == 0 {
            return Err(PyValueError::new_err(
                "name two different places of the answer, from 1, like `1, 2`",
            ));
        }
        if self.searcher.ranker().is_none() {
            return Err(Error::new_err(
                "there are no rules to compare by; build the graph with `titlecard graph build` and learn them with \
                 `titlecard train ranker`",
            ));
        }
        let compared = py.detach(|| -> Result<_, SearchError> {
            let answer = self.searcher.search(query, first.max(second))?;
            let film = |place: usize| answer.hits.get(place - 1).map(|hit| hit.film_idx);
            let (Some(a), Some(b)) = (film(first), film(second)) else { return Ok(Err(answer.hits.len())) };
            Ok(Ok(self.searcher.compare(query, a, b)?))
        });
        match compared.map_err(raise)? {
            Err(n) => Err(PyValueError::new_err(format!("the answer has {n} films; name places up to that"))),
            Ok(None) => {
                Err(Error::new_err("the films cannot be compared: one of them is not among the candidates"))
            }
            Ok(Some(comparison)) => Ok(pythonize(py, &comparison)?),
        }
    }

    /// The films most like a film (id or title), with what they share.
    fn similar<'py>(&self, py: Python<'py>, film: &str, k: usize) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let graph = self.graph()?;
        let found = match graph.film_with_id(film) {
            Some(found) => found,
            None => film_named(graph, Some(self.titles(graph)?), film)?,
        };
        let found = py.detach(|| {
            SimilarFilms::new(graph, Some(self.searcher.index())).most_like(
                found,
                k,
                &SimilarWeights::default(),
            )
        });
        found
            .iter()
            .map(|similar| {
                let row = pythonize(py, similar)?;
                let row = row.cast_into::<PyDict>()?;
                row.del_item("film")?;
                row.set_item("id", graph.film_id(similar.film))?;
                row.set_item("title", film_name(graph, similar.film))?;
                Ok(row.into_any())
            })
            .collect()
    }

    /// Films by title, with slips.
    fn find<'py>(&self, py: Python<'py>, title: &str, k: usize) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let graph = self.graph()?;
        let titles = self.titles(graph)?;
        let found = py.detach(|| titles.find(graph, title, k));
        found
            .iter()
            .map(|one| {
                let row = pythonize(py, one)?;
                let row = row.cast_into::<PyDict>()?;
                row.set_item("film", film_name(graph, one.film))?;
                row.set_item("id", graph.film_id(one.film))?;
                Ok(row.into_any())
            })
            .collect()
    }

    /// A film by its id, as a dictionary.
    fn film<'py>(&self, py: Python<'py>, id: &str) -> PyResult<Bound<'py, PyAny>> {
        let no_film = || PyKeyError::new_err(format!("there is no film with the id `{id}`"));
        let film = match self.searcher.knowledge() {
            Some(knowledge) => {
                knowledge.graph().film_with_id(id).map(|film| film as usize).ok_or_else(no_film)?
            }
            None => {
                // Without a graph there is no table of ids.
                let found = py.detach(|| -> Result<_, SearchError> {
                    for film in 0..self.searcher.index().n_films() {
                        if self.id(film)? == id {
                            return Ok(Some(film));
                        }
                    }
                    Ok(None)
                });
                found.map_err(raise)?.ok_or_else(no_film)?
            }
        };
        let film =
            self.searcher.index().lexical.film(film).map_err(|error| raise(SearchError::from(error)))?;
        Ok(pythonize(py, &film)?)
    }

    /// What a question says, a line each; empty without a graph.
    fn understand(&self, query: &str) -> Vec<String> {
        self.searcher.understand(query).map(|understood| understood.in_words(query)).unwrap_or_default()
    }

    /// Vectors of queries by the encoder of the index, `[n, dim]`; none if it has none.
    fn encode<'py>(
        &self,
        py: Python<'py>,
        queries: Vec<String>,
    ) -> PyResult<Option<Bound<'py, numpy::PyArray2<f32>>>> {
        let Some(encoded) = &self.searcher.index().encoded else { return Ok(None) };
        let rows: Vec<Vec<f32>> = py.detach(|| queries.iter().map(|query| encoded.question(query)).collect());
        let dim = encoded.question("").len();
        Ok(Some(matrix(py, rows.len(), dim, rows.concat())?))
    }

    /// The rules that rank, if there are any.
    fn rules(&self) -> Option<RuleList> {
        self.searcher.ranker().map(|ranker| RuleList { rules: ranker.rules().clone() })
    }

    /// What the rules that rank say in plain words, a list of lines a rule.
    fn rule_words(&self) -> Vec<Vec<String>> {
        let Some(ranker) = self.searcher.ranker() else { return Vec::new() };
        (0..ranker.rules().rules().len()).map(|rule| ranker.rule_words(rule)).collect()
    }
}

/// The film with an id, or the one film with a title.
pub(crate) fn film_named(graph: &Graph, titles: Option<&TitleIndex>, film: &str) -> PyResult<u32> {
    if let Some(found) = graph.film_with_id(film) {
        return Ok(found);
    }
    let mut found: Vec<u32> = match titles {
        None => graph.films_titled(film).collect(),
        Some(titles) => {
            let mut found = titles.find(graph, film, MAX_CHOICES);
            // Titles that are the query itself leave the others behind.
            for is_meant in [Fit::Whole, Fit::Article] {
                if found.iter().any(|one| one.edits == 0 && one.fit == is_meant) {
                    found.retain(|one| one.edits == 0 && one.fit == is_meant);
                    break;
                }
            }
            found.into_iter().map(|one| one.film).collect()
        }
    };
    found.dedup();
    match found[..] {
        [] => Err(PyKeyError::new_err(format!("no film has the id `{film}` or a title like it"))),
        [only] => Ok(only),
        _ => {
            let choices: Vec<String> = found
                .iter()
                .take(MAX_CHOICES)
                .map(|&one| format!("{} [{}]", film_name(graph, one), graph.film_id(one)))
                .collect();
            Err(PyValueError::new_err(format!(
                "several films fit `{film}`: {}; say which by year in brackets, or by id",
                choices.join(", ")
            )))
        }
    }
}

/// One film of an answer.
#[pyclass(frozen, module = "titlecard._native")]
pub(crate) struct Hit {
    hit: search::Hit,
}

#[pymethods]
impl Hit {
    /// Place, from 1.
    #[getter]
    fn rank(&self) -> usize {
        self.hit.rank
    }

    /// Id in the catalogue.
    #[getter]
    fn id(&self) -> &str {
        &self.hit.film.id
    }

    /// Title.
    #[getter]
    fn title(&self) -> &str {
        &self.hit.film.title
    }

    /// Year of release.
    #[getter]
    fn year(&self) -> Option<i32> {
        self.hit.film.year
    }

    /// What films are ranked by.
    #[getter]
    fn score(&self) -> f64 {
        self.hit.score
    }

    /// The film as a dictionary.
    #[getter]
    fn film<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.hit.film)?)
    }

    /// Scores of the first stage.
    #[getter]
    fn parts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.hit.parts)?)
    }

    /// Bias, rules and scores the score is the sum of; none without rules.
    #[getter]
    fn reasons<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.hit.reasons)?)
    }

    /// The words of the query found in the film, with what each adds to BM25.
    #[getter]
    fn matches<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(pythonize(py, &self.hit.matches)?)
    }

    fn __repr__(&self) -> String {
        let film = &self.hit.film;
        let year = film.year.map_or(String::new(), |year| format!(" ({year})"));
        format!("<Hit {}: {}{year}, score {:.3}>", self.hit.rank, film.title, self.hit.score)
    }
}
