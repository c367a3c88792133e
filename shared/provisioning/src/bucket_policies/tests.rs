use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use expect_test::expect;
use landfall_core::bucket_access::Spec;
use landfall_core::roles::Home;
use serde_json::{Value, json};
use wiremock::matchers::{header, method, query_param};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;

const ACCOUNT: &str = "111111111111";
const OWNER: &str = "0123456789abcdef";

/// A statement of somebody else, with an order and spaces of its own.
const THEIRS: &str =
    r#"{"Sid":"Theirs", "Principal":"*","Effect":"Deny","Action":"s3:*","Resource":"*"}"#;
const ANOTHER: &str =
    r#"{"Sid":"Another","Principal":"*","Effect":"Deny","Action":"s3:Put*","Resource":"*"}"#;

#[derive(Default)]
struct Script {
    stored: Option<String>,
    /// What someone else puts before each reading; `None` if nobody does.
    others: VecDeque<Option<String>>,
    /// The errors that refuse the puts, one after the other.
    refusals: VecDeque<(u16, &'static str, &'static str)>,
}

/// A bucket that returns what was put, unless there is a scripted answer.
struct Server(MockServer, Arc<Mutex<Script>>);

impl Server {
    async fn start(script: Script) -> Self {
        let server = MockServer::start().await;
        let script = Arc::new(Mutex::new(script));
        let shared = Arc::clone(&script);
        Mock::given(query_param("policy", ""))
            .and(header("x-amz-expected-bucket-owner", ACCOUNT))
            .respond_with(move |request: &Request| {
                let mut script = shared.lock().unwrap();
                if request.method.as_str() == "GET" {
                    if let Some(Some(other)) = script.others.pop_front() {
                        script.stored = Some(other);
                    }
                    return match &script.stored {
                        Some(text) => ResponseTemplate::new(200).set_body_string(text),
                        None => error(404, "NoSuchBucketPolicy", "none"),
                    };
                }
                if let Some((status, code, message)) = script.refusals.pop_front() {
                    return error(status, code, message);
                }
                let put = String::from_utf8(request.body.clone()).unwrap();
                script.stored = (request.method.as_str() == "PUT").then_some(put);
                ResponseTemplate::new(204)
            })
            .mount(&server)
            .await;
        Self(server, script)
    }

    async fn with(statements: &[&str]) -> Self {
        Self::start(Script { stored: Some(policy(statements)), ..Script::default() }).await
    }

    fn s3(&self) -> Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(landfall_aws::config::http_client())
            .endpoint_url(self.0.uri())
            .force_path_style(true)
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::for_tests())
            .build();
        Client::from_conf(config)
    }

    async fn converge(&self) -> Result<Outcome, Error> {
        converge(&self.s3(), "landing", ACCOUNT, &desired(), soon()).await
    }

    async fn remove(&self) -> Result<Outcome, Error> {
        remove(&self.s3(), "landing", ACCOUNT, OWNER, soon()).await
    }

    fn stored(&self) -> Option<String> {
        self.1.lock().unwrap().stored.clone()
    }

    async fn writes(&self) -> Vec<String> {
        let requests = self.0.received_requests().await.unwrap();
        let writes = requests.iter().filter(|it| it.method.as_str() != "GET");
        writes.map(|it| it.method.to_string()).collect()
    }
}

fn error(status: u16, code: &str, message: &str) -> ResponseTemplate {
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    ResponseTemplate::new(status).set_body_raw(body, "application/xml")
}

fn policy(statements: &[&str]) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(8)
}

fn desired() -> Desired {
    let properties = json!({
        "JobRoleArns": ["arn:aws:iam::222222222222:role/plain-job"],
        "Routes": {
            "version": "1",
            "targets": { "lake": { "account": "222222222222", "region": "eu-west-1",
                "starter_role": "s", "external_id": "${X}" } },
            "routes": [{ "name": "a", "bucket": "landing", "key": "in/{file}",
                "start": { "target": "lake", "job": "j", "access": "bucket_policy" } }],
        },
    });
    let home = Home::of_stack("arn:aws:cloudformation:eu-west-1:111111111111:stack/l/1").unwrap();
    let spec = Spec::read(&properties, &home).expect("valid properties");
    spec.all_desired(OWNER).remove("landing").expect("the bucket")
}

#[track_caller]
fn has(policy: Option<String>, texts: &[&str], ours: usize) {
    let policy = policy.expect("a policy");
    for text in texts {
        assert!(policy.contains(text), "{policy}");
    }
    let value: Value = serde_json::from_str(&policy).expect("JSON");
    let count = value["Statement"].as_array().expect("a list").len();
    assert_eq!(count, texts.len() + ours, "{policy}");
}

#[tokio::test]
async fn the_statements_of_others_are_put_again_as_they_are_and_ours_are_removed_alone() {
    let server = Server::with(&[THEIRS, ANOTHER]).await;
    assert_eq!(server.converge().await.unwrap(), Outcome::Changed);
    has(server.stored(), &[THEIRS, ANOTHER], 2);
    assert_eq!(server.converge().await.unwrap(), Outcome::Unchanged);
    assert_eq!(server.remove().await.unwrap(), Outcome::Changed);
    assert_eq!(server.stored(), Some(policy(&[THEIRS, ANOTHER])));
    assert_eq!(server.remove().await.unwrap(), Outcome::Unchanged);
    assert_eq!(server.writes().await, ["PUT", "PUT"]);
}

