//! Landing buckets, and objects.

use std::collections::{BTreeMap, BTreeSet};

use landfall_core::bucket_access::{Comparison, Policy, compare};
use landfall_core::bucket_notifications::{Configuration, Filter};
use landfall_core::chain::object::Head;
use landfall_core::chain::observed::{Bucket, Look};
use landfall_core::moment::Time;
use landfall_core::policy::Document;
use landfall_provisioning::bucket_notifications::{self, Refusal};

use crate::look::{Call, Unseen, look};
use crate::requested::Access;
use crate::{Clients, Place, Seen, kms};

const HEAD_BUCKET: Call = Call { operation: "HeadBucket", missing: &["NoSuchBucket"] };
const VERSIONING: Call = Call { operation: "GetBucketVersioning", missing: &["NoSuchBucket"] };
const OWNERSHIP: Call = Call {
    operation: "GetBucketOwnershipControls",
    missing: &["NoSuchBucket", "OwnershipControlsNotFoundError"],
};
const PUBLIC_ACCESS: Call = Call {
    operation: "GetPublicAccessBlock",
    missing: &["NoSuchBucket", "NoSuchPublicAccessBlockConfiguration"],
};
const ENCRYPTION: Call = Call { operation: "GetBucketEncryption", missing: &["NoSuchBucket"] };
const POLICY: Call =
    Call { operation: "GetBucketPolicy", missing: &["NoSuchBucket", "NoSuchBucketPolicy"] };
const NOTIFICATIONS: Call =
    Call { operation: "GetBucketNotificationConfiguration", missing: &["NoSuchBucket"] };
/// To look at an object and to read it. Both need the same permission.
const OBJECT: Call = Call { operation: "HeadObject", missing: &["NoSuchKey", "NoSuchBucket"] };

/// S3's code for a bucket without default encryption. S3 then encrypts with keys of its own.
const NOT_ENCRYPTED: &str = "ServerSideEncryptionConfigurationNotFoundError";

/// The key that S3 uses if the encryption with KMS names none.
const OWN_KEY_OF_S3: &str = "alias/aws/s3";

/// The largest routes file that is read.
const MAX_BYTES: i64 = 8 * 1024 * 1024;

/// What the stack asks for in the policies of buckets, by bucket.
pub(crate) type Statements = BTreeMap<String, Access>;

/// Looks at a bucket, which should belong to the account. `filters` are those of the rules that it should have.
pub(crate) async fn bucket(
    clients: &Clients,
    place: &Place,
    name: &str,
    filters: Vec<Filter>,
    statements: &Seen<Statements>,
) -> Bucket {
    let of = Of { clients, account: &place.account, bucket: name };
    let (region, versioning, ownership, public_access, policy, kms_key, notifications) = tokio::join!(
        of.region(&place.region),
        of.versioning(),
        of.ownership(),
        of.public_access_block(),
        of.policy(),
        of.kms_key(),
        of.notifications(),
    );
    let key = match &kms_key {
        Ok(Some(key)) => Some(look(kms::key(clients, &place.account, key).await)),
        Ok(None) | Err(_) => None,
    };
    Bucket {
        region: look(region),
        versioning: look(versioning),
        ownership: look(ownership),
        public_access_block: look(public_access),
        statements: look(compared(name, &policy, statements)),
        policy: look(policy.and_then(|text| document(&text))),
        kms_key: look(kms_key),
        job_roles: job_roles(name, statements),
        key,
        notifications: look(notifications),
        filters,
    }
}

fn document(policy: &str) -> Seen<Document> {
    Document::parse(policy).ok_or_else(|| POLICY.failed("the policy is not JSON"))
}

