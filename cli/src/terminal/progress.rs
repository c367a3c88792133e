//! Prints while a command is at work.

use std::io::{self, Write};

/// Prints a line of progress on standard error.
pub fn say(line: &str) {
    // If standard error is closed, the command still has to finish with the stack.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints a part of the result on standard output, before the command is done.
pub fn show(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
