//! Sends the spans of an invocation to an OpenTelemetry collector: one for each record and advance,
//! and one for each call to AWS, below the segment that Lambda itself writes. Tracing is off, and
//! makes no spans, unless the environment turns it on.
//!
//! Spans are kept during an invocation and sent before its answer, because Lambda freezes whatever
//! would send them later. Spans that cannot be sent soon are lost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_smithy_runtime_api::client::http::{HttpConnector, SharedHttpConnector};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
};
use opentelemetry_http::{Bytes, HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, RetryPolicy, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
};
use tokio::time::timeout;
use tracing::Instrument;
use tracing::level_filters::LevelFilter;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::clock::has_time;
use crate::config::pooled_connector;

/// The target of spans. The log leaves out everything with this target.
pub const TARGET: &str = "landfall_span";

/// The most time that sending may take, and the time to leave for the answer.
const MAY_TAKE: Duration = Duration::from_secs(1);
const SPARE: Duration = Duration::from_secs(1);

/// The most spans that an invocation keeps.
const MAX_SPANS: usize = 4_000;

/// Collects spans and sends them.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    exporter: opentelemetry_otlp::SpanExporter,
    ended: Ended,
}

/// Why there are no spans although the environment asks for them.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages describe the variants")]
pub enum TracesError {
    #[error("failed to use environment variable `LANDFALL_TRACING`: it is not `otlp`")]
    Unknown,
    #[error(
        "failed to set tracing up: an environment variable `OTEL_EXPORTER_OTLP_…` is malformed"
    )]
    Exporter,
}

impl TracesError {
    /// Returns a stable identifier for logs and metrics.
    pub fn code(&self) -> &'static str {
        "tracing_malformed"
    }
}

/// An invocation whose spans are collected.
#[derive(Debug)]
pub struct Invocation<'t> {
    traces: &'t Traces,
    span: tracing::Span,
    deadline: SystemTime,
}

impl Traces {
    /// Reads `LANDFALL_TRACING`. By default, there are no spans. If it is `otlp`, spans go to the
    /// collector that OpenTelemetry's own variables name; the default is one on this machine, where
    /// Lambda's extensions run.
    ///
    /// # Errors
    /// Fails if `LANDFALL_TRACING` has another value, or OpenTelemetry's variables are malformed.
    pub fn from_env(
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, TracesError> {
        match variable("LANDFALL_TRACING").as_deref() {
            None | Some("") => return Ok(None),
            Some("otlp") => {}
            Some(_) => return Err(TracesError::Unknown),
        }
        let function = variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default();
        let resource = Resource::builder().with_service_name(function).build();
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Client(pooled_connector()))
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(MAY_TAKE)
            // A retry would sleep between two attempts, and delay the function.
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(|_| TracesError::Exporter)?;
        exporter.set_resource(&resource);
        let ended = Ended::default();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(ended.clone())
            // X-Ray decides for Lambda whether to sample, and Lambda for us.
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
            .with_resource(resource)
            .build();
        Ok(Some(Self { provider, exporter, ended }))
    }

    /// Returns the layer that collects our spans and those of SDK calls, which name only service
    /// and operation.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: tracing::Subscriber + for<'s> LookupSpan<'s> + Send + Sync,
    {
        let is_ours = |target: &str| target == TARGET || target.starts_with("aws_sdk_");
        let spans = filter_fn(move |data| data.is_span() && is_ours(data.target()));
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("landfall"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(spans.with_max_level_hint(LevelFilter::DEBUG))
    }

    /// Opens the span of an invocation, below Lambda's own. `header` is X-Ray's, as Lambda passes
    /// it on.
    pub fn invocation(
        &self,
        request_id: &str,
        header: Option<&str>,
        deadline: SystemTime,
    ) -> Invocation<'_> {
        let span =
            tracing::info_span!(target: TARGET, "invocation", faas.invocation_id = request_id);
        if let Some(parent) = header.and_then(parent) {
            let context = opentelemetry::Context::new().with_remote_span_context(parent);
            // This fails only if our layer is not installed; then there is no span either.
            span.set_parent(context).ok();
        }
        Invocation { traces: self, span, deadline }
    }

