//! `landfall explain` of events.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::{ROUTES, landfall, landfall_with};

#[track_caller]
fn check_event(event: &Value, options: &[&str], expected: Expect) {
    let event = event.to_string();
    let files = [("routes.yaml", ROUTES), ("event.json", event.as_str())];
    let args = [&["explain", "--routes", "routes.yaml", "event.json"], options].concat();
    expected.assert_eq(&landfall(&files, &args).all());
}

fn notification(event_name: &str, key: &str) -> Value {
    json!({ "Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": event_name,
        "eventTime": "2026-01-31T23:59:59.999Z",
        "s3": {
            "bucket": { "name": "acme-landing" },
            "object": { "key": key, "size": 512, "eTag": "e1", "versionId": "v1", "sequencer": "01" }
        }
    }]})
}

fn sqs(bodies: &[(&str, String)]) -> Value {
    let records = bodies
        .iter()
        .map(|(id, body)| json!({ "messageId": id, "body": body, "eventSource": "aws:sqs" }));
    json!({ "Records": records.collect::<Vec<_>>() })
}

/// What the trigger gets: one readable message, one cut off, a test event, a deletion.
fn mixed_event() -> Value {
    let created = notification("ObjectCreated:Put", "orders/dt%3D2026-01-31/a+b.csv").to_string();
    sqs(&[
        ("good", created.clone()),
        ("cut-off", created[..40].to_owned()),
        ("test", json!({ "Event": "s3:TestEvent" }).to_string()),
        ("deleted", notification("ObjectRemoved:Delete", "x").to_string()),
    ])
}

#[test]
fn an_event_is_explained_message_by_message() {
    check_event(
        &mixed_event(),
        &[],
        expect![[r#"
            message `cut-off`: failed to read the event as JSON: it ends too early, line 1 column 40 [event_not_json]

            ignored: 1 × ObjectRemoved, 1 × s3:TestEvent, which create no object

            s3://acme-landing/orders/dt=2026-01-31/a b.csv (512 bytes, version v1, in message `good`)
              orders: matches, dt = `2026-01-31`, file = `a b`
              audit: matches
              1 more route, of another bucket

            start job `orders-to-parquet` in `analytics` (account 222222222222, eu-west-1) by route `orders`: 1 object, 512 bytes
              group dt = `2026-01-31`
              --dt 2026-01-31
              and from Landfall --landfall-batch-id, --landfall-epoch, --landfall-manifest, --landfall-reader-role, --landfall-claims-table
              starts at once

            start job `audit` in `analytics` (account 222222222222, eu-west-1) by route `audit`: 1 object, 512 bytes
              --at 2026-01-31T23:59:59.999Z
              and from Landfall --landfall-batch-id, --landfall-epoch, --landfall-manifest, --landfall-reader-role, --landfall-claims-table
              starts at once

            2 job runs would start
            --- stderr
            --- status 1
        "#]],
    );
}

#[test]
fn an_event_that_is_read_whole_exits_with_0_and_one_without_arrivals_with_3() {
    check_event(
        &notification("ObjectCreated:Put", "x"),
        &[],
        expect![[r#"
            s3://acme-landing/x (512 bytes, version v1)
              orders: the key doesn't match `orders/dt={dt}/{file}.csv`
              audit: matches
              1 more route, of another bucket

            start job `audit` in `analytics` (account 222222222222, eu-west-1) by route `audit`: 1 object, 512 bytes
              --at 2026-01-31T23:59:59.999Z
              and from Landfall --landfall-batch-id, --landfall-epoch, --landfall-manifest, --landfall-reader-role, --landfall-claims-table
              starts at once

            1 job run would start
            --- stderr
            --- status 0
        "#]],
    );
    check_event(
        &notification("ObjectRemoved:Delete", "x"),
        &[],
        expect![[r#"
            ignored: 1 × ObjectRemoved, which create no object

            nothing would start
            --- stderr
            --- status 3
        "#]],
    );
}

#[test]
fn what_is_no_event_exits_with_1() {
    check_event(
        &json!({ "hello": "world" }),
        &[],
        expect![[r#"
            failed to read the event: it is not an event of S3 in any envelope known [event_unknown_envelope]

            nothing would start
            --- stderr
            --- status 1
        "#]],
    );
    let files = [("f", ROUTES), ("event.json", "{ \"Records\": [")];
    let shown = landfall(&files, &["explain", "--routes", "f", "event.json"]);
    expect![[r#"
        failed to read the event as JSON: EOF while parsing a list at line 1 column 14 [event_not_json]

        nothing would start
        --- stderr
        --- status 1
    "#]].assert_eq(&shown.all());
}

#[test]
fn the_json_document_says_the_same() {
    let event = mixed_event().to_string();
    let files: [(&str, &[u8]); 1] = [("f", ROUTES.as_bytes())];
    let shown =
        landfall_with(&files, &["explain", "--json", "--routes", "f", "-"], event.as_bytes());
    assert_eq!((shown.status, shown.stderr.as_str()), (1, ""));
    let mut document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let requests = document["plan"]["requests"].take();
    assert_eq!(
        document,
        json!({
            "arrivals": [{
                "bucket": "acme-landing", "key": "orders/dt=2026-01-31/a b.csv", "size": 512,
                "etag": "e1", "version_id": "v1", "sequencer": "01",
                "event_time": "2026-01-31T23:59:59.999Z", "message_id": "good",
                "verdicts": [
                    {
                        "route": "orders", "verdict": "matches",
                        "captures": { "dt": "2026-01-31", "file": "a b" }
                    },
                    { "route": "audit", "verdict": "matches", "captures": {} },
                ],
                "routes_of_other_buckets": 1,
            }],
            "unreadable": [{
                "message_id": "cut-off", "code": "event_not_json",
                "error": "failed to read the event as JSON: it ends too early, line 1 column 40",
            }],
            "ignored": { "ObjectRemoved": 1, "s3:TestEvent": 1 },
            "plan": { "requests": null, "refusals": [], "unmatched": [] },
            "arguments_added": [
                "--landfall-batch-id", "--landfall-epoch", "--landfall-manifest",
                "--landfall-reader-role", "--landfall-claims-table",
            ],
        })
    );
    assert_eq!(requests[0]["route"], "orders");
    assert_eq!(requests[0]["arguments"]["--dt"], "2026-01-31");
    assert_eq!(requests[1]["arguments"]["--at"], "2026-01-31T23:59:59.999Z");
}

/// Without a time, `audit` refuses the object; `orders` alone would take it.
#[test]
fn a_message_of_which_one_run_is_refused_is_shown_to_start_nothing() {
    let mut event = notification("ObjectCreated:Put", "orders/dt%3D1/a.csv");
    event["Records"][0].as_object_mut().expect("a record").remove("eventTime");
    check_event(
        &event,
        &[],
        expect![[r#"
            s3://acme-landing/orders/dt=1/a.csv (512 bytes, version v1)
              orders: matches, dt = `1`, file = `a`
              audit: matches
              1 more route, of another bucket

            route `audit` can't start anything for s3://acme-landing/orders/dt=1/a.csv: the event does not tell the `event_time` that `--at` needs [argument_unknown_value]
              so nothing in its message starts

            nothing would start
            --- stderr
            --- status 3
        "#]],
    );
}
