//! Test queries: texts with the film each one is about.
//!
//! One JSON object a line, plain or compressed (`.gz`, `.zst`): `query_id`, `text` and the film as
//! `film_id` or `ids.tmdb`; `split` (`train`, `dev`, `test`) and `title_in_text` are used if present.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::catalogue::{Split, open_decompressed};

/// Why queries could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The file cannot be read.
    #[error("cannot read queries from `{}`: {message}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        message: String,
    },
    /// A line is not a query.
    #[error(
        "`{}`, line {line}: {what}; a query is one JSON object a line with `query_id`, `text` and `film_id`",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What does not fit.
        what: String,
    },
    /// No query at all.
    #[error("`{}` has no query", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// A query with the film it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Unique name.
    pub query_id: String,
    /// What the person wrote.
    pub text: String,
    /// Id of the film in the catalogue.
    pub film_id: String,
    /// The part of the data it belongs to, if the file says.
    pub split: Option<Split>,
    /// The text contains the film's title: too easy to count.
    pub title_in_text: bool,
}

#[derive(Deserialize)]
struct Line {
    query_id: Id,
    text: String,
    film_id: Option<Id>,
    #[serde(default)]
    ids: Ids,
    split: Option<Split>,
    #[serde(default)]
    title_in_text: bool,
}

#[derive(Deserialize, Default)]
struct Ids {
    tmdb: Option<Id>,
    wikipedia: Option<Id>,
}

/// Ids are numbers in some files and texts in others.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
}

impl Id {
    fn into_text(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

/// Reads all queries of the file at `path`; those that name no film are left out.
///
/// # Errors
/// [`QueryError`] naming file and line.
pub fn read_queries(path: &Path) -> Result<Vec<Query>, QueryError> {
    let io = |message: String| QueryError::Io { path: path.to_owned(), message };
    let reader = open_decompressed(path).map_err(|error| io(error.to_string()))?;
    parse_queries(BufReader::new(reader), path)
}

/// Reads queries from lines already opened; `path` is for messages.
///
/// # Errors
/// [`QueryError`].
pub fn parse_queries(reader: impl BufRead, path: &Path) -> Result<Vec<Query>, QueryError> {
    let (mut queries, mut seen) = (Vec::new(), HashSet::new());
    for (at, line) in reader.lines().enumerate() {
        let malformed = |what: String| QueryError::Malformed { path: path.to_owned(), line: at + 1, what };
        let line =
            line.map_err(|error| QueryError::Io { path: path.to_owned(), message: error.to_string() })?;
        if line.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(&line).map_err(|error| malformed(error.to_string()))?;
        let query_id = line.query_id.into_text();
        if !seen.insert(query_id.clone()) {
            return Err(malformed(format!("query id `{query_id}` is used twice")));
        }
        let Ids { tmdb, wikipedia } = line.ids;
        let page = wikipedia.map(|id| crate::catalogue::id_of_page(&id.into_text()));
        let Some(film_id) = line.film_id.or(tmdb).map(Id::into_text).or(page) else { continue };
        queries.push(Query {
            query_id,
            text: line.text,
            film_id,
            split: line.split,
            title_in_text: line.title_in_text,
        });
    }
    if queries.is_empty() {
        return Err(QueryError::Empty { path: path.to_owned() });
    }
    Ok(queries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Query>, QueryError> {
        parse_queries(text.as_bytes(), Path::new("q.jsonl"))
    }

    #[test]
    fn both_ways_to_name_a_film_are_read() {
        let queries = parse(concat!(
            "{\"query_id\": \"a\", \"text\": \"sled\", \"film_id\": 15, \"split\": \"dev\"}\n\n",
            "{\"query_id\": 2, \"text\": \"x\", \"ids\": {\"tmdb\": 7, \"imdb\": \"tt1\"}, \"title_in_text\": true}\n",
            "{\"query_id\": \"c\", \"text\": \"its page\", \"ids\": {\"wikipedia\": \"9\"}}\n",
            "{\"query_id\": \"d\", \"text\": \"no film\", \"ids\": {}}\n",
        ))
        .unwrap();
        assert_eq!(queries.len(), 3);
        assert_eq!(queries[2].film_id, "wikipedia-9", "a film only Wikipedia knows");
        assert_eq!((queries[0].film_id.as_str(), queries[0].split), ("15", Some(Split::Dev)));
        assert_eq!((queries[1].film_id.as_str(), queries[1].title_in_text), ("7", true));
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let message = |text| parse(text).unwrap_err().to_string();
        assert!(message("{\"text\": 1}").starts_with("`q.jsonl`, line 1:"));
        let twice = "{\"query_id\": 1, \"text\": \"a\", \"film_id\": 1}\n";
        let twice = twice.repeat(2);
        assert!(message(&twice).contains("line 2: query id `1` is used twice"));
        assert_eq!(message("\n"), "`q.jsonl` has no query");
        assert!(read_queries(Path::new("/nowhere/q")).unwrap_err().to_string().starts_with("cannot read"));
    }
}
