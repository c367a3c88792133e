//! Derives the provisioner's parameters from the routes: the accounts that its roles may trust, the buckets that data
//! lands in, and the jobs.
//!
//! One provisioner serves several stacks, so the plan only adds to the lists of an existing provisioner. A separate
//! step narrows them once everything else has succeeded. Narrowed earlier, the provisioner would refuse what an
//! update removes, and also the update of a rollback.

use std::collections::{BTreeMap, BTreeSet};

use super::{Facts, Known, Side, Step, Value, all_previous, boundary, is_given};
use crate::args::deploy::{GivenParameter, TemplateName};
use crate::cloudformation::template::Template;

/// The parameters that are lists, and what roles may do if one is an asterisk.
const LISTS: [(&str, &str); 6] = [
    ("TrustedAccountIds", "trust any account"),
    ("LandingBucketArns", "read any bucket of the account, and any bucket may get notifications"),
    ("JobBucketArns", "read and write any bucket of the account"),
    ("JobArns", "start any job of the account and region"),
    // These two can't be an asterisk.
    ("PolicyBucketArns", ""),
    ("JobInputBucketArns", ""),
];

/// The [`LISTS`] that older versions didn't have, and that name nothing by default.
const LISTS_OF_NOTHING: [&str; 2] = ["PolicyBucketArns", "JobInputBucketArns"];

/// The number of leading [`LISTS`] that deserve a warning: an asterisk there defeats the provisioner's purpose.
const LISTS_WITH_WARNING: usize = 2;

/// The parameter with the accounts that may own the buckets of `JobBucketArns`. An asterisk admits any.
const OWNERS: &str = "JobBucketAccountIds";
const JOB_BUCKETS: &str = "JobBucketArns";

/// The limit for these variables. All variables of a function may have 4,096 bytes together.
const MAX_VARIABLES_BYTES: usize = 3_500;
const VARIABLES: [&str; 4] =
    ["TrustedAccountIds", "LandingBucketArns", "PolicyBucketArns", "NotificationTargetArns"];

/// CloudFormation's limit for the value of a stack's parameter.
pub(super) const MAX_VALUE_BYTES: usize = 4_096;

/// The value of a parameter that is a list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum List {
    Any,
    These(BTreeSet<String>),
}

impl List {
    /// Reads a parameter of an existing stack. In older versions, an empty or missing parameter allowed anything.
    fn of(known: &Known, name: &str) -> Self {
        match known.parameters.get(name).map(String::as_str) {
            None | Some("") if LISTS_OF_NOTHING.contains(&name) => Self::These(BTreeSet::new()),
            None | Some("" | "*") => Self::Any,
            Some("none") => Self::These(BTreeSet::new()),
            Some(list) => Self::These(list.split(',').map(str::to_owned).collect()),
        }
    }

    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::These(mut all), Self::These(more)) => {
                all.extend(more);
                Self::These(all)
            }
            _ => Self::Any,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::These(none) if none.is_empty() => "none".to_owned(),
            Self::These(all) => all.iter().map(String::as_str).collect::<Vec<_>>().join(","),
        }
    }
}

/// Returns exactly what the routes need from the provisioner in this account. Where jobs write does not follow
/// from the routes.
fn needed(side: Side, facts: &Facts, name: &str) -> Option<List> {
    let these = |all: BTreeSet<String>| Some(List::These(all));
    let arn = |bucket: &String| format!("arn:{}:s3:::{bucket}", facts.partition);
    match (name, side) {
        ("TrustedAccountIds", Side::Data) => {
            let others = facts.other_accounts.iter().cloned();
            these(others.chain([facts.analytics_account.clone()]).collect())
        }
        ("TrustedAccountIds", Side::Analytics) => these([facts.data_account.clone()].into()),
        ("LandingBucketArns", Side::Data) => these(facts.buckets.iter().map(arn).collect()),
        ("PolicyBucketArns", Side::Data) => these(facts.policy_buckets.iter().map(arn).collect()),
        ("JobInputBucketArns", Side::Analytics) => {
            let Facts { prefix, data_account, data_region, .. } = facts;
            let manifests = format!("{prefix}-manifests-{data_account}-{data_region}");
            let manifests = (!facts.input_buckets.is_empty()).then_some(manifests);
            these(facts.input_buckets.iter().chain(&manifests).map(arn).collect())
        }
        ("JobArns", Side::Analytics) => these(facts.job_arns.clone()),
        // Nothing lands in the analytics account, and no job runs in the data account.
        ("LandingBucketArns" | "PolicyBucketArns", Side::Analytics)
        | ("JobBucketArns" | "JobInputBucketArns" | "JobArns", Side::Data) => {
            these(BTreeSet::new())
        }
        _ => None,
    }
}

/// Returns the values that follow from the routes, added to those of an existing stack.
pub fn derived(side: Side, facts: &Facts, known: Option<&Known>) -> BTreeMap<&'static str, String> {
    let value = |(name, _): &(&'static str, &str)| {
        let needed = needed(side, facts, name)?;
        let all = match known {
            Some(known) => List::of(known, name).with(needed),
            None => needed,
        };
        // Job names are long, and each role's own policy limits the jobs that it may start anyway.
        let text = match all.text() {
            long if *name == "JobArns" && long.len() > MAX_VALUE_BYTES => "*".to_owned(),
            text => text,
        };
        Some((*name, text))
    };
    let mut derived: BTreeMap<_, _> = LISTS.iter().filter_map(value).collect();
    // The previous version admitted the buckets that it named, whoever owned them. Only a person can say who does.
    let is_unlimited = |known: &Known| {
        !known.parameters.contains_key(OWNERS) && names_buckets(known.parameters.get(JOB_BUCKETS))
    };
    if known.is_some_and(is_unlimited) {
        derived.insert(OWNERS, "*".to_owned());
    }
    derived
}

