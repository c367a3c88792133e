mod listed;
mod names;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A minimal arrival.
pub(crate) fn arrival(bucket: &str, key: &str) -> Arrival {
    Arrival {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        size: Some(1),
        etag: None,
        version_id: None,
        sequencer: None,
        event_time: None,
        listing: None,
    }
}

fn record(key: &str) -> serde_json::Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1",
        "eventTime": "2026-01-31T23:59:59.999Z", "eventName": "ObjectCreated:Put",
        "s3": {
            "s3SchemaVersion": "1.0", "configurationId": "landfall",
            "bucket": { "name": "landing", "arn": "arn:aws:s3:::landing" },
            "object": {
                "key": key, "size": 1024, "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko", "sequencer": "0055AED6DCD90281E5"
            }
        }
    })
}

fn notification(key: &str) -> String {
    json!({ "Records": [record(key)] }).to_string()
}

fn object_created(key: &str) -> String {
    json!({
        "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created", "source": "aws.s3", "account": "111111111111",
        "time": "2026-01-31T23:59:59Z", "region": "eu-west-1", "resources": ["arn:aws:s3:::landing"],
        "detail": {
            "version": "0", "bucket": { "name": "landing" },
            "object": {
                "key": key, "size": 1024, "etag": "d41d8cd98f00b204e9800998ecf8427e",
                "version-id": "096fKKXTRTtl3on89fVO.nfljtsv6qko", "sequencer": "0055AED6DCD90281E5"
            },
            "request-id": "N4N7GDK58NMKJ12R", "requester": "111111111111", "reason": "PutObject"
        }
    })
    .to_string()
}

fn sns(message: &str) -> String {
    json!({ "Type": "Notification", "MessageId": "m", "TopicArn": "t", "Message": message })
        .to_string()
}

fn sqs(bodies: &[String]) -> String {
    let records: Vec<_> = bodies
        .iter()
        .enumerate()
        .map(|(n, body)| json!({
            "messageId": format!("m{n}"), "receiptHandle": "r", "body": body,
            "attributes": { "ApproximateReceiveCount": "1" }, "messageAttributes": {},
            "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:eu-west-1:111111111111:arrivals"
        }))
        .collect();
    json!({ "Records": records }).to_string()
}

/// As SNS invokes a function.
fn of_sns(messages: &[String]) -> String {
    let record = |message: &String| {
        let notification: serde_json::Value = serde_json::from_str(&sns(message)).expect("JSON");
        json!({ "EventSource": "aws:sns", "EventVersion": "1.0",
            "EventSubscriptionArn": "arn:aws:sns:eu-west-1:111111111111:landed:1", "Sns": notification })
    };
    json!({ "Records": messages.iter().map(record).collect::<Vec<_>>() }).to_string()
}

/// As an EventBridge pipe brings messages of a queue.
fn of_pipe(bodies: &[String]) -> String {
    let event: serde_json::Value = serde_json::from_str(&sqs(bodies)).expect("JSON");
    event["Records"].to_string()
}

fn read(event: &str) -> Result<Intake, ArrivalError> {
    let raw: Box<RawValue> = serde_json::from_str(event).expect("JSON");
    Intake::read(&raw, None)
}

fn one(event: &str) -> Result<Content, ArrivalError> {
    let mut messages = read(event)?.messages;
    assert_eq!(messages.len(), 1);
    messages.remove(0).content
}

fn keys(event: &str) -> Vec<String> {
    one(event).expect("readable").arrivals.into_iter().map(|arrival| arrival.key).collect()
}

