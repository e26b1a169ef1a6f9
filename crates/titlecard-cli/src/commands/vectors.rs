//! `titlecard vectors`: convert, inspect and search files of word vectors; `titlecard train encoder`; a picture
//! of the space.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;
use titlecard_engine::encoder::{self, EncoderSettings, PictureFormat};
use titlecard_engine::eval::queries::read_queries;
use titlecard_engine::pipeline;
use titlecard_engine::progress::{Interrupted, Progress};
use titlecard_engine::sample;
use titlecard_engine::wordvec::read::{self, ReadOptions};
use titlecard_engine::wordvec::train::SubwordVectors;
use titlecard_engine::wordvec::write::Precision;
use titlecard_engine::wordvec::{MappedVectors, WordTable, WordVecError, similar};

use crate::session::{Session, SessionArguments};
use crate::{Outcome, output};

/// What to do with vectors.
#[derive(clap::Subcommand)]
pub(crate) enum Arguments {
    /// Turn a file of any common format into one that opens in milliseconds
    Convert(ConvertArguments),
    /// Show what a file holds, and check it
    Info(InfoArguments),
    /// Words nearest to a word, or to a sum of words
    Nearest(NearestArguments),
    /// Draw the films of the catalogue in two dimensions, coloured by genre
    Plot(PlotArguments),
}

/// Conversion.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  titlecard vectors convert GoogleNews-vectors-negative300.bin.gz news.tcwv --precision int8\n  \
                  titlecard vectors convert glove.6B.300d.txt glove.tcwv --limit 100000"
)]
pub(crate) struct ConvertArguments {
    /// word2vec (binary or text), GloVe, fastText `.vec` or `.tcwv`; also `.gz` and `.zst`
    from: PathBuf,
    /// The `.tcwv` file to write
    to: PathBuf,
    /// How components are stored
    #[arg(long, value_enum, default_value_t = StoredAs::F32)]
    precision: StoredAs,
    /// Take the first so many words only
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Precision of components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoredAs {
    /// 32-bit float: exact
    F32,
    /// 16-bit float: half the size
    F16,
    /// 8-bit integer with a scale a word: a quarter of the size
    Int8,
}

impl From<StoredAs> for Precision {
    fn from(stored: StoredAs) -> Self {
        match stored {
            StoredAs::F32 => Self::F32,
            StoredAs::F16 => Self::F16,
            StoredAs::Int8 => Self::Int8,
        }
    }
}

/// Contents.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard vectors info models/vectors.tcwv\n  \
                        titlecard vectors info news.tcwv --json")]
pub(crate) struct InfoArguments {
    /// File of vectors
    file: PathBuf,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// Neighbours.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard vectors nearest models/vectors.tcwv ghost\n  \
                        titlecard vectors nearest news.tcwv king woman --minus man --json")]
pub(crate) struct NearestArguments {
    /// File of vectors; with character n-grams (`.tcsw`), any word can be asked for
    file: PathBuf,
    /// Words; several are added up
    #[arg(required = true)]
    words: Vec<String>,
    /// Words to take away
    #[arg(long, value_name = "WORD")]
    minus: Vec<String>,
    /// How many to show
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    k: usize,
    /// One JSON object a word on stdout
    #[arg(long)]
    json: bool,
}

/// Picture.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard train encoder && titlecard vectors plot space.svg")]
pub(crate) struct PlotArguments {
    /// The file to write, `.svg` or `.png`
    to: PathBuf,
    /// Genres to show, the most frequent ones, at most 8
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=8), value_name = "N", default_value_t = 7)]
    genres: u8,
    /// Films of a genre to show, at most
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "N", default_value_t = 300)]
    films: u32,
}

/// Encoder.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard train encoder --queries train.jsonl.zst\n  \
                        titlecard train encoder --queries train.jsonl.zst --texts plots.jsonl --epochs 2")]
