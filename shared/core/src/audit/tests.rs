use expect_test::expect;
use proptest::prelude::*;

use super::*;
use crate::chain::problems::Problem;

const START: Time = Time(1_700_000_000_000);

fn minutes(count: u64) -> Time {
    START + Duration::from_secs(count * 60)
}

fn check(link: Link, status: Status, resource: &str, code: Option<&'static str>) -> Check {
    let severity = if code == Some("could_not_look") { Severity::Info } else { Severity::High };
    let problem = code.map(|code| Problem {
        code,
        severity,
        cause: "Work stops.",
        fix: "Put it back.".to_owned(),
        command: Some("landfall deploy ROUTES --repair".to_owned()),
    });
    let (resource, account) = (resource.to_owned(), "111111111111".to_owned());
    Check { link, status, resource, account, evidence: "it isn't there".to_owned(), problem }
}

fn role(status: Status, code: Option<&'static str>) -> Check {
    check(Link::Reader, status, "reader", code)
}

fn missing() -> Check {
    role(Status::Broken, Some("role_missing"))
}

/// Keeps findings as the table does.
#[derive(Default)]
struct Table {
    findings: Vec<Finding>,
    announced: Vec<String>,
}

impl Table {
    fn audit(&mut self, checks: &[Check], now: Time) {
        for change in changes(&self.findings, checks, now) {
            if let Some(finding) = change.to_announce() {
                self.announced.push(format!("{} {}", finding.code, finding.state.name()));
            }
            if let Some(before) = &change.before {
                self.findings.retain(|finding| finding.id != before.id);
            }
            self.findings.extend(change.after);
        }
    }

    fn state(&self, code: &str) -> Option<State> {
        self.findings.iter().find(|finding| finding.code == code).map(|finding| finding.state)
    }
}

#[test]
fn a_finding_opens_once_is_seen_again_and_ends_when_its_check_does_not_see_it() {
    let mut table = Table::default();
    table.audit(&[missing()], minutes(0));
    table.audit(&[missing()], minutes(15));
    let finding = table.findings.first().expect("a finding");
    assert_eq!((finding.first_seen, finding.last_seen), (minutes(0), minutes(15)));
    table.audit(&[role(Status::Ok, None)], minutes(30));
    table.audit(&[role(Status::Ok, None)], minutes(45));
    assert_eq!(table.announced, ["role_missing open", "role_missing resolved"]);
    assert_eq!(table.findings.first().and_then(|it| it.resolved_at), Some(minutes(30)));
}

#[test]
fn what_comes_back_is_announced_again_and_is_as_old_as_its_return() {
    let mut table = Table::default();
    table.audit(&[missing()], minutes(0));
    table.audit(&[role(Status::Ok, None)], minutes(15));
    table.audit(&[missing()], minutes(30));
    assert_eq!(table.announced.last().map(String::as_str), Some("role_missing open"));
    let finding = table.findings.first().expect("a finding");
    assert_eq!((finding.first_seen, finding.resolved_at), (minutes(30), None));
}

#[test]
fn who_could_not_look_ends_no_finding() {
    let mut table = Table::default();
    table.audit(&[missing()], minutes(0));
    let blind = role(Status::Unknown, Some("could_not_look"));
    for (minute, check) in [(15, blind), (30, role(Status::Skipped, None))] {
        table.audit(&[check], minutes(minute));
        assert_eq!(table.state("role_missing"), Some(State::Open));
    }
}

#[test]
fn another_problem_of_the_same_resource_ends_the_one_before() {
    let mut table = Table::default();
    table.audit(&[missing()], minutes(0));
    table.audit(&[role(Status::Broken, Some("role_narrower"))], minutes(15));
    assert_eq!(table.state("role_missing"), Some(State::Resolved));
    assert_eq!(table.state("role_narrower"), Some(State::Open));
}

#[test]
fn a_resource_that_nothing_asks_for_any_more_has_no_finding_unless_others_of_its_kind_were_not_seen()
 {
    let bucket = |name, status, code| check(Link::Bucket, status, name, code);
    let gone = bucket("old", Status::Broken, Some("bucket_missing"));
    let stack = |status, code| check(Link::DataStack, status, "landfall", code);
    let seen = || stack(Status::Ok, None);
    let mut table = Table::default();
    table.audit(&[seen(), gone, bucket("new", Status::Ok, None)], minutes(0));
    table.audit(&[seen(), bucket("new", Status::Unknown, Some("could_not_look"))], minutes(15));
    table.audit(&[stack(Status::Unknown, Some("could_not_look"))], minutes(30));
    assert_eq!(table.state("bucket_missing"), Some(State::Open));
    table.audit(&[seen(), bucket("new", Status::Ok, None)], minutes(45));
    assert_eq!(table.state("bucket_missing"), Some(State::Resolved));
}

