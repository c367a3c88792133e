//! The errors that fail an invocation or a message.

use lambda_runtime::Diagnostic;
use landfall_aws::ledger::LedgerError;
use landfall_aws::sdk_error::chain;
use landfall_core::arrivals::ArrivalError;
use landfall_core::plan::Refusal;

/// Why an invocation or a message fails. Lambda gets [`Error::code`] as the `errorType`.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum Error {
    #[error(transparent)]
    Arrival(#[from] ArrivalError),
    #[error("failed to ask route `{}` for a run: {}", .0.route, .0.reason)]
    Refused(Refusal),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("failed to record arrivals of route `{route}`: less time is left than a call may take")]
    OutOfTime { route: String },
    #[error(
        "failed to record arrivals of route `{route}`: a listing found `{key}` less than an hour after it was written, \
         so its event may not be recorded yet"
    )]
    ListedTooEarly { route: String, key: String },
}

impl Error {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Arrival(error) => error.code(),
            Self::Refused(refusal) => refusal.reason.code(),
            Self::Ledger(error) => error.code(),
            Self::OutOfTime { .. } => "out_of_time",
            Self::ListedTooEarly { .. } => "listed_too_early",
        }
    }

    /// Returns `true` if the same attempt may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Arrival(_) | Self::Refused(_) => false,
            Self::Ledger(error) => error.is_retryable(),
            Self::OutOfTime { .. } | Self::ListedTooEarly { .. } => true,
        }
    }

    /// Logs the error as the reason why the whole invocation fails.
    pub fn log(&self) {
        tracing::error!(code = self.code(), error = chain(self), "invocation failed");
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self { error_type: error.code().to_owned(), error_message: chain(&error) }
    }
}
