//! A collector of traces: OTLP over HTTP, as protobuf, kept in memory.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;

/// Listens on loopback until it is dropped.
#[derive(Debug)]
pub struct Collector {
    /// For `otlp-endpoint`.
    pub endpoint: String,
    received: Received,
    server: tokio::task::JoinHandle<()>,
}

type Received = Arc<Mutex<Vec<Seen>>>;

/// A span, and who has sent it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `service.name`
    pub service: String,
    /// `service.instance.id`
    pub instance: String,
    /// As it was sent.
    pub span: Span,
}

impl Seen {
    /// An attribute as text; empty when there is none.
    pub fn attribute(&self, key: &str) -> String {
        attribute(&self.span.attributes, key)
    }
}

impl Collector {
    /// Begins to listen.
    pub async fn start() -> Self {
        let received = Received::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
        let router = Router::new().route("/v1/traces", post(receive)).with_state(received.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { endpoint, received, server }
    }

    /// What has come so far.
    pub fn spans(&self) -> Vec<Seen> {
        self.received.lock().expect("no handler panicked").clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn receive(State(received): State<Received>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body) else { return StatusCode::BAD_REQUEST };
    let mut received = received.lock().expect("no handler panicked");
    for of_process in request.resource_spans {
        let resource = of_process.resource.map(|resource| resource.attributes).unwrap_or_default();
        let (service, instance) = (attribute(&resource, "service.name"), attribute(&resource, "service.instance.id"));
        let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
        received.extend(spans.map(|span| Seen { service: service.clone(), instance: instance.clone(), span }));
    }
    StatusCode::OK
}

fn attribute(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

/// A trace as a tree, one span a line, children below their parent by the time that they began.
pub fn tree(spans: &[Seen]) -> String {
    let mut children: HashMap<&[u8], Vec<&Seen>> = HashMap::new();
    for seen in spans {
        children.entry(&seen.span.parent_span_id).or_default().push(seen);
    }
    let mut text = String::new();
    grow(&mut text, &children, &[], 0);
    text
}

fn grow(text: &mut String, children: &HashMap<&[u8], Vec<&Seen>>, of: &[u8], depth: usize) {
    let mut below = children.get(of).cloned().unwrap_or_default();
    below.sort_by_key(|seen| seen.span.start_time_unix_nano);
    for seen in below {
        let micros = (seen.span.end_time_unix_nano - seen.span.start_time_unix_nano) / 1000;
        let (service, name) = (&seen.service, &seen.span.name);
        writeln!(text, "{:indent$}{name} ({service}, {micros} µs)", "", indent = 2 * depth).expect("memory");
        grow(text, children, &seen.span.span_id, depth + 1);
    }
}
