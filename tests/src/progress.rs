//! Shows on a terminal, or in a file, what a slow step does while it runs.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Runs `work`, and prints what it does and how long it took.
///
/// On a terminal the seconds count up in the meantime. Elsewhere it writes one line before and one
/// after.
pub fn step<T>(doing: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let terminal = io::stderr().is_terminal();
    if !terminal {
        eprintln!("  {doing} …");
    }
    let (over, until_over) = mpsc::channel::<()>();
    let counted = doing.to_owned();
    let counter = thread::spawn(move || {
        while let Err(RecvTimeoutError::Timeout) =
            until_over.recv_timeout(Duration::from_millis(200))
        {
            if terminal {
                overwrite(&format!("  {counted} … {} s", started.elapsed().as_secs()));
            }
        }
    });
    let result = work();
    drop(over);
    let _ = counter.join();
    let seconds = started.elapsed().as_secs_f64();
    let line = match &result {
        Ok(_) => format!("  ✓ {doing} ({seconds:.1} s)"),
        Err(_) => format!("  ✗ {doing} ({seconds:.1} s)"),
    };
    if terminal {
        overwrite(&line);
        eprintln!();
    } else {
        eprintln!("{line}");
    }
    result
}

fn overwrite(line: &str) {
    eprint!("\r\x1b[K{line}");
    let _ = io::stderr().flush();
}
