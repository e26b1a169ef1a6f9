//! Files that are either whole or not there: atomic writing, checksums, and the manifest of an index.
//!
//! Everything titlecard saves is written to a temporary file in the same folder, flushed to disk and
//! renamed into place, so a crash, a full disk or Ctrl-C leaves the last good file as it was.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tantivy::directory::{Directory, MmapDirectory, OwnedBytes, error::OpenReadError};

/// Why a saved file could not be written, found or trusted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The operating system refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// A file that an earlier command should have made is not there.
    #[error("`{}` does not exist; run `{command}` first", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// The command that makes it.
        command: &'static str,
    },
    /// A file is not what its manifest says.
    #[error("`{}` is damaged ({what}); remake it with `{command}`", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        what: String,
        /// The command that makes it.
        command: &'static str,
    },
    /// Written by another version of the format.
    #[error(
        "`{}` has format version {found}, this titlecard reads version {expected}; remake it with `{command}`",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Version found.
        found: u32,
        /// Version expected.
        expected: u32,
        /// The command that makes it.
        command: &'static str,
    },
}

impl ArtifactError {
    /// For `map_err` on an I/O result.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Writes `path` through `fill`: to a temporary file beside it, flushed, then renamed into place.
///
/// # Errors
/// [`ArtifactError::Io`] if the folder cannot be made or the file cannot be written; the old file,
/// if there was one, is then still there.
pub fn write_atomically<E: From<ArtifactError>>(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(ArtifactError::io("create folder", folder))?;
    let file = tempfile::Builder::new()
        .prefix(".writing-")
        .tempfile_in(folder)
        .map_err(ArtifactError::io("create a file in", folder))?;
    let mut out = BufWriter::new(file);
    fill(&mut out)?;
    let file = out.into_inner().map_err(|error| ArtifactError::io("write", path)(error.into_error()))?;
    file.as_file().sync_all().map_err(ArtifactError::io("write", path))?;
    set_usual_permissions(file.as_file()).map_err(ArtifactError::io("write", path))?;
    file.persist(path).map_err(|error| ArtifactError::io("rename into", path)(error.error))?;
    sync_folder(folder);
    Ok(())
}

/// [`write_atomically`] for bytes already in memory.
///
/// # Errors
/// [`ArtifactError::Io`].
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<(), ArtifactError> {
    write_atomically(path, |out| out.write_all(bytes).map_err(ArtifactError::io("write", path)))
}

/// Temporary files are private to the user; what is renamed into place should be like any other file.
#[cfg(unix)]
pub(crate) fn set_usual_permissions(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
pub(crate) fn set_usual_permissions(_: &File) -> io::Result<()> {
    Ok(())
}

/// Makes a rename durable. Some file systems refuse to sync a folder; the rename has happened anyway.
pub(crate) fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// Opens the file at `path`, made if it is not there, and locks it until it is closed: by dropping it, or by the
/// operating system when the process ends in whatever way. None if another has the lock.
///
/// # Errors
/// [`ArtifactError::Io`].
pub fn try_lock(path: &Path) -> Result<Option<File>, ArtifactError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(ArtifactError::io("create folder", folder))?;
    }
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(ArtifactError::io("open", path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        // Some file systems know no locks: one process at a time is then the user's care.
        Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            tracing::warn!(path = %path.display(), "this file system cannot lock files");
            Ok(Some(file))
        }
        Err(fs::TryLockError::Error(error)) => Err(ArtifactError::io("lock", path)(error)),
    }
}

/// Reads a whole file; a missing one names the command that makes it.
///
/// # Errors
/// [`ArtifactError::Missing`] or [`ArtifactError::Io`].
pub fn read_bytes(path: &Path, command: &'static str) -> Result<Vec<u8>, ArtifactError> {
    fs::read(path).map_err(|source| not_found_or_io(path, command, source))
}

/// Maps the file at `path`; its pages come in as they are touched.
///
/// # Errors
/// [`ArtifactError::Missing`] with the command that makes it, or [`ArtifactError::Io`].
pub(crate) fn map_file(path: &Path, command: &'static str) -> Result<OwnedBytes, ArtifactError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let missing = || ArtifactError::Missing { path: path.to_owned(), command };
    if !path.is_file() {
        return Err(missing());
    }
    let other = |error: String| ArtifactError::io("read", path)(io::Error::other(error));
    let directory = MmapDirectory::open(folder).map_err(|error| other(error.to_string()))?;
    let name = path.file_name().unwrap_or_default();
    let file = directory.open_read(Path::new(name)).map_err(|error| match error {
        OpenReadError::FileDoesNotExist(_) => missing(),
        error => other(error.to_string()),
    })?;
    file.read_bytes().map_err(ArtifactError::io("read", path))
}

/// Turns "not found" into the error that says which command makes the file.
pub(crate) fn not_found_or_io(path: &Path, command: &'static str, source: io::Error) -> ArtifactError {
    if source.kind() == io::ErrorKind::NotFound {
        ArtifactError::Missing { path: path.to_owned(), command }
    } else {
        ArtifactError::Io { action: "read", path: path.to_owned(), source }
    }
}

