//! What an error of the SDK says, for the errors of this crate.

use aws_sdk_iam::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

/// AWS's code and message, or what went wrong before there was an answer.
pub fn told<E, R>(error: &SdkError<E, R>) -> (String, String)
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match error.as_service_error() {
        Some(service) => (
            service.code().unwrap_or("unknown").to_owned(),
            service.message().unwrap_or("no message").to_owned(),
        ),
        None => ("unknown".to_owned(), DisplayErrorContext(error).to_string()),
    }
}
