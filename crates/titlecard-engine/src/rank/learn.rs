//! Learning the rules that rank.
//!
//! 1. Literals: the facts, and the numbers cut at quantiles of the training pairs, denser where the films
//!    sought are ([`literals_of`]).
//! 2. The rule learner (`rrl`, ranking task: softmax over the candidates of a question, non-negative linear part)
//!    proposes conjunctions and disjunctions from several seeds; a rule of too many literals is cut to those
//!    that say most of it. Single literals are proposals as well.
//! 3. Of all proposals, those are taken one handful after the other that the loss calls for most (its gradient
//!    at the weights fitted so far), up to the number of rules allowed; after each handful all weights are fitted
//!    again. The loss is convex in the weights, so nothing here depends on luck.
//!
//! The result is a rule list with at most [`RankerConfig::max_rules`] rules of at most
//! [`RankerConfig::max_literals`] literals.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use rayon::prelude::*;
use rrl::{
    Dataset, LinearInputs, LinearTerm, Literal, Logic, MaskKind, Matrix, NodeMask, Objective, Penalty,
    RankLoss, Rows, RrlConfig, Rule, RuleList, SeedRule, Targets, Term, Test,
};
use serde::{Deserialize, Serialize};

use super::Pool;
use super::literals::{Fact, Family, IMPLIED, Number};
use super::ranker::{Ranker, RankerError, encode};
use super::training::List;
use crate::progress::{Interrupted, Progress, Report};

/// Settings of [`learn`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RankerConfig {
    /// Rules of the list, at most.
    pub max_rules: usize,
    /// Literals of a rule, at most.
    pub max_literals: usize,
    /// Networks that propose rules.
    pub networks: usize,
    /// Conjunctions, and as many disjunctions, of a network.
    pub nodes: usize,
    /// Passes of a network over the questions.
    pub epochs: usize,
    /// Penalty on the squares of a network's weights.
    pub penalty: f64,
    /// Let half the nodes see the facts of one family and the scores alone.
    pub masks: bool,
    /// Let some nodes start as rules of the schema.
    pub seeds: bool,
    /// Candidates of a question used in training: the best so many of its pool.
    pub best: usize,
    /// And so many of the others.
    pub random: usize,
    /// Squared penalty on the weights of the list.
    pub shrinkage: f64,
    /// Leave out single literals as proposals: rules come from the networks alone.
    pub networks_only: bool,
    /// Families of facts to leave out, by name; `graph` for all that come from the graph.
    pub without: Vec<String>,
}

impl Default for RankerConfig {
    fn default() -> Self {
        Self {
            max_rules: 64,
            max_literals: 3,
            networks: 2,
            nodes: 48,
            epochs: 12,
            penalty: 1e-6,
            masks: true,
            seeds: true,
            best: 100,
            random: 150,
            shrinkage: 5e-3,
            networks_only: false,
            without: Vec::new(),
        }
    }
}

