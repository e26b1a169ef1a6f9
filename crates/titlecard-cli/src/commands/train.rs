//! `titlecard train`: word vectors, the title regressor, the weights of the parts, a language model.

use std::path::PathBuf;

use clap::ValueEnum;
use titlecard_engine::catalogue::Split;
use titlecard_engine::config::VectorMode;
use titlecard_engine::embedding::Pooling;
use titlecard_engine::eval::queries::read_queries;
use titlecard_engine::eval::tasks::KnownItem;
use titlecard_engine::pipeline::{self, DEFAULT_REGRESSOR};
use titlecard_engine::rank::training::{Sampling, build_lists, write_lists};
use titlecard_engine::regressor::RegressorConfig;
use titlecard_engine::sample;

use super::{lm, vectors};
use crate::Outcome;
use crate::session::{Session, SessionArguments};

/// What to train.
#[derive(clap::Subcommand)]
pub(crate) enum Arguments {
    /// Word vectors: skip-gram or CBOW on the catalogue's texts
    Word2vec(Word2vecArguments),
    /// The text encoder: token vectors and weights, on questions and films
    Encoder(vectors::EncoderArguments),
    /// The net that predicts a title's vector from the vector of the tags
    Regressor(RegressorArguments),
    /// Field weights and weights of the parts, on training queries
    Fusion(FusionArguments),
    /// The rules that rank, on training queries
    Ranker(RankerArguments),
    /// A language model (GPT-NeoX, Pythia): from descriptions to titles, or the other way
    Lm(lm::TrainArguments),
}

/// Word vectors.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  titlecard train word2vec\n  titlecard train word2vec --dim 100 --epochs 10\n  \
                  titlecard train word2vec --architecture cbow --subwords --mode fast\n  \
                  titlecard train word2vec --phrases 2 --set vectors.phrase_threshold=20\n\n\
                  More settings: `vectors.*` in `titlecard config`"
)]
pub(crate) struct Word2vecArguments {
    /// Components of a vector (setting `vectors.dim`, default 200)
    #[arg(long, value_name = "N")]
    dim: Option<usize>,
    /// Passes over the text (setting `vectors.epochs`, default 5)
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// A word predicts its neighbours, or their mean the word (setting `vectors.architecture`,
    /// default skip-gram)
    #[arg(long, value_name = "NAME", value_parser = ["skip-gram", "cbow"])]
    architecture: Option<String>,
    /// What is learned of a prediction (setting `vectors.objective`, default negative-sampling)
    #[arg(long, value_name = "NAME", value_parser = ["negative-sampling", "hierarchical-softmax"])]
    objective: Option<String>,
    /// `reproducible`: the same bytes for the same seed on any number of threads; of these trainings
    /// only skip-gram with negative sampling uses more than one. `fast`: all threads, and no two
    /// trainings give the same bytes (setting `vectors.mode`, default reproducible)
    #[arg(long, value_name = "NAME", value_parser = ["reproducible", "fast"])]
    mode: Option<String>,
    /// Learn vectors of character n-grams too, into `models/vectors.tcsw`: `vectors nearest` then
    /// knows words that were never seen (setting `vectors.subwords`)
    #[arg(long)]
    subwords: bool,
    /// Join pairs of words that belong together (`new_york`) this many times, at most 4
    /// (setting `vectors.phrases`, default 0). Phrases have vectors of their own; the texts of
    /// films are looked up word by word all the same
    #[arg(long, value_name = "N")]
    phrases: Option<usize>,
}

/// Title regressor.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard train regressor\n  \
                        titlecard train regressor --preset original-mean --name original-mean")]
pub(crate) struct RegressorArguments {
    /// Name of the model; the one called `default` goes into the index
    #[arg(long, value_name = "NAME", default_value = DEFAULT_REGRESSOR)]
    name: String,
    /// Settings to begin with; settings given elsewhere win
    #[arg(long, value_enum, default_value_t = Preset::Default)]
    preset: Preset,
    /// Passes over the training films, at most (setting `regressor.epochs`, default 20)
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Go on after the last whole epoch of a training that was stopped
    #[arg(long)]
    resume: bool,
}

/// Sets of settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    /// SIF vectors, in-batch contrastive loss, cosine
    Default,
    /// The research project's: mean of word vectors, L1 loss, L1 distance, SGD
    OriginalMean,
    /// The research project's with max-abs pooling
    OriginalMaxAbs,
}

impl Preset {
    /// Name a model of these settings is saved under.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => DEFAULT_REGRESSOR,
            Self::OriginalMean => "original-mean",
            Self::OriginalMaxAbs => "original-max-abs",
        }
    }

    /// Puts the settings into the session; those set by the user stay.
    pub(crate) fn apply(self, session: &mut Session) -> anyhow::Result<()> {
        match self {
            Self::Default => Ok(()),
            Self::OriginalMean => session.apply_regressor_preset(&RegressorConfig::original(Pooling::Mean)),
            Self::OriginalMaxAbs => {
                session.apply_regressor_preset(&RegressorConfig::original(Pooling::MaxAbs))
            }
        }
    }
}

