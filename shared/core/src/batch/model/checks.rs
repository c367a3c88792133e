//! What the checker finds: nothing with all guards, and a counter-example without any one of them.

use std::collections::BTreeSet;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use super::progress::dead_end;
use super::properties::{
    ALONE, ANNOUNCED, COUNTED, CRASHED, DONE, DUPLICATE, FEW, FOLLOW_UP, FOUND, KEPT, LIMITED,
    LOSER, MANIFEST, NOT_STARTED, ONE_BATCH, ONE_EFFECT, ONE_START, PARKED, RETRIED, RETURNED,
    SERVED, TOGETHER, TRUTHFUL, WAITED,
};
use super::{Action, Announces, Budget, Claims, Guards, World};
use crate::batch::{ClaimMode, Closing};

/// A check that would generate more states than this has not seen everything, and fails.
const LIMIT: usize = 3_000_000;

pub(super) const NONE: Budget = Budget {
    crashes: 0,
    duplicates: 0,
    outages: 0,
    ambiguous: 0,
    untaken: 0,
    unheard: 0,
    refusals: 0,
    failures: 0,
    unclear: 0,
    unanswered: 0,
    blips: 0,
    events: 0,
    returns: 0,
};

/// One message with one arrival, and runs that are visible in time.
pub(super) fn world(budget: Budget) -> World {
    World {
        guards: Guards::ALL,
        messages: vec![vec![0]],
        max_receive_count: None,
        closing: Closing::default(),
        recorded: false,
        starts: true,
        at_once: false,
        max_concurrent_runs: None,
        claim: ClaimMode::Required,
        announces: Announces::Nothing,
        claims: Claims::Always,
        max_retries: 0,
        losers_fail: false,
        hidden: Some(2),
        reconciliation: 2,
        time_out: 1,
        workers: 2,
        skew: 0,
        budget,
    }
}

/// What must never be; that a batch is parked is the first.
pub(super) const WRONG: [&str; 12] = [
    SERVED, KEPT, ONE_BATCH, ONE_START, ONE_EFFECT, TRUTHFUL, ALONE, LIMITED, COUNTED, FEW,
    ANNOUNCED, MANIFEST,
];

