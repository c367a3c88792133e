//! The policy that `landfall doctor --print-policy deploy` prints: whoever has it can deploy their account's half, and do
//! nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use landfall_core::chain::Side;
use landfall_core::chain::permissions::deploying;
use landfall_core::policy::Document;
use landfall_tests::judge::Request;
use landfall_tests::{DATA, REGION, root};
use serde_json::json;

use super::judge;

/// A verdict for the data account's policy and one for the analytics account's. Both are judged in [`DATA`], so that
/// requests differ only in what they are about.
type Verdicts = [bool; 2];

const BOTH: Verdicts = [true, true];
const IN_DATA: Verdicts = [true, false];
const IN_ANALYTICS: Verdicts = [false, true];
const NEVER: Verdicts = [false, false];

const BUCKET: &str = "acme-lake-parquet";

fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{DATA}:{resource}")
}

fn role(name: &str) -> String {
    format!("arn:aws:iam::{DATA}:role/{name}")
}

fn s3(name: &str) -> String {
    format!("arn:aws:s3:::{name}")
}

/// A request about a resource of this account. A role's trust policy leaves it to IAM.
fn may(action: &str, resource: &str) -> Request {
    let request = Request::by_role(&role("deployer"), action, resource).owned_by(DATA);
    match action.starts_with("sts:") {
        true => request.resource_policy(json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": action,
            "Principal": { "AWS": format!("arn:aws:iam::{DATA}:root") } }] })),
        false => request,
    }
}

