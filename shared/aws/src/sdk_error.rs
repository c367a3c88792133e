//! What an error of the SDK says, for the errors of Landfall's crates. This module knows the client of no service.

use std::error::Error;
use std::fmt;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use landfall_core::batch::cut;

/// AWS's code and message, or what went wrong before there was an answer. Each is cut: a message that
/// repeats a request can be as long as that request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    code: Option<String>,
    message: String,
}

impl AwsError {
    /// Takes from the SDK's error what is worth keeping.
    pub fn new<E, R>(error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: fmt::Debug,
    {
        match error.code() {
            Some(code) => Self {
                code: Some(cut(code)),
                message: cut(error.message().unwrap_or("no message")),
            },
            None => Self { code: None, message: cut(&DisplayErrorContext(error).to_string()) },
        }
    }

    /// An answer that AWS gave without an error, and that cannot be used for the reason in `message`.
    pub fn unusable(message: impl Into<String>) -> Self {
        Self { code: None, message: message.into() }
    }

    /// AWS's code, or `unknown`.
    pub fn code(&self) -> &str {
        self.code.as_deref().unwrap_or("unknown")
    }

    /// AWS's message, or what went wrong.
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

/// AWS's code, or `unknown`, and the message: see [`AwsError`].
pub fn sdk_error_parts<E, R>(error: &SdkError<E, R>) -> (String, String)
where
    E: ProvideErrorMetadata + Error + 'static,
    R: fmt::Debug,
{
    let error = AwsError::new(error);
    (error.code().to_owned(), error.message)
}

/// An error and all its causes in one line, for the place where the error leaves the program: a `Display` of
/// ours does not repeat its source.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
