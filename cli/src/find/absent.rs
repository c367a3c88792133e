//! What can be said of an object that the ledger doesn't know: whether S3 has it, and which route takes it. A look that
//! fails says so, and nothing about the object.

use std::fmt::{self, Write};
use std::time::Duration;

use anyhow::Context;
use aws_config::SdkConfig;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::head_object::{HeadObjectError, HeadObjectOutput};
use landfall_aws::sdk_error::AwsError;
use landfall_core::arrivals::Arrival;
use landfall_core::moment::Time;
use landfall_core::routes::{Route, Routes, Verdict};
use landfall_core::shell;
use serde::Serialize;

use crate::explain::document::{RouteEntry, route_entry};
use crate::explain::text::in_words;
use crate::terminal::phrases::{moment, size};
use crate::terminal::printable;

/// How long the event of an object can take to get into the ledger. Usually it takes seconds.
const ON_ITS_WAY: Duration = Duration::from_secs(300);

/// How long the ledger keeps arrivals at least, unless it is configured otherwise.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// What S3 says about an object.
#[derive(Debug)]
pub enum Look {
    There(Object),
    /// S3 says that there is no such object, or no such bucket: the answer doesn't tell which.
    NotThere,
    /// S3 refuses the look. It does so too for an object that doesn't exist, if the caller may not list the bucket.
    Denied,
    /// S3 didn't answer, or not to the question.
    Failed(String),
}

/// An object as S3 shows it.
#[derive(Debug, Clone)]
pub struct Object {
    pub size: Option<u64>,
    pub modified: Option<Time>,
    pub version_id: Option<String>,
}

/// The routes that may take the object, and the file that they are from.
#[derive(Debug)]
pub struct FromFile {
    pub name: String,
    pub routes: Routes,
}

/// What is known of an object that the ledger doesn't know.
#[derive(Debug)]
pub struct Absent {
    pub look: Look,
    /// The object as its event would show it, as far as that is known.
    arrival: Arrival,
    from_file: Option<FromFile>,
}

/// Asks S3 about the newest version of an object.
pub async fn look(config: &SdkConfig, bucket: &str, key: &str) -> Look {
    let s3 = landfall_aws::config::s3(config).build();
    let head = aws_sdk_s3::Client::from_conf(s3).head_object().bucket(bucket).key(key);
    match head.send().await {
        Ok(head) => Look::There(object(&head)),
        Err(error) => failed(&error),
    }
}

fn object(head: &HeadObjectOutput) -> Object {
    let modified = head.last_modified().and_then(|time| time.to_millis().ok());
    Object {
        size: head.content_length().and_then(|bytes| u64::try_from(bytes).ok()),
        modified: modified.and_then(|millis| u64::try_from(millis).ok()).map(Time),
        version_id: head.version_id().filter(|id| *id != "null").map(str::to_owned),
    }
}

/// The answers to `HEAD` have no body, so only the status tells what is wrong.
fn failed(error: &SdkError<HeadObjectError>) -> Look {
    match error.raw_response().map(|raw| raw.status().as_u16()) {
        Some(404) => Look::NotThere,
        Some(403) => Look::Denied,
        Some(301 | 307) => Look::Failed(
            "the bucket is in another region: name it with AWS_REGION, or look at the object yourself".to_owned(),
        ),
        Some(status) => Look::Failed(format!("S3 answers with HTTP status {status}")),
        None => Look::Failed(AwsError::new(error).to_string()),
    }
}

impl Absent {
    pub fn new(bucket: &str, key: &str, look: Look, from_file: Option<FromFile>) -> Self {
        let object = match &look {
            Look::There(object) => Some(object.clone()),
            Look::NotThere | Look::Denied | Look::Failed(_) => None,
        };
        let arrival = Arrival {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            size: object.as_ref().and_then(|object| object.size),
            etag: None,
            version_id: object.and_then(|object| object.version_id),
            sequencer: None,
            event_time: None,
        };
        Self { look, arrival, from_file }
    }

