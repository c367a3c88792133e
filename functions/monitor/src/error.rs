//! Why an invocation, or a message, fails.

use lambda_runtime::Diagnostic;
use landfall_aws::ledger::LedgerError;
use landfall_core::run_events::RunEventError;

/// Reaches Lambda with [`Error::code`] as its `errorType`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Event(#[from] RunEventError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Error {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Event(error) => error.code(),
            Self::Ledger(error) => error.code(),
        }
    }

    /// Whether it is an item of the ledger that nobody here can make anything of.
    pub fn is_of_item(&self) -> bool {
        matches!(self, Self::Ledger(error) if error.is_of_item())
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
