//! Runs that are held to their batch, whoever starts them and however often.

use landfall_core::batch::{Batch, Starting, State};
use landfall_stand_ins::{Act, Run};

use crate::stage::{Stage, WINDOW, past};

fn routes(scope: &str) -> String {
    format!(
        "version: 1
targets:
  analytics: {{ account: \"222222222222\", region: eu-west-1, starter_role: landfall-starter }}
routes:
  - name: orders
    bucket: landing
    key: \"orders/{{name}}/*\"
    batch: {{ by: [name] }}
    start:
      target: analytics
      job: orders
      scope: {scope}
      retry: {{ attempts: 2, states: [FAILED] }}
"
    )
}

async fn scoped() -> Stage {
    let mut stage = Stage::new().await;
    stage.reroute(&routes("batch"));
    stage
}

/// Fails unless the reader role is the only role that the run can assume, and the run is passed its
/// scope.
fn assert_scoped(run: &Run) {
    let policy = run.session_policy.as_deref().expect("a session policy");
    let reader = &run.arguments["--landfall-reader-role"];
    let denied =
        format!("\"Action\":\"sts:Assume*\",\"Effect\":\"Deny\",\"NotResource\":\"{reader}\"");
    assert!(policy.contains(&denied), "{policy}");
    assert_eq!(run.arguments["--landfall-scope"], "batch");
}

#[tokio::test]
async fn a_run_that_the_monitor_starts_is_held_to_its_batch_as_one_of_the_triggers_is() {
    let stage = scoped().await;
    stage.record(&["orders/x/a"]).await;
    assert_eq!(stage.starts(), 0);
    assert_eq!(stage.batch().await.v, 2, "what knows no scope leaves it alone");
    stage.tick().await;
    assert_scoped(&stage.run("orders"));
}

#[tokio::test]
async fn each_start_of_a_batch_is_held_to_it() {
    let stage = scoped().await;
    // Nobody learns of the first run, and Glue never shows it.
    stage.aws.answer("StartJobRun", |_, number| match number {
        0 => Act::Fail { status: 500, code: "InternalServiceException" },
        _ => Act::Serve,
    });
    stage.arrive(&["orders/x/a"]).await;
    let batch = stage.batch().await;
    let lease = past(WINDOW.as_secs() + 1);
    let state = State::Starting(Starting { t0: lease, lease, look_at: lease, missing: None });
    let batch = stage.write(Batch { state, ..batch }).await;
    stage.tick().await;
    // The second run fails and is retried. So is the third, which exhausts the attempts.
    for epoch in ["2", "3"] {
        let run = stage.running("orders").pop().expect("a run");
        assert_eq!(run.arguments["--landfall-epoch"], epoch);
        assert_scoped(&run);
        stage.end(&run, "FAILED").await;
        assert_eq!(stage.told(&[&run]).await, [""; 0]);
        let batch = stage.again(&batch).await;
        if epoch == "2" {
            stage.make_due(batch).await;
            stage.tick().await;
        }
    }
    let parked = stage.again(&batch).await;
    // Return the batch as `landfall retry` does.
    let returned = parked.returned(past(0)).expect("it is parked");
    stage.write(returned).await;
    stage.tick().await;
    assert_scoped(&stage.running("orders").pop().expect("a run"));
    let policies: Vec<_> =
        stage.aws.runs("orders").into_iter().map(|run| run.session_policy).collect();
    assert_eq!(policies.len(), 3);
    assert!(policies.iter().all(|policy| *policy == policies[0]), "{policies:?}");
}

#[tokio::test]
async fn a_batch_keeps_the_scope_that_its_route_had_when_it_was_opened() {
    let mut stage = scoped().await;
    stage.record(&["orders/x/a"]).await;
    stage.reroute(&routes("job"));
    stage.record(&["orders/y/a"]).await;
    let batches: Vec<Batch> = stage.batches().await;
    assert_eq!(batches.len(), 2);
    stage.tick().await;
    let runs = stage.aws.runs("orders");
    let of = |batch: &Batch| {
        let is = |run: &&Run| run.arguments["--landfall-batch-id"] == batch.id;
        runs.iter().find(is).unwrap_or_else(|| panic!("no run of {batch:?}: {runs:?}"))
    };
    let of_group = |name: &str| {
        let found = batches.iter().find(|batch| batch.group["name"] == name);
        of(found.expect("a batch of each group"))
    };
    assert_scoped(of_group("x"));
    assert_eq!(of_group("y").session_policy, None);
}
