//! The tick as a whole.

use std::collections::BTreeSet;
use std::time::Duration;

use expect_test::expect;
use landfall_core::batch::{Batch, State};
use serde_json::Value;

use crate::stage::{NOT_ENOUGH, Stage, history, past};

#[tokio::test]
async fn what_the_trigger_recorded_and_did_not_start_the_tick_starts() {
    let stage = Stage::new().await;
    stage.record(&["orders/1/a", "orders/2/a", "single/x"]).await;
    assert_eq!(stage.starts(), 0);
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, ticked.left, ticked.more), (3, 0, false));
    assert_eq!((stage.aws.runs("orders").len(), stage.aws.runs("single").len()), (2, 1));
    assert_eq!(stage.tick().await.due, 0);
}

#[tokio::test]
async fn several_ticks_at_once_start_one_run() {
    let stage = Stage::new().await;
    stage.record(&["orders/1/a", "single/x"]).await;
    tokio::join!(stage.tick(), stage.tick(), stage.tick());
    assert_eq!(stage.starts(), 2);
    for batch in stage.batches().await {
        assert_eq!(history(&batch), ["opened", "sealed", "starting", "started"]);
        assert_eq!(batch.epoch, 1);
    }
    assert_eq!(stage.live("single").await, 1);
}

#[tokio::test]
async fn a_tick_without_time_leaves_what_is_due_and_says_how_much() {
    let stage = Stage::new().await;
    stage.record(&["orders/1/a", "orders/2/a"]).await;
    for left in [NOT_ENOUGH, Duration::from_secs(1)] {
        let ticked = stage.tick_with(left).await;
        assert_eq!((ticked.due, ticked.left), (2, 2));
    }
    assert_eq!(stage.starts(), 0);
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, ticked.left, stage.starts()), (2, 0, 2));
}

#[tokio::test]
async fn a_tick_says_for_how_long_the_oldest_has_been_due() {
    let stage = Stage::new().await;
    stage.record(&["orders/1/a", "orders/2/a"]).await;
    let batch = stage.batches().await.remove(0);
    let state = State::Sealed { due: past(100), waits_for_slot: false };
    stage.write(Batch { state, ..batch }).await;
    let ticked = stage.tick().await;
    assert!((100..160).contains(&ticked.oldest_due_seconds), "{ticked:?}");
}

#[tokio::test]
async fn metrics_tell_what_was_due_and_what_became_of_it() {
    let stage = Stage::new().await;
    stage.record(&["orders/1/a", "orders/1/b", "single/1"]).await;
    stage.tick().await;
    assert!(stage.aws.set_run_state(&stage.run("single").id, "SUCCEEDED"));
    stage.end(&stage.run("orders"), "FAILED").await;
    stage.told(&[&stage.run("orders"), &stage.run("single")]).await;
    stage.tick().await;
    let mut told = String::new();
    for mut line in stage.metrics() {
        let metrics = line["_aws"]["CloudWatchMetrics"].take();
        assert_eq!(metrics[0]["Namespace"], "Landfall");
        let units: BTreeSet<String> = metrics[0]["Metrics"]
            .as_array()
            .expect("metrics")
            .iter()
            .map(|metric| format!("{} in {}", metric["Name"], metric["Unit"]).replace('"', ""))
            .collect();
        let line = line.as_object_mut().expect("an object");
        line.remove("_aws");
        for name in ["OldestDueSeconds", "SecondsToStart"] {
            if let Some(seconds) = line.get_mut(name).map(Value::take) {
                assert!(
                    seconds.as_f64().is_some_and(|seconds| (0.0..120.0).contains(&seconds)),
                    "{seconds}"
                );
            }
        }
        told.push_str(&format!("{}\n", serde_json::to_string(&line).expect("JSON")));
        told.push_str(&format!("  by {}: {units:?}\n", metrics[0]["Dimensions"]));
    }
    expect![[r#"
        {"BytesStarted":2,"JobRunsFailed":0,"JobRunsNotStarted":0,"JobRunsStarted":1,"JobRunsSucceeded":0,"JobRunsSucceededUnclaimed":0,"Ledger":"ledger","ObjectsStarted":2,"Route":"orders","SecondsToStart":null}
          by [["Ledger"],["Ledger","Route"]]: {"BytesStarted in Bytes", "JobRunsFailed in Count", "JobRunsNotStarted in Count", "JobRunsStarted in Count", "JobRunsSucceeded in Count", "JobRunsSucceededUnclaimed in Count", "ObjectsStarted in Count", "SecondsToStart in Seconds"}
        {"BytesStarted":1,"JobRunsFailed":0,"JobRunsNotStarted":0,"JobRunsStarted":1,"JobRunsSucceeded":0,"JobRunsSucceededUnclaimed":0,"Ledger":"ledger","ObjectsStarted":1,"Route":"single","SecondsToStart":null}
          by [["Ledger"],["Ledger","Route"]]: {"BytesStarted in Bytes", "JobRunsFailed in Count", "JobRunsNotStarted in Count", "JobRunsStarted in Count", "JobRunsSucceeded in Count", "JobRunsSucceededUnclaimed in Count", "ObjectsStarted in Count", "SecondsToStart in Seconds"}
        {"BatchesDue":2,"BatchesLeft":0,"BatchesParked":0,"BatchesStuck":0,"Ledger":"ledger","OldestBlockedSeconds":0,"OldestDueSeconds":null,"OldestWaitingSeconds":0}
          by [["Ledger"]]: {"BatchesDue in Count", "BatchesLeft in Count", "BatchesParked in Count", "BatchesStuck in Count", "OldestBlockedSeconds in Seconds", "OldestDueSeconds in Seconds", "OldestWaitingSeconds in Seconds"}
        {"BytesStarted":0,"JobRunsFailed":1,"JobRunsNotStarted":0,"JobRunsStarted":0,"JobRunsSucceeded":0,"JobRunsSucceededUnclaimed":0,"Ledger":"ledger","ObjectsStarted":0,"Route":"orders"}
          by [["Ledger"],["Ledger","Route"]]: {"BytesStarted in Bytes", "JobRunsFailed in Count", "JobRunsNotStarted in Count", "JobRunsStarted in Count", "JobRunsSucceeded in Count", "JobRunsSucceededUnclaimed in Count", "ObjectsStarted in Count"}
        {"Code":"attempts_exhausted","Failures":1,"Ledger":"ledger"}
          by [["Ledger","Code"]]: {"Failures in Count"}
        {"Code":"not_claimed","Failures":1,"Ledger":"ledger"}
          by [["Ledger","Code"]]: {"Failures in Count"}
        {"BatchesDue":0,"BatchesLeft":0,"BatchesParked":2,"BatchesStuck":0,"Ledger":"ledger","OldestBlockedSeconds":0,"OldestDueSeconds":null,"OldestWaitingSeconds":0}
          by [["Ledger"]]: {"BatchesDue in Count", "BatchesLeft in Count", "BatchesParked in Count", "BatchesStuck in Count", "OldestBlockedSeconds in Seconds", "OldestDueSeconds in Seconds", "OldestWaitingSeconds in Seconds"}
    "#]].assert_eq(&told);
}
