//! The arguments of a job run.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{BatchId, HASH_CHARS, hex};
use crate::template::Template;

/// The most bytes of all names and values. Glue takes 260 KB for a run, but a batch's item holds the templates too, and
/// DynamoDB takes 400 KB for an item.
const MAX_BYTES: usize = 100_000;

/// The argument that names the role that a job reads through.
pub(super) const READER_ROLE: &str = "--landfall-reader-role";

/// The argument that names the table of claims.
pub(super) const CLAIMS_TABLE: &str = "--landfall-claims-table";

/// The argument that names the run's scope, unless it is the job's.
pub(super) const SCOPE: &str = "--landfall-scope";

/// Why no run can be given its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum RefusalReason {
    #[error("the value of `{argument}` would begin with `-`, which the job would take for a name")]
    LeadingDash { argument: String },
    #[error("the value of `{argument}` would hold a NUL, which no process can be given")]
    Nul { argument: String },
    #[error("the event does not tell the `{value}` that `{argument}` needs")]
    UnknownValue { argument: String, value: String },
    #[error("Spark would not read `{key}`, which `{argument}` names: {why}")]
    NotForSpark { argument: String, key: String, why: &'static str },
    #[error("the arguments have {bytes} bytes, a run is given {limit} at most")]
    ArgumentsTooLong { bytes: usize, limit: usize },
}

impl RefusalReason {
    /// A stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::LeadingDash { .. } => "argument_leading_dash",
            Self::Nul { .. } => "argument_nul",
            Self::UnknownValue { .. } => "argument_unknown_value",
            Self::NotForSpark { .. } => "argument_not_for_spark",
            Self::ArgumentsTooLong { .. } => "arguments_too_long",
        }
    }
}

/// Fills in the templates.
///
/// # Errors
/// A value is unknown, a job would misread it, or all of them are too long for a run.
pub(super) fn arguments(
    templates: &BTreeMap<String, Template>,
    value: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, RefusalReason> {
    let mut arguments = BTreeMap::new();
    let mut bytes = 0;
    for (name, template) in templates {
        let value = template.fill(&value).map_err(|value| RefusalReason::UnknownValue {
            argument: name.clone(),
            value: value.to_owned(),
        })?;
        if value.starts_with('-') {
            return Err(RefusalReason::LeadingDash { argument: name.clone() });
        }
        if value.contains('\0') {
            return Err(RefusalReason::Nul { argument: name.clone() });
        }
        bytes += name.len() + value.len();
        arguments.insert(name.clone(), value);
    }
    if bytes > MAX_BYTES {
        return Err(RefusalReason::ArgumentsTooLong { bytes, limit: MAX_BYTES });
    }
    Ok(arguments)
}

/// Returns why no run of a route can be given its arguments, however short the values of a batch are.
pub fn never_fit(templates: &BTreeMap<String, Template>) -> Option<RefusalReason> {
    let least = |(name, template): (&String, &Template)| {
        name.len() + template.fill(|_| Some(String::new())).map_or(0, |text| text.len())
    };
    let bytes = templates.iter().map(least).sum();
    (bytes > MAX_BYTES).then_some(RefusalReason::ArgumentsTooLong { bytes, limit: MAX_BYTES })
}

/// Landfall's resources in the data account that every job run gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobResources {
    /// The role that the job reads through. `{account}` in it stands for the job's account: each account has its own
    /// role.
    pub reader_role_arn: String,
    /// The ARN of the DynamoDB table in which runs claim their batches.
    pub claims_table_arn: String,
    /// The bucket of the manifests.
    pub manifests_bucket: String,
}

impl JobResources {
    /// Returns the object key of a batch's manifest, which is below the account that the ID names. A batch of the previous
    /// version, whose ID names no account, keeps its old key.
    pub fn manifest_key(route: &str, batch_id: &str) -> String {
        format!("{}.json", Self::manifest_stem(route, batch_id))
    }

    /// Returns the object key of a manifest that is written before it is known whether the ledger takes its batch. The same
    /// event can come again with fewer objects, and then opens a batch with the same ID. So the key names what the manifest
    /// says, and no manifest is ever written over another one.
    pub fn manifest_key_by_content(route: &str, batch_id: &str, manifest: &str) -> String {
        let hash = hex(&Sha256::digest(manifest)[..HASH_CHARS / 2]);
        format!("{}-{hash}.json", Self::manifest_stem(route, batch_id))
    }

    /// Returns what the keys of all manifests of a batch begin with.
    pub(super) fn manifest_stem(route: &str, batch_id: &str) -> String {
        match BatchId::account_of(batch_id) {
            Some(account) => format!("manifests/{account}/{route}/{batch_id}"),
            None => format!("manifests/{route}/{batch_id}"),
        }
    }

    /// Returns the S3 URI of the manifest with this key.
    pub fn manifest_uri(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.manifests_bucket)
    }

    /// Returns the arguments that a run gets in addition to its route's, except the epoch.
    pub fn arguments(
        &self,
        batch_id: &str,
        account: &str,
        manifest_uri: &str,
    ) -> [(String, String); 4] {
        [
            ("--landfall-batch-id", batch_id),
            ("--landfall-manifest", manifest_uri),
            (READER_ROLE, &self.reader_role_arn.replace("{account}", account)),
            (CLAIMS_TABLE, &self.claims_table_arn),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    }
}
