//! The claim, and the slot.

use super::*;

#[test]
fn a_claim_is_the_first_ones_until_its_run_is_said_to_have_ended() {
    let claim = Claim::default().taken(2).expect("free");
    assert_eq!(claim.live(), Some(2));
    for epoch in [1, 2, 3] {
        assert_eq!(claim.taken(epoch), None, "{epoch}");
    }
    let (claim, outcome) = claim.ended(2);
    assert_eq!((claim.live(), outcome), (None, EndOutcome::Ended));
    assert_eq!(claim.taken(2), None, "it has ended");
    assert_eq!(claim.taken(1), None, "those before have ended with it");
    assert_eq!(claim.taken(3).and_then(|claim| claim.live()), Some(3));
}

#[test]
fn a_run_that_ends_without_the_claim_leaves_it_to_its_holder() {
    let claim = Claim::default().taken(1).expect("free");
    assert_eq!(claim.ended(2), (claim, EndOutcome::HeldBy(1)));
}

#[test]
fn to_say_twice_that_a_run_has_ended_changes_nothing_more() {
    let (once, _) = Claim::default().ended(2);
    assert_eq!(once.ended(2), (once, EndOutcome::Ended));
    assert_eq!(once.ended(1), (once, EndOutcome::Ended), "and nothing comes back");
}

#[test]
fn a_slot_admits_as_many_batches_as_its_limit_and_one_of_them_again() {
    let start = Start { max_concurrent_runs: Some(2), ..start() };
    let slot = Slot::default().admit("a", 1, &start, NOW).expect("free");
    let slot = slot.admit("b", 1, &start, NOW).expect("free");
    assert_eq!(slot.admit("c", 1, &start, NOW), Err(Full::Concurrent));
    let again = slot.admit("a", 2, &start, NOW).expect("it is in already");
    assert_eq!(again.live, BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]));
    assert!(
        again.after(&Batch { id: "b".to_owned(), ..sealed() }).admit("c", 1, &start, NOW).is_ok()
    );
}

#[test]
fn an_hour_admits_as_many_starts_as_its_limit_and_says_when_the_next() {
    let start = Start { max_runs_per_hour: Some(2), ..start() };
    let slot = Slot::default().admit("a", 1, &start, NOW).expect("free");
    let slot = slot.admit("b", 1, &start, NOW + secs(600)).expect("free");
    let Err(Full::Hourly(until)) = slot.admit("c", 1, &start, NOW + secs(700)) else {
        panic!("full");
    };
    // Counted by the minute: all of the first one's minute has to be an hour ago.
    assert!(until >= NOW + secs(3_600) && until <= NOW + secs(3_660), "{until}");
    assert!(slot.admit("c", 1, &start, Time(until.0 - 1)).is_err());
    let slot = slot.admit("c", 1, &start, until).expect("an hour later");
    assert_eq!(slot.starts.values().sum::<u32>(), 2, "what is over an hour old is forgotten");
    assert_eq!(slot.live, BTreeMap::new(), "no limit on those at a time");
}

#[test]
fn a_slot_that_refuses_has_not_counted_a_start() {
    let start = Start { max_concurrent_runs: Some(1), max_runs_per_hour: Some(2), ..start() };
    let slot = Slot::default().admit("a", 1, &start, NOW).expect("free");
    assert_eq!(slot.admit("b", 1, &start, NOW), Err(Full::Concurrent));
    assert!(
        slot.after(&Batch { id: "a".to_owned(), ..sealed() }).admit("b", 1, &start, NOW).is_ok()
    );
}

#[test]
fn a_job_is_found_by_its_account_and_region_too() {
    assert_eq!(start().job_key(), "222222222222/eu-west-1/orders");
    assert!(!start().has_limits());
    assert!(Start { max_runs_per_hour: Some(1), ..start() }.has_limits());
}

fn refused(code: &str, waits_for_slot: bool) -> Seen {
    let (code, message) = (code.to_owned(), "no".to_owned());
    Seen::Start(StartOutcome::NotNow { code, message, waits_for_slot })
}

#[test]
fn a_start_that_was_refused_does_not_count_against_the_hour() {
    let batch = starting(&with_limits(None, Some(1)));
    let slot = Slot::default().admit(&batch.id, 1, &batch.start, NOW).expect("free");
    let admits = |slot: Slot| slot.admit("other", 1, &batch.start, NOW).is_ok();
    assert!(!admits(slot.clone()));
    let refused = written(&batch, &refused("start_concurrent_runs_exceeded", true), 0);
    assert!(admits(slot.after(&refused)));
    // One of which it is not known does.
    let unknown = Seen::Start(StartOutcome::Unknown("reset".to_owned()));
    assert!(!admits(slot.after(&written(&batch, &unknown, 0))));
}

#[test]
fn a_batch_that_gets_no_further_time_and_again_is_stuck_and_one_that_waits_for_its_turn_is_not() {
    let put_off = |waits_for_slot: bool| {
        (0..5).fold(sealed(), |batch, _| {
            written(&starting(&batch), &refused("start_access_denied", waits_for_slot), 0)
        })
    };
    assert!(put_off(false).is_stuck());
    assert!(!put_off(true).is_stuck(), "the end of a run is what it waits for");
    assert!(!sealed().is_stuck());
    let not_seen = (0..5).fold(started(&sealed()), |batch, number| {
        let failed = Seen::Failed(format!("request {number}"));
        written(&batch, &failed, 0)
    });
    assert!(not_seen.is_stuck(), "whatever the errors say");
}

#[test]
fn a_wait_is_as_old_as_its_beginning_and_blocked_only_by_what_is_no_limit() {
    let later = |batch: &Batch, code: &str, waits_for_slot: bool| {
        written(&starting(batch), &refused(code, waits_for_slot), 0)
    };
    let fresh = sealed();
    let begun = fresh.waiting_since();
    assert_eq!(begun, fresh.history.iter().find(|e| e.what == HistoryEvent::Sealed).map(|e| e.at));
    assert_eq!(fresh.blocked_since(), None, "nothing was in its way yet");
    let denied = later(&later(&fresh, "start_access_denied", false), "start_throttled", false);
    assert_eq!((denied.waiting_since(), denied.blocked_since()), (begun, begun));
    let limited = later(&fresh, "start_concurrent_runs_exceeded", true);
    assert_eq!((limited.waiting_since(), limited.blocked_since()), (begun, None));
    let running = started(&fresh);
    assert_eq!((running.waiting_since(), running.blocked_since()), (None, None));
}
