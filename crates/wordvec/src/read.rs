//! Reading vectors of any common format.
//!
//! The format is found by looking: our own magic; a header of two numbers, then binary rows (word2vec
//! `.bin`) or text rows (word2vec text, fastText `.vec`); no header (GloVe). `.gz` and `.zst` are found
//! by their first bytes, whatever the name.
//!
//! Real files have their faults. Of a repeated word the first vector counts; bytes that are no UTF-8
//! are replaced by `\u{fffd}`; both are counted in the [`ReadReport`]. A value that is not finite, a
//! wrong number of values, or an early end is an error that names the row.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::write::{HEADER_BYTES, MAGIC, VERSION};
use crate::{WordVecError, WordVectors};

/// Formats told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// word2vec binary: header `n dim`, then word, space, `dim` floats.
    Word2vecBinary,
    /// Text with a header `n dim`: word2vec text, fastText `.vec`.
    TextWithHeader,
    /// Text without a header: GloVe.
    TextWithoutHeader,
    /// Our own.
    Tcwv,
}

/// What to read.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Read the first so many words only.
    pub limit: Option<usize>,
    /// Read these words only.
    pub only: Option<HashSet<String>>,
}

/// What was found on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadReport {
    /// The format.
    pub format: Format,
    /// Rows whose word had been read before; their vectors are left out.
    pub n_duplicates: usize,
    /// Words with bytes that are no UTF-8.
    pub n_not_utf8: usize,
}

/// Reads the file at `path`.
///
/// # Errors
/// [`WordVecError`] naming the row that does not fit.
pub fn read_path(path: &Path, options: &ReadOptions) -> Result<(WordVectors, ReadReport), WordVecError> {
    let file = File::open(path).map_err(|source| WordVecError::Open { path: path.to_owned(), source })?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let head = reader.fill_buf()?;
    if head.starts_with(&[0x1f, 0x8b]) {
        read_from(BufReader::with_capacity(1 << 20, flate2::bufread::MultiGzDecoder::new(reader)), options)
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        read_from(BufReader::with_capacity(1 << 20, zstd::Decoder::with_buffer(reader)?), options)
    } else {
        read_from(reader, options)
    }
}

/// Reads vectors already in memory.
///
/// # Errors
/// [`WordVecError`].
pub fn read_from_bytes(bytes: &[u8]) -> Result<WordVectors, WordVecError> {
    Ok(read_from(bytes, &ReadOptions::default())?.0)
}

/// Reads vectors, uncompressed, of whatever format.
///
/// # Errors
/// [`WordVecError`].
pub fn read_from(mut reader: impl BufRead, options: &ReadOptions) -> Result<(WordVectors, ReadReport), WordVecError> {
    if reader.fill_buf()?.starts_with(MAGIC) {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        let vectors = read_tcwv(&bytes, options)?;
        return Ok((vectors, ReadReport { format: Format::Tcwv, n_duplicates: 0, n_not_utf8: 0 }));
    }
    let mut reader = Counted { reader, byte: 0 };
    let mut first = Vec::new();
    reader.read_until(b'\n', &mut first)?;
    let header = parse_header(&first);
    let mut rows = Rows::new(options, header.map_or(0, |(_, dim)| dim));
    let format = match header {
        Some((n_words, dim)) => {
            if looks_binary(reader.reader.fill_buf()?, dim) {
                read_binary(&mut reader, n_words, dim, &mut rows)?;
                Format::Word2vecBinary
            } else {
                let read = read_text(&mut reader, &mut rows, 1)?;
                if read < n_words && !rows.is_full() {
                    return Err(WordVecError::Truncated { row: read + 1, expected: n_words, byte: reader.byte });
                }
                Format::TextWithHeader
            }
        }
        None => {
            rows.push_line(&first, 1, reader.byte)?;
            read_text(&mut reader, &mut rows, 2)?;
            Format::TextWithoutHeader
        }
    };
    let (n_duplicates, n_not_utf8) = (rows.n_duplicates, rows.n_not_utf8);
    let vectors = WordVectors::new(rows.words, rows.dim, rows.data)?;
    Ok((vectors, ReadReport { format, n_duplicates, n_not_utf8 }))
}

/// A reader that knows how far it is.
struct Counted<R> {
    reader: R,
    byte: u64,
}

