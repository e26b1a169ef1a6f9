//! The rules that rank: literals of a question and a film, weighed, beside at most five scores.

use rrl::{Explanation, Literal, Logic, Matrix, Rows, Rule, RuleList, Term, Test};

use super::Pool;
use super::literals::{Fact, N_NUMBERS, Number};

/// Why a rule file cannot rank.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RankerError {
    /// The file is no rule list.
    #[error("the rules cannot be read: {0}")]
    Rules(#[from] rrl::RrlError),
    /// A literal asks for something that is not known of a question and a film.
    #[error(
        "the rules ask for `{name}`, which is not known of a question and a film{}; `titlecard rules glossary` lists \
         what is", nearest(.name)
    )]
    UnknownLiteral {
        /// The literal.
        name: String,
    },
    /// Ranking needs one score a film.
    #[error("the rules have {found} outputs, ranking needs one; keep the one called `score`")]
    Outputs {
        /// Outputs of the list.
        found: usize,
    },
    /// A score of the linear part does not exist.
    #[error("the linear part names `{name}`, which is no score; the scores are {known}")]
    UnknownScore {
        /// The name.
        name: String,
        /// The scores there are.
        known: String,
    },
}

fn nearest(name: &str) -> String {
    let known =
        Fact::ALL.iter().map(|fact| fact.name()).chain(Number::ALL.iter().map(|number| number.name()));
    let shared = |other: &str| {
        let words: Vec<&str> = other.split(' ').collect();
        name.split(' ').filter(|word| words.contains(word)).count()
    };
    match known.max_by_key(|known| shared(known)).filter(|known| shared(known) > 0) {
        Some(known) => format!(" (did you mean `{known}`?)"),
        None => String::new(),
    }
}

/// Bytes of words for the rules inside one; beyond, they are named by number. Rules can be nested so that their words double
/// with each.
const MAX_INNER_BYTES: usize = 4_000;
/// Bytes every inner rule counts for at least, which also bounds how deep they are followed.
const INNER_RULE_BYTES: usize = 40;

/// Where the truth of a literal comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Source {
    Fact(Fact),
    Above(Number, f64),
    AtMost(Number, f64),
}

/// A rule list ready to rank pools.
#[derive(Debug, Clone)]
pub struct Ranker {
    rules: RuleList,
    sources: Vec<Source>,
    linear: Vec<Number>,
}

/// Why a film has its score.
#[derive(Debug, Clone, PartialEq)]
pub struct Reasons {
    /// Bias of the list.
    pub bias: f64,
    /// Numbers of the rules that hold, with their weights.
    pub fired: Vec<(usize, f64)>,
    /// Scores of the linear part: which, its value, its weight, and what it adds.
    pub linear: Vec<(Number, f64, f64, f64)>,
    /// The score: the sum of all of these.
    pub score: f64,
}

impl Reasons {
    /// Adds up what is shown.
    pub fn sum(&self) -> f64 {
        let rules: f64 = self.fired.iter().map(|(_, weight)| weight).sum();
        let linear: f64 = self.linear.iter().map(|term| term.3).sum();
        self.bias + rules + linear
    }
}

