//! What `landfall doctor` prints of the verdict: the first broken link, then everything else.

use landfall_core::chain::{Check, Side, Status as Verdict, first_broken};
use serde::Serialize;

use crate::object::ObjectEntry;
use crate::terminal::escape::shown;
use crate::terminal::output::{self, Status};
use crate::terminal::phrases::{counted, detail};
use crate::terminal::printable;
use crate::terminal::table::{Align, table};

/// The version of the JSON document.
const VERSION: u32 = 1;

/// The checks, in the direction of the data, and what to send to the owners of an account that nobody looked at.
pub struct Report<'a> {
    pub checks: &'a [Check],
    pub requests: &'a [(Side, String)],
    /// The object that the checks are about, if they are about one.
    pub object: Option<ObjectDocument<'a>>,
}

/// The object, for programs.
#[derive(Serialize)]
pub struct ObjectDocument<'a> {
    pub uri: &'a str,
    #[serde(flatten)]
    pub entry: ObjectEntry<'a>,
    /// The arrivals of its newest version, the newest first.
    pub arrivals: Vec<ArrivalEntry<'a>>,
}

#[derive(Serialize)]
pub struct ArrivalEntry<'a> {
    pub route: &'a str,
    pub batch: &'a str,
    pub recorded_at: String,
}

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    /// The first of the checks that are `broken`.
    first_broken: Option<CheckEntry<'a>>,
    /// With `--object`.
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<&'a ObjectDocument<'a>>,
    checks: Vec<CheckEntry<'a>>,
    requests: Vec<RequestEntry<'a>>,
}

#[derive(Serialize)]
struct CheckEntry<'a> {
    link: &'a str,
    name: &'a str,
    status: &'static str,
    resource: &'a str,
    account: &'a str,
    evidence: &'a str,
    problem: Option<ProblemEntry<'a>>,
}

#[derive(Serialize)]
struct ProblemEntry<'a> {
    code: &'a str,
    severity: &'static str,
    cause: &'a str,
    fix: &'a str,
    command: Option<&'a str>,
}

#[derive(Serialize)]
struct RequestEntry<'a> {
    account: &'static str,
    text: &'a str,
}

impl Report<'_> {
    /// Returns the exit status: what is broken counts more than what nobody could look at.
    pub fn status(&self) -> Status {
        if first_broken(self.checks).is_some() {
            Status::Problems
        } else if self.count(Verdict::Unknown) > 0 {
            Status::Unusable
        } else {
            Status::Success
        }
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.of(verdict).count()
    }

    fn of(&self, verdict: Verdict) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.status == verdict)
    }

    /// Returns the report for people.
    pub fn text(&self) -> String {
        let first = first_broken(self.checks);
        let mut text = match first {
            Some(check) => format!("the first broken link:\n{}", block(check)),
            None => self.nothing_is_broken(),
        };
        let row = |check: &Check| {
            [
                check.status.name().to_owned(),
                check.link.code().to_owned(),
                check.link.name().to_owned(),
                printable(&check.resource),
                shown(&check.evidence),
            ]
        };
        let rows: Vec<[String; 5]> = self.checks.iter().map(row).collect();
        let columns =
            ["STATUS", "CODE", "LINK", "RESOURCE", "SEEN"].map(|name| (name, Align::Left));
        text.push_str(&format!(
            "\nall checks, in the direction of the data:\n{}",
            table(columns, &rows)
        ));
        let others =
            [Verdict::Broken, Verdict::Warn].into_iter().flat_map(|status| self.of(status));
        for check in others.filter(|check| first.is_none_or(|first| !std::ptr::eq(first, *check))) {
            text.push_str(&format!("\n{}", block(check)));
        }
        for (side, request) in self.requests {
            let side = side.name();
            text.push_str(&format!(
                "\nto send to the owners of the {side} account:\n\n{}\n",
                printable_lines(request)
            ));
        }
        text
    }

    fn nothing_is_broken(&self) -> String {
        let unknown = self.count(Verdict::Unknown);
        let warnings = match self.count(Verdict::Warn) {
            0 => String::new(),
            count => format!(", {}", counted(count, "warning")),
        };
        match unknown {
            0 => format!("nothing is broken{warnings}\n"),
            _ => format!(
                "nothing is known to be broken{warnings}, but {} could not be made\n",
                counted(unknown, "check")
            ),
        }
    }

    /// Returns the report for programs.
    pub fn json(&self) -> String {
        let requests = self.requests.iter();
        output::json(&Document {
            version: VERSION,
            first_broken: first_broken(self.checks).map(entry),
            object: self.object.as_ref(),
            checks: self.checks.iter().map(entry).collect(),
            requests: requests
                .map(|(side, text)| RequestEntry { account: side.name(), text })
                .collect(),
        })
    }
}

