//! Passes over buckets, over HTTP. AWS is a stand-in, and time is the test's own.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use flate2::Compression;
use flate2::write::GzEncoder;
use landfall_aws::clock::{Clock, moment, system_time, under};
use landfall_aws::config::http_client;
use landfall_aws::ledger::Ledger;
use landfall_aws::metrics::Metrics;
use landfall_core::arrivals::{Arrival, Intake};
use landfall_core::batch::{Draft, Member, hex};
use landfall_core::moment::Time;
use landfall_core::plan::plan;
use landfall_core::reconcile::Reconciliation;
use landfall_core::routes::Routes;
use landfall_reconciler::{Context, Error, Reconciled, Settings, handle};
use landfall_stand_ins::{Act, StandIn, Table};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

const QUEUE: &str = "arn:aws:sqs:eu-west-1:111111111111:landfall-backfill";
const BUCKET: &str = "acme-landing";
const OTHER: &str = "acme-other";

const INVENTORIES: &str = "acme-inventories";

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// The stack was changed last then.
const DEPLOYED: Time = Time(1_769_904_000_000);

const ROUTES: &str = r#"version: 1
routes:
  - name: orders
    bucket: acme-landing
    key: "orders/{day}/{file}"
    batch: { by: [day] }
    reconcile: { every: 1d, look_back: 3d, grace: 1h, action: start }
    start: { target: none }
  - name: other
    bucket: acme-other
    key: "{file}"
    wide: true
    reconcile: { every: 1d, look_back: 3d, grace: 1h, action: report }
    start: { target: none }
  - name: plain
    bucket: acme-landing
    key: "plain/{file}"
    start: { target: none }
"#;

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A time that stands still, for which time-outs take as long as ever.
struct At(SystemTime);

impl Clock for At {
    fn now(&self) -> SystemTime {
        self.0
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

struct Account {
    aws: StandIn,
    context: Context,
    ledger: Ledger,
    routes: Routes,
    output: Output,
}

fn time(at: Time) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(at.0)
}

fn after(secs: u64) -> Time {
    DEPLOYED + Duration::from_secs(secs)
}

impl Account {
    fn new() -> Self {
        Self::with(ROUTES)
    }

    fn with(routes: &str) -> Self {
        let aws = StandIn::start(vec![Table::ledger("landfall-ledger")]);
        aws.answer("DescribeStacks", |_, _| {
            let body = format!(
                "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>landfall</StackName>\
                 <CreationTime>2025-01-01T00:00:00Z</CreationTime><LastUpdatedTime>{DEPLOYED}</LastUpdatedTime>\
                 <StackStatus>UPDATE_COMPLETE</StackStatus></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
            );
            Act::Answer { status: 200, body }
        });
        let credentials = Credentials::new("id", "key", None, None, "tests");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(aws.endpoint())
            .http_client(http_client())
            .retry_config(RetryConfig::disabled())
            .build();
        let file = NamedTempFile::with_suffix(".yaml").expect("a temporary file");
        std::fs::write(file.path(), routes).expect("written routes");
        let path = file.path().to_str().expect("a path in UTF-8").to_owned();
        let settings = Settings::from_env(|name| {
            let value = match name {
                "LANDFALL_ROUTES" => &path,
                "LANDFALL_LEDGER_TABLE" => "landfall-ledger",
                "LANDFALL_BACKFILL_QUEUE_ARN" => QUEUE,
                "LANDFALL_STACK" => "landfall",
                "LANDFALL_ACCOUNT_ID" => "111111111111",
                "AWS_REGION" => "eu-west-1",
                _ => return None,
            };
            Some(value.to_owned())
        });
        let settings = settings.expect("settings");
        let routes = settings.routes.clone();
        let output = Output::default();
        let metrics = Metrics::new(output.clone(), "landfall-ledger");
        let context = Context::new(settings, &config, metrics);
        let client = aws_sdk_dynamodb::Client::new(&config);
        let ledger = Ledger::new(client, "landfall-ledger".to_owned(), Duration::from_secs(DAY));
        Self { aws, context, ledger, routes, output }
    }

    fn put(&self, bucket: &str, key: &str, written: Time) {
        self.aws.put_object(bucket, key, b"x", time(written));
    }

