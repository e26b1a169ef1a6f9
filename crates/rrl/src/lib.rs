//! Rule-based Representation Learner.
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
pub use config::*;
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
