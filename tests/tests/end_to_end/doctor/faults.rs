//! The faults that the local cloud can show: how the test breaks each link, and how it is mended.

mod analytics;
mod data;

use anyhow::{Context, Result};
use landfall_tests::ANALYTICS;
use landfall_tests::aws_cli::AwsCli;
use landfall_tests::cloud::LocalCloud;
use serde_json::{Value, json};

/// A link that the test breaks.
pub struct Fault {
    /// The code of the problem that is named.
    pub problem: &'static str,
    pub breaks: fn(&LocalCloud) -> Result<()>,
    pub mend: Mend,
}

pub enum Mend {
    /// By the command that `doctor` prints.
    AsPrinted,
    /// By something else: `doctor` can't know what the resource was.
    By(fn(&LocalCloud) -> Result<()>),
}

/// Returns all faults, in the order in which the test causes them.
pub fn all() -> impl Iterator<Item = &'static Fault> {
    data::FAULTS.iter().chain(&analytics::FAULTS).chain([&READER_DELETED])
}

/// Returns `true` if the fault is one of the data account.
pub fn is_of_data(fault: &Fault) -> bool {
    data::FAULTS.iter().chain([&READER_DELETED]).any(|it| it.problem == fault.problem)
}

const READER_DELETED: Fault = Fault {
    problem: "role_missing",
    breaks: |cloud| {
        let reader = format!("landfall-reader-{ANALYTICS}");
        let cli = &cloud.data.cli;
        let name = ["--role-name", &reader];
        let policies = cli.json([&["iam", "list-role-policies"], &name[..]].concat())?;
        for policy in policies["PolicyNames"].as_array().into_iter().flatten() {
            let policy = policy.as_str().context("a policy without a name")?;
            let delete = ["iam", "delete-role-policy", "--policy-name", policy];
            cli.run([&delete[..], &name].concat())?;
        }
        cli.run([&["iam", "delete-role"], &name[..]].concat()).map(drop)
    },
    // It is the last one: a deployment makes the role again only if its resource changes.
    mend: Mend::By(|_| Ok(())),
};

/// Returns what was staged before a link was broken.
fn staged(cloud: &LocalCloud, name: &str) -> Result<String> {
    let file = cloud.emulator.folder().join("stage").join(name);
    std::fs::read_to_string(&file).with_context(|| format!("failed to read `{name}`"))
}

/// Keeps what a call returns, for [`staged`].
fn keep(cloud: &LocalCloud, name: &str, cli: &AwsCli, call: &[&str]) -> Result<Value> {
    let found = cli.json(call)?;
    cloud.stage(name, &found.to_string())?;
    Ok(found)
}

/// Returns what was kept.
fn kept(cloud: &LocalCloud, name: &str) -> Result<Value> {
    serde_json::from_str(&staged(cloud, name)?).with_context(|| format!("`{name}` is no JSON"))
}

/// Returns a policy with one more statement.
fn with(policy: &str, statement: Value) -> Result<String> {
    let mut policy: Value = serde_json::from_str(policy).context("the policy is no JSON")?;
    policy["Statement"].as_array_mut().context("no statements")?.push(statement);
    Ok(policy.to_string())
}

/// Returns a statement that denies this action to everybody from elsewhere, as companies have it.
fn denies_from_elsewhere(action: &str, resource: &str) -> Value {
    json!({ "Sid": "OnlyOurNetwork", "Effect": "Deny", "Principal": "*", "Action": action, "Resource": resource,
        "Condition": { "NotIpAddress": { "aws:SourceIp": "10.0.0.0/8" } } })
}
