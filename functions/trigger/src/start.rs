//! Carries a plan out. Chooses nothing but when to stop.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use futures_util::{StreamExt, stream};
use landfall_aws::assumed_role::{AssumedRole, Assumption};
use landfall_aws::config::ATTEMPT_TIMEOUT;
use landfall_aws::glue::Glue;
use landfall_core::plan::JobRunRequest;

use crate::{Error, Settings};

/// The job run's id, or why there is none.
pub type Outcome = Result<String, Error>;

/// Starts that are under way at a time: enough to hide the network, few enough not to be throttled.
const CONCURRENT_STARTS: usize = 8;

/// What a start may take: assuming the role, with its retries, and the call itself.
const START_MAY_TAKE: Duration = ATTEMPT_TIMEOUT.saturating_mul(2);

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
    stream::iter(requests)
        .map(|request| one(targets, request, deadline))
        .buffered(CONCURRENT_STARTS)
        .collect()
        .await
}

async fn one(targets: &Targets, request: &JobRunRequest, deadline: SystemTime) -> Outcome {
    let JobRunRequest { route, batch_id, job, target, .. } = request;
    let outcome = start(targets, request, deadline).await;
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

async fn start(targets: &Targets, request: &JobRunRequest, deadline: SystemTime) -> Outcome {
    let left = deadline.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO);
    if left < START_MAY_TAKE {
        return Err(Error::OutOfTime { job: request.job.clone() });
    }
    // A valid routes file names targets that exist.
    let glue = &targets.0[&request.target];
    Ok(glue.start_job_run(&request.job, &request.arguments).await?)
}
