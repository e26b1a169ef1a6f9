//! A file of rules is refused with an error, or it can be scored, printed, pruned and saved.

use rrl::{Matrix, Rows, RrlModel, RuleList};

/// `bytes`: a rule list or a model, as JSON.
///
/// # Panics
/// If a list that was read cannot be used.
pub fn rule_list(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = RrlModel::from_json(text);
    let Ok(list) = RuleList::from_json(text) else { return };
    let saved = list.to_json();
    assert_eq!(RuleList::from_json(&saved).expect("what was written can be read"), list);
    let n_literals = list.literals().len();
    let row = vec![true; n_literals];
    let linear = vec![0.5; list.linear().len()];
    let explained = list.explain(&row, &linear).expect("lengths fit");
    let rows = Rows::from_bools(n_literals, &[&row]).expect("lengths fit");
    let linear = Matrix::new(1, linear.len(), linear).expect("lengths fit");
    let scores = list.scores(&rows, &linear).expect("lengths fit");
    for (a, b) in explained.scores.iter().zip(scores.row(0)) {
        assert!(a == b || (a.is_nan() && b.is_nan()), "{a} {b}");
    }
    assert!(!list.to_string().is_empty() && !list.to_markdown(None).is_empty());
    // A weight too many for the bias is an error; all else can be saved again.
    let both = Rows::from_bools(n_literals, &[row, vec![false; n_literals]]).expect("lengths fit");
    if let Ok(pruned) = list.pruned(&both) {
        assert_eq!(RuleList::from_json(&pruned.to_json()).expect("what was written can be read"), pruned);
    }
}
