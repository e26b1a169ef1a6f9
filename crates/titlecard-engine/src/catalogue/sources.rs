//! Several sources of one catalogue: films, plots, keywords, people, titles, votes, ids, each from a file of its own.
//!
//! The first source of films is streamed and the catalogue keeps its order. The others are read into memory before and
//! joined to it by id (the catalogue's own, IMDb's, Wikipedia's), or where a row has none, by title and year. Where two
//! sources say different things of one film the source of higher `priority` wins, and of equal ones the one declared
//! first; every such conflict is counted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cells::{Year, directors_of_crew, list_of_value, parse_votes, parse_year, text_of_value};
use super::columns::{Aliases, SHARED};
use super::join::{Namesakes, id_of_page};
use super::report::write_suspicious;
use super::rows::{Cells, for_each_row, locate};
use super::suspicion::{Suspicion, Suspicions};
use super::{CatalogueError, Film};
use crate::text::title_key;

/// What a source is about: of its columns only those of its kind are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// Whole films: every field.
    #[default]
    Films,
    /// What happens in them, at length.
    Plots,
    /// Keywords and genres; a row may be a film or one keyword of it.
    Keywords,
    /// Actors and directors; a row may be a film or one person of it.
    People,
    /// Titles, original titles, years, languages, countries, production companies, series.
    Titles,
    /// How many votes they have.
    Votes,
    /// Which id of one place is which of another.
    Ids,
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Films => "films",
            Self::Plots => "plots",
            Self::Keywords => "keywords",
            Self::People => "people",
            Self::Titles => "titles",
            Self::Votes => "votes",
            Self::Ids => "ids",
        })
    }
}

/// Whose id a column `id` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdKind {
    /// The catalogue's own, which for most is that of TMDB.
    #[default]
    Tmdb,
    /// IMDb's, with or without `tt`.
    Imdb,
    /// The number of a page in the English Wikipedia.
    Wikipedia,
    /// Nobody's: rows are joined by title and year.
    None,
}

impl IdKind {
    /// An id as it is compared: `tt0083658`, `83658` and `83658.0` are one film of IMDb.
    pub(super) fn plain(self, cell: &str) -> String {
        let cell = cell.trim();
        let cell = cell.strip_suffix(".0").unwrap_or(cell);
        match self {
            Self::Imdb => cell.trim_start_matches("tt").trim_start_matches('0').to_owned(),
            _ if cell.eq_ignore_ascii_case("nan") => String::new(),
            _ => cell.to_owned(),
        }
    }
}

/// One source of a catalogue: a table `[[catalogue.source]]` of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceConfig {
    /// File to read: CSV, TSV, JSON lines or Parquet; plain, `.gz`, `.zst` or in a `.zip`.
    pub path: String,
    /// Of a `.zip`, the file in it; blank for the only table there is.
    pub member: String,
    /// What it is about.
    pub kind: SourceKind,
    /// Whose id a column called `id` holds.
    pub id: IdKind,
    /// Sources of higher priority win over others; of equal ones the first declared.
    pub priority: i32,
    /// Whether films are added that no source before has; those of `kind = "films"` are if this is not set.
    pub adds: Option<bool>,
    /// Our field to the column it is read from, where the header does not tell.
    pub columns: BTreeMap<String, String>,
}

impl SourceConfig {
    fn adds(&self) -> bool {
        self.adds.unwrap_or(self.kind == SourceKind::Films)
    }
}

/// Films of which two sources say different things of one field.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Conflict {
    /// Number of films.
    pub count: u64,
    /// Some of them: the film, what was kept, what was not.
    pub examples: Vec<String>,
}

/// What one source came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SourceReport {
    /// The file.
    pub source: String,
    /// What it is about.
    pub kind: SourceKind,
    /// Rows read.
    pub rows_read: u64,
    /// Rows that cannot be read, or that name no film.
    pub unusable: u64,
    /// Films of the catalogue that a row was found for.
    pub matched: u64,
    /// Of them, those found by title and year.
    pub by_title: u64,
    /// Films added that no source before has.
    pub added: u64,
    /// Films whose field was filled from here, by field.
    pub filled: BTreeMap<String, u64>,
    /// Fields that another source says something else of, by field.
    pub conflicts: BTreeMap<String, Conflict>,
    /// What looks wrong.
    pub suspicious: Vec<Suspicion>,
}

