//! Opening a file whatever it is packed in: plain, `.gz`, `.zst`, or a member of a `.zip`.
//!
//! Everything is streamed: a name inside an archive is only ever compared, never used as a path. What is
//! unpacked is counted, and too much of it is an error, so that a small file cannot fill memory or disk.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zip::{CompressionMethod, ZipArchive};

use super::CatalogueError;
use crate::artifact::{ArtifactError, write_atomically};
use crate::progress::{Interrupted, Progress, Report};

/// Bytes a packed file may unpack to, unless said otherwise: more than any catalogue of films.
pub const MAX_UNPACKED: u64 = 100 << 30;
/// Bytes of one record: whatever is longer is a quote that was never closed, or no catalogue.
const MAX_RECORD: u64 = 64 << 20;
const BUFFER: usize = 1 << 18;
const PARQUET: &[u8] = b"PAR1";
const ZIP: &[u8] = b"PK\x03\x04";

/// What a file turned out to be.
pub(super) enum Opened {
    /// Bytes of a table or of JSON lines, unpacked.
    Text(Box<dyn BufRead + Send>),
    /// A Parquet file; it is read from its end, so a packed one was unpacked to a temporary file.
    Parquet(File),
}

/// Opens a file and decompresses it if its first bytes say `.gz` or `.zst`.
///
/// # Errors
/// Those of the operating system.
pub fn open_decompressed(path: &Path) -> io::Result<Box<dyn BufRead + Send>> {
    decompress(BufReader::with_capacity(BUFFER, File::open(path)?), MAX_UNPACKED)
}

pub(super) fn decompress(
    mut reader: impl BufRead + Send + 'static,
    max_unpacked: u64,
) -> io::Result<Box<dyn BufRead + Send>> {
    let head = reader.fill_buf()?;
    let unpacked: Box<dyn Read + Send> = if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(reader))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(zstd::Decoder::with_buffer(reader)?)
    } else {
        return Ok(Box::new(reader));
    };
    let limited = Limited { reader: unpacked, left: max_unpacked, limit: max_unpacked };
    Ok(Box::new(BufReader::with_capacity(BUFFER, limited)))
}

/// Opens the file at `path`, and of a `.zip` the member called `member` (or the only table in it).
/// `n_read` counts the bytes read from disk.
///
/// # Errors
/// [`CatalogueError::Io`] or [`CatalogueError::Packed`].
pub(super) fn open(
    path: &Path,
    member: &str,
    max_unpacked: u64,
    n_read: &Arc<AtomicU64>,
) -> Result<Opened, CatalogueError> {
    let name = path.display().to_string();
    let fail = |source| CatalogueError::Io { name: name.clone(), source };
    let mut file = File::open(path).map_err(fail)?;
    if file.metadata().map_err(fail)?.is_dir() {
        return Err(fail(io::Error::other("it is a folder, expected a file")));
    }
    let mut head = [0; 4];
    let n_head = read_head(&mut file, &mut head).map_err(fail)?;
    let head = &head[..n_head];
    if head != ZIP && !member.is_empty() {
        let what = format!("it is no `.zip`, so it has no member `{member}`; take `member` out");
        return Err(CatalogueError::Packed { name, what });
    }
    if head == PARQUET {
        return Ok(Opened::Parquet(file));
    }
    let reader: Box<dyn Read + Send> = if head == ZIP {
        open_member(file, &name, member, max_unpacked, n_read)?
    } else {
        let head = if file.seek(SeekFrom::Start(0)).is_ok() { Vec::new() } else { head.to_vec() };
        let reader = Counting { reader: file, n_read: Arc::clone(n_read) };
        Box::new(Headed { head, reader })
    };
    let mut reader = decompress(BufReader::with_capacity(BUFFER, reader), max_unpacked).map_err(fail)?;
    if reader.fill_buf().map_err(fail)?.starts_with(PARQUET) {
        let mut whole = tempfile::tempfile().map_err(fail)?;
        io::copy(&mut reader, &mut whole).map_err(fail)?;
        whole.rewind().map_err(fail)?;
        return Ok(Opened::Parquet(whole));
    }
    Ok(Opened::Text(reader))
}

fn read_head(file: &mut File, head: &mut [u8]) -> io::Result<usize> {
    let mut n_head = 0;
    while n_head < head.len() {
        match file.read(&mut head[n_head..])? {
            0 => break,
            n => n_head += n,
        }
    }
    // A pipe cannot go back; its first bytes are put before the rest by the caller.
    if (head == ZIP || head == PARQUET) && n_head == head.len() {
        file.seek(SeekFrom::Start(0))?;
    }
    Ok(n_head)
}

