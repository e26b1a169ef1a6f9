//! Skip-gram with negative sampling (Mikolov et al., 2013), in parallel and reproducible.
//!
//! Every pair of a word and a word of its context moves the word's input vector towards the context
//! word's output vector and away from those of a few random words. The usual way to do this on several
//! threads is to let them write into the same rows without a lock, which gives other vectors on every
//! run. Here the words are dealt at random into eight input blocks and eight output blocks (anew every
//! epoch), the pairs of a piece of text are sorted into the 8 × 8 grid, and the grid is worked through
//! in eight rounds of eight cells that share no row. Cells of a round run in parallel, each in a fixed
//! order with its own random numbers; random words come from the cell's output block. So no row is ever
//! written by two threads, and the bytes are the same for any number of them. (The same partition
//! serves PyTorch-BigGraph and GraphVite for memory rather than for order.)

use std::collections::HashMap;
use std::ops::ControlFlow;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

use crate::{WordVecError, WordVectors};

/// Text as numbers of words, with the vocabulary.
#[derive(Debug, Clone)]
pub struct Corpus {
    words: Vec<String>,
    counts: Vec<u64>,
    /// Word numbers; [`SENTENCE_END`] after every sentence.
    tokens: Vec<u32>,
    n_tokens: u64,
    n_seen: u64,
}

const SENTENCE_END: u32 = u32::MAX;

impl Corpus {
    /// Counts words, drops those rarer than `min_count` (and beyond `max_vocab`), numbers the rest by
    /// falling frequency, equal ones in alphabetical order.
    ///
    /// # Errors
    /// [`WordVecError::TooLittleText`] if fewer than two words are left.
    pub fn from_sentences<S: AsRef<str>>(
        sentences: impl IntoIterator<Item = impl IntoIterator<Item = S>>,
        min_count: u64,
        max_vocab: Option<usize>,
    ) -> Result<Self, WordVecError> {
        let mut number: HashMap<String, u32> = HashMap::new();
        let mut counts: Vec<u64> = Vec::new();
        let mut tokens = Vec::new();
        for sentence in sentences {
            for token in sentence {
                let token = token.as_ref();
                let at = if let Some(&at) = number.get(token) {
                    at
                } else {
                    let at = counts.len() as u32;
                    number.insert(token.to_owned(), at);
                    counts.push(0);
                    at
                };
                counts[at as usize] += 1;
                tokens.push(at);
            }
            tokens.push(SENTENCE_END);
        }
        let n_seen = counts.iter().sum();
        let mut kept: Vec<(String, u32)> =
            number.into_iter().filter(|(_, at)| counts[*at as usize] >= min_count.max(1)).collect();
        kept.sort_unstable_by(|a, b| counts[b.1 as usize].cmp(&counts[a.1 as usize]).then_with(|| a.0.cmp(&b.0)));
        kept.truncate(max_vocab.unwrap_or(usize::MAX));
        if kept.len() < 2 {
            return Err(WordVecError::TooLittleText { n_words: kept.len(), min_count });
        }
        let mut renumber = vec![SENTENCE_END; counts.len()];
        for (new, (_, old)) in kept.iter().enumerate() {
            renumber[*old as usize] = new as u32;
        }
        tokens.retain_mut(|token| {
            if *token == SENTENCE_END {
                return true;
            }
            *token = renumber[*token as usize];
            *token != SENTENCE_END
        });
        let counts: Vec<u64> = kept.iter().map(|(_, old)| counts[*old as usize]).collect();
        let n_tokens = counts.iter().sum();
        Ok(Self { words: kept.into_iter().map(|(word, _)| word).collect(), counts, tokens, n_tokens, n_seen })
    }

    /// The vocabulary, most frequent word first.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// How often each word occurs.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Words of text inside the vocabulary.
    pub fn n_tokens(&self) -> u64 {
        self.n_tokens
    }

    /// Words of text read, those outside the vocabulary included.
    pub fn n_seen(&self) -> u64 {
        self.n_seen
    }
}

