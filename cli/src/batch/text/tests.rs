use expect_test::{Expect, expect};
use landfall_core::batch::{EndOutcome, RunState, Seen, StartOutcome, State};

use super::*;
use crate::fixtures::{self as made, NOW, secs};
use crate::monitor::Monitor;

#[track_caller]
fn check(batch: Batch, members: Option<Vec<Member>>, expected: Expect) {
    let told = BatchDetails { batch, members, outcome: None };
    expected.assert_eq(&print(&told, NOW + secs(400), &Monitor::Ticks));
}

#[test]
fn a_batch_without_a_job_is_told_without_runs_and_arguments() {
    let batch = made::seen(&made::to_announce(), Seen::Announced(Ok(())), 10);
    check(
        batch,
        Some(Vec::new()),
        expect![[r#"
        batch 899bfd94d19c4ed05147d6815125b225 is announced
          The event that says that it has closed was put 2026-02-01T00:00:10Z (6 minutes ago). Its route starts no job, so Landfall is done.

        route     orders
        bucket    acme-landing
        group     dt=2026-01-31
        job       none: an event says that the batch has closed
        opened    2026-02-01T00:00:00Z (6 minutes ago)
        arrivals  3, the last 2026-02-01T00:00:00Z (6 minutes ago)
        objects   2, 1024 bytes
        manifest  s3://manifests/orders/899bfd94d19c4ed05147d6815125b225.json
        announced 2026-02-01T00:00:10Z (6 minutes ago)

        history
          2026-02-01T00:00:00Z  opened
          2026-02-01T00:00:00Z  sealed: 3 members
          2026-02-01T00:00:10Z  announced

        3 members, the first 0
          … and 3 more: --members prints all
    "#]],
    );
}

#[test]
fn a_batch_is_told_with_its_runs_history_and_members() {
    let members = ["orders/dt=2026-01-31/a.csv", "orders/\u{1b}[2J.csv"].map(made::member);
    check(
        made::given_up(RunState::Timeout),
        Some(members.to_vec()),
        expect![[r#"
            batch 899bfd94d19c4ed05147d6815125b225 is parked
              It has been parked since 2026-02-01T00:05:01Z (99 seconds ago): its run failed in a way that the route doesn't retry [state_not_retried].
              Message: run `jr_1` is TIMEOUT.
              No run starts until you return the batch.
              Once you have removed the cause, run: landfall retry 899bfd94d19c4ed05147d6815125b225

            route     orders
            bucket    acme-landing
            group     dt=2026-01-31
            job       orders-to-parquet (target analytics, account 222222222222, eu-west-1)
            opened    2026-02-01T00:00:00Z (6 minutes ago)
            arrivals  3, the last 2026-02-01T00:00:00Z (6 minutes ago)
            objects   2, 1024 bytes
            manifest  s3://manifests/orders/899bfd94d19c4ed05147d6815125b225.json
            attempts  2 attempts at most, 1 failed

            runs
              EPOCH  RUN   LAST SEEN
              1      jr_1  TIMEOUT

            more about run jr_1, in account 222222222222
              logs     /aws-glue/jobs/error and /aws-glue/jobs/output, stream jr_1
                       (of a Spark job; a Python shell job has /aws-glue/python-jobs/error and so on)
              log      aws logs tail /aws-glue/jobs/error --region eu-west-1 --log-stream-names jr_1 --since 7d
              run      aws glue get-job-run --region eu-west-1 --job-name orders-to-parquet --run-id jr_1
              console  https://eu-west-1.console.aws.amazon.com/gluestudio/home?region=eu-west-1#/job/orders-to-parquet/run/jr_1

            arguments, besides the run's epoch
              --dt 2026-01-31
              --landfall-batch-id 899bfd94d19c4ed05147d6815125b225

            history
              2026-02-01T00:00:00Z  opened
              2026-02-01T00:00:00Z  sealed: 3 members
              2026-02-01T00:00:01Z  starting: epoch 1
              2026-02-01T00:00:02Z  started: jr_1
              2026-02-01T00:05:00Z  failed: run jr_1 is TIMEOUT
              2026-02-01T00:05:01Z  parked: state_not_retried: run `jr_1` is TIMEOUT

            3 members, the first 2
              s3://acme-landing/orders/dt=2026-01-31/a.csv (512 bytes, version v1, created 2026-01-31T23:59:59.5Z)
              s3://acme-landing/orders/\u{1b}[2J.csv (512 bytes, version v1, created 2026-01-31T23:59:59.5Z)
              … and 1 more: --members prints all
        "#]],
    );
}

#[test]
fn why_earlier_runs_failed_stands_below_the_runs() {
    let batch =
        made::seen(&made::failed("ValueError: x"), Seen::ClaimEnded(EndOutcome::Ended), 301);
    let text = print(
        &BatchDetails { batch, members: None, outcome: None },
        NOW + secs(302),
        &Monitor::Ticks,
    );
    assert_eq!(text.matches("ValueError").count(), 1, "the latest is told above: {text}");
    let mut batch = made::started();
    let of = |batch: &Batch| {
        let mut out = String::new();
        write_runs(&mut out, batch).expect("a string");
        out
    };
    batch.runs[0].error = Some("Value\u{1b}[2JError".to_owned());
    expect![[r#"

        runs
          EPOCH  RUN   LAST SEEN
          1      jr_1  not seen yet
          Glue says why run `jr_1` failed: Value\u{1b}[2JError.
    "#]]
    .assert_eq(&of(&batch));
}

#[test]
fn what_is_not_known_of_a_batch_is_said() {
    check(
        made::sealed(),
        None,
        expect![[r#"
            batch 899bfd94d19c4ed05147d6815125b225 is sealed
              It is due. The monitor starts a run at its next tick.
              The monitor should have taken it up 6 minutes ago: is the monitor running? Check its alarms and its log.

            route     orders
            bucket    acme-landing
            group     dt=2026-01-31
            job       orders-to-parquet (target analytics, account 222222222222, eu-west-1)
            opened    2026-02-01T00:00:00Z (6 minutes ago)
            arrivals  3, the last 2026-02-01T00:00:00Z (6 minutes ago)
            manifest  not written yet
            attempts  2 attempts at most, none failed

            no known runs

            history
              2026-02-01T00:00:00Z  opened
              2026-02-01T00:00:00Z  sealed: 3 members

            members: unknown
        "#]],
    );
}

#[test]
fn what_a_job_said_of_its_outcome_is_told_and_escaped() {
    let said = |at: Option<&str>, outcome: &str, error: Option<&str>, epoch| Outcome {
        epoch,
        outcome: outcome.to_owned(),
        at: at.map(str::to_owned),
        error: error.map(str::to_owned),
    };
    let at = Some("2026-02-01T00:04:59Z");
    let lines = [
        said(at, "succeeded", None, Some(2)),
        said(at, "failed", Some("Value\u{1b}[2JError"), Some(1)),
        said(None, "bored", None, None),
    ];
    expect![[r#"
        the run of epoch 2 reported at 2026-02-01T00:04:59Z: succeeded
        the run of epoch 1 reported at 2026-02-01T00:04:59Z: failed, with Value\u{1b}[2JError
        a run reported: bored"#]]
    .assert_eq(
        &lines
            .iter()
            .map(|said| job_outcome(said).trim().to_owned())
            .collect::<Vec<_>>()
            .join("\n"),
    );
}

#[test]
fn that_a_batch_need_not_be_claimed_is_told_and_whether_it_was() {
    let told = |batch| {
        print(
            &BatchDetails { batch, members: None, outcome: None },
            NOW + secs(400),
            &Monitor::Ticks,
        )
    };
    let mut batch = made::started();
    assert!(!told(batch.clone()).contains("claim     "), "as long as every job must claim");
    batch.start.claim = ClaimMode::Optional;
    assert!(told(batch.clone()).contains("\nclaim     optional: if no run claims a batch, "));
    let unclaimed = State::Succeeded { run_id: "jr_1".to_owned(), claimed: false };
    let text = told(Batch { state: unclaimed, ..batch.clone() });
    assert!(text.contains("  No run claimed the batch, and none has to."), "{text}");
    let claimed = State::Succeeded { run_id: "jr_1".to_owned(), claimed: true };
    assert!(!told(Batch { state: claimed, ..batch }).contains("No run claimed"));
}

#[test]
fn the_scope_of_a_batch_is_told() {
    let mut batch = made::started();
    batch.start.scope = Scope::Batch;
    let told = print(
        &BatchDetails { batch, members: None, outcome: None },
        NOW + secs(400),
        &Monitor::Ticks,
    );
    assert!(told.contains("\nscope     batch: a run can assume only the reader role\n"), "{told}");
}

#[test]
fn what_happened_many_times_in_a_row_is_one_line() {
    let not_now = || StartOutcome::NotNow {
        code: "ThrottlingException".to_owned(),
        message: "Rate exceeded".to_owned(),
        waits_for_slot: false,
    };
    let mut batch = made::seen(&made::starting(), Seen::Start(not_now()), 2);
    if let Some(last) = batch.history.last_mut() {
        last.times = 7;
    }
    let mut out = String::new();
    write_history(&mut out, &batch).expect("a string");
    expect![[r#"

        history
          2026-02-01T00:00:00Z  opened
          2026-02-01T00:00:00Z  sealed: 3 members
          2026-02-01T00:00:01Z  starting: epoch 1
          2026-02-01T00:00:02Z  deferred, 7 times in a row, this was the last: ThrottlingException: Rate exceeded
    "#]].assert_eq(&out);
}
