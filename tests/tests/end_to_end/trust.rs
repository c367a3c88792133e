//! Whom the deployed roles trust: each principal that might try calls STS.

use anyhow::{Result, ensure};
use landfall_tests::aws_cli::AwsCli;
use landfall_tests::cloud::{ANALYTICS_ARTIFACTS, EXTERNAL_ID};
use landfall_tests::{ANALYTICS, DATA};
use serde_json::{Value, json};

use crate::caller::{Caller, role};
use crate::stage::Stage;

pub fn the_starter_role_admits_trigger_and_monitor_with_the_external_id_and_nobody_else(
    stage: &Stage,
) -> Result<()> {
    let cloud = &stage.cloud;
    let data = &cloud.data.cli;
    let starter = format!("arn:aws:iam::{ANALYTICS}:role/landfall/landfall-starter");
    for name in ["landfall-trigger", "landfall-monitor"] {
        // The emulator lets root act as any role that a service may assume. So this acts as the
        // function does in Lambda.
        let function = Caller::of(data, &role(DATA, name))?;
        ensure!(function.may_assume(&starter, Some(EXTERNAL_ID))?, "`{name}` is refused");
        let admits_another = function.may_assume(&starter, Some("another"))?;
        ensure!(!admits_another, "`{name}` is admitted with a wrong external ID");
        ensure!(
            !function.may_assume(&starter, None)?,
            "`{name}` is admitted without an external ID"
        );
    }

    create_role(data, "trust-bystander", DATA)?;
    let bystander = Caller::of(data, &role(DATA, "trust-bystander"))?;
    create_role(&cloud.analytics.cli, "trust-open", DATA)?;
    let open = role(ANALYTICS, "trust-open");
    ensure!(bystander.may_assume(&open, None)?, "its own policy, not trust, stops the bystander");
    ensure!(!bystander.may_assume(&starter, Some(EXTERNAL_ID))?, "another role is admitted");
    let root = Caller::root(data);
    ensure!(!root.may_assume(&starter, Some(EXTERNAL_ID))?, "the account's root is admitted");
    Ok(())
}

pub fn the_reader_role_admits_the_job_role_and_nobody_else(stage: &Stage) -> Result<()> {
    let cloud = &stage.cloud;
    let analytics = &cloud.analytics.cli;
    let reader = format!("arn:aws:iam::{DATA}:role/landfall/landfall-reader-{ANALYTICS}");
    let job = Caller::of(analytics, &role(ANALYTICS, "landfall/landfall-job"))?;
    ensure!(job.may_assume(&reader, None)?, "the job role is refused");

    create_role(analytics, "trust-neighbour", ANALYTICS)?;
    let neighbour = Caller::of(analytics, &role(ANALYTICS, "trust-neighbour"))?;
    create_role(&cloud.data.cli, "trust-readable", ANALYTICS)?;
    let open = role(DATA, "trust-readable");
    ensure!(neighbour.may_assume(&open, None)?, "its own policy, not trust, stops the neighbour");
    ensure!(!neighbour.may_assume(&reader, None)?, "another role is admitted");
    let root = Caller::root(analytics);
    ensure!(!root.may_assume(&reader, None)?, "the account's root is admitted");
    Ok(())
}

pub fn trust_holds_before_the_trusted_role_exists_and_after_it_is_created_again(
    stage: &Stage,
) -> Result<()> {
    let cloud = &stage.cloud;
    let parameters = [
        ("NamePrefix", "landfall-second"),
        ("DataNamePrefix", "second"),
        ("JobName", "second"),
        ("OutputBucketName", "acme-second"),
        ("DataAccountId", DATA),
        ("ExternalId", EXTERNAL_ID),
        ("ArtifactBucketName", ANALYTICS_ARTIFACTS),
    ];
    let deploying = &cloud.analytics.cli;
    deploying.deploy("second", "analytics-account.yaml", ANALYTICS_ARTIFACTS, &parameters)?;
    let data = &cloud.data.cli;
    for when in ["at first", "created again"] {
        create_role(data, "second-trigger", DATA)?;
        let trigger = Caller::of(data, &role(DATA, "second-trigger"))?;
        let starter = role(ANALYTICS, "landfall/landfall-second-starter");
        ensure!(trigger.may_assume(&starter, Some(EXTERNAL_ID))?, "the trigger is refused {when}");
        let name = ["--role-name", "second-trigger"];
        data.run([&["iam", "delete-role-policy", "--policy-name", "all"][..], &name].concat())?;
        data.run([&["iam", "delete-role"][..], &name].concat())?;
    }
    Ok(())
}

/// Creates a role that the account `trusted` may assume, and that may itself assume any role that
/// trusts it.
fn create_role(cli: &AwsCli, name: &str, trusted: &str) -> Result<()> {
    let policy =
        |statement: Value| json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
    let trust = policy(json!({
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "AWS": format!("arn:aws:iam::{trusted}:root") },
    }));
    let may = policy(json!({ "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*" }));
    let name = ["--role-name", name];
    let create = ["iam", "create-role", "--assume-role-policy-document", &trust];
    cli.run([&create[..], &name].concat())?;
    let put = ["iam", "put-role-policy", "--policy-name", "all", "--policy-document", &may];
    cli.run([&put[..], &name].concat())?;
    Ok(())
}
