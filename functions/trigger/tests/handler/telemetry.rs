//! Logs and metrics.

use std::collections::BTreeSet;

use expect_test::expect;
use landfall_aws::telemetry::subscriber;
use landfall_stand_ins::{Act, Sts};
use tracing_subscriber::filter::LevelFilter;

use crate::stage::{Buffer, EXTERNAL_ID, LEDGER, Stage, arrivals, body, messages};

const NONE: [&str; 0] = [];

#[tokio::test]
async fn the_log_shows_no_external_id_at_any_level() {
    // Set one subscriber for all tests, because one for each thread would race with the caches of
    // other threads.
    let output = Buffer::default();
    let writer = output.clone();
    let everything = subscriber(LevelFilter::TRACE, move || writer.clone());
    tracing::subscriber::set_global_default(everything).expect("no other test sets one");
    let stage = Stage::new().await;
    stage.aws.sts(Sts::RepeatsExternalId);
    assert_eq!(stage.failures(&messages(&[body("orders/1/a"), "?".to_owned()])).await, ["m1"]);
    assert_eq!(stage.assumptions()[0]["ExternalId"], EXTERNAL_ID);
    let log = output.text();
    assert!(log.contains("assume_role_failed") && log.contains("event_not_json"), "{log}");
    assert!(!log.contains(EXTERNAL_ID), "{log}");
}

#[tokio::test]
async fn no_error_repeats_the_external_id_even_if_sts_does() {
    let stage = Stage::new().await;
    stage.aws.sts(Sts::RepeatsExternalId);
    assert_eq!(stage.failures(&arrivals(&["orders/1/a"])).await, NONE);
    let batch = stage.batch().await;
    let detail = &batch.history.last().expect("a history").detail;
    assert!(detail.contains("failed to satisfy constraint"), "{detail}");
    for text in [
        format!("{batch:?}"),
        format!("{:?}", stage.context),
        format!("{:?}", stage.aws.items(LEDGER)),
        format!("{:?}", stage.metrics()),
    ] {
        assert!(!text.contains(EXTERNAL_ID), "{text}");
    }
}

#[tokio::test]
async fn metrics_tell_what_became_of_messages_routes_and_failures() {
    let stage = Stage::new().await;
    stage.aws.answer("StartJobRun", |call, _| {
        if call.body["JobName"] == "named" {
            Act::Fail { status: 400, code: "ConcurrentRunsExceededException" }
        } else {
            Act::Serve
        }
    });
    let keys = ["orders/1/a", "orders/1/b", "named/x", "windowed/1/a", "other"];
    let mut bodies: Vec<String> = keys.iter().map(|key| body(key)).collect();
    bodies.push("?".to_owned());
    assert_eq!(stage.failures(&messages(&bodies)).await, ["m5"]);
    assert_eq!(stage.failures(&arrivals(&["orders/1/a"])).await, NONE);
    let mut told = String::new();
    for mut line in stage.metrics() {
        let metrics = line["_aws"]["CloudWatchMetrics"].take();
        assert_eq!(metrics[0]["Namespace"], "Landfall");
        let units: BTreeSet<String> = metrics[0]["Metrics"]
            .as_array()
            .expect("metrics")
            .iter()
            .map(|metric| format!("{} in {}", metric["Name"], metric["Unit"]).replace('"', ""))
            .collect();
        let line = line.as_object_mut().expect("an object");
        line.remove("_aws");
        if let Some(seconds) = line.get_mut("SecondsToStart").map(serde_json::Value::take) {
            assert!(seconds.as_f64().is_some_and(|seconds| seconds >= 0.0), "{seconds}");
        }
        told.push_str(&format!("{}\n", serde_json::to_string(&line).expect("JSON")));
        told.push_str(&format!("  by {}: {units:?}\n", metrics[0]["Dimensions"]));
    }
    expect![[r#"
        {"Arrivals":5,"ArrivalsKnown":0,"ArrivalsUnmatched":1,"EventsIgnored":0,"Ledger":"ledger","Messages":6,"MessagesFailed":1}
          by [["Ledger"]]: {"Arrivals in Count", "ArrivalsKnown in Count", "ArrivalsUnmatched in Count", "EventsIgnored in Count", "Messages in Count", "MessagesFailed in Count"}
        {"Code":"event_not_json","Failures":1,"Ledger":"ledger"}
          by [["Ledger","Code"]]: {"Failures in Count"}
        {"BytesStarted":0,"JobRunsFailed":0,"JobRunsNotStarted":1,"JobRunsStarted":0,"JobRunsSucceeded":0,"JobRunsSucceededUnclaimed":0,"Ledger":"ledger","ObjectsStarted":0,"Route":"named"}
          by [["Ledger"],["Ledger","Route"]]: {"BytesStarted in Bytes", "JobRunsFailed in Count", "JobRunsNotStarted in Count", "JobRunsStarted in Count", "JobRunsSucceeded in Count", "JobRunsSucceededUnclaimed in Count", "ObjectsStarted in Count"}
        {"BytesStarted":2,"JobRunsFailed":0,"JobRunsNotStarted":0,"JobRunsStarted":1,"JobRunsSucceeded":0,"JobRunsSucceededUnclaimed":0,"Ledger":"ledger","ObjectsStarted":2,"Route":"orders","SecondsToStart":null}
          by [["Ledger"],["Ledger","Route"]]: {"BytesStarted in Bytes", "JobRunsFailed in Count", "JobRunsNotStarted in Count", "JobRunsStarted in Count", "JobRunsSucceeded in Count", "JobRunsSucceededUnclaimed in Count", "ObjectsStarted in Count", "SecondsToStart in Seconds"}
        {"Code":"start_concurrent_runs_exceeded","Failures":1,"Ledger":"ledger"}
          by [["Ledger","Code"]]: {"Failures in Count"}
        {"Arrivals":1,"ArrivalsKnown":1,"ArrivalsUnmatched":0,"EventsIgnored":0,"Ledger":"ledger","Messages":1,"MessagesFailed":0}
          by [["Ledger"]]: {"Arrivals in Count", "ArrivalsKnown in Count", "ArrivalsUnmatched in Count", "EventsIgnored in Count", "Messages in Count", "MessagesFailed in Count"}
    "#]].assert_eq(&told);
}
