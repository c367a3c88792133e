//! Landfall's own tables, read and written by its own code.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use landfall_aws::claims::Claims;
use landfall_aws::clock::now;
use landfall_aws::ledger::{Held, Ledger, Wanted};
use landfall_core::batch::{
    Batch, Claim, ClaimMode, Closing, Draft, EndOutcome, Member, Scope, Start, State,
};
use landfall_core::moment::{Moment, Time};

use crate::config;
use crate::dynamodb::{CLAIMS, LEDGER, start};

fn member(number: usize) -> Member {
    Member {
        key: format!("orders/{number}"),
        version_id: None,
        etag: None,
        size: Some(1),
        sequencer: Some(format!("{number:08}")),
        event_time: None,
        listing: None,
        again: false,
    }
}

#[tokio::test]
async fn arrivals_are_recorded_once_and_their_batch_is_found_and_written() {
    let (aws, client) = start().await;
    let ledger = Ledger::new(client, LEDGER.to_owned(), Duration::from_secs(60));
    let members: Vec<Member> = (0..250).map(member).collect();
    let draft = Draft {
        route: "orders".to_owned(),
        bucket: "landing".to_owned(),
        group: BTreeMap::new(),
        start: a_start(),
        closing: Closing::default(),
        listing: None,
        members: members.clone(),
        markers: Vec::new(),
    };
    let moment = || Moment { now: now(), lease: now() + Duration::from_secs(60), jitter: 0 };
    let deadline = SystemTime::now() + Duration::from_secs(60);
    let id = |_: &Member| "one".to_owned();
    let recorded = ledger.record(&draft, id, moment, deadline).await.expect("recorded");
    assert_eq!((recorded.batches.len(), recorded.duplicates), (1, 0));
    let id = |_: &Member| "two".to_owned();
    let again = ledger.record(&draft, id, moment, deadline).await.expect("recorded");
    assert_eq!((again.batches.len(), again.duplicates), (0, 250));

    let batch = ledger.batch("one").await.expect("read").expect("a batch");
    let mut found = ledger.members(&batch).await.expect("read");
    found.sort_by(|one, other| one.sequencer.cmp(&other.sequencer));
    assert_eq!(found, members);
    let (due, more) = ledger.due(now() + Duration::from_secs(3_600)).await.expect("found");
    assert_eq!((due[0].id.as_str(), due.len(), more), ("one", 1, false));
    for route in [Some("orders"), None] {
        let wanted = Wanted { route, since: Time(0), limit: 10, most_read: 10 };
        let listing = ledger.batches(&wanted, |_| true).await.expect("found");
        assert_eq!(listing.batches, std::slice::from_ref(&batch));
    }
    assert_eq!(ledger.find("landing", "orders/7").await.expect("found")[0].batch, "one");
    assert!(ledger.awaiting("capacity", 10).await.expect("found").is_empty());

    let slot = ledger.slot(&batch.start.job_key()).await.expect("read");
    let first = ledger.begin(batch.clone(), Some(slot)).await.expect("written");
    assert!(matches!(&first, Held::Yes(b) if b.revision == batch.revision + 1), "{first:?}");
    let second = ledger.begin(batch, None).await.expect("written");
    assert!(matches!(second, Held::OtherBatch), "{second:?}");
    assert_eq!(aws.items(LEDGER).len(), 250 + 3 + 1 + 1, "arrivals, chunks, batch, slot");
}

#[tokio::test]
async fn what_a_listing_found_has_its_turn_for_a_slot_after_what_s3_announced() {
    let (_aws, client) = start().await;
    let ledger = Ledger::new(client, LEDGER.to_owned(), Duration::from_secs(60));
    let mut awaits = String::new();
    for (id, listing, seconds) in [
        ("found", Some("backfill-1"), 0),
        ("first", None, 1),
        ("found later", Some("backfill-1"), 2),
        ("second", None, 3),
    ] {
        let draft = Draft {
            route: "orders".to_owned(),
            bucket: "landing".to_owned(),
            group: BTreeMap::new(),
            start: a_start(),
            closing: Closing::default(),
            listing: listing.map(str::to_owned),
            members: vec![member(0)],
            markers: Vec::new(),
        };
        let now = now() + Duration::from_secs(seconds);
        let moment = Moment { now, lease: now, jitter: 0 };
        let state = State::Sealed { due: now, waits_for_slot: true };
        let batch = Batch { state, ..draft.batch(id.to_owned(), &moment) };
        awaits = batch.awaits().expect("it waits for a slot");
        ledger.write(batch).await.expect("written").expect("a batch");
    }
    let turns = ledger.awaiting(&awaits, 10).await.expect("found");
    assert_eq!(turns, ["first", "second", "found", "found later"]);
}

#[tokio::test]
async fn claims_are_read_and_ended() {
    let (aws, _) = start().await;
    let arn = format!("arn:aws:dynamodb:eu-west-1:222222222222:table/{CLAIMS}");
    let claims = Claims::new(&config(&aws).await, &arn);
    assert_eq!(claims.read("b").await.expect("read"), Claim { holder: None, ended: 0 });
    for _ in 0..2 {
        assert_eq!(claims.end("b", 3).await.expect("ended"), EndOutcome::Ended);
    }
    assert_eq!(claims.read("b").await.expect("read"), Claim { holder: None, ended: 3 });
}

#[tokio::test]
async fn a_claim_that_is_ended_is_kept_as_long_as_arrivals_and_not_for_ever() {
    let (aws, _) = start().await;
    let arn = format!("arn:aws:dynamodb:eu-west-1:222222222222:table/{CLAIMS}");
    let claims = Claims::new(&config(&aws).await, &arn);
    let kept = Duration::from_secs(400 * 86_400);
    let from = (now() + kept).seconds();
    assert_eq!(claims.end("b", 1).await.expect("ended"), EndOutcome::Ended);
    let item = aws.item(CLAIMS, &["b"]).expect("the item exists");
    let expires: u64 = item["expires"]["N"].as_str().expect("a number").parse().expect("seconds");
    assert!((from..=(now() + kept).seconds()).contains(&expires), "{expires}");
}

fn a_start() -> Start {
    Start {
        target: "analytics".to_owned(),
        account: "222222222222".to_owned(),
        region: "eu-west-1".to_owned(),
        starter_role_arn: "arn:aws:iam::222222222222:role/landfall-starter".to_owned(),
        job: "orders".to_owned(),
        arguments: BTreeMap::new(),
        values: BTreeMap::new(),
        max_concurrent_runs: Some(1),
        max_runs_per_hour: None,
        attempts: 1,
        retry_states: Vec::new(),
        scope: Scope::Job,
        claim: ClaimMode::Required,
        announce: false,
        listing_limit: None,
    }
}
