//! Routes: which objects start which jobs. [`Routes::parse`] takes the text of a `routes.yaml`
//! through two stages, as written (`written`) → resolved and valid (`resolve`).
//!
//! A [`Routes`] value is valid by construction: names are unique, patterns and templates are
//! parsed, every name in them is known, targets exist, roles are ARNs. The environment is not read
//! here: an external ID stays the name of its variable.

pub(crate) mod resolve;
pub(crate) mod written;

use std::collections::BTreeMap;

pub use resolve::deploy::refused;
pub use resolve::{NEW_EXTERNAL_ID_CHARS, is_external_id, is_short_external_id};
pub use written::json_schema;

use crate::arrivals::Arrival;
use crate::at::At;
use crate::batch::{Closing, RunState, Scope, Start};
use crate::pattern::Pattern;
use crate::problem::Problem;
use crate::router::{self, Router};
use crate::secret::Secret;
use crate::template::Template;
use crate::{typed, yaml};

/// The largest file that is read, in bytes. A function's zip and a custom resource's properties
/// hold less comfortably than this.
const MAX_FILE_BYTES: usize = 1024 * 1024;

/// All lists of the file.
pub(crate) const LISTS: [&[&str]; 3] =
    [&["routes"], &["routes", "batch", "by"], &["routes", "start", "retry", "states"]];

/// A valid routes file.
#[derive(Debug, Clone)]
pub struct Routes {
    pub targets: BTreeMap<String, Target>,
    /// In the order of the file.
    pub routes: Vec<Route>,
    router: Router,
    markers: Router,
    /// For each pattern in `markers` its route.
    with_marker: Vec<usize>,
}

/// An analytics account and the way into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub name: String,
    /// 12 digits.
    pub account: String,
    pub region: String,
    pub starter_role_arn: String,
    pub external_id: Option<ExternalId>,
}

/// Where a target's external ID comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExternalId {
    /// The environment variable of this name.
    Variable(String),
    /// The file itself.
    Literal(Secret),
}

/// A rule from bucket and key to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub name: String,
    pub bucket: String,
    pub key: Pattern,
    /// Whether its reader may read more than the key's beginning.
    pub wide: bool,
    pub condition: Condition,
    /// Captures whose values make up the group key.
    pub by: Vec<String>,
    /// When its batches close.
    pub closing: Closing,
    /// Where a group's marker is: its keys are no members.
    pub marker: Option<Pattern>,
    /// A key of [`Routes::targets`].
    pub target: String,
    pub job: String,
    /// By name, which begins with `--`.
    pub arguments: BTreeMap<String, Template>,
    pub limits: Limits,
    pub retry: Retry,
    pub scope: Scope,
}

/// How many runs of a job there may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub max_concurrent_runs: Option<u32>,
    pub max_runs_per_hour: Option<u32>,
}

/// What happens when a run does not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// The most runs, the first included.
    pub attempts: u32,
    /// After which another is started.
    pub states: Vec<RunState>,
}

/// What an object must be like beside its key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Condition {
    pub min_bytes: Option<u64>,
    pub max_bytes: Option<u64>,
    pub directory_markers: bool,
}

/// Whether a route takes an arrival, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Yes; the captures in the order of the pattern.
    Matches(Vec<(&'a str, &'a str)>),
    /// It is the marker of a group; the captures of its folder.
    Marker(Vec<(&'a str, &'a str)>),
    OtherBucket,
    OtherKey,
    DirectoryMarker,
    TooSmall {
        bytes: u64,
        min_bytes: u64,
    },
    TooLarge {
        bytes: u64,
        max_bytes: u64,
    },
}

/// The outcome of reading a routes file.
#[derive(Debug)]
pub struct Parsed {
    /// `None` if any problem is an error.
    pub routes: Option<Routes>,
    /// In the order of the file; warnings among them.
    pub problems: Vec<Problem>,
}

impl Routes {
    /// Reads a routes file; reports all its problems together.
    pub fn parse(text: &str) -> Parsed {
        Self::read(text, false)
    }

    /// Reads a routes file that is to be deployed: it must name what can be, and say so if a reader could read
    /// all of a bucket whose keys its route does not all take.
    pub fn parse_to_deploy(text: &str) -> Parsed {
        Self::read(text, true)
    }

