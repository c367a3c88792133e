//! Extracts code and message from SDK errors, for the errors of Landfall's crates. This module
//! depends on no service client.

use std::error::Error;
use std::fmt;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
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
            None => (None, DisplayErrorContext(error).to_string()),
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

/// Formats an error and all its causes in one line, for the place where the error leaves the
/// program: our `Display` texts do not repeat their source.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
