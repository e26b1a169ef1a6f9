//! A model made ready for generation: adapter merged, weights in the precision asked for, keys and values
//! of what was read kept in a cache.
//!
//! One call reads new tokens of several sequences together: a whole prompt, one token each, or the branches
//! of a search, which share the cache of what they have in common.

use std::sync::Arc;

use nn::attention::{self, Heads, KeysValues, Rotary};
use nn::norm::{self, RowStats};
use nn::simd::add_to_rows;
use nn::skinny::{Precision, Weights};
use rayon::prelude::*;

use crate::model::{DENSE, DOWN, QKV, UP};
use crate::{GptNeoX, ModelConfig};

/// Keys and values of some tokens, by layer and head.
#[derive(Debug, Clone, Default)]
struct Kept {
    n_tokens: usize,
    layers: Vec<Vec<KeysValues>>,
}

/// What several sequences have in common, read once.
#[derive(Debug, Clone)]
pub struct Prefix(Arc<Kept>);

impl Prefix {
    /// Number of its tokens.
    pub fn n_tokens(&self) -> usize {
        self.0.n_tokens
    }
}

/// What was read of a sequence.
#[derive(Debug, Clone)]
pub struct Cache {
    prefix: Option<Arc<Kept>>,
    own: Kept,
}

impl Cache {
    /// Tokens read.
    pub fn n_tokens(&self) -> usize {
        self.prefix.as_ref().map_or(0, |prefix| prefix.n_tokens) + self.own.n_tokens
    }

    /// Makes what was read the common beginning of other sequences.
    ///
    /// # Panics
    /// If the sequence itself has a prefix.
    pub fn into_prefix(self) -> Prefix {
        assert!(self.prefix.is_none(), "a sequence from the start");
        Prefix(Arc::new(self.own))
    }
}

struct DecoderBlock {
    norm_attention: (Vec<f32>, Vec<f32>),
    norm_mlp: (Vec<f32>, Vec<f32>),
    linears: [(Weights, Vec<f32>); 4],
}

/// A model ready to generate.
pub struct Decoder {
    config: ModelConfig,
    rotary: Rotary,
    embed: Weights,
    blocks: Vec<DecoderBlock>,
    norm_final: (Vec<f32>, Vec<f32>),
    /// None where the input matrix is the output matrix.
    head: Option<Weights>,
}

impl Decoder {
    /// Takes a model's weights; an adapter is merged.
    pub fn new(mut model: GptNeoX, precision: Precision) -> Self {
        model.merge_lora();
        let config = model.config().clone();
        let layout = model.layout();
        let values = model.values();
        let (width, vector) =
            (config.hidden_size, |range: &std::ops::Range<usize>| values[range.clone()].to_vec());
        let norm = |norm: &crate::model::Norm| (vector(&norm.weight), vector(&norm.bias));
        let blocks = layout
            .blocks
            .iter()
            .map(|block| DecoderBlock {
                norm_attention: norm(&block.norm_attention),
                norm_mlp: norm(&block.norm_mlp),
                linears: std::array::from_fn(|which| {
                    let linear = &block.linears[which];
                    let weight = Weights::new(&values[linear.weight.clone()], linear.n_in, precision);
                    (weight, linear.bias.as_ref().map(vector).unwrap_or_default())
                }),
            })
            .collect();
        let embed = Weights::new(&values[layout.embed_in.clone()], width, precision);
        let head = (!config.tied).then(|| Weights::new(&values[layout.embed_out.clone()], width, precision));
        let norm_final = norm(&layout.norm_final);
        let rotary = model.rotary().clone();
        Self { config, rotary, embed, blocks, norm_final, head }
    }

    /// The shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Bytes of all matrices.
    pub fn size_bytes(&self) -> usize {
        let of_blocks =
            self.blocks.iter().flat_map(|block| &block.linears).map(|(weights, _)| weights.size_bytes());
        of_blocks.sum::<usize>() + self.embed.size_bytes() + self.head.as_ref().map_or(0, Weights::size_bytes)
    }

    fn empty(&self) -> Kept {
        Kept {
            n_tokens: 0,
            layers: vec![vec![KeysValues::default(); self.config.n_heads]; self.config.n_layers],
        }
    }

    /// A sequence of which nothing was read.
    pub fn new_cache(&self) -> Cache {
        Cache { prefix: None, own: self.empty() }
    }

    /// A sequence that begins with `prefix`.
    pub fn cache_after(&self, prefix: &Prefix) -> Cache {
        Cache { prefix: Some(Arc::clone(&prefix.0)), own: self.empty() }
    }

    /// Reads new tokens of sequences; returns the hidden row after each, through the last norm:
    /// `[n_tokens, width]`, sequence by sequence.
    ///
    /// # Panics
    /// If a token is beyond the vocabulary, or a sequence becomes longer than the context.
    pub fn forward(&self, caches: &mut [&mut Cache], tokens: &[&[u32]]) -> Vec<f32> {
        nn::in_pool(|| self.read(caches, tokens))
    }

