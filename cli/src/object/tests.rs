use expect_test::{Expect, expect};

use landfall_core::routes::Routes;

use super::routes::Source;
use super::*;
use crate::fixtures::{NOW, secs};

const ROUTES: &str = "
version: 1
targets:
  analytics:
    account: '222222222222'
    region: eu-west-1
    starter_role: landfall-starter
    external_id: ${EXTERNAL_ID}
routes:
  - name: orders
    bucket: acme-landing
    key: 'orders/{file}.csv'
    where: { min_bytes: 1 }
    start: { target: analytics, job: orders }
";

fn routes() -> Result<Known, String> {
    from(Source::File("my routes.yaml".to_owned()))
}

fn from(from: Source) -> Result<Known, String> {
    let parsed = Routes::parse(ROUTES);
    let routes = parsed.routes.unwrap_or_else(|| panic!("{:?}", parsed.problems));
    Ok(Known { from, routes, text: ROUTES.to_owned() })
}

fn unknown() -> Result<Known, String> {
    Err("nobody\u{1b} looked".to_owned())
}

fn there(size: u64, before: u64) -> Look<Head> {
    let modified = Some(NOW - secs(before));
    let version_id = Some("v\u{1b}1".to_owned());
    Look::Seen(Head { size: Some(size), modified, version_id, etag: None })
}

#[track_caller]
fn check(key: &str, look: Look<Head>, routes: Result<Known, String>, expected: Expect) {
    expected.assert_eq(
        &Object::new("acme-landing", key, look, routes).text(NOW, "landfall doctor\u{1b} …"),
    );
}