impl fmt::Display for SourceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  source `{}` ({}): {} rows, {} films matched ({} by title and year), {} added, {} rows unusable",
            self.source, self.kind, self.rows_read, self.matched, self.by_title, self.added, self.unusable
        )?;
        if !self.filled.is_empty() {
            let filled: Vec<String> =
                self.filled.iter().map(|(field, count)| format!("{field} of {count}")).collect();
            writeln!(f, "    filled: {}", filled.join(", "))?;
        }
        for (field, conflict) in &self.conflicts {
            writeln!(f, "    in conflict: {field} of {} films", conflict.count)?;
            for example in &conflict.examples {
                writeln!(f, "      {example}")?;
            }
        }
        write_suspicious(f, "    ", &self.suspicious)
    }
}

/// The fields that are not [`SHARED`] with files of films; `id` is what [`SourceConfig::id`] says.
const OF_SOURCES: [Aliases; 7] = [
    ("id", &["id"]),
    ("tmdb_id", &["tmdb_id", "tmdbid", "film_id", "movie_id"]),
    ("imdb_id", &["imdb_id", "imdbid", "tconst", "titleid"]),
    ("title", &["title", "movie_title", "name", "primarytitle", "primary_title"]),
    ("overview", &["overview", "description", "summary"]),
    ("crew", &["crew"]),
    ("plot", &["plot", "plot_summary"]),
];

fn fields() -> impl Iterator<Item = Aliases> {
    OF_SOURCES.into_iter().chain(SHARED)
}

const IDS: [&str; 4] = ["id", "tmdb_id", "imdb_id", "wikipedia_id"];

/// Fields taken from a source of a kind; one of them has to be there.
fn fields_of(kind: SourceKind) -> &'static [&'static str] {
    match kind {
        SourceKind::Films => &[
            "original_title",
            "year",
            "genres",
            "keywords",
            "overview",
            "cast",
            "directors",
            "crew",
            "countries",
            "languages",
            "companies",
            "collections",
            "plot",
            "votes",
            "tags",
        ],
        SourceKind::Plots => &["plot"],
        SourceKind::Keywords => &["keywords", "genres"],
        SourceKind::People => &["cast", "directors", "crew"],
        SourceKind::Titles => {
            &["original_title", "year", "languages", "countries", "companies", "collections", "title"]
        }
        SourceKind::Votes => &["votes"],
        SourceKind::Ids => &[],
    }
}

/// Which film a row is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Key {
    /// An id of the kind the first source has.
    Own(String),
    /// An id of another place.
    Other(IdKind, String),
    /// No id: source and row.
    Row(usize, u64),
}

impl Key {
    /// Id of a film that is added under this key to a catalogue whose ids are of kind `home`.
    fn film_id(&self, home: IdKind) -> String {
        match self {
            Self::Own(number) if home == IdKind::Imdb => format!("tt{number:0>7}"),
            Self::Own(id) => id.clone(),
            Self::Other(IdKind::Imdb, number) => format!("imdb-tt{number:0>7}"),
            Self::Other(IdKind::Wikipedia, page) => id_of_page(page),
            Self::Other(IdKind::Tmdb | IdKind::None, id) => format!("tmdb-{id}"),
            Self::Row(source, row) => format!("source-{}-row-{row}", source + 1),
        }
    }
}

