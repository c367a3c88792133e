//! What somebody saw of the chain. All of it comes from calls that read.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::bucket_notifications::Configuration;
use crate::moment::Time;

/// The outcome of a look at something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look<T> {
    /// It is there.
    Seen(T),
    /// It isn't there. AWS said so.
    Missing,
    /// The credentials may not look. Holds the permission that they lack, such as `s3:GetBucketNotification`.
    Denied(String),
    /// The call gave no answer. Holds the operation, AWS's code and its message.
    Failed(String),
}

/// What was seen of the chain: both accounts, or one of them.
#[derive(Debug, Clone)]
pub struct Observations {
    /// When somebody looked.
    pub at: Time,
    /// The routes to judge by, in their order.
    pub routes: Vec<RouteFacts>,
    /// The data account, or why nobody looked at it.
    pub data: Result<DataAccount, String>,
    /// The analytics account, or why nobody looked at it.
    pub analytics: Result<AnalyticsAccount, String>,
}

/// What the judge needs to know of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteFacts {
    /// The route's name.
    pub name: String,
    /// The bucket that it takes objects from.
    pub bucket: String,
    /// The name of the Glue job.
    pub job: String,
    /// `true` if a run must claim its batch, so that Glue's own retries must be off.
    pub must_claim: bool,
    /// `true` if the job reads through the bucket's policy and not through the reader role.
    pub by_bucket_policy: bool,
    /// How many runs the route starts at once; `None` if it has no limit.
    pub max_concurrent_runs: Option<u32>,
}

/// What was seen in the data account.
#[derive(Debug, Clone)]
pub struct DataAccount {
    /// The account's ID.
    pub account: String,
    /// The region of the stack.
    pub region: String,
    /// The stack of the data account.
    pub stack: Look<Stack>,
    /// `true` if the routes to judge by are those that the stack was deployed with.
    pub routes_are_deployed: Look<bool>,
    /// The buckets of the routes, by name.
    pub buckets: BTreeMap<String, Bucket>,
    /// How the buckets' events reach the queue of arrivals.
    pub transport: Transport,
    /// The queue of arrivals, which the trigger reads.
    pub arrivals: Look<Queue>,
    /// Its dead-letter queue.
    pub arrivals_dlq: Look<Queue>,
    /// The trigger and its event source mapping.
    pub trigger: Function,
    /// The rule that runs the monitor each minute.
    pub schedule: Look<Rule>,
    /// The monitor and its event source mapping on the queue of ended runs.
    pub monitor: Function,
    /// The queue of ended runs, which the monitor reads.
    pub runs: Look<Queue>,
    /// Its dead-letter queue.
    pub runs_dlq: Look<Queue>,
    /// The ledger's table.
    pub ledger: Look<Table>,
    /// The table of claims.
    pub claims: Look<Table>,
    /// The reader role.
    pub reader: Look<Role>,
}

/// What was seen in the analytics account.
#[derive(Debug, Clone)]
pub struct AnalyticsAccount {
    /// The account's ID.
    pub account: String,
    /// The region of the jobs.
    pub region: String,
    /// The stack of the analytics account.
    pub stack: Look<Stack>,
    /// The starter role.
    pub starter: Look<Role>,
    /// The job role.
    pub job_role: Look<Role>,
    /// The jobs of the routes, by name.
    pub jobs: BTreeMap<String, Job>,
    /// The rule that sends events of ended runs to the data account.
    pub rule_of_runs: Look<Rule>,
}

/// A stack of CloudFormation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// The stack's name.
    pub name: String,
    /// Its status, such as `UPDATE_COMPLETE`.
    pub status: String,
}

