//! Groups of literals with few distinct patterns of truth.
//!
//! All cuts of one column, or all categories of another, take few patterns together: a row then picks one
//! row of a table of pattern sums for each column, where its bits would pick one for every cut. Sums of
//! neighbouring patterns differ by few literals, so the table is a chain of additions; going back, rows
//! are summed by pattern, and each literal holds in few intervals of patterns. Literals without a column
//! are grouped by fives.

use std::collections::{BTreeSet, HashMap};

use crate::literal::Literal;
use crate::rows::{Rows, words_of};

/// Literals without a common column that form a group: up to 32 patterns.
const PACK: usize = 5;
/// Wider rows, and sparse ones, are summed bit by bit.
const MOST_LITERALS: usize = 2048;
/// Groups of more distinct patterns are split into packs.
const MOST_PATTERNS: usize = 256;

/// Patterns of the rows of a data set.
#[derive(Debug)]
#[allow(clippy::struct_field_names)] // `n_patterns` is the term everywhere.
pub(crate) struct Patterns {
    pub(crate) n_groups: usize,
    pub(crate) n_patterns: usize,
    /// Pattern of each row in each group, counted over all groups: `[n_rows, n_groups]`.
    ids: Vec<u32>,
    pub(crate) plan: Plan,
}

/// How pattern sums are made from literals, and sums of literals from patterns.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// First pattern of each group, and the number of all at the end.
    pub(crate) starts: Vec<u32>,
    /// Literals of each group: `literals[literal_starts[g]..literal_starts[g + 1]]`.
    pub(crate) literals: Vec<u32>,
    pub(crate) literal_starts: Vec<u32>,
    /// Literals in which a pattern differs from the one before it (the first of a group from all off),
    /// with whether they hold now: `flips[flip_starts[p]..flip_starts[p + 1]]`.
    pub(crate) flips: Vec<(u32, bool)>,
    pub(crate) flip_starts: Vec<u32>,
    /// Patterns in which a literal holds, as intervals from the first to the one after the last:
    /// `intervals[interval_starts[l]..interval_starts[l + 1]]`, with the first pattern of the group.
    pub(crate) intervals: Vec<(u32, u32)>,
    pub(crate) interval_starts: Vec<u32>,
    /// Group of each literal.
    pub(crate) group_of: Vec<u32>,
}

impl Patterns {
    /// Finds groups; `None` where bit by bit is better.
    pub(crate) fn find(rows: &Rows, literals: &[Literal]) -> Option<Self> {
        let n_literals = rows.n_literals();
        if rows.is_sparse() || n_literals > MOST_LITERALS || rows.n_rows() == 0 {
            return None;
        }
        let n_words = words_of(n_literals);
        let mut words = vec![0; rows.n_rows() * n_words];
        words.chunks_exact_mut(n_words).enumerate().for_each(|(row, to)| rows.write_words(row, to));
        let mut found = Self { n_groups: 0, n_patterns: 0, ids: Vec::new(), plan: Plan::default() };
        let mut interval_lists: Vec<Vec<(u32, u32)>> = vec![Vec::new(); n_literals];
        found.plan.group_of = vec![0; n_literals];
        found.plan.flip_starts.push(0);
        found.plan.literal_starts.push(0);
        let mut columns: Vec<Vec<u32>> = Vec::new();
        for group in candidate_groups(literals) {
            let packs: Vec<Vec<usize>> = if distinct(&words, n_words, &group, MOST_PATTERNS).is_some() {
                vec![group]
            } else {
                group.chunks(PACK).map(<[usize]>::to_vec).collect()
            };
            for pack in packs {
                columns.push(found.add_group(&words, n_words, &pack, &mut interval_lists));
            }
        }
        found.plan.starts.push(found.n_patterns as u32);
        found.plan.interval_starts.push(0);
        for list in interval_lists {
            found.plan.intervals.extend(list);
            found.plan.interval_starts.push(found.plan.intervals.len() as u32);
        }
        found.ids =
            (0..rows.n_rows()).flat_map(|row| columns.iter().map(move |column| column[row])).collect();
        Some(found)
    }

    /// Adds a group; returns the pattern of each row in it.
    fn add_group(
        &mut self,
        words: &[u64],
        n_words: usize,
        group: &[usize],
        interval_lists: &mut [Vec<(u32, u32)>],
    ) -> Vec<u32> {
        let patterns: Vec<Vec<bool>> =
            distinct(words, n_words, group, usize::MAX).expect("any number is allowed").into_iter().collect();
        let first = self.n_patterns as u32;
        let number: HashMap<&[bool], u32> = patterns
            .iter()
            .enumerate()
            .map(|(at, pattern)| (pattern.as_slice(), first + at as u32))
            .collect();
        let ids = words.chunks_exact(n_words).map(|row| number[pattern_of(row, group).as_slice()]).collect();
        self.plan.starts.push(first);
        let mut before = vec![false; group.len()];
        for (at, pattern) in patterns.iter().enumerate() {
            for (place, (&now, was)) in pattern.iter().zip(&before).enumerate() {
                if now != *was {
                    self.plan.flips.push((group[place] as u32, now));
                }
                let list = &mut interval_lists[group[place]];
                let at = first + at as u32;
                match list.last_mut() {
                    Some((_, end)) if now && *end == at => *end += 1,
                    _ if now => list.push((at, at + 1)),
                    _ => {}
                }
            }
            self.plan.flip_starts.push(self.plan.flips.len() as u32);
            before.clone_from(pattern);
        }
        for &literal in group {
            self.plan.group_of[literal] = self.n_groups as u32;
            self.plan.literals.push(literal as u32);
        }
        self.plan.literal_starts.push(self.plan.literals.len() as u32);
        self.n_groups += 1;
        self.n_patterns += patterns.len();
        ids
    }

