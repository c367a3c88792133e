//! How arrivals become members of a batch, and when a batch closes.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Batch, BatchId, HASH_CHARS, HistoryEvent, Start, State};
use crate::arrivals::Arrival;
use crate::moment::{Moment, Time};

/// The most arrivals of one transaction. DynamoDB takes 100 items, and the transaction also writes a chunk, the batch and
/// sometimes a group's head.
const MAX_ARRIVALS: usize = 98;

/// The most members of a batch, whatever its route says. Its manifest is made in memory.
const MAX_MEMBERS: u64 = 100_000;

/// The most chunks of a batch. One invocation can read this many in good time.
const MAX_CHUNKS: u32 = 25_000;

/// The longest time for which a batch is open, however often objects arrive.
const MAX_OPEN: Duration = Duration::from_secs(7 * 86_400);

/// The most bytes of a chunk. DynamoDB takes 400 KB for an item and 4 MB for a transaction.
const MAX_CHUNK_BYTES: usize = 250_000;

/// How long a batch of what a listing found waits for more.
const LISTING_QUIET_SECS: u64 = 300;

/// The most members of such a batch if its route sets no bound.
const MAX_LISTED_OBJECTS: u64 = 10_000;

/// When a batch closes: at the first of these, or at once if none is set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Closing {
    /// This long after its first arrival.
    pub window_secs: Option<u64>,
    /// When nothing has arrived for this long.
    pub quiet_secs: Option<u64>,
    /// This long after the marker or the first member, whichever came later.
    pub settle_secs: u64,
    /// As soon as it has this many members.
    pub max_objects: Option<u64>,
}

impl Closing {
    /// Returns when a batch closes of what a listing found. What a listing finds comes as fast as it is sent, not as it was
    /// written, so neither a window nor a pause in a group says that it is complete: a batch closes when it is full, or
    /// when the listing has long found no more of its group. A marker closes it as ever.
    #[must_use]
    pub fn of_listing(self) -> Self {
        if self.max_objects == Some(1) {
            return Self { window_secs: None, quiet_secs: None, ..self };
        }
        Self {
            window_secs: None,
            quiet_secs: Some(LISTING_QUIET_SECS),
            max_objects: Some(self.max_objects.unwrap_or(MAX_LISTED_OBJECTS)),
            ..self
        }
    }

    /// Returns `true` if a batch is what one invocation brought.
    pub fn is_at_once(&self) -> bool {
        self.window_secs.is_none() && self.quiet_secs.is_none()
    }
}

/// One object version in a batch. Its bucket is the batch's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// As in S3, not URL-encoded.
    pub key: String,
    /// `None` if the bucket has no versioning or has suspended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Without quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// In bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// S3's sequencer of the event, which orders the events of one key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequencer: Option<String>,
    /// RFC 3339. If a listing found the object, this is its `LastModified`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<String>,
    /// The ID of the listing that found it; `None` if S3 announced it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listing: Option<String>,
    /// `true` if that listing has it processed again, whatever batch it is in already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
}

impl From<&Arrival> for Member {
    fn from(arrival: &Arrival) -> Self {
        Self {
            key: arrival.key.clone(),
            version_id: arrival.version_id.clone(),
            etag: arrival.etag.clone(),
            size: arrival.size,
            sequencer: arrival.sequencer.clone(),
            event_time: arrival.event_time.map(|time| time.to_string()),
            listing: arrival.listing.as_ref().map(|listing| listing.id.clone()),
            again: arrival.listing.as_ref().is_some_and(|listing| listing.again),
        }
    }
}

/// A ledger item that holds some members of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The version of the item's shape.
    pub v: u32,
    /// The members that this item holds.
    pub members: Vec<Member>,
}

/// Arrivals of one group of a route, and what opens a batch of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The name of the route.
    pub route: String,
    /// The bucket that holds the objects.
    pub bucket: String,
    /// The values of the captures that the route groups by.
    pub group: BTreeMap<String, String>,
    /// What the batch starts, and how.
    pub start: Start,
    /// The conditions that close the batch.
    pub closing: Closing,
    /// The ID of the listing that found the objects; `None` if S3 announced them.
    pub listing: Option<String>,
    /// The object versions, sorted by key.
    pub members: Vec<Member>,
    /// Versions of the group's marker.
    pub markers: Vec<Member>,
}

