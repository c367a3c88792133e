//! Batches that an event announces: a rule on the default bus hears of them, as `docs/events.md` says.

use anyhow::{Context, Result, ensure};
use aws_sdk_sqs::types::QueueAttributeName;
use landfall_core::batch::{Batch, State};
use landfall_tests::cloud::wait_until;
use landfall_tests::{DATA, REGION};
use serde_json::{Value, json};

use crate::stage::{SOON, Stage};

const NAME: &str = "orders-closed";

pub fn a_rule_hears_that_a_batch_has_closed_and_whoever_listens_reads_its_manifest(
    stage: &Stage,
) -> Result<()> {
    let cloud = &stage.cloud;
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*",
        "Principal": { "Service": "events.amazonaws.com" } }] });
    let create = cloud.data.sqs.create_queue().queue_name(NAME);
    let create = create.attributes(QueueAttributeName::Policy, policy.to_string());
    let created = cloud.wait(create.send()).context("failed to create a queue")?;
    let queue = created.queue_url().context("the queue has no URL")?;
    let cli = &cloud.data.cli;
    let pattern = r#"{"source":["landfall"],"detail-type":["Landfall Batch Closed"],"detail":{"route":["told"]}}"#;
    cli.run(["events", "put-rule", "--name", NAME, "--event-pattern", pattern])?;
    let target = format!("Id=queue,Arn=arn:aws:sqs:{REGION}:{DATA}:{NAME}");
    cli.run(["events", "put-targets", "--rule", NAME, "--targets", &target])?;
    cloud.wait(async {
        stage.upload("in/told/2026-01-31/a.csv", "day,weather\n1,sun\n").await?;
        let event = heard(stage, queue).await?;
        let detail = &event["detail"];
        let text =
            |name: &str| detail[name].as_str().with_context(|| format!("no `{name}`: {event}"));
        ensure!(event["account"] == DATA, "not from the data account: {event}");
        let id = text("batch_id")?;
        let batch = settled(stage, id).await?;
        ensure!(batch.state == State::Announced && batch.runs.is_empty(), "{batch:?}");
        ensure!(detail["group"] == json!({ "day": "2026-01-31" }), "{event}");
        ensure!((&detail["objects"], &detail["version"]) == (&json!(1), &json!(1)), "{event}");
        let uri = text("manifest_uri")?;
        let (bucket, key) = uri
            .strip_prefix("s3://")
            .and_then(|rest| rest.split_once('/'))
            .with_context(|| format!("`{uri}` is no URI"))?;
        let manifest = cloud.data.s3.get_object().bucket(bucket).key(key).send().await;
        let manifest = manifest.with_context(|| format!("failed to get `{uri}`"))?;
        let manifest = manifest.body.collect().await.context("failed to read the manifest")?;
        let manifest: Value = serde_json::from_slice(&manifest.into_bytes())?;
        let entries = manifest["entries"].as_array().context("no entries")?;
        let urls: Vec<&Value> = entries.iter().map(|entry| &entry["url"]).collect();
        ensure!(urls == ["s3://acme-landing/in/told/2026-01-31/a.csv"], "{manifest}");
        Ok(())
    })
}

/// Returns the first event that the rule sends to the queue.
async fn heard(stage: &Stage, queue: &str) -> Result<Value> {
    let sqs = &stage.cloud.data.sqs;
    wait_until("no event was heard", SOON, async || {
        let received = sqs.receive_message().queue_url(queue).send().await;
        let received = received.context("failed to receive an event")?;
        let body = received.messages().first().and_then(|message| message.body());
        body.map(|body| serde_json::from_str(body).context("the event is no JSON")).transpose()
    })
    .await
}

/// Returns the batch once nothing is left to do.
async fn settled(stage: &Stage, id: &str) -> Result<Batch> {
    wait_until("the batch is not settled", SOON, async || {
        let batch = stage.ledger.batch(id).await.context("failed to read the batch")?;
        Ok(batch.filter(|batch| batch.state.is_final()))
    })
    .await
}
