//! Dates that are invalid, of another time, or missing; and URLs of another partition.

use landfall_stand_ins::StackResource;
use serde_json::{Value, json};

use crate::fixture::{Fixture, ROLE, STACK, STARTER, TABLE, with_query};

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
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    let before = fixture.item();
    fixture.aws.clear_calls();
    for date in ["99999999T999999Z", "20269999T000000Z", "20260230T120000Z", "now", ""] {
        let forged = fixture.undated("forged", "Delete", Some(&id));
        let answered = fixture.attack(&with_query(forged, &format!("X-Amz-Date={date}"))).await;
        answered.is_refused("a date that is none");
        assert_eq!(answered.counted, ["request_date_malformed"], "{date}");
    }
    fixture.called_only(&[]);
    assert_eq!(fixture.item(), before);
    fixture.serve(&fixture.request("genuine", "Update", Some(&id))).await.id();
    assert!(fixture.aws.role(ROLE).is_some());
}

#[tokio::test]
async fn a_stored_date_that_is_none_locks_no_resource() {
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    assert!(fixture.aws.put_item(TABLE, &earlier(&id, json!(99_999_999_999_999_u64))));
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    fixture.serve(&fixture.request("genuine", "Update", Some(&id))).await.id();
}

#[tokio::test]
async fn what_earlier_versions_remembered_is_compared_as_before() {
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    let latest: u64 = {
        let url = fixture.request("now", "Update", Some(&id))["ResponseURL"].clone();
        let digits = url.as_str().and_then(|url| url.split_once("X-Amz-Date=")).expect("a date").1;
        digits.replace(['T', 'Z'], "").parse().expect("digits")
    };
    assert!(fixture.aws.put_item(TABLE, &earlier(&id, json!(latest))));
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    let late = fixture.dated(fixture.undated("late", "Update", Some(&id)), -60);
    fixture.serve(&late).await.is_refused("a later request took the place");
    let next = fixture.dated(fixture.undated("next", "Update", Some(&id)), 1);
    fixture.serve(&next).await.id();
}

#[tokio::test]
async fn a_request_of_the_future_or_of_long_ago_is_refused_before_anybody_is_asked() {
    let fixture = Fixture::new().await;
    fixture.stands("CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
    for seconds in [840, 30, -920, -86_400] {
        let request = fixture.dated(fixture.undated("untimely", "Create", None), seconds);
        let answered = fixture.attack(&request).await;
        answered.is_refused("too long ago, or is of the future");
        assert_eq!(answered.counted, ["request_untimely"], "{seconds}");
    }
    let expired = with_query(fixture.undated("expired", "Create", None), "Expires=1000000000");
    fixture.attack(&expired).await.is_refused("has expired");
    fixture.called_only(&[]);
    fixture.serve(&fixture.request("genuine", "Create", None)).await.id();
}

#[tokio::test]
async fn an_undated_create_or_update_is_served_only_if_cloudformation_confirms_it() {
    let fixture = Fixture::new().await;
    fixture.stands("CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
    let older = "AWSAccessKeyId=A&Expires=32503680000&Signature=x";
    let create = with_query(fixture.undated("made", "Create", None), older);
    let id = fixture.serve(&create).await.id();
    fixture.stands("UPDATE_IN_PROGRESS", "Role-another", "UPDATE_IN_PROGRESS");
    let update = with_query(fixture.undated("update", "Update", Some(&id)), older);
    fixture.attack(&update).await.is_refused("the request has no date");
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_COMPLETE");
    fixture.attack(&update).await.is_refused("does not wait");
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    fixture.serve(&update).await.id();
}

#[tokio::test]
async fn an_undated_delete_is_served_only_by_its_own_event() {
    let fixture = Fixture::new().await;
    let old = fixture.made().await;
    let event = |id: &str, status: &str| StackResource::new("Role", id, STARTER, status);
    let many = (0..250).map(|_| event("Role-x", "UPDATE_COMPLETE")).collect::<Vec<_>>();
    let cleans_up = |events: Vec<StackResource>| {
        let status = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS";
        fixture.stands_with_events(status, "Role-new", "UPDATE_COMPLETE", events);
    };
    let delete = fixture.undated("undated", "Delete", Some(&old));
    for (events, reason) in [
        (vec![], "no event has its physical ID"),
        (vec![event("Role-new", "DELETE_IN_PROGRESS")], "no event has its physical ID"),
        (
            vec![event(&old, "DELETE_COMPLETE"), event(&old, "DELETE_IN_PROGRESS")],
            "is DELETE_COMPLETE",
        ),
    ] {
        cleans_up(events);
        fixture.attack(&delete).await.is_refused(reason);
        assert!(fixture.aws.role(ROLE).is_some(), "{reason}");
    }
    cleans_up([many, vec![event(&old, "DELETE_IN_PROGRESS")]].concat());
    fixture.serve(&delete).await.id();
    assert!(fixture.aws.role(ROLE).is_none(), "the role is still there");
}

#[tokio::test]
async fn an_undated_request_overtakes_none_and_lets_no_older_one_pass() {
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    fixture.serve(&fixture.undated("undated", "Update", Some(&id))).await.id();
    let older = fixture.dated(fixture.undated("older", "Update", Some(&id)), -60);
    fixture.serve(&older).await.is_refused("a later request took the place");
    // The update was issued after the Create, and before the undated one arrived.
    let later = fixture.dated(fixture.undated("later", "Update", Some(&id)), -5);
    fixture.serve(&later).await.id();
}

#[tokio::test]
async fn a_response_url_of_another_partition_is_refused_before_anything() {
    let fixture = Fixture::new().await;
    fixture.stands("CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
    let bucket = "cloudformation-custom-resource-response-euwest1";
    for host in [
        format!("{bucket}.s3.eu-west-1.amazonaws.com.cn"),
        format!("{bucket}.s3.amazonaws.eu"),
        format!("{bucket}.s3.eu-west-1.c2s.ic.gov"),
    ] {
        let mut request = fixture.request("elsewhere", "Create", None);
        request["ResponseURL"] = json!(format!("https://{host}/x"));
        let answered = fixture.attack(&fixture.dated(request, 0)).await;
        let error = answered.error.expect("nobody can be answered");
        assert_eq!(error["errorType"], "response_url_refused", "{host}");
        assert_eq!(answered.counted, ["response_url_refused"], "{host}");
    }
    fixture.called_only(&[]);
}
