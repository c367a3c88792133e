use expect_test::{Expect, expect};
use landfall_core::batch::{EndOutcome, RunState, Seen, StartOutcome, Why};
use unicode_width::UnicodeWidthStr;

use super::*;
use crate::fixtures::{self as made, NOW, secs};

fn shown(listing: &Listing, width: Option<usize>) -> String {
    text(listing, Selection::Since(NOW - secs(86_400)), NOW + secs(400), width)
}

#[track_caller]
fn check(batches: Vec<Batch>, left: Left, expected: Expect) {
    let listing = Listing { batches, unreadable: Vec::new(), left };
    expected.assert_eq(&shown(&listing, None));
}

#[test]
fn batches_stand_in_a_table_with_counts_by_state_below() {
    let other = Batch {
        route: "a-route-with-a-long-name".to_owned(),
        group: BTreeMap::new(),
        members: 12_345,
        ..made::parked(Why::NoSuchJob, "orders")
    };
    let odd = BTreeMap::from([
        ("dt".to_owned(), "\u{1b}[2J".to_owned()),
        ("file".to_owned(), "ü".repeat(60)),
    ]);
    let batches = vec![
        made::sealed(),
        made::starting(),
        made::started(),
        made::ended(RunState::Succeeded),
        other,
        Batch { group: odd, ..made::ended(RunState::Succeeded) },
    ];
    check(
        batches,
        Left::None,
        expect![[r#"
        OPENED                ROUTE                     GROUP                                              STATE      OBJECTS  RUN, OR WAITS FOR                    ID
        2026-02-01T00:00:00Z  orders                    dt=2026-01-31                                      sealed           3  the monitor                          899bfd94d19c4ed05147d6815125b225
        2026-02-01T00:00:00Z  orders                    dt=2026-01-31                                      starting         3  starting since 2026-02-01T00:00:01Z  899bfd94d19c4ed05147d6815125b225
        2026-02-01T00:00:00Z  orders                    dt=2026-01-31                                      started          3  jr_1                                 899bfd94d19c4ed05147d6815125b225
        2026-02-01T00:00:00Z  orders                    dt=2026-01-31                                      succeeded        3  jr_1                                 899bfd94d19c4ed05147d6815125b225
        2026-02-01T00:00:00Z  a-route-with-a-long-name  -                                                  parked       12345  no_such_job                          899bfd94d19c4ed05147d6815125b225
        2026-02-01T00:00:00Z  orders                    dt=\u{1b}[2J,file=üüüüüüüüüüüüüüüüüüüüüüüüüüüüüü…  succeeded        3  jr_1                                 899bfd94d19c4ed05147d6815125b225

        6 batches opened since 2026-01-31T00:00:00Z (24 hours ago): 1 parked, 1 sealed, 1 started, 1 starting, 2 succeeded
    "#]],
    );
}

/// The starter role can't be assumed.
fn denied() -> Batch {
    let outcome = StartOutcome::NotNow {
        code: "assume_role_denied".to_owned(),
        message: "failed to assume role `landfall-starter`: AccessDenied".to_owned(),
        waits_for_slot: false,
    };
    made::seen(&made::starting(), Seen::Start(outcome), 390)
}

#[test]
fn a_list_says_what_each_batch_waits_for_and_fits_the_terminal() {
    let busy = StartOutcome::NotNow {
        code: "ConcurrentRunsExceededException".to_owned(),
        message: "too many".to_owned(),
        waits_for_slot: true,
    };
    let retried = made::ended(RunState::Failed);
    let retried = made::seen(&retried, Seen::ClaimEnded(EndOutcome::Ended), 390);
    let wide = BTreeMap::from([("region".to_owned(), "東京都".repeat(9))]);
    let id = format!("222222222222-{}", made::ID);
    let batches = [
        denied(),
        made::seen(&made::starting(), Seen::Start(busy), 2),
        retried,
        Batch { group: wide, ..made::started() },
    ];
    let batches = batches.map(|batch| Batch { id: id.clone(), ..batch });
    let listing = Listing { batches: batches.to_vec(), unreadable: Vec::new(), left: Left::None };
    for width in [80, 100, 127, 128, 140, 160, 200] {
        let shown = shown(&listing, Some(width));
        let rows = shown.split_once("\n\n").expect("rows").0;
        assert!(rows.lines().all(|line| line.width() <= width), "{width}:\n{shown}");
        assert_eq!(shown.matches(&id).count(), 4, "{width}:\n{shown}");
    }
    expect![[r#"
        OPENED                ROUTE   GROUP                                             STATE    OBJECTS  RUN, OR WAITS FOR                         ID
        2026-02-01T00:00:00Z  orders  dt=2026-01-31                                     sealed         3  assume_role_denied, 2026-02-01T00:07:00Z  222222222222-899bfd94d19c4ed05147d6815125b225
        2026-02-01T00:00:00Z  orders  dt=2026-01-31                                     sealed         3  a run to end, or 2026-02-01T00:00:32Z     222222222222-899bfd94d19c4ed05147d6815125b225
        2026-02-01T00:00:00Z  orders  dt=2026-01-31                                     sealed         3  a retry, 2026-02-01T00:07:30Z             222222222222-899bfd94d19c4ed05147d6815125b225
        2026-02-01T00:00:00Z  orders  region=東京都東京都東京都東京都東京都東京都東京…  started        3  jr_1                                      222222222222-899bfd94d19c4ed05147d6815125b225

        4 batches opened since 2026-01-31T00:00:00Z (24 hours ago): 3 sealed, 1 started
    "#]].assert_eq(&shown(&listing, None));
    expect![[r#"
        OPENED                ROUTE   GROUP                   STATE    OBJECTS  RUN, OR WAITS FOR      ID
        2026-02-01T00:00:00Z  orders  dt=2026-01-31           sealed         3  assume_role_denied, …  222222222222-899bfd94d19c4ed05147d6815125b225
        2026-02-01T00:00:00Z  orders  dt=2026-01-31           sealed         3  a run to end, or 202…  222222222222-899bfd94d19c4ed05147d6815125b225
        2026-02-01T00:00:00Z  orders  dt=2026-01-31           sealed         3  a retry, 2026-02-01T…  222222222222-899bfd94d19c4ed05147d6815125b225
        2026-02-01T00:00:00Z  orders  region=東京都東京都東…  started        3  jr_1                   222222222222-899bfd94d19c4ed05147d6815125b225

        4 batches opened since 2026-01-31T00:00:00Z (24 hours ago): 3 sealed, 1 started
    "#]].assert_eq(&shown(&listing, Some(140)));
    expect![[r#"
        OPENED                ROUTE   GROUP          STATE    OBJECTS  RUN, OR WAITS FOR
        2026-02-01T00:00:00Z  orders  dt=2026-01-31  sealed         3  assume_role_deni…
          222222222222-899bfd94d19c4ed05147d6815125b225
        2026-02-01T00:00:00Z  orders  dt=2026-01-31  sealed         3  a run to end, or…
          222222222222-899bfd94d19c4ed05147d6815125b225
        2026-02-01T00:00:00Z  orders  dt=2026-01-31  sealed         3  a retry, 2026-02…
          222222222222-899bfd94d19c4ed05147d6815125b225
        2026-02-01T00:00:00Z  orders  region=東京…   started        3  jr_1
          222222222222-899bfd94d19c4ed05147d6815125b225

        4 batches opened since 2026-01-31T00:00:00Z (24 hours ago): 3 sealed, 1 started
    "#]]
    .assert_eq(&shown(&listing, Some(80)));
    let document: serde_json::Value =
        serde_json::from_str(&document(&listing, Selection::Since(NOW))).expect("JSON");
    let codes: Vec<_> = (0..4).map(|at| document["batches"][at]["waits_for"].as_str()).collect();
    let expected =
        [Some("assume_role_denied"), Some("ConcurrentRunsExceededException"), None, None];
    assert_eq!(codes, expected);
}

#[test]
fn a_list_says_what_it_does_not_have() {
    check(
        Vec::new(),
        Left::None,
        expect![[r#"
            no matching batch was opened since 2026-01-31T00:00:00Z (24 hours ago)
        "#]],
    );
    check(
        vec![made::sealed()],
        Left::Older,
        expect![[r#"
            OPENED                ROUTE   GROUP          STATE   OBJECTS  RUN, OR WAITS FOR  ID
            2026-02-01T00:00:00Z  orders  dt=2026-01-31  sealed        3  the monitor        899bfd94d19c4ed05147d6815125b225

            1 batch opened since 2026-01-31T00:00:00Z (24 hours ago): 1 sealed
            there are more, all of them older: raise --limit, or filter by --route or --state
        "#]],
    );
    check(
        vec![made::sealed()],
        Left::Unread,
        expect![[r#"
            OPENED                ROUTE   GROUP          STATE   OBJECTS  RUN, OR WAITS FOR  ID
            2026-02-01T00:00:00Z  orders  dt=2026-01-31  sealed        3  the monitor        899bfd94d19c4ed05147d6815125b225

            1 batch opened since 2026-01-31T00:00:00Z (24 hours ago): 1 sealed
            there are too many batches to read the older ones: filter by --route, or set a later --since
        "#]],
    );
    check(
        vec![made::sealed()],
        Left::Any,
        expect![[r#"
            OPENED                ROUTE   GROUP          STATE   OBJECTS  RUN, OR WAITS FOR  ID
            2026-02-01T00:00:00Z  orders  dt=2026-01-31  sealed        3  the monitor        899bfd94d19c4ed05147d6815125b225

            1 batch opened since 2026-01-31T00:00:00Z (24 hours ago): 1 sealed
            there are too many batches to read all of them: filter by --route
        "#]],
    );
}

#[test]
fn a_list_is_a_document_too() {
    let batches = vec![made::started(), made::parked(Why::NoSuchJob, "orders")];
    let listing = Listing { batches, unreadable: Vec::new(), left: Left::Older };
    expect![[r#"
        {
          "since": "2026-02-01T00:00:00Z",
          "batches": [
            {
              "id": "899bfd94d19c4ed05147d6815125b225",
              "opened_at": "2026-02-01T00:00:00Z",
              "route": "orders",
              "group": {
                "dt": "2026-01-31"
              },
              "state": "started",
              "arrivals": 3,
              "run_id": "jr_1",
              "due_at": "2026-02-01T00:05:01Z",
              "waits_for": null,
              "parked_for": null,
              "claim": "required",
              "claimed": null
            },
            {
              "id": "899bfd94d19c4ed05147d6815125b225",
              "opened_at": "2026-02-01T00:00:00Z",
              "route": "orders",
              "group": {
                "dt": "2026-01-31"
              },
              "state": "parked",
              "arrivals": 3,
              "run_id": null,
              "due_at": null,
              "waits_for": null,
              "parked_for": "no_such_job",
              "claim": "required",
              "claimed": null
            }
          ],
          "counts": {
            "parked": 1,
            "started": 1
          },
          "left": "older"
        }
    "#]]
    .assert_eq(&document(&listing, Selection::Since(NOW)));
}
