//! Audits of an analytics account, over HTTP. AWS is a stand-in that knows one stack with a starter role and one job.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use landfall_auditor::{Audited, Context, Error, Settings, handle};
use landfall_aws::config::http_client;
use landfall_aws::metrics::Metrics;
use landfall_core::chain::Side;
use landfall_stand_ins::{Act, EventRule, IamRole, Stack, StandIn, Table};
use serde_json::{Value, json};

const TABLE: &str = "landfall-findings";
const STACK: &str = "arn:aws:cloudformation:eu-west-1:222222222222:stack/landfall/1";
const STARTER: &str = "landfall-starter";
const MISSING: &str = "LF018/role_missing/arn:aws:iam::222222222222:role/landfall/landfall-starter";

/// The account with its auditor.
struct Account {
    aws: StandIn,
    context: Context,
    output: Output,
}

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn template() -> String {
    let routes = json!({
        "version": "1",
        "targets": { "lake": { "account": "222222222222", "region": "eu-west-1",
            "starter_role": "landfall/landfall-starter", "external_id": "${X}" } },
        "routes": [{ "name": "orders", "bucket": "acme-landing", "key": "orders/{file}",
            "start": { "target": "lake", "job": "orders" } }],
    });
    let starter = json!({
        "Type": "Custom::LandfallStarterRole",
        "Properties": {
            "RoleName": STARTER,
            "Routes": routes,
            "TrustedRoleArns": ["arn:aws:iam::111111111111:role/landfall-trigger"],
            "ExternalId": { "Ref": "ExternalId" },
        },
    });
    json!({
        "Parameters": { "ExternalId": { "Type": "String", "NoEcho": true } },
        "Resources": { "StarterRole": starter },
    })
    .to_string()
}

fn described(status: &str) -> String {
    let parameter = "<member><ParameterKey>ExternalId</ParameterKey><ParameterValue>****</ParameterValue></member>";
    format!(
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackId>{STACK}</StackId>\
         <StackName>landfall</StackName><CreationTime>2026-01-31T12:00:00Z</CreationTime>\
         <StackStatus>{status}</StackStatus><Parameters>{parameter}</Parameters></member></Stacks>\
         </DescribeStacksResult></DescribeStacksResponse>"
    )
}

fn xml(operation: &str, result: &str) -> Act {
    let body = format!(
        "<{operation}Response><{operation}Result>{result}</{operation}Result></{operation}Response>"
    );
    Act::Answer { status: 200, body }
}

impl Account {
    fn new() -> Self {
        Self::of(Side::Analytics)
    }

    fn of(side: Side) -> Self {
        Self::with(side, &[])
    }

    /// Returns an account whose auditor has these variables, besides those that every auditor has.
    fn with(side: Side, more: &'static [(&str, &str)]) -> Self {
        let aws = StandIn::start(vec![Table::new(TABLE, "stack", Some("finding"))]);
        aws.answer("GetTemplate", |_, _| {
            let template = template().replace('&', "&amp;").replace('<', "&lt;");
            xml("GetTemplate", &format!("<TemplateBody>{template}</TemplateBody>"))
        });
        aws.answer("ListStackResources", |_, _| {
            let resource = "<member><LogicalResourceId>StarterRole</LogicalResourceId>\
                <PhysicalResourceId>StarterRole-0123456789abcdef</PhysicalResourceId></member>";
            xml(
                "ListStackResources",
                &format!("<StackResourceSummaries>{resource}</StackResourceSummaries>"),
            )
        });
        let credentials = Credentials::new("id", "key", None, None, "tests");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(aws.endpoint())
            .http_client(http_client())
            .retry_config(RetryConfig::disabled())
            .build();
        let variable = move |name: &str| {
            Some(match name {
                "LANDFALL_STACK" => "landfall",
                "LANDFALL_SIDE" => side.name(),
                "LANDFALL_ACCOUNT_ID" => "222222222222",
                "LANDFALL_FINDINGS_TABLE" => TABLE,
                "AWS_REGION" => "eu-west-1",
                name => more.iter().find(|(of, _)| *of == name)?.1,
            })
        };
        let settings = Settings::from_env(|name| variable(name).map(str::to_owned));
        let output = Output::default();
        let metrics = Metrics::of_auditor(output.clone(), TABLE);
        let context = Context::new(settings.expect("settings"), &config, metrics);
        let account = Self { aws, context, output };
        account.stack_is("UPDATE_COMPLETE");
        account
    }