/// Endings of what may be a table inside an archive.
const TABLES: [&str; 9] = [".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".json", ".parquet", ".gz", ".zst"];

fn open_member(
    file: File,
    name: &str,
    member: &str,
    max_unpacked: u64,
    n_read: &Arc<AtomicU64>,
) -> Result<Box<dyn Read + Send>, CatalogueError> {
    let refuse = |what: String| CatalogueError::Packed { name: name.to_owned(), what };
    let damaged = |error: zip::result::ZipError| refuse(format!("it is a damaged `.zip` ({error})"));
    let mut archive =
        ZipArchive::new(BufReader::new(file.try_clone().map_err(|error| refuse(error.to_string()))?))
            .map_err(damaged)?;
    let names: Vec<String> =
        archive.file_names().filter_map(|name| name.ok().map(std::borrow::Cow::into_owned)).collect();
    let is_table = |name: &&String| {
        let name = name.to_lowercase();
        TABLES.iter().any(|ending| name.ends_with(ending)) && !name.starts_with("__macosx/")
    };
    let listed = || {
        let shown: Vec<String> = names.iter().take(12).map(|name| format!("`{name}`")).collect();
        format!("{}{}", shown.join(", "), if names.len() > shown.len() { ", …" } else { "" })
    };
    let wanted = if member.is_empty() {
        let tables: Vec<&String> = names.iter().filter(is_table).collect();
        match tables[..] {
            [only] => only.clone(),
            _ => {
                let what = format!(
                    "it has {} files that may be meant ({}); name one as `member`",
                    tables.len(),
                    listed()
                );
                return Err(refuse(what));
            }
        }
    } else {
        member.to_owned()
    };
    let Some(number) = archive.index_for_name(&wanted) else {
        return Err(refuse(format!("it has no member `{wanted}` (found: {})", listed())));
    };
    let (start, packed, size, crc32, method, encrypted) = {
        let entry = archive.by_index_raw(number).map_err(damaged)?;
        let start = entry.data_start().ok_or_else(|| refuse("it is a damaged `.zip`".to_owned()))?;
        (start, entry.compressed_size(), entry.size(), entry.crc32(), entry.compression(), entry.encrypted())
    };
    if encrypted {
        return Err(refuse(format!("`{wanted}` has a password; unpack it by hand")));
    }
    drop(archive);
    let mut file = file;
    file.seek(SeekFrom::Start(start)).map_err(|error| refuse(error.to_string()))?;
    let raw =
        BufReader::with_capacity(BUFFER, Counting { reader: file, n_read: Arc::clone(n_read) }.take(packed));
    let unpacked: Box<dyn Read + Send> = match method {
        CompressionMethod::Stored => Box::new(raw),
        CompressionMethod::Deflated => Box::new(flate2::bufread::DeflateDecoder::new(raw)),
        CompressionMethod::Zstd => {
            Box::new(zstd::Decoder::with_buffer(raw).map_err(|error| refuse(error.to_string()))?)
        }
        other => {
            return Err(refuse(format!(
                "`{wanted}` is packed by `{other}`, expected deflate; unpack it by hand"
            )));
        }
    };
    let limited = Limited { reader: unpacked, left: max_unpacked, limit: max_unpacked };
    Ok(Box::new(Checked { reader: limited, hash: crc32fast::Hasher::new(), n_read: 0, size, crc32 }))
}

/// Unpacks the file at `path` into `folder`: every file of a `.zip`, or a `.gz` or `.zst` without its ending. Each appears
/// under its name only when it is whole. Folders inside an archive are kept; a member whose name leads out of `folder` is
/// refused, before anything is written.
///
/// # Errors
/// [`CatalogueError::Packed`] if it is damaged, unpacks to more than `max_unpacked` bytes, or has such a member;
/// [`CatalogueError::Interrupted`] if stopped.
pub fn unpack(
    path: &Path,
    folder: &Path,
    max_unpacked: u64,
    report: &mut Report<'_>,
) -> Result<Vec<PathBuf>, CatalogueError> {
    let name = path.display().to_string();
    let refuse = |what: String| CatalogueError::Packed { name: name.clone(), what };
    let fail = |source| CatalogueError::Io { name: name.clone(), source };
    let mut file = File::open(path).map_err(fail)?;
    let mut head = [0; 4];
    let n_head = read_head(&mut file, &mut head).map_err(fail)?;
    let n_read = Arc::new(AtomicU64::new(0));
    let mut left = max_unpacked;
    if head[..n_head] != *ZIP {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        if !matches!(ending, "gz" | "zst") {
            return Err(refuse("it is no `.zip`, `.gz` or `.zst`; there is nothing to unpack".to_owned()));
        }
        let target = folder.join(path.file_stem().unwrap_or_default());
        file.rewind().map_err(fail)?;
        let counting = Counting { reader: file, n_read: Arc::clone(&n_read) };
        let mut reader =
            decompress(BufReader::with_capacity(BUFFER, counting), max_unpacked).map_err(fail)?;
        write_unpacked(&mut reader, &name, &target, &mut left, 0, report)?;
        return Ok(vec![target]);
    }
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|error| refuse(format!("it is a damaged `.zip` ({error})")))?;
    let (mut members, mut total) = (Vec::new(), 0_u64);
    for number in 0..archive.len() {
        let entry = archive
            .by_index_raw(number)
            .map_err(|error| refuse(format!("it is a damaged `.zip` ({error})")))?;
        let member = entry.name().map_err(|error| refuse(error.to_string()))?.into_owned();
        if entry.is_dir() {
            continue;
        }
        let Some(inside) = entry.enclosed_name().filter(|inside| !inside.as_os_str().is_empty()) else {
            return Err(refuse(format!("its member `{member}` leads out of the folder; do not trust it")));
        };
        total = total.saturating_add(entry.size());
        members.push((member, folder.join(inside)));
    }
    if total > max_unpacked {
        return Err(refuse(format!(
            "it unpacks to {total} bytes, more than {max_unpacked}; allow more if that is meant"
        )));
    }
    let mut paths = Vec::new();
    for (member, target) in members {
        let file = File::open(path).map_err(fail)?;
        let reader = open_member(file, &name, &member, left, &n_read)?;
        write_unpacked(
            &mut BufReader::with_capacity(BUFFER, reader),
            &name,
            &target,
            &mut left,
            total,
            report,
        )?;
        paths.push(target);
    }
    Ok(paths)
}

