//! Judges a landing bucket: where it is, who may read it, and whom it tells about uploads.

mod keys;
mod notifications;

use super::{Gap, Place, listed, look};
use crate::bucket_access::Comparison;
use crate::chain::check::{Check, Status};
use crate::chain::link::Link;
use crate::chain::observed::{DataAccount, Look, RouteFacts};
use crate::chain::problems::Fault;
use crate::chain::statements::{denials, unique_ids};
use crate::policy::Document;

/// What jobs do with the objects.
const READS: [&str; 2] = ["s3:GetObject", "s3:GetObjectVersion"];

/// The links that make no sense without a bucket.
const PROPERTIES: [Link; 7] = [
    Link::Versioning,
    Link::Ownership,
    Link::PublicAccess,
    Link::BucketPolicy,
    Link::BucketStatements,
    Link::Key,
    Link::Notifications,
];

pub(super) fn bucket(
    place: &Place<'_>,
    name: &str,
    data: &DataAccount,
    routes: &[RouteFacts],
) -> Vec<Check> {
    let Some(bucket) = data.buckets.get(name) else {
        let links = [Link::Bucket].into_iter().chain(PROPERTIES);
        return links
            .map(|link| place.unknown(link, name, "nobody looked at the bucket"))
            .collect();
    };
    let mut checks = vec![existence(place, name, &bucket.region)];
    if matches!(bucket.region, Look::Missing) {
        let rest = PROPERTIES.map(|link| place.skipped_after(link, name, Link::Bucket));
        checks.extend(rest);
        return checks;
    }
    let living = data.reader.look.seen().map(|role| role.role_id.as_str());
    checks.push(versioning(place, name, &bucket.versioning));
    checks.push(ownership(place, name, &bucket.ownership));
    checks.push(public_access(place, name, &bucket.public_access_block));
    checks.extend(policy(place, name, &bucket.policy, living));
    checks.push(statements(place, name, &bucket.statements, routes));
    checks.extend(keys::key(place, name, bucket, data, routes));
    checks.extend(notifications::notifications(place, name, bucket, data));
    checks
}

fn existence(place: &Place<'_>, name: &str, region: &Look<String>) -> Check {
    let link = Link::Bucket;
    match look(region) {
        Ok(region) if region == place.region => {
            place.ok(link, name, format!("it is there, in {region}"))
        }
        Ok(region) => {
            let evidence = format!("it is in {region}, and the stack is in {}", place.region);
            place.broken(link, name, evidence, Fault::BucketInOtherRegion)
        }
        Err(Gap::Missing) => {
            place.broken(link, name, "there is no such bucket", Fault::BucketMissing)
        }
        Err(gap) => place.gap_after(link, name, &gap, link),
    }
}

fn versioning(place: &Place<'_>, name: &str, versioning: &Look<bool>) -> Check {
    let link = Link::Versioning;
    match look(versioning) {
        Ok(true) => place.ok(link, name, "versioning is on"),
        Ok(false) => place.warn(link, name, "versioning is off", Fault::BucketVersioningOff),
        Err(gap) => place.gap_after(link, name, &gap, Link::Bucket),
    }
}

fn ownership(place: &Place<'_>, name: &str, ownership: &Look<String>) -> Check {
    let link = Link::Ownership;
    let fault = Fault::BucketOwnerNotEnforced;
    match look(ownership) {
        Ok(setting) if setting == "BucketOwnerEnforced" => {
            place.ok(link, name, format!("the setting is {setting}"))
        }
        Ok(setting) => place.warn(link, name, format!("the setting is {setting}"), fault),
        Err(Gap::Missing) => place.warn(link, name, "the bucket has no setting", fault),
        Err(gap) => place.gap_after(link, name, &gap, Link::Bucket),
    }
}

fn public_access(place: &Place<'_>, name: &str, off: &Look<Vec<String>>) -> Check {
    let link = Link::PublicAccess;
    let fault = Fault::BucketPublicAccessOpen;
    match look(off) {
        Ok(off) if off.is_empty() => place.ok(link, name, "public access is blocked"),
        Ok(off) => {
            let off = listed(off.iter().map(String::as_str));
            place.warn(link, name, format!("these settings are off: {off}"), fault)
        }
        Err(Gap::Missing) => place.warn(link, name, "the bucket has no block of its own", fault),
        Err(gap) => place.gap_after(link, name, &gap, Link::Bucket),
    }
}

fn policy(
    place: &Place<'_>,
    name: &str,
    policy: &Look<Document>,
    living: Option<&str>,
) -> Vec<Check> {
    let link = Link::BucketPolicy;
    let policy = match look(policy) {
        Ok(policy) => policy,
        Err(Gap::Missing) => return vec![place.ok(link, name, "the bucket has no policy")],
        Err(gap) => return vec![place.gap_after(link, name, &gap, Link::Bucket)],
    };
    let mut checks = Vec::new();
    let denials = denials(policy, &READS, place.account);
    if !denials.is_empty() {
        let each: Vec<String> = denials
            .iter()
            .map(|(sid, why)| format!("statement `{sid}` denies reading {why}"))
            .collect();
        let sids = listed(denials.iter().map(|(sid, _)| sid.as_str()));
        let (fault, more) = (Fault::BucketPolicyDenies, [("statements", sids.as_str())]);
        checks.push(place.wrong(link, Status::Warn, name, each.join("; "), fault, &more));
    }
    let ids = unique_ids(policy, living.as_slice());
    if !ids.is_empty() {
        let ids = listed(ids.iter().map(String::as_str));
        let (fault, more) = (Fault::BucketPolicyUniqueId, [("ids", ids.as_str())]);
        checks.push(place.wrong(link, Status::Warn, name, format!("it names {ids}"), fault, &more));
    }
    if checks.is_empty() {
        checks.push(place.ok(link, name, "it denies reading to nobody who matters here"));
    }
    checks
}

/// Judges the statements through which the jobs of routes with `access: bucket_policy` read.
fn statements(
    place: &Place<'_>,
    name: &str,
    seen: &Look<Option<Comparison>>,
    routes: &[RouteFacts],
) -> Check {
    let link = Link::BucketStatements;
    let of_bucket = |route: &&RouteFacts| route.bucket == name && route.by_bucket_policy;
    let comparison = match look(seen) {
        Ok(Some(comparison)) => comparison,
        Ok(None) => {
            return match routes.iter().find(of_bucket) {
                None => place.ok(link, name, "no route reads by the bucket's policy"),
                Some(route) => {
                    let evidence = format!(
                        "the stack adds none, and route `{}` reads by the bucket's policy",
                        route.name
                    );
                    place.broken(link, name, evidence, Fault::BucketStatementsNotDeployed)
                }
            };
        }
        Err(gap) => return place.gap_after(link, name, &gap, Link::DataStack),
    };
    match comparison {
        Comparison::AsDesired => place.ok(link, name, "they are as the routes need them"),
        Comparison::Missing => {
            place.broken(link, name, "the policy has none", Fault::BucketStatementsMissing)
        }
        Comparison::Changed => {
            let evidence = "they differ from what the routes need";
            place.broken(link, name, evidence, Fault::BucketStatementsChanged)
        }
        Comparison::Wider => {
            let evidence = "they have what the routes need, and more";
            place.warn(link, name, evidence, Fault::BucketStatementsWider)
        }
        Comparison::Stuck(conflict) => {
            let (fault, more) = (Fault::BucketStatementsStuck, [("hint", conflict.hint())]);
            place.wrong(link, Status::Broken, name, conflict.to_string(), fault, &more)
        }
    }
}
