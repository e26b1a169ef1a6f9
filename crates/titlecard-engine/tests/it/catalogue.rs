//! Reading catalogues: shapes, compression, faults.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use titlecard_engine::catalogue::{
    CatalogueError, CleaningReport, Film, FilmWriter, Joined, ReadOptions, Reason, load_prepared, read_films,
    read_films_from,
};

use crate::sample_films;

fn try_read(bytes: &[u8], options: &ReadOptions) -> Result<(Vec<Film>, CleaningReport), CatalogueError> {
    let mut films = Vec::new();
    let reader = std::io::Cursor::new(bytes.to_vec());
    let report = read_films_from(reader, "films.csv", options, &mut |film| {
        films.push(film);
        ControlFlow::Continue(())
    })?;
    Ok((films, report))
}

fn read(text: &str) -> (Vec<Film>, CleaningReport) {
    try_read(text.as_bytes(), &ReadOptions::default()).unwrap()
}

fn error_of(text: &str) -> String {
    try_read(text.as_bytes(), &ReadOptions::default()).unwrap_err().to_string()
}

fn lines_of(report: &CleaningReport, reason: Reason) -> &[u64] {
    &report.findings[&reason].first_lines
}

#[test]
fn the_clean_shape_is_known() {
    let (films, report) = read("id,title,tags\n7,Jaws,\"shark, beach\"\n8,Alien,ship crew\n");
    assert_eq!(report.shape, "TMDB Movies Clean");
    assert_eq!(
        (films[0].id.as_str(), films[0].title.as_str(), films[0].tags.as_str()),
        ("7", "Jaws", "shark, beach")
    );
    assert_eq!((report.rows_read, report.kept, report.dropped()), (2, 2, 0));
}

#[test]
fn the_5000_shape_has_json_in_its_cells() {
    let (films, report) = read(concat!(
        "budget,genres,id,keywords,original_language,original_title,overview,production_companies,",
        "production_countries,release_date,spoken_languages,title\n",
        "1,\"[{\"\"id\"\": 28, \"\"name\"\": \"\"Action\"\"}, {\"\"id\"\": 12, \"\"name\"\": \"\"Adventure\"\"}]\",11,",
        "\"[{\"\"id\"\": 1, \"\"name\"\": \"\"desert\"\"}]\",en,A,\"Droids land on sand, and walk.\",[],",
        "\"[{\"\"iso_3166_1\"\": \"\"US\"\", \"\"name\"\": \"\"United States of America\"\"}]\",1977-05-25,[],B\n",
    ));
    assert_eq!(report.shape, "TMDB 5000");
    let film = &films[0];
    assert_eq!(film.genres, ["Action", "Adventure"]);
    assert_eq!(film.countries, ["United States of America"]);
    assert_eq!((film.year, film.original_title.as_deref()), (Some(1977), Some("A")));
    assert_eq!(film.tags, "Droids land on sand, and walk. Action Adventure desert");
}

#[test]
fn the_v11_shape_has_lists_with_commas() {
    let (films, report) = read(concat!(
        "id,title,adult,imdb_id,original_language,overview,release_date,genres,production_companies,",
        "production_countries,keywords\n",
        "27205,Inception,False,tt1375666,en,A thief enters dreams.,2010-07-15,\"Action, Science Fiction\",X,",
        "\"United Kingdom, United States of America\",\"dream, heist\"\n",
        "5,Other,True,tt1,en,For grown-ups.,2010,Drama,X,France,x\n",
    ));
    assert_eq!(report.shape, "TMDB v11");
    assert_eq!(films.len(), 1);
    assert_eq!(films[0].keywords, ["dream", "heist"]);
    assert_eq!(films[0].countries, ["United Kingdom", "United States of America"]);
    assert_eq!(lines_of(&report, Reason::Adult), [3]);
    let keep = ReadOptions { keep_adult: true, ..ReadOptions::default() };
    let bytes = b"id,title,adult,overview\n1,A,True,text\n";
    assert_eq!(try_read(bytes, &keep).unwrap().0.len(), 1);
    assert!(matches!(try_read(bytes, &ReadOptions::default()), Err(CatalogueError::NoFilm { .. })));
}

