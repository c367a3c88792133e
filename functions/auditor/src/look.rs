//! Finds out what the audited stack asks for, and has it looked at and judged.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt};
use landfall_aws::clock::now;
use landfall_core::audit::{is_audited, is_of_stack};
use landfall_core::bucket_notifications::{self, Filter};
use landfall_core::chain::observed::{
    Analysis, AnalyticsAccount, DataAccount, Forwarding, Look, Observations, RouteFacts, Watch,
};
use landfall_core::chain::{Check, Side, judge};
use landfall_core::roles::Kind;
use landfall_core::routes::Routes;
use landfall_core::usage::{Usage, Usages};
use landfall_inspection::cloudformation::{self, Deployed};
use landfall_inspection::requested::Requested;
use landfall_inspection::{
    Seen, Unseen, analytics, data, external_access, forwarding, newest_batch,
};

use crate::{Context, Settings};

/// How many routes are looked at at once.
const AT_ONCE: usize = 4;

/// What `NamePrefix` is unless somebody sets it.
const DEFAULT_PREFIX: &str = "landfall";

/// What the audited stack asks for. A stack that isn't there asks for nothing.
struct Asked {
    requested: Seen<Requested>,
    /// The routes that lead through the account.
    routes: Vec<RouteFacts>,
    /// The buckets of the routes, each with the filters that they need.
    buckets: BTreeMap<String, Vec<Filter>>,
    /// The other accounts that the routes and the stack let in.
    intended: BTreeSet<String>,
}

/// Looks at the account's half of the chain, and returns the verdicts on the audited links. If it isn't known what the
/// stack asks for, the only verdict is that on the stack.
///
/// `used` is what is remembered of the use of routes. It is brought up to date.
pub(crate) async fn checks(
    context: &Context,
    stack: &Seen<Deployed>,
    used: &mut Usages,
) -> Vec<Check> {
    let side = context.settings.side;
    let prefix = stack.as_ref().ok().and_then(|stack| stack.parameter("NamePrefix"));
    let prefix = prefix.unwrap_or(DEFAULT_PREFIX);
    let asked = asked(context, stack).await;
    let is_known = asked.is_ok();
    let others = || "an auditor looks at its own account only".to_owned();
    let (mut data, mut analytics, mut routes) = (Err(others()), Err(others()), Vec::new());
    match (asked, side) {
        (Ok(asked), Side::Data) => {
            let mut account = of_data(context, stack, prefix, &asked).await;
            account.usage = Some(watch(context, &account.ledger.name, &asked.routes, used).await);
            account.analysis = analysis(context, &asked).await;
            account.iam_events = iam_events(context, prefix).await;
            data = Ok(account);
            routes = asked.routes;
        }
        (Ok(asked), Side::Analytics) => {
            let mut account = of_analytics(context, stack, prefix, &asked).await;
            account.analysis = analysis(context, &asked).await;
            account.iam_events = iam_events(context, prefix).await;
            analytics = Ok(account);
            routes = asked.routes;
        }
        (Err(why), Side::Data) => data = Err(why),
        (Err(why), Side::Analytics) => analytics = Err(why),
    }
    let deploy = deploy_command(prefix);
    let mut checks = judge(&Observations { at: now(), deploy, routes, data, analytics });
    checks.retain(|it| is_audited(it.link, side) && (is_known || is_of_stack(it.link)));
    if !is_known {
        let Settings { stack, place, .. } = &context.settings;
        for check in &mut checks {
            stack.clone_into(&mut check.resource);
            place.account.clone_into(&mut check.account);
        }
    }
    checks
}

async fn asked(context: &Context, stack: &Seen<Deployed>) -> Result<Asked, String> {
    let requested = cloudformation::requested(&context.clients, stack).await;
    let (routes, buckets, intended) = match &requested {
        Ok(requested) => {
            let routes = requested.routes()?;
            let buckets = bucket_notifications::buckets(&routes).into_iter();
            let buckets = buckets.map(|(name, filters)| (name, filters.filters)).collect();
            let mut intended = requested.admitted_accounts();
            if context.settings.side == Side::Data {
                intended.extend(routes.targets.values().map(|target| target.account.clone()));
            }
            (facts(&context.settings, requested, &routes), buckets, intended)
        }
        Err(Unseen::Missing) => (Vec::new(), BTreeMap::new(), BTreeSet::new()),
        Err(unseen) => return Err(unseen.to_string()),
    };
    Ok(Asked { requested, routes, buckets, intended })
}

