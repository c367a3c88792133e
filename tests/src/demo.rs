//! Implements `make demo`: a real file lands in one account, and a Glue job turns it into Parquet
//! in the other. `make demo SCENE=…` shows something else instead.

mod role_deleted;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_glue::types::{JobRun, JobRunState};
use clap::ValueEnum;
use tempfile::NamedTempFile;

use crate::cloud::{
    ANALYTICS_ARTIFACTS, JOB, LANDING_BUCKET, LocalCloud, OUTPUT_BUCKET, Setup, has_ended,
    wait_until,
};
use crate::python::Python;
use crate::{ANALYTICS, DATA, REGION, progress, root};

const KEY: &str = "weather/city=seattle/seattle-weather.csv";
/// The same file for an ordinary job, its input, and its output.
const ORDINARY_JOB: &str = "weather-summary";
const ORDINARY_KEY: &str = "reports/seattle.csv";
const SUMMARY_KEY: &str = "summaries/seattle.json";
const TIME_TO_START: Duration = Duration::from_secs(60);
const TIME_TO_END: Duration = Duration::from_secs(120);
/// If the event that a run has ended doesn't arrive, the monitor asks Glue within a few minutes.
const TIME_TO_TELL: Duration = Duration::from_secs(300);

/// What the demo shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scene {
    /// A file lands in one account and starts a Glue job in the other.
    FileLands,
    /// Somebody deletes the reader role while a job runs and a batch waits.
    RoleDeleted,
}

impl Scene {
    /// Returns the file with the routes of the scene, next to those that users deploy.
    fn routes(self) -> &'static str {
        match self {
            Scene::FileLands => "tests/demo/route.yaml",
            Scene::RoleDeleted => role_deleted::ROUTES,
        }
    }

    fn show(self, cloud: &LocalCloud) -> Result<()> {
        match self {
            Scene::FileLands => show(cloud),
            Scene::RoleDeleted => role_deleted::show(cloud),
        }
    }
}

pub fn run(scene: Scene, keep: bool) -> Result<()> {
    println!(
        "\nLandfall: a file lands in one AWS account, and a Glue job runs in the other.\n\n\
         Two accounts of an emulated AWS on this machine, with IAM switched on:\n  \
         {DATA}  the data account: bucket `{LANDING_BUCKET}`, queue, trigger, reader role\n  \
         {ANALYTICS}  the analytics account: starter role, job `{JOB}`, bucket `{OUTPUT_BUCKET}`\n\n\
         Deploying Landfall with the templates and the binaries that users deploy:"
    );
    let routes = routes(scene)?;
    let cloud = LocalCloud::start(&Setup {
        routes: routes.path().to_owned(),
        routes_of_policies: None,
        parameters: vec![],
        target: None,
        minute: (scene == Scene::RoleDeleted).then_some(role_deleted::MINUTE),
    })?;
    // It is deployed. Nothing would remove it if this program were killed.
    drop(routes);
    let shown = scene.show(&cloud);
    if shown.is_err() {
        eprintln!("\nThe demo failed. The log lines below may show why.\n\n{}\n", cloud.hints());
    }
    if keep {
        if let Err(error) = &shown {
            eprintln!("error: {error:#}");
        }
        stay(&cloud)?;
    }
    shown
}

/// Returns the routes that users deploy, and those of the scene.
fn routes(scene: Scene) -> Result<NamedTempFile> {
    let routes = fs::read_to_string(root().join("infra/routes.yaml"))?;
    let more = fs::read_to_string(root().join(scene.routes()))?;
    let mut file = NamedTempFile::new().context("failed to make a file for the routes")?;
    file.write_all(format!("{routes}{more}").as_bytes())?;
    Ok(file)
}

fn show(cloud: &LocalCloud) -> Result<()> {
    // Daily weather in Seattle, 2012 to 2015, by NOAA (in the public domain), as the PyPI package
    // `vega_datasets` ships it (MIT).
    let data = fs::read(data_set(&cloud.python)?)?;
    let days = data.iter().filter(|byte| **byte == b'\n').count() - 1;
    show_claiming(cloud, data.clone(), days)?;
    show_ordinary(cloud, data, days)
}

