//! The output of a command, and the only place that prints it.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::consent::Stopped;
use super::printable;

/// Everything that a command prints, and its exit status.
#[derive(Debug, Default)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    pub status: Status,
}

/// The output of a command. An `Err` ended the command early, and is printed all the same.
pub type Printed = Result<Output, Output>;

/// The exit statuses of all commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    #[default]
    Success = 0,
    /// There is nothing to show: no match, no such batch or object.
    Nothing = 3,
    /// The command did its work and found problems, or could not make a change.
    Problems = 1,
    /// The command could not do its work: wrong usage, or something could not be read.
    Unusable = 2,
}

impl Output {
    /// Makes an output that goes to standard output only.
    pub fn success(stdout: String) -> Self {
        Self { stdout, ..Self::default() }
    }

    /// Makes an output that only says on standard error that all went well.
    pub fn done(stderr: &str) -> Self {
        Self { stderr: stderr.to_owned(), ..Self::default() }
    }

    /// Makes an output that is only an error.
    pub fn failure(message: &str, status: Status) -> Self {
        let mut output = Self::default();
        output.fail(message, status);
        output
    }

    /// Adds a line of warning, which changes no exit status.
    pub fn warn(&mut self, warning: Option<String>) {
        self.stderr.extend(warning.map(|warning| warning + "\n"));
    }

    /// Adds an error with its whole chain. Afterwards the exit status is [`Status::Unusable`].
    pub fn error(&mut self, error: &anyhow::Error) {
        self.fail(&format!("{error:#}"), Status::Unusable);
    }

    /// Adds an error message. The exit status only gets worse.
    pub fn fail(&mut self, message: &str, status: Status) {
        self.stderr.push_str(&format!("error: {}\n", printable(message)));
        self.worsen(status);
    }

    /// Keeps the worse of two exit statuses.
    pub fn worsen(&mut self, status: Status) {
        let rank = |status| match status {
            Status::Success => 0,
            Status::Nothing => 1,
            Status::Problems => 2,
            Status::Unusable => 3,
        };
        if rank(status) > rank(self.status) {
            self.status = status;
        }
    }

    /// Prints the output. A reader that has left, as `head` does, is not an error.
    pub fn print(self) -> ExitCode {
        let mut status = self.status;
        let mut stdout = io::stdout().lock();
        let printed = stdout.write_all(self.stdout.as_bytes()).and_then(|()| stdout.flush());
        let mut stderr = io::stderr().lock();
        if let Err(error) = printed
            && error.kind() != ErrorKind::BrokenPipe
        {
            // If this write fails too, only the exit status can report it.
            let _ = writeln!(stderr, "error: failed to write to standard output: {error}");
            status = Status::Unusable;
        }
        let _ = stderr.write_all(self.stderr.as_bytes());
        ExitCode::from(status as u8)
    }
}

impl From<anyhow::Error> for Output {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast_ref() {
            Some(Stopped::Declined) => Self {
                stderr: "Cancelled. No further changes were made.\n".to_owned(),
                status: Status::Problems,
                ..Self::default()
            },
            Some(Stopped::Failed(why)) => Self::failure(why, Status::Problems),
            None => Self::failure(&format!("{error:#}"), Status::Unusable),
        }
    }
}

/// Returns `document` as JSON with a line end. It escapes the control characters that JSON leaves as they
/// are and that a terminal would act on. Outside of strings, the only control character is the line end.
pub fn json(document: &impl Serialize) -> String {
    // Strings, numbers, lists and maps with string keys always serialise.
    let json = serde_json::to_string_pretty(document).unwrap_or_default();
    let escaped = json.chars().fold(String::with_capacity(json.len()), |mut escaped, c| {
        if c.is_control() && c != '\n' {
            escaped.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            escaped.push(c);
        }
        escaped
    });
    escaped + "\n"
}
