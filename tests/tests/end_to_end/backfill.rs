//! Objects that S3 never announced.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_sqs::types::QueueAttributeName;
use landfall_aws::clock::now;
use landfall_aws::ledger::Wanted;
use landfall_core::moment::Time;
use landfall_tests::cloud::wait_until;
use serde_json::{Value, json};

use crate::stage::{SOON, Stage, assert_succeeded};

const BUCKET: &str = "acme-envelopes";
const ROUTE: &str = "backfilled";

/// The objects of each group, and the groups. The first one fills its batch; S3 announces half of the others.
const OBJECTS: usize = 40;
const GROUPS: usize = 4;

/// An object of which the event is kept back.
struct Object {
    key: String,
    etag: String,
    /// The bucket keeps versions.
    version_id: String,
    written: Time,
}

pub fn a_backfill_that_is_killed_twice_puts_each_object_into_one_batch_with_what_s3_announces(
    stage: &Stage,
) -> Result<()> {
    let objects = stage.cloud.wait(put_old_objects(stage))?;
    let late = objects.iter().skip(OBJECTS).step_by(2);
    let (before, after): (Vec<_>, Vec<_>) = late.enumerate().partition(|(n, _)| n % 2 == 0);
    let announce = async |objects: Vec<(usize, &Object)>| {
        let url = stage.queue_url("landfall-arrivals").await?;
        for (_, object) in objects {
            let send = stage.cloud.data.sqs.send_message().queue_url(&url);
            let send = send.message_body(event(object).to_string()).send().await;
            send.context("failed to send an event")?;
        }
        anyhow::Ok(())
    };
    let plan = said(backfill(stage, &["--route", ROUTE, "--dry-run", "--json"])?)?;
    ensure!(plan["counts"]["taken"] == OBJECTS * GROUPS, "{plan:#}");
    ensure!(plan["batches"] == GROUPS, "{plan:#}");

    // Some events come while the backfill is at work, which is killed twice.
    stage.cloud.wait(announce(before))?;
    kill_soon(backfill(stage, &["--route", ROUTE, "--yes", "--rate", "25"])?)?;
    let all = said(backfill(stage, &["status", "--json"])?)?;
    let id = all["backfills"][0]["id"].as_str().context("no backfill")?.to_owned();
    kill_soon(backfill(stage, &["resume", &id, "--rate", "25"])?)?;
    let mut resume = backfill(stage, &["resume", &id])?;
    let output = resume.output().context("failed to run landfall")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    stage.cloud.wait(announce(after))?;

    stage.cloud.wait(async {
        let wanted = Wanted { route: Some(ROUTE), since: Time(0), limit: 1_000, most_read: 1_000 };
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

        // The group of which S3 announced nothing fills its batch, and its run gets exactly that.
        let first = held[&objects[0].key].first().context("no batch")?.clone();
        let batch = stage.ledger.batch(&first).await?.context("no batch")?;
        ensure!(batch.listing.as_deref() == Some(id.as_str()), "{:?} found it", batch.listing);
        ensure!(batch.members == OBJECTS as u64, "{} members", batch.members);
        let uri = format!("s3://{BUCKET}/{}", objects[0].key);
        assert_succeeded(&stage.run_of("flood", &uri).await?)
    })?;
    let nothing = said(backfill(stage, &["--route", ROUTE, "--dry-run", "--json"])?)?;
    ensure!(nothing["counts"]["taken"] == 0, "{nothing:#}");
    ensure!(nothing["counts"]["known"] == OBJECTS * GROUPS, "{nothing:#}");
    Ok(())
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

async fn put_old_objects(stage: &Stage) -> Result<Vec<Object>> {
    let written = Time(now().0 - 2 * 3_600_000);
    let mut objects = Vec::new();
    for number in 0..OBJECTS * GROUPS {
        let key = format!("old/{}/{number:04} ü+%.csv", number / OBJECTS);
        let put = stage.cloud.data.s3.put_object().bucket(BUCKET).key(&key);
        let put = put.metadata("written", written.to_string());
        let put = put.body(b"day,weather\n1,sun\n".to_vec().into()).send().await;
        let put = put.with_context(|| format!("failed to put `{key}`"))?;
        let etag = put.e_tag.context("no ETag")?.trim_matches('"').to_owned();
        let version_id = put.version_id.context("no version ID")?;
        objects.push(Object { key, etag, version_id, written });
    }
    Ok(objects)
}

/// Makes the event that S3 would have sent.
fn event(object: &Object) -> Value {
    let key = object.key.replace('%', "%25").replace('+', "%2B").replace('ü', "%C3%BC");
    json!({ "Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "eventTime": object.written.to_string(),
        "s3": { "bucket": { "name": BUCKET }, "object": {
            "key": key.replace(' ', "+"), "size": 18, "eTag": object.etag,
            "versionId": object.version_id, "sequencer": "0055AED6DCD90281E5"
        } }
    }] })
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
    let said = said_first(&mut child, "sent ")?;
    // Between two pages, or in the middle of one.
    std::thread::sleep(Duration::from_millis(300));
    child.kill().context("failed to kill landfall")?;
    child.wait().context("failed to wait for landfall")?;
    ensure!(said.starts_with("sent "), "{said}");
    Ok(())
}

fn said_first(child: &mut Child, beginning: &str) -> Result<String> {
    use std::io::{BufRead, BufReader};
    let stderr = child.stderr.take().context("no standard error")?;
    let mut all = String::new();
    for line in BufReader::new(stderr).lines() {
        let line = line.context("failed to read")?;
        if line.starts_with(beginning) {
            return Ok(line);
        }
        all.push_str(&line);
        all.push('\n');
    }
    bail!("it ended before it sent anything: {all}")
}
