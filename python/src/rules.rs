//! The rule learner: tables in, a rule list out.

use std::fmt::Write as _;

use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::{PyIndexError, PyValueError};
use pyo3::prelude::*;
use rrl::{
    Column, Dataset, DiscretiseConfig, Literal, Matrix, Objective, Rows, RrlConfig, RrlError, Rule,
    SparseBuilder, Table, Targets, Unseen, discretise, encode, fit,
};
use serde_json::from_str;

use crate::errors::raise;
use crate::runner;
use crate::vectors::matrix;

/// A column as Python gives it.
#[derive(FromPyObject)]
pub(crate) enum Cells<'py> {
    /// Numbers; NaN says missing.
    Numbers(PyReadonlyArray1<'py, f64>),
    /// Categories; `None` says missing.
    Categories(Vec<Option<String>>),
}

/// Rows of truth values: number of literals, where each row begins, and the literals that hold (compressed rows).
type Lists<'py> = (usize, PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i64>);

/// What rules are tested on.
enum Input {
    Table(Table),
    Rows(Rows),
}

impl Input {
    fn of(columns: Option<Vec<(String, Cells<'_>)>>, lists: Option<Lists<'_>>) -> PyResult<Self> {
        if let Some((n_literals, starts, literals)) = lists {
            return rows_of(n_literals, &starts, &literals).map(Self::Rows);
        }
        let columns = columns.unwrap_or_default().into_iter().map(|(name, cells)| {
            let column = match cells {
                Cells::Numbers(values) => Column::Numbers(values.as_array().iter().copied().collect()),
                Cells::Categories(values) => Column::Categories(values),
            };
            (name, column)
        });
        Table::new(columns.collect()).map(Self::Table).map_err(raise)
    }

    fn n_rows(&self) -> usize {
        match self {
            Self::Table(table) => table.n_rows(),
            Self::Rows(rows) => rows.n_rows(),
        }
    }

    fn scores(&self, rules: &rrl::RuleList) -> Result<Matrix, RrlError> {
        let none = Matrix::default();
        match self {
            // A list of nothing but its bias needs no table.
            _ if rules.literals().is_empty() => {
                let bias = rules.bias();
                Matrix::new(self.n_rows(), bias.len(), bias.repeat(self.n_rows()))
            }
            Self::Table(table) => rules.scores_of_table(table, &none),
            Self::Rows(rows) => rules.scores(rows, &none),
        }
    }

    /// Truth of the literals of a list.
    fn rows(self, rules: &rrl::RuleList) -> Result<Rows, RrlError> {
        match self {
            Self::Table(table) => encode(rules.literals(), &table, Unseen::Ignore),
            Self::Rows(rows) => Ok(rows),
        }
    }
}

fn rows_of(
    n_literals: usize,
    starts: &PyReadonlyArray1<'_, i64>,
    literals: &PyReadonlyArray1<'_, i64>,
) -> PyResult<Rows> {
    let (starts, literals) = (starts.as_array(), literals.as_array());
    let bad =
        || PyValueError::new_err("the sparse rows are not in compressed form; convert them with `.tocsr()`");
    let mut builder = SparseBuilder::new(n_literals);
    let mut row: Vec<u32> = Vec::new();
    for at in 1..starts.len() {
        let (from, to) = (usize::try_from(starts[at - 1]), usize::try_from(starts[at]));
        let (Ok(from), Ok(to)) = (from, to) else { return Err(bad()) };
        if from > to || to > literals.len() {
            return Err(bad());
        }
        row.clear();
        for place in from..to {
            row.push(u32::try_from(literals[place]).map_err(|_| bad())?);
        }
        builder.push(&row).map_err(raise)?;
    }
    Ok(builder.finish())
}

/// Weighted rules, with the tests of their literals: all there is to a model when it predicts.
#[pyclass(frozen, module = "titlecard._native")]
pub(crate) struct RuleList {
    pub(crate) rules: rrl::RuleList,
}

impl RuleList {
    fn rule(&self, at: usize) -> PyResult<&Rule> {
        let rules = self.rules.rules();
        rules
            .get(at)
            .ok_or_else(|| PyIndexError::new_err(format!("there is no rule {at}; there are {}", rules.len())))
    }
}

#[pymethods]
impl RuleList {
    /// Reads a saved or edited list.
    #[staticmethod]
    fn from_json(text: &str) -> PyResult<Self> {
        rrl::RuleList::from_json(text).map(|rules| Self { rules }).map_err(raise)
    }

    /// The saved form, made for reading and editing.
    fn to_json(&self) -> String {
        self.rules.to_json()
    }

    /// A Markdown table, heaviest rule first.
    fn to_markdown(&self) -> String {
        self.rules.to_markdown(None)
    }

    /// A data frame, a row a rule, heaviest first.
    fn to_pandas<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        slf.py().import("titlecard._tables")?.call_method1("rules_frame", (slf,))
    }

    /// How a notebook shows it.
    fn _repr_html_(slf: &Bound<'_, Self>) -> PyResult<String> {
        slf.py().import("titlecard._tables")?.call_method1("rules_html", (slf,))?.extract()
    }

