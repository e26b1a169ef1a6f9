//! The steps over a working folder, as the command line and other front ends run them.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use titlecard_engine::artifact::read_bytes;
use titlecard_engine::catalogue::{Film, Split, split_of};
use titlecard_engine::config::{Config, LmConfig};
use titlecard_engine::pipeline::Workspace;
use titlecard_engine::progress::{Progress, Report};

use crate::data::{Dataset, Template};
use crate::generate::{Decoder, Precision, TitleTrie};
use crate::hub;
use crate::log::Record;
use crate::model::{ADAPTER_CONFIG, CONFIG};
use crate::train::{TRAINING, TrainConfig, Trained, Trainer};
use crate::{GptNeoX, LmError, LoraConfig, ModelConfig, StoredAs, Tokenizer};

/// Name of the step in progress.
const TRAINING_STEP: &str = "training the language model";

/// A model with its tokenizer and what it was trained to do.
#[derive(Debug)]
pub struct Opened {
    /// The model, with its adapter if the folder holds one.
    pub model: GptNeoX,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// Template it was trained with here, if it was.
    pub template: Option<Template>,
    /// Where the model is.
    pub folder: PathBuf,
    /// Where the model that an adapter adapts is.
    pub base: Option<String>,
}

/// Settings of the training, from those of the working folder.
pub fn train_config(lm: &LmConfig, seed: u64) -> TrainConfig {
    TrainConfig {
        epochs: lm.epochs,
        max_steps: lm.max_steps,
        batch_tokens: lm.batch_tokens,
        accumulate: lm.accumulate,
        learning_rate: lm.learning_rate,
        final_learning_rate: lm.final_learning_rate,
        warm_up: lm.warm_up,
        weight_decay: lm.weight_decay,
        clip: lm.clip,
        gradient_checkpointing: lm.gradient_checkpointing,
        evaluate_every: lm.evaluate_every,
        dev_examples: lm.dev_examples,
        patience: lm.patience,
        samples: lm.samples,
        seed,
        ..TrainConfig::default()
    }
}

/// The template of the settings.
///
/// # Errors
/// [`LmError::Setting`].
pub fn template(lm: &LmConfig) -> Result<Template, LmError> {
    let named = Template::named(&lm.template)?;
    if lm.prompt.is_empty() && lm.completion.is_empty() {
        return Ok(named);
    }
    let (prompt, completion) = named.source();
    let or = |own: &str, named: &str| if own.is_empty() { named.to_owned() } else { own.to_owned() };
    Template::new(&or(&lm.prompt, prompt), &or(&lm.completion, completion))
}

/// The folder of a model: a folder, or a name that is fetched first.
///
/// # Errors
/// [`LmError::Fetch`] or [`LmError::NoModel`].
pub fn resolve(workspace: &Workspace, name: &str, report: &mut Report<'_>) -> Result<PathBuf, LmError> {
    if hub::is_name(name) {
        hub::fetch(name, &workspace.fetched_models(), report)
    } else {
        Ok(PathBuf::from(name))
    }
}

/// Opens a model or an adapter with its base.
///
/// # Errors
/// [`LmError`] naming what is missing or does not fit.
pub fn open(workspace: &Workspace, folder: &Path, report: &mut Report<'_>) -> Result<Opened, LmError> {
    let is_adapter = folder.join(ADAPTER_CONFIG).exists() && !folder.join(CONFIG).exists();
    let (model, base) = if is_adapter {
        let path = folder.join(ADAPTER_CONFIG);
        let object: Value = serde_json::from_slice(&read_bytes(&path, "titlecard train lm")?)
            .map_err(|error| LmError::Damaged { path: path.clone(), what: error.to_string() })?;
        let base = object["base_model_name_or_path"].as_str().unwrap_or_default().to_owned();
        if base.is_empty() {
            return Err(LmError::Adapter("it does not say which model it is for".to_owned()));
        }
        // As it is written, or beside the adapter.
        let beside = folder.join(&base);
        let place = if beside.exists() { beside } else { resolve(workspace, &base, report)? };
        let mut model = GptNeoX::load(&place)?;
        model.load_lora(folder)?;
        (model, Some(place.display().to_string()))
    } else {
        (GptNeoX::load(folder)?, None)
    };
    let has_own = folder.join(crate::tokenizer::TOKENIZER).exists();
    let tokenizer = match &base {
        Some(base) if !has_own => Tokenizer::load(Path::new(base))?,
        _ => Tokenizer::load(folder)?,
    };
    tokenizer.check(model.config().vocab_size)?;
    let template = saved_template(folder)?;
    Ok(Opened { model, tokenizer, template, folder: folder.to_owned(), base })
}

