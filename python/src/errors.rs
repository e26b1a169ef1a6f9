//! Which exception an error of ours becomes; its message stays as it is.

use std::error::Error as StdError;
use std::io::ErrorKind;

use pyo3::exceptions::{PyException, PyFileNotFoundError, PyOSError, PyPermissionError, PyValueError};
use pyo3::{PyErr, create_exception};
use rrl::RrlError;
use titlecard_engine::artifact::ArtifactError;
use titlecard_engine::catalogue::CatalogueError;
use titlecard_engine::eval::metrics::MetricError;
use titlecard_engine::eval::queries::QueryError;
use titlecard_engine::eval::tasks::EvalError;
use titlecard_engine::graph::GraphError;
use titlecard_engine::index::IndexError;
use titlecard_engine::pipeline::PipelineError;
use titlecard_engine::search::SearchError;
use titlecard_lm::LmError;
use wordvec::WordVecError;

create_exception!(
    titlecard,
    Error,
    PyException,
    "A file is damaged or of another version, or a step failed."
);
create_exception!(titlecard, NoAnswer, PyValueError, "A query that no film answers.");

/// Kinds of errors that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Something that was named or is needed does not exist.
    Missing,
    /// What was given cannot be used.
    Value,
    /// Nothing answers the query.
    NoAnswer,
    /// Anything else.
    Other,
}

/// An error with its kind.
pub(crate) trait Classify: StdError + 'static {
    /// Its kind, unless a cause is the operating system's: that decides then.
    fn class(&self) -> Class;
}

/// The exception for an error.
pub(crate) fn raise(error: impl Classify) -> PyErr {
    let class = error.class();
    let mut message = error.to_string();
    let mut system = None;
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            system = Some(error.kind());
        }
        let words = error.to_string();
        if !message.contains(&words) {
            message.push_str(": ");
            message.push_str(&words);
        }
        cause = error.source();
    }
    match (class, system) {
        (Class::Missing, _) | (_, Some(ErrorKind::NotFound)) => PyFileNotFoundError::new_err(message),
        (_, Some(ErrorKind::PermissionDenied)) => PyPermissionError::new_err(message),
        // Bytes that are not what a reader expects come as an error of the system too.
        (_, Some(ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::InvalidInput))
        | (Class::Other, None) => Error::new_err(message),
        (_, Some(_)) => PyOSError::new_err(message),
        (Class::Value, None) => PyValueError::new_err(message),
        (Class::NoAnswer, None) => NoAnswer::new_err(message),
    }
}

impl Classify for RrlError {
    fn class(&self) -> Class {
        if matches!(self, Self::Threads { .. }) { Class::Other } else { Class::Value }
    }
}

impl Classify for MetricError {
    fn class(&self) -> Class {
        Class::Value
    }
}

impl Classify for ArtifactError {
    fn class(&self) -> Class {
        if matches!(self, Self::Missing { .. }) { Class::Missing } else { Class::Other }
    }
}

impl Classify for CatalogueError {
    fn class(&self) -> Class {
        match self {
            Self::Artifact(error) => error.class(),
            Self::Io { .. } | Self::DamagedPrepared { .. } | Self::Interrupted(_) => Class::Other,
            _ => Class::Value,
        }
    }
}

impl Classify for QueryError {
    fn class(&self) -> Class {
        match self {
            Self::Io { path, .. } if !path.exists() => Class::Missing,
            Self::Io { .. } => Class::Other,
            _ => Class::Value,
        }
    }
}

impl Classify for WordVecError {
    fn class(&self) -> Class {
        match self {
            Self::Truncated { .. }
            | Self::Malformed { .. }
            | Self::Damaged(_)
            | Self::Version { .. }
            | Self::Io(_)
            | Self::Open { .. }
            | Self::Write { .. }
            | Self::Interrupted => Class::Other,
            _ => Class::Value,
        }
    }
}

impl Classify for GraphError {
    fn class(&self) -> Class {
        match self {
            Self::Artifact(error) => error.class(),
            Self::Input { .. } | Self::Sparql(_) => Class::Value,
            _ => Class::Other,
        }
    }
}

impl Classify for IndexError {
    fn class(&self) -> Class {
        match self {
            Self::Artifact(error) => error.class(),
            Self::EmptyCatalogue => Class::Value,
            Self::WordVectors(error) => error.class(),
            _ => Class::Other,
        }
    }
}

impl Classify for SearchError {
    fn class(&self) -> Class {
        match self {
            Self::EmptyQuery | Self::NoKnownWord { .. } | Self::NothingPasses => Class::NoAnswer,
            Self::FilterForm(_) | Self::Filter(_) => Class::Value,
            Self::Index(error) => error.class(),
            _ => Class::Other,
        }
    }
}

impl Classify for LmError {
    fn class(&self) -> Class {
        match self {
            Self::Artifact(error) => error.class(),
            Self::NoModel { .. } | Self::NoCheckpoint { .. } => Class::Missing,
            Self::Unsupported { .. }
            | Self::Vocabulary { .. }
            | Self::TooLong { .. }
            | Self::EmptyPrompt
            | Self::Setting { .. }
            | Self::NoExamples { .. }
            | Self::OtherTraining { .. }
            | Self::Adapter(_) => Class::Value,
            _ => Class::Other,
        }
    }
}

impl Classify for EvalError {
    fn class(&self) -> Class {
        if matches!(self, Self::NoQuery { .. }) { Class::Value } else { Class::Other }
    }
}

impl Classify for PipelineError {
    fn class(&self) -> Class {
        match self {
            Self::Config(_)
            | Self::Embedding(_)
            | Self::PictureName { .. }
            | Self::BadName { .. }
            | Self::RuleFile { .. } => Class::Value,
            Self::NoVectors { .. } => Class::Missing,
            Self::Artifact(error) => error.class(),
            Self::Catalogue(error) => error.class(),
            Self::WordVectors(error) => error.class(),
            Self::Graph(error) => error.class(),
            Self::Index(error) => error.class(),
            Self::Eval(error) => error.class(),
            _ => Class::Other,
        }
    }
}
