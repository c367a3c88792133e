//! One group of one route → what is asked of the ledger, and the arguments of the runs.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{JobRunRequest, Plan, Refusal, RefusalReason, value};
use crate::arrivals::Arrival;
use crate::batch::{BatchId, HASH_CHARS, Identity, Manifest, Member};
use crate::routes::{Route, Target, Verdict};

/// An object version of a group.
struct Version<'a> {
    arrival: &'a Arrival,
    /// All arrivals that speak of it.
    arrivals: Vec<usize>,
}

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
        let versions = versions_of(arrivals, members);
        let markers = versions_of(arrivals, markers);
        let most = route.closing.max_objects.and_then(|most| usize::try_from(most).ok());
        // A marker closes the group as it is; it goes with the last of it.
        let mut rest = versions.as_slice();
        loop {
            let (versions, behind) = rest.split_at(end_of(rest, most));
            rest = behind;
            let is_last = rest.is_empty();
            let markers = if is_last { markers.as_slice() } else { &[] };
            match self.request(versions, markers) {
                Ok(request) => plan.requests.push(request),
                Err(reason) => {
                    let versions = versions.iter().chain(markers);
                    plan.refusals.extend(versions.flat_map(|version| &version.arrivals).map(
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
        }
    }

    /// What `versions` and `markers` ask for.
    fn request(
        &self,
        versions: &[Version<'_>],
        markers: &[Version<'_>],
    ) -> Result<JobRunRequest, RefusalReason> {
        let Self { route, target, .. } = *self;
        let member = |version: &Version<'_>| Member::from(version.arrival);
        let members: Vec<Member> = versions.iter().map(member).collect();
        let marker_members: Vec<Member> = markers.iter().map(member).collect();
        // A group is never empty, and all of it matches.
        let first = versions.iter().chain(markers).next().map(|version| version.arrival);
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
            .map(|first| batch_id(&target.account, &route.name, &route.bucket, &group, first))
            .unwrap_or_default();
        let manifest = Manifest::of(members.iter().collect());
        let arguments = match members.is_empty() {
            // What a marker says is known once the objects are.
            true => BTreeMap::new(),
            false => manifest.arguments(&route.arguments, &batch_id, &values)?,
        };
        let objects = usize::try_from(manifest.objects()).unwrap_or(usize::MAX);
        let bytes = manifest.bytes();
        let versions = versions.iter().chain(markers);
        let mut arrivals: Vec<usize> =
            versions.flat_map(|version| version.arrivals.iter().copied()).collect();
        arrivals.sort_unstable();
        Ok(JobRunRequest {
            batch_id,
            route: route.name.clone(),
            target: route.target.clone(),
            job: route.job.clone(),
            group,
            arguments,
            objects,
            bytes,
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

/// The distinct object versions, those of one key together, sorted by key.
fn versions_of<'a>(arrivals: &'a [Arrival], indices: &[usize]) -> Vec<Version<'a>> {
    let named = |&index: &usize| (&arrivals[index].key, Identity::of(&arrivals[index]), index);
    let mut named: Vec<(&String, Identity<'_>, usize)> = indices.iter().map(named).collect();
    named.sort();
    let same = named.chunk_by(|one, other| (one.0, &one.1) == (other.0, &other.1));
    let version = |same: &[(&String, Identity<'_>, usize)]| {
        let arrivals_of: Vec<usize> = same.iter().map(|(_, _, index)| *index).collect();
        // Of two that tell of the same version, the same one whatever their order.
        let arrival = arrivals_of.iter().map(|index| &arrivals[*index]).max()?;
        Some(Version { arrival, arrivals: arrivals_of })
    };
    same.filter_map(version).collect()
}

/// How many of `versions`, sorted by key, are of the first `most` objects.
fn end_of(versions: &[Version<'_>], most: Option<usize>) -> usize {
    let Some(most) = most else { return versions.len() };
    let objects = versions.chunk_by(|one, other| one.arrival.key == other.arrival.key);
    objects.take(most).map(<[_]>::len).sum()
}

/// The account, and a hash of the route, the group, and the object version that opens the batch, which is
/// in no other batch of the route. See [`BatchId`].
pub fn batch_id(
    account: &str,
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
    let hash = crate::batch::hex(&hash.finalize()[..HASH_CHARS / 2]);
    BatchId { account: Some(account), hash: &hash }.to_string()
}
