//! CloudFormation: reads templates, shows change sets, and follows stacks while they change.
//!
//! `landfall_stacks` reads and changes stacks. `accounts` and `deploy` know which stacks there are and their parameters.

pub mod change;
mod events;
pub mod follow;
pub mod template;

use landfall_stacks::Value;

use crate::terminal::printable;

/// Returns the new value of a parameter as people may see it. It shows no secret.
pub fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => printable(text),
        Value::Secret(_) => "(not shown)".to_owned(),
        Value::Previous => "(as it is)".to_owned(),
    }
}
