//! The slots of the routes' jobs. The end of a run hands its slot on; a tick looks whether a slot is
//! free though batches wait for it, because whoever handed it on has died.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use futures_util::future::join;
use futures_util::{StreamExt, TryStreamExt, stream};
use landfall_aws::advance::Clients;
use landfall_aws::clock::has_time;
use landfall_aws::config::CALL_TIMEOUT;
use landfall_aws::ledger::{Class, LedgerError};
use landfall_core::batch::slot_of;
use landfall_core::moment::Time;
use landfall_core::routes::Routes;

use crate::CONCURRENT;

/// The jobs of the routes that have `max_concurrent_runs`, and whether runs of them may begin.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    /// By the job's key, as far as it was looked at: `true` if batches wait and a run may begin.
    jobs: BTreeMap<String, Option<bool>>,
    /// Since when the batch waits whose turn is next, of any of the jobs.
    pub waiting_since: Option<Time>,
}

/// A look at the slot of a job that batches wait for.
struct Look {
    has_room: bool,
    waiting_since: Option<Time>,
}

/// Returns the keys of these jobs, each with its limit.
pub(crate) fn limited(routes: &Routes) -> BTreeMap<String, u32> {
    let jobs = routes.routes.iter().filter_map(|route| {
        let most = route.limits.max_concurrent_runs?;
        let start = route.start(routes.targets.get(&route.target), BTreeMap::new());
        Some((start.job_key(), most))
    });
    jobs.collect()
}

impl Slots {
    /// Asks for each job whether batches wait for it, and only then reads its slot.
    ///
    /// # Errors
    /// Fails if the ledger does not answer.
    pub(crate) async fn look(
        clients: &Clients,
        limited: &BTreeMap<String, u32>,
        deadline: SystemTime,
    ) -> Result<Self, LedgerError> {
        let looks = stream::iter(limited).map(async |(job, most)| {
            let look = Self::look_at(clients, job, *most, deadline).await?;
            Ok::<_, LedgerError>((job.clone(), look))
        });
        let looks: Vec<(String, Option<Look>)> =
            looks.buffer_unordered(CONCURRENT).try_collect().await?;
        Ok(Self {
            waiting_since: looks.iter().filter_map(|(_, look)| look.as_ref()?.waiting_since).min(),
            jobs: looks.into_iter().map(|(job, look)| (job, look.map(|it| it.has_room))).collect(),
        })
    }

    /// Returns `None` if no batch waits for the job, or there is no time to look.
    async fn look_at(
        clients: &Clients,
        job: &str,
        most: u32,
        deadline: SystemTime,
    ) -> Result<Option<Look>, LedgerError> {
        if !has_time(deadline, CALL_TIMEOUT) {
            return Ok(None);
        }
        let waiting = clients.ledger.awaiting(&slot_of(job), 1).await?;
        let Some(first) = waiting.first() else { return Ok(None) };
        let (slot, first) = join(clients.ledger.slot(job), clients.ledger.batch(first)).await;
        let first = match first {
            Err(error) if error.is_of_item() => None,
            first => first?,
        };
        let has_room = u32::try_from(slot?.live.len()).is_ok_and(|live| live < most);
        let waiting_since = first.and_then(|first| first.waiting_since());
        Ok(Some(Look { has_room, waiting_since }))
    }

    /// Returns the classes of the batches that wait for a run to end, because their job is full.
    pub(crate) fn full(&self) -> BTreeSet<Class> {
        let full = self.jobs.iter().filter(|(_, has_room)| **has_room == Some(false));
        full.map(|(job, _)| Class::Slot(job.clone())).collect()
    }

    /// Returns the jobs for which batches wait though a run of them may begin.
    pub(crate) fn free(&self) -> impl Iterator<Item = &str> {
        let free = self.jobs.iter().filter(|(_, has_room)| **has_room == Some(true));
        free.map(|(job, _)| job.as_str())
    }

    /// Returns `true` if each tick looks at the slot that batches of this class wait for.
    pub(crate) fn are_watched(&self, class: &Class) -> bool {
        matches!(class, Class::Slot(job) if self.jobs.contains_key(job))
    }
}
