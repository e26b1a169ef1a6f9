//! Text from a model: one token at a time with a cache, sampled or by beam search, or only titles of a list.

mod beam;
mod decoder;
mod sampling;
mod trie;

use std::ops::ControlFlow;

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

pub use beam::BeamConfig;
pub use decoder::{Cache, Decoder, Prefix};
pub use nn::skinny::Precision;
pub use sampling::Sampling;
pub use trie::{FoundTitle, TitleSearch, TitleTrie};

use crate::LmError;

/// How far to generate, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateConfig {
    /// New tokens at most.
    pub max_new_tokens: usize,
    /// How a token is chosen.
    pub sampling: Sampling,
    /// Tokens that end a text.
    pub stop: Vec<u32>,
    /// Tokens from here on are never chosen: rows of the vocabulary without a token.
    pub n_tokens: usize,
    /// Seed; every row of a batch has its own stream.
    pub seed: u64,
}

impl Decoder {
    /// Checks that a prompt and what is to follow have places.
    ///
    /// # Errors
    /// [`LmError::EmptyPrompt`] or [`LmError::TooLong`].
    pub fn check_length(&self, n_prompt: usize, n_new: usize) -> Result<(), LmError> {
        let context = self.config().max_positions;
        if n_prompt == 0 {
            return Err(LmError::EmptyPrompt);
        }
        if n_prompt + n_new > context {
            return Err(LmError::TooLong { n_prompt, n_new, context });
        }
        Ok(())
    }

    /// Continues prompts, all together; returns the new tokens of each, the one that ended it included.
    ///
    /// - `on_token`: called with the row and every new token as it comes; can stop everything.
    ///
    /// # Errors
    /// [`LmError::EmptyPrompt`], [`LmError::TooLong`] or [`LmError::Setting`].
    pub fn generate(
        &self,
        prompts: &[Vec<u32>],
        config: &GenerateConfig,
        on_token: &mut dyn FnMut(usize, u32) -> ControlFlow<()>,
    ) -> Result<Vec<Vec<u32>>, LmError> {
        config.sampling.validate()?;
        for prompt in prompts {
            self.check_length(prompt.len(), config.max_new_tokens)?;
        }
        let vocabulary = self.config().vocab_size;
        let n_tokens = config.n_tokens.min(vocabulary);
        let mut new: Vec<Vec<u32>> = vec![Vec::new(); prompts.len()];
        if config.max_new_tokens == 0 {
            return Ok(new);
        }
        let mut random: Vec<Xoshiro256PlusPlus> = (0..prompts.len() as u64)
            .map(|row| {
                Xoshiro256PlusPlus::seed_from_u64(config.seed ^ row.wrapping_mul(0x9E37_79B9_7F4A_7C15))
            })
            .collect();
        let mut caches: Vec<Cache> = prompts.iter().map(|_| self.new_cache()).collect();
        let mut running: Vec<usize> = (0..prompts.len()).collect();
        let mut inputs: Vec<Vec<u32>> = prompts.to_vec();
        let width = self.config().hidden_size;
        let mut logits = Vec::new();
        while !running.is_empty() {
            let tokens: Vec<&[u32]> = running.iter().map(|&row| inputs[row].as_slice()).collect();
            let mut used: Vec<&mut Cache> = caches
                .iter_mut()
                .enumerate()
                .filter(|(row, _)| running.contains(row))
                .map(|(_, cache)| cache)
                .collect();
            let hidden = self.forward(&mut used, &tokens);
            // The last row of every sequence says what follows.
            let mut last = Vec::with_capacity(running.len() * width);
            let mut end = 0;
            for tokens in &tokens {
                end += tokens.len();
                last.extend_from_slice(&hidden[(end - 1) * width..end * width]);
            }
            self.logits_into(&last, &mut logits);
            let mut still = Vec::with_capacity(running.len());
            for (logits, &row) in logits.chunks_exact_mut(vocabulary).zip(&running) {
                logits[n_tokens..].fill(f32::NEG_INFINITY);
                let history = prompts[row].iter().chain(&new[row]).copied();
                config.sampling.penalise(logits, history);
                let token = config.sampling.choose(logits, random[row].random());
                new[row].push(token);
                if on_token(row, token).is_break() {
                    return Ok(new);
                }
                if !config.stop.contains(&token) && new[row].len() < config.max_new_tokens {
                    still.push(row);
                }
                inputs[row] = vec![token];
            }
            running = still;
        }
        Ok(new)
    }
}
