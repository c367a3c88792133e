use expect_test::expect;
use proptest::prelude::*;

use super::*;
use crate::arrivals::{EventTime, Listed};
use crate::batch::Closing;
use crate::routes::Routes;

const ROUTES: &str = r#"version: 1
targets:
  analytics: { account: "222222222222", region: eu-west-1, starter_role: s, external_id: "${X}" }
routes:
  - name: orders
    bucket: landing
    key: "orders/{day}/{file}"
    where: { min_bytes: 1 }
    batch: { by: [day], max_objects: 3, window: 1h }
    start: { target: analytics, job: orders }
  - name: each
    bucket: landing
    key: "each/{file}"
    batch: { max_objects: 1 }
    start: { target: analytics, job: each, arguments: { "--file": "{file}" } }
  - name: all
    bucket: landing
    key: "**"
    start: { target: analytics, job: all }
"#;

const NOW: Time = Time(1_769_990_400_000);

fn routes() -> Routes {
    let parsed = Routes::parse(ROUTES);
    parsed.routes.unwrap_or_else(|| panic!("{:?}", parsed.problems))
}

fn backfill(route: &str, mode: Mode) -> Backfill {
    let selection = Selection {
        route: route.to_owned(),
        bucket: "landing".to_owned(),
        prefix: String::new(),
        since: Some(Time(NOW.0 - 10 * 86_400_000)),
        until: Some(Time(NOW.0 - 60_000)),
    };
    Backfill::new("backfill-1".to_owned(), selection, mode, None, "me".to_owned(), NOW)
}

fn object(key: &str, size: u64, minutes_ago: u64) -> Listed {
    let written = Time(NOW.0 - minutes_ago * 60_000);
    Listed {
        key: key.to_owned(),
        size,
        etag: "e".to_owned(),
        version_id: None,
        last_modified: EventTime::parse(&written.to_string()).expect("a time"),
    }
}

fn sifted(route: &str, page: Vec<Listed>) -> Sifted {
    let backfill = backfill(route, Mode::Missing);
    sift(&routes(), &backfill.selection, &backfill.listing(), page, NOW)
}

fn closing(route: &str) -> Closing {
    let routes = routes().routes;
    routes.iter().find(|one| one.name == route).expect("a route").closing
}

#[test]
fn a_page_is_sifted_by_time_by_age_and_by_the_route() {
    let page = vec![
        object("orders/1/a", 5, 120),
        object("orders/1/b", 0, 120),
        object("orders/1/c", 5, 59),
        object("orders/1/d", 5, 0),
        object("orders/1/e", 5, 11 * 24 * 60),
        object("other", 5, 120),
        object("orders/2/-", 5, 60),
    ];
    let sifted = sifted("orders", page);
    let keys: Vec<&str> = sifted.taken.iter().map(|taken| taken.listed.key.as_str()).collect();
    assert_eq!(keys, ["orders/1/a", "orders/2/-"]);
    let expected = Counts { found: 7, outside: 2, new: 1, unmatched: 2, ..Counts::default() };
    assert_eq!(sifted.counts, expected);
    let arrival = &sifted.taken[0].arrival;
    assert_eq!(arrival.listing, Some(backfill("orders", Mode::Missing).listing()));
}

#[test]
fn what_the_route_refuses_is_not_sent_and_is_told_by_its_first_key() {
    let page =
        vec![object("each/b", 1, 120), object("each/--z", 1, 120), object("each/--y", 1, 120)];
    let sifted = sifted("each", page);
    assert_eq!((sifted.counts.refused, sifted.taken.len()), (2, 1));
    let (key, why) = sifted.refusal.expect("a refusal");
    assert_eq!(key, "each/--y");
    expect!["the value of `--file` would begin with `-`, which the job would take for a name"]
        .assert_eq(&why);
}

#[test]
fn a_survey_counts_what_is_sent_and_the_batches_that_it_will_form() {
    let mut survey = Survey::new(closing("orders"));
    for day in 0..2 {
        for page in 0..2 {
            let page =
                (0..4).map(|n| object(&format!("orders/{day}/{page}{n}"), 10, 120)).collect();
            let sent = survey.add(sifted("orders", page), &[true, false, false, false]);
            assert_eq!(sent.len(), 3);
        }
    }
    assert_eq!((survey.counts.known, survey.counts.taken, survey.counts.taken_bytes), (4, 12, 120));
    assert_eq!(survey.batches(), 4, "six objects of each day, three in a batch");
    let mut each = Survey::new(closing("each"));
    each.add(
        sifted("each", (0..5).map(|n| object(&format!("each/{n}"), 1, 120)).collect()),
        &[false; 5],
    );
    assert_eq!(each.batches(), 5);
    let mut all = Survey::new(closing("all"));
    all.add(sifted("all", (0..5).map(|n| object(&format!("{n}"), 1, 120)).collect()), &[false; 5]);
    assert_eq!((all.batches(), Survey::new(closing("all")).batches()), (1, 0));
}

