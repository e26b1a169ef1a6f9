//! `titlecard graph` on the sample catalogue.

use std::path::Path;
use std::sync::OnceLock;

use crate::{Run, run, run_with_input};

/// A folder with the graph of the sample, made once for all tests, and what `graph build` said.
fn built() -> &'static (tempfile::TempDir, Run) {
    static BUILT: OnceLock<(tempfile::TempDir, Run)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), &["prepare"]).expect(0);
        let build = run(folder.path(), &["graph", "build"]).expect(0);
        (folder, build)
    })
}

fn folder() -> &'static Path {
    built().0.path()
}

#[test]
fn building_says_what_is_in_it() {
    let (folder, build) = built();
    for expected in ["  film               414\n", "  director ", "film vocabulary", "closed, pairs"] {
        assert!(build.stdout.contains(expected), "no `{expected}` in\n{}", build.stdout);
    }
    assert!(build.stderr.contains(" edges in "), "{}", build.stderr);
    assert!(folder.path().join("graph/graph.tcg").exists());
    assert!(folder.path().join("graph/summary.json").exists());
}

#[test]
fn every_step_names_the_one_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let build = run(folder.path(), &["graph", "build"]).expect(2);
    assert!(build.stderr.contains("hint: run `titlecard prepare` first"), "{}", build.stderr);
    for arguments in
        [&["graph", "query", "ASK {}"][..], &["graph", "show", "Jaws"], &["graph", "export", "a.nt"]]
    {
        let other = run(folder.path(), arguments).expect(2);
        assert!(other.stderr.contains("hint: run `titlecard graph build` first"), "{}", other.stderr);
    }
}

#[test]
fn queries_answer_as_table_json_and_csv() {
    let query = "SELECT ?film ?year WHERE { ?film rdfs:label \"Jaws\" ; tc:year/rdf:value ?year }";
    let table = run(folder(), &["graph", "query", query]).expect(0).stdout;
    assert!(table.contains("| Jaws [film:578] | 1975 |"), "{table}");
    let json = run_with_input(folder(), &["graph", "query", "-", "--json"], query).expect(0).stdout;
    let row: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(row["film"]["value"], "urn:titlecard:film:578");
    assert_eq!((&row["film"]["name"], &row["year"]["value"]), (&"Jaws".into(), &"1975".into()));
    let csv = run(folder(), &["graph", "query", query, "--csv"]).expect(0).stdout;
    assert_eq!(csv, "film,year\r\nurn:titlecard:film:578,1975\r\n");
    let none = run(folder(), &["graph", "query", "SELECT ?f { ?f tc:genre genre:none }"]).expect(1);
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "no row\n"));
    let fault = run(folder(), &["graph", "query", "SELECT"]).expect(2);
    assert!(fault.stderr.starts_with("error: SPARQL: "), "{}", fault.stderr);
}

#[test]
fn a_film_is_shown_by_id_title_or_words_of_it() {
    let by_title = run(folder(), &["graph", "show", "jaws"]).expect(0).stdout;
    assert!(by_title.starts_with("Jaws (1975)\n"), "{by_title}");
    assert!(by_title.contains("Steven Spielberg"), "{by_title}");
    assert_eq!(run(folder(), &["graph", "show", "578"]).expect(0).stdout, by_title);
    let several = run(folder(), &["graph", "show", "the"]).expect(1);
    assert!(several.stderr.contains("films fit `the`; say which by id:"), "{}", several.stderr);
    let none = run(folder(), &["graph", "show", "xyzzyq"]).expect(1);
    assert_eq!(none.stderr, "no film with the id or title `xyzzyq`\n");
    for file in ["jaws.svg", "jaws.png"] {
        run(folder(), &["graph", "show", "Jaws", file]).expect(0);
        assert!(folder().join(file).metadata().unwrap().len() > 5_000);
    }
    let wrong = run(folder(), &["graph", "show", "Jaws", "jaws.gif"]).expect(2);
    assert!(wrong.stderr.contains("hint: name a file that ends in .svg or .png"), "{}", wrong.stderr);
}

#[test]
fn the_graph_is_exported_by_ending_or_format() {
    for (arguments, file, first) in [
        (&["a.nt"][..], "a.nt", "<urn:titlecard:film:"),
        (&["a.ttl"], "a.ttl", "@prefix "),
        (&["--format", "graphml", "a.xml"], "a.xml", "<?xml "),
    ] {
        run(folder(), &[&["graph", "export"], arguments].concat()).expect(0);
        let text = std::fs::read_to_string(folder().join(file)).unwrap();
        assert!(text.starts_with(first), "{}", &text[..200]);
        assert!(text.contains("Steven Spielberg"));
    }
    let unknown = run(folder(), &["graph", "export", "a.xyz"]).expect(2);
    assert!(unknown.stderr.contains("hint: pass `--format nt`"), "{}", unknown.stderr);
}
