//! Weighted rules one can read, edit, save and serve: score = bias + weights of the rules that hold.

use std::collections::HashMap;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::data::Targets;
use crate::error::RrlError;
use crate::literal::{Literal, Test, ancestors};
use crate::matrix::Matrix;
use crate::network::{Network, sources};
use crate::program::{CHUNK, Columns, Input, Node, Program, fill_from_rows};
use crate::rows::{Rows, ones};
use crate::table::{Encoder, Table};

/// Version of the saved form that is written; all versions up to it are read.
const VERSION: u64 = 2;
/// What saved lists call themselves.
const FORMAT: &str = "rrl rules";
/// Characters after which a rule's text names further sub-rules by number.
const TEXT_LIMIT: usize = 2_000;

/// How the terms of a rule combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Logic {
    /// All hold.
    And,
    /// At least one holds.
    Or,
}

/// A part of a rule. In JSON: `3`, `{"not": 3}`, `{"rule": 1}`, `{"not_rule": 1}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "SavedTerm", into = "SavedTerm")]
pub enum Term {
    /// A literal holds.
    Literal(usize),
    /// A literal does not hold.
    NotLiteral(usize),
    /// Another rule holds.
    Rule(usize),
    /// Another rule does not hold.
    NotRule(usize),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum SavedTerm {
    Literal(usize),
    Other(OtherTerm),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OtherTerm {
    Not(usize),
    Rule(usize),
    NotRule(usize),
}

impl From<SavedTerm> for Term {
    fn from(term: SavedTerm) -> Self {
        match term {
            SavedTerm::Literal(at) => Self::Literal(at),
            SavedTerm::Other(OtherTerm::Not(at)) => Self::NotLiteral(at),
            SavedTerm::Other(OtherTerm::Rule(at)) => Self::Rule(at),
            SavedTerm::Other(OtherTerm::NotRule(at)) => Self::NotRule(at),
        }
    }
}

impl From<Term> for SavedTerm {
    fn from(term: Term) -> Self {
        match term {
            Term::Literal(at) => Self::Literal(at),
            Term::NotLiteral(at) => Self::Other(OtherTerm::Not(at)),
            Term::Rule(at) => Self::Other(OtherTerm::Rule(at)),
            Term::NotRule(at) => Self::Other(OtherTerm::NotRule(at)),
        }
    }
}

/// A conjunction or disjunction with what it adds to each score when it holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// How the terms combine.
    pub logic: Logic,
    /// One or more.
    pub terms: Vec<Term>,
    /// `[n_outputs]`; empty for a rule that is only part of others.
    pub weights: Vec<f64>,
    /// Share of the training rows it held for, if known. 0 marks a rule that never fired there.
    pub support: Option<f64>,
}

impl Rule {
    /// A rule over literals.
    pub fn new(
        logic: Logic,
        literals: impl IntoIterator<Item = usize>,
        weights: impl Into<Vec<f64>>,
    ) -> Self {
        Self {
            logic,
            terms: literals.into_iter().map(Term::Literal).collect(),
            weights: weights.into(),
            support: None,
        }
    }
}

/// A real-valued input and its weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearTerm {
    /// Name of the input.
    pub name: String,
    /// What one unit of it adds to the score.
    pub weight: f64,
}

/// A checked list of rules, ready to score rows.
///
/// ```
/// use rrl::{Literal, Logic, Rule, RuleList};
/// let list = RuleList::new(
///     vec![Literal::new("same decade"), Literal::new("genre conflict")],
///     vec!["score".into()],
///     vec![-0.5],
///     vec![Rule::new(Logic::And, [0], [1.5]), Rule::new(Logic::Or, [1], [-2.0])],
///     vec![],
/// )?;
/// let explanation = list.explain(&[true, false], &[])?;
/// assert_eq!(explanation.scores, [1.0]);
/// assert_eq!(explanation.fired, [0]);
/// assert_eq!(RuleList::from_json(&list.to_json())?, list);
/// # Ok::<(), rrl::RrlError>(())
/// ```
#[derive(Debug, Clone)]
pub struct RuleList {
    literals: Vec<Literal>,
    ancestors: Vec<Vec<usize>>,
    outputs: Vec<String>,
    bias: Vec<f64>,
    rules: Vec<Rule>,
    linear: Vec<LinearTerm>,
    program: Program,
    /// Rule of each node of the program.
    order: Vec<usize>,
}

impl PartialEq for RuleList {
    fn eq(&self, other: &Self) -> bool {
        self.literals == other.literals
            && self.outputs == other.outputs
            && self.bias == other.bias
            && self.rules == other.rules
            && self.linear == other.linear
    }
}

/// Why a row has its scores: each is the bias plus the weights of the rules that fired plus the linear
/// terms.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// `[n_outputs]`.
    pub scores: Vec<f64>,
    /// Positions of the scored rules that hold, ascending.
    pub fired: Vec<usize>,
    /// Weight times value of each linear input.
    pub linear: Vec<f64>,
}

