//! Batches that wait for the end of a run, or for the hour to pass.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use landfall_aws::clock::now;
use landfall_core::batch::{Batch, ListingLimit, Slot, Start, State};
use landfall_stand_ins::Act;

use crate::stage::{LEDGER, Stage, text};

const NONE: [&str; 0] = [];

#[tokio::test]
async fn a_run_that_ends_releases_its_slot_and_starts_the_oldest_batch_that_waits() {
    // However a run ends, its slot becomes free.
    for (state, batch_is) in
        [("SUCCEEDED", "succeeded"), ("FAILED", "parked"), ("STOPPED", "parked")]
    {
        for by_event in [true, false] {
            let stage = Stage::new().await;
            for key in ["single/3", "single/1", "single/2"] {
                stage.arrive(&[key]).await;
            }
            let run = stage.run("single");
            stage.end(&run, state).await;
            let [first, ..] = &stage.batches().await[..] else { panic!("they are there") };
            if by_event {
                assert_eq!(stage.told(&[&run]).await, NONE);
            } else {
                stage.make_due(first.clone()).await;
                assert_eq!(stage.tick().await.due, 1);
            }
            let batches = stage.batches().await;
            let states: Vec<&str> = batches.iter().map(|batch| batch.state.name()).collect();
            assert_eq!(states, [batch_is, "started", "sealed"], "{state}");
            assert_eq!((stage.live("single").await, stage.running("single").len()), (1, 1));
            assert_eq!((batches[0].holds_slot, batches[1].holds_slot), (false, true));
        }
    }
}

#[tokio::test]
async fn a_run_that_parks_its_batch_starts_one_that_waits() {
    let stage = Stage::new().await;
    stage.arrive(&["single/1"]).await;
    stage.arrive(&["single/2"]).await;
    let run = stage.run("single");
    // The run had not claimed its batch.
    assert!(stage.aws.set_run_state(&run.id, "SUCCEEDED"));
    assert_eq!(stage.told(&[&run]).await, NONE);
    let states: Vec<&str> = stage.batches().await.iter().map(|b| b.state.name()).collect();
    assert_eq!(states, ["parked", "started"]);
}

#[tokio::test]
async fn as_many_batches_begin_as_runs_end_at_once() {
    let stage = Stage::new().await;
    for n in 0..6 {
        stage.arrive(&[&format!("double/{n}")]).await;
    }
    for ended in [2, 4] {
        let running = stage.running("double");
        assert_eq!(running.len(), 2);
        for run in &running {
            stage.end(run, "SUCCEEDED").await;
        }
        assert_eq!(stage.told(&[&running[0], &running[1]]).await, NONE);
        let states: Vec<&str> = stage.batches().await.iter().map(|b| b.state.name()).collect();
        let count = |state: &str| states.iter().filter(|s| **s == state).count();
        let counts = (count("succeeded"), count("started"), count("sealed"));
        assert_eq!(counts, (ended, 2, 4 - ended), "{states:?}");
    }
}

#[tokio::test]
async fn runs_that_end_at_once_each_start_a_batch_even_if_both_choose_the_same() {
    let stage = Stage::new().await;
    let full = Act::Fail { status: 400, code: "ConcurrentRunsExceededException" };
    stage.aws.answer("StartJobRun", move |_, number| match number {
        2 | 3 => full.clone(),
        _ => Act::Serve,
    });
    // The route's own limit doesn't keep the two apart. Glue had no room.
    for n in 0..4 {
        stage.arrive(&[&format!("orders/{n}/a")]).await;
    }
    let running = stage.running("orders");
    assert_eq!(running.len(), 2);
    for run in &running {
        stage.end(run, "SUCCEEDED").await;
    }
    assert_eq!(stage.told(&[&running[0], &running[1]]).await, NONE);
    let states: Vec<&str> = stage.batches().await.iter().map(|b| b.state.name()).collect();
    assert_eq!(states, ["succeeded", "succeeded", "started", "started"]);
}

