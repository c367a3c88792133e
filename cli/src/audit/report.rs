//! What `landfall audit` prints of the findings: a table with the worst first, then each of them in full.

use std::time::Duration;

use landfall_aws::findings::Kept;
use landfall_core::audit::{Finding, State};
use landfall_core::moment::Time;
use serde::Serialize;

use crate::accounts::Side;
use crate::args::audit::AuditArgs;
use crate::terminal::escape::shown;
use crate::terminal::output::{self, Output, Status};
use crate::terminal::phrases::{counted, detail, length, moment};
use crate::terminal::printable;
use crate::terminal::table::{Align, table};

/// The version of the JSON document.
const VERSION: u32 = 1;

/// An auditor that hasn't looked for so long doesn't look any more.
const SILENT_AFTER: Duration = Duration::from_secs(7_200);

/// An account with what its auditor keeps.
pub struct Audited {
    pub side: Side,
    pub account: String,
    pub region: String,
    pub kept: Kept,
}

/// What to print, and how.
pub struct Report<'a> {
    pub audited: &'a [Audited],
    pub args: &'a AuditArgs,
    pub now: Time,
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    accounts: Vec<AccountEntry<'a>>,
}

#[derive(Serialize)]
struct AccountEntry<'a> {
    account: &'a str,
    name: &'static str,
    region: &'a str,
    last_audit: Option<String>,
    findings: Vec<FindingEntry<'a>>,
}

#[derive(Serialize)]
struct FindingEntry<'a> {
    id: &'a str,
    state: &'static str,
    severity: &'static str,
    code: &'a str,
    link: &'a str,
    name: &'a str,
    resource: &'a str,
    evidence: &'a str,
    cause: &'a str,
    fix: &'a str,
    command: Option<&'a str>,
    first_seen: String,
    last_seen: String,
    resolved_at: Option<String>,
}

impl Audited {
    /// Returns the findings to show, the worst first.
    fn shown(&self, has_all: bool) -> Vec<&Finding> {
        let is_shown = |it: &&Finding| it.state == State::Open || has_all;
        let mut findings: Vec<&Finding> = self.kept.findings.iter().filter(is_shown).collect();
        findings
            .sort_by(|one, other| other.severity.cmp(&one.severity).then(one.id.cmp(&other.id)));
        findings
    }

    fn name(&self) -> String {
        let Self { side, account, region, .. } = self;
        format!("{} ({account}, {region})", side.name())
    }

    /// Returns what keeps the findings from telling how things are, if anything does.
    fn doubt(&self, now: Time) -> Option<String> {
        let since = match self.kept.last_audit {
            None => "hasn't looked yet".to_owned(),
            Some(last) if now.since(last.at) > SILENT_AFTER => {
                format!("last looked {} ago", length(now.since(last.at)))
            }
            Some(_) => return None,
        };
        Some(format!(
            "the auditor of the {} {since}: see the alarm `auditor-silent` in the runbook",
            self.name()
        ))
    }
}

