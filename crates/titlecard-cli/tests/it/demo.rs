//! The demo, and searching and evaluating in the folder it leaves.

use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;

use crate::{command, run, run_with_input};

/// The folder of one demo, made once for all tests; small settings, since this is no optimised build.
fn demo() -> &'static (tempfile::TempDir, String, String) {
    static DEMO: OnceLock<(tempfile::TempDir, String, String)> = OnceLock::new();
    DEMO.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let demo = run(folder.path(), &["-C", ".", "--set", "regressor.epochs=3", "demo"]).expect(0);
        (folder, demo.stdout, demo.stderr)
    })
}

fn folder() -> &'static Path {
    demo().0.path()
}

#[test]
fn the_demo_ends_with_tables_plots_and_sensible_answers() {
    let (folder, stdout, stderr) = demo();
    for title in ["  1. Citizen Kane (1941)", "  1. Seven Samurai (1954)", "  1. Jaws (1975)"] {
        assert!(stdout.contains(title), "no `{title}` in\n{stdout}");
    }
    for method in [
        "| word vectors, mean ",
        "| word vectors, max-abs ",
        "| BM25 ",
        "| regression, original-mean ",
        "| hybrid ",
    ] {
        assert_eq!(stdout.matches(method).count(), 3, "`{method}` in the three tables of\n{stdout}");
    }
    assert!(stderr.contains("Next:"), "{stderr}");
    for plot in ["known_item_precision_at_k", "known_item_success_at_k", "title_from_tags_precision_at_k"] {
        for kind in ["svg", "png"] {
            let size = folder.path().join(format!("plots/{plot}.{kind}")).metadata().unwrap().len();
            assert!(size > 5_000, "{plot}.{kind} has {size} bytes");
        }
    }
    assert!(!stdout.contains('\u{1b}') && !stderr.contains('\u{1b}'), "no colour and no bars into a pipe");
    let logs: Vec<_> = std::fs::read_dir(folder.path().join("tmp/logs")).unwrap().flatten().collect();
    let in_a_log =
        |text: &str| logs.iter().any(|log| std::fs::read_to_string(log.path()).unwrap().contains(text));
    assert!(in_a_log("regressor epoch") && in_a_log("tuned on"));
}

#[test]
fn search_takes_a_query_from_the_argument_or_from_stdin() {
    let question = "a shark frightens the bathers of a small beach town";
    let by_argument = run(folder(), &["search", question]).expect(0);
    assert!(by_argument.stdout.starts_with("  1. Jaws (1975)\n     score "), "{}", by_argument.stdout);
    assert_eq!(by_argument.stdout.matches(" = scores ").count(), 5);
    assert!(by_argument.stdout.contains("words: "), "{}", by_argument.stdout);
    for arguments in [&["search"][..], &["search", "-"]] {
        let by_stdin = run_with_input(folder(), arguments, &format!("{question}\n")).expect(0);
        assert_eq!(by_stdin.stdout, by_argument.stdout);
    }
    let lines = run_with_input(
        folder(),
        &["search", "--lines", "-k", "1"],
        "a shark at the beach\n\nxyzzyq\nsamurai\n",
    )
    .expect(0);
    assert_eq!(lines.stdout.matches("  1. ").count(), 2, "{}", lines.stdout);
    assert!(lines.stderr.contains("no word of the query is known"), "{}", lines.stderr);
}

