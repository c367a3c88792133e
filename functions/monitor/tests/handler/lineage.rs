//! What both functions report about runs to lineage, and that delivery doesn't depend on it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use landfall_core::batch::{HistoryEvent, Starting, State};
use landfall_stand_ins::Act;
use serde_json::{Value, json};
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::stage::{Stage, past};

const NONE: [&str; 0] = [];
const PATH: &str = "/api/v1/lineage";

/// A key that can be found in output by its mark.
pub const KEY: &str = "api-key-b2c4";
pub const TOKEN: &str = "token-9e1d";

const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:lineage-a1B2c3";

/// Starts an endpoint that gives this answer.
async fn endpoint(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    let post = Mock::given(method("POST")).and(path(PATH));
    post.and(header("content-type", "application/json")).respond_with(answer).mount(&server).await;
    server
}

pub async fn told_to(server: &str) -> Stage {
    let url = format!("{server}{PATH}?token={TOKEN}");
    Stage::with(&[
        ("LANDFALL_LINEAGE_URL", &url),
        ("LANDFALL_LINEAGE_API_KEY", KEY),
        ("LANDFALL_ADMIT_LOOPBACK_LINEAGE_URL", "true"),
    ])
    .await
}

async fn received(server: &MockServer) -> Vec<Value> {
    let requests = server.received_requests().await.expect("they are kept");
    requests.iter().map(|request| request.body_json().expect("JSON")).collect()
}

/// Returns the kinds and run IDs, in the order in which they came.
fn runs(events: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    events.iter().map(|event| (text(&event["eventType"]), text(&event["run"]["runId"]))).collect()
}

fn names(event: &Value) -> Vec<&str> {
    let inputs = event["inputs"].as_array().expect("inputs");
    inputs.iter().map(|input| input["name"].as_str().expect("a name")).collect()
}

#[tokio::test]
async fn start_and_outcome_of_a_run_are_told_with_the_objects_of_its_batch() {
    let server = endpoint(ResponseTemplate::new(201)).await;
    let stage = told_to(&server.uri()).await;
    stage.arrive(&["orders/1/a", "orders/1/b"]).await;
    let run = stage.run("orders");
    stage.end(&run, "SUCCEEDED").await;
    assert_eq!(stage.told(&[&run]).await, NONE);
    let events = received(&server).await;
    let [(start, started), (complete, completed)] = &runs(&events)[..] else {
        panic!("{events:?}")
    };
    assert_eq!((start.as_str(), complete.as_str()), ("START", "COMPLETE"));
    assert_eq!(started, completed);
    for event in &events {
        assert_eq!(names(event), ["orders/1/a", "orders/1/b"]);
        assert_eq!(event["inputs"][0]["namespace"], "s3://landing");
        assert_eq!(event["job"]["name"], "job/orders");
        assert_eq!(event["run"]["facets"]["landfall"]["jobRunId"], "jr_1");
        assert_eq!(event["run"]["facets"]["landfall"]["batchId"], stage.batch().await.id);
    }
    let requests = server.received_requests().await.expect("they are kept");
    assert!(requests.iter().all(|r| r.headers["authorization"] == format!("Bearer {KEY}")));
    assert_eq!((stage.codes_of_trigger(), stage.codes()), ([].into(), [].into()));
}

#[tokio::test]
async fn what_is_delivered_twice_is_told_of_one_run() {
    let server = endpoint(ResponseTemplate::new(201)).await;
    let stage = told_to(&server.uri()).await;
    for _ in 0..2 {
        stage.arrive(&["orders/1/a"]).await;
    }
    let run = stage.run("orders");
    stage.end(&run, "SUCCEEDED").await;
    for _ in 0..2 {
        assert_eq!(stage.told(&[&run]).await, NONE);
        stage.tick().await;
    }
    let runs = runs(&received(&server).await);
    let kinds: Vec<&str> = runs.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["START", "COMPLETE"]);
    assert_eq!(runs.iter().map(|(_, id)| id).collect::<BTreeSet<_>>().len(), 1);
}

