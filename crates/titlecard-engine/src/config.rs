//! All settings in one place: defaults, `titlecard.toml`, `TITLECARD_*` variables, command-line flags.
//!
//! Later sources win, key by key. Every setting has a name like `regressor.epochs`; its environment
//! variable is the name in capitals with `_` for the dot, `TITLECARD_REGRESSOR_EPOCHS`. An unknown key
//! is an error that names the nearest known one, so a typing mistake is never silently ignored.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};
use wordvec::train::{
    Architecture, Mode as TrainingMode, Objective, PhraseConfig, PhraseScore, SkipGramConfig, SubwordConfig,
    TrainConfig,
};

use crate::catalogue::{MAX_UNPACKED, SourceConfig, SourceKind, SplitConfig};
use crate::graph::GraphConfig;
use crate::index::lexical::LexicalConfig;
use crate::rank::FusionWeights;
use crate::rank::learn::RankerConfig;
use crate::regressor::RegressorConfig;
use crate::text::Mode;

/// Why settings could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read settings from `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("`{}` is not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        message: String,
    },
    /// A key that does not exist.
    #[error(
        "{origin}: unknown setting `{key}`; did you mean `{nearest}`? `titlecard config` lists all settings"
    )]
    UnknownKey {
        /// Where it was set.
        origin: String,
        /// The key.
        key: String,
        /// A known key that looks alike.
        nearest: String,
    },
    /// A value of the wrong kind.
    #[error("{origin}: setting `{key}` is `{found}`, expected {expected}")]
    WrongValue {
        /// Where it was set.
        origin: String,
        /// The key.
        key: String,
        /// The value found.
        found: String,
        /// What is expected.
        expected: String,
    },
    /// A value out of range, or settings that contradict each other.
    #[error("settings: {0}")]
    Invalid(String),
}

/// All settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Settings of more than one step.
    pub run: RunConfig,
    /// Reading and cleaning the catalogue.
    pub catalogue: CatalogueConfig,
    /// Which films are for training, development and test.
    pub split: SplitConfig,
    /// How text is cut into words.
    pub text: TextConfig,
    /// The knowledge graph.
    pub graph: GraphConfig,
    /// Word vectors: read from a file or trained on the catalogue.
    pub vectors: VectorsConfig,
    /// From the vector of the tags to the vector of the title.
    pub regressor: RegressorConfig,
    /// BM25 and field weights.
    pub lexical: LexicalConfig,
    /// Weights of the parts of a score.
    pub fusion: FusionWeights,
    /// Learning the rules that rank.
    pub ranker: RankerConfig,
    /// The language model: what it starts from, what it learns, and how.
    pub lm: LmConfig,
    /// Search.
    pub search: SearchConfig,
    /// Evaluation.
    pub eval: EvalConfig,
    /// The HTTP server.
    pub server: ServerConfig,
}

/// Settings of more than one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Seed of everything random; the same seed gives the same results on any number of threads.
    pub seed: u64,
    /// Number of threads; 0 for one a core.
    pub threads: usize,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self { seed: 7, threads: 0 }
    }
}

/// Reading and cleaning the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogueConfig {
    /// File to read; empty for the sample catalogue inside the program.
    pub path: String,
    /// Our field to the column it is read from, where the header does not tell.
    pub columns: BTreeMap<String, String>,
    /// Rows to keep at most; 0 for all.
    pub limit: usize,
    /// Keep films marked as adult.
    pub keep_adult: bool,
    /// Files whose plots, votes, languages and years are joined to the films by id.
    pub join: Vec<String>,
    /// Whether films that only a joined file knows are added, if it tells their plot.
    pub join_adds: bool,
    /// Of a `.zip` at `path`, the file in it; blank for the only table there is.
    pub member: String,
    /// Bytes that a packed file may unpack to, in MB.
    pub max_unpacked_mb: u64,
    /// Sources of the catalogue, tables `[[catalogue.source]]`; a `path` counts as one before them.
    pub source: Vec<SourceConfig>,
}

