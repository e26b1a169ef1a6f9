//! Films: reading catalogues of any common shape, cleaning them, and the prepared form.
//!
//! A catalogue is streamed row by row. A broken row is dropped and counted with its line; a file of
//! the wrong shape is an error that names the columns found and those needed. What is kept goes to
//! `films.jsonl.zst`, one [`Film`] a line.

mod cells;
mod columns;
mod join;
mod open;
mod parquet;
mod prepared;
mod read;
mod report;
mod rows;
mod sources;
mod suspicion;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::artifact::ArtifactError;
use crate::progress::Interrupted;

pub(crate) use cells::LEGAL_FORMS;
pub use join::{JoinReport, Joined, id_of_page};
pub use open::{MAX_UNPACKED, open_decompressed, unpack};
pub use parquet::export_parquet;
pub use prepared::{Catalogue, FilmWriter, load_prepared};
pub(crate) use prepared::{for_each_prepared, has_checksum};
pub use read::{ReadOptions, read_films, read_films_from};
pub use report::{CleaningReport, Finding, Reason};
pub use sources::{Conflict, IdKind, SourceConfig, SourceKind, SourceReport, Sources};
pub use suspicion::Suspicion;

/// Why a catalogue could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// The file cannot be opened or read.
    #[error("cannot read the catalogue `{name}`: {source}")]
    Io {
        /// The file.
        name: String,
        /// The reason.
        source: std::io::Error,
    },
    /// There is nothing in it.
    #[error("the catalogue `{name}` is empty; expected a header line and films, or one JSON object a line")]
    EmptyFile {
        /// The file.
        name: String,
    },
    /// One JSON array instead of lines.
    #[error(
        "the catalogue `{name}` is one JSON array, expected one JSON object a line; \
         convert it with `jq -c '.[]' {name} > films.jsonl`"
    )]
    JsonArray {
        /// The file.
        name: String,
    },
    /// A column is missing.
    #[error(
        "the catalogue `{name}` has no column for {missing} (found: {found}); \
         rename it, or say where it is with `--column {field}=NAME`"
    )]
    MissingColumn {
        /// The file.
        name: String,
        /// What is needed, in words.
        missing: &'static str,
        /// Our field.
        field: &'static str,
        /// Columns found.
        found: String,
    },
    /// A column named by the user is not there.
    #[error(
        "the catalogue `{name}` has no column `{column}` (found: {found}); correct `--column {field}=NAME`"
    )]
    UnknownColumn {
        /// The file.
        name: String,
        /// The column asked for.
        column: String,
        /// Our field.
        field: String,
        /// Columns found.
        found: String,
    },
    /// A packed file cannot be unpacked.
    #[error("the catalogue `{name}` cannot be read: {what}")]
    Packed {
        /// The file.
        name: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// A source of `[[catalogue.source]]` lacks what its kind is about.
    #[error(
        "`{name}` is declared as a source of {kind}, but no column of it says {what} (found: {found}); correct `kind`, \
         or say where it is in `columns`"
    )]
    WrongSource {
        /// The file.
        name: String,
        /// The kind declared.
        kind: SourceKind,
        /// What is missing.
        what: String,
        /// Columns found.
        found: String,
    },
    /// A file to join has nothing to join by or nothing to add.
    #[error(
        "`{name}` cannot be joined: {what} (found: {found}); it needs `tmdb_id`, `film_id` or `id`, and one of `plot`, \
         `votes`, `vote_count`, `sources`, `original_language`, `year`"
    )]
    NothingToJoin {
        /// The file.
        name: String,
        /// What is missing.
        what: &'static str,
        /// Columns found.
        found: String,
    },
    /// A mapping for a field that does not exist.
    #[error("there is no field `{field}` to map a column to; the fields are {known}")]
    UnknownField {
        /// The field asked for.
        field: String,
        /// The fields there are.
        known: String,
    },
    /// All rows were dropped.
    #[error(
        "no film of `{name}` could be kept:\n{report}\n; check the file, or the columns with `--column FIELD=NAME`"
    )]
    NoFilm {
        /// The file.
        name: String,
        /// What was wrong with the rows.
        report: Box<CleaningReport>,
    },
    /// The prepared catalogue is damaged.
    #[error("`{}`, line {line}: {what}; make it again with `titlecard prepare`", path.display())]
    DamagedPrepared {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What does not fit.
        what: String,
    },
    /// Writing the prepared catalogue failed.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// Stopped from outside.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// A film as titlecard knows it. Title and tags are never blank.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Film {
    /// Id in its catalogue, unique there.
    pub id: String,
    /// Title.
    pub title: String,
    /// Title in the language of the film, where it differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_title: Option<String>,
    /// Year of release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub year: Option<i32>,
    /// Genres.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub genres: Vec<String>,
    /// Keywords.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// What the film is about.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub overview: String,
    /// Actors, leading ones first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cast: Vec<String>,
    /// Directors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub directors: Vec<String>,
    /// Countries of production.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub countries: Vec<String>,
    /// Languages, the original one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub languages: Vec<String>,
    /// Production companies, leading ones first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub companies: Vec<String>,
    /// Series of films it belongs to, such as `Toy Story Collection`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub collections: Vec<String>,
    /// What happens in it, told at length; searched beside the tags.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub plot: String,
    /// How widely it is known: votes, or the number of sources that know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes: Option<u32>,
    /// Everything said of the film in one text.
    pub tags: String,
    /// What other places call it, while a catalogue is put together; not part of the prepared form.
    #[serde(skip)]
    pub other_ids: Option<Box<OtherIds>>,
}