#[tokio::test]
async fn many_objects_are_told_in_several_events_of_one_run_each_once() {
    let stage = Stage::with(&[("LANDFALL_LINEAGE_BUS", "lineage")]).await;
    let keys: Vec<String> = (0..1_500).map(|n| format!("orders/1/{n:04}")).collect();
    stage.arrive(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let run = stage.run("orders");
    stage.end(&run, "SUCCEEDED").await;
    assert_eq!(stage.told(&[&run]).await, NONE);
    let put = stage.aws.calls_of("PutEvents");
    let details = put.iter().map(|call| call["Entries"][0]["Detail"].as_str().expect("a text"));
    let events: Vec<Value> =
        details.map(|detail| serde_json::from_str(detail).expect("JSON")).collect();
    let [start, rest @ .., complete] = &events[..] else { panic!("{events:?}") };
    let kind = |event: &Value| event["eventType"].as_str().map(str::to_owned).expect("a kind");
    assert_eq!((kind(start).as_str(), kind(complete).as_str()), ("START", "COMPLETE"));
    assert!(rest.len() > 1 && rest.iter().all(|event| kind(event) == "RUNNING"), "{events:?}");
    let mut told: Vec<&str> = events.iter().flat_map(|event| names(event)).collect();
    told.sort_unstable();
    assert_eq!(told, keys, "and none again at the end");
    let ids: BTreeSet<String> = runs(&events).into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(stage.codes_of_trigger(), [].into());
}

#[tokio::test]
async fn a_run_whose_inputs_cannot_be_read_is_told_of_without_them() {
    let server = endpoint(ResponseTemplate::new(201)).await;
    let stage = told_to(&server.uri()).await;
    stage.arrive(&["orders/1/a"]).await;
    let run = stage.run("orders");
    stage.end(&run, "SUCCEEDED").await;
    stage.aws.answer("BatchGetItem", |_, _| Act::Fail {
        status: 400,
        code: "ResourceNotFoundException",
    });
    assert_eq!(stage.told(&[&run]).await, NONE);
    let complete = received(&server).await.remove(1);
    assert_eq!((&complete["eventType"], names(&complete)), (&json!("COMPLETE"), Vec::new()));
    assert_eq!(stage.codes(), [("lineage_members_not_read".to_owned(), 1)].into());
}

/// Whoever learns of the start, it is the same run.
#[tokio::test]
async fn a_run_that_is_found_later_is_told_as_if_it_had_been_known_at_once() {
    let server = endpoint(ResponseTemplate::new(201)).await;
    let stage = told_to(&server.uri()).await;
    stage.arrive(&["orders/1/a"]).await;
    let batch = stage.batch().await;
    // Act as if the trigger had died before it recorded the run.
    let starting =
        batch.history.iter().find(|entry| entry.what == HistoryEvent::Starting).expect("begun").at;
    let state =
        State::Starting(Starting { t0: starting, lease: past(2), look_at: past(1), missing: None });
    let history = batch.history[..batch.history.len() - 1].to_vec();
    let runs = Vec::new();
    stage.write(landfall_core::batch::Batch { state, runs, history, ..batch }).await;
    stage.tick().await;
    let events = received(&server).await;
    let [first, second] = &events[..] else { panic!("{events:?}") };
    assert_eq!(first, second, "down to its time");
}

#[tokio::test]
async fn a_retry_is_told_as_another_run_and_a_failure_with_its_message() {
    let server = endpoint(ResponseTemplate::new(201)).await;
    let stage = told_to(&server.uri()).await;
    stage.arrive(&["retried/x"]).await;
    let first = stage.run("retried");
    stage.end(&first, "FAILED").await;
    assert_eq!(stage.told(&[&first]).await, NONE);
    stage.make_due(stage.batch().await).await;
    stage.tick().await;
    let second = stage.running("retried").remove(0);
    stage.end(&second, "STOPPED").await;
    assert_eq!(stage.told(&[&second]).await, NONE);
    let events = received(&server).await;
    let runs = runs(&events);
    let kinds: Vec<&str> = runs.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["START", "FAIL", "START", "ABORT"]);
    assert_eq!((&runs[0].1, &runs[2].1), (&runs[1].1, &runs[3].1));
    assert_ne!(runs[0].1, runs[2].1);
    assert_eq!(events[1]["run"]["facets"]["errorMessage"]["message"], "run `jr_1` is FAILED");
}

