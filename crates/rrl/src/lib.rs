//! Rules one can read: literals, conjunctions and disjunctions of them, and weighted rule lists.
//!
//! This is the form in which a Rule-based Representation Learner (Wang et al., *Scalable Rule-Based
//! Representation Learning for Interpretable Classification*, `NeurIPS` 2021, arXiv:2109.15103) hands
//! out what it learned, and in which rules are stored, edited by hand and served. The crate knows of
//! arrays and rules alone: no films, no files, no printing. Training is not part of it yet.
//!
//! ```
//! use rrl::{Literal, Logic, Rule, RuleList};
//! let list = RuleList::new(
//!     vec![Literal::new("same decade"), Literal::new("genre conflict")],
//!     -0.5,
//!     vec![
//!         Rule::new(Logic::And, vec![0], 1.5),
//!         Rule::new(Logic::Or, vec![1], -2.0),
//!     ],
//! )?;
//! let explanation = list.explain(&[true, false])?;
//! assert_eq!(explanation.score, 1.0);
//! assert_eq!(explanation.fired, [(0, 1.5)]);
//! # Ok::<(), rrl::RuleError>(())
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why rules cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleError {
    /// A rule names a literal that is not in the list.
    #[error("rule {rule} names literal {literal}, there are {n_literals}")]
    UnknownLiteral {
        /// Position of the rule.
        rule: usize,
        /// Position it names.
        literal: usize,
        /// Number of literals.
        n_literals: usize,
    },
    /// A rule without literals says nothing.
    #[error("rule {rule} has no literal; give it one or remove it")]
    EmptyRule {
        /// Position of the rule.
        rule: usize,
    },
    /// A weight or the bias is not a number.
    #[error("the weight of {what} is not a finite number")]
    BadWeight {
        /// The rule, or the bias.
        what: String,
    },
    /// A row has another length than the list has literals.
    #[error("the row has {found} values, there are {expected} literals")]
    RowLength {
        /// Values found.
        found: usize,
        /// Values expected.
        expected: usize,
    },
}

/// A statement that is true or false of a row, with the name it is shown by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Literal {
    /// What it says, in words.
    pub name: String,
}

impl Literal {
    /// A literal called `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

/// How the literals of a rule combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Logic {
    /// All literals hold.
    And,
    /// At least one literal holds.
    Or,
}

/// A conjunction or disjunction of literals with the weight it adds when it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// How the literals combine.
    pub logic: Logic,
    /// Positions of the literals.
    pub literals: Vec<usize>,
    /// What the rule adds to the score of a row it holds for.
    pub weight: f64,
}

impl Rule {
    /// A rule over the literals at positions `literals`.
    pub fn new(logic: Logic, literals: Vec<usize>, weight: f64) -> Self {
        Self { logic, literals, weight }
    }

    /// Whether the rule holds for `row` (one value a literal).
    fn holds(&self, row: &[bool]) -> bool {
        match self.logic {
            Logic::And => self.literals.iter().all(|&literal| row[literal]),
            Logic::Or => self.literals.iter().any(|&literal| row[literal]),
        }
    }
}

/// A checked list of rules: score of a row = bias + weights of the rules that hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedRuleList")]
pub struct RuleList {
    literals: Vec<Literal>,
    bias: f64,
    rules: Vec<Rule>,
}

/// What a file may hold before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UncheckedRuleList {
    literals: Vec<Literal>,
    bias: f64,
    rules: Vec<Rule>,
}

impl TryFrom<UncheckedRuleList> for RuleList {
    type Error = RuleError;

    fn try_from(list: UncheckedRuleList) -> Result<Self, RuleError> {
        Self::new(list.literals, list.bias, list.rules)
    }
}

/// Why a row has its score: the score is the bias plus the weights of the rules that fired, added in
/// the order shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Score of the row.
    pub score: f64,
    /// What every row starts with.
    pub bias: f64,
    /// Position and weight of every rule that holds.
    pub fired: Vec<(usize, f64)>,
}

impl RuleList {
    /// Checks that every rule has literals, that they exist, and that weights are finite.
    ///
    /// # Errors
    /// [`RuleError`] naming the first rule that cannot be used.
    pub fn new(literals: Vec<Literal>, bias: f64, rules: Vec<Rule>) -> Result<Self, RuleError> {
        if !bias.is_finite() {
            return Err(RuleError::BadWeight { what: "the bias".to_owned() });
        }
        let n_literals = literals.len();
        for (at, rule) in rules.iter().enumerate() {
            if rule.literals.is_empty() {
                return Err(RuleError::EmptyRule { rule: at });
            }
            if let Some(&literal) = rule.literals.iter().find(|&&literal| literal >= n_literals) {
                return Err(RuleError::UnknownLiteral { rule: at, literal, n_literals });
            }
            if !rule.weight.is_finite() {
                return Err(RuleError::BadWeight { what: format!("rule {at}") });
            }
        }
        Ok(Self { literals, bias, rules })
    }

