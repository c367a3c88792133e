//! The event that says that a batch has closed, for orchestrators that go on from there. `infra/schemas/batch-closed.json`
//! describes it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Batch, HistoryEvent, Prepared, State};
use crate::moment::Time;

/// The detail type of the event.
pub const BATCH_CLOSED: &str = "Landfall Batch Closed";

/// The version of the detail's shape. Fields may be added to a version; whatever breaks a reader makes a new one.
const DETAIL_VERSION: u32 = 1;

/// The most bytes of a detail. `EventBridge` takes 256 KB for an event, of which its targets get an envelope too.
const MAX_BYTES: usize = 200_000;

#[derive(Serialize)]
struct Detail<'a> {
    version: u32,
    batch_id: &'a str,
    epoch: u32,
    route: &'a str,
    bucket: &'a str,
    /// `None` if its names and values have no room in an event.
    group: Option<&'a BTreeMap<String, String>>,
    manifest_uri: &'a str,
    objects: u64,
    /// `None` if an event did not say the size of an object.
    bytes: Option<u64>,
    opened_at: String,
    closed_at: String,
}

impl Batch {
    /// Returns `true` if an event says that it has closed, and nobody knows that one was put.
    pub fn is_to_be_announced(&self) -> bool {
        (self.start.announce || !self.start.has_job()) && self.announced_at.is_none()
    }

    /// Returns the batch after the event was put. Without a job, that is its end.
    pub(super) fn announced(self, now: Time) -> Self {
        let state = match self.start.has_job() {
            true => State::Sealed { due: now, waits_for_slot: false },
            false => State::Announced,
        };
        let batch = Self { announced_at: Some(now), deferrals: 0, ..self };
        batch.into_state(state, now, HistoryEvent::Announced, "")
    }

    /// Returns the detail of the event, as JSON. It is the same however often the event is put.
    pub(super) fn closed_detail(&self, prepared: &Prepared) -> String {
        let detail = |group| Detail {
            version: DETAIL_VERSION,
            batch_id: &self.id,
            epoch: self.epoch + 1,
            route: &self.route,
            bucket: &self.bucket,
            group,
            manifest_uri: &prepared.manifest,
            objects: prepared.objects,
            bytes: prepared.bytes,
            opened_at: self.opened_at.to_string(),
            closed_at: self.closed_at.unwrap_or(self.opened_at).to_string(),
        };
        // Strings, numbers and structs of them always serialise.
        let json = |group| serde_json::to_string(&detail(group)).unwrap_or_default();
        let whole = json(Some(&self.group));
        if whole.len() <= MAX_BYTES { whole } else { json(None) }
    }
}
