//! Writing vectors: word2vec binary and text, and our own compact format `.tcwv`.
//!
//! Layout of `.tcwv`, little endian: magic `TCWV`, version u32, n_words u64, dim u32, precision u32
//! (0: f32, 1: int8), has_counts u32, length of the word table u64, CRC-32 of all that follows u32; the
//! words joined by line feeds; the counts u64 if there are any; with f32 the values, with int8 a scale
//! f32 a word and then the values i8 (component = scale · value).

use std::io::{self, Write};

use crate::{WordVecError, WordVectors};

/// Precision of a component in `.tcwv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit float: exact.
    F32,
    /// 8-bit integer with a scale a word: a quarter of the size, cosines to about 0.001.
    Int8,
}

pub(crate) const MAGIC: &[u8; 4] = b"TCWV";
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_BYTES: usize = 40;

/// Writes our own format.
///
/// # Errors
/// [`WordVecError::Malformed`] if a word has a line feed; else the writer's.
pub fn write_tcwv(vectors: &WordVectors, precision: Precision, out: &mut dyn Write) -> Result<(), WordVecError> {
    for (at, word) in vectors.words().iter().enumerate() {
        if word.contains('\n') {
            let what = format!("word {word:?} has a line feed");
            return Err(WordVecError::Malformed { row: at + 1, byte: 0, what });
        }
    }
    let words = vectors.words().join("\n");
    let mut body = words.into_bytes();
    let n_word_bytes = body.len() as u64;
    if let Some(counts) = vectors.counts() {
        counts.iter().for_each(|count| body.extend(count.to_le_bytes()));
    }
    let rows = vectors.as_slice().chunks_exact(vectors.dim());
    match precision {
        Precision::F32 => vectors.as_slice().iter().for_each(|x| body.extend(x.to_le_bytes())),
        Precision::Int8 => {
            let scales: Vec<f32> =
                rows.clone().map(|row| row.iter().fold(0.0_f32, |largest, x| largest.max(x.abs())) / 127.0).collect();
            scales.iter().for_each(|scale| body.extend(scale.to_le_bytes()));
            for (row, scale) in rows.zip(scales) {
                // A row of zeros has scale 0 and stays zeros.
                let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
                body.extend(row.iter().map(|x| ((x * inverse).round().clamp(-127.0, 127.0) as i8).to_le_bytes()[0]));
            }
        }
    }
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.extend((vectors.len() as u64).to_le_bytes());
    header.extend((vectors.dim() as u32).to_le_bytes());
    header.extend(u32::from(precision == Precision::Int8).to_le_bytes());
    header.extend(u32::from(vectors.counts().is_some()).to_le_bytes());
    header.extend(n_word_bytes.to_le_bytes());
    header.extend(crc32fast::hash(&body).to_le_bytes());
    out.write_all(&header)?;
    out.write_all(&body)?;
    Ok(())
}

/// Writes the binary format of the original word2vec.
///
/// # Errors
/// The writer's.
pub fn write_word2vec_binary(vectors: &WordVectors, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} {}", vectors.len(), vectors.dim())?;
    for (word, row) in vectors.words().iter().zip(vectors.as_slice().chunks_exact(vectors.dim())) {
        out.write_all(word.as_bytes())?;
        out.write_all(b" ")?;
        for x in row {
            out.write_all(&x.to_le_bytes())?;
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Writes the text format of word2vec, which fastText's `.vec` is too; numbers are exact.
///
/// # Errors
/// The writer's.
pub fn write_word2vec_text(vectors: &WordVectors, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{} {}", vectors.len(), vectors.dim())?;
    for (word, row) in vectors.words().iter().zip(vectors.as_slice().chunks_exact(vectors.dim())) {
        write!(out, "{word}")?;
        for x in row {
            // The shortest text that reads back as the same number.
            write!(out, " {x}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
