//! Which names of events are taken for a created object, counted, or refused.

use serde_json::json;

use super::{keys, notification, object_created, of_sns, one, read, record, sns, sqs};
use crate::arrivals::ArrivalError;

fn named(name: &str) -> String {
    notification("a").replace("ObjectCreated:Put", name)
}

fn typed(detail_type: &str) -> String {
    object_created("a").replace("Object Created", detail_type)
}

#[test]
fn what_is_known_to_create_nothing_is_counted_by_name() {
    let test =
        json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "landing" }).to_string();
    for event in
        [test.clone(), sqs(std::slice::from_ref(&test)), sqs(&[sns(&test)]), of_sns(&[test])]
    {
        let content = one(&event).unwrap();
        assert_eq!(
            (content.arrivals.len(), &*content.ignored.to_string()),
            (0, "1 × s3:TestEvent")
        );
    }
    for (name, counted) in [
        ("ObjectRemoved:Delete", "1 × ObjectRemoved"),
        ("s3:ObjectRemoved:DeleteMarkerCreated", "1 × ObjectRemoved"),
        ("ObjectRestore:Completed", "1 × ObjectRestore"),
        ("ObjectTagging:Put", "1 × ObjectTagging"),
        ("ObjectAcl:Put", "1 × ObjectAcl"),
        ("LifecycleExpiration:Delete", "1 × LifecycleExpiration"),
        ("LifecycleTransition", "1 × LifecycleTransition"),
        ("IntelligentTiering", "1 × IntelligentTiering"),
        ("Replication:OperationMissedThreshold", "1 × Replication"),
        ("ReducedRedundancyLostObject", "1 × ReducedRedundancyLostObject"),
    ] {
        assert_eq!(one(&named(name)).unwrap().ignored.to_string(), counted);
    }
    for kind in [
        "Object Deleted",
        "Object Restore Initiated",
        "Object Restore Completed",
        "Object Restore Expired",
        "Object Storage Class Changed",
        "Object Access Tier Changed",
        "Object ACL Updated",
        "Object Tags Added",
        "Object Tags Deleted",
    ] {
        assert_eq!(one(&typed(kind)).unwrap().ignored.to_string(), format!("1 × {kind}"));
    }
    let mut both = json!({ "Records": [record("a"), record("b"), record("c")] });
    both["Records"][0]["eventName"] = "ObjectRemoved:Delete".into();
    both["Records"][1]["eventName"] = "ObjectRemoved:Delete".into();
    let content = one(&of_sns(&[both.to_string(), both.to_string()])).unwrap();
    assert_eq!((content.arrivals.len(), content.ignored.total()), (2, 4));
}

#[test]
fn a_name_that_s3_does_not_list_goes_back_and_is_never_taken_for_nothing() {
    for name in [
        "ObjectCreated",
        "ObjectCreated:",
        "Object Created",
        "objectcreated:put",
        "OBJECTCREATED:PUT",
        "s3:S3:ObjectCreated:Put",
        "PutObject",
        "CompleteMultipartUpload",
        "objectRemoved:Delete",
        "",
    ] {
        assert_eq!(one(&named(name)), Err(ArrivalError::UnknownEvent(name.to_owned())), "{name}");
        let care = named(name).replace("{\"Records\"", "{\"x\":1,\"Records\"");
        assert_eq!(one(&care), Err(ArrivalError::UnknownEvent(name.to_owned())), "{name}");
    }
    for kind in ["object created", "ObjectCreated", "Object Created ", "Async Copy Completion", ""]
    {
        assert_eq!(one(&typed(kind)), Err(ArrivalError::UnknownEvent(kind.to_owned())), "{kind}");
    }
    for name in ["Put", "Post", "Copy", "CompleteMultipartUpload"] {
        assert_eq!(keys(&named(&format!("ObjectCreated:{name}"))), ["a"]);
    }
}

#[test]
fn a_record_of_cloudtrail_is_refused_by_name() {
    for call in ["PutObject", "CompleteMultipartUpload", "CopyObject", "DeleteObject"] {
        let event = json!({
            "detail-type": "AWS API Call via CloudTrail", "source": "aws.s3",
            "time": "2026-01-31T23:59:59Z",
            "detail": { "eventSource": "s3.amazonaws.com", "eventName": call,
                "requestParameters": { "bucketName": "landing", "key": "a" } },
        });
        let error = one(&sqs(&[event.to_string()])).expect_err(call);
        assert_eq!(error.code(), "event_of_cloudtrail");
        let text = error.to_string();
        assert!(text.contains(call) && text.contains("Object Created"), "{text}");
    }
}

#[test]
fn what_sns_asks_of_a_subscriber_is_told_with_what_to_do() {
    for kind in ["SubscriptionConfirmation", "UnsubscribeConfirmation"] {
        let message = json!({ "Type": kind, "MessageId": "m", "Token": "t", "TopicArn": "t",
            "Message": "You have chosen to subscribe", "SubscribeURL": "https://sns/?Token=t" });
        let intake = read(&sqs(&[message.to_string(), notification("a")])).expect("an SQS event");
        let error = intake.messages[0].content.as_ref().expect_err(kind);
        assert_eq!(error.code(), "event_of_subscription");
        assert!(error.to_string().contains("SubscribeURL"), "{error}");
        assert!(intake.messages[1].content.is_ok());
    }
}
