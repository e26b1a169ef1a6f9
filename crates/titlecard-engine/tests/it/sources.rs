//! Catalogues put together from several files, and files in every package.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use titlecard_engine::catalogue::{
    CatalogueError, CleaningReport, Film, ReadOptions, Reason, SourceKind, export_parquet, load_prepared,
    read_films, unpack,
};
use titlecard_engine::config::ConfigBuilder;
use titlecard_engine::pipeline::{self, Workspace};
use titlecard_engine::progress::silent;

/// Prepares `settings` in a folder with `files`.
fn prepare(files: &[(&str, &[u8])], settings: &str) -> Result<(Vec<Film>, CleaningReport), String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let file = folder.path().join("titlecard.toml");
    fs::write(&file, settings.replace("DIR", folder.path().to_str().unwrap())).unwrap();
    let config = ConfigBuilder::default().file(&file).unwrap().build().unwrap();
    let workspace = Workspace::new(folder.path().to_owned());
    let report = pipeline::prepare(&workspace, &config, &mut silent).map_err(|error| error.to_string())?;
    let films = load_prepared(&workspace.films()).unwrap().into_films();
    Ok((films, report))
}

fn source(path: &str, more: &str) -> String {
    format!("[[catalogue.source]]\npath = \"DIR/{path}\"\n{more}\n")
}

const FILMS: &[u8] = b"id,imdb_id,title,release_date,overview,genres\n\
    1,tt0083658,Blade Runner,1982-06-25,A hunter of androids.,Drama|Thriller\n\
    2,tt0000002,Alien,1979-05-25,A crew meets a thing.,Horror\n\
    3,,Solaris,1972,A sea that thinks.,\n";

