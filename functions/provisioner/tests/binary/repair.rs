//! Updates in which nothing but `Repair` differs: they put right what somebody changed by hand.

use landfall_stand_ins::{Stack, StackResource};
use serde_json::{Value, json};

use crate::fixture::{Fixture, ROLE, STACK, routes};

const FIRST: &str = "20260131T120000Z";
const SECOND: &str = "20260201T120000Z";
const FIRST_MISSING: &str = "20260131T120000Zmissing";
const SECOND_MISSING: &str = "20260201T120000Zmissing";
const LANDING: &str = "acme-landing";

/// Returns an Update from properties without `Repair`, or with an earlier one, to the same with another.
fn repair(fixture: &Fixture, name: &str, id: &str, before: Option<&str>, now: &str) -> Value {
    let mut update = fixture.request(name, "Update", Some(id));
    if let Some(before) = before {
        update["OldResourceProperties"]["Repair"] = json!(before);
    }
    update["ResourceProperties"]["Repair"] = json!(now);
    update
}

#[tokio::test]
async fn a_role_that_was_deleted_is_made_again_by_another_repair() {
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    let before = fixture.aws.role(ROLE);
    for (name, last, now) in [("first", None, FIRST), ("second", Some(FIRST), SECOND)] {
        fixture.aws.remove_role(ROLE);
        fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
        let answered = fixture.serve(&repair(&fixture, name, &id, last, now)).await;
        // With the same ID and the same ARN, nothing that depends on the role changes.
        assert_eq!(answered.id(), id);
        let arn = &answered.response()["Data"]["Arn"];
        assert_eq!(*arn, format!("arn:aws:iam::111111111111:role/landfall/{ROLE}"));
        assert_eq!(fixture.aws.role(ROLE), before, "{name}");
    }
}

#[tokio::test]
async fn a_role_that_was_widened_is_narrowed_by_another_repair_and_its_brakes_stay() {
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    let desired = fixture.aws.role(ROLE).expect("a role");
    let mut widened = desired.clone();
    let anything =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    let nothing = anything.replace("Allow", "Deny");
    let anybody = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":"*"}]}"#;
    widened.policies.insert("landfall".to_owned(), anything.to_owned());
    widened.policies.insert("mine".to_owned(), anything.to_owned());
    widened.policies.insert("AWSRevokeOlderSessions".to_owned(), nothing.clone());
    anybody.clone_into(&mut widened.trust);
    widened.max_session_secs = "43200".to_owned();
    fixture.aws.put_role(ROLE, widened);
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    fixture.serve(&repair(&fixture, "narrow", &id, None, FIRST)).await.id();
    let mut expected = desired;
    expected.policies.insert("AWSRevokeOlderSessions".to_owned(), nothing);
    assert_eq!(fixture.aws.role(ROLE), Some(expected));
}

