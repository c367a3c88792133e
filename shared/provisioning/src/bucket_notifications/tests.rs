mod look;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use expect_test::{Expect, expect};
use landfall_aws::sdk_error::chain;
use landfall_core::bucket_notifications::{Destination, Entry, Filter, FilterRule};
use tokio::time::Instant;
use wiremock::matchers::{header, method, query_param};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;

const ACCOUNT: &str = "111111111111";

const OTHERS: &str = "<TopicConfiguration><Id>t &amp; u</Id><Topic>topic</Topic>\
     <Event>s3:ObjectRemoved:*</Event><Event>s3:Something:New</Event></TopicConfiguration>\
     <CloudFunctionConfiguration><Id>f</Id><CloudFunction>function</CloudFunction>\
     <Event>s3:ObjectCreated:Put</Event><Filter><S3Key>\
     <FilterRule><Name>Prefix</Name><Value>images/ a&lt;b</Value></FilterRule>\
     <FilterRule><Name>Suffix</Name><Value></Value></FilterRule></S3Key></Filter>\
     </CloudFunctionConfiguration><EventBridgeConfiguration/>";

const OURS: &str = "<QueueConfiguration><Id>landfall-trigger-4c46abb5</Id><Queue>queue</Queue>\
     <Event>s3:ObjectCreated:*</Event><Filter><S3Key>\
     <FilterRule><Name>prefix</Name><Value>in/</Value></FilterRule></S3Key></Filter>\
     </QueueConfiguration>";

const ANOTHER: &str = "<QueueConfiguration><Id>another</Id><Queue>q</Queue>\
     <Event>s3:ObjectRemoved:*</Event></QueueConfiguration>";

fn document(content: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NotificationConfiguration \
         xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{content}</NotificationConfiguration>"
    )
}

/// A bucket that returns what was put, unless there is a scripted answer.
struct Bucket {
    server: MockServer,
}

#[derive(Default)]
struct Script {
    stored: String,
    /// What someone else puts before each reading; `None` if nobody does.
    others: VecDeque<Option<String>>,
    /// The errors that refuse the puts, one after the other.
    refusals: VecDeque<(u16, String)>,
    /// How many readings after the first put still return the old configuration.
    stale_readings: usize,
    old: String,
}

impl Bucket {
    async fn start(script: Script) -> Self {
        let server = MockServer::start().await;
        let script = Arc::new(Mutex::new(script));
        let of_get = Arc::clone(&script);
        Mock::given(method("GET"))
            .and(query_param("notification", ""))
            .and(header("x-amz-expected-bucket-owner", ACCOUNT))
            .respond_with(move |_: &Request| {
                let mut script = of_get.lock().unwrap();
                if let Some(Some(other)) = script.others.pop_front() {
                    script.stored = other;
                }
                let is_stale = !script.old.is_empty() && script.stale_readings > 0;
                let text = if is_stale {
                    script.stale_readings -= 1;
                    script.old.clone()
                } else {
                    script.stored.clone()
                };
                ResponseTemplate::new(200).set_body_raw(text, "application/xml")
            })
            .mount(&server)
            .await;
        Mock::given(method("PUT"))
            .and(query_param("notification", ""))
            .and(header("x-amz-expected-bucket-owner", ACCOUNT))
            .respond_with(move |request: &Request| {
                let mut script = script.lock().unwrap();
                if let Some((status, code)) = script.refusals.pop_front() {
                    return error(status, &code);
                }
                let put = String::from_utf8(request.body.clone()).unwrap();
                let old = std::mem::replace(&mut script.stored, put);
                if script.old.is_empty() {
                    script.old = old;
                }
                ResponseTemplate::new(200)
            })
            .mount(&server)
            .await;
        Self { server }
    }

    async fn with(content: &str) -> Self {
        Self::start(Script { stored: document(content), ..Script::default() }).await
    }

