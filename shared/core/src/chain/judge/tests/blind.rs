//! Looks that saw nothing.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::healthy::both_transports;
use crate::chain::observed::*;
use crate::chain::{Check, Link, Status, could_not_look, judge};

/// How a look saw nothing.
#[derive(Debug, Clone, Copy)]
enum How {
    Denied,
    ByOrganization,
    Failed,
    Missing,
}

fn nothing<T>(how: How) -> Look<T> {
    match how {
        How::Denied => Look::Denied("x:Look".to_owned()),
        How::ByOrganization => Look::DeniedByOrganization("x:Look".to_owned()),
        How::Failed => Look::Failed("Look: Throttling: slow down".to_owned()),
        How::Missing => Look::Missing,
    }
}

/// The links that need each look.
const LINKS: [&[Link]; 41] = [
    &[Link::DataStack],
    &[Link::Routes],
    &[Link::Bucket],
    &[Link::Versioning],
    &[Link::Ownership],
    &[Link::BucketPolicy],
    &[Link::Key],
    &[Link::Key],
    &[Link::Notifications],
    &[Link::UploadRule],
    &[Link::ArrivalsPolicy, Link::Arrivals],
    &[Link::ArrivalsDeadLetters],
    &[Link::Trigger, Link::TriggerNetwork],
    &[Link::TriggerConcurrency],
    &[Link::TriggerMapping],
    &[Link::Ledger],
    &[Link::AnalyticsStack],
    &[Link::Starter],
    &[Link::Job, Link::JobNetwork, Link::ReaderTrust],
    &[Link::Script],
    &[Link::JobRole],
    &[Link::Reader, Link::ReaderTrust],
    &[Link::Claims],
    &[Link::RuleOfRuns],
    &[Link::RunsPolicy, Link::Runs],
    &[Link::RunsDeadLetters],
    &[Link::Monitor, Link::MonitorNetwork],
    &[Link::MonitorConcurrency],
    &[Link::MonitorMapping],
    &[Link::Schedule],
    &[Link::PublicAccess],
    &[Link::Ledger],
    &[Link::Claims],
    &[Link::BucketStatements],
    &[Link::Key],
    &[Link::Usage],
    &[Link::DataOutsiders],
    &[Link::AnalyticsOutsiders],
    &[Link::Announcing],
    &[Link::JobNetwork],
    &[Link::LastRun],
];

/// Returns a chain whose looks with these numbers saw nothing, and the links that need those looks.
fn blinded(which: &[(usize, How)]) -> (Observations, Vec<(Link, How)>) {
    let mut observations = both_transports();
    let mut links = Vec::new();
    let data = observations.data.as_mut().expect("data");
    let analytics = observations.analytics.as_mut().expect("analytics");
    let bucket = data.buckets.get_mut("acme-landing").expect("the bucket");
    let job = analytics.jobs.get_mut("orders-to-parquet").expect("the job");
    let (Transport::Both(uploads) | Transport::EventBridge(uploads)) = &mut data.transport else {
        panic!("a rule")
    };
    for (number, how) in which.iter().copied() {
        match number {
            0 => data.stack.look = nothing(how),
            1 => data.routes_are_deployed = nothing(how),
            2 => bucket.region = nothing(how),
            3 => bucket.versioning = nothing(how),
            4 => bucket.ownership = nothing(how),
            5 => bucket.policy = nothing(how),
            6 => bucket.kms_key = nothing(how),
            7 => bucket.key = Some(nothing(how)),
            8 => bucket.notifications = nothing(how),
            9 => uploads.look = nothing(how),
            10 => data.arrivals.look = nothing(how),
            11 => data.arrivals_dlq.look = nothing(how),
            12 => data.trigger.state = nothing(how),
            13 => data.trigger.reserved_concurrency = nothing(how),
            14 => data.trigger.mappings[0].look = nothing(how),
            15 => data.ledger.look = nothing(how),
            16 => analytics.stack.look = nothing(how),
            17 => analytics.starter.look = nothing(how),
            18 => job.job = nothing(how),
            19 => job.script = Some(nothing(how)),
            20 => {
                job.role_trusts_glue = nothing(how);
                // The role that the stack makes has a check of its own for the same link.
                analytics.job_role = None;
            }
            21 => data.reader.look = nothing(how),
            22 => data.claims.look = nothing(how),
            23 => analytics.rule_of_runs.look = nothing(how),
            24 => data.runs.look = nothing(how),
            25 => data.runs_dlq.look = nothing(how),
            26 => data.monitor.state = nothing(how),
            27 => data.monitor.reserved_concurrency = nothing(how),
            28 => data.monitor.mappings[0].look = nothing(how),
            29 => data.schedule.look = nothing(how),
            30 => bucket.public_access_block = nothing(how),
            31 => data.ledger_expiry = nothing(how),
            32 => data.claims_expiry = nothing(how),
            33 => bucket.statements = nothing(how),
            34 => {
                // Another look may already have seen nothing of the key.
                if let Some(Look::Seen(key)) = &mut bucket.key {
                    key.policy = Some(nothing(how));
                }
            }
            35 => {
                let watch = data.usage.as_mut().expect("a watch");
                watch.routes.insert("orders".to_owned(), nothing(how));
            }
            36 => data.analysis.as_mut().expect("asked").findings = nothing(how),
            37 => analytics.analysis.as_mut().expect("asked").findings = nothing(how),
            38 => data.announces = nothing(how),
            39 => job.network.as_mut().expect("looked")[0].look = nothing(how),
            _ => job.last_failure = nothing(how),
        }
        links.extend(LINKS[number].iter().map(|link| (*link, how)));
    }
    (observations, links)
}

