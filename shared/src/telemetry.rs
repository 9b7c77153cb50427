//! Logs on stderr, and traces to an OpenTelemetry collector.
//!
//! | module | holds |
//! | --- | --- |
//! | `log` | what is logged, and how: [`log_filter`], [`set_log_filter`] |
//! | `line` | a line of the log stays one line |
//! | `trace` | a trace from process to process: [`trace_parent`], [`continue_trace`], [`Hop`] |
//! | `statements` | each SQL statement of a traced request as a span |
//! | `outage` | [`Outage`]: what fails each second is no line each second |
//! | [`control`] | the log's filter over HTTP, for whoever is on the machine |
//!
//! `RUST_LOG` says what is logged at first, in the directives of `tracing-subscriber` (`info`, `warn,gateway=debug`). Traces
//! are sent when `otlp-endpoint` is set. A gateway begins them, for each so-many-th request as its `trace-sample-ratio`
//! says; everybody behind it follows what it has decided (W3C Trace Context: the `sampled` flag of `traceparent`), over the
//! bus, in the event log, and to the socket that an event is written to.

pub mod control;
mod line;
mod log;
mod outage;
mod statements;
mod trace;

use std::{
    collections::HashMap,
    fmt, io,
    io::IsTerminal as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracerProvider},
};
use tracing_subscriber::{Layer as _, filter::FilterExt as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

pub use log::{DEFAULT_FILTER, log_filter, set_log_filter};
pub use opentelemetry::{KeyValue as Attribute, trace::SpanKind};
pub use outage::Outage;
pub use trace::{Hop, continue_trace, is_sampled, record_code, sampled_trace_parent, trace_id, trace_parent};

use crate::config::{self, Common};

/// The target of spans that are for traces only: no log shows them.
pub const TRACE_ONLY: &str = "convene::trace";

/// How long the last spans may take to reach the collector when the process ends.
const FLUSH_PATIENCE: Duration = Duration::from_secs(3);

/// Sends what is left to the collector when it is dropped: `main` keeps it until the end.
#[must_use = "dropping it ends the export of traces"]
pub struct Guard(Option<SdkTracerProvider>);

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(provider) = self.0.take()
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_PATIENCE)
        {
            tracing::warn!(%error, "the last traces did not reach the collector");
        }
    }
}

/// Starts logging and, when `otlp-endpoint` is set, tracing. `filter` applies where `RUST_LOG` says nothing. Of what begins
/// here, not with a request from elsewhere, the part `ratio` is traced, 0 to 1.
///
/// A process has one log: in a second call (two pods in one test) everything stays as the first has set it.
///
/// # Errors
/// `RUST_LOG` or the endpoint makes no sense.
pub fn init(service: &'static str, pod: &str, filter: &str, common: &Common, ratio: f64) -> Result<Guard> {
    static STARTED: Mutex<bool> = Mutex::new(false);
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    if *started {
        return Ok(Guard(None));
    }
    let provider =
        common.otlp_endpoint.as_deref().map(|endpoint| tracer_provider(service, pod, endpoint, ratio)).transpose()?;
    // Standard output belongs to what a program answers (`convene listen`), so the log is on standard error.
    let log = log::layer(common.log_format, io::stderr, io::stderr().is_terminal());
    let (filter, handle) = log::filter(filter)?;
    let traces = provider.as_ref().map(|provider| {
        let tracer = provider.tracer(service);
        trace::layer(tracer.clone()).and_then(statements::layer(tracer))
    });
    let subscriber = tracing_subscriber::registry().with(log.with_filter(filter.and(log::caps()))).with(traces);
    subscriber.try_init()?;
    *started = true;
    log::report_panics(common.log_format);
    handle.install();
    if let Some(provider) = &provider {
        opentelemetry::global::set_tracer_provider(provider.clone());
    }
    Ok(Guard(provider))
}

fn tracer_provider(service: &'static str, pod: &str, endpoint: &str, ratio: f64) -> Result<SdkTracerProvider> {
    // The client wants a crypto provider to be there already; when a main has set one, that one stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(traces_url(endpoint))
        .with_headers(HashMap::new())
        .build()
        .context("--otlp-endpoint (CONVENE_OTLP_ENDPOINT)")?;
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attributes([
            KeyValue::new("service.version", config::version()),
            KeyValue::new("service.instance.id", pod.to_owned()),
        ])
        .build();
    Ok(SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
        .with_batch_exporter(exporter)
        .with_resource(resource)
        .build())
}

/// The collector's address may be given with or without the path that OTLP over HTTP has for traces.
fn traces_url(endpoint: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    if endpoint.ends_with("/v1/traces") { endpoint.to_owned() } else { format!("{endpoint}/v1/traces") }
}

#[cfg(test)]
mod tests;
