//! Ranking metrics, for a ranking with a set of relevant titles and for known-item search.
//!
//! Known-item search has one relevant title a query, so a run is described by the rank of that
//! title alone. Where scores tie, the rank is the mean over the tied places ([`mean_rank`]), so that
//! neither a lucky nor an unlucky order of equal scores moves a figure.

use std::collections::HashSet;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

/// Why a metric could not be computed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricError {
    /// A cut-off of zero divides by zero.
    #[error("cut-off k is 0; it must be at least 1")]
    ZeroCutoff,
}

/// Cut-offs of Precision@K, as in the research project.
pub const PRECISION_CUTOFFS: [usize; 4] = [5, 10, 15, 20];
/// Cut-offs of success@K.
pub const SUCCESS_CUTOFFS: [usize; 4] = [1, 5, 10, 20];

/// Precision at rank `k`: the share of the top `k` titles that are relevant, in `[0, 1]`.
///
/// A ranking shorter than `k` is still divided by `k` (as `trec_eval` does), so returning fewer
/// titles never raises the score.
///
/// - `ranking`: `[n_retrieved]`, best first, without duplicates.
/// - `relevant`: the titles judged relevant to the same query (its qrels).
///
/// # Errors
/// [`MetricError::ZeroCutoff`] if `k` is 0.
///
/// # Source
/// Manning, Raghavan and Schütze, *Introduction to Information Retrieval* (2008), §8.4.
///
/// # Examples
/// ```
/// use titlecard_engine::eval::metrics::precision_at_k;
/// let relevant = ["603", "1124"].into();
/// assert_eq!(precision_at_k(&["1124", "77"], &relevant, 2), Ok(0.5));
/// ```
pub fn precision_at_k<T: Eq + Hash>(
    ranking: &[T],
    relevant: &HashSet<T>,
    k: usize,
) -> Result<f64, MetricError> {
    Ok(n_relevant_in_top(ranking, relevant, k)? as f64 / k as f64)
}

/// Success at rank `k` (hit rate): 1 if any of the top `k` titles is relevant, else 0.
///
/// # Errors
/// [`MetricError::ZeroCutoff`] if `k` is 0.
pub fn success_at_k<T: Eq + Hash>(
    ranking: &[T],
    relevant: &HashSet<T>,
    k: usize,
) -> Result<f64, MetricError> {
    Ok(f64::from(u8::from(n_relevant_in_top(ranking, relevant, k)? > 0)))
}

/// Recall at rank `k`: the share of the relevant titles found in the top `k`; 0 without relevant titles.
///
/// # Errors
/// [`MetricError::ZeroCutoff`] if `k` is 0.
pub fn recall_at_k<T: Eq + Hash>(ranking: &[T], relevant: &HashSet<T>, k: usize) -> Result<f64, MetricError> {
    let found = n_relevant_in_top(ranking, relevant, k)?;
    Ok(if relevant.is_empty() { 0.0 } else { found as f64 / relevant.len() as f64 })
}

/// Reciprocal rank of the first relevant title; 0 if none is in the ranking.
pub fn reciprocal_rank<T: Eq + Hash>(ranking: &[T], relevant: &HashSet<T>) -> f64 {
    ranking.iter().position(|title| relevant.contains(title)).map_or(0.0, |at| 1.0 / (at + 1) as f64)
}

/// Normalised discounted cumulative gain at `k` with binary relevance, in `[0, 1]`.
///
/// Gain 1 for a relevant title, discount `log2(1 + rank)`, divided by the gain of the ideal ranking.
///
/// # Errors
/// [`MetricError::ZeroCutoff`] if `k` is 0.
///
/// # Source
/// Järvelin and Kekäläinen, *Cumulated gain-based evaluation of IR techniques* (2002).
pub fn ndcg_at_k<T: Eq + Hash>(ranking: &[T], relevant: &HashSet<T>, k: usize) -> Result<f64, MetricError> {
    if k == 0 {
        return Err(MetricError::ZeroCutoff);
    }
    let gain = |rank: usize| 1.0 / (1.0 + rank as f64).log2();
    let found: f64 = (1..)
        .zip(ranking.iter().take(k))
        .filter(|(_, title)| relevant.contains(title))
        .map(|(rank, _)| gain(rank))
        .sum();
    let ideal: f64 = (1..=relevant.len().min(k)).map(gain).sum();
    Ok(if ideal == 0.0 { 0.0 } else { found / ideal })
}

