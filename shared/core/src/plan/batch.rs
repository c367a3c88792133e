//! One group of one route → what is asked of the ledger, and the arguments of the runs.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{JobRunRequest, Plan, Refusal, RefusalReason, value};
use crate::arrivals::Arrival;
use crate::batch::{Manifest, Member};
use crate::routes::{Route, Target, Verdict};

/// An object of a group: its versions, each with all arrivals that speak of it.
type Versions<'a> = BTreeMap<String, (&'a Arrival, Vec<usize>)>;

/// A group of a route, and what it is planned with.
pub struct Group<'a> {
    pub route: &'a Route,
    pub target: &'a Target,
    pub arrivals: &'a [Arrival],
}

impl Group<'_> {
    /// Adds its requests and refusals to `plan`. `markers` are arrivals of its marker.
    pub fn requests(&self, members: &[usize], markers: &[usize], plan: &mut Plan) {
        let Self { route, arrivals, .. } = *self;
        let mut objects: Vec<Versions<'_>> = objects(arrivals, members);
        let markers = objects_of(arrivals, markers);
        let most = route.closing.max_objects.and_then(|most| usize::try_from(most).ok());
        // A marker closes the group as it is; it goes with the last of it.
        loop {
            let rest = match most {
                Some(most) if most < objects.len() => objects.split_off(most),
                _ => Vec::new(),
            };
            let is_last = rest.is_empty();
            let markers = if is_last { &markers } else { &Versions::new() };
            match self.request(&objects, markers) {
                Ok(request) => plan.requests.push(request),
                Err(reason) => {
                    let versions = objects.iter().flatten().chain(markers);
                    plan.refusals.extend(versions.flat_map(|(_, (_, indices))| indices).map(
                        |&arrival| Refusal {
                            arrival,
                            route: route.name.clone(),
                            reason: reason.clone(),
                        },
                    ));
                }
            }
            if is_last {
                return;
            }
            objects = rest;
        }
    }

    /// What `objects` and `markers` ask for.
    fn request(
        &self,
        objects: &[Versions<'_>],
        markers: &Versions<'_>,
    ) -> Result<JobRunRequest, RefusalReason> {
        let Self { route, target, .. } = *self;
        let members_of = |versions: &Versions<'_>| -> Vec<Member> {
            versions.values().map(|(arrival, _)| Member::from(*arrival)).collect()
        };
        let members: Vec<Member> = objects.iter().flat_map(members_of).collect();
        let marker_members = members_of(markers);
        // A group is never empty, and all of it matches.
        let first = objects.iter().chain([markers]).find_map(|versions| versions.values().next());
        let first = first.map(|(arrival, _)| *arrival);
        let captures = match first.map(|arrival| route.judge(arrival)) {
            Some(Verdict::Matches(captures) | Verdict::Marker(captures)) => captures,
            _ => Vec::new(),
        };
        let group: BTreeMap<String, String> = route
            .by
            .iter()
            .filter_map(|name| Some((name.clone(), value(&captures, name)?.to_owned())))
            .collect();
        let mut values = group.clone();
        values.insert("bucket".to_owned(), route.bucket.clone());
        if let (Some(1), Some(first)) = (route.closing.max_objects, first) {
            values.insert("key".to_owned(), first.key.clone());
            values.insert("object_uri".to_owned(), first.uri());
            values.extend(captures.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        }
        let opens = members.first().or(marker_members.first());
        let batch_id = opens
            .map(|first| batch_id(&route.name, &route.bucket, &group, first))
            .unwrap_or_default();
        let manifest = Manifest::of(members.clone());
        let arguments = match members.is_empty() {
            // What a marker says is known once the objects are.
            true => BTreeMap::new(),
            false => manifest.arguments(&route.arguments, &batch_id, &values)?,
        };
        let versions = objects.iter().chain([markers]).flatten();
        let mut arrivals: Vec<usize> =
            versions.flat_map(|(_, (_, indices))| indices.clone()).collect();
        arrivals.sort_unstable();
        Ok(JobRunRequest {
            batch_id,
            route: route.name.clone(),
            target: route.target.clone(),
            job: route.job.clone(),
            group,
            arguments,
            objects: usize::try_from(manifest.objects()).unwrap_or(usize::MAX),
            bytes: manifest.bytes(),
            arrivals,
            members,
            markers: marker_members,
            bucket: route.bucket.clone(),
            start: route.start(target, values),
            scope: route.scope,
            closing: route.closing,
        })
    }
}

/// The distinct objects, sorted by key.
fn objects<'a>(arrivals: &'a [Arrival], indices: &[usize]) -> Vec<Versions<'a>> {
    let mut by_key: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &index in indices {
        by_key.entry(&arrivals[index].key).or_default().push(index);
    }
    by_key.values().map(|indices| objects_of(arrivals, indices)).collect()
}

fn objects_of<'a>(arrivals: &'a [Arrival], indices: &[usize]) -> Versions<'a> {
    let mut versions = Versions::new();
    for &index in indices {
        let arrival = &arrivals[index];
        let identity = format!("{}\0{}", arrival.key, Member::from(arrival).identity());
        let (known, indices) = versions.entry(identity).or_insert((arrival, Vec::new()));
        // Of two that tell of the same version, the same one whatever their order.
        *known = (*known).max(arrival);
        indices.push(index);
    }
    versions
}

/// 32 hexadecimal digits that depend on the route, the group, and the object version that opens the
/// batch, which is in no other batch of the route.
pub fn batch_id(
    route: &str,
    bucket: &str,
    group: &BTreeMap<String, String>,
    first: &Member,
) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        // With its length before it, no text can pass for two others.
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    add(route);
    add(bucket);
    for (name, value) in group {
        add(name);
        add(value);
    }
    add(&first.key);
    add(&first.identity());
    crate::batch::hex(&hash.finalize()[..16])
}
