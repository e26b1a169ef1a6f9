//! Language models: generation, titles that exist, scores, files.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::OnceLock;

use pyo3::exceptions::{PyFileNotFoundError, PyValueError};
use pyo3::prelude::*;
use titlecard_engine::catalogue::{Catalogue, Film, Split, split_of};
use titlecard_engine::config::Config;
use titlecard_engine::progress::{Interrupted, Progress};
use titlecard_lm::generate::{BeamConfig, Decoder, GenerateConfig, Precision, Sampling, TitleSearch};
use titlecard_lm::pipeline::{self, Opened, Titles};
use titlecard_lm::{Dataset, LmError, StoredAs, Template};

use crate::errors::raise;
use crate::runner;
use crate::workspace::{Workspace, split_named};

/// Titles found for one text: title, ids of the films so called, log-probability.
type Found = Vec<(String, Vec<String>, f64)>;

/// A model with its tokenizer, opened from a folder in Hugging Face layout.
#[pyclass(frozen, module = "titlecard._native")]
pub(crate) struct LanguageModel {
    opened: Opened,
    decoder: Decoder,
    template: Template,
    config: Config,
    workspace: titlecard_engine::pipeline::Workspace,
    titles: OnceLock<(Catalogue, Titles)>,
}

fn stored_as(name: &str) -> PyResult<StoredAs> {
    [StoredAs::F32, StoredAs::F16, StoredAs::Bf16].into_iter().find(|known| known.name() == name).ok_or_else(
        || PyValueError::new_err(format!("`dtype` is `{name}`, expected float32, float16 or bfloat16")),
    )
}

fn precision_named(name: &str) -> PyResult<Precision> {
    match name {
        "float32" => Ok(Precision::F32),
        "bfloat16" => Ok(Precision::Bf16),
        "int8" => Ok(Precision::Int8),
        _ => {
            Err(PyValueError::new_err(format!("`precision` is `{name}`, expected float32, bfloat16 or int8")))
        }
    }
}

impl LanguageModel {
    /// Prompts as the template asks, or as they are.
    fn prompts(&self, texts: &[String], raw: bool) -> Result<Vec<Vec<u32>>, LmError> {
        texts
            .iter()
            .map(|text| {
                let prompt = if raw { text.clone() } else { self.template.prompt_for(text.trim()) };
                let ids = self.opened.tokenizer.encode(&prompt)?;
                // A text from nothing begins after the end of another.
                Ok(if ids.is_empty() && !raw { vec![self.opened.model.config().eos] } else { ids })
            })
            .collect()
    }

    fn context(&self) -> usize {
        self.config.lm.context.min(self.opened.model.config().max_positions)
    }

    /// The titles of the catalogue, collected once.
    fn titles(&self, longest_prompt: usize) -> PyResult<&(Catalogue, Titles)> {
        if let Some(titles) = self.titles.get() {
            return Ok(titles);
        }
        let catalogue = titlecard_engine::pipeline::load_films(&self.workspace).map_err(raise)?;
        let shape = self.opened.model.config();
        let room = shape.max_positions.saturating_sub(longest_prompt.max(self.context()));
        let room = room.max(shape.max_positions / 4);
        let titles = Titles::new(catalogue.films(), &self.template, &self.opened.tokenizer, shape.eos, room)
            .map_err(raise)?;
        Ok(self.titles.get_or_init(|| (catalogue, titles)))
    }
}

fn stopped(step: &'static str) -> LmError {
    Interrupted { step }.into()
}

#[pymethods]
impl LanguageModel {
    /// Opens the model of a working folder, of another folder, or one that is fetched by name.
    #[staticmethod]
    #[pyo3(signature = (workspace, model=None, precision="float32", progress=None))]
    fn open(
        py: Python<'_>,
        workspace: &Workspace,
        model: Option<String>,
        precision: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let precision = precision_named(precision)?;
        let config = workspace.config()?;
        let workspace = workspace.inner().clone();
        let own = workspace.language_model();
        if model.is_none() && !own.exists() {
            return Err(PyFileNotFoundError::new_err(format!(
                "`{}` does not exist; train a model with `train_lm`, or name one",
                own.display()
            )));
        }
        let (opened, decoder) = runner::run(py, progress.as_ref(), |teller| -> Result<_, LmError> {
            let mut report = teller.report();
            let folder = match &model {
                Some(name) => pipeline::resolve(&workspace, name, &mut report)?,
                None => own,
            };
            let opened = pipeline::open(&workspace, &folder, &mut report)?;
            let decoder = pipeline::decoder(&opened, precision);
            Ok((opened, decoder))
        })?
        .map_err(raise)?;
        let template = match &opened.template {
            Some(template) => template.clone(),
            None => pipeline::template(&config.lm).map_err(raise)?,
        };
        Ok(Self { opened, decoder, template, config, workspace, titles: OnceLock::new() })
    }

