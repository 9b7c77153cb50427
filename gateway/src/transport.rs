//! What a connection needs of the protocol that carries it.
//!
//! A connection reads and writes the messages of a WebSocket; which texts they hold is its [`Protocol`]'s business. The
//! plain frames are [`websocket`].

pub mod websocket;

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use serde_json::value::RawValue;
use shared::{
    api::{Close, Error},
    internal::{EventBody, Position},
    telemetry::{Attribute, Hop, SpanKind},
};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// One protocol over a WebSocket.
pub trait Protocol: Send + Sync + 'static {
    /// What a text message says.
    fn read(&self, text: Utf8Bytes) -> Incoming;
    /// The answer to a request, from the worker's `{"data":…,"error":…}`.
    fn answer(&self, request: &RequestTag, body: &str) -> Utf8Bytes;
    /// A pushed event. Encoded once for all sockets of the protocol.
    fn event(&self, event: &PushedEvent) -> Utf8Bytes;
    /// `user_info`, with the place at which the socket begins to listen, and how often its client is asked for a sign of life,
    /// where it has to know that.
    fn user_info(&self, data: &RawValue, last_event_id: &str, ping_interval: Duration) -> Utf8Bytes;
    /// `resyncRequired`: what the client asked to replay is gone.
    fn resync_required(&self) -> Utf8Bytes;
    /// `invalidConnection`, which goes before a close that [is told](Close::is_told).
    fn invalid_connection(&self, close: Close) -> Utf8Bytes;
    /// What makes a live client say something.
    fn ping(&self) -> Message;
}

/// What a text message says.
#[derive(Debug)]
pub enum Incoming {
    /// A request.
    Request(Request),
    /// A sign of life, and nothing else.
    Heartbeat,
    /// Nothing that could be done; answered with this error.
    Malformed(RequestTag, Error),
}

/// A client's request. Its `data` is passed on as it came.
#[derive(Debug)]
pub struct Request {
    /// What its answer must repeat.
    pub tag: RequestTag,
    /// `event.id`; empty when there is none.
    pub event_id: String,
    /// The JSON of `data`; `{}` when there is none.
    pub data: Bytes,
}

/// What an answer repeats of its request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestTag {
    /// The JSON of the client's id; without one the answer has none either.
    pub id: Option<String>,
    /// The endpoint as the client wrote it; `None` when there was none to be read.
    pub endpoint: Option<String>,
}

/// An event on its way to sockets of this pod.
#[derive(Debug)]
pub struct PushedEvent {
    /// Its place in its network.
    pub position: Position,
    /// `eventId`.
    pub id: String,
    /// `namespace:event`.
    pub name: String,
    /// Its `data`.
    pub data: Box<RawValue>,
    plain: OnceLock<Utf8Bytes>,
    trace: Option<Box<Trace>>,
}

/// Deliveries of one event on one pod of which each has a step of its own in the event's trace.
const MOST_TRACED: u32 = 16;

/// The trace of an event.
#[derive(Debug)]
struct Trace {
    parent: String,
    deliveries: AtomicU32,
}

impl PushedEvent {
    /// An event of that epoch and position.
    pub fn new(epoch: &str, position: Position, body: EventBody, trace_parent: Option<String>) -> Self {
        let EventBody { name, data } = body;
        let trace = trace_parent.map(|parent| Box::new(Trace { parent, deliveries: AtomicU32::new(0) }));
        Self { position, id: event_id(epoch, position), name, data, plain: OnceLock::new(), trace }
    }

    /// Begins the event's way to a socket, when a trace is kept of it: of its first sockets on this pod.
    pub fn delivery(&self, socket: u64) -> Option<Hop> {
        let trace = self.trace.as_deref()?;
        if trace.deliveries.fetch_add(1, Ordering::Relaxed) >= MOST_TRACED {
            return None;
        }
        let attributes = [
            Attribute::new("convene.event_id", self.id.clone()),
            Attribute::new("convene.socket", socket.cast_signed()),
        ];
        Hop::begin(&trace.parent, format!("deliver {}", self.name), SpanKind::Consumer, attributes)
    }
}

/// Names a place in a network's order: epoch and position.
pub fn event_id(epoch: &str, position: Position) -> String {
    format!("{epoch}.{position}")
}

/// Reads what [`event_id`] wrote.
pub fn parse_event_id(id: &str) -> Option<(&str, Position)> {
    let (epoch, position) = id.rsplit_once('.')?;
    // No sign, no leading zero: one place has one name.
    let number: Position = position.parse().ok()?;
    (number.to_string() == position && !epoch.is_empty()).then_some((epoch, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_names_one_place_in_one_way() {
        assert_eq!(parse_event_id(&event_id("k3v", 17)), Some(("k3v", 17)));
        for unknown in ["", "17", ".17", "k3v.", "k3v.-1", "k3v.+1", "k3v.017", "k3v.1e3", "k3v.99999999999999999999"] {
            assert_eq!(parse_event_id(unknown), None, "{unknown}");
        }
    }
}
