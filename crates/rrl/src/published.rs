//! Rules as the reference implementation extracts, numbers and prints them, for comparison with it.
//!
//! Nodes that never or always held among the counted rows are dropped, so unlike a
//! [`RuleList`](crate::RuleList) this form is exact on the counted rows only.

use std::fmt::Write as _;

use crate::error::RrlError;
use crate::literal::Literal;
use crate::network::{Network, sources};
use crate::program::Program;
use crate::rows::Rows;
use crate::rules::bound;

/// A part of a rule: which layer it is from (-1 the previous one, -2 the one before; positive: negated),
/// and its literal or rule there.
pub type Antecedent = (i8, usize);

/// Rules of all layers and the folded linear layer.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedRules {
    /// Layers, first to last.
    pub layers: Vec<PublishedLayer>,
    /// Rules with their weights per class, largest absolute weight first; the id is a layer (-1 the last,
    /// -2 the one before) and a rule of it.
    pub head: Vec<(Antecedent, Vec<f64>)>,
    /// Bias with the weights of nodes that always held: `[n_outputs]`.
    pub bias: Vec<f64>,
}

/// Distinct rules of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedLayer {
    /// Rule of each node, conjunctions first; `None` if it never or always held.
    pub rule_of_node: Vec<Option<usize>>,
    /// Antecedents of the conjunctions; rule `i` is the `i`-th.
    pub conjunctions: Vec<Vec<Antecedent>>,
    /// Antecedents of the disjunctions; they are numbered after the conjunctions.
    pub disjunctions: Vec<Vec<Antecedent>>,
    /// What each rule says.
    pub names: Vec<String>,
    /// For how many rows each node held.
    pub counts: Vec<usize>,
    /// Share of the rows each rule held for.
    pub support: Vec<f64>,
}

impl PublishedRules {
    /// Extracts rules, counting on `rows`.
    ///
    /// # Errors
    /// [`RrlError::Shape`], [`RrlError::Empty`] without rows.
    pub fn extract(network: &Network, literals: &[Literal], rows: &Rows) -> Result<Self, RrlError> {
        network.validate()?;
        for (what, found) in [("literals", literals.len()), ("literals in a row", rows.n_literals())] {
            if found != network.n_literals {
                return Err(RrlError::Shape { what, found, expected: network.n_literals });
            }
        }
        if rows.n_rows() == 0 {
            return Err(RrlError::Empty { what: "rows" });
        }
        let counts = Program::of_network(network).counts(rows);
        let mut layers: Vec<PublishedLayer> = Vec::new();
        let mut first = 0;
        for at in 0..network.layers.len() {
            let n_nodes = network.layers[at].n_outputs();
            let counts = counts[first..first + n_nodes].to_vec();
            layers.push(extract_layer(network, literals, at, &layers, counts, rows.n_rows()));
            first += n_nodes;
        }
        let (head, bias) = fold_head(network, &layers, rows.n_rows());
        Ok(Self { layers, head, bias })
    }

    /// Antecedents of all rules that the head reaches.
    pub fn n_edges(&self) -> usize {
        let mut reached: Vec<Vec<bool>> =
            self.layers.iter().map(|layer| vec![false; layer.names.len()]).collect();
        let mut open: Vec<(usize, usize)> = self
            .head
            .iter()
            .map(|&((k, rule), _)| (self.layers.len() - usize::from(k.unsigned_abs()), rule))
            .collect();
        let mut n_edges = 0;
        while let Some((at, rule)) = open.pop() {
            if std::mem::replace(&mut reached[at][rule], true) {
                continue;
            }
            let layer = &self.layers[at];
            let antecedents = layer
                .conjunctions
                .get(rule)
                .unwrap_or_else(|| &layer.disjunctions[rule - layer.conjunctions.len()]);
            n_edges += antecedents.len();
            if at > 0 {
                open.extend(antecedents.iter().map(|&(k, part)| (at - usize::from(k.unsigned_abs()), part)));
            }
        }
        n_edges
    }

    /// The printed form: a header, one rule a line, a closing line.
    ///
    /// - `outputs`: names of the classes.
    pub fn print(&self, outputs: &[String]) -> String {
        let mut text = String::from("RID");
        for (output, bias) in outputs.iter().zip(&self.bias) {
            let _ = write!(text, "\t{output}(b={bias:.4})");
        }
        text.push_str("\tSupport\tRule\n");
        for ((k, rule), weights) in &self.head {
            let layer = &self.layers[self.layers.len() - usize::from(k.unsigned_abs())];
            let _ = write!(text, "({k}, {rule})");
            weights.iter().for_each(|weight| {
                let _ = write!(text, "\t{weight:.4}");
            });
            let _ = writeln!(text, "\t{:.4}\t{}", layer.support[*rule], layer.names[*rule]);
        }
        text.push_str(&"#".repeat(60));
        text.push('\n');
        text
    }
}

