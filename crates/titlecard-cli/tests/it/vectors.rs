//! `titlecard vectors`: conversion, contents, neighbours, and what is said of a damaged file.

use crate::run;

const VECTORS: &str = "3 2\nred 1 0\nscarlet 0.9 0.1\nblue 0 1\n";

#[test]
fn a_text_file_is_converted_inspected_and_searched() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("v.txt"), VECTORS).unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (text, tcwv) = (path("v.txt"), path("v.tcwv"));
    run(folder.path(), &["vectors", "convert", &text, &tcwv, "--precision", "f16"]).expect(0);
    let info = run(folder.path(), &["vectors", "info", &tcwv, "--json"]).expect(0).stdout;
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!((&info["words"], &info["dim"], &info["precision"]), (&3.into(), &2.into(), &"f16".into()));
    for file in [&text, &tcwv] {
        let near = run(folder.path(), &["vectors", "nearest", file, "red", "-k", "1"]).expect(0).stdout;
        assert!(near.ends_with("  scarlet\n") && near.starts_with("0.99"), "{near}");
    }
    let bytes = std::fs::read(&tcwv).unwrap();
    std::fs::write(&tcwv, &bytes[..bytes.len() - 1]).unwrap();
    let error = run(folder.path(), &["vectors", "info", &tcwv]).expect(2).stderr;
    assert!(error.contains("cut short"), "{error}");
    let error = run(folder.path(), &["vectors", "nearest", &text, "green"]).expect(2).stderr;
    assert!(error.contains("`green` has no vector"), "{error}");
}

#[test]
fn a_conversion_that_fails_names_the_file_at_fault() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("v.txt"), VECTORS).unwrap();
    std::fs::write(folder.path().join("bad.txt"), "3 2\nred 1 0\n").unwrap();
    let stderr = |from, to| run(folder.path(), &["vectors", "convert", from, to]).expect(2).stderr;
    let error = stderr("v.txt", "no/such/folder/v.tcwv");
    assert!(error.contains("cannot write `no/such/folder/v.tcwv`"), "{error}");
    assert!(!error.contains("`v.txt`"), "{error}");
    let error = stderr("none.txt", "v.tcwv");
    assert!(error.contains("cannot open `none.txt`") && !error.contains("v.tcwv"), "{error}");
    let error = stderr("bad.txt", "v.tcwv");
    assert!(error.contains("`bad.txt`") && error.contains("cut short"), "{error}");
    // A folder cannot be replaced by a file; that shows only at the end.
    std::fs::create_dir(folder.path().join("folder.tcwv")).unwrap();
    let error = stderr("v.txt", "folder.tcwv");
    assert!(error.contains("cannot write `folder.tcwv`") && !error.contains("`v.txt`"), "{error}");
}

#[test]
fn word_vectors_are_trained_as_flags_file_and_defaults_say() {
    let folder = tempfile::tempdir().unwrap();
    let train = |more: &[&str], code| {
        let fixed = ["train", "word2vec", "--dim", "8", "--epochs", "1", "--set", "vectors.min_count=2"];
        run(folder.path(), &[&fixed[..], more].concat()).expect(code)
    };
    run(folder.path(), &["prepare"]).expect(0);
    let file = folder.path().join("models/vectors.tcwv");
    train(&[], 0);
    let plain = std::fs::read(&file).unwrap();
    train(&["--architecture", "skip-gram", "--objective", "negative-sampling", "--mode", "reproducible"], 0);
    assert!(std::fs::read(&file).unwrap() == plain, "these are the defaults");
    train(&["--architecture", "cbow", "--objective", "hierarchical-softmax"], 0);
    let other = std::fs::read(&file).unwrap();
    assert!(other != plain, "another architecture gives other vectors");
    // A settings file says the same; a flag wins over it.
    std::fs::write(
        folder.path().join("titlecard.toml"),
        "[vectors]\narchitecture = \"cbow\"\nobjective = \"hierarchical-softmax\"\n",
    )
    .unwrap();
    train(&[], 0);
    assert!(std::fs::read(&file).unwrap() == other);
    train(&["--architecture", "skip-gram", "--objective", "negative-sampling"], 0);
    assert!(std::fs::read(&file).unwrap() == plain);

    let said = train(&["--mode", "fast", "--set", "run.threads=2", "--phrases", "1"], 0).stderr;
    assert!(
        said.contains("another training will give other bytes") && said.contains("pairs of words"),
        "{said}"
    );
    train(&["--subwords", "--set", "vectors.subword_buckets=300"], 0);
    let tcsw = "models/vectors.tcsw";
    let info = run(folder.path(), &["vectors", "info", tcsw]).expect(0).stdout;
    assert!(info.contains("character n-grams") && info.contains("dimensions   8"), "{info}");
    let near = run(folder.path(), &["vectors", "nearest", tcsw, "unheardofness", "-k", "3"]).expect(0).stdout;
    assert_eq!(near.lines().count(), 3);
    let unknown =
        run(folder.path(), &["vectors", "nearest", "models/vectors.tcwv", "unheardofness"]).expect(2);
    assert!(unknown.stderr.contains("`unheardofness` has no vector"), "{}", unknown.stderr);

    let wrong = train(&["--architecture", "bow"], 2).stderr;
    assert!(wrong.contains("skip-gram, cbow"), "{wrong}");
    let wrong = train(&["--phrases", "9"], 2).stderr;
    assert!(wrong.contains("`vectors.phrases` is 9, it must be 0 to 4"), "{wrong}");
    let wrong = train(&["--set", "vectors.subwords=true", "--set", "vectors.subword_buckets=0"], 2).stderr;
    assert!(wrong.contains("`vectors.subword_buckets` is 0"), "{wrong}");
}

#[test]
fn a_picture_is_of_the_format_its_name_says_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), &["prepare"]).expect(0);
    run(folder.path(), &["train", "encoder"]).expect(0);
    for (name, beginning) in [("space.svg", &b"<svg"[..]), ("space.png", &b"\x89PNG"[..])] {
        run(folder.path(), &["vectors", "plot", name]).expect(0);
        assert!(std::fs::read(folder.path().join(name)).unwrap().starts_with(beginning), "{name}");
    }
    let error = run(folder.path(), &["vectors", "plot", "space.pdf"]).expect(2).stderr;
    assert!(error.contains("`space.pdf`") && error.contains("hint: end it in `.svg` or `.png`"), "{error}");
    assert!(!folder.path().join("space.pdf").exists());
}
