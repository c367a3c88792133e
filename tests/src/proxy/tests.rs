use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_iam::error::ProvideErrorMetadata;
use aws_sdk_s3::config::{Region, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_s3::types::NotificationConfiguration;
use landfall_aws::config::http_client;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{Call, Fault, Kind, Proxy};

const ROLE: &str = "<GetRoleResponse><GetRoleResult><Role><Path>/</Path><RoleName>r</RoleName>\
     <RoleId>i</RoleId><Arn>a</Arn><CreateDate>2026-01-01T00:00:00Z</CreateDate></Role>\
     </GetRoleResult></GetRoleResponse>";

/// Starts an upstream that answers everything with `body`, and a proxy in front of it.
async fn stage(body: &str) -> (MockServer, Proxy) {
    let upstream = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_string(body);
    Mock::given(any()).respond_with(answer).mount(&upstream).await;
    let proxy = Proxy::start(&upstream.uri()).unwrap();
    (upstream, proxy)
}

macro_rules! client {
    ($sdk:ident, $proxy:expr) => {
        client!($sdk, $proxy, |builder| builder)
    };
    ($sdk:ident, $proxy:expr, |$builder:ident| $more:expr) => {{
        let $builder = $sdk::Config::builder()
            .behavior_version($sdk::config::BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .endpoint_url($proxy.endpoint())
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .http_client(http_client())
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder().operation_timeout(Duration::from_millis(500)).build(),
            );
        $sdk::Client::from_conf($more.build())
    }};
}

async fn get_role(proxy: &Proxy) -> Result<String, Option<String>> {
    let found = client!(aws_sdk_iam, proxy).get_role().role_name("r").send().await;
    match found {
        Ok(output) => Ok(output.role.unwrap().role_name),
        Err(error) => Err(error.code().map(str::to_owned)),
    }
}

fn get_role_call(upstream: Option<u16>, answered: Option<u16>) -> Call {
    Call { operation: "iam:GetRole".to_owned(), path: "/".to_owned(), upstream, answered }
}

async fn calls_to(upstream: &MockServer) -> usize {
    upstream.received_requests().await.unwrap().len()
}

#[tokio::test]
async fn without_a_plan_a_call_goes_through_as_it_was_signed() {
    let (upstream, proxy) = stage(ROLE).await;
    assert_eq!(get_role(&proxy).await, Ok("r".to_owned()));
    assert_eq!(proxy.calls(), [get_role_call(Some(200), Some(200))]);
    let requests = upstream.received_requests().await.unwrap();
    let host = requests[0].headers.get("host").unwrap().to_str().unwrap();
    assert_eq!(format!("http://{host}"), proxy.endpoint());
    assert!(requests[0].headers.contains_key("authorization"));
    assert!(String::from_utf8_lossy(&requests[0].body).contains("RoleName=r"));
}

/// Makes one call with a fault, and checks what the client sees, what the proxy records, and how
/// often it called upstream.
async fn check(kind: Kind, code: Option<&str>, upstream: Option<u16>, answered: Option<u16>) {
    let (server, proxy) = stage(ROLE).await;
    proxy.plan(vec![Fault::at_call(1, kind)]);
    assert_eq!(get_role(&proxy).await, Err(code.map(str::to_owned)), "{kind:?}");
    assert_eq!(proxy.calls(), [get_role_call(upstream, answered)], "{kind:?}");
    assert_eq!(calls_to(&server).await, usize::from(upstream.is_some()), "{kind:?}");
    assert_eq!(get_role(&proxy).await, Ok("r".to_owned()), "{kind:?}, the next call");
}

#[tokio::test]
async fn a_call_that_fails_before_has_no_effect() {
    check(Kind::Before500, Some("InternalFailure"), None, Some(500)).await;
    check(Kind::Throttle, Some("Throttling"), None, Some(400)).await;
    check(Kind::Hang, None, None, None).await;
}

#[tokio::test]
async fn a_call_that_fails_after_has_its_effect() {
    check(Kind::After500, Some("InternalFailure"), Some(200), Some(500)).await;
    check(Kind::ResetAfter, None, Some(200), None).await;
    check(Kind::HangAfter, None, Some(200), None).await;
}

#[tokio::test]
async fn a_fault_meets_the_nth_call_of_its_operation_only() {
    let (_upstream, proxy) = stage(ROLE).await;
    proxy.plan(vec![
        Fault::at_nth("iam:GetRole", 2, Kind::Throttle),
        Fault::at_nth("iam:ListRoles", 1, Kind::Before500),
        Fault::at_call(4, Kind::Before500),
    ]);
    let iam = client!(aws_sdk_iam, &proxy);
    assert!(get_role(&proxy).await.is_ok());
    // The client can't read the answer, which belongs to another operation.
    iam.list_role_policies().role_name("r").send().await.ok();
    assert_eq!(get_role(&proxy).await, Err(Some("Throttling".to_owned())));
    assert_eq!(get_role(&proxy).await, Err(Some("InternalFailure".to_owned())));
    assert!(get_role(&proxy).await.is_ok());
}

#[tokio::test]
async fn a_new_plan_counts_anew() {
    let (_upstream, proxy) = stage(ROLE).await;
    assert!(get_role(&proxy).await.is_ok());
    proxy.plan(vec![Fault::at_call(1, Kind::Before500)]);
    assert!(get_role(&proxy).await.is_err());
    proxy.plan(Vec::new());
    assert_eq!(proxy.calls(), []);
    assert!(get_role(&proxy).await.is_ok());
}

#[tokio::test]
async fn json_calls_are_named_and_throttled_in_their_own_words() {
    let (_upstream, proxy) = stage("{}").await;
    let dynamodb = client!(aws_sdk_dynamodb, &proxy);
    let put = || dynamodb.put_item().table_name("t").item("pk", AttributeValue::S("k".into()));
    proxy.plan(vec![Fault::at_nth("dynamodb:PutItem", 2, Kind::Throttle)]);
    put().send().await.unwrap();
    let error = put().send().await.unwrap_err();
    assert_eq!(error.code(), Some("ProvisionedThroughputExceededException"));

    let glue = client!(aws_sdk_glue, &proxy);
    proxy.plan(vec![Fault::at_nth("glue:StartJobRun", 1, Kind::Throttle)]);
    let error = glue.start_job_run().job_name("j").send().await.unwrap_err();
    assert_eq!(error.code(), Some("ThrottlingException"));
}

#[tokio::test]
async fn calls_to_s3_are_named_by_method_and_subresource() {
    let (_upstream, proxy) = stage("").await;
    let s3 = client!(aws_sdk_s3, &proxy, |builder| builder.force_path_style(true));
    s3.get_object().bucket("b").key("in/k").send().await.unwrap();
    s3.put_bucket_notification_configuration()
        .bucket("b")
        .notification_configuration(NotificationConfiguration::builder().build())
        .send()
        .await
        .unwrap();
    s3.head_bucket().bucket("b").send().await.unwrap();
    let names: Vec<String> = proxy.calls().into_iter().map(|call| call.operation).collect();
    assert_eq!(names, ["s3:GET object", "s3:PUT bucket?notification", "s3:HEAD bucket"]);

    proxy.plan(vec![Fault::at_nth("s3:GET bucket?notification", 1, Kind::Throttle)]);
    let throttled = s3.get_bucket_notification_configuration().bucket("b").send().await;
    assert_eq!(throttled.unwrap_err().code(), Some("SlowDown"));
    assert_eq!(proxy.calls()[0].answered, Some(503));
}

#[tokio::test]
async fn an_unsigned_call_is_named_by_its_method() {
    let (upstream, proxy) = stage("").await;
    let address = proxy.endpoint().replace("http://", "");
    let stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let request = "PUT /response?x=1 HTTP/1.1\r\nhost: elsewhere\r\ncontent-length: 2\r\n\r\n{}";
    stream.writable().await.unwrap();
    stream.try_write(request.as_bytes()).unwrap();
    stream.readable().await.unwrap();
    let received = upstream.received_requests().await.unwrap();
    assert_eq!(received[0].url.path(), "/response");
    assert_eq!(received[0].body, b"{}");
    assert_eq!(proxy.calls()[0].operation, "unsigned PUT");
    assert_eq!(proxy.calls()[0].path, "/response");
}

#[tokio::test]
async fn a_dropped_proxy_listens_no_more() {
    let (_upstream, proxy) = stage(ROLE).await;
    proxy.plan(vec![Fault::at_call(1, Kind::Hang)]);
    assert!(get_role(&proxy).await.is_err());
    let address = proxy.endpoint().replace("http://", "");
    drop(proxy);
    assert!(tokio::net::TcpStream::connect(&address).await.is_err());
}
