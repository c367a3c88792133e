//! What the end of a run means for its batch.

use landfall_aws::clock::now;
use landfall_core::batch::{Batch, Failed, RunState, Started, Starting, State, Why};
use landfall_stand_ins::{Act, Run};

use crate::stage::{Stage, WINDOW, history, past};

const NONE: [&str; 0] = [];

/// How the monitor learns of a run's end.
const BY_EVENT: [bool; 2] = [true, false];

/// Ends the run of the batch's last start with this state, and lets the monitor learn of it.
async fn ends(stage: &Stage, state: &str, by_event: bool) {
    let running = stage.running("retried");
    stage.end(&running[0], state).await;
    learns(stage, by_event).await;
}

async fn learns(stage: &Stage, by_event: bool) {
    let batch = stage.batch().await;
    let State::Started(Started { run_id, .. }) = &batch.state else { panic!("{batch:?}") };
    if by_event {
        let runs = stage.aws.runs(&batch.start.job);
        let run = runs.iter().find(|run| run.id == *run_id).expect("it is there");
        assert_eq!(stage.told(&[run]).await, NONE);
    } else {
        stage.make_due(batch).await;
        assert_eq!(stage.tick().await.due, 1);
    }
}

#[tokio::test]
async fn a_batch_whose_run_succeeds_with_the_claim_has_succeeded() {
    for by_event in BY_EVENT {
        let stage = Stage::new().await;
        stage.arrive(&["retried/x"]).await;
        ends(&stage, "SUCCEEDED", by_event).await;
        let batch = stage.batch().await;
        assert_eq!(batch.state, State::Succeeded { run_id: "jr_1".to_owned(), claimed: true });
        assert_eq!((stage.tick().await.due, stage.starts()), (0, 1));
        let item = stage.aws.item("ledger", &[&format!("batch#{}", batch.id), "batch"]);
        assert!(item.expect("it is there")["expires"].is_object(), "it is kept for some time");
    }
}

#[tokio::test]
async fn a_run_that_succeeded_without_the_claim_parks_its_batch() {
    for by_event in BY_EVENT {
        let stage = Stage::new().await;
        stage.arrive(&["retried/x"]).await;
        assert!(stage.aws.set_run_state("jr_1", "SUCCEEDED"));
        learns(&stage, by_event).await;
        let batch = stage.batch().await;
        assert!(matches!(batch.state, State::Parked { why: Why::NotClaimed, .. }), "{batch:?}");
        assert_eq!(stage.codes(), [("not_claimed".to_owned(), 1)].into());
    }
}

#[tokio::test]
async fn a_run_that_goes_on_is_looked_at_again_later() {
    let stage = Stage::new().await;
    stage.arrive(&["retried/x"]).await;
    let before = stage.make_due(stage.batch().await).await;
    assert_eq!(stage.tick().await.due, 1);
    let batch = stage.batch().await;
    assert_eq!((batch.state.name(), history(&batch)), ("started", history(&before)));
    assert!(batch.due() > Some(now()), "{batch:?}");
}

