//! From scores of several kinds to one: additive fusion with learned weights.
//!
//! The score of a film is a weighted sum of normalised parts, so what is shown adds up to what is
//! ranked by. Reciprocal-rank fusion is not used: it throws the sizes of scores away and fails when a
//! channel has nothing to say (a query without any word of the title still gives every film a rank).

pub mod learn;
pub mod lint;
pub mod literals;
mod pool;
pub mod ranker;
pub mod reasons;
pub mod training;
mod tune;

use serde::{Deserialize, Serialize};

use crate::query::Understanding;

pub use pool::{Knowledge, Pool};
pub use tune::{Candidates, TunedWeights, tune_weights};

/// Number of parts of a score.
pub const N_PARTS: usize = 8;

/// What a film's score is made of, in the order of [`FusionWeights::as_array`].
pub const PARTS: [&str; N_PARTS] =
    ["lexical", "plot", "encoder", "plot_encoder", "vectors", "regression", "popularity", "time"];

/// Weight of each part of the score, at least 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FusionWeights {
    /// BM25 over the record (title, tags, people, keywords), relative to the best film's.
    pub lexical: f32,
    /// BM25 over the plots, relative to the best film's; for catalogues with plots.
    pub plot: f32,
    /// Cosine of the question with the film's record by the trained encoder, if there is one.
    pub encoder: f32,
    /// Cosine of the question with the film's plot by the trained encoder.
    pub plot_encoder: f32,
    /// Cosine of the query's SIF vector with the film's.
    pub vectors: f32,
    /// Cosine of the predicted title vector with the film's title.
    pub regression: f32,
    /// How widely the film is known, for catalogues with votes; the same for every query.
    pub popularity: f32,
    /// How well the year fits what the question says of it; 0 for every film where it says nothing.
    pub time: f32,
}

impl Default for FusionWeights {
    /// Between what was tuned on 282,884 films and on the sample's 414: word vectors help most where
    /// there are few films (docs/results.md). `train fusion` finds your own.
    fn default() -> Self {
        Self {
            lexical: 1.0,
            plot: 1.0,
            encoder: 1.0,
            plot_encoder: 1.0,
            vectors: 0.2,
            regression: 0.05,
            popularity: 0.3,
            time: 0.2,
        }
    }
}

impl FusionWeights {
    /// The weights in the order of [`PARTS`].
    pub fn as_array(&self) -> [f32; N_PARTS] {
        [
            self.lexical,
            self.plot,
            self.encoder,
            self.plot_encoder,
            self.vectors,
            self.regression,
            self.popularity,
            self.time,
        ]
    }

    /// From weights in the order of [`PARTS`].
    pub fn from_array(weights: [f32; N_PARTS]) -> Self {
        let [lexical, plot, encoder, plot_encoder, vectors, regression, popularity, time] = weights;
        Self { lexical, plot, encoder, plot_encoder, vectors, regression, popularity, time }
    }

    /// Adds up the parts of one film, always in the same order, so that the sum shown is the sum used.
    pub fn score(&self, parts: [f32; N_PARTS]) -> f32 {
        self.contributions(parts).into_iter().sum()
    }

    /// What each part adds to the score.
    pub fn contributions(&self, parts: [f32; N_PARTS]) -> [f32; N_PARTS] {
        let weights = self.as_array();
        std::array::from_fn(|part| weights[part] * parts[part])
    }

    /// Whether every weight is a number of at least 0 and one is above.
    pub fn is_valid(&self) -> bool {
        let weights = self.as_array();
        weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0) && weights.iter().any(|&w| w > 0.0)
    }
}

/// Years of release a question allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedYears {
    from: Option<i32>,
    to: Option<i32>,
}

impl AllowedYears {
    /// What a question says of the year of release, if anything.
    pub fn of(understood: &Understanding) -> Option<Self> {
        let (from, to) = understood.release()?.release_years();
        (from.is_some() || to.is_some()).then_some(Self { from, to })
    }

    /// Years between `year` and the nearest allowed one.
    pub fn years_off(self, year: i32) -> i32 {
        self.from.map_or(0, |from| from - year).max(self.to.map_or(0, |to| year - to)).max(0)
    }

    /// Whether both ends are given and at most five years are allowed.
    pub fn is_narrow(self) -> bool {
        matches!((self.from, self.to), (Some(from), Some(to)) if to - from <= 4)
    }

    /// 1 for a year that is allowed, falling to 0 over ten years; people are often a few years off. A film
    /// of unknown year gets a third.
    pub fn fit(self, year: Option<i32>) -> f32 {
        year.map_or(1.0 / 3.0, |year| 1.0 - self.years_off(year).min(10) as f32 / 10.0)
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
