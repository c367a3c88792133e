//! A judge of requests to AWS: an IAM engine says whether policies let a request through.
//!
//! It sees what the emulator does not: who may pass or invoke what, principals that are roles, key
//! policies, boundaries. It knows policies only, nothing that exists in an account. What cannot be
//! judged (a policy that IAM would refuse, an action or a context key that does not exist) is an
//! error and never a denial.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::node::Node;

/// A call to AWS, with all policies that bear on it. A policy is an object, or its text.
///
/// The context has what AWS puts into every request: `aws:PrincipalArn` (the role's ARN for a
/// session), `aws:PrincipalAccount`, `aws:PrincipalType`, `aws:PrincipalIsAWSService`,
/// `aws:ResourceAccount`, `aws:SecureTransport` = true; all else comes from [`Request::with`].
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
    /// By a session of a role, whose ARN has its path.
    pub fn by_role(role: &str, action: &str, resource: &str) -> Request {
        let account = role.split(':').nth(4).unwrap_or_default();
        let name = role.rsplit('/').next().unwrap_or_default();
        let session = format!("arn:aws:sts::{account}:assumed-role/{name}/session");
        Request { role: Some(role.to_owned()), ..Request::by(&session, action, resource) }
    }

    /// By an AWS service, such as `glue.amazonaws.com`.
    pub fn by_service(service: &str, action: &str, resource: &str) -> Request {
        Request::by(service, action, resource)
    }

    /// By a user or the root of an account.
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

    /// The account that the resource belongs to, where its ARN does not say so: S3's do not.
    pub fn owned_by(mut self, account: &str) -> Request {
        account.clone_into(&mut self.owner);
        self
    }

    /// Adds a policy of the principal.
    pub fn identity(mut self, policy: impl Into<Value>) -> Request {
        self.identity_policies.push(policy.into());
        self
    }

    /// Adds a policy that the session was begun with.
    pub fn session(mut self, policy: impl Into<Value>) -> Request {
        self.session_policies.push(policy.into());
        self
    }

    /// The permissions boundary of the principal.
    pub fn boundary(mut self, policy: impl Into<Value>) -> Request {
        self.boundary = Some(policy.into());
        self
    }

    /// The resource's own policy: a role's trust policy, a key's, a bucket's, a queue's, a function's.
    pub fn resource_policy(mut self, policy: impl Into<Value>) -> Request {
        self.resource_policy = Some(policy.into());
        self
    }

    /// Puts a context key into the request: a text, or a list of texts.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Request {
        self.context.insert(key.to_owned(), value.into());
        self
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Verdict {
    pub allowed: bool,
    /// Which statements decided; for the message of a failing test.
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

    /// Verdicts in the order of the requests, all by one process; an error if any cannot be judged.
    pub fn ask(&self, requests: &[Request]) -> Result<Vec<Verdict>> {
        let mut child = self
            .node
            .script("judge.mjs")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("failed to start the judge")?;
        let asked = serde_json::to_vec(requests)?;
        // It reads all before it writes anything. If it ends early, what it said tells why.
        let written = child.stdin.take().context("the judge listens")?.write_all(&asked);
        let output = child.wait_with_output().context("failed to hear the judge")?;
        ensure!(
            output.status.success(),
            "the judge ended with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        written.context("failed to ask the judge")?;
        let answers: Vec<Answer> =
            serde_json::from_slice(&output.stdout).context("failed to understand the judge")?;
        ensure!(answers.len() == requests.len(), "the judge left requests out");
        let verdict = |(answer, request): (Answer, &Request)| match answer {
            Answer::Verdict(verdict) => Ok(verdict),
            Answer::Refused { error } => {
                bail!("cannot judge `{}` on `{}`: {error}", request.action, request.resource)
            }
        };
        answers.into_iter().zip(requests).map(verdict).collect()
    }
}
