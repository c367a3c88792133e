//! Deletes that CloudFormation did not request.

use serde_json::json;

use crate::ground::{Ground, ROLE, TRUSTED};

#[tokio::test]
async fn a_forged_delete_leaves_what_stands() {
    let ground = Ground::lay().await;
    let id = ground.made().await;
    ground.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    ground.serve(&ground.request("update", "Update", Some(&id))).await.id();
    let before = (ground.aws.role(ROLE), ground.item());
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
        ground.stands(stack, &id, resource);
        let forged = ground.request("forged", "Delete", Some(&id));
        let answered = ground.attack(&forged).await;
        answered.is_refused("does not wait");
        assert_eq!(answered.counted, ["request_not_asked_for"], "{stack} {resource}");
        assert_eq!((ground.aws.role(ROLE), ground.item()), before, "{stack} {resource}");
    }
    ground.stands("DELETE_IN_PROGRESS", &id, "DELETE_IN_PROGRESS");
    ground.serve(&ground.request("genuine", "Delete", Some(&id))).await.id();
    assert!(ground.aws.role(ROLE).is_none(), "the role is still there");
}

#[tokio::test]
async fn a_forged_delete_with_an_invented_id_leaves_the_first_create_standing() {
    let ground = Ground::lay().await;
    // CloudFormation has not reported the physical ID yet, so a made-up ID could pass for it.
    let id = ground.made().await;
    ground.stands("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", &id, "CREATE_COMPLETE");
    let forged = ground.request("forged", "Delete", Some("Role-invented"));
    ground.attack(&forged).await.is_refused("what would be deleted stands");
    assert!(ground.aws.role(ROLE).is_some(), "the role is gone");
    // If the Create was cancelled, CloudFormation itself invents an ID.
    ground.stands("ROLLBACK_IN_PROGRESS", "Role-invented", "DELETE_IN_PROGRESS");
    let genuine = ground.request("genuine", "Delete", Some("Role-invented"));
    assert_eq!(ground.serve(&genuine).await.response()["Status"], "SUCCESS");
    assert!(ground.aws.role(ROLE).is_none(), "the role is still there");
}

#[tokio::test]
async fn what_was_replaced_or_taken_out_is_removed_while_the_stack_cleans_up() {
    let ground = Ground::lay().await;
    let id = ground.made().await;
    ground.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    let mut replace = ground.request("replace", "Update", Some(&id));
    replace["ResourceProperties"]["RoleName"] = json!("landfall-two");
    let targets = &mut replace["ResourceProperties"]["Routes"]["targets"];
    targets["here"]["starter_role"] = json!("landfall/landfall-two");
    let new = ground.serve(&replace).await.id();
    assert_ne!(new, id);
    ground.stands("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", &new, "UPDATE_COMPLETE");
    ground.serve(&ground.request("cleanup", "Delete", Some(&id))).await.id();
    assert!(ground.aws.role(ROLE).is_none() && ground.aws.role("landfall-two").is_some());
    // A resource that CloudFormation doesn't know any more isn't in use.
    let stack = landfall_stand_ins::Stack {
        status: "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS".to_owned(),
        ..Default::default()
    };
    ground.aws.stack(crate::ground::STACK, stack);
    let mut last = ground.request("last", "Delete", Some(&new));
    last["ResourceProperties"] = replace["ResourceProperties"].clone();
    ground.serve(&last).await.id();
    assert!(ground.aws.role("landfall-two").is_none(), "the role is still there");
}

#[tokio::test]
async fn a_forged_create_or_update_is_refused_unless_the_resource_is_made_or_changed() {
    let ground = Ground::lay().await;
    let id = ground.made().await;
    let before = ground.aws.role(ROLE);
    for (kind, named, stack, resource) in [
        ("Create", None, "DELETE_IN_PROGRESS", "DELETE_IN_PROGRESS"),
        ("Create", None, "UPDATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"),
        ("Update", Some(id.as_str()), "DELETE_IN_PROGRESS", "DELETE_IN_PROGRESS"),
        ("Update", Some(id.as_str()), "CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS"),
        ("Update", Some(id.as_str()), "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"),
    ] {
        ground.stands(stack, &id, resource);
        let mut forged = ground.request("forged", kind, named);
        forged["ResourceProperties"]["Description"] = json!("changed");
        ground.attack(&forged).await.is_refused("does not wait");
        assert_eq!(ground.aws.role(ROLE), before, "{kind} {stack} {resource}");
    }
    let trust = before.map(|role| role.trust).unwrap_or_default();
    assert!(trust.contains(TRUSTED), "{trust}");
}
