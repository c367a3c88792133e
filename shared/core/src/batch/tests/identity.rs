//! What tells arrivals apart, and how an event and a listing of the same object meet.

use super::*;
use crate::arrivals::tests::arrival;

mod model;

const MINUTE: u64 = 60_000;

/// When the object was written.
const WRITTEN: Time = Time(1_769_903_999_000);

fn member(key: &str) -> Member {
    Member::from(&arrival("landing", key))
}

fn event(etag: &str, sequencer: &str, at: Time) -> Member {
    Member {
        etag: Some(etag.to_owned()),
        sequencer: Some(sequencer.to_owned()),
        event_time: Some(at.to_string()),
        ..member("a.csv")
    }
}

fn listed(etag: &str, at: Time) -> Member {
    let listing = Some("backfill-1".to_owned());
    Member { sequencer: None, listing, ..event(etag, "", at) }
}

fn after(minutes: u64) -> Time {
    Time(WRITTEN.0 + minutes * MINUTE)
}

#[test]
fn an_object_version_is_told_by_its_version_else_its_sequencer_else_how_it_looks() {
    let plain = member("a");
    let sequenced = Member { sequencer: Some("01".to_owned()), ..plain.clone() };
    let version_id = Some("v".to_owned());
    let versioned = Member { version_id, ..sequenced.clone() };
    let told = [&plain, &sequenced, &versioned].map(Member::identity);
    assert_eq!(told, [r"look None Some(1) None", "sequencer 01", "version v"]);
    let again = Member { etag: Some("other".to_owned()), ..versioned.clone() };
    assert_eq!(again.arrival_key("orders"), versioned.arrival_key("orders"));
    assert_ne!(versioned.arrival_key("orders"), versioned.arrival_key("items"));
    assert_eq!(versioned.arrival_key("orders").len(), "orders ".len() + 32);
}

#[test]
fn an_event_and_a_listing_of_one_version_have_one_key() {
    let version_id = Some("v".to_owned());
    let event = Member { version_id: version_id.clone(), ..event("e", "01", WRITTEN) };
    let found = Member { version_id, ..listed("e", WRITTEN) };
    assert_eq!(event.arrival_key("orders"), found.arrival_key("orders"));
    let by_identity = RecordedUnder { identity: true, look: false };
    assert_eq!([&event, &found].map(|one| one.recorded_under(after(6_000))), [by_identity; 2]);
}

#[test]
fn without_versions_what_a_listing_found_has_the_key_of_its_look() {
    let (event, found) = (event("e", "01", WRITTEN), listed("e", WRITTEN));
    assert_ne!(event.arrival_key("orders"), found.arrival_key("orders"));
    assert_eq!(event.look_key("orders"), Some(found.arrival_key("orders")));
    assert_ne!(listed("f", WRITTEN).look_key("orders"), found.look_key("orders"));
    assert_eq!(member("a.csv").look_key("orders"), None, "it has no ETag");
}

#[test]
fn only_an_event_that_a_listing_may_have_come_before_is_recorded_under_its_look_too() {
    let under = |member: &Member, minutes| member.recorded_under(after(minutes));
    let (identity, both) = (
        RecordedUnder { identity: true, look: false },
        RecordedUnder { identity: true, look: true },
    );
    let prompt = event("e", "01", WRITTEN);
    assert_eq!(
        [under(&prompt, 0), under(&prompt, 15), under(&prompt, 16)],
        [identity, identity, both]
    );
    // S3 gives an object that was uploaded in parts the time at which its upload began.
    assert_eq!(under(&event("e-2", "01", WRITTEN), 0), both);
    assert_eq!(under(&Member { size: Some(64 << 20), ..prompt.clone() }, 0), both);
    assert_eq!(under(&Member { event_time: None, ..prompt }, 0), both);
    let by_look = RecordedUnder { identity: false, look: true };
    assert_eq!(under(&listed("e", WRITTEN), 60), by_look);
}

#[test]
fn an_event_is_what_a_listing_found_if_the_times_agree() {
    let look = Look::default().with(&listed("e", WRITTEN));
    let has = |at: Time| look.has(&event("e", "01", at));
    assert_eq!([has(WRITTEN), has(after(5)), has(after(6))], [true, true, false]);
    assert!(has(Time(WRITTEN.0 - 5 * MINUTE)) && !has(Time(WRITTEN.0 - 6 * MINUTE)));
    assert!(look.has(&Member { event_time: None, ..event("e", "01", WRITTEN) }));
    let in_parts = |minutes| look.has(&event("e-2", "01", after(minutes)));
    assert_eq!([in_parts(24 * 60), in_parts(24 * 60 + 1)], [true, false]);
    assert!(!Look::default().has(&event("e", "01", WRITTEN)));
}

#[test]
fn what_a_listing_found_is_known_if_it_was_announced_or_listed_as_late() {
    for known in [event("e", "01", WRITTEN), listed("e", WRITTEN)] {
        let look = Look::default().with(&known);
        let has = |minutes| look.has(&listed("e", after(minutes)));
        // Written again with the same bytes: S3 did not say so.
        assert_eq!([has(0), has(5), has(6)], [true, true, false]);
    }
    let announced = Announced::of(&event("e", "01", WRITTEN), Time(0)).expect("a look");
    let is = |member: &Member| announced.is(member);
    assert!(
        is(&listed("e", after(5))) && !is(&listed("e", after(6))) && !is(&listed("f", WRITTEN))
    );
}

#[test]
fn a_look_remembers_the_newest_event_and_the_newest_listings() {
    let mut look = Look::default();
    for minutes in (0..100).rev() {
        look = look.with(&listed("e", after(minutes))).with(&event("e", "01", after(minutes)));
    }
    assert_eq!((look.announced_at, look.revision), (Some(after(99)), 200));
    assert_eq!(look.listed_at, (84..100).rev().map(after).collect::<Vec<_>>());
}

#[test]
fn an_object_is_left_alone_until_a_prompt_event_is_recorded_for_sure() {
    assert_eq!([59, 60].map(|minutes| may_be_listed(WRITTEN, after(minutes))), [false, true]);
}

#[test]
fn two_writes_of_the_same_bytes_are_not_recorded_in_one_transaction() {
    let two = [event("e", "01", WRITTEN), event("e", "02", after(1))];
    assert_eq!(chunk(&two, 98, after(60)), (1, 2));
    assert_eq!(chunk(&two, 98, after(1)), (2, 2), "prompt events are told by their sequencers");
    let other = [event("e", "01", WRITTEN), event("f", "02", after(1))];
    assert_eq!(chunk(&other, 98, after(60)), (2, 4));
    assert_eq!(chunk(&other, 3, after(60)), (1, 2), "there is no room for the second");
}
