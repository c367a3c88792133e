//! `landfall doctor --probe`, with a stand-in for Lambda. What the trigger answers is shown by its own tests and end to end.

use expect_test::expect;
use serde_json::json;
use tempfile::TempDir;
use wiremock::matchers::{body_string, body_string_contains, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::{Shown, command};

const INVOCATIONS: &str = "/2015-03-31/functions/landfall-trigger/invocations";

const IDENTITY: &str = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
    <GetCallerIdentityResult><Arn>arn:aws:iam::111111111111:user/u</Arn><UserId>u</UserId><Account>111111111111</Account>\
    </GetCallerIdentityResult></GetCallerIdentityResponse>";

/// Runs `doctor --probe` against a trigger that answers so.
async fn probe(answer: ResponseTemplate, options: &[&str]) -> (Shown, usize) {
    let server = MockServer::start().await;
    let identity = Mock::given(body_string_contains("Action=GetCallerIdentity"));
    identity
        .respond_with(ResponseTemplate::new(200).set_body_string(IDENTITY))
        .mount(&server)
        .await;
    let invoke = Mock::given(method("POST")).and(path(INVOCATIONS));
    let invoke = invoke.and(body_string(r#"{"landfall":{"probe":1}}"#));
    invoke.respond_with(answer).mount(&server).await;
    let folder = TempDir::new().expect("a temporary folder");
    let args = [&["doctor", "--probe"][..], options].concat();
    let mut command = command(folder.path(), &args);
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", folder.path());
    command.env("AWS_ACCESS_KEY_ID", "id").env("AWS_SECRET_ACCESS_KEY", "key");
    command.env("AWS_REGION", "eu-west-1").env("AWS_ENDPOINT_URL", server.uri());
    let output = command.output().expect("an ended landfall");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let requests = server.received_requests().await.expect("requests");
    let invocations = requests.iter().filter(|it| it.url.path() == INVOCATIONS).count();
    let status = output.status.code().expect("an exit status");
    (Shown { stdout: text(output.stdout), stderr: text(output.stderr), status }, invocations)
}

fn answer(outcomes: &[serde_json::Value]) -> ResponseTemplate {
    let probes = outcomes.iter().enumerate().map(|(number, outcome)| {
        let mut probe = json!({
            "target": "analytics", "account": "222222222222", "region": "eu-west-1",
            "starter_role": "arn:aws:iam::222222222222:role/landfall/landfall-starter",
            "job": format!("job-{number}"),
        });
        let all = probe.as_object_mut().expect("an object");
        all.extend(outcome.as_object().expect("an object").clone());
        probe
    });
    let probes: Vec<serde_json::Value> = probes.collect();
    ResponseTemplate::new(200).set_body_json(json!({ "version": 1, "probes": probes }))
}

#[tokio::test]
async fn a_probe_says_first_what_it_does_and_then_what_the_trigger_could_do() {
    let works = json!({ "outcome": "works" });
    let (shown, _) = probe(answer(&[works]), &["--yes"]).await;
    expect![[r#"
        the trigger can start 1 job

        STATUS  TARGET     ACCOUNT       JOB    SEEN
        ok      analytics  222222222222  job-0  it assumed the starter role and saw the job
        --- stderr
        This invokes function `landfall-trigger` in account 111111111111, region eu-west-1, once. With its own role, it assumes the starter role of each target, and calls glue:GetJob for each job that the deployed routes start. It starts no job run and writes nothing but its log. CloudTrail records the calls in both accounts.
        --- status 0
    "#]].assert_eq(&shown.all());
    let denied = json!({ "outcome": "failed", "code": "assume_role_denied", "message":
        "failed to assume role `arn:aws:iam::222222222222:role/landfall/landfall-starter`: AccessDenied: User: \
         arn:aws:sts::111111111111:assumed-role/landfall-trigger/x\u{1b} is not authorized to perform: sts:AssumeRole on \
         resource: arn:aws:iam::222222222222:role/landfall/landfall-starter with an explicit deny in a service control policy" });
    let missing = json!({ "outcome": "no_such_job" });
    let (shown, _) = probe(answer(&[denied, missing]), &["--yes"]).await;
    expect![[r#"
        of 2 jobs, 2 can't be started or seen

        STATUS  TARGET     ACCOUNT       JOB    SEEN
        broken  analytics  222222222222  job-0  failed to assume role `arn:aws:iam::222222222222:role/landfall/landfall-starter`: AccessDenied: User: arn:aws:sts::111111111111:assumed-role/landfall-trigger/x\u{1b} is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::222222222222:role/landfall/landfall-starter with an explicit deny in a service control policy [assume_role_denied]
        broken  analytics  222222222222  job-1  it assumed the starter role; there is no such job

        a service control policy of the caller's organization [denied_by_service_control_policy]
          action   sts:AssumeRole
          resource arn:aws:iam::222222222222:role/landfall/landfall-starter
          why      The organization limits what the caller's account may do. Often it allows certain regions only, or denies `sts:AssumeRole` for roles outside the organization.
          do       Ask the organization's administrators. Landfall can't change this, and waits as long as it lasts.

        the starter role, in the analytics account [starter_not_assumed]
          action   sts:AssumeRole
          resource arn:aws:iam::222222222222:role/landfall/landfall-starter
          why      The starter role is missing, doesn't trust this function, or asks for another external ID; or the function's own policy doesn't name the role. STS says the same for all four.
          do       Deploy both stacks. If you were rotating the external ID, finish that. What waits starts by itself.
        --- stderr
        This invokes function `landfall-trigger` in account 111111111111, region eu-west-1, once. With its own role, it assumes the starter role of each target, and calls glue:GetJob for each job that the deployed routes start. It starts no job run and writes nothing but its log. CloudTrail records the calls in both accounts.
        --- status 1
    "#]].assert_eq(&shown.all());
    let late = json!({ "outcome": "out_of_time" });
    let (shown, _) = probe(answer(&[late]), &["--yes", "--json"]).await;
    expect![[r#"
        {
          "version": 1,
          "probes": [
            {
              "target": "analytics",
              "account": "222222222222",
              "region": "eu-west-1",
              "starter_role": "arn:aws:iam::222222222222:role/landfall/landfall-starter",
              "job": "job-0",
              "outcome": "out_of_time"
            }
          ]
        }
        --- stderr
        This invokes function `landfall-trigger` in account 111111111111, region eu-west-1, once. With its own role, it assumes the starter role of each target, and calls glue:GetJob for each job that the deployed routes start. It starts no job run and writes nothing but its log. CloudTrail records the calls in both accounts.
        --- status 2
    "#]].assert_eq(&shown.all());
}

#[tokio::test]
async fn nothing_is_invoked_unless_somebody_agrees() {
    let (shown, invocations) = probe(answer(&[]), &[]).await;
    assert_eq!((shown.status, invocations), (2, 0), "{}", shown.all());
    assert!(shown.stderr.contains("add --yes"), "{}", shown.stderr);
}

#[tokio::test]
async fn a_trigger_that_knows_no_probe_and_one_that_may_not_be_invoked_are_told() {
    let unknown = ResponseTemplate::new(200)
        .insert_header("x-amz-function-error", "Unhandled")
        .set_body_json(json!({ "errorType": "event_unknown", "errorMessage": "no known event" }));
    let (shown, invocations) = probe(unknown, &["--yes"]).await;
    assert_eq!((shown.status, invocations), (2, 1), "{}", shown.all());
    assert!(
        shown.stderr.contains("event_unknown: no known event; a trigger of an earlier version")
    );
    let denied = ResponseTemplate::new(403)
        .insert_header("x-amzn-errortype", "AccessDeniedException")
        .set_body_json(json!({ "message": "no" }));
    let (shown, _) = probe(denied, &["--yes"]).await;
    assert_eq!(shown.status, 2, "{}", shown.all());
    assert!(shown.stderr.contains("lambda:InvokeFunction"), "{}", shown.stderr);
}
