//! Contrastive training of a [`StaticEncoder`].
//!
//! The same seed gives the same bytes on any number of threads: every row of a product, every text and
//! every token is worked out by one thread in a fixed order.

use std::ops::ControlFlow;

use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::{Side, StaticEncoder, TokenBag};
use crate::WordVecError;
use crate::kernels::{Kernels, LANES};
use crate::train::generator;

/// A query and the document it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// What is asked.
    pub query: TokenBag,
    /// Number of the document.
    pub document: u32,
    /// Numbers of documents that look right and are not.
    pub negatives: Vec<u32>,
}

/// Settings of [`train_encoder`].
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderConfig {
    /// Passes over the pairs.
    pub epochs: usize,
    /// Pairs a step.
    pub batch: usize,
    /// Hard negatives of a pair that take part in a step, drawn anew every time.
    pub hard_negatives: usize,
    /// Documents drawn at random for a step.
    pub random_negatives: usize,
    /// Temperature `τ`.
    pub temperature: f32,
    /// Step of Adam for the table at the start; falls linearly to 0.
    pub learning_rate: f32,
    /// The same for the logarithms of weights.
    pub weight_learning_rate: f32,
    /// Share of a query's tokens left out at random in every step, against learning pairs by heart.
    pub dropout: f32,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for EncoderConfig {
    fn default() -> Self {
        Self {
            epochs: 3,
            batch: 512,
            hard_negatives: 1,
            random_negatives: 512,
            temperature: 0.05,
            learning_rate: 2e-3,
            weight_learning_rate: 1e-2,
            dropout: 0.1,
            seed: 1,
        }
    }
}

impl EncoderConfig {
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
        let rate = |rate: f32| rate > 0.0 && rate.is_finite();
        check("epochs", self.epochs >= 1, &self.epochs, "at least 1")?;
        check("batch", (2..=65_536).contains(&self.batch), &self.batch, "2 to 65536")?;
        check("temperature", rate(self.temperature), &self.temperature, "above 0")?;
        check("learning_rate", rate(self.learning_rate), &self.learning_rate, "above 0")?;
        check(
            "weight_learning_rate",
            rate(self.weight_learning_rate),
            &self.weight_learning_rate,
            "above 0",
        )?;
        check("dropout", (0.0..1.0).contains(&self.dropout), &self.dropout, "from 0 to below 1")
    }
}

/// How far a training is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EncoderProgress {
    /// Steps done.
    pub steps_done: usize,
    /// Steps in all.
    pub steps_total: usize,
    /// Mean loss of a query over the last step at full length.
    pub loss: f32,
}