    /// Returns it as lines of text.
    pub fn text(&self, now: Time) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out, now);
        out
    }

    fn write(&self, out: &mut String, now: Time) -> fmt::Result {
        self.write_look(out, now)?;
        let Some(FromFile { name, .. }) = &self.from_file else {
            return writeln!(
                out,
                "to find out which route takes it and where on its way it is lost, run: \
                 landfall doctor --routes routes.yaml"
            );
        };
        let is_taken = self.write_verdicts(out, name)?;
        if is_taken {
            writeln!(
                out,
                "to find out where on its way it is lost, run: landfall doctor --routes {}",
                shell::word(name)
            )?;
        }
        Ok(())
    }

    fn write_look(&self, out: &mut String, now: Time) -> fmt::Result {
        match &self.look {
            Look::There(Object { size: bytes, modified, version_id }) => {
                write!(out, "S3 has the object: {}", size(*bytes))?;
                if let Some(version) = version_id {
                    write!(out, ", version {}", printable(version))?;
                }
                let Some(modified) = *modified else { return writeln!(out) };
                writeln!(out, ", last modified {}", moment(modified, now))?;
                if now.since(modified) < ON_ITS_WAY {
                    writeln!(
                        out,
                        "its event may still be on its way: look again in a few minutes"
                    )?;
                } else if now.since(modified) > KEPT {
                    writeln!(
                        out,
                        "the ledger forgets an arrival some time after its batch is done (30 days, unless you \
                         configured another time): a job may have read the object long ago"
                    )?;
                }
                Ok(())
            }
            Look::NotThere => writeln!(
                out,
                "S3 has no such object now, or no such bucket: check the spelling (nothing in the URI is decoded), \
                 and whether the object was deleted"
            ),
            Look::Denied => writeln!(
                out,
                "S3 doesn't say whether the object exists (403): your credentials need s3:GetObject for it, and \
                 s3:ListBucket for its bucket"
            ),
            Look::Failed(why) => {
                writeln!(out, "whether the object exists is unknown: {}", printable(why))
            }
        }
    }

    /// Writes what each route of the bucket says, and returns `true` if one takes the object.
    fn write_verdicts(&self, out: &mut String, name: &str) -> Result<bool, fmt::Error> {
        let (bucket, name) = (printable(&self.arrival.bucket), printable(name));
        let of_bucket: Vec<&Route> = self.of_bucket().collect();
        if of_bucket.is_empty() {
            writeln!(
                out,
                "{name} has no route for bucket `{bucket}`: with these routes, nothing starts"
            )?;
            return Ok(false);
        }
        writeln!(out, "the routes in {name} for this bucket say:")?;
        let mut is_taken = false;
        for route in of_bucket {
            let verdict = route.judge(&self.arrival);
            is_taken |= matches!(verdict, Verdict::Matches(_) | Verdict::Marker(_));
            writeln!(out, "  {}: {}", route.name, in_words(route, &self.arrival, &verdict))?;
        }
        if !is_taken {
            writeln!(out, "no route takes it: with these routes, nothing starts")?;
        }
        Ok(is_taken)
    }

    fn of_bucket(&self) -> impl Iterator<Item = &Route> {
        let routes = self.from_file.iter().flat_map(|file| &file.routes.routes);
        routes.filter(|route| route.bucket == self.arrival.bucket)
    }

    /// Returns it for the JSON document.
    pub fn entry(&self) -> AbsentEntry<'_> {
        let (exists, object) = match &self.look {
            Look::There(object) => (Some(true), Some(object)),
            Look::NotThere => (Some(false), None),
            Look::Denied | Look::Failed(_) => (None, None),
        };
        AbsentEntry {
            exists,
            size: object.and_then(|object| object.size),
            last_modified: object.and_then(|object| object.modified).map(|time| time.to_string()),
            version_id: object.and_then(|object| object.version_id.as_deref()),
            verdicts: self.from_file.as_ref().map(|file| {
                let routes = file.routes.routes.iter();
                routes.filter_map(|route| route_entry(route, &self.arrival)).collect()
            }),
        }
    }
}

/// What is known of the object itself.
#[derive(Serialize)]
pub struct AbsentEntry<'a> {
    /// `null` if S3 doesn't say.
    exists: Option<bool>,
    size: Option<u64>,
    last_modified: Option<String>,
    version_id: Option<&'a str>,
    /// The verdicts of the routes of this bucket; `null` without `--routes`.
    verdicts: Option<Vec<RouteEntry<'a>>>,
}