/// Settings of [`train_skip_gram`].
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
            if good { Ok(()) } else { Err(WordVecError::Setting { name, found: found.to_string(), expected }) }
        };
        check("dim", (1..=65_536).contains(&self.dim), &self.dim, "1 to 65536")?;
        check("window", (1..=1000).contains(&self.window), &self.window, "1 to 1000")?;
        check("negatives", (1..=1000).contains(&self.negatives), &self.negatives, "1 to 1000")?;
        check("epochs", self.epochs >= 1, &self.epochs, "at least 1")?;
        check("subsample", (0.0..1.0).contains(&self.subsample), &self.subsample, "from 0 to below 1")?;
        let rate = |rate: f32| rate > 0.0 && rate <= 1.0;
        check("learning_rate", rate(self.learning_rate), &self.learning_rate, "above 0, at most 1")?;
        check("min_learning_rate", rate(self.min_learning_rate), &self.min_learning_rate, "above 0, at most 1")
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

/// Blocks on each side of the grid; also the most threads that can work at a time.
const BLOCKS: usize = 8;
/// Words of text whose pairs are sorted into the grid together.
const PIECE: usize = 100_000;
/// Parts of a piece whose pairs are drawn in parallel.
const PARTS: usize = 8;

/// Trains input vectors for every word of the corpus.
///
/// `progress` is called after every piece of text; answering [`ControlFlow::Break`] stops with
/// [`WordVecError::Interrupted`].
///
/// # Errors
/// [`WordVecError::Setting`] or [`WordVecError::Interrupted`].
pub fn train_skip_gram(
    corpus: &Corpus,
    config: &SkipGramConfig,
    progress: &mut dyn FnMut(&TrainingProgress) -> ControlFlow<()>,
) -> Result<WordVectors, WordVecError> {
    config.validate()?;
    let n_words = corpus.words.len();
    let mut rng = generator(config.seed, [0, 0, 0, 0]);
    let bound = 0.5 / config.dim as f32;
    let mut input: Vec<f32> = (0..n_words * config.dim).map(|_| rng.random_range(-bound..bound)).collect();
    let mut output = vec![0.0; n_words * config.dim];
    let keep = keep_shares(corpus, config.subsample);
    let tokens_total = corpus.n_tokens * config.epochs as u64;
    let mut tokens_done = 0;
    for epoch in 0..config.epochs as u64 {
        let mut inputs = Side::deal(&input, config, 1, epoch, n_words);
        let mut outputs = Side::deal(&output, config, 2, epoch, n_words);
        let noise: Vec<Noise> = outputs.members.iter().map(|words| Noise::new(words, &corpus.counts)).collect();
        for (piece, tokens) in pieces(&corpus.tokens).enumerate() {
            let rate = learning_rate(config, tokens_done, tokens_total);
            let grid = draw_pairs(tokens, &keep, config, [epoch, piece as u64], &inputs.place, &outputs.place);
            let (mut loss, mut n_measured) = (0.0, 0);
            for round in 0..BLOCKS {
                let mut columns: Vec<(usize, &mut Vec<f32>)> = outputs.blocks.iter_mut().enumerate().collect();
                columns.rotate_left(round);
                let cells: Vec<(f64, u64)> = inputs
                    .blocks
                    .par_iter_mut()
                    .enumerate()
                    .zip(columns)
                    .map(|((row, inputs), (column, outputs))| {
                        let rng = generator(config.seed, [3 + epoch, piece as u64, row as u64, column as u64]);
                        let cell = Cell { inputs, outputs, noise: &noise[column], config, rate, rng };
                        cell.train(grid.iter().map(|part| part[row * BLOCKS + column].as_slice()))
                    })
                    .collect();
                for (cell_loss, n) in cells {
                    loss += cell_loss;
                    n_measured += n;
                }
            }
            tokens_done += tokens.iter().filter(|&&token| token != SENTENCE_END).count() as u64;
            let mean_loss = loss / n_measured.max(1) as f64;
            let state = TrainingProgress { tokens_done, tokens_total, learning_rate: rate, mean_loss };
            if progress(&state).is_break() {
                return Err(WordVecError::Interrupted);
            }
        }
        inputs.gather(&mut input, config.dim);
        outputs.gather(&mut output, config.dim);
    }
    WordVectors::new(corpus.words.clone(), config.dim, input)?.with_counts(corpus.counts.clone())
}

