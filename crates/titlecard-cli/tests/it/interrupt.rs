//! Ctrl-C during long steps.
#![cfg(unix)]

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Run, command, run};

#[test]
fn ctrl_c_during_training_keeps_the_last_epoch_and_the_old_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run(path, &["prepare"]).expect(0);
    run(
        path,
        &[
            "train",
            "regressor",
            "--epochs",
            "1",
            "--set",
            "regressor.hidden=[16]",
            "--set",
            "regressor.dropout=[0.1]",
        ],
    )
    .expect(0);
    let model = fs::read(path.join("models/regressor-default.safetensors")).unwrap();

    // More epochs than anybody waits for; the loss may not stop it early.
    let long = ["train", "regressor", "--epochs", "100000", "--set", "regressor.patience=100000"];
    let child = command(path, &long).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let checkpoint = path.join("models/regressor-default.checkpoint");
    let started = Instant::now();
    while !checkpoint.exists() {
        assert!(started.elapsed() < Duration::from_secs(120), "no checkpoint after two minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
    let interrupted = Instant::now();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let stopped: Run = child.wait_with_output().unwrap().into();
    let stopped = stopped.expect(130);
    assert!(interrupted.elapsed() < Duration::from_secs(20));
    assert!(stopped.stderr.contains("go on with `titlecard train regressor --resume`"), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("interrupted while training regressor"), "{}", stopped.stderr);
    assert_eq!(fs::read(path.join("models/regressor-default.safetensors")).unwrap(), model);

    let resumed = run(path, &["train", "regressor", "--epochs", "3", "--resume"]).expect(2);
    assert!(
        resumed.stderr.contains("the checkpoint was made with other settings or data"),
        "{}",
        resumed.stderr
    );
}
