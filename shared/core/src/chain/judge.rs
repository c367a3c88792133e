//! Judges what was seen of the chain: one function for each link, called in the direction of the data.
//!
//! What nobody could see is unknown, and never all right. A check that an earlier one makes pointless is skipped, and
//! says because of which one.

mod buckets;
mod functions;
mod jobs;
mod network;
mod object;
mod outsiders;
mod queues;
mod roles;
mod rules;
mod stacks;
mod usage;

use std::collections::BTreeSet;

pub use self::object::judge_object;
use super::check::{Check, Status};
use super::link::{Link, Side};
use super::observed::{AnalyticsAccount, DataAccount, Look, Observations, RouteFacts, Transport};
use super::problems::Fault;

/// Judges what was seen. Returns at least one check for each link, in the direction of the data. Only the rule for
/// uploads has none if S3 notifies the queue itself, the right to announce has none if no route does, the use of routes has none if nobody remembers it, whom resources
/// let in has none if nobody asked Access Analyzer, a job's network has none if nobody looked at it, and IAM's events have none if nothing has to forward them.
pub fn judge(observations: &Observations) -> Vec<Check> {
    let Observations { routes, data, analytics, deploy, .. } = observations;
    let data = data.as_ref();
    let analytics = analytics.as_ref();
    let mut checks = Vec::new();
    checks.extend(match data {
        Ok(data) => {
            let place = Place::data(data, deploy);
            let mut checks = until_ledger(&place, data, routes);
            checks.extend(stacks::announcing(&place, &data.announces, routes));
            let usage = data.usage.iter();
            checks.extend(
                usage.flat_map(|watch| usage::usage(&place, watch, routes, observations.at)),
            );
            checks
        }
        Err(why) => unseen(Link::DataStack..=Link::Usage, Side::Data, why),
    });
    checks.extend(match analytics {
        Ok(analytics) => {
            until_job(&Place::analytics(analytics, deploy), analytics, data.ok(), routes)
        }
        Err(why) => unseen(Link::AnalyticsStack..=Link::AnalyticsIamEvents, Side::Analytics, why),
    });
    checks.extend(match data {
        Ok(data) => reading(&Place::data(data, deploy), data, analytics.ok(), routes),
        Err(why) => unseen(Link::Reader..=Link::DataIamEvents, Side::Data, why),
    });
    checks.extend(match analytics {
        Ok(analytics) => {
            let place = Place::analytics(analytics, deploy);
            vec![rules::of_runs(&place, &analytics.rule_of_runs, data.ok(), routes)]
        }
        Err(why) => unseen(Link::RuleOfRuns..=Link::RuleOfRuns, Side::Analytics, why),
    });
    checks.extend(match data {
        Ok(data) => way_back(&Place::data(data, deploy), data, analytics.ok()),
        Err(why) => unseen(Link::RunsPolicy..=Link::Schedule, Side::Data, why),
    });
    checks.extend(match analytics {
        Ok(analytics) => {
            let place = Place::analytics(analytics, deploy);
            jobs::of(routes).map(|job| jobs::last_run(&place, job, analytics)).collect()
        }
        Err(why) => unseen(Link::LastRun..=Link::LastRun, Side::Analytics, why),
    });
    checks
}

/// Returns `true` if a look at an account showed nothing, without a word that the organization denied it. Then it is worth asking
/// IAM's policy simulation.
pub fn could_not_look(observations: &Observations, side: Side) -> bool {
    let is_unclear = |check: &Check| {
        check.link.side() == side
            && check.status == Status::Unknown
            && check.problem.as_ref().is_some_and(|it| it.code == Fault::CouldNotLook.code())
    };
    judge(observations).iter().any(is_unclear)
}

/// Judges the way from the bucket to the ledger.
fn until_ledger(place: &Place<'_>, data: &DataAccount, routes: &[RouteFacts]) -> Vec<Check> {
    let buckets = distinct(routes.iter().map(|route| route.bucket.as_str()));
    let mut checks = vec![
        stacks::stack(place, Link::DataStack, &data.stack),
        stacks::routes(place, &data.routes_are_deployed),
    ];
    checks.extend(buckets.iter().flat_map(|bucket| buckets::bucket(place, bucket, data, routes)));
    if let Transport::EventBridge(rule) | Transport::Both(rule) = &data.transport {
        checks.push(rules::of_uploads(place, rule, &data.arrivals.name, &buckets));
    }
    checks.push(queues::arrivals_policy(place, data, &buckets));
    checks.push(queues::queue(place, Link::Arrivals, &data.arrivals));
    checks.push(queues::dead_letters(place, Link::ArrivalsDeadLetters, &data.arrivals_dlq));
    checks.extend(functions::function(place, &functions::TRIGGER, &data.trigger));
    checks.push(stacks::table(place, Link::Ledger, &data.ledger, &data.ledger_expiry));
    checks
}