    fn stack_is(&self, status: &'static str) {
        self.aws.answer("DescribeStacks", move |call, _| match call.body["StackName"].as_str() {
            Some("landfall") => Act::Answer { status: 200, body: described(status) },
            _ => Act::Serve,
        });
    }

    async fn audit(&self) -> Result<Audited, Error> {
        handle(&self.context).await
    }

    /// Returns the finding that is kept under this ID.
    fn finding(&self, id: &str) -> Option<Value> {
        let item = self.aws.item(TABLE, &["landfall", id])?;
        Some(serde_json::from_str(item["body"]["S"].as_str()?).expect("a body of JSON"))
    }

    /// Returns the details of the events that were put, without those of other findings.
    fn events(&self, id: &str) -> Vec<Value> {
        let puts = self.aws.calls_of("PutEvents");
        let entries =
            puts.iter().flat_map(|put| put["Entries"].as_array().cloned().unwrap_or_default());
        let of_entry = |entry: Value| {
            assert_eq!(entry["Source"], "landfall");
            assert_eq!(entry["DetailType"], "Landfall Finding");
            serde_json::from_str(entry["Detail"].as_str().expect("a detail")).expect("JSON")
        };
        entries.map(of_entry).filter(|detail: &Value| detail["id"] == id).collect()
    }

    /// Returns the metrics of the last audit.
    fn metrics(&self) -> Value {
        let written = self.output.0.lock().expect("nobody panics with it");
        let text = std::str::from_utf8(&written).expect("UTF-8");
        serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
    }
}

#[tokio::test]
async fn a_deleted_role_is_found_announced_once_and_resolved_when_it_is_back() {
    let account = Account::new();
    let first = account.audit().await.expect("an audit");
    assert!(first.checks > 3 && first.opened > 0, "{first:?}");
    let finding = account.finding(MISSING).expect("a finding");
    assert_eq!((&finding["state"], &finding["severity"]), (&json!("open"), &json!("high")));
    assert_eq!(account.metrics()["FindingsHigh"], first.open);
    let second = account.audit().await.expect("an audit");
    assert_eq!((second.opened, second.resolved), (0, 0));
    assert_eq!(account.events(MISSING).len(), 1);
    // Somebody puts a role back, but another one.
    account.aws.put_role(
        STARTER,
        IamRole {
            path: "/landfall/".to_owned(),
            trust: r#"{"Version":"2012-10-17","Statement":[]}"#.to_owned(),
            max_session_secs: "3600".to_owned(),
            ..IamRole::default()
        },
    );
    let third = account.audit().await.expect("an audit");
    assert!(third.resolved > 0 && third.opened > 0, "{third:?}");
    assert_eq!(account.finding(MISSING).expect("a finding")["state"], "resolved");
    let states: Vec<Value> =
        account.events(MISSING).iter().map(|event| event["state"].clone()).collect();
    assert_eq!(states, ["opened", "resolved"]);
    let item = account.aws.item(TABLE, &["landfall", MISSING]).expect("an item");
    assert!(item["expires"]["N"].is_string(), "{item}");
}

#[tokio::test]
async fn a_stack_that_is_being_changed_is_not_judged_and_its_findings_stay() {
    let account = Account::new();
    let before = account.audit().await.expect("an audit");
    account.stack_is("UPDATE_IN_PROGRESS");
    let during = account.audit().await.expect("an audit");
    let nothing = Audited { checks: 0, open: before.open, opened: 0, resolved: 0 };
    assert_eq!(during, nothing);
    assert_eq!(account.metrics()["Findings"], before.open);
}

