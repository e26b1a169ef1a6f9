//! The server as clients see it: over a socket, on the sample catalogue.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]
#![allow(clippy::print_stderr, reason = "tests say what they skip")]

mod answers;
mod client;
mod documents;
mod errors;
/// What the fuzzer does with the API, and what is done with it here.
#[path = "../../../../fuzz/src/api.rs"]
#[allow(unreachable_pub, reason = "public where it is a crate")]
mod fuzz_api;
#[path = "../../../../fuzz/mutations.rs"]
mod fuzz_mutations;
mod limits;
mod running;
mod updates;

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use titlecard_engine::artifact::write_bytes;
use titlecard_engine::config::Config;
use titlecard_engine::pipeline::{self, DEFAULT_REGRESSOR, Workspace};
use titlecard_engine::{progress, sample};

/// Settings under which the sample is made ready in seconds.
pub(crate) fn small() -> Config {
    let mut config = Config::default();
    config.regressor.epochs = 1;
    config.regressor.hidden = vec![16];
    config.regressor.dropout = vec![0.1];
    config.search.year = 2020;
    config.run.threads = 2;
    config.server.address = "127.0.0.1:0".to_owned();
    config.server.rate_per_second = 0;
    // Tests run beside each other on busy machines.
    config.server.deadline_ms = 60_000;
    config
}

/// A working folder of the sample, made once for all tests.
fn template() -> &'static tempfile::TempDir {
    static TEMPLATE: OnceLock<tempfile::TempDir> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::new(folder.path());
        let config = small();
        pipeline::prepare(&workspace, &config, &mut progress::silent).unwrap();
        let catalogue = pipeline::load_films(&workspace).unwrap();
        let films = catalogue.films();
        pipeline::train_regressor(
            &workspace,
            &config,
            films,
            DEFAULT_REGRESSOR,
            false,
            &mut progress::silent,
        )
        .unwrap();
        pipeline::build_graph(&workspace, &config, films, &mut progress::silent).unwrap();
        pipeline::build_index(&workspace, &config, films, &mut progress::silent).unwrap();
        write_bytes(&workspace.rules(), sample::RULES.as_bytes()).unwrap();
        folder
    })
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A working folder of a test's own.
pub(crate) fn folder() -> (tempfile::TempDir, Workspace) {
    let folder = tempfile::tempdir().unwrap();
    copy(template().path(), folder.path());
    let workspace = Workspace::new(folder.path());
    (folder, workspace)
}
