//! A word2vec binary file in use where it lies: one pass finds the rows, later openings map the result.
//!
//! Rows have words of different lengths, so the file itself has to be walked once. The pass reads it in
//! pieces of some megabytes (mapping it would count the whole file as resident) and leaves two tables
//! beside it, `NAME.tcwi`: where each vector starts, and the hash table of words. They are used again
//! as long as size and time of change of the file stay the same.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::WordVecError;
use crate::mapping::Mapping;
use crate::read::{MAX_DIM, MAX_WORD_BYTES, parse_header};
use crate::table::WordTable;
use crate::word_index::{self, WordIndex};
use crate::write::replace_file;

const MAGIC: &[u8; 4] = b"TCWI";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;
/// Bytes read at a time; large enough that the cost of a call does not show, small enough for a cache.
const PIECE: usize = 1 << 20;

/// What [`Word2vecFile::open`] had to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexOrigin {
    /// The tables beside the file fit and were mapped.
    Cached,
    /// The file was walked and the tables written beside it.
    Built,
    /// The file was walked; the tables could not be written, so the next opening will walk it again.
    BuiltNotSaved,
}

/// A word2vec binary file (such as `GoogleNews-vectors-negative300.bin`) used without loading it.
///
/// Of a repeated word the first row counts. Bytes of a word that are no UTF-8 read as `\u{fffd}`, and
/// the word is found under that name. Values are not looked at before they are asked for.
#[derive(Debug)]
pub struct Word2vecFile {
    mapping: Mapping,
    index: Tables,
    n_words: usize,
    dim: usize,
    origin: IndexOrigin,
}

/// Where vectors start, and the hash table.
#[derive(Debug)]
enum Tables {
    Built { starts: Vec<u64>, words: WordIndex },
    Cached { mapping: Mapping, n_slots: usize },
}

impl Word2vecFile {
    /// Opens `path`, with the tables beside it if they fit, else after one pass.
    ///
    /// # Errors
    /// [`WordVecError::Open`], [`WordVecError::Malformed`] if it is no word2vec binary file, or
    /// [`WordVecError::Truncated`] if it ends before the last row it announces.
    pub fn open(path: &Path) -> Result<Self, WordVecError> {
        let mapping = Mapping::open(path)?;
        let (n_words, dim, header_bytes) = header(mapping.bytes())?;
        let stamp = stamp(path, mapping.bytes().len())?;
        let tables_path = Self::index_path(path);
        if let Some((cached, n_slots)) = load(&tables_path, stamp, n_words, dim) {
            let index = Tables::Cached { mapping: cached, n_slots };
            return Ok(Self { mapping, index, n_words, dim, origin: IndexOrigin::Cached });
        }
        let (starts, words) = walk(path, n_words, dim, header_bytes)?;
        let saved = save(&tables_path, stamp, dim, &starts, &words).is_ok();
        let origin = if saved { IndexOrigin::Built } else { IndexOrigin::BuiltNotSaved };
        let index = Tables::Built { starts, words };
        Ok(Self { mapping, index, n_words, dim, origin })
    }

    /// Where the tables of a file are kept.
    pub fn index_path(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".tcwi");
        name.into()
    }

    /// What opening had to do.
    pub fn origin(&self) -> IndexOrigin {
        self.origin
    }

    /// Byte where a vector starts.
    fn start(&self, at: usize) -> usize {
        assert!(at < self.n_words, "position {at} of {} words", self.n_words);
        match &self.index {
            Tables::Built { starts, .. } => starts[at] as usize,
            Tables::Cached { mapping, .. } => u64_at(mapping.bytes(), HEADER_BYTES + at * 8) as usize,
        }
    }

    /// Bytes of a word. They stand between the vector before and the space before its own.
    fn word_bytes(&self, at: usize) -> &[u8] {
        let bytes = self.mapping.bytes();
        let end = self.start(at).saturating_sub(1);
        let from = if at > 0 {
            self.start(at - 1) + self.dim * 4
        } else {
            bytes.iter().position(|&byte| byte == b'\n').map_or(0, |line_end| line_end + 1)
        };
        bytes.get(from..end).unwrap_or_default().trim_ascii_start()
    }
}

