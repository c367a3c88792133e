//! Whose turn it is if many batches are due: no route waits for another's crowd.

use std::time::Duration;

use landfall_core::batch::{Batch, NEWEST_VERSION, State};
use landfall_stand_ins::Act;
use serde_json::{Value, json};

use crate::stage::{LEDGER, Stage, past};

const NONE: [&str; 0] = [];
const LONG_AGO: u64 = 3_000;

fn make_newer(item: &mut Value) {
    item["v"] = json!({ "N": (NEWEST_VERSION + 1).to_string() });
}

fn keep(_: &mut Value) {}

/// Makes a batch that is due and waits for the run of another one to end.
async fn waiting(stage: &Stage) -> Batch {
    stage.arrive(&["single/1"]).await;
    stage.arrive(&["single/2"]).await;
    let waiting = stage.batches().await.remove(1);
    assert_eq!(waiting.history.last().map(|entry| entry.what.as_str()), Some("waits_for_slot"));
    stage.make_due(waiting).await
}

#[tokio::test]
async fn a_batch_behind_5000_of_a_newer_version_and_12000_that_wait_is_started_within_one_tick() {
    let stage = Stage::new().await;
    stage.aws.remember_calls(false);
    let waiting = waiting(&stage).await;
    stage.copies(&waiting, 12_000, LONG_AGO, keep);
    stage.copies(&waiting, 5_000, LONG_AGO + 1, make_newer);
    stage.record(&["orders/1/a"]).await;
    // This holds even if none of them can be postponed.
    stage.aws.answer("UpdateItem", |_, _| Act::Fail { status: 400, code: "AccessDeniedException" });
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, ticked.more), (17_002, false));
    assert_eq!(stage.aws.runs("orders").len(), 1);
    assert_eq!(stage.codes()["ledger_newer"], 5_000);
}

/// A tick reads eight pages of each of four shards. Here a page has ten batches, not 1,000.
#[tokio::test]
async fn a_batch_behind_more_than_a_tick_reads_is_started_within_one_tick() {
    const READ: usize = 8 * 4 * 10;
    let stage = Stage::new().await;
    stage.record(&["orders/1/a"]).await;
    let original = stage.batch().await;
    stage.copies(&original, 400, LONG_AGO, make_newer);
    stage.record(&["retried/1"]).await;
    stage.aws.small_pages(10);
    let first = stage.tick().await;
    assert!(first.more && first.due > READ, "{first:?}");
    // It came due last of all.
    assert_eq!(stage.aws.runs("retried").len(), 1);

    // And one that many others came due after.
    stage.copies(&original, 400, LONG_AGO + 1, make_newer);
    stage.copies(&original, 400, 5, make_newer);
    stage.record(&["retried/2"]).await;
    let batch = stage.batches().await.into_iter().find(|batch| batch.group["name"] == "2");
    let key = [&*format!("batch#{}", batch.expect("it is there").id), "batch"];
    let mut item = stage.aws.item(LEDGER, &key).expect("it is there");
    item["due_at"] = json!({ "N": past(100).0.to_string() });
    assert!(stage.aws.put_item(LEDGER, &item));
    assert!(stage.tick().await.more);
    assert_eq!(stage.aws.runs("retried").len(), 2);
}