#[test]
fn the_10866_shape_has_bars_and_no_title_but_the_original_one() {
    let (films, report) = read(concat!(
        "id,imdb_id,original_title,cast,director,keywords,overview,genres,release_date,release_year,budget_adj\n",
        "9,tt9,Up,Ed Asner|Jordan Nagai,Pete Docter|Bob Peterson,balloon|age,An old man flies his house.,",
        "Animation|Comedy,5/13/09,2009,1\n",
    ));
    assert_eq!(report.shape, "TMDB 10,866");
    assert_eq!((films[0].title.as_str(), films[0].year), ("Up", Some(2009)));
    assert_eq!(films[0].directors, ["Pete Docter", "Bob Peterson"]);
    assert_eq!(films[0].original_title, None);
}

#[test]
fn our_own_shape_reads_as_json_lines() {
    let (films, report) = read(concat!(
        "\u{feff}{\"id\": 3, \"title\": \"Ran\", \"year\": 1985, \"genres\": [\"Drama\"], \"directors\": [\"Akira Kurosawa\"], ",
        "\"countries\": [\"Japan\"], \"languages\": [\"Japanese\"], \"overview\": \"An old lord divides his land.\"}\n",
        "\n",
        "not json\n",
        "{\"id\": 4, \"title\": \"X\"}\n",
        "{\"id\": 3, \"title\": \"Again\", \"overview\": \"text\"}\n",
    ));
    assert_eq!(report.shape, "titlecard");
    assert_eq!(films.len(), 1);
    assert_eq!((films[0].id.as_str(), films[0].year), ("3", Some(1985)));
    assert_eq!(lines_of(&report, Reason::MalformedRow), [3]);
    assert_eq!(lines_of(&report, Reason::MissingText), [4]);
    assert_eq!(lines_of(&report, Reason::DuplicateId), [5]);
}

#[test]
fn quotes_newlines_bom_and_other_separators_are_read() {
    let (films, report) =
        read("\u{feff}id;title;tags\r\n1;\"A \"\"B\"\"; C\";\"first\r\nsecond\"\r\n2;D;e\r\n3;;x\r\n");
    assert_eq!(films[0].title, "A \"B\"; C");
    assert_eq!(films[0].tags, "first\r\nsecond");
    // The broken row stands after a row of two lines, in a file with carriage returns.
    assert_eq!(lines_of(&report, Reason::MissingTitle), [5]);
    let (films, _) = read("title\ttags\nA, B\tc; d\n");
    assert_eq!((films[0].id.as_str(), films[0].title.as_str()), ("row-1", "A, B"));
}

#[test]
fn compressed_files_are_read_whatever_their_name() {
    let text = b"id,title,tags\n1,Jaws,shark\n";
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("plain.gz", text.to_vec()),
        ("a.csv", gz.finish().unwrap()),
        ("b", zstd::encode_all(&text[..], 3).unwrap()),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let mut films = 0;
        let report = read_films(
            &path,
            &ReadOptions::default(),
            &mut |_| {
                films += 1;
                ControlFlow::Continue(())
            },
            &mut |_, _| ControlFlow::Continue(()),
        );
        assert_eq!((report.unwrap().kept, films), (1, 1), "{name}");
    }
    let path = folder.path().join("cut.zst");
    let whole = zstd::encode_all(&b"id,title,tags\n1,Jaws,shark\n".repeat(500)[..], 3).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let read = read_films(&path, &ReadOptions::default(), &mut |_| ControlFlow::Continue(()), &mut |_, _| {
        ControlFlow::Continue(())
    });
    assert!(read.unwrap_err().to_string().contains("cut.zst"));
}