#[test]
fn an_object_that_a_route_takes_is_lost_on_its_way() {
    check(
        "orders/a.csv",
        there(512, 3_600),
        routes(),
        expect![[r#"
            S3 has the object: 512 bytes, version v\u{1b}1, last modified 2026-01-31T23:00:00Z (60 minutes ago)
            the routes in my routes.yaml say for this bucket:
              orders: matches, file = `a`
            to find out where on its way it is lost, run: landfall doctor\u{1b} …
        "#]],
    );
    check(
        "orders/a.csv",
        there(512, 60),
        routes(),
        expect![[r#"
            S3 has the object: 512 bytes, version v\u{1b}1, last modified 2026-01-31T23:59:00Z (60 seconds ago)
            its event may still be on its way: look again in a few minutes
            the routes in my routes.yaml say for this bucket:
              orders: matches, file = `a`
            to find out where on its way it is lost, run: landfall doctor\u{1b} …
        "#]],
    );
    check(
        "orders/a.csv",
        there(512, 40 * 86_400),
        unknown(),
        expect![[r#"
            S3 has the object: 512 bytes, version v\u{1b}1, last modified 2025-12-23T00:00:00Z (40 days ago)
            the ledger forgets an arrival some time after its batch is done (30 days, unless you configured another time): a job may have read the object long ago
            which route takes it is unknown: nobody\u{1b} looked
            to find out which route takes it and where on its way it is lost, run: landfall doctor\u{1b} …
        "#]],
    );
}

#[test]
fn an_object_that_no_route_takes_is_told_why() {
    check(
        "orders/a.csv",
        there(0, 3_600),
        routes(),
        expect![[r#"
            S3 has the object: 0 bytes, version v\u{1b}1, last modified 2026-01-31T23:00:00Z (60 minutes ago)
            the routes in my routes.yaml say for this bucket:
              orders: too small: 0 bytes, `where.min_bytes` is 1
            no route takes it: with these routes, nothing starts
        "#]],
    );
    check(
        "a.csv",
        there(512, 3_600),
        routes(),
        expect![[r#"
            S3 has the object: 512 bytes, version v\u{1b}1, last modified 2026-01-31T23:00:00Z (60 minutes ago)
            the routes in my routes.yaml say for this bucket:
              orders: the key doesn't match `orders/{file}.csv`
            no route takes it: with these routes, nothing starts
        "#]],
    );
    let other = Object::new("other", "a.csv", there(512, 3_600), routes());
    expect![[r#"
        S3 has the object: 512 bytes, version v\u{1b}1, last modified 2026-01-31T23:00:00Z (60 minutes ago)
        none of the routes in my routes.yaml is for bucket `other`: nothing starts
    "#]].assert_eq(&other.text(NOW, "landfall doctor …"));
}

#[test]
fn only_a_new_object_that_a_route_may_take_can_still_arrive() {
    let may =
        |key: &str, look, routes| Object::new("acme-landing", key, look, routes).may_arrive(NOW);
    assert!(may("orders/a.csv", there(512, 60), routes()));
    assert!(may("a.csv", there(512, 60), unknown()), "a route may take it");
    assert!(!may("a.csv", there(512, 60), routes()), "no route takes it");
    assert!(!may("orders/a.csv", there(0, 60), routes()), "it is too small");
    assert!(!may("orders/a.csv", there(512, 600), routes()), "its event is lost");
    for look in
        [Look::Missing, Look::Denied("s3:GetObject".to_owned()), Look::Failed("no".to_owned())]
    {
        assert!(!may("orders/a.csv", look, routes()));
    }
}

#[test]
fn a_table_that_names_no_stack_says_what_to_give_instead() {
    let why = stack_of("orders").expect_err("no stack has a table of this name");
    expect![
        "table `orders` doesn't tell the name of its stack: give the routes file with --routes"
    ]
    .assert_eq(&why);
}

#[test]
fn the_deployed_routes_say_which_stack_they_are_of() {
    let stack = || from(Source::Stack("landfall".to_owned()));
    check(
        "orders/a.csv",
        there(512, 3_600),
        stack(),
        expect![[r#"
            S3 has the object: 512 bytes, version v\u{1b}1, last modified 2026-01-31T23:00:00Z (60 minutes ago)
            the routes that stack `landfall` was deployed with say for this bucket:
              orders: matches, file = `a`
            to find out where on its way it is lost, run: landfall doctor\u{1b} …
        "#]],
    );
    check(
        "a.csv",
        there(512, 3_600),
        stack(),
        expect![[r#"
            S3 has the object: 512 bytes, version v\u{1b}1, last modified 2026-01-31T23:00:00Z (60 minutes ago)
            the routes that stack `landfall` was deployed with say for this bucket:
              orders: the key doesn't match `orders/{file}.csv`
            no route takes it: with these routes, nothing starts
        "#]],
    );
    let other = Object::new("other", "a.csv", there(512, 3_600), stack());
    expect![[r#"
        S3 has the object: 512 bytes, version v\u{1b}1, last modified 2026-01-31T23:00:00Z (60 minutes ago)
        none of the routes that stack `landfall` was deployed with is for bucket `other`: nothing starts
    "#]].assert_eq(&other.text(NOW, "landfall doctor …"));
}

#[test]
fn a_look_that_fails_says_nothing_about_the_object() {
    check(
        "orders/a.csv",
        Look::Missing,
        unknown(),
        expect![[r#"
            S3 has no such object now, or no such bucket: check the spelling (nothing in the URI is decoded), and whether the object was deleted
            which route takes it is unknown: nobody\u{1b} looked
            to find out which route takes it and where on its way it is lost, run: landfall doctor\u{1b} …
        "#]],
    );
    check(
        "orders/a.csv",
        Look::Denied("s3:GetObject".to_owned()),
        routes(),
        expect![[r#"
            S3 doesn't say whether the object exists (403): your credentials need s3:GetObject for it, and s3:ListBucket for its bucket
            the routes in my routes.yaml say for this bucket:
              orders: matches, file = `a`, but only if it has at least 1 byte
            to find out where on its way it is lost, run: landfall doctor\u{1b} …
        "#]],
    );
    check(
        "orders/a.csv",
        Look::Failed("no\u{1b} route to host".to_owned()),
        unknown(),
        expect![[r#"
            whether the object exists is unknown: no\u{1b} route to host
            which route takes it is unknown: nobody\u{1b} looked
            to find out which route takes it and where on its way it is lost, run: landfall doctor\u{1b} …
        "#]],
    );
    let entry = |look| {
        let object = Object::new("acme-landing", "orders/a.csv", look, routes());
        serde_json::to_string(&object.entry()).expect("it serialises")
    };
    expect![[r#"{"exists":null,"size":null,"last_modified":null,"version_id":null,"etag":null,"is_directory_marker":null,"routes_from":"file","verdicts":[{"route":"orders","verdict":"matches","captures":{"file":"a"},"only_if":{"min_bytes":1,"max_bytes":null}}]}"#]].assert_eq(&entry(Look::Denied("s3:GetObject".to_owned())));
    expect![[r#"{"exists":true,"size":0,"last_modified":"2026-02-01T00:00:00Z","version_id":"v\u001b1","etag":null,"is_directory_marker":false,"routes_from":"file","verdicts":[{"route":"orders","verdict":"too_small","bytes":0,"min_bytes":1}]}"#]].assert_eq(&entry(there(0, 0)));
}