#[tokio::test]
async fn a_policy_that_has_only_ours_is_deleted_with_them() {
    let server = Server::start(Script::default()).await;
    assert_eq!(server.converge().await.unwrap(), Outcome::Changed);
    has(server.stored(), &[], 2);
    assert_eq!(server.remove().await.unwrap(), Outcome::Changed);
    assert_eq!(server.stored(), None);
    assert_eq!(server.remove().await.unwrap(), Outcome::Unchanged);
    assert_eq!(server.writes().await, ["PUT", "DELETE"]);
}

#[tokio::test]
async fn what_somebody_writes_around_our_put_is_merged_with() {
    for readings in 1..=2 {
        let mut others: VecDeque<Option<String>> = (0..readings).map(|_| None).collect();
        others.push_back(Some(policy(&[THEIRS, ANOTHER])));
        let stored = Some(policy(&[THEIRS]));
        let server = Server::start(Script { stored, others, ..Script::default() }).await;
        assert_eq!(server.converge().await.unwrap(), Outcome::Changed);
        has(server.stored(), &[THEIRS, ANOTHER], 2);
        assert_eq!(server.writes().await.len(), readings, "after {readings} readings");
    }
}

#[tokio::test]
async fn what_can_not_be_kept_is_refused_and_nothing_is_put() {
    let orphan = r#"{"Sid":"Old","Effect":"Allow","Action":"s3:GetObject","Resource":"*",
        "Principal":{"AWS":"AROA1234567890ABCDEFG"}}"#;
    for (stored, code) in [
        (policy(&[orphan]), "bucket_policy_deleted_principal"),
        (r#"{"Statement":[],"Statement":[]}"#.to_owned(), "bucket_policy_unknown_content"),
    ] {
        let server = Server::start(Script { stored: Some(stored), ..Script::default() }).await;
        let error = server.converge().await.unwrap_err();
        assert_eq!((error.code(), error.is_retryable()), (code, false));
        assert!(server.writes().await.is_empty());
    }
}

#[tokio::test]
async fn a_put_that_s3_refuses_is_told_with_what_to_do() {
    let blocked = "User is not authorized to perform: s3:PutBucketPolicy because public policies \
        are prevented by the BlockPublicPolicy setting in S3 Block Public Access.";
    let mut told = Vec::new();
    for (status, code, message) in [
        (403, "AccessDenied", blocked),
        (400, "MalformedPolicy", "Invalid principal in policy"),
        (400, "InvalidRequest", "no"),
    ] {
        let stored = Some(policy(&[THEIRS]));
        let refusals = VecDeque::from([(status, code, message)]);
        let server = Server::start(Script { stored, refusals, ..Script::default() }).await;
        let error = server.converge().await.unwrap_err();
        assert!(!error.is_retryable());
        told.push(format!("{}: {}", error.code(), chain(&error)));
        assert_eq!(server.writes().await, ["PUT"]);
    }
    expect![[r#"
        bucket_policy_public: failed to put the policy of bucket `landing`: a statement of another owner makes the bucket public, and Block Public Access refuses the whole policy (narrow or remove that statement): AccessDenied: User is not authorized to perform: s3:PutBucketPolicy because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.
        bucket_policy_malformed: failed to put the policy of bucket `landing`: S3 takes it for malformed (see whether a statement of another owner names a principal that was deleted): MalformedPolicy: Invalid principal in policy
        bucket_policy_invalid: failed to put the policy of bucket `landing`: InvalidRequest: no"#]].assert_eq(&told.join("\n"));
}

#[tokio::test]
async fn a_put_that_is_denied_is_tried_again_and_told_with_both_reasons() {
    let refusals = (0..100).map(|_| (403, "AccessDenied", "Access Denied")).collect();
    let server = Server::start(Script { refusals, ..Script::default() }).await;
    let deadline = Instant::now() + Duration::from_millis(900);
    let error = converge(&server.s3(), "landing", ACCOUNT, &desired(), deadline).await;
    let error = error.unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("bucket_policy_access_denied", true));
    let text = error.to_string();
    assert!(text.contains("`PolicyBucketArns`") && text.contains("Block Public Access"), "{text}");
    assert!(server.writes().await.len() > 1);
}

#[tokio::test]
async fn a_look_tells_a_bucket_without_a_policy_from_one_that_is_not_ours() {
    let server = Server::start(Script::default()).await;
    assert_eq!(look(&server.s3(), "landing", ACCOUNT, soon()).await, Look::Found(None));
    let server = Server::with(&[THEIRS]).await;
    let Look::Found(Some(found)) = look(&server.s3(), "landing", ACCOUNT, soon()).await else {
        panic!("not found");
    };
    assert_eq!(found.to_text(), policy(&[THEIRS]));
    let gone = MockServer::start().await;
    let answer = |_: &Request| error(404, "NoSuchBucket", "none");
    Mock::given(method("GET")).respond_with(answer).mount(&gone).await;
    let gone = Server(gone, Arc::default());
    let why = "there is no such bucket".to_owned();
    assert_eq!(look(&gone.s3(), "landing", ACCOUNT, soon()).await, Look::NotOurs(why));
    assert_eq!(gone.remove().await.unwrap(), Outcome::Unchanged);
    assert_eq!(gone.converge().await.unwrap_err().code(), "bucket_policy_no_such_bucket");
}
