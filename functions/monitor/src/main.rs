//! The monitor Lambda: see the library beside this file.

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use landfall_aws::config;
use landfall_aws::metrics::Metrics;
use landfall_aws::settings::{Settings, SettingsError};
use landfall_aws::telemetry;
use landfall_aws::traces::{Invocation, within};
use landfall_monitor::{Context, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let traces = Arc::new(telemetry::init_with_traces());
    let settings = match Settings::from_env(|name| std::env::var(name).ok()) {
        Ok(settings) => settings,
        Err(errors) => {
            errors.iter().for_each(SettingsError::log);
            return ExitCode::FAILURE;
        }
    };
    let config = config::loader().load().await;
    let metrics = Metrics::new(std::io::stdout(), &settings.ledger_table);
    let context = Arc::new(Context::new(&settings, &config, metrics));
    let run = lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| {
        let (context, traces) = (Arc::clone(&context), Arc::clone(&traces));
        let deadline = event.context.deadline();
        let (request_id, trace) =
            (event.context.request_id.clone(), event.context.xray_trace_id.clone());
        async move {
            let invocation = || Invocation { request_id, trace, deadline };
            within(traces.as_ref().as_ref(), invocation, handle(&context, event)).await
        }
    }));
    match run.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(code = "runtime_failed", error, "the Lambda runtime ended");
            ExitCode::FAILURE
        }
    }
}