pub(crate) struct EncoderArguments {
    /// Questions to train on (JSON lines); those marked dev or test are left out
    /// [default: the training queries of the sample]
    #[arg(long, value_name = "FILE")]
    queries: Vec<PathBuf>,
    /// More texts about films to train on: JSON lines with `film_id` and `text`
    #[arg(long, value_name = "FILE")]
    texts: Option<PathBuf>,
    /// Word vectors to start from [default: those of the working folder]
    #[arg(long, value_name = "FILE")]
    start: Option<PathBuf>,
    /// Train N more encoders, each without a share of the films; `train ranker` needs them
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = folds)]
    folds: usize,
    /// Passes over the pairs
    #[arg(long, value_name = "N", default_value_t = 1)]
    epochs: usize,
}

fn folds(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n == 0 || (2..=20).contains(&n) => Ok(n),
        _ => Err("expected 0, or 2 to 20".to_owned()),
    }
}

pub(crate) fn run(arguments: Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    match arguments {
        Arguments::Convert(arguments) => convert(&arguments, session),
        Arguments::Info(arguments) => info(&arguments),
        Arguments::Nearest(arguments) => nearest(&arguments),
        Arguments::Plot(arguments) => plot(&arguments, session),
    }
}

fn convert(arguments: &ConvertArguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let options = ReadOptions { limit: arguments.limit, only: None };
    let mut n_words = 0;
    let report = session
        .with_progress(|progress| {
            read::convert(
                &arguments.from,
                &arguments.to,
                arguments.precision.into(),
                &options,
                &mut |state| {
                    n_words = state.n_words;
                    progress(&Progress { step: "converting", done: n_words as u64, total: 0, note: "" })
                },
            )
        })
        .map_err(|error| match error {
            WordVecError::Interrupted => anyhow::Error::new(Interrupted { step: "converting" }),
            // These name the file they are about, which may be the target.
            error @ (WordVecError::Open { .. } | WordVecError::Write { .. }) => anyhow::Error::new(error),
            error => anyhow::Error::new(error).context(format!("`{}`", arguments.from.display())),
        })?;
    let size = std::fs::metadata(&arguments.to).map_or(0, |data| data.len());
    session.say(&format!(
        "{}: {} words left out as repetitions, {} with bytes that are no UTF-8; `{}`, {:.1} MB",
        format_name(report.format),
        report.n_duplicates,
        report.n_not_utf8,
        arguments.to.display(),
        size as f64 / 1e6
    ));
    Ok(Outcome::Done)
}

fn format_name(format: read::Format) -> &'static str {
    match format {
        read::Format::Word2vecBinary => "word2vec binary",
        read::Format::TextWithHeader => "text with a header (word2vec, fastText)",
        read::Format::TextWithoutHeader => "text without a header (GloVe)",
        read::Format::Tcwv => "tcwv",
    }
}

/// What `info` shows.
#[derive(Serialize)]
struct Info {
    format: &'static str,
    words: usize,
    dim: usize,
    precision: &'static str,
    size_bytes: u64,
    has_counts: bool,
    repetitions: usize,
    not_utf8: usize,
    first_words: Vec<String>,
}

fn info(arguments: &InfoArguments) -> anyhow::Result<Outcome> {
    let path = &arguments.file;
    let context = || format!("`{}`", path.display());
    let size_bytes = std::fs::metadata(path).with_context(context)?.len();
    let first =
        |table: &dyn WordTable| (0..table.len().min(8)).map(|at| table.word_at(at).into_owned()).collect();
    let info = match MappedVectors::open(path) {
        _ if holds_subwords(path).with_context(context)? => {
            let subwords = SubwordVectors::open(path).with_context(context)?;
            let vectors = subwords.vectors();
            Info {
                format: "tcsw, version 1 (with character n-grams)",
                words: vectors.len(),
                dim: vectors.dim(),
                precision: "f32",
                size_bytes,
                has_counts: vectors.counts().is_some(),
                repetitions: 0,
                not_utf8: 0,
                first_words: first(vectors),
            }
        }
        Ok(mapped) => {
            mapped.verify().with_context(context)?;
            Info {
                format: "tcwv, version 2",
                words: mapped.len(),
                dim: mapped.dim(),
                precision: match mapped.precision() {
                    Precision::F32 => "f32",
                    Precision::F16 => "f16",
                    Precision::Int8 => "int8",
                },
                size_bytes,
                has_counts: mapped.count_at(0).is_some(),
                repetitions: 0,
                not_utf8: 0,
                first_words: first(&mapped),
            }
        }
        Err(WordVecError::NotMappable { .. }) => {
            let (vectors, report) = read::read_path(path, &ReadOptions::default()).with_context(context)?;
            Info {
                format: format_name(report.format),
                words: vectors.len(),
                dim: vectors.dim(),
                precision: "f32",
                size_bytes,
                has_counts: vectors.counts().is_some(),
                repetitions: report.n_duplicates,
                not_utf8: report.n_not_utf8,
                first_words: first(&vectors),
            }
        }
        Err(error) => return Err(error).with_context(context),
    };
    if arguments.json {
        output::json(&info)?;
    } else {
        output::text(&format!(
            "format       {}\nwords        {}\ndimensions   {}\nprecision    {}\nsize         {:.1} MB\ncounts       {}\n\
             repetitions  {}\nnot UTF-8    {}\nfirst words  {}\n",
            info.format,
            info.words,
            info.dim,
            info.precision,
            info.size_bytes as f64 / 1e6,
            if info.has_counts { "yes" } else { "no" },
            info.repetitions,
            info.not_utf8,
            info.first_words.join(" ")
        ))?;
    }
    Ok(Outcome::Done)
}

