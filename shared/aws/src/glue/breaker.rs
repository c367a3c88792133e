//! A circuit breaker: when Glue does not answer, few of the calls that would each wait for their
//! time-out are made.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_glue::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::clock::{has_passed, system_time};
use crate::sdk_error::AwsError;

/// A call that fails after this long without an answer opens the breaker.
const SLOW: Duration = Duration::from_secs(1);

/// How long the breaker then lets no call through.
const OPEN_FOR: Duration = Duration::from_secs(10);

/// The breaker of one client. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Breaker(Arc<Mutex<Option<(Quiet, SystemTime)>>>);

/// Glue did not answer a moment ago, so no call was made and nothing was started.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "Glue in account `{account}` did not answer a moment ago, and Landfall does not call it again yet"
)]
pub struct Quiet {
    account: String,
    source: AwsError,
}

impl Quiet {
    /// A stable identifier for logs and metrics.
    pub const CODE: &str = "glue_not_answering";
}

impl Breaker {
    /// Lets a call through.
    ///
    /// # Errors
    /// Fails if Glue must not be called now.
    pub(crate) fn check(&self) -> Result<(), Quiet> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((quiet, since)) if !has_passed(*since, OPEN_FOR) => Err(quiet.clone()),
            _ => Ok(()),
        }
    }

    /// Records that a call which began at `began` has failed. A refusal says nothing about other
    /// calls, however long it took.
    pub(crate) fn failed<E>(
        &self,
        account: &str,
        error: &SdkError<E, HttpResponse>,
        source: &AwsError,
        began: SystemTime,
    ) {
        let is_refused = error.raw_response().is_some_and(|raw| raw.status().as_u16() < 500);
        let is_unanswered = !is_refused && has_passed(began, SLOW);
        if is_unanswered || super::is_throttled(source.code()) {
            let quiet = Quiet { account: account.to_owned(), source: source.clone() };
            let open = Some((quiet, system_time()));
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = open;
        }
    }
}