    fn __str__(&self) -> String {
        self.rules.to_string()
    }

    fn __repr__(&self) -> String {
        let outputs = self.rules.outputs();
        let mut text =
            format!("<RuleList: {} rules of {} literals", self.rules.n_scored(), self.rules.n_edges());
        // Writing to a string cannot fail.
        let _ =
            if outputs.len() > 1 { write!(text, ", {} outputs>", outputs.len()) } else { write!(text, ">") };
        text
    }

    fn __len__(&self) -> usize {
        self.rules.rules().len()
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().rules == self.rules)
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        Ok((py.get_type::<Self>().getattr("from_json")?, (self.rules.to_json(),)))
    }

    /// Names of the scores.
    #[getter]
    fn outputs(&self) -> Vec<String> {
        self.rules.outputs().to_vec()
    }

    /// What every row starts with, `[n_outputs]`.
    #[getter]
    fn bias<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.rules.bias().to_vec().into_pyarray(py)
    }

    /// Names of the literals.
    #[getter]
    fn literals(&self) -> Vec<String> {
        self.rules.literals().iter().map(|literal| literal.name.clone()).collect()
    }

    /// Scores beside the rules: name and weight.
    #[getter]
    fn linear(&self) -> Vec<(String, f64)> {
        self.rules.linear().iter().map(|term| (term.name.clone(), term.weight)).collect()
    }

    /// Rules that add to a score (the others are part of these).
    #[getter]
    fn n_scored(&self) -> usize {
        self.rules.n_scored()
    }

    /// Terms of all rules: the size of the list.
    #[getter]
    fn n_edges(&self) -> usize {
        self.rules.n_edges()
    }

    /// A rule in words.
    fn text(&self, at: usize) -> PyResult<String> {
        self.rule(at)?;
        Ok(self.rules.text(at))
    }

    /// Every rule: text, `and` or `or`, number of terms, weights (none of a part of others), support.
    #[allow(clippy::type_complexity)]
    fn rows(&self) -> Vec<(String, &'static str, usize, Vec<f64>, Option<f64>)> {
        let rules = self.rules.rules();
        (0..rules.len())
            .map(|at| {
                let rule = &rules[at];
                let logic = if rule.logic == rrl::Logic::And { "and" } else { "or" };
                (self.rules.text(at), logic, rule.terms.len(), rule.weights.clone(), rule.support)
            })
            .collect()
    }

    /// The list with each score times a factor plus a constant.
    fn rescaled(&self, factors: Vec<f64>, constants: Vec<f64>) -> PyResult<Self> {
        let n_outputs = self.rules.outputs().len();
        if factors.len() != n_outputs || constants.len() != n_outputs {
            return Err(PyValueError::new_err(format!(
                "give one factor and one constant for each of {n_outputs} outputs"
            )));
        }
        let rules = self.rules.rules().iter().map(|rule| Rule {
            weights: rule.weights.iter().zip(&factors).map(|(weight, factor)| weight * factor).collect(),
            ..rule.clone()
        });
        let bias = self
            .rules
            .bias()
            .iter()
            .zip(&factors)
            .zip(&constants)
            .map(|((bias, factor), constant)| bias * factor + constant);
        rrl::RuleList::new(
            self.rules.literals().to_vec(),
            self.rules.outputs().to_vec(),
            bias.collect(),
            rules.collect(),
            self.rules.linear().to_vec(),
        )
        .map(|rules| Self { rules })
        .map_err(raise)
    }

    /// Scores of rows of a table or of truth values, `[n_rows, n_outputs]`.
    #[pyo3(signature = (columns=None, lists=None))]
    fn scores<'py>(
        &self,
        py: Python<'py>,
        columns: Option<Vec<(String, Cells<'py>)>>,
        lists: Option<Lists<'py>>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let input = Input::of(columns, lists)?;
        let scores = py.detach(|| input.scores(&self.rules)).map_err(raise)?;
        matrix(py, scores.n_rows(), scores.n_columns(), scores.values().to_vec())
    }

    /// For each row its scores, `[n_rows, n_outputs]`, and the positions of the rules that hold.
    #[pyo3(signature = (columns=None, lists=None))]
    #[allow(clippy::type_complexity)]
    fn explain<'py>(
        &self,
        py: Python<'py>,
        columns: Option<Vec<(String, Cells<'py>)>>,
        lists: Option<Lists<'py>>,
    ) -> PyResult<(Bound<'py, PyArray2<f64>>, Vec<Vec<usize>>)> {
        let input = Input::of(columns, lists)?;
        let n_outputs = self.rules.outputs().len();
        let explained = py.detach(|| -> Result<_, RrlError> {
            let n_rows = input.n_rows();
            let rows = if self.rules.literals().is_empty() { None } else { Some(input.rows(&self.rules)?) };
            let (mut scores, mut fired) =
                (Vec::with_capacity(n_rows * n_outputs), Vec::with_capacity(n_rows));
            let mut truths = vec![false; self.rules.literals().len()];
            for row in 0..n_rows {
                truths.fill(false);
                if let Some(rows) = &rows {
                    rows.holding(row).into_iter().for_each(|literal| truths[literal] = true);
                }
                let explanation = self.rules.explain(&truths, &vec![0.0; self.rules.linear().len()])?;
                scores.extend(explanation.scores);
                fired.push(explanation.fired);
            }
            Ok((scores, fired))
        });
        let (scores, fired) = explained.map_err(raise)?;
        Ok((matrix(py, fired.len(), n_outputs, scores)?, fired))
    }
}

