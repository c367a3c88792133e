//! Plans which stacks to deploy, in which order and with which parameters. Pure: it turns routes, options and the
//! observed stacks into steps. Whoever carries the steps out chooses nothing.

mod auditor;
mod boundary;
mod provisioner;

use std::collections::{BTreeMap, BTreeSet};

use landfall_core::problem::did_you_mean;
use landfall_core::reconcile::Reach;
use landfall_core::roles::DEFAULT_PATH;
use landfall_core::secret::Secret;
use landfall_stacks::Value;

use crate::accounts::{Side, stack_name, stacks};
use crate::args::deploy::{GivenParameter, Order, TemplateName};
use crate::cloudformation::template::{Parameter, Template};
use crate::terminal::printable;

/// The facts that determine the parameters.
#[derive(Debug)]
pub struct Facts {
    pub prefix: String,
    pub data_account: String,
    pub analytics_account: String,
    /// Further accounts that the routes start jobs in.
    pub other_accounts: BTreeSet<String>,
    pub data_region: String,
    pub analytics_region: String,
    /// The buckets that the routes name.
    pub buckets: BTreeSet<String>,
    /// The buckets of routes with `access: bucket_policy`.
    pub policy_buckets: BTreeSet<String>,
    /// Those of them that jobs in the analytics account read.
    pub input_buckets: BTreeSet<String>,
    /// Whether the ledger that an earlier data stack left may have batches of the previous version.
    pub has_former_batches: bool,
    /// The jobs that the routes start in the analytics account.
    pub jobs: BTreeSet<String>,
    /// The ARNs of all jobs that the routes start in that account, including those with other starter roles.
    pub job_arns: BTreeSet<String>,
    /// Whether events say of some route's batches that they have closed.
    pub announces: bool,
    /// `true` if IAM's events are forwarded to an auditor in another region.
    pub forwards_iam_events: bool,
    /// What the reconciler lists and reads.
    pub reconciled: Reach,
    /// The partition of both accounts, such as `aws` or `aws-cn`.
    pub partition: String,
    pub architecture: &'static str,
    /// The bucket, the prefix and the library's key that the analytics account's job loads from.
    pub artifacts: (String, String, String),
    /// The bucket that the data account's files are uploaded to. The prefix is the same.
    pub data_artifacts: String,
}

/// The change of the external ID.
#[derive(Debug)]
pub enum ExternalId {
    /// The stacks keep theirs.
    Kept,
    /// Both stacks get this one.
    New(Secret),
    /// Both stacks get the new one, and the analytics account accepts the previous one while they differ.
    Rotated { new: Secret, previous: Secret },
}

/// An existing stack that can be updated.
#[derive(Debug, Default, Clone)]
pub struct Known {
    /// The values of the parameters. A secret one is shown as asterisks.
    pub parameters: BTreeMap<String, String>,
}

impl Step {
    /// Returns `true` if reader roles of this stack can read batches of the previous version.
    pub fn admits_former_batches(&self) -> bool {
        self.values.get(ADMITS_FORMER).is_some_and(|value| value == "true")
    }
}

/// A stack to create or update.
#[derive(Debug, Clone)]
pub struct Step {
    pub side: Side,
    pub template: TemplateName,
    pub stack: String,
    pub parameters: BTreeMap<String, Value>,
    /// The resulting values, except unknown and secret ones.
    pub values: BTreeMap<String, String>,
    /// The purpose of the step, if the name of the stack does not say it.
    pub purpose: Option<String>,
    /// What the user should know before the deployment.
    pub warnings: Vec<String>,
}

const NO_OUTPUT_BUCKET: &str = "the example job needs a bucket to write to: pass --parameter \
     analytics:OutputBucketName=…, or leave the job out with --parameter analytics:ExampleJob=false";

/// The data template's parameter that lets reader roles read batches of the previous version.
const ADMITS_FORMER: &str = "AdmitsFormerBatches";

/// The data template's parameter for the job roles that read by bucket policy.
const BUCKET_POLICY_JOB_ROLES: &str = "BucketPolicyJobRoleArns";

/// The data template's parameter that lets the functions put events about batches.
const ANNOUNCES_BATCHES: &str = "AnnouncesBatches";

/// The data template's parameter for the buckets that the reconciler lists. Without any, there is no reconciler.
const RECONCILED_BUCKETS: &str = "ReconciledBucketArns";

/// The data template's parameters for what the listed keys begin with, and for the inventories that the reconciler reads.
const RECONCILED_PREFIXES: &str = "ReconciledPrefixes";
const RECONCILED_INVENTORIES: &str = "ReconciledInventoryArns";

/// The most bytes of prefixes. Together with the buckets, they must fit into the policies of a role.
const MAX_PREFIX_BYTES: usize = 2_048;