/// How often a rule holds and what is true then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RuleStatistics {
    /// Rows it holds for.
    pub n_held: usize,
    /// Share of all rows.
    pub support: f64,
    /// Of the rows it holds for: the share of each class, of relevant candidates, or the mean of each
    /// value. NaN where it never holds.
    pub precision: Vec<f64>,
    /// The same over the mean of all rows.
    pub lift: Vec<f64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedRule {
    logic: Logic,
    literals: Vec<Term>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    weights: Vec<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    support: Option<f64>,
    /// For readers; ignored when read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(f64),
    Many(Vec<f64>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedList {
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    version: Option<u64>,
    #[serde(default)]
    outputs: Option<Vec<String>>,
    bias: OneOrMany,
    literals: Vec<Literal>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    linear: Vec<LinearTerm>,
    rules: Vec<SavedRule>,
}

impl RuleList {
    /// Checks that rules name what exists, do not go in circles, and that all numbers are finite.
    ///
    /// # Errors
    /// [`RrlError`] naming the first thing that cannot be used.
    pub fn new(
        literals: Vec<Literal>,
        outputs: Vec<String>,
        bias: Vec<f64>,
        rules: Vec<Rule>,
        linear: Vec<LinearTerm>,
    ) -> Result<Self, RrlError> {
        if outputs.is_empty() {
            return Err(RrlError::Empty { what: "outputs" });
        }
        if bias.len() != outputs.len() {
            return Err(RrlError::Shape { what: "biases", found: bias.len(), expected: outputs.len() });
        }
        let finite = |what: &str, value: f64| {
            if value.is_finite() {
                Ok(())
            } else {
                Err(RrlError::NotFinite { what: what.to_owned(), row: 0, value })
            }
        };
        bias.iter().try_for_each(|&bias| finite("the bias", bias))?;
        linear.iter().try_for_each(|term| finite(&format!("the weight of `{}`", term.name), term.weight))?;
        if !linear.is_empty() && outputs.len() != 1 {
            return Err(RrlError::Mismatch {
                problem: "linear inputs need a list with one output",
                way_out: "remove them, or all outputs but one",
            });
        }
        for literal in &literals {
            if let Some(Test::Above { value, .. } | Test::AtMost { value, .. }) = literal.test {
                finite(&format!("the test of `{}`", literal.name), value)?;
            }
        }
        let ancestors = ancestors(&literals)?;
        let bad = |rule: usize, problem: String| Err(RrlError::BadRule { rule, problem });
        for (at, rule) in rules.iter().enumerate() {
            if rule.terms.is_empty() {
                return bad(at, "it has no literal".to_owned());
            }
            for &term in &rule.terms {
                let (found, there_are, kind) = match term {
                    Term::Literal(found) | Term::NotLiteral(found) => (found, literals.len(), "literal"),
                    Term::Rule(found) | Term::NotRule(found) => (found, rules.len(), "rule"),
                };
                if found >= there_are {
                    return bad(at, format!("it names {kind} {found}, there are {there_are}"));
                }
            }
            if !rule.weights.is_empty() && rule.weights.len() != outputs.len() {
                return bad(
                    at,
                    format!("it has {} weights, there are {} outputs", rule.weights.len(), outputs.len()),
                );
            }
            if !rule.weights.iter().chain(&rule.support).all(|value| value.is_finite()) {
                return bad(at, "a weight or its support is not a finite number".to_owned());
            }
        }
        let order = evaluation_order(&rules)?;
        let program = compile(literals.len(), &rules, &order, &bias);
        Ok(Self { literals, ancestors, outputs, bias, rules, linear, program, order })
    }

    /// A discrete network as rules: equal ones merged, constants folded, several bounds on one column
    /// reduced to the one that counts. The list scores every row as the network does, also rows unlike any
    /// seen in training.
    ///
    /// - `scale`: factor on all weights, such as one over the temperature.
    ///
    /// # Errors
    /// [`RrlError`] if shapes do not fit or a parameter is not finite.
    pub fn from_network(
        network: &Network,
        literals: &[Literal],
        outputs: &[String],
        linear_names: &[String],
        scale: f64,
    ) -> Result<Self, RrlError> {
        Self::from_networks(&[(network, scale)], literals, outputs, linear_names)
    }

    /// The sum of several discrete networks, each times a factor, as one list: rules that occur in several
    /// are merged. See [`RuleList::from_network`].
    ///
    /// # Errors
    /// As [`RuleList::from_network`]; [`RrlError::Empty`] without networks.
    pub fn from_networks(
        networks: &[(&Network, f64)],
        literals: &[Literal],
        outputs: &[String],
        linear_names: &[String],
    ) -> Result<Self, RrlError> {
        if networks.is_empty() {
            return Err(RrlError::Empty { what: "networks" });
        }
        let mut book = Book::new(literals);
        let mut weights: Vec<Vec<f64>> = Vec::new();
        let mut bias = vec![0.0; outputs.len()];
        let mut linear = vec![0.0; linear_names.len()];
        for &(network, scale) in networks {
            add_network(network, scale, outputs.len(), &mut book, &mut weights, &mut bias, &mut linear)?;
        }
        let rules: Vec<Rule> = book
            .rules
            .into_iter()
            .zip(weights)
            .map(|((logic, terms), weights)| {
                let scored = weights.iter().any(|&weight| weight != 0.0);
                Rule { logic, terms, weights: if scored { weights } else { Vec::new() }, support: None }
            })
            .collect();
        let linear = linear_names
            .iter()
            .zip(linear)
            .map(|(name, weight)| LinearTerm { name: name.clone(), weight })
            .collect();
        Self::new(literals.to_vec(), outputs.to_vec(), bias, tidy(&rules), linear)
    }

    /// The literals, in the order rows give their values.
    pub fn literals(&self) -> &[Literal] {
        &self.literals
    }

    /// Names of the scores.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What every row starts with: `[n_outputs]`.
    pub fn bias(&self) -> &[f64] {
        &self.bias
    }

    /// Real-valued inputs beside the rules.
    pub fn linear(&self) -> &[LinearTerm] {
        &self.linear
    }

    /// Rules that add to a score.
    pub fn n_scored(&self) -> usize {
        self.rules.iter().filter(|rule| !rule.weights.is_empty()).count()
    }

    /// Terms of all rules: the size of the list.
    pub fn n_edges(&self) -> usize {
        self.rules.iter().map(|rule| rule.terms.len()).sum()
    }

    /// Scores of many rows: `[n_rows, n_outputs]`. Parents of literals are made to hold first.
    ///
    /// - `linear`: `[n_rows, n_linear]`; an empty matrix if there are no linear inputs.
    ///
    /// # Errors
    /// [`RrlError::Shape`].
    pub fn scores(&self, rows: &Rows, linear: &Matrix) -> Result<Matrix, RrlError> {
        self.check_rows(rows)?;
        let closed;
        let rows = if self.ancestors.iter().all(Vec::is_empty) {
            rows
        } else {
            let mut copy = rows.clone();
            copy.close(&self.ancestors);
            closed = copy;
            &closed
        };
        let fill = |start, n, columns: &mut Columns| fill_from_rows(rows, start, n, columns);
        let scores = self.program.scores(rows.n_rows(), fill);
        self.add_linear(scores, linear)
    }

    /// Scores of the rows of a table, by the tests of the literals: `[n_rows, n_outputs]`.
    ///
    /// # Errors
    /// As [`encode`](crate::encode), and [`RrlError::Shape`].
    pub fn scores_of_table(&self, table: &Table, linear: &Matrix) -> Result<Matrix, RrlError> {
        if self.ancestors.iter().any(|up| !up.is_empty()) {
            return self.scores(&crate::encode(&self.literals, table, crate::Unseen::Ignore)?, linear);
        }
        let encoder = Encoder::new(&self.literals, table)?;
        let used = self.used_literals();
        let fill = |start, n, columns: &mut Columns| {
            for &literal in &used {
                let words = CHUNK / 64;
                encoder.fill(literal, start, n, &mut columns.words[literal * words..(literal + 1) * words]);
            }
        };
        let scores = self.program.scores(table.n_rows(), fill);
        self.add_linear(scores, linear)
    }

    fn used_literals(&self) -> Vec<usize> {
        let mut used: Vec<usize> = self
            .rules
            .iter()
            .flat_map(|rule| &rule.terms)
            .filter_map(|term| match *term {
                Term::Literal(at) | Term::NotLiteral(at) => Some(at),
                Term::Rule(_) | Term::NotRule(_) => None,
            })
            .collect();
        used.sort_unstable();
        used.dedup();
        used
    }

    fn add_linear(&self, mut scores: Matrix, linear: &Matrix) -> Result<Matrix, RrlError> {
        if self.linear.is_empty() && linear.values().is_empty() {
            return Ok(scores);
        }
        for (what, found, expected) in [
            ("linear inputs", linear.n_columns(), self.linear.len()),
            ("rows of linear inputs", linear.n_rows(), scores.n_rows()),
        ] {
            if found != expected {
                return Err(RrlError::Shape { what, found, expected });
            }
        }
        for row in 0..scores.n_rows() {
            // Summed on their own first, as an explanation does, so that both give the same bits.
            scores.row_mut(row)[0] += self.linear_parts(linear.row(row)).iter().sum::<f64>();
        }
        Ok(scores)
    }

    /// Weight times value of each linear input.
    fn linear_parts(&self, values: &[f64]) -> Vec<f64> {
        self.linear.iter().zip(values).map(|(term, value)| term.weight * value).collect()
    }

    fn check_rows(&self, rows: &Rows) -> Result<(), RrlError> {
        if rows.n_literals() == self.literals.len() {
            return Ok(());
        }
        Err(RrlError::Shape {
            what: "literals in a row",
            found: rows.n_literals(),
            expected: self.literals.len(),
        })
    }

    /// Scores one row and says which rules held.
    ///
    /// - `row`: `[n_literals]`; `linear`: `[n_linear]`.
    ///
    /// # Errors
    /// [`RrlError::Shape`].
    pub fn explain(&self, row: &[bool], linear: &[f64]) -> Result<Explanation, RrlError> {
        for (what, found, expected) in [
            ("literals in a row", row.len(), self.literals.len()),
            ("linear inputs", linear.len(), self.linear.len()),
        ] {
            if found != expected {
                return Err(RrlError::Shape { what, found, expected });
            }
        }
        let mut closed = row.to_vec();
        for (literal, up) in self.ancestors.iter().enumerate().filter(|(literal, _)| row[*literal]) {
            debug_assert!(!up.contains(&literal), "circles were refused");
            up.iter().for_each(|&ancestor| closed[ancestor] = true);
        }
        let truths = self.program.holds(&closed);
        let mut fired: Vec<usize> = truths
            .iter()
            .zip(&self.order)
            .filter(|&(&holds, &rule)| holds && !self.rules[rule].weights.is_empty())
            .map(|(_, &rule)| rule)
            .collect();
        // Added in the order in which many rows at once are, so that both give the same bits.
        let mut scores = vec![0.0; self.bias.len()];
        for &rule in &fired {
            scores.iter_mut().zip(&self.rules[rule].weights).for_each(|(score, weight)| *score += weight);
        }
        scores.iter_mut().zip(&self.bias).for_each(|(score, bias)| *score += bias);
        fired.sort_unstable();
        let linear = self.linear_parts(linear);
        scores[0] += linear.iter().sum::<f64>();
        Ok(Explanation { scores, fired, linear })
    }

    /// Support, precision and lift of every rule on given rows.
    ///
    /// # Errors
    /// [`RrlError::Shape`], [`RrlError::Empty`] without rows.
    pub fn statistics(&self, rows: &Rows, targets: &Targets) -> Result<Vec<RuleStatistics>, RrlError> {
        self.check_rows(rows)?;
        let n_rows = rows.n_rows();
        if n_rows == 0 {
            return Err(RrlError::Empty { what: "rows" });
        }
        let truth = |row: usize| -> Vec<f64> {
            match targets {
                Targets::Classes { labels, names } => {
                    (0..names.len()).map(|class| f64::from(u8::from(labels[row] == class))).collect()
                }
                Targets::Values { values, .. } => values.row(row).to_vec(),
                Targets::Lists { relevance, .. } => vec![f64::from(u8::from(relevance[row] > 0.0))],
            }
        };
        let n_targets = match targets {
            Targets::Classes { labels, .. } => labels.len(),
            Targets::Values { values, .. } => values.n_rows(),
            Targets::Lists { relevance, .. } => relevance.len(),
        };
        if n_targets != n_rows {
            return Err(RrlError::Shape { what: "targets", found: n_targets, expected: n_rows });
        }
        let truths: Vec<Vec<f64>> = (0..n_rows).map(truth).collect();
        let n_values = truths[0].len();
        let mean = |sums: &[f64], n: usize| sums.iter().map(|sum| sum / n as f64).collect::<Vec<_>>();
        let mut sums = vec![(0_usize, vec![0.0; n_values]); self.rules.len()];
        let mut all = vec![0.0; n_values];
        truths.iter().for_each(|truth| all.iter_mut().zip(truth).for_each(|(to, value)| *to += value));
        let mut closed = rows.clone();
        closed.close(&self.ancestors);
        let words = CHUNK / 64;
        self.program.each_chunk(&closed, |start, nodes| {
            for (node, bits) in nodes.chunks_exact(words).enumerate() {
                let (n_held, sums) = &mut sums[self.order[node]];
                for row in ones(bits) {
                    *n_held += 1;
                    sums.iter_mut().zip(&truths[start + row]).for_each(|(to, value)| *to += value);
                }
            }
        });
        let base = mean(&all, n_rows);
        Ok(sums
            .into_iter()
            .map(|(n_held, sums)| {
                let precision = mean(&sums, n_held);
                let lift = precision.iter().zip(&base).map(|(precision, base)| precision / base).collect();
                RuleStatistics { n_held, support: n_held as f64 / n_rows as f64, precision, lift }
            })
            .collect())
    }

    /// The same list with the share of `rows` each rule holds for.
    ///
    /// # Errors
    /// [`RrlError::Shape`].
    pub fn with_support(mut self, rows: &Rows) -> Result<Self, RrlError> {
        self.check_rows(rows)?;
        let mut closed = rows.clone();
        closed.close(&self.ancestors);
        let n_rows = rows.n_rows().max(1) as f64;
        for (&rule, count) in self.order.iter().zip(self.program.counts(&closed)) {
            self.rules[rule].support = Some(count as f64 / n_rows);
        }
        Ok(self)
    }

    /// A shorter list that scores `rows` the same (to rounding): rules that never hold there are dropped,
    /// those that always hold become part of the bias. On other rows the scores can differ.
    ///
    /// # Errors
    /// [`RrlError::Shape`], [`RrlError::Empty`] without rows.
    pub fn pruned(&self, rows: &Rows) -> Result<Self, RrlError> {
        self.check_rows(rows)?;
        if rows.n_rows() == 0 {
            return Err(RrlError::Empty { what: "rows" });
        }
        let mut closed = rows.clone();
        closed.close(&self.ancestors);
        let mut counts = vec![0; self.rules.len()];
        for (&rule, count) in self.order.iter().zip(self.program.counts(&closed)) {
            counts[rule] = count;
        }
        let mut bias = self.bias.clone();
        let mut rules = self.rules.clone();
        for (rule, &count) in rules.iter_mut().zip(&counts) {
            if count == rows.n_rows() {
                bias.iter_mut().zip(&rule.weights).for_each(|(bias, weight)| *bias += weight);
            }
            if count == 0 || count == rows.n_rows() {
                rule.weights.clear();
            }
            // A constant sub-rule says nothing in a rule that is not constant itself.
            let constant = |at: usize| counts[at] == 0 || counts[at] == rows.n_rows();
            if count > 0 && count < rows.n_rows() {
                rule.terms
                    .retain(|term| !matches!(*term, Term::Rule(at) | Term::NotRule(at) if constant(at)));
            }
            rule.support = Some(count as f64 / rows.n_rows() as f64);
        }
        Self::new(self.literals.clone(), self.outputs.clone(), bias, tidy(&rules), self.linear.clone())
    }

    /// What a rule says, sub-rules in brackets.
    ///
    /// # Panics
    /// If there is no such rule.
    pub fn text(&self, rule: usize) -> String {
        let mut text = String::new();
        self.write_text(rule, &mut text);
        text
    }

    fn write_text(&self, rule: usize, text: &mut String) {
        let Rule { logic, terms, .. } = &self.rules[rule];
        let joint = if *logic == Logic::And { " & " } else { " | " };
        for (at, term) in terms.iter().enumerate() {
            if at > 0 {
                text.push_str(joint);
            }
            match *term {
                Term::Literal(at) => text.push_str(&self.literals[at].name),
                Term::NotLiteral(at) => {
                    text.push('~');
                    text.push_str(&self.literals[at].name);
                }
                Term::Rule(at) | Term::NotRule(at) => {
                    if matches!(term, Term::NotRule(_)) {
                        text.push('~');
                    }
                    if text.len() > TEXT_LIMIT {
                        let _ = write!(text, "rule {at}");
                    } else {
                        text.push('(');
                        self.write_text(at, text);
                        text.push(')');
                    }
                }
            }
        }
    }

    /// The list as a Markdown table, heaviest rule first; rules that never held in training follow in
    /// an appendix.
    ///
    /// - `statistics`: of all rules, to show precision and lift of the class a rule speaks for.
    pub fn to_markdown(&self, statistics: Option<&[RuleStatistics]>) -> String {
        let n_extra = if statistics.is_some() { 3 } else { 1 };
        let mut header = String::from("| rule |");
        self.outputs.iter().for_each(|output| header.extend([" ", output, " |"]));
        header.push_str(if statistics.is_some() { " support | precision | lift |" } else { " support |" });
        header.push_str("\n|---|");
        header.push_str(&"---|".repeat(self.outputs.len() + n_extra));
        header.push('\n');
        let mut text = header.clone();
        text.push_str("| (every row) |");
        for bias in &self.bias {
            let _ = write!(text, " {bias:+.4} |");
        }
        let _ = writeln!(text, "{}", " |".repeat(n_extra));
        for term in &self.linear {
            let blank = " |".repeat(n_extra);
            let _ = writeln!(text, "| {} (times its value) | {:+.4} |{blank}", term.name, term.weight);
        }
        let (dormant, live): (Vec<usize>, Vec<usize>) = (0..self.rules.len())
            .filter(|&rule| !self.rules[rule].weights.is_empty())
            .partition(|&rule| self.rules[rule].support == Some(0.0));
        live.into_iter().for_each(|rule| self.write_markdown_rule(rule, statistics, &mut text));
        if !dormant.is_empty() {
            text.push_str("\nNever held in training, kept because a new row may meet them:\n\n");
            text.push_str(&header);
            dormant.into_iter().for_each(|rule| self.write_markdown_rule(rule, statistics, &mut text));
        }
        text
    }

    fn write_markdown_rule(&self, rule: usize, statistics: Option<&[RuleStatistics]>, text: &mut String) {
        let shown = self.text(rule).replace('|', "\\|");
        let _ = write!(text, "| {shown} |");
        for weight in &self.rules[rule].weights {
            let _ = write!(text, " {weight:+.4} |");
        }
        let support = statistics.map(|all| all[rule].support).or(self.rules[rule].support);
        let _ = write!(text, " {} |", support.map_or(String::new(), |support| format!("{support:.4}")));
        if let Some(found) = statistics.map(|all| &all[rule]) {
            let output = self.spoken_for(rule);
            let _ = write!(text, " {:.4} | {:.2} |", found.precision[output], found.lift[output]);
        }
        text.push('\n');
    }

    /// The output a rule raises most.
    fn spoken_for(&self, rule: usize) -> usize {
        let weights = &self.rules[rule].weights;
        (0..weights.len()).fold(0, |best, at| if weights[at] > weights[best] { at } else { best })
    }

    /// The saved form: JSON of the current version, made for reading and editing.
    ///
    /// # Panics
    /// Never: plain numbers and strings can be written.
    pub fn to_json(&self) -> String {
        let rules = (0..self.rules.len())
            .map(|at| {
                let rule = self.rules[at].clone();
                SavedRule {
                    logic: rule.logic,
                    literals: rule.terms,
                    weight: None,
                    weights: rule.weights,
                    support: rule.support,
                    text: Some(self.text(at)),
                }
            })
            .collect();
        let saved = SavedList {
            format: Some(FORMAT.to_owned()),
            version: Some(VERSION),
            outputs: Some(self.outputs.clone()),
            bias: OneOrMany::Many(self.bias.clone()),
            literals: self.literals.clone(),
            linear: self.linear.clone(),
            rules,
        };
        serde_json::to_string_pretty(&saved).expect("plain numbers and strings")
    }

    /// Reads a saved list, of this or an earlier version, edited or not.
    ///
    /// # Errors
    /// [`RrlError::Unreadable`] for text that is no rule list, [`RrlError::Version`] for a later version,
    /// and as [`RuleList::new`].
    pub fn from_json(text: &str) -> Result<Self, RrlError> {
        let unreadable = |problem: String| RrlError::Unreadable { problem };
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
        if let Some(found) = value.get("version").and_then(serde_json::Value::as_u64)
            && found > VERSION
        {
            return Err(RrlError::Version { found, supported: VERSION });
        }
        let saved: SavedList =
            serde_json::from_value(value).map_err(|error| unreadable(error.to_string()))?;
        if let Some(format) = saved.format.filter(|format| format != FORMAT) {
            return Err(unreadable(format!("the format is `{format}`, expected `{FORMAT}`")));
        }
        let bias = match saved.bias {
            OneOrMany::One(bias) => vec![bias],
            OneOrMany::Many(bias) => bias,
        };
        let outputs = saved.outputs.unwrap_or_else(|| vec!["score".to_owned()]);
        let rules = saved
            .rules
            .into_iter()
            .enumerate()
            .map(|(at, rule)| {
                if rule.weight.is_some() && !rule.weights.is_empty() {
                    return Err(RrlError::BadRule {
                        rule: at,
                        problem: "it has `weight` and `weights`".to_owned(),
                    });
                }
                let weights = rule.weight.map_or(rule.weights, |weight| vec![weight]);
                Ok(Rule { logic: rule.logic, terms: rule.literals, weights, support: rule.support })
            })
            .collect::<Result<_, _>>()?;
        Self::new(saved.literals, outputs, bias, rules, saved.linear)
    }
}

/// One rule a line: weights, then the terms joined by `&` or `|`.
impl fmt::Display for RuleList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weights = |weights: &[f64]| {
            weights.iter().map(|weight| format!("{weight:+.4}")).collect::<Vec<_>>().join("  ")
        };
        if self.outputs.len() > 1 {
            writeln!(f, "{}", self.outputs.join("  "))?;
        }
        writeln!(f, "{}  (every row)", weights(&self.bias))?;
        for term in &self.linear {
            writeln!(f, "{:+.4}  times {}", term.weight, term.name)?;
        }
        for (at, rule) in self.rules.iter().enumerate().filter(|(_, rule)| !rule.weights.is_empty()) {
            let never = if rule.support == Some(0.0) { "  (never held in training)" } else { "" };
            writeln!(f, "{}  {}{never}", weights(&rule.weights), self.text(at))?;
        }
        Ok(())
    }
}

