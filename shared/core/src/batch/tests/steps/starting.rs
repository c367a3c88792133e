//! A call that is about to be made, or was.

use expect_test::expect;

use super::*;

fn found(epochs: &[u32]) -> Seen {
    let run = |epoch: &u32| FoundRun { epoch: *epoch, run_id: format!("jr_{epoch}") };
    Seen::Lookup(Lookup::Complete(epochs.iter().map(run).collect()))
}

#[test]
fn only_whoever_wrote_starting_makes_the_call() {
    let batch = super::super::starting(&sealed());
    check(&batch, &Seen::Begun, 0, expect!["Start"]);
    for seen in [Seen::Nothing, Seen::Wake] {
        for after in [0, 119] {
            assert_eq!(next(&batch, &seen, &moment(after), &SETTINGS), Step::Rest);
        }
    }
}

#[test]
fn a_call_ends_in_a_run_or_later_or_never_or_in_doubt() {
    let batch = super::super::starting(&with_limits(Some(1), None));
    let run_id = "jr_1".to_owned();
    check(
        &batch,
        &Seen::Start(StartOutcome::Started(run_id)),
        0,
        expect![[r#"
            write {"epoch":1,"look_at":"+300s","name":"started","run_id":"jr_1","since":"+0s"}
            started: jr_1"#]],
    );
    let (code, message) = ("ConcurrentRunsExceededException".to_owned(), "full".to_owned());
    let refused = StartOutcome::NotNow { code, message, waits_for_slot: true };
    check(
        &batch,
        &Seen::Start(refused),
        0,
        expect![[r#"
            write and release {"due":"+30s","name":"sealed","waits_for_slot":true}
            waits_for_slot: ConcurrentRunsExceededException: full"#]],
    );
    let (why, message) = (Why::NoSuchJob, "no job `orders`".to_owned());
    check(
        &batch,
        &Seen::Start(StartOutcome::Never { why, message }),
        0,
        expect![[r#"
            write and release {"message":"no job `orders`","name":"parked","why":"no_such_job"}
            parked: no_such_job: no job `orders`"#]],
    );
    let doubt = StartOutcome::Unknown("the connection was reset".to_owned());
    check(
        &batch,
        &Seen::Start(doubt),
        0,
        expect![[r#"
            write {"lease":"+120s","look_at":"+120s","name":"starting","t0":"+0s"}
            outcome_not_known_yet: the connection was reset"#]],
    );
}

#[test]
fn after_the_lease_the_runs_are_searched_from_a_little_before_the_call() {
    let batch = super::super::starting(&sealed());
    let step = next(&batch, &Seen::Nothing, &moment(300), &SETTINGS);
    assert_eq!(step, Step::Lookup { since: NOW - secs(300), not_before: NOW + secs(300) });
}

#[test]
fn a_run_that_is_found_is_followed_and_all_that_are_found_are_remembered() {
    let batch = super::super::starting(&sealed());
    check(
        &batch,
        &found(&[1]),
        300,
        expect![[r#"
            write {"epoch":1,"look_at":"+360s","name":"started","run_id":"jr_1","since":"+300s"}
            started: jr_1"#]],
    );
    let batch = written(&Batch { epoch: 3, ..batch }, &found(&[2, 3, 1]), 300);
    let State::Started(Started { epoch, .. }) = batch.state else { panic!("{:?}", batch.state) };
    assert_eq!((epoch, batch.runs.len()), (3, 3));
}

/// The caller may have made its call in the last moment of its lease.
#[test]
fn a_run_is_missed_only_when_the_window_has_passed_since_the_end_of_the_lease() {
    let batch = super::super::starting(&with_limits(Some(1), None));
    check(
        &batch,
        &found(&[]),
        120,
        expect![[r#"
            write {"lease":"+120s","look_at":"+180s","name":"starting","t0":"+0s"}
            outcome_not_known_yet: no run is seen"#]],
    );
    check(
        &batch,
        &found(&[]),
        900,
        expect![[r#"
            write {"lease":"+120s","look_at":"+960s","name":"starting","t0":"+0s"}
            outcome_not_known_yet: no run is seen"#]],
    );
    check(
        &batch,
        &found(&[]),
        1_019,
        expect![[r#"
            write {"lease":"+120s","look_at":"+1020s","name":"starting","t0":"+0s"}
            outcome_not_known_yet: no run is seen"#]],
    );
    check(
        &batch,
        &found(&[]),
        1_020,
        expect![[r#"
            write and release {"due":"+1020s","name":"sealed","waits_for_slot":false}
            not_started: no run was found"#]],
    );
}

#[test]
fn what_is_unclear_is_looked_at_again_and_in_the_end_parked() {
    let batch = super::super::starting(&with_limits(Some(1), None));
    let unclear = Seen::Lookup(Lookup::Unclear("a run without arguments".to_owned()));
    check(
        &batch,
        &unclear,
        120,
        expect![[r#"
            write {"lease":"+120s","look_at":"+180s","missing":{"since":1000000120000,"times":1},"name":"starting","t0":"+0s"}
            outcome_not_known_yet: a run without arguments"#]],
    );
    let twice = [120, 180].iter().fold(batch, |batch, after| written(&batch, &unclear, *after));
    check(
        &twice,
        &unclear,
        1_919,
        expect![[r#"
            write {"lease":"+120s","look_at":"+1979s","missing":{"since":1000000120000,"times":3},"name":"starting","t0":"+0s"}
            outcome_not_known_yet: a run without arguments"#]],
    );
    check(
        &twice,
        &unclear,
        1_920,
        expect![[r#"
            write and release {"message":"a run without arguments","name":"parked","why":"outcome_unknown"}
            parked: outcome_unknown: a run without arguments"#]],
    );
}

/// An outage is no answer: only answers leave open whether there is a run.
#[test]
fn what_is_unclear_counts_from_the_first_answer_and_not_from_an_outage_before() {
    let unclear = Seen::Lookup(Lookup::Unclear("a run without arguments".to_owned()));
    let unanswered = Seen::Lookup(Lookup::Unanswered("throttled".to_owned()));
    let missing = |batch: &Batch| match batch.state {
        State::Starting(Starting { missing, .. }) => missing,
        ref state => panic!("{state:?}"),
    };
    let batch = super::super::starting(&with_limits(Some(1), None));
    let batch = (0..8).fold(batch, |batch, n| written(&batch, &unanswered, 120 + n * 900));
    assert_eq!(missing(&batch), None);
    let batch = written(&batch, &unclear, 7_200);
    let first = Some(Missing { since: NOW + secs(7_200), times: 1 });
    assert_eq!(missing(&batch), first);
    let batch = written(&batch, &unanswered, 7_260);
    let batch = written(&batch, &Seen::Failed("no role".to_owned()), 8_160);
    assert_eq!(missing(&batch), first, "an outage between answers neither counts nor ends them");
    let batch = written(&batch, &unclear, 9_000);
    assert_eq!(missing(&batch).map(|missing| missing.times), Some(2), "twice is not several times");
    let State::Parked { why, .. } = written(&batch, &unclear, 9_060).state else {
        panic!("{batch:?}")
    };
    assert_eq!(why, Why::OutcomeUnknown);
    let batch = super::super::starting(&sealed());
    let unclear_once = written(&batch, &unclear, 120);
    assert_eq!(missing(&written(&unclear_once, &found(&[]), 180)), None, "an answer was clear");
}

#[test]
fn a_search_without_an_answer_is_repeated_less_and_less_often_as_long_as_glue_keeps_its_history() {
    let batch = super::super::starting(&with_limits(Some(1), None));
    let unanswered = Seen::Lookup(Lookup::Unanswered("throttled".to_owned()));
    let pause = |after: u64| {
        let batch = written(&batch, &unanswered, after);
        batch.due().expect("it waits").since(NOW + secs(after)).as_secs()
    };
    let day = 86_400;
    assert_eq!([120, 1_920, 7_200, 30 * day, 89 * day - 1].map(pause), [60, 450, 900, 900, 900]);
    let waits =
        (0..5).fold(batch.clone(), |batch, n| written(&batch, &unanswered, 7_200 + n * 900));
    assert!(waits.is_stuck() && waits.blocked_since().is_some(), "somebody is told");
    check(
        &batch,
        &unanswered,
        89 * day,
        expect![[r#"
        write and release {"message":"throttled","name":"parked","why":"outcome_unknown"}
        parked: outcome_unknown: throttled"#]],
    );
}

#[test]
fn a_run_that_is_not_seen_where_glue_keeps_no_history_any_more_is_not_started_again() {
    let batch = super::super::starting(&with_limits(Some(1), None));
    let day = 86_400;
    check(
        &batch,
        &found(&[]),
        89 * day - 1,
        expect![[r#"
        write and release {"due":"+7689599s","name":"sealed","waits_for_slot":false}
        not_started: no run was found"#]],
    );
    check(
        &batch,
        &found(&[]),
        89 * day,
        expect![[r#"
        write and release {"message":"no run is seen, and Glue keeps no history of runs for so long","name":"parked","why":"outcome_unknown"}
        parked: outcome_unknown: no run is seen, and Glue keeps no history of runs for so long"#]],
    );
}

/// It was begun little before the call of the next one, and is found with it.
#[test]
fn a_run_that_is_known_to_have_failed_does_not_answer_for_the_next_call() {
    let failed = Seen::Claim { run: RunState::Failed.into(), claim: Claim::default() };
    let batch = written(&super::super::started(&sealed()), &failed, 10);
    let batch = written(&batch, &Seen::ClaimEnded(EndOutcome::Ended), 10);
    let batch = super::super::starting(&batch);
    assert_eq!(batch.epoch, 2);
    check(
        &batch,
        &found(&[1]),
        120,
        expect![[r#"
            write {"lease":"+120s","look_at":"+180s","name":"starting","t0":"+0s"}
            outcome_not_known_yet: no run is seen"#]],
    );
    check(
        &batch,
        &found(&[1, 2]),
        120,
        expect![[r#"
            write {"epoch":2,"look_at":"+300s","name":"started","run_id":"jr_2","since":"+120s"}
            started: jr_2"#]],
    );
    check(
        &batch,
        &found(&[1]),
        1_020,
        expect![[r#"
            write {"due":"+1020s","name":"sealed","waits_for_slot":false}
            not_started: no run was found"#]],
    );
}
