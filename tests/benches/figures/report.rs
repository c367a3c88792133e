//! Prints and keeps tables, and collects what is out of bounds.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

/// The measurements so far.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<Value>,
    checks: usize,
    failures: Vec<String>,
}

impl Report {
    /// Prints a table. The cells of a row are in the order of `columns`.
    pub fn table(&mut self, title: &str, columns: &[&str], rows: &[Vec<Value>]) {
        println!("\n{title}\n");
        let shown: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(show).collect()).collect();
        let widths: Vec<usize> = (0..columns.len())
            .map(|at| {
                let cells = shown.iter().map(|row| row[at].chars().count());
                cells.chain([columns[at].chars().count()]).max().unwrap_or(0)
            })
            .collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:>width$}"));
            println!("| {} |", padded.collect::<Vec<_>>().join(" | "));
        };
        line(&mut columns.iter().copied());
        let rules: Vec<String> =
            widths.iter().map(|width| format!("{}:", "-".repeat(width - 1))).collect();
        line(&mut rules.iter().map(String::as_str));
        for row in &shown {
            line(&mut row.iter().map(String::as_str));
        }
        for row in rows {
            let cells = columns.iter().map(|name| (*name).to_owned()).zip(row.iter().cloned());
            let mut cells: Map<String, Value> = cells.collect();
            cells.insert("table".to_owned(), title.into());
            self.lines.push(cells.into());
        }
    }

    /// Records `what` if `holds` is `false`.
    pub fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        self.checks += 1;
        if !holds {
            self.failures.push(what());
        }
    }

    /// Writes the rows of all tables, one line each.
    pub fn write(&self, file: &Path) -> Result<()> {
        let lines: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        file.parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(file, lines))
            .with_context(|| format!("failed to write `{}`", file.display()))
    }

    /// Prints what is out of bounds, and returns the exit code.
    pub fn verdict(&self) -> ExitCode {
        for failure in &self.failures {
            println!("NOT SO: {failure}");
        }
        println!("{} checks, {} failed", self.checks, self.failures.len());
        match self.failures.is_empty() && self.checks > 0 {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }
}

fn show(cell: &Value) -> String {
    match cell {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Number(number) if number.is_f64() => {
            format!("{:.2}", number.as_f64().unwrap_or_default())
        }
        other => other.to_string(),
    }
}
