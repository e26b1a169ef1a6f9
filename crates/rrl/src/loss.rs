//! Losses: value, gradient in the scores, gradient in the temperature.

use serde::{Deserialize, Serialize};

use crate::data::Targets;
use crate::error::RrlError;
use crate::real::Real;

/// What training makes small.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Objective {
    /// Cross entropy of the softmax of the scores over the temperature.
    Classify,
    /// Distance of the outputs to the values, averaged over rows and summed over outputs; no temperature.
    Regress(Distance),
    /// Order of the candidates of each list; averaged over lists.
    Rank(RankLoss),
}

/// Distance of an output to its value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Distance {
    /// Absolute difference (L1).
    Absolute,
    /// Squared difference (L2).
    Squared,
    /// Half the square up to this difference, linear from there (Huber).
    Huber(f64),
}

/// Loss of a candidate list with scores `s`, temperature `T` and relevance `y`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RankLoss {
    /// Cross entropy of `softmax(s / T)` against an even distribution over the relevant candidates if
    /// relevance is 0 or 1, against `softmax(y)` if it is graded (Cao et al. 2007).
    ListNet,
    /// Mean of `ln(1 + exp(-(s_i - s_j) / T))` over pairs with `y_i > y_j` (Burges et al. 2005).
    RankNet,
    /// `RankNet` with each pair weighed by what swapping it changes in nDCG, at ranks by score and then by
    /// the first stage: a network starts with all scores equal, where ranks by score alone would give
    /// every pair weight 0 (Burges 2010).
    LambdaRank {
        /// Epochs of `ListNet` before.
        warm_up: usize,
    },
    /// Logistic loss of each candidate by itself, relevant ones (`y > 0`) weighed.
    Pointwise {
        /// Weight of a relevant candidate.
        positive_weight: f64,
    },
}

impl Objective {
    /// Whether scores are divided by a temperature.
    pub(crate) fn has_temperature(self) -> bool {
        !matches!(self, Self::Regress(_))
    }

    /// Checks the numbers in the objective, and that it fits the targets.
    pub(crate) fn validate(self, targets: &Targets) -> Result<(), RrlError> {
        match (self, targets) {
            (Self::Classify, Targets::Classes { .. })
            | (Self::Regress(_), Targets::Values { .. })
            | (Self::Rank(_), Targets::Lists { .. }) => {}
            (Self::Classify, _) => {
                return Err(RrlError::Mismatch {
                    problem: "classification needs classes as targets",
                    way_out: "give `Targets::Classes` or change the objective",
                });
            }
            (Self::Regress(_), _) => {
                return Err(RrlError::Mismatch {
                    problem: "regression needs values as targets",
                    way_out: "give `Targets::Values` or change the objective",
                });
            }
            (Self::Rank(_), _) => {
                return Err(RrlError::Mismatch {
                    problem: "ranking needs lists as targets",
                    way_out: "give `Targets::Lists` or change the objective",
                });
            }
        }
        let (setting, value) = match self {
            Self::Regress(Distance::Huber(delta)) => ("huber delta", delta),
            Self::Rank(RankLoss::Pointwise { positive_weight }) => ("positive_weight", positive_weight),
            _ => return Ok(()),
        };
        if value > 0.0 && value.is_finite() {
            return Ok(());
        }
        Err(RrlError::Setting { setting, found: value.to_string(), expected: "a positive number" })
    }
}

/// The units of a batch and where their rows start in it.
pub(crate) struct Batch<'a> {
    pub(crate) targets: &'a Targets,
    /// Row of the data for each row of the batch.
    pub(crate) rows: &'a [usize],
    /// Lists of the batch, for ranking.
    pub(crate) lists: &'a [usize],
    pub(crate) epoch: usize,
}

/// Loss of a batch and its gradients.
pub(crate) struct Evaluated<R> {
    pub(crate) loss: f64,
    /// In the scores, `[batch, n_outputs]`.
    pub(crate) slopes: Vec<R>,
    /// In the logarithm of the temperature.
    pub(crate) of_log_temperature: R,
}

