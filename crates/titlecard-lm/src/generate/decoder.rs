//! A model made ready for generation: adapter merged, weights in the precision asked for, keys and values
//! of what was read kept in a cache.
//!
//! One call reads new tokens of several sequences together: a whole prompt, one token each, or the branches
//! of a search, which share the cache of what they have in common.

use std::sync::Arc;

use nn::attention::{Rotary, softmax};
use nn::norm::{self, RowStats};
use nn::simd::{add_scaled, add_to_rows, dot, wide};
use nn::skinny::{Precision, Weights};
use nn::{Operand, multiply_into, multiply_strided};
use rayon::prelude::*;

use crate::model::{DENSE, DOWN, QKV, UP};
use crate::{GptNeoX, ModelConfig};

/// Keys and values of some tokens, by layer: `[n_tokens, width]` each.
#[derive(Debug, Clone, Default)]
struct Kept {
    n_tokens: usize,
    layers: Vec<(Vec<f32>, Vec<f32>)>,
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

/// From so many rows on, a general matrix product is faster than reading weights row by row.
const GENERAL_FROM: usize = 48;
/// From so many new tokens on, attention goes through matrix products.
const PRODUCT_FROM: usize = 8;

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
        Kept { n_tokens: 0, layers: vec![(Vec::new(), Vec::new()); self.config.n_layers] }
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
            linear(&block.linears[QKV], &normed, width, &mut qkv);
            self.attend(layer, caches, tokens, &mut qkv, &mut attended);
            if self.config.parallel_residual {
                norm::normalise(&x, &stats, &block.norm_mlp.0, &block.norm_mlp.1, &mut normed);
            }
            linear(&block.linears[DENSE], &attended, width, &mut part);
            x.iter_mut().zip(&part).for_each(|(x, y)| *x += y);
            if !self.config.parallel_residual {
                norm::row_stats(&x, width, self.config.layer_norm_eps, &mut stats);
                norm::normalise(&x, &stats, &block.norm_mlp.0, &block.norm_mlp.1, &mut normed);
            }
            linear(&block.linears[UP], &normed, width, &mut up);
            self.config.gelu.apply(&mut up);
            linear(&block.linears[DOWN], &up, inner, &mut part);
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
        let width = self.config.hidden_size;
        let mut logits = vec![0.0; hidden.len() / width * self.config.vocab_size];
        product(self.head.as_ref().unwrap_or(&self.embed), hidden, width, &mut logits);
        logits
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
        let (width, dim, n_heads) = (self.config.hidden_size, self.config.head_dim(), self.config.n_heads);
        let n = out.len() / width;
        let before = cache.n_tokens();
        let (keys, values) = &mut cache.own.layers[layer];
        for (at, row) in qkv.chunks_exact_mut(3 * width).enumerate() {
            for head in row.chunks_exact_mut(3 * dim) {
                let (q, rest) = head.split_at_mut(dim);
                let (k, v) = rest.split_at_mut(dim);
                self.rotary.turn(q, before + at, false);
                self.rotary.turn(k, before + at, false);
                keys.extend_from_slice(k);
                values.extend_from_slice(v);
            }
        }
        // What came before, then what is the sequence's own.
        let mut pieces: Vec<(&[f32], &[f32])> = Vec::with_capacity(2);
        if let Some(prefix) = &cache.prefix {
            let (keys, values) = &prefix.layers[layer];
            pieces.push((keys, values));
        }
        let (keys, values) = &cache.own.layers[layer];
        pieces.push((keys, values));
        let total = before + n;
        let scale = 1.0 / (dim as f32).sqrt();
        let mut scores = vec![0.0_f32; n * total];
        for head in 0..n_heads {
            let mut first = 0;
            for (keys, _) in &pieces {
                let n_keys = keys.len() / width;
                if n_keys == 0 {
                    continue;
                }
                if n >= PRODUCT_FROM {
                    let queries = Operand::strided(&qkv[head * 3 * dim..], n, dim, 3 * width);
                    let keys = Operand::strided(&keys[head * dim..], n_keys, dim, width);
                    multiply_strided(queries, keys.t(), &mut scores[first..], total, scale, false);
                } else {
                    wide(
                        #[inline(always)]
                        || {
                            for i in 0..n {
                                let query = &qkv[i * 3 * width + head * 3 * dim..][..dim];
                                let row = &mut scores[i * total + first..][..n_keys];
                                for (score, key) in row.iter_mut().zip(keys[head * dim..].chunks(width)) {
                                    *score = dot(query, &key[..dim]) * scale;
                                }
                            }
                        },
                    );
                }
                first += n_keys;
            }
            wide(
                #[inline(always)]
                || {
                    for i in 0..n {
                        let (seen, beyond) = scores[i * total..(i + 1) * total].split_at_mut(before + i + 1);
                        softmax(seen);
                        beyond.fill(0.0);
                    }
                },
            );
            let mut first = 0;
            for (at, (_, values)) in pieces.iter().enumerate() {
                let n_values = values.len() / width;
                if n >= PRODUCT_FROM && n_values > 0 {
                    let shares = Operand::strided(&scores[first..], n, n_values, total);
                    let values = Operand::strided(&values[head * dim..], n_values, dim, width);
                    multiply_strided(shares, values, &mut out[head * dim..], width, 1.0, at > 0 && first > 0);
                } else if n_values > 0 {
                    wide(
                        #[inline(always)]
                        || {
                            for i in 0..n {
                                let to = &mut out[i * width + head * dim..][..dim];
                                if first == 0 {
                                    to.fill(0.0);
                                }
                                let shares = &scores[i * total + first..][..n_values];
                                for (share, value) in shares.iter().zip(values[head * dim..].chunks(width)) {
                                    add_scaled(to, *share, &value[..dim]);
                                }
                            }
                        },
                    );
                }
                first += n_values;
            }
        }
    }
}

/// `out = x · Wᵀ + b`.
fn linear((weights, bias): &(Weights, Vec<f32>), x: &[f32], n_in: usize, out: &mut [f32]) {
    product(weights, x, n_in, out);
    add_to_rows(out, bias);
}

fn product(weights: &Weights, x: &[f32], n_in: usize, out: &mut [f32]) {
    let n = x.len() / n_in;
    match weights {
        Weights::F32(values) if n >= GENERAL_FROM => {
            let rows = Operand::rows_of(x, n, n_in);
            multiply_into(rows, Operand::rows_of(values, out.len() / n, n_in).t(), out, false);
        }
        weights => weights.product(x, n_in, out),
    }
}
