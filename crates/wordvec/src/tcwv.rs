//! Our own file format, `.tcwv`: made to be mapped, and to be written in one pass.
//!
//! Version 2, little endian, every section filled up with zeros to a multiple of 64 bytes:
//!
//! | section | content |
//! |---|---|
//! | header, 64 bytes | `TCWV`, version u32 = 2, dim u32, precision u32 (0 f32, 1 int8, 2 f16), zeros |
//! | values | `[n_words, dim]` in that precision, row-major |
//! | scales | int8 only: f32 a word; component = scale · value |
//! | words | all words, UTF-8, one after the other |
//! | ends | u64 a word: where it ends in the section before |
//! | slots | u32 a slot: hash table of positions (module `word_index`) |
//! | counts | u64 a word, if known |
//! | footer, 64 bytes | n_words u64, n_slots u64, bytes of words u64, dim u32, precision u32, has_counts u32, CRC-32 of all before the footer u32, zeros, CRC-32 of the footer so far u32 (byte 56), `VWCT` |
//!
//! The footer is last, so a writer needs neither the number of words nor a file it can seek in, and a
//! file cut short has none. Opening checks footer, header and sizes, which takes the same time for any
//! size; the checksum over everything is compared by [`MappedVectors::verify`] and whenever a file is
//! read whole. Offsets are checked on every access, so a damaged file can give wrong words but
//! nothing worse.
//!
//! Version 1 (no index, not aligned) is still read.

use std::borrow::Cow;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::mapping::Mapping;
use crate::read::ReadOptions;
use crate::table::WordTable;
use crate::word_index::{self, WordIndex};
use crate::write::Precision;
use crate::{WordVecError, WordVectors, half};

pub(crate) const MAGIC: &[u8; 4] = b"TCWV";
const END_MAGIC: &[u8; 4] = b"VWCT";
const VERSION: u32 = 2;
const ALIGN: usize = 64;
const HEADER_BYTES: usize = 64;
const FOOTER_BYTES: usize = 64;

impl Precision {
    fn code(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::Int8 => 1,
            Self::F16 => 2,
        }
    }

    fn of_code(code: u32) -> Option<Self> {
        [Self::F32, Self::Int8, Self::F16].into_iter().find(|precision| precision.code() == code)
    }

    /// Bytes of one component.
    fn width(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Int8 => 1,
            Self::F16 => 2,
        }
    }
}

/// Writes `.tcwv` row by row, in bounded memory: values go straight out, words and index are kept.
///
/// ```
/// use wordvec::write::Precision;
/// use wordvec::{TcwvWriter, read};
/// let mut writer = TcwvWriter::new(Vec::new(), 2, Precision::F32)?;
/// assert!(writer.push("red", &[1.0, 0.0], None)?);
/// assert!(!writer.push("red", &[0.0, 1.0], None)?, "of a repeated word the first vector counts");
/// let bytes = writer.finish()?;
/// assert_eq!(read::read_from_bytes(&bytes)?.get("red"), Some(&[1.0, 0.0][..]));
/// # Ok::<(), wordvec::WordVecError>(())
/// ```
#[derive(Debug)]
pub struct TcwvWriter<W: Write> {
    out: W,
    written: u64,
    checksum: crc32fast::Hasher,
    dim: usize,
    precision: Precision,
    words: Vec<u8>,
    ends: Vec<u64>,
    index: WordIndex,
    scales: Vec<f32>,
    counts: Vec<u64>,
    encoded: Vec<u8>,
}

impl<W: Write> TcwvWriter<W> {
    /// Begins a file of vectors of `dim` components.
    ///
    /// # Errors
    /// [`WordVecError::Empty`] if `dim` is 0; else the writer's.
    pub fn new(out: W, dim: usize, precision: Precision) -> Result<Self, WordVecError> {
        if dim == 0 {
            return Err(WordVecError::Empty);
        }
        let mut writer = Self {
            out,
            written: 0,
            checksum: crc32fast::Hasher::new(),
            dim,
            precision,
            words: Vec::new(),
            ends: Vec::new(),
            index: WordIndex::with_capacity(1024),
            scales: Vec::new(),
            counts: Vec::new(),
            encoded: Vec::new(),
        };
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(MAGIC);
        header[4..8].copy_from_slice(&VERSION.to_le_bytes());
        header[8..12].copy_from_slice(&(dim as u32).to_le_bytes());
        header[12..16].copy_from_slice(&precision.code().to_le_bytes());
        writer.put(&header)?;
        Ok(writer)
    }