/// Length and SHA-256 of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

impl FileStamp {
    /// Reads the file at `path` once and stamps it.
    ///
    /// # Errors
    /// [`ArtifactError::Io`].
    pub fn of(path: &Path) -> Result<Self, ArtifactError> {
        let fail = |source| ArtifactError::Io { action: "read", path: path.to_owned(), source };
        let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(fail)?);
        let mut hash = Sha256::new();
        let mut buffer = vec![0_u8; 1 << 20];
        let mut bytes = 0;
        loop {
            let n = file.read(&mut buffer).map_err(fail)?;
            if n == 0 {
                break;
            }
            hash.update(&buffer[..n]);
            bytes += n as u64;
        }
        Ok(Self { bytes, sha256: hex(&hash.finalize()) })
    }

    /// Compares the file at `path` with this stamp: always the length, the checksum only if `thorough`.
    ///
    /// # Errors
    /// [`ArtifactError::Missing`], [`ArtifactError::Damaged`] or [`ArtifactError::Io`].
    pub fn check(&self, path: &Path, thorough: bool, command: &'static str) -> Result<(), ArtifactError> {
        let found = fs::metadata(path).map_err(|source| not_found_or_io(path, command, source))?.len();
        let damaged = |what| ArtifactError::Damaged { path: path.to_owned(), what, command };
        if found != self.bytes {
            return Err(damaged(format!("{found} bytes, the manifest says {}", self.bytes)));
        }
        if thorough && Self::of(path)?.sha256 != self.sha256 {
            return Err(damaged("its checksum differs from the manifest's".to_owned()));
        }
        Ok(())
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Writes an object as JSON with one more member at its end, `checksum`: the SHA-256 of all text before it.
///
/// # Errors
/// [`ArtifactError::Io`]; the old file is then as it was.
pub(crate) fn write_sealed(path: &Path, object: &impl Serialize) -> Result<(), ArtifactError> {
    let mut text = serde_json::to_vec_pretty(object)
        .map_err(|error| ArtifactError::io("write", path)(io::Error::other(error)))?;
    text.pop();
    text.truncate(text.trim_ascii_end().len());
    text.extend_from_slice(b",\n  ");
    let sum = hex(&Sha256::digest(&text));
    text.extend_from_slice(CHECKSUM);
    text.extend_from_slice(sum.as_bytes());
    text.extend_from_slice(b"\"\n}\n");
    write_bytes(path, &text)
}

/// Whether the checksum that [`write_sealed`] put at the end of a text fits; none if there is no checksum.
pub(crate) fn seal_fits(text: &[u8]) -> Option<bool> {
    let at = text.windows(CHECKSUM.len()).rposition(|part| part == CHECKSUM)?;
    let sum = text[at + CHECKSUM.len()..].split(|&byte| byte == b'"').next().unwrap_or_default();
    Some(sum == hex(&Sha256::digest(&text[..at])).as_bytes())
}

/// Names the films of a catalogue by their ids in order: SHA-256 over each id's length in bytes (u64, little endian)
/// and the id. Film numbers mean the same in all that is made of films of one such name.
pub fn films_stamp<'a>(ids: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for id in ids {
        hash.update((id.len() as u64).to_le_bytes());
        hash.update(id.as_bytes());
    }
    hex(&hash.finalize())
}

/// What one generation of an index consists of; written last, so it only ever names whole files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always [`Manifest::FORMAT`].
    pub format: String,
    /// Version of the layout, [`Manifest::VERSION`] when written by this release.
    pub format_version: u32,
    /// Release of titlecard that wrote it.
    pub written_by: String,
    /// Folder of the generation, beside the manifest.
    pub generation: String,
    /// Number of films indexed.
    pub n_films: usize,
    /// [`films_stamp`] of the films; none in an index of an earlier release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub films: Option<String>,
    /// Settings the index was made with, as in `titlecard.toml`.
    pub settings: toml::Value,
    /// File name inside the generation's folder, to its stamp.
    pub files: BTreeMap<String, FileStamp>,
}

impl Manifest {
    /// Name of the format.
    pub const FORMAT: &'static str = "titlecard-index";
    /// Version written by this release.
    pub const VERSION: u32 = 2;
    const COMMAND: &'static str = "titlecard index";