impl Report<'_> {
    pub fn status(&self) -> Status {
        let findings = self.audited.iter().flat_map(|it| it.shown(false));
        match findings.into_iter().any(|finding| finding.severity >= self.args.fail_on) {
            true => Status::Problems,
            false => Status::Success,
        }
    }

    /// Adds what keeps the findings from telling how things are.
    pub fn warn(&self, output: &mut Output) {
        for audited in self.audited {
            if let Some(doubt) = audited.doubt(self.now) {
                output.fail(&doubt, Status::Unusable);
            }
            for id in &audited.kept.unreadable {
                output.stderr.push_str(&format!(
                    "warning: finding `{}` comes from another version and can't be shown\n",
                    printable(id)
                ));
            }
        }
    }

    /// Returns the report for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for audited in self.audited {
            let findings = audited.shown(self.args.all);
            let last = audited.kept.last_audit.map(|last| {
                format!(
                    "; {} made {}",
                    counted(last.checks as u64, "check"),
                    moment(last.at, self.now)
                )
            });
            let count = counted(findings.len() as u64, "finding");
            text.push_str(&format!("{}: {count}{}\n", audited.name(), last.unwrap_or_default()));
            if findings.is_empty() {
                continue;
            }
            let row = |finding: &&Finding| {
                [
                    finding.severity.name().to_owned(),
                    finding.state.name().to_owned(),
                    printable(&finding.code),
                    printable(&finding.resource),
                    length(self.now.since(finding.first_seen)),
                ]
            };
            let rows: Vec<[String; 5]> = findings.iter().map(row).collect();
            let columns =
                ["SEVERITY", "STATE", "FINDING", "RESOURCE", "FOR"].map(|name| (name, Align::Left));
            text.push_str(&table(columns, &rows));
            for finding in findings {
                text.push_str(&format!("\n{}", self.block(finding)));
            }
            text.push('\n');
        }
        text
    }

    /// Returns a finding with everything that is known about it.
    fn block(&self, finding: &Finding) -> String {
        let Finding { severity, link, link_name, resource, .. } = finding;
        let mut text = format!(
            "{} {} {}: {}\n",
            severity.name(),
            printable(link),
            printable(link_name),
            printable(resource)
        );
        let mut line = |what: &str, value: &str| text.push_str(&detail(what, value));
        line("since", &moment(finding.first_seen, self.now));
        if let Some(end) = finding.resolved_at {
            line("until", &moment(end, self.now));
        }
        line("seen", &shown(&finding.evidence));
        line("code", &printable(&finding.code));
        line("why", &printable(&finding.cause));
        line("do", &printable(&finding.fix));
        if let Some(command) = &finding.command {
            line("run", &printable(command));
        }
        text
    }

    /// Returns the report for programs.
    pub fn json(&self) -> String {
        let accounts = self.audited.iter().map(|audited| AccountEntry {
            account: &audited.account,
            name: audited.side.name(),
            region: &audited.region,
            last_audit: audited.kept.last_audit.map(|last| last.at.to_string()),
            findings: audited.shown(self.args.all).into_iter().map(entry).collect(),
        });
        output::json(&Document { version: VERSION, accounts: accounts.collect() })
    }
}