/// A generator whose stream depends on the seed and the place in the training alone.
fn generator(seed: u64, place: [u64; 4]) -> Xoshiro256PlusPlus {
    // Steps of the golden ratio keep neighbouring places apart; seeding mixes the bits.
    let key = place.iter().fold(seed, |key, part| {
        (key ^ part.wrapping_add(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(29)
    });
    Xoshiro256PlusPlus::seed_from_u64(key)
}

fn learning_rate(config: &SkipGramConfig, done: u64, total: u64) -> f32 {
    let rest = 1.0 - done as f32 / total.max(1) as f32;
    (config.learning_rate * rest).max(config.min_learning_rate.min(config.learning_rate))
}

/// Share of its occurrences each word keeps: `√(t/f) + t/f`, as the original program has it.
fn keep_shares(corpus: &Corpus, threshold: f64) -> Vec<f32> {
    let total = corpus.n_tokens.max(1) as f64;
    corpus
        .counts
        .iter()
        .map(|&count| {
            let ratio = threshold * total / count as f64;
            if threshold == 0.0 { 1.0 } else { (ratio.sqrt() + ratio).min(1.0) as f32 }
        })
        .collect()
}

/// Cuts text at sentence ends into pieces of about [`PIECE`] words.
fn pieces(tokens: &[u32]) -> impl Iterator<Item = &[u32]> {
    cut_at_sentences(tokens, PIECE)
}

fn cut_at_sentences(mut tokens: &[u32], length: usize) -> impl Iterator<Item = &[u32]> {
    std::iter::from_fn(move || {
        if tokens.is_empty() {
            return None;
        }
        let from = length.clamp(1, tokens.len());
        let end = tokens[from - 1..].iter().position(|&token| token == SENTENCE_END);
        let (piece, rest) = tokens.split_at(end.map_or(tokens.len(), |end| from + end));
        tokens = rest;
        Some(piece)
    })
}

/// One side of the grid: words dealt into blocks, with the rows of a block together.
struct Side {
    /// Word numbers of every block.
    members: Vec<Vec<u32>>,
    /// Rows of every block, in the order of its members.
    blocks: Vec<Vec<f32>>,
    /// Block and row inside it, by word.
    place: Vec<(u8, u32)>,
}

impl Side {
    fn deal(rows: &[f32], config: &SkipGramConfig, side: u64, epoch: u64, n_words: usize) -> Self {
        let mut order: Vec<u32> = (0..n_words as u32).collect();
        order.shuffle(&mut generator(config.seed, [1, side, epoch, 0]));
        let mut members = vec![Vec::new(); BLOCKS];
        let mut place = vec![(0, 0); n_words];
        for (at, word) in order.into_iter().enumerate() {
            let block = at % BLOCKS;
            place[word as usize] = (block as u8, members[block].len() as u32);
            members[block].push(word);
        }
        let blocks = members
            .iter()
            .map(|words: &Vec<u32>| {
                words
                    .iter()
                    .flat_map(|&word| &rows[word as usize * config.dim..(word as usize + 1) * config.dim])
                    .copied()
                    .collect()
            })
            .collect();
        Self { members, blocks, place }
    }

    fn gather(&self, rows: &mut [f32], dim: usize) {
        for (words, block) in self.members.iter().zip(&self.blocks) {
            for (&word, row) in words.iter().zip(block.chunks_exact(dim)) {
                rows[word as usize * dim..(word as usize + 1) * dim].copy_from_slice(row);
            }
        }
    }
}

/// Rows of a pair inside their blocks.
type Pair = (u32, u32);

/// Draws the pairs of a piece of text: `[part][cell]`, cells row by row.
fn draw_pairs(
    tokens: &[u32],
    keep: &[f32],
    config: &SkipGramConfig,
    [epoch, piece]: [u64; 2],
    inputs: &[(u8, u32)],
    outputs: &[(u8, u32)],
) -> Vec<Vec<Vec<Pair>>> {
    let parts: Vec<&[u32]> = cut_at_sentences(tokens, tokens.len().div_ceil(PARTS)).collect();
    parts
        .into_par_iter()
        .enumerate()
        .map(|(part, tokens)| {
            let mut rng = generator(config.seed, [2, epoch, piece, part as u64]);
            let mut cells = vec![Vec::new(); BLOCKS * BLOCKS];
            let mut sentence = Vec::new();
            for tokens in tokens.split(|&token| token == SENTENCE_END) {
                sentence.clear();
                for &token in tokens {
                    let share = keep[token as usize];
                    if share >= 1.0 || rng.random::<f32>() < share {
                        sentence.push(token);
                    }
                }
                for (at, &word) in sentence.iter().enumerate() {
                    let width = rng.random_range(1..=config.window);
                    let (row, in_block) = inputs[word as usize];
                    let context = at.saturating_sub(width)..(at + width + 1).min(sentence.len());
                    for other in context.filter(|&other| other != at) {
                        let (column, out_block) = outputs[sentence[other] as usize];
                        cells[usize::from(row) * BLOCKS + usize::from(column)].push((in_block, out_block));
                    }
                }
            }
            cells
        })
        .collect()
}

/// Draws words of one block with probability proportional to `count^0.75`, by the alias method
/// (Walker, 1977; Vose, 1991): one random number a draw.
struct Noise {
    /// Share of a slot that is its own word's.
    own: Vec<f32>,
    /// Word of the rest of a slot.
    other: Vec<u32>,
}

impl Noise {
    fn new(words: &[u32], counts: &[u64]) -> Self {
        let n = words.len();
        let weights: Vec<f64> = words.iter().map(|&word| (counts[word as usize] as f64).powf(0.75)).collect();
        let total: f64 = weights.iter().sum();
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight * n as f64 / total).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..n).partition(|&slot| shares[slot] < 1.0);
        let (mut own, mut other) = (vec![1.0; n], (0..n as u32).collect::<Vec<u32>>());
        while let (Some(&from), Some(slot)) = (large.last(), small.pop()) {
            own[slot] = shares[slot] as f32;
            other[slot] = from as u32;
            shares[from] -= 1.0 - shares[slot];
            if shares[from] < 1.0 {
                large.pop();
                small.push(from);
            }
        }
        Self { own, other }
    }

    fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> u32 {
        let bits: u64 = rng.random();
        let slot = ((bits >> 32) * self.own.len() as u64) >> 32;
        let share = (bits & 0xff_ffff) as f32 / 16_777_216.0;
        if share < self.own[slot as usize] { slot as u32 } else { self.other[slot as usize] }
    }
}

