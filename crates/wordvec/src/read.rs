//! Reading vectors of any common format.
//!
//! The format is found by looking: our own magic; a header of two numbers, then binary rows (word2vec
//! `.bin`) or text rows (word2vec text, fastText `.vec`); no header (GloVe). `.gz` and `.zst` are found
//! by their first bytes, whatever the name. Files are read as a stream: with a limit, or once all wanted
//! words are found, the rest is not read.
//!
//! Real files have their faults. What is done with them:
//!
//! | fault | what happens |
//! |---|---|
//! | a word occurs again | its first vector counts; counted in [`ReadReport::n_duplicates`] |
//! | bytes of a word are no UTF-8 | replaced by `\u{fffd}`; counted in [`ReadReport::n_not_utf8`] |
//! | fewer rows than announced, an early end inside a row or a compressed stream | [`WordVecError::Truncated`] |
//! | more rows than announced | not read; [`ReadReport::has_more`] |
//! | a value that is not finite or no number, a wrong number of values, an empty word | [`WordVecError::Malformed`] with row and byte |
//! | a header that announces absurd sizes | [`WordVecError::Malformed`]; memory is only taken for rows that are there |

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter};
use std::ops::ControlFlow;
use std::path::Path;

use crate::table::WordTable;
use crate::tcwv::{self, MappedVectors, TcwvWriter};
use crate::vectors::Builder;
use crate::write::{Precision, replace_file};
use crate::{Word2vecFile, WordVecError, WordVectors};

/// More components than any vector has; a header that announces more is no header.
pub(crate) const MAX_DIM: usize = 65_536;
/// More bytes than any word has; without the limit a damaged file would be taken for one long word.
pub(crate) const MAX_WORD_BYTES: usize = 65_536;

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
    /// Something follows the last row the header announces; it was not read.
    pub has_more: bool,
}

/// Reads the file at `path`.
///
/// # Errors
/// [`WordVecError`] naming the row that does not fit.
pub fn read_path(path: &Path, options: &ReadOptions) -> Result<(WordVectors, ReadReport), WordVecError> {
    read_from(open_path(path)?, options)
}

/// Opens a file, unpacked if it is `.gz` or `.zst` by its first bytes.
pub(crate) fn open_path(path: &Path) -> Result<Box<dyn BufRead>, WordVecError> {
    let file = File::open(path).map_err(|source| WordVecError::Open { path: path.to_owned(), source })?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let head = reader.fill_buf()?;
    Ok(if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(BufReader::with_capacity(1 << 20, flate2::bufread::MultiGzDecoder::new(reader)))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(BufReader::with_capacity(1 << 20, zstd::Decoder::with_buffer(reader)?))
    } else {
        Box::new(reader)
    })
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
pub fn read_from(
    mut reader: impl BufRead,
    options: &ReadOptions,
) -> Result<(WordVectors, ReadReport), WordVecError> {
    if reader.fill_buf()?.starts_with(tcwv::MAGIC) {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        let vectors = tcwv::read(&bytes, options)?;
        let report = ReadReport { format: Format::Tcwv, n_duplicates: 0, n_not_utf8: 0, has_more: false };
        return Ok((vectors, report));
    }
    let mut builder = None;
    let report = for_each_row(reader, options, &mut |word, row| {
        Ok(builder.get_or_insert_with(|| Builder::new(row.len())).push(word, row))
    })?;
    let vectors = builder.ok_or(WordVecError::Empty)?.finish()?;
    Ok((vectors, report))
}

/// Vectors in use, from a file of whatever format, in the cheapest way it allows: `.tcwv` and
/// uncompressed word2vec binary files are mapped, everything else is read whole.
///
/// # Errors
/// [`WordVecError`].
pub fn open(path: &Path) -> Result<Box<dyn WordTable + Send + Sync>, WordVecError> {
    match MappedVectors::open(path) {
        Err(WordVecError::NotMappable { .. }) => {}
        opened => return Ok(Box::new(opened?)),
    }
    let mut reader = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut line = Vec::new();
    io::Read::take(&mut reader, 64).read_until(b'\n', &mut line)?;
    if let Some((_, dim)) = parse_header(&line)
        && looks_binary(reader.fill_buf()?, dim)
    {
        return Ok(Box::new(Word2vecFile::open(path)?));
    }
    Ok(Box::new(read_path(path, &ReadOptions::default())?.0))
}