/// Walks through all states, and asserts that nothing is wrong in any and each of `seen` happens.
pub(super) fn holds(world: World, seen: &[&'static str]) {
    never(&world, &WRONG, seen);
}

/// The same where a batch may be parked.
pub(super) fn holds_or_parks(world: World, seen: &[&'static str]) {
    never(&world, &WRONG[1..], seen);
}

pub(super) fn never(world: &World, wrong: &[&'static str], seen: &[&'static str]) {
    never_within(LIMIT, world, wrong, seen);
    if let Err(state) = dead_end(world, |state| world.is_at_rest(state)) {
        panic!("no way leads to the end from here: {state:#?}");
    }
}

/// The same of as many states, without asking whether the end can be reached.
pub(super) fn never_within(
    limit: usize,
    world: &World,
    wrong: &[&'static str],
    seen: &[&'static str],
) {
    let start = Instant::now();
    let checker = world.clone().checker().target_state_count(limit).spawn_bfs().join();
    let states = checker.state_count();
    let unique = checker.unique_state_count();
    println!("{}: {unique} unique of {states} states, {:?}", name(), start.elapsed());
    assert!(states < limit, "not all states were seen");
    for property in wrong {
        if let Some(path) = checker.discovery(property) {
            let last = path.last_state().clone();
            panic!("{property}: {last:#?}\n{}", described(path.into_actions()));
        }
    }
    for property in seen {
        assert!(checker.discovery(property).is_some(), "never: {property}");
    }
}

/// Asserts that the checker finds a way to break `property`, and prints it.
pub(super) fn breaks(world: World, property: &'static str) {
    let start = Instant::now();
    let found = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = world.checker().target_state_count(LIMIT).finish_when(found).spawn_bfs().join();
    println!("{}: {} unique states, {:?}", name(), checker.unique_state_count(), start.elapsed());
    let path = checker.discovery(property).expect("no counter-example was found");
    println!("{}", described(path.into_actions()));
}

/// Of the test.
fn name() -> String {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or_default();
    name.rsplit("::").next().unwrap_or_default().to_owned()
}

/// One action a line.
fn described(actions: Vec<Action>) -> String {
    actions.iter().map(|action| format!("{action:?}\n")).collect()
}

#[test]
fn with_all_guards_a_crash_at_any_step_loses_nothing_and_starts_nothing_twice() {
    holds(world(Budget { crashes: 2, ..NONE }), &[DONE, CRASHED, NOT_STARTED]);
    holds(world(Budget { crashes: 1, duplicates: 1, ..NONE }), &[DONE, CRASHED, DUPLICATE]);
    holds(world(Budget { crashes: 1, refusals: 1, ..NONE }), &[DONE, CRASHED, NOT_STARTED]);
    holds(world(Budget { crashes: 1, events: 2, ..NONE }), &[DONE, CRASHED]);
}

#[test]
fn with_all_guards_a_call_whose_answer_is_lost_is_not_made_again_if_it_had_effect() {
    holds(world(Budget { ambiguous: 2, ..NONE }), &[DONE, FOUND, NOT_STARTED]);
    holds(world(Budget { ambiguous: 1, crashes: 2, ..NONE }), &[DONE, FOUND, CRASHED, NOT_STARTED]);
}

#[test]
fn with_all_guards_a_run_that_fails_is_followed_by_one_more() {
    holds(world(Budget { failures: 2, ambiguous: 1, ..NONE }), &[DONE, FOUND, RETRIED]);
    holds(world(Budget { failures: 1, crashes: 1, ..NONE }), &[DONE, CRASHED, RETRIED]);
}

#[test]
fn with_all_guards_a_batch_whose_attempts_are_exhausted_is_parked() {
    holds_or_parks(world(Budget { failures: 3, ..NONE }), &[DONE, RETRIED, PARKED]);
}

#[test]
fn with_all_guards_a_search_that_fails_starts_nothing() {
    let budget = Budget { unclear: 3, ambiguous: 1, ..NONE };
    holds_or_parks(world(budget), &[DONE, FOUND, PARKED]);
}

#[test]
fn with_all_guards_a_search_that_gets_no_answer_is_waited_for_and_nothing_is_parked() {
    let budget = Budget { unanswered: 5, ambiguous: 1, ..NONE };
    holds(world(budget), &[DONE, FOUND, NOT_STARTED]);
}

#[test]
fn with_all_guards_a_run_that_glue_does_not_know_for_a_moment_is_followed_to_its_end() {
    holds(quick(world(Budget { blips: 2, failures: 1, ..NONE })), &[DONE, RETRIED]);
    holds(world(Budget { blips: 1, ..NONE }), &[DONE]);
}

/// Several starts are possible then, and one effect.
#[test]
fn with_all_guards_a_batch_has_one_effect_even_if_runs_stay_hidden_for_ever() {
    for budget in [
        Budget { ambiguous: 2, ..NONE },
        Budget { ambiguous: 1, failures: 1, ..NONE },
        Budget { crashes: 1, ..NONE },
    ] {
        let world = World { hidden: None, ..quick(world(budget)) };
        holds_or_parks(world, &[DONE, LOSER, PARKED]);
    }
}

#[test]
fn with_all_guards_a_batch_that_is_returned_has_one_effect() {
    let budget = Budget { ambiguous: 1, returns: 1, ..NONE };
    let world = World { hidden: None, ..quick(world(budget)) };
    holds_or_parks(world, &[DONE, LOSER, PARKED, RETURNED]);
}

/// No invocation lasts for a minute, and Glue hides nothing.
pub(super) fn quick(world: World) -> World {
    World { hidden: Some(0), reconciliation: 1, time_out: 0, ..world }
}

/// About recording alone.
fn two_arrivals(messages: &[&[usize]], budget: Budget) -> World {
    let messages = messages.iter().map(|message| message.to_vec()).collect();
    World { messages, starts: false, ..world(budget) }
}

#[test]
fn with_all_guards_what_one_message_brings_is_recorded_in_spite_of_crashes() {
    let world = two_arrivals(&[&[0, 1]], Budget { crashes: 2, duplicates: 1, ..NONE });
    holds(world, &[DONE, CRASHED, DUPLICATE]);
}

#[test]
fn with_all_guards_messages_that_bring_the_same_record_it_once() {
    let world = two_arrivals(&[&[0, 1], &[1, 0]], Budget { crashes: 1, ..NONE });
    holds(world, &[DONE, CRASHED, DUPLICATE]);
}

/// An outage of the ledger that outlasts what SQS delivers a message for.
fn outage() -> World {
    let budget = Budget { crashes: 1, outages: 5, ..NONE };
    World { max_receive_count: Some(4), starts: false, ..world(budget) }
}

#[test]
fn with_all_guards_a_message_that_waits_for_the_ledger_never_goes_to_the_dead_letter_queue() {
    holds(outage(), &[DONE, CRASHED]);
}

fn with_window(messages: &[&[usize]], budget: Budget) -> World {
    let closing = Closing { window_secs: Some(60), ..Closing::default() };
    World { closing, ..two_arrivals(messages, budget) }
}

#[test]
fn with_all_guards_messages_share_a_window_or_form_a_follow_up_batch() {
    let budget = Budget { crashes: 1, duplicates: 1, ..NONE };
    let seen = [DONE, CRASHED, DUPLICATE, TOGETHER, FOLLOW_UP];
    holds(with_window(&[&[0], &[1]], budget), &seen);
    holds(with_window(&[&[0], &[0, 1]], budget), &seen);
}

#[test]
fn with_all_guards_a_batch_that_is_full_is_closed_and_the_next_begins() {
    let mut world = with_window(&[&[0, 1], &[1, 2]], Budget { crashes: 1, ..NONE });
    world.closing.max_objects = Some(2);
    holds(world, &[DONE, CRASHED, DUPLICATE, TOGETHER, FOLLOW_UP]);
}

pub(super) fn with_limit(budget: Budget) -> World {
    let (recorded, messages) = (true, vec![vec![0], vec![1]]);
    World { max_concurrent_runs: Some(1), recorded, messages, ..quick(world(budget)) }
}

#[test]
fn with_all_guards_two_batches_of_a_job_that_is_limited_run_one_after_the_other() {
    holds(with_limit(Budget { events: 1, crashes: 1, ..NONE }), &[DONE, CRASHED, WAITED]);
    holds(with_limit(Budget { events: 1, failures: 1, ..NONE }), &[DONE, RETRIED, WAITED]);
    let budget = Budget { ambiguous: 1, crashes: 1, events: 1, ..NONE };
    holds(with_limit(budget), &[DONE, CRASHED, FOUND, WAITED]);
}

/// A run that Glue hides is not counted, and another begins: the limit is overshot, and never hidden.
#[test]
fn with_all_guards_a_run_that_is_found_to_hold_the_claim_is_counted_beyond_the_limit() {
    let world = lost_holder();
    never(&world, &[KEPT, ONE_BATCH, ONE_EFFECT, TRUTHFUL, COUNTED, FEW], &[DONE, LOSER]);
}

fn lost_holder() -> World {
    let budget = Budget { ambiguous: 1, failures: 1, ..NONE };
    World { hidden: None, messages: vec![vec![0]], ..with_limit(budget) }
}

/// Takes a guard away.
pub(super) fn without(take: fn(&mut Guards), mut world: World) -> World {
    take(&mut world.guards);
    world
}

#[test]
fn without_the_write_ahead_a_crash_starts_a_second_run() {
    let world = world(Budget { crashes: 1, ..NONE });
    breaks(without(|guards| guards.write_ahead = false, world), ONE_START);
}

#[test]
fn without_the_condition_on_the_revision_two_workers_start_a_run_each() {
    breaks(without(|guards| guards.revision = false, world(NONE)), ONE_START);
}

/// An invocation may live for longer here than a run stays hidden: the reconciliation window does
/// not cover for the lease.
#[test]
fn without_a_lease_longer_than_the_time_out_a_slow_caller_starts_a_second_run() {
    let world = World { time_out: 3, reconciliation: 1, hidden: Some(1), ..world(NONE) };
    holds(world.clone(), &[DONE]);
    breaks(without(|guards| guards.lease = false, world), ONE_START);
}

#[test]
fn without_the_reconciliation_window_a_run_that_is_not_seen_yet_is_started_again() {
    let world = world(Budget { ambiguous: 1, ..NONE });
    breaks(without(|guards| guards.reconciliation = false, world), ONE_START);
}

/// A run may be hidden here for as long as the window and the last minute of the lease cover.
#[test]
fn without_a_time_taken_before_the_look_a_run_that_just_appears_is_started_again() {
    let world = World { hidden: Some(3), ..world(Budget { crashes: 1, ..NONE }) };
    holds(world.clone(), &[DONE]);
    breaks(without(|guards| guards.time_before_look = false, world), ONE_START);
}

#[test]
fn without_the_one_attempt_of_a_call_there_are_two_runs_of_one_epoch() {
    let world = world(Budget { ambiguous: 1, failures: 1, ..NONE });
    for property in [ONE_START, TRUTHFUL, ONE_EFFECT] {
        breaks(without(|guards| guards.one_attempt = false, world.clone()), property);
    }
}

#[test]
fn without_the_ack_after_the_record_a_crash_loses_an_arrival() {
    let world = world(Budget { crashes: 1, ..NONE });
    breaks(without(|guards| guards.ack_after_record = false, world), KEPT);
}

#[test]
fn without_sending_anew_what_waits_an_outage_takes_a_message_to_the_dead_letter_queue() {
    breaks(without(|guards| guards.sent_anew = false, outage()), KEPT);
}

#[test]
fn without_one_transaction_for_claims_and_batch_an_arrival_is_in_two_batches() {
    let world = world(Budget { crashes: 1, ..NONE });
    breaks(without(|guards| guards.one_transaction = false, world), ONE_BATCH);
}

#[test]
fn without_the_claim_a_run_that_was_hidden_for_too_long_has_a_second_effect() {
    let world = World { hidden: None, ..world(Budget { ambiguous: 1, ..NONE }) };
    breaks(without(|guards| guards.claim = false, world), ONE_EFFECT);
}

#[test]
fn without_the_outcome_by_the_claims_holder_a_loser_passes_for_success() {
    let world = World { hidden: None, ..world(Budget { ambiguous: 1, ..NONE }) };
    breaks(without(|guards| guards.outcome_by_holder = false, world), TRUTHFUL);
}

#[test]
fn without_the_end_of_a_run_before_the_end_of_its_claim_there_are_two_effects() {
    breaks(without(|guards| guards.ended_once_final = false, world(NONE)), ONE_EFFECT);
}

#[test]
fn without_the_slot_in_the_batchs_transaction_two_workers_overshoot_the_limit() {
    breaks(without(|guards| guards.slot_with_batch = false, with_limit(NONE)), LIMITED);
}

#[test]
fn without_missing_a_run_over_time_one_that_goes_on_is_parked() {
    let world = world(Budget { blips: 1, ..NONE });
    breaks(without(|guards| guards.missed_over_time = false, world), SERVED);
}

#[test]
fn without_counting_it_again_the_run_that_holds_the_claim_is_hidden_from_its_jobs_limit() {
    breaks(without(|guards| guards.counted_again = false, lost_holder()), COUNTED);
}

/// Leases and windows allow for clocks that differ by a minute here.
#[test]
fn with_all_guards_clocks_that_differ_by_what_leases_allow_for_start_nothing_twice() {
    let skewed = |budget: Budget| World { skew: 1, ..world(budget) };
    holds(skewed(Budget { ambiguous: 1, ..NONE }), &[DONE, FOUND, NOT_STARTED]);
    holds(skewed(Budget { crashes: 1, ..NONE }), &[DONE, CRASHED, NOT_STARTED]);
}

#[test]
fn clocks_that_differ_by_more_than_leases_allow_for_start_a_second_run() {
    breaks(World { skew: 2, ..world(Budget { crashes: 1, ..NONE }) }, ONE_START);
}
