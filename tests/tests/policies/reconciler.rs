//! The reconciler's policy, as `infra/data-account.yaml` has it: it lists the buckets of routes that ask for it, reads the
//! ledger, keeps its own place there, and sends to the queue of backfills. It reads no object but those of inventories that
//! routes name, and starts nothing.

use std::sync::OnceLock;

use landfall_tests::judge::Request;
use landfall_tests::{ANALYTICS, DATA, REGION};
use serde_json::{Value, json};

use super::{policies_of, statement};

const FOREIGN: &str = "999999999999";

/// Sets of parameters: routes that ask for it, the same with operators, routes that don't, and routes of which one takes keys
/// of any beginning and none names inventories.
const WITH: usize = 0;
const WITH_OPERATORS: usize = 1;
const WITHOUT: usize = 2;
const WIDE: usize = 3;

type Row = (&'static str, [bool; 1], Request);

fn arn(service: &str, resource: &str) -> String {
    format!("arn:aws:{service}:{REGION}:{DATA}:{resource}")
}

fn role(name: &str) -> String {
    format!("arn:aws:iam::{DATA}:role/{name}")
}

/// Returns the policies of the template for each set.
fn policies() -> &'static [Value] {
    static POLICIES: OnceLock<Vec<Value>> = OnceLock::new();
    POLICIES.get_or_init(|| {
        let set = |buckets: &str, prefixes: &str, inventories: &str, operators: &str| {
            json!({
                "AnalyticsAccountId": ANALYTICS,
                "LandingBucketNames": "acme-landing",
                "ReconciledBucketArns": buckets,
                "ReconciledPrefixes": prefixes,
                "ReconciledInventoryArns": inventories,
                "OperatorRoleArns": operators,
                "ArrivalsQueue.Arn": arn("sqs", "landfall-arrivals"),
                "BackfillQueue.Arn": arn("sqs", "landfall-backfill"),
                "RunsQueue.Arn": arn("sqs", "landfall-runs"),
                "WorkQueue.Arn": arn("sqs", "landfall-work"),
                "Ledger.Arn": arn("dynamodb", "table/landfall-ledger"),
                "Claims.Arn": arn("dynamodb", "table/landfall-claims"),
                "Manifests.Arn": "arn:aws:s3:::manifests",
                "ReconcilerRole.Arn": role("landfall-reconciler"),
            })
        };
        let buckets = "arn:aws:s3:::acme-landing,arn:aws:s3:::acme-items,arn:aws:s3:::inventories";
        let inventories = "arn:aws:s3:::inventories/acme-items/all/*";
        let prefixes = "acme-items/all/*,items/*,orders/dt=*";
        let operators = role("operators");
        let sets = json!([
            set(buckets, prefixes, inventories, ""),
            set(buckets, prefixes, inventories, &operators),
            set("", "", "", &operators),
            set(buckets, "", "", ""),
        ]);
        policies_of("data-account.yaml", &sets).expect("the template is resolved")
    })
}

fn may(action: &str, resource: &str) -> Request {
    Request::by_role(&role("landfall-reconciler"), action, resource).owned_by(DATA)
}

fn each(what: &'static str, is_allowed: bool, actions: &[&str], resource: &str) -> Vec<Row> {
    actions.iter().map(|action| (what, [is_allowed], may(action, resource))).collect()
}

