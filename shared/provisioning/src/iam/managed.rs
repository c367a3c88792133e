//! Reads the managed policies that are attached to a role.

use aws_sdk_iam::Client;
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use landfall_aws::sdk_error::ServiceError;
use landfall_core::policy::Document;

use super::{IamError, call, document};

/// The result of reading a managed policy.
pub(crate) enum Managed {
    /// The default version, if it is JSON.
    Read(Option<Document>),
    /// IAM does not let us read the policy.
    Denied,
    /// There is no such policy.
    Absent,
}

/// Reads a managed policy.
///
/// # Errors
/// Fails if IAM does not answer.
pub(crate) async fn managed(iam: &Client, role: &str, arn: &str) -> Result<Managed, IamError> {
    let policy = match iam.get_policy().policy_arn(arn).send().await {
        Ok(answer) => answer.policy,
        Err(error) => return not_managed("GetPolicy", role, &error),
    };
    let Some(version) = policy.and_then(|policy| policy.default_version_id) else {
        return Ok(Managed::Read(None));
    };
    match iam.get_policy_version().policy_arn(arn).version_id(version).send().await {
        Ok(answer) => {
            let text = answer.policy_version.and_then(|version| version.document);
            Ok(Managed::Read(text.as_deref().and_then(document)))
        }
        Err(error) => not_managed("GetPolicyVersion", role, &error),
    }
}

fn not_managed<E: ServiceError, R: std::fmt::Debug>(
    operation: &'static str,
    role: &str,
    error: &SdkError<E, R>,
) -> Result<Managed, IamError> {
    match error.code() {
        Some("NoSuchEntity") => Ok(Managed::Absent),
        Some("AccessDenied") => Ok(Managed::Denied),
        _ => Err(call(operation, role, error)),
    }
}
