//! Starts a batch in the write that records it: two calls one after the other instead of four.

use std::time::SystemTime;

use futures_util::future::join;
use landfall_core::batch::{
    Batch, Draft, JobResources, Manifest, Member, Prepared, Seen, Start, begun,
};
use landfall_core::moment::Moment;

use super::{Advanced, Clients, MANIFEST_NOT_WRITTEN, Work, log};
use crate::clock::has_time;
use crate::config::CALL_TIMEOUT;
use crate::sdk_error::chain;
use crate::targets::NotReady;

/// What the run of a batch gets whose start is recorded together with its arrivals.
#[derive(Debug)]
pub struct AtOnce {
    start: Start,
    prepared: Prepared,
    manifest_key: String,
    manifest: String,
}

/// Why a start that is written is not made.
#[derive(Debug, Clone)]
pub struct NotBegun {
    /// A stable identifier for logs and metrics.
    pub code: &'static str,
    /// The explanation for people.
    pub message: String,
}

impl From<NotReady> for NotBegun {
    fn from(error: NotReady) -> Self {
        let code = error.code();
        Self { code, message: format!("{code}: {}", chain(&error)) }
    }
}

impl AtOnce {
    /// Returns what the batch of `draft` starts with; `None` if something has to be known or done
    /// before it starts, or its run cannot be given its arguments. [`advance`](super::advance)
    /// finds out which.
    pub fn of(clients: &Clients, draft: &Draft, moment: &Moment) -> Option<Self> {
        let first = draft.members.first().filter(|_| draft.starts_at_once(moment.now))?;
        let batch = draft.batch(draft.batch_id(first), moment);
        let manifest = Manifest::of(draft.members.iter().collect());
        let text = manifest.json(&batch.bucket);
        let key = JobResources::manifest_key_by_content(&batch.route, &batch.id, &text);
        let prepared = manifest.prepared(&batch, &clients.job_resources, &key).ok()?;
        Some(Self { start: batch.start, prepared, manifest_key: key, manifest: text })
    }

    /// Returns the closed `batch` as its start leaves it.
    pub fn begun(&self, clients: &Clients, batch: &Batch, moment: &Moment) -> Option<Batch> {
        begun(batch, &self.prepared, moment, &clients.bounds)
    }

    /// Writes the manifest, and at the same time checks that a run of the job can be started.
    /// Whether the ledger takes the batch need not be known yet.
    ///
    /// # Errors
    /// Fails if the run cannot be started now.
    pub async fn get_ready(&self, clients: &Clients) -> Result<(), NotBegun> {
        let put = clients.put_manifest(&self.manifest_key, self.manifest.clone());
        let (put, ready) = join(put, clients.targets.ready(&self.start)).await;
        ready?;
        put.map_err(|message| NotBegun { code: MANIFEST_NOT_WRITTEN, message })
    }
}

/// Takes a batch as far as it goes now whose start the caller has just recorded with it. `ready` is
/// what [`AtOnce::get_ready`] returned.
pub async fn advance_begun(
    clients: &Clients,
    batch: Batch,
    members: Option<&[Member]>,
    ready: Result<(), NotBegun>,
    deadline: SystemTime,
) -> Advanced {
    if let Some(entry) = batch.history.last() {
        log::written(&batch, entry, None);
    }
    let mut work = Work::new(clients, batch, members);
    let has_time = has_time(deadline, CALL_TIMEOUT);
    let in_time = || NotBegun {
        code: "out_of_time",
        message: "less time was left than a start may take".to_owned(),
    };
    let seen = match ready.and_then(|()| has_time.then_some(()).ok_or_else(in_time)) {
        Ok(()) => Seen::Begun,
        Err(NotBegun { code, message }) => {
            work.code = Some(code.to_owned());
            Seen::NotBegun(message)
        }
    };
    work.advanced(seen, deadline).await
}
