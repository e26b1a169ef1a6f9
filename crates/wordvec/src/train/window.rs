//! Training window by window, for every architecture and objective: in order on one thread, or on several
//! that share rows without a lock.
//!
//! For each word of the text, the rows its window needs are copied together, worked on there, and written
//! back. Skip-gram without subwords moves every context word's row against one set of targets (the word
//! and random words, or its way in the tree). With CBOW or subwords the prediction comes from the mean of
//! several rows; the change of that mean goes to each of them, as in the original programs.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::corpus::SENTENCE_END;
use super::huffman::Tree;
use super::noise::Noise;
use super::subwords::SubwordConfig;
use super::{
    Architecture, Corpus, Mode, Objective, TrainConfig, TrainingProgress, generator, keep_shares,
    learning_rate, loss_of, sigmoid,
};
use crate::WordVecError;
use crate::kernels::{Kernels, SharedRows};

/// Words of text a thread takes at a time.
const PIECE: usize = 10_000;
/// The loss is measured on one window in so many.
const MEASURE_EVERY: u64 = 64;

/// What all threads share.
struct Model<'a> {
    config: &'a TrainConfig,
    kernels: Kernels,
    /// Words first, then buckets of n-grams.
    inputs: SharedRows,
    /// Words, or inner nodes of the tree.
    outputs: SharedRows,
    keep: Vec<f32>,
    targets: Targets,
    /// Rows of `inputs` that make up each word, where it is more than its own.
    parts: Option<Parts>,
}

enum Targets {
    Noise(Noise),
    Tree(Tree),
}

impl Targets {
    /// Most targets of one prediction.
    fn most(&self, negatives: usize) -> usize {
        match self {
            Self::Noise(_) => negatives + 1,
            Self::Tree(tree) => tree.depth(),
        }
    }
}

/// Own row and n-grams of every word.
struct Parts {
    rows: Vec<u32>,
    starts: Vec<usize>,
}

impl Parts {
    fn new(corpus: &Corpus, subwords: &SubwordConfig) -> Self {
        let n_words = corpus.words().len() as u32;
        let (mut rows, mut starts) = (Vec::new(), vec![0]);
        for (at, word) in corpus.words().iter().enumerate() {
            rows.push(at as u32);
            rows.extend(subwords.buckets(word).into_iter().map(|bucket| n_words + bucket));
            starts.push(rows.len());
        }
        Self { rows, starts }
    }

    fn of(&self, word: u32) -> &[u32] {
        &self.rows[self.starts[word as usize]..self.starts[word as usize + 1]]
    }
}

/// Trains and returns the input rows: words, then buckets.
pub(super) fn train(
    corpus: &Corpus,
    config: &TrainConfig,
    subwords: Option<&SubwordConfig>,
    progress: &mut dyn FnMut(&TrainingProgress) -> ControlFlow<()>,
) -> Result<SharedRows, WordVecError> {
    let common = &config.common;
    let (n_words, dim) = (corpus.words().len(), common.dim);
    let mut rng = generator(common.seed, [0, 0, 0, 1]);
    // Means of many rows start as small as single rows.
    let bound = if subwords.is_some() { 1.0 } else { 0.5 } / dim as f32;
    let n_rows = n_words + subwords.map_or(0, |subwords| subwords.n_buckets);
    let targets = match config.objective {
        Objective::NegativeSampling => {
            Targets::Noise(Noise::new(&(0..n_words as u32).collect::<Vec<u32>>(), corpus.counts()))
        }
        Objective::HierarchicalSoftmax => Targets::Tree(Tree::new(corpus.counts())),
    };
    let model = Model {
        config,
        kernels: if config.mode == Mode::Reproducible { Kernels::exact() } else { Kernels::fast() },
        inputs: SharedRows::new((0..n_rows * dim).map(|_| rng.random_range(-bound..bound)), dim),
        outputs: SharedRows::new((0..n_words * dim).map(|_| 0.0), dim),
        keep: keep_shares(corpus, common.subsample),
        targets,
        parts: subwords.map(|subwords| Parts::new(corpus, subwords)),
    };
    let tokens_total = corpus.n_tokens() * common.epochs as u64;
    let tokens_done = AtomicU64::new(0);
    for epoch in 0..common.epochs as u64 {
        run_epoch(corpus, &model, epoch, &tokens_done, tokens_total, progress)?;
    }
    Ok(model.inputs)
}

/// What a thread tells after every piece.
type Report = Result<(f64, u64), WordVecError>;