/// Rules in an order in which parts come before what they are part of.
fn evaluation_order(rules: &[Rule]) -> Result<Vec<usize>, RrlError> {
    let mut order = Vec::with_capacity(rules.len());
    // 0: not met; 1: its parts are being placed; 2: placed.
    let mut state = vec![0_u8; rules.len()];
    for start in 0..rules.len() {
        let mut open = vec![start];
        while let Some(&rule) = open.last() {
            if state[rule] == 0 {
                state[rule] = 1;
                for term in &rules[rule].terms {
                    if let Term::Rule(part) | Term::NotRule(part) = *term {
                        if state[part] == 1 {
                            let problem = "it is part of itself".to_owned();
                            return Err(RrlError::BadRule { rule: part, problem });
                        }
                        if state[part] == 0 {
                            open.push(part);
                        }
                    }
                }
            } else {
                open.pop();
                if state[rule] == 1 {
                    state[rule] = 2;
                    order.push(rule);
                }
            }
        }
    }
    Ok(order)
}

fn compile(n_literals: usize, rules: &[Rule], order: &[usize], bias: &[f64]) -> Program {
    let mut node_of = vec![0; rules.len()];
    let mut weights = Matrix::zeros(order.len(), bias.len());
    let mut nodes = Vec::with_capacity(order.len());
    for (node, &rule) in order.iter().enumerate() {
        node_of[rule] = n_literals + node;
        let inputs = rules[rule]
            .terms
            .iter()
            .map(|term| match *term {
                Term::Literal(at) => Input { at, negated: false },
                Term::NotLiteral(at) => Input { at, negated: true },
                Term::Rule(at) => Input { at: node_of[at], negated: false },
                Term::NotRule(at) => Input { at: node_of[at], negated: true },
            })
            .collect();
        nodes.push(Node { conjunction: rules[rule].logic == Logic::And, inputs });
        if !rules[rule].weights.is_empty() {
            weights.row_mut(node).copy_from_slice(&rules[rule].weights);
        }
    }
    Program::new(n_literals, nodes, &weights, bias.to_vec())
}