impl WordTable for Word2vecFile {
    fn len(&self) -> usize {
        self.n_words
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn index_of(&self, word: &str) -> Option<usize> {
        let same = |at: u32| (at as usize) < self.n_words && self.word_at(at as usize) == word;
        let hash = word_index::hash(word.as_bytes());
        let found = match &self.index {
            Tables::Built { words, .. } => words.find(hash, same),
            Tables::Cached { mapping, n_slots } => {
                let slots = &mapping.bytes()[HEADER_BYTES + self.n_words * 8..];
                word_index::find(*n_slots, |at| u32_at(slots, at * 4), hash, same)
            }
        };
        found.map(|at| at as usize)
    }

    fn word_at(&self, at: usize) -> Cow<'_, str> {
        String::from_utf8_lossy(self.word_bytes(at))
    }

    fn row_at(&self, at: usize) -> Cow<'_, [f32]> {
        let start = self.start(at);
        // Rows start anywhere, so they are copied; a damaged table gives zeros.
        match self.mapping.bytes().get(start..start + self.dim * 4) {
            Some(bytes) => bytes.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect(),
            None => vec![0.0; self.dim].into(),
        }
    }

    fn count_at(&self, _at: usize) -> Option<u64> {
        None
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// Number of words, dimensions, and bytes of the header.
fn header(bytes: &[u8]) -> Result<(usize, usize, usize), WordVecError> {
    let what = || "the header is not two numbers".to_owned();
    let malformed = |what| WordVecError::Malformed { row: 0, byte: 0, what };
    let line_end = bytes.iter().take(64).position(|&byte| byte == b'\n').ok_or_else(|| malformed(what()))?;
    let (n_words, dim) = parse_header(&bytes[..line_end]).ok_or_else(|| malformed(what()))?;
    if dim > MAX_DIM || n_words >= word_index::EMPTY as usize {
        return Err(malformed(format!("the header announces {n_words} words of {dim} dimensions")));
    }
    if n_words == 0 {
        return Err(WordVecError::Empty);
    }
    Ok((n_words, dim, line_end + 1))
}

/// Size and time of change of a file.
fn stamp(path: &Path, n_bytes: usize) -> Result<[u64; 2], WordVecError> {
    let changed = std::fs::metadata(path)?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok([n_bytes as u64, changed.as_nanos() as u64])
}

/// Finds all rows, reading the file once in pieces.
fn walk(
    path: &Path,
    n_words: usize,
    dim: usize,
    header_bytes: usize,
) -> Result<(Vec<u64>, WordIndex), WordVecError> {
    let mut file = File::open(path).map_err(|source| WordVecError::Open { path: path.to_owned(), source })?;
    let mut piece = vec![0; PIECE];
    // `piece[at..filled]` is what has been read and not walked; `base` is where `piece` starts in the file.
    let (mut base, mut at, mut filled) = (0_u64, 0, 0);
    // Bytes to pass over before the next word.
    let mut skip = header_bytes;
    let vector_bytes = dim * 4;
    // A file of few bytes cannot make us reserve memory for the words it announces.
    let n_expected = n_words.min(std::fs::metadata(path)?.len() as usize / (vector_bytes + 1));
    let mut starts: Vec<u64> = Vec::with_capacity(n_expected);
    let mut index = WordIndex::with_capacity(n_expected);
    let mut hashes: Vec<u64> = Vec::with_capacity(n_expected);
    let mut word = Vec::new();
    'rows: while starts.len() < n_words {
        let row = starts.len() + 1;
        word.clear();
        loop {
            if at == filled {
                base += filled as u64;
                filled = file.read(&mut piece)?;
                at = 0;
                if filled == 0 {
                    return Err(WordVecError::Truncated { row, expected: n_words, byte: base });
                }
            }
            if skip > 0 {
                let step = skip.min(filled - at);
                at += step;
                skip -= step;
                continue;
            }
            let unread = &piece[at..filled];
            let end = unread.iter().position(|&byte| byte == b' ');
            let part = &unread[..end.unwrap_or(unread.len())];
            if word.len() + part.len() > MAX_WORD_BYTES {
                let what = format!("a word of more than {MAX_WORD_BYTES} bytes");
                return Err(WordVecError::Malformed { row, byte: base + at as u64, what });
            }
            word.extend_from_slice(part);
            at += part.len();
            if end.is_some() {
                at += 1;
                break;
            }
        }
        starts.push(base + at as u64);
        skip = vector_bytes;
        let text = String::from_utf8_lossy(word.trim_ascii_start());
        let hash = word_index::hash(text.as_bytes());
        hashes.push(hash);
        // Two words with the same 64 bits are taken for one word only if their bytes are equal too.
        let mut earlier = None;
        index.find(hash, |position| {
            if hashes[position as usize] == hash {
                earlier = Some(position);
            }
            earlier.is_some()
        });
        if let Some(position) = earlier
            && word_in_file(path, &starts, position as usize, header_bytes, vector_bytes)? == text
        {
            continue 'rows;
        }
        index.insert(hash, row as u32 - 1, |position| hashes[position as usize]);
    }
    let end = starts.last().map_or(0, |start| start + vector_bytes as u64);
    let found = std::fs::metadata(path)?.len();
    if found < end {
        return Err(WordVecError::Truncated { row: n_words, expected: n_words, byte: found });
    }
    Ok((starts, index))
}

