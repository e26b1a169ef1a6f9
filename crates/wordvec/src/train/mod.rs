//! Learning vectors from text: skip-gram and CBOW, with negative sampling or hierarchical softmax, with or
//! without subwords (Mikolov et al., *Distributed representations of words and phrases and their
//! compositionality*, 2013; Bojanowski et al., 2017).
//!
//! A [`Corpus`] is the text as numbers; [`Corpus::from_source`] streams it from a file, and keeps it in a
//! scratch file if it is larger than memory. [`Phrases`] joins words that belong together first.
//!
//! Two modes, because speed and order exclude each other:
//!
//! - [`Mode::Reproducible`]: the same seed gives the same bytes on any number of threads. Skip-gram with
//!   negative sampling runs on all of them (module `grid` says how); everything else runs on one.
//! - [`Mode::Fast`]: threads read and write the same rows without a lock. **Two runs with more than one
//!   thread differ**, and so do different processors; quality does not. Random words are drawn once for a
//!   word and its whole window, not once a pair, so that their rows are fetched once (Ji et al.,
//!   *Parallelizing word2vec in shared and distributed memory*, 2016).
//!
//! ```
//! use std::ops::ControlFlow;
//! use wordvec::train::{Corpus, SkipGramConfig, TrainConfig, train};
//! let text = ["the boat on the sea", "a ship on the sea", "the judge in the court"];
//! let corpus = Corpus::from_sentences(text.map(str::split_whitespace), 1, None)?;
//! let config = TrainConfig { common: SkipGramConfig { dim: 8, ..SkipGramConfig::default() }, ..TrainConfig::default() };
//! let vectors = train(&corpus, &config, &mut |_| ControlFlow::Continue(()))?;
//! assert_eq!((vectors.words()[0].as_str(), vectors.dim()), ("the", 8));
//! # Ok::<(), wordvec::WordVecError>(())
//! ```

use std::ops::ControlFlow;
use std::sync::OnceLock;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::{WordVecError, WordVectors};

mod corpus;
mod grid;
mod huffman;
mod noise;
mod phrases;
mod subwords;
mod window;

pub use corpus::{Corpus, CorpusOptions, SentenceSource, TextFile};
pub use grid::train_skip_gram;
pub use phrases::{Joined, PhraseConfig, PhraseScore, Phrases};
pub use subwords::{SubwordConfig, SubwordVectors};

/// Settings of [`train_skip_gram`], and what [`TrainConfig`] shares with it.
#[derive(Debug, Clone, PartialEq)]
pub struct SkipGramConfig {
    /// Components of a vector.
    pub dim: usize,
    /// Words to each side that count as context, at most; the width is drawn for every word.
    pub window: usize,
    /// Random words a pair.
    pub negatives: usize,
    /// Passes over the text.
    pub epochs: usize,
    /// Words more frequent than this share of the text are thinned out; 0 for never.
    pub subsample: f64,
    /// Learning rate at the start.
    pub learning_rate: f32,
    /// Learning rate at the end; it falls linearly.
    pub min_learning_rate: f32,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for SkipGramConfig {
    /// gensim's and word2vec's usual values.
    fn default() -> Self {
        Self {
            dim: 100,
            window: 5,
            negatives: 5,
            epochs: 5,
            subsample: 1e-3,
            learning_rate: 0.025,
            min_learning_rate: 1e-4,
            seed: 1,
        }
    }
}

impl SkipGramConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`WordVecError::Setting`] naming the first setting out of range.
    pub fn validate(&self) -> Result<(), WordVecError> {
        let check = |name, good: bool, found: &dyn std::fmt::Display, expected| {
            if good {
                Ok(())
            } else {
                Err(WordVecError::Setting { name, found: found.to_string(), expected })
            }
        };
        check("dim", (1..=65_536).contains(&self.dim), &self.dim, "1 to 65536")?;
        check("window", (1..=1000).contains(&self.window), &self.window, "1 to 1000")?;
        check("negatives", (1..=1000).contains(&self.negatives), &self.negatives, "1 to 1000")?;
        check("epochs", self.epochs >= 1, &self.epochs, "at least 1")?;
        check("subsample", (0.0..1.0).contains(&self.subsample), &self.subsample, "from 0 to below 1")?;
        let rate = |rate: f32| rate > 0.0 && rate <= 1.0;
        check("learning_rate", rate(self.learning_rate), &self.learning_rate, "above 0, at most 1")?;
        check(
            "min_learning_rate",
            rate(self.min_learning_rate),
            &self.min_learning_rate,
            "above 0, at most 1",
        )
    }
}

