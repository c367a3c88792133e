//! Runs functions outside Lambda: as roles, through a proxy, with a ledger and claims of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use landfall_aws::ledger::Ledger;
use landfall_core::batch::Batch;
use landfall_tests::cloud::EXTERNAL_ID;
use landfall_tests::lambda::Function;
use landfall_tests::proxy::{Call, Fault, Proxy};
use landfall_tests::{ANALYTICS, DATA, REGION};
use serde_json::{Value, json};

use crate::stage::Stage;
use crate::{faults, ledger};

/// The job. Its runs succeed at once and claim nothing; the tests claim the batches instead.
pub const JOB: &str = "recovery";

/// The objects that land in each case. They belong to one group.
const KEYS: [&str; 3] = ["a", "b", "c d"];

const BUCKET: &str = "acme-recovery";

/// The time limit of a call.
const A_CALL: Duration = Duration::from_secs(60);

/// What all cases of a test share.
pub struct Fixture<'s> {
    stage: &'s Stage,
    /// A session of the functions' role.
    session: Value,
    folder: PathBuf,
}

/// One case of a test, with a ledger of its own.
pub struct Case<'g> {
    fixture: &'g Fixture<'g>,
    table: String,
    pub proxy: Proxy,
    pub ledger: Ledger,
    client: Client,
    /// How often `StartJobRun` was sent under earlier plans, and whether one of those plans
    /// disrupted it.
    sent: AtomicUsize,
    is_start_disrupted: AtomicBool,
}

/// Starts a session of a role of the data account.
pub fn session(stage: &Stage, role: &str) -> Result<Value> {
    let arn = format!("arn:aws:iam::{DATA}:role/{role}");
    let assume = ["sts", "assume-role", "--role-session-name", "recovery", "--role-arn", &arn];
    Ok(stage.cloud.data.cli.json(assume)?["Credentials"].take())
}

/// Returns the environment of every process: `session`, and the endpoint of AWS.
pub fn surroundings(session: &Value, endpoint: String) -> Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::from([
        ("AWS_REGION".to_owned(), REGION.to_owned()),
        ("AWS_ENDPOINT_URL".to_owned(), endpoint),
        ("LANDFALL_EXTERNAL_ID".to_owned(), EXTERNAL_ID.to_owned()),
    ]);
    for (variable, field) in [
        ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
        ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
        ("AWS_SESSION_TOKEN", "SessionToken"),
    ] {
        let value = session[field].as_str().context("a credential is missing")?;
        variables.insert(variable.to_owned(), value.to_owned());
    }
    Ok(variables)
}

/// Returns the path of the packaged binary.
pub fn binary(stage: &Stage, function: &str) -> PathBuf {
    stage.cloud.emulator.folder().join("stage").join(function).join("bootstrap")
}

impl<'s> Fixture<'s> {
    /// Makes a fixture whose route has this claim mode.
    pub fn new(stage: &'s Stage, name: &str, claim: &str) -> Result<Fixture<'s>> {
        let folder = stage.cloud.emulator.folder().join("tmp").join(name);
        fs::create_dir_all(&folder)?;
        let routes = json!({
            "version": 1,
            "targets": { "analytics": {
                "account": ANALYTICS, "region": REGION, "starter_role": "recovery-starter",
                "external_id": "${LANDFALL_EXTERNAL_ID}" } },
            "routes": [{ "name": "recovery", "bucket": BUCKET, "key": "{case}/{file}",
                "start": { "target": "analytics", "job": JOB, "claim": claim } }],
        });
        fs::write(folder.join("routes.yaml"), routes.to_string())?;
        Ok(Fixture { stage, session: session(stage, "recovery-function")?, folder })
    }

    pub async fn case(&self, name: &str) -> Result<Case<'_>> {
        let table = format!("recovery-{name}").to_lowercase();
        let emulator = self.stage.cloud.emulator.endpoint();
        let client = Client::new(&faults::config(emulator.clone(), DATA, A_CALL));
        let keys = [
            ("pk", "sk", None),
            ("due_shard", "due_at", Some("due")),
            ("awaits", "awaits_since", Some("awaits")),
        ];
        ledger::make_table(&client, &table, &keys).await?;
        ledger::make_claims(&client, &format!("{table}-claims")).await?;
        let ledger = Ledger::new(client.clone(), table.clone(), Duration::from_secs(86_400));
        Ok(Case {
            fixture: self,
            table,
            proxy: Proxy::start(&emulator)?,
            ledger,
            client,
            sent: AtomicUsize::new(0),
            is_start_disrupted: AtomicBool::new(false),
        })
    }
}

