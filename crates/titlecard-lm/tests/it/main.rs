//! Oracles of the language model: golden values of torch and transformers.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]
#![allow(clippy::print_stderr, reason = "tests say what they skip")]

mod forward;
mod generation;
mod tokenizer;
mod training;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use titlecard_lm::{Batch, GptNeoX};

/// Folder of the fixtures of this crate.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Folder of the large oracles, where they are at hand.
fn oracles() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/oracles/pythia");
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/data/oracles/pythia");
    let found = [root, other].into_iter().find(|folder| folder.exists());
    if found.is_none() {
        eprintln!("skipped: the large oracles are not here");
    }
    found
}

fn unpacked(path: &Path) -> Vec<u8> {
    zstd::decode_all(fs::File::open(path).unwrap()).unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The small model of the fixtures, in a folder of its own.
fn small_model() -> (tempfile::TempDir, GptNeoX) {
    let folder = tempfile::tempdir().unwrap();
    let from = fixtures().join("tiny_fp16");
    fs::copy(from.join("config.json"), folder.path().join("config.json")).unwrap();
    fs::write(folder.path().join("model.safetensors"), unpacked(&from.join("model.safetensors.zst")))
        .unwrap();
    fs::write(
        folder.path().join("tokenizer.json"),
        unpacked(&fixtures().join("tokenizer/tokenizer.json.zst")),
    )
    .unwrap();
    let model = GptNeoX::load(folder.path()).unwrap();
    (folder, model)
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// The batch of an oracle without its padding, one row a segment.
fn batch(oracle: &Value) -> Batch {
    let mut batch = Batch::default();
    let rows = oracle["input_ids"].as_array().unwrap();
    for (at, row) in rows.iter().enumerate() {
        batch_row(&mut batch, row, &oracle["attention_mask"][at], &oracle["labels"][at]);
    }
    batch
}

fn batch_row(batch: &mut Batch, row: &Value, mask: &Value, labels: &Value) {
    let n: usize = ids(mask).iter().sum::<u32>() as usize;
    let labelled: Vec<bool> =
        labels.as_array().unwrap()[..n].iter().map(|label| label.as_i64().unwrap() >= 0).collect();
    batch.push(&ids(row)[..n], &labelled);
}

/// Tensors of a safetensors file of 32-bit floats.
fn tensors(path: &Path) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let bytes = fs::read(path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.tensors()
        .into_iter()
        .map(|(name, tensor)| {
            let values =
                tensor.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            (name, (tensor.shape().to_vec(), values))
        })
        .collect()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).fold(0.0, f64::max)
}