#[tokio::test]
async fn a_failed_run_is_retried_as_often_as_the_route_says_then_parked_and_started_when_returned()
{
    for by_event in BY_EVENT {
        let stage = Stage::new().await;
        stage.arrive(&["retried/x"]).await;
        ends(&stage, "FAILED", by_event).await;
        let batch = stage.batch().await;
        assert_eq!((batch.state.name(), batch.failures), ("sealed", 1));
        assert!(batch.due() > Some(now()), "not at once: {batch:?}");
        stage.make_due(batch).await;
        assert_eq!((stage.tick().await.due, stage.starts()), (1, 2));
        assert_eq!(stage.running("retried")[0].arguments["--landfall-epoch"], "2");
        ends(&stage, "FAILED", by_event).await;
        let batch = stage.batch().await;
        let State::Parked { why: Why::AttemptsExhausted, message } = &batch.state else {
            panic!("{batch:?}")
        };
        assert_eq!(message, "run `jr_2` is FAILED");
        assert_eq!(stage.codes(), [("attempts_exhausted".to_owned(), 1)].into());
        let ticked = stage.tick().await;
        assert_eq!((ticked.due, ticked.parked, stage.starts()), (0, 1, 2), "nobody returned it");
        stage.write(batch.returned(now()).expect("it is parked")).await;
        let ticked = stage.tick().await;
        assert_eq!((ticked.due, ticked.parked, stage.starts()), (1, 0, 3));
        ends(&stage, "SUCCEEDED", by_event).await;
        let batch = stage.batch().await;
        assert_eq!(batch.state, State::Succeeded { run_id: "jr_3".to_owned(), claimed: true });
        let expected = [
            "opened",
            "sealed",
            "starting",
            "started",
            "failed",
            "retried",
            "starting",
            "started",
            "failed",
            "parked",
            "returned",
            "starting",
            "started",
            "succeeded",
        ];
        assert_eq!(history(&batch), expected);
    }
}

#[tokio::test]
async fn why_a_run_failed_is_kept_in_the_ledger_and_goes_into_no_metric() {
    for by_event in BY_EVENT {
        let stage = Stage::new().await;
        stage.arrive(&["retried/x"]).await;
        assert!(stage.aws.fail_run("jr_1", "ValueError: no column `id`"));
        learns(&stage, by_event).await;
        let batch = stage.batch().await;
        let told = (batch.state.name(), batch.runs[0].error.as_deref());
        assert_eq!(told, ("sealed", Some("ValueError: no column `id`")));
        stage.make_due(batch).await;
        stage.tick().await;
        assert!(stage.aws.fail_run("jr_2", "MemoryError"));
        learns(&stage, by_event).await;
        let batch = stage.batch().await;
        let errors: Vec<_> = batch.runs.iter().map(|run| run.error.as_deref()).collect();
        assert_eq!(batch.state.name(), "parked");
        assert_eq!(errors, [Some("ValueError: no column `id`"), Some("MemoryError")]);
        let metrics = format!("{:?}", stage.metrics());
        assert!(!metrics.contains("Error: no") && !metrics.contains("MemoryError"), "{metrics}");
    }
}

#[tokio::test]
async fn a_run_that_ends_as_the_route_does_not_retry_parks_its_batch() {
    for state in ["TIMEOUT", "STOPPED", "ERROR", "EXPIRED"] {
        let stage = Stage::new().await;
        stage.arrive(&["retried/x"]).await;
        ends(&stage, state, true).await;
        let batch = stage.batch().await;
        let is_parked = matches!(batch.state, State::Parked { why: Why::StateNotRetried, .. });
        assert!(is_parked, "{batch:?}");
        assert_eq!((stage.tick().await.due, stage.starts()), (0, 1), "{state}");
    }
}

#[tokio::test]
async fn the_run_after_one_that_failed_with_the_claim_can_claim_the_batch() {
    let stage = Stage::new().await;
    stage.arrive(&["retried/x"]).await;
    stage.claim(&stage.run("retried")).await;
    ends(&stage, "FAILED", true).await;
    let batch = stage.batch().await;
    let claim = stage.aws.item("claims", &[&batch.id]).expect("it is there");
    assert_eq!((&claim["epoch"]["N"], &claim["ended"]["N"]), (&"1".into(), &"1".into()));
    stage.make_due(batch).await;
    stage.tick().await;
    // The run claims the batch. Otherwise the end would count as a failure.
    ends(&stage, "SUCCEEDED", true).await;
    assert_eq!(stage.batch().await.state.name(), "succeeded");
}