/// Judges the way from the ledger to a job that runs.
fn until_job(
    place: &Place<'_>,
    analytics: &AnalyticsAccount,
    data: Option<&DataAccount>,
    routes: &[RouteFacts],
) -> Vec<Check> {
    let mut checks = vec![stacks::stack(place, Link::AnalyticsStack, &analytics.stack)];
    checks.extend(roles::role(place, Link::Starter, &analytics.starter));
    checks.extend(jobs::of(routes).flat_map(|job| jobs::job(place, job, routes, analytics)));
    checks
        .extend(analytics.job_role.iter().flat_map(|role| roles::role(place, Link::JobRole, role)));
    let network = |job| network::network(place, job, routes, analytics, data);
    checks.extend(jobs::of(routes).flat_map(network));
    checks.extend(outsiders::of_analytics(place, analytics));
    let of_iam = |it| rules::of_iam(place, Link::AnalyticsIamEvents, it);
    checks.extend(analytics.iam_events.as_ref().map(of_iam));
    checks
}

/// Judges how a job gets at what landed.
fn reading(
    place: &Place<'_>,
    data: &DataAccount,
    analytics: Option<&AnalyticsAccount>,
    routes: &[RouteFacts],
) -> Vec<Check> {
    let mut checks = Vec::new();
    if !routes.iter().any(RouteFacts::needs_reader) {
        let why = match routes.iter().any(|route| route.by_bucket_policy) {
            true => "no route reads through the reader role: the buckets' policies admit the jobs",
            false => "no route reads through the reader role: none starts a job",
        };
        let reader = data.reader.name.as_str();
        checks
            .extend([Link::Reader, Link::ReaderTrust].map(|link| place.skipped(link, reader, why)));
    } else {
        checks.extend(roles::role(place, Link::Reader, &data.reader));
        checks.extend(roles::reader_trust(place, &data.reader, analytics, routes));
    }
    checks.push(stacks::table(place, Link::Claims, &data.claims, &data.claims_expiry));
    checks.extend(outsiders::of_data(place, data));
    let of_iam = |it| rules::of_iam(place, Link::DataIamEvents, it);
    checks.extend(data.iam_events.as_ref().map(of_iam));
    checks
}

/// Judges how Landfall learns that a run has ended, and what it does then.
fn way_back(
    place: &Place<'_>,
    data: &DataAccount,
    analytics: Option<&AnalyticsAccount>,
) -> Vec<Check> {
    let mut checks = vec![
        queues::runs_policy(place, &data.runs, analytics),
        queues::queue(place, Link::Runs, &data.runs),
        queues::dead_letters(place, Link::RunsDeadLetters, &data.runs_dlq),
    ];
    checks.extend(functions::function(place, &functions::MONITOR, &data.monitor));
    checks.push(rules::schedule(place, &data.schedule, &data.monitor.name));
    checks
}

/// Returns a check for each of these links of an account that nobody looked at.
fn unseen(links: std::ops::RangeInclusive<Link>, side: Side, why: &str) -> Vec<Check> {
    let is_meant = |link: &Link| links.contains(link) && !link.is_of_object();
    let links = Link::ALL.iter().copied().filter(is_meant);
    links
        .map(|link| Check {
            link,
            status: Status::Unknown,
            resource: String::new(),
            account: format!("{} account", side.name()),
            evidence: format!("nobody looked at the {} account: {why}", side.name()),
            problem: Some(Fault::CouldNotLook.problem(&[("side", side.name())])),
        })
        .collect()
}

/// Where the links that are judged are, and how to say what is wrong with them.
struct Place<'a> {
    side: Side,
    account: &'a str,
    region: &'a str,
    stack: &'a str,
    is_stack_missing: bool,
    deploy: &'a str,
    kept_by_organization: &'a BTreeSet<String>,
}

/// What the organization keeps from the credentials, if nobody asked.
static NOTHING: BTreeSet<String> = BTreeSet::new();

