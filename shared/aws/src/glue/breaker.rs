//! Whether Glue answers: of many calls that would each wait until their time is up, few are made.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_glue::error::SdkError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::clock::{has_passed, system_time};

/// A call that had no answer after so long is not made for each batch anew.
const SLOW: Duration = Duration::from_secs(1);

/// For how long no call is made then.
const OPEN_FOR: Duration = Duration::from_secs(10);

/// Of one client. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Breaker(Arc<Mutex<Option<(Quiet, SystemTime)>>>);

/// No call was made, so nothing came of it.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "Glue in account `{account}` did not answer a moment ago, and is not asked again yet: {message}"
)]
pub struct Quiet {
    account: String,
    message: String,
}

impl Quiet {
    /// A stable identifier for logs and metrics.
    pub const CODE: &str = "glue_not_answering";
}

impl Breaker {
    /// # Errors
    /// Glue is not to be called now.
    pub fn check(&self) -> Result<(), Quiet> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((quiet, since)) if !has_passed(*since, OPEN_FOR) => Err(quiet.clone()),
            _ => Ok(()),
        }
    }

    /// Notes that a call failed which began then. What Glue refuses says nothing of other calls, however long it
    /// took.
    pub fn failed<E>(
        &self,
        account: &str,
        error: &SdkError<E, HttpResponse>,
        (code, message): (&str, &str),
        began: SystemTime,
    ) {
        let is_refused = error.raw_response().is_some_and(|raw| raw.status().as_u16() < 500);
        let is_unanswered = !is_refused && has_passed(began, SLOW);
        if is_unanswered || super::is_throttled(code) {
            let (account, message) = (account.to_owned(), message.to_owned());
            let open = Some((Quiet { account, message }, system_time()));
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = open;
        }
    }
}