/// Ids of a film outside its catalogue; blank where not known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OtherIds {
    /// Number in IMDb, without `tt` and leading zeros.
    pub imdb: String,
    /// Page in the English Wikipedia.
    pub wikipedia: String,
}

impl OtherIds {
    /// Ids as cells have them; `None` if both are blank.
    fn of(imdb: &str, wikipedia: &str) -> Option<Box<Self>> {
        let ids = Self { imdb: IdKind::Imdb.plain(imdb), wikipedia: IdKind::Wikipedia.plain(wikipedia) };
        (ids != Self::default()).then(|| Box::new(ids))
    }
}

/// Actors that go into tags made here, as in the Kaggle set.
const CAST_IN_TAGS: usize = 3;

impl Film {
    /// Tags made of the other fields: overview, genres, keywords, leading actors, director.
    pub fn build_tags(&self) -> String {
        let lists = self.genres.iter().chain(&self.keywords);
        let people = self.cast.iter().take(CAST_IN_TAGS).chain(self.directors.first());
        let mut tags = self.overview.clone();
        for part in lists.chain(people) {
            if !tags.is_empty() {
                tags.push(' ');
            }
            tags.push_str(part);
        }
        tags
    }
}

/// What a film is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Models are fitted to it.
    Train,
    /// Choices are made by it.
    Dev,
    /// Figures are reported of it.
    Test,
}

/// Where the parts of the data end, in 256ths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitConfig {
    /// Films whose byte is below are for training.
    pub train_below: u16,
    /// Films whose byte is below (and that are not for training) are for development, the rest for test.
    pub dev_below: u16,
}

impl Default for SplitConfig {
    /// Half for training, a quarter each for development and test.
    fn default() -> Self {
        Self { train_below: 128, dev_below: 192 }
    }
}

/// The part a film belongs to: by the first byte of SHA-256 of `titlecard-v1:` and its id.
///
/// A fixed hash of the film alone: the part never changes when films are added, and every query about
/// a film is in its film's part.
pub fn split_of(film_id: &str, config: &SplitConfig) -> Split {
    let mut hash = Sha256::new();
    hash.update(b"titlecard-v1:");
    // A film only Wikipedia knows is split by the bare id of its page, as the queries about it are.
    hash.update(film_id.strip_prefix(join::PAGE_PREFIX).unwrap_or(film_id).as_bytes());
    let byte = u16::from(hash.finalize()[0]);
    if byte < config.train_below {
        Split::Train
    } else if byte < config.dev_below {
        Split::Dev
    } else {
        Split::Test
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_is_fixed() {
        // python3 -c "import hashlib; print(hashlib.sha256(b'titlecard-v1:15').digest()[0])" and so on.
        let byte = |id: &str| Sha256::digest(format!("titlecard-v1:{id}"))[0];
        let ids: Vec<String> = (0..4000).map(|id| id.to_string()).collect();
        let config = SplitConfig::default();
        let count = |split| ids.iter().filter(|id| split_of(id, &config) == split).count();
        assert!((1900..2100).contains(&count(Split::Train)), "{}", count(Split::Train));
        assert!((900..1100).contains(&count(Split::Dev)), "{}", count(Split::Dev));
        for id in &ids {
            let expected = match byte(id) {
                0..128 => Split::Train,
                128..192 => Split::Dev,
                _ => Split::Test,
            };
            assert_eq!(split_of(id, &config), expected);
        }
    }

    #[test]
    fn tags_join_what_is_there() {
        let film = Film {
            overview: "A sled burns.".to_owned(),
            genres: vec!["Drama".to_owned()],
            cast: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
            directors: vec!["e".to_owned(), "f".to_owned()],
            ..Film::default()
        };
        assert_eq!(film.build_tags(), "A sled burns. Drama a b c e");
    }
}
