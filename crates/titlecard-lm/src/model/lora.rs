//! Low-rank adapters (Hu and others, 2021): `y = x · Wᵀ + s · (x · Aᵀ) · Bᵀ`, in PEFT's files.
//!
//! `s` is `alpha / r`, or `alpha / √r` where the adapter is rank-stabilised (Kalajdzievski, 2023).

use std::f32::consts::TAU;
use std::ops::Range;
use std::path::Path;

use nn::{Operand, multiply_into};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde_json::{Map, Value, json};
use titlecard_engine::artifact::read_bytes;

use super::{LINEARS, Parameter, write_json};
use crate::weights::{StoredAs, TensorFile, write};
use crate::{LmError, ModelConfig};

/// Name of PEFT's settings file.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// Name of PEFT's weights.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";

/// Settings of an adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Rank of the added product.
    pub r: usize,
    /// Numerator of its scale.
    pub alpha: f64,
    /// Divide by the root of the rank instead of the rank.
    pub rank_stabilised: bool,
    /// Linear layers adapted: `query_key_value`, `dense`, `dense_h_to_4h`, `dense_4h_to_h`.
    pub targets: Vec<String>,
}

impl Default for LoraConfig {
    /// Rank 8 on all four linear layers.
    fn default() -> Self {
        let targets = LINEARS.iter().map(|name| last_part(name).to_owned()).collect();
        Self { r: 8, alpha: 16.0, rank_stabilised: false, targets }
    }
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

impl LoraConfig {
    /// Factor of the added product.
    pub fn scale(&self) -> f32 {
        let divisor = if self.rank_stabilised { (self.r as f64).sqrt() } else { self.r as f64 };
        (self.alpha / divisor) as f32
    }

    fn validate(&self) -> Result<(), LmError> {
        if !(1..=1024).contains(&self.r) {
            return Err(LmError::Setting {
                name: "lm.lora_rank",
                found: self.r.to_string(),
                expected: "1 to 1024",
            });
        }
        if !self.alpha.is_finite() || self.alpha <= 0.0 {
            return Err(LmError::Setting {
                name: "lm.lora_alpha",
                found: self.alpha.to_string(),
                expected: "above 0",
            });
        }
        let known = |target: &String| LINEARS.iter().any(|name| matches(name, target));
        match self.targets.iter().find(|target| !known(target)) {
            None if !self.targets.is_empty() => Ok(()),
            unknown => Err(LmError::Setting {
                name: "lm.lora_targets",
                found: unknown.map_or("empty".to_owned(), |name| format!("`{name}`")),
                expected: "some of `query_key_value`, `dense`, `dense_h_to_4h`, `dense_4h_to_h`",
            }),
        }
    }
}

/// As PEFT matches: the whole last part of a name, or more of it.
fn matches(name: &str, target: &str) -> bool {
    name == target || name.strip_suffix(target).is_some_and(|rest| rest.ends_with('.'))
}

#[derive(Debug, Clone)]
struct Adapted {
    /// `[r, n_in]`.
    a: Range<usize>,
    /// `[n_out, r]`.
    b: Range<usize>,
    n_in: usize,
    n_out: usize,
}

/// An adapter.
#[derive(Debug, Clone)]
pub struct Lora {
    config: LoraConfig,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) values: Vec<f32>,
    /// `[layer][linear]`.
    places: Vec<[Option<Adapted>; 4]>,
}

impl Lora {
    /// A fresh adapter: `A` uniform as PyTorch draws a linear layer, `B` zero, so it changes nothing yet.
    ///
    /// # Errors
    /// [`LmError::Setting`].
    pub fn new(model: &ModelConfig, config: &LoraConfig, seed: u64) -> Result<Self, LmError> {
        config.validate()?;
        let mut lora = Self::empty(model, config);
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        for adapted in lora.places.iter().flatten().flatten() {
            let bound = 1.0 / (adapted.n_in as f32).sqrt();
            lora.values[adapted.a.clone()].iter_mut().for_each(|x| *x = rng.random_range(-bound..bound));
        }
        Ok(lora)
    }

    fn empty(model: &ModelConfig, config: &LoraConfig) -> Self {
        let (d, inner) = (model.hidden_size, model.intermediate_size);
        let sizes = [(d, 3 * d), (d, d), (d, inner), (inner, d)];
        let mut parameters = Vec::new();
        let mut place = 0;
        let mut add = |name: String, shape: [usize; 2]| {
            let range = place..place + shape[0] * shape[1];
            place = range.end;
            parameters.push(Parameter { name, shape: shape.to_vec(), range: range.clone(), decayed: true });
            range
        };
        let places = (0..model.n_layers)
            .map(|layer| {
                std::array::from_fn(|which| {
                    let (n_in, n_out) = sizes[which];
                    let adapted = config.targets.iter().any(|target| matches(LINEARS[which], target));
                    adapted.then(|| {
                        let name = format!("base_model.model.gpt_neox.layers.{layer}.{}", LINEARS[which]);
                        Adapted {
                            a: add(format!("{name}.lora_A.weight"), [config.r, n_in]),
                            b: add(format!("{name}.lora_B.weight"), [n_out, config.r]),
                            n_in,
                            n_out,
                        }
                    })
                })
            })
            .collect();
        Self { config: config.clone(), parameters, values: vec![0.0; place], places }
    }

