//! Roles as custom resources: the deployed provisioner under CloudFormation, through everything
//! that happens to a stack, and with requests that don't come from CloudFormation.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_iam::types::Tag;
use landfall_core::roles::Observed;
use landfall_provisioning::iam::observe;
use landfall_tests::cloud::wait_until;
use landfall_tests::{ANALYTICS, DATA, REGION};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::stage::Stage;

const SERVICE_TOKEN: &str = "arn:aws:lambda:us-east-1:222222222222:function:landfall-provisioner";

/// Returns the properties of a starter role for one job.
pub fn properties(name: &str, job: &str) -> Value {
    json!({
        "ServiceToken": SERVICE_TOKEN,
        "ServiceTimeout": 150,
        "RoleName": name,
        "PermissionsBoundary": format!("arn:aws:iam::{ANALYTICS}:policy/landfall-boundary"),
        "TrustedRoleArns": [format!("arn:aws:iam::{DATA}:role/{name}-trigger")],
        "ExternalId": "lifecycle-7f3a-one",
        "Routes": {
            "version": 1,
            "targets": { "here": { "account": ANALYTICS, "region": REGION,
                "starter_role": format!("landfall/{name}"), "external_id": "${X}" } },
            "routes": [{ "name": "r", "bucket": "acme-landing", "key": "x/{file}",
                "start": { "target": "here", "job": job } }],
        },
    })
}

pub fn template(properties: &Value) -> String {
    let role = json!({ "Type": "Custom::LandfallStarterRole", "Properties": properties });
    json!({ "Resources": { "Role": role } }).to_string()
}

/// Returns the same template with another resource, which fails after the role was created.
fn failing_template(properties: &Value) -> String {
    let role = json!({ "Type": "Custom::LandfallStarterRole", "Properties": properties });
    let failing = json!({
        "Type": "Custom::LandfallNothing", "DependsOn": "Role",
        "Properties": { "ServiceToken": SERVICE_TOKEN, "ServiceTimeout": 150 },
    });
    json!({ "Resources": { "Role": role, "Failing": failing } }).to_string()
}

pub async fn role(stage: &Stage, name: &str) -> Result<Option<Observed>> {
    Ok(observe(&stage.cloud.analytics.iam, name).await?)
}

async fn role_that_is_there(stage: &Stage, name: &str) -> Result<Observed> {
    role(stage, name).await?.with_context(|| format!("there is no role `{name}`"))
}

pub async fn assert_starts(stage: &Stage, name: &str, job: &str) -> Result<()> {
    let role = role_that_is_there(stage, name).await?;
    let policies = format!("{:?}", role.policies);
    ensure!(policies.contains(&format!("job/{job}\"")), "role `{name}` may do {policies}");
    Ok(())
}

pub fn a_role_is_created_updated_replaced_and_deleted_with_its_stack(stage: &Stage) -> Result<()> {
    let stacks = &stage.cloud.analytics.stacks;
    let (first, second) = ("landfall-life", "landfall-life-two");
    stage.cloud.wait(async {
        let created = stacks.create("life", &template(&properties(first, "one"))).await?;
        created.expect("CREATE_COMPLETE")?;
        assert_starts(stage, first, "one").await?;
        let before = role_that_is_there(stage, first).await?;

        let updated = stacks.update("life", &template(&properties(first, "two"))).await?;
        updated.expect("UPDATE_COMPLETE")?;
        assert_starts(stage, first, "two").await?;
        let after = role_that_is_there(stage, first).await?;
        ensure!(before.role_id == after.role_id, "an update in place created another role");

        let replaced = stacks.update("life", &template(&properties(second, "two"))).await?;
        replaced.expect("UPDATE_COMPLETE")?;
        assert_starts(stage, second, "two").await?;
        ensure!(role(stage, first).await?.is_none(), "the replaced role is still there");

        // Go back to the first name. Its tombstone must not stand in the way.
        let back = stacks.update("life", &template(&properties(first, "one"))).await?;
        back.expect("UPDATE_COMPLETE")?;
        assert_starts(stage, first, "one").await?;
        ensure!(role(stage, second).await?.is_none(), "the replaced role is still there");

        stacks.delete("life").await?.expect("DELETE_COMPLETE")?;
        ensure!(role(stage, first).await?.is_none(), "the role outlived its stack");
        Ok(())
    })
}

