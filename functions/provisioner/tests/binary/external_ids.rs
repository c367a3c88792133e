//! External IDs that can be guessed: the provisioner refuses new ones, and a resource that has one
//! already keeps working. This includes those that it presents itself.

use serde_json::{Value, json};

use crate::fixture::{Fixture, ROLE};

const SHORT: &str = "short-7f3a";
const OTHER: &str = "other-7f3a";
const LONG: &str = "sixteen-characters-and-more";
const REASON: &str = "fewer than 16 characters";

fn update(fixture: &Fixture, request: &str, id: &str, new: &str, before: &str) -> Value {
    let mut update = fixture.request(request, "Update", Some(id));
    update["ResourceProperties"]["ExternalId"] = json!(new);
    update["OldResourceProperties"]["ExternalId"] = json!(before);
    update
}

#[tokio::test]
async fn a_new_external_id_that_can_be_guessed_is_refused_before_any_effect() {
    let fixture = Fixture::new().await;
    fixture.stands("CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
    let mut create = fixture.request("guessed", "Create", None);
    create["ResourceProperties"]["ExternalId"] = json!(SHORT);
    let answered = fixture.serve(&create).await;
    answered.is_refused(REASON);
    assert!(answered.logged("external_id_too_short"), "{answered:#?}");
    assert!(!format!("{answered:?}").contains(SHORT), "{answered:#?}");
    assert_eq!(fixture.aws.role(ROLE), None);

    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    for before in [LONG, OTHER] {
        let update = update(&fixture, before, &id, SHORT, before);
        fixture.serve(&update).await.is_refused(REASON);
    }
    let trust = fixture.aws.role(ROLE).expect("a role").trust;
    assert!(trust.contains(LONG) && !trust.contains(SHORT), "{trust}");
}

#[tokio::test]
async fn a_short_external_id_that_is_deployed_goes_on_with_a_note_and_is_gone_back_to() {
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    fixture.stands("UPDATE_ROLLBACK_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    let inverse = fixture.serve(&update(&fixture, "inverse", &id, SHORT, LONG)).await;
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    let unchanged = fixture.serve(&update(&fixture, "unchanged", &id, SHORT, SHORT)).await;
    for answered in [inverse, unchanged] {
        answered.id();
        let notes = answered.response()["Data"]["Notes"].as_str().expect("notes");
        assert!(notes.contains(REASON) && answered.logged("external_id_short"), "{answered:#?}");
        assert!(!format!("{answered:?}").contains(SHORT), "{answered:#?}");
    }
    assert!(fixture.aws.role(ROLE).expect("a role").trust.contains(SHORT));
    // A new ID is admitted beside the short one that it replaces, with a note until the short one
    // is gone.
    let mut rotated = update(&fixture, "rotated", &id, LONG, SHORT);
    rotated["ResourceProperties"]["PreviousExternalId"] = json!(SHORT);
    let answered = fixture.serve(&rotated).await;
    answered.id();
    let notes = answered.response()["Data"]["Notes"].as_str().expect("notes");
    assert!(notes.contains("`PreviousExternalId` has fewer"), "{notes}");
}

#[tokio::test]
async fn an_external_id_to_present_that_can_be_guessed_is_refused_before_sts_sees_it() {
    let fixture = Fixture::new().await;
    fixture.stands("CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
    let mut create = fixture.request("presented", "Create", None);
    let properties = &mut create["ResourceProperties"];
    properties["ProvisioningRoleArn"] = json!("arn:aws:iam::111111111111:role/making");
    properties["ProvisioningExternalId"] = json!(SHORT);
    let answered = fixture.serve(&create).await;
    answered.is_refused("`ProvisioningExternalId` has fewer than 16 characters");
    assert!(answered.logged("external_id_too_short"), "{answered:#?}");
    assert!(!format!("{answered:?}").contains(SHORT), "{answered:#?}");
    assert!(fixture.aws.calls().iter().all(|call| call.operation != "AssumeRole"));

    // What was presented before goes on, with a note.
    let fixture = Fixture::new().await;
    let id = fixture.made().await;
    fixture.stands("UPDATE_IN_PROGRESS", &id, "UPDATE_IN_PROGRESS");
    let mut update = fixture.request("still-presented", "Update", Some(&id));
    for properties in ["ResourceProperties", "OldResourceProperties"] {
        update[properties]["ProvisioningExternalId"] = json!(SHORT);
    }
    let answered = fixture.serve(&update).await;
    answered.id();
    let notes = answered.response()["Data"]["Notes"].as_str().expect("notes");
    assert!(notes.contains("`ProvisioningExternalId` has fewer"), "{notes}");
}
