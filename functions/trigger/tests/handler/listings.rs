//! Objects that S3 announces, or that a listing finds, or both, in any order.

use landfall_aws::clock::now;
use landfall_core::arrivals::{EventTime, Listed, Listing, messages as bodies};
use landfall_core::moment::Time;
use serde_json::{Value, json};

use crate::stage::{Stage, messages, record_of};

const QUEUE: &str = "arn:aws:sqs:eu-west-1:111111111111:backfill";
const NONE: [&str; 0] = [];

async fn stage() -> Stage {
    Stage::with(&[("LANDFALL_BACKFILL_QUEUE_ARN", QUEUE)]).await
}

/// Returns the time this many minutes ago.
fn ago(minutes: u64) -> Time {
    Time(now().0 - minutes * 60_000)
}

fn listing(id: &str) -> Listing {
    Listing { id: id.to_owned(), route: "named".to_owned(), again: false, max_runs_per_hour: None }
}

/// Makes the event of what a listing found.
fn found_by(listing: &Listing, objects: &[(&str, &str, Time)], version_id: Option<&str>) -> Value {
    let record = |(key, etag, at): &(&str, &str, Time)| {
        let listed = Listed {
            key: (*key).to_owned(),
            size: 1,
            etag: (*etag).to_owned(),
            version_id: version_id.map(str::to_owned),
            last_modified: EventTime::parse(&at.to_string()).expect("a time"),
        };
        listed.record("landing", listing)
    };
    let records: Vec<String> = objects.iter().map(record).collect();
    let mut event = messages(&bodies(&records, 200_000));
    for message in event["Records"].as_array_mut().expect("messages") {
        message["eventSourceARN"] = QUEUE.into();
    }
    event
}

fn found(objects: &[(&str, &str, Time)]) -> Value {
    found_by(&listing("backfill-1"), objects, None)
}

/// Makes the event of what S3 announces.
fn announced(objects: &[(&str, &str, Time)], version_id: Option<&str>) -> Value {
    let records = objects.iter().map(|(key, etag, at)| {
        let mut record = record_of(key, &format!("{:016X}", at.0));
        record["eventTime"] = at.to_string().into();
        record["s3"]["object"]["eTag"] = json!(etag);
        if let Some(version_id) = version_id {
            record["s3"]["object"]["versionId"] = json!(version_id);
        }
        json!({ "Records": [record] }).to_string()
    });
    messages(&records.collect::<Vec<_>>())
}

/// Returns the keys in each batch, sorted.
async fn batches(stage: &Stage) -> Vec<String> {
    let mut told = Vec::new();
    for batch in stage.batches().await {
        let members = stage.ledger.members(&batch).await.expect("the ledger");
        let keys: Vec<&str> = members.iter().map(|m| m.key.trim_start_matches("named/")).collect();
        told.push(format!("{} {}", batch.listing.as_deref().unwrap_or("announced"), keys.concat()));
    }
    told.sort();
    told
}

#[tokio::test]
async fn an_object_that_was_announced_promptly_and_is_listed_later_is_in_one_batch() {
    let stage = stage().await;
    // Recorded when it was new, which the ledger can't tell any more.
    assert_eq!(stage.failures(&announced(&[("named/a", "e", now())], None)).await, NONE);
    for at in [ago(60), now()] {
        let event = found(&[("named/a", "e", at)]);
        let early = usize::from(at > ago(59));
        assert_eq!(stage.failures(&event).await.len(), early, "a listing leaves new objects alone");
    }
    assert_eq!(batches(&stage).await, ["announced a"]);
    assert_eq!(stage.codes(), [("listed_too_early".to_owned(), 1)].into());
}

#[tokio::test]
async fn an_object_that_is_listed_first_and_announced_late_is_in_one_batch() {
    for version_id in [None, Some("v1")] {
        let stage = stage().await;
        let object = [("named/a", "e", ago(90))];
        let listed = found_by(&listing("backfill-1"), &object, version_id);
        for event in [&listed, &listed, &announced(&object, version_id), &listed] {
            assert_eq!(stage.failures(event).await, NONE);
        }
        assert_eq!(batches(&stage).await, ["backfill-1 a"]);
    }
}

