//! What [`next`] decides, state by state.

mod any;
mod claim_modes;
mod following;
mod starting;

use expect_test::{Expect, expect};

use super::*;

/// The state that is written, as the item has it but with its times after [`NOW`], and the last line
/// of the history.
#[track_caller]
fn check(batch: &Batch, seen: &Seen, after: u64, expected: Expect) {
    expected.assert_eq(&told(&next(batch, seen, &moment(after), &SETTINGS)));
}

fn told(step: &Step) -> String {
    let of = |batch: &Batch| {
        let mut state = serde_json::to_value(&batch.state).expect("it serialises");
        for value in state.as_object_mut().expect("it has a name").values_mut() {
            if let Some(time) = value.as_u64().filter(|number| *number >= NOW.0) {
                *value = format!("+{}s", Time(time).since(NOW).as_secs()).into();
            }
        }
        let last = batch.history.last().expect("it was opened");
        format!("{state}\n{}: {}", last.what, last.detail)
    };
    match step {
        Step::Write { batch, counts: false } => format!("write {}", of(batch)),
        Step::Write { batch, .. } if batch.holds_slot => format!("write and count {}", of(batch)),
        Step::Write { batch, .. } => format!("write and release {}", of(batch)),
        Step::Begin { batch, slot } => format!(
            "begin {}\nslot {:?}",
            of(batch),
            slot.as_ref().map(|slot| slot.live.values().collect::<Vec<_>>())
        ),
        step => format!("{step:?}"),
    }
}

