//! How many of its job role's permissions a run has.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::arn::RoleArn;
use crate::policy::literal;

/// The longest session policy that Glue takes, in characters.
const MAX_POLICY_CHARS: usize = 2_048;

/// What a run may do. An unknown word does not read as a `Scope`: code that cannot keep a bound must not start the run.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Scope {
    /// Everything that the job's role may do.
    #[default]
    Job,
    /// The same, but the only role that the run can assume is the reader role of its batch.
    Batch,
}

/// Why no session policy can hold a run to its batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum ScopeError {
    #[error("the run cannot be held to its batch: `{0}` is not the ARN of a role")]
    NoRole(String),
    #[error(
        "the run cannot be held to its batch: the session policy for reader role `{reader_role}` has \
         {chars} characters, Glue takes {MAX_POLICY_CHARS} at most"
    )]
    TooLong { reader_role: String, chars: usize },
}

impl Scope {
    /// Returns its word in routes and arguments.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn is_job(&self) -> bool {
        *self == Self::Job
    }

    /// Returns the session policy of a run that reads through this role; `None` if it needs none.
    ///
    /// A session policy intersects with the role's own policies, so it takes permissions away and adds none. This one
    /// allows everything, so that script, logs and output stay reachable, and denies every role but the reader role. It
    /// denies the job's own role too, because a new session of that role would no longer have this policy.
    ///
    /// # Errors
    /// Glue would not take the policy. It is never made wider instead.
    pub fn session_policy(self, reader_role: &str) -> Result<Option<String>, ScopeError> {
        if self == Self::Job {
            return Ok(None);
        }
        if RoleArn::parse(reader_role).is_none() {
            return Err(ScopeError::NoRole(reader_role.to_owned()));
        }
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [
                { "Effect": "Allow", "Action": "*", "Resource": "*" },
                { "Effect": "Deny", "Action": "sts:Assume*", "NotResource": literal(reader_role) },
            ],
        });
        let policy = policy.to_string();
        match policy.chars().count() {
            chars if chars > MAX_POLICY_CHARS => {
                Err(ScopeError::TooLong { reader_role: reader_role.to_owned(), chars })
            }
            _ => Ok(Some(policy)),
        }
    }
}
