//! What a command has to say, and the one place where it is printed.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::consent::Stopped;
use super::printable;

/// The whole of what a command prints, and how it exits.
#[derive(Debug, Default)]
pub struct Output {
    pub stdout: String,
    pub stderr: String,
    pub status: Status,
}

/// What a command prints. An `Err` ended it early; it is printed all the same.
pub type Printed = Result<Output, Output>;

/// Exit statuses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Status {
    #[default]
    Success = 0,
    /// `explain`: nothing would be started.
    Nothing = 3,
    /// What was asked about is not in order.
    Problems = 1,
    /// The question could not be understood, or a file not be read.
    Unusable = 2,
}

impl Output {
    /// Only something for standard output.
    pub fn success(stdout: String) -> Self {
        Self { stdout, ..Self::default() }
    }

    /// Only a word on standard error that all went well.
    pub fn done(stderr: &str) -> Self {
        Self { stderr: stderr.to_owned(), ..Self::default() }
    }

    /// Adds an error with its whole chain; the exit status gets no better by it.
    pub fn error(&mut self, error: &anyhow::Error) {
        let chain = printable(&format!("{error:#}"));
        self.stderr.push_str(&format!("error: {chain}\n"));
        self.worsen(Status::Unusable);
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

    /// Prints it. A reader that has left, as `head` does, is not an error.
    pub fn print(self) -> ExitCode {
        let mut status = self.status;
        let mut stdout = io::stdout().lock();
        let printed = stdout.write_all(self.stdout.as_bytes()).and_then(|()| stdout.flush());
        let mut stderr = io::stderr().lock();
        if let Err(error) = printed
            && error.kind() != ErrorKind::BrokenPipe
        {
            // Nowhere is left to report a failure of this to; the status tells.
            let _ = writeln!(stderr, "error: failed to write to standard output: {error}");
            status = Status::Unusable;
        }
        let _ = stderr.write_all(self.stderr.as_bytes());
        ExitCode::from(status as u8)
    }
}

impl From<anyhow::Error> for Output {
    fn from(error: anyhow::Error) -> Self {
        let mut output = Self::default();
        match error.downcast_ref() {
            Some(Stopped::Declined) => {
                output.stderr = "Cancelled. Nothing else was changed.\n".to_owned();
                output.status = Status::Problems;
            }
            Some(Stopped::Failed(why)) => {
                output.stderr = format!("error: {why}\n");
                output.status = Status::Problems;
            }
            None => output.error(&error),
        }
        output
    }
}

/// `document` as JSON, with a line end. JSON leaves some control characters as they are, which a
/// terminal would act on. Outside of strings there is none but the line end.
pub fn json(document: &impl Serialize) -> String {
    // Strings, numbers, lists and maps by strings always serialise.
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
