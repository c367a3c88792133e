//! Where the credentials of a profile come from, whichever way it says.

use std::fs;
use std::net::TcpListener;

use tempfile::TempDir;
use wiremock::matchers::{body_string_contains, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::{Shown, command, shown};

/// The profiles of a person who works with several accounts.
const CONFIG: &str = r#"
[profile keys]
region = eu-west-1
aws_access_key_id = KEYS
aws_secret_access_key = secret

[profile process]
region = eu-west-1
credential_process = printf '{"Version":1,"AccessKeyId":"PROCESS","SecretAccessKey":"secret"}'

[profile role]
region = eu-west-1
role_arn = arn:aws:iam::111111111111:role/operator
source_profile = keys

[profile person]
region = eu-west-1
sso_session = acme
sso_account_id = 111111111111
sso_role_name = operator

[sso-session acme]
sso_region = eu-west-1
sso_start_url = https://acme.awsapps.example/start

[profile broken]
region = eu-west-1
credential_process = echo "the vault is closed" >&2; exit 1
"#;

/// The SHA-1 of `acme`, by which the cache of `aws sso login` names the session's file.
const SESSION: &str = "293abb6b76d7791c0732cc517d38c4b5c734b87f";

/// AWS as far as these tests need it: STS, SSO, and a ledger without batches.
async fn aws() -> MockServer {
    let server = MockServer::start().await;
    let role = r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
        <AccessKeyId>ROLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>
        <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"#;
    let role = ResponseTemplate::new(200).set_body_raw(role, "text/xml");
    let assume = Mock::given(method("POST")).and(body_string_contains("Action=AssumeRole"));
    assume.respond_with(role).with_priority(1).mount(&server).await;
    let person = r#"{"roleCredentials":{"accessKeyId":"PERSON","secretAccessKey":"secret","sessionToken":"token",
        "expiration":4070908800000}}"#;
    let person = ResponseTemplate::new(200).set_body_raw(person, "application/json");
    let federation = Mock::given(method("GET")).and(path("/federation/credentials"));
    federation.respond_with(person).with_priority(1).mount(&server).await;
    let nothing = r#"{"Items":[],"Count":0,"ScannedCount":0}"#;
    let nothing = ResponseTemplate::new(200).set_body_raw(nothing, "application/x-amz-json-1.0");
    Mock::given(method("POST")).respond_with(nothing).mount(&server).await;
    server
}

/// Runs `landfall` with these profiles, in an environment that has other credentials.
async fn landfall(server: &MockServer, args: &[&str], is_logged_in: bool) -> Shown {
    let home = TempDir::new().expect("a temporary folder");
    let cache = home.path().join(".aws/sso/cache");
    fs::create_dir_all(&cache).expect("a folder");
    fs::write(home.path().join(".aws/config"), CONFIG).expect("a written file");
    if is_logged_in {
        let token = r#"{"accessToken":"token","expiresAt":"2099-01-01T00:00:00Z","region":"eu-west-1",
            "startUrl":"https://acme.awsapps.example/start"}"#;
        fs::write(cache.join(format!("{SESSION}.json")), token).expect("a written file");
    }
    let mut command = command(home.path(), args);
    command
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("AWS_ENDPOINT_URL", server.uri()).env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_ACCESS_KEY_ID", "ENVIRONMENT").env("AWS_SECRET_ACCESS_KEY", "secret");
    tokio::task::spawn_blocking(move || shown(command.output().expect("an ended landfall")))
        .await
        .expect("no panic")
}

/// Returns the access key of the last call.
async fn last_key(server: &MockServer) -> String {
    let calls = server.received_requests().await.unwrap_or_default();
    let key = |call: &Request| {
        let signature = call.headers.get("authorization")?.to_str().ok()?.to_owned();
        Some(signature.split_once("Credential=")?.1.split('/').next()?.to_owned())
    };
    calls.last().and_then(key).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_gives_its_credentials_whichever_way_it_has_them() {
    let server = aws().await;
    for (profile, key) in
        [("keys", "KEYS"), ("process", "PROCESS"), ("role", "ROLE"), ("person", "PERSON")]
    {
        let shown = landfall(&server, &["batches", "--profile", profile], true).await;
        assert_eq!((shown.status, last_key(&server).await.as_str()), (0, key), "{}", shown.all());
    }
    let shown = landfall(&server, &["batches", "--region", "eu-west-1"], true).await;
    assert_eq!((shown.status, last_key(&server).await.as_str()), (0, "ENVIRONMENT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_gives_no_credentials_is_named_with_what_to_do() {
    let server = aws().await;
    for (profile, message) in [
        ("nobody", "profile `nobody`"),
        ("person", "log in with `aws sso login --profile person`"),
        ("broken", "profile `broken`"),
    ] {
        let shown = landfall(&server, &["batches", "--profile", profile], false).await;
        assert!(shown.stderr.contains(message), "{}", shown.all());
        assert_eq!((shown.status, shown.stdout.as_str()), (2, ""), "{}", shown.all());
        assert!(!shown.stderr.contains("secret"), "{}", shown.stderr);
    }
}

#[test]
fn an_address_that_nobody_answers_at_is_told_in_a_sentence() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
    let nobody = format!("http://{port}");
    let home = TempDir::new().expect("a temporary folder");
    let mut command = command(home.path(), &["batches"]);
    command.env_clear().env("HOME", home.path()).env("AWS_ENDPOINT_URL", nobody);
    command.envs([
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ]);
    let shown = shown(command.output().expect("an ended landfall"));
    assert!(shown.stderr.contains("failed to reach AWS: Connection refused"), "{}", shown.stderr);
    assert!(!shown.stderr.contains("DispatchFailure"), "{}", shown.stderr);
}
