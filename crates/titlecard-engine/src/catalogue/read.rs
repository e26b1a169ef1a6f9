//! Streaming reader of catalogues: CSV, TSV, JSON lines and Parquet, plain or packed.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Read};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::ByteRecord;
use serde_json::Value;

use super::cells::{ListStyle, Year, list_of_value, parse_list, parse_votes, parse_year, text_of_value};
use super::columns::Columns;
use super::open::{MAX_UNPACKED, Opened, RecordBytes, decompress, is_end, is_unclosed, open, with_end};
use super::parquet::Rows;
use super::report::{CleaningReport, Reason};
use super::suspicion::Suspicions;
use super::{CatalogueError, Film, OtherIds};
use crate::progress::Interrupted;

/// How to read a catalogue.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Our field to the column it is read from, where the header does not tell.
    pub columns: BTreeMap<String, String>,
    /// Films to keep at most.
    pub limit: Option<usize>,
    /// Keep films marked as adult.
    pub keep_adult: bool,
    /// Of a `.zip`, the file in it to read; blank for the only table there is.
    pub member: String,
    /// Bytes a packed file may unpack to.
    pub max_unpacked: u64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            columns: BTreeMap::new(),
            limit: None,
            keep_adult: false,
            member: String::new(),
            max_unpacked: MAX_UNPACKED,
        }
    }
}

/// Fields that are lists.
const LISTS: [&str; 8] =
    ["genres", "keywords", "cast", "directors", "countries", "languages", "companies", "collections"];
/// Rows looked at to see how lists are written, before the first film is made.
const LOOK_AHEAD: usize = 200;
/// A broken row over more lines than this is a quote that was never closed.
const LINES_OF_UNCLOSED_QUOTE: u64 = 100;
/// Rows between two reports of progress.
const REPORT_EVERY: u64 = 1024;