    /// Adds a word; false if it is there already (its new vector is left out).
    ///
    /// - `row`: `[dim]`. `count`: either every word has one or none.
    ///
    /// # Errors
    /// [`WordVecError::Shape`] if `row` has another length or counts are given for some words only;
    /// else the writer's.
    pub fn push(&mut self, word: &str, row: &[f32], count: Option<u64>) -> Result<bool, WordVecError> {
        let n_words = self.ends.len();
        if row.len() != self.dim {
            return Err(WordVecError::Shape {
                n_words: 1,
                dim: self.dim,
                expected: self.dim,
                found: row.len(),
            });
        }
        let (words, ends) = (&self.words, &self.ends);
        let word_of = |at: u32| &words[word_range(ends, at as usize)];
        let hash = word_index::hash(word.as_bytes());
        if self.index.find(hash, |at| word_of(at) == word.as_bytes()).is_some() {
            return Ok(false);
        }
        if count.is_some() != (self.counts.len() == n_words) && n_words > 0
            || count.is_some() && self.counts.len() < n_words
        {
            return Err(WordVecError::Shape { n_words, dim: 1, expected: n_words, found: self.counts.len() });
        }
        self.index.insert(hash, n_words as u32, |at| word_index::hash(word_of(at)));
        self.words.extend_from_slice(word.as_bytes());
        self.ends.push(self.words.len() as u64);
        self.counts.extend(count);
        let mut encoded = std::mem::take(&mut self.encoded);
        encoded.clear();
        self.scales.extend(encode(row, self.precision, &mut encoded));
        let put = self.put(&encoded);
        self.encoded = encoded;
        put.map(|()| true)
    }

    /// Writes index and footer, and gives the writer back.
    ///
    /// # Errors
    /// [`WordVecError::Empty`] if no word was added; else the writer's.
    pub fn finish(mut self) -> Result<W, WordVecError> {
        if self.ends.is_empty() {
            return Err(WordVecError::Empty);
        }
        self.pad()?;
        let scales = std::mem::take(&mut self.scales);
        self.put_all(scales.iter().map(|scale| scale.to_le_bytes()))?;
        let words = std::mem::take(&mut self.words);
        self.put(&words)?;
        self.pad()?;
        let ends = std::mem::take(&mut self.ends);
        self.put_all(ends.iter().map(|end| end.to_le_bytes()))?;
        let index = std::mem::replace(&mut self.index, WordIndex::with_capacity(0));
        self.put_all(index.slots().iter().map(|slot| slot.to_le_bytes()))?;
        let counts = std::mem::take(&mut self.counts);
        self.put_all(counts.iter().map(|count| count.to_le_bytes()))?;
        let mut footer = [0; FOOTER_BYTES];
        footer[..8].copy_from_slice(&(ends.len() as u64).to_le_bytes());
        footer[8..16].copy_from_slice(&(index.slots().len() as u64).to_le_bytes());
        footer[16..24].copy_from_slice(&(words.len() as u64).to_le_bytes());
        footer[24..28].copy_from_slice(&(self.dim as u32).to_le_bytes());
        footer[28..32].copy_from_slice(&self.precision.code().to_le_bytes());
        footer[32..36].copy_from_slice(&u32::from(!counts.is_empty()).to_le_bytes());
        footer[36..40].copy_from_slice(&self.checksum.finalize().to_le_bytes());
        let own = crc32fast::hash(&footer[..56]);
        footer[56..60].copy_from_slice(&own.to_le_bytes());
        footer[60..].copy_from_slice(END_MAGIC);
        self.out.write_all(&footer)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), WordVecError> {
        self.out.write_all(bytes)?;
        self.checksum.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn put_all<const N: usize>(&mut self, parts: impl Iterator<Item = [u8; N]>) -> Result<(), WordVecError> {
        let bytes: Vec<u8> = parts.flatten().collect();
        self.put(&bytes)?;
        self.pad()
    }

    fn pad(&mut self) -> Result<(), WordVecError> {
        let over = (self.written % ALIGN as u64) as usize;
        if over > 0 { self.put(&[0; ALIGN][over..]) } else { Ok(()) }
    }
}

/// Appends a row; with int8 returns its scale.
fn encode(row: &[f32], precision: Precision, into: &mut Vec<u8>) -> Option<f32> {
    match precision {
        Precision::F32 => row.iter().for_each(|x| into.extend_from_slice(&x.to_le_bytes())),
        Precision::F16 => row.iter().for_each(|x| into.extend_from_slice(&half::from_f32(*x).to_le_bytes())),
        Precision::Int8 => {
            let scale = row.iter().fold(0.0_f32, |largest, x| largest.max(x.abs())) / 127.0;
            // A row of zeros has scale 0 and stays zeros.
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            into.extend(
                row.iter().map(|x| ((x * inverse).round().clamp(-127.0, 127.0) as i8).to_le_bytes()[0]),
            );
            return Some(scale);
        }
    }
    None
}

fn word_range(ends: &[u64], at: usize) -> Range<usize> {
    let start = at.checked_sub(1).map_or(0, |before| ends[before] as usize);
    start..ends[at] as usize
}

/// Where the sections of a version 2 file are.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    n_words: usize,
    n_slots: usize,
    dim: usize,
    precision: Precision,
    values: Range<usize>,
    scales: Range<usize>,
    words: Range<usize>,
    ends: Range<usize>,
    slots: Range<usize>,
    counts: Option<Range<usize>>,
    checksum: u32,
}

