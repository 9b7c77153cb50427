//! A network's events on this pod: in order, once, without a hole (invariant I5 and I8 of the event path).
//!
//! | part | does |
//! | --- | --- |
//! | [`Streams`] | finds or begins a network's stream, feeds it from the bus, drops it when nobody is left |
//! | `log` | what a stream has applied: its place, its recent events, the sockets attached to it. Pure |
//! | `follow` | the one task of a stream, the only one that moves it on |
//! | `catchup` | brings one socket from where it begins to listen to where the stream is, and attaches it |

mod catchup;
mod follow;
mod log;
#[cfg(test)]
mod model;

use std::{
    collections::{BTreeSet, HashMap},
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use metrics::counter;
use shared::{
    bus::{Bus, BusError, Subject, subject},
    internal::{Deliver, Heads, Partition, PlacedEvent, Position, ReadHeads},
    pod::PodId,
    telemetry::Outage,
};
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

pub use catchup::catch_up;
use log::Log;

use crate::{hub::Socket, transport::parse_event_id, workers::Workers};

/// How many range reads run at once on a pod.
const RANGE_READS: usize = 8;

/// A stream holds at most so many signals that its task has not taken yet. What does not fit is lost: heads repair it.
const INBOX: usize = 1024;

/// A partition whose relay was not heard for so long is asked about.
const SILENCE: Duration = Duration::from_secs(3);

/// The streams of this pod.
#[derive(Debug)]
pub struct Streams {
    streams: Mutex<HashMap<String, Arc<Stream>>>,
    bus: Bus,
    workers: Workers,
    reads: Semaphore,
    /// When something was last heard on `heads.<partition>`.
    heads_heard: Mutex<HashMap<Partition, Instant>>,
    renew_bodies: Notify,
    renew_heads: Notify,
    ask_heads: Notify,
    subscribing: Outage,
    stop: CancellationToken,
}

/// One network's stream.
#[derive(Debug)]
pub struct Stream {
    network: String,
    partition: Partition,
    log: Mutex<Log>,
    signals: mpsc::Sender<Signal>,
    /// How many sockets are on it or on their way; changed under the lock of [`Streams::streams`].
    members: AtomicUsize,
    /// Told whenever the epoch was read anew.
    epoch_read: tokio::sync::watch::Sender<u64>,
    arrived: Arrived,
}

/// The newest position that has come by each of the two ways, whether or not it was still needed.
#[derive(Debug, Default)]
struct Arrived {
    bodies: AtomicU64,
    moves: AtomicU64,
}

/// What a stream's task is told.
#[derive(Debug)]
enum Signal {
    /// Bodies of events came, and lie in the log.
    Bodies,
    /// The network's head, as somebody saw it.
    Head(String, Position),
    /// The epoch may be another one, or the head further: ask.
    Ask,
    /// Subscribe to what moves anew.
    Renew,
}

impl Stream {
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a network's stream going for one socket, which is detached from it when this is dropped.
#[derive(Debug)]
pub struct Member {
    streams: Arc<Streams>,
    stream: Arc<Stream>,
    socket: Arc<Socket>,
}

impl Member {
    /// Returns when the stream hears what moves: what was sent before could have passed it by.
    pub async fn listens(&self) {
        // Never fails: this holds the sender.
        let _ = self.stream.epoch_read.subscribe().wait_for(|times| *times > 0).await;
    }

    /// Which of the subscriptions that should have brought an event have not: its position, and when it was sent.
    pub fn silent(&self, position: Position, sent: Instant) -> Vec<Feed> {
        let arrived = &self.stream.arrived;
        let heads = self.streams.heads_heard.lock().unwrap_or_else(PoisonError::into_inner);
        [
            (Feed::Bodies, arrived.bodies.load(Ordering::Relaxed) >= position),
            (Feed::Moves, arrived.moves.load(Ordering::Relaxed) >= position),
            (Feed::Heads, heads.get(&self.stream.partition).is_some_and(|heard| *heard >= sent)),
        ]
        .into_iter()
        .filter_map(|(feed, is_heard)| (!is_heard).then_some(feed))
        .collect()
    }

    /// Makes a subscription anew.
    pub fn renew(&self, feed: Feed) {
        match feed {
            Feed::Bodies => self.streams.renew_bodies.notify_one(),
            Feed::Heads => self.streams.renew_heads.notify_one(),
            Feed::Moves => drop(self.stream.signals.try_send(Signal::Renew)),
        }
    }
}

/// A subscription on which a pod hears of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// `deliver.<pod>`
    Bodies,
    /// `ev.<network>`, of each network one.
    Moves,
    /// `heads.*`
    Heads,
}

impl Feed {
    /// Every one.
    pub const ALL: &[Self] = &[Self::Bodies, Self::Moves, Self::Heads];

    /// The first token of its subject.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bodies => "deliver",
            Self::Moves => "ev",
            Self::Heads => "heads",
        }
    }

    fn count_renewal(self) {
        counter!("convene_subscriptions_renewed_total", "subject" => self.name()).increment(1);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stream.lock().detach(&self.socket);
        let _guard = self.streams.lock();
        self.stream.members.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Streams {
    /// No streams yet. They end with `stop`.
    pub fn new(bus: Bus, workers: Workers, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            streams: Mutex::default(),
            bus,
            workers,
            reads: Semaphore::new(RANGE_READS),
            heads_heard: Mutex::default(),
            renew_bodies: Notify::new(),
            renew_heads: Notify::new(),
            ask_heads: Notify::new(),
            subscribing: Outage::new(),
            stop,
        })
    }

    /// Takes a socket on its network's stream, which begins at `head` if it does not run yet.
    pub fn join(self: &Arc<Self>, socket: &Arc<Socket>, partition: Partition, head: Position) -> Member {
        let network = &socket.session.network;
        let mut streams = self.lock();
        let stream = streams.entry(network.clone()).or_insert_with(|| {
            let (signals, inbox) = mpsc::channel(INBOX);
            let stream = Arc::new(Stream {
                network: network.clone(),
                partition,
                log: Mutex::new(Log::new(socket.epoch.clone(), head)),
                signals,
                members: Default::default(),
                epoch_read: Default::default(),
                arrived: Arrived::default(),
            });
            let follow = follow::run(self.clone(), stream.clone(), inbox);
            tokio::spawn(self.clone().guard(stream.clone(), follow));
            stream
        });
        stream.members.fetch_add(1, Ordering::Relaxed);
        // What this socket's `user_info` has seen, the stream must reach too.
        let _ = stream.signals.try_send(Signal::Head(socket.epoch.to_string(), head));
        Member { streams: self.clone(), stream: stream.clone(), socket: socket.clone() }
    }

    /// Tells a network's stream that its epoch may be another one.
    pub fn suspect(&self, network: &str) {
        if let Some(stream) = self.lock().get(network) {
            let _ = stream.signals.try_send(Signal::Ask);
        }
    }

    /// Asks for the heads and epochs of all networks.
    pub fn ask_heads(&self) {
        self.ask_heads.notify_one();
    }

    /// Gives a stream up when its task panics: its sockets are sent to read everything anew, from another one that begins then.
    async fn guard(self: Arc<Self>, stream: Arc<Stream>, follow: impl Future<Output = ()>) {
        if AssertUnwindSafe(follow).catch_unwind().await.is_ok() {
            return;
        }
        tracing::error!(network = %stream.network, "a network's events are not followed any more: its sockets are closed");
        let mut streams = self.lock();
        if streams.get(&stream.network).is_some_and(|current| Arc::ptr_eq(current, &stream)) {
            streams.remove(&stream.network);
        }
        drop(streams);
        // No network's: nobody can attach to it.
        stream.lock().restart("".into(), 0);
        stream.epoch_read.send_modify(|times| *times += 1);
    }

    /// Removes a stream that nobody is on. Whether it did.
    fn remove_if_unused(&self, stream: &Stream) -> bool {
        let mut streams = self.lock();
        let unused = stream.members.load(Ordering::Relaxed) == 0;
        if unused {
            streams.remove(&stream.network);
        }
        unused
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, network: &str, signal: Signal) {
        if let Some(stream) = self.lock().get(network) {
            let _ = stream.signals.try_send(signal);
        }
    }

    fn tell_heads(&self, heads: Heads) {
        for head in heads.heads {
            self.signal(&head.network, Signal::Head(head.epoch, head.head));
        }
    }

    /// Hands bodies on to their streams, until told to stop.
    pub async fn receive_bodies(self: Arc<Self>, pod: PodId) {
        self.each_message(Feed::Bodies, Subject::deliver(&pod), &self.renew_bodies, |_, payload| {
            match serde_json::from_slice::<Deliver>(payload) {
                Ok(Deliver { network, epoch, events }) => self.keep_bodies(&network, &epoch, events),
                Err(error) => tracing::error!(%error, "a delivery could not be read"),
            }
        })
        .await;
    }

    /// Bodies are bounded by their bytes, so they go to where these are counted. Signals are counted one by one, and wait
    /// while the stream asks a question.
    fn keep_bodies(&self, network: &str, epoch: &str, events: Vec<PlacedEvent>) {
        let Some(stream) = self.lock().get(network).cloned() else { return };
        let signal = {
            let mut log = stream.lock();
            if *epoch == **log.epoch() {
                if let Some(last) = events.last() {
                    stream.arrived.bodies.fetch_max(last.position, Ordering::Relaxed);
                }
                log.add_bodies(events);
                Signal::Bodies
            } else {
                Signal::Ask
            }
        };
        let _ = stream.signals.try_send(signal);
    }

    /// Hands heads on to their streams, and asks for those of partitions whose relay is silent, until told to stop.
    pub async fn receive_heads(self: Arc<Self>) {
        let listen = self.each_message(Feed::Heads, Subject::heads_all(), &self.renew_heads, |subject, payload| {
            if let Ok(partition) = subject::last_token(subject).parse() {
                let mut heard = self.heads_heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.insert(partition, Instant::now());
            }
            match serde_json::from_slice(payload) {
                Ok(heads) => self.tell_heads(heads),
                Err(error) => tracing::error!(%error, "heads could not be read"),
            }
        });
        let ask = async {
            let mut asked = HashMap::new();
            // Asked for again, although the relay may be heard by then: it tells nothing of networks that do not move.
            let mut unanswered = BTreeSet::new();
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            loop {
                let silence = tokio::select! {
                    _ = ticks.tick() => SILENCE,
                    () = self.ask_heads.notified() => Duration::ZERO,
                };
                unanswered.extend(self.networks_of_silent(&mut asked, silence));
                let due: Vec<String> = std::mem::take(&mut unanswered).into_iter().collect();
                for networks in due.chunks(ReadHeads::MOST) {
                    match self.workers.ask(&ReadHeads { networks: networks.to_vec() }).await {
                        Ok(heads) => self.tell_heads(heads),
                        Err(_) => unanswered.extend(networks.iter().cloned()),
                    }
                }
            }
        };
        tokio::select! {
            biased;
            () = listen => (),
            () = ask => (),
        }
    }

    /// The networks in partitions that were silent for so long; asking for them counts as having heard, and so does having
    /// just begun to listen.
    fn networks_of_silent(&self, asked: &mut HashMap<Partition, Instant>, silence: Duration) -> Vec<String> {
        let now = Instant::now();
        let heard = self.heads_heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let streams = self.lock();
        let silent: Vec<&Arc<Stream>> = streams
            .values()
            .filter(|stream| {
                let asked = *asked.entry(stream.partition).or_insert(now);
                let last = heard.get(&stream.partition).map_or(asked, |heard| asked.max(*heard));
                now.duration_since(last) >= silence
            })
            .collect();
        for stream in &silent {
            asked.insert(stream.partition, now);
        }
        silent.into_iter().map(|stream| stream.network.clone()).collect()
    }

    /// Of however many subscriptions.
    fn log_not_subscribed(&self, error: &BusError) {
        if let Some(seconds) = self.subscribing.failed(error) {
            tracing::warn!(%error, seconds, "can not subscribe");
        }
    }

    /// Subscribes, again whenever that fails and anew when told to, and handles each message.
    async fn each_message(&self, feed: Feed, subject: Subject, renew: &Notify, mut handle: impl FnMut(&str, &[u8])) {
        while !self.stop.is_cancelled() {
            match self.bus.subscribe(subject.clone()).await {
                Ok(mut messages) => loop {
                    tokio::select! {
                        biased;
                        () = self.stop.cancelled() => return,
                        message = messages.next() => match message {
                            Some(message) => handle(&message.subject, &message.payload),
                            None => break,
                        },
                        () = renew.notified() => match self.bus.subscribe(subject.clone()).await {
                            // The old one ends when the new one is there: what comes twice does no harm.
                            Ok(anew) => {
                                tracing::info!(%subject, "subscribed anew");
                                feed.count_renewal();
                                messages = anew;
                                // What was missed meanwhile.
                                let _ = self.bus.flush().await;
                                self.ask_heads.notify_one();
                            }
                            Err(error) => self.log_not_subscribed(&error),
                        },
                    }
                },
                Err(error) => self.log_not_subscribed(&error),
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Where a socket begins to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Everything after this position is for the socket.
    pub cursor: Position,
    /// What the client asked to replay from is not known here: it must fetch everything anew.
    pub resync: bool,
}

impl Start {
    /// From the client's `lastEventId`, else from the head of its `user_info`.
    pub fn new(last_event_id: Option<&str>, epoch: &str, head: Position) -> Self {
        match last_event_id.filter(|id| !id.is_empty()).map(parse_event_id) {
            None => Self { cursor: head, resync: false },
            Some(Some((its_epoch, position))) if its_epoch == epoch && position <= head => {
                Self { cursor: position, resync: false }
            }
            Some(_) => Self { cursor: head, resync: true },
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::{api::Close, bus::local::Local, internal::Session};

    use super::*;
    use crate::{outbox::Ending, transport::websocket::Plain};

    fn socket(id: u64) -> Arc<Socket> {
        let session = Session { network: "demo".into(), user: "alice".into(), sid: id.to_string() };
        Arc::new(Socket::new(id, session, id, "k3v".into(), 0, &Plain::Pinged, 1 << 20))
    }

    #[tokio::test]
    async fn a_stream_that_panics_closes_its_sockets_and_another_one_begins() {
        let bus = Bus::new(Local::default());
        let workers = Workers::new(bus.clone(), PodId::of_start("pod"), Duration::from_secs(1));
        let streams = Streams::new(bus, workers, CancellationToken::new());
        let [attached, late, next] = [1, 2, 3].map(socket);
        let member = streams.join(&attached, 0, 5);
        let stream = member.stream.clone();
        assert_eq!(stream.lock().try_attach(&attached, 5), log::Attach::Done);

        streams.clone().guard(stream.clone(), async { panic!("on purpose") }).await;
        assert_eq!(attached.outbox.ending(), Some(Ending::Now(Close::NetworkReset)));
        assert_ne!(stream.lock().try_attach(&late, 5), log::Attach::Done);
        member.listens().await;
        let other = streams.join(&next, 0, 5);
        assert!(!Arc::ptr_eq(&other.stream, &stream));
        // The old one is over as well when its task ends, and takes nothing along.
        streams.clone().guard(stream, async { panic!("once more") }).await;
        assert!(Arc::ptr_eq(&streams.join(&next, 0, 5).stream, &other.stream));
    }

    #[test]
    fn a_socket_begins_where_its_client_left_off_when_that_is_known() {
        let from = |id| Start::new(id, "k3v", 9);
        assert_eq!(from(None), Start { cursor: 9, resync: false });
        assert_eq!(from(Some("")), Start { cursor: 9, resync: false });
        assert_eq!(from(Some("k3v.4")), Start { cursor: 4, resync: false });
        assert_eq!(from(Some("k3v.9")), Start { cursor: 9, resync: false });
        for unknown in ["k3v.10", "old.4", "4", "nonsense"] {
            assert_eq!(from(Some(unknown)), Start { cursor: 9, resync: true }, "{unknown}");
        }
    }
}
