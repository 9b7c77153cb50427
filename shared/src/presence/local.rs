//! Presence in this process, for the one-process program and fast tests.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt as _, future, future::BoxFuture};
use tokio::time::Instant;

use super::{Claim, Engine, Entry, LIFETIME, Place, PresenceError, Renewal};
use crate::internal::Session;

/// A store in memory. Clones are the same store.
#[derive(Clone, Debug)]
pub struct Local {
    store: Arc<Mutex<Store>>,
    lifetime: Duration,
}

#[derive(Debug, Default)]
struct Store {
    users: HashMap<String, BTreeMap<Session, Kept>>,
    pods: HashMap<String, Instant>,
}

#[derive(Debug)]
struct Kept {
    place: Place,
    expires: Instant,
}

impl Default for Local {
    fn default() -> Self {
        Self::new()
    }
}

impl Local {
    /// An empty store.
    pub fn new() -> Self {
        Self::with_lifetime(LIFETIME)
    }

    /// An empty store whose entries live so long.
    pub fn with_lifetime(lifetime: Duration) -> Self {
        Self { store: Arc::default(), lifetime }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn claim_now(&self, Entry { session, place }: Entry) -> Claim {
        let now = Instant::now();
        let mut store = self.lock();
        let entries = store.users.entry(session.user.clone()).or_default();
        entries.retain(|_, kept| kept.expires > now);
        let before = entries.get(&session).map(|kept| &kept.place);
        if before.is_some_and(|before| before.fence > place.fence) {
            return Claim::Refused;
        }
        let replaced = before.filter(|before| before.fence < place.fence).cloned();
        entries.insert(session, Kept { place, expires: now + self.lifetime });
        Claim::Granted(replaced)
    }

    fn entries_of(&self, user: &str) -> Vec<Entry> {
        let now = Instant::now();
        self.lock()
            .users
            .get(user)
            .into_iter()
            .flatten()
            .filter(|(_, kept)| kept.expires > now)
            .map(|(session, kept)| Entry { session: session.clone(), place: kept.place.clone() })
            .collect()
    }
}

fn ready<T: Send + 'static>(value: T) -> BoxFuture<'static, Result<T, PresenceError>> {
    future::ready(Ok(value)).boxed()
}

impl Engine for Local {
    fn claim(&self, entry: Entry) -> BoxFuture<'_, Result<Claim, PresenceError>> {
        ready(self.claim_now(entry))
    }

    fn renew(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<Vec<Renewal>, PresenceError>> {
        let renew = |entry| match self.claim_now(entry) {
            Claim::Granted(_) => Renewal::Kept,
            Claim::Refused => Renewal::Lost,
        };
        ready(entries.into_iter().map(renew).collect())
    }

    fn release(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), PresenceError>> {
        let mut store = self.lock();
        for Entry { session, place } in entries {
            if let Some(kept) = store.users.get_mut(&session.user) {
                if kept.get(&session).is_some_and(|kept| kept.place.fence == place.fence) {
                    kept.remove(&session);
                }
                if kept.is_empty() {
                    store.users.remove(&session.user);
                }
            }
        }
        ready(())
    }

    fn pods_of(
        &self,
        network: &str,
        users: Vec<String>,
    ) -> BoxFuture<'_, Result<Vec<BTreeSet<String>>, PresenceError>> {
        let pods = |user: String| {
            let entries = self.entries_of(&user).into_iter();
            entries.filter(|entry| entry.session.network == network).map(|entry| entry.place.pod).collect()
        };
        ready(users.into_iter().map(pods).collect())
    }

    fn sessions_of(&self, user: &str) -> BoxFuture<'_, Result<Vec<Entry>, PresenceError>> {
        ready(self.entries_of(user))
    }

    fn announce(&self, pod: &str) -> BoxFuture<'_, Result<(), PresenceError>> {
        self.lock().pods.insert(pod.to_owned(), Instant::now() + self.lifetime);
        ready(())
    }

    fn withdraw(&self, pod: &str) -> BoxFuture<'_, Result<(), PresenceError>> {
        self.lock().pods.remove(pod);
        ready(())
    }

    fn pods(&self) -> BoxFuture<'_, Result<BTreeSet<String>, PresenceError>> {
        let now = Instant::now();
        let mut store = self.lock();
        store.pods.retain(|_, expires| *expires > now);
        ready(store.pods.keys().cloned().collect())
    }
}
