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
