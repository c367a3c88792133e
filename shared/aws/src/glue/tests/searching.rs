//! Searches, and the walks that they share.

use landfall_core::batch::{FoundRun, Lookup};
use landfall_core::moment::Time;

use super::*;
use crate::config::CALL_TIMEOUT;
use crate::glue::search::MAX_PAGES;

impl Aws {
    async fn found(&self) -> Lookup {
        self.found_within(Duration::from_secs(60)).await
    }

    /// Searches with this much time left.
    async fn found_within(&self, left: Duration) -> Lookup {
        self.searched(BATCH, Time(SINCE * 1000), now(), left).await.lookup
    }

    async fn searched(
        &self,
        batch: &str,
        since: Time,
        not_before: Time,
        left: Duration,
    ) -> Searched {
        let deadline = SystemTime::now() + left;
        self.glue.find_runs("orders", batch, (since, not_before), deadline).await
    }
}

/// A run that was started this many seconds after [`SINCE`], or before it.
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
    // A run from before cannot be ours.
    let aws = Aws::start().await;
    aws.lists(&[vec![run("jr_silent", -10, "RUNNING", &json!(null))]]).await;
    assert_eq!(aws.found().await, complete(&[]));
}

#[tokio::test]
async fn a_page_that_fails_leaves_the_search_without_an_answer_whatever_was_found_before() {
    let aws = Aws::start().await;
    let denied = json!({ "__type": "AccessDeniedException", "Message": "no" });
    aws.answers("GetJobRuns", json!({ "NextToken": "page 1" }), 400, &denied).await;
    let first = json!({ "JobRuns": others(500, 200), "NextToken": "page 1" });
    aws.answers("GetJobRuns", json!({}), 200, &first).await;
    let found = aws.found().await;
    let expected = "failed to list the runs of job `orders` in account `222222222222`: \
                    AccessDeniedException: no";
    assert_eq!(found, Lookup::Unanswered(expected.to_owned()));
}

#[tokio::test]
async fn a_search_through_more_runs_than_are_read_is_unclear() {
    let aws = Aws::start().await;
    let endless = json!({ "JobRuns": others(500, 2), "NextToken": "more" });
    aws.answers("GetJobRuns", json!({}), 200, &endless).await;
    assert!(matches!(aws.found().await, Lookup::Unclear(_)));
    assert_eq!(aws.pages_read().await, MAX_PAGES);
}

#[tokio::test]
async fn a_search_for_which_no_time_is_left_has_no_answer_and_asks_nothing() {
    let aws = Aws::start().await;
    aws.lists(&[vec![run("jr_ours", 5, "RUNNING", &of_batch(BATCH, "1"))]]).await;
    let found = aws.found_within(CALL_TIMEOUT - Duration::from_secs(1)).await;
    assert!(matches!(found, Lookup::Unanswered(_)), "{found:?}");
    let requests = aws.server.received_requests().await.expect("recorded");
    assert_eq!(requests.len(), 0, "the role is not assumed either");
    // While there is time, the search finds the run.
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
    assert!(matches!(found, Lookup::Unanswered(_)), "{found:?}");
    assert_eq!(aws.pages_read().await, 1);
}

#[tokio::test]
async fn batches_that_look_for_their_runs_at_about_the_same_time_share_one_walk() {
    let aws = Aws::start().await;
    let mut second = others(90, 10);
    second.push(run("jr_ours", 5, "RUNNING", &of_batch(BATCH, "1")));
    let pages = [others(500, 200), second, others(-100, 5), others(-300, 5)];
    aws.lists(&pages).await;
    let (before, minute) = (now(), Duration::from_secs(60));
    let since = |after: u64| Time((SINCE + after) * 1000);
    let [ours, other, none] = tokio::join!(
        aws.searched(BATCH, since(0), before, minute),
        aws.searched("other", since(400), before, minute),
        aws.searched("none", since(400), before, minute),
    )
    .into();
    assert_eq!(ours.lookup, complete(&[("jr_ours", 1)]));
    assert_eq!(none.lookup, complete(&[]));
    let Lookup::Complete(found) = other.lookup else { panic!("{other:?}") };
    assert_eq!(found.len(), 101, "those of its own time");
    assert_eq!((ours.began, other.began), (none.began, none.began));
    assert!(ours.began >= before);
    assert_eq!(aws.pages_read().await, 3);
    // A search that looks farther back continues the walk.
    let older = aws.searched("other", Time((SINCE - 200) * 1000), before, minute).await;
    assert_eq!((older.began, aws.pages_read().await), (ours.began, 4));
    // A batch that came due after the walk began would learn nothing new from it.
    tokio::time::sleep(Duration::from_millis(2)).await;
    let anew = aws.searched(BATCH, since(0), now(), minute).await;
    assert!(anew.began > ours.began, "{anew:?}");
    assert_eq!((anew.lookup, aws.pages_read().await), (complete(&[("jr_ours", 1)]), 7));
}

#[tokio::test]
async fn what_no_answer_is_waited_for_is_not_waited_for_by_each_search_and_start() {
    let throttled = json!({ "__type": "ThrottlingException", "Message": "slow down" });
    for (status, answer, slow) in [(400, throttled, 0), (500, json!({}), 1_100)] {
        let aws = Aws::start().await;
        let body = ResponseTemplate::new(status).set_delay(Duration::from_millis(slow));
        Mock::given(header("x-amz-target", "AWSGlue.GetJobRuns"))
            .respond_with(body.set_body_raw(answer.to_string(), "application/x-amz-json-1.1"))
            .mount(&aws.server)
            .await;
        assert!(aws.glue.answers().is_ok());
        assert!(matches!(aws.found().await, Lookup::Unanswered(_)));
        let asked = aws.pages_read().await;
        let Lookup::Unanswered(why) = aws.found().await else { panic!("no answer") };
        assert!(why.contains("did not answer a moment ago"), "{why}");
        assert!(aws.glue.run("orders", "jr_1").await.is_err());
        assert!(aws.glue.max_retries("orders").await.is_err());
        // The request was certainly not sent.
        let start = aws.glue.start_job_run("orders", &BTreeMap::new(), None).await;
        let error = start.expect_err("not asked");
        assert!(matches!(&error, StartError::Quiet(_)), "{error}");
        assert_eq!((error.code(), aws.pages_read().await), ("glue_not_answering", asked));
    }
}

#[tokio::test]
async fn a_refusal_is_no_reason_not_to_ask_for_other_batches_however_long_it_took() {
    let aws = Aws::start().await;
    let denied = json!({ "__type": "AccessDeniedException", "Message": "no" }).to_string();
    let slow = ResponseTemplate::new(400).set_delay(Duration::from_millis(1_100));
    Mock::given(header("x-amz-target", "AWSGlue.GetJobRuns"))
        .respond_with(slow.set_body_raw(denied, "application/x-amz-json-1.1"))
        .mount(&aws.server)
        .await;
    assert!(matches!(aws.found().await, Lookup::Unanswered(_)));
    assert!(matches!(aws.found().await, Lookup::Unanswered(_)));
    assert_eq!(aws.pages_read().await, 2);
}
