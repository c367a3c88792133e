//! Judges the way of one object into the ledger.

use super::{Gap, NOTHING, Place, listed, look, until_ledger};
use crate::chain::check::{Check, Status, first_broken};
use crate::chain::link::{Link, Side};
use crate::chain::object::{Head, KEPT, ON_ITS_WAY, Object};
use crate::chain::observed::{Look, Observations};
use crate::chain::problems::Fault;

/// Judges an object, whether a route takes it, each link on its way, and whether the ledger has it: in this order. Without
/// `chain`, which only an object [that is lost](Object::is_lost) needs, the links aren't judged. Of `chain`, only the data
/// account's half counts.
pub fn judge_object(object: &Object, chain: Option<&Observations>) -> Vec<Check> {
    let of = Of { object, uri: object.uri(), place: place(object) };
    let mut checks = vec![of.object(), of.taker()];
    if let Some(Observations { routes, data: Ok(data), deploy, .. }) = chain {
        checks.extend(until_ledger(&Place::data(data, deploy), data, routes));
    }
    checks.push(of.arrival(&checks));
    checks
}

fn place(object: &Object) -> Place<'_> {
    let Object { account, region, .. } = object;
    Place {
        side: Side::Data,
        account,
        region,
        stack: "",
        is_stack_missing: false,
        deploy: "",
        kept_by_organization: &NOTHING,
    }
}

struct Of<'a> {
    object: &'a Object,
    uri: String,
    place: Place<'a>,
}

impl Of<'_> {
    fn object(&self) -> Check {
        let link = Link::Object;
        match &self.object.head {
            Look::Seen(head) => self.place.ok(link, &self.uri, self.words(head)),
            Look::Missing if self.object.recorded().is_empty() => {
                let evidence = "S3 has no such object now, or no such bucket";
                self.wrong(link, Status::Broken, evidence, Fault::ObjectMissing)
            }
            Look::Missing => {
                self.wrong(link, Status::Warn, "S3 has no such object now", Fault::ObjectGone)
            }
            Look::Denied(permission) => {
                let why = format!(
                    "S3 doesn't say whether the object exists: the credentials need `{permission}` for it, and \
                     `s3:ListBucket` for its bucket"
                );
                self.place.unknown(link, &self.uri, why)
            }
            Look::DeniedByOrganization(permission) => {
                let gap = Gap::DeniedByOrganization(permission);
                self.place.gap_after(link, &self.uri, &gap, link)
            }
            Look::Failed(why) => {
                self.place.unknown(link, &self.uri, format!("the look failed: {why}"))
            }
        }
    }

    fn words(&self, head: &Head) -> String {
        let Head { size, modified, version_id, etag } = head;
        let parts = [
            size.map(|bytes| format!("{bytes} bytes")),
            version_id.as_ref().map(|id| format!("version {id}")),
            etag.as_ref().map(|etag| format!("ETag {etag}")),
            modified.map(|time| format!("last modified {time}")),
            (*size == Some(0) && self.object.key.ends_with('/'))
                .then(|| "it only marks a folder".to_owned()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("it is there: {}", parts.join(", "))
    }

    fn taker(&self) -> Check {
        let link = Link::Taker;
        let answers = match &self.object.answers {
            Ok(answers) => answers,
            Err(why) => return self.place.unknown(link, &self.uri, why),
        };
        let takers = listed(self.object.takers());
        if !takers.is_empty() {
            return self.place.ok(link, &self.uri, format!("{}: taken by {takers}", answers.from));
        }
        let each = answers.routes.iter().map(|it| format!("`{}`: {}", it.route, it.words));
        let each: Vec<String> = each.collect();
        let evidence = match each[..] {
            [] => format!("{}: none is for bucket `{}`", answers.from, self.object.bucket),
            [..] => format!("{}: {}", answers.from, each.join("; ")),
        };
        if !self.object.recorded().is_empty() {
            let why = format!("no route takes it now, but one did when it arrived ({evidence})");
            return self.place.skipped(link, &self.uri, why);
        }
        self.wrong(link, Status::Broken, evidence, Fault::ObjectNotTaken)
    }

    /// Judges whether the ledger has the object. `earlier` are the checks of everything before.
    fn arrival(&self, earlier: &[Check]) -> Check {
        let (link, uri, place) = (Link::Arrival, &self.uri, &self.place);
        if let [newest, ..] = self.object.recorded()[..] {
            let (route, batch, at) = (&newest.route, &newest.batch, newest.at);
            let evidence = format!("route `{route}` took it at {at} into batch {batch}");
            return place.ok(link, uri, evidence);
        }
        let arrivals = match look(&self.object.arrivals) {
            Ok(arrivals) => arrivals,
            Err(gap) => return place.gap_after(link, uri, &gap, Link::Ledger),
        };
        if let Some(Check { link: broken, .. }) = first_broken(earlier) {
            let (name, code) = (broken.name(), broken.code());
            return place.skipped(link, uri, format!("it isn't there, because of {name} ({code})"));
        }
        let evidence = match arrivals[..] {
            [] => "the ledger has no arrival of it",
            [..] => "the ledger has only arrivals of versions before this one",
        };
        if !self.object.is_taken() {
            return place.unknown(
                link,
                uri,
                format!("{evidence}, and nobody knows whether it should"),
            );
        }
        let modified = self.object.head.seen().and_then(|head| head.modified);
        match modified.map(|time| self.object.at.since(time)) {
            Some(age) if age < ON_ITS_WAY => {
                self.wrong(link, Status::Warn, evidence, Fault::ObjectOnItsWay)
            }
            Some(age) if age > KEPT => {
                self.wrong(link, Status::Warn, evidence, Fault::ObjectForgotten)
            }
            _ if matches!(self.object.head, Look::Seen(_)) => {
                self.wrong(link, Status::Broken, evidence, Fault::ObjectNotRecorded)
            }
            _ => {
                place.unknown(link, uri, format!("{evidence}, and nobody knows whether it exists"))
            }
        }
    }

    fn wrong(
        &self,
        link: Link,
        status: Status,
        evidence: impl Into<String>,
        fault: Fault,
    ) -> Check {
        let Object { bucket, key, .. } = self.object;
        let route = self.object.takers().next().unwrap_or("ROUTE");
        let values =
            [("uri", self.uri.as_str()), ("bucket", bucket), ("key", key), ("route", route)];
        self.place.wrong(link, status, &self.uri, evidence, fault, &values)
    }
}
