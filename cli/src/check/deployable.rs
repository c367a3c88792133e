//! Finds what CloudFormation, IAM, EventBridge, S3 or Glue would refuse because there is too much of it. All of it
//! would otherwise come up in the middle of a deployment.

use std::collections::{BTreeMap, BTreeSet};

use clap::Parser;
use landfall_core::arn::RoleArn;
use landfall_core::batch::never_fit;
use landfall_core::bucket_notifications::{Filters, MAX_RULES};
use landfall_core::routes::{Route, Routes};
use serde_json::json;

use super::Remark;
use crate::args::deploy::{GivenParameter, TemplateName};
use crate::args::roles::RolesArgs;
use crate::desired;

/// How many bytes the routes may have as JSON. An update of a resource brings them twice, and the template of the data
/// account holds them four times.
const MAX_ROUTES_BYTES: usize = 100_000;

/// How many characters EventBridge takes for a rule's pattern.
const MAX_PATTERN_CHARS: usize = 2_048;

/// The code of a policy that IAM would refuse.
const TOO_LARGE: &str = "policy_too_large";

/// The options for the roles, with the templates' defaults.
#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    roles: RolesArgs,
}

/// Returns an error for everything that can't be deployed. What the routes don't say, such as names, is as the
/// templates have it.
pub fn remarks(text: &str, routes: &Routes, given: &[GivenParameter]) -> Vec<Remark> {
    let mut remarks = Vec::from_iter(size(text));
    remarks.extend(names_of_jobs(routes));
    remarks.extend(policies(text, routes));
    remarks.extend(rules(routes, given));
    remarks.extend(arguments(routes));
    remarks
}

fn error(code: &'static str, text: String) -> Remark {
    Remark { code: Some(code), is_error: true, text }
}

fn size(text: &str) -> Option<Remark> {
    let bytes = desired::included(text).to_string().len();
    (bytes > MAX_ROUTES_BYTES).then(|| {
        error(
            "routes_too_large",
            format!(
                "the routes have {bytes} bytes as JSON, and a stack can pass on {MAX_ROUTES_BYTES}: split the file, \
                 and deploy each part with a --name-prefix of its own"
            ),
        )
    })
}

/// The rule for ended runs lists the jobs of its stack.
fn names_of_jobs(routes: &Routes) -> Vec<Remark> {
    let mut jobs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for route in routes.routes.iter() {
        if let (Some(target), Some(job)) = (routes.targets.get(&route.target), &route.job) {
            jobs.entry(&target.starter_role_arn).or_default().insert(job);
        }
    }
    let mut remarks = Vec::new();
    for (role, jobs) in &jobs {
        for job in jobs.iter().filter(|job| !is_deployable(job)) {
            remarks.push(error(
                "job_name_not_deployable",
                format!(
                    "job `{job}` can't be named in a stack: a name has 1 to 128 letters, digits, `_` and `-`"
                ),
            ));
        }
        let pattern = json!({
            "source": ["aws.glue"],
            "detail-type": ["Glue Job State Change"],
            "detail": { "jobName": jobs },
        });
        let chars = pattern.to_string().chars().count();
        if chars > MAX_PATTERN_CHARS {
            remarks.push(error(
                "job_names_too_long",
                format!(
                    "the {} jobs that `{role}` starts make an EventBridge pattern of {chars} characters, and a rule \
                     takes {MAX_PATTERN_CHARS}: use shorter names, or split the routes between several stacks",
                    jobs.len()
                ),
            ));
        }
    }
    remarks
}