#[test]
fn what_aws_may_show_for_a_moment_only_counts_once_a_later_audit_sees_it_too() {
    for code in UNCERTAIN {
        let seen = || [role(Status::Unknown, Some(code))];
        let mut table = Table::default();
        table.audit(&seen(), minutes(0));
        // Somebody's change made an audit begin at once.
        table.audit(&seen(), minutes(9));
        assert_eq!((table.state(code), table.announced.len()), (Some(State::Suspected), 0));
        table.audit(&seen(), minutes(10));
        assert_eq!(table.state(code), Some(State::Open));
        assert_eq!(table.announced, [format!("{code} open")]);
    }
    let mut table = Table::default();
    table.audit(&[role(Status::Broken, Some("trust_unique_id"))], minutes(0));
    table.audit(&[role(Status::Ok, None)], minutes(15));
    assert_eq!((table.findings.len(), table.announced.len()), (0, 0));
}

#[test]
fn each_uncertain_problem_is_one_that_can_be_found() {
    let page = crate::chain::problems::page();
    for code in UNCERTAIN {
        assert!(page.contains(&format!("### `{code}`")), "{code}");
    }
}

#[test]
fn an_auditor_judges_its_own_account_and_no_contents() {
    let all = |side| Link::ALL.iter().filter(move |link| is_audited(**link, side)).count();
    assert!(all(Side::Data) > 15 && all(Side::Analytics) > 3);
    for link in [Link::Arrivals, Link::ArrivalsDeadLetters, Link::LastRun, Link::ReaderTrust] {
        assert!(Side::ALL.iter().all(|side| !is_audited(link, *side)), "{}", link.code());
    }
    assert!(!is_audited(Link::Starter, Side::Data) && !is_audited(Link::Reader, Side::Analytics));
}

#[test]
fn the_event_has_everything_that_somebody_needs_to_act() {
    let mut table = Table::default();
    table.audit(&[missing()], minutes(0));
    table.audit(&[role(Status::Ok, None)], minutes(15));
    let event = table.findings.first().expect("a finding").event("landfall", "eu-west-1");
    expect![[r#"
        {
          "account": "111111111111",
          "cause": "Work stops.",
          "code": "role_missing",
          "command": "landfall deploy ROUTES --repair",
          "evidence": "it isn't there",
          "firstSeen": "2023-11-14T22:13:20Z",
          "fix": "Put it back.",
          "id": "LF022/role_missing/reader",
          "lastSeen": "2023-11-14T22:13:20Z",
          "link": "LF022",
          "linkName": "the reader role",
          "region": "eu-west-1",
          "resolvedAt": "2023-11-14T22:28:20Z",
          "resource": "reader",
          "severity": "high",
          "stack": "landfall",
          "state": "resolved",
          "version": "1"
        }"#]]
    .assert_eq(&format!("{event:#}"));
}

fn any_check() -> impl Strategy<Value = Check> {
    let link = prop::sample::select(vec![Link::Reader, Link::Bucket, Link::Trigger]);
    let seen = prop::sample::select(vec![
        (Status::Ok, None),
        (Status::Skipped, None),
        (Status::Broken, Some("role_missing")),
        (Status::Warn, Some("role_wider")),
        (Status::Broken, Some("trust_unique_id")),
        (Status::Unknown, Some("could_not_look")),
    ]);
    (link, seen, "[ab]")
        .prop_map(|(link, (status, code), resource)| check(link, status, &resource, code))
}

proptest! {
    /// Whatever audits see, in whatever order: IDs stay unique, what is open was announced as open, nothing is open
    /// that the last audit looked at and didn't see, and an audit that sees the same at once announces nothing.
    #[test]
    fn findings_follow_what_audits_see(
        audits in prop::collection::vec((prop::collection::vec(any_check(), 0..6), 1_u64..30), 1..8)
    ) {
        let mut table = Table::default();
        let mut minute = 0;
        for (checks, pause) in &audits {
            table.audit(checks, minutes(minute));
            let announced = table.announced.len();
            table.audit(checks, minutes(minute));
            prop_assert_eq!(table.announced.len(), announced);
            minute += pause;
            let mut ids: Vec<&str> = table.findings.iter().map(|it| it.id.as_str()).collect();
            ids.sort_unstable();
            let count = ids.len();
            ids.dedup();
            prop_assert_eq!(ids.len(), count);
            for finding in table.findings.iter().filter(|it| it.state == State::Open) {
                let is_its = |check: &&Check| check.link.code() == finding.link
                    && check.resource == finding.resource;
                let its: Vec<&Check> = checks.iter().filter(is_its).collect();
                let is_seen = its.iter().any(|it| {
                    it.problem.as_ref().is_some_and(|problem| problem.code == finding.code)
                });
                let is_known = !its.is_empty()
                    && its.iter().all(|it| !matches!(it.status, Status::Unknown | Status::Skipped));
                prop_assert!(is_seen || !is_known, "{}", finding.id);
            }
        }
        let opened = table.announced.iter().filter(|it| it.ends_with(" open")).count();
        let resolved = table.announced.iter().filter(|it| it.ends_with(" resolved")).count();
        let open = table.findings.iter().filter(|it| it.state == State::Open).count();
        prop_assert_eq!(opened, resolved + open);
    }
}
