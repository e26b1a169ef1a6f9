//! `titlecard eval`: every method on held-out films, as tables, JSON and plots.

use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use titlecard_engine::artifact::write_bytes;
use titlecard_engine::catalogue::{Film, Split};
use titlecard_engine::eval::plots::write_plots;
use titlecard_engine::eval::queries::{Query, read_queries};
use titlecard_engine::eval::report::EvalReport;
use titlecard_engine::eval::tasks::{KnownItem, NamedRegressor, TitleFromTags};
use titlecard_engine::pipeline::{self, DEFAULT_REGRESSOR};
use titlecard_engine::sample;
use titlecard_engine::search::Engine;

use crate::session::{Session, SessionArguments};
use crate::{Outcome, output};

/// Compares word vectors, BM25, regression and hybrid on the same queries and candidates.
///
/// Tables go to stdout, JSON to `results/`, plots (SVG and PNG) to `plots/` of the working folder.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard eval --queries dev.jsonl.zst\n  \
                        titlecard eval --task title-from-tags --min-p10 0.01")]
pub(crate) struct Arguments {
    /// Queries (JSON lines: query_id, text, film_id); for the sample catalogue its own
    #[arg(long, value_name = "FILE")]
    queries: Vec<PathBuf>,
    /// What to measure
    #[arg(long, value_enum, default_value_t = Task::All)]
    task: Task,
    /// Which queries to ask, where the file says which they are
    #[arg(long, value_enum, default_value_t = Part::HeldOut)]
    split: Part,
    /// Held-out films asked for in title-from-tags, at most; 0 for all (setting `eval.max_films`, default 5000)
    #[arg(long, value_name = "N")]
    max_films: Option<usize>,
    /// The reports as JSON on stdout, one a line, instead of tables
    #[arg(long)]
    json: bool,
    /// Exit with 1 if the hybrid's Precision@10 is below X in any task
    #[arg(long, value_name = "X", value_parser = precision)]
    min_p10: Option<f64>,
}

fn precision(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "expected a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("expected a number from 0 to 1".to_owned()) }
}

/// Tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Task {
    /// Both.
    All,
    /// A person's description asks for a film; candidates are all films
    KnownItem,
    /// A held-out film's tags ask for its title; candidates are all titles
    TitleFromTags,
}

/// Parts of the queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// All that are not for training
    HeldOut,
    /// Training queries
    Train,
    /// Development queries
    Dev,
    /// Test queries
    Test,
    /// Every query
    All,
}

impl Part {
    fn keeps(self, split: Option<Split>) -> bool {
        match self {
            Self::HeldOut => split != Some(Split::Train),
            Self::Train => split == Some(Split::Train),
            Self::Dev => split == Some(Split::Dev),
            Self::Test => split == Some(Split::Test),
            Self::All => true,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::HeldOut => "held out by film",
            Self::Train => "train",
            Self::Dev => "dev",
            Self::Test => "test",
            Self::All => "all",
        }
    }
}

pub(crate) fn run(arguments: &Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let mut overrides = Vec::new();
    if let Some(max) = arguments.max_films {
        overrides.push(("--max-films", "eval.max_films", max.to_string()));
    }
    let session = Session::open(session, ".", &overrides)?;
    let catalogue = pipeline::load_films(&session.workspace)?;
    let engine = pipeline::open_engine(&session.workspace, &session.config)?;
    let films = catalogue.films();
    anyhow::ensure!(
        engine.index().manifest.is_of(films.iter().map(|film| film.id.as_str())),
        "the index has {} films, the prepared catalogue {}, and they are not the same; bring it up to date with `titlecard index`",
        engine.index().n_films(),
        films.len()
    );

    let mut reports = Vec::new();
    if arguments.task != Task::TitleFromTags {
        let (queries, name) = queries(arguments, films)?;
        match queries {
            Some(queries) => {
                reports.push((name, known_item(&session, &engine, films, &queries, arguments.split)?));
            }
            None if arguments.task == Task::KnownItem => {
                anyhow::bail!("no queries; name a file with `--queries FILE`")
            }
            None => session
                .say("no queries given: only the task title-from-tags; name a file with `--queries FILE`"),
        }
    }
    if arguments.task != Task::KnownItem {
        reports.extend(title_from_tags(&session, &engine, films)?);
    }
    let mut outcome = Outcome::Done;
    for (name, report) in &reports {
        publish(&session, name, report, arguments.json)?;
        let p10 = report
            .methods
            .iter()
            .find(|row| row.method == "hybrid")
            .and_then(|row| row.metrics.precision_at(10));
        if let (Some(least), Some(p10)) = (arguments.min_p10, p10)
            && p10 < least
        {
            session.say(&format!("{}: the hybrid's Precision@10 is {p10:.4}, below {least}", report.task));
            outcome = Outcome::No;
        }
    }
    Ok(outcome)
}

