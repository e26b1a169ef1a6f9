//! Shape of a model: `config.json` as Hugging Face writes it, of both generations.
//!
//! Older files say `rotary_pct`, `rotary_emb_base` and `torch_dtype`, newer ones `rope_parameters` and
//! `dtype`. What is missing takes the values of the published Pythia files, never the defaults of a class.
//! What a file asks for and we do not do is refused by name.

use std::path::Path;

use nn::simd::Gelu;
use serde_json::{Map, Value, json};
use titlecard_engine::artifact::read_bytes;

use crate::LmError;

/// Shape of a GPT-NeoX model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Rows of the embedding, at least the number of tokens.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of blocks.
    pub n_layers: usize,
    /// Heads of a block.
    pub n_heads: usize,
    /// Width of the perceptron.
    pub intermediate_size: usize,
    /// Its activation.
    pub gelu: Gelu,
    /// Name of the activation as in the file, to write it back.
    pub hidden_act: String,
    /// Longest sequence.
    pub max_positions: usize,
    /// Share of a head's components that turn with the position.
    pub rotary_fraction: f64,
    /// Base of the rotary frequencies.
    pub rotary_base: f64,
    /// Added to the variance in layer norms.
    pub layer_norm_eps: f32,
    /// Attention and perceptron both read the block's input (Pythia), instead of one after the other.
    pub parallel_residual: bool,
    /// Whether the projections of attention have biases.
    pub attention_bias: bool,
    /// Whether the output matrix is the input matrix.
    pub tied: bool,
    /// Token a text begins with.
    pub bos: u32,
    /// Token a text ends with.
    pub eos: u32,
    /// Token that fills rows up, if there is one.
    pub pad: Option<u32>,
    /// Deviation of initial weights.
    pub initializer_range: f32,
}

/// Sizes of the published models: name, layers, width, heads, vocabulary.
const SIZES: [(&str, usize, usize, usize, usize); 10] = [
    ("14m", 6, 128, 4, 50_304),
    ("31m", 6, 256, 8, 50_304),
    ("70m", 6, 512, 8, 50_304),
    ("160m", 12, 768, 12, 50_304),
    ("410m", 24, 1024, 16, 50_304),
    ("1b", 16, 2048, 8, 50_304),
    ("1.4b", 24, 2048, 16, 50_304),
    ("2.8b", 32, 2560, 32, 50_304),
    ("6.9b", 32, 4096, 32, 50_432),
    ("12b", 36, 5120, 40, 50_688),
];

impl ModelConfig {
    /// Shape of a published Pythia by size (`14m` to `12b`), or of `tiny`: 2 layers of width 64 for a
    /// vocabulary of 2,048, which trains in seconds.
    ///
    /// # Errors
    /// [`LmError::Setting`] if there is no such size.
    pub fn named(name: &str) -> Result<Self, LmError> {
        if name == "tiny" {
            return Ok(Self { max_positions: 512, ..Self::of_size(2, 64, 4, 2_048) });
        }
        let size = name.strip_prefix("pythia-").unwrap_or(name);
        SIZES
            .iter()
            .find(|(known, ..)| *known == size)
            .map(|&(_, layers, width, heads, vocabulary)| Self::of_size(layers, width, heads, vocabulary))
            .ok_or_else(|| LmError::Setting {
                name: "from-scratch",
                found: format!("`{name}`"),
                expected: "a config.json, `tiny`, or a size of Pythia from `14m` to `12b`",
            })
    }

