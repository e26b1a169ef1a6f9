//! How good predictions are.

/// F1 of each class that occurs among `labels` or `predicted`, averaged (as scikit-learn's macro F1): in
/// `[0, 1]`, 0 without rows.
///
/// ```
/// assert_eq!(rrl::macro_f1(&[0, 0, 1, 1], &[0, 1, 1, 1]), (2.0 / 3.0 + 0.8) / 2.0);
/// ```
///
/// # Panics
/// If the lengths differ.
pub fn macro_f1(labels: &[usize], predicted: &[usize]) -> f64 {
    assert_eq!(labels.len(), predicted.len(), "one prediction a label");
    let n_classes = labels.iter().chain(predicted).max().map_or(0, |most| most + 1);
    let mut counts = Counts::new(n_classes);
    labels.iter().zip(predicted).for_each(|(&label, &predicted)| counts.add(label, predicted));
    counts.macro_f1()
}

/// Hits, labels and predictions of each class.
struct Counts {
    hits: Vec<f64>,
    labels: Vec<f64>,
    predicted: Vec<f64>,
}

impl Counts {
    fn new(n_classes: usize) -> Self {
        let zeros = vec![0.0; n_classes];
        Self { hits: zeros.clone(), labels: zeros.clone(), predicted: zeros }
    }

    fn add(&mut self, label: usize, predicted: usize) {
        self.labels[label] += 1.0;
        self.predicted[predicted] += 1.0;
        self.hits[label] += f64::from(u8::from(label == predicted));
    }

    /// F1 of a class that occurs.
    fn f1(&self, class: usize) -> Option<f64> {
        let occurs = self.labels[class] + self.predicted[class];
        (occurs > 0.0).then(|| 2.0 * self.hits[class] / occurs)
    }

    fn macro_f1(&self) -> f64 {
        let (sum, n) = (0..self.hits.len())
            .filter_map(|class| self.f1(class))
            .fold((0.0, 0), |(sum, n), f1| (sum + f1, n + 1));
        if n == 0 { 0.0 } else { sum / f64::from(n) }
    }
}

/// The class of the highest score; of equal ones the first.
pub(crate) fn best_class(scores: &[f64]) -> usize {
    (0..scores.len()).fold(0, |best, at| if scores[at] > scores[best] { at } else { best })
}

/// Shifts of the class scores with the highest macro F1 on labelled scores, found one class at a time.
///
/// - `scores`: rows of `n_classes`.
pub(crate) fn tune_bias<'a>(
    scores: &(impl Iterator<Item = &'a [f64]> + Clone),
    labels: &[usize],
    n_classes: usize,
) -> Vec<f64> {
    let mut shifts = vec![0.0; n_classes];
    let first = usize::from(n_classes == 2);
    for _ in 0..if n_classes == 2 { 1 } else { 3 } {
        for class in first..n_classes {
            shifts[class] = best_shift(scores.clone(), labels, &shifts, class);
        }
    }
    shifts
}

