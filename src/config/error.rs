//! What is wrong with a configuration: all of it at once, each problem with its place.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// Where something was written. In the order in which problems are told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// A line of the operator's file, counted from 1.
    Line { file: Arc<str>, line: usize },
    /// The operator's file as a whole.
    File(Arc<str>),
    /// A variable of the environment.
    Variable(String),
    /// Nowhere: it is the compiled-in default.
    Default,
    /// Nowhere: `--sandbox` sets it.
    Sandbox,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line } => write!(f, "{file}:{line}"),
            Self::File(file) => f.write_str(file),
            Self::Variable(name) => f.write_str(name),
            Self::Default => f.write_str("default"),
            Self::Sandbox => f.write_str("--sandbox"),
        }
    }
}

/// One thing that is wrong, and what would be right. Never shows a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{origin}: {message}")]
pub struct Problem {
    origin: Origin,
    message: String,
}

/// Everything that is wrong with a configuration; at least one problem. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    problems: Vec<Problem>,
}

impl Errors {
    /// The problems: those of the file by line, then those of variables by name.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }
}

impl fmt::Display for Errors {
    /// One line if there is one problem, otherwise a heading and one line for each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [problem] = self.problems.as_slice() {
            return write!(f, "{problem}");
        }
        write!(f, "the configuration has {} errors", self.problems.len())?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// Problems as they are found, from wherever something is read: hence the cell.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Notes one down.
    pub(super) fn add(&self, origin: &Origin, message: impl Into<String>) {
        self.0.borrow_mut().push(Problem { origin: origin.clone(), message: message.into() });
    }

    /// `value` if nothing was wrong. A part that is missing has always noted down why.
    pub(super) fn or<T>(self, value: Option<T>) -> Result<T, Errors> {
        let mut problems = self.0.into_inner();
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            Some(_) | None => {
                problems.sort();
                problems.dedup();
                Err(Errors { problems })
            }
        }
    }
}
