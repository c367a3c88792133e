use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::pattern::Pattern;

const QUEUE: &str = "arn:aws:sqs:eu-west-1:111111111111:landfall";
const FUNCTION: &str = "arn:aws:lambda:eu-west-1:111111111111:function:thumbnails";

fn filter(prefix: &str, suffix: &str) -> Filter {
    Filter { prefix: prefix.to_owned(), suffix: suffix.to_owned() }
}

fn desired(filters: &[Filter]) -> Desired {
    Desired {
        owner: "trigger".to_owned(),
        destination: Destination::Queue(QUEUE.to_owned()),
        filters: filters.to_vec(),
    }
}

fn entry(id: &str, arn: &str, events: &[&str], filter_rules: &[(&str, &str)]) -> Entry {
    Entry {
        id: Some(id.to_owned()),
        arn: arn.to_owned(),
        events: events.iter().map(|event| (*event).to_owned()).collect(),
        filter_rules: filter_rules
            .iter()
            .map(|(name, value)| FilterRule {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
            })
            .collect(),
    }
}

fn with_function(entry: Entry) -> Configuration {
    Configuration { functions: vec![entry], ..Configuration::default() }
}

/// Checks the filters of patterns, a line each, then the widenings.
#[track_caller]
fn check_filters(patterns: &[&str], expected: Expect) {
    let patterns: Vec<Pattern> =
        patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
    let found = Filters::of(patterns.iter().map(|pattern| ("orders", pattern)));
    let mut text = String::new();
    for filter in &found.filters {
        text += &format!("{filter}\n");
    }
    for widening in &found.widenings {
        text += &format!("widened: {widening}\n");
    }
    expected.assert_eq(&text);
}

#[track_caller]
fn check_conflict(current: &Configuration, filters: &[Filter], expected: Expect) {
    let conflict = merge(current, &desired(filters)).expect_err("a conflict");
    expected.assert_eq(&format!("{}: {conflict}", conflict.code()));
}

