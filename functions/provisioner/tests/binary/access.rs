//! Changes of buckets' policies: what becomes of the statements of others, and of a change if one of
//! the buckets can't be reached.

use landfall_stand_ins::{Act, Stack, StackResource};
use serde_json::{Value, json};

use crate::fixture::{Fixture, STACK, TRUSTED, routes};

const KIND: &str = "Custom::LandfallBucketAccess";
const ACCOUNT: &str = "111111111111";
const LANDING: &str = "acme-landing";
const RAW: &str = "acme-raw";
const OTHERS: &str = "acme-others";

/// What somebody else put into the policy, with an order and spaces of its own.
const THEIRS: &str = r#"{"Sid":"Theirs", "Principal":"*","Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":false}}}"#;

/// A resource whose properties can name three buckets, of which two belong to this account.
struct Granted {
    fixture: Fixture,
    id: Option<String>,
}

impl Granted {
    async fn new() -> Self {
        let mut fixture = Fixture::new().await;
        fixture.set("LANDFALL_POLICY_BUCKETS", Some("acme-landing,acme-raw,acme-others"));
        fixture.aws.make_bucket(LANDING, ACCOUNT);
        fixture.aws.make_bucket(RAW, ACCOUNT);
        fixture.aws.make_bucket(OTHERS, TRUSTED);
        Self { fixture, id: None }
    }

    /// Makes one with statements in this bucket only.
    async fn of(bucket: &str) -> Self {
        let mut granted = Self::new().await;
        granted.fixture.aws.put_bucket_policy(LANDING, &policy(&[THEIRS]));
        let create = granted.request("made", "Create", &[bucket], &[]);
        granted.stands("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS");
        granted.id = Some(granted.fixture.serve(&create).await.id());
        assert!(granted.admits(bucket));
        granted.fixture.aws.clear_calls();
        granted
    }

    fn stands(&self, stack: &str, resource: &str) {
        let id = self.id.as_deref().unwrap_or_default();
        let resources = vec![StackResource::new("Role", id, KIND, resource)];
        let stack =
            Stack { status: stack.to_owned(), resources, events: vec![], ..Default::default() };
        self.fixture.aws.stack(STACK, stack);
    }

    fn request(&self, name: &str, kind: &str, new: &[&str], old: &[&str]) -> Value {
        let mut request = self.fixture.request(name, kind, self.id.as_deref());
        request["ResourceType"] = json!(KIND);
        request["ResourceProperties"] = properties(new);
        if kind == "Update" {
            request["OldResourceProperties"] = properties(old);
        }
        request
    }

    fn update(&self, name: &str, new: &[&str], old: &[&str]) -> Value {
        self.stands("UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS");
        self.request(name, "Update", new, old)
    }

    fn way_back(&self, name: &str, new: &[&str], old: &[&str]) -> Value {
        self.stands("UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_IN_PROGRESS");
        self.request(name, "Update", new, old)
    }

    fn delete(&self, name: &str, buckets: &[&str]) -> Value {
        self.stands("DELETE_IN_PROGRESS", "DELETE_IN_PROGRESS");
        self.request(name, "Delete", buckets, &[])
    }

    fn policy(&self, bucket: &str) -> String {
        self.fixture.aws.bucket_policy(bucket).unwrap_or_default()
    }

    fn admits(&self, bucket: &str) -> bool {
        self.policy(bucket).contains("LandfallAccess")
    }

    fn writes(&self) -> usize {
        let calls = |operation| self.fixture.aws.calls_of(operation).len();
        calls("PutBucketPolicy") + calls("DeleteBucketPolicy")
    }

    /// Sets the error with which S3 answers about one bucket from now on.
    fn closes(&self, bucket: &'static str, operation: &str, status: u16, code: &'static str) {
        self.fixture.aws.answer(operation, move |call, _| {
            if call.body["Bucket"] == bucket { Act::Fail { status, code } } else { Act::Serve }
        });
    }
}

fn policy(statements: &[&str]) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

fn properties(buckets: &[&str]) -> Value {
    let mut all = routes(LANDING);
    all["targets"]["here"]["account"] = json!(TRUSTED);
    let route = all["routes"][0].clone();
    let routes = buckets.iter().map(|bucket| {
        let mut route = route.clone();
        route["name"] = json!(bucket);
        route["bucket"] = json!(bucket);
        route["start"]["access"] = json!("bucket_policy");
        route
    });
    all["routes"] = routes.collect();
    let role = format!("arn:aws:iam::{TRUSTED}:role/plain-job");
    json!({ "Routes": all, "JobRoleArns": [role], "KmsKeyArns": [] })
}

