//! A route that moves while batches of it are open.

use serde_json::Value;

use crate::stage::{ROUTES, Stage, messages, record};

const NONE: [&str; 0] = [];

/// Makes an SQS event with one message for each object.
fn arrivals_in(bucket: &str, keys: &[&str]) -> Value {
    let bodies = keys.iter().map(|key| {
        let mut record = record(key);
        record["s3"]["bucket"]["name"] = bucket.into();
        serde_json::json!({ "Records": [record] }).to_string()
    });
    messages(&bodies.collect::<Vec<_>>())
}

#[tokio::test]
async fn a_batch_is_of_one_bucket_while_a_route_moves_to_another() {
    let mut stage = Stage::new().await;
    let moved = ROUTES.replace("bucket: landing", "bucket: raw");
    // A process from before the change may keep running for a while beside newer ones. Three
    // objects fill a batch.
    for (routes, bucket, keys) in [
        (ROUTES, "landing", &["a"][..]),
        (&moved, "raw", &["b", "c"]),
        (ROUTES, "landing", &["d", "e", "f"]),
        (&moved, "raw", &["g", "h", "i"]),
    ] {
        stage.renew(routes);
        let keys: Vec<String> = keys.iter().map(|key| format!("counted/1/{key}")).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(stage.failures(&arrivals_in(bucket, &keys)).await, NONE);
    }
    let mut told = Vec::new();
    for batch in stage.batches().await {
        let members = stage.ledger.members(&batch).await.expect("the ledger");
        let keys: Vec<&str> = members.iter().map(|m| &m.key["counted/1/".len()..]).collect();
        told.push(format!("{} {} {}", batch.bucket, batch.state.name(), keys.concat()));
    }
    assert_eq!(told, ["landing open a", "raw open bc", "landing started def", "raw started ghi"]);
    let inputs: Vec<Vec<String>> = stage.starts().iter().map(|start| stage.inputs(start)).collect();
    let urls = |bucket: &str, keys: [&str; 3]| keys.map(|k| format!("s3://{bucket}/counted/1/{k}"));
    assert_eq!(inputs, [urls("landing", ["d", "e", "f"]), urls("raw", ["g", "h", "i"])]);
}