/// Learns rules: the list, and the mean loss of every epoch.
///
/// - `columns` or `lists` (with `names`): the rows.
/// - `labels` `[n_rows]` with `outputs` (names of the classes), or `values` `[n_rows, n_outputs]` with `outputs`.
/// - `config`, `cuts`, `objective`: settings as JSON, as `rrl` has them.
#[pyfunction]
#[pyo3(signature = (outputs, config, cuts, objective, columns=None, lists=None, names=None, labels=None, values=None, progress=None))]
#[allow(clippy::too_many_arguments)] // Python names them.
pub(crate) fn fit_rules(
    py: Python<'_>,
    outputs: Vec<String>,
    config: &str,
    cuts: &str,
    objective: &str,
    columns: Option<Vec<(String, Cells<'_>)>>,
    lists: Option<Lists<'_>>,
    names: Option<Vec<String>>,
    labels: Option<PyReadonlyArray1<'_, i64>>,
    values: Option<PyReadonlyArray2<'_, f64>>,
    progress: Option<Py<PyAny>>,
) -> PyResult<(RuleList, Vec<f64>)> {
    let setting =
        |error: serde_json::Error| PyValueError::new_err(format!("a setting cannot be used: {error}"));
    let config: RrlConfig = from_str(config).map_err(setting)?;
    let cuts: DiscretiseConfig = from_str(cuts).map_err(setting)?;
    let objective: Objective = from_str(objective).map_err(setting)?;
    config.validate().map_err(raise)?;
    let input = Input::of(columns, lists)?;
    let targets = match (labels, values) {
        (Some(labels), _) => Targets::Classes {
            labels: labels
                .as_array()
                .iter()
                .map(|&label| usize::try_from(label).unwrap_or(usize::MAX))
                .collect(),
            names: outputs,
        },
        (None, Some(values)) => {
            let values = values.as_array();
            let matrix = Matrix::new(values.nrows(), values.ncols(), values.iter().copied().collect());
            Targets::Values { values: matrix.map_err(raise)?, names: outputs }
        }
        (None, None) => return Err(PyValueError::new_err("give `labels` or `values` to learn from")),
    };
    let fitted = runner::run(py, progress.as_ref(), |teller| {
        learn(input, names, targets, objective, &config, &cuts, teller)
    })?;
    fitted.map(|(rules, losses)| (RuleList { rules }, losses)).map_err(raise)
}

fn learn(
    input: Input,
    names: Option<Vec<String>>,
    targets: Targets,
    objective: Objective,
    config: &RrlConfig,
    cuts: &DiscretiseConfig,
    teller: &mut runner::Teller,
) -> Result<(rrl::RuleList, Vec<f64>), RrlError> {
    let (rows, literals) = match input {
        Input::Table(table) => {
            let literals = discretise(&table, cuts)?.literals;
            if literals.is_empty() {
                return constant(&targets).map(|rules| (rules, Vec::new()));
            }
            (encode(&literals, &table, Unseen::Ignore)?, literals)
        }
        Input::Rows(rows) => {
            let names = names.unwrap_or_default();
            (rows, names.into_iter().map(Literal::new).collect())
        }
    };
    let data = Dataset { rows, literals, targets, linear: None };
    let n_epochs = (config.epochs * config.committee) as u64;
    let mut losses = Vec::new();
    let model = fit(&data, objective, config, |state| {
        if state.epoch_done {
            losses.push(state.loss);
            let note = format!("loss {:.4}", state.loss);
            let done = (state.member * config.epochs + state.epoch + 1) as u64;
            return teller.tell("learning rules", done, n_epochs, &note);
        }
        let done = (state.member * config.epochs + state.epoch) as u64;
        teller.tell("learning rules", done, n_epochs, "")
    })?;
    Ok((model.rules().clone(), losses))
}

/// Columns of one value each say nothing: every row gets the shares of the classes, or the mean.
fn constant(targets: &Targets) -> Result<rrl::RuleList, RrlError> {
    let bias = match targets {
        Targets::Classes { labels, names } => {
            let count = |class: usize| labels.iter().filter(|&&label| label == class).count() as f64;
            (0..names.len()).map(|class| (count(class).max(0.5) / labels.len().max(1) as f64).ln()).collect()
        }
        Targets::Values { values, .. } => (0..values.n_columns())
            .map(|column| {
                (0..values.n_rows()).map(|row| values.at(row, column)).sum::<f64>()
                    / values.n_rows().max(1) as f64
            })
            .collect(),
        _ => vec![0.0],
    };
    rrl::RuleList::new(Vec::new(), targets.output_names(), bias, Vec::new(), Vec::new())
}
