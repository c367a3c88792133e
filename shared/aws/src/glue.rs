//! Starts Glue job runs, and reads them.

mod breaker;
mod runs;
mod search;

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_glue::Client;
use aws_sdk_glue::config::{IdentityCache, Region};
use aws_sdk_glue::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_glue::operation::start_job_run::StartJobRunError;

use self::breaker::Breaker;
pub use self::breaker::Quiet;
pub use self::runs::LookError;
pub use self::search::Searched;
use self::search::Walks;
use crate::assumed_role::{AssumeError, AssumedRole};
use crate::clock::system_time;
use crate::config::{single_use, timeouts};
use crate::http_client::has_not_connected;
use crate::sdk_error::AwsError;

/// Glue in an analytics account.
#[derive(Debug, Clone)]
pub struct Glue {
    client: Client,
    /// The client for calls that the SDK may retry.
    reader: Client,
    role: AssumedRole,
    account: String,
    breaker: Breaker,
    walks: Walks,
}

/// Why a job run was not started, or why that is not known.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum StartError {
    #[error(transparent)]
    Assume(#[from] AssumeError),
    #[error(transparent)]
    Quiet(#[from] Quiet),
    #[error("failed to start job `{job}` in account `{account}`{note}")]
    Refused {
        job: String,
        account: String,
        refusal: Refusal,
        /// What the call had that others don't have, or an empty text.
        note: &'static str,
        source: AwsError,
    },
    #[error("failed to learn whether job `{job}` in account `{account}` was started")]
    Unknown { job: String, account: String, source: AwsError },
}

/// What Glue's refusal means. In each case, no run was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The job already has as many concurrent runs as it allows.
    ConcurrentRuns,
    /// A quota of the account is used up.
    ResourceLimit,
    /// Glue throttles calls.
    Throttled,
    /// A policy denies the call.
    AccessDenied,
    /// The session is no longer valid: it expired, or its role was deleted.
    Session,
    /// There is no job of this name.
    NoSuchJob,
    /// Glue rejects the arguments.
    InvalidInput,
    /// The request did not leave this process, or Glue named another reason.
    Other,
}

impl StartError {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Assume(error) => error.code(),
            Self::Quiet(_) => Quiet::CODE,
            Self::Unknown { .. } => "start_outcome_unknown",
            Self::Refused { refusal, .. } => match refusal {
                Refusal::ConcurrentRuns => "start_concurrent_runs_exceeded",
                Refusal::ResourceLimit => "start_resource_limit_exceeded",
                Refusal::Throttled => "start_throttled",
                Refusal::AccessDenied => "start_access_denied",
                Refusal::Session => "start_session_refused",
                Refusal::NoSuchJob => "start_no_such_job",
                Refusal::InvalidInput => "start_invalid_input",
                Refusal::Other => "start_failed",
            },
        }
    }
}

