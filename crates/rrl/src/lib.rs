//! Rule-based Representation Learner: tables in, rules one can read out.
//!
//! A network of conjunctions and disjunctions of literals under a linear layer is trained by gradients
//! and is discrete whenever it predicts, so that what it learned *is* a list of weighted rules. Method:
//! Wang et al., *Scalable Rule-Based Representation Learning for Interpretable Classification* (`NeurIPS`
//! 2021, arXiv:2109.15103) and *Learning Interpretable Rules for Scalable Data Representation and
//! Classification* (TPAMI, arXiv:2310.14336).
//!
//! | step | here |
//! |---|---|
//! | a [`Table`] to [`Literal`]s, and their truth as [`Rows`] | [`discretise`], [`encode`] |
//! | a [`Dataset`] and an [`Objective`] (classes, values, ranked lists) to an [`RrlModel`] | [`fit`] with an [`RrlConfig`] |
//! | predictions, each with the rules that made it | [`RrlModel::scores`], [`RuleList::explain`] |
//! | rules as text, Markdown and JSON that can be edited and served | [`RuleList`] |
//! | one training step at a time, gradients, the plain layers | [`Trainer`], [`LogicLayer`] |
//! | rules as the reference implementation prints them | [`PublishedRules`] |
//!
//! The crate opens no files and prints nothing; everything random comes from a seed in the settings, and
//! the number of threads changes no bit of a result.
//!
//! ```
//! use std::ops::ControlFlow;
//! use rrl::{
//!     Column, Dataset, DiscretiseConfig, Objective, RrlConfig, Table, Targets, Unseen, discretise, encode, fit,
//! };
//!
//! // Sixty fruits: the large red ones are apples.
//! let sizes: Vec<f64> = (0..60).map(|at| f64::from(at % 10)).collect();
//! let colours: Vec<&str> = (0..60).map(|at| ["red", "green", "yellow"][at / 10 % 3]).collect();
//! let labels = (0..60).map(|at| usize::from(sizes[at] > 4.0 && colours[at] == "red")).collect();
//! let table = Table::new(vec![
//!     ("size".into(), Column::Numbers(sizes)),
//!     ("colour".into(), Column::Categories(colours.iter().map(|&colour| Some(colour.into())).collect())),
//! ])?;
//!
//! let literals = discretise(&table, &DiscretiseConfig::default())?.literals;
//! let rows = encode(&literals, &table, Unseen::Ignore)?;
//! let targets = Targets::Classes { labels, names: vec!["other".into(), "apple".into()] };
//! let data = Dataset { rows, literals, targets, linear: None };
//! let config = RrlConfig { nodes: vec![8], epochs: 200, batch_size: 20, learning_rate: 0.01, ..RrlConfig::default() };
//! let model = fit(&data, Objective::Classify, &config, |_progress| ControlFlow::Continue(()))?;
//!
//! let classes = model.classify(&model.scores_of_table(&table, None)?);
//! assert_eq!(classes[8], 1); // red, size 8
//! assert_eq!(classes[18], 0); // green
//! # Ok::<(), rrl::RrlError>(())
//! ```

// Loops of one line at the end of a chain of iterators.
#![allow(clippy::needless_for_each)]

mod activation;
mod config;
mod data;
mod error;
mod kernels;
mod literal;
mod loss;
mod matrix;
mod metrics;
mod model;
mod network;
mod patterns;
mod program;
mod published;
mod real;
mod rows;
mod rules;
mod soft;
mod table;
mod trainer;

pub use activation::Activation;
pub use config::{
    BatchOrder, Grafting, InitialWeights, MaskKind, NodeMask, Penalty, Precision, RrlConfig, SeedRule,
    Selection,
};
pub use data::{Dataset, LinearInputs, Targets};
pub use error::RrlError;
pub use literal::{Literal, Test, close_over_parents};
pub use loss::{Distance, Objective, RankLoss};
pub use matrix::Matrix;
pub use metrics::{macro_f1, mean_reciprocal_rank};
pub use model::{Progress, RrlModel, fit};
pub use network::{Network, UnionLayer};
pub use published::{Antecedent, PublishedLayer, PublishedRules};
pub use real::Real;
pub use rows::{Rows, SparseBuilder};
pub use rules::{Explanation, LinearTerm, Logic, Rule, RuleList, RuleStatistics, Term};
pub use soft::{LogicGradients, LogicLayer};
pub use table::{Column, Cuts, DiscretiseConfig, Discretised, Missing, Table, Unseen, discretise, encode};
pub use trainer::{Gradients, Trainer};
