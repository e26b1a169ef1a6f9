//! Beam search as transformers does it: the best sequences by the sum of log-probabilities, divided by a
//! power of their length.

use nn::simd::log_sum;

use super::{Cache, Decoder};
use crate::LmError;

/// Settings of a beam search.
#[derive(Debug, Clone, PartialEq)]
pub struct BeamConfig {
    /// Sequences followed, and returned at most.
    pub n_beams: usize,
    /// New tokens at most.
    pub max_new_tokens: usize,
    /// Scores are divided by the length to this power.
    pub length_penalty: f64,
    /// Token that ends a sequence.
    pub stop: u32,
    /// Tokens from here on are never chosen.
    pub n_tokens: usize,
}

/// A sequence still followed.
struct Running {
    cache: Cache,
    tokens: Vec<u32>,
    sum: f64,
}

impl Decoder {
    /// The best continuations of a prompt with their scores, best first.
    ///
    /// # Errors
    /// [`LmError::EmptyPrompt`], [`LmError::TooLong`] or [`LmError::Setting`].
    pub fn beam_search(&self, prompt: &[u32], config: &BeamConfig) -> Result<Vec<(Vec<u32>, f64)>, LmError> {
        self.check_length(prompt.len(), config.max_new_tokens)?;
        if !(1..=256).contains(&config.n_beams) {
            return Err(LmError::Setting {
                name: "beams",
                found: config.n_beams.to_string(),
                expected: "1 to 256",
            });
        }
        let (width, vocabulary) = (self.config().hidden_size, self.config().vocab_size);
        let n_tokens = config.n_tokens.min(vocabulary);
        let normalised = |sum: f64, length: usize| sum / (length as f64).powf(config.length_penalty);
        let mut finished: Vec<(Vec<u32>, f64)> = Vec::new();
        let mut cache = self.new_cache();
        let hidden = self.forward(&mut [&mut cache], &[prompt]);
        let mut rows = self.log_shares(&hidden[hidden.len() - width..]);
        let mut running = vec![Running { cache, tokens: Vec::new(), sum: 0.0 }];
        for length in 1..=config.max_new_tokens {
            // Twice as many candidates as beams, so that ends leave enough to go on with.
            let mut candidates: Vec<(f64, usize, u32)> = Vec::new();
            for (at, (beam, shares)) in running.iter().zip(rows.chunks_exact(vocabulary)).enumerate() {
                let mut best: Vec<(f64, usize, u32)> = shares[..n_tokens]
                    .iter()
                    .enumerate()
                    .map(|(token, share)| (beam.sum + f64::from(*share), at, token as u32))
                    .collect();
                keep_best(&mut best, 2 * config.n_beams);
                candidates.append(&mut best);
            }
            keep_best(&mut candidates, 2 * config.n_beams);
            let is_last = length == config.max_new_tokens;
            let mut next = Vec::new();
            for (rank, &(sum, at, token)) in candidates.iter().enumerate() {
                if token == config.stop || is_last {
                    if rank < config.n_beams {
                        let mut tokens = running[at].tokens.clone();
                        tokens.push(token);
                        finished.push((tokens, normalised(sum, length)));
                    }
                } else if next.len() < config.n_beams {
                    next.push((sum, at, token));
                }
            }
            finished.sort_by(|a, b| b.1.total_cmp(&a.1));
            finished.truncate(config.n_beams);
            let worst = finished.last().filter(|_| finished.len() == config.n_beams).map(|(_, score)| *score);
            let best_running = next.first().map(|(sum, ..)| normalised(*sum, length));
            let may_improve = match (best_running, worst) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(best), Some(worst)) => best > worst,
            };
            if !may_improve {
                break;
            }
            running = next
                .into_iter()
                .map(|(sum, at, token)| {
                    let parent = &running[at];
                    let mut tokens = parent.tokens.clone();
                    tokens.push(token);
                    Running { cache: parent.cache.clone(), tokens, sum }
                })
                .collect();
            let last: Vec<[u32; 1]> =
                running.iter().map(|beam| [beam.tokens.last().copied().unwrap_or(config.stop)]).collect();
            let tokens: Vec<&[u32]> = last.iter().map(<[u32; 1]>::as_slice).collect();
            let mut caches: Vec<&mut Cache> = running.iter_mut().map(|beam| &mut beam.cache).collect();
            let hidden = self.forward(&mut caches, &tokens);
            rows = self.log_shares(&hidden);
        }
        Ok(finished)
    }

    /// Logarithms of the probabilities of all tokens after hidden rows: `[n, width] → [n, vocabulary]`.
    pub fn log_shares(&self, hidden: &[f32]) -> Vec<f32> {
        let mut rows = self.logits(hidden);
        for row in rows.chunks_exact_mut(self.config().vocab_size) {
            let log_sum = log_sum(row);
            row.iter_mut().for_each(|x| *x -= log_sum);
        }
        rows
    }
}

/// Keeps the `n` candidates with the highest score, best first; equal ones in their order.
fn keep_best(candidates: &mut Vec<(f64, usize, u32)>, n: usize) {
    let better =
        |a: &(f64, usize, u32), b: &(f64, usize, u32)| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2)));
    if candidates.len() > n {
        candidates.select_nth_unstable_by(n, better);
        candidates.truncate(n);
    }
    candidates.sort_unstable_by(better);
}
