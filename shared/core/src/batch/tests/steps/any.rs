//! What holds of all batches, whatever is seen.

use proptest::prelude::*;

use super::*;

fn any_time() -> impl Strategy<Value = Time> {
    prop_oneof![
        8 => (0..8_000u64).prop_map(|after| NOW - secs(4_000) + secs(after)),
        1 => Just(Time(0)),
        1 => Just(Time(u64::MAX)),
    ]
}

fn any_run_state() -> impl Strategy<Value = RunState> {
    let known = ["STARTING", "RUNNING", "SUCCEEDED", "FAILED", "TIMEOUT", "STOPPED", "ODD"];
    prop::sample::select(known.to_vec()).prop_map(RunState::parse)
}

fn any_state() -> impl Strategy<Value = State> {
    let times = (any_time(), any_time(), any_time());
    (0..8u8, times, 0..4u32, any_run_state()).prop_map(
        |(which, (one, two, three), epoch, state)| {
            let run_id = format!("jr_{epoch}");
            let awaited_since = (epoch == 3).then_some(three);
            let missing = (epoch == 3).then_some(Missing { since: three, times: epoch });
            match which {
                0 => State::Open { closes_at: one },
                1 => State::Sealed { due: one, waits_for_slot: epoch == 1 },
                2 => State::Starting(Starting { t0: one, lease: two, look_at: three, missing }),
                3 => State::Started(Started {
                    epoch,
                    run_id,
                    since: one,
                    look_at: two,
                    missing,
                    repeat: (epoch > 1)
                        .then_some(Repeat { awaited_since, may_hold_claim: epoch == 2 }),
                }),
                4 => State::Failed(Failed {
                    epoch,
                    run_id,
                    run_state: state,
                    claimed: epoch != 2,
                    since: one,
                    look_at: two,
                    missing,
                }),
                5 => State::Succeeded { run_id, claimed: epoch != 2 },
                6 => State::Parked { why: Why::Other, message: run_id },
                _ => State::Empty,
            }
        },
    )
}

fn any_batch() -> impl Strategy<Value = Batch> {
    let limits = (prop::option::of(0..3u32), prop::option::of(0..3u32));
    let counts = (0..5u32, any::<u32>(), any::<u32>(), 0..3u64);
    let runs = prop::collection::vec((0..4u32, prop::option::of(any_run_state())), 0..3);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), 0..3u32);
    (any_state(), limits, counts, runs, flags).prop_map(
        |(state, limits, (epoch, failures, deferrals, members), runs, flags)| {
            let (is_prepared, holds_slot, is_optional, accounted) = flags;
            let runs = runs.into_iter().map(|(epoch, state)| Run {
                epoch,
                run_id: format!("jr_{epoch}"),
                state,
                error: None,
            });
            let may_hold = matches!(state, State::Starting { .. } | State::Started { .. });
            let batch = with_limits(limits.0, limits.1);
            let claim = if is_optional { ClaimMode::Optional } else { ClaimMode::Required };
            Batch {
                start: Start { claim, ..batch.start.clone() },
                accounted,
                holds_slot: holds_slot && may_hold,
                state,
                epoch,
                failures: failures % (u32::MAX - 1),
                deferrals,
                members,
                runs: runs.collect(),
                prepared: is_prepared.then(prepared),
                ..batch
            }
        },
    )
}

fn any_claim() -> impl Strategy<Value = Claim> {
    (prop::option::of(0..4u32), 0..4u32).prop_map(|(holder, ended)| Claim { holder, ended })
}

fn any_observed_run() -> impl Strategy<Value = ObservedRun> {
    (any_run_state(), prop::option::of("\\PC{0,5}"))
        .prop_map(|(state, message)| ObservedRun::new(state, message.as_deref()))
}

