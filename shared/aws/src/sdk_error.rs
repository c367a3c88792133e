//! What an error of the SDK says, for the errors of these crates. It knows the client of no service.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use landfall_core::batch::cut;

/// AWS's code and message; if there was no answer, `unknown` and what went wrong before. Each is cut: a
/// message that repeats a request can be as long as that request.
pub fn sdk_error_parts<E, R>(error: &SdkError<E, R>) -> (String, String)
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
