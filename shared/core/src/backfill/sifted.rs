//! What a route takes of the objects that a backfill finds, page by page and in all.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

use super::{Counts, Selection};
use crate::arrivals::{Arrival, Listed, Listing};
use crate::batch::{Closing, may_be_listed};
use crate::moment::Time;
use crate::plan::plan;
use crate::routes::Routes;

/// What a route says of a page of objects.
#[derive(Debug, Default)]
pub struct Sifted {
    /// What became of the others, and how many there are. Those that are taken are not counted yet.
    pub counts: Counts,
    /// What the route takes, as arrivals, in the order of the page.
    pub taken: Vec<Taken>,
    /// Why the route refuses some, the first of them by key.
    pub refusal: Option<(String, String)>,
    /// Of each object of the page.
    fates: Vec<Fate>,
}

/// What becomes of an object.
#[derive(Debug)]
enum Fate {
    Outside,
    New,
    Unmatched,
    /// Holds its key, and why.
    Refused(String, String),
    Taken,
}

impl Sifted {
    /// Forgets the objects of the page from this one on.
    pub fn truncate(&mut self, objects: usize) {
        self.fates.truncate(objects);
        self.taken.retain(|taken| taken.at < objects);
        self.add_up();
    }

    /// Returns which objects of the page are to be sent. `is_known` says of each object that the route takes whether it is
    /// in a batch already.
    pub fn to_send(&self, is_known: &[bool]) -> BTreeSet<usize> {
        let sent = self.taken.iter().zip(is_known).filter(|(_, is_known)| !**is_known);
        sent.map(|(taken, _)| taken.at).collect()
    }

    fn add_up(&mut self) {
        self.counts = Counts { found: self.fates.len() as u64, ..Counts::default() };
        self.refusal = None;
        for fate in &self.fates {
            match fate {
                Fate::Outside => self.counts.outside += 1,
                Fate::New => self.counts.new += 1,
                Fate::Unmatched => self.counts.unmatched += 1,
                Fate::Refused(key, why) => {
                    self.counts.refused += 1;
                    if self.refusal.as_ref().is_none_or(|(first, _)| key < first) {
                        self.refusal = Some((key.clone(), why.clone()));
                    }
                }
                Fate::Taken => {}
            }
        }
    }
}

/// An object that the route takes.
#[derive(Debug)]
pub struct Taken {
    /// The object.
    pub listed: Listed,
    /// The arrival that it becomes.
    pub arrival: Arrival,
    /// Which object of the page it is.
    pub at: usize,
    /// Tells its group from others.
    group: Vec<(String, String)>,
}

/// Says which objects of a page the route of `selection` takes.
pub fn sift(
    routes: &Routes,
    selection: &Selection,
    listing: &Listing,
    page: Vec<Listed>,
    now: Time,
) -> Sifted {
    let Selection { since, until, .. } = selection;
    let mut fates = Vec::with_capacity(page.len());
    let mut objects = Vec::with_capacity(page.len());
    for (at, listed) in page.into_iter().enumerate() {
        let written = listed.last_modified.time();
        let is_outside = since.is_some_and(|since| written < since)
            || until.is_some_and(|until| written >= until);
        fates.push(match () {
            () if is_outside => Fate::Outside,
            () if !may_be_listed(written, now) => Fate::New,
            () => {
                objects.push(Some((at, listed)));
                Fate::Unmatched
            }
        });
    }
    let arrival = |object: &Option<(usize, Listed)>| {
        let (_, listed) = object.as_ref()?;
        Some(listed.arrival(&selection.bucket, listing))
    };
    let arrivals: Vec<Arrival> = objects.iter().filter_map(arrival).collect();
    let plan = plan(routes, &arrivals);
    for refusal in plan.refusals {
        if let Some((at, listed)) = objects[refusal.arrival].take() {
            fates[at] = Fate::Refused(listed.key, refusal.reason.to_string());
        }
    }
    let mut taken = Vec::new();
    for request in plan.requests {
        let group: Vec<(String, String)> = request.draft.group.into_iter().collect();
        for index in request.arrivals {
            let Some((at, listed)) = objects[index].take() else { continue };
            fates[at] = Fate::Taken;
            let arrival = arrivals[index].clone();
            taken.push(Taken { listed, arrival, at, group: group.clone() });
        }
    }
    taken.sort_by_key(|taken| taken.at);
    let mut sifted = Sifted { taken, fates, ..Sifted::default() };
    sifted.add_up();
    sifted
}

/// The pages of a listing, added up.
#[derive(Debug)]
pub struct Survey {
    /// What was found.
    pub counts: Counts,
    /// Why the route refuses some, the first of them by key.
    pub refusal: Option<(String, String)>,
    /// The most objects of a batch.
    most: u64,
    /// The objects of each group, by its hash: only their number matters.
    groups: HashMap<u64, u64>,
    batches: u64,
    hasher: RandomState,
}

impl Survey {
    /// Returns a survey of nothing, for a route that closes its batches so.
    pub fn new(closing: Closing) -> Self {
        let most = closing.of_listing().max_objects.unwrap_or(u64::MAX);
        let (groups, hasher) = (HashMap::new(), RandomState::new());
        Self { counts: Counts::default(), refusal: None, most, groups, batches: 0, hasher }
    }

    /// Adds a page. `is_known` says of each object that the route takes whether it is in a batch already. Returns those that
    /// are to be sent.
    pub fn add(&mut self, sifted: Sifted, is_known: &[bool]) -> Vec<Taken> {
        self.counts += sifted.counts;
        self.refusal = self.refusal.take().or(sifted.refusal);
        let mut sent = Vec::new();
        for (taken, is_known) in sifted.taken.into_iter().zip(is_known) {
            if *is_known {
                self.counts.known += 1;
                continue;
            }
            self.counts.taken += 1;
            self.counts.taken_bytes += taken.listed.size;
            let group = self.groups.entry(self.hasher.hash_one(&taken.group)).or_default();
            // It is the first of a batch.
            self.batches += u64::from(group.is_multiple_of(self.most));
            *group += 1;
            sent.push(taken);
        }
        sent
    }

    /// Returns the number of batches, each of which gets a run.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Returns how many of the first objects that a page takes can be added before there are more than `max_objects` to be
    /// sent, or more than `max_batches`.
    pub fn fitting(
        &self,
        sifted: &Sifted,
        is_known: &[bool],
        max_objects: u64,
        max_batches: u64,
    ) -> usize {
        let mut added: HashMap<u64, u64> = HashMap::new();
        let (mut objects, mut batches) = (self.counts.taken, self.batches);
        let fits = |(taken, is_known): &(&Taken, &bool)| {
            if **is_known {
                return true;
            }
            let group = self.hasher.hash_one(&taken.group);
            let before = self.groups.get(&group).copied().unwrap_or_default();
            let added = added.entry(group).or_default();
            objects += 1;
            batches += u64::from((before + *added).is_multiple_of(self.most));
            *added += 1;
            objects <= max_objects && batches <= max_batches
        };
        sifted.taken.iter().zip(is_known).take_while(fits).count()
    }
}
