//! What the job reads.

use expect_test::expect;

use super::*;
use crate::arrivals::tests::arrival;

fn member(key: &str, sequencer: Option<&str>, etag: &str) -> Member {
    Member {
        sequencer: sequencer.map(str::to_owned),
        etag: Some(etag.to_owned()),
        ..Member::from(&arrival("landing", key))
    }
}

#[test]
fn a_manifest_is_redshifts_with_what_pins_the_object() {
    let versioned = Member {
        version_id: Some("v".to_owned()),
        size: Some(42),
        ..member("orders/ü.csv", Some("01"), "e")
    };
    let bare = Member { size: None, etag: None, ..member("orders/a.csv", None, "") };
    let manifest = Manifest::of(vec![versioned, bare]);
    expect![[r#"
        {"entries":[
        {"url":"s3://landing/orders/a.csv","mandatory":true},
        {"url":"s3://landing/orders/\u00fc.csv","mandatory":true,"meta":{"content_length":42},"version_id":"v","etag":"e"}
        ]}
    "#]]
    .assert_eq(&manifest.json("landing"));
    assert_eq!((manifest.objects(), manifest.bytes()), (2, None), "not told is not zero");
}

#[test]
fn a_manifest_is_ascii_and_gives_the_key_back() {
    let key = "pairs/ü 𝄞 \"q\" \\ % + = \n\u{1}.csv";
    let json = Manifest::of(vec![member(key, None, "e")]).json("landing");
    assert!(json.is_ascii());
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["entries"][0]["url"], format!("s3://landing/{key}"));
}

#[test]
fn an_overwritten_object_is_read_once_in_its_newest_version() {
    let newest = |members: Vec<Member>| Manifest::of(members).members_of("a");
    // A longer sequencer is not a later one: they compare as numbers of the same length.
    let (older, newer) = (member("a", Some("0100"), "old"), member("a", Some("02"), "new"));
    assert_eq!(newest(vec![older.clone(), newer.clone()]), ["new"]);
    assert_eq!(newest(vec![newer, older]), ["new"]);
}

#[test]
fn what_cannot_be_told_apart_by_time_is_all_read() {
    let members = vec![member("a", None, "one"), member("a", Some("01"), "other")];
    assert_eq!(Manifest::of(members).members_of("a"), ["one", "other"]);
}

fn own() -> JobResources {
    JobResources {
        reader_role_arn: "arn:reader".to_owned(),
        claims_table_arn: "arn:claims".to_owned(),
        manifests_bucket: "manifests".to_owned(),
    }
}

impl Manifest {
    /// The ETags of a key's versions.
    fn members_of(&self, key: &str) -> Vec<String> {
        let json: serde_json::Value = serde_json::from_str(&self.json("b")).expect("JSON");
        let entries = json["entries"].as_array().expect("a list").iter();
        let ours = entries.filter(|entry| entry["url"] == format!("s3://b/{key}"));
        ours.filter_map(|entry| entry["etag"].as_str().map(str::to_owned)).collect()
    }
}

fn manifest_key(batch: &Batch) -> String {
    JobResources::manifest_key(&batch.route, &batch.id)
}

#[test]
fn what_the_runs_are_given_is_filled_in_from_batch_and_members() {
    let text = "{dt} {bucket} {batch_id} {count} {bytes} {event_time}";
    let mut batch = sealed();
    batch.start.values.insert("bucket".to_owned(), "landing".to_owned());
    batch.start.arguments = BTreeMap::from([("--all".to_owned(), text.to_owned())]);
    let early =
        Member { event_time: Some("2026-01-31T00:00:00Z".to_owned()), ..member("a", None, "e") };
    let late =
        Member { event_time: Some("2026-01-31T00:00:01Z".to_owned()), ..member("b", None, "e") };
    let manifest = Manifest::of(vec![late, early]);
    let prepared = manifest.prepared(&batch, &own(), &manifest_key(&batch));
    expect![[r#"
        {
          "objects": 2,
          "bytes": 2,
          "manifest": "s3://manifests/manifests/orders/0123456789abcdef0123456789abcdef.json",
          "arguments": {
            "--all": "2026-01-31 landing 0123456789abcdef0123456789abcdef 2 2 2026-01-31T00:00:01Z",
            "--landfall-batch-id": "0123456789abcdef0123456789abcdef",
            "--landfall-claims-table": "arn:claims",
            "--landfall-manifest": "s3://manifests/manifests/orders/0123456789abcdef0123456789abcdef.json",
            "--landfall-reader-role": "arn:reader"
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&prepared.expect("all is known")).expect("JSON"));
}

#[test]
fn what_a_member_does_not_tell_is_refused_and_not_taken_for_zero() {
    let mut batch = sealed();
    batch.start.arguments = BTreeMap::from([("--n".to_owned(), "{bytes}".to_owned())]);
    let unknown = Member { size: None, ..member("a", None, "e") };
    let refused = Manifest::of(vec![unknown]).prepared(&batch, &own(), &manifest_key(&batch));
    let (argument, value) = ("--n".to_owned(), "bytes".to_owned());
    let reason = RefusalReason::UnknownValue { argument, value };
    assert_eq!(refused, Err(Unprepared::Refused(reason)));
}
