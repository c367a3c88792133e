//! The provisioner's own policies as they are deployed, judged by the IAM engine, because the
//! emulator doesn't see everything that AWS sees.

use anyhow::{Context, Result, ensure};
use landfall_provisioning::iam::observe;
use landfall_tests::judge::{Judge, Request};
use landfall_tests::{ANALYTICS, DATA, REGION, node};
use serde_json::{Value, json};

use crate::stage::Stage;

const PROVISIONER: &str = "arn:aws:iam::222222222222:role/landfall-provisioner";
const BOUNDARY: &str = "arn:aws:iam::222222222222:policy/landfall-boundary";

pub fn the_provisioner_makes_bounded_roles_below_its_path_and_does_nothing_else(
    stage: &Stage,
) -> Result<()> {
    let policy = own_policy(stage)?;
    let role = |name: &str| format!("arn:aws:iam::{ANALYTICS}:role/{name}");
    let may = |action: &str, resource: &str| {
        Request::by_role(PROVISIONER, action, resource).owned_by(ANALYTICS).identity(policy.clone())
    };
    let stack = |id: &str| format!("arn:aws:cloudformation:{REGION}:{ANALYTICS}:stack/{id}");
    // The context that AWS provides about a role that a stack of the account has, or is about to
    // have.
    let tagged = |action: &str, resource: &str, stack: &str| {
        let kind = if action == "iam:CreateRole" { "aws:RequestTag" } else { "iam:ResourceTag" };
        may(action, resource).with(&format!("{kind}/landfall:stack-id"), stack)
    };
    let bounded = |action: &str, resource: &str, boundary: &str| {
        tagged(action, resource, &stack("landfall/1")).with("iam:PermissionsBoundary", boundary)
    };
    let own = role("landfall/landfall-x");
    let mut list = Vec::new();
    for action in [
        "iam:CreateRole",
        "iam:PutRolePolicy",
        "iam:PutRolePermissionsBoundary",
        "iam:DeleteRolePolicy",
        "iam:DetachRolePolicy",
    ] {
        list.extend([
            (true, bounded(action, &own, BOUNDARY)),
            (false, tagged(action, &own, &stack("landfall/1"))),
            (false, may(action, &own).with("iam:PermissionsBoundary", BOUNDARY)),
            (
                false,
                tagged(action, &own, &stack("landfall/1").replace(ANALYTICS, DATA))
                    .with("iam:PermissionsBoundary", BOUNDARY),
            ),
            (false, bounded(action, &own, &BOUNDARY.replace("landfall-boundary", "other"))),
            (false, bounded(action, &role("landfall-x"), BOUNDARY)),
            (false, bounded(action, &role("team/landfall-x"), BOUNDARY)),
            (false, bounded(action, &role("landfall/admin"), BOUNDARY)),
            (false, bounded(action, &role("landfall/landfall-x/admin"), BOUNDARY)),
            (false, bounded(action, &own.replace(ANALYTICS, DATA), BOUNDARY)),
        ]);
    }
    for action in [
        "iam:DeleteRole",
        "iam:UpdateAssumeRolePolicy",
        "iam:UpdateRole",
        "iam:TagRole",
        "iam:UntagRole",
    ] {
        let owned = |resource: &str, stack: &str| {
            let request = tagged(action, resource, stack);
            let has_keys = action.contains("ag");
            if has_keys { request.with("aws:TagKeys", json!(["team"])) } else { request }
        };
        let ours = stack("landfall/1");
        list.extend([
            (true, owned(&own, &ours)),
            // A role without tags, and one that belongs to a stack in another account.
            (false, may(action, &own)),
            (false, owned(&own, "another")),
            (false, owned(&own, &ours.replace(ANALYTICS, DATA))),
            (false, owned(&own, &ours.replace(REGION, "eu-north-1"))),
            (false, owned(&own, &ours.replace("arn:aws:", "arn:aws-cn:"))),
            (false, owned(&role("landfall-provisioner"), &ours)),
            (false, owned(&role("landfall/admin"), &ours)),
            (false, owned(&role("landfall/landfall-x/admin"), &ours)),
        ]);
    }
    let ours = stack("landfall/1");
    let retag =
        |to: &str| tagged("iam:TagRole", &own, &ours).with("aws:RequestTag/landfall:stack-id", to);
    let new =
        |stack: &str| may("iam:TagRole", &own).with("aws:RequestTag/landfall:stack-id", stack);
    let untag = |keys: Value| tagged("iam:UntagRole", &own, &ours).with("aws:TagKeys", keys);
    list.extend([
        (true, retag(&stack("landfall/2"))),
        (false, retag("nobody")),
        // During CreateRole the role doesn't exist yet.
        (true, new(&ours)),
        (false, new(&ours.replace(ANALYTICS, DATA))),
        (true, untag(json!(["team"]))),
        (false, untag(json!(["landfall:stack-id"]))),
        (false, untag(json!(["team", "Landfall:Physical-Id"]))),
        (false, tagged("iam:UntagRole", &own, &ours)),
        (true, may("iam:GetPolicy", "arn:aws:iam::aws:policy/AWSDenyAll")),
        (true, may("iam:GetPolicyVersion", BOUNDARY)),
        (false, may("iam:DeletePolicy", BOUNDARY)),
    ]);
    let bucket = "arn:aws:s3:::acme-landing";
    let of = |account: &str| {
        may("s3:PutBucketNotification", bucket)
            .owned_by(account)
            .with("s3:ResourceAccount", account)
    };
    let open = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
        "Principal": { "AWS": format!("arn:aws:iam::{ANALYTICS}:root") }, "Action": "sts:AssumeRole" }] });
    list.extend([
        (true, may("iam:GetRole", &role("landfall-x"))),
        (false, may("iam:PassRole", &own)),
        (false, may("iam:DeleteRolePermissionsBoundary", &own)),
        (false, bounded("iam:AttachRolePolicy", &own, BOUNDARY)),
        (false, may("iam:CreatePolicyVersion", BOUNDARY)),
        (false, may("iam:CreateUser", &format!("arn:aws:iam::{ANALYTICS}:user/x"))),
        (false, may("sts:AssumeRole", &own).resource_policy(open)),
        (false, may("lambda:UpdateFunctionCode", &function())),
        (
            false,
            may("dynamodb:GetItem", &format!("arn:aws:dynamodb:{REGION}:{ANALYTICS}:table/other")),
        ),
        (
            false,
            may(
                "dynamodb:DeleteItem",
                &format!("arn:aws:dynamodb:{REGION}:{ANALYTICS}:table/landfall-provisioner"),
            ),
        ),
        (true, may("cloudformation:DescribeStacks", &stack("landfall/1"))),
        (true, may("cloudformation:DescribeStackResource", &stack("landfall/1"))),
        (true, may("cloudformation:DescribeStackEvents", &stack("landfall/1"))),
        (false, may("cloudformation:UpdateStack", &stack("landfall/1"))),
        (true, of(ANALYTICS)),
        (false, of(DATA)),
        (false, may("s3:PutBucketPolicy", bucket)),
        (false, may("s3:GetObject", "arn:aws:s3:::acme-landing/x")),
    ]);
    agree(list)
}

