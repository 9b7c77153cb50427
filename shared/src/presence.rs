//! Which pod holds which session's socket.
//!
//! Two engines stand behind [`Presence`] and pass one set of tests: [`redis`] for deployments, [`local`] for the
//! one-process program. Nothing here is the truth: PostgreSQL's fences decide which socket of a session is the newest,
//! and a wrong look-up costs a gateway one read of the event log.

pub mod local;
pub mod redis;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::{
    internal::{Fence, Session},
    pod::PodId,
};

/// Every call is given up after so long. Users are looked up, and entries renewed and released, 100 at a time, each hundred with
/// so much patience.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// How often a pod renews its entries.
pub const BEAT: Duration = Duration::from_secs(20);

/// An entry that was not renewed for so long no longer counts: its pod is dead.
pub const LIFETIME: Duration = Duration::from_secs(65);

/// In a cluster so many keys are probed, which spreads them over all its servers.
pub const PROBES: usize = 16;

/// Where a session's socket is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The gateway.
    pub pod: PodId,
    /// That pod's own number of the socket.
    pub socket: u64,
    /// The claim's fence. The highest of a session wins.
    pub fence: Fence,
    /// When the socket was opened, in Unix milliseconds.
    pub since_ms: i64,
}

/// A session and the place of its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The session.
    pub session: Session,
    /// Its socket.
    pub place: Place,
}

/// What became of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The session is this socket's now. The one that had it before must be told, if there was one.
    Granted(Option<Place>),
    /// A newer socket has it.
    Refused,
}

/// What became of an entry at a beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It is still there, or there again: it was absent, expired or an older one's.
    Kept,
    /// A newer socket has the session: this one must be closed.
    Lost,
}

/// The presence store did not answer within [`PATIENCE`], or with an error.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("presence is away: {0}")]
pub struct PresenceError(pub String);

/// What an engine does. Use it through [`Presence`].
pub trait Engine: Send + Sync + 'static {
    /// See [`Presence::claim`].
    fn claim(&self, entry: Entry) -> BoxFuture<'_, Result<Claim, PresenceError>>;
    /// See [`Presence::renew`].
    fn renew(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<Vec<Renewal>, PresenceError>>;
    /// See [`Presence::release`].
    fn release(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), PresenceError>>;
    /// See [`Presence::pods_of`].
    fn pods_of(&self, network: &str, users: Vec<String>) -> BoxFuture<'_, Result<Vec<BTreeSet<PodId>>, PresenceError>>;
    /// See [`Presence::sessions_of`].
    fn sessions_of(&self, user: &str) -> BoxFuture<'_, Result<Vec<Entry>, PresenceError>>;
    /// See [`Presence::announce`].
    fn announce(&self, pod: &PodId) -> BoxFuture<'_, Result<(), PresenceError>>;
    /// See [`Presence::withdraw`].
    fn withdraw(&self, pod: &PodId) -> BoxFuture<'_, Result<(), PresenceError>>;
    /// See [`Presence::probe`].
    fn probe(&self, pod: &PodId) -> BoxFuture<'_, Result<Option<String>, PresenceError>>;
    /// See [`Presence::pods`].
    fn pods(&self) -> BoxFuture<'_, Result<BTreeSet<PodId>, PresenceError>>;
}

/// The presence store. Cheap to clone.
#[derive(Clone)]
pub struct Presence(Arc<dyn Engine>);

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presence")
    }
}

impl Presence {
    /// The store behind this engine.
    pub fn new(engine: impl Engine) -> Self {
        Self(Arc::new(engine))
    }

    /// Claims a session for a socket: the higher fence has it. One atomic step.
    ///
    /// # Errors
    /// [`PresenceError`]; the claim may have been made all the same.
    pub async fn claim(&self, entry: Entry) -> Result<Claim, PresenceError> {
        self.0.claim(entry).await
    }

    /// Keeps entries for another [`LIFETIME`], claiming again what was forgotten. One result for each entry, in order.
    ///
    /// # Errors
    /// [`PresenceError`]; some may have been renewed all the same.
    pub async fn renew(&self, entries: Vec<Entry>) -> Result<Vec<Renewal>, PresenceError> {
        self.0.renew(entries).await
    }

    /// Removes entries whose fence is still theirs, and nobody else's.
    ///
    /// # Errors
    /// [`PresenceError`]; what stays expires.
    pub async fn release(&self, entries: Vec<Entry>) -> Result<(), PresenceError> {
        self.0.release(entries).await
    }

    /// For each of the users, the pods that hold a socket of theirs in that network. Expired entries do not count.
    ///
    /// # Errors
    /// [`PresenceError`]
    pub async fn pods_of(&self, network: &str, users: Vec<String>) -> Result<Vec<BTreeSet<PodId>>, PresenceError> {
        self.0.pods_of(network, users).await
    }

    /// The user's sessions in all networks, ordered by session. Expired entries do not count.
    ///
    /// # Errors
    /// [`PresenceError`]
    pub async fn sessions_of(&self, user: &str) -> Result<Vec<Entry>, PresenceError> {
        self.0.sessions_of(user).await
    }

    /// Says that a gateway lives, for another [`LIFETIME`].
    ///
    /// # Errors
    /// [`PresenceError`]
    pub async fn announce(&self, pod: &PodId) -> Result<(), PresenceError> {
        self.0.announce(pod).await
    }

    /// Says that a gateway is gone.
    ///
    /// # Errors
    /// [`PresenceError`]; it expires.
    pub async fn withdraw(&self, pod: &PodId) -> Result<(), PresenceError> {
        self.0.withdraw(pod).await
    }

    /// Whether sessions can be claimed and released: does so, by the same scripts, for users of this pod's own that there are
    /// not, and that expire within seconds. Of a cluster [`PROBES`] keys are tried; `Some` says what is the matter with some of
    /// them, while others can be claimed.
    ///
    /// # Errors
    /// [`PresenceError`]: nothing can be claimed.
    pub async fn probe(&self, pod: &PodId) -> Result<Option<String>, PresenceError> {
        self.0.probe(pod).await
    }

    /// Whether users can be looked up, those of every server of a cluster: looks for some that there are not.
    ///
    /// # Errors
    /// [`PresenceError`]: some can not.
    pub async fn probe_reading(&self) -> Result<(), PresenceError> {
        let users = (0..PROBES).map(|number| probe_user("", number)).collect();
        self.0.pods_of("", users).await.map(drop)
    }

    /// The gateways that live.
    ///
    /// # Errors
    /// [`PresenceError`]
    pub async fn pods(&self) -> Result<BTreeSet<PodId>, PresenceError> {
        self.0.pods().await
    }
}

/// Of whom a probe is. No token can name him.
fn probe_user(pod: &str, number: usize) -> String {
    format!("probe:{number}:{pod}")
}

/// What a probe claims.
fn probe_entry(pod: &PodId, number: usize) -> Entry {
    let session = Session { network: String::new(), user: probe_user(pod.as_str(), number), sid: String::new() };
    Entry { session, place: Place { pod: pod.clone(), socket: 0, fence: 0, since_ms: 0 } }
}