/// The shift of one class with the highest macro F1; the present one unless another is better.
fn best_shift<'a>(
    scores: impl Iterator<Item = &'a [f64]>,
    labels: &[usize],
    shifts: &[f64],
    class: usize,
) -> f64 {
    // Shift from which a row goes to the class, its label, and the class it has before.
    let mut rows: Vec<(f64, usize, usize)> = scores
        .zip(labels)
        .map(|(scores, &label)| {
            let shifted = |at: usize| if at == class { f64::NEG_INFINITY } else { scores[at] + shifts[at] };
            let other = (0..scores.len()).fold(usize::from(class == 0), |best, at| {
                if shifted(at) > shifted(best) { at } else { best }
            });
            (shifted(other) - scores[class], label, other)
        })
        .collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut counts = Counts::new(shifts.len());
    rows.iter().for_each(|&(_, label, other)| counts.add(label, other));
    let present = shifts[class];
    let (mut best, mut best_f1, mut present_f1) = (present, f64::NEG_INFINITY, f64::NEG_INFINITY);
    for at in 0..=rows.len() {
        let from = if at == 0 { f64::NEG_INFINITY } else { rows[at - 1].0 };
        let to = rows.get(at).map_or(f64::INFINITY, |row| row.0);
        if from < to {
            let f1 = counts.macro_f1();
            if from < present && present <= to {
                present_f1 = f1;
            }
            if f1 > best_f1 && from.is_finite() && to.is_finite() {
                (best, best_f1) = (f64::midpoint(from, to), f1);
            }
        }
        if let Some(&(_, label, other)) = rows.get(at) {
            counts.predicted[other] -= 1.0;
            counts.hits[other] -= f64::from(u8::from(label == other));
            counts.predicted[class] += 1.0;
            counts.hits[class] += f64::from(u8::from(label == class));
        }
    }
    if best_f1 > present_f1 { best } else { present }
}

/// Mean over lists of 1 over the rank of the first relevant candidate, ranked by score and, where equal,
/// by the first stage; lists without one count 0.
///
/// - `scores`, `relevance`, `first_stage`: `[n_rows]`; `sizes`: candidates of each list.
pub fn mean_reciprocal_rank(scores: &[f64], relevance: &[f64], first_stage: &[f64], sizes: &[usize]) -> f64 {
    let mut sum = 0.0;
    let mut start = 0;
    for &size in sizes {
        let rows = start..start + size;
        let key = |row: usize| (scores[row], first_stage[row]);
        let above = |a: (f64, f64), b: (f64, f64)| a.0 > b.0 || (a.0 == b.0 && a.1 > b.1);
        let best = rows
            .clone()
            .filter(|&row| relevance[row] > 0.0)
            .reduce(|best, row| if above(key(row), key(best)) { row } else { best });
        if let Some(best) = best {
            let n_before = rows.clone().filter(|&row| above(key(row), key(best))).count();
            // Candidates equal in both keys keep their order.
            let n_equal = (start..best).filter(|&row| key(row) == key(best)).count();
            sum += 1.0 / (1 + n_before + n_equal) as f64;
        }
        start += size;
    }
    if sizes.is_empty() { 0.0 } else { sum / sizes.len() as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tuned_shifts_beat_every_shift_of_a_grid() {
        let scores = [[0.9, 0.1], [0.8, 0.3], [0.7, 0.4], [0.6, 0.5], [0.5, 0.6], [0.9, 0.2]];
        let labels = [0, 0, 1, 1, 1, 0];
        let shifts = tune_bias(&scores.iter().map(<[f64; 2]>::as_slice), &labels, 2);
        let f1 = |shift: f64| {
            let predicted: Vec<usize> = scores.iter().map(|s| usize::from(s[1] + shift > s[0])).collect();
            macro_f1(&labels, &predicted)
        };
        assert_eq!(f1(shifts[1] - shifts[0]), 1.0);
        assert!(f1(0.0) < 1.0);
    }

    #[test]
    fn a_shift_is_kept_where_none_is_better() {
        let scores = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let shifts = tune_bias(&scores.iter().map(<[f64; 3]>::as_slice), &[0, 1, 2], 3);
        assert_eq!(shifts, [0.0; 3]);
    }

    #[test]
    fn ranks_break_ties_by_first_stage() {
        let rank =
            |first_stage: [f64; 3]| mean_reciprocal_rank(&[1.0; 3], &[0.0, 1.0, 0.0], &first_stage, &[3]);
        assert_eq!(rank([0.3, 0.2, 0.1]), 0.5);
        assert_eq!(rank([0.1, 0.2, 0.3]), 0.5);
        assert_eq!(rank([0.1, 0.9, 0.3]), 1.0);
        assert_eq!(rank([0.0, 0.0, 0.0]), 0.5);
    }
}