/// Returns the routes that lead through the account: in the data account all, in the analytics account those that start
/// jobs with its starter role.
fn facts(settings: &Settings, requested: &Requested, routes: &Routes) -> Vec<RouteFacts> {
    match (settings.side, requested.role_arn(Kind::Starter)) {
        (Side::Data, _) => routes.routes.iter().map(RouteFacts::from).collect(),
        (Side::Analytics, Some(starter)) => {
            routes.started_by(&starter).map(RouteFacts::from).collect()
        }
        (Side::Analytics, None) => Vec::new(),
    }
}

async fn of_data(
    context: &Context,
    stack: &Seen<Deployed>,
    prefix: &str,
    asked: &Asked,
) -> DataAccount {
    let expected = data::Expected {
        place: context.settings.place.clone(),
        name_prefix: prefix.to_owned(),
        stack: context.settings.stack.clone(),
        buckets: asked.buckets.clone(),
        reader: role_arn(asked, Kind::Reader),
    };
    // It judges by the deployed routes.
    let is_deployed = async || Ok(true);
    let inspected =
        data::inspect(&context.clients, &expected, stack, &asked.requested, is_deployed).await;
    inspected.account
}

/// Asks Access Analyzer whom the account's resources let in, if it is to be asked.
async fn analysis(context: &Context, asked: &Asked) -> Option<Analysis> {
    if !context.settings.asks_access_analyzer {
        return None;
    }
    let findings = external_access(&context.clients).await;
    Some(Analysis { intended: asked.intended.clone(), findings })
}

/// Looks at what forwards IAM's events to this auditor, if anything should.
async fn iam_events(context: &Context, prefix: &str) -> Option<Forwarding> {
    let Context { settings, clients, .. } = context;
    match settings.expects_iam_events {
        true => forwarding(clients, &settings.place, prefix).await,
        false => None,
    }
}

/// Looks for the newest batch of each route for which it is time, and remembers it. Forgets routes that aren't there any
/// more, unless there is none at all: then the stack is gone, and may come back.
async fn watch(context: &Context, ledger: &str, routes: &[RouteFacts], used: &mut Usages) -> Watch {
    let now = now();
    let look = |route: &RouteFacts| {
        let (name, before) = (route.name.clone(), used.get(&route.name).cloned());
        async move {
            let seen = match before {
                Some(before) if !before.is_due(now) => Look::Seen(before),
                before => match newest_batch(&context.clients, ledger, &name).await {
                    Look::Seen(newest) => Look::Seen(Usage::after(before.as_ref(), newest, now)),
                    Look::Missing => Look::Missing,
                    Look::Denied(permission) => Look::Denied(permission),
                    Look::DeniedByOrganization(permission) => {
                        Look::DeniedByOrganization(permission)
                    }
                    Look::Failed(why) => Look::Failed(why),
                },
            };
            (name, seen)
        }
    };
    let looks: Vec<_> = routes.iter().map(look).collect();
    let seen: BTreeMap<String, Look<Usage>> =
        stream::iter(looks).buffer_unordered(AT_ONCE).collect().await;
    if !seen.is_empty() {
        used.retain(|name, _| seen.contains_key(name));
    }
    let known = seen.iter().filter_map(|(name, it)| Some((name.clone(), it.seen()?.clone())));
    used.extend(known);
    Watch { routes: seen, unused_after: context.settings.unused_after }
}

async fn of_analytics(
    context: &Context,
    stack: &Seen<Deployed>,
    prefix: &str,
    asked: &Asked,
) -> AnalyticsAccount {
    let expected = analytics::Expected {
        place: context.settings.place.clone(),
        name_prefix: prefix.to_owned(),
        stack: context.settings.stack.clone(),
        jobs: asked.routes.iter().filter_map(|route| route.job.clone()).collect(),
        starter: role_arn(asked, Kind::Starter),
        job_role: role_arn(asked, Kind::Job),
        has_scripts_and_runs: false,
    };
    analytics::inspect(&context.clients, &expected, stack, &asked.requested, None).await
}

/// Returns the ARN of a role that the stack asks for. A stack that asks for none has no name for it.
fn role_arn(asked: &Asked, kind: Kind) -> String {
    let arn = asked.requested.as_ref().ok().and_then(|requested| requested.role_arn(kind));
    arn.unwrap_or_else(|| format!("{} role", kind.name()))
}

/// Returns the command that deploys, which only people know in full.
fn deploy_command(prefix: &str) -> String {
    match prefix {
        DEFAULT_PREFIX => "landfall deploy ROUTES".to_owned(),
        other => format!("landfall deploy ROUTES --name-prefix {other}"),
    }
}
