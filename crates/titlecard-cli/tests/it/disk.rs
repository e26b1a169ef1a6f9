//! How much room a rebuild takes: the old state, the new one and what is written on the way, beside the new one alone.
#![cfg(unix)]

use std::path::Path;
use std::process::Stdio;

use crate::nothing_lost::below_if_there;
use crate::{command, run};

/// Room of a working folder while a step is run again, as a multiple of its room when the step has ended.
const MOST: f64 = 2.2;

/// Bytes of all files below `folder`; files that go while they are counted count nothing.
fn bytes_below(folder: &Path) -> u64 {
    let mut files = Vec::new();
    below_if_there(folder, &mut files);
    files.iter().map(|path| path.metadata().map_or(0, |found| found.len())).sum()
}

#[test]
fn a_rebuild_takes_little_more_room_than_the_old_and_the_new_state() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let small = "[run]\nthreads = 2\n[regressor]\nepochs = 1\nhidden = [16]\ndropout = [0.1]\n";
    std::fs::write(path.join("titlecard.toml"), small).unwrap();
    let steps: [(&[&str], &str); 3] =
        [(&["prepare"], "data"), (&["graph", "build"], "graph"), (&["index"], "index")];
    for step in [&["prepare"][..], &["train", "regressor"], &["graph", "build"], &["index"]] {
        run(path, step).expect(0);
    }
    let mut said = String::new();
    for (step, part) in steps {
        let part = path.join(part);
        let mut child = command(path, step).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            peak = peak.max(bytes_below(&part));
        }
        assert!(child.wait().unwrap().success(), "{step:?}");
        let after = bytes_below(&part);
        let share = peak as f64 / after as f64;
        said += &format!("{} {share:.2} times {after} bytes; ", step.join(" "));
        assert!(share <= MOST, "{step:?}: {peak} bytes at most, {after} at the end");
        assert!(share >= 1.0, "{step:?}: {peak} bytes at most, {after} at the end: nothing was seen");
    }
    eprintln!("{said}");
}