/// Reads the catalogue at `path`, calling `on_film` for every film kept, in file order.
///
/// `on_bytes` receives bytes read and bytes in all now and then; breaking off there is
/// [`CatalogueError::Interrupted`], breaking off in `on_film` ends the reading early without error.
///
/// # Errors
/// [`CatalogueError`] if the file cannot be read or has the wrong shape; a broken row is no error.
pub fn read_films(
    path: &Path,
    options: &ReadOptions,
    on_film: &mut dyn FnMut(Film) -> ControlFlow<()>,
    on_bytes: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<CleaningReport, CatalogueError> {
    let name = path.display().to_string();
    let fail = |source| CatalogueError::Io { name: name.clone(), source };
    let n_read = Arc::new(AtomicU64::new(0));
    let opened = open(path, &options.member, options.max_unpacked, &n_read)?;
    let total = std::fs::metadata(path).map_err(fail)?.len();
    match opened {
        Opened::Text(reader) => read_any(reader, &name, options, on_film, &mut || {
            on_bytes(n_read.load(Ordering::Relaxed).min(total), total)
        }),
        Opened::Parquet(file) => read_parquet(file, &name, options, on_film, on_bytes),
    }
}

/// [`read_films`] for bytes from anywhere; `name` is for messages.
///
/// # Errors
/// As [`read_films`].
pub fn read_films_from(
    reader: impl Read + Send + 'static,
    name: &str,
    options: &ReadOptions,
    on_film: &mut dyn FnMut(Film) -> ControlFlow<()>,
) -> Result<CleaningReport, CatalogueError> {
    let reader = decompress(BufReader::new(reader), options.max_unpacked)
        .map_err(|source| CatalogueError::Io { name: name.to_owned(), source })?;
    read_any(reader, name, options, on_film, &mut || ControlFlow::Continue(()))
}

fn read_any(
    mut reader: Box<dyn BufRead + Send>,
    name: &str,
    options: &ReadOptions,
    on_film: &mut dyn FnMut(Film) -> ControlFlow<()>,
    on_rows: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<CleaningReport, CatalogueError> {
    let fail = |source| CatalogueError::Io { name: name.to_owned(), source };
    let head = reader.fill_buf().map_err(fail)?;
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    if text.is_empty() {
        return Err(CatalogueError::EmptyFile { name: name.to_owned() });
    }
    if text.starts_with(b"[") && text[1..].trim_ascii_start().starts_with(b"{") {
        return Err(CatalogueError::JsonArray { name: name.to_owned() });
    }
    let is_json = text.starts_with(b"{");
    let (delimiter, lines_behind) = (delimiter_of(text), lines_behind(text));
    let cleaner = Cleaner::new(name, options, on_film, on_rows);
    finish(if is_json {
        read_json_lines(reader, cleaner)
    } else {
        read_csv(reader, delimiter, lines_behind, cleaner)
    }?)
}

fn read_parquet(
    file: File,
    name: &str,
    options: &ReadOptions,
    on_film: &mut dyn FnMut(Film) -> ControlFlow<()>,
    on_rows: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<CleaningReport, CatalogueError> {
    let mut rows = Rows::open(file, name)?;
    if rows.n_rows == 0 {
        return Err(CatalogueError::EmptyFile { name: name.to_owned() });
    }
    let (n_rows, mut row) = (rows.n_rows, 0);
    let columns = Columns::locate(&rows.columns, &options.columns, name)?;
    let reached = Cell::new(0);
    let mut on_rows = || on_rows(reached.get(), n_rows);
    let mut cleaner = Cleaner::new(name, options, on_film, &mut on_rows);
    columns.shape.clone_into(&mut cleaner.report.shape);
    cleaner.report.columns = columns.names();
    cleaner.report.made_ids = columns.position("id").is_none();
    let keys = rows.columns.clone();
    while let Some(fields) = rows.next(name)? {
        row += 1;
        reached.set(row);
        cleaner.count()?;
        if take_object(&fields, &columns, &keys, row, false, &mut cleaner).is_break() {
            break;
        }
    }
    finish(cleaner)
}

/// The report, unless nothing was kept.
fn finish(cleaner: Cleaner<'_>) -> Result<CleaningReport, CatalogueError> {
    let Cleaner { name, mut report, suspicions, .. } = cleaner;
    report.suspicious = suspicions.finish(report.rows_read);
    if report.kept == 0 && !report.stopped_at_limit {
        return Err(CatalogueError::NoFilm { name: name.to_owned(), report: Box::new(report) });
    }
    Ok(report)
}

/// The separator that occurs most often in the first line.
pub(super) fn delimiter_of(text: &[u8]) -> u8 {
    let line = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| line.iter().filter(|&&byte| byte == delimiter).count();
    // Of equal ones the last is taken, so the comma wins.
    [b';', b'\t', b','].into_iter().max_by_key(|&delimiter| count(delimiter)).unwrap_or(b',')
}

/// How far behind the `csv` crate's line numbers are: it leaves the line feed of `\r\n` to the next
/// record, which then seems to begin a line earlier.
fn lines_behind(text: &[u8]) -> u64 {
    let end = text.iter().position(|&byte| byte == b'\n');
    u64::from(end.is_some_and(|end| end > 0 && text[end - 1] == b'\r'))
}

/// Checks rows and hands on films.
struct Cleaner<'a> {
    name: &'a str,
    options: &'a ReadOptions,
    on_film: &'a mut dyn FnMut(Film) -> ControlFlow<()>,
    on_rows: &'a mut dyn FnMut() -> ControlFlow<()>,
    report: CleaningReport,
    /// Hashes, not texts: a few bytes a film. With ten million films the chance that any two of their
    /// ids collide in 64 bits is about 3 in a million.
    ids: HashSet<u64>,
    overviews: HashSet<u64>,
    suspicions: Suspicions,
}

/// A row with its cells under our names; lists are still as written.
struct Row {
    film: Film,
    is_adult: bool,
    year: Year,
    has_bad_list: bool,
    is_not_utf8: bool,
}

impl<'a> Cleaner<'a> {
    fn new(
        name: &'a str,
        options: &'a ReadOptions,
        on_film: &'a mut dyn FnMut(Film) -> ControlFlow<()>,
        on_rows: &'a mut dyn FnMut() -> ControlFlow<()>,
    ) -> Self {
        Self {
            name,
            options,
            on_film,
            on_rows,
            report: CleaningReport { source: name.to_owned(), ..CleaningReport::default() },
            ids: HashSet::new(),
            overviews: HashSet::new(),
            suspicions: Suspicions::default(),
        }
    }

    /// Takes a row; breaks when no more are wanted.
    fn row(&mut self, row: Row, line: u64) -> ControlFlow<()> {
        let Row { mut film, is_adult, year, has_bad_list, is_not_utf8 } = row;
        film.title = film.title.trim().to_owned();
        film.overview = film.overview.trim().to_owned();
        film.tags = film.tags.trim().to_owned();
        if film.title.is_empty() {
            self.report.note(Reason::MissingTitle, line);
            return ControlFlow::Continue(());
        }
        if film.tags.is_empty() && film.overview.is_empty() {
            self.report.note(Reason::MissingText, line);
            return ControlFlow::Continue(());
        }
        if is_adult {
            self.suspicions.adult(&film.title);
        }
        if is_adult && !self.options.keep_adult {
            self.report.note(Reason::Adult, line);
            return ControlFlow::Continue(());
        }
        film.id = film.id.trim().to_owned();
        if film.id.is_empty() {
            film.id = format!("row-{}", self.report.rows_read);
        }
        if !self.ids.insert(hash(&film.id)) {
            self.report.note(Reason::DuplicateId, line);
            return ControlFlow::Continue(());
        }
        if film.tags.is_empty() {
            film.tags = film.build_tags();
        }
        if film
            .original_title
            .as_deref()
            .is_some_and(|original| original.trim().is_empty() || original == film.title)
        {
            film.original_title = None;
        }
        match year {
            Year::Known(year) => film.year = Some(year),
            Year::Bad => self.report.note(Reason::BadYear, line),
            Year::None => {}
        }
        if has_bad_list {
            self.report.note(Reason::BadList, line);
        }
        if is_not_utf8 {
            self.report.note(Reason::NotUtf8, line);
        }
        let overview = hash(&film.overview);
        let repeats = !film.overview.is_empty() && !self.overviews.insert(overview);
        if repeats {
            self.report.note(Reason::RepeatedOverview, line);
        }
        self.suspicions.look(&film, repeats.then_some(overview));
        self.report.kept += 1;
        (self.on_film)(film)?;
        if self.options.limit.is_some_and(|limit| self.report.kept >= limit as u64) {
            self.report.stopped_at_limit = true;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Counts a row and reports progress.
    fn count(&mut self) -> Result<(), Interrupted> {
        self.report.rows_read += 1;
        if self.report.rows_read % REPORT_EVERY == 1 && (self.on_rows)().is_break() {
            return Err(Interrupted { step: "reading catalogue" });
        }
        Ok(())
    }
}

/// A hash that tells texts apart.
pub(super) fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn read_csv(
    reader: Box<dyn BufRead + Send>,
    delimiter: u8,
    lines_behind: u64,
    mut cleaner: Cleaner<'_>,
) -> Result<Cleaner<'_>, CatalogueError> {
    let name = cleaner.name;
    let fail = |error: csv::Error| CatalogueError::Io { name: name.to_owned(), source: error.into() };
    let bytes = RecordBytes::default();
    let reader = bytes.bound(with_end(reader));
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(reader);
    let header: Vec<String> = reader
        .byte_headers()
        .map_err(fail)?
        .iter()
        .map(|cell| String::from_utf8_lossy(cell).trim_start_matches('\u{feff}').to_owned())
        .collect();
    if reader.byte_headers().is_ok_and(is_unclosed) {
        let what = "its first line opens a quote that is never closed; close it".to_owned();
        return Err(CatalogueError::Packed { name: name.to_owned(), what });
    }
    let columns = Columns::locate(&header, &cleaner.options.columns, name)?;
    columns.shape.clone_into(&mut cleaner.report.shape);
    cleaner.report.columns = columns.names();
    cleaner.report.made_ids = columns.position("id").is_none();

    let mut ahead = Vec::new();
    let mut record = ByteRecord::new();
    while ahead.len() < LOOK_AHEAD && reader.read_byte_record(&mut record).map_err(fail)? {
        bytes.reset();
        if !is_end(&record) {
            ahead.push((record.clone(), lines_of(&record, &reader, lines_behind)));
        }
    }
    let styles = LISTS.map(|field| {
        let cells = ahead.iter().filter_map(|(record, _)| record.get(columns.position(field)?));
        ListStyle::of(field, cells.filter_map(|cell| std::str::from_utf8(cell).ok()))
    });
    for (record, lines) in &ahead {
        cleaner.count()?;
        if take_record(record, lines, &columns, styles, header.len(), &mut cleaner).is_break() {
            return Ok(cleaner);
        }
    }
    drop(ahead);
    while reader.read_byte_record(&mut record).map_err(fail)? {
        bytes.reset();
        if is_end(&record) {
            break;
        }
        cleaner.count()?;
        let lines = lines_of(&record, &reader, lines_behind);
        if take_record(&record, &lines, &columns, styles, header.len(), &mut cleaner).is_break() {
            break;
        }
    }
    Ok(cleaner)
}

/// First line of a record, from 1, and where the reader is after it.
fn lines_of<R: Read>(record: &ByteRecord, reader: &csv::Reader<R>, lines_behind: u64) -> Range<u64> {
    record.position().map_or(0, csv::Position::line) + lines_behind..reader.position().line() + lines_behind
}

fn take_record(
    record: &ByteRecord,
    lines: &Range<u64>,
    columns: &Columns,
    styles: [ListStyle; LISTS.len()],
    n_columns: usize,
    cleaner: &mut Cleaner<'_>,
) -> ControlFlow<()> {
    let line = lines.start;
    if is_unclosed(record) {
        cleaner.report.note(Reason::UnclosedQuote, line);
        return ControlFlow::Continue(());
    }
    if record.len() != n_columns {
        let is_unclosed = lines.end.saturating_sub(line) > LINES_OF_UNCLOSED_QUOTE;
        cleaner.report.note(if is_unclosed { Reason::UnclosedQuote } else { Reason::MalformedRow }, line);
        return ControlFlow::Continue(());
    }
    let mut is_not_utf8 = false;
    let mut text = |field: &str| {
        let Some(cell) = columns.position(field).and_then(|at| record.get(at)) else { return String::new() };
        let text = String::from_utf8_lossy(cell);
        is_not_utf8 |= matches!(text, std::borrow::Cow::Owned(_));
        text.into_owned()
    };
    let mut has_bad_list = false;
    let mut lists = LISTS.into_iter().zip(styles).map(|(field, style)| {
        parse_list(&text(field), style).unwrap_or_else(|| {
            has_bad_list = true;
            Vec::new()
        })
    });
    let mut next = || lists.next().unwrap_or_default();
    let (genres, keywords, cast) = (next(), next(), next());
    let (directors, countries, languages) = (next(), next(), next());
    let (companies, collections) = (next(), next());
    drop(lists);
    let film = Film {
        id: text("id"),
        title: text("title"),
        original_title: Some(text("original_title")),
        year: None,
        genres,
        keywords,
        overview: text("overview"),
        cast,
        directors,
        countries,
        languages,
        companies,
        collections,
        plot: String::new(),
        votes: parse_votes(&text("votes")),
        tags: text("tags"),
        other_ids: None,
    };
    let year = parse_year(&text("year"));
    let is_adult = matches!(text("adult").trim(), "True" | "true" | "TRUE" | "1");
    let other_ids = OtherIds::of(&text("imdb_id"), &text("wikipedia_id"));
    let film = Film { other_ids, ..film };
    cleaner.row(Row { film, is_adult, year, has_bad_list, is_not_utf8 }, line)
}

fn read_json_lines(
    reader: Box<dyn BufRead + Send>,
    mut cleaner: Cleaner<'_>,
) -> Result<Cleaner<'_>, CatalogueError> {
    let name = cleaner.name;
    let fail = |source| CatalogueError::Io { name: name.to_owned(), source };
    let mut columns: Option<(Columns, Vec<String>)> = None;
    let bound = RecordBytes::default();
    let mut reader = BufReader::new(bound.bound(reader));
    let mut bytes = Vec::new();
    let mut line = 0;
    loop {
        bytes.clear();
        line += 1;
        bound.reset();
        if reader.read_until(b'\n', &mut bytes).map_err(fail)? == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&bytes);
        let is_not_utf8 = matches!(text, std::borrow::Cow::Owned(_));
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            continue;
        }
        cleaner.count()?;
        let Ok(Value::Object(fields)) = serde_json::from_str::<Value>(text) else {
            cleaner.report.note(Reason::MalformedRow, line);
            continue;
        };
        // Lines may leave fields out: the keys of the first that fits say what the fields are called,
        // and a line with new keys is looked at anew.
        let keys: Vec<String> = fields.keys().cloned().collect();
        if columns.as_ref().is_none_or(|(_, seen)| *seen != keys) {
            match Columns::locate(&keys, &cleaner.options.columns, name) {
                Ok(located) => {
                    if cleaner.report.columns.is_empty() {
                        located.shape.clone_into(&mut cleaner.report.shape);
                        cleaner.report.made_ids = located.position("id").is_none();
                    }
                    cleaner.report.columns.extend(located.names());
                    columns = Some((located, keys.clone()));
                }
                Err(error) if columns.is_none() => return Err(error),
                Err(_) => {
                    let reason =
                        if fields.contains_key("title") { Reason::MissingText } else { Reason::MissingTitle };
                    cleaner.report.note(reason, line);
                    continue;
                }
            }
        }
        let Some((columns, _)) = &columns else { continue };
        if take_object(&fields, columns, &keys, line, is_not_utf8, &mut cleaner).is_break() {
            break;
        }
    }
    Ok(cleaner)
}

