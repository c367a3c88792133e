//! Routes: which objects start which jobs. [`Routes::parse`] takes the text of a `routes.yaml`
//! through two stages: as written (`written`), then resolved and valid (`resolve`).
//!
//! A [`Routes`] value is valid by construction: names are unique, patterns and templates are
//! parsed, every name in them is known, targets exist, and roles are ARNs. This module doesn't read
//! the environment: an external ID stays the name of its variable.

pub mod packaged;
pub(crate) mod resolve;
pub(crate) mod written;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use resolve::deploy::refused;
pub use resolve::{NEW_EXTERNAL_ID_CHARS, is_external_id, is_short_external_id};
pub use written::json_schema;

use crate::arrivals::Arrival;
use crate::at::At;
use crate::batch::{ClaimMode, Closing, NO_TARGET, RunState, Scope, Start};
use crate::dates::DatePrefix;
use crate::inventory::InventoryPlace;
use crate::packed::List;
use crate::pattern::Pattern;
use crate::problem::Problem;
use crate::router::{self, Router};
use crate::secret::Secret;
use crate::template::Template;
use crate::{typed, yaml};

/// The maximum size of a routes file, in bytes. A function's zip file and a custom resource's
/// properties have less room than this.
const MAX_FILE_BYTES: usize = 1024 * 1024;

/// The places of all lists in the file.
pub(crate) const LISTS: [&[&str]; 3] =
    [&["routes"], &["routes", "batch", "by"], &["routes", "start", "retry", "states"]];

/// A valid routes file.
#[derive(Debug, Clone)]
pub struct Routes {
    /// The targets by name.
    pub targets: BTreeMap<String, Target>,
    /// The routes, in the order of the file.
    pub routes: List<Route>,
    router: Router,
    markers: Router,
    /// The index of the route that each pattern in `markers` belongs to.
    with_marker: Vec<usize>,
}

/// An analytics account and region, and how to get access to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The target's name in the routes file.
    pub name: String,
    /// The account ID: 12 digits.
    pub account: String,
    /// The region of the jobs.
    pub region: String,
    /// The ARN of the role that Landfall assumes to start and follow jobs.
    pub starter_role_arn: String,
    /// The external ID for that role, if the file gives one.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The route's name, which is unique in the file.
    pub name: String,
    /// The bucket of the objects.
    pub bucket: String,
    /// The pattern that keys must match.
    pub key: Pattern,
    /// `true` if the reader role may read more than the key's beginning.
    pub wide: bool,
    /// The conditions on an object, besides its key.
    pub condition: Condition,
    /// The captures whose values make up the group key.
    pub by: Vec<String>,
    /// The conditions that close a batch.
    pub closing: Closing,
    /// The pattern of markers. Objects that match it aren't members.
    pub marker: Option<Pattern>,
    /// The target, a key of [`Routes::targets`], or [`NO_TARGET`] if the route starts no job.
    pub target: String,
    /// The name of the Glue job; `None` if the route starts none.
    pub job: Option<String>,
    /// `true` if an event says that a batch has closed. Without a job, one always does.
    pub announce: bool,
    /// The job's arguments by name. Names begin with `--`.
    pub arguments: BTreeMap<String, Template>,
    /// The limits on the job's runs.
    pub limits: Limits,
    /// What happens when a job run doesn't succeed.
    pub retry: Retry,
    /// What of the data a job run may read.
    pub scope: Scope,
    /// Whether a job run must claim its batch.
    pub claim: ClaimMode,
    /// How a job run reads the objects.
    pub access: Access,
    /// How often the bucket is listed for what S3 never announced; `None` if it never is.
    pub reconcile: Option<Reconcile>,
}

/// How often a route's bucket is listed for objects that S3 never announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconcile {
    /// How long after the beginning of one pass the next one begins.
    pub every: Duration,
    /// How far back a pass looks: `every` and `grace` together, or more.
    pub look_back: Duration,
    /// How old an object is at least when a pass misses it.
    pub grace: Duration,
    /// What is done about the objects that a pass misses.
    pub action: Action,
    /// Where S3 writes the inventories of the bucket, if they are read instead of listing it.
    pub inventory: Option<InventoryPlace>,
    /// What keys with a date begin with, if a pass lists only those with the dates that it looks back to.
    pub prune_by_date: Option<DatePrefix>,
}

/// What is done about objects that S3 never announced.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    strum::IntoStaticStr,
    strum::VariantArray,
    Serialize,
    Deserialize,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// They are put into batches.
    Start,
    /// They are counted and told of.
    #[default]
    Report,
}

impl Action {
    /// Returns its word in routes.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How the runs of a job read the objects of their batches.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    strum::IntoStaticStr,
    strum::VariantArray,
    Serialize,
    Deserialize,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Through the reader role, which the job's role assumes.
    #[default]
    Role,
    /// With the job's own role, which the bucket's policy admits.
    BucketPolicy,
}

impl Access {
    /// Returns its word in routes.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The limits on the number of a job's runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The maximum number of runs at the same time. `None` means no limit.
    pub max_concurrent_runs: Option<u32>,
    /// The maximum number of starts in an hour. `None` means no limit.
    pub max_runs_per_hour: Option<u32>,
}

/// What happens when a job run doesn't succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// The maximum number of job runs, including the first.
    pub attempts: u32,
    /// The final states after which another job run is started.
    pub states: Vec<RunState>,
}

/// The conditions on an object, besides its key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The smallest size that the route takes, in bytes.
    pub min_bytes: Option<u64>,
    /// The largest size that the route takes, in bytes.
    pub max_bytes: Option<u64>,
    /// `true` if the route also takes empty objects whose key ends with `/`.
    pub directory_markers: bool,
}

