//! A backfill: what a listing of a bucket finds is brought to the route that takes it.
//!
//! [`sift`] says of each page of a listing what the route takes, and [`Survey`] adds the pages up. [`Backfill`] is what the
//! ledger keeps of one, so that it can be killed and goes on where it was.

mod sifted;

use serde::{Deserialize, Serialize};

pub use self::sifted::{Sifted, Survey, Taken, sift};
use crate::arrivals::Listing;
use crate::moment::Time;

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
    pub(crate) fn is_bucket(&self) -> bool {
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

impl Place {
    /// Returns the place that was kept as a key or as a row; `None` at the beginning.
    pub fn kept(after: Option<&str>, row: Option<Row>) -> Option<Self> {
        after.map(|key| Self::Key(key.to_owned())).or(row.map(Self::Row))
    }

    /// Returns the key or the row to keep.
    pub fn to_keep(place: Option<Self>) -> (Option<String>, Option<Row>) {
        match place {
            None => (None, None),
            Some(Self::Key(key)) => (Some(key), None),
            Some(Self::Row(row)) => (None, Some(row)),
        }
    }
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
    /// How many runs of its batches may start in an hour; `None` if only the route limits them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_runs_per_hour: Option<u32>,
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
            max_runs_per_hour: None,
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
        Place::kept(self.after.as_deref(), self.row)
    }

    /// Returns it with another place that it came to.
    #[must_use]
    pub fn reached(self, place: Option<Place>) -> Self {
        let (after, row) = Place::to_keep(place);
        Self { after, row, ..self }
    }

    /// Returns the listing that its messages name.
    pub fn listing(&self) -> Listing {
        let (id, route) = (self.id.clone(), self.selection.route.clone());
        let again = self.mode == Mode::All;
        Listing { id, route, again, max_runs_per_hour: self.max_runs_per_hour }
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

#[cfg(test)]
mod tests;
