//! Open batches whose time to close has come.

use landfall_stand_ins::Act;

use crate::stage::{LEFT, Stage, history};

#[tokio::test]
async fn an_open_batch_whose_time_has_come_is_closed_and_started() {
    let stage = Stage::new().await;
    stage.arrive(&["marked/1/a", "marked/1/b"]).await;
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, stage.starts()), (0, 0), "its time has not come");
    let batch = stage.make_due(stage.batch().await).await;
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, ticked.left, ticked.more), (1, 0, false));
    let run = stage.run("marked");
    assert_eq!(run.arguments["--landfall-batch-id"], batch.id);
    let batch = stage.again(&batch).await;
    assert_eq!(history(&batch), ["opened", "sealed", "starting", "started"]);
    assert_eq!(batch.prepared.expect("it has a manifest").objects, 2);
}

#[tokio::test]
async fn a_write_that_meets_a_transaction_is_tried_again_and_holds() {
    let stage = Stage::new().await;
    stage.arrive(&["marked/1/a"]).await;
    let batch = stage.make_due(stage.batch().await).await;
    stage.aws.clear_calls();
    // Each write of the batch conflicts twice.
    stage.aws.answer("PutItem", |_, number| match number % 3 {
        0 | 1 => Act::Conflict,
        _ => Act::Serve,
    });
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, ticked.left, stage.starts()), (1, 0, 1));
    let batch = stage.again(&batch).await;
    assert_eq!(history(&batch), ["opened", "sealed", "starting", "started"]);
    assert_eq!(stage.codes(), [].into());
    let tries = stage.aws.calls_of("PutItem").len();
    assert!(tries >= 6 && tries % 3 == 0, "sealed and started, each in three: {tries}");
}

#[tokio::test]
async fn a_write_that_always_meets_transactions_is_given_up_and_its_batch_is_still_due() {
    let stage = Stage::new().await;
    stage.arrive(&["marked/1/a"]).await;
    let batch = stage.make_due(stage.batch().await).await;
    stage.aws.clear_calls();
    stage.aws.answer("PutItem", |_, _| Act::Conflict);
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, ticked.left, stage.starts()), (1, 1, 0));
    assert_eq!(stage.aws.calls_of("PutItem").len(), 6);
    assert_eq!(stage.codes(), [("ledger_failed".to_owned(), 1)].into());
    assert_eq!(stage.again(&batch).await, batch);
    stage.aws.clear_rules();
    assert_eq!((stage.tick().await.left, stage.starts()), (0, 1));
}

#[tokio::test]
async fn what_arrives_after_the_close_opens_the_next_batch() {
    let stage = Stage::new().await;
    stage.arrive(&["marked/1/a", "marked/1/_SUCCESS"]).await;
    let first = stage.make_due(stage.batch().await).await;
    stage.tick().await;
    stage.arrive(&["marked/1/a", "marked/1/b"]).await;
    let batches = stage.batches().await;
    assert_eq!(batches.len(), 2);
    assert_eq!((batches[0].id.as_str(), batches[0].members), (first.id.as_str(), 1));
    assert_eq!((batches[1].state.name(), batches[1].members), ("open", 1));
    assert_eq!(stage.starts(), 1);
}

#[tokio::test]
async fn a_marker_alone_closes_a_batch_for_which_nothing_is_started() {
    let stage = Stage::new().await;
    stage.arrive(&["marked/1/_SUCCESS"]).await;
    let batch = stage.make_due(stage.batch().await).await;
    assert_eq!(stage.tick().await.due, 1);
    assert_eq!(stage.again(&batch).await.state.name(), "empty");
    assert_eq!((stage.tick().await.due, stage.starts()), (0, 0));
}

#[tokio::test]
async fn what_an_invocation_recorded_before_it_died_is_started_and_the_rest_forms_another_batch() {
    let stage = Stage::new().await;
    let keys: Vec<String> = (100..250).map(|n| format!("orders/1/{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    // The first transaction takes effect, and the calls after it never arrive.
    stage.aws.answer("TransactWriteItems", |_, number| match number {
        0 => Act::Serve,
        _ => Act::Fail { status: 400, code: "AccessDeniedException" },
    });
    assert!(stage.try_arrive(&keys, LEFT).await.is_err());
    stage.aws.clear_rules();
    let first = stage.make_due(stage.batch().await).await;
    assert_eq!((first.state.name(), first.members, stage.starts()), ("open", 98, 0));
    stage.tick().await;
    assert_eq!(stage.again(&first).await.state.name(), "started");
    // The event is delivered again.
    stage.arrive(&keys).await;
    let members: Vec<u64> = stage.batches().await.iter().map(|batch| batch.members).collect();
    assert_eq!((members, stage.starts()), (vec![98, 52], 2));
}