fn entry(check: &Check) -> CheckEntry<'_> {
    CheckEntry {
        link: check.link.code(),
        name: check.link.name(),
        status: check.status.name(),
        resource: &check.resource,
        account: &check.account,
        evidence: &check.evidence,
        problem: check.problem.as_ref().map(|problem| ProblemEntry {
            code: problem.code,
            severity: problem.severity.name(),
            cause: problem.cause,
            fix: &problem.fix,
            command: problem.command.as_deref(),
        }),
    }
}

/// Returns a check with everything that is known about it. The command is alone on its line, to be copied.
fn block(check: &Check) -> String {
    let mut text = format!(
        "{} {} {}: {} in account {}\n",
        check.status.name(),
        check.link.code(),
        check.link.name(),
        printable(&check.resource),
        printable(&check.account)
    );
    let mut line = |what: &str, value: &str| text.push_str(&detail(what, value));
    line("seen", &shown(&check.evidence));
    if let Some(problem) = &check.problem {
        line("code", problem.code);
        line("why", problem.cause);
        line("do", &printable(&problem.fix));
        if let Some(command) = &problem.command {
            line("run", &printable(command));
        }
    }
    text
}

/// Makes a text of several lines harmless, and keeps its lines.
fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use landfall_core::chain::Link;
    use landfall_core::chain::problems::{Problem, Severity};

    use super::*;

    fn check(link: Link, status: Verdict, resource: &str, evidence: &str) -> Check {
        Check {
            link,
            status,
            resource: resource.to_owned(),
            account: "111111111111".to_owned(),
            evidence: evidence.to_owned(),
            problem: None,
        }
    }

    fn problem(code: &'static str, severity: Severity, command: Option<&str>) -> Option<Problem> {
        Some(Problem {
            code,
            severity,
            cause: "Somebody did it.",
            fix: "Undo it.".to_owned(),
            command: command.map(str::to_owned),
        })
    }

    /// A chain of which two links are broken.
    fn broken() -> Vec<Check> {
        let mut mapping =
            check(Link::TriggerMapping, Verdict::Broken, "7f3a", "its state is Disabled");
        let command = "aws lambda update-event-source-mapping --uuid 7f3a --enabled";
        mapping.problem = problem("mapping_disabled", Severity::High, Some(command));
        let mut versioning = check(Link::Versioning, Verdict::Warn, "acme-landing", "it is off");
        versioning.problem = problem("bucket_versioning_off", Severity::Medium, None);
        let mut bucket =
            check(Link::Bucket, Verdict::Broken, "acme\u{1b}[2J", "there is no such bucket");
        bucket.problem = problem("bucket_missing", Severity::High, None);
        vec![
            check(Link::DataStack, Verdict::Ok, "landfall", "UPDATE_COMPLETE"),
            versioning,
            mapping,
            bucket,
            check(Link::Ledger, Verdict::Skipped, "landfall-ledger", "nothing gets there"),
        ]
    }

    #[test]
    fn the_first_broken_link_comes_first_with_its_command() {
        let checks = broken();
        let report = Report { checks: &checks, requests: &[], object: None };
        assert_eq!(report.status(), Status::Problems);
        expect![[r#"
            the first broken link:
            broken LF015 the trigger's event source mapping: 7f3a in account 111111111111
              seen     its state is Disabled
              code     mapping_disabled
              why      Somebody did it.
              do       Undo it.
              run      aws lambda update-event-source-mapping --uuid 7f3a --enabled

            all checks, in the direction of the data:
            STATUS   CODE   LINK                                RESOURCE         SEEN
            ok       LF001  the data account's stack            landfall         UPDATE_COMPLETE
            warn     LF004  the bucket's versioning             acme-landing     it is off
            broken   LF015  the trigger's event source mapping  7f3a             its state is Disabled
            broken   LF003  the bucket                          acme\u{1b}[2J    there is no such bucket
            skipped  LF016  the ledger                          landfall-ledger  nothing gets there

            broken LF003 the bucket: acme\u{1b}[2J in account 111111111111
              seen     there is no such bucket
              code     bucket_missing
              why      Somebody did it.
              do       Undo it.

            warn LF004 the bucket's versioning: acme-landing in account 111111111111
              seen     it is off
              code     bucket_versioning_off
              why      Somebody did it.
              do       Undo it.
        "#]].assert_eq(&report.text());
    }

    #[test]
    fn programs_get_the_same_as_one_document() {
        let checks = &broken()[2..3];
        let requests = [(Side::Analytics, "Dear owners,\nplease look.".to_owned())];
        expect![[r#"
            {
              "version": 1,
              "first_broken": {
                "link": "LF015",
                "name": "the trigger's event source mapping",
                "status": "broken",
                "resource": "7f3a",
                "account": "111111111111",
                "evidence": "its state is Disabled",
                "problem": {
                  "code": "mapping_disabled",
                  "severity": "high",
                  "cause": "Somebody did it.",
                  "fix": "Undo it.",
                  "command": "aws lambda update-event-source-mapping --uuid 7f3a --enabled"
                }
              },
              "checks": [
                {
                  "link": "LF015",
                  "name": "the trigger's event source mapping",
                  "status": "broken",
                  "resource": "7f3a",
                  "account": "111111111111",
                  "evidence": "its state is Disabled",
                  "problem": {
                    "code": "mapping_disabled",
                    "severity": "high",
                    "cause": "Somebody did it.",
                    "fix": "Undo it.",
                    "command": "aws lambda update-event-source-mapping --uuid 7f3a --enabled"
                  }
                }
              ],
              "requests": [
                {
                  "account": "analytics",
                  "text": "Dear owners,\nplease look."
                }
              ]
            }
        "#]]
        .assert_eq(&Report { checks, requests: &requests, object: None }.json());
    }

    #[test]
    fn what_nobody_could_look_at_is_neither_broken_nor_healthy() {
        let mut unknown = check(
            Link::Notifications,
            Verdict::Unknown,
            "acme-landing",
            "s3:GetBucketNotification is missing",
        );
        unknown.problem = problem("could_not_look", Severity::Info, None);
        let checks = [check(Link::DataStack, Verdict::Ok, "landfall", "UPDATE_COMPLETE"), unknown];
        let requests = [(Side::Analytics, "Dear owners,\nplease look.".to_owned())];
        let report = Report { checks: &checks, requests: &requests, object: None };
        assert_eq!(report.status(), Status::Unusable);
        expect![[r#"
            nothing is known to be broken, but 1 check could not be made

            all checks, in the direction of the data:
            STATUS   CODE   LINK                        RESOURCE      SEEN
            ok       LF001  the data account's stack    landfall      UPDATE_COMPLETE
            unknown  LF008  the bucket's notifications  acme-landing  s3:GetBucketNotification is missing

            to send to the owners of the analytics account:

            Dear owners,
            please look.
        "#]].assert_eq(&report.text());
        let report = Report { checks: &checks[..1], requests: &[], object: None };
        assert_eq!(report.status(), Status::Success);
        assert!(report.text().starts_with("nothing is broken\n"));
    }
}