/// Reads one word of the file again.
fn word_in_file(
    path: &Path,
    starts: &[u64],
    at: usize,
    header_bytes: usize,
    vector_bytes: usize,
) -> Result<String, WordVecError> {
    use std::io::{Seek, SeekFrom};
    let from = if at > 0 { starts[at - 1] + vector_bytes as u64 } else { header_bytes as u64 };
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = vec![0; (starts[at] - 1 - from) as usize];
    file.read_exact(&mut bytes)?;
    Ok(String::from_utf8_lossy(bytes.trim_ascii_start()).into_owned())
}

/// Layout of `.tcwi`, little endian: `TCWI`, version u32, n_words u64, n_slots u64, dim u64, size u64 and
/// time of change (nanoseconds since 1970) u64 of the vector file, CRC-32 of the rest u32, zeros to 64
/// bytes; starts u64 a word; slots u32.
fn save(
    path: &Path,
    stamp: [u64; 2],
    dim: usize,
    starts: &[u64],
    words: &WordIndex,
) -> Result<(), WordVecError> {
    let mut checksum = crc32fast::Hasher::new();
    starts.iter().for_each(|start| checksum.update(&start.to_le_bytes()));
    words.slots().iter().for_each(|slot| checksum.update(&slot.to_le_bytes()));
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(MAGIC);
    header[4..8].copy_from_slice(&VERSION.to_le_bytes());
    for (at, value) in [starts.len() as u64, words.slots().len() as u64, dim as u64, stamp[0], stamp[1]]
        .into_iter()
        .enumerate()
    {
        header[8 + at * 8..16 + at * 8].copy_from_slice(&value.to_le_bytes());
    }
    header[48..52].copy_from_slice(&checksum.finalize().to_le_bytes());
    replace_file(path, |file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        out.write_all(&header)?;
        for start in starts {
            out.write_all(&start.to_le_bytes())?;
        }
        for slot in words.slots() {
            out.write_all(&slot.to_le_bytes())?;
        }
        Ok(out.flush()?)
    })
}

/// Maps the tables if they belong to this file. Anything amiss means walking the file again.
fn load(path: &Path, stamp: [u64; 2], n_words: usize, dim: usize) -> Option<(Mapping, usize)> {
    let mapping = Mapping::open(path).ok()?;
    let bytes = mapping.bytes();
    if bytes.len() < HEADER_BYTES || !bytes.starts_with(MAGIC) || u32_at(bytes, 4) != VERSION {
        return None;
    }
    let n_slots = usize::try_from(u64_at(bytes, 16)).ok()?;
    let fits = u64_at(bytes, 8) == n_words as u64
        && u64_at(bytes, 24) == dim as u64
        && [u64_at(bytes, 32), u64_at(bytes, 40)] == stamp
        && n_slots.is_power_of_two()
        && n_slots.checked_mul(4)?.checked_add(HEADER_BYTES + n_words * 8)? == bytes.len();
    fits.then_some((mapping, n_slots))
}
