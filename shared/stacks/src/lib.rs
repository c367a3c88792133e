//! Reads and changes stacks of CloudFormation, for whoever deploys or repairs.
//!
//! A change is prepared as a change set, read back completely, and then executed or discarded. [`repair`] makes the
//! change set that repairs what drifted, and [`admit`] decides whether a change set does nothing else. This crate
//! prints nothing and asks nobody, and it knows none of Landfall's stacks. Its errors repeat what AWS says: whoever
//! shows them on a terminal must escape them.

#![warn(missing_docs, unreachable_pub)]

pub mod admit;
pub mod change;
pub mod change_set;
pub mod pace;
pub mod repair;
pub mod stack;

use landfall_core::secret::Secret;

/// The new value of a stack's parameter. `Debug` shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A value that anybody may see.
    Text(String),
    /// A value that nobody may see.
    Secret(Secret),
    /// The value that the stack has.
    Previous,
}
