//! Bad input, missing files, full disks: a message a person can act on, and nothing lost.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Run, run};

fn prepare(folder: &Path, name: &str, text: &str) -> Run {
    fs::write(folder.join(name), text).unwrap();
    run(folder, &["prepare", name])
}

#[test]
fn catalogues_of_the_wrong_shape_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = prepare(folder.path(), "ratings.csv", "userId,movieId,rating\n1,2,3\n").expect(2);
    insta::assert_snapshot!(wrong.stderr, @r"
    error: the catalogue `ratings.csv` has no column for the title (found: userId, movieId, rating)

    hint: rename it, or say where it is with `--column title=NAME`
    ");
    let empty = prepare(folder.path(), "empty.csv", "").expect(2);
    assert!(empty.stderr.starts_with("error: the catalogue `empty.csv` is empty"), "{}", empty.stderr);
    let no_rows = prepare(folder.path(), "head.csv", "id,title,tags\n").expect(2);
    assert!(no_rows.stderr.contains("no film of `head.csv` could be kept"), "{}", no_rows.stderr);
    let missing = run(folder.path(), &["prepare", "none.csv"]).expect(2);
    assert!(missing.stderr.contains("none.csv"), "{}", missing.stderr);
    let a_folder = run(folder.path(), &["prepare", "."]).expect(2);
    assert!(a_folder.stderr.contains("it is a folder, expected a file"), "{}", a_folder.stderr);
    assert!(!folder.path().join("data").join("films.jsonl.zst").exists());
}

#[test]
fn a_broken_row_is_reported_and_the_rest_kept() {
    let folder = tempfile::tempdir().unwrap();
    let report =
        prepare(folder.path(), "f.csv", "id,title,tags\n1,A,b c\n2,only two\n3,,x\n4,D,e f\n").expect(0);
    insta::assert_snapshot!(report.stdout, @r"
    catalogue `f.csv`, shape TMDB Movies Clean
      columns: id, tags, title
      4 rows read, 2 films kept, 2 dropped
      dropped: 1 without a title (line 4)
      dropped: 1 not as many cells as columns, or no JSON object (line 3)
    ");
    let json = run(folder.path(), &["prepare", "f.csv", "--json"]).expect(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["rows_read"], &json["kept"]), (&4.into(), &2.into()));
    let column = prepare(folder.path(), "g.csv", "Name,Plot summary\nJaws,a shark\n").expect(2);
    assert!(column.stderr.contains("--column tags=NAME"), "{}", column.stderr);
    run(folder.path(), &["prepare", "g.csv", "--column", "overview=Plot summary"]).expect(0);
}

#[test]
fn steps_out_of_order_name_the_one_to_run() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, hint) in [
        (&["train", "regressor"][..], "hint: run `titlecard prepare` first"),
        (&["train", "word2vec"], "hint: run `titlecard prepare` first"),
        (&["index"], "hint: run `titlecard prepare` first"),
        (&["search", "a shark"], "hint: run `titlecard index` first"),
        (&["eval"], "hint: run `titlecard prepare` first"),
    ] {
        let out_of_order = run(folder.path(), arguments).expect(2);
        assert!(out_of_order.stderr.contains(hint), "{arguments:?}: {}", out_of_order.stderr);
    }
    run(folder.path(), &["prepare"]).expect(0);
    let untrained = run(folder.path(), &["index"]).expect(2);
    assert!(untrained.stderr.contains("hint: run `titlecard train regressor` first"), "{}", untrained.stderr);
}

#[test]
fn missing_vectors_and_other_languages_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["prepare"]).expect(0);
    let missing =
        run(folder.path(), &["--set", "vectors.path=GoogleNews.bin", "train", "regressor"]).expect(2);
    insta::assert_snapshot!(missing.stderr, @r"
    error: the word vectors `GoogleNews.bin` do not exist

    hint: set `vectors.path` to a word2vec, GloVe or fastText file, or leave it empty and train them with `titlecard train word2vec`
    ");
    fs::write(folder.path().join("v.txt"), "2 2\nqqx 1 2\nzzy 1 x\n").unwrap();
    let broken = run(folder.path(), &["--set", "vectors.path=v.txt", "train", "regressor"]).expect(2);
    assert!(broken.stderr.contains("row"), "{}", broken.stderr);
    fs::write(folder.path().join("films.csv"), "id,title,tags\n1,Ж,ж\n2,Я,я\n").unwrap();
    run(folder.path(), &["prepare", "films.csv"]).expect(0);
    let foreign = run(folder.path(), &["train", "regressor"]).expect(2);
    assert!(foreign.stderr.contains("none of the 2 texts has a word among"), "{}", foreign.stderr);
}

/// A limit on the size of a file stands in for a full disk: the write fails in the middle.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["prepare"]).expect(0);
    let films = fs::read(folder.path().join("data/films.jsonl.zst")).unwrap();
    let limited = |arguments: &str| -> Run {
        let script =
            format!("trap '' XFSZ; ulimit -f 8; exec '{}' {arguments}", env!("CARGO_BIN_EXE_titlecard"));
        Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().unwrap().into()
    };
    let full = limited("prepare").expect(2);
    assert!(full.stderr.starts_with("error: cannot write `./data/films.jsonl.zst`"), "{}", full.stderr);
    assert_eq!(fs::read(folder.path().join("data/films.jsonl.zst")).unwrap(), films);
    let full = limited("train regressor --epochs 1").expect(2);
    assert!(full.stderr.contains("cannot write"), "{}", full.stderr);
    assert!(!folder.path().join("models/regressor-default.safetensors").exists());
    let names: Vec<String> = fs::read_dir(folder.path().join("data"))
        .unwrap()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.iter().all(|name| !name.starts_with(".writing")), "{names:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_device_on_stdout_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = crate::command(folder.path(), &["config"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"));
}
