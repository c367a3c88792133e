//! Rules on the default bus.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::RuleState;
use landfall_core::chain::observed::{Named, Rule};

use crate::Seen;
use crate::look::{Call, named};

const DESCRIBE: Call = Call { operation: "DescribeRule", missing: &["ResourceNotFoundException"] };
const TARGETS: Call =
    Call { operation: "ListTargetsByRule", missing: &["ResourceNotFoundException"] };

/// Looks at the rule of this name, and at its targets.
pub(crate) async fn rule(events: &Client, name: String) -> Named<Rule> {
    let seen = seen(events, &name).await;
    named(name, seen)
}

async fn seen(events: &Client, name: &str) -> Seen<Rule> {
    let rule = DESCRIBE.seen(events.describe_rule().name(name).send().await)?;
    let targets = events.list_targets_by_rule().rule(name).send().await;
    let targets = TARGETS.seen(targets)?.targets.unwrap_or_default();
    Ok(Rule {
        is_enabled: rule.state != Some(RuleState::Disabled),
        targets: targets.into_iter().map(|target| target.arn).collect(),
        pattern: rule.event_pattern.and_then(|pattern| serde_json::from_str(&pattern).ok()),
    })
}
