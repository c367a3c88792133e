//! The auditor's policy, as `infra/auditor.yaml` has it for either account: it may make every call that looks at its half
//! of the chain, and can change nothing but its own table.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use landfall_core::chain::Side;
use landfall_core::chain::permissions::permissions;
use landfall_core::policy::Document;
use landfall_tests::judge::Request;
use landfall_tests::{DATA, REGION};
use serde_json::{Value, json};

use super::{policies_of, statement};

const FOREIGN: &str = "999999999999";

/// The sets of parameters: the data account and the analytics account, each with names, and both with asterisks. The
/// auditor is always in [`DATA`], so that requests differ only in what they are about.
const SETS: usize = 4;
const DATA_NAMED: usize = 0;
const ANALYTICS_NAMED: usize = 1;

type Verdicts = [bool; SETS];

const IN_DATA: Verdicts = [true, false, true, false];
const IN_ANALYTICS: Verdicts = [false, true, false, true];
const ALWAYS: Verdicts = [true; SETS];
const NEVER: Verdicts = [false; SETS];

/// The statements that don't look, with everything that they may do.
const OWN: [(&str, &[&str]); 4] = [
    ("KeepFindings", &["dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:Query"]),
    ("AnnounceFindings", &["events:PutEvents"]),
    ("TakeChanges", &["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"]),
    ("Log", &["logs:CreateLogStream", "logs:PutLogEvents"]),
];

fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{DATA}:{resource}")
}

fn role(name: &str) -> String {
    format!("arn:aws:iam::{DATA}:role/{name}")
}

/// Returns the auditor's policy for each set.
fn documents() -> &'static [Value] {
    static POLICIES: OnceLock<Vec<Value>> = OnceLock::new();
    POLICIES.get_or_init(|| {
        let set = |side: &str, more: Value| {
            let mut set = json!({
                "Side": side,
                "Findings.Arn": arn("dynamodb", "table/landfall-findings"),
                "Queue.Arn": arn("sqs", "landfall-audits"),
            });
            let all = set.as_object_mut().expect("an object");
            all.extend(more.as_object().expect("an object").clone());
            set
        };
        let jobs = json!({
            "ReadAccessAnalyzer": "true", "JobArns": arn("glue", "job/orders"), "JobRoleArns": role("team/orders-job"),
        });
        let buckets =
            json!({ "ReadAccessAnalyzer": "true", "LandingBucketArns": "arn:aws:s3:::acme-landing,arn:aws:s3:::acme-items" });
        let sets = json!([
            set("data", buckets),
            set("analytics", jobs),
            set("data", json!({ "ForwardsIamEvents": "false" })),
            set("analytics", json!({ "ForwardsIamEvents": "false" })),
        ]);
        let policies = policies_of("auditor.yaml", &sets).expect("the template is resolved");
        policies.into_iter().map(|mut policy| policy["AuditorRole"].take()).collect()
    })
}

fn statements(document: &Value) -> &[Value] {
    document["Statement"].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn actions<'d>(statements: impl IntoIterator<Item = &'d Value>) -> BTreeSet<&'d str> {
    let of = |statement: &'d Value| match &statement["Action"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>(),
        one => one.as_str().into_iter().collect(),
    };
    statements.into_iter().flat_map(of).collect()
}

/// A policy of a resource that leaves it to IAM in the auditor's account.
fn admits(action: &str, has_resource: bool) -> Value {
    let mut statement = json!({
        "Effect": "Allow", "Principal": { "AWS": format!("arn:aws:iam::{DATA}:root") }, "Action": action,
    });
    if has_resource {
        statement["Resource"] = json!("*");
    }
    json!({ "Version": "2012-10-17", "Statement": [statement] })
}

/// A request of the auditor about a resource that is this account's. Keys and roles always have a policy of their own.
fn may(action: &str, resource: &str) -> Request {
    let request = Request::by_role(&role("landfall-auditor"), action, resource).owned_by(DATA);
    match action.split(':').next() {
        Some("kms") => request.resource_policy(admits(action, true)),
        Some("sts") => request.resource_policy(admits(action, false)),
        _ => request,
    }
}