/// What predicts what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Architecture {
    /// A word predicts each word around it.
    #[default]
    SkipGram,
    /// The mean of the words around it predicts a word.
    Cbow,
}

/// What is learned of a prediction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Objective {
    /// To tell the word from random ones; how many is in [`SkipGramConfig::negatives`].
    #[default]
    NegativeSampling,
    /// The turns to it in a binary tree of all words.
    HierarchicalSoftmax,
}

/// Order or speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// The same bytes for the same seed on any number of threads.
    #[default]
    Reproducible,
    /// Threads share rows without a lock: with more than one, no two runs give the same bytes.
    Fast {
        /// Threads, at least 1.
        threads: usize,
    },
}

/// Settings of [`train`] and [`train_subwords`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrainConfig {
    /// Sizes, rates, seed.
    pub common: SkipGramConfig,
    /// What predicts what.
    pub architecture: Architecture,
    /// What is learned of a prediction.
    pub objective: Objective,
    /// Order or speed.
    pub mode: Mode,
}

impl TrainConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`WordVecError::Setting`] naming the first setting out of range.
    pub fn validate(&self) -> Result<(), WordVecError> {
        self.common.validate()?;
        match self.mode {
            Mode::Fast { threads } if !(1..=1024).contains(&threads) => Err(WordVecError::Setting {
                name: "threads",
                found: threads.to_string(),
                expected: "1 to 1024",
            }),
            _ => Ok(()),
        }
    }
}

/// How far a training is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainingProgress {
    /// Words of text worked through, all epochs together.
    pub tokens_done: u64,
    /// Words of text in all epochs.
    pub tokens_total: u64,
    /// Current learning rate.
    pub learning_rate: f32,
    /// Mean loss of a pair over the last piece of text: `-ln σ(v·u) - Σ ln σ(-v·u_random)`.
    pub mean_loss: f64,
}

/// Trains a vector for every word of the corpus.
///
/// `progress` is called after every piece of text; answering [`ControlFlow::Break`] stops with
/// [`WordVecError::Interrupted`].
///
/// # Errors
/// [`WordVecError::Setting`], [`WordVecError::Interrupted`], or [`WordVecError::Io`] if the scratch file
/// of the corpus cannot be read.
pub fn train(
    corpus: &Corpus,
    config: &TrainConfig,
    progress: &mut dyn FnMut(&TrainingProgress) -> ControlFlow<()>,
) -> Result<WordVectors, WordVecError> {
    config.validate()?;
    let plain =
        config.architecture == Architecture::SkipGram && config.objective == Objective::NegativeSampling;
    if plain && config.mode == Mode::Reproducible {
        return train_skip_gram(corpus, &config.common, progress);
    }
    let rows = window::train(corpus, config, None, progress)?.to_rows(corpus.words().len());
    WordVectors::new(corpus.words().to_vec(), config.common.dim, rows)?.with_counts(corpus.counts().to_vec())
}

/// [`train`] with vectors for character n-grams too, which give every word a vector.
///
/// # Errors
/// As [`train`].
pub fn train_subwords(
    corpus: &Corpus,
    config: &TrainConfig,
    subwords: &SubwordConfig,
    progress: &mut dyn FnMut(&TrainingProgress) -> ControlFlow<()>,
) -> Result<SubwordVectors, WordVecError> {
    config.validate()?;
    subwords.validate()?;
    let n_words = corpus.words().len();
    let rows = window::train(corpus, config, Some(subwords), progress)?;
    let (own, buckets) = (rows.to_rows(n_words), rows.rows_from(n_words));
    SubwordVectors::new(corpus.words().to_vec(), corpus.counts().to_vec(), &own, buckets, *subwords)
}

