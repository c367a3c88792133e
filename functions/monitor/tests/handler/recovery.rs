//! Starts of which nobody knows whether they took effect.

use landfall_core::batch::{Batch, State, Why};
use landfall_stand_ins::Act;

use crate::stage::{Stage, WINDOW, history, past};

const LOST: Act = Act::Fail { status: 500, code: "InternalServiceException" };
const LOST_AFTERWARDS: Act = Act::ServeThenFail { status: 500, code: "InternalServiceException" };

/// A batch whose first start was answered so; the lease of it ended `secs` ago.
async fn starting(stage: &Stage, answer: Act, secs: u64) -> Batch {
    stage.aws.answer("StartJobRun", move |_, number| match number {
        0 => answer.clone(),
        _ => Act::Serve,
    });
    stage.arrive(&["orders/x/a"]).await;
    let batch = stage.batch().await;
    assert_eq!((batch.state.name(), stage.starts()), ("starting", 1));
    let lease = past(secs);
    stage
        .write(Batch { state: State::Starting { t0: lease, lease, look_at: lease }, ..batch })
        .await
}

#[tokio::test]
async fn a_start_whose_answer_was_lost_is_found_and_followed() {
    let stage = Stage::new().await;
    let batch = starting(&stage, LOST_AFTERWARDS, 1).await;
    let run = stage.run("orders");
    stage.tick().await;
    let batch = stage.again(&batch).await;
    let State::Started { epoch: 1, run_id, .. } = &batch.state else { panic!("{batch:?}") };
    assert_eq!((run_id, stage.starts()), (&run.id, 1));
    stage.end(&run, "SUCCEEDED").await;
    assert_eq!(stage.told(&[&run]).await, [""; 0]);
    assert_eq!(stage.again(&batch).await.state.name(), "succeeded");
}

#[tokio::test]
async fn a_start_whose_run_has_ended_meanwhile_is_found_and_its_outcome_counts() {
    let stage = Stage::new().await;
    let batch = starting(&stage, LOST_AFTERWARDS, WINDOW.as_secs() * 3).await;
    stage.end(&stage.run("orders"), "SUCCEEDED").await;
    stage.tick().await;
    stage.make_due(stage.again(&batch).await).await;
    stage.tick().await;
    assert_eq!((stage.again(&batch).await.state.name(), stage.starts()), ("succeeded", 1));
}

#[tokio::test]
async fn a_start_whose_caller_may_still_be_at_it_is_left_alone() {
    let stage = Stage::new().await;
    let batch = starting(&stage, LOST, 1).await;
    let State::Starting { t0, look_at, .. } = batch.state else { panic!("{batch:?}") };
    let lease = past(0) + std::time::Duration::from_secs(30);
    let batch = stage.write(Batch { state: State::Starting { t0, lease, look_at }, ..batch }).await;
    assert_eq!(stage.tick().await.due, 1);
    assert_eq!(stage.again(&batch).await, batch);
    assert_eq!((stage.aws.calls_of("GetJobRuns").len(), stage.starts()), (0, 1));
}

#[tokio::test]
async fn a_run_that_is_not_seen_within_the_window_is_waited_for() {
    let stage = Stage::new().await;
    let batch = starting(&stage, LOST, WINDOW.as_secs() / 2).await;
    stage.tick().await;
    let batch = stage.again(&batch).await;
    assert_eq!((batch.state.name(), batch.epoch, stage.starts()), ("starting", 1, 1));
    assert_eq!(stage.aws.calls_of("GetJobRuns").len(), 1);
    assert!(batch.due() > Some(past(0)), "{batch:?}");
}

#[tokio::test]
async fn a_run_that_is_not_seen_after_the_window_is_started_by_the_next_epoch() {
    let stage = Stage::new().await;
    let batch = starting(&stage, LOST, WINDOW.as_secs() + 1).await;
    stage.tick().await;
    let batch = stage.again(&batch).await;
    assert_eq!((batch.state.name(), batch.epoch, stage.starts()), ("started", 2, 2));
    let run = stage.run("orders");
    assert_eq!(run.arguments["--landfall-epoch"], "2");
    assert_eq!(run.arguments["--landfall-batch-id"], batch.id);
    assert!(history(&batch).ends_with(&["not_started", "starting", "started"]), "{batch:?}");
}

#[tokio::test]
async fn a_start_is_never_repeated_while_glue_does_not_say_what_it_started() {
    let unclear = [
        Act::Fail { status: 400, code: "AccessDeniedException" },
        // A run of that time which does not tell what it was started for.
        Act::Answer {
            status: 200,
            body: r#"{"JobRuns":[{"Id":"jr_7","JobName":"orders","JobRunState":"RUNNING"}]}"#
                .to_owned(),
        },
    ];
    for answer in unclear {
        let stage = Stage::new().await;
        let given = answer.clone();
        stage.aws.answer("GetJobRuns", move |_, _| given.clone());
        let secs = WINDOW.as_secs();
        let batch = starting(&stage, LOST, secs + 1).await;
        stage.tick().await;
        let batch = stage.again(&batch).await;
        assert_eq!((batch.state.name(), stage.starts()), ("starting", 1), "{answer:?}");
        let lease = past(2 * secs + 1);
        let state = State::Starting { t0: lease, lease, look_at: lease };
        let batch = stage.write(Batch { state, ..batch }).await;
        stage.tick().await;
        let batch = stage.again(&batch).await;
        let is_parked = matches!(batch.state, State::Parked { why: Why::OutcomeUnknown, .. });
        assert!(is_parked, "{answer:?}: {batch:?}");
        assert_eq!((stage.tick().await.due, stage.starts()), (0, 1), "{answer:?}");
        let codes = [("runs_not_clear".to_owned(), 1), ("outcome_unknown".to_owned(), 1)];
        assert_eq!(stage.codes(), codes.into());
    }
}