fn saved_template(folder: &Path) -> Result<Option<Template>, LmError> {
    let path = folder.join(TRAINING);
    if !path.exists() {
        return Ok(None);
    }
    let object: Value = serde_json::from_slice(&read_bytes(&path, "titlecard train lm")?)
        .map_err(|error| LmError::Damaged { path, what: error.to_string() })?;
    match (object["prompt"].as_str(), object["completion"].as_str()) {
        (Some(prompt), Some(completion)) => Ok(Some(Template::new(prompt, completion)?)),
        _ => Ok(None),
    }
}

/// What a training came to.
#[derive(Debug)]
pub struct Summary {
    /// The training's outcome.
    pub trained: Trained,
    /// Where the model is.
    pub folder: PathBuf,
    /// Values trained, of how many.
    pub n_values: (usize, usize),
    /// Training and development examples.
    pub n_examples: (usize, usize),
}

/// Trains a language model on the films of the working folder.
///
/// - `on_record`: hears of everything that goes into the log.
///
/// # Errors
/// [`LmError`]; the model that was there is then as it was.
pub fn train(
    workspace: &Workspace,
    config: &Config,
    films: &[Film],
    resume: bool,
    report: &mut Report<'_>,
    on_record: &mut dyn FnMut(&Record),
) -> Result<Summary, LmError> {
    let lm = &config.lm;
    let settings = train_config(lm, config.run.seed);
    settings.validate()?;
    let template = template(lm)?;
    let folder = workspace.language_model();
    if resume && !Trainer::has_checkpoint(&folder) {
        return Err(LmError::NoCheckpoint { folder });
    }
    let (mut model, tokenizer) = start(workspace, config, films, report)?;
    if lm.lora {
        let lora = LoraConfig {
            r: lm.lora_rank,
            alpha: lm.lora_alpha,
            rank_stabilised: lm.lora_rank_stabilised,
            targets: lm.lora_targets.clone(),
        };
        if lm.model.is_empty() {
            return Err(LmError::Setting {
                name: "lm.lora",
                found: "true".to_owned(),
                expected: "false without `lm.model`: an adapter needs a model to adapt",
            });
        }
        model.add_lora(&lora, config.run.seed)?;
    }
    let context = lm.context.min(model.config().max_positions);
    let end = model.config().eos;
    let data = Dataset::from_films(films, &config.split, &template, &tokenizer, end, context)?;
    let n_examples = (data.train.len(), data.dev.len());
    let n_values = (model.trained().len(), model.n_parameters());
    let (prompt, completion) = template.source();
    let mut trainer = Trainer::new(model, &tokenizer, &data, &settings, &folder, &lm.model)?
        .about("prompt", json!(prompt))
        .about("completion", json!(completion))
        .about("context", json!(context))
        .about("start", json!(if lm.model.is_empty() { &lm.from_scratch } else { &lm.model }));
    if resume {
        trainer = trainer.resume()?;
    }
    let trained = trainer.fit(&mut |event| {
        on_record(event.record);
        let Record::Step { step, loss, tokens_per_second, .. } = event.record else {
            return ControlFlow::Continue(());
        };
        let note =
            format!("loss {loss:.3}, {tokens_per_second:.0} tokens/s, {} left", duration(event.seconds_left));
        report(&Progress { step: TRAINING_STEP, done: *step, total: event.n_steps, note: &note })
    })?;
    Ok(Summary { trained, folder, n_values, n_examples })
}

/// Seconds in words.
fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5999 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{:.1} h", seconds as f64 / 3600.0),
    }
}

