//! Checking a rule list for what a person would want to know before ranking by it.

use std::collections::HashMap;
use std::fmt;

use rrl::{Logic, Term};
use serde::Serialize;

use super::learn::{LINEAR, RankerConfig};
use super::ranker::Ranker;

/// Something to know about a rule list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Number of the rule, from 1; none for the list as a whole.
    pub rule: Option<usize>,
    /// Whether the list should not be used before it is mended.
    pub is_error: bool,
    /// What it is, and what to do.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_error { "error" } else { "remark" };
        match self.rule {
            Some(rule) => write!(f, "{kind}: rule {rule}: {}", self.message),
            None => write!(f, "{kind}: {}", self.message),
        }
    }
}

/// Literals a rule can have and still be read at a glance.
const READABLE_LITERALS: usize = 6;
/// Weights beyond this decide alone.
const HEAVY: f64 = 10.0;

/// Characters of a name that a message repeats: a name may be as long as the file.
const SHOWN_OF_NAME: usize = 60;

/// Everything worth saying about a list that can rank: the first errors, then remarks, by rule.
pub fn lint(ranker: &Ranker, config: &RankerConfig) -> Vec<Finding> {
    let list = ranker.rules();
    let mut findings = Vec::new();
    let mut say = |rule: Option<usize>, is_error: bool, message: String| {
        findings.push(Finding { rule: rule.map(|at| at + 1), is_error, message });
    };
    let n_rules = list.rules().len();
    if n_rules > config.max_rules {
        say(
            None,
            false,
            format!("{n_rules} rules, more than the {} that `ranker.max_rules` allows", config.max_rules),
        );
    }
    if list.linear().len() > LINEAR.len() {
        say(
            None,
            false,
            format!(
                "{} scores in the linear part; more than {} hide the rules",
                list.linear().len(),
                LINEAR.len()
            ),
        );
    }
    for term in list.linear().iter().filter(|term| term.weight < 0.0) {
        say(
            None,
            true,
            format!(
                "the score `{}` has the weight {}: a score must not count against a film; make it 0 or more",
                term.name, term.weight
            ),
        );
    }
    // The first rule of each content: comparing each with each would take hours for a list of hundreds of thousands.
    let mut first_with = HashMap::new();
    for (at, rule) in list.rules().iter().enumerate() {
        if rule.terms.len() > READABLE_LITERALS {
            say(
                Some(at),
                false,
                format!("{} literals; more than {READABLE_LITERALS} are hard to read", rule.terms.len()),
            );
        }
        let weight = rule.weights.first().copied().unwrap_or(0.0);
        if weight == 0.0 && !rule.weights.is_empty() {
            say(Some(at), false, "its weight is 0: it is switched off".to_owned());
        }
        if weight.abs() > HEAVY {
            say(Some(at), false, format!("its weight is {weight}: it outweighs nearly everything else"));
        }
        let mut terms = rule.terms.clone();
        terms.sort_unstable();
        let opposite = |term: &&Term| match **term {
            Term::Literal(literal) => terms.binary_search(&Term::NotLiteral(literal)).is_ok(),
            Term::NotLiteral(_) | Term::Rule(_) | Term::NotRule(_) => false,
        };
        if let Some(Term::Literal(literal)) = rule.terms.iter().find(opposite) {
            let name: String = list.literals()[*literal].name.chars().take(SHOWN_OF_NAME).collect();
            let always = if rule.logic == Logic::And { "never" } else { "always" };
            say(
                Some(at),
                true,
                format!("it asks for `{name}` and for its opposite, so it {always} holds; remove one"),
            );
        }
        // A single term is the same whichever way it is joined.
        let logic = (terms.len() > 1).then_some(rule.logic);
        let earlier = *first_with.entry((logic, terms.clone())).or_insert(at);
        if earlier != at {
            say(
                Some(at),
                false,
                format!("it says the same as rule {}; add the weights up in one of them", earlier + 1),
            );
        }
        if terms.windows(2).any(|pair| pair[0] == pair[1]) {
            say(Some(at), false, "a literal stands in it twice".to_owned());
        }
        if rule.support == Some(0.0) {
            say(Some(at), false, "it held for no pair it was learned from".to_owned());
        }
    }
    findings.sort_by_key(|finding| (!finding.is_error, finding.rule));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_list_is_said() {
        let text = r#"{"bias": 0, "literals": [{"name": "year fits"}, {"name": "genre shared"}],
            "linear": [{"name": "lexical", "weight": -1}],
            "rules": [{"logic": "and", "literals": [0, {"not": 0}], "weights": [1]},
                      {"logic": "and", "literals": [1], "weights": [0]},
                      {"logic": "or", "literals": [1], "weights": [20]}]}"#;
        let ranker = Ranker::from_json(text).unwrap();
        let lines: Vec<String> =
            lint(&ranker, &RankerConfig::default()).iter().map(Finding::to_string).collect();
        let expected = [
            "error: the score `lexical` has the weight -1",
            "error: rule 1: it asks for `year fits` and for its opposite, so it never holds",
            "remark: rule 2: its weight is 0",
            "remark: rule 3: its weight is 20",
            "remark: rule 3: it says the same as rule 2",
        ];
        assert_eq!(lines.len(), expected.len(), "{lines:#?}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(expected), "{line}");
        }
        // A rule that is only part of others weighs nothing; two outputs are no ranking.
        let part = text.replacen(r#", "weights": [1]"#, "", 1);
        assert_eq!(Ranker::from_json(&part).unwrap().weight(0), 0.0);
        let two = r#"{"outputs": ["a", "b"], "bias": [0, 0], "literals": [], "rules": []}"#;
        assert!(Ranker::from_json(two).unwrap_err().to_string().contains("2 outputs"));
        let unknown = text.replace("genre shared", "genre shard");
        let error = Ranker::from_json(&unknown).unwrap_err().to_string();
        assert!(error.contains("`genre shard`") && error.contains("did you mean"), "{error}");
    }
}
