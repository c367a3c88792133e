//! Objects whose events are delivered more than once, in one invocation or in several.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::stage::{Stage, arrivals};

const NONE: [&str; 0] = [];

#[tokio::test]
async fn an_object_told_twice_in_one_invocation_starts_one_run_and_acknowledges_both_messages() {
    let stage = Stage::new().await;
    assert_eq!(stage.failures(&arrivals(&["orders/1/a", "orders/1/a"])).await, NONE);
    assert_eq!((stage.starts().len(), stage.batch().await.members), (1, 1));
}

#[tokio::test]
async fn an_object_told_again_in_another_invocation_starts_nothing_and_is_acknowledged() {
    let stage = Stage::new().await;
    assert_eq!(stage.failures(&arrivals(&["orders/1/a", "orders/1/b"])).await, NONE);
    for again in [vec!["orders/1/a", "orders/1/b"], vec!["orders/1/b"], vec!["orders/1/a"; 2]] {
        assert_eq!(stage.failures(&arrivals(&again)).await, NONE);
    }
    assert_eq!((stage.starts().len(), stage.batch().await.members), (1, 2));
    // An arrival that is already known doesn't join the batch of the new arrival that comes with
    // it.
    assert_eq!(stage.failures(&arrivals(&["orders/1/a", "orders/1/c"])).await, NONE);
    let starts = stage.starts();
    assert_eq!(
        (starts.len(), stage.inputs(&starts[1])),
        (2, vec!["s3://landing/orders/1/c".into()])
    );
}

#[tokio::test]
async fn one_event_in_several_invocations_at_once_starts_one_run() {
    let stage = Stage::new().await;
    let event = arrivals(&["orders/1/a", "orders/1/b", "orders/1/c"]);
    let invocations = (0..8).map(|_| stage.failures(&event));
    assert_eq!(futures_util::future::join_all(invocations).await.concat(), NONE);
    assert_eq!((stage.starts().len(), stage.batch().await.members), (1, 3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn every_event_delivered_twice_in_any_order_starts_one_run_a_batch(
        keys in Just(["orders/1/a", "orders/1/b", "orders/1/c", "orders/2/a", "named/x", "named/y"])
            .prop_map(|keys| [keys, keys].concat())
            .prop_shuffle(),
        size in 1..=12_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let stage = Stage::new().await;
            for keys in keys.chunks(size) {
                assert_eq!(stage.failures(&arrivals(keys)).await, NONE);
            }
            let batches = stage.batches().await;
            let starts = stage.starts();
            let started: BTreeSet<&str> = starts
                .iter()
                .map(|start| start["Arguments"]["--landfall-batch-id"].as_str().expect("an id"))
                .collect();
            let ids: BTreeSet<&str> = batches.iter().map(|batch| batch.id.as_str()).collect();
            assert_eq!((starts.len(), started), (batches.len(), ids));
            let mut read: Vec<String> = batches
                .iter()
                .flat_map(|batch| stage.urls(&batch.prepared.as_ref().expect("prepared").manifest))
                .collect();
            read.sort_unstable();
            let told: BTreeSet<String> =
                keys.iter().map(|key| format!("s3://landing/{key}")).collect();
            assert_eq!(read, told.into_iter().collect::<Vec<_>>());
        });
    }
}
