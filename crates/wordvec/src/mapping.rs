//! A file as bytes without reading it: the one place where files are mapped into memory.
//!
//! Mapping is `unsafe` because another program can change or cut the file meanwhile. Everything in this
//! crate writes files anew and renames them into place, which leaves a mapped file as it was; a program
//! that cuts a mapped file short ends every reader of it with a bus error, here as anywhere.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::WordVecError;

/// The bytes of a file.
#[derive(Debug)]
pub(crate) enum Mapping {
    /// Pages come in as they are touched.
    Mapped(memmap2::Mmap),
    /// Read whole: the safe twin, and what empty files and systems without mapping get.
    Read(Vec<u8>),
}

impl Mapping {
    /// Maps `path`, or reads it if it cannot be mapped.
    pub(crate) fn open(path: &Path) -> Result<Self, WordVecError> {
        let file = open(path)?;
        // SAFETY: the map is read-only and private to this value, and no code of this crate writes to a
        // file in place. What remains is another program changing the file; then bytes read differ (all
        // of ours are checked before use: offsets, lengths, UTF-8), or the system ends the program. No
        // reference to the bytes outlives the map.
        match unsafe { memmap2::Mmap::map(&file) } {
            Ok(map) => Ok(Self::Mapped(map)),
            Err(_) => Self::read(path),
        }
    }

    /// Reads `path` whole.
    pub(crate) fn read(path: &Path) -> Result<Self, WordVecError> {
        let mut bytes = Vec::new();
        open(path)?.read_to_end(&mut bytes)?;
        Ok(Self::Read(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Read(bytes) => bytes,
        }
    }
}

fn open(path: &Path) -> Result<File, WordVecError> {
    File::open(path).map_err(|source| WordVecError::Open { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_and_read_agree() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes");
        for content in [Vec::new(), vec![7_u8], (0..100_000_u32).flat_map(u32::to_le_bytes).collect()] {
            std::fs::write(&path, &content).unwrap();
            let mapped = Mapping::open(&path).unwrap();
            assert_eq!(mapped.bytes(), content);
            assert_eq!(mapped.bytes(), Mapping::read(&path).unwrap().bytes());
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Mapping::open(Path::new("no/such/file")).unwrap_err();
        assert!(error.to_string().contains("no/such/file"), "{error}");
    }
}
