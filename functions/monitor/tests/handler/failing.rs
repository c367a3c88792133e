//! What blocks a batch, and what doesn't.

use aws_sdk_dynamodb::types::AttributeValue;
use landfall_aws::clock::now;
use landfall_core::batch::{NEWEST_VERSION, State};
use landfall_core::moment::Time;
use landfall_stand_ins::{Act, Sts};

use crate::stage::{LEDGER, LEFT, Stage, history, past, text, tick};

#[tokio::test]
async fn a_ledger_that_cannot_be_read_fails_the_tick() {
    let stage = Stage::new().await;
    let act = Act::Fail { status: 400, code: "AccessDeniedException" };
    stage.aws.answer("Query", move |_, _| act.clone());
    let error = stage.invoke(&tick(), LEFT).await.expect_err("nobody looked");
    assert_eq!(error.code(), "ledger_failed");
    assert_eq!(stage.codes(), [("ledger_failed".to_owned(), 1)].into());
}

#[tokio::test]
async fn an_event_of_no_known_kind_fails_with_a_stable_code() {
    let stage = Stage::new().await;
    let event = serde_json::json!({ "hello": "world" });
    let error = stage.invoke(&event, LEFT).await.expect_err("it is unknown");
    assert_eq!(lambda_runtime::Diagnostic::from(error).error_type, "event_unknown_envelope");
    assert_eq!(stage.aws.calls(), []);
}

#[tokio::test]
async fn a_batch_whose_role_cannot_be_assumed_is_deferred_and_started_once_it_can_be() {
    let mut stage = Stage::new().await;
    stage.aws.sts(Sts::Denies);
    for key in ["orders/1/a", "orders/2/a"] {
        stage.record(&[key]).await;
    }
    assert_eq!(stage.tick().await.due, 2);
    assert_eq!((stage.aws.calls_of("AssumeRole").len(), stage.starts()), (1, 0));
    assert_eq!(stage.codes(), [("assume_role_denied".to_owned(), 2)].into());
    stage.aws.sts(Sts::Grants);
    // A process remembers a refusal for some seconds.
    stage.renew_monitor();
    for batch in stage.batches().await {
        assert_eq!(history(&batch), ["opened", "sealed", "deferred"]);
        let State::Sealed { due, .. } = batch.state else { panic!("{batch:?}") };
        assert!(due > past(0), "not at once");
        stage.make_due(batch).await;
    }
    assert_eq!((stage.tick().await.due, stage.starts()), (2, 2));
}

#[tokio::test]
async fn a_batch_that_gets_no_further_for_the_fifth_time_is_stuck_and_one_that_waits_its_turn_is_not()
 {
    let mut stage = Stage::new().await;
    // The last batch of each job waits for a limit of its job.
    for key in ["single/1", "single/2", "hourly/1", "hourly/2", "hourly/3"] {
        stage.arrive(&[key]).await;
    }
    stage.record(&["orders/1/a"]).await;
    stage.aws.sts(Sts::Denies);
    for times in 1..=6 {
        for batch in stage.batches().await {
            if batch.state.name() == "sealed" {
                stage.make_due(batch).await;
            }
        }
        stage.renew_monitor();
        let ticked = stage.tick().await;
        assert_eq!((ticked.due, ticked.stuck), (3, usize::from(times >= 5)), "{times}");
    }
    let told = stage.metrics();
    let told: Vec<u64> = told.iter().filter_map(|line| line["BatchesStuck"].as_u64()).collect();
    assert_eq!(told, [0, 0, 0, 0, 1, 1]);
    // A batch isn't stuck any more once it makes progress.
    stage.aws.sts(Sts::Grants);
    for batch in stage.batches().await {
        if batch.route == "orders" {
            stage.make_due(batch).await;
        }
    }
    stage.renew_monitor();
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, ticked.stuck, stage.aws.runs("orders").len()), (1, 0, 1));
}

#[tokio::test]
async fn the_longer_a_batch_is_deferred_the_later_it_is_tried_again() {
    let mut stage = Stage::new().await;
    stage.aws.sts(Sts::Denies);
    stage.record(&["orders/1/a"]).await;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        stage.make_due(stage.batch().await).await;
        stage.renew_monitor();
        assert_eq!(stage.tick().await.due, 1);
        let batch = stage.batch().await;
        pauses.push(batch.due().expect("it waits").since(past(0)).as_secs());
    }
    // The pause is half a minute, doubles each time, is up to a quarter shorter, and reaches at
    // most 15 minutes.
    assert!((20..=30).contains(&pauses[0]), "{pauses:?}");
    assert!((600..=900).contains(&pauses[7]), "{pauses:?}");
    let batch = stage.batch().await;
    assert_eq!((batch.deferrals, batch.history.last().expect("a history").times), (8, 8));
}

