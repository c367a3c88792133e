//! Writes logs as JSON lines to standard output, where Lambda reads them.

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

/// Sends `tracing` events to standard output. Lambda's own setting `AWS_LAMBDA_LOG_LEVEL` is the
/// level; the default is `INFO`.
pub fn init() {
    subscriber(level(), std::io::stdout).init();
}

/// Sends events like [`init`], and collects spans if the environment asks for them. If its settings
/// for spans are malformed, logs why and collects none.
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

/// Returns the exit code of a function's process after the Lambda runtime has ended.
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

/// Returns a subscriber that writes events of `level` and worse, one JSON object per line. Other
/// crates never log below `INFO`: there, the SDK prints its requests, and with them the external
/// ID.
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
        // This target repeats the handlers' errors in Rust's terms; panics are on standard error
        // anyway.
        .with_target("lambda_runtime::layers::panic", LevelFilter::OFF)
        .with_target("landfall", level)
        // Each line already has the runtime's span, with the request ID.
        .with_target(traces::TARGET, LevelFilter::OFF);
    tracing_subscriber::registry().with(lines.with_filter(levels))
}
