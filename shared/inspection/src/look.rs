//! What the answer to a call says about what was looked for.

use std::fmt;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use landfall_aws::sdk_error::{AwsError, ServiceError};
use landfall_core::chain::observed::{Look, Named};
use landfall_core::chain::permissions::permission;

/// What was seen, or why nothing was.
pub type Seen<T> = Result<T, Unseen>;

/// Why nothing was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unseen {
    /// It isn't there. AWS said so.
    Missing,
    /// The credentials may not look. Holds the permission that they lack.
    Denied(String),
    /// A policy of the organization denies the look. Holds the permission.
    DeniedByOrganization(String),
    /// The call gave no answer. Holds the operation, AWS's code and its message.
    Failed(String),
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("it isn't there"),
            Self::Denied(permission) => write!(f, "to look, the credentials need `{permission}`"),
            Self::DeniedByOrganization(permission) => {
                write!(f, "a policy of the organization denies `{permission}`")
            }
            Self::Failed(why) => write!(f, "the look failed: {why}"),
        }
    }
}

/// A call that reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    /// AWS's name for the operation.
    pub(crate) operation: &'static str,
    /// The error codes that say that what was looked for isn't there.
    pub(crate) missing: &'static [&'static str],
}

impl Call {
    /// Reads what an answer says.
    pub(crate) fn seen<T, E: ServiceError>(
        &self,
        answer: Result<T, SdkError<E, HttpResponse>>,
    ) -> Seen<T> {
        answer.map_err(|error| {
            let status = error.raw_response().map(|answer| answer.status().as_u16());
            let reason = match status {
                // The SDK would repeat the whole answer, which can be a function's environment.
                Some(status) if error.code().is_none() => AwsError::unusable(format!(
                    "HTTP status {status}, without an error that can be read"
                )),
                _ => AwsError::new(&error),
            };
            self.unseen(&reason, status)
        })
    }

    /// Reads what an error says. An answer to a HEAD has no body, so only its status tells.
    pub(crate) fn unseen(&self, error: &AwsError, status: Option<u16>) -> Unseen {
        let code = error.code();
        let says_nothing = ["unknown", "NotFound", "Forbidden"].contains(&code);
        match status {
            _ if self.missing.contains(&code) => Unseen::Missing,
            _ if is_denied(code) && is_by_organization(error) => {
                Unseen::DeniedByOrganization(self.permission().to_owned())
            }
            _ if is_denied(code) => self.denied(),
            Some(404) if says_nothing => Unseen::Missing,
            Some(403) if says_nothing => self.denied(),
            _ => self.failed(error),
        }
    }

    /// Returns that the credentials lack the permission for the call.
    pub(crate) fn denied(&self) -> Unseen {
        Unseen::Denied(self.permission().to_owned())
    }

    fn permission(&self) -> &'static str {
        permission(self.operation).unwrap_or(self.operation)
    }

    /// Returns that the call gave no answer that can be used.
    pub(crate) fn failed(&self, why: impl std::fmt::Display) -> Unseen {
        Unseen::Failed(format!("{}: {why}", self.operation))
    }
}

/// Returns `true` if the code refuses the caller. Expired credentials and a wrong clock have codes of their own: they
/// say nothing about permissions.
fn is_denied(code: &str) -> bool {
    const DENIED: [&str; 6] = [
        "AccessDenied",
        "AccessDeniedException",
        "AllAccessDisabled",
        "AuthorizationError",
        "UnauthorizedOperation",
        "UnauthorizedAccess",
    ];
    DENIED.contains(&code) || code.ends_with(".AccessDenied")
}

/// Returns `true` if AWS says that a policy of the organization denies the call, by itself or by not allowing it. AWS says so
/// only to callers of the same account or organization.
fn is_by_organization(error: &AwsError) -> bool {
    let message = error.message();
    ["service control policy", "resource control policy"].iter().any(|it| message.contains(it))
}

/// Turns the result of a look into what the core takes.
pub(crate) fn look<T>(seen: Seen<T>) -> Look<T> {
    match seen {
        Ok(seen) => Look::Seen(seen),
        Err(Unseen::Missing) => Look::Missing,
        Err(Unseen::Denied(permission)) => Look::Denied(permission),
        Err(Unseen::DeniedByOrganization(permission)) => Look::DeniedByOrganization(permission),
        Err(Unseen::Failed(why)) => Look::Failed(why),
    }
}

/// Gives what was looked for its name.
pub(crate) fn named<T>(name: impl Into<String>, seen: Seen<T>) -> Named<T> {
    Named { name: name.into(), look: look(seen) }
}
