//! The provisioner Lambda's binary. The library beside this file does the work.

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use landfall_aws::{config, telemetry};
use landfall_provisioner::{Context, Settings, handle};

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
    let config = config::of_function();
    let context = Arc::new(Context::new(settings, config, config::connector()));
    let run = lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| {
        let context = Arc::clone(&context);
        // The box limits how deep the compiler must follow nested futures; a fresh build fails
        // without it.
        Box::pin(async move { handle(&context, event).await })
    }));
    telemetry::exit_code(run.await)
}
