//! What is fuzzed: one function a target, which takes any bytes and panics if what it calls does not keep its word.
//!
//! `fuzz_targets/` hands the functions to libFuzzer; the tests of the crates run them over `corpus/` and mutations of it
//! (`mutations.rs`), on stable Rust and within seconds.

pub mod api;
pub mod engine;
pub mod rule_list;
