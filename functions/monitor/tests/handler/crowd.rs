//! A batch of the maximum size.

use std::collections::BTreeSet;
use std::time::Duration;

use landfall_core::batch::Batch;
use landfall_stand_ins::{Act, Call};
use serde_json::{Value, json};

use crate::stage::{LEDGER, Stage, history};

const OBJECTS: usize = 100_000;

/// The maximum number of messages that SQS passes to one invocation.
const AN_INVOCATION: usize = 10_000;

/// The number of arrivals that the first transaction of a batch takes. Each other one takes one
/// more.
const A_TRANSACTION: usize = 97;

/// The time to record that many arrivals in a debug build, on a machine that does other things too.
const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn a_batch_of_100000_objects_is_started_with_a_manifest_of_them_all() {
    let stage = Stage::new().await;
    stage.aws.remember_calls(false);
    let keys: Vec<String> = (0..OBJECTS).map(|n| format!("marked/1/{n}.csv")).collect();
    for keys in keys.chunks(AN_INVOCATION) {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        stage.try_arrive(&keys, LONG).await.expect("recorded");
    }
    // The batch is full, whatever its route says.
    let batch = stage.batch().await;
    assert_eq!(batch.members, OBJECTS as u64);
    assert_eq!(batch.state.name(), "started", "{:?}", batch.history);
    assert_eq!(batch.prepared.expect("it has a manifest").objects, OBJECTS as u64);
    let calls = stage.aws.usage().calls;
    assert_eq!((calls["StartJobRun"], calls["PutObject"]), (1, 1));
    let transactions = calls["TransactWriteItems"];
    assert!(transactions <= OBJECTS.div_ceil(A_TRANSACTION) as u64 + 10, "{transactions}");

    let run = stage.run("marked");
    let manifest = run.arguments["--landfall-manifest"].strip_prefix("s3://manifests/");
    let manifest = stage.aws.object("manifests", manifest.expect("in the bucket of manifests"));
    let manifest: Value = serde_json::from_slice(&manifest.expect("it is there")).expect("JSON");
    let entries = manifest["entries"].as_array().expect("entries");
    assert_eq!(entries.len(), OBJECTS);
    let urls: BTreeSet<&str> =
        entries.iter().map(|entry| entry["url"].as_str().expect("a URL")).collect();
    let arrived: Vec<String> = keys.iter().map(|key| format!("s3://landing/{key}")).collect();
    assert!(urls.into_iter().eq(arrived.iter().map(String::as_str).collect::<BTreeSet<&str>>()));
}

/// Makes a closed batch with one object in each chunk, as invocations of one object each make it.
async fn of_many_chunks(stage: &Stage, chunks: u32) -> Batch {
    stage.record(&["orders/1/0"]).await;
    let batch = stage.batch().await;
    for number in 1..chunks {
        let doc = json!({ "v": 1, "members": [{ "key": format!("orders/1/{number}") }] });
        let pk = format!("chunk#{}#{number}", batch.id);
        let item = json!({
            "pk": { "S": pk }, "sk": { "S": "chunk" }, "v": { "N": "1" }, "doc": { "S": doc.to_string() },
        });
        assert!(stage.aws.put_item(LEDGER, &item));
    }
    stage.aws.clear_calls();
    stage.write(Batch { members: u64::from(chunks), chunks, ..batch }).await
}

/// Answers as DynamoDB does when it processes none of the requested items.
fn nothing_of(call: &Call) -> Act {
    let body = json!({ "Responses": {}, "UnprocessedKeys": call.body["RequestItems"] });
    Act::Answer { status: 200, body: body.to_string() }
}

#[tokio::test]
async fn a_batch_in_more_chunks_than_one_may_have_is_started_within_one_tick() {
    // The previous version closed a batch when its window was over, however many objects it had.
    const CHUNKS: u32 = 30_000;
    let stage = Stage::new().await;
    stage.aws.remember_calls(false);
    let batch = of_many_chunks(&stage, CHUNKS).await;
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, ticked.left), (1, 0));
    let batch = stage.again(&batch).await;
    assert_eq!(batch.state.name(), "started", "{:?}", batch.history);
    assert_eq!(batch.prepared.expect("it has a manifest").objects, u64::from(CHUNKS));
    // One more call reads what is due.
    assert_eq!(stage.aws.usage().calls["BatchGetItem"], u64::from(CHUNKS).div_ceil(100) + 1);
}

#[tokio::test]
async fn a_batch_whose_chunks_cannot_be_read_in_time_is_put_off_and_the_tick_tells() {
    let stage = Stage::new().await;
    let batch = of_many_chunks(&stage, 2_000).await;
    stage.record(&["orders/2/a"]).await;
    let prefix = format!("chunk#{}#", batch.id);
    stage.aws.answer("BatchGetItem", move |call, _| {
        if call.body.to_string().contains(&prefix) { nothing_of(call) } else { Act::Serve }
    });
    // A start needs 20 of these seconds, and a call 10.
    let ticked = stage.tick_with(Duration::from_secs(25)).await;
    assert_eq!((ticked.due, ticked.left, stage.starts()), (2, 0, 1));
    let put_off = stage.again(&batch).await;
    assert_eq!(history(&put_off), ["opened", "sealed", "deferred"]);
    let last = put_off.history.last().expect("a history");
    assert!(last.detail.contains("less time is left"), "{last:?}");
    assert_eq!(stage.sum("BatchesDue"), 2);
    stage.aws.clear_rules();
    stage.make_due(put_off).await;
    assert_eq!((stage.tick().await.left, stage.starts()), (0, 2));
}

#[tokio::test]
async fn chunks_that_dynamodb_leaves_out_of_an_answer_are_asked_for_again() {
    let stage = Stage::new().await;
    let batch = of_many_chunks(&stage, 250).await;
    stage.aws.answer("BatchGetItem", |call, number| match number % 2 {
        0 => nothing_of(call),
        _ => Act::Serve,
    });
    assert_eq!((stage.tick().await.due, stage.starts()), (1, 1));
    let objects = stage.again(&batch).await.prepared.map(|prepared| prepared.objects);
    assert_eq!(objects, Some(250));
}

#[tokio::test]
async fn a_role_of_the_version_before_that_reads_one_item_a_call_prepares_a_batch_too() {
    let stage = Stage::new().await;
    let batch = of_many_chunks(&stage, 150).await;
    stage
        .aws
        .answer("BatchGetItem", |_, _| Act::Fail { status: 400, code: "AccessDeniedException" });
    assert_eq!((stage.tick().await.due, stage.starts()), (1, 1));
    let objects = stage.again(&batch).await.prepared.map(|prepared| prepared.objects);
    assert_eq!(objects, Some(150));
}
