//! One object, on a way that is healthy or has one broken link.

use std::time::Duration;

use expect_test::{Expect, expect};

use super::healthy::healthy;
use super::lines;
use crate::chain::object::{Answer, Answers, Head, Object, Recorded};
use crate::chain::observed::Look;
use crate::chain::{Check, Link, Status, first_broken, judge_object};
use crate::moment::Time;

/// 2026-02-01T00:00:00Z.
const NOW: Time = Time(1_769_904_000_000);

fn ago(secs: u64) -> Time {
    NOW - Duration::from_secs(secs)
}

/// An object that landed an hour ago, that a route takes, and that the ledger doesn't have.
pub(super) fn lost() -> Object {
    let answer = Answer { route: "orders".to_owned(), takes: true, words: "matches".to_owned() };
    Object {
        account: "111111111111".to_owned(),
        region: "eu-west-1".to_owned(),
        bucket: "acme-landing".to_owned(),
        key: "orders/a b.csv".to_owned(),
        at: NOW,
        head: Look::Seen(Head {
            size: Some(512),
            modified: Some(ago(3_600)),
            version_id: Some("v1".to_owned()),
            etag: Some("e1".to_owned()),
        }),
        answers: Ok(Answers {
            from: "the routes that stack `landfall` was deployed with".to_owned(),
            routes: vec![answer],
        }),
        arrivals: Look::Seen(Vec::new()),
    }
}

fn recorded(secs: u64) -> Look<Vec<Recorded>> {
    let (route, batch) = ("orders".to_owned(), "222222222222-899b".to_owned());
    Look::Seen(vec![Recorded { route, batch, at: ago(secs) }])
}

fn modified(secs: u64) -> Look<Head> {
    Look::Seen(Head { modified: Some(ago(secs)), ..Head::default() })
}

fn not_taken(object: &mut Object) {
    let answers = object.answers.as_mut().expect("answers");
    answers.routes[0].takes = false;
    answers.routes[0].words = "too small".to_owned();
}

