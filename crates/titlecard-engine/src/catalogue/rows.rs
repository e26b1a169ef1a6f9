//! Rows of any file under the names of its columns: what sources beside the first are read as.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use super::CatalogueError;
use super::open::{Opened, RecordBytes, is_end, is_unclosed, open, with_end};
use super::parquet::Rows;
use super::read::delimiter_of;
use crate::progress::Interrupted;

/// A row: its cells by the plain name of their column (lower case, `_` for blanks and hyphens).
pub(super) type Cells<'r> = dyn Fn(&str) -> Option<Value> + 'r;

/// What a reader of rows came to.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) rows_read: u64,
    /// Rows that are none.
    pub(super) broken: u64,
}

const REPORT_EVERY: u64 = 1024;

/// The plain form of a column's name.
pub(super) fn plain(column: &str) -> String {
    column.trim_matches(['\u{feff}', ' ']).to_lowercase().replace([' ', '-'], "_")
}

/// Hands on every row of the file at `path`: its number from 1, and its cells. `on_columns` sees the columns first.
pub(super) fn for_each_row(
    path: &Path,
    member: &str,
    max_unpacked: u64,
    on_columns: &mut dyn FnMut(&[String]) -> Result<(), CatalogueError>,
    on_row: &mut dyn FnMut(u64, &Cells<'_>),
    on_bytes: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<Counts, CatalogueError> {
    let name = path.display().to_string();
    let n_read = Arc::new(AtomicU64::new(0));
    let opened = open(path, member, max_unpacked, &n_read)?;
    let total =
        std::fs::metadata(path).map_err(|source| CatalogueError::Io { name: name.clone(), source })?.len();
    let mut counts = Counts::default();
    let mut count = |counts: &mut Counts| {
        counts.rows_read += 1;
        let stop = counts.rows_read % REPORT_EVERY == 1
            && on_bytes(n_read.load(Ordering::Relaxed).min(total), total).is_break();
        if stop { Err(Interrupted { step: "reading sources" }) } else { Ok(()) }
    };
    let mut reader = match opened {
        Opened::Parquet(file) => {
            let mut rows = Rows::open(file, &name)?;
            let columns: Vec<String> = rows.columns.iter().map(|column| plain(column)).collect();
            on_columns(&columns)?;
            while let Some(fields) = rows.next(&name)? {
                count(&mut counts)?;
                let fields: Map<String, Value> =
                    fields.into_iter().map(|(column, value)| (plain(&column), value)).collect();
                on_row(counts.rows_read, &|column| fields.get(column).cloned());
            }
            return Ok(counts);
        }
        Opened::Text(reader) => reader,
    };
    let fail = |source| CatalogueError::Io { name: name.clone(), source };
    let head = reader.fill_buf().map_err(fail)?;
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    if head.is_empty() {
        return Err(CatalogueError::EmptyFile { name });
    }
    if head.starts_with(b"[") && head[1..].trim_ascii_start().starts_with(b"{") {
        return Err(CatalogueError::JsonArray { name });
    }
    let bytes = RecordBytes::default();
    if head.starts_with(b"{") {
        let mut reader = BufReader::new(bytes.bound(reader));
        let mut line = Vec::new();
        let mut is_checked = false;
        loop {
            line.clear();
            bytes.reset();
            if reader.read_until(b'\n', &mut line).map_err(fail)? == 0 {
                return Ok(counts);
            }
            let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line).trim_ascii();
            if text.is_empty() {
                continue;
            }
            count(&mut counts)?;
            let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(text) else {
                counts.broken += 1;
                continue;
            };
            let fields: Map<String, Value> =
                fields.into_iter().map(|(column, value)| (plain(&column), value)).collect();
            if !is_checked {
                on_columns(&fields.keys().cloned().collect::<Vec<_>>())?;
                is_checked = true;
            }
            on_row(counts.rows_read, &|column| fields.get(column).cloned());
        }
    }
    let delimiter = delimiter_of(head);
    let is_of_imdb = [&b"tconst\t"[..], b"titleId\t"].iter().any(|start| head.starts_with(start));
    let mut table = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        // IMDb's tables have no quotes, only characters that look like them.
        .quoting(!is_of_imdb)
        .flexible(true)
        .from_reader(bytes.bound(with_end(reader)));
    let csv_error = |error: csv::Error| CatalogueError::Io { name: name.clone(), source: error.into() };
    let header: Vec<String> = table
        .byte_headers()
        .map_err(csv_error)?
        .iter()
        .map(|cell| plain(&String::from_utf8_lossy(cell)))
        .collect();
    on_columns(&header)?;
    let position: HashMap<&str, usize> =
        header.iter().enumerate().rev().map(|(at, column)| (column.as_str(), at)).collect();
    let mut record = csv::ByteRecord::new();
    while table.read_byte_record(&mut record).map_err(csv_error)? {
        bytes.reset();
        if is_end(&record) {
            break;
        }
        count(&mut counts)?;
        if is_unclosed(&record) || record.len() != header.len() {
            counts.broken += 1;
            continue;
        }
        on_row(counts.rows_read, &|column| {
            let cell = record.get(*position.get(column)?)?;
            // How IMDb writes that there is nothing.
            (cell != b"\\N").then(|| Value::String(String::from_utf8_lossy(cell).into_owned()))
        });
    }
    Ok(counts)
}

/// Which column holds which field: the user's own names before the known ones.
pub(super) fn locate<'f>(
    columns: &[String],
    wanted: &BTreeMap<String, String>,
    fields: impl Iterator<Item = (&'f str, &'f [&'f str])>,
) -> Result<BTreeMap<&'f str, String>, (String, String)> {
    let mut found = BTreeMap::new();
    let mut unknown: BTreeMap<&String, &String> = wanted.iter().collect();
    for (field, aliases) in fields {
        if let Some(column) = wanted.get(field) {
            unknown.remove(&field.to_owned());
            if !columns.contains(&plain(column)) {
                return Err((field.to_owned(), column.clone()));
            }
            found.insert(field, plain(column));
        } else if let Some(alias) = aliases.iter().find(|alias| columns.iter().any(|column| column == *alias))
        {
            found.insert(field, (*alias).to_owned());
        }
    }
    match unknown.into_iter().next() {
        Some((field, _)) => Err((field.clone(), String::new())),
        None => Ok(found),
    }
}
