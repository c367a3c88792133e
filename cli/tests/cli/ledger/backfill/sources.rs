//! Objects that a list of keys or an S3 Inventory names.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use landfall_core::batch::hex;
use md5::{Digest, Md5};
use tempfile::TempPath;

use super::*;

const MANIFEST: &str = "s3://inventories/acme-landing/all/2026-01-31T01-00Z/manifest.json";
const FOLDER: &str = "acme-landing/all/2026-01-31T01-00Z/";

fn list(lines: &str) -> TempPath {
    let mut file = NamedTempFile::with_prefix("keys").expect("a temporary file");
    file.write_all(lines.as_bytes()).expect("a written list");
    file.into_temp_path()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Lets all but the first sending of messages fail.
fn break_off(world: &World) {
    let calls = AtomicUsize::new(0);
    world.desk.stand_in.answer("SendMessageBatch", move |_, _| {
        match calls.fetch_add(1, Ordering::Relaxed) {
            0 => Act::Serve,
            _ => Act::Fail { status: 403, code: "AccessDenied" },
        }
    });
}

/// What an inventory says of an object.
struct Row {
    key: String,
    content: &'static str,
    is_latest: bool,
    is_deleted: bool,
}

fn row(key: &str, content: &'static str) -> Row {
    Row { key: key.to_owned(), content, is_latest: true, is_deleted: false }
}

/// An inventory of a bucket, as S3 writes it.
struct Inventory {
    schema: &'static str,
    format: &'static str,
    of: &'static str,
    files: Vec<Vec<u8>>,
    sums: Vec<String>,
}

impl Inventory {
    fn new(world: &World, has_versions: bool, files: &[&[Row]]) -> Self {
        let schema = if has_versions {
            "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag"
        } else {
            "Bucket, Key, Size, LastModifiedDate, ETag"
        };
        let files: Vec<Vec<u8>> = files
            .iter()
            .map(|rows| {
                let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
                for row in *rows {
                    let key = row.key.replace('%', "%25").replace('+', "%2B").replace(' ', "+");
                    let key = key.replace('ü', "%C3%BC").replace('"', "%22");
                    let etag = world.etag(row.content);
                    let versions = format!(r#""v-{etag}","{}","{}","#, row.is_latest, row.is_deleted);
                    let versions = if has_versions { versions.as_str() } else { "" };
                    let size = row.content.len();
                    writeln!(
                        gzip,
                        r#""acme-landing","{key}",{versions}"{size}","2020-01-31T12:00:00.000Z","{etag}""#
                    )
                    .expect("compressed");
                }
                gzip.finish().expect("compressed")
            })
            .collect();
        let sums = files.iter().map(|file| hex(&Md5::digest(file))).collect();
        Self { schema, format: "CSV", of: "acme-landing", files, sums }
    }

    fn put(&self, world: &World) {
        let put = |key: &str, content: &[u8]| {
            world.desk.stand_in.put_object("inventories", key, content, SystemTime::now());
        };
        let mut files = Vec::new();
        for (number, (file, sum)) in self.files.iter().zip(&self.sums).enumerate() {
            let key = format!("acme-landing/all/data/{number}.csv.gz");
            put(&key, file);
            files.push(json!({ "key": key, "size": file.len(), "MD5checksum": sum }));
        }
        let manifest = json!({
            "sourceBucket": self.of, "destinationBucket": "arn:aws:s3:::inventories", "version": "2016-11-30",
            "creationTimestamp": "1769821200000", "fileFormat": self.format, "fileSchema": self.schema, "files": files,
        });
        let manifest = manifest.to_string();
        put(&format!("{FOLDER}manifest.json"), manifest.as_bytes());
        let sum = hex(&Md5::digest(&manifest));
        put(&format!("{FOLDER}manifest.checksum"), format!("{sum}\n").as_bytes());
    }
}

impl World {
    /// Returns the ETag of an object with this content.
    fn etag(&self, content: &str) -> String {
        let etag = self.desk.stand_in.etag(content.as_bytes());
        etag.trim_matches('"').to_owned()
    }

    fn keys_sent(&self) -> Vec<String> {
        self.sent().into_iter().map(|arrival| arrival.key).collect()
    }
}

#[test]
fn what_a_list_of_keys_names_is_sent_as_it_is_now_and_what_is_gone_is_named() {
    for is_versioned in [false, true] {
        let world = World::new();
        if is_versioned {
            world.desk.stand_in.keep_versions("acme-landing");
        }
        world.put("orders/1/ü +%41.csv", "aa", 120);
        world.put("orders/2/b", "b", 120);
        world.put("orders/2/not-named", "n", 120);
        world.put("orders/2/new", "n", 30);
        world.put("named/x", "n", 120);
        let keys = list(
            "orders/2/b\nnamed/x\norders/1/gone\u{1b}\ns3://acme-landing/orders/1/ü +%41.csv\norders/2/new\n\norders/2/b\n",
        );
        let shown = world.run(&["backfill", "--route", "orders", "--keys", text(&keys), "--yes"]);
        assert_eq!(shown.status, 0, "{}", shown.all());
        let all = shown.all().replace(text(&keys), "KEYS");
        assert!(all.contains("the keys in KEYS of s3://acme-landing/ as of TIME"), "{all}");
        assert!(all.contains("1 gone: not in the bucket"), "{all}");
        assert!(all.contains(r"gone: s3://acme-landing/orders/1/gone\u{1b}"), "{all}");
        assert!(all.contains("5 found") && all.contains("1 not taken by the route"), "{all}");
        assert!(all.contains("1 less than an hour old"), "{all}");
        assert_eq!(all.matches("gone: s3:").count(), 1, "{all}");
        let sent = world.sent();
        let keys: Vec<&str> = sent.iter().map(|arrival| arrival.key.as_str()).collect();
        assert_eq!(keys, ["orders/2/b", "orders/1/ü +%41.csv"]);
        assert_eq!(sent[1].size, Some(2));
        assert!(sent.iter().all(|arrival| arrival.version_id.is_some() == is_versioned));
        // It lists nothing: whoever has the keys needs no right to list them.
        let lists = ["ListObjectsV2", "ListObjectVersions"];
        assert!(lists.iter().all(|list| world.desk.stand_in.calls_of(list).is_empty()));
    }
}

#[test]
fn a_list_of_keys_goes_on_at_its_line_and_only_with_the_same_list() {
    let world = World::new();
    world.put_many(1_200);
    let lines: Vec<String> =
        world.desk.stand_in.objects("acme-landing").into_iter().rev().collect();
    let keys = list(&lines.join("\n\n"));
    break_off(&world);
    let shown = world.run(&["backfill", "--route", "orders", "--keys", text(&keys), "--yes"]);
    assert_eq!(shown.status, 2, "{}", shown.all());
    world.desk.stand_in.clear_rules();
    let mut sent = world.keys_sent();
    let id = world.ids().remove(0);
    let other = list("orders/1/00001.csv");
    for (args, says) in [
        (vec!["backfill", "resume", &id], "give that list again, with --keys"),
        (
            vec!["backfill", "resume", &id, "--keys", text(&other)],
            "isn't the one that the backfill began with",
        ),
    ] {
        let shown = world.run(&args);
        assert!(shown.status == 2 && shown.stderr.contains(says), "{}", shown.all());
    }
    let resume = ["backfill", "resume", &id, "--keys", text(&keys)];
    let shown = world.run(&[&resume[..], &["--max-objects", "100"]].concat());
    assert_eq!(shown.status, 1, "{}", shown.all());
    let status = world.run(&["backfill", "status", &id]);
    assert!(status.stdout.contains("reached  line "), "{}", status.all());
    assert_eq!(world.run(&resume).status, 0);
    sent.extend(world.keys_sent());
    assert!(sent.len() <= 2_200, "{}", sent.len());
    sent.sort();
    sent.dedup();
    assert_eq!(sent.len(), 1_200);
}

#[test]
fn what_is_wrong_in_a_list_of_keys_is_told_by_its_line_before_anything_is_sent() {
    let world = World::new();
    world.put("orders/1/a", "a", 120);
    let keys = list("orders/1/a\ns3://other/orders/1/a\norders/1/a\ns3://acme-landing\n");
    let shown = world.run(&["backfill", "--route", "orders", "--keys", text(&keys), "--yes"]);
    assert_eq!(shown.status, 2, "{}", shown.all());
    for says in
        ["line 2: bucket `other` isn't the route's, `acme-landing`", "line 4: `s3://acme-landing`"]
    {
        assert!(shown.stderr.contains(says), "{}", shown.all());
    }
    let shown = world.run(&["backfill", "--route", "orders", "--keys", "/no/such", "--yes"]);
    assert!(shown.status == 2 && shown.stderr.contains("failed to read `/no/such`"));
    world
        .desk
        .stand_in
        .answer("HeadObject", |_, _| Act::Fail { status: 403, code: "AccessDenied" });
    let keys = list("orders/1/a\n");
    let shown = world.run(&["backfill", "--route", "orders", "--keys", text(&keys), "--yes"]);
    let says = "failed to look at `s3://acme-landing/orders/1/a`: to look, the credentials need `s3:GetObject`";
    assert!(shown.status == 2 && shown.stderr.contains(says), "{}", shown.all());
    assert_eq!((world.sent().len(), world.ids().len()), (0, 0), "nothing half done");
}

#[tokio::test]
async fn the_newest_versions_of_an_inventory_are_sent_as_they_are_now() {
    for is_versioned in [false, true] {
        let world = World::new();
        if is_versioned {
            world.desk.stand_in.keep_versions("acme-landing");
        }
        world.put("orders/1/ü +%41\".csv", "a", 120);
        world.put("orders/1/overwritten", "new", 120);
        world.put("orders/1/just-overwritten", "new", 10);
        world.put("orders/1/known", "k", 120);
        world.put("orders/2/kept", "b", 120);
        let inventory = Inventory::new(
            &world,
            is_versioned,
            &[
                &[
                    row("elsewhere/x", "a"),
                    row("orders/1/ü +%41\".csv", "a"),
                    row("orders/1/gone", "g"),
                    row("orders/1/overwritten", "old"),
                    row("orders/1/just-overwritten", "old"),
                    row("orders/1/known", "k"),
                ],
                &[],
                &[
                    row("orders/2/kept", "b"),
                    Row { is_latest: !is_versioned, ..row("orders/2/kept", "older") },
                    Row { is_deleted: is_versioned, ..row("orders/2/deleted", "") },
                ],
            ],
        );
        inventory.put(&world);
        let etag = world.etag("k");
        let known = Member {
            version_id: is_versioned.then(|| format!("v-{etag}")),
            etag: Some(etag),
            size: Some(1),
            event_time: Some("2020-01-31T12:00:00Z".to_owned()),
            sequencer: Some("1".to_owned()),
            ..member("orders/1/known")
        };
        world.desk.recorded(1, "orders", 0, &[known], &[], Closing::default()).await;
        let args = ["backfill", "--route", "orders", "--inventory", MANIFEST];
        let look = world.run(&[&args[..], &["--dry-run"]].concat());
        assert_eq!(look.status, 0, "{}", look.all());
        let lists = format!("s3://acme-landing/orders/ as in {MANIFEST} as of TIME");
        assert!(look.stdout.contains(&lists), "{}", look.all());
        assert!(
            world.desk.stand_in.calls_of("HeadObject").is_empty(),
            "the look goes by what is listed"
        );
        let shown = world.run(&[&args[..], &["--yes"]].concat());
        assert_eq!(shown.status, 0, "{}", shown.all());
        assert!(shown.stderr.contains("gone: s3://acme-landing/orders/1/gone"), "{}", shown.all());
        let sent = world.sent();
        let mut sent: Vec<_> = sent
            .iter()
            .map(|it| (it.key.as_str(), it.etag.as_deref().unwrap_or_default()))
            .collect();
        sent.dedup();
        let etags = ["a", "new", "b"].map(|content| world.etag(content));
        let expected = [
            ("orders/1/ü +%41\".csv", etags[0].as_str()),
            ("orders/1/overwritten", &etags[1]),
            ("orders/2/kept", &etags[2]),
        ];
        assert_eq!(sent, expected);
        let status = world.run(&["backfill", "status"]).stdout;
        for says in ["1 gone", "1 less than an hour old", "1 in a batch already"] {
            assert!(status.contains(says), "{status}");
        }
    }
}

#[test]
fn an_inventory_goes_on_behind_the_row_that_it_came_to() {
    let world = World::new();
    world.put_many(1_200);
    let keys = world.desk.stand_in.objects("acme-landing");
    let rows: Vec<Row> = keys.iter().map(|key| row(key, "x")).collect();
    let (first, rest) = rows.split_at(300);
    let (second, third) = rest.split_at(600);
    Inventory::new(&world, false, &[first, second, third]).put(&world);
    break_off(&world);
    let args = ["backfill", "--route", "orders", "--inventory", MANIFEST, "--yes"];
    assert_eq!(world.run(&args).status, 2);
    world.desk.stand_in.clear_rules();
    let mut sent = world.keys_sent();
    let id = world.ids().remove(0);
    let shown = world.run(&["backfill", "resume", &id, "--max-objects", "450"]);
    assert_eq!(shown.status, 1, "{}", shown.all());
    let status = world.run(&["backfill", "status", &id]);
    assert!(
        status.stdout.contains("reached  row ") && status.stdout.contains(" of file 2"),
        "{}",
        status.all()
    );
    assert_eq!(world.run(&["backfill", "resume", &id]).status, 0);
    sent.extend(world.keys_sent());
    assert!(sent.len() <= 2_200, "{}", sent.len());
    sent.sort();
    sent.dedup();
    assert_eq!(sent, keys);
}

#[test]
fn an_inventory_that_can_not_be_used_is_told_at_once_and_nothing_is_sent() {
    let world = World::new();
    world.put("orders/1/a", "a", 120);
    let good = || Inventory::new(&world, false, &[&[row("orders/1/a", "a")]]);
    let check = |inventory: Inventory, says: &str| {
        inventory.put(&world);
        let args = ["backfill", "--route", "orders", "--inventory", MANIFEST, "--yes"];
        let shown = world.run(&args);
        assert!(shown.status == 2 && shown.stderr.contains(says), "{says}: {}", shown.all());
        assert_eq!((world.sent().len(), world.ids().len()), (0, 0), "nothing half done");
    };
    check(Inventory { format: "Parquet", ..good() }, "its format is Parquet, and only CSV is read");
    check(Inventory { format: "ORC", ..good() }, "its format is ORC, and only CSV is read");
    check(
        Inventory { of: "other", ..good() },
        "it lists bucket `other`, and the route's is `acme-landing`",
    );
    check(
        Inventory { schema: "Bucket, Key, Size", ..good() },
        "it has no `LastModifiedDate`: add the fields",
    );
    let changed = vec![b"not what it was".to_vec()];
    check(Inventory { files: changed, ..good() }, "its MD5 is not the one in the manifest");
    let mut cut = good().files;
    cut[0].truncate(25);
    let sums = vec![hex(&Md5::digest(&cut[0]))];
    check(
        Inventory { files: cut, sums, ..good() },
        "failed to read `s3://inventories/acme-landing/all/data/0.csv.gz`: row 1",
    );
    good().put(&world);
    let put = |key: &str, content: &[u8]| {
        world.desk.stand_in.put_object("inventories", key, content, SystemTime::now());
    };
    let run = |manifest: &str, says: &str| {
        let shown =
            world.run(&["backfill", "--route", "orders", "--inventory", manifest, "--dry-run"]);
        assert!(shown.status == 2 && shown.stderr.contains(says), "{says}: {}", shown.all());
    };
    put(&format!("{FOLDER}manifest.checksum"), b"0123");
    run(MANIFEST, "its MD5 is not the one in manifest.checksum");
    run(
        "s3://inventories/none/manifest.json",
        "failed to read `s3://inventories/none/manifest.json`: it isn't there",
    );
    run(
        "s3://inventories/all/hive/dt=2026-01-31-01-00/symlink.txt",
        "isn't the manifest.json of an inventory",
    );
    world.desk.stand_in.keep_versions("acme-landing");
    good().put(&world);
    run(MANIFEST, "doesn't tell their IDs: let the inventory include all versions");
}
