//! Checks of wider models. They take minutes, so `make simulate` runs them.

use super::checks::{NONE, WRONG, never_within, with_limit, world};
use super::properties::{COUNTED, FEW, ONE_EFFECT, RETRIED, TRUTHFUL, WAITED};
use super::properties::{CRASHED, DONE, FOUND, KEPT, LOSER, ONE_BATCH};
use super::{Budget, World};

/// A check that would generate more states than this has not seen everything, and fails.
const WIDE: usize = 100_000_000;

#[test]
#[ignore = "takes minutes: make simulate"]
fn with_all_guards_three_workers_start_nothing_twice() {
    let budget = Budget { crashes: 1, ambiguous: 1, refusals: 1, ..NONE };
    let world = World { workers: 3, ..world(budget) };
    never_within(WIDE, &world, &WRONG, &[DONE, CRASHED, FOUND]);
}

/// A run that Glue hides is not counted, and another begins. Once it is followed it is.
#[test]
#[ignore = "takes minutes: make simulate"]
fn with_all_guards_a_limit_is_overshot_by_hidden_runs_only_and_what_is_followed_is_counted() {
    let budget = Budget { ambiguous: 1, failures: 1, ..NONE };
    let world = World { hidden: None, workers: 1, ..with_limit(budget) };
    let wrong = [KEPT, ONE_BATCH, ONE_EFFECT, TRUTHFUL, COUNTED, FEW];
    never_within(WIDE, &world, &wrong, &[DONE, LOSER, WAITED]);
}

#[test]
#[ignore = "takes minutes: make simulate"]
fn with_all_guards_clocks_that_differ_are_survived_with_crashes_lost_answers_and_failures() {
    let budget = Budget { crashes: 1, ambiguous: 1, failures: 1, ..NONE };
    let world = World { skew: 1, ..world(budget) };
    never_within(WIDE, &world, &WRONG, &[DONE, CRASHED, FOUND, RETRIED]);
}
