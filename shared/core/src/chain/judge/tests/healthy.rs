//! A chain in which every link works.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use crate::bucket_notifications::{Configuration, EVENT, Entry, Filter, FilterRule};
use crate::chain::observed::*;
use crate::moment::Time;
use crate::policy::Document;
use crate::usage::Usage;

pub(super) const QUEUE: &str = "arn:aws:sqs:eu-west-1:111111111111:landfall-arrivals";
pub(super) const RUNS: &str = "arn:aws:sqs:eu-west-1:111111111111:landfall-runs";
pub(super) const READER: &str =
    "arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222";
pub(super) const JOB_ROLE: &str = "arn:aws:iam::222222222222:role/landfall/landfall-job";
pub(super) const KEY: &str = "arn:aws:kms:eu-west-1:111111111111:key/1";

pub(super) fn document(value: &serde_json::Value) -> Document {
    Document::parse(&value.to_string()).expect("a document")
}

pub(super) fn named<T>(name: &str, it: T) -> Named<T> {
    Named { name: name.to_owned(), look: Look::Seen(it) }
}

fn queue(name: &str, policy: Option<Document>) -> Named<Queue> {
    named(name, Queue { visible: 0, in_flight: 0, policy })
}

fn function(name: &str, queues: &[&str]) -> Function {
    let mapping = |queue: &&str| {
        let uuid = format!("uuid-of-{name}");
        named(queue, Mapping { uuid, state: "Enabled".to_owned(), last_result: None })
    };
    Function {
        name: name.to_owned(),
        state: Look::Seen(FunctionState { state: "Active".to_owned(), reason: None, vpc: None }),
        reserved_concurrency: Look::Seen(None),
        mappings: queues.iter().map(mapping).collect(),
    }
}

fn role(trust: &serde_json::Value) -> Role {
    Role {
        role_id: "AROALIVINGLIVING0001".to_owned(),
        trust: Some(document(trust)),
        differences: Vec::new(),
        brakes: Vec::new(),
        keys: BTreeSet::from([KEY.to_owned()]),
    }
}

/// Returns what an analyzer says that knows of nobody, where this account is let in on purpose.
fn analysis(intended: &str) -> Analysis {
    Analysis { intended: BTreeSet::from([intended.to_owned()]), findings: Look::Seen(Vec::new()) }
}

/// Returns what forwards IAM's events to an account.
fn iam_events(account: &str) -> Forwarding {
    let bus = format!("arn:aws:events:eu-west-1:{account}:event-bus/default");
    Forwarding {
        region: "us-east-1".to_owned(),
        stack: named("landfall-iam-events", "CREATE_COMPLETE".to_owned()),
        rule: named("landfall-iam-events", rule(&bus, Some(json!({ "source": ["aws.iam"] })))),
        bus,
    }
}

/// Returns the policy of a key that leaves it to the policies of this account's roles.
pub(super) fn key_policy(account: &str) -> String {
    json!({ "Version": "2012-10-17", "Statement": [{ "Sid": "Owner", "Effect": "Allow", "Action": "kms:*",
        "Principal": { "AWS": format!("arn:aws:iam::{account}:root") }, "Resource": "*" }] })
    .to_string()
}

fn trust_in(account: &str, role: &str) -> serde_json::Value {
    json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "AWS": format!("arn:aws:iam::{account}:root") },
        "Condition": { "ArnEquals": { "aws:PrincipalArn": role } },
    }] })
}

pub(super) fn rule(target: &str, pattern: Option<serde_json::Value>) -> Rule {
    Rule { is_enabled: true, targets: vec![target.to_owned()], pattern }
}

