//! Asks CloudTrail who changed a resource last.

use std::time::Duration;

use aws_config::SdkConfig;
use landfall_core::audit::repair::{Change, Trace};
use landfall_core::moment::Time;
use landfall_core::partition::iam_region;
use serde::Deserialize;
use serde_json::json;

use crate::signed::{Service, SignedClient};

const CLOUDTRAIL: Service =
    Service { id: "CloudTrail", name: "cloudtrail", content_type: "application/x-amz-json-1.1" };

/// The time limit for a call.
const LIMIT: Duration = Duration::from_secs(10);

/// The most events of one look: the newest ones come first.
const MAX_EVENTS: u32 = 50;

/// Where a resource's changes are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// IAM records in one region of each partition.
    Iam,
    /// Other services record in their own region.
    Region,
}

/// The clients for the two places.
#[derive(Debug)]
pub struct CloudTrail {
    iam: SignedClient,
    region: SignedClient,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    events: Vec<Found>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    event_time: f64,
    event_name: String,
    /// The event itself, as JSON.
    cloud_trail_event: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(default)]
    read_only: bool,
    error_code: Option<String>,
    user_identity: Identity,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Identity {
    #[serde(rename = "type")]
    kind: String,
    arn: Option<String>,
    invoked_by: Option<String>,
    session_context: Session,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Session {
    session_issuer: Issuer,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Issuer {
    user_name: String,
}

impl CloudTrail {
    /// Makes the clients. Makes no call.
    pub fn new(config: &SdkConfig, partition: &str, region: &str) -> Self {
        let client = |region| SignedClient::new(CLOUDTRAIL, Some((partition, region)), config);
        let iam = iam_region(partition).unwrap_or(region);
        Self { iam: client(iam), region: client(region) }
    }

    /// Looks for the last change of the resource of this name since `since`. A change by the role named `own`, or by an AWS service,
    /// is Landfall's own.
    pub async fn last_change(
        &self,
        place: Whereabouts,
        name: &str,
        own: &str,
        since: Time,
    ) -> Trace {
        let body = json!({
            "LookupAttributes": [{ "AttributeKey": "ResourceName", "AttributeValue": name }],
            "StartTime": since.0 / 1_000,
            "MaxResults": MAX_EVENTS,
        });
        let client = match place {
            Whereabouts::Iam => &self.iam,
            Whereabouts::Region => &self.region,
        };
        let (target, body) = ("CloudTrail_20131101.LookupEvents", body.to_string());
        let answer = tokio::time::timeout(LIMIT, client.call::<Answer>(target, &body)).await;
        match answer {
            Ok(Ok(answer)) => last(&answer, own),
            Ok(Err(why)) => Trace::Unknown(format!("LookupEvents: {why}")),
            Err(_) => Trace::Unknown("LookupEvents: a time-out".to_owned()),
        }
    }
}

/// Returns the newest event that changed something.
fn last(answer: &Answer, own: &str) -> Trace {
    let changes = answer.events.iter().filter_map(|found| {
        let event: Event = serde_json::from_str(&found.cloud_trail_event).ok()?;
        let is_change = !event.read_only && event.error_code.is_none();
        is_change.then(|| change(found, event.user_identity, own))
    });
    changes.max_by_key(|change| change.at).map_or(Trace::Nothing, Trace::Changed)
}

fn change(found: &Found, who: Identity, own: &str) -> Change {
    // A float becomes the nearest integer that there is.
    let at = Time((found.event_time * 1_000.0) as u64);
    let is_own = who.kind == "AWSService"
        || who.invoked_by.as_deref() == Some("cloudformation.amazonaws.com")
        || who.session_context.session_issuer.user_name == own;
    let actor = who.arn.or(who.invoked_by).unwrap_or_else(|| "somebody".to_owned());
    Change { at, operation: found.event_name.clone(), actor, is_own }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(at: f64, name: &str, event: &serde_json::Value) -> serde_json::Value {
        json!({ "EventTime": at, "EventName": name, "CloudTrailEvent": event.to_string() })
    }

    #[track_caller]
    fn check(events: &[serde_json::Value], expected: &str) {
        let answer = serde_json::from_value(json!({ "Events": events })).expect("an answer");
        let shown = match last(&answer, "landfall-provisioner") {
            Trace::Changed(change) => format!("{change}, own: {}", change.is_own),
            other => format!("{other:?}"),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn the_newest_event_that_changed_something_is_the_last_change() {
        let ada = json!({ "type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/admin/ada",
            "sessionContext": { "sessionIssuer": { "userName": "admin" } } });
        let landfall = json!({ "type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/landfall-provisioner/f",
            "sessionContext": { "sessionIssuer": { "userName": "landfall-provisioner" } } });
        let stack = json!({ "type": "IAMUser", "arn": "arn:aws:iam::1:user/ada",
            "invokedBy": "cloudformation.amazonaws.com" });
        let by = |who: &serde_json::Value| json!({ "readOnly": false, "userIdentity": who });
        let deleted = found(1_700_000_000.0, "DeleteRole", &by(&ada));
        let looked =
            found(1_700_000_050.0, "GetRole", &json!({ "readOnly": true, "userIdentity": ada }));
        let refused = found(
            1_700_000_060.0,
            "DeleteRole",
            &json!({ "readOnly": false, "errorCode": "NoSuchEntity", "userIdentity": ada }),
        );
        let unreadable =
            json!({ "EventTime": 1_700_000_070.0, "EventName": "X", "CloudTrailEvent": "{" });
        check(&[], "Nothing");
        check(&[looked.clone(), refused.clone(), unreadable.clone()], "Nothing");
        check(
            &[unreadable, refused, looked, deleted.clone()],
            "`arn:aws:sts::1:assumed-role/admin/ada` called `DeleteRole` at 2023-11-14T22:13:20Z, own: false",
        );
        check(
            &[deleted, found(1_700_000_010.0, "CreateRole", &by(&landfall))],
            "`arn:aws:sts::1:assumed-role/landfall-provisioner/f` called `CreateRole` at 2023-11-14T22:13:30Z, own: true",
        );
        check(
            &[found(1_700_000_000.0, "DeleteRole", &by(&stack))],
            "`arn:aws:iam::1:user/ada` called `DeleteRole` at 2023-11-14T22:13:20Z, own: true",
        );
    }
}
