//! Traces: W3C trace context in, OTLP out.
//!
//! A request is one span, its stages are spans within, and each decision is an event. Without a
//! collector none of them is made.

use std::time::Duration;

use axum::http::{HeaderMap, Request};
use opentelemetry::{
    propagation::{Extractor, TextMapPropagator as _},
    trace::TracerProvider as _,
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use tracing::{Span, Subscriber, field::Empty};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use super::ServerError;
use crate::{audit::TRACE, config::OtlpConfig};

/// How long the collector may take, for each export and for the last one.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest part of a path that a span is named by.
const MAX_NAME: usize = 128;

/// Sends spans to the collector until it is dropped.
pub(super) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Must be called within the runtime, on which the connection to the collector runs.
    ///
    /// # Errors
    /// When the collector's address is none.
    pub(super) fn new(config: &OtlpConfig) -> Result<Self, ServerError> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(&config.endpoint)
            .with_timeout(PATIENCE)
            .build()
            .map_err(|why| ServerError::Log(format!("`otlp.endpoint`: {why}")))?;
        let ratio = Sampler::TraceIdRatioBased(config.ratio);
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(ratio)))
            .with_resource(Resource::builder().with_service_name("doorward").build())
            .build();
        Ok(Self { provider })
    }

    /// The layer that takes the spans of requests, and no others.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let tracer = self.provider.tracer("doorward");
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_filter(Targets::new().with_target(TRACE, tracing::Level::DEBUG))
    }

    /// Sends what is left. Blocks, for a few seconds at most.
    pub(super) fn flush(&self) {
        if let Err(why) = self.provider.shutdown_with_timeout(PATIENCE) {
            tracing::warn!(error = %why, "traces were lost");
        }
    }
}

/// The span of a request, a part of its sender's trace if it says so.
pub(super) fn request_span<B>(request: &Request<B>) -> Span {
    let path = request.uri().path();
    let name = path.get(..path.floor_char_boundary(MAX_NAME));
    let span = tracing::debug_span!(
        target: TRACE,
        "request",
        otel.name = name,
        otel.kind = "server",
        bundle = Empty,
        outcome = Empty,
        decision_id = Empty,
    );
    if !span.is_disabled() {
        let context = TraceContextPropagator::new().extract(&Headers(request.headers()));
        // Only a span that was never a part of anything is refused here.
        let _set = span.set_parent(context);
    }
    span
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}
