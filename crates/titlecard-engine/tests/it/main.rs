//! Tests of the engine through its public interface, in one binary.

#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]
#![allow(clippy::print_stderr, reason = "tests say what they skip")]

mod brute_force;
mod catalogue;
mod companies;
mod evaluation;
mod faults;
mod filter;
mod fuzz;
/// The targets of the fuzzer, and what is done with them here.
#[path = "../../../../fuzz/src/engine/mod.rs"]
#[allow(unreachable_pub, reason = "public where they are a crate")]
mod fuzz_engine;
#[path = "../../../../fuzz/mutations.rs"]
mod fuzz_mutations;
#[path = "../../../../fuzz/seeds.rs"]
mod fuzz_seeds;
mod graph;
mod index;
mod pipeline;
mod ranking;
mod regressor;
mod reproducible;
mod saved;
mod shared_data;
mod sources;
mod updates;

use std::ops::ControlFlow;

use titlecard_engine::catalogue::{Film, ReadOptions};
use titlecard_engine::progress::Progress;
use titlecard_engine::sample;

/// A report that never stops anything.
fn go_on(_: &Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// The films of the sample catalogue.
fn sample_films() -> Vec<Film> {
    let mut films = Vec::new();
    sample::read_films(&ReadOptions::default(), &mut |film| {
        films.push(film);
        ControlFlow::Continue(())
    })
    .unwrap();
    films
}
