//! What the function's configuration lets it serve, and what not.

use landfall_stand_ins::IamRole;
use serde_json::{Value, json};

use crate::fixture::{Fixture, ROLE, STACK, TABLE, TRUSTED, properties, routes};

const OUTSIDER: &str = "999999999999";

/// An account that is trusted by a role of an earlier version, when any account was admitted.
const FORMER: &str = "888888888888";

#[tokio::test]
async fn a_function_that_is_not_told_where_it_is_serves_nobody() {
    for (name, value, code) in [
        ("LANDFALL_ACCOUNT_ID", None, "account_missing"),
        ("LANDFALL_ACCOUNT_ID", Some(""), "account_missing"),
        ("AWS_REGION", None, "region_missing"),
        ("AWS_REGION", Some("moon-base-1"), "region_missing"),
        ("LANDFALL_TRUSTED_ACCOUNT_IDS", Some("everybody"), "accounts_malformed"),
    ] {
        let mut fixture = Fixture::new().await;
        fixture.set(name, value);
        let (status, said) = fixture.ends().await;
        assert!(!status.success() && said.contains(code), "{name}: {said}");
    }
}

#[tokio::test]
async fn trust_in_an_account_that_nobody_admitted_is_refused_before_any_effect() {
    for admitted in [Some(TRUSTED), Some(""), None] {
        let mut fixture = Fixture::new().await;
        fixture.set("LANDFALL_TRUSTED_ACCOUNT_IDS", admitted);
        fixture.stands("CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
        let mut create = fixture.request("mallory", "Create", None);
        create["ResourceProperties"] = properties(OUTSIDER);
        let answered = fixture.serve(&create).await;
        answered.is_refused("TrustedAccountIds");
        assert!(answered.logged("account_not_trusted"), "{answered:#?}");
        assert_eq!(fixture.aws.role(ROLE), None, "{admitted:?}");
        // A request that was refused gets the same answer again, and the resource is removed like
        // any other.
        fixture.serve(&create).await.is_refused("TrustedAccountIds");
        let id = answered.response()["PhysicalResourceId"].as_str().expect("an id").to_owned();
        fixture.stands("ROLLBACK_IN_PROGRESS", &id, "DELETE_IN_PROGRESS");
        fixture.serve(&fixture.request("removed", "Delete", Some(&id))).await.id();
    }
    let mut fixture = Fixture::new().await;
    fixture.set("LANDFALL_TRUSTED_ACCOUNT_IDS", Some("*"));
    fixture.made().await;
}

/// Makes a role as an earlier version did. The memory of such a role has no accounts.
async fn of_earlier_version(fixture: &Fixture) -> String {
    let id = fixture.made().await;
    let role = fixture.aws.role(ROLE).expect("a role");
    let trust = role.trust.replace(TRUSTED, FORMER);
    fixture.aws.put_role(ROLE, IamRole { trust, ..role });
    let mut item = fixture.item().expect("an item");
    let text = item["memory"]["S"].as_str().expect("a memory");
    let mut memory: Value = serde_json::from_str(text).expect("JSON");
    memory.as_object_mut().expect("an object").remove("scope").expect("the memory has a scope now");
    item["memory"]["S"] = json!(memory.to_string());
    assert!(fixture.aws.put_item(TABLE, &item));
    id
}

#[tokio::test]
async fn the_inverse_of_an_update_is_admitted_and_adds_nobody() {
    let fixture = Fixture::new().await;
    let id = of_earlier_version(&fixture).await;
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    let trusts =
        |account: &str| fixture.aws.role(ROLE).is_some_and(|role| role.trust.contains(account));
    // An update that keeps trusting an account that nobody admits is refused, but the inverse of an
    // update isn't.
    let update = |request: &str, account: &str, before: &str| {
        let mut update = fixture.request(request, "Update", Some(&id));
        update["ResourceProperties"] = properties(account);
        update["OldResourceProperties"] = properties(before);
        update
    };
    let forward = update("stays", FORMER, FORMER);
    fixture.serve(&forward).await.is_refused("TrustedAccountIds");
    fixture.stands("UPDATE_ROLLBACK_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    fixture.serve(&update("undone", FORMER, FORMER)).await.id();
    assert!(trusts(FORMER));

    // An update narrows the trust, with previous properties that somebody made up.
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    fixture.serve(&update("narrows", TRUSTED, OUTSIDER)).await.id();
    assert!(trusts(TRUSTED) && !trusts(FORMER));
    fixture.stands("UPDATE_ROLLBACK_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    fixture.serve(&update("forged", OUTSIDER, TRUSTED)).await.is_refused("TrustedAccountIds");
    assert!(trusts(TRUSTED) && !trusts(OUTSIDER));
    fixture.serve(&update("inverse", FORMER, TRUSTED)).await.id();
    assert!(trusts(FORMER));
}

#[tokio::test]
async fn a_reader_of_a_bucket_that_nobody_named_is_refused_before_any_effect() {
    for admitted in [Some("acme-landing,arn:aws:s3:::acme-raw"), None] {
        let mut fixture = Fixture::new().await;
        fixture.set("LANDFALL_LANDING_BUCKETS", admitted);
        let resource = landfall_stand_ins::StackResource::new(
            "Role",
            "",
            "Custom::LandfallReaderRole",
            "CREATE_IN_PROGRESS",
        );
        let status = "CREATE_IN_PROGRESS".to_owned();
        let stack = landfall_stand_ins::Stack {
            status,
            resources: vec![resource],
            events: vec![],
            ..Default::default()
        };
        fixture.aws.stack(STACK, stack);
        let reader = |request: &str, bucket: &str| {
            let mut create = fixture.request(request, "Create", None);
            create["ResourceType"] = json!("Custom::LandfallReaderRole");
            let mut routes = routes(bucket);
            routes["targets"]["here"]["account"] = json!(TRUSTED);
            routes["targets"]["here"]["starter_role"] = json!("landfall-starter");
            create["ResourceProperties"] = json!({
                "RoleName": "landfall-reader", "Routes": routes, "KmsKeyArns": [],
                "TrustedRoleArns": [format!("arn:aws:iam::{TRUSTED}:role/landfall/landfall-job")],
            });
            create
        };
        let answered = fixture.serve(&reader("mallory", "hr-salaries")).await;
        answered.is_refused("LandingBucketArns");
        assert!(answered.logged("bucket_not_admitted"), "{answered:#?}");
        assert_eq!(fixture.aws.role("landfall-reader"), None, "{admitted:?}");
        if admitted.is_some() {
            fixture.serve(&reader("fine", "acme-raw")).await.id();
            assert!(fixture.aws.role("landfall-reader").is_some());
        }
    }
}

#[tokio::test]
async fn notifications_to_a_queue_of_elsewhere_are_refused_before_any_effect() {
    let mut fixture = Fixture::new().await;
    let resource = |status: &str| {
        let kind = "Custom::LandfallBucketNotifications";
        let resource = landfall_stand_ins::StackResource::new("Role", "", kind, status);
        let status = status.to_owned();
        landfall_stand_ins::Stack {
            status,
            resources: vec![resource],
            events: vec![],
            ..Default::default()
        }
    };
    fixture.aws.stack(STACK, resource("CREATE_IN_PROGRESS"));
    let elsewhere = format!("arn:aws:sqs:eu-west-1:{OUTSIDER}:q");
    let notifications = |fixture: &Fixture, request: &str, bucket: &str, queue: &str| {
        let mut create = fixture.request(request, "Create", None);
        create["ResourceType"] = json!("Custom::LandfallBucketNotifications");
        create["ResourceProperties"] = json!({ "Routes": routes(bucket), "QueueArn": queue });
        create
    };
    let code = "queue_not_admitted";
    let create = notifications(&fixture, "mallory", "acme-landing", &elsewhere);
    let answered = fixture.serve(&create).await;
    answered.is_refused("NotificationTargetArns");
    assert!(answered.logged(code), "{answered:#?}");
    let own = "arn:aws:sqs:eu-west-1:111111111111:q";
    let create = notifications(&fixture, "bucket", "hr-salaries", own);
    fixture.serve(&create).await.is_refused("LandingBucketArns");
    assert!(fixture.aws.calls().iter().all(|call| call.service != "s3"), "S3 was called");
    // Queues of the stack's own account, and those that are named, get as far as S3.
    fixture.set("LANDFALL_NOTIFICATION_TARGETS", Some(&elsewhere));
    for (request, queue) in [("own", own), ("named", elsewhere.as_str())] {
        let create = notifications(&fixture, request, "acme-landing", queue);
        let answered = fixture.attack(&create).await;
        assert!(!answered.logged(code), "{answered:#?}");
        assert!(fixture.aws.calls().iter().any(|call| call.service == "s3"), "{request}");
    }
    // The lock of a bucket has no memory, and is removed.
    fixture.aws.make_bucket("acme-landing", "111111111111");
    fixture.serve(&notifications(&fixture, "made", "acme-landing", own)).await.id();
    let lock = fixture.aws.item(TABLE, &["bucket/acme-landing"]).expect("the bucket's lock");
    assert!(lock.get("expires").is_some() && lock.get("holder").is_none(), "{lock}");
}
