//! Stand-ins for what Landfall calls on AWS: DynamoDB, STS, Glue, S3, SQS, EventBridge, CloudFormation, IAM and
//! Secrets Manager, in memory, on one HTTP server that speaks their protocols.
//!
//! Clients are the SDK's own, with [`StandIn::endpoint`] for their endpoint URL. What a call means is in
//! `dynamodb`, `sts`, `glue`, `s3`, `sqs`, `events`, `cloudformation`, `iam` and `secrets`; how it comes and what a test makes of it, in `server`. Signatures
//! are not looked at, accounts and regions are not told apart, and nothing limits how often a call may
//! be made: an answer of that kind is a test's to ask for, with [`StandIn::answer`].

mod cloudformation;
mod dynamodb;
mod events;
mod glue;
mod iam;
mod s3;
mod secrets;
mod server;
mod sqs;
mod sts;
pub mod tls;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use hyper::Response;
use hyper::body::Bytes;
use hyper::http::request::Parts;

use serde_json::Value;
use tokio::sync::oneshot;

pub use cloudformation::{Stack, StackResource};
use dynamodb::DynamoDb;
pub use dynamodb::Table;
pub use glue::Run;
pub use iam::IamRole;
pub use server::{Act, Call};
use server::{Answer, Shared, State};
pub use sts::Sts;

/// Answers on a thread of its own until it is dropped.
pub struct StandIn {
    endpoint: String,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

/// A request, taken apart.
#[derive(Clone, Debug)]
pub struct Request {
    pub call: Call,
    /// Of S3, what is put.
    content: Bytes,
}

impl Request {
    pub fn new(parts: &Parts, content: Bytes) -> Request {
        let (call, content) = server::identify(parts, content);
        Request { call, content }
    }

    /// A call of a service that speaks JSON, as its SDK would make it.
    pub fn of(service: &'static str, operation: &str, body: Value) -> Request {
        let call = Call { service, operation: operation.to_owned(), body };
        Request { call, content: Bytes::new() }
    }

    /// A refusal of this request, in its service's words.
    pub fn refused(&self, status: u16, code: &str) -> Response<Bytes> {
        Answer::error(self.call.service, status, code, "as the test asks").response()
    }

    /// The answer where this write meets somebody else's transaction.
    pub fn conflicted(&self) -> Response<Bytes> {
        match self.call.operation.as_str() {
            "TransactWriteItems" => DynamoDb::conflict(&self.call.body).response(),
            _ => self.refused(400, "TransactionConflictException"),
        }
    }
}

/// What was consumed since the start, or since [`StandIn::clear_calls`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// One for each KB of an item that was begun, of the larger of before and after; two in a
    /// transaction; with those of indexes.
    pub write_units: f64,
    /// Those of indexes alone: one for each place in an index that was taken or left. Not doubled in a
    /// transaction, in which the indexes take no part.
    pub index_write_units: f64,
    /// One for each 4 KB that were begun, half of that where the read was eventually consistent.
    pub read_units: f64,
    /// How often each operation was called.
    pub calls: BTreeMap<String, u64>,
}

