//! `titlecard train lm` and `titlecard lm`: fine-tune a language model on the films, and use it.

use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;
use titlecard_engine::catalogue::{Film, Split, split_of};
use titlecard_engine::pipeline as engine;
use titlecard_engine::progress::Progress;
use titlecard_lm::data::{Dataset, Template};
use titlecard_lm::generate::{BeamConfig, Decoder, GenerateConfig, Precision, Sampling, TitleSearch};
use titlecard_lm::log::Record;
use titlecard_lm::pipeline::{self, Opened, Titles};
use titlecard_lm::{StoredAs, StreamDecoder, Workspace};

use crate::session::{Session, SessionArguments, check_stop};
use crate::{Outcome, output};

/// What to do with a language model.
#[derive(clap::Subcommand)]
pub(crate) enum Arguments {
    /// Continue texts, or answer with titles of the catalogue
    Generate(GenerateArguments),
    /// Perplexity on held-out films, and how often the right title is found
    Eval(EvalArguments),
    /// Add an adapter to its model and write the result
    Merge(MergeArguments),
    /// Show what a model is
    Info(InfoArguments),
}

/// Training.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  titlecard train lm\n  titlecard train lm --model EleutherAI/pythia-70m --lora --epochs 1\n  \
                  titlecard train lm --from-scratch 14m --template text --steps 2000\n\n\
                  More settings: `lm.*` in `titlecard config`"
)]
pub(crate) struct TrainArguments {
    /// Model to start from: a folder in Hugging Face layout, or a name to fetch (setting `lm.model`)
    #[arg(long, value_name = "FOLDER|NAME")]
    model: Option<String>,
    /// Start from random weights of this shape: `tiny`, a size of Pythia from `14m` to `12b`, or a
    /// config.json (setting `lm.from_scratch`, default tiny)
    #[arg(long, value_name = "SHAPE", conflicts_with = "model")]
    from_scratch: Option<String>,
    /// Tokenizer to start from scratch with; learned from the films without (setting `lm.tokenizer`)
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<String>,
    /// What is learned (setting `lm.template`, default description-to-title)
    #[arg(long, value_name = "NAME", value_parser = ["description-to-title", "title-to-description", "text"])]
    template: Option<String>,
    /// Train a low-rank adapter in place of the model (setting `lm.lora`)
    #[arg(long)]
    lora: bool,
    /// Passes over the films (setting `lm.epochs`, default 4)
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Steps, in place of passes (setting `lm.max_steps`)
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// Go on with a training that was stopped
    #[arg(long)]
    resume: bool,
}

/// Precision of weights while generating.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WeightPrecision {
    /// Exact
    F32,
    /// Half the memory traffic
    Bf16,
    /// A quarter of it, a scale a row
    Int8,
}

impl From<WeightPrecision> for Precision {
    fn from(precision: WeightPrecision) -> Self {
        match precision {
            WeightPrecision::F32 => Self::F32,
            WeightPrecision::Bf16 => Self::Bf16,
            WeightPrecision::Int8 => Self::Int8,
        }
    }
}

