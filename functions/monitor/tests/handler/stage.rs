//! Trigger and monitor, with stand-ins for everything that they call.

mod environment;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::types::AttributeValue;
use lambda_runtime::{Context as LambdaContext, LambdaEvent};
use landfall_aws::advance::Clients;
use landfall_aws::clock::now;
use landfall_aws::ledger::{Ledger, Wanted};
use landfall_aws::metrics::Metrics;
use landfall_core::batch::{Batch, Failed, Started, Starting, State};
use landfall_core::moment::Time;
use landfall_monitor::{Context, Error, Response, Ticked};
use landfall_stand_ins::{Run, StandIn, Table};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

pub use self::environment::{EXTERNAL_ID, OTHER_EXTERNAL_ID, ROUTES};
use self::environment::{settings, settings_of, settings_with};

pub const LEDGER: &str = "ledger";
const CLAIMS: &str = "claims";

/// The time that an invocation has left by default.
pub const LEFT: Duration = Duration::from_secs(60);

/// Too little time for a start, and enough for anything else.
pub const NOT_ENOUGH: Duration = Duration::from_secs(15);

/// How long Glue may hide a run that was started.
pub const WINDOW: Duration = Duration::from_secs(900);

pub struct Stage {
    pub aws: StandIn,
    pub ledger: Ledger,
    config: SdkConfig,
    trigger: landfall_trigger::Context,
    monitor: Context,
    output: Buffer,
    output_of_trigger: Buffer,
}