/// What all sources but the first say.
#[derive(Debug, Default)]
pub struct Sources {
    configs: Vec<SourceConfig>,
    /// Place in the order of who wins, 0 first.
    ranks: Vec<usize>,
    first: Option<usize>,
    /// Whose ids the first source has.
    home: IdKind,
    keep_adult: bool,
    /// Rows by film: source, and what it says. Ordered, so that added films come in the same order every time.
    rows: BTreeMap<Key, Vec<(usize, Film)>>,
    /// Which film of the catalogue an id of another place is.
    own: HashMap<Key, String>,
    by_title: HashMap<String, Namesakes>,
    /// Rows that wait in `by_title`, by the name they have there.
    waiting: HashMap<String, Key>,
    /// Films of the catalogue that a row without an id turned out to be.
    found: HashMap<String, Vec<Key>>,
    reports: Vec<SourceReport>,
}

impl Sources {
    /// Reads every source but the first of films into memory. `on_bytes` receives the source, bytes read and bytes in all.
    ///
    /// # Errors
    /// [`CatalogueError`] if a source cannot be read, or has no column of its kind.
    pub fn read(
        configs: &[SourceConfig],
        max_unpacked: u64,
        keep_adult: bool,
        on_bytes: &mut dyn FnMut(&str, u64, u64) -> ControlFlow<()>,
    ) -> Result<Self, CatalogueError> {
        let mut order: Vec<usize> = (0..configs.len()).collect();
        // Stable: of equal priority the first declared.
        order.sort_by_key(|&source| std::cmp::Reverse(configs[source].priority));
        let mut ranks = vec![0; configs.len()];
        for (rank, source) in order.into_iter().enumerate() {
            ranks[source] = rank;
        }
        let reports = configs
            .iter()
            .map(|config| SourceReport {
                source: config.path.clone(),
                kind: config.kind,
                ..SourceReport::default()
            })
            .collect();
        let first = configs.iter().position(|config| config.kind == SourceKind::Films);
        let home = first.map(|first| configs[first].id).unwrap_or_default();
        let mut sources =
            Self { configs: configs.to_vec(), ranks, first, home, keep_adult, reports, ..Self::default() };
        // Ids first: rows of other sources are filed under what they say.
        let is_ids = |source: &usize| configs[*source].kind == SourceKind::Ids;
        let all = (0..configs.len()).filter(|source| Some(*source) != first);
        let (ids, others): (Vec<usize>, Vec<usize>) = all.partition(is_ids);
        for source in ids.into_iter().chain(others) {
            let path = configs[source].path.clone();
            sources.read_one(source, max_unpacked, &mut |done, total| on_bytes(&path, done, total))?;
        }
        Ok(sources)
    }

    /// The source of films that is to be streamed; `None` if there is none.
    pub fn first(&self) -> Option<&SourceConfig> {
        self.first.map(|source| &self.configs[source])
    }

    fn read_one(
        &mut self,
        source: usize,
        max_unpacked: u64,
        on_bytes: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<(), CatalogueError> {
        let config = self.configs[source].clone();
        let found = std::cell::RefCell::new(BTreeMap::new());
        let mut on_columns = |columns: &[String]| {
            *found.borrow_mut() = check(&config, columns, locate(columns, &config.columns, fields()))?;
            Ok(())
        };
        let mut suspicions = Suspicions::default();
        let mut overviews = HashSet::new();
        let mut on_row = |row: u64, cells: &Cells<'_>| {
            let found = found.borrow();
            let value = |field: &str| found.get(field).and_then(|column| cells(column));
            let is_adult = self.take(source, row, &value, &mut |film: &Film| {
                let hash = super::read::hash(&film.overview);
                let repeats = !film.overview.is_empty() && !overviews.insert(hash);
                suspicions.look(film, repeats.then_some(hash));
            });
            if let Some(title) = is_adult {
                suspicions.adult(&title);
            }
        };
        let counts = for_each_row(
            Path::new(&config.path),
            &config.member,
            max_unpacked,
            &mut on_columns,
            &mut on_row,
            on_bytes,
        )?;
        let report = &mut self.reports[source];
        report.rows_read = counts.rows_read;
        report.unusable += counts.broken;
        report.suspicious = suspicions.finish(counts.rows_read);
        Ok(())
    }

