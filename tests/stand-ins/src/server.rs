//! The server: identifies the call of a request, applies the rules, and puts the answer on the
//! wire.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::future::pending;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response, server};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use crate::call::{Answer, Call};
use crate::cloudformation::CloudFormation;
use crate::dynamodb::{DynamoDb, Table};
use crate::glue::Glue;
use crate::iam::Iam;
use crate::s3::S3;
use crate::settings::{self, Settings};
use crate::sts::StsState;

/// What becomes of a call.
#[derive(Clone, Debug)]
pub enum Act {
    /// The call takes effect, and the answer is AWS's.
    Serve,
    /// The call fails without effect.
    Fail { status: u16, code: &'static str },
    /// The call takes effect, but the answer is an error.
    ServeThenFail { status: u16, code: &'static str },
    /// The call takes effect, and the answer comes this much later.
    ServeLate(Duration),
    /// The call has no effect and never gets an answer.
    Hang,
    /// The call takes effect but never gets an answer.
    ServeThenHang,
    /// The connection closes without an answer, and the call has no effect.
    Drop,
    /// The call takes effect, then the connection closes without an answer.
    DropAfter,
    /// The call gets this answer and has no effect.
    Answer { status: u16, body: String },
    /// The call conflicts with a transaction and has no effect: `TransactWriteItems` is cancelled
    /// because of its first item, and DynamoDB refuses other writes.
    Conflict,
}

pub(crate) type Rule = Arc<dyn Fn(&Call, usize) -> Act + Send + Sync>;

pub(crate) struct State {
    pub(crate) dynamodb: DynamoDb,
    pub(crate) glue: Glue,
    pub(crate) s3: S3,
    pub(crate) sts: StsState,
    pub(crate) cloudformation: CloudFormation,
    pub(crate) iam: Iam,
    pub(crate) settings: Settings,
    /// The messages that were sent to queues, by URL.
    pub(crate) messages: BTreeMap<String, Vec<Value>>,
    /// The values of secrets, by ARN.
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) calls: Vec<Arc<Call>>,
    pub(crate) remembers: bool,
    pub(crate) counts: HashMap<String, u64>,
    /// The rule of each operation, and the number of calls that it has seen.
    pub(crate) rules: HashMap<String, (Rule, usize)>,
    pub(crate) latency: Duration,
    /// The time, if a test has set it.
    pub(crate) time: Option<SystemTime>,
}

pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock")
    }
}

impl State {
    pub(crate) fn new(tables: Vec<Table>) -> State {
        State {
            dynamodb: DynamoDb::new(tables),
            glue: Glue::default(),
            s3: S3::default(),
            sts: StsState::default(),
            cloudformation: CloudFormation::default(),
            iam: Iam::default(),
            settings: Settings::default(),
            messages: BTreeMap::new(),
            secrets: BTreeMap::new(),
            calls: Vec::new(),
            remembers: true,
            counts: HashMap::new(),
            rules: HashMap::new(),
            latency: Duration::ZERO,
            time: None,
        }
    }

    /// Records a call, and returns its rule and its number.
    fn begin(&mut self, call: &Arc<Call>) -> Option<(Rule, usize)> {
        match self.counts.get_mut(&call.operation) {
            Some(count) => *count += 1,
            None => drop(self.counts.insert(call.operation.clone(), 1)),
        }
        if self.remembers {
            self.calls.push(Arc::clone(call));
        }
        let (rule, seen) = self.rules.get_mut(&call.operation)?;
        *seen += 1;
        Some((Arc::clone(rule), *seen - 1))
    }

    pub(crate) fn serve(&mut self, call: &Call, content: Bytes) -> Answer {
        let now = self.time.unwrap_or_else(SystemTime::now);
        match call.service {
            "dynamodb" => self.dynamodb.serve(&call.operation, &call.body),
            "glue" => self.glue.serve(&call.operation, &call.body, now),
            "sts" => self.sts.serve(&call.operation, &call.body, now),
            "cloudformation" => self.cloudformation.serve(&call.operation, &call.body),
            "iam" => self.iam.serve(&call.operation, &call.body),
            "events" if call.operation == "PutEvents" => crate::events::put(&call.body),
            "events" => self.settings.events(&call.operation, &call.body),
            "sqs" if call.operation == "GetQueueAttributes" => {
                let sent = call.body["QueueUrl"].as_str().and_then(|url| self.messages.get(url));
                self.settings.queue(&call.body, sent.map_or(0, Vec::len))
            }
            "sqs" => crate::sqs::serve(&mut self.messages, &call.operation, &call.body),
            "kms" => self.settings.kms(&call.operation, &call.body),
            "lambda" => self.settings.lambda(&call.operation, &call.body),
            "access-analyzer" => self.settings.access_analyzer(&call.operation, &call.body),
            "secretsmanager" => crate::secrets::serve(&self.secrets, &call.operation, &call.body),
            _ => self.s3.serve(call, content),
        }
    }
}