/// Compares a bucket's policy with what the stack asks for there. Returns `None` if it asks for nothing.
fn compared(
    bucket: &str,
    policy: &Seen<String>,
    statements: &Seen<Statements>,
) -> Seen<Option<Comparison>> {
    let statements = statements.as_ref().map_err(Clone::clone)?;
    let Some(Access { desired, .. }) = statements.get(bucket) else { return Ok(None) };
    let current = match policy {
        Ok(text) => Some(Policy::parse(text).map_err(|why| POLICY.failed(why))?),
        Err(Unseen::Missing) => None,
        Err(unseen) => return Err(unseen.clone()),
    };
    Ok(Some(compare(current.as_ref(), desired)))
}

fn job_roles(bucket: &str, statements: &Seen<Statements>) -> BTreeSet<String> {
    let access = statements.as_ref().ok().and_then(|all| all.get(bucket));
    access.map(|access| access.job_roles.clone()).unwrap_or_default()
}

/// A bucket, and the account that should own it.
struct Of<'a> {
    clients: &'a Clients,
    account: &'a str,
    bucket: &'a str,
}

impl Of<'_> {
    /// Returns the bucket's region, which S3 also tells when it redirects.
    async fn region(&self, ours: &str) -> Seen<String> {
        let head = self.clients.s3.head_bucket().bucket(self.bucket);
        match head.expected_bucket_owner(self.account).send().await {
            Ok(answer) => Ok(answer.bucket_region.unwrap_or_else(|| ours.to_owned())),
            Err(error) => {
                let elsewhere = error.raw_response().filter(|it| it.status().as_u16() == 301);
                let region = elsewhere.and_then(|it| it.headers().get("x-amz-bucket-region"));
                match region.map(str::to_owned) {
                    Some(region) => Ok(region),
                    None => HEAD_BUCKET.seen(Err(error)),
                }
            }
        }
    }

    async fn versioning(&self) -> Seen<bool> {
        let get = self.clients.s3.get_bucket_versioning().bucket(self.bucket);
        let answer = VERSIONING.seen(get.expected_bucket_owner(self.account).send().await)?;
        Ok(answer.status.is_some_and(|status| status.as_str() == "Enabled"))
    }

    async fn ownership(&self) -> Seen<String> {
        let get = self.clients.s3.get_bucket_ownership_controls().bucket(self.bucket);
        let answer = OWNERSHIP.seen(get.expected_bucket_owner(self.account).send().await)?;
        let rules = answer.ownership_controls.map(|controls| controls.rules).unwrap_or_default();
        let rule = rules.into_iter().next().ok_or(Unseen::Missing)?;
        Ok(rule.object_ownership.as_str().to_owned())
    }

    /// Returns the settings that are off.
    async fn public_access_block(&self) -> Seen<Vec<String>> {
        let get = self.clients.s3.get_public_access_block().bucket(self.bucket);
        let answer = PUBLIC_ACCESS.seen(get.expected_bucket_owner(self.account).send().await)?;
        let block = answer.public_access_block_configuration.ok_or(Unseen::Missing)?;
        let settings = [
            ("BlockPublicAcls", block.block_public_acls),
            ("IgnorePublicAcls", block.ignore_public_acls),
            ("BlockPublicPolicy", block.block_public_policy),
            ("RestrictPublicBuckets", block.restrict_public_buckets),
        ];
        let off = settings.into_iter().filter(|(_, is_on)| *is_on != Some(true));
        Ok(off.map(|(name, _)| name.to_owned()).collect())
    }

    async fn policy(&self) -> Seen<String> {
        let get = self.clients.s3.get_bucket_policy().bucket(self.bucket);
        let answer = POLICY.seen(get.expected_bucket_owner(self.account).send().await)?;
        answer.policy.ok_or(Unseen::Missing)
    }

    async fn kms_key(&self) -> Seen<Option<String>> {
        let get = self.clients.s3.get_bucket_encryption().bucket(self.bucket);
        let answer = get.expected_bucket_owner(self.account).send().await;
        if let Err(error) = &answer
            && landfall_aws::sdk_error::sdk_error_parts(error).0 == NOT_ENCRYPTED
        {
            return Ok(None);
        }
        let configuration = ENCRYPTION.seen(answer)?.server_side_encryption_configuration;
        let rules = configuration.into_iter().flat_map(|configuration| configuration.rules);
        let mut defaults = rules.filter_map(|rule| rule.apply_server_side_encryption_by_default);
        let by_kms = defaults.find(|it| it.sse_algorithm.as_str().starts_with("aws:kms"));
        let key = by_kms.map(|it| it.kms_master_key_id.filter(|key| !key.is_empty()));
        Ok(key.map(|key| key.unwrap_or_else(|| OWN_KEY_OF_S3.to_owned())))
    }

    async fn notifications(&self) -> Seen<Configuration> {
        let read = bucket_notifications::read(&self.clients.s3, self.bucket, self.account).await;
        read.map_err(|error| match error {
            bucket_notifications::Error::Refused { refusal: Refusal::NoSuchBucket, .. } => {
                Unseen::Missing
            }
            bucket_notifications::Error::Refused { refusal: Refusal::AccessDenied, .. } => {
                NOTIFICATIONS.denied()
            }
            bucket_notifications::Error::Refused { source, .. } => NOTIFICATIONS.failed(source),
            error => NOTIFICATIONS.failed(error),
        })
    }
}

