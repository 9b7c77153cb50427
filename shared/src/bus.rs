//! The bus between pods: request and reply, queue groups, publish and subscribe.
//!
//! Two engines stand behind [`Bus`] and pass one set of tests: [`nats`] for deployments, [`local`] for the one-process
//! program and fast tests. Delivery is at most once: whoever needs more asks PostgreSQL (see [`Bus::disturbances`]).

pub mod local;
pub mod nats;
pub mod subject;
mod waiters;

use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::watch;

pub use subject::Subject;

/// A message's headers and payload have at most so many bytes together, which is NATS' default limit.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;

/// One connection waits for at most so many answers at once; a request beyond is [`BusError::Away`].
pub const MOST_WAITING: usize = 64 * 1024;

/// A subscription holds at most so many messages that were not taken yet. What comes while it is full is lost and counts
/// as a disturbance.
pub const SUBSCRIPTION_CAPACITY: usize = 64 * 1024;

/// Names of the headers in use; [`Headers`] takes no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HeaderName {
    /// Who calls, for how long, and with which `event.id`: the JSON of [`crate::internal::Call`].
    Call,
    /// An answer's error code, absent when there is none.
    Code,
    /// W3C trace context.
    TraceParent,
}

impl HeaderName {
    /// Every name.
    pub const ALL: &[Self] = &[Self::Call, Self::Code, Self::TraceParent];

    /// As it is written on the bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Call => "Convene-Call",
            Self::Code => "Convene-Code",
            Self::TraceParent => "traceparent",
        }
    }
}

/// A message's headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, String)>);

impl Headers {
    /// No headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header.
    ///
    /// # Errors
    /// [`BusError::BadHeader`] when the value holds a control character: it could end the header and begin another.
    pub fn with(mut self, name: HeaderName, value: impl Into<String>) -> Result<Self, BusError> {
        let value = value.into();
        if value.chars().any(char::is_control) {
            return Err(BusError::BadHeader(name.as_str()));
        }
        self.0.push((name, value));
        Ok(self)
    }

    /// The value of a header.
    pub fn get(&self, name: HeaderName) -> Option<&str> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str())
    }

    /// Name and value of each header.
    pub fn iter(&self) -> impl Iterator<Item = (HeaderName, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes they take on the bus.
    fn wire_bytes(&self) -> usize {
        const FRAME: usize = "NATS/1.0\r\n\r\n".len();
        let line = |(name, value): (HeaderName, &str)| name.as_str().len() + ": \r\n".len() + value.len();
        if self.is_empty() { 0 } else { FRAME + self.iter().map(line).sum::<usize>() }
    }
}

/// Where a reply goes. Opaque; it names one waiting request of one process and is never used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyTo(pub(crate) String);

/// A message as it is received.
#[derive(Clone, Debug)]
pub struct Message {
    /// The subject it was published on.
    pub subject: String,
    /// Its headers; unknown ones are left out.
    pub headers: Headers,
    /// Its body.
    pub payload: Bytes,
    /// Where its sender waits for an answer.
    pub reply: Option<ReplyTo>,
}

/// Why the bus could not do it.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BusError {
    /// Nobody serves this subject: 503 at once.
    #[error("nobody serves this subject")]
    NoResponders,
    /// No answer in time: 504. It may have been done all the same.
    #[error("no answer in time")]
    Timeout,
    /// The connection to the bus is down, or was lost before the answer came: 503. In the second case it may have been done
    /// all the same.
    #[error("the bus is away")]
    Away,
    /// The bus does not let this process publish or subscribe; what it said.
    #[error("the bus refuses it: {0}")]
    Refused(String),
    /// More bytes than [`MAX_PAYLOAD_BYTES`], headers included.
    #[error("the message is too large for the bus")]
    TooLarge,
    /// A header's value holds a control character.
    #[error("the header {0} holds a control character")]
    BadHeader(&'static str),
}

/// What an engine does. Use it through [`Bus`].
pub trait Engine: Send + Sync + 'static {
    /// See [`Bus::publish`].
    fn publish(&self, subject: Subject, headers: Headers, payload: Bytes) -> BoxFuture<'_, Result<(), BusError>>;
    /// See [`Bus::request`].
    fn request(
        &self,
        subject: Subject,
        headers: Headers,
        payload: Bytes,
        patience: Duration,
    ) -> BoxFuture<'_, Result<Message, BusError>>;
    /// See [`Bus::gather`].
    fn gather(
        &self,
        subject: Subject,
        payload: Bytes,
        want: usize,
        patience: Duration,
    ) -> BoxFuture<'_, Result<Vec<Message>, BusError>>;
    /// See [`Bus::reply`].
    fn reply(&self, to: ReplyTo, headers: Headers, payload: Bytes) -> BoxFuture<'_, Result<(), BusError>>;
    /// See [`Bus::subscribe`] and [`Bus::serve`].
    fn subscribe(&self, subject: Subject, group: Option<&str>) -> BoxFuture<'_, Result<Subscription, BusError>>;
    /// See [`Bus::flush`].
    fn flush(&self) -> BoxFuture<'_, Result<(), BusError>>;
    /// See [`Bus::probe`].
    fn probe(&self, subjects: Vec<Subject>) -> BoxFuture<'_, Result<(), BusError>>;
    /// See [`Bus::is_connected`].
    fn is_connected(&self) -> bool;
    /// See [`Bus::disturbances`].
    fn disturbances(&self) -> watch::Receiver<u64>;
}