    /// Puts an inventory of the bucket that S3 began at this time. Each row is an object with its content.
    fn put_inventory(&self, at: Time, rows: &[(&str, &str)]) {
        let put = |key: &str, content: &[u8]| {
            self.aws.put_object(INVENTORIES, key, content, time(at));
        };
        let has_versions = self.aws.keeps_versions(BUCKET);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        for (key, content) in rows {
            let etag = self.aws.etag(content.as_bytes());
            let etag = etag.trim_matches('"');
            let version = if has_versions { format!("v-{etag}") } else { String::new() };
            let (size, written) = (content.len(), after(HOUR));
            writeln!(
                gzip,
                r#""{BUCKET}","{key}","{version}","true","{size}","{written}","{etag}""#
            )
            .expect("compressed");
        }
        let file = gzip.finish().expect("compressed");
        let of = at.to_string();
        let data = format!("of/{BUCKET}/all/data/{of}.csv.gz");
        put(&data, &file);
        let manifest = json!({
            "sourceBucket": BUCKET, "fileFormat": "CSV",
            "fileSchema": "Bucket, Key, VersionId, IsLatest, Size, LastModifiedDate, ETag",
            "files": [{ "key": data, "MD5checksum": hex(&Md5::digest(&file)) }],
        });
        let manifest = manifest.to_string();
        let stamp = format!("{}T{}Z", &of[..10], of[11..16].replace(':', "-"));
        let folder = format!("of/{BUCKET}/all/{stamp}");
        put(&format!("{folder}/manifest.json"), manifest.as_bytes());
        let sum = hex(&Md5::digest(&manifest));
        put(&format!("{folder}/manifest.checksum"), format!("{sum}\n").as_bytes());
    }

    /// Runs the reconciler at this time, which has so long.
    async fn run_for(&self, at: Time, left: Duration) -> Result<Reconciled, Error> {
        under(Arc::new(At(time(at))), handle(&self.context, time(at) + left)).await
    }

    async fn run(&self, at: Time) -> Result<Reconciled, Error> {
        self.run_for(at, Duration::from_secs(840)).await
    }

    /// Takes what was sent to the queue of backfills.
    fn sent(&self) -> Vec<Arrival> {
        let messages = self.aws.take_messages("landfall-backfill");
        let records = messages.iter().map(|message| {
            json!({ "messageId": "m", "eventSource": "aws:sqs", "eventSourceARN": QUEUE,
                "body": message["MessageBody"] })
        });
        let records: Vec<Value> = records.collect();
        if records.is_empty() {
            return Vec::new();
        }
        let event = serde_json::value::to_raw_value(&json!({ "Records": records })).expect("JSON");
        let intake = Intake::read(&event, Some(QUEUE)).expect("an event");
        let contents = intake.messages.into_iter().map(|it| it.content.expect("arrivals"));
        let mut arrivals: Vec<Arrival> = contents.flat_map(|content| content.arrivals).collect();
        // Several calls at a time send them.
        arrivals.sort_by(|a, b| (&a.bucket, &a.key).cmp(&(&b.bucket, &b.key)));
        arrivals
    }

    /// Records arrivals at this time, as the trigger does.
    async fn record(&self, arrivals: &[Arrival], at: Time) {
        let requests = plan(&self.routes, arrivals).requests;
        for (number, request) in requests.into_iter().enumerate() {
            let members = request.arrivals.iter().map(|index| Member::from(&arrivals[*index]));
            let draft = Draft { members: members.collect(), ..request.draft };
            let id = format!("{:016x}{number:016x}", at.0);
            let recorded = async {
                let deadline = system_time() + Duration::from_secs(60);
                self.ledger.record(&draft, |_| id.clone(), || moment(deadline), deadline).await
            };
            under(Arc::new(At(time(at))), recorded).await.expect("recorded");
        }
    }

    /// Takes the events that were put.
    fn events(&self) -> Vec<Value> {
        let puts = self.aws.calls_of("PutEvents");
        let details = puts.iter().map(|put| {
            let entry = &put["Entries"][0];
            assert_eq!(
                (&entry["Source"], &entry["DetailType"]),
                (&json!("landfall"), &json!("Landfall Finding"))
            );
            serde_json::from_str(entry["Detail"].as_str().expect("a detail")).expect("JSON")
        });
        let details = details.collect();
        self.aws.clear_calls();
        details
    }

