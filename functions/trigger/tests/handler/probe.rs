//! A probe: the trigger makes the calls before a start, and nothing else.

use std::time::Duration;

use landfall_core::probe::{Answer, EVENT, Outcome};
use landfall_stand_ins::{Act, Sts};
use landfall_trigger::Response;
use serde_json::Value;

use crate::stage::{EXTERNAL_ID, Stage, messages};

async fn probe(stage: &Stage, left: Duration) -> Answer {
    let event: Value = serde_json::from_str(EVENT).expect("JSON");
    match stage.invoke_with(&event, left).await.expect("an answer") {
        Response::Probe(answer) => answer,
        other => panic!("not an answer to a probe: {other:?}"),
    }
}

const ENOUGH: Duration = Duration::from_secs(60);

/// Returns the services that were called for anything that could write or start.
fn written(stage: &Stage) -> Vec<String> {
    let reads = ["AssumeRole", "GetJob"];
    let calls = stage.aws.calls().into_iter().map(|call| call.operation);
    calls.filter(|operation| !reads.contains(&operation.as_str())).collect()
}

#[tokio::test]
async fn a_probe_assumes_each_role_and_looks_at_each_job_and_does_nothing_else() {
    let stage = Stage::new().await;
    let answer = probe(&stage, ENOUGH).await;
    let jobs: Vec<&str> = answer.probes.iter().map(|probe| probe.job.as_str()).collect();
    assert_eq!(jobs, ["counted", "marked", "named", "orders", "quiet", "windowed"]);
    for probe in &answer.probes {
        assert_eq!(probe.outcome, Outcome::Works, "{probe:?}");
        assert_eq!((probe.target.as_str(), probe.account.as_str()), ("analytics", "222222222222"));
    }
    assert_eq!(stage.assumptions().len(), 1);
    assert_eq!(written(&stage), [""; 0]);
    assert_eq!((stage.batches().await.len(), stage.metrics().len()), (0, 0));
}

#[tokio::test]
async fn what_fails_in_a_probe_is_told_for_each_job_without_the_external_id() {
    let stage = Stage::new().await;
    stage.aws.answer("GetJob", |call, _| match call.body["JobName"] == "orders" {
        true => Act::Fail { status: 400, code: "AccessDeniedException" },
        false => Act::Fail { status: 400, code: "EntityNotFoundException" },
    });
    let answer = probe(&stage, ENOUGH).await;
    for probe in &answer.probes {
        match (&probe.outcome, probe.job.as_str()) {
            (Outcome::Failed { code, message }, "orders") => {
                assert_eq!(code, "job_not_seen");
                assert!(message.contains("AccessDeniedException"), "{message}");
            }
            (Outcome::NoSuchJob, job) if job != "orders" => {}
            other => panic!("{other:?}"),
        }
    }
    let stage = Stage::new().await;
    stage.aws.sts(Sts::Denies);
    let answer = probe(&stage, ENOUGH).await;
    for probe in &answer.probes {
        let Outcome::Failed { code, .. } = &probe.outcome else { panic!("{probe:?}") };
        assert_eq!(code, "assume_role_denied");
    }
    assert_eq!(stage.assumptions().len(), 1, "a refusal stands for all jobs of the role");
    let text = serde_json::to_string(&answer).expect("JSON");
    assert!(!text.contains(EXTERNAL_ID), "{text}");
    assert_eq!(written(&stage), [""; 0]);
}

#[tokio::test]
async fn a_probe_begins_nothing_that_the_time_out_could_cut_off() {
    let stage = Stage::new().await;
    let answer = probe(&stage, Duration::from_secs(1)).await;
    assert!(answer.probes.iter().all(|probe| probe.outcome == Outcome::OutOfTime), "{answer:?}");
    assert_eq!(stage.aws.calls().len(), 0);
}

#[tokio::test]
async fn a_message_of_a_queue_is_never_a_probe() {
    let stage = Stage::new().await;
    let failed = stage.failures(&messages(&[EVENT.to_owned()])).await;
    assert_eq!(failed, ["m0"]);
    assert_eq!(stage.assumptions().len(), 0);
}
