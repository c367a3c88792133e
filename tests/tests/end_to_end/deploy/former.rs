//! Batches of the previous version in a ledger that a new stack takes in.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use landfall_aws::clock::moment;
use landfall_aws::ledger::Ledger;
use landfall_core::batch::{Closing, Draft};
use landfall_provisioning::iam::observe;
use landfall_tests::{ANALYTICS, DATA};

use super::Deployment;
use crate::faults;
use crate::ledger::start;
use crate::stage::{A_CALL, Stage};

const PREFIX: &str = "former";

/// The note of `landfall deploy` as long as former batches are admitted.
const NOTE: &str = "landfall batches --former --table former-ledger";

pub fn a_new_stack_admits_former_batches_if_its_ledger_has_any_until_it_is_told_not_to(
    stage: &Stage,
) -> Result<()> {
    let deployment = Deployment::new(stage, PREFIX)?;
    let deployed = deployment.deploy(&["--yes"])?.expect(0)?;
    ensure!(
        !deployed.stderr.contains(NOTE),
        "the note appears without former batches: {deployed:?}"
    );
    let reaches = || -> Result<bool> {
        let name = format!("{PREFIX}-reader-{ANALYTICS}");
        let reader = observe(&stage.cloud.data.iam, &name);
        let reader = stage.cloud.wait(reader)?.context("there is no reader role")?;
        let policies: Vec<String> =
            reader.policies.values().flatten().map(|p| p.to_json()).collect();
        let policies = policies.concat();
        ensure!(policies.contains(&format!(r#"{{"dynamodb:LeadingKeys":["{ANALYTICS}-*""#)));
        Ok(policies.contains(&"?".repeat(32)))
    };
    ensure!(!reaches()?, "a new stack admits former batches");
    write_former(stage)?;
    let destroyed = deployment.run("destroy", |command| {
        command.arg("--yes");
    })?;
    destroyed.expect(0)?;
    let again = deployment.deploy(&["--yes"])?.expect(0)?;
    ensure!(
        again.stderr.contains(NOTE) && reaches()?,
        "the former batch is not admitted: {again:?}"
    );
    // This stays so, and every deployment repeats the note, until somebody decides otherwise.
    let same = deployment.deploy(&["--yes"])?.expect(0)?;
    ensure!(same.stderr.contains(NOTE) && reaches()?, "{same:?}");
    let options = ["--yes", "--parameter", "data:AdmitsFormerBatches=false"];
    let after = deployment.deploy(&options)?.expect(0)?;
    ensure!(!after.stderr.contains(NOTE) && !reaches()?, "{after:?}");
    Ok(())
}

/// Writes a batch that waits for its start and has an ID that names no account.
fn write_former(stage: &Stage) -> Result<()> {
    let config = faults::config(stage.cloud.emulator.endpoint(), DATA, A_CALL);
    let client = aws_sdk_dynamodb::Client::new(&config);
    let day = Duration::from_secs(86_400);
    let ledger = Ledger::new(client, format!("{PREFIX}-ledger"), day);
    let moment = moment(SystemTime::now() + day);
    let id = "899bfd94d19c4ed05147d6815125b225".to_owned();
    let draft = Draft {
        route: "orders".to_owned(),
        bucket: "acme-former".to_owned(),
        group: BTreeMap::new(),
        start: start(),
        closing: Closing::default(),
        listing: None,
        members: Vec::new(),
        markers: Vec::new(),
    };
    // The deployment has no functions that would take the batch up.
    let batch = draft.batch(id, &moment).with(1, false, false, &moment);
    stage.cloud.wait(async {
        ledger.write(batch).await?.context("the batch already exists")?;
        Ok(())
    })
}
