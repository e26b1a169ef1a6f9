//! `titlecard verify`: what it finds in a folder where every file is damaged in turn.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use titlecard_engine::wordvec::WordVectors;
use titlecard_engine::wordvec::encoder::StaticEncoder;
use titlecard_engine::wordvec::write::Precision;
use titlecard_server::{Change, Journal};

use crate::nothing_lost::{below, folder};
use crate::run;

/// A folder with a file of every kind.
fn full_folder() -> tempfile::TempDir {
    let folder = folder();
    let path = folder.path();
    // Some more kinds than searching this catalogue needs.
    let words = ["shark", "beach", "ship"].map(str::to_owned).to_vec();
    let vectors = WordVectors::new(words, 2, vec![1.0, 0.0, 0.5, 0.5, 0.0, 1.0]).unwrap();
    let encoder = StaticEncoder::new(&vectors, &[2], 3, 1).unwrap();
    for name in ["encoder.tcse", "encoder-fold-0.tcse"] {
        encoder.save(&path.join("models").join(name), Precision::F16).unwrap();
    }
    run(path, &["train", "word2vec", "--subwords", "--set", "vectors.subword_buckets=50"]).expect(0);
    run(path, &["train", "regressor", "--name", "second"]).expect(0);
    run(path, &["index"]).expect(0);
    fs::write(path.join("models/rules.json"), titlecard_engine::sample::RULES).unwrap();
    fs::write(path.join("models/ranking.toml"), "[fusion]\nlexical = 0.5\n").unwrap();
    run(path, &["serve", "--new-key", "read"]).expect(0);
    let mut journal = Journal::open(&path.join("server/journal")).unwrap();
    for id in ["3", "4"] {
        journal.append(vec![Change::Delete { id: id.to_owned() }]).unwrap();
    }
    let header = r#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let mut weights = (header.len() as u64).to_le_bytes().to_vec();
    weights.extend(header.as_bytes());
    weights.extend([1.0_f32, 2.0].iter().flat_map(|x| x.to_le_bytes()));
    fs::create_dir_all(path.join("models/lm")).unwrap();
    fs::write(path.join("models/lm/model.safetensors"), weights).unwrap();
    fs::write(path.join("models/lm/config.json"), "{}").unwrap();
    folder
}

fn all_of(folder: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let mut files = Vec::new();
    below(folder, &mut files);
    let read = |path: &Path| (fs::read(path).unwrap(), path.metadata().unwrap().modified().unwrap());
    files.iter().map(|path| (path.display().to_string(), read(path))).collect()
}

/// State and way out of every file.
#[track_caller]
fn states(folder: &Path, code: i32) -> BTreeMap<String, (String, String)> {
    let found = run(folder, &["verify", "--json"]).expect(code);
    let files = found.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let text = |file: &serde_json::Value, name: &str| file[name].as_str().unwrap().to_owned();
    files.map(|file| (text(&file, "file"), (text(&file, "state"), text(&file, "remake")))).collect()
}

#[test]
fn every_damaged_file_is_named_with_the_way_out_and_nothing_is_written() {
    let folder = full_folder();
    let path = folder.path();
    let before = all_of(path);
    let good = states(path, 0);
    assert_eq!(all_of(path), before, "verifying writes nothing");
    let kinds = |state: &str| good.values().filter(|(found, _)| found == state).count();
    assert_eq!(kinds("damaged"), 0, "{good:?}");
    assert!(kinds("ok") >= 15 && kinds("no_checksum") >= 8, "{good:?}");
    let generation = fs::read_to_string(path.join("index/manifest.json")).unwrap();
    let n_indexed = generation.matches("\"sha256\"").count();
    assert_eq!(good.keys().filter(|name| name.starts_with("index/gen-")).count(), n_indexed);

    let table = run(path, &["verify"]).expect(0);
    assert!(table.stderr.ends_with("none is damaged\n"), "{}", table.stderr);
    for (name, (state, _)) in &good {
        let file = path.join(name);
        let bytes = fs::read(&file).unwrap();
        let mut bad = bytes.clone();
        if state == "ok" {
            let at = bytes.len() / 3;
            bad[at] ^= 1 + name.len() as u8;
        } else {
            // Without a checksum only what can no longer be read is known to be damaged. Half of the keys is their comment.
            if name != "server/keys" {
                bad.truncate(bytes.len() / 2);
            }
            bad.extend(b"\0{\"");
        }
        fs::remove_file(&file).unwrap();
        fs::write(&file, &bad).unwrap();
        eprintln!("{name} is changed");
        let found = states(path, 2);
        let (state, remake) = &found[name];
        assert_eq!(state, "damaged", "{name}");
        assert!(remake.contains("titlecard ") || name.starts_with("server/journal"), "{name}: `{remake}`");
        let others: Vec<_> =
            found.iter().filter(|(other, found)| *other != name && found.0 == "damaged").collect();
        assert!(others.is_empty(), "{name} was changed, and {others:?}");
        fs::write(&file, &bytes).unwrap();
    }
    // The end of a journal may be a write that was cut off, which is no damage.
    let journal = path.join("server/journal");
    let bytes = fs::read(&journal).unwrap();
    fs::write(&journal, &bytes[..bytes.len() - 5]).unwrap();
    assert_eq!(states(path, 0)["server/journal"].0, "no_checksum");
    let missing = good.keys().find(|name| name.ends_with("facts.tcff")).unwrap();
    fs::remove_file(path.join(missing)).unwrap();
    let table = run(path, &["verify"]).expect(2);
    assert!(
        table.stdout.contains("facts.tcff") && table.stdout.contains("it is missing"),
        "{}",
        table.stdout
    );
    assert!(
        table.stderr.contains("files are damaged") && table.stderr.contains("titlecard index"),
        "{}",
        table.stderr
    );
}

#[test]
fn a_folder_without_files_is_an_error_and_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    let found = run(folder.path(), &["verify"]).expect(2);
    assert!(found.stderr.contains("has no file of titlecard"), "{}", found.stderr);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn graph_and_index_of_two_catalogues_of_one_size_are_refused() {
    let folder = folder();
    let path = folder.path();
    let old = fs::read_to_string(path.join("old.csv")).unwrap();
    // The same number of films; the first has another id.
    fs::write(path.join("other.csv"), old.replacen("\n0,", "\nzero,", 1)).unwrap();
    run(path, &["prepare", "other.csv"]).expect(0);
    assert_eq!(states(path, 0)["index/manifest.json"].0, "ok", "an index of an earlier catalogue is sound");
    run(path, &["search", "a shark"]).expect(0);
    run(path, &["graph", "build"]).expect(0);
    let refused = run(path, &["search", "a shark"]).expect(2);
    assert!(refused.stderr.contains("are of different films (240 and 240)"), "{}", refused.stderr);
    assert!(refused.stderr.contains("`titlecard graph build` and `titlecard index`"), "{}", refused.stderr);
    assert_eq!(states(path, 2)["index/manifest.json"].0, "damaged");
    run(path, &["index"]).expect(0);
    run(path, &["search", "a shark"]).expect(0);
    states(path, 0);
}
