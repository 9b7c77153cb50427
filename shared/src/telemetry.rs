//! Logs on stderr, and traces to an OpenTelemetry collector.
//!
//! `RUST_LOG` says what is logged, in the directives of `tracing-subscriber` (`info`, `warn,gateway=debug`). Traces are
//! sent when `otlp-endpoint` is set, and follow a request over the bus in its `traceparent` header
//! ([`HeaderName::TraceParent`](crate::bus::HeaderName::TraceParent)).

mod line;

use std::{collections::HashMap, fmt, io, io::IsTerminal as _, time::Duration};

use anyhow::{Context as _, Result};
use opentelemetry::{
    KeyValue,
    propagation::TextMapPropagator as _,
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{
    EnvFilter, Layer, filter::filter_fn, fmt::MakeWriter, layer::SubscriberExt as _, registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use line::OneLine;

use crate::config::{self, Common, LogFormat};

/// What a pod logs unless `RUST_LOG` says otherwise. Of the connection to NATS the bus tells what matters, once.
pub const DEFAULT_FILTER: &str = "info,async_nats=off";

/// How long the last spans may take to reach the collector when the process ends.
const FLUSH_PATIENCE: Duration = Duration::from_secs(3);

/// The exporter's own HTTP client must not be traced: each export would cause the next.
const NOT_TRACED: &[&str] = &["h2", "hyper", "hyper_util", "opentelemetry", "reqwest", "rustls"];

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

/// Starts logging and, when `otlp-endpoint` is set, tracing. `filter` applies where `RUST_LOG` says nothing.
///
/// A process has one log: in a second call (two pods in one test) everything stays as the first has set it.
///
/// # Errors
/// `RUST_LOG` or the endpoint makes no sense.
pub fn init(service: &'static str, pod: &str, filter: &str, common: &Common) -> Result<Guard> {
    let provider =
        common.otlp_endpoint.as_deref().map(|endpoint| tracer_provider(service, pod, endpoint)).transpose()?;
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(service))
            .with_filter(filter_fn(|meta| !NOT_TRACED.iter().any(|name| is_within(meta.target(), name))))
    });
    // Standard output belongs to what a program answers (`convene listen`), so the log is on standard error.
    let log = log(common.log_format, io::stderr, io::stderr().is_terminal());
    let subscriber = tracing_subscriber::registry().with(env_filter(filter)?).with(log).with(traces);
    match subscriber.try_init() {
        Ok(()) => Ok(Guard(provider)),
        Err(_) => Ok(Guard(None)),
    }
}

#[expect(clippy::disallowed_methods, reason = "RUST_LOG is no setting of ours")]
fn env_filter(default: &str) -> Result<EnvFilter> {
    let directives = std::env::var("RUST_LOG").ok().filter(|text| !text.trim().is_empty());
    let directives = directives.as_deref().unwrap_or(default);
    EnvFilter::try_new(directives).with_context(|| format!("RUST_LOG: {directives:?} is no log filter"))
}

fn log<S, M>(format: LogFormat, writer: M, is_terminal: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    M: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let is_coloured = is_terminal && format == LogFormat::Text;
    let layer = tracing_subscriber::fmt::layer().with_writer(OneLine::new(writer, is_coloured));
    match format {
        LogFormat::Text => layer.with_ansi(is_coloured).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
    }
}

