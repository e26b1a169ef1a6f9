//! The steps of the pipeline over a working folder, each as one function.
//!
//! ```text
//! titlecard.toml            settings
//! data/films.jsonl.zst      the cleaned catalogue (prepare)
//! data/cleaning.json        what was kept, dropped and why
//! models/vectors.tcwv       word vectors (train word2vec)
//! models/vectors.tcsw       the same with vectors of character n-grams (train word2vec --subwords)
//! models/regressor-NAME.safetensors, .checkpoint   (train regressor)
//! models/encoder.tcse, encoder-fold-N.tcse          (train encoder)
//! models/rules.json         the rules that rank (train ranker)
//! models/lm/                a language model in Hugging Face layout (train lm); models/hub/ what was fetched
//! graph/                    the knowledge graph (graph build)
//! models/ranking.toml       tuned weights, read before titlecard.toml (train fusion)
//! graph/graph.tcg           the knowledge graph; summary.json beside it (graph build)
//! index/                    what search opens (index)
//! results/, plots/          tables and pictures (eval)
//! tmp/logs/                 full logs
//! ```

use std::borrow::Cow;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wordvec::WordVectors;
use wordvec::train::{Corpus, Phrases, SentenceSource, train, train_subwords};

use crate::artifact::{ArtifactError, Manifest, read_bytes, try_lock, write_atomically, write_bytes};
use crate::catalogue::{
    Catalogue, CatalogueError, CleaningReport, Film, FilmWriter, Joined, ReadOptions, Sources, Split,
    load_prepared, read_films, split_of,
};
use crate::config::{Config, ConfigError};
use crate::embedding::{Embedder, EmbeddingError};
use crate::eval::tasks::{EvalError, NamedRegressor, Tuned};
use crate::graph::{self, Graph, GraphError, GraphSummary, Lists};
use crate::index::{Encoded, IndexError, SearchIndex, word_tokenizer};
use crate::progress::{Interrupted, Progress, Report, tell};
use crate::query::Lexicon;
use crate::rank::learn::{LearnError, Learned};
use crate::rank::ranker::{Ranker, RankerError};
use crate::rank::training::List;
use crate::rank::{self, Knowledge};
use crate::regressor::{Regressor, RegressorError, Trained, Trainer, TrainingSet};
use crate::sample;
use crate::search::Engine;
use crate::text::Tokenizer;
use crate::titles::{self, TitleIndex};

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// Settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Reading or writing a file of the working folder.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// Reading the catalogue.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// Reading or training word vectors.
    #[error("word vectors: {0}")]
    WordVectors(#[from] wordvec::WordVecError),
    /// The file of word vectors named in the settings is not there.
    #[error(
        "the word vectors `{}` do not exist; set `vectors.path` to a word2vec, GloVe or fastText file, \
         or leave it empty and train them with `titlecard train word2vec`",
        path.display()
    )]
    NoVectors {
        /// The file.
        path: PathBuf,
    },
    /// A picture of no format that can be written.
    #[error("`{}` is not the name of a picture that can be drawn; end it in `.svg` or `.png`", path.display())]
    PictureName {
        /// The file.
        path: PathBuf,
    },
    /// The vectors do not fit the catalogue.
    #[error(transparent)]
    Embedding(#[from] EmbeddingError),
    /// Training or loading the regressor.
    #[error(transparent)]
    Regressor(#[from] RegressorError),
    /// Building or opening the graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Building or opening the index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Evaluation.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// Learning rules.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// The rules of the working folder cannot rank.
    #[error("`{}`: {source}", path.display())]
    RuleFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: RankerError,
    },
    /// There is no graph where one is needed.
    #[error("there is no knowledge graph; make it with `titlecard graph build`")]
    NoGraph,
    /// A name that cannot be part of a file name.
    #[error("the name `{name}` is not usable; take letters, digits, `-` and `_`")]
    BadName {
        /// The name.
        name: String,
    },
    /// Another process writes into the working folder.
    #[error(
        "another `titlecard` is writing into `{}`; wait until it has ended (searching goes on meanwhile)",
        root.display()
    )]
    Busy {
        /// The working folder.
        root: PathBuf,
    },
    /// A copy that cannot be made.
    #[error("{what}")]
    Backup {
        /// Why, and what to do.
        what: String,
    },
    /// Stopped from outside.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Name of the regressor that goes into the index.
