//! Batches that stay open: for a time, until nothing more arrives, for a number of objects, or for
//! a marker.

use std::collections::BTreeSet;
use std::time::Duration;

use landfall_core::batch::{Batch, State};
use landfall_core::moment::Time;
use landfall_stand_ins::Act;

use crate::stage::{Stage, arrivals};

const NONE: [&str; 0] = [];

/// Returns when an open batch closes, or `None` if the batch isn't open.
fn closes_at(batch: &Batch) -> Option<Time> {
    match batch.state {
        State::Open { closes_at } => Some(closes_at),
        _ => None,
    }
}

#[tokio::test]
async fn what_waits_for_more_is_recorded_into_one_open_batch_and_starts_nothing() {
    let stage = Stage::new().await;
    for keys in [["windowed/1/a", "quiet/1/a"], ["windowed/1/b", "quiet/1/b"]] {
        assert_eq!(stage.failures(&arrivals(&keys)).await, NONE);
    }
    let batches = stage.batches().await;
    assert_eq!(batches.len(), 2, "one a group");
    for batch in &batches {
        let first = batch.first_arrival_at.expect("it has members");
        let last = batch.last_arrival_at.expect("it has members");
        let end = match batch.route.as_str() {
            "windowed" => first + Duration::from_secs(300),
            _ => last + Duration::from_secs(60),
        };
        assert_eq!((batch.members, closes_at(batch)), (2, Some(end)), "{batch:?}");
        assert!(first < last, "{batch:?}");
    }
    assert_eq!((stage.starts().len(), stage.assumptions().len()), (0, 0));
    assert_eq!(stage.due().await, BTreeSet::new());
}

#[tokio::test]
async fn a_batch_that_is_full_is_started_at_once_and_the_rest_opens_the_next() {
    let stage = Stage::new().await;
    let keys = ["counted/1/a", "counted/1/b", "counted/1/c", "counted/1/d"];
    assert_eq!(stage.failures(&arrivals(&keys[..2])).await, NONE);
    assert_eq!(stage.starts().len(), 0);
    // Objects that the open batch already has take no room in it.
    assert_eq!(stage.failures(&arrivals(&keys)).await, NONE);
    let starts = stage.starts();
    assert_eq!(starts.len(), 1);
    let inputs = keys[..3].iter().map(|key| format!("s3://landing/{key}"));
    assert_eq!(stage.inputs(&starts[0]), inputs.collect::<Vec<_>>());
    let states: Vec<(&str, u64)> =
        stage.batches().await.iter().map(|batch| (batch.state.name(), batch.members)).collect();
    assert_eq!(states, [("started", 3), ("open", 1)]);
}

#[tokio::test]
async fn more_than_a_batch_takes_is_started_in_full_batches() {
    let stage = Stage::new().await;
    let keys: Vec<String> = (0..8).map(|n| format!("counted/1/{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(stage.failures(&arrivals(&keys)).await, NONE);
    let sizes: Vec<u64> = stage.batches().await.iter().map(|batch| batch.members).collect();
    assert_eq!((sizes, stage.starts().len()), (vec![3, 3, 2], 2));
}

#[tokio::test]
async fn a_marker_closes_its_batch_when_the_data_has_settled() {
    // The marker arrives with its data, before it, or after it.
    for invocations in [
        vec![vec!["marked/1/_SUCCESS", "marked/1/a"]],
        vec![vec!["marked/1/_SUCCESS"], vec!["marked/1/a"]],
        vec![vec!["marked/1/a"], vec!["marked/1/_SUCCESS"]],
    ] {
        let stage = Stage::new().await;
        for keys in &invocations {
            assert_eq!(stage.failures(&arrivals(keys)).await, NONE);
        }
        let batch = stage.batch().await;
        let marker = batch.marker_at.expect("it came");
        let first = batch.first_arrival_at.expect("it has a member");
        let end = marker.max(first) + Duration::from_secs(30);
        assert_eq!((batch.members, closes_at(&batch)), (1, Some(end)), "{invocations:?}");
        assert_eq!(stage.starts().len(), 0);
        // A repeated marker doesn't postpone the end.
        assert_eq!(stage.failures(&arrivals(&["marked/1/_SUCCESS"])).await, NONE);
        assert_eq!(stage.batch().await, batch);
    }
}

#[tokio::test]
async fn a_group_whose_transactions_meet_others_is_tried_again() {
    let stage = Stage::new().await;
    stage.aws.answer("TransactWriteItems", |_, number| match number {
        0..3 => Act::Conflict,
        _ => Act::Serve,
    });
    for key in ["windowed/1/a", "orders/1/a"] {
        assert_eq!(stage.failures(&arrivals(&[key])).await, NONE);
    }
    let members: Vec<u64> = stage.batches().await.iter().map(|batch| batch.members).collect();
    assert_eq!((members, stage.starts().len()), (vec![1, 1], 1));
}

#[tokio::test]
async fn a_group_whose_transactions_always_meet_others_goes_back_when_time_is_short() {
    let stage = Stage::new().await;
    stage.aws.answer("TransactWriteItems", |_, _| Act::Conflict);
    // A call may take ten seconds, and retries have only what is left beyond that.
    let left = Duration::from_millis(10_400);
    assert_eq!(stage.failures_with(&arrivals(&["windowed/1/a"]), left).await, ["m0"]);
    assert_eq!(stage.codes(), [("ledger_contended".to_owned(), 1)].into());
    let tries = stage.aws.calls_of("TransactWriteItems").len();
    assert!((2..=10).contains(&tries), "{tries}");
}

#[tokio::test]
async fn many_that_write_to_one_group_at_once_record_each_arrival_in_one_batch() {
    let stage = Stage::new().await;
    let keys: Vec<String> = (0..12).map(|n| format!("counted/1/{n}")).collect();
    let events: Vec<_> = keys.iter().map(|key| arrivals(&[key])).collect();
    // Deliver each event twice, and all of them side by side.
    let invocations = events.iter().chain(&events).map(|event| stage.failures(event));
    let failures = futures_util::future::join_all(invocations).await;
    assert_eq!(failures.concat(), NONE);
    let batches = stage.batches().await;
    assert_eq!(batches.iter().map(|batch| batch.members).sum::<u64>(), 12);
    let starts = stage.starts();
    let mut inputs: Vec<String> = starts.iter().flat_map(|start| stage.inputs(start)).collect();
    let expected: BTreeSet<String> = keys.iter().map(|key| format!("s3://landing/{key}")).collect();
    inputs.sort_unstable();
    // Only full batches start, and no object starts twice.
    assert_eq!((starts.len(), inputs.len()), (4, 12));
    assert_eq!(inputs, expected.into_iter().collect::<Vec<_>>());
}