impl Glue {
    /// Returns a client for `account` and `region` that calls with `role`. It never retries a
    /// start: `StartJobRun` has no idempotency token, so an SDK retry could start a second run.
    /// Makes no call.
    pub fn new(sdk: &SdkConfig, account: &str, region: &str, role: AssumedRole) -> Self {
        let config = aws_sdk_glue::config::Builder::from(sdk)
            .region(Region::new(region.to_owned()))
            // Each call brings its own credentials: see `start_job_run`.
            .identity_cache(IdentityCache::no_cache());
        let reader = Client::from_conf(config.clone().build());
        let once = config
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts().build())
            .http_client(single_use(sdk));
        let client = Client::from_conf(once.build());
        let (breaker, walks) = (Breaker::default(), Walks::default());
        Self { client, reader, role, account: account.to_owned(), breaker, walks }
    }

    /// Assumes the role, unless valid credentials are at hand.
    ///
    /// # Errors
    /// Fails if the role cannot be assumed: then no start can succeed now.
    pub async fn prepare(&self) -> Result<(), AssumeError> {
        self.role.credentials().await.map(|_| ())
    }

    /// Checks, by the calls of the last few seconds, that Glue answers. Makes no call.
    ///
    /// # Errors
    /// Fails if Glue does not answer: a start would not be sent now.
    pub fn answers(&self) -> Result<(), Quiet> {
        self.breaker.check()
    }

    /// Starts one run of `job` and returns its ID. Not idempotent: each call can start another run.
    /// `session_policy` restricts, for this run, what the job role may do.
    ///
    /// # Errors
    /// See [`StartError`]. Only [`StartError::Unknown`] leaves it open whether a run was started.
    pub async fn start_job_run(
        &self,
        job: &str,
        arguments: &BTreeMap<String, String>,
        session_policy: Option<&str>,
    ) -> Result<String, StartError> {
        // The call itself does not assume the role: a role that cannot be assumed must be
        // distinguishable from a failed call, and assuming it must not use up the call's time.
        let credentials = self.role.credentials().await?;
        // Another batch may have found out since this one was made ready.
        self.answers()?;
        let began = system_time();
        let arguments = arguments.clone().into_iter().collect();
        let own = aws_sdk_glue::config::Builder::new().credentials_provider(credentials.clone());
        let answer = self
            .client
            .start_job_run()
            .job_name(job)
            .set_arguments(Some(arguments))
            .set_execution_role_session_policy(session_policy.map(str::to_owned))
            .customize()
            .config_override(own)
            .send()
            .await;
        let (job, account) = (job.to_owned(), self.account.clone());
        let error = match answer.map(|output| output.job_run_id) {
            Ok(Some(run_id)) => return Ok(run_id),
            Ok(None) => {
                let source = AwsError::unusable("the answer of Glue holds no job run id");
                return Err(StartError::Unknown { job, account, source });
            }
            Err(error) => error,
        };
        let source = AwsError::new(&error);
        self.breaker.failed(&account, &error, &source, began);
        let Some(refusal) = refusal(&error) else {
            return Err(StartError::Unknown { job, account, source });
        };
        if refusal == Refusal::Session {
            self.role.forget(&credentials).await;
        }
        let note = match session_policy {
            Some(_) if refusal == Refusal::InvalidInput => {
                " with a session policy, for `scope: batch`"
            }
            _ => "",
        };
        Err(StartError::Refused { job, account, refusal, note, source })
    }
}

/// Returns what a failed call means; `None` if it may have started a run all the same.
fn refusal(error: &SdkError<StartJobRunError>) -> Option<Refusal> {
    match error {
        SdkError::ConstructionFailure(_) => Some(Refusal::Other),
        // Without a connection, no request was sent. One that broke later may have carried it.
        SdkError::DispatchFailure(failure)
            if failure.as_connector_error().is_some_and(has_not_connected) =>
        {
            Some(Refusal::Other)
        }
        SdkError::ServiceError(service) => match service.err().code() {
            Some("ConcurrentRunsExceededException") => Some(Refusal::ConcurrentRuns),
            Some("ResourceNumberLimitExceededException") => Some(Refusal::ResourceLimit),
            Some(code) if is_throttled(code) => Some(Refusal::Throttled),
            Some("AccessDeniedException" | "AccessDenied") => Some(Refusal::AccessDenied),
            Some(code) if is_session(code) => Some(Refusal::Session),
            Some("EntityNotFoundException") => Some(Refusal::NoSuchJob),
            Some("InvalidInputException" | "ValidationException") => Some(Refusal::InvalidInput),
            Some("OperationTimeoutException" | "InternalServiceException") => None,
            // An unknown error: a 4xx has no effect, a 5xx may have.
            _ => (service.raw().status().as_u16() < 500).then_some(Refusal::Other),
        },
        _ => None,
    }
}

fn is_throttled(code: &str) -> bool {
    matches!(code, "ThrottlingException" | "Throttling" | "RequestLimitExceeded")
}

/// Returns `true` if AWS refuses the session itself: it expired, or its role was deleted.
fn is_session(code: &str) -> bool {
    matches!(
        code,
        "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "ExpiredTokenException"
            | "ExpiredToken"
    )
}

#[cfg(test)]
mod tests;