/// Drops rules that no score depends on, and sorts: scored rules by their largest absolute weight, then
/// the others.
fn tidy(rules: &[Rule]) -> Vec<Rule> {
    let mut used: Vec<bool> = rules.iter().map(|rule| !rule.weights.is_empty()).collect();
    let mut open: Vec<usize> = (0..rules.len()).filter(|&rule| used[rule]).collect();
    while let Some(rule) = open.pop() {
        for term in &rules[rule].terms {
            if let Term::Rule(part) | Term::NotRule(part) = *term
                && !std::mem::replace(&mut used[part], true)
            {
                open.push(part);
            }
        }
    }
    let weight =
        |rule: usize| rules[rule].weights.iter().fold(-1.0, |most: f64, weight| most.max(weight.abs()));
    let mut kept: Vec<usize> = (0..rules.len()).filter(|&rule| used[rule]).collect();
    kept.sort_by(|&a, &b| weight(b).total_cmp(&weight(a)));
    let mut new_place = vec![0; rules.len()];
    kept.iter().enumerate().for_each(|(place, &rule)| new_place[rule] = place);
    kept.into_iter()
        .map(|rule| {
            let mut rule = rules[rule].clone();
            for term in &mut rule.terms {
                if let Term::Rule(at) | Term::NotRule(at) = term {
                    *at = new_place[*at];
                }
            }
            rule
        })
        .collect()
}