/// The code, the status of the check that has it, and the change that leads to it.
type Case = (&'static str, Status, fn(&mut Object));

pub(super) const CASES: &[Case] = &[
    ("object_missing", Status::Broken, |it| it.head = Look::Missing),
    ("object_gone", Status::Warn, |it| {
        (it.head, it.arrivals) = (Look::Missing, recorded(60));
    }),
    ("object_not_taken", Status::Broken, not_taken),
    ("object_not_taken", Status::Broken, |it| {
        it.answers.as_mut().expect("answers").routes.clear();
    }),
    ("object_on_its_way", Status::Warn, |it| it.head = modified(299)),
    ("object_forgotten", Status::Warn, |it| it.head = modified(31 * 86_400)),
    ("object_not_recorded", Status::Broken, |_| {}),
    ("object_not_recorded", Status::Broken, |it| it.head = Look::Seen(Head::default())),
    // It was uploaded again after the arrival that the ledger has.
    ("object_not_recorded", Status::Broken, |it| it.arrivals = recorded(3_601)),
    ("could_not_look", Status::Unknown, |it| it.head = Look::Denied("s3:GetObject".to_owned())),
    ("denied_by_organization", Status::Unknown, |it| {
        it.head = Look::DeniedByOrganization("s3:GetObject".to_owned());
    }),
    ("could_not_look", Status::Unknown, |it| it.head = Look::Failed("HeadObject: no".to_owned())),
    ("could_not_look", Status::Unknown, |it| it.answers = Err("nobody looked".to_owned())),
    ("could_not_look", Status::Unknown, |it| {
        it.arrivals = Look::Denied("dynamodb:Query".to_owned());
    }),
    ("could_not_look", Status::Unknown, |it| it.arrivals = Look::Failed("Query: no".to_owned())),
];

/// Judges the object of a case; if it is lost, with a healthy chain.
pub(super) fn judged((_, _, change): &Case) -> Vec<Check> {
    let mut object = lost();
    change(&mut object);
    judge_object(&object, object.is_lost().then(healthy).as_ref())
}

#[test]
fn one_thing_about_an_object_is_found_by_its_name_and_nothing_else_is_broken() {
    for case in CASES {
        let (code, status, _) = case;
        let checks = judged(case);
        let at = lines(&checks);
        let has_it = |check: &&Check| check.problem.as_ref().is_some_and(|it| it.code == *code);
        let found = checks.iter().find(has_it);
        assert_eq!(found.map(|check| check.status), Some(*status), "{code}: {at}");
        let broken = checks.iter().filter(|check| check.status == Status::Broken).count();
        assert_eq!(broken, usize::from(*status == Status::Broken), "{code}: {at}");
        // What nobody could see is never all right.
        let is_unknown = checks.iter().any(|check| check.status == Status::Unknown);
        assert_eq!(is_unknown, *status == Status::Unknown, "{code}: {at}");
    }
}

#[track_caller]
fn check(object: &Object, expected: Expect) {
    expected.assert_eq(&lines(&judge_object(object, None)));
}

#[test]
fn an_object_that_the_ledger_has_is_on_its_way_whatever_the_routes_and_s3_say_now() {
    let mut object = lost();
    object.arrivals = recorded(3_600);
    assert!(!object.is_lost());
    check(
        &object,
        expect![[r#"
        LF039 ok 111111111111 s3://acme-landing/orders/a b.csv: it is there: 512 bytes, version v1, ETag e1, last modified 2026-01-31T23:00:00Z
        LF040 ok 111111111111 s3://acme-landing/orders/a b.csv: the routes that stack `landfall` was deployed with: taken by `orders`
        LF041 ok 111111111111 s3://acme-landing/orders/a b.csv: route `orders` took it at 2026-01-31T23:00:00Z into batch 222222222222-899b
    "#]],
    );
    not_taken(&mut object);
    object.head = Look::Missing;
    check(
        &object,
        expect![[r#"
        LF039 warn 111111111111 s3://acme-landing/orders/a b.csv: S3 has no such object now object_gone
        LF040 skipped 111111111111 s3://acme-landing/orders/a b.csv: no route takes it now, but one did when it arrived (the routes that stack `landfall` was deployed with: `orders`: too small)
        LF041 ok 111111111111 s3://acme-landing/orders/a b.csv: route `orders` took it at 2026-01-31T23:00:00Z into batch 222222222222-899b
    "#]],
    );
}

#[test]
fn an_object_that_no_route_takes_or_that_is_not_there_is_not_looked_for_on_its_way() {
    let mut object = lost();
    not_taken(&mut object);
    assert!(!object.is_lost());
    check(
        &object,
        expect![[r#"
        LF039 ok 111111111111 s3://acme-landing/orders/a b.csv: it is there: 512 bytes, version v1, ETag e1, last modified 2026-01-31T23:00:00Z
        LF040 broken 111111111111 s3://acme-landing/orders/a b.csv: the routes that stack `landfall` was deployed with: `orders`: too small object_not_taken
        LF041 skipped 111111111111 s3://acme-landing/orders/a b.csv: it isn't there, because of the route that takes the object (LF040)
    "#]],
    );
    let mut object = lost();
    object.head = Look::Missing;
    assert!(!object.is_lost());
    object.head = Look::Denied("s3:GetObject".to_owned());
    assert!(object.is_lost(), "it may be there");
    object.answers = Err("nobody\u{1b} looked".to_owned());
    assert!(!object.is_lost(), "nobody knows where to look");
    check(
        &object,
        expect![[r#"
            LF039 unknown 111111111111 s3://acme-landing/orders/a b.csv: S3 doesn't say whether the object exists: the credentials need `s3:GetObject` for it, and `s3:ListBucket` for its bucket could_not_look
            LF040 unknown 111111111111 s3://acme-landing/orders/a b.csv: nobody looked could_not_look
            LF041 unknown 111111111111 s3://acme-landing/orders/a b.csv: the ledger has no arrival of it, and nobody knows whether it should could_not_look
        "#]],
    );
}

#[test]
fn the_first_broken_link_on_the_way_of_an_object_is_why_the_ledger_does_not_have_it() {
    let mut chain = healthy();
    let data = chain.data.as_mut().expect("data");
    data.trigger.reserved_concurrency = Look::Seen(Some(0));
    data.monitor.reserved_concurrency = Look::Seen(Some(0));
    let checks = judge_object(&lost(), Some(&chain));
    let first = first_broken(&checks).expect("a broken link");
    assert_eq!(first.link, Link::TriggerConcurrency);
    let [.., arrival] = &checks[..] else { panic!("no checks") };
    expect!["it isn't there, because of the trigger's concurrency (LF014)"]
        .assert_eq(&arrival.evidence);
    // Nothing after the ledger can be why.
    assert!(checks.iter().all(|check| check.link <= Link::Arrival), "{}", lines(&checks));
}

#[test]
fn the_command_that_brings_an_object_in_can_be_copied_into_a_shell() {
    let checks = judge_object(&lost(), Some(&healthy()));
    let problem = first_broken(&checks).and_then(|check| check.problem.clone()).expect("a problem");
    expect!["landfall backfill --route orders --prefix 'orders/a b.csv'"]
        .assert_eq(&problem.command.expect("a command"));
}