pub fn nobody_but_cloudformation_of_the_account_is_let_in_to_invoke_the_provisioner(
    stage: &Stage,
) -> Result<()> {
    let cli = &stage.cloud.analytics.cli;
    let found = cli.json(["lambda", "get-policy", "--function-name", "landfall-provisioner"])?;
    let policy: Value = serde_json::from_str(found["Policy"].as_str().context("no policy")?)?;
    let by = |service: &str, account: &str| {
        Request::by_service(service, "lambda:InvokeFunction", &function())
            .resource_policy(policy.clone())
            .with("aws:SourceAccount", account)
    };
    let foreign = Request::by_role(
        &format!("arn:aws:iam::{DATA}:role/admin"),
        "lambda:InvokeFunction",
        &function(),
    );
    let all = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*" }] });
    agree(vec![
        (true, by("cloudformation.amazonaws.com", ANALYTICS)),
        (false, by("cloudformation.amazonaws.com", DATA)),
        (false, by("s3.amazonaws.com", ANALYTICS)),
        (false, by("events.amazonaws.com", ANALYTICS)),
        (false, foreign.identity(all).resource_policy(policy.clone())),
    ])
}

pub fn no_role_exceeds_the_boundary_whatever_its_policies_say(stage: &Stage) -> Result<()> {
    let cli = &stage.cloud.analytics.cli;
    let get = ["iam", "get-policy-version", "--policy-arn", BOUNDARY, "--version-id", "v1"];
    let boundary = cli.json(get)?["PolicyVersion"]["Document"].clone();
    let all = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "*", "Resource": "*" }] });
    let role = format!("arn:aws:iam::{ANALYTICS}:role/landfall/landfall-x");
    let may = |action: &str, resource: &str| {
        Request::by_role(&role, action, resource)
            .owned_by(ANALYTICS)
            .identity(all.clone())
            .boundary(boundary.clone())
    };
    let open = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
        "Principal": { "AWS": format!("arn:aws:iam::{ANALYTICS}:root") }, "Action": "sts:AssumeRole" }] });
    let admin = format!("arn:aws:iam::{ANALYTICS}:role/admin");
    let reader = format!("arn:aws:iam::{DATA}:role/landfall/landfall-reader-{ANALYTICS}");
    let table = |name: &str| format!("arn:aws:dynamodb:{REGION}:{ANALYTICS}:table/{name}");
    let glue = |what: &str| format!("arn:aws:glue:{REGION}:{ANALYTICS}:{what}");
    agree(vec![
        (false, may("s3:GetObject", "arn:aws:s3:::hr-salaries/x").owned_by(DATA)),
        (true, may("dynamodb:GetItem", &table("landfall-claims"))),
        (true, may("dynamodb:UpdateItem", &table("landfall-x-claims"))),
        (false, may("dynamodb:PutItem", &table("landfall-claims"))),
        (false, may("dynamodb:Scan", &table("landfall-claims"))),
        (false, may("dynamodb:UpdateItem", &table("landfall-ledger"))),
        (false, may("dynamodb:UpdateItem", &table("landfall-provisioner"))),
        (false, may("dynamodb:UpdateItem", &table("other-claims"))),
        (true, may("s3:GetObject", "arn:aws:s3:::acme-analytics/x")),
        // `landfall deploy` passes this job, which it takes from the routes.
        (true, may("glue:StartJobRun", &glue("job/csv-to-parquet"))),
        (false, may("glue:StartJobRun", &glue("job/x"))),
        (true, may("glue:GetTable", &glue("table/sales/orders"))),
        (false, may("glue:PutResourcePolicy", &glue("catalog"))),
        (true, may("sts:AssumeRole", &reader).owned_by(DATA).resource_policy(open.clone())),
        (
            false,
            may("sts:AssumeRole", &reader.replace(DATA, "999999999999"))
                .owned_by("999999999999")
                .resource_policy(open.clone()),
        ),
        (false, may("sts:AssumeRole", &admin).resource_policy(open)),
        (false, may("iam:CreateRole", &admin)),
        (false, may("iam:PassRole", &admin)),
        (false, may("lambda:UpdateFunctionCode", &function())),
        (false, may("s3:PutBucketPolicy", "arn:aws:s3:::acme-analytics")),
    ])
}

fn own_policy(stage: &Stage) -> Result<Value> {
    let analytics = &stage.cloud.analytics;
    let role = stage.cloud.wait(observe(&analytics.iam, "landfall-provisioner"))?;
    let role = role.context("the provisioner has no role")?;
    ensure!(role.policies.len() == 1 && role.attached.is_empty(), "more than one policy: {role:?}");
    let policy = role.policies.into_values().next().flatten().context("no policy")?;
    Ok(policy.value().clone())
}

fn function() -> String {
    format!("arn:aws:lambda:{REGION}:{ANALYTICS}:function:landfall-provisioner")
}

fn agree(expected: Vec<(bool, Request)>) -> Result<()> {
    let requests: Vec<Request> = expected.iter().map(|(_, request)| request.clone()).collect();
    let verdicts = Judge::new(&node::environment()?).ask(&requests)?;
    let wrong: Vec<String> = expected
        .iter()
        .zip(verdicts)
        .filter(|((allowed, _), verdict)| *allowed != verdict.allowed)
        .map(|((_, request), verdict)| {
            format!("allowed: {}, for {}: {request:?}", verdict.allowed, verdict.because)
        })
        .collect();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
