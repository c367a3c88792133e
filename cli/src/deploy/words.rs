//! What is said while something is under way: progress on standard error, what is asked about on
//! standard output.

use std::io::{self, Write};

use crate::input;

/// Progress.
pub fn say(line: &str) {
    // A standard error that is closed is no reason to leave a stack half followed.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A result that others come after.
pub fn show(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Whether changes may be asked about, or need not be.
///
/// # Errors
/// Nobody can be asked.
pub fn can_ask(yes: bool, what: &str) -> anyhow::Result<()> {
    if yes || input::is_asked() {
        return Ok(());
    }
    anyhow::bail!(
        "`{what}` asks before it changes anything, and standard input is no terminal: add --yes"
    )
}

/// Consent, asked for unless it was given before.
pub fn is_agreed(yes: bool, question: &str) -> anyhow::Result<bool> {
    if yes { Ok(true) } else { input::is_confirmed(question) }
}
