//! What requests leave in the table, and when the provisioner asks CloudFormation.

use std::time::{SystemTime, UNIX_EPOCH};

use landfall_stand_ins::Act;
use serde_json::{Value, json};

use crate::fixture::{Fixture, ROLE, STACK, TABLE};

/// Returns in how many days an item expires, or `None` if it doesn't.
fn ends_in_days(item: &Value) -> Option<u64> {
    let end: u64 = item["expires"]["N"].as_str()?.parse().expect("seconds");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    Some((end - now + 43_200) / 86_400)
}

#[tokio::test]
async fn a_request_that_nobody_asked_for_takes_no_lock_and_leaves_nothing() {
    let fixture = Fixture::new().await;
    // The stack doesn't exist, or isn't changing.
    for stack in [None, Some("CREATE_COMPLETE")] {
        if let Some(status) = stack {
            fixture.stands(status, "Role-1", "CREATE_COMPLETE");
        }
        for (kind, id) in [("Create", None), ("Update", Some("Role-1")), ("Delete", Some("Role-1"))]
        {
            let answered = fixture.attack(&fixture.request("forged", kind, id)).await;
            answered.is_refused("does not wait");
            assert_eq!(answered.counted, ["request_not_asked_for"], "{kind} {stack:?}");
        }
    }
    fixture.called_only(&["GetItem", "DescribeStacks", "DescribeStackResource"]);
    assert_eq!(fixture.aws.items(TABLE), Vec::<Value>::new());
}

#[tokio::test]
async fn a_request_that_cannot_be_read_is_counted_and_has_no_effect() {
    let fixture = Fixture::new().await;
    fixture.stands("CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
    for (field, is_answered) in [("RequestType", true), ("ResourceType", true), ("StackId", false)]
    {
        let mut request = fixture.request("unreadable", "Create", None);
        request[field] = json!(7);
        let answered = fixture.attack(&request).await;
        assert_eq!(answered.error.is_none(), is_answered, "{field}: {answered:#?}");
        assert_eq!(answered.counted, ["request_unreadable"], "{field}");
    }
    fixture.called_only(&[]);
}

#[tokio::test]
async fn cloudformation_is_asked_again_under_the_lock_and_what_is_refused_there_ends() {
    let fixture = Fixture::new().await;
    fixture.stands("CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
    fixture.aws.answer("DescribeStacks", |_, number| match number {
        0 => Act::Serve,
        _ => Act::Answer {
            status: 200,
            body: "<DescribeStacksResponse><DescribeStacksResult><Stacks><member>\
                   <StackStatus>ROLLBACK_COMPLETE</StackStatus></member></Stacks>\
                   </DescribeStacksResult></DescribeStacksResponse>"
                .to_owned(),
        },
    });
    fixture.serve(&fixture.request("stale", "Create", None)).await.is_refused("ROLLBACK_COMPLETE");
    assert_eq!(fixture.aws.role(ROLE), None);
    let item = fixture.item().expect("an item");
    assert_eq!(ends_in_days(&item), Some(1), "{item}");
    assert_eq!(item.get("holder"), None, "{item}");
}

#[tokio::test]
async fn what_stands_has_no_end_and_what_is_gone_has_one() {
    let fixture = Fixture::new().await;
    // The function dies while it holds the lock, which can't stay locked forever.
    fixture.stands("CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
    fixture.aws.answer("UpdateItem", |_, number| match number {
        0 => Act::Serve,
        _ => Act::Fail { status: 400, code: "ValidationException" },
    });
    fixture
        .serve(&fixture.request("cut-off", "Create", None))
        .await
        .is_refused("ValidationException");
    assert_eq!(ends_in_days(&fixture.item().expect("an item")), Some(1));
    fixture.aws.clear_rules();
    // The holder of the lock is dead.
    let mut item = fixture.item().expect("an item");
    item["until"] = json!({ "N": "1" });
    assert!(fixture.aws.put_item(TABLE, &item));

    let id = fixture.made().await;
    assert_eq!(ends_in_days(&fixture.item().expect("an item")), None);
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    fixture.serve(&fixture.request("update", "Update", Some(&id))).await.id();
    assert_eq!(ends_in_days(&fixture.item().expect("an item")), None);
    fixture.stands("DELETE_IN_PROGRESS", &id, "DELETE_IN_PROGRESS");
    fixture.serve(&fixture.request("delete", "Delete", Some(&id))).await.id();
    assert_eq!(ends_in_days(&fixture.item().expect("an item")), Some(30));
    // A name that comes back is live again.
    fixture.stands("UPDATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
    fixture.serve(&fixture.request("again", "Create", None)).await.id();
    assert_eq!(ends_in_days(&fixture.item().expect("an item")), None);
}

#[tokio::test]
async fn an_item_of_an_earlier_version_gets_no_end_by_a_lock_that_is_lost() {
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    let mut item = fixture.item().expect("an item");
    item.as_object_mut().expect("an item").remove("expires");
    assert!(fixture.aws.put_item(TABLE, &item));
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    // The lock is taken, and then no write succeeds any more.
    fixture.aws.answer("UpdateItem", |call, _| {
        let expression = call.body["UpdateExpression"].as_str().unwrap_or_default();
        if expression.contains("memory") {
            Act::Fail { status: 400, code: "ValidationException" }
        } else {
            Act::Serve
        }
    });
    fixture.serve(&fixture.request("cut-off", "Update", Some(&id))).await.is_refused("Validation");
    let left = fixture.item().expect("an item");
    assert!(left.get("holder").is_some() && left.get("expires").is_none(), "{left}");
}

#[tokio::test]
async fn a_request_that_was_answered_is_answered_again_without_lock_or_question() {
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    // CloudFormation has the answer, and waits for nothing.
    fixture.stands("CREATE_COMPLETE", &id, "CREATE_COMPLETE");
    fixture.aws.clear_calls();
    let again = fixture.dated(fixture.undated("made", "Create", None), -10);
    let answered = fixture.serve(&again).await;
    assert_eq!((answered.id(), answered.counted.len()), (id, 0));
    fixture.called_only(&["GetItem"]);
}

#[tokio::test]
async fn who_unlocked_a_resource_is_told_with_the_next_request_and_once() {
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    let mut item = fixture.item().expect("an item");
    let record = json!({ "by": "arn:aws:iam::111111111111:user/ada", "reason": "a test" });
    item["unlocked"] = json!({ "S": record.to_string() });
    assert!(fixture.aws.put_item(TABLE, &item));
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    for (request, is_told) in [("first", true), ("second", false)] {
        let answered = fixture.serve(&fixture.request(request, "Update", Some(&id))).await;
        answered.id();
        assert_eq!(answered.logged("resource_unlocked"), is_told, "{request}: {answered:#?}");
        assert_eq!(json!(answered.log).to_string().contains("user/ada"), is_told);
    }
    let item = fixture.item().expect("an item");
    assert_eq!(item["unlocked_before"]["S"], record.to_string());
    assert_eq!(item["id"]["S"], format!("{STACK}/Role"));
}
