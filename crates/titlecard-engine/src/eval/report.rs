//! The result of an evaluation: a table for people, JSON for programs.

use std::fmt::Write as _;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use serde::{Deserialize, Serialize};

use super::metrics::KnownItemMetrics;

/// How equal scores are ranked, stated with every table.
pub const TIE_RULE: &str = "tied scores share the mean of their ranks";

/// One method's figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodRow {
    /// Name of the method.
    pub method: String,
    /// Its figures.
    pub metrics: KnownItemMetrics,
    /// Mean time a query took, in milliseconds; absent if it was not measured alone.
    pub ms_per_query: Option<f64>,
    /// Rank of the film sought, a value a query in the order asked; for paired comparisons.
    pub ranks: Vec<f64>,
}

impl MethodRow {
    /// Computes the figures of `ranks`; a time that is not a number counts as not measured.
    pub fn new(method: &str, ranks: &[f64], ms_per_query: f64) -> Self {
        Self {
            method: method.to_owned(),
            metrics: KnownItemMetrics::from_ranks(ranks),
            ms_per_query: (!ms_per_query.is_nan()).then_some(ms_per_query),
            ranks: ranks.to_vec(),
        }
    }
}

/// All methods on one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalReport {
    /// Name of the task.
    pub task: String,
    /// What the candidates are.
    pub candidates: String,
    /// Number of candidates every query is ranked against.
    pub n_candidates: usize,
    /// Which part of the data was asked for.
    pub split: String,
    /// Seed of the models.
    pub seed: u64,
    /// What else a reader has to know.
    pub notes: Vec<String>,
    /// One row a method.
    pub methods: Vec<MethodRow>,
}

impl EvalReport {
    /// Number of queries.
    pub fn n_queries(&self) -> usize {
        self.methods.first().map_or(0, |row| row.metrics.n_queries)
    }

    /// The table as Markdown, with what it means above and below.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{}: {} queries ({}), {} candidates ({}), seed {}; {TIE_RULE}\n",
            self.task,
            self.n_queries(),
            self.split,
            self.n_candidates,
            self.candidates,
            self.seed
        );
        let mut table = Table::new();
        table.load_style(ASCII_MARKDOWN);
        let mut header = vec!["method".to_owned()];
        if let Some(row) = self.methods.first() {
            header.extend(row.metrics.success.iter().map(|(k, _)| format!("S@{k}")));
            header.extend(row.metrics.precision.iter().map(|(k, _)| format!("P@{k}")));
        }
        header.extend(["MRR", "nDCG@10", "R@100", "R@1000", "median rank"].map(str::to_owned));
        let n_columns = header.len();
        table.set_header(header);
        for MethodRow { method, metrics, .. } in &self.methods {
            let mut cells = vec![method.clone()];
            cells.extend(metrics.success.iter().map(|(_, value)| figure(*value)));
            cells.extend(metrics.precision.iter().map(|(_, value)| figure(*value)));
            cells.extend(
                [metrics.mrr, metrics.ndcg_at_10, metrics.recall_at_100, metrics.recall_at_1000].map(figure),
            );
            cells.push(format!("{:.0}", metrics.median_rank));
            table.add_row(cells);
        }
        if let Some(row) = self.methods.first() {
            let mut ceiling = vec!["ceiling (one title is right)".to_owned()];
            ceiling.extend(row.metrics.success.iter().map(|_| figure(1.0)));
            ceiling.extend(row.metrics.precision.iter().map(|(k, _)| figure(1.0 / *k as f64)));
            ceiling.extend(std::iter::repeat_n(figure(1.0), 4));
            ceiling.push("1".to_owned());
            table.add_row(ceiling);
        }
        for column in table.column_iter_mut().skip(1).take(n_columns) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n{table}\n");
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        text
    }
}

/// Three decimals without the leading zero, as tables of retrieval results are printed.
fn figure(value: f64) -> String {
    let text = format!("{value:.3}");
    text.strip_prefix('0').map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_states_candidates_ties_and_ceiling() {
        let report = EvalReport {
            task: "known item".to_owned(),
            candidates: "film records".to_owned(),
            n_candidates: 440,
            split: "test".to_owned(),
            seed: 7,
            notes: vec!["a note".to_owned()],
            methods: vec![MethodRow::new("BM25", &[1.0, 3.0, 12.0, 200.0], 0.5)],
        };
        insta::assert_snapshot!(report.to_text(), @r"
        known item: 4 queries (test), 440 candidates (film records), seed 7; tied scores share the mean of their ranks

        | method                       |   S@1 |   S@5 |  S@10 |  S@20 |  P@5 | P@10 | P@15 | P@20 |   MRR | nDCG@10 | R@100 | R@1000 | median rank |
        |------------------------------|-------|-------|-------|-------|------|------|------|------|-------|---------|-------|--------|-------------|
        | BM25                         |  .250 |  .500 |  .500 |  .750 | .100 | .050 | .050 | .037 |  .355 |    .375 |  .750 |  1.000 |           8 |
        | ceiling (one title is right) | 1.000 | 1.000 | 1.000 | 1.000 | .200 | .100 | .067 | .050 | 1.000 |   1.000 | 1.000 |  1.000 |           1 |

        - a note
        ");
    }
}