fn run_epoch(
    corpus: &Corpus,
    model: &Model<'_>,
    epoch: u64,
    tokens_done: &AtomicU64,
    tokens_total: u64,
    progress: &mut dyn FnMut(&TrainingProgress) -> ControlFlow<()>,
) -> Result<(), WordVecError> {
    let common = &model.config.common;
    let n_threads = match model.config.mode {
        Mode::Reproducible => 1,
        Mode::Fast { threads } => threads,
    };
    let pieces = Mutex::new(corpus.pieces(PIECE)?.enumerate());
    let stop = AtomicBool::new(false);
    let (sender, reports) = mpsc::channel::<Report>();
    std::thread::scope(|scope| {
        for _ in 0..n_threads {
            let sender = sender.clone();
            let (pieces, stop) = (&pieces, &stop);
            scope.spawn(move || {
                let mut worker = Worker::new(model);
                while !stop.load(Ordering::Relaxed) {
                    // A thread that died while it held the lock has left the iterator whole.
                    let next = pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((piece, tokens)) = next else { break };
                    let report = tokens.map(|tokens| {
                        worker.rng = generator(common.seed, [u64::MAX, epoch, piece as u64, 0]);
                        worker.rate =
                            learning_rate(common, tokens_done.load(Ordering::Relaxed), tokens_total);
                        let n_tokens = worker.piece(&tokens);
                        tokens_done.fetch_add(n_tokens, Ordering::Relaxed);
                        (std::mem::take(&mut worker.loss), std::mem::take(&mut worker.n_measured))
                    });
                    if sender.send(report).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for report in &reports {
            let told = report.and_then(|(loss, n_measured)| {
                let done = tokens_done.load(Ordering::Relaxed);
                let state = TrainingProgress {
                    tokens_done: done,
                    tokens_total,
                    learning_rate: learning_rate(common, done, tokens_total),
                    mean_loss: loss / n_measured.max(1) as f64,
                };
                if progress(&state).is_break() { Err(WordVecError::Interrupted) } else { Ok(()) }
            });
            if told.is_err() {
                stop.store(true, Ordering::Relaxed);
                return told;
            }
        }
        Ok(())
    })
}

/// One thread's copies of rows.
struct Worker<'m> {
    model: &'m Model<'m>,
    rng: Xoshiro256PlusPlus,
    rate: f32,
    stride: usize,
    sentence: Vec<u32>,
    /// Rows of `inputs` in use, and their copies.
    input_rows: Vec<u32>,
    inputs: Vec<f32>,
    /// For every word of the window, which copy is its own.
    slots: Vec<usize>,
    /// Rows of `outputs` in use, whether each is the right answer, and their copies.
    output_rows: Vec<u32>,
    labels: Vec<bool>,
    outputs: Vec<f32>,
    scores: Vec<f32>,
    change: Vec<f32>,
    /// Random words of the next window, drawn early so that their rows can be on the way.
    next_noise: Vec<u32>,
    before: Vec<f32>,
    row: Vec<f32>,
    n_windows: u64,
    loss: f64,
    n_measured: u64,
}

impl<'m> Worker<'m> {
    fn new(model: &'m Model<'m>) -> Self {
        let stride = model.inputs.stride();
        let common = &model.config.common;
        let most = model.targets.most(common.negatives);
        Self {
            model,
            rng: generator(common.seed, [0; 4]),
            rate: 0.0,
            stride,
            sentence: Vec::new(),
            input_rows: Vec::new(),
            inputs: vec![0.0; 2 * common.window * stride],
            slots: Vec::new(),
            output_rows: Vec::new(),
            labels: Vec::new(),
            outputs: vec![0.0; most * stride],
            scores: vec![0.0; most],
            change: vec![0.0; stride],
            next_noise: Vec::new(),
            before: vec![0.0; stride],
            row: vec![0.0; stride],
            n_windows: 0,
            loss: 0.0,
            n_measured: 0,
        }
    }

    /// Trains on a piece of text; returns its number of words.
    fn piece(&mut self, tokens: &[u32]) -> u64 {
        let mut n_tokens = 0;
        self.n_windows = 0;
        self.next_noise.clear();
        for sentence in tokens.split(|&token| token == SENTENCE_END) {
            n_tokens += sentence.len() as u64;
            let mut kept = std::mem::take(&mut self.sentence);
            kept.clear();
            for &token in sentence {
                let share = self.model.keep[token as usize];
                if share >= 1.0 || self.rng.random::<f32>() < share {
                    kept.push(token);
                }
            }
            for at in 0..kept.len() {
                let width = self.rng.random_range(1..=self.model.config.common.window);
                let around = at.saturating_sub(width)..(at + width + 1).min(kept.len());
                self.fetch_ahead(&kept, at);
                match (self.model.config.architecture, &self.model.parts) {
                    (Architecture::SkipGram, None) => self.skip_gram(&kept, at, around),
                    (Architecture::SkipGram, Some(parts)) => {
                        self.input_rows.clear();
                        self.input_rows.extend_from_slice(parts.of(kept[at]));
                        self.predict_from_mean(around.filter(|&other| other != at).map(|other| kept[other]));
                    }
                    (Architecture::Cbow, parts) => {
                        self.input_rows.clear();
                        for other in around.filter(|&other| other != at) {
                            match parts {
                                Some(parts) => self.input_rows.extend_from_slice(parts.of(kept[other])),
                                None => self.input_rows.push(kept[other]),
                            }
                        }
                        if !self.input_rows.is_empty() {
                            self.predict_from_mean(std::iter::once(kept[at]));
                        }
                    }
                }
                self.n_windows += 1;
            }
            self.sentence = kept;
        }
        n_tokens
    }

    /// Rows of the next window's targets, and of the word that enters it, are asked for now.
    fn fetch_ahead(&mut self, sentence: &[u32], at: usize) {
        if let Some(&entering) = sentence.get(at + 1 + self.model.config.common.window) {
            self.model.inputs.prefetch(entering as usize);
        }
        if let (Targets::Noise(_), Some(&next)) = (&self.model.targets, sentence.get(at + 1)) {
            self.model.outputs.prefetch(next as usize);
        }
    }

    /// Sets `output_rows` and `labels` for predicting `word`, and copies the rows.
    fn choose_targets(&mut self, word: u32) {
        self.output_rows.clear();
        self.labels.clear();
        match &self.model.targets {
            Targets::Noise(noise) => {
                self.output_rows.push(word);
                self.labels.push(true);
                let negatives = self.model.config.common.negatives;
                if self.next_noise.is_empty() {
                    self.next_noise.extend((0..negatives).map(|_| noise.draw(&mut self.rng)));
                }
                for &target in &self.next_noise {
                    if !self.output_rows.contains(&target) {
                        self.output_rows.push(target);
                        self.labels.push(false);
                    }
                }
                for target in &mut self.next_noise {
                    *target = noise.draw(&mut self.rng);
                    self.model.outputs.prefetch(*target as usize);
                }
            }
            Targets::Tree(tree) => {
                let (nodes, turns) = tree.way(word);
                self.output_rows.extend_from_slice(nodes);
                self.labels.extend(turns.iter().map(|&turn| turn == 0));
            }
        }
        for (copy, &row) in self.outputs.chunks_exact_mut(self.stride).zip(&self.output_rows) {
            self.model.outputs.load(row as usize, copy);
        }
    }

    fn store_targets(&self) {
        for (copy, &row) in self.outputs.chunks_exact(self.stride).zip(&self.output_rows) {
            self.model.outputs.store(row as usize, copy);
        }
    }

    /// Moves one input copy against all targets.
    fn step(&mut self, input: &mut [f32]) {
        let n = self.output_rows.len();
        let outputs = &mut self.outputs[..n * self.stride];
        let scores = &mut self.scores[..n];
        (self.model.kernels.dots)(input, outputs, scores);
        let measured = self.n_windows.is_multiple_of(MEASURE_EVERY);
        for (score, &label) in scores.iter_mut().zip(&self.labels) {
            if measured {
                self.loss += loss_of(*score, label);
            }
            *score = self.rate * (f32::from(u8::from(label)) - sigmoid(*score));
        }
        self.n_measured += u64::from(measured);
        (self.model.kernels.update)(input, outputs, scores, &mut self.change);
    }

    /// Every word around `at` predicts the word there.
    fn skip_gram(&mut self, sentence: &[u32], at: usize, around: std::ops::Range<usize>) {
        self.input_rows.clear();
        self.slots.clear();
        for other in around.filter(|&other| other != at) {
            // A word that stands twice in the window has one copy, or one of its changes would be lost.
            let word = sentence[other];
            let slot = self.input_rows.iter().position(|&row| row == word).unwrap_or_else(|| {
                self.input_rows.push(word);
                self.input_rows.len() - 1
            });
            self.slots.push(slot);
        }
        if self.slots.is_empty() {
            return;
        }
        self.choose_targets(sentence[at]);
        let mut inputs = std::mem::take(&mut self.inputs);
        for (copy, &row) in inputs.chunks_exact_mut(self.stride).zip(&self.input_rows) {
            self.model.inputs.load(row as usize, copy);
        }
        for at in 0..self.slots.len() {
            let slot = self.slots[at];
            self.step(&mut inputs[slot * self.stride..(slot + 1) * self.stride]);
        }
        for (copy, &row) in inputs.chunks_exact(self.stride).zip(&self.input_rows) {
            self.model.inputs.store(row as usize, copy);
        }
        self.inputs = inputs;
        self.store_targets();
    }

    /// The mean of `input_rows` predicts each of `words`; its change goes to every one of the rows.
    fn predict_from_mean(&mut self, words: impl Iterator<Item = u32>) {
        let mut mean = std::mem::take(&mut self.row);
        let mut before = std::mem::take(&mut self.before);
        mean.fill(0.0);
        for &row in &self.input_rows {
            self.model.inputs.load(row as usize, &mut before);
            mean.iter_mut().zip(&before).for_each(|(sum, x)| *sum += x);
        }
        let share = 1.0 / self.input_rows.len() as f32;
        mean.iter_mut().for_each(|sum| *sum *= share);
        before.copy_from_slice(&mean);
        for word in words {
            self.choose_targets(word);
            self.step(&mut mean);
            self.store_targets();
        }
        mean.iter_mut().zip(&before).for_each(|(after, before)| *after -= before);
        for &row in &self.input_rows {
            self.model.inputs.load(row as usize, &mut before);
            before.iter_mut().zip(&mean).for_each(|(x, change)| *x += change);
            self.model.inputs.store(row as usize, &before);
        }
        (self.row, self.before) = (mean, before);
    }
}
