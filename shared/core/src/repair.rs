//! The property `Repair`, which all custom resources have.
//!
//! A repair changes it, so that CloudFormation asks for an Update although nothing else changed. What an Update does
//! follows from the other properties, unless the time ends with [`MISSING`], as those of the repairer do: such an Update
//! makes only what is gone, and leaves alone what is there.

use serde_json::Value;

use crate::at::At;

/// What the time of a repair ends with that makes only what is gone, such as `20260131T120000Zmissing`.
pub const MISSING: &str = "missing";

const MAX_CHARS: usize = 64;

const REPAIR: &str = "Repair";

/// Returns `true` if an Update from `old` to `new` properties is a repair of what is missing, or the way back from one.
/// If another property changes too, it is not: somebody deploys.
pub fn is_of_missing(new: &Value, old: Option<&Value>) -> bool {
    let (Some(new), Some(old)) = (new.as_object(), old.and_then(Value::as_object)) else {
        return false;
    };
    let without = |properties: &serde_json::Map<String, Value>| {
        let mut rest = properties.clone();
        rest.remove(REPAIR);
        rest
    };
    let time = |properties: &serde_json::Map<String, Value>| {
        properties.get(REPAIR).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let (after, before) = (time(new), time(old));
    let is_back = before.ends_with(MISSING) && (after.is_empty() || is_before(&after, &before));
    after != before && without(new) == without(old) && (after.ends_with(MISSING) || is_back)
}

/// Returns `true` if both are times that Landfall writes, and `one` is before `other`. Somebody can give the parameter
/// any other value by hand, which says nothing about the order.
fn is_before(one: &str, other: &str) -> bool {
    let is_ours = |text: &str| {
        let time = text.strip_suffix(MISSING).unwrap_or(text);
        let is_right = |(place, byte): (usize, u8)| match place {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        };
        time.len() == 16 && time.bytes().enumerate().all(is_right)
    };
    is_ours(one) && is_ours(other) && one < other
}

/// Reports a value that no repair writes.
pub(crate) fn check(repair: Option<&str>, at: &mut At<'_>) {
    let is_fine = |text: &str| {
        text.len() <= MAX_CHARS
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-:.".contains(&b))
    };
    if !repair.is_none_or(is_fine) {
        at.key(REPAIR).error(
            "this is not the time of a repair",
            "use at most 64 letters, digits and `-:.`, such as 20260131T120000Z",
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::is_of_missing;
    use crate::roles::{Home, Kind, RoleSpec};
    use crate::{bucket_access, bucket_notifications};

    const JOB: &str = "arn:aws:iam::222222222222:role/landfall/landfall-job";

    fn home() -> Home {
        Home {
            partition: "aws".to_owned(),
            account: "111111111111".to_owned(),
            region: "eu-west-1".to_owned(),
        }
    }

    fn routes(access: &str) -> Value {
        json!({
            "version": "1",
            "targets": { "lake": { "account": "222222222222", "region": "eu-west-1",
                "starter_role": "landfall/landfall-starter", "external_id": "${X}" } },
            "routes": [{ "name": "orders", "bucket": "acme-landing", "key": "orders/{file}",
                "start": { "target": "lake", "job": "orders", "access": access } }],
        })
    }

    fn reader() -> Value {
        json!({ "RoleName": "landfall-reader", "Routes": routes("role"), "TrustedRoleArns": [JOB] })
    }

    /// Returns what each kind of resource with this `Repair` reads as, without the resource's own type.
    fn read(repair: Option<&str>) -> Vec<Result<String, String>> {
        let with = |mut properties: Value| {
            if let Some(repair) = repair {
                properties["Repair"] = json!(repair);
            }
            properties
        };
        let shown =
            |spec: Result<String, Vec<String>>| spec.map_err(|problems| problems.join("; "));
        let role = RoleSpec::read(Kind::Reader, &with(reader()), &home());
        let queue = "arn:aws:sqs:eu-west-1:111111111111:q";
        let rules = json!({ "Routes": routes("role"), "QueueArn": queue });
        let rules = bucket_notifications::Spec::read(&with(rules));
        let access = json!({ "Routes": routes("bucket_policy"), "JobRoleArns": [JOB] });
        let access = bucket_access::Spec::read(&with(access), &home());
        vec![
            role.map(|spec| format!("{spec:?}")).map_err(|error| error.to_string()),
            shown(rules.map(|spec| format!("{spec:?}"))),
            shown(access.map(|spec| format!("{spec:?}"))),
        ]
    }

    #[test]
    fn the_time_of_a_repair_decides_nothing() {
        let without = read(None);
        assert!(without.iter().all(Result::is_ok), "{without:?}");
        for repair in ["", "20260131T120000Z", "20260131T120000Zmissing", "2026-01-31T12:00:00.5Z"]
        {
            assert_eq!(read(Some(repair)), without, "{repair}");
        }
    }

    #[test]
    fn an_update_makes_only_what_is_missing_if_nothing_but_the_time_says_so() {
        let (first, second) = ("20260131T120000Z", "20260201T120000Z");
        let missing = |time: &str| format!("{time}missing");
        let (first_missing, second_missing) = (&missing(first), &missing(second));
        for (before, after, expected) in [
            ("", first, false),
            ("", first_missing, true),
            (first, second_missing, true),
            (first_missing, second_missing, true),
            // The way back of a change that failed.
            (first_missing, "", true),
            (second_missing, first, true),
            (second_missing, first_missing, true),
            // Somebody repairs by hand, with a time or with another value.
            (first_missing, second, false),
            (first_missing, "1", false),
            (first_missing, "again", false),
            (first_missing, first_missing, false),
        ] {
            let with = |repair: &str| match repair {
                "" => reader(),
                repair => {
                    let mut properties = reader();
                    properties["Repair"] = json!(repair);
                    properties
                }
            };
            let (old, mut new) = (with(before), with(after));
            assert_eq!(is_of_missing(&new, Some(&old)), expected, "{before} -> {after}");
            assert!(!is_of_missing(&new, None), "{before} -> {after}");
            new["Path"] = json!("/elsewhere/");
            assert!(!is_of_missing(&new, Some(&old)), "{before} -> {after}");
        }
    }

    #[test]
    fn what_is_no_time_of_a_repair_is_refused() {
        for repair in ["a b", "${x}", "ä", "a/b", &"9".repeat(65)] {
            for read in read(Some(repair)) {
                let problem = read.expect_err(repair);
                assert!(problem.contains("Repair: this is not the time of a repair"), "{problem}");
            }
        }
    }
}
