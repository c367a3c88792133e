//! Searching the runs of a job. Glue cannot search: its list is walked through, of which the newest runs
//! come first, and one walk serves all batches of the job that look for theirs at about the same time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_glue::operation::get_job_runs::GetJobRunsOutput;
use aws_sdk_glue::types::JobRun;
use landfall_core::batch::{FoundRun, Lookup};
use landfall_core::moment::Time;

use super::Glue;
use super::runs::LookError;
use crate::clock::{has_time, now};
use crate::config::CALL_TIMEOUT;

/// The most runs that Glue lists at a time.
const PAGE: i32 = 200;

/// The most pages of one walk. Then it is unclear what is behind them.
pub(super) const MAX_PAGES: usize = 50;

/// For how long a walk is gone on with. Glue does not say how long its tokens are good for.
const GONE_ON_WITH: Duration = Duration::from_secs(60);

/// What a search gave, and when its walk began: a run that appeared after that has not been missed by it.
#[derive(Debug, Clone, PartialEq)]
pub struct Searched {
    /// When the walk began.
    pub began: Time,
    /// What it gave.
    pub lookup: Lookup,
}

/// The walks of a client, by job. Each is held while it goes on: who wants the same waits for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Walks(Arc<Mutex<BTreeMap<String, SharedWalk>>>);

type SharedWalk = Arc<tokio::sync::Mutex<Walk>>;

#[derive(Debug, Default)]
struct Walk {
    began: Time,
    pages: Vec<Vec<Listed>>,
    /// Of the page that follows those.
    token: Option<String>,
}

/// What matters of a run.
#[derive(Debug)]
struct Listed {
    run_id: String,
    /// One that does not tell when it was started may be of any time.
    started_at: Option<u64>,
    /// The batch and the epoch that it was started for; an empty batch for a run of somebody else's.
    /// `None` if it does not say.
    told: Option<(String, u32)>,
}

impl Walks {
    fn of(&self, job: &str) -> SharedWalk {
        let mut walks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(walks.entry(job.to_owned()).or_default())
    }
}

impl Walk {
    fn serves(&self, not_before: Time) -> bool {
        self.began >= not_before && now().since(self.began) < GONE_ON_WITH
    }

    fn is_at_its_end(&self) -> bool {
        !self.pages.is_empty() && self.token.is_none()
    }
}

impl Glue {
    /// All runs of `job` that were started since then for this batch, whatever their state. A walk that
    /// began at `not_before` or later serves.
    ///
    /// A search is only complete if each run of that time tells its arguments; more pages than are read
    /// leave it unclear. Without an answer, or the time for one until `deadline`, it says nothing.
    pub async fn find_runs(
        &self,
        job: &str,
        batch_id: &str,
        (since, not_before): (Time, Time),
        deadline: SystemTime,
    ) -> Searched {
        let walk = self.walks.of(job);
        let mut walk = walk.lock().await;
        if !walk.serves(not_before) {
            *walk = Walk { began: now(), ..Walk::default() };
        }
        let began = walk.began;
        let lookup = self.search(&mut walk, job, batch_id, since, deadline).await;
        Searched { began, lookup }
    }

    async fn search(
        &self,
        walk: &mut Walk,
        job: &str,
        batch_id: &str,
        since: Time,
        deadline: SystemTime,
    ) -> Lookup {
        let mut found = Vec::new();
        let mut silent: Option<&str> = None;
        let mut number = 0;
        // What has not been read yet is read first, so that all pages can be borrowed afterwards.
        let end = loop {
            if walk.pages.get(number).is_some_and(|page| is_behind(page, since)) {
                // What follows a page of older runs is older still.
                break End::All;
            }
            if number < walk.pages.len() {
                number += 1;
                continue;
            }
            if walk.is_at_its_end() {
                break End::All;
            }
            if number == MAX_PAGES {
                break End::TooMany;
            }
            if !has_time(deadline, CALL_TIMEOUT) {
                break End::OutOfTime;
            }
            match self.page(job, walk.token.clone()).await {
                Ok(page) => {
                    walk.pages.push(page.job_runs().iter().map(Listed::of).collect());
                    walk.token = page.next_token.filter(|token| !token.is_empty());
                }
                Err(error) => {
                    *walk = Walk::default();
                    return Lookup::Unanswered(error.to_string());
                }
            }
        };
        let recent = walk.pages[..number].iter().flatten().filter(|run| !run.is_before(since));
        for run in recent {
            match &run.told {
                Some((batch, epoch)) if batch == batch_id => {
                    found.push(FoundRun { epoch: *epoch, run_id: run.run_id.clone() });
                }
                Some(_) => {}
                None => silent = Some(&run.run_id),
            }
        }
        match (end, silent) {
            _ if !found.is_empty() => Lookup::Complete(found),
            (End::OutOfTime, _) => Lookup::Unanswered(format!(
                "no time is left to look through all runs of job `{job}`"
            )),
            (End::TooMany, _) => {
                Lookup::Unclear(format!("job `{job}` has more runs than are looked through"))
            }
            (End::All, Some(run)) => Lookup::Unclear(format!(
                "run `{run}` of job `{job}` does not tell what it was started for"
            )),
            (End::All, None) => Lookup::Complete(found),
        }
    }

    async fn page(&self, job: &str, token: Option<String>) -> Result<GetJobRunsOutput, LookError> {
        let request = self.reader.get_job_runs().job_name(job).max_results(PAGE);
        let request = request.set_next_token(token);
        self.look("list the runs of", job, async |own| {
            request.customize().config_override(own).send().await
        })
        .await
    }
}

/// Why a search reads no further.
enum End {
    All,
    TooMany,
    OutOfTime,
}

/// Whether a page has older runs only.
fn is_behind(page: &[Listed], since: Time) -> bool {
    !page.is_empty() && page.iter().all(|run| run.is_before(since))
}

impl Listed {
    fn of(run: &JobRun) -> Self {
        let started_at = run.started_on().and_then(|started| started.to_millis().ok());
        Self {
            run_id: run.id().unwrap_or_default().to_owned(),
            started_at: started_at.map(|started| u64::try_from(started).unwrap_or(0)),
            told: told(run),
        }
    }

    fn is_before(&self, since: Time) -> bool {
        self.started_at.is_some_and(|started| started < since.0)
    }
}

fn told(run: &JobRun) -> Option<(String, u32)> {
    let arguments = run.arguments()?;
    match arguments.get("--landfall-batch-id") {
        Some(batch) => Some((batch.clone(), arguments.get("--landfall-epoch")?.parse().ok()?)),
        None => Some((String::new(), 0)),
    }
}
