//! Judges the key that a bucket encrypts new objects with: whether it works, and whether those who read may use it.

use super::super::{Gap, Place, look};
use crate::arn::RoleArn;
use crate::chain::check::{Check, Status};
use crate::chain::link::Link;
use crate::chain::observed::{Bucket, DataAccount, Key, Look, RouteFacts};
use crate::chain::problems::Fault;
use crate::key_policy::{self, Verdict, admits, is_like};

pub(super) fn key(
    place: &Place<'_>,
    bucket: &str,
    seen: &Bucket,
    data: &DataAccount,
    routes: &[RouteFacts],
) -> Vec<Check> {
    let link = Link::Key;
    let id = match look(&seen.kms_key) {
        Ok(Some(id)) => id,
        Ok(None) => return vec![place.ok(link, bucket, "new objects need no key of KMS")],
        Err(gap) => return vec![place.gap_after(link, bucket, &gap, Link::Bucket)],
    };
    let Some(key) = &seen.key else {
        return vec![place.unknown(link, id, format!("nobody looked at the key of `{bucket}`"))];
    };
    let key = match look(key) {
        Ok(key) => key,
        Err(Gap::Missing) => {
            let evidence =
                format!("the default encryption of `{bucket}` names it, and KMS doesn't know it");
            let (fault, more) = (Fault::KeyMissing, [("bucket", bucket)]);
            return vec![place.wrong(link, Status::Broken, id, evidence, fault, &more)];
        }
        Err(gap) => return vec![place.gap_after(link, id, &gap, Link::Bucket)],
    };
    let Key { arn, state, .. } = key;
    let evidence = format!("the key of `{bucket}` is {state}");
    let fault = match state.as_str() {
        "Enabled" => None,
        "Disabled" => Some(Fault::KeyDisabled),
        "PendingDeletion" | "PendingReplicaDeletion" => Some(Fault::KeyPendingDeletion),
        _ => Some(Fault::KeyUnavailable),
    };
    if let Some(fault) = fault {
        return vec![place.broken(link, arn, evidence, fault)];
    }
    let reader = routes.iter().any(|route| route.bucket == bucket && route.needs_reader());
    let mut checks = Vec::new();
    if reader
        && !key.is_of_aws
        && let Some(role) = data.reader.look.seen()
        && !role.keys.iter().any(|pattern| is_like(pattern, arn))
    {
        let evidence = format!("`{}` may not decrypt with `{arn}`", data.reader.name);
        checks.push(place.broken(link, bucket, evidence, Fault::BucketKeyChanged));
    }
    let reader = reader.then_some(data.reader.name.as_str());
    let readers: Vec<&str> =
        reader.into_iter().chain(seen.job_roles.iter().map(String::as_str)).collect();
    let owner = arn.split(':').nth(4).filter(|owner| *owner != place.account);
    match (&key.policy, owner) {
        (_, Some(owner)) => {
            let evidence = format!("{evidence} and belongs to account {owner}");
            checks.push(place.warn(link, arn, evidence, Fault::KeyOfOtherAccount));
        }
        (Some(Look::Seen(policy)), None) => {
            checks
                .extend(readers.into_iter().filter_map(|role| admission(place, arn, policy, role)));
        }
        (Some(unseen), None) => {
            if let Err(gap) = look(unseen) {
                checks.push(place.gap_after(link, arn, &gap, link));
            }
        }
        (None, None) => {
            checks.push(place.unknown(link, arn, "nobody looked at the key's policy"));
        }
    }
    if checks.is_empty() {
        checks.push(place.ok(link, arn, evidence));
    }
    checks
}

/// Judges whether the key's policy admits the role. Returns `None` if it does. A role whose ARN isn't known can't be
/// judged: its own link says that.
fn admission(place: &Place<'_>, key: &str, policy: &str, role: &str) -> Option<Check> {
    let arn = RoleArn::parse(role)?;
    let statement = key_policy::statement(&arn).to_string();
    let wrong = |status, evidence, fault, sid: &str| {
        let more = [("role", role), ("statement", statement.as_str()), ("sid", sid)];
        Some(place.wrong(Link::Key, status, key, evidence, fault, &more))
    };
    match admits(policy, key, &arn) {
        Verdict::Admitted(_) => None,
        Verdict::NotAdmitted => {
            let evidence = format!("its policy doesn't admit `{role}`");
            wrong(Status::Broken, evidence, Fault::KeyDoesNotAdmit, "")
        }
        Verdict::Denied(sid) => {
            let evidence = format!("statement `{sid}` of its policy denies `{role}`");
            wrong(Status::Broken, evidence, Fault::KeyDenies, &sid)
        }
        Verdict::CannotTell(why) => {
            let evidence =
                format!("whether its policy admits `{role}` can't be told: {}", why.join("; "));
            wrong(Status::Warn, evidence, Fault::KeyPolicyUnclear, "")
        }
    }
}