    async fn without_any() -> Self {
        let server = MockServer::start().await;
        let answer = |_: &Request| error(404, "NoSuchBucket");
        Mock::given(method("GET")).respond_with(answer).mount(&server).await;
        Self { server }
    }

    fn s3(&self) -> Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(landfall_aws::config::http_client())
            .endpoint_url(self.server.uri())
            .force_path_style(true)
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::for_tests())
            .build();
        Client::from_conf(config)
    }

    async fn converge(&self) -> Result<Outcome, Error> {
        converge(&self.s3(), "landing", ACCOUNT, &desired(), soon()).await
    }

    /// Returns what was put, without the document around it.
    async fn puts(&self) -> Vec<String> {
        let requests = self.server.received_requests().await.unwrap();
        let puts = requests.iter().filter(|request| request.method.as_str() == "PUT");
        let body = |request: &Request| String::from_utf8(request.body.clone()).unwrap();
        puts.map(body)
            .map(|body| {
                let content = body.split_once('>').unwrap().1;
                content.strip_suffix("</NotificationConfiguration>").unwrap().to_owned()
            })
            .collect()
    }
}

fn error(status: u16, code: &str) -> ResponseTemplate {
    let (code, message) = code.split_once(": ").unwrap_or((code, "said no"));
    let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    ResponseTemplate::new(status).set_body_raw(body, "application/xml")
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(8)
}

fn desired() -> Desired {
    Desired {
        owner: "trigger".to_owned(),
        destination: Destination::Queue("queue".to_owned()),
        filters: vec![Filter { prefix: "in/".to_owned(), suffix: String::new() }],
    }
}

fn script(content: &str) -> Script {
    Script { stored: document(content), ..Script::default() }
}

#[tokio::test]
async fn what_is_read_is_put_again_with_ours_added() {
    let bucket = Bucket::with(OTHERS).await;
    let read = read(&bucket.s3(), "landing", ACCOUNT).await.unwrap();
    assert_eq!(read.topics[0].id.as_deref(), Some("t & u"));
    assert_eq!(read.topics[0].events, ["s3:ObjectRemoved:*", "s3:Something:New"]);
    let expected = FilterRule { name: "Prefix".to_owned(), value: "images/ a<b".to_owned() };
    assert_eq!(read.functions[0].filter_rules[0], expected);
    assert!(read.event_bridge);

    assert_eq!(bucket.converge().await.unwrap(), Outcome::Changed);
    let (before, after) = OTHERS.split_once("<Cloud").unwrap();
    let wanted = format!("{before}{OURS}<Cloud{after}");
    // This is how the SDK writes an empty element.
    let put = bucket.puts().await.concat();
    assert_eq!(put.replace("></EventBridgeConfiguration>", "/>"), wanted);
}

#[tokio::test]
async fn a_bucket_that_is_as_wanted_is_not_written_to() {
    let bucket = Bucket::with(&format!("{OURS}{OTHERS}")).await;
    assert_eq!(bucket.converge().await.unwrap(), Outcome::Unchanged);
    assert!(bucket.puts().await.is_empty());
}

#[track_caller]
fn check_known(content: &str, expected: Expect) {
    let found = known::check(document(content).as_bytes());
    expected.assert_eq(&found.map_or_else(|what| what, |()| "known".to_owned()));
}