#[test]
fn broken_rows_are_counted_and_never_stop_the_run() {
    let mut text =
        "id,title,tags,year\n1,A,x,1999\n2,B,y\n3,C,z,1999,more\n,,,\n4,D,w,soon\n4,E,v,2000\n".to_owned();
    text.push_str("5,F,x,1999\n6,\"G,open quote,1999\n");
    (7..200).for_each(|id| text.push_str(&format!("{id},T,t,1999\n")));
    let (films, report) = read(&text);
    assert_eq!(films.iter().map(|film| film.title.as_str()).collect::<String>(), "ADF");
    assert_eq!(lines_of(&report, Reason::MalformedRow), [3, 4]);
    assert_eq!(lines_of(&report, Reason::MissingTitle), [5]);
    assert_eq!(lines_of(&report, Reason::BadYear), [6]);
    assert_eq!(lines_of(&report, Reason::DuplicateId), [7]);
    assert_eq!(lines_of(&report, Reason::UnclosedQuote), [9]);
    insta::assert_snapshot!(report.to_string(), @r"
    catalogue `films.csv`, shape TMDB Movies Clean
      columns: id, tags, title, year
      8 rows read, 3 films kept, 5 dropped
      dropped: 1 without a title (line 5)
      dropped: 1 with the id of an earlier row (line 7)
      dropped: 2 not as many cells as columns, or no JSON object (lines 3, 4)
      dropped: 1 with a quote that is not closed for many lines (rows inside are lost) (line 9)
      note: 1 with a year that is none; kept without (line 6)
    ");
}

#[test]
fn bytes_that_are_no_text_are_replaced_and_counted() {
    let (films, report) = try_read(b"id,title,tags\n1,Am\xe9lie,caf\xe9\n", &ReadOptions::default()).unwrap();
    assert_eq!(films[0].title, "Am\u{fffd}lie");
    assert_eq!(lines_of(&report, Reason::NotUtf8), [2]);
}

#[test]
fn files_of_the_wrong_shape_say_what_they_have_and_what_is_needed() {
    insta::assert_snapshot!(error_of("movieId,genres\n1,Drama\n"), @"the catalogue `films.csv` has no column for the title (found: movieId, genres); rename it, or say where it is with `--column title=NAME`");
    insta::assert_snapshot!(error_of("title,genres\nA,Drama\n"), @"the catalogue `films.csv` has no column for tags or an overview (found: title, genres); rename it, or say where it is with `--column tags=NAME`");
    insta::assert_snapshot!(error_of(" \n"), @"the catalogue `films.csv` is empty; expected a header line and films, or one JSON object a line");
    insta::assert_snapshot!(error_of("[{\"title\": \"A\"}]"), @"the catalogue `films.csv` is one JSON array, expected one JSON object a line; convert it with `jq -c '.[]' films.csv > films.jsonl`");
    assert!(error_of("id,title,tags\n").starts_with("no film of `films.csv` could be kept"));
    let read = read_films(
        Path::new("/nowhere/x.csv"),
        &ReadOptions::default(),
        &mut |_| ControlFlow::Continue(()),
        &mut |_, _| ControlFlow::Continue(()),
    );
    assert!(read.unwrap_err().to_string().starts_with("cannot read the catalogue `/nowhere/x.csv`"));
}

#[test]
fn columns_can_be_named_and_mistakes_are_answered() {
    let options = |field: &str, column: &str| ReadOptions {
        columns: [(field.to_owned(), column.to_owned())].into(),
        ..ReadOptions::default()
    };
    let bytes = b"Film,tags\nJaws,shark\n";
    assert_eq!(try_read(bytes, &options("title", "Film")).unwrap().0[0].title, "Jaws");
    let error = try_read(bytes, &options("title", "Movie")).unwrap_err().to_string();
    assert!(error.contains("no column `Movie` (found: Film, tags)"), "{error}");
    let error = try_read(bytes, &options("name", "Film")).unwrap_err().to_string();
    assert!(error.contains("there is no field `name`"), "{error}");
}

#[test]
fn a_limit_stops_and_an_interruption_is_an_error() {
    let text = b"id,title,tags\n1,A,x\n2,B,y\n3,C,z\n";
    let (films, report) = try_read(text, &ReadOptions { limit: Some(2), ..ReadOptions::default() }).unwrap();
    assert!(films.len() == 2 && report.stopped_at_limit);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, text).unwrap();
    let stopped =
        read_films(&path, &ReadOptions::default(), &mut |_| ControlFlow::Continue(()), &mut |_, _| {
            ControlFlow::Break(())
        });
    assert!(matches!(stopped, Err(CatalogueError::Interrupted(_))));
}

#[test]
fn the_prepared_form_gives_back_every_film() {
    let films = sample_films();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("films.jsonl.zst");
    let mut writer = FilmWriter::create(&path).unwrap();
    films.iter().for_each(|film| writer.write(film).unwrap());
    assert!(!path.exists(), "nothing is there before it is whole");
    writer.finish().unwrap();
    assert_eq!(load_prepared(&path).unwrap().films(), films);

    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(&path, &bytes).unwrap();
    assert!(load_prepared(&path).is_err());
    let damaged = zstd::encode_all(&b"{\"id\": \"1\"}\nnonsense\n"[..], 3).unwrap();
    std::fs::write(&path, damaged).unwrap();
    let error = load_prepared(&path).unwrap_err().to_string();
    assert!(error.ends_with("make it again with `titlecard prepare`"), "{error}");
}