pub const DEFAULT_REGRESSOR: &str = "default";
const PREPARE: &str = "titlecard prepare";

/// A working folder.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The folder `root`; it is made when something is written into it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Settings file.
    pub fn settings(&self) -> PathBuf {
        self.root.join("titlecard.toml")
    }

    /// Weights written by `train fusion`.
    pub fn ranking(&self) -> PathBuf {
        self.root.join("models/ranking.toml")
    }

    /// The cleaned catalogue.
    pub fn films(&self) -> PathBuf {
        self.root.join("data/films.jsonl.zst")
    }

    /// The cleaning report as JSON.
    pub fn cleaning(&self) -> PathBuf {
        self.root.join("data/cleaning.json")
    }

    /// Word vectors trained on the catalogue.
    pub fn vectors(&self) -> PathBuf {
        self.root.join("models/vectors.tcwv")
    }

    /// Vectors of words and character n-grams, if they were learned.
    pub fn subwords(&self) -> PathBuf {
        self.root.join("models/vectors.tcsw")
    }

    /// A trained regressor.
    pub fn regressor(&self, name: &str) -> PathBuf {
        self.root.join(format!("models/regressor-{name}.safetensors"))
    }

    /// State of a regressor's training after its last whole epoch.
    pub fn checkpoint(&self, name: &str) -> PathBuf {
        self.root.join(format!("models/regressor-{name}.checkpoint"))
    }

    /// The knowledge graph.
    pub fn graph(&self) -> PathBuf {
        self.root.join("graph/graph.tcg")
    }

    /// Names of the graph's entities, ready to be found in questions.
    pub fn names(&self) -> PathBuf {
        self.root.join("graph/names.tclx")
    }

    /// Original titles that differ from the titles, as JSON.
    pub fn other_titles(&self) -> PathBuf {
        self.root.join("graph/other_titles.json")
    }

    /// Phrases that stand for keywords, by which the films of changes are read.
    pub fn graph_lists(&self) -> PathBuf {
        self.root.join("graph/phrases.json")
    }

    /// What the graph came to, as JSON.
    pub fn graph_summary(&self) -> PathBuf {
        self.root.join("graph/summary.json")
    }

    /// The rules that rank.
    pub fn rules(&self) -> PathBuf {
        self.root.join("models/rules.json")
    }

    /// The language model.
    pub fn language_model(&self) -> PathBuf {
        self.root.join("models/lm")
    }

    /// Folder of models that were fetched.
    pub fn fetched_models(&self) -> PathBuf {
        self.root.join("models/hub")
    }

    /// Index folder.
    pub fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    /// Folder of result tables.
    pub fn results(&self) -> PathBuf {
        self.root.join("results")
    }

    /// Folder of plots.
    pub fn plots(&self) -> PathBuf {
        self.root.join("plots")
    }

    /// Folder of log files.
    pub fn logs(&self) -> PathBuf {
        self.root.join("tmp/logs")
    }

    /// The file that is locked by whoever writes catalogue, word vectors, graph or index.
    pub fn lock_file(&self) -> PathBuf {
        self.root.join(".lock")
    }

    /// The right to write catalogue, word vectors, graph and index, to be held from reading what they are made of to
    /// their end. Readers need none.
    ///
    /// # Errors
    /// [`PipelineError::Busy`] if another process, or another part of this one, has it.
    pub fn lock(&self) -> Result<WorkspaceLock, PipelineError> {
        match try_lock(&self.lock_file())? {
            Some(file) => Ok(WorkspaceLock { _file: file }),
            None => Err(PipelineError::Busy { root: self.root.clone() }),
        }
    }

    /// [`Workspace::lock`] as soon as nobody else has it. `report` is told again and again that it waits.
    ///
    /// # Errors
    /// [`PipelineError::Interrupted`] if told to stop.
    pub fn lock_when_free(&self, report: &mut Report<'_>) -> Result<WorkspaceLock, PipelineError> {
        loop {
            match self.lock() {
                Err(PipelineError::Busy { .. }) => tell(report, "waiting for another `titlecard`", 0, 0, "")?,
                result => return result,
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The right to write, see [`Workspace::lock`]; given back when dropped, or when the process ends in whatever way.
#[derive(Debug)]
pub struct WorkspaceLock {
    _file: fs::File,
}

/// Reads and cleans the catalogue named in the settings, or the sample inside the program.
///
/// # Errors
/// [`PipelineError`]; the old prepared catalogue is then as it was.
pub fn prepare(
    workspace: &Workspace,
    config: &Config,
    report: &mut Report<'_>,
) -> Result<CleaningReport, PipelineError> {
    let mut options = ReadOptions {
        columns: config.catalogue.columns.clone(),
        limit: (config.catalogue.limit > 0).then_some(config.catalogue.limit),
        keep_adult: config.catalogue.keep_adult,
        member: config.catalogue.member.clone(),
        max_unpacked: config.catalogue.max_unpacked_mb.saturating_mul(1 << 20),
    };
    let mut path = config.catalogue.path.clone();
    let target = workspace.films();
    let mut writer = FilmWriter::create(&target)?;
    let mut joined = Joined::default();
    for path in &config.catalogue.join {
        tell(report, "reading files to join", 0, 0, path)?;
        joined.read(Path::new(path))?;
    }
    let declared = config.catalogue.sources();
    let mut sources =
        Sources::read(&declared, options.max_unpacked, options.keep_adult, &mut |note, done, total| {
            report(&Progress { step: "reading sources", done, total, note })
        })?;
    if let Some(first) = sources.first() {
        path.clone_from(&first.path);
        options.member.clone_from(&first.member);
        options.columns.clone_from(&first.columns);
    }
    let mut read = |on_film: &mut dyn FnMut(Film) -> ControlFlow<()>, step: &'static str| {
        let mut on_bytes = |done: u64, total: u64| report(&Progress { step, done, total, note: "" });
        if path.is_empty() {
            sample::read_films(&options, on_film)
        } else {
            read_films(Path::new(&path), &options, on_film, &mut on_bytes)
        }
    };
    if joined.looks_at_titles() || sources.looks_at_titles() {
        let mut on_film = |film: Film| {
            joined.look(&film);
            sources.look(&film);
            ControlFlow::Continue(())
        };
        read(&mut on_film, "looking up titles to join")?;
        joined.find_by_title();
        sources.find_by_title();
    }
    let mut failure = None;
    let mut on_film = |mut film: Film| match writer.write({
        sources.fill(&mut film);
        joined.fill(&mut film);
        &film
    }) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    };
    let mut cleaning = read(&mut on_film, "reading catalogue")?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    for mut film in sources.remaining() {
        joined.fill(&mut film);
        writer.write(&film)?;
    }
    if config.catalogue.join_adds {
        for film in joined.remaining() {
            writer.write(&film)?;
        }
    }
    cleaning.sources = sources.reports(cleaning.rows_read, cleaning.kept);
    writer.finish()?;
    cleaning.joined = joined.reports().to_vec();
    let json = serde_json::to_vec_pretty(&cleaning)
        .map_err(|error| ArtifactError::io("write", &workspace.cleaning())(std::io::Error::other(error)))?;
    write_bytes(&workspace.cleaning(), &json)?;
    Ok(cleaning)
}

/// Loads the cleaned catalogue.
///
/// # Errors
/// [`PipelineError::Artifact`] naming `titlecard prepare` if it is not there.
pub fn load_films(workspace: &Workspace) -> Result<Catalogue, PipelineError> {
    let path = workspace.films();
    if !path.exists() {
        return Err(ArtifactError::Missing { path, command: PREPARE }.into());
    }
    Ok(load_prepared(&path)?)
}

/// Writes films as the cleaned catalogue.
///
/// # Errors
/// [`PipelineError`]; the old catalogue is then as it was.
pub fn write_films<'f>(
    workspace: &Workspace,
    films: impl IntoIterator<Item = &'f Film>,
) -> Result<(), PipelineError> {
    let mut writer = FilmWriter::create(&workspace.films())?;
    films.into_iter().try_for_each(|film| writer.write(film))?;
    Ok(writer.finish()?)
}