#[test]
fn sources_are_joined_by_every_id_and_by_title() {
    let (films, report) = prepare(
        &[
            ("films.csv", FILMS),
            // Python literals, the catalogue's own ids written as floats.
            ("keywords.csv", b"id,keywords\n1.0,\"[{'id': 1, 'name': 'android'}, {'id': 2, 'name': \"\"dy'stopia\"\"}]\"\n9,[]\n"),
            // IMDb's table, with a quote that is none.
            ("ratings.tsv", b"tconst\taverageRating\tnumVotes\ntt0083658\t8.1\t900\ntt0000002\t\"8\t800\n"),
            // No id: title and year, a year off, and a namesake that does not fit.
            ("plots.jsonl", br#"{"title": "SOLARIS", "year": 1972, "plot": "Kelvin flies to a station."}
{"title": "Alien (film)", "year": 1980, "plot": "not by this title"}
{"title": "Solaris", "year": 2002, "plot": "another film"}
"#),
            // One row a person; Wikipedia's ids, translated.
            ("ids.csv", b"tmdb_id,wikipedia_page_id\n2,777\n"),
            ("people.csv", b"wikipedia_page_id;actor;director\n777;Sigourney Weaver;Ridley Scott\n777;Tom Skerritt;Ridley Scott\n"),
        ],
        &[
            source("films.csv", ""),
            source("keywords.csv", "kind = \"keywords\""),
            source("ratings.tsv", "kind = \"votes\""),
            source("plots.jsonl", "kind = \"plots\""),
            source("ids.csv", "kind = \"ids\""),
            source("people.csv", "kind = \"people\""),
        ]
        .concat(),
    )
    .unwrap();
    let [blade_runner, alien, solaris] = &films[..] else { panic!("{films:?}") };
    assert_eq!(blade_runner.keywords, ["android", "dy'stopia"]);
    assert_eq!((blade_runner.votes, alien.votes, solaris.votes), (Some(900), Some(800), None));
    assert_eq!(solaris.plot, "Kelvin flies to a station.");
    assert_eq!(alien.plot, "");
    assert_eq!(alien.cast, ["Sigourney Weaver", "Tom Skerritt"]);
    assert_eq!(alien.directors, ["Ridley Scott"]);
    assert!(alien.tags.ends_with("Horror Sigourney Weaver Tom Skerritt Ridley Scott"), "{}", alien.tags);
    let counts: Vec<_> = report
        .sources
        .iter()
        .map(|source| (source.rows_read, source.unusable, source.matched, source.by_title, source.added))
        .collect();
    assert_eq!(
        counts,
        [
            (3, 0, 0, 0, 3),
            (2, 0, 1, 0, 0),
            (2, 0, 2, 0, 0),
            (3, 0, 1, 1, 0),
            (1, 0, 0, 0, 0),
            (2, 0, 1, 0, 0)
        ]
    );
}

#[test]
fn companies_and_series_come_from_any_source_of_films_or_titles() {
    let (films, report) = prepare(
        &[
            ("films.csv", FILMS),
            (
                "metadata.csv",
                b"id,title,release_date,belongs_to_collection,production_companies\n\
                  2,Alien,1979,\"{'id': 8091, 'name': 'Alien Collection'}\",\"[{'name': 'Brandywine, Inc.', 'id': 1}]\"\n\
                  1,Blade Runner,1982,,\"The Ladd Company, Warner Bros., Inc.\"\n",
            ),
            ("rows.csv", b"id,company\n2,Fox\n3,Mosfilm\n3,Unit Four\n3,Mosfilm\n"),
        ],
        &[
            source("films.csv", ""),
            source("metadata.csv", "adds = false"),
            source("rows.csv", "kind = \"titles\""),
        ]
        .concat(),
    )
    .unwrap();
    let of = |at: usize| (films[at].companies.join("; "), films[at].collections.join("; "));
    assert_eq!(of(0), ("The Ladd Company; Warner Bros., Inc.".to_owned(), String::new()));
    assert_eq!(of(1), ("Brandywine, Inc.".to_owned(), "Alien Collection".to_owned()));
    assert_eq!(of(2), ("Mosfilm; Unit Four".to_owned(), String::new()));
    let filled = |source: usize, field: &str| report.sources[source].filled.get(field).copied();
    assert_eq!((filled(1, "companies"), filled(1, "collections")), (Some(2), Some(1)));
    assert_eq!(filled(2, "companies"), Some(1));
    assert_eq!(report.sources[2].conflicts["companies"].count, 1);
}

#[test]
fn conflicts_are_settled_by_priority_then_order_and_counted() {
    let files: [(&str, &[u8]); 3] = [
        ("films.csv", FILMS),
        ("a.csv", b"id,title,year,genres,overview\n1,Blade Runner,1983,thriller|DRAMA,Other words.\n7,New,2001,Comedy,A new one.\n"),
        ("b.csv", b"id,title,year,genres,overview\n1,Bladerunner,1984,Crime,More words.\n7,New,2001,Crime,Newer.\n"),
    ];
    let settings =
        |a: &str, b: &str| [source("films.csv", ""), source("a.csv", a), source("b.csv", b)].concat();
    let (films, report) = prepare(&files, &settings("", "")).unwrap();
    assert_eq!((films[0].year, films[0].overview.as_str()), (Some(1982), "A hunter of androids."));
    let new = &films[3];
    assert_eq!((new.id.as_str(), new.overview.as_str()), ("7", "A new one."));
    let [_, a, b] = &report.sources[..] else { panic!() };
    let conflicts = |report: &titlecard_engine::catalogue::SourceReport| -> Vec<(String, u64)> {
        report.conflicts.iter().map(|(field, conflict)| (field.clone(), conflict.count)).collect()
    };
    let owned = |list: &[(&str, u64)]| -> Vec<(String, u64)> {
        list.iter().map(|(field, count)| ((*field).to_owned(), *count)).collect()
    };
    // The same genres in another order and case are no conflict.
    assert_eq!(conflicts(a), owned(&[("overview", 1), ("year", 1)]));
    assert_eq!(conflicts(b), owned(&[("genres", 2), ("overview", 2), ("title", 1), ("year", 1)]));
    assert_eq!((a.added, b.added, a.matched, b.matched), (1, 0, 1, 1));
    assert!(a.conflicts["year"].examples[0].contains("kept 1982, not 1983"), "{a:?}");

    let (films, report) = prepare(&files, &settings("", "priority = 1")).unwrap();
    assert_eq!((films[0].year, films[0].title.as_str()), (Some(1984), "Bladerunner"));
    assert_eq!(films[0].overview, "More words.");
    assert_eq!(films[3].overview, "Newer.");
    assert!(report.sources[2].conflicts["year"].examples[0].contains("kept 1984, not 1982"));

    let (films, _) = prepare(&files, &settings("adds = false", "adds = false")).unwrap();
    assert_eq!(films.len(), 3);
}

#[test]
fn what_looks_wrong_is_said_with_examples() {
    let (_, report) = prepare(
        &[(
            "films.csv",
            "id,title,year,overview,adult\n1,Am\u{c3}\u{a9}lie,2001,a &amp; b,False\n2,B,1700,same,False\n3,C,2000,same,False\n\
             4,D,2000,same,False\n5,E,2000,x,True\n6,F,1877,\u{e9},False\n"
                .as_bytes(),
        )],
        &source("films.csv", ""),
    )
    .unwrap();
    let found: Vec<(u64, &str)> =
        report.suspicious.iter().map(|found| (found.count, found.what.as_str())).collect();
    assert_eq!(
        found,
        [
            (3, "films with an overview that 3 or more films share"),
            (1, "films with text in a wrong encoding (mojibake)"),
            (1, "films with HTML in their text"),
            (1, "films from before 1888 or far in the future"),
            (1, "rows marked as adult (16.7 % of all)"),
        ]
    );
    let text = report.to_string();
    assert!(
        text.contains("3 times: same") && text.contains("F (1877)") && text.contains("Am\u{c3}\u{a9}lie"),
        "{text}"
    );
}

#[test]
fn a_source_that_is_not_what_it_is_declared_as_is_refused() {
    let refuse = |bytes: &[u8], more: &str| {
        prepare(
            &[("films.csv", FILMS), ("x.csv", bytes)],
            &[source("films.csv", ""), source("x.csv", more)].concat(),
        )
        .unwrap_err()
    };
    let message = refuse(b"id,genre\n1,a\n", "kind = \"votes\"");
    assert!(
        message.contains("a source of votes, but no column of it says anything of votes (found: id, genre)"),
        "{message}"
    );
    let message = refuse(b"votes,x\n1,a\n", "kind = \"votes\"");
    assert!(message.contains("which film a row is about"), "{message}");
    let message = refuse(b"id,n\n1,5\n", "kind = \"votes\"\n[catalogue.source.columns]\nvotes = \"m\"");
    assert!(message.contains("there is no `m`"), "{message}");
    let message = refuse(b"id,n\n1,5\n", "kind = \"votes\"\n[catalogue.source.columns]\nvoices = \"n\"");
    assert!(message.contains("there is no field `voices`"), "{message}");
    assert!(refuse(b"", "kind = \"votes\"").contains("is empty"));
}

fn read(path: &Path, options: &ReadOptions) -> Result<(Vec<Film>, CleaningReport), CatalogueError> {
    let mut films = Vec::new();
    let mut on_film = |film| {
        films.push(film);
        ControlFlow::Continue(())
    };
    let report = read_films(path, options, &mut on_film, &mut |done, total| {
        assert!(done <= total);
        ControlFlow::Continue(())
    })?;
    Ok((films, report))
}

fn zip_of(path: &Path, members: &[(&str, &[u8])], method: zip::CompressionMethod) {
    let mut archive = zip::ZipWriter::new(fs::File::create(path).unwrap());
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in members {
        archive.start_file(*name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

#[test]
fn every_package_gives_the_same_films() {
    use zip::CompressionMethod::{Deflated, Stored, Zstd};
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    fs::write(file("a.csv"), FILMS).unwrap();
    let (expected, _) = read(&file("a.csv"), &ReadOptions::default()).unwrap();
    fs::write(file("a.gz"), gzip(FILMS)).unwrap();
    fs::write(file("a.zst"), zstd::encode_all(FILMS, 3).unwrap()).unwrap();
    zip_of(&file("stored.zip"), &[("a.csv", FILMS)], Stored);
    zip_of(&file("deflated.zip"), &[("../../a.csv", FILMS), ("readme.md", b"x")], Deflated);
    zip_of(&file("zstd.zip"), &[("a.csv.gz", &gzip(FILMS))], Zstd);
    for name in ["a.gz", "a.zst", "stored.zip", "deflated.zip", "zstd.zip"] {
        assert_eq!(read(&file(name), &ReadOptions::default()).unwrap().0, expected, "{name}");
    }
    let two = file("two.zip");
    zip_of(&two, &[("a.csv", FILMS), ("b.csv", b"id,title,tags\n1,B,c\n")], Deflated);
    let message = |options: &ReadOptions| read(&two, options).unwrap_err().to_string();
    let ambiguous = message(&ReadOptions::default());
    assert!(
        ambiguous.contains("2 files that may be meant (`a.csv`, `b.csv`); name one as `member`"),
        "{ambiguous}"
    );
    let member = |name: &str| ReadOptions { member: name.to_owned(), ..ReadOptions::default() };
    assert_eq!(read(&two, &member("b.csv")).unwrap().0[0].title, "B");
    assert!(message(&member("c.csv")).contains("no member `c.csv` (found: `a.csv`, `b.csv`)"));
    assert!(read(&file("a.csv"), &member("c")).unwrap_err().to_string().contains("it is no `.zip`"));
}

#[test]
fn a_bomb_and_a_damaged_archive_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let mut long = FILMS.to_vec();
    for id in 10..40_000 {
        long.extend_from_slice(format!("{id},,aaaa,1990,bbbb,\n").as_bytes());
    }
    let small = ReadOptions { max_unpacked: 100_000, ..ReadOptions::default() };
    fs::write(file("a.csv.gz"), gzip(&long)).unwrap();
    zip_of(&file("a.zip"), &[("a.csv", &long)], zip::CompressionMethod::Deflated);
    for name in ["a.csv.gz", "a.zip"] {
        let message = read(&file(name), &small).unwrap_err().to_string();
        assert!(message.contains("unpacks to more than 100000 bytes"), "{message}");
    }
    // What is not packed is read whatever its size.
    fs::write(file("a.csv"), &long).unwrap();
    assert_eq!(read(&file("a.csv"), &small).unwrap().0.len(), 39_993);

    let mut bytes = fs::read(file("a.zip")).unwrap();
    let half = bytes.len() / 2;
    bytes[half] ^= 0x55;
    fs::write(file("damaged.zip"), &bytes).unwrap();
    assert!(read(&file("damaged.zip"), &ReadOptions::default()).is_err());
    fs::write(file("cut.zip"), &bytes[..half]).unwrap();
    let message = read(&file("cut.zip"), &ReadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("damaged `.zip`"), "{message}");
}

#[test]
fn a_quote_that_is_never_closed_is_noted_however_short_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    for (text, n_kept, lines) in [
        ("id,title,tags\n1,A,a b\n2,B,\"c d\n3,C,e\n", 1, vec![3]),
        ("id,title,tags\n1,A,a b\n2,B,\"c d", 1, vec![3]),
        ("id,title,tags\n1,A,a b\n2,B,c \"d", 2, vec![]),
        ("id,title,tags\n1,A,a b\n2,B,\"c d\"", 2, vec![]),
        ("id,title,tags\r\n1,A,a b\r\n2,B,\"c d\"\r\n\r\n", 2, vec![]),
    ] {
        fs::write(&path, text).unwrap();
        let (films, report) = read(&path, &ReadOptions::default()).unwrap();
        let found = report.findings.get(&Reason::UnclosedQuote).map(|found| found.first_lines.clone());
        assert_eq!((films.len(), found.unwrap_or_default()), (n_kept, lines), "{text}");
    }
    fs::write(&path, "id,\"title,tags\n1,A,a b\n").unwrap();
    let message = read(&path, &ReadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("opens a quote that is never closed"), "{message}");
    // A cell without end does not fill memory.
    let mut long = b"id,title,tags\n1,A,a\n2,B,\"".to_vec();
    long.resize(70 << 20, b'x');
    fs::write(&path, &long).unwrap();
    let message = read(&path, &ReadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("one row is longer than 64 MB"), "{message}");
}

#[test]
fn archives_are_unpacked_and_never_out_of_their_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (archive, out) = (folder.path().join("a.zip"), folder.path().join("out"));
    let method = zip::CompressionMethod::Deflated;
    zip_of(&archive, &[("a/b.csv", FILMS), ("c.txt", b"x")], method);
    let unpacked = unpack(&archive, &out, 1 << 20, &mut silent).unwrap();
    assert_eq!(unpacked, [out.join("a/b.csv"), out.join("c.txt")]);
    assert_eq!(fs::read(out.join("a/b.csv")).unwrap(), FILMS);
    let message = unpack(&archive, &out, 10, &mut silent).unwrap_err().to_string();
    assert!(message.contains("more than 10"), "{message}");
    for bad in ["../evil.txt", "a/../../evil.txt"] {
        zip_of(&archive, &[("good.txt", b"x"), (bad, b"y")], method);
        let _ = fs::remove_dir_all(&out);
        let message = unpack(&archive, &out, 1 << 20, &mut silent).unwrap_err().to_string();
        assert!(message.contains("leads out of the folder"), "{message}");
        assert!(!out.exists() && !folder.path().join("evil.txt").exists());
    }
    let packed = folder.path().join("d.csv.gz");
    fs::write(&packed, gzip(FILMS)).unwrap();
    assert_eq!(unpack(&packed, &out, 1 << 20, &mut silent).unwrap(), [out.join("d.csv")]);
    fs::write(folder.path().join("e.gz"), "no").unwrap();
    let stopped = unpack(&packed, &out, 1 << 20, &mut |_| ControlFlow::Break(())).unwrap_err();
    assert!(matches!(stopped, CatalogueError::Interrupted(_)));
}

fn exported(folder: &Path) -> (PathBuf, Vec<Film>) {
    let workspace = Workspace::new(folder.to_owned());
    pipeline::prepare(&workspace, &titlecard_engine::config::Config::default(), &mut silent).unwrap();
    let films = load_prepared(&workspace.films()).unwrap().into_films();
    let path = folder.join("films.parquet");
    assert_eq!(export_parquet(&workspace.films(), &path, &mut silent).unwrap(), films.len() as u64);
    (path, films)
}

#[test]
fn a_catalogue_comes_back_from_parquet_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut films) = exported(folder.path());
    assert!(films.iter().any(|film| film.votes.is_some()) || films.iter().any(|film| film.year.is_some()));
    // Plots are not a field of the first source; a catalogue gets them from a source of plots.
    let (back, report) = read(&path, &ReadOptions::default()).unwrap();
    films.iter_mut().for_each(|film| film.plot.clear());
    assert_eq!(back, films);
    assert_eq!(report.shape, "titlecard");
    let packed = folder.path().join("films.parquet.gz");
    fs::write(&packed, gzip(&fs::read(&path).unwrap())).unwrap();
    assert_eq!(read(&packed, &ReadOptions::default()).unwrap().0, films);

    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let message = read(&path, &ReadOptions::default()).unwrap_err().to_string();
    assert!(message.contains("Parquet file that cannot be read"), "{message}");
}

