use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

const SCHEMA: &str =
    "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass";

fn manifest(changes: &[(&str, &str)]) -> String {
    let mut text = format!(
        r#"{{ "sourceBucket": "landing", "destinationBucket": "arn:aws:s3:::inventories", "version": "2016-11-30",
             "creationTimestamp": "1514944800000", "fileFormat": "CSV", "fileSchema": "{SCHEMA}",
             "files": [{{ "key": "all/data/1.csv.gz", "size": 2147483647, "MD5checksum": "0a" }}] }}"#
    );
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text
}

fn listed(csv: &str, schema: &str) -> anyhow::Result<Vec<Listed>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(csv.as_bytes()).expect("compressed");
    let compressed = gzip.finish().expect("compressed");
    let columns = Columns::read(schema)?;
    let mut all = Vec::new();
    for row in rows(compressed.as_slice()).byte_records() {
        all.extend(columns.listed(&row?, "landing", "a/")?);
    }
    Ok(all)
}

#[test]
fn a_manifest_that_can_not_be_used_says_what_to_configure() {
    let check = |changes: &[(&str, &str)], says: &str| {
        let error = parse(&manifest(changes), "landing").expect_err("a refusal").to_string();
        assert!(error.contains(says), "{error}");
    };
    assert!(parse(&manifest(&[]), "landing").is_ok());
    check(
        &[("\"CSV\"", "\"ORC\"")],
        "its format is ORC, and only CSV is read: set the output format",
    );
    check(&[("\"CSV\"", "\"Parquet\"")], "its format is Parquet");
    check(&[("\"landing\"", "\"other\"")], "it lists bucket `other`, and the route's is `landing`");
    check(&[(", ETag", "")], "it has no `ETag`: add the fields Size, LastModifiedDate and ETag");
    check(&[("\"files\"", "\"fil\"")], "it isn't the manifest of an inventory");
}

#[test]
fn rows_are_read_by_the_schema_and_keys_are_decoded() {
    let csv = concat!(
        r#""landing","a/%C3%BC+%2B%2541%22%2C.csv","v1","true","false","5","2026-01-31T12:00:00.000Z","e1","STANDARD""#,
        "\n",
        r#""landing","a/older","v0","false","false","5","2026-01-31T12:00:00.000Z","e0","STANDARD""#,
        "\n",
        r#""landing","a/deleted","v2","true","true","","2026-01-31T12:00:00.000Z","","""#,
        "\n",
        r#""landing","b/elsewhere","v3","true","false","5","2026-01-31T12:00:00.000Z","e3","""#,
        "\n",
        r#""landing","a/before%20versions","null","true","false","0","2026-01-31T12:00:00.000Z","e4-2","""#,
        "\n",
    );
    let found = listed(csv, SCHEMA).expect("rows");
    let found: Vec<_> = found
        .iter()
        .map(|it| (it.key.as_str(), it.size, it.etag.as_str(), it.version_id.as_deref()))
        .collect();
    let expected =
        [("a/ü +%41\",.csv", 5, "e1", Some("v1")), ("a/before versions", 0, "e4-2", None)];
    assert_eq!(found, expected);
    let found = listed(
        "e1,landing,2026-01-31T12:00:00Z,7,a/x\n",
        "ETag, Bucket, LastModifiedDate, Size, Key",
    );
    assert_eq!(found.expect("rows")[0].size, 7);
}

#[test]
fn a_row_that_can_not_be_read_is_an_error() {
    let schema = "Bucket, Key, Size, LastModifiedDate, ETag";
    for (row, says) in [
        ("other,a/x,1,2026-01-31T12:00:00Z,e", "it is of bucket `other`"),
        ("landing,a/x,one,2026-01-31T12:00:00Z,e", "its size isn't a number"),
        ("landing,a/x,1,yesterday,e", "it has no time"),
        ("landing,a/x,1,2026-01-31T12:00:00Z,", "it has no ETag"),
        ("landing,a/%zz,1,2026-01-31T12:00:00Z,e", "a/%zz"),
        ("landing,a/x", "it has 2 fields only"),
    ] {
        let error = listed(row, schema).expect_err("an error").to_string();
        assert!(error.contains(says), "{row}: {error}");
    }
    assert!(listed("landing,a/x,1,2026-01-31T12:00:00Z,e\nlanding,a/y\n", schema).is_err());
}
