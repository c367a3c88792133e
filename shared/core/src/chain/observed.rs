//! What somebody saw of the chain. All of it comes from calls that read, and nothing in it is a verdict.

mod network;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

pub use self::network::{Connection, Endpoint, Group, RouteTable, Subnet};
use super::drift::Difference;
use crate::batch::ClaimMode;
use crate::bucket_access::Comparison;
use crate::bucket_notifications::{Configuration, Filter};
use crate::moment::Time;
use crate::policy::Document;
use crate::routes::{Access, Route};
use crate::usage::Usage;

/// The outcome of a look at something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look<T> {
    /// It is there.
    Seen(T),
    /// It isn't there. AWS said so.
    Missing,
    /// The credentials may not look. Holds the permission that they lack, such as `s3:GetBucketNotification`:
    /// [`permission`](super::permissions::permission) names it for an operation.
    Denied(String),
    /// A policy of the organization denies the look, so no policy of the account can allow it. Holds the permission.
    DeniedByOrganization(String),
    /// The call gave no answer. Holds the operation, AWS's code and its message.
    Failed(String),
}

/// A look at something by the name that it should have, whether or not it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<T> {
    /// The name or the ARN.
    pub name: String,
    /// What the look showed.
    pub look: Look<T>,
}

/// What was seen of the chain: both accounts, or one of them.
#[derive(Debug, Clone)]
pub struct Observations {
    /// When somebody looked.
    pub at: Time,
    /// The command that deploys these routes, such as `landfall deploy routes.yaml --data-profile acme-data`.
    pub deploy: String,
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
    /// The name of the Glue job; `None` if the route starts none.
    pub job: Option<String>,
    /// `true` if a run must claim its batch, so that Glue's own retries must be off.
    pub must_claim: bool,
    /// `true` if the job reads through the bucket's policy and not through the reader role.
    pub by_bucket_policy: bool,
    /// How many runs the route starts at once; `None` if it has no limit.
    pub max_concurrent_runs: Option<u32>,
    /// `true` if an event says that a batch has closed.
    pub announces: bool,
}

impl RouteFacts {
    /// Returns `true` if the route's job reads through the reader role.
    pub(super) fn needs_reader(&self) -> bool {
        self.job.is_some() && !self.by_bucket_policy
    }
}

impl From<&Route> for RouteFacts {
    fn from(route: &Route) -> Self {
        Self {
            name: route.name.clone(),
            bucket: route.bucket.clone(),
            job: route.job.clone(),
            must_claim: route.claim == ClaimMode::Required,
            by_bucket_policy: route.access == Access::BucketPolicy,
            max_concurrent_runs: route.limits.max_concurrent_runs,
            announces: route.announce,
        }
    }
}

/// What was seen in the data account.
#[derive(Debug, Clone)]
pub struct DataAccount {
    /// The account's ID.
    pub account: String,
    /// The permissions that the organization keeps from the credentials that looked, as far as somebody asked IAM's policy
    /// simulation. A look that was denied says so itself only within an organization, and not always.
    pub kept_by_organization: BTreeSet<String>,
    /// The region of the stack.
    pub region: String,
    /// The status of the data account's stack, such as `UPDATE_COMPLETE`, by the stack's name.
    pub stack: Named<String>,
    /// `true` if the routes to judge by are those that the stack was deployed with.
    pub routes_are_deployed: Look<bool>,
    /// `true` if the stack lets the functions put the events that announce batches.
    pub announces: Look<bool>,
    /// The buckets of the routes, by name.
    pub buckets: BTreeMap<String, Bucket>,
    /// How the buckets' events reach the queue of arrivals.
    pub transport: Transport,
    /// The queue of arrivals, which the trigger reads, by ARN.
    pub arrivals: Named<Queue>,
    /// Its dead-letter queue, by ARN.
    pub arrivals_dlq: Named<Queue>,
    /// The trigger, with its mapping on the queue of arrivals.
    pub trigger: Function,
    /// The rule that runs the monitor each minute.
    pub schedule: Named<Rule>,
    /// The monitor, with its mappings on the queue of ended runs and on the work queue.
    pub monitor: Function,
    /// The queue of ended runs, which the monitor reads, by ARN.
    pub runs: Named<Queue>,
    /// Its dead-letter queue, by ARN.
    pub runs_dlq: Named<Queue>,
    /// The status of the ledger's table, such as `ACTIVE`, by the table's name.
    pub ledger: Named<String>,
    /// `true` if DynamoDB removes expired items of the ledger.
    pub ledger_expiry: Look<bool>,
    /// How the routes are used; `None` if nobody looked, because only the auditor remembers it.
    pub usage: Option<Watch>,
    /// What Access Analyzer says; `None` if nobody asked it.
    pub analysis: Option<Analysis>,
    /// What forwards IAM's events to the auditor; `None` if nothing has to, or somebody decided against it.
    pub iam_events: Option<Forwarding>,
    /// The status of the table of claims, by the table's name.
    pub claims: Named<String>,
    /// `true` if DynamoDB removes expired claims.
    pub claims_expiry: Look<bool>,
    /// The reader role, by ARN.
    pub reader: Named<Role>,
}

