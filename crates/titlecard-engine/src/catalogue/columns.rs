//! Which column holds what: known names, the user's own mapping, and the name of the shape.

use std::collections::BTreeMap;

use super::CatalogueError;

/// Names of a field's columns in known files, the best one first.
pub(super) type Aliases = (&'static str, &'static [&'static str]);

/// Fields whose columns are called alike whatever a file is about.
pub(super) const SHARED: [Aliases; 14] = [
    ("original_title", &["original_title", "originaltitle"]),
    ("year", &["year", "release_year", "startyear", "release_date"]),
    ("genres", &["genres", "genre"]),
    ("keywords", &["keywords", "keyword", "tag"]),
    ("cast", &["cast", "actors", "actor"]),
    ("directors", &["directors", "director"]),
    ("countries", &["countries", "country", "production_countries"]),
    ("languages", &["languages", "language", "original_language"]),
    (
        "companies",
        &["companies", "company", "production_companies", "production_company", "studios", "studio"],
    ),
    ("collections", &["collections", "collection", "belongs_to_collection", "franchise"]),
    ("votes", &["votes", "vote_count", "num_votes", "numvotes"]),
    ("tags", &["tags"]),
    ("adult", &["adult", "isadult"]),
    ("wikipedia_id", &["wikipedia_page_id", "wikipedia_id", "page_id"]),
];

/// The others in a file of films.
const OF_FILMS: [Aliases; 4] = [
    ("id", &["id", "tmdb_id", "movie_id", "film_id"]),
    // The 10,866 shape has the original title only.
    ("title", &["title", "movie_title", "name", "original_title"]),
    ("overview", &["overview", "plot", "description", "summary"]),
    ("imdb_id", &["imdb_id", "imdbid"]),
];

fn fields() -> impl Iterator<Item = Aliases> {
    OF_FILMS.into_iter().chain(SHARED)
}

/// Positions of our fields in the columns of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Columns {
    /// Field to column position and name.
    found: BTreeMap<&'static str, (usize, String)>,
    /// What the shape is called.
    pub(super) shape: &'static str,
}

impl Columns {
    /// Finds our fields among `header`, the user's mapping `wanted` (field to column) first.
    pub(super) fn locate(
        header: &[String],
        wanted: &BTreeMap<String, String>,
        name: &str,
    ) -> Result<Self, CatalogueError> {
        let listed = || header.join(", ");
        let mut found = BTreeMap::new();
        for (field, column) in wanted {
            let Some((field, _)) = fields().find(|(known, _)| known == field) else {
                let known: Vec<&str> = fields().map(|(field, _)| field).collect();
                return Err(CatalogueError::UnknownField { field: field.clone(), known: known.join(", ") });
            };
            let Some(at) = header.iter().position(|other| other.trim() == column) else {
                return Err(CatalogueError::UnknownColumn {
                    name: name.to_owned(),
                    column: column.clone(),
                    field: field.to_owned(),
                    found: listed(),
                });
            };
            found.insert(field, (at, column.clone()));
        }
        let plain: Vec<String> =
            header.iter().map(|column| column.trim().to_lowercase().replace([' ', '-'], "_")).collect();
        for (field, aliases) in fields() {
            if found.contains_key(field) {
                continue;
            }
            let at = aliases.iter().find_map(|alias| plain.iter().position(|column| column == alias));
            if let Some(at) = at {
                found.insert(field, (at, header[at].trim().to_owned()));
            }
        }
        let missing = |missing, field| CatalogueError::MissingColumn {
            name: name.to_owned(),
            missing,
            field,
            found: listed(),
        };
        if !found.contains_key("title") {
            return Err(missing("the title", "title"));
        }
        if !found.contains_key("tags") && !found.contains_key("overview") {
            return Err(missing("tags or an overview", "tags"));
        }
        Ok(Self { found, shape: shape_of(&plain) })
    }

    /// Position of a field's column.
    pub(super) fn position(&self, field: &str) -> Option<usize> {
        self.found.get(field).map(|(at, _)| *at)
    }

    /// Fields with the names of their columns.
    pub(super) fn names(&self) -> BTreeMap<String, String> {
        self.found.iter().map(|(field, (_, column))| ((*field).to_owned(), column.clone())).collect()
    }
}

/// What people call a file with these columns.
fn shape_of(columns: &[String]) -> &'static str {
    let has = |names: &[&str]| names.iter().all(|name| columns.iter().any(|column| column == name));
    if has(&["directors", "countries", "languages", "overview"]) {
        "titlecard"
    } else if has(&["tags", "title"]) {
        "TMDB Movies Clean"
    } else if has(&["imdb_id", "release_year", "budget_adj"]) {
        "TMDB 10,866"
    } else if has(&["adult", "imdb_id", "production_companies"]) {
        "TMDB v11"
    } else if has(&["genres", "keywords", "production_companies", "spoken_languages"]) {
        "TMDB 5000"
    } else {
        "other"
    }
}
