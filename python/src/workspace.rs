//! The steps over a working folder, and the films of its catalogue.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use pythonize::pythonize;
use titlecard_engine::artifact::write_bytes;
use titlecard_engine::catalogue::{Catalogue, Film, Split};
use titlecard_engine::config::{Config, ConfigBuilder, Origin};
use titlecard_engine::encoder::{self, EncoderSettings};
use titlecard_engine::eval::queries::{Query, read_queries};
use titlecard_engine::eval::tasks::KnownItem;
use titlecard_engine::pipeline::{self, PipelineError};
use titlecard_engine::rank::training::{Sampling, build_lists};
use titlecard_engine::sample;
use titlecard_engine::text::{Tokenizer, TokenizerConfig};

use crate::errors::raise;
use crate::retriever::Engine;
use crate::runner;

/// A working folder with its settings.
#[pyclass(frozen, module = "titlecard._native")]
pub(crate) struct Workspace {
    workspace: pipeline::Workspace,
    /// Settings given from Python, key and value as text; they win over file and environment.
    given: Vec<(String, String)>,
}

/// Queries as Python gives them.
#[derive(FromPyObject)]
pub(crate) enum Queries {
    /// Files of JSON lines.
    Files(Vec<PathBuf>),
    /// Name, text, film, and part of the data (or none).
    Rows(Vec<(String, String, String, Option<String>)>),
}

impl Queries {
    fn read(self) -> PyResult<Vec<Query>> {
        match self {
            Self::Files(files) => {
                let mut all = Vec::new();
                for file in files {
                    all.extend(read_queries(&file).map_err(raise)?);
                }
                Ok(all)
            }
            Self::Rows(rows) => rows
                .into_iter()
                .map(|(query_id, text, film_id, split)| {
                    let split = split.as_deref().map(split_named).transpose()?;
                    Ok(Query { query_id, text, film_id, split, title_in_text: false })
                })
                .collect(),
        }
    }
}

pub(crate) fn split_named(name: &str) -> PyResult<Split> {
    match name {
        "train" => Ok(Split::Train),
        "dev" => Ok(Split::Dev),
        "test" => Ok(Split::Test),
        _ => Err(PyValueError::new_err(format!("the split `{name}` is unknown; take train, dev or test"))),
    }
}

/// The queries given, or those of the sample.
fn queries_or_sample(queries: Option<Queries>) -> PyResult<Vec<Query>> {
    match queries {
        Some(queries) => queries.read(),
        None => sample::queries().map_err(raise),
    }
}

fn is_for_training(query: &Query) -> bool {
    query.split.is_none_or(|split| split == Split::Train)
}

impl Workspace {
    fn builder(&self) -> PyResult<ConfigBuilder> {
        let read = || {
            let mut builder = ConfigBuilder::default();
            for file in [self.workspace.ranking(), self.workspace.settings()] {
                if file.exists() {
                    builder = builder.file(&file)?;
                }
            }
            builder = builder.environment(std::env::vars())?;
            for (key, value) in &self.given {
                builder = builder.flag("settings", key, value)?;
            }
            Ok(builder)
        };
        read().map_err(|error: titlecard_engine::config::ConfigError| raise(PipelineError::Config(error)))
    }

    /// The folder, as the engine knows it.
    pub(crate) fn inner(&self) -> &pipeline::Workspace {
        &self.workspace
    }

    /// All settings.
    pub(crate) fn config(&self) -> PyResult<Config> {
        let config = self.builder()?.build().map_err(|error| raise(PipelineError::Config(error)))?;
        // The first call in a process decides, also one of another library part; results do not depend on the number.
        let _ = titlecard_engine::set_threads(config.n_threads());
        Ok(config)
    }

    /// Settings and films of the prepared catalogue, for a step that needs both.
    fn material(&self, py: Python<'_>) -> PyResult<(Config, Catalogue)> {
        let config = self.config()?;
        let catalogue = py.detach(|| pipeline::load_films(&self.workspace)).map_err(raise)?;
        Ok((config, catalogue))
    }
}

#[pymethods]
impl Workspace {
    #[new]
    fn new(folder: PathBuf, settings: Vec<(String, String)>) -> PyResult<Self> {
        let workspace = Self { workspace: pipeline::Workspace::new(folder), given: settings };
        workspace.config()?;
        Ok(workspace)
    }