impl<R: BufRead> Counted<R> {
    fn read_until(&mut self, delimiter: u8, into: &mut Vec<u8>) -> Result<usize, WordVecError> {
        let n = self.reader.read_until(delimiter, into)?;
        self.byte += n as u64;
        Ok(n)
    }
}

/// Rows collected so far.
struct Rows<'a> {
    options: &'a ReadOptions,
    dim: usize,
    words: Vec<String>,
    data: Vec<f32>,
    seen: HashSet<String>,
    n_duplicates: usize,
    n_not_utf8: usize,
}

impl<'a> Rows<'a> {
    fn new(options: &'a ReadOptions, dim: usize) -> Self {
        Self {
            options,
            dim,
            words: Vec::new(),
            data: Vec::new(),
            seen: HashSet::new(),
            n_duplicates: 0,
            n_not_utf8: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.options.limit.is_some_and(|limit| self.words.len() >= limit)
            || self.options.only.as_ref().is_some_and(|only| self.words.len() >= only.len())
    }

    /// Takes a row, unless it is not wanted or a repetition.
    fn push(&mut self, word: &[u8], values: &[f32], row: usize, byte: u64) -> Result<(), WordVecError> {
        let malformed = |what| WordVecError::Malformed { row, byte, what };
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(malformed(format!("value {value} is not a finite number")));
        }
        let text = String::from_utf8_lossy(word);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            self.n_not_utf8 += 1;
        }
        let word = text.into_owned();
        if word.is_empty() {
            return Err(malformed("the word is empty".to_owned()));
        }
        if self.options.only.as_ref().is_some_and(|only| !only.contains(&word)) {
            return Ok(());
        }
        if !self.seen.insert(word.clone()) {
            self.n_duplicates += 1;
            return Ok(());
        }
        self.words.push(word);
        self.data.extend_from_slice(values);
        Ok(())
    }

    /// Takes a line of text. Numbers are read from the right: some files have spaces inside words.
    fn push_line(&mut self, line: &[u8], row: usize, byte: u64) -> Result<(), WordVecError> {
        let malformed = |what| WordVecError::Malformed { row, byte, what };
        let line = line.trim_ascii_end();
        if line.is_empty() {
            return Ok(());
        }
        let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ' || byte == b'\t').collect();
        let dim = if self.dim > 0 { self.dim } else { fields.len() - 1 };
        if dim == 0 || fields.len() <= dim {
            return Err(malformed(format!("{} values, expected {dim}", fields.len() - 1)));
        }
        self.dim = dim;
        let (word, numbers) = fields.split_at(fields.len() - dim);
        let mut values = Vec::with_capacity(dim);
        for number in numbers {
            let value = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok());
            values.push(value.ok_or_else(|| {
                malformed(format!("`{}` is not a number", String::from_utf8_lossy(&number[..number.len().min(20)])))
            })?);
        }
        self.push(&word.join(&b' '), &values, row, byte)
    }
}

/// The two numbers of a header line.
fn parse_header(line: &[u8]) -> Option<(usize, usize)> {
    let text = std::str::from_utf8(line).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let header = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (fields.next().is_none() && header.1 > 0).then_some(header)
}

/// Whether what follows the header is binary: in a text file the first row is printable up to its end.
fn looks_binary(ahead: &[u8], dim: usize) -> bool {
    let Some(space) = ahead.iter().position(|&byte| byte == b' ') else { return false };
    let sample = &ahead[space + 1..ahead.len().min(space + 1 + 4 * dim)];
    !sample.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E' | b' ' | b'\t' | b'\r' | b'\n') || byte.is_ascii_alphabetic() || *byte >= 0x80)
        || !sample.contains(&b' ') && dim > 1
}

