//! Runs that are held to their batch.

use expect_test::expect;

use super::*;
use crate::arrivals::tests::arrival;

const READER: &str = "arn:aws:iam::111111111111:role/landfall/landfall-reader-222222222222";

fn scoped() -> Batch {
    let start = Start { scope: Scope::Batch, ..start() };
    let id = "0123456789abcdef0123456789abcdef".to_owned();
    let draft = Draft { start, group: BTreeMap::new(), ..draft(Closing::default()) };
    draft.batch(id, &moment(0)).with(1, false, true, &moment(0))
}

fn prepared_for(batch: &Batch, reader_role_arn: &str) -> Result<Prepared, Unprepared> {
    let own = JobResources {
        reader_role_arn: reader_role_arn.to_owned(),
        claims_table_arn: "arn:claims".to_owned(),
        manifests_bucket: "manifests".to_owned(),
    };
    Manifest::of(vec![Member::from(&arrival("landing", "orders/a.csv"))]).prepared(
        batch,
        &own,
        &JobResources::manifest_key(&batch.route, &batch.id),
    )
}

#[test]
fn a_run_of_a_scope_may_all_but_become_another_role_than_its_reader() {
    let batch = scoped();
    let own = "arn:aws-cn:iam::111111111111:role/landfall/landfall-reader-{account}";
    let batch = Batch { prepared: prepared_for(&batch, own).ok(), ..batch };
    expect![[r#"{"Statement":[{"Action":"*","Effect":"Allow","Resource":"*"},{"Action":"sts:Assume*","Effect":"Deny","NotResource":"arn:aws-cn:iam::111111111111:role/landfall/landfall-reader-222222222222"}],"Version":"2012-10-17"}"#]]
    .assert_eq(&batch.session_policy().expect("it fits").expect("it has one"));
    let arguments = &batch.prepared.as_ref().expect("prepared").arguments;
    assert_eq!(arguments.get("--landfall-scope").map(String::as_str), Some("batch"));
}

#[test]
fn a_run_without_a_scope_has_no_session_policy_and_is_told_of_none() {
    let batch = sealed();
    let batch = Batch { prepared: prepared_for(&batch, READER).ok(), ..batch };
    assert_eq!(batch.session_policy(), Ok(None));
    let arguments = &batch.prepared.as_ref().expect("prepared").arguments;
    assert!(!arguments.contains_key("--landfall-scope"), "{arguments:?}");
}

#[test]
fn what_a_policy_takes_for_a_pattern_stands_for_itself_in_the_role() {
    let reader = "arn:aws:iam::111111111111:role/$x/\"q\"/r";
    let policy = Scope::Batch.session_policy(reader).expect("it fits").expect("it has one");
    let policy: serde_json::Value = serde_json::from_str(&policy).expect("JSON");
    let named = &policy["Statement"][1]["NotResource"];
    assert_eq!(named, "arn:aws:iam::111111111111:role/${$}x/\"q\"/r");
}

#[test]
fn the_longest_role_fits_and_one_that_escapes_make_too_long_is_refused_and_not_widened() {
    let longest = |c: &str| {
        format!("arn:aws-us-gov:iam::111111111111:role/{}/{}", c.repeat(510), "r".repeat(64))
    };
    // A character that JSON writes as two.
    for c in ["p", "\\"] {
        let policy =
            Scope::Batch.session_policy(&longest(c)).expect("it fits").expect("it has one");
        assert!((600..2_048).contains(&policy.len()), "{}", policy.len());
    }
    let error = Scope::Batch.session_policy(&longest("$")).unwrap_err();
    let ScopeError::TooLong { chars, .. } = &error else { panic!("{error}") };
    assert!(*chars > 2_048, "{chars}");
    let batch = scoped();
    assert_eq!(prepared_for(&batch, &longest("$")), Err(Unprepared::Scope(error)));
}

#[test]
fn a_batch_whose_scope_cannot_be_kept_is_parked_before_anything_is_started() {
    let batch = scoped();
    let refused = prepared_for(&batch, "no role").unwrap_err();
    let parked = written(&batch, &Seen::Prepared(Err(refused)), 0);
    let State::Parked { why, message } = &parked.state else { panic!("{:?}", parked.state) };
    assert_eq!(*why, Why::ScopeNotKept);
    expect!["the run cannot be held to its batch: `no role` is not the ARN of a role"]
        .assert_eq(message);
    // One that somebody made without a reader role gets no wider policy, and none.
    let torn = Batch { prepared: Some(prepared()), ..batch };
    assert!(torn.session_policy().is_err());
    assert!(scoped().session_policy().is_err());
}

#[test]
fn a_batch_with_a_scope_is_of_version_2_which_what_knows_no_scope_leaves_alone() {
    let batch = scoped();
    assert_eq!((batch.v, sealed().v), (2, 1));
    let json = serde_json::to_value(&batch).expect("it serialises");
    assert_eq!(json["start"]["scope"], "batch");
    assert_eq!(serde_json::from_value::<Batch>(json.clone()).expect("a batch"), batch);
    // A scope that a later version knows is not taken for none.
    let mut later = json;
    later["start"]["scope"] = "prefix".into();
    let error = serde_json::from_value::<Batch>(later).unwrap_err();
    assert!(error.to_string().contains("unknown variant `prefix`"), "{error}");
}

#[test]
fn a_batch_keeps_its_scope_through_retries_and_when_somebody_returns_it() {
    let batch = scoped();
    let batch = Batch { prepared: prepared_for(&batch, READER).ok(), ..batch };
    let policy = batch.session_policy().expect("it fits");
    let parked = written(&starting(&batch), &Seen::Start(never()), 60);
    let returned = parked.returned(NOW + secs(120)).expect("it was parked");
    for batch in [starting(&batch), started(&batch), starting(&returned)] {
        assert_eq!((batch.v, batch.start.scope), (2, Scope::Batch));
        assert_eq!(batch.session_policy().expect("it fits"), policy);
    }
}

fn never() -> StartOutcome {
    StartOutcome::Never { why: Why::InvalidInput, message: "no".to_owned() }
}
