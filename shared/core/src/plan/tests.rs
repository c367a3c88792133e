mod display;

use std::collections::BTreeSet;

use expect_test::expect;
use proptest::prelude::*;

use super::*;
use crate::arrivals::tests::arrival;
use crate::arrivals::{EventTime, Listing};
use crate::batch::{Manifest, Member};

const ROUTES: &str = r#"version: 1
targets:
  analytics: { account: "222222222222", region: eu-west-1, starter_role: s, external_id: "${X}" }
routes:
  - name: orders
    bucket: landing
    key: "orders/dt={dt}/{file}.csv"
    where: { min_bytes: 1 }
    batch: { by: [dt] }
    start: { target: analytics, job: orders, arguments: { "--dt": "{dt}", "--n": "{count} of {bytes} bytes" } }
  - name: each
    bucket: landing
    key: "**/{file}.csv"
    batch: { max_objects: 1 }
    start: { target: analytics, job: each, arguments: { "--uri": "{object_uri}", "--name": "{file}" } }
  - name: pairs
    bucket: landing
    key: "pairs/**"
    batch: { max_objects: 2 }
    start: { target: analytics, job: pairs }
  - name: days
    bucket: landing
    key: "days/d={d}/{f}"
    batch: { by: [d], marker: _SUCCESS, window: 1h, max_objects: 2 }
    start: { target: analytics, job: days, arguments: { "--count": "{count}" } }
  - name: timed
    bucket: timed
    key: "**"
    start: { target: analytics, job: timed, arguments: { "--at": "{event_time}" } }
  - name: everything
    bucket: everything
    key: "{a}/**"
    batch: { by: [a], max_objects: 1 }
    start:
      target: analytics
      job: everything
      arguments: { "--all": "{a}{bucket}{key}{object_uri}{batch_id}{count}{bytes}{event_time}" }
"#;

fn routes() -> Routes {
    let parsed = Routes::parse(ROUTES);
    parsed.routes.unwrap_or_else(|| panic!("{:?}", parsed.problems))
}

fn plan_of(arrivals: &[Arrival]) -> Plan {
    plan(&routes(), arrivals)
}

fn versioned(key: &str, sequencer: &str) -> Arrival {
    Arrival { sequencer: Some(sequencer.to_owned()), ..arrival("landing", key) }
}

