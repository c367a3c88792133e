//! What the trigger starts, with which arguments, and what happens if Glue refuses.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use landfall_aws::advance::{Clients, advance_begun};
use landfall_core::batch::State;
use landfall_stand_ins::Act;
use serde_json::{Value, json};

use crate::stage::{
    CLAIMS_TABLE, READER_ROLE, Stage, arrivals, history, messages, record, record_of, settings,
};

const NONE: [&str; 0] = [];

#[tokio::test]
async fn one_run_is_started_for_each_group_and_all_messages_are_acknowledged() {
    let stage = Stage::new().await;
    let event = arrivals(&["orders/1/a", "orders/2/a", "orders/1/b", "other"]);
    assert_eq!(stage.failures(&event).await, NONE);
    let mut starts = stage.starts();
    starts.sort_by_key(|start| start["Arguments"]["--day"].to_string());
    assert_eq!(starts.len(), 2);
    assert_eq!(stage.assumptions().len(), 1, "runs that start together share the role");
    assert_eq!(starts[0]["JobName"], "orders");
    assert_eq!(starts[0]["Arguments"]["--day"], "1");
    assert_eq!(stage.inputs(&starts[0]), ["s3://landing/orders/1/a", "s3://landing/orders/1/b"]);
    assert_eq!(stage.inputs(&starts[1]), ["s3://landing/orders/2/a"]);
}

#[tokio::test]
async fn the_manifest_in_s3_is_the_one_that_the_job_is_told_of() {
    let stage = Stage::new().await;
    let record = json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "eventTime": "2026-01-31T00:00:00.000Z",
        "s3": { "bucket": { "name": "landing" }, "object": {
            "key": "orders/1/a+%C3%A9", "size": 42, "versionId": "v1", "eTag": "0123", "sequencer": "01",
        } }
    });
    let event = messages(&[json!({ "Records": [record] }).to_string()]);
    assert_eq!(stage.failures(&event).await, NONE);
    let batch = stage.batch().await;
    let uri = &batch.prepared.as_ref().expect("it is prepared").manifest;
    let key = uri.strip_prefix("s3://manifests/").expect("in the bucket of manifests");
    assert!(key.starts_with(&format!("manifests/222222222222/orders/{}-", batch.id)));
    let expected = json!({
        "--day": "1",
        "--landfall-batch-id": batch.id,
        "--landfall-epoch": "1",
        "--landfall-manifest": uri,
        "--landfall-reader-role": READER_ROLE,
        "--landfall-claims-table": CLAIMS_TABLE,
    });
    assert_eq!(stage.starts(), [json!({ "JobName": "orders", "Arguments": expected })]);
    let manifest = stage.aws.object("manifests", key).expect("the manifest is there");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    let entry = json!({
        "url": "s3://landing/orders/1/a é", "mandatory": true, "meta": { "content_length": 42 },
        "version_id": "v1", "etag": "0123",
    });
    assert_eq!(manifest, json!({ "entries": [entry] }));
}

#[tokio::test]
async fn a_start_is_recorded_with_its_arrivals_and_takes_four_calls() {
    let stage = Stage::new().await;
    let operations = || stage.aws.calls().into_iter().map(|call| call.operation);
    assert_eq!(stage.failures(&arrivals(&["orders/1/a"])).await, NONE);
    let mut cold: Vec<String> = operations().collect();
    let rest = cold.split_off(4);
    cold.sort();
    assert_eq!(cold, ["AssumeRole", "GetJob", "PutObject", "TransactWriteItems"]);
    assert_eq!(rest, ["StartJobRun", "PutItem"]);
    assert_eq!(stage.failures(&arrivals(&["orders/2/a"])).await, NONE);
    let mut warm: Vec<String> = operations().skip(6).collect();
    warm[..2].sort();
    assert_eq!(warm, ["PutObject", "TransactWriteItems", "StartJobRun", "PutItem"]);
    for batch in stage.batches().await {
        assert_eq!(history(&batch), ["opened", "sealed", "starting", "started"]);
    }
}

#[tokio::test]
async fn the_manifest_and_the_job_do_not_wait_for_the_record_and_no_run_starts_without_it() {
    let stage = Stage::new().await;
    stage.aws.answer("TransactWriteItems", |_, _| refused("AccessDeniedException"));
    assert_eq!(stage.failures(&arrivals(&["orders/1/a"])).await.len(), 1);
    let calls: BTreeSet<String> = stage.aws.calls().into_iter().map(|c| c.operation).collect();
    assert!(["PutObject", "AssumeRole", "GetJob"].iter().all(|call| calls.contains(*call)));
    assert_eq!(stage.starts().len(), 0);
}