/// One cell of the grid: the pairs between an input block and an output block.
struct Cell<'a> {
    inputs: &'a mut [f32],
    outputs: &'a mut [f32],
    noise: &'a Noise,
    config: &'a SkipGramConfig,
    rate: f32,
    rng: Xoshiro256PlusPlus,
}

/// The loss is measured on one pair in so many: a logarithm a word would cost more than it tells.
const MEASURE_EVERY: usize = 32;

impl Cell<'_> {
    /// Trains on all pairs in order; returns the sum of measured losses and how many there were.
    fn train<'p>(mut self, parts: impl Iterator<Item = &'p [Pair]>) -> (f64, u64) {
        let dim = self.config.dim;
        let mut change = vec![0.0; dim];
        let (mut loss, mut n_measured) = (0.0, 0);
        for (at, &(word, context)) in parts.flatten().enumerate() {
            let measured = at % MEASURE_EVERY == 0;
            let input = &mut self.inputs[word as usize * dim..][..dim];
            change.fill(0.0);
            for draw in 0..=self.config.negatives {
                let target = if draw == 0 { context } else { self.noise.draw(&mut self.rng) };
                if draw > 0 && target == context {
                    continue;
                }
                let output = &mut self.outputs[target as usize * dim..][..dim];
                let label = f32::from(u8::from(draw == 0));
                let score = dot(input, output);
                let likelihood = sigmoid(score);
                if measured {
                    let right = if draw == 0 { likelihood } else { 1.0 - likelihood };
                    loss -= f64::from(right.max(1e-7)).ln();
                }
                step(self.rate * (label - likelihood), input, output, &mut change);
            }
            input.iter_mut().zip(&change).for_each(|(x, change)| *x += change);
            n_measured += u64::from(measured);
        }
        (loss, n_measured)
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Dot product in eight sums, so that it can run in vector registers.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0_f32; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// `change += gain · output`, then `output += gain · input`.
fn step(gain: f32, input: &[f32], output: &mut [f32], change: &mut [f32]) {
    for ((input, output), change) in input.iter().zip(output).zip(change) {
        *change += gain * *output;
        *output += gain * input;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus_of(text: &str) -> Corpus {
        Corpus::from_sentences(text.lines().map(str::split_whitespace), 1, None).unwrap()
    }

    /// Two topics whose words never meet.
    fn two_topics() -> Corpus {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
        let topics = [["ship", "sea", "sailor", "storm", "island"], ["court", "judge", "lawyer", "trial", "jury"]];
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
    fn a_vocabulary_is_sorted_by_count_then_word() {
        let corpus = Corpus::from_sentences(["b a c a".split(' '), "c b rare b".split(' ')], 2, None).unwrap();
        assert_eq!(corpus.words(), ["b", "a", "c"]);
        assert_eq!(corpus.counts(), [3, 2, 2]);
        assert_eq!((corpus.n_tokens(), corpus.n_seen()), (7, 8));
        assert_eq!(corpus.tokens, [0, 1, 2, 1, SENTENCE_END, 2, 0, 0, SENTENCE_END]);
    }

    #[test]
    fn too_little_text_is_refused() {
        let one = Corpus::from_sentences(["a a a".split(' ')], 1, None).unwrap_err();
        assert!(matches!(one, WordVecError::TooLittleText { n_words: 1, .. }));
        let none: [std::str::Split<'_, char>; 0] = [];
        assert!(Corpus::from_sentences(none, 1, None).is_err());
    }

    #[test]
    fn words_of_a_topic_come_together() {
        let config = SkipGramConfig { dim: 16, epochs: 5, subsample: 0.0, seed: 3, ..SkipGramConfig::default() };
        let vectors = train_skip_gram(&two_topics(), &config, &mut no_report).unwrap();
        for (word, others) in
            [("ship", ["sea", "sailor", "storm", "island"]), ("judge", ["court", "lawyer", "trial", "jury"])]
        {
            let nearest = vectors.nearest(vectors.get(word).unwrap(), 4, &[word]);
            for (at, _) in nearest {
                assert!(others.contains(&vectors.words()[at].as_str()), "{} near {word}", vectors.words()[at]);
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
    fn one_step_is_the_gradient_of_the_objective() {
        // d/dv ln σ(v·u) = (1 - σ(v·u)) u, and the same with v and u exchanged.
        let (v, u) = ([0.3_f32, -0.2, 0.5], [0.1_f32, 0.4, -0.6]);
        let (mut output, mut change) = (u, [0.0; 3]);
        let gain = 0.1 * (1.0 - sigmoid(dot(&v, &u)));
        step(gain, &v, &mut output, &mut change);
        let objective = |v: &[f32; 3], u: &[f32; 3]| {
            let product: f64 = v.iter().zip(u).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            -(1.0 + (-product).exp()).ln()
        };
        for at in 0..3 {
            let h = 1e-3;
            let (mut plus, mut minus) = (v, v);
            plus[at] += h;
            minus[at] -= h;
            let by_v = (objective(&plus, &u) - objective(&minus, &u)) / (2.0 * f64::from(h));
            assert!((f64::from(change[at]) - 0.1 * by_v).abs() < 1e-5);
            let (mut plus, mut minus) = (u, u);
            plus[at] += h;
            minus[at] -= h;
            let by_u = (objective(&v, &plus) - objective(&v, &minus)) / (2.0 * f64::from(h));
            assert!((f64::from(output[at] - u[at]) - 0.1 * by_u).abs() < 1e-5);
        }
    }

    #[test]
    fn noise_follows_the_counts() {
        let counts = [1_u64, 16, 81, 256];
        let noise = Noise::new(&[0, 1, 2, 3], &counts);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut drawn = [0_u32; 4];
        for _ in 0..200_000 {
            drawn[noise.draw(&mut rng) as usize] += 1;
        }
        // count^0.75 is 1, 8, 27, 64.
        for (drawn, weight) in drawn.iter().zip([1.0, 8.0, 27.0, 64.0]) {
            assert!((f64::from(*drawn) / 200_000.0 - weight / 100.0).abs() < 0.005, "{drawn} for {weight}");
        }
    }

    #[test]
    fn pieces_end_with_sentences_and_lose_nothing() {
        let tokens: Vec<u32> = (0..100).map(|at| if at % 7 == 6 { SENTENCE_END } else { at }).collect();
        for length in [1, 5, 10, 99, 1000] {
            let cut: Vec<&[u32]> = cut_at_sentences(&tokens, length).collect();
            assert_eq!(cut.concat(), tokens);
            for piece in &cut[..cut.len() - 1] {
                assert_eq!(piece.last(), Some(&SENTENCE_END));
            }
        }
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
            assert!(matches!(train_skip_gram(&corpus, &broken, &mut no_report), Err(WordVecError::Setting { .. })));
        }
    }
}
