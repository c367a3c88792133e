use std::time::{Duration, SystemTime};

use aws_config::Region;
use aws_credential_types::Credentials;
use serde_json::{Value, json};
use wiremock::matchers::{body_partial_json, body_string_contains, header};
use wiremock::{Mock, MockServer, ResponseTemplate};

use aws_sdk_glue::types::JobRunState;

use super::*;
use crate::assumed_role::{AssumedRole, Assumption};

const BATCH: &str = "0123456789abcdef0123456789abcdef";

/// Seconds since 1970: the time that searches begin at.
const SINCE: u64 = 1_800_000_000;

/// STS and Glue on one HTTP server.
struct Aws {
    server: MockServer,
    glue: Glue,
}

impl Aws {
    async fn start() -> Self {
        let server = MockServer::start().await;
        let valid = SystemTime::now() + Duration::from_secs(3600);
        let expiration = aws_sdk_sts::primitives::DateTime::from(valid);
        let body = format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId>\
             <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
             <Expiration>{expiration}</Expiration></Credentials></AssumeRoleResult>\
             </AssumeRoleResponse>"
        );
        Mock::given(body_string_contains("Action=AssumeRole"))
            .respond_with(ResponseTemplate::new(200).set_body_raw(body, "text/xml"))
            .mount(&server)
            .await;
        let config = crate::config::loader()
            .endpoint_url(server.uri())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::for_tests())
            .load()
            .await;
        let role = AssumedRole::new(
            aws_sdk_sts::Client::new(&config),
            Assumption {
                role_arn: "arn:aws:iam::222222222222:role/landfall/landfall-starter".to_owned(),
                external_id: None,
                session_name: "landfall-monitor".to_owned(),
                source_identity: None,
            },
        );
        let glue = Glue::new(&config, "222222222222", "eu-west-1", role);
        Self { server, glue }
    }

    async fn answers(&self, operation: &str, asked: Value, status: u16, answer: &Value) {
        let body = ResponseTemplate::new(status)
            .set_body_raw(answer.to_string(), "application/x-amz-json-1.1");
        Mock::given(header("x-amz-target", format!("AWSGlue.{operation}").as_str()))
            .and(body_partial_json(asked))
            .respond_with(body)
            .mount(&self.server)
            .await;
    }

    /// Glue's pages, each of which leads to the next.
    async fn lists(&self, pages: &[Vec<Value>]) {
        for (number, runs) in pages.iter().enumerate().rev() {
            let mut asked = json!({ "JobName": "orders", "MaxResults": 200 });
            if number > 0 {
                asked["NextToken"] = json!(format!("page {number}"));
            }
            let mut answer = json!({ "JobRuns": runs });
            if number + 1 < pages.len() {
                answer["NextToken"] = json!(format!("page {}", number + 1));
            }
            // The first page's request is part of those for the others: those come first.
            self.answers("GetJobRuns", asked, 200, &answer).await;
        }
    }

    async fn found(&self) -> Lookup {
        self.found_within(Duration::from_secs(60)).await
    }

    /// With so much time left.
    async fn found_within(&self, left: Duration) -> Lookup {
        let deadline = SystemTime::now() + left;
        self.glue.find_runs("orders", BATCH, Time(SINCE * 1000), deadline).await
    }

    async fn pages_read(&self) -> usize {
        let requests = self.server.received_requests().await.expect("recorded");
        requests.iter().filter(|request| request.headers.contains_key("x-amz-target")).count()
    }
}

/// A run that was started so many seconds after [`SINCE`], or before it.
fn run(id: &str, after: i64, state: &str, arguments: &Value) -> Value {
    let mut run = json!({ "Id": id, "StartedOn": SINCE as i64 + after, "JobRunState": state });
    if !arguments.is_null() {
        run["Arguments"] = arguments.clone();
    }
    run
}

fn of_batch(batch: &str, epoch: &str) -> Value {
    json!({ "--landfall-batch-id": batch, "--landfall-epoch": epoch })
}

fn others(from: i64, number: i64) -> Vec<Value> {
    (0..number)
        .map(|n| run(&format!("jr_{}", from - n), from - n, "SUCCEEDED", &of_batch("other", "1")))
        .collect()
}

fn complete(found: &[(&str, u32)]) -> Lookup {
    let run = |(id, epoch): &(&str, u32)| FoundRun { epoch: *epoch, run_id: (*id).to_owned() };
    Lookup::Complete(found.iter().map(run).collect())
}

#[tokio::test]
async fn a_run_behind_hundreds_of_newer_ones_is_found_and_older_pages_are_not_read() {
    let aws = Aws::start().await;
    let mut third = others(40, 10);
    third.push(run("jr_ours", 5, "RUNNING", &of_batch(BATCH, "2")));
    third.extend(others(-10, 10));
    let pages = [others(500, 200), others(300, 200), third, others(-100, 200), others(-400, 200)];
    aws.lists(&pages).await;
    assert_eq!(aws.found().await, complete(&[("jr_ours", 2)]));
    assert_eq!(aws.pages_read().await, 4, "the first page of older runs is the last");
}