fn damaged(what: impl Into<String>) -> WordVecError {
    WordVecError::Damaged(what.into())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

impl Layout {
    /// Checks header, footer and sizes.
    fn of(bytes: &[u8]) -> Result<Self, WordVecError> {
        if bytes.len() < HEADER_BYTES + FOOTER_BYTES {
            return Err(damaged(format!("it is cut short: {} bytes", bytes.len())));
        }
        let body_end = bytes.len() - FOOTER_BYTES;
        let footer = &bytes[body_end..];
        if &footer[60..] != END_MAGIC {
            return Err(damaged("it is cut short: its last part is missing"));
        }
        if crc32fast::hash(&footer[..56]) != u32_at(footer, 56) {
            return Err(damaged("the checksum of its last part does not fit"));
        }
        let (dim, code) = (u32_at(footer, 24), u32_at(footer, 28));
        if u32_at(bytes, 8) != dim || u32_at(bytes, 12) != code {
            return Err(damaged("its first and last parts differ"));
        }
        let precision =
            Precision::of_code(code).ok_or_else(|| damaged(format!("precision {code} is unknown")))?;
        let n_words = u64_at(footer, 0) as usize;
        let n_slots = u64_at(footer, 8) as usize;
        if n_words == 0 || dim == 0 {
            return Err(WordVecError::Empty);
        }
        if !n_slots.is_power_of_two() || n_slots <= n_words {
            return Err(damaged(format!("{n_slots} slots for {n_words} words")));
        }
        let mut at = HEADER_BYTES;
        let mut section = |length: Option<usize>| {
            let end = length.and_then(|length| at.checked_add(length)).filter(|&end| end <= body_end);
            let end = end.ok_or_else(|| damaged("its sizes go beyond its end"))?;
            let range = at..end;
            at = end.next_multiple_of(ALIGN);
            Ok::<Range<usize>, WordVecError>(range)
        };
        let layout = Self {
            n_words,
            n_slots,
            dim: dim as usize,
            precision,
            values: section(
                n_words.checked_mul(dim as usize).and_then(|n| n.checked_mul(precision.width())),
            )?,
            scales: section(if precision == Precision::Int8 { n_words.checked_mul(4) } else { Some(0) })?,
            words: section(usize::try_from(u64_at(footer, 16)).ok())?,
            ends: section(n_words.checked_mul(8))?,
            slots: section(n_slots.checked_mul(4))?,
            counts: if u32_at(footer, 32) == 1 { Some(section(n_words.checked_mul(8))?) } else { None },
            checksum: u32_at(footer, 36),
        };
        if at != body_end {
            return Err(damaged(format!("{body_end} bytes of content, expected {at}")));
        }
        Ok(layout)
    }

    /// Checks that it is a file of version 2, and [`Layout::of`].
    pub(crate) fn of_version_2(bytes: &[u8]) -> Result<Self, WordVecError> {
        if bytes.len() < 8 || !bytes.starts_with(MAGIC) {
            return Err(damaged("it holds no word vectors"));
        }
        check_version(bytes)?;
        Self::of(bytes)
    }

    pub(crate) fn n_words(&self) -> usize {
        self.n_words
    }

    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    fn verify(&self, bytes: &[u8]) -> Result<(), WordVecError> {
        if crc32fast::hash(&bytes[..bytes.len() - FOOTER_BYTES]) == self.checksum {
            Ok(())
        } else {
            Err(damaged("its checksum does not fit"))
        }
    }

    /// Bytes of a word; empty where the file is damaged.
    fn word<'b>(&self, bytes: &'b [u8], at: usize) -> &'b [u8] {
        assert!(at < self.n_words, "position {at} of {} words", self.n_words);
        let ends = &bytes[self.ends.clone()];
        let start = if at == 0 { 0 } else { u64_at(ends, (at - 1) * 8) as usize };
        bytes[self.words.clone()].get(start..u64_at(ends, at * 8) as usize).unwrap_or_default()
    }

    pub(crate) fn index_of(&self, bytes: &[u8], word: &str) -> Option<usize> {
        let slots = &bytes[self.slots.clone()];
        let same = |at: u32| (at as usize) < self.n_words && self.word(bytes, at as usize) == word.as_bytes();
        let slot = |at: usize| u32_at(slots, at * 4);
        word_index::find(self.n_slots, slot, word_index::hash(word.as_bytes()), same).map(|at| at as usize)
    }

    /// Stored bytes of a row.
    fn stored<'b>(&self, bytes: &'b [u8], at: usize) -> &'b [u8] {
        assert!(at < self.n_words, "position {at} of {} words", self.n_words);
        let length = self.dim * self.precision.width();
        &bytes[self.values.clone()][at * length..(at + 1) * length]
    }

    fn scale(&self, bytes: &[u8], at: usize) -> f32 {
        f32::from_bits(u32_at(&bytes[self.scales.clone()], at * 4))
    }

    pub(crate) fn row<'b>(&self, bytes: &'b [u8], at: usize) -> Cow<'b, [f32]> {
        let stored = self.stored(bytes, at);
        match self.precision {
            Precision::F32 => match bytemuck::try_cast_slice(stored) {
                Ok(row) if cfg!(target_endian = "little") => Cow::Borrowed(row),
                _ => stored.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect(),
            },
            Precision::F16 => {
                stored.as_chunks::<2>().0.iter().map(|x| half::to_f32(u16::from_le_bytes(*x))).collect()
            }
            Precision::Int8 => {
                let scale = self.scale(bytes, at);
                stored.iter().map(|&x| f32::from(i8::from_le_bytes([x])) * scale).collect()
            }
        }
    }

    fn count(&self, bytes: &[u8], at: usize) -> Option<u64> {
        self.counts.as_ref().map(|counts| u64_at(&bytes[counts.clone()], at * 8))
    }
}

