//! Logs as JSON lines on standard output, where Lambda takes them from.

use std::error::Error;
use std::process::ExitCode;

use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::traces::{self, Traces};

/// Sends `tracing` events to standard output. The level is Lambda's own setting,
/// `AWS_LAMBDA_LOG_LEVEL`; information and worse by default.
pub fn init() {
    subscriber(level(), std::io::stdout).init();
}

/// The same, and spans to where the environment says; without any if what it says is not understood.
pub fn init_with_traces() -> Option<Traces> {
    let traces = Traces::from_env(|name| std::env::var(name).ok());
    let lines = subscriber(level(), std::io::stdout);
    match traces {
        Ok(None) => {
            lines.init();
            None
        }
        Ok(Some(traces)) => {
            lines.with(traces.layer()).init();
            Some(traces)
        }
        Err(error) => {
            lines.init();
            tracing::error!(code = error.code(), %error, "no spans are sent");
            None
        }
    }
}

/// How a function's process ends, once Lambda's runtime has.
pub fn exit_code(ended: Result<(), Box<dyn Error + Send + Sync>>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(code = "runtime_failed", error, "the Lambda runtime ended");
            ExitCode::FAILURE
        }
    }
}

fn level() -> LevelFilter {
    let level = std::env::var("AWS_LAMBDA_LOG_LEVEL");
    level.ok().and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO)
}

/// Writes events of `level` and worse, one JSON object a line. Other crates than ours never say more
/// than information: below that, the SDK prints its requests, and with them the external ID.
pub fn subscriber<W>(
    level: LevelFilter,
    output: W,
) -> impl Subscriber + for<'s> LookupSpan<'s> + Send + Sync
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
        .with_target("landfall", level)
        // The line tells the runtime's span, with the id of the request.
        .with_target(traces::TARGET, LevelFilter::OFF);
    tracing_subscriber::registry().with(lines.with_filter(levels))
}