#[tokio::test]
async fn an_object_that_is_announced_late_and_listed_then_is_in_one_batch() {
    for version_id in [None, Some("v1")] {
        let stage = stage().await;
        let object = [("named/a", "e", ago(90))];
        let listed = found_by(&listing("backfill-1"), &object, version_id);
        for event in [&announced(&object, version_id), &listed, &announced(&object, version_id)] {
            assert_eq!(stage.failures(event).await, NONE);
        }
        assert_eq!(batches(&stage).await, ["announced a"]);
    }
}

#[tokio::test]
async fn events_that_come_late_and_twice_are_known_at_the_first_attempt() {
    let stage = stage().await;
    let keys: Vec<String> = (0..20).map(|n| format!("quiet/1/{n}")).collect();
    let objects: Vec<(&str, &str, Time)> = keys.iter().map(|key| (&**key, "e", ago(90))).collect();
    let writes = || stage.aws.calls_of("TransactWriteItems").len();
    for written in [1, 2] {
        assert_eq!(stage.failures(&announced(&objects, None)).await, NONE);
        assert_eq!(writes(), written, "one transaction, which is refused the second time");
    }
    assert_eq!(stage.batch().await.members, 20);
}

#[tokio::test]
async fn the_same_bytes_that_s3_announces_again_start_anew() {
    let stage = stage().await;
    for event in [
        found(&[("named/a", "e", ago(90))]),
        announced(&[("named/a", "e", ago(80)), ("named/a", "e", ago(70))], None),
        // Listed as it is now: it was announced.
        found(&[("named/a", "e", ago(70))]),
        // Written again, and S3 was silent.
        found(&[("named/a", "e", ago(63))]),
    ] {
        assert_eq!(stage.failures(&event).await, NONE);
    }
    assert_eq!(batches(&stage).await, ["announced aa", "backfill-1 aa"]);
}

#[tokio::test]
async fn an_arrival_of_the_version_before_is_compared_through_its_batch() {
    let stage = stage().await;
    let objects = ["named/a", "named/b"].map(|key| (key, "e", ago(90)));
    assert_eq!(stage.failures(&announced(&objects, None)).await, NONE);
    // The version before kept nothing of how an object looks, and wrote nothing under its look.
    for mut item in stage.aws.items("ledger") {
        if !item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with("object#")) {
            continue;
        }
        assert!(stage.aws.remove_item("ledger", &item["pk"], &item["sk"]));
        if item.get("doc").is_none() {
            for name in ["etag", "size", "event_at"] {
                assert!(item.as_object_mut().expect("an item").remove(name).is_some());
            }
            assert!(stage.aws.put_item("ledger", &item));
        }
    }
    let listed = [objects[0], ("named/b", "other", ago(80)), ("named/c", "e", ago(90))];
    assert_eq!(stage.failures(&found(&listed)).await, NONE);
    assert_eq!(
        batches(&stage).await,
        ["announced a", "announced b", "backfill-1 b", "backfill-1 c"]
    );
}

#[tokio::test]
async fn what_is_to_be_processed_again_is_in_one_more_batch_however_often_it_is_told() {
    for version_id in [None, Some("v1")] {
        let stage = stage().await;
        let object = [("named/a", "e", ago(90))];
        let again =
            |id: &str| found_by(&Listing { again: true, ..listing(id) }, &object, version_id);
        let listed = found_by(&listing("backfill-1"), &object, version_id);
        for event in [
            announced(&object, version_id),
            again("replay-1"),
            again("replay-1"),
            again("replay-2"),
            listed,
        ] {
            assert_eq!(stage.failures(&event).await, NONE);
        }
        assert_eq!(batches(&stage).await, ["announced a", "replay-1 a", "replay-2 a"]);
    }
}

