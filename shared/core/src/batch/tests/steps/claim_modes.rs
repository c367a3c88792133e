//! Batches that need not be claimed, and runs that Glue repeats by itself.

use expect_test::expect;

use super::*;

fn optional(batch: Batch) -> Batch {
    Batch { v: 3, start: Start { claim: ClaimMode::Optional, ..batch.start.clone() }, ..batch }
}

fn sealed_optional() -> Batch {
    optional(with_limits(Some(1), None))
}

fn started_optional() -> Batch {
    super::super::started(&sealed_optional())
}

fn claim(run_state: RunState, holder: Option<u32>) -> Seen {
    Seen::Claim { run: run_state.into(), claim: Claim { holder, ended: 0 } }
}

fn repeat(run_state: RunState, holder: Option<u32>, repeat: RepeatSeen) -> Seen {
    Seen::Repeat { run: run_state.into(), claim: Claim { holder, ended: 0 }, repeat }
}

/// The job does not have Glue repeat anything.
fn last(run_state: RunState) -> Seen {
    repeat(run_state, None, RepeatSeen::NotSeen { max_retries: 0 })
}

/// The job has Glue repeat a run twice.
fn hidden(run_state: RunState, holder: Option<u32>) -> Seen {
    repeat(run_state, holder, RepeatSeen::NotSeen { max_retries: 2 })
}

/// Begun once more at so many seconds, and answered with `outcome`.
fn begun(batch: &Batch, outcome: StartOutcome, after: u64) -> Batch {
    let Step::Begin { batch, .. } =
        next(batch, &Seen::Slot(Slot::default()), &moment(after), &SETTINGS)
    else {
        panic!("{batch:?}")
    };
    written(&batch, &Seen::Start(outcome), after)
}

fn run(epoch: u32) -> StartOutcome {
    StartOutcome::Started(format!("jr_{epoch}"))
}

/// Its first run failed and was no success of any attempt.
fn failed_once() -> Batch {
    let batch = written(&started_optional(), &last(RunState::Failed), 60);
    written(&batch, &Seen::ClaimEnded(EndOutcome::Ended), 60)
}

