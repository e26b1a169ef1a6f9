//! Two processes in one working folder: one writes, the other is refused; whoever reads goes on.
#![cfg(unix)]

use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use titlecard_engine::pipeline::Workspace;

use crate::nothing_lost::folder;
use crate::{Run, command, run};

const REFUSED: &str = "another `titlecard` is writing into";

#[test]
fn a_second_writer_is_refused_and_readers_are_not() {
    let folder = folder();
    let path = folder.path();
    let before = fs::read(path.join("index/manifest.json")).unwrap();
    // This process is the first one.
    let lock = Workspace::new(path).lock().unwrap();
    for step in [&["prepare", "new.csv"][..], &["train", "word2vec"], &["graph", "build"], &["index"]] {
        let refused = run(path, step).expect(2);
        assert!(
            refused.stderr.contains(REFUSED) && refused.stderr.contains("hint: wait"),
            "{}",
            refused.stderr
        );
    }
    assert_eq!(fs::read(path.join("index/manifest.json")).unwrap(), before);
    run(path, &["search", "a shark at the beach"]).expect(0);
    run(path, &["find", "film 7"]).expect(0);
    run(path, &["verify"]).expect(0);
    drop(lock);
    run(path, &["index"]).expect(0);
}

#[test]
fn two_at_the_same_time_leave_one_whole_index_and_a_kill_leaves_no_lock() {
    let folder = folder();
    let path = folder.path();
    let mut n_refused = 0;
    for _ in 0..5 {
        let start =
            || command(path, &["index"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let runs = [start(), start()].map(|child| Run::from(child.wait_with_output().unwrap()));
        for run in &runs {
            assert!(
                run.code == 0 || run.code == 2 && run.stderr.contains(REFUSED),
                "{} {}",
                run.code,
                run.stderr
            );
        }
        let n = runs.iter().filter(|run| run.code == 2).count();
        assert!(n < 2, "one of two goes through");
        n_refused += n;
        run(path, &["verify"]).expect(0);
    }
    assert!(n_refused > 0, "the two meet");

    for wait in [5, 30, 80] {
        let mut child =
            command(path, &["index"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
        run(path, &["index"]).expect(0);
    }
}

#[test]
fn searching_goes_on_while_indexes_come_and_go() {
    let folder = folder();
    let path = folder.path();
    let ask = || run(path, &["search", "a shark at the beach of film number 7", "-k", "20"]).expect(0).stdout;
    let expected = ask();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut n = 0;
            while !is_done.load(Ordering::SeqCst) {
                assert_eq!(ask(), expected);
                run(path, &["verify"]).expect(0);
                n += 1;
            }
            n
        });
        for _ in 0..8 {
            // Every build is a new generation and removes the one before: tantivy draws names.
            run(path, &["index"]).expect(0);
        }
        is_done.store(true, Ordering::SeqCst);
        assert!(asking.join().unwrap() > 2);
    });
}
