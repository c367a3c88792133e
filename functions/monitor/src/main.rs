//! The monitor Lambda: see the library beside this file.

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use landfall_aws::config;
use landfall_aws::metrics::Metrics;
use landfall_aws::settings::{Settings, SettingsError};
use landfall_aws::telemetry;
use landfall_aws::traces::within;
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
    let config = config::of_function();
    let metrics = Metrics::new(std::io::stdout(), &settings.ledger_table);
    let context = Arc::new(Context::new(&settings, &config, metrics));
    let run = lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| {
        let (context, traces) = (Arc::clone(&context), Arc::clone(&traces));
        async move {
            let lambda = &event.context;
            let (id, trace) = (&lambda.request_id, lambda.xray_trace_id.as_deref());
            let traces = (*traces).as_ref();
            let span = traces.map(|traces| traces.invocation(id, trace, lambda.deadline()));
            within(span, handle(&context, event)).await
        }
    }));
    telemetry::exit_code(run.await)
}
