//! Judges whom the resources of an account let in, by what IAM Access Analyzer says of them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Place, listed, look};
use crate::arn::is_account;
use crate::chain::check::{Check, Status};
use crate::chain::link::Link;
use crate::chain::observed::{Analysis, AnalyticsAccount, DataAccount, External};
use crate::chain::problems::Fault;

/// What the checks without a resource of their own are about.
const ANALYZER: &str = "IAM Access Analyzer";

/// Judges the reader role, the landing buckets with their keys, and the queues.
pub(super) fn of_data(place: &Place<'_>, data: &DataAccount) -> Vec<Check> {
    let Some(analysis) = &data.analysis else { return Vec::new() };
    let queues = [&data.arrivals, &data.arrivals_dlq, &data.runs, &data.runs_dlq];
    let keys = data.buckets.values().filter_map(|bucket| bucket.key.as_ref()?.seen());
    let mut ours: BTreeSet<&str> = queues.iter().map(|queue| queue.name.as_str()).collect();
    ours.extend(keys.map(|key| key.arn.as_str()));
    ours.insert(&data.reader.name);
    let is_ours = |resource: &str| {
        let bucket = resource.split_once(":s3:::").map(|(_, bucket)| bucket);
        ours.contains(resource) || bucket.is_some_and(|name| data.buckets.contains_key(name))
    };
    judged(place, Link::DataOutsiders, analysis, is_ours)
}

/// Judges the starter role and the roles of the jobs.
pub(super) fn of_analytics(place: &Place<'_>, analytics: &AnalyticsAccount) -> Vec<Check> {
    let Some(analysis) = &analytics.analysis else { return Vec::new() };
    let jobs = analytics.jobs.values().filter_map(|job| job.job.seen());
    let mut ours: BTreeSet<&str> = jobs.map(|job| job.role.as_str()).collect();
    ours.extend(analytics.job_role.iter().map(|role| role.name.as_str()));
    ours.insert(&analytics.starter.name);
    judged(place, Link::AnalyticsOutsiders, analysis, |resource| ours.contains(resource))
}

fn judged(
    place: &Place<'_>,
    link: Link,
    analysis: &Analysis,
    is_ours: impl Fn(&str) -> bool,
) -> Vec<Check> {
    let findings = match look(&analysis.findings) {
        Ok(findings) => findings,
        Err(super::Gap::Missing) => {
            let why =
                "skipped, because the account has no analyzer of external access in the region";
            return vec![place.skipped(link, ANALYZER, why)];
        }
        Err(gap) => return vec![place.gap_after(link, ANALYZER, &gap, link)],
    };
    let mut by_resource: BTreeMap<&str, Vec<&External>> = BTreeMap::new();
    for finding in findings {
        let is_intended = |name: &String| {
            account_of(name).is_some_and(|account| analysis.intended.contains(account))
        };
        let is_foreign = finding.is_public || !finding.principals.iter().all(is_intended);
        if is_ours(&finding.resource) && is_foreign {
            by_resource.entry(&finding.resource).or_default().push(finding);
        }
    }
    if by_resource.is_empty() {
        let evidence = "it knows of nobody but those whom the routes and the stack let in";
        return vec![place.ok(link, ANALYZER, evidence)];
    }
    let check = |(resource, all): (&str, Vec<&External>)| {
        let whom = |it: &External| match it.is_public {
            true => "everybody".to_owned(),
            false => listed(it.principals.iter().map(String::as_str)),
        };
        let each =
            all.iter().map(|it| format!("finding `{}` says that it lets in {}", it.id, whom(it)));
        let (analyzer, finding) =
            all.first().map_or(("", ""), |first| (first.analyzer.as_str(), first.id.as_str()));
        let evidence = format!("{}, of `{analyzer}`", each.collect::<Vec<_>>().join("; "));
        let more = [("analyzer", analyzer), ("finding", finding)];
        place.wrong(link, Status::Warn, resource, evidence, Fault::AccessAnalyzer, &more)
    };
    by_resource.into_iter().map(check).collect()
}

/// Returns the account of a principal: an account's ID, or an ARN.
fn account_of(principal: &str) -> Option<&str> {
    let account = match principal.strip_prefix("arn:") {
        Some(rest) => rest.split(':').nth(3)?,
        None => principal,
    };
    is_account(account).then_some(account)
}
