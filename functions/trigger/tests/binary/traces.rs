//! The spans that a collector gets from an invocation.

use std::time::Duration;

use landfall_stand_ins::{StandIn, Table};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::{Answered, answer, answer_with, tls};

/// The trace header that Lambda passes.
pub const HEADER: &str =
    "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
const TRACE: &str = "5759e988bd862e3fe1be46a994272793";
const PARENT: &str = "53995c3f42cd8ad8";

/// A token that can be found in the log by its mark.
const TOKEN: &str = "token-3f6b";

async fn collector(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    let traces = Mock::given(method("POST")).and(path(format!("/{TOKEN}/v1/traces")));
    traces.respond_with(answer).mount(&server).await;
    server
}

/// Returns the function's answer when it sends its spans to this collector.
async fn traced(collector: &MockServer) -> Answered {
    let aws = StandIn::start(vec![Table::ledger("ledger")]);
    let front = tls::Server::start(aws.endpoint());
    let endpoint = format!("{}/{TOKEN}", collector.uri());
    let extra = [("LANDFALL_TRACING", "otlp"), ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let answered = answer_with(&front, front.certificate(), &extra).await;
    assert_eq!(answered.body, json!({ "batchItemFailures": [] }));
    assert_eq!(aws.runs("all").len(), 1);
    answered
}

/// Returns the spans of all requests, the ones that ended first at the front.
async fn received(collector: &MockServer) -> Vec<Span> {
    let requests = collector.received_requests().await.expect("they are kept");
    let requests = requests.iter().map(|request| {
        ExportTraceServiceRequest::decode(request.body.as_slice()).expect("a request of OTLP's")
    });
    let resources = requests.flat_map(|request| request.resource_spans);
    resources.flat_map(|spans| spans.scope_spans).flat_map(|spans| spans.spans).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_collector_gets_the_spans_of_an_invocation_in_the_trace_of_lambda() {
    let collector = collector(ResponseTemplate::new(200)).await;
    let log = traced(&collector).await.log;
    let spans = received(&collector).await;
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE), "{spans:?}");
    let named = |name: &str| {
        let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), 1, "{name} in {spans:?}");
        found[0]
    };
    let invocation = named("invocation");
    assert_eq!(hex(&invocation.parent_span_id), PARENT);
    for (child, of) in [
        ("record", "invocation"),
        ("advance", "invocation"),
        ("DynamoDB.TransactWriteItems", "record"),
        ("S3.PutObject", "invocation"),
        ("Glue.StartJobRun", "advance"),
    ] {
        let is_child = |span: &&Span| span.parent_span_id == named(of).span_id;
        let found: Vec<&Span> =
            spans.iter().filter(|span| span.name == child).filter(is_child).collect();
        assert_eq!(found.len(), 1, "{child} of {of} in {spans:?}");
    }
    // The lines of the log are the same as without traces.
    let request_ids: Vec<&Value> = log.iter().map(|line| &line["span"]["requestId"]).collect();
    assert_eq!(request_ids, ["1"; 3]);
}

#[tokio::test]
async fn a_collector_that_refuses_or_never_answers_harms_nothing_and_is_not_shown() {
    let slow = ResponseTemplate::new(200).set_delay(Duration::from_secs(120));
    for answer in [ResponseTemplate::new(500), slow] {
        let collector = collector(answer).await;
        let log = traced(&collector).await.log;
        let lost = log.last().expect("lines");
        assert_eq!((&lost["code"], &lost["level"]), (&json!("traces_not_sent"), &json!("WARN")));
        assert!(!format!("{log:?}").contains(TOKEN), "{log:?}");
    }
}

#[tokio::test]
async fn no_span_is_sent_unless_the_environment_asks_for_it_or_if_it_asks_for_what_is_unknown() {
    let aws = StandIn::start(vec![Table::ledger("ledger")]);
    let front = tls::Server::start(aws.endpoint());
    let collector = collector(ResponseTemplate::new(200)).await;
    let endpoint = format!("{}/{TOKEN}", collector.uri());
    let to = ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str());
    let off = answer_with(&front, front.certificate(), &[to]).await;
    assert_eq!(off.body, json!({ "batchItemFailures": [] }));
    let extra = [to, ("LANDFALL_TRACING", "xray")];
    let unknown = answer_with(&front, front.certificate(), &extra).await;
    assert_eq!(unknown.body, json!({ "batchItemFailures": [] }));
    assert_eq!(unknown.log[0]["code"], "tracing_malformed");
    assert_eq!(received(&collector).await, []);
    assert_eq!(answer(&front, front.certificate()).await.body, json!({ "batchItemFailures": [] }));
}
