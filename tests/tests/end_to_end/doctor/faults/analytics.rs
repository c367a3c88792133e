//! Faults of the analytics account.

use anyhow::{Context, Result};
use landfall_tests::ANALYTICS;
use landfall_tests::cloud::{JOB, LocalCloud};
use serde_json::{Value, json};

use super::{Fault, Mend, keep, kept, staged};

const STARTER: &str = "landfall-starter";
const GET_STARTER: [&str; 4] = ["iam", "get-role", "--role-name", STARTER];
const RULE_OF_RUNS: &str = "landfall-job-state";
const BRAKE: &str = "AWSRevokeOlderSessions";

pub(super) const FAULTS: [Fault; 18] = [
    Fault {
        problem: "job_missing",
        breaks: |cloud| {
            let cli = &cloud.analytics.cli;
            let found = cli.json(["glue", "get-job", "--job-name", JOB])?;
            cloud.stage("job.json", &found["Job"].to_string())?;
            cli.run(["glue", "delete-job", "--job-name", JOB]).map(drop)
        },
        mend: Mend::By(create_the_job_again),
    },
    Fault {
        problem: "job_max_retries",
        breaks: |cloud| update_job(cloud, |job| job["MaxRetries"] = 1.into()),
        mend: Mend::By(|cloud| update_job(cloud, |job| job["MaxRetries"] = 0.into())),
    },
    Fault {
        problem: "script_missing",
        breaks: |cloud| {
            let script = script(cloud)?;
            let cli = &cloud.analytics.cli;
            cli.run(["s3", "mv", &script, &format!("{script}.away")]).map(drop)
        },
        mend: Mend::By(|cloud| {
            let script = script(cloud)?;
            let cli = &cloud.analytics.cli;
            cli.run(["s3", "mv", &format!("{script}.away"), &script]).map(drop)
        }),
    },
    Fault {
        problem: "rule_of_runs_disabled",
        breaks: |cloud| {
            let disable = ["events", "disable-rule", "--name", RULE_OF_RUNS];
            cloud.analytics.cli.run(disable).map(drop)
        },
        mend: Mend::AsPrinted,
    },
    Fault {
        problem: "role_narrower",
        breaks: |cloud| {
            let cli = &cloud.analytics.cli;
            let role = ["--role-name", STARTER];
            let policies = cli.json([&["iam", "list-role-policies"], &role[..]].concat())?;
            let name = policies["PolicyNames"][0].as_str().context("no policy")?;
            let policy = [&role[..], &["--policy-name", name]].concat();
            let found = cli.json([&["iam", "get-role-policy"], &policy[..]].concat())?;
            cloud.stage("policy.json", &found["PolicyDocument"].to_string())?;
            cloud.stage("policy-name", name)?;
            cli.run([&["iam", "delete-role-policy"], &policy[..]].concat()).map(drop)
        },
        mend: Mend::By(|cloud| {
            let name = staged(cloud, "policy-name")?;
            let put = ["iam", "put-role-policy", "--role-name", STARTER, "--policy-name", &name];
            let put = [&put[..], &["--policy-document", "file://policy.json"]].concat();
            cloud.analytics.cli.run(put).map(drop)
        }),
    },
    Fault {
        problem: "rule_target_gone",
        breaks: |cloud| keep_rule(cloud).and_then(|()| remove_targets(cloud)),
        mend: Mend::By(put_rule_back),
    },
    Fault {
        problem: "rule_missing",
        breaks: |cloud| {
            keep_rule(cloud)?;
            remove_targets(cloud)?;
            let delete = ["events", "delete-rule", "--name", RULE_OF_RUNS];
            cloud.analytics.cli.run(delete).map(drop)
        },
        mend: Mend::By(put_rule_back),
    },
    Fault {
        problem: "rule_lacks_job",
        breaks: |cloud| {
            keep_rule(cloud)?;
            let pattern = staged(cloud, "pattern.json")?.replace(JOB, "another-job");
            put_rule(cloud, &pattern)
        },
        mend: Mend::By(put_rule_back),
    },
    Fault {
        problem: "role_wider",
        breaks: |cloud| {
            let more = json!({ "Version": "2012-10-17", "Statement": [
                { "Effect": "Allow", "Action": "glue:*", "Resource": "*" }] });
            put_policy_of_starter(cloud, "more", &more)
        },
        mend: Mend::By(|cloud| delete_policy_of_starter(cloud, "more")),
    },
    Fault {
        problem: "role_changed",
        breaks: |cloud| {
            let found = keep(cloud, "role.json", &cloud.analytics.cli, &GET_STARTER)?;
            let trust = found["Role"]["AssumeRolePolicyDocument"].to_string();
            trust_of_starter(cloud, &trust.replace("landfall-trigger", "somebody-else"))
        },
        mend: Mend::By(|cloud| {
            let found = kept(cloud, "role.json")?;
            trust_of_starter(cloud, &found["Role"]["AssumeRolePolicyDocument"].to_string())
        }),
    },
    Fault {
        problem: "boundary_missing",
        breaks: |cloud| {
            keep(cloud, "role.json", &cloud.analytics.cli, &GET_STARTER)?;
            let delete = ["iam", "delete-role-permissions-boundary", "--role-name", STARTER];
            cloud.analytics.cli.run(delete).map(drop)
        },
        mend: Mend::By(put_boundary_back),
    },
    Fault {
        problem: "boundary_other",
        breaks: |cloud| {
            keep(cloud, "role.json", &cloud.analytics.cli, &GET_STARTER)?;
            put_boundary(cloud, "arn:aws:iam::aws:policy/PowerUserAccess")
        },
        mend: Mend::By(put_boundary_back),
    },
    Fault {
        problem: "role_not_ours",
        breaks: |cloud| {
            let found = keep(cloud, "role.json", &cloud.analytics.cli, &GET_STARTER)?;
            let tags = found["Role"]["Tags"].as_array().context("no tags")?;
            let keys = tags.iter().filter_map(|tag| tag["Key"].as_str());
            let keys: Vec<&str> = keys.filter(|key| key.starts_with("landfall:")).collect();
            let untag = ["iam", "untag-role", "--role-name", STARTER, "--tag-keys"];
            cloud.analytics.cli.run([&untag[..], &keys].concat()).map(drop)
        },
        mend: Mend::By(|cloud| {
            let tags = kept(cloud, "role.json")?["Role"]["Tags"].to_string();
            let tag = ["iam", "tag-role", "--role-name", STARTER, "--tags", &tags];
            cloud.analytics.cli.run(tag).map(drop)
        }),
    },
    Fault {
        problem: "role_details_differ",
        breaks: |cloud| {
            keep(cloud, "role.json", &cloud.analytics.cli, &GET_STARTER)?;
            describe_starter(cloud, "Mine")
        },
        mend: Mend::By(|cloud| {
            let found = kept(cloud, "role.json")?;
            describe_starter(cloud, found["Role"]["Description"].as_str().unwrap_or_default())
        }),
    },
    Fault {
        problem: "session_revoked",
        breaks: |cloud| {
            // As IAM's console writes it.
            let revoke = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Deny", "Action": ["*"],
                "Resource": ["*"],
                "Condition": { "DateLessThan": { "aws:TokenIssueTime": "2026-01-31T12:00:00.000Z" } } }] });
            put_policy_of_starter(cloud, BRAKE, &revoke)
        },
        mend: Mend::By(|cloud| delete_policy_of_starter(cloud, BRAKE)),
    },
    Fault {
        problem: "job_role_missing",
        breaks: |cloud| has_role(cloud, "nobody"),
        mend: Mend::By(has_role_as_before),
    },
    Fault {
        problem: "job_role_distrusts_glue",
        breaks: |cloud| {
            create_role(cloud, "of-ec2", "ec2.amazonaws.com")?;
            has_role(cloud, "of-ec2")
        },
        mend: Mend::By(has_role_as_before),
    },
    Fault {
        problem: "reader_does_not_admit_job_role",
        breaks: |cloud| {
            create_role(cloud, "of-another-team", "glue.amazonaws.com")?;
            has_role(cloud, "of-another-team")
        },
        mend: Mend::By(has_role_as_before),
    },
];

