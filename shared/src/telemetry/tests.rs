use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

use opentelemetry::trace::TraceId;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};
use tracing::Instrument as _;

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

/// What is traced while this runs, of requests that begin here the part `ratio`.
fn traced(ratio: f64, run: impl FnOnce()) -> Vec<SpanData> {
    let kept = Kept::default();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
    let provider = SdkTracerProvider::builder().with_sampler(sampler).with_simple_exporter(kept.clone()).build();
    let tracer = provider.tracer("test");
    let layer = trace::layer(tracer.clone()).and_then(statements::layer(tracer));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), run);
    provider.force_flush().expect("exported");
    std::mem::take(&mut *kept.0.lock().expect("no exporter panicked"))
}

fn find<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name} in {spans:#?}"))
}

#[test]
fn a_trace_goes_on_behind_the_bus() {
    let spans = traced(1.0, || {
        let header = tracing::info_span!("asks").in_scope(trace_parent).expect("a traced span");
        let answers = tracing::info_span!("answers");
        continue_trace(&answers, Some(&header));
        assert_eq!(trace_id(&answers).as_deref(), header.split('-').nth(1));
        answers.in_scope(|| {});
    });
    let (asks, answers) = (find(&spans, "asks"), find(&spans, "answers"));
    assert_eq!(answers.span_context.trace_id(), asks.span_context.trace_id());
    assert_eq!(answers.parent_span_id, asks.span_context.span_id());
}

#[test]
fn whoever_is_asked_follows_what_the_first_has_decided() {
    let with_flag = |flag: &str| format!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flag}");
    for ratio in [0.0, 1.0] {
        let spans = traced(ratio, || {
            for (name, header) in [
                (tracing::info_span!("sampled"), Some(with_flag("01"))),
                (tracing::info_span!("not sampled"), Some(with_flag("00"))),
                (tracing::info_span!("no header"), None),
                (tracing::info_span!("hostile"), Some("hostile\r\nheader".to_owned())),
                (
                    tracing::info_span!("nothing"),
                    Some("00-00000000000000000000000000000000-0000000000000000-01".to_owned()),
                ),
            ] {
                continue_trace(&name, header.as_deref());
                name.in_scope(|| assert_eq!(sampled_trace_parent().is_some(), is_sampled()));
            }
            tracing::info_span!("its own").in_scope(|| {});
        });
        let mut names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
        names.sort_unstable();
        let expected: &[&str] = if ratio == 0.0 { &["sampled"] } else { &["its own", "sampled"] };
        assert_eq!(names, expected);
        assert_ne!(find(&spans, "sampled").span_context.trace_id(), TraceId::INVALID);
    }
}

/// What sqlx says of a statement, as its logger writes it.
fn statement(summary: &str, text: &str) {
    tracing::debug!(
        target: "sqlx::query",
        summary,
        db.statement = text,
        rows_affected = 0_u64,
        rows_returned = 3_u64,
        elapsed = ?Duration::from_millis(20),
        elapsed_secs = 0.02,
    );
}

#[test]
fn a_statement_is_a_span_of_the_request_that_makes_it() {
    let spans = traced(1.0, || {
        statement("SELECT 1", "");
        let request = tracing::info_span!("request");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(
            async {
                tokio::task::yield_now().await;
                statement("SELECT a, b FROM …", "\n\n-- Why.\nSELECT a, b\n  FROM t\n");
                statement("COMMIT", "");
            }
            .instrument(request),
        );
        let unsampled = tracing::info_span!("unsampled");
        continue_trace(&unsampled, None);
        unsampled.in_scope(|| statement("SELECT 2", ""));
    });
    let names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["SELECT a, b FROM", "COMMIT", "request"]);
    let (select, request) = (&spans[0], &spans[2]);
    assert_eq!(select.parent_span_id, request.span_context.span_id());
    assert_eq!(select.end_time.duration_since(select.start_time).ok(), Some(Duration::from_millis(20)));
    let attribute = |key: &str| {
        let found = select.attributes.iter().find(|attribute| attribute.key.as_str() == key);
        found.unwrap_or_else(|| panic!("{key}")).value.as_str().into_owned()
    };
    assert_eq!(attribute("db.query.text"), "SELECT a, b\nFROM t");
    assert_eq!(attribute("db.response.returned_rows"), "3");
}

#[test]
fn spans_of_libraries_and_those_below_info_are_no_part_of_a_trace() {
    let spans = traced(1.0, || {
        for span in [
            tracing::info_span!(target: "hyper::client", "hyper"),
            tracing::info_span!(target: "opentelemetry_sdk", "exporter"),
            tracing::debug_span!(target: "gateway::hub", "debug"),
            tracing::info_span!(target: "gateway::hub", "ours"),
            tracing::info_span!(target: TRACE_ONLY, "ours, for traces only"),
        ] {
            span.in_scope(|| {});
        }
    });
    let names: Vec<&str> = spans.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["ours", "ours, for traces only"]);
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
    let provider = tracer_provider("a-service", "a-pod", &endpoint, 1.0).expect("a provider");
    let layer = trace::layer(provider.tracer("test"));
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
    continue_trace(&span, Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    continue_trace(&span, None);
    assert_eq!(span.in_scope(trace_parent), None);
    assert_eq!(trace_id(&span), None);
    let hop = Hop::begin(
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "step".to_owned(),
        SpanKind::Producer,
        [],
    );
    assert!(hop.is_none(), "{hop:?}");
}

#[test]
fn a_second_init_in_one_process_leaves_the_first_alone() {
    let common = config::read::<config::tests::OnlyCommon>(["test"]).expect("defaults").common;
    let _first = init("test", "pod-a", "warn", &common, 1.0).expect("the first");
    let _second = init("test", "pod-b", "info", &common, 1.0).expect("the second");
    assert_eq!(log_filter().as_deref(), Some("warn"));
    set_log_filter(" info,shared=trace\n").expect("a filter");
    assert_eq!(log_filter().as_deref(), Some("info,shared=trace"));
    set_log_filter("shared=loud").expect_err("that is none");
    assert_eq!(log_filter().as_deref(), Some("info,shared=trace"));
}

#[test]
fn the_path_for_traces_is_added_once() {
    for endpoint in ["http://c:4318", "http://c:4318/", "http://c:4318/v1/traces"] {
        assert_eq!(traces_url(endpoint), "http://c:4318/v1/traces");
    }
}
