//! Observes roles in IAM, and converges or removes them.
//!
//! `landfall_core::roles` decides what to do. This module carries it out step by step, and repeats
//! it until IAM reads back what was written, because IAM's answers can be seconds old.

mod managed;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_iam::Client;
use aws_sdk_iam::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_iam::types::Tag;
use landfall_core::policy::Document;
use landfall_core::roles::{Conflict, Observed, Owner, Role, Step, diff, removal};
use tokio::time::{Instant, sleep};

use self::managed::{Managed, managed};
use landfall_aws::sdk_error::{AwsError, ServiceError, chain};

/// The pause after the first round. It doubles each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a refusal may still be due to the delay with which IAM's changes take effect, including
/// changes to the provisioner's own policies.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a role could not be observed, converged or removed.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum IamError {
    #[error("failed to {operation} role `{role}`")]
    Call {
        /// IAM's name for the operation.
        operation: &'static str,
        role: String,
        source: AwsError,
    },
    /// IAM does not let us read an attached policy.
    #[error("failed to read policy `{arn}` of role `{role}`: IAM denies access")]
    PolicyDenied { role: String, arn: String },
    #[error(transparent)]
    Conflict(#[from] Conflict),
    #[error("failed to finish the work on role `{role}` in time")]
    OutOfTime { role: String, source: Box<IamError> },
    #[error("IAM does not read back what was written")]
    NotReadBack,
}

impl IamError {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Call { source, .. } if source.code() == "AccessDenied" => "iam_access_denied",
            Self::Call { .. } => "iam_failed",
            Self::PolicyDenied { .. } => "iam_access_denied",
            Self::Conflict(conflict) => conflict.code(),
            Self::OutOfTime { .. } | Self::NotReadBack => "iam_out_of_time",
        }
    }

    /// Returns `true` if trying again can help, after `since` has passed.
    fn is_retryable(&self, since: Duration) -> bool {
        match self {
            Self::Call { source, .. } => match source.code() {
                "MalformedPolicyDocument"
                | "InvalidInput"
                | "ValidationError"
                | "LimitExceeded"
                | "UnmodifiableEntity"
                | "PolicyNotAttachable" => false,
                "AccessDenied" | "InvalidClientTokenId" => since < PATIENCE,
                _ => true,
            },
            Self::PolicyDenied { .. } | Self::NotReadBack => true,
            Self::Conflict(_) | Self::OutOfTime { .. } => false,
        }
    }
}

/// The outcome of a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// The role existed, and is gone.
    Removed,
    /// There was no such role.
    Absent,
    /// There is such a role, but it is not the one to remove.
    NotOurs,
}

/// Reads the role of this name, with everything that a diff compares; returns `None` if there is
/// none.
///
/// # Errors
/// Fails if IAM does not answer.
pub async fn observe(iam: &Client, name: &str) -> Result<Option<Observed>, IamError> {
    let role = match iam.get_role().role_name(name).send().await {
        Ok(answer) => answer.role,
        Err(error) if error.code() == Some("NoSuchEntity") => return Ok(None),
        Err(error) => return Err(call("GetRole", name, &error)),
    };
    let Some(role) = role else {
        return Ok(None);
    };
    let mut pages = iam.list_role_policies().role_name(name).into_paginator().items().send();
    let mut names = Vec::new();
    while let Some(page) = pages.next().await {
        names.push(page.map_err(|error| call("ListRolePolicies", name, &error))?);
    }
    let mut policies = BTreeMap::new();
    for policy in names {
        match iam.get_role_policy().role_name(name).policy_name(&policy).send().await {
            Ok(answer) => policies.insert(policy, document(&answer.policy_document)),
            // The policy was deleted after it was listed.
            Err(error) if error.code() == Some("NoSuchEntity") => continue,
            Err(error) => return Err(call("GetRolePolicy", name, &error)),
        };
    }
    let mut pages =
        iam.list_attached_role_policies().role_name(name).into_paginator().items().send();
    let mut arns = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| call("ListAttachedRolePolicies", name, &error))?;
        arns.extend(page.policy_arn);
    }
    let mut attached = BTreeMap::new();
    for arn in arns {
        match managed(iam, name, &arn).await? {
            Managed::Read(document) => attached.insert(arn, document),
            Managed::Denied => attached.insert(arn, None),
            // The policy was detached and deleted after it was listed.
            Managed::Absent => continue,
        };
    }
    Ok(Some(Observed {
        trust: role.assume_role_policy_document.as_deref().and_then(document),
        max_session_secs: role.max_session_duration.unwrap_or(3_600),
        permissions_boundary: role
            .permissions_boundary
            .and_then(|boundary| boundary.permissions_boundary_arn),
        tags: role.tags.into_iter().flatten().map(|tag| (tag.key, tag.value)).collect(),
        arn: role.arn,
        role_id: role.role_id,
        path: role.path,
        description: role.description.unwrap_or_default(),
        policies,
        attached,
    }))
}

