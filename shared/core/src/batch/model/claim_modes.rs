//! Jobs that need not claim their batches, and jobs that Glue itself repeats.

use super::checks::{
    NONE, breaks, holds, holds_or_parks, never, quick, with_limit, without, world,
};
use super::properties::{
    ALONE, COUNTED, CRASHED, DONE, FEW, FOUND, KEPT, LIMITED, LOSER, ONE_BATCH, ONE_START, PARKED,
    REPEATED, RETRIED, RETURNED, TRUTHFUL, UNCLAIMED, WAITED,
};
use super::{Budget, Claims, World};
use crate::batch::ClaimMode;

/// What must never be if runs can stay hidden for ever: several of them may be at work, but none is called a success.
const IN_DOUBT: [&str; 6] = [KEPT, ONE_BATCH, TRUTHFUL, ALONE, COUNTED, FEW];

/// A job that knows nothing of claims.
fn unclaimed(world: World) -> World {
    World { claim: ClaimMode::Optional, claims: Claims::Never, ..world }
}

/// A job that claims its batches, and need not.
fn claimed(world: World) -> World {
    World { claim: ClaimMode::Optional, ..world }
}

/// Glue repeats a run of the job once.
fn repeated(world: World) -> World {
    World { max_retries: 1, ..world }
}

#[test]
fn with_all_guards_a_job_that_never_claims_has_one_run_and_one_effect() {
    holds(unclaimed(world(Budget { refusals: 1, ..NONE })), &[DONE, UNCLAIMED]);
    holds(unclaimed(world(Budget { failures: 2, ..NONE })), &[DONE, RETRIED, UNCLAIMED]);
    let world = unclaimed(world(Budget { ambiguous: 1, ..NONE }));
    holds_or_parks(world, &[DONE, FOUND, UNCLAIMED, PARKED]);
}

#[test]
fn with_all_guards_a_crash_before_the_call_leaves_no_success_without_a_claim_in_doubt() {
    let world = unclaimed(world(Budget { crashes: 1, failures: 1, ..NONE }));
    holds_or_parks(world, &[DONE, CRASHED, RETRIED, UNCLAIMED, PARKED]);
}

#[test]
fn with_all_guards_a_job_that_need_not_claim_and_does_has_one_effect() {
    let budget = Budget { ambiguous: 1, failures: 1, ..NONE };
    let world = World { hidden: None, losers_fail: true, ..quick(world(budget)) };
    holds_or_parks(claimed(world), &[DONE, LOSER, PARKED]);
}

/// Two runs may be at work then, and both may have an effect, but the batch is never said to have succeeded.
#[test]
fn with_all_guards_no_batch_without_a_claim_succeeds_if_runs_that_are_hidden_for_ever_were_at_work()
{
    for (claims, budget) in [
        (Claims::Never, Budget { ambiguous: 2, ..NONE }),
        (Claims::Never, Budget { crashes: 1, refusals: 1, ..NONE }),
        (Claims::Sometimes, Budget { ambiguous: 1, ..NONE }),
    ] {
        let world = World { hidden: None, claims, ..quick(world(budget)) };
        let world = World { claim: ClaimMode::Optional, ..world };
        never(&world, &IN_DOUBT, &[DONE, UNCLAIMED, PARKED]);
    }
}

#[test]
fn without_accounting_for_every_start_a_batch_without_a_claim_succeeds_while_two_runs_are_at_work()
{
    let budget = Budget { ambiguous: 1, ..NONE };
    let world = World { hidden: None, ..unclaimed(quick(world(budget))) };
    breaks(without(|guards| guards.accounted = false, world), ALONE);
}

#[test]
fn with_all_guards_a_batch_without_a_claim_that_is_returned_is_judged_by_its_next_run() {
    let budget = Budget { failures: 3, returns: 1, ..NONE };
    holds_or_parks(unclaimed(quick(world(budget))), &[DONE, PARKED, RETURNED, UNCLAIMED]);
}

#[test]
fn with_all_guards_a_run_and_what_glue_makes_of_it_by_itself_are_one_run() {
    for claim in [unclaimed, claimed] {
        let budget = Budget { failures: 1, crashes: 1, ..NONE };
        let few = World { hidden: Some(1), time_out: 0, ..world(budget) };
        holds_or_parks(repeated(claim(few)), &[DONE, REPEATED]);
    }
    let budget = Budget { failures: 3, ..NONE };
    let world = World { hidden: Some(1), time_out: 0, ..world(budget) };
    holds_or_parks(repeated(unclaimed(world)), &[DONE, REPEATED, RETRIED, UNCLAIMED]);
}

#[test]
fn with_all_guards_a_run_that_glue_repeats_holds_its_slot() {
    let budget = Budget { failures: 1, events: 1, ..NONE };
    let world = World { hidden: Some(1), ..unclaimed(with_limit(budget)) };
    holds_or_parks(repeated(world), &[DONE, REPEATED, WAITED, UNCLAIMED]);
}

#[test]
fn with_all_guards_no_batch_succeeds_without_a_claim_whose_repeat_may_still_begin() {
    let budget = Budget { failures: 2, ..NONE };
    let world = World { hidden: None, ..unclaimed(quick(world(budget))) };
    never(&repeated(world), &IN_DOUBT, &[DONE, REPEATED, PARKED]);
}

#[test]
fn without_waiting_for_what_glue_repeats_a_second_run_is_started_beyond_the_limit() {
    let world = repeated(unclaimed(quick(world(Budget { failures: 1, ..NONE }))));
    breaks(without(|guards| guards.waits_for_repeat = false, world), ONE_START);
    let limited = repeated(unclaimed(with_limit(Budget { failures: 1, ..NONE })));
    breaks(without(|guards| guards.waits_for_repeat = false, limited), LIMITED);
}

#[test]
fn without_doubt_about_a_repeat_that_is_not_seen_two_runs_are_at_work_and_one_is_called_a_success()
{
    let world = World { hidden: None, ..quick(world(Budget { failures: 1, ..NONE })) };
    let world = repeated(unclaimed(world));
    breaks(without(|guards| guards.repeat_in_doubt = false, world), ALONE);
}

#[test]
fn without_doubt_about_an_earlier_attempts_claim_a_repeat_that_lost_it_passes_for_success() {
    let world = repeated(claimed(quick(world(Budget { failures: 1, ..NONE }))));
    holds_or_parks(world.clone(), &[DONE, LOSER, PARKED]);
    breaks(without(|guards| guards.earlier_holder = false, world), TRUTHFUL);
}
