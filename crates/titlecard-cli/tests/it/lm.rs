//! The language model on the command line, on the sample films.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Run, command, run, run_with_input};

/// A shape that trains in a second or two.
const SHAPE: &str = r#"{"model_type": "gpt_neox", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "vocab_size": 400, "max_position_embeddings": 128}"#;

fn train(folder: &Path, more: &[&str]) -> Run {
    fs::write(folder.join("shape.json"), SHAPE).unwrap();
    let arguments = ["train", "lm", "--from-scratch", "shape.json", "--set", "lm.context=120"];
    run(folder, &[&arguments[..], more].concat())
}

#[test]
fn a_model_is_trained_used_measured_and_merged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run(path, &["prepare"]).expect(0);
    let none = run(path, &["lm", "generate", "a shark"]).expect(2);
    assert!(none.stderr.contains("hint: train a model with `titlecard train lm`"), "{}", none.stderr);

    let trained = train(path, &["--steps", "15"]).expect(0);
    assert!(trained.stderr.contains("step 15: development loss"), "{}", trained.stderr);
    assert!(trained.stderr.contains("15 steps in"), "{}", trained.stderr);
    assert_eq!(trained.stdout, "");
    for file in
        ["config.json", "model.safetensors", "tokenizer.json", "log.jsonl", "loss.svg", "training.json"]
    {
        assert!(path.join("models/lm").join(file).exists(), "{file}");
    }
    let again = run(path, &["lm", "generate", "a shark hunts swimmers"]).expect(0).stdout;
    assert_eq!(run(path, &["lm", "generate", "a shark hunts swimmers"]).expect(0).stdout, again);
    let piped = run_with_input(path, &["lm", "generate", "-"], "a shark hunts swimmers\n").expect(0);
    assert_eq!(piped.stdout, again);
    for options in [
        &["--temperature", "0.9", "--top-k", "20", "--top-p", "0.9", "--min-p", "0.01"][..],
        &["--beams", "3"],
        &["--precision", "int8", "--raw"],
    ] {
        let json = run(path, &[&["lm", "generate", "--json", "--max-new", "8", "a shark"], options].concat())
            .expect(0);
        let first = json.stdout.lines().next().unwrap();
        let line: serde_json::Value = serde_json::from_str(first).unwrap();
        assert!(line["text"].is_string() && line["prompt"].as_str().unwrap().contains("a shark"), "{line}");
    }
    let titles = run(path, &["lm", "generate", "--titles", "4", "--json", "a shark"]).expect(0).stdout;
    let line: serde_json::Value = serde_json::from_str(&titles).unwrap();
    let titles = line["titles"].as_array().unwrap();
    assert_eq!(titles.len(), 4);
    let films = run(path, &["find", titles[0]["title"].as_str().unwrap()]);
    assert!(films.code == 0 || films.stderr.contains("graph"), "{}", films.stderr);
    let exact =
        run(path, &["lm", "generate", "--titles", "4", "--exact", "--json", "a shark"]).expect(0).stdout;
    let exact: serde_json::Value = serde_json::from_str(&exact).unwrap();
    let best = |line: &serde_json::Value| line["titles"][0]["log_probability"].as_f64().unwrap();
    assert!(best(&exact) >= best(&line) - 1e-6);

    let measured = run(path, &["lm", "eval", "--films", "20", "--titles", "3", "--json"]).expect(0).stdout;
    let measured: serde_json::Value = serde_json::from_str(&measured).unwrap();
    assert_eq!(measured["n_films"], 20);
    assert!(measured["perplexity"].as_f64().unwrap() < 400.0 && measured["titles"]["n_films"] == 3);

    let info = run(path, &["lm", "info"]).expect(0).stdout;
    assert!(info.contains("1 layers of width 16, 2 heads (2 of 8 components rotary)"), "{info}");

    // An adapter for it, trained elsewhere, merged into a model of its own.
    let other = path.join("other");
    fs::create_dir(&other).unwrap();
    run(&other, &["prepare"]).expect(0);
    let adapter =
        ["train", "lm", "--model", "../models/lm", "--lora", "--steps", "3", "--set", "lm.context=120"];
    run(&other, &adapter).expect(0);
    assert!(other.join("models/lm/adapter_model.safetensors").exists());
    let info = run(&other, &["lm", "info", "--json"]).expect(0).stdout;
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!((&info["adapter_rank"], &info["width"]), (&8.into(), &16.into()));
    run(&other, &["lm", "merge", "models/lm", "merged", "--dtype", "f16"]).expect(0);
    let merged = run(&other, &["lm", "generate", "--model", "merged", "a shark"]).expect(0);
    assert!(!merged.stdout.is_empty());
    let twice = run(&other, &["lm", "merge", "merged", "again"]).expect(2);
    assert!(twice.stderr.contains("hint: there is nothing to merge"), "{}", twice.stderr);
}