#[tokio::test]
async fn a_message_that_comes_again_with_less_replaces_no_manifest() {
    let stage = Stage::new().await;
    assert_eq!(stage.failures(&arrivals(&["orders/1/a", "orders/1/b"])).await, NONE);
    // It would open a batch of the same ID.
    assert_eq!(stage.failures(&arrivals(&["orders/1/a"])).await, NONE);
    let starts = stage.starts();
    assert_eq!(starts.len(), 1);
    assert_eq!(stage.inputs(&starts[0]), ["s3://landing/orders/1/a", "s3://landing/orders/1/b"]);
}

#[tokio::test]
async fn of_more_than_surely_start_now_none_is_recorded_as_begun() {
    let stage = Stage::new().await;
    let keys: Vec<String> = (0..9).map(|day| format!("orders/{day}/a")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert_eq!(stage.failures(&arrivals(&keys)).await, NONE);
    let writes = |operation: &str| stage.aws.calls_of(operation).len();
    assert_eq!((writes("TransactWriteItems"), writes("StartJobRun")), (18, 9));
}

#[tokio::test]
async fn a_start_that_there_is_no_time_for_any_more_is_not_made() {
    let stage = Stage::new().await;
    stage.aws.answer("StartJobRun", |_, _| Act::Drop);
    assert_eq!(stage.failures(&arrivals(&["orders/1/a"])).await, NONE);
    let (clients, begun) = (Clients::new(&settings(&[]), &stage.config), stage.batch().await);
    assert_eq!(begun.state.name(), "starting");
    let advanced = advance_begun(&clients, begun, None, Ok(()), SystemTime::now()).await;
    assert_eq!((advanced.batch.state.name(), stage.starts().len()), ("sealed", 1));
    let code = advanced.transitions[0].code.as_deref();
    assert_eq!(code, Some("out_of_time"));
}

#[tokio::test]
async fn an_object_that_was_overwritten_is_in_the_manifest_once_and_is_started_anew_afterwards() {
    let stage = Stage::new().await;
    let versions = ["03", "01", "02"].map(|sequencer| record_of("orders/1/a", sequencer));
    let event = json!({ "Records": versions });
    assert_eq!(stage.failures(&messages(&[event.to_string()])).await, NONE);
    assert_eq!(stage.inputs(&stage.starts()[0]), ["s3://landing/orders/1/a"]);
    assert_eq!(stage.batch().await.members, 3);
    let later = json!({ "Records": [record_of("orders/1/a", "04")] });
    assert_eq!(stage.failures(&messages(&[later.to_string()])).await, NONE);
    let runs = stage.aws.runs("orders");
    let ids: BTreeSet<&str> =
        runs.iter().map(|run| run.arguments["--landfall-batch-id"].as_str()).collect();
    assert_eq!((runs.len(), ids.len()), (2, 2));
}

/// The state of a batch after a certain answer of Glue to its start.
struct Case {
    answer: Act,
    state: &'static str,
    what: &'static str,
    code: &'static str,
}

fn refused(code: &'static str) -> Act {
    Act::Fail { status: 400, code }
}

#[tokio::test]
async fn start_job_run_is_sent_once_whatever_glue_answers() {
    let case = |answer, state, what, code| Case { answer, state, what, code };
    let put_off = |glue, code| case(refused(glue), "sealed", "deferred", code);
    let parked = |glue, code| case(refused(glue), "parked", "parked", code);
    let unknown =
        |answer| case(answer, "starting", "outcome_not_known_yet", "start_outcome_unknown");
    let said_nothing = Act::Answer { status: 200, body: "{}".to_owned() };
    for Case { answer, state, what, code } in [
        case(
            refused("ConcurrentRunsExceededException"),
            "sealed",
            "waits_for_slot",
            "start_concurrent_runs_exceeded",
        ),
        put_off("ResourceNumberLimitExceededException", "start_resource_limit_exceeded"),
        put_off("ThrottlingException", "start_throttled"),
        put_off("AccessDeniedException", "start_access_denied"),
        put_off("NeverSeenException", "start_failed"),
        parked("EntityNotFoundException", "no_such_job"),
        parked("InvalidInputException", "invalid_input"),
        unknown(refused("OperationTimeoutException")),
        unknown(Act::Fail { status: 500, code: "InternalServiceException" }),
        unknown(Act::Fail { status: 503, code: "NeverSeenException" }),
        unknown(Act::ServeThenFail { status: 500, code: "InternalServiceException" }),
        unknown(Act::Drop),
        unknown(Act::DropAfter),
        unknown(said_nothing),
    ] {
        let stage = Stage::new().await;
        let given = answer.clone();
        stage.aws.answer("StartJobRun", move |_, _| given.clone());
        let event = arrivals(&["orders/1/a"]);
        assert_eq!(stage.failures(&event).await, NONE, "{answer:?}");
        // The arrival is known, so it starts nothing again.
        assert_eq!(stage.failures(&event).await, NONE, "{answer:?}");
        assert_eq!(stage.starts().len(), 1, "{answer:?}");
        let batch = stage.batch().await;
        let last = batch.history.last().expect("a history");
        assert_eq!((batch.state.name(), last.what.as_str()), (state, what), "{answer:?}");
        assert!(last.detail.contains("`orders` in account `222222222222`"), "{last:?}");
        assert_eq!(stage.codes(), [(code.to_owned(), 1)].into(), "{answer:?}");
    }
}

#[tokio::test]
async fn what_glue_refuses_waits_in_the_ledger_and_no_message_goes_back() {
    let stage = Stage::new().await;
    stage.aws.answer("StartJobRun", |call, _| {
        if call.body["JobName"] == "named" {
            refused("ConcurrentRunsExceededException")
        } else {
            Act::Serve
        }
    });
    let event = arrivals(&["orders/1/a", "named/x", "orders/1/b"]);
    assert_eq!(stage.failures(&event).await, NONE);
    assert_eq!(stage.aws.runs("orders").len(), 1);
    let batches = stage.batches().await;
    let named = batches.iter().find(|batch| batch.route == "named").expect("it is there");
    assert!(matches!(named.state, State::Sealed { waits_for_slot: true, .. }), "{named:?}");
    let slot = "slot 222222222222/eu-west-1/named";
    let waiting = stage.ledger.awaiting(slot, 10).await.expect("the ledger");
    assert_eq!(waiting, std::slice::from_ref(&named.id));
}

#[tokio::test]
async fn a_batch_whose_manifest_cannot_be_written_is_not_started() {
    let stage = Stage::new().await;
    stage.aws.answer("PutObject", |_, _| Act::Fail { status: 403, code: "AccessDenied" });
    assert_eq!(stage.failures(&arrivals(&["orders/1/a"])).await, NONE);
    assert_eq!(stage.starts().len(), 0);
    assert_eq!(history(&stage.batch().await), ["opened", "sealed", "starting", "deferred"]);
    assert_eq!(stage.codes(), [("manifest_not_written".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_job_that_glue_itself_would_repeat_is_not_started() {
    let stage = Stage::new().await;
    stage.aws.job("orders", 1);
    assert_eq!(stage.failures(&arrivals(&["orders/1/a"])).await, NONE);
    assert_eq!(stage.starts().len(), 0);
    let batch = stage.batch().await;
    assert_eq!(batch.state.name(), "sealed");
    assert_eq!(stage.codes(), [("job_repeats_by_itself".to_owned(), 1)].into());
}

#[tokio::test]
async fn whether_a_job_is_repeated_by_glue_is_asked_once_a_process() {
    let stage = Stage::new().await;
    for key in ["orders/1/a", "orders/2/a", "named/x"] {
        let event = json!({ "Records": [record(key)] });
        assert_eq!(stage.failures(&messages(&[event.to_string()])).await, NONE);
    }
    let asked: Vec<Value> = stage.aws.calls_of("GetJob");
    assert_eq!(asked, [json!({ "JobName": "orders" }), json!({ "JobName": "named" })]);
}

#[tokio::test]
async fn a_start_that_is_slow_to_be_answered_is_waited_for() {
    let stage = Stage::new().await;
    stage.aws.answer("StartJobRun", |_, _| {
        // Wait longer than an attempt of a retryable call may take.
        std::thread::sleep(Duration::from_secs(5));
        Act::Serve
    });
    assert_eq!(stage.failures(&arrivals(&["orders/1/a"])).await, NONE);
    assert_eq!(stage.batch().await.state.name(), "started");
    assert_eq!(stage.starts().len(), 1);
}
