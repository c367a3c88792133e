//! `find --watch` and `batch --watch`, while something happens to the batch.

use std::thread;
use std::time::{Duration, Instant};

use landfall_core::batch::{RefusalReason, Seen, Unprepared};

use super::desk::{CREDENTIALS, Desk, id, member, run};
use crate::Shown;

/// Runs `landfall`, and waits until it has looked at batches twice before `happens` happens.
async fn watched(desk: &Desk, args: &[&str], happens: impl AsyncFnOnce()) -> Shown {
    let endpoint = desk.stand_in.endpoint().to_owned();
    let args: Vec<String> = args.iter().map(|it| (*it).to_owned()).collect();
    desk.stand_in.clear_calls();
    let command = thread::spawn(move || {
        let place = [("AWS_ENDPOINT_URL", endpoint.as_str()), ("AWS_REGION", "eu-west-1")];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        run(&args, &[&place[..], &CREDENTIALS].concat())
    });
    let of_batch = || {
        let reads = desk.stand_in.calls_of("GetItem");
        reads.iter().filter(|body| body["Key"]["sk"]["S"] == "batch").count()
    };
    let begin = Instant::now();
    while of_batch() < 2 {
        let reads = desk.stand_in.calls_of("GetItem");
        assert!(begin.elapsed() < Duration::from_secs(60), "it doesn't look again: {reads:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    happens().await;
    command.join().expect("an ended landfall")
}

#[tokio::test]
async fn a_watched_batch_is_shown_whenever_it_changes_until_it_is_settled() {
    let desk = Desk::new();
    for (number, args) in
        [(1, ["batch", "--watch=1", &id(1)]), (2, ["find", "--watch=1", "s3://acme-landing/2.csv"])]
    {
        let batch = desk.sealed(number, "orders", 0, &[member(&format!("{number}.csv"))]).await;
        let parked = async || {
            let argument = "--dt".to_owned();
            let refused = Unprepared::Refused(RefusalReason::LeadingDash { argument });
            desk.advanced(batch, 0, [Seen::Prepared(Err(refused))]).await;
        };
        let shown = watched(&desk, &args, parked).await;
        let lines: Vec<&str> = shown.stdout.lines().collect();
        let first = lines.iter().position(|line| line.contains("sealed")).expect("the first look");
        let last = lines.iter().position(|line| line.contains("parked")).expect("the last look");
        assert!(first < last, "{}", shown.all());
        // What doesn't change is told once.
        let due = lines.iter().filter(|line| line.contains("It is due.")).count();
        assert_eq!((due, shown.status, shown.stderr.as_str()), (1, 0, ""), "{}", shown.all());
        assert!(!shown.stdout.contains('\u{1b}'), "{}", shown.all());
    }
}

#[tokio::test]
async fn nothing_is_watched_that_is_settled_or_not_there() {
    let desk = Desk::new();
    desk.parked(1, "orders", 0).await;
    for args in [
        &["batch", &id(1)][..],
        &["batch", &id(2)],
        &["find", "s3://acme-landing/orders/1.csv"],
        &["find", "s3://acme-landing/orders/2.csv"],
    ] {
        let once = desk.landfall(args);
        let watched = desk.landfall(&[args, &["--watch"]].concat());
        assert_eq!(watched.all(), once.all(), "{args:?}");
    }
    let shown = desk.landfall(&["batch", "--watch", "--json", &id(1)]);
    assert_eq!((shown.status, shown.stdout.as_str()), (2, ""), "{}", shown.all());
}