fn rows() -> Vec<Row> {
    let list = ["s3:ListBucket", "s3:ListBucketVersions"];
    let versioning = ["s3:GetBucketVersioning"];
    let below = |what, is_allowed, resource: &str, prefix: &str| -> Vec<Row> {
        let rows = each(what, is_allowed, &list, resource).into_iter();
        rows.map(|(what, allowed, request)| (what, allowed, request.with("s3:prefix", prefix)))
            .collect()
    };
    let inventory = "arn:aws:s3:::inventories/acme-items/all/2026-01-31T01-00Z/manifest.json";
    let object = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject"];
    let read = ["dynamodb:GetItem", "dynamodb:Query"];
    let change = ["dynamodb:DeleteItem", "dynamodb:UpdateItem", "dynamodb:Scan"];
    let log = ["logs:CreateLogStream", "logs:PutLogEvents"];
    let group =
        |name: &str| arn("logs", &format!("log-group:/aws/lambda/landfall-{name}:log-stream:x"));
    let ledger = arn("dynamodb", "table/landfall-ledger");
    let bus = arn("events", "event-bus/default");
    let put = |source: &str| may("events:PutEvents", &bus).with("events:source", vec![source]);
    let keep = |key: &str| may("dynamodb:PutItem", &ledger).with("dynamodb:LeadingKeys", vec![key]);
    // Its owner lets everybody list it.
    let foreign = may("s3:ListBucket", "arn:aws:s3:::acme-items").owned_by(FOREIGN);
    let foreign = foreign.with("s3:prefix", "items/");
    // Its owner lets everybody read it.
    let foreign_inventory = may("s3:GetObject", inventory).owned_by(FOREIGN);
    let foreign_inventory = foreign_inventory.resource_policy(json!({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "*" }] }));
    let foreign = foreign.resource_policy(json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": "*", "Action": "s3:ListBucket", "Resource": "*" }] }));
    let mut rows = vec![
        ("an event about a finding", [true], put("landfall")),
        ("an event in another's name", [false], put("com.example")),
        ("an event that says nothing of its source", [false], may("events:PutEvents", &bus)),
        ("how far it has come", [true], keep("reconciliation")),
        ("a batch", [false], keep("batch#1")),
        ("a backfill", [false], keep("backfill")),
        ("an item that names no key", [false], may("dynamodb:PutItem", &ledger)),
        ("a bucket of another account that has the name", [false], foreign),
        ("an inventory of another account", [false], foreign_inventory),
    ];
    let mut add = |more: Vec<Row>| rows.extend(more);
    let bucket = "arn:aws:s3:::acme-items";
    add(below("what a route takes", true, bucket, "items/"));
    add(below("one key of it", true, bucket, "items/a,b.csv"));
    add(below("what no route takes", false, bucket, "payroll/"));
    add(below("all keys", false, bucket, ""));
    add(each("all keys without a word of it", false, &list, bucket));
    add(each("whether a bucket keeps versions", true, &versioning, bucket));
    add(below("another bucket", false, "arn:aws:s3:::payroll", "items/"));
    add(each("whether another bucket keeps versions", false, &versioning, "arn:aws:s3:::payroll"));
    add(below("the inventories", true, "arn:aws:s3:::inventories", "acme-items/all/"));
    add(each("an inventory", true, &object[..1], inventory));
    add(each("a change of an inventory", false, &object[2..], inventory));
    let other = "arn:aws:s3:::inventories/acme-payroll/all/data/1.csv.gz";
    add(each("an inventory that no route names", false, &object, other));
    add(each("an object", false, &object, "arn:aws:s3:::acme-items/orders/a.csv"));
    add(each("the ledger", true, &read, &ledger));
    add(each("the index of routes", true, &read[1..], &format!("{ledger}/index/routes")));
    add(each("another index", false, &read[1..], &format!("{ledger}/index/due")));
    add(each("an item of the ledger", false, &change, &ledger));
    add(each("the claims", false, &read, &arn("dynamodb", "table/landfall-claims")));
    let send = ["sqs:SendMessage"];
    add(each("the queue of backfills", true, &send, &arn("sqs", "landfall-backfill")));
    add(each("the arrivals' queue", false, &send, &arn("sqs", "landfall-arrivals")));
    add(each("a message", false, &["sqs:ReceiveMessage"], &arn("sqs", "landfall-backfill")));
    let look = ["cloudformation:DescribeStacks"];
    add(each("the stack", true, &look, &arn("cloudformation", "stack/landfall/1")));
    add(each("another stack", false, &look, &arn("cloudformation", "stack/other/1")));
    let starter = format!("arn:aws:iam::{ANALYTICS}:role/landfall/landfall-starter");
    let trust = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
        "Action": "sts:AssumeRole", "Principal": { "AWS": format!("arn:aws:iam::{DATA}:root") } }] });
    let become_it = may("sts:AssumeRole", &starter).owned_by(ANALYTICS).resource_policy(trust);
    add(vec![("the starter role", [false], become_it)]);
    add(each("its log", true, &log, &group("reconciler")));
    add(each("the trigger's log", false, &log, &group("trigger")));
    rows
}

