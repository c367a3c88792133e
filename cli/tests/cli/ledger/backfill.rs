mod failed;
mod sources;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use expect_test::expect;
use landfall_core::arrivals::{Arrival, Intake};
use landfall_core::batch::{Batch, Closing, Member, State, Why};
use landfall_stand_ins::{Act, Stack};
use serde_json::json;
use tempfile::NamedTempFile;

use super::desk::{Desk, member};
use crate::Shown;

const QUEUE: &str = "arn:aws:sqs:eu-west-1:111111111111:landfall-backfill";

const ROUTES: &str = r#"version: 1
targets:
  analytics: { account: "222222222222", region: eu-west-1, starter_role: s, external_id: "${EXTERNAL_ID}" }
routes:
  - name: orders
    bucket: acme-landing
    key: "orders/{day}/{file}"
    where: { min_bytes: 1 }
    batch: { by: [day], max_objects: 3, window: 1h }
    start: { target: analytics, job: orders-to-parquet, max_runs_per_hour: 2, max_concurrent_runs: 1 }
  - name: named
    bucket: acme-landing
    key: "named/{file}"
    batch: { max_objects: 1 }
    start: { target: analytics, job: named, arguments: { "--file": "{file}" } }
"#;

struct World {
    desk: Desk,
    routes: NamedTempFile,
}

impl World {
    fn new() -> Self {
        let desk = Desk::new();
        let outputs = BTreeMap::from([("BackfillQueueArn".to_owned(), QUEUE.to_owned())]);
        let status = "UPDATE_COMPLETE".to_owned();
        desk.stand_in.stack("landfall", Stack { status, outputs, ..Stack::default() });
        let mut routes = NamedTempFile::with_suffix(".yaml").expect("a temporary file");
        std::io::Write::write_all(&mut routes, ROUTES.as_bytes()).expect("written routes");
        Self { desk, routes }
    }

    /// Puts an object that was written so many minutes ago.
    fn put(&self, key: &str, content: &str, minutes: u64) {
        let written = SystemTime::now() - Duration::from_secs(minutes * 60);
        self.desk.stand_in.put_object("acme-landing", key, content.as_bytes(), written);
    }

    fn put_many(&self, number: usize) {
        for n in 0..number {
            self.put(&format!("orders/{}/{n:05}.csv", n % 2), "x", 120);
        }
    }

    fn run(&self, args: &[&str]) -> Shown {
        let routes = self.routes.path().to_str().expect("a path in UTF-8");
        let mut all = args.to_vec();
        if !matches!(args, [_, "status" | "pause" | "cancel", ..]) {
            all.extend(["--routes", routes]);
        }
        let mut shown = self.desk.landfall(&all);
        // These differ in each run of the test.
        let is_rate = |line: &&str| line.contains("sent ") && line.contains(" a second");
        let lines = shown.stderr.lines().filter(|line| !is_rate(line));
        shown.stderr = lines.map(|line| format!("{line}\n")).collect();
        for text in [&mut shown.stdout, &mut shown.stderr] {
            *text = without_times(text).replace("(now)", "(long ago)");
        }
        shown
    }

    /// Returns what the messages bring to the trigger, in their order.
    fn sent(&self) -> Vec<Arrival> {
        let messages = self.desk.stand_in.take_messages("landfall-backfill");
        let records = messages.iter().map(|message| {
            json!({ "messageId": "m", "eventSource": "aws:sqs", "eventSourceARN": QUEUE,
                "body": message["MessageBody"] })
        });
        let records: Vec<_> = records.collect();
        if records.is_empty() {
            return Vec::new();
        }
        let event = serde_json::value::to_raw_value(&json!({ "Records": records })).expect("JSON");
        let intake = Intake::read(&event, Some(QUEUE)).expect("an event");
        let contents =
            intake.messages.into_iter().map(|message| message.content.expect("arrivals"));
        contents.flat_map(|content| content.arrivals).collect()
    }

    fn ids(&self) -> Vec<String> {
        let shown = self.desk.landfall(&["backfill", "status", "--json"]);
        let document: serde_json::Value = serde_json::from_str(&shown.stdout).expect("JSON");
        let backfills = document["backfills"].as_array().expect("backfills");
        backfills.iter().map(|one| one["id"].as_str().expect("an ID").to_owned()).collect()
    }
}

/// Replaces times, and the IDs that are made of them.
fn without_times(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive([' ', '\n', '`', '"', ',']) {
        let end = word.trim_end_matches([' ', '\n', '`', '"', ',', ':']);
        let is_id = end.starts_with("backfill-20") || end.starts_with("replay-20");
        let shown = match end {
            _ if is_id => "ID",
            _ if end.len() > 9 && end.starts_with("20") && end.contains('T') => "TIME",
            _ => end,
        };
        let _ = write!(out, "{shown}{}", &word[end.len()..]);
    }
    out
}