fn any_seen() -> impl Strategy<Value = Seen> {
    let text = || "\\PC{0,5}";
    let lookup = || {
        let runs = prop::collection::vec(0..4u32, 0..3).prop_map(|epochs| {
            let run = |epoch| FoundRun { epoch, run_id: format!("jr_{epoch}") };
            Lookup::Complete(epochs.into_iter().map(run).collect())
        });
        prop_oneof![runs, text().prop_map(Lookup::Unclear), text().prop_map(Lookup::Unanswered)]
    };
    let slot = (prop::collection::btree_map("[ab]", 0..3u32, 0..3), any_time()).prop_map(
        |(live, minute)| {
            let starts = BTreeMap::from([(minute.0 / 60_000, 1)]);
            Slot { live, starts, ..Slot::default() }
        },
    );
    prop_oneof![
        Just(Seen::Nothing),
        Just(Seen::Wake),
        Just(Seen::Begun),
        Just(Seen::Prepared(Ok(prepared()))),
        text().prop_map(|text| Seen::Prepared(Err(Unprepared::NotNow(text)))),
        slot.prop_map(Seen::Slot),
        text().prop_map(|text| Seen::Start(StartOutcome::Started(text))),
        text().prop_map(|text| Seen::Start(StartOutcome::Unknown(text))),
        text().prop_map(|message| Seen::Start(StartOutcome::NotNow {
            code: String::new(),
            waits_for_slot: message.is_empty(),
            message,
        })),
        text().prop_map(|message| Seen::Start(StartOutcome::Never { why: Why::Other, message })),
        lookup().prop_map(Seen::Lookup),
        prop::option::of(any_observed_run()).prop_map(Seen::Run),
        (any_observed_run(), any_claim()).prop_map(|(run, claim)| Seen::Claim { run, claim }),
        (any_observed_run(), any_claim(), prop::option::of(0..3u32)).prop_map(
            |(run, claim, max_retries)| {
                let not_seen = |max_retries| RepeatSeen::NotSeen { max_retries };
                let repeat = max_retries.map_or(RepeatSeen::Begun, not_seen);
                Seen::Repeat { run, claim, repeat }
            }
        ),
        (0..4u32).prop_map(|epoch| Seen::ClaimEnded(EndOutcome::HeldBy(epoch))),
        Just(Seen::ClaimEnded(EndOutcome::Ended)),
        text().prop_map(Seen::Failed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_is_seen_a_decision_can_be_written_and_does_not_forget(
        batch in any_batch(), seen in any_seen(), now in any_time(), jitter in any::<u16>(),
    ) {
        let moment = Moment { now, lease: now + secs(120), jitter };
        match next(&batch, &seen, &moment, &SETTINGS) {
            Step::Write { batch: after, counts } => {
                prop_assert_eq!(counts, batch.holds_slot != after.holds_slot);
                let is_over = after.state.is_final() || matches!(after.state, State::Parked { .. });
                prop_assert_eq!(after.due().is_none(), is_over, "somebody looks again");
                prop_assert!(!is_over || !after.holds_slot, "nobody would give it back");
                prop_assert_eq!((after.epoch, &after.id), (batch.epoch, &batch.id));
                prop_assert!(after.runs.len() >= batch.runs.len());
                prop_assert!(after.history.len() <= history::MAX_ENTRIES);
                let json = serde_json::to_string(&*after).expect("it serialises");
                prop_assert_eq!(serde_json::from_str::<Batch>(&json).expect("a batch"), *after);
            }
            Step::Begin { batch: after, slot } => {
                prop_assert_eq!(after.epoch, batch.epoch + 1);
                let is_starting = matches!(after.state, State::Starting { .. });
                prop_assert!(is_starting && after.prepared.is_some(), "{:?}", after.state);
                prop_assert_eq!(slot.is_some(), after.holds_slot);
                prop_assert!(slot.is_some() || !after.start.has_limits(), "it is not counted");
            }
            Step::Start => prop_assert_eq!(&seen, &Seen::Begun),
            _ => {}
        }
    }

    /// Or it would be looked at again and again within one tick.
    #[test]
    fn a_batch_that_is_due_is_not_left_alone(batch in any_batch(), now in any_time()) {
        let is_due = batch.due().is_some_and(|due| due <= now);
        let is_leased = matches!(batch.state, State::Starting(Starting { lease, .. }) if now < lease);
        let moment = Moment { now, lease: now + secs(120), jitter: 0 };
        let rests = next(&batch, &Seen::Nothing, &moment, &SETTINGS) == Step::Rest;
        prop_assert_eq!(rests, !is_due || is_leased);
    }
}
