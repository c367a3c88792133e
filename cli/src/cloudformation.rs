//! CloudFormation: templates as they are written, and stacks as they stand, change, and go.
//!
//! It knows none of Landfall's stacks: which there are, and what they are given, `accounts` and `deploy` say.

pub mod change;
pub mod events;
pub mod stack;
pub mod template;

use std::fmt;

use landfall_core::secret::Secret;

use crate::terminal::printable;

/// The value that a parameter gets. A `Debug` shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Secret(Secret),
    /// What it was.
    Previous,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&printable(text)),
            Self::Secret(_) => f.write_str("(not shown)"),
            Self::Previous => f.write_str("(as it is)"),
        }
    }
}
