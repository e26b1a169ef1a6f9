//! From scores of several kinds to one: additive fusion with learned weights.
//!
//! The score of a film is a weighted sum of normalised parts, so what is shown adds up to what is
//! ranked by. Reciprocal-rank fusion is not used: it throws the sizes of scores away and fails when a
//! channel has nothing to say (a query without any word of the title still gives every film a rank).

mod tune;

use serde::{Deserialize, Serialize};

pub use tune::{Candidates, TunedWeights, tune_weights};

/// What a film's score is made of, in the order of [`FusionWeights::as_array`].
pub const PARTS: [&str; 3] = ["lexical", "vectors", "regression"];

/// Weight of each part of the score, at least 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FusionWeights {
    /// BM25, as a share of what the query's words could score (see [`normalise_lexical`]).
    pub lexical: f32,
    /// Cosine of the query's SIF vector with the film's.
    pub vectors: f32,
    /// Cosine of the predicted title vector with the film's title.
    pub regression: f32,
}

impl Default for FusionWeights {
    /// Between what was tuned on 282,884 films (1, 0, .05) and on the sample's 414 (.5, 1, .3): word
    /// vectors help most where there are few films (docs/results.md). `train fusion` finds your own.
    fn default() -> Self {
        Self { lexical: 1.0, vectors: 0.2, regression: 0.05 }
    }
}

impl FusionWeights {
    /// The weights in the order of [`PARTS`].
    pub fn as_array(&self) -> [f32; 3] {
        [self.lexical, self.vectors, self.regression]
    }

    /// From weights in the order of [`PARTS`].
    pub fn from_array([lexical, vectors, regression]: [f32; 3]) -> Self {
        Self { lexical, vectors, regression }
    }

    /// Adds up the parts of one film, always in the same order, so that the sum shown is the sum used.
    pub fn score(&self, parts: [f32; 3]) -> f32 {
        let contributions = self.contributions(parts);
        contributions[0] + contributions[1] + contributions[2]
    }

    /// What each part adds to the score.
    pub fn contributions(&self, parts: [f32; 3]) -> [f32; 3] {
        let weights = self.as_array();
        [weights[0] * parts[0], weights[1] * parts[1], weights[2] * parts[2]]
    }

    /// Whether every weight is a number of at least 0 and one is above.
    pub fn is_valid(&self) -> bool {
        let weights = self.as_array();
        weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0) && weights.iter().any(|&w| w > 0.0)
    }
}

/// Divides BM25 scores by the best one, so that the best film has 1 and one without a match 0.
///
/// BM25 grows with the number of words in the query, cosines do not; without this a long question
/// would drown the other parts.
///
/// Returns the divisor; scores stay as they are if no film matches.
pub fn normalise_lexical(scores: &mut [f32]) -> f32 {
    let best = scores.iter().copied().fold(0.0_f32, f32::max);
    if best > 0.0 {
        scores.iter_mut().for_each(|score| *score /= best);
    }
    best
}

/// Positions of the `k` highest scores, best first; equal scores in order of position.
pub fn top_k(scores: &[f32], k: usize) -> Vec<usize> {
    let k = k.min(scores.len());
    if k == 0 {
        return Vec::new();
    }
    let better = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
    let mut order: Vec<usize> = (0..scores.len()).collect();
    if k < order.len() {
        order.select_nth_unstable_by(k - 1, better);
        order.truncate(k);
    }
    order.sort_unstable_by(better);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn top_k_is_the_head_of_a_full_sort(
            scores in prop::collection::vec((0_i32..6).prop_map(|x| x as f32 / 2.0), 0..60),
            k in 0_usize..70,
        ) {
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            order.truncate(k);
            prop_assert_eq!(top_k(&scores, k), order);
        }
    }

    #[test]
    fn the_best_lexical_score_becomes_one() {
        let mut scores = [0.0, 4.0, 1.0];
        assert_eq!(normalise_lexical(&mut scores), 4.0);
        assert_eq!(scores, [0.0, 1.0, 0.25]);
        let mut nothing = [0.0; 3];
        assert_eq!(normalise_lexical(&mut nothing), 0.0);
        assert_eq!(nothing, [0.0; 3]);
    }
}
