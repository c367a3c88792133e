//! The property `Repair`, which all custom resources have.
//!
//! `landfall deploy --repair` changes it, so that CloudFormation asks for an Update although nothing else changed. What
//! an Update does follows from the other properties alone.

use crate::at::At;

const MAX_CHARS: usize = 64;

/// Reports a value that no repair writes.
pub(crate) fn check(repair: Option<&str>, at: &mut At<'_>) {
    let is_fine = |text: &str| {
        text.len() <= MAX_CHARS
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-:.".contains(&b))
    };
    if !repair.is_none_or(is_fine) {
        at.key("Repair").error(
            "this is not the time of a repair",
            "use at most 64 letters, digits and `-:.`, such as 20260131T120000Z",
        );
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::roles::{Home, Kind, Spec};
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
        let role = Spec::read(Kind::Reader, &with(reader()), &home());
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
        for repair in ["", "20260131T120000Z", "2026-01-31T12:00:00.5Z"] {
            assert_eq!(read(Some(repair)), without, "{repair}");
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
