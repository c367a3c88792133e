//! External IDs that can be guessed: the provisioner refuses new ones, and a resource that has one
//! already keeps working.

use serde_json::{Value, json};

use crate::ground::{Ground, ROLE};

const SHORT: &str = "short-7f3a";
const OTHER: &str = "other-7f3a";
const LONG: &str = "sixteen-characters-and-more";
const REASON: &str = "fewer than 16 characters";

fn update(ground: &Ground, request: &str, id: &str, new: &str, before: &str) -> Value {
    let mut update = ground.request(request, "Update", Some(id));
    update["ResourceProperties"]["ExternalId"] = json!(new);
    update["OldResourceProperties"]["ExternalId"] = json!(before);
    update
}

#[tokio::test]
async fn a_new_external_id_that_can_be_guessed_is_refused_before_any_effect() {
    let ground = Ground::lay().await;
    ground.stands("CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
    let mut create = ground.request("guessed", "Create", None);
    create["ResourceProperties"]["ExternalId"] = json!(SHORT);
    let answered = ground.serve(&create).await;
    answered.is_refused(REASON);
    assert!(answered.logged("external_id_too_short"), "{answered:#?}");
    assert!(!format!("{answered:?}").contains(SHORT), "{answered:#?}");
    assert_eq!(ground.aws.role(ROLE), None);

    let ground = Ground::lay().await;
    let id = ground.made().await;
    ground.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    for before in [LONG, OTHER] {
        let update = update(&ground, before, &id, SHORT, before);
        ground.serve(&update).await.is_refused(REASON);
    }
    let trust = ground.aws.role(ROLE).expect("a role").trust;
    assert!(trust.contains(LONG) && !trust.contains(SHORT), "{trust}");
}

#[tokio::test]
async fn a_short_external_id_that_is_deployed_goes_on_with_a_note_and_is_gone_back_to() {
    let ground = Ground::lay().await;
    let id = ground.made().await;
    ground.stands("UPDATE_ROLLBACK_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    let inverse = ground.serve(&update(&ground, "inverse", &id, SHORT, LONG)).await;
    ground.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    let unchanged = ground.serve(&update(&ground, "unchanged", &id, SHORT, SHORT)).await;
    for answered in [inverse, unchanged] {
        answered.id();
        let notes = answered.response()["Data"]["Notes"].as_str().expect("notes");
        assert!(notes.contains(REASON) && answered.logged("external_id_short"), "{answered:#?}");
        assert!(!format!("{answered:?}").contains(SHORT), "{answered:#?}");
    }
    assert!(ground.aws.role(ROLE).expect("a role").trust.contains(SHORT));
    // A new ID is admitted beside the short one that it replaces, with a note until the short one
    // is gone.
    let mut rotated = update(&ground, "rotated", &id, LONG, SHORT);
    rotated["ResourceProperties"]["PreviousExternalId"] = json!(SHORT);
    let answered = ground.serve(&rotated).await;
    answered.id();
    let notes = answered.response()["Data"]["Notes"].as_str().expect("notes");
    assert!(notes.contains("`PreviousExternalId` has fewer"), "{notes}");
}
