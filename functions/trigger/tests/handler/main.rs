//! The handler against stand-ins for STS and Glue that speak their protocols over HTTP.

mod aws;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws::{Aws, EXTERNAL_ID, Glue, Sts};
use lambda_runtime::{Context as LambdaContext, Diagnostic, LambdaEvent};
use landfall_aws::assumed_role::{AssumedRole, Assumption};
use landfall_aws::telemetry::{Metrics, subscriber};
use landfall_trigger::{Context, Error, Response, Settings, handle};
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;

const ROUTES: &str = r#"version: 1
targets:
  analytics: { account: "222222222222", region: eu-west-1, starter_role: landfall-starter, external_id: "${EXTERNAL_ID}" }
routes:
  - name: orders
    bucket: landing
    key: "orders/{day}/*"
    batch: { by: [day] }
    start: { target: analytics, job: orders, arguments: { "--day": "{day}" } }
  - name: named
    bucket: landing
    key: "named/{name}"
    batch: { by: [name] }
    start: { target: analytics, job: named, arguments: { "--name": "{name}" } }
"#;

fn settings(extra: &[(&str, &str)]) -> Settings {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), ROUTES).expect("writable");
    let path = file.path().to_str().expect("a path in UTF-8").to_owned();
    let variables = [
        ("LANDFALL_ROUTES", path.as_str()),
        ("EXTERNAL_ID", EXTERNAL_ID),
        ("LANDFALL_READER_ROLE_ARN", "arn:aws:iam::111111111111:role/landfall-reader"),
        ("AWS_LAMBDA_FUNCTION_NAME", "landfall-trigger"),
    ];
    let find = |name: &str| {
        let all = extra.iter().chain(&variables);
        all.copied().find(|(n, _)| *n == name).map(|(_, value)| value.to_owned())
    };
    Settings::from_env(find).expect("settings")
}

async fn context(aws: &Aws) -> Context {
    Context::new(settings(&[]), &aws.config().await, Metrics::new(std::io::sink()))
}

fn record(key: &str) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "eventTime": "2026-01-31T00:00:00.000Z",
        "s3": { "bucket": { "name": "landing" }, "object": { "key": key, "size": 1, "sequencer": "01" } }
    })
}

fn body(key: &str) -> String {
    json!({ "Records": [record(key)] }).to_string()
}

/// An SQS event; the messages' ids are `m0`, `m1`, …
fn messages(bodies: &[String]) -> Value {
    let records = bodies.iter().enumerate().map(
        |(n, body)| json!({ "messageId": format!("m{n}"), "eventSource": "aws:sqs", "body": body }),
    );
    json!({ "Records": records.collect::<Vec<_>>() })
}

async fn invoke(context: &Context, event: &Value) -> Result<Response, Error> {
    invoke_with(context, event, Duration::from_secs(60)).await
}

async fn invoke_with(context: &Context, event: &Value, left: Duration) -> Result<Response, Error> {
    let mut lambda = LambdaContext::default();
    let deadline = SystemTime::now() + left;
    let since_epoch = deadline.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    lambda.deadline = u64::try_from(since_epoch.as_millis()).expect("before the year 500 million");
    let payload = serde_json::value::to_raw_value(event).expect("JSON");
    handle(context, LambdaEvent::new(payload, lambda)).await
}

/// The ids of the messages to deliver again.
async fn failures(context: &Context, event: &Value) -> Vec<String> {
    match invoke(context, event).await.expect("an answer") {
        Response::Sqs(response) => response
            .batch_item_failures
            .into_iter()
            .map(|failure| failure.item_identifier)
            .collect(),
        Response::Direct(summary) => panic!("not an answer to SQS: {summary:?}"),
    }
}