/// Returns the URI of the job's script.
fn script(cloud: &LocalCloud) -> Result<String> {
    let found = cloud.analytics.cli.json(["glue", "get-job", "--job-name", JOB])?;
    let script = found["Job"]["Command"]["ScriptLocation"].as_str();
    script.map(str::to_owned).context("the job has no script")
}

fn update_job(cloud: &LocalCloud, change: impl Fn(&mut Value)) -> Result<()> {
    let cli = &cloud.analytics.cli;
    let found = cli.json(["glue", "get-job", "--job-name", JOB])?;
    let mut update = settings(&found["Job"]);
    change(&mut update);
    let update = update.to_string();
    cli.run(["glue", "update-job", "--job-name", JOB, "--job-update", &update]).map(drop)
}

/// Returns what a job is made of.
fn settings(job: &Value) -> Value {
    json!({
        "Role": job["Role"],
        "Command": job["Command"],
        "DefaultArguments": job["DefaultArguments"],
        "MaxRetries": job["MaxRetries"],
        "ExecutionProperty": job["ExecutionProperty"],
    })
}

fn create_the_job_again(cloud: &LocalCloud) -> Result<()> {
    let job: Value = serde_json::from_str(&staged(cloud, "job.json")?)?;
    let mut input = settings(&job);
    input["Name"] = JOB.into();
    let create = ["glue", "create-job", "--cli-input-json", &input.to_string()];
    cloud.analytics.cli.run(create).map(drop)
}

