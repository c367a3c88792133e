//! What Glue answers, and what becomes of it.

mod looking;
mod searching;

use std::time::{Duration, SystemTime};

use aws_config::Region;
use aws_credential_types::Credentials;
use serde_json::{Value, json};
use wiremock::matchers::{body_partial_json, body_string_contains, header};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::assumed_role::{AssumedRole, Assumption};
use crate::clock::now;

const BATCH: &str = "0123456789abcdef0123456789abcdef";

/// The time from which on the tests search, in seconds since 1970.
const SINCE: u64 = 1_800_000_000;

/// STS and Glue on one HTTP server.
struct Aws {
    server: MockServer,
    glue: Glue,
}

impl Aws {
    async fn start() -> Self {
        let server = MockServer::start().await;
        let valid = SystemTime::now() + Duration::from_secs(3600);
        let expiration = aws_sdk_sts::primitives::DateTime::from(valid);
        let body = format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId>\
             <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
             <Expiration>{expiration}</Expiration></Credentials></AssumeRoleResult>\
             </AssumeRoleResponse>"
        );
        Mock::given(body_string_contains("Action=AssumeRole"))
            .respond_with(ResponseTemplate::new(200).set_body_raw(body, "text/xml"))
            .mount(&server)
            .await;
        let config = crate::config::loader()
            .endpoint_url(server.uri())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::for_tests())
            .load()
            .await;
        let role = AssumedRole::new(
            aws_sdk_sts::Client::new(&config),
            Assumption {
                role_arn: "arn:aws:iam::222222222222:role/landfall/landfall-starter".to_owned(),
                external_id: None,
                session_name: "landfall-monitor".to_owned(),
                source_identity: None,
            },
        );
        let glue = Glue::new(&config, "222222222222", "eu-west-1", role);
        Self { server, glue }
    }

    async fn answers(&self, operation: &str, asked: Value, status: u16, answer: &Value) {
        let body = ResponseTemplate::new(status)
            .set_body_raw(answer.to_string(), "application/x-amz-json-1.1");
        Mock::given(header("x-amz-target", format!("AWSGlue.{operation}").as_str()))
            .and(body_partial_json(asked))
            .respond_with(body)
            .mount(&self.server)
            .await;
    }

    /// Answers with these pages, each of which leads to the next.
    async fn lists(&self, pages: &[Vec<Value>]) {
        for (number, runs) in pages.iter().enumerate().rev() {
            let mut asked = json!({ "JobName": "orders", "MaxResults": 200 });
            if number > 0 {
                asked["NextToken"] = json!(format!("page {number}"));
            }
            let mut answer = json!({ "JobRuns": runs });
            if number + 1 < pages.len() {
                answer["NextToken"] = json!(format!("page {}", number + 1));
            }
            // The matcher of the first page also matches the requests for the others, so those come
            // first.
            self.answers("GetJobRuns", asked, 200, &answer).await;
        }
    }

    async fn pages_read(&self) -> usize {
        let requests = self.server.received_requests().await.expect("recorded");
        requests.iter().filter(|request| request.headers.contains_key("x-amz-target")).count()
    }
}
