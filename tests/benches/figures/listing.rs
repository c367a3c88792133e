//! `landfall backfill` with a million objects in the bucket. Calls, units and memory don't depend on how it was compiled, so
//! they are judged: an object takes as much of a million as of a hundred thousand, and the memory stays as it is.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use landfall_stand_ins::{Stack, StandIn, Table, Usage};
use landfall_tests::{ANALYTICS, DATA, REGION};
use serde_json::Value;

use crate::cost;
use crate::process::peak_kb;
use crate::report::Report;

const SIZES: [usize; 2] = [100_000, 1_000_000];
/// Of this many objects the route takes one, which is missing.
const OF: usize = 100;
const CITIES: usize = 10;
const BUCKET: &str = "acme-landing";
/// By how much the memory may grow.
const FLAT: f64 = 0.1;

struct Measured {
    objects: usize,
    usage: Usage,
    wall: Duration,
    peak_kb: u64,
}

impl Measured {
    fn calls(&self, operation: &str) -> f64 {
        self.usage.calls.get(operation).map_or(0.0, |calls| *calls as f64)
    }

    fn missing(&self) -> f64 {
        (self.objects / OF) as f64
    }
}

pub fn measure(functions: &Path, report: &mut Report) -> Result<()> {
    let measured = SIZES.map(|objects| backfill(functions, objects));
    let [few, many] = measured;
    let (few, many) = (few?, many?);
    let prices = cost::prices()?;
    let price = |of: &str| prices.get(of).copied().with_context(|| format!("no price of {of}"));
    let (list, read, send) = (price("s3_puts")?, price("read_units")?, price("sqs_requests")?);
    let mut rows = Vec::new();
    for one in [&few, &many] {
        let listed = one.calls("ListObjectsV2") * list / one.objects as f64;
        let looked_up = one.usage.read_units * read / one.missing();
        let sent = one.calls("SendMessageBatch") * send / one.missing();
        rows.push(vec![
            one.objects.into(),
            one.calls("ListObjectsV2").into(),
            one.calls("Query").into(),
            one.usage.read_units.into(),
            one.calls("SendMessageBatch").into(),
            (one.peak_kb as f64 / 1_024.0).into(),
            one.wall.as_secs_f64().into(),
            (listed * 1e6).into(),
            ((looked_up + sent) * 1e6).into(),
        ]);
    }
    report.table(
        "A backfill that looks and then sends, where one object of a hundred is missing and the route takes no others",
        &[
            "objects",
            "ListObjectsV2",
            "Query",
            "read units",
            "SendMessageBatch",
            "peak MB",
            "seconds",
            "dollars to list a million",
            "dollars to look up and send a million",
        ],
        &rows,
    );
    let growth = many.peak_kb as f64 / few.peak_kb as f64 - 1.0;
    report.check(growth <= FLAT, || {
        format!("a million objects take as much memory as a hundred thousand: {growth:+.2}")
    });
    for operation in ["ListObjectsV2", "Query", "SendMessageBatch"] {
        let each = |one: &Measured| one.calls(operation) / one.objects as f64;
        let growth = each(&many) / each(&few) - 1.0;
        report.check(growth <= FLAT, || {
            format!("an object takes as many {operation} of a million as of a hundred thousand: {growth:+.2}")
        });
    }
    Ok(())
}

fn backfill(functions: &Path, objects: usize) -> Result<Measured> {
    let aws = StandIn::start(vec![Table::ledger("landfall-ledger")]);
    aws.remember_calls(false);
    let queue = format!("arn:aws:sqs:{REGION}:{DATA}:landfall-backfill");
    let outputs = BTreeMap::from([("BackfillQueueArn".to_owned(), queue)]);
    let status = "UPDATE_COMPLETE".to_owned();
    aws.stack("landfall", Stack { status, outputs, ..Stack::default() });
    let written = SystemTime::now() - Duration::from_secs(86_400);
    for number in 0..objects {
        let end = if number.is_multiple_of(OF) { "csv" } else { "tmp" };
        let key = format!("sales/city={}/{number:08}.{end}", number / OF % CITIES);
        aws.put_object(BUCKET, &key, b"x", written);
    }
    let mut routes =
        tempfile::NamedTempFile::with_suffix(".yaml").context("failed to make a file")?;
    routes.write_all(ROUTES.replace("ANALYTICS", ANALYTICS).as_bytes())?;
    let began = Instant::now();
    let mut landfall = Command::new(functions.join("landfall"))
        .args(["backfill", "--route", "sales", "--yes", "--json", "--dpu-minutes", "2", "--routes"])
        .arg(routes.path())
        .env_clear()
        .envs([("AWS_ENDPOINT_URL", aws.endpoint()), ("AWS_REGION", REGION)])
        .envs([("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "secret")])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("failed to run landfall")?;
    let mut peak = 0;
    let status = loop {
        // A process that has ended has no memory any more.
        peak = peak.max(peak_kb(landfall.id()).unwrap_or_default());
        if let Some(status) = landfall.try_wait().context("failed to wait for landfall")? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    ensure!(status.success(), "landfall ended with {status}");
    let measured = Measured { objects, usage: aws.usage(), wall: began.elapsed(), peak_kb: peak };
    let sent = aws.take_messages("landfall-backfill");
    let sent = sent.iter().map(|message| message["MessageBody"].as_str().unwrap_or_default());
    let sent = sent.map(|body| {
        Ok(serde_json::from_str::<Value>(body)?["Records"].as_array().map_or(0, Vec::len))
    });
    let sent: usize = sent.sum::<Result<_>>()?;
    ensure!(sent == objects / OF, "{sent} objects were sent");
    Ok(measured)
}

const ROUTES: &str = r#"version: 1
targets:
  analytics: { account: "ANALYTICS", region: eu-west-1, starter_role: s, external_id: "${EXTERNAL_ID}" }
routes:
  - name: sales
    bucket: acme-landing
    key: "sales/city={city}/{file}.csv"
    batch: { by: [city] }
    start: { target: analytics, job: sales }
"#;