fn read_binary(
    reader: &mut Counted<impl BufRead>,
    n_words: usize,
    dim: usize,
    rows: &mut Rows<'_>,
) -> Result<(), WordVecError> {
    let mut bytes = vec![0_u8; dim.checked_mul(4).unwrap_or(0)];
    let mut values = vec![0.0_f32; dim];
    let mut word = Vec::new();
    for row in 1..=n_words {
        if rows.is_full() {
            break;
        }
        word.clear();
        reader.read_until(b' ', &mut word)?;
        let truncated = WordVecError::Truncated { row, expected: n_words, byte: reader.byte };
        if word.pop() != Some(b' ') {
            return Err(truncated);
        }
        if reader.reader.read_exact(&mut bytes).is_err() {
            return Err(truncated);
        }
        reader.byte += bytes.len() as u64;
        for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *value = f32::from_le_bytes(*bytes);
        }
        // Some writers end a row with a line feed, some do not.
        rows.push(word.trim_ascii_start(), &values, row, reader.byte)?;
    }
    Ok(())
}

/// Reads lines to the end; returns how many there were.
fn read_text(reader: &mut Counted<impl BufRead>, rows: &mut Rows<'_>, first_row: usize) -> Result<usize, WordVecError> {
    let mut line = Vec::new();
    let mut n_read = 0;
    while !rows.is_full() {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        rows.push_line(&line, first_row + n_read, reader.byte)?;
        n_read += usize::from(!line.trim_ascii().is_empty());
    }
    Ok(n_read)
}

/// Reads our own format.
fn read_tcwv(bytes: &[u8], options: &ReadOptions) -> Result<WordVectors, WordVecError> {
    let damaged = |what: &str| WordVecError::Damaged(what.to_owned());
    let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or_else(|| damaged("the header is cut short"))?;
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    if word(4) != VERSION {
        return Err(WordVecError::Damaged(format!("format version {}, expected {VERSION}", word(4))));
    }
    if crc32fast::hash(body) != word(36) {
        return Err(damaged("its checksum does not fit"));
    }
    let (n_words, dim) = (long(8) as usize, word(16) as usize);
    let (is_int8, has_counts) = (word(20) == 1, word(24) == 1);
    let mut rest = body;
    let mut take = |length: Option<usize>| {
        let (part, after) = length.and_then(|length| rest.split_at_checked(length)).ok_or_else(|| damaged("it is cut short"))?;
        rest = after;
        Ok::<&[u8], WordVecError>(part)
    };
    let words = std::str::from_utf8(take(Some(long(28) as usize))?).map_err(|_| damaged("the words are no UTF-8"))?;
    let words: Vec<String> = words.split('\n').map(str::to_owned).collect();
    if words.len() != n_words {
        return Err(WordVecError::Damaged(format!("{} words, expected {n_words}", words.len())));
    }
    let counts = if has_counts {
        let counts = take(n_words.checked_mul(8))?.as_chunks::<8>().0;
        Some(counts.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect::<Vec<u64>>())
    } else {
        None
    };
    let n_values = n_words.checked_mul(dim);
    let floats = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect::<Vec<f32>>();
    let data = if is_int8 {
        let scales = floats(take(n_words.checked_mul(4))?);
        let values = take(n_values)?;
        let mut data = Vec::with_capacity(values.len());
        for (row, scale) in values.chunks_exact(dim.max(1)).zip(scales) {
            data.extend(row.iter().map(|&byte| f32::from(i8::from_le_bytes([byte])) * scale));
        }
        data
    } else {
        floats(take(n_values.and_then(|n| n.checked_mul(4)))?)
    };
    if !rest.is_empty() {
        return Err(damaged("it is longer than it says"));
    }
    let vectors = WordVectors::new(words, dim, data)?;
    let vectors = match counts {
        Some(counts) => vectors.with_counts(counts)?,
        None => vectors,
    };
    let vectors = match &options.only {
        Some(only) => select(&vectors, only)?,
        None => vectors,
    };
    Ok(match options.limit {
        Some(limit) => vectors.prefix(limit),
        None => vectors,
    })
}

fn select(vectors: &WordVectors, only: &HashSet<String>) -> Result<WordVectors, WordVecError> {
    let kept: Vec<usize> = (0..vectors.len()).filter(|&at| only.contains(&vectors.words()[at])).collect();
    let words = kept.iter().map(|&at| vectors.words()[at].clone()).collect();
    let data = kept.iter().flat_map(|&at| vectors.row(at)).copied().collect();
    let selected = WordVectors::new(words, vectors.dim(), data)?;
    match vectors.counts() {
        Some(counts) => selected.with_counts(kept.iter().map(|&at| counts[at]).collect()),
        None => Ok(selected),
    }
}
