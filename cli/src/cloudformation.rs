//! CloudFormation: reads templates, and reads, changes and deletes stacks.
//!
//! It knows none of Landfall's stacks. `accounts` and `deploy` know which stacks there are and their parameters.

pub mod change;
pub mod change_set;
pub mod events;
pub mod stack;
pub mod template;

use std::fmt;

use landfall_core::secret::Secret;

use crate::terminal::printable;

/// The new value of a stack's parameter. `Debug` shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Secret(Secret),
    /// The value that the stack has.
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