#[tokio::test]
async fn an_auditor_that_may_not_look_ends_no_finding_and_says_what_it_lacks() {
    let account = Account::new();
    account.audit().await.expect("an audit");
    for operation in ["GetRole", "GetTemplate"] {
        account.aws.answer(operation, |_, _| Act::Fail { status: 403, code: "AccessDenied" });
        account.audit().await.expect("an audit");
        assert_eq!(account.finding(MISSING).expect("a finding")["state"], "open", "{operation}");
    }
    let blind = account.finding("LF017/could_not_look/landfall").expect("a finding");
    assert_eq!(blind["state"], "suspected");
    let evidence = blind["evidence"].as_str().expect("evidence");
    assert!(evidence.contains("`cloudformation:GetTemplate`"), "{evidence}");
}

#[tokio::test]
async fn a_stack_that_is_gone_is_the_one_finding_and_nothing_else_is_judged() {
    let account = Account::new();
    account.aws.answer("DescribeStacks", |_, _| Act::Serve);
    let audited = account.audit().await.expect("an audit");
    assert_eq!(audited.open, 1, "{:?}", account.aws.items(TABLE));
    assert!(account.finding("LF017/stack_missing/landfall").is_some());
}

#[tokio::test]
async fn an_event_that_is_not_taken_is_put_again_by_the_next_audit() {
    let account = Account::new();
    account.aws.answer("PutEvents", |_, number| match number {
        0 => Act::Answer {
            status: 200,
            body: r#"{"FailedEntryCount":1,"Entries":[{"ErrorCode":"InternalFailure"}]}"#.into(),
        },
        _ => Act::Serve,
    });
    let error = account.audit().await.expect_err("a failure");
    assert_eq!(error.code(), "finding_not_announced");
    let audited = account.audit().await.expect("an audit");
    assert_eq!(audited.open, audited.opened);
    let opened: usize = account.aws.items(TABLE).len() - 1;
    assert!(opened >= audited.open);
}

#[tokio::test]
async fn of_two_audits_at_once_both_go_through_and_each_finding_is_kept_once() {
    let account = Account::new();
    let (one, other) = tokio::join!(account.audit(), account.audit());
    let (one, other) = (one.expect("an audit"), other.expect("an audit"));
    assert_eq!(one.open, other.open);
    // The others are the suspected ones, and the item of the last audit.
    let third = account.audit().await.expect("an audit");
    assert_eq!((third.opened, third.open), (0, one.open));
}

#[tokio::test]
async fn a_finding_of_another_version_stays_as_it_is() {
    let account = Account::new();
    let item = json!({ "stack": { "S": "landfall" }, "finding": { "S": "LF999/x/y" }, "body": { "S": "{\"v\":9}" } });
    assert!(account.aws.put_item(TABLE, &item));
    account.audit().await.expect("an audit");
    assert_eq!(account.aws.item(TABLE, &["landfall", "LF999/x/y"]), Some(item));
}

#[tokio::test]
async fn a_route_without_a_batch_is_found_once_the_auditor_has_looked_for_long_enough() {
    const UNUSED: &str = "LF036/grant_unused/orders";
    const DAY: u64 = 24 * 3_600_000;
    let account = Account::of(Side::Data);
    let newest = Arc::new(Mutex::new(None::<u64>));
    let shown = Arc::clone(&newest);
    account.aws.answer("Query", move |call, _| {
        if call.body["TableName"] != "landfall-ledger" {
            return Act::Serve;
        }
        let newest = shown.lock().expect("nobody panics with it");
        let entries = newest.iter().map(|at| json!({ "created_at": { "N": at.to_string() } }));
        let body = json!({ "Items": entries.collect::<Vec<Value>>() }).to_string();
        Act::Answer { status: 200, body }
    });
    let now = u64::try_from(
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time").as_millis(),
    )
    .expect("a number");
    let queries = || account.aws.calls().iter().filter(|it| it.operation == "Query").count();
    let watched = |since: u64, looked: u64| {
        let usage = json!({ "orders": { "since": since, "looked": looked } }).to_string();
        let item = json!({ "stack": { "S": "landfall" }, "finding": { "S": "usage" }, "body": { "S": usage } });
        assert!(account.aws.put_item(TABLE, &item));
    };
    // What was before the first look isn't known.
    account.audit().await.expect("an audit");
    assert_eq!(account.finding(UNUSED), None);
    let before = queries();
    account.audit().await.expect("an audit");
    assert_eq!(queries() - before, 1, "the ledger is asked every six hours only");
    // A gap in which a batch could come and go.
    watched(now - 100 * DAY, now - 2 * DAY);
    account.audit().await.expect("an audit");
    assert_eq!(account.finding(UNUSED), None);
    watched(now - 100 * DAY, now - DAY / 2);
    account.audit().await.expect("an audit");
    let finding = account.finding(UNUSED).expect("a finding");
    assert_eq!((&finding["state"], &finding["severity"]), (&json!("open"), &json!("low")));
    *newest.lock().expect("nobody panics with it") = Some(now);
    watched(now - 100 * DAY, now - DAY / 2);
    account.audit().await.expect("an audit");
    assert_eq!(account.finding(UNUSED).expect("a finding")["state"], "resolved");
}