fn wrong(document: Value) -> Vec<String> {
    let given = |request: Request, it: &Value| request.identity(it.clone());
    super::wrong(&rows(), &[0], &[document], given)
}

#[test]
fn a_reconciler_lists_its_buckets_keeps_its_place_and_sends_to_the_queue_of_backfills_only() {
    let found = wrong(policies()[WITH]["ReconcilerRole"].clone());
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(policies()[WITHOUT]["ReconcilerRole"].is_null());
}

#[test]
fn a_reconciler_of_all_keys_lists_whole_buckets_and_without_inventories_it_reads_nothing() {
    let may = |action: &str, resource: &str| {
        may(action, resource).identity(policies()[WIDE]["ReconcilerRole"].clone())
    };
    super::check([
        ("a bucket", true, may("s3:ListBucket", "arn:aws:s3:::acme-items")),
        ("another bucket", false, may("s3:ListBucket", "arn:aws:s3:::payroll")),
        ("an object", false, may("s3:GetObject", "arn:aws:s3:::inventories/acme-items/all/x")),
    ]);
}

#[test]
fn beside_the_operators_only_the_reconciler_may_send_backfills() {
    let send = |who: &str, set: usize| {
        let queue = arn("sqs", "landfall-backfill");
        let allow = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*" }] });
        let request = Request::by_role(&role(who), "sqs:SendMessage", &queue).owned_by(DATA);
        let request = request.with("aws:SecureTransport", "true");
        request.identity(allow).resource_policy(policies()[set]["BackfillQueuePolicy"].clone())
    };
    super::check([
        ("an operator", true, send("operators", WITH_OPERATORS)),
        ("the reconciler", true, send("landfall-reconciler", WITH_OPERATORS)),
        ("anybody else", false, send("landfall-trigger", WITH_OPERATORS)),
        ("the reconciler without operators", true, send("landfall-reconciler", WITH)),
        ("a role of its name where there is none", false, send("landfall-reconciler", WITHOUT)),
    ]);
}

#[test]
fn the_rows_find_a_reconciler_that_may_do_too_much() {
    type Widening = (&'static str, fn(&mut Value));
    let widenings: [Widening; 6] = [
        ("any bucket", |it| statement(it, "ListBuckets")["Resource"] = json!("*")),
        ("any key", |it| {
            let condition = &mut statement(it, "ListBuckets")["Condition"];
            condition.as_object_mut().expect("an object").remove("StringLike");
        }),
        ("any inventory", |it| {
            statement(it, "ReadInventories")["Resource"] = json!("arn:aws:s3:::inventories/*");
        }),
        ("any item", |it| {
            statement(it, "KeepItsPlace").as_object_mut().expect("an object").remove("Condition");
        }),
        ("any queue", |it| statement(it, "SendWhatItFound")["Resource"] = json!("*")),
        ("any index", |it| statement(it, "ReadTheLedger")["Resource"] = json!("*")),
    ];
    for (what, widen) in widenings {
        let mut document = policies()[WITH]["ReconcilerRole"].clone();
        widen(&mut document);
        assert!(!wrong(document).is_empty(), "{what}");
    }
}