/// A connection to the bus. Cheap to clone.
#[derive(Clone)]
pub struct Bus(Arc<dyn Engine>);

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bus")
    }
}

impl Bus {
    /// The bus behind this engine.
    pub fn new(engine: impl Engine) -> Self {
        Self(Arc::new(engine))
    }

    /// Hands a message to every subscriber of the subject and to one of each queue group. Those who are away miss it.
    ///
    /// # Errors
    /// [`BusError::Away`], [`BusError::TooLarge`].
    pub async fn publish(&self, subject: Subject, headers: Headers, payload: impl Into<Bytes>) -> Result<(), BusError> {
        self.0.publish(subject, headers, payload.into()).await
    }

    /// Sends a message and waits for the first answer, `patience` long at most.
    ///
    /// # Errors
    /// [`BusError::NoResponders`] at once when nobody serves the subject, [`BusError::Timeout`], [`BusError::Away`],
    /// [`BusError::TooLarge`].
    pub async fn request(
        &self,
        subject: Subject,
        headers: Headers,
        payload: impl Into<Bytes>,
        patience: Duration,
    ) -> Result<Message, BusError> {
        self.0.request(subject, headers, payload.into(), patience).await
    }

    /// Sends a message and gathers answers until there are `want` of them or `patience` is over; fewer, or none, is not an
    /// error.
    ///
    /// # Errors
    /// [`BusError::Away`], [`BusError::TooLarge`].
    pub async fn gather(
        &self,
        subject: Subject,
        payload: impl Into<Bytes>,
        want: usize,
        patience: Duration,
    ) -> Result<Vec<Message>, BusError> {
        self.0.gather(subject, payload.into(), want, patience).await
    }

    /// Answers a request.
    ///
    /// # Errors
    /// [`BusError::Away`], [`BusError::TooLarge`].
    pub async fn reply(&self, to: ReplyTo, headers: Headers, payload: impl Into<Bytes>) -> Result<(), BusError> {
        self.0.reply(to, headers, payload.into()).await
    }

    /// Every message published on the subject from now on. `*` stands for one token.
    ///
    /// While the connection is down the subscription is made when it is up again: look at [`Bus::disturbances`].
    ///
    /// # Errors
    /// [`BusError::Away`] when the connection takes nothing more.
    pub async fn subscribe(&self, subject: Subject) -> Result<Subscription, BusError> {
        self.0.subscribe(subject, None).await
    }

    /// As [`Bus::subscribe`], but each message goes to one member of the queue group only.
    ///
    /// # Errors
    /// [`BusError::Away`] when the connection takes nothing more.
    pub async fn serve(&self, subject: Subject, group: &str) -> Result<Subscription, BusError> {
        self.0.subscribe(subject, Some(group)).await
    }

    /// Returns when the bus has taken everything sent before, subscriptions included.
    ///
    /// # Errors
    /// [`BusError::Away`].
    pub async fn flush(&self) -> Result<(), BusError> {
        self.0.flush().await
    }

    /// Whether this process may do on the bus what it has to: publishes an empty message on each of these subjects, hears
    /// one of its own, and has been refused no subscription. Subjects that somebody listens to are a mistake.
    ///
    /// While a subscription is refused the connection is made anew now and then: the bus does not say when it would not be
    /// refused any more.
    ///
    /// # Errors
    /// [`BusError::Refused`], [`BusError::Away`]; [`BusError::Timeout`] when the message does not come back within 1.5 s.
    pub async fn probe(&self, subjects: Vec<Subject>) -> Result<(), BusError> {
        self.0.probe(subjects).await
    }

    /// Whether the connection is up now.
    pub fn is_connected(&self) -> bool {
        self.0.is_connected()
    }

    /// Counts everything after which messages may be missing: connects, disconnects and full subscriptions.
    pub fn disturbances(&self) -> watch::Receiver<u64> {
        self.0.disturbances()
    }
}

/// Where a subscription's messages come from.
trait Source: Send {
    /// See [`Subscription::next`].
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Message>>;
    /// See [`Subscription::stop`].
    fn stop(&mut self);
}

/// The messages of one subscription, in the order in which each sender sent them. Dropping it ends it.
pub struct Subscription(Box<dyn Source>);

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscription")
    }
}

impl Subscription {
    /// The next message; `None` when it was stopped and all were taken. Cancel safe.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|context| self.0.poll_next(context)).await
    }

    /// Asks for no more. What was sent to this subscription before the bus heard of it still comes out of
    /// [`Subscription::next`], until that says `None`: of a queue group that one member leaves, no message is lost.
    pub fn stop(&mut self) {
        self.0.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_could_end_its_header_is_refused() {
        for hostile in ["a\r\nConvene-Call: {}", "a\n", "\r", "\0", "\u{85}", "\u{7f}"] {
            let refused = Headers::new().with(HeaderName::Call, hostile);
            assert_eq!(refused, Err(BusError::BadHeader("Convene-Call")), "{hostile:?}");
        }
        let headers = Headers::new().with(HeaderName::Call, r#"{"user":"Ѫ 👋 {}"}"#).expect("no control character");
        assert_eq!(headers.get(HeaderName::Call), Some(r#"{"user":"Ѫ 👋 {}"}"#));
    }
}