/// Loss of a batch.
///
/// - `scores`: `[batch, n_outputs]`, before the temperature.
pub(crate) fn evaluate<R: Real>(
    objective: Objective,
    batch: &Batch<'_>,
    scores: &[R],
    log_temperature: R,
) -> Evaluated<R> {
    match (objective, batch.targets) {
        (Objective::Classify, Targets::Classes { labels, names }) => {
            cross_entropy(batch.rows.iter().map(|&row| labels[row]), names.len(), scores, log_temperature)
        }
        (Objective::Regress(distance), Targets::Values { values, .. }) => {
            let n_rows = batch.rows.len() as f64;
            let mut loss = 0.0;
            let mut slopes = Vec::with_capacity(scores.len());
            for (&row, scores) in batch.rows.iter().zip(scores.chunks_exact(values.n_columns())) {
                for (score, value) in scores.iter().zip(values.row(row)) {
                    let (cost, slope) = distance.of(score.to_f64() - value);
                    loss += cost / n_rows;
                    slopes.push(R::from_f64(slope / n_rows));
                }
            }
            Evaluated { loss, slopes, of_log_temperature: R::ZERO }
        }
        (Objective::Rank(loss), Targets::Lists { sizes, relevance, first_stage }) => {
            rank_lists(loss, batch, sizes, relevance, first_stage, scores, log_temperature)
        }
        _ => unreachable!("objective and targets were checked against each other"),
    }
}

impl Distance {
    /// Cost and slope of a difference.
    fn of(self, difference: f64) -> (f64, f64) {
        match self {
            Self::Absolute => (difference.abs(), if difference == 0.0 { 0.0 } else { difference.signum() }),
            Self::Squared => (difference * difference, 2.0 * difference),
            Self::Huber(delta) if difference.abs() <= delta => (0.5 * difference * difference, difference),
            Self::Huber(delta) => (delta * (difference.abs() - 0.5 * delta), delta * difference.signum()),
        }
    }
}

fn cross_entropy<R: Real>(
    labels: impl ExactSizeIterator<Item = usize>,
    n_classes: usize,
    scores: &[R],
    log_temperature: R,
) -> Evaluated<R> {
    let cold = (-log_temperature).exp();
    let share = R::ONE / R::from_f64(labels.len() as f64);
    let mut slopes = vec![R::ZERO; scores.len()];
    let (mut loss, mut of_log_temperature) = (R::ZERO, R::ZERO);
    for ((label, scores), slopes) in
        labels.zip(scores.chunks_exact(n_classes)).zip(slopes.chunks_exact_mut(n_classes))
    {
        let highest = scores.iter().fold(scores[0], |high, &score| if score > high { score } else { high });
        let mut sum = R::ZERO;
        for (slope, &score) in slopes.iter_mut().zip(scores) {
            *slope = ((score - highest) * cold).exp();
            sum += *slope;
        }
        loss += share * (sum.ln() - (scores[label] - highest) * cold);
        for (class, (slope, &score)) in slopes.iter_mut().zip(scores).enumerate() {
            let probability = *slope / sum;
            let miss = if class == label { probability - R::ONE } else { probability };
            of_log_temperature -= share * miss * score * cold;
            *slope = share * miss * cold;
        }
    }
    Evaluated { loss: loss.to_f64(), slopes, of_log_temperature }
}

/// `ln(1 + exp(x))` and its slope.
fn softplus(x: f64) -> (f64, f64) {
    (x.max(0.0) + (-x.abs()).exp().ln_1p(), 1.0 / (1.0 + (-x).exp()))
}

fn rank_lists<R: Real>(
    loss: RankLoss,
    batch: &Batch<'_>,
    sizes: &[usize],
    relevance: &[f64],
    first_stage: &[f64],
    scores: &[R],
    log_temperature: R,
) -> Evaluated<R> {
    let cold = (-log_temperature.to_f64()).exp();
    let share = 1.0 / batch.lists.len() as f64;
    let mut total = Evaluated { loss: 0.0, slopes: vec![R::ZERO; scores.len()], of_log_temperature: R::ZERO };
    let mut of_log_temperature = 0.0;
    let mut start = 0;
    for &list in batch.lists {
        let end = start + sizes[list];
        let rows = &batch.rows[start..end];
        let of_rows = |values: &[f64]| -> Vec<f64> { rows.iter().map(|&row| values[row]).collect() };
        let (relevance, first_stage) = (of_rows(relevance), of_rows(first_stage));
        let tempered: Vec<f64> = scores[start..end].iter().map(|score| score.to_f64() * cold).collect();
        let (cost, slopes) = match loss {
            RankLoss::LambdaRank { warm_up } if batch.epoch < warm_up => list_net(&tempered, &relevance),
            RankLoss::ListNet => list_net(&tempered, &relevance),
            RankLoss::RankNet => pairs(&tempered, &relevance, None),
            RankLoss::LambdaRank { .. } => pairs(&tempered, &relevance, Some(&first_stage)),
            RankLoss::Pointwise { positive_weight } => pointwise(&tempered, &relevance, positive_weight),
        };
        total.loss += share * cost;
        for ((to, slope), score) in total.slopes[start..end].iter_mut().zip(slopes).zip(tempered) {
            of_log_temperature -= share * slope * score;
            *to = R::from_f64(share * slope * cold);
        }
        start = end;
    }
    total.of_log_temperature = R::from_f64(of_log_temperature);
    total
}