#[test]
fn faults_of_models_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let unprepared = run(path, &["train", "lm"]).expect(2);
    assert!(unprepared.stderr.contains("hint: run `titlecard prepare` first"), "{}", unprepared.stderr);
    run(path, &["prepare"]).expect(0);
    train(path, &["--steps", "2"]).expect(0);
    let long = run(path, &["lm", "generate", "--max-new", "200", "a shark"]).expect(2);
    assert!(long.stderr.contains("the model has 128 positions"), "{}", long.stderr);
    assert!(long.stderr.contains("hint: shorten the prompt or ask for fewer"), "{}", long.stderr);
    let wrong = run(path, &["train", "lm", "--set", "lm.learning_rate=0"]).expect(2);
    assert!(wrong.stderr.contains("`lm.learning_rate` is 0, it must be above 0"), "{}", wrong.stderr);
    let size = run(path, &["train", "lm", "--from-scratch", "13m"]).expect(2);
    assert!(size.stderr.contains("`13m`"), "{}", size.stderr);
    let resumed = run(path, &["train", "lm", "--resume"]).expect(2);
    assert!(resumed.stderr.contains("holds no unfinished training"), "{}", resumed.stderr);
    let nothing = run(path, &["lm", "info", "data"]).expect(2);
    assert!(nothing.stderr.contains("`data` has no `config.json`"), "{}", nothing.stderr);

    // No hub at this address: said plainly, with the way out.
    let output = command(path, &["train", "lm", "--model", "owner/model"])
        .env("HF_ENDPOINT", "http://127.0.0.1:9")
        .output()
        .unwrap();
    let offline = Run::from(output).expect(2);
    assert!(offline.stderr.contains("error: cannot fetch `owner/model`"), "{}", offline.stderr);
    assert!(
        offline.stderr.contains("give the folder of a model that is on this machine"),
        "{}",
        offline.stderr
    );

    // A truncated model is told apart from a foreign one, and stays as it is.
    let weights = path.join("models/lm/model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let damaged = run(path, &["lm", "generate", "a shark"]).expect(2);
    assert!(
        damaged.stderr.contains("is damaged") && damaged.stderr.contains("its header says"),
        "{}",
        damaged.stderr
    );
    fs::write(&weights, &bytes).unwrap();

    // A limit on the size of a file stands in for a full disk.
    if cfg!(unix) {
        let script = format!(
            "ulimit -f 8; trap '' XFSZ; exec {} train lm --from-scratch shape.json --steps 2 --set lm.context=120",
            env!("CARGO_BIN_EXE_titlecard")
        );
        let full: Run = Command::new("bash").args(["-c", &script]).current_dir(path).output().unwrap().into();
        let full = full.expect(2);
        assert!(full.stderr.contains("cannot write"), "{}", full.stderr);
        assert_eq!(fs::read(&weights).unwrap(), bytes, "the old model is untouched");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_steps_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run(path, &["prepare"]).expect(0);
    fs::write(path.join("shape.json"), SHAPE).unwrap();
    let settings = ["--from-scratch", "shape.json", "--set", "lm.context=120", "--set", "lm.samples=0"];
    let long = [&["train", "lm", "--steps", "100000"], &settings[..]].concat();
    let child = command(path, &long).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let log = path.join("models/lm/unfinished/log.jsonl");
    let started = Instant::now();
    while fs::metadata(&log).map_or(0, |file| file.len()) < 2000 {
        assert!(started.elapsed() < Duration::from_secs(120), "no step after two minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let stopped = Run::from(child.wait_with_output().unwrap()).expect(130);
    assert!(stopped.stderr.contains("go on with `titlecard train lm --resume`"), "{}", stopped.stderr);
    assert!(path.join("models/lm/unfinished/checkpoint").exists());
    assert!(!path.join("models/lm/model.safetensors").exists());
    // Another number of steps is another training.
    let other = [&["train", "lm", "--steps", "5", "--resume"], &settings[..]].concat();
    let other = run(path, &other).expect(2);
    assert!(other.stderr.contains("the checkpoint was made with other"), "{}", other.stderr);
}
