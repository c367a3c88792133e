//! A start that is recorded with its arrivals, and whose manifest is put at the same time.

use std::time::Duration;

use super::checks::{NONE, breaks, holds, quick, without, world};
use super::glue::How;
use super::kept::Kept;
use super::properties::{CRASHED, DONE, DUPLICATE, FOUND, MANIFEST, NOT_STARTED, RETRIED};
use super::worker::{Age, Stage, Worker};
use super::{Budget, Item, State, World};
use crate::batch::{Batch, Bounds, Claim, JobResources, Prepared, Seen, begun};

/// The arrival that opens the batch, and what else the key names.
pub(crate) type Key = (usize, Vec<usize>);

pub(crate) fn prepared(batch: &Batch) -> Prepared {
    let key = JobResources::manifest_key_by_content(&batch.route, &batch.id, "");
    Prepared { manifest: format!("s3://manifests/{key}"), ..super::worker::prepared() }
}

impl World {
    /// All that a message brings, as a batch that has begun.
    pub(crate) fn together(&self, arrivals: &[usize], age: Age) -> Stage {
        let moment = self.moment(age);
        let batch = self.opening(arrivals[0], &moment).with(arrivals.len(), false, true, &moment);
        let bounds =
            Bounds { reconciliation: self.reconciliation(), manifests_kept: Duration::MAX };
        let begun =
            begun(&batch, &prepared(&batch), &moment, &bounds).expect("a job without limits");
        Stage::Together { arrivals: arrivals.to_vec(), put: false, written: self.same(begun) }
    }

    fn key(&self, members: &[usize]) -> Key {
        let named = if self.guards.manifest_of_its_own { members } else { &[] };
        (members[0], named.to_vec())
    }

    fn put(&self, state: &mut State, members: &[usize]) {
        state.manifests.insert(self.key(members), members.to_vec());
    }

    /// Whether a run that begins now does not find what it is to read.
    pub(crate) fn misleads(&self, state: &State, batch: usize) -> bool {
        let Item { batch, members, .. } = &state.batches[batch];
        let is_at_once = batch.prepared.as_ref().is_some_and(|it| !it.manifest.is_empty());
        is_at_once && state.manifests.get(&self.key(members)) != Some(members)
    }

    pub(crate) fn step_together(
        &self,
        state: &mut State,
        worker: &mut Worker,
        arrivals: Vec<usize>,
        put: bool,
        written: Kept<Batch>,
        how: How,
    ) -> Stage {
        if how == How::Put {
            self.put(state, &arrivals);
            return Stage::Together { arrivals, put: true, written };
        }
        if arrivals.iter().any(|arrival| state.claimed[*arrival]) {
            // Without those that are known it is recorded as ever.
            return self.read(state, worker);
        }
        arrivals.iter().for_each(|arrival| state.claimed[*arrival] = true);
        let batch = state.batches.len();
        state.batches.push(Item {
            batch: written.clone(),
            members: arrivals,
            claim: Claim::default(),
            effects: 0,
            overlapped: false,
            announced: 0,
            misled: false,
        });
        worker.own = Some(batch);
        if put {
            self.decide(batch, written, Seen::Begun, &self.moment(worker.age))
        } else {
            Stage::Put { batch, local: written }
        }
    }

    pub(crate) fn step_put(
        &self,
        state: &mut State,
        age: Age,
        batch: usize,
        local: Kept<Batch>,
        how: How,
    ) -> Stage {
        let seen = if how == How::Refused {
            state.budget.refusals -= 1;
            Seen::NotBegun(String::new())
        } else {
            let members = state.batches[batch].members.clone();
            self.put(state, &members);
            Seen::Begun
        };
        let is_fresh = local == state.batches[batch].batch;
        match self.decide(batch, local, seen, &self.moment(age)) {
            Stage::Drive { batch, local, slot_fresh, step, .. } => {
                Stage::Drive { batch, local, fresh: is_fresh, slot_fresh, step }
            }
            stage => stage,
        }
    }
}

fn at_once(messages: &[&[usize]], budget: Budget) -> World {
    let messages = messages.iter().map(|message| message.to_vec()).collect();
    World { at_once: true, messages, ..world(budget) }
}

#[test]
fn with_all_guards_a_start_that_is_recorded_with_its_arrivals_is_made_once() {
    let of = |budget| at_once(&[&[0]], budget);
    holds(of(Budget { crashes: 2, ..NONE }), &[DONE, CRASHED, NOT_STARTED]);
    holds(of(Budget { crashes: 1, duplicates: 1, ..NONE }), &[DONE, CRASHED, DUPLICATE]);
    holds(of(Budget { crashes: 1, refusals: 1, ..NONE }), &[DONE, CRASHED, NOT_STARTED]);
    holds(of(Budget { ambiguous: 1, crashes: 1, ..NONE }), &[DONE, FOUND, CRASHED, NOT_STARTED]);
    holds(of(Budget { failures: 1, refusals: 1, ..NONE }), &[DONE, RETRIED, NOT_STARTED]);
}

/// The messages open batches of the same ID.
#[test]
fn with_all_guards_a_message_that_repeats_another_in_part_misleads_no_run() {
    let of = |budget| quick(at_once(&[&[0, 1], &[0]], budget));
    holds(of(NONE), &[DONE, DUPLICATE]);
    holds(of(Budget { crashes: 1, ..NONE }), &[DONE, CRASHED, DUPLICATE]);
}

#[test]
fn without_a_key_of_its_own_a_manifest_replaces_that_of_a_batch_of_the_same_id() {
    let world = quick(at_once(&[&[0, 1], &[0]], NONE));
    breaks(without(|guards| guards.manifest_of_its_own = false, world), MANIFEST);
}

#[test]
fn without_preparing_it_anew_a_run_begins_whose_manifest_was_never_put() {
    for budget in [Budget { crashes: 1, ..NONE }, Budget { refusals: 1, ..NONE }] {
        let world = at_once(&[&[0]], budget);
        breaks(without(|guards| guards.prepared_anew = false, world), MANIFEST);
    }
}
