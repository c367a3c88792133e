//! As many messages as an invocation can bring, and more.

use std::collections::BTreeSet;

use crate::stage::{Stage, body, messages};

const MESSAGES: usize = 10_000;

/// The number of arrivals in a transaction.
const A_TRANSACTION: usize = 98;

#[tokio::test]
async fn ten_thousand_messages_are_served_in_one_invocation() {
    for groups in [1, 10] {
        let stage = Stage::new().await;
        let keys: Vec<String> =
            (0..MESSAGES - 1).map(|n| format!("orders/{}/{n}", n % groups)).collect();
        let mut bodies: Vec<String> = keys.iter().map(|key| body(key)).collect();
        bodies.push("{".to_owned());
        assert_eq!(stage.failures(&messages(&bodies)).await, ["m9999"]);
        let starts = stage.starts();
        assert_eq!(starts.len(), groups);
        let inputs: Vec<String> = starts.iter().flat_map(|start| stage.inputs(start)).collect();
        let distinct: BTreeSet<String> =
            keys.iter().map(|key| format!("s3://landing/{key}")).collect();
        assert_eq!((inputs.len(), inputs.into_iter().collect()), (MESSAGES - 1, distinct));
        let calls = stage.aws.usage().calls;
        // The first transaction of a batch takes one arrival fewer, and another one writes the
        // start ahead.
        let each = (MESSAGES / groups).div_ceil(A_TRANSACTION) + 2;
        let transactions = calls["TransactWriteItems"];
        assert!(transactions <= (groups * each) as u64, "{groups} groups: {transactions}");
        assert_eq!(calls.get("GetItem"), None, "what came with the event is at hand");
        assert_eq!((calls["AssumeRole"], calls["PutObject"]), (1, groups as u64));
    }
}
