//! Stand-ins for the AWS services that Landfall calls: DynamoDB, STS, Glue, S3, SQS, EventBridge,
//! CloudFormation, IAM, Secrets Manager, Lambda, KMS and IAM Access Analyzer, in memory, on one HTTP
//! server that speaks their protocols.
//!
//! Clients are the SDK's own, with [`StandIn::endpoint`] as their endpoint URL. `dynamodb`, `sts`,
//! `glue`, `s3`, `sqs`, `events`, `cloudformation`, `iam`, `secrets` and `settings` know what a call
//! does.
//! `server` reads requests and applies the rules of a test. The stand-ins don't check signatures,
//! don't distinguish accounts or regions, and never throttle. A test that needs such an answer sets
//! it with [`StandIn::answer`].

mod call;
mod cloudformation;
mod dynamodb;
mod events;
mod glue;
mod iam;
mod s3;
mod secrets;
mod server;
mod settings;
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

use call::Answer;
pub use call::Call;
pub use cloudformation::{Stack, StackResource};
use dynamodb::DynamoDb;
pub use dynamodb::Table;
pub use glue::Run;
pub use iam::IamRole;
pub use server::Act;
use server::{Shared, State};
pub use settings::{EventRule, LambdaFunction};
pub use sts::Sts;

/// A server that answers on a thread of its own until it is dropped.
pub struct StandIn {
    endpoint: String,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

/// A request, split into what the stand-ins need of it.
#[derive(Clone, Debug)]
pub struct Request {
    pub call: Call,
    /// The object that a call to S3 puts.
    content: Bytes,
}

impl Request {
    pub fn new(parts: &Parts, content: Bytes) -> Request {
        let (call, content) = server::identify(parts, content);
        Request { call, content }
    }

    /// Makes a call to a service that speaks JSON, as its SDK would.
    pub fn of(service: &'static str, operation: &str, body: Value) -> Request {
        let call = Call { service, operation: operation.to_owned(), body };
        Request { call, content: Bytes::new() }
    }

    /// Returns a refusal of this request, in the words of its service.
    pub fn refused(&self, status: u16, code: &str) -> Response<Bytes> {
        Answer::error(self.call.service, status, code, "as the test asks").response()
    }

    /// Returns the answer to a write that conflicts with another transaction.
    pub fn conflicted(&self) -> Response<Bytes> {
        match self.call.operation.as_str() {
            "TransactWriteItems" => DynamoDb::conflict(&self.call.body).response(),
            _ => self.refused(400, "TransactionConflictException"),
        }
    }
}

/// The consumption since the start, or since [`StandIn::clear_calls`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// One unit for each KB or part of a KB, of the larger of the item before and after. A
    /// transaction consumes twice as many. Indexes are included.
    pub write_units: f64,
    /// The units of indexes alone: one for each place in an index that an item takes or leaves. A
    /// transaction doesn't double them, because indexes take no part in it.
    pub index_write_units: f64,
    /// One unit for each 4 KB or part of it. An eventually consistent read consumes half.
    pub read_units: f64,
    /// The number of calls of each operation.
    pub calls: BTreeMap<String, u64>,
}

impl StandIn {
    /// Starts a server with these tables, all empty. It needs no async runtime.
    ///
    /// # Panics
    /// There is no free port, or the thread can't start.
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

    /// Makes stand-ins with these tables and without a server. [`StandIn::serve`] answers their
    /// requests.
    pub fn in_process(tables: Vec<Table>) -> StandIn {
        let shared = Arc::new(Shared { state: Mutex::new(State::new(tables)) });
        // The SDK signs requests only for TLS or this machine.
        let endpoint = "http://localhost".to_owned();
        StandIn { endpoint, shared, stop: None, thread: None }
    }

    /// Carries a request out and returns the answer. It ignores the rules.
    pub fn serve(&self, request: &Request) -> Response<Bytes> {
        self.shared.lock().serve(&request.call, request.content.clone()).response()
    }

    /// Sets the time, which stands still until the next call.
    pub fn set_time(&self, time: SystemTime) {
        self.shared.lock().time = Some(time);
    }

    /// Freezes the indexes of all tables: until the next call they show what is there now and
    /// nothing newer.
    pub fn show_indexes(&self) {
        self.shared.lock().dynamodb.show_indexes();
    }

    /// Ends each page of a search after this many items, as DynamoDB does when items are large.
    pub fn small_pages(&self, items: usize) {
        self.shared.lock().dynamodb.page = Some(items);
    }

    /// Removes all items whose time to live is over at `time`, as DynamoDB does sooner or later.
    pub fn expire(&self, time: SystemTime) {
        self.shared.lock().dynamodb.expire(time);
    }

