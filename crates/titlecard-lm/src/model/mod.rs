//! GPT-NeoX: parameters, forward and backward pass.
//!
//! A block is `y = x + attention(norm₁(x)) + perceptron(norm₂(x))`, or the two one after the other where
//! `use_parallel_residual` is false. All parameters stand in one row of values, named and ordered as in
//! the published files, so that optimiser, clipping and checkpoints need not know the layers.
//!
//! A batch is a row of tokens cut into segments: there is no padding, every segment sees itself alone,
//! and logits are computed for labelled positions only.

mod lora;
mod pass;

use std::ops::Range;
use std::path::Path;

use nn::attention::{Heads, Rotary};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use titlecard_engine::artifact::{ArtifactError, write_bytes};

pub use lora::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, Lora, LoraConfig};
pub use pass::Workspace;

use crate::weights::{self, StoredAs, TensorFiles};
use crate::{LmError, ModelConfig};

/// Name of the file with the shape.
pub const CONFIG: &str = "config.json";

/// A named part of the row of parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Name in the files.
    pub name: String,
    /// Shape, one or two dimensions.
    pub shape: Vec<usize>,
    /// Where its values are.
    pub range: Range<usize>,
    /// Whether weight decay applies: not to biases and norms.
    pub decayed: bool,
}

/// A linear layer: `y = x · weightᵀ + bias`.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    pub(crate) weight: Range<usize>,
    pub(crate) bias: Option<Range<usize>>,
    pub(crate) n_in: usize,
    pub(crate) n_out: usize,
}

#[derive(Debug, Clone)]
pub(crate) struct Norm {
    pub(crate) weight: Range<usize>,
    pub(crate) bias: Range<usize>,
}

/// The four linear layers of a block, in order.
pub(crate) const LINEARS: [&str; 4] =
    ["attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"];
pub(crate) const QKV: usize = 0;
pub(crate) const DENSE: usize = 1;
pub(crate) const UP: usize = 2;
pub(crate) const DOWN: usize = 3;

#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub(crate) norm_attention: Norm,
    pub(crate) norm_mlp: Norm,
    pub(crate) linears: [Linear; 4],
}

/// Where every parameter is.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) embed_in: Range<usize>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) norm_final: Norm,
    /// The input matrix where it is the output matrix too.
    pub(crate) embed_out: Range<usize>,
    pub(crate) n_values: usize,
}

const EMBED_OUT: &str = "embed_out.weight";
const LM_HEAD: &str = "lm_head.weight";

impl Layout {
    pub(crate) fn new(config: &ModelConfig) -> Self {
        let mut parameters: Vec<Parameter> = Vec::new();
        let mut place = 0;
        let mut add = |name: String, shape: Vec<usize>| {
            let range = place..place + shape.iter().product::<usize>();
            place = range.end;
            let decayed = !(name.ends_with("bias") || name.contains("norm"));
            parameters.push(Parameter { name, shape, range: range.clone(), decayed });
            range
        };
        let d = config.hidden_size;
        let embed_in = add("gpt_neox.embed_in.weight".to_owned(), vec![config.vocab_size, d]);
        let blocks = (0..config.n_layers)
            .map(|layer| {
                let prefix = format!("gpt_neox.layers.{layer}");
                let mut norm = |name: &str| Norm {
                    weight: add(format!("{prefix}.{name}.weight"), vec![d]),
                    bias: add(format!("{prefix}.{name}.bias"), vec![d]),
                };
                let norm_attention = norm("input_layernorm");
                let norm_mlp = norm("post_attention_layernorm");
                let inner = config.intermediate_size;
                let sizes = [(d, 3 * d), (d, d), (d, inner), (inner, d)];
                let linears = std::array::from_fn(|which| {
                    let (n_in, n_out) = sizes[which];
                    let has_bias = config.attention_bias || which >= UP;
                    let name = format!("{prefix}.{}", LINEARS[which]);
                    Linear {
                        weight: add(format!("{name}.weight"), vec![n_out, n_in]),
                        bias: has_bias.then(|| add(format!("{name}.bias"), vec![n_out])),
                        n_in,
                        n_out,
                    }
                });
                Block { norm_attention, norm_mlp, linears }
            })
            .collect();
        let norm_final = Norm {
            weight: add("gpt_neox.final_layer_norm.weight".to_owned(), vec![d]),
            bias: add("gpt_neox.final_layer_norm.bias".to_owned(), vec![d]),
        };
        let embed_out = if config.tied {
            embed_in.clone()
        } else {
            add(EMBED_OUT.to_owned(), vec![config.vocab_size, d])
        };
        Self { parameters, embed_in, blocks, norm_final, embed_out, n_values: place }
    }
}

