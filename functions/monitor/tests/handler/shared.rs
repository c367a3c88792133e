//! Shared work: what a tick or the trigger hands on, other invocations take up.

use std::collections::BTreeSet;
use std::time::Duration;

use landfall_stand_ins::Act;
use serde_json::{Value, json};

use crate::stage::{LEFT, Stage};

const NONE: [&str; 0] = [];

/// The number of batches that one invocation takes up in a minute, and that a tick takes up itself
/// before it hands any on.
const IN_A_MINUTE: usize = 600;
const OWN: usize = 100;
const IN_A_MESSAGE: usize = 25;

async fn stage() -> Stage {
    let queue = "arn:aws:sqs:eu-west-1:111111111111:landfall-work";
    Stage::with(&[("LANDFALL_WORK_QUEUE_ARN", queue), ("LANDFALL_WORK_CONCURRENCY", "1")]).await
}

fn bodies(stage: &Stage) -> Vec<Value> {
    let sent = stage.aws.take_messages("landfall-work").into_iter();
    sent.map(|message| message["MessageBody"].clone()).collect()
}

fn ids(bodies: &[Value]) -> BTreeSet<String> {
    let ids = bodies.iter().flat_map(|body| {
        let body: Value = serde_json::from_str(body.as_str().expect("a text")).expect("JSON");
        let ids = body["detail"]["batchIds"].as_array().expect("ids").clone();
        assert!(ids.len() <= IN_A_MESSAGE, "{ids:?}");
        ids
    });
    ids.map(|id| id.as_str().expect("a text").to_owned()).collect()
}

/// Makes this many batches that are due.
async fn due(stage: &Stage, count: usize) {
    stage.record(&["orders/1/a"]).await;
    let batch = stage.batch().await;
    stage.aws.take_messages("landfall-work");
    stage.copies(&batch, count - 1, 100, |_| {});
}

#[tokio::test]
async fn a_tick_hands_on_what_others_can_take_up_and_each_batch_is_started_once() {
    const MORE: usize = 20;
    let stage = stage().await;
    due(&stage, OWN + IN_A_MINUTE + MORE).await;
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, ticked.left), (OWN + IN_A_MINUTE + MORE, 0));
    assert_eq!((ticked.handed_on, stage.starts()), (IN_A_MINUTE, OWN + MORE));
    let bodies = bodies(&stage);
    assert_eq!((bodies.len(), ids(&bodies).len()), (IN_A_MINUTE / IN_A_MESSAGE, IN_A_MINUTE));
    // SQS may deliver a message twice, at once or later, and two messages to one invocation.
    let (first, second) = bodies.split_at(3);
    tokio::join!(stage.messages(first, LEFT), stage.messages(first, LEFT));
    for bodies in [second, first] {
        assert_eq!(stage.messages(bodies, LEFT).await, NONE);
    }
    let runs = stage.aws.runs("orders");
    let started: BTreeSet<&String> =
        runs.iter().map(|run| &run.arguments["--landfall-batch-id"]).collect();
    assert_eq!((runs.len(), started.len()), (OWN + IN_A_MINUTE + MORE, runs.len()));
}

#[tokio::test]
async fn what_cannot_be_handed_on_the_tick_takes_up_itself() {
    let stage = stage().await;
    stage.aws.answer("SendMessageBatch", |_, _| Act::Fail { status: 403, code: "AccessDenied" });
    due(&stage, OWN + 10).await;
    let ticked = stage.tick().await;
    assert_eq!((ticked.handed_on, ticked.left, stage.starts()), (0, 0, OWN + 10));
}

#[tokio::test]
async fn a_message_that_names_what_is_not_due_or_not_there_costs_one_call_and_no_message_comes_back()
 {
    let stage = stage().await;
    stage.arrive(&["orders/1/a"]).await;
    let id = stage.batch().await.id;
    stage.aws.clear_calls();
    let body = |ids: &[&str]| json!({ "source": "landfall", "detail-type": "Landfall Batches Due", "detail": { "batchIds": ids } });
    let bodies = [body(&[&id, &id, "none"])];
    assert_eq!(stage.messages(&bodies, LEFT).await, NONE);
    let calls = stage.aws.usage().calls;
    assert_eq!(calls, [("BatchGetItem".to_owned(), 1)].into());
    // The tick finds the batches of a lost message.
    stage.aws.answer("BatchGetItem", |_, _| Act::Fail { status: 500, code: "InternalServerError" });
    stage.make_due(stage.batch().await).await;
    assert_eq!(stage.messages(&[body(&[&id])], LEFT).await, NONE);
    assert_eq!(stage.codes(), [("ledger_failed".to_owned(), 1)].into());
    stage.aws.clear_rules();
    assert_eq!(stage.tick().await.due, 1);
}

#[tokio::test]
async fn a_thousand_groups_are_acknowledged_though_glue_is_slow_and_the_monitor_starts_the_rest() {
    const GROUPS: usize = 1_000;
    // The tick begins starts for five seconds, eight at a time.
    const MAX_BEGUN: usize = 8 * 3;
    let stage = stage().await;
    stage.aws.answer("StartJobRun", |_, _| Act::ServeLate(Duration::from_secs(2)));
    let keys: Vec<String> = (0..GROUPS).map(|n| format!("orders/{n}/a")).collect();
    assert_eq!(stage.arrive_in_messages(&keys).await, NONE);
    let begun = stage.starts();
    assert!((1..=MAX_BEGUN).contains(&begun), "{begun}");
    let bodies = bodies(&stage);
    let left = ids(&bodies);
    assert_eq!(left.len(), GROUPS - begun);
    stage.aws.clear_rules();
    let some = &bodies[..3];
    assert_eq!(stage.messages(some, LEFT).await, NONE);
    let started = stage.aws.runs("orders");
    let started: BTreeSet<&String> =
        started.iter().map(|run| &run.arguments["--landfall-batch-id"]).collect();
    assert_eq!(started.len(), begun + ids(some).len());
    assert!(ids(some).iter().all(|id| started.contains(id)));
}

#[tokio::test]
async fn what_the_trigger_cannot_hand_on_the_next_tick_starts() {
    let stage = stage().await;
    stage.aws.answer("SendMessageBatch", |_, _| Act::Drop);
    // The invocation has no time left to start anything.
    stage.record(&["orders/1/a", "orders/2/a"]).await;
    assert_eq!(stage.starts(), 0);
    assert_eq!((stage.tick().await.due, stage.starts()), (2, 2));
}
