//! Dependencies between our crates point one way (ARCHITECTURE.md).

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Who may depend on whom.
const ALLOWED: [(&str, &[&str]); 8] = [
    ("rrl", &[]),
    ("wordvec", &[]),
    ("nn", &[]),
    ("titlecard-engine", &["rrl", "wordvec", "nn"]),
    ("titlecard-lm", &["titlecard-engine", "nn"]),
    ("titlecard-server", &["titlecard-engine"]),
    ("titlecard-cli", &["titlecard-engine", "titlecard-lm", "titlecard-server"]),
    ("titlecard-python", &["titlecard-engine", "titlecard-lm", "rrl", "wordvec"]),
];

#[test]
fn crates_depend_only_downwards() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        ALLOWED.iter().map(|(name, on)| (*name, on.iter().copied().collect())).collect();
    let packages = metadata["packages"].as_array().unwrap();
    assert_eq!(packages.len(), allowed.len(), "a new crate needs its place in this table");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let Some(allowed_on) = allowed.get(name) else {
            panic!("`{name}` has no place in the table of layers")
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = dependency["name"].as_str().unwrap();
            assert!(
                !allowed.contains_key(on) || allowed_on.contains(on),
                "`{name}` must not depend on `{on}`"
            );
        }
    }
}
