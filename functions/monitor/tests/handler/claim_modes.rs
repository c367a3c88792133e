//! Batches that need not be claimed, and jobs whose runs Glue repeats by itself.

use landfall_core::batch::{Batch, Started, State, Why};
use landfall_core::moment::Time;
use landfall_stand_ins::{Act, Run};
use serde_json::{Value, json};

use crate::stage::{Stage, WINDOW, history, past};

const NONE: [&str; 0] = [];

const ROUTES: &str = r#"version: 1
targets:
  analytics: { account: "222222222222", region: eu-west-1, starter_role: landfall-starter }
routes:
  - name: plain
    bucket: landing
    key: "plain/{name}"
    batch: { by: [name] }
    start:
      target: analytics
      job: plain
      claim: optional
      max_concurrent_runs: 1
      retry: { attempts: 2, states: [FAILED] }
"#;

/// A route whose job need not claim, and of which Glue repeats a run so often.
async fn stage(max_retries: i32) -> Stage {
    let mut stage = Stage::new().await;
    stage.reroute(ROUTES);
    stage.aws.job("plain", max_retries);
    stage.arrive(&["plain/x"]).await;
    stage
}

/// Ends the newest run with this state, without any claim, and lets the monitor learn of it by its event.
async fn ends(stage: &Stage, state: &str) {
    let run = newest(stage);
    assert!(stage.aws.set_run_state(&run.id, state));
    assert_eq!(stage.told(&[&run]).await, NONE);
}

fn newest(stage: &Stage) -> Run {
    stage.running("plain").pop().expect("one goes on")
}

/// The end of each start's window lies in the past from now on.
async fn long_after(stage: &Stage) {
    let batch = stage.batch().await;
    let State::Starting(mut start) = batch.state.clone() else { panic!("{batch:?}") };
    let before = |time: Time| time - WINDOW * 2;
    (start.t0, start.lease, start.look_at) = (before(start.t0), before(start.lease), past(1));
    stage.write(Batch { state: State::Starting(start), ..batch }).await;
}

fn answered(body: &Value) -> Act {
    Act::Answer { status: 200, body: body.to_string() }
}

#[tokio::test]
async fn an_only_run_that_never_claims_is_the_success_of_its_batch_and_counted_as_one() {
    let stage = stage(0).await;
    ends(&stage, "SUCCEEDED").await;
    let batch = stage.batch().await;
    let succeeded = State::Succeeded { run_id: "jr_1".to_owned(), claimed: false };
    assert_eq!((&batch.state, batch.v, stage.live("plain").await), (&succeeded, 3, 0));
    let sums = ["JobRunsSucceeded", "JobRunsSucceededUnclaimed", "JobRunsFailed"];
    assert_eq!(sums.map(|metric| stage.sum(metric)), [1, 1, 0]);
    assert_eq!(stage.codes(), [].into());
}

#[tokio::test]
async fn a_run_that_claims_where_it_need_not_is_judged_by_its_claim() {
    let stage = stage(0).await;
    let run = newest(&stage);
    stage.end(&run, "SUCCEEDED").await;
    assert_eq!(stage.told(&[&run]).await, NONE);
    let batch = stage.batch().await;
    assert_eq!(batch.state, State::Succeeded { run_id: run.id, claimed: true });
    assert_eq!((stage.sum("JobRunsSucceeded"), stage.sum("JobRunsSucceededUnclaimed")), (1, 0));
}

#[tokio::test]
async fn a_run_that_failed_and_one_after_it_that_succeeded_are_a_success_without_a_claim() {
    let stage = stage(0).await;
    ends(&stage, "FAILED").await;
    let batch = stage.batch().await;
    assert_eq!((batch.state.name(), batch.failures, batch.accounted), ("sealed", 1, 1));
    stage.make_due(batch).await;
    assert_eq!((stage.tick().await.due, stage.starts()), (1, 2));
    ends(&stage, "SUCCEEDED").await;
    let batch = stage.batch().await;
    assert_eq!(batch.state, State::Succeeded { run_id: "jr_2".to_owned(), claimed: false });
    assert_eq!((stage.sum("JobRunsFailed"), stage.sum("JobRunsSucceededUnclaimed")), (1, 1));
}

