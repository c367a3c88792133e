//! The repairer Lambda's binary. The library beside this file does the work.

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use landfall_aws::{config, telemetry};
use landfall_repairer::{Context, Settings, handle};
use serde::de::IgnoredAny;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    telemetry::init();
    let settings = match Settings::from_env(|name| std::env::var(name).ok()) {
        Ok(settings) => settings,
        Err(error) => {
            tracing::error!(code = error.code(), %error, "the function cannot work");
            return ExitCode::FAILURE;
        }
    };
    let context = Arc::new(Context::new(settings, &config::of_function()));
    // An event only says that it is time. What it says doesn't matter.
    let run = lambda_runtime::run(service_fn(move |_: LambdaEvent<IgnoredAny>| {
        let context = Arc::clone(&context);
        async move { handle(&context).await }
    }));
    telemetry::exit_code(run.await)
}