/// Why there is nothing to judge.
enum Gap<'a> {
    Missing,
    Denied(&'a str),
    DeniedByOrganization(&'a str),
    Failed(&'a str),
}

/// Returns what was seen, or why nothing was.
fn look<T>(look: &Look<T>) -> Result<&T, Gap<'_>> {
    match look {
        Look::Seen(it) => Ok(it),
        Look::Missing => Err(Gap::Missing),
        Look::Denied(permission) => Err(Gap::Denied(permission)),
        Look::DeniedByOrganization(permission) => Err(Gap::DeniedByOrganization(permission)),
        Look::Failed(why) => Err(Gap::Failed(why)),
    }
}

impl<'a> Place<'a> {
    fn data(data: &'a DataAccount, deploy: &'a str) -> Self {
        Self {
            side: Side::Data,
            account: &data.account,
            region: &data.region,
            stack: &data.stack.name,
            is_stack_missing: stacks::is_missing(&data.stack.look),
            deploy,
            kept_by_organization: &data.kept_by_organization,
        }
    }

    fn analytics(analytics: &'a AnalyticsAccount, deploy: &'a str) -> Self {
        Self {
            side: Side::Analytics,
            account: &analytics.account,
            region: &analytics.region,
            stack: &analytics.stack.name,
            is_stack_missing: stacks::is_missing(&analytics.stack.look),
            deploy,
            kept_by_organization: &analytics.kept_by_organization,
        }
    }

    fn check(&self, link: Link, status: Status, resource: &str, evidence: String) -> Check {
        let (resource, account) = (resource.to_owned(), self.account.to_owned());
        Check { link, status, resource, account, evidence, problem: None }
    }

    fn ok(&self, link: Link, resource: &str, evidence: impl Into<String>) -> Check {
        self.check(link, Status::Ok, resource, evidence.into())
    }

    fn skipped(&self, link: Link, resource: &str, why: impl Into<String>) -> Check {
        self.check(link, Status::Skipped, resource, why.into())
    }

    /// Returns the check that is skipped because of what `earlier` says.
    fn skipped_after(&self, link: Link, resource: &str, earlier: Link) -> Check {
        let why = format!("skipped, because {} isn't there ({})", earlier.name(), earlier.code());
        self.skipped(link, resource, why)
    }

    fn broken(
        &self,
        link: Link,
        resource: &str,
        evidence: impl Into<String>,
        fault: Fault,
    ) -> Check {
        self.wrong(link, Status::Broken, resource, evidence, fault, &[])
    }

    fn warn(&self, link: Link, resource: &str, evidence: impl Into<String>, fault: Fault) -> Check {
        self.wrong(link, Status::Warn, resource, evidence, fault, &[])
    }

    /// Returns the check of a link with a fault. `more` are the identifiers that only this fault has.
    fn wrong(
        &self,
        link: Link,
        status: Status,
        resource: &str,
        evidence: impl Into<String>,
        fault: Fault,
        more: &[(&str, &str)],
    ) -> Check {
        let common = [
            ("resource", resource),
            ("region", self.region),
            ("stack", self.stack),
            ("deploy", self.deploy),
            ("side", self.side.name()),
        ];
        let values: Vec<(&str, &str)> = more.iter().copied().chain(common).collect();
        let problem = Some(fault.problem(&values));
        Check { problem, ..self.check(link, status, resource, evidence.into()) }
    }

    /// Returns the check of something that nobody could see.
    fn unknown(&self, link: Link, resource: &str, why: impl Into<String>) -> Check {
        self.wrong(link, Status::Unknown, resource, why, Fault::CouldNotLook, &[])
    }

    /// Returns the check of a resource that isn't to be seen and that the stack makes. `fault` is what is wrong if the
    /// stack is there and the resource isn't.
    fn gap(&self, link: Link, resource: &str, gap: &Gap<'_>, fault: Fault) -> Check {
        match gap {
            Gap::Missing if self.is_stack_missing => {
                self.skipped_after(link, resource, self.stack())
            }
            Gap::Missing => self.broken(link, resource, "it isn't there", fault),
            Gap::Denied(_) | Gap::DeniedByOrganization(_) | Gap::Failed(_) => {
                self.gap_after(link, resource, gap, link)
            }
        }
    }

    /// Returns the check of a property that isn't to be seen. It is skipped if the resource of `earlier` is missing.
    fn gap_after(&self, link: Link, resource: &str, gap: &Gap<'_>, earlier: Link) -> Check {
        match gap {
            Gap::Missing => self.skipped_after(link, resource, earlier),
            Gap::Denied(permission) if self.kept_by_organization.contains(*permission) => {
                let evidence = format!(
                    "to look, the credentials need `{permission}`, and IAM's policy simulation says that the organization \
                     doesn't allow it"
                );
                self.denied_by_organization(link, resource, evidence, permission)
            }
            Gap::Denied(permission) => self.unknown(
                link,
                resource,
                format!("to look, the credentials need `{permission}`"),
            ),
            Gap::DeniedByOrganization(permission) => {
                let evidence = format!("a policy of the organization denies `{permission}`");
                self.denied_by_organization(link, resource, evidence, permission)
            }
            Gap::Failed(why) => self.unknown(link, resource, format!("the look failed: {why}")),
        }
    }

    fn denied_by_organization(
        &self,
        link: Link,
        resource: &str,
        evidence: String,
        permission: &str,
    ) -> Check {
        let (fault, more) = (Fault::DeniedByOrganization, [("permission", permission)]);
        self.wrong(link, Status::Unknown, resource, evidence, fault, &more)
    }

    fn stack(&self) -> Link {
        match self.side {
            Side::Data => Link::DataStack,
            Side::Analytics => Link::AnalyticsStack,
        }
    }
}

/// Returns the names without duplicates, in their order.
pub(super) fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(*name)).collect()
}

/// Returns the names in backticks, separated by commas.
fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests;
