//! Tables of numbers and categories, the literals made from them, and their truth.

use std::collections::{BTreeMap, HashMap};

use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};

use crate::error::RrlError;
use crate::literal::{Literal, Test};
use crate::rows::{Rows, words_of};

/// Named columns of equal length.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    n_rows: usize,
    columns: Vec<(String, Column)>,
}

/// Cells of one column.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Numbers; NaN says missing.
    Numbers(Vec<f64>),
    /// Categories; `None` says missing.
    Categories(Vec<Option<String>>),
}

impl Column {
    /// Number of cells.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len(),
            Self::Categories(values) => values.len(),
        }
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Numbers(_) => "numbers",
            Self::Categories(_) => "categories",
        }
    }

    fn select(&self, rows: &[usize]) -> Self {
        match self {
            Self::Numbers(values) => Self::Numbers(rows.iter().map(|&row| values[row]).collect()),
            Self::Categories(values) => {
                Self::Categories(rows.iter().map(|&row| values[row].clone()).collect())
            }
        }
    }
}

impl Table {
    /// A table of these columns, in this order.
    ///
    /// # Errors
    /// [`RrlError::Shape`] if lengths differ, [`RrlError::RepeatedColumn`], [`RrlError::NotFinite`] for
    /// an infinite number (NaN says missing).
    pub fn new(columns: Vec<(String, Column)>) -> Result<Self, RrlError> {
        let n_rows = columns.first().map_or(0, |(_, column)| column.len());
        for (at, (name, column)) in columns.iter().enumerate() {
            if column.len() != n_rows {
                return Err(RrlError::Shape {
                    what: "cells in a column",
                    found: column.len(),
                    expected: n_rows,
                });
            }
            if columns[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(RrlError::RepeatedColumn { column: name.clone() });
            }
            if let Column::Numbers(values) = column
                && let Some(row) = values.iter().position(|value| value.is_infinite())
            {
                let what = format!("column `{name}`");
                return Err(RrlError::NotFinite { what, row, value: values[row] });
            }
        }
        Ok(Self { n_rows, columns })
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The columns with their names.
    pub fn columns(&self) -> &[(String, Column)] {
        &self.columns
    }

    /// The rows at `rows`, in that order.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let columns = self.columns.iter().map(|(name, column)| (name.clone(), column.select(rows))).collect();
        Self { n_rows: rows.len(), columns }
    }

    fn column(&self, name: &str) -> Result<&Column, RrlError> {
        self.columns.iter().find(|(found, _)| found == name).map(|(_, column)| column).ok_or_else(|| {
            let found = self.columns.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>();
            RrlError::MissingColumn { column: name.to_owned(), found: found.join(", ") }
        })
    }
}

/// How literals are made from the columns of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscretiseConfig {
    /// Cuts of each column of numbers, at most; each makes `> cut` and `<= cut`.
    pub n_cuts: usize,
    /// Where cuts are put.
    pub cuts: Cuts,
    /// Whether each category also makes a literal for its absence.
    pub negate: bool,
    /// Whether the first category (in sorted order) of a column makes no literal, as published.
    pub drop_first: bool,
    /// What a missing number means.
    pub missing: Missing,
    /// Seed of random cuts.
    pub seed: u64,
}

/// Where cuts are put.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cuts {
    /// Mean plus a standard normal number of standard deviations, as published in 2023.
    Normal,
    /// Mean plus a number of standard deviations even in a range, as published in 2021 (-3 to 3).
    Even {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// Halfway between values at evenly spaced ranks.
    Quantiles,
    /// A third of the cuts at evenly spaced ranks, the others ever denser towards the least and the
    /// greatest values: for scores whose tail decides.
    TailQuantiles,
}

/// What a missing number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The mean of the column, as published.
    Mean,
    /// Neither above nor at most any cut; a literal says that it is missing.
    Literal,
}

impl Default for DiscretiseConfig {
    fn default() -> Self {
        Self {
            n_cuts: 15,
            cuts: Cuts::Quantiles,
            negate: false,
            drop_first: false,
            missing: Missing::Literal,
            seed: 0,
        }
    }
}

impl DiscretiseConfig {
    /// As published: random normal cuts, first category dropped, missing numbers are the mean.
    pub fn published(n_cuts: usize, seed: u64) -> Self {
        Self { n_cuts, cuts: Cuts::Normal, negate: false, drop_first: true, missing: Missing::Mean, seed }
    }
}

/// Literals made from a table, and the columns that gave none.
#[derive(Debug, Clone, PartialEq)]
pub struct Discretised {
    /// Categories first, then their negations, then `> cut` of all columns, then `<= cut`, then missing.
    pub literals: Vec<Literal>,
    /// Columns with one value only.
    pub constant: Vec<String>,
}

