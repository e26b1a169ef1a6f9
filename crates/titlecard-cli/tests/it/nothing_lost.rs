//! A process killed at any moment, and writes that fail: what opens afterwards is the state before or the state
//! after. `TITLECARD_FAULTS` is how many cases of each step are tried (0: every write); see `docs/reliability.md`.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{command, run};

/// Steps over a small catalogue; each begins where the one before ended, and changes something.
const STEPS: [&[&str]; 5] = [
    &["prepare", "new.csv"],
    &["train", "word2vec", "--set", "vectors.dim=8"],
    &["train", "regressor", "--set", "run.seed=9"],
    &["graph", "build"],
    &["index"],
];

fn n_cases(usual: usize) -> usize {
    std::env::var("TITLECARD_FAULTS").ok().map_or(usual, |text| text.parse().expect("a number of cases"))
}

/// A ready working folder of 240 films, and a catalogue of 241 to be prepared next.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let catalogue = |n: usize| {
        (0..n).fold("id,title,tags\n".to_owned(), |text, film| {
            let word = ["shark", "beach", "ship", "war", "love", "road", "king", "child"][film % 8];
            format!("{text}{film},Film {film},the {word} and the {word} of film number {film} in a town\n")
        })
    };
    fs::write(path.join("old.csv"), catalogue(240)).unwrap();
    fs::write(path.join("new.csv"), catalogue(241)).unwrap();
    let small = "[run]\nthreads = 2\n[vectors]\ndim = 12\nepochs = 1\nmin_count = 1\n[regressor]\nepochs = 1\n\
                 hidden = [16]\ndropout = [0.1]\n";
    fs::write(path.join("titlecard.toml"), small).unwrap();
    for step in [
        &["prepare", "old.csv"][..],
        &["train", "word2vec"],
        &["train", "regressor"],
        &["graph", "build"],
        &["index"],
    ] {
        run(path, step).expect(0);
    }
    folder
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// All files below a folder.
pub(crate) fn below(folder: &Path, all: &mut Vec<PathBuf>) {
    assert!(folder.is_dir(), "`{}` is a folder", folder.display());
    below_if_there(folder, all);
}

/// [`below`] for a folder that another process is writing in.
pub(crate) fn below_if_there(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            below_if_there(&entry.path(), all);
        } else {
            all.push(entry.path());
        }
    }
}

/// What a person has.
#[derive(Clone, PartialEq)]
struct State {
    /// Files outside the index by name. Left out are logs and what is removed by the next run: files being written.
    files: BTreeMap<String, Vec<u8>>,
    /// Files of the generation that the manifest names; no two builds give the same, for tantivy draws names.
    index: BTreeMap<String, Vec<u8>>,
    /// What a search of all films answers, with its exit code. (Opening compares all checksums of so small an index.)
    answers: (i32, String),
}

