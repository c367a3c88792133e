//! Many messages and uploads at once: none gets lost, and none hides another.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use landfall_tests::cloud::{LANDING_BUCKET, wait_until};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::stage::{SOON, Stage};

const UPLOADS: usize = 2_000;
const AT_ONCE: usize = 16;
const TIME_FOR_FLOOD: Duration = Duration::from_secs(300);

pub fn one_malformed_message_among_many_fails_alone(stage: &Stage) -> Result<()> {
    // A message that a sender other than S3 might put there, cut off as a faulty relay might do it.
    let malformed = r#"{"Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"name": "acme-"#;
    let wanted: BTreeSet<String> =
        (0..30).map(|n| format!("s3://{LANDING_BUCKET}/in/crowd/{n}.csv")).collect();
    let mut bodies: Vec<String> = (0..30).map(|n| event(&format!("in/crowd/{n}.csv"))).collect();
    bodies.insert(17, malformed.to_owned());

    stage.cloud.wait(async {
        let url = stage.queue_url("landfall-arrivals").await?;
        for ten in bodies.chunks(10) {
            let entries = ten.iter().enumerate().map(|(id, body)| {
                SendMessageBatchRequestEntry::builder()
                    .id(id.to_string())
                    .message_body(body)
                    .build()
            });
            let send = stage.cloud.data.sqs.send_message_batch().queue_url(&url);
            let send = send.set_entries(Some(entries.collect::<Result<_, _>>()?));
            let sent = send.send().await.context("failed to send the messages")?;
            ensure!(sent.failed().is_empty(), "messages were refused: {:?}", sent.failed());
        }
        stage.dead_letter("that is malformed", |body| body == malformed).await?;
        wait_until("not every good message started a run", SOON, async || {
            Ok((given(stage, "crowd", "in/crowd/").await? == wanted).then_some(()))
        })
        .await?;
        let dead = stage.dead_letters().await?;
        let siblings = dead.iter().filter(|body| body.contains("in/crowd/")).count();
        ensure!(siblings == 0, "{siblings} good messages are in the dead-letter queue");
        Ok(())
    })
}

/// Uploads 2000 objects. The emulator passes at most ten messages to an invocation; the handler's
/// tests cover larger batches.
pub fn every_one_of_2000_uploads_reaches_a_run(stage: &Stage) -> Result<()> {
    let keys: Vec<String> = (0..UPLOADS).map(|n| format!("in/flood/{n:04}.csv")).collect();
    let wanted: BTreeSet<String> =
        keys.iter().map(|key| format!("s3://{LANDING_BUCKET}/{key}")).collect();
    stage.cloud.wait(async {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let mut uploads = JoinSet::new();
        for key in keys {
            let permit = permits.clone().acquire_owned().await?;
            let s3 = stage.cloud.data.s3.clone();
            uploads.spawn(async move {
                let body = b"day,weather\n1,sun\n".to_vec().into();
                let put = s3.put_object().bucket(LANDING_BUCKET).key(&key).body(body).send().await;
                drop(permit);
                put.map(drop).with_context(|| format!("failed to upload `{key}`"))
            });
        }
        while let Some(upload) = uploads.join_next().await {
            upload??;
        }
        wait_until("not every upload reached a run", TIME_FOR_FLOOD, async || {
            Ok((given(stage, "flood", "in/flood/").await?.len() >= UPLOADS).then_some(()))
        })
        .await?;
        let reached = given(stage, "flood", "in/flood/").await?;
        ensure!(reached == wanted, "lost: {:?}", wanted.difference(&reached).collect::<Vec<_>>());
        let dead = stage.dead_letters().await?;
        let lost = dead.iter().filter(|body| body.contains("in/flood/")).count();
        ensure!(lost == 0, "{lost} messages are in the dead-letter queue");
        Ok(())
    })
}

/// Returns the URLs below a prefix that the job's runs were given.
async fn given(stage: &Stage, job: &str, prefix: &str) -> Result<BTreeSet<String>> {
    let runs = stage.cloud.runs(job).await?;
    let beginning = format!("s3://{LANDING_BUCKET}/{prefix}");
    let mut urls = BTreeSet::new();
    for run in &runs {
        let inputs = stage.inputs(run).await?;
        urls.extend(inputs.into_iter().filter(|url| url.starts_with(&beginning)));
    }
    Ok(urls)
}

fn event(key: &str) -> String {
    json!({
        "Records": [{
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": "us-east-1",
            "eventTime": "2026-01-31T12:00:00.000Z",
            "eventName": "ObjectCreated:Put",
            "s3": {
                "s3SchemaVersion": "1.0",
                "bucket": { "name": LANDING_BUCKET, "arn": format!("arn:aws:s3:::{LANDING_BUCKET}") },
                "object": { "key": key, "size": 18, "eTag": "0123456789abcdef0123456789abcdef", "sequencer": "0055AED6DCD90281E5" },
            },
        }],
    })
    .to_string()
}
