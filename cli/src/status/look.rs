//! Makes the calls, all at once. What can't be seen says why, and hides nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use landfall_aws::clock::now;
use landfall_aws::ledger::Listing;
use landfall_core::chain::observed::{Named, Observations, Queue};
use landfall_core::chain::{Check, Link, judge};
use landfall_core::moment::Time;
use landfall_core::reconcile::Reconciliation;
use landfall_core::roles::DEFAULT_PATH;
use landfall_inspection::cloudformation::{self, Deployed};
use landfall_inspection::cloudwatch::{Alarm, CloudWatch, Metric, Newest};
use landfall_inspection::{Clients, Place, Seen, Unseen, data, sqs};

use crate::accounts::stack_name;
use crate::args::deploy::TemplateName;
use crate::args::status::StatusArgs;
use crate::ledger::connect_to;
use crate::{aws, monitor};

/// The most batches to read of those that are due, and of those that are parked.
const MOST_BATCHES: usize = 2_000;

/// How far back to look for the newest value of a metric.
pub const LOOK_BACK: Duration = Duration::from_secs(900);

/// The links of the chain that say whether Landfall itself is at work in the data account. `landfall doctor` judges the
/// others, for which it takes the routes.
const LINKS: [Link; 13] = [
    Link::DataStack,
    Link::UploadRule,
    Link::Arrivals,
    Link::ArrivalsDeadLetters,
    Link::Trigger,
    Link::TriggerConcurrency,
    Link::TriggerMapping,
    Link::Runs,
    Link::RunsDeadLetters,
    Link::Monitor,
    Link::MonitorConcurrency,
    Link::MonitorMapping,
    Link::Schedule,
];

/// The queues that are among the links, each with whether it is a dead-letter queue.
const CHECKED_QUEUES: [(&str, bool); 4] =
    [("arrivals", false), ("runs", false), ("arrivals-dlq", true), ("runs-dlq", true)];

/// Everything that was seen.
pub struct Observed {
    pub place: Place,
    pub at: Time,
    pub stacks: Vec<Stack>,
    /// The verdicts on the links that say whether Landfall is at work, in the direction of the data.
    pub checks: Vec<Check>,
    pub queues: Vec<Depth>,
    /// The alarms of the stacks that are in state `ALARM`.
    pub alarms: Seen<Vec<Alarm>>,
    /// When the monitor last reported a tick, within [`LOOK_BACK`].
    pub last_tick: Seen<Option<Time>>,
    /// The options with which other commands look at the same ledger, each after a space.
    pub options: String,
    /// The unfinished batches, or why they can't be read.
    pub batches: Result<Listing, String>,
    /// How far each route that is reconciled has come, as far as it can be read.
    pub reconciliations: Vec<Reconciliation>,
    /// Why nobody could see the others.
    pub unseen_reconciliations: Vec<String>,
}

/// A stack that exists.
pub struct Stack {
    pub name: String,
    pub status: String,
    pub version: Option<String>,
}

/// A queue, and how long its oldest message has waited.
pub struct Depth {
    pub name: String,
    pub is_dead_letters: bool,
    pub queue: Named<Queue>,
    /// `None` if nothing waits, or if CloudWatch has not told lately.
    pub oldest: Option<Duration>,
}