    /// Takes a row; answers the title if it is of an adult film.
    fn take(
        &mut self,
        source: usize,
        row: u64,
        value: &dyn Fn(&str) -> Option<Value>,
        look: &mut dyn FnMut(&Film),
    ) -> Option<String> {
        let (kind, id_kind) = (self.configs[source].kind, self.configs[source].id);
        let text = |field: &str| {
            value(field).and_then(|value| text_of_value(&value)).unwrap_or_default().trim().to_owned()
        };
        let id_of = |of: IdKind| {
            let named = of.plain(&text(match of {
                IdKind::Imdb => "imdb_id",
                IdKind::Wikipedia => "wikipedia_id",
                IdKind::Tmdb | IdKind::None => "tmdb_id",
            }));
            if named.is_empty() && of == id_kind { of.plain(&text("id")) } else { named }
        };
        let own = if self.home == IdKind::None { String::new() } else { id_of(self.home) };
        let others: Vec<Key> = [IdKind::Imdb, IdKind::Wikipedia, IdKind::Tmdb]
            .into_iter()
            .filter(|of| *of != self.home)
            .map(|of| (of, id_of(of)))
            .filter(|(_, id)| !id.is_empty())
            .map(|(of, id)| Key::Other(of, id))
            .collect();
        if !own.is_empty() {
            for other in &others {
                self.own.entry(other.clone()).or_insert_with(|| own.clone());
            }
        }
        if kind == SourceKind::Ids {
            self.reports[source].unusable += u64::from(own.is_empty() || others.is_empty());
            return None;
        }
        let takes = |field: &&str| fields_of(kind).contains(field);
        let wanted = |field: &'static str| Some(field).filter(takes);
        let get = |field: &'static str| wanted(field).map(&text).unwrap_or_default();
        let list = |field: &'static str| {
            wanted(field).and_then(value).map(|value| list_of_value(field, &value)).unwrap_or_default()
        };
        let mut directors = list("directors");
        if directors.is_empty() && kind != SourceKind::Titles {
            directors = value("crew").map(|value| directors_of_crew(&value)).unwrap_or_default();
        }
        let original_title = get("original_title");
        let film = Film {
            title: text("title"),
            original_title: (!original_title.is_empty()).then_some(original_title),
            // A year tells films of one title apart, whatever the source is about.
            year: match parse_year(&text("year")) {
                Year::Known(year) => Some(year),
                Year::None | Year::Bad => None,
            },
            genres: list("genres"),
            keywords: list("keywords"),
            overview: get("overview"),
            cast: list("cast"),
            directors,
            countries: list("countries"),
            languages: list("languages"),
            companies: list("companies"),
            collections: list("collections"),
            plot: get("plot"),
            votes: parse_votes(&get("votes")),
            tags: get("tags"),
            ..Film::default()
        };
        let adult = value("adult").is_some_and(|value| is_true(&value));
        if adult && !self.keep_adult {
            self.reports[source].unusable += 1;
            return Some(film.title);
        }
        let known = if own.is_empty() {
            others.iter().find_map(|other| self.own.get(other).cloned())
        } else {
            Some(own)
        };
        let key = match known {
            Some(id) => Key::Own(id),
            None => others.into_iter().next().unwrap_or(Key::Row(source, row)),
        };
        let has_name = !film.title.is_empty() && film.year.is_some();
        if matches!(key, Key::Row(..)) && !has_name {
            self.reports[source].unusable += 1;
            return adult.then_some(film.title);
        }
        look(&film);
        if let (false, Some(year), false) = (matches!(key, Key::Own(_)), film.year, film.title.is_empty()) {
            let name = key.film_id(self.home);
            let rows = &mut self.by_title.entry(title_key(&film.title)).or_default().rows;
            if !rows.iter().any(|(other, _)| *other == name) {
                rows.push((name.clone(), year));
            }
            self.waiting.insert(name, key.clone());
        }
        let title = adult.then(|| film.title.clone());
        let rows = self.rows.entry(key).or_default();
        match rows.last_mut() {
            // Rows of one film in one source are one: lists grow, of the rest the first counts.
            Some((other, before)) if *other == source => gather(before, film),
            _ => rows.push((source, film)),
        }
        title
    }

    /// Whether rows are to be found by title: then [`Sources::look`] wants to see every film before the first is filled,
    /// and [`Sources::find_by_title`] is to be called in between.
    pub fn looks_at_titles(&self) -> bool {
        !self.by_title.is_empty()
    }

    /// Notes a film that a row may be about.
    pub fn look(&mut self, film: &Film) {
        // What its other ids find needs no title.
        for key in other_keys(film) {
            if self.rows.contains_key(&key) {
                self.waiting.remove(&key.film_id(self.home));
            }
        }
        if let Some(year) = film.year
            && let Some(namesakes) = self.by_title.get_mut(&title_key(&film.title))
        {
            namesakes.films.push((film.id.clone(), year));
        }
    }

    /// Gives rows without an id to the film of their title and year: of the same year first, then of the year
    /// before or after, and only where one row and one film are left to choose from. Each source on its own.
    pub fn find_by_title(&mut self) {
        for (_, namesakes) in std::mem::take(&mut self.by_title) {
            let mut of_source: BTreeMap<usize, Vec<(String, i32)>> = BTreeMap::new();
            for (name, year) in namesakes.rows {
                let Some(key) = self.waiting.get(&name) else { continue };
                for (source, _) in self.rows.get(key).into_iter().flatten() {
                    of_source.entry(*source).or_default().push((name.clone(), year));
                }
            }
            let mut given = HashSet::new();
            for (source, rows) in of_source {
                let mut choice = Namesakes { rows, films: namesakes.films.clone() };
                for (name, film) in choice.pairs() {
                    let Some(key) = self.waiting.get(&name) else { continue };
                    self.reports[source].by_title += 1;
                    if given.insert(name) {
                        self.found.entry(film).or_default().push(key.clone());
                    }
                }
            }
        }
    }

    /// Puts together what all sources say of `film`, which comes from the first.
    pub fn fill(&mut self, film: &mut Film) {
        let mut keys = vec![Key::Own(self.home.plain(&film.id))];
        keys.extend(other_keys(film));
        keys.extend(self.found.remove(&film.id).unwrap_or_default());
        let mut rows: Vec<(usize, Film)> =
            keys.iter().filter_map(|key| self.rows.remove(key)).flatten().collect();
        if rows.is_empty() {
            return;
        }
        let mut seen = HashSet::new();
        for (source, _) in &rows {
            if seen.insert(*source) {
                self.reports[*source].matched += 1;
            }
        }
        let first = self.first.unwrap_or_default();
        rows.sort_by_key(|(source, _)| self.ranks[*source]);
        self.settle(film, first, rows);
    }

    /// Films no film of the first source was found for, in the order of their ids, if their source adds films and says
    /// what they are about.
    pub fn remaining(&mut self) -> Vec<Film> {
        let mut films = Vec::new();
        for (key, mut rows) in std::mem::take(&mut self.rows) {
            rows.sort_by_key(|(source, _)| self.ranks[*source]);
            let is_whole = |(source, film): &(usize, Film)| {
                let says = [&film.overview, &film.plot, &film.tags].iter().any(|text| !text.is_empty());
                self.configs[*source].adds() && says && !film.title.is_empty()
            };
            let Some(at) = rows.iter().position(is_whole) else { continue };
            let (source, row) = rows.remove(at);
            let mut film = Film { id: key.film_id(self.home), ..row };
            if film.tags.is_empty() {
                film.tags = film.build_tags();
            }
            if film.tags.is_empty() {
                film.tags = film.title.clone();
            }
            if film.original_title.as_ref() == Some(&film.title) {
                film.original_title = None;
            }
            self.reports[source].added += 1;
            self.settle(&mut film, source, rows);
            films.push(film);
        }
        films
    }

    /// What every source came to, in the order they are declared; `rows_read` and `kept` are of the first.
    pub fn reports(&self, rows_read: u64, kept: u64) -> Vec<SourceReport> {
        let mut reports = self.reports.clone();
        if let Some(first) = self.first {
            reports[first].rows_read = rows_read;
            reports[first].added = kept;
        }
        reports
    }

    /// Fills `film`, whose fields are from source `from`, with `rows`, the winners first.
    fn settle(&mut self, film: &mut Film, from: usize, rows: Vec<(usize, Film)>) {
        let had_built_tags = film.tags == film.build_tags();
        let mut more_words = Vec::new();
        let mut holders: HashMap<&'static str, usize> = HashMap::new();
        let name = film.title.clone();
        for (source, row) in rows {
            let mut reports = Settling {
                name: &name,
                source,
                from,
                ranks: &self.ranks,
                holders: &mut holders,
                reports: &mut self.reports,
            };
            let kind = self.configs[source].kind;
            if matches!(kind, SourceKind::Films | SourceKind::Titles) {
                reports.settle("title", &mut film.title, row.title, String::is_empty, |a, b| {
                    title_key(a) == title_key(b)
                });
                reports.settle(
                    "original_title",
                    &mut film.original_title,
                    row.original_title,
                    Option::is_none,
                    |a, b| a == b,
                );
                reports.settle("year", &mut film.year, row.year, Option::is_none, |a, b| a == b);
            } else if film.year.is_none() {
                film.year = row.year;
            }
            for (field, mine, other) in [
                ("overview", &mut film.overview, row.overview),
                ("plot", &mut film.plot, row.plot),
                ("tags", &mut film.tags, row.tags),
            ] {
                reports.settle(field, mine, other, String::is_empty, |a, b| a.trim() == b.trim());
            }
            for (field, mine, other) in [
                ("genres", &mut film.genres, row.genres),
                ("keywords", &mut film.keywords, row.keywords),
                ("cast", &mut film.cast, row.cast),
                ("directors", &mut film.directors, row.directors),
                ("countries", &mut film.countries, row.countries),
                ("languages", &mut film.languages, row.languages),
                ("companies", &mut film.companies, row.companies),
                ("collections", &mut film.collections, row.collections),
            ] {
                let is_new = mine.is_empty() && !other.is_empty();
                reports.settle(field, mine, other, Vec::is_empty, |a, b| same_items(a, b));
                if is_new && matches!(field, "genres" | "keywords" | "directors") {
                    more_words.extend(mine.iter().cloned());
                }
            }
            reports.settle("votes", &mut film.votes, row.votes, Option::is_none, |a, b| a == b);
        }
        if film.original_title.as_ref() == Some(&film.title) {
            film.original_title = None;
        }
        if had_built_tags {
            film.tags = film.build_tags();
        } else {
            for words in more_words {
                film.tags.push(' ');
                film.tags.push_str(&words);
            }
        }
    }
}

