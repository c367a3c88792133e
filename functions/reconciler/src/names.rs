//! What names the objects of a pass, page by page: the bucket's listing, the listing below some dates, or an inventory.

use std::collections::BTreeSet;

use landfall_core::arrivals::Listed;
use landfall_core::backfill::{Place, Row, Source};
use landfall_core::dates::{done_with, next_prefix};
use landfall_core::inventory::InventoryPlace;
use landfall_core::moment::Time;
use landfall_core::reconcile::Pass;
use landfall_core::routes::{Reconcile, Route};
use landfall_inspection::Unseen;
use landfall_inspection::inventory::{Inventory, newest};
use landfall_inspection::listing::Lister;

use crate::{Context, Error};

/// The most objects that S3 lists at once.
const PAGE: u32 = 1_000;

/// A page of objects.
pub(crate) struct Page {
    pub(crate) objects: Vec<Listed>,
    /// How many were named and aren't in the bucket any more.
    pub(crate) gone: u64,
    /// The place up to which the page is done; `None` if there are no more pages.
    pub(crate) after: Option<Place>,
}

/// Reads what names the objects.
pub(crate) struct Names<'a> {
    bucket: &'a str,
    lister: Lister<'a>,
    from: From<'a>,
}

enum From<'a> {
    Bucket,
    /// What the keys with the dates begin with.
    Dates(BTreeSet<String>),
    Inventory(Box<Inventory<'a>>),
}

impl<'a> Names<'a> {
    /// Looks at the bucket, and at the inventory if the pass reads one. Returns `None` if that isn't there any more.
    pub(crate) async fn new(
        context: &'a Context,
        (route, reconcile): (&'a Route, &Reconcile),
        pass: &Pass,
    ) -> Result<Option<Self>, Error> {
        let Context { settings, clients, .. } = context;
        let bucket = route.bucket.as_str();
        let (prefix, _) = route.key.literal_ends();
        let lister = Lister::new(clients, &settings.account, bucket, prefix.clone()).await;
        let lister = lister.map_err(|why| unseen(bucket, why))?;
        let from = match &pass.source {
            Source::Inventory { manifest, md5 } => {
                let opened = Inventory::open(clients, manifest, bucket, &prefix).await;
                let opened = opened.map_err(|error| unread(route, error))?;
                let Some(inventory) = opened.filter(|it| it.md5() == md5) else { return Ok(None) };
                let checked = inventory.check_versions(lister.has_versions());
                checked.map_err(|error| unread(route, error))?;
                From::Inventory(Box::new(inventory))
            }
            Source::Bucket | Source::Keys { .. } => match &reconcile.prune_by_date {
                Some(dates) => From::Dates(dates.between(pass.from, pass.until)),
                None => From::Bucket,
            },
        };
        Ok(Some(Self { bucket, lister, from }))
    }

    /// Returns `true` if the objects may be others by now than those that are named.
    pub(crate) fn are_of_the_past(&self) -> bool {
        matches!(self.from, From::Inventory(_))
    }

    /// Returns the objects behind `after`.
    pub(crate) async fn page(
        &mut self,
        route: &Route,
        after: Option<&Place>,
    ) -> Result<Page, Error> {
        let key = match after {
            Some(Place::Key(key)) => Some(key.as_str()),
            Some(Place::Row(_)) | None => None,
        };
        let (objects, after) = match &mut self.from {
            From::Bucket => {
                let page = self.lister.page(key, PAGE).await;
                let page = page.map_err(|why| unseen(self.bucket, why))?;
                (page.objects, page.after.map(Place::Key))
            }
            From::Dates(prefixes) => {
                let Some(prefix) = next_prefix(prefixes, key) else {
                    return Ok(Page { objects: Vec::new(), gone: 0, after: None });
                };
                let behind = key.filter(|key| key.starts_with(prefix));
                let page = self.lister.below(prefix).page(behind, PAGE).await;
                let page = page.map_err(|why| unseen(self.bucket, why))?;
                let done = page.after.unwrap_or_else(|| done_with(prefix));
                let has_more = next_prefix(prefixes, Some(&done)).is_some();
                (page.objects, has_more.then_some(Place::Key(done)))
            }
            From::Inventory(inventory) => {
                let row = match after {
                    Some(Place::Row(row)) => *row,
                    Some(Place::Key(_)) | None => Row::default(),
                };
                let page = inventory.page(row, PAGE as usize).await;
                let (named, after) = page.map_err(|error| unread(route, error))?;
                (named.into_iter().map(|(_, listed)| listed).collect(), after.map(Place::Row))
            }
        };
        Ok(Page { objects, gone: 0, after })
    }

    /// Looks at some of the objects of a page as they are now.
    pub(crate) async fn as_it_is_now(
        &self,
        page: Page,
        some: &BTreeSet<usize>,
    ) -> Result<Page, Error> {
        let keys: Vec<&str> = some.iter().map(|at| page.objects[*at].key.as_str()).collect();
        let now = self.lister.listed_now(&keys).await.map_err(|why| unseen(self.bucket, why))?;
        let gone = now.iter().filter(|now| now.is_none()).count() as u64;
        let mut objects: Vec<Option<Listed>> = page.objects.into_iter().map(Some).collect();
        for (at, now) in some.iter().zip(now) {
            objects[*at] = now;
        }
        Ok(Page { objects: objects.into_iter().flatten().collect(), gone, ..page })
    }
}

/// Returns the newest inventory at a place of the route, with what a pass keeps of it.
pub(crate) async fn newest_inventory(
    context: &Context,
    (route, reconcile): (&Route, &Reconcile),
    place: &InventoryPlace,
    now: Time,
) -> Result<(Source, Time), Error> {
    let Context { settings, clients, .. } = context;
    let fail = |why: String| Error::Inventory { route: route.name.clone(), why };
    let found = newest(clients, &settings.account, place, now).await;
    let found = found.map_err(|why| fail(format!("failed to look below `{place}`: {why}")))?;
    let Some(found) = found else {
        return Err(fail(format!("S3 has written none below `{place}` in the last 100 days")));
    };
    let (manifest, taken_at) = (&found.manifest, found.taken_at);
    if found.is_stale(reconcile.every, now) {
        return Err(fail(format!(
            "the newest below `{place}` is of {taken_at}, and with this `every` there should be a newer one: find out \
             whether S3 still writes them, or make `every` as long as the time between two of them"
        )));
    }
    let (prefix, _) = route.key.literal_ends();
    let opened = Inventory::open(clients, manifest, &route.bucket, &prefix).await;
    match opened.map_err(|error| unread(route, error))? {
        Some(inventory) => Ok((inventory.source(), taken_at)),
        None => Err(fail(format!("`{manifest}` isn't there, and its checksum is"))),
    }
}

fn unseen(bucket: &str, why: Unseen) -> Error {
    Error::Bucket { bucket: bucket.to_owned(), why }
}

fn unread(route: &Route, error: anyhow::Error) -> Error {
    Error::Inventory { route: route.name.clone(), why: format!("{error:#}") }
}
