//! When a batch closes.

use super::*;

const WINDOW: Closing =
    Closing { window_secs: Some(300), quiet_secs: None, settle_secs: 0, max_objects: None };

/// Seconds after [`NOW`] at which it closes, if nothing else arrives.
#[track_caller]
fn closes_at(batch: &Batch) -> u64 {
    match batch.state {
        State::Open { closes_at } => closes_at.since(NOW).as_secs(),
        ref state => panic!("{state:?}"),
    }
}

#[test]
fn a_window_begins_with_the_first_arrival_and_later_ones_do_not_move_it() {
    let batch = opened(WINDOW).with(2, false, true, &moment(10));
    assert_eq!(closes_at(&batch), 310);
    let batch = batch.with(1, false, true, &moment(200));
    assert_eq!((closes_at(&batch), batch.members, batch.chunks), (310, 3, 2));
    assert_eq!(batch.due(), Some(NOW + secs(310)));
}

#[test]
fn quiet_begins_again_with_every_arrival_and_the_window_bounds_it() {
    let closing = Closing { quiet_secs: Some(60), ..WINDOW };
    let batch = opened(closing).with(1, false, true, &moment(0));
    assert_eq!(closes_at(&batch), 60);
    let batch = batch.with(1, false, true, &moment(50));
    assert_eq!(closes_at(&batch), 110);
    let batch = batch.with(1, false, true, &moment(290));
    assert_eq!(closes_at(&batch), 300);
}

#[test]
fn what_is_full_is_closed_at_once_and_due() {
    let batch = opened(Closing { max_objects: Some(3), ..WINDOW });
    assert_eq!(batch.room(), 3);
    let batch = batch.with(2, false, true, &moment(0));
    assert_eq!((closes_at(&batch), batch.room()), (300, 1));
    let batch = batch.with(1, false, true, &moment(7));
    assert_eq!(batch.state, State::Sealed { due: NOW + secs(7), waits_for_slot: false });
}

#[test]
fn a_batch_takes_100_000_members_at_most_whatever_its_route_says() {
    for max_objects in [None, Some(100_001)] {
        let batch = opened(Closing { max_objects, ..WINDOW });
        assert_eq!(batch.room(), 100_000);
        let batch = batch.with(99_999, false, true, &moment(0));
        assert_eq!((closes_at(&batch), batch.room()), (300, 1));
        let batch = batch.with(1, false, true, &moment(7));
        assert_eq!(batch.state, State::Sealed { due: NOW + secs(7), waits_for_slot: false });
        assert_eq!(batch.room(), 0);
    }
}

#[test]
fn a_batch_that_was_recorded_in_very_many_pieces_is_closed() {
    let batch = Batch { members: 24_999, chunks: 24_999, ..opened(WINDOW) };
    assert!(batch.room() > 0);
    let closed = batch.with(1, false, true, &moment(7));
    assert_eq!(closed.state, State::Sealed { due: NOW + secs(7), waits_for_slot: false });
    // The version before admitted more: nothing is added to such a batch, and its time closes it.
    let former = Batch { members: 30_000, chunks: 30_000, ..batch };
    assert_eq!(former.room(), 0);
    assert_eq!(next(&former, &Seen::Nothing, &moment(1), &SETTINGS), Step::Rest);
}

#[test]
fn a_group_that_is_never_quiet_closes_its_batch_after_seven_days() {
    const HOUR: u64 = 3_600;
    const WEEK: u64 = 7 * 24 * HOUR;
    let closing = Closing { window_secs: None, quiet_secs: Some(2 * HOUR), ..WINDOW };
    let mut batch = opened(closing);
    for arrives in (0..WEEK).step_by(HOUR as usize) {
        batch = batch.with(1, false, true, &moment(arrives));
        assert_eq!(closes_at(&batch), WEEK.min(arrives + 2 * HOUR));
    }
    assert_eq!(next(&batch, &Seen::Nothing, &moment(WEEK - 1), &SETTINGS), Step::Rest);
    assert_eq!(written(&batch, &Seen::Nothing, WEEK).state.name(), "sealed");
}

#[test]
fn what_one_invocation_brings_is_closed_when_it_is_whole_and_else_after_its_lease() {
    let batch = opened(Closing::default()).with(98, false, false, &moment(0));
    assert_eq!(closes_at(&batch), 120, "the invocation is gone by then");
    let batch = batch.with(2, false, true, &moment(1));
    assert_eq!(batch.state, State::Sealed { due: NOW + secs(1), waits_for_slot: false });
    assert_eq!((batch.members, batch.chunks), (100, 2));
}

const MARKER: Closing = Closing { settle_secs: 30, ..WINDOW };

#[test]
fn a_marker_closes_a_batch_once_it_has_settled() {
    let batch = opened(MARKER).with(1, false, true, &moment(0)).with(0, true, true, &moment(50));
    assert_eq!((closes_at(&batch), batch.members), (80, 1));
    let batch = batch.with(1, false, true, &moment(70));
    assert_eq!(closes_at(&batch), 80, "data within that time is in it");
}

#[test]
fn a_marker_that_overtakes_its_data_waits_for_the_first_of_it() {
    let batch = opened(MARKER).with(0, true, true, &moment(0));
    assert_eq!(closes_at(&batch), 300);
    let batch = batch.with(1, false, true, &moment(100));
    assert_eq!(closes_at(&batch), 130);
}

#[test]
fn a_marker_that_comes_with_its_data_waits_all_the_same() {
    assert_eq!(closes_at(&opened(MARKER).with(1, true, true, &moment(10))), 40);
}

#[test]
fn a_marker_late_in_the_window_does_not_make_it_longer() {
    let batch = opened(MARKER).with(1, false, true, &moment(0)).with(0, true, true, &moment(290));
    assert_eq!(closes_at(&batch), 300);
}

#[test]
fn a_marker_that_is_written_again_settles_again() {
    let batch = opened(MARKER).with(1, true, true, &moment(0)).with(0, true, true, &moment(20));
    assert_eq!((closes_at(&batch), batch.chunks), (50, 1));
}

#[test]
fn a_marker_alone_closes_without_a_run() {
    let batch = opened(MARKER).with(0, true, true, &moment(0));
    assert_eq!(next(&batch, &Seen::Nothing, &moment(299), &SETTINGS), Step::Rest);
    let closed = written(&batch, &Seen::Nothing, 300);
    assert_eq!((&closed.state, closed.due(), closed.state.is_final()), (&State::Empty, None, true));
}

#[test]
fn a_marker_alone_never_fills_a_batch() {
    let batch = opened(Closing { max_objects: Some(1), ..MARKER }).with(0, true, true, &moment(0));
    assert_eq!(closes_at(&batch), 300);
}

/// Whoever records asks for an open batch: another one is opened for what is late.
#[test]
fn what_is_closed_does_not_open_again_by_itself() {
    let closed = written(&opened(WINDOW).with(1, false, true, &moment(0)), &Seen::Nothing, 300);
    assert_eq!(closed.state, State::Sealed { due: NOW + secs(300), waits_for_slot: false });
    let follow_up = draft(closed.closing).batch("f".repeat(32), &moment(400));
    let follow_up = follow_up.with(1, false, true, &moment(400));
    assert_eq!((closes_at(&follow_up), follow_up.epoch, follow_up.members), (700, 0, 1));
}
