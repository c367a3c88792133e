//! What the organization keeps from whoever looks, as IAM's policy simulation says.
//!
//! The simulation doesn't evaluate policies with conditions on global keys, so what it says is a hint. A look that was denied is
//! worth the question: AWS doesn't always say who denied it.

use std::collections::BTreeSet;

use aws_sdk_iam::types::EvaluationResult;

use crate::look::{Call, Unseen};
use crate::{Clients, Seen, roles};

const SIMULATE: Call = Call {
    operation: "SimulatePrincipalPolicy",
    missing: &["NoSuchEntity", "NoSuchEntityException"],
};

/// Returns those of these permissions that the organization doesn't allow the caller. `caller` is the ARN that STS says it has.
///
/// # Errors
/// Fails if the caller may not ask, or is neither a user nor a role, which the simulation doesn't know.
pub async fn kept(
    clients: &Clients,
    caller: &str,
    permissions: &BTreeSet<&str>,
) -> Seen<BTreeSet<String>> {
    let principal = principal(clients, caller).await?;
    let simulate = clients.iam.simulate_principal_policy().policy_source_arn(principal);
    let simulate =
        simulate.set_action_names(Some(permissions.iter().map(|it| (*it).to_owned()).collect()));
    let mut results = simulate.into_paginator().items().send();
    let mut kept = BTreeSet::new();
    while let Some(result) = results.next().await {
        let EvaluationResult { eval_action_name, organizations_decision_detail, .. } =
            SIMULATE.seen(result)?;
        // Without an organization, there is no such detail.
        if organizations_decision_detail.is_some_and(|it| !it.allowed_by_organizations) {
            kept.insert(eval_action_name);
        }
    }
    Ok(kept)
}

/// Returns the ARN of the user or of the role that calls. A session's ARN has the role's name, but not its path.
async fn principal(clients: &Clients, caller: &str) -> Seen<String> {
    let resource = caller.splitn(6, ':').nth(5).unwrap_or_default();
    match resource.split('/').collect::<Vec<_>>()[..] {
        ["user", ..] => Ok(caller.to_owned()),
        ["assumed-role", role, ..] => roles::arn(clients, role).await,
        _ => Err(Unseen::Failed(format!("`{caller}` is neither a user nor a role"))),
    }
}