/// Moves catalogue, graph and index of `from` into `to`, both on one file system. What was moved already is left
/// alone, so a run that was cut off half-way is ended by a second one; until then `to` is not to be opened.
///
/// # Errors
/// [`PipelineError::Artifact`].
pub fn publish(from: &Workspace, to: &Workspace) -> Result<(), PipelineError> {
    for (new, old) in [
        (from.films(), to.films()),
        (from.graph(), to.graph()),
        (from.names(), to.names()),
        (from.graph_lists(), to.graph_lists()),
        (from.graph_summary(), to.graph_summary()),
        (from.other_titles(), to.other_titles()),
    ] {
        if new.exists() {
            move_file(&new, &old)?;
        }
    }
    SearchIndex::publish(&from.index(), &to.index())?;
    Ok(())
}

fn move_file(from: &Path, to: &Path) -> Result<(), ArtifactError> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(ArtifactError::io("create folder", folder))?;
    }
    fs::rename(from, to).map_err(ArtifactError::io("rename into", to))?;
    if let Some(folder) = to.parent() {
        crate::artifact::sync_folder(folder);
    }
    Ok(())
}

/// What a training of word vectors came to.
#[derive(Debug, Clone, PartialEq)]
pub struct WordVectorSummary {
    /// Words with a vector.
    pub n_words: usize,
    /// Components of a vector.
    pub dim: usize,
    /// Words of text read, an epoch.
    pub n_tokens: u64,
    /// Pairs of words that were joined where they meet, all passes together.
    pub n_phrases: usize,
    /// Seconds of training.
    pub seconds: f64,
    /// The file written.
    pub path: PathBuf,
}