/// Reads the routes that the user names.
pub fn from_file(name: &std::ffi::OsStr, routes: Routes) -> anyhow::Result<FromFile> {
    let name = name.to_str().context("the routes file's name isn't UTF-8")?.to_owned();
    Ok(FromFile { name, routes })
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::fixtures::{NOW, secs};

    const ROUTES: &str = "
version: 1
targets:
  analytics:
    account: '222222222222'
    region: eu-west-1
    starter_role: landfall-starter
    external_id: ${EXTERNAL_ID}
routes:
  - name: orders
    bucket: acme-landing
    key: 'orders/{file}.csv'
    where: { min_bytes: 1 }
    start: { target: analytics, job: orders }
";

    fn routes() -> FromFile {
        let parsed = Routes::parse(ROUTES);
        let routes = parsed.routes.unwrap_or_else(|| panic!("{:?}", parsed.problems));
        FromFile { name: "my routes.yaml".to_owned(), routes }
    }

    fn there(size: u64, before: u64) -> Look {
        let modified = Some(NOW - secs(before));
        Look::There(Object { size: Some(size), modified, version_id: Some("v\u{1b}1".to_owned()) })
    }

    #[track_caller]
    fn check(key: &str, look: Look, from_file: Option<FromFile>, expected: Expect) {
        expected.assert_eq(&Absent::new("acme-landing", key, look, from_file).text(NOW));
    }

    #[test]
    fn an_object_that_a_route_takes_is_lost_on_its_way() {
        check(
            "orders/a.csv",
            there(512, 3_600),
            Some(routes()),
            expect![[r#"
            S3 has the object: 512 bytes, version v\u{1b}1, last modified 2026-01-31T23:00:00Z (60 minutes ago)
            the routes in my routes.yaml for this bucket say:
              orders: matches, file = `a`
            to find out where on its way it is lost, run: landfall doctor --routes 'my routes.yaml'
        "#]],
        );
        check(
            "orders/a.csv",
            there(512, 60),
            Some(routes()),
            expect![[r#"
            S3 has the object: 512 bytes, version v\u{1b}1, last modified 2026-01-31T23:59:00Z (60 seconds ago)
            its event may still be on its way: look again in a few minutes
            the routes in my routes.yaml for this bucket say:
              orders: matches, file = `a`
            to find out where on its way it is lost, run: landfall doctor --routes 'my routes.yaml'
        "#]],
        );
        check(
            "orders/a.csv",
            there(512, 40 * 86_400),
            None,
            expect![[r#"
            S3 has the object: 512 bytes, version v\u{1b}1, last modified 2025-12-23T00:00:00Z (40 days ago)
            the ledger forgets an arrival some time after its batch is done (30 days, unless you configured another time): a job may have read the object long ago
            to find out which route takes it and where on its way it is lost, run: landfall doctor --routes routes.yaml
        "#]],
        );
    }

    #[test]
    fn an_object_that_no_route_takes_is_told_why() {
        check(
            "orders/a.csv",
            there(0, 3_600),
            Some(routes()),
            expect![[r#"
            S3 has the object: 0 bytes, version v\u{1b}1, last modified 2026-01-31T23:00:00Z (60 minutes ago)
            the routes in my routes.yaml for this bucket say:
              orders: too small: 0 bytes, `where.min_bytes` is 1
            no route takes it: with these routes, nothing starts
        "#]],
        );
        check(
            "a.csv",
            there(512, 3_600),
            Some(routes()),
            expect![[r#"
            S3 has the object: 512 bytes, version v\u{1b}1, last modified 2026-01-31T23:00:00Z (60 minutes ago)
            the routes in my routes.yaml for this bucket say:
              orders: the key doesn't match `orders/{file}.csv`
            no route takes it: with these routes, nothing starts
        "#]],
        );
        let other = Absent::new("other", "a.csv", there(512, 3_600), Some(routes()));
        expect![[r#"
            S3 has the object: 512 bytes, version v\u{1b}1, last modified 2026-01-31T23:00:00Z (60 minutes ago)
            my routes.yaml has no route for bucket `other`: with these routes, nothing starts
        "#]].assert_eq(&other.text(NOW));
    }

    #[test]
    fn a_look_that_fails_says_nothing_about_the_object() {
        check(
            "orders/a.csv",
            Look::NotThere,
            None,
            expect![[r#"
            S3 has no such object now, or no such bucket: check the spelling (nothing in the URI is decoded), and whether the object was deleted
            to find out which route takes it and where on its way it is lost, run: landfall doctor --routes routes.yaml
        "#]],
        );
        check(
            "orders/a.csv",
            Look::Denied,
            Some(routes()),
            expect![[r#"
            S3 doesn't say whether the object exists (403): your credentials need s3:GetObject for it, and s3:ListBucket for its bucket
            the routes in my routes.yaml for this bucket say:
              orders: matches, file = `a`, but only if it has at least 1 byte
            to find out where on its way it is lost, run: landfall doctor --routes 'my routes.yaml'
        "#]],
        );
        check(
            "orders/a.csv",
            Look::Failed("no\u{1b} route to host".to_owned()),
            None,
            expect![[r#"
            whether the object exists is unknown: no\u{1b} route to host
            to find out which route takes it and where on its way it is lost, run: landfall doctor --routes routes.yaml
        "#]],
        );
        let entry = |look| {
            let absent = Absent::new("acme-landing", "orders/a.csv", look, Some(routes()));
            serde_json::to_string(&absent.entry()).expect("it serialises")
        };
        expect![[r#"{"exists":null,"size":null,"last_modified":null,"version_id":null,"verdicts":[{"route":"orders","verdict":"matches","captures":{"file":"a"},"only_if":{"min_bytes":1,"max_bytes":null}}]}"#]].assert_eq(&entry(Look::Denied));
        expect![[r#"{"exists":true,"size":0,"last_modified":"2026-02-01T00:00:00Z","version_id":"v\u001b1","verdicts":[{"route":"orders","verdict":"too_small","bytes":0,"min_bytes":1}]}"#]].assert_eq(&entry(there(0, 0)));
    }
}
