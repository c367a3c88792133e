use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde_json::json;
use wiremock::matchers::{header, header_exists, header_regex, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const URL: &str = "LANDFALL_LINEAGE_URL";
const KEY: &str = "LANDFALL_LINEAGE_API_KEY";
const KEY_ARN: &str = "LANDFALL_LINEAGE_API_KEY_ARN";
const SECRET: &str = "arn:aws:secretsmanager:eu-west-1:111111111111:secret:lineage-a1B2c3";
const BUS: &str = "LANDFALL_LINEAGE_BUS";
const SWITCH: &str = "LANDFALL_ADMIT_LOOPBACK_LINEAGE_URL";

fn read(given: &[(&str, &str)]) -> Result<Option<Destination>, &'static str> {
    let find = |name: &str| {
        given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    Destination::read(find).map_err(|(variable, _)| variable)
}

#[test]
fn lineage_goes_nowhere_unless_the_environment_says_where() {
    assert_eq!(read(&[]), Ok(None));
    assert_eq!(read(&[(SWITCH, "true")]), Ok(None));
    let bus = "arn:aws:events:eu-west-1:111111111111:event-bus/lineage";
    assert_eq!(read(&[(BUS, bus)]), Ok(Some(Destination::Bus(bus.to_owned()))));
    let url = "https://marquez.example.com:5443/api/v1/lineage?key=k";
    let expected = Destination::Http {
        url: Secret::new(url),
        host: "marquez.example.com".to_owned(),
        api_key: Some(ApiKey::Secret(SECRET.to_owned())),
    };
    assert_eq!(read(&[(URL, url), (KEY_ARN, SECRET)]), Ok(Some(expected.clone())));
    // An earlier version had the key in the environment.
    let Destination::Http { url: address, host, .. } = expected else { panic!("no endpoint") };
    let plain = Some(ApiKey::Plain(Secret::new("k1")));
    let expected = Destination::Http { url: address, host, api_key: plain };
    assert_eq!(read(&[(URL, url), (KEY, "k1")]), Ok(Some(expected)));
}

#[test]
fn a_url_that_is_not_https_is_refused_unless_it_leads_to_this_machine_and_that_is_admitted() {
    let loopback = ["http://127.0.0.1:5000/x", "http://localhost/x", "http://[::1]:5000/x"];
    for url in loopback {
        assert_eq!(read(&[(URL, url)]), Err(URL), "{url}");
        assert!(read(&[(URL, url), (SWITCH, "true")]).is_ok_and(|to| to.is_some()), "{url}");
    }
    for url in [
        "http://marquez.example.com/api/v1/lineage",
        "http://127.0.0.1.example.com/",
        "ftp://127.0.0.1/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com/#fragment",
        "https://exa mple.com/",
        "https://example.com/\n",
        "https://",
        "example.com",
    ] {
        assert_eq!(read(&[(URL, url), (SWITCH, "true")]), Err(URL), "{url}");
    }
}

#[test]
fn settings_of_lineage_that_contradict_each_other_are_refused() {
    let url = "https://example.com/";
    assert_eq!(read(&[(URL, url), (BUS, "b")]), Err(BUS));
    assert_eq!(read(&[(KEY, "k")]), Err(KEY));
    assert_eq!(read(&[(BUS, "b"), (KEY, "k")]), Err(KEY));
    assert_eq!(read(&[(URL, url), (KEY, "k\nx: y")]), Err(KEY));
    assert_eq!(read(&[(KEY_ARN, SECRET)]), Err(KEY_ARN));
    assert_eq!(read(&[(BUS, "b"), (KEY_ARN, SECRET)]), Err(KEY_ARN));
    assert_eq!(read(&[(URL, url), (KEY_ARN, SECRET), (KEY, "k")]), Err(KEY));
    for arn in ["lineage", "arn:aws:secretsmanager:eu-west-1:111111111111:secret:lineage", "7f3a"] {
        assert_eq!(read(&[(URL, url), (KEY_ARN, arn)]), Err(KEY_ARN), "{arn}");
    }
    assert_eq!(read(&[(BUS, "a bus")]), Err(BUS));
    assert_eq!(read(&[(URL, url), (SWITCH, "yes")]), Err(SWITCH));
}

#[test]
fn neither_url_nor_key_is_shown() {
    let url = "https://example.com/7f3a?token=7f3a";
    let destination = read(&[(URL, url), (KEY, "7f3a")]).expect("settings").expect("a destination");
    let config = SdkConfig::builder().build();
    let shown = format!("{destination:?} {:?}", Lineage::new(&destination, &config));
    assert!(!shown.contains("7f3a") && shown.contains("example.com"), "{shown}");
}

/// Makes the server both the endpoint, which knows one key, and Secrets Manager, which has
/// the same key or another one.
async fn serve(server: &MockServer, knows: &str, has: &str) {
    server.reset().await;
    let shown = format!("Bearer {knows}");
    let event = || Mock::given(method("POST")).and(path("/lineage"));
    let knows = event().and(header("authorization", shown.as_str()));
    knows.respond_with(ResponseTemplate::new(201)).mount(server).await;
    event().respond_with(ResponseTemplate::new(401)).with_priority(9).mount(server).await;
    let signed =
        "AWS4-HMAC-SHA256 .*/eu-west-1/secretsmanager/aws4_request, SignedHeaders=content-type;";
    let answer = ResponseTemplate::new(200).set_body_json(json!({ "SecretString": has }));
    Mock::given(method("POST"))
        .and(path("/"))
        .and(header("x-amz-target", "secretsmanager.GetSecretValue"))
        .and(header_regex("authorization", signed))
        .and(header_exists("x-amz-date"))
        .and(header("x-amz-security-token", "token"))
        .respond_with(answer)
        .mount(server)
        .await;
}

/// Returns the sender to such a server, which reads its key from there.
fn lineage_to(server: &MockServer) -> Lineage {
    let url = format!("{}/lineage", server.uri());
    let given = [(URL, url.as_str()), (KEY_ARN, SECRET), (SWITCH, "true")];
    let destination = read(&given).expect("settings").expect("a destination");
    let token = Some("token".to_owned());
    let credentials = Credentials::new("AKID", "secret", token, None, "test");
    let config = SdkConfig::builder()
        .endpoint_url(server.uri())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    Lineage::new(&destination, &config)
}

/// Makes the key look as if it had been read this long ago.
async fn age(lineage: &Lineage, by: Duration) {
    let Way::Http { api_key: Some(Key::Kept(kept)), .. } = &lineage.way else { panic!("no key") };
    let mut read = kept.read.lock().await;
    let (at, _) = read.as_mut().expect("it was read");
    *at = at.checked_sub(by).expect("the machine runs for longer");
}

/// Returns the requests to the server: `/` for one that reads the key, otherwise the key that was
/// sent.
async fn requests(server: &MockServer) -> Vec<String> {
    let requests = server.received_requests().await.expect("they are kept");
    let shown = requests.iter().map(|request| match request.url.path() {
        "/" => "/".to_owned(),
        _ => request.headers["authorization"].to_str().expect("a text").to_owned(),
    });
    shown.collect()
}

#[tokio::test]
async fn a_key_that_was_changed_is_read_anew_once_it_is_refused() {
    let server = MockServer::start().await;
    serve(&server, "k1", "k1").await;
    let lineage = lineage_to(&server);
    assert!(lineage.send("{}".to_owned()).await.is_ok());
    assert_eq!(requests(&server).await, ["/", "Bearer k1"]);
    serve(&server, "k2", "k2").await;
    // An endpoint that refuses all keys must not cost a read of the secret each time.
    let refused = lineage.send("{}".to_owned()).await.expect_err("it is refused");
    assert_eq!(refused.code(), "lineage_refused");
    assert_eq!(requests(&server).await, ["Bearer k1"]);
    age(&lineage, READ_ANEW).await;
    assert!(lineage.send("{}".to_owned()).await.is_ok());
    assert!(lineage.send("{}".to_owned()).await.is_ok());
    assert_eq!(requests(&server).await[1..], ["Bearer k1", "/", "Bearer k2", "Bearer k2"]);
    // A key that is refused although the secret still has it is not sent again.
    serve(&server, "k3", "k2").await;
    age(&lineage, READ_ANEW).await;
    assert!(lineage.send("{}".to_owned()).await.is_err());
    assert_eq!(requests(&server).await, ["Bearer k2", "/"]);
}

#[tokio::test]
async fn what_an_endpoint_or_a_secret_holds_is_not_told() {
    let server = MockServer::start().await;
    serve(&server, "k1", "what is no token: 7f3a").await;
    let lineage = lineage_to(&server);
    let error = lineage.send("{}".to_owned()).await.expect_err("it is no token");
    let shown = format!("{error} {error:?} {lineage:?}");
    assert!(error.code() == "lineage_key_not_read" && !shown.contains("7f3a"), "{shown}");
    serve(&server, "k1", "k1").await;
    age(&lineage, READ_ANEW).await;
    assert!(lineage.send("{}".to_owned()).await.is_ok());
    let shown = format!("{lineage:?}");
    assert!(!shown.contains("k1"), "{shown}");
}
