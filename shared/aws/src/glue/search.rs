//! Searches the runs of a job. Glue has no search, so a walk goes through its list, in which the
//! newest runs come first. One walk serves all batches of the job that search at about the same
//! time.

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
use crate::sdk_error::chain;

/// The most runs that Glue lists in one page.
const PAGE: i32 = 200;

/// The most pages of one walk. What comes after them stays unclear.
pub(super) const MAX_PAGES: usize = 50;

/// How long a walk may be continued. Glue does not say how long its tokens stay valid.
const MAX_WALK_AGE: Duration = Duration::from_secs(60);

/// The result of a search, and when its walk began: the search can only have missed runs that
/// appeared after that.
#[derive(Debug, Clone, PartialEq)]
pub struct Searched {
    /// When the walk began.
    pub began: Time,
    /// What the search found.
    pub lookup: Lookup,
}

/// The walks of a client, by job. A walk is locked while it goes on: others that need it wait.
#[derive(Debug, Clone, Default)]
pub(super) struct Walks(Arc<Mutex<BTreeMap<String, SharedWalk>>>);

type SharedWalk = Arc<tokio::sync::Mutex<Walk>>;

#[derive(Debug, Default)]
struct Walk {
    began: Time,
    pages: Vec<Vec<Listed>>,
    /// The token of the page that follows `pages`.
    token: Option<String>,
}

/// The parts of a job run that a search needs.
#[derive(Debug)]
struct Listed {
    run_id: String,
    /// In milliseconds since 1970. A run without it may have been started at any time.
    started_at: Option<u64>,
    /// The batch and the epoch that the run was started for; the batch is empty if Landfall did not
    /// start the run. `None` if the run does not say.
    started_for: Option<(String, u32)>,
}

impl Walks {
    fn of(&self, job: &str) -> SharedWalk {
        let mut walks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(walks.entry(job.to_owned()).or_default())
    }
}

impl Walk {
    fn serves(&self, not_before: Time) -> bool {
        self.began >= not_before && now().since(self.began) < MAX_WALK_AGE
    }
}

impl Glue {
    /// Finds all runs of `job` that were started since `since` for this batch, whatever their
    /// state. It can reuse a walk that began at `not_before` or later.
    ///
    /// The search is complete only if each run since then shows its arguments. More than
    /// [`MAX_PAGES`] pages leave it unclear. If Glue does not answer, or cannot before `deadline`,
    /// the search has no result.
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
        // All missing pages are read first, so that `walk` can be borrowed afterwards.
        let end = loop {
            if walk.pages.get(number).is_some_and(|page| is_behind(page, since)) {
                // The runs after a page of older runs are older still.
                break End::All;
            }
            if number < walk.pages.len() {
                number += 1;
                continue;
            }
            if !walk.pages.is_empty() && walk.token.is_none() {
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
                    return Lookup::Unanswered(chain(&error));
                }
            }
        };
        let recent = walk.pages[..number].iter().flatten().filter(|run| !run.is_before(since));
        for run in recent {
            match &run.started_for {
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

/// Why a search stops reading.
enum End {
    All,
    TooMany,
    OutOfTime,
}

/// Returns `true` if the page has only runs from before `since`.
fn is_behind(page: &[Listed], since: Time) -> bool {
    !page.is_empty() && page.iter().all(|run| run.is_before(since))
}

impl Listed {
    fn of(run: &JobRun) -> Self {
        let started_at = run.started_on().and_then(|started| started.to_millis().ok());
        Self {
            run_id: run.id().unwrap_or_default().to_owned(),
            started_at: started_at.map(|started| u64::try_from(started).unwrap_or(0)),
            started_for: started_for(run),
        }
    }

    fn is_before(&self, since: Time) -> bool {
        self.started_at.is_some_and(|started| started < since.0)
    }
}

fn started_for(run: &JobRun) -> Option<(String, u32)> {
    let arguments = run.arguments()?;
    match arguments.get("--landfall-batch-id") {
        Some(batch) => Some((batch.clone(), arguments.get("--landfall-epoch")?.parse().ok()?)),
        None => Some((String::new(), 0)),
    }
}