/// Takes a row that came as a JSON object.
fn take_object(
    fields: &serde_json::Map<String, Value>,
    columns: &Columns,
    keys: &[String],
    line: u64,
    is_not_utf8: bool,
    cleaner: &mut Cleaner<'_>,
) -> ControlFlow<()> {
    let value = |field: &str| columns.position(field).and_then(|at| fields.get(&keys[at]));
    let text = |field: &str| value(field).and_then(text_of_value).unwrap_or_default();
    let list = |field: &str| value(field).map(|value| list_of_value(field, value)).unwrap_or_default();
    let film = Film {
        id: text("id"),
        title: text("title"),
        original_title: Some(text("original_title")),
        year: None,
        genres: list("genres"),
        keywords: list("keywords"),
        overview: text("overview"),
        cast: list("cast"),
        directors: list("directors"),
        countries: list("countries"),
        languages: list("languages"),
        companies: list("companies"),
        collections: list("collections"),
        plot: String::new(),
        votes: parse_votes(&text("votes")),
        tags: text("tags"),
        other_ids: OtherIds::of(&text("imdb_id"), &text("wikipedia_id")),
    };
    let is_adult = value("adult").is_some_and(|value| *value == Value::Bool(true));
    let row = Row { film, is_adult, year: parse_year(&text("year")), has_bad_list: false, is_not_utf8 };
    cleaner.row(row, line)
}