impl Stage {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// Makes both functions with additional variables in their environments.
    pub async fn with(extra: &[(&str, &str)]) -> Self {
        let aws = StandIn::start(vec![Table::ledger(LEDGER), Table::claims(CLAIMS)]);
        let config = landfall_aws::config::loader()
            .endpoint_url(aws.endpoint())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::for_tests())
            .load()
            .await;
        let (output, output_of_trigger) = (Buffer::default(), Buffer::default());
        let settings = || settings_with(extra);
        let metrics = Metrics::new(output_of_trigger.clone(), LEDGER);
        let trigger = landfall_trigger::Context::new(settings(), &config, metrics);
        let monitor = Context::new(&settings(), &config, Metrics::new(output.clone(), LEDGER));
        let ledger = Clients::new(&settings(), &config).ledger;
        Self { aws, ledger, config, trigger, monitor, output, output_of_trigger }
    }

    /// Starts the monitor in a new process, which remembers nothing.
    pub fn renew_monitor(&mut self) {
        self.monitor =
            Context::new(&settings(), &self.config, Metrics::new(self.output.clone(), LEDGER));
    }

    /// Starts both functions in new processes with these routes.
    pub fn reroute(&mut self, routes: &str) {
        let (settings, config) = (settings_of(routes), &self.config);
        self.monitor = Context::new(&settings, config, Metrics::new(self.output.clone(), LEDGER));
        let metrics = Metrics::new(std::io::sink(), LEDGER);
        self.trigger = landfall_trigger::Context::new(settings, config, metrics);
    }

    /// Delivers these objects to the trigger, which starts what it can.
    pub async fn arrive(&self, keys: &[&str]) {
        self.try_arrive(keys, LEFT).await.expect("recorded");
    }

    /// Delivers these objects to the trigger, which has no time to start anything.
    pub async fn record(&self, keys: &[&str]) {
        self.try_arrive(keys, NOT_ENOUGH).await.expect("recorded");
    }

    /// Delivers an object to the trigger in an SQS message with this ID.
    pub async fn arrive_in_message(&self, message_id: &str, key: &str) {
        let body = json!({ "Records": [created(key)] }).to_string();
        let message = json!({ "messageId": message_id, "eventSource": "aws:sqs", "body": body });
        let event = invocation(&json!({ "Records": [message] }), LEFT);
        landfall_trigger::handle(&self.trigger, event).await.expect("an answer");
    }

    /// Delivers each object to the trigger in a message of its own. Returns the IDs of the messages
    /// to deliver again.
    pub async fn arrive_in_messages(&self, keys: &[String]) -> Vec<String> {
        let messages = keys.iter().enumerate().map(|(number, key)| {
            let body = json!({ "Records": [created(key)] }).to_string();
            json!({ "messageId": format!("m{number}"), "eventSource": "aws:sqs", "body": body })
        });
        let event = json!({ "Records": messages.collect::<Vec<_>>() });
        let answer = landfall_trigger::handle(&self.trigger, invocation(&event, LEFT)).await;
        match answer.expect("an answer") {
            landfall_trigger::Response::Sqs(response) => {
                let failures = response.batch_item_failures.into_iter();
                failures.map(|failure| failure.item_identifier).collect()
            }
            other => panic!("not to SQS: {other:?}"),
        }
    }

    /// Copies a batch and its first chunk `count` times, each with an ID of its own, due for this
    /// many seconds. `edit` changes the item of a copy.
    pub fn copies(
        &self,
        batch: &Batch,
        count: usize,
        secs: u64,
        edit: impl Fn(&mut Value),
    ) -> Vec<String> {
        let item = |pk: String, sk: &str| self.aws.item(LEDGER, &[&pk, sk]).expect("it is there");
        let original = item(format!("batch#{}", batch.id), "batch");
        let chunk = item(format!("chunk#{}#0", batch.id), "chunk");
        let ids = (0..count).map(|number| format!("{}-{secs}-{number}", batch.id));
        ids.inspect(|id| {
            let mut copy = original.clone();
            let doc = copy["doc"]["S"].as_str().expect("a document").replace(&batch.id, id);
            let shard = id.bytes().fold(0_u8, u8::wrapping_add) % 4;
            copy["pk"] = json!({ "S": format!("batch#{id}") });
            copy["doc"] = json!({ "S": doc });
            copy["due_shard"] = json!({ "S": format!("due#{shard}") });
            copy["due_at"] = json!({ "N": past(secs).0.to_string() });
            edit(&mut copy);
            assert!(self.aws.put_item(LEDGER, &copy));
            let mut copy = chunk.clone();
            copy["pk"] = json!({ "S": format!("chunk#{id}#0") });
            assert!(self.aws.put_item(LEDGER, &copy));
        })
        .collect()
    }

    pub async fn try_arrive(
        &self,
        keys: &[&str],
        left: Duration,
    ) -> Result<landfall_trigger::Response, landfall_trigger::Error> {
        let records = keys.iter().map(|key| created(key));
        let event = json!({ "Records": records.collect::<Vec<_>>() });
        landfall_trigger::handle(&self.trigger, invocation(&event, left)).await
    }

    pub async fn invoke(&self, event: &Value, left: Duration) -> Result<Response, Error> {
        landfall_monitor::handle(&self.monitor, invocation(event, left)).await
    }

    pub async fn tick(&self) -> Ticked {
        self.tick_with(LEFT).await
    }

    pub async fn tick_with(&self, left: Duration) -> Ticked {
        match self.invoke(&tick(), left).await.expect("an answer") {
            Response::Tick(ticked) => ticked,
            Response::Sqs(response) => panic!("not the answer to a tick: {response:?}"),
        }
    }

    /// Reports the ends of these runs to the monitor. Returns the IDs of the messages to deliver
    /// again.
    pub async fn told(&self, runs: &[&Run]) -> Vec<String> {
        let bodies: Vec<Value> = runs.iter().map(|run| ended(&run.job, &run.id)).collect();
        self.messages(&bodies, LEFT).await
    }

    /// Delivers messages with the IDs `m0`, `m1`, … for the first time.
    pub async fn messages(&self, bodies: &[Value], left: Duration) -> Vec<String> {
        self.messages_again(bodies, 1, left).await
    }

    /// Delivers messages for the `count`th time.
    pub async fn messages_again(
        &self,
        bodies: &[Value],
        count: u64,
        left: Duration,
    ) -> Vec<String> {
        let records = bodies.iter().enumerate().map(|(n, body)| {
            let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            let attributes = json!({ "ApproximateReceiveCount": count.to_string() });
            json!({
                "messageId": format!("m{n}"), "eventSource": "aws:sqs", "body": body,
                "attributes": attributes,
            })
        });
        let event = json!({ "Records": records.collect::<Vec<_>>() });
        match self.invoke(&event, left).await.expect("an answer") {
            Response::Sqs(response) => {
                let failures = response.batch_item_failures.into_iter();
                let mut ids: Vec<String> = failures.map(|f| f.item_identifier).collect();
                ids.sort_unstable();
                ids
            }
            Response::Tick(ticked) => panic!("not an answer to SQS: {ticked:?}"),
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

    /// Reads a batch again.
    pub async fn again(&self, batch: &Batch) -> Batch {
        self.ledger.batch(&batch.id).await.expect("the ledger").expect("it is there")
    }

    /// Writes a batch as if its time had come a moment ago.
    pub async fn make_due(&self, batch: Batch) -> Batch {
        let state = due_at(batch.state.clone(), past(1));
        self.write(Batch { state, ..batch }).await
    }

    pub async fn write(&self, batch: Batch) -> Batch {
        self.ledger.write(batch).await.expect("the ledger").expect("nobody else writes it")
    }

    /// Ends a run with this state. A run that succeeds claims its batch first, as the jobs do.
    pub async fn end(&self, run: &Run, state: &str) {
        if state == "SUCCEEDED" {
            self.claim(run).await;
        }
        assert!(self.aws.set_run_state(&run.id, state), "{run:?}");
    }

    /// Claims a run's batch for it.
    pub async fn claim(&self, run: &Run) {
        let epoch = &run.arguments["--landfall-epoch"];
        self.dynamodb()
            .update_item()
            .table_name(CLAIMS)
            .key("batch_id", text(&run.arguments["--landfall-batch-id"]))
            .update_expression("SET #holder = :holder, #epoch = :epoch")
            .condition_expression("attribute_not_exists(#holder) OR #epoch <= #ended")
            .expression_attribute_names("#holder", "holder")
            .expression_attribute_names("#epoch", "epoch")
            .expression_attribute_names("#ended", "ended")
            .expression_attribute_values(":holder", text(&format!("{epoch}-nonce")))
            .expression_attribute_values(":epoch", AttributeValue::N(epoch.clone()))
            .send()
            .await
            .expect("the claim is free");
    }

    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config)
    }

    /// Returns the only run of a job.
    pub fn run(&self, job: &str) -> Run {
        let mut runs = self.aws.runs(job);
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs.remove(0)
    }

    /// Returns the runs of a job that have not ended.
    pub fn running(&self, job: &str) -> Vec<Run> {
        self.aws.runs(job).into_iter().filter(|run| run.ended_at.is_none()).collect()
    }

    /// Returns how many batches hold the slot of a job.
    pub async fn live(&self, job: &str) -> usize {
        let slot = self.ledger.slot(&format!("222222222222/eu-west-1/{job}")).await;
        slot.expect("the ledger").live.len()
    }

    /// Returns how often `StartJobRun` was called.
    pub fn starts(&self) -> usize {
        self.aws.calls_of("StartJobRun").len()
    }

    /// Returns the metrics that the monitor reported, one value for each line.
    pub fn metrics(&self) -> Vec<Value> {
        lines(&self.output)
    }

    /// Returns the sum of a metric over all lines.
    pub fn sum(&self, metric: &str) -> u64 {
        self.metrics().iter().filter_map(|line| line[metric].as_u64()).sum()
    }

    /// Returns how often the monitor reported each code.
    pub fn codes(&self) -> BTreeMap<String, u64> {
        codes(&self.output)
    }

    pub fn codes_of_trigger(&self) -> BTreeMap<String, u64> {
        codes(&self.output_of_trigger)
    }
}

