//! Why an invocation fails as a whole.

use lambda_runtime::Diagnostic;
use landfall_aws::ledger::LedgerError;
use landfall_core::arrivals::ArrivalError;
use landfall_core::plan::Refusal;

/// Reaches Lambda with [`Error::code`] as its `errorType`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Arrival(#[from] ArrivalError),
    #[error("failed to ask route `{}` for a run: {}", .0.route, .0.reason)]
    Refused(Refusal),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("failed to record arrivals of route `{route}`: less time is left than a call may take")]
    OutOfTime { route: String },
}

impl Error {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Arrival(error) => error.code(),
            Self::Refused(refusal) => refusal.reason.code(),
            Self::Ledger(error) => error.code(),
            Self::OutOfTime { .. } => "out_of_time",
        }
    }

    /// Whether the same may succeed later as it is.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Arrival(_) | Self::Refused(_) => false,
            Self::Ledger(error) => error.is_passing(),
            Self::OutOfTime { .. } => true,
        }
    }

    /// Writes it to the log as the reason why the whole invocation fails.
    pub fn log(&self) {
        tracing::error!(code = self.code(), error = %self, "invocation failed");
    }
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        Self { error_type: error.code().to_owned(), error_message: error.to_string() }
    }
}
