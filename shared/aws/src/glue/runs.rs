//! Looking at job runs: those of a batch, the state of one, and whether Glue would repeat them itself.
//!
//! Reads are harmless to repeat, so the SDK repeats them.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sdk_glue::config::Builder;
use aws_sdk_glue::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_glue::operation::get_job_runs::GetJobRunsOutput;
use aws_sdk_glue::types::JobRun;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use landfall_core::batch::{FoundRun, Lookup, RunState};
use landfall_core::moment::Time;

use super::Glue;
use crate::clock::has_time;
use crate::config::CALL_TIMEOUT;

/// The most runs that Glue lists at a time.
const PAGE: i32 = 200;

/// The most pages that one search reads. Then it is unclear what is behind them.
const MOST_PAGES: usize = 50;

/// What Glue bills at least, in seconds.
const LEAST_BILLED: i32 = 60;

/// What Glue calls what it does not know.
const NO_SUCH: &str = "EntityNotFoundException";

/// Why runs or jobs could not be looked at.
#[derive(Debug, Clone, thiserror::Error)]
#[error("failed to {doing} job `{job}` in account `{account}`: {code}: {message}")]
pub struct LookError {
    doing: &'static str,
    job: String,
    account: String,
    code: String,
    message: String,
}

/// A run as Glue shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSeen {
    pub state: RunState,
    /// What Glue bills for, in seconds of one DPU, once the run has ended: Glue's own figure where it
    /// has one (of Flex and of auto scaling), else the time of execution, a minute at least, by the capacity.
    pub dpu_seconds: Option<f64>,
}

impl RunSeen {
    fn of(run: &JobRun) -> Option<Self> {
        let state = RunState::parse(run.job_run_state()?.as_str());
        let has_ended = state == RunState::Succeeded || state.is_failure();
        let billed = |capacity: f64| f64::from(run.execution_time().max(LEAST_BILLED)) * capacity;
        let dpu_seconds = run.dpu_seconds().or_else(|| run.max_capacity().map(billed));
        Some(Self { state, dpu_seconds: dpu_seconds.filter(|_| has_ended) })
    }
}

impl Glue {
    /// All runs of `job` that were started since then for this batch, whatever their state.
    ///
    /// Glue cannot search: runs are paged through, of which it lists the newest first. A search is only
    /// complete if each run of that time tells its arguments; an error, and more pages than are read
    /// until `deadline`, leave it unclear.
    pub async fn find_runs(
        &self,
        job: &str,
        batch_id: &str,
        since: Time,
        deadline: SystemTime,
    ) -> Lookup {
        let mut found = Vec::new();
        let mut silent: Option<String> = None;
        let mut token = None;
        for _ in 0..MOST_PAGES {
            if !has_time(deadline, CALL_TIMEOUT) {
                break;
            }
            let page = match self.page(job, token.take()).await {
                Ok(page) => page,
                Err(error) => return Lookup::Unclear(error.to_string()),
            };
            let recent: Vec<&JobRun> =
                page.job_runs().iter().filter(|run| !is_before(run, since)).collect();
            for run in &recent {
                match told(run) {
                    Some((batch, epoch)) if batch == batch_id => found
                        .push(FoundRun { epoch, run_id: run.id().unwrap_or_default().to_owned() }),
                    Some(_) => {}
                    None => silent = run.id().map(str::to_owned),
                }
            }
            // What follows a page of older runs is older still.
            let is_behind = recent.is_empty() && !page.job_runs().is_empty();
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() || is_behind {
                return match silent {
                    Some(run) if found.is_empty() => Lookup::Unclear(format!(
                        "run `{run}` of job `{job}` does not tell what it was started for"
                    )),
                    _ => Lookup::Complete(found),
                };
            }
        }
        match found.is_empty() {
            true => Lookup::Unclear(format!("job `{job}` has more runs than are looked through")),
            false => Lookup::Complete(found),
        }
    }

    async fn page(&self, job: &str, token: Option<String>) -> Result<GetJobRunsOutput, LookError> {
        let asked = Asked { doing: "list the runs of", job, glue: self };
        let (credentials, own) = asked.session().await?;
        let request = self.reader.get_job_runs().job_name(job).max_results(PAGE);
        let answer = request.set_next_token(token).customize().config_override(own).send().await;
        asked.answered(answer, &credentials).await
    }

    /// A run as it stands; `None` if Glue does not know it.
    ///
    /// # Errors
    /// It cannot be asked for.
    pub async fn run(&self, job: &str, run_id: &str) -> Result<Option<RunSeen>, LookError> {
        let asked = Asked { doing: "look at a run of", job, glue: self };
        let (credentials, own) = asked.session().await?;
        let request = self.reader.get_job_run().job_name(job).run_id(run_id);
        let answer = request.customize().config_override(own).send().await;
        match asked.answered(answer, &credentials).await {
            Ok(answer) => Ok(answer.job_run.as_ref().and_then(RunSeen::of)),
            Err(error) if error.code == NO_SUCH => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How often Glue itself repeats a run that fails; more than 0 would race Landfall's own retries.
    /// `None` if there is no such job.
    ///
    /// # Errors
    /// It cannot be asked for.
    pub async fn max_retries(&self, job: &str) -> Result<Option<i32>, LookError> {
        let asked = Asked { doing: "look at", job, glue: self };
        let (credentials, own) = asked.session().await?;
        let answer =
            self.reader.get_job().job_name(job).customize().config_override(own).send().await;
        match asked.answered(answer, &credentials).await {
            Ok(answer) => Ok(Some(answer.job.map_or(0, |job| job.max_retries))),
            Err(error) if error.code == NO_SUCH => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A call about a job.
struct Asked<'a> {
    doing: &'static str,
    job: &'a str,
    glue: &'a Glue,
}

impl Asked<'_> {
    /// The session that it is made with.
    async fn session(&self) -> Result<(Credentials, Builder), LookError> {
        let credentials = self.glue.role.credentials().await;
        let credentials =
            credentials.map_err(|error| self.failed(error.code(), &error.to_string()))?;
        let own = Builder::new().credentials_provider(credentials.clone());
        Ok((credentials, own))
    }

    async fn answered<T, E>(
        &self,
        answer: Result<T, SdkError<E, HttpResponse>>,
        credentials: &Credentials,
    ) -> Result<T, LookError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let error = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let (code, message) = crate::told::told(&error);
        if super::is_session(&code) {
            self.glue.role.forget(credentials).await;
        }
        Err(self.failed(&code, &message))
    }

    fn failed(&self, code: &str, message: &str) -> LookError {
        LookError {
            doing: self.doing,
            job: self.job.to_owned(),
            account: self.glue.account.clone(),
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }
}

/// One that does not tell when it was started may be of any time.
fn is_before(run: &JobRun, since: Time) -> bool {
    run.started_on()
        .and_then(|started| started.to_millis().ok())
        .is_some_and(|started| u64::try_from(started).unwrap_or(0) < since.0)
}

/// The batch and the epoch that a run was started for; an empty batch for a run of somebody else's.
fn told(run: &JobRun) -> Option<(&str, u32)> {
    let arguments = run.arguments()?;
    match arguments.get("--landfall-batch-id") {
        Some(batch) => Some((batch, arguments.get("--landfall-epoch")?.parse().ok()?)),
        None => Some(("", 0)),
    }
}

#[cfg(test)]
mod tests;
