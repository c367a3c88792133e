//! What is due is spread over invocations of the monitor, by the queue that the template makes.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use landfall_aws::clock::moment;
use landfall_core::batch::{Closing, Draft, Member, Scope, Start, State};
use landfall_core::moment::Moment;
use landfall_tests::cloud::{LANDING_BUCKET, wait_until};
use landfall_tests::{ANALYTICS, REGION};

use crate::stage::{SOON, Stage};

/// Of these a tick takes up a hundred itself.
const FLOOD: usize = 160;
const MESSAGES: usize = 2;

/// So much later all are due, at one moment: no tick sees a part of them.
const LATER: Duration = Duration::from_secs(60);

const AT_ONCE: usize = 16;

pub fn a_flood_is_spread_over_the_queue_of_work(stage: &Stage) -> Result<()> {
    // Of a marker and nothing else: who takes such a batch up closes it, and Glue is left in peace.
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
    };
    let before = taken_over(stage);
    let moment = moment(SystemTime::now() + LATER);
    stage.cloud.wait(async {
        let recorded = stream::iter(0..FLOOD).map(|number| record(stage, &start, number, moment));
        recorded.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        wait_until("not every batch was taken up", LATER + 5 * SOON, async || {
            let batches = stream::iter(0..FLOOD).map(async |number| {
                let batch = stage.ledger.batch(&id(number)).await?;
                Ok::<_, anyhow::Error>(batch.context("it was recorded")?.state)
            });
            let states: Vec<State> = batches.buffer_unordered(AT_ONCE).try_collect().await?;
            let is_done = |state: &State| matches!(state, State::Empty);
            Ok(states.iter().all(is_done).then_some(()))
        })
        .await
    })?;
    let taken_over = taken_over(stage) - before;
    ensure!(taken_over >= MESSAGES, "{taken_over} messages came out of the queue of work");
    Ok(())
}

fn id(number: usize) -> String {
    format!("{ANALYTICS}-{number:032x}")
}

/// As the trigger does it.
async fn record(stage: &Stage, start: &Start, number: usize, moment: Moment) -> Result<()> {
    let marker = Member {
        key: format!("in/work/{number}"),
        version_id: None,
        etag: None,
        size: Some(1),
        sequencer: None,
        event_time: None,
    };
    let draft = Draft {
        route: "work".to_owned(),
        bucket: LANDING_BUCKET.to_owned(),
        group: BTreeMap::from([("number".to_owned(), number.to_string())]),
        start: start.clone(),
        closing: Closing { window_secs: Some(LATER.as_secs()), ..Closing::default() },
        members: Vec::new(),
        markers: vec![marker],
    };
    let deadline = SystemTime::now() + LATER;
    stage.ledger.record(&draft, |_| id(number), || moment, deadline).await?;
    Ok(())
}

/// How many messages of the queue the monitor was given, as the emulator tells it.
fn taken_over(stage: &Stage) -> usize {
    let log = stage.cloud.emulator.log();
    let counts = log.lines().filter_map(|line| {
        let (_, told) = line.split_once(" processed ")?;
        let (count, queue) = told.split_once(" SQS messages from ")?;
        queue.starts_with("landfall-work").then(|| count.parse::<usize>().ok())?
    });
    counts.sum()
}
