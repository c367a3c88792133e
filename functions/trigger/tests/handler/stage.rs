//! The function, with stand-ins for everything that it calls.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use lambda_runtime::{Context as LambdaContext, LambdaEvent};
use landfall_aws::advance::Clients;
use landfall_aws::clock::now;
use landfall_aws::ledger::{Ledger, Wanted};
use landfall_aws::metrics::Metrics;
use landfall_aws::settings::Settings;
use landfall_core::batch::Batch;
use landfall_core::moment::Time;
use landfall_stand_ins::{StandIn, Table};
use landfall_trigger::{Context, Error, Response, handle};
use serde_json::{Value, json};

/// An external ID that can be found in output by its mark.
pub const EXTERNAL_ID: &str = "external-id-7f3a";

pub const READER_ROLE: &str = "arn:aws:iam::111111111111:role/landfall-reader";
pub const CLAIMS_TABLE: &str = "arn:aws:dynamodb:eu-west-1:111111111111:table/claims";
pub const LEDGER: &str = "ledger";
pub const MANIFESTS: &str = "manifests";

pub const ROUTES: &str = r#"version: 1
targets:
  analytics: { account: "222222222222", region: eu-west-1, starter_role: landfall-starter, external_id: "${EXTERNAL_ID}" }
routes:
  - name: orders
    bucket: landing
    key: "orders/{day}/*"
    batch: { by: [day] }
    start: { target: analytics, job: orders, arguments: { "--day": "{day}" } }
  - name: named
    bucket: landing
    key: "named/{name}"
    batch: { by: [name] }
    start: { target: analytics, job: named, arguments: { "--name": "{name}" } }
  - name: windowed
    bucket: landing
    key: "windowed/{day}/*"
    batch: { by: [day], window: 5m }
    start: { target: analytics, job: windowed }
  - name: quiet
    bucket: landing
    key: "quiet/{day}/*"
    batch: { by: [day], quiet: 1m }
    start: { target: analytics, job: quiet }
  - name: counted
    bucket: landing
    key: "counted/{day}/*"
    batch: { by: [day], window: 5m, max_objects: 3 }
    start: { target: analytics, job: counted }
  - name: marked
    bucket: landing
    key: "marked/{day}/*"
    batch: { by: [day], window: 1h, marker: _SUCCESS, settle: 30s }
    start: { target: analytics, job: marked }
"#;

pub fn settings(extra: &[(&str, &str)]) -> Settings {
    settings_of(ROUTES, extra)
}

fn settings_of(routes: &str, extra: &[(&str, &str)]) -> Settings {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), routes).expect("writable");
    let path = file.path().to_str().expect("a path in UTF-8").to_owned();
    let variables = [
        ("LANDFALL_ROUTES", path.as_str()),
        ("EXTERNAL_ID", EXTERNAL_ID),
        ("LANDFALL_READER_ROLE_ARN", READER_ROLE),
        ("LANDFALL_LEDGER_TABLE", LEDGER),
        ("LANDFALL_CLAIMS_TABLE_ARN", CLAIMS_TABLE),
        ("LANDFALL_MANIFESTS_BUCKET", MANIFESTS),
        ("AWS_LAMBDA_FUNCTION_NAME", "landfall-trigger"),
    ];
    let find = |name: &str| {
        let all = extra.iter().chain(&variables);
        all.copied().find(|(n, _)| *n == name).map(|(_, value)| value.to_owned())
    };
    Settings::from_env(find).expect("settings")
}

