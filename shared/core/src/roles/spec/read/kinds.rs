//! The trust and the purpose of each kind of role.

use std::collections::{BTreeMap, BTreeSet};

use super::{Own, Setting, external_ids, roles, routes};
use crate::arn::{RoleArn, is_account};
use crate::at::At;
use crate::policy::{admissible, literal};
use crate::reaches::Reaches;
use crate::roles::Trust;
use crate::roles::spec::{Batches, OwnReads, Purpose};
use crate::roles::written::{JobRole, ReaderRole, StarterRole};
use crate::routes::resolve::{self, has_form_of_bucket};
use crate::routes::{Route, Routes, Target};

fn target_of<'a>(routes: &'a Routes, route: &Route) -> Option<&'a Target> {
    routes.targets.get(&route.target)
}

/// Reads the properties of a starter role.
pub(crate) fn starter(
    written: &StarterRole,
    setting: &Setting<'_>,
    at: &mut At<'_>,
) -> Option<Own> {
    let trusted = roles("TrustedRoleArns", written.trusted_role_arns.as_ref(), at);
    let external_ids =
        external_ids(written.external_id.as_ref(), written.previous_external_id.as_ref(), at);
    if written.external_id.as_ref().is_none_or(|id| id.expose().is_empty()) {
        at.missing("ExternalId");
    }
    let routes = routes(written.routes.as_ref(), at)?;
    let own = setting.arn.as_ref()?;
    let mut jobs = BTreeSet::new();
    let mut others = BTreeSet::new();
    for route in routes.routes.iter() {
        let (Some(target), Some(job)) = (target_of(&routes, route), &route.job) else { continue };
        if target.starter_role_arn != *own {
            others.insert(target.starter_role_arn.as_str());
            continue;
        }
        if admissible(job) != *job {
            at.key("Routes").error(
                format!("a policy can't contain the name of job `{}`", job.escape_debug()),
                "policies can only contain the characters U+0020 to U+00FF: rename the job",
            );
        }
        let Target { account, region, .. } = target;
        let partition = &setting.home.partition;
        jobs.insert(format!("arn:{partition}:glue:{region}:{account}:job/{}", literal(job)));
    }
    if jobs.is_empty() {
        let others: Vec<&str> = others.into_iter().collect();
        at.key("Routes").error(
            format!("no route starts a job with role `{own}`"),
            format!("the targets' starter roles are `{}`", others.join("`, `")),
        );
    }
    let (account, arns) = trusted?;
    let partition = setting.home.partition.clone();
    Some(Own {
        trust: Trust::Roles { partition, account, arns, external_ids },
        purpose: Purpose::Start { jobs },
        notes: Vec::new(),
        unrequested: BTreeMap::new(),
    })
}

/// Reads the properties of a reader role.
pub(crate) fn reader(written: &ReaderRole, setting: &Setting<'_>, at: &mut At<'_>) -> Option<Own> {
    let trusted = roles("TrustedRoleArns", written.trusted_role_arns.as_ref(), at);
    let external_ids =
        external_ids(written.external_id.as_ref(), written.previous_external_id.as_ref(), at);
    for (index, arn) in written.kms_key_arns.iter().flatten().enumerate() {
        if !(arn.starts_with("arn:")
            && arn.contains(":kms:")
            && arn.contains(":key/")
            && !arn.contains(['*', '?']))
        {
            at.key("KmsKeyArns").index(index).error(
                "this is not the ARN of a KMS key",
                "it looks like arn:aws:kms:eu-west-1:111111111111:key/1234…; an alias isn't accepted",
            );
        }
    }
    let manifests = manifests(written.manifests_bucket_name.as_deref(), at);
    let claims = claims(written.claims_table_arn.as_deref(), setting, at);
    let routes = routes(written.routes.as_ref(), at)?;
    let (account, arns) = trusted?;
    let theirs = |route: &&Route| target_of(&routes, route).is_some_and(|t| t.account == account);
    let Reaches { buckets, mut notes, unrequested } =
        Reaches::of(routes.routes.iter().filter(theirs));
    if buckets.is_empty() {
        at.key("Routes").error(
            format!("no route has a target in account `{account}`, where the trusted roles are"),
            "check the target's `account` and `TrustedRoleArns`",
        );
    }
    if manifests.as_ref().is_some_and(|own| routes.routes.iter().any(|r| r.bucket == *own)) {
        at.key("ManifestsBucketName")
            .error("a route uses this bucket", "manifests need their own bucket");
    }
    let batches = match written.admits_former_batches {
        Some(false) => Batches::Own,
        Some(true) => Batches::OwnAndFormer,
        None => Batches::All,
    };
    if manifests.is_some() || claims.is_some() {
        notes.extend(wider(batches).map(str::to_owned));
    }
    let partition = setting.home.partition.clone();
    let keys = written.kms_key_arns.as_ref().map(|keys| keys.iter().cloned().collect());
    Some(Own {
        trust: Trust::Roles { partition, account: account.clone(), arns, external_ids },
        purpose: Purpose::Read { account, buckets, batches, manifests, claims, keys },
        notes,
        unrequested,
    })
}