#[test]
fn what_the_sdk_would_lose_is_found() {
    check_known("", expect!["known"]);
    check_known(OTHERS, expect!["known"]);
    check_known(
        "<HttpConfiguration/>",
        expect!["element `NotificationConfiguration/HttpConfiguration`"],
    );
    let rule = |content: &str| format!("<QueueConfiguration>{content}</QueueConfiguration>");
    check_known(
        &rule("<Topic>t</Topic>"),
        expect!["element `NotificationConfiguration/QueueConfiguration/Topic`"],
    );
    check_known(
        &rule("<Filter><S3Size>1</S3Size></Filter>"),
        expect!["element `NotificationConfiguration/QueueConfiguration/Filter/S3Size`"],
    );
    check_known(
        &rule("<Id>a</Id><Id>b</Id>"),
        expect!["element `NotificationConfiguration/QueueConfiguration/Id` twice"],
    );
    check_known(&rule("<Id>a<!-- -->b</Id>"), expect!["XML other than elements and text"]);
    check_known(&rule("<Id><![CDATA[a]]></Id>"), expect!["XML other than elements and text"]);
    check_known("<QueueConfiguration mode=\"x\"/>", expect!["attribute `mode`"]);
    check_known(
        "<EventBridgeConfiguration><Bus>b</Bus></EventBridgeConfiguration>",
        expect!["element `NotificationConfiguration/EventBridgeConfiguration/Bus`"],
    );
    check_known(
        "<QueueConfiguration></TopicConfiguration>",
        expect!["malformed XML: `TopicConfiguration` is closed, which is not open"],
    );
    let whole = document(OTHERS);
    let half = known::check(whole.strip_suffix("</NotificationConfiguration>").unwrap().as_bytes());
    expect!["malformed XML: it ends in the middle"].assert_eq(&half.unwrap_err());
    assert!(known::check(b"").is_err());
}

#[tokio::test]
async fn an_unknown_element_is_refused_and_nothing_is_put() {
    let rule = "<QueueConfiguration><Id>q</Id><Queue>q</Queue><Event>s3:ObjectRemoved:*</Event>\
                <Delay>5</Delay></QueueConfiguration>";
    let bucket = Bucket::with(rule).await;
    let error = bucket.converge().await.unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("notifications_unknown_content", false));
    expect!["failed to read the notification configuration of bucket `landing`: it has element `NotificationConfiguration/QueueConfiguration/Delay`, which would be lost if it were put again"].assert_eq(&error.to_string());
    remove(&bucket.s3(), "landing", ACCOUNT, "trigger", soon()).await.unwrap_err();
    assert!(bucket.puts().await.is_empty());
}

#[tokio::test]
async fn a_rule_without_a_destination_is_refused() {
    let bucket = Bucket::with("<QueueConfiguration><Id>q</Id></QueueConfiguration>").await;
    let error = bucket.converge().await.unwrap_err();
    expect!["failed to read the notification configuration of bucket `landing`: it has rule `q` without destination or events, which would be lost if it were put again"].assert_eq(&error.to_string());
}

#[tokio::test]
async fn a_rule_in_the_way_is_named_and_nothing_is_put() {
    let rule = "<QueueConfiguration><Id>theirs</Id><Queue>q</Queue>\
                <Event>s3:ObjectCreated:*</Event></QueueConfiguration>";
    let bucket = Bucket::with(rule).await;
    let error = bucket.converge().await.unwrap_err();
    assert_eq!(error.code(), "notifications_overlap");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("`theirs`"));
    assert!(bucket.puts().await.is_empty());
}

#[tokio::test]
async fn what_somebody_writes_between_our_reading_and_our_put_is_merged_with() {
    let others = VecDeque::from([None, Some(document(ANOTHER))]);
    let bucket = Bucket::start(Script { others, ..script("") }).await;
    assert_eq!(bucket.converge().await.unwrap(), Outcome::Changed);
    assert_eq!(bucket.puts().await, [format!("{ANOTHER}{OURS}")]);
}

#[tokio::test]
async fn what_somebody_writes_over_our_put_is_merged_with() {
    let others = VecDeque::from([None, None, Some(document(ANOTHER))]);
    let bucket = Bucket::start(Script { others, ..script("") }).await;
    assert_eq!(bucket.converge().await.unwrap(), Outcome::Changed);
    assert_eq!(bucket.puts().await, [OURS.to_owned(), format!("{ANOTHER}{OURS}")]);
}