/// What forwards IAM's events from IAM's region to an auditor in another region.
#[derive(Debug, Clone)]
pub struct Forwarding {
    /// IAM's region.
    pub region: String,
    /// The ARN of the auditor's bus, which the events are forwarded to.
    pub bus: String,
    /// The status of the stack that makes the rule, by the stack's name.
    pub stack: Named<String>,
    /// The rule.
    pub rule: Named<Rule>,
}

/// What IAM Access Analyzer says of an account's resources.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// The accounts that the routes and the stack let in.
    pub intended: BTreeSet<String>,
    /// The active findings about somebody outside. `Missing` if the account has no analyzer of external access in the
    /// region.
    pub findings: Look<Vec<External>>,
}

/// A finding of Access Analyzer: a resource lets in somebody outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct External {
    /// The analyzer's ARN.
    pub analyzer: String,
    /// The finding's ID.
    pub id: String,
    /// The resource's ARN.
    pub resource: String,
    /// Whom it lets in: accounts, ARNs or other names.
    pub principals: Vec<String>,
    /// `true` if it lets in everybody.
    pub is_public: bool,
}

/// How the routes are used.
#[derive(Debug, Clone)]
pub struct Watch {
    /// The use of each route, by its name. `Missing` if the ledger isn't there.
    pub routes: BTreeMap<String, Look<Usage>>,
    /// After how long without a new batch a route counts as unused.
    pub unused_after: Duration,
}

/// What was seen in the analytics account.
#[derive(Debug, Clone)]
pub struct AnalyticsAccount {
    /// The account's ID.
    pub account: String,
    /// The permissions that the organization keeps from the credentials that looked, as in the data account.
    pub kept_by_organization: BTreeSet<String>,
    /// The region of the jobs.
    pub region: String,
    /// The status of the analytics account's stack, by the stack's name.
    pub stack: Named<String>,
    /// The starter role, by ARN.
    pub starter: Named<Role>,
    /// The job role that the stack makes, by ARN; `None` if the stack makes none.
    pub job_role: Option<Named<Role>>,
    /// What Access Analyzer says; `None` if nobody asked it.
    pub analysis: Option<Analysis>,
    /// What forwards IAM's events to the auditor, as in the data account.
    pub iam_events: Option<Forwarding>,
    /// The jobs of the routes, by name.
    pub jobs: BTreeMap<String, Job>,
    /// The rule that sends events of ended runs to the data account.
    pub rule_of_runs: Named<Rule>,
}

/// What was seen of a landing bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// The bucket's region. `Missing` if there is no such bucket.
    pub region: Look<String>,
    /// `true` if versioning is on.
    pub versioning: Look<bool>,
    /// The ownership setting, such as `BucketOwnerEnforced`. `Missing` if the bucket has none.
    pub ownership: Look<String>,
    /// The settings of the public access block that are off. `Missing` if the bucket has no block of its own.
    pub public_access_block: Look<Vec<String>>,
    /// The policy; `Missing` if the bucket has none.
    pub policy: Look<Document>,
    /// How Landfall's statements in that policy compare with those that the stack asks for; `None` if it asks for none in
    /// this bucket. `Missing` if there is no stack.
    pub statements: Look<Option<Comparison>>,
    /// The ARN or ID of the KMS key for new objects; `None` if they aren't encrypted with a key of KMS.
    pub kms_key: Look<Option<String>>,
    /// The ARNs of the job roles that read by the bucket's policy. Empty if that isn't known.
    pub job_roles: BTreeSet<String>,
    /// That key; `None` if new objects aren't encrypted with a key of KMS, or if that isn't known.
    pub key: Option<Look<Key>>,
    /// The notification configuration.
    pub notifications: Look<Configuration>,
    /// The filters of the rules that the routes need ([`Filters::of`](crate::bucket_notifications::Filters::of)).
    pub filters: Vec<Filter>,
}

