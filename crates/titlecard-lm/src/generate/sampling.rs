//! Choosing a token from logits: repetition penalty, temperature, top-k, top-p, min-p, in this order.

use std::collections::BTreeSet;

use nn::simd::place_of_largest;

use crate::LmError;

/// How a token is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the largest (greedy).
    pub temperature: f32,
    /// Keep so many of the largest; 0 for all.
    pub top_k: usize,
    /// Keep the smallest set of tokens with at least this probability together (Holtzman and others, 2020);
    /// 1 for all.
    pub top_p: f32,
    /// Keep tokens with at least this share of the largest probability; 0 for all.
    pub min_p: f32,
    /// Logits of tokens that occurred are divided (or multiplied, below 0) by it (Keskar and others, 2019);
    /// 1 for never.
    pub repetition_penalty: f32,
}

impl Sampling {
    /// Always the most probable token.
    pub const GREEDY: Self =
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0 };

    /// Checks ranges.
    ///
    /// # Errors
    /// [`LmError::Setting`].
    pub fn validate(&self) -> Result<(), LmError> {
        let checks = [
            ("temperature", self.temperature, (0.0..=100.0).contains(&self.temperature), "0 to 100"),
            ("top-p", self.top_p, self.top_p > 0.0 && self.top_p <= 1.0, "above 0, at most 1"),
            ("min-p", self.min_p, (0.0..1.0).contains(&self.min_p), "0 or above, below 1"),
            (
                "repetition-penalty",
                self.repetition_penalty,
                self.repetition_penalty > 0.0 && self.repetition_penalty.is_finite(),
                "above 0",
            ),
        ];
        for (name, found, holds, expected) in checks {
            if !holds {
                return Err(LmError::Setting { name, found: found.to_string(), expected });
            }
        }
        Ok(())
    }

    /// Makes tokens of `history` less likely.
    pub fn penalise(&self, logits: &mut [f32], history: impl Iterator<Item = u32>) {
        if self.repetition_penalty == 1.0 {
            return;
        }
        for token in history.collect::<BTreeSet<u32>>() {
            if let Some(logit) = logits.get_mut(token as usize) {
                if *logit < 0.0 {
                    *logit *= self.repetition_penalty;
                } else {
                    *logit /= self.repetition_penalty;
                }
            }
        }
    }

    /// Divides by the temperature and sets what is left out to minus infinity.
    pub fn filter(&self, logits: &mut [f32]) {
        if self.temperature > 0.0 && self.temperature != 1.0 {
            logits.iter_mut().for_each(|x| *x /= self.temperature);
        }
        if self.top_k > 0 && self.top_k < logits.len() {
            let mut sorted = logits.to_vec();
            let (_, least, _) = sorted.select_nth_unstable_by(self.top_k - 1, |a, b| b.total_cmp(a));
            let least = *least;
            logits.iter_mut().filter(|x| **x < least).for_each(|x| *x = f32::NEG_INFINITY);
        }
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        if self.top_p < 1.0 {
            let mut order: Vec<usize> = (0..logits.len()).filter(|&i| logits[i].is_finite()).collect();
            order.sort_unstable_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
            let total: f64 = order.iter().map(|&i| f64::from(logits[i] - top).exp()).sum();
            // What comes before a token, in order, already has the share asked for: it is left out.
            let mut before = 0.0;
            for (at, &i) in order.iter().enumerate() {
                let share = f64::from(logits[i] - top).exp() / total;
                if at > 0 && before >= f64::from(self.top_p) {
                    logits[i] = f32::NEG_INFINITY;
                }
                before += share;
            }
        }
        if self.min_p > 0.0 {
            let least = top + self.min_p.ln();
            logits.iter_mut().filter(|x| **x < least).for_each(|x| *x = f32::NEG_INFINITY);
        }
    }

    /// The token chosen; `random` is uniform in `[0, 1)`.
    pub fn choose(&self, logits: &mut [f32], random: f64) -> u32 {
        if self.temperature == 0.0 {
            return place_of_largest(logits) as u32;
        }
        self.filter(logits);
        let top = logits[place_of_largest(logits)];
        let weight = |x: f32| f64::from(x - top).exp();
        let total: f64 = logits.iter().map(|&x| weight(x)).sum();
        let mut left = random * total;
        for (token, &x) in logits.iter().enumerate() {
            let weight = weight(x);
            if weight > 0.0 {
                left -= weight;
                if left < 0.0 {
                    return token as u32;
                }
            }
        }
        // Rounding may leave a rest: the last token that is possible.
        logits.iter().rposition(|x| x.is_finite()).unwrap_or(0) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_follow_the_probabilities() {
        let sampling = Sampling { temperature: 1.0, ..Sampling::GREEDY };
        let mut counts = [0_u32; 3];
        for i in 0..1000 {
            let mut logits = [0.0, 3.0_f32.ln(), f32::NEG_INFINITY];
            counts[sampling.choose(&mut logits, f64::from(i) / 1000.0) as usize] += 1;
        }
        assert_eq!(counts, [250, 750, 0]);
        assert_eq!(Sampling::GREEDY.choose(&mut [1.0, 5.0, 5.0], 0.9), 1);
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let wrong = |sampling: Sampling| sampling.validate().unwrap_err().to_string();
        assert!(wrong(Sampling { top_p: 0.0, ..Sampling::GREEDY }).contains("`top-p` is 0"));
        assert!(wrong(Sampling { temperature: -1.0, ..Sampling::GREEDY }).contains("`temperature` is -1"));
        assert!(wrong(Sampling { min_p: f32::NAN, ..Sampling::GREEDY }).contains("`min-p` is NaN"));
        assert!(wrong(Sampling { repetition_penalty: 0.0, ..Sampling::GREEDY }).contains("above 0"));
        Sampling::GREEDY.validate().unwrap();
    }
}