/// Trains `encoder` on `pairs`; documents a query is paired with elsewhere in a batch never count
/// against it.
///
/// `progress` is called after every step; answering [`ControlFlow::Break`] stops with
/// [`WordVecError::Interrupted`].
///
/// # Errors
/// [`WordVecError::Setting`], [`WordVecError::Document`], [`WordVecError::TooFewPairs`] or
/// [`WordVecError::Interrupted`].
pub fn train_encoder(
    encoder: &mut StaticEncoder,
    documents: &[TokenBag],
    pairs: &[Pair],
    config: &EncoderConfig,
    progress: &mut dyn FnMut(&EncoderProgress) -> ControlFlow<()>,
) -> Result<(), WordVecError> {
    config.validate()?;
    for (pair, numbers) in pairs.iter().enumerate() {
        let n_documents = documents.len();
        if let Some(&document) = numbers
            .negatives
            .iter()
            .chain([&numbers.document])
            .find(|document| **document as usize >= n_documents)
        {
            return Err(WordVecError::Document { pair, document, n_documents });
        }
    }
    let mut order: Vec<u32> = (0..pairs.len() as u32)
        .filter(|&at| {
            let pair = &pairs[at as usize];
            !pair.query.is_empty() && !documents[pair.document as usize].is_empty()
        })
        .collect();
    if order.len() < 2 {
        return Err(WordVecError::TooFewPairs { n_pairs: order.len() });
    }
    let steps_total = config.epochs * order.len().div_ceil(config.batch);
    let mut adam = Adam::new(encoder);
    let kernels = Kernels::exact();
    let mut steps_done = 0;
    for epoch in 0..config.epochs {
        order.shuffle(&mut generator(config.seed, [8, epoch as u64, 0, 0]));
        for chosen in order.chunks(config.batch) {
            let mut rng = generator(config.seed, [9, steps_done as u64, 0, 0]);
            let batch = Batch::draw(chosen, pairs, documents, config, &mut rng);
            let (loss, gradients) = batch.gradients(encoder, config.temperature, &kernels);
            let rest = 1.0 - steps_done as f32 / steps_total as f32;
            // The first moments are of few gradients: rise over the first fiftieth.
            let rate = rest.min((steps_done + 1) as f32 / (steps_total as f32 / 50.0).max(1.0));
            adam.step(
                encoder,
                &batch,
                &gradients,
                rate * config.learning_rate,
                rate * config.weight_learning_rate,
            );
            steps_done += 1;
            if progress(&EncoderProgress { steps_done, steps_total, loss }).is_break() {
                return Err(WordVecError::Interrupted);
            }
        }
    }
    Ok(())
}

/// Texts of one step: queries, then documents (one a query, then hard negatives, then random ones).
struct Batch<'d> {
    queries: Vec<TokenBag>,
    documents: Vec<&'d TokenBag>,
    /// Numbers of `documents`, to know which are the same.
    numbers: Vec<u32>,
}

impl<'d> Batch<'d> {
    fn draw(
        chosen: &[u32],
        pairs: &[Pair],
        documents: &'d [TokenBag],
        config: &EncoderConfig,
        rng: &mut impl rand::Rng,
    ) -> Self {
        let mut queries = Vec::with_capacity(chosen.len());
        let mut numbers = Vec::new();
        for &at in chosen {
            let pair = &pairs[at as usize];
            numbers.push(pair.document);
            let mut query = pair.query.clone();
            if config.dropout > 0.0 && query.len() > 4 {
                query.0.retain(|_| rng.random::<f32>() >= config.dropout);
                if query.is_empty() {
                    query.clone_from(&pair.query);
                }
            }
            queries.push(query);
        }
        for &at in chosen {
            let negatives = &pairs[at as usize].negatives;
            for _ in 0..config.hard_negatives.min(negatives.len()) {
                numbers.push(negatives[rng.random_range(0..negatives.len())]);
            }
        }
        numbers.extend((0..config.random_negatives).map(|_| rng.random_range(0..documents.len() as u32)));
        let documents = numbers.iter().map(|&number| &documents[number as usize]).collect();
        Self { queries, documents, numbers }
    }

