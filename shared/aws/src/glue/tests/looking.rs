//! Reading one run, and a job.

use aws_sdk_glue::types::{JobRun, JobRunState};
use landfall_core::batch::RunState;

use super::*;
use crate::glue::runs::RunSeen;

#[tokio::test]
async fn a_run_that_glue_does_not_know_is_told_from_one_that_cannot_be_looked_at() {
    let aws = Aws::start().await;
    let failure = |code: &str| json!({ "__type": code, "Message": "as asked" });
    for (run_id, code) in
        [("jr_gone", "EntityNotFoundException"), ("jr_x", "AccessDeniedException")]
    {
        aws.answers("GetJobRun", json!({ "RunId": run_id }), 400, &failure(code)).await;
    }
    let waiting = json!({ "JobRun": { "Id": "jr_1", "JobRunState": "WAITING" } });
    aws.answers("GetJobRun", json!({ "RunId": "jr_1" }), 200, &waiting).await;
    let waiting = RunSeen { observed: RunState::Waiting.into(), dpu_seconds: None };
    assert_eq!(aws.glue.run("orders", "jr_1").await.expect("seen"), Some(waiting));
    assert_eq!(aws.glue.run("orders", "jr_gone").await.expect("an answer"), None);
    let error = aws.glue.run("orders", "jr_x").await.expect_err("denied");
    assert!(error.to_string().contains("look at a run of job `orders`"), "{error}");
}

#[tokio::test]
async fn a_run_that_failed_is_seen_with_glues_message() {
    let aws = Aws::start().await;
    let message = "AnalysisException: Path does not exist";
    let run = json!({ "Id": "jr_1", "JobRunState": "FAILED", "ErrorMessage": message });
    aws.answers("GetJobRun", json!({ "RunId": "jr_1" }), 200, &json!({ "JobRun": run })).await;
    let seen = aws.glue.run("orders", "jr_1").await.expect("seen").expect("it is there");
    assert_eq!(
        (seen.observed.state, seen.observed.error.as_deref()),
        (RunState::Failed, Some(message))
    );
}

#[tokio::test]
async fn retries_of_glues_own_are_seen() {
    let aws = Aws::start().await;
    let job = json!({ "Job": { "Name": "orders", "MaxRetries": 2 } });
    aws.answers("GetJob", json!({ "JobName": "orders" }), 200, &job).await;
    assert_eq!(aws.glue.max_retries("orders").await.expect("seen"), Some(2));
}

#[test]
fn a_run_that_ended_is_billed_by_glues_own_figure_else_by_time_and_capacity_for_a_minute_at_least()
{
    let run = |state: JobRunState, seconds: i32| {
        JobRun::builder().job_run_state(state).execution_time(seconds).max_capacity(2.0)
    };
    let billed = |run: aws_sdk_glue::types::builders::JobRunBuilder| {
        RunSeen::of(&run.build()).expect("a state").dpu_seconds
    };
    assert_eq!(billed(run(JobRunState::Succeeded, 90)), Some(180.0));
    assert_eq!(billed(run(JobRunState::Failed, 5)), Some(120.0));
    assert_eq!(billed(run(JobRunState::Succeeded, 90).dpu_seconds(33.5)), Some(33.5));
    assert_eq!(billed(run(JobRunState::Running, 90)), None);
}
