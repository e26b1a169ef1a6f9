//! More about the films from other files: plots, votes, languages and years, joined by id, and where a row of
//! Wikipedia names no film by id, by title and year.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cells::{Year, list_of_value, parse_votes, parse_year, text_of_value};
use super::open::open_decompressed;
use super::read::delimiter_of;
use super::{CatalogueError, Film};
use crate::text::title_key;

/// What ids of films that only Wikipedia knows begin with.
pub(super) const PAGE_PREFIX: &str = "wikipedia-";

/// Id of a film that only Wikipedia knows, by the id of its page.
pub fn id_of_page(page: &str) -> String {
    format!("{PAGE_PREFIX}{page}")
}

/// What one joined file came to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JoinReport {
    /// The file.
    pub source: String,
    /// Rows read.
    pub rows_read: u64,
    /// Rows that cannot be read, or that name no film.
    pub unusable: u64,
    /// Films of the catalogue that a row was found for.
    pub matched: u64,
    /// Of them, those found by title and year.
    #[serde(default)]
    pub by_title: u64,
    /// Films added that the catalogue does not have.
    pub added: u64,
}

/// What other files say of films, by film id.
#[derive(Debug, Default)]
pub struct Joined {
    /// Ordered, so that added films come in the same order every time.
    rows: BTreeMap<String, Vec<(usize, Row)>>,
    /// Rows that name no film by id, and films no row with a plot names, by the look-up form of their title.
    by_title: HashMap<String, Namesakes>,
    reports: Vec<JoinReport>,
}

/// Ids of rows and of films with one title, with their years.
#[derive(Debug, Default)]
pub(super) struct Namesakes {
    pub(super) rows: Vec<(String, i32)>,
    pub(super) films: Vec<(String, i32)>,
}

impl Namesakes {
    /// Rows with the films they are about: of the same year first, then of the year before or after, and only where one
    /// row and one film are left to choose from.
    pub(super) fn pairs(&mut self) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        for years_off in [0, 1] {
            let near = |a: i32, b: i32| (a - b).abs() <= years_off;
            let mut found = Vec::new();
            for (row, row_year) in &self.rows {
                let mut films = self.films.iter().filter(|(_, year)| near(*year, *row_year));
                if let (Some((film, year)), None) = (films.next(), films.next())
                    && self.rows.iter().filter(|(_, other)| near(*other, *year)).count() == 1
                {
                    found.push((row.clone(), film.clone()));
                }
            }
            for (row, film) in &found {
                self.rows.retain(|(id, _)| id != row);
                self.films.retain(|(id, _)| id != film);
            }
            pairs.append(&mut found);
        }
        pairs
    }
}

#[derive(Debug, Default, Clone)]
struct Row {
    title: String,
    year: Option<i32>,
    plot: String,
    votes: Option<u32>,
    languages: Vec<String>,
}

/// Columns that say which film a row is about, the best one first.
const IDS: [&str; 3] = ["tmdb_id", "film_id", "id"];
const PAGE: &str = "wikipedia_page_id";

impl Joined {
    /// Reads a file: JSON lines, or a table with a header; plain or compressed.
    ///
    /// # Errors
    /// [`CatalogueError::Io`], [`CatalogueError::EmptyFile`] or [`CatalogueError::NothingToJoin`].
    pub fn read(&mut self, path: &Path) -> Result<(), CatalogueError> {
        let name = path.display().to_string();
        let fail = |source| CatalogueError::Io { name: name.clone(), source };
        let mut reader = open_decompressed(path).map_err(fail)?;
        let head = reader.fill_buf().map_err(fail)?;
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
        if head.is_empty() {
            return Err(CatalogueError::EmptyFile { name });
        }
        let number = self.reports.len();
        self.reports.push(JoinReport { source: name.clone(), ..JoinReport::default() });
        if head.starts_with(b"{") {
            let mut bytes = Vec::new();
            let mut is_checked = false;
            loop {
                bytes.clear();
                if reader.read_until(b'\n', &mut bytes).map_err(fail)? == 0 {
                    return Ok(());
                }
                if bytes.trim_ascii().is_empty() {
                    continue;
                }
                let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(&bytes) else {
                    self.reports[number].rows_read += 1;
                    self.reports[number].unusable += 1;
                    continue;
                };
                if !is_checked {
                    check(&name, fields.keys().map(String::as_str))?;
                    is_checked = true;
                }
                let text = |field: &str| fields.get(field).and_then(text_of_value).unwrap_or_default();
                let list = |field: &str| {
                    fields.get(field).map(|value| list_of_value(field, value)).unwrap_or_default()
                };
                self.take(number, &text, &list);
            }
        }
        let delimiter = delimiter_of(head);
        let mut table = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(reader);
        let io = |error: csv::Error| CatalogueError::Io { name: name.clone(), source: error.into() };
        let header: Vec<String> = table
            .byte_headers()
            .map_err(io)?
            .iter()
            .map(|cell| String::from_utf8_lossy(cell).trim_matches(['\u{feff}', ' ']).to_lowercase())
            .collect();
        check(&name, header.iter().map(String::as_str))?;
        let mut record = csv::ByteRecord::new();
        while table.read_byte_record(&mut record).map_err(io)? {
            let text = |field: &str| {
                let cell = header.iter().position(|column| column == field).and_then(|at| record.get(at));
                cell.map(|cell| String::from_utf8_lossy(cell).into_owned()).unwrap_or_default()
            };
            let list = |field: &str| list_of_value(field, &Value::String(text(field)));
            self.take(number, &text, &list);
        }
        Ok(())
    }

