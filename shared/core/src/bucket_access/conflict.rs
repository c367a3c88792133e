//! Finds what keeps Landfall from putting a policy, before Landfall sends it.

use std::fmt;

use serde_json::Value;

use super::{MAX_BYTES, Policy};

/// The reason why our statements can't be put or removed. Only somebody who changes the policy can help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Statements have a Sid of ours, but not our form. Holds their Sids.
    NotOurForm(Vec<String>),
    /// Statements of others name principals that were deleted, so S3 refuses every put of the policy.
    DeletedPrincipals(Vec<DeletedPrincipal>),
    /// The policy's version knows no variables, and our statements need them.
    OldVersion,
    /// The policy would be larger than S3 allows.
    TooLarge {
        /// The size that the policy would have.
        bytes: usize,
        /// The bytes that our statements take.
        ours: usize,
    },
}

/// A principal that was deleted, and the statement that still names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedPrincipal {
    /// The statement's Sid, or its position, as words.
    pub statement: String,
    /// The unique ID that S3 shows instead of an ARN, such as `AROA…`.
    pub id: String,
}

impl Conflict {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotOurForm(_) => "bucket_policy_not_our_form",
            Self::DeletedPrincipals(_) => "bucket_policy_deleted_principal",
            Self::OldVersion => "bucket_policy_old_version",
            Self::TooLarge { .. } => "bucket_policy_too_large",
        }
    }

    /// Returns the way to fix it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotOurForm(_) => {
                "somebody changed a statement that Landfall wrote: remove it, or give it another Sid"
            }
            Self::DeletedPrincipals(_) => {
                "S3 refuses to store a policy with them: remove the principals, or name the new roles by \
                 their ARNs"
            }
            Self::OldVersion => {
                "a key of the routes has a `*`, `?` or `$`, which needs a variable: set the policy's `Version` \
                 to 2012-10-17"
            }
            Self::TooLarge { .. } => {
                "shorten the policy, give routes a common prefix, or use `access: role`"
            }
        }
    }
}

/// Checks that S3 will accept the statements of others once more.
pub(crate) fn check(others: &Policy) -> Result<(), Conflict> {
    let deleted: Vec<DeletedPrincipal> = others
        .values()
        .enumerate()
        .flat_map(|(index, value)| {
            let statement = match value["Sid"].as_str() {
                Some(sid) if !sid.is_empty() => format!("`{sid}`"),
                _ => format!("number {}", index + 1),
            };
            let ids = ["Principal", "NotPrincipal"].map(|name| ids(&value[name]["AWS"]));
            let of = move |id| DeletedPrincipal { statement: statement.clone(), id };
            ids.into_iter().flatten().map(of).collect::<Vec<_>>()
        })
        .collect();
    if deleted.is_empty() { Ok(()) } else { Err(Conflict::DeletedPrincipals(deleted)) }
}

/// Returns the unique IDs among principals. S3 shows the ARN of a principal that exists. A unique ID begins with four
/// letters for its kind, such as `AROA` for a role and `AIDA` for a user (IAM manual, "IAM identifiers").
fn ids(principals: &Value) -> Vec<String> {
    let one = std::slice::from_ref(principals);
    let all = principals.as_array().map_or(one, Vec::as_slice).iter().filter_map(Value::as_str);
    let is_id = |text: &&str| {
        text.len() >= 16
            && ["AROA", "AIDA", "AGPA"].iter().any(|kind| text.starts_with(kind))
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    all.filter(is_id).map(str::to_owned).collect()
}

impl std::error::Error for Conflict {}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurForm(sids) => {
                write!(f, "statement `{}` isn't as Landfall writes it", sids.join("`, `"))?;
            }
            Self::DeletedPrincipals(deleted) => {
                let one = |it: &DeletedPrincipal| {
                    format!("statement {} names the deleted principal `{}`", it.statement, it.id)
                };
                write!(f, "{}", deleted.iter().map(one).collect::<Vec<_>>().join("; "))?;
            }
            Self::OldVersion => f.write_str("the policy's version knows no variables")?,
            Self::TooLarge { bytes, ours } => write!(
                f,
                "the policy would have {bytes} bytes, {ours} of them for Landfall, but S3 allows {MAX_BYTES}"
            )?,
        }
        write!(f, " ({})", self.hint())
    }
}