const LOOKS: usize = LINKS.len();

fn how() -> impl Strategy<Value = How> {
    prop_oneof![Just(How::Denied), Just(How::ByOrganization), Just(How::Failed), Just(How::Missing)]
}

proptest! {
    #[test]
    fn what_nobody_could_see_is_never_all_right(
        which in proptest::collection::btree_map(0..LOOKS, how(), 0..LOOKS)
    ) {
        let which: Vec<(usize, How)> = which.into_iter().collect();
        let (observations, links) = blinded(&which);
        let checks = judge(&observations);
        for (link, how) in links {
            let of_link: Vec<&Check> = checks.iter().filter(|check| check.link == link).collect();
            prop_assert!(!of_link.is_empty(), "{:?}", link);
            // A bucket without a policy is all right.
            let may_be_missing = matches!(how, How::Missing) && link == Link::BucketPolicy;
            prop_assert!(may_be_missing || of_link.iter().all(|it| it.status != Status::Ok), "{:?}", of_link);
        }
    }

    #[test]
    fn a_look_that_was_denied_names_the_permission_and_breaks_nothing(
        number in 0..LOOKS,
        how in prop_oneof![Just(How::Denied), Just(How::ByOrganization)],
    ) {
        let (observations, links) = blinded(&[(number, how)]);
        let checks = judge(&observations);
        prop_assert!(checks.iter().all(|check| check.status != Status::Broken), "{:?}", checks);
        let is_named = |check: &Check| check.link == links[0].0 && check.evidence.contains("`x:Look`");
        prop_assert!(checks.iter().any(is_named), "{:?}", checks);
    }
}

#[test]
fn a_look_that_was_denied_is_the_organizations_doing_if_the_simulation_says_so() {
    let code = |checks: &[Check]| -> BTreeSet<&'static str> {
        let unknown = checks.iter().filter(|check| check.status == Status::Unknown);
        unknown.filter_map(|check| Some(check.problem.as_ref()?.code)).collect()
    };
    for look in 0..LINKS.len() {
        let (mut observations, links) = blinded(&[(look, How::Denied)]);
        assert_eq!(code(&judge(&observations)), BTreeSet::from(["could_not_look"]), "{links:?}");
        let side = links[0].0.side();
        assert!(could_not_look(&observations, side), "{links:?}");
        let kept = BTreeSet::from(["x:Look".to_owned(), "x:Other".to_owned()]);
        observations.data.as_mut().expect("data").kept_by_organization = kept.clone();
        observations.analytics.as_mut().expect("analytics").kept_by_organization = kept;
        let checks = judge(&observations);
        assert_eq!(code(&checks), BTreeSet::from(["denied_by_organization"]), "{links:?}");
        assert!(!could_not_look(&observations, side), "{links:?}");
        let another = BTreeSet::from(["x:Other".to_owned()]);
        observations.data.as_mut().expect("data").kept_by_organization = another.clone();
        observations.analytics.as_mut().expect("analytics").kept_by_organization = another;
        assert_eq!(code(&judge(&observations)), BTreeSet::from(["could_not_look"]), "{links:?}");
    }
}