/// Returns how long it takes until a batch is delivered while the lineage endpoint accepts nothing.
async fn is_delivered_all_the_same(server: &str, code: &str) -> Duration {
    let stage = told_to(server).await;
    let began = Instant::now();
    stage.arrive(&["orders/1/a"]).await;
    let run = stage.run("orders");
    stage.end(&run, "SUCCEEDED").await;
    assert_eq!(stage.told(&[&run]).await, NONE);
    assert_eq!(stage.batch().await.state.name(), "succeeded");
    let counted = [(code.to_owned(), 1)].into();
    assert_eq!((stage.codes_of_trigger(), stage.codes()), (BTreeMap::clone(&counted), counted));
    began.elapsed()
}

#[tokio::test]
async fn an_endpoint_that_refuses_or_is_down_or_never_answers_harms_nothing() {
    for status in [400, 401, 404, 500, 503] {
        let server = endpoint(ResponseTemplate::new(status)).await;
        is_delivered_all_the_same(&server.uri(), "lineage_refused").await;
    }
    let gone = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", gone.local_addr().expect("an address"));
    drop(gone);
    is_delivered_all_the_same(&address, "lineage_not_sent").await;
    let slow = ResponseTemplate::new(201).set_delay(Duration::from_secs(120));
    let slow = endpoint(slow).await;
    let took = is_delivered_all_the_same(&slow.uri(), "lineage_not_sent").await;
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// A redirect could pass the key to somebody else.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = endpoint(ResponseTemplate::new(201)).await;
    let location = format!("{}{PATH}", other.uri());
    let server = endpoint(ResponseTemplate::new(307).insert_header("location", location)).await;
    is_delivered_all_the_same(&server.uri(), "lineage_refused").await;
    assert_eq!(received(&other).await, Vec::<Value>::new());
}

#[tokio::test]
async fn lineage_is_given_up_when_little_time_is_left() {
    let server = endpoint(ResponseTemplate::new(201)).await;
    let stage = told_to(&server.uri()).await;
    stage.record(&["orders/1/a"]).await;
    stage.tick().await;
    let run = stage.run("orders");
    stage.end(&run, "SUCCEEDED").await;
    let body = crate::stage::ended("orders", &run.id);
    // This is enough time for the calls that follow a run, and no more.
    let left = Duration::from_secs(12);
    assert_eq!(stage.messages(&[body], left).await, NONE);
    assert_eq!(stage.batch().await.state.name(), "succeeded");
    assert_eq!(stage.codes(), [("lineage_out_of_time".to_owned(), 1)].into());
    assert_eq!(received(&server).await.len(), 1, "the start");
}

#[tokio::test]
async fn lineage_that_goes_nowhere_costs_no_call() {
    let calls = |stage: &Stage| stage.aws.usage().calls;
    let (with, without) = (Stage::with(&[("LANDFALL_LINEAGE_BUS", "b")]).await, Stage::new().await);
    for stage in [&with, &without] {
        stage.arrive(&["orders/1/a"]).await;
    }
    let mut expected = calls(&with);
    assert_eq!(expected.remove("PutEvents"), Some(1));
    // The call reads the chunk of the batch's members.
    assert_eq!(expected.remove("BatchGetItem"), Some(1));
    assert_eq!(calls(&without), expected);
}

#[tokio::test]
async fn a_bus_gets_each_event_as_the_detail_of_one_of_its_own() {
    let bus = "arn:aws:events:eu-west-1:111111111111:event-bus/lineage";
    let stage = Stage::with(&[("LANDFALL_LINEAGE_BUS", bus)]).await;
    stage.arrive(&["orders/1/a"]).await;
    let run = stage.run("orders");
    stage.end(&run, "SUCCEEDED").await;
    assert_eq!(stage.told(&[&run]).await, NONE);
    let put = stage.aws.calls_of("PutEvents");
    let entries: Vec<&Value> = put.iter().map(|call| &call["Entries"][0]).collect();
    let details: Vec<Value> = entries
        .iter()
        .map(|entry| serde_json::from_str(entry["Detail"].as_str().expect("a text")).expect("JSON"))
        .collect();
    for entry in &entries {
        assert_eq!(entry["EventBusName"], bus);
        assert_eq!(entry["Source"], "landfall");
        assert_eq!(entry["DetailType"], "OpenLineage RunEvent");
    }
    let runs = runs(&details);
    assert_eq!((runs[0].0.as_str(), runs[1].0.as_str()), ("START", "COMPLETE"));
    assert_eq!((&runs[0].1, names(&details[0])), (&runs[1].1, vec!["orders/1/a"]));
    assert_eq!(stage.codes(), [].into());
}