    /// Returns the values of a metric in the order in which they were told.
    fn told(&self, metric: &str) -> Vec<u64> {
        let written = self.output.0.lock().expect("nobody panics with it").clone();
        let text = String::from_utf8(written).expect("UTF-8");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.filter_map(|line| line[metric].as_u64()).collect()
    }
}

fn keys(arrivals: &[Arrival]) -> Vec<&str> {
    arrivals.iter().map(|arrival| arrival.key.as_str()).collect()
}

#[tokio::test]
async fn what_s3_never_announced_is_sent_once_and_known_to_the_next_pass() {
    for is_versioned in [false, true] {
        let account = Account::new();
        if is_versioned {
            account.aws.keep_versions(BUCKET);
        }
        for file in ["a", "b", "c"] {
            account.put(BUCKET, &format!("orders/1/{file}"), after(HOUR));
        }
        account.put(BUCKET, "plain/x", after(HOUR));
        let run = account.run(after(DAY)).await.expect("a run");
        assert_eq!(run, Reconciled { ended: 2, listed: 3, missed: 3 });
        let sent = account.sent();
        assert_eq!(keys(&sent), ["orders/1/a", "orders/1/b", "orders/1/c"]);
        let listing = sent[0].listing.as_ref().expect("a listing");
        assert_eq!(
            (listing.id.as_str(), listing.again),
            ("reconciliation-20260202T000000Z", false)
        );
        account.record(&sent[..2], after(DAY)).await;

        assert_eq!(account.run(after(2 * DAY - 1)).await.expect("a run"), Reconciled::default());
        let run = account.run(after(2 * DAY)).await.expect("a run");
        assert_eq!(run, Reconciled { ended: 2, listed: 3, missed: 1 });
        assert_eq!(keys(&account.sent()), ["orders/1/c"], "what is in no batch is sent again");
    }
}

#[tokio::test]
async fn what_s3_has_announced_is_never_missed() {
    for is_versioned in [false, true] {
        let account = Account::new();
        if is_versioned {
            account.aws.keep_versions(BUCKET);
        }
        account.put(BUCKET, "orders/1/a", after(HOUR));
        account.run(after(DAY)).await.expect("a run");
        // The event that S3 sends of the same object, a second after it was written.
        let listed = account.sent().remove(0);
        let account = Account::new();
        if is_versioned {
            account.aws.keep_versions(BUCKET);
        }
        account.put(BUCKET, "orders/1/a", after(HOUR));
        let sequencer = Some("0055AED6DCD90281E5".to_owned());
        let announced = Arrival { listing: None, sequencer, ..listed };
        account.record(&[announced], after(HOUR + 1)).await;
        let run = account.run(after(DAY)).await.expect("a run");
        assert_eq!(run, Reconciled { ended: 2, listed: 1, missed: 0 });
        assert_eq!(account.sent(), []);
    }
}

#[tokio::test]
async fn nothing_is_missed_that_is_older_than_the_first_deployment_or_younger_than_grace() {
    let account = Account::new();
    account.put(BUCKET, "orders/1/before", DEPLOYED - Duration::from_secs(1));
    account.put(BUCKET, "orders/1/first", DEPLOYED);
    account.put(BUCKET, "orders/1/last", after(5 * HOUR - 1));
    account.put(BUCKET, "orders/1/young", after(5 * HOUR));
    let run = account.run(after(6 * HOUR)).await.expect("a run");
    assert_eq!((run.listed, run.missed), (4, 2));
    assert_eq!(keys(&account.sent()), ["orders/1/first", "orders/1/last"]);
    account.run(after(6 * HOUR + DAY)).await.expect("a run");
    assert!(keys(&account.sent()).contains(&"orders/1/young"));
}

#[tokio::test]
async fn a_route_with_batches_was_deployed_before_them() {
    let account = Account::new();
    account.put(BUCKET, "orders/1/old", DEPLOYED - Duration::from_secs(HOUR));
    account.put(BUCKET, "orders/1/older", DEPLOYED - Duration::from_secs(3 * HOUR));
    let other = Arrival { listing: None, ..arrival("orders/1/other") };
    account.record(&[other], DEPLOYED - Duration::from_secs(2 * HOUR)).await;
    account.run(after(2 * HOUR)).await.expect("a run");
    assert_eq!(keys(&account.sent()), ["orders/1/old"]);
}

fn arrival(key: &str) -> Arrival {
    Arrival {
        bucket: BUCKET.to_owned(),
        key: key.to_owned(),
        size: Some(1),
        etag: Some("e".to_owned()),
        version_id: None,
        sequencer: Some("0055AED6DCD90281E5".to_owned()),
        event_time: None,
        listing: None,
    }
}

#[tokio::test]
async fn a_report_sends_nothing_and_tells_with_examples_until_nothing_is_missed() {
    let account = Account::new();
    for number in 10..22 {
        account.put(OTHER, &format!("{number}"), after(HOUR));
    }
    for day in [1, 2] {
        let run = account.run(after(day * DAY)).await.expect("a run");
        assert_eq!((run.listed, run.missed), (12, 12));
    }
    assert_eq!(account.sent(), []);
    let events = account.events();
    let [opened] = &events[..] else { panic!("one event: {events:?}") };
    assert_eq!(
        (&opened["state"], &opened["route"], &opened["missed"]),
        (&json!("opened"), &json!("other"), &json!(12))
    );
    let examples = opened["examples"].as_array().expect("examples");
    assert_eq!((examples.len(), &examples[0]), (10, &json!("s3://acme-other/10")));
    assert_eq!(account.told("ArrivalsMissed"), [12, 12]);
    assert_eq!(account.told("ObjectsListed"), [12, 12]);
    // A pass looks back three days, and these objects are older by then.
    account.run(after(5 * DAY)).await.expect("a run");
    let events = account.events();
    assert_eq!(events.iter().map(|event| &event["state"]).collect::<Vec<_>>(), ["resolved"]);
}

#[tokio::test]
async fn a_run_goes_on_at_the_page_where_the_one_before_failed_and_tells_what_is_behind() {
    let account = Account::new();
    let keys_of: Vec<String> = (0..2_500).map(|n| format!("orders/1/{n:04}")).collect();
    for key in &keys_of {
        account.put(BUCKET, key, after(HOUR));
    }
    account.aws.answer("ListObjectsV2", |call, _| match call.body["start-after"].as_str() {
        Some("orders/1/1999") => Act::Fail { status: 500, code: "InternalError" },
        _ => Act::Serve,
    });
    let error = account.run(after(DAY)).await.expect_err("a page fails");
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        ("routes_not_reconciled", "failed to reconcile 1 routes, the first of them `orders`")
    );
    assert_eq!(account.told("ReconciledAgeSeconds"), [DAY]);
    account.aws.answer("ListObjectsV2", |_, _| Act::Serve);
    account.aws.clear_calls();
    let run = account.run(after(DAY + HOUR)).await.expect("a run");
    assert_eq!(run, Reconciled { ended: 1, listed: 500, missed: 500 });
    let lists = account.aws.calls_of("ListObjectsV2");
    assert_eq!((lists.len(), &lists[0]["start-after"]), (1, &json!("orders/1/1999")));
    let sent = account.sent();
    assert_eq!(keys(&sent), keys_of.iter().collect::<Vec<_>>());
    let ids: BTreeMap<_, usize> = sent.iter().fold(BTreeMap::new(), |mut ids, arrival| {
        *ids.entry(arrival.listing.as_ref().map(|it| it.id.clone())).or_default() += 1;
        ids
    });
    assert_eq!(ids.len(), 1, "it is one pass: {ids:?}");
    assert_eq!(account.told("ReconciledAgeSeconds"), [DAY, 2 * HOUR]);
}