/// The answer to a start is lost, Glue hides the run for longer than the window, and a second run begins.
#[tokio::test]
async fn a_batch_of_two_runs_of_which_none_claimed_is_parked_whatever_they_did() {
    for state in ["SUCCEEDED", "FAILED"] {
        let mut stage = Stage::new().await;
        stage.reroute(ROUTES);
        stage.aws.job("plain", 0);
        stage.aws.answer("StartJobRun", |_, number| match number {
            0 => Act::DropAfter,
            _ => Act::Serve,
        });
        stage.arrive(&["plain/x"]).await;
        stage.aws.answer("GetJobRuns", |_, _| answered(&json!({ "JobRuns": [] })));
        long_after(&stage).await;
        assert_eq!(stage.tick().await.due, 1);
        let batch = stage.batch().await;
        assert_eq!((batch.state.name(), batch.accounted), ("started", 0), "{batch:?}");
        assert_eq!(stage.running("plain").len(), 2, "both are at work");
        ends(&stage, state).await;
        let batch = stage.batch().await;
        let State::Parked { why: Why::OutcomeUnknown, message } = &batch.state else {
            panic!("{batch:?}")
        };
        let expected = format!("run `jr_2` is {state}, no run of the batch has claimed it");
        assert!(message.starts_with(&expected) && message.contains("epoch 1"), "{message}");
        assert_eq!(stage.codes()["outcome_unknown"], 1);
        assert_eq!((stage.sum("JobRunsSucceeded"), stage.live("plain").await), (0, 0));
        // Whoever looked at the runs returns it, and the next run is judged alone.
        stage.write(batch.returned(past(0)).expect("parked")).await;
        assert_eq!(stage.tick().await.due, 1);
        ends(&stage, "SUCCEEDED").await;
        let batch = stage.batch().await;
        assert_eq!(batch.state, State::Succeeded { run_id: "jr_3".to_owned(), claimed: false });
    }
}

#[tokio::test]
async fn a_run_that_glue_repeats_is_followed_to_its_last_attempt_as_one_run_in_one_slot() {
    let stage = stage(2).await;
    assert_eq!(stage.starts(), 1, "such a job is started");
    for (attempt, run_state) in ["FAILED", "ERROR"].into_iter().enumerate() {
        ends(&stage, run_state).await;
        let batch = stage.batch().await;
        let State::Started(Started { epoch: 1, run_id, .. }) = &batch.state else {
            panic!("{batch:?}")
        };
        assert_eq!(*run_id, format!("jr_1_attempt_{}", attempt + 1));
        assert_eq!((batch.failures, batch.runs.len(), stage.live("plain").await), (0, 1, 1));
    }
    // A late event of an attempt before it changes nothing.
    let first = stage.aws.runs("plain").remove(0);
    assert_eq!(stage.told(&[&first]).await, NONE);
    assert_eq!(stage.batch().await.state.name(), "started");
    ends(&stage, "SUCCEEDED").await;
    let batch = stage.batch().await;
    let run_id = "jr_1_attempt_2".to_owned();
    assert_eq!(batch.state, State::Succeeded { run_id, claimed: false });
    assert_eq!(history(&batch)[2..], ["starting", "started", "repeated", "repeated", "succeeded"]);
    assert_eq!((stage.starts(), stage.live("plain").await), (1, 0));
    let sums = ["JobRunsFailed", "JobRunsSucceeded"];
    assert_eq!(sums.map(|metric| stage.sum(metric)), [0, 1]);
}

#[tokio::test]
async fn attempts_that_all_failed_are_one_failed_run_that_landfall_retries() {
    let stage = stage(1).await;
    for run_state in ["FAILED", "FAILED"] {
        ends(&stage, run_state).await;
    }
    let batch = stage.batch().await;
    assert_eq!((batch.state.name(), batch.failures, batch.accounted), ("sealed", 1, 1));
    assert_eq!((stage.sum("JobRunsFailed"), stage.live("plain").await), (1, 0));
    stage.make_due(batch).await;
    assert_eq!((stage.tick().await.due, stage.starts()), (1, 2));
    assert_eq!(newest(&stage).arguments["--landfall-epoch"], "2");
}

/// What somebody stopped is over, and so is a run of a job that is gone.
#[tokio::test]
async fn a_run_that_glue_does_not_repeat_is_not_waited_for() {
    let stage = stage(1).await;
    ends(&stage, "STOPPED").await;
    assert_eq!(stage.aws.calls_of("GetJob").len(), 0);
    let stage = self::stage(1).await;
    let gone = Act::Fail { status: 400, code: "EntityNotFoundException" };
    stage.aws.answer("GetJob", move |_, _| gone.clone());
    let hidden = Act::Fail { status: 400, code: "EntityNotFoundException" };
    stage.aws.answer("GetJobRun", move |call, _| {
        if call.body["RunId"] == "jr_1_attempt_1" { hidden.clone() } else { Act::Serve }
    });
    ends(&stage, "FAILED").await;
    assert_eq!((stage.batch().await.state.name(), stage.batch().await.failures), ("sealed", 1));
}