/// A key of KMS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key's ARN.
    pub arn: String,
    /// Its state, such as `Enabled` or `PendingDeletion`.
    pub state: String,
    /// `true` if AWS manages it. Landfall's roles need no permission on such a key.
    pub is_of_aws: bool,
    /// Its policy, as JSON; `None` if another account owns the key, because KMS shows the policy to that account only.
    pub policy: Option<Look<String>>,
}

/// How the buckets' events reach the queue of arrivals.
#[derive(Debug, Clone)]
pub enum Transport {
    /// S3 sends them itself.
    S3,
    /// S3 sends them to EventBridge, and this rule sends them on.
    EventBridge(Named<Rule>),
    /// Both, while somebody changes from one to the other. Each of them must work.
    Both(Named<Rule>),
}

/// A rule of EventBridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `true` if the rule is on.
    pub is_enabled: bool,
    /// The ARNs of its targets.
    pub targets: Vec<String>,
    /// The event pattern; `None` if the rule has a schedule instead, or the pattern isn't JSON.
    pub pattern: Option<Value>,
}

/// A queue of SQS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// How many messages wait.
    pub visible: u64,
    /// How many messages somebody works on.
    pub in_flight: u64,
    /// The queue's policy; `None` if it has none or it isn't JSON.
    pub policy: Option<Document>,
}

/// A Lambda function with the mappings that feed it.
#[derive(Debug, Clone)]
pub struct Function {
    /// The function's name.
    pub name: String,
    /// The function.
    pub state: Look<FunctionState>,
    /// The reserved concurrency; `None` if nothing is reserved.
    pub reserved_concurrency: Look<Option<u32>>,
    /// The event source mappings, by the ARN of the queue.
    pub mappings: Vec<Named<Mapping>>,
}

/// The state of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionState {
    /// `Active`, `Inactive`, `Pending` or `Failed`.
    pub state: String,
    /// Why it is in that state, if Lambda says so.
    pub reason: Option<String>,
    /// The ID of the VPC that it runs in; `None` if it runs in none.
    pub vpc: Option<String>,
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

/// A role of Landfall's, compared with what the routes and the stack's parameters ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// IAM's unique ID, `AROA…`.
    pub role_id: String,
    /// The trust policy; `None` if it isn't JSON.
    pub trust: Option<Document>,
    /// What differs from the desired role ([`differences`](super::drift::differences)). Empty if nothing does.
    pub differences: Vec<Difference>,
    /// The names of Deny-only policies that somebody attached.
    pub brakes: Vec<String>,
    /// The keys on which its own policy allows `kms:Decrypt`: ARNs, or patterns of ARNs.
    pub keys: BTreeSet<String>,
}

/// A Glue job of a route.
#[derive(Debug, Clone)]
pub struct Job {
    /// The job.
    pub job: Look<JobFacts>,
    /// `true` if the job's role trusts `glue.amazonaws.com`. `Missing` if there is no such role.
    pub role_trusts_glue: Look<bool>,
    /// Its script; `None` if the job names none, or isn't known.
    pub script: Option<Look<()>>,
    /// Its connections, by name; `None` if nobody looked at them, because only the doctor does.
    pub network: Option<Vec<Named<Connection>>>,
    /// The last run that failed, among the newest few; `None` if none did.
    pub last_failure: Look<Option<Failure>>,
}

/// What Glue says of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFacts {
    /// The ARN of its role. Glue may return the bare name; the observer makes it an ARN.
    pub role: String,
    /// The URI of its script.
    pub script: String,
    /// How often Glue itself repeats a failed run.
    pub max_retries: u32,
    /// How many runs Glue allows at once.
    pub max_concurrent_runs: u32,
    /// The names of its connections.
    pub connections: Vec<String>,
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
    /// `true` if no later run succeeded.
    pub is_newest: bool,
}

impl<T> Look<T> {
    /// Returns what was seen, or `None` if nothing was.
    pub fn seen(&self) -> Option<&T> {
        match self {
            Self::Seen(it) => Some(it),
            Self::Missing | Self::Denied(_) | Self::DeniedByOrganization(_) | Self::Failed(_) => {
                None
            }
        }
    }
}
