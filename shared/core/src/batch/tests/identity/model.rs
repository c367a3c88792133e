//! Every order in which events and listings of one key can be recorded, step by step.
//!
//! The ledger is what DynamoDB promises: a transaction writes all of its items, or none if a condition does not hold.
//! Every decision is the one of production: under which keys an arrival is recorded, and what is known.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const ROUTE: &str = "orders";

/// One write of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Write {
    etag: &'static str,
    /// In minutes.
    at: u64,
}

/// Somebody who records one arrival.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Recorder {
    /// The index of the write.
    write: usize,
    is_listing: bool,
    /// When it records, in minutes.
    now: u64,
    does: Does,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Does {
    /// A listing reads what is recorded of the key.
    Reads,
    /// It writes, if the look still is as it was read.
    Writes(u64),
    /// It reads the look again.
    ReadsAgain,
    Ended,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Ledger {
    /// The arrivals by identity, with the indices of their writes.
    arrivals: BTreeMap<String, usize>,
    /// The looks as JSON, with their revisions.
    looks: BTreeMap<String, (u64, String)>,
    /// The writes that are in batches.
    batches: Vec<usize>,
}

impl Ledger {
    fn look(&self, key: &str) -> Look {
        self.looks.get(key).map_or_else(Look::default, |(revision, json)| Look {
            revision: *revision,
            ..serde_json::from_str(json).expect("a look")
        })
    }
}

struct World<'a> {
    writes: &'a [Write],
    seen: BTreeSet<(Ledger, Vec<Recorder>)>,
    ends: BTreeSet<Vec<usize>>,
}

impl World<'_> {
    fn member(&self, recorder: &Recorder) -> Member {
        let Write { etag, at } = self.writes[recorder.write];
        if recorder.is_listing {
            listed(etag, after(at))
        } else {
            event(etag, &format!("{:02}", recorder.write), after(at))
        }
    }

    /// Lets each recorder take the next step, in every order.
    fn walk(&mut self, ledger: Ledger, recorders: Vec<Recorder>) {
        if !self.seen.insert((ledger.clone(), recorders.clone())) {
            return;
        }
        let mut has_ended = true;
        for (at, recorder) in recorders.iter().enumerate() {
            if recorder.does == Does::Ended {
                continue;
            }
            has_ended = false;
            let mut ledger = ledger.clone();
            let does = self.step(&mut ledger, recorder);
            let mut recorders = recorders.clone();
            recorders[at].does = does;
            self.walk(ledger, recorders);
        }
        if has_ended {
            self.ends.insert(ledger.batches);
        }
    }

    fn step(&self, ledger: &mut Ledger, recorder: &Recorder) -> Does {
        let member = self.member(recorder);
        let key = member.look_key(ROUTE).expect("a look");
        match recorder.does {
            Does::Reads => {
                let announced = ledger.arrivals.values().any(|write| {
                    let recorded =
                        Recorder { write: *write, is_listing: false, ..recorder.clone() };
                    let announced = Announced::of(&self.member(&recorded), Time(0));
                    announced.expect("a look").is(&member)
                });
                let look = ledger.look(&key);
                if announced || look.has(&member) {
                    Does::Ended
                } else {
                    Does::Writes(look.revision)
                }
            }
            Does::Writes(revision) => {
                let under = member.recorded_under(after(recorder.now));
                let arrival_key = member.arrival_key(ROUTE);
                if under.identity && ledger.arrivals.contains_key(&arrival_key) {
                    return Does::Ended;
                }
                let look = ledger.look(&key);
                if under.look && look.revision != revision {
                    return Does::ReadsAgain;
                }
                if under.look {
                    let look = look.with(&member);
                    let json = serde_json::to_string(&look).expect("JSON");
                    ledger.looks.insert(key, (look.revision, json));
                }
                if under.identity {
                    ledger.arrivals.insert(arrival_key, recorder.write);
                }
                ledger.batches.push(recorder.write);
                ledger.batches.sort_unstable();
                Does::Ended
            }
            Does::ReadsAgain => {
                let look = ledger.look(&key);
                if look.has(&member) { Does::Ended } else { Does::Writes(look.revision) }
            }
            Does::Ended => Does::Ended,
        }
    }
}

/// An event of a write, delivered at this minute.
fn told(write: usize, now: u64) -> Recorder {
    Recorder { write, is_listing: false, now, does: Does::Writes(0) }
}