#[tokio::test]
async fn a_run_begins_no_page_that_its_time_could_cut_off() {
    let account = Account::new();
    account.put(BUCKET, "orders/1/a", after(HOUR));
    let run = account.run_for(after(DAY), Duration::from_secs(59)).await.expect("a run");
    assert_eq!(run, Reconciled::default());
    assert_eq!(account.aws.calls_of("ListObjectsV2"), [Value::Null; 0]);
    let run = account.run_for(after(DAY + 900), Duration::from_secs(60)).await.expect("a run");
    assert_eq!((run.ended, run.missed), (2, 1));
    let id = account.sent()[0].listing.as_ref().map(|listing| listing.id.clone());
    assert_eq!(id.as_deref(), Some("reconciliation-20260202T000000Z"), "it goes on with the pass");
}

#[tokio::test]
async fn a_bucket_that_cannot_be_listed_hinders_no_other_route() {
    let account = Account::new();
    account.put(BUCKET, "orders/1/a", after(HOUR));
    account.aws.answer("GetBucketVersioning", |call, _| match call.body["Bucket"].as_str() {
        Some(OTHER) => Act::Fail { status: 403, code: "AccessDenied" },
        _ => Act::Serve,
    });
    let error = account.run(after(DAY)).await.expect_err("a bucket is refused");
    assert!(matches!(&error, Error::Routes(routes) if routes == &["other"]), "{error}");
    assert_eq!(keys(&account.sent()), ["orders/1/a"]);
    assert_eq!(account.told("Failures"), [1]);
}

