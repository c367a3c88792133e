//! The reconciler Lambda's binary. The library beside this file does the work.

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use landfall_aws::metrics::Metrics;
use landfall_aws::settings::SettingsError;
use landfall_aws::{config, telemetry};
use landfall_reconciler::{Context, Settings, handle};
use serde::de::IgnoredAny;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    let settings = match Settings::from_env(|name| std::env::var(name).ok()) {
        Ok(settings) => settings,
        Err(errors) => {
            errors.iter().for_each(SettingsError::log);
            return ExitCode::FAILURE;
        }
    };
    let metrics = Metrics::new(std::io::stdout(), &settings.ledger_table);
    let context = Arc::new(Context::new(settings, &config::of_function(), metrics));
    // An event only says that it is time. What it says doesn't matter.
    let run = lambda_runtime::run(service_fn(move |event: LambdaEvent<IgnoredAny>| {
        let context = Arc::clone(&context);
        async move { handle(&context, event.context.deadline()).await }
    }));
    telemetry::exit_code(run.await)
}
