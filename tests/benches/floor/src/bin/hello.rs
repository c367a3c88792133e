//! The smallest function that Lambda's Rust runtime can serve.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::Value;
use serde_json::value::RawValue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(async |_: LambdaEvent<Box<RawValue>>| {
        Ok::<_, Error>(Value::from("hello"))
    }))
    .await
}