/// Adds the rules of a network to a book, and its weights times `scale` to those of the rules so far.
fn add_network(
    network: &Network,
    scale: f64,
    n_outputs: usize,
    book: &mut Book<'_>,
    weights: &mut Vec<Vec<f64>>,
    bias: &mut [f64],
    linear: &mut [f64],
) -> Result<(), RrlError> {
    network.validate()?;
    let n_literals = book.literals.len();
    for (what, found, expected) in [
        ("literals", n_literals, network.n_literals),
        ("outputs", n_outputs, network.n_outputs()),
        ("linear inputs", linear.len(), network.linear.len()),
    ] {
        if found != expected {
            return Err(RrlError::Shape { what, found, expected });
        }
    }
    let mut values: Vec<Vec<Value>> = Vec::new();
    for (at, layer) in network.layers.iter().enumerate() {
        let read: Vec<Value> = sources(at, network.skip)
            .into_iter()
            .flat_map(|source| match source {
                None => (0..n_literals).map(|at| Value::Term(Term::Literal(at))).collect::<Vec<_>>(),
                Some(source) => values[source].clone(),
            })
            .collect();
        let mut outputs = Vec::new();
        for (logic, weights) in [(Logic::And, &layer.conjunctions), (Logic::Or, &layer.disjunctions)] {
            for node in 0..weights.n_columns() {
                let on = (0..weights.n_rows()).filter(|&input| weights.at(input, node) > 0.5);
                outputs.push(book.rule(
                    logic,
                    on.map(|input| {
                        let value = read[input % read.len()];
                        if input < read.len() { value } else { value.negated() }
                    }),
                ));
            }
        }
        values.push(outputs);
    }
    weights.resize(book.rules.len(), vec![0.0; n_outputs]);
    let dims = sources(network.layers.len(), network.skip)
        .into_iter()
        .flatten()
        .flat_map(|source| values[source].iter());
    bias.iter_mut().zip(&network.bias).for_each(|(to, bias)| *to += scale * bias);
    linear.iter_mut().zip(&network.linear).for_each(|(to, weight)| *to += scale * weight);
    for (dim, value) in dims.enumerate() {
        let to = match value {
            Value::True => &mut *bias,
            Value::Term(Term::Rule(rule)) => &mut weights[*rule],
            _ => continue,
        };
        to.iter_mut().enumerate().for_each(|(output, to)| *to += scale * network.head.at(output, dim));
    }
    Ok(())
}

