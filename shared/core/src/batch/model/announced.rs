//! Batches that an event announces: before their start, or because they start no job.

use super::checks::{NONE, breaks, holds, quick, with_limit, without, world};
use super::properties::{AGAIN, ANNOUNCED, CRASHED, DONE, NOT_STARTED, WAITED};
use super::{Announces, Budget, World};

fn announced(announces: Announces, budget: Budget) -> World {
    World { announces, ..world(budget) }
}

#[test]
fn with_all_guards_a_batch_without_a_job_ends_once_it_was_announced() {
    let of = |budget| announced(Announces::Ends, budget);
    holds(of(Budget { crashes: 2, duplicates: 1, ..NONE }), &[DONE, CRASHED, AGAIN]);
    holds(of(Budget { untaken: 2, ..NONE }), &[DONE]);
    holds(of(Budget { unheard: 1, crashes: 1, ..NONE }), &[DONE, CRASHED, AGAIN]);
}

#[test]
fn with_all_guards_a_batch_with_a_job_starts_once_it_was_announced() {
    let of = |budget| announced(Announces::Starts, budget);
    holds(quick(of(Budget { crashes: 1, untaken: 1, ..NONE })), &[DONE, CRASHED, AGAIN]);
    holds(of(Budget { unheard: 1, refusals: 1, ..NONE }), &[DONE, NOT_STARTED, AGAIN]);
    let limited = with_limit(Budget { untaken: 1, events: 1, ..NONE });
    holds(World { announces: Announces::Starts, ..limited }, &[DONE, WAITED]);
}

#[test]
fn without_looking_whether_the_event_was_taken_a_batch_ends_unannounced() {
    for announces in [Announces::Ends, Announces::Starts] {
        let world = announced(announces, Budget { untaken: 1, ..NONE });
        breaks(without(|guards| guards.event_taken = false, world), ANNOUNCED);
    }
}
