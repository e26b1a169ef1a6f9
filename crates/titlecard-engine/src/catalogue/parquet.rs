//! Parquet: rows of any file as JSON objects, and the prepared catalogue as a Parquet file.

use std::fs::File;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::Field;
use parquet::record::reader::RowIter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Map, Value};

use super::prepared::for_each_prepared;
use super::{CatalogueError, Film};
use crate::artifact::{ArtifactError, write_atomically};
use crate::progress::{Interrupted, Progress, Report};

/// The rows of a Parquet file, one after the other.
#[allow(clippy::struct_field_names, reason = "rows and their number are what it is about")]
pub(super) struct Rows {
    rows: RowIter<'static>,
    /// Names of the columns.
    pub(super) columns: Vec<String>,
    /// Number of rows.
    pub(super) n_rows: u64,
}

impl Rows {
    /// Opens a Parquet file.
    pub(super) fn open(file: File, name: &str) -> Result<Self, CatalogueError> {
        let damaged = |error: &ParquetError| damaged(name, error);
        let reader = whole(|| SerializedFileReader::new(file)).map_err(|error| damaged(&error))?;
        let metadata = reader.metadata().file_metadata();
        let columns = metadata.schema().get_fields().iter().map(|field| field.name().to_owned()).collect();
        let n_rows = metadata.num_rows().max(0) as u64;
        Ok(Self { rows: reader.into_iter(), columns, n_rows })
    }

    /// The next row.
    pub(super) fn next(&mut self, name: &str) -> Result<Option<Map<String, Value>>, CatalogueError> {
        let next = whole(|| self.rows.next().transpose()).map_err(|error| damaged(name, &error))?;
        let Some(row) = next else { return Ok(None) };
        Ok(Some(row.into_columns().into_iter().map(|(name, field)| (name, value_of(&field))).collect()))
    }
}

/// Runs a part of the reader, which takes some damage for a fault of its caller and panics: that is an error too. What
/// was being read is not used again.
fn whole<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_panic| Err(ParquetError::General("its bytes do not fit together".to_owned())))
}

fn damaged(name: &str, error: &ParquetError) -> CatalogueError {
    CatalogueError::Packed {
        name: name.to_owned(),
        what: format!(
            "it is a Parquet file that cannot be read ({error}); write it anew, packed by snappy or zstd"
        ),
    }
}

fn value_of(field: &Field) -> Value {
    match field {
        Field::Bool(value) => Value::Bool(*value),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        Field::Float(value) => number(f64::from(*value)),
        Field::Double(value) => number(*value),
        Field::Str(value) => Value::String(value.clone()),
        Field::Bytes(value) => Value::String(String::from_utf8_lossy(value.data()).into_owned()),
        Field::Date(days) => Value::String(date(i64::from(*days))),
        Field::TimestampMillis(time) => Value::String(date(time.div_euclid(86_400_000))),
        Field::TimestampMicros(time) => Value::String(date(time.div_euclid(86_400_000_000))),
        Field::ListInternal(list) => Value::Array(list.elements().iter().map(value_of).collect()),
        Field::Group(row) => {
            row.get_column_iter().map(|(name, field)| (name.clone(), value_of(field))).collect()
        }
        _ => Value::Null,
    }
}

/// Whole numbers as such: ids are often read as floats where a column has gaps.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { (value as i64).into() } else { value.into() }
}

