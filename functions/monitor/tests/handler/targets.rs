//! What the routes say about targets by the time a batch starts.

use serde_json::{Value, json};

use crate::stage::{EXTERNAL_ID, OTHER_EXTERNAL_ID, Stage};

const STARTER: &str = "arn:aws:iam::222222222222:role/landfall-starter";
const OTHER_STARTER: &str = "arn:aws:iam::222222222222:role/other-starter";

/// Returns a target as the routes file has it.
fn target(name: &str, role: &str, external_id: &str) -> String {
    format!(
        "  {name}: {{ account: \"222222222222\", region: eu-west-1, starter_role: {role}{external_id} }}\n"
    )
}

const SHOWS: &str = r#", external_id: "${EXTERNAL_ID}""#;
const SHOWS_OTHER: &str = r#", external_id: "${OTHER_EXTERNAL_ID}""#;

/// Returns routes with one route to each target that `to` names.
fn routes(targets: &[String], to: &[&str]) -> String {
    let routes = to.iter().map(|target| {
        let start = format!("{{ target: {target}, job: {target} }}");
        format!("  - {{ name: {target}, bucket: landing, key: \"{target}/*\", start: {start} }}\n")
    });
    let routes: String = routes.collect();
    format!("version: 1\ntargets:\n{}routes:\n{routes}", targets.concat())
}

/// Returns the role of each `AssumeRole`, and the external ID if there was one.
fn assumed(stage: &Stage) -> Vec<(Value, Value)> {
    let calls = stage.aws.calls_of("AssumeRole");
    calls.iter().map(|call| (call["RoleArn"].clone(), call["ExternalId"].clone())).collect()
}

#[tokio::test]
async fn a_target_without_an_external_id_is_not_given_that_of_another_of_the_same_role() {
    let mut stage = Stage::new().await;
    let targets = [
        target("bare", "landfall-starter", ""),
        target("after", "landfall-starter", SHOWS),
        target("zeta", "landfall-starter", SHOWS_OTHER),
    ];
    stage.reroute(&routes(&targets, &["bare", "zeta"]));
    stage.record(&["bare/a"]).await;
    assert_eq!((stage.tick().await.due, stage.starts()), (1, 1));
    assert_eq!(assumed(&stage), [(json!(STARTER), Value::Null)]);
    // Each target has its own role.
    stage.record(&["zeta/a"]).await;
    assert_eq!((stage.tick().await.due, stage.starts()), (1, 2));
    assert_eq!(assumed(&stage)[1..], [(json!(STARTER), json!(OTHER_EXTERNAL_ID))]);
}

#[tokio::test]
async fn a_batch_whose_target_moved_to_another_role_does_not_show_the_new_ones_external_id() {
    let mut stage = Stage::new().await;
    let before = target("analytics", "landfall-starter", SHOWS);
    stage.reroute(&routes(&[before], &["analytics"]));
    stage.record(&["analytics/a"]).await;
    let after = target("analytics", "other-starter", SHOWS_OTHER);
    stage.reroute(&routes(&[after], &["analytics"]));
    assert_eq!((stage.tick().await.due, stage.starts()), (1, 1));
    assert_eq!(assumed(&stage), [(json!(STARTER), Value::Null)]);
    // New arrivals use the new role.
    stage.arrive(&["analytics/b"]).await;
    assert_eq!(assumed(&stage)[1..], [(json!(OTHER_STARTER), json!(OTHER_EXTERNAL_ID))]);
}

#[tokio::test]
async fn a_batch_whose_target_was_renamed_is_started_with_the_external_id_of_the_same_role() {
    let mut stage = Stage::new().await;
    let before = target("analytics", "landfall-starter", SHOWS);
    stage.reroute(&routes(&[before], &["analytics"]));
    stage.record(&["analytics/a"]).await;
    let after = [
        target("another", "other-starter", SHOWS_OTHER),
        target("renamed", "landfall-starter", SHOWS),
    ];
    stage.reroute(&routes(&after, &["another", "renamed"]));
    assert_eq!((stage.tick().await.due, stage.starts()), (1, 1));
    assert_eq!(assumed(&stage), [(json!(STARTER), json!(EXTERNAL_ID))]);
}

#[tokio::test]
async fn an_open_batch_whose_route_was_removed_is_closed_and_started_as_it_was() {
    let mut stage = Stage::new().await;
    let starter = [target("analytics", "landfall-starter", SHOWS)];
    let windowed = routes(&starter, &["analytics"])
        .replace("key: \"analytics/*\",", "key: \"analytics/*\", batch: { window: 1h },");
    stage.reroute(&windowed);
    stage.arrive(&["analytics/a"]).await;
    let open = stage.make_due(stage.batch().await).await;
    assert_eq!(open.state.name(), "open");
    // By now the file has other routes.
    let other = [target("another", "other-starter", SHOWS_OTHER), starter[0].clone()];
    stage.reroute(&routes(&other, &["another"]));
    assert_eq!((stage.tick().await.due, stage.starts()), (1, 1));
    assert_eq!(stage.again(&open).await.state.name(), "started");
    assert_eq!(stage.run("analytics").arguments["--landfall-batch-id"], open.id);
}

/// Anybody can take the name of a bucket that was deleted.
#[tokio::test]
async fn no_manifest_is_put_into_a_bucket_of_somebody_else() {
    let stage = Stage::new().await;
    stage.aws.own_buckets("999999999999");
    stage.arrive(&["orders/1/a"]).await;
    assert_eq!(stage.starts(), 0);
    assert_eq!(stage.aws.objects("manifests"), [] as [String; 0]);
    let batch = stage.batch().await;
    // The monitor expects the account of the reader role as the owner. If it is the owner, the batch
    // makes progress.
    stage.aws.own_buckets("111111111111");
    stage.make_due(batch).await;
    stage.tick().await;
    assert_eq!((stage.starts(), stage.aws.objects("manifests").len()), (1, 1));
}
