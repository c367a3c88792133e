//! Messages that wait for the ledger, and messages that can't be read. Only the latter end up in
//! the dead-letter queue.

use std::time::Duration;

use landfall_core::batch::NEWEST_VERSION;
use landfall_stand_ins::Act;
use serde_json::{Value, json};

use crate::stage::{LEDGER, Stage, arrivals, body, record_of};

const NONE: [&str; 0] = [];
const QUEUE: &str = "arn:aws:sqs:eu-west-1:111111111111:landfall-arrivals";
const SETTINGS: [(&str, &str); 2] =
    [("LANDFALL_ARRIVALS_QUEUE_ARN", QUEUE), ("LANDFALL_MAX_RECEIVE_COUNT", "10")];

/// Half of the deliveries that SQS admits.
const OFTEN: u64 = 5;

/// Makes a message that Lambda delivers for the `count`th time.
fn received(body: &str, count: u64) -> Value {
    json!({ "Records": [{
        "messageId": "m0", "eventSource": "aws:sqs", "eventSourceARN": QUEUE, "body": body,
        "attributes": { "ApproximateReceiveCount": count.to_string() },
        "messageAttributes": {
            "kind": {
                "dataType": "String", "stringValue": "a", "stringListValues": [], "binaryListValues": [],
            },
            "raw": { "dataType": "Binary", "binaryValue": "AAE=" },
        },
    }] })
}

#[tokio::test]
async fn an_outage_of_the_ledger_however_long_sends_no_message_to_the_dead_letter_queue() {
    let stage = Stage::with(&SETTINGS).await;
    let act = Act::Fail { status: 400, code: "AccessDeniedException" };
    stage.aws.answer("TransactWriteItems", move |_, _| act.clone());
    let body = body("orders/1/a");
    let mut count = 0;
    // Act as SQS does: a message that goes back is received again, and a new copy begins at one.
    for _ in 0..50 {
        count += 1;
        assert!(count <= OFTEN, "it is on its way to the dead-letter queue");
        let failures = stage.failures(&received(&body, count)).await;
        let sent = stage.aws.take_messages("landfall-arrivals");
        if count < OFTEN {
            assert_eq!((failures.len(), sent), (1, vec![]));
            continue;
        }
        let [copy] = &sent[..] else { panic!("one copy: {sent:?}") };
        assert_eq!((failures.len(), &copy["MessageBody"]), (0, &json!(body)));
        let attributes = json!({
            "kind": { "DataType": "String", "StringValue": "a" },
            "raw": { "DataType": "Binary", "BinaryValue": "AAE=" },
        });
        assert_eq!((&copy["MessageAttributes"], &copy["DelaySeconds"]), (&attributes, &json!(300)));
        count = 0;
    }
    stage.aws.clear_rules();
    assert_eq!(stage.failures(&received(&body, 1)).await, NONE);
    assert_eq!(stage.starts().len(), 1);
}

#[tokio::test]
async fn a_message_goes_back_if_its_copy_cannot_be_sent_and_a_copy_too_many_is_known() {
    let stage = Stage::with(&SETTINGS).await;
    let act = Act::Fail { status: 400, code: "AccessDeniedException" };
    stage.aws.answer("TransactWriteItems", move |_, _| act.clone());
    let event = received(&body("orders/1/a"), OFTEN);
    for act in [
        Act::Fail { status: 400, code: "AccessDenied" },
        Act::Drop,
        Act::Answer {
            status: 200,
            body: json!({ "Successful": [], "Failed": [
            { "Id": "0", "Code": "InternalError", "SenderFault": false },
        ] })
            .to_string(),
        },
    ] {
        stage.aws.answer("SendMessageBatch", move |_, _| act.clone());
        assert_eq!(stage.failures(&event).await, ["m0"]);
        assert_eq!(stage.aws.take_messages("landfall-arrivals"), [] as [Value; 0]);
    }
    // The answer is lost, so now there are two copies.
    stage.aws.answer("SendMessageBatch", |_, _| Act::ServeThenFail {
        status: 500,
        code: "InternalError",
    });
    assert_eq!(stage.failures(&event).await, ["m0"]);
    assert_eq!(stage.aws.take_messages("landfall-arrivals").len(), 1);
    stage.aws.clear_rules();
    for _ in 0..2 {
        assert_eq!(stage.failures(&event).await, NONE);
    }
    assert_eq!(stage.starts().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_read_or_never_be_recorded_goes_the_way_to_the_dead_letter_queue() {
    let cancelled = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
        "Message": "Transaction cancelled",
        "CancellationReasons": [{ "Code": "None" }, { "Code": "ValidationError" }],
    });
    let stage = Stage::with(&SETTINGS).await;
    let act = Act::Answer { status: 400, body: cancelled.to_string() };
    stage.aws.answer("TransactWriteItems", move |_, _| act.clone());
    for body in ["not an event".to_owned(), body("orders/1/a")] {
        for count in [1, OFTEN, 10] {
            assert_eq!(stage.failures(&received(&body, count)).await, ["m0"]);
        }
    }
    assert_eq!(stage.aws.calls_of("SendMessageBatch"), [] as [Value; 0]);
}

