//! Help pages, and what the program says to arguments it does not understand.

use crate::run;

#[test]
fn help_pages_are_these() {
    let folder = tempfile::tempdir().unwrap();
    for page in [
        "",
        "demo",
        "fetch",
        "prepare",
        "catalogue",
        "catalogue export",
        "train",
        "train word2vec",
        "train regressor",
        "train fusion",
        "train encoder",
        "train lm",
        "lm",
        "lm generate",
        "lm eval",
        "lm merge",
        "lm info",
        "vectors",
        "vectors convert",
        "vectors info",
        "vectors nearest",
        "vectors plot",
        "graph",
        "graph build",
        "graph query",
        "graph show",
        "graph export",
        "index",
        "search",
        "find",
        "similar",
        "serve",
        "eval",
        "verify",
        "backup",
        "config",
        "completions",
    ] {
        let mut arguments: Vec<&str> = page.split_whitespace().collect();
        arguments.push("--help");
        let help = run(folder.path(), &arguments).expect(0);
        assert_eq!(help.stderr, "");
        let name = if page.is_empty() { "titlecard".to_owned() } else { page.replace(' ', "_") };
        insta::assert_snapshot!(name, help.stdout);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "help leaves no trace");
}

#[test]
fn the_manual_page_has_the_commands_of_the_help() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/titlecard.1")).unwrap();
    let in_page: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix(".B ")).collect();
    let folder = tempfile::tempdir().unwrap();
    let help = run(folder.path(), &["--help"]).expect(0).stdout;
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands: Vec<&str> = commands
        .lines()
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(commands.len() > 15, "{commands:?}");
    let listed: Vec<&str> = in_page.into_iter().filter(|name| commands.contains(name)).collect();
    assert_eq!(listed, commands, "packaging/titlecard.1 lists other commands than `titlecard --help`");
}

#[test]
fn mistakes_in_the_arguments_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let stderr = |arguments: &[&str]| run(folder.path(), arguments).expect(2).stderr;
    assert!(stderr(&["serach", "x"]).contains("'search'"));
    assert!(stderr(&[]).contains("Usage: titlecard"));
    assert!(stderr(&["search", "x", "--top", "0"]).contains("--top"));
    let unknown = stderr(&["--set", "regressor.epoch=3", "config"]);
    assert!(unknown.contains("unknown setting `regressor.epoch`"), "{unknown}");
    assert!(unknown.contains("hint: did you mean `regressor.epochs`?"), "{unknown}");
    assert!(stderr(&["--set", "epochs", "config"]).contains("hint: write `--set KEY=VALUE`"));
    assert!(stderr(&["--config", "none.toml", "config"]).contains("none.toml"));
}

#[test]
fn completions_know_the_subcommands() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(folder.path(), &["completions", shell]).expect(0).stdout;
        assert!(script.contains("prepare") && script.contains("regressor"), "{shell}");
    }
}

#[test]
fn settings_come_from_flag_environment_file_and_default_in_this_order() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("titlecard.toml"),
        "[lexical]\nk1 = 0.5\nb = 0.5\n[eval]\nmax_films = 5\n",
    )
    .unwrap();
    let output = crate::command(folder.path(), &["--set", "lexical.k1=0.7", "config", "--json"])
        .env("TITLECARD_LEXICAL_K1", "0.6")
        .env("TITLECARD_LEXICAL_B", "0.6")
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let line = |key: &str| stdout.lines().find(|line| line.contains(&format!("\"key\":\"{key}\""))).unwrap();
    assert!(line("lexical.k1").contains("\"value\":0.7") && line("lexical.k1").contains("flag `--set`"));
    assert!(line("lexical.b").contains("\"value\":0.6") && line("lexical.b").contains("TITLECARD_LEXICAL_B"));
    assert!(
        line("eval.max_films").contains("\"value\":5") && line("eval.max_films").contains("titlecard.toml")
    );
    assert!(line("run.seed").contains("\"origin\":\"default\""));

    // What `config` prints is a settings file that means the same.
    let printed = run(folder.path(), &["config"]).expect(0).stdout;
    std::fs::write(folder.path().join("titlecard.toml"), &printed).unwrap();
    let values = |text: &str| {
        text.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(values(&run(folder.path(), &["config"]).expect(0).stdout), values(&printed));
}
