use expect_test::expect;
use landfall_aws::ledger::{Left, Wanted};
use landfall_core::batch::{Batch, NEWEST_VERSION, Prepared, RunState, Seen, StartOutcome};
use landfall_core::moment::Time;
use landfall_stand_ins::Act;
use serde_json::{Value, json};

use super::desk::{Desk, id, member};

const SINCE: [&str; 2] = ["--since", "2026-01-31T00:00:00Z"];

/// That its run was started, and is seen to run.
pub fn a_run() -> [Seen; 4] {
    let prepared = Prepared {
        objects: 1,
        bytes: Some(512),
        manifest: "s3://manifests/orders/1.json".to_owned(),
        arguments: [("--dt".to_owned(), "2026-01-31".to_owned())].into(),
    };
    [
        Seen::Prepared(Ok(prepared)),
        Seen::Wake,
        Seen::Start(StartOutcome::Started("jr_1".to_owned())),
        Seen::Run(Some(RunState::Running.into())),
    ]
}

#[tokio::test]
async fn batches_are_listed_the_newest_first() {
    let desk = Desk::new();
    let batch = desk.sealed(1, "orders", 0, &[member("orders/1.csv")]).await;
    desk.advanced(batch, 0, a_run()).await;
    desk.parked(3, "orders", 120).await;
    desk.sealed(2, "audit", 60, &[member("audit/1.csv")]).await;
    let all = [&["batches"][..], &SINCE].concat();
    expect![[r#"
        OPENED                ROUTE   GROUP          STATE    OBJECTS  RUN, OR WAITS FOR  ID
        2026-01-31T12:02:00Z  orders  dt=2026-01-31  parked         1  argument_refused   00000000000000000000000000000003
        2026-01-31T12:01:00Z  audit   dt=2026-01-31  sealed         1  the monitor        00000000000000000000000000000002
        2026-01-31T12:00:00Z  orders  dt=2026-01-31  started        1  jr_1               00000000000000000000000000000001

        3 batches opened since 2026-01-31T00:00:00Z (long ago): 1 parked, 1 sealed, 1 started
        --- stderr
        --- status 0
    "#]].assert_eq(&desk.landfall(&all).all());
    expect![[r#"
        OPENED                ROUTE   GROUP          STATE    OBJECTS  RUN, OR WAITS FOR  ID
        2026-01-31T12:02:00Z  orders  dt=2026-01-31  parked         1  argument_refused   00000000000000000000000000000003
        2026-01-31T12:00:00Z  orders  dt=2026-01-31  started        1  jr_1               00000000000000000000000000000001

        2 batches opened since 2026-01-31T00:00:00Z (long ago): 1 parked, 1 started
        --- stderr
        --- status 0
    "#]].assert_eq(&desk.landfall(&[&all[..], &["--route", "orders"]].concat()).all());
    let two = [&all[..], &["--state", "sealed,started"]].concat();
    expect![[r#"
        OPENED                ROUTE   GROUP          STATE    OBJECTS  RUN, OR WAITS FOR  ID
        2026-01-31T12:01:00Z  audit   dt=2026-01-31  sealed         1  the monitor        00000000000000000000000000000002
        2026-01-31T12:00:00Z  orders  dt=2026-01-31  started        1  jr_1               00000000000000000000000000000001

        2 batches opened since 2026-01-31T00:00:00Z (long ago): 1 sealed, 1 started
        --- stderr
        --- status 0
    "#]].assert_eq(&desk.landfall(&two).all());
    expect![[r#"
        no matching batch was opened since 2026-01-31T12:02:01Z (long ago)
        --- stderr
        --- status 0
    "#]]
    .assert_eq(
        &desk.landfall(&["batches", "--route", "orders", "--since", "2026-01-31T12:02:01Z"]).all(),
    );
    // Without --since a day is meant; that was longer ago.
    assert!(desk.landfall(&["batches"]).stdout.starts_with("no matching batch was opened since"));
}

#[tokio::test]
async fn parked_batches_are_listed_however_old_they_are() {
    let desk = Desk::new();
    desk.parked(1, "orders", 0).await;
    desk.sealed(2, "audit", 60, &[member("audit/1.csv")]).await;
    desk.parked(3, "audit", 90).await;
    let parked = ["batches", "--state", "parked"];
    let listed = |options: &[&str]| desk.landfall(&[&parked[..], options].concat()).all();
    expect![[r#"
        OPENED                ROUTE   GROUP          STATE   OBJECTS  RUN, OR WAITS FOR  ID
        2026-01-31T12:01:30Z  audit   dt=2026-01-31  parked        1  argument_refused   00000000000000000000000000000003
        2026-01-31T12:00:00Z  orders  dt=2026-01-31  parked        1  argument_refused   00000000000000000000000000000001

        2 parked batches, however old
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&listed(&[]));
    expect![[r#"
        OPENED                ROUTE  GROUP          STATE   OBJECTS  RUN, OR WAITS FOR  ID
        2026-01-31T12:01:30Z  audit  dt=2026-01-31  parked        1  argument_refused   00000000000000000000000000000003

        1 parked batch, however old
        there are more, all of them older: raise --limit, or filter by --route
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&listed(&["--limit", "1"]));
    expect![[r#"
        {
          "since": null,
          "batches": [
            {
              "id": "00000000000000000000000000000001",
              "opened_at": "2026-01-31T12:00:00Z",
              "route": "orders",
              "group": {
                "dt": "2026-01-31"
              },
              "state": "parked",
              "arrivals": 1,
              "run_id": null,
              "due_at": null,
              "waits_for": null,
              "parked_for": "argument_refused",
              "claim": "required",
              "claimed": null
            }
          ],
          "counts": {
            "parked": 1
          },
          "left": "none"
        }
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&listed(&["--route", "orders", "--json"]));
    expect![[r#"
        no matching batch is parked
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&listed(&["--route", "other"]));
    // With a time, and with another state too, as any list.
    let none = "no matching batch was opened since";
    assert!(listed(&["--since", "24h"]).starts_with(none));
    assert!(listed(&["--state", "sealed"]).starts_with(none));
}

#[tokio::test]
async fn a_list_ends_at_its_limit_and_says_so() {
    let desk = Desk::new();
    for number in 0..40 {
        desk.sealed(number, "orders", 10 * number, &[member(&format!("{number}.csv"))]).await;
    }
    desk.parked(99, "orders", 5).await;
    for route in [&[][..], &["--route", "orders"]] {
        let all = [&["batches", "--json"][..], &SINCE, route].concat();
        let listed = |options: &[&str]| {
            let shown = desk.landfall(&[&all[..], options].concat());
            let document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
            let batches = document["batches"].as_array().expect("a list").iter();
            let ids = batches.map(|batch| batch["id"].as_str().expect("an id").to_owned());
            (ids.collect::<Vec<_>>(), document["left"].as_str().expect("a word").to_owned())
        };
        let newest = |count: u64| (0..count).map(|number| id(39 - number)).collect::<Vec<_>>();
        assert_eq!(listed(&["--limit", "3"]), (newest(3), "older".to_owned()));
        assert_eq!(listed(&["--limit", "40"]).1, "older");
        assert_eq!(listed(&["--limit", "41"]).1, "none");
        // However many others are newer.
        let parked = listed(&["--state", "parked", "--limit", "1"]);
        assert_eq!(parked, (vec![id(99)], "none".to_owned()));
    }
}

#[tokio::test]
async fn a_list_that_would_take_too_many_reads_says_what_was_not_looked_at() {
    let desk = Desk::new();
    for number in 0..3 {
        desk.sealed(number, "orders", number, &[member(&format!("{number}.csv"))]).await;
    }
    for route in [None, Some("orders")] {
        let wanted = Wanted { route, since: Time(0), limit: 10, most_read: 2 };
        let listing = desk.ledger.batches(&wanted, |batch| batch.id != id(2)).await;
        let listing = listing.expect("a ledger");
        assert_eq!(listing.batches.iter().map(|batch| &batch.id).collect::<Vec<_>>(), [&id(1)]);
        assert_eq!(listing.left, Left::Unread);
    }
    // An index without an end.
    desk.stand_in.answer("Scan", |call, _| {
        let key = json!({ "pk": { "S": "a" }, "sk": { "S": "a" } });
        let answer = json!({ "Items": [], "Count": 0, "ScannedCount": 0, "LastEvaluatedKey": key });
        assert_eq!(call.body["IndexName"], "routes");
        Act::Answer { status: 200, body: answer.to_string() }
    });
    expect![[r#"
        no matching batch was opened since 2026-01-31T00:00:00Z (long ago)
        there are too many batches to read all of them: filter by --route
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&desk.landfall(&[&["batches"][..], &SINCE].concat()).all());
    desk.stand_in.answer("Query", |call, _| {
        let key = json!({ "pk": { "S": "a" }, "sk": { "S": "a" } });
        let answer = json!({ "Items": [], "LastEvaluatedKey": key });
        assert_eq!(call.body["IndexName"], "awaits");
        Act::Answer { status: 200, body: answer.to_string() }
    });
    expect![[r#"
        no matching batch is parked
        there are too many batches to read the older ones: filter by --route together with --since
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&desk.landfall(&["batches", "--state", "parked"]).all());
}

#[tokio::test]
async fn a_batch_that_a_newer_version_wrote_hides_no_other() {
    let desk = Desk::new();
    desk.sealed(1, "orders", 0, &[member("1.csv")]).await;
    let newer = desk.sealed(2, "orders", 1, &[member("2.csv")]).await;
    desk.ledger
        .write(Batch { v: NEWEST_VERSION + 1, ..newer })
        .await
        .expect("a ledger")
        .expect("a batch");
    expect![[r#"
        OPENED                ROUTE   GROUP          STATE   OBJECTS  RUN, OR WAITS FOR  ID
        2026-01-31T12:00:00Z  orders  dt=2026-01-31  sealed        1  the monitor        00000000000000000000000000000001

        1 batch opened since 2026-01-31T00:00:00Z (long ago): 1 sealed
        --- stderr
        error: failed to read `batch#00000000000000000000000000000002`: it was written by a newer version of Landfall (5) (region `eu-west-1`; a newer `landfall` can read it)
        --- status 2
    "#]].assert_eq(&desk.landfall(&[&["batches"][..], &SINCE].concat()).all());
    expect![[r#"
        --- stderr
        error: failed to read `batch#00000000000000000000000000000002`: it was written by a newer version of Landfall (5) (region `eu-west-1`; a newer `landfall` can read it)
        --- status 2
    "#]].assert_eq(&desk.landfall(&["batch", &id(2)]).all());
    expect![[r#"
        s3://acme-landing/2.csv

        route `orders` took it 2026-01-31T12:00:01Z (long ago)
          into batch 00000000000000000000000000000002, which cannot be read
        --- stderr
        error: failed to read `batch#00000000000000000000000000000002`: it was written by a newer version of Landfall (5) (region `eu-west-1`; a newer `landfall` can read it)
        --- status 2
    "#]].assert_eq(&desk.landfall(&["find", "s3://acme-landing/2.csv"]).all());
}

#[tokio::test]
async fn a_batch_is_told_with_all_that_is_known() {
    let desk = Desk::new();
    let batch = desk.sealed(1, "orders", 0, &[member("orders/\u{1b}[2J.csv")]).await;
    desk.advanced(batch, 0, a_run()).await;
    expect![[r#"
        batch 00000000000000000000000000000001 is started
          The monitor has followed run `jr_1` (epoch 1) since 2026-01-31T12:00:03Z (long ago), last seen RUNNING.
          Glue reports when it ends; otherwise the monitor checks it at its next tick.
          The monitor should have taken it up long ago: is the monitor running? Check its alarms and its log.

        route     orders
        bucket    acme-landing
        group     dt=2026-01-31
        job       orders-to-parquet (target analytics, account 222222222222, eu-west-1)
        opened    2026-01-31T12:00:00Z (long ago)
        arrivals  1, the last 2026-01-31T12:00:00Z (long ago)
        objects   1, 512 bytes
        manifest  s3://manifests/orders/1.json
        attempts  3 attempts at most, none failed

        runs
          EPOCH  RUN   LAST SEEN
          1      jr_1  RUNNING

        more about run jr_1, in account 222222222222
          logs     /aws-glue/jobs/error and /aws-glue/jobs/output, stream jr_1
                   (of a Spark job; a Python shell job has /aws-glue/python-jobs/error and so on)
          log      aws logs tail /aws-glue/jobs/error --region eu-west-1 --log-stream-names jr_1 --since 7d
          run      aws glue get-job-run --region eu-west-1 --job-name orders-to-parquet --run-id jr_1
          console  https://eu-west-1.console.aws.amazon.com/gluestudio/home?region=eu-west-1#/job/orders-to-parquet/run/jr_1

        arguments, besides the run's epoch
          --dt 2026-01-31

        history
          2026-01-31T12:00:00Z  opened
          2026-01-31T12:00:00Z  sealed: 1 members
          2026-01-31T12:00:02Z  starting: epoch 1
          2026-01-31T12:00:03Z  started: jr_1

        1 member
          s3://acme-landing/orders/\u{1b}[2J.csv (512 bytes, version v1)
        --- stderr
        --- status 0
    "#]].assert_eq(&desk.landfall(&["batch", &id(1)]).all());
    expect![[r#"
        {
          "id": "00000000000000000000000000000001",
          "state": "started",
          "run_id": "jr_1",
          "due_at": "2026-01-31T12:01:04Z",
          "parked_for": null,
          "parked_message": null,
          "route": "orders",
          "bucket": "acme-landing",
          "group": {
            "dt": "2026-01-31"
          },
          "target": "analytics",
          "account": "222222222222",
          "region": "eu-west-1",
          "job": "orders-to-parquet",
          "scope": "job",
          "claim": "required",
          "claimed": null,
          "opened_at": "2026-01-31T12:00:00Z",
          "first_arrival_at": "2026-01-31T12:00:00Z",
          "last_arrival_at": "2026-01-31T12:00:00Z",
          "marker_at": null,
          "arrivals": 1,
          "objects": 1,
          "bytes": 512,
          "manifest": "s3://manifests/orders/1.json",
          "arguments": {
            "--dt": "2026-01-31"
          },
          "attempts": 3,
          "failures": 0,
          "epoch": 1,
          "runs": [
            {
              "epoch": 1,
              "run_id": "jr_1",
              "last_seen": "RUNNING",
              "error": null
            }
          ],
          "logs": {
            "run_id": "jr_1",
            "account": "222222222222",
            "region": "eu-west-1",
            "log_groups": [
              "/aws-glue/jobs/error",
              "/aws-glue/jobs/output"
            ],
            "log_groups_of_python_shell": [
              "/aws-glue/python-jobs/error",
              "/aws-glue/python-jobs/output"
            ],
            "log_stream": "jr_1",
            "console": "https://eu-west-1.console.aws.amazon.com/gluestudio/home?region=eu-west-1#/job/orders-to-parquet/run/jr_1",
            "get_run": "aws glue get-job-run --region eu-west-1 --job-name orders-to-parquet --run-id jr_1",
            "get_log": "aws logs tail /aws-glue/jobs/error --region eu-west-1 --log-stream-names jr_1 --since 7d"
          },
          "history": [
            {
              "at": "2026-01-31T12:00:00Z",
              "what": "opened",
              "detail": "",
              "times": 1
            },
            {
              "at": "2026-01-31T12:00:00Z",
              "what": "sealed",
              "detail": "1 members",
              "times": 1
            },
            {
              "at": "2026-01-31T12:00:02Z",
              "what": "starting",
              "detail": "epoch 1",
              "times": 1
            },
            {
              "at": "2026-01-31T12:00:03Z",
              "what": "started",
              "detail": "jr_1",
              "times": 1
            }
          ],
          "members": [
            {
              "key": "orders/\u001b[2J.csv",
              "version_id": "v1",
              "etag": null,
              "size": 512,
              "sequencer": null,
              "event_time": null
            }
          ]
        }
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&desk.landfall(&["batch", "--json", &id(1)]).all());
}

#[tokio::test]
async fn of_many_members_the_first_are_told_or_all() {
    let desk = Desk::new();
    let members: Vec<_> = (0..130).map(|number| member(&format!("{number:03}.csv"))).collect();
    desk.sealed(1, "orders", 0, &members).await;
    let told = |options: &[&str]| {
        let shown = desk.landfall(&[&["batch"][..], &[&id(1)], options].concat());
        let lines: Vec<&str> = shown.stdout.lines().collect();
        let at = lines.iter().position(|line| line.starts_with("130 members")).expect("members");
        lines[at..].iter().map(|line| format!("{line}\n")).collect::<Vec<_>>()
    };
    let first = told(&[]);
    assert_eq!(first[0], "130 members, the first 20\n");
    assert!(first[20].starts_with("  s3://acme-landing/019.csv (512 bytes"), "{}", first[20]);
    assert_eq!(first[21..].concat(), "  … and 110 more: --members prints all\n");
    let all = told(&["--members"]);
    assert_eq!(all[0], "130 members\n");
    assert_eq!(all.len(), 131);
}

#[tokio::test]
async fn a_batch_that_is_not_there_exits_with_3() {
    let desk = Desk::new();
    expect![[r#"
        --- stderr
        there is no batch `00000000000000000000000000000001` in table `landfall-ledger`, region `eu-west-1`; the ledger keeps finished batches for 30 days, unless you configured another time
        --- status 3
    "#]].assert_eq(&desk.landfall(&["batch", &id(1)]).all());
}
