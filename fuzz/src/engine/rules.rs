//! The rules that rank: refused with an error, or they can be shown, checked, weighed and saved.

use titlecard_engine::rank::learn::RankerConfig;
use titlecard_engine::rank::lint::lint;
use titlecard_engine::rank::ranker::Ranker;

/// More than any rule says in words, in bytes: what is read comes back in an answer of the server.
const MAX_WORDS: usize = 100_000;

/// `bytes`: `models/rules.json`.
///
/// # Panics
/// If rules that were read cannot be used.
pub fn rules(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let ranker = match Ranker::from_json(text) {
        Ok(ranker) => ranker,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let (n_rules, n_literals) = (ranker.rules().rules().len(), ranker.rules().literals().len());
    for finding in lint(&ranker, &RankerConfig::default()) {
        assert!(finding.rule.is_none_or(|rule| (1..=n_rules).contains(&rule)), "{finding}");
        assert!(finding.to_string().len() < MAX_WORDS, "a finding of {} bytes", finding.message.len());
    }
    for rule in 0..n_rules {
        let literals = ranker.literals_of_rule(rule);
        assert!(literals.len() <= n_literals && literals.iter().all(|&at| at < n_literals));
        let words: usize = ranker.rule_words(rule).iter().map(String::len).sum();
        assert!(words < text.len() + MAX_WORDS, "{words} bytes of words for rule {rule}");
    }
    let values = vec![0.5; ranker.rules().linear().len()];
    for truth in [false, true] {
        let reasons = ranker.reasons_of(&vec![truth; n_literals], &values);
        assert!(reasons.fired.iter().all(|(rule, _)| *rule < n_rules));
        let sum = reasons.sum();
        // Weights beyond the range of numbers add up to no number.
        assert!(
            !sum.is_finite() || sum.to_bits() == reasons.score.to_bits() || sum == reasons.score,
            "{reasons:?}"
        );
    }
    let saved = Ranker::from_json(&ranker.rules().to_json()).expect("what was written can be read");
    assert_eq!(saved.rules(), ranker.rules());
    if n_rules > 0 {
        let changed = ranker.with_weight(0, 0.25).expect("a finite weight");
        assert_eq!(changed.weight(0), 0.25);
    }
}