/// The model and tokenizer that training begins with.
fn start(
    workspace: &Workspace,
    config: &Config,
    films: &[Film],
    report: &mut Report<'_>,
) -> Result<(GptNeoX, Tokenizer), LmError> {
    let lm = &config.lm;
    if !lm.model.is_empty() {
        let folder = resolve(workspace, &lm.model, report)?;
        return Ok((GptNeoX::load(&folder)?, Tokenizer::load(&folder)?));
    }
    let shape = Path::new(&lm.from_scratch);
    let shape =
        if shape.is_file() { ModelConfig::read(shape)? } else { ModelConfig::named(&lm.from_scratch)? };
    let tokenizer = if lm.tokenizer.is_empty() {
        // Titles and texts of training films alone: nothing of the others is known, not even their words.
        let texts = films
            .iter()
            .filter(|film| split_of(&film.id, &config.split) == Split::Train)
            .flat_map(|film| [film.title.as_str(), film.overview.as_str()]);
        let texts: Vec<&str> = texts.collect();
        Tokenizer::train(texts.into_iter(), shape.vocab_size)?
    } else {
        Tokenizer::load(Path::new(&lm.tokenizer))?
    };
    tokenizer.check(shape.vocab_size)?;
    Ok((GptNeoX::new(&shape, config.run.seed), tokenizer))
}

/// Adds an adapter to its model, checks that both say the same, and writes the result.
///
/// Returns the largest difference between logits of the two on the check.
///
/// # Errors
/// [`LmError::Adapter`] if they differ; nothing is written then.
pub fn merge(opened: &Opened, to: &Path, stored_as: StoredAs) -> Result<f64, LmError> {
    if opened.model.lora().is_none() {
        return Err(LmError::Adapter(format!(
            "`{}` holds none; there is nothing to merge",
            opened.folder.display()
        )));
    }
    let mut merged = opened.model.clone();
    merged.merge_lora();
    let n = opened.tokenizer.n_tokens().min(64) as u32;
    let ids: Vec<u32> = (0..n.min(merged.config().max_positions as u32)).collect();
    let mut batch = crate::Batch::default();
    batch.push(&ids, &vec![false; ids.len()]);
    let places: Vec<usize> = (0..ids.len()).collect();
    let mut workspace = crate::Workspace::new();
    let of_adapter = opened.model.logits(&batch, &places, &mut workspace);
    let of_merged = merged.logits(&batch, &places, &mut workspace);
    let scale = of_adapter.iter().fold(1.0_f32, |largest, x| largest.max(x.abs()));
    let pairs = of_adapter.iter().zip(&of_merged);
    let largest = pairs.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    if largest > 1e-4 * f64::from(scale) {
        return Err(LmError::Adapter(format!("merged logits differ by {largest:e} from the adapter's")));
    }
    merged.save(to, stored_as)?;
    opened.tokenizer.save(to)?;
    let training = opened.folder.join(TRAINING);
    if training.exists() {
        let bytes = read_bytes(&training, "titlecard train lm")?;
        titlecard_engine::artifact::write_bytes(&to.join(TRAINING), &bytes)?;
    }
    Ok(largest)
}

/// The titles of a catalogue as token sequences, each a completion of the model's template with the end token.
/// Where several films share a title the year is added, and the number of films a sequence stands for may
/// be more than one.
#[derive(Debug)]
pub struct Titles {
    /// Title, with the year where the title is not enough.
    pub names: Vec<String>,
    /// Films of every name, by their place in the catalogue.
    pub films: Vec<Vec<usize>>,
    /// For [`Decoder::find_titles`].
    pub trie: TitleTrie,
}

impl Titles {
    /// Collects the titles of films.
    ///
    /// # Errors
    /// [`LmError`] if there is none.
    pub fn new(
        films: &[Film],
        template: &Template,
        tokenizer: &Tokenizer,
        end: u32,
        longest: usize,
    ) -> Result<Self, LmError> {
        use std::collections::BTreeMap;
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        films.iter().for_each(|film| *count.entry(film.title.trim()).or_default() += 1);
        let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, film) in films.iter().enumerate() {
            let title = film.title.trim();
            let name = match film.year {
                Some(year) if count[title] > 1 => format!("{title} ({year})"),
                _ => title.to_owned(),
            };
            by_name.entry(name).or_default().push(at);
        }
        let (names, films): (Vec<String>, Vec<Vec<usize>>) = by_name.into_iter().unzip();
        let completions: Vec<String> = names.iter().map(|name| template.completion_for(name)).collect();
        let texts: Vec<&str> = completions.iter().map(String::as_str).collect();
        let mut sequences = tokenizer.encode_all(&texts)?;
        for sequence in &mut sequences {
            sequence.truncate(longest.saturating_sub(1));
            sequence.push(end);
        }
        Ok(Self { trie: TitleTrie::new(&sequences)?, names, films })
    }
}

/// A decoder of an opened model.
pub fn decoder(opened: &Opened, precision: Precision) -> Decoder {
    Decoder::new(opened.model.clone(), precision)
}
