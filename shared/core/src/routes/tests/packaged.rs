//! Routes as they are packaged for functions.

use expect_test::expect;

use super::*;
use crate::routes::packaged::{Unusable, package, unpackage};

/// What a route may say beside what it must, in the places of a route: behind the key, in `batch` and in `start`.
const CONDITIONS: [&str; 3] = [
    "",
    "    where: { min_bytes: 1, max_bytes: 70000000000 }\n",
    "    where: { directory_markers: true }\n",
];
const RECONCILIATIONS: [&str; 3] = [
    "",
    "    reconcile: { every: 1d, action: start }\n",
    "    reconcile: { every: 2d, look_back: 9d, grace: 2h, action: report, \
     inventory: \"s3://inventories/acme/all/\" }\n",
];
const BATCHES: [&str; 4] = [
    "{ by: [dt] }",
    "{ window: 5m, quiet: 1m, max_objects: 7 }",
    "{ by: [dt], quiet: 1m, marker: _DONE, settle: 10s }",
    "{ by: [dt], window: 1h, marker: \"_ü\" }",
];
const STARTS: [&str; 5] = [
    "{ target: analytics, job: a }",
    "{ target: none }",
    "{ target: analytics, job: b, announce: true, arguments: { \"--x\": \"{{{dt}}} \\\"ü\\\"\", \"--y\": \"{count}\" } }",
    "{ target: elsewhere, job: \"c d\", scope: batch, claim: optional, retry: { attempts: 3, states: [TIMEOUT, ERROR] } }",
    "{ target: analytics, job: e, access: bucket_policy, max_concurrent_runs: 3, max_runs_per_hour: 60 }",
];
const KEYS: [&str; 5] =
    ["in/dt={dt}/{file}.csv", "in/{dt}/**", "**/{{x}}/{dt}/*", "in/dt={dt}/*", "{dt}/a*b{c}d"];

fn text(routes: &[(usize, usize, usize, usize, usize)]) -> String {
    let mut text =
        "version: 1\ntargets:\n  analytics: { account: \"222222222222\", region: eu-west-1, \
                    starter_role: landfall-starter, external_id: \"${LANDFALL_EXTERNAL_ID}\" }\n  \
                    elsewhere: { account: \"333333333333\", region: us-gov-west-1, \
                    starter_role: \"arn:aws-us-gov:iam::333333333333:role/x/y\" }\nroutes:\n"
            .to_owned();
    for (number, (key, condition, batch, start, reconcile)) in routes.iter().enumerate() {
        let bucket = ["acme", "other-bucket"][number % 2];
        text.push_str(&format!(
            "  - name: r{number}\n    bucket: {bucket}\n    key: \"{}\"\n    wide: true\n{}    batch: {}\n{}    start: {}\n",
            KEYS[*key], CONDITIONS[*condition], BATCHES[*batch], RECONCILIATIONS[*reconcile], STARTS[*start],
        ));
    }
    text
}

fn unusable(file: &[u8], text: &str) -> Unusable {
    unpackage(file.to_vec(), text.as_bytes()).expect_err("it isn't to be used")
}

proptest! {
    #[test]
    fn packaged_routes_are_those_of_their_text(
        routes in prop::collection::vec((0..5_usize, 0..3_usize, 0..4_usize, 0..5_usize, 0..3_usize), 1..6),
        keys in prop::collection::vec("(in/)?(dt=)?[1ü]/(\\{x\\}/)?[ab]{0,2}(_DONE|\\.csv)?", 1..20),
    ) {
        let text = text(&routes);
        let Parsed { routes: Some(parsed), problems } = Routes::parse(&text) else {
            return Err(TestCaseError::reject("some of it doesn't go together"));
        };
        let read = unpackage(package(&text).expect("it is valid"), text.as_bytes()).expect("it is undamaged");
        // Found first, so that each list is read in another order than it was packed.
        let (mut packaged, mut of_text) = (read.routes.finder(), parsed.finder());
        for key in &keys {
            prop_assert_eq!(packaged.find("acme", key), of_text.find("acme", key), "{}", key);
        }
        prop_assert_eq!(&read.routes.targets, &parsed.targets);
        prop_assert!(read.routes.routes.iter().eq(parsed.routes.iter()));
        prop_assert_eq!(read.warnings, problems.iter().map(ToString::to_string).collect::<Vec<_>>());
        prop_assert_eq!(format!("{:?}", read.routes), format!("{parsed:?}"));
    }

    #[test]
    fn no_damage_to_a_packaged_file_goes_unnoticed(at in any::<prop::sample::Index>(), change in 1..=255_u8) {
        let whole = package(VALID).expect("it is valid");
        let at = at.index(whole.len());
        prop_assert!(matches!(unusable(&whole[..at], VALID), Unusable::Damaged | Unusable::OtherVersion));
        let mut changed = whole.clone();
        changed[at] ^= change;
        prop_assert!(matches!(unusable(&changed, VALID), Unusable::Damaged | Unusable::OtherVersion));
        let longer = [whole, vec![change]].concat();
        prop_assert_eq!(unusable(&longer, VALID), Unusable::Damaged);
    }

    #[test]
    fn no_bytes_are_taken_for_packaged_routes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(unusable(&bytes, VALID), Unusable::Damaged);
    }
}