fn codes(output: &Buffer) -> BTreeMap<String, u64> {
    let mut codes = BTreeMap::new();
    for line in lines(output) {
        if let (Some(code), Some(count)) = (line["Code"].as_str(), line["Failures"].as_u64()) {
            *codes.entry(code.to_owned()).or_default() += count;
        }
    }
    codes
}

fn lines(output: &Buffer) -> Vec<Value> {
    output.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Makes S3's record of an object's creation.
pub fn created(key: &str) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
        "eventTime": "2026-01-31T00:00:00.000Z",
        "s3": {
            "bucket": { "name": "landing" },
            "object": { "key": key, "size": 1, "sequencer": "01" },
        },
    })
}

pub fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn invocation(event: &Value, left: Duration) -> LambdaEvent<Box<RawValue>> {
    let mut lambda = LambdaContext::default();
    let deadline = SystemTime::now() + left;
    let since_epoch = deadline.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    lambda.deadline = u64::try_from(since_epoch.as_millis()).expect("not too far away");
    LambdaEvent::new(to_raw_value(event).expect("JSON"), lambda)
}

pub fn tick() -> Value {
    json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} })
}

/// Makes EventBridge's event of a run's end.
pub fn ended(job: &str, run_id: &str) -> Value {
    json!({
        "version": "0", "source": "aws.glue", "detail-type": "Glue Job State Change",
        "account": "222222222222", "region": "eu-west-1",
        "detail": { "jobName": job, "jobRunId": run_id, "state": "SUCCEEDED", "severity": "INFO" },
    })
}

/// Returns the time this many seconds ago.
pub fn past(secs: u64) -> Time {
    now() - Duration::from_secs(secs)
}

fn due_at(state: State, at: Time) -> State {
    match state {
        State::Open { .. } => State::Open { closes_at: at },
        State::Sealed { waits_for_slot, .. } => State::Sealed { due: at, waits_for_slot },
        State::Starting(Starting { t0, lease, missing, .. }) => {
            State::Starting(Starting { t0, lease, look_at: at, missing })
        }
        State::Started(run) => State::Started(Started { look_at: at, ..run }),
        State::Failed(run) => State::Failed(Failed { look_at: at, ..run }),
        state => panic!("{state:?} is never due"),
    }
}

/// Returns what happened to a batch, in the words of its history.
pub fn history(batch: &Batch) -> Vec<&str> {
    batch.history.iter().map(|entry| entry.what.as_str()).collect()
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
