//! What was seen of one object on its way into the ledger. Nothing in it is a verdict.

use std::time::Duration;

use super::observed::Look;
use crate::moment::Time;

/// How long the event of an object can take to get into the ledger. Usually it takes seconds.
pub const ON_ITS_WAY: Duration = Duration::from_secs(300);

/// How long the ledger keeps arrivals at least, unless it is configured otherwise.
pub const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// The newest version of an object, as S3 shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// In bytes.
    pub size: Option<u64>,
    /// When it was uploaded.
    pub modified: Option<Time>,
    /// `None` if the bucket has no versioning or has suspended it.
    pub version_id: Option<String>,
    /// Without quotes.
    pub etag: Option<String>,
}

/// What is known of one object.
#[derive(Debug, Clone)]
pub struct Object {
    /// The data account's ID.
    pub account: String,
    /// The region of the stack.
    pub region: String,
    /// The name of the bucket.
    pub bucket: String,
    /// The object's key, as in S3.
    pub key: String,
    /// When somebody looked.
    pub at: Time,
    /// What S3 says. It refuses those who may not list the bucket, whether or not the object exists.
    pub head: Look<Head>,
    /// What each route of the bucket says, or why nobody knows.
    pub answers: Result<Answers, String>,
    /// The arrivals of the object that the ledger has, of whatever version. `Missing` if there is no ledger.
    pub arrivals: Look<Vec<Recorded>>,
}

/// What the routes of a bucket say about an object.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Which routes they are, such as ``the routes that stack `landfall` was deployed with``.
    pub from: String,
    /// One answer for each route of the bucket.
    pub routes: Vec<Answer>,
}

/// What a route says about an object.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The route's name.
    pub route: String,
    /// `true` if the route takes the object, as a member or as a marker.
    pub takes: bool,
    /// Why, or why not.
    pub words: String,
}

/// An arrival that the ledger has.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The route that took the object.
    pub route: String,
    /// The ID of its batch.
    pub batch: String,
    /// When it was recorded.
    pub at: Time,
}

impl Object {
    /// Returns `s3://bucket/key`, with nothing encoded.
    pub fn uri(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    /// Returns the arrivals of the newest version, the newest first. What was recorded before that version was uploaded is about
    /// an older one.
    pub fn recorded(&self) -> Vec<&Recorded> {
        let uploaded = self.head.seen().and_then(|head| head.modified);
        let all = self.arrivals.seen().into_iter().flatten();
        let mut recorded: Vec<&Recorded> =
            all.filter(|arrival| uploaded.is_none_or(|time| arrival.at >= time)).collect();
        recorded.sort_by_key(|arrival| std::cmp::Reverse(arrival.at));
        recorded
    }

    /// Returns the names of the routes that take the object.
    pub(super) fn takers(&self) -> impl Iterator<Item = &str> {
        let answers = self.answers.iter().flat_map(|answers| &answers.routes);
        answers.filter(|it| it.takes).map(|it| it.route.as_str())
    }

    /// Returns `true` if a route takes the object.
    pub fn is_taken(&self) -> bool {
        self.takers().next().is_some()
    }

    /// Returns `true` if the object should be in the ledger and isn't known to be there, so that it is worth looking at the
    /// links on its way.
    pub fn is_lost(&self) -> bool {
        self.is_taken() && self.recorded().is_empty() && !matches!(self.head, Look::Missing)
    }
}
