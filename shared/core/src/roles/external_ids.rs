//! Whether the external IDs that a role's properties name can be guessed. What a role admits already goes on
//! being admitted: whoever presents it would otherwise be locked out.

use serde_json::Value;

use crate::routes::{NEW_EXTERNAL_ID_CHARS, is_short_external_id};

/// Those that the role admits.
const ADMITTED: [&str; 2] = ["ExternalId", "PreviousExternalId"];

/// Returns `true` if `properties` bring in an external ID that is too short for a new one. `before` are those that
/// the role was made with; the external ID before, of a rotation, may be as short as it was.
pub fn is_newly_short(properties: &Value, before: Option<&Value>) -> bool {
    let is_known = |id: &str| {
        before.is_some_and(|before| ADMITTED.iter().any(|name| before[name].as_str() == Some(id)))
    };
    short(properties, ADMITTED[0]).is_some_and(|id| !is_known(id))
}

/// What to say of each external ID in `properties` that is shorter than a new one may be, without its value.
pub fn notes(properties: &Value) -> Vec<String> {
    let short = ADMITTED.iter().filter(|name| short(properties, name).is_some());
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
            // Somebody comes from a short one.
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
        let told = notes(&json!({ "ExternalId": "short-7f3a", "PreviousExternalId": "x-7f3a" }));
        assert_eq!(told.len(), 2);
        assert!(told.iter().all(|note| !note.contains("7f3a")), "{told:?}");
        assert!(notes(&json!({ "ExternalId": LONG, "PreviousExternalId": "" })).is_empty());
        assert!(notes(&json!({ "RoleName": "landfall-job" })).is_empty());
    }
}
