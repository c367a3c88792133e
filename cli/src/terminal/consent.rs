//! Asks for confirmation before a change.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, bail, ensure};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
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

/// Asks on standard error, unless `yes` answers in advance. Only `y` and `yes` confirm. Ctrl-C is an answer too, so that
/// the command can take back what it has prepared.
///
/// # Errors
/// Returns [`Stopped::Declined`] for any other answer.
pub fn confirm(yes: bool, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush().context("failed to ask")?;
    let _restored = CtrlC::as_text();
    let mut stdin = io::stdin().lock();
    // A terminal gives one line at a time, also one that Ctrl-C has ended.
    let answer = stdin.fill_buf().context("failed to read the answer")?.to_ascii_lowercase();
    stdin.consume(answer.len());
    match answer.trim_ascii() {
        b"y" | b"yes" => Ok(()),
        _ => bail!(Stopped::Declined),
    }
}

/// What Ctrl-C types.
const CTRL_C: u8 = 3;

/// While this lives, Ctrl-C ends a line of the terminal, and not the process.
struct CtrlC {
    before: Option<Termios>,
}

impl CtrlC {
    fn as_text() -> Self {
        let before = tcgetattr(io::stdin()).ok();
        if let Some(mut modes) = before.clone() {
            modes.local_modes -= LocalModes::ISIG;
            modes.special_codes[SpecialCodeIndex::VEOL] = CTRL_C;
            Self::set(&modes);
        }
        Self { before }
    }

    /// A terminal that refuses its modes keeps those that it has, and the command works all the same.
    fn set(modes: &Termios) {
        tcsetattr(io::stdin(), OptionalActions::Now, modes).ok();
    }
}

impl Drop for CtrlC {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            Self::set(before);
        }
    }
}