#[tokio::test]
async fn an_attempt_that_glue_does_not_show_is_waited_for_in_its_slot_and_parks_the_batch_after_the_window()
 {
    let stage = stage(1).await;
    let hidden = Act::Fail { status: 400, code: "EntityNotFoundException" };
    stage.aws.answer("GetJobRun", move |call, _| {
        if call.body["RunId"] == "jr_1_attempt_1" { hidden.clone() } else { Act::Serve }
    });
    ends(&stage, "FAILED").await;
    stage.arrive(&["plain/y"]).await;
    let first = || async { stage.batches().await.remove(0) };
    let batch = stage.make_due(first().await).await;
    assert_eq!((batch.state.name(), batch.holds_slot), ("started", true));
    assert_eq!(stage.tick().await.due, 1);
    assert_eq!((stage.starts(), stage.live("plain").await), (1, 1), "the other batch waits");
    assert_eq!(stage.sum("JobRunsFailed"), 0);
    // An event of the attempt wakes the batch, although it is not followed yet.
    let attempt = newest(&stage);
    assert_eq!(attempt.id, "jr_1_attempt_1");
    let revision = first().await.revision;
    assert_eq!(stage.told(&[&attempt]).await, NONE);
    assert!(first().await.revision > revision);
    let batch = first().await;
    let State::Started(mut run) = batch.state.clone() else { panic!("{batch:?}") };
    let repeat = run.repeat.as_mut().expect("it is awaited");
    repeat.awaited_since = Some(past(WINDOW.as_secs()));
    stage.make_due(Batch { state: State::Started(run), ..batch }).await;
    stage.tick().await;
    let batch = first().await;
    assert!(matches!(batch.state, State::Parked { why: Why::OutcomeUnknown, .. }), "{batch:?}");
    assert!(!batch.holds_slot);
}

/// What Glue bills for an attempt counts once, however often the attempt is looked at.
#[tokio::test]
async fn each_attempt_is_billed_once() {
    let stage = stage(1).await;
    let hidden = Act::Fail { status: 400, code: "EntityNotFoundException" };
    stage.aws.answer("GetJobRun", move |call, number| match call.body["RunId"].as_str() {
        Some("jr_1") => answered(&json!({ "JobRun": {
            "Id": "jr_1", "JobRunState": "FAILED", "DPUSeconds": 7.5,
        } })),
        _ if number < 6 => hidden.clone(),
        _ => Act::Serve,
    });
    ends(&stage, "FAILED").await;
    for _ in 0..3 {
        stage.make_due(stage.batch().await).await;
        stage.tick().await;
    }
    let batch = stage.batch().await;
    assert_eq!(batch.runs[0].run_id, "jr_1_attempt_1", "{batch:?}");
    let billed: Vec<_> =
        stage.metrics().iter().filter_map(|line| line.get("DpuSeconds").cloned()).collect();
    assert_eq!(billed, [json!(7.5)]);
}

/// Glue's Spark shows a run that left with `SystemExit` as failed.
#[tokio::test]
async fn a_run_that_lost_the_claim_and_is_shown_as_failed_is_no_failed_run() {
    let stage = Stage::new().await;
    stage.aws.answer("StartJobRun", |_, number| match number {
        0 => Act::DropAfter,
        _ => Act::Serve,
    });
    stage.arrive(&["retried/x"]).await;
    stage.aws.answer("GetJobRuns", |_, number| match number {
        0 => answered(&json!({ "JobRuns": [] })),
        _ => Act::Serve,
    });
    long_after(&stage).await;
    assert_eq!(stage.tick().await.due, 1);
    let [first, second] = &stage.running("retried")[..] else { panic!("two are at work") };
    stage.claim(first).await;
    assert!(stage.aws.set_run_state(&second.id, "FAILED"));
    assert_eq!(stage.told(&[second]).await, NONE);
    let batch = stage.batch().await;
    assert!(matches!(&batch.state, State::Started(Started { epoch: 1, .. })), "{batch:?}");
    assert!(stage.aws.set_run_state(&first.id, "SUCCEEDED"));
    assert_eq!(stage.told(&[first]).await, NONE);
    let batch = stage.batch().await;
    assert_eq!(batch.state, State::Succeeded { run_id: first.id.clone(), claimed: true });
    assert_eq!((batch.failures, stage.sum("JobRunsFailed")), (0, 0));
    assert!(
        stage.codes().keys().all(|code| code == "start_outcome_unknown"),
        "{:?}",
        stage.codes()
    );
}

#[tokio::test]
async fn a_batch_on_its_way_keeps_its_claim_mode_when_the_route_gets_another() {
    let mut stage = Stage::new().await;
    stage.reroute(&ROUTES.replace("      claim: optional\n", ""));
    stage.arrive(&["plain/x"]).await;
    stage.reroute(ROUTES);
    ends(&stage, "SUCCEEDED").await;
    let batch = stage.batch().await;
    assert!(matches!(batch.state, State::Parked { why: Why::NotClaimed, .. }), "{batch:?}");
    assert_eq!(batch.v, 1, "as the version before wrote it");
}