impl Default for CatalogueConfig {
    fn default() -> Self {
        Self {
            path: String::new(),
            columns: BTreeMap::new(),
            limit: 0,
            keep_adult: false,
            join: Vec::new(),
            join_adds: false,
            member: String::new(),
            max_unpacked_mb: MAX_UNPACKED >> 20,
            source: Vec::new(),
        }
    }
}

impl CatalogueConfig {
    /// All sources, the one at `path` first.
    pub fn sources(&self) -> Vec<SourceConfig> {
        let mut sources = self.source.clone();
        if !self.path.is_empty() && !sources.is_empty() {
            let (path, member, columns) = (self.path.clone(), self.member.clone(), self.columns.clone());
            sources.insert(0, SourceConfig { path, member, columns, ..SourceConfig::default() });
        }
        sources
    }

    fn validate(&self) -> Result<(), String> {
        if self.source.iter().any(|source| source.path.is_empty()) {
            return Err("a `[[catalogue.source]]` has no `path`".to_owned());
        }
        let sources = self.sources();
        if !sources.is_empty() && !sources.iter().any(|source| source.kind == SourceKind::Films) {
            return Err("no `[[catalogue.source]]` has `kind = \"films\"`, and there is no `catalogue.path`"
                .to_owned());
        }
        Ok(())
    }
}

/// How text is cut into words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TextConfig {
    /// `default`, or `compatible` for the research project's cleaning.
    pub mode: Mode,
    /// Reduce English words to their stem in the text index.
    pub stem: bool,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self { mode: Mode::Default, stem: true }
    }
}

/// Word vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VectorsConfig {
    /// File of word vectors (word2vec, GloVe, fastText or our own format); empty for
    /// `models/vectors.tcwv` if it exists and the small vectors inside the program if not.
    pub path: String,
    /// Words to read at most, in file order; 0 for all.
    pub limit: usize,
    /// Training: components of a vector.
    pub dim: usize,
    /// Training: words to each side that count as context, at most.
    pub window: usize,
    /// Training: random words a true context word is told from.
    pub negatives: usize,
    /// Training: what predicts what.
    pub architecture: VectorArchitecture,
    /// Training: what is learned of a prediction.
    pub objective: VectorObjective,
    /// Training: order or speed.
    pub mode: VectorMode,
    /// Training: learn vectors of character n-grams too (`models/vectors.tcsw`), which give every word a
    /// vector.
    pub subwords: bool,
    /// Training: shortest n-gram in characters, marks of begin and end included.
    pub subword_min_n: usize,
    /// Training: longest n-gram.
    pub subword_max_n: usize,
    /// Training: rows that n-grams are hashed into.
    pub subword_buckets: usize,
    /// Training: how often pairs of words that belong together are joined to one (`new_york`) before; 0 for
    /// never, 2 for phrases of up to four words.
    pub phrases: usize,
    /// Training: how pairs are scored.
    pub phrase_score: VectorPhraseScore,
    /// Training: score above which a pair is joined.
    pub phrase_threshold: f64,
    /// Training: pairs seen less often are not joined.
    pub phrase_min_count: u64,
    /// Training: words seen less often are left out.
    pub min_count: u64,
    /// Training: words to keep at most, the most frequent first; 0 for all.
    pub max_vocab: usize,
    /// Training: passes over the text.
    pub epochs: usize,
    /// Training: words more frequent than this share are thinned out; 0 for never.
    pub subsample: f64,
    /// Training: learning rate at the start; it falls linearly.
    pub learning_rate: f32,
}

/// What predicts what in the training of word vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VectorArchitecture {
    /// A word predicts each word around it.
    SkipGram,
    /// The mean of the words around it predicts a word.
    Cbow,
}

/// What is learned of a prediction in the training of word vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VectorObjective {
    /// To tell the word from random ones.
    NegativeSampling,
    /// The turns to it in a binary tree of all words.
    HierarchicalSoftmax,
}

/// Order or speed in the training of word vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VectorMode {
    /// The same bytes for the same seed on any number of threads.
    Reproducible,
    /// Threads share rows without a lock: on more than one, no two trainings give the same bytes.
    Fast,
}