/// Generation.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  titlecard lm generate \"a shark hunts swimmers off a summer island\"\n  \
                  titlecard lm generate --titles 5 \"a shark hunts swimmers off a summer island\"\n  \
                  titlecard lm generate --raw --temperature 0.8 --top-p 0.9 --max-new 60 \"In the last summer\""
)]
pub(crate) struct GenerateArguments {
    /// Texts, or `-` to read one from stdin; put into the prompt the model was trained with
    #[arg(required = true)]
    texts: Vec<String>,
    /// Model or adapter [default: models/lm of the working folder]
    #[arg(long, value_name = "FOLDER|NAME")]
    model: Option<String>,
    /// Take texts as they are
    #[arg(long)]
    raw: bool,
    /// New tokens at most
    #[arg(long, value_name = "N", default_value_t = 48)]
    max_new: usize,
    /// Above 0: sample, the more freely the higher
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    temperature: f32,
    /// Sample from the N most probable tokens, 0 for all
    #[arg(long, value_name = "N", default_value_t = 0)]
    top_k: usize,
    /// Sample from the most probable tokens that have this share together
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    top_p: f32,
    /// Sample from tokens with this share of the most probable one's probability
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    min_p: f32,
    /// Above 1: tokens that occurred become less likely
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    repetition_penalty: f32,
    /// Beam search with N beams; all are shown
    #[arg(long, value_name = "N", conflicts_with_all = ["temperature", "titles"])]
    beams: Option<usize>,
    /// Answer with the N most probable titles of the catalogue
    #[arg(long, value_name = "N")]
    titles: Option<usize>,
    /// With `--titles`: branches followed at a time
    #[arg(long, value_name = "N", default_value_t = 5, requires = "titles")]
    width: usize,
    /// With `--titles`: search until nothing can be better
    #[arg(long, requires = "titles")]
    exact: bool,
    /// Precision of the weights
    #[arg(long, value_enum, default_value_t = WeightPrecision::F32)]
    precision: WeightPrecision,
    /// One JSON object a text on stdout
    #[arg(long)]
    json: bool,
}

/// Evaluation.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  titlecard lm eval\n  titlecard lm eval --split test --titles 200 --json"
)]
pub(crate) struct EvalArguments {
    /// Model or adapter [default: models/lm of the working folder]
    #[arg(long, value_name = "FOLDER|NAME")]
    model: Option<String>,
    /// Held-out films to score
    #[arg(long, value_name = "NAME", default_value = "dev", value_parser = ["dev", "test"])]
    split: String,
    /// Films scored at most, 0 for all
    #[arg(long, value_name = "N", default_value_t = 1000)]
    films: usize,
    /// Search the titles of N of these films too, among all titles of the catalogue
    #[arg(long, value_name = "N", default_value_t = 0)]
    titles: usize,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// How merged weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dtype {
    /// 32 bits
    F32,
    /// IEEE half
    F16,
    /// bfloat16
    Bf16,
}

/// Merging.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard lm merge models/lm merged --dtype f16")]
pub(crate) struct MergeArguments {
    /// Folder of the adapter
    adapter: PathBuf,
    /// Folder of the new model
    to: PathBuf,
    /// How weights are stored; they are added in 32 bits in any case
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    dtype: Dtype,
}

/// Contents.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  titlecard lm info\n  titlecard lm info EleutherAI/pythia-14m --json")]
pub(crate) struct InfoArguments {
    /// Model or adapter [default: models/lm of the working folder]
    model: Option<String>,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    match arguments {
        Arguments::Generate(arguments) => generate(&arguments, session),
        Arguments::Eval(arguments) => eval(&arguments, session),
        Arguments::Merge(arguments) => merge(&arguments, session),
        Arguments::Info(arguments) => info(&arguments, session),
    }
}

