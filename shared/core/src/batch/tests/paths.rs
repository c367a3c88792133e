//! The values that name a batch's objects to a job that uses no library.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::arrivals::tests::arrival;
use crate::template::Template;

fn filled(template: &str, keys: &[&str]) -> Result<String, RefusalReason> {
    let members = keys.iter().map(|key| Member::from(&arrival("landing", key))).collect();
    let templates = BTreeMap::from([("--in".to_owned(), Template::parse(template).unwrap())]);
    let mut values = BTreeMap::from([("bucket".to_owned(), "landing".to_owned())]);
    if let [key] = keys {
        values.insert("key".to_owned(), (*key).to_owned());
    }
    let manifest: Manifest = Manifest::of(members);
    let filled = manifest.arguments(&templates, "id", &values, "s3://manifests/m.json");
    filled.map(|arguments| arguments["--in"].clone())
}

fn refused_key(template: &str, keys: &[&str]) -> String {
    match filled(template, keys) {
        Err(RefusalReason::NotForSpark { argument, key, .. }) => {
            assert_eq!(argument, "--in");
            key
        }
        other => panic!("{keys:?}: {other:?}"),
    }
}

#[test]
fn a_job_without_a_library_is_told_its_object_its_folder_or_its_manifest() {
    let filled_in = |template: &str, keys: &[&str]| filled(template, keys).expect("filled in");
    assert_eq!(filled_in("{object_path}", &["in/a.csv"]), "s3://landing/in/a.csv");
    assert_eq!(filled_in("{manifest_uri}", &["in/a.csv"]), "s3://manifests/m.json");
    assert_eq!(filled_in("{prefix_uri}", &["in/x/a.csv", "in/x/b.csv"]), "s3://landing/in/x/");
    assert_eq!(filled_in("{prefix_uri}", &["in/xa/a.csv", "in/xb/a.csv"]), "s3://landing/in/");
    assert_eq!(filled_in("{prefix_uri}", &["a.csv", "in/b.csv"]), "s3://landing/");
    assert_eq!(filled_in("{prefix_uri}", &["in/ü/a", "in/ö/a"]), "s3://landing/in/");
    assert_eq!(
        filled_in("{prefix_uri}", &["in/_hidden", "in/a[b]"]),
        "s3://landing/in/",
        "as it is"
    );
}

#[test]
fn what_spark_would_take_for_a_pattern_is_escaped_in_a_path_and_in_no_uri() {
    let key = r"in/a*[b]{c}?\.csv";
    let path = r"s3://landing/in/a\*\[b\]\{c\}\?\\.csv";
    assert_eq!(filled("{object_path}", &[key]), Ok(path.to_owned()));
    let folder = [r"in/[x]/a.csv", r"in/[x]/b.csv"];
    assert_eq!(filled("{prefix_path}", &folder), Ok(r"s3://landing/in/\[x\]/".to_owned()));
    assert_eq!(filled("{prefix_uri}", &folder), Ok("s3://landing/in/[x]/".to_owned()));
}

#[test]
fn spark_is_given_no_path_by_which_it_would_skip_an_object() {
    assert_eq!(refused_key("{object_path}", &["in/_a.csv"]), "in/_a.csv");
    assert_eq!(refused_key("{prefix_path}", &["in/.a.csv", "in/b.csv"]), "in/.a.csv");
    let nested = ["in/a.csv", "in/deep/b.csv"];
    assert_eq!(refused_key("{prefix_path}", &nested), "in/deep/b.csv", "Spark stays in the folder");
    let mixed = ["in/a.csv", "in/dt=1/b.csv"];
    assert_eq!(refused_key("{prefix_path}", &mixed), "in/dt=1/b.csv", "no partition of all");
    let partitions = ["in/dt=1/a.csv", "in/dt=2/a.csv"];
    assert_eq!(filled("{prefix_path}", &partitions), Ok("s3://landing/in/".to_owned()));
}

#[test]
fn the_library_and_the_arguments_decide_alike_which_keys_spark_can_read() {
    let text = include_str!("../../../../../tests/fixtures/spark-keys.json");
    let keys: BTreeMap<String, Vec<String>> = serde_json::from_str(text).expect("JSON");
    for key in &keys["readable"] {
        assert!(filled("{object_path}", &[key]).is_ok(), "{key:?}");
    }
    for key in &keys["unreadable"] {
        assert_eq!(refused_key("{object_path}", &[key]), *key);
    }
}

proptest! {
    #[test]
    fn the_folder_of_a_batch_is_the_longest_that_holds_all_its_objects(
        keys in prop::collection::vec("[aüb/]{1,8}", 1..6)
    ) {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let uri = filled("{prefix_uri}", &keys).expect("filled in");
        let folder = uri.strip_prefix("s3://landing/").expect("of the bucket");
        prop_assert!(folder.is_empty() || folder.ends_with('/'));
        prop_assert!(keys.iter().all(|key| key.starts_with(folder)));
        let longer = |key: &str| key[folder.len()..].find('/').map(|at| key[..=folder.len() + at].to_owned());
        if let Some(longer) = longer(keys[0]) {
            prop_assert!(!keys.iter().all(|key| key.starts_with(&longer)), "{longer}");
        }
    }
}