#[tokio::test]
async fn a_dry_run_tells_what_is_missing_what_it_costs_and_sends_nothing() {
    let world = World::new();
    for (key, content, minutes) in [
        ("orders/1/a", "aa", 120),
        ("orders/1/b", "b", 120),
        ("orders/1/c", "c", 120),
        ("orders/1/d", "d", 120),
        ("orders/2/e", "e", 120),
        ("orders/2/empty", "", 120),
        ("orders/2/new", "n", 30),
        ("orders/none", "n", 120),
        ("named/a", "n", 120),
    ] {
        world.put(key, content, minutes);
    }
    // S3 announced one of them, and the route has it.
    let listed = world.run(&["backfill", "--route", "orders", "--dry-run", "--json"]);
    assert_eq!(listed.status, 0, "{}", listed.all());
    let known =
        Member { version_id: None, etag: Some(etag("b")), size: Some(1), ..member("orders/1/b") };
    let known = Member {
        event_time: Some("2999-01-31T23:59:59Z".to_owned()),
        sequencer: Some("1".to_owned()),
        ..known
    };
    world.desk.recorded(1, "orders", 0, &[known], &[], Closing::default()).await;
    let shown = world.run(&["backfill", "--route", "orders", "--dry-run", "--dpu-minutes", "6"]);
    expect![[r#"
        s3://acme-landing/orders/ as of TIME, for route `orders`:
                  8 found
                  1 less than an hour old, which S3 may still announce
                  2 not taken by the route
                  1 in a batch already
                  4 to be sent
        to be sent: 4 objects (5 bytes), which form 2 batches; each gets a run of job `orders-to-parquet`
        costs of these runs: about 0.09 dollars, at 6.0 DPU minutes a run (as given)
        at the route's max_runs_per_hour, the runs start within 1.0 hours
        at most 1 run at the same time
        --- stderr
        looked at 8 objects; 4 to be sent so far
        --- status 0
    "#]].assert_eq(&shown.all());
    let shown = world.run(&[
        "backfill",
        "--route",
        "orders",
        "--prefix",
        "orders/2/",
        "--since",
        "10d",
        "--dry-run",
        "--json",
    ]);
    expect![[r#"
        {
          "id": "ID",
          "mode": "missing",
          "standing": "running",
          "route": "orders",
          "bucket": "acme-landing",
          "prefix": "orders/2/",
          "since": "TIME",
          "until": null,
          "reason": null,
          "by": "arn:aws:sts::111111111111:assumed-role/admin/ada",
          "started_at": "TIME",
          "updated_at": "TIME",
          "after": null,
          "counts": {
            "found": 3,
            "outside": 0,
            "new": 1,
            "unmatched": 1,
            "refused": 0,
            "gone": 0,
            "known": 0,
            "taken": 1,
            "taken_bytes": 1
          },
          "batches": 1,
          "estimate": {
            "dpu_minutes_per_run": null,
            "from": "unknown",
            "problem": "the look failed: GetMetricData: UnknownOperationException",
            "dollars": null,
            "hours": 0.5
          }
        }
        --- stderr
        looked at 3 objects; 1 to be sent so far
        --- status 0
    "#]]
    .assert_eq(&shown.all());
    assert_eq!((world.sent().len(), world.ids().len()), (0, 0));
}

fn etag(content: &str) -> String {
    let world = World::new();
    world.put("named/x", content, 120);
    let shown = world.run(&["backfill", "--route", "named", "--yes"]);
    assert_eq!(shown.status, 0, "{}", shown.all());
    world.sent().remove(0).etag.expect("an ETag")
}

#[test]
fn what_is_missing_is_sent_to_the_queue_of_backfills_exactly_as_it_is() {
    let mut told = Vec::new();
    for versioned in [false, true] {
        let world = World::new();
        if versioned {
            world.desk.stand_in.keep_versions("acme-landing");
        }
        world.put("named/ü +%41\u{1}&<.csv", "content", 120);
        world.put("named/--x", "refused", 120);
        told.push(world.run(&["backfill", "--route", "named", "--yes"]).all());
        let [arrival] = &world.sent()[..] else { panic!("one object") };
        assert_eq!((arrival.key.as_str(), arrival.size), ("named/ü +%41\u{1}&<.csv", Some(7)));
        assert_eq!(arrival.version_id.is_some(), versioned);
        let listing = arrival.listing.as_ref().expect("a listing");
        let expected = (&world.ids()[0], "named", false);
        assert_eq!((&listing.id, listing.route.as_str(), listing.again), expected);
    }
    assert_eq!(told[0], told[1]);
    expect![[r#"
        s3://acme-landing/named/ as of TIME, for route `named`:
                  2 found
                  1 refused: the arguments of a run can't be made for them
                  1 to be sent
          the first that is refused is named/--x: the value of `--file` would begin with `-`, which the job would take for a name
        to be sent: 1 object (7 bytes), which form 1 batch; each gets a run of job `named`
        costs of these runs: unknown (the look failed: GetMetricData: UnknownOperationException); to estimate them, give --dpu-minutes
        --- stderr
        looked at 2 objects; 1 to be sent so far
        ID goes on by itself until it ends; to stop it: landfall backfill pause ID
        backfill `ID` is done: 1 object sent; landfall batches --route named shows what becomes of them
        --- status 1
    "#]].assert_eq(&told[0]);
}

#[test]
fn a_backfill_that_was_killed_goes_on_behind_what_it_sent() {
    let world = World::new();
    world.put_many(2_500);
    let calls = std::sync::atomic::AtomicUsize::new(0);
    world.desk.stand_in.answer("SendMessageBatch", move |_, _| {
        match calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 => Act::Serve,
            _ => Act::Fail { status: 403, code: "AccessDenied" },
        }
    });
    let shown = world.run(&["backfill", "--route", "orders", "--yes"]);
    assert!(
        shown.status == 2 && shown.stderr.contains("landfall backfill resume"),
        "{}",
        shown.all()
    );
    let mut sent: Vec<String> = world.sent().into_iter().map(|arrival| arrival.key).collect();
    assert!((1..2_500).contains(&sent.len()), "{}", sent.len());
    world.desk.stand_in.clear_rules();
    let id = &world.ids()[0];
    let shown = world.run(&["backfill", "resume", id]);
    assert_eq!(shown.status, 0, "{}", shown.all());
    // It goes on with the page at which it was killed. The trigger knows what came before.
    sent.extend(world.sent().into_iter().map(|arrival| arrival.key));
    assert!(sent.len() <= 3_500, "{}", sent.len());
    sent.sort();
    sent.dedup();
    assert_eq!((sent.len(), world.ids().len()), (2_500, 1));
    let shown = world.run(&["backfill", "resume", id]);
    assert!(shown.status == 1 && shown.stderr.contains("is done"), "{}", shown.all());
}

#[test]
fn a_backfill_stops_at_its_bounds_and_goes_on_from_there() {
    let world = World::new();
    world.put_many(20);
    let shown = world.run(&["backfill", "--route", "orders", "--yes", "--max-objects", "7"]);
    assert!(shown.status == 1 && shown.stderr.contains("met its bound"), "{}", shown.all());
    assert_eq!(world.sent().len(), 7);
    let id = &world.ids()[0];
    // What it sent is not in a batch yet: it goes on by the key. Three more of the first group, and one batch of the second.
    let shown = world.run(&["backfill", "resume", id, "--max-runs", "2"]);
    assert_eq!((shown.status, world.sent().len()), (1, 6), "{}", shown.all());
    assert_eq!(world.run(&["backfill", "resume", id]).status, 0);
    assert_eq!(world.sent().len(), 7);
    expect![[r#"
        ID: done
          route    orders
          objects  s3://acme-landing/orders/
          by       arn:aws:sts::111111111111:assumed-role/admin/ada
          started  TIME (long ago)
          updated  TIME (long ago)
                 20 found
                 20 sent
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&world.run(&["backfill", "status", id]).all());
}

#[test]
fn a_backfill_is_paused_resumed_and_cancelled() {
    let world = World::new();
    world.put_many(3);
    world.run(&["backfill", "--route", "orders", "--yes", "--max-objects", "1"]);
    let id = world.ids().remove(0);
    for (args, status, says) in [
        (["backfill", "pause", &id], 0, "is paused"),
        (["backfill", "cancel", &id], 0, "is cancelled"),
        (["backfill", "cancel", &id], 0, "is cancelled"),
        (["backfill", "pause", &id], 1, "is cancelled already"),
        (["backfill", "resume", &id], 1, "is cancelled: start another one"),
        (["backfill", "resume", "backfill-x"], 3, "there is no backfill `backfill-x`"),
        (["backfill", "pause", "backfill-x"], 3, "there is no backfill `backfill-x`"),
        (["backfill", "status", "backfill-x"], 3, "there is no backfill `backfill-x`"),
    ] {
        let shown = world.run(&args);
        assert!(shown.status == status && shown.stderr.contains(says), "{args:?}: {}", shown.all());
    }
    assert_eq!(world.sent().len(), 1);
}

#[test]
fn a_backfill_has_a_limit_of_its_own_that_goes_with_what_it_sends() {
    let world = World::new();
    world.put_many(20);
    let args = ["backfill", "--route", "orders", "--max-objects", "7", "--max-runs-per-hour"];
    let look = |most: &str| {
        let shown = world.run(&[&args[..], &[most, "--dry-run", "--dpu-minutes", "6"]].concat());
        shown.stdout.lines().find(|line| line.contains("per_hour")).map(str::to_owned)
    };
    let within = |whose, hours| {
        Some(format!("at {whose} max_runs_per_hour, the runs start within {hours} hours"))
    };
    assert_eq!(look("1"), within("the backfill's", "8.0"));
    assert_eq!(look("5"), within("the route's", "4.0"));
    assert_eq!(world.run(&[&args[..], &["1", "--yes"]].concat()).status, 1);
    let id = world.ids().remove(0);
    // Whoever goes on keeps to it.
    assert_eq!(world.run(&["backfill", "resume", &id]).status, 0);
    let sent = world.sent();
    let limits = sent.iter().map(|it| it.listing.as_ref().and_then(|it| it.max_runs_per_hour));
    assert_eq!(limits.collect::<Vec<_>>(), [Some(1); 20]);
    let status = world.run(&["backfill", "status", &id]).stdout;
    assert!(status.contains("runs     1 an hour at most"), "{status}");
}

#[test]
fn a_replay_sends_what_is_in_a_batch_already_and_says_why() {
    let world = World::new();
    world.put("orders/1/a", "a", 120);
    let shown =
        world.run(&["replay", "--route", "orders", "--reason", "wrong \u{1b}currency", "--yes"]);
    assert_eq!(shown.status, 0, "{}", shown.all());
    let [arrival] = &world.sent()[..] else { panic!("one object") };
    assert!(arrival.listing.as_ref().is_some_and(|listing| listing.again));
    let shown = world.run(&["backfill", "status"]);
    assert!(shown.stdout.contains(r"wrong \u{1b}currency"), "{}", shown.all());
}

#[test]
fn what_stands_in_the_way_is_told_at_once() {
    let world = World::new();
    world.put("orders/1/a", "a", 120);
    let check = |args: &[&str], says: &str| {
        let shown = world.run(args);
        assert!(shown.status == 2 && shown.stderr.contains(says), "{args:?}: {}", shown.all());
        assert!(!shown.stderr.contains('\u{1b}'));
    };
    check(&["backfill", "--route", "order", "--yes"], "there is no route `order`");
    check(&["backfill", "--route", "orders"], "add --yes");
    check(
        &["backfill", "--route", "orders", "--prefix", "other/", "--dry-run"],
        "takes only keys that begin with `orders/`",
    );
    check(
        &["backfill", "--route", "orders", "--dry-run", "--table", "x"],
        "doesn't tell the name of its stack",
    );
    check(&["replay", "--route", "orders", "--dry-run"], "--reason");
    let fail = |operation, code| {
        world.desk.stand_in.clear_rules();
        world.desk.stand_in.answer(operation, move |_, _| Act::Fail { status: 403, code });
    };
    fail("ListObjectsV2", "AccessDenied");
    check(
        &["backfill", "--route", "orders", "--dry-run"],
        "failed to list bucket `acme-landing`: to look, the credentials need `s3:ListBucket`",
    );
    fail("GetBucketVersioning", "AccessDenied");
    check(
        &["backfill", "--route", "orders", "--dry-run"],
        "failed to look at bucket `acme-landing` of account `111111111111`: to look, the credentials need `s3:GetBucketVersioning`",
    );
    // S3 says of a bucket of somebody else what it says without the permission.
    world.desk.stand_in.clear_rules();
    world.desk.stand_in.own_buckets("999999999999");
    check(
        &["backfill", "--route", "orders", "--yes"],
        "failed to look at bucket `acme-landing` of account `111111111111`: to look,",
    );
    world.desk.stand_in.own_buckets("111111111111");
    fail("Query", "AccessDeniedException");
    check(
        &["backfill", "--route", "orders", "--dry-run"],
        "are these credentials for the data account?",
    );
    world.desk.stand_in.clear_rules();
    world
        .desk
        .stand_in
        .stack("landfall", Stack { status: "UPDATE_COMPLETE".to_owned(), ..Stack::default() });
    check(
        &["backfill", "--route", "orders", "--dry-run"],
        "deploy it with this version of Landfall first",
    );
    assert_eq!((world.sent().len(), world.ids().len()), (0, 0), "nothing half done");
}