pub fn a_failed_create_leaves_no_role(stage: &Stage) -> Result<()> {
    let stacks = &stage.cloud.analytics.stacks;
    let name = "landfall-stillborn";
    stage.cloud.wait(async {
        let created =
            stacks.create("stillborn", &failing_template(&properties(name, "one"))).await?;
        let outcome = created.expect("ROLLBACK_COMPLETE")?;
        ensure!(outcome.failures.concat().contains("Custom::LandfallNothing"), "{outcome:?}");
        ensure!(role(stage, name).await?.is_none(), "the role is still there");
        stacks.delete("stillborn").await?.expect("DELETE_COMPLETE")?;
        Ok(())
    })
}

pub fn a_role_that_the_provisioner_may_not_make_fails_the_stack_with_the_reason(
    stage: &Stage,
) -> Result<()> {
    let stacks = &stage.cloud.analytics.stacks;
    stage.cloud.wait(async {
        let mut bare = properties("landfall-bare", "one");
        bare.as_object_mut().context("properties")?.remove("PermissionsBoundary");
        let elsewhere = {
            let mut elsewhere = properties("landfall-elsewhere", "one");
            elsewhere["Path"] = json!("/");
            elsewhere["Routes"]["targets"]["here"]["starter_role"] = json!("landfall-elsewhere");
            elsewhere
        };
        for (name, properties) in [("bare", bare), ("elsewhere", elsewhere)] {
            let created = stacks.create(name, &template(&properties)).await?;
            let outcome = created.expect("ROLLBACK_COMPLETE")?;
            let said = outcome.failures.concat();
            ensure!(said.contains("CreateRole") && said.contains("AccessDenied"), "{said}");
            ensure!(
                role(stage, &format!("landfall-{name}")).await?.is_none(),
                "the role was created"
            );
            stacks.delete(name).await?.expect("DELETE_COMPLETE")?;
        }
        Ok(())
    })
}

pub fn a_failed_update_restores_the_role_exactly(stage: &Stage) -> Result<()> {
    let stacks = &stage.cloud.analytics.stacks;
    let (name, other) = ("landfall-restored", "landfall-restored-two");
    stage.cloud.wait(async {
        let created = stacks.create("restored", &template(&properties(name, "one"))).await?;
        created.expect("CREATE_COMPLETE")?;
        let before = role_that_is_there(stage, name).await?;
        for (changed, what) in [(name, "in place"), (other, "by replacement")] {
            let updated =
                stacks.update("restored", &failing_template(&properties(changed, "two"))).await?;
            updated.expect("UPDATE_ROLLBACK_COMPLETE")?;
            let after = role_that_is_there(stage, name).await?;
            let tags = |role: &Observed| role.tags.get("landfall:logical-id").cloned();
            ensure!(
                (&before.trust, &before.policies, tags(&before), &before.permissions_boundary)
                    == (&after.trust, &after.policies, tags(&after), &after.permissions_boundary),
                "{what}: the role was {before:?}, and is {after:?}"
            );
            ensure!(role(stage, other).await?.is_none(), "{what}: the new role is still there");
        }
        stacks.delete("restored").await?.expect("DELETE_COMPLETE")?;
        ensure!(role(stage, name).await?.is_none(), "the role outlived its stack");
        Ok(())
    })
}