/// Mean and standard deviation (of a sample) of the numbers that are there, missing ones as the mean.
fn moments(values: &[f64]) -> Option<(f64, f64)> {
    let present: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    if present.is_empty() {
        return None;
    }
    let mean = present.iter().sum::<f64>() / present.len() as f64;
    let squares: f64 = present.iter().map(|value| (value - mean) * (value - mean)).sum();
    Some((mean, (squares / (values.len() as f64 - 1.0)).sqrt()))
}

fn random_cuts(values: &[f64], n_cuts: usize, cuts: Cuts, rng: &mut Xoshiro256PlusPlus) -> Vec<f64> {
    let Some((mean, deviation)) = moments(values).filter(|(_, deviation)| *deviation > 0.0) else {
        return Vec::new();
    };
    let mut draw = || {
        if let Cuts::Even { low, high } = cuts {
            return low + (high - low) * rng.random::<f64>();
        }
        // Box and Muller's transform; 1 - u keeps the logarithm finite.
        let (radius, angle) = (1.0 - rng.random::<f64>(), rng.random::<f64>());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    };
    (0..n_cuts).map(|_| mean + deviation * draw()).collect()
}

/// Distinct cuts between neighbouring distinct values, at the given shares of the sorted values.
fn quantile_cuts(values: &[f64], shares: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let mut distinct = sorted.clone();
    distinct.dedup();
    if distinct.len() < 2 {
        return Vec::new();
    }
    let halfway = |at: usize| distinct[at] + (distinct[at + 1] - distinct[at]) / 2.0;
    let mut cuts: Vec<f64> = if distinct.len() - 1 <= shares.len() {
        (0..distinct.len() - 1).map(halfway).collect()
    } else {
        shares
            .iter()
            .map(|share| {
                let value = sorted[((share * sorted.len() as f64) as usize).min(sorted.len() - 1)];
                let at = distinct.partition_point(|&other| other < value);
                halfway(at.saturating_sub(1).min(distinct.len() - 2))
            })
            .collect()
    };
    cuts.sort_by(f64::total_cmp);
    cuts.dedup();
    cuts
}

fn shares(n_cuts: usize, cuts: Cuts) -> Vec<f64> {
    let even = |n: usize| (1..=n).map(move |at| at as f64 / (n + 1) as f64);
    if cuts == Cuts::Quantiles {
        return even(n_cuts).collect();
    }
    let n_even = n_cuts.div_ceil(3);
    let n_low = (n_cuts - n_even) / 2;
    let n_high = n_cuts - n_even - n_low;
    let edge = 1.0 / (n_even + 1) as f64;
    let tail = |n: usize| (1..=n).map(move |at| edge * 0.5_f64.powi(at as i32));
    even(n_even).chain(tail(n_low)).chain(tail(n_high).map(|share| 1.0 - share)).collect()
}

/// A number as people write it: three decimals, or more digits where three say nothing.
fn readable(value: f64) -> String {
    let short = format!("{value:.3}");
    match short.parse::<f64>() {
        Ok(parsed) if (parsed - value).abs() <= 1e-3 * value.abs() => short,
        _ => format!("{value:.4e}"),
    }
}

