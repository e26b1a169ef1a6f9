//! Writing vectors: word2vec binary and text, GloVe text, and our own format `.tcwv`.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::table::WordTable;
use crate::tcwv::TcwvWriter;
use crate::{WordVecError, WordVectors};

/// Precision of a component in `.tcwv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit float: exact.
    F32,
    /// 16-bit float: half the size, components to 3 decimal digits.
    F16,
    /// 8-bit integer with a scale a word: a quarter of the size, cosines to about 0.002.
    Int8,
}

/// Writes our own format.
///
/// # Errors
/// The writer's.
pub fn write_tcwv(
    vectors: &WordVectors,
    precision: Precision,
    out: &mut dyn Write,
) -> Result<(), WordVecError> {
    write_table(vectors, precision, out)
}

/// [`write_tcwv`] for vectors wherever they are. Of a repeated word the first is written.
///
/// # Errors
/// The writer's.
pub fn write_table(
    vectors: &(impl WordTable + ?Sized),
    precision: Precision,
    out: &mut dyn Write,
) -> Result<(), WordVecError> {
    let mut writer = TcwvWriter::new(out, vectors.dim(), precision)?;
    for at in 0..vectors.len() {
        writer.push(&vectors.word_at(at), &vectors.row_at(at), vectors.count_at(at))?;
    }
    writer.finish().map(|_| ())
}

/// Writes a file under another name and renames it into place once it is complete and on disk; after
/// an error the file at `path` is as it was.
///
/// # Errors
/// What `write` gives, or the system's.
pub fn replace_file(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), WordVecError>,
) -> Result<(), WordVecError> {
    // Two writers in one process get different names.
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}-{}.new", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
    let new = Path::new(&name);
    let failed = |source| WordVecError::Write { path: path.to_owned(), source };
    let mut file = File::create(new).map_err(failed)?;
    let written = write(&mut file).and_then(|()| file.sync_all().map_err(failed));
    drop(file);
    let renamed = written.and_then(|()| std::fs::rename(new, path).map_err(failed));
    if renamed.is_err() {
        // The error that matters is the first one.
        drop(std::fs::remove_file(new));
    }
    renamed
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
    write_glove_text(vectors, out)
}

/// Writes the text format of GloVe: the rows alone, without a header; numbers are exact.
///
/// # Errors
/// The writer's.
pub fn write_glove_text(vectors: &WordVectors, out: &mut dyn Write) -> io::Result<()> {
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
