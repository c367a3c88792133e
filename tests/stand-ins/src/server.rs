//! The server: which call a request is, what a rule makes of it, and the answer on the wire.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::future::pending;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, server};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::cloudformation::CloudFormation;
use crate::dynamodb::{DynamoDb, Table};
use crate::glue::Glue;
use crate::iam::Iam;
use crate::s3::S3;
use crate::sts::StsState;

/// A call, as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// `cloudformation`, `dynamodb`, `events`, `glue`, `iam`, `s3`, `secretsmanager`, `sqs` or `sts`.
    pub service: &'static str,
    /// `StartJobRun`; of S3 `PutObject` and `GetObject`.
    pub operation: String,
    /// As it was sent; a form as an object of texts; of S3 `Bucket`, `Key` and what else was said of them.
    pub body: Value,
}

/// What becomes of a call.
#[derive(Clone, Debug)]
pub enum Act {
    /// It takes effect, and is answered as AWS would.
    Serve,
    /// It is refused, without effect.
    Fail { status: u16, code: &'static str },
    /// It takes effect, then an error is answered.
    ServeThenFail { status: u16, code: &'static str },
    /// It takes effect, and is answered so much later.
    ServeLate(Duration),
    /// It is never answered, without effect.
    Hang,
    /// It takes effect, and is never answered.
    ServeThenHang,
    /// The connection is closed without an answer, and without effect.
    Drop,
    /// It takes effect, then the connection is closed without an answer.
    DropAfter,
    /// This is answered, without effect.
    Answer { status: u16, body: String },
    /// It meets a transaction, without effect: `TransactWriteItems` is cancelled for its first item,
    /// other writes of DynamoDB are refused.
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
    /// What was sent to queues, by URL.
    pub(crate) messages: BTreeMap<String, Vec<Value>>,
    /// The values of secrets, by ARN.
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) calls: Vec<Arc<Call>>,
    pub(crate) remembers: bool,
    pub(crate) counts: HashMap<String, u64>,
    /// For each operation; and how many calls the rule has seen.
    pub(crate) rules: HashMap<String, (Rule, usize)>,
    pub(crate) latency: Duration,
    /// The time, where a test tells it.
    pub(crate) time: Option<SystemTime>,
}

pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with the state in hand")
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

    /// Writes a call down; returns the rule for it, with its number.
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
            "events" => crate::events::serve(&call.operation, &call.body),
            "sqs" => crate::sqs::serve(&mut self.messages, &call.operation, &call.body),
            "secretsmanager" => crate::secrets::serve(&self.secrets, &call.operation, &call.body),
            _ => self.s3.serve(call, content),
        }
    }
}

/// What is answered, before it is on the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    pub(crate) etag: Option<String>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Answer {
        Answer::new(status, "application/x-amz-json-1.0", body.to_string())
    }

    pub(crate) fn xml(status: u16, body: String) -> Answer {
        Answer::new(status, "text/xml", body)
    }

    /// What an operation of a query protocol returns.
    pub(crate) fn result(operation: &str, result: &str) -> Answer {
        Answer::xml(
            200,
            format!(
                "<{operation}Response><{operation}Result>{result}</{operation}Result>\
                 </{operation}Response>"
            ),
        )
    }

    pub(crate) fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
        Answer { status, content_type, body: body.into(), etag: None }
    }

    /// An error in the words of a service's protocol. Codes and messages of tests need no escaping.
    pub(crate) fn error(service: &str, status: u16, code: &str, message: &str) -> Answer {
        let xml = format!("<Code>{code}</Code><Message>{message}</Message>");
        match service {
            "sts" => Answer::xml(
                status,
                format!(
                    "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
                     <Type>Sender</Type>{xml}</Error></ErrorResponse>"
                ),
            ),
            "query" | "cloudformation" | "iam" => Answer::xml(
                status,
                format!("<ErrorResponse><Error><Type>Sender</Type>{xml}</Error></ErrorResponse>"),
            ),
            "s3" => Answer::xml(status, format!("<Error>{xml}</Error>")),
            _ => Answer::json(status, &json!({ "__type": code, "message": message })),
        }
    }

    pub(crate) fn response(self) -> Response<Bytes> {
        let mut response = Response::new(self.body);
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if let Some(etag) = self.etag.and_then(|etag| HeaderValue::from_str(&etag).ok()) {
            headers.insert("etag", etag);
        }
        response
    }
}

/// Serves until it is dropped, or the listener fails.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime with I/O");
    while let Ok((stream, _)) = listener.accept().await {
        // Else an answer in two parts waits for what the client has to say to the first.
        stream.set_nodelay(true).ok();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let answer = service_fn(|request| handle(request, &shared));
            // A connection that breaks is what a rule asks for, or the client's wish.
            server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), answer)
                .await
                .ok();
        });
    }
}

/// The connection is to be closed without an answer.
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

/// Which call it is; of S3 with the content of the object.
pub(crate) fn identify(parts: &Parts, content: Bytes) -> (Call, Bytes) {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some((service, operation)) = header("x-amz-target").and_then(|t| t.split_once('.')) {
        let service = match service {
            "AWSEvents" => "events",
            "AmazonSQS" => "sqs",
            "secretsmanager" => "secretsmanager",
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
        // Each has kept its one version.
        let service = match body["Version"].as_str() {
            Some("2010-05-15") => "cloudformation",
            Some("2010-05-08") => "iam",
            _ => "sts",
        };
        return (Call { service, operation, body }, Bytes::new());
    }
    crate::s3::identify(parts, content)
}
