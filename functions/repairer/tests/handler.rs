//! Repairs of an account, over HTTP. AWS is a stand-in that knows one stack, with a starter role and the
//! notifications of a bucket. CloudFormation makes a change set of what its parameters say, and executes nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use landfall_aws::clock::now;
use landfall_aws::config::http_client;
use landfall_aws::events::SOURCE;
use landfall_repairer::{Context, EVENT_TYPE, Error, Outcome, Settings, handle};
use landfall_stand_ins::{Act, IamRole, StandIn, Table};
use serde_json::{Value, json};

const TABLE: &str = "landfall-findings";
const STACK: &str = "arn:aws:cloudformation:eu-west-1:111111111111:stack/landfall/1";
const CHANGE_SET: &str = "arn:aws:cloudformation:eu-west-1:111111111111:changeSet/landfall-1/2";
const STARTER: &str = "landfall-starter";
const LANDING: &str = "acme-landing";

/// The stack as CloudFormation describes it.
#[derive(Clone)]
struct Stack {
    status: &'static str,
    tag: &'static str,
    parameters: BTreeSet<&'static str>,
}

/// The account with its repairer.
struct Account {
    aws: StandIn,
    context: Context,
    stack: Arc<Mutex<Stack>>,
}

fn template() -> String {
    let routes = json!({
        "version": "1",
        "targets": { "lake": { "account": "111111111111", "region": "eu-west-1",
            "starter_role": "landfall/landfall-starter", "external_id": "${X}" } },
        "routes": [{ "name": "orders", "bucket": LANDING, "key": "orders/{file}",
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
    let notifications = json!({
        "Type": "Custom::LandfallBucketNotifications",
        "Properties": { "Routes": routes, "QueueArn": "arn:aws:sqs:eu-west-1:111111111111:q" },
    });
    json!({
        "Parameters": { "ExternalId": { "Type": "String", "NoEcho": true } },
        "Resources": { "StarterRole": starter, "Notifications": notifications },
    })
    .to_string()
}

fn described(stack: &Stack) -> String {
    let parameter = |name: &&str| {
        format!(
            "<member><ParameterKey>{name}</ParameterKey><ParameterValue>****</ParameterValue></member>"
        )
    };
    let parameters: String = stack.parameters.iter().map(parameter).collect();
    let Stack { status, tag, .. } = stack;
    let id = format!("<StackId>{STACK}</StackId><StackName>landfall</StackName>");
    format!(
        "<Stacks><member>{id}<CreationTime>2026-01-31T12:00:00Z</CreationTime><StackStatus>{status}</StackStatus>\
         <Parameters>{parameters}</Parameters><Tags><member><Key>{tag}</Key><Value>x</Value></member></Tags>\
         </member></Stacks>"
    )
}

fn xml(operation: &str, result: &str) -> Act {
    let body = format!(
        "<{operation}Response><{operation}Result>{result}</{operation}Result></{operation}Response>"
    );
    Act::Answer { status: 200, body }
}

/// Returns the parameters of a request for a change set that get a new value, and those that keep theirs.
fn parameters(create: &Value) -> (Vec<(String, String)>, Vec<String>) {
    let (mut new, mut kept) = (Vec::new(), Vec::new());
    for number in 1.. {
        let part = |name: &str| create[format!("Parameters.member.{number}.{name}")].as_str();
        let Some(key) = part("ParameterKey") else { break };
        match (part("ParameterValue"), part("UsePreviousValue")) {
            (Some(value), None) => new.push((key.to_owned(), value.to_owned())),
            (None, Some("true")) => kept.push(key.to_owned()),
            other => panic!("{key}: {other:?}"),
        }
    }
    (new, kept)
}

fn change(logical_id: &str, kind: &str, cause: &str) -> String {
    format!(
        "<member><Type>Resource</Type><ResourceChange><Action>Modify</Action>\
         <LogicalResourceId>{logical_id}</LogicalResourceId><ResourceType>{kind}</ResourceType>\
         <Replacement>False</Replacement><Details><member><ChangeSource>ParameterReference</ChangeSource>\
         <CausingEntity>{cause}</CausingEntity></member></Details></ResourceChange></member>"
    )
}

/// Returns the change set that CloudFormation makes if the parameters `new` get new values.
fn change_set(new: &[(String, String)], more: &str) -> Act {
    let changes = new.iter().map(|(parameter, _)| match parameter.as_str() {
        "StarterRoleRepair" => change("StarterRole", "Custom::LandfallStarterRole", parameter),
        _ => change("Notifications", "Custom::LandfallBucketNotifications", parameter),
    });
    let changes: String = changes.chain([more.to_owned()]).collect();
    let status = "<Status>CREATE_COMPLETE</Status>";
    xml("DescribeChangeSet", &format!("{status}<Changes>{changes}</Changes>"))
}

impl Account {
    fn new() -> Self {
        Self::with_pause("0")
    }

    /// Returns the account with a repairer that waits so many minutes after a person's change.
    fn with_pause(pause: &str) -> Self {
        let aws = StandIn::start(vec![Table::new(TABLE, "stack", Some("finding"))]);
        let all = ["ExternalId", "StarterRoleRepair", "NotificationsRepair"];
        let stack =
            Stack { status: "UPDATE_COMPLETE", tag: "Team", parameters: BTreeSet::from(all) };
        let stack = Arc::new(Mutex::new(stack));
        let known = Arc::clone(&stack);
        aws.answer("DescribeStacks", move |_, _| {
            xml("DescribeStacks", &described(&known.lock().expect("nobody panics with it")))
        });
        aws.answer("GetTemplate", |_, _| {
            let template = template().replace('&', "&amp;").replace('<', "&lt;");
            xml("GetTemplate", &format!("<TemplateBody>{template}</TemplateBody>"))
        });
        aws.answer("ListStackResources", |_, _| {
            let resource = |id: &str| {
                format!(
                    "<member><LogicalResourceId>{id}</LogicalResourceId>\
                    <PhysicalResourceId>{id}-0123456789abcdef</PhysicalResourceId></member>"
                )
            };
            let resources = ["StarterRole", "Notifications"].map(resource).concat();
            let summaries = format!("<StackResourceSummaries>{resources}</StackResourceSummaries>");
            xml("ListStackResources", &summaries)
        });
        let made: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let making = Arc::clone(&made);
        aws.answer("CreateChangeSet", move |call, _| {
            *making.lock().expect("nobody panics with it") = parameters(&call.body).0;
            let ids = format!("<Id>{CHANGE_SET}</Id><StackId>{STACK}</StackId>");
            xml("CreateChangeSet", &ids)
        });
        aws.answer("DescribeChangeSet", move |_, _| {
            change_set(&made.lock().expect("nobody panics with it"), "")
        });
        for operation in ["ExecuteChangeSet", "DeleteChangeSet"] {
            aws.answer(operation, move |_, _| xml(operation, ""));
        }
        aws.answer("GetBucketTagging", |_, _| Act::Fail { status: 404, code: "NoSuchTagSet" });
        aws.make_bucket(LANDING, "111111111111");
        let credentials = Credentials::new("id", "key", None, None, "tests");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(aws.endpoint())
            .http_client(http_client())
            .retry_config(RetryConfig::disabled())
            .build();
        let variable = |name: &str| {
            Some(match name {
                "LANDFALL_STACK" => "landfall",
                "LANDFALL_ACCOUNT_ID" => "111111111111",
                "LANDFALL_FINDINGS_TABLE" => TABLE,
                "LANDFALL_REPAIR_PAUSE_MINUTES" => pause,
                "LANDFALL_PROVISIONER_ROLE" => "landfall-provisioner",
                "AWS_REGION" => "eu-west-1",
                _ => return None,
            })
        };
        let settings = Settings::from_env(|name| variable(name).map(str::to_owned));
        let context = Context::new(settings.expect("settings"), &config);
        Self { aws, context, stack }
    }

    /// Returns the account with a role of that name, so that only the notifications are gone.
    fn with_another_role() -> Self {
        let account = Self::new();
        account.aws.put_role(
            STARTER,
            IamRole {
                path: "/landfall/".to_owned(),
                trust: r#"{"Version":"2012-10-17","Statement":[]}"#.to_owned(),
                max_session_secs: "3600".to_owned(),
                ..IamRole::default()
            },
        );
        account
    }

    fn stack(&self, change: impl FnOnce(&mut Stack)) {
        change(&mut self.stack.lock().expect("nobody panics with it"));
    }

    async fn repair(&self) -> Result<Outcome, Error> {
        handle(&self.context).await
    }

    fn count(&self, operation: &str) -> usize {
        self.aws.calls_of(operation).len()
    }

    /// Returns the resources that the last change set is to repair.
    fn marked(&self) -> Vec<String> {
        let created = self.aws.calls_of("CreateChangeSet");
        let (new, _) = parameters(created.last().expect("a change set"));
        new.into_iter().map(|(parameter, _)| parameter.replace("Repair", "")).collect()
    }

    /// Returns the details of the events that were put.
    fn events(&self) -> Vec<Value> {
        let puts = self.aws.calls_of("PutEvents");
        let entries =
            puts.iter().flat_map(|put| put["Entries"].as_array().cloned().unwrap_or_default());
        let detail = |entry: Value| {
            assert_eq!(
                (&entry["Source"], &entry["DetailType"]),
                (&json!(SOURCE), &json!(EVENT_TYPE))
            );
            serde_json::from_str(entry["Detail"].as_str().expect("a detail")).expect("JSON")
        };
        entries.map(detail).collect()
    }

    /// Returns the states that others heard of.
    fn heard(&self) -> Vec<String> {
        self.events().iter().map(|it| it["state"].as_str().expect("a state").to_owned()).collect()
    }

    /// Writes when repairs of a resource began, in minutes ago.
    fn began(&self, logical_id: &str, minutes_ago: &[u64]) {
        let began = |minutes: &u64| now().0 - minutes * 60_000;
        let body = json!({ "began": minutes_ago.iter().map(began).collect::<Vec<u64>>() });
        let item = json!({
            "stack": { "S": "landfall" }, "finding": { "S": format!("repair/{logical_id}") },
            "body": { "S": body.to_string() },
        });
        assert!(self.aws.put_item(TABLE, &item));
    }
}

#[tokio::test]
async fn what_is_gone_is_repaired_by_a_change_set_that_gives_only_its_time_a_new_value() {
    let account = Account::new();
    assert_eq!(account.repair().await.expect("a repair"), Outcome::Started);
    let created = account.aws.calls_of("CreateChangeSet");
    let [create] = created.as_slice() else { panic!("{created:?}") };
    let (new, kept) = parameters(create);
    let names: Vec<&str> = new.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["NotificationsRepair", "StarterRoleRepair"]);
    assert_eq!(kept, ["ExternalId"]);
    assert!(new.iter().all(|(_, time)| time.ends_with("Zmissing")), "{new:?}");
    assert_eq!(
        (&create["UsePreviousTemplate"], &create["ChangeSetType"]),
        (&json!("true"), &json!("UPDATE"))
    );
    // The role may do this with its own stack only, so the calls name it.
    for operation in ["DescribeChangeSet", "ExecuteChangeSet"] {
        let call = &account.aws.calls_of(operation)[0];
        assert_eq!(
            (&call["ChangeSetName"], &call["StackName"]),
            (&json!(CHANGE_SET), &json!(STACK))
        );
    }
    let events = account.events();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((&event["state"], &event["changeSet"]), (&json!("started"), &json!(CHANGE_SET)));
    assert_eq!(event["resources"][1]["name"], format!("starter role `{STARTER}`"));
    // It says nothing of the external ID, and keeps nothing of it.
    let item = account.aws.item(TABLE, &["landfall", "repair/StarterRole"]).expect("an item");
    assert!(item["expires"]["N"].is_string(), "{item}");
    assert_eq!(account.aws.items(TABLE).len(), 2);
}

#[tokio::test]
async fn a_role_that_is_there_but_differs_is_left_to_people() {
    let account = Account::with_another_role();
    assert_eq!(account.repair().await.expect("a repair"), Outcome::Started);
    assert_eq!(account.marked(), ["Notifications"]);
    let account = Account::with_another_role();
    account.aws.remove_bucket(LANDING);
    assert_eq!(account.repair().await.expect("a look"), Outcome::NothingGone);
    assert_eq!(account.count("CreateChangeSet") + account.count("PutEvents"), 0);
}

/// Has CloudTrail say that this role called an operation on whatever somebody asks about, so many seconds ago.
fn changed_by(account: &Account, role: &str, seconds_ago: u64) {
    let event = json!({ "readOnly": false, "userIdentity": { "type": "AssumedRole",
        "arn": format!("arn:aws:sts::111111111111:assumed-role/{role}/ada"),
        "sessionContext": { "sessionIssuer": { "userName": role } } } });
    let at = now().0 / 1_000 - seconds_ago;
    account.aws.answer("LookupEvents", move |call, _| {
        let name = match call.body["LookupAttributes"][0]["AttributeValue"] == STARTER {
            true => "DeleteRole",
            false => "PutBucketNotification",
        };
        let found =
            json!({ "EventTime": at, "EventName": name, "CloudTrailEvent": event.to_string() });
        Act::Answer { status: 200, body: json!({ "Events": [found] }).to_string() }
    });
}

#[tokio::test]
async fn a_repair_waits_after_a_person_removed_something_and_says_who_it_was() {
    let account = Account::with_pause("15");
    changed_by(&account, "admin", 600);
    for _ in 0..2 {
        assert_eq!(account.repair().await.expect("a look"), Outcome::Waits);
    }
    assert_eq!(account.count("CreateChangeSet"), 0);
    // Others hear it once for each resource.
    assert_eq!(account.heard(), ["waits", "waits"]);
    let event = &account.events()[0];
    let (cause, reason) = (event["causes"][0].as_str(), event["reasons"][0].as_str());
    assert!(cause.expect("a cause").contains("assumed-role/admin/ada` called `"), "{event}");
    assert!(reason.expect("a reason").contains("landfall:hold"), "{event}");
    let asked = account.aws.calls_of("LookupEvents");
    let names: BTreeSet<&str> = asked
        .iter()
        .filter_map(|it| it["LookupAttributes"][0]["AttributeValue"].as_str())
        .collect();
    assert_eq!(names, BTreeSet::from([LANDING, STARTER]));
    changed_by(&account, "admin", 901);
    assert_eq!(account.repair().await.expect("a repair"), Outcome::Started);
    let started = account.events().pop().expect("an event");
    assert_eq!(started["state"], "started");
    assert!(started["causes"][0].as_str().expect("a cause").contains("admin"), "{started}");
    // Nobody knows yet what became of the notifications after the change that CloudTrail has.
    assert_eq!(account.marked(), ["StarterRole"]);
}

#[tokio::test]
async fn landfalls_own_change_is_repaired_at_once_and_one_that_nobody_knows_of_waits() {
    let account = Account::with_pause("15");
    changed_by(&account, "landfall-provisioner", 1);
    assert_eq!(account.repair().await.expect("a repair"), Outcome::Started);
    assert_eq!(account.marked(), ["StarterRole"]);
    for act in [
        Act::Fail { status: 400, code: "AccessDeniedException" },
        Act::Answer { status: 200, body: "{}".to_owned() },
    ] {
        let account = Account::with_pause("15");
        account.aws.answer("LookupEvents", move |_, _| act.clone());
        for _ in 0..2 {
            assert_eq!(account.repair().await.expect("a look"), Outcome::Waits);
        }
        assert_eq!((account.count("CreateChangeSet"), account.heard().len()), (0, 2));
        // The pause that others heard of is over.
        for id in ["StarterRole", "Notifications"] {
            let body = json!({ "began": [], "waits_until": now().0 - 1 });
            let item = json!({ "stack": { "S": "landfall" },
                "finding": { "S": format!("repair/{id}") }, "body": { "S": body.to_string() } });
            assert!(account.aws.put_item(TABLE, &item));
        }
        assert_eq!(account.repair().await.expect("a repair"), Outcome::Started);
    }
}

#[tokio::test]
async fn without_a_pause_nobody_asks_cloudtrail() {
    let account = Account::new();
    assert_eq!(account.repair().await.expect("a repair"), Outcome::Started);
    assert_eq!(account.count("LookupEvents"), 0);
}

#[tokio::test]
async fn of_two_invocations_at_once_one_makes_the_change_set() {
    let account = Account::new();
    account.aws.latency(Duration::from_millis(20));
    let (one, other) = tokio::join!(account.repair(), account.repair());
    let outcomes = [one.expect("a repair"), other.expect("a repair")];
    for expected in [Outcome::Started, Outcome::Waits] {
        assert!(outcomes.contains(&expected), "{outcomes:?}");
    }
    assert_eq!((account.count("CreateChangeSet"), account.count("ExecuteChangeSet")), (1, 1));
    assert_eq!(account.marked(), ["Notifications", "StarterRole"]);
    assert_eq!(account.heard(), ["started"]);
    // One that comes a moment later doesn't begin what the first one left.
    assert_eq!(account.repair().await.expect("a repair"), Outcome::Waits);
    assert_eq!(account.count("CreateChangeSet"), 1);
}

#[tokio::test]
async fn a_resource_is_repaired_once_an_hour_and_given_up_after_three_times_a_day() {
    for (minutes_ago, outcome, marked) in [
        (&[59][..], Outcome::Started, &["StarterRole"][..]),
        (&[61], Outcome::Started, &["Notifications", "StarterRole"]),
        (&[200, 130, 61], Outcome::Started, &["StarterRole"]),
        (&[1_441, 130, 61], Outcome::Started, &["Notifications", "StarterRole"]),
        // Another invocation may be about to execute its change set.
        (&[5], Outcome::Waits, &[]),
    ] {
        let account = Account::new();
        account.began("Notifications", minutes_ago);
        assert_eq!(account.repair().await.expect("a repair"), outcome, "{minutes_ago:?}");
        assert_eq!(account.count("CreateChangeSet"), usize::from(!marked.is_empty()));
        if !marked.is_empty() {
            assert_eq!(account.marked(), marked, "{minutes_ago:?}");
        }
    }
}

#[tokio::test]
async fn that_a_repair_was_given_up_is_told_once() {
    let account = Account::with_another_role();
    account.began("Notifications", &[200, 130, 61]);
    for _ in 0..2 {
        assert_eq!(account.repair().await.expect("a look"), Outcome::Waits);
    }
    assert_eq!(account.heard(), ["given_up"]);
    assert_eq!(account.count("CreateChangeSet"), 0);
}

#[tokio::test]
async fn a_tag_of_the_stack_or_of_a_bucket_holds_repairs_and_others_hear_of_it_once() {
    let account = Account::new();
    account.stack(|stack| stack.tag = "landfall:hold");
    for _ in 0..2 {
        assert_eq!(account.repair().await.expect("a look"), Outcome::Held);
    }
    assert_eq!(account.heard(), ["held", "held"]);
    let why = "stack `landfall` has the tag `landfall:hold`";
    assert!(account.events().iter().all(|event| event["reasons"][0] == why));
    assert_eq!(account.count("CreateChangeSet"), 0);
    // Once the tag is gone, the repair begins.
    account.stack(|stack| stack.tag = "Team");
    account.aws.answer("GetBucketTagging", |_, _| Act::Answer {
        status: 200,
        body: "<Tagging><TagSet><Tag><Key>landfall:hold</Key><Value/></Tag></TagSet></Tagging>"
            .to_owned(),
    });
    assert_eq!(account.repair().await.expect("a repair"), Outcome::Started);
    assert_eq!(account.marked(), ["StarterRole"]);
    let of_bucket = account.aws.calls_of("GetBucketTagging");
    assert_eq!(of_bucket[0]["ExpectedBucketOwner"], "111111111111");
}

#[tokio::test]
async fn tags_that_cannot_be_read_begin_no_repair() {
    let account = Account::new();
    account.aws.answer("GetBucketTagging", |_, _| Act::Fail { status: 403, code: "AccessDenied" });
    let error = account.repair().await.expect_err("a failure");
    assert_eq!(error.code(), "repair_failed");
    assert!(error.to_string().contains(&format!("bucket `{LANDING}`: AccessDenied")), "{error}");
    assert_eq!(account.count("CreateChangeSet"), 0);
}

#[tokio::test]
async fn a_stack_that_is_changing_or_broken_is_not_repaired() {
    let account = Account::new();
    for status in ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "ROLLBACK_COMPLETE"]
    {
        account.stack(|stack| stack.status = status);
        assert_eq!(account.repair().await.expect("a look"), Outcome::NotSettled, "{status}");
    }
    assert_eq!(account.count("GetTemplate") + account.count("PutEvents"), 0);
    // Without a person, this one never gets better.
    account.stack(|stack| stack.status = "UPDATE_ROLLBACK_FAILED");
    assert_eq!(account.repair().await.expect("a look"), Outcome::Held);
    let why = account.events()[0]["reasons"][0].as_str().expect("a reason").to_owned();
    assert!(why.contains("continue-update-rollback"), "{why}");
    account.aws.answer("DescribeStacks", |_, _| Act::Serve);
    assert_eq!(account.repair().await.expect("a look"), Outcome::NotSettled);
    assert_eq!(account.count("CreateChangeSet"), 0);
}

#[tokio::test]
async fn a_stack_of_an_earlier_version_is_told_of_once_and_makes_no_error() {
    let account = Account::new();
    account.stack(|stack| stack.parameters.retain(|name| *name != "StarterRoleRepair"));
    assert_eq!(account.repair().await.expect("a repair"), Outcome::Started);
    assert_eq!(account.marked(), ["Notifications"]);
    assert_eq!(account.heard(), ["refused", "started"]);
    let why = account.events()[0]["reasons"][0].as_str().expect("a reason").to_owned();
    assert!(why.contains("no parameter `StarterRoleRepair`: deploy it again"), "{why}");
    assert_eq!(account.repair().await.expect("a look"), Outcome::Waits);
    assert_eq!(account.heard().len(), 2);
}

#[tokio::test]
async fn a_change_set_that_would_change_anything_else_is_deleted_and_told_of() {
    let replaced = change("StarterRole", "Custom::LandfallStarterRole", "StarterRoleRepair")
        .replace("<Replacement>False", "<Replacement>True");
    let job = change("Job", "AWS::Glue::Job", "StarterRole").replace("Parameter", "Resource");
    for (more, why) in [
        (job, "`Job` depends on what is repaired and would change with it"),
        (
            change("Trigger", "AWS::Lambda::Function", "LogLevel"),
            "`Trigger` would change for another reason than the repair",
        ),
        (replaced, "`StarterRole` could be replaced"),
    ] {
        let account = Account::new();
        let starter = [("StarterRoleRepair".to_owned(), String::new())];
        let both = [&starter[..], &[("NotificationsRepair".to_owned(), String::new())]].concat();
        account.aws.answer("DescribeChangeSet", move |_, _| change_set(&both, &more));
        assert_eq!(account.repair().await.expect("a look"), Outcome::Refused, "{why}");
        assert_eq!(account.count("ExecuteChangeSet"), 0, "{why}");
        assert_eq!(account.aws.calls_of("DeleteChangeSet")[0]["ChangeSetName"], CHANGE_SET);
        assert_eq!(account.heard(), ["refused"]);
        assert_eq!(account.events()[0]["reasons"], json!([why]));
    }
}

#[tokio::test]
async fn a_change_set_that_leaves_out_something_is_refused() {
    let account = Account::new();
    let one = [("StarterRoleRepair".to_owned(), String::new())];
    account.aws.answer("DescribeChangeSet", move |_, _| change_set(&one, ""));
    assert_eq!(account.repair().await.expect("a look"), Outcome::Refused);
    assert_eq!(account.events()[0]["reasons"], json!(["`Notifications` would not be updated"]));
}

#[tokio::test]
async fn if_cloudformation_does_not_execute_the_change_set_it_is_deleted_and_the_attempt_counts() {
    let account = Account::new();
    account.aws.answer("ExecuteChangeSet", |_, _| Act::Fail {
        status: 400,
        code: "InvalidChangeSetStatus",
    });
    let error = account.repair().await.expect_err("a failure");
    assert_eq!(error.code(), "repair_failed");
    assert_eq!((account.count("DeleteChangeSet"), account.heard().len()), (1, 0));
    assert_eq!(account.repair().await.expect("a look"), Outcome::Waits);
    assert_eq!(account.count("CreateChangeSet"), 1);
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_not_gone() {
    let account = Account::new();
    account.aws.answer("GetRole", |_, _| Act::Fail { status: 403, code: "AccessDenied" });
    assert_eq!(account.repair().await.expect("a repair"), Outcome::Started);
    assert_eq!(account.marked(), ["Notifications"]);
    account.aws.answer("GetTemplate", |_, _| Act::Fail { status: 403, code: "AccessDenied" });
    assert_eq!(account.repair().await.expect_err("a failure").code(), "repair_failed");
}

#[tokio::test]
async fn the_auditor_does_not_take_the_times_of_repairs_for_findings() {
    let account = Account::new();
    account.repair().await.expect("a repair");
    let credentials = Credentials::new("id", "key", None, None, "tests");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(account.aws.endpoint())
        .http_client(http_client())
        .build();
    let findings = landfall_aws::findings::Findings::new(&config, TABLE, "landfall");
    let kept = findings.read().await.expect("the findings");
    assert_eq!((kept.findings.len(), kept.unreadable.len()), (0, 0));
}