/// Makes literals from the training rows of a table.
///
/// A category makes `column is category`. A column of numbers makes `column > cut` and `column <= cut` at
/// each cut. A column with one value makes none. Statistics and categories come from this table alone, so
/// give it the training rows only.
///
/// # Errors
/// [`RrlError::Empty`] without rows, [`RrlError::Setting`] for no cuts or a bad range.
///
/// ```
/// use rrl::{Column, DiscretiseConfig, Table, discretise, encode, Unseen};
/// let table = Table::new(vec![
///     ("size".into(), Column::Numbers(vec![1.0, 2.0, 4.0, f64::NAN])),
///     ("colour".into(), Column::Categories(vec![Some("red".into()), Some("blue".into()), None, Some("red".into())])),
/// ])?;
/// let made = discretise(&table, &DiscretiseConfig { n_cuts: 2, ..DiscretiseConfig::default() })?;
/// let names: Vec<&str> = made.literals.iter().map(|literal| literal.name.as_str()).collect();
/// assert_eq!(names, [
///     "colour is blue", "colour is red", "size > 1.500", "size > 3.000", "size <= 1.500", "size <= 3.000",
///     "size is missing", "colour is missing",
/// ]);
/// let rows = encode(&made.literals, &table, Unseen::Ignore)?;
/// assert_eq!(rows.holding(3), [1, 6]);
/// # Ok::<(), rrl::RrlError>(())
/// ```
pub fn discretise(table: &Table, config: &DiscretiseConfig) -> Result<Discretised, RrlError> {
    if table.n_rows == 0 {
        return Err(RrlError::Empty { what: "table rows" });
    }
    if config.n_cuts == 0 || config.n_cuts > 10_000 {
        return Err(RrlError::Setting {
            setting: "n_cuts",
            found: config.n_cuts.to_string(),
            expected: "1 to 10,000",
        });
    }
    if let Cuts::Even { low, high } = config.cuts
        && !(low.is_finite() && high.is_finite() && low < high)
    {
        return Err(RrlError::Setting {
            setting: "cuts",
            found: format!("{low} to {high}"),
            expected: "a range of finite numbers",
        });
    }
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(config.seed);
    let mut found = Discretised { literals: Vec::new(), constant: Vec::new() };
    let (mut absent, mut above, mut at_most, mut missing) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (name, column) in &table.columns {
        match column {
            Column::Categories(values) => {
                let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
                values.iter().flatten().for_each(|value| *counts.entry(value).or_default() += 1);
                let n_missing = values.iter().filter(|value| value.is_none()).count();
                if counts.len() + usize::from(n_missing > 0) < 2 {
                    found.constant.push(name.clone());
                    continue;
                }
                for category in counts.into_keys().skip(usize::from(config.drop_first)) {
                    let [column, category] = [name, category].map(str::to_owned);
                    let text = format!("{name} is {category}");
                    if config.negate {
                        let test = Test::IsNot { column: column.clone(), category: category.clone() };
                        absent.push(Literal::tested(format!("{name} is not {category}"), test));
                    }
                    found.literals.push(Literal::tested(text, Test::Is { column, category }));
                }
                if n_missing > 0 {
                    missing.push(name);
                }
            }
            Column::Numbers(values) => {
                let cuts = match config.cuts {
                    Cuts::Quantiles | Cuts::TailQuantiles => {
                        quantile_cuts(values, &shares(config.n_cuts, config.cuts))
                    }
                    cuts => random_cuts(values, config.n_cuts, cuts, &mut rng),
                };
                let n_missing = values.iter().filter(|value| value.is_nan()).count();
                if cuts.is_empty() && (n_missing == 0 || n_missing == values.len()) {
                    found.constant.push(name.clone());
                    continue;
                }
                let mean = moments(values).map_or(0.0, |(mean, _)| mean);
                for value in cuts {
                    let if_missing = config.missing == Missing::Mean && mean > value;
                    let test = Test::Above { column: name.clone(), value, if_missing };
                    above.push(Literal::tested(format!("{name} > {}", readable(value)), test));
                    let if_missing = config.missing == Missing::Mean && mean <= value;
                    let test = Test::AtMost { column: name.clone(), value, if_missing };
                    at_most.push(Literal::tested(format!("{name} <= {}", readable(value)), test));
                }
                if n_missing > 0 && config.missing == Missing::Literal {
                    missing.push(name);
                }
            }
        }
    }
    found.literals.extend(absent.into_iter().chain(above).chain(at_most));
    found.literals.extend(
        missing.into_iter().map(|name| {
            Literal::tested(format!("{name} is missing"), Test::Missing { column: name.clone() })
        }),
    );
    Ok(found)
}

/// What to do with a category that no literal tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unseen {
    /// It is none of the tested categories: their literals are false, those for absence true.
    Ignore,
    /// [`RrlError::UnseenCategory`], for columns of which literals test categories. The dropped first
    /// category of the published layout counts as unseen.
    Refuse,
}

/// Tests resolved against the columns of a table, and how to run them.
pub(crate) struct Encoder<'a> {
    tests: Vec<Resolved<'a>>,
}

