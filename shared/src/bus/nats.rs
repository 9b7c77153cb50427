//! The bus as a NATS server or cluster.
//!
//! Requests do not use async-nats' own, which costs over twice as much: one subscription `<inbox>.*` takes the answers to
//! all of them, and `Waiters` finds whose each is.

mod address;
mod link;
mod messages;

use std::{
    fmt,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_nats::{
    Client, ConnectOptions, HeaderMap, HeaderValue, PublishErrorKind, StatusCode, Subscriber,
    client::traits::Publisher as _, connection::State, message::OutboundMessage,
};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use rand::Rng as _;
use tokio::{
    sync::{Mutex, watch},
    task::AbortHandle,
    time::{Instant, timeout, timeout_at},
};

use self::{
    address::{Address, Credentials},
    link::Link,
    messages::{Messages, from_nats},
};
use super::{
    Bus, BusError, Engine, Headers, MAX_PAYLOAD_BYTES, Message, ReplyTo, SUBSCRIPTION_CAPACITY, Subject, Subscription,
    waiters::Waiting,
};

/// Longest pause between two attempts to connect.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// A server that answers no ping for three times as long is given up.
const PING_INTERVAL: Duration = Duration::from_secs(3);

/// For so long a connection may take nothing more before a sender is told that the bus is away.
const SEND_PATIENCE: Duration = Duration::from_secs(2);

/// How long a round trip to the server may take.
const ROUND_TRIP_PATIENCE: Duration = Duration::from_secs(5);

/// How long one may take that only looks whether all is well.
const PROBE_PATIENCE: Duration = Duration::from_millis(1500);

/// How long a connection is kept whose server has refused a subscription. It breaks requests under way.
const REFUSED_PATIENCE: Duration = Duration::from_secs(10);

/// So many bytes may wait to be written to the socket; beyond that, senders wait.
const MAX_UNWRITTEN_BYTES: usize = 8 * 1024 * 1024;

/// `nats-url` cannot be used. Does not say what it holds, as that may be a password.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("nats-url is not an address such as nats://host:4222, or several of them divided by commas")]
pub struct BadUrl;

/// The engine that speaks to NATS.
pub struct Nats {
    inbox: Inbox,
    inbox_task: AbortHandle,
    outflow: Outflow,
    /// When the connection was last made anew because a subscription was refused.
    renewed: std::sync::Mutex<Instant>,
}

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nats")
    }
}

impl Nats {
    /// A bus that connects in the background, and again whenever it loses the connection, for ever. `url` is one address
    /// or several of one cluster, divided by commas, with the credentials in the first or in each. With `tls://` the server's
    /// certificate is held against the system's. `name` is shown in the server's list of connections.
    ///
    /// Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// [`BadUrl`]; a server that is away is none.
    pub fn connect(url: &str, name: &str) -> Result<Bus, BadUrl> {
        let Address { servers, credentials } = url.parse()?;
        // Fails when the process has one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let link = Arc::new(Link::default());
        let heard = link.clone();
        let options = ConnectOptions::new()
            .name(name)
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(pause)
            .ping_interval(PING_INTERVAL)
            .subscription_capacity(SUBSCRIPTION_CAPACITY)
            .event_callback(move |event| {
                heard.hear(&event);
                std::future::ready(())
            });
        let options = match credentials {
            Some(Credentials::Password { user, password }) => options.user_and_password(user, password),
            Some(Credentials::Token(token)) => options.token(token),
            None => options,
        };
        // Neither waits for anything: it connects in the background.
        let client = options.connect(servers).now_or_never().and_then(Result::ok).ok_or(BadUrl)?;
        link.watch(client.statistics());
        let prefix = client.new_inbox();
        let answers = client.subscribe(format!("{prefix}.*")).now_or_never().and_then(Result::ok).ok_or(BadUrl)?;
        let inbox_task = tokio::spawn(hand_out(answers, prefix.len() + 1, link.clone())).abort_handle();
        let inbox = Inbox { client, prefix: prefix.into(), link };
        let renewed = std::sync::Mutex::new(Instant::now());
        Ok(Bus::new(Self { inbox, inbox_task, outflow: Outflow::default(), renewed }))
    }