/// Keeps the rule that reports ended runs, for [`put_rule_back`].
fn keep_rule(cloud: &LocalCloud) -> Result<()> {
    let cli = &cloud.analytics.cli;
    let targets = cli.json(["events", "list-targets-by-rule", "--rule", RULE_OF_RUNS])?;
    cloud.stage("targets.json", &targets["Targets"].to_string())?;
    let rule = cli.json(["events", "describe-rule", "--name", RULE_OF_RUNS])?;
    cloud.stage("pattern.json", rule["EventPattern"].as_str().context("no pattern")?)
}

fn put_rule_back(cloud: &LocalCloud) -> Result<()> {
    put_rule(cloud, &staged(cloud, "pattern.json")?)?;
    let targets = staged(cloud, "targets.json")?;
    let put = ["events", "put-targets", "--rule", RULE_OF_RUNS, "--targets", &targets];
    cloud.analytics.cli.run(put).map(drop)
}

fn put_rule(cloud: &LocalCloud, pattern: &str) -> Result<()> {
    let put = ["events", "put-rule", "--name", RULE_OF_RUNS, "--event-pattern", pattern];
    cloud.analytics.cli.run(put).map(drop)
}

fn remove_targets(cloud: &LocalCloud) -> Result<()> {
    let targets = kept(cloud, "targets.json")?;
    let ids = targets.as_array().into_iter().flatten().filter_map(|target| target["Id"].as_str());
    let remove = ["events", "remove-targets", "--rule", RULE_OF_RUNS, "--ids"];
    cloud.analytics.cli.run(remove.into_iter().chain(ids).collect::<Vec<_>>()).map(drop)
}

fn put_policy_of_starter(cloud: &LocalCloud, name: &str, document: &Value) -> Result<()> {
    let put = ["iam", "put-role-policy", "--role-name", STARTER, "--policy-name", name];
    let document = document.to_string();
    let put = [&put[..], &["--policy-document", &document]].concat();
    cloud.analytics.cli.run(put).map(drop)
}

fn delete_policy_of_starter(cloud: &LocalCloud, name: &str) -> Result<()> {
    let delete = ["iam", "delete-role-policy", "--role-name", STARTER, "--policy-name", name];
    cloud.analytics.cli.run(delete).map(drop)
}

fn trust_of_starter(cloud: &LocalCloud, document: &str) -> Result<()> {
    let update = ["iam", "update-assume-role-policy", "--role-name", STARTER];
    cloud.analytics.cli.run([&update[..], &["--policy-document", document]].concat()).map(drop)
}

fn put_boundary(cloud: &LocalCloud, arn: &str) -> Result<()> {
    let put = ["iam", "put-role-permissions-boundary", "--role-name", STARTER];
    cloud.analytics.cli.run([&put[..], &["--permissions-boundary", arn]].concat()).map(drop)
}

fn put_boundary_back(cloud: &LocalCloud) -> Result<()> {
    let found = kept(cloud, "role.json")?;
    let boundary = &found["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"];
    put_boundary(cloud, boundary.as_str().context("the role had no boundary")?)
}

fn describe_starter(cloud: &LocalCloud, description: &str) -> Result<()> {
    let update = ["iam", "update-role", "--role-name", STARTER, "--description", description];
    cloud.analytics.cli.run(update).map(drop)
}

/// Gives the job a role of this name, which may be there or not.
fn has_role(cloud: &LocalCloud, name: &str) -> Result<()> {
    let found = cloud.analytics.cli.json(["glue", "get-job", "--job-name", JOB])?;
    cloud.stage("role", found["Job"]["Role"].as_str().context("the job has no role")?)?;
    let role = format!("arn:aws:iam::{ANALYTICS}:role/{name}");
    update_job(cloud, |job| job["Role"] = role.as_str().into())
}

fn has_role_as_before(cloud: &LocalCloud) -> Result<()> {
    let role = staged(cloud, "role")?;
    update_job(cloud, |job| job["Role"] = role.as_str().into())
}

fn create_role(cloud: &LocalCloud, name: &str, service: &str) -> Result<()> {
    let trust = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": { "Service": service } }] });
    let create = ["iam", "create-role", "--role-name", name];
    let trust = ["--assume-role-policy-document", &trust.to_string()];
    cloud.analytics.cli.run([&create[..], &trust].concat()).map(drop)
}
