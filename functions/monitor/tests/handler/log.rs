//! The log: you can follow an object through it, and it shows no secret.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use landfall_aws::clock::{self, Clock};
use landfall_aws::telemetry::subscriber;
use serde_json::{Value, json};
use tracing_subscriber::filter::LevelFilter;

use crate::lineage::{KEY, TOKEN, told_to};
use crate::stage::{Buffer, LEFT, Stage, ended};

/// Returns what all tests log from the first call on. One subscriber serves all tests, because one
/// for each thread would race with the caches of other threads.
fn log() -> &'static Buffer {
    static LOG: OnceLock<Buffer> = OnceLock::new();
    LOG.get_or_init(|| {
        let output = Buffer::default();
        let writer = output.clone();
        let everything = subscriber(LevelFilter::DEBUG, move || writer.clone());
        tracing::subscriber::set_global_default(everything).expect("nobody else sets one");
        output
    })
}

/// Returns the lines in which a field has this value, or contains it.
fn lines(field: &str, value: &str) -> Vec<Value> {
    let text = log().text();
    let lines = text
        .lines()
        .filter(|line| line.contains(value))
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let has = |line: &Value| {
        line[field].as_str().is_some_and(|text| text.split(' ').any(|word| word == value))
    };
    lines.filter(has).collect()
}

fn told(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["message"].as_str().expect("a message")).collect()
}

#[tokio::test]
async fn an_object_can_be_followed_in_the_log_from_its_message_to_the_end_of_its_run() {
    log();
    let stage = Stage::new().await;
    // No other test has this message or this batch.
    stage.arrive_in_message("message-4d1e", "orders/followed/a").await;
    let recorded = lines("message_ids", "message-4d1e");
    assert_eq!(told(&recorded), ["arrivals recorded"]);
    assert_eq!((&recorded[0]["level"], &recorded[0]["route"]), (&json!("INFO"), &json!("orders")));
    let batch_id = recorded[0]["batch_id"].as_str().expect("a batch");
    let object = lines("message_id", "message-4d1e");
    assert_eq!(
        (&object[0]["key"], &object[0]["batch_ids"]),
        (&json!("orders/followed/a"), &json!(batch_id))
    );

    let run = stage.run("orders");
    stage.end(&run, "SUCCEEDED").await;
    let body = ended("orders", &run.id).to_string();
    let message = json!({ "messageId": "message-7c2a", "eventSource": "aws:sqs", "body": body });
    stage.invoke(&json!({ "Records": [message] }), LEFT).await.expect("an answer");
    let of_batch = lines("batch_id", batch_id);
    let expected =
        ["arrivals recorded", "batch starting", "batch started", "batch succeeded", "run ended"];
    assert_eq!(told(&of_batch), expected);
    for line in &of_batch[2..] {
        let ids = (&line["job_run_id"], &line["job"], &line["route"]);
        assert_eq!(ids, (&json!(run.id), &json!("orders"), &json!("orders")), "{line}");
    }
    assert!(of_batch[1..4].iter().all(|line| line["epoch"] == 1), "{of_batch:?}");
    assert_eq!(of_batch[4]["message_id"], "message-7c2a");
}

#[tokio::test]
async fn the_log_does_not_repeat_what_glue_says_of_a_run_that_failed() {
    log();
    let stage = Stage::new().await;
    stage.arrive_in_message("message-91b0", "orders/secret/a").await;
    let run = stage.run("orders");
    assert!(stage.aws.fail_run(&run.id, "password-5e1f is wrong"));
    assert!(stage.told(&[&run]).await.is_empty());
    let batch_id = &stage.batch().await.id;
    assert!(told(&lines("batch_id", batch_id)).contains(&"batch failed"));
    assert!(!log().text().contains("password-5e1f"));
}

#[tokio::test]
async fn the_log_tells_that_lineage_was_lost_and_neither_where_to_nor_with_which_key() {
    log();
    let server = wiremock::MockServer::start().await;
    let stage = told_to(&server.uri()).await;
    stage.arrive_in_message("message-0b9f", "orders/untold/a").await;
    let recorded = lines("message_ids", "message-0b9f");
    let of_batch = lines("batch_id", recorded[0]["batch_id"].as_str().expect("a batch"));
    let lost = of_batch.last().expect("lines");
    let told = (&lost["message"], &lost["code"], &lost["level"]);
    assert_eq!(told, (&json!("lineage not sent"), &json!("lineage_refused"), &json!("WARN")));
    let error = lost["error"].as_str().expect("an error");
    assert_eq!(error, "failed to send lineage to `127.0.0.1`: it was refused: status 404");
    let log = log().text();
    assert!(!log.contains(KEY) && !log.contains(TOKEN));
}

#[tokio::test]
async fn what_can_be_guessed_or_read_is_warned_of_at_the_start_and_not_shown() {
    log();
    // The key for lineage is in the environment.
    let mut stage = told_to("http://127.0.0.1:9").await;
    let routes = r#"version: 1
targets:
  weak: { account: "222222222222", region: eu-west-1, starter_role: s, external_id: short-5b7e }
routes:
  - { name: one, bucket: landing, key: "one/*", start: { target: weak, job: one } }
"#;
    stage.reroute(routes);
    for code in ["external_id_short", "lineage_api_key_in_environment"] {
        let told = lines("code", code);
        assert!(told.iter().any(|line| line["level"] == "WARN"), "{code}");
    }
    let text = log().text();
    assert!(!text.contains("short-5b7e") && !text.contains(KEY));
}

/// A clock that is this many seconds ahead.
struct Ahead(u64);

impl Clock for Ahead {
    fn now(&self) -> SystemTime {
        SystemTime::now() + Duration::from_secs(self.0)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

#[tokio::test]
async fn a_clock_that_differs_from_awss_is_told_once() {
    log();
    // No other test has a clock of its own.
    let off = || lines("code", "clock_off");
    let stage = Stage::new().await;
    clock::under(Arc::new(Ahead(2)), stage.tick()).await;
    assert_eq!(off(), [] as [Value; 0]);
    for _ in 0..2 {
        clock::under(Arc::new(Ahead(3_600)), stage.tick()).await;
    }
    let [told] = &off()[..] else { panic!("{:?}", off()) };
    assert!(told["seconds"].as_u64() > Some(3_590) && told["level"] == "WARN", "{told}");
}
