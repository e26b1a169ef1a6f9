//! titlecard: from a description of a film in one's own words to its title.
//!
//! The modules are the steps of the pipeline, in order:
//!
//! ```text
//! catalogue -> text -> embedding -> regressor -> index -> rank -> search -> eval
//! ```
//!
//! [`pipeline`] runs them over a working folder; [`search::Engine`] answers queries; [`config`] holds
//! every setting. The library never prints: long steps report through [`progress`].

pub mod catalogue;
mod edits;
pub mod text;

pub mod graph;
pub mod query;

pub mod embedding;
pub mod encoder;
pub mod regressor;

pub mod ask;
pub mod filter;
pub mod index;
pub mod rank;
pub mod search;
pub mod similar;
pub mod titles;
pub mod update;

pub mod eval;

pub mod artifact;
pub mod config;
pub mod pipeline;
pub mod progress;
pub mod sample;

pub mod backup;
pub mod verify;

/// The word-vector library, for front ends that work on files of vectors without a catalogue.
pub use wordvec;

/// Gives all parallel steps of this process `n_threads` threads. Results do not depend on the number.
///
/// # Errors
/// [`rayon::ThreadPoolBuildError`] if the threads cannot be started; a second call changes nothing.
pub fn set_threads(n_threads: usize) -> Result<(), rayon::ThreadPoolBuildError> {
    use std::sync::OnceLock;
    static DONE: OnceLock<()> = OnceLock::new();
    if DONE.set(()).is_err() {
        return Ok(());
    }
    rayon::ThreadPoolBuilder::new().num_threads(n_threads).build_global()
}
