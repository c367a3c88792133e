//! The slot of a job: what it admits.

use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

proptest! {
    /// Whenever they are asked for, and whatever was refused between them.
    #[test]
    fn no_sixty_minutes_have_more_starts_than_an_hour_may_have(
        pauses in prop::collection::vec((0..900_000u64, any::<bool>()), 1..80), most in 1..4u32,
    ) {
        let start = Start { max_runs_per_hour: Some(most), ..start() };
        let (mut slot, mut now, mut begun) = (Slot::default(), NOW, Vec::<Time>::new());
        for (pause, waits) in pauses {
            now = now + Duration::from_millis(pause);
            match slot.admit("batch", 1, &start, now) {
                Ok(admitted) => {
                    slot = admitted;
                    begun.push(now);
                }
                Err(full) => {
                    let Full::Hourly(until) = full else { panic!("{full:?}") };
                    prop_assert!(until > now && until <= now + HOUR + secs(60), "{until}");
                    if waits {
                        now = until;
                    }
                }
            }
            let within = begun.iter().filter(|at| now.since(**at) < HOUR).count();
            prop_assert!(within <= most as usize, "{begun:?}");
        }
    }
}

proptest! {
    /// Two listings and what S3 announced start the same job, in any order and at any time.
    #[test]
    fn no_sixty_minutes_have_more_starts_of_a_listing_than_it_admits(
        asked in prop::collection::vec((0..900_000u64, 0..3usize, any::<bool>()), 1..80),
        limits in (1..4u32, 1..4u32, prop::option::of(3..6u32)),
    ) {
        let of = |listing: &str, max_runs_per_hour: u32| {
            Some(ListingLimit { listing: listing.to_owned(), max_runs_per_hour })
        };
        let limited = [of("one", limits.0), of("other", limits.1), None];
        let (mut slot, mut now, mut begun) = (Slot::default(), NOW, Vec::<(usize, Time)>::new());
        for (pause, who, is_refused) in asked {
            now = now + Duration::from_millis(pause);
            let listing_limit = limited[who].clone();
            let start = Start { listing_limit, max_runs_per_hour: limits.2, ..start() };
            let within = |who: Option<usize>| {
                let recent = begun.iter().filter(|(_, at)| now.since(*at) < HOUR);
                recent.filter(|(it, _)| who.is_none_or(|who| who == *it)).count()
            };
            let most = limited[who].as_ref().map_or(usize::MAX, |it| it.max_runs_per_hour as usize);
            match slot.admit("batch", 1, &start, now) {
                Ok(admitted) => {
                    prop_assert!(within(Some(who)) < most, "{begun:?}");
                    slot = admitted;
                    if is_refused {
                        let batch = Batch { start, ..sealed() };
                        let batch = batch.into_state(State::Starting(Starting {
                            t0: now, lease: now, look_at: now, missing: None,
                        }), now, HistoryEvent::Starting, "epoch 1");
                        slot = slot.after(&refused(&batch, now));
                    } else {
                        begun.push((who, now));
                    }
                }
                // An hour, and up to a minute: a minute's starts are forgotten together.
                Err(Full::Listing(until)) => {
                    prop_assert!(until > now && until <= now + HOUR + secs(60), "{until}");
                    let late = begun.iter().filter(|(it, at)| *it == who && now.since(*at) < HOUR + secs(60));
                    prop_assert!(late.count() >= most, "{begun:?}");
                }
                Err(Full::Hourly(_)) => prop_assert!(limits.2.is_some()),
                Err(Full::Concurrent) => prop_assert!(false, "no such limit"),
            }
        }
        prop_assert!(slot.listings.len() <= 2 && slot.live.is_empty());
    }
}

fn refused(batch: &Batch, now: Time) -> Batch {
    let state = State::Sealed { due: now, waits_for_slot: true };
    batch.clone().into_state(
        state,
        now,
        HistoryEvent::WaitsForSlot,
        "ConcurrentRunsExceededException",
    )
}

#[test]
fn a_slot_forgets_a_listing_an_hour_after_its_last_start_and_others_keep_their_bytes() {
    let limit = ListingLimit { listing: "backfill-1".to_owned(), max_runs_per_hour: 1 };
    let limited = Start { listing_limit: Some(limit), ..start() };
    assert!(limited.has_limits() && !start().has_limits());
    let slot = Slot::default().admit("b", 1, &limited, NOW).expect("free");
    assert!(matches!(slot.admit("c", 1, &limited, NOW), Err(Full::Listing(_))));
    let other = slot.admit("c", 1, &start(), NOW).expect("the job has no limit");
    let json = serde_json::to_string(&other).expect("JSON");
    assert!(json.contains(r#""listings":{"backfill-1":{"#), "{json}");
    let later = slot.admit("c", 1, &start(), NOW + HOUR + secs(60)).expect("free");
    let json = serde_json::to_string(&later).expect("JSON");
    assert_eq!(json, r#"{"v":1,"live":{},"starts":{},"revision":0}"#);
}

#[test]
fn an_item_of_the_version_before_counts_by_the_minute_as_well() {
    let json = r#"{"v":1,"live":{"b":1},"starts":{"16666666":2},"revision":7}"#;
    let slot: Slot = serde_json::from_str(json).expect("a slot");
    let start = Start { max_runs_per_hour: Some(2), ..start() };
    let full = slot.admit("c", 1, &start, NOW + HOUR);
    assert_eq!(full, Err(Full::Hourly(Time((16_666_666 + 61) * 60_000))));
    assert!(slot.admit("c", 1, &start, NOW + HOUR + secs(60)).is_ok());
}

#[test]
fn a_start_of_which_nothing_is_known_counts() {
    let start = Start { max_runs_per_hour: Some(1), ..start() };
    let slot = Slot::default().admit("b", 1, &start, NOW).expect("free");
    let batch = starting(&with_limits(None, Some(1)));
    let parked = |why| park(&batch, why);
    assert_eq!(slot.after(&parked(Why::NoSuchJob)).starts, BTreeMap::new());
    assert_eq!(slot.after(&parked(Why::OutcomeUnknown)).starts, slot.starts);
}

fn park(batch: &Batch, why: Why) -> Batch {
    let state = State::Parked { why, message: String::new() };
    batch.clone().into_state(state, NOW, HistoryEvent::Parked, why.code())
}
