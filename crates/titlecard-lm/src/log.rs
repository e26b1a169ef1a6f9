//! Logs of a training: JSON lines, TensorBoard's event files, and a plot of the loss.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use titlecard_engine::artifact::ArtifactError;
use titlecard_engine::eval::plots::{Curve, write_curves};

use crate::LmError;

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Record {
    /// A step of the optimiser.
    Step {
        /// Number of the step, from 1.
        step: u64,
        /// Mean negative log-likelihood of the step's target tokens, before the step.
        loss: f64,
        /// Learning rate.
        learning_rate: f64,
        /// Length of all gradients before clipping.
        grad_norm: f64,
        /// Tokens read, prompts included.
        n_tokens: usize,
        /// Tokens learned.
        n_targets: usize,
        /// Tokens read a second.
        tokens_per_second: f64,
    },
    /// The development examples scored.
    Evaluation {
        /// Steps done.
        step: u64,
        /// Mean negative log-likelihood of their target tokens.
        dev_loss: f64,
        /// Its exponential.
        perplexity: f64,
        /// Whether it is the lowest so far.
        is_best: bool,
    },
    /// A continuation of a development prompt.
    Sample {
        /// Steps done.
        step: u64,
        /// The prompt.
        prompt: String,
        /// What the model made of it.
        completion: String,
        /// What it should be.
        expected: String,
    },
}

impl Record {
    /// Number of the step.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step { step, .. } | Self::Evaluation { step, .. } | Self::Sample { step, .. } => *step,
        }
    }
}

/// Writes records as they come.
pub(crate) struct Log {
    lines: (PathBuf, BufWriter<File>),
    events: EventFile,
}

/// Names of the files.
pub(crate) const LINES: &str = "log.jsonl";
const EVENTS: &str = "events.out.tfevents.0.titlecard";

impl Log {
    /// Begins new files in `folder` with the records of a training that goes on.
    pub(crate) fn create(folder: &Path, history: &[Record]) -> Result<Self, LmError> {
        let path = folder.join(LINES);
        let file = File::create(&path).map_err(ArtifactError::io("write", &path))?;
        let mut log =
            Self { lines: (path, BufWriter::new(file)), events: EventFile::create(&folder.join(EVENTS))? };
        history.iter().try_for_each(|record| log.write(record))?;
        Ok(log)
    }

    /// Adds a record; it is on disk when this returns.
    pub(crate) fn write(&mut self, record: &Record) -> Result<(), LmError> {
        let (path, out) = &mut self.lines;
        serde_json::to_writer(&mut *out, record)
            .map_err(std::io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush())
            .map_err(ArtifactError::io("write", path))?;
        match record {
            Record::Step { step, loss, learning_rate, grad_norm, tokens_per_second, .. } => {
                for (tag, value) in [
                    ("train/loss", *loss),
                    ("train/learning_rate", *learning_rate),
                    ("train/grad_norm", *grad_norm),
                    ("train/tokens_per_second", *tokens_per_second),
                ] {
                    self.events.scalar(*step, tag, value)?;
                }
            }
            Record::Evaluation { step, dev_loss, perplexity, .. } => {
                self.events.scalar(*step, "dev/loss", *dev_loss)?;
                self.events.scalar(*step, "dev/perplexity", *perplexity)?;
            }
            Record::Sample { .. } => {}
        }
        Ok(())
    }
}

/// Draws training and development loss by step as `loss.svg` and `loss.png` in `folder`.
///
/// # Errors
/// [`LmError::Plot`].
pub fn plot_loss(folder: &Path, history: &[Record], subtitle: &str) -> Result<Vec<PathBuf>, LmError> {
    let curve = |name: &str, of: &dyn Fn(&Record) -> Option<(f64, f64)>| Curve {
        name: name.to_owned(),
        points: history.iter().filter_map(of).collect(),
    };
    let mut curves = vec![
        curve("training", &|record| match record {
            Record::Step { step, loss, .. } => Some((*step as f64, *loss)),
            _ => None,
        }),
        curve("development", &|record| match record {
            Record::Evaluation { step, dev_loss, .. } => Some((*step as f64, *dev_loss)),
            _ => None,
        }),
    ];
    curves.retain(|curve| !curve.points.is_empty());
    Ok(write_curves(
        folder,
        "loss",
        "Loss",
        subtitle,
        ("step", "negative log-likelihood of a token"),
        &curves,
    )?)
}