#[tokio::test]
async fn a_reading_that_is_not_up_to_date_is_waited_out() {
    let bucket = Bucket::start(Script { stale_readings: 2, ..script(OTHERS) }).await;
    assert_eq!(bucket.converge().await.unwrap(), Outcome::Changed);
    assert_eq!(bucket.puts().await.len(), 1);
}

#[tokio::test]
async fn what_never_reads_back_is_an_error_that_may_heal() {
    let bucket = Bucket::start(Script { stale_readings: 1_000, ..script(OTHERS) }).await;
    let deadline = Instant::now() + Duration::from_millis(500);
    let error = converge(&bucket.s3(), "landing", ACCOUNT, &desired(), deadline).await.unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("notifications_unsettled", true));
}

#[tokio::test]
async fn a_queue_that_s3_may_not_write_to_yet_is_tried_again() {
    let text = "InvalidArgument: Unable to validate the following destination configurations";
    let refusals = VecDeque::from([(400, text.to_owned()), (409, "OperationAborted".to_owned())]);
    let bucket = Bucket::start(Script { refusals, ..script("") }).await;
    assert_eq!(bucket.converge().await.unwrap(), Outcome::Changed);
    assert_eq!(bucket.puts().await.len(), 3);
}

#[tokio::test]
async fn a_configuration_that_s3_calls_invalid_is_put_once() {
    let refusals = VecDeque::from([(400, "InvalidArgument: ambiguously defined".to_owned())]);
    let bucket = Bucket::start(Script { refusals, ..script("") }).await;
    let error = bucket.converge().await.unwrap_err();
    expect!["failed to put the notification configuration of bucket `landing`: InvalidArgument: ambiguously defined"].assert_eq(&chain(&error));
    assert_eq!((error.code(), error.is_retryable()), ("notifications_invalid", false));
    assert_eq!(bucket.puts().await.len(), 1);
}

#[tokio::test]
async fn a_removal_takes_only_ours() {
    let bucket = Bucket::with(&format!("{OURS}{ANOTHER}")).await;
    for outcome in [Outcome::Changed, Outcome::Unchanged] {
        let removed = remove(&bucket.s3(), "landing", ACCOUNT, "trigger", soon()).await;
        assert_eq!(removed.unwrap(), outcome);
    }
    assert_eq!(bucket.puts().await, [ANOTHER]);
}

#[tokio::test]
async fn a_removal_does_not_ask_s3_to_look_at_destinations_and_an_addition_does() {
    let look_at = async |bucket: &Bucket| {
        let requests = bucket.server.received_requests().await.unwrap();
        let put = requests.iter().find(|request| request.method.as_str() == "PUT").unwrap();
        !put.headers.contains_key("x-amz-skip-destination-validation")
    };
    let bucket = Bucket::with(&format!("{OURS}{ANOTHER}")).await;
    remove(&bucket.s3(), "landing", ACCOUNT, "trigger", soon()).await.unwrap();
    assert!(!look_at(&bucket).await);
    let bucket = Bucket::with(ANOTHER).await;
    bucket.converge().await.unwrap();
    assert!(look_at(&bucket).await);
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_has_nothing_to_remove_and_takes_nothing() {
    let bucket = Bucket::without_any().await;
    let removed = remove(&bucket.s3(), "landing", ACCOUNT, "trigger", soon()).await;
    assert_eq!(removed.unwrap(), Outcome::Unchanged);
    assert_eq!(bucket.converge().await.unwrap_err().code(), "notifications_no_such_bucket");
}

#[test]
fn a_rule_for_all_keys_is_put_without_a_filter() {
    let entry = Entry {
        id: None,
        arn: "queue".to_owned(),
        events: vec!["s3:ObjectCreated:*".to_owned()],
        filter_rules: Vec::new(),
    };
    let configuration = Configuration { queues: vec![entry], ..Configuration::default() };
    let sdk = wire::to_sdk(&configuration).unwrap();
    assert_eq!(sdk.queue_configurations()[0].filter(), None);
}