    /// The literals, in the order rows give their values.
    pub fn literals(&self) -> &[Literal] {
        &self.literals
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What every row starts with.
    pub fn bias(&self) -> f64 {
        self.bias
    }

    /// Scores a row and says which rules held.
    ///
    /// - `row`: `[n_literals]`.
    ///
    /// # Errors
    /// [`RuleError::RowLength`].
    pub fn explain(&self, row: &[bool]) -> Result<Explanation, RuleError> {
        if row.len() != self.literals.len() {
            return Err(RuleError::RowLength { found: row.len(), expected: self.literals.len() });
        }
        let fired: Vec<(usize, f64)> = self
            .rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.holds(row))
            .map(|(at, rule)| (at, rule.weight))
            .collect();
        let score = fired.iter().fold(self.bias, |sum, (_, weight)| sum + weight);
        Ok(Explanation { score, bias: self.bias, fired })
    }

    /// Share of `rows` for which rule `rule` holds, in `[0, 1]`; 0 without rows.
    ///
    /// # Errors
    /// [`RuleError::RowLength`]; a rule that does not exist holds for no row.
    pub fn support<'a>(
        &self,
        rule: usize,
        rows: impl IntoIterator<Item = &'a [bool]>,
    ) -> Result<f64, RuleError> {
        let (mut n_rows, mut n_held) = (0_u64, 0_u64);
        for row in rows {
            let fired = self.explain(row)?.fired;
            n_rows += 1;
            n_held += u64::from(fired.iter().any(|(at, _)| *at == rule));
        }
        Ok(if n_rows == 0 { 0.0 } else { n_held as f64 / n_rows as f64 })
    }
}

/// One rule a line: weight, then the literals joined by `&` or `|`.
impl fmt::Display for RuleList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:+.4}  (every row)", self.bias)?;
        for rule in &self.rules {
            let separator = match rule.logic {
                Logic::And => " & ",
                Logic::Or => " | ",
            };
            let names: Vec<&str> = rule.literals.iter().map(|&at| self.literals[at].name.as_str()).collect();
            writeln!(f, "{:+.4}  {}", rule.weight, names.join(separator))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> RuleList {
        let literals = ["decade", "genre", "actor"].map(Literal::new).to_vec();
        let rules = vec![
            Rule::new(Logic::And, vec![0, 1], 2.0),
            Rule::new(Logic::Or, vec![1, 2], 0.5),
            Rule::new(Logic::And, vec![2], -1.25),
        ];
        RuleList::new(literals, 0.25, rules).unwrap()
    }

    #[test]
    fn the_score_is_the_sum_of_what_is_shown_for_every_row() {
        let list = list();
        for bits in 0..8_u8 {
            let row: Vec<bool> = (0..3).map(|at| bits >> at & 1 == 1).collect();
            let explanation = list.explain(&row).unwrap();
            // The meaning, written out.
            let mut expected = 0.25;
            if row[0] && row[1] {
                expected += 2.0;
            }
            if row[1] || row[2] {
                expected += 0.5;
            }
            if row[2] {
                expected -= 1.25;
            }
            assert_eq!(explanation.score, expected, "{row:?}");
            let sum = explanation.fired.iter().fold(explanation.bias, |sum, (_, weight)| sum + weight);
            assert_eq!(sum, explanation.score);
        }
    }

    #[test]
    fn support_counts_rows() {
        let rows = [[true, true, false], [true, false, false], [false, false, true]];
        let list = list();
        let support = |rule| list.support(rule, rows.iter().map(<[bool; 3]>::as_slice)).unwrap();
        assert_eq!([support(0), support(1), support(2)], [1.0 / 3.0, 2.0 / 3.0, 1.0 / 3.0]);
        assert_eq!(list.support(0, []).unwrap(), 0.0);
    }

    #[test]
    fn json_round_trip_keeps_the_list_and_checks_it() {
        let json = serde_json::to_string(&list()).unwrap();
        assert_eq!(serde_json::from_str::<RuleList>(&json).unwrap(), list());
        let edited = json.replace("\"literals\":[0,1]", "\"literals\":[0,9]");
        let error = serde_json::from_str::<RuleList>(&edited).unwrap_err().to_string();
        assert!(error.contains("rule 0 names literal 9, there are 3"), "{error}");
    }

    #[test]
    fn unusable_rules_are_named() {
        let one = vec![Literal::new("a")];
        let refused = |rules| RuleList::new(one.clone(), 0.0, rules).unwrap_err();
        assert_eq!(refused(vec![Rule::new(Logic::Or, vec![], 1.0)]), RuleError::EmptyRule { rule: 0 });
        let nan = refused(vec![Rule::new(Logic::Or, vec![0], f64::NAN)]);
        assert_eq!(nan.to_string(), "the weight of rule 0 is not a finite number");
        assert!(RuleList::new(one, f64::INFINITY, vec![]).is_err());
        assert_eq!(list().explain(&[true]), Err(RuleError::RowLength { found: 1, expected: 3 }));
    }

    #[test]
    fn a_list_prints_one_rule_a_line() {
        assert_eq!(
            list().to_string(),
            "+0.2500  (every row)\n+2.0000  decade & genre\n+0.5000  genre | actor\n-1.2500  actor\n"
        );
    }
}