/// How pairs of words are scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VectorPhraseScore {
    /// `(ab - min_count) · V / (a · b)`; thresholds are around 10.
    Original,
    /// Normalised pointwise mutual information, between -1 and 1.
    Npmi,
}

impl VectorsConfig {
    /// Settings of the training; `n_threads` counts in the fast mode alone.
    pub fn training(&self, seed: u64, n_threads: usize) -> TrainConfig {
        TrainConfig {
            common: SkipGramConfig {
                dim: self.dim,
                window: self.window,
                negatives: self.negatives,
                epochs: self.epochs,
                subsample: self.subsample,
                learning_rate: self.learning_rate,
                seed,
                ..SkipGramConfig::default()
            },
            architecture: match self.architecture {
                VectorArchitecture::SkipGram => Architecture::SkipGram,
                VectorArchitecture::Cbow => Architecture::Cbow,
            },
            objective: match self.objective {
                VectorObjective::NegativeSampling => Objective::NegativeSampling,
                VectorObjective::HierarchicalSoftmax => Objective::HierarchicalSoftmax,
            },
            mode: match self.mode {
                VectorMode::Reproducible => TrainingMode::Reproducible,
                VectorMode::Fast => TrainingMode::Fast { threads: n_threads },
            },
        }
    }

    /// Settings of subwords, if they are to be learned.
    pub fn subword_training(&self) -> Option<SubwordConfig> {
        self.subwords.then_some(SubwordConfig {
            min_n: self.subword_min_n,
            max_n: self.subword_max_n,
            n_buckets: self.subword_buckets,
        })
    }

    /// Settings of joining pairs of words.
    pub fn phrase_training(&self) -> PhraseConfig {
        PhraseConfig {
            min_count: self.phrase_min_count,
            threshold: self.phrase_threshold,
            score: match self.phrase_score {
                VectorPhraseScore::Original => PhraseScore::Original,
                VectorPhraseScore::Npmi => PhraseScore::Npmi,
            },
            ..PhraseConfig::default()
        }
    }

    /// Checks what the training would refuse, with the names settings have here.
    fn validate(&self) -> Result<(), String> {
        let named = |error: wordvec::WordVecError| match error {
            wordvec::WordVecError::Setting { name, found, expected } => {
                let name = match name {
                    "min_n to max_n" => "vectors.subword_min_n` to `vectors.subword_max_n".to_owned(),
                    "n_buckets" => "vectors.subword_buckets".to_owned(),
                    "threshold" => "vectors.phrase_threshold".to_owned(),
                    name => format!("vectors.{name}"),
                };
                format!("`{name}` is {found}, it must be {expected}")
            }
            error => error.to_string(),
        };
        self.training(0, 1).validate().map_err(named)?;
        if let Some(subwords) = self.subword_training() {
            subwords.validate().map_err(named)?;
        }
        if self.phrases > MAX_PHRASE_PASSES {
            return Err(format!(
                "`vectors.phrases` is {}, it must be 0 to {MAX_PHRASE_PASSES}",
                self.phrases
            ));
        }
        if self.phrases > 0 {
            self.phrase_training().validate().map_err(named)?;
        }
        Ok(())
    }
}

/// Four passes join up to sixteen words, longer than any phrase.
const MAX_PHRASE_PASSES: usize = 4;

impl Default for VectorsConfig {
    fn default() -> Self {
        let (subwords, phrases) = (SubwordConfig::default(), PhraseConfig::default());
        Self {
            path: String::new(),
            limit: 0,
            dim: 200,
            window: 5,
            negatives: 5,
            architecture: VectorArchitecture::SkipGram,
            objective: VectorObjective::NegativeSampling,
            mode: VectorMode::Reproducible,
            subwords: false,
            subword_min_n: subwords.min_n,
            subword_max_n: subwords.max_n,
            subword_buckets: subwords.n_buckets,
            phrases: 0,
            phrase_score: VectorPhraseScore::Original,
            phrase_threshold: phrases.threshold,
            phrase_min_count: phrases.min_count,
            min_count: 5,
            max_vocab: 0,
            epochs: 5,
            subsample: 1e-3,
            learning_rate: 0.025,
        }
    }
}

