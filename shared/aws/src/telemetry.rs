//! Logs as JSON lines and metrics as CloudWatch EMF, both on standard output, where Lambda takes
//! them from.

use std::io::Write;

use metrique_writer::Entry;
use metrique_writer::format::Format;
use metrique_writer_format_emf::Emf;
use tracing_subscriber::filter::LevelFilter;

/// The namespace of all metrics.
pub const NAMESPACE: &str = "Landfall";

/// Sends `tracing` events to standard output, one JSON object a line. The level is Lambda's own
/// setting, `AWS_LAMBDA_LOG_LEVEL`; information and worse by default.
pub fn init() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL")
        .ok()
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::INFO);
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_target(false)
        .with_ansi(false)
        .with_max_level(level)
        .init();
}

/// Writes `entry` as one line of EMF with the dimension sets `dimensions`, which name string fields
/// of the entry. Metrics are told apart from logs by their `_aws` field.
pub fn emit(entry: &impl Entry, dimensions: &[&[&str]]) {
    let dimensions: Vec<Vec<String>> =
        dimensions.iter().map(|set| set.iter().map(|name| (*name).to_owned()).collect()).collect();
    let mut line = Vec::new();
    let written = Emf::all_validations(NAMESPACE.to_owned(), dimensions)
        .format(entry, &mut line)
        .map_err(|error| error.to_string())
        // One write, so that no other line gets in between.
        .and_then(|()| std::io::stdout().write_all(&line).map_err(|error| error.to_string()));
    if let Err(error) = written {
        tracing::error!(code = "metrics_failed", error, "failed to write metrics");
    }
}
