//! Extracts code and message from SDK errors, for the errors of Landfall's crates. This module
//! depends on no service client.

use std::error::Error;
use std::fmt;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use landfall_core::batch::cut;

/// The error of an operation of any service, as the SDK generates it.
pub trait ServiceError: ProvideErrorMetadata + Error + 'static {}

impl<E: ProvideErrorMetadata + Error + 'static> ServiceError for E {}

/// AWS's code and message, or what went wrong before AWS answered. Both are cut: a message that
/// repeats a request can be as long as that request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    code: Option<String>,
    message: String,
}

impl AwsError {
    /// Takes the code and the message from an SDK error.
    pub fn new<E: ServiceError, R: fmt::Debug>(error: &SdkError<E, R>) -> Self {
        Self::with_message(error, |message| message)
    }

    /// Takes the code from an SDK error, and what `change` makes of the whole message, before it is
    /// cut.
    pub(crate) fn with_message<E: ServiceError, R: fmt::Debug>(
        error: &SdkError<E, R>,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        let (code, message) = match error.code() {
            Some(code) => (Some(cut(code)), error.message().unwrap_or("no message").to_owned()),
            None => (None, unanswered(error)),
        };
        Self { code, message: cut(&change(message)) }
    }

    /// Describes a successful answer that cannot be used, for the reason in `message`.
    pub fn unusable(message: impl Into<String>) -> Self {
        Self { code: None, message: message.into() }
    }

    /// Takes the code and the message of an answer that no SDK has read.
    pub fn of_answer(code: &str, message: &str) -> Self {
        Self { code: Some(cut(code)), message: cut(message) }
    }

    /// Returns AWS's code, or `unknown`.
    pub fn code(&self) -> &str {
        self.code.as_deref().unwrap_or("unknown")
    }

    /// Returns AWS's message, or what went wrong.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(code) = &self.code {
            write!(f, "{code}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl Error for AwsError {}

/// Returns AWS's code, or `unknown`, and the message: see [`AwsError`].
pub fn sdk_error_parts<E: ServiceError, R: fmt::Debug>(error: &SdkError<E, R>) -> (String, String) {
    let error = AwsError::new(error);
    (error.code().to_owned(), error.message)
}

/// Returns a sentence about a call that AWS gave no answer to, or none that can be read. It has no
/// debug output, which could hold parts of the request.
fn unanswered<E: ServiceError, R: fmt::Debug>(error: &SdkError<E, R>) -> String {
    let cause = error.source();
    let all = || cause.map(chain).unwrap_or_else(|| "no reason is known".to_owned());
    // What is between the call and the root only says which layer passes the error on.
    let root = || {
        let causes = std::iter::successors(cause, |&cause| cause.source());
        causes.last().map(ToString::to_string).unwrap_or_default()
    };
    match error {
        SdkError::TimeoutError(_) => format!("AWS did not answer in time: {}", all()),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            format!("AWS did not answer in time: {}", root())
        }
        SdkError::DispatchFailure(failure) if failure.is_io() => {
            format!("failed to reach AWS: {}", root())
        }
        SdkError::ConstructionFailure(_) => format!("failed to make the request: {}", all()),
        SdkError::ResponseError(_) => format!("failed to read AWS's answer: {}", all()),
        _ => all(),
    }
}

/// Formats an error and all its causes in one line, for the place where the error leaves the
/// program: our `Display` texts do not repeat their source.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