#[tokio::test]
async fn a_job_that_glue_itself_would_repeat_is_not_started_until_it_does_not() {
    let stage = Stage::new().await;
    stage.aws.job("orders", 1);
    stage.record(&["orders/1/a"]).await;
    assert_eq!(stage.tick().await.due, 1);
    assert_eq!((stage.batch().await.state.name(), stage.starts()), ("sealed", 0));
    assert_eq!(stage.codes(), [("job_repeats_by_itself".to_owned(), 1)].into());
    stage.aws.job("orders", 0);
    stage.make_due(stage.batch().await).await;
    assert_eq!((stage.tick().await.due, stage.starts()), (1, 1));
}

#[tokio::test]
async fn a_batch_of_a_newer_version_is_left_alone_and_does_not_hinder_others() {
    let stage = Stage::new().await;
    stage.record(&["orders/1/a", "orders/2/a"]).await;
    let [newer, other] = &stage.batches().await[..] else { panic!("there are two") };
    let key = [format!("batch#{}", newer.id), "batch".to_owned()];
    stage
        .dynamodb()
        .update_item()
        .table_name(LEDGER)
        .key("pk", text(&key[0]))
        .key("sk", text(&key[1]))
        .update_expression("SET v = :v")
        .expression_attribute_values(":v", AttributeValue::N((NEWEST_VERSION + 1).to_string()))
        .send()
        .await
        .expect("written");
    let item = || stage.aws.item(LEDGER, &[&key[0], &key[1]]).expect("it is there");
    let mut before = item();
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, ticked.left, ticked.put_off), (2, 0, 1));
    // The monitor looks at it again after 15 minutes at most. Everything else about it is
    // unchanged.
    let after = item();
    let due_at: u64 = after["due_at"]["N"].as_str().expect("a number").parse().expect("a number");
    assert!((500..=900).contains(&Time(due_at).since(now()).as_secs()), "{due_at}");
    before["due_at"] = after["due_at"].clone();
    assert_eq!(after, before);
    assert_eq!(stage.codes(), [("ledger_newer".to_owned(), 1)].into());
    assert_eq!((stage.again(other).await.state.name(), stage.starts()), ("started", 1));
}

#[tokio::test]
async fn a_batch_that_cannot_be_written_is_left_and_does_not_hinder_others() {
    let stage = Stage::new().await;
    stage.record(&["orders/1/a", "orders/2/a"]).await;
    let [failing, other] = &stage.batches().await[..] else { panic!("there are two") };
    let id = failing.id.clone();
    stage.aws.answer("TransactWriteItems", move |call, _| {
        if call.body.to_string().contains(&id) {
            Act::Fail { status: 400, code: "AccessDeniedException" }
        } else {
            Act::Serve
        }
    });
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, ticked.left, stage.starts()), (2, 1, 1));
    assert_eq!(stage.again(other).await.state.name(), "started");
    assert_eq!(stage.again(failing).await, *failing);
    stage.aws.clear_rules();
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, ticked.left, stage.starts()), (1, 0, 2));
}

#[tokio::test]
async fn what_became_of_a_batch_is_told_even_if_nobody_can_be_woken_afterwards() {
    for by_event in [true, false] {
        let stage = Stage::new().await;
        stage.arrive(&["single/1"]).await;
        stage.arrive(&["single/2"]).await;
        let run = stage.run("single");
        stage.end(&run, "SUCCEEDED").await;
        let first = stage.make_due(stage.batches().await.remove(0)).await;
        stage.aws.answer("Query", |call, _| {
            if call.body.to_string().contains("slot ") {
                Act::Fail { status: 400, code: "AccessDeniedException" }
            } else {
                Act::Serve
            }
        });
        if by_event {
            assert_eq!(stage.told(&[&run]).await, ["m0"]);
        } else {
            let ticked = stage.tick().await;
            assert_eq!((ticked.due, ticked.left), (1, 1));
        }
        assert_eq!(stage.again(&first).await.state.name(), "succeeded");
        let succeeded: u64 =
            stage.metrics().iter().filter_map(|line| line["JobRunsSucceeded"].as_u64()).sum();
        // A tick can't look at the job's slot either.
        let failed = if by_event { 1 } else { 2 };
        assert_eq!((succeeded, stage.codes()), (1, [("ledger_failed".to_owned(), failed)].into()));
    }
}

#[tokio::test]
async fn what_a_tick_did_is_told_even_if_what_is_parked_cannot_be_counted() {
    let stage = Stage::new().await;
    stage.record(&["orders/1/a"]).await;
    stage.aws.answer("Query", |call, _| {
        if call.body["IndexName"] == "awaits" {
            Act::Fail { status: 400, code: "AccessDeniedException" }
        } else {
            Act::Serve
        }
    });
    let error = stage.invoke(&tick(), LEFT).await.expect_err("not all was looked at");
    assert_eq!((error.code(), stage.starts()), ("ledger_failed", 1));
    let started: u64 =
        stage.metrics().iter().filter_map(|line| line["JobRunsStarted"].as_u64()).sum();
    assert_eq!(started, 1);
}
