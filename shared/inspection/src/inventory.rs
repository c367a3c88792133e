//! An S3 Inventory: `manifest.json`, and the files of rows that it names. Only CSV is read.
//!
//! Each file is fetched into a temporary file and compared with its MD5 before any of its rows is used. So memory stays flat,
//! and a file that was changed or cut off brings nothing. Errors have text of others as it is: whoever shows one escapes it.

use std::fs::File;
use std::io::{self, BufReader, Seek, Write};

use anyhow::{Context, anyhow, bail, ensure};
use csv::{ByteRecord, Reader, ReaderBuilder};
use flate2::bufread::MultiGzDecoder;
use landfall_core::arrivals::{EventTime, Listed, decode_key};
use landfall_core::backfill::{Row, Source};
use landfall_core::batch::hex;
use landfall_core::inventory::{self, InventoryPlace};
use landfall_core::moment::Time;
use md5::{Digest, Md5};
use serde::Deserialize;

use crate::look::Call;
use crate::{Clients, Seen, Unseen, object, parts};

const LIST: Call = Call { operation: "ListObjectsV2", missing: &["NoSuchBucket"] };

/// The most rows that are read for a page, whether it gets them or not. So each page takes seconds at most.
const MAX_ROWS: u64 = 500_000;

/// What to do about an inventory that lacks something.
const FIELDS: &str = "add the fields Size, LastModifiedDate and ETag to the inventory's configuration, and use its next manifest";

/// As S3 writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    source_bucket: String,
    file_format: String,
    file_schema: String,
    files: Vec<Part>,
}

/// A file of rows.
#[derive(Debug, Deserialize)]
struct Part {
    key: String,
    #[serde(rename = "MD5checksum")]
    md5: String,
}

/// An inventory of a bucket.
#[derive(Debug)]
pub struct Inventory<'a> {
    clients: &'a Clients,
    /// The bucket that it is in.
    bucket: String,
    manifest: String,
    md5: String,
    files: Vec<Part>,
    columns: Columns,
    /// The bucket that it lists, and what the keys begin with.
    of: &'a str,
    prefix: String,
    opened: Option<Opened>,
}

/// Returns the newest inventory at a place; `None` if there is none. The bucket of the inventories must belong to `account`.
///
/// # Errors
/// Says why nothing was seen.
pub async fn newest(
    clients: &Clients,
    account: &str,
    place: &InventoryPlace,
    now: Time,
) -> Seen<Option<inventory::Inventory>> {
    let (mut after, mut newest) = (place.looked_for_after(now), None);
    loop {
        let list = clients.s3.list_objects_v2().bucket(&place.bucket).prefix(&place.prefix);
        let list = list.start_after(&after).expected_bucket_owner(account);
        let answer = LIST.seen(list.send().await)?;
        let is_truncated = answer.is_truncated == Some(true);
        let keys = answer.contents.unwrap_or_default().into_iter().filter_map(|it| it.key);
        let keys: Vec<String> = keys.collect();
        newest = keys.iter().filter_map(|key| place.inventory(key)).next_back().or(newest);
        match keys.into_iter().next_back() {
            Some(last) if is_truncated && !place.is_behind(&last) => after = last,
            _ => return Ok(newest),
        }
    }
}

/// A file of rows, read up to a place.
#[derive(Debug)]
struct Opened {
    at: Row,
    rows: Reader<MultiGzDecoder<BufReader<File>>>,
}