#[test]
fn bounds_are_met_at_the_object_that_would_exceed_them() {
    let page = || {
        let keys = ["1/a", "1/b", "1/c", "1/d", "2/a", "2/b"];
        keys.iter().map(|key| object(&format!("orders/{key}"), 1, 120)).collect::<Vec<_>>()
    };
    let mut survey = Survey::new(closing("orders"));
    let fitting = |survey: &Survey, known: &[bool], objects, batches| {
        survey.fitting(&sifted("orders", page()), known, objects, batches)
    };
    let new = [false; 6];
    assert_eq!([0, 1, 5, 6].map(|most| fitting(&survey, &new, most, u64::MAX)), [0, 1, 5, 6]);
    // Three objects are in a batch: the fourth opens the next one.
    assert_eq!([0, 1, 2, 3].map(|most| fitting(&survey, &new, u64::MAX, most)), [0, 3, 4, 6]);
    let known = [true, true, false, false, false, true];
    assert_eq!(fitting(&survey, &known, 1, u64::MAX), 3, "what is known is not sent");
    survey.add(sifted("orders", page()), &new);
    assert_eq!((survey.batches(), fitting(&survey, &new, 6, u64::MAX)), (3, 0));
    assert_eq!(fitting(&survey, &new, u64::MAX, 3), 2, "each group's last batch has room");
}

#[test]
fn a_backfill_is_kept_as_json_without_what_it_lacks() {
    let kept = serde_json::to_string(&backfill("orders", Mode::All)).expect("JSON");
    expect![[r#"{"v":1,"id":"backfill-1","selection":{"route":"orders","bucket":"landing","prefix":"","since":1769126400000,"until":1769990340000},"mode":"all","by":"me","standing":"running","started_at":1769990400000,"updated_at":1769990400000,"counts":{"found":0,"outside":0,"new":0,"unmatched":0,"refused":0,"gone":0,"known":0,"taken":0,"taken_bytes":0}}"#]].assert_eq(&kept);
    assert_eq!(
        serde_json::from_str::<Backfill>(&kept).expect("a backfill"),
        backfill("orders", Mode::All)
    );
    assert!(backfill("orders", Mode::All).listing().again);
}

#[test]
fn a_page_is_cut_behind_any_of_its_objects_and_the_rest_is_counted_the_next_time() {
    let page = || {
        vec![
            object("orders/1/a", 5, 120),
            object("orders/1/b", 0, 120),
            object("each/--z", 5, 120),
            object("orders/2/c", 5, 59),
            object("orders/2/d", 5, 120),
            object("orders/1/e", 5, 11 * 24 * 60),
            object("each/--y", 5, 120),
        ]
    };
    for route in ["orders", "each"] {
        for cut in 0..=page().len() {
            let (mut first, rest) = (sifted(route, page()), page().split_off(cut));
            first.truncate(cut);
            let rest = sifted(route, rest);
            let mut both = first.counts;
            both += rest.counts;
            assert_eq!(both, sifted(route, page()).counts, "{route} {cut}");
            assert_eq!(first.counts.found, cut as u64);
            assert!(first.taken.iter().all(|taken| taken.at < cut));
            assert_eq!(first.taken.len() + rest.taken.len(), sifted(route, page()).taken.len());
        }
    }
    let mut each = sifted("each", page());
    assert_eq!(each.refusal.as_ref().map(|(key, _)| key.as_str()), Some("each/--y"));
    each.truncate(6);
    assert_eq!(each.refusal.as_ref().map(|(key, _)| key.as_str()), Some("each/--z"));
}

#[test]
fn a_backfill_keeps_what_names_its_objects_and_how_far_it_came() {
    let from = |source| Backfill { source, ..backfill("orders", Mode::Missing) };
    let manifest = "s3://inventories/landing/all/2026-01-31T01-00Z/manifest.json".to_owned();
    let inventory = from(Source::Inventory { manifest, md5: "0a".to_owned() });
    let keys = from(Source::Keys { name: "keys.txt".to_owned(), sha256: "0b".to_owned() });
    let row = Some(Place::Row(Row { file: 2, row: 17 }));
    let key = Some(Place::Key("k".to_owned()));
    for (backfill, place) in [(inventory, &row), (keys, &row), (from(Source::Bucket), &key)] {
        let reached = backfill.clone().reached(place.clone());
        let kept = serde_json::to_string(&reached).expect("JSON");
        let read: Backfill = serde_json::from_str(&kept).expect("a backfill");
        assert_eq!((&read, read.place()), (&reached, place.clone()));
        assert_eq!(reached.reached(None), backfill);
    }
}

proptest! {
    #[test]
    fn every_object_of_a_page_is_counted_once(
        objects in prop::collection::vec(("(orders|each|other)/[0-9]/?-?[a-z]{1,3}", 0_u64..3, 0_u64..20_000), 0..40),
    ) {
        let mut page: Vec<Listed> =
            objects.iter().map(|(key, size, ago)| object(key, *size, *ago)).collect();
        page.sort_by(|one, other| one.key.cmp(&other.key));
        page.dedup_by(|one, other| one.key == other.key);
        let found = page.len() as u64;
        for route in ["orders", "each", "all"] {
            let sifted = sifted(route, page.clone());
            let Counts { outside, new, unmatched, refused, .. } = sifted.counts;
            prop_assert_eq!(outside + new + unmatched + refused + sifted.taken.len() as u64, found);
        }
    }
}