#[tokio::test]
async fn a_run_that_lost_the_claim_leaves_the_outcome_to_the_run_that_holds_it() {
    let stage = Stage::new().await;
    let [first, second] = a_second_is_started(&stage, false).await;
    // The first run has the claim, so the second one leaves without effect.
    stage.claim(&first).await;
    assert!(stage.aws.set_run_state(&second.id, "SUCCEEDED"));
    assert_eq!(stage.told(&[&second]).await, NONE);
    let batch = stage.batch().await;
    assert!(matches!(&batch.state, State::Started(Started { epoch: 1, .. })), "{batch:?}");
    assert!(stage.aws.set_run_state(&first.id, "SUCCEEDED"));
    assert_eq!(stage.told(&[&first]).await, NONE);
    assert_eq!(stage.batch().await.state, State::Succeeded { run_id: first.id, claimed: true });
    assert_eq!(stage.starts(), 2);
}

/// The second run fails and releases its slot, then the first one turns out to hold the claim.
#[tokio::test]
async fn a_run_that_holds_the_claim_is_counted_when_it_is_followed_beyond_the_limit_if_need_be() {
    let stage = Stage::new().await;
    stage.arrive(&["single/1"]).await;
    stage.arrive(&["single/2"]).await;
    let [batch, other] = &stage.batches().await[..] else { panic!("two") };
    let run = stage.run("single");
    stage.claim(&run).await;
    let state = State::Failed(Failed {
        epoch: 2,
        run_id: "jr_second".to_owned(),
        run_state: RunState::Failed,
        claimed: true,
        since: past(1),
        look_at: past(1),
        missing: None,
    });
    let failed = Batch { state, epoch: 2, holds_slot: false, ..batch.clone() };
    stage.ledger.write_counted(failed).await.expect("the ledger").expect("nobody else writes it");
    assert_eq!(stage.live("single").await, 0);
    // The other batch takes the free slot.
    stage.make_due(other.clone()).await;
    assert_eq!(stage.tick().await.due, 2);
    let batch = stage.again(batch).await;
    assert!(matches!(&batch.state, State::Started(Started { epoch: 1, .. })) && batch.holds_slot);
    assert_eq!(stage.live("single").await, stage.running("single").len());
}

#[tokio::test]
async fn a_run_that_is_followed_again_for_its_claim_is_not_counted_as_started_twice() {
    let stage = Stage::new().await;
    let [first, second] = a_second_is_started(&stage, true).await;
    stage.claim(&first).await;
    assert!(stage.aws.set_run_state(&second.id, "SUCCEEDED"));
    assert_eq!(stage.told(&[&second]).await, NONE);
    let batch = stage.batch().await;
    assert!(matches!(&batch.state, State::Started(Started { epoch: 1, .. })), "{batch:?}");
    let last = batch.history.last().expect("a history");
    assert_eq!((last.what.as_str(), &last.detail), ("followed", &first.id));
    // The monitor started the second run. The trigger started the first.
    assert_eq!(stage.sum("JobRunsStarted"), 1);
    assert!(stage.aws.set_run_state(&first.id, "SUCCEEDED"));
    assert_eq!(stage.told(&[&first]).await, NONE);
    assert_eq!((stage.sum("JobRunsStarted"), stage.sum("JobRunsSucceeded")), (1, 1));
}

/// Starts a second run of a batch, because the first was invisible for too long. If `is_known`, the
/// ledger has the first run anyway.
async fn a_second_is_started(stage: &Stage, is_known: bool) -> [Run; 2] {
    stage.arrive(&["retried/x"]).await;
    let first = stage.run("retried");
    stage.aws.answer("GetJobRuns", |_, _| Act::Answer {
        status: 200,
        body: r#"{"JobRuns":[]}"#.to_owned(),
    });
    let batch = stage.batch().await;
    let lease = past(WINDOW.as_secs() + 1);
    let state = State::Starting(Starting { t0: lease, lease, look_at: lease, missing: None });
    let runs = if is_known { batch.runs.clone() } else { Vec::new() };
    stage.write(Batch { state, runs, ..batch }).await;
    stage.tick().await;
    stage.aws.clear_rules();
    let second = stage.running("retried").remove(1);
    assert_eq!(second.arguments["--landfall-epoch"], "2");
    [first, second]
}
