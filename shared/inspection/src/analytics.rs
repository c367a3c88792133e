//! The analytics account's half of the chain.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use futures_util::stream;
use landfall_core::chain::drift::Difference;
use landfall_core::chain::observed::{AnalyticsAccount, Job};
use landfall_core::roles::{Kind, Observed};

use crate::cloudformation::Deployed;
use crate::data::status;
use crate::look::named;
use crate::{AT_ONCE, Clients, Place, Seen, eventbridge, glue, roles};

/// What to look for in the analytics account.
#[derive(Debug)]
pub struct Expected {
    /// The account and the region of the stack.
    pub place: Place,
    /// The prefix of the names of what the stack makes.
    pub name_prefix: String,
    /// The jobs of the routes.
    pub jobs: BTreeSet<String>,
    /// The ARN of the starter role.
    pub starter: String,
    /// The ARN of the job role that the stack makes.
    pub job_role: String,
}

/// Looks at the analytics account's half. `compare` says how a role differs from the desired one, or why that isn't
/// known.
pub async fn inspect(
    clients: &Clients,
    expected: &Expected,
    stack: &Seen<Deployed>,
    compare: impl Fn(Kind, &Observed) -> Result<Vec<Difference>, String>,
) -> AnalyticsAccount {
    let Expected { place, name_prefix, starter, job_role, .. } = expected;
    let starter_differences = async |observed: &Observed| compare(Kind::Starter, observed);
    let job_differences = async |observed: &Observed| compare(Kind::Job, observed);
    let (starter, job_role, jobs, rule_of_runs) = tokio::join!(
        roles::role(clients, starter, starter_differences),
        roles::role(clients, job_role, job_differences),
        jobs(clients, expected),
        eventbridge::rule(clients, format!("{name_prefix}-job-state")),
    );
    AnalyticsAccount {
        account: place.account.clone(),
        region: place.region.clone(),
        stack: named(name_prefix, status(stack)),
        starter,
        job_role: Some(job_role),
        jobs,
        rule_of_runs,
    }
}

async fn jobs(clients: &Clients, expected: &Expected) -> BTreeMap<String, Job> {
    let of = |name: &String| {
        let name = name.clone();
        async move {
            let job = glue::job(clients, &expected.place, &name).await;
            (name, job)
        }
    };
    stream::iter(expected.jobs.iter().map(of)).buffer_unordered(AT_ONCE).collect().await
}