/// How far a conversion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvertProgress {
    /// Words written so far.
    pub n_words: usize,
}

/// Turns a file of whatever format into a `.tcwv` file, row by row, so that a file larger than memory
/// can be converted. `to` is written under another name and renamed into place.
///
/// `progress` is called every 10,000 words; answering [`ControlFlow::Break`] stops with
/// [`WordVecError::Interrupted`] and leaves `to` as it was.
///
/// # Errors
/// [`WordVecError`] naming the row of `from` that does not fit; [`WordVecError::Write`] naming `to`.
pub fn convert(
    from: &Path,
    to: &Path,
    precision: Precision,
    options: &ReadOptions,
    progress: &mut dyn FnMut(&ConvertProgress) -> ControlFlow<()>,
) -> Result<ReadReport, WordVecError> {
    let mut reader = open_path(from)?;
    let is_tcwv = reader.fill_buf()?.starts_with(tcwv::MAGIC);
    let mut report = None;
    // What fails on this side is the target's fault; the caller knows the source.
    let failed = |error| match error {
        WordVecError::Io(source) => WordVecError::Write { path: to.to_owned(), source },
        error => error,
    };
    replace_file(to, |file| {
        let mut out = Some(BufWriter::with_capacity(1 << 20, file));
        let mut writer: Option<TcwvWriter<_>> = None;
        let mut n_words = 0;
        let mut push = |word: &str, row: &[f32], count: Option<u64>| {
            if let Some(out) = out.take() {
                writer = Some(TcwvWriter::new(out, row.len(), precision).map_err(failed)?);
            }
            // There is one since the first row.
            let is_new =
                writer.as_mut().map_or(Ok(false), |writer| writer.push(word, row, count)).map_err(failed)?;
            n_words += usize::from(is_new);
            if n_words % 10_000 == 0 && progress(&ConvertProgress { n_words }).is_break() {
                return Err(WordVecError::Interrupted);
            }
            Ok(is_new)
        };
        if is_tcwv {
            let (vectors, read) = read_from(reader, options)?;
            for at in 0..vectors.len() {
                push(&vectors.word_at(at), vectors.row(at), vectors.count_at(at))?;
            }
            report = Some(read);
        } else {
            report = Some(for_each_row(reader, options, &mut |word, row| push(word, row, None))?);
        }
        writer.ok_or(WordVecError::Empty)?.finish().map_err(failed)?;
        Ok(())
    })?;
    report.ok_or(WordVecError::Empty)
}

/// Takes a row; false if its word had been there before.
type Sink<'a> = dyn FnMut(&str, &[f32]) -> Result<bool, WordVecError> + 'a;

/// Calls `sink` for every wanted row of a stream of another format than ours.
fn for_each_row(
    reader: impl BufRead,
    options: &ReadOptions,
    sink: &mut Sink<'_>,
) -> Result<ReadReport, WordVecError> {
    let mut reader = Counted { reader, byte: 0 };
    let mut first = Vec::new();
    reader.read_line(&mut first, 1, None)?;
    let header = parse_header(&first);
    let mut rows = Rows {
        options,
        sink,
        dim: header.map_or(0, |(_, dim)| dim),
        n_words: 0,
        n_duplicates: 0,
        n_not_utf8: 0,
        values: Vec::new(),
    };
    let (format, has_more) = match header {
        Some((n_words, dim)) if dim > MAX_DIM => {
            let what = format!("the header announces {n_words} words of {dim} dimensions");
            return Err(WordVecError::Malformed { row: 0, byte: 0, what });
        }
        Some((n_words, dim)) if looks_binary(reader.ahead(1, Some(n_words))?, dim) => {
            read_binary(&mut reader, n_words, dim, &mut rows)?;
            let has_more = !rows.is_full() && reader.has_more()?;
            (Format::Word2vecBinary, has_more)
        }
        Some((n_words, _)) => {
            let read = read_text(&mut reader, &mut rows, 1, Some(n_words))?;
            if read < n_words && !rows.is_full() {
                return Err(WordVecError::Truncated { row: read + 1, expected: n_words, byte: reader.byte });
            }
            let has_more = !rows.is_full() && reader.has_more()?;
            (Format::TextWithHeader, has_more)
        }
        None => {
            rows.push_line(&first, 1, reader.byte)?;
            read_text(&mut reader, &mut rows, 2, None)?;
            (Format::TextWithoutHeader, false)
        }
    };
    Ok(ReadReport { format, n_duplicates: rows.n_duplicates, n_not_utf8: rows.n_not_utf8, has_more })
}

