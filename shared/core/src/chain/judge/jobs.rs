//! Judges the Glue jobs of the routes.

use super::roles::name_of;
use super::{Gap, Place, distinct, look};
use crate::chain::check::{Check, Status};
use crate::chain::link::Link;
use crate::chain::observed::{AnalyticsAccount, Failure, Job, JobFacts, Look, RouteFacts};
use crate::chain::problems::Fault;
use crate::doctor::explain;

/// Returns the jobs of the routes, in the routes' order.
pub(super) fn of(routes: &[RouteFacts]) -> impl Iterator<Item = &str> {
    distinct(routes.iter().filter_map(|route| route.job.as_deref())).into_iter()
}

pub(super) fn job(
    place: &Place<'_>,
    name: &str,
    routes: &[RouteFacts],
    analytics: &AnalyticsAccount,
) -> Vec<Check> {
    let Some(job) = analytics.jobs.get(name) else {
        let links = [Link::Job, Link::Script, Link::JobRole];
        return links.map(|link| place.unknown(link, name, "nobody looked at the job")).into();
    };
    let facts = match look(&job.job) {
        Ok(facts) => facts,
        Err(Gap::Missing) => {
            let missing = place.broken(Link::Job, name, "there is no such job", Fault::JobMissing);
            let rest = [Link::Script, Link::JobRole]
                .map(|link| place.skipped_after(link, name, Link::Job));
            return [missing].into_iter().chain(rest).collect();
        }
        Err(gap) => {
            let links = [Link::Job, Link::Script, Link::JobRole];
            return links.map(|link| place.gap_after(link, name, &gap, Link::Job)).into();
        }
    };
    let mut checks = settings(place, name, facts, routes);
    checks.extend(script(place, name, facts, job));
    checks.push(role(place, name, facts, job));
    checks
}

fn settings(place: &Place<'_>, name: &str, facts: &JobFacts, routes: &[RouteFacts]) -> Vec<Check> {
    let JobFacts { max_retries, max_concurrent_runs, .. } = facts;
    let link = Link::Job;
    let mut checks = Vec::new();
    let of_job = || routes.iter().filter(|route| route.job.as_deref() == Some(name));
    if let Some(route) = of_job().find(|route| route.must_claim && *max_retries > 0) {
        let evidence = format!(
            "its MaxRetries is {max_retries}, and runs of route `{}` must claim their batches",
            route.name
        );
        checks.push(place.broken(link, name, evidence, Fault::JobMaxRetries));
    }
    let limited = of_job().filter_map(|route| Some((route.max_concurrent_runs?, route)));
    if let Some((limit, route)) = limited.max_by_key(|(limit, _)| *limit)
        && limit > *max_concurrent_runs
    {
        let evidence = format!(
            "its MaxConcurrentRuns is {max_concurrent_runs}, and route `{}` starts {limit} at once",
            route.name
        );
        checks.push(place.warn(link, name, evidence, Fault::JobConcurrencyLow));
    }
    if checks.is_empty() {
        let evidence = format!("it is there and may run {max_concurrent_runs} times at once");
        checks.push(place.ok(link, name, evidence));
    }
    checks
}

fn script(place: &Place<'_>, name: &str, facts: &JobFacts, job: &Job) -> Option<Check> {
    let (link, uri) = (Link::Script, facts.script.as_str());
    Some(match look(job.script.as_ref()?) {
        Ok(()) => place.ok(link, uri, format!("the script of job `{name}` is there")),
        Err(Gap::Missing) => {
            let evidence = format!("the script of job `{name}` isn't there");
            place.broken(link, uri, evidence, Fault::ScriptMissing)
        }
        Err(gap) => place.gap_after(link, uri, &gap, Link::Job),
    })
}

fn role(place: &Place<'_>, name: &str, facts: &JobFacts, job: &Job) -> Check {
    let (link, role) = (Link::JobRole, facts.role.as_str());
    let wrong = |evidence: String, fault| {
        place.wrong(link, Status::Broken, role, evidence, fault, &[("role", name_of(role))])
    };
    match look(&job.role_trusts_glue) {
        Ok(true) => place.ok(link, role, format!("it is the role of job `{name}` and trusts Glue")),
        Ok(false) => {
            let evidence = format!("it is the role of job `{name}` and doesn't trust Glue");
            wrong(evidence, Fault::JobRoleDistrustsGlue)
        }
        Err(Gap::Missing) => {
            wrong(format!("job `{name}` names it, and it isn't there"), Fault::JobRoleMissing)
        }
        Err(gap) => place.gap_after(link, role, &gap, Link::Job),
    }
}

/// Judges the last run that failed.
pub(super) fn last_run(place: &Place<'_>, name: &str, analytics: &AnalyticsAccount) -> Check {
    let link = Link::LastRun;
    let Some(job) = analytics.jobs.get(name) else {
        return place.unknown(link, name, "nobody looked at the job's runs");
    };
    if matches!(job.job, Look::Missing) {
        return place.skipped_after(link, name, Link::Job);
    }
    let failure = match look(&job.last_failure) {
        Ok(Some(failure)) => failure,
        Ok(None) => return place.ok(link, name, "none of the newest runs failed"),
        Err(gap) => return place.gap_after(link, name, &gap, Link::Job),
    };
    let Failure { run_id, state, message, is_newest } = failure;
    let text = message.as_deref().unwrap_or_default();
    let known: Vec<String> = explain(text)
        .iter()
        .map(|found| format!("`{}`: {} {}", found.row.code, found.row.cause, found.row.fix))
        .collect();
    let advice = match known.as_slice() {
        [] => "`landfall batch` shows where each run's log is.".to_owned(),
        known => known.join(" "),
    };
    let then = if *is_newest { "" } else { "; a later run succeeded" };
    let evidence = match text {
        "" => format!("run `{run_id}` ended {state} without a message{then}"),
        text => format!("run `{run_id}` ended {state}: {text}{then}"),
    };
    let status = if *is_newest { Status::Broken } else { Status::Warn };
    let more = [("run", run_id.as_str()), ("advice", advice.as_str())];
    place.wrong(link, status, name, evidence, Fault::RunFailed, &more)
}