#[test]
fn an_open_batch_rests_until_it_closes_and_is_sealed_then() {
    let closing = Closing { window_secs: Some(300), ..Closing::default() };
    let batch = opened(closing).with(1, false, true, &moment(0));
    check(&batch, &Seen::Nothing, 299, expect!["Rest"]);
    check(&batch, &Seen::Wake, 299, expect!["Rest"]);
    check(
        &batch,
        &Seen::Nothing,
        300,
        expect![[r#"
            write {"due":"+300s","name":"sealed","waits_for_slot":false}
            sealed: 1 members"#]],
    );
}

#[test]
fn a_batch_whose_invocation_died_is_sealed_when_it_is_certainly_gone() {
    let batch = opened(Closing::default()).with(1, false, false, &moment(0));
    check(&batch, &Seen::Nothing, 119, expect!["Rest"]);
    check(
        &batch,
        &Seen::Nothing,
        120,
        expect![[r#"
            write {"due":"+120s","name":"sealed","waits_for_slot":false}
            sealed: 1 members"#]],
    );
}

#[test]
fn a_sealed_batch_is_prepared_once_and_then_begun() {
    let batch = Batch { prepared: None, ..sealed() };
    check(&batch, &Seen::Nothing, 0, expect!["Prepare"]);
    let seen = Seen::Prepared(Ok(prepared()));
    let Step::Assume(batch) = next(&batch, &seen, &moment(0), &SETTINGS) else { panic!() };
    check(
        &batch,
        &Seen::Wake,
        0,
        expect![[r#"
            begin {"lease":"+120s","look_at":"+300s","name":"starting","t0":"+0s"}
            starting: epoch 1
            slot None"#]],
    );
}

/// A manifest expires after 90 days here.
#[test]
fn what_was_prepared_long_ago_is_prepared_anew_before_a_start() {
    let (day, parked) = (86_400, State::Parked { why: Why::NoSuchJob, message: String::new() });
    let prepared_at = |batch: &Batch, after: u64| {
        let seen = Seen::Prepared(Ok(prepared()));
        match next(batch, &seen, &moment(after), &SETTINGS) {
            Step::Assume(batch) => *batch,
            step => panic!("{step:?}"),
        }
    };
    let noted = prepared_at(&sealed(), 10 * day);
    // One of the version before, whose manifest is as old as itself at most; and one that says so.
    for (batch, from) in [(sealed(), 0), (noted, 10)] {
        let returned = Batch { state: parked.clone(), ..batch };
        for (after, is_old) in [(44, false), (45, true), (200, true)] {
            let after = (from + after) * day;
            let batch = returned.returned(NOW + secs(after)).expect("parked");
            for seen in [Seen::Nothing, Seen::Wake] {
                let step = next(&batch, &seen, &moment(after), &SETTINGS);
                assert_eq!(step == Step::Prepare, is_old, "{after}: {step:?}");
            }
            let anew = prepared_at(&batch, after);
            let step = next(&anew, &Seen::Wake, &moment(after), &SETTINGS);
            assert!(matches!(step, Step::Begin { .. }), "{step:?}");
        }
    }
}

#[test]
fn a_sealed_batch_that_is_not_due_rests_until_it_is_woken() {
    let due = State::Sealed { due: NOW + secs(60), waits_for_slot: true };
    let batch = Batch { state: due, ..sealed() };
    check(&batch, &Seen::Nothing, 59, expect!["Rest"]);
    check(
        &batch,
        &Seen::Wake,
        59,
        expect![[r#"
            begin {"lease":"+179s","look_at":"+359s","name":"starting","t0":"+59s"}
            starting: epoch 1
            slot None"#]],
    );
}

#[test]
fn what_cannot_be_prepared_is_parked_or_tried_again() {
    let batch = Batch { prepared: None, ..sealed() };
    let reason = RefusalReason::Nul { argument: "--a".to_owned() };
    check(
        &batch,
        &Seen::Prepared(Err(Unprepared::Refused(reason))),
        0,
        expect![[r#"
            write {"message":"the value of `--a` would hold a NUL, which no process can be given","name":"parked","why":"argument_refused"}
            parked: argument_refused: the value of `--a` would hold a NUL, which no process can be given"#]],
    );
    let later = Unprepared::NotNow("the bucket says no".to_owned());
    check(
        &batch,
        &Seen::Prepared(Err(later)),
        0,
        expect![[r#"
            write {"due":"+30s","name":"sealed","waits_for_slot":false}
            deferred: the bucket says no"#]],
    );
}

#[test]
fn a_batch_with_limits_is_begun_in_its_slot_or_waits_for_one() {
    let batch = with_limits(Some(1), None);
    check(&batch, &Seen::Nothing, 0, expect!["ReadSlot"]);
    check(
        &batch,
        &Seen::Slot(Slot::default()),
        0,
        expect![[r#"
            begin {"lease":"+120s","look_at":"+300s","name":"starting","t0":"+0s"}
            starting: epoch 1
            slot Some([1])"#]],
    );
    let taken = Slot::default().admit("other", 1, &batch.start, NOW).expect("free");
    check(
        &batch,
        &Seen::Slot(taken),
        0,
        expect![[r#"
            write {"due":"+30s","name":"sealed","waits_for_slot":true}
            waits_for_slot: max_concurrent_runs"#]],
    );
}

#[test]
fn a_batch_beyond_the_starts_of_an_hour_waits_for_the_next() {
    let batch = with_limits(None, Some(1));
    let full = Slot::default().admit("other", 1, &batch.start, NOW).expect("free");
    let Step::Write { batch, .. } = next(&batch, &Seen::Slot(full), &moment(0), &SETTINGS) else {
        panic!()
    };
    let State::Sealed { due, waits_for_slot: false } = batch.state else { panic!() };
    assert!(due >= NOW + secs(3_600) && due <= NOW + secs(3_660), "{due}");
}

#[test]
fn what_is_put_off_in_a_row_waits_longer_each_time_up_to_a_quarter_of_an_hour() {
    let mut batch = sealed();
    let waits: Vec<u64> = (0..8)
        .map(|_| {
            let refused = StartOutcome::NotNow {
                code: "ThrottlingException".to_owned(),
                message: "slow down".to_owned(),
                waits_for_slot: false,
            };
            batch = written(&starting(&batch), &Seen::Start(refused), 0);
            batch.due().expect("it waits").since(NOW).as_secs()
        })
        .collect();
    assert_eq!(waits, [30, 60, 120, 240, 480, 900, 900, 900]);
    let started = started(&batch);
    assert_eq!((started.deferrals, started.epoch), (0, 9), "and begins anew after a start");
}

#[test]
fn a_wait_is_spread_over_its_last_quarter() {
    let at = |jitter| Moment { jitter, ..moment(0) }.after(secs(100)).since(NOW).as_millis();
    assert_eq!((at(0), at(500), at(999), at(u16::MAX)), (100_000, 87_500, 75_025, 75_025));
}

#[test]
fn what_is_final_or_parked_rests_whatever_is_seen() {
    let parked = State::Parked { why: Why::NoSuchJob, message: String::new() };
    for state in
        [State::Empty, State::Succeeded { run_id: "jr_1".to_owned(), claimed: true }, parked]
    {
        let batch = Batch { state, ..sealed() };
        let lookup = Seen::Lookup(Lookup::Complete(Vec::new()));
        for seen in [Seen::Nothing, Seen::Wake, Seen::Begun, lookup] {
            assert_eq!(next(&batch, &seen, &moment(10_000), &SETTINGS), Step::Rest);
        }
        assert_eq!(batch.due(), None);
    }
}

#[test]
fn a_parked_batch_is_returned_with_all_its_attempts_and_nothing_else_is() {
    let why = Why::AttemptsExhausted;
    let parked = State::Parked { why, message: String::new() };
    let batch = Batch { state: parked, epoch: 3, failures: 3, deferrals: 2, ..sealed() };
    let returned = batch.returned(NOW).expect("parked");
    assert_eq!(returned.state, State::Sealed { due: NOW, waits_for_slot: false });
    assert_eq!((returned.epoch, returned.failures, returned.deferrals), (3, 0, 0));
    assert_eq!(sealed().returned(NOW), None);
}