#[tokio::test]
async fn statements_are_added_beside_those_of_others_and_removed_alone() {
    let granted = Granted::of(LANDING).await;
    let added = granted.policy(LANDING);
    assert!(added.contains(THEIRS), "{added}");
    assert!(added.contains("arn:aws:iam::222222222222:role/plain-job"), "{added}");
    assert!(added.contains("arn:aws:s3:::acme-landing/in/*"), "{added}");
    let delete = granted.delete("removed", &[LANDING]);
    granted.fixture.serve(&delete).await.id();
    assert_eq!(granted.policy(LANDING), policy(&[THEIRS]));
}

#[tokio::test]
async fn a_policy_that_landfall_made_goes_with_its_last_statement() {
    let granted = Granted::of(RAW).await;
    let same = granted.update("same", &[RAW], &[RAW]);
    granted.fixture.serve(&same).await.id();
    assert_eq!(granted.writes(), 0, "the same properties change nothing");
    let delete = granted.delete("removed", &[RAW]);
    granted.fixture.serve(&delete).await.id();
    assert_eq!(granted.fixture.aws.bucket_policy(RAW), None);
}

#[tokio::test]
async fn a_bucket_that_was_not_named_keeps_its_policy_unread() {
    let mut granted = Granted::of(LANDING).await;
    granted.fixture.set("LANDFALL_POLICY_BUCKETS", Some("acme-landing"));
    granted.fixture.set("LANDFALL_LANDING_BUCKETS", Some("*"));
    let update = granted.update("to", &[LANDING, RAW], &[LANDING]);
    granted
        .fixture
        .serve(&update)
        .await
        .is_refused("may not change the policy of bucket `acme-raw`");
    let called = |call: landfall_stand_ins::Call| call.body["Bucket"] == RAW;
    assert!(!granted.fixture.aws.calls().into_iter().any(called), "S3 was asked");
    // The way back is admitted although the bucket isn't named any more.
    granted.fixture.set("LANDFALL_POLICY_BUCKETS", None);
    let rollback = granted.way_back("back", &[LANDING], &[LANDING, RAW]);
    granted.fixture.serve(&rollback).await.id();
    assert!(granted.admits(LANDING) && granted.writes() == 0);
}

/// IAM lets the provisioner read no policy of a bucket that was not named, so the removal cannot look
/// whether there is a statement. Without this, the stack could not be created any more.
#[tokio::test]
async fn a_creation_that_was_refused_for_a_bucket_that_was_not_named_is_deleted() {
    let mut granted = Granted::new().await;
    granted.fixture.set("LANDFALL_POLICY_BUCKETS", Some("acme-landing"));
    granted.closes(RAW, "GetBucketPolicy", 403, "AccessDenied");
    granted.stands("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS");
    let create = granted.request("made", "Create", &[LANDING, RAW], &[]);
    let answered = granted.fixture.serve(&create).await;
    answered.is_refused("may not change the policy of bucket `acme-raw`");
    granted.id = answered.response()["PhysicalResourceId"].as_str().map(str::to_owned);
    granted.stands("ROLLBACK_IN_PROGRESS", "DELETE_IN_PROGRESS");
    let delete = granted.request("removed", "Delete", &[LANDING, RAW], &[]);
    granted.fixture.serve(&delete).await.id();
    assert_eq!(granted.writes(), 0);
}

#[tokio::test]
async fn an_account_that_was_not_named_gets_no_statement() {
    let mut granted = Granted::new().await;
    granted.fixture.set("LANDFALL_TRUSTED_ACCOUNT_IDS", Some("333333333333"));
    granted.stands("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS");
    let create = granted.request("made", "Create", &[LANDING], &[]);
    granted
        .fixture
        .serve(&create)
        .await
        .is_refused("doesn't admit roles of account `222222222222`");
    assert_eq!(granted.writes(), 0);
}

#[tokio::test]
async fn a_change_to_a_policy_out_of_reach_changes_nothing_and_is_taken_back() {
    let granted = Granted::of(LANDING).await;
    let orphan = r#"{"Sid":"Old","Effect":"Allow","Action":"s3:GetObject","Resource":"*","Principal":{"AWS":"AROA1234567890ABCDEFG"}}"#;
    granted.fixture.aws.put_bucket_policy(RAW, &policy(&[orphan]));
    for (other, reason) in [
        (OTHERS, "can't set the statements of bucket `acme-others`: it is no bucket of account"),
        (RAW, "statement `Old` names the deleted principal `AROA1234567890ABCDEFG`"),
    ] {
        let (to, back) = (format!("to-{other}"), format!("back-{other}"));
        let update = granted.update(&to, &[other], &[LANDING]);
        granted.fixture.serve(&update).await.is_refused(reason);
        let rollback = granted.way_back(&back, &[LANDING], &[other]);
        granted.fixture.serve(&rollback).await.id();
        assert!(granted.admits(LANDING), "the bucket has lost its statements");
        assert_eq!(granted.writes(), 0, "{other}");
    }
    assert_eq!(granted.policy(RAW), policy(&[orphan]));
    granted.fixture.aws.put_bucket_policy(RAW, &policy(&[]));
    let update = granted.update("good", &[RAW], &[LANDING]);
    granted.fixture.serve(&update).await.id();
    assert!(granted.admits(RAW) && !granted.admits(LANDING));
}