#[tokio::test]
async fn a_batch_that_changed_after_it_was_looked_at_is_not_put_off() {
    let stage = Stage::new().await;
    stage.record(&["orders/1/a"]).await;
    let batch = stage.batch().await;
    let key = [&*format!("batch#{}", batch.id), "batch"];
    let mut item = stage.aws.item(LEDGER, &key).expect("it is there");
    make_newer(&mut item);
    assert!(stage.aws.put_item(LEDGER, &item));
    let soon = std::time::SystemTime::now() + Duration::from_secs(60);
    let looked =
        stage.ledger.look(std::slice::from_ref(&batch.id), soon).await.expect("the ledger");
    let [due] = &looked[..] else { panic!("{looked:?}") };
    assert!(due.newer.is_some() && due.at.is_some(), "{due:?}");
    // Meanwhile the newer version wrote the item.
    let number = |name: &str| item[name]["N"].as_str().and_then(|n| n.parse::<u64>().ok());
    let later = |name: &str| json!({ "N": (number(name).expect("a number") + 1).to_string() });
    for changed in ["revision", "due_at"] {
        let mut written = item.clone();
        written[changed] = later(changed);
        assert!(stage.aws.put_item(LEDGER, &written));
        assert!(!stage.ledger.put_off(due, false).await.expect("the ledger"), "{changed}");
        assert_eq!(stage.aws.item(LEDGER, &key), Some(written), "{changed}");
    }
    // If nobody did, only the time at which it is due changes.
    assert!(stage.aws.put_item(LEDGER, &item));
    assert!(stage.ledger.put_off(due, false).await.expect("the ledger"));
    let mut put_off = stage.aws.item(LEDGER, &key).expect("it is there");
    assert_ne!(put_off["due_at"], item["due_at"]);
    put_off["due_at"] = item["due_at"].clone();
    assert_eq!(put_off, item);
}

#[tokio::test]
async fn a_route_of_which_much_is_due_leaves_others_their_turn_though_time_is_short() {
    let stage = Stage::new().await;
    stage.record(&["orders/1/a"]).await;
    stage.copies(&stage.batch().await, 300, LONG_AGO, keep);
    stage.record(&["retried/1"]).await;
    stage.aws.answer("StartJobRun", |_, _| Act::ServeLate(Duration::from_secs(2)));
    // A start needs 20 of these seconds.
    let ticked = stage.tick_with(Duration::from_secs(26)).await;
    assert!(ticked.left > 200, "{ticked:?}");
    assert_eq!(stage.aws.runs("retried").len(), 1);
}

#[tokio::test]
async fn what_waits_for_a_full_job_is_put_off_unread_but_for_the_first_and_woken_by_its_end() {
    const MANY: usize = 300;
    let stage = Stage::new().await;
    let waiting = waiting(&stage).await;
    stage.copies(&waiting, MANY, LONG_AGO, keep);
    stage.aws.clear_calls();
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, ticked.left, stage.starts()), (MANY + 1, 0, 0));
    // The monitor reads as many as it takes up at a time.
    let read = stage.aws.calls_of("GetItem").len();
    assert!((2..=16).contains(&read), "{read}");
    assert!(ticked.put_off >= MANY - 8, "{ticked:?}");
    assert_eq!(stage.tick().await.due, 0);
    // The end of the run starts one batch, however far it was postponed.
    let run = stage.run("single");
    stage.end(&run, "SUCCEEDED").await;
    assert_eq!(stage.told(&[&run]).await, NONE);
    assert_eq!(stage.running("single").len(), 1);
}

#[tokio::test]
async fn a_slot_that_is_free_is_found_by_the_slow_look_though_nobody_told() {
    let stage = Stage::new().await;
    let waiting = waiting(&stage).await;
    stage.copies(&waiting, 20, LONG_AGO, keep);
    // The run ends. The event is lost, and it isn't yet time to ask Glue.
    let run = stage.run("single");
    stage.end(&run, "SUCCEEDED").await;
    let [running, ..] = &stage.batches().await[..] else { panic!("it is there") };
    let running = stage.make_due(running.clone()).await;
    stage.tick().await;
    assert_eq!(stage.again(&running).await.state.name(), "succeeded");
    assert_eq!(stage.running("single").len(), 1);
}

