//! The repairer's policy, as `infra/auditor.yaml` has it for either account: it may look at what can be gone, and have
//! CloudFormation change the one stack. By itself it can touch no role, no data and no other stack.

use std::sync::OnceLock;

use landfall_tests::judge::Request;
use landfall_tests::{DATA, REGION};
use serde_json::{Value, json};

use super::{policies_of, statement};

const FOREIGN: &str = "999999999999";

/// The sets of parameters: the data account with the names of its buckets, the analytics account, and the data account
/// with any bucket. The repairer is always in [`DATA`].
const SETS: usize = 3;
const DATA_NAMED: usize = 0;

type Verdicts = [bool; SETS];
type Row = (&'static str, Verdicts, Request);

const IN_DATA: Verdicts = [true, false, true];
const ALWAYS: Verdicts = [true; SETS];
const NEVER: Verdicts = [false; SETS];

fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{DATA}:{resource}")
}

fn role(name: &str) -> String {
    format!("arn:aws:iam::{DATA}:role/{name}")
}

/// Returns the policies of the roles for each set.
fn policies() -> &'static [Value] {
    static POLICIES: OnceLock<Vec<Value>> = OnceLock::new();
    POLICIES.get_or_init(|| {
        let set = |side: &str, repair: &str, buckets: &str| {
            json!({
                "Side": side,
                "Repair": repair,
                "RepairPauseMinutes": 15,
                "LandingBucketArns": buckets,
                "ArtifactBucketName": "acme-artifacts",
                "Findings.Arn": arn("dynamodb", "table/landfall-findings"),
                "Queue.Arn": arn("sqs", "landfall-audits"),
            })
        };
        let sets = json!([
            set("data", "missing", "arn:aws:s3:::acme-landing,arn:aws:s3:::acme-items"),
            set("analytics", "missing", "*"),
            set("data", "missing", "*"),
            set("data", "off", "*"),
        ]);
        policies_of("auditor.yaml", &sets).expect("the template is resolved")
    })
}

fn documents() -> Vec<Value> {
    policies()[..SETS].iter().map(|policy| policy["RepairerRole"].clone()).collect()
}

/// A policy of a key that leaves it to IAM in the repairer's account.
fn admits(action: &str) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": action, "Resource": "*",
        "Principal": { "AWS": format!("arn:aws:iam::{DATA}:root") } }] })
}

fn may(action: &str, resource: &str) -> Request {
    let request = Request::by_role(&role("landfall-repairer"), action, resource).owned_by(DATA);
    match action.split_once(':') {
        Some(("kms", _)) => request.resource_policy(admits(action)),
        Some(("sts", _)) => {
            let mut trust = admits(action);
            trust["Statement"][0].as_object_mut().expect("an object").remove("Resource");
            request.resource_policy(trust)
        }
        _ => request,
    }
}

fn each(what: &'static str, verdicts: Verdicts, actions: &[&str], resource: &str) -> Vec<Row> {
    actions.iter().map(|action| (what, verdicts, may(action, resource))).collect()
}

const STACK: [&str; 8] = [
    "cloudformation:CreateChangeSet",
    "cloudformation:DeleteChangeSet",
    "cloudformation:DescribeChangeSet",
    "cloudformation:DescribeEvents",
    "cloudformation:DescribeStacks",
    "cloudformation:ExecuteChangeSet",
    "cloudformation:GetTemplate",
    "cloudformation:ListStackResources",
];
const BUCKET: [&str; 4] = [
    "s3:GetBucketNotification",
    "s3:GetBucketPolicy",
    "s3:GetBucketTagging",
    "s3:GetEncryptionConfiguration",
];
const ROLE: [&str; 4] =
    ["iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"];

