//! What a role may do, as a policy: it follows from what the role is for.

use std::collections::{BTreeMap, BTreeSet};

use super::decrypt::{self, Binding};
use super::{Batches, Home, Purpose, Spec};
use crate::batch::HASH_CHARS;
use crate::policy::{Document, Statement, literal};
use crate::reach::Reach;

/// The permissions policy of a role, which has at most so many characters if it can. `keys` are the ARNs of
/// the KMS keys that a reader decrypts with, as closely bound as fits.
pub fn fitting(spec: &Spec, keys: &BTreeSet<String>, most: usize) -> (Document, Binding) {
    let mut documents = Binding::ALL.map(|binding| (of(spec, keys, binding), binding)).into_iter();
    let fits = |(document, _): &(Document, Binding)| document.counted_chars() <= most;
    documents.find(fits).unwrap_or_else(|| (of(spec, keys, Binding::Objects), Binding::Objects))
}

fn of(spec: &Spec, keys: &BTreeSet<String>, binding: Binding) -> Document {
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
        Purpose::Run { readers } => Document::new([
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
        ]),
    }
}

/// Keys of manifests, as patterns (see [`crate::batch::JobResources::manifest_key`]).
fn manifest_keys(batches: Batches, account: &str) -> Vec<String> {
    let own = format!("manifests/{account}/*/{account}-*");
    // The last of a key is the id. One of the version before has no account and no dash before its hash, so
    // what is another account's does not fit, whatever a route is called.
    let hash = "?".repeat(HASH_CHARS);
    match batches {
        Batches::Own => vec![own],
        Batches::OwnAndFormer => vec![
            own,
            format!("manifests/*/{hash}.json"),
            // What a function of the version before wrote for a batch of this one, while both were there.
            format!("manifests/*/{account}-{hash}.json"),
        ],
        Batches::All => vec!["manifests/*".to_owned()],
    }
}

/// Claims are items whose key is the batch's id.
fn claiming(batches: Batches, account: &str, table: &str) -> Statement {
    const LEADING_KEYS: &str = "dynamodb:LeadingKeys";
    let claim =
        Statement::allow("Claim", ["dynamodb:GetItem", "dynamodb:UpdateItem"]).on([literal(table)]);
    let own = format!("{account}-*");
    let ids = match batches {
        Batches::All => return claim,
        Batches::Own => vec![own],
        // An id of the version before is a hash alone, which is shorter than one with an account.
        Batches::OwnAndFormer => vec![own, "?".repeat(HASH_CHARS)],
    };
    // `ForAllValues` holds for a request without the key too.
    claim.when("ForAllValues:StringLike", LEADING_KEYS, ids).when(
        "Null",
        LEADING_KEYS,
        ["false".to_owned()],
    )
}

fn reading(partition: &str, buckets: &BTreeMap<String, BTreeSet<Reach>>) -> Vec<Statement> {
    let objects = buckets.iter().flat_map(|(bucket, reaches)| {
        reaches.iter().map(move |reach| format!("arn:{partition}:s3:::{bucket}/{}", pattern(reach)))
    });
    let mut statements = vec![
        Statement::allow("ReadRouted", ["s3:GetObject", "s3:GetObjectVersion"]).on(objects),
        // What reads with this role reads over TLS, whatever the bucket's own policy says.
        Statement::deny("DenyWithoutTls", ["s3:*"]).on(["*".to_owned()]).when(
            "Bool",
            "aws:SecureTransport",
            ["false".to_owned()],
        ),
    ];
    for (index, (bucket, reaches)) in buckets.iter().enumerate() {
        let list = Statement::allow(
            &format!("ListRouted{index}"),
            ["s3:ListBucket", "s3:ListBucketVersions"],
        )
        .on([format!("arn:{partition}:s3:::{bucket}")]);
        let is_all = reaches.contains(&Reach::Prefix(String::new()));
        statements.push(match is_all {
            true => list,
            false => list.when("StringLike", "s3:prefix", reaches.iter().flat_map(listed)),
        });
    }
    statements
}

/// Denies buckets that are another account's. The name of a bucket that was deleted, or that was never made,
/// is anybody's to take: who takes it must not be believed. A denial holds for every statement that grants, and
/// for sessions that are narrowed; to `StringNotEquals` a request that tells no account is one of another.
fn in_own_buckets(account: &str) -> Statement {
    Statement::deny("DenyBucketsOfOthers", ["s3:*"]).on(["*".to_owned()]).when(
        "StringNotEquals",
        "aws:ResourceAccount",
        [account.to_owned()],
    )
}

/// What may be listed. Spark looks below a key before it reads it: for all it knows, it is a folder.
fn listed(reach: &Reach) -> Vec<String> {
    match reach {
        Reach::Prefix(_) => vec![pattern(reach)],
        Reach::Key(_) => vec![pattern(reach), format!("{}/", pattern(reach))],
    }
}

/// What a policy calls that.
pub(super) fn pattern(reach: &Reach) -> String {
    match reach {
        Reach::Prefix(prefix) => format!("{}*", literal(prefix)),
        Reach::Key(key) => literal(key),
    }
}