/// Written by pyarrow 26.0 and polars 2.1 (see the script beside it): large strings, lists, dictionary pages, dates.
#[test]
fn parquet_files_of_other_writers_are_read() {
    for name in ["pyarrow.parquet", "polars.parquet"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let (films, report) = read(&path, &ReadOptions::default()).unwrap();
        assert_eq!(report.rows_read, 3, "{name}");
        let film = &films[0];
        assert_eq!(
            (film.id.as_str(), film.title.as_str(), film.year),
            ("603", "The Matrix", Some(1999)),
            "{name}"
        );
        assert_eq!(
            (film.genres.as_slice(), film.votes),
            (&["Action".to_owned(), "Science Fiction".to_owned()][..], Some(20_000))
        );
        assert_eq!((films[1].year, films[1].genres.len(), films[1].votes), (None, 0, None), "{name}");
        assert_eq!(films[2].keywords, ["a, b", "c"], "{name}");
    }
}

#[test]
fn kinds_have_names() {
    assert_eq!(SourceKind::People.to_string(), "people");
}

#[test]
fn a_damaged_parquet_file_is_an_error_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("films.parquet");
    for name in ["pyarrow.parquet", "polars.parquet"] {
        let good = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            for bytes in [&bad[..], &good[..at]] {
                fs::write(&path, bytes).unwrap();
                let mut on_film = |_| ControlFlow::Continue(());
                let mut on_bytes = |_, _| ControlFlow::Continue(());
                let read = || read_films(&path, &ReadOptions::default(), &mut on_film, &mut on_bytes);
                let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
                assert!(ended.is_ok(), "byte {at} of {name}");
            }
        }
    }
}