    /// Makes the connection anew, with all its subscriptions, unless it has just been.
    async fn renew(&self) {
        {
            let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
            if renewed.elapsed() < REFUSED_PATIENCE {
                return;
            }
            *renewed = Instant::now();
        }
        // Fails when the connection was closed for good.
        let _ = self.inbox.client.force_reconnect().await;
    }

    async fn send(
        &self,
        subject: String,
        reply: Option<String>,
        headers: &Headers,
        payload: Bytes,
        patience: Duration,
    ) -> Result<(), BusError> {
        let size = headers.wire_bytes() + payload.len();
        if size > MAX_PAYLOAD_BYTES {
            return Err(BusError::TooLarge);
        }
        // async-nats would keep the message, and send it when nobody waits any more.
        if !self.is_connected() {
            return Err(BusError::Away);
        }
        let message = OutboundMessage {
            subject: subject.into(),
            payload,
            reply: reply.map(Into::into),
            headers: if headers.is_empty() { None } else { Some(to_nats(headers)?) },
        };
        let send = async {
            self.outflow.make_room(&self.inbox.client, size).await?;
            self.inbox.client.publish_message(message).await.map_err(|error| match error.kind() {
                PublishErrorKind::MaxPayloadExceeded => BusError::TooLarge,
                PublishErrorKind::InvalidSubject | PublishErrorKind::Send => BusError::Away,
            })
        };
        timeout(patience.min(SEND_PATIENCE), send).await.unwrap_or(Err(BusError::Away))
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.inbox_task.abort();
    }
}

impl Engine for Nats {
    fn publish(&self, subject: Subject, headers: Headers, payload: Bytes) -> BoxFuture<'_, Result<(), BusError>> {
        async move { self.send(subject.into_string(), None, &headers, payload, SEND_PATIENCE).await }.boxed()
    }

    fn request(
        &self,
        subject: Subject,
        headers: Headers,
        payload: Bytes,
        patience: Duration,
    ) -> BoxFuture<'_, Result<Message, BusError>> {
        async move {
            let deadline = Instant::now() + patience;
            let mut waiting = self.inbox.wait(1)?;
            self.send(subject.into_string(), Some(self.inbox.address(&waiting)), &headers, payload, patience).await?;
            timeout_at(deadline, waiting.answer()).await.unwrap_or(Err(BusError::Timeout))
        }
        .boxed()
    }

    fn gather(
        &self,
        subject: Subject,
        payload: Bytes,
        want: usize,
        patience: Duration,
    ) -> BoxFuture<'_, Result<Vec<Message>, BusError>> {
        async move {
            let deadline = Instant::now() + patience;
            let mut waiting = self.inbox.wait(want)?;
            let reply = Some(self.inbox.address(&waiting));
            self.send(subject.into_string(), reply, &Headers::new(), payload, patience).await?;
            let mut answers = Vec::new();
            while answers.len() < want
                && let Ok(Ok(answer)) = timeout_at(deadline, waiting.answer()).await
            {
                answers.push(answer);
            }
            Ok(answers)
        }
        .boxed()
    }

    fn reply(&self, to: ReplyTo, headers: Headers, payload: Bytes) -> BoxFuture<'_, Result<(), BusError>> {
        async move { self.send(to.0, None, &headers, payload, SEND_PATIENCE).await }.boxed()
    }

    fn subscribe(&self, subject: Subject, group: Option<&str>) -> BoxFuture<'_, Result<Subscription, BusError>> {
        let group = group.map(str::to_owned);
        async move {
            let subscribe = async {
                match group {
                    None => self.inbox.client.subscribe(subject.into_string()).await,
                    Some(group) => self.inbox.client.queue_subscribe(subject.into_string(), group).await,
                }
            };
            match timeout(SEND_PATIENCE, subscribe).await {
                Ok(Ok(subscriber)) => Ok(Subscription(Box::new(Messages::Live(subscriber, self.inbox.clone())))),
                Ok(Err(_)) | Err(_) => Err(BusError::Away),
            }
        }
        .boxed()
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), BusError>> {
        self.inbox.round_trip().boxed()
    }

    fn probe(&self, subjects: Vec<Subject>) -> BoxFuture<'_, Result<(), BusError>> {
        async move {
            for subject in &subjects {
                let subject = subject.as_str().to_owned();
                self.send(subject, None, &Headers::new(), Bytes::new(), SEND_PATIENCE).await?;
            }
            let heard = timeout(PROBE_PATIENCE, self.inbox.round_trip()).await.unwrap_or(Err(BusError::Timeout));
            let link = &self.inbox.link;
            if let Some(said) = link.refused_subscription() {
                self.renew().await;
                return Err(BusError::Refused(said));
            }
            link.take_refused_message().map_or(heard, |said| Err(BusError::Refused(said)))
        }
        .boxed()
    }

    fn is_connected(&self) -> bool {
        self.inbox.is_connected()
    }

    fn disturbances(&self) -> watch::Receiver<u64> {
        self.inbox.link.disturbances.subscribe()
    }
}

