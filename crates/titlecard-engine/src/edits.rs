//! How many slips of the keys lie between two short texts: letters left out, added, changed, or two neighbours
//! exchanged (optimal string alignment, the "restricted" Damerau-Levenshtein distance).
//!
//! Only distances up to a small limit are asked for, so the table is a diagonal band of fixed width and nothing is
//! allocated: 297,427 titles are compared in milliseconds. One pass gives the distance to the whole text and to its
//! nearest beginning; no crate we found gives both.

/// Largest limit.
pub(crate) const MAX_LIMIT: usize = 3;
const WIDTH: usize = 2 * MAX_LIMIT + 3;
const FAR: u8 = 100;

/// Edits between a pattern and a text, where they are within the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edits {
    /// To the whole text.
    pub whole: Option<u8>,
    /// To the nearest beginning of the text.
    pub beginning: Option<u8>,
}

/// Edits from `pattern` to `text`, up to `limit` of them.
///
/// # Panics
/// If `limit` is above [`MAX_LIMIT`].
pub(crate) fn edits<T: Copy + Eq>(pattern: &[T], text: &[T], limit: usize) -> Edits {
    assert!(limit <= MAX_LIMIT, "the band has a fixed width");
    // Column `at` of row `i` is the text's first `i + at - limit - 1` letters; both borders stay far.
    let mut before = [FAR; WIDTH];
    let mut above = [FAR; WIDTH];
    for letters in 0..=limit {
        above[letters + limit + 1] = letters as u8;
    }
    let max = limit as u8;
    for i in 1..=pattern.len() {
        let mut row = [FAR; WIDTH];
        let mut least = FAR;
        let letter = pattern[i - 1];
        let first = (limit + 1).saturating_sub(i).max(1);
        for at in first..=2 * limit + 1 {
            let j = i + at - limit - 1;
            if j > text.len() {
                break;
            }
            let mut cost = above[at + 1].min(row[at - 1]) + 1;
            if j > 0 {
                cost = cost.min(above[at] + u8::from(letter != text[j - 1]));
                if i > 1 && j > 1 && letter == text[j - 2] && pattern[i - 2] == text[j - 1] {
                    cost = cost.min(before[at] + 1);
                }
            }
            row[at] = cost.min(FAR);
            least = least.min(cost);
        }
        if least > max && above.iter().all(|&cost| cost > max) {
            return Edits { whole: None, beginning: None };
        }
        (before, above) = (above, row);
    }
    let within = |cost: u8| Some(cost).filter(|&cost| cost <= max);
    let end = (text.len() + limit + 1).checked_sub(pattern.len()).filter(|&at| at <= 2 * limit + 1);
    let whole = end.filter(|&at| at > 0).and_then(|at| within(above[at]));
    // Cells behind the end of the text were never filled in, but for an empty pattern.
    let last = end.unwrap_or(2 * limit + 1);
    let beginning = within(above[1..=last.max(1)].iter().copied().min().unwrap_or(FAR));
    Edits { whole, beginning }
}

/// The texts among `names` that are nearest to `sought`, best first, at most `n`: few edits, or, failing that, a
/// word in common. Of equally near ones those of the greater weight come first.
pub(crate) fn nearest<'a>(
    sought: &str,
    names: impl Iterator<Item = (&'a str, u32)>,
    n: usize,
) -> Vec<&'a str> {
    let pattern: Vec<char> = sought.chars().collect();
    let limit = (pattern.len() / 3).clamp(1, MAX_LIMIT);
    let mut letters = Vec::new();
    let mut found: Vec<(u8, std::cmp::Reverse<u32>, &str)> = names
        .filter_map(|(name, weight)| {
            letters.clear();
            letters.extend(name.chars());
            let distance = edits(&pattern, &letters, limit);
            let has_word = || name.split(' ').any(|word| sought.split(' ').any(|other| other == word));
            let cost = match (distance.whole, distance.beginning) {
                (Some(cost), _) => cost,
                (None, Some(cost)) if pattern.len() > 3 => 10 + cost,
                _ if has_word() => 20,
                _ => return None,
            };
            Some((cost, std::cmp::Reverse(weight), name))
        })
        .collect();
    found.sort_unstable();
    found.truncate(n);
    found.into_iter().map(|(.., name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slips_are_counted() {
        for (pattern, text, whole, beginning) in [
            ("jaws", "jaws", Some(0), Some(0)),
            ("jasw", "jaws", Some(1), Some(1)),
            ("star w", "star wars", Some(3), Some(0)),
            ("sta rw", "star wars", None, Some(1)),
            ("", "abc", Some(3), Some(0)),
            ("abc", "", Some(3), Some(3)),
            ("abcd", "", None, None),
        ] {
            let found = edits(pattern.as_bytes(), text.as_bytes(), 3);
            assert_eq!(found, Edits { whole, beginning }, "{pattern} {text}");
        }
    }

    proptest! {
        /// Oracle: `strsim::osa_distance`, over all beginnings of the text.
        #[test]
        fn distances_are_those_of_strsim(pattern in "[abc ]{0,9}", text in "[abc ]{0,9}", limit in 0..=MAX_LIMIT) {
            let within = |cost: usize| (cost <= limit).then_some(cost as u8);
            let found = edits(pattern.as_bytes(), text.as_bytes(), limit);
            prop_assert_eq!(found.whole, within(strsim::osa_distance(&pattern, &text)));
            let least = (0..=text.len()).map(|end| strsim::osa_distance(&pattern, &text[..end])).min();
            prop_assert_eq!(found.beginning, least.and_then(within));
        }
    }
}
