//! Runs the functions that are measured, in processes of their own, with AWS in memory beside them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use landfall_core::routes::packaged::package;
use landfall_stand_ins::{StandIn, Table};
use landfall_tests::lambda::{Answer, Function};
use landfall_tests::{ANALYTICS, DATA, REGION};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The bucket whose objects start at once, a group at a time.
pub const AT_ONCE: &str = "at-once";
/// The bucket whose objects wait for an hour.
pub const WINDOW: &str = "window";
pub const JOB: &str = "job";
pub const LEDGER: &str = "ledger";

/// Invocations get more time than they need.
const LEFT: Duration = Duration::from_secs(600);

/// An empty AWS, and the environment of the functions.
pub struct Stage {
    pub aws: StandIn,
    /// The endpoint at which the functions find AWS.
    pub endpoint: String,
    /// Further variables of the functions.
    pub variables: BTreeMap<String, String>,
    /// How much time an invocation gets.
    pub left: Duration,
    folder: TempDir,
    functions: PathBuf,
}

impl Stage {
    pub fn new(functions: &Path) -> Result<Stage> {
        let folder = tempfile::tempdir().context("failed to make a folder")?;
        let aws = StandIn::start(vec![Table::ledger(LEDGER), Table::claims("claims")]);
        // The calls are counted anyway.
        aws.remember_calls(false);
        let endpoint = aws.endpoint().to_owned();
        let functions = functions.to_owned();
        let stage =
            Stage { aws, endpoint, variables: BTreeMap::new(), left: LEFT, folder, functions };
        stage.have_routes(0)?;
        Ok(stage)
    }

    /// Gives the functions their two routes and so many more, packaged as for a deployment.
    pub fn have_routes(&self, more: usize) -> Result<()> {
        let text = routes(more);
        let packaged = package(&text).context("the routes are not valid")?;
        fs::write(self.folder().join("routes.yaml"), text)?;
        Ok(fs::write(self.folder().join("routes.packaged"), packaged)?)
    }

    /// Starts a new process of a function.
    pub fn start(&self, name: &str) -> Result<Function> {
        self.run(Command::new(self.binary(name)), name)
    }

    /// Returns the path of a function's binary.
    pub fn binary(&self, name: &str) -> PathBuf {
        self.functions.join(name)
    }

    /// Starts a function with a given command.
    pub fn run(&self, command: Command, name: &str) -> Result<Function> {
        let variables = [
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_SESSION_TOKEN", "token".to_owned()),
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("LAMBDA_TASK_ROOT", self.folder.path().display().to_string()),
            ("LANDFALL_LEDGER_TABLE", LEDGER.to_owned()),
            ("LANDFALL_CLAIMS_TABLE_ARN", format!("arn:aws:dynamodb:{REGION}:{DATA}:table/claims")),
            ("LANDFALL_MANIFESTS_BUCKET", "acme-manifests".to_owned()),
            ("LANDFALL_READER_ROLE_ARN", format!("arn:aws:iam::{DATA}:role/landfall/reader")),
            ("EXTERNAL_ID", "external-id-7f3a".to_owned()),
            // Only the peer reads this variable.
            ("ANALYTICS_ACCOUNT", ANALYTICS.to_owned()),
        ];
        let mut variables: BTreeMap<String, String> =
            variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        variables.extend(self.variables.clone());
        let log = File::create(self.log(name)).context("failed to create a log")?;
        Function::run(command, &format!("landfall-{name}"), &variables, log.into())
    }

    /// Returns the function's answer. Fails if it is an error.
    pub async fn invoke(&self, name: &str, function: &Function, event: Value) -> Result<Value> {
        match function.invoke(event, self.left).await? {
            Answer::Response(answer) => Ok(answer),
            other => {
                bail!("the {name} answered {other:?}; it logged\n{}", self.logged(name));
            }
        }
    }

    /// Passes an event to the trigger, one arrival in each message. Fails unless the trigger takes
    /// all of them.
    pub async fn arrive(&self, trigger: &Function, event: Value) -> Result<()> {
        let answer = self.invoke("trigger", trigger, event).await?;
        if answer != json!({ "batchItemFailures": [] }) {
            bail!("the trigger answered {answer}; it logged\n{}", self.logged("trigger"));
        }
        Ok(())
    }

    /// Returns a folder for whatever is measured.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns what a function has logged.
    pub fn logged(&self, name: &str) -> String {
        fs::read_to_string(self.log(name)).unwrap_or_default()
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }
}

/// Returns the text of both routes, and of as many more of the first one's bucket.
fn routes(more: usize) -> String {
    let route = |name: &str, closing: &str| {
        format!(
            r#"  - name: {name}
    bucket: {name}
    key: "sales/city={{city}}/{{file}}.csv"
    batch: {{ by: [city]{closing} }}
    start: {{ target: analytics, job: {JOB}, arguments: {{ "--city": "{{city}}" }} }}
"#
        )
    };
    let others = (0..more).map(|number| {
        format!(
            r#"  - name: table{number}
    bucket: {AT_ONCE}
    key: "table{number}/city={{city}}/{{file}}.csv"
    batch: {{ by: [city] }}
    start: {{ target: analytics, job: job{number}, arguments: {{ "--city": "{{city}}" }} }}
"#
        )
    });
    format!(
        r#"version: 1
targets:
  analytics:
    account: "{ANALYTICS}"
    region: {REGION}
    starter_role: landfall/starter
    external_id: ${{EXTERNAL_ID}}
routes:
{}{}{}"#,
        route(AT_ONCE, ""),
        route(WINDOW, ", window: 1h"),
        others.collect::<String>(),
    )
}

/// Makes an SQS event with this many arrivals in `groups` groups, one message each, as S3 writes
/// them. `round` makes the arrivals of an event differ from those of another.
pub fn event(bucket: &str, round: usize, arrivals: usize, groups: usize) -> Value {
    let message = |number: usize| {
        let city = number % groups;
        let key = format!("sales/city%3D{city:05}/part-{round:05}-{number:06}.csv");
        json!({
            "messageId": format!("11111111-2222-3333-4444-{number:012}"),
            "receiptHandle": "AQEB".repeat(90),
            "body": notification(bucket, &key, number).to_string(),
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1767225600000",
                "SenderId": "AROAEXAMPLEEXAMPLE:S3-PROD-END",
                "ApproximateFirstReceiveTimestamp": "1767225600001",
            },
            "messageAttributes": {},
            "md5OfBody": "0123456789abcdef0123456789abcdef",
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:{REGION}:{DATA}:landfall-events"),
            "awsRegion": REGION,
        })
    };
    json!({ "Records": (0..arrivals).map(message).collect::<Vec<_>>() })
}

fn notification(bucket: &str, key: &str, number: usize) -> Value {
    json!({ "Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": { "principalId": "AWS:AROAEXAMPLEEXAMPLE:writer" },
        "requestParameters": { "sourceIPAddress": "10.0.0.1" },
        "responseElements": {
            "x-amz-request-id": "0123456789ABCDEF",
            "x-amz-id-2": "abcdefghijklmnopqrstuvwxyz/0123456789/ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "landfall",
            "bucket": {
                "name": bucket,
                "ownerIdentity": { "principalId": "A1EXAMPLE" },
                "arn": format!("arn:aws:s3:::{bucket}"),
            },
            "object": {
                "key": key,
                "size": 1_048_576 + number,
                "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "versionId": "096fKKXTRTtl3on89fVO.nfljtsv6qko",
                "sequencer": format!("0055AED6DCD9{number:08X}"),
            },
        },
    }]})
}