/// A listing that found a write, at this minute.
fn found(write: usize, now: u64) -> Recorder {
    Recorder { write, is_listing: true, now, does: Does::Reads }
}

/// Returns the writes that can be in batches at the end. Those of `before` are recorded one after the other before the
/// others begin.
fn ends(writes: &[Write], before: &[Recorder], then: &[Recorder]) -> BTreeSet<Vec<usize>> {
    let mut world = World { writes, seen: BTreeSet::new(), ends: BTreeSet::new() };
    let mut ledger = Ledger::default();
    for recorder in before {
        let mut recorder = recorder.clone();
        while recorder.does != Does::Ended {
            recorder.does = world.step(&mut ledger, &recorder);
        }
    }
    world.walk(ledger, then.to_vec());
    world.ends
}

fn always(batches: &[usize]) -> BTreeSet<Vec<usize>> {
    BTreeSet::from([batches.to_vec()])
}

const ONE: [Write; 1] = [Write { etag: "e", at: 0 }];
const DAY: u64 = 24 * 60;

#[test]
fn an_object_that_is_announced_and_listed_in_any_order_is_in_one_batch() {
    // Prompt, then listed; announced twice and listed twice, all at once.
    assert_eq!(ends(&ONE, &[told(0, 1)], &[found(0, 60), found(0, 60)]), always(&[0]));
    let at_once = [told(0, 60), told(0, 61), found(0, 60), found(0, 61)];
    assert_eq!(ends(&ONE, &[], &at_once), always(&[0]));
    // Listed, then announced: late, and again much later.
    assert_eq!(ends(&ONE, &[found(0, 60)], &[told(0, 60), told(0, DAY)]), always(&[0]));
    // Prompt, listed, and announced again.
    assert_eq!(ends(&ONE, &[told(0, 1)], &[found(0, 60), told(0, 90)]), always(&[0]));
}

#[test]
fn an_upload_in_parts_that_took_hours_is_in_one_batch() {
    // A listing sees it as old as its beginning, right after it has ended.
    let writes = [Write { etag: "e-9", at: 0 }];
    assert_eq!(ends(&writes, &[], &[told(0, 1), told(0, 300), found(0, 300)]), always(&[0]));
}

#[test]
fn an_overwritten_object_is_in_a_batch_for_each_write_that_somebody_saw() {
    let writes = [Write { etag: "e", at: 0 }, Write { etag: "f", at: 120 }];
    let at_once = [told(0, 200), found(0, 200), told(1, 200), found(1, 200)];
    assert_eq!(ends(&writes, &[], &at_once), always(&[0, 1]));
    // Bytes that come back: S3 told nothing of it, but a listing sees the new time.
    let back = [writes[0], writes[1], Write { etag: "e", at: 240 }];
    let before = [told(0, 1), told(1, 121)];
    assert_eq!(ends(&back, &before, &[found(2, 400), found(2, 401)]), always(&[0, 1, 2]));
}

#[test]
fn the_same_bytes_that_s3_announces_again_start_anew_whatever_listings_found() {
    let writes = [Write { etag: "e", at: 0 }, Write { etag: "e", at: 120 }];
    let at_once = [found(0, 60), told(0, 60), told(1, 180), told(1, 181)];
    assert_eq!(ends(&writes, &[], &at_once), always(&[0, 1]));
    assert_eq!(ends(&writes, &[found(0, 60)], &[told(1, 121), told(0, 121)]), always(&[0, 1]));
}

#[test]
fn the_same_bytes_written_again_within_five_minutes_are_in_one_batch_or_two_and_never_in_none() {
    let writes = [Write { etag: "e", at: 0 }, Write { etag: "e", at: 4 }];
    let at_once = [told(0, 90), told(1, 90), found(1, 90)];
    let ends = ends(&writes, &[], &at_once);
    assert!(
        ends.iter().all(|batches| matches!(batches.as_slice(), [0, 1] | [1] | [0])),
        "{ends:?}"
    );
}

/// What would happen if events never wrote under the look: the test above can fail.
#[test]
fn without_the_look_an_event_after_a_listing_would_be_a_second_batch() {
    let mut ledger = Ledger::default();
    let world = World { writes: &ONE, seen: BTreeSet::new(), ends: BTreeSet::new() };
    world.step(&mut ledger, &Recorder { does: Does::Writes(0), ..found(0, 60) });
    // A prompt event, which no listing may have come before.
    world.step(&mut ledger, &told(0, 1));
    assert_eq!(ledger.batches, [0, 0]);
}