#[tokio::test]
async fn of_two_that_work_on_a_route_at_once_one_goes_on() {
    let account = Account::new();
    for number in 0..1_500 {
        account.put(BUCKET, &format!("orders/1/{number:04}"), after(HOUR));
    }
    // Before the first page is kept, somebody else begins.
    let first = account.run_for(after(DAY), Duration::from_secs(10)).await.expect("a run");
    assert_eq!(first, Reconciled::default());
    let (one, other) = tokio::join!(account.run(after(DAY + 1)), account.run(after(DAY + 2)));
    let (one, other) = (one.expect("a run"), other.expect("a run"));
    let kept = account.ledger.reconciliations().await.expect("the ledger");
    let kept = kept["orders"].as_ref().expect("it is read");
    let last = kept.last.as_ref().expect("the pass has ended");
    assert_eq!((last.counts.found, last.counts.taken), (1_500, 1_500), "each page counts once");
    assert_eq!(one.missed + other.missed, 1_500);
}

#[tokio::test]
async fn an_item_of_a_newer_version_is_left_alone_and_hinders_no_other_route() {
    let account = Account::new();
    account.put(BUCKET, "orders/1/a", after(HOUR));
    let item = json!({ "pk": { "S": "reconciliation" }, "sk": { "S": "other" }, "v": { "N": "99" },
        "revision": { "N": "1" }, "doc": { "S": "{}" } });
    assert!(account.aws.put_item("landfall-ledger", &item));
    let error = account.run(after(DAY)).await.expect_err("an item is newer");
    assert!(matches!(&error, Error::Routes(routes) if routes == &["other"]), "{error}");
    assert_eq!(keys(&account.sent()), ["orders/1/a"]);
    assert_eq!(account.aws.item("landfall-ledger", &["reconciliation", "other"]), Some(item));
}

