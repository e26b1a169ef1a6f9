//! Metrics of one ranking.

use std::collections::HashSet;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use titlecard_engine::eval::metrics::{
    ndcg_at_k, precision_at_k, recall_at_k, reciprocal_rank, success_at_k,
};

use crate::errors::raise;

/// Figures of one ranking, in the order of `metrics`: `P@k`, `R@k`, `S@k` (success), `nDCG@k`, `RR`.
///
/// # Errors
/// `ValueError` for an unknown metric or a cut-off of 0.
#[pyfunction]
pub(crate) fn rank_metrics(
    ranking: Vec<String>,
    relevant: HashSet<String>,
    metrics: Vec<String>,
) -> PyResult<Vec<f64>> {
    metrics
        .iter()
        .map(|metric| {
            let unknown = || {
                PyValueError::new_err(format!(
                    "the metric `{metric}` is unknown; take P@k, R@k, S@k, nDCG@k (k a number) or RR"
                ))
            };
            if metric == "RR" {
                return Ok(reciprocal_rank(&ranking, &relevant));
            }
            let (name, cutoff) = metric.split_once('@').ok_or_else(unknown)?;
            let k: usize = cutoff.parse().map_err(|_| unknown())?;
            match name {
                "P" => precision_at_k(&ranking, &relevant, k),
                "R" => recall_at_k(&ranking, &relevant, k),
                "S" => success_at_k(&ranking, &relevant, k),
                "nDCG" => ndcg_at_k(&ranking, &relevant, k),
                _ => return Err(unknown()),
            }
            .map_err(raise)
        })
        .collect()
}