    fn read(&self, caches: &mut [&mut Cache], tokens: &[&[u32]]) -> Vec<f32> {
        assert_eq!(caches.len(), tokens.len(), "tokens for every sequence");
        let (width, inner) = (self.config.hidden_size, self.config.intermediate_size);
        let n: usize = tokens.iter().map(|tokens| tokens.len()).sum();
        for (cache, tokens) in caches.iter().zip(tokens) {
            assert!(
                cache.n_tokens() + tokens.len() <= self.config.max_positions,
                "sequences within the context"
            );
        }
        let mut x = vec![0.0; n * width];
        let ids = tokens.iter().flat_map(|tokens| tokens.iter());
        for (row, &id) in x.chunks_exact_mut(width).zip(ids) {
            self.embed.row_into(id as usize, row);
        }
        let mut stats = vec![RowStats::default(); n];
        let mut normed = vec![0.0; n * width];
        let mut qkv = vec![0.0; n * 3 * width];
        let mut attended = vec![0.0; n * width];
        let mut part = vec![0.0; n * width];
        let mut up = vec![0.0; n * inner];
        for (layer, block) in self.blocks.iter().enumerate() {
            norm::row_stats(&x, width, self.config.layer_norm_eps, &mut stats);
            norm::normalise(&x, &stats, &block.norm_attention.0, &block.norm_attention.1, &mut normed);
            linear(&block.linears[QKV], &normed, &mut qkv);
            self.attend(layer, caches, tokens, &mut qkv, &mut attended);
            if self.config.parallel_residual {
                norm::normalise(&x, &stats, &block.norm_mlp.0, &block.norm_mlp.1, &mut normed);
            }
            linear(&block.linears[DENSE], &attended, &mut part);
            x.iter_mut().zip(&part).for_each(|(x, y)| *x += y);
            if !self.config.parallel_residual {
                norm::row_stats(&x, width, self.config.layer_norm_eps, &mut stats);
                norm::normalise(&x, &stats, &block.norm_mlp.0, &block.norm_mlp.1, &mut normed);
            }
            linear(&block.linears[UP], &normed, &mut up);
            self.config.gelu.apply(&mut up);
            linear(&block.linears[DOWN], &up, &mut part);
            x.iter_mut().zip(&part).for_each(|(x, y)| *x += y);
        }
        for (cache, tokens) in caches.iter_mut().zip(tokens) {
            cache.own.n_tokens += tokens.len();
        }
        norm::row_stats(&x, width, self.config.layer_norm_eps, &mut stats);
        norm::normalise(&x, &stats, &self.norm_final.0, &self.norm_final.1, &mut normed);
        normed
    }

    /// Logits of hidden rows: `[n, width] → [n, vocabulary]`.
    pub fn logits(&self, hidden: &[f32]) -> Vec<f32> {
        let mut logits = Vec::new();
        self.logits_into(hidden, &mut logits);
        logits
    }

    /// The same into memory that was used before.
    pub fn logits_into(&self, hidden: &[f32], logits: &mut Vec<f32>) {
        logits.resize(hidden.len() / self.config.hidden_size * self.config.vocab_size, 0.0);
        nn::in_pool(|| self.head.as_ref().unwrap_or(&self.embed).product(hidden, logits));
    }

    /// Turns queries and keys, keeps keys and values, and attends.
    fn attend(
        &self,
        layer: usize,
        caches: &mut [&mut Cache],
        tokens: &[&[u32]],
        qkv: &mut [f32],
        attended: &mut [f32],
    ) {
        let width = self.config.hidden_size;
        let mut tasks = Vec::with_capacity(caches.len());
        let (mut qkv, mut attended) = (qkv, attended);
        for (cache, tokens) in caches.iter_mut().zip(tokens) {
            let (rows, rest) = qkv.split_at_mut(tokens.len() * 3 * width);
            qkv = rest;
            let (out, rest) = attended.split_at_mut(tokens.len() * width);
            attended = rest;
            tasks.push((cache, rows, out));
        }
        if tasks.len() == 1 {
            tasks.into_iter().for_each(|(cache, rows, out)| self.attend_one(layer, cache, rows, out));
        } else {
            tasks.into_par_iter().for_each(|(cache, rows, out)| self.attend_one(layer, cache, rows, out));
        }
    }

    fn attend_one(&self, layer: usize, cache: &mut Cache, qkv: &mut [f32], out: &mut [f32]) {
        let (width, dim) = (self.config.hidden_size, self.config.head_dim());
        let before = cache.n_tokens();
        let kept = &mut cache.own.layers[layer];
        for (at, row) in qkv.chunks_exact_mut(3 * width).enumerate() {
            for (head, (keys, values)) in row.chunks_exact_mut(3 * dim).zip(&mut *kept) {
                let (q, rest) = head.split_at_mut(dim);
                let (k, v) = rest.split_at_mut(dim);
                self.rotary.turn(q, before + at, false);
                self.rotary.turn(k, before + at, false);
                keys.extend_from_slice(k);
                values.extend_from_slice(v);
            }
        }
        // What came before, then what is the sequence's own.
        let mut pieces: Vec<&[KeysValues]> = Vec::with_capacity(2);
        pieces.extend(cache.prefix.as_ref().map(|prefix| prefix.layers[layer].as_slice()));
        pieces.push(&cache.own.layers[layer]);
        let heads = Heads { n_heads: self.config.n_heads, head_dim: dim };
        attention::attend(qkv, &pieces, heads, out);
    }
}

/// `out = x · Wᵀ + b`.
fn linear((weights, bias): &(Weights, Vec<f32>), x: &[f32], out: &mut [f32]) {
    weights.product(x, out);
    add_to_rows(out, bias);
}