/// Serves until the future is dropped or the listener fails.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime with I/O");
    while let Ok((stream, _)) = listener.accept().await {
        // Without this, an answer in two parts waits until the client acknowledges the first.
        stream.set_nodelay(true).ok();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let answer = service_fn(|request| handle(request, &shared));
            // If a connection breaks, either a rule or the client broke it.
            server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await
                .ok();
        });
    }
}

/// The error that closes the connection without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed without an answer")
    }
}

impl std::error::Error for Closed {}

async fn handle(
    request: Request<Incoming>,
    shared: &Shared,
) -> Result<Response<Full<Bytes>>, Closed> {
    let (parts, body) = request.into_parts();
    let content = body.collect().await.map_err(|_| Closed)?.to_bytes();
    let (call, content) = identify(&parts, content);
    let call = Arc::new(call);
    let (rule, latency) = {
        let mut state = shared.lock();
        (state.begin(&call), state.latency)
    };
    let act = rule.map_or(Act::Serve, |(rule, number)| rule(&call, number));
    let served = || shared.lock().serve(&call, content);
    let failed = |status, code| Answer::error(call.service, status, code, "as the test asks");
    let answer = match act {
        Act::Serve => served(),
        Act::Fail { status, code } => failed(status, code),
        Act::ServeThenFail { status, code } => {
            served();
            failed(status, code)
        }
        Act::ServeLate(by) => {
            let answer = served();
            tokio::time::sleep(by).await;
            answer
        }
        Act::Hang => never(pending().await),
        Act::ServeThenHang => {
            served();
            never(pending().await)
        }
        Act::Drop => return Err(Closed),
        Act::DropAfter => {
            served();
            return Err(Closed);
        }
        Act::Answer { status, body } => match call.service {
            "sts" | "s3" | "cloudformation" | "iam" => Answer::xml(status, body),
            _ => Answer::new(status, "application/x-amz-json-1.0", body),
        },
        Act::Conflict if call.operation == "TransactWriteItems" => DynamoDb::conflict(&call.body),
        Act::Conflict => failed(400, "TransactionConflictException"),
    };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    Ok(answer.response().map(Full::new))
}

fn never(never: Infallible) -> Answer {
    match never {}
}

/// Identifies the call of a request. For S3, it returns the content of the object too.
pub(crate) fn identify(parts: &Parts, content: Bytes) -> (Call, Bytes) {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some((service, operation)) = header("x-amz-target").and_then(|t| t.split_once('.')) {
        let service = match service {
            "AWSEvents" => "events",
            "AmazonSQS" => "sqs",
            "CloudTrail_20131101" => "cloudtrail",
            "secretsmanager" => "secretsmanager",
            "TrentService" => "kms",
            service if service.starts_with("DynamoDB") => "dynamodb",
            _ => "glue",
        };
        let body = serde_json::from_slice(&content).unwrap_or(Value::Null);
        return (Call { service, operation: operation.to_owned(), body }, Bytes::new());
    }
    let content_type = header(CONTENT_TYPE.as_str()).unwrap_or_default();
    if content_type.starts_with("application/x-www-form-urlencoded") {
        let form: Vec<(String, String)> =
            serde_urlencoded::from_bytes(&content).unwrap_or_default();
        let body: Value =
            form.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
        let operation = body["Action"].as_str().unwrap_or_default().to_owned();
        // The version identifies the service, because no service has ever changed its version.
        let service = match body["Version"].as_str() {
            Some("2010-05-15") => "cloudformation",
            Some("2010-05-08") => "iam",
            _ => "sts",
        };
        return (Call { service, operation, body }, Bytes::new());
    }
    // The signature says which service the request is for.
    let scope = header("authorization").and_then(|text| text.split('/').nth(3));
    if let Some(call) = scope.and_then(|scope| settings::identify(scope, parts, &content)) {
        return (call, Bytes::new());
    }
    crate::s3::identify(parts, content)
}