#[test]
fn filters_are_the_literal_ends_of_patterns() {
    check_filters(
        &["in/{day}/{file}.csv", "out/**/manifest.json", "one/file.txt"],
        expect![[r#"
            prefix `in/`, suffix `.csv`
            prefix `one/file.txt`
            prefix `out/`, suffix `manifest.json`
        "#]],
    );
    check_filters(
        &["**"],
        expect![[r#"
        all keys
    "#]],
    );
    check_filters(&[], expect![[r#""#]]);
}

#[test]
fn a_filter_is_cut_at_characters_that_are_not_safe() {
    check_filters(
        &["in/dt={dt}/{file} v2.csv", "größe/**/Ärger.csv"],
        expect![[r#"
            prefix `gr`, suffix `rger.csv`
            prefix `in/dt`, suffix `v2.csv`
            widened: route `orders`: S3 sends events for all keys that begin with `gr`, not only with `größe/`, which has characters that aren't safe in a filter
            widened: route `orders`: S3 sends events for all keys that begin with `in/dt`, not only with `in/dt=`, which has characters that aren't safe in a filter
            widened: route `orders`: S3 sends events for all keys that end with `v2.csv`, not only with ` v2.csv`, which has characters that aren't safe in a filter
            widened: route `orders`: S3 sends events for all keys that end with `rger.csv`, not only with `Ärger.csv`, which has characters that aren't safe in a filter
        "#]],
    );
}

#[test]
fn filters_that_overlap_become_one() {
    check_filters(
        &["a/{f}.csv", "a/b/{f}.csv"],
        expect![[r#"
        prefix `a/`, suffix `.csv`
    "#]],
    );
    check_filters(
        &["a/{f}.csv", "a/b/{f}"],
        expect![[r#"
            prefix `a/`
            widened: S3 refuses filters that overlap, so it sends events for prefix `a/` instead of (prefix `a/`, suffix `.csv`) and (prefix `a/b/`)
        "#]],
    );
    check_filters(
        &["a/{f}.csv", "a/{f}.json", "b/{f}.csv"],
        expect![[r#"
        prefix `a/`, suffix `.csv`
        prefix `a/`, suffix `.json`
        prefix `b/`, suffix `.csv`
    "#]],
    );
    // The first two filters don't overlap. The third one overlaps both.
    check_filters(
        &["a/x/{f}.csv", "a/y/{f}.csv", "a/{f}.v.csv"],
        expect![[r#"
            prefix `a/`, suffix `.csv`
            widened: S3 refuses filters that overlap, so it sends events for prefix `a/`, suffix `.csv` instead of (prefix `a/`, suffix `.v.csv`) and (prefix `a/x/`, suffix `.csv`) and (prefix `a/y/`, suffix `.csv`)
        "#]],
    );
}

#[test]
fn merging_adds_ours_behind_the_others() {
    let other = entry("images", QUEUE, &["s3:ObjectRemoved:*"], &[("Suffix", ".png")]);
    let current = Configuration {
        queues: vec![other.clone()],
        event_bridge: true,
        ..Configuration::default()
    };
    let merged = merge(&current, &desired(&[filter("in/", ""), filter("", ".csv")])).unwrap();
    expect![[r#"
        [
            Entry {
                id: Some(
                    "landfall-trigger-09ddfe1e",
                ),
                arn: "arn:aws:sqs:eu-west-1:111111111111:landfall",
                events: [
                    "s3:ObjectCreated:*",
                ],
                filter_rules: [
                    FilterRule {
                        name: "suffix",
                        value: ".csv",
                    },
                ],
            },
            Entry {
                id: Some(
                    "landfall-trigger-13911520",
                ),
                arn: "arn:aws:sqs:eu-west-1:111111111111:landfall",
                events: [
                    "s3:ObjectCreated:*",
                ],
                filter_rules: [
                    FilterRule {
                        name: "prefix",
                        value: "in/",
                    },
                ],
            },
        ]
    "#]]
    .assert_debug_eq(&merged.unwrap().queues[1..].to_vec());
}

#[test]
fn another_spelling_of_what_is_wanted_is_no_change() {
    let desired = desired(&[filter("in/", ".csv"), filter("out/", "")]);
    let mut read = merge(&Configuration::default(), &desired).unwrap().unwrap();
    // S3 responds in its own order and spelling.
    read.queues.reverse();
    for rule in read.queues.iter_mut().flat_map(|entry| &mut entry.filter_rules) {
        rule.name = if rule.name == "prefix" { "Prefix" } else { "Suffix" }.to_owned();
    }
    let empty = FilterRule { name: "Suffix".to_owned(), value: String::new() };
    read.queues[0].filter_rules.insert(0, empty);
    assert_eq!(merge(&read, &desired), Ok(None));
}

#[test]
fn an_entry_of_ours_that_somebody_changed_is_put_right() {
    let desired = desired(&[filter("in/", "")]);
    let good = merge(&Configuration::default(), &desired).unwrap().unwrap();
    let mut narrowed = good.clone();
    narrowed.queues[0].events = vec!["s3:ObjectCreated:Put".to_owned()];
    assert_eq!(merge(&narrowed, &desired), Ok(Some(good)));
}

#[test]
fn another_queue_replaces_our_entries() {
    let mut desired = desired(&[filter("in/", "")]);
    let first = merge(&Configuration::default(), &desired).unwrap().unwrap();
    desired.destination = Destination::Queue("arn:aws:sqs:eu-west-1:111111111111:new".to_owned());
    let second = merge(&first, &desired).unwrap().unwrap();
    assert_eq!(second.queues.len(), 1);
    assert_ne!(second.queues[0].id, first.queues[0].id);
}

#[test]
fn event_bridge_takes_the_place_of_our_entries_and_is_never_switched_off() {
    let mut desired = desired(&[filter("in/", "")]);
    let first = merge(&Configuration::default(), &desired).unwrap().unwrap();
    desired.destination = Destination::EventBridge;
    let second = merge(&first, &desired).unwrap().unwrap();
    assert_eq!(second, Configuration { event_bridge: true, ..Configuration::default() });
    assert_eq!(merge(&second, &desired), Ok(None));
    assert_eq!(without(&second, "trigger"), None);
}

#[test]
fn event_bridge_stands_beside_any_rule() {
    let current = with_function(entry("all", FUNCTION, &[EVENT], &[]));
    let desired = Desired { destination: Destination::EventBridge, ..desired(&[filter("", "")]) };
    assert!(merge(&current, &desired).unwrap().unwrap().event_bridge);
}

#[test]
fn a_rule_in_the_way_is_named_with_both_filters_and_a_hint() {
    let put = &["s3:ObjectRemoved:*", "s3:ObjectCreated:Put"];
    check_conflict(
        &with_function(entry("thumbnails", FUNCTION, put, &[("Prefix", "in/images/")])),
        &[filter("in/", ""), filter("out/", "")],
        expect![
            "notifications_overlap: rule `thumbnails`, which sends `s3:ObjectRemoved:*`, `s3:ObjectCreated:Put` for prefix `in/images/` to function `arn:aws:lambda:eu-west-1:111111111111:function:thumbnails`, overlaps ours for prefix `in/` (narrow the other rule or the routes' keys, or use EventBridge as the destination, which conflicts with no rule)"
        ],
    );
}

#[test]
fn filters_of_others_are_compared_decoded_and_put_back_as_they_were() {
    let other =
        |value: &str| with_function(entry("theirs", FUNCTION, &[EVENT], &[("Prefix", value)]));
    for value in ["orders%2F2026", "orders%2f", "%6Frders/", "orders/%zz"] {
        assert!(merge(&other(value), &desired(&[filter("orders/", "")])).is_err(), "{value}");
    }
    for value in ["orders%252F2026", "orders%20/", "orders%2", "%ff%fe"] {
        let current = other(value);
        let merged = merge(&current, &desired(&[filter("orders/", "")])).unwrap().unwrap();
        assert_eq!(merged.functions, current.functions, "{value}");
    }
}

#[test]
fn a_foreign_rule_that_does_what_we_want_is_named_as_such() {
    let other = entry("by-hand", QUEUE, &[EVENT], &[("prefix", "in/")]);
    check_conflict(
        &Configuration { queues: vec![other], ..Configuration::default() },
        &[filter("in/", "")],
        expect![
            "notifications_overlap: the bucket already has a rule for the same queue: `by-hand` for prefix `in/` overlaps ours for prefix `in/` (remove the other rule: Landfall adds its own)"
        ],
    );
}

#[test]
fn the_rule_of_another_deployment_is_foreign() {
    let other = Desired { owner: "trigger-2".to_owned(), ..desired(&[filter("", "")]) };
    let current = merge(
        &Configuration::default(),
        &Desired {
            destination: Destination::Queue("arn:aws:sqs:eu-west-1:111111111111:other".to_owned()),
            ..other
        },
    );
    let current = current.unwrap().unwrap();
    check_conflict(
        &current,
        &[filter("in/", "")],
        expect![
            "notifications_overlap: rule `landfall-trigger-2-bc0354d6`, which sends `s3:ObjectCreated:*` for all keys to queue `arn:aws:sqs:eu-west-1:111111111111:other`, overlaps ours for prefix `in/` (rules whose ID begins with `landfall-` belong to another deployment: remove that deployment, or put all routes of the bucket into one)"
        ],
    );
    assert_eq!(without(&current, "trigger"), None);
    assert_eq!(without(&current, "trigger-2"), Some(Configuration::default()));
}

#[test]
fn rules_for_other_events_or_other_keys_are_not_in_the_way() {
    for other in [
        entry("removed", FUNCTION, &["s3:ObjectRemoved:*"], &[]),
        entry("elsewhere", FUNCTION, &[EVENT], &[("prefix", "inn")]),
        entry("images", FUNCTION, &[EVENT], &[("SUFFIX", ".png")]),
    ] {
        let merged = merge(&with_function(other), &desired(&[filter("in/", ".csv")]));
        assert!(merged.unwrap().is_some());
    }
}

#[test]
fn a_filter_rule_by_an_unknown_name_is_taken_to_admit_all_keys() {
    let other = entry("new", FUNCTION, &[EVENT], &[("size", "1")]);
    assert!(merge(&with_function(other), &desired(&[filter("in/", "")])).is_err());
}

#[test]
fn the_rules_of_a_bucket_are_counted_together() {
    let others = |number: usize| Configuration {
        topics: (0..number)
            .map(|at| entry(&at.to_string(), "topic", &[EVENT], &[("prefix", &format!("{at}/"))]))
            .collect(),
        ..Configuration::default()
    };
    let ours = [filter("in/", ""), filter("out/", "")];
    assert!(merge(&others(98), &desired(&ours)).unwrap().is_some());
    check_conflict(
        &others(99),
        &ours,
        expect![
            "notifications_too_many: a bucket can have at most 100 notification rules: there are 99 others, and the routes need 2 (make routes share the beginning and the end of their keys, or use EventBridge as the destination, which needs no rules)"
        ],
    );
}

fn patterns() -> impl Strategy<Value = Vec<String>> {
    let segment = prop_oneof!["[ab= ]{1,2}", "[ab]?\\*[ab%]?", Just("**".to_owned())];
    let pattern = prop::collection::vec(segment, 1..4).prop_map(|segments| segments.join("/"));
    let valid = pattern.prop_filter("a pattern", |text| Pattern::parse(text).is_ok());
    prop::collection::vec(valid, 0..6)
}

fn filters_of(patterns: &[String]) -> Filters {
    let patterns: Vec<Pattern> =
        patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
    Filters::of(patterns.iter().map(|pattern| ("r", pattern)))
}

/// Generates any rule of somebody else. The IDs of some look almost like ours.
fn foreign_entry() -> impl Strategy<Value = Entry> {
    let id =
        prop_oneof!["[a-z]{1,3}", "landfall-trigger-[0-9a-f]{7}", "landfall-trigger-b-[0-9a-f]{8}"];
    let event =
        prop::sample::select(vec![EVENT, "s3:ObjectCreated:Put", "s3:ObjectRemoved:*", "s3:New"]);
    let rule = (prop::sample::select(vec!["prefix", "Prefix", "suffix", "Suffix"]), "[ab/]{0,3}");
    (
        prop::option::of(id),
        "[a-z]{3}",
        prop::collection::vec(event, 1..3),
        prop::collection::vec(rule, 0..3),
    )
        .prop_map(|(id, arn, events, rules)| {
            let rules: Vec<_> = rules.iter().map(|(name, value)| (*name, value.as_str())).collect();
            Entry { id, ..entry("", &arn, &events, &rules) }
        })
}

fn foreign() -> impl Strategy<Value = Configuration> {
    let entries = || prop::collection::vec(foreign_entry(), 0..3);
    (entries(), entries(), entries(), any::<bool>()).prop_map(
        |(topics, queues, functions, event_bridge)| Configuration {
            topics,
            queues,
            functions,
            event_bridge,
        },
    )
}

proptest! {
    #[test]
    fn every_key_that_a_pattern_matches_passes_exactly_one_filter(
        patterns in patterns(),
        key in "[ab/= %]{0,6}",
    ) {
        let found = filters_of(&patterns);
        if patterns.iter().any(|text| Pattern::parse(text).unwrap().captures(&key).is_some()) {
            let admitting = found.filters.iter().filter(|filter| filter.admits(&key)).count();
            prop_assert_eq!(admitting, 1, "{:?}", found);
        }
    }

    #[test]
    fn filters_never_overlap_and_do_not_depend_on_the_order_of_routes(
        (patterns, shuffled) in patterns()
            .prop_flat_map(|patterns| (Just(patterns.clone()), Just(patterns).prop_shuffle())),
    ) {
        let found = filters_of(&patterns);
        prop_assert_eq!(&found, &filters_of(&shuffled));
        for (at, filter) in found.filters.iter().enumerate() {
            prop_assert!(found.filters[at + 1..].iter().all(|other| !other.overlaps(filter)));
            prop_assert!(!filter.prefix.contains(['=', ' ', '%', '*']));
            prop_assert!(!filter.suffix.contains(['=', ' ', '%', '*']));
        }
    }

    #[test]
    fn merging_twice_is_merging_once(current in foreign(), patterns in patterns()) {
        let desired = desired(&filters_of(&patterns).filters);
        if let Ok(Some(merged)) = merge(&current, &desired) {
            prop_assert_eq!(merge(&merged, &desired), Ok(None));
        }
    }

    #[test]
    fn a_repair_of_a_bucket_that_has_nothing_of_ours_only_adds(
        mut current in foreign(),
        patterns in patterns(),
        has_ours in any::<bool>(),
        is_by_event_bridge in any::<bool>(),
    ) {
        let mut desired = desired(&filters_of(&patterns).filters);
        if has_ours {
            current.queues.push(Entry::ours("trigger", "another", &filter("a/", "")));
        }
        if is_by_event_bridge {
            desired.destination = Destination::EventBridge;
        }
        let is_told = is_by_event_bridge && current.event_bridge;
        prop_assert_eq!(is_gone(&current, &desired), !has_ours && !is_told);
        if is_gone(&current, &desired) && let Ok(Some(mut merged)) = merge(&current, &desired) {
            merged.retain_foreign("trigger");
            prop_assert!(merged.event_bridge == current.event_bridge || is_by_event_bridge);
            merged.event_bridge = current.event_bridge;
            prop_assert_eq!(merged, current);
        }
    }

    #[test]
    fn other_peoples_entries_survive_an_addition_and_a_removal_field_for_field(
        current in foreign(),
        patterns in patterns(),
        more in patterns(),
    ) {
        let mut merged = current.clone();
        for patterns in [patterns, more] {
            match merge(&merged, &desired(&filters_of(&patterns).filters)) {
                Ok(Some(next)) => merged = next,
                Ok(None) => {}
                // A conflict changes nothing.
                Err(_) => return Ok(()),
            }
            let foreign = |entry: &&Entry| !entry.is_of("trigger");
            let queues: Vec<&Entry> = merged.queues.iter().filter(foreign).collect();
            prop_assert_eq!(queues, current.queues.iter().collect::<Vec<_>>());
        }
        prop_assert_eq!(without(&merged, "trigger").unwrap_or(merged), current);
    }

    #[test]
    fn what_is_put_never_has_a_rule_of_ours_that_overlaps_any_other(
        current in foreign(),
        patterns in patterns(),
    ) {
        let Ok(Some(merged)) = merge(&current, &desired(&filters_of(&patterns).filters)) else {
            return Ok(());
        };
        let rules: Vec<&Entry> = merged.rules().map(|(_, entry)| entry).collect();
        for (at, ours) in rules.iter().enumerate().filter(|(_, entry)| entry.is_of("trigger")) {
            for (_, other) in rules.iter().enumerate().filter(|(other, _)| *other != at) {
                let hears_of_creation =
                    other.events.iter().any(|event| event.starts_with("s3:ObjectCreated:"));
                prop_assert!(!hears_of_creation || !ours.filter().overlaps(&other.filter()));
            }
        }
    }
}
