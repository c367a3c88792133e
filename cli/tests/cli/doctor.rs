//! `landfall doctor`, without AWS or with one that refuses everything. What it sees of accounts is shown end to end.

use std::fs;

use expect_test::expect;
use serde_json::Value;
use tempfile::TempDir;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::{ROUTES, Shown, command, landfall, landfall_with};

const DENIED: &str = "An error occurred while calling o304.load.\n  User: \
    arn:aws:sts::222222222222:assumed-role/etl/GlueJobRunnerSession is not authorized to perform: \
    sts:AssumeRole on resource: arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222 \
    because no identity-based policy allows the sts:AssumeRole action";

#[test]
fn an_error_is_explained_from_a_text_a_file_or_a_pipe() {
    let from_text = landfall(&[], &["doctor", "--explain", DENIED]);
    expect![[r#"
        the caller's own policy [denied_by_caller]
          action   sts:AssumeRole
          resource arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222
          why      No policy of the calling role or user allows the action on this resource.
          do       If the role is one of Landfall's, run `landfall deploy --repair`. If it is yours, add the action for this resource to its policy.

        the reader role, in the data account [reader_not_assumed]
          action   sts:AssumeRole
          resource arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222
          why      The job's role may not assume the reader role, or the reader role doesn't trust it. Often the job runs with another role than you think.
          do       Give the job the role that Landfall made, or name its role in `OtherJobRoleArns`, and let it assume the reader role.
        --- stderr
        --- status 0
    "#]].assert_eq(&from_text.all());
    let from_file = landfall(&[("job.log", DENIED)], &["doctor", "--explain", "job.log"]);
    assert_eq!(from_file.all(), from_text.all());
    let from_pipe = landfall_with(&[], &["doctor", "--explain", "-"], DENIED.as_bytes());
    assert_eq!(from_pipe.all(), from_text.all());
}

#[test]
fn an_explanation_is_one_json_document() {
    let shown = landfall(&[], &["doctor", "--json", "--explain", "SystemExit: 0"]);
    expect![[r#"
        {
          "version": 1,
          "explanations": [
            {
              "code": "exit_in_spark",
              "layer": "the job's script",
              "action": null,
              "resource": null,
              "cause": "The script called `sys.exit()`. Glue's Spark counts that as a failure, even with 0.",
              "fix": "Let the script end by itself: `return` from a function, and use `landfall.batch(exit=False)`."
            }
          ]
        }
        --- stderr
        --- status 0
    "#]].assert_eq(&shown.all());
}

#[test]
fn an_error_that_nobody_knows_exits_with_3() {
    let shown = landfall(&[], &["doctor", "--explain", "the moon is in the wrong place"]);
    expect![[r#"
        --- stderr
        nothing is known about this text: AWS's documentation of the error code, and the CloudTrail of the account that owns the resource, may say more
        --- status 3
    "#]].assert_eq(&shown.all());
}

#[test]
fn wrong_usage_of_doctor_exits_with_2() {
    for args in [
        &["doctor"][..],
        &["doctor", "--explain", "x", "--routes", "f"],
        &["doctor", "--explain", "x", "--print-policy", "data"],
        &["doctor", "--explain", "x", "--only", "data"],
        &["doctor", "--only", "data"],
        &["doctor", "--route", "orders", "--print-policy", "data"],
        &["doctor", "--routes", "f", "--only", "both"],
        &["doctor", "--routes", "f", "--name-prefix", "Landfall"],
        &["doctor", "--print-policy", "data", "--json"],
        &["doctor", "--print-policy", "data", "--only", "data"],
        &["doctor", "--print-policy", "data", "--bucket", "b"],
        &["doctor", "--print-policy", "deploy"],
        &["doctor", "--routes", "f", "--bucket", "b"],
        &["doctor", "--object", "s3://b/k", "--only", "data"],
        &["doctor", "--object", "s3://b/k", "--route", "orders", "--routes", "f"],
        &["doctor", "--object", "s3://b/k", "--explain", "x"],
        &["doctor", "--object", "s3://b/k", "--yes"],
        &["doctor", "--probe", "--routes", "f"],
        &["doctor", "--probe", "--object", "s3://b/k"],
    ] {
        let shown = landfall(&[("f", ROUTES)], args);
        assert_eq!((shown.status, shown.stdout.as_str()), (2, ""), "{args:?}: {}", shown.all());
        assert!(shown.stderr.contains("try '--help'"), "{args:?}: {}", shown.all());
    }
}

#[test]
fn a_route_that_does_not_exist_and_routes_with_errors_are_told_before_any_call() {
    let args = ["doctor", "--routes", "f", "--route", "order"];
    let shown = landfall(&[("f", ROUTES)], &args);
    assert_eq!(shown.status, 2, "{}", shown.all());
    assert!(shown.stderr.contains("no route `order`") && shown.stderr.contains("`orders`"));
    let shown = landfall(&[("f", "version: 2")], &["doctor", "--routes", "f"]);
    assert_eq!(shown.status, 1, "{}", shown.all());
}

#[test]
fn the_policy_to_look_names_the_buckets_of_the_routes_and_calls_nobody() {
    let policy = |args: &[&str]| -> Value {
        let shown = landfall(&[("f", ROUTES)], &[&["doctor", "--print-policy"], args].concat());
        assert_eq!((shown.status, shown.stderr.as_str()), (0, ""), "{}", shown.all());
        serde_json::from_str(&shown.stdout).expect("JSON")
    };
    let statements = |policy: &Value| policy["Statement"].as_array().expect("statements").clone();
    for account in ["data", "analytics"] {
        let statements = statements(&policy(&[account]));
        assert!(!statements.is_empty());
        // Nothing in it changes anything.
        for statement in &statements {
            assert_eq!(statement["Effect"], "Allow");
            for action in statement["Action"].as_array().expect("actions") {
                let (_, verb) =
                    action.as_str().expect("an action").split_once(':').expect("a service");
                let reads = ["Get", "List", "Describe", "Head", "Simulate"]
                    .iter()
                    .any(|it| verb.starts_with(it));
                assert!(reads, "{action}");
            }
        }
    }
    let narrow = policy(&["data", "--routes", "f"]).to_string();
    assert!(narrow.contains(":s3:::acme-landing\"") && narrow.contains("acme-items"), "{narrow}");
    let wide = policy(&["data"]).to_string();
    assert!(!wide.contains("acme"), "{wide}");
}

#[test]
fn the_policy_to_deploy_is_for_one_account_its_prefix_and_the_buckets_that_are_named() {
    let policy = |args: &[&str]| {
        let shown = landfall(&[], &[&["doctor", "--print-policy", "deploy"], args].concat());
        assert_eq!((shown.status, shown.stderr.as_str()), (0, ""), "{}", shown.all());
        serde_json::from_str::<Value>(&shown.stdout).expect("JSON").to_string()
    };
    let data = policy(&["--only", "data", "--name-prefix", "billing"]);
    assert!(data.contains(":role/billing-trigger\"") && data.contains("billing-ledger"), "{data}");
    assert!(!data.contains("landfall-trigger") && !data.contains("glue:CreateJob"), "{data}");
    let analytics = policy(&["--only", "analytics", "--bucket", "acme-lake-parquet"]);
    assert!(analytics.contains("glue:CreateJob") && !analytics.contains("landfall-ledger"));
    assert!(analytics.contains("arn:*:s3:::acme-lake-parquet\""), "{analytics}");
}

/// Says that the credentials belong to the data account, and refuses everything else.
fn refuse(request: &Request) -> ResponseTemplate {
    let body = String::from_utf8_lossy(&request.body);
    if body.contains("Action=GetCallerIdentity") {
        return ResponseTemplate::new(200).set_body_string(
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
             <Arn>arn:aws:iam::111111111111:user/u</Arn><UserId>u</UserId><Account>111111111111</Account>\
             </GetCallerIdentityResult></GetCallerIdentityResponse>",
        );
    }
    let is_json =
        request.headers.contains_key("x-amz-target") || request.url.path().starts_with("/20");
    match is_json {
        true => ResponseTemplate::new(400)
            .insert_header("x-amzn-errortype", "AccessDeniedException")
            .set_body_json(
                serde_json::json!({ "__type": "AccessDeniedException", "message": "no" }),
            ),
        false => {
            let error = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
            // S3 has no body in what it is asked here, and no element around its errors.
            let is_s3 = body.is_empty();
            ResponseTemplate::new(403).set_body_string(match is_s3 {
                true => error.to_owned(),
                false => format!("<ErrorResponse>{error}</ErrorResponse>"),
            })
        }
    }
}

/// Runs `doctor` with the credentials of the environment.
async fn doctor(server: Option<&MockServer>, options: &[&str]) -> Shown {
    doctor_of(ROUTES, server, options).await
}

async fn doctor_of(routes: &str, server: Option<&MockServer>, options: &[&str]) -> Shown {
    let folder = TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("f"), routes).expect("a written file");
    let args = [&["doctor", "--routes", "f"][..], options].concat();
    let mut command = command(folder.path(), &args);
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", folder.path());
    if let Some(server) = server {
        command.env("AWS_ACCESS_KEY_ID", "id").env("AWS_SECRET_ACCESS_KEY", "key");
        command.env("AWS_ENDPOINT_URL", server.uri());
    }
    let output = command.output().expect("an ended landfall");
    Shown {
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        status: output.status.code().expect("an exit status"),
    }
}

#[tokio::test]
async fn who_may_look_at_nothing_is_told_what_to_ask_for_and_not_that_all_is_well() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(refuse).mount(&server).await;
    let shown = doctor(Some(&server), &["--json"]).await;
    assert_eq!(shown.status, 2, "{}", shown.all());
    let document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!((&document["version"], &document["first_broken"]), (&Value::from(1), &Value::Null));
    let checks = document["checks"].as_array().expect("checks");
    assert!(!checks.is_empty());
    for check in checks {
        assert!(check["status"] == "unknown" || check["status"] == "skipped", "{check:#}");
    }
    for permission in ["s3:GetBucketNotification", "lambda:ListEventSourceMappings"] {
        assert!(shown.stdout.contains(permission), "{}", shown.stdout);
    }
    // These credentials don't reach the other account, whose owners can help.
    let requests = document["requests"].as_array().expect("requests");
    assert_eq!(requests.len(), 1, "{document:#}");
    assert_eq!(requests[0]["account"], "analytics");
    let text = doctor(Some(&server), &[]).await;
    assert_eq!(text.status, 2, "{}", text.all());
    assert!(text.stdout.starts_with("nothing is known to be broken, but "), "{}", text.stdout);
    assert!(text.stdout.contains("to send to the owners of the analytics account:"));
    assert!(text.stderr.contains("looking at the data account (111111111111)"), "{}", text.stderr);
}

/// Describes a stack of another version, whose functions may put no event, and refuses everything else.
fn describe_another_version(request: &Request) -> ResponseTemplate {
    if !String::from_utf8_lossy(&request.body).contains("Action=DescribeStacks") {
        return refuse(request);
    }
    ResponseTemplate::new(200).set_body_string(
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>landfall</StackName>\
         <CreationTime>2026-01-31T12:00:00Z</CreationTime><StackStatus>UPDATE_COMPLETE</StackStatus><Parameters><member>\
         <ParameterKey>AnnouncesBatches</ParameterKey><ParameterValue>false</ParameterValue></member></Parameters><Outputs><member>\
         <OutputKey>LandfallVersion</OutputKey><OutputValue>9.0.0</OutputValue></member></Outputs></member></Stacks>\
         </DescribeStacksResult></DescribeStacksResponse>",
    )
}

#[tokio::test]
async fn a_stack_with_another_version_is_warned_of_once() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(describe_another_version).mount(&server).await;
    let shown = doctor(Some(&server), &["--json"]).await;
    let warnings = shown.stderr.lines().filter(|line| line.starts_with("warning: "));
    let warnings: Vec<&str> = warnings.collect();
    assert_eq!(warnings.len(), 1, "{}", shown.all());
    assert!(warnings[0].contains("stack `landfall` was deployed with version 9.0.0"));
    let document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(document["checks"][0]["status"], "ok", "{document:#}");
}

#[tokio::test]
async fn routes_that_announce_need_a_stack_whose_functions_may() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(describe_another_version).mount(&server).await;
    let announcing = ROUTES.replace("job: items }", "job: items, announce: true }");
    assert_ne!(announcing, ROUTES);
    for (routes, first_broken) in [(ROUTES, Value::Null), (announcing.as_str(), "LF044".into())] {
        let shown = doctor_of(routes, Some(&server), &["--json"]).await;
        let document: Value = serde_json::from_str(&shown.stdout).expect("JSON");
        assert_eq!(document["first_broken"]["link"], first_broken, "{document:#}");
    }
    let shown = doctor_of(&announcing, Some(&server), &[]).await;
    let says = "its parameter AnnouncesBatches isn't true, and these routes announce: `items`";
    assert!(shown.status == 1 && shown.stdout.contains(says), "{}", shown.all());
}

#[tokio::test]
async fn without_credentials_nothing_is_judged() {
    let shown = doctor(None, &[]).await;
    assert_eq!((shown.status, shown.stdout.as_str()), (2, ""), "{}", shown.all());
    assert!(shown.stderr.contains("can't look at either account"), "{}", shown.stderr);
}