type Row = (&'static str, Verdicts, Request);

/// Returns a row for each of the actions.
fn each(what: &'static str, verdicts: Verdicts, actions: &[&str], resource: &str) -> Vec<Row> {
    actions.iter().map(|action| (what, verdicts, may(action, resource))).collect()
}

const BUCKET: [&str; 7] = [
    "s3:GetBucketNotification",
    "s3:GetBucketOwnershipControls",
    "s3:GetBucketPolicy",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketVersioning",
    "s3:GetEncryptionConfiguration",
    "s3:ListBucket",
];
const ROLE: [&str; 4] =
    ["iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies"];
const STACK: [&str; 3] = [
    "cloudformation:DescribeStacks",
    "cloudformation:GetTemplate",
    "cloudformation:ListStackResources",
];

/// What looks, at what it is meant for and at what it isn't.
fn looks() -> Vec<Row> {
    let rule = ["events:DescribeRule", "events:ListTargetsByRule"];
    let policy = ["iam:GetPolicy", "iam:GetPolicyVersion"];
    let function = ["lambda:GetFunctionConcurrency", "lambda:GetFunctionConfiguration"];
    let table = ["dynamodb:DescribeTable", "dynamodb:DescribeTimeToLive"];
    let queue = ["sqs:GetQueueAttributes"];
    let job = ["glue:GetJob", "glue:GetJobRuns"];
    let foreign = |arn: &str| arn.replace(DATA, FOREIGN);
    let mut rows = Vec::new();
    let mut add = |more: Vec<Row>| rows.extend(more);
    add(each("the audited stack", ALWAYS, &STACK, &arn("cloudformation", "stack/landfall/1")));
    add(each("another stack", NEVER, &STACK, &arn("cloudformation", "stack/landfall-x/1")));
    add(each("the rule for uploads", IN_DATA, &rule, &arn("events", "rule/landfall-arrivals")));
    add(each("the schedule", IN_DATA, &rule, &arn("events", "rule/landfall-MonitorTick-1A2B")));
    add(each("the rule for runs", IN_ANALYTICS, &rule, &arn("events", "rule/landfall-job-state")));
    add(each("another rule", NEVER, &rule, &arn("events", "rule/payroll")));
    // What forwards IAM's events is in another region. The second set of each account goes without.
    let expecting = [true, true, false, false];
    let in_iam_region = |service: &str, name: &str| {
        arn(service, &format!("{name}landfall-iam-events")).replace(REGION, "us-gov-west-1")
    };
    let describe = ["cloudformation:DescribeStacks"];
    let of_events = in_iam_region("cloudformation", "stack/") + "/1";
    add(each("the stack of IAM's events", expecting, &describe, &of_events));
    add(each("its template", NEVER, &["cloudformation:GetTemplate"], &of_events));
    add(each("the rule of IAM's events", expecting, &rule, &in_iam_region("events", "rule/")));
    add(each("that rule elsewhere", NEVER, &rule, &foreign(&in_iam_region("events", "rule/"))));
    for name in ["landfall-reader", "landfall/landfall-reader", "acme/lake/landfall-job"] {
        add(each("a role of Landfall's", ALWAYS, &ROLE, &role(name)));
    }
    let of_job = [false, true, false, true];
    add(each("the role of a job", of_job, &ROLE, &role("team/orders-job")));
    add(each("any job's role", [false, false, false, true], &ROLE, &role("admin")));
    add(each("a role of another account", NEVER, &ROLE, &foreign(&role("landfall-reader"))));
    add(each("a policy", ALWAYS, &policy, &format!("arn:aws:iam::{DATA}:policy/team/x")));
    add(each("a policy of AWS's", ALWAYS, &policy, "arn:aws:iam::aws:policy/ReadOnlyAccess"));
    add(each("a landing bucket", IN_DATA, &BUCKET, "arn:aws:s3:::acme-landing"));
    add(each("a second landing bucket", IN_DATA, &BUCKET, "arn:aws:s3:::acme-items"));
    add(each("another bucket", [false, false, true, false], &BUCKET, "arn:aws:s3:::payroll"));
    for action in BUCKET {
        let request = may(action, "arn:aws:s3:::acme-landing").owned_by(FOREIGN);
        rows.push((
            "a bucket of somebody else's",
            NEVER,
            request.resource_policy(admits(action, true)),
        ));
    }
    let mut add = |more: Vec<Row>| rows.extend(more);
    add(each("a key", IN_DATA, &["kms:DescribeKey", "kms:GetKeyPolicy"], &arn("kms", "key/1")));
    for name in ["arrivals", "arrivals-dlq", "runs", "runs-dlq"] {
        add(each("a queue", IN_DATA, &queue, &arn("sqs", &format!("landfall-{name}"))));
    }
    add(each("another queue", NEVER, &queue, &arn("sqs", "payroll")));
    for name in ["trigger", "monitor"] {
        add(each(
            "a function",
            IN_DATA,
            &function,
            &arn("lambda", &format!("function:landfall-{name}")),
        ));
    }
    add(each("another function", NEVER, &function, &arn("lambda", "function:payroll")));
    add(each("the mappings", IN_DATA, &["lambda:ListEventSourceMappings"], "*"));
    for name in ["ledger", "claims"] {
        add(each("a table", IN_DATA, &table, &arn("dynamodb", &format!("table/landfall-{name}"))));
    }
    add(each("another table", NEVER, &table, &arn("dynamodb", "table/payroll")));
    // The first set of each account asks Access Analyzer.
    let asking = [true, true, false, false];
    let analyzer = arn("access-analyzer", "analyzer/landfall");
    let list = ["access-analyzer:ListFindings"];
    add(each("the analyzers", asking, &["access-analyzer:ListAnalyzers"], "*"));
    add(each("an analyzer's findings", asking, &list, &analyzer));
    add(each("another account's analyzer", NEVER, &list, &foreign(&analyzer)));
    let change = ["access-analyzer:UpdateFindings", "access-analyzer:DeleteAnalyzer"];
    add(each("an analyzer, to change it", NEVER, &change, &analyzer));
    let query = ["dynamodb:Query"];
    let index = |name: &str| arn("dynamodb", &format!("table/landfall-{name}"));
    add(each("the routes' newest batches", IN_DATA, &query, &index("ledger/index/routes")));
    add(each("another index", NEVER, &query, &index("ledger/index/due")));
    add(each("an index of another table", NEVER, &query, &index("claims/index/routes")));
    let read = ["dynamodb:GetItem", "dynamodb:Scan"];
    add(each("the index in another way", NEVER, &read, &index("ledger/index/routes")));
    add(each("a job", IN_ANALYTICS, &job, &arn("glue", "job/orders")));
    add(each("another job", [false, false, false, true], &job, &arn("glue", "job/payroll")));
    rows
}

/// What it may do beside looking.
fn own() -> Vec<Row> {
    let keep = ["dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:Query"];
    let take = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"];
    let log = ["logs:CreateLogStream", "logs:PutLogEvents"];
    let put = |bus: &str, source: &str| {
        may("events:PutEvents", &arn("events", &format!("event-bus/{bus}")))
            .with("events:source", vec![source])
    };
    let group =
        |name: &str| arn("logs", &format!("log-group:/aws/lambda/landfall-{name}:log-stream:x"));
    let mut rows = vec![
        ("an event about a finding", ALWAYS, put("default", "landfall")),
        ("an event in another's name", NEVER, put("default", "com.example")),
        (
            "an event that says nothing of its source",
            NEVER,
            may("events:PutEvents", &arn("events", "event-bus/default")),
        ),
        ("an event on another bus", NEVER, put("other", "landfall")),
    ];
    rows.extend(each("its findings", ALWAYS, &keep, &arn("dynamodb", "table/landfall-findings")));
    rows.extend(each("the ledger", NEVER, &keep, &arn("dynamodb", "table/landfall-ledger")));
    rows.extend(each("its queue", ALWAYS, &take, &arn("sqs", "landfall-audits")));
    rows.extend(each(
        "the arrivals",
        NEVER,
        &["sqs:ReceiveMessage"],
        &arn("sqs", "landfall-arrivals"),
    ));
    rows.extend(each("its log", ALWAYS, &log, &group("auditor")));
    rows.extend(each("another's log", NEVER, &log, &group("trigger")));
    rows
}

/// What would read data, or change what is looked at.
fn never() -> Vec<Row> {
    let of = |actions: &[&str], resource: &str| {
        each("what only others may do", NEVER, actions, resource)
    };
    let role_actions = [
        "iam:AttachRolePolicy",
        "iam:DeleteRole",
        "iam:DeleteRolePolicy",
        "iam:PutRolePolicy",
        "iam:UpdateAssumeRolePolicy",
        "sts:AssumeRole",
    ];
    let stack = [
        "cloudformation:CreateChangeSet",
        "cloudformation:ExecuteChangeSet",
        "cloudformation:UpdateStack",
    ];
    let bucket = ["s3:DeleteBucketPolicy", "s3:PutBucketNotification", "s3:PutBucketPolicy"];
    let function =
        ["lambda:InvokeFunction", "lambda:PutFunctionConcurrency", "lambda:UpdateFunctionCode"];
    let queue = ["sqs:PurgeQueue", "sqs:SendMessage", "sqs:SetQueueAttributes"];
    [
        of(&["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], "arn:aws:s3:::acme-landing/a.csv"),
        of(&bucket, "arn:aws:s3:::acme-landing"),
        of(&role_actions, &role("landfall/landfall-reader")),
        of(&stack, &arn("cloudformation", "stack/landfall/1")),
        of(&["kms:Decrypt", "kms:PutKeyPolicy"], &arn("kms", "key/1")),
        of(&function, &arn("lambda", "function:landfall-trigger")),
        of(&queue, &arn("sqs", "landfall-arrivals")),
        of(&queue, &arn("sqs", "landfall-audits")),
        of(&["events:DisableRule", "events:PutRule"], &arn("events", "rule/landfall-job-state")),
        of(&["glue:StartJobRun", "glue:UpdateJob"], &arn("glue", "job/orders")),
        of(
            &["dynamodb:DeleteTable", "dynamodb:GetItem"],
            &arn("dynamodb", "table/landfall-ledger"),
        ),
    ]
    .concat()
}

/// Returns a line for each wrong verdict.
fn wrong(documents: &[Value], sets: &[usize]) -> Vec<String> {
    let rows = [looks(), own(), never()].concat();
    let given = |request: Request, document: &Value| request.identity(document.clone());
    super::wrong(&rows, sets, documents, given)
}

#[test]
fn an_auditor_may_look_at_its_half_of_the_chain_and_change_nothing_but_its_own_table() {
    let found = wrong(documents(), &[0, 1, 2, 3]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The core lists the calls that look. Reading objects is what the auditor leaves out.
#[test]
fn an_auditor_has_the_permissions_that_it_takes_to_look_and_no_others() {
    let sides = [Side::Data, Side::Analytics, Side::Data, Side::Analytics];
    for (set, (document, side)) in documents().iter().zip(sides).enumerate() {
        let sid = |statement: &Value| statement["Sid"].as_str().unwrap_or_default().to_owned();
        let is_own = |statement: &&Value| OWN.iter().any(|(own, _)| *own == sid(statement));
        let (own, looking): (Vec<&Value>, Vec<&Value>) =
            statements(document).iter().partition(is_own);
        let needed = Document::new(permissions(side, &["*"], &[]));
        let mut needed = actions(statements(needed.value()));
        needed.remove("s3:GetObject");
        // Only people ask the policy simulation, and for the network of jobs.
        let of_people = ["iam:SimulatePrincipalPolicy", "glue:GetConnection"];
        needed.retain(|action| !of_people.contains(action) && !action.starts_with("ec2:"));
        if side == Side::Data {
            needed.insert("dynamodb:Query");
        }
        if [DATA_NAMED, ANALYTICS_NAMED].contains(&set) {
            needed.extend(["access-analyzer:ListAnalyzers", "access-analyzer:ListFindings"]);
        }
        assert_eq!(actions(looking), needed, "{side:?}");
        for (statement, (name, its)) in own.into_iter().zip(OWN) {
            assert_eq!(
                (sid(statement).as_str(), actions([statement])),
                (name, its.iter().copied().collect())
            );
        }
    }
}

#[test]
fn the_rows_find_an_auditor_that_may_do_too_much() {
    type Widening = (&'static str, usize, fn(&mut Value));
    let widenings: [Widening; 9] = [
        ("any stack", DATA_NAMED, |it| statement(it, "LookAtTheStack")["Resource"] = json!("*")),
        ("any rule", ANALYTICS_NAMED, |it| statement(it, "LookAtRules")["Resource"] = json!("*")),
        ("any role", DATA_NAMED, |it| statement(it, "LookAtRoles")["Resource"] = json!("*")),
        ("a bucket of anybody", DATA_NAMED, |it| {
            statement(it, "LookAtBuckets").as_object_mut().expect("an object").remove("Condition");
        }),
        ("all of S3", DATA_NAMED, |it| statement(it, "LookAtBuckets")["Action"] = json!("s3:*")),
        ("the whole ledger", DATA_NAMED, |it| {
            let ledger = json!([arn("dynamodb", "table/landfall-ledger*")]);
            statement(it, "SeeWhetherRoutesAreUsed")["Resource"] = ledger;
        }),
        ("any table", DATA_NAMED, |it| statement(it, "KeepFindings")["Resource"] = json!("*")),
        ("any source", ANALYTICS_NAMED, |it| {
            statement(it, "AnnounceFindings")
                .as_object_mut()
                .expect("an object")
                .remove("Condition");
        }),
        ("sending", ANALYTICS_NAMED, |it| statement(it, "TakeChanges")["Action"] = json!("sqs:*")),
    ];
    for (what, set, widen) in widenings {
        let mut documents = documents().to_vec();
        widen(&mut documents[set]);
        assert!(!wrong(&documents, &[set]).is_empty(), "no row detects: {what}");
    }
}