#[tokio::test]
async fn many_that_are_announced_and_listed_at_once_are_each_in_one_batch() {
    let stage = stage().await;
    let keys: Vec<String> = (1_000..1_100).map(|n| format!("named/{n}")).collect();
    let objects: Vec<(&str, &str, Time)> = keys.iter().map(|key| (&**key, "e", ago(90))).collect();
    let again: Vec<(&str, &str, Time)> = objects.iter().rev().copied().collect();
    let events =
        [found(&objects), announced(&objects, None), found(&again), announced(&again, None)];
    let failed =
        futures_util::future::join_all(events.iter().map(|event| stage.failures(event))).await;
    assert_eq!(failed.concat(), NONE);
    let mut told: Vec<String> = batches(&stage).await;
    for one in &mut told {
        *one = one.split_off(one.len() - 4);
    }
    told.sort();
    let expected: Vec<String> = (1_000..1_100).map(|n| n.to_string()).collect();
    assert_eq!(told, expected);
}

/// The objects were there before any notification. S3 announces half of them late: some before the backfill, some in the
/// middle, and some after it. The backfill is killed twice, each time after it sent a page that it didn't note.
#[tokio::test]
async fn five_thousand_old_objects_are_each_in_one_batch_with_what_s3_announces_and_a_backfill_that_is_killed()
 {
    const OBJECTS: usize = 5_000;
    let keys: Vec<String> = (0..OBJECTS).map(|n| format!("quiet/{}/{n:04}", n / 1_700)).collect();
    let objects: Vec<(&str, &str, Time)> = keys.iter().map(|key| (&**key, "e", ago(90))).collect();
    for version_id in [None, Some("v1")] {
        let stage = stage().await;
        let late: Vec<(&str, &str, Time)> = objects.iter().step_by(2).copied().collect();
        let (before, rest) = late.split_at(OBJECTS / 6);
        let (between, after) = rest.split_at(OBJECTS / 6);
        let announce = async |objects: &[(&str, &str, Time)]| {
            for some in objects.chunks(100) {
                assert_eq!(stage.failures(&announced(some, version_id)).await, NONE);
            }
        };
        announce(before).await;
        for (number, page) in [0, 1, 1, 2, 3, 3, 4].into_iter().enumerate() {
            let page = &objects[page * 1_000..(page + 1) * 1_000];
            // It was killed in the middle of this page.
            let sent = if number == 4 { &page[..400] } else { page };
            let event = found_by(&listing_of("quiet"), sent, version_id);
            assert_eq!(stage.failures(&event).await, NONE);
            if number == 3 {
                announce(between).await;
            }
        }
        announce(after).await;
        announce(&late[..200]).await;
        let (mut held, mut by_listing) = (Vec::new(), 0);
        for batch in stage.batches().await {
            let members = stage.ledger.members(&batch).await.expect("the ledger");
            by_listing += members.iter().filter(|member| member.listing.is_some()).count();
            held.extend(members.into_iter().map(|member| member.key));
        }
        held.sort();
        assert_eq!(held.len(), OBJECTS, "{version_id:?}");
        assert!(held.iter().eq(&keys), "each object once");
        assert!((OBJECTS / 2..OBJECTS).contains(&by_listing), "{by_listing}");
    }
}

fn listing_of(route: &str) -> Listing {
    Listing { route: route.to_owned(), ..listing("backfill-1") }
}

#[tokio::test]
async fn what_a_listing_found_comes_only_through_the_queue_of_backfills() {
    let stage = stage().await;
    let mut event = found(&[("named/a", "e", ago(90))]);
    event["Records"][0]["eventSourceARN"] = QUEUE.replace("backfill", "arrivals").into();
    assert_eq!(stage.failures(&event).await, ["m0"]);
    assert_eq!(stage.codes(), [("event_untrusted_listing".to_owned(), 1)].into());
    assert_eq!(batches(&stage).await, [""; 0]);
}