fn n_relevant_in_top<T: Eq + Hash>(
    ranking: &[T],
    relevant: &HashSet<T>,
    k: usize,
) -> Result<usize, MetricError> {
    if k == 0 {
        return Err(MetricError::ZeroCutoff);
    }
    Ok(ranking.iter().take(k).filter(|title| relevant.contains(title)).count())
}

/// Rank of candidate `target` among all candidates by descending score, from 1; the mean over ties.
///
/// With `b` candidates that score higher and `t` others that score the same, the rank is
/// `1 + b + t / 2`. A score that is not a number counts as the lowest.
///
/// - `scores`: `[n_candidates]`, higher is better.
///
/// # Panics
/// If `target` is not a position in `scores`.
pub fn mean_rank(scores: &[f32], target: usize) -> f64 {
    let own = ordered(scores[target]);
    let (mut better, mut tied) = (0_usize, 0_usize);
    for &score in scores {
        let score = ordered(score);
        better += usize::from(score > own);
        tied += usize::from(score == own);
    }
    1.0 + better as f64 + (tied - 1) as f64 / 2.0
}

fn ordered(score: f32) -> f32 {
    if score.is_nan() { f32::NEG_INFINITY } else { score }
}

/// Figures of one method over a set of known-item queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownItemMetrics {
    /// Number of queries the figures are means over.
    pub n_queries: usize,
    /// `(k, share of queries with the title in the top k)` for [`SUCCESS_CUTOFFS`].
    pub success: Vec<(usize, f64)>,
    /// `(k, Precision@k)` for [`PRECISION_CUTOFFS`]; at most `1 / k`, for one title is relevant.
    pub precision: Vec<(usize, f64)>,
    /// Mean reciprocal rank, without cut-off.
    pub mrr: f64,
    /// nDCG at 10.
    pub ndcg_at_10: f64,
    /// Recall at 100 (with one relevant title the same as success@100).
    pub recall_at_100: f64,
    /// Recall at 1000.
    pub recall_at_1000: f64,
    /// Median rank of the title sought.
    pub median_rank: f64,
}

impl KnownItemMetrics {
    /// Computes all figures from the rank of the sought title in every query (see [`mean_rank`]).
    ///
    /// - `ranks`: `[n_queries]`, each at least 1; infinity for "not retrieved".
    pub fn from_ranks(ranks: &[f64]) -> Self {
        let n = ranks.len();
        let mean =
            |value: &dyn Fn(f64) -> f64| ranks.iter().map(|&rank| value(rank)).sum::<f64>() / n.max(1) as f64;
        let success_at = |k: usize| mean(&|rank| f64::from(u8::from(rank <= k as f64)));
        let mut sorted = ranks.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median_rank = match n {
            0 => f64::NAN,
            _ if n % 2 == 1 => sorted[n / 2],
            _ => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        };
        Self {
            n_queries: n,
            success: SUCCESS_CUTOFFS.map(|k| (k, success_at(k))).to_vec(),
            precision: PRECISION_CUTOFFS.map(|k| (k, success_at(k) / k as f64)).to_vec(),
            mrr: mean(&|rank| 1.0 / rank),
            ndcg_at_10: mean(&|rank| if rank <= 10.0 { 1.0 / (1.0 + rank).log2() } else { 0.0 }),
            recall_at_100: success_at(100),
            recall_at_1000: success_at(1000),
            median_rank,
        }
    }

    /// The value of success@k, if `k` is among the cut-offs.
    pub fn success_at(&self, k: usize) -> Option<f64> {
        self.success.iter().find(|(cutoff, _)| *cutoff == k).map(|(_, value)| *value)
    }

    /// The value of Precision@k, if `k` is among the cut-offs.
    pub fn precision_at(&self, k: usize) -> Option<f64> {
        self.precision.iter().find(|(cutoff, _)| *cutoff == k).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        cases: Vec<Case>,
        known_item: KnownItem,
    }

