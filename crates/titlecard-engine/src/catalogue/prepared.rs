//! The prepared catalogue: one film a line as JSON, compressed with zstd.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{CatalogueError, Film};
use crate::artifact::{ArtifactError, not_found_or_io, sync_folder};

/// Compression level: level 3 writes faster than films are parsed.
const LEVEL: i32 = 3;

/// Writes a prepared catalogue; the file appears under its name only when it is whole.
pub struct FilmWriter {
    path: PathBuf,
    out: zstd::Encoder<'static, BufWriter<NamedTempFile>>,
}

impl FilmWriter {
    /// Begins a file that will be at `path`.
    ///
    /// # Errors
    /// [`CatalogueError::Artifact`] if the folder cannot be written.
    pub fn create(path: &Path) -> Result<Self, CatalogueError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).map_err(ArtifactError::io("create folder", folder))?;
        let file = tempfile::Builder::new()
            .prefix(".writing-")
            .tempfile_in(folder)
            .map_err(ArtifactError::io("create a file in", folder))?;
        let mut out =
            zstd::Encoder::new(BufWriter::new(file), LEVEL).map_err(ArtifactError::io("write", path))?;
        // A changed byte is found when the file is read.
        out.include_checksum(true).map_err(ArtifactError::io("write", path))?;
        Ok(Self { path: path.to_owned(), out })
    }

    /// Adds a film.
    ///
    /// # Errors
    /// [`CatalogueError::Artifact`], such as a full disk.
    pub fn write(&mut self, film: &Film) -> Result<(), CatalogueError> {
        let fail = ArtifactError::io("write", &self.path);
        serde_json::to_writer(&mut self.out, film)
            .map_err(std::io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(fail)?;
        Ok(())
    }

    /// Ends the file and puts it in its place.
    ///
    /// # Errors
    /// [`CatalogueError::Artifact`]; the old file is then as it was.
    pub fn finish(self) -> Result<(), CatalogueError> {
        let fail = || ArtifactError::io("write", &self.path);
        let out = self.out.finish().map_err(fail())?;
        let file = out.into_inner().map_err(|error| fail()(error.into_error()))?;
        file.as_file().sync_all().map_err(fail())?;
        crate::artifact::set_usual_permissions(file.as_file()).map_err(fail())?;
        file.persist(&self.path)
            .map_err(|error| ArtifactError::io("rename into", &self.path)(error.error))?;
        if let Some(folder) = self.path.parent() {
            sync_folder(folder);
        }
        Ok(())
    }
}

/// Films in file order; ids are unique, titles and tags not blank.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Catalogue {
    films: Vec<Film>,
    position: HashMap<String, usize>,
}

impl Catalogue {
    /// All films.
    pub fn films(&self) -> &[Film] {
        &self.films
    }

    /// All films, given away.
    pub fn into_films(self) -> Vec<Film> {
        self.films
    }

    /// Number of films.
    pub fn len(&self) -> usize {
        self.films.len()
    }

    /// Whether there is no film.
    pub fn is_empty(&self) -> bool {
        self.films.is_empty()
    }

    /// The film with this id.
    pub fn find(&self, id: &str) -> Option<&Film> {
        self.position.get(id).map(|&at| &self.films[at])
    }
}

/// Loads a prepared catalogue.
///
/// # Errors
/// [`CatalogueError::DamagedPrepared`] naming the line; [`CatalogueError::Artifact`] if it is not there.
pub fn load_prepared(path: &Path) -> Result<Catalogue, CatalogueError> {
    let mut catalogue = Catalogue::default();
    for_each_prepared(path, &mut |film| {
        let at = catalogue.films.len();
        if catalogue.position.insert(film.id.clone(), at).is_some() {
            let what = format!("id `{}` is used twice", film.id);
            return Err(CatalogueError::DamagedPrepared { path: path.to_owned(), line: at + 1, what });
        }
        catalogue.films.push(film);
        Ok(())
    })?;
    Ok(catalogue)
}

/// Whether a prepared catalogue was written with a checksum: bit 2 of the frame's descriptor (RFC 8878, 3.1.1.1.1).
///
/// # Errors
/// [`CatalogueError::Artifact`] if it cannot be read.
pub(crate) fn has_checksum(path: &Path) -> Result<bool, CatalogueError> {
    let mut head = [0; 5];
    let mut file =
        fs::File::open(path).map_err(|source| not_found_or_io(path, "titlecard prepare", source))?;
    let n = file.read(&mut head).map_err(ArtifactError::io("read", path))?;
    Ok(n == head.len() && head[4] & 4 != 0)
}

/// Hands on the films of a prepared catalogue one by one.
///
/// # Errors
/// As [`load_prepared`], and those of `on_film`.
pub(crate) fn for_each_prepared(
    path: &Path,
    on_film: &mut dyn FnMut(Film) -> Result<(), CatalogueError>,
) -> Result<(), CatalogueError> {
    let file = fs::File::open(path).map_err(|source| not_found_or_io(path, "titlecard prepare", source))?;
    let damaged =
        |line: usize, what: String| CatalogueError::DamagedPrepared { path: path.to_owned(), line, what };
    let decoder = zstd::Decoder::new(file).map_err(|error| damaged(0, error.to_string()))?;
    for (at, line) in BufReader::with_capacity(1 << 20, decoder).lines().enumerate() {
        let line = line.map_err(|error| damaged(at + 1, error.to_string()))?;
        let film: Film = serde_json::from_str(&line).map_err(|error| damaged(at + 1, error.to_string()))?;
        if film.title.trim().is_empty() || film.tags.trim().is_empty() {
            return Err(damaged(at + 1, "a film without title or tags".to_owned()));
        }
        on_film(film)?;
    }
    Ok(())
}
