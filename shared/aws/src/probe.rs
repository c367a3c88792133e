//! Makes the calls that come before the start of a job run, for each job that routes start, and starts nothing.

use std::collections::BTreeMap;
use std::time::SystemTime;

use futures_util::StreamExt;
use futures_util::stream;
use landfall_core::batch::Start;
use landfall_core::probe::{Answer, Outcome, Probe};
use landfall_core::routes::Routes;

use crate::advance::{Clients, START_MAY_TAKE};
use crate::clock::has_time;
use crate::sdk_error::chain;
use crate::targets::Targets;

/// How many jobs are looked at at once. Glue throttles early, and starts need it too.
const AT_ONCE: usize = 4;

/// Assumes the starter role of each target that routes start jobs in, and looks at each job with it. Writes nothing, and begins
/// nothing that `deadline` could cut off.
pub async fn probe(clients: &Clients, routes: &Routes, deadline: SystemTime) -> Answer {
    let starts = routes.routes.iter().filter_map(|route| {
        let (target, job) = (routes.targets.get(&route.target)?, route.job.clone()?);
        Some(((target.name.clone(), job), route.start(Some(target), BTreeMap::new())))
    });
    let starts: BTreeMap<(String, String), Start> = starts.collect();
    let probes = starts.into_values().map(async |start| {
        let outcome = match has_time(deadline, START_MAY_TAKE) {
            true => outcome(&clients.targets, &start).await,
            false => Outcome::OutOfTime,
        };
        let Start { target, account, region, starter_role_arn, job, .. } = start;
        Probe { target, account, region, starter_role: starter_role_arn, job, outcome }
    });
    Answer::new(stream::iter(probes).buffered(AT_ONCE).collect().await)
}

async fn outcome(targets: &Targets, start: &Start) -> Outcome {
    let failed = |code: &str, message| Outcome::Failed { code: code.to_owned(), message };
    let glue = targets.glue(start);
    if let Err(error) = glue.prepare().await {
        return failed(error.code(), chain(&error));
    }
    match glue.max_retries(&start.job).await {
        Ok(Some(_)) => Outcome::Works,
        Ok(None) => Outcome::NoSuchJob,
        Err(error) => failed("job_not_seen", chain(&error)),
    }
}