    /// Returns the endpoint, such as `http://127.0.0.1:40123`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Returns all calls, in the order in which they came.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.lock().calls.iter().map(|call| Call::clone(call)).collect()
    }

    /// Returns the bodies of the calls of one operation.
    pub fn calls_of(&self, operation: &str) -> Vec<Value> {
        let state = self.shared.lock();
        let calls = state.calls.iter().filter(|call| call.operation == operation);
        calls.map(|call| call.body.clone()).collect()
    }

    /// Forgets the calls and their consumption.
    pub fn clear_calls(&self) {
        let mut state = self.shared.lock();
        state.calls.clear();
        state.counts.clear();
        state.dynamodb.usage = dynamodb::Units::default();
    }

    /// Sets whether calls are recorded, as they are at first. They are counted in any case.
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

    /// Sets the rule that decides what becomes of the calls of an operation (such as `StartJobRun`)
    /// from now on. It gets their numbers, from 0. A second rule for the same operation replaces
    /// the first.
    pub fn answer(
        &self,
        operation: &str,
        rule: impl Fn(&Call, usize) -> Act + Send + Sync + 'static,
    ) {
        self.shared.lock().rules.insert(operation.to_owned(), (Arc::new(rule), 0));
    }

    /// Removes all rules.
    pub fn clear_rules(&self) {
        self.shared.lock().rules.clear();
    }

    /// Sets the minimum time that every answer takes from now on.
    pub fn latency(&self, latency: Duration) {
        self.shared.lock().latency = latency;
    }

    /// Sets what STS does from now on.
    pub fn sts(&self, sts: Sts) {
        self.shared.lock().sts.behaviour = sts;
    }

    /// Sets how CloudFormation reports a stack from now on.
    pub fn stack(&self, id: &str, stack: Stack) {
        self.shared.lock().cloudformation.stacks.insert(id.to_owned(), stack);
    }

    /// Returns a role of IAM.
    pub fn role(&self, name: &str) -> Option<IamRole> {
        self.shared.lock().iam.roles.get(name).cloned()
    }

    /// Puts a role into IAM without a call.
    pub fn put_role(&self, name: &str, role: IamRole) {
        self.shared.lock().iam.roles.insert(name.to_owned(), role);
    }

    /// Removes a role from IAM without a call, with all its policies.
    pub fn remove_role(&self, name: &str) {
        self.shared.lock().iam.roles.remove(name);
    }

    /// Puts the notification configuration of a bucket that was made here, as XML, as somebody else does.
    pub fn put_notifications(&self, bucket: &str, configuration: &str) {
        self.shared.lock().s3.buckets.put_configuration(bucket, configuration);
    }

    /// Puts an item into a table without a call. Returns `false` if there is no such table.
    pub fn put_item(&self, table: &str, item: &Value) -> bool {
        let body = serde_json::json!({ "TableName": table, "Item": item });
        self.shared.lock().dynamodb.serve("PutItem", &body).status == 200
    }

    /// Removes an item with these values of its key `pk` and `sk`. Returns `false` if there is no such table.
    pub fn remove_item(&self, table: &str, pk: &Value, sk: &Value) -> bool {
        let body = serde_json::json!({ "TableName": table, "Key": { "pk": pk, "sk": sk } });
        self.shared.lock().dynamodb.serve("DeleteItem", &body).status == 200
    }

    /// Adds a Glue job, and sets how often Glue itself retries a run of it. As long as no job was
    /// added, all jobs exist.
    pub fn job(&self, name: &str, max_retries: i32) {
        self.shared.lock().glue.jobs.insert(name.to_owned(), max_retries);
    }

    /// Sets the ARN of the role of a Glue job, which then has a script and may run 10 times at once.
    pub fn job_role(&self, job: &str, role: &str) {
        self.shared.lock().glue.roles.insert(job.to_owned(), role.to_owned());
    }

    /// Puts a Lambda function, which is active, and whose mappings are enabled.
    pub fn put_function(&self, name: &str, function: LambdaFunction) {
        self.shared.lock().settings.functions.insert(name.to_owned(), function);
    }

    /// Puts a rule on the default bus, which is on.
    pub fn put_rule(&self, name: &str, rule: EventRule) {
        self.shared.lock().settings.rules.insert(name.to_owned(), rule);
    }

    /// Puts a KMS key of a customer, with its policy as JSON.
    pub fn put_key(&self, arn: &str, policy: &str) {
        self.shared.lock().settings.keys.insert(arn.to_owned(), policy.to_owned());
    }

    /// Gives the queue of this name attributes, with its policy as JSON, or an empty text if it has none.
    pub fn put_queue(&self, name: &str, policy: &str) {
        self.shared.lock().settings.queues.insert(name.to_owned(), policy.to_owned());
    }

    /// Puts an analyzer of external access, with the findings that it lists.
    pub fn put_analyzer(&self, arn: &str, findings: &[Value]) {
        self.shared.lock().settings.analyzers.insert(arn.to_owned(), findings.to_vec());
    }

    /// Has new objects of a bucket that was made here encrypted with this KMS key.
    pub fn encrypt_bucket(&self, bucket: &str, key: &str) {
        self.shared.lock().s3.buckets.encrypt(bucket, key);
    }

    /// Returns the runs of a job, in the order in which they were started.
    pub fn runs(&self, job: &str) -> Vec<Run> {
        self.shared.lock().glue.runs_of(job).to_vec()
    }

    /// Sets the state of a run, which is `RUNNING` at first. Returns `false` if no run has this ID.
    pub fn set_run_state(&self, run_id: &str, state: &str) -> bool {
        let mut state_of = self.shared.lock();
        let now = state_of.time.unwrap_or_else(SystemTime::now);
        state_of.glue.set_state(run_id, state, now)
    }

    /// Lets a run fail for this reason. Returns `false` if no run has this ID.
    pub fn fail_run(&self, run_id: &str, message: &str) -> bool {
        let has_run = self.shared.lock().glue.set_error(run_id, message);
        has_run && self.set_run_state(run_id, "FAILED")
    }

    /// Returns the object under a key.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        self.shared.lock().s3.object(bucket, key).map(|content| content.to_vec())
    }

    /// Puts an object that was written at this time.
    pub fn put_object(&self, bucket: &str, key: &str, content: &[u8], modified: SystemTime) {
        let content = hyper::body::Bytes::copy_from_slice(content);
        self.shared.lock().s3.put(bucket, key, content, modified);
    }

    /// Returns the ETag of an object with this content.
    pub fn etag(&self, content: &[u8]) -> String {
        s3::etag(content)
    }

    /// Returns `true` if a bucket keeps versions.
    pub fn keeps_versions(&self, bucket: &str) -> bool {
        self.shared.lock().s3.versioned.contains(bucket)
    }

    /// Lets a bucket keep versions.
    pub fn keep_versions(&self, bucket: &str) {
        self.shared.lock().s3.versioned.insert(bucket.to_owned());
    }

    /// Makes this account the owner of all buckets. From now on, S3 serves only callers that expect
    /// this owner.
    pub fn own_buckets(&self, account: &str) {
        self.shared.lock().s3.owner = Some(account.to_owned());
    }

    /// Makes a bucket of an account, without notifications and a policy. Callers belong to account
    /// `111111111111`.
    pub fn make_bucket(&self, bucket: &str, account: &str) {
        self.shared.lock().s3.buckets.make(bucket, account);
    }

    pub fn remove_bucket(&self, bucket: &str) {
        self.shared.lock().s3.buckets.remove(bucket);
    }

    /// Returns the notification configuration of a bucket that was made here, as XML.
    pub fn notifications(&self, bucket: &str) -> Option<String> {
        let state = self.shared.lock();
        let found = state.s3.buckets.configuration(bucket);
        found.map(|found| String::from_utf8_lossy(found).into_owned())
    }

    /// Returns the policy of a bucket that was made here.
    pub fn bucket_policy(&self, bucket: &str) -> Option<String> {
        let state = self.shared.lock();
        let found = state.s3.buckets.policy(bucket);
        found.map(|found| String::from_utf8_lossy(found).into_owned())
    }

    /// Puts the policy of a bucket that was made here, as somebody else does.
    pub fn put_bucket_policy(&self, bucket: &str, policy: &str) {
        self.shared.lock().s3.buckets.put_policy(bucket, policy);
    }

    /// Takes the messages that were sent to the queue of this name: the entries of
    /// `SendMessageBatch`.
    pub fn take_messages(&self, queue: &str) -> Vec<Value> {
        let mut state = self.shared.lock();
        let is_its = |url: &String| url.rsplit('/').next() == Some(queue);
        let url = state.messages.keys().find(|url| is_its(url)).cloned();
        url.and_then(|url| state.messages.remove(&url)).unwrap_or_default()
    }

    /// Sets the value of a secret in Secrets Manager.
    pub fn set_secret(&self, arn: &str, value: &str) {
        self.shared.lock().secrets.insert(arn.to_owned(), value.to_owned());
    }

    /// Returns the keys in a bucket, sorted.
    pub fn objects(&self, bucket: &str) -> Vec<String> {
        self.shared.lock().s3.keys(bucket)
    }

    /// Returns an item by the texts of its key, with the values as on the wire: `{"pk": {"S":
    /// "…"}}`.
    pub fn item(&self, table: &str, key: &[&str]) -> Option<Value> {
        self.shared.lock().dynamodb.item(table, key)
    }

    /// Counts the items of a table whose key has a first part that begins with `prefix`.
    pub fn count(&self, table: &str, prefix: &str) -> usize {
        self.shared.lock().dynamodb.count(table, prefix).unwrap_or_default()
    }

    /// Returns all items of a table, in the order of their keys. Returns none if there is no such
    /// table.
    pub fn items(&self, table: &str) -> Vec<Value> {
        self.shared.lock().dynamodb.items(table).unwrap_or_default()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread is gone, whether it finished or panicked.
            thread.join().ok();
        }
    }
}