#[tokio::test]
async fn one_run_is_started_for_each_group_and_all_messages_are_acknowledged() {
    let aws = Aws::start(Sts::Grants, Glue::Starts).await;
    let context = context(&aws).await;
    let bodies = [body("orders/1/a"), body("orders/2/a"), body("orders/1/b"), body("other")];
    assert_eq!(failures(&context, &messages(&bodies)).await, [""; 0]);
    let mut starts = aws.starts().await;
    starts.sort_by_key(|start| start["Arguments"]["--day"].to_string());
    assert_eq!(starts.len(), 2);
    assert_eq!(aws.assumptions().await.len(), 1, "runs that start together share the role");
    assert_eq!(starts[0]["JobName"], "orders");
    assert_eq!(starts[0]["Arguments"]["--day"], "1");
    assert_eq!(
        starts[0]["Arguments"]["--landfall-reader-role"],
        "arn:aws:iam::111111111111:role/landfall-reader"
    );
    let inputs = starts[0]["Arguments"]["--landfall-inputs"].as_str().expect("inputs");
    assert!(
        inputs.contains("s3://landing/orders/1/a") && inputs.contains("s3://landing/orders/1/b")
    );
}

#[tokio::test]
async fn the_role_is_assumed_once_for_many_invocations_with_external_id_and_a_telling_name() {
    let aws = Aws::start(Sts::Grants, Glue::Starts).await;
    let context = context(&aws).await;
    for key in ["orders/1/a", "orders/2/a", "orders/3/a"] {
        assert_eq!(failures(&context, &messages(&[body(key)])).await, [""; 0]);
    }
    let assumptions = aws.assumptions().await;
    assert_eq!(assumptions.len(), 1);
    let asked = |name: &str| assumptions[0].get(name).map(String::as_str);
    assert_eq!(asked("RoleArn"), Some("arn:aws:iam::222222222222:role/landfall-starter"));
    assert_eq!(asked("ExternalId"), Some(EXTERNAL_ID));
    assert_eq!(asked("RoleSessionName"), Some("landfall-trigger@111111111111"));
    assert_eq!(asked("DurationSeconds"), Some("3600"));
    assert_eq!(asked("SourceIdentity"), None);
}

#[tokio::test]
async fn a_source_identity_is_set_where_one_is_configured() {
    let aws = Aws::start(Sts::Grants, Glue::Starts).await;
    let settings = settings(&[("LANDFALL_SOURCE_IDENTITY", "platform-team")]);
    let context = Context::new(settings, &aws.config().await, Metrics::new(std::io::sink()));
    failures(&context, &messages(&[body("orders/1/a")])).await;
    assert_eq!(aws.assumptions().await[0]["SourceIdentity"], "platform-team");
}

#[tokio::test]
async fn credentials_that_expire_soon_are_refreshed_before_they_do() {
    let aws = Aws::start(Sts::GrantsFor(Duration::from_secs(240)), Glue::Starts).await;
    let context = context(&aws).await;
    for _ in 0..2 {
        failures(&context, &messages(&[body("orders/1/a")])).await;
    }
    // Each use asks anew: once before the starts, once at the start.
    assert_eq!(aws.assumptions().await.len(), 4);
}

#[tokio::test]
async fn credentials_that_cannot_be_refreshed_are_used_until_they_expire() {
    let aws = Aws::start(Sts::GrantsOnce(Duration::from_secs(240)), Glue::Starts).await;
    let context = context(&aws).await;
    for _ in 0..3 {
        assert_eq!(failures(&context, &messages(&[body("orders/1/a")])).await, [""; 0]);
    }
    assert_eq!((aws.assumptions().await.len(), aws.starts().await.len()), (2, 3));
}

#[tokio::test]
async fn a_start_that_never_left_is_known_not_to_have_happened() {
    let aws = Aws::start(Sts::Grants, Glue::Starts).await;
    let closed = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("a port");
    let config = aws.config().await;
    let assumption = Assumption {
        role_arn: "arn:aws:iam::222222222222:role/landfall-starter".to_owned(),
        external_id: None,
        session_name: "test".to_owned(),
        source_identity: None,
    };
    let role = AssumedRole::new(aws_sdk_sts::Client::new(&config), assumption);
    let unreachable = config.into_builder().endpoint_url(format!("http://{closed}")).build();
    let glue = landfall_aws::glue::Glue::new(&unreachable, "222222222222", "eu-west-1", role);
    let error = glue.start_job_run("orders", &BTreeMap::new()).await.unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("start_failed", true), "{error}");
}

