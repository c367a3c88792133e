//! The surroundings of each test: a stack in CloudFormation, roles in IAM, the table, and the
//! compiled function.

use std::fs::File;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use landfall_core::moment::Time;
use landfall_stand_ins::{Stack, StackResource, StandIn, Table};
use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

pub(crate) const STACK: &str = "arn:aws:cloudformation:eu-west-1:111111111111:stack/landfall/1";
pub(crate) const TABLE: &str = "landfall-provisioner";
pub(crate) const ROLE: &str = "landfall-starter";
pub(crate) const STARTER: &str = "Custom::LandfallStarterRole";

/// The account whose roles may be trusted.
pub(crate) const TRUSTED: &str = "222222222222";

/// The time if the request succeeds. Other tests run at the same time, and perhaps a compiler.
const PLENTY: Duration = Duration::from_secs(60);

/// The time if CloudFormation says no. The function keeps asking until a good half of it is over.
const LITTLE: Duration = Duration::from_secs(6);

const NEXT: &str = "/2018-06-01/runtime/invocation/next";

pub(crate) struct Fixture {
    pub aws: StandIn,
    /// The server that receives the responses.
    sink: MockServer,
    variables: Vec<(&'static str, String)>,
}

/// A running function. Dropping it ends the process.
struct Function(Child);

impl Drop for Function {
    fn drop(&mut self) {
        // The function may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The outcome of a request.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The response that CloudFormation got.
    pub response: Option<Value>,
    /// The error that Lambda got, if the invocation failed.
    pub error: Option<Value>,
    pub log: Vec<Value>,
    /// The codes of the requests that it counted as refused.
    pub counted: Vec<String>,
}

impl Answered {
    #[track_caller]
    pub(crate) fn response(&self) -> &Value {
        self.response.as_ref().unwrap_or_else(|| panic!("no response: {self:#?}"))
    }

    /// Returns the physical ID. Fails if the request did not succeed.
    #[track_caller]
    pub(crate) fn id(&self) -> String {
        assert_eq!(self.response()["Status"], "SUCCESS", "{self:#?}");
        self.response()["PhysicalResourceId"].as_str().expect("an id").to_owned()
    }

    /// Fails unless the request was refused for a reason that contains these words.
    #[track_caller]
    pub(crate) fn is_refused(&self, reason: &str) {
        let said = &self.response()["Reason"];
        assert_eq!(self.response()["Status"], "FAILED", "{self:#?}");
        assert!(said.as_str().is_some_and(|said| said.contains(reason)), "`{reason}`: {self:#?}");
    }