/// Returns a connection with gateways to S3 and DynamoDB, and with an endpoint of STS.
fn connection() -> Connection {
    let endpoint = |id: &str, service: &str, tables: Option<Vec<String>>| Endpoint {
        id: id.to_owned(),
        service: format!("com.amazonaws.eu-west-1.{service}"),
        is_available: true,
        has_private_dns: tables.is_none(),
        tables,
        policy: Some(document(&json!({ "Version": "2008-10-17", "Statement": [
            { "Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*" }] }))),
    };
    let tables = Some(vec!["rtb-1".to_owned()]);
    let subnet = Subnet {
        vpc: "vpc-1".to_owned(),
        free_addresses: 250,
        table: Look::Seen(RouteTable { id: "rtb-1".to_owned(), way_out: None }),
        endpoints: Look::Seen(vec![
            endpoint("vpce-s3", "s3", tables.clone()),
            endpoint("vpce-dynamodb", "dynamodb", tables),
            endpoint("vpce-sts", "sts", None),
        ]),
    };
    let group = Group { id: "sg-1".to_owned(), admits_itself: true };
    Connection { subnet: Some(named("subnet-1", subnet)), groups: Look::Seen(vec![group]) }
}

pub(super) fn healthy() -> Observations {
    let arrivals = json!({ "Version": "2012-10-17", "Statement": [
        { "Sid": "LandingBucketsSend", "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": QUEUE,
          "Principal": { "Service": "s3.amazonaws.com" },
          "Condition": { "ArnLike": { "aws:SourceArn": ["arn:*:s3:::acme-landing"] },
                         "StringEquals": { "aws:SourceAccount": "111111111111" } } },
        { "Sid": "RuleSends", "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": QUEUE,
          "Principal": { "Service": "events.amazonaws.com" },
          "Condition": { "ArnEquals": { "aws:SourceArn":
              "arn:aws:events:eu-west-1:111111111111:rule/landfall-arrivals" } } },
        { "Sid": "DenyWithoutTls", "Effect": "Deny", "Action": "sqs:*", "Resource": QUEUE, "Principal": "*",
          "Condition": { "Bool": { "aws:SecureTransport": "false" } } },
    ] });
    let runs = json!({ "Version": "2012-10-17", "Statement": [
        { "Sid": "RuleOfTheAnalyticsAccountSends", "Effect": "Allow", "Action": "sqs:SendMessage",
          "Resource": RUNS, "Principal": { "AWS": "arn:aws:iam::222222222222:root" },
          "Condition": { "ArnEquals": { "aws:PrincipalArn":
              "arn:aws:iam::222222222222:role/landfall-job-state-events" } } },
    ] });
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Sid": "DenyWithoutTls", "Effect": "Deny", "Action": "s3:*", "Principal": "*",
          "Resource": ["arn:aws:s3:::acme-landing", "arn:aws:s3:::acme-landing/*"],
          "Condition": { "Bool": { "aws:SecureTransport": "false" } } },
    ] });
    let filter = Filter { prefix: "orders/".to_owned(), suffix: ".csv".to_owned() };
    let filter_rule =
        |name: &str, value: &str| FilterRule { name: name.to_owned(), value: value.to_owned() };
    let entry = Entry {
        id: Some("landfall-prod-0123abcd".to_owned()),
        arn: QUEUE.to_owned(),
        events: vec![EVENT.to_owned()],
        filter_rules: vec![filter_rule("Prefix", "orders/"), filter_rule("Suffix", ".csv")],
    };
    let bucket = Bucket {
        region: Look::Seen("eu-west-1".to_owned()),
        versioning: Look::Seen(true),
        ownership: Look::Seen("BucketOwnerEnforced".to_owned()),
        public_access_block: Look::Seen(Vec::new()),
        policy: Look::Seen(document(&policy)),
        statements: Look::Seen(None),
        kms_key: Look::Seen(Some(KEY.to_owned())),
        job_roles: BTreeSet::new(),
        key: Some(Look::Seen(Key {
            arn: KEY.to_owned(),
            state: "Enabled".to_owned(),
            is_of_aws: false,
            policy: Some(Look::Seen(key_policy("111111111111"))),
        })),
        notifications: Look::Seen(Configuration {
            queues: vec![entry],
            ..Configuration::default()
        }),
        filters: vec![filter],
    };
    let data = DataAccount {
        kept_by_organization: BTreeSet::new(),
        account: "111111111111".to_owned(),
        region: "eu-west-1".to_owned(),
        stack: named("landfall", "UPDATE_COMPLETE".to_owned()),
        routes_are_deployed: Look::Seen(true),
        announces: Look::Seen(true),
        buckets: BTreeMap::from([("acme-landing".to_owned(), bucket)]),
        transport: Transport::S3,
        arrivals: queue(QUEUE, Some(document(&arrivals))),
        arrivals_dlq: queue(&QUEUE.replace("arrivals", "arrivals-dlq"), None),
        trigger: function("landfall-trigger", &[QUEUE]),
        schedule: named(
            "landfall-MonitorTick",
            rule("arn:aws:lambda:eu-west-1:111111111111:function:landfall-monitor", None),
        ),
        monitor: function("landfall-monitor", &[RUNS]),
        runs: queue(RUNS, Some(document(&runs))),
        runs_dlq: queue(&RUNS.replace("runs", "runs-dlq"), None),
        ledger: named("landfall-ledger", "ACTIVE".to_owned()),
        ledger_expiry: Look::Seen(true),
        usage: Some(Watch {
            routes: BTreeMap::from([(
                "orders".to_owned(),
                Look::Seen(Usage {
                    since: Time::default(),
                    looked: Time::default(),
                    newest: Some(Time::default()),
                }),
            )]),
            unused_after: Duration::from_secs(90 * 24 * 3_600),
        }),
        analysis: Some(analysis("222222222222")),
        iam_events: Some(iam_events("111111111111")),
        claims: named("landfall-claims", "ACTIVE".to_owned()),
        claims_expiry: Look::Seen(true),
        reader: named(READER, role(&trust_in("222222222222", JOB_ROLE))),
    };
    let trigger = "arn:aws:iam::111111111111:role/landfall-trigger";
    let glue = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow",
        "Action": "sts:AssumeRole", "Principal": { "Service": "glue.amazonaws.com" } }] });
    let job = Job {
        job: Look::Seen(JobFacts {
            role: JOB_ROLE.to_owned(),
            script: "s3://acme-scripts/orders.py".to_owned(),
            max_retries: 0,
            max_concurrent_runs: 10,
            connections: vec!["orders-vpc".to_owned()],
        }),
        role_trusts_glue: Look::Seen(true),
        script: Some(Look::Seen(())),
        network: Some(vec![named("orders-vpc", connection())]),
        last_failure: Look::Seen(None),
    };
    let analytics = AnalyticsAccount {
        kept_by_organization: BTreeSet::new(),
        account: "222222222222".to_owned(),
        region: "eu-west-1".to_owned(),
        stack: named("landfall", "CREATE_COMPLETE".to_owned()),
        starter: named(
            "arn:aws:iam::222222222222:role/landfall/landfall-starter",
            role(&trust_in("111111111111", trigger)),
        ),
        job_role: Some(named(JOB_ROLE, role(&glue))),
        analysis: Some(analysis("111111111111")),
        iam_events: Some(iam_events("222222222222")),
        jobs: BTreeMap::from([("orders-to-parquet".to_owned(), job)]),
        rule_of_runs: named(
            "landfall-job-state",
            rule(RUNS, Some(json!({ "detail": { "jobName": ["orders-to-parquet"] } }))),
        ),
    };
    let route = RouteFacts {
        name: "orders".to_owned(),
        bucket: "acme-landing".to_owned(),
        job: Some("orders-to-parquet".to_owned()),
        must_claim: true,
        by_bucket_policy: false,
        max_concurrent_runs: Some(4),
        announces: true,
    };
    Observations {
        at: Time::default(),
        deploy: "landfall deploy routes.yaml".to_owned(),
        routes: vec![route],
        data: Ok(data),
        analytics: Ok(analytics),
    }
}

/// Returns a healthy chain whose bucket's events take both ways to the queue.
pub(super) fn both_transports() -> Observations {
    let mut observations = healthy();
    let data = observations.data.as_mut().expect("data");
    let pattern = json!({ "detail": { "bucket": { "name": ["acme-landing"] } } });
    data.transport = Transport::Both(named("landfall-arrivals", rule(QUEUE, Some(pattern))));
    let bucket = data.buckets.get_mut("acme-landing").expect("the bucket");
    if let Look::Seen(configuration) = &mut bucket.notifications {
        configuration.event_bridge = true;
    }
    observations
}
