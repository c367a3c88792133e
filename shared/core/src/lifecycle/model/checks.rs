//! What the checker finds: nothing with all guards, and a counter-example if any one of them is
//! missing.

use std::collections::BTreeSet;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use super::{
    Budget, FEW, FOREIGN, FirstDelivery, Guards, HEARD, Intent, LATE, ONE_ANSWER, PLAYED, Props,
    RECOVERED, REFUSED, REPLAYED, SUPERSEDED, TAKEN_OVER, Undated, VIEW, World,
};
use FirstDelivery::{AnyTime, AnyTimeInOneSecond, InOrder};
use Intent::{Create, Delete, Update};

const A: Props = Props { name: 0, policy: 1 };
const A2: Props = Props { name: 0, policy: 2 };
const B: Props = Props { name: 1, policy: 1 };

/// The maximum number of states. A check that would generate more hasn't seen everything, and
/// fails.
const LIMIT: usize = 3_000_000;

/// The budget with one of each misfortune.
const ONE: Budget = Budget { crashes: 1, duplicates: 1, failures: 1, give_ups: 1 };

fn world(script: &[Intent], budget: Budget) -> World {
    World {
        guards: Guards::ALL,
        first_delivery: AnyTime,
        script: script.to_vec(),
        budget,
        foreign: None,
        answers_may_differ: false,
        undated: Undated::None,
    }
}