/// A reader that knows how far it is.
struct Counted<R> {
    reader: R,
    byte: u64,
}

impl<R: BufRead> Counted<R> {
    /// An early end of a compressed stream is told like that of a plain one.
    fn told<T>(&self, result: io::Result<T>, row: usize, expected: Option<usize>) -> Result<T, WordVecError> {
        result.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                WordVecError::Truncated { row, expected: expected.unwrap_or(row), byte: self.byte }
            }
            _ => error.into(),
        })
    }

    /// Whether something other than white space comes next.
    fn has_more(&mut self) -> Result<bool, WordVecError> {
        Ok(self.reader.fill_buf()?.iter().any(|byte| !byte.is_ascii_whitespace()))
    }

    /// Bytes that come next; none at the end.
    fn ahead(&mut self, row: usize, expected: Option<usize>) -> Result<&[u8], WordVecError> {
        let filled = self.reader.fill_buf().map(<[u8]>::len);
        self.told(filled, row, expected)?;
        Ok(self.reader.fill_buf()?)
    }

    /// Reads to the line feed or the end, at most as much as a row can be long.
    fn read_line(
        &mut self,
        into: &mut Vec<u8>,
        row: usize,
        expected: Option<usize>,
    ) -> Result<usize, WordVecError> {
        // No number needs 64 bytes.
        let longest = (MAX_WORD_BYTES + MAX_DIM * 64) as u64;
        let read = io::Read::take(&mut self.reader, longest).read_until(b'\n', into);
        let n = self.told(read, row, expected)?;
        self.byte += n as u64;
        if n as u64 == longest {
            let what = format!("a line of more than {longest} bytes");
            return Err(WordVecError::Malformed { row, byte: self.byte, what });
        }
        Ok(n)
    }
}

/// Rows on their way to the sink.
struct Rows<'a> {
    options: &'a ReadOptions,
    sink: &'a mut Sink<'a>,
    dim: usize,
    n_words: usize,
    n_duplicates: usize,
    n_not_utf8: usize,
    values: Vec<f32>,
}

impl Rows<'_> {
    fn is_full(&self) -> bool {
        self.options.limit.is_some_and(|limit| self.n_words >= limit)
            || self.options.only.as_ref().is_some_and(|only| self.n_words >= only.len())
    }

    /// Takes a row, unless it is not wanted or a repetition.
    fn push(&mut self, word: &[u8], values: &[f32], row: usize, byte: u64) -> Result<(), WordVecError> {
        let malformed = |what| WordVecError::Malformed { row, byte, what };
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(malformed(format!("value {value} is not a finite number")));
        }
        let word = String::from_utf8_lossy(word);
        if matches!(word, std::borrow::Cow::Owned(_)) {
            self.n_not_utf8 += 1;
        }
        if word.is_empty() {
            return Err(malformed("the word is empty".to_owned()));
        }
        if self.options.only.as_ref().is_some_and(|only| !only.contains(&*word)) {
            return Ok(());
        }
        if (self.sink)(&word, values)? {
            self.n_words += 1;
        } else {
            self.n_duplicates += 1;
        }
        Ok(())
    }

    /// Takes a line of text. Numbers are read from the right: some files have spaces inside words.
    fn push_line(&mut self, line: &[u8], row: usize, byte: u64) -> Result<(), WordVecError> {
        let malformed = |what| WordVecError::Malformed { row, byte, what };
        let line = line.trim_ascii_end();
        if line.is_empty() {
            return Ok(());
        }
        let is_gap = |byte: &u8| *byte == b' ' || *byte == b'\t';
        let dim = if self.dim > 0 { self.dim } else { line.split(is_gap).count() - 1 };
        let mut values = std::mem::take(&mut self.values);
        values.clear();
        let mut rest = line;
        for _ in 0..dim {
            let Some(gap) = rest.iter().rposition(is_gap) else { break };
            let number = &rest[gap + 1..];
            let value = std::str::from_utf8(number).ok().and_then(|text| text.parse().ok());
            values.push(value.ok_or_else(|| {
                malformed(format!(
                    "`{}` is not a number",
                    String::from_utf8_lossy(&number[..number.len().min(20)])
                ))
            })?);
            rest = &rest[..gap];
        }
        if dim == 0 || values.len() < dim {
            return Err(malformed(format!("{} values, expected {dim}", values.len())));
        }
        values.reverse();
        self.dim = dim;
        let pushed = self.push(rest, &values, row, byte);
        self.values = values;
        pushed
    }
}

