//! Keeps a Glue client for each target that batches name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use landfall_core::batch::{ClaimMode, Start};
use landfall_core::routes::Target;
use landfall_core::secret::Secret;

use crate::assumed_role::{AssumeError, AssumedRole, Assumption};
use crate::clock::{has_passed, system_time};
use crate::glue::{Glue, LookError, Quiet};
use crate::settings::Settings;

/// If reading a job takes this long and fails, other batches do not wait for it again for a while.
const SLOW: Duration = Duration::from_secs(1);
const REMEMBERED_FOR: Duration = Duration::from_secs(10);

/// The clients for the analytics accounts. A batch carries its target with it, so Landfall still
/// reaches a target that the routes no longer name, or that has moved since.
#[derive(Debug)]
pub struct Targets {
    config: SdkConfig,
    sts: aws_sdk_sts::Client,
    /// The targets of the routes file.
    targets: BTreeMap<String, Target>,
    /// The external IDs, by the target's name.
    external_ids: BTreeMap<String, Secret>,
    session_name: String,
    source_identity: Option<String>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The roles, by target and role ARN.
    roles: BTreeMap<(String, String), AssumedRole>,
    /// The clients, by target, role ARN and region.
    clients: BTreeMap<(String, String, String), Glue>,
    /// What is known about a job, by its key. Locked while the job is read, so that many batches
    /// make one call.
    jobs: BTreeMap<String, Arc<tokio::sync::Mutex<Job>>>,
}

#[derive(Debug, Default)]
enum Job {
    #[default]
    Unseen,
    /// The job leaves repeats to Landfall.
    Ready,
    NotReady(NotReady, SystemTime),
}

/// Why no run of the job can be started now.
#[derive(Debug, Clone, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum NotReady {
    #[error(transparent)]
    Assume(#[from] AssumeError),
    #[error(transparent)]
    Quiet(#[from] Quiet),
    #[error(transparent)]
    Look(#[from] LookError),
    #[error(
        "Glue itself retries failed runs of job `{job}` in account `{account}`: set its MaxRetries \
        to 0, not {retries}, or let the route say `claim: optional` if the job does not claim its \
        batches"
    )]
    Retries { job: String, account: String, retries: i32 },
}

impl NotReady {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Assume(error) => error.code(),
            Self::Quiet(_) => Quiet::CODE,
            Self::Look(_) => "job_not_seen",
            Self::Retries { .. } => "job_repeats_by_itself",
        }
    }
}

impl Targets {
    /// Returns the clients' configuration. Makes no call.
    pub fn new(settings: &Settings, config: &SdkConfig) -> Self {
        Self {
            config: config.clone(),
            sts: aws_sdk_sts::Client::new(config),
            targets: settings.routes.targets.clone(),
            external_ids: settings.external_ids.clone(),
            session_name: settings.session_name.clone(),
            source_identity: settings.source_identity.clone(),
            known: Mutex::default(),
        }
    }

    /// Returns the client for what a batch starts. Makes no call.
    pub fn glue(&self, start: &Start) -> Glue {
        let Start { target, account, region, starter_role_arn, .. } = start;
        let Known { roles, clients, .. } = &mut *self.known();
        let role = roles.entry((target.clone(), starter_role_arn.clone())).or_insert_with(|| {
            let assumption = Assumption {
                role_arn: starter_role_arn.clone(),
                external_id: self.external_id(target, starter_role_arn),
                session_name: self.session_name.clone(),
                source_identity: self.source_identity.clone(),
            };
            AssumedRole::new(self.sts.clone(), assumption)
        });
        let client = (target.clone(), starter_role_arn.clone(), region.clone());
        let client = clients
            .entry(client)
            .or_insert_with(|| Glue::new(&self.config, account, region, role.clone()));
        client.clone()
    }

    /// Returns the external ID of the target if that still has this role, otherwise of another
    /// target that has it. An external ID is never sent with another role than its own.
    fn external_id(&self, target: &str, role_arn: &str) -> Option<Secret> {
        let leads_there = |target: &&Target| target.starter_role_arn == role_arn;
        let own = self.targets.get(target).filter(leads_there);
        let target = own.or_else(|| self.targets.values().find(leads_there))?;
        self.external_ids.get(&target.name).cloned()
    }

    /// Checks that a run can be started: the role can be assumed, and, if the job must claim its
    /// batches, Glue does not itself repeat its runs. Of all attempts of a run, only the first to ask
    /// gets the claim. A job that passed the second check is not read again by this process.
    ///
    /// # Errors
    /// Fails if no run can be started now. If the job does not exist, this is no error: the start
    /// itself reports it.
    pub async fn ready(&self, start: &Start) -> Result<(), NotReady> {
        let glue = self.glue(start);
        glue.prepare().await?;
        glue.answers()?;
        if start.claim == ClaimMode::Optional {
            return Ok(());
        }
        let job = Arc::clone(self.known().jobs.entry(start.job_key()).or_default());
        let mut job = job.lock().await;
        match &*job {
            Job::Ready => return Ok(()),
            Job::NotReady(why, at) if !has_passed(*at, REMEMBERED_FOR) => return Err(why.clone()),
            Job::Unseen | Job::NotReady(..) => {}
        }
        let began = system_time();
        let why = match glue.max_retries(&start.job).await {
            Ok(None) => return Ok(()),
            Ok(Some(0)) => {
                *job = Job::Ready;
                return Ok(());
            }
            Ok(Some(retries)) => NotReady::Retries {
                job: start.job.clone(),
                account: start.account.clone(),
                retries,
            },
            Err(error) => NotReady::Look(error),
        };
        if has_passed(began, SLOW) {
            *job = Job::NotReady(why.clone(), system_time());
        }
        Err(why)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
