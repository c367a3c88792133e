//! Stand-ins for STS and Glue on one HTTP server.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use serde_json::{Value, json};
use wiremock::matchers::{body_string_contains, header};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// Marked, so that it can be searched for in what is printed.
pub const EXTERNAL_ID: &str = "external-id-7f3a";

/// What STS does.
#[derive(Debug, Clone, Copy)]
pub enum Sts {
    Grants,
    GrantsFor(Duration),
    /// The first session is valid for so long; there is no second.
    GrantsOnce(Duration),
    Denies,
    RepeatsExternalId,
}

/// What Glue does.
#[derive(Debug, Clone, Copy)]
pub enum Glue {
    Starts,
    RefusesJob(&'static str),
    Fails(u16, &'static str),
    /// The first session only.
    RefusesSessionOnce,
    /// A success without a job run id.
    SaysNothing,
}

pub struct Aws {
    server: MockServer,
}

impl Aws {
    pub async fn start(sts: Sts, glue: Glue) -> Self {
        let server = MockServer::start().await;
        let calls = AtomicUsize::new(0);
        let starts = AtomicUsize::new(0);
        Mock::given(body_string_contains("Action=AssumeRole"))
            .respond_with(move |_: &Request| {
                assume_role(sts, calls.fetch_add(1, Ordering::Relaxed))
            })
            .mount(&server)
            .await;
        Mock::given(header("x-amz-target", "AWSGlue.StartJobRun"))
            .respond_with(move |request: &Request| {
                start_job_run(glue, request, starts.fetch_add(1, Ordering::Relaxed))
            })
            .mount(&server)
            .await;
        Self { server }
    }

    /// The configuration of the functions, with this server for AWS.
    pub async fn config(&self) -> SdkConfig {
        landfall_aws::config::loader()
            .endpoint_url(self.server.uri())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::for_tests())
            .load()
            .await
    }

    /// The parameters of each `AssumeRole`.
    pub async fn assumptions(&self) -> Vec<BTreeMap<String, String>> {
        let requests = self.server.received_requests().await.expect("recorded");
        let bodies =
            requests.iter().filter(|request| !request.headers.contains_key("x-amz-target"));
        bodies.map(|request| serde_urlencoded::from_bytes(&request.body).expect("a form")).collect()
    }

    /// The body of each `StartJobRun`.
    pub async fn starts(&self) -> Vec<Value> {
        let requests = self.server.received_requests().await.expect("recorded");
        let bodies = requests.iter().filter(|request| request.headers.contains_key("x-amz-target"));
        bodies.map(|request| request.body_json().expect("JSON")).collect()
    }
}

/// `number` counts the calls from 0: each session has an access key of its own, as on AWS.
fn assume_role(sts: Sts, number: usize) -> ResponseTemplate {
    let valid = match sts {
        Sts::Grants => Duration::from_secs(3_600),
        Sts::GrantsFor(valid) => valid,
        Sts::GrantsOnce(valid) if number == 0 => valid,
        Sts::GrantsOnce(_) => return sts_error(400, "RegionDisabledException", "not any more"),
        Sts::Denies => {
            return sts_error(403, "AccessDenied", "not authorized to perform: sts:AssumeRole");
        }
        Sts::RepeatsExternalId => {
            let message =
                format!("Value '{EXTERNAL_ID}' at 'externalId' failed to satisfy constraint");
            return sts_error(400, "ValidationError", &message);
        }
    };
    let expiration = aws_sdk_sts::primitives::DateTime::from(SystemTime::now() + valid);
    let body = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
         <Credentials><AccessKeyId>ASIA{number}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
         <SessionToken>token</SessionToken><Expiration>{expiration}</Expiration></Credentials>\
         </AssumeRoleResult></AssumeRoleResponse>"
    );
    ResponseTemplate::new(200).set_body_raw(body, "text/xml")
}

fn sts_error(status: u16, code: &str, message: &str) -> ResponseTemplate {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    ResponseTemplate::new(status).set_body_raw(body, "text/xml")
}

fn start_job_run(glue: Glue, request: &Request, number: usize) -> ResponseTemplate {
    let job: Value = request.body_json().expect("JSON");
    let failure = |status: u16, code: &str| {
        let body = json!({ "__type": code, "Message": "as the test asks" }).to_string();
        ResponseTemplate::new(status).set_body_raw(body, "application/x-amz-json-1.1")
    };
    match glue {
        Glue::Fails(status, code) => failure(status, code),
        Glue::RefusesJob(name) if job["JobName"] == name => {
            failure(400, "ConcurrentRunsExceededException")
        }
        Glue::RefusesSessionOnce if number == 0 => failure(400, "UnrecognizedClientException"),
        Glue::SaysNothing => {
            ResponseTemplate::new(200).set_body_raw("{}", "application/x-amz-json-1.1")
        }
        _ => ResponseTemplate::new(200)
            .set_body_raw(r#"{"JobRunId":"jr_1"}"#, "application/x-amz-json-1.1"),
    }
}
