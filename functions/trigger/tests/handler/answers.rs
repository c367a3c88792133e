//! Which messages go back to the queue, and what a direct invocation returns.

use std::time::Duration;

use lambda_runtime::Diagnostic;
use landfall_stand_ins::Act;
use serde_json::json;

use crate::stage::{Stage, arrivals, body, history, messages, record};

const NONE: [&str; 0] = [];

fn refuse(stage: &Stage) {
    let act = Act::Fail { status: 400, code: "AccessDeniedException" };
    stage.aws.answer("TransactWriteItems", move |_, _| act.clone());
}

#[tokio::test]
async fn one_malformed_message_among_many_fails_alone() {
    let stage = Stage::new().await;
    let mut bodies: Vec<String> = (0..50).map(|n| body(&format!("orders/1/{n}"))).collect();
    bodies[17] = "not an event".to_owned();
    assert_eq!(stage.failures(&messages(&bodies)).await, ["m17"]);
    assert_eq!(stage.starts().len(), 1);
}

#[tokio::test]
async fn messages_go_back_if_the_ledger_cannot_record_what_they_tell() {
    let stage = Stage::new().await;
    refuse(&stage);
    let event = arrivals(&["orders/1/a", "unrouted", "orders/2/a"]);
    assert_eq!(stage.failures(&event).await, ["m0", "m2"]);
    assert_eq!((stage.starts().len(), stage.batches().await.len()), (0, 0));
    assert_eq!(stage.codes()["ledger_failed"], 2, "one a group");
    let error = stage.invoke(&json!({ "Records": [record("orders/1/a")] })).await.unwrap_err();
    assert_eq!(error.code(), "ledger_failed");
    stage.aws.clear_rules();
    assert_eq!(stage.failures(&event).await, NONE);
    assert_eq!(stage.starts().len(), 2);
}

