//! The errors that fail an invocation or a message.

use lambda_runtime::Diagnostic;
use landfall_aws::ledger::LedgerError;
use landfall_aws::sdk_error::chain;
use landfall_core::run_events::RunEventError;

/// Why an invocation or a message fails. Lambda gets [`Error::code`] as the `errorType`.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum Error {
    #[error(transparent)]
    Event(#[from] RunEventError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Error {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Event(error) => error.code(),
            Self::Ledger(error) => error.code(),
        }
    }

    /// Returns `true` if the problem is an item of the ledger that this version cannot read.
    pub fn is_of_item(&self) -> bool {
        matches!(self, Self::Ledger(error) if error.is_of_item())
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
