//! Rules on the default bus.

use aws_sdk_eventbridge::types::RuleState;
use landfall_core::chain::observed::{Named, Rule};

use crate::look::{Call, named};
use crate::{Clients, Seen};

const DESCRIBE: Call = Call { operation: "DescribeRule", missing: &["ResourceNotFoundException"] };
const TARGETS: Call =
    Call { operation: "ListTargetsByRule", missing: &["ResourceNotFoundException"] };

/// Looks at the rule of this name, and at its targets.
pub(crate) async fn rule(clients: &Clients, name: String) -> Named<Rule> {
    let seen = seen(clients, &name).await;
    named(name, seen)
}

async fn seen(clients: &Clients, name: &str) -> Seen<Rule> {
    let rule = DESCRIBE.seen(clients.events.describe_rule().name(name).send().await)?;
    let targets = clients.events.list_targets_by_rule().rule(name).send().await;
    let targets = TARGETS.seen(targets)?.targets.unwrap_or_default();
    Ok(Rule {
        is_enabled: rule.state != Some(RuleState::Disabled),
        targets: targets.into_iter().map(|target| target.arn).collect(),
        pattern: rule.event_pattern.and_then(|pattern| serde_json::from_str(&pattern).ok()),
    })
}