#[tokio::test]
async fn a_recording_that_can_never_succeed_is_not_tried_again() {
    let stage = Stage::new().await;
    let cancelled = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled",
        "CancellationReasons": [{ "Code": "None" }, { "Code": "ValidationError" }],
    });
    let act = Act::Answer { status: 400, body: cancelled.to_string() };
    stage.aws.answer("TransactWriteItems", move |_, _| act.clone());
    assert_eq!(stage.failures(&arrivals(&["orders/1/a"])).await, ["m0"]);
    assert_eq!(stage.aws.calls_of("TransactWriteItems").len(), 1);
    assert_eq!(stage.codes(), [("ledger_failed".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_group_that_cannot_be_recorded_does_not_hinder_the_others() {
    let stage = Stage::new().await;
    stage.aws.answer("TransactWriteItems", |call, _| match call.body.to_string() {
        body if body.contains("orders/2/") => {
            Act::Fail { status: 400, code: "ResourceNotFoundException" }
        }
        _ => Act::Serve,
    });
    assert_eq!(stage.failures(&arrivals(&["orders/1/a", "orders/2/a", "named/x"])).await, ["m1"]);
    assert_eq!((stage.aws.runs("orders").len(), stage.aws.runs("named").len()), (1, 1));
}

#[tokio::test]
async fn a_recording_whose_answer_is_lost_is_asked_for_again_and_counts_once() {
    let stage = Stage::new().await;
    stage.aws.answer("TransactWriteItems", |_, n| match n {
        0 => Act::ServeThenFail { status: 500, code: "InternalServerError" },
        _ => Act::Serve,
    });
    assert_eq!(stage.failures(&arrivals(&["orders/1/a", "orders/1/b"])).await, NONE);
    assert_eq!(stage.aws.runs("orders").len(), 1);
    let batch = stage.batch().await;
    assert_eq!((batch.members, batch.state.name()), (2, "started"));
}

#[tokio::test]
async fn a_message_that_stands_twice_in_a_batch_is_named_once_in_the_answer() {
    let stage = Stage::new().await;
    refuse(&stage);
    let mut event = arrivals(&["orders/1/a", "orders/1/a"]);
    event["Records"][1]["messageId"] = "m0".into();
    assert_eq!(stage.failures(&event).await, ["m0"]);
}

#[tokio::test]
async fn an_argument_that_would_begin_with_a_dash_fails_its_message_alone() {
    let stage = Stage::new().await;
    assert_eq!(stage.failures(&arrivals(&["named/-rf", "named/x"])).await, ["m0"]);
    assert_eq!(stage.starts().len(), 1);
}

#[tokio::test]
async fn a_message_of_which_one_object_is_refused_starts_nothing() {
    let stage = Stage::new().await;
    let both = json!({ "Records": [record("orders/1/a"), record("named/-rf")] });
    let event = messages(&[both.to_string(), body("orders/1/b")]);
    for _ in 0..2 {
        assert_eq!(stage.failures(&event).await, ["m0"]);
    }
    let starts = stage.starts();
    assert_eq!(starts.len(), 1, "the sibling, once");
    assert_eq!(stage.inputs(&starts[0]), ["s3://landing/orders/1/b"]);
    let error = stage.invoke(&both).await.unwrap_err();
    assert_eq!(error.code(), "argument_leading_dash");
}

#[tokio::test]
async fn nothing_is_begun_that_could_be_cut_off_by_the_time_out() {
    let stage = Stage::new().await;
    let event = arrivals(&["orders/1/a", "unrouted"]);
    let left = Duration::from_secs(5);
    assert_eq!(stage.failures_with(&event, left).await, ["m0"]);
    let event = json!({ "Records": [record("orders/1/a")] });
    let error = stage.invoke_with(&event, left).await.unwrap_err();
    assert_eq!(error.code(), "out_of_time");
    assert_eq!(stage.aws.calls(), []);
}

#[tokio::test]
async fn what_was_recorded_and_cannot_be_started_in_time_is_due_and_acknowledged() {
    let stage = Stage::new().await;
    let event = arrivals(&["orders/1/a", "orders/2/a"]);
    // This is enough time to record the arrivals, and too little for a start.
    assert_eq!(stage.failures_with(&event, Duration::from_secs(15)).await, NONE);
    assert_eq!((stage.starts().len(), stage.assumptions().len()), (0, 0));
    let batches = stage.batches().await;
    assert!(batches.iter().all(|b| history(b) == ["opened", "sealed"]), "{batches:?}");
    assert_eq!(stage.due().await, batches.into_iter().map(|batch| batch.id).collect());
}

#[tokio::test]
async fn a_direct_invocation_tells_its_batches() {
    let stage = Stage::new().await;
    let keys = ["orders/1/a", "windowed/1/a", "other"];
    let records = keys.map(record);
    let event = json!({ "Records": records });
    let answer = serde_json::to_value(stage.invoke(&event).await.expect("an answer"));
    let batches = stage.batches().await;
    let id = |route: &str| batches.iter().find(|b| b.route == route).expect(route).id.clone();
    let expected = json!({
        "batches": [
            {
                "route": "orders", "batch_id": id("orders"), "state": "started",
                "job_run_id": "jr_1",
            },
            { "route": "windowed", "batch_id": id("windowed"), "state": "open" },
        ],
        "duplicates": 0,
        "ignored": {},
        "unmatched": 1,
    });
    assert_eq!(answer.expect("JSON"), expected);
    let again = serde_json::to_value(stage.invoke(&event).await.expect("an answer"));
    let again = again.expect("JSON");
    assert_eq!((&again["batches"], &again["duplicates"]), (&json!([]), &json!(2)));
}

#[tokio::test]
async fn a_pipe_is_answered_like_a_queue_and_sns_like_who_invokes_directly() {
    let stage = Stage::new().await;
    let mut of_pipe = arrivals(&["orders/1/a", "orders/2/a"])["Records"].take();
    of_pipe[0]["body"] = "not an event".into();
    assert_eq!(stage.failures(&of_pipe).await, ["m0"]);
    assert_eq!(stage.starts().len(), 1);
    let notification = json!({ "Type": "Notification", "Message": body("orders/3/a") });
    let of_sns = json!({ "Records": [{ "EventSource": "aws:sns", "Sns": notification }] });
    let answer = serde_json::to_value(stage.invoke(&of_sns).await.expect("an answer"));
    assert_eq!(answer.expect("JSON")["batches"][0]["state"], "started");
    assert_eq!(stage.starts().len(), 2);
    let unknown = json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Message": "{}" } }] });
    let error = stage.invoke(&unknown).await.unwrap_err();
    assert_eq!(error.code(), "event_unknown_envelope");
}

#[tokio::test]
async fn an_event_of_no_known_kind_fails_with_a_stable_code() {
    let stage = Stage::new().await;
    let error = stage.invoke(&json!({ "hello": "world" })).await.unwrap_err();
    assert_eq!(Diagnostic::from(error).error_type, "event_unknown_envelope");
}

#[tokio::test]
async fn a_queue_without_messages_is_answered_without_failures() {
    let stage = Stage::new().await;
    let test_event = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent" }).to_string();
    assert_eq!(stage.failures(&messages(&[test_event])).await, NONE);
    assert_eq!(stage.aws.calls(), []);
}
