use expect_test::expect;
use landfall_aws::clock::now;
use landfall_aws::ledger::Left;
use landfall_core::batch::{Batch, NEWEST_VERSION};
use landfall_stand_ins::Act;
use serde_json::{Value, json};

use super::desk::{Desk, id, member};

#[tokio::test]
async fn a_parked_batch_is_returned_and_due_at_once() {
    let desk = Desk::new();
    desk.parked(1, "orders", 0).await;
    assert_eq!(desk.ledger.due(now()).await.expect("a ledger").0, []);
    expect![[r#"
        batch 00000000000000000000000000000001 is parked
          It has been parked since 2026-01-31T12:00:01Z (long ago): an argument of the run can't be passed on [argument_refused].
          Message: the value of `--dt` would begin with `-`, which the job would take for a name.
          No run starts until you return the batch.
          Once you have removed the cause, run: landfall retry 00000000000000000000000000000001

        route     orders
        bucket    acme-landing
        group     dt=2026-01-31
        job       orders-to-parquet (target analytics, account 222222222222, eu-west-1)
        opened    2026-01-31T12:00:00Z (long ago)
        arrivals  1, the last 2026-01-31T12:00:00Z (long ago)
        manifest  not written yet
        attempts  3 attempts at most, none failed

        no known runs

        history
          2026-01-31T12:00:00Z  opened
          2026-01-31T12:00:00Z  sealed: 1 members
          2026-01-31T12:00:01Z  parked: argument_refused: the value of `--dt` would begin with `-`, which the job would take for a name

        1 member
          s3://acme-landing/orders/1.csv (512 bytes, version v1)
        --- stderr
        --- status 0
    "#]].assert_eq(&desk.landfall(&["batch", &id(1)]).all());
    expect![[r#"
        batch `00000000000000000000000000000001` of route `orders` is returned
        the monitor starts it at its next tick, usually within a minute
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&desk.landfall(&["retry", &id(1)]).all());
    let due = desk.ledger.due(now()).await.expect("a ledger").0;
    assert_eq!(due.iter().map(|waiting| waiting.id.as_str()).collect::<Vec<_>>(), [id(1)]);
    let batch = desk.ledger.batch(&id(1)).await.expect("a ledger").expect("a batch");
    assert_eq!((batch.state.name(), batch.failures), ("sealed", 0));
}

#[tokio::test]
async fn what_is_not_parked_is_not_returned_and_hides_nothing_that_is() {
    let desk = Desk::new();
    desk.parked(1, "orders", 0).await;
    desk.sealed(2, "orders", 0, &[member("2.csv")]).await;
    let ids = [id(2), id(3), id(1)];
    let args = [&["retry"][..], &[&ids[0], &ids[1], &ids[2]]].concat();
    expect![[r#"
        batch `00000000000000000000000000000001` of route `orders` is returned
        the monitor starts it at its next tick, usually within a minute
        --- stderr
        error: batch `00000000000000000000000000000002` is sealed: only one that is parked can be returned
        error: there is no batch `00000000000000000000000000000003` in table `landfall-ledger`, region `eu-west-1`
        --- status 1
    "#]].assert_eq(&desk.landfall(&args).all());
    // Now it is sealed too.
    expect![[r#"
        {
          "batches": [
            {
              "id": "00000000000000000000000000000001",
              "outcome": "not_parked",
              "message": "batch `00000000000000000000000000000001` is sealed: only one that is parked can be returned"
            }
          ]
        }
        --- stderr
        error: batch `00000000000000000000000000000001` is sealed: only one that is parked can be returned
        --- status 1
    "#]].assert_eq(&desk.landfall(&["retry", "--json", &id(1)]).all());
}

#[tokio::test]
async fn a_batch_that_was_changed_meanwhile_is_left_as_it_is() {
    let desk = Desk::new();
    let before = desk.parked(1, "orders", 0).await;
    desk.stand_in.answer("PutItem", |_, _| Act::Fail {
        status: 400,
        code: "ConditionalCheckFailedException",
    });
    expect![[r#"
        --- stderr
        error: batch `00000000000000000000000000000001` was changed by somebody else meanwhile, and is not returned: `landfall batch 00000000000000000000000000000001` tells how it stands
        --- status 1
    "#]].assert_eq(&desk.landfall(&["retry", &id(1)]).all());
    // The first is the one that parked it.
    let put = &desk.stand_in.calls_of("PutItem")[1..];
    assert_eq!(put.len(), 1);
    assert_eq!(put[0]["ConditionExpression"], "revision = :before");
    assert_eq!(put[0]["ExpressionAttributeValues"][":before"]["N"], before.revision.to_string());
    assert_eq!(desk.ledger.batch(&id(1)).await.expect("a ledger"), Some(before));
    desk.stand_in
        .answer("PutItem", |_, _| Act::Fail { status: 400, code: "AccessDeniedException" });
    expect![[r#"
        --- stderr
        error: batch `00000000000000000000000000000001`: failed to write `00000000000000000000000000000001` in table `landfall-ledger`: AccessDeniedException: as the test asks (region `eu-west-1`; are these credentials for the data account? --help lists the permissions they need); `landfall batch 00000000000000000000000000000001` tells whether it was returned all the same
        --- status 2
    "#]].assert_eq(&desk.landfall(&["retry", &id(1)]).all());
}

#[tokio::test]
async fn a_return_whose_answer_was_lost_is_told_as_done() {
    let desk = Desk::new();
    desk.parked(1, "orders", 0).await;
    desk.stand_in.answer("PutItem", |_, call| match call {
        0 => Act::ServeThenFail { status: 500, code: "InternalServerError" },
        _ => Act::Serve,
    });
    let shown = desk.landfall(&["retry", &id(1)]);
    assert!(shown.stdout.contains("is returned"), "{}", shown.all());
    assert_eq!(shown.status, 0, "{}", shown.all());
}

#[tokio::test]
async fn all_that_are_parked_are_returned_only_by_who_says_so() {
    let desk = Desk::new();
    desk.parked(1, "orders", 0).await;
    desk.parked(2, "orders", 60).await;
    desk.parked(3, "audit", 90).await;
    desk.sealed(4, "orders", 95, &[member("4.csv")]).await;
    desk.stand_in.clear_calls();
    expect![[r#"
        --- stderr
        error: --all-parked asks before it returns batches, but standard input isn't a terminal: add --yes
        --- status 2
    "#]].assert_eq(&desk.landfall(&["retry", "--all-parked"]).all());
    assert_eq!(desk.stand_in.calls().len(), 0);
    let all = ["retry", "--all-parked", "--yes"];
    expect![[r#"
        batch `00000000000000000000000000000002` of route `orders` is returned
        batch `00000000000000000000000000000001` of route `orders` is returned
        the monitor starts them at its next tick, usually within a minute, as far as their jobs' limits allow
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&desk.landfall(&[&all[..], &["--route", "orders"]].concat()).all());
    expect![[r#"
        batch `00000000000000000000000000000003` of route `audit` is returned
        the monitor starts it at its next tick, usually within a minute
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&desk.landfall(&all).all());
    expect![[r#"
        no parked batch was found
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&desk.landfall(&all).all());
}

#[tokio::test]
async fn somebody_at_a_terminal_is_asked_and_only_a_yes_is_consent() {
    let desk = Desk::new();
    desk.parked(1, "orders", 0).await;
    desk.parked(2, "orders", 60).await;
    let state = async || desk.ledger.batch(&id(1)).await.expect("a ledger").expect("it").state;
    let ask = |answer| desk.landfall_at_terminal(&["retry", "--all-parked"], answer);
    expect![[r#"
        --- stderr
        OPENED                ROUTE   GROUP          STATE   OBJECTS  RUN, OR WAITS FOR  ID
        2026-01-31T12:01:00Z  orders  dt=2026-01-31  parked        1  argument_refused   00000000000000000000000000000002
        2026-01-31T12:00:00Z  orders  dt=2026-01-31  parked        1  argument_refused   00000000000000000000000000000001
        return 2 batches? [y/N] Cancelled. No further changes were made.
        --- status 1
    "#]].assert_eq(&ask("n\n").all());
    for answer in ["\n", "yep\n", "\u{4}"] {
        assert_eq!(ask(answer).status, 1, "{answer:?}");
    }
    assert_eq!(state().await.name(), "parked");
    expect![[r#"
        batch `00000000000000000000000000000002` of route `orders` is returned
        batch `00000000000000000000000000000001` of route `orders` is returned
        the monitor starts them at its next tick, usually within a minute, as far as their jobs' limits allow
        --- stderr
        OPENED                ROUTE   GROUP          STATE   OBJECTS  RUN, OR WAITS FOR  ID
        2026-01-31T12:01:00Z  orders  dt=2026-01-31  parked        1  argument_refused   00000000000000000000000000000002
        2026-01-31T12:00:00Z  orders  dt=2026-01-31  parked        1  argument_refused   00000000000000000000000000000001
        return 2 batches? [y/N] --- status 0
    "#]].assert_eq(&ask("y\n").all());
    assert_eq!(state().await.name(), "sealed");
}

#[tokio::test]
async fn all_that_are_parked_of_a_route_are_found_behind_any_number_of_others() {
    let desk = Desk::new();
    desk.parked(1, "orders", 0).await;
    let others = desk.parked(2_000, "audit", 2_000).await;
    desk.others_like(&others, 1_000..2_000).await;
    desk.parked(3, "orders", 3_000).await;
    let orders = ["retry", "--all-parked", "--yes", "--route", "orders"];
    expect![[r#"
        batch `00000000000000000000000000000003` of route `orders` is returned
        batch `00000000000000000000000000000001` of route `orders` is returned
        the monitor starts them at its next tick, usually within a minute, as far as their jobs' limits allow
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&desk.landfall(&orders).all());
    // All others are parked still, more of them than a page of the index has.
    let left = desk.ledger.parked(None).await.expect("a ledger");
    assert_eq!((left.batches.len(), left.left), (1_001, Left::None));
    assert!(left.batches.iter().all(|batch| batch.route == "audit"));
}

#[tokio::test]
async fn a_parked_batch_that_a_newer_version_wrote_hides_no_other() {
    let desk = Desk::new();
    desk.parked(1, "orders", 0).await;
    let newer = desk.parked(2, "orders", 1).await;
    desk.ledger
        .write(Batch { v: NEWEST_VERSION + 1, ..newer })
        .await
        .expect("a ledger")
        .expect("a batch");
    expect![[r#"
        batch `00000000000000000000000000000001` of route `orders` is returned
        the monitor starts it at its next tick, usually within a minute
        --- stderr
        note: failed to read `batch#00000000000000000000000000000002`: it was written by a newer version of Landfall (5)
        --- status 1
    "#]]
    .assert_eq(&desk.landfall(&["retry", "--all-parked", "--yes"]).all());
}

#[tokio::test]
async fn an_index_that_is_behind_returns_nothing_that_is_not_parked() {
    let desk = Desk::new();
    desk.parked(1, "orders", 0).await;
    desk.sealed(2, "orders", 60, &[member("2.csv")]).await;
    desk.stand_in.answer("Query", |call, _| {
        assert_eq!(call.body["IndexName"], "awaits");
        Act::Answer { status: 200, body: entries([2, 1], None).to_string() }
    });
    expect![[r#"
        batch `00000000000000000000000000000001` of route `orders` is returned
        the monitor starts it at its next tick, usually within a minute
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&desk.landfall(&["retry", "--all-parked", "--yes"]).all());
}

#[tokio::test]
async fn more_parked_batches_than_are_looked_at_are_told_of() {
    let desk = Desk::new();
    desk.parked(1, "orders", 0).await;
    // An index without an end.
    desk.stand_in.answer("Query", |_, call| {
        let ids: &[u64] = if call == 0 { &[1] } else { &[] };
        Act::Answer { status: 200, body: entries(ids.iter().copied(), Some(1)).to_string() }
    });
    expect![[r#"
        batch `00000000000000000000000000000001` of route `orders` is returned
        the monitor starts it at its next tick, usually within a minute
        --- stderr
        note: there are too many parked batches to read the older ones: once these are returned, run the command again
        --- status 1
    "#]]
    .assert_eq(&desk.landfall(&["retry", "--all-parked", "--yes"]).all());
    assert_eq!(desk.stand_in.calls_of("Query").len(), 10);
}

/// What the index `awaits` answers.
fn entries(ids: impl IntoIterator<Item = u64>, last: Option<u64>) -> Value {
    let entry = |number| {
        json!({
            "pk": { "S": format!("batch#{}", id(number)) },
            "sk": { "S": "batch" },
            "awaits": { "S": "parked" },
            "awaits_since": { "N": "1" },
        })
    };
    let items: Vec<Value> = ids.into_iter().map(entry).collect();
    match last.map(entry) {
        Some(last) => json!({ "Items": items, "LastEvaluatedKey": last }),
        None => json!({ "Items": items }),
    }
}

#[tokio::test]
async fn no_time_is_promised_of_a_monitor_that_never_ticked_that_is_late_or_that_nobody_may_see() {
    for (name, ago, is_refused) in
        [("never", None, false), ("late", Some(600), false), ("not known", Some(60), true)]
    {
        let desk = Desk::new();
        desk.ticked(ago);
        if is_refused {
            let refuse = Act::Fail { status: 400, code: "AccessDeniedException" };
            desk.stand_in.answer("GetMetricData", move |_, _| refuse.clone());
        }
        desk.parked(1, "orders", 0).await;
        let returned = desk.landfall(&["retry", &id(1)]);
        let found = desk.landfall(&["find", "s3://acme-landing/orders/1.csv"]);
        let batch = desk.landfall(&["batch", &id(1)]);
        for shown in [&returned, &found, &batch] {
            assert_eq!(shown.status, 0, "{name}: {}", shown.all());
            let is_doubted =
                shown.stdout.contains("To find out whether it runs, run: landfall status\n");
            assert_eq!(is_doubted, !is_refused, "{name}: {}", shown.all());
            assert!(shown.stdout.contains("at its next tick"), "{name}: {}", shown.all());
            assert!(!shown.stdout.contains("within a minute"), "{name}: {}", shown.all());
        }
    }
}
