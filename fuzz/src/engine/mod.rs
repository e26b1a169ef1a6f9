//! Targets of the engine: what is read from files of others, from files of our own, and from people.

mod catalogue;
mod files;
pub mod folder;
mod query;
mod rules;
mod vectors;

pub use catalogue::{catalogue, cells};
pub use files::{graph, index};
pub use query::query;
pub use rules::rules;
pub use vectors::vectors;

use std::fs;
use std::path::PathBuf;

/// Writes `bytes` to a file of this thread's own, called `name`. It is a new file every time: one that is mapped may not
/// be cut under its reader.
fn file_of(name: &str, bytes: &[u8]) -> PathBuf {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder for temporary files");
    }
    let path = FOLDER.with(|folder| folder.path().join(name));
    let _ = fs::remove_file(&path);
    fs::write(&path, bytes).expect("a file can be written");
    path
}