#[tokio::test]
async fn what_comes_from_another_queue_and_what_an_older_template_says_goes_back() {
    let act = Act::Fail { status: 400, code: "AccessDeniedException" };
    let mut elsewhere = received(&body("orders/1/a"), OFTEN);
    elsewhere["Records"][0]["eventSourceARN"] = json!("arn:aws:sqs:eu-west-1:111111111111:other");
    let event = received(&body("orders/1/a"), OFTEN);
    for (settings, event) in [(&SETTINGS[..], &elsewhere), (&[], &event)] {
        let (stage, act) = (Stage::with(settings).await, act.clone());
        stage.aws.answer("TransactWriteItems", move |_, _| act.clone());
        assert_eq!(stage.failures(event).await, ["m0"]);
        assert_eq!(stage.aws.calls_of("SendMessageBatch"), [] as [Value; 0]);
    }
}

#[tokio::test]
async fn a_group_that_others_always_write_to_keeps_its_messages_alive() {
    let stage = Stage::with(&SETTINGS).await;
    stage.aws.answer("TransactWriteItems", |_, _| Act::Conflict);
    let event = received(&body("windowed/1/a"), OFTEN);
    // A call may take ten seconds, and retries have only what is left beyond that. The copy still
    // gets its time.
    assert_eq!(stage.failures_with(&event, Duration::from_millis(10_400)).await, NONE);
    assert_eq!(stage.codes(), [("ledger_contended".to_owned(), 1)].into());
    assert_eq!(stage.aws.take_messages("landfall-arrivals").len(), 1);
    // There is also time for the copy if nothing could be begun.
    assert_eq!(stage.failures_with(&event, Duration::from_millis(9_000)).await, NONE);
    assert_eq!(stage.codes()["out_of_time"], 1);
}

#[tokio::test]
async fn a_group_whose_head_names_a_batch_that_is_not_understood_goes_on_in_another() {
    let newer = json!({ "N": (NEWEST_VERSION + 1).to_string() });
    for (name, value) in [("v", newer), ("doc", json!({ "S": "{" }))] {
        let stage = Stage::new().await;
        assert_eq!(stage.failures(&arrivals(&["windowed/1/a"])).await, NONE);
        let spoilt = stage.batch().await.id;
        let item = || stage.aws.item(LEDGER, &[&format!("batch#{spoilt}"), "batch"]);
        let mut before = item().expect("it is there");
        before[name] = value;
        assert!(stage.aws.put_item(LEDGER, &before));
        // Two invocations run side by side: one opens the batch, and the other joins it.
        let (one, other) =
            (arrivals(&["windowed/1/b"]), arrivals(&["windowed/1/c", "windowed/1/a"]));
        let (one, other) = tokio::join!(stage.failures(&one), stage.failures(&other));
        assert_eq!(
            (one.as_slice(), other.as_slice()),
            (&[][..] as &[String], &[][..] as &[String])
        );
        let batch = stage.batch().await;
        assert_eq!((batch.members, batch.state.name()), (2, "open"));
        assert_ne!(batch.id, spoilt);
        assert_eq!(item(), Some(before));
        // A newer version of the object is a new arrival. It joins the batch that is open now.
        let newer = json!({ "Records": [record_of("windowed/1/a", "02")] }).to_string();
        assert_eq!(stage.failures(&crate::stage::messages(&[newer])).await, NONE);
        assert_eq!(stage.batch().await.members, 3);
    }
}