    /// A Pythia of other size: everything else as published.
    pub fn of_size(n_layers: usize, hidden_size: usize, n_heads: usize, vocab_size: usize) -> Self {
        Self {
            vocab_size,
            hidden_size,
            n_layers,
            n_heads,
            intermediate_size: 4 * hidden_size,
            gelu: Gelu::Exact,
            hidden_act: "gelu".to_owned(),
            max_positions: 2048,
            rotary_fraction: 0.25,
            rotary_base: 10_000.0,
            layer_norm_eps: 1e-5,
            parallel_residual: true,
            attention_bias: true,
            tied: false,
            bos: 0,
            eos: 0,
            pad: Some(1),
            initializer_range: 0.02,
        }
    }

    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`LmError`] naming what is missing, damaged or not supported.
    pub fn read(path: &Path) -> Result<Self, LmError> {
        let bytes = read_bytes(path, "titlecard train lm")?;
        let object: Map<String, Value> = serde_json::from_slice(&bytes)
            .map_err(|error| LmError::Damaged { path: path.to_owned(), what: error.to_string() })?;
        Self::from_object(&object, path)
    }

    /// Reads the object of a `config.json`; `path` is for messages.
    ///
    /// # Errors
    /// [`LmError`] naming what is missing or not supported.
    pub fn from_object(object: &Map<String, Value>, path: &Path) -> Result<Self, LmError> {
        let file = Fields { object, path };
        let model_type = object.get("model_type").and_then(Value::as_str).unwrap_or("none");
        if model_type != "gpt_neox" {
            return Err(file.unsupported(format!("model type `{model_type}`"), "`gpt_neox`"));
        }
        for (key, supported) in [
            ("quantization_config", "f32, f16 and bf16 weights"),
            ("rope_scaling", "no scaling of positions"),
        ] {
            if object.get(key).is_some_and(|value| !value.is_null()) {
                return Err(file.unsupported(format!("`{key}`"), supported));
            }
        }
        for key in ["hidden_dropout", "attention_dropout"] {
            let dropout = file.float(key, 0.0)?;
            if dropout != 0.0 {
                return Err(
                    file.unsupported(format!("`{key}` {dropout}"), "0: published models have no dropout")
                );
            }
        }
        let hidden_act = object.get("hidden_act").and_then(Value::as_str).unwrap_or("gelu").to_owned();
        let gelu = match hidden_act.as_str() {
            "gelu" => Gelu::Exact,
            "gelu_fast" | "gelu_new" | "gelu_pytorch_tanh" => Gelu::Tanh,
            other => {
                return Err(file.unsupported(
                    format!("activation `{other}`"),
                    "`gelu`, `gelu_fast`, `gelu_new`, `gelu_pytorch_tanh`",
                ));
            }
        };
        let empty = Map::new();
        let rope = object.get("rope_parameters").and_then(Value::as_object).unwrap_or(&empty);
        if let Some(kind) = rope.get("rope_type").and_then(Value::as_str).filter(|kind| *kind != "default") {
            return Err(file.unsupported(format!("rotary type `{kind}`"), "`default`"));
        }
        let rope = Fields { object: rope, path };
        let hidden_size = file.size("hidden_size", None)?;
        let config = Self {
            vocab_size: file.size("vocab_size", None)?,
            hidden_size,
            n_layers: file.size("num_hidden_layers", None)?,
            n_heads: file.size("num_attention_heads", None)?,
            intermediate_size: file.size("intermediate_size", Some(4 * hidden_size))?,
            gelu,
            hidden_act,
            max_positions: file.size("max_position_embeddings", Some(2048))?,
            rotary_fraction: rope.float("partial_rotary_factor", file.float("rotary_pct", 0.25)?)?,
            rotary_base: rope.float("rope_theta", file.float("rotary_emb_base", 10_000.0)?)?,
            layer_norm_eps: file.float("layer_norm_eps", 1e-5)? as f32,
            parallel_residual: file.switch("use_parallel_residual", true)?,
            attention_bias: file.switch("attention_bias", true)?,
            tied: file.switch("tie_word_embeddings", false)?,
            bos: file.token("bos_token_id")?.unwrap_or(0),
            eos: file.token("eos_token_id")?.unwrap_or(0),
            pad: file.token("pad_token_id")?,
            initializer_range: file.float("initializer_range", 0.02)? as f32,
        };
        config.validate(path)?;
        Ok(config)
    }

    /// Checks that sizes fit each other.
    ///
    /// # Errors
    /// [`LmError::Damaged`] naming the first that does not.
    pub fn validate(&self, path: &Path) -> Result<(), LmError> {
        let damaged = |what: String| Err(LmError::Damaged { path: path.to_owned(), what });
        if !self.hidden_size.is_multiple_of(self.n_heads) {
            return damaged(format!(
                "`hidden_size` {} is no multiple of `num_attention_heads` {}",
                self.hidden_size, self.n_heads
            ));
        }
        if !(0.0..=1.0).contains(&self.rotary_fraction) || !self.rotary_dims().is_multiple_of(2) {
            return damaged(format!(
                "the rotary share {} of {} components is no even number of them",
                self.rotary_fraction,
                self.head_dim()
            ));
        }
        for (name, id) in [("bos_token_id", self.bos), ("eos_token_id", self.eos)] {
            if id as usize >= self.vocab_size {
                return damaged(format!("`{name}` {id} is beyond the vocabulary of {}", self.vocab_size));
            }
        }
        Ok(())
    }

    /// Components of a head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.n_heads
    }

    /// Components of a head that turn with the position.
    pub fn rotary_dims(&self) -> usize {
        (self.head_dim() as f64 * self.rotary_fraction) as usize
    }

    /// `config.json` of the newer generation, for weights stored as `dtype`.
    pub fn to_json(&self, dtype: &str) -> Value {
        json!({
            "architectures": ["GPTNeoXForCausalLM"],
            "model_type": "gpt_neox",
            "attention_bias": self.attention_bias,
            "attention_dropout": 0.0,
            "bos_token_id": self.bos,
            "dtype": dtype,
            "eos_token_id": self.eos,
            "hidden_act": self.hidden_act,
            "hidden_dropout": 0.0,
            "hidden_size": self.hidden_size,
            "initializer_range": short(self.initializer_range),
            "intermediate_size": self.intermediate_size,
            "layer_norm_eps": short(self.layer_norm_eps),
            "max_position_embeddings": self.max_positions,
            "num_attention_heads": self.n_heads,
            "num_hidden_layers": self.n_layers,
            "pad_token_id": self.pad,
            // Both spellings: older readers look for the second.
            "rope_parameters": {
                "partial_rotary_factor": self.rotary_fraction,
                "rope_theta": self.rotary_base,
                "rope_type": "default",
            },
            "rotary_pct": self.rotary_fraction,
            "rotary_emb_base": self.rotary_base,
            "tie_word_embeddings": self.tied,
            "use_cache": true,
            "use_parallel_residual": self.parallel_residual,
            "vocab_size": self.vocab_size,
        })
    }
}

