//! What a model learns from: rows, the names of their literals, and targets.

use crate::error::RrlError;
use crate::literal::Literal;
use crate::matrix::Matrix;
use crate::rows::Rows;

/// Rows with what should come out for them.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Truth of the literals, `[n_rows, n_literals]`.
    pub rows: Rows,
    /// What each literal says, `[n_literals]`.
    pub literals: Vec<Literal>,
    /// What should come out.
    pub targets: Targets,
    /// Real-valued inputs that are added to the score with non-negative weights, for models with one
    /// output.
    pub linear: Option<LinearInputs>,
}

/// Real-valued inputs beside the rules.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearInputs {
    /// `[n_linear]`.
    pub names: Vec<String>,
    /// `[n_rows, n_linear]`.
    pub values: Matrix,
}

/// What should come out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Targets {
    /// One class a row.
    Classes {
        /// `[n_rows]`, each below the number of names.
        labels: Vec<usize>,
        /// `[n_classes]`, two or more, each with at least one row.
        names: Vec<String>,
    },
    /// One or more numbers a row.
    Values {
        /// `[n_rows, n_outputs]`.
        values: Matrix,
        /// `[n_outputs]`.
        names: Vec<String>,
    },
    /// Rows are candidates, grouped into lists that follow each other.
    Lists {
        /// Candidates of each list; they sum to the number of rows.
        sizes: Vec<usize>,
        /// Relevance of each candidate, 0 or more: `[n_rows]`.
        relevance: Vec<f64>,
        /// Score that orders candidates of equal score: `[n_rows]`.
        first_stage: Vec<f64>,
    },
}

impl Targets {
    /// Names of the outputs of a model for these targets.
    pub fn output_names(&self) -> Vec<String> {
        match self {
            Self::Classes { names, .. } | Self::Values { names, .. } => names.clone(),
            Self::Lists { .. } => vec!["score".to_owned()],
        }
    }

    /// Number of things a step can be made of: rows, of ranking targets lists.
    pub(crate) fn n_units(&self) -> usize {
        match self {
            Self::Classes { labels, .. } => labels.len(),
            Self::Values { values, .. } => values.n_rows(),
            Self::Lists { sizes, .. } => sizes.len(),
        }
    }

    fn n_rows(&self) -> usize {
        match self {
            Self::Classes { labels, .. } => labels.len(),
            Self::Values { values, .. } => values.n_rows(),
            Self::Lists { relevance, .. } => relevance.len(),
        }
    }
}

fn same_length(what: &'static str, found: usize, expected: usize) -> Result<(), RrlError> {
    if found == expected { Ok(()) } else { Err(RrlError::Shape { what, found, expected }) }
}

fn all_finite(what: &str, values: &[f64]) -> Result<(), RrlError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(row) => Err(RrlError::NotFinite { what: what.to_owned(), row, value: values[row] }),
    }
}