    /// The folder.
    #[getter]
    fn folder(&self) -> PathBuf {
        self.workspace.root().to_owned()
    }

    /// Every setting with its value, as text, and where it came from.
    fn settings(&self) -> PyResult<Vec<(String, String, String)>> {
        let builder = self.builder()?;
        Ok(builder
            .settings()
            .map(|(key, value, from)| (key.to_owned(), value.to_string(), from.to_string()))
            .collect())
    }

    /// Whether a setting was given anywhere.
    fn is_set(&self, key: &str) -> PyResult<bool> {
        Ok(self.builder()?.settings().any(|(name, _, from)| name == key && *from != Origin::Default))
    }

    /// Files of the folder by name, whether they are there or not.
    fn paths(&self) -> BTreeMap<&'static str, PathBuf> {
        let workspace = &self.workspace;
        BTreeMap::from([
            ("films", workspace.films()),
            ("vectors", workspace.vectors()),
            ("encoder", encoder::encoder_path(workspace)),
            ("graph", workspace.graph()),
            ("language_model", workspace.language_model()),
            ("rules", workspace.rules()),
            ("index", workspace.index()),
            ("ranking", workspace.ranking()),
        ])
    }

    /// Reads and cleans a catalogue, of the settings or the sample if there is no `source`: the report as text and data.
    #[pyo3(signature = (source=None, columns=BTreeMap::new(), join=Vec::new(), progress=None))]
    fn prepare<'py>(
        &self,
        py: Python<'py>,
        source: Option<String>,
        columns: BTreeMap<String, String>,
        join: Vec<String>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(String, Bound<'py, PyAny>)> {
        let mut config = self.config()?;
        if let Some(source) = source {
            config.catalogue.path = source;
        }
        config.catalogue.columns.extend(columns);
        if !join.is_empty() {
            config.catalogue.join = join;
        }
        let _lock = self.workspace.lock().map_err(raise)?;
        let report = runner::run(py, progress.as_ref(), |teller| {
            pipeline::prepare(&self.workspace, &config, &mut teller.report())
        })?;
        let report = report.map_err(raise)?;
        Ok((report.to_string(), pythonize(py, &report)?))
    }

    /// The films of the prepared catalogue.
    fn films(&self, py: Python<'_>) -> PyResult<Films> {
        py.detach(|| pipeline::load_films(&self.workspace))
            .map(|catalogue| Films { catalogue })
            .map_err(raise)
    }

    /// Trains word vectors on the catalogue: words, components, words of text, seconds, file.
    #[pyo3(signature = (progress=None))]
    fn train_word_vectors(
        &self,
        py: Python<'_>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(usize, usize, u64, f64, PathBuf)> {
        let _lock = self.workspace.lock().map_err(raise)?;
        let (config, catalogue) = self.material(py)?;
        let done = runner::run(py, progress.as_ref(), |teller| {
            pipeline::train_word_vectors(&self.workspace, &config, catalogue.films(), &mut teller.report())
        })?;
        let done = done.map_err(raise)?;
        Ok((done.n_words, done.dim, done.n_tokens, done.seconds, done.path))
    }

    /// Trains the title regressor: films, epochs as (epoch, training loss, development loss), seconds, file.
    #[pyo3(signature = (name, resume=false, progress=None))]
    #[allow(clippy::type_complexity)]
    fn train_regressor(
        &self,
        py: Python<'_>,
        name: &str,
        resume: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(usize, Vec<(usize, f64, f64)>, f64, PathBuf)> {
        let (config, catalogue) = self.material(py)?;
        let done = runner::run(py, progress.as_ref(), |teller| {
            pipeline::train_regressor(
                &self.workspace,
                &config,
                catalogue.films(),
                name,
                resume,
                &mut teller.report(),
            )
        })?;
        let done = done.map_err(raise)?;
        let history = done
            .trained
            .history
            .iter()
            .map(|record| (record.epoch, record.train_loss, record.dev_loss))
            .collect();
        Ok((done.n_train, history, done.seconds, done.path))
    }

    /// Trains the text encoder on films and questions: the summary.
    #[pyo3(signature = (queries=None, texts=None, start=None, folds=0, epochs=1, progress=None))]
    #[allow(clippy::too_many_arguments)] // Python names them.
    fn train_encoder<'py>(
        &self,
        py: Python<'py>,
        queries: Option<Queries>,
        texts: Option<PathBuf>,
        start: Option<PathBuf>,
        folds: usize,
        epochs: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (config, catalogue) = self.material(py)?;
        let queries = queries_or_sample(queries)?;
        let mut settings = EncoderSettings { texts, start, folds, ..EncoderSettings::default() };
        settings.training.epochs = epochs;
        let summary = runner::run(py, progress.as_ref(), |teller| {
            encoder::train(
                &self.workspace,
                &config,
                catalogue.films(),
                &queries,
                &settings,
                &mut teller.report(),
            )
        })?;
        Ok(pythonize(py, &summary.map_err(raise)?)?)
    }

    /// Builds the knowledge graph: the summary.
    #[pyo3(signature = (progress=None))]
    fn build_graph<'py>(&self, py: Python<'py>, progress: Option<Py<PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let _lock = self.workspace.lock().map_err(raise)?;
        let (config, catalogue) = self.material(py)?;
        let summary = runner::run(py, progress.as_ref(), |teller| {
            pipeline::build_graph(&self.workspace, &config, catalogue.films(), &mut teller.report())
        })?;
        Ok(pythonize(py, &summary.map_err(raise)?)?)
    }

    /// Builds the index: the number of films in it.
    #[pyo3(signature = (progress=None))]
    fn build_index(&self, py: Python<'_>, progress: Option<Py<PyAny>>) -> PyResult<usize> {
        let _lock = self.workspace.lock().map_err(raise)?;
        let (config, catalogue) = self.material(py)?;
        let built = runner::run(py, progress.as_ref(), |teller| {
            pipeline::build_index(&self.workspace, &config, catalogue.films(), &mut teller.report())
        })?;
        built.map_err(raise)?;
        Ok(catalogue.len())
    }

    /// Tunes the weights of the first stage on training queries: MRR among candidates before and after, file.
    #[pyo3(signature = (queries=None, progress=None))]
    fn tune(
        &self,
        py: Python<'_>,
        queries: Option<Queries>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(usize, f64, f64, PathBuf)> {
        let (config, catalogue) = self.material(py)?;
        let mut queries = queries_or_sample(queries)?;
        queries.retain(is_for_training);
        let tuned = runner::run(py, progress.as_ref(), |teller| -> Result<_, PipelineError> {
            let engine = pipeline::open_engine(&self.workspace, &config)?;
            let folds = pipeline::fold_encoders(&self.workspace, catalogue.films())?;
            let films = catalogue.films();
            let task =
                KnownItem { engine: &engine, films, regressors: &[], folds: &folds, seed: config.run.seed };
            let tuned = task.tune(&task.select(&queries, None), &mut teller.report())?;
            let path = pipeline::save_tuned(&self.workspace, &tuned)?;
            Ok((tuned.n_queries, tuned.fusion_mrr.0, tuned.fusion_mrr.1, path))
        })?;
        tuned.map_err(raise)
    }

    /// Learns the rules that rank from training queries: their number, literals in all, questions, and the loss by
    /// number of rules.
    #[pyo3(signature = (queries=None, progress=None))]
    #[allow(clippy::type_complexity)]
    fn train_ranker(
        &self,
        py: Python<'_>,
        queries: Option<Queries>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(usize, usize, usize, Vec<(usize, f64)>)> {
        let (config, catalogue) = self.material(py)?;
        let mut queries = queries_or_sample(queries)?;
        queries.retain(is_for_training);
        let learned = runner::run(py, progress.as_ref(), |teller| -> PyResult<_> {
            let engine = pipeline::open_engine(&self.workspace, &config).map_err(raise)?;
            if engine.knowledge().is_none() {
                pipeline::open_graph(&self.workspace, None).map_err(raise)?;
            }
            let folds = pipeline::fold_encoders(&self.workspace, catalogue.films()).map_err(raise)?;
            let (films, seed) = (catalogue.films(), config.run.seed);
            let task = KnownItem { engine: &engine, films, regressors: &[], folds: &folds, seed };
            let wanted = task.wanted(&task.select(&queries, None), true);
            let sampling = Sampling { best: config.ranker.best, random: config.ranker.random, seed };
            let lists = build_lists(&engine, &wanted, Some(sampling), &mut teller.report()).map_err(raise)?;
            pipeline::train_ranker(&self.workspace, &config, &lists, &mut teller.report()).map_err(raise)
        })??;
        let rules = learned.ranker.rules();
        Ok((rules.rules().len(), rules.n_edges(), learned.n_lists, learned.curve.clone()))
    }

    /// Trains the language model: all that was logged, seconds, folder, values trained and in all, examples learned
    /// and for development.
    #[pyo3(signature = (resume=false, progress=None))]
    #[allow(clippy::type_complexity)]
    fn train_lm<'py>(
        &self,
        py: Python<'py>,
        resume: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, f64, PathBuf, (usize, usize), (usize, usize))> {
        let (config, catalogue) = self.material(py)?;
        let done = runner::run(py, progress.as_ref(), |teller| {
            titlecard_lm::pipeline::train(
                &self.workspace,
                &config,
                catalogue.films(),
                resume,
                &mut teller.report(),
                &mut |_| {},
            )
        })?;
        let done = done.map_err(raise)?;
        let history = pythonize(py, &done.trained.history)?;
        Ok((history, done.trained.seconds, done.folder, done.n_values, done.n_examples))
    }

    /// Takes the rules inside the program, learned from the sample's training queries.
    fn use_sample_rules(&self) -> PyResult<()> {
        write_bytes(&self.workspace.rules(), sample::RULES.as_bytes()).map_err(raise)
    }

    /// Every method on the queries of a part: the report as text and data.
    #[pyo3(signature = (queries=None, part="held-out", progress=None))]
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        queries: Option<Queries>,
        part: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(String, Bound<'py, PyAny>)> {
        let (config, catalogue) = self.material(py)?;
        let mut queries = queries_or_sample(queries)?;
        match part {
            "all" => {}
            "held-out" => queries.retain(|query| query.split != Some(Split::Train)),
            part => {
                let split = split_named(part)?;
                queries.retain(|query| query.split == Some(split));
            }
        }
        let report = runner::run(py, progress.as_ref(), |teller| -> Result<_, PipelineError> {
            let engine = pipeline::open_engine(&self.workspace, &config)?;
            let films = catalogue.films();
            let task =
                KnownItem { engine: &engine, films, regressors: &[], folds: &[], seed: config.run.seed };
            Ok(task.run(&task.select(&queries, None), part, &mut teller.report())?)
        })?;
        let report = report.map_err(raise)?;
        Ok((report.to_text(), pythonize(py, &report)?))
    }

    /// Opens the index.
    fn open(&self, py: Python<'_>) -> PyResult<Engine> {
        let config = self.config()?;
        let opened = runner::run(py, None, |_| pipeline::open_engine(&self.workspace, &config))?;
        Ok(Engine::new(opened.map_err(raise)?, self.workspace.clone()))
    }

    /// The queries of the sample: name, text, film, part of the data.
    #[staticmethod]
    fn sample_queries() -> PyResult<Vec<(String, String, String, &'static str)>> {
        let queries = sample::queries().map_err(raise)?;
        Ok(queries
            .into_iter()
            .map(|query| {
                let split = match query.split {
                    Some(Split::Train) => "train",
                    Some(Split::Dev) => "dev",
                    Some(Split::Test) => "test",
                    None => "",
                };
                (query.query_id, query.text, query.film_id, split)
            })
            .collect())
    }
}