/// Trains word vectors on tags and titles of the catalogue.
///
/// Titles are sentences of their own: a title never meets the tags of its film, so the vectors know
/// nothing of which title belongs to which tags, and held-out films stay held out.
///
/// # Errors
/// [`PipelineError`]; older vectors are then as they were.
pub fn train_word_vectors(
    workspace: &Workspace,
    config: &Config,
    films: &[Film],
    report: &mut Report<'_>,
) -> Result<WordVectorSummary, PipelineError> {
    let settings = &config.vectors;
    let tokenizer = word_tokenizer(config);
    let interrupted = |error| match error {
        wordvec::WordVecError::Interrupted => {
            PipelineError::Interrupted(Interrupted { step: "training word vectors" })
        }
        error => error.into(),
    };
    let mut phrases = Vec::new();
    for _ in 0..settings.phrases {
        let mut source = FilmText { films, tokenizer, phrases: &phrases, report };
        let found = Phrases::learn(&mut source, &settings.phrase_training()).map_err(interrupted)?;
        phrases.push(found);
    }
    tell(report, "reading text", 0, films.len(), "")?;
    let sentences = texts_of(films).map(|text| joined(tokenizer.tokens(text), &phrases));
    let max_vocab = (settings.max_vocab > 0).then_some(settings.max_vocab);
    let corpus = Corpus::from_sentences(sentences, settings.min_count, max_vocab)?;
    let training = settings.training(config.run.seed, config.n_threads());
    let mut on_progress = |progress: &wordvec::train::TrainingProgress| {
        let note = format!("loss {:.4}", progress.mean_loss);
        report(&Progress {
            step: "training word vectors",
            done: progress.tokens_done,
            total: progress.tokens_total,
            note: &note,
        })
    };
    let started = Instant::now();
    let (vectors, subwords) = if let Some(subwords) = settings.subword_training() {
        let trained = train_subwords(&corpus, &training, &subwords, &mut on_progress).map_err(interrupted)?;
        (trained.vectors().clone(), Some(trained))
    } else {
        (train(&corpus, &training, &mut on_progress).map_err(interrupted)?, None)
    };
    let seconds = started.elapsed().as_secs_f64();
    let path = workspace.vectors();
    save_word_vectors(&vectors, &path)?;
    let of_subwords = workspace.subwords();
    match subwords {
        Some(subwords) => subwords.save(&of_subwords)?,
        // N-grams of an earlier training would belong to other vectors.
        None if of_subwords.exists() => {
            fs::remove_file(&of_subwords).map_err(ArtifactError::io("remove", &of_subwords))?;
        }
        None => {}
    }
    Ok(WordVectorSummary {
        n_words: vectors.len(),
        dim: vectors.dim(),
        n_tokens: corpus.n_tokens(),
        n_phrases: phrases.iter().map(Phrases::len).sum(),
        seconds,
        path,
    })
}