impl<'a> Inventory<'a> {
    /// Reads the manifest of an inventory of bucket `of`. Returns `None` if it isn't there.
    ///
    /// # Errors
    /// Fails if it can't be read, isn't what S3 wrote, lists another bucket, or isn't of a format that can be used.
    pub async fn open(
        clients: &'a Clients,
        manifest: &str,
        of: &'a str,
        prefix: &str,
    ) -> anyhow::Result<Option<Self>> {
        let named = manifest.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
        let beside = named.and_then(|(_, key)| key.strip_suffix("manifest.json"));
        let (Some((bucket, key)), Some(beside)) = (named, beside) else {
            bail!("`{manifest}` isn't the manifest.json of an inventory");
        };
        let unread = |key: &str, why| anyhow!("failed to read `{}`: {why}", uri(bucket, key));
        let text = match object(clients, bucket, key).await {
            Ok(text) => text,
            Err(Unseen::Missing) => return Ok(None),
            Err(why) => return Err(unread(key, why)),
        };
        let checksum = format!("{beside}manifest.checksum");
        let expected = object(clients, bucket, &checksum).await;
        let expected = expected.map_err(|why| unread(&checksum, why))?;
        let md5 = hex(&Md5::digest(&text));
        ensure!(
            md5.eq_ignore_ascii_case(expected.trim()),
            "`{manifest}` isn't what S3 wrote: its MD5 is not the one in manifest.checksum"
        );
        let read = parse(&text, of).with_context(|| format!("`{manifest}` can't be used"));
        let (files, columns) = read?;
        let (bucket, manifest, prefix) =
            (bucket.to_owned(), manifest.to_owned(), prefix.to_owned());
        Ok(Some(Self { clients, bucket, manifest, md5, files, columns, of, prefix, opened: None }))
    }

    /// Returns the MD5 of the manifest.
    pub fn md5(&self) -> &str {
        &self.md5
    }

    /// Returns what the ledger keeps of it.
    pub fn source(&self) -> Source {
        Source::Inventory { manifest: self.manifest.clone(), md5: self.md5.clone() }
    }

    /// Fails if the bucket keeps versions and the inventory doesn't say which ones it lists: nothing would tell its objects
    /// from those that S3 announced.
    pub fn check_versions(&self, has_versions: bool) -> anyhow::Result<()> {
        ensure!(
            !has_versions || self.columns.version_id.is_some(),
            "bucket `{}` keeps versions, and the inventory `{}` doesn't tell their IDs: let the inventory include all \
             versions, and use its next manifest",
            self.of,
            self.manifest
        );
        Ok(())
    }

    /// Returns the newest versions of objects below the prefix, from behind a row, `most` of them at most: fewer, and
    /// perhaps none, if they are far between. Also returns the last row that the page is done with; `None` if it has read
    /// all.
    ///
    /// # Errors
    /// Fails if a file can't be read or isn't what S3 wrote, or a row isn't what the manifest says.
    pub async fn page(
        &mut self,
        after: Row,
        most: usize,
    ) -> anyhow::Result<(Vec<(Row, Listed)>, Option<Row>)> {
        let mut at = after;
        let mut page = Vec::new();
        let mut row = ByteRecord::new();
        let mut rows = 0;
        while let Ok(index) = usize::try_from(at.file)
            && let Some(part) = self.files.get(index)
        {
            let mut opened = match self.opened.take() {
                Some(opened) if opened.at == at => opened,
                _ => self.opened_at(part, at).await?,
            };
            loop {
                let place =
                    || format!("`{}`: row {}", uri(&self.bucket, &part.key), opened.at.row + 1);
                if page.len() == most || rows == MAX_ROWS {
                    let at = opened.at;
                    self.opened = Some(opened);
                    return Ok((page, Some(at)));
                }
                let has_row = opened.rows.read_byte_record(&mut row);
                if !has_row.with_context(|| format!("failed to read {}", place()))? {
                    break;
                }
                let found = self.columns.listed(&row, self.of, &self.prefix);
                let found = found.with_context(|| format!("failed to read {}", place()))?;
                opened.at.row += 1;
                rows += 1;
                page.extend(found.map(|listed| (opened.at, listed)));
            }
            at = Row { file: at.file + 1, row: 0 };
        }
        Ok((page, None))
    }