/// Where the answers to a connection's requests arrive.
#[derive(Clone)]
struct Inbox {
    client: Client,
    prefix: Arc<str>,
    link: Arc<Link>,
}

impl Inbox {
    fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    fn wait(&self, answers: usize) -> Result<Waiting, BusError> {
        // The state before the number: the other way round, a request could pass for one of a connection that is lost.
        if !self.is_connected() {
            return Err(BusError::Away);
        }
        self.link.waiters.wait(self.link.connection(), answers)
    }

    fn address(&self, waiting: &Waiting) -> String {
        format!("{}.{}", self.prefix, waiting.token)
    }

    /// Returns when the server has heard everything that was sent before. It handles what a connection sends in order, so a
    /// message to ourselves comes back after all that. (async-nats' own flush returns when the bytes are on their way.)
    async fn round_trip(&self) -> Result<(), BusError> {
        let mut waiting = self.wait(1)?;
        let round_trip = async {
            self.client.publish(self.address(&waiting), Bytes::new()).await.map_err(|_| BusError::Away)?;
            waiting.answer().await.map(drop)
        };
        timeout(ROUND_TRIP_PATIENCE, round_trip).await.unwrap_or(Err(BusError::Away))
    }
}

/// Hands the answers that arrive to the requests that they are for.
async fn hand_out(mut answers: Subscriber, token_at: usize, link: Arc<Link>) {
    while let Some(message) = answers.next().await {
        let answer = match message.status {
            Some(StatusCode::NO_RESPONDERS) => Err(BusError::NoResponders),
            _ => Ok(()),
        };
        let message = from_nats(message);
        let token = message.subject.get(token_at..).unwrap_or_default().to_owned();
        link.waiters.answer(&token, answer.map(|()| message));
    }
}

/// Bounds the bytes between us and the socket: async-nats counts messages only, and takes 2048 of any size.
#[derive(Debug, Default)]
struct Outflow {
    unwritten: AtomicUsize,
    turn: Mutex<()>,
}

impl Outflow {
    async fn make_room(&self, client: &Client, size: usize) -> Result<(), BusError> {
        if self.unwritten.load(Ordering::Relaxed) > MAX_UNWRITTEN_BYTES {
            let _turn = self.turn.lock().await;
            let queued = self.unwritten.load(Ordering::Relaxed);
            if queued > MAX_UNWRITTEN_BYTES {
                client.flush().await.map_err(|_| BusError::Away)?;
                self.unwritten.fetch_sub(queued, Ordering::Relaxed);
            }
        }
        self.unwritten.fetch_add(size, Ordering::Relaxed);
        Ok(())
    }
}

/// The pause before that attempt to connect; the first has 1. Random, so that not all pods come at once.
fn pause(attempt: usize) -> Duration {
    let doublings = u32::try_from(attempt).unwrap_or(u32::MAX).min(10);
    let longest = Duration::from_millis(10).saturating_mul(1 << doublings).min(MAX_PAUSE);
    longest.mul_f64(rand::rng().random_range(0.5..=1.0))
}

fn to_nats(headers: &Headers) -> Result<HeaderMap, BusError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter() {
        let value: HeaderValue = value.parse().map_err(|_| BusError::BadHeader(name.as_str()))?;
        map.insert(name.as_str(), value);
    }
    Ok(map)
}