#[test]
fn the_only_run_that_succeeds_without_a_claim_is_the_success_of_a_batch_that_need_not_be_claimed() {
    check(
        &started_optional(),
        &claim(RunState::Succeeded, None),
        60,
        expect![[r#"
        write and release {"claimed":false,"name":"succeeded","run_id":"jr_1"}
        succeeded: jr_1"#]],
    );
}

#[test]
fn a_run_with_the_claim_is_judged_as_where_it_must_claim() {
    for run_state in [RunState::Succeeded, RunState::Stopped] {
        let judged = |batch: &Batch| {
            told(&next(batch, &claim(run_state.clone(), Some(1)), &moment(60), &SETTINGS))
        };
        let required = super::super::started(&with_limits(Some(1), None));
        assert_eq!(judged(&started_optional()), judged(&required));
    }
    let batch =
        Batch { epoch: 2, runs: vec![run_of(1, "jr_9"), run_of(2, "jr_1")], ..started_optional() };
    let State::Started(state) = batch.state.clone() else { panic!() };
    let batch = Batch { state: State::Started(Started { epoch: 2, ..state }), ..batch };
    for run_state in [RunState::Succeeded, RunState::Failed] {
        let State::Started(Started { epoch: 1, .. }) =
            written(&batch, &claim(run_state, Some(1)), 60).state
        else {
            panic!("the holder is followed")
        };
    }
}

fn run_of(epoch: u32, run_id: &str) -> Run {
    Run { epoch, run_id: run_id.to_owned(), state: None, error: None }
}

/// A job that claims now and then says by it that its runs can be told apart.
#[test]
fn once_a_run_has_claimed_a_success_without_a_claim_is_none() {
    let seen =
        Seen::Claim { run: RunState::Succeeded.into(), claim: Claim { holder: Some(1), ended: 1 } };
    let State::Parked { why, .. } = written(&started_optional(), &seen, 60).state else { panic!() };
    assert_eq!(why, Why::NotClaimed);
}

#[test]
fn a_run_that_failed_and_was_followed_by_one_that_succeeded_is_a_success() {
    let batch = failed_once();
    assert_eq!((batch.accounted, batch.failures), (1, 1));
    let batch = begun(&batch, run(2), 200);
    let State::Succeeded { run_id, claimed: false } =
        written(&batch, &claim(RunState::Succeeded, None), 260).state
    else {
        panic!("{batch:?}")
    };
    assert_eq!(run_id, "jr_2");
}

#[test]
fn starts_that_glue_refused_for_certain_leave_no_doubt() {
    let refused = |message: &str| StartOutcome::NotNow {
        code: "start_throttled".to_owned(),
        message: message.to_owned(),
        waits_for_slot: false,
    };
    let batch = begun(&begun(&sealed_optional(), refused("1"), 0), refused("2"), 60);
    assert_eq!((batch.epoch, batch.accounted), (2, 2));
    let never = StartOutcome::Never { why: Why::NoSuchJob, message: "m".to_owned() };
    let parked = begun(&batch, never, 200);
    assert_eq!((parked.epoch, parked.accounted), (3, 3));
    let batch = begun(&parked.returned(NOW + secs(300)).expect("parked"), run(4), 300);
    let judged = written(&batch, &claim(RunState::Succeeded, None), 360).state;
    assert!(matches!(judged, State::Succeeded { claimed: false, .. }), "{judged:?}");
}

/// A start whose answer is lost, and whose run no search shows.
fn lost_once() -> Batch {
    let batch = super::super::starting(&sealed_optional());
    written(&batch, &Seen::Lookup(Lookup::Complete(Vec::new())), 1_020)
}

#[test]
fn a_success_without_a_claim_is_in_doubt_if_nobody_knows_what_came_of_an_earlier_start() {
    let batch = begun(&lost_once(), run(2), 1_100);
    check(
        &batch,
        &claim(RunState::Succeeded, None),
        1_200,
        expect![[r#"
        write and release {"message":"run `jr_2` is SUCCEEDED, no run of the batch has claimed it, and another one may have been at work at the same time: nobody knows what came of the start with epoch 1; look at the job's runs and at their output before you return the batch","name":"parked","why":"outcome_unknown"}
        parked: outcome_unknown: run `jr_2` is SUCCEEDED, no run of the batch has claimed it, and another one may have been at work at the same time: nobody knows what came of the start with epoch 1; look at the job's runs and at their output before you return the batch"#]],
    );
    // However it ended: the other run may go on.
    let failed = written(&batch, &last(RunState::Failed), 1_200);
    check(
        &failed,
        &Seen::ClaimEnded(EndOutcome::Ended),
        1_200,
        expect![[r#"
        write {"message":"run `jr_2` is FAILED, no run of the batch has claimed it, and another one may have been at work at the same time: nobody knows what came of the start with epoch 1; look at the job's runs and at their output before you return the batch","name":"parked","why":"outcome_unknown"}
        parked: outcome_unknown: run `jr_2` is FAILED, no run of the batch has claimed it, and another one may have been at work at the same time: nobody knows what came of the start with epoch 1; look at the job's runs and at their output before you return the batch"#]],
    );
}

#[test]
fn a_hidden_run_that_is_found_after_another_began_is_in_doubt() {
    let batch = begun(&lost_once(), StartOutcome::Unknown("no answer".to_owned()), 1_100);
    let found = vec![FoundRun { epoch: 1, run_id: "jr_1".to_owned() }];
    let batch = written(&batch, &Seen::Lookup(Lookup::Complete(found)), 1_400);
    check(
        &batch,
        &claim(RunState::Succeeded, None),
        1_500,
        expect![[r#"
        write and release {"message":"run `jr_1` is SUCCEEDED, no run of the batch has claimed it, and another one may have been at work at the same time: nobody knows what came of the start with epoch 2; look at the job's runs and at their output before you return the batch","name":"parked","why":"outcome_unknown"}
        parked: outcome_unknown: run `jr_1` is SUCCEEDED, no run of the batch has claimed it, and another one may have been at work at the same time: nobody knows what came of the start with epoch 2; look at the job's runs and at their output before you return the batch"#]],
    );
}

#[test]
fn whoever_returns_a_batch_answers_for_the_runs_before() {
    let batch = begun(&lost_once(), run(2), 1_100);
    let parked = written(&batch, &claim(RunState::Succeeded, None), 1_200);
    let returned = parked.returned(NOW + secs(2_000)).expect("parked");
    assert_eq!(returned.accounted, 2);
    let judged =
        written(&begun(&returned, run(3), 2_000), &claim(RunState::Succeeded, None), 2_100);
    assert!(matches!(judged.state, State::Succeeded { claimed: false, .. }), "{judged:?}");
    // A batch that must be claimed keeps its bytes.
    let state = State::Parked { why: Why::NoSuchJob, message: String::new() };
    let required = Batch { state, epoch: 2, ..sealed() }.returned(NOW).expect("parked");
    assert_eq!(required.accounted, 0);
}

#[test]
fn the_claim_of_a_run_that_failed_without_it_is_ended_all_the_same() {
    let batch = written(&started_optional(), &last(RunState::Failed), 60);
    check(&batch, &Seen::Nothing, 60, expect!["EndClaim { epoch: 1 }"]);
    let runs = vec![FoundRun { epoch: 2, run_id: "jr_2".to_owned() }];
    assert!(matches!(
        next(&batch, &Seen::ClaimEnded(EndOutcome::HeldBy(2)), &moment(60), &SETTINGS),
        Step::Lookup { .. }
    ));
    let found = written(&batch, &Seen::Lookup(Lookup::Complete(runs)), 60);
    assert!(matches!(found.state, State::Started(Started { epoch: 2, .. })), "{found:?}");
}

#[test]
fn glue_is_asked_for_the_next_attempt_only_after_an_end_that_it_repeats() {
    let asks = |batch: &Batch, run_state: RunState| {
        matches!(
            next(batch, &claim(run_state, None), &moment(60), &SETTINGS),
            Step::FindRepeat { .. }
        )
    };
    for run_state in [RunState::Failed, RunState::Error, RunState::Timeout] {
        assert!(asks(&started_optional(), run_state.clone()), "{run_state:?}");
        assert!(!asks(&super::super::started(&sealed()), run_state), "such a job is not started");
    }
    for run_state in [RunState::Succeeded, RunState::Stopped, RunState::Expired] {
        assert!(!asks(&started_optional(), run_state.clone()), "{run_state:?}");
    }
    check(
        &started_optional(),
        &claim(RunState::Failed, None),
        60,
        expect![[
            r#"FindRepeat { run_id: "jr_1_attempt_1", run: ObservedRun { state: Failed, error: None }, claim: Claim { holder: None, ended: 0 } }"#
        ]],
    );
}

#[test]
fn a_run_that_glue_does_not_repeat_has_failed() {
    check(
        &started_optional(),
        &last(RunState::Failed),
        60,
        expect![[r#"
        write and release {"claimed":false,"epoch":1,"look_at":"+60s","name":"failed","run_id":"jr_1","run_state":"FAILED","since":"+60s"}
        failed: run jr_1 is FAILED"#]],
    );
}

#[test]
fn a_repeat_is_followed_as_the_same_run_and_holds_its_slot() {
    let batch = started_optional();
    let seen = repeat(RunState::Failed, None, RepeatSeen::Begun);
    check(
        &batch,
        &seen,
        60,
        expect![[r#"
        write {"epoch":1,"look_at":"+60s","name":"started","repeat":{"may_hold_claim":false},"run_id":"jr_1_attempt_1","since":"+60s"}
        repeated: jr_1_attempt_1"#]],
    );
    let batch = written(&batch, &seen, 60);
    let runs: Vec<_> = batch.runs.iter().map(|run| (run.epoch, run.run_id.as_str())).collect();
    assert_eq!(runs, [(1, "jr_1_attempt_1")]);
    assert_eq!((batch.epoch, batch.failures, batch.holds_slot), (1, 0, true));
    assert_eq!(batch.awaits(), started_optional().awaits(), "the end of any attempt wakes it");
    check(&batch, &Seen::Nothing, 60, expect![[r#"Follow { run_id: "jr_1_attempt_1" }"#]]);
    let judged = written(&batch, &claim(RunState::Succeeded, None), 120).state;
    assert_eq!(judged, State::Succeeded { run_id: "jr_1_attempt_1".to_owned(), claimed: false });
    // After the second repeat, the job has Glue make no other.
    let batch = written(&batch, &repeat(RunState::Error, None, RepeatSeen::Begun), 180);
    let batch = written(&batch, &hidden(RunState::Failed, None), 240);
    check(
        &batch,
        &Seen::ClaimEnded(EndOutcome::Ended),
        240,
        expect![[r#"
        write {"due":"+300s","name":"sealed","waits_for_slot":false}
        retried: run `jr_1_attempt_2` is FAILED"#]],
    );
    assert!(!batch.holds_slot);
}

#[test]
fn a_repeat_that_is_not_seen_yet_is_waited_for_with_its_slot_within_the_window_and_then_in_doubt() {
    check(
        &started_optional(),
        &hidden(RunState::Failed, None),
        60,
        expect![[r#"
        write {"epoch":1,"look_at":"+120s","name":"started","repeat":{"awaited_since":1000000060000,"may_hold_claim":false},"run_id":"jr_1","since":"+0s"}
        awaits_repeat: jr_1_attempt_1"#]],
    );
    let mut batch = written(&started_optional(), &hidden(RunState::Failed, None), 60);
    assert!(batch.holds_slot);
    check(&batch, &Seen::Nothing, 120, expect![[r#"Follow { run_id: "jr_1" }"#]]);
    for after in [120, 500, 959] {
        batch = written(&batch, &hidden(RunState::Failed, None), after);
        assert!(batch.due() <= Some(NOW + secs(960)), "{batch:?}");
    }
    assert!(!batch.is_stuck(), "Glue takes its time");
    check(
        &batch,
        &hidden(RunState::Failed, None),
        960,
        expect![[r#"
        write and release {"message":"run `jr_1` is FAILED, the job's MaxRetries (2) has Glue repeat it, and Glue does not show `jr_1_attempt_1`, which may still begin: look at the job's runs before you return the batch","name":"parked","why":"outcome_unknown"}
        parked: outcome_unknown: run `jr_1` is FAILED, the job's MaxRetries (2) has Glue repeat it, and Glue does not show `jr_1_attempt_1`, which may still begin: look at the job's runs before you return the batch"#]],
    );
}

/// Glue does not repeat what timed out, and a claim keeps a late repeat out.
#[test]
fn a_repeat_that_is_never_seen_leaves_no_doubt_after_a_time_out_or_with_a_claim() {
    for (run_state, holder) in [(RunState::Timeout, None), (RunState::Failed, Some(1))] {
        let seen = hidden(run_state, holder);
        let batch = written(&written(&started_optional(), &seen, 60), &seen, 960);
        assert!(matches!(batch.state, State::Failed(_)), "{batch:?}");
        let batch = written(&batch, &Seen::ClaimEnded(EndOutcome::Ended), 960);
        assert!(matches!(batch.state, State::Sealed { .. }), "{batch:?}");
        assert_eq!(batch.accounted, 1);
    }
}

#[test]
fn a_call_that_fails_while_a_repeat_is_awaited_does_not_shorten_or_prolong_the_wait() {
    let seen = hidden(RunState::Failed, None);
    let batch = written(&started_optional(), &seen, 60);
    let batch = written(&batch, &Seen::Failed("throttled".to_owned()), 500);
    let still = written(&batch, &seen, 959);
    assert!(matches!(still.state, State::Started(_)), "{still:?}");
    assert!(matches!(written(&batch, &seen, 960).state, State::Parked { .. }));
}

/// All attempts have one epoch, so the library lets only the first that asks have the claim.
#[test]
fn a_repeat_that_may_have_lost_the_claim_to_an_attempt_before_it_is_no_success() {
    let begun = repeat(RunState::Failed, Some(1), RepeatSeen::Begun);
    let batch = written(&started_optional(), &begun, 60);
    check(
        &batch,
        &claim(RunState::Succeeded, Some(1)),
        120,
        expect![[r#"
        write and release {"message":"run `jr_1_attempt_1` succeeded, but an attempt before it may have claimed the batch, and then this one did nothing: look at its output before you return the batch, and set the job's MaxRetries to 0, because only the first attempt to claim a batch gets it","name":"parked","why":"outcome_unknown"}
        parked: outcome_unknown: run `jr_1_attempt_1` succeeded, but an attempt before it may have claimed the batch, and then this one did nothing: look at its output before you return the batch, and set the job's MaxRetries to 0, because only the first attempt to claim a batch gets it"#]],
    );
    // That it fails too leaves no doubt.
    let failed = written(
        &batch,
        &repeat(RunState::Failed, Some(1), RepeatSeen::NotSeen { max_retries: 1 }),
        120,
    );
    assert!(matches!(failed.state, State::Failed(Failed { claimed: true, .. })), "{failed:?}");
}

#[test]
fn a_repeat_that_claimed_after_every_attempt_before_it_had_ended_is_a_success() {
    // At the end of the first attempt nobody held the claim, and when the repeat is seen somebody does.
    let waits = written(&started_optional(), &hidden(RunState::Failed, None), 60);
    let begun = repeat(RunState::Failed, Some(1), RepeatSeen::Begun);
    let batch = written(&waits, &begun, 120);
    let judged = written(&batch, &claim(RunState::Succeeded, Some(1)), 180).state;
    assert_eq!(judged, State::Succeeded { run_id: "jr_1_attempt_1".to_owned(), claimed: true });
}

#[test]
fn a_search_takes_all_attempts_of_a_run_for_one_run_and_follows_the_newest() {
    let found = |ids: &[(u32, &str)]| {
        let run = |(epoch, id): &(u32, &str)| FoundRun { epoch: *epoch, run_id: (*id).to_owned() };
        Seen::Lookup(Lookup::Complete(ids.iter().map(run).collect()))
    };
    let batch = super::super::starting(&sealed_optional());
    for ids in [
        ["jr_1_attempt_10", "jr_1_attempt_9", "jr_1"],
        ["jr_1", "jr_1_attempt_10", "jr_1_attempt_9"],
    ] {
        let batch = written(&batch, &found(&ids.map(|id| (1, id))), 180);
        let runs: Vec<_> = batch.runs.iter().map(|run| run.run_id.as_str()).collect();
        assert_eq!(runs, ["jr_1_attempt_10"]);
        let State::Started(Started { run_id, .. }) = &batch.state else { panic!("{batch:?}") };
        assert_eq!(run_id, "jr_1_attempt_10");
        // Nobody saw how the attempts before it ended.
        let judged = |holder| written(&batch, &claim(RunState::Succeeded, holder), 200).state;
        assert!(matches!(judged(None), State::Succeeded { claimed: false, .. }));
        assert!(matches!(judged(Some(1)), State::Parked { why: Why::OutcomeUnknown, .. }));
    }
    // What has ended or was repeated is not the run of a later call.
    let again = super::super::starting(&failed_repeat());
    let seen = found(&[(1, "jr_1"), (1, "jr_1_attempt_1")]);
    let batch = written(&again, &seen, 2_000);
    assert!(matches!(batch.state, State::Sealed { .. } | State::Starting(_)), "{batch:?}");
}

fn failed_repeat() -> Batch {
    let begun = repeat(RunState::Failed, None, RepeatSeen::Begun);
    let batch = written(&started_optional(), &begun, 60);
    let over = repeat(RunState::Failed, None, RepeatSeen::NotSeen { max_retries: 1 });
    let batch = written(&written(&batch, &over, 120), &Seen::ClaimEnded(EndOutcome::Ended), 120);
    assert_eq!((batch.failures, batch.accounted), (1, 1), "the attempts are one run");
    batch
}

#[test]
fn what_batches_that_need_not_be_claimed_keep_is_written_like_this_and_others_keep_their_bytes() {
    let waits = written(&started_optional(), &hidden(RunState::Failed, Some(1)), 60);
    let succeeded = written(&started_optional(), &claim(RunState::Succeeded, None), 60);
    let failed = written(&started_optional(), &last(RunState::Failed), 60);
    let lines: Vec<String> = [&waits, &succeeded, &failed]
        .iter()
        .map(|batch| {
            let json = serde_json::to_string(&batch.state).expect("it serialises");
            assert_eq!(serde_json::from_str::<State>(&json).expect("a state"), batch.state);
            json + "\n"
        })
        .collect();
    expect![[r#"
        {"name":"started","epoch":1,"run_id":"jr_1","since":1000000000000,"look_at":1000000120000,"repeat":{"awaited_since":1000000060000,"may_hold_claim":true}}
        {"name":"succeeded","run_id":"jr_1","claimed":false}
        {"name":"failed","epoch":1,"run_id":"jr_1","run_state":"FAILED","claimed":false,"since":1000000060000,"look_at":1000000060000}
    "#]].assert_eq(&lines.concat());
    let json = serde_json::to_value(failed_once()).expect("it serialises");
    assert_eq!((&json["accounted"], &json["v"]), (&1.into(), &3.into()));
    let required = serde_json::to_string(&super::super::started(&sealed())).expect("it serialises");
    for word in ["accounted", "claimed", "repeat"] {
        assert!(!required.contains(word), "{required}");
    }
    // Of the version before.
    let read: State =
        serde_json::from_str(r#"{"name":"succeeded","run_id":"jr_1"}"#).expect("a state");
    assert_eq!(read, State::Succeeded { run_id: "jr_1".to_owned(), claimed: true });
}
