//! Literals: statements that are true or false of a row.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::error::RrlError;
use crate::rows::Rows;

/// A statement that is true or false of a row, with the name it is shown by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Literal {
    /// What it says, in words.
    pub name: String,
    /// The family it belongs to, which masks refer to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Literals it implies: where it holds, they are made to hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parents: Vec<usize>,
    /// How to tell its truth from a table; without it truth is given as a bit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Test>,
}

/// A test of one cell of a table row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Test {
    /// The number is above a value.
    Above {
        /// Column of numbers.
        column: String,
        /// Strict lower bound.
        value: f64,
        /// Truth where the number is missing.
        #[serde(default)]
        if_missing: bool,
    },
    /// The number is at most a value.
    AtMost {
        /// Column of numbers.
        column: String,
        /// Upper bound, included.
        value: f64,
        /// Truth where the number is missing.
        #[serde(default)]
        if_missing: bool,
    },
    /// The cell holds a category.
    Is {
        /// Column of categories.
        column: String,
        /// The category.
        category: String,
    },
    /// The cell holds anything but a category (a missing cell too).
    IsNot {
        /// Column of categories.
        column: String,
        /// The category.
        category: String,
    },
    /// The cell is missing.
    Missing {
        /// Column of numbers or categories.
        column: String,
    },
}

impl Test {
    /// The column tested.
    pub fn column(&self) -> &str {
        match self {
            Self::Above { column, .. }
            | Self::AtMost { column, .. }
            | Self::Is { column, .. }
            | Self::IsNot { column, .. }
            | Self::Missing { column } => column,
        }
    }
}

impl Literal {
    /// A literal called `name`, without group, parents or test.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), group: None, parents: Vec::new(), test: None }
    }

    /// The same in a group.
    #[must_use]
    pub fn in_group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// The same with literals it implies.
    #[must_use]
    pub fn implying(mut self, parents: impl Into<Vec<usize>>) -> Self {
        self.parents = parents.into();
        self
    }

    /// The same with a test, named after it.
    pub(crate) fn tested(name: String, test: Test) -> Self {
        let group = Some(test.column().to_owned());
        Self { name, group, parents: Vec::new(), test: Some(test) }
    }
}

/// All ancestors of each literal, nearest first.
///
/// # Errors
/// [`RrlError::UnknownLiteral`] for a parent that does not exist, [`RrlError::Circle`].
pub(crate) fn ancestors(literals: &[Literal]) -> Result<Vec<Vec<usize>>, RrlError> {
    let mut closed = vec![Vec::new(); literals.len()];
    for (at, literal) in literals.iter().enumerate() {
        let mut up = literal.parents.clone();
        let mut next = 0;
        while next < up.len() {
            let ancestor = up[next];
            if ancestor == at {
                return Err(RrlError::Circle { literal: literal.name.clone() });
            }
            let parents = &literals
                .get(ancestor)
                .ok_or(RrlError::UnknownLiteral { row: at, literal: ancestor, n_literals: literals.len() })?
                .parents;
            for &parent in parents {
                if !up.contains(&parent) {
                    up.push(parent);
                }
            }
            next += 1;
        }
        closed[at] = up;
    }
    Ok(closed)
}

/// Makes every literal that a true literal implies true, through any number of steps: done to training
/// rows before learning and to every row a model sees, so that no rule can contradict the hierarchy.
///
/// # Errors
/// [`RrlError::Shape`], [`RrlError::UnknownLiteral`], [`RrlError::Circle`].
///
/// ```
/// use rrl::{Literal, Rows, close_over_parents};
/// let literals =
///     [Literal::new("slasher").implying([1]), Literal::new("horror").implying([2]), Literal::new("film")];
/// let mut rows = Rows::from_bools(3, &[[true, false, false], [false, true, false]])?;
/// close_over_parents(&mut rows, &literals)?;
/// assert_eq!([rows.holding(0), rows.holding(1)], [vec![0, 1, 2], vec![1, 2]]);
/// # Ok::<(), rrl::RrlError>(())
/// ```
pub fn close_over_parents(rows: &mut Rows, literals: &[Literal]) -> Result<(), RrlError> {
    if rows.n_literals() != literals.len() {
        return Err(RrlError::Shape { what: "literals", found: literals.len(), expected: rows.n_literals() });
    }
    rows.close(&ancestors(literals)?);
    Ok(())
}

/// Position of each literal by name; of equal names the first.
pub(crate) fn positions(literals: &[Literal]) -> HashMap<&str, usize> {
    literals.iter().enumerate().rev().map(|(at, literal)| (literal.name.as_str(), at)).collect()
}
