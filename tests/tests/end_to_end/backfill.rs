//! Objects that were in a bucket before S3 announced anything of it.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use futures_util::{StreamExt, TryStreamExt, stream};
use landfall_aws::clock::now;
use landfall_aws::ledger::Wanted;
use landfall_core::batch::Batch;
use landfall_core::moment::Time;
use landfall_tests::cloud::wait_until;
use serde_json::{Value, json};

use crate::stage::{SOON, Stage, assert_succeeded};

/// A bucket, and the route that takes its objects.
#[derive(Clone, Copy)]
struct Place {
    bucket: &'static str,
    route: &'static str,
    /// The objects of each group. The first one fills two batches. Of the others, S3 announces two thirds, which is half of
    /// all.
    objects: usize,
    /// The most objects of a batch, by the route.
    most: usize,
    /// How many objects a page of a backfill that is killed has at most.
    rate: &'static str,
}

const GROUPS: usize = 4;

/// Nothing but time tells 5,000 objects from 1,000. Listing, looking up and recording 1,000 takes the emulator seconds of both
/// cores, so only the bucket where it is harder to tell events from listed objects has that many.
const PLAIN: Place = Place {
    bucket: "acme-backfilled",
    route: "backfilled-plain",
    objects: 1_250,
    most: 500,
    rate: "500",
};
const VERSIONED: Place =
    Place { bucket: "acme-envelopes", route: "backfilled", objects: 250, most: 100, rate: "100" };

/// How many calls are made at once.
const AT_ONCE: usize = 16;

/// An object of which the event is kept back.
struct Object {
    key: String,
    etag: String,
    /// `None` if the bucket keeps no versions.
    version_id: Option<String>,
    written: Time,
}

pub fn a_backfill_that_is_killed_twice_puts_each_object_into_one_batch_with_what_s3_announces(
    stage: &Stage,
) -> Result<()> {
    killed_twice(stage, VERSIONED)?;
    replayed_as_told(stage, VERSIONED)
}

pub fn a_backfill_that_is_killed_twice_also_knows_what_s3_announces_of_5000_objects_without_versions(
    stage: &Stage,
) -> Result<()> {
    killed_twice(stage, PLAIN)
}

