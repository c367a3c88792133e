//! A run that is followed, and whose outcome counts.

use expect_test::expect;

use super::*;

fn claim_of(holder: Option<u32>) -> Claim {
    Claim { holder, ended: 0 }
}

fn ended(run_state: RunState, holder: Option<u32>) -> Seen {
    Seen::Claim { run: run_state.into(), claim: claim_of(holder) }
}

fn started() -> Batch {
    super::super::started(&with_limits(Some(1), None))
}

/// The second run is followed, and the first is known if `is_known`.
fn second(is_known: bool) -> Batch {
    let batch = Batch { runs: Vec::new(), ..super::super::starting(&sealed()) };
    let batch = Batch { epoch: 2, ..batch };
    let runs = [1, 2].map(|epoch| FoundRun { epoch, run_id: format!("jr_{epoch}") });
    let runs = if is_known { runs.to_vec() } else { runs[1..].to_vec() };
    written(&batch, &Seen::Lookup(Lookup::Complete(runs)), 0)
}

#[test]
fn a_run_is_looked_at_when_it_is_due_or_an_event_tells() {
    let batch = started();
    check(&batch, &Seen::Nothing, 299, expect!["Rest"]);
    check(&batch, &Seen::Nothing, 300, expect![[r#"Follow { run_id: "jr_1" }"#]]);
    check(&batch, &Seen::Wake, 1, expect![[r#"Follow { run_id: "jr_1" }"#]]);
}

#[test]
fn the_longer_a_run_lasts_the_less_often_it_is_looked_at() {
    let pause = |after: u64, state: RunState| {
        let batch = written(&started(), &Seen::Run(Some(state.into())), after);
        batch.due().expect("it is followed").since(NOW + secs(after)).as_secs()
    };
    assert_eq!(pause(10, RunState::Starting), 60);
    assert_eq!(pause(200, RunState::Running), 600);
    assert_eq!(pause(86_400, RunState::Stopping), 900);
    assert_eq!(pause(20, RunState::Other("HIBERNATING".to_owned())), 60, "taken for live");
}

#[test]
fn a_run_is_looked_at_no_more_than_six_times_an_hour() {
    for (jitter, first_hour) in [(0, 4), (500, 5), (999, 5)] {
        let mut batch = started();
        let first = batch.due().expect("it is followed");
        assert_eq!(first, NOW + secs(300), "a run that is shorter isn't looked at");
        let looks = std::iter::successors(Some(first), |due| {
            let at = Moment { jitter, now: *due, lease: *due + secs(120) };
            let seen = Seen::Run(Some(RunState::Running.into()));
            let Step::Write { batch: written, .. } = next(&batch, &seen, &at, &SETTINGS) else {
                panic!("the run is followed")
            };
            batch = *written;
            batch.due()
        });
        let mut hours = [0; 5];
        for hour in looks.map(|due| due.since(NOW).as_secs() / 3_600).take_while(|hour| *hour < 5) {
            hours[usize::try_from(hour).expect("few hours")] += 1;
        }
        assert_eq!(hours[0], first_hour, "{hours:?}");
        assert!(hours[1..].iter().all(|looks| (4..=6).contains(looks)), "{hours:?}");
    }
}

#[test]
fn the_end_of_a_run_is_no_outcome_before_the_claim_is_read() {
    let batch = started();
    let ends = [RunState::Succeeded, RunState::Failed, RunState::Timeout, RunState::Stopped];
    for run_state in ends {
        let run = ObservedRun::from(run_state);
        let seen = Seen::Run(Some(run.clone()));
        assert_eq!(next(&batch, &seen, &moment(60), &SETTINGS), Step::ReadClaim { run });
    }
}

#[test]
fn a_run_that_holds_the_claim_and_succeeds_is_the_batchs_success() {
    check(
        &started(),
        &ended(RunState::Succeeded, Some(1)),
        60,
        expect![[r#"
        write and release {"name":"succeeded","run_id":"jr_1"}
        succeeded: jr_1"#]],
    );
}

#[test]
fn a_run_that_succeeds_and_never_claimed_is_parked() {
    check(
        &started(),
        &ended(RunState::Succeeded, None),
        60,
        expect![[r#"
            write and release {"message":"run `jr_1` succeeded and had not claimed the batch","name":"parked","why":"not_claimed"}
            parked: not_claimed: run `jr_1` succeeded and had not claimed the batch"#]],
    );
}

#[test]
fn a_run_that_lost_the_claim_leaves_the_outcome_to_its_holder() {
    for run_state in [RunState::Succeeded, RunState::Failed] {
        let batch = written(&second(true), &ended(run_state, Some(1)), 60);
        let State::Started(Started { epoch: 1, run_id, .. }) = &batch.state else {
            panic!("{:?}", batch.state)
        };
        assert_eq!(run_id, "jr_1");
    }
}

#[test]
fn a_holder_that_is_not_known_is_searched_and_parked_if_it_is_never_seen() {
    let batch = second(false);
    check(
        &batch,
        &ended(RunState::Succeeded, Some(1)),
        60,
        expect!["Lookup { since: Time(999999700000), not_before: Time(1000000060000) }"],
    );
    let runs = |epochs: &[u32]| {
        let run = |epoch: &u32| FoundRun { epoch: *epoch, run_id: format!("jr_{epoch}") };
        Seen::Lookup(Lookup::Complete(epochs.iter().map(run).collect()))
    };
    check(
        &batch,
        &runs(&[2, 1]),
        60,
        expect![[r#"
            write {"epoch":1,"look_at":"+120s","name":"started","run_id":"jr_1","since":"+60s"}
            started: jr_1"#]],
    );
    check(
        &batch,
        &runs(&[2]),
        60,
        expect![[r#"
            write {"epoch":2,"look_at":"+120s","missing":{"since":1000000060000,"times":1},"name":"started","run_id":"jr_2","since":"+0s"}
            not_seen: the run that holds the claim is not seen"#]],
    );
    let batch = written(&batch, &runs(&[2]), 60);
    let batch = written(&batch, &runs(&[2]), 1_859);
    check(
        &batch,
        &runs(&[2]),
        1_860,
        expect![[r#"
            write {"message":"the run that holds the claim is not seen","name":"parked","why":"outcome_unknown"}
            parked: outcome_unknown: the run that holds the claim is not seen"#]],
    );
}

#[test]
fn a_holder_is_looked_for_as_long_as_glue_keeps_its_history_while_it_does_not_answer() {
    let unanswered = Seen::Lookup(Lookup::Unanswered("throttled".to_owned()));
    let day = 86_400;
    let failed = written(&second(false), &ended(RunState::Failed, None), 60);
    for batch in [second(false), failed] {
        let waits = written(&batch, &unanswered, 88 * day);
        assert!(waits.due() > Some(NOW + secs(88 * day)), "{waits:?}");
        let parked = written(&waits, &unanswered, 89 * day);
        let State::Parked { why, .. } = parked.state else { panic!("{parked:?}") };
        assert_eq!(why, Why::OutcomeUnknown);
    }
}

/// Else two runs that are known, and neither of which holds the claim, would take turns for ever.
#[test]
fn a_run_that_is_known_is_not_taken_for_the_holder_that_is_searched() {
    let batch = Batch { epoch: 3, ..second(true) };
    let run = |epoch| FoundRun { epoch, run_id: format!("jr_{epoch}") };
    let seen = Seen::Lookup(Lookup::Complete(vec![run(1), run(2)]));
    check(
        &batch,
        &seen,
        60,
        expect![[r#"
            write {"epoch":2,"look_at":"+120s","missing":{"since":1000000060000,"times":1},"name":"started","run_id":"jr_2","since":"+0s"}
            not_seen: the run that holds the claim is not seen"#]],
    );
}

/// Glue's word after that long, of a run that was seen running a minute before.
fn unknown_after(batch: &Batch, after: u64) -> Batch {
    let batch = written(batch, &Seen::Run(Some(RunState::Running.into())), after - 60);
    written(&batch, &Seen::Run(None), after)
}

#[test]
fn a_run_that_glue_does_not_know_is_waited_for_and_in_the_end_parked() {
    let batch = unknown_after(&started(), 7_200);
    check(
        &written(&started(), &Seen::Run(Some(RunState::Running.into())), 7_140),
        &Seen::Run(None),
        7_200,
        expect![[r#"
            write {"epoch":1,"look_at":"+7500s","missing":{"since":1000007200000,"times":1},"name":"started","run_id":"jr_1","since":"+0s"}
            not_seen: Glue does not know the run"#]],
    );
    let not_yet = written(&batch, &Seen::Run(None), 8_999);
    check(
        &not_yet,
        &Seen::Run(None),
        9_000,
        expect![[r#"
        write and release {"message":"Glue does not know run `jr_1`","name":"parked","why":"run_vanished"}
        parked: run_vanished: Glue does not know run `jr_1`"#]],
    );
    let seen = written(&not_yet, &Seen::Run(Some(RunState::Running.into())), 9_000);
    let State::Started(Started { missing: None, .. }) = seen.state else { panic!("{seen:?}") };
}

/// Without an answer, nobody knows whether it is there.
#[test]
fn a_run_that_cannot_be_looked_at_is_no_run_that_glue_does_not_know() {
    let batch = unknown_after(&started(), 7_200);
    let batch = written(&batch, &Seen::Failed("throttled".to_owned()), 100_000);
    let State::Started(Started { missing, .. }) = batch.state else { panic!("{batch:?}") };
    assert_eq!(missing, Some(Missing { since: NOW + secs(7_200), times: 1 }));
}

#[test]
fn a_call_that_fails_is_made_again() {
    let failed = Seen::Failed("the starter role cannot be assumed".to_owned());
    check(
        &started(),
        &failed,
        60,
        expect![[r#"
            write {"epoch":1,"look_at":"+120s","name":"started","run_id":"jr_1","since":"+0s"}
            not_seen: the starter role cannot be assumed"#]],
    );
}

fn failed() -> Batch {
    written(&started(), &ended(RunState::Failed, Some(1)), 60)
}

#[test]
fn a_run_that_fails_gives_its_slot_back_and_its_claim_is_ended_before_the_next() {
    check(
        &started(),
        &ended(RunState::Failed, Some(1)),
        60,
        expect![[r#"
            write and release {"epoch":1,"look_at":"+60s","name":"failed","run_id":"jr_1","run_state":"FAILED","since":"+60s"}
            failed: run jr_1 is FAILED"#]],
    );
    check(&failed(), &Seen::Nothing, 60, expect!["EndClaim { epoch: 1 }"]);
    check(
        &failed(),
        &Seen::ClaimEnded(EndOutcome::Ended),
        60,
        expect![[r#"
            write {"due":"+120s","name":"sealed","waits_for_slot":false}
            retried: run `jr_1` is FAILED"#]],
    );
    check(
        &failed(),
        &Seen::Failed("throttled".to_owned()),
        60,
        expect![[r#"
            write {"epoch":1,"look_at":"+120s","name":"failed","run_id":"jr_1","run_state":"FAILED","since":"+60s"}
            claim_not_ended: throttled"#]],
    );
}

/// Glue's answer to [`Step::Follow`], then to what `next` asks for until it writes.
fn told_why(batch: &Batch, run: ObservedRun) -> Batch {
    let Step::ReadClaim { run } = next(batch, &Seen::Run(Some(run)), &moment(60), &SETTINGS) else {
        panic!("the run has ended")
    };
    let seen =
        match next(batch, &Seen::Claim { run, claim: claim_of(None) }, &moment(60), &SETTINGS) {
            Step::Write { batch, .. } => return *batch,
            Step::FindRepeat { run, claim, .. } => {
                Seen::Repeat { run, claim, repeat: RepeatSeen::NotSeen { max_retries: 0 } }
            }
            step => panic!("{step:?}"),
        };
    written(batch, &seen, 60)
}

#[test]
fn why_a_run_failed_is_kept_with_the_run_and_nowhere_else() {
    let run = || ObservedRun::new(RunState::Failed, Some(" ValueError: no such column \n"));
    let optional = Start { claim: ClaimMode::Optional, ..start() };
    for started in [started(), Batch { start: optional, ..started() }] {
        let failed = told_why(&started, run());
        assert_eq!(failed.state.name(), "failed");
        let retried = written(&failed, &Seen::ClaimEnded(EndOutcome::Ended), 60);
        let error = retried.runs[0].error.as_deref();
        assert_eq!(error, Some("ValueError: no such column"));
        // The history and the message of a parked batch go into the log.
        let history = format!("{:?} {:?}", retried.state, retried.history);
        assert!(!history.contains("ValueError"), "{history}");
        let last = Batch { failures: 2, ..failed };
        let parked = written(&last, &Seen::ClaimEnded(EndOutcome::Ended), 60);
        let State::Parked { message, .. } = &parked.state else { panic!("{parked:?}") };
        assert_eq!(message, "run `jr_1` is FAILED");
        assert_eq!(parked.runs[0].error, retried.runs[0].error);
    }
}

#[test]
fn of_a_message_only_that_of_a_failure_counts_and_a_long_one_is_cut() {
    let error = |state, message| ObservedRun::new(state, message).error;
    assert_eq!(error(RunState::Failed, None), None);
    assert_eq!(error(RunState::Failed, Some(" \n")), None);
    assert_eq!(error(RunState::Succeeded, Some("all is well")), None);
    assert_eq!(error(RunState::Running, Some("wait")), None);
    assert_eq!(error(RunState::Timeout, Some("late")).as_deref(), Some("late"));
    let most = "ü".repeat(ObservedRun::MAX_ERROR_CHARS);
    assert_eq!(error(RunState::Failed, Some(&most)).as_deref(), Some(most.as_str()));
    let more = format!("{most}ü");
    assert_eq!(error(RunState::Failed, Some(&more)), Some(format!("{most}…")));
}

#[test]
fn a_repeat_that_glue_makes_begins_without_the_error_of_the_attempt_before_it() {
    let run = ObservedRun::new(RunState::Failed, Some("out of memory"));
    let repeat = RepeatSeen::Begun;
    let seen = Seen::Repeat { run, claim: claim_of(None), repeat };
    let batch = written(&started(), &seen, 60);
    assert_eq!((batch.runs[0].run_id.as_str(), &batch.runs[0].error), ("jr_1_attempt_1", &None));
}

#[test]
fn a_run_that_fails_while_another_holds_the_claim_is_not_retried() {
    let batch = Batch { start: start(), ..second(true) };
    let batch = written(&batch, &ended(RunState::Failed, None), 60);
    check(
        &batch,
        &Seen::ClaimEnded(EndOutcome::HeldBy(1)),
        60,
        expect![[r#"
            write {"epoch":1,"look_at":"+120s","name":"started","run_id":"jr_1","since":"+60s"}
            followed: jr_1"#]],
    );
}

#[test]
fn attempts_are_counted_and_parked_when_they_are_exhausted() {
    let batch = Batch { failures: 2, ..failed() };
    check(
        &batch,
        &Seen::ClaimEnded(EndOutcome::Ended),
        60,
        expect![[r#"
            write {"message":"run `jr_1` is FAILED","name":"parked","why":"attempts_exhausted"}
            parked: attempts_exhausted: run `jr_1` is FAILED"#]],
    );
}

#[test]
fn a_state_that_is_not_to_be_retried_is_parked() {
    let batch = written(&started(), &ended(RunState::Stopped, Some(1)), 60);
    check(
        &batch,
        &Seen::ClaimEnded(EndOutcome::Ended),
        60,
        expect![[r#"
            write {"message":"run `jr_1` is STOPPED","name":"parked","why":"state_not_retried"}
            parked: state_not_retried: run `jr_1` is STOPPED"#]],
    );
}

#[test]
fn a_holder_that_is_followed_when_the_slot_was_given_back_takes_it_again_beyond_the_limit() {
    let batch = Batch { start: with_limits(Some(1), None).start, ..second(true) };
    let batch = written(&batch, &ended(RunState::Failed, None), 60);
    assert!(!batch.holds_slot, "its run has ended");
    let full = Slot::default().admit("other", 1, &batch.start, NOW).expect("free");
    let seen = Seen::ClaimEnded(EndOutcome::HeldBy(1));
    let Step::Write { batch, counts: true } = next(&batch, &seen, &moment(60), &SETTINGS) else {
        panic!("not counted")
    };
    let slot = full.after(&batch);
    assert_eq!(slot.live.keys().collect::<Vec<_>>(), [&batch.id, "other"]);
    assert_eq!(slot.admit("third", 1, &batch.start, NOW), Err(Full::Concurrent));
    assert_eq!(slot.starts, full.starts, "it is no start");
}