/// The sentences word vectors are learned from.
fn texts_of(films: &[Film]) -> impl Iterator<Item = &str> {
    films.iter().flat_map(|film| [film.tags.as_str(), film.title.as_str()])
}

/// A sentence with the phrases of every pass joined.
fn joined(tokens: Vec<String>, phrases: &[Phrases]) -> Vec<String> {
    phrases.iter().fold(tokens, |tokens, phrases| {
        let words: Vec<&str> = tokens.iter().map(String::as_str).collect();
        phrases.join(&words).into_iter().map(Cow::into_owned).collect()
    })
}

/// The films' texts, gone through again for every pass over the phrases.
struct FilmText<'f, 'r, 'c> {
    films: &'f [Film],
    tokenizer: Tokenizer,
    phrases: &'f [Phrases],
    report: &'r mut Report<'c>,
}

impl SentenceSource for FilmText<'_, '_, '_> {
    fn for_each(
        &mut self,
        with: &mut dyn FnMut(&[&str]) -> Result<(), wordvec::WordVecError>,
    ) -> Result<(), wordvec::WordVecError> {
        for (at, part) in self.films.chunks(REPORT_FILMS).enumerate() {
            tell(self.report, "finding phrases", at * REPORT_FILMS, self.films.len(), "")
                .map_err(|_| wordvec::WordVecError::Interrupted)?;
            for text in texts_of(part) {
                let tokens = joined(self.tokenizer.tokens(text), self.phrases);
                with(&tokens.iter().map(String::as_str).collect::<Vec<&str>>())?;
            }
        }
        Ok(())
    }
}

/// Films between two reports of progress.
const REPORT_FILMS: usize = 4096;

/// Writes vectors in our own format, 8 bits a component.
fn save_word_vectors(vectors: &WordVectors, path: &Path) -> Result<(), PipelineError> {
    write_atomically(path, |out| {
        wordvec::write::write_tcwv(vectors, wordvec::write::Precision::Int8, out).map_err(PipelineError::from)
    })
}

/// The word vectors to use: the file in the settings, else those trained here, else the small ones
/// inside the program. The second value says in words where they are from.
///
/// # Errors
/// [`PipelineError`] if a file is missing or damaged.
pub fn load_word_vectors(
    workspace: &Workspace,
    config: &Config,
) -> Result<(WordVectors, String), PipelineError> {
    let own = workspace.vectors();
    let path = if config.vectors.path.is_empty() { own } else { PathBuf::from(&config.vectors.path) };
    if path.exists() {
        let options = wordvec::read::ReadOptions {
            limit: (config.vectors.limit > 0).then_some(config.vectors.limit),
            ..wordvec::read::ReadOptions::default()
        };
        let (vectors, read) = wordvec::read::read_path(&path, &options)?;
        tracing::info!(path = %path.display(), ?read, "read word vectors");
        return Ok((vectors, format!("`{}`", path.display())));
    }
    if !config.vectors.path.is_empty() {
        return Err(PipelineError::NoVectors { path });
    }
    Ok((sample::word_vectors()?, "the small vectors inside the program".to_owned()))
}

/// Word vectors of the working folder, ready to embed the texts of `films`.
///
/// # Errors
/// [`PipelineError`].
pub fn embedder(workspace: &Workspace, config: &Config, films: &[Film]) -> Result<Embedder, PipelineError> {
    let (vectors, origin) = load_word_vectors(workspace, config)?;
    tracing::info!(n_words = vectors.len(), dim = vectors.dim(), from = origin, "word vectors");
    let texts: Vec<&str> = films.iter().map(|film| film.tags.as_str()).collect();
    Ok(Embedder::fit(Arc::new(vectors), word_tokenizer(config), &texts)?)
}