/// The two numbers of a header line.
pub(crate) fn parse_header(line: &[u8]) -> Option<(usize, usize)> {
    let text = std::str::from_utf8(line).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let header = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (fields.next().is_none() && header.1 > 0).then_some(header)
}

/// Whether what follows the header is binary: in a text file the first row is printable up to its end.
fn looks_binary(ahead: &[u8], dim: usize) -> bool {
    let Some(space) = ahead.iter().position(|&byte| byte == b' ') else { return false };
    let end = ahead.len().min((space + 1).saturating_add(dim.saturating_mul(4)));
    let sample = &ahead[space + 1..end];
    // Behind the first line the next word may begin, which need not be ASCII; numbers are.
    let sample = sample.split_inclusive(|&byte| byte == b'\n').next().unwrap_or_default();
    let printable = |byte: &u8| {
        matches!(byte, b'+' | b'-' | b'.' | b' ' | b'\t' | b'\r' | b'\n') || byte.is_ascii_alphanumeric()
    };
    !sample.iter().all(printable) || !sample.contains(&b' ') && dim > 1
}

fn read_binary(
    reader: &mut Counted<impl BufRead>,
    n_words: usize,
    dim: usize,
    rows: &mut Rows<'_>,
) -> Result<(), WordVecError> {
    let mut bytes = vec![0_u8; dim * 4];
    let mut values = vec![0.0_f32; dim];
    let mut word = Vec::new();
    for row in 1..=n_words {
        if rows.is_full() {
            break;
        }
        word.clear();
        let read = io::Read::take(&mut reader.reader, MAX_WORD_BYTES as u64).read_until(b' ', &mut word);
        reader.byte += reader.told(read, row, Some(n_words))? as u64;
        if word.pop() != Some(b' ') {
            return Err(if word.len() + 1 >= MAX_WORD_BYTES {
                let what = format!("a word of more than {MAX_WORD_BYTES} bytes");
                WordVecError::Malformed { row, byte: reader.byte, what }
            } else {
                WordVecError::Truncated { row, expected: n_words, byte: reader.byte }
            });
        }
        let read = reader.reader.read_exact(&mut bytes);
        reader.told(read, row, Some(n_words))?;
        reader.byte += bytes.len() as u64;
        for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *value = f32::from_le_bytes(*bytes);
        }
        // Some writers end a row with a line feed, some do not.
        rows.push(word.trim_ascii_start(), &values, row, reader.byte)?;
    }
    Ok(())
}

/// Reads lines to the end, or `expected` of them; returns how many there were.
fn read_text(
    reader: &mut Counted<impl BufRead>,
    rows: &mut Rows<'_>,
    first_row: usize,
    expected: Option<usize>,
) -> Result<usize, WordVecError> {
    let mut line = Vec::new();
    let mut n_read = 0;
    while !rows.is_full() && n_read < expected.unwrap_or(usize::MAX) {
        line.clear();
        if reader.read_line(&mut line, first_row + n_read, expected)? == 0 {
            break;
        }
        rows.push_line(&line, first_row + n_read, reader.byte)?;
        n_read += usize::from(!line.trim_ascii().is_empty());
    }
    Ok(n_read)
}
