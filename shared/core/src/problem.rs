//! The form in which all configuration problems are reported: what is wrong with a file, and where.

use std::fmt;
use std::ops::Range;

/// Whether a problem makes the file unusable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but may not do what its author expects.
    Warning,
}

/// A place in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The line, counted from 1.
    pub line: usize,
    /// The column, counted from 1 in characters, not bytes.
    pub column: usize,
    /// The range in bytes. It lies on character boundaries and can be empty.
    pub bytes: Range<usize>,
}

/// One problem, with its place and, if there is a hint, the way to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `Error` if the text can't be used, or `Warning`.
    pub severity: Severity,
    /// Where in the text the problem is.
    pub place: Place,
    /// What is wrong, in lower case and without a full stop.
    pub message: String,
    /// The way to fix it, if there is one to suggest.
    pub hint: Option<String>,
}

impl Problem {
    /// Makes an error without a hint.
    pub fn error(place: &Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            place: place.clone(),
            message: message.into(),
            hint: None,
        }
    }

    /// Makes a warning without a hint.
    pub fn warning(place: &Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    /// Adds the way to fix it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns `true` if the file can't be used because of this problem.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Writes `12:5: error: unknown field … (did you mean …?)`, which goes after a file name and a
/// colon.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let Place { line, column, .. } = self.place;
        write!(f, "{line}:{column}: {severity}: {}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Returns the hint ``did you mean `…`?`` with the closest of the `known` names, or `None` if none
/// is close enough.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min()
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}