/// Tokens of some segments, and what is to be predicted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// Tokens of all segments, one after the other.
    pub ids: Vec<u32>,
    /// Lengths of the segments.
    pub segments: Vec<usize>,
    /// Places in `ids` with the token that follows each, in ascending order; only these are scored.
    pub targets: Vec<(usize, u32)>,
}

impl Batch {
    /// Adds a segment; `labelled[i]` says whether `ids[i]` is to be predicted from what stands before it.
    /// The first token of a segment never is.
    ///
    /// # Panics
    /// If lengths differ.
    pub fn push(&mut self, ids: &[u32], labelled: &[bool]) {
        assert_eq!(ids.len(), labelled.len(), "a label a token");
        let start = self.ids.len();
        self.ids.extend(ids);
        self.segments.push(ids.len());
        for i in 1..ids.len() {
            if labelled[i] {
                self.targets.push((start + i - 1, ids[i]));
            }
        }
    }

    /// Number of tokens.
    pub fn n_tokens(&self) -> usize {
        self.ids.len()
    }
}

/// A GPT-NeoX model, with an adapter or without.
#[derive(Debug, Clone)]
pub struct GptNeoX {
    config: ModelConfig,
    layout: Layout,
    values: Vec<f32>,
    rotary: Rotary,
    lora: Option<Lora>,
}

impl GptNeoX {
    /// A model with initial weights as GPT-NeoX draws them: matrices normal with deviation
    /// `initializer_range`, biases 0, norms 1.
    pub fn new(config: &ModelConfig, seed: u64) -> Self {
        let mut model = Self::empty(config);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        for parameter in &model.layout.parameters {
            let values = &mut model.values[parameter.range.clone()];
            if parameter.shape.len() == 2 {
                lora::fill_normal(values, config.initializer_range, &mut rng);
            } else if parameter.name.ends_with("weight") {
                values.fill(1.0);
            }
        }
        model
    }

    fn empty(config: &ModelConfig) -> Self {
        let layout = Layout::new(config);
        let rotary = Rotary::new(config.rotary_dims(), config.rotary_base, config.max_positions);
        Self { config: config.clone(), values: vec![0.0; layout.n_values], layout, rotary, lora: None }
    }

    /// Loads a model in Hugging Face layout: `config.json` and `model.safetensors` (or shards).
    ///
    /// # Errors
    /// [`LmError`] naming the file and what is missing, damaged or not supported.
    pub fn load(folder: &Path) -> Result<Self, LmError> {
        let path = folder.join(CONFIG);
        if !path.exists() {
            return Err(LmError::NoModel {
                folder: folder.to_owned(),
                file: CONFIG,
                expected: "config.json, tokenizer.json and model.safetensors",
            });
        }
        let config = ModelConfig::read(&path)?;
        let mut files = TensorFiles::open(folder)?;
        // The head is `embed_out` in files and `lm_head` in newer programs.
        let head = if files.has(LM_HEAD) && !files.has(EMBED_OUT) { LM_HEAD } else { EMBED_OUT };
        let mut model = Self::empty(&config);
        let known = |name: &str| {
            name == EMBED_OUT
                || name == LM_HEAD
                || model.layout.parameters.iter().any(|parameter| parameter.name == name)
        };
        let unknown = files.names().find(|name| !known(name)).map(str::to_owned);
        if let Some(unknown) = unknown {
            return Err(files.error(&unknown, "is not part of this model by config.json"));
        }
        for parameter in &model.layout.parameters {
            let name = if parameter.name == EMBED_OUT { head } else { &parameter.name };
            files.read(name, &parameter.shape, &mut model.values[parameter.range.clone()])?;
        }
        Ok(model)
    }

