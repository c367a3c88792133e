//! Batches that 0.1.0 left on their way, one for each way that one can be under way.
//!
//! `batches.json` has what the code of 0.1.0 wrote: the documents, the manifests and the keys. Its times count from a fixed
//! moment, which the test takes for a moment ago.

use anyhow::{Context, Result, ensure};
use landfall_aws::ledger::Ledger;
use landfall_core::batch::Batch;
use landfall_tests::cloud::wait_until;
use landfall_tests::root;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{BUCKET, JOB, PREFIX};
use crate::stage::{SOON, Stage, csv};

/// How many runs these batches have in the end.
pub const RUNS: usize = 5;

/// The moment that the times count from, in milliseconds.
const MOMENT: u64 = 1_000_000_000_000;

/// Longer ago than the lease of a start and the reconciliation window together.
const AGO: u64 = 40 * 60 * 1_000;

/// Stand for the object's size, its ETag, and the ID of the run that goes on.
const TOKENS: [&str; 3] = ["777777", "ETAG", "RUN_ID"];

/// The rows of each object.
const ROWS: usize = 3;

#[derive(Debug, Deserialize)]
pub struct Left {
    pub id: String,
    v: u32,
    pub revision: u64,
    pub state: String,
    route: String,
    created_at: u64,
    due_at: Option<u64>,
    awaits: Option<String>,
    doc: String,
    chunk: String,
    object: String,
    arrival: String,
    manifest: String,
}

impl Left {
    fn key(&self) -> &str {
        self.object.trim_start_matches("object#s3://acme-upgraded/")
    }
}

/// Uploads the objects of these batches.
pub fn put_objects(stage: &Stage) -> Result<()> {
    for left in read(&fixture()?)? {
        stage.cloud.wait(stage.cloud.put(BUCKET, left.key(), csv(ROWS)))?;
    }
    Ok(())
}

/// Starts the run that goes on, and puts what 0.1.0 left into the ledger.
pub fn put_batches(stage: &Stage) -> Result<Vec<Left>> {
    let (cloud, text) = (&stage.cloud, fixture()?);
    let head = ["s3api", "head-object", "--bucket", BUCKET, "--key"];
    let its = cloud.data.cli.json(head.iter().copied().chain([read(&text)?[0].key()]))?;
    let etag = its["ETag"].as_str().context("no ETag")?.trim_matches('"').to_owned();
    let known = |text: &str, run_id: &str| {
        let values = [csv(ROWS).len().to_string(), etag.clone(), run_id.to_owned()];
        TOKENS
            .iter()
            .zip(values)
            .fold(text.to_owned(), |text, (token, is)| text.replace(token, &is))
    };
    let manifests = format!("{PREFIX}-manifests-{}-us-east-1", landfall_tests::DATA);
    let unstarted = read(&known(&text, TOKENS[2]))?;
    for left in &unstarted {
        let key = format!("manifests/{}/{}.json", left.route, left.id);
        cloud.wait(cloud.put(&manifests, &key, left.manifest.clone()))?;
    }
    let going_on = unstarted.iter().find(|left| left.state == "started").context("none goes on")?;
    let document: Value = serde_json::from_str(&going_on.doc)?;
    let mut arguments = document["prepared"]["arguments"].clone();
    arguments["--landfall-epoch"] = json!("1");
    let start = ["glue", "start-job-run", "--job-name", JOB, "--arguments", &arguments.to_string()];
    let run = cloud.analytics.cli.json(start)?;
    let all = read(&known(&text, run["JobRunId"].as_str().context("no run ID")?))?;
    let items: Vec<Value> = all.iter().flat_map(items).collect();
    let puts: Vec<Value> =
        items.iter().map(|item| json!({ "PutRequest": { "Item": item } })).collect();
    let write = json!({ format!("{PREFIX}-ledger"): puts }).to_string();
    let written =
        cloud.data.cli.json(["dynamodb", "batch-write-item", "--request-items", &write])?;
    ensure!(written["UnprocessedItems"] == json!({}), "not everything was written: {written}");
    Ok(all)
}