#[tokio::test]
async fn a_slot_that_nobody_handed_on_is_filled_by_the_next_tick_though_what_waits_is_due_in_hours()
{
    let stage = Stage::new().await;
    stage.arrive(&["double/1", "double/2", "double/3", "double/4", "double/5"]).await;
    let (running, waiting): (Vec<Batch>, Vec<Batch>) =
        stage.batches().await.into_iter().partition(|batch| batch.state.name() == "started");
    assert_eq!((running.len(), waiting.len()), (2, 3));
    for batch in &waiting {
        let key = [&*format!("batch#{}", batch.id), "batch"];
        let mut item = stage.aws.item(LEDGER, &key).expect("it is there");
        let at = past(0) + Duration::from_secs(5 * 3_600);
        item["due_at"] = json!({ "N": at.0.to_string() });
        assert!(stage.aws.put_item(LEDGER, &item));
    }
    // Whoever wrote the ends of both runs died right afterwards.
    for batch in running {
        let State::Started(run) = &batch.state else { panic!("{:?}", batch.state) };
        let state = State::Succeeded { run_id: run.run_id.clone(), claimed: true };
        let ended = Batch { state, holds_slot: false, ..batch };
        stage.ledger.write_counted(ended).await.expect("the ledger").expect("nobody else");
    }
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, stage.starts()), (0, 4));
    // The job is full again: a tick looks at its slot and at nothing else of it.
    stage.aws.clear_calls();
    stage.tick().await;
    assert_eq!((stage.aws.calls_of("GetItem").len(), stage.starts()), (2, 0));
}

#[tokio::test]
async fn once_a_batch_starts_that_was_put_off_the_others_that_were_put_off_start_too() {
    let stage = Stage::new().await;
    let refused = Act::Fail { status: 400, code: "AccessDeniedException" };
    stage.aws.answer("StartJobRun", move |_, _| refused.clone());
    stage.arrive(&["orders/1/a", "retried/1", "retried/2"]).await;
    stage.aws.clear_rules();
    assert_eq!(stage.tick().await.due, 0);
    let orders = stage.batches().await.into_iter().find(|batch| batch.route == "orders");
    stage.make_due(orders.expect("it is there")).await;
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, ticked.left), (1, 0));
    let started = ["orders", "retried"].map(|job| stage.aws.runs(job).len());
    assert_eq!(started, [1, 2]);
}

#[tokio::test]
async fn a_slot_goes_to_the_oldest_that_is_understood_past_many_of_a_newer_version() {
    let stage = Stage::new().await;
    let waiting = waiting(&stage).await;
    stage.copies(&waiting, 40, 0, |item| {
        make_newer(item);
        item["awaits_since"] = json!({ "N": "1" });
    });
    let run = stage.run("single");
    stage.end(&run, "SUCCEEDED").await;
    assert_eq!(stage.told(&[&run]).await, NONE);
    assert_eq!(stage.again(&waiting).await.state.name(), "started");
}

#[tokio::test]
async fn the_end_of_a_run_that_a_newer_version_follows_is_acknowledged_and_told() {
    let stage = Stage::new().await;
    stage.arrive(&["orders/1/a"]).await;
    let run = stage.run("orders");
    let key = [&*format!("batch#{}", stage.batch().await.id), "batch"];
    let mut item = stage.aws.item(LEDGER, &key).expect("it is there");
    make_newer(&mut item);
    assert!(stage.aws.put_item(LEDGER, &item));
    assert_eq!(stage.told(&[&run]).await, NONE);
    assert_eq!(stage.codes(), [("ledger_newer".to_owned(), 1)].into());
    assert_eq!(stage.aws.item(LEDGER, &key), Some(item));
}

#[tokio::test]
async fn a_batch_that_cannot_be_read_is_put_off_and_told() {
    let stage = Stage::new().await;
    stage.record(&["orders/1/a"]).await;
    let batch = stage.batch().await;
    stage.copies(&batch, 3, LONG_AGO, |item| item["doc"] = json!({ "S": "{" }));
    let ticked = stage.tick().await;
    assert_eq!((ticked.due, ticked.left, ticked.put_off, stage.starts()), (4, 0, 3, 1));
    assert_eq!(stage.codes(), [("ledger_unreadable".to_owned(), 3)].into());
    assert_eq!(stage.tick().await.due, 0);
}