/// Every call that the repairer makes, or that CloudFormation makes for it, at what it is meant for and at what it isn't.
fn calls() -> Vec<Row> {
    let invoke = ["lambda:InvokeFunction"];
    let keep = ["dynamodb:GetItem", "dynamodb:PutItem"];
    let log = ["logs:CreateLogStream", "logs:PutLogEvents"];
    let group =
        |name: &str| arn("logs", &format!("log-group:/aws/lambda/landfall-{name}:log-stream:x"));
    let put = |source: &str| {
        may("events:PutEvents", &arn("events", "event-bus/default"))
            .with("events:source", vec![source])
    };
    let routes = "arn:aws:s3:::acme-artifacts/landfall/x/routes.yaml";
    let foreign = may("s3:GetObject", routes).owned_by(FOREIGN);
    // Its owner lets everybody read.
    let foreign = foreign.resource_policy(admits("s3:GetObject"));
    let mut rows = vec![
        ("an event about a repair", ALWAYS, put("landfall")),
        ("an event in another's name", NEVER, put("com.example")),
        ("the routes", ALWAYS, may("s3:GetObject", routes)),
        ("who changed something", ALWAYS, may("cloudtrail:LookupEvents", "*")),
        ("a trail", NEVER, may("cloudtrail:StopLogging", &arn("cloudtrail", "trail/all"))),
        ("somebody else's bucket", NEVER, foreign),
    ];
    let mut add = |more: Vec<Row>| rows.extend(more);
    add(each("the audited stack", ALWAYS, &STACK, &arn("cloudformation", "stack/landfall/1")));
    add(each("another stack", NEVER, &STACK, &arn("cloudformation", "stack/landfall-x/1")));
    add(each("the provisioner", ALWAYS, &invoke, &arn("lambda", "function:landfall-provisioner")));
    add(each("another function", NEVER, &invoke, &arn("lambda", "function:landfall-trigger")));
    for name in ["landfall-reader", "landfall/landfall-starter", "acme/lake/landfall-job"] {
        add(each("a role of Landfall's", ALWAYS, &ROLE, &role(name)));
    }
    add(each("another role", NEVER, &ROLE, &role("admin")));
    let policy = ["iam:GetPolicy", "iam:GetPolicyVersion"];
    add(each("a policy", ALWAYS, &policy, &format!("arn:aws:iam::{DATA}:policy/team/x")));
    add(each("a policy of AWS's", ALWAYS, &policy, "arn:aws:iam::aws:policy/ReadOnlyAccess"));
    add(each("a landing bucket", IN_DATA, &BUCKET, "arn:aws:s3:::acme-landing"));
    add(each("another bucket", [false, false, true], &BUCKET, "arn:aws:s3:::payroll"));
    let manifests = format!("arn:aws:s3:::landfall-manifests-{DATA}-{REGION}");
    add(each("the manifests", IN_DATA, &["s3:GetEncryptionConfiguration"], &manifests));
    add(each("a key", IN_DATA, &["kms:DescribeKey"], &arn("kms", "key/1")));
    add(each("its table", ALWAYS, &keep, &arn("dynamodb", "table/landfall-findings")));
    add(each("the ledger", NEVER, &keep, &arn("dynamodb", "table/landfall-ledger")));
    add(each("its log", ALWAYS, &log, &group("repairer")));
    add(each("the auditor's log", NEVER, &log, &group("auditor")));
    rows
}