/// Looks at the data account of the credentials.
pub async fn look(args: &StatusArgs) -> anyhow::Result<Observed> {
    let prefix = &args.name_prefix;
    let table = format!("{prefix}-ledger");
    let connection = connect_to(&args.access, &table).await?;
    let config = connection.config();
    let place = aws::place(&aws::identity(config).await?, config)?;
    let clients = Clients::new(config);
    let stacks = [TemplateName::Data, TemplateName::Provisioner, TemplateName::Auditor];
    let [data, provisioner, auditor] = stacks.map(|template| stack_name(prefix, template));
    let (data, provisioner, auditor) = tokio::join!(
        cloudformation::stack(&clients, &data),
        cloudformation::stack(&clients, &provisioner),
        cloudformation::stack(&clients, &auditor),
    );
    let rest = other_queues(prefix, &data);
    let names = CHECKED_QUEUES.map(|(name, _)| format!("{prefix}-{name}"));
    let names: Vec<String> = names.into_iter().chain(rest.iter().map(|it| it.0.clone())).collect();
    let watch = CloudWatch::new(config, &place.partition, &place.region);
    let alarm_prefix = format!("{prefix}-");
    let ((checks, checked), others, alarms, metrics, batches, reconciliations) = tokio::join!(
        checks(&clients, &place, prefix, &data),
        depths(&clients, &place, &rest),
        watch.in_alarm(&alarm_prefix),
        metrics(&watch, &table, &names),
        connection.ledger.longest_unfinished(MOST_BATCHES),
        connection.ledger.reconciliations(),
    );
    let deployed = [&data, &provisioner, &auditor];
    let (last_tick, ages) = match metrics {
        Ok(newest) => {
            let mut newest = newest.into_iter();
            let tick = newest.next().flatten();
            (Ok(tick.map(|tick| tick.at)), newest.collect())
        }
        Err(unseen) => (Err(unseen), Vec::new()),
    };
    let of_checks = CHECKED_QUEUES.into_iter().zip(checked);
    let queues = of_checks.map(|((_, is_dead_letters), queue)| (queue, is_dead_letters));
    let queues = queues.chain(others).zip(names).enumerate();
    let queues = queues.map(|(at, ((queue, is_dead_letters), name))| {
        let age = ages.get(at).copied().flatten();
        Depth { name, is_dead_letters, oldest: age.and_then(|age| oldest(&queue, age)), queue }
    });
    let mut unseen_reconciliations = Vec::new();
    let mut seen_reconciliations = Vec::new();
    let all = reconciliations.map_or_else(|e| vec![Err(e)], |all| all.into_values().collect());
    // Without a reconciler, nobody brings them up to date.
    let is_gone =
        data.as_ref().is_ok_and(|stack| stack.parameter("ReconciledBucketArns").is_none());
    for one in all.into_iter().filter(|_| !is_gone) {
        match one {
            // Otherwise, no pass has begun, or the route isn't reconciled any more.
            Ok(one) if one.pass.is_none() && one.last.is_none() => {}
            Ok(one) => seen_reconciliations.push(one),
            Err(error) => {
                unseen_reconciliations.push(format!("{:#}", connection.explained(error)));
            }
        }
    }
    Ok(Observed {
        at: now(),
        stacks: deployed.iter().filter_map(|it| it.as_ref().ok()).map(Stack::from).collect(),
        checks,
        queues: queues.collect(),
        alarms: alarms.map(|alarms| own(alarms, &deployed)),
        last_tick,
        options: options(args),
        batches: batches.map_err(|error| format!("{:#}", connection.explained(error))),
        reconciliations: seen_reconciliations,
        unseen_reconciliations,
        place,
    })
}

/// Returns the options with which other commands look at the same ledger.
fn options(args: &StatusArgs) -> String {
    let prefix = &args.name_prefix;
    let table = (prefix != "landfall").then(|| format!(" --table {prefix}-ledger"));
    table.unwrap_or_default() + &args.access.options()
}

