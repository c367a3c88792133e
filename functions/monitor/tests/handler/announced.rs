//! Batches that an event announces, with and without a job.

use landfall_core::batch::State;
use landfall_stand_ins::Act;
use serde_json::{Value, json};

use crate::stage::{Stage, history};

/// Returns the details of the events that were put, whatever the answer was.
pub fn details(stage: &Stage) -> Vec<Value> {
    let read = |call: &Value| {
        let [entry] = call["Entries"].as_array().expect("entries").as_slice() else {
            panic!("{call}")
        };
        assert_eq!(
            (&entry["Source"], &entry["DetailType"]),
            (&json!("landfall"), &json!("Landfall Batch Closed"))
        );
        assert_eq!(entry.get("EventBusName"), None, "the default bus");
        serde_json::from_str(entry["Detail"].as_str().expect("a text")).expect("JSON")
    };
    stage.aws.calls_of("PutEvents").iter().map(read).collect()
}

/// EventBridge's answer to an event that it does not take.
fn not_taken() -> Act {
    let entry = json!({ "ErrorCode": "InternalFailure", "ErrorMessage": "try again" });
    let body = json!({ "FailedEntryCount": 1, "Entries": [entry] }).to_string();
    Act::Answer { status: 200, body }
}

#[tokio::test]
async fn a_batch_without_a_job_is_announced_with_its_manifest_and_calls_nobody_else() {
    let stage = Stage::new().await;
    stage.arrive(&["told/a"]).await;
    let batch = stage.batch().await;
    assert_eq!((&batch.state, batch.runs.len()), (&State::Announced, 0));
    assert_eq!(history(&batch), ["opened", "sealed", "announced"]);
    let [detail] = &details(&stage)[..] else { panic!("one event") };
    assert_eq!(detail["batch_id"], batch.id);
    assert_eq!(detail["group"], json!({ "name": "a" }));
    assert_eq!((&detail["objects"], &detail["bytes"]), (&json!(1), &json!(1)));
    let key = format!("manifests/none/told/{}.json", batch.id);
    assert_eq!(detail["manifest_uri"], format!("s3://manifests/{key}"));
    let manifest = stage.aws.object("manifests", &key).expect("the manifest");
    assert!(String::from_utf8_lossy(&manifest).contains("s3://landing/told/a"));
    for operation in ["AssumeRole", "GetJob", "GetJobRuns", "StartJobRun"] {
        assert_eq!(stage.aws.calls_of(operation).len(), 0, "{operation}");
    }
    // It is over: nothing is due, and what arrives again is known.
    stage.arrive(&["told/a"]).await;
    assert_eq!(stage.tick().await.due, 0);
    assert_eq!((stage.batches().await.len(), details(&stage).len()), (1, 1));
    assert_eq!(stage.codes_of_trigger(), [].into());
}

#[tokio::test]
async fn an_event_that_eventbridge_does_not_take_is_put_again_until_it_does() {
    for (key, job) in [("told/a", None), ("announced/a", Some("announced"))] {
        let stage = Stage::new().await;
        stage.aws.answer("PutEvents", |_, number| match number {
            0 => not_taken(),
            1 => Act::Fail { status: 400, code: "AccessDeniedException" },
            _ => Act::Serve,
        });
        stage.arrive(&[key]).await;
        let batch = stage.batch().await;
        assert_eq!((batch.state.name(), batch.announced_at), ("sealed", None));
        let last = batch.history.last().expect("a history");
        assert_eq!(last.detail, "batch_not_announced: InternalFailure: try again");
        assert_eq!(stage.codes_of_trigger(), [("batch_not_announced".to_owned(), 1)].into());
        for announced in [false, true] {
            assert_eq!(stage.starts(), 0, "a job starts after its batch was announced");
            let batch = stage.batch().await;
            stage.make_due(batch).await;
            stage.tick().await;
            assert_eq!(stage.batch().await.announced_at.is_some(), announced);
        }
        assert_eq!(stage.codes(), [("batch_not_announced".to_owned(), 1)].into());
        assert_eq!(stage.sum("BatchesAnnounced"), 1);
        let said = details(&stage);
        assert!(said.len() == 3 && said.iter().all(|detail| *detail == said[0]), "{said:?}");
        let batch = stage.batch().await;
        match job {
            None => assert_eq!(batch.state, State::Announced),
            Some(job) => {
                assert_eq!((stage.aws.runs(job).len(), batch.state.name()), (1, "started"))
            }
        }
    }
}

#[tokio::test]
async fn a_job_is_announced_once_however_often_it_runs() {
    let stage = Stage::new().await;
    stage.arrive(&["announced/a"]).await;
    let run = stage.run("announced");
    stage.end(&run, "FAILED").await;
    assert!(stage.told(&[&run]).await.is_empty());
    let parked = stage.batch().await;
    assert_eq!(parked.state.name(), "parked");
    let returned = parked.returned(landfall_aws::clock::now()).expect("parked");
    stage.write(returned).await;
    stage.tick().await;
    assert_eq!((stage.starts(), details(&stage).len()), (2, 1));
}

#[tokio::test]
async fn a_batch_of_a_route_that_announces_no_more_is_announced_as_it_was_opened() {
    let mut stage = Stage::new().await;
    stage.aws.answer("PutEvents", |_, _| not_taken());
    stage.arrive(&["told/a"]).await;
    stage.aws.clear_rules();
    let batch = stage.batch().await;
    assert_eq!(batch.state.name(), "sealed");
    stage.make_due(batch).await;
    let other = "version: 1\ntargets:\n  analytics: { account: \"222222222222\", region: eu-west-1, \
                 starter_role: landfall-starter }\nroutes:\n  - name: told\n    bucket: landing\n    \
                 key: \"told/{name}\"\n    start: { target: analytics, job: told }\n";
    stage.reroute(other);
    stage.tick().await;
    assert_eq!((stage.batch().await.state, stage.starts()), (State::Announced, 0));
    assert_eq!(details(&stage).len(), 2, "the first was not taken");
}