#[test]
fn the_sample_is_whole() {
    let films = sample_films();
    assert!(films.len() >= 400);
    let queries = titlecard_engine::sample::queries().unwrap();
    assert!(queries.len() >= 300);
    let split = titlecard_engine::catalogue::SplitConfig::default();
    for query in &queries {
        assert!(films.iter().any(|film| film.id == query.film_id), "{}", query.query_id);
        let expected = titlecard_engine::catalogue::split_of(&query.film_id, &split);
        assert_eq!(query.split, Some(expected), "{}", query.query_id);
    }
}

#[test]
fn other_files_fill_in_what_is_missing_and_add_films_with_a_plot() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ids = write("ids.tsv", "tmdb_id\tyear\tsources\toriginal_language\n7\t1999\ta,b,c\ten\n9\t\t\t\n");
    let plots = write(
        "plots.jsonl",
        concat!(
            "{\"tmdb_id\": 7, \"title\": \"Jaws\", \"year\": 1975, \"plot\": \"A shark comes.\"}\n",
            "{\"tmdb_id\": null, \"wikipedia_page_id\": 55, \"title\": \"Other\", \"year\": 1960, \"plot\": \"Told.\"}\n",
            "no json\n",
        ),
    );
    let mut joined = Joined::default();
    joined.read(&ids).unwrap();
    joined.read(&plots).unwrap();
    let mut film = Film { id: "7".to_owned(), year: Some(1974), ..Film::default() };
    joined.fill(&mut film);
    assert_eq!((film.year, film.votes, film.plot.as_str()), (Some(1974), Some(3), "A shark comes."));
    assert_eq!(film.languages, ["en"]);
    let added = joined.remaining();
    assert_eq!(added.len(), 1);
    assert_eq!(
        (added[0].id.as_str(), added[0].title.as_str(), added[0].year),
        ("wikipedia-55", "Other", Some(1960))
    );
    let reports = joined.reports();
    assert_eq!((reports[0].rows_read, reports[0].matched, reports[0].added), (2, 1, 0));
    assert_eq!(
        (reports[1].rows_read, reports[1].matched, reports[1].added, reports[1].unusable),
        (3, 1, 1, 1)
    );
    let useless = write("useless.csv", "tmdb_id,colour\n7,red\n");
    let error = joined.read(&useless).unwrap_err().to_string();
    assert!(error.contains("no column says anything to add (found: tmdb_id, colour)"), "{error}");
}

#[test]
fn rows_without_an_id_are_found_by_title_and_year() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plots.jsonl");
    let row = |page: u32, title: &str, year: u32| {
        format!(
            "{{\"wikipedia_page_id\": {page}, \"title\": \"{title}\", \"year\": {year}, \"plot\": \"Plot {page}.\"}}\n"
        )
    };
    let rows = [
        row(1, "Zathura (2005 film)", 2005),
        row(2, "Outpost", 2008),
        // Two films of this title and year: it could be either.
        row(3, "Stardust (film)", 2007),
        // The film of the same year takes it, the one of the year before is left.
        row(4, "Maps", 1994),
        row(5, "Amélie", 2001),
        row(6, "Nobody's Film (Bolivian film)", 1990),
    ];
    std::fs::write(&path, rows.concat()).unwrap();
    let mut joined = Joined::default();
    joined.read(&path).unwrap();
    assert!(joined.looks_at_titles());
    let film = |id: &str, title: &str, year: i32| Film {
        id: id.to_owned(),
        title: title.to_owned(),
        year: Some(year),
        ..Film::default()
    };
    let mut films = [
        film("a", "Zathura", 2005),
        film("b", "Outpost", 2007),
        film("c", "Stardust", 2007),
        film("d", "Stardust", 2007),
        film("e", "Maps", 1993),
        film("f", "Maps", 1994),
        film("g", "AMELIE", 2002),
        film("h", "Nobody's Film", 1971),
    ];
    films.iter().for_each(|film| joined.look(film));
    joined.find_by_title();
    films.iter_mut().for_each(|film| joined.fill(film));
    let plots: Vec<&str> = films.iter().map(|film| film.plot.as_str()).collect();
    assert_eq!(plots, ["Plot 1.", "Plot 2.", "", "", "", "Plot 4.", "Plot 5.", ""]);
    let added: Vec<String> = joined.remaining().into_iter().map(|film| film.title).collect();
    assert_eq!(added, ["Stardust", "Nobody's Film"]);
    let report = &joined.reports()[0];
    assert_eq!((report.matched, report.by_title, report.added), (4, 4, 2));
}