/// A 32-bit value as the shortest decimal that means it, so that 1e-5 is not written as 9.99999974e-6.
fn short(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// Typed access to an object with messages that name the key.
struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: &'a Path,
}

impl Fields<'_> {
    fn unsupported(&self, what: String, supported: &'static str) -> LmError {
        LmError::Unsupported { path: self.path.to_owned(), what, supported }
    }

    fn wrong(&self, key: &str, found: &Value, expected: &str) -> LmError {
        LmError::Damaged {
            path: self.path.to_owned(),
            what: format!("`{key}` is {found}, expected {expected}"),
        }
    }

    fn present(&self, key: &str) -> Option<&Value> {
        self.object.get(key).filter(|value| !value.is_null())
    }

    fn size(&self, key: &str, default: Option<usize>) -> Result<usize, LmError> {
        match (self.present(key), default) {
            (None, Some(default)) => Ok(default),
            (None, None) => {
                Err(LmError::Damaged { path: self.path.to_owned(), what: format!("`{key}` is missing") })
            }
            (Some(value), _) => value
                .as_u64()
                .filter(|n| (1..=1 << 32).contains(n))
                .map(|n| n as usize)
                .ok_or_else(|| self.wrong(key, value, "a number from 1")),
        }
    }

    fn float(&self, key: &str, default: f64) -> Result<f64, LmError> {
        self.present(key).map_or(Ok(default), |value| {
            value.as_f64().filter(|x| x.is_finite()).ok_or_else(|| self.wrong(key, value, "a number"))
        })
    }

    fn switch(&self, key: &str, default: bool) -> Result<bool, LmError> {
        self.present(key).map_or(Ok(default), |value| {
            value.as_bool().ok_or_else(|| self.wrong(key, value, "true or false"))
        })
    }

    fn token(&self, key: &str) -> Result<Option<u32>, LmError> {
        self.present(key)
            .map(|value| {
                value
                    .as_u64()
                    .and_then(|id| u32::try_from(id).ok())
                    .ok_or_else(|| self.wrong(key, value, "the number of a token"))
            })
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ModelConfig, LmError> {
        let object: Map<String, Value> = serde_json::from_str(text).unwrap();
        ModelConfig::from_object(&object, Path::new("config.json"))
    }

    const OLD: &str = r#"{"model_type":"gpt_neox","hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,
        "intermediate_size":256,"vocab_size":512,"rotary_pct":0.25,"rotary_emb_base":10000,"torch_dtype":"float16",
        "max_position_embeddings":128,"use_parallel_residual":true,"tie_word_embeddings":false,"hidden_act":"gelu",
        "layer_norm_eps":1e-05,"bos_token_id":0,"eos_token_id":0}"#;

    #[test]
    fn both_generations_say_the_same() {
        let old = parse(OLD).unwrap();
        let new = old.to_json("float32");
        let object = new.as_object().unwrap();
        assert_eq!(ModelConfig::from_object(object, Path::new("x")).unwrap(), old);
        assert_eq!(new["layer_norm_eps"].as_f64(), Some(1e-5));
        let mut only_new = object.clone();
        only_new.remove("rotary_pct");
        only_new.remove("rotary_emb_base");
        assert_eq!(ModelConfig::from_object(&only_new, Path::new("x")).unwrap(), old);
        assert_eq!((old.head_dim(), old.rotary_dims(), old.pad), (16, 4, None));
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        let with = |from: &str, to: &str| parse(&OLD.replace(from, to)).unwrap_err().to_string();
        for (from, to, expected) in [
            ("gpt_neox", "llama", "model type `llama`"),
            ("\"gelu\"", "\"relu\"", "activation `relu`"),
            (
                "\"bos_token_id\":0",
                "\"bos_token_id\":0,\"rope_scaling\":{\"type\":\"linear\"}",
                "`rope_scaling`",
            ),
            ("\"bos_token_id\":0", "\"bos_token_id\":0,\"hidden_dropout\":0.1", "`hidden_dropout` 0.1"),
            (
                "\"bos_token_id\":0",
                "\"bos_token_id\":0,\"rope_parameters\":{\"rope_type\":\"yarn\"}",
                "rotary type `yarn`",
            ),
            ("\"bos_token_id\":0", "\"bos_token_id\":0,\"quantization_config\":{}", "`quantization_config`"),
            ("\"hidden_size\":64", "\"hidden_size\":66", "no multiple of `num_attention_heads`"),
            ("\"vocab_size\":512,", "", "`vocab_size` is missing"),
            ("\"vocab_size\":512", "\"vocab_size\":-1", "`vocab_size` is -1"),
            ("0.25", "0.3125", "no even number"),
            ("\"eos_token_id\":0", "\"eos_token_id\":600", "beyond the vocabulary"),
        ] {
            let message = with(from, to);
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn published_sizes_are_known() {
        let config = ModelConfig::named("pythia-70m").unwrap();
        assert_eq!((config.n_layers, config.hidden_size, config.vocab_size), (6, 512, 50_304));
        assert!(ModelConfig::named("71m").unwrap_err().to_string().contains("`71m`"));
    }
}