/// Returns `true` if a value of `JobBucketArns` is a list of buckets.
fn names_buckets(value: Option<&String>) -> bool {
    value.is_some_and(|value| !matches!(value.as_str(), "" | "*" | "none"))
}

/// Adds the purpose and the warnings to the provisioner's step.
pub fn described(
    step: Step,
    place: &str,
    facts: &Facts,
    given: &[GivenParameter],
    known: Option<&Known>,
    narrow: bool,
) -> Step {
    let exact = derived(step.side, facts, None);
    let is_given = |parameter: &str| is_given(parameter, step.template, given);
    let mut warnings = warnings(place, &step.values, &exact, known, narrow, is_given);
    if step.values.get(OWNERS).is_some_and(|value| value == "*")
        && names_buckets(step.values.get(JOB_BUCKETS))
    {
        warnings.push(format!(
            "{place} has {OWNERS} = *, {}: jobs may read and write the buckets of {JOB_BUCKETS} whoever owns \
             them, even if somebody took the name of one that was deleted. Name the other accounts that own \
             some with --parameter provisioner:{OWNERS}=…, or pass it empty if there are none.",
            why(OWNERS, known, is_given(OWNERS))
        ));
    }
    Step { purpose: purpose(&step.values), warnings, ..step }
}

/// Returns the step that limits a provisioner to what the routes need, if it allows more.
pub fn narrowed(
    step: &Step,
    facts: &Facts,
    templates: &BTreeMap<TemplateName, Template>,
    given: &[GivenParameter],
) -> Option<Step> {
    let template = templates.get(&step.template)?;
    if step.template != TemplateName::Provisioner {
        return None;
    }
    let mut values = step.values.clone();
    let mut parameters = all_previous(template);
    for (name, exact) in derived(step.side, facts, None) {
        let is_its =
            template.parameters.contains_key(name) && !is_given(name, step.template, given);
        if is_its && values.get(name) != Some(&exact) {
            values.insert(name.to_owned(), exact.clone());
            parameters.insert(name.to_owned(), Value::Text(exact));
        }
    }
    let purpose = purpose(&values).map(|purpose| format!("narrowed: {purpose}"));
    let narrower = Step { purpose, parameters, values, warnings: Vec::new(), ..step.clone() };
    let is_given = is_given("BoundaryByAccount", step.template, given);
    let narrower = boundary::fitted(narrower, &step.stack, facts, template, is_given, true).ok()?;
    (narrower.values != step.values).then_some(narrower)
}

/// Returns what the provisioner will serve, in a few words.
fn purpose(values: &BTreeMap<String, String>) -> Option<String> {
    let accounts = match values.get("TrustedAccountIds")?.as_str() {
        "*" => "any account".to_owned(),
        ids => ids.replace(',', ", "),
    };
    let buckets = match values.get("LandingBucketArns")?.as_str() {
        "*" => "any bucket".to_owned(),
        "none" => "no bucket".to_owned(),
        arns => {
            let names: Vec<&str> =
                arns.split(',').map(|arn| arn.rsplit(':').next().unwrap_or(arn)).collect();
            match names.len() {
                1..=3 => names.join(", "),
                many => format!("{many} buckets"),
            }
        }
    };
    Some(format!("its roles may trust {accounts}; data lands in {buckets}"))
}

/// Returns warnings about lists that are an asterisk, with the remedy. `exact` is what the routes need.
fn warnings(
    place: &str,
    values: &BTreeMap<String, String>,
    exact: &BTreeMap<&'static str, String>,
    known: Option<&Known>,
    narrow: bool,
    is_given: impl Fn(&str) -> bool,
) -> Vec<String> {
    // The last step narrows the others, so they need no warning.
    let wide = |name: &str| {
        values.get(name).is_some_and(|value| value == "*") && (!narrow || is_given(name))
    };
    let warning = |(name, admits): &(&str, &str)| {
        let why = why(name, known, is_given(name));
        let exact = exact.get(name).map(String::as_str).unwrap_or_default();
        let remedy = if is_given(name) {
            format!("Your routes need only {exact}.")
        } else {
            format!(
                "`landfall deploy … --narrow-provisioner` sets it to {exact} once all stacks are deployed."
            )
        };
        format!("{place} has {name} = *, {why}: roles may {admits}. {remedy}")
    };
    LISTS.iter().take(LISTS_WITH_WARNING).filter(|(name, _)| wide(name)).map(warning).collect()
}

/// Returns why a parameter is an asterisk.
fn why(name: &str, known: Option<&Known>, is_given: bool) -> &'static str {
    match known.and_then(|known| known.parameters.get(name)) {
        _ if is_given => "as you set it",
        Some(before) if before == "*" => "as before",
        _ => "because the previous version had no limit there",
    }
}

/// Returns a problem if the lists are too long for the function's variables.
pub fn too_long(place: &str, values: &BTreeMap<String, String>) -> Option<String> {
    let bytes: usize = VARIABLES.iter().filter_map(|name| values.get(*name)).map(String::len).sum();
    (bytes > MAX_VARIABLES_BYTES).then(|| {
        format!(
            "{} of {place} have {bytes} bytes together, but the function can take only {MAX_VARIABLES_BYTES}: split \
             the routes between deployments, each with its own --name-prefix, or pass \
             --parameter provisioner:LandingBucketArns=*",
            VARIABLES.join(", ")
        )
    })
}
