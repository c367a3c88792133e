//! Checks whether the external IDs in a role's properties can be guessed. An external ID that a role already
//! accepts stays accepted, because whoever presents it would otherwise be locked out.

use serde_json::Value;

use crate::routes::{NEW_EXTERNAL_ID_CHARS, is_short_external_id};

/// The properties whose external IDs the role accepts.
const ACCEPTED: [&str; 2] = ["ExternalId", "PreviousExternalId"];

/// Returns `true` if `properties` introduce an external ID that is too short for a new one. `before` holds the
/// properties that the role was made with. During a rotation, the previous external ID may stay short.
pub fn is_newly_short(properties: &Value, before: Option<&Value>) -> bool {
    let is_known = |id: &str| {
        before.is_some_and(|before| ACCEPTED.iter().any(|name| before[name].as_str() == Some(id)))
    };
    short(properties, ACCEPTED[0]).is_some_and(|id| !is_known(id))
}

/// Returns a warning for each external ID in `properties` that is shorter than a new one may be. The warnings don't
/// contain its value.
pub fn notes(properties: &Value) -> Vec<String> {
    let short = ACCEPTED.iter().filter(|name| short(properties, name).is_some());
    let note = |name: &&str| {
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
                is_newly_short(&properties, before.as_ref()),
                is_new,
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
        assert!(notes(&json!({ "ExternalId": LONG, "PreviousExternalId": "" })).is_empty());
        assert!(notes(&json!({ "RoleName": "landfall-job" })).is_empty());
    }
}