    /// Fetches a file of rows, and skips those that are done with.
    async fn opened_at(&self, part: &Part, at: Row) -> anyhow::Result<Opened> {
        let uri = uri(&self.bucket, &part.key);
        let mut file = tempfile::tempfile().context("failed to make a temporary file")?;
        let mut md5 = Md5::new();
        let fetched = parts(self.clients, &self.bucket, &part.key, |bytes| {
            md5.update(bytes);
            file.write_all(bytes)
        });
        fetched.await.map_err(|why| anyhow!("failed to read `{uri}`: {why}"))?;
        ensure!(
            hex(&md5.finalize()).eq_ignore_ascii_case(&part.md5),
            "`{uri}` isn't what S3 wrote: its MD5 is not the one in the manifest"
        );
        file.rewind().context("failed to read a temporary file")?;
        let mut rows = rows(BufReader::new(file));
        let mut row = ByteRecord::new();
        for _ in 0..at.row {
            let has_row = rows.read_byte_record(&mut row);
            ensure!(
                has_row.with_context(|| format!("failed to read `{uri}`"))?,
                "`{uri}` is too short"
            );
        }
        Ok(Opened { at, rows })
    }
}

fn rows<R: io::BufRead>(compressed: R) -> Reader<MultiGzDecoder<R>> {
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).from_reader(MultiGzDecoder::new(compressed))
}

fn uri(bucket: &str, key: &str) -> String {
    format!("s3://{bucket}/{key}")
}

fn parse(text: &str, of: &str) -> anyhow::Result<(Vec<Part>, Columns)> {
    let manifest: Manifest =
        serde_json::from_str(text).context("it isn't the manifest of an inventory")?;
    ensure!(
        manifest.source_bucket == of,
        "it lists bucket `{}`, and the route's is `{of}`",
        manifest.source_bucket
    );
    ensure!(
        manifest.file_format == "CSV",
        "its format is {}, and only CSV is read: set the output format of the inventory's configuration to CSV, and use its \
         next manifest",
        manifest.file_format
    );
    Ok((manifest.files, Columns::read(&manifest.file_schema)?))
}

/// Which column says what.
#[derive(Debug)]
struct Columns {
    bucket: usize,
    key: usize,
    version_id: Option<usize>,
    is_latest: Option<usize>,
    is_delete_marker: Option<usize>,
    size: usize,
    last_modified: usize,
    etag: usize,
}

impl Columns {
    fn read(schema: &str) -> anyhow::Result<Self> {
        let names: Vec<&str> = schema.split(',').map(str::trim).collect();
        let find = |name: &str| names.iter().position(|it| *it == name);
        let needed =
            |name: &str| find(name).with_context(|| format!("it has no `{name}`: {FIELDS}"));
        Ok(Self {
            bucket: needed("Bucket")?,
            key: needed("Key")?,
            version_id: find("VersionId"),
            is_latest: find("IsLatest"),
            is_delete_marker: find("IsDeleteMarker"),
            size: needed("Size")?,
            last_modified: needed("LastModifiedDate")?,
            etag: needed("ETag")?,
        })
    }

    /// Returns the object that a row lists; `None` if it is no newest version, or not below the prefix.
    fn listed(&self, row: &ByteRecord, of: &str, prefix: &str) -> anyhow::Result<Option<Listed>> {
        let text = |at: usize| {
            let field = row.get(at).with_context(|| format!("it has {} fields only", row.len()))?;
            std::str::from_utf8(field).context("it isn't UTF-8")
        };
        let is = |at: Option<usize>, what: &str| {
            anyhow::Ok(at.map(text).transpose()?.is_some_and(|it| it.eq_ignore_ascii_case(what)))
        };
        if text(self.bucket)? != of {
            bail!("it is of bucket `{}`", text(self.bucket)?);
        }
        let key = decode_key(text(self.key)?).map_err(|error| anyhow!("{error}"))?;
        if !key.starts_with(prefix)
            || is(self.is_latest, "false")?
            || is(self.is_delete_marker, "true")?
        {
            return Ok(None);
        }
        let size = text(self.size)?.parse().context("its size isn't a number")?;
        let last_modified =
            EventTime::parse(text(self.last_modified)?).context("it has no time")?;
        let etag = text(self.etag)?.trim_matches('"').to_owned();
        ensure!(!etag.is_empty(), "it has no ETag");
        let version_id = self.version_id.map(text).transpose()?;
        let version_id = version_id.filter(|id| !["", "null"].contains(id)).map(str::to_owned);
        Ok(Some(Listed { key: key.into_owned(), size, etag, version_id, last_modified }))
    }
}

#[cfg(test)]
mod tests;