/// Parses a policy document, which IAM returns percent-encoded (RFC 3986).
fn document(text: &str) -> Option<Document> {
    Document::parse(&percent_encoding::percent_decode_str(text).decode_utf8().ok()?)
}

/// A role that is as desired, and what it took.
#[derive(Debug)]
pub struct Converged {
    /// The role as IAM reads it back.
    pub observed: Observed,
    /// Whether the role did not exist before.
    pub is_created: bool,
    /// Managed policies that were detached without being readable: they may have granted or denied.
    pub unread: BTreeSet<String>,
}

/// Makes the role what `desired` says, and waits until IAM reads it back. Calling it twice is safe:
/// if the role is already right, this only reads it.
///
/// # Errors
/// Fails if the role belongs to something else, IAM refuses for good, or `deadline` has come.
pub async fn converge(
    iam: &Client,
    desired: &Role,
    deadline: Instant,
) -> Result<Converged, IamError> {
    let name = desired.name.as_str();
    let begun = Instant::now();
    let mut is_created = false;
    let mut unread = BTreeSet::new();
    let round = async || {
        let observed = observe(iam, name).await?;
        let steps = diff(desired, observed.as_ref())?;
        for step in &steps {
            let Step::Detach(arn) = step else { continue };
            if observed.as_ref().is_some_and(|role| role.unread().any(|other| other == arn)) {
                // A policy that only denies must not be detached because a permission is a moment
                // late.
                if begun.elapsed() < PATIENCE {
                    return Err(IamError::PolicyDenied { role: name.to_owned(), arn: arn.clone() });
                }
                tracing::warn!(code = "policy_not_read", role = name, arn, "detached unread");
                unread.insert(arn.clone());
            }
        }
        is_created |= observed.is_none();
        match observed {
            Some(observed) if steps.is_empty() => Ok(Some(observed)),
            _ => apply(iam, name, &steps).await.map(|()| None),
        }
    };
    let observed = until(name, deadline, round).await?;
    Ok(Converged { observed, is_created, unread })
}

/// Creates the role as [`converge`] does if there is none. Leaves one that is there as it is, whatever it may do.
///
/// # Errors
/// Fails if IAM refuses for good, or `deadline` has come.
pub async fn create_missing(
    iam: &Client,
    desired: &Role,
    deadline: Instant,
) -> Result<Converged, IamError> {
    let name = desired.name.as_str();
    let observed = until(name, deadline, async || observe(iam, name).await.map(Some)).await?;
    match observed {
        Some(observed) => Ok(Converged { observed, is_created: false, unread: BTreeSet::new() }),
        None => converge(iam, desired, deadline).await,
    }
}

/// Returns the policies that others gave the role and that only deny, if the role is `owner`'s
/// resource. A role that replaces it should have them too.
///
/// # Errors
/// Fails if IAM refuses for good, or `deadline` has come.
pub async fn brakes_to_carry(
    iam: &Client,
    name: &str,
    owner: &Owner,
    deadline: Instant,
) -> Result<BTreeMap<String, Document>, IamError> {
    let observed = until(name, deadline, async || observe(iam, name).await.map(Some)).await?;
    let is_its = |observed: &Observed| {
        Owner::of_tags(&observed.tags).is_some_and(|theirs| owner.is_same_resource(&theirs))
    };
    Ok(observed.filter(is_its).map(|observed| observed.brakes_to_carry()).unwrap_or_default())
}

/// Removes the role, if it is `owner`'s resource and has a physical ID that is gone. Calling it
/// twice is safe.
///
/// # Errors
/// Fails if IAM refuses for good, or `deadline` has come.
pub async fn remove(
    iam: &Client,
    name: &str,
    owner: &Owner,
    is_gone: impl Fn(&str) -> bool,
    deadline: Instant,
) -> Result<Removal, IamError> {
    let mut was_there = false;
    let round = async || {
        let observed = observe(iam, name).await?;
        let steps = removal(owner, &is_gone, observed.as_ref());
        if steps.is_empty() {
            return Ok(Some(observed.is_some()));
        }
        was_there = true;
        apply(iam, name, &steps).await.map(|()| None)
    };
    let is_there = until(name, deadline, round).await?;
    Ok(match (is_there, was_there) {
        (_, true) => Removal::Removed,
        (true, false) => Removal::NotOurs,
        (false, false) => Removal::Absent,
    })
}