    /// Where the model is.
    #[getter]
    fn folder(&self) -> PathBuf {
        self.opened.folder.clone()
    }

    /// Numbers in the model.
    #[getter]
    fn n_parameters(&self) -> usize {
        self.opened.model.n_parameters()
    }

    /// Whether an adapter is on it.
    #[getter]
    fn has_adapter(&self) -> bool {
        self.opened.model.lora().is_some()
    }

    /// `config.json` as text.
    #[getter]
    fn config(&self) -> String {
        self.opened.model.config().to_json(StoredAs::F32.name()).to_string()
    }

    /// Prompt and completion of the template.
    #[getter]
    fn template(&self) -> (String, String) {
        let (prompt, completion) = self.template.source();
        (prompt.to_owned(), completion.to_owned())
    }

    /// Token numbers of a text.
    fn encode(&self, text: &str) -> PyResult<Vec<u32>> {
        self.opened.tokenizer.encode(text).map_err(raise)
    }

    /// The text of token numbers, without special tokens.
    fn decode(&self, ids: Vec<u32>) -> PyResult<String> {
        self.opened.tokenizer.decode(&ids, true).map_err(raise)
    }

    /// Continues texts, all together.
    #[pyo3(signature = (texts, max_new_tokens, temperature, top_k, top_p, min_p, repetition_penalty, seed, raw))]
    #[allow(clippy::too_many_arguments)] // Python names them.
    fn generate(
        &self,
        py: Python<'_>,
        texts: Vec<String>,
        max_new_tokens: usize,
        temperature: f32,
        top_k: usize,
        top_p: f32,
        min_p: f32,
        repetition_penalty: f32,
        seed: u64,
        raw: bool,
    ) -> PyResult<Vec<String>> {
        let config = GenerateConfig {
            max_new_tokens,
            sampling: Sampling { temperature, top_k, top_p, min_p, repetition_penalty },
            stop: vec![self.opened.model.config().eos],
            n_tokens: self.opened.tokenizer.n_tokens(),
            seed,
        };
        runner::run(py, None, |_| {
            let prompts = self.prompts(&texts, raw)?;
            let new = self.decoder.generate(&prompts, &config, &mut |_, _| {
                if runner::is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            new.iter()
                .map(|tokens| self.opened.tokenizer.decode(tokens, true))
                .collect::<Result<_, LmError>>()
        })?
        .map_err(raise)
    }

    /// The best continuations of a text by beam search, with their scores.
    fn beam_search(
        &self,
        py: Python<'_>,
        text: String,
        n_beams: usize,
        max_new_tokens: usize,
        raw: bool,
    ) -> PyResult<Vec<(String, f64)>> {
        let config = BeamConfig {
            n_beams,
            max_new_tokens,
            length_penalty: 1.0,
            stop: self.opened.model.config().eos,
            n_tokens: self.opened.tokenizer.n_tokens(),
        };
        runner::run(py, None, |_| {
            let prompts = self.prompts(&[text], raw)?;
            let found = self.decoder.beam_search(&prompts[0], &config)?;
            let of = |(tokens, score): (Vec<u32>, f64)| {
                Ok((self.opened.tokenizer.decode(&tokens, true)?.trim().to_owned(), score))
            };
            found.into_iter().map(of).collect::<Result<_, LmError>>()
        })?
        .map_err(raise)
    }

    /// For every text the most probable titles of the catalogue.
    #[pyo3(signature = (texts, k, n_beams, exact, progress=None))]
    fn find_titles(
        &self,
        py: Python<'_>,
        texts: Vec<String>,
        k: usize,
        n_beams: usize,
        exact: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<Found>> {
        const STEP: &str = "searching titles";
        runner::run(py, progress.as_ref(), |teller| -> PyResult<_> {
            let prompts = self.prompts(&texts, false).map_err(raise)?;
            let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
            let (catalogue, titles) = self.titles(longest)?;
            let search = TitleSearch { n_beams: n_beams.max(k), n_titles: k, exact };
            let mut all = Vec::with_capacity(prompts.len());
            for (at, prompt) in prompts.iter().enumerate() {
                if teller.tell(STEP, at as u64, prompts.len() as u64, "").is_break() {
                    return Err(raise(stopped(STEP)));
                }
                let found = self.decoder.find_titles(prompt, &titles.trie, search).map_err(raise)?;
                let of_title = |title: u32| {
                    let films = titles.films[title as usize].iter();
                    films.map(|&film| catalogue.films()[film].id.clone()).collect::<Vec<String>>()
                };
                let rows = found.iter().map(|found| {
                    let name = titles.names[found.title as usize].clone();
                    (name, of_title(found.title), found.log_probability)
                });
                all.push(rows.collect());
            }
            Ok(all)
        })?
    }

    /// Log-probabilities of the tokens of every completion after a prompt, both taken as they are.
    fn score(&self, py: Python<'_>, prompt: String, completions: Vec<String>) -> PyResult<Vec<Vec<f32>>> {
        runner::run(py, None, |_| {
            let prompt = self.opened.tokenizer.encode(&prompt)?;
            let completions: Vec<&str> = completions.iter().map(String::as_str).collect();
            let sequences = self.opened.tokenizer.encode_all(&completions)?;
            let sequences: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
            self.decoder.score(&prompt, &sequences)
        })?
        .map_err(raise)
    }

    /// Mean loss a token on films of a part of the catalogue: loss, tokens, films.
    #[pyo3(signature = (part, n_films, progress=None))]
    fn evaluate(
        &self,
        py: Python<'_>,
        part: &str,
        n_films: usize,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(f64, usize, usize)> {
        let asked = split_named(part)?;
        runner::run(py, progress.as_ref(), |teller| -> PyResult<_> {
            let catalogue = titlecard_engine::pipeline::load_films(&self.workspace).map_err(raise)?;
            let is_asked = |film: &&Film| -> bool {
                let split: Split = split_of(&film.id, &self.config.split);
                split == asked && self.template.fill(film).is_some()
            };
            let limit = if n_films == 0 { usize::MAX } else { n_films };
            let films: Vec<Film> = catalogue.films().iter().filter(is_asked).take(limit).cloned().collect();
            if films.is_empty() {
                return Err(PyValueError::new_err(format!(
                    "no film of the part `{part}` has the fields of the template; take another part"
                )));
            }
            let (tokenizer, end) = (&self.opened.tokenizer, self.opened.model.config().eos);
            let examples =
                Dataset::examples(&films, &self.template, tokenizer, end, self.context()).map_err(raise)?;
            let mut workspace = titlecard_lm::Workspace::new();
            let mut report = teller.report();
            let (loss, n_tokens) = titlecard_lm::train::mean_loss(
                &self.opened.model,
                &examples,
                self.config.lm.batch_tokens,
                &mut workspace,
                &mut |done, total| {
                    report(&Progress {
                        step: "scoring films",
                        done: done as u64,
                        total: total as u64,
                        note: "",
                    })
                },
            )
            .map_err(raise)?;
            Ok((loss, n_tokens, films.len()))
        })?
    }

    /// Writes the model, its adapter merged, and its tokenizer in Hugging Face layout.
    fn save(&self, py: Python<'_>, folder: PathBuf, dtype: &str) -> PyResult<()> {
        let stored = stored_as(dtype)?;
        runner::run(py, None, |_| -> Result<(), LmError> {
            if self.opened.model.lora().is_some() {
                return pipeline::merge(&self.opened, &folder, stored).map(|_| ());
            }
            self.opened.model.save(&folder, stored)?;
            self.opened.tokenizer.save(&folder)
        })?
        .map_err(raise)
    }
}
