//! The compiled half of the Python package `titlecard`.
//!
//! | module | what Python sees |
//! |---|---|
//! | `errors` | which exception an error becomes; the message stays as it is |
//! | `runner` | long work on a thread of its own, so that Ctrl-C and progress reach the caller |
//! | `workspace` | the steps over a working folder, and the films of its catalogue |
//! | `retriever` | an opened index: search, similar films, comparisons |
//! | `graph` | SPARQL and pictures of the knowledge graph |
//! | `vectors` | word vectors and the text encoder |
//! | `lm` | language models: generation, titles that exist, scores, files |
//! | `rules` | the rule learner: tables in, a rule list out |
//! | `evaluation` | metrics of a ranking |
//!
//! Classes here are plain; what is comfortable (data frames, estimators, progress bars) is Python, in `titlecard/*.py`.
//! Nothing here prints, and the interpreter's lock is released wherever work takes longer than a look-up.

// Arguments come from Python by value.
#![allow(clippy::needless_pass_by_value)]

mod errors;
mod evaluation;
mod graph;
mod lm;
mod retriever;
mod rules;
mod runner;
mod vectors;
mod workspace;

use pyo3::pymodule;

#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::errors::{Error, NoAnswer};
    #[pymodule_export]
    use crate::evaluation::rank_metrics;
    #[pymodule_export]
    use crate::graph::Graph;
    #[pymodule_export]
    use crate::lm::LanguageModel;
    #[pymodule_export]
    use crate::retriever::{Engine, Hit};
    #[pymodule_export]
    use crate::rules::{RuleList, fit_rules};
    #[pymodule_export]
    use crate::vectors::{Encoder, WordVectors, train_word_vectors};
    #[pymodule_export]
    use crate::workspace::{Films, Workspace, tokens, write_file};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
