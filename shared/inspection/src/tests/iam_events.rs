//! What forwards IAM's events, which is in another region than everything else.

use serde_json::json;

use super::*;

const NAME: &str = "landfall-iam-events";
const BUS: &str = "arn:aws:events:eu-west-1:111111111111:event-bus/default";

fn place(region: &str) -> Place {
    Place {
        partition: "aws".to_owned(),
        account: "111111111111".to_owned(),
        region: region.to_owned(),
    }
}

/// Answers for the stack and its rule, in IAM's region only.
fn respond(request: &Request) -> ResponseTemplate {
    let signed = request.headers.get("authorization").and_then(|it| it.to_str().ok());
    if !signed.is_some_and(|signed| signed.contains("/us-east-1/")) {
        return denied(service(request));
    }
    let target = request.headers.get("x-amz-target").and_then(|it| it.to_str().ok());
    match target {
        Some("AWSEvents.DescribeRule") => ResponseTemplate::new(200)
            .set_body_json(json!({ "Name": NAME, "State": "ENABLED", "EventPattern": "{}" })),
        Some(_) => ResponseTemplate::new(200)
            .set_body_json(json!({ "Targets": [{ "Id": "home", "Arn": BUS }] })),
        None => ResponseTemplate::new(200).set_body_string(format!(
            "<DescribeStacksResponse><DescribeStacksResult><Stacks><member><StackName>{NAME}</StackName>\
             <CreationTime>2026-01-31T12:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus></member>\
             </Stacks></DescribeStacksResult></DescribeStacksResponse>"
        )),
    }
}

#[tokio::test]
async fn what_forwards_iams_events_is_looked_at_in_iams_region() {
    let (_server, clients) = clients(respond).await;
    let found = forwarding(&clients, &place("eu-west-1"), "landfall").await.expect("a look");
    assert_eq!((found.region.as_str(), found.bus.as_str()), ("us-east-1", BUS));
    assert_eq!(found.stack.look, Look::Seen("CREATE_COMPLETE".to_owned()));
    assert_eq!(found.rule.look.seen().expect("a rule").targets, [BUS]);
    assert_eq!((found.stack.name.as_str(), found.rule.name.as_str()), (NAME, NAME));
}

#[tokio::test]
async fn in_iams_region_itself_nothing_has_to_be_forwarded_and_nobody_looks() {
    for region in ["us-east-1", "nowhere-1"] {
        let region = Region::new(region);
        let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest());
        let clients = Clients::new(&config.region(region.clone()).build());
        assert!(forwarding(&clients, &place(region.as_ref()), "landfall").await.is_none());
    }
}