    /// Patterns of a row.
    pub(crate) fn row(&self, row: usize) -> &[u32] {
        &self.ids[row * self.n_groups..(row + 1) * self.n_groups]
    }
}

fn pattern_of(row: &[u64], group: &[usize]) -> Vec<bool> {
    group.iter().map(|&literal| row[literal / 64] >> (literal % 64) & 1 == 1).collect()
}

/// Distinct patterns in sorted order, unless there are more than `most`.
fn distinct(words: &[u64], n_words: usize, group: &[usize], most: usize) -> Option<BTreeSet<Vec<bool>>> {
    let mut patterns = BTreeSet::new();
    for row in words.chunks_exact(n_words) {
        let pattern = pattern_of(row, group);
        if !patterns.contains(&pattern) {
            patterns.insert(pattern);
            if patterns.len() > most {
                return None;
            }
        }
    }
    Some(patterns)
}

/// Literals by the column they test; without one, neighbours by fives.
fn candidate_groups(literals: &[Literal]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut of_column: HashMap<&str, usize> = HashMap::new();
    let mut pack: Vec<usize> = Vec::new();
    for (at, literal) in literals.iter().enumerate() {
        if let Some(test) = &literal.test {
            let group = *of_column.entry(test.column()).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[group].push(at);
        } else {
            pack.push(at);
            if pack.len() == PACK {
                groups.push(std::mem::take(&mut pack));
            }
        }
    }
    if !pack.is_empty() {
        groups.push(pack);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{LANES, Lanes, pattern_gather, pattern_sums};
    use crate::literal::Test;

    #[test]
    fn pattern_sums_are_the_sums_over_bits() {
        let n_literals = 31;
        let literals: Vec<Literal> = (0..n_literals)
            .map(|at| match at {
                0..12 => Literal::tested(
                    format!("l{at}"),
                    Test::Above { column: "x".into(), value: at as f64, if_missing: false },
                ),
                12..18 => Literal::tested(
                    format!("l{at}"),
                    Test::Is { column: "c".into(), category: at.to_string() },
                ),
                _ => Literal::new(format!("l{at}")),
            })
            .collect();
        let bools: Vec<Vec<bool>> = (0..200_usize)
            .map(|row| {
                (0..n_literals)
                    .map(|at| match at {
                        0..12 => row * 7 % 13 > at,
                        12..18 => row % 6 == at - 12,
                        _ => (row * row + row * at * 31 + at) % 3 == 0,
                    })
                    .collect()
            })
            .collect();
        let rows = Rows::from_bools(n_literals, &bools).unwrap();
        let patterns = Patterns::find(&rows, &literals).unwrap();
        // x, c, and three packs of the 13 others.
        assert_eq!(patterns.n_groups, 2 + 3);
        let lanes = |seed: usize, n: usize| -> Vec<Lanes<f64>> {
            (0..n)
                .map(|row| {
                    Lanes(std::array::from_fn(|lane| ((row * 37 + lane * 11 + seed) % 101) as f64 / 101.0))
                })
                .collect()
        };
        let (terms, coefficients) = (lanes(1, n_literals), lanes(2, 200));
        let ids: Vec<u32> = (0..200).flat_map(|row| patterns.row(row).to_vec()).collect();
        for zeros in [true, false] {
            let mut table = vec![Lanes::default(); patterns.n_patterns];
            let mut sums = vec![Lanes::default(); 200];
            pattern_sums(&patterns.plan, &ids, zeros, &terms, &mut table, &mut sums);
            for (row, bools) in bools.iter().enumerate() {
                for lane in 0..LANES {
                    let expected: f64 =
                        (0..n_literals).filter(|&at| bools[at] != zeros).map(|at| terms[at].0[lane]).sum();
                    assert!((sums[row].0[lane] - expected).abs() < 1e-12);
                }
            }
            let mut picked = vec![Lanes::default(); n_literals];
            pattern_gather(&patterns.plan, &ids, zeros, &coefficients, &mut table, &mut picked);
            for literal in 0..n_literals {
                for lane in 0..LANES {
                    let expected: f64 = (0..200)
                        .filter(|&row| bools[row][literal] != zeros)
                        .map(|row| coefficients[row].0[lane])
                        .sum();
                    assert!((picked[literal].0[lane] - expected).abs() < 1e-10, "{literal}");
                }
            }
        }
    }

    #[test]
    fn sparse_and_very_wide_rows_are_left_alone() {
        let sparse = Rows::from_lists(3, &[vec![1]]).unwrap();
        assert!(Patterns::find(&sparse, &["a", "b", "c"].map(Literal::new)).is_none());
    }
}