#[tokio::test]
async fn the_log_shows_no_external_id_at_any_level() {
    // For all tests at once: a subscriber of one thread would race with the other threads' caches.
    let output = Buffer::default();
    let writer = output.clone();
    let everything = subscriber(LevelFilter::TRACE, move || writer.clone());
    tracing::subscriber::set_global_default(everything).expect("no other test sets one");
    let aws = Aws::start(Sts::RepeatsExternalId, Glue::Starts).await;
    let context = context(&aws).await;
    failures(&context, &messages(&[body("orders/1/a"), "?".to_owned()])).await;
    let log = output.text();
    assert!(log.contains("assume_role_failed") && log.contains("event_not_json"), "{log}");
    assert!(!log.contains(EXTERNAL_ID), "{log}");
}

#[test]
fn all_settings_that_cannot_work_are_reported_together() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), ROUTES).expect("writable");
    let path = file.path().to_str().expect("a path in UTF-8").to_owned();
    let variable = |name: &str| match name {
        "LANDFALL_ROUTES" => Some(path.clone()),
        "LANDFALL_SOURCE_IDENTITY" => Some("a b".to_owned()),
        _ => None,
    };
    let errors = Settings::from_env(variable).expect_err("nothing is set");
    let codes: Vec<&str> = errors.iter().map(|error| error.code()).collect();
    assert_eq!(
        codes,
        ["external_id_missing", "reader_role_malformed", "source_identity_malformed"]
    );
}

#[tokio::test]
async fn a_role_that_cannot_be_assumed_starts_nothing_and_leaves_the_messages_in_the_queue() {
    let aws = Aws::start(Sts::Denies, Glue::Starts).await;
    let context = context(&aws).await;
    let event = messages(&[body("orders/1/a"), body("unrouted"), body("orders/2/a")]);
    assert_eq!(failures(&context, &event).await, ["m0", "m2"]);
    assert_eq!((aws.assumptions().await.len(), aws.starts().await.len()), (1, 0));
    let error = invoke(&context, &json!({ "Records": [record("orders/1/a")] })).await.unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("assume_role_denied", true));
}

#[tokio::test]
async fn no_error_repeats_the_external_id_even_if_sts_does() {
    let aws = Aws::start(Sts::RepeatsExternalId, Glue::Starts).await;
    let context = context(&aws).await;
    let error = invoke(&context, &json!({ "Records": [record("orders/1/a")] })).await.unwrap_err();
    assert!(error.to_string().contains("failed to satisfy constraint"), "{error}");
    for text in [format!("{error}"), format!("{error:?}"), format!("{context:?}")] {
        assert!(!text.contains(EXTERNAL_ID), "{text}");
    }
}

#[tokio::test]
async fn start_job_run_is_sent_once_whatever_glue_answers() {
    for (answer, code, is_retryable) in [
        (
            Glue::Fails(400, "ConcurrentRunsExceededException"),
            "start_concurrent_runs_exceeded",
            true,
        ),
        (
            Glue::Fails(400, "ResourceNumberLimitExceededException"),
            "start_resource_limit_exceeded",
            true,
        ),
        (Glue::Fails(400, "ThrottlingException"), "start_throttled", true),
        (Glue::Fails(400, "EntityNotFoundException"), "start_no_such_job", false),
        (Glue::Fails(400, "InvalidInputException"), "start_invalid_input", false),
        (Glue::Fails(400, "AccessDeniedException"), "start_access_denied", true),
        (Glue::Fails(400, "NeverSeenException"), "start_failed", true),
        (Glue::Fails(400, "OperationTimeoutException"), "start_outcome_unknown", true),
        (Glue::Fails(500, "InternalServiceException"), "start_outcome_unknown", true),
        (Glue::Fails(503, "NeverSeenException"), "start_outcome_unknown", true),
        (Glue::SaysNothing, "start_outcome_unknown", true),
    ] {
        let aws = Aws::start(Sts::Grants, answer).await;
        let context = context(&aws).await;
        let event = json!({ "Records": [record("orders/1/a")] });
        let error = invoke(&context, &event).await.unwrap_err();
        assert_eq!((error.code(), error.is_retryable()), (code, is_retryable), "{answer:?}");
        assert!(error.to_string().contains("`orders` in account `222222222222`"), "{error}");
        assert_eq!(aws.starts().await.len(), 1, "{answer:?}");
        assert_eq!(Diagnostic::from(error).error_type, code);
    }
}

