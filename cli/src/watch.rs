//! Repeats a look until what it shows is settled: `--watch`.
//!
//! A terminal shows the newest look only. Anything else gets the lines that changed, one look after the other. If
//! somebody presses Ctrl-C, the signal ends the process, because it holds nothing that must be given back.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use crate::terminal::output::Output;

/// Clears a terminal and what it has scrolled, and puts the cursor in its first column.
const CLEAR: &str = "\u{1b}[2J\u{1b}[3J\u{1b}[H";

/// The units in which [`phrases`](crate::terminal::phrases) say a length of time.
const UNITS: [&str; 4] = ["second", "minute", "hour", "day"];

/// The result of one look.
pub struct Look {
    pub output: Output,
    /// Whether there is nothing left to wait for.
    pub is_settled: bool,
}

/// Looks once; with `every`, again after each such time, until nothing is left to wait for.
///
/// # Errors
/// Fails as soon as a look fails.
pub async fn repeat(
    every: Option<u32>,
    mut look: impl AsyncFnMut() -> anyhow::Result<Look>,
) -> anyhow::Result<Output> {
    let Some(every) = every else { return Ok(look().await?.output) };
    let mut screen = Screen { is_terminal: io::stdout().is_terminal(), ..Screen::default() };
    loop {
        let Look { output, is_settled } = look().await?;
        let Output { stdout, stderr, status } = screen.next(output);
        if is_settled {
            return Ok(Output { stdout, stderr, status });
        }
        let note = match screen.is_terminal {
            true => format!("\nlooking again every {every} s: Ctrl-C ends\n"),
            false => String::new(),
        };
        // A reader that has left, as `head` does, waits for nothing.
        if write(io::stdout(), &(stdout + &note)).is_err() {
            return Ok(Output { status, ..Output::default() });
        }
        // If standard error is closed, the output still tells.
        let _ = write(io::stderr(), &stderr);
        tokio::time::sleep(Duration::from_secs(every.into())).await;
    }
}

fn write(mut stream: impl Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes()).and_then(|()| stream.flush())
}

/// What was shown so far.
#[derive(Default)]
struct Screen {
    is_terminal: bool,
    /// The lines of the look before, on both streams.
    before: Option<[BTreeSet<String>; 2]>,
}

impl Screen {
    /// Returns what to print of the next look.
    fn next(&mut self, output: Output) -> Output {
        let Output { stdout, stderr, status } = output;
        if self.is_terminal {
            return Output { stdout: format!("{CLEAR}{stdout}"), stderr, status };
        }
        let now = [&stdout, &stderr].map(|text| text.lines().map(timeless).collect());
        let before = self.before.replace(now);
        match before {
            None => Output { stdout, stderr, status },
            Some([out, err]) => {
                Output { stdout: changed(&stdout, &out), stderr: changed(&stderr, &err), status }
            }
        }
    }
}

/// Returns the lines that `before` lacks.
fn changed(text: &str, before: &BTreeSet<String>) -> String {
    let is_new = |line: &&str| !line.is_empty() && !before.contains(&timeless(line));
    text.lines().filter(is_new).flat_map(|line| [line, "\n"]).collect()
}

/// Returns a line without its lengths of time, which change although nothing happens.
fn timeless(line: &str) -> String {
    let mut kept = Vec::new();
    let mut words = line.split(' ').peekable();
    while let Some(word) = words.next() {
        let digits = word.trim_start_matches('(');
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let is_unit = |next: &&str| UNITS.iter().any(|unit| next.starts_with(unit));
        if is_number && words.peek().is_some_and(is_unit) {
            words.next();
        } else if word != "(in" && !word.starts_with("ago") && !word.starts_with("(now)") {
            kept.push(word);
        }
    }
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::output::Status;

    fn output(stdout: &str, stderr: &str) -> Output {
        Output { stdout: stdout.to_owned(), stderr: stderr.to_owned(), status: Status::Success }
    }

    #[test]
    fn a_terminal_shows_the_newest_look_only() {
        let mut screen = Screen { is_terminal: true, before: None };
        for text in ["one\n", "two\n", "two\n"] {
            assert_eq!(screen.next(output(text, "")).stdout, format!("{CLEAR}{text}"));
        }
    }

    #[test]
    fn what_is_no_terminal_gets_the_lines_that_changed() {
        let mut screen = Screen::default();
        let mut next = |stdout: &str, stderr: &str| {
            let Output { stdout, stderr, .. } = screen.next(output(stdout, stderr));
            (stdout, stderr)
        };
        let told = |stdout: &str, stderr: &str| (stdout.to_owned(), stderr.to_owned());
        let first = "batch 1\n\nIt waits since noon (59 seconds ago).\n";
        assert_eq!(next(first, "note\n"), told(first, "note\n"));
        assert_eq!(
            next("batch 1\n\nIt waits since noon (2 minutes ago).\n", "note\n"),
            told("", "")
        );
        let third = "batch 1\n\nIt is started since noon (now).\n";
        assert_eq!(next(third, "other\n"), told("It is started since noon (now).\n", "other\n"));
    }

    #[test]
    fn only_the_time_that_passes_is_no_change() {
        for (line, later) in [
            ("since 12:00 (now).", "since 12:00 (3 seconds ago)."),
            ("at 12:00 (in 59 seconds), 3 objects", "at 12:00 (now), 3 objects"),
            ("taken up 4 minutes ago: is it?", "taken up 5 hours ago: is it?"),
        ] {
            assert_eq!(timeless(line), timeless(later), "{line}");
        }
        for (line, other) in [("3 objects", "4 objects"), ("(epoch 1)", "(epoch 2)"), ("a", "b")] {
            assert_ne!(timeless(line), timeless(other), "{line}");
        }
    }
}