/// What only CloudFormation, the provisioner or people may do.
fn never() -> Vec<Row> {
    let of = |actions: &[&str], resource: &str| {
        each("what only others may do", NEVER, actions, resource)
    };
    let roles = [
        "iam:AttachRolePolicy",
        "iam:CreateRole",
        "iam:DeleteRole",
        "iam:DeleteRolePolicy",
        "iam:PassRole",
        "iam:PutRolePolicy",
        "iam:TagRole",
        "iam:UpdateAssumeRolePolicy",
        "sts:AssumeRole",
    ];
    let stack = [
        "cloudformation:CreateStack",
        "cloudformation:DeleteStack",
        "cloudformation:SetStackPolicy",
        "cloudformation:UpdateStack",
        "cloudformation:UpdateTerminationProtection",
    ];
    let bucket = ["s3:PutBucketNotification", "s3:PutBucketPolicy", "s3:ListBucket"];
    let object = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"];
    [
        of(&roles, &role("landfall/landfall-reader")),
        of(&stack, &arn("cloudformation", "stack/landfall/1")),
        of(&bucket, "arn:aws:s3:::acme-landing"),
        of(&object, "arn:aws:s3:::acme-landing/orders/a.csv"),
        of(&object, "arn:aws:s3:::acme-artifacts/other/a.csv"),
        of(&object[1..], "arn:aws:s3:::acme-artifacts/landfall/x/routes.yaml"),
        of(&["kms:Decrypt", "kms:PutKeyPolicy"], &arn("kms", "key/1")),
        of(
            &["lambda:UpdateFunctionCode", "lambda:GetFunctionConfiguration"],
            &arn("lambda", "function:landfall-provisioner"),
        ),
        of(&["glue:StartJobRun", "glue:UpdateJob"], &arn("glue", "job/orders")),
        of(
            &["dynamodb:DeleteItem", "dynamodb:DeleteTable"],
            &arn("dynamodb", "table/landfall-findings"),
        ),
    ]
    .concat()
}

fn wrong(documents: &[Value], sets: &[usize]) -> Vec<String> {
    let rows = [calls(), never()].concat();
    let given = |request: Request, document: &Value| request.identity(document.clone());
    super::wrong(&rows, sets, documents, given)
}

#[test]
fn a_repairer_may_have_one_stack_changed_and_touches_no_role_no_data_and_no_other_stack_itself() {
    let found = wrong(&documents(), &[0, 1, 2]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The engine judges no ARN of a transform, because such an ARN has no account.
#[test]
fn a_repairer_may_run_the_transforms_of_the_templates_and_no_others() {
    for mut document in documents() {
        let transform =
            |name: &str| format!("arn:aws:cloudformation:{REGION}:aws:transform/{name}");
        let transforms = ["Include", "Serverless-2016-10-31"].map(transform);
        let expected = json!({
            "Sid": "RunTransforms", "Effect": "Allow", "Action": "cloudformation:CreateChangeSet",
            "Resource": transforms,
        });
        assert_eq!(*statement(&mut document, "RunTransforms"), expected);
    }
}

#[test]
fn there_is_no_role_that_repairs_while_repair_is_off_and_the_auditors_role_is_the_same() {
    let [with, .., without] = policies() else { panic!("no policies") };
    assert!(without["RepairerRole"].is_null() && !with["RepairerRole"].is_null());
    assert_eq!(without["AuditorRole"], policies()[2]["AuditorRole"]);
}

#[test]
fn the_rows_find_a_repairer_that_may_do_too_much() {
    type Widening = (&'static str, fn(&mut Value));
    let widenings: [Widening; 6] = [
        ("any stack", |it| statement(it, "ChangeTheStack")["Resource"] = json!("*")),
        ("any function", |it| statement(it, "HaveResourcesProvisioned")["Resource"] = json!("*")),
        ("any object", |it| statement(it, "ReadRoutes")["Resource"] = json!("*")),
        ("a bucket of anybody", |it| {
            statement(it, "ReadRoutes").as_object_mut().expect("an object").remove("Condition");
        }),
        ("all of IAM", |it| statement(it, "LookAtRoles")["Action"] = json!("iam:*")),
        ("any table", |it| statement(it, "KeepTimesOfRepairs")["Resource"] = json!("*")),
    ];
    for (what, widen) in widenings {
        let mut documents = documents();
        widen(&mut documents[DATA_NAMED]);
        assert!(!wrong(&documents, &[DATA_NAMED]).is_empty(), "no row detects: {what}");
    }
}
