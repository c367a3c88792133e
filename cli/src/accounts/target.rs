//! Finds the analytics account that the routes lead to, and what they need there.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use anyhow::{bail, ensure};
use landfall_core::arn::RoleArn;
use landfall_core::reconcile::Reach;
use landfall_core::routes::{Access, ExternalId, Parsed, Route, Routes, Target};

use crate::args::Color;
use crate::args::deploy::StackArgs;
use crate::input;
use crate::terminal::output::Output;
use crate::terminal::phrases::quoted;
use crate::terminal::progress::say;

/// The environment variable that holds the external ID, here and in the functions.
pub const EXTERNAL_ID_VARIABLE: &str = "LANDFALL_EXTERNAL_ID";

/// What the routes say about the stacks.
pub struct DeploymentTarget {
    /// The text of the routes file.
    pub text: String,
    pub account: String,
    pub region: String,
    pub starter_role_arn: String,
    pub external_id: Option<ExternalId>,
    /// Why the functions would not present the external ID; `None` if they would.
    pub external_id_problem: Option<String>,
    /// Further accounts that routes start jobs in.
    pub other_accounts: BTreeSet<String>,
    /// All buckets that the routes name.
    pub buckets: BTreeSet<String>,
    /// The buckets of routes with `access: bucket_policy`, whatever their target.
    pub policy_buckets: BTreeSet<String>,
    /// Those of them whose routes start jobs in the target's account.
    pub input_buckets: BTreeSet<String>,
    /// The jobs that the routes start with the target's starter role.
    pub jobs: BTreeSet<String>,
    /// The ARNs of the jobs that the routes start in the target's account, with any role.
    pub job_arns: BTreeSet<String>,
    /// Whether events say of some route's batches that they have closed.
    pub announces: bool,
    /// What is listed and read for what S3 never announced.
    pub reconciled: Reach,
    pub partition: String,
}

/// Reads the routes from `file` with `parse`, prints their warnings, and finds the target.
///
/// # Errors
/// Returns the output to print if the routes have errors or do not lead to one target.
pub fn find(
    file: &OsStr,
    args: &StackArgs,
    parse: fn(&str) -> Parsed,
    color: Color,
) -> Result<DeploymentTarget, Output> {
    let (text, (routes, warnings)) = input::read_routes(file, parse, color)?;
    for warning in &warnings {
        say(&format!("{}:{warning}", input::display_name(file)));
    }
    Ok(of(&routes, args.target.as_deref(), &args.name_prefix, text)?)
}

/// Finds the target of this name, or the one that all routes lead to.
///
/// # Errors
/// Fails if the routes lead to several, or to stacks with another prefix.
pub fn of(
    routes: &Routes,
    target: Option<&str>,
    prefix: &str,
    text: String,
) -> anyhow::Result<DeploymentTarget> {
    let target = choose(routes, target)?;
    // With another prefix, the command would change the stacks of other routes.
    let arn = RoleArn::parse(&target.starter_role_arn);
    let partition = arn.map_or("aws", |arn| arn.partition);
    let role = arn.map_or("", |arn| arn.name.rsplit('/').next().unwrap_or_default());
    ensure!(
        role == format!("{prefix}-starter"),
        "target `{}` has the starter role `{role}`, but stacks with --name-prefix {prefix} create \
         `{prefix}-starter`",
        target.name
    );
    let is_its = |name: &String| {
        routes
            .targets
            .get(name)
            .is_some_and(|other| other.starter_role_arn == target.starter_role_arn)
    };
    let its = routes.routes.iter().filter(|route| is_its(&route.target));
    let job_arn = |route: &Route| {
        let Target { account, region, .. } = routes.targets.get(&route.target)?;
        let job = route.job.as_ref()?;
        (*account == target.account)
            .then(|| format!("arn:{partition}:glue:{region}:{account}:job/{job}"))
    };
    let policy_routes = || routes.routes.iter().filter(|it| it.access == Access::BucketPolicy);
    let inputs = routes.read_by_policy(&target.account);
    let used = routes.routes.iter().filter_map(|route| routes.targets.get(&route.target));
    let others = used.map(|other| other.account.clone()).filter(|other| *other != target.account);
    Ok(DeploymentTarget {
        other_accounts: others.collect(),
        text,
        account: target.account.clone(),
        region: target.region.clone(),
        starter_role_arn: target.starter_role_arn.clone(),
        external_id: target.external_id.clone(),
        external_id_problem: external_id_problem(target),
        buckets: routes.routes.iter().map(|route| route.bucket.clone()).collect(),
        policy_buckets: policy_routes().map(|route| route.bucket.clone()).collect(),
        input_buckets: inputs.map(|route| route.bucket.clone()).collect(),
        jobs: its.filter_map(|route| route.job.clone()).collect(),
        job_arns: routes.routes.iter().filter_map(job_arn).collect(),
        announces: routes.announces(),
        reconciled: Reach::of(routes),
        partition: partition.to_owned(),
    })
}