/// Repeats `round` until it returns something.
async fn until<T>(
    role: &str,
    deadline: Instant,
    mut round: impl AsyncFnMut() -> Result<Option<T>, IamError>,
) -> Result<T, IamError> {
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let last = match round().await {
            Ok(Some(done)) => return Ok(done),
            Ok(None) => IamError::NotReadBack,
            Err(error) if error.is_retryable(begun.elapsed()) => {
                tracing::info!(role, error = chain(&error), "trying again");
                error
            }
            Err(error) => return Err(error),
        };
        if Instant::now() + pause >= deadline {
            return Err(IamError::OutOfTime { role: role.to_owned(), source: Box::new(last) });
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Carries out `steps` in order.
async fn apply(iam: &Client, role: &str, steps: &[Step]) -> Result<(), IamError> {
    for step in steps {
        apply_step(iam, role, step).await?;
        tracing::info!(role, operation = step.operation(), "{step}");
    }
    Ok(())
}

async fn apply_step(iam: &Client, role: &str, step: &Step) -> Result<(), IamError> {
    let operation = step.operation();
    match step.clone() {
        Step::Create(new) => done(
            operation,
            role,
            iam.create_role()
                .role_name(role)
                .path(new.path)
                .assume_role_policy_document(new.trust.to_json())
                .description(new.description)
                .max_session_duration(new.max_session_secs)
                .set_permissions_boundary(new.permissions_boundary)
                .set_tags(Some(tags(new.tags, role)?))
                .send()
                .await,
        ),
        Step::Tag(set) => {
            let set = Some(tags(set, role)?);
            done(operation, role, iam.tag_role().role_name(role).set_tags(set).send().await)
        }
        Step::PutBoundary(arn) => {
            let put = iam.put_role_permissions_boundary().role_name(role).permissions_boundary(arn);
            done(operation, role, put.send().await)
        }
        Step::Detach(arn) => {
            let detach = iam.detach_role_policy().role_name(role).policy_arn(arn);
            absent_is_done(operation, role, detach.send().await)
        }
        Step::DeletePolicy(name) => {
            let delete = iam.delete_role_policy().role_name(role).policy_name(name);
            absent_is_done(operation, role, delete.send().await)
        }
        Step::UpdateTrust(document) => {
            let update = iam.update_assume_role_policy().role_name(role);
            done(operation, role, update.policy_document(document.to_json()).send().await)
        }
        Step::PutPolicy { name, document } => {
            let put = iam.put_role_policy().role_name(role).policy_name(name);
            done(operation, role, put.policy_document(document.to_json()).send().await)
        }
        Step::Update { description, max_session_secs } => {
            let update = iam.update_role().role_name(role).description(description);
            done(operation, role, update.max_session_duration(max_session_secs).send().await)
        }
        Step::Untag(names) => {
            let untag = iam.untag_role().role_name(role);
            done(
                operation,
                role,
                untag.set_tag_keys(Some(names.into_iter().collect())).send().await,
            )
        }
        Step::DeleteBoundary => {
            let delete = iam.delete_role_permissions_boundary().role_name(role);
            done(operation, role, delete.send().await)
        }
        Step::Delete => {
            absent_is_done(operation, role, iam.delete_role().role_name(role).send().await)
        }
    }
}

fn tags(tags: BTreeMap<String, String>, role: &str) -> Result<Vec<Tag>, IamError> {
    let tag = |(key, value): (String, String)| {
        Tag::builder().key(key).value(value).build().map_err(|error| IamError::Call {
            operation: "TagRole",
            role: role.to_owned(),
            source: AwsError::unusable(error.to_string()),
        })
    };
    tags.into_iter().map(tag).collect()
}

fn done<T, E: ServiceError, R: std::fmt::Debug>(
    operation: &'static str,
    role: &str,
    result: Result<T, SdkError<E, R>>,
) -> Result<(), IamError> {
    result.map(drop).map_err(|error| call(operation, role, &error))
}

fn absent_is_done<T, E: ServiceError, R: std::fmt::Debug>(
    operation: &'static str,
    role: &str,
    result: Result<T, SdkError<E, R>>,
) -> Result<(), IamError> {
    match result {
        Err(error) if error.code() == Some("NoSuchEntity") => Ok(()),
        result => done(operation, role, result),
    }
}

fn call<E: ServiceError, R: std::fmt::Debug>(
    operation: &'static str,
    role: &str,
    error: &SdkError<E, R>,
) -> IamError {
    IamError::Call { operation, role: role.to_owned(), source: AwsError::new(error) }
}
