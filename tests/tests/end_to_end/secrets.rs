//! What the provisioner logs at the lowest level, on its good and bad paths. No secret is in it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, ensure};
use landfall_aws::telemetry;
use landfall_tests::proxy::{Fault, Kind};
use serde_json::json;
use tracing_subscriber::filter::LevelFilter;
use wiremock::matchers::path;
use wiremock::{Mock, ResponseTemplate};

use crate::faults::{Life, PLENTY};
use crate::stage::Stage;

/// A text that is part of every secret: the external IDs, the credentials, the response URL.
const MARK: &str = "hushhush-7f3a";

/// Records from now on, at the lowest level, what functions in this process log.
pub fn listen() -> Result<()> {
    let subscriber = telemetry::subscriber(LevelFilter::TRACE, || log().clone());
    tracing::subscriber::set_global_default(subscriber).context("failed to listen to the log")
}

fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(Log::default)
}

pub fn no_line_of_the_provisioners_log_shows_a_secret(stage: &Stage) -> Result<()> {
    stage.cloud.wait(every_path(stage))?;
    let lines = log().text();
    for expected in ["CreateRole", "request served", "request failed", "no answer", "trying again"]
    {
        ensure!(lines.contains(expected), "the log does not hold `{expected}`:\n{lines}");
    }
    let shown: Vec<&str> = lines.lines().filter(|line| line.contains(MARK)).collect();
    ensure!(shown.is_empty(), "a secret is logged:\n{}", shown.join("\n"));
    Ok(())
}

async fn every_path(stage: &Stage) -> Result<()> {
    let life = Life::new(stage, "landfall-secretive", PLENTY).await?;
    let marked = |id: &str, kind: &str, physical_id: Option<&str>| {
        let mut request = life.request(id, kind, physical_id);
        request["ResponseURL"] = json!(format!("{}/{MARK}-{id}", life.sink.uri()));
        let properties = &mut request["ResourceProperties"];
        properties["ExternalId"] = json!(format!("{MARK}-one"));
        properties["PreviousExternalId"] = json!(format!("{MARK}-two"));
        request
    };
    life.proxy.plan(vec![
        Fault::at_nth("iam:CreateRole", 1, Kind::Throttle),
        Fault::at_nth("iam:PutRolePolicy", 1, Kind::Hang),
        Fault::at_nth("dynamodb:UpdateItem", 2, Kind::After500),
        Fault::at_nth("iam:GetRole", 1, Kind::Before500),
        Fault::at_nth("iam:GetRole", 2, Kind::Before500),
        Fault::at_nth("iam:GetRole", 3, Kind::Before500),
    ]);
    life.handle(&marked("create", "Create", None)).await?;
    let received = life.sink.received_requests().await.unwrap_or_default();
    let answer: serde_json::Value =
        serde_json::from_slice(&received.last().context("no answer arrived")?.body)?;
    ensure!(answer["Status"] == "SUCCESS", "{answer}");
    let id = answer["PhysicalResourceId"].as_str().context("no id")?.to_owned();
    life.handle(&marked("update", "Update", Some(&id))).await?;

    // External IDs that are invalid, of the wrong type, or in the wrong place.
    for (n, (field, value)) in [
        ("ExternalId", json!(format!("{MARK} with a space"))),
        ("ExternalId", json!([MARK])),
        ("ProvisioningExternalId", json!(format!("{MARK}?"))),
        (
            "Routes",
            json!({ "version": 1, "targets": { "a": { "external_id": format!("{MARK} x") } } }),
        ),
        ("MaxSessionDuration", json!("1")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut request = marked(&format!("bad-{n}"), "Update", Some(&id));
        request["ResourceProperties"][field] = value;
        life.handle(&request).await?;
    }
    // A provisioning role that doesn't exist, with an external ID that STS would repeat.
    let mut elsewhere = marked("elsewhere", "Update", Some(&id));
    elsewhere["ResourceProperties"]["ProvisioningRoleArn"] =
        json!("arn:aws:iam::222222222222:role/landfall/landfall-nobody");
    elsewhere["ResourceProperties"]["ProvisioningExternalId"] = json!(format!("{MARK}-three"));
    life.handle(&elsewhere).await?;

    // Requests that can't be read, and answers that don't arrive.
    let mut unreadable = marked("unreadable", "Recreate", None);
    life.handle(&unreadable).await?;
    unreadable["StackId"] = json!(null);
    ensure!(life.handle(&unreadable).await.is_err(), "an event without a stack was served");
    let refused =
        Mock::given(path(format!("/{MARK}-refused"))).respond_with(ResponseTemplate::new(403));
    refused.with_priority(1).mount(&life.sink).await;
    ensure!(life.handle(&marked("refused", "Update", Some(&id))).await.is_err(), "403 was taken");
    let mut astray = marked("astray", "Update", Some(&id));
    astray["ResponseURL"] = json!(format!("https://evil.example/{MARK}"));
    ensure!(life.handle(&astray).await.is_err(), "a foreign URL was accepted");

    life.handle(&marked("delete", "Delete", Some(&id))).await?;
    Ok(())
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
