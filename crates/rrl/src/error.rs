//! What can go wrong.

/// Why data, settings or a file were refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RrlError {
    /// Something has another length than what it belongs to.
    #[error("found {found} {what}, expected {expected}; check the shapes")]
    Shape {
        /// What was counted.
        what: &'static str,
        /// Its number.
        found: usize,
        /// The number it should have.
        expected: usize,
    },
    /// A bit or index list names a literal that does not exist.
    #[error("row {row} names literal {literal}, there are {n_literals}; use positions below that")]
    UnknownLiteral {
        /// Row.
        row: usize,
        /// Position it names.
        literal: usize,
        /// Number of literals.
        n_literals: usize,
    },
    /// Nothing to learn from.
    #[error("there are no {what}; give at least one")]
    Empty {
        /// What is missing.
        what: &'static str,
    },
    /// A number that must be finite is not.
    #[error("{what} holds {value} in row {row}; use finite numbers (in a table, NaN says missing)")]
    NotFinite {
        /// The column or array.
        what: String,
        /// Row.
        row: usize,
        /// The value.
        value: f64,
    },
    /// A label is not below the number of classes.
    #[error("row {row} has class {class}, there are {n_classes} classes; number them from 0")]
    UnknownClass {
        /// Row.
        row: usize,
        /// Its class.
        class: usize,
        /// Number of classes.
        n_classes: usize,
    },
    /// A class has no training row.
    #[error("class `{class}` has no row; remove it from the class names or add rows")]
    EmptyClass {
        /// Name of the class.
        class: String,
    },
    /// A table lacks a column that literals test.
    #[error("column `{column}` is missing (found: {found}); add or rename it")]
    MissingColumn {
        /// The column asked for.
        column: String,
        /// The columns there are.
        found: String,
    },
    /// A column has another type than its test needs.
    #[error("column `{column}` holds {found}, its tests need {expected}; convert it")]
    ColumnType {
        /// Name of the column.
        column: String,
        /// Type found.
        found: &'static str,
        /// Type expected.
        expected: &'static str,
    },
    /// A column name occurs twice.
    #[error("column `{column}` occurs twice; rename one")]
    RepeatedColumn {
        /// The name.
        column: String,
    },
    /// A row has a category that was not among the training rows, and the caller asked to be told.
    #[error(
        "column `{column}` has the unseen category `{category}` in row {row}; train with it or ignore unseen ones"
    )]
    UnseenCategory {
        /// Name of the column.
        column: String,
        /// The category.
        category: String,
        /// Row.
        row: usize,
    },
    /// A setting is out of its range.
    #[error("setting `{setting}` is {found}, expected {expected}; change it")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// Settings, data and objective do not go together.
    #[error("{problem}; {way_out}")]
    Mismatch {
        /// What does not fit.
        problem: &'static str,
        /// What to do.
        way_out: &'static str,
    },
    /// A rule, mask or literal names something that does not exist.
    #[error("{what} names {part} `{name}`, which does not exist; correct the name")]
    UnknownName {
        /// Who names it.
        what: String,
        /// Kind of the thing named.
        part: &'static str,
        /// The name.
        name: String,
    },
    /// The parents of literals form a circle.
    #[error("literal `{literal}` is its own ancestor; break the circle")]
    Circle {
        /// Name of a literal on it.
        literal: String,
    },
    /// A rule cannot be used.
    #[error("rule {rule}: {problem}; correct or remove it")]
    BadRule {
        /// Position of the rule.
        rule: usize,
        /// What is wrong.
        problem: String,
    },
    /// Saved text is not a rule list or model of this crate.
    #[error("not a readable rule list: {problem}; restore the file or save the model again")]
    Unreadable {
        /// What the reader met.
        problem: String,
    },
    /// Saved by a later version.
    #[error("the file has format version {found}, this version reads up to {supported}; update the program")]
    Version {
        /// Version found.
        found: u64,
        /// Highest version understood.
        supported: u64,
    },
    /// Training left the finite numbers.
    #[error("training diverged in epoch {epoch}: the loss is {loss}; lower the learning rate")]
    Diverged {
        /// Epoch, from 0.
        epoch: usize,
        /// Last loss.
        loss: f64,
    },
    /// The worker threads could not be started.
    #[error("cannot start {n_threads} threads: {problem}; ask for fewer")]
    Threads {
        /// How many were asked for.
        n_threads: usize,
        /// What the system said.
        problem: String,
    },
}