    /// Mean loss at full length, and the gradient of the whole loss by every text's `u`,
    /// `[n_queries + n_documents, stride]`.
    fn gradients(&self, encoder: &StaticEncoder, temperature: f32, kernels: &Kernels) -> (f32, Vec<f32>) {
        let (stride, n_queries) = (encoder.stride, self.queries.len());
        let n_texts = n_queries + self.documents.len();
        let mut sums = vec![0.0; n_texts * stride];
        sums.par_chunks_mut(stride).enumerate().for_each(|(at, row)| {
            let (bag, side) = self.text(at);
            encoder.sum(bag, side, kernels, row);
        });
        let mut gradients = vec![0.0; n_texts * stride];
        let mut loss = 0.0;
        for &dim in &encoder.dims {
            let width = dim.next_multiple_of(LANES);
            // Vectors of length 1, and the lengths before.
            let mut units = vec![0.0; n_texts * width];
            let mut norms = vec![0.0_f32; n_texts];
            units.par_chunks_mut(width).zip(&mut norms).zip(sums.par_chunks(stride)).for_each(
                |((unit, norm), sum)| {
                    unit[..dim].copy_from_slice(&sum[..dim]);
                    *norm = sum[..dim].iter().map(|x| x * x).sum::<f32>().sqrt();
                    if *norm > 0.0 {
                        unit.iter_mut().for_each(|x| *x /= *norm);
                    }
                },
            );
            let (queries, documents) = units.split_at(n_queries * width);
            // Scores become the gradient of the loss by them.
            let n_documents = self.documents.len();
            let mut scores = vec![0.0; n_queries * n_documents];
            let losses: Vec<f32> = scores
                .par_chunks_mut(n_documents)
                .enumerate()
                .map(|(at, scores)| {
                    (kernels.dots)(&queries[at * width..(at + 1) * width], documents, scores);
                    self.softmax(at, scores, temperature)
                })
                .collect();
            loss = losses.iter().sum::<f32>() / n_queries as f32;
            let mut unit_gradients = vec![0.0; n_texts * width];
            unit_gradients.par_chunks_mut(width).enumerate().for_each(|(at, gradient)| {
                if at < n_queries {
                    (kernels.combine)(gradient, documents, &scores[at * n_documents..(at + 1) * n_documents]);
                } else {
                    let column: Vec<f32> =
                        scores.iter().skip(at - n_queries).step_by(n_documents).copied().collect();
                    (kernels.combine)(gradient, queries, &column);
                }
            });
            // Through the scaling to length 1: (g - (g·û) û) / ‖u‖.
            gradients
                .par_chunks_mut(stride)
                .zip(unit_gradients.par_chunks(width))
                .zip(units.par_chunks(width))
                .zip(&norms)
                .for_each(|(((sum, gradient), unit), &norm)| {
                    if norm > 0.0 {
                        let along: f32 = gradient.iter().zip(unit).map(|(g, u)| g * u).sum();
                        for ((sum, g), u) in sum.iter_mut().zip(gradient).zip(unit) {
                            *sum += (g - along * u) / norm;
                        }
                    }
                });
        }
        (loss, gradients)
    }

    /// Loss of query `at`; its scores become the gradient of the mean loss by them.
    fn softmax(&self, at: usize, scores: &mut [f32], temperature: f32) -> f32 {
        let own = self.numbers[at];
        let counts = |other: usize| other == at || self.numbers[other] != own;
        let largest = scores
            .iter()
            .enumerate()
            .filter(|(other, _)| counts(*other))
            .fold(f32::NEG_INFINITY, |largest, (_, score)| largest.max(*score));
        let right = scores[at];
        let mut total = 0.0;
        for (other, score) in scores.iter_mut().enumerate() {
            *score = if counts(other) { ((*score - largest) / temperature).exp() } else { 0.0 };
            total += *score;
        }
        let scale = 1.0 / (temperature * self.queries.len() as f32);
        for (other, score) in scores.iter_mut().enumerate() {
            *score = (*score / total - f32::from(u8::from(other == at))) * scale;
        }
        total.ln() - (right - largest) / temperature
    }

    fn text(&self, at: usize) -> (&TokenBag, Side) {
        match at.checked_sub(self.queries.len()) {
            None => (&self.queries[at], Side::Query),
            Some(document) => (self.documents[document], Side::Document),
        }
    }
}

/// Moments of Adam, of all rows; a step touches those of the batch.
struct Adam {
    table: [Vec<f32>; 2],
    weights: [[Vec<f32>; 2]; 2],
    /// Steps a row has taken part in: corrects the bias of its moments.
    n_steps: Vec<u32>,
}