/// What a training of the regressor came to.
#[derive(Debug, Clone)]
pub struct RegressorSummary {
    /// Net and history.
    pub trained: Trained,
    /// Films it was fitted to.
    pub n_train: usize,
    /// Films it was stopped by.
    pub n_dev: usize,
    /// Films left out for want of a known word in title or tags.
    pub n_dropped: usize,
    /// Seconds of training.
    pub seconds: f64,
    /// The file written.
    pub path: PathBuf,
}

/// Trains the title regressor on the training films and saves it under `name`.
///
/// # Errors
/// [`PipelineError`]; an older model of the name is then as it was, and the checkpoint of the last
/// whole epoch stays for `resume`.
pub fn train_regressor(
    workspace: &Workspace,
    config: &Config,
    films: &[Film],
    name: &str,
    resume: bool,
    report: &mut Report<'_>,
) -> Result<RegressorSummary, PipelineError> {
    check_name(name)?;
    let embedder = embedder(workspace, config, films)?;
    let of = |split: Split| -> Vec<&Film> {
        films.iter().filter(|film| split_of(&film.id, &config.split) == split).collect()
    };
    tell(report, "embedding films", 0, films.len(), "")?;
    let set = TrainingSet::embed(&embedder, &config.regressor, &of(Split::Train), &of(Split::Dev));
    let mut trainer = Trainer::new(&set, &config.regressor, config.run.seed)?;
    let checkpoint = workspace.checkpoint(name);
    if resume {
        trainer = trainer.resume(&read_bytes(&checkpoint, "titlecard train regressor")?)?;
    }
    let started = Instant::now();
    let trained =
        trainer.run(report, |bytes| write_bytes(&checkpoint, bytes).map_err(PipelineError::from))?;
    let seconds = started.elapsed().as_secs_f64();
    let path = workspace.regressor(name);
    write_bytes(&path, &trained.regressor.to_bytes()?)?;
    if let Err(error) = fs::remove_file(&checkpoint) {
        tracing::debug!(%error, "no checkpoint to remove");
    }
    Ok(RegressorSummary {
        n_train: set.train.tags.rows(),
        n_dev: set.dev.tags.rows(),
        n_dropped: set.n_dropped,
        trained,
        seconds,
        path,
    })
}

fn check_name(name: &str) -> Result<(), PipelineError> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || !name.chars().all(good) {
        return Err(PipelineError::BadName { name: name.to_owned() });
    }
    Ok(())
}

/// Loads the regressor saved under `name`.
///
/// # Errors
/// [`PipelineError`].
pub fn load_regressor(workspace: &Workspace, name: &str) -> Result<Regressor, PipelineError> {
    let bytes = read_bytes(&workspace.regressor(name), "titlecard train regressor")?;
    Ok(Regressor::from_bytes(&bytes)?)
}

/// All saved regressors, the default one first, the others by name.
///
/// # Errors
/// [`PipelineError`].
pub fn load_regressors(workspace: &Workspace) -> Result<Vec<NamedRegressor>, PipelineError> {
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(workspace.root.join("models")).into_iter().flatten().flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        if let Some(name) = file.strip_prefix("regressor-").and_then(|rest| rest.strip_suffix(".safetensors"))
        {
            names.push(name.to_owned());
        }
    }
    names.sort_by_key(|name| (name != DEFAULT_REGRESSOR, name.clone()));
    names
        .into_iter()
        .map(|name| Ok(NamedRegressor { regressor: load_regressor(workspace, &name)?, name }))
        .collect()
}

/// Builds the index of the working folder from catalogue, vectors and the default regressor.
///
/// # Errors
/// [`PipelineError`]; the old index is then as it was.
pub fn build_index(
    workspace: &Workspace,
    config: &Config,
    films: &[Film],
    report: &mut Report<'_>,
) -> Result<(), PipelineError> {
    let regressor = load_regressor(workspace, DEFAULT_REGRESSOR)?;
    let embedder = embedder(workspace, config, films)?;
    if embedder.dim() != regressor.dim() {
        return Err(RegressorError::Unusable(format!(
            "it was trained on vectors of {} dimensions, the word vectors now have {}",
            regressor.dim(),
            embedder.dim()
        ))
        .into());
    }
    let encoder = if crate::encoder::encoder_path(workspace).exists() {
        Some(crate::encoder::open(workspace)?)
    } else {
        None
    };
    SearchIndex::build(&workspace.index(), films, &embedder, &regressor, encoder.as_ref(), config, report)?;
    Ok(())
}

