//! What an error of the SDK says, for the errors of this crate.

use aws_sdk_iam::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use landfall_core::batch::cut;

/// AWS's code and message, or what went wrong before there was an answer. Each is cut: a message that
/// repeats a request can be as long as that.
pub fn told<E, R>(error: &SdkError<E, R>) -> (String, String)
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match error.as_service_error() {
        Some(service) => (
            cut(service.code().unwrap_or("unknown")),
            cut(service.message().unwrap_or("no message")),
        ),
        None => ("unknown".to_owned(), cut(&DisplayErrorContext(error).to_string())),
    }
}
