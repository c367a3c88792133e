//! What somebody else wrote is cut, and an item is never larger than one can be.

use proptest::prelude::*;

use super::super::fit::MAX_TEXT_BYTES;
use super::*;

/// DynamoDB's limit, with the attributes of the indexes beside the document.
const MAX_ITEM_BYTES: usize = 400_000 - 4_000;

fn bytes(batch: &Batch) -> usize {
    serde_json::to_string(batch).expect("it serialises").len()
}

fn with_arguments(bytes: usize) -> Batch {
    let arguments = BTreeMap::from([("--a".to_owned(), "a".repeat(bytes))]);
    let prepared = Some(Prepared { arguments: arguments.clone(), ..prepared() });
    Batch { start: Start { arguments, ..start() }, prepared, ..sealed() }
}

fn refused(message: String) -> Seen {
    let code = "start_failed".to_owned();
    Seen::Start(StartOutcome::NotNow { code, message, waits_for_slot: false })
}

proptest! {
    #[test]
    fn a_text_is_cut_between_characters_and_a_short_one_is_kept(text in "[aü€𝄞]{0,3000}") {
        let kept = cut(&text);
        prop_assert!(kept.len() <= MAX_TEXT_BYTES);
        match kept.strip_suffix('…') {
            Some(beginning) => prop_assert!(text.starts_with(beginning) && kept.len() > 2_040),
            None => prop_assert_eq!(kept, text),
        }
    }
}

#[test]
fn what_glue_says_is_cut_wherever_a_batch_keeps_it() {
    let long = || "\u{1}".repeat(52_000);
    let batch = starting(&sealed());
    let never = StartOutcome::Never { why: Why::InvalidInput, message: long() };
    let batches = [
        written(&batch, &refused(long()), 0),
        written(&batch, &Seen::Start(never), 0),
        written(&batch, &Seen::Start(StartOutcome::Unknown(long())), 0),
        written(&batch, &Seen::Lookup(Lookup::Unanswered(long())), 120),
        written(&started(&sealed()), &Seen::Run(Some(RunState::parse(&long()).into())), 60),
        written(&started(&sealed()), &Seen::Failed(long()), 60),
    ];
    for batch in batches {
        // In JSON, six bytes each, twice.
        assert!(bytes(&batch) < 2_000 + 2 * 6 * MAX_TEXT_BYTES, "{batch:?}");
    }
}

#[test]
fn a_history_gives_way_before_an_item_is_too_large_and_then_what_can_be_prepared_anew() {
    let long = |n: u32| format!("{n}{}", "\u{1}".repeat(52_000));
    let put_off = |batch: Batch| {
        (0..60).fold(batch, |batch, n| written(&starting(&batch), &refused(long(n)), 0))
    };
    for arguments in [10_000, 80_000] {
        let batch = put_off(with_arguments(arguments));
        assert!(bytes(&batch) < MAX_ITEM_BYTES, "{}", bytes(&batch));
        assert!(batch.prepared.is_some());
        assert_eq!(batch.history[0].what, HistoryEvent::Opened);
        assert_eq!(batch.history.last().map(|last| last.what.as_str()), Some("deferred"));
    }
    let lost = Batch { state: started(&sealed()).state, ..with_arguments(195_000) };
    let lost = written(&lost, &Seen::Failed(long(0)), 60);
    assert!(bytes(&lost) < MAX_ITEM_BYTES && lost.prepared.is_none(), "{}", bytes(&lost));
}

#[test]
fn why_earlier_runs_failed_gives_way_before_an_item_is_too_large() {
    let error = "\u{1}".repeat(ObservedRun::MAX_ERROR_CHARS);
    let run = |epoch: u32| Run {
        epoch,
        run_id: format!("jr_{epoch}"),
        state: Some(RunState::Failed),
        error: Some(error.clone()),
    };
    let batch = Batch { runs: (1..100).map(run).collect(), ..started(&sealed()) };
    assert!(bytes(&batch) > MAX_ITEM_BYTES, "{}", bytes(&batch));
    let batch = written(&batch, &Seen::Failed("throttled".to_owned()), 60);
    assert!(bytes(&batch) < MAX_ITEM_BYTES && batch.prepared.is_some(), "{}", bytes(&batch));
    let kept: Vec<u32> =
        batch.runs.iter().filter(|run| run.error.is_some()).map(|run| run.epoch).collect();
    assert_eq!((batch.runs.len(), kept), (99, vec![99]));
}

/// Else it would be started, and what came of it could not be written.
#[test]
fn a_batch_that_would_be_too_large_to_write_what_comes_of_it_is_parked_and_not_started() {
    let batch = with_arguments(180_000);
    let Step::Write { batch: parked, .. } = next(&batch, &Seen::Wake, &moment(0), &SETTINGS) else {
        panic!("it was begun")
    };
    let State::Parked { why: Why::ArgumentRefused, message } = &parked.state else {
        panic!("{:?}", parked.state)
    };
    assert!(message.contains("400 KB") && bytes(&parked) < MAX_ITEM_BYTES, "{message}");
}