impl Ranker {
    /// Checks that every literal and score is known.
    ///
    /// # Errors
    /// [`RankerError::UnknownLiteral`] or [`RankerError::UnknownScore`].
    pub fn new(rules: RuleList) -> Result<Self, RankerError> {
        if rules.outputs().len() != 1 {
            return Err(RankerError::Outputs { found: rules.outputs().len() });
        }
        let sources = rules.literals().iter().map(source_of).collect::<Result<_, _>>()?;
        let linear = rules
            .linear()
            .iter()
            .map(|term| {
                Number::named(&term.name).ok_or_else(|| RankerError::UnknownScore {
                    name: term.name.clone(),
                    known: Number::ALL.map(Number::name).join(", "),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { rules, sources, linear })
    }

    /// Reads a rule list from JSON.
    ///
    /// # Errors
    /// [`RankerError`].
    pub fn from_json(text: &str) -> Result<Self, RankerError> {
        Self::new(RuleList::from_json(text)?)
    }

    /// The rules.
    pub fn rules(&self) -> &RuleList {
        &self.rules
    }

    /// Truth of the literals for every film of a pool.
    pub fn rows(&self, pool: &Pool) -> Rows {
        rows_of(&self.sources, pool)
    }

    /// Scores of a pool, `[n_films]`.
    pub fn scores(&self, pool: &Pool) -> Vec<f64> {
        let linear = linear_of(&self.linear, pool);
        // The shapes are ours.
        self.rules
            .scores(&self.rows(pool), &linear)
            .map_or_else(|_| Vec::new(), |scores| scores.values().to_vec())
    }

    /// Rows of a pool in the order of their scores; of equal scores, in that of the first stage.
    pub fn order(scores: &[f64]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        // Stable: a pool comes in the order of the first stage.
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        order
    }

    /// Truth of the literals for one film.
    pub fn truths(&self, pool: &Pool, row: usize) -> Vec<bool> {
        self.sources.iter().map(|source| holds(*source, pool, row)).collect()
    }

    /// Why film `row` of a pool has its score.
    pub fn reasons(&self, pool: &Pool, row: usize) -> Reasons {
        self.reasons_of(&self.truths(pool, row), &self.values(pool, row))
    }

    /// Values of the linear part for one film.
    pub fn values(&self, pool: &Pool, row: usize) -> Vec<f64> {
        self.linear.iter().map(|&number| value(pool, row, number)).collect()
    }

    /// Reasons for given truths and values.
    pub fn reasons_of(&self, truths: &[bool], values: &[f64]) -> Reasons {
        let explanation = self.rules.explain(truths, values).unwrap_or(Explanation {
            scores: vec![f64::NAN],
            fired: Vec::new(),
            linear: Vec::new(),
        });
        let weight = |rule: &usize| (*rule, self.weight(*rule));
        let terms = self.linear.iter().zip(self.rules.linear()).zip(values).zip(&explanation.linear);
        Reasons {
            bias: self.rules.bias()[0],
            fired: explanation.fired.iter().map(weight).collect(),
            linear: terms
                .map(|(((&number, term), &value), &adds)| (number, value, term.weight, adds))
                .collect(),
            score: explanation.scores[0],
        }
    }

    /// The list with another weight for one rule.
    ///
    /// # Errors
    /// [`RankerError::Rules`] if the weight is not finite.
    ///
    /// # Panics
    /// If there is no such rule.
    pub fn with_weight(&self, rule: usize, weight: f64) -> Result<Self, RankerError> {
        let list = &self.rules;
        let mut rules = list.rules().to_vec();
        rules[rule].weights = vec![weight];
        Self::new(RuleList::new(
            list.literals().to_vec(),
            list.outputs().to_vec(),
            list.bias().to_vec(),
            rules,
            list.linear().to_vec(),
        )?)
    }

    /// What a rule adds where it holds; 0 for one that is only part of others.
    ///
    /// # Panics
    /// If there is no such rule.
    pub fn weight(&self, rule: usize) -> f64 {
        self.rules.rules()[rule].weights.first().copied().unwrap_or(0.0)
    }

    /// Literals of a rule and of the rules it is made of, by number, each once.
    pub fn literals_of_rule(&self, rule: usize) -> Vec<usize> {
        let (rules, n_literals) = (self.rules.rules(), self.rules.literals().len());
        // A rule may name another as often as it likes, and that one a third: each is looked into once.
        let (mut seen_rules, mut seen_literals) = (vec![false; rules.len()], vec![false; n_literals]);
        let (mut found, mut open) = (Vec::new(), vec![Term::Rule(rule)]);
        while let Some(term) = open.pop() {
            match term {
                Term::Literal(at) | Term::NotLiteral(at) => {
                    if !std::mem::replace(&mut seen_literals[at], true) {
                        found.push(at);
                    }
                }
                Term::Rule(at) | Term::NotRule(at) => {
                    if !std::mem::replace(&mut seen_rules[at], true) {
                        open.extend(rules[at].terms.iter().rev());
                    }
                }
            }
        }
        found
    }

    /// What a rule says, a line for every term, in plain words; of rules in rules in rules without end the inner ones
    /// by their numbers.
    pub fn rule_words(&self, rule: usize) -> Vec<String> {
        let mut left = MAX_INNER_BYTES;
        self.words_within(rule, &mut left)
    }

    /// [`Ranker::rule_words`] with `left` bytes for rules in rules.
    fn words_within(&self, rule: usize, left: &mut usize) -> Vec<String> {
        let Rule { logic, terms, .. } = &self.rules.rules()[rule];
        let joint = if *logic == Logic::And { "and " } else { "or " };
        let mut inside = |inner: usize| {
            *left = left.saturating_sub(INNER_RULE_BYTES);
            if *left == 0 {
                return format!("rule {}", inner + 1);
            }
            let words = self.words_within(inner, left).join(" ");
            *left = left.saturating_sub(words.len());
            format!("({words})")
        };
        terms
            .iter()
            .enumerate()
            .map(|(at, term)| {
                let joint = if at == 0 { "" } else { joint };
                match *term {
                    Term::Literal(literal) => format!("{joint}{}", self.words(literal)),
                    Term::NotLiteral(literal) => format!("{joint}not: {}", self.words(literal)),
                    Term::Rule(inner) => format!("{joint}{}", inside(inner)),
                    Term::NotRule(inner) => format!("{joint}not: {}", inside(inner)),
                }
            })
            .collect()
    }

    /// What a literal means, in plain words.
    pub fn words(&self, literal: usize) -> String {
        match self.sources[literal] {
            Source::Fact(fact) => fact.words().to_owned(),
            Source::Above(number, value) => format!("{}: above {value:.3}", number.words()),
            Source::AtMost(number, value) => format!("{}: at most {value:.3}", number.words()),
        }
    }

    /// The fact or number a literal asks for, by name.
    pub fn asks(&self, literal: usize) -> &'static str {
        match self.sources[literal] {
            Source::Fact(fact) => fact.name(),
            Source::Above(number, _) | Source::AtMost(number, _) => number.name(),
        }
    }
}

fn source_of(literal: &Literal) -> Result<Source, RankerError> {
    let unknown = |name: &str| RankerError::UnknownLiteral { name: name.to_owned() };
    let number = |column: &str| Number::named(column).ok_or_else(|| unknown(column));
    match &literal.test {
        Some(Test::Above { column, value, .. }) => Ok(Source::Above(number(column)?, *value)),
        Some(Test::AtMost { column, value, .. }) => Ok(Source::AtMost(number(column)?, *value)),
        _ => Fact::named(&literal.name).map(Source::Fact).ok_or_else(|| unknown(&literal.name)),
    }
}

fn holds(source: Source, pool: &Pool, row: usize) -> bool {
    match source {
        Source::Fact(fact) => pool.table.holds(row, fact),
        // What is not a number is neither above nor at most anything.
        Source::Above(number, bound) => f64::from(pool.table.number(row, number)) > bound,
        Source::AtMost(number, bound) => f64::from(pool.table.number(row, number)) <= bound,
    }
}

fn rows_of(sources: &[Source], pool: &Pool) -> Rows {
    let n_words = sources.len().div_ceil(64);
    let mut words = vec![0_u64; n_words * pool.films.len()];
    for row in 0..pool.films.len() {
        for (at, &source) in sources.iter().enumerate() {
            words[row * n_words + at / 64] |= u64::from(holds(source, pool, row)) << (at % 64);
        }
    }
    Rows::from_words(pool.films.len(), sources.len(), words)
        .unwrap_or_else(|_| unreachable!("whole rows of words"))
}

fn value(pool: &Pool, row: usize, number: Number) -> f64 {
    let value = f64::from(pool.table.number(row, number));
    if value.is_finite() { value } else { 0.0 }
}

fn linear_of(linear: &[Number], pool: &Pool) -> Matrix {
    let mut values = Matrix::zeros(pool.films.len(), linear.len());
    for row in 0..pool.films.len() {
        for (cell, &number) in values.row_mut(row).iter_mut().zip(linear) {
            *cell = value(pool, row, number);
        }
    }
    values
}

/// Truth of the literals of a list, and values of its linear part, for many pools at once.
pub(super) fn encode(
    literals: &[Literal],
    linear: &[Number],
    pool: &Pool,
) -> Result<(Rows, Matrix), RankerError> {
    let sources: Vec<Source> = literals.iter().map(source_of).collect::<Result<_, _>>()?;
    Ok((rows_of(&sources, pool), linear_of(linear, pool)))
}

const _: () = assert!(N_NUMBERS < 64);
