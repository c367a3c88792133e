use expect_test::{Expect, expect};
use landfall_core::batch::{EndOutcome, RunState, Seen, StartOutcome};

use super::*;
use crate::fixtures::{self as made, NOW, secs};

/// The batch so many seconds after [`NOW`]: the cell of the table, then the sentences.
#[track_caller]
fn check(batch: &Batch, after: u64, expected: Expect) {
    let now = NOW + secs(after);
    let words = in_words(batch, now, &Monitor::Ticks).join("\n");
    expected.assert_eq(&format!("{}\n{words}\n", in_short(batch, now)));
}

#[test]
fn an_open_batch_says_until_when_it_takes_objects() {
    let windowed = Closing { window_secs: Some(300), ..Closing::default() };
    check(
        &made::opened(windowed).with(1, false, false, &made::moment(0)),
        60,
        expect![[r#"
            closes 2026-02-01T00:05:00Z
            It takes objects until 2026-02-01T00:05:00Z (in 4 minutes).
            It closes 5 minutes after the first object.
        "#]],
    );
    let all =
        Closing { quiet_secs: Some(60), settle_secs: 30, max_objects: Some(1000), ..windowed };
    check(
        &made::opened(all).with(1, true, false, &made::moment(0)),
        10,
        expect![[r#"
            closes 2026-02-01T00:00:30Z
            It takes objects until 2026-02-01T00:00:30Z (in 20 seconds), or until it has 1000.
            It closes 5 minutes after the first object, or when none has arrived for 60 seconds, or 30 seconds after its marker, which has arrived, whichever comes first.
        "#]],
    );
    check(
        &made::opened(Closing::default()).with(1, false, false, &made::moment(0)),
        10,
        expect![[r#"
            closes 2026-02-01T00:02:00Z
            An invocation of the trigger is recording its objects. If the invocation was cut off, the monitor closes the batch at 2026-02-01T00:02:00Z (in 110 seconds).
        "#]],
    );
}

#[test]
fn a_batch_that_is_to_be_announced_says_so_and_what_holds_it_up_and_when_it_was() {
    let batch = made::to_announce();
    check(
        &batch,
        10,
        expect![[r#"
        the monitor
        It is due. The monitor puts the event that says that it has closed within a minute.
    "#]],
    );
    let refused = "batch_not_announced: AccessDeniedException: not authorized";
    check(
        &made::seen(&batch, Seen::Announced(Err(refused.to_owned())), 10),
        20,
        expect![[r#"
        batch_not_announced, 2026-02-01T00:00:40Z
        The monitor puts the event that says that it has closed at 2026-02-01T00:00:40Z (in 20 seconds).
        Why not earlier: batch_not_announced: AccessDeniedException: not authorized.
    "#]],
    );
    check(
        &made::seen(&batch, Seen::Announced(Ok(())), 10),
        20,
        expect![[r#"
        -
        The event that says that it has closed was put 2026-02-01T00:00:10Z (10 seconds ago). Its route starts no job, so Landfall is done.
    "#]],
    );
}

#[test]
fn a_sealed_batch_says_what_it_waits_for() {
    check(
        &made::sealed(),
        10,
        expect![[r#"
            the monitor
            It is due. The monitor starts a run within a minute.
        "#]],
    );
    let later = |waits_for_slot| {
        let (code, message) = ("ThrottlingException".to_owned(), "Rate exceeded.".to_owned());
        Seen::Start(StartOutcome::NotNow { code, message, waits_for_slot })
    };
    check(
        &made::seen(&made::starting(), later(false), 2),
        10,
        expect![[r#"
            ThrottlingException, 2026-02-01T00:00:32Z
            The monitor starts a run at 2026-02-01T00:00:32Z (in 22 seconds).
            Why not earlier: ThrottlingException: Rate exceeded.
        "#]],
    );
    check(
        &made::seen(&made::starting(), later(true), 2),
        10,
        expect![[r#"
        a run to end, or 2026-02-01T00:00:32Z
        It waits until a run of job `orders-to-parquet` ends, or until 2026-02-01T00:00:32Z (in 22 seconds).
        Why: ThrottlingException: Rate exceeded.
    "#]],
    );
    check(
        &made::given_up(RunState::Failed),
        302,
        expect![[r#"
            a retry, 2026-02-01T00:06:01Z
            The monitor starts a run at 2026-02-01T00:06:01Z (in 59 seconds).
            Why not earlier: run `jr_1` is FAILED.
        "#]],
    );
}

#[test]
fn a_batch_that_is_starting_says_whether_that_is_in_doubt() {
    check(
        &made::starting(),
        10,
        expect![[r#"
            starting since 2026-02-01T00:00:01Z
            A run (epoch 1) has been starting since 2026-02-01T00:00:01Z (9 seconds ago). The invocation that starts it has until 2026-02-01T00:02:01Z (in 111 seconds).
        "#]],
    );
    check(
        &made::in_doubt(),
        200,
        expect![[r#"
            starting since 2026-02-01T00:00:01Z
            A run (epoch 1) should have started at 2026-02-01T00:00:01Z (3 minutes ago), but it is unknown whether it did.
            The monitor looks for it in Glue at 2026-02-01T00:04:00Z (in 40 seconds). Until that is certain, no other run starts.
        "#]],
    );
}

#[test]
fn a_batch_with_a_run_names_it() {
    check(
        &made::started(),
        10,
        expect![[r#"
            jr_1
            The monitor has followed run `jr_1` (epoch 1) since 2026-02-01T00:00:02Z (8 seconds ago).
            Glue reports when it ends; otherwise the monitor checks it at 2026-02-01T00:05:01Z (in 4 minutes).
        "#]],
    );
    check(
        &made::seen(&made::started(), Seen::Run(Some(RunState::Running.into())), 62),
        80,
        expect![[r#"
            jr_1
            The monitor has followed run `jr_1` (epoch 1) since 2026-02-01T00:00:02Z (78 seconds ago), last seen RUNNING.
            Glue reports when it ends; otherwise the monitor checks it at 2026-02-01T00:04:02Z (in 2 minutes).
        "#]],
    );
    check(
        &made::ended(RunState::Succeeded),
        4000,
        expect![[r#"
        jr_1
        Run `jr_1` succeeded 2026-02-01T00:05:00Z (61 minutes ago).
    "#]],
    );
    check(
        &made::ended(RunState::Failed),
        300,
        expect![[r#"
            jr_1
            Run `jr_1` (epoch 1) ended as FAILED 2026-02-01T00:05:00Z (now).
            The monitor ends the run's claim, then starts another run.
        "#]],
    );
    check(
        &made::ended(RunState::Timeout),
        300,
        expect![[r#"
            jr_1
            Run `jr_1` (epoch 1) ended as TIMEOUT 2026-02-01T00:05:00Z (now).
            The monitor ends the run's claim, then parks the batch, because the route doesn't retry after such an end.
        "#]],
    );
}

#[test]
fn a_batch_whose_run_failed_repeats_what_glue_says_and_what_that_means() {
    let denied = "An error occurred while calling o93.parquet.\nAccess Denied (Service: Amazon S3; Status Code: 403)\u{1b}[2J.";
    check(
        &made::failed(denied),
        300,
        expect![[r#"
        jr_1
        Run `jr_1` (epoch 1) ended as FAILED 2026-02-01T00:05:00Z (now).
        The monitor ends the run's claim, then starts another run.
        Glue says why run `jr_1` failed: An error occurred while calling o93.parquet.\nAccess Denied (Service: Amazon S3; Status Code: 403)\u{1b}[2J.
        What it means [access_denied]: S3 doesn't say why. Known causes are the job reading with its own role instead of the reader role (`s3://` or `boto3.client` instead of `batch.open` or `s3a://`), a key, an endpoint's policy, and an object that isn't there while the caller may not list. See how the job reads. The CloudTrail of the account that owns the bucket has the reason.
    "#]],
    );
    let denied = "AccessDenied: User: arn:aws:sts::222222222222:assumed-role/orders-job/s is not authorized to perform: s3:GetObject because no identity-based policy allows the s3:GetObject action";
    check(
        &made::failed(denied),
        300,
        expect![[r#"
        jr_1
        Run `jr_1` (epoch 1) ended as FAILED 2026-02-01T00:05:00Z (now).
        The monitor ends the run's claim, then starts another run.
        Glue says why run `jr_1` failed: AccessDenied: User: arn:aws:sts::222222222222:assumed-role/orders-job/s is not authorized to perform: s3:GetObject because no identity-based policy allows the s3:GetObject action.
        What it means [denied_by_caller]: No policy of the calling role or user allows the action on this resource. If the role is one of Landfall's, run `landfall deploy --repair`. If it is yours, add the action for this resource to its policy.
    "#]],
    );
    let retried =
        made::seen(&made::failed("ValueError: x"), Seen::ClaimEnded(EndOutcome::Ended), 301);
    check(
        &retried,
        302,
        expect![[r#"
        a retry, 2026-02-01T00:06:01Z
        The monitor starts a run at 2026-02-01T00:06:01Z (in 59 seconds).
        Why not earlier: run `jr_1` is FAILED.
        Glue says why run `jr_1` failed: ValueError: x.
    "#]],
    );
    check(
        &retried,
        400,
        expect![[r#"
        the monitor
        It is due. The monitor starts a run within a minute.
        Glue says why run `jr_1` failed: ValueError: x.
    "#]],
    );
    let last = Batch { failures: 1, ..made::failed("ValueError: x") };
    check(
        &made::seen(&last, Seen::ClaimEnded(EndOutcome::Ended), 301),
        400,
        expect![[r#"
        attempts_exhausted
        It has been parked since 2026-02-01T00:05:01Z (99 seconds ago): all 2 attempts failed [attempts_exhausted].
        Message: run `jr_1` is FAILED.
        Glue says why run `jr_1` failed: ValueError: x.
        No run starts until you return the batch.
        Once you have removed the cause, run: landfall retry 899bfd94d19c4ed05147d6815125b225
    "#]],
    );
}

#[test]
fn a_parked_batch_says_why_and_how_it_is_returned() {
    check(
        &made::parked(Why::NoSuchJob, "EntityNotFoundException: orders\u{1b}[2J"),
        7200,
        expect![[r#"
            no_such_job
            It has been parked since 2026-02-01T00:00:02Z (119 minutes ago): there is no such job [no_such_job].
            Message: EntityNotFoundException: orders\u{1b}[2J.
            What it means [job_not_found]: The job was renamed or deleted, or the route names it wrongly. Correct the name in the route and deploy, or create the job. Then return the batches that are parked as `no_such_job`.
            No run starts until you return the batch.
            Once you have removed the cause, run: landfall retry 899bfd94d19c4ed05147d6815125b225
        "#]],
    );
    check(
        &made::given_up(RunState::Timeout),
        400,
        expect![[r#"
            state_not_retried
            It has been parked since 2026-02-01T00:05:01Z (99 seconds ago): its run failed in a way that the route doesn't retry [state_not_retried].
            Message: run `jr_1` is TIMEOUT.
            No run starts until you return the batch.
            Once you have removed the cause, run: landfall retry 899bfd94d19c4ed05147d6815125b225
        "#]],
    );
    let again = Batch { failures: 1, ..made::started() };
    let claim = landfall_core::batch::Claim { holder: Some(1), ..Default::default() };
    let failed = made::seen(&again, Seen::Claim { run: RunState::Failed.into(), claim }, 300);
    let ended = landfall_core::batch::EndOutcome::Ended;
    check(
        &made::seen(&failed, Seen::ClaimEnded(ended), 301),
        400,
        expect![[r#"
            attempts_exhausted
            It has been parked since 2026-02-01T00:05:01Z (99 seconds ago): all 2 attempts failed [attempts_exhausted].
            Message: run `jr_1` is FAILED.
            No run starts until you return the batch.
            Once you have removed the cause, run: landfall retry 899bfd94d19c4ed05147d6815125b225
        "#]],
    );
    check(
        &made::parked(Why::OutcomeUnknown, "timed out"),
        400,
        expect![[r#"
            outcome_unknown
            It has been parked since 2026-02-01T00:00:02Z (6 minutes ago): Landfall couldn't find out what became of a run [outcome_unknown].
            Message: timed out.
            No run starts until you return the batch.
            First check in Glue whether a run with `--landfall-batch-id 899bfd94d19c4ed05147d6815125b225` did the work. If so, leave the batch parked.
            Once you have removed the cause, run: landfall retry 899bfd94d19c4ed05147d6815125b225
        "#]],
    );
}

#[test]
fn a_batch_of_a_marker_alone_says_so() {
    let batch = made::opened(Closing { window_secs: Some(300), ..Closing::default() });
    let marked = batch.with(0, true, false, &made::moment(0));
    check(
        &made::seen(&marked, Seen::Nothing, 300),
        310,
        expect![[r#"
            -
            It closed without objects, because only the group's marker arrived. No run starts.
        "#]],
    );
}

#[test]
fn what_nobody_has_looked_at_for_long_is_told() {
    check(
        &made::sealed(),
        180,
        expect![[r#"
            the monitor
            It is due. The monitor starts a run within a minute.
        "#]],
    );
    check(
        &made::sealed(),
        181,
        expect![[r#"
            the monitor
            It is due. The monitor starts a run at its next tick.
            The monitor should have taken it up 3 minutes ago: is the monitor running? Check its alarms and its log.
        "#]],
    );
}

/// A deployment whose monitor never ticked, one whose monitor is late, and one of which nobody may ask CloudWatch.
#[test]
fn a_time_is_promised_only_of_a_monitor_that_is_known_to_tick() {
    let sealed = made::sealed();
    let told = |monitor: &Monitor, after| in_words(&sealed, NOW + secs(after), monitor).join("\n");
    let silent = Monitor::Silent("landfall status".to_owned());
    expect!["It is due. The monitor starts a run within a minute."]
        .assert_eq(&told(&Monitor::Ticks, 5));
    expect![[r#"
        It is due. The monitor starts a run at its next tick.
        CloudWatch knows of no tick of the monitor in the last 5 minutes. To find out whether it runs, run: landfall status"#]].assert_eq(&told(&silent, 5));
    expect!["It is due. The monitor starts a run at its next tick."]
        .assert_eq(&told(&Monitor::NotKnown, 5));
    expect![[r#"
        It is due. The monitor starts a run at its next tick.
        The monitor should have taken it up 10 minutes ago: is the monitor running? Check its alarms and its log."#]].assert_eq(&told(&Monitor::Ticks, 600));
    expect![[r#"
        It is due. The monitor starts a run at its next tick.
        The monitor should have taken it up 10 minutes ago: is the monitor running? Check its alarms and its log."#]].assert_eq(&told(&silent, 600));
}
