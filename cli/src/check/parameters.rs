//! Compares the provisioners' parameters with the routes: a warning for an asterisk, an error for a list that lacks
//! what a route needs.

use std::collections::BTreeSet;

use landfall_core::routes::{Access, Routes};

use super::Remark;
use crate::args::deploy::{GivenParameter, TemplateName};

/// Returns all remarks on `--parameter provisioner:…`, in the order of the parameters.
pub fn remarks(routes: Option<&Routes>, given: &[GivenParameter]) -> Vec<Remark> {
    let own = given.iter().filter(|one| one.template == TemplateName::Provisioner);
    own.flat_map(|one| remarks_on(routes, &one.name, &one.value)).collect()
}

fn remarks_on(routes: Option<&Routes>, name: &str, value: &str) -> Vec<Remark> {
    let admits = match name {
        "TrustedAccountIds" => "roles may then trust any account that a stack names",
        "LandingBucketArns" => {
            "roles may then read any bucket of the account, and any bucket may get notifications"
        }
        "PolicyBucketArns" => "there is no such value",
        _ => return Vec::new(),
    };
    if value == "*" && name == "PolicyBucketArns" {
        let text = "provisioner:PolicyBucketArns=*: name the buckets, or leave it out: `landfall deploy` \
             derives it from the routes";
        return vec![Remark { code: None, is_error: true, text: text.to_owned() }];
    }
    if value == "*" {
        let text = format!(
            "provisioner:{name}=*: {admits}. Leave it out: `landfall deploy` derives it from the routes"
        );
        return vec![Remark { code: None, is_error: false, text }];
    }
    let Some(routes) = routes else { return Vec::new() };
    let listed: BTreeSet<&str> = value.split(',').collect();
    let is_listed = |needed: &str| {
        listed.iter().any(|one| *one == needed || one.ends_with(&format!(":::{needed}")))
    };
    let needed: BTreeSet<&str> = match name {
        "LandingBucketArns" => routes.routes.iter().map(|route| route.bucket.as_str()).collect(),
        "PolicyBucketArns" => {
            let by_policy = routes.routes.iter().filter(|it| it.access == Access::BucketPolicy);
            by_policy.map(|route| route.bucket.as_str()).collect()
        }
        _ => {
            let targets =
                routes.routes.iter().filter_map(|route| routes.targets.get(&route.target));
            targets.map(|target| target.account.as_str()).collect()
        }
    };
    let missing = needed.into_iter().filter(|needed| !is_listed(needed));
    let remark = |needed| Remark {
        code: None,
        is_error: true,
        text: format!("provisioner:{name} lacks `{needed}`, which the routes need"),
    };
    missing.map(remark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = r#"version: 1
targets:
  one: { account: "222222222222", region: eu-west-1, starter_role: landfall/landfall-starter, external_id: "${ONE}" }
routes:
  - { name: a, bucket: acme-a, key: "a/*", start: { target: one, job: job-a } }
  - { name: b, bucket: acme-b, key: "b/*", start: { target: one, job: job-b } }
"#;

    fn remarked(name: &str, value: &str) -> Vec<(bool, String)> {
        let routes = Routes::parse(ROUTES).routes.expect("the routes are valid");
        let given = GivenParameter {
            template: TemplateName::Provisioner,
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let all = remarks(Some(&routes), &[given]);
        all.into_iter().map(|remark| (remark.is_error, remark.text)).collect()
    }

    #[test]
    fn an_asterisk_is_a_warning_and_what_a_route_needs_and_no_list_has_an_error() {
        for name in ["TrustedAccountIds", "LandingBucketArns"] {
            let [(is_error, text)] = &remarked(name, "*")[..] else { panic!("one remark") };
            assert!(!is_error && text.contains("any"), "{text}");
        }
        let lacks = "provisioner:LandingBucketArns lacks `acme-b`, which the routes need";
        let given = "arn:aws:s3:::acme-a,arn:aws:s3:::not-acme-b";
        assert_eq!(remarked("LandingBucketArns", given), [(true, lacks.to_owned())]);
        let lacks = "provisioner:TrustedAccountIds lacks `222222222222`, which the routes need";
        assert_eq!(remarked("TrustedAccountIds", "333333333333"), [(true, lacks.to_owned())]);
        for (name, value) in [
            ("TrustedAccountIds", "333333333333,222222222222"),
            ("LandingBucketArns", "arn:aws:s3:::acme-a,arn:aws:s3:::acme-b"),
            ("LogRetentionDays", "*"),
        ] {
            assert_eq!(remarked(name, value), [], "{name}");
        }
    }
}
