//! Dollars for a million objects, computed from counted calls: Landfall's as the stand-ins count
//! them, and those of others as their designs say. `auditors` computes those of the auditors.
//! `cost/prices.json` has the prices, their dates and their sources.

mod auditors;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use crate::monitor::{make_due, tick};
use crate::report::Report;
use crate::stage::{AT_ONCE, JOB, Stage, event};

const BATCHES: [usize; 3] = [1, 100, 10_000];
const OBJECTS: f64 = 1e6;
/// The number of messages that Lambda takes from a queue with one request, and of arrivals in an
/// invocation.
const A_REQUEST: usize = 10;
const AN_INVOCATION: usize = 2_500;

#[derive(Deserialize)]
struct Data {
    region: String,
    prices: BTreeMap<String, Price>,
    glue: Glue,
    /// The assumed duration of an AWS call.
    call_seconds: f64,
    /// The memory of Landfall's functions.
    lambda_gb: f64,
    designs: Vec<Design>,
}

#[derive(Deserialize)]
struct Price {
    dollars: f64,
    of: String,
    as_of: String,
    source: String,
}

/// The Glue runs. In every design, each run has the same size and the shortest duration that Glue
/// bills.
#[derive(Deserialize)]
struct Glue {
    dpus: f64,
    least_seconds: f64,
    crawler_dpus: f64,
    crawler_least_seconds: f64,
}

#[derive(Deserialize)]
struct Design {
    name: String,
    note: String,
    steps: Vec<Step>,
}

/// What happens once for this many objects of a batch, or for those that are left.
#[derive(Deserialize)]
struct Step {
    objects: usize,
    counts: Counts,
}

type Counts = BTreeMap<String, f64>;

/// Returns the prices in dollars.
pub fn prices() -> Result<BTreeMap<String, f64>> {
    let prices = data()?.prices.into_iter();
    Ok(prices.map(|(of, price)| (of, price.dollars)).collect())
}

fn data() -> Result<Data> {
    serde_json::from_str(include_str!("cost/prices.json")).context("failed to read the prices")
}

pub async fn measure(functions: &Path, report: &mut Report) -> Result<()> {
    let data = data()?;
    let mut landfall = Vec::new();
    for objects in BATCHES {
        landfall.push(of_landfall(functions, &data, objects).await?);
    }
    let mut designs = vec![("Landfall".to_owned(), "counted".to_owned(), landfall)];
    for design in &data.designs {
        let counted = BATCHES.map(|objects| design.counts(objects)).to_vec();
        designs.push((design.name.clone(), design.note.clone(), counted));
    }
    let mut rows = Vec::new();
    for (name, note, counted) in &designs {
        let mut row = vec![Value::from(name.as_str())];
        for (objects, counts) in BATCHES.iter().zip(counted) {
            row.push(dollars(data.price(counts)? * OBJECTS / *objects as f64));
        }
        for (objects, counts) in BATCHES.iter().zip(counted) {
            let without_glue = counts.iter().filter(|(what, _)| !is_glue(what));
            let without_glue = without_glue.map(|(what, count)| (what.clone(), *count)).collect();
            row.push(dollars(data.price(&without_glue)? * OBJECTS / *objects as f64));
        }
        row.push(note.as_str().into());
        rows.push(row);
    }
    auditors::measure(functions, &data, report).await?;
    report.table(
        &format!("Dollars for a million objects, {}; objects a batch", data.region),
        &[
            "",
            "1",
            "100",
            "10,000",
            "1, without Glue",
            "100, without Glue",
            "10,000, without Glue",
            "",
        ],
        &rows,
    );
    let rows =
        data.prices.iter().filter(|(what, _)| !what.ends_with("metrics")).map(|(_, price)| {
            let Price { dollars, of, as_of, source } = price;
            let million = Value::from(dollars * 1e6);
            vec![of.as_str().into(), million, as_of.as_str().into(), source.as_str().into()]
        });
    report.table(
        "The prices",
        &["", "dollars for a million", "as of", "source"],
        &rows.collect::<Vec<_>>(),
    );
    Ok(())
}

impl Design {
    fn counts(&self, objects: usize) -> Counts {
        let mut all = Counts::new();
        for step in &self.steps {
            let times = objects.div_ceil(step.objects) as f64;
            for (what, count) in &step.counts {
                *all.entry(what.clone()).or_default() += count * times;
            }
        }
        all
    }
}

impl Data {
    fn price(&self, counts: &Counts) -> Result<f64> {
        let hours = |dpus: f64, seconds: f64| dpus * seconds / 3_600.0;
        let Glue { dpus, least_seconds, crawler_dpus, crawler_least_seconds } = self.glue;
        let mut sum = 0.0;
        for (what, count) in counts {
            let (what, count) = match what.as_str() {
                "glue_runs" => ("glue_dpu_hours", count * hours(dpus, least_seconds)),
                "crawls" => ("glue_dpu_hours", count * hours(crawler_dpus, crawler_least_seconds)),
                other => (other, *count),
            };
            let price = self.prices.get(what).with_context(|| format!("`{what}` has no price"))?;
            sum += count * price.dollars;
        }
        Ok(sum)
    }
}

fn is_glue(what: &str) -> bool {
    matches!(what, "glue_runs" | "crawls")
}

/// Counts the calls for a batch of this many objects that closes at once, from the queue until its
/// run has ended. The monitor looks at it once while it runs.
async fn of_landfall(functions: &Path, data: &Data, objects: usize) -> Result<Counts> {
    let stage = Stage::new(functions)?;
    let trigger = stage.start("trigger")?;
    stage.arrive(&trigger, event(AT_ONCE, 0, objects, 1)).await?;
    let monitor = stage.start("monitor")?;
    make_due(&stage.aws).await?;
    tick(&stage, &monitor).await?;
    for run in stage.aws.runs(JOB) {
        stage.aws.set_run_state(&run.id, "SUCCEEDED");
    }
    make_due(&stage.aws).await?;
    tick(&stage, &monitor).await?;
    let usage = stage.aws.usage();
    let calls: u64 = usage.calls.values().sum();
    let of = |operation: &str| usage.calls.get(operation).copied().unwrap_or(0) as f64;
    let gb_seconds = calls as f64 * data.call_seconds * data.lambda_gb;
    let received = 2 * objects.div_ceil(A_REQUEST);
    let counts = [
        ("sqs_requests", (objects + received) as f64),
        ("lambda_requests", objects.div_ceil(AN_INVOCATION) as f64),
        ("lambda_gb_seconds", gb_seconds),
        ("write_units", usage.write_units),
        ("read_units", usage.read_units),
        ("s3_puts", of("PutObject")),
        ("glue_runs", of("StartJobRun")),
    ];
    Ok(counts.into_iter().map(|(what, count)| (what.to_owned(), count)).collect())
}

fn dollars(dollars: f64) -> Value {
    dollars.into()
}
