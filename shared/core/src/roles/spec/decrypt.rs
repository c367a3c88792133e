//! What a role that reads may decrypt: the objects that it may read, through S3.

use std::collections::{BTreeMap, BTreeSet};

use super::{OwnReads, Purpose, RoleSpec};
use crate::arn::KeyArn;
use crate::partition::dns_suffix;
use crate::policy::{Statement, literal};
use crate::reach::Reach;

/// The encryption context that S3 sends to KMS: the object's ARN or, with a bucket key, the bucket's ARN.
const CONTEXT: &str = "kms:EncryptionContext:aws:s3:arn";

/// How closely the policy restricts the encryption context. Policies have a quota, and updating a role that is close
/// to it must not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    /// To the buckets, and to the objects in them that the role may read.
    Objects,
    /// To the buckets, and to any object in them.
    Buckets,
    /// Without any restriction.
    Nothing,
}

impl Binding {
    /// All bindings, from the closest to the widest.
    pub(crate) const ALL: [Self; 3] = [Self::Objects, Self::Buckets, Self::Nothing];

    /// Describes what is wider than it should be. Returns `None` for the closest binding.
    pub(crate) fn note(self) -> Option<&'static str> {
        match self {
            Self::Objects => None,
            Self::Buckets => Some(
                "the role may decrypt any object in its buckets that it can read in some other way: naming their \
                 prefixes twice would make the policy too large",
            ),
            Self::Nothing => Some(
                "the role may decrypt any object in S3 that it can read in some other way: naming the buckets \
                 twice would make the policy too large",
            ),
        }
    }
}

/// Returns the statement that allows decryption with `keys`, or `None` if there are no keys.
pub(crate) fn statement(
    spec: &RoleSpec,
    keys: &BTreeSet<String>,
    binding: Binding,
) -> Option<Statement> {
    let Purpose::Read { buckets, manifests, .. } = &spec.purpose else { return None };
    if keys.is_empty() {
        return None;
    }
    let partition = &spec.home.partition;
    // S3 only uses keys of the bucket's own region, so a key shows where its objects are.
    let region = |key: &String| {
        KeyArn::parse(key).map_or(spec.home.region.clone(), |arn| arn.region.to_owned())
    };
    let suffix = dns_suffix(partition).unwrap_or("amazonaws.com");
    let through_s3 = keys.iter().map(|key| format!("s3.{}.{}", region(key), suffix));
    let statement = Statement::allow("Decrypt", ["kms:Decrypt"])
        .on(keys.iter().map(|key| literal(key)))
        .when("StringEquals", "kms:ViaService", through_s3);
    let contexts = contexts(partition, buckets, manifests.as_deref(), binding);
    Some(if contexts.is_empty() {
        statement
    } else {
        statement.when("StringLike", CONTEXT, contexts)
    })
}

/// Returns the statement that allows a job role to decrypt what it reads itself. The role's account can't find out which
/// keys the data account's buckets have, so the keys' policies decide.
pub(crate) fn of_job(partition: &str, own: &OwnReads, binding: Binding) -> Statement {
    let statement = Statement::allow("Decrypt", ["kms:Decrypt"])
        .on([format!("arn:{partition}:kms:*:{}:key/*", own.data_account)])
        // AWS sets the value, `s3.region.suffix`.
        .when("StringLike", "kms:ViaService", ["s3.*".to_owned()]);
    let contexts = contexts(partition, &own.buckets, own.manifests.as_deref(), binding);
    if contexts.is_empty() { statement } else { statement.when("StringLike", CONTEXT, contexts) }
}

fn contexts(
    partition: &str,
    buckets: &BTreeMap<String, BTreeSet<Reach>>,
    manifests: Option<&str>,
    binding: Binding,
) -> Vec<String> {
    let arn = |bucket: &str| format!("arn:{partition}:s3:::{bucket}");
    let plain = |reaches: &BTreeSet<Reach>| {
        let all: BTreeSet<Reach> = reaches.iter().map(plain).collect();
        let is_held = |own: &Reach| all.iter().any(|other| other != own && other.holds(own));
        all.iter().filter(|own| !is_held(own)).cloned().collect()
    };
    let all: Vec<(String, Vec<Reach>)> = buckets
        .iter()
        .map(|(bucket, reaches)| (bucket.clone(), plain(reaches)))
        .chain(
            manifests
                .map(|bucket| (bucket.to_owned(), vec![Reach::Prefix("manifests/".to_owned())])),
        )
        .collect();
    let of_bucket = |(bucket, reaches): &(String, Vec<Reach>)| {
        let objects: Vec<String> = match binding {
            Binding::Objects => reaches
                .iter()
                .map(|it| format!("{}/{}", arn(bucket), it.policy_pattern()))
                .collect(),
            Binding::Buckets => vec![format!("{}/*", arn(bucket))],
            Binding::Nothing => Vec::new(),
        };
        let own = (binding != Binding::Nothing).then(|| arn(bucket));
        own.into_iter().chain(objects).collect::<Vec<_>>()
    };
    all.iter().flat_map(of_bucket).collect()
}

/// Cuts a reach before its first character that is white space or isn't printable ASCII. How S3 writes such characters
/// of a key into the encryption context isn't documented.
fn plain(reach: &Reach) -> Reach {
    let (Reach::Prefix(text) | Reach::Key(text)) = reach;
    match text.find(|c: char| !c.is_ascii_graphic()) {
        Some(end) => Reach::Prefix(text[..end].to_owned()),
        None => reach.clone(),
    }
}