/// The films of a prepared catalogue.
#[pyclass(frozen, module = "titlecard._native")]
pub(crate) struct Films {
    catalogue: Catalogue,
}

/// Texts one after the other: offsets `[n + 1]`, bytes (UTF-8), and which of them are there `[n]`.
type Texts<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<u8>>, Bound<'py, PyArray1<bool>>);

#[pymethods]
impl Films {
    fn __len__(&self) -> usize {
        self.catalogue.len()
    }

    /// The film at a position, as a dictionary.
    fn film<'py>(&self, py: Python<'py>, at: usize) -> PyResult<Bound<'py, PyAny>> {
        let films = self.catalogue.films();
        let film = films.get(at).ok_or_else(|| {
            PyIndexError::new_err(format!("there is no film {at}; the catalogue has {}", films.len()))
        })?;
        Ok(pythonize(py, film)?)
    }

    /// A column of texts, in Arrow's layout.
    fn texts<'py>(&self, py: Python<'py>, column: &str) -> PyResult<Texts<'py>> {
        let get: fn(&Film) -> Option<&str> = match column {
            "id" => |film| Some(&film.id),
            "title" => |film| Some(&film.title),
            "original_title" => |film| film.original_title.as_deref(),
            "overview" => |film| Some(&film.overview),
            "plot" => |film| Some(&film.plot),
            "tags" => |film| Some(&film.tags),
            _ => return Err(no_column(column)),
        };
        let films = self.catalogue.films();
        let (offsets, bytes) = py.detach(|| in_a_row(films.iter().map(|film| get(film).unwrap_or_default())));
        let is_there: Vec<bool> = films.iter().map(|film| get(film).is_some()).collect();
        Ok((offsets.into_pyarray(py), bytes.into_pyarray(py), is_there.into_pyarray(py)))
    }

    /// A column of lists of texts, in Arrow's layout: where each list ends, and the texts.
    fn lists<'py>(&self, py: Python<'py>, column: &str) -> PyResult<(Bound<'py, PyArray1<i64>>, Texts<'py>)> {
        let get: fn(&Film) -> &[String] = match column {
            "genres" => |film| &film.genres,
            "keywords" => |film| &film.keywords,
            "cast" => |film| &film.cast,
            "directors" => |film| &film.directors,
            "countries" => |film| &film.countries,
            "languages" => |film| &film.languages,
            "companies" => |film| &film.companies,
            "collections" => |film| &film.collections,
            _ => return Err(no_column(column)),
        };
        let films = self.catalogue.films();
        let (lists, offsets, bytes) = py.detach(|| {
            let mut lists = vec![0];
            let mut end = 0;
            for film in films {
                end += get(film).len() as i64;
                lists.push(end);
            }
            let (offsets, bytes) =
                in_a_row(films.iter().flat_map(|film| get(film).iter().map(String::as_str)));
            (lists, offsets, bytes)
        });
        let is_there = vec![true; offsets.len() - 1].into_pyarray(py);
        Ok((lists.into_pyarray(py), (offsets.into_pyarray(py), bytes.into_pyarray(py), is_there)))
    }

    /// A column of whole numbers: values, and which of them are there.
    #[allow(clippy::type_complexity)]
    fn numbers<'py>(
        &self,
        py: Python<'py>,
        column: &str,
    ) -> PyResult<(Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<bool>>)> {
        let get: fn(&Film) -> Option<i64> = match column {
            "year" => |film| film.year.map(i64::from),
            "votes" => |film| film.votes.map(i64::from),
            _ => return Err(no_column(column)),
        };
        let values: Vec<Option<i64>> = self.catalogue.films().iter().map(get).collect();
        let is_there: Vec<bool> = values.iter().map(Option::is_some).collect();
        let values: Vec<i64> = values.into_iter().map(Option::unwrap_or_default).collect();
        Ok((values.into_pyarray(py), is_there.into_pyarray(py)))
    }
}

fn no_column(column: &str) -> PyErr {
    PyValueError::new_err(format!("films have no such column `{column}`"))
}

fn in_a_row<'a>(texts: impl Iterator<Item = &'a str>) -> (Vec<i64>, Vec<u8>) {
    let (mut offsets, mut bytes) = (vec![0], Vec::new());
    for text in texts {
        bytes.extend_from_slice(text.as_bytes());
        offsets.push(bytes.len() as i64);
    }
    (offsets, bytes)
}

/// The words of a text, as the engine cuts it.
#[pyfunction]
pub(crate) fn tokens(text: &str) -> Vec<String> {
    Tokenizer::new(TokenizerConfig::default()).tokens(text)
}

/// Writes a file under another name and renames it into place.
#[pyfunction]
pub(crate) fn write_file(path: PathBuf, content: &[u8]) -> PyResult<()> {
    write_bytes(Path::new(&path), content).map_err(raise)
}