/// Walks through all states, and asserts that all properties hold in each of them and that
/// everything in `seen` happens.
fn holds(world: World, seen: &[&'static str]) {
    let start = Instant::now();
    let checker = world.checker().target_state_count(LIMIT).spawn_bfs().join();
    let states = checker.state_count();
    println!("{} unique of {states} states, {:?}", checker.unique_state_count(), start.elapsed());
    assert!(states < LIMIT, "not all states were seen");
    for property in [VIEW, FOREIGN, ONE_ANSWER, HEARD, FEW] {
        if let Some(path) = checker.discovery(property) {
            let last = path.last_state().clone();
            panic!("{property}: {last:#?}\n{:?}", path.into_actions());
        }
    }
    for property in seen {
        assert!(checker.discovery(property).is_some(), "never: {property}");
    }
}

/// Asserts that the checker finds a way to break `property`, and prints it.
fn breaks(world: World, property: &'static str) {
    let start = Instant::now();
    let found = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = world.checker().target_state_count(LIMIT).finish_when(found).spawn_bfs().join();
    println!("{} unique states, {:?}", checker.unique_state_count(), start.elapsed());
    let path = checker.discovery(property).expect("no counter-example was found");
    println!("{:#?}", path.into_actions());
}

const NONE: Budget = Budget { crashes: 0, duplicates: 0, failures: 0, give_ups: 0 };

/// What happens in each of the larger worlds.
const SEEN: [&str; 4] = [PLAYED, SUPERSEDED, REPLAYED, RECOVERED];

#[test]
fn with_all_guards_no_zombie_role_remains() {
    holds(world(&[Create(A), Delete], Budget { give_ups: 1, ..NONE }), &[LATE]);
    for first_delivery in [AnyTime, InOrder] {
        holds(World { first_delivery, ..world(&[Create(A), Update(A2), Delete], ONE) }, &SEEN);
    }
}

#[test]
fn with_all_guards_a_replacement_and_its_way_back_keep_the_new_role() {
    let script = [Create(A), Update(B), Update(A2)];
    for first_delivery in [AnyTime, InOrder] {
        holds(World { first_delivery, ..world(&script, ONE) }, &SEEN);
    }
    holds(world(&script, Budget { give_ups: 1, ..NONE }), &[TAKEN_OVER]);
}

#[test]
fn with_all_guards_a_name_can_come_back_and_be_deleted() {
    let script = [Create(A), Update(B), Update(A), Delete];
    holds(world(&script, Budget { crashes: 1, duplicates: 2, ..NONE }), &SEEN);
}

#[test]
fn with_all_guards_two_requests_in_a_row_can_go_unanswered() {
    let budget = Budget { crashes: 1, duplicates: 1, give_ups: 2, ..NONE };
    for first_delivery in [AnyTime, InOrder] {
        holds(World { first_delivery, ..world(&[Create(A), Update(B)], budget) }, &[]);
    }
}

/// Only one of two Creates in a row goes wrong here, because of the limit that the header of the
/// module states.
#[test]
fn with_all_guards_a_create_after_a_failed_create_stands() {
    for budget in [Budget { failures: 0, ..ONE }, Budget { give_ups: 0, ..ONE }] {
        for second in [A2, B] {
            for first_delivery in [AnyTime, InOrder] {
                let world = world(&[Create(A), Create(second), Delete], budget);
                holds(World { first_delivery, ..world }, &SEEN);
            }
        }
    }
}

#[test]
fn with_all_guards_a_foreign_role_is_never_touched() {
    for first_delivery in [AnyTime, InOrder] {
        let world = world(&[Create(A), Update(B), Delete], Budget { duplicates: 0, ..ONE });
        holds(World { first_delivery, foreign: Some(1), ..world }, &[]);
    }
}

/// Returns a world in which requests are forgotten and don't say when they were issued.
fn forgetful(script: &[Intent], budget: Budget) -> World {
    let guards = Guards { superseded: false, replay: false, issue_order: false, ..Guards::ALL };
    World { guards, first_delivery: InOrder, ..world(script, budget) }
}

#[test]
fn a_forgotten_create_is_still_refused_by_the_tombstone() {
    let script = [Create(A), Delete];
    let world = forgetful(&script, Budget { crashes: 1, duplicates: 2, ..NONE });
    holds(World { answers_may_differ: true, ..world }, &[REFUSED]);
}

#[test]
fn without_the_tombstone_a_late_create_leaves_a_zombie_role() {
    let mut world = forgetful(&[Create(A), Delete], Budget { duplicates: 1, ..NONE });
    world.guards.tombstone = false;
    breaks(world, VIEW);
}

/// Takes guards away from a world in which requests come in order.
fn without(take: fn(&mut Guards), script: &[Intent], budget: Budget) -> World {
    let mut world = World { first_delivery: InOrder, ..world(script, budget) };
    take(&mut world.guards);
    world
}

#[test]
fn without_the_lock_a_create_that_is_still_at_work_leaves_a_zombie_role() {
    let budget = Budget { give_ups: 1, ..NONE };
    breaks(without(|guards| guards.lock = false, &[Create(A)], budget), VIEW);
}

#[test]
fn without_a_lease_that_outlasts_the_invocation_a_create_leaves_a_zombie_role() {
    let budget = Budget { give_ups: 1, ..NONE };
    let take = |guards: &mut Guards| guards.lease_outlasts_the_invocation = false;
    breaks(without(take, &[Create(A)], budget), VIEW);
}

#[test]
fn without_memory_before_effects_a_create_that_died_leaves_a_zombie_role() {
    let budget = Budget { crashes: 1, give_ups: 1, ..NONE };
    breaks(without(|guards| guards.memory_before_effects = false, &[Create(A)], budget), VIEW);
}

#[test]
fn without_superseding_a_late_create_reverts_an_update() {
    let budget = Budget { duplicates: 1, ..NONE };
    let take = |guards: &mut Guards| guards.superseded = false;
    breaks(without(take, &[Create(A), Update(A2)], budget), VIEW);
}

/// The replay doesn't protect a role, because converging twice gives the same role. It protects the
/// response.
#[test]
fn without_the_replay_a_request_can_be_answered_in_two_ways() {
    let budget = Budget { duplicates: 1, failures: 1, ..NONE };
    breaks(without(|guards| guards.replay = false, &[Create(A)], budget), ONE_ANSWER);
}

#[test]
fn without_the_replay_no_zombie_role_remains_all_the_same() {
    for script in [[Create(A), Update(A2), Delete], [Create(A), Update(B), Delete]] {
        let mut world = without(|guards| guards.replay = false, &script, ONE);
        world.answers_may_differ = true;
        holds(world, &[]);
    }
}

#[test]
fn without_the_time_of_issue_a_cancelled_create_that_comes_late_leaves_a_zombie_role() {
    let mut world = world(&[Create(A)], Budget { give_ups: 1, ..NONE });
    world.guards.issue_order = false;
    breaks(world, VIEW);
}

#[test]
fn without_the_time_of_issue_a_cancelled_update_that_comes_late_is_believed() {
    let mut world = world(&[Create(A), Update(A2)], Budget { give_ups: 1, ..NONE });
    world.guards.issue_order = false;
    breaks(world, VIEW);
}

#[test]
fn without_the_time_of_issue_nothing_is_wrong_while_requests_come_in_order() {
    let take: fn(&mut Guards) = |guards| guards.issue_order = false;
    holds(without(take, &[Create(A), Update(A2), Delete], ONE), &SEEN);
    holds(without(take, &[Create(A), Update(B)], ONE), &SEEN);
}

#[test]
fn within_one_second_the_time_of_issue_does_not_help() {
    let world = world(&[Create(A)], Budget { give_ups: 1, ..NONE });
    breaks(World { first_delivery: AnyTimeInOneSecond, ..world }, VIEW);
}

#[test]
fn with_all_guards_requests_without_a_date_leave_no_zombie_role() {
    for undated in [Undated::All, Undated::Only(0)] {
        for script in [[Create(A), Update(A2), Delete], [Create(A), Update(B), Delete]] {
            let budget = Budget { duplicates: 0, ..ONE };
            holds(World { undated, ..world(&script, budget) }, &[PLAYED]);
        }
    }
    holds(overtaken(), &[LATE]);
}

/// Returns a world in which a Create is cancelled and arrives only after the next one, which has no
/// date, has begun.
fn overtaken() -> World {
    let budget = Budget { give_ups: 1, ..NONE };
    World { undated: Undated::Only(2), ..world(&[Create(A), Create(B)], budget) }
}

#[test]
fn without_cloudformations_word_a_cancelled_create_without_a_date_leaves_a_zombie_role() {
    let mut world = world(&[Create(A)], Budget { give_ups: 1, ..NONE });
    (world.undated, world.guards.confirmed) = (Undated::All, false);
    breaks(world, VIEW);
}

#[test]
fn without_the_latest_date_an_undated_request_lets_a_cancelled_create_leave_a_zombie_role() {
    let mut world = overtaken();
    world.guards.latest_date = false;
    breaks(world, VIEW);
}

#[test]
fn without_reading_invented_ids_a_cancelled_create_leaves_a_zombie_role() {
    let budget = Budget { give_ups: 1, ..NONE };
    breaks(without(|guards| guards.invented_ids = false, &[Create(A)], budget), VIEW);
}

#[test]
fn without_removing_what_was_forgotten_a_cancelled_replacement_leaves_a_zombie_role() {
    let budget = Budget { give_ups: 1, ..NONE };
    let take = |guards: &mut Guards| guards.forgotten_ids = false;
    breaks(without(take, &[Create(A), Update(B)], budget), VIEW);
}

#[test]
fn without_the_tag_on_delete_the_cleanup_of_a_replacement_deletes_the_new_role() {
    let take = |guards: &mut Guards| guards.tag_on_delete = false;
    breaks(without(take, &[Create(A), Update(B)], Budget { give_ups: 1, ..NONE }), VIEW);
}

#[test]
fn without_the_owner_on_create_a_foreign_role_is_taken() {
    let world = without(|guards| guards.owner_on_create = false, &[Create(A)], NONE);
    breaks(World { foreign: Some(0), ..world }, FOREIGN);
}

#[test]
fn without_the_request_in_the_id_a_name_that_comes_back_meets_its_tombstone() {
    let take = |guards: &mut Guards| guards.id_from_request = false;
    breaks(without(take, &[Create(A), Update(B), Update(A)], NONE), HEARD);
}