/// Weights.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard train fusion --queries train.jsonl.zst")]
pub(crate) struct FusionArguments {
    /// Queries to tune on (JSON lines); those marked dev or test are left out
    /// [default: the training queries of the sample]
    #[arg(long, value_name = "FILE")]
    queries: Vec<PathBuf>,
}

pub(crate) fn run(arguments: Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    match arguments {
        Arguments::Word2vec(arguments) => word2vec(&arguments, session),
        Arguments::Encoder(arguments) => vectors::train_encoder(&arguments, session),
        Arguments::Regressor(arguments) => regressor(&arguments, session),
        Arguments::Fusion(arguments) => fusion(&arguments, session),
        Arguments::Ranker(arguments) => ranker(&arguments, session),
        Arguments::Lm(arguments) => lm::train(&arguments, session),
    }
}

fn word2vec(arguments: &Word2vecArguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let mut overrides = Vec::new();
    if let Some(dim) = arguments.dim {
        overrides.push(("--dim", "vectors.dim", dim.to_string()));
    }
    if let Some(epochs) = arguments.epochs {
        overrides.push(("--epochs", "vectors.epochs", epochs.to_string()));
    }
    for (flag, key, value) in [
        ("--architecture", "vectors.architecture", &arguments.architecture),
        ("--objective", "vectors.objective", &arguments.objective),
        ("--mode", "vectors.mode", &arguments.mode),
    ] {
        overrides.extend(value.clone().map(|value| (flag, key, value)));
    }
    if arguments.subwords {
        overrides.push(("--subwords", "vectors.subwords", true.to_string()));
    }
    if let Some(phrases) = arguments.phrases {
        overrides.push(("--phrases", "vectors.phrases", phrases.to_string()));
    }
    let session = Session::open(session, ".", &overrides)?;
    let _lock = session.workspace.lock()?;
    let catalogue = pipeline::load_films(&session.workspace)?;
    let summary = session.with_progress(|progress| {
        pipeline::train_word_vectors(&session.workspace, &session.config, catalogue.films(), progress)
    })?;
    session.say(&format!(
        "{} words x {} from {} words of text, {} epochs in {:.1} s: `{}`",
        summary.n_words,
        summary.dim,
        summary.n_tokens,
        session.config.vectors.epochs,
        summary.seconds,
        summary.path.display()
    ));
    let settings = &session.config.vectors;
    if settings.phrases > 0 {
        session.say(&format!("{} pairs of words were joined where they meet", summary.n_phrases));
    }
    if settings.subwords {
        session
            .say(&format!("with vectors of character n-grams: `{}`", session.workspace.subwords().display()));
    }
    if settings.mode == VectorMode::Fast && session.config.n_threads() > 1 {
        session.say("fast mode: another training will give other bytes, for the same seed too");
    }
    Ok(Outcome::Done)
}

fn regressor(arguments: &RegressorArguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let mut overrides = Vec::new();
    if let Some(epochs) = arguments.epochs {
        overrides.push(("--epochs", "regressor.epochs", epochs.to_string()));
    }
    let mut session = Session::open(session, ".", &overrides)?;
    match arguments.preset {
        Preset::Default => {}
        Preset::OriginalMean => session.apply_regressor_preset(&RegressorConfig::original(Pooling::Mean))?,
        Preset::OriginalMaxAbs => {
            session.apply_regressor_preset(&RegressorConfig::original(Pooling::MaxAbs))?;
        }
    }
    let catalogue = pipeline::load_films(&session.workspace)?;
    train_regressor(&session, catalogue.films(), &arguments.name, arguments.resume)?;
    Ok(Outcome::Done)
}

/// Trains and says what came of it.
pub(crate) fn train_regressor(
    session: &Session,
    films: &[titlecard_engine::catalogue::Film],
    name: &str,
    resume: bool,
) -> anyhow::Result<()> {
    let summary = session.with_progress(|progress| {
        pipeline::train_regressor(&session.workspace, &session.config, films, name, resume, progress)
    });
    let summary = summary.map_err(|error| {
        let error = anyhow::Error::from(error);
        let checkpoint = session.workspace.checkpoint(name);
        if crate::session::is_interrupted(&error) && checkpoint.exists() {
            session.say("the last whole epoch is kept: go on with `titlecard train regressor --resume`");
        }
        error
    })?;
    let history = &summary.trained.history;
    let best = history.iter().min_by(|a, b| a.dev_loss.total_cmp(&b.dev_loss));
    session.say(&format!(
        "trained on {} films, {} for early stopping ({} left out: no known word in title or tags); \
         {} epochs in {:.1} s, best development loss {:.4} in epoch {}: `{}`",
        summary.n_train,
        summary.n_dev,
        summary.n_dropped,
        history.len(),
        summary.seconds,
        best.map_or(f64::NAN, |record| record.dev_loss),
        best.map_or(0, |record| record.epoch),
        summary.path.display()
    ));
    Ok(())
}