/// The language model. Only the settings are here; what they mean is in crate `titlecard-lm`, which checks
/// them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LmConfig {
    /// Model to start from: a folder in Hugging Face layout, or a name to fetch like
    /// `EleutherAI/pythia-70m`; empty to start from scratch.
    pub model: String,
    /// Shape to start from scratch with: `tiny`, a size of Pythia (`14m` to `12b`), or a `config.json`.
    pub from_scratch: String,
    /// Tokenizer to start from scratch with (`tokenizer.json`); empty to learn one from the films.
    pub tokenizer: String,
    /// What is learned: `description-to-title`, `title-to-description` or `text`.
    pub template: String,
    /// Prompt of a template of one's own, with `{title}`, `{overview}` and other fields; empty for that
    /// of `template`.
    pub prompt: String,
    /// What follows it and is learned; empty for that of `template`.
    pub completion: String,
    /// Tokens of an example at most.
    pub context: usize,
    /// Passes over the films.
    pub epochs: usize,
    /// Steps, in place of passes; 0 for none.
    pub max_steps: usize,
    /// Tokens of a batch at most.
    pub batch_tokens: usize,
    /// Batches of a step.
    pub accumulate: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Learning rate at the end.
    pub final_learning_rate: f64,
    /// Share of the steps in which the rate rises from 0.
    pub warm_up: f64,
    /// Decay of matrices.
    pub weight_decay: f32,
    /// Longest gradient of a step; 0 for no limit.
    pub clip: f64,
    /// Less memory for a third more work.
    pub gradient_checkpointing: bool,
    /// Steps between two evaluations; 0 for one a pass.
    pub evaluate_every: usize,
    /// Development examples scored at most; 0 for all.
    pub dev_examples: usize,
    /// Evaluations without improvement after which training ends; 0 for never.
    pub patience: usize,
    /// Development prompts continued at every evaluation.
    pub samples: usize,
    /// Train a low-rank adapter in place of the model.
    pub lora: bool,
    /// Rank of the adapter.
    pub lora_rank: usize,
    /// Numerator of its scale.
    pub lora_alpha: f64,
    /// Divide by the root of the rank.
    pub lora_rank_stabilised: bool,
    /// Linear layers adapted.
    pub lora_targets: Vec<String>,
}

impl Default for LmConfig {
    fn default() -> Self {
        let targets = ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"];
        Self {
            model: String::new(),
            from_scratch: "tiny".to_owned(),
            tokenizer: String::new(),
            template: "description-to-title".to_owned(),
            prompt: String::new(),
            completion: String::new(),
            context: 256,
            epochs: 4,
            max_steps: 0,
            batch_tokens: 1024,
            accumulate: 1,
            learning_rate: 2e-3,
            final_learning_rate: 0.0,
            warm_up: 0.05,
            weight_decay: 0.1,
            clip: 1.0,
            gradient_checkpointing: false,
            evaluate_every: 0,
            dev_examples: 512,
            patience: 0,
            samples: 2,
            lora: false,
            lora_rank: 8,
            lora_alpha: 16.0,
            lora_rank_stabilised: false,
            lora_targets: targets.map(str::to_owned).to_vec(),
        }
    }
}

/// Search.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchConfig {
    /// The year that "20 years ago" in a question counts from; 0 for the present one.
    pub year: i32,
    /// Weigh the words of a question by what they say of the film.
    pub weigh_words: bool,
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self { year: 0, weigh_words: true }
    }
}

impl SearchConfig {
    /// The year that "20 years ago" in a question counts from.
    pub fn year_of_questions(&self) -> i32 {
        const SECONDS_A_YEAR: u64 = 31_556_952;
        if self.year != 0 {
            return self.year;
        }
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        1970 + since_1970.map_or(0, |time| time.as_secs() / SECONDS_A_YEAR) as i32
    }
}

/// Evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalConfig {
    /// Held-out films asked for in the task "title from tags", at most; 0 for all.
    pub max_films: usize,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self { max_films: 5_000 }
    }
}

/// The HTTP server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port to listen on; one that others can reach needs a key (`titlecard serve --new-key`).
    pub address: String,
    /// Names by which the server may be asked for, beside its address; for a proxy in front of it.
    pub hosts: Vec<String>,
    /// Origins whose pages may read answers (CORS); none by default.
    pub origins: Vec<String>,
    /// Whether searching needs no key on an address that others can reach.
    pub public_reads: bool,
    /// Certificate chain for TLS (PEM); empty for plain HTTP.
    pub tls_certificate: String,
    /// Private key for TLS (PEM).
    pub tls_key: String,
    /// Write the texts of questions into the log.
    pub log_queries: bool,
    /// Searches that run at the same time; 0 for one a core.
    pub workers: usize,
    /// Searches that may wait for their turn; more are told to come back (503).
    pub queue: usize,
    /// Requests a second that one key (or, without keys, one address) may make; 0 for any number.
    pub rate_per_second: u32,
    /// Requests it may make at once before that counts.
    pub rate_burst: u32,
    /// Milliseconds after which a request is given up.
    pub deadline_ms: u64,
    /// Milliseconds in which the head of a request must come; a connection without one is closed.
    pub header_timeout_ms: u64,
    /// Milliseconds in which the body of a request must come.
    pub body_timeout_ms: u64,
    /// Milliseconds a client may leave its answer standing.
    pub write_timeout_ms: u64,
    /// Open connections at most.
    pub max_connections: usize,
    /// Longest question, in bytes.
    pub max_query_bytes: usize,
    /// Longest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// Longest body of a change of films or rules, in bytes.
    pub max_update_bytes: usize,
    /// Films in one answer, at most.
    pub max_page: usize,
    /// Milliseconds without a change after which changed films are built into the files of a new state; they are
    /// built in too when the first of them is ten times as old.
    pub rebuild_after_ms: u64,
    /// Milliseconds that requests in flight get to end when the server is stopped.
    pub drain_ms: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:7878".to_owned(),
            hosts: Vec::new(),
            origins: Vec::new(),
            public_reads: false,
            tls_certificate: String::new(),
            tls_key: String::new(),
            log_queries: false,
            workers: 0,
            queue: 64,
            rate_per_second: 50,
            rate_burst: 100,
            deadline_ms: 10_000,
            header_timeout_ms: 10_000,
            body_timeout_ms: 10_000,
            write_timeout_ms: 10_000,
            max_connections: 16_384,
            max_query_bytes: 16_384,
            max_body_bytes: 65_536,
            max_update_bytes: 16_777_216,
            max_page: 100,
            rebuild_after_ms: 60_000,
            drain_ms: 4_000,
        }
    }
}

impl ServerConfig {
    /// The settings that must be at least 1, by name.
    fn validate(&self) -> Result<(), String> {
        let at_least_one = [
            ("rate_burst", self.rate_burst as u64),
            ("deadline_ms", self.deadline_ms),
            ("header_timeout_ms", self.header_timeout_ms),
            ("body_timeout_ms", self.body_timeout_ms),
            ("write_timeout_ms", self.write_timeout_ms),
            ("max_connections", self.max_connections as u64),
            ("max_query_bytes", self.max_query_bytes as u64),
            ("max_body_bytes", self.max_body_bytes as u64),
            ("max_update_bytes", self.max_update_bytes as u64),
            ("max_page", self.max_page as u64),
        ];
        if let Some((name, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(format!("`server.{name}` is 0, it must be at least 1"));
        }
        if self.workers > MAX_THREADS {
            return Err(format!("`server.workers` is {}, it must be 0 to {MAX_THREADS}", self.workers));
        }
        if self.tls_certificate.is_empty() != self.tls_key.is_empty() {
            return Err(
                "`server.tls_certificate` and `server.tls_key` belong together; set both or none".to_owned()
            );
        }
        Ok(())
    }
}

/// Where a setting got its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Not set anywhere.
    Default,
    /// The settings file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag or `--set`.
    Flag(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "`{}`", path.display()),
            Self::Environment(name) => write!(f, "variable `{name}`"),
            Self::Flag(flag) => write!(f, "flag `{flag}`"),
        }
    }
}

