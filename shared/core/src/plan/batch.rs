//! One group of one route → what the ledger records, and the arguments of the runs.

use std::collections::BTreeMap;

use super::{JobRunRequest, Plan, Refusal, value};
use crate::arrivals::Arrival;
use crate::batch::{
    Draft, Identity, JobResources, ListingLimit, Manifest, Member, RefusalReason, Start,
};
use crate::routes::{Route, Target, Verdict};

/// An object version of a group.
struct Version<'a> {
    arrival: &'a Arrival,
    /// All arrivals of this version.
    arrivals: Vec<usize>,
}

/// A group of a route, and what its plan depends on.
pub(crate) struct Group<'a> {
    pub route: &'a Route,
    pub target: Option<&'a Target>,
    /// The listing that found its arrivals; `None` if S3 announced them.
    pub listing: Option<&'a str>,
    pub arrivals: &'a [Arrival],
}

impl Group<'_> {
    /// Adds the group's requests and refusals to `plan`. `markers` are the arrivals of its marker.
    pub(crate) fn requests(&self, members: &[usize], markers: &[usize], plan: &mut Plan) {
        let Self { route, arrivals, .. } = *self;
        let versions = versions_of(arrivals, members);
        let markers = versions_of(arrivals, markers);
        let most = route.closing.max_objects.and_then(|most| usize::try_from(most).ok());
        // A marker closes the group, so it belongs to the last request.
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

    /// Returns the request of `versions` and `markers`.
    fn request(
        &self,
        versions: &[Version<'_>],
        markers: &[Version<'_>],
    ) -> Result<JobRunRequest, RefusalReason> {
        let Self { route, target, listing, .. } = *self;
        let member = |version: &Version<'_>| Member::from(version.arrival);
        let members: Vec<Member> = versions.iter().map(member).collect();
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
        // Messages of one listing that differ can only be of somebody who changed it: the smaller limit holds.
        let limits = versions.iter().chain(markers).filter_map(|version| {
            version.arrival.listing.as_ref().and_then(|listing| listing.max_runs_per_hour)
        });
        let listing_limit = listing.zip(limits.min()).filter(|_| route.job.is_some());
        let listing_limit = listing_limit.map(|(listing, max_runs_per_hour)| ListingLimit {
            listing: listing.to_owned(),
            max_runs_per_hour,
        });
        let draft = Draft {
            route: route.name.clone(),
            bucket: route.bucket.clone(),
            group,
            start: Start { listing_limit, ..route.start(target, values) },
            closing: if listing.is_some() { route.closing.of_listing() } else { route.closing },
            listing: listing.map(str::to_owned),
            members,
            markers: markers.iter().map(member).collect(),
        };
        let opens = draft.members.first().or(draft.markers.first());
        let batch_id = opens.map(|first| draft.batch_id(first)).unwrap_or_default();
        let manifest = Manifest::of(draft.members.iter().collect());
        let arguments = if draft.members.is_empty() {
            // Only the marker came: nothing is known of the objects yet.
            BTreeMap::new()
        } else {
            // The plan doesn't know where manifests lie.
            let key = JobResources::manifest_key(&route.name, &batch_id);
            let manifest_uri = format!("s3://MANIFESTS_BUCKET/{key}");
            manifest.arguments(&route.arguments, &batch_id, &draft.start.values, &manifest_uri)?
        };
        let objects = usize::try_from(manifest.objects()).unwrap_or(usize::MAX);
        let bytes = manifest.bytes();
        let versions = versions.iter().chain(markers);
        let mut arrivals: Vec<usize> =
            versions.flat_map(|version| version.arrivals.iter().copied()).collect();
        arrivals.sort_unstable();
        Ok(JobRunRequest { batch_id, draft, arguments, objects, bytes, arrivals })
    }
}

/// Returns the distinct object versions, sorted by key.
fn versions_of<'a>(arrivals: &'a [Arrival], indices: &[usize]) -> Vec<Version<'a>> {
    let named = |&index: &usize| (&arrivals[index].key, Identity::of(&arrivals[index]), index);
    let mut named: Vec<(&String, Identity<'_>, usize)> = indices.iter().map(named).collect();
    named.sort();
    let same = named.chunk_by(|one, other| (one.0, &one.1) == (other.0, &other.1));
    let version = |same: &[(&String, Identity<'_>, usize)]| {
        let arrivals_of: Vec<usize> = same.iter().map(|(_, _, index)| *index).collect();
        // Of several arrivals of one version, it picks the same one whatever their order.
        let arrival = arrivals_of.iter().map(|index| &arrivals[*index]).max()?;
        Some(Version { arrival, arrivals: arrivals_of })
    };
    same.filter_map(version).collect()
}

/// Returns how many of `versions`, which are sorted by key, belong to the first `most` objects.
fn end_of(versions: &[Version<'_>], most: Option<usize>) -> usize {
    let Some(most) = most else { return versions.len() };
    let objects = versions.chunk_by(|one, other| one.arrival.key == other.arrival.key);
    objects.take(most).map(<[_]>::len).sum()
}
