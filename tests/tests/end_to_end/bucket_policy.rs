//! A bucket's policy as a custom resource, in a bucket whose policy others have statements in.
//!
//! The emulator's bucket policies admit whole accounts only, and know no condition on a role. The
//! IAM engine judges who gets in: see `tests/tests/policies/access.rs`.

use anyhow::{Context, Result, ensure};
use aws_sdk_s3::error::ProvideErrorMetadata;
use landfall_tests::{ANALYTICS, DATA, REGION};
use serde_json::{Value, json};

use crate::stage::Stage;

/// The parameters of the stage's provisioner name this bucket.
const BUCKET: &str = "acme-by-policy";

pub fn statements_of_others_survive_ours_in_every_change(stage: &Stage) -> Result<()> {
    let cloud = &stage.cloud;
    let stacks = &cloud.data.stacks;
    cloud.wait(async {
        let s3 = &cloud.data.s3;
        s3.create_bucket().bucket(BUCKET).send().await?;
        s3.put_bucket_policy().bucket(BUCKET).policy(theirs().to_string()).send().await?;
        let before = statements(stage).await?.context("the policy that was put")?;

        let created = stacks.create("by-policy", &template("in/{file}.csv", "plain-job")).await?;
        created.expect("CREATE_COMPLETE")?;
        let (kept, ours) = take_ours(statements(stage).await?);
        ensure!(kept == before, "the statements of others were {before:?}, and are {kept:?}");
        ensure!(ours.contains("acme-by-policy/in/*") && ours.contains("role/plain-job"), "{ours}");

        let updated = stacks.update("by-policy", &template("new/{file}", "other-job")).await?;
        updated.expect("UPDATE_COMPLETE")?;
        let (kept, ours) = take_ours(statements(stage).await?);
        ensure!(kept == before, "the statements of others were {before:?}, and are {kept:?}");
        ensure!(ours.contains("acme-by-policy/new/*") && ours.contains("role/other-job"), "{ours}");
        ensure!(!ours.contains("/in/*") && !ours.contains("plain-job"), "{ours}");

        // No provisioner has this bucket among its parameters, so it changes nothing, and the stack rolls back.
        let wrong = template("new/{file}", "other-job").replace(BUCKET, "acme-not-named");
        let updated = stacks.update("by-policy", &wrong).await?;
        let outcome = updated.expect("UPDATE_ROLLBACK_COMPLETE")?;
        let said = outcome.failures.concat();
        ensure!(said.contains("may not change the policy of bucket `acme-not-named`"), "{said}");
        let (kept, again) = take_ours(statements(stage).await?);
        ensure!(kept == before && again == ours, "{kept:?} {again}");

        stacks.delete("by-policy").await?.expect("DELETE_COMPLETE")?;
        let after = statements(stage).await?.context("the policy of others is gone")?;
        ensure!(after == before, "the statements were {before:?}, and are {after:?}");

        // A policy that has only our statements goes with them.
        s3.delete_bucket_policy().bucket(BUCKET).send().await?;
        let created = stacks.create("by-policy-2", &template("in/{file}.csv", "plain-job")).await?;
        created.expect("CREATE_COMPLETE")?;
        let (kept, ours) = take_ours(statements(stage).await?);
        ensure!(kept.is_empty() && !ours.is_empty(), "{kept:?} {ours}");
        stacks.delete("by-policy-2").await?.expect("DELETE_COMPLETE")?;
        ensure!(statements(stage).await?.is_none(), "there is still a policy");
        Ok(())
    })
}

/// Somebody else's policy, which takes nothing from anybody in these tests.
fn theirs() -> Value {
    let statement = |sid: &str, prefix: &str| {
        json!({ "Sid": sid, "Effect": "Allow", "Action": "s3:GetObject",
            "Principal": { "AWS": format!("arn:aws:iam::{ANALYTICS}:root") },
            "Resource": format!("arn:aws:s3:::{BUCKET}/{prefix}/*") })
    };
    let statements = [statement("Theirs", "theirs"), statement("Another", "another")];
    json!({ "Version": "2012-10-17", "Id": "theirs", "Statement": statements })
}

fn template(key: &str, role: &str) -> String {
    let properties = json!({
        "ServiceToken": format!("arn:aws:lambda:{REGION}:{DATA}:function:landfall-provisioner"),
        "ServiceTimeout": 60,
        "JobRoleArns": [format!("arn:aws:iam::{ANALYTICS}:role/{role}")],
        "KmsKeyArns": [],
        "Routes": {
            "version": 1,
            "targets": { "there": { "account": ANALYTICS, "region": REGION,
                "starter_role": "landfall/landfall-starter", "external_id": "${X}" } },
            "routes": [{ "name": "r", "bucket": BUCKET, "key": key,
                "start": { "target": "there", "job": "flood", "access": "bucket_policy" } }],
        },
    });
    let access = json!({ "Type": "Custom::LandfallBucketAccess", "Properties": properties });
    json!({ "Resources": { "Access": access } }).to_string()
}

/// Returns the statements of the bucket's policy, or `None` if it has none.
async fn statements(stage: &Stage) -> Result<Option<Vec<Value>>> {
    let found = stage.cloud.data.s3.get_bucket_policy().bucket(BUCKET).send().await;
    let text = match found {
        Ok(found) => found.policy.context("a policy without a text")?,
        Err(error) if error.code() == Some("NoSuchBucketPolicy") => return Ok(None),
        Err(error) => return Err(error).context("failed to read the bucket's policy"),
    };
    let policy: Value = serde_json::from_str(&text)?;
    Ok(Some(policy["Statement"].as_array().cloned().context("no list of statements")?))
}

/// Separates the statements of others from ours, which are returned as one text.
fn take_ours(statements: Option<Vec<Value>>) -> (Vec<Value>, String) {
    let is_ours = |statement: &Value| {
        statement["Sid"].as_str().is_some_and(|sid| sid.starts_with("LandfallAccess"))
    };
    let (ours, others): (Vec<_>, Vec<_>) =
        statements.unwrap_or_default().into_iter().partition(is_ours);
    (others, ours.iter().map(Value::to_string).collect())
}