#[test]
fn every_envelope_gives_the_same_arrival() {
    let expected = Arrival {
        bucket: "landing".to_owned(),
        key: "in/a b+c=ü.csv".to_owned(),
        size: Some(1024),
        etag: Some("d41d8cd98f00b204e9800998ecf8427e".to_owned()),
        version_id: Some("096fKKXTRTtl3on89fVO.nfljtsv6qko".to_owned()),
        sequencer: Some("0055AED6DCD90281E5".to_owned()),
        event_time: EventTime::parse("2026-01-31T23:59:59.999Z"),
        listing: None,
    };
    let notified = notification("in/a+b%2Bc%3D%C3%BC.csv");
    let created = object_created("in/a b+c=ü.csv");
    let without_millis =
        Arrival { event_time: EventTime::parse("2026-01-31T23:59:59Z"), ..expected.clone() };
    for (event, expected) in [
        (notified.clone(), &expected),
        (sqs(std::slice::from_ref(&notified)), &expected),
        (sqs(&[sns(&notified)]), &expected),
        (created.clone(), &without_millis),
        (sqs(std::slice::from_ref(&created)), &without_millis),
        (sqs(&[sns(&created)]), &without_millis),
        (of_sns(std::slice::from_ref(&notified)), &expected),
        (of_sns(std::slice::from_ref(&created)), &without_millis),
        (of_pipe(std::slice::from_ref(&notified)), &expected),
        (of_pipe(&[sns(&notified)]), &expected),
    ] {
        let content = one(&event).expect(&event);
        assert_eq!(content.arrivals, std::slice::from_ref(expected), "{event}");
        assert_eq!(content.ignored, Ignored::default());
    }
}

#[test]
fn keys_are_decoded_once_in_notifications_and_never_in_eventbridge_events() {
    assert_eq!(keys(&notification("100%25+%2B%252B%20x")), ["100% +%2B x"]);
    assert_eq!(keys(&object_created("100%25+%2B")), ["100%25+%2B"]);
}

#[test]
fn a_key_that_s3_would_not_have_encoded_so_is_refused() {
    for key in ["a%", "a%2", "a%zz", "a%ff"] {
        assert_eq!(one(&notification(key)), Err(ArrivalError::BadKey(key.to_owned())), "{key}");
    }
}

#[test]
fn errors_hold_a_short_piece_of_the_message_at_most() {
    let version = notification("a").replace("2.1", &"9".repeat(200_000));
    for event in [version, notification(&"%zz".repeat(50_000)), notification(&"k".repeat(200_000))]
    {
        let error = one(&event).expect_err("unreadable");
        assert!(error.to_string().len() < 500, "{}", error.code());
    }
    assert!(one(&notification(&"k".repeat(1024))).is_ok());
    assert_eq!(one(&notification(&"k".repeat(1025))), Err(ArrivalError::KeyTooLong(1025)));
}

#[test]
fn what_is_json_of_another_shape_is_not_called_broken_json() {
    for body in ["5", "[]", "\"x\"", "{\"detail\":5,\"source\":5}", "{\"Records\":[1]}"] {
        let intake = read(&sqs(&[body.to_owned()])).expect("an SQS event");
        let error = intake.messages[0].content.as_ref().expect_err(body);
        assert_eq!(error.code(), "event_malformed", "{body}");
    }
}

#[test]
fn versions_2_x_are_read_and_others_refused() {
    for (version, is_read) in
        [("2.0", true), ("2.6", true), ("2.99", true), ("3.0", false), ("20.1", false)]
    {
        let mut event = json!({ "Records": [record("a")] });
        event["Records"][0]["eventVersion"] = version.into();
        let content = one(&event.to_string());
        assert_eq!(content.is_ok(), is_read, "{version}");
        if !is_read {
            assert_eq!(content, Err(ArrivalError::UnknownVersion(version.to_owned())));
        }
    }
}

#[test]
fn optional_fields_may_be_missing() {
    let event = json!({ "Records": [{
        "eventName": "ObjectCreated:Copy",
        "s3": { "bucket": { "name": "landing" }, "object": { "key": "a" } }
    }]});
    assert_eq!(
        one(&event.to_string()).unwrap().arrivals,
        [Arrival { size: None, ..arrival("landing", "a") }]
    );
}

#[test]
fn fields_that_are_not_read_may_have_any_type() {
    let mut event = json!({ "Records": [record("a")] });
    event["Records"][0]["userIdentity"] = 5.into();
    event["Records"][0]["s3"]["configurationId"] = json!([1]);
    event["Records"][0]["new"] = json!({});
    assert_eq!(keys(&event.to_string()), ["a"]);
}