pub fn a_role_that_somebody_deleted_does_not_hinder_update_and_deletion(
    stage: &Stage,
) -> Result<()> {
    let stacks = &stage.cloud.analytics.stacks;
    let name = "landfall-vanished";
    stage.cloud.wait(async {
        let created = stacks.create("vanished", &template(&properties(name, "one"))).await?;
        created.expect("CREATE_COMPLETE")?;
        delete_role(stage, name).await?;
        let updated = stacks.update("vanished", &template(&properties(name, "two"))).await?;
        updated.expect("UPDATE_COMPLETE")?;
        assert_starts(stage, name, "two").await?;
        delete_role(stage, name).await?;
        stacks.delete("vanished").await?.expect("DELETE_COMPLETE")?;
        Ok(())
    })
}

async fn delete_role(stage: &Stage, name: &str) -> Result<()> {
    let iam = &stage.cloud.analytics.iam;
    iam.delete_role_policy().role_name(name).policy_name("landfall").send().await?;
    iam.delete_role().role_name(name).send().await?;
    Ok(())
}

pub fn a_role_of_somebody_else_is_never_touched(stage: &Stage) -> Result<()> {
    let stacks = &stage.cloud.analytics.stacks;
    let name = "landfall-foreign";
    stage.cloud.wait(async {
        let trust = json!({ "Version": "2012-10-17", "Statement": [] }).to_string();
        let create = stage.cloud.analytics.iam.create_role().role_name(name).path("/landfall/");
        let tag = Tag::builder().key("team").value("other").build()?;
        create.assume_role_policy_document(trust).tags(tag).send().await?;
        let before = role_that_is_there(stage, name).await?;
        let created = stacks.create("foreign", &template(&properties(name, "one"))).await?;
        let outcome = created.expect("ROLLBACK_COMPLETE")?;
        let said = outcome.failures.concat();
        ensure!(said.contains("doesn't belong to this resource: it has no owner tags"), "{said}");
        stacks.delete("foreign").await?.expect("DELETE_COMPLETE")?;
        let after = role_that_is_there(stage, name).await?;
        ensure!(before == after, "the role was {before:?}, and is {after:?}");
        Ok(())
    })
}

pub fn what_is_no_request_is_answered_or_refused(stage: &Stage) -> Result<()> {
    stage.cloud.wait(async {
        let sink = Sink::start().await;
        let own = properties("landfall-nonsense", "one");
        let mut cases = Vec::new();
        let base = sink.request("nonsense", "Create", &own, None);
        for (field, value) in [
            ("RequestType", json!("Recreate")),
            ("ResourceType", json!(7)),
            ("ResourceProperties", json!([[]])),
            ("ResourceProperties", Value::Null),
            ("StackId", json!(format!("arn:aws:cloudformation:{REGION}:{DATA}:stack/x/1"))),
            ("StackId", json!("nonsense")),
        ] {
            let mut request = base.clone();
            request[field] = value;
            request["RequestId"] = json!(format!("nonsense-{}", cases.len()));
            cases.push(request);
        }
        for request in &cases {
            let answer = sink.answer_to(stage, request).await?;
            ensure!(answer["Status"] == "FAILED", "{request} was answered with {answer}");
            let reason = answer["Reason"].as_str().unwrap_or_default();
            ensure!(!reason.is_empty() && !reason.contains("lifecycle-7f3a-one"), "{reason}");
        }
        let mut astray = base;
        astray["ResponseURL"] = json!("https://evil.example/steal");
        invoke(stage, &astray)?;
        ensure!(role(stage, "landfall-nonsense").await?.is_none(), "a role was created");
        Ok(())
    })
}