/// A `.tcwv` file in use without being read: opening takes milliseconds whatever its size, and only
/// what is touched takes memory.
#[derive(Debug)]
pub struct MappedVectors {
    path: PathBuf,
    mapping: Mapping,
    layout: Layout,
}

impl MappedVectors {
    /// Opens a version 2 file.
    ///
    /// # Errors
    /// [`WordVecError::Open`], [`WordVecError::Damaged`] if header, footer or sizes do not fit, or
    /// [`WordVecError::NotMappable`] for a file of another format or version.
    pub fn open(path: &Path) -> Result<Self, WordVecError> {
        let mapping = Mapping::open(path)?;
        let bytes = mapping.bytes();
        if bytes.len() < 8 || !bytes.starts_with(MAGIC) || u32_at(bytes, 4) == 1 {
            return Err(WordVecError::NotMappable { path: path.to_owned() });
        }
        check_version(bytes)?;
        let layout = Layout::of(bytes)?;
        Ok(Self { path: path.to_owned(), mapping, layout })
    }

    /// Reads the whole file once and compares its checksum.
    ///
    /// # Errors
    /// [`WordVecError::Damaged`] if it does not fit.
    pub fn verify(&self) -> Result<(), WordVecError> {
        self.layout.verify(self.mapping.bytes())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How components are stored.
    pub fn precision(&self) -> Precision {
        self.layout.precision
    }

    /// Where in the file the values `[n_words, dim]` begin, and the scales `[n_words]` (`f32`, of 8-bit values; else
    /// empty): for other programs that map them. All are little-endian and row-major.
    pub fn offsets(&self) -> (u64, u64) {
        (self.layout.values.start as u64, self.layout.scales.start as u64)
    }
}

impl WordTable for MappedVectors {
    fn len(&self) -> usize {
        self.layout.n_words
    }

    fn dim(&self) -> usize {
        self.layout.dim
    }

    fn index_of(&self, word: &str) -> Option<usize> {
        self.layout.index_of(self.mapping.bytes(), word)
    }

    fn word_at(&self, at: usize) -> Cow<'_, str> {
        String::from_utf8_lossy(self.layout.word(self.mapping.bytes(), at))
    }

    fn row_at(&self, at: usize) -> Cow<'_, [f32]> {
        self.layout.row(self.mapping.bytes(), at)
    }

    fn count_at(&self, at: usize) -> Option<u64> {
        self.layout.count(self.mapping.bytes(), at)
    }

    fn add_row(&self, at: usize, weight: f32, out: &mut [f32]) {
        let (bytes, layout) = (self.mapping.bytes(), &self.layout);
        if layout.precision == Precision::Int8 {
            let scale = weight * layout.scale(bytes, at);
            for (sum, &x) in out.iter_mut().zip(layout.stored(bytes, at)) {
                *sum += scale * f32::from(i8::from_le_bytes([x]));
            }
        } else {
            for (sum, x) in out.iter_mut().zip(layout.row(bytes, at).iter()) {
                *sum += weight * x;
            }
        }
    }
}

