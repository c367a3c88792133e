//! How much of its job role's permissions a run has.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::arn::RoleArn;
use crate::policy::literal;

/// The longest session policy that Glue takes, in characters.
const MAX_POLICY_CHARS: usize = 2_048;

/// What a run may do. An unknown word is no `Scope`: who cannot keep a bound must not start the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All that the job's role may.
    #[default]
    Job,
    /// The same, but it can become no other role than the one that reads its batch.
    Batch,
}

/// Why a run cannot be held to its batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// All that there are.
    pub const ALL: [Self; 2] = [Self::Job, Self::Batch];

    /// In routes and arguments.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Batch => "batch",
        }
    }

    /// From a word of the routes.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn is_job(&self) -> bool {
        *self == Self::Job
    }

    /// The session policy of a run that is told to read through this role; `None` if none is needed.
    ///
    /// Session policies intersect with the role's own: this one takes away, and adds nothing. What is
    /// allowed is all, so that script, logs and output stay reachable; what is denied is any other
    /// role, the job's own included, whose new session would have this policy no more.
    ///
    /// # Errors
    /// Glue would not take it. It is never made wider instead.
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
