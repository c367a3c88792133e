//! Deletes that CloudFormation did not request.

use serde_json::json;

use crate::fixture::{Fixture, ROLE, TRUSTED};

#[tokio::test]
async fn a_forged_delete_leaves_what_stands() {
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    fixture.serve(&fixture.request("update", "Update", Some(&id))).await.id();
    let before = (fixture.aws.role(ROLE), fixture.item());
    for (stack, resource) in [
        ("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"),
        ("UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"),
        ("UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"),
        ("CREATE_IN_PROGRESS", "CREATE_COMPLETE"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE"),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_COMPLETE"),
        ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_IN_PROGRESS"),
        ("DELETE_IN_PROGRESS", "DELETE_SKIPPED"),
        ("UPDATE_COMPLETE", "UPDATE_COMPLETE"),
    ] {
        fixture.stands(stack, &id, resource);
        let forged = fixture.request("forged", "Delete", Some(&id));
        let answered = fixture.attack(&forged).await;
        answered.is_refused("does not wait");
        assert_eq!(answered.counted, ["request_not_asked_for"], "{stack} {resource}");
        assert_eq!((fixture.aws.role(ROLE), fixture.item()), before, "{stack} {resource}");
    }
    fixture.stands("DELETE_IN_PROGRESS", &id, "DELETE_IN_PROGRESS");
    fixture.serve(&fixture.request("genuine", "Delete", Some(&id))).await.id();
    assert!(fixture.aws.role(ROLE).is_none(), "the role is still there");
}

#[tokio::test]
async fn a_forged_delete_with_an_invented_id_leaves_the_first_create_standing() {
    let fixture = Fixture::new().await;
    // CloudFormation has not reported the physical ID yet, so a made-up ID could pass for it.
    let id = fixture.made().await;
    fixture.stands("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", &id, "CREATE_COMPLETE");
    let forged = fixture.request("forged", "Delete", Some("Role-invented"));
    fixture.attack(&forged).await.is_refused("what would be deleted stands");
    assert!(fixture.aws.role(ROLE).is_some(), "the role is gone");
    // If the Create was cancelled, CloudFormation itself invents an ID.
    fixture.stands("ROLLBACK_IN_PROGRESS", "Role-invented", "DELETE_IN_PROGRESS");
    let genuine = fixture.request("genuine", "Delete", Some("Role-invented"));
    assert_eq!(fixture.serve(&genuine).await.response()["Status"], "SUCCESS");
    assert!(fixture.aws.role(ROLE).is_none(), "the role is still there");
}

#[tokio::test]
async fn what_was_replaced_or_taken_out_is_removed_while_the_stack_cleans_up() {
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    let mut replace = fixture.request("replace", "Update", Some(&id));
    replace["ResourceProperties"]["RoleName"] = json!("landfall-two");
    let targets = &mut replace["ResourceProperties"]["Routes"]["targets"];
    targets["here"]["starter_role"] = json!("landfall/landfall-two");
    let new = fixture.serve(&replace).await.id();
    assert_ne!(new, id);
    fixture.stands("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", &new, "UPDATE_COMPLETE");
    fixture.serve(&fixture.request("cleanup", "Delete", Some(&id))).await.id();
    assert!(fixture.aws.role(ROLE).is_none() && fixture.aws.role("landfall-two").is_some());
    // A resource that CloudFormation doesn't know any more isn't in use.
    let stack = landfall_stand_ins::Stack {
        status: "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS".to_owned(),
        ..Default::default()
    };
    fixture.aws.stack(crate::fixture::STACK, stack);
    let mut last = fixture.request("last", "Delete", Some(&new));
    last["ResourceProperties"] = replace["ResourceProperties"].clone();
    fixture.serve(&last).await.id();
    assert!(fixture.aws.role("landfall-two").is_none(), "the role is still there");
}

#[tokio::test]
async fn a_forged_create_or_update_is_refused_unless_the_resource_is_made_or_changed() {
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    let before = fixture.aws.role(ROLE);
    for (kind, named, stack, resource) in [
        ("Create", None, "DELETE_IN_PROGRESS", "DELETE_IN_PROGRESS"),
        ("Create", None, "UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"),
        ("Update", Some(id.as_str()), "DELETE_IN_PROGRESS", "DELETE_IN_PROGRESS"),
        ("Update", Some(id.as_str()), "CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS"),
        ("Update", Some(id.as_str()), "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"),
    ] {
        fixture.stands(stack, &id, resource);
        let mut forged = fixture.request("forged", kind, named);
        forged["ResourceProperties"]["Description"] = json!("changed");
        fixture.attack(&forged).await.is_refused("does not wait");
        assert_eq!(fixture.aws.role(ROLE), before, "{kind} {stack} {resource}");
    }
    let trust = before.map(|role| role.trust).unwrap_or_default();
    assert!(trust.contains(TRUSTED), "{trust}");
}
