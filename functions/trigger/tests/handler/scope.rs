//! Runs that are held to their batch.

use landfall_core::batch::{State, Why};
use landfall_stand_ins::Act;
use serde_json::{Value, json};

use crate::stage::{READER_ROLE, ROUTES, Stage, arrivals};

/// Returns the routes, with the first one held to its batches and another one of the same job that
/// isn't.
fn routes() -> String {
    let scoped = ROUTES.replace("job: orders,", "job: orders, scope: batch,");
    assert_ne!(scoped, ROUTES);
    scoped.replace("job: windowed", "job: orders").replace(", window: 5m }", " }")
}

#[tokio::test]
async fn a_run_of_a_route_of_scope_batch_gets_a_session_policy_and_is_told_of_it() {
    let mut stage = Stage::new().await;
    stage.renew(&routes());
    stage.failures(&arrivals(&["orders/1/a", "windowed/1/a"])).await;
    let starts = stage.starts();
    let of = |scoped: bool| {
        let is = |start: &&Value| (start["Arguments"]["--landfall-scope"] == "batch") == scoped;
        let found: Vec<&Value> = starts.iter().filter(is).collect();
        assert_eq!(found.len(), 1, "{starts:?}");
        assert_eq!(found[0]["JobName"], "orders");
        found[0]
    };
    let policy = of(true)["ExecutionRoleSessionPolicy"].as_str().expect("a policy");
    let expected = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Action": "*", "Resource": "*" },
        { "Effect": "Deny", "Action": "sts:Assume*", "NotResource": READER_ROLE },
    ] });
    assert_eq!(serde_json::from_str::<Value>(policy).expect("JSON"), expected);
    // The other route's run of the same job keeps all permissions of the job.
    assert_eq!(of(false)["ExecutionRoleSessionPolicy"], Value::Null);
    assert_eq!(of(false)["Arguments"]["--landfall-scope"], Value::Null);
}

#[tokio::test]
async fn a_session_policy_that_glue_refuses_parks_the_batch_and_is_named() {
    let mut stage = Stage::new().await;
    stage.renew(&routes());
    let refused = Act::Fail { status: 400, code: "InvalidInputException" };
    stage.aws.answer("StartJobRun", move |_, _| refused.clone());
    stage.failures(&arrivals(&["orders/1/a"])).await;
    let batch = stage.batch().await;
    let State::Parked { why: Why::InvalidInput, message } = &batch.state else {
        panic!("{batch:?}")
    };
    assert!(message.contains("with a session policy, for `scope: batch`: Invalid"), "{message}");
    assert_eq!(stage.starts().len(), 1, "it was not started without one");
}
