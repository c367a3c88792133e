//! Jobs, and how their last runs ended.

use aws_sdk_glue::types::{JobRun, JobRunState};
use landfall_core::chain::observed::{Failure, Job, JobFacts};

use crate::look::{Call, look};
use crate::{Clients, Place, Seen, roles, s3};

const JOB: Call = Call { operation: "GetJob", missing: &["EntityNotFoundException"] };
const RUNS: Call = Call { operation: "GetJobRuns", missing: &["EntityNotFoundException"] };

/// How many of a job's newest runs are looked at.
const NEWEST: i32 = 5;

/// Looks at the job of this name and at its role, and, if that is expected, at its script and its last runs.
pub(crate) async fn job(
    clients: &Clients,
    place: &Place,
    name: &str,
    has_scripts_and_runs: bool,
) -> Job {
    let last_failure =
        async { if has_scripts_and_runs { failure(clients, name).await } else { Ok(None) } };
    let (facts, last_failure) = tokio::join!(facts(clients, place, name), last_failure);
    let (role_trusts_glue, script) = match &facts {
        Ok(facts) => tokio::join!(trusts_glue(clients, &facts.role), async {
            if !has_scripts_and_runs {
                return None;
            }
            let (bucket, key) = facts.script.strip_prefix("s3://")?.split_once('/')?;
            Some(look(s3::exists(clients, bucket, key).await))
        }),
        Err(unseen) => (Err(unseen.clone()), None),
    };
    Job {
        job: look(facts),
        role_trusts_glue: look(role_trusts_glue),
        script,
        network: None,
        last_failure: look(last_failure),
    }
}

async fn facts(clients: &Clients, place: &Place, name: &str) -> Seen<JobFacts> {
    let answer = JOB.seen(clients.glue.get_job().job_name(name).send().await)?;
    let job = answer.job.ok_or_else(|| JOB.failed("the answer has no job"))?;
    let role = job.role.unwrap_or_default();
    let Place { partition, account, .. } = place;
    let max_concurrent_runs = job.execution_property.map_or(1, |it| it.max_concurrent_runs);
    Ok(JobFacts {
        // Glue returns the role in the form in which it was given: its name, with the path, or its ARN.
        role: if role.starts_with("arn:") {
            role
        } else {
            format!("arn:{partition}:iam::{account}:role/{}", role.trim_start_matches('/'))
        },
        script: job.command.and_then(|command| command.script_location).unwrap_or_default(),
        max_retries: u32::try_from(job.max_retries).unwrap_or_default(),
        max_concurrent_runs: u32::try_from(max_concurrent_runs).unwrap_or_default(),
        connections: job.connections.and_then(|it| it.connections).unwrap_or_default(),
    })
}

async fn trusts_glue(clients: &Clients, role: &str) -> Seen<bool> {
    let observed = roles::observed(clients, role).await?;
    let statements = observed.trust.as_ref().map(|trust| &trust.value()["Statement"]);
    let statements = statements.and_then(|it| it.as_array()).into_iter().flatten();
    let names_glue = |principal: &serde_json::Value| match principal {
        serde_json::Value::String(one) => one == "glue.amazonaws.com",
        serde_json::Value::Array(all) => all.iter().any(|one| one == "glue.amazonaws.com"),
        _ => false,
    };
    let mut allowing = statements.filter(|statement| statement["Effect"] == "Allow");
    Ok(allowing.any(|statement| names_glue(&statement["Principal"]["Service"])))
}

async fn failure(clients: &Clients, name: &str) -> Seen<Option<Failure>> {
    let list = clients.glue.get_job_runs().job_name(name).max_results(NEWEST);
    Ok(newest_failure(RUNS.seen(list.send().await)?.job_runs.unwrap_or_default()))
}

/// Finds the last run that failed, and whether any later run succeeded.
fn newest_failure(mut runs: Vec<JobRun>) -> Option<Failure> {
    // Glue lists the newest run first, but promises no order.
    runs.sort_by_key(|run| std::cmp::Reverse(run.started_on));
    let at = runs.iter().position(has_failed)?;
    let mut later = runs[..at].iter();
    let is_newest = !later.any(|run| run.job_run_state == Some(JobRunState::Succeeded));
    let run = runs.swap_remove(at);
    let state = run.job_run_state.map(|state| state.as_str().to_owned());
    Some(Failure {
        run_id: run.id.unwrap_or_default(),
        state: state.unwrap_or_default(),
        message: run.error_message,
        is_newest,
    })
}

fn has_failed(run: &JobRun) -> bool {
    use JobRunState::{Error, Expired, Failed, Timeout};
    matches!(run.job_run_state, Some(Error | Expired | Failed | Timeout))
}

#[cfg(test)]
mod tests {
    use aws_sdk_glue::primitives::DateTime;

    use super::*;

    fn run(id: &str, started_secs: i64, state: JobRunState) -> JobRun {
        let run = JobRun::builder().id(id).started_on(DateTime::from_secs(started_secs));
        run.job_run_state(state).error_message("boom").build()
    }

    #[test]
    fn the_last_failure_is_told_with_whether_a_later_run_succeeded() {
        let failed = |runs: Vec<JobRun>| newest_failure(runs).map(|it| (it.run_id, it.is_newest));
        let old = || run("old", 1, JobRunState::Failed);
        let new = || run("new", 3, JobRunState::Timeout);
        assert_eq!(failed(vec![old(), new()]), Some(("new".to_owned(), true)));
        let running = run("running", 4, JobRunState::Running);
        assert_eq!(failed(vec![new(), running]), Some(("new".to_owned(), true)));
        let succeeded = || run("good", 2, JobRunState::Succeeded);
        assert_eq!(failed(vec![succeeded(), old()]), Some(("old".to_owned(), false)));
        let stopped = run("by hand", 5, JobRunState::Stopped);
        assert_eq!(failed(vec![succeeded(), stopped]), None);
    }
}