#[test]
fn messages_of_a_pipe_fail_one_by_one_and_those_of_sns_together() {
    let (good, bad) = (notification("a"), "{}".to_owned());
    let intake =
        read(&of_pipe(&[good.clone(), bad.clone(), good.clone()])).expect("a pipe's event");
    let ids: Vec<_> = intake.messages.iter().map(|message| message.id.as_deref()).collect();
    assert_eq!(ids, [Some("m0"), Some("m1"), Some("m2")]);
    let outcomes: Vec<bool> = intake.messages.iter().map(|m| m.content.is_ok()).collect();
    assert_eq!(outcomes, [true, false, true]);
    assert_eq!(one(&of_sns(&[good.clone(), bad])), Err(ArrivalError::UnknownEnvelope));
    assert_eq!(keys(&of_sns(&[good.clone(), good])), ["a", "a"]);
    for other in [r#"[{ "eventSource": "aws:kinesis" }]"#, "[]", r#"[{"x":1}]"#] {
        assert_eq!(one(other), Err(ArrivalError::UnknownEnvelope), "{other}");
    }
}

#[test]
fn a_null_version_is_no_version() {
    let event = notification("a").replace("096fKKXTRTtl3on89fVO.nfljtsv6qko", "null");
    assert_eq!(one(&event).unwrap().arrivals[0].version_id, None);
}

#[test]
fn one_malformed_message_fails_alone() {
    let good = notification("a");
    let bad = [
        "not json".to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        notification("a").replace("1024", "\"many\""),
        notification("a").replace("landing", ""),
        notification("a").replace("23:59", "25:59"),
        sns("{"),
        object_created("a").replace("aws.s3", "aws.ec2"),
    ];
    for bad in bad {
        let intake = read(&sqs(&[good.clone(), bad.clone(), good.clone()])).expect("an SQS event");
        let outcomes: Vec<bool> = intake.messages.iter().map(|m| m.content.is_ok()).collect();
        assert_eq!(outcomes, [true, false, true], "{bad}");
        assert_eq!(intake.messages[1].id.as_deref(), Some("m1"));
    }
}

#[test]
fn a_message_with_an_ill_typed_body_fails_alone() {
    let event = sqs(&[notification("a"), notification("b")]);
    let mut event: serde_json::Value = serde_json::from_str(&event).unwrap();
    event["Records"][1]["body"] = 5.into();
    let intake = read(&event.to_string()).unwrap();
    assert!(intake.messages[0].content.is_ok());
    assert!(intake.messages[1].content.is_err());
}

#[test]
fn a_message_of_which_one_record_is_malformed_fails_whole() {
    let mut event = json!({ "Records": [record("a"), record("b")] });
    event["Records"][1]["s3"]["object"]["key"] = "".into();
    assert_eq!(one(&event.to_string()), Err(ArrivalError::Missing("object.key")));
}

#[test]
fn what_is_no_event_of_s3_is_refused() {
    for event in [
        "{}",
        "{\"Records\":[{\"eventSource\":\"aws:kinesis\"}]}",
        "{\"Records\":5}",
        "[]",
        "5",
        "null",
    ] {
        assert!(
            matches!(read(event).map(|i| i.messages[0].content.is_err()), Err(_) | Ok(true)),
            "{event}"
        );
    }
}

#[test]
fn sequencers_compare_padded_and_in_any_case() {
    use std::cmp::Ordering::{Equal, Greater, Less};
    assert_eq!(compare_sequencers("0055AED6DCD90281E5", "0055aed6dcd90281e5"), Equal);
    assert_eq!(compare_sequencers("0055AED6DCD90281", "0055AED6DCD9028100"), Equal);
    assert_eq!(compare_sequencers("0055AED6DCD90281", "0055AED6DCD90281E5"), Less);
    assert_eq!(compare_sequencers(&"1".repeat(70_000), &"2".repeat(70_000)), Less);
    assert_eq!(compare_sequencers("0056", "0055AED6DCD90281E5"), Greater);
}

