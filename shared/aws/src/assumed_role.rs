//! Assumes a role in another account, and keeps its credentials until shortly before they expire.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sdk_sts::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use landfall_core::secret::Secret;
use tokio::sync::Mutex;

use crate::clock::system_time;
use crate::sdk_error::{AwsError, chain};

/// The length of a session. If a role's credentials assume another role (role chaining), AWS allows
/// at most one hour.
const SESSION_SECS: i32 = 3_600;

/// Credentials with less time than this left are replaced.
const REFRESH_BEFORE: Duration = Duration::from_secs(5 * 60);

/// After a failed refresh, the current credentials are used this long before the next attempt.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// How long a refusal stands. If many tasks need a role at the same time, only one calls STS.
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// How to assume a role.
#[derive(Debug, Clone)]
pub struct Assumption {
    /// The role's ARN.
    pub role_arn: String,
    /// The external ID that the trust policy requires, if it does.
    pub external_id: Option<Secret>,
    /// Shows in the trusting account's CloudTrail where the session comes from: see
    /// [`session_name`].
    pub session_name: String,
    /// The source identity, which stays with the session through further roles. The trust policy
    /// must allow `sts:SetSourceIdentity`.
    pub source_identity: Option<String>,
}

/// Why a role could not be assumed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("failed to assume role `{role_arn}`")]
pub struct AssumeError {
    /// The role's ARN.
    pub role_arn: String,
    code: &'static str,
    /// What STS or the SDK said, without the external ID.
    source: AwsError,
}

impl AssumeError {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

/// A role and its current credentials. Cheap to clone; clones share the credentials.
#[derive(Clone)]
pub struct AssumedRole {
    shared: Arc<Shared>,
}

struct Shared {
    sts: aws_sdk_sts::Client,
    assumption: Assumption,
    /// Locked while the role is assumed, so that many callers make only one call.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Current>,
    /// The last refusal, and until when it holds.
    refused: Option<(AssumeError, SystemTime)>,
}

struct Current {
    credentials: Credentials,
    /// When to replace them.
    refresh_at: SystemTime,
}

impl AssumedRole {
    /// Returns the role without credentials. Makes no call yet.
    pub fn new(sts: aws_sdk_sts::Client, assumption: Assumption) -> Self {
        Self { shared: Arc::new(Shared { sts, assumption, state: Mutex::default() }) }
    }

    /// Returns credentials that are still valid; assumes the role if there are none.
    ///
    /// # Errors
    /// Fails if the role cannot be assumed and no valid credentials are left.
    pub async fn credentials(&self) -> Result<Credentials, AssumeError> {
        let mut state = self.shared.state.lock().await;
        let State { current, refused } = &mut *state;
        let now = system_time();
        if let Some(current) = current.as_ref().filter(|current| now < current.refresh_at) {
            return Ok(current.credentials.clone());
        }
        if let Some((error, _)) = refused.as_ref().filter(|(_, until)| now < *until) {
            return Err(error.clone());
        }
        match assume(&self.shared.sts, &self.shared.assumption).await {
            Ok(credentials) => {
                let refresh_at = expiry(&credentials) - REFRESH_BEFORE;
                *current = Some(Current { credentials: credentials.clone(), refresh_at });
                Ok(credentials)
            }
            Err(error) => match current.as_mut().filter(|c| now < expiry(&c.credentials)) {
                Some(current) => {
                    let code = error.code;
                    tracing::warn!(code, error = chain(&error), "using the credentials at hand");
                    current.refresh_at = expiry(&current.credentials).min(now + RETRY_AFTER);
                    Ok(current.credentials.clone())
                }
                None => {
                    *refused = Some((error.clone(), now + REFUSED_FOR));
                    Err(error)
                }
            },
        }
    }

    /// Drops the credentials `refused`, unless they have been replaced already, so that the next
    /// call assumes the role again: a role that was deleted and created again refuses the old
    /// role's sessions.
    pub async fn forget(&self, refused: &Credentials) {
        let mut state = self.shared.state.lock().await;
        if state
            .current
            .as_ref()
            .is_some_and(|c| c.credentials.access_key_id() == refused.access_key_id())
        {
            state.current = None;
        }
    }
}

fn expiry(credentials: &Credentials) -> SystemTime {
    credentials.expiry().unwrap_or(SystemTime::UNIX_EPOCH + REFRESH_BEFORE)
}

async fn assume(
    sts: &aws_sdk_sts::Client,
    assumption: &Assumption,
) -> Result<Credentials, AssumeError> {
    let answer = sts
        .assume_role()
        .role_arn(&assumption.role_arn)
        .role_session_name(&assumption.session_name)
        .set_external_id(assumption.external_id.as_ref().map(|id| id.expose().to_owned()))
        .set_source_identity(assumption.source_identity.clone())
        .duration_seconds(SESSION_SECS)
        .send()
        .await
        .map_err(|error| refused(assumption, &error))?;
    let given = answer.credentials.ok_or_else(|| AssumeError {
        role_arn: assumption.role_arn.clone(),
        code: "assume_role_failed",
        source: AwsError::unusable("the answer of STS holds no credentials"),
    })?;
    let expiry = SystemTime::try_from(given.expiration).ok();
    let credentials = Credentials::builder()
        .access_key_id(given.access_key_id)
        .secret_access_key(given.secret_access_key)
        .session_token(given.session_token)
        .provider_name("LandfallAssumedRole");
    Ok(match expiry {
        Some(expiry) => credentials.expiry(expiry).build(),
        None => credentials.build(),
    })
}

fn refused(assumption: &Assumption, error: &SdkError<AssumeRoleError>) -> AssumeError {
    let code = match error.code() {
        Some("AccessDenied") => "assume_role_denied",
        _ => "assume_role_failed",
    };
    // STS repeats a malformed value in its message.
    let source = AwsError::with_message(error, |message| match &assumption.external_id {
        Some(id) => message.replace(id.expose(), "…"),
        None => message,
    });
    AssumeError { role_arn: assumption.role_arn.clone(), code, source }
}

impl fmt::Debug for AssumedRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssumedRole").field("assumption", &self.shared.assumption).finish()
    }
}

/// Builds a role session's name from parts, such as a function's name and account. STS allows 2 to
/// 64 characters of `[\w+=,.@-]`. Other characters become `-`, and a name that is too long loses
/// its middle.
pub fn session_name(parts: &[&str]) -> String {
    const MAX: usize = 64;
    let mut name: String = parts
        .join("@")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) { c } else { '-' })
        .collect();
    if name.len() > MAX {
        let end = name.split_off(name.len() - MAX / 2);
        name.truncate(MAX - end.len() - 2);
        name.push_str("..");
        name.push_str(&end);
    }
    if name.len() < 2 { format!("landfall{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_names_hold_to_the_limits_of_sts() {
        assert_eq!(
            session_name(&["landfall-trigger", "111111111111"]),
            "landfall-trigger@111111111111"
        );
        assert_eq!(session_name(&["a b/c"]), "a-b-c");
        assert_eq!(session_name(&[""]), "landfall");
        let long = session_name(&[&"x".repeat(80), "111111111111"]);
        assert_eq!(long.len(), 64);
        assert!(long.ends_with("@111111111111"));
    }

    #[test]
    fn debug_shows_no_external_id() {
        let assumption = Assumption {
            role_arn: "arn".to_owned(),
            external_id: Some(Secret::new("hunter2")),
            session_name: "s".to_owned(),
            source_identity: None,
        };
        assert!(!format!("{assumption:?}").contains("hunter2"));
    }
}
