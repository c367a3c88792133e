//! The arguments of a job run.

use std::collections::BTreeMap;

use super::BatchId;
use crate::plan::RefusalReason;
use crate::template::Template;

/// Names and values together. Glue admits 260 KB to a run, but a batch carries its templates too, and
/// DynamoDB admits 400 KB to an item.
const MAX_BYTES: usize = 100_000;

/// The argument that names the role that a job reads through.
pub(super) const READER_ROLE: &str = "--landfall-reader-role";

/// The argument that names the table of claims.
pub(super) const CLAIMS_TABLE: &str = "--landfall-claims-table";

/// The argument that tells a job of its scope, where it has one of its own.
pub(super) const SCOPE: &str = "--landfall-scope";

/// Fills the templates in.
///
/// # Errors
/// A value is not known, is one that a job would misread, or all are too long for a run.
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
    match bytes > MAX_BYTES {
        true => Err(RefusalReason::ArgumentsTooLong { bytes, limit: MAX_BYTES }),
        false => Ok(arguments),
    }
}

/// Landfall's own resources in the data account, of which every job is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// The role that the job reads through; `{account}` in it stands for the job's account, of which
    /// each has its own.
    pub reader_role_arn: String,
    pub claims_table_arn: String,
    /// The bucket of the manifests.
    pub manifests_bucket: String,
}

impl Own {
    /// The object key of a batch's manifest: below the account that the id names. That of a batch of the
    /// version before, whose id names none, is what it was.
    pub fn manifest_key(route: &str, batch_id: &str) -> String {
        match BatchId::account_of(batch_id) {
            Some(account) => format!("manifests/{account}/{route}/{batch_id}.json"),
            None => format!("manifests/{route}/{batch_id}.json"),
        }
    }

    /// Where the manifest of a batch is.
    pub fn manifest_uri(&self, route: &str, batch_id: &str) -> String {
        format!("s3://{}/{}", self.manifests_bucket, Self::manifest_key(route, batch_id))
    }

    /// What a job is told of a batch beside its route's arguments, the epoch apart.
    pub fn arguments(&self, route: &str, batch_id: &str, account: &str) -> [(String, String); 4] {
        [
            ("--landfall-batch-id", batch_id),
            ("--landfall-manifest", &self.manifest_uri(route, batch_id)),
            (READER_ROLE, &self.reader_role_arn.replace("{account}", account)),
            (CLAIMS_TABLE, &self.claims_table_arn),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    }
}
