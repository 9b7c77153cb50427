//! A trace from process to process.
//!
//! Requests are spans of `tracing`, which their log lines stand in too. An event on its way has no task that it could be
//! the span of: its steps are [`Hop`]s.

use std::{collections::HashMap, fmt, time::SystemTime};

use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator as _,
    trace::{
        SpanContext, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceState, Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{IdGenerator as _, RandomIdGenerator, SdkTracer},
};
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use super::TRACE_ONLY;

const TRACE_PARENT: &str = "traceparent";

/// The crates whose spans, and the log lines in them, make a trace. Those of libraries would be many, and those of the
/// exporter's own would each cause the next.
const TRACED: &[&str] = &["convene", "gateway", "shared", "worker", TRACE_ONLY];

/// Makes spans of traces from those of our own crates.
pub(super) fn layer<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_targets(TRACED.iter().map(|target| (*target, Level::INFO))))
}

/// The current span as a `traceparent` header; `None` when nothing is traced.
pub fn trace_parent() -> Option<String> {
    header(&Span::current().context())
}

/// As [`trace_parent`], but `None` too for a request of which no trace is kept.
pub fn sampled_trace_parent() -> Option<String> {
    let context = Span::current().context();
    if context.span().span_context().is_sampled() { header(&context) } else { None }
}

/// Whether a trace is kept of the current span.
pub fn is_sampled() -> bool {
    Span::current().context().span().span_context().is_sampled()
}

/// By which a trace that is kept of this span is found.
pub fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let span = context.span();
    let span_context = span.span_context();
    span_context.is_sampled().then(|| span_context.trace_id().to_string())
}

/// Makes `span`, which was not entered yet, continue the trace of a `traceparent` header. Without a header, or with one that
/// is none, no trace is kept of it: only a request's gateway begins one.
pub fn continue_trace(span: &Span, trace_parent: Option<&str>) {
    // Fails where no layer records traces, which is fine.
    let _ = span.set_parent(trace_parent.and_then(parse).unwrap_or_else(not_sampled));
}

/// Records what a request was answered with in its span's `code`, 0 for a good answer, and in `otel.status_code` that it
/// failed when that was no fault of who asked.
pub fn record_code(span: &Span, code: u16) {
    span.record("code", code);
    if (500..600).contains(&code) {
        span.record("otel.status_code", "ERROR");
    }
}

fn header(context: &Context) -> Option<String> {
    if !context.span().span_context().is_valid() {
        return None;
    }
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(context, &mut carrier);
    carrier.remove(TRACE_PARENT)
}

fn parse(trace_parent: &str) -> Option<Context> {
    let carrier = HashMap::from([(TRACE_PARENT.to_owned(), trace_parent.to_owned())]);
    let context = TraceContextPropagator::new().extract(&carrier);
    context.span().span_context().is_valid().then_some(context)
}

fn not_sampled() -> Context {
    let ids = RandomIdGenerator::default();
    Context::new().with_remote_span_context(SpanContext::new(
        ids.new_trace_id(),
        ids.new_span_id(),
        TraceFlags::default(),
        true,
        TraceState::NONE,
    ))
}

/// A step of a traced event's way; it lasts until it is dropped.
pub struct Hop(Context);

impl fmt::Debug for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hop").field(self.0.span().span_context()).finish()
    }
}

impl Hop {
    /// Begins a step after the one of this `traceparent`. `None` when no trace is kept of that, or here.
    pub fn begin(
        trace_parent: &str,
        name: String,
        kind: SpanKind,
        attributes: impl IntoIterator<Item = KeyValue>,
    ) -> Option<Self> {
        Self::begin_at(trace_parent, name, kind, attributes, SystemTime::now())
    }

    /// As [`Hop::begin`], at another time.
    pub fn begin_at(
        trace_parent: &str,
        name: String,
        kind: SpanKind,
        attributes: impl IntoIterator<Item = KeyValue>,
        begun: SystemTime,
    ) -> Option<Self> {
        let parent = parse(trace_parent)?;
        if !parent.span().span_context().is_sampled() {
            return None;
        }
        let hop = Self::under(&parent, name, kind, attributes, begun);
        hop.0.span().is_recording().then_some(hop)
    }

    /// A part of this step that began at this time and ends when it is dropped.
    pub fn part(
        &self,
        name: String,
        kind: SpanKind,
        attributes: impl IntoIterator<Item = KeyValue>,
        begun: SystemTime,
    ) -> Self {
        Self::under(&self.0, name, kind, attributes, begun)
    }

    fn under(
        parent: &Context,
        name: String,
        kind: SpanKind,
        attributes: impl IntoIterator<Item = KeyValue>,
        begun: SystemTime,
    ) -> Self {
        let tracer = opentelemetry::global::tracer_provider().tracer("convene");
        let builder = tracer.span_builder(name).with_kind(kind).with_attributes(attributes).with_start_time(begun);
        Self(parent.with_span(tracer.build_with_context(builder, parent)))
    }

    /// What the next step continues.
    pub fn trace_parent(&self) -> Option<String> {
        header(&self.0)
    }

    /// Says that the step failed.
    pub fn fail(&self, why: &'static str) {
        self.0.span().set_status(Status::error(why));
    }
}