/// A generator whose stream depends on the seed and the place in the training alone.
pub(crate) fn generator(seed: u64, place: [u64; 4]) -> Xoshiro256PlusPlus {
    // Steps of the golden ratio keep neighbouring places apart; seeding mixes the bits.
    let key = place.iter().fold(seed, |key, part| {
        (key ^ part.wrapping_add(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(29)
    });
    Xoshiro256PlusPlus::seed_from_u64(key)
}

/// Falls linearly with the words done.
fn learning_rate(config: &SkipGramConfig, done: u64, total: u64) -> f32 {
    let rest = 1.0 - (done as f64 / total.max(1) as f64) as f32;
    (config.learning_rate * rest).max(config.min_learning_rate.min(config.learning_rate))
}

/// Share of its occurrences each word keeps: `√(t/f) + t/f`, as the original program has it.
fn keep_shares(corpus: &Corpus, threshold: f64) -> Vec<f32> {
    let total = corpus.n_tokens().max(1) as f64;
    corpus
        .counts()
        .iter()
        .map(|&count| {
            let ratio = threshold * total / count as f64;
            if threshold == 0.0 { 1.0 } else { (ratio.sqrt() + ratio).min(1.0) as f32 }
        })
        .collect()
}

/// Where the logistic function is taken for 0 or 1.
const SIGMOID_RANGE: f32 = 8.0;
const SIGMOID_STEPS: usize = 4096;

/// The logistic function, from a table: to 0.0005 of a probability.
fn sigmoid(x: f32) -> f32 {
    static TABLE: OnceLock<Vec<f32>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let at = |step: usize| (step as f64 + 0.5) / SIGMOID_STEPS as f64 * 2.0 - 1.0;
        (0..SIGMOID_STEPS)
            .map(|step| (1.0 / (1.0 + (-at(step) * f64::from(SIGMOID_RANGE)).exp())) as f32)
            .collect()
    });
    if x >= SIGMOID_RANGE {
        1.0
    } else if x <= -SIGMOID_RANGE {
        0.0
    } else {
        // NaN would fall on step 0.
        table[((x + SIGMOID_RANGE) * (SIGMOID_STEPS as f32 / (2.0 * SIGMOID_RANGE))) as usize]
    }
}

