//! Skip-gram with negative sampling, in parallel and reproducible.
//!
//! The usual way to train on several threads is to let them write into the same rows without a lock,
//! which gives other vectors on every run. Here the words are dealt at random into eight input blocks and
//! eight output blocks (anew every epoch), the pairs of a piece of text are sorted into the 8 × 8 grid, and
//! the grid is worked through in eight rounds of eight cells that share no row. Cells of a round run in
//! parallel, each in a fixed order with its own random numbers; random words come from the cell's output
//! block. So no row is ever written by two threads, and the bytes are the same for any number of them.
//! (The same partition serves PyTorch-BigGraph and GraphVite for memory rather than for order.)

use std::ops::ControlFlow;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256PlusPlus;
use rayon::prelude::*;

use super::corpus::{SENTENCE_END, cut_at_sentences};
use super::noise::Noise;
use super::{
    Corpus, SkipGramConfig, TrainingProgress, generator, keep_shares, learning_rate, loss_of, sigmoid,
};
use crate::kernels::{Kernels, LANES};
use crate::{WordVecError, WordVectors};

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
    let n_words = corpus.words().len();
    let kernels = Kernels::exact();
    let mut rng = generator(config.seed, [0, 0, 0, 0]);
    let bound = 0.5 / config.dim as f32;
    let mut input: Vec<f32> = (0..n_words * config.dim).map(|_| rng.random_range(-bound..bound)).collect();
    let mut output = vec![0.0; n_words * config.dim];
    let keep = keep_shares(corpus, config.subsample);
    let tokens_total = corpus.n_tokens() * config.epochs as u64;
    let mut tokens_done = 0;
    for epoch in 0..config.epochs as u64 {
        let mut inputs = Side::deal(&input, config, 1, epoch, n_words);
        let mut outputs = Side::deal(&output, config, 2, epoch, n_words);
        let noise: Vec<Noise> =
            outputs.members.iter().map(|words| Noise::new(words, corpus.counts())).collect();
        for (piece, tokens) in corpus.pieces(PIECE)?.enumerate() {
            let tokens = &*tokens?;
            let rate = learning_rate(config, tokens_done, tokens_total);
            let grid =
                draw_pairs(tokens, &keep, config, [epoch, piece as u64], &inputs.place, &outputs.place);
            let (mut loss, mut n_measured) = (0.0, 0);
            for round in 0..BLOCKS {
                let mut columns: Vec<(usize, &mut Vec<f32>)> =
                    outputs.blocks.iter_mut().enumerate().collect();
                columns.rotate_left(round);
                let cells: Vec<(f64, u64)> = inputs
                    .blocks
                    .par_iter_mut()
                    .enumerate()
                    .zip(columns)
                    .map(|((row, inputs), (column, outputs))| {
                        let rng =
                            generator(config.seed, [3 + epoch, piece as u64, row as u64, column as u64]);
                        let cell =
                            Cell { inputs, outputs, noise: &noise[column], config, kernels, rate, rng };
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
    WordVectors::new(corpus.words().to_vec(), config.dim, input)?.with_counts(corpus.counts().to_vec())
}

/// One side of the grid: words dealt into blocks, with the rows of a block together.
struct Side {
    /// Word numbers of every block.
    members: Vec<Vec<u32>>,
    /// Rows of every block, in the order of its members, padded to whole lanes.
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
                let stride = config.dim.next_multiple_of(LANES);
                let mut block = vec![0.0; words.len() * stride];
                for (row, &word) in block.chunks_exact_mut(stride).zip(words) {
                    row[..config.dim].copy_from_slice(&rows[word as usize * config.dim..][..config.dim]);
                }
                block
            })
            .collect();
        Self { members, blocks, place }
    }

    fn gather(&self, rows: &mut [f32], dim: usize) {
        for (words, block) in self.members.iter().zip(&self.blocks) {
            for (&word, row) in words.iter().zip(block.chunks_exact(dim.next_multiple_of(LANES))) {
                rows[word as usize * dim..][..dim].copy_from_slice(&row[..dim]);
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

/// One cell of the grid: the pairs between an input block and an output block.
struct Cell<'a> {
    inputs: &'a mut [f32],
    outputs: &'a mut [f32],
    noise: &'a Noise,
    config: &'a SkipGramConfig,
    kernels: Kernels,
    rate: f32,
    rng: Xoshiro256PlusPlus,
}

/// The loss is measured on one pair in so many: a logarithm a word would cost more than it tells.
const MEASURE_EVERY: usize = 32;

impl Cell<'_> {
    /// Trains on all pairs in order; returns the sum of measured losses and how many there were.
    fn train<'p>(mut self, parts: impl Iterator<Item = &'p [Pair]>) -> (f64, u64) {
        let stride = self.config.dim.next_multiple_of(LANES);
        let n_most = self.config.negatives + 1;
        let (mut targets, mut rows) = (Vec::with_capacity(n_most), vec![0.0; n_most * stride]);
        let (mut scores, mut change) = (vec![0.0; n_most], vec![0.0; stride]);
        let (mut loss, mut n_measured) = (0.0, 0);
        for (at, &(word, context)) in parts.flatten().enumerate() {
            targets.clear();
            targets.push(context);
            for _ in 0..self.config.negatives {
                let target = self.noise.draw(&mut self.rng);
                if !targets.contains(&target) {
                    targets.push(target);
                }
            }
            let input = &mut self.inputs[word as usize * stride..][..stride];
            let rows = &mut rows[..targets.len() * stride];
            for (row, &target) in rows.chunks_exact_mut(stride).zip(&targets) {
                row.copy_from_slice(&self.outputs[target as usize * stride..][..stride]);
            }
            let scores = &mut scores[..targets.len()];
            (self.kernels.dots)(input, rows, scores);
            for (draw, score) in scores.iter_mut().enumerate() {
                let label = f32::from(u8::from(draw == 0));
                if at % MEASURE_EVERY == 0 {
                    loss += loss_of(*score, draw == 0);
                }
                *score = self.rate * (label - sigmoid(*score));
            }
            n_measured += u64::from(at % MEASURE_EVERY == 0);
            (self.kernels.update)(input, rows, scores, &mut change);
            for (row, &target) in rows.chunks_exact(stride).zip(&targets) {
                self.outputs[target as usize * stride..][..stride].copy_from_slice(row);
            }
        }
        (loss, n_measured)
    }
}