/// The queries to ask and a name for their results; none if no file was given and the catalogue is not the sample.
fn queries(arguments: &Arguments, films: &[Film]) -> anyhow::Result<(Option<Vec<Query>>, String)> {
    if arguments.queries.is_empty() {
        let queries = sample::queries()?;
        let ids: std::collections::HashSet<&str> = films.iter().map(|film| film.id.as_str()).collect();
        let is_sample =
            films.len() < 2_000 && queries.iter().all(|query| ids.contains(query.film_id.as_str()));
        return Ok((is_sample.then_some(queries), "known_item".to_owned()));
    }
    let mut all = Vec::new();
    for file in &arguments.queries {
        all.extend(read_queries(file)?);
    }
    let stem =
        arguments.queries[0].file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = stem.split('.').next().unwrap_or_default().to_owned();
    Ok((Some(all), format!("known_item_{stem}")))
}

fn known_item(
    session: &Session,
    engine: &Engine,
    films: &[Film],
    queries: &[Query],
    part: Part,
) -> anyhow::Result<EvalReport> {
    let mut regressors = pipeline::load_regressors(&session.workspace)?;
    // The default one is in the index and measured as served.
    regressors.retain(|named| {
        named.name != DEFAULT_REGRESSOR && named.regressor.dim() == engine.index().embedder.dim()
    });
    let task =
        KnownItem { engine, films, regressors: &regressors, folds: &[], seed: session.config.run.seed };
    let kept: Vec<Query> = queries.iter().filter(|query| part.keeps(query.split)).cloned().collect();
    let asked = task.select(&kept, None);
    Ok(session.with_progress(|progress| task.run(&asked, part.name(), progress))?)
}

fn title_from_tags(
    session: &Session,
    engine: &Engine,
    films: &[Film],
) -> anyhow::Result<Vec<(String, EvalReport)>> {
    let embedder = pipeline::embedder(&session.workspace, &session.config, films)?;
    let mut regressors: Vec<NamedRegressor> = pipeline::load_regressors(&session.workspace)?;
    regressors.retain(|named| named.regressor.dim() == embedder.dim());
    let mut reports = Vec::new();
    for (name, remove_title_words) in [("title_from_tags", false), ("title_from_tags_removed", true)] {
        let task = TitleFromTags {
            films,
            split: session.config.split,
            embedder: &embedder,
            lexical: &engine.index().lexical,
            lexical_config: session.config.lexical,
            regressors: &regressors,
            remove_title_words,
            max_films: session.config.eval.max_films,
            seed: session.config.run.seed,
        };
        reports.push((name.to_owned(), session.with_progress(|progress| task.run(progress))?));
    }
    Ok(reports)
}

/// Prints a report and writes its JSON and plots.
fn publish(session: &Session, name: &str, report: &EvalReport, json: bool) -> anyhow::Result<()> {
    if json {
        output::json(report)?;
    } else {
        output::line(&report.to_text())?;
    }
    let path = session.workspace.results().join(format!("{name}.json"));
    let text = serde_json::to_vec_pretty(report).context("cannot write the report as JSON")?;
    write_bytes(&path, &text)?;
    let plots = write_plots(report, &session.workspace.plots(), &format!("{name}_"))?;
    let plots: Vec<String> = plots.iter().map(|path| format!("`{}`", path.display())).collect();
    session.say(&format!("wrote `{}`, {}", path.display(), plots.join(", ")));
    Ok(())
}

/// Evaluates the sample: known item and title from tags, printed and plotted.
pub(crate) fn evaluate_sample(session: &Session, engine: &Engine, films: &[Film]) -> anyhow::Result<()> {
    let report = known_item(session, engine, films, &sample::queries()?, Part::HeldOut)?;
    publish(session, "known_item", &report, false)?;
    for (name, report) in title_from_tags(session, engine, films)? {
        publish(session, &name, &report, false)?;
    }
    Ok(())
}