/// What a node of a network amounts to.
#[derive(Debug, Clone, Copy)]
enum Value {
    True,
    False,
    Term(Term),
}

impl Value {
    fn negated(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Term(Term::Literal(at)) => Self::Term(Term::NotLiteral(at)),
            Self::Term(Term::NotLiteral(at)) => Self::Term(Term::Literal(at)),
            Self::Term(Term::Rule(at)) => Self::Term(Term::NotRule(at)),
            Self::Term(Term::NotRule(at)) => Self::Term(Term::Rule(at)),
        }
    }
}

/// Distinct rules met so far.
struct Book<'a> {
    literals: &'a [Literal],
    rules: Vec<(Logic, Vec<Term>)>,
    known: HashMap<(Logic, Vec<Term>), usize>,
}

impl<'a> Book<'a> {
    fn new(literals: &'a [Literal]) -> Self {
        Self { literals, rules: Vec::new(), known: HashMap::new() }
    }

    /// What `logic` over `inputs` amounts to, as a rule of the book or a constant.
    fn rule(&mut self, logic: Logic, inputs: impl Iterator<Item = Value>) -> Value {
        let (neutral, decided) =
            if logic == Logic::And { (Value::True, Value::False) } else { (Value::False, Value::True) };
        let mut terms = Vec::new();
        for input in inputs {
            match (input, logic) {
                (Value::True, Logic::And) | (Value::False, Logic::Or) => {}
                (Value::False, Logic::And) | (Value::True, Logic::Or) => return decided,
                (Value::Term(term), _) => terms.push(term),
            }
        }
        terms.sort_unstable();
        terms.dedup();
        let opposite = |term: Term| match Value::Term(term).negated() {
            Value::Term(term) => terms.binary_search(&term).is_ok(),
            Value::True | Value::False => false,
        };
        if terms.iter().any(|&term| opposite(term)) {
            return decided;
        }
        merge_bounds(self.literals, logic, &mut terms);
        if terms.is_empty() {
            return neutral;
        }
        if let [Term::Rule(rule)] = terms[..] {
            return Value::Term(Term::Rule(rule));
        }
        if logic == Logic::And && contradictory(self.literals, &terms) {
            return Value::False;
        }
        let logic = if terms.len() == 1 { Logic::And } else { logic };
        let next = self.rules.len();
        let rule = *self.known.entry((logic, terms.clone())).or_insert(next);
        if rule == next {
            self.rules.push((logic, terms));
        }
        Value::Term(Term::Rule(rule))
    }
}

