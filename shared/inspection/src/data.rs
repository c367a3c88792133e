//! The data account's half of the chain.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use futures_util::stream;
use landfall_core::bucket_notifications::Filter;
use landfall_core::chain::observed::{Bucket, DataAccount, Transport};
use landfall_core::roles::Kind;
use landfall_core::secret::Secret;

use crate::cloudformation::Deployed;
use crate::look::{look, named};
use crate::requested::Requested;
use crate::{AT_ONCE, Clients, Place, Seen, Unseen, dynamodb, eventbridge, lambda, roles, s3, sqs};

/// What to look for in the data account.
#[derive(Debug)]
pub struct Expected {
    /// The account and the region of the stack.
    pub place: Place,
    /// The prefix of the names of what the stack makes.
    pub name_prefix: String,
    /// The name of the stack.
    pub stack: String,
    /// The buckets of the routes, each with the filters of the rules that it should have.
    pub buckets: BTreeMap<String, Vec<Filter>>,
    /// The ARN of the reader role.
    pub reader: String,
}

/// The data account's half, and the external ID with which the trigger assumes the starter role, if it was seen.
#[derive(Debug)]
pub struct Inspected {
    /// What was seen.
    pub account: DataAccount,
    /// The external ID.
    pub external_id: Option<Secret>,
}

/// Looks at the data account's half. `requested` is what its stack asks for. `is_deployed` says whether the routes are
/// those of the stack.
pub async fn inspect(
    clients: &Clients,
    expected: &Expected,
    stack: &Seen<Deployed>,
    requested: &Seen<Requested>,
    is_deployed: impl AsyncFnOnce() -> Seen<bool>,
) -> Inspected {
    let Expected { place, name_prefix, .. } = expected;
    let name = |of: &str| format!("{name_prefix}-{of}");
    let queue = |of: &str| place.arn("sqs", &name(of));
    let schedule = async {
        match stack.as_ref().map_err(Clone::clone).and_then(|stack| stack.id("MonitorTick")) {
            Ok(rule) => eventbridge::rule(&clients.events, rule.to_owned()).await,
            Err(unseen) => named("MonitorTick", Err(unseen)),
        }
    };
    let statements = statements(requested);
    let trigger = [queue("arrivals")];
    let monitor = [queue("runs"), queue("work")];
    let (arrivals_name, arrivals_dlq_name) = (name("arrivals"), name("arrivals-dlq"));
    let (runs_name, runs_dlq_name) = (name("runs"), name("runs-dlq"));
    let first = async {
        tokio::join!(
            is_deployed(),
            buckets(clients, expected, &statements),
            transport(clients, stack, name("arrivals")),
            lambda::function(clients, name("trigger"), &trigger),
            lambda::function(clients, name("monitor"), &monitor),
            schedule,
        )
    };
    let (ledger_name, claims_name) = (name("ledger"), name("claims"));
    let second = async {
        tokio::join!(
            sqs::queue(clients, place, &arrivals_name),
            sqs::queue(clients, place, &arrivals_dlq_name),
            sqs::queue(clients, place, &runs_name),
            sqs::queue(clients, place, &runs_dlq_name),
            dynamodb::table(clients, ledger_name.clone()),
            dynamodb::expiry(clients, &ledger_name),
            dynamodb::table(clients, claims_name.clone()),
            dynamodb::expiry(clients, &claims_name),
            roles::role(clients, &expected.reader, Kind::Reader, requested, None),
        )
    };
    let (first, second) = tokio::join!(first, second);
    let (routes_are_deployed, buckets, transport, trigger, monitor, schedule) = first;
    let (
        arrivals,
        arrivals_dlq,
        runs,
        runs_dlq,
        ledger,
        ledger_expiry,
        claims,
        claims_expiry,
        reader,
    ) = second;
    let account = DataAccount {
        account: place.account.clone(),
        kept_by_organization: BTreeSet::new(),
        region: place.region.clone(),
        stack: named(&expected.stack, status(stack)),
        routes_are_deployed: look(routes_are_deployed),
        announces: look(announces(stack)),
        buckets,
        transport,
        arrivals,
        arrivals_dlq,
        trigger: trigger.function,
        schedule,
        monitor: monitor.function,
        runs,
        runs_dlq,
        ledger,
        ledger_expiry,
        usage: None,
        analysis: None,
        iam_events: None,
        claims,
        claims_expiry,
        reader,
    };
    Inspected { account, external_id: trigger.external_id }
}

/// Returns the status of a stack.
pub(crate) fn status(stack: &Seen<Deployed>) -> Seen<String> {
    stack.as_ref().map(|stack| stack.status.clone()).map_err(Clone::clone)
}

/// Returns whether the stack lets its functions put the events that announce batches.
fn announces(stack: &Seen<Deployed>) -> Seen<bool> {
    let stack = stack.as_ref().map_err(Clone::clone)?;
    Ok(stack.parameter("AnnouncesBatches") == Some("true"))
}

/// Returns what the stack asks for in the policies of buckets.
fn statements(requested: &Seen<Requested>) -> Seen<s3::Statements> {
    let requested = requested.as_ref().map_err(Clone::clone)?;
    requested.bucket_statements().map_err(|error| Unseen::Failed(format!("{error:#}")))
}

async fn buckets(
    clients: &Clients,
    expected: &Expected,
    statements: &Seen<s3::Statements>,
) -> BTreeMap<String, Bucket> {
    let of = |(name, filters): (&String, &Vec<Filter>)| {
        let (name, filters) = (name.clone(), filters.clone());
        async move {
            let bucket = s3::bucket(clients, &expected.place, &name, filters, statements).await;
            (name, bucket)
        }
    };
    stream::iter(expected.buckets.iter().map(of)).buffer_unordered(AT_ONCE).collect().await
}

/// Finds out how events arrive. A stack that can't be seen has the default.
async fn transport(clients: &Clients, stack: &Seen<Deployed>, rule: String) -> Transport {
    let parameter = stack.as_ref().ok().and_then(|stack| stack.parameter("Transport"));
    match parameter {
        Some("EventBridge") => {
            Transport::EventBridge(eventbridge::rule(&clients.events, rule).await)
        }
        Some("Both") => Transport::Both(eventbridge::rule(&clients.events, rule).await),
        _ => Transport::S3,
    }
}
