//! Starts whose outcome nobody knows.

use landfall_core::batch::{Batch, Missing, Started, Starting, State, Why};
use landfall_stand_ins::Act;

use crate::stage::{Stage, WINDOW, history, past};

const LOST: Act = Act::Fail { status: 500, code: "InternalServiceException" };
const LOST_AFTERWARDS: Act = Act::ServeThenFail { status: 500, code: "InternalServiceException" };

/// Makes a batch whose first start got this answer. The lease of the start ended `secs` ago.
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
        .write(Batch {
            state: State::Starting(Starting { t0: lease, lease, look_at: lease, missing: None }),
            ..batch
        })
        .await
}

#[tokio::test]
async fn a_start_whose_answer_was_lost_is_found_and_followed() {
    let stage = Stage::new().await;
    let batch = starting(&stage, LOST_AFTERWARDS, 1).await;
    let run = stage.run("orders");
    stage.tick().await;
    let batch = stage.again(&batch).await;
    let State::Started(Started { epoch: 1, run_id, .. }) = &batch.state else {
        panic!("{batch:?}")
    };
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
    let State::Starting(Starting { t0, look_at, .. }) = batch.state else { panic!("{batch:?}") };
    let lease = past(0) + std::time::Duration::from_secs(30);
    let batch = stage
        .write(Batch {
            state: State::Starting(Starting { t0, lease, look_at, missing: None }),
            ..batch
        })
        .await;
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

/// A run of that time that doesn't say what it was started for.
const SILENT: &str = r#"{"JobRuns":[{"Id":"jr_7","JobName":"orders","JobRunState":"RUNNING"}]}"#;

#[tokio::test]
async fn a_start_is_never_repeated_while_glue_does_not_say_what_it_started() {
    let stage = Stage::new().await;
    let answer = Act::Answer { status: 200, body: SILENT.to_owned() };
    stage.aws.answer("GetJobRuns", move |_, _| answer.clone());
    let secs = WINDOW.as_secs();
    let batch = starting(&stage, LOST, secs + 1).await;
    stage.tick().await;
    let batch = stage.again(&batch).await;
    assert_eq!((batch.state.name(), stage.starts()), ("starting", 1));
    // One more such answer is not yet reason enough, however long ago the first one was.
    let batch = begun_before(&stage, batch, 2 * secs + 1).await;
    stage.tick().await;
    let batch = stage.again(&batch).await;
    assert_eq!((batch.state.name(), stage.starts()), ("starting", 1));
    let batch = begun_before(&stage, batch, 2 * secs + 1).await;
    stage.tick().await;
    let batch = stage.again(&batch).await;
    let is_parked = matches!(batch.state, State::Parked { why: Why::OutcomeUnknown, .. });
    assert!(is_parked, "{batch:?}");
    assert_eq!((stage.tick().await.due, stage.starts()), (0, 1));
    let codes = [("runs_not_clear".to_owned(), 2), ("outcome_unknown".to_owned(), 1)];
    assert_eq!(stage.codes(), codes.into());
}

/// Makes the batch look as if the lease of its start had ended this many seconds ago, and as if
/// Glue's first answer that left it open had come right then.
async fn begun_before(stage: &Stage, batch: Batch, secs: u64) -> Batch {
    let lease = past(secs);
    let State::Starting(Starting { missing, .. }) = batch.state else { panic!("{batch:?}") };
    let missing = missing.map(|missing| Missing { since: lease, ..missing });
    let state = State::Starting(Starting { t0: lease, lease, look_at: lease, missing });
    stage.write(Batch { state, ..batch }).await
}

const DAY: u64 = 86_400;

#[tokio::test]
async fn an_outage_of_glue_parks_nothing_and_what_was_tried_goes_on_once_it_is_over() {
    let refusals = [
        Act::Fail { status: 400, code: "AccessDeniedException" },
        Act::Fail { status: 400, code: "ThrottlingException" },
        Act::Fail { status: 503, code: "ServiceUnavailableException" },
    ];
    for (refusal, has_run) in refusals.into_iter().flat_map(|r| [(r.clone(), true), (r, false)]) {
        let mut stage = Stage::new().await;
        let batch = starting(&stage, if has_run { LOST_AFTERWARDS } else { LOST }, 1).await;
        let given = refusal.clone();
        stage.aws.answer("GetJobRuns", move |_, _| given.clone());
        let mut batch = batch;
        for secs in [1, 3_600, 30 * DAY, 80 * DAY, 80 * DAY, 80 * DAY] {
            batch = begun_before(&stage, batch, secs).await;
            stage.renew_monitor();
            stage.tick().await;
            batch = stage.again(&batch).await;
            assert_eq!((batch.state.name(), stage.starts()), ("starting", 1), "{refusal:?}");
        }
        assert!(batch.is_stuck(), "somebody is told: {batch:?}");
        assert_eq!(stage.codes(), [("runs_not_seen".to_owned(), 6)].into(), "{refusal:?}");
        stage.aws.clear_rules();
        stage.renew_monitor();
        begun_before(&stage, batch.clone(), 3_600).await;
        stage.tick().await;
        let batch = stage.again(&batch).await;
        let starts = if has_run { 1 } else { 2 };
        assert_eq!((batch.state.name(), stage.starts()), ("started", starts), "{refusal:?}");
    }
}

#[tokio::test]
async fn what_was_tried_longer_ago_than_glue_remembers_is_parked_and_not_started_again() {
    let stage = Stage::new().await;
    let batch = starting(&stage, LOST, 89 * DAY + 1).await;
    stage.tick().await;
    let batch = stage.again(&batch).await;
    let is_parked = matches!(batch.state, State::Parked { why: Why::OutcomeUnknown, .. });
    assert!(is_parked && stage.starts() == 1, "{batch:?}");
}

#[tokio::test]
async fn many_batches_that_look_for_their_runs_share_a_search() {
    let stage = Stage::new().await;
    stage.aws.answer("StartJobRun", |_, _| LOST_AFTERWARDS);
    for n in 0..30 {
        stage.arrive(&[&format!("orders/{n}/a")]).await;
    }
    for batch in stage.batches().await {
        begun_before(&stage, batch, 1).await;
    }
    assert_eq!(stage.tick().await.due, 30);
    let batches = stage.batches().await;
    assert!(batches.iter().all(|batch| batch.state.name() == "started"), "{batches:?}");
    assert_eq!((stage.aws.calls_of("GetJobRuns").len(), stage.starts()), (1, 30));
}

/// Otherwise each batch would wait until its call times out, and the tick would end before it
/// reached most of them.
#[tokio::test]
async fn a_glue_that_does_not_answer_is_waited_for_once_and_nothing_is_started_meanwhile() {
    let stage = Stage::new().await;
    stage.aws.answer("StartJobRun", |_, _| LOST);
    for n in 0..30 {
        stage.arrive(&[&format!("orders/{n}/a")]).await;
    }
    for batch in stage.batches().await {
        begun_before(&stage, batch, 1).await;
    }
    for n in 30..60 {
        stage.record(&[&format!("orders/{n}/a")]).await;
    }
    stage.aws.answer("GetJobRuns", |_, _| Act::Fail { status: 400, code: "ThrottlingException" });
    stage.aws.answer("GetJob", |_, _| Act::Fail { status: 400, code: "ThrottlingException" });
    stage.aws.clear_calls();
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, ticked.left), (60, 0));
    let asked = |operation: &str| stage.aws.calls_of(operation).len();
    let (searches, starts) = (asked("GetJobRuns"), asked("StartJobRun"));
    assert!(searches <= 3 && asked("GetJob") <= 3 && starts == 0, "{searches} {starts}");
    let states = stage.batches().await.into_iter().map(|batch| batch.state.name());
    let states: Vec<&str> = states.collect();
    assert_eq!(states.iter().filter(|name| **name == "starting").count(), 30);
    assert_eq!(states.iter().filter(|name| **name == "sealed").count(), 30);
}