fn killed_twice(stage: &Stage, of: Place) -> Result<()> {
    let Place { bucket, route, most, rate, .. } = of;
    let objects = stage.cloud.wait(put_old_objects(stage, of))?;
    let has_versions = objects.iter().all(|object| object.version_id.is_some());
    ensure!(has_versions == (bucket == VERSIONED.bucket), "the bucket isn't as it should be");
    let late = objects.iter().skip(of.objects).enumerate().filter(|(n, _)| n % 3 != 0);
    let (before, after): (Vec<_>, Vec<_>) = late.partition(|(n, _)| n % 3 == 1);
    ensure!(before.len() + after.len() == objects.len() / 2, "not half of the objects");
    let announce = async |objects: Vec<(usize, &Object)>| {
        let url = stage.queue_url("landfall-arrivals").await?;
        let messages: Vec<_> = objects
            .chunks(10)
            .map(|some| some.iter().map(|(n, object)| entry(*n, bucket, object)).collect())
            .collect::<Vec<Vec<_>>>();
        let sent = stream::iter(messages).map(async |entries: Vec<_>| {
            let entries = entries.into_iter().collect::<Result<Vec<_>>>()?;
            let send = stage.cloud.data.sqs.send_message_batch().queue_url(&url);
            let sent = send.set_entries(Some(entries)).send().await;
            let failed = sent.context("failed to send events")?.failed;
            ensure!(failed.is_empty(), "{failed:?}");
            Ok(())
        });
        sent.buffer_unordered(AT_ONCE).try_collect::<()>().await
    };
    let plan = said(backfill(stage, &["--route", route, "--dry-run", "--json"])?)?;
    ensure!(plan["counts"]["taken"] == objects.len(), "{plan:#}");
    ensure!(plan["batches"] == of.objects.div_ceil(most) * GROUPS, "{plan:#}");

    // Some events come while the backfill is at work, which is killed twice.
    stage.cloud.wait(announce(before))?;
    kill_soon(backfill(stage, &["--route", route, "--yes", "--rate", rate])?)?;
    let id = newest(stage, route)?;
    kill_soon(backfill(stage, &["resume", &id, "--rate", rate])?)?;
    let mut resume = backfill(stage, &["resume", &id])?;
    let output = resume.output().context("failed to run landfall")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    stage.cloud.wait(announce(after))?;

    stage.cloud.wait(async {
        let wanted =
            Wanted { route: Some(route), since: Time(0), limit: 10_000, most_read: 10_000 };
        let held = async || {
            let mut held: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for batch in stage.ledger.batches(&wanted, |_| true).await?.batches {
                for member in stage.ledger.first_members(&batch, usize::MAX).await? {
                    held.entry(member.key).or_default().push(batch.id.clone());
                }
            }
            anyhow::Ok(held)
        };
        let is_empty = async || {
            let mut left = 0;
            for queue in ["landfall-arrivals", "landfall-backfill"] {
                left += left_in(stage, queue).await?;
            }
            Ok((left == 0).then_some(()))
        };
        wait_until("not every message is taken", SOON, is_empty).await?;
        let held = wait_until("not every object is in a batch", SOON, async || {
            Ok(Some(held().await?).filter(|held| held.len() == objects.len()))
        });
        let held = held.await?;
        let twice: Vec<_> = held.iter().filter(|(_, batches)| batches.len() > 1).collect();
        ensure!(twice.is_empty(), "objects in two batches: {twice:#?}");

        // The group of which S3 announced nothing fills batches, and the run of one gets exactly that.
        let first = held[&objects[0].key].first().context("no batch")?.clone();
        let batch = stage.ledger.batch(&first).await?.context("no batch")?;
        ensure!(batch.listing.as_deref() == Some(id.as_str()), "{:?} found it", batch.listing);
        ensure!(batch.members == most as u64, "{} members", batch.members);
        let uri = format!("s3://{bucket}/{}", objects[0].key);
        assert_succeeded(&stage.run_of("flood", &uri).await?)
    })?;
    let nothing = said(backfill(stage, &["--route", route, "--dry-run", "--json"])?)?;
    ensure!(nothing["counts"]["taken"] == 0, "{nothing:#}");
    ensure!(nothing["counts"]["known"] == objects.len(), "{nothing:#}");
    Ok(())
}

/// Replays a group, which forms as many batches of as many objects as the dry run tells.
fn replayed_as_told(stage: &Stage, of: Place) -> Result<()> {
    let route = of.route;
    let replay = |more: &str| {
        let mut command = stage.cloud.landfall_without_profiles("replay")?;
        command.args(["--route", route, "--prefix", "old/0/", "--reason", "once more", more]);
        command.arg("--json").env("AWS_PROFILE", "data");
        said(command)
    };
    let told = replay("--dry-run")?;
    let (objects, batches) = (told["counts"]["taken"].as_u64(), told["batches"].as_u64());
    ensure!(objects == Some(of.objects as u64), "{told:#}");
    let going_on = replay("--yes")?;
    ensure!(going_on["batches"] == told["batches"], "{going_on:#}");
    let id = newest(stage, route)?;
    stage.cloud.wait(async {
        let wanted =
            Wanted { route: Some(route), since: Time(0), limit: 10_000, most_read: 10_000 };
        let formed = wait_until("not every object is in a batch once more", SOON, async || {
            let is_its = |batch: &Batch| batch.listing.as_deref() == Some(id.as_str());
            let found = stage.ledger.batches(&wanted, is_its).await?.batches;
            let members: u64 = found.iter().map(|batch| batch.members).sum();
            Ok((Some(members) >= objects).then_some((members, found.len() as u64)))
        });
        let formed = formed.await?;
        ensure!((Some(formed.0), Some(formed.1)) == (objects, batches), "{formed:?}: {told:#}");
        Ok(())
    })
}