#[tokio::test]
async fn a_bus_that_refuses_an_event_harms_nothing() {
    let denied = Act::Fail { status: 400, code: "AccessDeniedException" };
    let failed = json!({ "FailedEntryCount": 1, "Entries": [{ "ErrorCode": "InternalFailure" }] });
    let failed = Act::Answer { status: 200, body: failed.to_string() };
    for act in [denied, failed] {
        let stage = Stage::with(&[("LANDFALL_LINEAGE_BUS", "lineage")]).await;
        stage.aws.answer("PutEvents", move |_, _| act.clone());
        stage.arrive(&["orders/1/a"]).await;
        assert_eq!(stage.batch().await.state.name(), "started");
        assert_eq!(stage.codes_of_trigger(), [("lineage_refused".to_owned(), 1)].into());
    }
}

/// Reports to this endpoint with a key from a secret.
async fn told_with_a_secret(server: &MockServer) -> Stage {
    let url = format!("{}{PATH}", server.uri());
    let variables = [
        ("LANDFALL_LINEAGE_URL", url.as_str()),
        ("LANDFALL_LINEAGE_API_KEY_ARN", SECRET),
        ("LANDFALL_ADMIT_LOOPBACK_LINEAGE_URL", "true"),
    ];
    Stage::with(&variables).await
}

/// Makes the endpoint accept events with this key and refuse all others.
async fn knows(server: &MockServer, key: &str) {
    server.reset().await;
    let post = || Mock::given(method("POST")).and(path(PATH));
    let shown = format!("Bearer {key}");
    post()
        .and(header("authorization", shown.as_str()))
        .respond_with(ResponseTemplate::new(201))
        .mount(server)
        .await;
    post().respond_with(ResponseTemplate::new(403)).with_priority(9).mount(server).await;
}

#[tokio::test]
async fn the_key_for_lineage_is_read_once_when_it_is_first_needed() {
    let server = MockServer::start().await;
    knows(&server, KEY).await;
    let stage = told_with_a_secret(&server).await;
    // The secret ends with a newline, as `echo` writes it.
    stage.aws.set_secret(SECRET, &format!("{KEY}\n"));
    stage.tick().await;
    assert_eq!(stage.aws.calls_of("GetSecretValue"), [] as [Value; 0], "nothing is to be told");
    for key in ["orders/1/a", "orders/2/a", "orders/3/a"] {
        stage.arrive(&[key]).await;
    }
    assert_eq!(received(&server).await.len(), 3);
    assert_eq!(stage.aws.calls_of("GetSecretValue"), [json!({ "SecretId": SECRET })]);
    assert_eq!(stage.codes_of_trigger(), [].into());
}

#[tokio::test]
async fn a_key_for_lineage_that_cannot_be_read_harms_nothing_and_is_not_asked_for_at_once_again() {
    let server = MockServer::start().await;
    knows(&server, KEY).await;
    for (act, value) in [
        (Act::Fail { status: 400, code: "AccessDeniedException" }, KEY),
        (Act::Answer { status: 200, body: json!({ "SecretBinary": "a2V5" }).to_string() }, KEY),
        (Act::Serve, "no token"),
        (Act::Hang, KEY),
    ] {
        let stage = told_with_a_secret(&server).await;
        stage.aws.set_secret(SECRET, value);
        stage.aws.answer("GetSecretValue", move |_, _| act.clone());
        for key in ["orders/1/a", "orders/2/a"] {
            stage.arrive(&[key]).await;
        }
        assert_eq!(stage.starts(), 2);
        assert_eq!(stage.codes_of_trigger(), [("lineage_key_not_read".to_owned(), 2)].into());
        assert_eq!(stage.aws.calls_of("GetSecretValue").len(), 1);
    }
    assert_eq!(received(&server).await, Vec::<Value>::new(), "nothing is sent without the key");
}