/// The day that is `days` after 1970-01-01, as `YYYY-MM-DD` (Gregorian calendar; years are counted from March, so that
/// the day that comes and goes is the last one).
fn date(days: i64) -> String {
    let from_march_0 = days + 719_468;
    let (era, day_of_era) = (from_march_0.div_euclid(146_097), from_march_0.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

const SCHEMA: &str = "message film {
    REQUIRED BINARY id (UTF8);
    REQUIRED BINARY title (UTF8);
    OPTIONAL BINARY original_title (UTF8);
    OPTIONAL INT32 year;
    REQUIRED GROUP genres (LIST) { REPEATED GROUP list { REQUIRED BINARY element (UTF8); } }
    REQUIRED GROUP keywords (LIST) { REPEATED GROUP list { REQUIRED BINARY element (UTF8); } }
    OPTIONAL BINARY overview (UTF8);
    REQUIRED GROUP cast (LIST) { REPEATED GROUP list { REQUIRED BINARY element (UTF8); } }
    REQUIRED GROUP directors (LIST) { REPEATED GROUP list { REQUIRED BINARY element (UTF8); } }
    REQUIRED GROUP countries (LIST) { REPEATED GROUP list { REQUIRED BINARY element (UTF8); } }
    REQUIRED GROUP languages (LIST) { REPEATED GROUP list { REQUIRED BINARY element (UTF8); } }
    REQUIRED GROUP companies (LIST) { REPEATED GROUP list { REQUIRED BINARY element (UTF8); } }
    REQUIRED GROUP collections (LIST) { REPEATED GROUP list { REQUIRED BINARY element (UTF8); } }
    OPTIONAL BINARY plot (UTF8);
    OPTIONAL INT64 votes;
    REQUIRED BINARY tags (UTF8);
}";

/// Films of one row group: what is held in memory at a time.
const GROUP: usize = 20_000;

/// Writes the prepared catalogue at `films` as a Parquet file at `path`, and says how many films it has. Memory is that
/// of one row group (20,000 films).
///
/// # Errors
/// [`CatalogueError`] if the catalogue is not there or damaged, the file cannot be written, or the step is stopped; a
/// file that was at `path` is then as it was.
pub fn export_parquet(films: &Path, path: &Path, report: &mut Report<'_>) -> Result<u64, CatalogueError> {
    const STEP: &str = "writing Parquet";
    let mut n_films = 0;
    write_atomically(path, |out: &mut dyn Write| -> Result<(), CatalogueError> {
        // The writer wants to give its output away to threads; this one stays on its own.
        let mut bytes = SerializedFileWriter::new(
            Vec::new(),
            Arc::new(parse_message_type(SCHEMA).map_err(|error| unwritten(path, error))?),
            Arc::new(
                WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_created_by(concat!("titlecard ", env!("CARGO_PKG_VERSION")).to_owned())
                    .build(),
            ),
        )
        .map_err(|error| unwritten(path, error))?;
        let mut group: Vec<Film> = Vec::with_capacity(GROUP);
        let mut flush = |group: &mut Vec<Film>, n_films: &mut u64| -> Result<(), CatalogueError> {
            if group.is_empty() {
                return Ok(());
            }
            let mut row_group = bytes.next_row_group().map_err(|error| unwritten(path, error))?;
            write_group(&mut row_group, group).map_err(|error| unwritten(path, error))?;
            row_group.close().map_err(|error| unwritten(path, error))?;
            *n_films += group.len() as u64;
            group.clear();
            let buffer = bytes.inner_mut();
            out.write_all(buffer).map_err(ArtifactError::io("write", path))?;
            buffer.clear();
            let progress = Progress { step: STEP, done: *n_films, total: 0, note: "films" };
            if report(&progress).is_break() {
                return Err(Interrupted { step: STEP }.into());
            }
            Ok(())
        };
        for_each_prepared(films, &mut |film| {
            group.push(film);
            if group.len() == GROUP { flush(&mut group, &mut n_films) } else { Ok(()) }
        })?;
        flush(&mut group, &mut n_films)?;
        let rest = bytes.into_inner().map_err(|error| unwritten(path, error))?;
        out.write_all(&rest).map_err(ArtifactError::io("write", path))?;
        Ok(())
    })?;
    Ok(n_films)
}

fn unwritten(path: &Path, error: ParquetError) -> CatalogueError {
    ArtifactError::io("write", path)(std::io::Error::other(error)).into()
}

fn write_group<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    films: &[Film],
) -> Result<(), ParquetError> {
    texts(group, films, |film| Some(&film.id), true)?;
    texts(group, films, |film| Some(&film.title), true)?;
    texts(group, films, |film| film.original_title.as_ref(), false)?;
    let years: Vec<i32> = films.iter().filter_map(|film| film.year).collect();
    let levels: Vec<i16> = films.iter().map(|film| i16::from(film.year.is_some())).collect();
    column(group, |writer| writer.typed::<Int32Type>().write_batch(&years, Some(&levels), None))?;
    lists(group, films, |film| &film.genres)?;
    lists(group, films, |film| &film.keywords)?;
    texts(group, films, |film| Some(&film.overview), false)?;
    lists(group, films, |film| &film.cast)?;
    lists(group, films, |film| &film.directors)?;
    lists(group, films, |film| &film.countries)?;
    lists(group, films, |film| &film.languages)?;
    lists(group, films, |film| &film.companies)?;
    lists(group, films, |film| &film.collections)?;
    texts(group, films, |film| Some(&film.plot), false)?;
    let votes: Vec<i64> = films.iter().filter_map(|film| film.votes).map(i64::from).collect();
    let levels: Vec<i16> = films.iter().map(|film| i16::from(film.votes.is_some())).collect();
    column(group, |writer| writer.typed::<Int64Type>().write_batch(&votes, Some(&levels), None))?;
    texts(group, films, |film| Some(&film.tags), true)
}

fn column<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    write: impl FnOnce(&mut parquet::file::writer::SerializedColumnWriter<'_>) -> Result<usize, ParquetError>,
) -> Result<(), ParquetError> {
    let mut writer =
        group.next_column()?.ok_or_else(|| ParquetError::General("fewer columns than fields".to_owned()))?;
    write(&mut writer)?;
    writer.close()
}

/// A column of texts; where it is not `required`, blank ones are null.
fn texts<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    films: &[Film],
    text: impl Fn(&Film) -> Option<&String>,
    required: bool,
) -> Result<(), ParquetError> {
    let known = |film| text(film).filter(|text: &&String| required || !text.is_empty());
    let values: Vec<ByteArray> =
        films.iter().filter_map(known).map(|text| ByteArray::from(text.as_str())).collect();
    let levels: Vec<i16> = films.iter().map(|film| i16::from(known(film).is_some())).collect();
    let levels = (!required).then_some(levels);
    column(group, |writer| writer.typed::<ByteArrayType>().write_batch(&values, levels.as_deref(), None))
}

/// A column of lists: level 0 for an empty one, 1 for each item; the first item of a film repeats nothing.
fn lists<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    films: &[Film],
    list: impl Fn(&Film) -> &Vec<String>,
) -> Result<(), ParquetError> {
    let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
    for film in films {
        let items = list(film);
        if items.is_empty() {
            defined.push(0);
            repeated.push(0);
        }
        for (at, item) in items.iter().enumerate() {
            values.push(ByteArray::from(item.as_str()));
            defined.push(1);
            repeated.push(i16::from(at > 0));
        }
    }
    column(group, |writer| {
        writer.typed::<ByteArrayType>().write_batch(&values, Some(&defined), Some(&repeated))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        // python3 -c "import datetime; print(datetime.date(1970,1,1)+datetime.timedelta(days=-27000))" and so on.
        for (days, expected) in
            [(0, "1970-01-01"), (-27_000, "1896-01-29"), (11_016, "2000-02-29"), (20_000, "2024-10-04")]
        {
            assert_eq!(date(days), expected);
        }
    }
}