impl Case<'_> {
    /// Starts a process whose calls go through the proxy.
    pub fn function(&self, name: &str) -> Result<Function> {
        self.function_with(name, &[])
    }

    /// Starts such a process with additional variables.
    pub fn function_with(&self, name: &str, extra: &[(&str, &str)]) -> Result<Function> {
        let Fixture { stage, session, folder } = self.fixture;
        let mut variables = surroundings(session, self.proxy.endpoint())?;
        let claims = format!("arn:aws:dynamodb:{REGION}:{DATA}:table/{}-claims", self.table);
        variables.extend(
            [
                ("LAMBDA_TASK_ROOT", folder.display().to_string().as_str()),
                ("LANDFALL_READER_ROLE_ARN", &format!("arn:aws:iam::{DATA}:role/recovery-reader")),
                ("LANDFALL_LEDGER_TABLE", &self.table),
                ("LANDFALL_CLAIMS_TABLE_ARN", &claims),
                ("LANDFALL_MANIFESTS_BUCKET", BUCKET),
                ("LANDFALL_RECONCILIATION_SECONDS", "1"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        variables.extend(extra.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        let log = File::options().create(true).append(true).open(self.log())?;
        Function::start(&binary(stage, name), &variables, log.into())
    }

    fn log(&self) -> PathBuf {
        self.fixture.folder.join(format!("{}.log", self.table))
    }

    /// Returns the last lines that the functions logged.
    pub fn logged(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        landfall_tests::command::last_lines(&text, 12)
    }

    /// Returns the keys of this case. They differ between cases, because a batch's ID follows from
    /// its keys.
    fn keys(&self) -> [String; 3] {
        KEYS.map(|key| format!("{}/{key}", self.table))
    }

    /// Returns the messages that SQS delivers.
    pub fn messages(&self) -> Value {
        let records = self.keys().into_iter().enumerate().map(|(number, key)| {
            json!({ "messageId": format!("m{number}"), "eventSource": "aws:sqs",
                "body": notification(BUCKET, &key.replace(' ', "+"), number).to_string() })
        });
        json!({ "Records": records.collect::<Vec<_>>() })
    }

    /// Returns the batches that hold the objects. Fails if an object is in two batches. Returns
    /// none if an object is missing.
    pub async fn batches(&self) -> Result<Vec<Batch>> {
        let mut ids = BTreeSet::new();
        for key in self.keys() {
            let found = self.ledger.find(BUCKET, &key).await?;
            ensure!(found.len() <= 1, "`{key}` is in {} batches", found.len());
            match found.into_iter().next() {
                Some(found) => ids.insert(found.batch),
                None => return Ok(Vec::new()),
            };
        }
        let mut batches = Vec::new();
        let mut members = 0;
        for id in ids {
            let batch = self.ledger.batch(&id).await?.with_context(|| format!("no `{id}`"))?;
            members += self.ledger.members(&batch).await?.len();
            batches.push(batch);
        }
        ensure!(members == KEYS.len(), "{members} members of {}", KEYS.len());
        Ok(batches)
    }

    /// Returns the number of runs of a batch.
    pub async fn runs_of(&self, batch: &Batch) -> Result<usize> {
        let runs = self.fixture.stage.cloud.runs(JOB).await?;
        let id = |run: &aws_sdk_glue::types::JobRun| {
            run.arguments().and_then(|arguments| arguments.get("--landfall-batch-id").cloned())
        };
        Ok(runs.iter().filter(|run| id(run).as_ref() == Some(&batch.id)).count())
    }

    pub fn begin_plan(&self, faults: Vec<Fault>) {
        self.sent.fetch_add(starts(&self.proxy.calls()), Ordering::Relaxed);
        self.proxy.plan(faults);
    }

    /// Ends the plan, which was for this call. Returns `true` if the call was made.
    pub fn end_plan(&self, call: usize) -> bool {
        let calls = self.proxy.calls();
        let disrupted = calls.get(call - 1);
        let is_start = disrupted.is_some_and(|call| call.operation == START);
        self.is_start_disrupted.fetch_or(is_start, Ordering::Relaxed);
        self.begin_plan(vec![]);
        disrupted.is_some()
    }

    /// Returns how often `StartJobRun` was sent, or `None` if the outcome of the first was unclear.
    pub fn clear_starts(&self) -> Option<usize> {
        let sent = self.sent.load(Ordering::Relaxed) + starts(&self.proxy.calls());
        (!self.is_start_disrupted.load(Ordering::Relaxed)).then_some(sent)
    }

    /// Claims a batch as the run of this epoch does.
    pub async fn claim(&self, batch: &Batch) -> Result<()> {
        self.client
            .put_item()
            .table_name(format!("{}-claims", self.table))
            .item("batch_id", AttributeValue::S(batch.id.clone()))
            .item("holder", AttributeValue::S(format!("{}#nonce", batch.epoch)))
            .item("epoch", AttributeValue::N(batch.epoch.to_string()))
            .send()
            .await?;
        Ok(())
    }
}

const START: &str = "glue:StartJobRun";

fn starts(calls: &[Call]) -> usize {
    calls.iter().filter(|call| call.operation == START).count()
}

/// Returns S3's event for an object whose key is already encoded.
pub fn notification(bucket: &str, key: &str, number: usize) -> Value {
    json!({ "Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": REGION,
        "eventTime": "2026-01-31T12:00:00.000Z", "eventName": "ObjectCreated:Put",
        "s3": {
            "bucket": { "name": bucket },
            "object": { "key": key, "size": 18, "eTag": "0123456789abcdef0123456789abcdef",
                "sequencer": format!("{number:016X}") },
        },
    }] })
}
