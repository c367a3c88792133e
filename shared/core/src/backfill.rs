//! A backfill: what a listing of a bucket finds is brought to the route that takes it.
//!
//! [`sift`] says of each page of a listing what the route takes, and [`Survey`] adds the pages up. [`Backfill`] is what the
//! ledger keeps of one, so that it can be killed and goes on where it was.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};

use crate::arrivals::{Arrival, Listed, Listing};
use crate::batch::{Closing, may_be_listed};
use crate::moment::Time;
use crate::plan::plan;
use crate::routes::Routes;

/// The version of the ledger's item.
const VERSION: u32 = 1;

/// Which objects of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// The name of the route that is to take them.
    pub route: String,
    /// The route's bucket.
    pub bucket: String,
    /// What their keys begin with.
    pub prefix: String,
    /// Only those that were written at this time or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Only those that were written before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}

/// What names the objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Source {
    /// The bucket's own listing, in the order of the keys.
    #[default]
    Bucket,
    /// A list of keys.
    Keys {
        /// The name of the file, or `<stdin>`.
        name: String,
        /// The SHA-256 of its text, in hexadecimal digits: whoever goes on must have the same list.
        sha256: String,
    },
    /// An S3 Inventory.
    Inventory {
        /// The URI of its `manifest.json`.
        manifest: String,
        /// The MD5 of that file, which S3 wrote beside it.
        md5: String,
    },
}

impl Source {
    fn is_bucket(&self) -> bool {
        *self == Self::Bucket
    }
}

/// How far somebody came in a list of keys or in an inventory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// How many files it is done with. A list of keys is one file.
    pub file: u64,
    /// How many rows or lines of the next one it is done with.
    pub row: u64,
}

/// The place up to which somebody is done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In a listing: the last key.
    Key(String),
    /// In a list of keys or an inventory.
    Row(Row),
}

/// Which of the selected objects the route is to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Those that are in no batch of the route.
    Missing,
    /// All of them, once more.
    All,
}

/// Where a backfill stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Somebody sends, or was killed.
    Running,
    /// Somebody paused it, or it met one of its bounds.
    Paused,
    /// It goes on no more.
    Cancelled,
    /// It has sent everything.
    Done,
}

/// What the ledger keeps of a backfill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// The version of the item's shape.
    pub v: u32,
    /// Its ID, by which batches name it.
    pub id: String,
    /// Which objects it looks at.
    pub selection: Selection,
    /// Which of them it has taken.
    pub mode: Mode,
    /// Why, in the words of whoever started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who started it: the ARN of the caller.
    pub by: String,
    /// Where it stands.
    pub standing: Standing,
    /// When it was started.
    pub started_at: Time,
    /// When it was written last.
    pub updated_at: Time,
    /// What names the objects.
    #[serde(default, skip_serializing_if = "Source::is_bucket")]
    pub source: Source,
    /// The last key that it is done with, if it lists the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How far it came, if something else names the objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Row>,
    /// What it has found and sent so far.
    pub counts: Counts,
    /// The number of writes.
    #[serde(skip)]
    pub revision: u64,
}

impl Backfill {
    /// Returns a backfill that has done nothing yet.
    pub fn new(
        id: String,
        selection: Selection,
        mode: Mode,
        reason: Option<String>,
        by: String,
        now: Time,
    ) -> Self {
        Self {
            v: VERSION,
            id,
            selection,
            mode,
            reason,
            by,
            standing: Standing::Running,
            started_at: now,
            updated_at: now,
            source: Source::Bucket,
            after: None,
            row: None,
            counts: Counts::default(),
            revision: 0,
        }
    }

    /// Returns how far it came; `None` at the beginning.
    pub fn place(&self) -> Option<Place> {
        self.after.clone().map(Place::Key).or(self.row.map(Place::Row))
    }

    /// Returns it with another place that it came to.
    #[must_use]
    pub fn reached(self, place: Option<Place>) -> Self {
        let (after, row) = match place {
            None => (None, None),
            Some(Place::Key(key)) => (Some(key), None),
            Some(Place::Row(row)) => (None, Some(row)),
        };
        Self { after, row, ..self }
    }

    /// Returns the listing that its messages name.
    pub fn listing(&self) -> Listing {
        let (id, route) = (self.id.clone(), self.selection.route.clone());
        Listing { id, route, again: self.mode == Mode::All }
    }
}

/// How many objects a listing found, and what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Looked at.
    pub found: u64,
    /// Of these, written outside the selected time.
    pub outside: u64,
    /// Written less than an hour ago: S3 may still announce them.
    pub new: u64,
    /// Not taken by the route.
    pub unmatched: u64,
    /// Taken by the route, which can't make the arguments of a run for them.
    pub refused: u64,
    /// Named by a list of keys or an inventory, and not in the bucket.
    #[serde(default)]
    pub gone: u64,
    /// Taken by the route, and in a batch already.
    pub known: u64,
    /// Taken by the route, and to be sent.
    pub taken: u64,
    /// The bytes of these.
    pub taken_bytes: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.found += other.found;
        self.outside += other.outside;
        self.new += other.new;
        self.unmatched += other.unmatched;
        self.refused += other.refused;
        self.gone += other.gone;
        self.known += other.known;
        self.taken += other.taken;
        self.taken_bytes += other.taken_bytes;
    }
}

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

#[cfg(test)]
mod tests;
