//! The permissions policy of a role, which follows from what the role is for.

use std::collections::{BTreeMap, BTreeSet};

use super::decrypt::{self, Binding};
use super::{Batches, Home, OwnReads, Purpose, RoleSpec};
use crate::batch::HASH_CHARS;
use crate::policy::{Document, Statement, literal};
use crate::reach::{Reach, listed_prefixes, object_arns};

/// Returns the permissions policy of a role with the closest binding that fits into `max` characters. If none fits,
/// returns the policy with the closest binding. `keys` holds the ARNs of the KMS keys that a reader role decrypts
/// with.
pub(crate) fn fitting(spec: &RoleSpec, keys: &BTreeSet<String>, max: usize) -> (Document, Binding) {
    let mut documents = Binding::ALL.map(|binding| (of(spec, keys, binding), binding)).into_iter();
    let fits = |(document, _): &(Document, Binding)| document.counted_chars() <= max;
    documents.find(fits).unwrap_or_else(|| (of(spec, keys, Binding::Objects), Binding::Objects))
}

fn of(spec: &RoleSpec, keys: &BTreeSet<String>, binding: Binding) -> Document {
    let Home { partition, region, .. } = &spec.home;
    match &spec.purpose {
        Purpose::Start { jobs } => Document::new([Statement::allow(
            "StartAndLookUpRuns",
            ["glue:GetJob", "glue:GetJobRun", "glue:GetJobRuns", "glue:StartJobRun"],
        )
        .on(jobs.iter().cloned())]),
        Purpose::Read { account, buckets, batches, manifests, claims, .. } => {
            let mut statements = reading(partition, buckets);
            statements.extend(decrypt::statement(spec, keys, binding));
            statements.push(in_own_buckets(&spec.identity.account));
            statements.extend(manifests.iter().map(|bucket| {
                let keys = manifest_keys(*batches, account).into_iter();
                Statement::allow("ReadManifests", ["s3:GetObject"])
                    .on(keys.map(|key| format!("arn:{partition}:s3:::{}/{key}", literal(bucket))))
            }));
            statements.extend(claims.iter().map(|table| claiming(*batches, account, table)));
            Document::new(statements)
        }
        Purpose::Run { readers, own } => {
            let mut statements = vec![
                Statement::allow("BecomeTheReader", ["sts:AssumeRole"])
                    .on(readers.iter().map(|arn| literal(arn))),
                Statement::allow(
                    "Log",
                    ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"],
                )
                .on([format!(
                    "arn:{partition}:logs:{region}:{}:log-group:/aws-glue/*",
                    spec.identity.account
                )]),
            ];
            let account = &spec.identity.account;
            statements
                .extend(own.iter().flat_map(|own| own_reading(partition, account, own, binding)));
            Document::new(statements)
        }
    }
}

/// Returns the statements of a job role that reads without a reader role. A denial as the reader role has it would also
/// hold for what the job writes, so each statement has the conditions itself.
fn own_reading(partition: &str, account: &str, own: &OwnReads, binding: Binding) -> Vec<Statement> {
    let objects =
        own.buckets.iter().flat_map(|(bucket, reaches)| object_arns(partition, bucket, reaches));
    let mut statements =
        vec![Statement::allow("ReadRouted", ["s3:GetObject", "s3:GetObjectVersion"]).on(objects)];
    statements.extend(listing(partition, &own.buckets));
    statements.extend(own.manifests.iter().map(|bucket| {
        let keys = manifest_keys(Batches::Own, account).into_iter();
        Statement::allow("ReadManifests", ["s3:GetObject"])
            .on(keys.map(|key| format!("arn:{partition}:s3:::{}/{key}", literal(bucket))))
    }));
    let conditioned = statements.into_iter().map(|statement| {
        statement.when("StringEquals", "aws:ResourceAccount", [own.data_account.clone()]).when(
            "Bool",
            "aws:SecureTransport",
            ["true".to_owned()],
        )
    });
    conditioned.chain([decrypt::of_job(partition, own, binding)]).collect()
}

/// Returns the object keys of manifests, as patterns (see [`crate::batch::JobResources::manifest_key`]).
fn manifest_keys(batches: Batches, account: &str) -> Vec<String> {
    let own = format!("manifests/{account}/*/{account}-*");
    // The last part of a key is the batch ID. The ID of a former batch has no account and no dash before its hash,
    // so the key of another account's manifest never matches, whatever its route is called.
    let hash = "?".repeat(HASH_CHARS);
    match batches {
        Batches::Own => vec![own],
        Batches::OwnAndFormer => vec![
            own,
            format!("manifests/*/{hash}.json"),
            // While functions of both versions were deployed, the version before wrote these for batches of
            // this version.
            format!("manifests/*/{account}-{hash}.json"),
        ],
        Batches::All => vec!["manifests/*".to_owned()],
    }
}

/// Returns the statement that lets jobs claim batches. A claim is an item whose key is the batch ID.
fn claiming(batches: Batches, account: &str, table: &str) -> Statement {
    const LEADING_KEYS: &str = "dynamodb:LeadingKeys";
    let claim =
        Statement::allow("Claim", ["dynamodb:GetItem", "dynamodb:UpdateItem"]).on([literal(table)]);
    let own = format!("{account}-*");
    let ids = match batches {
        Batches::All => return claim,
        Batches::Own => vec![own],
        // The ID of a former batch is only a hash, so it is shorter than an ID with an account.
        Batches::OwnAndFormer => vec![own, "?".repeat(HASH_CHARS)],
    };
    // `ForAllValues` also holds for a request without the condition key, so `Null` requires the key.
    claim.when("ForAllValues:StringLike", LEADING_KEYS, ids).when(
        "Null",
        LEADING_KEYS,
        ["false".to_owned()],
    )
}

fn reading(partition: &str, buckets: &BTreeMap<String, BTreeSet<Reach>>) -> Vec<Statement> {
    let objects =
        buckets.iter().flat_map(|(bucket, reaches)| object_arns(partition, bucket, reaches));
    let mut statements = vec![
        Statement::allow("ReadRouted", ["s3:GetObject", "s3:GetObjectVersion"]).on(objects),
        // Reads with this role always use TLS, whatever the bucket's own policy says.
        Statement::deny("DenyWithoutTls", ["s3:*"]).on(["*".to_owned()]).when(
            "Bool",
            "aws:SecureTransport",
            ["false".to_owned()],
        ),
    ];
    statements.extend(listing(partition, buckets));
    statements
}

fn listing(
    partition: &str,
    buckets: &BTreeMap<String, BTreeSet<Reach>>,
) -> impl Iterator<Item = Statement> {
    buckets.iter().enumerate().map(move |(index, (bucket, reaches))| {
        let list = Statement::allow(
            &format!("ListRouted{index}"),
            ["s3:ListBucket", "s3:ListBucketVersions"],
        )
        .on([format!("arn:{partition}:s3:::{bucket}")]);
        match listed_prefixes(reaches) {
            None => list,
            Some(prefixes) => list.when("StringLike", "s3:prefix", prefixes),
        }
    })
}

/// Returns the statement that denies access to buckets of other accounts. Anybody can take the name of a bucket that
/// was deleted or never made, and what they put there must not be trusted. A denial overrides every statement that
/// grants, also in narrowed sessions. `StringNotEquals` treats a request without an account as one to another
/// account.
fn in_own_buckets(account: &str) -> Statement {
    Statement::deny("DenyBucketsOfOthers", ["s3:*"]).on(["*".to_owned()]).when(
        "StringNotEquals",
        "aws:ResourceAccount",
        [account.to_owned()],
    )
}
