use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use landfall_core::key_policy::Grantee;
use serde_json::{Value, json};
use wiremock::matchers::{body_partial_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const OWNER: &str = "111111111111";
const KEY: &str = "arn:aws:kms:eu-west-1:111111111111:key/1234";
const FOREIGN: &str = "arn:aws:kms:eu-west-1:999999999999:key/5678";
const ROLE: &str = "arn:aws:iam::111111111111:role/landfall/landfall-reader";

/// Stand-ins for S3 and KMS on one HTTP server.
struct Aws(MockServer);

impl Aws {
    async fn start() -> Self {
        Self(MockServer::start().await)
    }

    async fn bucket(&self, name: &str, status: u16, body: String) {
        Mock::given(method("GET"))
            .and(path(format!("/{name}/")))
            .and(header("x-amz-expected-bucket-owner", OWNER))
            .respond_with(ResponseTemplate::new(status).set_body_raw(body, "application/xml"))
            .mount(&self.0)
            .await;
    }

    /// Adds a bucket with this default encryption.
    async fn encrypted(&self, bucket: &str, algorithm: &str, key: Option<&str>) {
        let key = key.map(|key| format!("<KMSMasterKeyID>{key}</KMSMasterKeyID>"));
        let body = format!(
            r#"<ServerSideEncryptionConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule>
            <ApplyServerSideEncryptionByDefault><SSEAlgorithm>{algorithm}</SSEAlgorithm>{}
            </ApplyServerSideEncryptionByDefault><BucketKeyEnabled>true</BucketKeyEnabled>
            </Rule></ServerSideEncryptionConfiguration>"#,
            key.unwrap_or_default()
        );
        self.bucket(bucket, 200, body).await;
    }

    async fn unreadable(&self, bucket: &str, status: u16, code: &str) {
        let body = format!("<Error><Code>{code}</Code><Message>marked</Message></Error>");
        self.bucket(bucket, status, body).await;
    }

    async fn answers(&self, operation: &str, key: &str, status: u16, body: Value) {
        Mock::given(header("x-amz-target", format!("TrentService.{operation}")))
            .and(body_partial_json(json!({ "KeyId": key })))
            .respond_with(ResponseTemplate::new(status).set_body_json(body))
            .mount(&self.0)
            .await;
    }

    async fn key(&self, named: &str, state: &str, manager: &str) {
        let body = json!({ "KeyMetadata": {
            "KeyId": "1234", "Arn": KEY, "KeyState": state, "KeyManager": manager } });
        self.answers("DescribeKey", named, 200, body).await;
    }

    async fn denies(&self, operation: &str, key: &str) {
        let body = json!({ "__type": "AccessDeniedException", "message": "marked" });
        self.answers(operation, key, 400, body).await;
    }

    async fn policy(&self, key: &str, statement: Value) {
        let policy = json!({ "Version": "2012-10-17", "Statement": statement }).to_string();
        self.answers("GetKeyPolicy", key, 200, json!({ "Policy": policy })).await;
    }

    async fn config(&self) -> SdkConfig {
        let credentials = Credentials::new("id", "secret", None, None, "test");
        landfall_aws::config::loader()
            .endpoint_url(self.0.uri())
            .region(Region::new("eu-west-1"))
            .credentials_provider(credentials)
            .load()
            .await
    }

    async fn keys(&self, buckets: &[&str]) -> Result<BTreeSet<String>, KmsError> {
        let config = self.config().await;
        let s3 = aws_sdk_s3::Client::new(&config);
        let kms = aws_sdk_kms::Client::new(&config);
        keys_of_buckets(&s3, &kms, buckets.iter().copied(), OWNER).await
    }

    async fn admissions(&self, keys: &[&str], time: Duration) -> Vec<KeyAdmission> {
        let kms = aws_sdk_kms::Client::new(&self.config().await);
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        check_admissions(&kms, &keys, ROLE, Instant::now() + time).await
    }

    async fn calls(&self) -> usize {
        self.0.received_requests().await.expect("recorded").len()
    }
}

fn to_root() -> Value {
    json!({ "Effect": "Allow", "Action": "kms:*", "Resource": "*",
        "Principal": { "AWS": "arn:aws:iam::111111111111:root" } })
}

#[tokio::test]
async fn buckets_without_a_key_of_their_own_need_none() {
    let aws = Aws::start().await;
    aws.encrypted("plain", "AES256", None).await;
    aws.encrypted("managed", "aws:kms", None).await;
    aws.encrypted("alias", "aws:kms:dsse", Some("alias/aws/s3")).await;
    let alias = format!("arn:aws:kms:eu-west-1:{OWNER}:alias/aws/s3");
    aws.encrypted("alias-arn", "aws:kms", Some(&alias)).await;
    aws.unreadable("older", 404, "ServerSideEncryptionConfigurationNotFoundError").await;
    let buckets = ["plain", "managed", "alias", "alias-arn", "older"];
    assert_eq!(aws.keys(&buckets).await.expect("keys"), BTreeSet::new());
    assert_eq!(aws.calls().await, buckets.len(), "KMS is not asked");
}

#[tokio::test]
async fn ids_aliases_and_arns_come_down_to_one_key() {
    let aws = Aws::start().await;
    let alias_arn = format!("arn:aws:kms:eu-west-1:{OWNER}:alias/lake");
    for (bucket, named) in [("id", "1234"), ("alias", "alias/lake"), ("a", &*alias_arn), ("k", KEY)]
    {
        aws.encrypted(bucket, "aws:kms", Some(named)).await;
        aws.key(named, "Enabled", "CUSTOMER").await;
    }
    aws.encrypted("dsse", "aws:kms:dsse", Some(KEY)).await;
    let keys = aws.keys(&["id", "alias", "a", "k", "dsse"]).await.expect("keys");
    assert_eq!(keys, BTreeSet::from([KEY.to_owned()]));
    assert_eq!(aws.calls().await, 9, "a key that two buckets name alike is described once");
}

#[tokio::test]
async fn the_key_that_aws_looks_after_is_known_by_its_manager() {
    let aws = Aws::start().await;
    aws.encrypted("managed", "aws:kms", Some(KEY)).await;
    aws.key(KEY, "Enabled", "AWS").await;
    assert_eq!(aws.keys(&["managed"]).await.expect("keys"), BTreeSet::new());
}

#[tokio::test]
async fn a_key_that_cannot_decrypt_is_refused_with_its_state() {
    for state in ["Disabled", "PendingDeletion", "PendingReplicaDeletion", "PendingImport"] {
        let aws = Aws::start().await;
        aws.encrypted("lake", "aws:kms", Some("alias/lake")).await;
        aws.key("alias/lake", state, "CUSTOMER").await;
        let error = aws.keys(&["lake"]).await.expect_err("unusable");
        assert_eq!(error.code(), "kms_key_unusable");
        let text = error.to_string();
        for part in [KEY, "`lake`", state, "`KmsKeyArns`"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[tokio::test]
async fn a_bucket_that_does_not_tell_fails_with_the_way_out() {
    for (status, code, expected) in [
        (403, "AccessDenied", "bucket_encryption_unknown"),
        (301, "PermanentRedirect", "bucket_encryption_unknown"),
    ] {
        let aws = Aws::start().await;
        aws.unreadable("lake", status, code).await;
        let error = aws.keys(&["lake"]).await.expect_err("no answer");
        assert_eq!(error.code(), expected, "{error}");
        assert!(error.to_string().contains("`lake`"), "{error}");
        assert!(error.to_string().contains("`KmsKeyArns`"), "{error}");
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_yet_has_no_key() {
    let aws = Aws::start().await;
    aws.unreadable("lake", 404, "NoSuchBucket").await;
    assert_eq!(aws.keys(&["lake"]).await.expect("no key"), BTreeSet::new());
}

#[tokio::test]
async fn a_key_that_may_not_be_described_fails_unless_the_bucket_names_its_arn() {
    let alias = "arn:aws:kms:eu-west-1:999999999999:alias/lake";
    for (named, is_fine) in [(FOREIGN, true), (KEY, true), ("alias/lake", false), (alias, false)] {
        let aws = Aws::start().await;
        aws.encrypted("lake", "aws:kms", Some(named)).await;
        aws.denies("DescribeKey", named).await;
        match aws.keys(&["lake"]).await {
            Ok(keys) => {
                assert!(is_fine, "{named}");
                assert_eq!(keys, BTreeSet::from([named.to_owned()]));
            }
            Err(error) => {
                assert!(!is_fine, "{error}");
                assert_eq!(error.code(), "kms_key_unknown");
                assert!(error.to_string().contains(named), "{error}");
                assert!(chain(&error).contains("AccessDeniedException: marked"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn each_key_has_a_verdict_and_what_was_not_seen_is_never_fine() {
    let aws = Aws::start().await;
    let key = |name: &str| format!("arn:aws:kms:eu-west-1:{OWNER}:key/{name}");
    let [admits, denies, silent, unclear] = ["a", "b", "c", "d"].map(key);
    aws.policy(&admits, to_root()).await;
    let deny = json!({ "Sid": "Keep", "Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*" });
    aws.policy(&denies, json!([to_root(), deny])).await;
    aws.policy(&silent, json!([])).await;
    let mut condition = to_root();
    condition["Condition"] = json!({ "StringEquals": { "aws:PrincipalOrgID": "o-1" } });
    aws.policy(&unclear, condition).await;
    aws.denies("GetKeyPolicy", FOREIGN).await;

    let admissions = aws
        .admissions(&[&admits, &denies, &silent, &unclear, FOREIGN], Duration::from_secs(60))
        .await;
    let [a, b, c, d, foreign] = &admissions[..] else { panic!("{admissions:?}") };
    assert!(matches!(a.verdict, Ok(Verdict::Admitted(Grantee::Account))), "{a:?}");
    assert_eq!((a.note(), a.is_refusal()), (None, false));
    for (refused, words) in [(b, "`Keep`"), (c, "add `KeyPolicyStatement`")] {
        assert!(refused.is_refusal(), "{refused:?}");
        assert!(refused.note().is_some_and(|note| note.contains(words)), "{refused:?}");
    }
    for (unknown, words) in [(d, "aws:PrincipalOrgID"), (foreign, "AccessDeniedException: marked")]
    {
        assert!(!unknown.is_refusal(), "{unknown:?}");
        assert!(unknown.note().is_some_and(|note| note.contains(words)), "{unknown:?}");
    }
    assert!(foreign.verdict.as_ref().is_err_and(|error| error.code() == "key_policy_not_seen"));
}

#[tokio::test]
async fn a_policy_that_does_not_come_in_time_is_not_seen() {
    let aws = Aws::start().await;
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(30));
    Mock::given(method("POST")).respond_with(slow).mount(&aws.0).await;
    let admissions = aws.admissions(&[FOREIGN, KEY], Duration::from_millis(50)).await;
    assert_eq!(admissions.len(), 2);
    for admission in admissions {
        assert!(matches!(admission.verdict, Err(KmsError::OutOfTime { .. })), "{admission:?}");
        assert!(admission.note().is_some());
    }
}
