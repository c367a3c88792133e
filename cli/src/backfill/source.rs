//! What names the objects of a backfill: the bucket's listing, a list of keys, or an S3 Inventory. Each is read page by page.

mod keys;

use anyhow::{anyhow, bail};
use landfall_core::arrivals::Listed;
use landfall_core::backfill::{Place, Row, Source};
use landfall_inspection::Unseen;
use landfall_inspection::inventory::Inventory;
use landfall_inspection::listing::Lister;

pub use self::keys::Keys;
use super::Desk;
use crate::terminal::printable;

/// A page of objects.
#[derive(Debug, Default)]
pub struct Page {
    /// The objects, each with its place.
    pub objects: Vec<(Place, Listed)>,
    /// The keys of what isn't in the bucket.
    pub gone: Vec<(Place, String)>,
    /// The last place that the page is done with; `None` if there are no more pages.
    pub after: Option<Place>,
}

impl Page {
    /// Forgets the objects from this one on. The page before was done with `before`.
    pub fn truncate(&mut self, objects: usize, before: Option<Place>) {
        self.objects.truncate(objects);
        let last = self.objects.last().map(|(place, _)| place.clone());
        self.gone.retain(|(place, _)| last.as_ref().is_some_and(|last| place <= last));
        self.after = last.or(before);
    }

    pub fn listed(&self) -> Vec<Listed> {
        self.objects.iter().map(|(_, listed)| listed.clone()).collect()
    }
}

/// Reads what names the objects.
pub struct Names<'a> {
    lister: Lister<'a>,
    bucket: &'a str,
    from: From<'a>,
}

enum From<'a> {
    Bucket,
    Keys(Keys),
    Inventory(Box<Inventory<'a>>),
}

impl<'a> Names<'a> {
    /// Looks at the bucket. If `source` is a list of keys, `keys` are these.
    pub async fn new(
        desk: &'a Desk,
        bucket: &'a str,
        prefix: &str,
        source: &Source,
        keys: Option<Keys>,
    ) -> anyhow::Result<Self> {
        let account = &desk.place.account;
        let lister = Lister::new(&desk.clients, account, bucket, prefix.to_owned()).await;
        let lister = lister.map_err(|why| {
            anyhow!("failed to look at bucket `{bucket}` of account `{account}`: {why}")
        })?;
        let from = match (source, keys) {
            (Source::Bucket, None) => From::Bucket,
            (Source::Keys { .. }, Some(keys)) if keys.source() == *source => From::Keys(keys),
            (Source::Keys { name, .. }, Some(_)) => {
                bail!(
                    "the list of keys isn't the one that the backfill began with, `{}`",
                    printable(name)
                )
            }
            (Source::Keys { name, .. }, None) => bail!(
                "the backfill takes its keys from `{}`: give that list again, with --keys",
                printable(name)
            ),
            (Source::Inventory { manifest, md5 }, None) => {
                let inventory = self::inventory(desk, manifest, bucket, prefix).await?;
                if *md5 != inventory.md5() {
                    bail!("`{}` isn't what the backfill began with", printable(manifest));
                }
                inventory.check_versions(lister.has_versions()).map_err(shown)?;
                From::Inventory(Box::new(inventory))
            }
            (Source::Bucket | Source::Inventory { .. }, Some(_)) => {
                bail!("the backfill doesn't take its objects from a list of keys: leave out --keys")
            }
        };
        Ok(Self { lister, bucket, from })
    }

    /// Returns `true` if the objects may be others by now than those that are named.
    pub fn are_of_the_past(&self) -> bool {
        matches!(self.from, From::Inventory(_))
    }

    /// Returns the objects behind `after`, `most` of them at most.
    pub async fn page(&mut self, after: Option<&Place>, most: u32) -> anyhow::Result<Page> {
        match &mut self.from {
            From::Bucket => {
                let after = after.and_then(|place| match place {
                    Place::Key(key) => Some(key.as_str()),
                    Place::Row(_) => None,
                });
                let page = self.lister.page(after, most).await;
                let page =
                    page.map_err(|why| anyhow!("failed to list bucket `{}`: {why}", self.bucket))?;
                let objects = page.objects.into_iter();
                let objects = objects.map(|it| (Place::Key(it.key.clone()), it)).collect();
                Ok(Page { objects, gone: Vec::new(), after: page.after.map(Place::Key) })
            }
            From::Keys(keys) => {
                let (named, after) = keys.page(row(after), most as usize);
                let named: Vec<(Place, String)> =
                    named.iter().map(|(row, key)| (Place::Row(*row), key.clone())).collect();
                let mut page = self.now(named).await?;
                page.after = after.map(Place::Row);
                Ok(page)
            }
            From::Inventory(inventory) => {
                let page = inventory.page(row(after), most as usize).await;
                let (named, after) = page.map_err(shown)?;
                let objects = named.into_iter().map(|(row, it)| (Place::Row(row), it)).collect();
                Ok(Page { objects, gone: Vec::new(), after: after.map(Place::Row) })
            }
        }
    }

    /// Looks at these objects as they are now.
    pub async fn now(&self, named: Vec<(Place, String)>) -> anyhow::Result<Page> {
        let keys: Vec<&str> = named.iter().map(|(_, key)| key.as_str()).collect();
        let seen = self.lister.now(&keys).await.map_err(|(key, why)| self.unseen(&key, &why))?;
        let mut page = Page::default();
        for ((place, key), seen) in named.into_iter().zip(seen) {
            match seen {
                Some(listed) => page.objects.push((place, listed)),
                None => page.gone.push((place, key)),
            }
        }
        Ok(page)
    }

    fn unseen(&self, key: &str, why: &Unseen) -> anyhow::Error {
        let uri = printable(&format!("s3://{}/{key}", self.bucket));
        anyhow!("failed to look at `{uri}`: {why}")
    }
}

/// Reads the manifest of an inventory of `bucket`.
pub async fn inventory<'a>(
    desk: &'a Desk,
    manifest: &str,
    bucket: &'a str,
    prefix: &str,
) -> anyhow::Result<Inventory<'a>> {
    let opened = Inventory::open(&desk.clients, manifest, bucket, prefix).await;
    opened
        .map_err(shown)?
        .ok_or_else(|| anyhow!("failed to read `{}`: it isn't there", printable(manifest)))
}

/// Returns an error about an inventory in printable characters.
fn shown(error: anyhow::Error) -> anyhow::Error {
    anyhow!("{}", printable(&format!("{error:#}")))
}

fn row(place: Option<&Place>) -> Row {
    match place {
        Some(Place::Row(row)) => *row,
        Some(Place::Key(_)) | None => Row::default(),
    }
}