#[test]
fn each_of_the_texts_pieces_is_valid_somewhere() {
    let keys = (0..KEYS.len()).map(|key| (key, 0, 0, 0, 0));
    let conditions = (0..CONDITIONS.len()).map(|condition| (0, condition, 0, 0, 0));
    let batches = (0..BATCHES.len()).map(|batch| (0, 0, batch, 0, 0));
    let starts = (0..STARTS.len()).map(|start| (0, 0, 0, start, 0));
    let reconciliations = (0..RECONCILIATIONS.len()).map(|reconcile| (0, 0, 0, 0, reconcile));
    for pieces in keys.chain(conditions).chain(batches).chain(starts).chain(reconciliations) {
        let text = text(&[pieces]);
        let Parsed { routes, problems } = Routes::parse(&text);
        assert!(routes.is_some(), "{text}: {problems:?}");
    }
}

#[test]
fn packaged_routes_count_only_beside_their_very_text() {
    let file = package(VALID).expect("it is valid");
    let changed = VALID.replace("job: orders-to-parquet", "job: orders-to-parqueT");
    for text in [&changed, &VALID[1..], &format!("{VALID}\n"), "", VALID.trim_end()] {
        assert_eq!(unusable(&file, text), Unusable::OtherText);
    }
    assert!(unpackage(file, VALID.as_bytes()).is_ok());
}

#[test]
fn packaged_routes_count_only_for_the_version_that_made_them() {
    let file = String::from_utf8(package(VALID).expect("it is valid")).expect("it is text");
    let other = file.replacen(env!("CARGO_PKG_VERSION"), "0.0.9", 1);
    assert_eq!(unusable(other.as_bytes(), VALID), Unusable::OtherVersion);
}

#[test]
fn invalid_routes_and_those_that_hold_an_external_id_are_not_packaged() {
    assert_eq!(package("version: 1\n"), None);
    let text = VALID.replace("${LANDFALL_EXTERNAL_ID}", "\"it-is-3f2a91c07b55d8e6\"");
    assert!(Routes::parse(&text).routes.is_some());
    assert_eq!(package(&text), None);
}

/// If this changes, count up the version of the form: whoever deploys may have packaged with the code of yesterday.
#[test]
fn the_form_of_packaged_routes() {
    let text = text(&[(0, 1, 2, 2, 2)]);
    let file = package(&text).expect("it is valid");
    let file = String::from_utf8(file).expect("it is text").replace(&text, "TEXT\n");
    let (line, rest) = file.split_once('\n').expect("it has lines");
    let line = line.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    expect![[r#"
        landfall-routes VERSION/1 fadd0bae
        {"warnings":["4:3: warning: target `elsewhere` has no `external_id` (with one, only someone who knows it can make the trigger's account assume the role: external_id: ${LANDFALL_EXTERNAL_ID})"],"targets":{"analytics":{"account":"222222222222","region":"eu-west-1","starter_role_arn":"arn:aws:iam::222222222222:role/landfall-starter","external_id_variable":"LANDFALL_EXTERNAL_ID"},"elsewhere":{"account":"333333333333","region":"us-gov-west-1","starter_role_arn":"arn:aws-us-gov:iam::333333333333:role/x/y","external_id_variable":null}},"with_marker":[0],"text":704,"routes":[821],"router":{"acme":[83,133,135,78]},"markers":{"acme":[83,133,86,78]}}TEXT
        {"name":"r0","bucket":"acme","key":"in/dt={dt}/{file}.csv","wide":true,"condition":{"min_bytes":1,"max_bytes":70000000000,"directory_markers":false},"by":["dt"],"closing":{"window_secs":null,"quiet_secs":60,"settle_secs":10,"max_objects":null},"marker":"in/dt={dt}/_DONE","target":"analytics","job":"b","announce":true,"arguments":{"--x":{"parts":[{"Text":"{"},
        {"Name":"dt"},
        {"Text":"} \"ü\""}]},"--y":{"parts":[{"Name":"count"}]}},"limits":{"max_concurrent_runs":null,"max_runs_per_hour":null},"retry":{"attempts":1,"states":["FAILED","TIMEOUT","ERROR"]},"scope":"job","claim":"required","access":"role","reconcile":{"every":{"secs":172800,"nanos":0},"look_back":{"secs":777600,"nanos":0},"grace":{"secs":7200,"nanos":0},"action":"report","inventory":{"bucket":"inventories","prefix":"acme/all/"},"prune_by_date":null}}
        {"literals":{"in":1},"shapes":{},"lengths":[],"any":null,"stays":false,"routes":[]}
        {"literals":{},"shapes":{"dt=":{"":[[[{"Literal":"dt="},
        {"Capture":""}],2]]}},"lengths":[[3,0]],"any":null,"stays":false,"routes":[]}
        {"literals":{},"shapes":{"":{".csv":[[[{"Capture":""},
        {"Literal":".csv"}],3]]}},"lengths":[[0,4]],"any":null,"stays":false,"routes":[]}
        {"literals":{},"shapes":{},"lengths":[],"any":null,"stays":false,"routes":[0]}
        {"literals":{"in":1},"shapes":{},"lengths":[],"any":null,"stays":false,"routes":[]}
        {"literals":{},"shapes":{"dt=":{"":[[[{"Literal":"dt="},
        {"Capture":""}],2]]}},"lengths":[[3,0]],"any":null,"stays":false,"routes":[]}
        {"literals":{"_DONE":3},"shapes":{},"lengths":[],"any":null,"stays":false,"routes":[]}
        {"literals":{},"shapes":{},"lengths":[],"any":null,"stays":false,"routes":[0]}
    "#]].assert_eq(&format!(
        "{line}\n{}\n",
        rest.replace("},{\"", "},\n{\"").replace("}{", "}\n{")
    ));
}
