//! This pod's sockets.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use metrics::{counter, gauge};
use shared::{
    api::Close,
    internal::{Fence, Session},
    pod::PodId,
    presence::{Entry, Place},
};
use tokio::sync::Notify;

use crate::{
    outbox::{Ending, Frame, Outbox},
    transport::{Protocol, PushedEvent},
};

/// One client's socket, from just before its claim until it is closed.
pub struct Socket {
    /// The pod's own number of it; never used again.
    pub id: u64,
    /// Whose it is.
    pub session: Session,
    /// Orders it among the sockets of its session.
    pub fence: Fence,
    /// The epoch of its network's events that it began in.
    pub epoch: Arc<str>,
    /// When it was opened, in Unix milliseconds.
    pub since_ms: i64,
    /// What carries it.
    pub protocol: &'static dyn Protocol,
    /// What waits to be written to it.
    pub outbox: Outbox,
    in_flight: AtomicU32,
    answered: Notify,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("id", &self.id).field("fence", &self.fence).finish_non_exhaustive()
    }
}

impl Socket {
    /// A socket that has sent and received nothing yet.
    pub fn new(
        id: u64,
        session: Session,
        fence: Fence,
        epoch: Arc<str>,
        since_ms: i64,
        protocol: &'static dyn Protocol,
        max_outbox_bytes: usize,
    ) -> Self {
        let outbox = Outbox::new(max_outbox_bytes);
        let (in_flight, answered) = (AtomicU32::new(0), Notify::new());
        Self { id, session, fence, epoch, since_ms, protocol, outbox, in_flight, answered }
    }

    /// Queues events in this order. When they do not fit, the socket ends.
    pub fn push_events<'a>(&self, events: impl IntoIterator<Item = &'a Arc<PushedEvent>>) {
        self.outbox.push(events.into_iter().map(|event| {
            counter!("convene_events_delivered_total").increment(1);
            Frame::traced(self.protocol.event(event), event.delivery(self.id))
        }));
    }

    /// Closes the socket at once.
    pub fn end(&self, close: Close) {
        self.outbox.end(Ending::Now(close));
    }

    /// Takes one of `most` places for a request in flight; `None` when there is none.
    pub fn begin_request(self: &Arc<Self>, most: u32) -> Option<InFlight> {
        self.in_flight
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < most).then_some(n + 1))
            .is_ok()
            .then(|| InFlight(self.clone()))
    }

    /// Returns when no request is in flight.
    pub async fn all_answered(&self) {
        loop {
            let mut answered = std::pin::pin!(self.answered.notified());
            answered.as_mut().enable();
            if self.in_flight.load(Ordering::Acquire) == 0 {
                return;
            }
            answered.await;
        }
    }

    /// What presence holds of it.
    pub fn entry(&self, pod: &PodId) -> Entry {
        let place = Place { pod: pod.clone(), socket: self.id, fence: self.fence, since_ms: self.since_ms };
        Entry { session: self.session.clone(), place }
    }
}

/// A place among the requests in flight; given back when dropped.
#[derive(Debug)]
pub struct InFlight(Arc<Socket>);

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.answered.notify_waiters();
        }
    }
}

/// The sockets of this pod by their numbers.
#[derive(Debug)]
pub struct Hub {
    sockets: Mutex<HashMap<u64, Arc<Socket>>>,
    next_id: AtomicU64,
    most: usize,
    left: Notify,
}

impl Hub {
    /// Room for `most` sockets.
    pub fn new(most: usize) -> Self {
        // A pod that nobody has come to yet has none, rather than no figure.
        gauge!("convene_sockets").set(0.0);
        gauge!("convene_sockets_limit").set(most as f64);
        Self { sockets: Mutex::default(), next_id: AtomicU64::new(1), most, left: Notify::new() }
    }

    /// A number for a new socket.
    pub fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether another socket has room.
    pub fn has_room(&self) -> bool {
        self.lock().len() < self.most
    }

    /// Makes a socket known, before it is claimed: whoever takes its session from it must find it. It is known until the
    /// [`Registered`] is dropped.
    pub fn register(self: &Arc<Self>, socket: Arc<Socket>) -> Registered {
        let mut sockets = self.lock();
        if sockets.len() >= self.most {
            socket.end(Close::Full);
        }
        sockets.insert(socket.id, socket.clone());
        gauge!("convene_sockets").set(sockets.len() as f64);
        drop(sockets);
        Registered { hub: self.clone(), socket }
    }

    /// The socket of that number.
    pub fn get(&self, id: u64) -> Option<Arc<Socket>> {
        self.lock().get(&id).cloned()
    }

    /// How many sockets there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is no socket.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All sockets for which this holds. Looks at every one: for what is rare.
    pub fn select(&self, holds: impl Fn(&Socket) -> bool) -> Vec<Arc<Socket>> {
        self.lock().values().filter(|socket| holds(socket)).cloned().collect()
    }

    /// Closes the sockets for which this holds, and says how many.
    pub fn end_where(&self, close: Close, holds: impl Fn(&Socket) -> bool) -> u64 {
        let sockets = self.select(holds);
        for socket in &sockets {
            socket.end(close);
        }
        sockets.len() as u64
    }

    /// Returns when there is no socket left.
    pub async fn emptied(&self) {
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            left.as_mut().enable();
            if self.is_empty() {
                return;
            }
            left.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Socket>>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket that the hub knows of.
#[derive(Debug)]
pub struct Registered {
    hub: Arc<Hub>,
    /// The socket.
    pub socket: Arc<Socket>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut sockets = self.hub.lock();
        sockets.remove(&self.socket.id);
        gauge!("convene_sockets").set(sockets.len() as f64);
        let is_last = sockets.is_empty();
        drop(sockets);
        if is_last {
            self.hub.left.notify_waiters();
        }
    }
}
