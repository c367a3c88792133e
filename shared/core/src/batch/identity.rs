//! What tells arrivals apart, and what shows that an event and a listing are about the same object.
//!
//! A version ID tells both apart. In a bucket without versioning, an event has a sequencer, which no listing shows. A
//! listing shows an object's ETag, size and time, which is its *look*. So whatever a listing finds is recorded under its
//! look, and so is every event that a listing could have come before: then the two are writes of one item, and whichever
//! comes second meets the first.
//!
//! An event that S3 announces promptly is recorded under its sequencer alone, which costs half as much. Listings leave
//! objects alone for [`LISTED_FROM_AGE`], so a prompt event has been recorded before any listing takes its object, and
//! the listing finds it by reading.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Member, hex};
use crate::arrivals::Arrival;
use crate::moment::Time;

/// How old an object is at least when a listing takes it. By then, a prompt event of it is recorded: [`PROMPT`], and the
/// quarter of an hour that an invocation may take, and clocks that differ.
pub const LISTED_FROM_AGE: Duration = Duration::from_secs(3600);

/// How old an event is at most for no listing to have come before it.
const PROMPT: Duration = Duration::from_secs(15 * 60);

/// By how much the time of an event and the `LastModified` of its object may differ.
const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// How much later than `LastModified` an event may be if the upload takes long: S3 gives an object that is uploaded in
/// parts the time at which the upload began (S3 user guide, "Working with object metadata").
const LONGEST_UPLOAD: Duration = Duration::from_secs(86_400);

/// From how many bytes on an upload may take longer than [`TOLERANCE`] though it isn't in parts.
const LARGE: u64 = 64 << 20;

/// The most listings that a look remembers.
const MAX_LISTED: usize = 16;

/// What two events of the same object version share. Its order is that of the written texts.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity<'a> {
    /// What a listing found to be processed again: the listing's ID, and how it is told otherwise.
    Again(&'a str, Box<Identity<'a>>),
    /// The look and time, for what a listing found without a version ID.
    Listed(String),
    /// The ETag, size and time of the event, for an event with neither a version ID nor a sequencer.
    Look(String),
    /// The sequencer, if there is no version ID.
    Sequencer(&'a str),
    /// The version ID.
    Version(&'a str),
}

impl<'a> Identity<'a> {
    /// Returns the identity of the member that an arrival becomes.
    pub fn of(arrival: &'a Arrival) -> Self {
        let Arrival { version_id, sequencer, etag, size, event_time, listing, .. } = arrival;
        let look = || (etag.as_deref(), *size, event_time.map(|time| time.to_string()));
        let listing = listing.as_ref().map(|listing| (&*listing.id, listing.again));
        Self::new(version_id.as_deref(), sequencer.as_deref(), listing, look)
    }

    fn of_member(member: &'a Member) -> Self {
        let Member { version_id, sequencer, etag, size, event_time, listing, .. } = member;
        let look = || (etag.as_deref(), *size, event_time.clone());
        let listing = listing.as_deref().map(|id| (id, member.again));
        Self::new(version_id.as_deref(), sequencer.as_deref(), listing, look)
    }

    fn new(
        version_id: Option<&'a str>,
        sequencer: Option<&'a str>,
        listing: Option<(&'a str, bool)>,
        look: impl FnOnce() -> (Option<&'a str>, Option<u64>, Option<String>),
    ) -> Self {
        let look = || {
            let (etag, size, time) = look();
            format!("{etag:?} {size:?} {time:?}")
        };
        let identity = match (version_id, sequencer) {
            (Some(version), _) => Self::Version(version),
            (None, _) if listing.is_some() => Self::Listed(look()),
            (None, Some(sequencer)) => Self::Sequencer(sequencer),
            (None, None) => Self::Look(look()),
        };
        match listing {
            Some((id, true)) => Self::Again(id, Box::new(identity)),
            _ => identity,
        }
    }
}

impl fmt::Display for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Again(listing, identity) => write!(f, "again {listing} {identity}"),
            Self::Listed(look) => write!(f, "listed {look}"),
            Self::Look(look) => write!(f, "look {look}"),
            Self::Sequencer(sequencer) => write!(f, "sequencer {sequencer}"),
            Self::Version(version) => write!(f, "version {version}"),
        }
    }
}

/// Under which of its keys an arrival is recorded: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordedUnder {
    /// Under its identity.
    pub identity: bool,
    /// Under its look, where an event and a listing of the same object meet.
    pub look: bool,
}

impl RecordedUnder {
    /// Returns the number of items.
    pub fn items(self) -> usize {
        usize::from(self.identity) + usize::from(self.look)
    }
}

impl Member {
    /// Returns what two events of the same object version share: its version ID, else its sequencer, else how it looks.
    pub fn identity(&self) -> String {
        Identity::of_member(self).to_string()
    }

    /// Returns the sort key of its arrival's item: the route's name and 32 hexadecimal digits. An object has one item for
    /// each route and version.
    pub fn arrival_key(&self, route: &str) -> String {
        match self.look() {
            Some(look) if self.listing.is_some() => look_key(route, &look),
            _ => key(route, &self.identity()),
        }
    }

    /// Returns `true` if a listing found it, and no version ID tells it apart.
    pub fn is_found_by_look(&self) -> bool {
        self.listing.is_some() && self.look().is_some()
    }

