//! Changes of the buckets with notifications, and what becomes of a change if one of the buckets
//! can't be reached.

use std::time::{Duration, Instant};

use landfall_stand_ins::{Act, Stack, StackResource};
use serde_json::{Value, json};

use crate::fixture::{Fixture, STACK, TABLE, TRUSTED, routes};

const KIND: &str = "Custom::LandfallBucketNotifications";
const ACCOUNT: &str = "111111111111";
const LANDING: &str = "acme-landing";
const RAW: &str = "acme-raw";
const OTHERS: &str = "acme-others";

/// A resource whose properties can name three buckets, of which two belong to this account.
struct Notified {
    fixture: Fixture,
    id: Option<String>,
}

impl Notified {
    async fn new() -> Self {
        let mut fixture = Fixture::new().await;
        fixture.set("LANDFALL_LANDING_BUCKETS", Some("acme-landing,acme-raw,acme-others"));
        fixture.aws.make_bucket(LANDING, ACCOUNT);
        fixture.aws.make_bucket(RAW, ACCOUNT);
        fixture.aws.make_bucket(OTHERS, TRUSTED);
        Self { fixture, id: None }
    }

    /// Makes one with a rule in this bucket only.
    async fn of(bucket: &str) -> Self {
        let mut notified = Self::new().await;
        let create = notified.request("made", "Create", &[bucket], &[]);
        notified.stands("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS");
        notified.id = Some(notified.fixture.serve(&create).await.id());
        assert!(notified.announces(bucket));
        notified.fixture.aws.clear_calls();
        notified
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

    /// Removes a field from the memory, as the version before writes it.
    fn forgets(&self, field: &str) {
        let mut item = self.fixture.item().expect("it is remembered");
        let memory = item["memory"]["S"].as_str().expect("a memory");
        let mut memory: Value = serde_json::from_str(memory).expect("JSON");
        memory.as_object_mut().expect("an object").remove(field).expect("it is there");
        item["memory"] = json!({ "S": memory.to_string() });
        assert!(self.fixture.aws.put_item(TABLE, &item));
    }

    fn announces(&self, bucket: &str) -> bool {
        self.fixture.aws.notifications(bucket).is_some_and(|found| found.contains("landfall-"))
    }

    fn puts(&self) -> usize {
        self.fixture.aws.calls_of("PutBucketNotificationConfiguration").len()
    }

    /// Sets the error with which S3 answers about one bucket from now on.
    fn closes(&self, bucket: &'static str, operation: &str, status: u16, code: &'static str) {
        self.fixture.aws.answer(operation, move |call, _| {
            if call.body["Bucket"] == bucket { Act::Fail { status, code } } else { Act::Serve }
        });
    }
}

fn properties(buckets: &[&str]) -> Value {
    let mut all = routes(LANDING);
    let route = all["routes"][0].clone();
    let routes = buckets.iter().map(|bucket| {
        let mut route = route.clone();
        route["name"] = json!(bucket);
        route["bucket"] = json!(bucket);
        route
    });
    all["routes"] = routes.collect();
    json!({ "Routes": all, "QueueArn": "arn:aws:sqs:eu-west-1:111111111111:q" })
}

#[tokio::test]
async fn a_change_to_a_bucket_out_of_reach_changes_nothing_and_is_taken_back() {
    let notified = Notified::of(LANDING).await;
    for (other, reason) in [
        (
            OTHERS,
            "can't set the rule of bucket `acme-others`: it is no bucket of account 111111111111",
        ),
        (RAW, "can't set the rule of bucket `acme-raw`: there is no such bucket"),
    ] {
        notified.fixture.aws.remove_bucket(RAW);
        notified.fixture.aws.clear_calls();
        let begun = Instant::now();
        let (to, back) = (format!("to-{other}"), format!("back-{other}"));
        let update = notified.update(&to, &[other], &[LANDING]);
        notified.fixture.serve(&update).await.is_refused(reason);
        let rollback = notified.way_back(&back, &[LANDING], &[other]);
        let answered = notified.fixture.serve(&rollback).await;
        answered.id();
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        let notes = answered.response()["Data"]["Notes"].to_string();
        assert!(notes.contains(&format!("bucket `{other}` has no rule to remove")), "{notes}");
        assert!(notified.announces(LANDING), "the bucket has lost its rule");
        assert_eq!(notified.puts(), 0, "{other}");
    }
    notified.fixture.aws.make_bucket(RAW, ACCOUNT);
    let update = notified.update("good", &[RAW], &[LANDING]);
    notified.fixture.serve(&update).await.id();
    assert!(notified.announces(RAW) && !notified.announces(LANDING));
}

#[tokio::test]
async fn a_creation_that_was_refused_for_a_bucket_of_anothers_is_deleted() {
    let mut notified = Notified::new().await;
    notified.stands("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS");
    let create = notified.request("made", "Create", &[LANDING, OTHERS], &[]);
    let answered = notified.fixture.serve(&create).await;
    answered.is_refused("acme-others");
    assert!(!notified.announces(LANDING), "the request had an effect");
    notified.id = answered.response()["PhysicalResourceId"].as_str().map(str::to_owned);
    notified.stands("ROLLBACK_IN_PROGRESS", "DELETE_IN_PROGRESS");
    let delete = notified.request("removed", "Delete", &[LANDING, OTHERS], &[]);
    notified.fixture.serve(&delete).await.id();
}

/// Without this, no stack could be created any more before somebody opened the bucket.
#[tokio::test]
async fn a_creation_that_was_refused_for_a_closed_bucket_of_ours_is_deleted() {
    for is_of_earlier_version in [false, true] {
        let mut notified = Notified::new().await;
        notified.stands("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS");
        notified.closes(RAW, "GetBucketNotificationConfiguration", 403, "AccessDenied");
        let create = notified.request("made", "Create", &[LANDING, RAW], &[]);
        let answered = notified.fixture.attack(&create).await;
        answered.is_refused("can't set the rule of bucket `acme-raw`");
        assert_eq!(notified.puts(), 0);
        notified.id = answered.response()["PhysicalResourceId"].as_str().map(str::to_owned);
        if is_of_earlier_version {
            notified.forgets("announced");
        }
        notified.stands("ROLLBACK_IN_PROGRESS", "DELETE_IN_PROGRESS");
        let delete = notified.request("removed", "Delete", &[LANDING, RAW], &[]);
        let answered = notified.fixture.attack(&delete).await;
        if is_of_earlier_version {
            answered.is_refused("can't remove the rule of bucket `acme-raw`");
        } else {
            answered.id();
            assert!(answered.logged("bucket_left_alone"), "{answered:#?}");
        }
    }
}

#[tokio::test]
async fn a_bucket_in_which_a_put_was_tried_holds_a_deletion_up_while_it_is_closed() {
    let mut notified = Notified::new().await;
    notified.stands("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS");
    // The put takes effect, and its answer does not say so.
    notified.fixture.aws.answer("PutBucketNotificationConfiguration", |call, _| {
        if call.body["Bucket"] == RAW {
            Act::ServeThenFail { status: 400, code: "InvalidArgument" }
        } else {
            Act::Serve
        }
    });
    let create = notified.request("made", "Create", &[LANDING, RAW], &[]);
    let answered = notified.fixture.serve(&create).await;
    answered.is_refused("acme-raw");
    notified.id = answered.response()["PhysicalResourceId"].as_str().map(str::to_owned);
    notified.fixture.aws.clear_rules();
    notified.closes(RAW, "GetBucketNotificationConfiguration", 403, "AccessDenied");
    notified.stands("ROLLBACK_IN_PROGRESS", "DELETE_IN_PROGRESS");
    let delete = notified.request("closed", "Delete", &[LANDING, RAW], &[]);
    let reason = "can't remove the rule of bucket `acme-raw`";
    notified.fixture.attack(&delete).await.is_refused(reason);
    assert!(notified.announces(RAW));
    notified.fixture.aws.clear_rules();
    let delete = notified.request("open", "Delete", &[LANDING, RAW], &[]);
    notified.fixture.serve(&delete).await.id();
    assert!(!notified.announces(RAW) && !notified.announces(LANDING));
}

#[tokio::test]
async fn a_put_that_fails_leaves_the_bucket_of_before_its_rule() {
    let notified = Notified::of(LANDING).await;
    notified.closes(RAW, "PutBucketNotificationConfiguration", 400, "InvalidArgument");
    let update = notified.update("to", &[RAW], &[LANDING]);
    notified.fixture.serve(&update).await.is_refused("acme-raw");
    assert!(notified.announces(LANDING), "the bucket has lost its rule");
    let rollback = notified.way_back("back", &[LANDING], &[RAW]);
    notified.fixture.serve(&rollback).await.id();
    assert!(notified.announces(LANDING) && !notified.announces(RAW));
}

#[tokio::test]
async fn what_failed_behind_the_puts_is_put_back_by_the_way_back() {
    let notified = Notified::of(LANDING).await;
    // Everything succeeds but the removal, which may have taken effect.
    notified.fixture.aws.answer("PutBucketNotificationConfiguration", |call, _| {
        if call.body["Bucket"] == LANDING {
            Act::ServeThenFail { status: 400, code: "InvalidArgument" }
        } else {
            Act::Serve
        }
    });
    let update = notified.update("to", &[RAW], &[LANDING]);
    notified.fixture.serve(&update).await.is_refused("acme-landing");
    assert!(notified.announces(RAW) && !notified.announces(LANDING));
    notified.fixture.aws.clear_rules();
    // Now the new bucket can't even be read.
    notified.fixture.aws.remove_bucket(RAW);
    let rollback = notified.way_back("back", &[LANDING], &[RAW]);
    notified.fixture.serve(&rollback).await.id();
    assert!(notified.announces(LANDING), "the bucket has lost its rule");
}

#[tokio::test]
async fn a_bucket_of_ours_that_is_closed_to_us_is_not_taken_for_anothers() {
    let notified = Notified::of(LANDING).await;
    notified.closes(LANDING, "GetBucketNotificationConfiguration", 403, "AccessDenied");
    let update = notified.update("to", &[RAW], &[LANDING]);
    let reason = "can't remove the rule of bucket `acme-landing`";
    notified.fixture.attack(&update).await.is_refused(reason);
    assert!(notified.announces(LANDING) && !notified.announces(RAW));
    notified.stands("DELETE_IN_PROGRESS", "DELETE_IN_PROGRESS");
    let delete = notified.request("closed", "Delete", &[LANDING], &[]);
    notified.fixture.attack(&delete).await.is_refused(reason);
    notified.fixture.aws.clear_rules();
    let delete = notified.request("open", "Delete", &[LANDING], &[]);
    notified.fixture.serve(&delete).await.id();
    assert!(!notified.announces(LANDING), "the rule is still there");
}

#[tokio::test]
async fn a_bucket_that_does_not_answer_is_named_in_time() {
    let notified = Notified::of(LANDING).await;
    notified.fixture.aws.answer("GetBucketNotificationConfiguration", |call, _| {
        if call.body["Bucket"] == RAW { Act::Hang } else { Act::Serve }
    });
    let update = notified.update("to", &[RAW], &[LANDING]);
    notified.fixture.attack(&update).await.is_refused("acme-raw");
    assert!(notified.announces(LANDING) && notified.puts() == 0);
}

#[tokio::test]
async fn a_put_that_is_always_refused_is_told_in_time_with_its_bucket() {
    let notified = Notified::of(LANDING).await;
    notified.closes(RAW, "PutBucketNotificationConfiguration", 403, "AccessDenied");
    let update = notified.update("denied", &[RAW], &[LANDING]);
    let answered = notified.fixture.attack(&update).await;
    answered.is_refused("bucket `acme-raw`: AccessDenied");
    // The bucket is free for the rollback, which has nothing to do there.
    let rollback = notified.way_back("back", &[LANDING], &[RAW]);
    notified.fixture.serve(&rollback).await.id();
    assert!(notified.announces(LANDING) && !notified.announces(RAW));
}

#[tokio::test]
async fn what_can_be_no_bucket_or_job_is_refused_before_any_call_and_is_taken_back() {
    const DIRECTORY: &str = "acme--use1-az4--x-s3";
    let mut notified = Notified::of(LANDING).await;
    notified.fixture.set("LANDFALL_LANDING_BUCKETS", Some(&format!("{LANDING},{DIRECTORY}")));
    let mut as_arn = properties(&[LANDING]);
    let arn = "arn:aws:glue:eu-west-1:222222222222:job/orders";
    as_arn["Routes"]["routes"][0]["start"]["job"] = json!(arn);
    for (name, wrong, reason) in [
        ("bucket", properties(&[DIRECTORY]), "is the name of a directory bucket"),
        ("job", as_arn, "is an ARN, not a job name (write `orders`"),
    ] {
        let mut update = notified.update(name, &[], &[LANDING]);
        update["ResourceProperties"] = wrong.clone();
        notified.fixture.serve(&update).await.is_refused(reason);
        let mut rollback = notified.way_back(&format!("{name}-back"), &[LANDING], &[]);
        rollback["OldResourceProperties"] = wrong;
        notified.fixture.serve(&rollback).await.id();
    }
    assert!(notified.announces(LANDING) && notified.puts() == 0);
    let called = |call: landfall_stand_ins::Call| call.body["Bucket"] == DIRECTORY;
    assert!(
        !notified.fixture.aws.calls().into_iter().any(called),
        "the function asked about the bucket"
    );
}
