//! Presence inside one process: for the one-process program and fast tests.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt as _, future, future::BoxFuture};
use tokio::time::Instant;

use super::{Claim, Engine, Entry, LIFETIME, Place, PresenceError, Renewal};
use crate::{internal::Session, pod::PodId};

/// The engine inside one process. Clones share what they hold.
#[derive(Clone)]
pub struct Local {
    lifetime: Duration,
    known: Arc<Mutex<Known>>,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local")
    }
}

#[derive(Default)]
struct Known {
    /// By user.
    sockets: HashMap<String, BTreeMap<Session, Socket>>,
    /// When each pod expires.
    pods: HashMap<PodId, Instant>,
}

struct Socket {
    place: Place,
    expires: Instant,
}

impl Default for Local {
    fn default() -> Self {
        Self::with_lifetime(LIFETIME)
    }
}

impl Local {
    /// A store of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// A store with another lifetime of entries and pods than [`LIFETIME`].
    pub fn with_lifetime(lifetime: Duration) -> Self {
        Self { lifetime, known: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, Entry { session, place }: Entry) -> Claim {
        let now = Instant::now();
        let mut known = self.lock();
        let sockets = known.sockets.entry(session.user.clone()).or_default();
        sockets.retain(|_, socket| socket.expires > now);
        let before = sockets.get(&session).map(|socket| &socket.place);
        let replaced = match before {
            Some(before) if before.fence > place.fence => return Claim::Refused,
            // Its own.
            Some(before) if before.fence == place.fence => None,
            before => before.cloned(),
        };
        sockets.insert(session, Socket { place, expires: now + self.lifetime });
        Claim::Granted(replaced)
    }
}

impl Engine for Local {
    fn claim(&self, entry: Entry) -> BoxFuture<'_, Result<Claim, PresenceError>> {
        done(self.put(entry))
    }

    fn renew(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<Vec<Renewal>, PresenceError>> {
        let renew = |entry| match self.put(entry) {
            Claim::Granted(_) => Renewal::Kept,
            Claim::Refused => Renewal::Lost,
        };
        done(entries.into_iter().map(renew).collect())
    }

    fn release(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), PresenceError>> {
        let mut known = self.lock();
        for Entry { session, place } in entries {
            if let Some(sockets) = known.sockets.get_mut(&session.user) {
                sockets.retain(|other, socket| *other != session || socket.place.fence != place.fence);
                if sockets.is_empty() {
                    known.sockets.remove(&session.user);
                }
            }
        }
        done(())
    }

    fn pods_of(&self, network: &str, users: Vec<String>) -> BoxFuture<'_, Result<Vec<BTreeSet<PodId>>, PresenceError>> {
        let known = self.lock();
        let pods = |user: &String| {
            let in_network = known.live(user).filter(|(session, _)| session.network == network);
            in_network.map(|(_, place)| place.pod.clone()).collect()
        };
        done(users.iter().map(pods).collect())
    }

    fn sessions_of(&self, user: &str) -> BoxFuture<'_, Result<Vec<Entry>, PresenceError>> {
        let known = self.lock();
        let entry = |(session, place): (&Session, &Place)| Entry { session: session.clone(), place: place.clone() };
        done(known.live(user).map(entry).collect())
    }

    fn announce(&self, pod: &PodId) -> BoxFuture<'_, Result<(), PresenceError>> {
        let now = Instant::now();
        let mut known = self.lock();
        // Users who never come back would stay for ever.
        known.sockets.retain(|_, sockets| sockets.values().any(|socket| socket.expires > now));
        known.pods.retain(|_, expires| *expires > now);
        known.pods.insert(pod.clone(), now + self.lifetime);
        done(())
    }

    fn withdraw(&self, pod: &PodId) -> BoxFuture<'_, Result<(), PresenceError>> {
        self.lock().pods.remove(pod);
        done(())
    }

    fn probe(&self, pod: &PodId) -> BoxFuture<'_, Result<Option<String>, PresenceError>> {
        let entry = super::probe_entry(pod, 0);
        async move {
            self.claim(entry.clone()).await?;
            self.release(vec![entry]).await?;
            Ok(None)
        }
        .boxed()
    }

    fn pods(&self) -> BoxFuture<'_, Result<BTreeSet<PodId>, PresenceError>> {
        let now = Instant::now();
        let known = self.lock();
        done(known.pods.iter().filter(|(_, expires)| **expires > now).map(|(pod, _)| pod.clone()).collect())
    }
}

impl Known {
    /// A user's sessions that have not expired, in order.
    fn live(&self, user: &str) -> impl Iterator<Item = (&Session, &Place)> {
        let now = Instant::now();
        let sockets = self.sockets.get(user).into_iter().flatten();
        sockets.filter(move |(_, socket)| socket.expires > now).map(|(session, socket)| (session, &socket.place))
    }
}

fn done<T: Send + 'static>(value: T) -> BoxFuture<'static, Result<T, PresenceError>> {
    future::ready(Ok(value)).boxed()
}
