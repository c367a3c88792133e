use aws_sdk_cloudformation::config::{BehaviorVersion, Credentials, Region};
use serde_json::json;
use wiremock::matchers::body_string_contains;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const STACK: &str = "arn:aws:cloudformation:eu-west-1:222222222222:stack/landfall/1";

/// What CloudFormation says of the stack and of the resource.
struct Cloud {
    stack: &'static str,
    resource: Option<(&'static str, &'static str)>,
}

impl Cloud {
    /// The code of what `kind` is refused with, if it is.
    async fn verdict(&self, check: Check, kind: &str) -> Option<&'static str> {
        let server = MockServer::start().await;
        let answer = |operation: &str, content: String| {
            Mock::given(body_string_contains(format!("Action={operation}&"))).respond_with(
                ResponseTemplate::new(200).set_body_string(format!(
                    "<{operation}Response><{operation}Result>{content}</{operation}Result></{operation}Response>"
                )),
            )
        };
        let stack = format!(
            "<Stacks><member><StackName>landfall</StackName><StackStatus>{}</StackStatus></member></Stacks>",
            self.stack
        );
        answer("DescribeStacks", stack).mount(&server).await;
        match self.resource {
            Some((kind, status)) => {
                let detail = format!(
                    "<StackResourceDetail><LogicalResourceId>Role</LogicalResourceId><ResourceType>{kind}</ResourceType>\
                     <ResourceStatus>{status}</ResourceStatus></StackResourceDetail>"
                );
                answer("DescribeStackResource", detail).mount(&server).await;
            }
            None => {
                let error = "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>\
                     <Message>Resource Role does not exist</Message></Error></ErrorResponse>";
                let answer = ResponseTemplate::new(400).set_body_string(error);
                Mock::given(body_string_contains("Action=DescribeStackResource&"))
                    .respond_with(answer)
                    .mount(&server)
                    .await;
            }
        }
        self::check(&client(&server.uri()), check, &request(kind), soon())
            .await
            .err()
            .map(|failure| failure.code)
    }
}

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_cloudformation::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(landfall_aws::config::http_client())
        .endpoint_url(endpoint)
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::for_tests())
        .build();
    Client::from_conf(config)
}

fn request(kind: &str) -> Request {
    let event = json!({
        "RequestType": kind, "ResponseURL": "https://x/y", "StackId": STACK, "RequestId": "r",
        "ResourceType": "Custom::LandfallJobRole", "LogicalResourceId": "Role",
        "PhysicalResourceId": "Role-1",
    });
    Request::read(&event.to_string()).expect("a request")
}

/// Too early for a second look.
fn soon() -> Instant {
    Instant::now() + PAUSE / 2
}

const OURS: &str = "Custom::LandfallJobRole";
const REFUSED: Option<&str> = Some("request_not_asked_for");

#[tokio::test]
async fn a_request_is_served_while_cloudformation_changes_the_resource_and_the_stack() {
    for (kind, stack, resource) in [
        ("Create", "CREATE_IN_PROGRESS", Some("CREATE_IN_PROGRESS")),
        ("Create", "UPDATE_IN_PROGRESS", Some("CREATE_IN_PROGRESS")),
        ("Update", "UPDATE_IN_PROGRESS", Some("UPDATE_IN_PROGRESS")),
        ("Update", "UPDATE_ROLLBACK_IN_PROGRESS", Some("UPDATE_IN_PROGRESS")),
        ("Delete", "DELETE_IN_PROGRESS", Some("DELETE_IN_PROGRESS")),
        ("Delete", "ROLLBACK_IN_PROGRESS", Some("DELETE_IN_PROGRESS")),
        ("Delete", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Some("UPDATE_COMPLETE")),
        ("Delete", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", None),
        ("Delete", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", None),
    ] {
        let cloud = Cloud { stack, resource: resource.map(|status| (OURS, status)) };
        assert_eq!(cloud.verdict(Check::Resource, kind).await, None, "{kind} {stack} {resource:?}");
    }
}

#[tokio::test]
async fn a_request_that_cloudformation_does_not_wait_for_is_refused() {
    for (kind, stack, resource) in [
        ("Create", "CREATE_COMPLETE", Some((OURS, "CREATE_COMPLETE"))),
        ("Create", "REVIEW_IN_PROGRESS", None),
        ("Create", "CREATE_IN_PROGRESS", None),
        ("Create", "CREATE_IN_PROGRESS", Some(("AWS::IAM::Role", "CREATE_IN_PROGRESS"))),
        ("Update", "UPDATE_IN_PROGRESS", Some((OURS, "UPDATE_COMPLETE"))),
        ("Update", "UPDATE_COMPLETE", Some((OURS, "UPDATE_COMPLETE"))),
        ("Delete", "UPDATE_COMPLETE", Some((OURS, "UPDATE_COMPLETE"))),
        ("Delete", "DELETE_COMPLETE", None),
    ] {
        let cloud = Cloud { stack, resource };
        assert_eq!(
            cloud.verdict(Check::Resource, kind).await,
            REFUSED,
            "{kind} {stack} {resource:?}"
        );
    }
}

#[tokio::test]
async fn where_resources_are_not_told_of_the_stack_decides() {
    let begun = Cloud { stack: "CREATE_IN_PROGRESS", resource: None };
    assert_eq!(begun.verdict(Check::Stack, "Create").await, None);
    let ended = Cloud { stack: "CREATE_COMPLETE", resource: None };
    assert_eq!(ended.verdict(Check::Stack, "Create").await, REFUSED);
}

#[tokio::test]
async fn what_cloudformation_begins_to_tell_a_moment_later_is_waited_for() {
    let server = MockServer::start().await;
    let stack = |status: &str| {
        ResponseTemplate::new(200).set_body_string(format!(
            "<DescribeStacksResponse><DescribeStacksResult><Stacks><member>\
             <StackStatus>{status}</StackStatus></member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
        ))
    };
    let any = || Mock::given(body_string_contains("Action=DescribeStacks&"));
    any().respond_with(stack("UPDATE_COMPLETE")).up_to_n_times(1).mount(&server).await;
    any().respond_with(stack("UPDATE_IN_PROGRESS")).mount(&server).await;
    let plenty = Instant::now() + PATIENCE;
    let checked = check(&client(&server.uri()), Check::Stack, &request("Update"), plenty).await;
    assert!(checked.is_ok(), "{checked:?}");
}

#[tokio::test]
async fn a_cloudformation_that_does_not_answer_is_no_permission() {
    let server = MockServer::start().await;
    let denied = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>";
    let answer = ResponseTemplate::new(403).set_body_string(denied);
    Mock::given(wiremock::matchers::any()).respond_with(answer).mount(&server).await;
    let checked = check(&client(&server.uri()), Check::Resource, &request("Create"), soon()).await;
    assert_eq!(checked.err().map(|failure| failure.code), Some("request_not_checked"));
}
