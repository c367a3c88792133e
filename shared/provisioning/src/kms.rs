//! Finds the KMS keys that buckets are encrypted with, and reads their policies.
//!
//! `landfall_core::key_policy` decides whether a policy admits a role. Nothing here changes a key:
//! its policy belongs to whoever manages it.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_kms::error::ProvideErrorMetadata;
use aws_sdk_kms::types::{KeyManagerType, KeyMetadata, KeyState};
use landfall_core::arn::RoleArn;
use landfall_core::key_policy::{Verdict, admits};
use tokio::time::{Instant, timeout_at};

use landfall_aws::sdk_error::{AwsError, chain};

/// The alias of the key that AWS manages for S3. Its policy admits everyone who calls S3 from the
/// account.
const OWN_KEY_OF_S3: &str = "alias/aws/s3";

/// Why the keys, or the policy of a key, are unknown.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum KmsError {
    #[error(
        "failed to find the KMS key of bucket `{bucket}` (unless it is a bucket of account `{owner}` in the \
         stack's region, give `KmsKeyArns`, an empty list if there is no key): GetBucketEncryption"
    )]
    Bucket {
        bucket: String,
        /// The account that should own the bucket.
        owner: String,
        source: AwsError,
    },
    #[error(
        "failed to find KMS key `{key}` of bucket `{bucket}` (give `KmsKeyArns`, an empty list if the role \
         is to use no key): DescribeKey"
    )]
    Key {
        bucket: String,
        /// The key, as the bucket names it.
        key: String,
        source: AwsError,
    },
    #[error(
        "KMS key `{key}` of bucket `{bucket}` cannot be used, its state is `{state}`: make it usable, or \
         give `KmsKeyArns`, an empty list if the role is to use no key"
    )]
    Unusable { bucket: String, key: String, state: String },
    #[error("failed to read the policy of KMS key `{key}`: GetKeyPolicy")]
    Policy { key: String, source: AwsError },
    #[error("failed to read the policy of KMS key `{key}`: there was no time left")]
    OutOfTime { key: String },
}

impl KmsError {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bucket { .. } => "bucket_encryption_unknown",
            Self::Key { .. } => "kms_key_unknown",
            Self::Unusable { .. } => "kms_key_unusable",
            Self::Policy { .. } | Self::OutOfTime { .. } => "key_policy_not_seen",
        }
    }
}

/// Whether the policy of a key admits a role.
#[derive(Debug)]
pub struct KeyAdmission {
    /// The ARN of the key.
    pub key: String,
    /// The verdict. An error says nothing about the key: its policy was not read.
    pub verdict: Result<Verdict, KmsError>,
}

impl KeyAdmission {
    /// Returns `true` if the policy is known not to admit the role.
    pub fn is_refusal(&self) -> bool {
        matches!(self.verdict, Ok(Verdict::NotAdmitted | Verdict::Denied(_)))
    }

    /// Returns a text that says what is wrong and what to do; `None` if the role is admitted.
    pub fn note(&self) -> Option<String> {
        let key = &self.key;
        match &self.verdict {
            Ok(Verdict::Admitted(_)) => None,
            Ok(Verdict::NotAdmitted) => Some(format!(
                "the policy of KMS key `{key}` does not admit the role: add `KeyPolicyStatement` to it"
            )),
            Ok(Verdict::Denied(statement)) => Some(format!(
                "statement `{statement}` in the policy of KMS key `{key}` denies the role: except the role \
                 from it; no other statement helps"
            )),
            Ok(Verdict::CannotTell(why)) => Some(format!(
                "whether the policy of KMS key `{key}` admits the role cannot be told: {}",
                why.join("; ")
            )),
            Err(error) => Some(format!(
                "{}; if it does not admit the role, have `KeyPolicyStatement` added to it",
                chain(error)
            )),
        }
    }
}

/// Finds the ARNs of the customer managed keys in the default encryption of `buckets`, which must
/// belong to account `expected_owner`. Does not look for objects that were encrypted with other
/// keys.
///
/// A bucket without a key, and the key that AWS manages for S3, need no admission and are left out.
/// If access to a key is denied, the ARN in the bucket's encryption counts, if it has one.
///
/// # Errors
/// Fails if a bucket's encryption cannot be read, or a key does not exist or cannot be used.
pub async fn keys_of_buckets(
    s3: &aws_sdk_s3::Client,
    kms: &aws_sdk_kms::Client,
    buckets: impl IntoIterator<Item = &str>,
    expected_owner: &str,
) -> Result<BTreeSet<String>, KmsError> {
    // The keys as the buckets name them, each with one bucket for error messages.
    let mut named = BTreeMap::new();
    for bucket in buckets {
        for key in named_keys(s3, bucket, expected_owner).await? {
            named.entry(key).or_insert(bucket);
        }
    }
    let mut keys = BTreeSet::new();
    for (key, bucket) in named {
        keys.extend(resolve(kms, &key, bucket).await?);
    }
    Ok(keys)
}

