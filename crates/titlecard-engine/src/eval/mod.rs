//! How good the answers are: test queries, metrics, the two retrieval tasks, tables and plots.

pub mod metrics;
pub mod plots;
pub mod queries;
pub mod report;
pub mod tasks;