/// A job with the library, which claims its batch and reads as the reader role.
fn show_claiming(cloud: &LocalCloud, data: Vec<u8>, days: usize) -> Result<()> {
    println!(
        "\nA file lands: {days} days of weather in Seattle\n  \
         (data: NOAA, public domain; from the PyPI package vega_datasets, MIT)\n  \
         → s3://{LANDING_BUCKET}/{KEY}"
    );
    let uploaded = Instant::now();
    cloud.wait(cloud.put(LANDING_BUCKET, KEY, data))?;

    println!(
        "\nS3 sends an event to the queue. The trigger takes the message, assumes the starter role, and …"
    );
    let id = started(cloud, JOB)?;
    let to_start = uploaded.elapsed();

    println!("\nThe job assumes the reader role back in {DATA}, reads, and writes Parquet …");
    let run = succeeded(cloud, JOB, &id)?;
    let report = report(cloud, &run)?;
    let (rows, objects) = count_rows(cloud, "parquet/")?;
    println!("  → {objects} Parquet files in s3://{OUTPUT_BUCKET}/parquet/");
    for (what, counted) in [
        ("the job read", report.read),
        ("the job wrote", report.written),
        ("the Parquet files hold", rows),
    ] {
        ensure!(counted == days, "the file holds {days} rows, but {what} {counted}");
    }

    println!("\nThe Parquet files hold {rows} rows, as many as the file that landed.");

    println!(
        "\nEventBridge reports the end of the run to the monitor. `landfall find` shows what became of the file:\n"
    );
    show_outcome(cloud, KEY)?;
    table(&[
        ("object", format!("s3://{LANDING_BUCKET}/{KEY}")),
        ("route", "weather".to_owned()),
        ("job run ID", id),
        ("rows read", report.read.to_string()),
        ("rows written", format!("{} in {objects} files", report.written)),
        ("upload to start", format!("{:.2} s", to_start.as_secs_f64())),
    ]);
    Ok(())
}

/// A job as it was before Landfall. It gets the object by an argument, and reads it with its own role.
fn show_ordinary(cloud: &LocalCloud, data: Vec<u8>, days: usize) -> Result<()> {
    println!(
        "\nAn ordinary job, `{ORDINARY_JOB}`, which knows nothing of Landfall (tests/demo/summary.py). Its route has\n\
         `claim: optional` and `access: bucket_policy`:"
    );
    progress::step("creating the job in the analytics account", || {
        for name in ["summary.py", "summary.yaml"] {
            cloud.stage(name, &fs::read_to_string(root().join("tests/demo").join(name))?)?;
        }
        cloud.analytics.cli.deploy("summary", "summary.yaml", ANALYTICS_ARTIFACTS, &[])
    })?;
    println!("\nThe same file lands for it\n  → s3://{LANDING_BUCKET}/{ORDINARY_KEY}");
    cloud.wait(cloud.put(LANDING_BUCKET, ORDINARY_KEY, data))?;
    let id = started(cloud, ORDINARY_JOB)?;
    succeeded(cloud, ORDINARY_JOB, &id)?;
    let get = cloud.analytics.s3.get_object().bucket(OUTPUT_BUCKET).key(SUMMARY_KEY);
    let summary = cloud.wait(async { anyhow::Ok(get.send().await?.body.collect().await?) })?;
    let summary: BTreeMap<String, usize> = serde_json::from_slice(&summary.into_bytes())
        .context("failed to read the job's summary")?;
    let counted: usize = summary.values().sum();
    ensure!(counted == days, "the file holds {days} days, but the job counted {counted}");
    println!("  → it wrote s3://{OUTPUT_BUCKET}/{SUMMARY_KEY}: {counted} days\n");
    show_outcome(cloud, ORDINARY_KEY)
}

/// Waits until a run of the job was started, and returns its ID.
fn started(cloud: &LocalCloud, job: &str) -> Result<String> {
    let run = cloud.wait(wait_until("no job run was started", TIME_TO_START, async || {
        Ok(cloud.runs(job).await?.pop())
    }))?;
    let id = run.id().context("the run has no ID")?.to_owned();
    println!("  → started run `{id}` of job `{job}` in account {ANALYTICS}");
    Ok(id)
}

/// Waits until the run has succeeded.
fn succeeded(cloud: &LocalCloud, job: &str, id: &str) -> Result<JobRun> {
    let run = cloud.wait(wait_until("the job run did not end", TIME_TO_END, async || {
        let runs = cloud.runs(job).await?;
        Ok(runs.into_iter().find(|other| other.id() == Some(id) && has_ended(other)))
    }))?;
    if run.job_run_state() != Some(&JobRunState::Succeeded) {
        bail!("job run `{id}` failed: {}", run.error_message().unwrap_or("no reason given"));
    }
    Ok(run)
}

/// Shows what `landfall find` says about the object, once it says how the run ended.
fn show_outcome(cloud: &LocalCloud, key: &str) -> Result<()> {
    let found =
        cloud.wait(wait_until("the ledger shows no outcome", TIME_TO_TELL, async || {
            let found = find(cloud, key)?;
            Ok(found.contains("succeeded").then_some(found))
        }))?;
    println!("{}", indented(&found));
    Ok(())
}

fn indented(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("  {line}\n")).collect()
}

/// Looks the file up as an operator would, with the command line that was built beside this
/// program.
fn find(cloud: &LocalCloud, key: &str) -> Result<String> {
    let mut command = std::process::Command::new(crate::command::beside_us("landfall")?);
    command
        .args(["find", &format!("s3://{LANDING_BUCKET}/{key}")])
        .env_clear()
        .env("AWS_REGION", REGION)
        .envs(cloud.data.cli.variables());
    crate::command::run(&mut command, "run `landfall find`")
}