/// More threads than any machine of today has cores; a typing mistake shall not start millions.
const MAX_THREADS: usize = 1024;

/// Builds a [`Config`] from its sources, lowest priority first.
#[derive(Debug, Clone)]
pub struct ConfigBuilder {
    values: BTreeMap<String, (Value, Origin)>,
}

impl Default for ConfigBuilder {
    fn default() -> Self {
        let defaults = Table::try_from(Config::default()).unwrap_or_default();
        let mut values = BTreeMap::new();
        flatten("", &defaults, &mut |key, value| {
            values.insert(key.to_owned(), (value.clone(), Origin::Default));
        });
        values.insert(COLUMNS.to_owned(), (Value::Table(Table::new()), Origin::Default));
        Self { values }
    }
}

/// The one setting that is a table: its keys are the user's.
const COLUMNS: &str = "catalogue.columns";

impl ConfigBuilder {
    /// Adds the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError`] if it cannot be read, is not TOML, or has an unknown key or a wrong value.
    pub fn file(self, path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Io { path: path.to_owned(), source })?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        let mut leaves = Vec::new();
        flatten("", &table, &mut |key, value| leaves.push((key.to_owned(), value.clone())));
        leaves
            .into_iter()
            .try_fold(self, |builder, (key, value)| builder.set(&key, value, &Origin::File(path.to_owned())))
    }

    /// Adds variables `TITLECARD_<NAME>`; others are ignored.
    ///
    /// # Errors
    /// [`ConfigError::WrongValue`].
    pub fn environment(
        mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let names: BTreeMap<String, String> =
            self.values.keys().map(|key| (variable_of(key), key.clone())).collect();
        for (name, text) in variables {
            if let Some(key) = names.get(&name) {
                self = self.set_text(key, &text, &Origin::Environment(name))?;
            }
        }
        Ok(self)
    }

    /// Adds one setting given as text, from the flag `flag`.
    ///
    /// # Errors
    /// [`ConfigError::UnknownKey`] or [`ConfigError::WrongValue`].
    pub fn flag(self, flag: &str, key: &str, text: &str) -> Result<Self, ConfigError> {
        self.set_text(key, text, &Origin::Flag(flag.to_owned()))
    }

    fn set_text(self, key: &str, text: &str, origin: &Origin) -> Result<Self, ConfigError> {
        // A bare word is text; anything that reads as TOML is that ("3", "true", "[1024, 512]").
        let parsed =
            format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
        let wants_text = matches!(self.values.get(key), Some((Value::String(_), _)));
        let value = match parsed {
            Some(value @ Value::String(_)) => value,
            Some(value) if !wants_text => value,
            _ => Value::String(text.to_owned()),
        };
        self.set(key, value, origin)
    }

    fn set(mut self, key: &str, value: Value, origin: &Origin) -> Result<Self, ConfigError> {
        if let Some(column) = key.strip_prefix(COLUMNS).and_then(|rest| rest.strip_prefix('.')) {
            if let Some((Value::Table(columns), from)) = self.values.get_mut(COLUMNS) {
                columns.insert(column.to_owned(), value);
                *from = origin.clone();
            }
            return Ok(self);
        }
        let Some((old, from)) = self.values.get_mut(key) else {
            return Err(ConfigError::UnknownKey {
                origin: origin.to_string(),
                key: key.to_owned(),
                nearest: nearest(key, self.values.keys()),
            });
        };
        let value = match (&*old, value) {
            // `learning_rate = 1` means 1.0.
            (Value::Float(_), Value::Integer(number)) => Value::Float(number as f64),
            (_, value) => value,
        };
        if old.type_str() != value.type_str() {
            return Err(ConfigError::WrongValue {
                origin: origin.to_string(),
                key: key.to_owned(),
                found: value.to_string(),
                expected: format!("a value like `{old}`"),
            });
        }
        *old = value;
        *from = origin.clone();
        Ok(self)
    }

    /// Every setting with its value and origin, in alphabetical order.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &Value, &Origin)> {
        self.values.iter().map(|(key, (value, origin))| (key.as_str(), value, origin))
    }

    /// Puts the settings together and checks them.
    ///
    /// # Errors
    /// [`ConfigError::WrongValue`] or [`ConfigError::Invalid`].
    pub fn build(self) -> Result<Config, ConfigError> {
        // Each value alone over the defaults first, so that a bad one can be named.
        for (key, (value, origin)) in &self.values {
            if *origin == Origin::Default {
                continue;
            }
            let mut table = Table::new();
            insert(&mut table, key, value.clone());
            if let Err(error) = Value::Table(table).try_into::<Config>() {
                return Err(ConfigError::WrongValue {
                    origin: origin.to_string(),
                    key: key.clone(),
                    found: value.to_string(),
                    expected: error.message().to_owned(),
                });
            }
        }
        let mut table = Table::new();
        for (key, (value, _)) in self.values {
            insert(&mut table, &key, value);
        }
        let config: Config = Value::Table(table)
            .try_into()
            .map_err(|error| ConfigError::Invalid(error.message().to_owned()))?;
        config.validate()?;
        Ok(config)
    }
}

