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
