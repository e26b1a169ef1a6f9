//! Text to tokens and back: byte-level BPE as the models were trained with.

use std::path::Path;

use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::normalizers::unicode::NFC;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, TokenizerBuilder};

use titlecard_engine::artifact::{read_bytes, write_bytes};

use crate::LmError;

/// Name of the file.
pub const TOKENIZER: &str = "tokenizer.json";
/// Ends a text; also begins one.
const END: &str = "<|endoftext|>";
/// Fills rows up.
const PADDING: &str = "<|padding|>";

/// A tokenizer.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
}

fn error(error: impl std::fmt::Display) -> LmError {
    LmError::Tokenizer(error.to_string())
}

impl Tokenizer {
    /// Reads `tokenizer.json` in `folder`, or the file itself.
    ///
    /// # Errors
    /// [`LmError`] if it is missing or damaged.
    pub fn load(path: &Path) -> Result<Self, LmError> {
        let file = if path.is_dir() { path.join(TOKENIZER) } else { path.to_owned() };
        if path.is_dir() && !file.exists() {
            return Err(LmError::NoModel {
                folder: path.to_owned(),
                file: TOKENIZER,
                expected: "config.json, tokenizer.json and model.safetensors",
            });
        }
        let bytes = read_bytes(&file, "titlecard train lm")?;
        Self::from_bytes(&bytes).map_err(|error| LmError::Damaged { path: file, what: error.to_string() })
    }

    /// Reads the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`LmError::Tokenizer`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LmError> {
        Ok(Self { inner: tokenizers::Tokenizer::from_bytes(bytes).map_err(error)? })
    }

    /// Learns a tokenizer in Pythia's configuration from texts: byte-level BPE, NFC, no prefix space,
    /// `<|endoftext|>` (0) and `<|padding|>` (1), and tokens for runs of 24 to 2 spaces at the end.
    ///
    /// # Errors
    /// [`LmError::Setting`] if `n_tokens` is below 320 (256 bytes and the added tokens).
    pub fn train<'a>(texts: impl Iterator<Item = &'a str> + Send, n_tokens: usize) -> Result<Self, LmError> {
        const SPACES: usize = 23;
        if n_tokens < 320 {
            return Err(LmError::Setting {
                name: "vocab_size",
                found: n_tokens.to_string(),
                expected: "320 or more: bytes, runs of spaces, and something to learn",
            });
        }
        let special = [END, PADDING].map(|token| AddedToken::from(token, true));
        let mut trainer = BpeTrainerBuilder::new()
            .vocab_size(n_tokens - SPACES)
            .min_frequency(2)
            .show_progress(false)
            .special_tokens(special.to_vec())
            // In order, so that the same texts give the same numbers.
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let mut inner = TokenizerBuilder::<BPE, NFC, ByteLevel, ByteLevel, ByteLevel>::new()
            .with_model(BPE::default())
            .with_normalizer(Some(NFC))
            .with_pre_tokenizer(Some(ByteLevel::new(false, true, true)))
            .with_post_processor(Some(ByteLevel::new(false, true, true)))
            .with_decoder(Some(ByteLevel::new(false, true, true)))
            .build()
            .map_err(error)?;
        inner.train(&mut trainer, texts.map(str::to_owned)).map_err(error)?;
        let runs: Vec<AddedToken> =
            (2..=SPACES + 1).rev().map(|n| AddedToken::from(" ".repeat(n), false).normalized(true)).collect();
        inner.add_tokens(runs).map_err(error)?;
        Self::from_bytes(inner.to_string(false).map_err(error)?.as_bytes())
    }

    /// Writes `tokenizer.json` into `folder`.
    ///
    /// # Errors
    /// [`LmError`].
    pub fn save(&self, folder: &Path) -> Result<(), LmError> {
        let text = self.inner.to_string(true).map_err(error)?;
        write_bytes(&folder.join(TOKENIZER), text.as_bytes())?;
        let config = serde_json::json!({
            "bos_token": END,
            "eos_token": END,
            "unk_token": END,
            "add_prefix_space": false,
            "clean_up_tokenization_spaces": false,
            "tokenizer_class": "GPTNeoXTokenizer",
        });
        crate::model::write_json(&folder.join("tokenizer_config.json"), &config)
    }

    /// Number of tokens, added ones included.
    pub fn n_tokens(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Fails if a model with `vocabulary` rows has none for some token.
    ///
    /// # Errors
    /// [`LmError::Vocabulary`].
    pub fn check(&self, vocabulary: usize) -> Result<(), LmError> {
        let n_tokens = self.n_tokens();
        if n_tokens > vocabulary { Err(LmError::Vocabulary { n_tokens, vocabulary }) } else { Ok(()) }
    }

    /// Tokens of a text; nothing is added.
    ///
    /// # Errors
    /// [`LmError::Tokenizer`].
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, LmError> {
        Ok(self.inner.encode(text, false).map_err(error)?.get_ids().to_vec())
    }

    /// Tokens of many texts, by all threads.
    ///
    /// # Errors
    /// [`LmError::Tokenizer`].
    pub fn encode_all(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>, LmError> {
        use rayon::prelude::*;
        texts.par_iter().map(|text| self.encode(text)).collect()
    }

    /// Text of tokens; incomplete characters show as U+FFFD.
    ///
    /// # Errors
    /// [`LmError::Tokenizer`].
    pub fn decode(&self, ids: &[u32], without_special: bool) -> Result<String, LmError> {
        self.inner.decode(ids, without_special).map_err(error)
    }

    /// The text of a token as the vocabulary writes it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }
}

/// Decodes tokens as they come and holds incomplete characters back.
#[derive(Debug)]
pub struct StreamDecoder<'t> {
    tokenizer: &'t Tokenizer,
    pending: Vec<u32>,
}

/// A character of UTF-8 has at most 4 bytes, a token at least one: what is longer will not become complete.
const MAX_PENDING: usize = 4;

impl<'t> StreamDecoder<'t> {
    /// Begins.
    pub fn new(tokenizer: &'t Tokenizer) -> Self {
        Self { tokenizer, pending: Vec::new() }
    }

    /// Adds a token; returns the text that is certain now, which may be empty. Special tokens give none.
    ///
    /// # Errors
    /// [`LmError::Tokenizer`].
    pub fn push(&mut self, id: u32) -> Result<String, LmError> {
        self.pending.push(id);
        let text = self.tokenizer.decode(&self.pending, true)?;
        if text.ends_with('\u{fffd}') && self.pending.len() < MAX_PENDING {
            return Ok(String::new());
        }
        self.pending.clear();
        Ok(text)
    }

    /// What is left at the end, incomplete characters included.
    ///
    /// # Errors
    /// [`LmError::Tokenizer`].
    pub fn finish(&mut self) -> Result<String, LmError> {
        let text = self.tokenizer.decode(&self.pending, true)?;
        self.pending.clear();
        Ok(text)
    }
}