/// Waits until each of these batches has come to its end, with one run each that had an effect, and returns the parked one.
pub fn come_to_their_end(stage: &Stage, ledger: &Ledger, left: &[Left]) -> Result<()> {
    for Left { id, revision, state, .. } in left {
        let at_its_end = |batch: &Batch| match state.as_str() {
            "parked" => batch.state.name() == "parked",
            _ => batch.state.name() == "succeeded",
        };
        let batch = ended(stage, ledger, id, at_its_end)?;
        let epoch = match state.as_str() {
            // Nobody knows whether the first start was made, until the window has passed.
            "starting" => 2,
            _ => 1,
        };
        ensure!(batch.epoch == epoch, "it was {state}, and is {batch:?}");
        if matches!(state.as_str(), "parked" | "succeeded") {
            ensure!(
                batch.revision == *revision,
                "it was {state}, and somebody wrote it: {batch:?}"
            );
        }
        if state == "parked" {
            let mut retry = stage.cloud.landfall_without_profiles("retry")?;
            retry.args(["--profile", "data", "--table", &format!("{PREFIX}-ledger"), id]);
            let retried = retry.output().context("failed to run `landfall retry`")?;
            ensure!(retried.status.success(), "{}", String::from_utf8_lossy(&retried.stderr));
            ended(stage, ledger, id, |batch| batch.state.name() == "succeeded")?;
        }
    }
    Ok(())
}

fn ended(
    stage: &Stage,
    ledger: &Ledger,
    id: &str,
    is_ended: impl Fn(&Batch) -> bool,
) -> Result<Batch> {
    let what = format!("batch {id} has not come to its end");
    stage.cloud.wait(wait_until(&what, SOON, async || {
        Ok(ledger.batch(id).await?.filter(|batch| is_ended(batch)))
    }))
}

/// Returns the items of a batch as 0.1.0 wrote them: the batch, its chunk and its object's arrival.
fn items(left: &Left) -> [Value; 3] {
    let Left {
        id,
        v,
        revision,
        state,
        route,
        created_at,
        due_at,
        awaits,
        doc,
        chunk,
        object,
        arrival,
        ..
    } = left;
    let number = |number: u64| json!({ "N": number.to_string() });
    let expires = number(4_102_444_800);
    let mut batch = json!({
        "pk": { "S": format!("batch#{id}") }, "sk": { "S": "batch" }, "v": number((*v).into()),
        "revision": number(*revision), "doc": { "S": doc }, "state": { "S": state }, "route": { "S": route },
        "created_at": number(*created_at),
    });
    if let Some(due_at) = due_at {
        let shard = id.bytes().fold(0_u8, u8::wrapping_add) % 4;
        batch["due_shard"] = json!({ "S": format!("due#{shard}") });
        batch["due_at"] = number(*due_at);
    }
    if let Some(awaits) = awaits {
        batch["awaits"] = json!({ "S": awaits });
        batch["awaits_since"] = number(*created_at);
    }
    if state == "succeeded" {
        batch["expires"] = expires.clone();
    }
    let chunk = json!({
        "pk": { "S": format!("chunk#{id}#0") }, "sk": { "S": "chunk" }, "v": { "N": "1" }, "revision": { "N": "1" },
        "doc": { "S": chunk }, "expires": expires,
    });
    let arrival = json!({
        "pk": { "S": object }, "sk": { "S": arrival }, "v": { "N": "1" }, "batch": { "S": id },
        "at": number(*created_at), "expires": expires,
    });
    [batch, chunk, arrival]
}

fn fixture() -> Result<String> {
    let path = root().join("tests/fixtures/0.1.0/batches.json");
    let text = std::fs::read_to_string(path).context("failed to read what 0.1.0 left")?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(moved(&text, u64::try_from(now.as_millis())? - AGO))
}

fn read(text: &str) -> Result<Vec<Left>> {
    serde_json::from_str(text).context("failed to understand what 0.1.0 left")
}

/// Returns the text with all its times counted from another moment.
fn moved(text: &str, to: u64) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find("10000000") {
        let (before, from) = rest.split_at(at);
        let digits = from.bytes().take_while(u8::is_ascii_digit).count();
        let time = from[..digits].parse::<u64>().ok().filter(|_| digits == 13);
        out.push_str(before);
        match time {
            Some(time) => out.push_str(&(to + time - MOMENT).to_string()),
            None => out.push_str(&from[..digits]),
        }
        rest = &from[digits..];
    }
    out + rest
}
