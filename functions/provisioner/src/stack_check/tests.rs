use aws_sdk_cloudformation::config::{BehaviorVersion, Credentials, Region};
use serde_json::json;
use wiremock::matchers::body_string_contains;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const STACK: &str = "arn:aws:cloudformation:eu-west-1:222222222222:stack/landfall/1";

/// What CloudFormation reports about the stack, and the type, status and physical ID of the
/// resource.
struct Cloud {
    stack: &'static str,
    resource: Option<(&'static str, &'static str, &'static str)>,
}

impl Cloud {
    /// Checks a dated request of this kind. Returns the code if it is refused.
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
            Some((kind, status, id)) => {
                let detail = format!(
                    "<StackResourceDetail><LogicalResourceId>Role</LogicalResourceId><PhysicalResourceId>{id}\
                     </PhysicalResourceId><ResourceType>{kind}</ResourceType>\
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
        ask(&server, check, kind, Patience::UntilItBegins, soon())
            .await
            .err()
            .map(|failure| failure.code())
    }
}

async fn ask(
    server: &MockServer,
    check: Check,
    kind: &str,
    patience: Patience,
    deadline: Instant,
) -> Result<StackState, Failure> {
    let (request, is_deleted) = (request(kind), |id: &str| id == "Role-1");
    let question = Question { request: &request, is_dated: true, is_deleted: &is_deleted };
    self::check(&client(&server.uri()), check, &question, patience, deadline).await
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

/// A deadline that leaves no time for a second query.
fn soon() -> Instant {
    Instant::now() + PAUSE / 2
}

const OURS: &str = "Custom::LandfallJobRole";
const REFUSED: Option<&str> = Some("request_not_asked_for");

#[tokio::test]
async fn a_request_is_served_while_cloudformation_changes_the_resource_and_the_stack() {
    let (own, other) = ("Role-1", "Role-2");
    for (kind, stack, resource) in [
        ("Create", "CREATE_IN_PROGRESS", Some(("CREATE_IN_PROGRESS", ""))),
        ("Create", "UPDATE_IN_PROGRESS", Some(("CREATE_IN_PROGRESS", ""))),
        ("Update", "UPDATE_IN_PROGRESS", Some(("UPDATE_IN_PROGRESS", own))),
        ("Update", "UPDATE_ROLLBACK_IN_PROGRESS", Some(("UPDATE_IN_PROGRESS", own))),
        ("Update", "UPDATE_ROLLBACK_IN_PROGRESS", Some(("UPDATE_ROLLBACK_IN_PROGRESS", other))),
        ("Delete", "DELETE_IN_PROGRESS", Some(("DELETE_IN_PROGRESS", own))),
        ("Delete", "ROLLBACK_IN_PROGRESS", Some(("DELETE_IN_PROGRESS", ""))),
        ("Delete", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Some(("UPDATE_COMPLETE", other))),
        ("Delete", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Some(("DELETE_IN_PROGRESS", own))),
        ("Delete", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", None),
        ("Delete", "UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", None),
    ] {
        let cloud = Cloud { stack, resource: resource.map(|(status, id)| (OURS, status, id)) };
        assert_eq!(cloud.verdict(Check::Resource, kind).await, None, "{kind} {stack} {resource:?}");
    }
}

#[tokio::test]
async fn a_request_that_cloudformation_does_not_wait_for_is_refused() {
    let (own, other) = ("Role-1", "Role-2");
    for (kind, stack, resource) in [
        ("Create", "CREATE_COMPLETE", Some((OURS, "CREATE_COMPLETE", own))),
        ("Create", "REVIEW_IN_PROGRESS", None),
        ("Create", "CREATE_IN_PROGRESS", None),
        ("Create", "CREATE_IN_PROGRESS", Some(("AWS::IAM::Role", "CREATE_IN_PROGRESS", own))),
        ("Create", "DELETE_IN_PROGRESS", Some((OURS, "DELETE_IN_PROGRESS", own))),
        ("Update", "UPDATE_IN_PROGRESS", Some((OURS, "UPDATE_COMPLETE", own))),
        ("Update", "UPDATE_COMPLETE", Some((OURS, "UPDATE_COMPLETE", own))),
        ("Update", "DELETE_IN_PROGRESS", Some((OURS, "DELETE_IN_PROGRESS", own))),
        ("Delete", "UPDATE_COMPLETE", Some((OURS, "UPDATE_COMPLETE", other))),
        ("Delete", "UPDATE_IN_PROGRESS", Some((OURS, "UPDATE_COMPLETE", own))),
        ("Delete", "UPDATE_IN_PROGRESS", Some((OURS, "DELETE_IN_PROGRESS", own))),
        ("Delete", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Some((OURS, "UPDATE_COMPLETE", own))),
        ("Delete", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Some((OURS, "UPDATE_COMPLETE", ""))),
        ("Delete", "DELETE_IN_PROGRESS", Some((OURS, "DELETE_SKIPPED", own))),
        ("Delete", "DELETE_IN_PROGRESS", Some(("AWS::IAM::Role", "DELETE_IN_PROGRESS", own))),
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
    // The emulator deletes a replaced resource while the stack is still updating.
    let updating = Cloud { stack: "UPDATE_IN_PROGRESS", resource: None };
    assert_eq!(updating.verdict(Check::Stack, "Delete").await, None);
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
    any().respond_with(stack("UPDATE_IN_PROGRESS")).up_to_n_times(1).mount(&server).await;
    any().respond_with(stack("UPDATE_COMPLETE")).mount(&server).await;
    let plenty = || Instant::now() + PATIENCE;
    let first = ask(&server, Check::Stack, "Update", Patience::UntilItBegins, plenty()).await;
    assert!(first.is_ok(), "{first:?}");
    // CloudFormation reported the resource before. Now the work has ended, and that is final.
    let begun = Instant::now();
    let second = ask(&server, Check::Stack, "Update", Patience::ForAnAnswer, plenty()).await;
    assert_eq!(second.err().map(|failure| failure.code()), REFUSED);
    assert!(begun.elapsed() < PATIENCE / 2, "it waited for {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_cloudformation_that_does_not_answer_is_no_permission() {
    let server = MockServer::start().await;
    let denied = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>";
    let answer = ResponseTemplate::new(403).set_body_string(denied);
    Mock::given(wiremock::matchers::any()).respond_with(answer).mount(&server).await;
    for patience in [Patience::UntilItBegins, Patience::ForAnAnswer] {
        let answer = ask(&server, Check::Resource, "Create", patience, soon()).await;
        assert_eq!(answer.err().map(|failure| failure.code()), Some("request_not_checked"));
    }
}