#[tokio::test]
async fn a_put_of_a_policy_that_fails_leaves_the_bucket_of_before_its_statements() {
    let granted = Granted::of(LANDING).await;
    granted.closes(RAW, "PutBucketPolicy", 400, "MalformedPolicy");
    let update = granted.update("to", &[RAW], &[LANDING]);
    granted
        .fixture
        .serve(&update)
        .await
        .is_refused("the policy of bucket `acme-raw`: S3 takes it for malformed");
    assert!(granted.admits(LANDING), "the bucket has lost its statements");
    let rollback = granted.way_back("back", &[LANDING], &[RAW]);
    granted.fixture.serve(&rollback).await.id();
    assert!(granted.admits(LANDING) && !granted.admits(RAW));
}

#[tokio::test]
async fn statements_that_were_removed_too_early_are_put_back_by_the_way_back() {
    let granted = Granted::of(LANDING).await;
    // Everything succeeds but the removal, which may have taken effect.
    granted.fixture.aws.answer("PutBucketPolicy", |call, _| {
        if call.body["Bucket"] == LANDING {
            Act::ServeThenFail { status: 400, code: "InvalidRequest" }
        } else {
            Act::Serve
        }
    });
    let update = granted.update("to", &[RAW], &[LANDING]);
    granted.fixture.serve(&update).await.is_refused("acme-landing");
    assert!(granted.admits(RAW) && !granted.admits(LANDING));
    granted.fixture.aws.clear_rules();
    let rollback = granted.way_back("back", &[LANDING], &[RAW]);
    granted.fixture.serve(&rollback).await.id();
    assert!(granted.admits(LANDING) && !granted.admits(RAW));
    assert!(granted.policy(LANDING).contains(THEIRS));
}

#[tokio::test]
async fn a_policy_that_is_closed_to_us_holds_its_removal_up() {
    let granted = Granted::of(LANDING).await;
    granted.closes(LANDING, "GetBucketPolicy", 403, "AccessDenied");
    let delete = granted.delete("closed", &[LANDING]);
    let reason = "can't remove the statements of bucket `acme-landing`";
    granted.fixture.attack(&delete).await.is_refused(reason);
    granted.fixture.aws.clear_rules();
    let delete = granted.delete("open", &[LANDING]);
    granted.fixture.serve(&delete).await.id();
    assert!(!granted.admits(LANDING), "the statements are still there");
}

#[tokio::test]
async fn what_a_key_policy_lacks_is_told_and_no_key_is_changed() {
    let granted = Granted::of(LANDING).await;
    let key = "arn:aws:kms:eu-west-1:111111111111:key/1234";
    let mut update = granted.update("keys", &[LANDING], &[LANDING]);
    update["ResourceProperties"]["KmsKeyArns"] = json!([key]);
    let answered = granted.fixture.serve(&update).await;
    answered.id();
    let data = &answered.response()["Data"];
    assert_eq!(data["KeysToAdmit"], key);
    let statements: Value =
        serde_json::from_str(data["KeyPolicyStatements"].as_str().expect("a text")).expect("JSON");
    assert_eq!(statements[0]["Action"], json!(["kms:Decrypt"]));
    let note = data["Notes"].as_str().expect("a text");
    assert!(note.contains("plain-job") && note.contains("`KeyPolicyStatements`"), "{note}");
    assert_eq!(granted.fixture.aws.calls_of("PutKeyPolicy").len(), 0);
}

#[tokio::test]
async fn a_note_on_keys_that_are_not_known_says_what_s3_answered() {
    let granted = Granted::of(LANDING).await;
    granted.closes(LANDING, "GetBucketEncryption", 403, "AccessDenied");
    let mut update = granted.update("keys", &[LANDING], &[LANDING]);
    update["ResourceProperties"].as_object_mut().expect("properties").remove("KmsKeyArns");
    let answered = granted.fixture.serve(&update).await;
    answered.id();
    let note = answered.response()["Data"]["Notes"].as_str().expect("a text");
    assert!(note.contains("GetBucketEncryption: AccessDenied"), "{note}");
}