/// One row being put into a film.
struct Settling<'s> {
    name: &'s str,
    source: usize,
    from: usize,
    ranks: &'s [usize],
    /// Source that a field is from, where it is not `from`.
    holders: &'s mut HashMap<&'static str, usize>,
    reports: &'s mut Vec<SourceReport>,
}

/// Examples of a conflict.
const EXAMPLES: usize = 3;

impl Settling<'_> {
    fn settle<T: fmt::Debug>(
        &mut self,
        field: &'static str,
        mine: &mut T,
        other: T,
        is_empty: impl Fn(&T) -> bool,
        is_same: impl Fn(&T, &T) -> bool,
    ) {
        if is_empty(&other) {
            return;
        }
        let report = &mut self.reports[self.source];
        if is_empty(mine) {
            *mine = other;
            self.holders.insert(field, self.source);
            *report.filled.entry(field.to_owned()).or_default() += 1;
            return;
        }
        if is_same(mine, &other) {
            return;
        }
        let holder = self.holders.get(field).copied().unwrap_or(self.from);
        let wins = self.ranks[self.source] < self.ranks[holder];
        let conflict = report.conflicts.entry(field.to_owned()).or_default();
        conflict.count += 1;
        let lost = if wins {
            self.holders.insert(field, self.source);
            std::mem::replace(mine, other)
        } else {
            other
        };
        if conflict.examples.len() < EXAMPLES {
            let (kept, lost) = (short(mine), short(&lost));
            conflict.examples.push(format!("{}: kept {kept}, not {lost}", self.name));
        }
    }
}