/// Reads the properties of a job role.
pub(crate) fn job(written: &JobRole, setting: &Setting<'_>, at: &mut At<'_>) -> Option<Own> {
    let readers = roles("ReaderRoleArns", written.reader_role_arns.as_ref(), at);
    let (own, notes, unrequested) = own_reads(written, setting, at);
    Some(Own {
        trust: Trust::Service("glue.amazonaws.com"),
        purpose: Purpose::Run { readers: readers?.1, own },
        notes,
        unrequested,
    })
}

/// Returns what a job role reads itself, what of it is wider than the routes say, and the buckets that it may read
/// entirely although no route says so.
fn own_reads(
    written: &JobRole,
    setting: &Setting<'_>,
    at: &mut At<'_>,
) -> (Option<OwnReads>, Vec<String>, BTreeMap<String, String>) {
    let manifests = manifests(written.manifests_bucket_name.as_deref(), at);
    let data_account = written.data_account_id.as_deref().filter(|account| !account.is_empty());
    if data_account.is_some_and(|account| !is_account(account)) {
        at.key("DataAccountId").error("this is not an account ID", "an account ID has 12 digits");
    }
    let own = setting.arn.as_deref().and_then(RoleArn::parse);
    let (Some(written), Some(own)) = (&written.routes, own) else {
        return Default::default();
    };
    let routes = resolve::resolve(written, at.key("Routes"));
    let Reaches { buckets, notes, unrequested } = Reaches::of(routes.read_by_policy(own.account));
    if buckets.is_empty() {
        return Default::default();
    }
    let Some(data_account) = data_account else {
        at.missing("DataAccountId");
        return Default::default();
    };
    let own = OwnReads { data_account: data_account.to_owned(), buckets, manifests };
    (Some(own), notes, unrequested)
}

/// Describes what the role reaches beyond the batches of the trusted roles' account. Returns `None`
/// if that is nothing.
fn wider(batches: Batches) -> Option<&'static str> {
    match batches {
        Batches::Own => None,
        Batches::OwnAndFormer => Some(
            "the role reaches the former batches of every analytics account: once `landfall batches --former` lists \
             none, set `AdmitsFormerBatches` to `false`",
        ),
        Batches::All => Some(
            "`AdmitsFormerBatches` is not given: the role may read the manifests and change the claims of \
             every analytics account",
        ),
    }
}

fn manifests(name: Option<&str>, at: &mut At<'_>) -> Option<String> {
    // Templates pass an empty parameter if there is no such bucket.
    let name = name.filter(|name| !name.is_empty())?;
    if !has_form_of_bucket(name) {
        at.key("ManifestsBucketName").error(
            format!("`{}` is not a valid bucket name", name.escape_debug()),
            "a name has 3 to 63 lower-case letters, digits, `.` and `-`",
        );
    }
    Some(name.to_owned())
}

/// Reads the ARN of the table of claims. The table must be in the role's own account: a claim keeps
/// two runs of one batch apart, and the owner of the data keeps the claims.
fn claims(arn: Option<&str>, setting: &Setting<'_>, at: &mut At<'_>) -> Option<String> {
    let arn = arn.filter(|arn| !arn.is_empty())?;
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let table = match fields[..] {
        ["arn", partition, "dynamodb", region, account, resource]
            if !region.is_empty() && region.bytes().all(is_of_region) =>
        {
            let name = resource.strip_prefix("table/").filter(|name| is_table_name(name));
            name.map(|_| (partition, account))
        }
        _ => None,
    };
    let own = setting.arn.as_deref().and_then(RoleArn::parse);
    match (table, own) {
        (None, _) => at.key("ClaimsTableArn").error(
            "this is not the ARN of a table",
            "it looks like arn:aws:dynamodb:eu-west-1:111111111111:table/landfall-claims",
        ),
        (Some(table), Some(own)) if table != (own.partition, own.account) => {
            at.key("ClaimsTableArn").error(
                format!("the table is in account `{}`", table.1.escape_debug()),
                format!("it must be in the role's own account, `{}`", own.account),
            );
        }
        _ => {}
    }
    Some(arn.to_owned())
}

fn is_of_region(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

fn is_table_name(text: &str) -> bool {
    (3..=255).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}