const BETA_1: f32 = 0.9;
const BETA_2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// One row in a step.
struct Touched<'a> {
    row: &'a mut [f32],
    moments: [&'a mut [f32]; 2],
    log_weights: [&'a mut f32; 2],
    weight_moments: [[&'a mut f32; 2]; 2],
    n_steps: &'a mut u32,
}

impl Adam {
    fn new(encoder: &StaticEncoder) -> Self {
        let n = encoder.n_tokens();
        let zeros = || vec![0.0; n];
        Self {
            table: [vec![0.0; encoder.table.len()], vec![0.0; encoder.table.len()]],
            weights: [[zeros(), zeros()], [zeros(), zeros()]],
            n_steps: vec![0; n],
        }
    }

    fn step(
        &mut self,
        encoder: &mut StaticEncoder,
        batch: &Batch<'_>,
        gradients: &[f32],
        rate: f32,
        weight_rate: f32,
    ) {
        let stride = encoder.stride;
        let n_texts = batch.queries.len() + batch.documents.len();
        // Where each token stands, sorted by token, texts in order.
        let mut uses: Vec<(u32, u32, f32)> = Vec::new();
        for at in 0..n_texts {
            let bag = batch.text(at).0;
            uses.extend(bag.0.iter().map(|&(token, count)| (token, at as u32, 1.0 + count.ln())));
        }
        uses.par_sort_by_key(|&(token, at, _)| (token, at));
        let groups: Vec<&[(u32, u32, f32)]> = uses.chunk_by(|a, b| a.0 == b.0).collect();
        let tokens: Vec<usize> = groups.iter().map(|group| group[0].0 as usize).collect();
        let mut touched = touched_rows(self, encoder, &tokens);
        let n_queries = batch.queries.len() as u32;
        touched.par_iter_mut().zip(groups).for_each(|(touched, uses)| {
            let mut gradient = vec![0.0; stride];
            let mut by_weight = [0.0_f32; 2];
            let weights = [touched.log_weights[0].exp(), touched.log_weights[1].exp()];
            for &(_, at, count) in uses {
                let side = usize::from(at >= n_queries);
                let of_text = &gradients[at as usize * stride..(at as usize + 1) * stride];
                let gain = count * weights[side];
                let mut along = 0.0;
                for ((sum, g), x) in gradient.iter_mut().zip(of_text).zip(touched.row.iter()) {
                    *sum += gain * g;
                    along += g * x;
                }
                by_weight[side] += gain * along;
            }
            *touched.n_steps += 1;
            let n = (*touched.n_steps).min(100_000) as i32;
            let (unbias_1, unbias_2) = (1.0 - BETA_1.powi(n), 1.0 - BETA_2.powi(n));
            let change = |first: &mut f32, second: &mut f32, g: f32| {
                *first = BETA_1 * *first + (1.0 - BETA_1) * g;
                *second = BETA_2 * *second + (1.0 - BETA_2) * g * g;
                (*first / unbias_1) / ((*second / unbias_2).sqrt() + EPSILON)
            };
            let [first, second] = &mut touched.moments;
            for (((x, first), second), g) in
                touched.row.iter_mut().zip(first.iter_mut()).zip(second.iter_mut()).zip(gradient)
            {
                *x -= rate * change(first, second, g);
            }
            for ((log_weight, [first, second]), g) in
                touched.log_weights.iter_mut().zip(&mut touched.weight_moments).zip(by_weight)
            {
                **log_weight -= weight_rate * change(first, second, g);
            }
        });
    }
}

/// Mutable parts of the rows of `tokens`, which rise.
fn touched_rows<'a>(
    adam: &'a mut Adam,
    encoder: &'a mut StaticEncoder,
    tokens: &[usize],
) -> Vec<Touched<'a>> {
    let stride = encoder.stride;
    let [first, second] = &mut adam.table;
    let [[query_1, query_2], [document_1, document_2]] = &mut adam.weights;
    let [queries, documents] = &mut encoder.log_weights;
    let mut all = encoder
        .table
        .chunks_exact_mut(stride)
        .zip(first.chunks_exact_mut(stride))
        .zip(second.chunks_exact_mut(stride))
        .zip(queries.iter_mut().zip(documents))
        .zip(query_1.iter_mut().zip(query_2).zip(document_1.iter_mut().zip(document_2)))
        .zip(&mut adam.n_steps);
    let mut next = 0;
    tokens
        .iter()
        .map(|&token| {
            let skipped = token - next;
            next = token + 1;
            let (((((row, first), second), weights), moments), n_steps) =
                all.nth(skipped).expect("tokens rise and are in the table");
            let ((query_1, query_2), (document_1, document_2)) = moments;
            Touched {
                row,
                moments: [first, second],
                log_weights: [weights.0, weights.1],
                weight_moments: [[query_1, query_2], [document_1, document_2]],
                n_steps,
            }
        })
        .collect()
}

/// For every pair, the `k` documents after the first `skip` that its query scores highest, its own left
/// out: what the encoder takes for right. The first few may be right in truth, so some are skipped.
///
/// - `among`: numbers of the documents to look at.
pub fn hard_negatives(
    encoder: &StaticEncoder,
    documents: &[TokenBag],
    among: &[u32],
    pairs: &[Pair],
    skip: usize,
    k: usize,
) -> Vec<Vec<u32>> {
    let kernels = Kernels::fast();
    let stride = encoder.stride;
    let unit = |bag: &TokenBag, side: Side, row: &mut [f32]| {
        encoder.sum(bag, side, &kernels, row);
        super::cut(row, stride);
    };
    let mut rows = vec![0.0; among.len() * stride];
    rows.par_chunks_mut(stride)
        .zip(among)
        .for_each(|(row, &at)| unit(&documents[at as usize], Side::Document, row));
    pairs
        .par_iter()
        .map(|pair| {
            let mut query = vec![0.0; stride];
            unit(&pair.query, Side::Query, &mut query);
            let mut scores = vec![0.0; among.len()];
            (kernels.dots)(&query, &rows, &mut scores);
            let mut order: Vec<u32> =
                (0..among.len() as u32).filter(|&at| among[at as usize] != pair.document).collect();
            let better =
                |a: &u32, b: &u32| scores[*b as usize].total_cmp(&scores[*a as usize]).then(a.cmp(b));
            let n = (skip + k).min(order.len());
            if n > 0 && n < order.len() {
                order.select_nth_unstable_by(n - 1, better);
            }
            order.truncate(n);
            order.sort_unstable_by(better);
            order.into_iter().skip(skip).map(|at| among[at as usize]).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::WordVectors;

    const DIM: usize = 20;

    /// Texts of ten topics; a topic's queries and documents use different words.
    fn topics() -> (StaticEncoder, Vec<TokenBag>, Vec<Pair>) {
        let mut rng = generator(3, [0; 4]);
        let words: Vec<String> = (0..200).map(|at| format!("w{at}")).collect();
        let data = (0..200 * DIM).map(|_| rng.random_range(-1.0..1.0)).collect();
        let encoder =
            StaticEncoder::new(&WordVectors::new(words, DIM, data).unwrap(), &[8, DIM], 0, 1).unwrap();
        let mut text = |topic: usize, half: usize| {
            let words: Vec<String> = (0..6)
                .map(|_| format!("w{}", topic * 20 + half * 10 + rng.random_range(0..10_usize)))
                .collect();
            encoder.bag(words.iter().map(String::as_str))
        };
        let documents: Vec<TokenBag> = (0..300).map(|at| text(at % 10, 0)).collect();
        let pairs = (0..300)
            .map(|at| Pair {
                query: text(at % 10, 1),
                document: at as u32,
                negatives: vec![(at as u32 + 1) % 300],
            })
            .collect();
        (encoder, documents, pairs)
    }

    fn config() -> EncoderConfig {
        EncoderConfig {
            epochs: 4,
            batch: 50,
            random_negatives: 20,
            learning_rate: 1e-2,
            ..EncoderConfig::default()
        }
    }

    #[test]
    fn queries_find_documents_of_their_topic_after_training() {
        let (mut encoder, documents, pairs) = topics();
        let right = |encoder: &StaticEncoder| {
            let all: Vec<u32> = (0..300).collect();
            let found = hard_negatives(encoder, &documents, &all, &pairs, 0, 5);
            let near = found.iter().enumerate().flat_map(|(at, found)| {
                found.iter().map(move |other| usize::from(*other as usize % 10 == at % 10))
            });
            near.sum::<usize>() as f64 / 1500.0
        };
        let before = right(&encoder);
        train_encoder(&mut encoder, &documents, &pairs, &config(), &mut |_| ControlFlow::Continue(()))
            .unwrap();
        let after = right(&encoder);
        assert!(before < 0.3 && after > 0.9, "{before} before, {after} after");
    }

    #[test]
    fn bytes_do_not_depend_on_the_threads() {
        let on =
            |n_threads| {
                let (mut encoder, documents, pairs) = topics();
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                pool.install(|| {
                    train_encoder(&mut encoder, &documents, &pairs, &config(), &mut |_| {
                        ControlFlow::Continue(())
                    })
                    .unwrap();
                });
                encoder
            };
        assert_eq!(on(1), on(3));
    }

    #[test]
    fn gradients_are_those_of_the_loss() {
        let (mut encoder, documents, pairs) = topics();
        let config = EncoderConfig { dropout: 0.0, random_negatives: 7, ..config() };
        let chosen: Vec<u32> = (0..9).collect();
        let batch = Batch::draw(&chosen, &pairs, &documents, &config, &mut generator(1, [0; 4]));
        let kernels = Kernels::plain();
        // The whole loss: the sum over lengths. `gradients` reports the one of the last length.
        let loss = |encoder: &StaticEncoder| {
            let mut total = 0.0;
            for dims in [vec![8], vec![8, DIM]] {
                let mut cut = encoder.clone();
                cut.dims = dims;
                total += f64::from(batch.gradients(&cut, 0.2, &kernels).0);
            }
            total
        };
        let (_, gradients) = batch.gradients(&encoder, 0.2, &kernels);
        let stride = encoder.stride;
        for (text, component) in [(0, 3), (4, 15), (10, 0), (20, 19)] {
            let (bag, side) = batch.text(text);
            let (token, count) = bag.0[0];
            // The gradient by a table entry gathers all texts with the token.
            let expected: f32 = (0..batch.queries.len() + batch.documents.len())
                .map(|at| {
                    let (bag, side) = batch.text(at);
                    let count = bag
                        .0
                        .iter()
                        .find(|(other, _)| *other == token)
                        .map_or(0.0, |(_, count)| 1.0 + count.ln());
                    count * encoder.weight(token as usize, side) * gradients[at * stride + component]
                })
                .sum();
            let place = token as usize * stride + component;
            let old = encoder.table[place];
            let h = 2e-3;
            encoder.table[place] = old + h;
            let plus = loss(&encoder);
            encoder.table[place] = old - h;
            let minus = loss(&encoder);
            encoder.table[place] = old;
            let measured = (plus - minus) / (2.0 * f64::from(h));
            assert!(
                (measured - f64::from(expected)).abs() < 2e-3,
                "{measured} measured, {expected} computed"
            );
            assert!(count > 0.0 && encoder.weight(token as usize, side) > 0.0);
        }
    }

    #[test]
    fn bad_numbers_are_refused() {
        let (mut encoder, documents, mut pairs) = topics();
        pairs[7].negatives.push(300);
        let trained =
            train_encoder(&mut encoder, &documents, &pairs, &config(), &mut |_| ControlFlow::Continue(()));
        assert!(matches!(trained, Err(WordVecError::Document { pair: 7, document: 300, .. })));
        let none =
            train_encoder(&mut encoder, &documents, &[], &config(), &mut |_| ControlFlow::Continue(()));
        assert!(matches!(none, Err(WordVecError::TooFewPairs { n_pairs: 0 })));
    }
}