/// The existing stacks.
pub type KnownStacks = BTreeMap<(Side, TemplateName), Known>;

/// Returns the steps in order. With `narrow`, the last steps limit the provisioners to what the routes need.
///
/// # Errors
/// Returns everything that is missing or wrong, one line for each problem.
pub fn steps(
    facts: &Facts,
    templates: &BTreeMap<TemplateName, Template>,
    given: &[GivenParameter],
    known: &KnownStacks,
    external_id: &ExternalId,
    order: Order,
    narrow: bool,
) -> Result<Vec<Step>, Vec<String>> {
    let mut problems = unknown(templates, given);
    let mut steps = Vec::new();
    // For a rotation, the analytics account must first accept both external IDs.
    let order = match external_id {
        ExternalId::Rotated { .. } => Order::AnalyticsFirst,
        _ => order,
    };
    for (side, name, stack) in stacks(&facts.prefix, order) {
        let Some(template) = templates.get(&name) else { continue };
        let mut derived =
            derived((side, name), facts, given, template, known.get(&(side, name)), external_id);
        if name == TemplateName::Auditor {
            let followed = auditor::derived(side, facts, known, &steps);
            derived.extend(followed.into_iter().map(|(name, value)| (name, Value::Text(value))));
        }
        let known = known.get(&(side, name));
        match parameters(name, template, &derived, given, known) {
            Ok(parameters) => {
                let values = values(template, &parameters, known);
                let is = |parameter: &str, value: &str| {
                    values.get(parameter).is_some_and(|it| it == value)
                };
                if is("ExampleJob", "true") && is("OutputBucketName", "") {
                    problems.push(NO_OUTPUT_BUCKET.to_owned());
                }
                let step = Step {
                    side,
                    template: name,
                    stack,
                    parameters,
                    values,
                    purpose: None,
                    warnings: Vec::new(),
                };
                steps.push(match name {
                    TemplateName::Provisioner => {
                        let place = format!("stack `{}` in the {}", step.stack, side.name());
                        problems.extend(provisioner::too_long(&place, &step.values));
                        let step =
                            provisioner::described(step, &place, facts, given, known, narrow);
                        let is_given = is_given("BoundaryByAccount", name, given);
                        match boundary::fitted(step, &place, facts, template, is_given, false) {
                            Ok(step) => step,
                            Err(problem) => {
                                problems.push(problem);
                                continue;
                            }
                        }
                    }
                    _ => step,
                });
            }
            // Both provisioners miss the same, so duplicates are removed below.
            Err(missing) => problems.extend(missing),
        }
    }
    problems.sort();
    problems.dedup();
    if !problems.is_empty() {
        return Err(problems);
    }
    let is_there = |side, name| known.contains_key(&(side, name));
    match external_id {
        ExternalId::Rotated { .. } => rotate(&mut steps, facts, templates),
        // No change set shows this change, so the purpose does.
        ExternalId::New(_)
            if is_there(Side::Data, TemplateName::Data)
                || is_there(Side::Analytics, TemplateName::Analytics) =>
        {
            let presents = |step: &&mut Step| {
                matches!(step.template, TemplateName::Analytics | TemplateName::Data)
            };
            for step in steps.iter_mut().filter(presents) {
                step.purpose = Some("sets the external ID".to_owned());
            }
        }
        _ => {}
    }
    if narrow {
        let narrower: Vec<Step> = steps
            .iter()
            .filter_map(|step| provisioner::narrowed(step, facts, templates, given))
            .collect();
        steps.extend(narrower);
    }
    Ok(steps)
}

/// Returns parameters that all keep their values.
fn all_previous(template: &Template) -> BTreeMap<String, Value> {
    template.parameters.keys().map(|name| (name.clone(), Value::Previous)).collect()
}

/// Adds a step in which the analytics account accepts only the new external ID, once the data account presents it.
fn rotate(steps: &mut Vec<Step>, facts: &Facts, templates: &BTreeMap<TemplateName, Template>) {
    for step in steps.iter_mut() {
        let purpose = match step.template {
            TemplateName::Provisioner | TemplateName::Auditor => continue,
            TemplateName::Analytics => "accepts both external IDs",
            TemplateName::Data => "presents the new external ID",
        };
        step.purpose = Some(purpose.to_owned());
    }
    let is_its = |step: &&Step| step.template == TemplateName::Analytics;
    let values = steps.iter().find(is_its).map(|step| step.values.clone()).unwrap_or_default();
    let template = templates.get(&TemplateName::Analytics);
    let mut parameters = template.map(all_previous).unwrap_or_default();
    parameters.insert("PreviousExternalId".to_owned(), Value::Text(String::new()));
    steps.push(Step {
        side: Side::Analytics,
        template: TemplateName::Analytics,
        stack: stack_name(&facts.prefix, TemplateName::Analytics),
        parameters,
        values,
        purpose: Some("accepts only the new external ID".to_owned()),
        warnings: Vec::new(),
    });
}

