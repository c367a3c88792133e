//! Checks whether the external IDs in a role's properties can be guessed. A short one that is already deployed stays,
//! because whoever presents it would otherwise be locked out.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Observed;

use crate::routes::{NEW_EXTERNAL_ID_CHARS, is_short_external_id};

/// The property whose external ID the role accepts.
const ACCEPTED: &str = "ExternalId";

/// The property whose external ID the role accepts too, during a rotation.
const PREVIOUS: &str = "PreviousExternalId";

/// The property whose external ID the provisioner presents to a role of another account, to make roles there.
const PRESENTED: &str = "ProvisioningExternalId";

impl Observed {
    /// Returns the external IDs that the trust policy admits, if it has the form that Landfall's policies have.
    pub fn external_ids(&self) -> BTreeSet<String> {
        let statements =
            self.trust.as_ref().and_then(|trust| trust.value()["Statement"].as_array());
        let ids = statements.into_iter().flatten().filter_map(|statement| {
            statement["Condition"]["StringEquals"]["sts:ExternalId"].as_array()
        });
        ids.flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    }
}

/// Returns the name of a property with an external ID that is too short for a new one, and that `before`, the
/// properties that the role was made with, do not have. During a rotation, the previous external ID may stay short.
pub fn newly_short(properties: &Value, before: Option<&Value>) -> Option<&'static str> {
    let is_new = |name: &str, known_as: &[&str]| {
        let id = short(properties, name);
        id.is_some() && !known_as.iter().any(|known| before.and_then(|it| it[known].as_str()) == id)
    };
    if is_new(ACCEPTED, &[ACCEPTED, PREVIOUS]) {
        return Some(ACCEPTED);
    }
    is_new(PRESENTED, &[PRESENTED]).then_some(PRESENTED)
}

/// Returns a warning for each external ID in `properties` that is shorter than a new one may be. The warnings don't
/// contain its value.
pub fn notes(properties: &Value) -> Vec<String> {
    let short = [ACCEPTED, PREVIOUS, PRESENTED]
        .into_iter()
        .filter(|name| short(properties, name).is_some());
    let note = |name| {
        format!(
            "`{name}` has fewer than {NEW_EXTERNAL_ID_CHARS} characters and can be guessed: rotate it to a \
             random one"
        )
    };
    short.map(note).collect()
}

fn short<'a>(properties: &'a Value, name: &str) -> Option<&'a str> {
    properties[name].as_str().filter(|id| !id.is_empty() && is_short_external_id(id))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LONG: &str = "0123456789abcdef";

    #[test]
    fn a_short_external_id_is_new_unless_the_role_admitted_it_before() {
        let of =
            |id: &str, previous: &str| json!({ "ExternalId": id, "PreviousExternalId": previous });
        for (properties, before, is_new) in [
            (of("short-7f3a", ""), None, true),
            (of("0123456789abcde", ""), None, true),
            (of(LONG, ""), None, false),
            (json!({}), None, false),
            // A rotation away from a short external ID.
            (of(LONG, "short-7f3a"), None, false),
            (of("short-7f3a", ""), Some(of("short-7f3a", "")), false),
            (of("short-7f3a", ""), Some(of(LONG, "short-7f3a")), false),
            (of("short-7f3a", LONG), Some(of(LONG, "")), true),
            (of("short-7f3a", ""), Some(of("other-7f3a", "")), true),
            (of("short-7f3a", ""), Some(json!({})), true),
        ] {
            assert_eq!(
                newly_short(&properties, before.as_ref()),
                is_new.then_some("ExternalId"),
                "{properties} {before:?}"
            );
        }
    }

    #[test]
    fn a_short_external_id_that_the_provisioner_presents_is_new_unless_it_presented_it_before() {
        let of = |id: &str| json!({ "ExternalId": LONG, "ProvisioningExternalId": id });
        for (properties, before, is_new) in [
            (of("x1"), None, true),
            (of(LONG), None, false),
            (of(""), None, false),
            (of("x1"), Some(of("x1")), false),
            (of("x1"), Some(of("y1")), true),
            (of("x1"), Some(of("")), true),
            // What the role accepts from others was never presented.
            (of("x1"), Some(json!({ "ExternalId": "x1", "PreviousExternalId": "x1" })), true),
            (json!({ "ExternalId": "x1" }), Some(of("x1")), true),
        ] {
            let expected = if properties["ExternalId"] == LONG { PRESENTED } else { "ExternalId" };
            assert_eq!(
                newly_short(&properties, before.as_ref()),
                is_new.then_some(expected),
                "{properties} {before:?}"
            );
        }
    }

    #[test]
    fn a_short_external_id_is_told_of_and_not_shown() {
        let notes_of_both =
            notes(&json!({ "ExternalId": "short-7f3a", "PreviousExternalId": "x-7f3a" }));
        assert_eq!(notes_of_both.len(), 2);
        assert!(notes_of_both.iter().all(|note| !note.contains("7f3a")), "{notes_of_both:?}");
        let presented = notes(&json!({ "ExternalId": LONG, "ProvisioningExternalId": "x1" }));
        assert!(presented.len() == 1 && presented[0].starts_with("`ProvisioningExternalId` has"));
        assert!(notes(&json!({ "ExternalId": LONG, "PreviousExternalId": "" })).is_empty());
        assert!(notes(&json!({ "RoleName": "landfall-job" })).is_empty());
    }
}