/// A principal that may invoke the function by its own rights can name any stack. The provisioner
/// refuses such a request unless CloudFormation is changing that stack at this moment.
pub fn who_speaks_for_a_stack_that_asks_for_nothing_is_refused(stage: &Stage) -> Result<()> {
    let name = "landfall-spoken-for";
    let stacks = &stage.cloud.analytics.stacks;
    stage.cloud.wait(async {
        let own = properties(name, "one");
        stacks.create("spoken-for", &template(&own)).await?.expect("CREATE_COMPLETE")?;
        let before = role_that_is_there(stage, name).await?;
        let id = before.tags.get("landfall:physical-id").context("no physical ID")?;
        let sink = Sink::start().await;
        let stack = stacks.id("spoken-for").await?;
        let changed = properties(name, "two");
        for (what, kind, physical_id, stack) in [
            ("updated", "Update", Some(id.as_str()), stack.as_str()),
            ("deleted", "Delete", Some(id.as_str()), stack.as_str()),
            ("made", "Create", None, stack.as_str()),
            ("of-nobody", "Create", None, &stack.replace("spoken-for", "never-there")),
        ] {
            let mut request = sink.request(what, kind, &changed, physical_id);
            request["StackId"] = json!(stack);
            let answer = sink.answer_to(stage, &request).await?;
            let reason = answer["Reason"].as_str().unwrap_or_default();
            ensure!(
                answer["Status"] == "FAILED" && reason.contains("does not wait"),
                "{what}: {answer}"
            );
        }
        let after = role_that_is_there(stage, name).await?;
        ensure!(before == after, "the role was {before:?}, and is {after:?}");
        stacks.delete("spoken-for").await?.expect("DELETE_COMPLETE")?;
        ensure!(role(stage, name).await?.is_none(), "the role outlived its stack");
        Ok(())
    })
}

pub fn the_key_of_a_buckets_default_encryption_is_found_and_its_policy_looked_at(
    stage: &Stage,
) -> Result<()> {
    let data = &stage.cloud.data;
    let (bucket, name) = ("acme-encrypted", "landfall-decrypting");
    data.cli.make_bucket(bucket)?;
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "AWS": format!("arn:aws:iam::{DATA}:role/somebody") },
        "Action": "kms:*", "Resource": "*" }] });
    let key = data.cli.json(["kms", "create-key", "--policy", &policy.to_string()])?;
    let key = key["KeyMetadata"]["Arn"].as_str().context("the key has no ARN")?.to_owned();
    let encryption = json!({ "Rules": [{ "ApplyServerSideEncryptionByDefault":
        { "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key } }] });
    let put = ["s3api", "put-bucket-encryption", "--bucket", bucket];
    let with = ["--server-side-encryption-configuration", &encryption.to_string()];
    data.cli.run([&put[..], &with].concat())?;
    let token = SERVICE_TOKEN.replace(ANALYTICS, DATA);
    let mut reader = properties(name, "one");
    reader["ServiceToken"] = json!(token);
    reader["PermissionsBoundary"] = json!(format!("arn:aws:iam::{DATA}:policy/landfall-boundary"));
    reader["TrustedRoleArns"] = json!([format!("arn:aws:iam::{ANALYTICS}:role/landfall/{name}")]);
    reader["Routes"]["routes"][0]["bucket"] = json!(bucket);
    let role = json!({ "Type": "Custom::LandfallReaderRole", "Properties": reader });
    let said = json!({ "Value": { "Fn::GetAtt": ["Role", "KeyPolicyStatement"] } });
    let template = json!({ "Resources": { "Role": role }, "Outputs": { "Said": said } });
    stage.cloud.wait(async {
        let created = data.stacks.create("decrypting", &template.to_string()).await?;
        created.expect("CREATE_COMPLETE")?;
        let role = observe(&data.iam, name).await?.context("there is no role")?;
        let policies = format!("{:?}", role.policies);
        ensure!(policies.contains("kms:Decrypt") && policies.contains(&key), "{policies}");
        let said = data.stacks.output("decrypting", "Said").await?;
        ensure!(said.contains("kms:Decrypt") && said.contains(name), "what to add: `{said}`");
        data.stacks.delete("decrypting").await?.expect("DELETE_COMPLETE")?;
        Ok(())
    })
}

pub fn a_stack_of_one_account_makes_a_role_in_another(stage: &Stage) -> Result<()> {
    let (data, analytics) = (&stage.cloud.data, &stage.cloud.analytics);
    let name = "landfall-remote";
    let provisioning = format!("arn:aws:iam::{ANALYTICS}:role/landfall-provisioning");
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "AWS": format!("arn:aws:iam::{DATA}:root") },
        "Condition": {
            "ArnEquals": { "aws:PrincipalArn": format!("arn:aws:iam::{DATA}:role/landfall-provisioner") },
            "StringEquals": { "sts:ExternalId": "provisioning-7f3a" } } }] });
    let may = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "iam:*",
        "Resource": [format!("arn:aws:iam::{ANALYTICS}:role/landfall/landfall-*"),
            format!("arn:aws:iam::{ANALYTICS}:role/landfall-*")] }] });
    stage.cloud.wait(async {
        // Its code stays as it is. Otherwise the emulator would end the functions of that name in
        // both accounts.
        let set = data.stacks.set("landfall-provisioner", "ProvisioningRoleArn", &provisioning);
        set.await?.expect("UPDATE_COMPLETE")?;
        let iam = &analytics.iam;
        let create = iam.create_role().role_name("landfall-provisioning");
        create.assume_role_policy_document(trust.to_string()).send().await?;
        let put = iam.put_role_policy().role_name("landfall-provisioning").policy_name("roles");
        put.policy_document(may.to_string()).send().await?;

        let mut remote = properties(name, "one");
        remote["ServiceToken"] = json!(SERVICE_TOKEN.replace(ANALYTICS, DATA));
        remote["ProvisioningRoleArn"] = json!(provisioning);
        remote["ProvisioningExternalId"] = json!("provisioning-7f3a");
        let created = data.stacks.create("remote", &template(&remote)).await?;
        created.expect("CREATE_COMPLETE")?;
        assert_starts(stage, name, "one").await?;
        ensure!(
            observe(&data.iam, name).await?.is_none(),
            "the role was created in the stack's account"
        );
        data.stacks.delete("remote").await?.expect("DELETE_COMPLETE")?;
        ensure!(role(stage, name).await?.is_none(), "the role outlived its stack");
        Ok(())
    })
}