/// Vectors of all films by the encoders of the folds, in their order; none if none were trained.
///
/// # Errors
/// [`PipelineError`] if a file is damaged.
pub fn fold_encoders(workspace: &Workspace, films: &[Film]) -> Result<Vec<Encoded>, PipelineError> {
    let mut folds = Vec::new();
    loop {
        let path = crate::encoder::fold_path(workspace, folds.len());
        if !path.exists() {
            return Ok(folds);
        }
        let encoder = wordvec::encoder::StaticEncoder::open(&path)?;
        folds.push(Encoded::of_films(encoder, films).map_err(IndexError::from)?);
    }
}

/// Builds the knowledge graph of the catalogue.
///
/// # Errors
/// [`PipelineError`]; the old graph is then as it was.
pub fn build_graph(
    workspace: &Workspace,
    config: &Config,
    films: &[Film],
    report: &mut Report<'_>,
) -> Result<GraphSummary, PipelineError> {
    tell(report, "building the graph", 0, films.len(), "lists")?;
    let lists = Lists::learn(films, &config.graph)?;
    let summary = graph::build_by(&workspace.graph(), films, &lists, &config.graph, report)?;
    lists.save(&workspace.graph_lists())?;
    Lexicon::of_graph(&open_graph(workspace, None)?).save(&workspace.names())?;
    let path = workspace.graph_summary();
    let mut json = serde_json::to_vec_pretty(&summary)
        .map_err(|error| ArtifactError::io("write", &path)(std::io::Error::other(error)))?;
    json.push(b'\n');
    write_bytes(&path, &json)?;
    titles::write_other_titles(films, &workspace.other_titles())?;
    Ok(summary)
}

/// The titles of the catalogue, ready to be searched; `graph` is its graph. Original titles come from
/// [`build_graph`], how well films are known from the index, if there is one.
///
/// # Errors
/// [`PipelineError`] naming the command that remakes what is damaged.
pub fn open_titles(workspace: &Workspace, graph: &Graph) -> Result<TitleIndex, PipelineError> {
    let path = workspace.other_titles();
    let others = if path.exists() { titles::read_other_titles(&path)? } else { Vec::new() };
    let folder = workspace.index();
    let facts = if folder.exists() { Some(SearchIndex::open_facts(&folder)?) } else { None };
    Ok(TitleIndex::new(graph, &others, facts.as_ref()))
}

/// Opens the knowledge graph of the working folder; `index` is the index it is used with, if there is one.
///
/// # Errors
/// [`PipelineError::Graph`] if it is missing, damaged, or of other films than the index.
pub fn open_graph(workspace: &Workspace, index: Option<&Manifest>) -> Result<Graph, PipelineError> {
    let graph = Graph::open(&workspace.graph())?;
    if let Some(index) = index {
        check_same_films(workspace, &graph, index)?;
    }
    Ok(graph)
}

/// Film numbers of graph and index must mean the same.
fn check_same_films(workspace: &Workspace, graph: &Graph, index: &Manifest) -> Result<(), GraphError> {
    if index.is_of(graph.film_ids()) {
        return Ok(());
    }
    let (found, expected) = (graph.n_films(), index.n_films);
    Err(GraphError::OtherCatalogue { path: workspace.graph(), found, expected })
}

/// What the texts of changed films are read by, for [`crate::update::update`]; `graph` is that of the working folder.
///
/// # Errors
/// [`PipelineError::Graph`] if it is missing or damaged.
pub fn open_lists(workspace: &Workspace, config: &Config, graph: &Graph) -> Result<Lists, PipelineError> {
    Ok(Lists::open(&workspace.graph_lists(), graph, &config.graph)?)
}

/// Learns the rules that rank from lists of candidates and saves them.
///
/// # Errors
/// [`PipelineError`]; older rules are then as they were.
pub fn train_ranker(
    workspace: &Workspace,
    config: &Config,
    lists: &[List],
    report: &mut Report<'_>,
) -> Result<Learned, PipelineError> {
    let learned =
        rank::learn::learn(lists, &config.ranker, config.run.seed, report).map_err(|error| match error {
            LearnError::Interrupted(stopped) => PipelineError::Interrupted(stopped),
            error => error.into(),
        })?;
    write_bytes(&workspace.rules(), learned.ranker.rules().to_json().as_bytes())?;
    Ok(learned)
}