/// Cost and slopes in the tempered scores; a list without a relevant candidate costs nothing.
fn list_net(scores: &[f64], relevance: &[f64]) -> (f64, Vec<f64>) {
    if !relevance.iter().any(|&relevance| relevance > 0.0) {
        return (0.0, vec![0.0; scores.len()]);
    }
    let wanted: Vec<f64> = if relevance.iter().all(|&relevance| relevance == 0.0 || relevance == 1.0) {
        let n_relevant: f64 = relevance.iter().sum();
        relevance.iter().map(|relevance| relevance / n_relevant).collect()
    } else {
        softmax(relevance).0
    };
    let (found, log_sum) = softmax(scores);
    let cost = wanted.iter().zip(scores).map(|(wanted, score)| wanted * (log_sum - score)).sum();
    (cost, found.iter().zip(&wanted).map(|(found, wanted)| found - wanted).collect())
}

/// Softmax, and the logarithm of the sum of exponentials.
fn softmax(scores: &[f64]) -> (Vec<f64>, f64) {
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| (score - highest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    (powers.iter().map(|power| power / sum).collect(), highest + sum.ln())
}

/// Pairwise logistic cost, with weights of nDCG changes if `first_stage` breaks ties of ranks.
fn pairs(scores: &[f64], relevance: &[f64], first_stage: Option<&[f64]>) -> (f64, Vec<f64>) {
    let gain = |relevance: f64| relevance.exp2() - 1.0;
    let discount = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
    let mut discounts = vec![0.0; scores.len()];
    let mut ideal = 0.0;
    if let Some(first_stage) = first_stage {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| {
            scores[b].total_cmp(&scores[a]).then(first_stage[b].total_cmp(&first_stage[a])).then(a.cmp(&b))
        });
        order.iter().enumerate().for_each(|(rank, &at)| discounts[at] = discount(rank));
        let mut best = relevance.to_vec();
        best.sort_by(|a, b| b.total_cmp(a));
        ideal = best.iter().enumerate().map(|(rank, &relevance)| gain(relevance) * discount(rank)).sum();
    }
    let (mut cost, mut n_pairs) = (0.0, 0.0);
    let mut slopes = vec![0.0; scores.len()];
    for better in (0..scores.len()).filter(|&at| relevance[at] > 0.0) {
        for worse in (0..scores.len()).filter(|&at| relevance[at] < relevance[better]) {
            let weight = if first_stage.is_some() {
                (gain(relevance[better]) - gain(relevance[worse]))
                    * (discounts[better] - discounts[worse]).abs()
                    / ideal
            } else {
                1.0
            };
            let (miss, slope) = softplus(scores[worse] - scores[better]);
            cost += weight * miss;
            slopes[better] -= weight * slope;
            slopes[worse] += weight * slope;
            n_pairs += 1.0;
        }
    }
    if n_pairs == 0.0 {
        return (0.0, slopes);
    }
    for slope in &mut slopes {
        *slope /= n_pairs;
    }
    (cost / n_pairs, slopes)
}

fn pointwise(scores: &[f64], relevance: &[f64], positive_weight: f64) -> (f64, Vec<f64>) {
    let share = 1.0 / scores.len().max(1) as f64;
    let mut cost = 0.0;
    let slopes = scores
        .iter()
        .zip(relevance)
        .map(|(&score, &relevance)| {
            let (weight, sign) = if relevance > 0.0 { (positive_weight, -1.0) } else { (1.0, 1.0) };
            let (miss, slope) = softplus(sign * score);
            cost += share * weight * miss;
            share * weight * sign * slope
        })
        .collect();
    (cost, slopes)
}
