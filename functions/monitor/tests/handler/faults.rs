//! One AWS call fails, or is the last one that a function makes. The tests try this for every call,
//! from the arrival to the end of the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use landfall_core::batch::{Batch, Starting, State};
use landfall_stand_ins::Act;
use tokio::sync::Notify;

use crate::announced::details;
use crate::stage::{LEFT, Stage, WINDOW, past, tick};

/// The operations that trigger and monitor call along the way.
const OPERATIONS: [&str; 11] = [
    "AssumeRole",
    "GetItem",
    "GetJob",
    "GetJobRun",
    "GetJobRuns",
    "PutEvents",
    "PutItem",
    "PutObject",
    "Query",
    "StartJobRun",
    "TransactWriteItems",
];

/// More rounds than it ever takes to finish.
const MAX_ROUNDS: usize = 10;

/// A number that no call has.
const NEVER: usize = usize::MAX;

/// Delivers an object of this route until it is recorded, then ticks and lets time pass until its batch is done.
/// `act` happens to call number `fails`. A function that would wait for an answer forever is
/// killed. Returns the number of calls.
async fn way(route: &str, act: &Act, fails: usize) -> usize {
    let mut stage = Stage::new().await;
    let key = format!("{route}/x");
    let keys = [key.as_str()];
    let calls = Arc::new(AtomicUsize::new(0));
    let killed = Arc::new(Notify::new());
    let befalls = |stage: &Stage| {
        for operation in OPERATIONS {
            let (calls, killed, act) = (Arc::clone(&calls), Arc::clone(&killed), act.clone());
            stage.aws.answer(operation, move |_, _| {
                if calls.fetch_add(1, Ordering::Relaxed) != fails {
                    return Act::Serve;
                }
                if matches!(act, Act::Hang | Act::ServeThenHang) {
                    killed.notify_one();
                }
                act.clone()
            });
        }
    };
    for round in 0.. {
        assert!(round < MAX_ROUNDS, "{act:?} at {fails}: not recorded");
        befalls(&stage);
        let is_recorded = tokio::select! {
            answer = stage.try_arrive(&keys, LEFT) => answer.is_ok(),
            () = killed.notified() => false,
        };
        stage.aws.clear_rules();
        if is_recorded {
            break;
        }
    }
    for round in 0.. {
        let batch = stage.batch().await;
        if batch.state.is_final() {
            break;
        }
        assert!(round < MAX_ROUNDS, "{act:?} at {fails}: not done: {batch:?}");
        for run in stage.running(route) {
            stage.end(&run, "SUCCEEDED").await;
        }
        let batch = stage.make_due(batch).await;
        if let State::Starting(Starting { look_at, .. }) = batch.state {
            let lease = past(WINDOW.as_secs() + 1);
            let state = State::Starting(Starting { t0: lease, lease, look_at, missing: None });
            stage.write(Batch { state, ..batch }).await;
        }
        if round >= 2 {
            // A process remembers that a role was refused for some seconds.
            stage.renew_monitor();
        }
        befalls(&stage);
        let event = tick();
        // If a process fails, another one follows.
        tokio::select! {
            _ = stage.invoke(&event, LEFT) => {}
            () = killed.notified() => {}
        }
        stage.aws.clear_rules();
    }
    let batch = stage.batch().await;
    let (runs, state) = if batch.start.has_job() { (1, "succeeded") } else { (0, "announced") };
    assert_eq!(stage.aws.runs(route).len(), runs, "{act:?} at {fails}");
    assert_eq!(batch.state.name(), state, "{act:?} at {fails}");
    assert_eq!(stage.live(route).await, 0, "{act:?} at {fails}");
    let details = details(&stage);
    assert_eq!(!details.is_empty(), batch.start.announce, "{act:?} at {fails}");
    assert!(details.iter().all(|detail| *detail == details[0]), "{details:?}");
    calls.load(Ordering::Relaxed)
}

async fn each_call(route: &str, fewest: usize, acts: &[Act]) {
    for act in acts {
        let calls = way(route, act, NEVER).await;
        assert!(calls >= fewest, "{calls}");
        join_all((0..calls).map(|fails| way(route, act, fails))).await;
    }
}

const FAILURES: [Act; 4] = [
    Act::Fail { status: 400, code: "AccessDeniedException" },
    Act::Fail { status: 500, code: "InternalServerError" },
    Act::ServeThenFail { status: 500, code: "InternalServerError" },
    Act::Conflict,
];

/// The process ends before the call takes effect, or after it.
const KILLS: [Act; 2] = [Act::Hang, Act::ServeThenHang];

#[tokio::test]
async fn one_call_that_fails_anywhere_loses_nothing_and_starts_nothing_twice() {
    each_call("single", 16, &FAILURES).await;
}

#[tokio::test]
async fn a_function_that_is_killed_at_any_call_loses_nothing_and_starts_nothing_twice() {
    each_call("single", 16, &KILLS).await;
}

#[tokio::test]
async fn whatever_fails_or_is_killed_a_batch_is_announced_and_each_event_says_the_same() {
    for (route, fewest) in [("told", 4), ("announced", 14)] {
        each_call(route, fewest, &FAILURES).await;
        each_call(route, fewest, &KILLS).await;
    }
}