    fn take(&mut self, number: usize, text: &dyn Fn(&str) -> String, list: &dyn Fn(&str) -> Vec<String>) {
        let report = &mut self.reports[number];
        report.rows_read += 1;
        let page = text(PAGE);
        let id = IDS.iter().map(|column| text(column).trim().to_owned()).find(|id| !id.is_empty());
        let has_id = id.is_some();
        let id = id.or_else(|| (!page.trim().is_empty()).then(|| id_of_page(page.trim())));
        let Some(id) = id else {
            report.unusable += 1;
            return;
        };
        let votes = ["votes", "vote_count"].iter().find_map(|column| parse_votes(&text(column)));
        let sources = list("sources").len() as u32;
        let year = match parse_year(&text("year")) {
            Year::Known(year) => Some(year),
            Year::None | Year::Bad => None,
        };
        let mut languages = list("languages");
        if languages.is_empty() {
            languages = list("original_language");
        }
        let row = Row {
            title: without_disambiguation(text("title").trim()).to_owned(),
            year,
            plot: text("plot").trim().to_owned(),
            votes: votes.or((sources > 0).then_some(sources)),
            languages,
        };
        if let (false, Some(year)) = (has_id, row.year)
            && !row.plot.is_empty()
            && !row.title.is_empty()
        {
            self.by_title.entry(title_key(&row.title)).or_default().rows.push((id.clone(), year));
        }
        self.rows.entry(id).or_default().push((number, row));
    }

    /// Whether rows are to be found by title: then [`Joined::look`] wants to see every film before the first is
    /// filled, and [`Joined::find_by_title`] is to be called in between.
    pub fn looks_at_titles(&self) -> bool {
        !self.by_title.is_empty()
    }

    /// Notes a film that a row may be about.
    pub fn look(&mut self, film: &Film) {
        let has_plot = |rows: &Vec<(usize, Row)>| rows.iter().any(|(_, row)| !row.plot.is_empty());
        if let Some(year) = film.year
            && let Some(namesakes) = self.by_title.get_mut(&title_key(&film.title))
            && !self.rows.get(&film.id).is_some_and(has_plot)
        {
            namesakes.films.push((film.id.clone(), year));
        }
    }

    /// Gives rows without an id to the film of their title and year: of the same year first, then of the year
    /// before or after, and only where one row and one film are left to choose from.
    pub fn find_by_title(&mut self) {
        for mut namesakes in std::mem::take(&mut self.by_title).into_values() {
            for (row, film) in namesakes.pairs() {
                let rows = self.rows.remove(&row).unwrap_or_default();
                // A page may stand in a file twice, under two years: it is one film.
                for rows in rows.chunk_by(|a, b| a.0 == b.0) {
                    self.reports[rows[0].0].by_title += 1;
                }
                self.rows.entry(film).or_default().extend(rows);
            }
        }
    }

    /// Fills what `film` lacks; what it has stays. Of several files that know a thing the first one read wins.
    pub fn fill(&mut self, film: &mut Film) {
        let Some(rows) = self.rows.remove(&film.id) else { return };
        let mut last = None;
        for (number, row) in rows {
            // Rows of one file are counted once a film.
            if last != Some(number) {
                self.reports[number].matched += 1;
                last = Some(number);
            }
            if film.plot.is_empty() {
                film.plot = row.plot;
            }
            if film.languages.is_empty() {
                film.languages = row.languages;
            }
            film.votes = film.votes.or(row.votes);
            film.year = film.year.or(row.year);
        }
    }

    /// Films nothing was filled for and whose plot is known, in the order of their ids.
    pub fn remaining(&mut self) -> Vec<Film> {
        let ids: Vec<String> = self.rows.keys().cloned().collect();
        let mut films = Vec::new();
        for id in ids {
            let rows = self.rows.get(&id).map(Vec::as_slice).unwrap_or_default();
            let found = rows.iter().find(|(_, row)| !row.plot.is_empty() && !row.title.is_empty());
            let Some((number, row)) = found.cloned() else { continue };
            let mut film = Film { id, title: row.title.clone(), tags: row.title, ..Film::default() };
            self.fill(&mut film);
            self.reports[number].matched -= 1;
            self.reports[number].added += 1;
            films.push(film);
        }
        films
    }

    /// What every file came to.
    pub fn reports(&self) -> &[JoinReport] {
        &self.reports
    }
}

/// A title of Wikipedia without what tells its page from others: "Zathura (2005 film)" is "Zathura".
fn without_disambiguation(title: &str) -> &str {
    const KINDS: [&str; 6] = ["film", "movie", "serial", "series", "miniseries", "special"];
    title
        .strip_suffix(')')
        .and_then(|rest| rest.rsplit_once(" ("))
        .filter(|(_, inside)| inside.split(' ').next_back().is_some_and(|last| KINDS.contains(&last)))
        .map_or(title, |(name, _)| name.trim_end())
}

/// Refuses a file that names no films or says nothing of them that we keep.
fn check<'a>(name: &str, columns: impl Iterator<Item = &'a str>) -> Result<(), CatalogueError> {
    const WANTED: [&str; 7] =
        ["plot", "votes", "vote_count", "sources", "original_language", "languages", "year"];
    let columns: Vec<&str> = columns.collect();
    let refuse =
        |what| Err(CatalogueError::NothingToJoin { name: name.to_owned(), what, found: columns.join(", ") });
    if !columns.iter().any(|column| IDS.contains(column) || *column == PAGE) {
        return refuse("no column says which film a row is about");
    }
    if !columns.iter().any(|column| WANTED.contains(column)) {
        return refuse("no column says anything to add");
    }
    Ok(())
}