/// TensorBoard's event file: records of length, checksum, data, checksum; data are protocol buffers
/// (`tensorflow/core/util/event.proto`), of which only scalars are needed.
struct EventFile {
    path: PathBuf,
    out: File,
}

impl EventFile {
    fn create(path: &Path) -> Result<Self, LmError> {
        let mut options = OpenOptions::new();
        let out = options.write(true).create(true).truncate(true).open(path);
        let out = out.map_err(ArtifactError::io("write", path))?;
        let mut file = Self { path: path.to_owned(), out };
        // Field 3: the version of the format.
        file.event(0, &[&[3 << 3 | 2], length_and("brain.Event:2".as_bytes()).as_slice()].concat())?;
        Ok(file)
    }

    fn scalar(&mut self, step: u64, tag: &str, value: f64) -> Result<(), LmError> {
        // Summary.Value: tag (1), simple_value (2). Summary: value (1). Event: summary (5).
        let mut inner = vec![1 << 3 | 2];
        inner.extend(length_and(tag.as_bytes()));
        inner.push(2 << 3 | 5);
        inner.extend((value as f32).to_le_bytes());
        let summary = [&[1 << 3 | 2], length_and(&inner).as_slice()].concat();
        self.event(step, &[&[5 << 3 | 2], length_and(&summary).as_slice()].concat())
    }

    fn event(&mut self, step: u64, what: &[u8]) -> Result<(), LmError> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
        // wall_time (1), step (2).
        let mut data = vec![1 << 3 | 1];
        data.extend(seconds.to_le_bytes());
        data.push(2 << 3);
        data.extend(varint(step));
        data.extend(what);
        let length = (data.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(&data);
        record.extend(masked_crc(&data).to_le_bytes());
        Ok(self.out.write_all(&record).map_err(ArtifactError::io("write", &self.path))?)
    }
}

/// A number in groups of 7 bits, the lowest first.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn length_and(bytes: &[u8]) -> Vec<u8> {
    [varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// CRC-32C (Castagnoli), turned as the format asks so that a checksum of data with checksums is no trap.
fn masked_crc(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    let crc = !crc;
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_format() {
        // RFC 3720: CRC-32C of 32 zero bytes is 0x8a9136aa.
        let unmasked = masked_crc(&[0; 32]).wrapping_sub(0xa282_ead8).rotate_left(15);
        assert_eq!(unmasked, 0x8a91_36aa);
        assert_eq!(varint(300), [0xac, 0x02]);
    }

    #[test]
    fn event_files_are_records_of_whole_length() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record::Evaluation { step: 300, dev_loss: 2.5, perplexity: 12.18, is_best: true };
        Log::create(folder.path(), std::slice::from_ref(&record)).unwrap();
        let bytes = std::fs::read(folder.path().join(EVENTS)).unwrap();
        let mut rest = bytes.as_slice();
        let mut texts = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(*rest.first_chunk().unwrap()) as usize;
            assert_eq!(rest[8..12], masked_crc(&rest[..8]).to_le_bytes());
            let data = &rest[12..12 + length];
            assert_eq!(rest[12 + length..16 + length], masked_crc(data).to_le_bytes());
            texts.push(String::from_utf8_lossy(data).into_owned());
            rest = &rest[16 + length..];
        }
        assert_eq!(texts.len(), 3);
        assert!(texts[0].contains("brain.Event:2") && texts[1].contains("dev/loss"));
        assert!(texts[1].as_bytes().windows(4).count() > 4);
        let line = std::fs::read_to_string(folder.path().join(LINES)).unwrap();
        assert_eq!(serde_json::from_str::<Record>(line.trim()).unwrap(), record);
        assert!(line.starts_with("{\"event\":\"evaluation\",\"step\":300"));
    }
}
