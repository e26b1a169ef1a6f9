//! `titlecard find` and `titlecard similar` on the graph of the sample.

use std::path::Path;
use std::sync::OnceLock;

use crate::run;

/// A folder with the graph of the sample and no index, made once for all tests.
fn folder() -> &'static Path {
    static BUILT: OnceLock<tempfile::TempDir> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), &["prepare"]).expect(0);
        run(folder.path(), &["graph", "build"]).expect(0);
        folder
    });
    built.path()
}

#[test]
fn titles_are_found_with_slips_and_by_their_beginning() {
    let found = run(folder(), &["find", "sevn samurai", "-k", "1"]).expect(0);
    assert_eq!(found.stdout, "  1. Seven Samurai (1954)  [346]  1 edit\n");
    let found = run(folder(), &["find", "seven sam", "-k", "1"]).expect(0);
    assert_eq!(found.stdout, "  1. Seven Samurai (1954)  [346]  by its beginning\n");
    let json = run(folder(), &["find", "Seven Samurai", "--json"]).expect(0).stdout;
    let row: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&row["id"], &row["rank"], &row["edits"]), (&"346".into(), &1.into(), &0.into()));
    assert_eq!(row["fit"], "whole");
    let none = run(folder(), &["find", "qqqqqqqqqq"]).expect(1);
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "no title is like `qqqqqqqqqq`\n"));
}

#[test]
fn similar_films_show_what_is_shared_and_the_parts_add_up() {
    let shown = run(folder(), &["similar", "Seven Samurai", "-k", "3"]).expect(0);
    assert!(shown.stderr.contains("films like Seven Samurai (1954):"), "{}", shown.stderr);
    assert!(shown.stderr.contains("titlecard index"), "{}", shown.stderr);
    assert!(shown.stdout.contains("score ") && shown.stdout.contains("genres: "), "{}", shown.stdout);
    let json = run(folder(), &["similar", "346", "-k", "4", "--json"]).expect(0).stdout;
    let rows: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 4);
    for row in rows {
        assert_ne!(row["id"], "346");
        let sum = row["parts"].as_array().unwrap().iter();
        let sum = sum.fold(0.0_f32, |sum, part| sum + part["contribution"].as_f64().unwrap() as f32);
        assert_eq!(sum, row["score"].as_f64().unwrap() as f32);
    }
    let none = run(folder(), &["similar", "qqqqqqqqqq"]).expect(1);
    assert!(none.stderr.contains("no film has the id `qqqqqqqqqq`"), "{}", none.stderr);
}

#[test]
fn without_a_graph_the_step_before_is_named() {
    let empty = tempfile::tempdir().unwrap();
    for verb in ["find", "similar"] {
        let missing = run(empty.path(), &[verb, "Alien"]).expect(2);
        assert!(missing.stderr.contains("hint: run `titlecard graph build` first"), "{}", missing.stderr);
    }
}
