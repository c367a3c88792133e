//! What the runs of a backfill will cost, and how long they take at least.

use std::fmt::{self, Write};
use std::time::Duration;

use landfall_aws::clock::now;
use landfall_core::routes::Route;
use landfall_inspection::Place;
use landfall_inspection::cloudwatch::{CloudWatch, Metric};
use serde::Serialize;

use super::Desk;
use crate::args::backfill::StartArgs;
use crate::terminal::phrases::counted;
use crate::terminal::printable;

/// How far back the average of runs goes.
const HISTORY: Duration = Duration::from_secs(30 * 86_400);

/// What the runs will cost, and how long they take at least.
#[derive(Debug, Serialize)]
pub struct Estimate {
    /// Minutes of a DPU that a run uses; `null` if nobody knows.
    dpu_minutes_per_run: Option<f64>,
    /// `given`, `history` or `unknown`.
    from: &'static str,
    /// Why the history says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    dollars: Option<f64>,
    /// At the limit of starts in an hour, the route's or the backfill's own; `null` if there is none.
    hours: Option<f64>,
    /// Whose limit that is.
    #[serde(skip)]
    limit: Option<&'static str>,
}

impl Estimate {
    pub async fn new(desk: &Desk, args: &StartArgs, route: &Route, runs: u64) -> Self {
        let (minutes, from, problem) = match args.dpu_minutes {
            Some(minutes) => (Some(minutes), "given", None),
            None => match history(desk, args, &route.name).await {
                Ok(Some(minutes)) => (Some(minutes), "history", None),
                Ok(None) => {
                    (None, "unknown", Some("no run of it has ended in the last 30 days".to_owned()))
                }
                Err(why) => (None, "unknown", Some(why)),
            },
        };
        let runs = runs as f64;
        Self {
            dpu_minutes_per_run: minutes,
            from,
            problem,
            dollars: minutes.map(|minutes| runs * minutes / 60.0 * args.dpu_hour_price),
            hours: limit(args, route).map(|(most, _)| runs / f64::from(most)),
            limit: limit(args, route).map(|(_, whose)| whose),
        }
    }

    pub fn write(&self, route: &Route, out: &mut String) -> fmt::Result {
        let Self { dpu_minutes_per_run, from, problem, dollars, hours, limit } = self;
        match (dpu_minutes_per_run, dollars) {
            (Some(minutes), Some(dollars)) => {
                let source = match *from {
                    "history" => "the average of the last 30 days",
                    _ => "as given",
                };
                writeln!(
                    out,
                    "costs of these runs: about {dollars:.2} dollars, at {minutes:.1} DPU minutes a run ({source})"
                )?;
            }
            _ => writeln!(
                out,
                "costs of these runs: unknown ({}); to estimate them, give --dpu-minutes",
                printable(problem.as_deref().unwrap_or_default())
            )?,
        }
        if let (Some(hours), Some(whose)) = (hours, limit) {
            writeln!(out, "at {whose} max_runs_per_hour, the runs start within {hours:.1} hours")?;
        }
        if let Some(most) = route.limits.max_concurrent_runs {
            writeln!(out, "at most {} at the same time", counted(u64::from(most), "run"))?;
        }
        Ok(())
    }
}

/// Returns the smaller limit of starts in an hour, and whose it is.
fn limit(args: &StartArgs, route: &Route) -> Option<(u32, &'static str)> {
    let limits = [
        (args.max_runs_per_hour, "the backfill's"),
        (route.limits.max_runs_per_hour, "the route's"),
    ];
    limits
        .into_iter()
        .filter_map(|(most, whose)| Some((most?, whose)))
        .min_by_key(|(most, _)| *most)
}

/// Returns how many minutes of a DPU the route's runs used on average.
async fn history(desk: &Desk, args: &StartArgs, route: &str) -> Result<Option<f64>, String> {
    let dimensions = || vec![("Ledger", args.ledger.table.as_str()), ("Route", route)];
    let of = |statistic| Metric {
        namespace: "Landfall",
        name: "DpuSeconds",
        dimensions: dimensions(),
        statistic,
    };
    let until = now();
    let Place { partition, region, .. } = &desk.place;
    let totals = CloudWatch::new(desk.connection.config(), partition, region);
    let totals = totals.totals(&[of("Sum"), of("SampleCount")], until - HISTORY, until).await;
    match totals.map_err(|unseen| unseen.to_string())?.as_slice() {
        [sum, count] if *count > 0.0 => Ok(Some(sum / count / 60.0)),
        _ => Ok(None),
    }
}