#[tokio::test]
async fn access_analyzer_is_asked_only_if_it_is_to_be_and_its_silence_ends_no_audit() {
    const BLIND: &str = "LF038/could_not_look/IAM Access Analyzer";
    let account = Account::new();
    account.audit().await.expect("an audit");
    assert_eq!(account.finding(BLIND), None);
    let asking = Account::with(Side::Analytics, &[("LANDFALL_ACCESS_ANALYZER", "true")]);
    let nonsense = Act::Answer { status: 200, body: "<html>".to_owned() };
    asking.aws.answer("ListAnalyzers", move |_, _| nonsense.clone());
    let audited = asking.audit().await.expect("an audit");
    assert!(audited.checks > 0 && asking.finding(MISSING).is_some(), "{audited:?}");
    assert_eq!(asking.finding(BLIND).expect("a finding")["state"], "suspected");
}

/// An auditor of an earlier version has no such variable, and the stand-in has no such stack.
#[tokio::test]
async fn an_auditor_that_is_to_hear_of_changed_roles_tells_if_nothing_forwards_iams_events() {
    const FINDING: &str = "LF046/iam_events_not_forwarded/landfall-iam-events";
    for without in [&[][..], &[("LANDFALL_IAM_EVENTS", "false")]] {
        let account = Account::with(Side::Analytics, without);
        account.audit().await.expect("an audit");
        assert_eq!(account.finding(FINDING), None);
    }
    let account = Account::with(Side::Analytics, &[("LANDFALL_IAM_EVENTS", "true")]);
    account.audit().await.expect("an audit");
    let finding = account.finding(FINDING).expect("a finding");
    assert_eq!((&finding["state"], &finding["severity"]), (&json!("open"), &json!("low")));
    account.aws.stack(
        "arn:aws:cloudformation:us-east-1:222222222222:stack/landfall-iam-events/1",
        Stack { status: "CREATE_COMPLETE".to_owned(), ..Stack::default() },
    );
    let bus = "arn:aws:events:eu-west-1:222222222222:event-bus/default".to_owned();
    account.aws.put_rule("landfall-iam-events", EventRule { pattern: None, targets: vec![bus] });
    account.audit().await.expect("an audit");
    assert_eq!(account.finding(FINDING).expect("a finding")["state"], "resolved");
}

#[tokio::test]
async fn nothing_is_changed_but_the_table_of_findings() {
    let account = Account::new();
    account.audit().await.expect("an audit");
    let operations: std::collections::BTreeSet<String> =
        account.aws.calls().into_iter().map(|call| call.operation).collect();
    let is_read = |operation: &str| {
        ["Get", "List", "Describe", "Head", "Query"].iter().any(|verb| operation.starts_with(verb))
    };
    let writes: Vec<&str> =
        operations.iter().map(String::as_str).filter(|name| !is_read(name)).collect();
    assert_eq!(writes, ["PutEvents", "PutItem"]);
}
