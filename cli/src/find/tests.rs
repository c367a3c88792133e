use expect_test::{Expect, expect};
use landfall_core::batch::{RunState, Why};

use super::*;
use crate::fixtures::{self as made, ID, NOW, secs};
use crate::monitor::Monitor;

fn found(member: &Member, before: u64) -> Found {
    Found {
        route: "orders".to_owned(),
        arrival_key: member.arrival_key("orders"),
        batch: ID.to_owned(),
        recorded_at: NOW - secs(before),
    }
}

fn version(batch: Option<Batch>, role: Role, problem: Option<&str>) -> Version {
    let found = found(&made::member("a.csv"), 60);
    Version { found, batch, role, reason: None, problem: problem.map(str::to_owned) }
}

#[track_caller]
fn check(versions: Vec<Version>, more: usize, expected: Expect) {
    let uri = "s3://acme-landing/a\u{1b}.csv".to_owned();
    expected.assert_eq(&text(&Versions { uri, versions, more }, NOW + secs(400), &Monitor::Ticks));
}

#[test]
fn each_version_is_told_with_what_became_of_its_batch() {
    let member = made::member("a.csv");
    check(
        vec![
            version(Some(made::ended(RunState::Succeeded)), Role::Member(member.clone()), None),
            version(Some(made::parked(Why::NoSuchJob, "orders")), Role::Replaced(member), None),
            version(Some(made::sealed()), Role::Marker, None),
        ],
        0,
        expect![[r#"
            s3://acme-landing/a\u{1b}.csv

            route `orders` took it 2026-01-31T23:59:00Z (7 minutes ago), version v1, 512 bytes
              into batch 899bfd94d19c4ed05147d6815125b225, which has succeeded
              Run `jr_1` succeeded 2026-02-01T00:05:00Z (100 seconds ago).

            route `orders` took it 2026-01-31T23:59:00Z (7 minutes ago), version v1, 512 bytes
              into batch 899bfd94d19c4ed05147d6815125b225, which is parked
              A newer version arrived in the same batch: job runs read that one in its place.
              It has been parked since 2026-02-01T00:00:02Z (6 minutes ago): there is no such job [no_such_job].
              Message: orders.
              No run starts until you return the batch.
              Once you have removed the cause, run: landfall retry 899bfd94d19c4ed05147d6815125b225

            route `orders` took it 2026-01-31T23:59:00Z (7 minutes ago)
              into batch 899bfd94d19c4ed05147d6815125b225, which is sealed
              It is the group's marker: it closes the batch, and no job run reads it.
              It is due. The monitor starts a run at its next tick.
              The monitor should have taken it up 6 minutes ago: is the monitor running? Check its alarms and its log.
        "#]],
    );
}

#[test]
fn why_a_run_failed_is_told_in_one_line_and_in_the_document() {
    let failed = made::failed("ValueError: line 1\nline 2");
    let versions = || {
        let role = Role::Member(made::member("a.csv"));
        vec![version(Some(failed.clone()), role, None)]
    };
    check(
        versions(),
        0,
        expect![[r#"
        s3://acme-landing/a\u{1b}.csv

        route `orders` took it 2026-01-31T23:59:00Z (7 minutes ago), version v1, 512 bytes
          into batch 899bfd94d19c4ed05147d6815125b225, which has failed
          Run `jr_1` (epoch 1) ended as FAILED 2026-02-01T00:05:00Z (100 seconds ago).
          The monitor ends the run's claim, then starts another run.
          Glue says why run `jr_1` failed: ValueError: line 1\nline 2.
    "#]],
    );
    let uri = "s3://acme-landing/a.csv".to_owned();
    let json = document(&Versions { uri, versions: versions(), more: 0 }, None);
    assert!(json.contains(r#""run_error": "ValueError: line 1\nline 2""#), "{json}");
}

#[test]
fn what_a_listing_found_is_told_and_why_it_is_processed_again() {
    let found_by = |listing: &str, again| Member {
        listing: Some(listing.to_owned()),
        again,
        ..made::member("a.csv")
    };
    let replayed = Role::Member(found_by("replay-2\u{1b}", true));
    let versions = || {
        let reason = Some("wrong\u{1b} currency".to_owned());
        vec![
            Version { reason, ..version(Some(made::sealed()), replayed.clone(), None) },
            version(Some(made::sealed()), Role::Member(found_by("backfill-1", false)), None),
            version(
                Some(made::sealed()),
                Role::Member(found_by("reconciliation-20260131T120000Z", false)),
                None,
            ),
        ]
    };
    let uri = || "s3://acme-landing/a.csv".to_owned();
    let told = text(&Versions { uri: uri(), versions: versions(), more: 0 }, NOW, &Monitor::Ticks);
    assert!(
        told.contains("\n  replay-2\\u{1b} has it processed again (wrong\\u{1b} currency).\n"),
        "{told}"
    );
    assert!(told.contains("\n  S3 hadn't announced it: backfill-1 found it.\n"), "{told}");
    let expected = "\n  S3 never announced it; found by reconciliation on 2026-01-31T12:00:00Z.\n";
    assert!(told.contains(expected), "{told}");
    let json = document(&Versions { uri: uri(), versions: versions(), more: 0 }, None);
    assert!(json.contains(r#""found_by": "backfill-1""#), "{json}");
    assert!(json.contains(r#""reason": "wrong\u001b currency""#), "{json}");
}

#[test]
fn a_batch_that_is_forgotten_is_not_one_that_cannot_be_read() {
    check(
        vec![
            version(None, Role::NotKnown, None),
            version(None, Role::NotKnown, Some("it was written by a newer version of Landfall")),
        ],
        3,
        expect![[r#"
            s3://acme-landing/a\u{1b}.csv

            route `orders` took it 2026-01-31T23:59:00Z (7 minutes ago)
              into batch 899bfd94d19c4ed05147d6815125b225, which was done and left the ledger

            route `orders` took it 2026-01-31T23:59:00Z (7 minutes ago)
              into batch 899bfd94d19c4ed05147d6815125b225, which cannot be read

            … and 3 older arrivals: to see them, raise --limit
        "#]],
    );
}

#[test]
fn of_several_versions_in_a_batch_the_newest_is_read() {
    let with = |sequencer: &str| Member {
        version_id: None,
        sequencer: Some(sequencer.to_owned()),
        ..made::member("a.csv")
    };
    let members = [with("01"), with("02")];
    assert_eq!(role(&found(&members[0], 0), &members), Role::Replaced(members[0].clone()));
    assert_eq!(role(&found(&members[1], 0), &members), Role::Member(members[1].clone()));
    assert_eq!(role(&found(&with("03"), 0), &members), Role::Marker);
}
