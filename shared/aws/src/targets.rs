//! Where jobs run: a Glue client for each target that batches name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_config::SdkConfig;
use landfall_core::batch::Start;
use landfall_core::secret::Secret;

use crate::assumed_role::{AssumeError, AssumedRole, Assumption};
use crate::glue::{Glue, LookError};
use crate::settings::Settings;

/// The ways into the analytics accounts. A batch carries its target with it, so one that the routes
/// name no more, or that has moved since, is still reached.
#[derive(Debug)]
pub struct Targets {
    config: SdkConfig,
    sts: aws_sdk_sts::Client,
    /// By the target's name, and by its starter role.
    external_ids: BTreeMap<String, Secret>,
    session_name: String,
    source_identity: Option<String>,
    known: Mutex<Known>,
    /// Held while a job is looked at, so that many batches of it make one call.
    looking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// By target and role.
    roles: BTreeMap<(String, String), AssumedRole>,
    /// By target, role and region.
    clients: BTreeMap<(String, String, String), Glue>,
    /// Jobs that leave retries to Landfall, by their keys.
    ready: BTreeSet<String>,
}

/// Why no run of a job can be started now.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotReady {
    #[error(transparent)]
    Assume(#[from] AssumeError),
    #[error(transparent)]
    Look(#[from] LookError),
    #[error(
        "job `{job}` in account `{account}` repeats a run that fails by itself: set its MaxRetries \
         to 0, not {retries}"
    )]
    Retries { job: String, account: String, retries: i32 },
}

impl NotReady {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Assume(error) => error.code(),
            Self::Look(_) => "job_not_seen",
            Self::Retries { .. } => "job_repeats_by_itself",
        }
    }
}

impl Targets {
    /// Makes no call.
    pub fn new(settings: &Settings, config: &SdkConfig) -> Self {
        let mut external_ids = settings.external_ids.clone();
        for target in settings.routes.targets.values() {
            if let Some(secret) = settings.external_ids.get(&target.name) {
                external_ids.insert(target.starter_role_arn.clone(), secret.clone());
            }
        }
        Self {
            config: config.clone(),
            sts: aws_sdk_sts::Client::new(config),
            external_ids,
            session_name: settings.session_name.clone(),
            source_identity: settings.source_identity.clone(),
            known: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
        }
    }

    /// The client for what a batch starts. Makes no call.
    pub fn glue(&self, start: &Start) -> Glue {
        let Start { target, account, region, starter_role_arn, .. } = start;
        let Known { roles, clients, .. } = &mut *self.known();
        let mut role = || {
            let known = (target.clone(), starter_role_arn.clone());
            let role = roles.entry(known).or_insert_with(|| {
                let id = self.external_ids.get(target);
                let assumption = Assumption {
                    role_arn: starter_role_arn.clone(),
                    external_id: id.or_else(|| self.external_ids.get(starter_role_arn)).cloned(),
                    session_name: self.session_name.clone(),
                    source_identity: self.source_identity.clone(),
                };
                AssumedRole::new(self.sts.clone(), assumption)
            });
            role.clone()
        };
        let client = (target.clone(), starter_role_arn.clone(), region.clone());
        let client = clients
            .entry(client)
            .or_insert_with(|| Glue::new(&self.config, account, region, role()));
        client.clone()
    }

    /// Whether a run may be started: the role can be assumed, and Glue does not repeat runs of the
    /// job. The second is asked once a process, while the answer is yes.
    ///
    /// # Errors
    /// Why not. A job that does not exist is none: that is the start's to tell.
    pub async fn ready(&self, start: &Start) -> Result<(), NotReady> {
        let glue = self.glue(start);
        glue.prepare().await?;
        let key = start.job_key();
        if self.known().ready.contains(&key) {
            return Ok(());
        }
        let _looking = self.looking.lock().await;
        if self.known().ready.contains(&key) {
            return Ok(());
        }
        match glue.max_retries(&start.job).await? {
            None => Ok(()),
            Some(0) => {
                self.known().ready.insert(key);
                Ok(())
            }
            Some(retries) => Err(NotReady::Retries {
                job: start.job.clone(),
                account: start.account.clone(),
                retries,
            }),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
