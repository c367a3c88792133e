//! Drives the AWS command line against the local cloud, with the commands that users type.

mod commands;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::{SHOWN_LINES, last_lines};
use crate::emulator::surroundings;
use crate::python::Python;

/// The prefix of the artifact buckets below which a stack's artifacts go and jobs may read.
pub const ARTIFACT_PREFIX: &str = "landfall";

/// The longest time that a stack may take.
const TIME_TO_SETTLE: Duration = Duration::from_secs(180);

/// The command line as root of one account. Because root bypasses IAM, don't use it for anything
/// whose permissions a test asserts.
pub struct AwsCli {
    pub account: String,
    pub endpoint: String,
    pub python: Python,
    /// The emulator's folder. Relative paths in arguments start at its `stage`.
    pub folder: std::path::PathBuf,
}

impl AwsCli {
    /// Returns the environment variables that the command line needs.
    pub fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", self.account.clone()),
            ("AWS_SECRET_ACCESS_KEY", "any".to_owned()),
        ]
    }

    /// Runs `aws …` and returns what it printed.
    pub fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String> {
        self.run_as(&[], arguments)
    }

    /// Runs `aws …` with these variables, such as the credentials of a session, and returns what it
    /// printed.
    pub fn run_as(
        &self,
        variables: &[(&'static str, &str)],
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<String> {
        let text = |argument: &OsStr| argument.to_str().map(str::to_owned);
        let arguments: Option<Vec<_>> = arguments.into_iter().map(|a| text(a.as_ref())).collect();
        let arguments = arguments.context("an argument of `aws` is no text")?;
        let shown = arguments.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(" ");
        let doing = || format!("failed to run `aws {shown}` in account `{}`", self.account);
        let mut all = BTreeMap::from(surroundings(&self.python, &self.folder));
        all.extend(self.variables());
        all.extend(variables.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let ran = commands::run(&self.python, &arguments, &self.folder.join("stage"), &all)
            .with_context(doing)?;
        if ran.status != 0 {
            let printed = last_lines(&(ran.stdout + &ran.stderr), SHOWN_LINES);
            bail!("{}: it ended with status {}\n{printed}", doing(), ran.status);
        }
        Ok(ran.stdout)
    }

    pub fn json(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Value> {
        let printed = self.run(arguments)?;
        serde_json::from_str(&printed).context("failed to read what `aws` printed as JSON")
    }

    pub fn make_bucket(&self, bucket: &str) -> Result<()> {
        self.run(["s3", "mb", &format!("s3://{bucket}")])?;
        Ok(())
    }

    /// Packages and deploys a template of the staging folder.
    pub fn deploy(
        &self,
        stack: &str,
        template: &str,
        artifacts: &str,
        parameters: &[(&str, &str)],
    ) -> Result<()> {
        let packaged = format!("{stack}-{}.packaged.yaml", self.account);
        self.run([
            "cloudformation",
            "package",
            "--template-file",
            template,
            "--s3-bucket",
            artifacts,
            "--s3-prefix",
            ARTIFACT_PREFIX,
            "--output-template-file",
            &packaged,
        ])?;
        let mut deploy = vec![
            "cloudformation".to_owned(),
            "deploy".to_owned(),
            "--template-file".to_owned(),
            packaged,
            "--stack-name".to_owned(),
            stack.to_owned(),
            "--capabilities".to_owned(),
            "CAPABILITY_NAMED_IAM".to_owned(),
            "--no-fail-on-empty-changeset".to_owned(),
        ];
        if !parameters.is_empty() {
            deploy.push("--parameter-overrides".to_owned());
            deploy.extend(parameters.iter().map(|(name, value)| format!("{name}={value}")));
        }
        // The command line's own waiter checks only every 30 seconds.
        deploy.push("--no-execute-changeset".to_owned());
        let prepared = self.run(deploy);
        let prepared =
            prepared.with_context(|| format!("failed to prepare a change of stack `{stack}`"))?;
        let Some(change_set) =
            prepared.split_whitespace().find(|word| word.contains(":changeSet/"))
        else {
            // There is nothing to change.
            return Ok(());
        };
        self.run(["cloudformation", "execute-change-set", "--change-set-name", change_set])?;
        let status = self.settled(stack)?;
        if !matches!(status.as_str(), "CREATE_COMPLETE" | "UPDATE_COMPLETE") {
            let reasons = self.failures_of(stack).join("\n  ");
            bail!("failed to deploy stack `{stack}`: {status}\n  {reasons}");
        }
        Ok(())
    }

    /// Returns the status of a stack once nothing in it changes any more.
    fn settled(&self, stack: &str) -> Result<String> {
        let deadline = Instant::now() + TIME_TO_SETTLE;
        loop {
            let status =
                match self.json(["cloudformation", "describe-stacks", "--stack-name", stack]) {
                    Ok(found) => found["Stacks"][0]["StackStatus"].as_str().map(str::to_owned),
                    Err(error) if format!("{error:#}").contains("does not exist") => {
                        Some("DELETE_COMPLETE".to_owned())
                    }
                    Err(error) => return Err(error),
                };
            let status = status.with_context(|| format!("stack `{stack}` has no status"))?;
            if !status.ends_with("_IN_PROGRESS") {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("stack `{stack}` is still `{status}`");
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Returns what failed in a stack, and why, oldest first.
    pub fn failures_of(&self, stack: &str) -> Vec<String> {
        let events = ["cloudformation", "describe-stack-events", "--stack-name", stack];
        let Ok(found) = self.json(events) else { return Vec::new() };
        let events = found["StackEvents"].as_array().cloned().unwrap_or_default();
        let failures = events.iter().rev().filter_map(|event| {
            let status = event["ResourceStatus"].as_str().filter(|s| s.ends_with("FAILED"))?;
            let (id, reason) = (&event["LogicalResourceId"], &event["ResourceStatusReason"]);
            Some(format!("{id} {status}: {reason}"))
        });
        failures.collect()
    }

    /// Uploads an object from a file with the command line.
    pub fn upload(&self, file: &Path, url: &str) -> Result<()> {
        self.run([OsStr::new("s3"), "cp".as_ref(), file.as_os_str(), url.as_ref()])?;
        Ok(())
    }

    /// Returns the messages of a log group, oldest first, or none if there is no such group.
    pub fn log_lines(&self, group: &str, stream: Option<&str>) -> Vec<String> {
        let mut arguments = vec!["logs", "filter-log-events", "--log-group-name", group];
        if let Some(stream) = stream {
            arguments.extend(["--log-stream-names", stream]);
        }
        let Ok(found) = self.json(arguments) else { return Vec::new() };
        let events = found["events"].as_array().cloned().unwrap_or_default();
        let text = |event: &Value| event["message"].as_str().map(|m| m.trim_end().to_owned());
        events.iter().filter_map(text).collect()
    }
}
