//! What a terminal shows, and what its user answers.
//!
//! Whatever comes from outside passes through [`printable`] on its way here. This room decides nothing and calls no AWS.

pub mod consent;
pub mod escape;
mod mask;
pub mod output;
pub mod phrases;
pub mod problems;
pub mod progress;
pub mod table;

pub use self::escape::printable;
