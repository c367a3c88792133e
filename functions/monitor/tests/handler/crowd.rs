//! A batch as large as any may be.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use crate::stage::Stage;

const OBJECTS: usize = 100_000;

/// As many messages as SQS may give to one invocation.
const AN_INVOCATION: usize = 10_000;

/// The first transaction of a batch takes so many arrivals, each other one more.
const A_TRANSACTION: usize = 97;

/// Recording in a debug build, on a machine that does other things too.
const LONG: Duration = Duration::from_secs(600);

#[tokio::test]
async fn a_batch_of_100000_objects_is_started_with_a_manifest_of_them_all() {
    let stage = Stage::new().await;
    stage.aws.remember_calls(false);
    let keys: Vec<String> = (0..OBJECTS).map(|n| format!("marked/1/{n}.csv")).collect();
    for keys in keys.chunks(AN_INVOCATION) {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        stage.try_arrive(&keys, LONG).await.expect("recorded");
    }
    // It is full, whatever its route says.
    let batch = stage.batch().await;
    assert_eq!(batch.members, OBJECTS as u64);
    assert_eq!(batch.state.name(), "started", "{:?}", batch.history);
    assert_eq!(batch.prepared.expect("it has a manifest").objects, OBJECTS as u64);
    let calls = stage.aws.usage().calls;
    assert_eq!((calls["StartJobRun"], calls["PutObject"]), (1, 1));
    let transactions = calls["TransactWriteItems"];
    assert!(transactions <= OBJECTS.div_ceil(A_TRANSACTION) as u64 + 10, "{transactions}");

    let run = stage.run("marked");
    let manifest = run.arguments["--landfall-manifest"].strip_prefix("s3://manifests/");
    let manifest = stage.aws.object("manifests", manifest.expect("in the bucket of manifests"));
    let manifest: Value = serde_json::from_slice(&manifest.expect("it is there")).expect("JSON");
    let entries = manifest["entries"].as_array().expect("entries");
    assert_eq!(entries.len(), OBJECTS);
    let urls: BTreeSet<&str> =
        entries.iter().map(|entry| entry["url"].as_str().expect("a URL")).collect();
    let arrived: Vec<String> = keys.iter().map(|key| format!("s3://landing/{key}")).collect();
    assert!(urls.into_iter().eq(arrived.iter().map(String::as_str).collect::<BTreeSet<&str>>()));
}