/// Reads the keys in a bucket's default encryption, as the bucket names them: by ID, ARN or alias.
async fn named_keys(
    s3: &aws_sdk_s3::Client,
    bucket: &str,
    owner: &str,
) -> Result<Vec<String>, KmsError> {
    let get = s3.get_bucket_encryption().bucket(bucket).expected_bucket_owner(owner);
    let answer = match get.send().await {
        Ok(answer) => answer,
        Err(error) => {
            let bucket = bucket.to_owned();
            return match error.code() {
                Some("ServerSideEncryptionConfigurationNotFoundError") => Ok(Vec::new()),
                // A role can exist before its bucket. The next update finds the bucket's key.
                Some("NoSuchBucket") => {
                    tracing::warn!(code = "bucket_missing", bucket, "no key is looked for");
                    Ok(Vec::new())
                }
                _ => {
                    let (owner, source) = (owner.to_owned(), AwsError::new(&error));
                    Err(KmsError::Bucket { bucket, owner, source })
                }
            };
        }
    };
    let rules = answer.server_side_encryption_configuration.into_iter().flat_map(|c| c.rules);
    let defaults = rules.filter_map(|rule| rule.apply_server_side_encryption_by_default);
    // Only the algorithms that use KMS keys name one.
    let keys = defaults.filter_map(|default| default.kms_master_key_id);
    Ok(keys.filter(|key| !key.is_empty()).collect())
}

/// Returns the ARN of a key; `None` if AWS manages it.
async fn resolve(
    kms: &aws_sdk_kms::Client,
    key: &str,
    bucket: &str,
) -> Result<Option<String>, KmsError> {
    let resource = if key.starts_with("arn:") { key.splitn(6, ':').nth(5) } else { Some(key) };
    if resource == Some(OWN_KEY_OF_S3) {
        return Ok(None);
    }
    let unknown = |source| KmsError::Key { bucket: bucket.to_owned(), key: key.to_owned(), source };
    let metadata = match kms.describe_key().key_id(key).send().await {
        Ok(answer) => answer.key_metadata,
        Err(error) => {
            let error = AwsError::new(&error);
            // A key's policy may admit the role without admitting the account or the provisioner.
            let is_arn_of_key =
                key.starts_with("arn:") && resource.is_some_and(|r| r.starts_with("key/"));
            if error.code() == "AccessDeniedException" && is_arn_of_key {
                let message = error.message();
                tracing::info!(key, bucket, message, "the key is taken as the bucket names it");
                return Ok(Some(key.to_owned()));
            }
            return Err(unknown(error));
        }
    };
    let Some(KeyMetadata { arn: Some(arn), key_state, key_manager, .. }) = metadata else {
        return Err(unknown(AwsError::unusable("the answer has no ARN")));
    };
    if key_manager == Some(KeyManagerType::Aws) {
        return Ok(None);
    }
    match key_state {
        Some(
            state @ (KeyState::Disabled
            | KeyState::PendingDeletion
            | KeyState::PendingReplicaDeletion
            | KeyState::PendingImport),
        ) => {
            let state = state.as_str().to_owned();
            Err(KmsError::Unusable { bucket: bucket.to_owned(), key: arn, state })
        }
        _ => Ok(Some(arn)),
    }
}

/// Checks by `deadline` whether the policies of `keys` admit the role, all given as ARNs. Returns
/// an entry for each key.
///
/// This never fails a deployment. A key's policy can name a role only once the role exists, and
/// often someone else manages the key: the notes say what to add later. KMS shows a policy only to
/// the key's own account; the notes say which policies could not be read.
pub async fn check_admissions(
    kms: &aws_sdk_kms::Client,
    keys: &BTreeSet<String>,
    role_arn: &str,
    deadline: Instant,
) -> Vec<KeyAdmission> {
    let mut admissions = Vec::new();
    let role = RoleArn::parse(role_arn);
    for key in keys {
        let policy = timeout_at(deadline, policy_of(kms, key)).await;
        let policy = policy.unwrap_or_else(|_| Err(KmsError::OutOfTime { key: key.clone() }));
        let verdict = policy.map(|policy| match &role {
            Some(role) => admits(&policy, key, role),
            None => Verdict::CannotTell(vec![format!("`{role_arn}` is not the ARN of a role")]),
        });
        admissions.push(KeyAdmission { key: key.clone(), verdict });
    }
    admissions
}

async fn policy_of(kms: &aws_sdk_kms::Client, key: &str) -> Result<String, KmsError> {
    let failed = |source| KmsError::Policy { key: key.to_owned(), source };
    // A key has exactly one policy, with this name.
    let get = kms.get_key_policy().key_id(key).policy_name("default");
    let answer = get.send().await.map_err(|error| failed(AwsError::new(&error)))?;
    answer.policy.ok_or_else(|| failed(AwsError::unusable("the answer has no policy")))
}

#[cfg(test)]
mod tests;