/// Returns the values that follow from the facts. The template need not have all of these parameters.
fn derived(
    (side, name): (Side, TemplateName),
    facts: &Facts,
    given: &[GivenParameter],
    template: &Template,
    known: Option<&Known>,
    external_id: &ExternalId,
) -> BTreeMap<&'static str, Value> {
    let text = |text: &str| Value::Text(text.to_owned());
    let listed = |names: &BTreeSet<String>| {
        Value::Text(names.iter().map(String::as_str).collect::<Vec<_>>().join(","))
    };
    let mut derived = BTreeMap::from([
        ("NamePrefix", text(&facts.prefix)),
        ("ProvisionerNamePrefix", text(&facts.prefix)),
        ("Architecture", text(facts.architecture)),
    ]);
    match name {
        TemplateName::Provisioner => {
            let lists = provisioner::derived(side, facts, known);
            derived.extend(lists.into_iter().map(|(name, value)| (name, Value::Text(value))));
            return derived;
        }
        TemplateName::Auditor => return derived,
        TemplateName::Data => {
            derived.insert("AnalyticsAccountId", text(&facts.analytics_account));
            derived.insert("AnalyticsNamePrefix", text(&facts.prefix));
            derived.insert("LandingBucketNames", listed(&facts.buckets));
            derived.insert("OtherAnalyticsAccountIds", listed(&facts.other_accounts));
            // A stack that has a value keeps it, because only a person can see that no such batch is left.
            let admits = match known {
                None => Some(facts.has_former_batches),
                Some(known) => (!known.parameters.contains_key(ADMITS_FORMER)).then_some(true),
            };
            if let Some(admits) = admits {
                derived.insert(ADMITS_FORMER, text(&admits.to_string()));
            }
            // It is never taken away: batches of a route that announced them may still be open.
            if facts.announces {
                derived.insert(ANNOUNCES_BATCHES, text("true"));
            }
            let arn = |bucket: &String| format!("arn:{}:s3:::{bucket}", facts.partition);
            let arns = |of: &BTreeSet<String>| of.iter().map(arn).collect::<Vec<_>>().join(",");
            let Reach { buckets, prefixes, inventories } = &facts.reconciled;
            let buckets = match arns(buckets) {
                long if long.len() > provisioner::MAX_VALUE_BYTES => arn(&"*".to_owned()),
                arns => arns,
            };
            let prefixes = Vec::from_iter(prefixes.iter().map(String::as_str)).join(",");
            let fits = prefixes.len() <= MAX_PREFIX_BYTES;
            derived.insert(RECONCILED_BUCKETS, Value::Text(buckets));
            derived.insert(
                RECONCILED_PREFIXES,
                Value::Text(if fits { prefixes } else { String::new() }),
            );
            derived.insert(RECONCILED_INVENTORIES, Value::Text(arns(inventories)));
            if facts.data_region != facts.analytics_region {
                derived.insert("RunsBus", text("true"));
            }
            let will_be = |parameter: &str| will_be(parameter, name, template, given, known);
            if let Some(roles) = bucket_policy_job_roles(facts, known, will_be) {
                derived.insert(BUCKET_POLICY_JOB_ROLES, Value::Text(roles));
            }
        }
        TemplateName::Analytics => {
            let (bucket, prefix, library) = &facts.artifacts;
            derived.insert("DataAccountId", text(&facts.data_account));
            derived.insert("DataNamePrefix", text(&facts.prefix));
            let is_elsewhere = facts.data_region != facts.analytics_region;
            derived.insert("DataRegion", text(if is_elsewhere { &facts.data_region } else { "" }));
            derived.insert("ArtifactBucketName", text(bucket));
            derived.insert("ArtifactPrefix", text(prefix));
            derived.insert("LibraryKey", text(library));
            let will_be = |parameter| will_be(parameter, name, template, given, known);
            let job = will_be("JobName");
            // If no route starts the example job, a new stack leaves it out.
            let starts_example = job.as_ref().is_some_and(|job| facts.jobs.contains(job));
            let is_made = match known {
                None if !starts_example && !is_given("ExampleJob", name, given) => {
                    derived.insert("ExampleJob", text("false"));
                    false
                }
                _ => will_be("ExampleJob").is_none_or(|made| made == "true"),
            };
            let job = job.filter(|_| is_made);
            let others = facts.jobs.iter().filter(|other| Some(*other) != job.as_ref());
            derived.insert("OtherJobNames", listed(&others.cloned().collect()));
        }
    }
    match external_id {
        ExternalId::Kept => {}
        ExternalId::New(new) => {
            derived.insert("ExternalId", Value::Secret(new.clone()));
        }
        ExternalId::Rotated { new, previous } => {
            derived.insert("ExternalId", Value::Secret(new.clone()));
            derived.insert("PreviousExternalId", Value::Secret(previous.clone()));
        }
    }
    derived
}

