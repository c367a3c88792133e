//! `landfall batches`, `batch`, `retry` and `find`, against a ledger in memory; `unlock` beside them.

mod audit;
mod backfill;
mod batches;
mod console;
pub mod desk;
mod find;
mod former;
mod object;
mod outcome;
mod retry;
mod unlock;
mod watch;

use expect_test::expect;

use self::desk::{CREDENTIALS, Desk, id, member, run};

#[test]
fn a_ledger_that_cannot_be_read_is_told_with_table_region_and_what_may_help() {
    let desk = Desk::new();
    let shown = desk.landfall(&["batches", "--table", "other", "--region", "eu-west-2"]);
    expect![[r#"
        --- stderr
        error: failed to search `routes` in table `other`: ResourceNotFoundException: Requested resource not found (region `eu-west-2`; the account of these credentials has no such table there: name the table with --table or LANDFALL_LEDGER_TABLE, and the region with --region)
        --- status 2
    "#]].assert_eq(&shown.all());
    let refuse = |code| {
        desk.stand_in
            .answer("GetItem", move |_, _| landfall_stand_ins::Act::Fail { status: 400, code });
        desk.landfall(&["batch", &id(1)]).all()
    };
    expect![[r#"
        --- stderr
        error: failed to read `batch#00000000000000000000000000000001` in table `landfall-ledger`: AccessDeniedException: as the test asks (region `eu-west-1`; are these credentials for the data account? --help lists the permissions they need)
        --- status 2
    "#]].assert_eq(&refuse("AccessDeniedException"));
    expect![[r#"
        --- stderr
        error: failed to read `batch#00000000000000000000000000000001` in table `landfall-ledger`: ExpiredTokenException: as the test asks (region `eu-west-1`; the credentials are invalid or have expired: get new ones)
        --- status 2
    "#]].assert_eq(&refuse("ExpiredTokenException"));
}

#[tokio::test]
async fn the_table_is_named_by_an_option_or_the_environment() {
    let desk = Desk::new();
    desk.sealed(1, "orders", 0, &[member("a.csv")]).await;
    let place = [("AWS_ENDPOINT_URL", desk.stand_in.endpoint()), ("AWS_REGION", "eu-west-1")];
    let environment = [&place[..], &CREDENTIALS, &[("LANDFALL_LEDGER_TABLE", "other")]].concat();
    let find = ["find", "s3://acme-landing/a.csv"];
    let shown = run(&find, &environment);
    assert!(shown.stderr.contains("in table `other`"), "{}", shown.all());
    let named = [&find[..], &["--table", "landfall-ledger"]].concat();
    assert_eq!(run(&named, &environment).status, 0);
}

#[test]
fn without_credentials_or_a_region_nothing_is_asked() {
    let shown = run(&["batches"], &CREDENTIALS);
    expect![[r#"
        --- stderr
        error: no region is set: name the region of the data account's stack with --region, or set AWS_REGION
        --- status 2
    "#]].assert_eq(&shown.all());
    let shown = run(&["find", "s3://b/k"], &[("AWS_REGION", "eu-west-1")]);
    assert!(shown.stderr.contains("name a profile that has some with --profile or AWS_PROFILE"));
    assert_eq!((shown.status, shown.stdout.as_str()), (2, ""));
}

#[test]
fn what_is_written_wrong_is_told_before_anything_is_asked() {
    for (args, message) in [
        (&["batch", "899bfd"][..], "32 hexadecimal digits"),
        (&["retry", "899bfd"], "32 hexadecimal digits"),
        (&["retry"], "<ID>"),
        (&["retry", "--route", "orders"], "<ID>"),
        (&["retry", "--route", "orders", &id(1)], "cannot be used with"),
        (&["retry", "--all-parked", &id(1)], "cannot be used with"),
        (&["batches", "--state", "parkd"], "a similar value exists: 'parked'"),
        (&["batches", "--since", "tomorrow"], "a length of time (90s, 24h, 2 days)"),
        (&["batches", "--limit", "0"], "1..=10000"),
        (&["batches", "--table", ""], "--table"),
        (&["batches", "--region", "ireland"], "a region looks like eu-west-1"),
        (&["find", "acme-landing/a.csv"], "write s3://bucket/key"),
        (&["find", "https://acme-landing/a.csv"], "write s3://bucket/key"),
        (&["find", "s3://acme-landing"], "doesn't name an object"),
    ] {
        let shown = run(args, &[]);
        assert!(shown.stderr.contains(message), "{args:?}: {}", shown.all());
        assert_eq!((shown.status, shown.stdout.as_str()), (2, ""), "{args:?}");
    }
}

/// Says that the stack of the ledger records this version.
fn record_version(desk: &Desk, version: &'static str) {
    desk.stand_in.answer("DescribeStacks", move |call, _| {
        assert_eq!(call.body["StackName"], "landfall");
        let output = "<member><OutputKey>LandfallVersion</OutputKey>";
        let body = format!(
            "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>landfall</StackName>\
             <CreationTime>2026-01-31T12:00:00Z</CreationTime><StackStatus>UPDATE_COMPLETE</StackStatus>\
             <Outputs>{output}<OutputValue>{version}</OutputValue></member></Outputs></member></Stacks>\
             </DescribeStacksResult></DescribeStacksResponse>"
        );
        landfall_stand_ins::Act::Answer { status: 200, body }
    });
}

#[tokio::test]
async fn find_and_batch_warn_of_a_stack_with_another_version_and_say_the_same_otherwise() {
    let desk = Desk::new();
    desk.sealed(1, "orders", 0, &[member("a.csv")]).await;
    for args in [&["find", "s3://acme-landing/a.csv"][..], &["batch", &id(1)]] {
        for options in [&[][..], &["--json"]] {
            let args = [args, options].concat();
            record_version(&desk, env!("CARGO_PKG_VERSION"));
            let same = desk.landfall(&args);
            assert_eq!((same.status, same.stderr.as_str()), (0, ""), "{args:?}");
            record_version(&desk, "9.0.0");
            let other = desk.landfall(&args);
            assert_eq!((other.status, &other.stdout), (0, &same.stdout), "{args:?}");
            let (own, line) = (env!("CARGO_PKG_VERSION"), other.stderr.as_str());
            let expected = format!(
                "warning: this is `landfall` {own}, but stack `landfall` was deployed with version 9.0.0: use that \
                 version, or deploy the stack with this one\n"
            );
            assert_eq!(line, expected, "{args:?}");
        }
    }
    // Another table's name tells no stack, so nobody is asked.
    let shown = desk.landfall(&["batch", &id(1), "--table", "other"]);
    assert!(!shown.stderr.contains("warning"), "{}", shown.all());
}
