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

use std::os::fd::AsFd;

pub use self::escape::printable;

/// Returns how many columns the terminal of a stream has; `None` if the stream goes elsewhere.
pub fn width(stream: impl AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}
