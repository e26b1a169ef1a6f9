//! Catalogues of whatever shape: films that are whole, or an error.

use std::io::Cursor;
use std::ops::ControlFlow;

use serde_json::{Value, json};
use titlecard_engine::catalogue::{
    CatalogueError, CleaningReport, Film, Joined, ReadOptions, SourceConfig, SourceKind, Sources, read_films,
    read_films_from,
};

use super::file_of;

/// Bytes a packed input may unpack to: enough for any film, little enough for thousands of inputs a second.
const MAX_UNPACKED: u64 = 1 << 20;

fn options() -> ReadOptions {
    ReadOptions { max_unpacked: MAX_UNPACKED, ..ReadOptions::default() }
}

/// The films of `bytes`, checked.
fn films_of(bytes: &[u8]) -> Vec<Film> {
    let mut films = Vec::new();
    let read = read_films_from(Cursor::new(bytes.to_vec()), "f", &options(), &mut |film| {
        films.push(film);
        ControlFlow::Continue(())
    });
    check(read, &films);
    films
}

fn check(read: Result<CleaningReport, CatalogueError>, films: &[Film]) {
    match read {
        Ok(report) => {
            assert_eq!(report.kept, films.len() as u64);
            assert!(report.rows_read >= report.kept && report.kept > 0);
            assert!(!report.to_string().is_empty());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    for film in films {
        for text in [&film.title, &film.tags, &film.id] {
            assert!(!text.trim().is_empty(), "{film:?}");
        }
        let saved = serde_json::to_string(film).expect("a film is plain data");
        let read: Film = serde_json::from_str(&saved).expect("what was written can be read");
        assert_eq!(read, Film { other_ids: None, ..film.clone() });
    }
}

/// `bytes`: a catalogue, plain or packed; read as one, as a source of every kind beside one, and as a file to join.
/// Parquet is left out: its reader panics on damaged files, which is caught where it is called, but not by libFuzzer.
///
/// # Panics
/// If a film is not whole, or cannot be written and read.
pub fn catalogue(bytes: &[u8]) {
    let films = films_of(bytes);
    if bytes.windows(4).any(|four| four == b"PAR1") {
        return;
    }
    let path = file_of("catalogue", bytes);
    let mut from_path = Vec::new();
    let on_bytes = &mut |_, _| ControlFlow::Continue(());
    let read = read_films(
        &path,
        &options(),
        &mut |film| {
            from_path.push(film);
            ControlFlow::Continue(())
        },
        on_bytes,
    );
    check(read, &from_path);
    // A `.zip` is one only where there is a file to go back in.
    if !bytes.starts_with(b"PK") {
        assert_eq!(from_path, films);
    }
    let known = [
        Film {
            id: "1".into(),
            title: "Jaws".into(),
            year: Some(1975),
            tags: "a shark".into(),
            ..Film::default()
        },
        Film { id: "2".into(), title: "Up".into(), tags: "a house".into(), ..Film::default() },
    ];
    for kind in [
        SourceKind::Films,
        SourceKind::Plots,
        SourceKind::Keywords,
        SourceKind::People,
        SourceKind::Titles,
        SourceKind::Votes,
        SourceKind::Ids,
    ] {
        let first = SourceConfig { path: "first".into(), ..SourceConfig::default() };
        let second = SourceConfig {
            path: path.display().to_string(),
            kind,
            adds: Some(true),
            ..SourceConfig::default()
        };
        let on_bytes = &mut |_: &str, _, _| ControlFlow::Continue(());
        let Ok(mut sources) = Sources::read(&[first, second], MAX_UNPACKED, false, on_bytes) else {
            continue;
        };
        if sources.looks_at_titles() {
            known.iter().for_each(|film| sources.look(film));
            sources.find_by_title();
        }
        for film in &known {
            let mut film = film.clone();
            sources.fill(&mut film);
            assert!(!film.title.is_empty() && !film.id.is_empty());
        }
        for film in sources.remaining() {
            assert!(
                !film.title.trim().is_empty() && !film.tags.trim().is_empty() && !film.id.is_empty(),
                "{film:?}"
            );
        }
        assert!(!sources.reports(2, 2).is_empty());
    }
    let mut joined = Joined::default();
    if joined.read(&path).is_ok() {
        known.iter().for_each(|film| joined.look(film));
        joined.find_by_title();
        let mut film = known[0].clone();
        joined.fill(&mut film);
        for film in joined.remaining() {
            assert!(!film.title.trim().is_empty() && !film.id.is_empty(), "{film:?}");
        }
    }
}

/// `bytes`: what stands in one cell, put into every column that is read, as CSV and as JSON.
///
/// # Panics
/// If a film is not whole, or its names are blank.
pub fn cells(bytes: &[u8]) {
    const COLUMNS: [&str; 14] = [
        "genres",
        "keywords",
        "cast",
        "crew",
        "director",
        "production_countries",
        "spoken_languages",
        "release_date",
        "vote_count",
        "adult",
        "imdb_id",
        "original_title",
        "original_language",
        "wikipedia_page_id",
    ];
    let cell = String::from_utf8_lossy(bytes);
    let quoted = format!("\"{}\"", cell.replace('"', "\"\""));
    let mut table = format!("id,title,overview,{}\n", COLUMNS.join(","));
    table.push_str("1,Jaws,A shark,\"['a', 'b']\",\"a, b\",a|b,[],x,,,1975-06-20,7,False,tt1,,en,3\n");
    for id in ["2", "3"] {
        table.push_str(&format!("{id},Up,A house,{}\n", vec![quoted.as_str(); COLUMNS.len()].join(",")));
    }
    let value: Value = serde_json::from_str(&cell).unwrap_or_else(|_| cell.as_ref().into());
    let mut object = json!({ "id": value, "title": "Jaws", "overview": value });
    for column in COLUMNS {
        object[column] = value.clone();
    }
    for film in films_of(table.as_bytes()).into_iter().chain(films_of(object.to_string().as_bytes())) {
        let lists =
            [&film.genres, &film.keywords, &film.cast, &film.directors, &film.countries, &film.languages];
        for name in lists.into_iter().flatten() {
            assert!(!name.trim().is_empty(), "{film:?}");
        }
    }
}
