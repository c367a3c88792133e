//! What the checker finds: nothing with all guards, and a counter-example without any one of them.

use std::collections::BTreeSet;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use super::{
    Budget, FOREIGN, FirstDelivery, Guards, HEARD, Intent, ONE_ANSWER, Props, VIEW, World,
};
use FirstDelivery::{AnyTime, AnyTimeInOneSecond, InOrder};
use Intent::{Create, Delete, Update};

const A: Props = Props { name: 0, policy: 1 };
const A2: Props = Props { name: 0, policy: 2 };
const B: Props = Props { name: 1, policy: 1 };

/// A check that would generate more states than this has not seen everything, and fails.
const LIMIT: usize = 3_000_000;

/// One of each misfortune.
const ONE: Budget = Budget { crashes: 1, duplicates: 1, failures: 1, give_ups: 1 };

fn world(script: &[Intent], budget: Budget) -> World {
    World {
        guards: Guards::ALL,
        first_delivery: AnyTime,
        script: script.to_vec(),
        budget,
        foreign: None,
    }
}

/// Walks through all states, and asserts that nothing is wrong in any and each of `seen` happens.
fn holds(world: World, seen: &[&'static str]) {
    let start = Instant::now();
    let checker = world.checker().target_state_count(LIMIT).spawn_dfs().join();
    let states = checker.state_count();
    println!("{} unique of {states} states, {:?}", checker.unique_state_count(), start.elapsed());
    assert!(states < LIMIT, "not all states were seen");
    for property in [VIEW, FOREIGN, ONE_ANSWER, HEARD] {
        if let Some(path) = checker.discovery(property) {
            let last = path.last_state().clone();
            panic!("{property}: {last:#?}\n{:?}", path.into_actions());
        }
    }
    for property in seen {
        assert!(checker.discovery(property).is_some(), "never: {property}");
    }
}

/// Asserts that the checker finds a way to break `property`, and prints the shortest.
fn breaks(world: World, property: &'static str) {
    let start = Instant::now();
    let found = HasDiscoveries::AnyOf(BTreeSet::from([property]));
    let checker = world.checker().target_state_count(LIMIT).finish_when(found).spawn_bfs().join();
    println!("{} unique states, {:?}", checker.unique_state_count(), start.elapsed());
    let path = checker.discovery(property).expect("no counter-example was found");
    println!("{:#?}", path.into_actions());
}

const SEEN: [&str; 4] = [
    "the script is played to its end",
    "a later request supersedes",
    "an answer is replayed",
    "a crash is recovered from",
];

#[test]
fn with_all_guards_no_zombie_role_remains() {
    for first_delivery in [AnyTime, InOrder] {
        holds(World { first_delivery, ..world(&[Create(A), Update(A2), Delete], ONE) }, &SEEN);
    }
}

#[test]
fn with_all_guards_a_replacement_and_its_way_back_keep_the_new_role() {
    for first_delivery in [AnyTime, InOrder] {
        holds(World { first_delivery, ..world(&[Create(A), Update(B), Update(A2)], ONE) }, &SEEN);
    }
}
