//! What a role may read that serves several routes: the reader role, or a job role by bucket policy.

use std::collections::{BTreeMap, BTreeSet};

use crate::reach::{Reach, Widening};
use crate::routes::Route;

/// What a role that reads for some routes may read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reaches {
    /// The keys by bucket. No reach includes another one.
    pub buckets: BTreeMap<String, BTreeSet<Reach>>,
    /// A sentence for each route for which the role may read more than the route takes.
    pub notes: Vec<String>,
    /// The buckets that the role may read entirely although no route takes every key or says `wide: true`, each with
    /// one such route.
    pub unrequested: BTreeMap<String, String>,
}

impl Reaches {
    /// Returns what a role may read that serves `routes`.
    pub fn of<'r>(routes: impl IntoIterator<Item = &'r Route>) -> Self {
        let mut reaches = Self::default();
        for route in routes {
            if let Some(widening) = Widening::of(&route.key) {
                let (name, uri) = (&route.name, widening.uri(&route.bucket));
                reaches.notes.push(format!(
                    "route `{name}`: the role may read `{uri}`, because {}",
                    widening.reason()
                ));
                if widening.is_everything() && !route.wide {
                    reaches.unrequested.insert(route.bucket.clone(), name.clone());
                }
            }
            let of_bucket = reaches.buckets.entry(route.bucket.clone()).or_default();
            of_bucket.insert(Reach::of(&route.key));
        }
        for of_bucket in reaches.buckets.values_mut() {
            let all = of_bucket.clone();
            of_bucket.retain(|own| !all.iter().any(|other| own != other && other.holds(own)));
        }
        reaches
    }
}