#[test]
fn odd_input_is_answered() {
    use std::io::Write;
    let mut child = command(folder(), &["search", "--lines", "-k", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"a shark at the beach\n\xff\xfe\nsamurai\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).matches("  1. ").count(),
        2,
        "bytes that are no text cost one line"
    );
    let nothing = run(folder(), &["search", "--lines"]).expect(2);
    assert!(nothing.stderr.contains("there is no query on stdin"), "{}", nothing.stderr);
    let only_stop_words = run(folder(), &["search", "the of and", "-k", "1"]).expect(0);
    assert!(only_stop_words.stdout.contains("words: "), "{}", only_stop_words.stdout);
    let long = "shark ".repeat(20_000);
    assert!(run_with_input(folder(), &["search", "-"], &long).expect(0).stdout.contains("Jaws"));
}

#[test]
fn json_hits_add_up() {
    let json = run(folder(), &["search", "samurai defend a village", "--json", "-k", "7"]).expect(0);
    let hits: Vec<serde_json::Value> =
        json.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(hits.len(), 7);
    for (at, hit) in hits.iter().enumerate() {
        assert_eq!(hit["rank"], at + 1);
        assert_eq!(hit["query"], "samurai defend a village");
        let of = |value: &serde_json::Value, list: &str, field: &str| -> f64 {
            value[list].as_array().unwrap().iter().map(|part| part[field].as_f64().unwrap()).sum()
        };
        let reasons = &hit["reasons"];
        let sum = of(reasons, "rules", "weight")
            + of(reasons, "scores", "contribution")
            + reasons["bias"].as_f64().unwrap();
        assert!((sum - hit["score"].as_f64().unwrap()).abs() < 1e-6, "{hit}");
        // The first stage is one of the scores, and itself a sum.
        let first = reasons["scores"].as_array().unwrap().iter().find(|score| score["name"] == "first stage");
        let value = first.unwrap()["value"].as_f64().unwrap();
        assert!((of(hit, "parts", "contribution") - value).abs() < 1e-5, "{hit}");
        assert!(hit["film"]["title"].is_string() && hit["matches"].is_array());
    }
}

#[test]
fn rules_are_listed_checked_edited_and_applied() {
    let list = run(folder(), &["rules", "list"]).expect(0).stdout;
    assert!(list.contains("  1. ") && list.contains("x first stage"), "{list}");
    let own = tempfile::tempdir().unwrap();
    std::fs::create_dir(own.path().join("models")).unwrap();
    let missing = run(own.path(), &["rules", "list"]).expect(2);
    assert!(missing.stderr.contains("titlecard train ranker"), "{}", missing.stderr);
    let json = run(folder(), &["rules", "list", "--json"]).expect(0).stdout;
    let file = own.path().join("edited.json");
    std::fs::write(&file, &json).unwrap();
    let file = file.to_str().unwrap();
    run(own.path(), &["rules", "apply", file]).expect(0);
    let before = run(own.path(), &["rules", "list", "--json"]).expect(0).stdout;
    assert_eq!(before, json);
    let edited = run(own.path(), &["rules", "edit", "1", "--weight", "-0.25"]).expect(0);
    assert!(edited.stderr.contains("undo with"), "{}", edited.stderr);
    assert!(run(own.path(), &["rules", "show", "1"]).expect(0).stdout.contains("adds -0.2500"));
    run(own.path(), &["rules", "edit", "1", "--off"]).expect(0);
    let after = run(own.path(), &["rules", "list"]).expect(0).stdout;
    assert!(after.contains("  1.   +0.000"), "{after}");
    assert!(
        run(own.path(), &["rules", "edit", "999", "--off"]).expect(2).stderr.contains("there is no rule 999")
    );
    let broken = own.path().join("broken.json");
    std::fs::write(&broken, json.replacen("\"weight\": ", "\"weight\": -", 1)).unwrap();
    let refused = run(own.path(), &["rules", "apply", broken.to_str().unwrap()]).expect(1);
    assert!(refused.stdout.contains("must not count against a film"), "{}", refused.stdout);
    assert!(run(folder(), &["rules", "glossary"]).expect(0).stdout.contains("genre conflict"));
}

#[test]
fn two_films_of_an_answer_are_compared() {
    let question = "a shark frightens the bathers of a small beach town in the 70s";
    let why = run(folder(), &["why", question, "1", "2"]).expect(0).stdout;
    assert!(why.starts_with("1. Jaws (1975): ") && why.contains("difference +"), "{why}");
    let explained = run(folder(), &["search", question, "--explain", "-k", "1"]).expect(0).stdout;
    assert!(explained.contains("understood: released: 1970-1979"), "{explained}");
    assert!(explained.contains("the sum of"), "{explained}");
    assert!(
        run(folder(), &["why", question, "1", "1"]).expect(2).stderr.contains("the two places are the same")
    );
}

#[test]
fn nothing_found_is_exit_code_1() {
    let nothing = run(folder(), &["search", "xyzzyq qqzzx"]).expect(1);
    assert_eq!(nothing.stdout, "");
    assert_eq!(
        nothing.stderr,
        "no word of the query is known to this catalogue (looked for: xyzzyq, qqzzx)\n"
    );
    assert_eq!(
        run(folder(), &["search", "  ?! "]).expect(1).stderr,
        "the query has no words; describe the film in your own words\n"
    );
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = command(folder(), &["search", "a long war", "-k", "400", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn eval_compares_with_a_bound() {
    let good =
        run(folder(), &["eval", "--task", "known-item", "--split", "test", "--min-p10", "0.02", "--json"])
            .expect(0);
    let report: serde_json::Value = serde_json::from_str(&good.stdout).unwrap();
    assert_eq!(report["n_candidates"], 414);
    assert!(report["methods"].as_array().unwrap().len() >= 6);
    assert!(run(folder(), &["eval", "--min-p10", "nan"]).expect(2).stderr.contains("a number from 0 to 1"));
    // Precision@10 cannot be above its ceiling of 0.1.
    let bad = run(folder(), &["eval", "--task", "known-item", "--min-p10", "0.11"]).expect(1);
    assert!(bad.stderr.contains("Precision@10 is"), "{}", bad.stderr);
}

#[test]
fn an_index_that_does_not_fit_the_catalogue_is_noticed() {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(folder(), copy.path());
    run(copy.path(), &["prepare", "--limit", "100"]).expect(0);
    let stale = run(copy.path(), &["eval", "--task", "known-item"]).expect(2);
    assert!(
        stale.stderr.contains("the index has 414 films, the prepared catalogue 100,"),
        "{}",
        stale.stderr
    );
    assert!(stale.stderr.contains("hint: bring it up to date with `titlecard index`"), "{}", stale.stderr);
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
