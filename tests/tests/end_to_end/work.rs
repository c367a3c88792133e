//! The queue that the template makes spreads due batches over invocations of the monitor.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use landfall_aws::clock::moment;
use landfall_core::batch::{ClaimMode, Closing, Draft, Member, Scope, Start, State};
use landfall_core::moment::Moment;
use landfall_tests::cloud::{LANDING_BUCKET, wait_until};
use landfall_tests::{ANALYTICS, REGION};

use crate::stage::{SOON, Stage};

/// The number of batches. A tick takes up a hundred of them itself.
const FLOOD: usize = 160;
const MESSAGES: usize = 2;

/// All batches become due at one moment, this much later, so that no tick sees only part of them.
const LATER: Duration = Duration::from_secs(60);

const AT_ONCE: usize = 16;

pub fn a_flood_is_spread_over_the_queue_of_work(stage: &Stage) -> Result<()> {
    // The batches have a marker and nothing else. The invocation that takes one up closes it and
    // doesn't call Glue.
    let start = Start {
        target: "analytics".to_owned(),
        account: ANALYTICS.to_owned(),
        region: REGION.to_owned(),
        starter_role_arn: format!("arn:aws:iam::{ANALYTICS}:role/landfall/landfall-starter"),
        job: "none".to_owned(),
        arguments: BTreeMap::new(),
        values: BTreeMap::new(),
        max_concurrent_runs: None,
        max_runs_per_hour: None,
        attempts: 1,
        retry_states: Vec::new(),
        scope: Scope::Job,
        claim: ClaimMode::Required,
        announce: false,
        listing_limit: None,
    };
    let before = taken_over(stage);
    let moment = moment(SystemTime::now() + LATER);
    stage.cloud.wait(async {
        let recorded = stream::iter(0..FLOOD).map(|number| record(stage, &start, number, moment));
        recorded.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        wait_until("not every batch was taken up", LATER + 5 * SOON, async || {
            let batches = stream::iter(0..FLOOD).map(async |number| {
                let batch = stage.ledger.batch(&id(number)).await?;
                Ok::<_, anyhow::Error>(batch.context("the batch was recorded")?.state)
            });
            let states: Vec<State> = batches.buffer_unordered(AT_ONCE).try_collect().await?;
            let is_done = |state: &State| matches!(state, State::Empty);
            Ok(states.iter().all(is_done).then_some(()))
        })
        .await
    })?;
    let taken_over = taken_over(stage) - before;
    ensure!(taken_over >= MESSAGES, "the monitor took {taken_over} messages from the work queue");
    Ok(())
}

fn id(number: usize) -> String {
    format!("{ANALYTICS}-{number:032x}")
}

/// Records a batch as the trigger does.
async fn record(stage: &Stage, start: &Start, number: usize, moment: Moment) -> Result<()> {
    let marker = Member {
        key: format!("in/work/{number}"),
        version_id: None,
        etag: None,
        size: Some(1),
        sequencer: None,
        event_time: None,
        listing: None,
        again: false,
    };
    let draft = Draft {
        route: "work".to_owned(),
        bucket: LANDING_BUCKET.to_owned(),
        group: BTreeMap::from([("number".to_owned(), number.to_string())]),
        start: start.clone(),
        closing: Closing { window_secs: Some(LATER.as_secs()), ..Closing::default() },
        listing: None,
        members: Vec::new(),
        markers: vec![marker],
    };
    let deadline = SystemTime::now() + LATER;
    stage.ledger.record(&draft, |_| id(number), || moment, deadline).await?;
    Ok(())
}

/// Returns how many messages of the queue the monitor was given, according to the emulator's log.
fn taken_over(stage: &Stage) -> usize {
    let log = stage.cloud.emulator.log();
    let counts = log.lines().filter_map(|line| {
        let (_, rest) = line.split_once(" processed ")?;
        let (count, queue) = rest.split_once(" SQS messages from ")?;
        queue.starts_with("landfall-work").then(|| count.parse::<usize>().ok())?
    });
    counts.sum()
}
