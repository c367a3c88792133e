//! What must never be, and what must happen somewhere for a check to mean something.

use stateright::Property;

use super::glue::{Phase, Run};
use super::worker::Stage;
use super::{Announces, Item, MANY, State, World};
use crate::batch::State as BatchState;

pub(crate) const ALONE: &str =
    "a batch that succeeded without a claim had one run at work at a time";
pub(crate) const UNCLAIMED: &str = "a batch succeeds that no run claimed";
pub(crate) const REPEATED: &str = "a batch succeeds whose run Glue has repeated by itself";
pub(crate) const ANNOUNCED: &str = "a batch that is to be announced was, before it starts or ends";
pub(crate) const AGAIN: &str = "a batch is announced again";
pub(crate) const KEPT: &str = "an arrival is in a batch, or still to be delivered";
pub(crate) const ONE_BATCH: &str = "an arrival is in one batch";
pub(crate) const ONE_START: &str = "a run is started when all before it have ended, and failed";
pub(crate) const ONE_EFFECT: &str = "a batch has one effect";
pub(crate) const TRUTHFUL: &str = "a batch that succeeded had its effect";
pub(crate) const MANIFEST: &str = "a run finds the manifest of its batch";
pub(crate) const LIMITED: &str = "a job has no more runs than its limit";
pub(crate) const COUNTED: &str = "a run that is followed is counted";
pub(crate) const SERVED: &str = "at rest, every batch succeeded";
pub(crate) const FEW: &str = "the runs are few";
pub(crate) const DONE: &str = "all is served";
pub(crate) const CRASHED: &str = "all is served in spite of crashes";
pub(crate) const FOUND: &str = "a run is found that nobody told of";
pub(crate) const NOT_STARTED: &str = "a start that had no effect is made again";
pub(crate) const RETRIED: &str = "a run fails and another one succeeds";
pub(crate) const LOSER: &str = "a run loses the claim";
pub(crate) const PARKED: &str = "a batch is parked";
pub(crate) const RETURNED: &str = "a batch succeeds that was returned";
pub(crate) const DUPLICATE: &str = "a duplicate is dropped";
pub(crate) const TOGETHER: &str = "messages share a batch";
pub(crate) const FOLLOW_UP: &str = "what comes after the close is in another batch";
pub(crate) const WAITED: &str = "a batch waits for a slot";

pub(crate) fn properties() -> Vec<Property<World>> {
    fn any_run(state: &State, is: impl Fn(&Run) -> bool) -> bool {
        state.runs.iter().any(is)
    }
    vec![
        Property::always(KEPT, |world: &World, state: &State| {
            (0..state.claimed.len()).all(|arrival| {
                state.batches.iter().any(|it| it.members.contains(&arrival))
                    || state.is_to_be_delivered(&world.messages, arrival)
            })
        }),
        Property::always(ONE_BATCH, |_, state: &State| {
            (0..state.claimed.len()).all(|arrival| {
                let members = state.batches.iter().flat_map(|it| &it.members);
                members.filter(|member| **member == arrival).count() <= 1
            })
        }),
        Property::always(ONE_START, |world: &World, state: &State| {
            world.hidden.is_none()
                || (0..state.batches.len()).all(|batch| {
                    let runs = state.runs.iter().filter(|run| run.batch == batch);
                    runs.filter(|run| run.phase != Phase::Failed).count() <= 1
                })
        }),
        Property::always(ONE_EFFECT, |_, state: &State| {
            state.batches.iter().all(|it| it.effects <= 1)
        }),
        Property::always(TRUTHFUL, |_, state: &State| {
            let has_run = |it: &&Item| it.has_succeeded() && it.batch.epoch > 0;
            state.batches.iter().filter(has_run).all(|it| it.effects > 0)
        }),
        Property::always(ALONE, |_, state: &State| {
            state.batches.iter().all(|it| !it.has_succeeded_unclaimed() || !it.overlapped)
        }),
        Property::always(ANNOUNCED, |world: &World, state: &State| {
            world.announces == Announces::Nothing
                || state.batches.iter().all(|it| {
                    let is_said = it.batch.announced_at.is_some();
                    let is_begun = it.batch.epoch > 0 || it.has_succeeded();
                    it.announced > 0 || !(is_said || is_begun)
                })
        }),
        Property::always(MANIFEST, |_, state: &State| state.batches.iter().all(|it| !it.misled)),
        Property::always(LIMITED, |world: &World, state: &State| {
            let live = state.runs.iter().filter(|run| run.is_live()).count();
            world.max_concurrent_runs.is_none_or(|most| live as u32 <= most)
        }),
        Property::always(COUNTED, |world: &World, state: &State| {
            world.max_concurrent_runs.is_none()
                || state.batches.iter().all(|it| {
                    !matches!(it.batch.state, BatchState::Started { .. })
                        || (it.batch.holds_slot && state.slot.live.contains_key(&it.batch.id))
                })
        }),
        Property::always(SERVED, |world: &World, state: &State| {
            !world.is_at_rest(state) || world.is_served(state)
        }),
        Property::always(FEW, |_, state: &State| state.runs.len() < MANY),
        Property::sometimes(AGAIN, |_, state: &State| {
            state.batches.iter().any(|it| it.announced > 1)
        }),
        Property::sometimes(DONE, |world: &World, state: &State| world.is_served(state)),
        Property::sometimes(CRASHED, |world: &World, state: &State| {
            world.is_served(state) && state.budget.crashes < world.budget.crashes
        }),
        Property::sometimes(FOUND, |world: &World, state: &State| {
            world.budget.ambiguous > state.budget.ambiguous
                && world.is_served(state)
                && state.batches.iter().all(|it| it.batch.epoch == 1)
        }),
        Property::sometimes(NOT_STARTED, |world: &World, state: &State| {
            world.is_served(state)
                && state.batches.iter().any(|it| it.batch.epoch as usize > state.runs.len())
        }),
        Property::sometimes(RETRIED, |world: &World, state: &State| {
            world.is_served(state) && any_run(state, |run| run.phase == Phase::Failed)
        }),
        Property::sometimes(LOSER, |_, state: &State| {
            any_run(state, |run| run.phase == Phase::Lost)
        }),
        Property::sometimes(PARKED, |world: &World, state: &State| {
            world.is_at_rest(state) && state.batches.iter().any(Item::is_parked)
        }),
        Property::sometimes(RETURNED, |world: &World, state: &State| {
            world.is_served(state) && state.budget.returns < world.budget.returns
        }),
        Property::sometimes(UNCLAIMED, |world: &World, state: &State| {
            world.is_served(state) && state.batches.iter().any(Item::has_succeeded_unclaimed)
        }),
        Property::sometimes(REPEATED, |world: &World, state: &State| {
            world.is_served(state) && any_run(state, |run| run.repeat_of.is_some())
        }),
        Property::sometimes(DUPLICATE, |_, state: &State| {
            state.workers.iter().flatten().any(|it| it.stage == Stage::Known)
        }),
        Property::sometimes(TOGETHER, |_, state: &State| {
            state.batches.iter().any(|it| it.members.len() > 1)
        }),
        Property::sometimes(FOLLOW_UP, |_, state: &State| {
            state.head.is_some() && state.batches.len() > 1
        }),
        Property::sometimes(WAITED, |_, state: &State| {
            state
                .batches
                .iter()
                .any(|it| matches!(it.batch.state, BatchState::Sealed { waits_for_slot: true, .. }))
        }),
    ]
}
