//! Roles, by the calls that the provisioner observes them with.

use landfall_core::chain::drift::Difference;
use landfall_core::chain::observed::{Named, Role};
use landfall_core::roles::Observed;
use landfall_provisioning::iam::{self, IamError};

use crate::look::{Call, Unseen, named};
use crate::{Clients, Seen};

/// Looks at the role of this ARN. `compare` says how it differs from the desired one, or why that isn't known.
pub(crate) async fn role(
    clients: &Clients,
    arn: &str,
    compare: impl AsyncFnOnce(&Observed) -> Result<Vec<Difference>, String>,
) -> Named<Role> {
    let seen = async {
        let observed = observed(clients, arn).await?;
        let differences = compare(&observed).await.map_err(Unseen::Failed)?;
        Ok(Role {
            differences,
            brakes: observed.brakes().into_iter().map(str::to_owned).collect(),
            role_id: observed.role_id,
            trust: observed.trust,
        })
    };
    named(arn, seen.await)
}

/// Looks at the role of this ARN.
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
