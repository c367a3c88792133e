//! What a provisioner is told of its account: whose roles its roles may trust, which buckets data lands in,
//! which jobs there are. All of it follows from the routes.
//!
//! One provisioner serves several stacks, so what follows is added to what stands. It is narrowed by a step of
//! its own once everything else has succeeded: narrowed earlier, it would refuse what an update takes away, and
//! the update that a rollback makes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Facts, Known, Side, Step, Value, all_previous, boundary, is_given};
use crate::args::deploy::{GivenParameter, TemplateName};
use crate::cloudformation::template::Template;

/// The parameters that are lists, and what an asterisk in each admits.
const LISTS: [(&str, &str); 4] = [
    ("TrustedAccountIds", "trust any account"),
    ("LandingBucketArns", "read any bucket of the account, and announcements be added to any"),
    ("JobBucketArns", "read and write any bucket of the account"),
    ("JobArns", "start any job of the account and region"),
];

/// Those whose asterisk gives up what the provisioner is there for.
const TOLD: usize = 2;

/// A function's variables have 4,096 bytes together; these are among them, and leave room for the others.
const MAX_VARIABLES_BYTES: usize = 3_500;
const VARIABLES: [&str; 3] = ["TrustedAccountIds", "LandingBucketArns", "NotificationTargetArns"];

/// A parameter of a stack has at most so many bytes.
const MAX_VALUE_BYTES: usize = 4_096;

/// The value of a parameter that is a list.
#[derive(Debug, Clone, PartialEq, Eq)]
enum List {
    Any,
    These(BTreeSet<String>),
}

impl List {
    /// Before there was an asterisk, an empty value admitted any, and so did a parameter that was not there.
    fn of(known: &Known, name: &str) -> Self {
        match known.parameters.get(name).map(String::as_str) {
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

/// What the routes need of the provisioner in this account, and nothing more. Where jobs write does not follow
/// from routes.
fn needed(side: Side, facts: &Facts, name: &str) -> Option<List> {
    let these = |all: BTreeSet<String>| Some(List::These(all));
    match (name, side) {
        ("TrustedAccountIds", Side::Data) => {
            let others = facts.other_accounts.iter().cloned();
            these(others.chain([facts.analytics_account.clone()]).collect())
        }
        ("TrustedAccountIds", Side::Analytics) => these([facts.data_account.clone()].into()),
        ("LandingBucketArns", Side::Data) => {
            let arn = |bucket: &String| format!("arn:{}:s3:::{bucket}", facts.partition);
            these(facts.buckets.iter().map(arn).collect())
        }
        ("JobArns", Side::Analytics) => these(facts.job_arns.clone()),
        // Nothing lands in the analytics account, and no job runs in the data account.
        ("LandingBucketArns", Side::Analytics) | ("JobBucketArns" | "JobArns", Side::Data) => {
            these(BTreeSet::new())
        }
        _ => None,
    }
}

/// The values that follow from the routes, added to what a stack has that stands.
pub fn derived(side: Side, facts: &Facts, known: Option<&Known>) -> BTreeMap<&'static str, String> {
    let value = |(name, _): &(&'static str, &str)| {
        let needed = needed(side, facts, name)?;
        let all = match known {
            Some(known) => List::of(known, name).with(needed),
            None => needed,
        };
        // Names of jobs are long; which of them a role may start, its own policy says anyway.
        let text = match all.text() {
            long if *name == "JobArns" && long.len() > MAX_VALUE_BYTES => "*".to_owned(),
            text => text,
        };
        Some((*name, text))
    };
    LISTS.iter().filter_map(value).collect()
}

/// The provisioner's step, with its purpose and its warnings.
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
    let warnings = warnings(place, &step.values, &exact, known, narrow, is_given);
    Step { purpose: purpose(&step.values), warnings, ..step }
}

/// The step that holds a provisioner to what the routes need, if it is told more.
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
    let narrower = Step {
        side: step.side,
        template: step.template,
        stack: step.stack.clone(),
        purpose: purpose(&values).map(|purpose| format!("narrowed: {purpose}")),
        parameters,
        values,
        warnings: Vec::new(),
    };
    let is_given = is_given("BoundaryByAccount", step.template, given);
    let narrower = boundary::fitted(narrower, &step.stack, facts, template, is_given, true).ok()?;
    (narrower.values != step.values).then_some(narrower)
}

/// What the provisioner will serve, in a few words.
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

/// What is admitted to anybody, and how to end that. `exact` is what the routes need.
fn warnings(
    place: &str,
    values: &BTreeMap<String, String>,
    exact: &BTreeMap<&'static str, String>,
    known: Option<&Known>,
    narrow: bool,
    is_given: impl Fn(&str) -> bool,
) -> Vec<String> {
    // What the last step takes away, nobody has to think of.
    let wide = |name: &str| {
        values.get(name).is_some_and(|value| value == "*") && (!narrow || is_given(name))
    };
    let warning = |(name, admits): &(&str, &str)| {
        let why = match known.and_then(|known| known.parameters.get(*name)) {
            _ if is_given(name) => "as you asked for",
            Some(before) if before == "*" => "as before",
            _ => "since the version before had no limit there",
        };
        let exact = exact.get(name).map(String::as_str).unwrap_or_default();
        let remedy = if is_given(name) {
            format!("Your routes need {exact}.")
        } else {
            format!(
                "`landfall deploy … --narrow-provisioner` sets it to {exact} once all stacks are deployed."
            )
        };
        format!("{place} has {name} = *, {why}: roles may {admits}. {remedy}")
    };
    LISTS.iter().take(TOLD).filter(|(name, _)| wide(name)).map(warning).collect()
}

/// What is longer than the function can be told.
pub fn too_long(place: &str, values: &BTreeMap<String, String>) -> Option<String> {
    let bytes: usize = VARIABLES.iter().filter_map(|name| values.get(*name)).map(String::len).sum();
    (bytes > MAX_VARIABLES_BYTES).then(|| {
        format!(
            "{} of {place} have {bytes} bytes together, and the function takes {MAX_VARIABLES_BYTES}: split the \
             routes between deployments with a --name-prefix of their own, or give \
             --parameter provisioner:LandingBucketArns=*",
            VARIABLES.join(", ")
        )
    })
}