    /// The settings.
    pub fn config(&self) -> &LoraConfig {
        &self.config
    }

    /// Loads PEFT's files for a model of shape `model`.
    ///
    /// # Errors
    /// [`LmError`] naming what is missing, damaged, not supported, or does not fit.
    pub fn load(model: &ModelConfig, folder: &Path) -> Result<Self, LmError> {
        let path = folder.join(ADAPTER_CONFIG);
        if !path.exists() {
            return Err(LmError::NoModel {
                folder: folder.to_owned(),
                file: ADAPTER_CONFIG,
                expected: "adapter_config.json and adapter_model.safetensors",
            });
        }
        let damaged = |what: String| LmError::Damaged { path: path.clone(), what };
        let object: Map<String, Value> = serde_json::from_slice(&read_bytes(&path, "titlecard train lm")?)
            .map_err(|error| damaged(error.to_string()))?;
        let unsupported =
            |what: String, supported| LmError::Unsupported { path: path.clone(), what, supported };
        let kind = object.get("peft_type").and_then(Value::as_str).unwrap_or("none");
        if kind != "LORA" {
            return Err(unsupported(format!("adapter of type `{kind}`"), "`LORA`"));
        }
        for key in ["use_dora", "fan_in_fan_out", "use_qalora", "lora_bias"] {
            if object.get(key).and_then(Value::as_bool) == Some(true) {
                return Err(unsupported(format!("`{key}`"), "plain and rank-stabilised LoRA"));
            }
        }
        for key in ["modules_to_save", "layers_to_transform", "layer_replication", "exclude_modules"] {
            if object.get(key).is_some_and(|value| !value.is_null()) {
                return Err(unsupported(format!("`{key}`"), "the same linear layers in all blocks"));
            }
        }
        for key in ["rank_pattern", "alpha_pattern"] {
            if object.get(key).and_then(Value::as_object).is_some_and(|map| !map.is_empty()) {
                return Err(unsupported(format!("`{key}`"), "one rank and alpha"));
            }
        }
        if let Some(bias) = object.get("bias").and_then(Value::as_str).filter(|bias| *bias != "none") {
            return Err(unsupported(format!("`bias` `{bias}`"), "`none`"));
        }
        let targets = match object.get("target_modules") {
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<String>>()
            }
            other => {
                let found = other.map_or("missing".to_owned(), ToString::to_string);
                return Err(unsupported(format!("`target_modules` {found}"), "a list of names"));
            }
        };
        let r =
            object.get("r").and_then(Value::as_u64).ok_or_else(|| damaged("`r` is missing".to_owned()))?;
        let config = LoraConfig {
            r: r as usize,
            alpha: object
                .get("lora_alpha")
                .and_then(Value::as_f64)
                .ok_or_else(|| damaged("`lora_alpha` is missing".to_owned()))?,
            rank_stabilised: object.get("use_rslora").and_then(Value::as_bool).unwrap_or(false),
            targets,
        };
        config.validate().map_err(|error| LmError::Adapter(error.to_string()))?;
        let mut lora = Self::empty(model, &config);
        let mut file = TensorFile::open(&folder.join(ADAPTER_WEIGHTS))?;
        let names = file.names();
        if let Some(unknown) = names.iter().find(|name| !lora.parameters.iter().any(|p| p.name == **name)) {
            return Err(LmError::Adapter(format!(
                "it has a tensor `{unknown}` that the model has no place for"
            )));
        }
        for parameter in &lora.parameters {
            match file.shape(&parameter.name) {
                Some(shape) if shape == parameter.shape => {}
                Some(shape) => {
                    return Err(LmError::Adapter(format!(
                        "tensor `{}` has shape {shape:?}, the model needs {:?}",
                        parameter.name, parameter.shape
                    )));
                }
                None => return Err(LmError::Adapter(format!("tensor `{}` is missing", parameter.name))),
            }
            file.read(&parameter.name, &parameter.shape, &mut lora.values[parameter.range.clone()])?;
        }
        Ok(lora)
    }

    /// Writes PEFT's files into `folder`; `base` names the model it is for.
    ///
    /// # Errors
    /// [`LmError::Artifact`].
    pub fn save(&self, folder: &Path, base: &str) -> Result<(), LmError> {
        let tensors: Vec<(String, Vec<usize>, &[f32])> = self
            .parameters
            .iter()
            .map(|p| (p.name.clone(), p.shape.clone(), &self.values[p.range.clone()]))
            .collect();
        write(&folder.join(ADAPTER_WEIGHTS), &tensors, StoredAs::F32)?;
        let config = json!({
            "base_model_name_or_path": base,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "lora_alpha": self.config.alpha,
            "lora_dropout": 0.0,
            "peft_type": "LORA",
            "r": self.config.r,
            "target_modules": self.config.targets,
            "task_type": "CAUSAL_LM",
            "use_dora": false,
            "use_rslora": self.config.rank_stabilised,
        });
        write_json(&folder.join(ADAPTER_CONFIG), &config)
    }

    /// Rank, if linear layer `which` of block `layer` is adapted.
    pub(crate) fn rank(&self, layer: usize, which: usize) -> Option<usize> {
        self.places[layer][which].as_ref().map(|_| self.config.r)
    }

    /// Adds `s · (x · Aᵀ) · Bᵀ` to `out` and keeps `s · x · Aᵀ` in `inner`.
    pub(crate) fn forward(
        &self,
        layer: usize,
        which: usize,
        x: &[f32],
        inner: &mut Vec<f32>,
        out: &mut [f32],
    ) {
        let Some(place) = &self.places[layer][which] else { return };
        let (r, n) = (self.config.r, x.len() / place.n_in);
        inner.resize(n * r, 0.0);
        let a = Operand::rows_of(&self.values[place.a.clone()], r, place.n_in);
        multiply_into(Operand::rows_of(x, n, place.n_in), a.t(), inner, false);
        let scale = self.config.scale();
        inner.iter_mut().for_each(|x| *x *= scale);
        let b = Operand::rows_of(&self.values[place.b.clone()], place.n_out, r);
        multiply_into(Operand::rows_of(inner, n, r), b.t(), out, true);
    }

    /// The pass back: gradients of `A` and `B` into `gradients`, and that by `x` added to `grad_x`.
    #[allow(clippy::too_many_arguments, reason = "a linear layer's inputs and outputs")]
    pub(crate) fn backward(
        &self,
        layer: usize,
        which: usize,
        x: &[f32],
        inner: &[f32],
        grad_out: &[f32],
        grad_x: Option<&mut [f32]>,
        gradients: &mut [f32],
        accumulate: bool,
    ) {
        let Some(place) = &self.places[layer][which] else { return };
        let (r, n) = (self.config.r, x.len() / place.n_in);
        let grad_rows = Operand::rows_of(grad_out, n, place.n_out);
        let inner = Operand::rows_of(inner, n, r);
        multiply_into(grad_rows.t(), inner, &mut gradients[place.b.clone()], accumulate);
        let b = Operand::rows_of(&self.values[place.b.clone()], place.n_out, r);
        let mut grad_inner = vec![0.0; n * r];
        multiply_into(grad_rows, b, &mut grad_inner, false);
        let scale = self.config.scale();
        grad_inner.iter_mut().for_each(|x| *x *= scale);
        let grad_inner = Operand::rows_of(&grad_inner, n, r);
        let rows = Operand::rows_of(x, n, place.n_in);
        multiply_into(grad_inner.t(), rows, &mut gradients[place.a.clone()], accumulate);
        if let Some(grad_x) = grad_x {
            let a = Operand::rows_of(&self.values[place.a.clone()], r, place.n_in);
            multiply_into(grad_inner, a, grad_x, true);
        }
    }

    /// Adds `s · B · A` to `weight`, `[n_out, n_in]`.
    pub(crate) fn add_product(&self, layer: usize, which: usize, weight: &mut [f32]) {
        let Some(place) = &self.places[layer][which] else { return };
        let r = self.config.r;
        let scale = self.config.scale();
        let scaled: Vec<f32> = self.values[place.b.clone()].iter().map(|x| x * scale).collect();
        let a = Operand::rows_of(&self.values[place.a.clone()], r, place.n_in);
        multiply_into(Operand::rows_of(&scaled, place.n_out, r), a, weight, true);
    }
}

/// Values of a normal distribution of mean 0, by Box and Muller's transform.
pub(crate) fn fill_normal(values: &mut [f32], deviation: f32, rng: &mut Xoshiro256PlusPlus) {
    for pair in values.chunks_mut(2) {
        // Above 0, so that the logarithm is finite.
        let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt() * deviation;
        let angle = TAU * rng.random::<f32>();
        pair[0] = radius * angle.cos();
        if let Some(second) = pair.get_mut(1) {
            *second = radius * angle.sin();
        }
    }
}