impl Draft {
    /// Returns the ID of a batch that `first` opens: the account, and a hash of the route, the group, and that object
    /// version, which is in no other batch of the route. See [`BatchId`].
    pub fn batch_id(&self, first: &Member) -> String {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            // With its length before it, no text can pass for two others.
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        };
        add(&self.route);
        add(&self.bucket);
        for (name, value) in &self.group {
            add(name);
            add(value);
        }
        add(&first.key);
        add(&first.identity());
        let hash = super::hex(&hash.finalize()[..HASH_CHARS / 2]);
        BatchId { account: Some(&self.start.account), hash: &hash }.to_string()
    }

    /// Returns `true` if nothing has to be known or done between the write that records all of it, and its start. What a
    /// listing found waits until what S3 announced has had its turn.
    pub fn starts_at_once(&self, now: Time) -> bool {
        let Self { start, members, .. } = self;
        let has_needs = start.has_limits() || start.announce || self.listing.is_some();
        let fits = || chunk(members, arrivals_room(false), now).0 == members.len();
        self.closing.is_at_once() && start.has_job() && !has_needs && !members.is_empty() && fits()
    }

    /// Returns a batch without members, before its first write.
    pub fn batch(&self, id: String, moment: &Moment) -> Batch {
        let now = moment.now;
        let mut batch = Batch {
            v: self.start.version(),
            id,
            route: self.route.clone(),
            bucket: self.bucket.clone(),
            group: self.group.clone(),
            start: self.start.clone(),
            closing: self.closing,
            listing: self.listing.clone(),
            state: State::Open { closes_at: moment.lease },
            epoch: 0,
            accounted: 0,
            failures: 0,
            deferrals: 0,
            opened_at: now,
            first_arrival_at: None,
            last_arrival_at: None,
            marker_at: None,
            members: 0,
            chunks: 0,
            prepared: None,
            prepared_at: None,
            closed_at: None,
            announced_at: None,
            runs: Vec::new(),
            holds_slot: false,
            history: Vec::new(),
            revision: 0,
            unknown: BTreeMap::new(),
        };
        batch.note(now, HistoryEvent::Opened, "");
        batch
    }
}

/// Returns how many of `members`, which are sorted by key, one transaction can record now in at most `most` items, and how
/// many items these are. No two of them are recorded under one look, because a transaction writes an item once.
pub fn chunk<M: Borrow<Member>>(members: &[M], most: usize, now: Time) -> (usize, usize) {
    let (mut fitting, mut items, mut bytes) = (0, 0, 0);
    for member in members.iter().map(Borrow::borrow) {
        // A control character takes six bytes in JSON.
        let text = |text: &Option<String>| text.as_deref().map_or(0, |text| text.len() * 6);
        let key: usize = member.key.bytes().map(|b| if b < 0x20 { 6 } else { 2 }).sum();
        bytes += key + text(&member.version_id) + text(&member.etag) + text(&member.listing) + 200;
        let under = member.recorded_under(now);
        let before = members[..fitting].iter().rev().map(Borrow::borrow);
        let mut same_key = before.take_while(|other| other.key == member.key);
        let meets = under.look
            && same_key.any(|other| other.recorded_under(now).look && other.looks_like(member));
        if meets || items + under.items() > most || (fitting > 0 && bytes > MAX_CHUNK_BYTES) {
            break;
        }
        (fitting, items) = (fitting + 1, items + under.items());
    }
    (fitting, items)
}

/// Returns how many items of arrivals one transaction has room for, beside those of the batch. With `has_head`, it writes
/// the group's head too.
pub fn arrivals_room(has_head: bool) -> usize {
    if has_head { MAX_ARRIVALS - 1 } else { MAX_ARRIVALS }
}

impl Batch {
    /// Returns how many more members it takes before it closes. A batch of very many chunks takes none.
    pub fn room(&self) -> u64 {
        if self.chunks >= MAX_CHUNKS {
            return 0;
        }
        let most = self.closing.max_objects.unwrap_or(MAX_MEMBERS).min(MAX_MEMBERS);
        most.saturating_sub(self.members)
    }

    /// Returns the batch with this many more members, in a chunk of their own. With `marker`, the group's marker came with
    /// them. `is_whole` closes a batch that takes members from one invocation only.
    #[must_use]
    pub fn with(&self, members: usize, marker: bool, is_whole: bool, moment: &Moment) -> Self {
        let now = moment.now;
        let mut batch = self.clone();
        if members > 0 {
            batch.first_arrival_at.get_or_insert(now);
            batch.last_arrival_at = Some(now);
            batch.members += members as u64;
            batch.chunks += 1;
        }
        if marker {
            batch.marker_at = Some(now);
            batch.note(now, HistoryEvent::Marker, "");
        }
        let is_complete = if batch.closing.is_at_once() { is_whole } else { batch.room() == 0 };
        if is_complete && batch.members > 0 {
            batch.sealed(now)
        } else {
            let closes_at = batch.closes_at(moment);
            Self { state: State::Open { closes_at }, ..batch }
        }
    }

    /// Returns when it closes, as far as is known. A batch that takes members from one invocation only does not close
    /// before that invocation is over.
    fn closes_at(&self, moment: &Moment) -> Time {
        let Closing { window_secs, quiet_secs, settle_secs, .. } = self.closing;
        let after = |time: Time, secs: u64| time + Duration::from_secs(secs);
        let first = self.first_arrival_at.unwrap_or(self.opened_at);
        let last = self.last_arrival_at.unwrap_or(self.opened_at);
        let by_marker = match (self.marker_at, self.first_arrival_at) {
            (Some(marker), Some(first)) => Some(after(marker.max(first), settle_secs)),
            _ => None,
        };
        let ends = [
            window_secs.map(|secs| after(first, secs)),
            quiet_secs.map(|secs| after(last, secs)),
            by_marker,
        ];
        match ends.into_iter().flatten().min() {
            Some(end) => end.min(first + MAX_OPEN),
            None => moment.lease,
        }
    }

    /// Closes the batch. It takes no more members and is due now.
    pub(super) fn sealed(self, now: Time) -> Self {
        let detail = format!("{} members", self.members);
        let due = State::Sealed { due: now, waits_for_slot: false };
        let closed_at = self.start.announce.then_some(now);
        Self { closed_at, ..self }.into_state(due, now, HistoryEvent::Sealed, &detail)
    }
}
