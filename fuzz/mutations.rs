//! What the test suite does with the targets: every input of the corpus, then mutations of them, the same every time.
//!
//! A part of what `scripts/fuzz.sh` does with coverage to guide it, on stable Rust and in seconds. `TITLECARD_FAULTS` is how
//! many mutations at least (`docs/reliability.md`).

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

const SEED: u64 = 2026;

/// The folder `fuzz`, from a crate two folders below the root.
pub(crate) fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The inputs of a target with their names, in the order of the names.
pub(crate) fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = home().join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<(String, Vec<u8>)> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "no input in {}", folder.display());
    inputs
}

/// The words of a target's dictionary, in libFuzzer's form: one a line in quotation marks, with `\"`, `\\` and `\xNN`.
fn dictionary(target: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(home().join(format!("{target}.dict"))).unwrap_or_default();
    let word = |line: &str| {
        let mut rest = line.trim().strip_prefix('"')?.strip_suffix('"')?.bytes();
        let mut word = Vec::new();
        while let Some(byte) = rest.next() {
            match byte {
                b'\\' => match rest.next()? {
                    b'x' => {
                        let digits = [rest.next()?, rest.next()?];
                        word.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                    }
                    other => word.push(other),
                },
                byte => word.push(byte),
            }
        }
        Some(word)
    };
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(|line| word(line).unwrap_or_else(|| panic!("{target}.dict: `{line}`"))).collect()
}

/// Other bytes than `seed`: some changed, cut, doubled, or put in from the words of a format.
fn mutated(seed: &[u8], words: &[Vec<u8>], random: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=bytes.len());
        let end = (at + random.random_range(0..20_usize)).min(bytes.len());
        match random.random_range(0..6) {
            0 if at < bytes.len() => bytes[at] = random.random(),
            // Lengths and numbers of files are of four bytes, mostly small.
            1 if at + 4 <= bytes.len() => {
                let number = random.random::<u32>() >> random.random_range(0..32_u32);
                bytes[at & !3..(at & !3) + 4].copy_from_slice(&number.to_le_bytes());
            }
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            4 if !words.is_empty() => {
                drop(bytes.splice(at..at, words[random.random_range(0..words.len())].iter().copied()));
            }
            5 => bytes.truncate(at.max(bytes.len() / 2)),
            _ => {}
        }
    }
    bytes
}

/// Runs `body` over the corpus of `target` and `usual` mutations of it (or as many as `TITLECARD_FAULTS` asks for, if
/// more); what it panics on is shown.
pub(crate) fn run(target: &str, usual: usize, body: impl Fn(&[u8])) {
    let asked =
        std::env::var("TITLECARD_FAULTS").ok().map_or(0, |text| text.parse().expect("a number of cases"));
    let n = usual.max(asked);
    let (inputs, words) = (corpus(target), dictionary(target));
    let tried = |what: &str, bytes: &[u8]| {
        let ended = catch_unwind(AssertUnwindSafe(|| body(bytes)));
        assert!(ended.is_ok(), "{target}, {what}, a panic on {:?}", String::from_utf8_lossy(bytes));
    };
    for (name, bytes) in &inputs {
        tried(name, bytes);
    }
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    for case in 0..n {
        let (name, bytes) = &inputs[case % inputs.len()];
        tried(&format!("mutation {case} of {name}"), &mutated(bytes, &words, &mut random));
    }
    eprintln!("{target}: {} inputs and {n} mutations, no panic", inputs.len());
}