fn extract_layer(
    network: &Network,
    literals: &[Literal],
    at: usize,
    below: &[PublishedLayer],
    counts: Vec<usize>,
    n_rows: usize,
) -> PublishedLayer {
    // Antecedent of each input before negation; `None` for constant nodes.
    let mut read: Vec<Option<Antecedent>> = Vec::new();
    for (distance, source) in sources(at, network.skip).into_iter().enumerate() {
        let k = -1 - distance as i8;
        match source {
            None => read.extend((0..literals.len()).map(|literal| Some((k, literal)))),
            Some(source) => {
                read.extend(below[source].rule_of_node.iter().map(|rule| rule.map(|rule| (k, rule))));
            }
        }
    }
    let mut layer = PublishedLayer {
        rule_of_node: Vec::new(),
        conjunctions: Vec::new(),
        disjunctions: Vec::new(),
        names: Vec::new(),
        counts,
        support: Vec::new(),
    };
    let of = &network.layers[at];
    for (conjunction, weights) in [(true, &of.conjunctions), (false, &of.disjunctions)] {
        for node in 0..weights.n_columns() {
            let count = layer.counts[layer.rule_of_node.len()];
            if count == 0 || count == n_rows {
                layer.rule_of_node.push(None);
                continue;
            }
            let mut antecedents: Vec<Antecedent> = (0..weights.n_rows())
                .filter(|&input| weights.at(input, node) > 0.5)
                .filter_map(|input| {
                    let (k, part) = read[input % read.len()]?;
                    Some((if input < read.len() { k } else { -k }, part))
                })
                .collect();
            if at == 0 {
                keep_deciding_bounds(literals, conjunction, &mut antecedents);
            }
            antecedents.sort_unstable();
            let rules = if conjunction { &mut layer.conjunctions } else { &mut layer.disjunctions };
            let rule = rules.iter().position(|known| *known == antecedents).unwrap_or_else(|| {
                let joint = if conjunction { " & " } else { " | " };
                let parts: Vec<String> = antecedents
                    .iter()
                    .map(|&(k, part)| {
                        if at == 0 {
                            let negation = if k > 0 { "~" } else { "" };
                            return format!("{negation}{}", literals[part].name);
                        }
                        let from = &below[at - usize::from(k.unsigned_abs())];
                        format!("{}({})", if k > 0 { "~" } else { "" }, from.names[part])
                    })
                    .collect();
                layer.names.push(parts.join(joint));
                layer.support.push(count as f64 / n_rows as f64);
                rules.push(antecedents);
                rules.len() - 1
            });
            let shift = if conjunction { 0 } else { layer.conjunctions.len() };
            layer.rule_of_node.push(Some(shift + rule));
        }
    }
    layer
}

/// Of several bounds on a column in one direction the one that decides: the tightest in a conjunction, the
/// loosest in a disjunction.
fn keep_deciding_bounds(literals: &[Literal], conjunction: bool, antecedents: &mut Vec<Antecedent>) {
    let mut kept: Vec<Antecedent> = Vec::new();
    for &(k, literal) in antecedents.iter() {
        let Some((column, above, value, _)) = bound(&literals[literal]).filter(|_| k < 0) else {
            kept.push((k, literal));
            continue;
        };
        let same = kept.iter_mut().find(|(k, other)| {
            *k < 0 && bound(&literals[*other]).is_some_and(|other| (other.0, other.1) == (column, above))
        });
        match same {
            None => kept.push((k, literal)),
            Some(other) => {
                let known = bound(&literals[other.1]).map_or(value, |bound| bound.2);
                if if conjunction == above { value > known } else { value < known } {
                    *other = (k, literal);
                }
            }
        }
    }
    *antecedents = kept;
}

type FoldedHead = (Vec<(Antecedent, Vec<f64>)>, Vec<f64>);

fn fold_head(network: &Network, layers: &[PublishedLayer], n_rows: usize) -> FoldedHead {
    let mut head: Vec<(Antecedent, Vec<f64>)> = Vec::new();
    let mut bias = network.bias.clone();
    let mut dim = 0;
    for (distance, source) in sources(layers.len(), network.skip).into_iter().flatten().enumerate() {
        let layer = &layers[source];
        for (rule, &count) in layer.rule_of_node.iter().zip(&layer.counts) {
            let weights: Vec<f64> = (0..bias.len()).map(|output| network.head.at(output, dim)).collect();
            dim += 1;
            if let Some(rule) = rule {
                let id = (-1 - distance as i8, *rule);
                match head.iter_mut().find(|(known, _)| *known == id) {
                    Some((_, sums)) => sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += weight),
                    None => head.push((id, weights)),
                }
            } else if count == n_rows {
                bias.iter_mut().zip(weights).for_each(|(bias, weight)| *bias += weight);
            }
        }
    }
    let largest = |weights: &[f64]| weights.iter().fold(0.0, |most: f64, weight| most.max(weight.abs()));
    head.sort_by(|a, b| largest(&b.1).total_cmp(&largest(&a.1)));
    (head, bias)
}