/// Somebody can put a role back between the repairer's look and CloudFormation's request.
#[tokio::test]
async fn a_repair_of_what_is_missing_makes_a_role_that_is_gone_and_leaves_one_that_is_there() {
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    let desired = fixture.aws.role(ROLE).expect("a role");
    fixture.aws.remove_role(ROLE);
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    let update = repair(&fixture, "gone", &id, None, FIRST_MISSING);
    assert_eq!(fixture.serve(&update).await.id(), id);
    assert_eq!(fixture.aws.role(ROLE).as_ref(), Some(&desired));
    let mut widened = desired.clone();
    let anything =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    widened.policies.insert("mine".to_owned(), anything.to_owned());
    widened.max_session_secs = "43200".to_owned();
    // Forward, back after a failure, and with a value that somebody gave by hand.
    let rounds = [
        ("there", FIRST_MISSING, SECOND_MISSING, &widened),
        ("back", SECOND_MISSING, FIRST_MISSING, &widened),
        ("by-hand", SECOND_MISSING, "1", &desired),
    ];
    for (name, before, now, expected) in rounds {
        fixture.aws.put_role(ROLE, widened.clone());
        fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
        let answered = fixture.serve(&repair(&fixture, name, &id, Some(before), now)).await;
        let arn = &answered.response()["Data"]["Arn"];
        assert_eq!(*arn, format!("arn:aws:iam::111111111111:role/landfall/{ROLE}"));
        assert_eq!(fixture.aws.role(ROLE).as_ref(), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn a_repair_of_what_has_not_drifted_changes_nothing() {
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    fixture.aws.clear_calls();
    fixture.serve(&repair(&fixture, "nothing", &id, None, FIRST)).await.id();
    for operation in
        ["CreateRole", "PutRolePolicy", "UpdateAssumeRolePolicy", "UpdateRole", "TagRole"]
    {
        assert_eq!(fixture.aws.calls_of(operation), Vec::<Value>::new(), "{operation}");
    }
}

#[tokio::test]
async fn a_repair_that_is_no_time_is_refused_and_changes_nothing() {
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    fixture.aws.remove_role(ROLE);
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    let update = repair(&fixture, "no-time", &id, None, "${jndi:x}");
    fixture.serve(&update).await.is_refused("Repair: this is not the time of a repair");
    assert!(fixture.aws.role(ROLE).is_none(), "the role was made");
}

const KINDS: [&str; 2] = ["Custom::LandfallBucketNotifications", "Custom::LandfallBucketAccess"];

/// Makes a resource of this kind for one bucket. Returns its ID.
async fn made(fixture: &Fixture, kind: &str, properties: &Value) -> String {
    let mut create = fixture.request("made", "Create", None);
    create["ResourceType"] = json!(kind);
    create["ResourceProperties"] = properties.clone();
    stands(fixture, kind, "CREATE_IN_PROGRESS", "");
    fixture.serve(&create).await.id()
}

/// Makes a bucket whose policy the provisioner may change, and returns the properties of a resource for it.
fn of_policies(fixture: &mut Fixture) -> Value {
    fixture.set("LANDFALL_POLICY_BUCKETS", Some(LANDING));
    fixture.aws.make_bucket(LANDING, "111111111111");
    let mut routes = routes(LANDING);
    routes["targets"]["here"]["account"] = json!("222222222222");
    routes["routes"][0]["start"]["access"] = json!("bucket_policy");
    let role = "arn:aws:iam::222222222222:role/landfall/landfall-job";
    json!({ "Routes": routes, "JobRoleArns": [role], "KmsKeyArns": [] })
}

fn stands(fixture: &Fixture, kind: &str, status: &str, id: &str) {
    let resources = vec![StackResource::new("Role", id, kind, status)];
    let stack =
        Stack { status: status.to_owned(), resources, events: vec![], ..Default::default() };
    fixture.aws.stack(STACK, stack);
}

async fn repaired(fixture: &Fixture, kind: &str, properties: &Value, id: &str) {
    repaired_at(fixture, kind, properties, id, FIRST).await;
}

async fn repaired_at(fixture: &Fixture, kind: &str, properties: &Value, id: &str, time: &str) {
    let mut update = fixture.request(&format!("repaired-{time}"), "Update", Some(id));
    update["ResourceType"] = json!(kind);
    update["OldResourceProperties"] = properties.clone();
    update["ResourceProperties"] = properties.clone();
    update["ResourceProperties"]["Repair"] = json!(time);
    stands(fixture, kind, "UPDATE_IN_PROGRESS", id);
    fixture.serve(&update).await.id();
}

#[tokio::test]
async fn rules_that_were_removed_are_added_by_another_repair_and_those_of_others_stay() {
    let theirs = "<NotificationConfiguration><TopicConfiguration><Id>theirs</Id>\
        <Topic>arn:aws:sns:eu-west-1:111111111111:theirs</Topic>\
        <Event>s3:ObjectRemoved:*</Event></TopicConfiguration></NotificationConfiguration>";
    for (name, value) in [
        ("QueueArn", json!("arn:aws:sqs:eu-west-1:111111111111:q")),
        ("EventBridge", json!("true")),
    ] {
        let fixture = Fixture::new().await;
        fixture.aws.make_bucket(LANDING, "111111111111");
        let mut properties = json!({ "Routes": routes(LANDING) });
        properties[name] = value;
        let id = made(&fixture, KINDS[0], &properties).await;
        fixture.aws.put_notifications(LANDING, theirs);
        repaired(&fixture, KINDS[0], &properties, &id).await;
        let found = fixture.aws.notifications(LANDING).expect("a bucket");
        let ours = if name == "QueueArn" { "landfall-" } else { "EventBridgeConfiguration" };
        for expected in [ours, "<Id>theirs</Id>"] {
            assert!(found.contains(expected), "`{expected}` is missing: {found}");
        }
    }
}

#[tokio::test]
async fn a_repair_of_what_is_missing_adds_rules_to_a_bucket_only_if_it_has_none() {
    let fixture = Fixture::new().await;
    fixture.aws.make_bucket(LANDING, "111111111111");
    let queue = "arn:aws:sqs:eu-west-1:111111111111:q";
    let properties = json!({ "Routes": routes(LANDING), "QueueArn": queue });
    let id = made(&fixture, KINDS[0], &properties).await;
    let ours = fixture.aws.notifications(LANDING).expect("a bucket");
    let changed = ours.replace("s3:ObjectCreated:*", "s3:ObjectCreated:Put");
    assert_ne!(changed, ours);
    fixture.aws.put_notifications(LANDING, &changed);
    repaired_at(&fixture, KINDS[0], &properties, &id, FIRST_MISSING).await;
    assert_eq!(fixture.aws.notifications(LANDING).as_ref(), Some(&changed));
    fixture.aws.put_notifications(LANDING, "<NotificationConfiguration/>");
    repaired_at(&fixture, KINDS[0], &properties, &id, SECOND_MISSING).await;
    assert_eq!(fixture.aws.notifications(LANDING), Some(ours));
}

#[tokio::test]
async fn a_repair_of_what_is_missing_adds_statements_to_a_policy_only_if_it_has_none() {
    let mut fixture = Fixture::new().await;
    let properties = of_policies(&mut fixture);
    let id = made(&fixture, KINDS[1], &properties).await;
    let ours = fixture.aws.bucket_policy(LANDING).expect("a policy");
    let mut changed: Value = serde_json::from_str(&ours).expect("JSON");
    let statements = changed["Statement"].as_array_mut().expect("statements");
    assert!(statements.len() > 1 && statements.pop().is_some());
    let changed = changed.to_string();
    fixture.aws.put_bucket_policy(LANDING, &changed);
    repaired_at(&fixture, KINDS[1], &properties, &id, FIRST_MISSING).await;
    assert_eq!(fixture.aws.bucket_policy(LANDING), Some(changed));
    let nothing = r#"{"Version":"2012-10-17","Statement":[]}"#;
    fixture.aws.put_bucket_policy(LANDING, nothing);
    repaired_at(&fixture, KINDS[1], &properties, &id, SECOND_MISSING).await;
    let policy = fixture.aws.bucket_policy(LANDING).expect("a policy");
    assert_eq!(policy.matches("LandfallAccess").count(), ours.matches("LandfallAccess").count());
}

#[tokio::test]
async fn statements_that_were_removed_are_added_by_another_repair_and_those_of_others_stay() {
    let mut fixture = Fixture::new().await;
    let properties = of_policies(&mut fixture);
    let id = made(&fixture, KINDS[1], &properties).await;
    let theirs = r#"{"Version":"2012-10-17","Statement":[{"Sid":"Theirs","Effect":"Deny","Principal":"*","Action":"s3:PutObject","Resource":"*"}]}"#;
    fixture.aws.put_bucket_policy(LANDING, theirs);
    repaired(&fixture, KINDS[1], &properties, &id).await;
    let policy = fixture.aws.bucket_policy(LANDING).expect("a policy");
    for expected in ["LandfallAccess", "Theirs"] {
        assert!(policy.contains(expected), "`{expected}` is missing: {policy}");
    }
}