/// `-ln σ(score)` if the pair is real, else `-ln σ(-score)`.
fn loss_of(score: f32, real: bool) -> f64 {
    f64::from(if real { -score } else { score }).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    fn corpus_of(text: &str) -> Corpus {
        Corpus::from_sentences(text.lines().map(str::split_whitespace), 1, None).unwrap()
    }

    /// Two topics whose words never meet.
    fn two_topics() -> Corpus {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let topics =
            [["ship", "sea", "sailor", "storm", "island"], ["court", "judge", "lawyer", "trial", "jury"]];
        let mut text = String::new();
        for sentence in 0..1500 {
            for _ in 0..8 {
                text.push_str(topics[sentence % 2][rng.random_range(0..5_usize)]);
                text.push(' ');
            }
            text.push('\n');
        }
        corpus_of(&text)
    }

    fn no_report(_: &TrainingProgress) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn words_of_a_topic_come_together() {
        let config =
            SkipGramConfig { dim: 16, epochs: 5, subsample: 0.0, seed: 3, ..SkipGramConfig::default() };
        let vectors = train_skip_gram(&two_topics(), &config, &mut no_report).unwrap();
        for (word, others) in
            [("ship", ["sea", "sailor", "storm", "island"]), ("judge", ["court", "lawyer", "trial", "jury"])]
        {
            let nearest = vectors.nearest(vectors.get(word).unwrap(), 4, &[word]);
            for (at, _) in nearest {
                assert!(
                    others.contains(&vectors.words()[at].as_str()),
                    "{} near {word}",
                    vectors.words()[at]
                );
            }
        }
    }

    #[test]
    fn bytes_depend_on_the_seed_and_not_on_the_threads() {
        let corpus = two_topics();
        let on = |n_threads, seed| {
            let config = SkipGramConfig { dim: 12, epochs: 2, seed, ..SkipGramConfig::default() };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            pool.install(|| train_skip_gram(&corpus, &config, &mut no_report).unwrap())
        };
        assert_eq!(on(1, 1), on(2, 1));
        assert_eq!(on(1, 1), on(7, 1));
        assert_ne!(on(1, 1).as_slice(), on(1, 2).as_slice());
    }

    #[test]
    fn breaking_off_is_an_error_and_settings_are_checked() {
        let corpus = two_topics();
        let config = SkipGramConfig::default();
        let stopped = train_skip_gram(&corpus, &config, &mut |_| ControlFlow::Break(()));
        assert!(matches!(stopped, Err(WordVecError::Interrupted)));
        for broken in [
            SkipGramConfig { dim: 0, ..config.clone() },
            SkipGramConfig { window: 0, ..config.clone() },
            SkipGramConfig { epochs: 0, ..config.clone() },
            SkipGramConfig { learning_rate: 0.0, ..config.clone() },
        ] {
            assert!(matches!(
                train_skip_gram(&corpus, &broken, &mut no_report),
                Err(WordVecError::Setting { .. })
            ));
        }
    }

    /// Share of each topic word's four nearest that are of its topic.
    fn topics_found(vectors: &WordVectors) -> f64 {
        let topics =
            [["ship", "sea", "sailor", "storm", "island"], ["court", "judge", "lawyer", "trial", "jury"]];
        let mut right = 0;
        for topic in topics {
            for word in topic {
                let nearest = vectors.nearest(vectors.get(word).unwrap(), 4, &[word]);
                right +=
                    nearest.iter().filter(|(at, _)| topic.contains(&vectors.words()[*at].as_str())).count();
            }
        }
        right as f64 / 40.0
    }

    fn every_way() -> Vec<TrainConfig> {
        let common =
            SkipGramConfig { dim: 16, epochs: 6, subsample: 0.0, seed: 3, ..SkipGramConfig::default() };
        let mut ways = Vec::new();
        for architecture in [Architecture::SkipGram, Architecture::Cbow] {
            for objective in [Objective::NegativeSampling, Objective::HierarchicalSoftmax] {
                for mode in [Mode::Reproducible, Mode::Fast { threads: 1 }, Mode::Fast { threads: 3 }] {
                    ways.push(TrainConfig { common: common.clone(), architecture, objective, mode });
                }
            }
        }
        ways
    }

    #[test]
    fn every_architecture_objective_and_mode_finds_the_topics() {
        let corpus = two_topics();
        let subwords = SubwordConfig { n_buckets: 1000, ..SubwordConfig::default() };
        for config in every_way() {
            let vectors = train(&corpus, &config, &mut no_report).unwrap();
            assert!(topics_found(&vectors) > 0.9, "{} with {config:?}", topics_found(&vectors));
            let vectors = train_subwords(&corpus, &config, &subwords, &mut no_report).unwrap();
            assert!(topics_found(vectors.vectors()) > 0.9, "subwords with {config:?}");
        }
    }

    #[test]
    fn the_reproducible_mode_repeats_itself_and_so_does_one_fast_thread() {
        let corpus = two_topics();
        let subwords = SubwordConfig { n_buckets: 100, ..SubwordConfig::default() };
        for mut config in every_way() {
            config.common.epochs = 1;
            if config.mode == (Mode::Fast { threads: 3 }) {
                continue;
            }
            let on = |n_threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                pool.install(|| {
                    let plain = train(&corpus, &config, &mut no_report).unwrap();
                    (plain, train_subwords(&corpus, &config, &subwords, &mut no_report).unwrap())
                })
            };
            assert!(on(1) == on(4), "{config:?}");
        }
    }

    #[test]
    fn the_loss_does_not_rise_again_and_the_learning_rate_falls() {
        let corpus = two_topics();
        for config in every_way() {
            let mut told = Vec::new();
            train(&corpus, &config, &mut |state| {
                told.push(*state);
                ControlFlow::Continue(())
            })
            .unwrap();
            let (first, last) = (told[0], told[told.len() - 1]);
            // In the grid, blocks of one or two of these ten words leave few random words to tell apart, and which
            // blocks meet changes with the epoch; the loss there says nothing.
            let in_grid = config.architecture == Architecture::SkipGram
                && config.objective == Objective::NegativeSampling
                && config.mode == Mode::Reproducible;
            // With several threads, the first report may come when the others have done most of the work.
            let is_shared = config.mode == (Mode::Fast { threads: 3 });
            let (before, after) = (first.mean_loss, last.mean_loss);
            // Ten words are learned within the first piece; after that the loss stays where it is, but for noise.
            assert!(in_grid || is_shared || after < before + 0.15, "{config:?}: {before} then {after}");
            assert!(last.learning_rate <= first.learning_rate, "{config:?}");
            assert_eq!(last.tokens_done, last.tokens_total);
        }
    }

    #[test]
    fn every_mode_can_be_stopped_and_checks_its_threads() {
        let corpus = two_topics();
        for config in every_way() {
            let stopped = train(&corpus, &config, &mut |_| ControlFlow::Break(()));
            assert!(matches!(stopped, Err(WordVecError::Interrupted)));
        }
        let config = TrainConfig { mode: Mode::Fast { threads: 0 }, ..TrainConfig::default() };
        assert!(matches!(
            train(&corpus, &config, &mut no_report),
            Err(WordVecError::Setting { name: "threads", .. })
        ));
    }

    #[test]
    fn the_logistic_table_is_close_and_bounded() {
        for step in -2000..2000 {
            let x = step as f32 / 200.0;
            assert!((sigmoid(x) - 1.0 / (1.0 + (-x).exp())).abs() < 6e-4, "at {x}");
        }
        assert_eq!((sigmoid(f32::MAX), sigmoid(f32::MIN)), (1.0, 0.0));
    }
}