impl StandIn {
    /// With these tables, all empty. Needs no runtime.
    ///
    /// # Panics
    /// There is no port or no thread to have.
    pub fn start(tables: Vec<Table>) -> StandIn {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let endpoint = format!("http://{}", listener.local_addr().expect("its own address"));
        let shared = Arc::new(Shared { state: Mutex::new(State::new(tables)) });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let served = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = server::serve(listener, served) => {}
                }
            });
        });
        StandIn { endpoint, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// With these tables, and without a server: [`StandIn::serve`] answers.
    pub fn in_process(tables: Vec<Table>) -> StandIn {
        let shared = Arc::new(Shared { state: Mutex::new(State::new(tables)) });
        // Signed requests go over TLS, or stay on the machine.
        let endpoint = "http://localhost".to_owned();
        StandIn { endpoint, shared, stop: None, thread: None }
    }

    /// Lets a request take effect, and gives the answer. No rule is asked.
    pub fn serve(&self, request: &Request) -> Response<Bytes> {
        self.shared.lock().serve(&request.call, request.content.clone()).response()
    }

    /// The time from now on, until the next is told.
    pub fn set_time(&self, time: SystemTime) {
        self.shared.lock().time = Some(time);
    }

    /// Indexes of tables show what is there now, and nothing newer until this is called again.
    pub fn show_indexes(&self) {
        self.shared.lock().dynamodb.show_indexes();
    }

    /// Takes all items away whose time to live is over at `time`, as DynamoDB does sooner or later.
    pub fn expire(&self, time: SystemTime) {
        self.shared.lock().dynamodb.expire(time);
    }

    /// Such as `http://127.0.0.1:40123`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// All calls, in the order in which they came.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().calls.iter().map(|call| Call::clone(call)).collect()
    }

    /// The bodies of the calls of one operation.
    pub fn calls_of(&self, operation: &str) -> Vec<Value> {
        let state = self.shared.lock();
        let calls = state.calls.iter().filter(|call| call.operation == operation);
        calls.map(|call| call.body.clone()).collect()
    }

    /// Forgets the calls, and what they consumed.
    pub fn clear_calls(&self) {
        let mut state = self.shared.lock();
        state.calls.clear();
        state.counts.clear();
        state.dynamodb.usage = dynamodb::Units::default();
    }

    /// Whether calls are remembered, as they are from the start. They are counted in any case.
    pub fn remember_calls(&self, remember: bool) {
        self.shared.lock().remembers = remember;
    }

    pub fn usage(&self) -> Usage {
        let state = self.shared.lock();
        let units = state.dynamodb.usage;
        let calls = state.counts.iter().map(|(name, count)| (name.clone(), *count));
        Usage {
            write_units: units.write_units + units.index_write_units,
            index_write_units: units.index_write_units,
            read_units: units.read_units,
            calls: calls.collect(),
        }
    }

    /// What becomes of the calls of an operation (`StartJobRun`) from now on, counted from 0. A second
    /// rule for the operation takes the place of the first.
    pub fn answer(
        &self,
        operation: &str,
        rule: impl Fn(&Call, usize) -> Act + Send + Sync + 'static,
    ) {
        self.shared.lock().rules.insert(operation.to_owned(), (Arc::new(rule), 0));
    }

    /// Ends all rules.
    pub fn clear_rules(&self) {
        self.shared.lock().rules.clear();
    }

    /// How long every answer takes from now on, at the least.
    pub fn latency(&self, latency: Duration) {
        self.shared.lock().latency = latency;
    }

    /// What STS does from now on.
    pub fn sts(&self, sts: Sts) {
        self.shared.lock().sts.behaviour = sts;
    }

    /// How CloudFormation reports a stack from now on.
    pub fn stack(&self, id: &str, stack: Stack) {
        self.shared.lock().cloudformation.stacks.insert(id.to_owned(), stack);
    }

    /// A role of IAM's.
    pub fn role(&self, name: &str) -> Option<IamRole> {
        self.shared.lock().iam.roles.get(name).cloned()
    }

    /// Puts a role into IAM, as it is there before.
    pub fn put_role(&self, name: &str, role: IamRole) {
        self.shared.lock().iam.roles.insert(name.to_owned(), role);
    }

    /// Puts an item into a table, as it is there before; tells whether there is such a table.
    pub fn put_item(&self, table: &str, item: &Value) -> bool {
        let body = serde_json::json!({ "TableName": table, "Item": item });
        self.shared.lock().dynamodb.serve("PutItem", &body).status == 200
    }

    /// Names a job of Glue, and how often Glue itself would repeat a run of it. While none is named, all
    /// exist.
    pub fn job(&self, name: &str, max_retries: i32) {
        self.shared.lock().glue.jobs.insert(name.to_owned(), max_retries);
    }

    /// The runs of a job, in the order in which they were started.
    pub fn runs(&self, job: &str) -> Vec<Run> {
        self.shared.lock().glue.runs_of(job).to_vec()
    }

    /// Sets the state of a run, which is `RUNNING` before; tells whether there is one of this id.
    pub fn set_run_state(&self, run_id: &str, state: &str) -> bool {
        let mut state_of = self.shared.lock();
        let now = state_of.time.unwrap_or_else(SystemTime::now);
        state_of.glue.set_state(run_id, state, now)
    }

    /// What was put under a key.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        self.shared.lock().s3.object(bucket, key).map(|content| content.to_vec())
    }

    /// From now on all buckets are of this account, and S3 serves only who expects that.
    pub fn own_buckets(&self, account: &str) {
        self.shared.lock().s3.owner = Some(account.to_owned());
    }

    /// Makes a bucket that announces nothing, of this account. Whoever calls is of account `111111111111`.
    pub fn make_bucket(&self, bucket: &str, account: &str) {
        self.shared.lock().s3.buckets.make(bucket, account);
    }

    pub fn remove_bucket(&self, bucket: &str) {
        self.shared.lock().s3.buckets.remove(bucket);
    }

    /// The notification configuration of a bucket that was made, as XML.
    pub fn notifications(&self, bucket: &str) -> Option<String> {
        let state = self.shared.lock();
        let found = state.s3.buckets.configuration(bucket);
        found.map(|found| String::from_utf8_lossy(found).into_owned())
    }

    /// Takes what was sent to the queue of this name: the entries of `SendMessageBatch`.
    pub fn take_messages(&self, queue: &str) -> Vec<Value> {
        let mut state = self.shared.lock();
        let is_its = |url: &String| url.rsplit('/').next() == Some(queue);
        let url = state.messages.keys().find(|url| is_its(url)).cloned();
        url.and_then(|url| state.messages.remove(&url)).unwrap_or_default()
    }

    /// Gives a secret of Secrets Manager's another value.
    pub fn set_secret(&self, arn: &str, value: &str) {
        self.shared.lock().secrets.insert(arn.to_owned(), value.to_owned());
    }

    /// The keys in a bucket, sorted.
    pub fn objects(&self, bucket: &str) -> Vec<String> {
        self.shared.lock().s3.keys(bucket)
    }

    /// An item by the texts of its key, its values as on the wire: `{"pk": {"S": "…"}}`.
    pub fn item(&self, table: &str, key: &[&str]) -> Option<Value> {
        self.shared.lock().dynamodb.item(table, key)
    }

    /// How many items of a table have a first part of their key that begins so.
    pub fn count(&self, table: &str, prefix: &str) -> usize {
        self.shared.lock().dynamodb.count(table, prefix).unwrap_or_default()
    }

    /// All items of a table, in the order of their keys; none where there is no such table.
    pub fn items(&self, table: &str) -> Vec<Value> {
        self.shared.lock().dynamodb.items(table).unwrap_or_default()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It panicked, or it is done; either way it is gone.
            thread.join().ok();
        }
    }
}