/// As S3 encodes: letters, digits and `-._*/` stay, a space is `+`, the rest `%XX`.
fn encode(key: &str) -> String {
    key.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            b if b.is_ascii_alphanumeric() || b"-._*/".contains(&b) => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}

#[test]
fn a_time_that_cannot_be_written_in_utc_is_refused() {
    for text in ["0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "2026-01-31", ""] {
        assert_eq!(EventTime::parse(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn an_encoded_key_is_decoded_to_itself(key in "\\PC{1,64}") {
        prop_assert_eq!(keys(&sqs(&[notification(&encode(&key))])), [key.clone()]);
        prop_assert_eq!(keys(&sqs(&[object_created(&key)])), [key]);
    }

    #[test]
    fn no_key_makes_reading_panic(key in "[%+a-f0-9\\PC]{0,64}") {
        let _ = read(&sqs(&[notification(&key)]));
    }

    #[test]
    fn no_body_makes_reading_panic(body in "\\PC{0,200}") {
        let _ = read(&sqs(&[body]));
    }

    #[test]
    fn no_event_makes_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(raw) = serde_json::from_slice::<Box<RawValue>>(&bytes) {
            let _ = Intake::read(&raw, None);
        }
    }

    #[test]
    fn no_mutilated_event_makes_reading_panic(cut in 0..400usize, length in 0..40usize) {
        let event = sqs(&[sns(&notification("a%20b"))]);
        let end = (cut + length).min(event.len());
        let cut = cut.min(end);
        if let Ok(raw) = serde_json::from_str::<Box<RawValue>>(&format!("{}{}", &event[..cut], &event[end..])) {
            let _ = Intake::read(&raw, None);
        }
    }

    #[test]
    fn what_is_read_in_one_pass_is_what_is_read_with_care(
        record in mutated(record("a%20b")),
        beside in mutated(json!({ "Records": null, "Type": null, "source": null })),
        message in mutated(json!({ "messageId": "m", "body": "b", "eventSource": "aws:sqs", "x": 1 })),
    ) {
        let mut body = beside;
        body["Records"] = json!([record, record]);
        for body in [body.clone(), json!({ "Records": body["Records"] })] {
            let body = body.to_string();
            if let Some(content) = notification::whole(&body) {
                let with_care = notification::Payload::parse(&body).and_then(|p| p.content());
                prop_assert_eq!(content, with_care);
            }
            let mut message = message.clone();
            if message["body"].is_string() {
                message["body"] = body.into();
            }
            let event = json!({ "Records": [message] }).to_string();
            if let Some(messages) = envelope::whole(&event) {
                prop_assert_eq!(Ok(messages), envelope::with_care(&event));
            }
        }
    }
}

/// The object with some of what is in it left out, or of another type.
fn mutated(object: serde_json::Value) -> impl Strategy<Value = serde_json::Value> {
    let values = prop_oneof![
        20 => Just(None),
        1 => Just(Some(json!(null))),
        1 => Just(Some(json!(7))),
        1 => Just(Some(json!(""))),
        1 => Just(Some(json!("null"))),
        1 => Just(Some(json!({}))),
        1 => Just(Some(json!("2.9"))),
        1 => Just(Some(json!("s3:ObjectRemoved:Delete"))),
    ];
    let leaves = leaves(&object);
    prop::collection::vec((values, prop::bool::weighted(0.1)), leaves.len()).prop_map(move |all| {
        let mut object = object.clone();
        for (pointer, (value, is_left_out)) in leaves.iter().zip(all) {
            let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
            let parent = object.pointer_mut(parent).and_then(|parent| parent.as_object_mut());
            let Some(parent) = parent else { continue };
            if is_left_out {
                parent.remove(name);
            } else if let Some(value) = value {
                parent.insert(name.to_owned(), value);
            }
        }
        object
    })
}

/// Pointers to all that is in an object, the innermost first.
fn leaves(object: &serde_json::Value) -> Vec<String> {
    let Some(object) = object.as_object() else { return Vec::new() };
    let mut all = Vec::new();
    for (name, value) in object {
        all.extend(leaves(value).into_iter().map(|below| format!("/{name}{below}")));
        all.push(format!("/{name}"));
    }
    all
}