#[tokio::test]
async fn a_route_that_is_not_reconciled_any_more_has_nothing_open() {
    let account = Account::new();
    account.put(BUCKET, "orders/1/a", after(HOUR));
    account.run(after(DAY)).await.expect("a run");
    let kept = account.ledger.reconciliations().await.expect("the ledger").remove("orders");
    let orders = kept.expect("it is kept").expect("it is read");
    let plain = Reconciliation { route: "plain".to_owned(), revision: 0, ..orders };
    let written = account.ledger.write_reconciliation(plain, after(DAY)).await;
    assert!(written.expect("the ledger").expect("it is new").missing_since.is_some());
    for at in [DAY + 900, DAY + 1_800] {
        account.run(after(at)).await.expect("a run");
        let kept = account.ledger.reconciliations().await.expect("the ledger");
        let plain = kept["plain"].as_ref().expect("it is read");
        assert_eq!((plain.missing_since, &plain.last, plain.revision), (None, &None, 2));
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_put_is_put_by_the_next_run() {
    let account = Account::new();
    account.put(BUCKET, "orders/1/a", after(HOUR));
    account.aws.answer("PutEvents", |_, _| Act::Fail { status: 500, code: "InternalFailure" });
    account.run(after(DAY)).await.expect_err("the event is refused");
    assert_eq!(account.told("ArrivalsMissed"), [0], "the page isn't kept");
    account.events();
    account.aws.answer("PutEvents", |_, _| Act::Serve);
    let run = account.run(after(DAY + 900)).await.expect("a run");
    assert_eq!((run.ended, run.missed), (1, 1));
    let events = account.events();
    assert_eq!(events.iter().map(|event| &event["state"]).collect::<Vec<_>>(), ["opened"]);
}

const BY_INVENTORY: &str = r#"version: 1
routes:
  - name: orders
    bucket: acme-landing
    key: "orders/{day}/{file}"
    reconcile: { every: 1d, look_back: 3d, action: start, inventory: "s3://acme-inventories/of/acme-landing/all/" }
    start: { target: none }
"#;

#[tokio::test]
async fn what_an_inventory_lists_is_looked_at_before_it_is_sent_and_the_bucket_is_not_listed() {
    for is_versioned in [false, true] {
        let account = Account::with(BY_INVENTORY);
        if is_versioned {
            account.aws.keep_versions(BUCKET);
        }
        for key in ["orders/1/a", "orders/1/changed", "orders/1/not-in-it", "plain/x"] {
            account.put(BUCKET, key, after(HOUR));
        }
        account.put(BUCKET, "orders/1/rewritten", after(3 * DAY));
        let rows = [
            ("orders/1/a", "x"),
            ("orders/1/changed", "older"),
            ("orders/1/gone", "x"),
            ("orders/1/rewritten", "older"),
            ("plain/x", "x"),
        ];
        account.put_inventory(after(2 * DAY + HOUR), &rows[..1]);
        account.put_inventory(after(2 * DAY + 2 * HOUR), &rows);
        let run = account.run(after(3 * DAY + 2 * HOUR)).await.expect("a run");
        assert_eq!(run, Reconciled { ended: 1, listed: 4, missed: 2 });
        let sent = account.sent();
        assert_eq!(keys(&sent), ["orders/1/a", "orders/1/changed"]);
        assert!(sent.iter().all(|it| it.size == Some(1)), "it is sent as it is now: {sent:?}");
        assert!(sent.iter().all(|it| it.version_id.is_some() == is_versioned));
        let operation = if is_versioned { "ListObjectVersions" } else { "ListObjectsV2" };
        let lists = account.aws.calls_of(operation);
        let of_bucket = lists.iter().filter(|list| list["Bucket"] == BUCKET);
        let mut looks: Vec<&str> = of_bucket.filter_map(|list| list["prefix"].as_str()).collect();
        looks.sort_unstable();
        assert_eq!(
            looks,
            ["orders/1/a", "orders/1/changed", "orders/1/gone", "orders/1/rewritten"]
        );
        let reads = account.aws.calls_of("GetObject");
        assert!(reads.iter().all(|read| read["Bucket"] == INVENTORIES), "{reads:?}");
        let kept = account.ledger.reconciliations().await.expect("the ledger").remove("orders");
        let last = kept.expect("it is kept").expect("it is read").last.expect("a pass");
        assert_eq!((last.counts.gone, last.until), (1, after(2 * HOUR)));
        account.record(&sent, after(3 * DAY + 2 * HOUR)).await;

        // There is no newer one yet.
        let day_later = 4 * DAY + 2 * HOUR;
        assert_eq!(account.run(after(day_later)).await.expect("a run"), Reconciled::default());
        account.put_inventory(after(4 * DAY), &rows[..2]);
        let run = account.run(after(day_later + 900)).await.expect("a run");
        assert_eq!(
            run,
            Reconciled { ended: 1, listed: 2, missed: 0 },
            "as they are, they are known"
        );
        assert_eq!(keys(&account.sent()), [""; 0]);
    }
}

#[tokio::test]
async fn an_inventory_that_is_stale_or_missing_or_can_not_be_read_is_told_and_nothing_is_sent() {
    let account = Account::with(BY_INVENTORY);
    account.put(BUCKET, "orders/1/a", after(HOUR));
    let fails = async |at: u64| {
        let error = account.run(after(at)).await.expect_err("it can't be reconciled");
        assert!(matches!(&error, Error::Routes(routes) if routes == &["orders"]), "{error}");
        assert_eq!(account.sent(), []);
    };
    fails(3 * DAY).await;
    account.put_inventory(after(2 * DAY + HOUR), &[("orders/1/a", "x")]);
    fails(5 * DAY + HOUR + 1).await;
    account.aws.put_object(
        INVENTORIES,
        "of/acme-landing/all/2026-02-04T00-00Z/manifest.checksum",
        b"0",
        time(after(3 * DAY)),
    );
    fails(4 * DAY).await;
    account.put_inventory(after(3 * DAY), &[("orders/1/a", "x")]);
    account.aws.answer("GetObject", |_, _| Act::Fail { status: 403, code: "AccessDenied" });
    fails(4 * DAY).await;
    account.aws.answer("GetObject", |_, _| Act::Serve);
    let run = account.run(after(4 * DAY)).await.expect("a run");
    assert_eq!((run.ended, run.missed), (1, 1));
    assert_eq!(account.told("Failures"), [1, 1, 1, 1]);
}

#[tokio::test]
async fn a_pass_over_an_inventory_goes_on_at_its_row_and_begins_anew_if_that_is_gone() {
    let account = Account::with(BY_INVENTORY);
    let names: Vec<String> = (0..2_500).map(|n| format!("orders/1/{n:04}")).collect();
    for key in &names {
        account.put(BUCKET, key, after(HOUR));
    }
    let rows: Vec<(&str, &str)> = names.iter().map(|key| (key.as_str(), "x")).collect();
    account.put_inventory(after(2 * DAY + 2 * HOUR), &rows);
    // The second page fails.
    account.aws.answer("SendMessageBatch", |call, _| {
        match call.body.to_string().contains("orders/1/1500") {
            true => Act::Fail { status: 500, code: "InternalError" },
            false => Act::Serve,
        }
    });
    account.run(after(3 * DAY)).await.expect_err("a page fails");
    account.aws.answer("SendMessageBatch", |_, _| Act::Serve);
    let first = account.sent();
    let run = account.run(after(3 * DAY + 900)).await.expect("a run");
    assert_eq!(run, Reconciled { ended: 1, listed: 1_500, missed: 1_500 });
    let mut all = [first, account.sent()].concat();
    all.sort_by(|a, b| a.key.cmp(&b.key));
    all.dedup_by(|a, b| a.key == b.key);
    assert_eq!(keys(&all), names);

    account.put_inventory(after(3 * DAY + 2 * HOUR), &rows[..1]);
    let short = Duration::from_secs(59);
    let run = account.run_for(after(5 * DAY), short).await.expect("a run");
    assert_eq!(run, Reconciled::default(), "a pass has begun");
    account.aws.answer("GetObject", |_, _| Act::Fail { status: 404, code: "NoSuchKey" });
    account.run(after(5 * DAY + 900)).await.expect("a run");
    account.aws.answer("GetObject", |_, _| Act::Serve);
    account.put_inventory(after(4 * DAY), &rows[..2]);
    let run = account.run(after(5 * DAY + 1_800)).await.expect("a run");
    assert_eq!((run.ended, run.listed), (1, 2));
}

#[tokio::test]
async fn a_route_that_is_pruned_by_date_is_listed_below_the_dates_that_it_looks_back_to_only() {
    let routes = ROUTES.replace("key: \"orders/{day}/{file}\"", "key: \"orders/dt={day}/{file}\"");
    let routes = routes.replace(
        "grace: 1h, action: start",
        "grace: 1h, action: start, prune_by_date: \"orders/dt={yyyy}-{mm}-{dd}/\"",
    );
    for is_versioned in [false, true] {
        let account = Account::with(&routes);
        if is_versioned {
            account.aws.keep_versions(BUCKET);
        }
        for day in ["2026-01-01", "2026-01-31", "2026-02-01", "2026-02-03", "2026-02-09"] {
            account.put(BUCKET, &format!("orders/dt={day}/a"), after(DAY));
        }
        for number in 0..1_200 {
            account.put(BUCKET, &format!("orders/dt=2026-02-02/{number:04}"), after(DAY));
        }
        // The pass looks back to 2026-02-01, and to a day more at both ends.
        let run = account.run(after(2 * DAY)).await.expect("a run");
        assert_eq!((run.ended, run.missed), (2, 1_203));
        let sent = account.sent();
        assert_eq!(
            [&sent[0].key, &sent[1].key, &sent[1_202].key],
            ["orders/dt=2026-01-31/a", "orders/dt=2026-02-01/a", "orders/dt=2026-02-03/a"]
        );
        let operation = if is_versioned { "ListObjectVersions" } else { "ListObjectsV2" };
        let lists = account.aws.calls_of(operation);
        let prefixes = lists.iter().filter_map(|list| list["prefix"].as_str());
        let prefixes: Vec<&str> = prefixes.filter(|it| it.starts_with("orders/")).collect();
        assert_eq!((prefixes.len(), prefixes[0]), (5, "orders/dt=2026-01-31/"));
    }
}

#[test]
fn a_setting_that_is_missing_is_named() {
    let errors = Settings::from_env(|_| None).expect_err("nothing is set");
    let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
    for name in ["LEDGER_TABLE", "BACKFILL_QUEUE_ARN", "STACK", "ACCOUNT_ID"] {
        assert!(all.iter().any(|it| it.contains(&format!("`LANDFALL_{name}`"))), "{all:?}");
    }
}
