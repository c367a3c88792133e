//! Policies that others put on the provisioner's roles: Landfall removes those that grant something
//! and keeps those that only deny. The function runs in this process, against the emulator.

use anyhow::{Context as _, Result, ensure};
use landfall_core::roles::Observed;
use serde_json::{Value, json};

use crate::faults::{Life, PLENTY};
use crate::lifecycle::{properties, role};
use crate::stage::Stage;

const REVOKED: &str = "AWSRevokeOlderSessions";

/// Returns the policy that IAM writes for "Revoke active sessions".
fn revocation() -> Value {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Deny", "Action": ["*"], "Resource": ["*"],
        "Condition": { "DateLessThan": { "aws:TokenIssueTime": "2026-11-01T00:00:00Z" } } }] })
}

fn document(effect: &str) -> String {
    json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": effect, "Action": "s3:*", "Resource": "*" }] })
    .to_string()
}

pub fn a_policy_that_only_denies_survives_updates_and_goes_along_with_a_replacement(
    stage: &Stage,
) -> Result<()> {
    let (first, second) = ("landfall-braked", "landfall-braked-two");
    let iam = &stage.cloud.analytics.iam;
    stage.cloud.wait(async {
        let mut life = Life::new(stage, first, PLENTY).await?;
        let made = life.answer("create", "Create", None).await?;
        ensure!(made["Status"] == "SUCCESS", "{made}");
        let id = made["PhysicalResourceId"].as_str().context("no id")?.to_owned();

        let put = |name: &str, document: String| {
            iam.put_role_policy().role_name(first).policy_name(name).policy_document(document)
        };
        put(REVOKED, revocation().to_string()).send().await?;
        put("grants", document("Allow")).send().await?;
        let mut arns = Vec::new();
        for effect in ["Deny", "Allow"] {
            let name = format!("braked-{}", effect.to_lowercase());
            let create = iam.create_policy().policy_name(&name).policy_document(document(effect));
            let arn =
                create.send().await?.policy.and_then(|policy| policy.arn).context("no ARN")?;
            iam.attach_role_policy().role_name(first).policy_arn(&arn).send().await?;
            arns.push(arn);
        }

        let old = life.properties.clone();
        life.properties = properties(first, "two");
        let mut update = life.request("update", "Update", Some(&id));
        update["OldResourceProperties"] = old;
        let updated = life.answer_to("update", &update).await?;
        ensure!(updated["Status"] == "SUCCESS", "{updated}");
        let notes = updated["Data"]["Notes"].as_str().unwrap_or_default();
        ensure!(notes.contains(REVOKED) && notes.contains(&arns[0]), "the notes are: `{notes}`");
        ensure!(!notes.contains("grants") && !notes.contains(&arns[1]), "the notes are: `{notes}`");
        let there = role(stage, first).await?.context("there is no role")?;
        ensure!(names(&there) == [REVOKED, "landfall"], "inline: {:?}", there.policies);
        let attached: Vec<&String> = there.attached.keys().collect();
        ensure!(attached == [&arns[0]], "attached: {attached:?}");

        let old = life.properties.clone();
        life.properties = properties(second, "two");
        let mut replace = life.request("replace", "Update", Some(&id));
        replace["OldResourceProperties"] = old.clone();
        let replaced = life.answer_to("replace", &replace).await?;
        ensure!(replaced["Status"] == "SUCCESS", "{replaced}");
        let notes = replaced["Data"]["Notes"].as_str().unwrap_or_default();
        ensure!(
            notes.contains("taken along from role `landfall-braked`"),
            "the notes are: `{notes}`"
        );
        let there = role(stage, second).await?.context("there is no role")?;
        ensure!(names(&there) == [REVOKED, "braked-deny", "landfall"], "{:?}", there.policies);
        let own = landfall_core::policy::Document::parse(&revocation().to_string());
        ensure!(there.policies[REVOKED] == own, "another document: {:?}", there.policies);

        // First the clean-up, then the deletion. The policies that deny are deleted with the role.
        let new_id = replaced["PhysicalResourceId"].as_str().context("no ID")?.to_owned();
        let new = std::mem::replace(&mut life.properties, old);
        let cleaned = life.answer("clean-up", "Delete", Some(&id)).await?;
        ensure!(cleaned["Status"] == "SUCCESS", "{cleaned}");
        ensure!(role(stage, first).await?.is_none(), "the replaced role is still there");
        life.properties = new;
        let deleted = life.answer("delete", "Delete", Some(&new_id)).await?;
        ensure!(deleted["Status"] == "SUCCESS", "{deleted}");
        ensure!(role(stage, second).await?.is_none(), "the role outlived its resource");
        Ok(())
    })
}

fn names(role: &Observed) -> Vec<&str> {
    role.policies.keys().map(String::as_str).collect()
}
