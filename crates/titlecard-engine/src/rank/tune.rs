//! Choosing the weights of a sum of scores on training queries, by coordinate ascent on MRR.

use rayon::prelude::*;

use super::top_k;

/// The films worth looking at for one query, with every score that is to be weighted.
///
/// Only films that some score puts near the top can come first under any weights, so the sums are
/// compared over these and not over the whole catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidates {
    n_scores: usize,
    /// `[n_candidates, n_scores]`, row-major; row 0 is the film sought.
    rows: Vec<f32>,
}

impl Candidates {
    /// Collects film `sought` and the `depth` best films by each score.
    ///
    /// - `scores`: one slice `[n_films]` a score, all of one length.
    pub fn collect(scores: &[&[f32]], sought: usize, depth: usize) -> Self {
        let mut films: Vec<usize> = scores.iter().flat_map(|scores| top_k(scores, depth)).collect();
        films.sort_unstable();
        films.dedup();
        films.retain(|&film| film != sought);
        let rows = std::iter::once(sought)
            .chain(films)
            .flat_map(|film| scores.iter().map(move |scores| scores[film]))
            .collect();
        Self { n_scores: scores.len(), rows }
    }

    /// Reciprocal of the sought film's rank among the candidates (mean over ties).
    pub fn reciprocal_rank(&self, weights: &[f32]) -> f64 {
        let sum = |row: &[f32]| row.iter().zip(weights).map(|(score, weight)| score * weight).sum::<f32>();
        let mut rows = self.rows.chunks_exact(self.n_scores);
        let Some(own) = rows.next().map(sum) else { return 0.0 };
        let (mut better, mut tied) = (0_u32, 0_u32);
        for other in rows.map(sum) {
            better += u32::from(other > own);
            tied += u32::from(other == own);
        }
        1.0 / (1.0 + f64::from(better) + f64::from(tied) / 2.0)
    }
}

/// Outcome of [`tune_weights`].
#[derive(Debug, Clone, PartialEq)]
pub struct TunedWeights {
    /// One weight a score; the largest is 1.
    pub weights: Vec<f32>,
    /// Mean reciprocal rank on the training queries with them.
    pub mrr: f64,
    /// The same with the weights it began with.
    pub mrr_before: f64,
}

/// Weights tried for one score while the others stand still, relative to the largest of the others.
const GRID: [f32; 16] = [0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.4, 2.0, 3.0, 5.0];
const MAX_ROUNDS: usize = 8;

/// Finds weights with a high mean reciprocal rank, by coordinate ascent from `start`.
///
/// Deterministic: no random start, and of equal values the one tried first stays.
pub fn tune_weights(queries: &[Candidates], start: &[f32]) -> TunedWeights {
    let mrr = |weights: &[f32]| {
        // Summed in the order of the queries, so the value does not depend on the number of threads.
        let each: Vec<f64> = queries.par_iter().map(|query| query.reciprocal_rank(weights)).collect();
        each.iter().sum::<f64>() / each.len().max(1) as f64
    };
    let mut weights = start.to_vec();
    let mrr_before = mrr(&weights);
    let mut best = mrr_before;
    for _ in 0..MAX_ROUNDS {
        let before = best;
        for at in 0..weights.len() {
            let others = weights
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != at)
                .map(|(_, w)| *w)
                .fold(0.0, f32::max);
            if others == 0.0 {
                continue;
            }
            for step in GRID {
                let mut tried = weights.clone();
                tried[at] = step * others;
                let value = mrr(&tried);
                if value > best + 1e-9 {
                    best = value;
                    weights = tried;
                }
            }
        }
        if best <= before {
            break;
        }
    }
    let largest = weights.iter().copied().fold(0.0, f32::max);
    if largest > 0.0 {
        // Shown with few digits, and used as shown.
        weights.iter_mut().for_each(|weight| *weight = (*weight / largest * 1000.0).round() / 1000.0);
    }
    TunedWeights { mrr: mrr(&weights), weights, mrr_before }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_useful_score_gets_weight_and_a_misleading_one_none() {
        // Score 0 puts the sought film (0) second, score 1 first, score 2 last.
        let queries: Vec<Candidates> = (0..5)
            .map(|shift| {
                let shift = shift as f32 / 100.0;
                Candidates::collect(&[&[0.5, 0.6 + shift, 0.1], &[0.9, 0.2, 0.1], &[0.0, 0.9, 1.0]], 0, 3)
            })
            .collect();
        let tuned = tune_weights(&queries, &[1.0, 0.0, 1.0]);
        assert_eq!(tuned.mrr, 1.0);
        assert!(tuned.mrr_before < 0.6);
        assert!(tuned.weights[1] > tuned.weights[2], "{:?}", tuned.weights);
    }

    #[test]
    fn reciprocal_rank_shares_ties() {
        let candidates = Candidates::collect(&[&[1.0, 1.0, 1.0, 0.0]], 2, 4);
        assert_eq!(candidates.reciprocal_rank(&[1.0]), 0.5);
        assert_eq!(candidates.reciprocal_rank(&[0.0]), 1.0 / 2.5);
    }

    #[test]
    fn no_query_leaves_the_start() {
        assert_eq!(tune_weights(&[], &[1.0, 0.5]).weights, [1.0, 0.5]);
    }
}