#[tokio::test]
async fn what_glue_refuses_stays_in_the_queue_and_its_siblings_do_not() {
    let aws = Aws::start(Sts::Grants, Glue::RefusesJob("named")).await;
    let context = context(&aws).await;
    let event = messages(&[body("orders/1/a"), body("named/x"), body("orders/1/b")]);
    assert_eq!(failures(&context, &event).await, ["m1"]);
}

#[tokio::test]
async fn one_malformed_message_among_many_fails_alone() {
    let aws = Aws::start(Sts::Grants, Glue::Starts).await;
    let context = context(&aws).await;
    let mut bodies: Vec<String> = (0..50).map(|n| body(&format!("orders/1/{n}"))).collect();
    bodies[17] = "not an event".to_owned();
    assert_eq!(failures(&context, &messages(&bodies)).await, ["m17"]);
    assert_eq!(aws.starts().await.len(), 1);
}

#[tokio::test]
async fn a_message_that_stands_twice_in_a_batch_is_named_once_in_the_answer() {
    let aws = Aws::start(Sts::Denies, Glue::Starts).await;
    let context = context(&aws).await;
    let mut event = messages(&[body("orders/1/a"), body("orders/1/a")]);
    event["Records"][1]["messageId"] = "m0".into();
    assert_eq!(failures(&context, &event).await, ["m0"]);
}

#[tokio::test]
async fn ten_thousand_messages_are_served_in_one_invocation() {
    let aws = Aws::start(Sts::Grants, Glue::Starts).await;
    let context = context(&aws).await;
    let mut bodies: Vec<String> = (0..10_000).map(|n| body(&format!("orders/1/{n}"))).collect();
    bodies[9_999] = "{".to_owned();
    assert_eq!(failures(&context, &messages(&bodies)).await, ["m9999"]);
    let mut urls = BTreeSet::new();
    for start in aws.starts().await {
        let inputs = start["Arguments"]["--landfall-inputs"].as_str().expect("inputs");
        let inputs: Value = serde_json::from_str(inputs).expect("JSON");
        let entries = inputs["entries"].as_array().expect("entries");
        urls.extend(entries.iter().map(|entry| entry["url"].to_string()));
    }
    assert_eq!(urls.len(), 9_999);
}

#[tokio::test]
async fn an_argument_that_would_begin_with_a_dash_fails_its_message_alone() {
    let aws = Aws::start(Sts::Grants, Glue::Starts).await;
    let context = context(&aws).await;
    let event = messages(&[body("named/-rf"), body("named/x")]);
    assert_eq!(failures(&context, &event).await, ["m0"]);
    assert_eq!(aws.starts().await.len(), 1);
}

#[tokio::test]
async fn a_message_of_which_one_object_is_refused_starts_nothing() {
    let aws = Aws::start(Sts::Grants, Glue::Starts).await;
    let context = context(&aws).await;
    let both = json!({ "Records": [record("orders/1/a"), record("named/-rf")] });
    let event = messages(&[both.to_string(), body("orders/1/b")]);
    for _ in 0..2 {
        assert_eq!(failures(&context, &event).await, ["m0"]);
    }
    let starts = aws.starts().await;
    assert_eq!(starts.len(), 2, "the sibling, at each delivery");
    for start in starts {
        let inputs = start["Arguments"]["--landfall-inputs"].as_str().expect("inputs").to_owned();
        assert!(!inputs.contains("orders/1/a"), "{inputs}");
    }
    let error = invoke(&context, &both).await.unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("argument_leading_dash", false));
}