    #[derive(Deserialize)]
    struct Case {
        ranking: Vec<String>,
        relevant: Vec<String>,
        metrics: std::collections::BTreeMap<String, f64>,
    }

    #[derive(Deserialize)]
    struct KnownItem {
        ranks: Vec<f64>,
        metrics: std::collections::BTreeMap<String, f64>,
    }

    /// Expected values: ranx (fixtures/golden/metrics.py).
    fn golden() -> Golden {
        serde_json::from_str(include_str!("../../../../fixtures/golden/metrics.json")).unwrap()
    }

    #[test]
    fn list_metrics_match_ranx() {
        let golden = golden();
        assert!(golden.cases.len() >= 20);
        for case in golden.cases {
            let relevant: HashSet<String> = case.relevant.into_iter().collect();
            for (name, expected) in case.metrics {
                let (metric, k) = name.split_once('@').unwrap_or((&name, "0"));
                let k: usize = k.parse().unwrap();
                let value = match metric {
                    "precision" => precision_at_k(&case.ranking, &relevant, k).unwrap(),
                    "recall" => recall_at_k(&case.ranking, &relevant, k).unwrap(),
                    "hit_rate" => success_at_k(&case.ranking, &relevant, k).unwrap(),
                    "ndcg" => ndcg_at_k(&case.ranking, &relevant, k).unwrap(),
                    "mrr" => reciprocal_rank(&case.ranking, &relevant),
                    other => panic!("unknown metric {other}"),
                };
                assert!((value - expected).abs() < 1e-9, "{name}: {value} here, {expected} in ranx");
            }
        }
    }

    #[test]
    fn known_item_metrics_match_ranx() {
        let KnownItem { ranks, metrics } = golden().known_item;
        let own = KnownItemMetrics::from_ranks(&ranks);
        let close = |name: &str, value: f64| {
            let expected = metrics[name];
            assert!((value - expected).abs() < 1e-9, "{name}: {value} here, {expected} in ranx");
        };
        for (k, value) in &own.success {
            close(&format!("hit_rate@{k}"), *value);
        }
        for (k, value) in &own.precision {
            close(&format!("precision@{k}"), *value);
        }
        close("mrr", own.mrr);
        close("ndcg@10", own.ndcg_at_10);
        close("recall@100", own.recall_at_100);
        close("recall@1000", own.recall_at_1000);
    }

    #[test]
    fn precision_never_exceeds_its_ceiling() {
        let metrics = KnownItemMetrics::from_ranks(&[1.0; 7]);
        for k in PRECISION_CUTOFFS {
            assert_eq!(metrics.precision_at(k), Some(1.0 / k as f64));
        }
    }

    #[test]
    fn ties_share_the_mean_of_their_places() {
        assert_eq!(mean_rank(&[0.5, 0.9, 0.5, 0.1], 0), 2.5);
        assert_eq!(mean_rank(&[0.0; 5], 3), 3.0);
        assert_eq!(mean_rank(&[1.0, f32::NAN], 1), 2.0);
        assert_eq!(mean_rank(&[1.0], 0), 1.0);
    }

    #[test]
    fn cutoff_zero_is_refused() {
        let relevant = HashSet::from(["a"]);
        assert_eq!(precision_at_k(&["a"], &relevant, 0), Err(MetricError::ZeroCutoff));
        assert_eq!(success_at_k(&["a"], &relevant, 0), Err(MetricError::ZeroCutoff));
        assert_eq!(recall_at_k(&["a"], &relevant, 0), Err(MetricError::ZeroCutoff));
        assert_eq!(ndcg_at_k(&["a"], &relevant, 0), Err(MetricError::ZeroCutoff));
    }

    #[test]
    fn median_is_of_the_middle() {
        assert_eq!(KnownItemMetrics::from_ranks(&[9.0, 1.0, 4.0]).median_rank, 4.0);
        assert_eq!(KnownItemMetrics::from_ranks(&[9.0, 1.0, 4.0, 6.0]).median_rank, 5.0);
        assert!(KnownItemMetrics::from_ranks(&[]).median_rank.is_nan());
    }
}