    async fn send(&self, deadline: SystemTime) {
        let (spans, lost) = self.ended.take();
        if spans.is_empty() {
            return;
        }
        let count = spans.len();
        let reason = if has_time(deadline, MAY_TAKE + SPARE) {
            match timeout(MAY_TAKE, self.exporter.export(spans)).await {
                Ok(Ok(())) => None,
                // The error's own text may repeat the URL.
                Ok(Err(_)) => Some("the collector did not take them"),
                Err(_) => Some("the collector did not answer"),
            }
        } else {
            Some("little time is left")
        };
        if let Some(reason) = reason {
            tracing::warn!(code = "traces_not_sent", spans = count, reason, "spans are lost");
        }
        if lost > 0 {
            tracing::warn!(code = "traces_not_sent", spans = lost, "spans are lost: too many");
        }
    }
}

/// Does the work of an invocation in its span, if there is one, and then sends the spans.
pub async fn within<F: Future>(invocation: Option<Invocation<'_>>, work: F) -> F::Output {
    // The compiler lays out nested futures as one type, and gives up if there are too many.
    let work = Box::pin(work);
    let Some(Invocation { traces, span, deadline }) = invocation else {
        return work.await;
    };
    let output = work.instrument(span).await;
    traces.send(deadline).await;
    output
}

/// Reads the parent span from a header such as
/// `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`. X-Ray writes a
/// trace's ID in three parts.
fn parent(header: &str) -> Option<SpanContext> {
    let field = |name: &str| {
        header.split(';').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
    };
    let id = field("Root")?.strip_prefix("1-")?.replace('-', "");
    let trace = TraceId::from_hex(&id).ok().filter(|_| id.len() == 32)?;
    let span = SpanId::from_hex(field("Parent")?).ok()?;
    let flags = match field("Sampled") {
        Some("1") => TraceFlags::SAMPLED,
        _ => TraceFlags::default(),
    };
    let parent = SpanContext::new(trace, span, flags, true, TraceState::default());
    parent.is_valid().then_some(parent)
}

/// The spans that have ended, until they are sent.
#[derive(Debug, Clone, Default)]
struct Ended(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    spans: Vec<SpanData>,
    /// How many spans there was no room for.
    lost: usize,
}

impl Ended {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> (Vec<SpanData>, usize) {
        let Kept { spans, lost } = std::mem::take(&mut *self.kept());
        (spans, lost)
    }
}

impl SpanProcessor for Ended {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        let mut kept = self.kept();
        // The invocation's own span comes last, and the others need it as their root.
        let is_root = span.name == "invocation";
        if kept.spans.len() < MAX_SPANS || is_root {
            kept.spans.push(span);
        } else {
            kept.lost += 1;
        }
    }

    /// Does nothing: spans are sent only at the end of an invocation.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Adapts the SDK's HTTP client for OpenTelemetry.
#[derive(Debug)]
struct Client(SharedHttpConnector);

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpError> {
        let request = HttpRequest::try_from(request.map(Into::into))?;
        let response = self.0.call(request).await?;
        // Only the status of the response matters.
        Ok(http::Response::builder().status(response.status().as_u16()).body(Bytes::new())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_of_x_rays_is_read_and_nothing_else_is() {
        let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
        let span = parent(header).expect("a span");
        assert_eq!(span.trace_id().to_string(), "5759e988bd862e3fe1be46a994272793");
        assert_eq!(span.span_id().to_string(), "53995c3f42cd8ad8");
        assert!(span.is_sampled() && span.is_remote());
        let unsampled = header.replace("Sampled=1", "Sampled=0; Lineage=a87bd80c:1");
        assert!(parent(&unsampled).is_some_and(|span| !span.is_sampled()));
        for header in [
            "",
            "Root=1-5759e988-bd862e3fe1be46a994272793",
            "Root=1-5759e988-bd862e3fe1be46a99427279;Parent=53995c3f42cd8ad8",
            "Root=1-00000000-000000000000000000000000;Parent=53995c3f42cd8ad8",
            "Root=1-5759e988-bd862e3fe1be46a99427279é;Parent=53995c3f42cd8ad8",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=",
            "Root=2-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
        ] {
            assert!(parent(header).is_none(), "{header}");
        }
    }

    #[test]
    fn there_are_no_spans_unless_the_environment_asks_for_them() {
        let read = |value: Option<&str>| {
            let traces = Traces::from_env(|name| {
                value.filter(|_| name == "LANDFALL_TRACING").map(str::to_owned)
            });
            traces.map(|traces| traces.is_some()).map_err(|error| error.code())
        };
        assert_eq!((read(None), read(Some(""))), (Ok(false), Ok(false)));
        assert_eq!(read(Some("otlp")), Ok(true));
        assert_eq!(read(Some("xray")), Err("tracing_malformed"));
    }
}
