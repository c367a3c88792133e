//! Parked batches that have objects of a selection.

use super::super::desk::id;
use super::*;

/// Parks a batch for each of these numbers, whose object is `orders/NUMBER.csv`.
async fn parked(world: &World, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        world.desk.parked(number, "orders", number).await;
    }
}

async fn states(world: &World, numbers: std::ops::RangeInclusive<u64>) -> Vec<&'static str> {
    let mut states = Vec::new();
    for number in numbers {
        let batch = world.desk.ledger.batch(&id(number)).await.expect("a ledger");
        states.push(batch.expect("a batch").state.name());
    }
    states
}

#[tokio::test]
async fn the_parked_batches_that_have_an_object_of_the_selection_come_again() {
    let world = World::new();
    parked(&world, 1..=3).await;
    world.desk.parked(4, "named", 4).await;
    let failed = |args: &[&str]| {
        let all = [&["backfill", "--mode", "failed", "--route", "orders"], args].concat();
        world.desk.landfall(&all)
    };
    let look = failed(&["--prefix", "orders/2", "--dry-run", "--json"]);
    assert_eq!(look.stdout, format!("{{\n  \"batches\": [\n    \"{}\"\n  ]\n}}\n", id(2)));
    let none = failed(&["--prefix", "orders/7", "--yes"]);
    assert_eq!((none.status, none.stdout.as_str()), (0, "no parked batch was found\n"));
    assert_eq!(states(&world, 1..=4).await, ["parked"; 4], "nothing is done so far");
    let shown = failed(&["--prefix", "orders/2", "--yes"]);
    expect![[r#"
        batch `00000000000000000000000000000002` of route `orders` is returned
        the monitor starts it at its next tick, usually within a minute
        --- stderr
        --- status 0
    "#]]
    .assert_eq(&shown.all());
    assert_eq!(states(&world, 1..=4).await, ["parked", "sealed", "parked", "parked"]);
    // The oldest come first, and what is left is told.
    let shown = failed(&["--max-runs", "1", "--yes"]);
    assert_eq!((shown.status, states(&world, 1..=4).await[0]), (1, "sealed"), "{}", shown.all());
    assert_eq!(failed(&["--yes"]).status, 0);
    assert_eq!(states(&world, 1..=4).await, ["sealed", "sealed", "sealed", "parked"]);
}

#[tokio::test]
async fn the_time_of_a_parked_object_selects_its_batch() {
    let world = World::new();
    for (number, time) in
        [(1, Some("2026-01-01T00:00:00Z")), (2, Some("2026-02-01T00:00:00Z")), (3, None)]
    {
        let time = time.map(str::to_owned);
        let object = Member { event_time: time, ..member(&format!("orders/{number}.csv")) };
        let batch = world.desk.sealed(number, "orders", number, &[object]).await;
        let state = State::Parked { why: Why::NoSuchJob, message: String::new() };
        let batch = Batch { state, ..batch };
        world.desk.ledger.write(batch).await.expect("a ledger").expect("a batch");
    }
    let selected = |args: &[&str]| {
        let all =
            [&["backfill", "--mode", "failed", "--route", "orders", "--dry-run"], args].concat();
        let shown = world.desk.landfall(&all);
        (1..=3).filter(|number| shown.stdout.contains(&id(*number))).collect::<Vec<u64>>()
    };
    assert_eq!(selected(&["--since", "2026-01-15T00:00:00Z"]), [2, 3]);
    assert_eq!(selected(&["--until", "2026-01-15T00:00:00Z"]), [1, 3]);
    assert_eq!(
        selected(&["--until", "2025-01-15T00:00:00Z"]),
        [3],
        "nobody knows when it was written"
    );
}

#[test]
fn what_says_nothing_about_batches_is_refused() {
    let world = World::new();
    for option in
        ["--keys=x", "--inventory=x", "--max-objects=1", "--rate=1", "--max-runs-per-hour=1"]
    {
        let shown = world
            .desk
            .landfall(&["backfill", "--route", "orders", "--mode", "failed", "--yes", option]);
        let name = option.split('=').next().expect("a name");
        let says = format!("leave out {name}");
        assert!(shown.status == 2 && shown.stderr.contains(&says), "{}", shown.all());
    }
    let shown = world.desk.landfall(&["backfill", "--route", "orders", "--mode", "all", "--yes"]);
    assert!(shown.status == 2 && shown.stderr.contains("--reason"), "{}", shown.all());
}

#[test]
fn mode_all_is_a_replay() {
    let world = World::new();
    world.put("orders/1/a", "a", 120);
    let args = ["backfill", "--route", "orders", "--mode", "all", "--reason", "again", "--yes"];
    assert_eq!(world.run(&args).status, 0);
    assert!(world.sent()[0].listing.as_ref().is_some_and(|listing| listing.again));
    assert!(world.ids()[0].starts_with("replay-"));
}
