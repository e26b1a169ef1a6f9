//! Odd input: the targets of the fuzzer over their corpora and mutations of them.

use std::fs;

use crate::fuzz_engine::{catalogue, cells, graph, index, query, rules, vectors};
use crate::fuzz_mutations::{corpus, home, run};
use crate::fuzz_seeds::seeds;

#[test]
fn no_catalogue_panics() {
    run("catalogue", 1500, catalogue);
    run("cells", 2000, cells);
}

#[test]
fn no_question_panics() {
    run("query", 1500, query);
}

#[test]
fn no_rules_panic() {
    run("rules", 1000, rules);
}

#[test]
fn no_vectors_panic() {
    run("vectors", 2000, vectors);
}

#[test]
fn no_graph_and_no_names_panic() {
    run("graph", 1000, graph);
}

#[test]
fn no_file_of_the_index_panics() {
    run("index", 200, index);
}

#[test]
#[ignore = "writes `fuzz/corpus`: run it when a format has changed"]
fn write_corpora() {
    for (target, name, content) in seeds() {
        let folder = home().join("corpus").join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), content).unwrap();
    }
}

/// A corpus of another version of a format would be refused at the first byte, and try nothing.
#[test]
fn the_corpora_are_those_that_are_made_now() {
    let mut n_bytes = 0;
    for (target, name, content) in seeds() {
        let found = corpus(target).into_iter().find(|(found, _)| *found == name);
        let (_, found) =
            found.unwrap_or_else(|| panic!("fuzz/corpus/{target} has no `{name}`; write the corpora again"));
        // Trained weights may differ in their last bits from machine to machine, and with them what they are stamped with.
        let is_same = found == content || (target == "index" && found.len().abs_diff(content.len()) < 100);
        assert!(is_same, "fuzz/corpus/{target}/{name} is another; write the corpora again");
        n_bytes += content.len();
    }
    assert!(n_bytes < 500_000, "{n_bytes} bytes of corpora");
}