/// Why no rules were learned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LearnError {
    /// No question has its film among its candidates.
    #[error(
        "none of the {n_lists} training questions has the film it is about among its candidates; check `film_id` in the \
         queries, and the index"
    )]
    NothingFound {
        /// Questions given.
        n_lists: usize,
    },
    /// The rule learner refused.
    #[error("rules: {0}")]
    Rules(#[from] rrl::RrlError),
    /// The list cannot rank.
    #[error(transparent)]
    Ranker(#[from] RankerError),
    /// Stopped from outside.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Scores of the linear part.
pub const LINEAR: [Number; 5] =
    [Number::FirstStage, Number::Lexical, Number::Plot, Number::EncoderBest, Number::BestSentence];

/// What learning came to.
#[derive(Debug, Clone)]
pub struct Learned {
    /// The rules.
    pub ranker: Ranker,
    /// Questions learned from.
    pub n_lists: usize,
    /// Rules proposed by the networks, and proposals in all.
    pub n_proposed: (usize, usize),
    /// Mean loss after every handful of rules, with the number of rules.
    pub curve: Vec<(usize, f64)>,
}

/// Numbers that are cut into literals.
const CUT: [Number; 16] = [
    Number::Lexical,
    Number::Plot,
    Number::Encoder,
    Number::PlotEncoder,
    Number::EncoderBest,
    Number::Popularity,
    Number::FirstStage,
    Number::LexicalPlace,
    Number::PlotPlace,
    Number::EncoderPlace,
    Number::FirstPlace,
    Number::BestSentence,
    Number::Year,
    Number::YearsOff,
    Number::GenresShared,
    Number::TopicRarity,
];

/// The literals: facts with what they imply, and cuts of numbers.
///
/// - `lists`: of them the rows of all candidates and of the films sought decide where the cuts are.
pub fn literals_of(lists: &[&List], config: &RankerConfig) -> Vec<Literal> {
    let leaves_out = |family: Family| {
        config.without.iter().any(|name| name == family.name() || name == "graph" && family.is_of_graph())
    };
    let facts: Vec<Fact> = Fact::ALL.into_iter().filter(|fact| !leaves_out(fact.family())).collect();
    let at = |fact: Fact| facts.iter().position(|&other| other == fact);
    let mut literals: Vec<Literal> = facts
        .iter()
        .map(|&fact| {
            let wider = IMPLIED.iter().filter(|(narrow, _)| *narrow == fact).map(|(_, wide)| *wide);
            let parents: Vec<usize> = wider.filter_map(at).collect();
            Literal::new(fact.name()).in_group(fact.family().name()).implying(parents)
        })
        .collect();
    for number in CUT.into_iter().filter(|number| !leaves_out(number.family())) {
        let column = number.name();
        let value = |pool: &Pool, row: usize| f64::from(pool.table.number(row, number));
        let mut all: Vec<f64> = lists
            .iter()
            .flat_map(|list| (0..list.pool.films.len()).step_by(7).map(|row| value(&list.pool, row)))
            .filter(|x| x.is_finite())
            .collect();
        let mut sought: Vec<f64> = lists
            .iter()
            .filter_map(|list| Some(value(&list.pool, list.sought?)))
            .filter(|x| x.is_finite())
            .collect();
        let mut cuts = quantiles(&mut all, &[0.1, 0.3, 0.5, 0.7, 0.85, 0.95]);
        cuts.extend(quantiles(&mut sought, &[0.1, 0.25, 0.5, 0.75, 0.9]));
        cuts.sort_unstable_by(f64::total_cmp);
        cuts.dedup();
        // Three digits are enough to tell films apart and to be read.
        let mut names = Vec::new();
        for cut in cuts {
            let name = format!("{column} > {cut:.3}");
            if !names.contains(&name) {
                let test = Test::Above { column: column.to_owned(), value: round(cut), if_missing: false };
                let mut literal = Literal::new(name.clone()).in_group(number.family().name());
                literal.test = Some(test);
                literals.push(literal);
                names.push(name);
            }
        }
    }
    literals
}

fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn quantiles(values: &mut [f64], at: &[f64]) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().saturating_sub(1) as f64;
    at.iter().filter_map(|q| values.get((q * last).round() as usize).copied()).collect()
}

/// Learns a rule list from questions with their candidates.
///
/// # Errors
/// [`LearnError`].
pub fn learn(
    lists: &[List],
    config: &RankerConfig,
    seed: u64,
    report: &mut Report<'_>,
) -> Result<Learned, LearnError> {
    let usable: Vec<&List> =
        lists.iter().filter(|list| list.sought.is_some() && list.pool.films.len() > 1).collect();
    if usable.is_empty() {
        return Err(LearnError::NothingFound { n_lists: lists.len() });
    }
    let literals = literals_of(&usable, config);
    let (data, scales) = dataset(&usable, &literals)?;
    let mut proposals = if config.networks_only { Vec::new() } else { single_literals(literals.len()) };
    let n_single = proposals.len();
    // The rule learner gives every candidate the same weight, so it sees the lists' heads alone.
    let heads: Vec<List> = usable.iter().filter_map(|list| list.of_the_best()).collect();
    let heads: Vec<&List> = heads.iter().collect();
    let networks = if heads.is_empty() { 0 } else { config.networks };
    let of_heads = if networks > 0 { Some(dataset(&heads, &literals)?.0) } else { None };
    for network in 0..networks {
        let Some(of_heads) = &of_heads else { break };
        let found = propose(of_heads, config, seed.wrapping_add(network as u64), report)?;
        proposals.extend(found);
    }
    let columns = Columns::new(&data.rows);
    let n_proposed = proposals.len() - n_single;
    let proposals = tidy(&proposals, &columns, config.max_literals);
    let n_distinct = proposals.len();
    let offsets = usable.iter().flat_map(|list| list.stands_for.iter().map(|n| f64::from(*n).ln())).collect();
    let problem = Problem::new(&data, offsets, &columns, &proposals)?;
    let (chosen, fit, curve) = problem.select(config, report)?;
    let list = problem.rule_list(&literals, &chosen, &fit, &scales)?;
    Ok(Learned {
        ranker: Ranker::new(list)?,
        n_lists: usable.len(),
        n_proposed: (n_proposed, n_distinct),
        curve,
    })
}

/// Rows, targets and linear inputs of all lists, and what the inputs were multiplied by.
fn dataset(lists: &[&List], literals: &[Literal]) -> Result<(Dataset, [f64; LINEAR.len()]), LearnError> {
    let encoded: Vec<(Rows, Matrix)> = lists
        .par_iter()
        .map(|list| encode(literals, &LINEAR, &list.pool))
        .collect::<Result<_, RankerError>>()?;
    let n_rows = encoded.iter().map(|(rows, _)| rows.n_rows()).sum();
    let n_words = literals.len().div_ceil(64);
    let mut words = Vec::with_capacity(n_rows * n_words);
    let mut values = Vec::with_capacity(n_rows * LINEAR.len());
    for (rows, linear) in &encoded {
        for row in 0..rows.n_rows() {
            let mut packed = vec![0_u64; n_words];
            rows.holding(row).into_iter().for_each(|at| packed[at / 64] |= 1 << (at % 64));
            words.extend(packed);
        }
        values.extend_from_slice(linear.values());
    }
    let mut relevance = Vec::with_capacity(n_rows);
    for list in lists {
        relevance.extend((0..list.pool.films.len()).map(|row| f64::from(u8::from(list.sought == Some(row)))));
    }
    // In units of their spread, so that one step of training moves every weight alike.
    let scales = scales_of(&values);
    values.iter_mut().zip(scales.iter().cycle()).for_each(|(value, scale)| *value *= scale);
    Ok((
        Dataset {
            rows: Rows::from_words(n_rows, literals.len(), words)?,
            literals: literals.to_vec(),
            targets: Targets::Lists {
                sizes: lists.iter().map(|list| list.pool.films.len()).collect(),
                relevance,
                first_stage: lists
                    .iter()
                    .flat_map(|list| list.pool.first.iter().map(|&x| f64::from(x)))
                    .collect(),
            },
            linear: Some(LinearInputs {
                names: LINEAR.map(|number| number.name().to_owned()).to_vec(),
                values: Matrix::new(n_rows, LINEAR.len(), values)?,
            }),
        },
        scales,
    ))
}

/// One over the standard deviation of every score; 0 for one that is always the same.
fn scales_of(values: &[f64]) -> [f64; LINEAR.len()] {
    let n = (values.len() / LINEAR.len()).max(1) as f64;
    std::array::from_fn(|at| {
        let column = || values.iter().skip(at).step_by(LINEAR.len());
        let mean = column().sum::<f64>() / n;
        let variance = column().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
        if variance > 0.0 { 1.0 / variance.sqrt() } else { 0.0 }
    })
}

/// Rules that a film expert would write first; training keeps, changes or drops them.
const SCHEMA: [(&[Fact], Logic); 10] = [
    (&[Fact::YearInRange, Fact::GenreShared], Logic::And),
    (&[Fact::YearFar, Fact::YearAfterSeen], Logic::Or),
    (&[Fact::GenreConflict, Fact::GenreDenied, Fact::AnimationConflict], Logic::Or),
    (&[Fact::KeywordShared, Fact::GenreShared], Logic::And),
    (&[Fact::KeywordRare, Fact::YearInRange], Logic::And),
    (&[Fact::PersonShared, Fact::CoActor], Logic::Or),
    (&[Fact::CountryShared, Fact::LanguageShared, Fact::ForeignAgrees], Logic::Or),
    (&[Fact::CountryConflict, Fact::LanguageConflict], Logic::Or),
    (&[Fact::AnimationUnasked, Fact::DocumentaryUnasked, Fact::MusicUnasked], Logic::Or),
    (&[Fact::PlaceShared, Fact::SettingShared], Logic::Or),
];

/// The settings of one network that proposes rules.
fn network_config(data: &Dataset, config: &RankerConfig, seed: u64) -> RrlConfig {
    let known = |fact: &Fact| data.literals.iter().any(|literal| literal.name == fact.name());
    let masks = if config.masks {
        // Half the nodes in equal parts; every family meets the text scores.
        let families =
            [Family::Time, Family::Genre, Family::Topic, Family::Origin, Family::People, Family::Film];
        let of_graph =
            |family: &Family| data.literals.iter().any(|l| l.group.as_deref() == Some(family.name()));
        let families: Vec<Family> = families.into_iter().filter(of_graph).collect();
        let share = (config.nodes / 2 / families.len().max(1)).max(1);
        let mask = |(at, family): (usize, &Family)| NodeMask {
            nodes: (at * share, (at + 1) * share),
            groups: vec![family.name().to_owned(), Family::Text.name().to_owned()],
            kind: MaskKind::Hard,
        };
        families.iter().enumerate().map(mask).filter(|mask| mask.nodes.1 <= config.nodes).collect()
    } else {
        Vec::new()
    };
    let seeds = if config.seeds {
        SCHEMA
            .iter()
            .filter(|(facts, _)| facts.iter().all(known))
            .map(|(facts, logic)| SeedRule {
                logic: *logic,
                literals: facts.iter().map(|fact| fact.name().to_owned()).collect(),
                weight: 0.65,
            })
            .collect()
    } else {
        Vec::new()
    };
    RrlConfig {
        nodes: vec![config.nodes],
        negate_first: true,
        // Masked nodes cannot hold a schema rule over two families, so one or the other.
        masks: if config.seeds { Vec::new() } else { masks },
        seeds,
        penalty: Penalty { squares: config.penalty, ..Penalty::default() },
        epochs: config.epochs,
        batch_size: 32,
        learning_rate: 5e-3,
        decay: (0.8, 3),
        temperature: 1.0,
        seed,
        n_threads: rayon::current_num_threads(),
        ..RrlConfig::default()
    }
}

/// One network's rules.
fn propose(
    data: &Dataset,
    config: &RankerConfig,
    seed: u64,
    report: &mut Report<'_>,
) -> Result<Vec<Proposal>, LearnError> {
    // Networks with schema rules and networks with masks take turns.
    let alternating =
        RankerConfig { seeds: config.seeds && (seed.is_multiple_of(2) || !config.masks), ..config.clone() };
    let settings = network_config(data, &alternating, seed);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (sender, receiver) = std::sync::mpsc::channel();
    let objective = Objective::Rank(RankLoss::ListNet);
    let model = std::thread::scope(|scope| {
        let stop = &stop;
        let training = scope.spawn(move || {
            rrl::fit(data, objective, &settings, |state| {
                // The receiver is gone only when the run was stopped.
                let _ = sender.send((state.epoch, state.n_epochs, state.loss));
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
        });
        for (epoch, n_epochs, loss) in receiver {
            let note = format!("loss {loss:.3}");
            let state =
                Progress { step: "learning rules", done: epoch as u64, total: n_epochs as u64, note: &note };
            if report(&state).is_break() {
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        training.join().unwrap_or(Err(rrl::RrlError::Empty { what: "networks" }))
    })?;
    if stop.into_inner() {
        return Err(Interrupted { step: "learning rules" }.into());
    }
    Ok(model
        .rules()
        .rules()
        .iter()
        .map(|rule| Proposal {
            logic: rule.logic,
            terms: rule
                .terms
                .iter()
                .filter_map(|term| match *term {
                    Term::Literal(at) => Some((at, true)),
                    Term::NotLiteral(at) => Some((at, false)),
                    // One layer has no rules in rules.
                    Term::Rule(_) | Term::NotRule(_) => None,
                })
                .collect(),
        })
        .collect())
}

/// A rule that may enter the list: literals with whether they must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Proposal {
    logic: Logic,
    terms: Vec<(usize, bool)>,
}

impl Proposal {
    /// Holds where this one does not.
    fn opposite(&self) -> Self {
        let logic = match self.logic {
            Logic::And => Logic::Or,
            Logic::Or => Logic::And,
        };
        Self { logic, terms: self.terms.iter().map(|&(at, must_hold)| (at, !must_hold)).collect() }
    }
}

fn single_literals(n_literals: usize) -> Vec<Proposal> {
    (0..n_literals).map(|at| Proposal { logic: Logic::And, terms: vec![(at, true)] }).collect()
}

/// Truth of every literal as a column of bits over all rows.
struct Columns {
    n_rows: usize,
    words: Vec<Vec<u64>>,
}

impl Columns {
    fn new(rows: &Rows) -> Self {
        let n_words = rows.n_rows().div_ceil(64);
        let mut words = vec![vec![0_u64; n_words]; rows.n_literals()];
        for row in 0..rows.n_rows() {
            for literal in rows.holding(row) {
                words[literal][row / 64] |= 1 << (row % 64);
            }
        }
        Self { n_rows: rows.n_rows(), words }
    }

    fn term(&self, (literal, must_hold): (usize, bool)) -> Vec<u64> {
        let mut column = self.words[literal].clone();
        if !must_hold {
            column.iter_mut().for_each(|word| *word = !*word);
            self.clear_tail(&mut column);
        }
        column
    }

    fn clear_tail(&self, column: &mut [u64]) {
        if !self.n_rows.is_multiple_of(64)
            && let Some(last) = column.last_mut()
        {
            *last &= (1 << (self.n_rows % 64)) - 1;
        }
    }

    fn truth(&self, proposal: &Proposal) -> Vec<u64> {
        let mut terms = proposal.terms.iter().map(|&term| self.term(term));
        let Some(mut column) = terms.next() else { return vec![0; self.n_rows.div_ceil(64)] };
        for term in terms {
            for (word, other) in column.iter_mut().zip(term) {
                match proposal.logic {
                    Logic::And => *word &= other,
                    Logic::Or => *word |= other,
                }
            }
        }
        column
    }

    fn holds_mostly(&self, proposal: &Proposal) -> bool {
        let n_true: usize = self.truth(proposal).iter().map(|word| word.count_ones() as usize).sum();
        2 * n_true > self.n_rows
    }

    /// The `most` terms that together say most of what all of them say: one after the other, each the one
    /// after which fewest rows differ.
    fn shorten(&self, proposal: &Proposal, most: usize) -> Proposal {
        if proposal.terms.len() <= most {
            return proposal.clone();
        }
        let goal = self.truth(proposal);
        let mut short = Proposal { logic: proposal.logic, terms: Vec::new() };
        let mut left = proposal.terms.clone();
        let mut last = usize::MAX;
        while short.terms.len() < most && !left.is_empty() {
            let differing = |term: &(usize, bool)| {
                let mut longer = short.clone();
                longer.terms.push(*term);
                let truth = self.truth(&longer);
                truth.iter().zip(&goal).map(|(a, b)| (a ^ b).count_ones() as usize).sum::<usize>()
            };
            let all: Vec<usize> = left.par_iter().map(differing).collect();
            let Some((at, &n)) = all.iter().enumerate().min_by_key(|(at, n)| (**n, *at)) else { break };
            if n >= last {
                break;
            }
            last = n;
            short.terms.push(left.remove(at));
        }
        short.terms.sort_unstable();
        short
    }
}

/// Shortens proposals and keeps one of those that hold for the same rows, or for exactly the others.
fn tidy(proposals: &[Proposal], columns: &Columns, max_literals: usize) -> Vec<Proposal> {
    let mut seen: HashSet<Vec<u64>> = HashSet::new();
    let mut kept: Vec<Proposal> = Vec::new();
    for proposal in proposals.iter().filter(|proposal| !proposal.terms.is_empty()) {
        let mut short = columns.shorten(proposal, max_literals);
        // What holds for most pairs says the same as its opposite, which is the easier to read.
        if columns.holds_mostly(&short) {
            short = short.opposite();
        }
        let truth = columns.truth(&short);
        let n_true = truth.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        // Nothing is learned from a rule that holds nearly always or never.
        if n_true < 20 || n_true + 20 > columns.n_rows {
            continue;
        }
        let mut opposite: Vec<u64> = truth.iter().map(|word| !word).collect();
        columns.clear_tail(&mut opposite);
        if seen.contains(&truth) || seen.contains(&opposite) {
            continue;
        }
        seen.insert(truth);
        kept.push(short);
    }
    kept
}

/// Choosing among proposals and fitting weights.
struct Problem<'a> {
    proposals: &'a [Proposal],
    truths: Vec<Vec<u64>>,
    /// First row of every list, and the end: `[n_lists + 1]`.
    starts: Vec<usize>,
    /// Row of the film sought in each list.
    sought: Vec<usize>,
    /// Logarithm of how many candidates each row stands for: added to its score in the loss, `[n_rows]`.
    offsets: Vec<f64>,
    /// `[n_rows, n_linear]`.
    linear: &'a Matrix,
}

/// Fitted weights.
#[derive(Debug, Clone, PartialEq)]
struct Fit {
    rules: Vec<f64>,
    linear: Vec<f64>,
    loss: f64,
    /// Probability minus relevance of every row: the gradient of the loss in the scores, times the number of lists.
    residuals: Vec<f32>,
}

/// Proposals chosen, their weights, and the loss by number of rules.
type Selected = (Vec<usize>, Fit, Vec<(usize, f64)>);

/// Rules taken at a time, and steps of fitting after each handful.
const HANDFUL: usize = 6;
/// What every literal after the first takes from a rule's promise.
const SHORTER: f64 = 0.8;
const STEPS: usize = 40;
const LAST_STEPS: usize = 250;

impl<'a> Problem<'a> {
    fn new(
        data: &'a Dataset,
        offsets: Vec<f64>,
        columns: &Columns,
        proposals: &'a [Proposal],
    ) -> Result<Self, LearnError> {
        let (Targets::Lists { sizes, relevance, .. }, Some(linear)) = (&data.targets, &data.linear) else {
            return Err(LearnError::NothingFound { n_lists: 0 });
        };
        let mut starts = vec![0];
        for size in sizes {
            starts.push(starts.last().copied().unwrap_or(0) + size);
        }
        let sought = starts
            .windows(2)
            .map(|range| (range[0]..range[1]).find(|&row| relevance[row] > 0.0).unwrap_or(range[0]))
            .collect();
        let truths = proposals.par_iter().map(|proposal| columns.truth(proposal)).collect();
        Ok(Self { proposals, truths, starts, sought, offsets, linear: &linear.values })
    }

    fn select(&self, config: &RankerConfig, report: &mut Report<'_>) -> Result<Selected, LearnError> {
        let mut chosen: Vec<usize> = Vec::new();
        let n_linear = self.linear.n_columns();
        let mut fit =
            Fit { rules: Vec::new(), linear: vec![1.0; n_linear], loss: 0.0, residuals: Vec::new() };
        fit = self.fit(&chosen, &fit, config, 3 * STEPS);
        let mut curve = vec![(0, fit.loss)];
        let most = config.max_rules.min(self.proposals.len());
        let mut n_prunings = 0;
        loop {
            if chosen.len() >= most {
                // Rules the others made needless leave, twice at most, and make room.
                let strongest = fit.rules.iter().fold(0.0_f64, |most, weight| most.max(weight.abs()));
                let stays: Vec<bool> =
                    fit.rules.iter().map(|weight| weight.abs() > 0.03 * strongest).collect();
                if n_prunings == 2 || stays.iter().all(|&stays| stays) {
                    break;
                }
                n_prunings += 1;
                let mut at = stays.iter();
                chosen.retain(|_| at.next().copied().unwrap_or(true));
                let mut at = stays.iter();
                fit.rules.retain(|_| at.next().copied().unwrap_or(true));
                fit = self.fit(&chosen, &fit, config, STEPS);
            }
            let note = format!("loss {:.4}", fit.loss);
            let (done, total) = (chosen.len() as u64, most as u64);
            if report(&Progress { step: "choosing rules", done, total, note: &note }).is_break() {
                return Err(Interrupted { step: "choosing rules" }.into());
            }
            let gains = self.gains(&fit.residuals);
            let mut order: Vec<usize> = (0..gains.len()).filter(|at| !chosen.contains(at)).collect();
            order.sort_by(|&a, &b| gains[b].total_cmp(&gains[a]).then(a.cmp(&b)));
            // Of a handful, no two that say nearly the same.
            let mut handful: Vec<usize> = Vec::new();
            for at in order {
                if handful.len() == HANDFUL.min(most - chosen.len()) || gains[at] <= 0.0 {
                    break;
                }
                if handful.iter().all(|&other| self.overlap(at, other) < 0.6) {
                    handful.push(at);
                }
            }
            if handful.is_empty() {
                break;
            }
            chosen.extend(handful);
            fit.rules.resize(chosen.len(), 0.0);
            fit = self.fit(&chosen, &fit, config, STEPS);
            curve.push((chosen.len(), fit.loss));
        }
        fit = self.fit(&chosen, &fit, config, LAST_STEPS);
        curve.push((chosen.len(), fit.loss));
        Ok((chosen, fit, curve))
    }

    /// How much the loss would fall for a rule, to first order, relative to how often it holds: `[n_proposals]`.
    fn gains(&self, residuals: &[f32]) -> Vec<f64> {
        self.truths
            .par_iter()
            .zip(self.proposals)
            .map(|(truth, proposal)| {
                let (mut gradient, mut n_true) = (0.0_f64, 0_usize);
                for (word, residuals) in truth.iter().zip(residuals.chunks(64)) {
                    let mut bits = *word;
                    n_true += bits.count_ones() as usize;
                    while bits != 0 {
                        gradient += f64::from(residuals[bits.trailing_zeros() as usize]);
                        bits &= bits - 1;
                    }
                }
                let share = n_true as f64 / residuals.len() as f64;
                let spread = (share * (1.0 - share)).sqrt();
                // A rule for a handful of pairs must not win by dividing through nearly nothing.
                // Of two that promise the same the shorter is taken: it is easier to read, and less learned by heart.
                let handicap = SHORTER.powi(proposal.terms.len() as i32 - 1);
                handicap * gradient.abs() / (spread + 0.02)
            })
            .collect()
    }

    /// Share of the training pairs a proposal holds for.
    fn support(&self, proposal: usize) -> f64 {
        let n_true: usize = self.truths[proposal].iter().map(|word| word.count_ones() as usize).sum();
        round4(n_true as f64 / self.linear.n_rows() as f64)
    }

    /// Share of the rows for which either holds where both do.
    fn overlap(&self, a: usize, b: usize) -> f64 {
        let (mut both, mut either) = (0, 0);
        for (a, b) in self.truths[a].iter().zip(&self.truths[b]) {
            both += (a & b).count_ones();
            either += (a | b).count_ones();
        }
        f64::from(both) / f64::from(either.max(1))
    }

    /// Fits the weights of `chosen` and of the linear part from `start`, by Adam over all lists at once.
    fn fit(&self, chosen: &[usize], start: &Fit, config: &RankerConfig, n_steps: usize) -> Fit {
        let (n_rules, n_linear) = (chosen.len(), self.linear.n_columns());
        let n_lists = self.sought.len();
        // Per row the chosen rules that hold, as one word or two.
        let n_rows = self.linear.n_rows();
        let width = n_rules.div_ceil(64).max(1);
        let mut fired = vec![0_u64; n_rows * width];
        for (at, &rule) in chosen.iter().enumerate() {
            for (word_at, word) in self.truths[rule].iter().enumerate() {
                let mut bits = *word;
                while bits != 0 {
                    let row = word_at * 64 + bits.trailing_zeros() as usize;
                    fired[row * width + at / 64] |= 1 << (at % 64);
                    bits &= bits - 1;
                }
            }
        }
        let mut weights: Vec<f64> = start.rules.iter().chain(&start.linear).copied().collect();
        let n = n_rules + n_linear;
        let (mut first, mut second) = (vec![0.0_f64; n], vec![0.0_f64; n]);
        let mut residuals = vec![0.0_f32; n_rows];
        let mut loss = 0.0;
        for step in 0..=n_steps {
            let each: Vec<(f64, Vec<f64>, Vec<f32>)> = (0..n_lists)
                .into_par_iter()
                .map(|list| self.gradient_of_list(list, &fired, width, &weights, n_rules))
                .collect();
            let mut gradient = vec![0.0; n];
            loss = 0.0;
            let mut at = 0;
            for (list_loss, list_gradient, list_residuals) in &each {
                loss += list_loss;
                gradient.iter_mut().zip(list_gradient).for_each(|(sum, x)| *sum += x);
                residuals[at..at + list_residuals.len()].copy_from_slice(list_residuals);
                at += list_residuals.len();
            }
            loss /= n_lists as f64;
            if step == n_steps {
                break;
            }
            let rate = 0.1 * (1.0 - step as f64 / n_steps as f64).max(0.05);
            for at in 0..n {
                let penalty = if at < n_rules { 2.0 * config.shrinkage * weights[at] } else { 0.0 };
                let gradient = gradient[at] / n_lists as f64 + penalty;
                first[at] = 0.9 * first[at] + 0.1 * gradient;
                second[at] = 0.99 * second[at] + 0.01 * gradient * gradient;
                let (m, v) = (
                    first[at] / (1.0 - 0.9_f64.powi(step as i32 + 1)),
                    second[at] / (1.0 - 0.99_f64.powi(step as i32 + 1)),
                );
                weights[at] -= rate * m / (v.sqrt() + 1e-8);
                if at >= n_rules {
                    // A score never counts against a film.
                    weights[at] = weights[at].max(0.0);
                }
            }
        }
        let linear = weights.split_off(n_rules);
        Fit { rules: weights, linear, loss, residuals }
    }

    fn gradient_of_list(
        &self,
        list: usize,
        fired: &[u64],
        width: usize,
        weights: &[f64],
        n_rules: usize,
    ) -> (f64, Vec<f64>, Vec<f32>) {
        let rows = self.starts[list]..self.starts[list + 1];
        let mut scores = Vec::with_capacity(rows.len());
        for row in rows.clone() {
            let mut score = self.offsets[row];
            for (word_at, word) in fired[row * width..(row + 1) * width].iter().enumerate() {
                let mut bits = *word;
                while bits != 0 {
                    score += weights[word_at * 64 + bits.trailing_zeros() as usize];
                    bits &= bits - 1;
                }
            }
            for (value, weight) in self.linear.row(row).iter().zip(&weights[n_rules..]) {
                score += value * weight;
            }
            scores.push(score);
        }
        let most = scores.iter().copied().fold(f64::MIN, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - most).exp()).sum();
        let sought = self.sought[list] - rows.start;
        let loss = sum.ln() + most - scores[sought];
        let mut gradient = vec![0.0; weights.len()];
        let mut residuals = Vec::with_capacity(rows.len());
        for (at, row) in rows.enumerate() {
            let residual = (scores[at] - most).exp() / sum - f64::from(u8::from(at == sought));
            residuals.push(residual as f32);
            for (word_at, word) in fired[row * width..(row + 1) * width].iter().enumerate() {
                let mut bits = *word;
                while bits != 0 {
                    gradient[word_at * 64 + bits.trailing_zeros() as usize] += residual;
                    bits &= bits - 1;
                }
            }
            for (sum, value) in gradient[n_rules..].iter_mut().zip(self.linear.row(row)) {
                *sum += residual * value;
            }
        }
        (loss, gradient, residuals)
    }

    fn rule_list(
        &self,
        literals: &[Literal],
        chosen: &[usize],
        fit: &Fit,
        scales: &[f64],
    ) -> Result<RuleList, LearnError> {
        // Heaviest first, as people read it; weights to four digits, and literals that no rule uses left out.
        let mut order: Vec<usize> = (0..chosen.len()).filter(|&at| round4(fit.rules[at]) != 0.0).collect();
        order.sort_by(|&a, &b| fit.rules[b].abs().total_cmp(&fit.rules[a].abs()).then(a.cmp(&b)));
        let mut used: Vec<usize> =
            order.iter().flat_map(|&at| self.proposals[chosen[at]].terms.iter().map(|term| term.0)).collect();
        used.sort_unstable();
        used.dedup();
        let place: HashMap<usize, usize> = used.iter().enumerate().map(|(new, &old)| (old, new)).collect();
        // Facts are closed already, where they are looked up.
        let kept = used.iter().map(|&old| Literal { parents: Vec::new(), ..literals[old].clone() }).collect();
        let rules = order
            .iter()
            .map(|&at| {
                let Proposal { logic, terms } = &self.proposals[chosen[at]];
                let terms = terms.iter().map(|&(literal, must_hold)| {
                    let literal = place[&literal];
                    if must_hold { Term::Literal(literal) } else { Term::NotLiteral(literal) }
                });
                Rule {
                    logic: *logic,
                    terms: terms.collect(),
                    weights: vec![round4(fit.rules[at])],
                    support: Some(self.support(chosen[at])),
                }
            })
            .collect();
        let linear = LINEAR
            .iter()
            .zip(fit.linear.iter().zip(scales))
            .map(|(number, (weight, scale))| LinearTerm {
                name: number.name().to_owned(),
                weight: round4(weight * scale),
            })
            .collect();
        Ok(RuleList::new(kept, vec!["score".to_owned()], vec![0.0], rules, linear)?)
    }
}

fn round4(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