    /// Returns the sort key of the item that it shares with what a listing finds of the same look; `None` if its version ID
    /// tells it apart, if nothing tells how it looks, or if it is processed again.
    pub fn look_key(&self, route: &str) -> Option<String> {
        self.look().map(|look| look_key(route, &look))
    }

    /// Returns under which keys it is to be recorded at this time.
    pub fn recorded_under(&self, now: Time) -> RecordedUnder {
        let is_listed = self.listing.is_some();
        match self.look() {
            None => RecordedUnder { identity: true, look: false },
            Some(_) => RecordedUnder {
                identity: !is_listed,
                look: is_listed || self.may_have_been_listed(now),
            },
        }
    }

    fn may_have_been_listed(&self, now: Time) -> bool {
        let is_prompt = |time: Time| now.since(time) <= PROMPT;
        self.upload_may_take_long() || !self.time().is_some_and(is_prompt)
    }

    fn upload_may_take_long(&self) -> bool {
        // S3 writes the number of parts behind a dash.
        self.etag.as_deref().is_some_and(|etag| etag.contains('-')) || self.size >= Some(LARGE)
    }

    fn look(&self) -> Option<(&str, u64)> {
        let Self { version_id: None, etag: Some(etag), size: Some(size), again: false, .. } = self
        else {
            return None;
        };
        Some((etag, *size))
    }

    /// Returns `true` if the two have the same ETag and size, and no version ID tells them apart.
    pub(super) fn looks_like(&self, other: &Self) -> bool {
        self.look().is_some_and(|look| other.look() == Some(look))
    }

    /// Returns `LastModified` of what a listing found.
    pub fn listed_at(&self) -> Option<Time> {
        self.time().filter(|_| self.listing.is_some())
    }

    /// Returns the time of its event, or `LastModified` if a listing found it.
    fn time(&self) -> Option<Time> {
        self.event_time.as_deref().and_then(Time::parse)
    }
}

fn look_key(route: &str, (etag, size): &(&str, u64)) -> String {
    key(route, &format!("bytes {size} {etag}"))
}

fn key(route: &str, text: &str) -> String {
    format!("{route} {}", hex(&Sha256::digest(text)[..16]))
}

/// What the ledger knows of a look: the writes of the same bytes to one key, in a bucket without versioning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Look {
    /// The version of the item's shape.
    pub v: u32,
    /// The time of the newest event that was recorded under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_at: Option<Time>,
    /// `LastModified` of what listings found and recorded, the newest [`MAX_LISTED`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listed_at: Vec<Time>,
    /// Changes with each write.
    #[serde(skip)]
    pub revision: u64,
}

impl Look {
    /// Returns `true` if `member`, which looks so, is recorded already: an event of what a listing found, or a listing's
    /// find that S3 announced or that a listing found before.
    ///
    /// A write of the same bytes within [`TOLERANCE`] of the one that is recorded can't be told from it.
    pub fn has(&self, member: &Member) -> bool {
        let Some(time) = member.time() else {
            // Nothing tells an event without a time from what was found.
            return !self.listed_at.is_empty();
        };
        if member.listing.is_some() {
            let mut others = self.announced_at.iter().chain(&self.listed_at);
            return others.any(|other| is_as_late_as(*other, time));
        }
        let longest = if member.upload_may_take_long() { LONGEST_UPLOAD } else { TOLERANCE };
        let is_it = |listed: &Time| is_as_late_as(time, *listed) && time <= *listed + longest;
        self.listed_at.iter().any(is_it)
    }

    /// Returns the look with `member` recorded too, in its next revision.
    #[must_use]
    pub fn with(&self, member: &Member) -> Self {
        let mut look =
            Self { v: super::SCHEMA_VERSION, revision: self.revision + 1, ..self.clone() };
        match (member.time(), &member.listing) {
            (Some(time), Some(_)) => {
                look.listed_at.push(time);
                look.listed_at.sort_unstable_by(|one, other| other.cmp(one));
                look.listed_at.truncate(MAX_LISTED);
            }
            (Some(time), None) => look.announced_at = look.announced_at.max(Some(time)),
            (None, _) => {}
        }
        look
    }
}

fn is_as_late_as(time: Time, other: Time) -> bool {
    time + TOLERANCE >= other
}

/// An arrival that an event brought, and that may not be recorded under its look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Without quotes.
    pub etag: String,
    /// In bytes.
    pub size: u64,
    /// The time of the event, or when it was recorded if the event has none.
    pub at: Time,
}

impl Announced {
    /// Returns what an arrival's item keeps of its event; `None` if its version ID tells it apart from what a listing finds,
    /// or if nothing tells how it looks.
    pub fn of(member: &Member, recorded_at: Time) -> Option<Self> {
        let (etag, size) = member.look()?;
        Some(Self { etag: etag.to_owned(), size, at: member.time().unwrap_or(recorded_at) })
    }

    /// Returns `true` if a listing that finds `member` has found this arrival's object.
    pub fn is(&self, member: &Member) -> bool {
        member.look() == Some((self.etag.as_str(), self.size))
            && member.time().is_none_or(|listed| is_as_late_as(self.at, listed))
    }
}

/// Returns `true` if an object of this time is old enough for a listing to take it.
pub fn may_be_listed(last_modified: Time, now: Time) -> bool {
    now.since(last_modified) >= LISTED_FROM_AGE
}
