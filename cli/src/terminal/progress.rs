//! What is shown while something is under way.

use std::io::{self, Write};

/// Progress, on standard error.
pub fn say(line: &str) {
    // A standard error that is closed is no reason to leave a stack half followed.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A result that others come after, on standard output.
pub fn show(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
