//! Routes that move to another bucket, and to one that the data account doesn't have.

use anyhow::{Result, ensure};
use landfall_tests::cloud::{has_ended, wait_until};

use crate::deploy::Deployment;
use crate::stage::{SOON, Stage, assert_succeeded, csv};
use crate::upgrade::real_functions;

const PREFIX: &str = "moved";
const JOB: &str = "moved-job";
const BUCKET: &str = "acme-moved";

pub fn a_change_to_a_bucket_of_another_account_is_taken_back_and_silences_none(
    stage: &Stage,
) -> Result<()> {
    let cloud = &stage.cloud;
    let deployment = Deployment::new(stage, PREFIX)?;
    real_functions(&cloud.emulator.folder().join("stage"), &deployment.package)?;
    deployment.deploy(&["--yes"])?.expect(0)?;
    starts_a_run(stage, BUCKET, 1)?;

    let (others, next) = ("acme-moved-others", "acme-moved-next");
    cloud.analytics.cli.make_bucket(others)?;
    deployment.write_routes_of(others, &[JOB])?;
    let failed = deployment.deploy(&["--yes"])?.expect(1)?;
    let last = failed.stderr.lines().last().unwrap_or_default();
    for expected in
        ["UPDATE_ROLLBACK_COMPLETE", "Notifications (Custom::", others, "no bucket of account"]
    {
        ensure!(last.contains(expected), "`{expected}` is not shown: {failed:?}");
    }
    starts_a_run(stage, BUCKET, 2)?;

    cloud.data.cli.make_bucket(next)?;
    deployment.write_routes_of(next, &[JOB])?;
    deployment.deploy(&["--yes"])?.expect(0)?;
    starts_a_run(stage, next, 3)
}

/// Puts a file into `bucket`, and waits until a run that has it succeeds.
fn starts_a_run(stage: &Stage, bucket: &str, number: usize) -> Result<()> {
    let cloud = &stage.cloud;
    cloud.wait(async {
        cloud.put(bucket, &format!("{JOB}/{number}.csv"), csv(number)).await?;
        let what = format!("no run has the object that landed in `{bucket}`");
        let runs = wait_until(&what, 2 * SOON, async || {
            let runs = cloud.runs(JOB).await?;
            Ok(Some(runs).filter(|runs| runs.len() >= number && runs.iter().all(has_ended)))
        });
        runs.await?.iter().try_for_each(assert_succeeded)
    })
}
