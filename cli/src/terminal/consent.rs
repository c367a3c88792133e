//! Asks for confirmation before a change.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, bail, ensure};
use thiserror::Error;

/// Why a command stops before its work is done, although it could read everything that it needed.
#[derive(Debug, Error)]
pub enum Stopped {
    #[error("declined")]
    Declined,
    /// AWS failed to make the change, for the reason in the text.
    #[error("{0}")]
    Failed(String),
}

/// Checks that somebody can answer, unless `yes` answers in advance. `what` says which command asks.
///
/// # Errors
/// Fails if standard input is no terminal.
pub fn can_ask(yes: bool, what: &str) -> anyhow::Result<()> {
    ensure!(
        yes || io::stdin().is_terminal(),
        "{what}, but standard input isn't a terminal: add --yes"
    );
    Ok(())
}

/// Asks on standard error, unless `yes` answers in advance. Only `y` and `yes` confirm.
///
/// # Errors
/// Returns [`Stopped::Declined`] for any other answer.
pub fn confirm(yes: bool, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush().context("failed to ask")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("failed to read the answer")?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!(Stopped::Declined),
    }
}
