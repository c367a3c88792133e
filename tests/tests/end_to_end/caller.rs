//! Callers of AWS: a session of a role, which policies apply to, or an account's root, which none
//! apply to.

use anyhow::{Context, Result, bail};
use landfall_tests::aws_cli::AwsCli;
use serde_json::Value;

pub struct Caller<'a> {
    cli: &'a AwsCli,
    session: Option<Value>,
}

impl<'a> Caller<'a> {
    pub fn root(cli: &'a AwsCli) -> Self {
        Self { cli, session: None }
    }

    /// Starts a session of `role`, which the account's root may assume.
    pub fn of(cli: &'a AwsCli, role: &str) -> Result<Self> {
        let root = Self::root(cli);
        let answer = root.run(&assume(role, None)).context("failed to assume the caller's role")?;
        let answer: Value = serde_json::from_str(&answer).context("STS answered no JSON")?;
        Ok(Self { session: Some(answer["Credentials"].clone()), ..root })
    }

    pub fn may_assume(&self, role: &str, external_id: Option<&str>) -> Result<bool> {
        self.may(&assume(role, external_id))
    }

    /// Returns whether IAM allows `aws …`. Fails if the command fails for another reason.
    pub fn may(&self, arguments: &[&str]) -> Result<bool> {
        match self.run(arguments) {
            Ok(_) => Ok(true),
            Err(error) if format!("{error:#}").contains("(AccessDenied") => Ok(false),
            Err(error) => bail!(error),
        }
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut credentials = Vec::new();
        if let Some(session) = &self.session {
            for (variable, field) in [
                ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
                ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
                ("AWS_SESSION_TOKEN", "SessionToken"),
            ] {
                credentials
                    .push((variable, session[field].as_str().context("a credential is missing")?));
            }
        }
        // For SQS, the command line doesn't take the endpoint from the environment.
        let endpoint = ["--endpoint-url", &self.cli.endpoint];
        self.cli.run_as(&credentials, arguments.iter().chain(&endpoint))
    }
}

pub fn role(account: &str, name: &str) -> String {
    format!("arn:aws:iam::{account}:role/{name}")
}

fn assume<'s>(role: &'s str, external_id: Option<&'s str>) -> Vec<&'s str> {
    let assume = ["sts", "assume-role", "--role-session-name", "trust", "--role-arn", role];
    let id = external_id.into_iter().flat_map(|id| ["--external-id", id]);
    assume.into_iter().chain(id).collect()
}
