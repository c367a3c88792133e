//! The stack in IAM's region that forwards IAM's events to an auditor elsewhere. The local cloud delivers no event to another
//! region, so this shows the stack only: that it is planned, can be made, and goes.

use anyhow::{Context, Result, ensure};
use landfall_tests::cloud::DATA_ARTIFACTS;
use landfall_tests::{DATA, REGION, root};

use crate::deploy::Deployment;
use crate::stage::Stage;

const PREFIX: &str = "abroad";
const HOME: &str = "eu-west-1";

pub fn an_auditor_outside_iams_region_has_iams_events_forwarded_until_it_is_destroyed(
    stage: &Stage,
) -> Result<()> {
    let deployment = Deployment::new(stage, PREFIX)?;
    let planned = |more: &[&str]| {
        let options = [&["--dry-run", "--region", HOME][..], more].concat();
        deployment.deploy(&options)?.expect(0)
    };
    let shown = planned(&[])?;
    for expected in [
        "stack abroad-iam-events in the data account (111111111111, us-east-1) would be created",
        "stack abroad-iam-events in the analytics account (222222222222, us-east-1) would be created",
        "  HomeRegion = eu-west-1\n",
        "  NamePrefix = abroad\n",
    ] {
        ensure!(shown.stdout.contains(expected), "`{expected}` is not shown: {shown:?}");
    }
    for shown in [
        planned(&["--without-iam-events"])?,
        planned(&["--without-auditor"])?,
        deployment.deploy(&["--dry-run"])?.expect(0)?,
    ] {
        ensure!(!shown.stdout.contains("iam-events"), "it isn't left out: {shown:?}");
    }

    let cli = &stage.cloud.data.cli;
    let staged = stage.cloud.emulator.folder().join("iam-events.yaml");
    std::fs::copy(root().join("infra/iam-events.yaml"), &staged)?;
    let template = staged.to_str().context("a path")?;
    let parameters = [("NamePrefix", PREFIX), ("HomeRegion", HOME)];
    cli.deploy("abroad-iam-events", template, DATA_ARTIFACTS, &parameters)?;
    let rule = ["events", "list-targets-by-rule", "--rule", "abroad-iam-events"];
    let target = cli.json(rule)?["Targets"][0].clone();
    ensure!(
        target["Arn"] == format!("arn:aws:events:{HOME}:{DATA}:event-bus/default"),
        "the rule has another target in {REGION}: {target}"
    );

    let destroyed = deployment.run("destroy", |command| {
        command.args(["--yes", "--region", HOME]);
    })?;
    let destroyed = destroyed.expect(0)?;
    ensure!(destroyed.stdout.contains("stack abroad-iam-events in account"), "{destroyed:?}");
    let left = cli.run(["events", "list-rules"])?;
    ensure!(!left.contains(PREFIX), "the rule outlived its stack: {left}");
    Ok(())
}