fn fusion(arguments: &FusionArguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    tune_fusion(&session, &arguments.queries)?;
    Ok(Outcome::Done)
}

/// Tunes the weights on the training queries of `files` (of the sample if there is none) and saves them.
pub(crate) fn tune_fusion(session: &Session, files: &[PathBuf]) -> anyhow::Result<()> {
    let catalogue = pipeline::load_films(&session.workspace)?;
    let engine = pipeline::open_engine(&session.workspace, &session.config)?;
    let mut queries = Vec::new();
    for file in files {
        queries.extend(read_queries(file)?);
    }
    if files.is_empty() {
        queries = sample::queries()?;
    }
    let folds = pipeline::fold_encoders(&session.workspace, catalogue.films())?;
    if folds.is_empty() && engine.index().encoded.is_some() {
        session.say(
            "the encoder knows the training queries and will get too much weight; train it with `--folds 4` for a fair tuning",
        );
    }
    let task = KnownItem {
        engine: &engine,
        films: catalogue.films(),
        regressors: &[],
        folds: &folds,
        seed: session.config.run.seed,
    };
    queries.retain(|query| query.split.is_none_or(|split| split == Split::Train));
    let asked = task.select(&queries, None);
    let tuned = session.with_progress(|progress| task.tune(&asked, progress))?;
    let path = pipeline::save_tuned(&session.workspace, &tuned)?;
    session.say(&format!(
        "tuned on {} training queries (MRR among candidates): fields {:.4} -> {:.4}, parts {:.4} -> {:.4}: `{}`",
        tuned.n_queries,
        tuned.field_mrr.0,
        tuned.field_mrr.1,
        tuned.fusion_mrr.0,
        tuned.fusion_mrr.1,
        path.display()
    ));
    Ok(())
}

/// Rule ranker.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard train ranker --queries train.jsonl.zst")]
pub(crate) struct RankerArguments {
    /// Training queries (JSON lines) [default: the training queries of the sample]
    #[arg(long, value_name = "FILE")]
    queries: Vec<PathBuf>,
    /// Only write the candidates of these queries, of whatever split, to FOLDER, for other learners
    #[arg(long, value_name = "FOLDER")]
    dump: Option<PathBuf>,
}

fn ranker(arguments: &RankerArguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let catalogue = pipeline::load_films(&session.workspace)?;
    let engine = pipeline::open_engine(&session.workspace, &session.config)?;
    let mut queries = Vec::new();
    for file in &arguments.queries {
        queries.extend(read_queries(file)?);
    }
    if arguments.queries.is_empty() {
        queries = sample::queries()?;
    }
    anyhow::ensure!(
        engine.knowledge().is_some(),
        "rules need the graph of the catalogue; make it with `titlecard graph build`"
    );
    let folds = pipeline::fold_encoders(&session.workspace, catalogue.films())?;
    let task = KnownItem {
        engine: &engine,
        films: catalogue.films(),
        regressors: &[],
        folds: &folds,
        seed: session.config.run.seed,
    };
    let for_others = arguments.dump.is_some();
    if !for_others {
        queries.retain(|query| query.split.is_none_or(|split| split == Split::Train));
    }
    let asked = task.select(&queries, None);
    let is_training = queries.iter().all(|query| query.split.is_none_or(|split| split == Split::Train));
    let wanted = task.wanted(&asked, is_training);
    let config = &session.config.ranker;
    let sampling = is_training.then_some(Sampling {
        best: config.best,
        random: config.random,
        seed: session.config.run.seed,
    });
    let lists = session.with_progress(|progress| build_lists(&engine, &wanted, sampling, progress))?;
    if let Some(folder) = &arguments.dump {
        write_lists(folder, &lists)?;
        session.say(&format!("{} lists: `{}`", lists.len(), folder.display()));
        return Ok(Outcome::Done);
    }
    let learned = session.with_progress(|progress| {
        pipeline::train_ranker(&session.workspace, &session.config, &lists, progress)
    })?;
    let rules = learned.ranker.rules();
    session.say(&format!(
        "{} rules of {} literals in all, chosen of {} proposals ({} by networks), from {} questions: `{}`",
        rules.rules().len(),
        rules.n_edges(),
        learned.n_proposed.1,
        learned.n_proposed.0,
        learned.n_lists,
        session.workspace.rules().display()
    ));
    let curve: Vec<String> = learned.curve.iter().map(|(n, loss)| format!("{n}: {loss:.4}")).collect();
    session.say(&format!("loss by number of rules: {}", curve.join(", ")));
    Ok(Outcome::Done)
}
