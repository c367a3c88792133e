//! The trigger Lambda's binary. The library beside this file does the work.

use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{LambdaEvent, service_fn};
use landfall_aws::startup::Startup;
use landfall_aws::telemetry;
use landfall_aws::traces::within;
use landfall_trigger::{Context, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(Startup { traces, settings, config, metrics }) = Startup::from_env() else {
        return ExitCode::FAILURE;
    };
    let shared = Arc::new((Context::new(settings, &config, metrics), traces));
    let run = lambda_runtime::run(service_fn(move |event: LambdaEvent<_>| {
        let shared = Arc::clone(&shared);
        async move {
            let ((context, traces), lambda) = (&*shared, &event.context);
            let (id, trace) = (&lambda.request_id, lambda.xray_trace_id.as_deref());
            let span = traces.as_ref().map(|it| it.invocation(id, trace, lambda.deadline()));
            within(span, handle(context, event)).await
        }
    }));
    telemetry::exit_code(run.await)
}