/// `titlecard train lm`.
pub(crate) fn train(arguments: &TrainArguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let mut overrides = Vec::new();
    for (flag, key, value) in [
        ("--model", "lm.model", &arguments.model),
        ("--from-scratch", "lm.from_scratch", &arguments.from_scratch),
        ("--tokenizer", "lm.tokenizer", &arguments.tokenizer),
        ("--template", "lm.template", &arguments.template),
    ] {
        overrides.extend(value.clone().map(|value| (flag, key, value)));
    }
    if arguments.from_scratch.is_some() {
        overrides.push(("--from-scratch", "lm.model", String::new()));
    }
    for (flag, key, value) in
        [("--epochs", "lm.epochs", arguments.epochs), ("--steps", "lm.max_steps", arguments.steps)]
    {
        overrides.extend(value.map(|value| (flag, key, value.to_string())));
    }
    if arguments.lora {
        overrides.push(("--lora", "lm.lora", true.to_string()));
    }
    let session = Session::open(session, ".", &overrides)?;
    let catalogue = engine::load_films(&session.workspace)?;
    let mut said = |record: &Record| match record {
        Record::Evaluation { step, dev_loss, perplexity, is_best } => session.say(&format!(
            "step {step}: development loss {dev_loss:.4}, perplexity {perplexity:.2}{}",
            if *is_best { ", the best so far" } else { "" }
        )),
        Record::Sample { prompt, completion, expected, .. } => {
            session.say(&format!("  {} ->{completion} (is:{expected})", shortened(prompt)));
        }
        Record::Step { .. } => {}
    };
    let films = catalogue.films();
    let summary = session.with_progress(|progress| {
        pipeline::train(&session.workspace, &session.config, films, arguments.resume, progress, &mut said)
    });
    let summary = summary.map_err(|error| {
        let error = anyhow::Error::from(error);
        let folder = session.workspace.language_model();
        if crate::session::is_interrupted(&error) && titlecard_lm::Trainer::has_checkpoint(&folder) {
            session.say("the steps done are kept: go on with `titlecard train lm --resume`");
        }
        error
    })?;
    let best = summary.trained.best.map_or(String::new(), |(step, loss)| {
        format!(", best development loss {loss:.4} (perplexity {:.2}) at step {step}", loss.exp())
    });
    session.say(&format!(
        "trained {} of {} values on {} examples ({} for development), {} steps in {:.1} s{best}: `{}`",
        summary.n_values.0,
        summary.n_values.1,
        summary.n_examples.0,
        summary.n_examples.1,
        summary.trained.n_steps,
        summary.trained.seconds,
        summary.folder.display()
    ));
    Ok(Outcome::Done)
}

/// The last characters of a prompt, on one line.
fn shortened(prompt: &str) -> String {
    const KEPT: usize = 60;
    let line = prompt.replace('\n', " ");
    let n = line.chars().count();
    if n <= KEPT { line } else { format!("…{}", line.chars().skip(n - KEPT).collect::<String>()) }
}

fn open(session: &Session, name: Option<&String>) -> anyhow::Result<Opened> {
    session.with_progress(|progress| {
        let folder = match name {
            Some(name) => pipeline::resolve(&session.workspace, name, progress)?,
            None => session.workspace.language_model(),
        };
        anyhow::ensure!(
            name.is_some() || folder.exists(),
            "`{}` does not exist; train a model with `titlecard train lm`, or name one with `--model`",
            folder.display()
        );
        Ok(pipeline::open(&session.workspace, &folder, progress)?)
    })
}

/// The template a model was trained with, else that of the settings.
fn template_of(opened: &Opened, session: &Session) -> anyhow::Result<Template> {
    match &opened.template {
        Some(template) => Ok(template.clone()),
        None => Ok(pipeline::template(&session.config.lm)?),
    }
}

#[derive(Serialize)]
struct Continuation<'a> {
    prompt: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    titles: Vec<TitleLine>,
}

#[derive(Serialize)]
struct TitleLine {
    title: String,
    film_ids: Vec<String>,
    log_probability: f64,
}

