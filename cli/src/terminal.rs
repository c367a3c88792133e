//! Prints to the terminal, and asks its user.
//!
//! Text from outside passes through [`printable`] first. This module decides nothing, reads no file and calls no AWS.

pub mod consent;
pub mod escape;
mod mask;
pub mod output;
pub mod phrases;
pub mod problems;
pub mod progress;
pub mod table;

pub use self::escape::printable;