/// The sizes that a route takes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeLimits {
    /// The smallest size.
    pub min_bytes: Option<u64>,
    /// The largest size.
    pub max_bytes: Option<u64>,
}

/// Whether a route takes an arrival and, if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// The route takes it. Holds the captures in the order of the pattern.
    Matches(Vec<(&'a str, &'a str)>),
    /// The arrival is the marker of a group. Holds the captures of its folder.
    Marker(Vec<(&'a str, &'a str)>),
    /// The route is for another bucket.
    OtherBucket,
    /// The key doesn't match the pattern.
    OtherKey,
    /// The object only marks a folder, and the route doesn't take those.
    DirectoryMarker,
    /// The object is smaller than the route's `min_bytes`.
    TooSmall {
        /// The size of the object.
        bytes: u64,
        /// The route's limit.
        min_bytes: u64,
    },
    /// The object is larger than the route's `max_bytes`.
    TooLarge {
        /// The size of the object.
        bytes: u64,
        /// The route's limit.
        max_bytes: u64,
    },
}

/// The result of reading a routes file.
#[derive(Debug)]
pub struct Parsed {
    /// The routes, or `None` if any problem is an error.
    pub routes: Option<Routes>,
    /// All problems, including warnings, in the order of the file.
    pub problems: Vec<Problem>,
}

impl Routes {
    /// Reads a routes file, and reports all its problems together.
    pub fn parse(text: &str) -> Parsed {
        Self::read(text, false)
    }

    /// Reads a routes file that is about to be deployed. Such a file must only name buckets and
    /// jobs that can exist. If a reader role could read a whole bucket although its route doesn't
    /// take every key, the route must say so.
    pub fn parse_to_deploy(text: &str) -> Parsed {
        Self::read(text, true)
    }

    fn read(text: &str, is_to_be_deployed: bool) -> Parsed {
        if text.len() > MAX_FILE_BYTES {
            let place = crate::problem::Place { line: 1, column: 1, bytes: 0..0 };
            let message = format!(
                "the file has {} bytes, but at most {MAX_FILE_BYTES} are allowed",
                text.len()
            );
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
                .push(Problem::error(&place, "the file is empty").hint("start with `version: 1`"));
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
        Self { targets, routes: routes.into(), router, markers, with_marker }
    }

    /// Returns the routes that start jobs with the starter role of this ARN.
    pub fn started_by(&self, starter_role_arn: &str) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(move |route| {
            let target = self.targets.get(&route.target);
            target.is_some_and(|it| it.starter_role_arn == starter_role_arn)
        })
    }

    /// Returns the routes whose jobs in `account` read with their own role.
    pub fn read_by_policy(&self, account: &str) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(move |route| {
            let target = self.targets.get(&route.target);
            route.access == Access::BucketPolicy && target.is_some_and(|it| it.account == account)
        })
    }

    /// Returns `true` if events say of some route's batches that they have closed.
    pub fn announces(&self) -> bool {
        self.routes.iter().any(|route| route.announce)
    }

    /// Returns a finder to look up keys with.
    pub fn finder(&self) -> RouteFinder<'_> {
        RouteFinder { routes: self, keys: self.router.finder(), markers: self.markers.finder() }
    }
}

/// Looks up which routes may take an object.
#[derive(Debug)]
pub struct RouteFinder<'r> {
    routes: &'r Routes,
    keys: router::Finder<'r>,
    markers: router::Finder<'r>,
}

impl RouteFinder<'_> {
    /// Returns the indices of the routes that match this key or have it as a marker, in ascending
    /// order. Ignores the routes' conditions.
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
    /// Returns what a batch of this route starts. `values` fills in the arguments.
    /// `target` is the route's target, if it starts a job.
    pub fn start(&self, target: Option<&Target>, values: BTreeMap<String, String>) -> Start {
        let arguments = self.arguments.iter();
        let of_target = |text: fn(&Target) -> &String| target.map(text).cloned();
        Start {
            target: self.target.clone(),
            account: of_target(|it| &it.account).unwrap_or_else(|| NO_TARGET.to_owned()),
            region: of_target(|it| &it.region).unwrap_or_default(),
            starter_role_arn: of_target(|it| &it.starter_role_arn).unwrap_or_default(),
            job: self.job.clone().unwrap_or_default(),
            arguments: arguments.map(|(name, text)| (name.clone(), text.to_string())).collect(),
            values,
            max_concurrent_runs: self.limits.max_concurrent_runs,
            max_runs_per_hour: self.limits.max_runs_per_hour,
            attempts: self.retry.attempts,
            retry_states: self.retry.states.clone(),
            scope: self.scope,
            claim: self.claim,
            announce: self.announce,
            listing_limit: None,
        }
    }

    /// Decides whether this route takes `arrival`.
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
        // If the event doesn't give the size, the conditions on it don't apply.
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

    /// Returns what [`Route::judge`] would ask of the size of an object that matches, if only the size were known; `None`
    /// if it is known, or any size will do.
    pub fn size_in_question(&self, arrival: &Arrival) -> Option<SizeLimits> {
        if arrival.size.is_some() || !matches!(self.judge(arrival), Verdict::Matches(_)) {
            return None;
        }
        let Condition { min_bytes, max_bytes, directory_markers } = self.condition;
        // An empty object whose key ends so only marks a folder.
        let is_empty_refused = arrival.key.ends_with('/') && !directory_markers;
        let min_bytes = min_bytes.max(is_empty_refused.then_some(1)).filter(|min| *min > 0);
        let limits = SizeLimits { min_bytes, max_bytes };
        (min_bytes.is_some() || max_bytes.is_some()).then_some(limits)
    }
}

#[cfg(test)]
mod tests;