/// Whether the file holds vectors of character n-grams too.
fn holds_subwords(path: &Path) -> std::io::Result<bool> {
    let mut beginning = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut beginning)?;
    Ok(SubwordVectors::is_saved_as(&beginning))
}

/// One neighbour.
#[derive(Serialize)]
struct Neighbour {
    word: String,
    cosine: f32,
}

fn nearest(arguments: &NearestArguments) -> anyhow::Result<Outcome> {
    let context = || format!("`{}`", arguments.file.display());
    let plus: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    let minus: Vec<&str> = arguments.minus.iter().map(String::as_str).collect();
    let (found, vectors): (_, Box<dyn WordTable>) = if holds_subwords(&arguments.file).unwrap_or(false) {
        let subwords = SubwordVectors::open(&arguments.file).with_context(context)?;
        (subwords.nearest(&plus, &minus, arguments.k)?, Box::new(subwords.vectors().clone()))
    } else {
        let vectors = read::open(&arguments.file).with_context(context)?;
        (similar::combine(&*vectors, &plus, &minus, arguments.k)?, vectors)
    };
    for (at, cosine) in found {
        let word = vectors.word_at(at).into_owned();
        if arguments.json {
            output::json(&Neighbour { word, cosine })?;
        } else {
            output::line(&format!("{cosine:.4}  {word}"))?;
        }
    }
    Ok(Outcome::Done)
}

fn plot(arguments: &PlotArguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    PictureFormat::of(&arguments.to)?;
    let catalogue = pipeline::load_films(&session.workspace)?;
    let encoder = encoder::open(&session.workspace)?;
    let n = encoder::plot_space(
        &encoder,
        catalogue.films(),
        usize::from(arguments.genres),
        arguments.films as usize,
        &arguments.to,
    )?;
    session.say(&format!("{n} films: `{}`", arguments.to.display()));
    Ok(Outcome::Done)
}

/// `titlecard train encoder`.
pub(crate) fn train_encoder(
    arguments: &EncoderArguments,
    session: &SessionArguments,
) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let catalogue = pipeline::load_films(&session.workspace)?;
    let mut queries = Vec::new();
    for path in &arguments.queries {
        queries.extend(read_queries(path)?);
    }
    if arguments.queries.is_empty() {
        queries = sample::queries()?;
    }
    let mut settings = EncoderSettings {
        texts: arguments.texts.clone(),
        start: arguments.start.clone(),
        folds: arguments.folds,
        ..EncoderSettings::default()
    };
    settings.training.epochs = arguments.epochs;
    let summary = session.with_progress(|progress| {
        encoder::train(
            &session.workspace,
            &session.config,
            catalogue.films(),
            &queries,
            &settings,
            &mut |state| {
                let answer: ControlFlow<()> = progress(state);
                answer
            },
        )
    })?;
    session.say(&format!(
        "{} pairs ({} questions) of {} films: `{}`",
        summary.n_pairs,
        summary.n_questions,
        summary.n_films,
        summary.path.display()
    ));
    Ok(Outcome::Done)
}