#[tokio::test]
async fn an_object_told_twice_in_one_invocation_starts_one_run_and_acknowledges_both_messages() {
    let aws = Aws::start(Sts::Grants, Glue::Starts).await;
    let context = context(&aws).await;
    let event = messages(&[body("orders/1/a"), body("orders/1/a")]);
    assert_eq!(failures(&context, &event).await, [""; 0]);
    assert_eq!(aws.starts().await.len(), 1);
}

#[tokio::test]
async fn nothing_is_begun_that_could_be_cut_off_by_the_time_out() {
    let aws = Aws::start(Sts::Grants, Glue::Starts).await;
    let context = context(&aws).await;
    let event = json!({ "Records": [record("orders/1/a")] });
    let error = invoke_with(&context, &event, Duration::from_secs(5)).await.unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("out_of_time", true));
    assert_eq!((aws.assumptions().await.len(), aws.starts().await.len()), (0, 0));
}

#[tokio::test]
async fn a_role_that_refuses_its_old_session_is_assumed_anew() {
    let aws = Aws::start(Sts::Grants, Glue::RefusesSessionOnce).await;
    let context = context(&aws).await;
    let event = messages(&[body("orders/1/a")]);
    assert_eq!(failures(&context, &event).await, ["m0"]);
    assert_eq!(failures(&context, &event).await, [""; 0]);
    assert_eq!((aws.assumptions().await.len(), aws.starts().await.len()), (2, 2));
}

#[tokio::test]
async fn a_direct_invocation_tells_what_it_started() {
    let aws = Aws::start(Sts::Grants, Glue::Starts).await;
    let context = context(&aws).await;
    let event = json!({ "Records": [record("orders/1/a"), record("other")] });
    let answer = invoke(&context, &event).await.expect("an answer");
    let answer = serde_json::to_value(&answer).expect("JSON");
    assert_eq!(answer["started"][0]["route"], "orders");
    assert_eq!(answer["started"][0]["job_run_id"], "jr_1");
    assert_eq!(answer["unmatched"], 1);
}

#[tokio::test]
async fn an_event_of_no_known_kind_fails_with_a_stable_code() {
    let aws = Aws::start(Sts::Grants, Glue::Starts).await;
    let context = context(&aws).await;
    let error = invoke(&context, &json!({ "hello": "world" })).await.unwrap_err();
    assert_eq!(Diagnostic::from(error).error_type, "event_unknown_envelope");
}

#[tokio::test]
async fn a_queue_without_messages_is_answered_without_failures() {
    let aws = Aws::start(Sts::Grants, Glue::Starts).await;
    let context = context(&aws).await;
    let test_event = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent" }).to_string();
    assert_eq!(failures(&context, &messages(&[test_event])).await, [""; 0]);
}

/// A buffer that the test keeps a handle of.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("UTF-8")
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn metrics_tell_what_became_of_messages_routes_and_failures() {
    let aws = Aws::start(Sts::Grants, Glue::RefusesJob("named")).await;
    let output = Buffer::default();
    let context = Context::new(settings(&[]), &aws.config().await, Metrics::new(output.clone()));
    let bodies =
        [body("orders/1/a"), body("orders/1/b"), body("named/x"), "?".to_owned(), body("other")];
    assert_eq!(failures(&context, &messages(&bodies)).await, ["m2", "m3"]);
    let text = output.text();
    let lines: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let find = |name: &str, value: &str| lines.iter().find(|l| l[name] == value).expect(value);
    assert_eq!(lines[0]["_aws"]["CloudWatchMetrics"][0]["Namespace"], "Landfall");
    assert_eq!((&lines[0]["Messages"], &lines[0]["MessagesFailed"]), (&json!(5), &json!(2)));
    assert_eq!((&lines[0]["Arrivals"], &lines[0]["ArrivalsUnmatched"]), (&json!(4), &json!(1)));
    assert_eq!(find("Route", "orders")["ObjectsStarted"], 2);
    assert_eq!(find("Route", "named")["JobRunsNotStarted"], 1);
    assert_eq!(find("Code", "start_concurrent_runs_exceeded")["Failures"], 1);
    assert_eq!(find("Code", "event_not_json")["Failures"], 1);
}
