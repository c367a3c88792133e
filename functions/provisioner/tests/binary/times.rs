//! Dates that are invalid, of another time, or missing; and URLs of another partition.

use landfall_stand_ins::StackResource;
use serde_json::{Value, json};

use crate::ground::{Ground, ROLE, STACK, STARTER, TABLE, with_query};

/// Returns an item as an earlier version wrote it, with this time of issue of the last request.
fn earlier(physical_id: &str, issued: Value) -> Value {
    let memory = json!({
        "version": 1, "latest": { "request_id": "last", "issued": issued, "answer": null },
        "requests": ["made", "last"], "gone": [],
        "standing": [{ "physical_id": physical_id, "created": true, "heard": true }],
    });
    json!({ "id": { "S": format!("{STACK}/Role") }, "memory": { "S": memory.to_string() } })
}

#[tokio::test]
async fn a_forged_delete_with_a_date_that_is_none_is_refused_and_locks_nothing() {
    let ground = Ground::lay().await;
    let id = ground.made().await;
    ground.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    let before = ground.item();
    ground.aws.clear_calls();
    for date in ["99999999T999999Z", "20269999T000000Z", "20260230T120000Z", "now", ""] {
        let forged = ground.undated("forged", "Delete", Some(&id));
        let answered = ground.attack(&with_query(forged, &format!("X-Amz-Date={date}"))).await;
        answered.is_refused("a date that is none");
        assert_eq!(answered.counted, ["request_date_malformed"], "{date}");
    }
    ground.called_only(&[]);
    assert_eq!(ground.item(), before);
    ground.serve(&ground.request("genuine", "Update", Some(&id))).await.id();
    assert!(ground.aws.role(ROLE).is_some());
}

#[tokio::test]
async fn a_stored_date_that_is_none_locks_no_resource() {
    let ground = Ground::lay().await;
    let id = ground.made().await;
    assert!(ground.aws.put_item(TABLE, &earlier(&id, json!(99_999_999_999_999_u64))));
    ground.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    ground.serve(&ground.request("genuine", "Update", Some(&id))).await.id();
}

#[tokio::test]
async fn what_earlier_versions_remembered_is_compared_as_before() {
    let ground = Ground::lay().await;
    let id = ground.made().await;
    let latest: u64 = {
        let url = ground.request("now", "Update", Some(&id))["ResponseURL"].clone();
        let digits = url.as_str().and_then(|url| url.split_once("X-Amz-Date=")).expect("a date").1;
        digits.replace(['T', 'Z'], "").parse().expect("digits")
    };
    assert!(ground.aws.put_item(TABLE, &earlier(&id, json!(latest))));
    ground.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    let late = ground.dated(ground.undated("late", "Update", Some(&id)), -60);
    ground.serve(&late).await.is_refused("a later request took the place");
    let next = ground.dated(ground.undated("next", "Update", Some(&id)), 1);
    ground.serve(&next).await.id();
}

#[tokio::test]
async fn a_request_of_the_future_or_of_long_ago_is_refused_before_anybody_is_asked() {
    let ground = Ground::lay().await;
    ground.stands("CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
    for seconds in [840, 30, -920, -86_400] {
        let request = ground.dated(ground.undated("untimely", "Create", None), seconds);
        let answered = ground.attack(&request).await;
        answered.is_refused("too long ago, or is of the future");
        assert_eq!(answered.counted, ["request_untimely"], "{seconds}");
    }
    let expired = with_query(ground.undated("expired", "Create", None), "Expires=1000000000");
    ground.attack(&expired).await.is_refused("has expired");
    ground.called_only(&[]);
    ground.serve(&ground.request("genuine", "Create", None)).await.id();
}

#[tokio::test]
async fn an_undated_create_or_update_is_served_only_if_cloudformation_confirms_it() {
    let ground = Ground::lay().await;
    ground.stands("CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
    let older = "AWSAccessKeyId=A&Expires=32503680000&Signature=x";
    let create = with_query(ground.undated("made", "Create", None), older);
    let id = ground.serve(&create).await.id();
    ground.stands("UPDATE_IN_PROGRESS", "Role-another", "UPDATE_IN_PROGRESS");
    let update = with_query(ground.undated("update", "Update", Some(&id)), older);
    ground.attack(&update).await.is_refused("the request has no date");
    ground.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_COMPLETE");
    ground.attack(&update).await.is_refused("does not wait");
    ground.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    ground.serve(&update).await.id();
}

#[tokio::test]
async fn an_undated_delete_is_served_only_by_its_own_event() {
    let ground = Ground::lay().await;
    let old = ground.made().await;
    let event = |id: &str, status: &str| StackResource::new("Role", id, STARTER, status);
    let many = (0..250).map(|_| event("Role-x", "UPDATE_COMPLETE")).collect::<Vec<_>>();
    let cleans_up = |events: Vec<StackResource>| {
        let status = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS";
        ground.stands_with_events(status, "Role-new", "UPDATE_COMPLETE", events);
    };
    let delete = ground.undated("undated", "Delete", Some(&old));
    for (events, reason) in [
        (vec![], "no event tells of its physical id"),
        (vec![event("Role-new", "DELETE_IN_PROGRESS")], "no event tells of its physical id"),
        (
            vec![event(&old, "DELETE_COMPLETE"), event(&old, "DELETE_IN_PROGRESS")],
            "is DELETE_COMPLETE",
        ),
    ] {
        cleans_up(events);
        ground.attack(&delete).await.is_refused(reason);
        assert!(ground.aws.role(ROLE).is_some(), "{reason}");
    }
    cleans_up([many, vec![event(&old, "DELETE_IN_PROGRESS")]].concat());
    ground.serve(&delete).await.id();
    assert!(ground.aws.role(ROLE).is_none(), "the role is still there");
}

#[tokio::test]
async fn an_undated_request_overtakes_none_and_lets_no_older_one_pass() {
    let ground = Ground::lay().await;
    let id = ground.made().await;
    ground.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    ground.serve(&ground.undated("undated", "Update", Some(&id))).await.id();
    let older = ground.dated(ground.undated("older", "Update", Some(&id)), -60);
    ground.serve(&older).await.is_refused("a later request took the place");
    // The update was issued after the Create, and before the undated one arrived.
    let later = ground.dated(ground.undated("later", "Update", Some(&id)), -5);
    ground.serve(&later).await.id();
}

#[tokio::test]
async fn a_response_url_of_another_partition_is_refused_before_anything() {
    let ground = Ground::lay().await;
    ground.stands("CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
    let bucket = "cloudformation-custom-resource-response-euwest1";
    for host in [
        format!("{bucket}.s3.eu-west-1.amazonaws.com.cn"),
        format!("{bucket}.s3.amazonaws.eu"),
        format!("{bucket}.s3.eu-west-1.c2s.ic.gov"),
    ] {
        let mut request = ground.request("elsewhere", "Create", None);
        request["ResponseURL"] = json!(format!("https://{host}/x"));
        let answered = ground.attack(&ground.dated(request, 0)).await;
        let error = answered.error.expect("nobody can be answered");
        assert_eq!(error["errorType"], "response_url_refused", "{host}");
        assert_eq!(answered.counted, ["response_url_refused"], "{host}");
    }
    ground.called_only(&[]);
}