impl Config {
    /// Checks ranges and combinations.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] naming the setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let invalid = |error: &dyn std::fmt::Display| ConfigError::Invalid(error.to_string());
        self.lexical.validate().map_err(|error| invalid(&error))?;
        self.regressor.validate().map_err(|error| invalid(&error))?;
        if !self.fusion.is_valid() {
            return Err(invalid(&"`fusion` weights must be at least 0, and one of them above"));
        }
        if self.run.threads > MAX_THREADS {
            return Err(invalid(&format!(
                "`run.threads` is {}, it must be 0 to {MAX_THREADS}",
                self.run.threads
            )));
        }
        if !(0.0..=1.0).contains(&self.graph.min_phrase_precision) {
            return Err(invalid(&format!(
                "`graph.min_phrase_precision` is {}, it must be 0 to 1",
                self.graph.min_phrase_precision
            )));
        }
        if !(1..=crate::index::vectors::MAX_DIM).contains(&self.vectors.dim) {
            return Err(invalid(&format!(
                "`vectors.dim` is {}, it must be 1 to {}",
                self.vectors.dim,
                crate::index::vectors::MAX_DIM
            )));
        }
        self.catalogue.validate().map_err(ConfigError::Invalid)?;
        self.vectors.validate().map_err(ConfigError::Invalid)?;
        self.server.validate().map_err(ConfigError::Invalid)?;
        Ok(())
    }

    /// Number of threads to use: the setting, or one a core.
    pub fn n_threads(&self) -> usize {
        match self.run.threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            n => n,
        }
    }
}

/// The environment variable of a setting.
pub fn variable_of(key: &str) -> String {
    format!("TITLECARD_{}", key.replace('.', "_").to_uppercase())
}