impl Dataset {
    /// Checks that everything fits together.
    ///
    /// # Errors
    /// [`RrlError`] naming the first thing that does not: lengths, labels, empty classes, values that are
    /// not finite.
    pub fn validate(&self) -> Result<(), RrlError> {
        let n_rows = self.rows.n_rows();
        if n_rows == 0 {
            return Err(RrlError::Empty { what: "training rows" });
        }
        if self.rows.n_literals() == 0 {
            return Err(RrlError::Empty { what: "literals" });
        }
        same_length("literals", self.literals.len(), self.rows.n_literals())?;
        same_length("targets", self.targets.n_rows(), n_rows)?;
        match &self.targets {
            Targets::Classes { labels, names } => {
                if names.len() < 2 {
                    return Err(RrlError::Shape { what: "classes", found: names.len(), expected: 2 });
                }
                let mut counts = vec![0_usize; names.len()];
                for (row, &class) in labels.iter().enumerate() {
                    *counts.get_mut(class).ok_or(RrlError::UnknownClass {
                        row,
                        class,
                        n_classes: names.len(),
                    })? += 1;
                }
                if let Some(empty) = counts.iter().position(|&count| count == 0) {
                    return Err(RrlError::EmptyClass { class: names[empty].clone() });
                }
            }
            Targets::Values { values, names } => {
                same_length("output names", names.len(), values.n_columns())?;
                if names.is_empty() {
                    return Err(RrlError::Empty { what: "outputs" });
                }
                if let Some((row, column)) = values.first_not_finite() {
                    let value = values.at(row, column);
                    return Err(RrlError::NotFinite {
                        what: format!("target `{}`", names[column]),
                        row,
                        value,
                    });
                }
            }
            Targets::Lists { sizes, relevance, first_stage } => {
                same_length("candidates in all lists", sizes.iter().sum(), n_rows)?;
                same_length("first-stage scores", first_stage.len(), n_rows)?;
                all_finite("relevance", relevance)?;
                all_finite("first-stage score", first_stage)?;
                if let Some(row) = relevance.iter().position(|&relevance| relevance < 0.0) {
                    return Err(RrlError::NotFinite {
                        what: "relevance (0 or more)".to_owned(),
                        row,
                        value: relevance[row],
                    });
                }
                if !relevance.iter().any(|&relevance| relevance > 0.0) {
                    return Err(RrlError::Empty { what: "relevant candidates" });
                }
            }
        }
        if let Some(linear) = &self.linear {
            same_length("names of linear inputs", linear.names.len(), linear.values.n_columns())?;
            same_length("rows of linear inputs", linear.values.n_rows(), n_rows)?;
            if let Some((row, column)) = linear.values.first_not_finite() {
                let value = linear.values.at(row, column);
                return Err(RrlError::NotFinite {
                    what: format!("linear input `{}`", linear.names[column]),
                    row,
                    value,
                });
            }
            if self.targets.output_names().len() != 1 {
                return Err(RrlError::Mismatch {
                    problem: "linear inputs need a model with one output",
                    way_out: "leave them out, or make literals of them",
                });
            }
        }
        Ok(())
    }

    /// The rows at `rows`, in that order; not for ranking lists, which are chosen whole.
    pub(crate) fn select_rows(&self, rows: &[usize]) -> Self {
        let targets = match &self.targets {
            Targets::Classes { labels, names } => Targets::Classes {
                labels: rows.iter().map(|&row| labels[row]).collect(),
                names: names.clone(),
            },
            Targets::Values { values, names } => {
                Targets::Values { values: values.select(rows), names: names.clone() }
            }
            Targets::Lists { relevance, first_stage, .. } => Targets::Lists {
                sizes: vec![rows.len()],
                relevance: rows.iter().map(|&row| relevance[row]).collect(),
                first_stage: rows.iter().map(|&row| first_stage[row]).collect(),
            },
        };
        self.with(rows, targets)
    }

    fn with(&self, rows: &[usize], targets: Targets) -> Self {
        Self {
            rows: self.rows.select(rows),
            literals: self.literals.clone(),
            targets,
            linear: self.linear.as_ref().map(|linear| LinearInputs {
                names: linear.names.clone(),
                values: linear.values.select(rows),
            }),
        }
    }

    /// The units (rows, of ranking targets lists) at `units`, in that order.
    ///
    /// # Panics
    /// If there is no such unit.
    #[must_use]
    pub fn select(&self, units: &[usize]) -> Self {
        let Targets::Lists { sizes, relevance, first_stage } = &self.targets else {
            return self.select_rows(units);
        };
        let starts = list_starts(sizes);
        let rows: Vec<usize> =
            units.iter().flat_map(|&list| starts[list]..starts[list] + sizes[list]).collect();
        let targets = Targets::Lists {
            sizes: units.iter().map(|&list| sizes[list]).collect(),
            relevance: rows.iter().map(|&row| relevance[row]).collect(),
            first_stage: rows.iter().map(|&row| first_stage[row]).collect(),
        };
        self.with(&rows, targets)
    }
}

/// First row of each list.
pub(crate) fn list_starts(sizes: &[usize]) -> Vec<usize> {
    sizes
        .iter()
        .scan(0, |next, size| {
            let start = *next;
            *next += size;
            Some(start)
        })
        .collect()
}
