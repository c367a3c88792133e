//! Roles, by the calls that the provisioner observes them with.

use landfall_core::chain::observed::{Named, Role};
use landfall_core::roles::{Kind, Observed};
use landfall_core::secret::Secret;
use landfall_provisioning::iam::{self, IamError};

use crate::look::{Call, Unseen, named};
use crate::requested::Requested;
use crate::{Clients, Seen, drift};

/// Looks at the role of this ARN, and compares it with what the stack asks for. `presented` is the external ID that
/// callers present to it, if that is known.
const ROLE: Call = Call { operation: "GetRole", missing: &["NoSuchEntity"] };

pub(crate) async fn role(
    clients: &Clients,
    arn: &str,
    kind: Kind,
    requested: &Seen<Requested>,
    presented: Option<&Secret>,
) -> Named<Role> {
    let seen = async {
        let observed = observed(clients, arn).await?;
        let requested = requested.as_ref().map_err(Clone::clone)?;
        let differences = drift::of_role(clients, requested, kind, presented, &observed).await;
        Ok(Role {
            differences: differences.map_err(Unseen::Failed)?,
            brakes: observed.brakes().into_iter().map(str::to_owned).collect(),
            keys: observed.keys(),
            role_id: observed.role_id,
            trust: observed.trust,
        })
    };
    named(arn, seen.await)
}

/// Looks at the role of this ARN.
/// Returns the ARN of a role.
pub(crate) async fn arn(clients: &Clients, name: &str) -> Seen<String> {
    let answer = ROLE.seen(clients.iam.get_role().role_name(name).send().await)?;
    answer.role.map(|role| role.arn).ok_or_else(|| ROLE.failed("the answer has no role"))
}

pub(crate) async fn observed(clients: &Clients, arn: &str) -> Seen<Observed> {
    let name = arn.rsplit('/').next().unwrap_or(arn);
    match iam::observe(&clients.iam, name).await {
        Ok(found) => found.ok_or(Unseen::Missing),
        Err(error) => Err(unseen(&error)),
    }
}

fn unseen(error: &IamError) -> Unseen {
    let IamError::Call { operation, source, .. } = error else {
        return Unseen::Failed(landfall_aws::sdk_error::chain(error));
    };
    Call { operation, missing: &["NoSuchEntity"] }.unseen(source, None)
}