fn flatten(prefix: &str, table: &Table, leaf: &mut dyn FnMut(&str, &Value)) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(inner) => flatten(&key, inner, leaf),
            _ => leaf(&key, value),
        }
    }
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((section, rest)) => {
            let inner = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// The known key with the most character pairs in common with `key`.
fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a String>) -> String {
    let pairs = |text: &str| -> Vec<[char; 2]> {
        let letters: Vec<char> = text.chars().collect();
        letters.windows(2).map(|pair| [pair[0], pair[1]]).collect()
    };
    let wanted = pairs(key);
    let likeness = |candidate: &str| {
        let candidate = pairs(candidate);
        let common = wanted.iter().filter(|pair| candidate.contains(pair)).count();
        2.0 * common as f64 / (wanted.len() + candidate.len()).max(1) as f64
    };
    known.max_by(|a, b| likeness(a).total_cmp(&likeness(b))).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("titlecard.toml");
        fs::write(&path, text).unwrap();
        ConfigBuilder::default().file(&path)?.build()
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        assert_eq!(file("").unwrap(), Config::default());
    }

    #[test]
    fn flag_wins_over_environment_over_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("titlecard.toml");
        fs::write(&path, "[run]\nseed = 1\nthreads = 1\n[lexical]\nk1 = 1\n[regressor]\nepochs = 3").unwrap();
        let environment =
            [("TITLECARD_RUN_SEED", "2"), ("TITLECARD_REGRESSOR_EPOCHS", "4"), ("HOME", "/nowhere")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = ConfigBuilder::default()
            .file(&path)
            .unwrap()
            .environment(environment)
            .unwrap()
            .flag("--seed", "run.seed", "3")
            .unwrap()
            .build()
            .unwrap();
        assert_eq!((config.run.seed, config.regressor.epochs, config.run.threads), (3, 4, 1));
        assert_eq!(config.lexical.k1, 1.0);
    }

    #[test]
    fn column_names_are_free() {
        let config = file("[catalogue.columns]\ntitle = \"Film name\"").unwrap();
        assert_eq!(config.catalogue.columns["title"], "Film name");
    }

    #[test]
    fn sources_are_tables() {
        let config = file("[[catalogue.source]]\npath = \"a.csv\"\n[[catalogue.source]]\npath = \"b.zip\"\nkind = \"votes\"\nid = \"imdb\"\npriority = 2\n[catalogue.source.columns]\nvotes = \"n\"").unwrap();
        let [films, votes] = &config.catalogue.source[..] else { panic!("{config:?}") };
        assert_eq!((films.path.as_str(), films.kind), ("a.csv", SourceKind::Films));
        assert_eq!((votes.priority, votes.columns["votes"].as_str()), (2, "n"));
    }

    #[test]
    fn mistakes_are_named() {
        let message = |text| file(text).unwrap_err().to_string();
        assert!(message("[regresor]\nepochs = 3").contains("did you mean `regressor.epochs`?"));
        assert!(message("[run]\nseed = \"x\"").contains("setting `run.seed` is `\"x\"`"));
        assert!(message("[run]\nseed = -4").contains("run.seed"));
        assert!(message("[lexical]\nb = 2.0").contains("`lexical.b` is 2; it must be between 0 and 1"));
        assert!(message("[vectors]\ndim = 0").contains("`vectors.dim` is 0"));
        assert!(message("[vectors]\nwindow = 0").contains("`vectors.window` is 0, it must be 1 to 1000"));
        assert!(message("[vectors]\nmode = \"quick\"").contains("`reproducible` or `fast`"));
        assert!(
            message("[vectors]\nsubwords = true\nsubword_min_n = 7")
                .contains("`vectors.subword_min_n` to `vectors.subword_max_n` is 7 to 6")
        );
        assert!(
            message("[vectors]\nphrases = 1\nphrase_score = \"npmi\"")
                .contains("`vectors.phrase_threshold` is 10, it must be -1 to 1")
        );
        assert!(message("[vectors]\nphrases = 5").contains("`vectors.phrases` is 5, it must be 0 to 4"));
        assert!(
            message("[run]\nthreads = 100000000")
                .contains("`run.threads` is 100000000, it must be 0 to 1024")
        );
        assert!(message("[text]\nmode = \"loud\"").contains("text.mode"));
        assert!(message("[run").contains("is not valid TOML"));
        assert!(message("[[catalogue.source]]\nkind = \"films\"").contains("has no `path`"));
        assert!(message("[[catalogue.source]]\npath = \"a\"\nkind = \"plots\"").contains("kind = \"films\""));
        assert!(message("[[catalogue.source]]\npath = \"a\"\nkind = \"plot\"").contains("catalogue.source"));
        assert!(message("[[catalogue.source]]\npaht = \"a\"").contains("paht"));
        let missing = ConfigBuilder::default().file(Path::new("/nowhere/titlecard.toml")).unwrap_err();
        assert!(missing.to_string().starts_with("cannot read settings from"));
    }
}