    pub(crate) fn logged(&self, code: &str) -> bool {
        self.log.iter().any(|line| line["fields"]["code"] == code || line["code"] == code)
    }
}

impl Fixture {
    pub(crate) async fn new() -> Fixture {
        let sink = MockServer::start().await;
        Mock::given(method("PUT")).respond_with(ResponseTemplate::new(200)).mount(&sink).await;
        let aws = StandIn::start(vec![Table::new(TABLE, "id", None)]);
        let variables = vec![
            ("AWS_LAMBDA_FUNCTION_NAME", "landfall-provisioner".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_REGION", "eu-west-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_ENDPOINT_URL", aws.endpoint().to_owned()),
            ("LANDFALL_TABLE", TABLE.to_owned()),
            ("LANDFALL_ACCOUNT_ID", "111111111111".to_owned()),
            ("LANDFALL_PROPAGATION_SECONDS", "0".to_owned()),
            ("LANDFALL_ADMIT_LOOPBACK_RESPONSE_URL", "true".to_owned()),
            ("LANDFALL_TRUSTED_ACCOUNT_IDS", TRUSTED.to_owned()),
            ("LANDFALL_LANDING_BUCKETS", "arn:aws:s3:::acme-landing".to_owned()),
        ];
        Fixture { aws, sink, variables }
    }

    /// Sets a variable, or removes it.
    pub(crate) fn set(&mut self, name: &'static str, value: Option<&str>) {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.extend(value.map(|value| (name, value.to_owned())));
    }

    /// Sets how CloudFormation reports the stack and its one resource from now on.
    pub(crate) fn stands(&self, stack: &str, physical_id: &str, resource: &str) {
        self.stands_with_events(stack, physical_id, resource, vec![]);
    }

    /// Sets the same, with events, newest first.
    pub(crate) fn stands_with_events(
        &self,
        stack: &str,
        physical_id: &str,
        resource: &str,
        events: Vec<StackResource>,
    ) {
        let resource = StackResource::new("Role", physical_id, STARTER, resource);
        let stack = Stack {
            status: stack.to_owned(),
            resources: vec![resource],
            events,
            ..Default::default()
        };
        self.aws.stack(STACK, stack);
    }

    /// Makes a request that was issued just now.
    pub(crate) fn request(&self, id: &str, kind: &str, physical_id: Option<&str>) -> Value {
        self.dated(self.undated(id, kind, physical_id), 0)
    }

    /// Makes a request whose URL has no date.
    pub(crate) fn undated(&self, id: &str, kind: &str, physical_id: Option<&str>) -> Value {
        let properties = properties(TRUSTED);
        let mut request = json!({
            "RequestType": kind, "RequestId": id, "StackId": STACK, "LogicalResourceId": "Role",
            "ResponseURL": format!("{}/{id}", self.sink.uri()),
            "ResourceType": STARTER, "ResourceProperties": properties,
        });
        if let Some(physical_id) = physical_id {
            request["PhysicalResourceId"] = json!(physical_id);
            request["OldResourceProperties"] = properties;
        }
        request
    }

    /// Returns the request as if it had been issued this many seconds from now.
    pub(crate) fn dated(&self, request: Value, seconds: i64) -> Value {
        with_query(request, &format!("X-Amz-Date={}", date(seconds)))
    }

    /// Creates the role as CloudFormation does, and returns its physical ID.
    pub(crate) async fn made(&self) -> String {
        self.stands("CREATE_IN_PROGRESS", "", "CREATE_IN_PROGRESS");
        let create = self.dated(self.undated("made", "Create", None), -10);
        let id = self.serve(&create).await.id();
        assert!(self.aws.role(ROLE).is_some(), "no role was created");
        id
    }

    /// Returns the resource's item.
    pub(crate) fn item(&self) -> Option<Value> {
        self.aws.item(TABLE, &[&format!("{STACK}/Role")])
    }

    /// Fails if the function made any other AWS call than these since [`StandIn::clear_calls`].
    #[track_caller]
    pub(crate) fn called_only(&self, operations: &[&str]) {
        let calls: Vec<String> = self.aws.calls().into_iter().map(|call| call.operation).collect();
        assert!(calls.iter().all(|call| operations.contains(&call.as_str())), "{calls:?}");
    }

    /// Returns the outcome of a request that must be served.
    pub(crate) async fn serve(&self, request: &Value) -> Answered {
        self.invoke(request, PLENTY).await
    }

    /// Returns the outcome of a request that CloudFormation won't confirm.
    pub(crate) async fn attack(&self, request: &Value) -> Answered {
        self.invoke(request, LITTLE).await
    }

    async fn invoke(&self, request: &Value, left: Duration) -> Answered {
        let runtime = MockServer::start().await;
        let (event, is_served) = (request.clone(), AtomicBool::new(false));
        Mock::given(method("GET"))
            .and(path(NEXT))
            .respond_with(move |_: &Request| {
                if is_served.swap(true, Ordering::Relaxed) {
                    return ResponseTemplate::new(200).set_delay(Duration::from_secs(600));
                }
                invocation(&event, left)
            })
            .mount(&runtime)
            .await;
        Mock::given(method("POST")).respond_with(ResponseTemplate::new(202)).mount(&runtime).await;
        let folder = TempDir::new().expect("a folder");
        let _function = self.start(&folder, &runtime);
        let deadline = Instant::now() + left + PLENTY;
        let posted = loop {
            let requests = runtime.received_requests().await.expect("recorded");
            let mut posted = requests.into_iter().filter(|it| it.method.as_str() == "POST");
            if let Some(posted) = posted.next() {
                break posted;
            }
            assert!(Instant::now() < deadline, "no answer: {}", said(&folder));
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let is_error = posted.url.path().ends_with("/error");
        let id = request["RequestId"].as_str().unwrap_or_default();
        let sent = self.sink.received_requests().await.unwrap_or_default();
        let sent = sent.iter().rev().find(|it| it.url.path() == format!("/{id}"));
        let lines: Vec<Value> =
            said(&folder).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let (metrics, log): (Vec<Value>, Vec<Value>) =
            lines.into_iter().partition(|line| line["_aws"].is_object());
        let counted = metrics.iter().filter(|line| line["RequestsRefused"] == 1);
        Answered {
            response: sent.map(|sent| serde_json::from_slice(&sent.body).expect("JSON")),
            error: is_error.then(|| posted.body_json().expect("JSON")),
            counted: counted.map(|line| line["Code"].as_str().expect("a code").into()).collect(),
            log,
        }
    }

    /// Waits for a function that ends before it asks for work. Returns its exit status and what it
    /// printed.
    pub(crate) async fn ends(&self) -> (ExitStatus, String) {
        let runtime = MockServer::start().await;
        let folder = TempDir::new().expect("a folder");
        let mut function = self.start(&folder, &runtime);
        let status = function.0.wait().expect("it ends");
        assert_eq!(runtime.received_requests().await.unwrap_or_default().len(), 0, "it asked");
        (status, said(&folder))
    }

    fn start(&self, folder: &TempDir, runtime: &MockServer) -> Function {
        let child = Command::new(env!("CARGO_BIN_EXE_provisioner"))
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (*name, value.as_str())))
            .env("AWS_LAMBDA_RUNTIME_API", runtime.address().to_string())
            .stdout(File::create(folder.path().join("output")).expect("writable"))
            .spawn()
            .expect("the function starts");
        Function(child)
    }
}

fn said(folder: &TempDir) -> String {
    std::fs::read_to_string(folder.path().join("output")).expect("UTF-8")
}

fn invocation(event: &Value, left: Duration) -> ResponseTemplate {
    let deadline = SystemTime::now() + left;
    let deadline = deadline.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis();
    ResponseTemplate::new(200)
        .insert_header("Lambda-Runtime-Aws-Request-Id", "1")
        .insert_header("Lambda-Runtime-Deadline-Ms", deadline.to_string())
        .insert_header(
            "Lambda-Runtime-Invoked-Function-Arn",
            "arn:aws:lambda:eu-west-1:111111111111:function:landfall-provisioner",
        )
        .set_body_json(event)
}

/// Returns the properties of a starter role that trusts a role of `account`.
pub(crate) fn properties(account: &str) -> Value {
    json!({
        "ServiceToken": "arn:aws:lambda:eu-west-1:111111111111:function:landfall-provisioner",
        "RoleName": ROLE,
        "Routes": routes("acme-landing"),
        "TrustedRoleArns": [format!("arn:aws:iam::{account}:role/landfall-trigger")],
        "ExternalId": "sixteen-characters-and-more",
    })
}

/// Returns a routes file about one bucket.
pub(crate) fn routes(bucket: &str) -> Value {
    json!({
        "version": "1",
        "targets": { "here": { "account": "111111111111", "region": "eu-west-1",
            "starter_role": format!("landfall/{ROLE}"), "external_id": "${LANDFALL_EXTERNAL_ID}" } },
        "routes": [{ "name": "all", "bucket": bucket, "key": "in/{file}",
            "start": { "target": "here", "job": "all" } }],
    })
}

/// Returns the time this many seconds from now, as `YYYYMMDDThhmmssZ`.
fn date(seconds: i64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let time = Time(now.as_secs().saturating_add_signed(seconds) * 1_000);
    time.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect()
}

/// Returns the request with a query in its response URL.
pub(crate) fn with_query(mut request: Value, query: &str) -> Value {
    let url = request["ResponseURL"].as_str().expect("a URL");
    request["ResponseURL"] = json!(format!("{url}?{query}"));
    request
}
