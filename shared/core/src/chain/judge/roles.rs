//! Judges Landfall's roles: what they may do, whom they trust, and whether somebody pulled the brake.

use super::{Place, distinct, listed, look};
use crate::chain::check::{Check, Status};
use crate::chain::drift::{Difference, Kind};
use crate::chain::link::Link;
use crate::chain::observed::{AnalyticsAccount, Named, Role, RouteFacts};
use crate::chain::problems::Fault;
use crate::chain::statements::{admits_role, unique_ids};

/// The end of the ARN of AWS's policy that denies everything, whatever the partition. Other brakes may spare some calls:
/// `AWSRevokeOlderSessions` spares those of new sessions.
const DENY_ALL: &str = ":aws:policy/AWSDenyAll";

/// Judges a role that a stack makes. Returns one check for what differs, and one for brakes if there are any.
pub(super) fn role(place: &Place<'_>, link: Link, role: &Named<Role>) -> Vec<Check> {
    let arn = role.name.as_str();
    let Role { trust, differences, brakes, .. } = match look(&role.look) {
        Ok(role) => role,
        Err(gap) => return vec![place.gap(link, arn, &gap, Fault::RoleMissing)],
    };
    let name = name_of(arn);
    let wrong = |status, evidence: String, fault, brake: &str| {
        let more = [("role", name), ("brake", brake), ("brakes", brake)];
        place.wrong(link, status, arn, evidence, fault, &more)
    };
    let ids = trust.as_ref().map(|trust| unique_ids(trust, &[])).unwrap_or_default();
    let mut checks = Vec::new();
    if !ids.is_empty() {
        let ids = listed(ids.iter().map(String::as_str));
        let evidence = format!("its trust policy names {ids}");
        checks.push(wrong(Status::Broken, evidence, Fault::TrustUniqueId, ""));
    } else if let Some((status, fault)) = worst(differences) {
        let texts: Vec<&str> = differences.iter().map(|it| it.text.as_str()).collect();
        let evidence = format!("to put it right: {}", texts.join("; "));
        checks.push(wrong(status, evidence, fault, ""));
    }
    if let Some(brake) = brakes.iter().find(|brake| brake.ends_with(DENY_ALL)) {
        let evidence = format!("it has `{brake}`");
        checks.push(wrong(Status::Broken, evidence, Fault::RoleDeniedEverything, brake));
    } else if !brakes.is_empty() {
        let brakes = listed(brakes.iter().map(String::as_str));
        let evidence = format!("it has {brakes}");
        checks.push(wrong(Status::Warn, evidence, Fault::SessionRevoked, &brakes));
    }
    if checks.is_empty() {
        checks.push(place.ok(link, arn, "it is as the routes and the stack want it"));
    }
    checks
}

/// Returns what the differences mean together: the one that matters most to the chain.
fn worst(differences: &[Difference]) -> Option<(Status, Fault)> {
    let first = differences.iter().map(|difference| difference.kind).min()?;
    Some(match first {
        Kind::Narrower => (Status::Broken, Fault::RoleNarrower),
        Kind::Other => (Status::Broken, Fault::RoleChanged),
        Kind::Wider => (Status::Warn, Fault::RoleWider),
        Kind::BoundaryMissing => (Status::Warn, Fault::BoundaryMissing),
        Kind::BoundaryOther => (Status::Warn, Fault::BoundaryOther),
        Kind::NotOurs => (Status::Warn, Fault::RoleNotOurs),
        Kind::Details => (Status::Warn, Fault::RoleDetailsDiffer),
    })
}

/// Judges whether the reader role trusts the roles of the jobs that read through it.
pub(super) fn reader_trust(
    place: &Place<'_>,
    reader: &Named<Role>,
    analytics: Option<&AnalyticsAccount>,
    routes: &[RouteFacts],
) -> Vec<Check> {
    let (link, arn) = (Link::ReaderTrust, reader.name.as_str());
    let role = match look(&reader.look) {
        Ok(role) => role,
        Err(gap) => {
            let earlier = if place.is_stack_missing { place.stack() } else { Link::Reader };
            return vec![place.gap_after(link, arn, &gap, earlier)];
        }
    };
    let Some(analytics) = analytics else {
        let why = "nobody looked at the analytics account, so the jobs' roles aren't known";
        return vec![place.unknown(link, arn, why)];
    };
    let readers = routes.iter().filter(|route| route.needs_reader());
    let jobs = distinct(readers.filter_map(|route| route.job.as_deref()));
    jobs.iter()
        .map(|name| {
            let Some(job) = analytics.jobs.get(*name).and_then(|job| job.job.seen()) else {
                let why = format!("the role of job `{name}` isn't known");
                return place.skipped(
                    link,
                    arn,
                    format!("skipped, because {why} ({})", Link::Job.code()),
                );
            };
            let Some(trust) = &role.trust else {
                return place.unknown(link, arn, "its trust policy can't be read");
            };
            if admits_role(trust, &job.role) {
                return place.ok(
                    link,
                    arn,
                    format!("it trusts `{}`, the role of job `{name}`", job.role),
                );
            }
            let evidence = format!("it doesn't trust `{}`, the role of job `{name}`", job.role);
            let more = [("job_role", job.role.as_str())];
            let fault = Fault::ReaderDoesNotAdmitJobRole;
            place.wrong(link, Status::Broken, arn, evidence, fault, &more)
        })
        .collect()
}

/// Returns a role's name without its path.
pub(super) fn name_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