enum Resolved<'a> {
    Above(&'a [f64], f64, bool),
    AtMost(&'a [f64], f64, bool),
    Is(&'a [Option<String>], &'a str, bool),
    MissingNumber(&'a [f64]),
    MissingCategory(&'a [Option<String>]),
}

impl<'a> Encoder<'a> {
    /// # Errors
    /// [`RrlError::MissingColumn`], [`RrlError::ColumnType`], [`RrlError::Mismatch`] for a literal without
    /// test.
    pub(crate) fn new(literals: &'a [Literal], table: &'a Table) -> Result<Self, RrlError> {
        let numbers = |name: &str| match table.column(name)? {
            Column::Numbers(values) => Ok(values.as_slice()),
            other @ Column::Categories(_) => Err(RrlError::ColumnType {
                column: name.to_owned(),
                found: other.kind(),
                expected: "numbers",
            }),
        };
        let categories = |name: &str| match table.column(name)? {
            Column::Categories(values) => Ok(values.as_slice()),
            other @ Column::Numbers(_) => Err(RrlError::ColumnType {
                column: name.to_owned(),
                found: other.kind(),
                expected: "categories",
            }),
        };
        let tests = literals
            .iter()
            .map(|literal| {
                Ok(match literal.test.as_ref() {
                    None => {
                        return Err(RrlError::Mismatch {
                            problem: "a literal has no test, so no table tells its truth",
                            way_out: "give truth values as rows",
                        });
                    }
                    Some(Test::Above { column, value, if_missing }) => {
                        Resolved::Above(numbers(column)?, *value, *if_missing)
                    }
                    Some(Test::AtMost { column, value, if_missing }) => {
                        Resolved::AtMost(numbers(column)?, *value, *if_missing)
                    }
                    Some(Test::Is { column, category }) => Resolved::Is(categories(column)?, category, true),
                    Some(Test::IsNot { column, category }) => {
                        Resolved::Is(categories(column)?, category, false)
                    }
                    Some(Test::Missing { column }) => match table.column(column)? {
                        Column::Numbers(values) => Resolved::MissingNumber(values),
                        Column::Categories(values) => Resolved::MissingCategory(values),
                    },
                })
            })
            .collect::<Result<_, RrlError>>()?;
        Ok(Self { tests })
    }

    /// Bits of one literal for the rows from `start` on, as many as `to` has words times 64 or there are.
    pub(crate) fn fill(&self, literal: usize, start: usize, n_rows: usize, to: &mut [u64]) {
        fn pack<T>(cells: &[T], to: &mut [u64], holds: impl Fn(&T) -> bool) {
            to.fill(0);
            for (cells, word) in cells.chunks(64).zip(to) {
                let mut bits = 0;
                for (at, cell) in cells.iter().enumerate() {
                    bits |= u64::from(holds(cell)) << at;
                }
                *word = bits;
            }
        }
        let rows = start..start + n_rows;
        match &self.tests[literal] {
            Resolved::Above(values, cut, false) => pack(&values[rows], to, |value| value > cut),
            Resolved::Above(values, cut, true) => {
                pack(&values[rows], to, |value| value > cut || value.is_nan());
            }
            Resolved::AtMost(values, cut, false) => pack(&values[rows], to, |value| value <= cut),
            Resolved::AtMost(values, cut, true) => {
                pack(&values[rows], to, |value| value <= cut || value.is_nan());
            }
            Resolved::Is(values, category, holds) => {
                pack(&values[rows], to, |value| (value.as_deref() == Some(*category)) == *holds);
            }
            Resolved::MissingNumber(values) => pack(&values[rows], to, |value| value.is_nan()),
            Resolved::MissingCategory(values) => pack(&values[rows], to, Option::is_none),
        }
    }
}

/// Truth of literals for the rows of a table; columns no literal tests are ignored.
///
/// # Errors
/// [`RrlError::MissingColumn`], [`RrlError::ColumnType`], [`RrlError::Mismatch`] for a literal without
/// test, [`RrlError::UnseenCategory`] if asked for.
pub fn encode(literals: &[Literal], table: &Table, unseen: Unseen) -> Result<Rows, RrlError> {
    let encoder = Encoder::new(literals, table)?;
    if unseen == Unseen::Refuse {
        refuse_unseen(literals, table)?;
    }
    let (n_words, column_words) = (words_of(literals.len()), words_of(table.n_rows));
    let mut words = vec![0; table.n_rows * n_words];
    let mut column = vec![0; column_words];
    for literal in 0..literals.len() {
        encoder.fill(literal, 0, table.n_rows, &mut column);
        for row in 0..table.n_rows {
            words[row * n_words + literal / 64] |= (column[row / 64] >> (row % 64) & 1) << (literal % 64);
        }
    }
    Rows::from_words(table.n_rows, literals.len(), words)
}

fn refuse_unseen(literals: &[Literal], table: &Table) -> Result<(), RrlError> {
    let mut seen: HashMap<&str, Vec<&str>> = HashMap::new();
    for test in literals.iter().filter_map(|literal| literal.test.as_ref()) {
        if let Test::Is { column, category } | Test::IsNot { column, category } = test {
            seen.entry(column).or_default().push(category);
        }
    }
    for (name, column) in &table.columns {
        let (Column::Categories(values), Some(seen)) = (column, seen.get(name.as_str())) else { continue };
        for (row, value) in values.iter().enumerate() {
            if let Some(category) = value.as_deref().filter(|category| !seen.contains(category)) {
                return Err(RrlError::UnseenCategory {
                    column: name.clone(),
                    category: category.to_owned(),
                    row,
                });
            }
        }
    }
    Ok(())
}