    fn read(text: &str, is_to_be_deployed: bool) -> Parsed {
        if text.len() > MAX_FILE_BYTES {
            let place = crate::problem::Place { line: 1, column: 1, bytes: 0..0 };
            let message =
                format!("the file has {} bytes, at most {MAX_FILE_BYTES} are read", text.len());
            return Parsed { routes: None, problems: vec![Problem::error(&place, message)] };
        }
        let (node, mut problems) = yaml::read(text);
        let resolved = node.and_then(|mut node| {
            let (written, more) = typed::read(&mut node, &LISTS);
            problems.extend(more);
            let written = written?;
            let routes = resolve::resolve(&written, At::new(&node, &mut problems));
            if is_to_be_deployed {
                resolve::deploy::report(&written, &mut At::new(&node, &mut problems));
            }
            Some(routes)
        });
        if resolved.is_none() && problems.is_empty() {
            let place = crate::problem::Place { line: 1, column: 1, bytes: 0..0 };
            problems
                .push(Problem::error(&place, "the file is empty").hint("begin with `version: 1`"));
        }
        problems.sort_by_key(|problem| problem.place.bytes.start);
        let usable = !problems.iter().any(Problem::is_error);
        Parsed { routes: resolved.filter(|_| usable), problems }
    }

    fn new(targets: BTreeMap<String, Target>, routes: Vec<Route>) -> Self {
        let router = Router::new(routes.iter().map(|route| (route.bucket.as_str(), &route.key)));
        let with_marker: Vec<usize> =
            (0..routes.len()).filter(|index| routes[*index].marker.is_some()).collect();
        let patterns = with_marker.iter().filter_map(|index| {
            let route = &routes[*index];
            Some((route.bucket.as_str(), route.marker.as_ref()?))
        });
        let markers = Router::new(patterns);
        Self { targets, routes, router, markers, with_marker }
    }

    /// To look keys up with.
    pub fn finder(&self) -> Finder<'_> {
        Finder { routes: self, keys: self.router.finder(), markers: self.markers.finder() }
    }
}

/// Looks up which routes may take an object.
#[derive(Debug)]
pub struct Finder<'r> {
    routes: &'r Routes,
    keys: router::Finder<'r>,
    markers: router::Finder<'r>,
}

impl Finder<'_> {
    /// The indices of the routes that take this key or have it for a marker, ascending; their
    /// conditions are not looked at.
    pub fn find(&mut self, bucket: &str, key: &str) -> Vec<usize> {
        let mut found = self.keys.find(bucket, key);
        let markers = self.markers.find(bucket, key);
        if !markers.is_empty() {
            let with_marker = &self.routes.with_marker;
            found.extend(markers.into_iter().map(|index| with_marker[index]));
            found.sort_unstable();
            found.dedup();
        }
        found
    }
}

impl Route {
    /// What a batch of this route starts; `values` are what its arguments are filled with.
    pub fn start(&self, target: &Target, values: BTreeMap<String, String>) -> Start {
        let arguments = self.arguments.iter();
        Start {
            target: target.name.clone(),
            account: target.account.clone(),
            region: target.region.clone(),
            starter_role_arn: target.starter_role_arn.clone(),
            job: self.job.clone(),
            arguments: arguments.map(|(name, text)| (name.clone(), text.to_string())).collect(),
            values,
            max_concurrent_runs: self.limits.max_concurrent_runs,
            max_runs_per_hour: self.limits.max_runs_per_hour,
            attempts: self.retry.attempts,
            retry_states: self.retry.states.clone(),
            scope: self.scope,
        }
    }

    /// Whether this route takes `arrival`.
    pub fn judge<'a>(&'a self, arrival: &'a Arrival) -> Verdict<'a> {
        if self.bucket != arrival.bucket {
            return Verdict::OtherBucket;
        }
        if let Some(folder) = self.marker.as_ref().and_then(|marker| marker.captures(&arrival.key))
        {
            return Verdict::Marker(folder);
        }
        let Some(captures) = self.key.captures(&arrival.key) else {
            return Verdict::OtherKey;
        };
        if arrival.is_directory_marker() && !self.condition.directory_markers {
            return Verdict::DirectoryMarker;
        }
        // A size that is not told is no reason to leave an object out.
        match (arrival.size, &self.condition) {
            (Some(bytes), Condition { min_bytes: Some(min), .. }) if bytes < *min => {
                Verdict::TooSmall { bytes, min_bytes: *min }
            }
            (Some(bytes), Condition { max_bytes: Some(max), .. }) if bytes > *max => {
                Verdict::TooLarge { bytes, max_bytes: *max }
            }
            _ => Verdict::Matches(captures),
        }
    }
}

#[cfg(test)]
mod tests;
