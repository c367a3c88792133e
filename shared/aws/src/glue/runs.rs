//! Reads the state of a job run, and whether Glue itself would retry a job's runs.
//!
//! Reads are harmless to repeat, so the SDK retries them.

use aws_sdk_glue::config::Builder;
use aws_sdk_glue::error::SdkError;
use aws_sdk_glue::types::JobRun;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use landfall_core::batch::{ObservedRun, RepeatSeen, RunState};

use super::{Glue, Quiet};
use crate::assumed_role::AssumeError;
use crate::clock::system_time;
use crate::sdk_error::{AwsError, ServiceError};

/// The shortest time that Glue bills, in seconds.
const MIN_BILLED_SECS: i32 = 60;

/// Glue's code for a job or a run that does not exist.
const NO_SUCH: &str = "EntityNotFoundException";

/// Why Landfall could not read a run or a job.
#[derive(Debug, Clone, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum LookError {
    #[error(transparent)]
    Assume(#[from] AssumeError),
    #[error(transparent)]
    Quiet(#[from] Quiet),
    #[error("failed to {doing} job `{job}` in account `{account}`")]
    Call { doing: &'static str, job: String, account: String, source: AwsError },
}

impl LookError {
    /// Returns `true` if Glue answered that there is no such job or run.
    fn is_no_such(&self) -> bool {
        matches!(self, Self::Call { source, .. } if source.code() == NO_SUCH)
    }
}

/// A run as Glue shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSeen {
    /// What Glue reports of it.
    pub observed: ObservedRun,
    /// What Glue bills, in DPU-seconds, once the run has ended. If Glue reports a figure (for Flex
    /// and auto scaling), this is it; otherwise it is the execution time, at least a minute, times
    /// the capacity.
    pub dpu_seconds: Option<f64>,
}

impl RunSeen {
    pub(super) fn of(run: &JobRun) -> Option<Self> {
        let state = RunState::parse(run.job_run_state()?.as_str());
        let has_ended = state == RunState::Succeeded || state.is_failure();
        let billed =
            |capacity: f64| f64::from(run.execution_time().max(MIN_BILLED_SECS)) * capacity;
        let dpu_seconds = run.dpu_seconds().or_else(|| run.max_capacity().map(billed));
        let observed = ObservedRun::new(state, run.error_message());
        Some(Self { observed, dpu_seconds: dpu_seconds.filter(|_| has_ended) })
    }
}

impl Glue {
    /// Reads a run; returns `None` if Glue does not know it.
    ///
    /// # Errors
    /// Fails if the role cannot be assumed, or Glue refuses or does not answer.
    pub async fn run(&self, job: &str, run_id: &str) -> Result<Option<RunSeen>, LookError> {
        let request = self.reader.get_job_run().job_name(job).run_id(run_id);
        let call = async |own| request.customize().config_override(own).send().await;
        match self.look("look at a run of", job, call).await {
            Ok(answer) => Ok(answer.job_run.as_ref().and_then(RunSeen::of)),
            Err(error) if error.is_no_such() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Looks for the attempt with this ID, by which Glue itself repeats a run that failed. If it is
    /// not there, the job says whether it is to be expected.
    ///
    /// # Errors
    /// Fails in the same cases as [`Glue::run`].
    pub async fn repeat(&self, job: &str, run_id: &str) -> Result<RepeatSeen, LookError> {
        if self.run(job, run_id).await?.is_some() {
            return Ok(RepeatSeen::Begun);
        }
        let max_retries = self.max_retries(job).await?.unwrap_or(0);
        Ok(RepeatSeen::NotSeen { max_retries: u32::try_from(max_retries).unwrap_or(0) })
    }

    /// Returns how often Glue itself repeats a failed run of the job, which would race Landfall's
    /// retries of a job that must claim its batches. Returns `None` if the job does not exist.
    ///
    /// # Errors
    /// Fails in the same cases as [`Glue::run`].
    pub async fn max_retries(&self, job: &str) -> Result<Option<i32>, LookError> {
        let request = self.reader.get_job().job_name(job);
        let call = async |own| request.customize().config_override(own).send().await;
        match self.look("look at", job, call).await {
            Ok(answer) => Ok(Some(answer.job.map_or(0, |job| job.max_retries))),
            Err(error) if error.is_no_such() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a call about a job, unless Glue did not answer a moment ago.
    pub(super) async fn look<T, E: ServiceError>(
        &self,
        doing: &'static str,
        job: &str,
        call: impl AsyncFnOnce(Builder) -> Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<T, LookError> {
        self.breaker.check()?;
        let credentials = self.role.credentials().await?;
        let own = Builder::new().credentials_provider(credentials.clone());
        let began = system_time();
        let error = match call(own).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let source = AwsError::new(&error);
        self.breaker.failed(&self.account, &error, &source, began);
        if super::is_session(source.code()) {
            self.role.forget(&credentials).await;
        }
        Err(LookError::Call { doing, job: job.to_owned(), account: self.account.clone(), source })
    }
}
