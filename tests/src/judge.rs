//! Judges requests to AWS: an IAM engine decides whether policies allow a request.
//!
//! It sees what the emulator doesn't: who may pass or invoke what, principals that are roles, key
//! policies, boundaries. It knows policies only, and nothing that exists in an account. If a
//! request can't be judged (IAM would refuse the policy, or an action or a context key doesn't
//! exist), that is an error and never a denial.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::node::Node;

/// A call to AWS, with all policies that apply to it. A policy is an object, or its text.
///
/// The context has what AWS puts into every request: `aws:PrincipalArn` (the role's ARN for a
/// session), `aws:PrincipalAccount`, `aws:PrincipalType`, `aws:PrincipalIsAWSService`,
/// `aws:ResourceAccount`, `aws:SecureTransport` = true. Everything else comes from
/// [`Request::with`].
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    principal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    action: String,
    resource: String,
    owner: String,
    identity_policies: Vec<Value>,
    session_policies: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    boundary: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_policy: Option<Value>,
    context: BTreeMap<String, Value>,
}

impl Request {
    /// Makes a request of a role's session. The ARN includes the role's path.
    pub fn by_role(role: &str, action: &str, resource: &str) -> Request {
        let account = role.split(':').nth(4).unwrap_or_default();
        let name = role.rsplit('/').next().unwrap_or_default();
        let session = format!("arn:aws:sts::{account}:assumed-role/{name}/session");
        Request { role: Some(role.to_owned()), ..Request::by(&session, action, resource) }
    }

    /// Makes a request of an AWS service, such as `glue.amazonaws.com`.
    pub fn by_service(service: &str, action: &str, resource: &str) -> Request {
        Request::by(service, action, resource)
    }

    /// Makes a request of a user, or of an account's root.
    pub fn by(principal: &str, action: &str, resource: &str) -> Request {
        Request {
            principal: principal.to_owned(),
            role: None,
            action: action.to_owned(),
            resource: resource.to_owned(),
            owner: resource.split(':').nth(4).unwrap_or_default().to_owned(),
            identity_policies: Vec::new(),
            session_policies: Vec::new(),
            boundary: None,
            resource_policy: None,
            context: BTreeMap::new(),
        }
    }

    /// Sets the account that owns the resource, if the ARN doesn't name it. ARNs of S3 don't.
    pub fn owned_by(mut self, account: &str) -> Request {
        account.clone_into(&mut self.owner);
        self
    }

    /// Adds an identity policy of the principal.
    pub fn identity(mut self, policy: impl Into<Value>) -> Request {
        self.identity_policies.push(policy.into());
        self
    }

    /// Adds a policy that the session was started with.
    pub fn session(mut self, policy: impl Into<Value>) -> Request {
        self.session_policies.push(policy.into());
        self
    }

    /// Sets the permissions boundary of the principal.
    pub fn boundary(mut self, policy: impl Into<Value>) -> Request {
        self.boundary = Some(policy.into());
        self
    }

    /// Sets the resource's own policy: a role's trust policy, or the policy of a key, bucket, queue
    /// or function.
    pub fn resource_policy(mut self, policy: impl Into<Value>) -> Request {
        self.resource_policy = Some(policy.into());
        self
    }

    /// Adds a context key to the request, with a text or a list of texts.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Request {
        self.context.insert(key.to_owned(), value.into());
        self
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Verdict {
    pub allowed: bool,
    /// The statements that decided, for the message of a failing test.
    pub because: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Verdict(Verdict),
    Refused { error: String },
}

pub struct Judge {
    node: Node,
}

impl Judge {
    pub fn new(node: &Node) -> Judge {
        Judge { node: node.clone() }
    }

    /// Returns the verdicts in the order of the requests, from a single process. Fails if any
    /// request can't be judged.
    pub fn ask(&self, requests: &[Request]) -> Result<Vec<Verdict>> {
        let mut child = self
            .node
            .script("judge.mjs")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("failed to start the judge")?;
        let input = serde_json::to_vec(requests)?;
        // The judge reads everything before it writes. If it ends early, its output says why.
        let written =
            child.stdin.take().context("the judge's standard input is piped")?.write_all(&input);
        let output = child.wait_with_output().context("failed to wait for the judge")?;
        ensure!(
            output.status.success(),
            "the judge ended with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        written.context("failed to send the requests to the judge")?;
        let answers: Vec<Answer> =
            serde_json::from_slice(&output.stdout).context("failed to parse the judge's answer")?;
        ensure!(answers.len() == requests.len(), "the judge did not answer every request");
        let verdict = |(answer, request): (Answer, &Request)| match answer {
            Answer::Verdict(verdict) => Ok(verdict),
            Answer::Refused { error } => {
                bail!("cannot judge `{}` on `{}`: {error}", request.action, request.resource)
            }
        };
        answers.into_iter().zip(requests).map(verdict).collect()
    }
}