/// Has what `doctor` looks at seen and judged, without routes and without the other account. Also returns the
/// [`CHECKED_QUEUES`].
async fn checks(
    clients: &Clients,
    place: &Place,
    prefix: &str,
    stack: &Seen<Deployed>,
) -> (Vec<Check>, [Named<Queue>; 4]) {
    let Place { partition, account, .. } = place;
    let parameter = |name| stack.as_ref().ok().and_then(|stack| stack.parameter(name));
    let path = parameter("ProvisionedRolePath").unwrap_or(DEFAULT_PATH);
    let analytics = parameter("AnalyticsAccountId").unwrap_or_default();
    let expected = data::Expected {
        place: place.clone(),
        name_prefix: prefix.to_owned(),
        stack: prefix.to_owned(),
        buckets: BTreeMap::new(),
        reader: format!("arn:{partition}:iam::{account}:role{path}{prefix}-reader-{analytics}"),
    };
    let nobody = || Unseen::Failed("nobody looked".to_owned());
    let routes = async || Err(nobody());
    let data = data::inspect(clients, &expected, stack, &Err(nobody()), routes).await.account;
    let queues = [&data.arrivals, &data.runs, &data.arrivals_dlq, &data.runs_dlq].map(Clone::clone);
    let observations = Observations {
        at: now(),
        deploy: "landfall deploy routes.yaml".to_owned(),
        routes: Vec::new(),
        data: Ok(data),
        analytics: Err("nobody looked".to_owned()),
    };
    let checks = judge(&observations).into_iter().filter(|check| LINKS.contains(&check.link));
    (checks.collect(), queues)
}

/// Returns the names of the queues that exist besides [`CHECKED_QUEUES`], each with whether it is a dead-letter queue.
fn other_queues(prefix: &str, stack: &Seen<Deployed>) -> Vec<(String, bool)> {
    let ids = stack.as_ref().ok().and_then(|stack| stack.ids.as_ref().ok());
    let has = |id: &str| ids.is_some_and(|ids| ids.contains_key(id));
    let backfill = has("BackfillQueue").then(|| (format!("{prefix}-backfill"), false));
    let of_rule = has("RuleDeadLetterQueue").then(|| (format!("{prefix}-rule-dlq"), true));
    std::iter::once((format!("{prefix}-work"), false)).chain(backfill).chain(of_rule).collect()
}

async fn depths(
    clients: &Clients,
    place: &Place,
    names: &[(String, bool)],
) -> Vec<(Named<Queue>, bool)> {
    let mut depths = Vec::new();
    for (name, is_dead_letters) in names {
        depths.push((sqs::queue(clients, place, name).await, *is_dead_letters));
    }
    depths
}

/// Returns the newest tick, and the newest age of each queue's oldest message.
async fn metrics(watch: &CloudWatch, ledger: &str, queues: &[String]) -> Seen<Vec<Option<Newest>>> {
    let ages = queues.iter().map(|name| Metric {
        namespace: "AWS/SQS",
        name: "ApproximateAgeOfOldestMessage",
        dimensions: vec![("QueueName", name.as_str())],
        statistic: "Maximum",
    });
    let metrics: Vec<Metric<'_>> = std::iter::once(monitor::ticks(ledger)).chain(ages).collect();
    let until = now();
    watch.newest(&metrics, until - LOOK_BACK, until).await
}

/// An empty queue has no oldest message, whatever CloudWatch knew of it a few minutes ago.
fn oldest(queue: &Named<Queue>, age: Newest) -> Option<Duration> {
    let seen = queue.look.seen().filter(|queue| queue.visible + queue.in_flight > 0);
    seen.and_then(|_| Duration::try_from_secs_f64(age.value).ok())
}

/// Keeps the alarms of these stacks: another deployment's prefix can begin with this one. If a stack's resources can't be
/// seen, all alarms count.
fn own(alarms: Vec<Alarm>, stacks: &[&Seen<Deployed>]) -> Vec<Alarm> {
    let mut ids = BTreeSet::new();
    for stack in stacks {
        match stack.as_ref().map(|stack| &stack.ids) {
            Ok(Ok(of_stack)) => ids.extend(of_stack.values().map(String::as_str)),
            Err(Unseen::Missing) => {}
            Ok(Err(_)) | Err(_) => return alarms,
        }
    }
    alarms.into_iter().filter(|alarm| ids.contains(alarm.name.as_str())).collect()
}

impl From<&Deployed> for Stack {
    fn from(deployed: &Deployed) -> Self {
        Self {
            name: deployed.name.clone(),
            status: deployed.status.clone(),
            version: deployed.version.clone(),
        }
    }
}