    /// Writes `config.json`, `model.safetensors` and `generation_config.json` into `folder`. An adapter is
    /// not written; merge it first.
    ///
    /// # Errors
    /// [`LmError::Artifact`]; files that were there are then as they were.
    pub fn save(&self, folder: &Path, stored_as: StoredAs) -> Result<(), LmError> {
        let tensors: Vec<(String, Vec<usize>, &[f32])> = self
            .layout
            .parameters
            .iter()
            .map(|p| (p.name.clone(), p.shape.clone(), &self.values[p.range.clone()]))
            .collect();
        weights::write(&folder.join(weights::WEIGHTS), &tensors, stored_as)?;
        let generation = serde_json::json!({
            "_from_model_config": true,
            "bos_token_id": self.config.bos,
            "eos_token_id": self.config.eos,
        });
        write_json(&folder.join("generation_config.json"), &generation)?;
        write_json(&folder.join(CONFIG), &self.config.to_json(stored_as.name()))
    }

    /// The shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Number of values of the model, without an adapter.
    pub fn n_parameters(&self) -> usize {
        self.values.len()
    }

    /// All parameters of the model, without an adapter.
    pub fn parameters(&self) -> &[Parameter] {
        &self.layout.parameters
    }

    /// Values of a parameter by its name.
    pub fn parameter(&self, name: &str) -> Option<&[f32]> {
        let parameter = self.layout.parameters.iter().find(|parameter| parameter.name == name)?;
        Some(&self.values[parameter.range.clone()])
    }

    /// The adapter, if there is one.
    pub fn lora(&self) -> Option<&Lora> {
        self.lora.as_ref()
    }

    /// Adds a fresh adapter; from then on only it is trained.
    ///
    /// # Errors
    /// [`LmError::Setting`] if rank or targets are out of range.
    pub fn add_lora(&mut self, config: &LoraConfig, seed: u64) -> Result<(), LmError> {
        self.lora = Some(Lora::new(&self.config, config, seed)?);
        Ok(())
    }

    /// Adds the adapter in `folder` (PEFT's files).
    ///
    /// # Errors
    /// [`LmError`] if it is missing, damaged, not supported, or for another model.
    pub fn load_lora(&mut self, folder: &Path) -> Result<(), LmError> {
        self.lora = Some(Lora::load(&self.config, folder)?);
        Ok(())
    }

    /// Adds the adapter to the weights it adapts, in 32 bits.
    pub fn merge_lora(&mut self) {
        let Some(lora) = self.lora.take() else { return };
        for (layer, block) in self.layout.blocks.iter().enumerate() {
            for (which, linear) in block.linears.iter().enumerate() {
                lora.add_product(layer, which, &mut self.values[linear.weight.clone()]);
            }
        }
    }

    /// Values that are trained: the adapter's if there is one, else the model's.
    pub fn trained(&self) -> &[f32] {
        self.lora.as_ref().map_or(&self.values, |lora| &lora.values)
    }

    /// Values that are trained, to change them.
    pub fn trained_mut(&mut self) -> &mut [f32] {
        self.lora.as_mut().map_or(&mut self.values, |lora| &mut lora.values)
    }

    /// Parameters that are trained.
    pub fn trained_parameters(&self) -> &[Parameter] {
        self.lora.as_ref().map_or(&self.layout.parameters, |lora| &lora.parameters)
    }

    /// Runs of trained values with whether they are decayed, for the optimiser.
    pub fn decay_groups(&self) -> Vec<(usize, bool)> {
        let mut groups: Vec<(usize, bool)> = Vec::new();
        for parameter in self.trained_parameters() {
            let n = parameter.range.len();
            match groups.last_mut() {
                Some((length, decayed)) if *decayed == parameter.decayed => *length += n,
                _ => groups.push((n, parameter.decayed)),
            }
        }
        groups
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn rotary(&self) -> &Rotary {
        &self.rotary
    }

    pub(crate) fn heads(&self) -> Heads {
        Heads { n_heads: self.config.n_heads, head_dim: self.config.head_dim() }
    }
}

/// Writes a JSON file with a line break at its end.
pub(crate) fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), LmError> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| ArtifactError::io("write", path)(std::io::Error::other(error)))?;
    text.push(b'\n');
    Ok(write_bytes(path, &text)?)
}