/// Judges each row with the policy of either account.
#[track_caller]
fn check(rows: Vec<(Verdicts, Request, String)>) {
    let mut requests = Vec::new();
    let mut expected = Vec::new();
    for (at, side) in Side::ALL.into_iter().enumerate() {
        let policy = Document::new(deploying(side, "landfall", &[BUCKET]));
        for (verdicts, request, what) in &rows {
            requests.push(request.clone().identity(policy.value().clone()));
            expected.push((verdicts[at], format!("{}: {what}", side.name())));
        }
    }
    let verdicts = judge().ask(&requests).expect("every request can be judged");
    let wrong: Vec<String> = expected
        .iter()
        .zip(verdicts)
        .filter(|((allowed, _), verdict)| *allowed != verdict.allowed)
        .map(|((_, what), verdict)| format!("{what}: allowed: {}", verdict.allowed))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn rows(verdicts: Verdicts, actions: &[&str], resource: &str) -> Vec<(Verdicts, Request, String)> {
    let row = |action: &&str| (verdicts, may(action, resource), format!("{action} on {resource}"));
    actions.iter().map(row).collect()
}

/// What the handlers of CloudFormation call to create, read, update and delete a resource of this type in our templates,
/// according to the registry's schemas; without what only properties need that no template sets.
fn handlers() -> BTreeMap<&'static str, Vec<&'static str>> {
    BTreeMap::from([
        (
            "AWS::CloudWatch::Alarm",
            vec![
                "cloudwatch:PutMetricAlarm",
                "cloudwatch:DescribeAlarms",
                "cloudwatch:DeleteAlarms",
                "cloudwatch:TagResource",
                "cloudwatch:UntagResource",
                "cloudwatch:ListTagsForResource",
            ],
        ),
        (
            "AWS::DynamoDB::Table",
            vec![
                "dynamodb:CreateTable",
                "dynamodb:DescribeTable",
                "dynamodb:DescribeTimeToLive",
                "dynamodb:UpdateTimeToLive",
                "dynamodb:UpdateContinuousBackups",
                "dynamodb:DescribeContinuousBackups",
                "dynamodb:DescribeContributorInsights",
                "dynamodb:DescribeKinesisStreamingDestination",
                "dynamodb:GetResourcePolicy",
                "dynamodb:UpdateTable",
                "dynamodb:TagResource",
                "dynamodb:UntagResource",
                "dynamodb:ListTagsOfResource",
                "dynamodb:DeleteTable",
            ],
        ),
        (
            "AWS::Logs::LogGroup",
            vec![
                "logs:CreateLogGroup",
                "logs:PutRetentionPolicy",
                "logs:DeleteRetentionPolicy",
                "logs:TagResource",
                "logs:UntagResource",
                "logs:ListTagsForResource",
                "logs:GetDataProtectionPolicy",
                "logs:DeleteLogGroup",
            ],
        ),
        (
            "AWS::IAM::Role",
            vec![
                "iam:CreateRole",
                "iam:PutRolePolicy",
                "iam:GetRole",
                "iam:ListAttachedRolePolicies",
                "iam:ListRolePolicies",
                "iam:GetRolePolicy",
                "iam:UpdateRole",
                "iam:UpdateRoleDescription",
                "iam:UpdateAssumeRolePolicy",
                "iam:PutRolePermissionsBoundary",
                "iam:DeleteRolePolicy",
                "iam:TagRole",
                "iam:UntagRole",
                "iam:DeleteRole",
            ],
        ),
        (
            "AWS::Lambda::Function",
            vec![
                "lambda:CreateFunction",
                "lambda:GetFunction",
                "lambda:GetFunctionCodeSigningConfig",
                "lambda:GetRuntimeManagementConfig",
                "lambda:PutFunctionConcurrency",
                "lambda:DeleteFunctionConcurrency",
                "lambda:PutFunctionCodeSigningConfig",
                "lambda:DeleteFunctionCodeSigningConfig",
                "lambda:ListTags",
                "lambda:TagResource",
                "lambda:UntagResource",
                "lambda:UpdateFunctionConfiguration",
                "lambda:UpdateFunctionCode",
                "lambda:DeleteFunction",
                "lambda:AddPermission",
                "lambda:RemovePermission",
                "lambda:GetPolicy",
            ],
        ),
        (
            "AWS::SQS::Queue",
            vec![
                "sqs:CreateQueue",
                "sqs:GetQueueUrl",
                "sqs:GetQueueAttributes",
                "sqs:ListQueueTags",
                "sqs:TagQueue",
                "sqs:UntagQueue",
                "sqs:SetQueueAttributes",
                "sqs:DeleteQueue",
            ],
        ),
        (
            "AWS::Events::Rule",
            vec![
                "events:PutRule",
                "events:DescribeRule",
                "events:PutTargets",
                "events:RemoveTargets",
                "events:DeleteRule",
                "events:ListTargetsByRule",
            ],
        ),
        (
            "AWS::S3::Bucket",
            vec![
                "s3:CreateBucket",
                "s3:ListBucket",
                "s3:PutBucketVersioning",
                "s3:PutEncryptionConfiguration",
                "s3:GetEncryptionConfiguration",
                "s3:PutLifecycleConfiguration",
                "s3:PutBucketOwnershipControls",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutBucketTagging",
                "s3:PutBucketPolicy",
                "s3:GetBucketPolicy",
                "s3:DeleteBucketPolicy",
                "s3:DeleteBucket",
            ],
        ),
    ])
}

/// The functions, and in which accounts whoever deploys makes their roles.
const FUNCTIONS: [(Verdicts, &str); 6] = [
    (BOTH, "provisioner"),
    (BOTH, "auditor"),
    (BOTH, "repairer"),
    (IN_DATA, "trigger"),
    (IN_DATA, "monitor"),
    (IN_DATA, "reconciler"),
];

#[test]
fn whoever_deploys_can_make_what_the_templates_have() {
    let handlers = handlers();
    let of = |kind: &str| handlers[kind].as_slice();
    let mut all = Vec::new();
    for (verdicts, name) in FUNCTIONS {
        all.extend(rows(verdicts, of("AWS::IAM::Role"), &role(&format!("landfall-{name}"))));
        let function = arn("lambda", &format!("function:landfall-{name}"));
        all.extend(rows(BOTH, of("AWS::Lambda::Function"), &function));
        let pass = may("iam:PassRole", &role(&format!("landfall-{name}")));
        let pass = pass.with("iam:PassedToService", "lambda.amazonaws.com");
        all.push((verdicts, pass, format!("pass the role of {name} to Lambda")));
        let logs = arn("logs", &format!("log-group:/aws/lambda/landfall-{name}"));
        all.extend(rows(BOTH, of("AWS::Logs::LogGroup"), &logs));
        // Nothing exists yet that a request to create a mapping could name.
        let mapping = arn("lambda", "event-source-mapping:0f");
        for (action, resource) in [
            ("lambda:CreateEventSourceMapping", "*"),
            ("lambda:UpdateEventSourceMapping", &mapping),
            ("lambda:DeleteEventSourceMapping", &mapping),
            ("lambda:GetEventSourceMapping", &mapping),
        ] {
            let request = may(action, resource).with("lambda:FunctionArn", function.clone());
            all.push((BOTH, request, format!("{action} for {name}")));
        }
    }
    let events = role("landfall-job-state-events");
    all.extend(rows(IN_ANALYTICS, of("AWS::IAM::Role"), &events));
    all.extend(rows(BOTH, of("AWS::IAM::Role"), &role("landfall-iam-events")));
    for (verdicts, role, service) in [
        (BOTH, "landfall-iam-events", "events"),
        (IN_ANALYTICS, "landfall-job-state-events", "events"),
        (IN_ANALYTICS, "landfall/landfall-job", "glue"),
        (NEVER, "landfall-iam-events", "lambda"),
    ] {
        let pass = may("iam:PassRole", &self::role(role));
        let pass = pass.with("iam:PassedToService", format!("{service}.amazonaws.com"));
        all.push((verdicts, pass, format!("pass {role} to {service}")));
    }
    for table in ["ledger", "claims", "provisioner", "findings"] {
        let table = arn("dynamodb", &format!("table/landfall-{table}"));
        all.extend(rows(BOTH, of("AWS::DynamoDB::Table"), &table));
    }
    for queue in ["arrivals", "arrivals-dlq", "runs", "runs-dlq", "work", "rule-dlq", "audits"] {
        let queue = arn("sqs", &format!("landfall-{queue}"));
        all.extend(rows(BOTH, of("AWS::SQS::Queue"), &queue));
    }
    for rule in
        ["arrivals", "changes", "iam-events", "job-state", "MonitorTick-1ABC", "runs/landfall-runs"]
    {
        let rule = arn("events", &format!("rule/landfall-{rule}"));
        all.extend(rows(BOTH, of("AWS::Events::Rule"), &rule));
    }
    let alarm = arn("cloudwatch", "alarm:landfall-monitor-silent");
    all.extend(rows(BOTH, of("AWS::CloudWatch::Alarm"), &alarm));
    let artifacts = s3(&format!("landfall-artifacts-{DATA}-{REGION}"));
    for (verdicts, bucket) in [
        (BOTH, artifacts.clone()),
        (IN_DATA, s3(&format!("landfall-manifests-{DATA}-{REGION}"))),
        (BOTH, s3(BUCKET)),
    ] {
        all.extend(rows(verdicts, of("AWS::S3::Bucket"), &bucket));
    }
    all.extend(rows(
        IN_DATA,
        &["sns:CreateTopic", "sns:Subscribe", "sns:SetTopicAttributes", "sns:DeleteTopic"],
        &arn("sns", "landfall-alarms"),
    ));
    all.extend(rows(
        IN_DATA,
        &["cloudwatch:PutDashboard", "cloudwatch:DeleteDashboards"],
        &format!("arn:aws:cloudwatch::{DATA}:dashboard/landfall-{REGION}"),
    ));
    all.extend(rows(
        IN_DATA,
        &["events:CreateEventBus", "events:DescribeEventBus", "events:UpdateEventBus"],
        &arn("events", "event-bus/landfall-runs"),
    ));
    all.extend(rows(IN_DATA, &["events:PutPermission", "events:RemovePermission"], "*"));
    all.extend(rows(
        IN_ANALYTICS,
        &["glue:CreateJob", "glue:GetJob", "glue:UpdateJob", "glue:DeleteJob"],
        &arn("glue", "job/csv-to-parquet"),
    ));
    all.extend(rows(
        IN_ANALYTICS,
        &["iam:PutRolePolicy", "iam:GetRolePolicy", "iam:DeleteRolePolicy"],
        &role("landfall/landfall-job"),
    ));
    all.extend(rows(
        BOTH,
        &[
            "iam:CreatePolicy",
            "iam:CreatePolicyVersion",
            "iam:DeletePolicyVersion",
            "iam:GetPolicy",
        ],
        &format!("arn:aws:iam::{DATA}:policy/landfall-boundary"),
    ));
    check(all);
}

#[test]
fn whoever_deploys_can_make_the_calls_of_deploy_itself() {
    let mut all = Vec::new();
    for stack in [
        "landfall",
        "landfall-provisioner",
        "landfall-auditor",
        "landfall-iam-events",
        "landfall-artifacts",
    ] {
        all.extend(rows(
            BOTH,
            &[
                "cloudformation:DescribeStacks",
                "cloudformation:GetTemplate",
                "cloudformation:CreateChangeSet",
                "cloudformation:DescribeChangeSet",
                "cloudformation:ExecuteChangeSet",
                "cloudformation:DeleteChangeSet",
                "cloudformation:DescribeStackEvents",
                "cloudformation:ListStackResources",
                "cloudformation:DeleteStack",
            ],
            &arn("cloudformation", &format!("stack/{stack}/0f")),
        ));
    }
    let upload = s3(&format!("landfall-artifacts-{DATA}-{REGION}/landfall/0f/routes.yaml"));
    all.extend(rows(BOTH, &["s3:PutObject", "s3:GetObject"], &upload));
    all.extend(rows(
        BOTH,
        &["lambda:InvokeFunction"],
        &arn("lambda", "function:landfall-provisioner"),
    ));
    all.extend(rows(
        IN_DATA,
        &["dynamodb:Query"],
        &arn("dynamodb", "table/landfall-ledger/index/due"),
    ));
    check(all);
}

/// The engine knows no transforms, so this only looks whether the policy names those of the templates.
#[test]
fn whoever_deploys_may_use_the_transforms_of_the_templates_and_no_others() {
    for side in Side::ALL {
        let policy = Document::new(deploying(side, "landfall", &[]));
        let statements = policy.value()["Statement"].as_array().expect("statements");
        let transforms = statements.iter().find(|it| it["Sid"] == "Transforms").expect("it");
        assert_eq!(transforms["Action"], json!(["cloudformation:CreateChangeSet"]));
        let names = ["Include", "Serverless-2016-10-31"];
        let names = names.map(|name| format!("arn:*:cloudformation:*:aws:transform/{name}"));
        assert_eq!(transforms["Resource"], json!(names));
    }
}

#[test]
fn whoever_deploys_reaches_no_other_role_no_data_and_no_other_stack() {
    let mut all = Vec::new();
    for other in
        ["admin", "landfall/landfall-reader-222222222222", "landfall/x", "landfall-trigger-2"]
    {
        all.extend(rows(
            NEVER,
            &[
                "iam:CreateRole",
                "iam:PutRolePolicy",
                "iam:UpdateAssumeRolePolicy",
                "sts:AssumeRole",
            ],
            &role(other),
        ));
        let pass = may("iam:PassRole", &role(other));
        let pass = pass.with("iam:PassedToService", "lambda.amazonaws.com");
        all.push((NEVER, pass, format!("pass {other} to Lambda")));
    }
    // No role gets a managed policy, loses its boundary, or is passed to anything else.
    all.extend(rows(
        NEVER,
        &["iam:AttachRolePolicy", "iam:DeleteRolePermissionsBoundary", "sts:AssumeRole"],
        &role("landfall-trigger"),
    ));
    let pass = may("iam:PassRole", &role("landfall-trigger"));
    let pass = pass.with("iam:PassedToService", "ec2.amazonaws.com");
    all.push((NEVER, pass, "pass the trigger's role to EC2".to_owned()));
    let pass = may("iam:PassRole", &role("landfall/landfall-job"));
    let pass = pass.with("iam:PassedToService", "lambda.amazonaws.com");
    all.push((NEVER, pass, "pass the job role to Lambda".to_owned()));
    let user = format!("arn:aws:iam::{DATA}:user/u");
    all.extend(rows(NEVER, &["iam:CreateUser", "iam:PutUserPolicy", "iam:CreateAccessKey"], &user));
    let policy = format!("arn:aws:iam::{DATA}:policy/other");
    all.extend(rows(NEVER, &["iam:CreatePolicyVersion", "iam:CreatePolicy"], &policy));
    // Data.
    all.extend(rows(NEVER, &["s3:GetObject", "s3:PutObject"], &s3("acme-landing/orders/a.csv")));
    all.extend(rows(NEVER, &["s3:GetObject", "s3:PutObject"], &s3(&format!("{BUCKET}/a.parquet"))));
    all.extend(rows(NEVER, &["s3:PutBucketPolicy", "s3:DeleteBucket"], &s3("acme-landing")));
    let manifest = s3(&format!("landfall-manifests-{DATA}-{REGION}/manifests/m.json"));
    all.extend(rows(NEVER, &["s3:GetObject"], &manifest));
    let ledger = arn("dynamodb", "table/landfall-ledger");
    all.extend(rows(NEVER, &["dynamodb:PutItem", "dynamodb:DeleteItem", "dynamodb:Scan"], &ledger));
    let queue = arn("sqs", "landfall-arrivals");
    all.extend(rows(NEVER, &["sqs:ReceiveMessage", "sqs:SendMessage", "sqs:PurgeQueue"], &queue));
    // Other people's things.
    let function = arn("lambda", "function:billing");
    all.extend(rows(NEVER, &["lambda:UpdateFunctionCode", "lambda:InvokeFunction"], &function));
    let trigger = arn("lambda", "function:landfall-trigger");
    all.extend(rows(NEVER, &["lambda:InvokeFunction"], &trigger));
    let mapping = may("lambda:CreateEventSourceMapping", "*");
    let mapping = mapping.with("lambda:FunctionArn", function);
    all.push((NEVER, mapping, "a mapping for another function".to_owned()));
    let stack = arn("cloudformation", "stack/billing/0f");
    all.extend(rows(
        NEVER,
        &["cloudformation:CreateChangeSet", "cloudformation:DeleteStack"],
        &stack,
    ));
    all.extend(rows(NEVER, &["events:PutRule"], &arn("events", "rule/billing")));
    all.extend(rows(NEVER, &["glue:StartJobRun"], &arn("glue", "job/csv-to-parquet")));
    all.extend(rows(NEVER, &["glue:UpdateJob"], &arn("glue", "job/billing")));
    check(all);
}

/// The types of resources in the templates that the policy is for, and what of it lets whoever deploys make them.
const COVERED: [(&str, &str); 24] = [
    ("AWS::CloudWatch::Alarm", "Alarms"),
    ("AWS::CloudWatch::Dashboard", "Dashboard"),
    ("AWS::DynamoDB::Table", "Tables"),
    ("AWS::Events::EventBus", "Bus"),
    ("AWS::Events::Rule", "Rules"),
    ("AWS::Glue::Job", "Job"),
    ("AWS::IAM::ManagedPolicy", "Boundary"),
    ("AWS::IAM::Policy", "JobRole"),
    ("AWS::IAM::Role", "DataRoles"),
    ("AWS::Lambda::Permission", "Functions"),
    ("AWS::Logs::LogGroup", "LogGroups"),
    ("AWS::S3::Bucket", "ManifestsBucket"),
    ("AWS::S3::BucketPolicy", "ManifestsBucket"),
    ("AWS::SNS::Subscription", "Topic"),
    ("AWS::SNS::Topic", "Topic"),
    ("AWS::SNS::TopicPolicy", "Topic"),
    ("AWS::SQS::Queue", "Queues"),
    ("AWS::SQS::QueuePolicy", "Queues"),
    ("AWS::Serverless::Function", "Functions"),
    ("Custom::LandfallBucketAccess", "Provisioner"),
    ("Custom::LandfallBucketNotifications", "Provisioner"),
    ("Custom::LandfallJobRole", "Provisioner"),
    ("Custom::LandfallReaderRole", "Provisioner"),
    ("Custom::LandfallStarterRole", "Provisioner"),
];

/// What only parameters make that the policy leaves out, as `landfall doctor --help` says.
const LEFT_OUT: [&str; 3] = ["AWS::KMS::Alias", "AWS::KMS::Key", "AWS::SecretsManager::Secret"];

#[test]
fn each_type_of_resource_in_the_templates_is_covered_or_left_out_on_purpose() {
    let (mut types, mut functions) = (BTreeSet::new(), BTreeSet::new());
    for template in ["artifacts", "provisioner", "auditor", "analytics-account", "data-account"] {
        let path = root().join("infra").join(format!("{template}.yaml"));
        let text = fs::read_to_string(path).expect("a template");
        let resources = text.split("\nResources:\n").nth(1).expect("resources");
        let resources = resources.split("\nOutputs:\n").next().expect("resources");
        let of = resources.lines().filter_map(|line| line.strip_prefix("    Type: "));
        types.extend(of.map(|kind| kind.trim().to_owned()));
        let name = "      FunctionName: !Sub ${NamePrefix}-";
        functions.extend(
            resources.lines().filter_map(|line| line.strip_prefix(name)).map(str::to_owned),
        );
    }
    let known: BTreeSet<String> =
        COVERED.iter().map(|(kind, _)| *kind).chain(LEFT_OUT).map(str::to_owned).collect();
    assert_eq!(types, known);
    assert_eq!(functions, FUNCTIONS.iter().map(|(_, name)| (*name).to_owned()).collect());
    let sids: BTreeSet<String> = Side::ALL
        .into_iter()
        .flat_map(|side| {
            let policy = Document::new(deploying(side, "landfall", &[]));
            policy.value()["Statement"].as_array().expect("statements").clone()
        })
        .filter_map(|statement| statement["Sid"].as_str().map(str::to_owned))
        .collect();
    for (kind, sid) in COVERED {
        assert!(sids.contains(sid), "{kind}: {sid}");
    }
}
