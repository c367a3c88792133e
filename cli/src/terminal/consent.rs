//! Asks before something is changed.

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, ensure};
use thiserror::Error;

/// Why a command ends before its work is done, although it could understand and look at everything.
#[derive(Debug, Error)]
pub enum Stopped {
    #[error("declined")]
    Declined,
    /// AWS could not do it: what there is to say of that.
    #[error("{0}")]
    Failed(String),
}

/// # Errors
/// Nobody can answer, and consent was not given before. `what` names what asks.
pub fn can_ask(yes: bool, what: &str) -> anyhow::Result<()> {
    ensure!(
        yes || io::stdin().is_terminal(),
        "{what}, and standard input is no terminal: add --yes"
    );
    Ok(())
}

/// Asks on standard error, unless consent was given before; only `y` and `yes` are consent.
pub fn is_confirmed(yes: bool, question: &str) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush().context("failed to ask")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context("failed to read the answer")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Asks as [`is_confirmed`] does.
///
/// # Errors
/// [`Stopped::Declined`] if the answer is no.
pub fn confirm(yes: bool, question: &str) -> anyhow::Result<()> {
    if is_confirmed(yes, question)? { Ok(()) } else { Err(Stopped::Declined.into()) }
}