#[tokio::test]
async fn every_run_of_the_batch_is_found_live_and_finished_alike() {
    let states = ["STARTING", "RUNNING", "STOPPING", "WAITING", "SUCCEEDED", "FAILED", "TIMEOUT"];
    let states = states.into_iter().chain(["ERROR", "STOPPED", "EXPIRED", "A_STATE_TO_COME"]);
    for state in states {
        let aws = Aws::start().await;
        let runs = vec![
            run("jr_2", 60, state, &of_batch(BATCH, "2")),
            run("jr_x", 50, "FAILED", &json!({})),
            run("jr_1", 0, state, &of_batch(BATCH, "1")),
            run("jr_0", -1, state, &of_batch(BATCH, "1")),
        ];
        aws.lists(&[runs]).await;
        assert_eq!(aws.found().await, complete(&[("jr_2", 2), ("jr_1", 1)]), "{state}");
    }
}

#[tokio::test]
async fn a_run_that_does_not_tell_its_arguments_leaves_the_search_unclear() {
    for arguments in [json!(null), json!({ "--landfall-batch-id": BATCH }), of_batch(BATCH, "x")] {
        let aws = Aws::start().await;
        aws.lists(&[vec![run("jr_silent", 10, "RUNNING", &arguments)]]).await;
        let found = aws.found().await;
        assert!(matches!(&found, Lookup::Unclear(why) if why.contains("jr_silent")), "{found:?}");
    }
    // One of before cannot be ours.
    let aws = Aws::start().await;
    aws.lists(&[vec![run("jr_silent", -10, "RUNNING", &json!(null))]]).await;
    assert_eq!(aws.found().await, complete(&[]));
}

#[tokio::test]
async fn a_page_that_fails_leaves_the_search_unclear_whatever_was_found_before() {
    let aws = Aws::start().await;
    let denied = json!({ "__type": "AccessDeniedException", "Message": "no" });
    aws.answers("GetJobRuns", json!({ "NextToken": "page 1" }), 400, &denied).await;
    let first = json!({ "JobRuns": others(500, 200), "NextToken": "page 1" });
    aws.answers("GetJobRuns", json!({}), 200, &first).await;
    let found = aws.found().await;
    let expected = "failed to list the runs of job `orders` in account `222222222222`: \
                    AccessDeniedException: no";
    assert_eq!(found, Lookup::Unclear(expected.to_owned()));
}

#[tokio::test]
async fn a_search_through_more_runs_than_are_read_is_unclear() {
    let aws = Aws::start().await;
    let endless = json!({ "JobRuns": others(500, 2), "NextToken": "more" });
    aws.answers("GetJobRuns", json!({}), 200, &endless).await;
    assert!(matches!(aws.found().await, Lookup::Unclear(_)));
    assert_eq!(aws.pages_read().await, MOST_PAGES);
}

#[tokio::test]
async fn a_search_for_which_no_time_is_left_is_unclear_and_asks_nothing() {
    let aws = Aws::start().await;
    aws.lists(&[vec![run("jr_ours", 5, "RUNNING", &of_batch(BATCH, "1"))]]).await;
    let found = aws.found_within(CALL_TIMEOUT - Duration::from_secs(1)).await;
    assert!(matches!(found, Lookup::Unclear(_)), "{found:?}");
    let requests = aws.server.received_requests().await.expect("recorded");
    assert_eq!(requests.len(), 0, "the role is not assumed either");
    // While there is time, it finds it.
    assert_eq!(aws.found().await, complete(&[("jr_ours", 1)]));
}

#[tokio::test]
async fn a_search_ends_with_the_last_page_that_there_is_time_for() {
    let aws = Aws::start().await;
    let endless = json!({ "JobRuns": others(500, 2), "NextToken": "more" }).to_string();
    let slack = Duration::from_millis(1_000);
    let answer = ResponseTemplate::new(200).set_delay(slack + Duration::from_millis(100));
    Mock::given(header("x-amz-target", "AWSGlue.GetJobRuns"))
        .respond_with(answer.set_body_raw(endless, "application/x-amz-json-1.1"))
        .mount(&aws.server)
        .await;
    let found = aws.found_within(CALL_TIMEOUT + slack).await;
    assert!(matches!(found, Lookup::Unclear(_)), "{found:?}");
    assert_eq!(aws.pages_read().await, 1);
}

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
    let waiting = RunSeen { state: RunState::Waiting, dpu_seconds: None };
    assert_eq!(aws.glue.run("orders", "jr_1").await.expect("seen"), Some(waiting));
    assert_eq!(aws.glue.run("orders", "jr_gone").await.expect("an answer"), None);
    let error = aws.glue.run("orders", "jr_x").await.expect_err("denied");
    assert!(error.to_string().contains("look at a run of job `orders`"), "{error}");
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