/// Looks whether there is an object. S3 says so only to those who may list the bucket, and refuses others.
pub(crate) async fn exists(clients: &Clients, bucket: &str, key: &str) -> Seen<()> {
    OBJECT.seen(clients.s3.head_object().bucket(bucket).key(key).send().await).map(drop)
}

/// Looks at the newest version of an object. S3 says that there is none only to those who may list the bucket, and refuses
/// others.
pub async fn head(clients: &Clients, bucket: &str, key: &str) -> Look<Head> {
    let answer = clients.s3.head_object().bucket(bucket).key(key).send().await;
    if let Err(error) = &answer
        && let Some(301 | 307) = error.raw_response().map(|raw| raw.status().as_u16())
    {
        return look(Err(OBJECT.failed("the bucket is in another region: look with that region")));
    }
    look(OBJECT.seen(answer).map(|head| {
        let modified = head.last_modified().and_then(|time| time.to_millis().ok());
        Head {
            size: head.content_length().and_then(|bytes| u64::try_from(bytes).ok()),
            modified: modified.and_then(|millis| u64::try_from(millis).ok()).map(Time),
            version_id: head.version_id().filter(|id| *id != "null").map(str::to_owned),
            etag: head.e_tag().map(|etag| etag.trim_matches('"').to_owned()),
        }
    }))
}

/// Reads an object that is text.
///
/// # Errors
/// Says why it wasn't seen.
pub async fn object(clients: &Clients, bucket: &str, key: &str) -> Seen<String> {
    let answer = OBJECT.seen(clients.s3.get_object().bucket(bucket).key(key).send().await)?;
    if answer.content_length.is_some_and(|length| length > MAX_BYTES) {
        return Err(OBJECT.failed(format!("the object has more than {MAX_BYTES} bytes")));
    }
    let bytes = answer.body.collect().await.map_err(|error| OBJECT.failed(error))?.into_bytes();
    String::from_utf8(bytes.to_vec()).map_err(|_| OBJECT.failed("the object is not UTF-8"))
}

/// Reads an object of any size, part by part.
///
/// # Errors
/// Says why it wasn't seen, or that `take` failed.
pub async fn parts(
    clients: &Clients,
    bucket: &str,
    key: &str,
    mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Seen<()> {
    let mut answer = OBJECT.seen(clients.s3.get_object().bucket(bucket).key(key).send().await)?;
    while let Some(part) = answer.body.next().await {
        let part = part.map_err(|error| OBJECT.failed(error))?;
        take(&part).map_err(|error| OBJECT.failed(error))?;
    }
    Ok(())
}