#[tokio::test]
async fn thirty_batches_of_a_job_with_one_slot_run_one_after_another_by_events_alone() {
    const BATCHES: usize = 30;
    let stage = Stage::new().await;
    let keys: Vec<String> = (0..BATCHES).map(|n| format!("single/{n}")).collect();
    stage.arrive(&keys.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for done in 0..BATCHES {
        let running = stage.running("single");
        assert_eq!((running.len(), stage.starts()), (1, done + 1));
        stage.end(&running[0], "SUCCEEDED").await;
        assert_eq!(stage.told(&[&running[0]]).await, NONE);
    }
    let batches = stage.batches().await;
    assert_eq!(batches.len(), BATCHES);
    assert!(batches.iter().all(|batch| batch.state.name() == "succeeded"), "{batches:?}");
    assert_eq!((stage.starts(), stage.live("single").await), (BATCHES, 0));
}

#[tokio::test]
async fn max_runs_per_hour_defers_the_rest_until_the_hour_has_passed() {
    let stage = Stage::new().await;
    for n in 0..4 {
        stage.arrive(&[&format!("hourly/{n}")]).await;
    }
    let waiting = async || {
        let batches = stage.batches().await.into_iter();
        batches.filter(|batch| batch.state.name() == "sealed").collect::<Vec<_>>()
    };
    for _ in 0..2 {
        let rest = waiting().await;
        assert_eq!((rest.len(), stage.starts()), (2, 2));
        for batch in rest {
            assert!(batch.due() > Some(now() + std::time::Duration::from_secs(3_000)), "{batch:?}");
            let last = batch.history.last().expect("a history");
            assert_eq!(
                (last.what.as_str(), last.detail.as_str()),
                ("deferred", "max_runs_per_hour")
            );
            let State::Sealed { waits_for_slot: false, .. } = batch.state else {
                panic!("no end of a run helps: {batch:?}")
            };
            // If the monitor looks too early, it postpones the batch again.
            stage.make_due(batch).await;
        }
        assert_eq!(stage.tick().await.due, 2);
    }
    an_hour_passes(&stage, "222222222222/eu-west-1/hourly").await;
    for batch in waiting().await {
        stage.make_due(batch).await;
    }
    assert_eq!((stage.tick().await.due, stage.starts()), (2, 4));
    assert_eq!(waiting().await, []);
}

#[tokio::test]
async fn a_start_that_glue_refuses_does_not_count_against_the_hour() {
    let stage = Stage::new().await;
    let full = Act::Fail { status: 400, code: "ConcurrentRunsExceededException" };
    stage.aws.answer("StartJobRun", move |_, number| match number {
        0..3 => full.clone(),
        _ => Act::Serve,
    });
    // There are more refusals than the two starts that the hour admits.
    stage.arrive(&["hourly/1"]).await;
    for asked in 2..=4 {
        let batch = stage.make_due(stage.batch().await).await;
        let last = batch.history.last().map(|entry| entry.what.as_str());
        assert_eq!((batch.state.name(), last), ("sealed", Some("waits_for_slot")));
        assert_eq!((stage.tick().await.due, stage.starts()), (1, asked));
    }
    assert_eq!(stage.batch().await.state.name(), "started");
    // A start counts.
    for n in 2..4 {
        stage.arrive(&[&format!("hourly/{n}")]).await;
    }
    let batches = stage.batches().await;
    let states: Vec<&str> = batches.iter().map(|batch| batch.state.name()).collect();
    assert_eq!((states, stage.starts()), (vec!["started", "started", "sealed"], 5));
    assert_eq!(batches[2].history.last().expect("a history").detail, "max_runs_per_hour");
}

#[tokio::test]
async fn batches_of_a_backfill_keep_to_its_own_limit_while_others_start() {
    let stage = Stage::new().await;
    // The job has no limit.
    for n in 0..5 {
        stage.record(&[&format!("orders/{n}/a")]).await;
    }
    for batch in stage.batches().await.into_iter().take(4) {
        let limit = ListingLimit { listing: "backfill-1".to_owned(), max_runs_per_hour: 2 };
        let start = Start { listing_limit: Some(limit), ..batch.start.clone() };
        let listing = Some("backfill-1".to_owned());
        stage.make_due(Batch { start, listing, ..batch }).await;
    }
    let rest = stage.batches().await.pop().expect("a batch");
    stage.make_due(rest).await;
    assert_eq!((stage.tick().await.due, stage.starts()), (5, 3));
    let waiting = async || {
        let batches = stage.batches().await.into_iter();
        batches.filter(|batch| batch.state.name() == "sealed").collect::<Vec<_>>()
    };
    let waits = waiting().await;
    assert_eq!(waits.len(), 2);
    for batch in waits {
        let last = batch.history.last().expect("a history");
        let expected = ("deferred", "max_runs_per_hour_of_listing");
        assert_eq!((last.what.as_str(), last.detail.as_str()), expected);
        assert!(batch.blocked_since().is_none() && !batch.is_stuck(), "nobody has to look");
        stage.make_due(batch).await;
    }
    assert_eq!((stage.tick().await.due, stage.starts()), (2, 3), "too early");
    an_hour_passes(&stage, "222222222222/eu-west-1/orders").await;
    for batch in waiting().await {
        stage.make_due(batch).await;
    }
    assert_eq!((stage.tick().await.due, stage.starts()), (2, 5));
}

/// Lets an hour pass for a slot's count of starts.
async fn an_hour_passes(stage: &Stage, job_key: &str) {
    let slot = stage.ledger.slot(job_key).await.expect("the ledger");
    let earlier = |starts: &BTreeMap<u64, u32>| {
        starts.iter().map(|(minute, count)| (minute - 61, *count)).collect()
    };
    let listings = slot.listings.iter().map(|(id, starts)| (id.clone(), earlier(starts))).collect();
    let slot = Slot { starts: earlier(&slot.starts), listings, ..slot };
    stage
        .dynamodb()
        .put_item()
        .table_name(LEDGER)
        .item("pk", text(&format!("slot#{job_key}")))
        .item("sk", text("slot"))
        .item("v", AttributeValue::N(slot.v.to_string()))
        .item("revision", AttributeValue::N(slot.revision.to_string()))
        .item("doc", text(&serde_json::to_string(&slot).expect("JSON")))
        .send()
        .await
        .expect("written");
}
