//! Derives the parameters of an auditor from the routes and from the other stacks of its account.
//!
//! An auditor follows those stacks: if their path, boundary or topic changes, so does the auditor's. A value that somebody
//! gave the auditor itself stays.

use std::collections::{BTreeMap, BTreeSet};

use super::provisioner::MAX_VALUE_BYTES;
use super::{Facts, KnownStacks, Side, Step, stack_name};
use crate::args::deploy::TemplateName;

/// The parameters that an auditor has in common with the provisioner of its account.
const OF_THE_PROVISIONER: [&str; 4] =
    ["RolePath", "FunctionBoundaryArn", "CodeSigningConfigArn", "LogRetentionDays"];

/// The values of a stack's parameters.
type Values = BTreeMap<String, String>;

/// Returns the values that follow from the routes and from `steps`, which are those of the other stacks.
pub fn derived(
    side: Side,
    facts: &Facts,
    known: &KnownStacks,
    steps: &[Step],
) -> BTreeMap<&'static str, String> {
    let word = match side {
        Side::Data => "data",
        Side::Analytics => "analytics",
    };
    let audited = match side {
        Side::Data => TemplateName::Data,
        Side::Analytics => TemplateName::Analytics,
    };
    let (analytics_artifacts, prefix, _) = &facts.artifacts;
    let artifacts = match side {
        Side::Data => &facts.data_artifacts,
        Side::Analytics => analytics_artifacts,
    };
    let mut derived = BTreeMap::from([
        ("StackName", stack_name(&facts.prefix, audited)),
        ("Side", word.to_owned()),
        ("ArtifactBucketName", artifacts.clone()),
        ("ArtifactPrefix", prefix.clone()),
        ("ForwardsIamEvents", facts.forwards_iam_events.to_string()),
    ]);
    let arn = |bucket: &String| format!("arn:{}:s3:::{bucket}", facts.partition);
    match side {
        Side::Data => {
            derived.insert("LandingBucketArns", listed(facts.buckets.iter().map(arn).collect()))
        }
        Side::Analytics => derived.insert("JobArns", listed(facts.job_arns.clone())),
    };
    let own = known.get(&(side, TemplateName::Auditor)).map(|known| &known.parameters);
    let mut follow = |parameter, of, value: &dyn Fn(&Values) -> Option<String>| {
        let is_it = |step: &&Step| step.side == side && step.template == of;
        let now = steps.iter().find(is_it).and_then(|step| value(&step.values));
        let before = known.get(&(side, of)).and_then(|known| value(&known.parameters));
        let own = own.and_then(|own| own.get(parameter));
        // What differs from the other stack was given to the auditor itself.
        if let Some(now) = now
            && (own.is_none() || own == before.as_ref())
        {
            derived.insert(parameter, now);
        }
    };
    for parameter in OF_THE_PROVISIONER {
        follow(parameter, TemplateName::Provisioner, &|values| values.get(parameter).cloned());
    }
    if side == Side::Data {
        follow("AlarmTopicArn", TemplateName::Data, &|values| topic(facts, values));
        follow("EncryptionKeyArn", TemplateName::Data, &|values| {
            let key = values.get("EncryptionKey")?;
            // The ARN of a key that the stack creates isn't known before.
            Some(if key.starts_with("arn:") { key.clone() } else { String::new() })
        });
    }
    derived
}

/// Returns the topic that the data account's stack sends its alarms to.
fn topic(facts: &Facts, values: &Values) -> Option<String> {
    let value = |name: &str| values.get(name).filter(|value| !value.is_empty());
    let Facts { partition, data_region, data_account, prefix, .. } = facts;
    let made = format!("arn:{partition}:sns:{data_region}:{data_account}:{prefix}-alarms");
    match (value("AlarmTopicArn"), value("AlarmEmail")) {
        (Some(given), _) => Some(given.clone()),
        (None, Some(_)) => Some(made),
        (None, None) => values.contains_key("AlarmTopicArn").then(String::new),
    }
}

/// Returns a list for a parameter, or an asterisk if it doesn't fit. An auditor only looks.
fn listed(arns: BTreeSet<String>) -> String {
    let list = arns.into_iter().collect::<Vec<_>>().join(",");
    if list.len() > MAX_VALUE_BYTES { "*".to_owned() } else { list }
}
