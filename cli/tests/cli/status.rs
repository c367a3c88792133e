//! `landfall status`, beside a ledger in memory and services that answer as the test says.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use landfall_aws::ledger::Left;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::Shown;
use crate::ledger::desk::{CREDENTIALS, Desk, id, member, run};

/// What the services say.
#[derive(Clone)]
struct World {
    dead_letters: u64,
    mapping: &'static str,
    alarms: &'static [&'static str],
    /// How many seconds ago the monitor ticked.
    tick: u64,
    version: &'static str,
    /// The operation that is refused.
    denied: &'static str,
}

const HEALTHY: World = World {
    dead_letters: 0,
    mapping: "Enabled",
    // Of another deployment, whose prefix begins with this one's.
    alarms: &["landfall-other-batches-parked"],
    tick: 30,
    version: env!("CARGO_PKG_VERSION"),
    denied: "-",
};

fn xml(operation: &str, result: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_string(format!(
        "<{operation}Response><{operation}Result>{result}</{operation}Result></{operation}Response>"
    ))
}

fn refused(code: &str, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(400).set_body_string(format!(
        "<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    ))
}

fn respond(world: &World, request: &Request) -> ResponseTemplate {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let target = request.headers.get("x-amz-target").and_then(|it| it.to_str().ok());
    let operation = match target {
        Some(target) => target.split('.').next_back().unwrap_or_default().to_owned(),
        None => {
            let form = body.split('&').find_map(|it| it.strip_prefix("Action="));
            form.unwrap_or_default().to_owned()
        }
    };
    if operation == world.denied {
        return ResponseTemplate::new(400)
            .set_body_json(json!({ "__type": "AccessDeniedException", "message": "no" }));
    }
    let json_body: Value = serde_json::from_str(&body).unwrap_or_default();
    match operation.as_str() {
        "GetCallerIdentity" => xml(
            "GetCallerIdentity",
            "<Arn>arn:aws:iam::111111111111:user/u</Arn><UserId>u</UserId><Account>111111111111</Account>",
        ),
        "DescribeStacks" if body.contains("StackName=landfall&") || body.ends_with("StackName=landfall") => xml(
            "DescribeStacks",
            &format!(
                "<Stacks><member><StackName>landfall</StackName><StackId>arn:aws:cloudformation:eu-west-1:111111111111:stack/landfall/1\
                 </StackId><CreationTime>2026-01-31T12:00:00Z</CreationTime><StackStatus>UPDATE_COMPLETE</StackStatus>\
                 <Outputs><member><OutputKey>LandfallVersion</OutputKey><OutputValue>{}</OutputValue></member></Outputs>\
                 </member></Stacks>",
                world.version
            ),
        ),
        "DescribeStacks" => refused("ValidationError", "Stack with id x does not exist"),
        "ListStackResources" => xml(
            "ListStackResources",
            "<StackResourceSummaries><member><LogicalResourceId>MonitorTick</LogicalResourceId><PhysicalResourceId>landfall-tick\
             </PhysicalResourceId></member><member><LogicalResourceId>BatchesParkedAlarm</LogicalResourceId>\
             <PhysicalResourceId>landfall-batches-parked</PhysicalResourceId></member></StackResourceSummaries>",
        ),
        "GetQueueAttributes" => {
            let is_dead = json_body["QueueUrl"].as_str().is_some_and(|url| url.ends_with("-dlq"));
            let visible = if is_dead { world.dead_letters } else { 2 };
            ResponseTemplate::new(200).set_body_json(json!({ "Attributes": {
                "ApproximateNumberOfMessages": visible.to_string(),
                "ApproximateNumberOfMessagesNotVisible": if is_dead { "0" } else { "1" },
            } }))
        }
        "DescribeRule" => ResponseTemplate::new(200).set_body_json(json!({ "State": "ENABLED" })),
        "ListTargetsByRule" => ResponseTemplate::new(200).set_body_json(json!({ "Targets": [{
            "Id": "1", "Arn": "arn:aws:lambda:eu-west-1:111111111111:function:landfall-monitor" }] })),
        "DescribeAlarms" => {
            assert_eq!(json_body["AlarmNamePrefix"], "landfall-");
            let alarms = world.alarms.iter().map(|name| {
                json!({ "AlarmName": name, "StateValue": "ALARM", "AlarmDescription": "A batch is parked.",
                    "StateUpdatedTimestamp": 1769860800.5 })
            });
            ResponseTemplate::new(200).set_body_json(json!({ "MetricAlarms": alarms.collect::<Vec<_>>() }))
        }
        "GetMetricData" => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs();
            let queries = json_body["MetricDataQueries"].as_array().expect("queries").clone();
            let results = queries.iter().map(|query| {
                let metric = &query["MetricStat"]["Metric"];
                let (age, value) = match metric["MetricName"].as_str() {
                    Some("BatchesDue") => (world.tick, 1),
                    _ => (120, 42),
                };
                json!({ "Id": query["Id"], "Timestamps": [now - age, now - age - 60], "Values": [value, 7] })
            });
            ResponseTemplate::new(200)
                .set_body_json(json!({ "MetricDataResults": results.collect::<Vec<_>>() }))
        }
        _ if request.url.path().ends_with("/configuration") => {
            ResponseTemplate::new(200).set_body_json(json!({ "State": "Active" }))
        }
        _ if request.url.path().ends_with("/concurrency") => {
            ResponseTemplate::new(200).set_body_json(json!({}))
        }
        _ if request.url.path().contains("/event-source-mappings") => {
            let mappings = ["arrivals", "runs", "work"].map(|queue| json!({
                "UUID": queue, "State": world.mapping,
                "EventSourceArn": format!("arn:aws:sqs:eu-west-1:111111111111:landfall-{queue}") }));
            ResponseTemplate::new(200).set_body_json(json!({ "EventSourceMappings": mappings }))
        }
        // Nothing else counts.
        _ => refused("AccessDenied", "no"),
    }
}

struct Account {
    desk: Desk,
    server: MockServer,
    world: Arc<Mutex<World>>,
}

impl Account {
    async fn new() -> Self {
        let world = Arc::new(Mutex::new(HEALTHY));
        let server = MockServer::start().await;
        let said = Arc::clone(&world);
        let answer = move |request: &Request| respond(&said.lock().expect("a world"), request);
        Mock::given(any()).respond_with(answer).mount(&server).await;
        Self { desk: Desk::new(), server, world }
    }

    fn is(&self, world: World) {
        *self.world.lock().expect("a world") = world;
    }

    fn status(&self, options: &[&str]) -> Shown {
        let uri = self.server.uri();
        let place = [
            ("AWS_ENDPOINT_URL", uri.as_str()),
            ("AWS_ENDPOINT_URL_DYNAMODB", self.desk.stand_in.endpoint()),
            ("AWS_REGION", "eu-west-1"),
        ];
        run(&[&["status"], options].concat(), &[&place[..], &CREDENTIALS].concat())
    }

    /// Runs it, and returns its exit status and its document.
    fn document(&self) -> (i32, Value) {
        let shown = self.status(&["--json"]);
        let document = serde_json::from_str(&shown.stdout);
        (shown.status, document.unwrap_or_else(|_| panic!("no document: {}", shown.all())))
    }
}

fn codes(document: &Value) -> Vec<&str> {
    let needs = document["needs"].as_array().expect("needs").iter();
    needs.filter_map(|need| need["code"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn status_shows_what_goes_on_and_that_it_needs_nobody() {
    let account = Account::new().await;
    account.desk.sealed(1, "orders", 0, &[member("a.csv")]).await;
    account.desk.sealed(2, "orders", 60, &[member("b.csv")]).await;
    let (status, document) = account.document();
    assert_eq!((status, codes(&document)), (0, vec![]), "{document:#}");
    assert_eq!(document["unknown"], json!([]), "{document:#}");
    let batches = &document["batches"];
    assert_eq!(batches[0]["state"], "sealed");
    assert_eq!((&batches[0]["count"], &batches[0]["oldest"]), (&json!(2), &json!(id(1))));
    let arrivals = &document["queues"][0];
    assert_eq!(arrivals["name"], "landfall-arrivals");
    let depth = [&arrivals["visible"], &arrivals["in_flight"], &arrivals["oldest_secs"]];
    assert_eq!(depth, [&json!(2), &json!(1), &json!(42)]);
    assert!(document["last_tick"].is_string(), "{document:#}");
    let text = account.status(&[]);
    assert!(text.stdout.starts_with("nothing needs a person\n"), "{}", text.all());
    assert_eq!((text.status, text.stderr.as_str()), (0, ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn status_exits_with_1_for_each_thing_that_needs_a_person() {
    let account = Account::new().await;
    for (world, code) in [
        (World { dead_letters: 3, ..HEALTHY }, "dead_letters"),
        (World { mapping: "Disabled", ..HEALTHY }, "mapping_disabled"),
        (World { alarms: &["landfall-batches-parked"], ..HEALTHY }, "alarm"),
        (World { tick: 400, ..HEALTHY }, "monitor_silent"),
    ] {
        account.is(world);
        let (status, document) = account.document();
        assert_eq!(status, 1, "{document:#}");
        let codes = codes(&document);
        assert!(!codes.is_empty() && codes.iter().all(|it| *it == code), "{code}: {codes:?}");
    }
    account.is(HEALTHY);
    account.desk.parked(1, "orders", 0).await;
    let (status, document) = account.document();
    assert_eq!((status, codes(&document)), (1, vec!["batches_parked"]), "{document:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_exits_with_2_if_it_could_not_look_and_warns_of_another_version() {
    let account = Account::new().await;
    for (denied, permission) in [
        ("DescribeAlarms", "cloudwatch:DescribeAlarms"),
        ("GetMetricData", "cloudwatch:GetMetricData"),
        ("GetQueueAttributes", "sqs:GetQueueAttributes"),
        ("DescribeRule", "events:DescribeRule"),
    ] {
        account.is(World { denied, version: "9.0.0", ..HEALTHY });
        let (status, document) = account.document();
        assert_eq!((status, codes(&document)), (2, vec![]), "{document:#}");
        assert!(document["unknown"].to_string().contains(permission), "{document:#}");
        let text = account.status(&[]);
        assert!(text.stderr.starts_with("warning: this is `landfall` "), "{}", text.all());
    }
    let shown = run(&["status"], &CREDENTIALS);
    assert_eq!((shown.status, shown.stdout.as_str()), (2, ""), "{}", shown.all());
}

#[tokio::test]
async fn of_too_many_batches_those_are_read_that_have_waited_longest() {
    let desk = Desk::new();
    for number in 1..=3 {
        desk.sealed(number, "orders", number * 60, &[member(&format!("{number}.csv"))]).await;
        desk.parked(10 + number, "orders", number * 60).await;
    }
    let read = async |most| {
        let listing = desk.ledger.longest_unfinished(most).await.expect("a listing");
        let mut ids: Vec<String> = listing.batches.into_iter().map(|batch| batch.id).collect();
        ids.sort();
        (ids, listing.left)
    };
    let ids = |numbers: &[u64]| numbers.iter().map(|number| id(*number)).collect::<Vec<_>>();
    assert_eq!(read(1).await, (ids(&[1, 11]), Left::Any));
    assert_eq!(read(3).await, (ids(&[1, 2, 3, 11, 12, 13]), Left::None));
}
