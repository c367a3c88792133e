//! Messages that report the ends of runs.

use landfall_stand_ins::Act;
use serde_json::json;

use crate::stage::{LEFT, NOT_ENOUGH, Stage, ended};

const NONE: [&str; 0] = [];

#[tokio::test]
async fn an_event_for_a_run_that_no_batch_follows_is_acknowledged() {
    let stage = Stage::new().await;
    stage.arrive(&["orders/x/a"]).await;
    let before = stage.batch().await;
    let events =
        [ended("orders", "jr_other"), ended("other", "jr_1"), json!({ "source": "aws.s3" })];
    assert_eq!(stage.messages(&events, LEFT).await, NONE);
    assert_eq!(stage.batch().await, before);
}

#[tokio::test]
async fn a_malformed_event_fails_its_message_alone() {
    let stage = Stage::new().await;
    stage.arrive(&["orders/x/a"]).await;
    stage.end(&stage.run("orders"), "SUCCEEDED").await;
    let mut without = ended("orders", "jr_1");
    without["detail"].as_object_mut().expect("an object").remove("jobRunId");
    let events = [json!("{"), ended("orders", "jr_1"), without];
    assert_eq!(stage.messages(&events, LEFT).await, ["m0", "m2"]);
    assert_eq!(stage.batch().await.state.name(), "succeeded");
    let codes = [("event_malformed".to_owned(), 1), ("event_not_json".to_owned(), 1)];
    assert_eq!(stage.codes(), codes.into());
}

#[tokio::test]
async fn an_event_that_comes_many_times_at_once_ends_its_batch_once() {
    let stage = Stage::new().await;
    stage.arrive(&["single/1"]).await;
    stage.arrive(&["single/2"]).await;
    let run = stage.aws.runs("single").remove(0);
    stage.end(&run, "SUCCEEDED").await;
    let (thrice, once) = ([&run, &run, &run], [&run]);
    let (one, other) = tokio::join!(stage.told(&thrice), stage.told(&once));
    assert_eq!([one, other].concat(), NONE);
    assert_eq!(stage.told(&[&run]).await, NONE);
    let states: Vec<&str> = stage.batches().await.iter().map(|b| b.state.name()).collect();
    assert_eq!((states, stage.starts()), (vec!["succeeded", "started"], 2));
    let succeeded: u64 =
        stage.metrics().iter().filter_map(|line| line["JobRunsSucceeded"].as_u64()).sum();
    assert_eq!(succeeded, 1);
}

#[tokio::test]
async fn an_event_that_comes_before_its_run_has_ended_changes_nothing_that_counts() {
    let stage = Stage::new().await;
    stage.arrive(&["orders/x/a"]).await;
    assert_eq!(stage.told(&[&stage.run("orders")]).await, NONE);
    assert_eq!(stage.batch().await.state.name(), "started");
    stage.end(&stage.run("orders"), "SUCCEEDED").await;
    assert_eq!(stage.told(&[&stage.run("orders")]).await, NONE);
    assert_eq!(stage.batch().await.state.name(), "succeeded");
}

#[tokio::test]
async fn messages_go_back_if_the_ledger_cannot_be_read_or_written() {
    for operation in ["Query", "GetItem", "PutItem"] {
        let stage = Stage::new().await;
        stage.arrive(&["orders/x/a"]).await;
        let run = stage.run("orders");
        stage.end(&run, "SUCCEEDED").await;
        stage.aws.answer(operation, |call, _| {
            if call.body["TableName"] == "ledger" {
                Act::Fail { status: 400, code: "AccessDeniedException" }
            } else {
                Act::Serve
            }
        });
        let events = [ended("orders", "jr_1"), json!({ "source": "aws.s3" })];
        assert_eq!(stage.messages(&events, LEFT).await, ["m0"], "{operation}");
        assert_eq!(stage.codes(), [("ledger_failed".to_owned(), 1)].into(), "{operation}");
        stage.aws.clear_rules();
        assert_eq!(stage.told(&[&run]).await, NONE);
        assert_eq!(stage.batch().await.state.name(), "succeeded", "{operation}");
    }
}

/// Its ledger is out for so long that SQS would move the message to the dead-letter queue.
#[tokio::test]
async fn the_end_of_a_run_is_acknowledged_before_the_last_delivery_and_the_tick_learns_of_it() {
    const DELIVERIES: [u64; 4] = [1, 4, 5, 10];
    let of_this_version = [("LANDFALL_MAX_RECEIVE_COUNT", "10")];
    for (settings, goes_back) in [
        (&of_this_version[..], [true, true, false, false]),
        // A template of an earlier version does not tell how many there are.
        (&[], [true; 4]),
    ] {
        let stage = Stage::with(settings).await;
        stage.arrive(&["orders/x/a"]).await;
        let run = stage.run("orders");
        stage.end(&run, "SUCCEEDED").await;
        stage.aws.answer("Query", |_, _| Act::Fail { status: 400, code: "AccessDeniedException" });
        for (count, goes_back) in DELIVERIES.into_iter().zip(goes_back) {
            // What cannot be read belongs in the dead-letter queue.
            let events = [json!("{"), ended("orders", &run.id), json!({ "source": "aws.s3" })];
            let expected = if goes_back { &["m0", "m1"][..] } else { &["m0"] };
            assert_eq!(stage.messages_again(&events, count, LEFT).await, expected, "{count}");
        }
        assert_eq!(stage.codes()["ledger_failed"], 4);
        let given_up = goes_back.iter().filter(|goes_back| !**goes_back).count() as u64;
        assert_eq!(stage.codes().get("run_event_given_up").copied().unwrap_or_default(), given_up);
        stage.aws.clear_rules();
        stage.make_due(stage.batch().await).await;
        stage.tick().await;
        assert_eq!(stage.batch().await.state.name(), "succeeded");
    }
}

#[tokio::test]
async fn a_message_for_which_there_is_no_time_goes_back() {
    let stage = Stage::new().await;
    stage.arrive(&["orders/x/a"]).await;
    let run = stage.run("orders");
    stage.end(&run, "SUCCEEDED").await;
    // This is enough time to look at the run, and too little to start the batch that waits.
    let event = [ended("orders", "jr_1")];
    let short = std::time::Duration::from_secs(5);
    assert_eq!(stage.messages(&event, short).await, ["m0"]);
    assert_eq!(stage.batch().await.state.name(), "started");
    assert_eq!(stage.messages(&event, NOT_ENOUGH).await, NONE);
    assert_eq!(stage.batch().await.state.name(), "succeeded");
}
