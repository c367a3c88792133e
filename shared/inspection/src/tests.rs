//! What AWS's refusals become, over HTTP. Healthy accounts are seen end to end.

mod iam_events;
mod network;
mod organization;

use std::collections::{BTreeMap, BTreeSet};

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use expect_test::expect;
use landfall_core::bucket_access::Comparison;
use landfall_core::chain::observed::{AnalyticsAccount, DataAccount, External, Look};
use landfall_core::chain::permissions::permission;
use landfall_core::moment::Time;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;
use crate::cloudformation::Deployed;
use crate::requested::Requested;

/// The ways in which services write their errors.
#[derive(Clone, Copy, PartialEq)]
enum Service {
    CloudFormation,
    Iam,
    Lambda,
    S3,
    /// The name in the header of a JSON protocol.
    Json(&'static str),
}

fn service(request: &Request) -> Service {
    let target = request.headers.get("x-amz-target").and_then(|it| it.to_str().ok());
    if let Some(target) = target {
        let names = ["AmazonSQS", "DynamoDB_20120810", "AWSEvents", "AWSGlue", "TrentService"];
        let name = names.into_iter().find(|name| target.starts_with(name));
        return Service::Json(name.expect("a service that is looked at"));
    }
    let body = String::from_utf8_lossy(&request.body);
    match request.url.path() {
        path if path.starts_with("/20") => Service::Lambda,
        _ if body.contains("Version=2010-05-15") => Service::CloudFormation,
        _ if body.contains("Version=2010-05-08") => Service::Iam,
        _ => Service::S3,
    }
}

/// Writes an error as the service does.
fn error(service: Service, status: u16, code: &str, message: &str) -> ResponseTemplate {
    let answer = ResponseTemplate::new(status);
    match service {
        Service::S3 => answer.set_body_string(format!(
            "<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        )),
        Service::Iam | Service::CloudFormation => answer.set_body_string(format!(
            "<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        )),
        Service::Lambda => answer
            .insert_header("x-amzn-errortype", code)
            .set_body_json(serde_json::json!({ "Message": message })),
        Service::Json(_) => answer
            .set_body_json(serde_json::json!({ "__type": code, "message": message })),
    }
}

fn denied(service: Service) -> ResponseTemplate {
    match service {
        Service::Json(_) | Service::Lambda => {
            error(service, 400, "AccessDeniedException", "not authorized")
        }
        Service::CloudFormation | Service::Iam | Service::S3 => {
            error(service, 403, "AccessDenied", "not authorized")
        }
    }
}

fn missing(service: Service, request: &Request) -> ResponseTemplate {
    let query = request.url.query().unwrap_or_default();
    match service {
        // The answer to a HEAD has no body.
        Service::S3 if request.method.as_str() == "HEAD" => ResponseTemplate::new(404),
        Service::S3 if query.contains("ownershipControls") => {
            error(service, 404, "OwnershipControlsNotFoundError", "none")
        }
        Service::S3 if query.contains("publicAccessBlock") => {
            error(service, 404, "NoSuchPublicAccessBlockConfiguration", "none")
        }
        Service::S3 if query.contains("policy") => {
            error(service, 404, "NoSuchBucketPolicy", "none")
        }
        Service::S3 => error(service, 404, "NoSuchBucket", "none"),
        Service::Iam => error(service, 404, "NoSuchEntity", "none"),
        Service::CloudFormation => {
            error(service, 400, "ValidationError", "Stack with id landfall does not exist")
        }
        Service::Json("AmazonSQS") => error(service, 400, "QueueDoesNotExist", "none"),
        Service::Json("AWSGlue") => error(service, 400, "EntityNotFoundException", "none"),
        Service::Json("TrentService") => error(service, 400, "NotFoundException", "none"),
        Service::Json(_) => error(service, 400, "ResourceNotFoundException", "none"),
        Service::Lambda => error(service, 404, "ResourceNotFoundException", "none"),
    }
}

async fn clients(
    respond: impl Fn(&Request) -> ResponseTemplate + Send + Sync + 'static,
) -> (MockServer, Clients) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(respond).mount(&server).await;
    let credentials = Credentials::new("id", "key", None, None, "tests");
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(server.uri())
        .http_client(landfall_aws::config::http_client())
        .retry_config(RetryConfig::disabled())
        .build();
    let clients = Clients::new(&config);
    (server, clients)
}

/// Looks at both accounts, as at stacks that can't be seen or have the ID of the schedule.
async fn look(clients: &Clients, is_stack_seen: bool) -> (DataAccount, AnalyticsAccount) {
    let place = |account: &str| Place {
        partition: "aws".to_owned(),
        account: account.to_owned(),
        region: "eu-west-1".to_owned(),
    };
    let stack = match is_stack_seen {
        true => Ok(Deployed {
            name: "landfall".to_owned(),
            id: "arn:aws:cloudformation:eu-west-1:111111111111:stack/landfall/1".to_owned(),
            status: "UPDATE_COMPLETE".to_owned(),
            parameters: BTreeMap::from([("Transport".to_owned(), "Both".to_owned())]),
            version: None,
            ids: Ok(BTreeMap::from([("MonitorTick".to_owned(), "the-tick".to_owned())])),
        }),
        false => cloudformation::stack(clients, "landfall").await,
    };
    let expected = data::Expected {
        place: place("111111111111"),
        name_prefix: "landfall".to_owned(),
        stack: "landfall".to_owned(),
        buckets: BTreeMap::from([("acme-landing".to_owned(), Vec::new())]),
        reader: "arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222".to_owned(),
    };
    let is_deployed = async || cloudformation::routes(clients, "landfall").await.map(|_| true);
    let requested = cloudformation::requested(clients, &stack).await;
    let data = data::inspect(clients, &expected, &stack, &requested, is_deployed).await.account;
    let expected = analytics::Expected {
        place: place("222222222222"),
        name_prefix: "landfall".to_owned(),
        stack: "landfall".to_owned(),
        jobs: BTreeSet::from(["orders".to_owned()]),
        starter: "arn:aws:iam::222222222222:role/landfall/landfall-starter".to_owned(),
        job_role: "arn:aws:iam::222222222222:role/landfall/landfall-job".to_owned(),
        has_scripts_and_runs: true,
    };
    let analytics = analytics::inspect(clients, &expected, &stack, &requested, None).await;
    (data, analytics)
}

/// Returns what stands in the parentheses of each `what(…)`.
fn all(text: &str, what: &str) -> Vec<String> {
    let start = format!("{what}(\"");
    let found = text.split(&start).skip(1);
    let found: BTreeSet<String> =
        found.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect();
    found.into_iter().collect()
}

#[tokio::test]
async fn who_is_denied_by_the_organization_is_told_so_and_not_to_ask_for_a_permission() {
    for words in [
        "with an explicit deny in a service control policy",
        "because no service control policy allows the action",
        "with an explicit deny in a resource control policy: arn:aws:organizations::3:policy/o/p",
    ] {
        let message = format!("User: u is not authorized to perform: x on resource: r {words}");
        let (_server, clients) =
            clients(move |request| error(service(request), 400, "AccessDeniedException", &message))
                .await;
        let (data, _) = look(&clients, false).await;
        let expected = Look::DeniedByOrganization("cloudformation:DescribeStacks".to_owned());
        assert_eq!(data.stack.look, expected, "{words}");
        let concurrency = "lambda:GetFunctionConcurrency".to_owned();
        let seen = &data.trigger.reserved_concurrency;
        assert_eq!(*seen, Look::DeniedByOrganization(concurrency), "{words}");
    }
}

#[tokio::test]
async fn who_may_not_look_gets_the_permission_of_each_call_and_never_an_absence() {
    let (_server, clients) = clients(|request| denied(service(request))).await;
    let seen = format!("{:?}", look(&clients, true).await);
    assert!(!seen.contains("Missing") && !seen.contains("Failed("), "{seen}");
    expect![[r#"
        cloudformation:GetTemplate
        dynamodb:DescribeTable
        dynamodb:DescribeTimeToLive
        events:DescribeRule
        glue:GetJob
        glue:GetJobRuns
        iam:GetRole
        lambda:GetFunctionConcurrency
        lambda:GetFunctionConfiguration
        lambda:ListEventSourceMappings
        s3:GetBucketNotification
        s3:GetBucketOwnershipControls
        s3:GetBucketPolicy
        s3:GetBucketPublicAccessBlock
        s3:GetBucketVersioning
        s3:GetEncryptionConfiguration
        s3:ListBucket
        sqs:GetQueueAttributes"#]]
    .assert_eq(&all(&seen, "Denied").join("\n"));
    let (data, _) = look(&clients, false).await;
    let expected = Look::Denied("cloudformation:DescribeStacks".to_owned());
    assert_eq!(data.stack.look, expected);
    // The name of the rule is not known without the stack.
    assert_eq!(data.schedule.look, Look::Denied("cloudformation:DescribeStacks".to_owned()));
}

#[tokio::test]
async fn what_is_gone_is_missing_and_neither_denied_nor_failed() {
    let (_server, clients) = clients(|request| missing(service(request), request)).await;
    let (data, analytics) = look(&clients, true).await;
    let seen = format!("{:?}", (&data, &analytics));
    assert!(!seen.contains("Denied(") && seen.matches("Failed(").count() == 2, "{seen}");
    // A stack that is there and has no template is a contradiction.
    let is_one = |why: &str| why.starts_with("GetTemplate: ");
    assert!(matches!(&data.routes_are_deployed, Look::Failed(why) if is_one(why)));
    let statements = &data.buckets["acme-landing"].statements;
    assert!(matches!(statements, Look::Failed(why) if is_one(why)), "{statements:?}");
    let (data, _) = look(&clients, false).await;
    assert_eq!((data.stack.look, data.schedule.look), (Look::Missing, Look::Missing));
}

#[tokio::test]
async fn a_call_without_a_verdict_has_failed_with_the_code_and_says_nothing_else() {
    let expired =
        |request: &Request| error(service(request), 403, "ExpiredToken", "the token has expired");
    let (_server, clients) = clients(expired).await;
    let seen = format!("{:?}", look(&clients, true).await);
    assert!(!seen.contains("Missing") && seen.contains("ExpiredToken: the token has expired"));
    // The answer to a HEAD has no code, and its status is that of a refusal.
    assert_eq!(all(&seen, "Denied"), ["s3:ListBucket"]);
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_not_repeated() {
    let answer = r#"{"State":7,"Environment":{"Variables":{"LANDFALL_EXTERNAL_ID":"s3cr3t"}}}"#;
    let (_server, clients) =
        clients(move |_| ResponseTemplate::new(200).set_body_string(answer)).await;
    let looked = lambda::function(&clients, "landfall-trigger".to_owned(), &[]).await;
    let Look::Failed(why) = &looked.function.state else { panic!("{:?}", looked.function) };
    assert!(why.contains("HTTP status 200") && !why.contains("s3cr3t"), "{why}");
}

#[tokio::test]
async fn a_function_tells_the_vpc_that_it_runs_in() {
    for (answer, expected) in [
        (
            r#"{"State":"Active","VpcConfig":{"VpcId":"vpc-0a1b","SubnetIds":["s"]}}"#,
            Some("vpc-0a1b"),
        ),
        (r#"{"State":"Active","VpcConfig":{"VpcId":"","SubnetIds":[]}}"#, None),
        (r#"{"State":"Active"}"#, None),
    ] {
        let (_server, clients) =
            clients(move |_| ResponseTemplate::new(200).set_body_string(answer)).await;
        let looked = lambda::function(&clients, "landfall-trigger".to_owned(), &[]).await;
        let Look::Seen(state) = &looked.function.state else { panic!("{:?}", looked.function) };
        assert_eq!(state.vpc.as_deref(), expected, "{answer}");
    }
}

#[tokio::test]
async fn a_bucket_in_another_region_is_seen_where_it_is() {
    let (_server, clients) = clients(|request| match request.method.as_str() {
        "HEAD" => ResponseTemplate::new(301).insert_header("x-amz-bucket-region", "eu-central-1"),
        _ => error(Service::S3, 301, "PermanentRedirect", "use another endpoint"),
    })
    .await;
    let place = Place {
        partition: "aws".to_owned(),
        account: "111111111111".to_owned(),
        region: "eu-west-1".to_owned(),
    };
    let bucket =
        s3::bucket(&clients, &place, "acme-landing", Vec::new(), &Ok(BTreeMap::new())).await;
    assert_eq!(bucket.region, Look::Seen("eu-central-1".to_owned()));
    assert!(matches!(bucket.versioning, Look::Failed(why) if why.contains("PermanentRedirect")));
}

#[tokio::test]
async fn the_settings_of_a_public_access_block_that_are_off_are_named() {
    let block = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls>\
        <IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>false</BlockPublicPolicy>\
        </PublicAccessBlockConfiguration>";
    let (_server, clients) =
        clients(move |_| ResponseTemplate::new(200).set_body_string(block)).await;
    let place = Place {
        partition: "aws".to_owned(),
        account: "111111111111".to_owned(),
        region: "eu-west-1".to_owned(),
    };
    let bucket =
        s3::bucket(&clients, &place, "acme-landing", Vec::new(), &Ok(BTreeMap::new())).await;
    let off = ["BlockPublicPolicy", "RestrictPublicBuckets"].map(str::to_owned);
    assert_eq!(bucket.public_access_block, Look::Seen(off.to_vec()));
}

#[tokio::test]
async fn the_statements_that_a_stack_asks_for_are_compared_with_the_buckets_policy() {
    let template = serde_json::json!({ "Resources": { "BucketAccess": {
        "Type": "Custom::LandfallBucketAccess",
        "Properties": {
            "JobRoleArns": ["arn:aws:iam::222222222222:role/landfall/landfall-job"],
            "Routes": {
                "version": "1",
                "targets": { "lake": { "account": "222222222222", "region": "eu-west-1",
                    "starter_role": "landfall/landfall-starter", "external_id": "${X}" } },
                "routes": [{ "name": "orders", "bucket": "acme-landing", "key": "orders/{file}",
                    "start": { "target": "lake", "job": "orders", "access": "bucket_policy" } }],
            },
        },
    } } });
    let stack = "arn:aws:cloudformation:eu-west-1:111111111111:stack/landfall/1";
    let ids = [("BucketAccess".to_owned(), "BucketAccess-0123456789abcdef".to_owned())];
    let requested = Requested::new(&template.to_string(), stack, &BTreeMap::new(), ids.into())
        .expect("a stack");
    let statements = requested.bucket_statements().expect("statements");
    let access = &statements["acme-landing"];
    let job = "arn:aws:iam::222222222222:role/landfall/landfall-job".to_owned();
    assert_eq!(access.job_roles, BTreeSet::from([job]));
    let admitted = requested.admitted_accounts();
    assert_eq!(admitted, BTreeSet::from(["222222222222".to_owned()]));
    let desired = access.desired.statements.clone();
    assert_eq!(desired.len(), 2);
    let place = Place {
        partition: "aws".to_owned(),
        account: "111111111111".to_owned(),
        region: "eu-west-1".to_owned(),
    };
    let policy = |statements: &[serde_json::Value]| {
        let policy = serde_json::json!({ "Version": "2012-10-17", "Statement": statements });
        ResponseTemplate::new(200).set_body_json(policy)
    };
    let none = || error(Service::S3, 404, "NoSuchBucketPolicy", "none");
    let seen = |comparison| Look::Seen(Some(comparison));
    for (answer, expected) in [
        (policy(&desired), seen(Comparison::AsDesired)),
        (policy(&desired[..1]), seen(Comparison::Changed)),
        (none(), seen(Comparison::Missing)),
        (denied(Service::S3), Look::Denied("s3:GetBucketPolicy".to_owned())),
    ] {
        let (_server, clients) = clients(move |_| answer.clone()).await;
        let statements = Ok(statements.clone());
        let bucket = async |name| s3::bucket(&clients, &place, name, Vec::new(), &statements).await;
        assert_eq!(bucket("acme-landing").await.statements, expected);
        // Of a bucket for which the stack asks for nothing, nothing has to be known.
        assert_eq!(bucket("acme-other").await.statements, Look::Seen(None));
        let unseen = Err(Unseen::Missing);
        let bucket = s3::bucket(&clients, &place, "acme-landing", Vec::new(), &unseen).await;
        assert_eq!(bucket.statements, Look::Missing);
    }
}

#[tokio::test]
async fn the_newest_batch_of_a_route_is_read_from_the_index_alone() {
    let asked = r#"{"TableName":"landfall-ledger","IndexName":"routes","Limit":1,"ScanIndexForward":false,"KeyConditionExpression":"route = :route","ExpressionAttributeValues":{":route":{"S":"orders"}}}"#;
    let asked: serde_json::Value = serde_json::from_str(asked).expect("JSON");
    let answer = |items: serde_json::Value| {
        ResponseTemplate::new(200).set_body_json(serde_json::json!({ "Items": items }))
    };
    let missing = || error(Service::Json("DynamoDB"), 400, "ResourceNotFoundException", "none");
    for (answer, expected) in [
        (
            answer(serde_json::json!([{ "created_at": { "N": "1700" } }])),
            Look::Seen(Some(Time(1_700))),
        ),
        (answer(serde_json::json!([])), Look::Seen(None)),
        (denied(Service::Json("DynamoDB")), Look::Denied("dynamodb:Query".to_owned())),
        (missing(), Look::Missing),
    ] {
        let asked = asked.clone();
        let respond = move |request: &Request| {
            assert_eq!(request.body_json::<serde_json::Value>().expect("JSON"), asked);
            answer.clone()
        };
        let (_server, clients) = clients(respond).await;
        assert_eq!(newest_batch(&clients, "landfall-ledger", "orders").await, expected);
    }
}

#[tokio::test]
async fn access_analyzer_is_asked_for_active_findings_about_access_from_outside() {
    const ANALYZER: &str = "arn:aws:access-analyzer:eu-west-1:111111111111:analyzer/landfall";
    let at = "2026-01-31T12:00:00Z";
    let analyzer = |kind: &str, arn: &str| serde_json::json!({ "arn": arn, "name": "landfall", "type": kind, "status": "ACTIVE", "createdAt": at });
    let finding = |id: &str, status: &str, more: serde_json::Value| {
        let mut finding = serde_json::json!({ "id": id, "status": status, "resource": "arn:aws:s3:::acme-landing",
            "resourceType": "AWS::S3::Bucket", "resourceOwnerAccount": "111111111111", "condition": {},
            "createdAt": at, "analyzedAt": at, "updatedAt": at });
        finding
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        finding
    };
    let analyzers = serde_json::json!({ "analyzers": [
        analyzer("ACCOUNT", ANALYZER), analyzer("ACCOUNT_UNUSED_ACCESS", "arn:aws:access-analyzer:x") ] });
    let findings = serde_json::json!({ "findings": [
        finding("1", "ACTIVE", serde_json::json!({ "principal": { "AWS": "333333333333" }, "isPublic": false })),
        finding("2", "ARCHIVED", serde_json::json!({ "principal": { "AWS": "444444444444" } })),
        finding("3", "ACTIVE", serde_json::json!({})),
    ] });
    let respond = move |request: &Request| {
        let ok = ResponseTemplate::new(200);
        if request.url.path() != "/finding" {
            return ok.set_body_json(&analyzers);
        }
        let asked: serde_json::Value = request.body_json().expect("JSON");
        assert_eq!(
            (&asked["analyzerArn"], &asked["filter"]["status"]["eq"][0]),
            (&ANALYZER.into(), &"ACTIVE".into())
        );
        ok.set_body_json(&findings)
    };
    let external = |id: &str, principals: &[&str], is_public| External {
        analyzer: ANALYZER.to_owned(),
        id: id.to_owned(),
        resource: "arn:aws:s3:::acme-landing".to_owned(),
        principals: principals.iter().map(|it| (*it).to_owned()).collect(),
        is_public,
    };
    let (_server, asked) = clients(respond).await;
    let expected = vec![external("1", &["333333333333"], false), external("3", &[], true)];
    assert_eq!(external_access(&asked).await, Look::Seen(expected));
    let none = ResponseTemplate::new(200).set_body_json(serde_json::json!({ "analyzers": [] }));
    let (_server, asked) = clients(move |_| none.clone()).await;
    assert_eq!(external_access(&asked).await, Look::Missing);
    let (_server, asked) = clients(|_| denied(Service::Lambda)).await;
    let lacks = Look::Denied("access-analyzer:ListAnalyzers".to_owned());
    assert_eq!(external_access(&asked).await, lacks);
    let (_server, asked) = clients(|_| ResponseTemplate::new(200).set_body_string("<html>")).await;
    assert!(matches!(external_access(&asked).await, Look::Failed(_)));
}

#[tokio::test]
async fn the_policy_of_a_key_is_looked_at_in_its_own_account_only() {
    let is_policy = |request: &Request| {
        let target = request.headers.get("x-amz-target").and_then(|it| it.to_str().ok());
        target == Some("TrentService.GetKeyPolicy")
    };
    let arn = |account: &str| format!("arn:aws:kms:eu-west-1:{account}:key/1");
    let described = |account: &str, manager: &str| {
        ResponseTemplate::new(200).set_body_json(serde_json::json!({ "KeyMetadata": {
            "KeyId": "1", "Arn": arn(account), "KeyState": "Enabled", "KeyManager": manager } }))
    };
    let shown = || ResponseTemplate::new(200).set_body_json(serde_json::json!({ "Policy": "{}" }));
    let refused = || denied(Service::Json("TrentService"));
    for (account, manager, answer, policy) in [
        ("111111111111", "CUSTOMER", shown(), Some(Look::Seen("{}".to_owned()))),
        ("111111111111", "AWS", refused(), Some(Look::Denied("kms:GetKeyPolicy".to_owned()))),
        ("333333333333", "CUSTOMER", shown(), None),
    ] {
        let key = described(account, manager);
        let respond = move |request: &Request| {
            if is_policy(request) { answer.clone() } else { key.clone() }
        };
        let (_server, clients) = clients(respond).await;
        let seen = kms::key(&clients, "111111111111", "alias/landing").await.expect("a key");
        assert_eq!((seen.arn, seen.policy), (arn(account), policy));
        assert_eq!(seen.is_of_aws, manager == "AWS");
    }
}

#[tokio::test]
async fn items_expire_only_by_the_attribute_that_landfall_writes() {
    for (status, attribute, expected) in [
        ("ENABLED", "expires", true),
        ("ENABLING", "expires", true),
        ("ENABLED", "ttl", false),
        ("DISABLED", "expires", false),
    ] {
        let answer = format!(
            r#"{{"TimeToLiveDescription":{{"TimeToLiveStatus":"{status}","AttributeName":"{attribute}"}}}}"#
        );
        let (_server, clients) =
            clients(move |_| ResponseTemplate::new(200).set_body_string(answer.as_str())).await;
        let expiry = dynamodb::expiry(&clients, "landfall-claims").await;
        assert_eq!(expiry, Look::Seen(expected), "{status} {attribute}");
    }
}

#[test]
fn every_call_is_in_the_table_of_permissions() {
    for operation in [
        "DescribeStacks",
        "ListStackResources",
        "GetTemplate",
        "DescribeTable",
        "DescribeTimeToLive",
        "DescribeRule",
        "ListTargetsByRule",
        "GetJob",
        "GetJobRuns",
        "GetConnection",
        "DescribeSubnets",
        "DescribeRouteTables",
        "DescribeVpcEndpoints",
        "DescribeSecurityGroups",
        "DescribeKey",
        "GetKeyPolicy",
        "GetFunctionConfiguration",
        "GetFunctionConcurrency",
        "ListEventSourceMappings",
        "GetRole",
        "ListRolePolicies",
        "GetRolePolicy",
        "ListAttachedRolePolicies",
        "HeadBucket",
        "GetBucketVersioning",
        "GetBucketOwnershipControls",
        "GetPublicAccessBlock",
        "GetBucketEncryption",
        "GetBucketPolicy",
        "GetBucketNotificationConfiguration",
        "HeadObject",
        "GetQueueAttributes",
    ] {
        assert!(permission(operation).is_some(), "{operation}");
    }
}