    /// Reads and checks the manifest at `path`.
    ///
    /// # Errors
    /// [`ArtifactError`] if it is missing, not JSON, of another format or version.
    pub fn read(path: &Path) -> Result<Self, ArtifactError> {
        let bytes = read_bytes(path, Self::COMMAND)?;
        let damaged =
            |what: String| ArtifactError::Damaged { path: path.to_owned(), what, command: Self::COMMAND };
        // Manifests of earlier releases have no checksum.
        if seal_fits(&bytes) == Some(false) {
            return Err(damaged("its own checksum does not fit".to_owned()));
        }
        #[derive(Deserialize)]
        struct Head {
            format: String,
            format_version: u32,
        }
        let head: Head = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if head.format != Self::FORMAT {
            return Err(damaged(format!("format `{}`, expected `{}`", head.format, Self::FORMAT)));
        }
        if head.format_version != Self::VERSION {
            return Err(ArtifactError::Version {
                path: path.to_owned(),
                found: head.format_version,
                expected: Self::VERSION,
                command: Self::COMMAND,
            });
        }
        serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))
    }

    /// Writes the manifest; from then on readers see this generation.
    ///
    /// # Errors
    /// [`ArtifactError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), ArtifactError> {
        write_sealed(path, self)
    }

    /// Whether the index is of the films with these ids, in this order. Of an index without [`Manifest::films`] the
    /// number alone is compared.
    pub fn is_of<'a>(&self, ids: impl ExactSizeIterator<Item = &'a str>) -> bool {
        ids.len() == self.n_films && self.films.as_ref().is_none_or(|films| *films == films_stamp(ids))
    }

    /// Compares the files of the generation in `folder` with their stamps: all lengths; and the checksums of all
    /// (`thorough`), or of the smallest that have no more than [`CHECKED_BYTES`] together.
    ///
    /// # Errors
    /// As [`FileStamp::check`].
    pub fn check_files(&self, folder: &Path, thorough: bool) -> Result<(), ArtifactError> {
        let mut files: Vec<(&String, &FileStamp)> = self.files.iter().collect();
        files.sort_by_key(|(name, stamp)| (stamp.bytes, *name));
        let mut left = CHECKED_BYTES;
        let files: Vec<_> = files
            .into_iter()
            .map(|(name, stamp)| {
                let is_small = stamp.bytes <= left;
                left = if is_small { left - stamp.bytes } else { 0 };
                (name, stamp, thorough || is_small)
            })
            .collect();
        files
            .par_iter()
            .try_for_each(|(name, stamp, thorough)| stamp.check(&folder.join(name), *thorough, Self::COMMAND))
    }
}

/// Bytes of an index whose checksums are compared at every opening, the smallest files first: some tens of
/// milliseconds at most, and all of an index of some thousand films.
pub const CHECKED_BYTES: u64 = 16 << 20;

/// The last member of a sealed object, up to its value.
const CHECKSUM: &[u8] = b"\"checksum\": \"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.bin");
        write_bytes(&path, b"good").unwrap();
        let failed: Result<(), ArtifactError> = write_atomically(&path, |out| {
            out.write_all(b"half").unwrap();
            Err(ArtifactError::io("write", &path)(io::Error::other("no space left on device")))
        });
        assert!(failed.unwrap_err().to_string().contains("no space left"));
        assert_eq!(fs::read(&path).unwrap(), b"good");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_changed_file_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_bytes(&path, b"abc").unwrap();
        let stamp = FileStamp::of(&path).unwrap();
        // sha256sum of "abc".
        assert_eq!(stamp.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        stamp.check(&path, true, "titlecard index").unwrap();
        write_bytes(&path, b"abd").unwrap();
        stamp.check(&path, false, "titlecard index").unwrap();
        let error = stamp.check(&path, true, "titlecard index").unwrap_err();
        assert!(error.to_string().ends_with("remake it with `titlecard index`"), "{error}");
        write_bytes(&path, b"ab").unwrap();
        assert!(matches!(stamp.check(&path, false, "x"), Err(ArtifactError::Damaged { .. })));
        fs::remove_file(&path).unwrap();
        assert!(matches!(stamp.check(&path, false, "x"), Err(ArtifactError::Missing { .. })));
    }

    #[test]
    fn films_are_named_by_their_ids_in_order() {
        // printf '\1\0\0\0\0\0\0\0a\2\0\0\0\0\0\0\0bc' | sha256sum
        let stamp = films_stamp(["a", "bc"]);
        assert_eq!(stamp, "9a8acca1b6c6c0befd3fbc756aed625da998c998f7252e738c4ef061906b9b21");
        for other in [&["bc", "a"][..], &["ab", "c"], &["a", "bc", ""], &["a"]] {
            assert_ne!(films_stamp(other.iter().copied()), stamp, "{other:?}");
        }
    }

    #[test]
    fn a_manifest_of_another_version_names_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest.json");
        write_bytes(&path, br#"{"format":"titlecard-index","format_version":99}"#).unwrap();
        let error = Manifest::read(&path).unwrap_err();
        assert!(
            matches!(error, ArtifactError::Version { found: 99, expected: Manifest::VERSION, .. }),
            "{error}"
        );
        write_bytes(&path, br#"{"format":"other","format_version":1}"#).unwrap();
        assert!(matches!(Manifest::read(&path), Err(ArtifactError::Damaged { .. })));
        write_bytes(&path, b"not json").unwrap();
        assert!(matches!(Manifest::read(&path), Err(ArtifactError::Damaged { .. })));
        fs::remove_file(&path).unwrap();
        assert!(Manifest::read(&path).unwrap_err().to_string().contains("run `titlecard index` first"));
    }
}
