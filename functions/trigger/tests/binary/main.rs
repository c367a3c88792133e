//! The compiled function as Lambda runs it, with the Runtime API over HTTP and AWS over TLS.

mod traces;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use landfall_core::routes::packaged::package;
use landfall_stand_ins::{StandIn, Table, tls};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const ROUTES: &str = r#"version: 1
targets:
  analytics: { account: "222222222222", region: eu-west-1, starter_role: s, external_id: "${EXTERNAL_ID}" }
routes:
  - { name: all, bucket: landing, key: "**", start: { target: analytics, job: all } }
"#;

const NEXT: &str = "/2018-06-01/runtime/invocation/next";

/// Ends the function together with the test.
struct Function(Child);

impl Drop for Function {
    fn drop(&mut self) {
        // The function may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The function's answer to one message, and its log until then.
struct Answered {
    body: Value,
    log: Vec<Value>,
}

/// Runs the function with AWS at `aws` and the certificates that it trusts in `bundle`.
async fn answer(aws: &tls::Server, bundle: &str) -> Answered {
    answer_with(aws, bundle, &[]).await
}

/// Runs the function with additional variables.
async fn answer_with(aws: &tls::Server, bundle: &str, extra: &[(&str, &str)]) -> Answered {
    answer_beside(aws, bundle, extra, None).await
}

/// Runs the function with this file of packaged routes beside their text.
async fn answer_beside(
    aws: &tls::Server,
    bundle: &str,
    extra: &[(&str, &str)],
    packaged: Option<&[u8]>,
) -> Answered {
    let runtime = MockServer::start().await;
    let is_served = AtomicBool::new(false);
    Mock::given(method("GET"))
        .and(path(NEXT))
        .respond_with(move |_: &Request| {
            if is_served.swap(true, Ordering::Relaxed) {
                ResponseTemplate::new(200).set_delay(Duration::from_secs(600))
            } else {
                invocation()
            }
        })
        .mount(&runtime)
        .await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(202)).mount(&runtime).await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("routes.yaml"), ROUTES).expect("writable");
    if let Some(packaged) = packaged {
        std::fs::write(folder.path().join("routes.packaged"), packaged).expect("writable");
    }
    std::fs::write(folder.path().join("bundle.pem"), bundle).expect("writable");
    let variables = BTreeMap::from([
        ("AWS_LAMBDA_RUNTIME_API", runtime.address().to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", "landfall-trigger".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_ENDPOINT_URL", aws.url()),
        ("SSL_CERT_FILE", folder.path().join("bundle.pem").display().to_string()),
        ("LAMBDA_TASK_ROOT", folder.path().display().to_string()),
        ("LANDFALL_LEDGER_TABLE", "ledger".to_owned()),
        (
            "LANDFALL_CLAIMS_TABLE_ARN",
            "arn:aws:dynamodb:eu-west-1:111111111111:table/claims".to_owned(),
        ),
        ("LANDFALL_MANIFESTS_BUCKET", "manifests".to_owned()),
        ("LANDFALL_READER_ROLE_ARN", "arn:aws:iam::111111111111:role/landfall-reader".to_owned()),
        ("EXTERNAL_ID", "external-id-7f3a".to_owned()),
    ]);
    let output = folder.path().join("output");
    let child = Command::new(env!("CARGO_BIN_EXE_trigger"))
        .env_clear()
        .envs(variables)
        .envs(extra.iter().copied())
        .stdout(std::fs::File::create(&output).expect("writable"))
        .spawn()
        .expect("the function starts");
    let _function = Function(child);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let requests = runtime.received_requests().await.expect("recorded");
        let posted = requests.iter().find(|request| request.method.as_str() == "POST");
        if let Some(request) = posted {
            assert!(request.url.path().ends_with("/invocation/1/response"), "{}", request.url);
            let output = std::fs::read_to_string(&output).expect("UTF-8");
            let lines = output.lines().map(|l| serde_json::from_str(l).expect("JSON"));
            // The other lines are metrics.
            let log = lines.filter(|line: &Value| line["level"].is_string()).collect();
            return Answered { body: request.body_json().expect("JSON"), log };
        }
        assert!(Instant::now() < deadline, "no answer");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn invocation() -> ResponseTemplate {
    let body = json!({ "Records": [{
        "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": "landing" }, "object": { "key": "a" } }
    }]});
    let event = json!({ "Records": [
        { "messageId": "m0", "eventSource": "aws:sqs", "body": body.to_string() }
    ]});
    let deadline = SystemTime::now() + Duration::from_secs(60);
    let deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis();
    ResponseTemplate::new(200)
        .insert_header("Lambda-Runtime-Aws-Request-Id", "1")
        .insert_header("Lambda-Runtime-Deadline-Ms", deadline.to_string())
        .insert_header("Lambda-Runtime-Trace-Id", traces::HEADER)
        .insert_header(
            "Lambda-Runtime-Invoked-Function-Arn",
            "arn:aws:lambda:eu-west-1:1:function:f",
        )
        .set_body_json(event)
}