/// A server that stands in for the place where CloudFormation takes responses.
struct Sink {
    server: MockServer,
}

impl Sink {
    async fn start() -> Sink {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
        Sink { server }
    }

    fn request(
        &self,
        id: &str,
        kind: &str,
        properties: &Value,
        physical_id: Option<&str>,
    ) -> Value {
        let mut request = json!({
            "RequestType": kind,
            "RequestId": id,
            "StackId": format!("arn:aws:cloudformation:{REGION}:{ANALYTICS}:stack/direct/{id}")
                .replace(id, "1"),
            "ResponseURL": format!("{}/{id}", self.server.uri()),
            "ResourceType": "Custom::LandfallStarterRole",
            "LogicalResourceId": "Role",
            "ResourceProperties": properties,
        });
        if let Some(physical_id) = physical_id {
            request["PhysicalResourceId"] = json!(physical_id);
            request["OldResourceProperties"] = properties.clone();
        }
        request
    }

    /// Invokes the provisioner and returns its response.
    async fn answer_to(&self, stage: &Stage, request: &Value) -> Result<Value> {
        self.server.reset().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&self.server).await;
        invoke(stage, request)?;
        wait_until("no answer arrived", Duration::from_secs(150), async || {
            let received = self.server.received_requests().await.unwrap_or_default();
            let Some(last) = received.last() else { return Ok(None) };
            if last.body.len() > 4096 {
                bail!("the answer has {} bytes", last.body.len());
            }
            Ok(Some(serde_json::from_slice(&last.body).context("the answer is not JSON")?))
        })
        .await
    }
}

fn invoke(stage: &Stage, request: &Value) -> Result<()> {
    let payload = request.to_string();
    let invoke = ["lambda", "invoke", "--function-name", "landfall-provisioner", "--payload"];
    stage.cloud.analytics.cli.run([&invoke[..], &[&payload, "lifecycle.out"]].concat())?;
    Ok(())
}
