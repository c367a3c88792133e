//! Carries a plan out. Chooses nothing but when to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use futures_util::{StreamExt, stream};
use landfall_aws::assumed_role::{AssumeError, AssumedRole, Assumption};
use landfall_aws::config::CALL_TIMEOUT;
use landfall_aws::glue::{Glue, StartError};
use landfall_core::plan::JobRunRequest;

use crate::{Error, Settings};

/// The job run's id, or why there is none.
pub type Outcome = Result<String, Error>;

/// Starts that are under way at a time: enough to hide the network, few enough not to be throttled.
const CONCURRENT_STARTS: usize = 8;

/// What a start may take: assuming the role, and the call itself.
const START_MAY_TAKE: Duration = CALL_TIMEOUT.saturating_mul(2);

/// A client for each target.
#[derive(Debug)]
pub struct Targets(BTreeMap<String, Glue>);

impl Targets {
    /// Makes no call.
    pub fn new(settings: &Settings, config: &SdkConfig) -> Self {
        let sts = aws_sdk_sts::Client::new(config);
        let targets = settings.routes.targets.values().map(|target| {
            let role = AssumedRole::new(
                sts.clone(),
                Assumption {
                    role_arn: target.starter_role_arn.clone(),
                    external_id: settings.external_ids.get(&target.name).cloned(),
                    session_name: settings.session_name.clone(),
                    source_identity: settings.source_identity.clone(),
                },
            );
            (target.name.clone(), Glue::new(config, &target.account, &target.region, role))
        });
        Self(targets.collect())
    }
}

/// Starts each request once; outcomes are in the order of the requests. What could not be finished
/// before `deadline` is not begun: a start that is cut off would be repeated.
pub async fn all(
    targets: &Targets,
    requests: &[JobRunRequest],
    deadline: SystemTime,
) -> Vec<Outcome> {
    // Once for all requests: a role that cannot be assumed is not asked for again by each.
    let mut closed: BTreeMap<&str, AssumeError> = BTreeMap::new();
    let names: BTreeSet<&str> = requests.iter().map(|request| request.target.as_str()).collect();
    for name in names {
        if has_time(deadline)
            && let Err(error) = targets.0[name].prepare().await
        {
            closed.insert(name, error);
        }
    }
    stream::iter(requests)
        .map(|request| one(targets, &closed, request, deadline))
        .buffered(CONCURRENT_STARTS)
        .collect()
        .await
}

fn has_time(deadline: SystemTime) -> bool {
    deadline.duration_since(SystemTime::now()).is_ok_and(|left| left >= START_MAY_TAKE)
}

async fn one(
    targets: &Targets,
    closed: &BTreeMap<&str, AssumeError>,
    request: &JobRunRequest,
    deadline: SystemTime,
) -> Outcome {
    let JobRunRequest { route, batch_id, job, target, .. } = request;
    // A valid routes file names targets that exist.
    let outcome = match closed.get(target.as_str()) {
        Some(error) => Err(StartError::from(error.clone()).into()),
        None if !has_time(deadline) => Err(Error::OutOfTime { job: job.clone() }),
        None => targets.0[target].start_job_run(job, &request.arguments).await.map_err(Error::from),
    };
    match &outcome {
        Ok(job_run_id) => tracing::info!(
            route,
            batch_id,
            job,
            target,
            job_run_id,
            objects = request.objects,
            bytes = request.bytes,
            "job run started"
        ),
        Err(error) => {
            let (code, is_retryable) = (error.code(), error.is_retryable());
            tracing::error!(code, is_retryable, route, batch_id, job, target, %error, "job run not started");
        }
    }
    outcome
}