/// Returns the job roles that read by bucket policy, or `None` if the parameter keeps its value: a list of an existing
/// stack stays, because the user may have set it.
fn bucket_policy_job_roles(
    facts: &Facts,
    known: Option<&Known>,
    will_be: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    if facts.policy_buckets.is_empty() {
        return Some(String::new());
    }
    let before = known.and_then(|known| known.parameters.get(BUCKET_POLICY_JOB_ROLES));
    if facts.input_buckets.is_empty() || before.is_some_and(|roles| !roles.is_empty()) {
        return None;
    }
    let path = will_be("ProvisionedRolePath").unwrap_or_else(|| DEFAULT_PATH.to_owned());
    let Facts { partition, analytics_account, prefix, .. } = facts;
    let own = format!("arn:{partition}:iam::{analytics_account}:role{path}{prefix}-job");
    let others = will_be("OtherJobRoleArns").filter(|roles| !roles.is_empty());
    Some([Some(own), others].into_iter().flatten().collect::<Vec<_>>().join(","))
}

fn is_given(parameter: &str, name: TemplateName, given: &[GivenParameter]) -> bool {
    given.iter().any(|one| one.template == name && one.name == parameter)
}

/// Returns the value that a parameter will have if nothing is derived for it.
fn will_be(
    parameter: &str,
    name: TemplateName,
    template: &Template,
    given: &[GivenParameter],
    known: Option<&Known>,
) -> Option<String> {
    let is_it = |one: &&GivenParameter| one.template == name && one.name == parameter;
    let given = given.iter().rev().find(is_it).map(|one| one.value.clone());
    let before = || known?.parameters.get(parameter).cloned();
    let default = || template.parameters.get(parameter)?.default.clone();
    given.or_else(before).or_else(default)
}

/// Returns the parameters of a step. A given value takes precedence over a derived one, and that over the stack's.
fn parameters(
    name: TemplateName,
    template: &Template,
    derived: &BTreeMap<&'static str, Value>,
    given: &[GivenParameter],
    known: Option<&Known>,
) -> Result<BTreeMap<String, Value>, Vec<String>> {
    let mut parameters = BTreeMap::new();
    let mut missing = Vec::new();
    for (parameter, about) in &template.parameters {
        let is_it = |one: &&GivenParameter| one.template == name && one.name == *parameter;
        let value = match given.iter().rev().find(is_it) {
            Some(one) if about.is_secret => Some(Value::Secret(Secret::new(&one.value))),
            Some(one) => Some(Value::Text(one.value.clone())),
            None => derived
                .get(parameter.as_str())
                .cloned()
                .or_else(|| known?.parameters.contains_key(parameter).then_some(Value::Previous)),
        };
        match value {
            Some(value) => {
                parameters.insert(parameter.clone(), value);
            }
            None if about.default.is_some() => {}
            None => missing.push(format!(
                "the {} template needs a value: pass --parameter {}:{parameter}=…",
                name.name(),
                name.name()
            )),
        }
    }
    if missing.is_empty() { Ok(parameters) } else { Err(missing) }
}

fn values(
    template: &Template,
    parameters: &BTreeMap<String, Value>,
    known: Option<&Known>,
) -> BTreeMap<String, String> {
    let value = |(name, about): (&String, &Parameter)| {
        let value = match parameters.get(name) {
            _ if about.is_secret => None,
            Some(Value::Text(text)) => Some(text),
            Some(Value::Secret(_)) => None,
            Some(Value::Previous) => known.and_then(|known| known.parameters.get(name)),
            None => about.default.as_ref(),
        };
        Some((name.clone(), value?.clone()))
    };
    template.parameters.iter().filter_map(value).collect()
}

/// Returns a problem for each given parameter that the template does not have, or whose stack is left out.
fn unknown(templates: &BTreeMap<TemplateName, Template>, given: &[GivenParameter]) -> Vec<String> {
    let problem = |GivenParameter { template, name, .. }: &GivenParameter| {
        let (of, name_shown) = (template.name(), printable(name));
        let Some(template) = templates.get(template) else {
            return Some(format!(
                "`{of}:{name_shown}` has no effect, because that stack is left out"
            ));
        };
        let known = &template.parameters;
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        let hint = did_you_mean(name, names.iter().copied())
            .unwrap_or_else(|| format!("it has {}", names.join(", ")));
        (!known.contains_key(name))
            .then(|| format!("the {of} template has no parameter `{name_shown}`; {hint}"))
    };
    given.iter().filter_map(problem).collect()
}

#[cfg(test)]
mod tests;
