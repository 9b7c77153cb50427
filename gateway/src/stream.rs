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
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use shared::{
    bus::{Bus, Subject, subject},
    internal::{Deliver, Heads, Partition, PlacedEvent, Position, ReadHeads},
};
use tokio::{
    sync::{Semaphore, mpsc},
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
}

/// What a stream's task is told.
#[derive(Debug)]
enum Signal {
    /// Bodies of events came.
    Bodies(String, Vec<PlacedEvent>),
    /// The network's head, as somebody saw it.
    Head(String, Position),
    /// The epoch may be another one, or the head further: ask.
    Ask,
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
        Arc::new(Self { streams: Mutex::default(), bus, workers, reads: Semaphore::new(RANGE_READS), stop })
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
            });
            tokio::spawn(follow::run(self.clone(), stream.clone(), inbox));
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
    pub async fn receive_bodies(self: Arc<Self>, pod: Arc<str>) {
        self.clone()
            .each_message(Subject::deliver(&pod), |_, payload| match serde_json::from_slice::<Deliver>(payload) {
                Ok(deliver) => self.signal(&deliver.network, Signal::Bodies(deliver.epoch, deliver.events)),
                Err(error) => tracing::error!(%error, "a delivery could not be read"),
            })
            .await;
    }

    /// Hands heads on to their streams, and asks for those of partitions whose relay is silent, until told to stop.
    pub async fn receive_heads(self: Arc<Self>) {
        let heard: Mutex<HashMap<Partition, Instant>> = Mutex::default();
        let listen = self.clone().each_message(Subject::heads_all(), |subject, payload| {
            if let Ok(partition) = subject::last_token(subject).parse() {
                heard.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, Instant::now());
            }
            match serde_json::from_slice(payload) {
                Ok(heads) => self.tell_heads(heads),
                Err(error) => tracing::error!(%error, "heads could not be read"),
            }
        });
        let ask = async {
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            loop {
                ticks.tick().await;
                let silent = {
                    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    self.networks_of_silent(&mut heard)
                };
                for networks in silent.chunks(ReadHeads::MOST) {
                    if let Ok(heads) = self.workers.ask(&ReadHeads { networks: networks.to_vec() }).await {
                        self.tell_heads(heads);
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

    /// The networks in partitions that were silent for [`SILENCE`]; asking for them counts as having heard.
    fn networks_of_silent(&self, heard: &mut HashMap<Partition, Instant>) -> Vec<String> {
        let now = Instant::now();
        let streams = self.lock();
        let silent: Vec<&Arc<Stream>> = streams
            .values()
            .filter(|stream| now.duration_since(*heard.entry(stream.partition).or_insert(now)) >= SILENCE)
            .collect();
        for stream in &silent {
            heard.insert(stream.partition, now);
        }
        silent.into_iter().map(|stream| stream.network.clone()).collect()
    }

    /// Subscribes, again whenever that fails, and handles each message.
    async fn each_message(self: Arc<Self>, subject: Subject, mut handle: impl FnMut(&str, &[u8])) {
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
                    }
                },
                Err(error) => tracing::warn!(%error, %subject, "can not subscribe"),
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
    use super::*;

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