/// Column, direction (above or not), bound and truth where missing of a literal that bounds a number.
pub(crate) fn bound(literal: &Literal) -> Option<(&str, bool, f64, bool)> {
    match literal.test.as_ref()? {
        Test::Above { column, value, if_missing } => Some((column, true, *value, *if_missing)),
        Test::AtMost { column, value, if_missing } => Some((column, false, *value, *if_missing)),
        _ => None,
    }
}

/// Whether the first bound alone says what both say together in `logic`.
fn covers(logic: Logic, kept: (bool, f64, bool), other: (bool, f64, bool)) -> bool {
    let ((above, value, missing), (other_above, other_value, other_missing)) = (kept, other);
    // In a conjunction the tighter bound counts, in a disjunction the looser one.
    let decides = if (logic == Logic::And) == above { value >= other_value } else { value <= other_value };
    let together = if logic == Logic::And { missing && other_missing } else { missing || other_missing };
    above == other_above && decides && missing == together
}

fn merge_bounds(literals: &[Literal], logic: Logic, terms: &mut Vec<Term>) {
    let bound_of = |term: Term| match term {
        Term::Literal(at) => bound(&literals[at]),
        _ => None,
    };
    let mut kept: Vec<Term> = Vec::with_capacity(terms.len());
    for &term in terms.iter() {
        let Some((column, above, value, missing)) = bound_of(term) else {
            kept.push(term);
            continue;
        };
        let says = |other: Term| {
            bound_of(other)
                .filter(|bound| bound.0 == column)
                .map(|(_, above, value, missing)| (above, value, missing))
        };
        let this = (above, value, missing);
        if kept.iter().any(|&other| says(other).is_some_and(|other| covers(logic, other, this))) {
            continue;
        }
        kept.retain(|&other| !says(other).is_some_and(|other| covers(logic, this, other)));
        kept.push(term);
    }
    kept.sort_unstable();
    *terms = kept;
}

/// Whether a conjunction asks a number to be above a bound and at most a lower one.
fn contradictory(literals: &[Literal], terms: &[Term]) -> bool {
    let bounds: Vec<_> = terms
        .iter()
        .filter_map(|term| match *term {
            Term::Literal(at) => bound(&literals[at]),
            _ => None,
        })
        .collect();
    bounds.iter().filter(|bound| bound.1).any(|&(column, _, low, missing)| {
        bounds.iter().any(|&(other, above, high, other_missing)| {
            other == column && !above && low >= high && !(missing && other_missing)
        })
    })
}
