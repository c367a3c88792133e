//! Logs as JSON lines and metrics as CloudWatch EMF, both on standard output, where Lambda takes
//! them from.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use metrique_writer::Entry;
use metrique_writer::format::Format;
use metrique_writer::unit::AsCount;
use metrique_writer_format_emf::Emf;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The namespace of all metrics.
pub const NAMESPACE: &str = "Landfall";

/// Sends `tracing` events to standard output. The level is Lambda's own setting,
/// `AWS_LAMBDA_LOG_LEVEL`; information and worse by default.
pub fn init() {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL")
        .ok()
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::INFO);
    subscriber(level, std::io::stdout).init();
}

/// Writes events of `level` and worse, one JSON object a line. Other crates than ours never say more
/// than information: below that, the SDK prints its requests, and with them the external ID.
pub fn subscriber<W>(level: LevelFilter, output: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_target(false)
        .with_ansi(false)
        .with_writer(output);
    let levels = Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        // It repeats the handlers' errors in Rust's words; panics are on standard error anyway.
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF)
        .with_target("landfall", level);
    tracing_subscriber::registry().with(lines.with_filter(levels))
}

/// Where metrics go, one line of EMF each. They are told apart from logs by their `_aws` field.
pub struct Metrics {
    output: Mutex<Box<dyn Write + Send>>,
}

impl Metrics {
    /// To standard output in a function; to a buffer in a test.
    pub fn new(output: impl Write + Send + 'static) -> Self {
        Self { output: Mutex::new(Box::new(output)) }
    }

    /// Writes `entry` with the dimensions `dimensions`, which name string fields of the entry. A
    /// failure is logged: metrics never fail an invocation.
    pub fn emit(&self, entry: &impl Entry, dimensions: &[&str]) {
        let dimensions = dimensions.iter().map(|name| (*name).to_owned()).collect();
        let mut line = Vec::new();
        let written = Emf::all_validations(NAMESPACE.to_owned(), vec![dimensions])
            .format(entry, &mut line)
            .map_err(|error| error.to_string())
            .and_then(|()| {
                let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
                // One write, so that no other line gets in between.
                output.write_all(&line).map_err(|error| error.to_string())
            });
        if let Err(error) = written {
            tracing::error!(code = "metrics_failed", error, "failed to write metrics");
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[derive(Entry)]
#[entry(rename_all = "PascalCase")]
struct OfCode<'e> {
    #[entry(timestamp)]
    timestamp: SystemTime,
    code: &'e str,
    failures: AsCount<u64>,
}

/// Writes how often each code occurs.
pub fn report_failures<'e>(metrics: &Metrics, codes: impl IntoIterator<Item = &'e str>) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for code in codes {
        *counts.entry(code).or_default() += 1;
    }
    for (code, failures) in counts {
        let of_code = OfCode { timestamp: SystemTime::now(), code, failures: failures.into() };
        metrics.emit(&of_code, &["Code"]);
    }
}