fn data_set(python: &Python) -> Result<PathBuf> {
    for entry in fs::read_dir(python.folder().join("lib"))?.flatten() {
        let file = entry.path().join("site-packages/vega_datasets/_data/seattle-weather.csv");
        if file.exists() {
            return Ok(file);
        }
    }
    bail!("failed to find the data set `seattle-weather.csv` of the package vega_datasets")
}

/// The numbers that a run of the example job reports.
pub struct Report {
    pub read: usize,
    pub written: usize,
}

pub fn report(cloud: &LocalCloud, run: &JobRun) -> Result<Report> {
    let printed = cloud.printed_by(run);
    let last = printed.last().with_context(|| format!("run `{:?}` printed nothing", run.id()))?;
    let value: serde_json::Value = serde_json::from_str(last)
        .with_context(|| format!("failed to read the report of the run: `{last}`"))?;
    let number = |name: &str| {
        let number = value[name].as_u64().and_then(|number| usize::try_from(number).ok());
        number.with_context(|| format!("the run's report has no number `{name}`: `{last}`"))
    };
    Ok(Report { read: number("rows_read")?, written: number("rows_written")? })
}

/// Counts the rows and objects that a reader finds below a prefix of the output bucket.
pub fn count_rows(cloud: &LocalCloud, prefix: &str) -> Result<(usize, usize)> {
    let mut command = std::process::Command::new(cloud.python.program("python"));
    command
        .arg(root().join("tests/fixtures/count_rows.py"))
        .arg(format!("s3://{OUTPUT_BUCKET}/{prefix}"))
        .env_clear()
        .envs(crate::emulator::surroundings(&cloud.python, cloud.emulator.folder()))
        .envs(cloud.analytics.cli.variables());
    let printed = crate::command::run(&mut command, "read the Parquet files")?;
    let mut numbers = printed.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(rows)), Some(Ok(objects))) => Ok((rows, objects)),
        _ => bail!("failed to count the rows: `{printed}`"),
    }
}

fn table(rows: &[(&str, String)]) {
    let left = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let right = rows.iter().map(|(_, value)| value.chars().count()).max().unwrap_or(0);
    let line = |a, b, c| println!("{a}{}{b}{}{c}", "─".repeat(left + 2), "─".repeat(right + 2));
    line('┌', '┬', '┐');
    for (name, value) in rows {
        println!("│ {name:<left$} │ {value:<right$} │");
    }
    line('└', '┴', '┘');
}

/// Leaves everything running and explains how to reach it.
fn stay(cloud: &LocalCloud) -> Result<()> {
    let aws = cloud.python.program("aws");
    let endpoint = cloud.emulator.endpoint();
    let landfall = std::env::current_exe().unwrap_or_default().with_file_name("landfall");
    println!(
        "\nThe local cloud stays up until you press Ctrl-C. In another terminal, run:\n\n  \
         export AWS_ENDPOINT_URL={endpoint} AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION}\n  \
         export AWS_SECRET_ACCESS_KEY=any; unset AWS_PROFILE AWS_SESSION_TOKEN\n  \
         alias aws='{} --endpoint-url {endpoint}'\n  \
         printf 'date,weather\\n2026-01-01,sun\\n' > some.csv      # the job partitions by `weather`\n\n  \
         export AWS_ACCESS_KEY_ID={DATA}        # act as the data account\n  \
         aws s3 cp some.csv s3://{LANDING_BUCKET}/weather/city=paris/some.csv\n  \
         aws sqs list-queues\n  \
         aws logs filter-log-events --log-group-name /aws/lambda/landfall-trigger\n  \
         {} batches                   # what the ledger has\n  \
         {} console                   # the same, as pages in your browser\n\n  \
         export AWS_ACCESS_KEY_ID={ANALYTICS}        # act as the analytics account\n  \
         aws glue get-job-runs --job-name {JOB}\n  \
         aws s3 ls --recursive s3://{OUTPUT_BUCKET}/\n\n  \
         # Change the routes, then see what a deployment would change:\n  \
         AWS_CONFIG_FILE={} {} deploy infra/routes.yaml \\\n    \
         --data-profile data --analytics-profile analytics --package {} --dry-run\n\n\
         The access key ID names the account, and you act as its root. Root bypasses IAM. The trigger and the job don't.\n\
         The emulator's log is {}",
        aws.display(),
        landfall.display(),
        landfall.display(),
        cloud.emulator.folder().join("profiles").display(),
        landfall.display(),
        cloud.emulator.folder().join("stage").display(),
        cloud.emulator.log_file().display(),
    );
    while !cloud.emulator.has_ended() {
        thread::sleep(Duration::from_millis(500));
    }
    bail!("the emulator ended by itself")
}
