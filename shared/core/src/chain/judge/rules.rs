//! Judges the rules of EventBridge.

use serde_json::Value;

use super::{Gap, Place, distinct, listed, look, stacks};
use crate::chain::check::{Check, Status};
use crate::chain::link::Link;
use crate::chain::observed::{DataAccount, Forwarding, Named, RouteFacts, Rule};
use crate::chain::problems::Fault;
use crate::key_policy::texts;

/// Judges the rule that sends uploads to the queue of arrivals.
pub(super) fn of_uploads(
    place: &Place<'_>,
    rule: &Named<Rule>,
    queue: &str,
    buckets: &[&str],
) -> Check {
    let link = Link::UploadRule;
    let seen = match look(&rule.look) {
        Ok(seen) => seen,
        Err(gap) => return place.gap(link, &rule.name, &gap, Fault::RuleMissing),
    };
    if !seen.is_enabled {
        return place.broken(link, &rule.name, "it is off", Fault::RuleOfUploadsDisabled);
    }
    if !seen.targets.iter().any(|target| target == queue) {
        return without_target(place, link, Status::Broken, rule, seen, queue);
    }
    let lacks = lacking(&seen.pattern, &["detail", "bucket", "name"], buckets);
    if !lacks.is_empty() {
        let evidence = format!("its pattern doesn't name {}", listed(lacks));
        return place.broken(link, &rule.name, evidence, Fault::RuleLacksBucket);
    }
    place.ok(link, &rule.name, format!("it is on and sends to `{queue}`"))
}

/// Judges the rule that reports ended runs. Without it, the monitor asks Glue, so nothing is broken.
pub(super) fn of_runs(
    place: &Place<'_>,
    rule: &Named<Rule>,
    data: Option<&DataAccount>,
    routes: &[RouteFacts],
) -> Check {
    let link = Link::RuleOfRuns;
    let seen = match look(&rule.look) {
        Ok(seen) => seen,
        Err(gap) => {
            let check = place.gap(link, &rule.name, &gap, Fault::RuleMissing);
            return match check.status {
                Status::Broken => Check { status: Status::Warn, ..check },
                _ => check,
            };
        }
    };
    if !seen.is_enabled {
        return place.warn(link, &rule.name, "it is off", Fault::RuleOfRunsDisabled);
    }
    // In another region, the target is a bus of the data account instead of the queue.
    let account = |arn: &str| arn.split(':').nth(4).unwrap_or_default().to_owned();
    let is_target = |arn: &String| data.is_none_or(|data| account(arn) == data.account);
    if !seen.targets.iter().any(is_target) {
        let target = data.map_or("the data account", |data| data.runs.name.as_str());
        return without_target(place, link, Status::Warn, rule, seen, target);
    }
    let jobs = distinct(routes.iter().filter_map(|route| route.job.as_deref()));
    let lacks = lacking(&seen.pattern, &["detail", "jobName"], &jobs);
    if !lacks.is_empty() {
        let evidence = format!("its pattern doesn't name {}", listed(lacks));
        return place.warn(link, &rule.name, evidence, Fault::RuleLacksJob);
    }
    place.ok(link, &rule.name, format!("it is on and sends to {}", targets(seen)))
}

/// Judges the rule that runs the monitor each minute.
pub(super) fn schedule(place: &Place<'_>, rule: &Named<Rule>, monitor: &str) -> Check {
    let link = Link::Schedule;
    let seen = match look(&rule.look) {
        Ok(seen) => seen,
        Err(gap) => return place.gap(link, &rule.name, &gap, Fault::RuleMissing),
    };
    if !seen.is_enabled {
        return place.broken(link, &rule.name, "it is off", Fault::ScheduleDisabled);
    }
    // The ARN can end with an alias or a version.
    let is_target = |arn: &String| arn.split(':').nth(6) == Some(monitor);
    if !seen.targets.iter().any(is_target) {
        return without_target(place, link, Status::Broken, rule, seen, monitor);
    }
    place.ok(link, &rule.name, format!("it is on and runs `{monitor}`"))
}

/// Judges what forwards IAM's events to the auditor. Without it, the auditor learns of a changed role with its next audit, so
/// nothing is broken.
pub(super) fn of_iam(place: &Place<'_>, link: Link, forwarding: &Forwarding) -> Check {
    let Forwarding { region, bus, stack, rule } = forwarding;
    if place.is_stack_missing {
        return place.skipped_after(link, &stack.name, place.stack());
    }
    let wrong = |resource: &str, evidence: String, fault| {
        let more = [("iam_region", region.as_str()), ("events_stack", stack.name.as_str())];
        place.wrong(link, Status::Warn, resource, evidence, fault, &more)
    };
    if stacks::is_missing(&stack.look) {
        let evidence = format!("there is no such stack in {region}");
        return wrong(&stack.name, evidence, Fault::IamEventsNotForwarded);
    }
    let seen = match look(&rule.look) {
        Ok(seen) => seen,
        Err(Gap::Missing) => {
            let evidence = format!("there is no such rule in {region}");
            return wrong(&rule.name, evidence, Fault::IamEventsRuleChanged);
        }
        Err(gap) => return place.gap_after(link, &rule.name, &gap, link),
    };
    if !seen.is_enabled {
        return wrong(&rule.name, "it is off".to_owned(), Fault::IamEventsRuleDisabled);
    }
    if !seen.targets.contains(bus) {
        let evidence = format!("it sends to {}", targets(seen));
        return wrong(&rule.name, evidence, Fault::IamEventsRuleChanged);
    }
    place.ok(link, &rule.name, format!("it is on in {region} and sends to `{bus}`"))
}

fn without_target(
    place: &Place<'_>,
    link: Link,
    status: Status,
    rule: &Named<Rule>,
    seen: &Rule,
    target: &str,
) -> Check {
    let evidence = format!("it sends to {}", targets(seen));
    let target = format!("`{target}`");
    place.wrong(link, status, &rule.name, evidence, Fault::RuleTargetGone, &[("target", &target)])
}

fn targets(rule: &Rule) -> String {
    if rule.targets.is_empty() {
        return "nothing".to_owned();
    }
    listed(rule.targets.iter().map(String::as_str))
}

/// Returns the names that the pattern doesn't admit at `path`. A pattern that says nothing there admits all names, and one
/// that has anything but names in its list isn't judged.
fn lacking<'a>(pattern: &Option<Value>, path: &[&str], names: &[&'a str]) -> Vec<&'a str> {
    let at =
        pattern.as_ref().and_then(|pattern| path.iter().try_fold(pattern, |at, key| at.get(key)));
    let Some(list) =
        at.filter(|list| list.as_array().is_some_and(|list| list.iter().all(Value::is_string)))
    else {
        return Vec::new();
    };
    names.iter().copied().filter(|name| !texts(list).any(|text| text == *name)).collect()
}