pub struct Stage {
    pub aws: StandIn,
    pub config: SdkConfig,
    pub context: Context,
    pub ledger: Ledger,
    output: Buffer,
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// Makes the function with additional variables in its environment.
    pub async fn with(extra: &[(&str, &str)]) -> Self {
        let aws = StandIn::start(vec![Table::ledger(LEDGER), Table::claims("claims")]);
        // Use the configuration of the functions, with the stand-ins as AWS.
        let config = landfall_aws::config::loader()
            .endpoint_url(aws.endpoint())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::for_tests())
            .load()
            .await;
        let output = Buffer::default();
        let context = Context::new(settings(extra), &config, Metrics::new(output.clone(), LEDGER));
        let ledger = Clients::new(&settings(extra), &config).ledger;
        Self { aws, config, context, ledger, output }
    }

    /// Starts the function in a new process with these routes.
    pub fn renew(&mut self, routes: &str) {
        let metrics = Metrics::new(self.output.clone(), LEDGER);
        self.context = Context::new(settings_of(routes, &[]), &self.config, metrics);
    }

    pub async fn invoke(&self, event: &Value) -> Result<Response, Error> {
        self.invoke_with(event, Duration::from_secs(60)).await
    }

    pub async fn invoke_with(&self, event: &Value, left: Duration) -> Result<Response, Error> {
        let mut lambda = LambdaContext::default();
        let deadline = SystemTime::now() + left;
        let since_epoch = deadline.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        lambda.deadline = u64::try_from(since_epoch.as_millis()).expect("not too far away");
        let payload = serde_json::value::to_raw_value(event).expect("JSON");
        handle(&self.context, LambdaEvent::new(payload, lambda)).await
    }

    /// Returns the IDs of the messages to deliver again.
    pub async fn failures(&self, event: &Value) -> Vec<String> {
        self.failures_with(event, Duration::from_secs(60)).await
    }

    pub async fn failures_with(&self, event: &Value, left: Duration) -> Vec<String> {
        match self.invoke_with(event, left).await.expect("an answer") {
            Response::Sqs(response) => response
                .batch_item_failures
                .into_iter()
                .map(|failure| failure.item_identifier)
                .collect(),
            other => panic!("not an answer to SQS: {other:?}"),
        }
    }

    /// Returns all batches, oldest first.
    pub async fn batches(&self) -> Vec<Batch> {
        let wanted = Wanted { route: None, since: Time(0), limit: 1_000, most_read: 1_000 };
        let mut batches = self.ledger.batches(&wanted, |_| true).await.expect("the ledger").batches;
        batches.sort_by_key(|batch| batch.opened_at);
        batches
    }

    /// Returns the only batch.
    pub async fn batch(&self) -> Batch {
        let mut batches = self.batches().await;
        assert_eq!(batches.len(), 1, "{batches:?}");
        batches.remove(0)
    }

    /// Returns the IDs of the batches that are due.
    pub async fn due(&self) -> BTreeSet<String> {
        let (due, _) = self.ledger.due(now()).await.expect("the ledger");
        due.into_iter().map(|waiting| waiting.id).collect()
    }

    /// Returns the parameters of each `AssumeRole`.
    pub fn assumptions(&self) -> Vec<Value> {
        self.aws.calls_of("AssumeRole")
    }

    /// Returns the body of each `StartJobRun`.
    pub fn starts(&self) -> Vec<Value> {
        self.aws.calls_of("StartJobRun")
    }

    /// Returns the URLs in the manifest that this start passes to the job.
    pub fn inputs(&self, start: &Value) -> Vec<String> {
        self.urls(start["Arguments"]["--landfall-manifest"].as_str().expect("a manifest"))
    }

    /// Returns the URLs in a manifest.
    pub fn urls(&self, uri: &str) -> Vec<String> {
        let key = uri.strip_prefix("s3://manifests/").expect("in the bucket of manifests");
        let manifest = self.aws.object(MANIFESTS, key).expect("the manifest is there");
        let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
        let entries = manifest["entries"].as_array().expect("entries");
        entries.iter().map(|entry| entry["url"].as_str().expect("a URL").to_owned()).collect()
    }

    /// Returns the reported metrics, one value for each line.
    pub fn metrics(&self) -> Vec<Value> {
        self.output.text().lines().map(|l| serde_json::from_str(l).expect("JSON")).collect()
    }

    /// Returns how often each code was reported.
    pub fn codes(&self) -> BTreeMap<String, u64> {
        let mut codes = BTreeMap::new();
        for line in self.metrics() {
            if let (Some(code), Some(count)) = (line["Code"].as_str(), line["Failures"].as_u64()) {
                *codes.entry(code.to_owned()).or_default() += count;
            }
        }
        codes
    }
}

/// Returns what happened to a batch, in the words of its history.
pub fn history(batch: &Batch) -> Vec<&str> {
    batch.history.iter().map(|entry| entry.what.as_str()).collect()
}

pub fn record(key: &str) -> Value {
    record_of(key, "01")
}

/// Makes the record of one version of an object. A higher sequencer means a newer version.
pub fn record_of(key: &str, sequencer: &str) -> Value {
    let object = json!({ "key": key, "size": 1, "sequencer": sequencer });
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "eventTime": "2026-01-31T00:00:00.000Z",
        "s3": { "bucket": { "name": "landing" }, "object": object }
    })
}

pub fn body(key: &str) -> String {
    json!({ "Records": [record(key)] }).to_string()
}

/// Makes an SQS event whose messages have the IDs `m0`, `m1`, …
pub fn messages(bodies: &[String]) -> Value {
    let records = bodies.iter().enumerate().map(
        |(n, body)| json!({ "messageId": format!("m{n}"), "eventSource": "aws:sqs", "body": body }),
    );
    json!({ "Records": records.collect::<Vec<_>>() })
}

/// Makes an SQS event with one message for each object.
pub fn arrivals(keys: &[&str]) -> Value {
    messages(&keys.iter().map(|key| body(key)).collect::<Vec<_>>())
}

/// A buffer of which the test keeps a handle.
#[derive(Clone, Default)]
pub struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("UTF-8")
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