fn entry(finding: &Finding) -> FindingEntry<'_> {
    FindingEntry {
        id: &finding.id,
        state: finding.state.name(),
        severity: finding.severity.name(),
        code: &finding.code,
        link: &finding.link,
        name: &finding.link_name,
        resource: &finding.resource,
        evidence: &finding.evidence,
        cause: &finding.cause,
        fix: &finding.fix,
        command: finding.command.as_deref(),
        first_seen: finding.first_seen.to_string(),
        last_seen: finding.last_seen.to_string(),
        resolved_at: finding.resolved_at.map(|time| time.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use expect_test::expect;
    use landfall_aws::findings::LastAudit;
    use landfall_core::chain::problems::Severity;

    use super::*;
    use crate::args::{Cli, Command};

    const NOW: Time = Time(1_769_904_000_000);

    fn ago(minutes: u64) -> Time {
        NOW - Duration::from_secs(minutes * 60)
    }

    fn args(more: &[&str]) -> AuditArgs {
        let words = ["landfall", "audit", "routes.yaml"].iter().chain(more);
        match Cli::try_parse_from(words).expect("arguments").command {
            Command::Audit(args) => args,
            _ => panic!("another command"),
        }
    }

    fn finding(severity: Severity, code: &str, resource: &str, state: State) -> Finding {
        Finding {
            id: format!("LF022/{code}/{resource}"),
            state,
            link: "LF022".to_owned(),
            link_name: "the reader role".to_owned(),
            code: code.to_owned(),
            severity,
            resource: resource.to_owned(),
            account: "111111111111".to_owned(),
            evidence: "it isn't there".to_owned(),
            cause: "Somebody deleted it.".to_owned(),
            fix: "Put it back.".to_owned(),
            command: Some("landfall deploy ROUTES --repair".to_owned()),
            first_seen: ago(90),
            last_seen: ago(15),
            resolved_at: (state == State::Resolved).then(|| ago(15)),
        }
    }

    fn audited(findings: Vec<Finding>, last_audit: Option<Time>) -> Vec<Audited> {
        let last_audit = last_audit.map(|at| LastAudit { at, checks: 31 });
        vec![Audited {
            side: Side::Data,
            account: "111111111111".to_owned(),
            region: "eu-west-1".to_owned(),
            kept: Kept { findings, last_audit, ..Kept::default() },
        }]
    }

    #[test]
    fn the_worst_finding_comes_first_with_its_command() {
        let audited = audited(
            vec![
                finding(Severity::Low, "a_detail", "reader\u{1b}[2J", State::Open),
                finding(Severity::High, "role_missing", "landfall-reader", State::Open),
                finding(Severity::High, "old", "landfall-reader", State::Resolved),
                finding(Severity::High, "maybe", "landfall-reader", State::Suspected),
            ],
            Some(ago(3)),
        );
        let args = args(&[]);
        let report = Report { audited: &audited, args: &args, now: NOW };
        assert_eq!(report.status(), Status::Problems);
        expect![[r#"
            data account (111111111111, eu-west-1): 2 findings; 31 checks made 2026-01-31T23:57:00Z (3 minutes ago)
            SEVERITY  STATE  FINDING       RESOURCE         FOR
            high      open   role_missing  landfall-reader  90 minutes
            low       open   a_detail      reader\u{1b}[2J  90 minutes

            high LF022 the reader role: landfall-reader
              since    2026-01-31T22:30:00Z (90 minutes ago)
              seen     it isn't there
              code     role_missing
              why      Somebody deleted it.
              do       Put it back.
              run      landfall deploy ROUTES --repair

            low LF022 the reader role: reader\u{1b}[2J
              since    2026-01-31T22:30:00Z (90 minutes ago)
              seen     it isn't there
              code     a_detail
              why      Somebody deleted it.
              do       Put it back.
              run      landfall deploy ROUTES --repair

        "#]].assert_eq(&report.text());
    }

    #[test]
    fn what_counts_is_what_is_open_and_bad_enough() {
        let of = |findings: Vec<Finding>, more: &[&str]| {
            let (audited, args) = (audited(findings, Some(ago(1))), args(more));
            Report { audited: &audited, args: &args, now: NOW }.status()
        };
        let low = || finding(Severity::Low, "a", "r", State::Open);
        let resolved = finding(Severity::Critical, "a", "r", State::Resolved);
        assert_eq!(of(vec![], &[]), Status::Success);
        assert_eq!(of(vec![low()], &[]), Status::Success);
        assert_eq!(of(vec![low()], &["--fail-on", "low"]), Status::Problems);
        assert_eq!(of(vec![resolved], &["--fail-on", "info", "--all"]), Status::Success);
    }

    #[test]
    fn an_auditor_that_does_not_look_any_more_is_no_good_news() {
        for (last, since) in
            [(None, "hasn't looked yet"), (Some(ago(121)), "last looked 2 hours ago")]
        {
            let (audited, args) = (audited(vec![], last), args(&[]));
            let report = Report { audited: &audited, args: &args, now: NOW };
            let mut output = Output::default();
            report.warn(&mut output);
            assert_eq!(output.status, Status::Unusable);
            assert!(output.stderr.contains(since), "{}", output.stderr);
        }
    }

    #[test]
    fn programs_get_the_same_as_one_document() {
        let findings = vec![finding(Severity::High, "role_missing", "reader", State::Resolved)];
        let (audited, args) = (audited(findings, Some(ago(3))), args(&["--all", "--json"]));
        expect![[r#"
            {
              "version": 1,
              "accounts": [
                {
                  "account": "111111111111",
                  "name": "data account",
                  "region": "eu-west-1",
                  "last_audit": "2026-01-31T23:57:00Z",
                  "findings": [
                    {
                      "id": "LF022/role_missing/reader",
                      "state": "resolved",
                      "severity": "high",
                      "code": "role_missing",
                      "link": "LF022",
                      "name": "the reader role",
                      "resource": "reader",
                      "evidence": "it isn't there",
                      "cause": "Somebody deleted it.",
                      "fix": "Put it back.",
                      "command": "landfall deploy ROUTES --repair",
                      "first_seen": "2026-01-31T22:30:00Z",
                      "last_seen": "2026-01-31T23:45:00Z",
                      "resolved_at": "2026-01-31T23:45:00Z"
                    }
                  ]
                }
              ]
            }
        "#]]
        .assert_eq(&Report { audited: &audited, args: &args, now: NOW }.json());
    }
}
