//! Pythia (GPT-NeoX) for film descriptions and titles: fine-tuning on a catalogue, generation, and answers
//! that are titles which exist.
//!
//! Models are read and written as Hugging Face stores them. Layers run on crate [`nn`]: explicit backward
//! passes, no graph; the same seed gives the same bytes on any number of threads.

pub mod config;
mod error;
mod weights;

pub mod tokenizer;

pub mod model;

pub mod generate;

pub mod data;
pub mod log;
pub mod train;

pub mod hub;
pub mod pipeline;

pub use config::ModelConfig;
pub use data::{Dataset, Example, Template};
pub use error::LmError;
pub use generate::Decoder;
pub use model::{Batch, GptNeoX, Lora, LoraConfig, Workspace};
pub use tokenizer::{StreamDecoder, Tokenizer};
pub use train::{TrainConfig, TrainEvent, Trained, Trainer};
pub use weights::{StoredAs, check_weights};