fn tracer_provider(service: &'static str, pod: &str, endpoint: &str) -> Result<SdkTracerProvider> {
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
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// The collector's address may be given with or without the path that OTLP over HTTP has for traces.
fn traces_url(endpoint: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    if endpoint.ends_with("/v1/traces") { endpoint.to_owned() } else { format!("{endpoint}/v1/traces") }
}

fn is_within(target: &str, name: &str) -> bool {
    target.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', ':']))
}

/// The current span as a `traceparent` header; `None` when nothing is traced.
pub fn trace_parent() -> Option<String> {
    let context = Span::current().context();
    if !context.span().span_context().is_valid() {
        return None;
    }
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.remove(TRACE_PARENT)
}

/// Makes `span`, which was not entered yet, continue the trace of a `traceparent` header. One that is malformed, or comes
/// while nothing is traced, changes nothing.
pub fn continue_trace(span: &Span, trace_parent: &str) {
    let carrier = HashMap::from([(TRACE_PARENT.to_owned(), trace_parent.to_owned())]);
    let context = TraceContextPropagator::new().extract(&carrier);
    if context.span().span_context().is_valid() {
        // Fails where no layer records traces, which is fine.
        let _ = span.set_parent(context);
    }
}

const TRACE_PARENT: &str = "traceparent";

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        sync::{Arc, Mutex},
        thread,
    };

    use opentelemetry_sdk::{
        error::OTelSdkResult,
        trace::{SpanData, SpanExporter},
    };

    use super::*;

    /// Keeps what is exported.
    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<SpanData>>>);

    impl SpanExporter for Kept {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            self.0.lock().expect("no test panicked here").extend(batch);
            Ok(())
        }
    }

    /// Keeps what is logged.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no test panicked here").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged when the text of a stranger stands wherever one can stand.
    fn logged(format: LogFormat, is_terminal: bool, hostile: &str) -> String {
        let written = Written::default();
        let writer = written.clone();
        let layer = log(format, move || writer.clone(), is_terminal);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span =
                tracing::info_span!("request", event_id = hostile, shown = %hostile, recorded = tracing::field::Empty);
            span.record("recorded", tracing::field::display(hostile));
            let _entered = span.enter();
            let error = io::Error::other(hostile.to_owned());
            tracing::info!(text = hostile, %error, debug = ?error, "{hostile}");
            tracing::info!("the next");
        });
        let bytes = written.0.lock().expect("no test panicked here").clone();
        String::from_utf8(bytes).expect("a log is text")
    }

    const FORGED: &str = "bob\n2030-01-01T00:00:00Z  INFO gateway: forged\r\u{1b}[2J\u{9b}31m\u{85}\u{2028}\0\t\u{7f}\u{1b}]0;title\u{7}";

    #[test]
    fn a_strangers_text_makes_no_line_and_does_nothing_to_a_terminal() {
        for (format, is_terminal) in
            [(LogFormat::Text, false), (LogFormat::Text, true), (LogFormat::Json, false), (LogFormat::Json, true)]
        {
            let log = logged(format, is_terminal, FORGED);
            let lines: Vec<&str> = log.split('\n').collect();
            assert_eq!((lines.len(), lines[2]), (3, ""), "{format:?}: {log}");
            assert!(lines[1].contains("the next"), "{format:?}: {log}");
            assert!(!lines[0].contains("\u{1b}[2J") && !lines[0].contains("\u{1b}]"), "{format:?}: {log:?}");
            let is_own = |c: char| c == '\u{1b}' && is_terminal && format == LogFormat::Text;
            let harmful = |c: char| c.is_control() && !is_own(c) || c == '\u{2028}';
            assert!(!lines[..2].concat().contains(harmful), "{format:?}: {log:?}");
            if format == LogFormat::Json {
                let event: serde_json::Value = serde_json::from_str(lines[0]).expect("JSON");
                assert_eq!(
                    (&event["text"], &event["message"], &event["error"]),
                    (&FORGED.into(), &FORGED.into(), &FORGED.into())
                );
            }
        }
    }

    #[test]
    fn a_trace_goes_on_behind_the_bus() {
        let kept = Kept::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let header = tracing::info_span!("asks").in_scope(trace_parent).expect("a traced span");
            let answers = tracing::info_span!("answers");
            continue_trace(&answers, &header);
            answers.in_scope(|| {});
        });
        provider.force_flush().expect("exported");
        let spans = kept.0.lock().expect("no exporter panicked");
        let find = |name: &str| spans.iter().find(|span| span.name == name).expect("a span of that name");
        let (asks, answers) = (find("asks"), find("answers"));
        assert_eq!(answers.span_context.trace_id(), asks.span_context.trace_id());
        assert_eq!(answers.parent_span_id, asks.span_context.span_id());
    }

    /// In a runtime like a pod's: the exporter must not need one of its own, nor stand in the way of this one.
    #[tokio::test]
    async fn what_was_traced_last_reaches_the_collector_when_the_guard_is_dropped() {
        let collector = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", collector.local_addr().expect("its address"));
        let received = thread::spawn(move || {
            let (mut socket, _) = collector.accept().expect("the exporter");
            let mut request = Vec::new();
            while !request.windows(10).any(|bytes| bytes == b"last words") {
                let mut chunk = [0; 4096];
                let read = socket.read(&mut chunk).expect("the request");
                assert!(read > 0, "the request ended early: {}", String::from_utf8_lossy(&request));
                request.extend_from_slice(&chunk[..read]);
            }
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("the answer");
            String::from_utf8_lossy(&request).into_owned()
        });
        let provider = tracer_provider("a-service", "a-pod", &endpoint).expect("a provider");
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let guard = Guard(Some(provider));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info_span!("last words").in_scope(|| {});
        });
        drop(guard);
        let request = received.join().expect("the collector");
        assert!(request.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{request}");
        for part in ["a-service", "a-pod", config::version()] {
            assert!(request.contains(part), "{part} is missing in {request}");
        }
    }

    #[test]
    fn nothing_is_sent_or_continued_where_nothing_is_traced() {
        let span = tracing::info_span!("alone");
        continue_trace(&span, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        continue_trace(&span, "hostile\r\nheader");
        assert_eq!(span.in_scope(trace_parent), None);
    }

    #[test]
    fn a_second_init_in_one_process_leaves_the_first_alone() {
        let common = config::read::<config::tests::OnlyCommon>(["test"]).expect("defaults").common;
        let _first = init("test", "pod-a", "warn", &common).expect("the first");
        let _second = init("test", "pod-b", "warn", &common).expect("the second");
    }

    #[test]
    fn the_exporter_does_not_trace_itself_but_others_of_a_similar_name_are_traced() {
        assert!(is_within("hyper::client", "hyper") && is_within("opentelemetry_sdk", "opentelemetry"));
        assert!(!is_within("hyperion", "hyper"));
    }

    #[test]
    fn the_path_for_traces_is_added_once() {
        for endpoint in ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"] {
            assert_eq!(traces_url(endpoint), "http://c:4318/v1/traces");
        }
    }
}