/// Returns `true` if the template of the analytics account takes the job's name.
fn is_deployable(job: &str) -> bool {
    (1..=128).contains(&job.len())
        && job.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Composes the roles as the provisioner would, and keeps what is too large. Any other error can come from what the
/// routes don't say.
fn policies(text: &str, routes: &Routes) -> Vec<Remark> {
    let Some(target) = routes.targets.values().next() else { return Vec::new() };
    let name = RoleArn::parse(&target.starter_role_arn).map_or("", |arn| arn.name);
    let path = name.rsplit_once('/').map_or("/".to_owned(), |(path, _)| format!("/{path}/"));
    let options = [
        ["check", "--routes=-"],
        // The length of an account's ID is always the same.
        ["--data-account", "000000000000"],
        // Without it, targets of several regions with one starter role would be an error.
        ["--region", &target.region],
        ["--provisioned-role-path", &path],
    ];
    let composed = Defaults::try_parse_from(options.concat())
        .map_err(anyhow::Error::from)
        .and_then(|defaults| desired::compose_from(text, routes, &defaults.roles, None));
    match composed {
        Ok(composed) => {
            let too_large = composed.errors.into_iter().filter(|(code, _)| *code == TOO_LARGE);
            too_large.map(|(code, text)| error(code, text)).collect()
        }
        Err(problem) => vec![error("roles_unknown", format!("{problem:#}"))],
    }
}

fn rules(routes: &Routes, given: &[GivenParameter]) -> Vec<Remark> {
    let has_no_rules = |one: &GivenParameter| {
        one.template == TemplateName::Data && one.name == "Transport" && one.value == "EventBridge"
    };
    if given.iter().any(has_no_rules) {
        return Vec::new();
    }
    let mut buckets: BTreeMap<&str, Vec<&Route>> = BTreeMap::new();
    for route in routes.routes.iter() {
        buckets.entry(&route.bucket).or_default().push(route);
    }
    let counted = buckets.into_iter().map(|(bucket, its)| {
        let its = its.iter().map(|route| (route.name.as_str(), &route.key));
        (bucket, Filters::of(its).filters.len())
    });
    counted
        .filter(|(_, count)| *count > MAX_RULES)
        .map(|(bucket, count)| {
            error(
                "too_many_rules",
                format!(
                    "bucket `{bucket}` would need {count} notification rules, and S3 takes {MAX_RULES}: give keys a \
                     common beginning, or pass --parameter data:Transport=EventBridge here and to `landfall deploy`"
                ),
            )
        })
        .collect()
}

fn arguments(routes: &Routes) -> Vec<Remark> {
    let refused = routes.routes.iter().filter_map(|route| {
        let reason = never_fit(&route.arguments)?;
        Some(error(reason.code(), format!("route `{}`: {reason}", route.name)))
    });
    refused.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = r#"version: 1
targets:
  one: { account: "222222222222", region: eu-west-1, starter_role: landfall/landfall-starter, external_id: "${ONE}" }
routes:
"#;

    /// Returns the codes of what can't be deployed of these routes.
    fn codes(routes: &[String], given: &[&str]) -> Vec<&'static str> {
        let text = format!("{TARGET}{}", routes.concat());
        let parsed = Routes::parse_to_deploy(&text);
        let routes = parsed.routes.unwrap_or_else(|| panic!("{:?}", parsed.problems));
        let parameter = crate::args::deploy::parameter;
        let given: Vec<_> = given.iter().filter_map(|text| parameter(text).ok()).collect();
        let all = remarks(&text, &routes, &given);
        assert!(all.iter().all(|remark| remark.is_error));
        all.into_iter().filter_map(|remark| remark.code).collect()
    }

    fn route(number: usize, key: &str, job: &str) -> String {
        format!(
            "  - {{ name: r{number}, bucket: acme-a, key: \"{key}\", start: {{ target: one, job: {job} }} }}\n"
        )
    }

    fn routes(
        count: usize,
        key: impl Fn(usize) -> String,
        job: impl Fn(usize) -> String,
    ) -> Vec<String> {
        (0..count).map(|number| route(number, &key(number), &job(number))).collect()
    }

    #[test]
    fn what_can_be_deployed_has_no_remark() {
        let few = routes(40, |it| format!("in/{it}/{{file}}"), |it| format!("job-{it}"));
        assert_eq!(codes(&few, &[]), Vec::<&str>::new());
    }

    #[test]
    fn a_file_of_1500_jobs_is_refused_for_each_limit_that_it_exceeds() {
        let many = routes(1_500, |it| format!("in/{it}/{{file}}"), |it| format!("job-number-{it}"));
        let mut codes = codes(&many, &[]);
        codes.sort_unstable();
        codes.dedup();
        let expected =
            ["job_names_too_long", "policy_too_large", "routes_too_large", "too_many_rules"];
        assert_eq!(codes, expected);
    }

    #[test]
    fn the_names_of_all_jobs_of_a_stack_fit_into_one_pattern() {
        let named =
            |count| routes(count, |_| "in/{file}".to_owned(), |it| format!("job-{it:0>96}"));
        assert_eq!(codes(&named(18), &[]), Vec::<&str>::new());
        assert_eq!(codes(&named(20), &[]), ["job_names_too_long"]);
        let odd = [route(0, "in/{file}", "\"my job\"")];
        assert_eq!(codes(&odd, &[]), ["job_name_not_deployable"]);
    }

    #[test]
    fn a_bucket_has_at_most_100_rules_unless_eventbridge_is_told_of_everything() {
        let one_job = |count| routes(count, |it| format!("{it}/{{file}}"), |_| "job".to_owned());
        assert_eq!(codes(&one_job(100), &[]), Vec::<&str>::new());
        assert_eq!(codes(&one_job(101), &[]), ["too_many_rules"]);
        assert_eq!(codes(&one_job(101), &["data:Transport=EventBridge"]), Vec::<&str>::new());
        assert_eq!(codes(&one_job(101), &["data:Transport=S3"]), ["too_many_rules"]);
    }

    #[test]
    fn a_policy_that_iam_refuses_is_found_before_the_deployment() {
        let key = |it| format!("a-long-folder-name-that-no-other-route-has/{it:0>60}/{{file}}");
        let long = routes(90, key, |_| "job".to_owned());
        let codes = codes(&long, &[]);
        assert!(codes.contains(&"policy_too_large"), "{codes:?}");
    }

    #[test]
    fn arguments_that_no_run_can_be_given_are_refused() {
        let with = |length: usize| {
            format!(
                "  - {{ name: long, bucket: acme-a, key: \"in/{{file}}\", batch: {{ max_objects: 1 }}, start: {{ \
                 target: one, job: job, arguments: {{ \"--text\": \"{}{{file}}\" }} }} }}\n",
                "x".repeat(length)
            )
        };
        assert_eq!(codes(&[with(90_000)], &[]), Vec::<&str>::new());
        let codes = codes(&[with(100_001)], &[]);
        assert!(codes.contains(&"arguments_too_long"), "{codes:?}");
    }
}
