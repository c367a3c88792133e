//! `landfall batches --former`.

use expect_test::expect;
use landfall_core::batch::{Batch, Closing, State};

use super::batches::a_run;
use super::desk::{Desk, id, member};

#[tokio::test]
async fn batches_of_the_version_before_are_listed_until_they_are_done() {
    let desk = Desk::new();
    let former = desk.sealed(1, "orders", 0, &[member("orders/1.csv")]).await;
    let done = desk.sealed(2, "orders", 30, &[member("orders/2.csv")]).await;
    desk.parked(3, "audit", 60).await;
    let open = Closing { window_secs: Some(3_600), ..Closing::default() };
    desk.recorded(4, "audit", 90, &[member("audit/1.csv")], &[], open).await;
    // Those of this version: as it writes them, and one whose manifest the former monitor wrote.
    let now = |number: u64, batch: &Batch| Batch {
        id: format!("222222222222-{}", id(number)),
        revision: 0,
        ..batch.clone()
    };
    for batch in [now(5, &former), now(6, &desk.advanced(done, 30, a_run()).await)] {
        desk.ledger.write(batch).await.expect("a ledger").expect("a batch");
    }
    let listed =
        |options: &[&str]| desk.landfall(&[&["batches", "--former"][..], options].concat()).all();
    expect![[r#"
        OPENED                ROUTE   GROUP          STATE    OBJECTS  RUN, OR WAITS FOR            ID
        2026-01-31T12:01:30Z  audit   dt=2026-01-31  open           1  closes 2026-01-31T13:01:30Z  00000000000000000000000000000004
        2026-01-31T12:01:00Z  audit   dt=2026-01-31  parked         1  argument_refused             00000000000000000000000000000003
        2026-01-31T12:00:30Z  orders  dt=2026-01-31  started        1  jr_1                         222222222222-00000000000000000000000000000006
        2026-01-31T12:00:30Z  orders  dt=2026-01-31  started        1  jr_1                         00000000000000000000000000000002
        2026-01-31T12:00:00Z  orders  dt=2026-01-31  sealed         1  the monitor                  00000000000000000000000000000001

        5 unfinished batches of the previous version
        --- stderr
        --- status 0
    "#]].assert_eq(&listed(&[]));
    expect![[r#"
        OPENED                ROUTE  GROUP          STATE  OBJECTS  RUN, OR WAITS FOR            ID
        2026-01-31T12:01:30Z  audit  dt=2026-01-31  open         1  closes 2026-01-31T13:01:30Z  00000000000000000000000000000004

        1 unfinished batch of the previous version
        --- stderr
        --- status 0
    "#]].assert_eq(&listed(&["--route", "audit", "--state", "open"]));
    assert!(listed(&["--json", "--limit", "1"]).contains("\"left\": \"older\""));
    assert!(listed(&["--since", "7d"]).contains("cannot be used with"));
    for number in [1, 2, 3, 4] {
        let batch = desk.ledger.batch(&id(number)).await.expect("a ledger").expect("a batch");
        let state = State::Succeeded { run_id: "jr_1".to_owned(), claimed: true };
        desk.ledger.write(Batch { state, ..batch }).await.expect("a ledger").expect("a batch");
    }
    let six = format!("222222222222-{}", id(6));
    let batch = desk.ledger.batch(&six).await.expect("a ledger").expect("a batch");
    desk.ledger.write(Batch { state: State::Empty, ..batch }).await.expect("a ledger");
    expect![[r#"
        no matching batch of the previous version is unfinished
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&listed(&[]));
}