/// Returns why the functions would not present the target's external ID, if they would not. They know only one
/// variable, and starter roles always require an external ID.
fn external_id_problem(target: &Target) -> Option<String> {
    let Target { name, external_id, .. } = target;
    let what = match external_id {
        Some(ExternalId::Literal(_)) => return None,
        Some(ExternalId::Variable(variable)) if variable == EXTERNAL_ID_VARIABLE => return None,
        Some(ExternalId::Variable(variable)) => {
            format!("the functions have no variable `{variable}`")
        }
        None => "the starter role requires one".to_owned(),
    };
    Some(format!(
        "the functions can't present the external ID of target `{name}`: {what}; write external_id: \
         ${{{EXTERNAL_ID_VARIABLE}}}"
    ))
}

/// Returns the target of this name, or the one that all routes lead to.
fn choose<'a>(routes: &'a Routes, name: Option<&str>) -> anyhow::Result<&'a Target> {
    if let Some(name) = name {
        return input::target(routes, name);
    }
    let used: BTreeSet<&String> = routes.routes.iter().map(|route| &route.target).collect();
    let targets: Vec<&Target> = used.iter().filter_map(|name| routes.targets.get(*name)).collect();
    match targets[..] {
        [] => bail!("no route starts a job, so there is nothing to deploy"),
        [target] => Ok(target),
        [first, ..] => {
            let is_same = |other: &&Target| {
                other.starter_role_arn == first.starter_role_arn && other.region == first.region
            };
            if targets.iter().all(is_same) {
                return Ok(first);
            }
            bail!(
                "the routes lead to several stacks, through targets {}: choose one with --target",
                quoted(used.into_iter())
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = r#"version: 1
targets:
  one: { account: "222222222222", region: eu-west-1, starter_role: landfall/landfall-starter, external_id: "${ONE}" }
  same: { account: "222222222222", region: eu-west-1, starter_role: landfall/landfall-starter, external_id: "${ONE}" }
  other: { account: "333333333333", region: eu-west-1, starter_role: landfall/landfall-starter, external_id: "${ONE}" }
routes:
  - { name: a, bucket: acme-a, key: "a/*", start: { target: one, job: job-a } }
  - { name: b, bucket: acme-b, key: "b/*", start: { target: same, job: job-b } }
  - { name: c, bucket: acme-a, key: "c/*", start: { target: other, job: job-c } }
"#;

    fn found(text: &str, target: Option<&str>) -> anyhow::Result<DeploymentTarget> {
        let routes = Routes::parse(text).routes.expect("the routes are valid");
        of(&routes, target, "landfall", text.to_owned())
    }

    #[test]
    fn jobs_are_those_of_the_targets_starter_role_and_buckets_those_of_all_routes()
    -> anyhow::Result<()> {
        let found = found(ROUTES, Some("same"))?;
        let listed = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(",");
        assert_eq!(
            (listed(&found.jobs), listed(&found.buckets)),
            ("job-a,job-b".into(), "acme-a,acme-b".into())
        );
        assert_eq!((found.account.as_str(), found.region.as_str()), ("222222222222", "eu-west-1"));
        assert_eq!(listed(&found.other_accounts), "333333333333");
        let of_the_account = "arn:aws:glue:eu-west-1:222222222222:job/job-a,arn:aws:glue:eu-west-1:222222222222:job/job-b";
        assert_eq!(listed(&found.job_arns), of_the_account);
        Ok(())
    }

    #[test]
    fn stacks_of_other_routes_are_not_meant_and_an_id_that_nobody_presents_is_told() {
        let routes = Routes::parse(ROUTES).routes.expect("the routes are valid");
        let error = of(&routes, Some("one"), "billing", String::new()).err();
        let error = error.expect("another prefix").to_string();
        assert!(error.contains("`billing-starter`"), "{error}");
        let problem = |text: &str| found(text, Some("one")).expect("a target").external_id_problem;
        let unknown = problem(ROUTES).expect("a variable that no function has");
        assert!(unknown.contains("`ONE`") && unknown.contains("${LANDFALL_EXTERNAL_ID}"));
        assert_eq!(problem(&ROUTES.replace("${ONE}", "${LANDFALL_EXTERNAL_ID}")), None);
        let none = ROUTES.replace(", external_id: \"${ONE}\"", "");
        assert!(problem(&none).expect("no ID").contains("requires"));
    }

    #[test]
    fn several_stacks_ask_for_a_target_and_several_targets_of_one_do_not() {
        let error = found(ROUTES, None).err().expect("two accounts").to_string();
        assert!(error.contains("--target") && error.contains("`other`"), "{error}");
        let error = found(ROUTES, Some("on")).err().expect("no such target").to_string();
        assert!(error.contains("did you mean"), "{error}");
        let one_stack = ROUTES.replace("target: other", "target: same");
        assert!(found(&one_stack, None).is_ok());
    }
}