fn generate(arguments: &GenerateArguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let opened = open(&session, arguments.model.as_ref())?;
    let template = template_of(&opened, &session)?;
    let mut texts = arguments.texts.clone();
    for text in &mut texts {
        if text == "-" {
            text.clear();
            std::io::stdin().read_to_string(text).context("cannot read the text from stdin")?;
        }
    }
    let as_asked =
        |text: &String| if arguments.raw { text.clone() } else { template.prompt_for(text.trim()) };
    let prompts: Vec<String> = texts.iter().map(as_asked).collect();
    let end = opened.model.config().eos;
    let encoded: Vec<Vec<u32>> = prompts
        .iter()
        .map(|prompt| {
            let ids = opened.tokenizer.encode(prompt)?;
            // A text from nothing begins after the end of another.
            Ok(if ids.is_empty() && !arguments.raw { vec![end] } else { ids })
        })
        .collect::<anyhow::Result<_>>()?;
    if let Some(n_titles) = arguments.titles {
        return titles(arguments, &session, &opened, &template, &prompts, &encoded, n_titles);
    }
    let decoder = pipeline::decoder(&opened, arguments.precision.into());
    let n_tokens = opened.tokenizer.n_tokens();
    if let Some(n_beams) = arguments.beams {
        let config = BeamConfig {
            n_beams,
            max_new_tokens: arguments.max_new,
            length_penalty: 1.0,
            stop: end,
            n_tokens,
        };
        for (prompt, ids) in prompts.iter().zip(&encoded) {
            check_stop("generating")?;
            for (tokens, score) in decoder.beam_search(ids, &config)? {
                let text = opened.tokenizer.decode(&tokens, true)?;
                if arguments.json {
                    let line =
                        Continuation { prompt, text: Some(text), score: Some(score), titles: Vec::new() };
                    output::json(&line)?;
                } else {
                    output::line(&format!("{score:8.3} {text}"))?;
                }
            }
        }
        return Ok(Outcome::Done);
    }
    let config = GenerateConfig {
        max_new_tokens: arguments.max_new,
        sampling: Sampling {
            temperature: arguments.temperature,
            top_k: arguments.top_k,
            top_p: arguments.top_p,
            min_p: arguments.min_p,
            repetition_penalty: arguments.repetition_penalty,
        },
        stop: vec![end],
        n_tokens,
        seed: session.config.run.seed,
    };
    // One text is shown as it comes; several when all are there.
    let streams = encoded.len() == 1 && !arguments.json;
    let mut stream = StreamDecoder::new(&opened.tokenizer);
    let mut failure = None;
    let started = Instant::now();
    let new = decoder.generate(&encoded, &config, &mut |_, token| {
        if streams {
            let shown = stream.push(token).map_err(anyhow::Error::from);
            if let Err(error) = shown.and_then(|text| Ok(output::text(&text)?)) {
                failure = Some(error);
                return ControlFlow::Break(());
            }
        }
        if check_stop("generating").is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    if streams {
        output::line(&stream.finish()?)?;
    }
    check_stop("generating")?;
    let n: usize = new.iter().map(Vec::len).sum();
    tracing::info!(tokens = n, seconds = started.elapsed().as_secs_f64(), "generated");
    if !streams {
        for (prompt, tokens) in prompts.iter().zip(&new) {
            let text = opened.tokenizer.decode(tokens, true)?;
            if arguments.json {
                output::json(&Continuation { prompt, text: Some(text), score: None, titles: Vec::new() })?;
            } else {
                output::line(text.trim())?;
            }
        }
    }
    Ok(Outcome::Done)
}

fn all_titles(
    films: &[Film],
    opened: &Opened,
    template: &Template,
    longest_prompt: usize,
) -> anyhow::Result<Titles> {
    let config = opened.model.config();
    let room = config.max_positions.saturating_sub(longest_prompt);
    Ok(Titles::new(films, template, &opened.tokenizer, config.eos, room)?)
}

fn titles(
    arguments: &GenerateArguments,
    session: &Session,
    opened: &Opened,
    template: &Template,
    prompts: &[String],
    encoded: &[Vec<u32>],
    n_titles: usize,
) -> anyhow::Result<Outcome> {
    let catalogue = engine::load_films(&session.workspace)?;
    let longest = encoded.iter().map(Vec::len).max().unwrap_or(0);
    let titles = all_titles(catalogue.films(), opened, template, longest)?;
    let decoder = pipeline::decoder(opened, arguments.precision.into());
    let search = TitleSearch { n_beams: arguments.width, n_titles, exact: arguments.exact };
    let mut any = false;
    for (prompt, ids) in prompts.iter().zip(encoded) {
        check_stop("searching titles")?;
        let found = decoder.find_titles(ids, &titles.trie, search)?;
        any |= !found.is_empty();
        let lines: Vec<TitleLine> = found
            .iter()
            .map(|found| TitleLine {
                title: titles.names[found.title as usize].clone(),
                film_ids: titles.films[found.title as usize]
                    .iter()
                    .map(|&film| catalogue.films()[film].id.clone())
                    .collect(),
                log_probability: found.log_probability,
            })
            .collect();
        if arguments.json {
            output::json(&Continuation { prompt, text: None, score: None, titles: lines })?;
        } else {
            for (at, line) in lines.iter().enumerate() {
                output::line(&format!("{:3}. {} ({:.3})", at + 1, line.title, line.log_probability))?;
            }
        }
    }
    Ok(if any { Outcome::Done } else { Outcome::No })
}

#[derive(Serialize)]
struct Evaluation {
    model: String,
    split: String,
    n_films: usize,
    n_tokens: usize,
    loss: f64,
    perplexity: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    titles: Option<TitleEvaluation>,
}

#[derive(Serialize)]
struct TitleEvaluation {
    n_films: usize,
    n_titles: usize,
    success_at_1: f64,
    success_at_5: f64,
    seconds_a_film: f64,
}

fn eval(arguments: &EvalArguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let opened = open(&session, arguments.model.as_ref())?;
    let template = template_of(&opened, &session)?;
    let catalogue = engine::load_films(&session.workspace)?;
    let asked = if arguments.split == "test" { Split::Test } else { Split::Dev };
    let limit = if arguments.films == 0 { usize::MAX } else { arguments.films };
    let held_out: Vec<Film> = catalogue
        .films()
        .iter()
        .filter(|film| split_of(&film.id, &session.config.split) == asked && template.fill(film).is_some())
        .take(limit)
        .cloned()
        .collect();
    anyhow::ensure!(
        !held_out.is_empty(),
        "no film of the split `{}` has the fields of `{}`; take another split",
        arguments.split,
        template.label()
    );
    let config = opened.model.config();
    let context = session.config.lm.context.min(config.max_positions);
    let examples = Dataset::examples(&held_out, &template, &opened.tokenizer, config.eos, context)?;
    let n_tokens_a_batch = session.config.lm.batch_tokens;
    let (loss, n_tokens) = session.with_progress(|progress| {
        let mut workspace = Workspace::new();
        titlecard_lm::train::mean_loss(
            &opened.model,
            &examples,
            n_tokens_a_batch,
            &mut workspace,
            &mut |done, total| {
                let (done, total) = (done as u64, total as u64);
                progress(&Progress { step: "scoring films", done, total, note: "" })
            },
        )
    })?;
    let titles = if arguments.titles > 0 {
        let asked = &held_out[..arguments.titles.min(held_out.len())];
        Some(eval_titles(&session, catalogue.films(), asked, &opened, &template, context)?)
    } else {
        None
    };
    let evaluation = Evaluation {
        model: opened.folder.display().to_string(),
        split: arguments.split.clone(),
        n_films: held_out.len(),
        n_tokens,
        loss,
        perplexity: loss.exp(),
        titles,
    };
    if arguments.json {
        output::json(&evaluation)?;
    } else {
        output::line(&format!(
            "{} films of split {}, {} tokens: loss {:.4}, perplexity {:.2}",
            evaluation.n_films, evaluation.split, n_tokens, loss, evaluation.perplexity
        ))?;
        if let Some(titles) = &evaluation.titles {
            output::line(&format!(
                "titles of {} films among {}: success@1 {:.3}, success@5 {:.3}, {:.0} ms a film",
                titles.n_films,
                titles.n_titles,
                titles.success_at_1,
                titles.success_at_5,
                1000.0 * titles.seconds_a_film
            ))?;
        }
    }
    Ok(Outcome::Done)
}

fn eval_titles(
    session: &Session,
    films: &[Film],
    asked: &[Film],
    opened: &Opened,
    template: &Template,
    context: usize,
) -> anyhow::Result<TitleEvaluation> {
    let titles = all_titles(films, opened, template, context)?;
    let decoder: Decoder = pipeline::decoder(opened, Precision::F32);
    let config = opened.model.config();
    let examples = Dataset::examples(asked, template, &opened.tokenizer, config.eos, context)?;
    let search = TitleSearch { n_beams: 5, n_titles: 5, exact: false };
    let (mut at_1, mut at_5) = (0, 0);
    let started = Instant::now();
    session.with_progress(|progress| {
        for (at, (film, example)) in asked.iter().zip(&examples).enumerate() {
            let (done, total) = (at as u64, asked.len() as u64);
            if progress(&Progress { step: "searching titles", done, total, note: "" }).is_break() {
                check_stop("searching titles")?;
            }
            let found = decoder.find_titles(&example.ids[..example.n_prompt.max(1)], &titles.trie, search)?;
            let is_right =
                |title: u32| titles.films[title as usize].iter().any(|&place| films[place].id == film.id);
            at_1 += usize::from(found.first().is_some_and(|found| is_right(found.title)));
            at_5 += usize::from(found.iter().any(|found| is_right(found.title)));
        }
        Ok::<(), anyhow::Error>(())
    })?;
    let n = asked.len();
    Ok(TitleEvaluation {
        n_films: n,
        n_titles: titles.trie.n_titles(),
        success_at_1: at_1 as f64 / n as f64,
        success_at_5: at_5 as f64 / n as f64,
        seconds_a_film: started.elapsed().as_secs_f64() / n as f64,
    })
}

fn merge(arguments: &MergeArguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let opened =
        session.with_progress(|progress| pipeline::open(&session.workspace, &arguments.adapter, progress))?;
    anyhow::ensure!(
        !is_same(&arguments.adapter, &arguments.to),
        "`{}` is the adapter's own folder; name another one for the model",
        arguments.to.display()
    );
    let stored_as = match arguments.dtype {
        Dtype::F32 => StoredAs::F32,
        Dtype::F16 => StoredAs::F16,
        Dtype::Bf16 => StoredAs::Bf16,
    };
    let largest = pipeline::merge(&opened, &arguments.to, stored_as)?;
    session.say(&format!(
        "merged into `{}`; logits differ by at most {largest:.1e} from the adapter's",
        arguments.to.display()
    ));
    Ok(Outcome::Done)
}

fn is_same(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

#[derive(Serialize)]
struct Info {
    model: String,
    base: Option<String>,
    parameters: usize,
    layers: usize,
    width: usize,
    heads: usize,
    vocabulary: usize,
    tokens: usize,
    context: usize,
    rotary_dims: usize,
    parallel_residual: bool,
    tied: bool,
    adapter_rank: Option<usize>,
    adapter_parameters: Option<usize>,
    template: Option<String>,
}

fn info(arguments: &InfoArguments, session: &SessionArguments) -> anyhow::Result<Outcome> {
    let session = Session::open(session, ".", &[])?;
    let opened = open(&session, arguments.model.as_ref())?;
    let config = opened.model.config();
    let lora = opened.model.lora();
    let info = Info {
        model: opened.folder.display().to_string(),
        base: opened.base.clone(),
        parameters: opened.model.n_parameters(),
        layers: config.n_layers,
        width: config.hidden_size,
        heads: config.n_heads,
        vocabulary: config.vocab_size,
        tokens: opened.tokenizer.n_tokens(),
        context: config.max_positions,
        rotary_dims: config.rotary_dims(),
        parallel_residual: config.parallel_residual,
        tied: config.tied,
        adapter_rank: lora.map(|lora| lora.config().r),
        adapter_parameters: lora.map(|_| opened.model.trained().len()),
        template: opened.template.as_ref().map(Template::label),
    };
    if arguments.json {
        output::json(&info)?;
        return Ok(Outcome::Done);
    }
    let mut text = format!(
        "GPT-NeoX in `{}`\n  {} parameters: {} layers of width {}, {} heads ({} of {} components rotary)\n  \
         {} tokens, {} rows of vocabulary{}, {} positions\n  attention and perceptron {}\n",
        info.model,
        info.parameters,
        info.layers,
        info.width,
        info.heads,
        info.rotary_dims,
        config.head_dim(),
        info.tokens,
        info.vocabulary,
        if info.tied { " (input and output share them)" } else { "" },
        info.context,
        if info.parallel_residual { "side by side" } else { "one after the other" }
    );
    if let (Some(rank), Some(n), Some(base)) = (info.adapter_rank, info.adapter_parameters, &info.base) {
        text.push_str(&format!("  an adapter of rank {rank} ({n} values) for `{base}`\n"));
    }
    if let Some(template) = &info.template {
        text.push_str(&format!("  trained here on `{template}`\n"));
    }
    output::text(&text)?;
    Ok(Outcome::Done)
}