/// Returns the ID of the route's newest backfill.
fn newest(stage: &Stage, route: &str) -> Result<String> {
    let all = said(backfill(stage, &["status", "--json"])?)?;
    let all = all["backfills"].as_array().context("no backfills")?;
    let its = all.iter().find(|it| it["route"] == route).context("no backfill of the route")?;
    its["id"].as_str().map(str::to_owned).context("it has no ID")
}

/// Returns how many messages wait in a queue, or are being handled.
async fn left_in(stage: &Stage, queue: &str) -> Result<u32> {
    let names = [
        QueueAttributeName::ApproximateNumberOfMessages,
        QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    ];
    let url = stage.queue_url(queue).await?;
    let get = stage.cloud.data.sqs.get_queue_attributes().queue_url(url);
    let get = get.set_attribute_names(Some(names.to_vec()));
    let found = get.send().await.context("failed to look at a queue")?.attributes;
    let found = found.unwrap_or_default();
    names
        .iter()
        .map(|name| found.get(name).context("no number")?.parse::<u32>().context("no number"))
        .sum()
}

async fn put_old_objects(stage: &Stage, of: Place) -> Result<Vec<Object>> {
    let bucket = of.bucket;
    let written = Time(now().0 - 2 * 3_600_000);
    let puts = stream::iter(0..of.objects * GROUPS).map(async |number| {
        let key = format!("old/{}/{number:04} ü+%.csv", number / of.objects);
        let put = stage.cloud.data.s3.put_object().bucket(bucket).key(&key);
        let put = put.metadata("written", written.to_string());
        let put = put.body(b"day,weather\n1,sun\n".to_vec().into()).send().await;
        let put = put.with_context(|| format!("failed to put `{key}`"))?;
        let etag = put.e_tag.context("no ETag")?.trim_matches('"').to_owned();
        Ok(Object { key, etag, version_id: put.version_id, written })
    });
    puts.buffered(AT_ONCE).try_collect().await
}

/// Makes the message by which S3 would have announced an object.
fn entry(id: usize, bucket: &str, object: &Object) -> Result<SendMessageBatchRequestEntry> {
    let key = object.key.replace('%', "%25").replace('+', "%2B").replace('ü', "%C3%BC");
    let mut described = json!({
        "key": key.replace(' ', "+"), "size": 18, "eTag": object.etag,
        "sequencer": format!("{:018X}", id + 1),
    });
    if let Some(version_id) = &object.version_id {
        described["versionId"] = json!(version_id);
    }
    let event = json!({ "Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "eventTime": object.written.to_string(),
        "s3": { "bucket": { "name": bucket }, "object": described }
    }] });
    let entry = SendMessageBatchRequestEntry::builder().id(id.to_string());
    entry.message_body(event.to_string()).build().context("failed to make a message")
}

fn backfill(stage: &Stage, args: &[&str]) -> Result<Command> {
    let mut command = stage.cloud.landfall_without_profiles("backfill")?;
    command.args(args).env("AWS_PROFILE", "data");
    Ok(command)
}

fn said(mut command: Command) -> Result<Value> {
    let output = command.output().context("failed to run landfall")?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("no JSON: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Kills a backfill that has begun to send.
fn kill_soon(mut command: Command) -> Result<()> {
    let mut child = command.stderr(Stdio::piped()).spawn().context("failed to run landfall")?;
    wait_until_it_says(&mut child, " a second")?;
    // Between two pages, or in the middle of one.
    std::thread::sleep(Duration::from_millis(300));
    child.kill().context("failed to kill landfall")?;
    child.wait().context("failed to wait for landfall")?;
    Ok(())
}

fn wait_until_it_says(child: &mut Child, part: &str) -> Result<()> {
    use std::io::{BufRead, BufReader};
    let stderr = child.stderr.take().context("no standard error")?;
    let mut all = String::new();
    for line in BufReader::new(stderr).lines() {
        let line = line.context("failed to read")?;
        if line.contains(part) {
            return Ok(());
        }
        all.push_str(&line);
        all.push('\n');
    }
    bail!("it ended before it sent anything: {all}")
}
