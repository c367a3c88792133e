//! The analytics account's half of the chain.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use futures_util::stream;
use landfall_core::chain::observed::{AnalyticsAccount, Job};
use landfall_core::roles::Kind;
use landfall_core::secret::Secret;

use crate::cloudformation::Deployed;
use crate::data::status;
use crate::look::named;
use crate::requested::Requested;
use crate::{AT_ONCE, Clients, Place, Seen, eventbridge, glue, roles};

/// What to look for in the analytics account.
#[derive(Debug)]
pub struct Expected {
    /// The account and the region of the stack.
    pub place: Place,
    /// The prefix of the names of what the stack makes.
    pub name_prefix: String,
    /// The name of the stack.
    pub stack: String,
    /// The jobs of the routes.
    pub jobs: BTreeSet<String>,
    /// The ARN of the starter role.
    pub starter: String,
    /// The ARN of the job role that the stack makes.
    pub job_role: String,
    /// Whether to look at the jobs' scripts and last runs too.
    pub has_scripts_and_runs: bool,
}

/// Looks at the analytics account's half. `requested` is what its stack asks for. `external_id` is the one that the
/// trigger presents to the starter role, if that is known.
pub async fn inspect(
    clients: &Clients,
    expected: &Expected,
    stack: &Seen<Deployed>,
    requested: &Seen<Requested>,
    external_id: Option<&Secret>,
) -> AnalyticsAccount {
    let Expected { place, name_prefix, starter, job_role, .. } = expected;
    let (starter, job_role, jobs, rule_of_runs) = tokio::join!(
        roles::role(clients, starter, Kind::Starter, requested, external_id),
        roles::role(clients, job_role, Kind::Job, requested, None),
        jobs(clients, expected),
        eventbridge::rule(&clients.events, format!("{name_prefix}-job-state")),
    );
    AnalyticsAccount {
        analysis: None,
        iam_events: None,
        account: place.account.clone(),
        kept_by_organization: BTreeSet::new(),
        region: place.region.clone(),
        stack: named(&expected.stack, status(stack)),
        starter,
        job_role: Some(job_role),
        jobs,
        rule_of_runs,
    }
}

async fn jobs(clients: &Clients, expected: &Expected) -> BTreeMap<String, Job> {
    let Expected { place, has_scripts_and_runs, .. } = expected;
    let of = |name: &String| {
        let name = name.clone();
        async move {
            let job = glue::job(clients, place, &name, *has_scripts_and_runs).await;
            (name, job)
        }
    };
    stream::iter(expected.jobs.iter().map(of)).buffer_unordered(AT_ONCE).collect().await
}