/// The rules of the working folder, if there are any.
///
/// # Errors
/// [`PipelineError::RuleFile`] if they cannot rank.
pub fn load_rules(workspace: &Workspace) -> Result<Option<Ranker>, PipelineError> {
    let path = workspace.rules();
    if !path.exists() {
        return Ok(None);
    }
    let bytes = read_bytes(&path, "titlecard train ranker")?;
    Ranker::from_json(&String::from_utf8_lossy(&bytes))
        .map(Some)
        .map_err(|source| PipelineError::RuleFile { path, source })
}

/// The graph with its names: those saved beside it, or where there are none of this graph, made anew.
fn open_knowledge(workspace: &Workspace, config: &Config) -> Result<Knowledge, PipelineError> {
    let graph = open_graph(workspace, None)?;
    let names = Lexicon::open(&workspace.names(), &graph)?.unwrap_or_else(|| Lexicon::of_graph(&graph));
    Ok(Knowledge::with_names(graph, names, &config.search))
}

/// Opens the index with the weights of the settings.
///
/// # Errors
/// [`PipelineError`] naming the command that makes what is missing.
pub fn open_engine(workspace: &Workspace, config: &Config) -> Result<Engine, PipelineError> {
    // Names that have to be put in order anew would otherwise double the time.
    let (index, knowledge) = std::thread::scope(|scope| {
        let has_graph = workspace.graph().exists();
        let knowledge = scope.spawn(move || has_graph.then(|| open_knowledge(workspace, config)).transpose());
        (SearchIndex::open(&workspace.index(), false), knowledge.join())
    });
    let engine = Engine::new(index?, config.lexical, config.fusion);
    let Some(knowledge) = knowledge.unwrap_or(Ok(None))? else { return Ok(engine) };
    check_same_films(workspace, knowledge.graph(), &engine.index().manifest)?;
    let engine = engine.with_knowledge(knowledge);
    Ok(match load_rules(workspace)? {
        Some(ranker) => engine.with_ranker(ranker),
        None => engine,
    })
}

/// Writes tuned weights where [`Workspace::ranking`] says, as settings.
///
/// # Errors
/// [`PipelineError::Artifact`].
pub fn save_tuned(workspace: &Workspace, tuned: &Tuned) -> Result<PathBuf, PipelineError> {
    let path = workspace.ranking();
    write_atomically(&path, |out| -> Result<(), PipelineError> {
        let text = tuned.to_toml();
        out.write_all(text.as_bytes()).map_err(ArtifactError::io("write", &path))?;
        Ok(())
    })?;
    Ok(path)
}

impl Tuned {
    /// The weights as a settings file.
    pub fn to_toml(&self) -> String {
        let (fields, parts) = (&self.lexical.weights, &self.fusion);
        format!(
            "# Written by `titlecard train fusion` from {} training queries; titlecard.toml wins over it.\n\
             # MRR among candidates: fields {:.4} before, {:.4} tuned; parts {:.4} before, {:.4} tuned.\n\
             [lexical.weights]\ntitle = {:?}\ntags = {:?}\noverview = {:?}\npeople = {:?}\nkeywords = {:?}\nplot = {:?}\n\n\
             [fusion]\nlexical = {:?}\nplot = {:?}\nencoder = {:?}\nplot_encoder = {:?}\nvectors = {:?}\n\
             regression = {:?}\npopularity = {:?}\ntime = {:?}\n",
            self.n_queries,
            self.field_mrr.0,
            self.field_mrr.1,
            self.fusion_mrr.0,
            self.fusion_mrr.1,
            fields.title,
            fields.tags,
            fields.overview,
            fields.people,
            fields.keywords,
            fields.plot,
            parts.lexical,
            parts.plot,
            parts.encoder,
            parts.plot_encoder,
            parts.vectors,
            parts.regression,
            parts.popularity,
            parts.time,
        )
    }
}