/// A value on one line, cut off.
fn short(value: &impl fmt::Debug) -> String {
    let text = format!("{value:?}");
    let text = text.strip_prefix("Some(").and_then(|text| text.strip_suffix(')')).unwrap_or(&text);
    let mut cut: String = text.chars().take(60).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

fn same_items(a: &[String], b: &[String]) -> bool {
    let set = |list: &[String]| list.iter().map(|item| item.to_lowercase()).collect::<HashSet<_>>();
    a == b || set(a) == set(b)
}

fn other_keys(film: &Film) -> Vec<Key> {
    let Some(ids) = &film.other_ids else { return Vec::new() };
    let imdb = (!ids.imdb.is_empty()).then(|| Key::Other(IdKind::Imdb, ids.imdb.clone()));
    let wikipedia = (!ids.wikipedia.is_empty()).then(|| Key::Other(IdKind::Wikipedia, ids.wikipedia.clone()));
    imdb.into_iter().chain(wikipedia).collect()
}

/// Adds another row of the same film in the same source.
fn gather(film: &mut Film, more: Film) {
    for (mine, other) in [
        (&mut film.genres, more.genres),
        (&mut film.keywords, more.keywords),
        (&mut film.cast, more.cast),
        (&mut film.directors, more.directors),
        (&mut film.countries, more.countries),
        (&mut film.languages, more.languages),
        (&mut film.companies, more.companies),
        (&mut film.collections, more.collections),
    ] {
        for item in other {
            if !mine.contains(&item) {
                mine.push(item);
            }
        }
    }
    for (mine, other) in [
        (&mut film.title, more.title),
        (&mut film.overview, more.overview),
        (&mut film.plot, more.plot),
        (&mut film.tags, more.tags),
    ] {
        if mine.is_empty() {
            *mine = other;
        }
    }
    film.original_title = film.original_title.take().or(more.original_title);
    film.year = film.year.or(more.year);
    film.votes = film.votes.or(more.votes);
}

/// Refuses a source without a film or without anything of its kind.
fn check<'f>(
    config: &SourceConfig,
    columns: &[String],
    found: Result<BTreeMap<&'f str, String>, (String, String)>,
) -> Result<BTreeMap<&'f str, String>, CatalogueError> {
    let wrong = |what: String| CatalogueError::WrongSource {
        name: config.path.clone(),
        kind: config.kind,
        what,
        found: columns.join(", "),
    };
    let mut found = match found {
        Ok(found) => found,
        Err((field, column)) if column.is_empty() => {
            let known: Vec<&str> = fields().map(|(field, _)| field).collect();
            return Err(CatalogueError::UnknownField { field, known: known.join(", ") });
        }
        Err((field, column)) => return Err(wrong(format!("`{field}`: there is no `{column}`"))),
    };
    // In a source of plots the text may be called anything a text is called.
    if config.kind == SourceKind::Plots
        && !found.contains_key("plot")
        && let Some(column) = found.get("overview").cloned()
    {
        found.insert("plot", column);
    }
    let has_id = IDS.iter().any(|id| found.contains_key(id) && (*id != "id" || config.id != IdKind::None));
    if !(has_id || found.contains_key("title") && found.contains_key("year")) {
        return Err(wrong("which film a row is about (an id, or title and year)".to_owned()));
    }
    let fields = fields_of(config.kind);
    if config.kind == SourceKind::Ids {
        if IDS.iter().filter(|id| found.contains_key(*id)).count() < 2 {
            return Err(wrong("a second id".to_owned()));
        }
    } else if !fields.iter().any(|field| found.contains_key(field)) {
        return Err(wrong(format!("anything of {}", fields.join(", "))));
    }
    Ok(found)
}

/// What tables call true, of `adult`.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        value => {
            text_of_value(value).is_some_and(|text| matches!(text.trim(), "True" | "true" | "TRUE" | "1"))
        }
    }
}
