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
use landfall_inspection::{Clients, cloudformation};
use serde::Serialize;

use crate::explain::document::{RouteEntry, route_entry};
use crate::explain::text::in_words;
use crate::terminal::phrases::{moment, size};
use crate::terminal::printable;
use crate::version;

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

/// The routes that may take the object.
#[derive(Debug, Clone)]
pub struct Known {
    from: Source,
    routes: Routes,
}

/// Where routes are from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// A file that the user names.
    File(String),
    /// The data account's stack of this name, which was deployed with them.
    Stack(String),
}

/// What is known of an object that the ledger doesn't know.
#[derive(Debug)]
pub struct Absent {
    pub look: Look,
    /// The object as its event would show it, as far as that is known.
    arrival: Arrival,
    /// The routes, or why they aren't known.
    routes: Result<Known, String>,
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
    pub fn new(bucket: &str, key: &str, look: Look, routes: Result<Known, String>) -> Self {
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
            listing: None,
        };
        Self { look, arrival, routes }
    }

    /// Returns `true` if the object is so new that its event may be on its way, unless no route takes it.
    pub fn may_arrive(&self, now: Time) -> bool {
        let Look::There(Object { modified: Some(modified), .. }) = &self.look else { return false };
        let is_taken = |route: &Route| {
            matches!(route.judge(&self.arrival), Verdict::Matches(_) | Verdict::Marker(_))
        };
        now.since(*modified) < ON_ITS_WAY
            && (self.routes.is_err() || self.of_bucket().any(is_taken))
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
        let Known { from, .. } = match &self.routes {
            Ok(known) => known,
            Err(why) => {
                writeln!(out, "which route takes it is unknown: {}", printable(why))?;
                return writeln!(
                    out,
                    "to find out which route takes it and where on its way it is lost, run: \
                     landfall doctor --routes routes.yaml"
                );
            }
        };
        let is_taken = self.write_verdicts(out, from)?;
        if is_taken {
            let file = match from {
                Source::File(name) => shell::word(name),
                Source::Stack(_) => "routes.yaml".into(),
            };
            writeln!(
                out,
                "to find out where on its way it is lost, run: landfall doctor --routes {file}"
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
    fn write_verdicts(&self, out: &mut String, from: &Source) -> Result<bool, fmt::Error> {
        let bucket = printable(&self.arrival.bucket);
        let of_bucket: Vec<&Route> = self.of_bucket().collect();
        if of_bucket.is_empty() {
            match from {
                Source::File(name) => write!(out, "{}", printable(name)),
                Source::Stack(stack) => write!(out, "stack `{}`", printable(stack)),
            }?;
            writeln!(
                out,
                " has no route for bucket `{bucket}`: with these routes, nothing starts"
            )?;
            return Ok(false);
        }
        match from {
            Source::File(name) => {
                writeln!(out, "the routes in {} for this bucket say:", printable(name))
            }
            Source::Stack(stack) => writeln!(
                out,
                "the routes for this bucket that stack `{}` was deployed with say:",
                printable(stack)
            ),
        }?;
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
        let routes = self.routes.iter().flat_map(|known| &known.routes.routes);
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
            routes_from: self.routes.as_ref().ok().map(|known| match known.from {
                Source::File(_) => "file",
                Source::Stack(_) => "stack",
            }),
            verdicts: self.routes.as_ref().ok().map(|known| {
                let routes = known.routes.routes.iter();
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
    /// `file` with `--routes`, or `stack` for the deployed routes; `null` if these can't be read.
    routes_from: Option<&'static str>,
    /// The verdicts of the routes of this bucket; `null` if no routes are known.
    verdicts: Option<Vec<RouteEntry<'a>>>,
}

/// Reads the routes that the user names.
pub fn from_file(name: &std::ffi::OsStr, routes: Routes) -> anyhow::Result<Known> {
    let name = name.to_str().context("the routes file's name isn't UTF-8")?.to_owned();
    Ok(Known { from: Source::File(name), routes })
}

/// Reads the routes that the stack with this ledger was deployed with, or says why it can't.
pub async fn deployed(config: &SdkConfig, table: &str) -> Result<Known, String> {
    let Some(stack) = version::stack_of(table) else {
        return Err(format!(
            "table `{table}` doesn't tell the name of its stack: give the routes file with --routes"
        ));
    };
    let cannot = |why: &dyn fmt::Display| {
        format!(
            "the routes that stack `{stack}` was deployed with can't be read: {why}. Or give the routes file with --routes"
        )
    };
    let text = cloudformation::routes(&Clients::new(config), stack).await;
    let text = text.map_err(|unseen| cannot(&unseen))?;
    let routes = Routes::parse(&text).routes;
    let routes =
        routes.ok_or_else(|| cannot(&"this version of `landfall` finds errors in them"))?;
    Ok(Known { from: Source::Stack(stack.to_owned()), routes })
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

    fn routes() -> Result<Known, String> {
        from(Source::File("my routes.yaml".to_owned()))
    }

    fn from(from: Source) -> Result<Known, String> {
        let parsed = Routes::parse(ROUTES);
        let routes = parsed.routes.unwrap_or_else(|| panic!("{:?}", parsed.problems));
        Ok(Known { from, routes })
    }

    fn unknown() -> Result<Known, String> {
        Err("nobody\u{1b} looked".to_owned())
    }

    fn there(size: u64, before: u64) -> Look {
        let modified = Some(NOW - secs(before));
        Look::There(Object { size: Some(size), modified, version_id: Some("v\u{1b}1".to_owned()) })
    }

    #[track_caller]
    fn check(key: &str, look: Look, routes: Result<Known, String>, expected: Expect) {
        expected.assert_eq(&Absent::new("acme-landing", key, look, routes).text(NOW));
    }

    #[test]
    fn an_object_that_a_route_takes_is_lost_on_its_way() {
        check(
            "orders/a.csv",
            there(512, 3_600),
            routes(),
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
            routes(),
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
            unknown(),
            expect![[r#"
                S3 has the object: 512 bytes, version v\u{1b}1, last modified 2025-12-23T00:00:00Z (40 days ago)
                the ledger forgets an arrival some time after its batch is done (30 days, unless you configured another time): a job may have read the object long ago
                which route takes it is unknown: nobody\u{1b} looked
                to find out which route takes it and where on its way it is lost, run: landfall doctor --routes routes.yaml
            "#]],
        );
    }

    #[test]
    fn an_object_that_no_route_takes_is_told_why() {
        check(
            "orders/a.csv",
            there(0, 3_600),
            routes(),
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
            routes(),
            expect![[r#"
            S3 has the object: 512 bytes, version v\u{1b}1, last modified 2026-01-31T23:00:00Z (60 minutes ago)
            the routes in my routes.yaml for this bucket say:
              orders: the key doesn't match `orders/{file}.csv`
            no route takes it: with these routes, nothing starts
        "#]],
        );
        let other = Absent::new("other", "a.csv", there(512, 3_600), routes());
        expect![[r#"
            S3 has the object: 512 bytes, version v\u{1b}1, last modified 2026-01-31T23:00:00Z (60 minutes ago)
            my routes.yaml has no route for bucket `other`: with these routes, nothing starts
        "#]].assert_eq(&other.text(NOW));
    }

    #[test]
    fn only_a_new_object_that_a_route_may_take_can_still_arrive() {
        let may = |key: &str, look, routes| {
            Absent::new("acme-landing", key, look, routes).may_arrive(NOW)
        };
        assert!(may("orders/a.csv", there(512, 60), routes()));
        assert!(may("a.csv", there(512, 60), unknown()), "a route may take it");
        assert!(!may("a.csv", there(512, 60), routes()), "no route takes it");
        assert!(!may("orders/a.csv", there(0, 60), routes()), "it is too small");
        assert!(!may("orders/a.csv", there(512, 600), routes()), "its event is lost");
        for look in [Look::NotThere, Look::Denied, Look::Failed("no".to_owned())] {
            assert!(!may("orders/a.csv", look, routes()));
        }
    }

    #[tokio::test]
    async fn a_table_that_names_no_stack_says_what_to_give_instead() {
        let nowhere = SdkConfig::builder().build();
        let why =
            deployed(&nowhere, "orders").await.expect_err("no stack has a table of this name");
        expect![
            "table `orders` doesn't tell the name of its stack: give the routes file with --routes"
        ]
        .assert_eq(&why);
    }

    #[test]
    fn the_deployed_routes_say_which_stack_they_are_of() {
        let stack = || from(Source::Stack("landfall".to_owned()));
        check(
            "orders/a.csv",
            there(512, 3_600),
            stack(),
            expect![[r#"
            S3 has the object: 512 bytes, version v\u{1b}1, last modified 2026-01-31T23:00:00Z (60 minutes ago)
            the routes for this bucket that stack `landfall` was deployed with say:
              orders: matches, file = `a`
            to find out where on its way it is lost, run: landfall doctor --routes routes.yaml
        "#]],
        );
        check(
            "a.csv",
            there(512, 3_600),
            stack(),
            expect![[r#"
            S3 has the object: 512 bytes, version v\u{1b}1, last modified 2026-01-31T23:00:00Z (60 minutes ago)
            the routes for this bucket that stack `landfall` was deployed with say:
              orders: the key doesn't match `orders/{file}.csv`
            no route takes it: with these routes, nothing starts
        "#]],
        );
        let other = Absent::new("other", "a.csv", there(512, 3_600), stack());
        expect![[r#"
            S3 has the object: 512 bytes, version v\u{1b}1, last modified 2026-01-31T23:00:00Z (60 minutes ago)
            stack `landfall` has no route for bucket `other`: with these routes, nothing starts
        "#]].assert_eq(&other.text(NOW));
    }

    #[test]
    fn a_look_that_fails_says_nothing_about_the_object() {
        check(
            "orders/a.csv",
            Look::NotThere,
            unknown(),
            expect![[r#"
                S3 has no such object now, or no such bucket: check the spelling (nothing in the URI is decoded), and whether the object was deleted
                which route takes it is unknown: nobody\u{1b} looked
                to find out which route takes it and where on its way it is lost, run: landfall doctor --routes routes.yaml
            "#]],
        );
        check(
            "orders/a.csv",
            Look::Denied,
            routes(),
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
            unknown(),
            expect![[r#"
                whether the object exists is unknown: no\u{1b} route to host
                which route takes it is unknown: nobody\u{1b} looked
                to find out which route takes it and where on its way it is lost, run: landfall doctor --routes routes.yaml
            "#]],
        );
        let entry = |look| {
            let absent = Absent::new("acme-landing", "orders/a.csv", look, routes());
            serde_json::to_string(&absent.entry()).expect("it serialises")
        };
        expect![[r#"{"exists":null,"size":null,"last_modified":null,"version_id":null,"routes_from":"file","verdicts":[{"route":"orders","verdict":"matches","captures":{"file":"a"},"only_if":{"min_bytes":1,"max_bytes":null}}]}"#]].assert_eq(&entry(Look::Denied));
        expect![[r#"{"exists":true,"size":0,"last_modified":"2026-02-01T00:00:00Z","version_id":"v\u001b1","routes_from":"file","verdicts":[{"route":"orders","verdict":"too_small","bytes":0,"min_bytes":1}]}"#]].assert_eq(&entry(there(0, 0)));
    }
}