#[test]
fn a_plan_reads_like_what_will_happen() {
    let full = Arrival {
        size: Some(42),
        etag: Some("e".to_owned()),
        version_id: Some("v".to_owned()),
        ..versioned("orders/dt=2026-01-31/ü.csv", "01")
    };
    expect![[r#"
        start job `orders` in `analytics` by route `orders`: 1 object, 42 bytes
          group dt = 2026-01-31
          --dt 2026-01-31
          --n 1 of 42 bytes
        start job `each` in `analytics` by route `each`: 1 object, 42 bytes
          --name ü
          --uri s3://landing/orders/dt=2026-01-31/ü.csv
        1 arrival matches no route
    "#]]
    .assert_eq(&plan_of(&[full, arrival("landing", "notes.txt")]).to_string());
}

#[test]
fn objects_of_a_group_share_a_run_and_groups_do_not() {
    let plan = plan_of(&[
        arrival("landing", "orders/dt=1/a.csv"),
        arrival("landing", "orders/dt=2/a.csv"),
        arrival("landing", "orders/dt=1/b.csv"),
    ]);
    let served: Vec<_> = plan
        .requests
        .iter()
        .filter(|r| r.draft.route == "orders")
        .map(|r| r.arrivals.clone())
        .collect();
    assert_eq!(served, [vec![0, 2], vec![1]]);
    assert_eq!(plan.requests.iter().filter(|r| r.draft.route == "each").count(), 3);
}

#[test]
fn an_arrival_that_comes_twice_is_one_object() {
    let plan = plan_of(&[versioned("pairs/a", "01"), versioned("pairs/a", "01")]);
    assert_eq!(plan.requests.len(), 1);
    assert_eq!((plan.requests[0].objects, &plan.requests[0].arrivals), (1, &vec![0, 1]));
}

#[test]
fn an_overwritten_object_is_read_once_in_its_newest_version() {
    let newer = Arrival { etag: Some("new".to_owned()), ..versioned("pairs/a", "02") };
    let plan = plan_of(&[newer, versioned("pairs/a", "0100")]);
    assert_eq!((plan.requests[0].objects, &plan.requests[0].arrivals), (1, &vec![0, 1]));
    assert_eq!(plan.requests[0].draft.members.len(), 2, "both versions are served");
    let manifest = Manifest::of(plan.requests[0].draft.members.clone()).json("landing");
    assert!(manifest.contains("\"etag\":\"new\""), "{manifest}");
}

#[test]
fn a_batch_has_at_most_max_objects() {
    let arrivals: Vec<Arrival> =
        (0..5).map(|n| arrival("landing", &format!("pairs/{n}"))).collect();
    let sizes: Vec<usize> =
        plan_of(&arrivals).requests.iter().map(|request| request.objects).collect();
    assert_eq!(sizes, [2, 2, 1]);
}

#[test]
fn a_group_of_any_size_is_one_request() {
    let arrivals: Vec<Arrival> =
        (0..500).map(|n| arrival("landing", &format!("orders/dt=1/{n:0>1000}.csv"))).collect();
    let plan = plan_of(&arrivals);
    let sizes = plan.requests.iter().filter(|r| r.draft.route == "orders").map(|r| r.objects);
    assert_eq!(sizes.collect::<Vec<_>>(), [500]);
}

#[test]
fn a_marker_is_no_member_and_goes_with_the_group_of_its_folder() {
    let marker = Arrival { size: Some(0), ..arrival("landing", "days/d=1/_SUCCESS") };
    let plan = plan_of(&[
        arrival("landing", "days/d=1/a"),
        marker.clone(),
        arrival("landing", "days/d=2/a"),
        marker,
    ]);
    let days: Vec<_> = plan
        .requests
        .iter()
        .map(|r| {
            (r.draft.group["d"].as_str(), r.objects, r.draft.markers.len(), r.arrivals.clone())
        })
        .collect();
    assert_eq!(days, [("1", 1, 1, vec![0, 1, 3]), ("2", 1, 0, vec![2])]);
}

#[test]
fn a_marker_alone_is_asked_for_too() {
    let plan = plan_of(&[arrival("landing", "days/d=1/_SUCCESS")]);
    let request = &plan.requests[0];
    assert_eq!((request.objects, request.draft.markers.len(), &request.arrivals), (0, 1, &vec![0]));
    assert!(!request.arguments.contains_key("--count"), "nothing is known of its objects yet");
}

#[test]
fn a_marker_goes_with_the_last_of_a_group_that_is_split() {
    let mut arrivals: Vec<Arrival> =
        (0..3).map(|n| arrival("landing", &format!("days/d=1/{n}"))).collect();
    arrivals.push(arrival("landing", "days/d=1/_SUCCESS"));
    let plan = plan_of(&arrivals);
    let shape: Vec<_> = plan.requests.iter().map(|r| (r.objects, r.draft.markers.len())).collect();
    assert_eq!(shape, [(2, 0), (1, 1)]);
}

#[test]
fn a_value_that_would_begin_with_a_dash_is_refused_and_its_siblings_go_on() {
    let plan = plan_of(&[arrival("landing", "x/-rf.csv"), arrival("landing", "x/a.csv")]);
    assert_eq!(plan.requests.len(), 1);
    let reason = RefusalReason::LeadingDash { argument: "--name".to_owned() };
    assert_eq!(plan.refusals, [Refusal { arrival: 0, route: "each".to_owned(), reason }]);
}

#[test]
fn a_message_of_which_anything_is_refused_starts_nothing_and_other_messages_do() {
    let arrivals =
        ["orders/dt=1/a.csv", "x/-rf.csv", "orders/dt=1/b.csv"].map(|key| arrival("landing", key));
    let plan = plan_messages(&routes(), &arrivals, &[0, 0, 1]);
    let refused: Vec<usize> = plan.refusals.iter().map(|refusal| refusal.arrival).collect();
    assert_eq!(refused, [1]);
    assert!(plan.requests.iter().all(|request| request.arrivals == [2]));
    assert_eq!(plan.requests.len(), 2, "by `orders` and by `each`");
}

#[test]
fn a_value_with_a_nul_is_refused() {
    let plan = plan_of(&[arrival("landing", "x/a\0.csv")]);
    let reason = RefusalReason::Nul { argument: "--name".to_owned() };
    assert_eq!((plan.requests.len(), &plan.refusals[0].reason), (0, &reason));
}

#[test]
fn a_value_that_the_event_does_not_tell_is_refused() {
    let known = Arrival {
        event_time: EventTime::parse("2026-01-31T01:00:00+01:00"),
        ..arrival("timed", "a")
    };
    assert_eq!(plan_of(&[known]).requests[0].arguments["--at"], "2026-01-31T00:00:00Z");
    let plan = plan_of(&[arrival("timed", "a")]);
    assert_eq!((plan.requests.len(), plan.refusals.len()), (0, 1));
}

#[test]
fn a_size_that_an_event_does_not_tell_is_not_taken_for_zero() {
    let unknown = Arrival { size: None, ..arrival("landing", "orders/dt=1/b.csv") };
    let plan = plan_of(&[arrival("landing", "orders/dt=1/a.csv"), unknown]);
    let reason =
        RefusalReason::UnknownValue { argument: "--n".to_owned(), value: "bytes".to_owned() };
    assert_eq!(plan.refusals[0].reason, reason);
    let each: Vec<_> = plan.requests.iter().map(|request| request.bytes).collect();
    assert_eq!(each, [Some(1), None]);
}

#[test]
fn directory_markers_and_empty_objects_are_left_out() {
    let marker = Arrival { size: Some(0), ..arrival("landing", "pairs/x/") };
    let empty = Arrival { size: Some(0), ..arrival("landing", "orders/dt=1/a.csv") };
    let plan = plan_of(&[marker, empty]);
    assert_eq!(plan.unmatched, [0]);
    assert!(plan.requests.iter().all(|request| request.draft.route == "each"));
}

fn any_arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let key = prop_oneof![
        "orders/dt=[12]/[abc]\\.csv",
        "pairs/[abcd]",
        "days/d=[12]/([ab]|_SUCCESS)",
        "x/-?[ab]\\.csv",
        "[a-c/]{1,6}",
    ];
    let any = (
        key,
        0..3u64,
        prop::option::of("0[12]"),
        prop::option::of("[vw]"),
        prop::sample::select(vec!["landing", "timed"]),
    );
    prop::collection::vec(
        any.prop_map(|(key, size, sequencer, version_id, bucket)| Arrival {
            size: Some(size),
            sequencer,
            version_id,
            ..arrival(bucket, &key)
        }),
        0..30,
    )
}

/// The plan without what depends on positions.
fn essence(plan: &Plan) -> BTreeMap<String, (BTreeMap<String, String>, Vec<Member>)> {
    let requests = plan.requests.iter();
    requests.map(|r| (r.batch_id.clone(), (r.arguments.clone(), r.draft.members.clone()))).collect()
}

proptest! {
    /// Whatever an event says, reading it and planning for it end.
    #[test]
    fn no_event_makes_planning_panic(
        keys in prop::collection::vec("\\PC{1,20}", 1..4),
        sequencers in prop::collection::vec("[0-9A-F]{0,20}|\\PC{0,40}", 4),
        time in "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})|0000-01-01T00:00:00\\+01:00",
        size in any::<u64>(),
    ) {
        let records: Vec<_> = keys
            .iter()
            .chain(&keys)
            .zip(sequencers.iter().cycle())
            .map(|(key, sequencer)| serde_json::json!({
                "eventName": "ObjectCreated:Put", "eventTime": time,
                "s3": {
                    "bucket": { "name": "everything" },
                    "object": { "key": key.replace('%', "%25"), "size": size, "sequencer": sequencer },
                },
            }))
            .collect();
        let event = serde_json::value::to_raw_value(&serde_json::json!({ "Records": records })).unwrap();
        let messages = crate::arrivals::Intake::read(&event, None).unwrap().messages;
        for content in messages.into_iter().filter_map(|message| message.content.ok()) {
            let _ = plan_of(&content.arrivals).to_string();
        }
    }

    #[test]
    fn a_plan_covers_every_matching_arrival_exactly_once_per_route(arrivals in any_arrivals()) {
        let routes = routes();
        let plan = plan_of(&arrivals);
        for route in routes.routes.iter() {
            let mut expected: Vec<usize> = (0..arrivals.len())
                .filter(|index| matches!(
                    route.judge(&arrivals[*index]),
                    Verdict::Matches(_) | Verdict::Marker(_)
                ))
                .collect();
            let started = plan.requests.iter().filter(|r| r.draft.route == route.name).flat_map(|r| r.arrivals.clone());
            let refused = plan.refusals.iter().filter(|r| r.route == route.name).map(|r| r.arrival);
            let mut covered: Vec<usize> = started.chain(refused).collect();
            covered.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(covered, expected, "{}", &route.name);
        }
    }

    #[test]
    fn grouping_does_not_depend_on_the_order_of_arrival(
        (arrivals, shuffled) in any_arrivals().prop_flat_map(|a| (Just(a.clone()), Just(a).prop_shuffle())),
    ) {
        prop_assert_eq!(essence(&plan_of(&arrivals)), essence(&plan_of(&shuffled)));
    }

    #[test]
    fn two_batches_never_share_an_id(arrivals in any_arrivals()) {
        let plan = plan_of(&arrivals);
        let ids: BTreeSet<&str> = plan.requests.iter().map(|r| r.batch_id.as_str()).collect();
        prop_assert_eq!(ids.len(), plan.requests.len());
    }
}

#[test]
fn what_a_listing_found_goes_to_the_route_of_the_listing_in_batches_of_its_own() {
    let listing = Listing {
        id: "backfill-1".to_owned(),
        route: "orders".to_owned(),
        again: false,
        max_runs_per_hour: None,
    };
    let announced = arrival("landing", "orders/dt=1/a.csv");
    let found = |key: &str| Arrival { listing: Some(listing.clone()), ..arrival("landing", key) };
    let plan = plan_of(&[announced, found("orders/dt=1/a.csv"), found("days/d=1/x")]);
    let told = plan.requests.iter().map(|request| {
        let Draft { route, listing, closing, members, .. } = &request.draft;
        let times = (closing.window_secs, closing.quiet_secs, closing.max_objects);
        (route.as_str(), listing.as_deref(), times, members.len())
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ("orders", None, (None, None, None), 1),
            ("orders", Some("backfill-1"), (None, Some(300), Some(10_000)), 1),
            ("each", None, (None, None, Some(1)), 1),
        ]
    );
    assert_eq!(plan.unmatched, [2], "the route of the listing does not take it");
    let limits = |limits: [Option<u32>; 2]| {
        let found = limits.iter().enumerate().map(|(n, max_runs_per_hour)| {
            let listing = Listing { max_runs_per_hour: *max_runs_per_hour, ..listing.clone() };
            let key = format!("orders/dt=1/{n}.csv");
            Arrival { listing: Some(listing), ..arrival("landing", &key) }
        });
        let [request] = &plan_of(&found.collect::<Vec<_>>()).requests[..] else {
            panic!("one batch")
        };
        let limit = request.draft.start.listing_limit.clone();
        limit.map(|it| (it.listing, it.max_runs_per_hour))
    };
    assert_eq!(limits([None, None]), None);
    assert_eq!(limits([Some(5), Some(2)]), Some(("backfill-1".to_owned(), 2)));
    assert_eq!(limits([Some(5), Some(2)]), limits([Some(2), Some(5)]));
    let to_each = Listing { route: "each".to_owned(), ..listing };
    let each = Arrival { listing: Some(to_each), ..arrival("landing", "orders/dt=1/a.csv") };
    assert!(plan_of(&[each]).requests[0].draft.closing.is_at_once(), "one object a batch");
}