fn check_version(bytes: &[u8]) -> Result<(), WordVecError> {
    match u32_at(bytes, 4) {
        VERSION => Ok(()),
        found => Err(WordVecError::Version { found, newest: VERSION }),
    }
}

/// Reads a file of any version that is in memory, checksum included.
pub(crate) fn read(bytes: &[u8], options: &ReadOptions) -> Result<WordVectors, WordVecError> {
    if bytes.len() < 8 {
        return Err(damaged("the header is cut short"));
    }
    if u32_at(bytes, 4) == 1 {
        return read_version_1(bytes, options);
    }
    check_version(bytes)?;
    let layout = Layout::of(bytes)?;
    layout.verify(bytes)?;
    let (mut words, mut data, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..layout.n_words {
        if words.len() >= options.limit.unwrap_or(usize::MAX) {
            break;
        }
        let word = std::str::from_utf8(layout.word(bytes, at)).map_err(|_| damaged("a word is no UTF-8"))?;
        if options.only.as_ref().is_none_or(|only| only.contains(word)) {
            words.push(word.to_owned());
            data.extend_from_slice(&layout.row(bytes, at));
            counts.extend(layout.count(bytes, at));
        }
    }
    let vectors = WordVectors::new(words, layout.dim, data)?;
    if layout.counts.is_some() { vectors.with_counts(counts) } else { Ok(vectors) }
}

/// Version 1: header of 40 bytes (magic, version, n_words u64, dim u32, precision u32, has_counts u32,
/// bytes of words u64, CRC-32 of the rest u32), words joined by line feeds, counts, scales, values.
fn read_version_1(bytes: &[u8], options: &ReadOptions) -> Result<WordVectors, WordVecError> {
    let (header, body) = bytes.split_at_checked(40).ok_or_else(|| damaged("the header is cut short"))?;
    if crc32fast::hash(body) != u32_at(header, 36) {
        return Err(damaged("its checksum does not fit"));
    }
    let (n_words, dim) = (u64_at(header, 8) as usize, u32_at(header, 16) as usize);
    let mut rest = body;
    let mut take = |length: Option<usize>| {
        let (part, after) = length
            .and_then(|length| rest.split_at_checked(length))
            .ok_or_else(|| damaged("it is cut short"))?;
        rest = after;
        Ok::<&[u8], WordVecError>(part)
    };
    let words = std::str::from_utf8(take(usize::try_from(u64_at(header, 28)).ok())?)
        .map_err(|_| damaged("the words are no UTF-8"))?;
    let words: Vec<&str> = words.split('\n').collect();
    if words.len() != n_words {
        return Err(damaged(format!("{} words, expected {n_words}", words.len())));
    }
    let counts = if u32_at(header, 24) == 1 { Some(take(n_words.checked_mul(8))?) } else { None };
    let n_values = n_words.checked_mul(dim);
    let is_int8 = u32_at(header, 20) == 1;
    let scales = if is_int8 { take(n_words.checked_mul(4))? } else { &[] };
    let values = take(if is_int8 { n_values } else { n_values.and_then(|n| n.checked_mul(4)) })?;
    if !rest.is_empty() {
        return Err(damaged("it is longer than it says"));
    }
    let (mut kept, mut data, mut kept_counts) = (Vec::new(), Vec::new(), Vec::new());
    for (at, &word) in words.iter().enumerate() {
        if kept.len() >= options.limit.unwrap_or(usize::MAX) {
            break;
        }
        if options.only.as_ref().is_some_and(|only| !only.contains(word)) {
            continue;
        }
        kept.push(word.to_owned());
        kept_counts.extend(counts.map(|counts| u64_at(counts, at * 8)));
        if is_int8 {
            let scale = f32::from_bits(u32_at(scales, at * 4));
            let row = &values[at * dim..(at + 1) * dim];
            data.extend(row.iter().map(|&x| f32::from(i8::from_le_bytes([x])) * scale));
        } else {
            let row = &values[at * dim * 4..(at + 1) * dim * 4];
            data.extend(row.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)));
        }
    }
    let vectors = WordVectors::new(kept, dim, data)?;
    if counts.is_some() { vectors.with_counts(kept_counts) } else { Ok(vectors) }
}