#[tokio::test]
async fn the_function_speaks_to_aws_over_tls() {
    let aws = StandIn::start(vec![Table::ledger("ledger")]);
    let front = tls::Server::start(aws.endpoint());
    let answered = answer(&front, front.certificate()).await;
    assert_eq!(answered.body, json!({ "batchItemFailures": [] }));
    let called: BTreeSet<&str> = aws.calls().iter().map(|call| call.service).collect();
    assert_eq!(called, ["dynamodb", "glue", "s3", "sts"].into());
    assert_eq!(aws.runs("all").len(), 1);
}

#[tokio::test]
async fn the_function_speaks_to_nobody_whose_certificate_it_does_not_know() {
    let aws = StandIn::start(vec![Table::ledger("ledger")]);
    let front = tls::Server::start(aws.endpoint());
    let another = tls::Server::start(aws.endpoint());
    let failures = json!({ "batchItemFailures": [{ "itemIdentifier": "m0" }] });
    assert_eq!(answer(&front, another.certificate()).await.body, failures);
    // The function trusts the certificates that are compiled in.
    let answered = answer_with(&front, front.certificate(), &[("SSL_CERT_FILE", "")]).await;
    assert_eq!(answered.body, failures);
    assert!(json!(answered.log).to_string().contains("UnknownIssuer"), "{:?}", answered.log);
    assert_eq!(aws.calls(), []);
}

#[tokio::test]
async fn the_file_of_certificates_that_is_asked_for_is_the_one_that_is_read_and_named() {
    let aws = StandIn::start(vec![Table::ledger("ledger")]);
    let front = tls::Server::start(aws.endpoint());
    let nowhere = ("AWS_CA_BUNDLE", "/nowhere/bundle.pem");
    let answered = answer_with(&front, front.certificate(), &[nowhere]).await;
    assert_eq!(answered.body, json!({ "batchItemFailures": [{ "itemIdentifier": "m0" }] }));
    assert!(json!(answered.log).to_string().contains(nowhere.1), "{:?}", answered.log);
    // It doesn't load certificates before a call goes over TLS.
    let plain = ("AWS_ENDPOINT_URL", aws.endpoint());
    let answered = answer_with(&front, front.certificate(), &[nowhere, plain]).await;
    assert_eq!(answered.body, json!({ "batchItemFailures": [] }));
}

#[tokio::test]
async fn packaged_routes_are_used_if_they_fit_and_said_to_be_useless_if_not() {
    let packaged = package(ROUTES).expect("they are valid");
    let other = package(&ROUTES.replace("job: all", "job: other")).expect("they are valid");
    for (packaged, reason) in [
        (packaged.as_slice(), None),
        (&packaged[..packaged.len() - 1], Some("it is damaged")),
        (&other, Some("it was made from another text")),
    ] {
        let aws = StandIn::start(vec![Table::ledger("ledger")]);
        let front = tls::Server::start(aws.endpoint());
        let answered = answer_beside(&front, front.certificate(), &[], Some(packaged)).await;
        assert_eq!(answered.body, json!({ "batchItemFailures": [] }));
        assert_eq!(aws.runs("all").len(), 1);
        let lines = answered.log.iter().filter(|line| line["code"] == "routes_parsed");
        let told: Vec<&str> = lines.filter_map(|line| line["message"].as_str()).collect();
        assert_eq!(told.len(), usize::from(reason.is_some()), "{:?}", answered.log);
        assert!(told.iter().all(|text| reason.is_some_and(|it| text.contains(it))), "{told:?}");
    }
}

#[tokio::test]
async fn each_line_of_the_log_tells_its_invocation() {
    let aws = StandIn::start(vec![Table::ledger("ledger")]);
    let front = tls::Server::start(aws.endpoint());
    let log = answer(&front, front.certificate()).await.log;
    let told: Vec<&str> = log.iter().filter_map(|line| line["message"].as_str()).collect();
    assert_eq!(told, ["arrivals recorded", "batch starting", "batch started"]);
    for line in &log {
        assert_eq!(line["span"]["requestId"], "1", "{line}");
    }
}
