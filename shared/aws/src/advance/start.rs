//! Makes the call that starts a run, and interprets the answer.

use landfall_core::batch::{Batch, Seen, StartOutcome, Why};

use super::Work;
use crate::glue::{Refusal, StartError};
use crate::sdk_error::chain;

impl Work<'_> {
    /// Sends `StartJobRun` once. The ledger already says that the batch is starting.
    pub(super) async fn start(&mut self) -> Seen {
        let Batch { start, prepared, epoch, .. } = &self.batch;
        let mut arguments =
            prepared.as_ref().map(|prepared| prepared.arguments.clone()).unwrap_or_default();
        arguments.insert("--landfall-epoch".to_owned(), epoch.to_string());
        let policy = match self.batch.session_policy() {
            Ok(policy) => policy,
            // Preparing the batch found this already. A run never starts with a wider scope.
            Err(error) => {
                let (why, message) = (Why::ScopeNotKept, error.to_string());
                return Seen::Start(StartOutcome::Never { why, message });
            }
        };
        let glue = self.clients.targets.glue(start);
        let outcome = match glue.start_job_run(&start.job, &arguments, policy.as_deref()).await {
            Ok(run_id) => StartOutcome::Started(run_id),
            Err(error) => {
                self.code = Some(error.code().to_owned());
                outcome(&error)
            }
        };
        Seen::Start(outcome)
    }
}

/// Returns what an attempt that gave no run ID means.
fn outcome(error: &StartError) -> StartOutcome {
    let message = chain(error);
    let not_now = |waits_for_slot: bool| StartOutcome::NotNow {
        code: error.code().to_owned(),
        message: message.clone(),
        waits_for_slot,
    };
    match error {
        StartError::Unknown { .. } => StartOutcome::Unknown(message),
        StartError::Assume(_) | StartError::Quiet(_) => not_now(false),
        StartError::Refused { refusal, .. } => match refusal {
            Refusal::NoSuchJob => StartOutcome::Never { why: Why::NoSuchJob, message },
            Refusal::InvalidInput => StartOutcome::Never { why: Why::InvalidInput, message },
            Refusal::ConcurrentRuns => not_now(true),
            Refusal::ResourceLimit
            | Refusal::Throttled
            | Refusal::AccessDenied
            | Refusal::Session
            | Refusal::Other => not_now(false),
        },
    }
}