fn write_unpacked(
    reader: &mut impl BufRead,
    name: &str,
    target: &Path,
    left: &mut u64,
    total: u64,
    report: &mut Report<'_>,
) -> Result<(), CatalogueError> {
    const STEP: &str = "unpacking";
    let note = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut done = 0;
    write_atomically(target, |out: &mut dyn Write| {
        loop {
            let bytes =
                reader.fill_buf().map_err(|source| CatalogueError::Io { name: name.to_owned(), source })?;
            if bytes.is_empty() {
                return Ok(());
            }
            let n = bytes.len();
            out.write_all(bytes).map_err(ArtifactError::io("write", target))?;
            reader.consume(n);
            done += n as u64;
            *left = left.saturating_sub(n as u64);
            if report(&Progress { step: STEP, done, total, note: &note }).is_break() {
                return Err(Interrupted { step: STEP }.into());
            }
        }
    })
}

/// Puts what was looked at before the rest: a pipe cannot go back. The first read goes on into the rest, since whoever
/// comes next looks at the first line.
struct Headed<R> {
    head: Vec<u8>,
    reader: R,
}

impl<R: Read> Read for Headed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.head.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.head[..n]);
        self.head.drain(..n);
        Ok(n + self.reader.read(&mut buffer[n..])?)
    }
}

/// Counts bytes as they are read from disk, for progress.
struct Counting<R> {
    reader: R,
    n_read: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.n_read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Ends with an error when more comes out than may.
struct Limited<R> {
    reader: R,
    left: u64,
    limit: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        let Some(left) = self.left.checked_sub(n as u64) else {
            return Err(io::Error::other(format!(
                "it unpacks to more than {} bytes; if that is meant, raise `catalogue.max_unpacked_mb`",
                self.limit
            )));
        };
        self.left = left;
        Ok(n)
    }
}

/// Compares length and checksum with those the archive says, at the end.
struct Checked<R> {
    reader: R,
    hash: crc32fast::Hasher,
    n_read: u64,
    size: u64,
    crc32: u32,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        self.hash.update(&buffer[..n]);
        self.n_read += n as u64;
        if n == 0
            && !buffer.is_empty()
            && (self.n_read != self.size || self.hash.clone().finalize() != self.crc32)
        {
            return Err(io::Error::other("the archive is damaged: a checksum or a length does not fit"));
        }
        Ok(n)
    }
}

/// Bytes handed out since the last record ended; [`Bounded`] adds, whoever reads records sets it back.
#[derive(Debug, Clone, Default)]
pub(super) struct RecordBytes(Arc<AtomicU64>);

impl RecordBytes {
    /// A record has ended.
    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// Bounds the records read from `reader`.
    pub(super) fn bound<R: Read>(&self, reader: R) -> Bounded<R> {
        Bounded { reader, bytes: self.clone() }
    }
}

/// Ends with an error when one record grows past all measure, before it fills memory.
pub(super) struct Bounded<R> {
    reader: R,
    bytes: RecordBytes,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.reader.read(buffer)?;
        if self.bytes.0.fetch_add(n as u64, Ordering::Relaxed) > MAX_RECORD {
            return Err(io::Error::other(format!(
                "one row is longer than {} MB, a quote is probably opened and never closed; look at the last \
                 rows that could be read",
                MAX_RECORD >> 20
            )));
        }
        Ok(n)
    }
}

/// Put behind a table: a reader that is inside a quote at the end takes it for text, any other for a row.
pub(super) const END_OF_TABLE: &[u8] = b"\0end of the table\n";

/// Whether the last cell of a row swallowed the end of the table: its quote was never closed.
pub(super) fn is_unclosed(record: &csv::ByteRecord) -> bool {
    let last = record.len().checked_sub(1).and_then(|last| record.get(last));
    last.is_some_and(|cell| cell.ends_with(END_OF_TABLE))
}

/// Whether a row is nothing but the end of the table.
pub(super) fn is_end(record: &csv::ByteRecord) -> bool {
    record.len() == 1 && record.get(0) == Some(END_OF_TABLE.trim_ascii_end())
}

/// A table with its end marked.
pub(super) fn with_end(reader: impl Read) -> impl Read {
    reader.chain(&b"\n"[..]).chain(END_OF_TABLE)
}