/// What was seen of a landing bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The bucket's region.
    pub region: Look<String>,
    /// `true` if versioning is on.
    pub versioning: Look<bool>,
    /// The ownership setting, such as `BucketOwnerEnforced`.
    pub ownership: Look<String>,
    /// The ARN or ID of the KMS key for new objects; `None` if they aren't encrypted with a key of KMS.
    pub kms_key: Look<Option<String>>,
    /// The policy; `Missing` if the bucket has none.
    pub policy: Look<Value>,
    /// The notification configuration.
    pub notifications: Look<Configuration>,
    /// The prefixes and suffixes of the rules that the bucket should have and hasn't, for the queue of arrivals.
    pub missing_rules: Vec<String>,
    /// That key; `None` if new objects aren't encrypted with a key of KMS.
    pub key: Option<Look<Key>>,
}

/// A key of KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key's ARN.
    pub arn: String,
    /// Its state, such as `Enabled` or `PendingDeletion`.
    pub state: String,
}

/// How the buckets' events reach the queue of arrivals.
#[derive(Debug, Clone)]
pub enum Transport {
    /// S3 sends them itself.
    S3,
    /// S3 sends them to EventBridge, and this rule sends them on.
    EventBridge(Look<Rule>),
}

/// A rule of EventBridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The rule's name.
    pub name: String,
    /// `true` if the rule is on.
    pub is_enabled: bool,
    /// The ARNs of its targets.
    pub targets: Vec<String>,
}

/// A queue of SQS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// The queue's ARN.
    pub arn: String,
    /// How many messages wait.
    pub visible: u64,
    /// How many messages somebody works on.
    pub in_flight: u64,
    /// The queue's policy; `None` if it has none or it isn't JSON.
    pub policy: Option<Value>,
}

/// A Lambda function with the mapping that feeds it.
#[derive(Debug, Clone)]
pub struct Function {
    /// The function.
    pub function: Look<FunctionState>,
    /// The reserved concurrency; `None` if nothing is reserved.
    pub reserved_concurrency: Look<Option<u32>>,
    /// The event source mapping.
    pub mapping: Look<Mapping>,
}

/// The state of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionState {
    /// The function's name.
    pub name: String,
    /// `Active`, `Inactive`, `Pending` or `Failed`.
    pub state: String,
    /// Why it is in that state, if Lambda says so.
    pub reason: Option<String>,
}

/// An event source mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The mapping's ID.
    pub uuid: String,
    /// Its state, such as `Enabled` or `Disabled`.
    pub state: String,
    /// What Lambda said of the last batch of messages, if anything.
    pub last_result: Option<String>,
}

/// A table of DynamoDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The table's name.
    pub name: String,
    /// Its status, such as `ACTIVE`.
    pub status: String,
}

/// A role of Landfall's, compared with what the routes and the stack's parameters ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The role's ARN.
    pub arn: String,
    /// What differs from the desired role, in words. Empty if nothing does.
    pub differences: Vec<String>,
    /// Unique IDs (`AROA…`, `AIDA…`) that its trust policy names: the role or user behind them is gone.
    pub trusted_unique_ids: Vec<String>,
    /// The names of Deny-only policies that somebody attached.
    pub brakes: Vec<String>,
}

/// A Glue job of a route.
#[derive(Debug, Clone)]
pub struct Job {
    /// The job.
    pub job: Look<JobFacts>,
    /// Its script; `None` if the job names none.
    pub script: Option<Look<()>>,
    /// The last run that failed, among the newest few; `None` if none did.
    pub last_failure: Look<Option<Failure>>,
}

/// What Glue says of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFacts {
    /// The ARN or name of its role.
    pub role: String,
    /// The URI of its script.
    pub script: String,
    /// How often Glue itself repeats a failed run.
    pub max_retries: u32,
    /// How many runs Glue allows at once.
    pub max_concurrent_runs: u32,
    /// `true` if the job's role trusts `glue.amazonaws.com`.
    pub role_trusts_glue: Look<bool>,
}

/// A run that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The run's ID.
    pub run_id: String,
    /// Its state, such as `FAILED`.
    pub state: String,
    /// What Glue says, if anything.
    pub message: Option<String>,
}