#[tokio::test]
async fn a_run_that_glue_does_not_know_for_a_moment_is_followed_on() {
    let stage = Stage::new().await;
    stage.arrive(&["single/1"]).await;
    let unknown = Act::Fail { status: 400, code: "EntityNotFoundException" };
    stage.aws.answer("GetJobRun", move |_, number| match number {
        1 | 2 => unknown.clone(),
        _ => Act::Serve,
    });
    for _ in 0..4 {
        let batch = stage.batch().await;
        let State::Started(Started { epoch, run_id, look_at, missing, .. }) = batch.state.clone()
        else {
            panic!("{batch:?}")
        };
        let since = past(7_200);
        let state =
            State::Started(Started { epoch, run_id, since, look_at, missing, repeat: None });
        stage.make_due(Batch { state, ..batch }).await;
        stage.tick().await;
    }
    let batch = stage.batch().await;
    let is_followed = matches!(batch.state, State::Started(Started { missing: None, .. }));
    assert!(is_followed && batch.holds_slot, "{batch:?}");
    assert_eq!(stage.live("single").await, 1);
}

/// The manifest was written earlier, and has expired.
#[tokio::test]
async fn a_batch_that_is_returned_after_its_manifest_expired_is_prepared_anew() {
    let stage = Stage::new().await;
    stage.aws.answer("StartJobRun", |_, number| match number {
        0 => Act::Fail { status: 400, code: "InvalidInputException" },
        _ => Act::Serve,
    });
    stage.arrive(&["orders/1/a"]).await;
    let batch = stage.batch().await;
    assert_eq!((batch.state.name(), batch.prepared.is_some()), ("parked", true));
    let puts = || stage.aws.calls_of("PutObject").len();
    assert_eq!(puts(), 1);
    let (opened_at, prepared_at) = (past(400 * DAY), Some(past(60 * DAY)));
    let returned = Batch { opened_at, prepared_at, ..batch.returned(past(1)).expect("parked") };
    stage.write(returned).await;
    stage.tick().await;
    assert_eq!((stage.batch().await.state.name(), puts()), ("started", 2));
}

/// Glue's message repeats the request.
#[tokio::test]
async fn a_message_without_bound_is_cut_and_the_batch_can_always_be_written() {
    let mut stage = Stage::new().await;
    for number in 0..60 {
        let long = format!("{number}{}", "\u{1}".repeat(52_000));
        let body = serde_json::json!({ "__type": "SomeException", "Message": long }).to_string();
        stage
            .aws
            .answer("StartJobRun", move |_, _| Act::Answer { status: 400, body: body.clone() });
        match number {
            0 => stage.arrive(&["orders/1/a"]).await,
            _ => {
                stage.make_due(stage.batch().await).await;
                stage.renew_monitor();
                stage.tick().await;
            }
        }
        let batch = stage.batch().await;
        assert_eq!((batch.state.name(), stage.starts()), ("sealed", number + 1));
        let last = batch.history.last().expect("a history");
        assert!(last.detail.len() <= 2_048 && last.detail.contains("SomeException"), "{last:?}");
    }
    stage.aws.clear_rules();
    stage.make_due(stage.batch().await).await;
    stage.tick().await;
    assert_eq!(stage.batch().await.state.name(), "started");
}