fn state(root: &Path) -> State {
    let mut all = Vec::new();
    below(root, &mut all);
    let manifest = fs::read_to_string(root.join("index/manifest.json")).unwrap_or_default();
    let (mut files, mut index) = (BTreeMap::new(), BTreeMap::new());
    for path in all {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let is_passing = name.starts_with("tmp/")
            || name.contains("/.")
            || [".checkpoint", ".lock"].iter().any(|end| name.ends_with(end));
        let generation = name.strip_prefix("index/gen-").and_then(|rest| rest.split('/').next());
        if is_passing || generation.is_some_and(|name| !manifest.contains(&format!("gen-{name}"))) {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        if name.starts_with("index/") {
            index.insert(name, bytes)
        } else {
            files.insert(name, bytes)
        };
    }
    let answer = run(root, &["search", "a shark at the beach of film number 7", "-k", "300"]);
    // An answer, or an error with the way out: graph and index of two catalogues are refused together.
    assert!(answer.code == 0 || answer.stderr.contains("hint:"), "{}", answer.stderr);
    State { files, index, answers: (answer.code, answer.stdout) }
}

/// Every file is the one before or the one after, and the index as a whole is one of them.
fn assert_not_between(found: &State, before: &State, after: &State, case: &str) {
    for name in before.files.keys().chain(after.files.keys()).chain(found.files.keys()) {
        let file = found.files.get(name);
        assert!(
            file == before.files.get(name) || file == after.files.get(name),
            "`{name}` is between, {case}"
        );
    }
    assert!(
        found.index == before.index || found.answers == after.answers,
        "the index is between, {case}: {:?}",
        found.answers
    );
}

fn is_done(found: &State, after: &State) -> bool {
    found.files == after.files && found.answers == after.answers
}

/// The step that failed can be run again to the same end.
fn assert_goes_on(root: &Path, step: &[&str], after: &State, case: &str) {
    run(root, step).expect(0);
    assert!(is_done(&state(root), after), "the step run again comes to another end, {case}");
}

/// A folder after `step`, its state, and how long the step took.
fn after_of(before: &Path, step: &[&str]) -> (tempfile::TempDir, State, Duration) {
    let done = tempfile::tempdir().unwrap();
    copy(before, done.path());
    let started = Instant::now();
    run(done.path(), step).expect(0);
    let takes = started.elapsed();
    let after = state(done.path());
    (done, after, takes)
}

#[test]
fn a_step_killed_at_any_moment_leaves_the_state_before_or_after() {
    let mut template = folder();
    let n = n_cases(3).max(1);
    let (mut n_before, mut n_all) = (0, 0);
    for step in STEPS {
        let before = state(template.path());
        let (done, after, takes) = after_of(template.path(), step);
        assert!(after != before, "{step:?} changes something");
        for case in 0..n {
            let work = tempfile::tempdir().unwrap();
            copy(template.path(), work.path());
            // Evenly over the time it takes, from a multiplicative sequence.
            let share = (0.618_034 * (case as f64 + 1.0)).fract();
            let mut child =
                command(work.path(), step).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(takes.mul_f64(share));
            child.kill().unwrap();
            child.wait().unwrap();
            let case = format!("{step:?} killed after {share:.3} of {takes:?}");
            let found = state(work.path());
            assert_not_between(&found, &before, &after, &case);
            n_before += usize::from(found == before);
            n_all += 1;
            // The whole check costs two runs: of a long run every tenth.
            if n_all % (1 + n / 10) == 0 {
                assert_goes_on(work.path(), step, &after, &case);
            }
        }
        template = done;
    }
    eprintln!("{n_all} kills, {n_before} left all as it was, none anything between");
}

/// Compiles the file beside this one; none without a C compiler.
fn shim(folder: &Path) -> Option<PathBuf> {
    let library = folder.join("failing_writes.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/failing_writes.c");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .args([source, "-ldl"])
        .status();
    made.is_ok_and(|status| status.success()).then_some(library)
}

#[test]
fn a_write_that_fails_is_said_and_loses_nothing() {
    let mut template = folder();
    let tools = tempfile::tempdir().unwrap();
    let Some(shim) = shim(tools.path()) else {
        eprintln!("skipped: there is no C compiler");
        return;
    };
    let (mut n_all, mut n_said) = (0, 0);
    for step in STEPS {
        let before = state(template.path());
        let (done, after, _) = after_of(template.path(), step);
        let failing = |at: usize, how: &str| {
            let work = tempfile::tempdir().unwrap();
            copy(template.path(), work.path());
            let count = tools.path().join("count");
            let run: crate::Run = command(work.path(), step)
                .env("LD_PRELOAD", &shim)
                .envs([("FAIL_AT", at.to_string()), ("FAIL_HOW", how.to_owned())])
                .env("FAIL_COUNT", &count)
                .output()
                .unwrap()
                .into();
            let count: usize = fs::read_to_string(&count).unwrap_or_default().parse().unwrap_or(0);
            (work, run, count)
        };
        let (_work, whole, n_calls) = failing(usize::MAX >> 1, "EIO");
        whole.expect(0);
        assert!(n_calls > 3, "{step:?} writes");
        let n = match n_cases(4) {
            0 => n_calls,
            n => n.min(n_calls),
        };
        for case in 0..n {
            let at = 1 + case * n_calls / n;
            let how = ["ENOSPC", "EIO", "SHORT"][case % 3];
            let (work, run, _) = failing(at, how);
            let case =
                format!("{step:?}, call {at} of {n_calls} fails with {how}: {} {}", run.code, run.stderr);
            assert!(run.code == 0 || run.code == 2, "{case}");
            assert!(!run.stderr.contains("panicked"), "{case}");
            let found = state(work.path());
            assert_not_between(&found, &before, &after, &case);
            if run.code == 0 {
                // What may fail unnoticed: the log, and making a rename durable where a file system cannot.
                assert!(is_done(&found, &after), "said to be done and is not, {case}");
            } else {
                assert!(run.stderr.starts_with("error: "), "{case}");
                n_said += 1;
            }
            if n_all % 10 == 0 {
                assert_goes_on(work.path(), step, &after, &case);
            }
            n_all += 1;
        }
        template = done;
    }
    eprintln!("{n_all} failing calls, {n_said} said, nothing lost");
    assert!(n_said > 0);
}
