//! The connection to Redis, one server or a cluster: made in the background, checked, and made again.
//!
//! The connection manager of the redis crate is not used: while Redis is away it lets each caller wait, and a connection
//! whose other end has vanished it keeps until the kernel gives up, a quarter of an hour later.

mod connection;

use std::{sync::Arc, time::Duration};

use rand::Rng as _;
use redis::{ConnectionInfo, RedisError, RedisResult};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::timeout,
};

use crate::{
    presence::{PATIENCE, PresenceError},
    telemetry::Outage,
};

pub(super) use connection::{Connection, Lua};

/// How often a connection is checked.
const CHECK: Duration = Duration::from_secs(1);

/// Longest pause between two attempts to connect.
const MAX_PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone)]
enum State {
    /// Just lost, or not made yet: worth waiting for.
    Connecting,
    /// Whoever finds it broken says so.
    Connected(Connection, Arc<Notify>),
    /// Not made at the first attempt; why. Nobody waits.
    Away(String),
}

/// A connection that somebody looks after.
pub(super) struct Link {
    state: watch::Receiver<State>,
    task: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link {
    /// Begins to connect. The addresses are those of one server, or of any of a cluster's.
    pub(super) fn new(addresses: Vec<ConnectionInfo>) -> Self {
        let (sender, state) = watch::channel(State::Connecting);
        let task = tokio::spawn(look_after(addresses, sender)).abort_handle();
        Self { state, task }
    }

    /// Whether it leads to a cluster, as far as is known.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(&*self.state.borrow(), State::Connected(connection, _) if connection.is_cluster())
    }

    /// Does something with the connection, within [`PATIENCE`].
    ///
    /// # Errors
    /// There is no connection, or it fails, or the time is over.
    pub(super) async fn with<T>(
        &self,
        work: impl AsyncFnOnce(Connection) -> RedisResult<T>,
    ) -> Result<T, PresenceError> {
        let connected_and_done = async {
            let mut state = self.state.clone();
            let state = state.wait_for(|state| !matches!(state, State::Connecting)).await.map(|state| state.clone());
            match state {
                Ok(State::Connected(connection, broken)) => work(connection).await.map_err(|error| {
                    if is_broken(&error) {
                        broken.notify_one();
                    }
                    PresenceError(error.to_string())
                }),
                Ok(State::Away(reason)) => Err(PresenceError(reason)),
                Ok(State::Connecting) | Err(_) => Err(PresenceError("not connected".to_owned())),
            }
        };
        timeout(PATIENCE, connected_and_done)
            .await
            .unwrap_or_else(|_| Err(PresenceError("no answer in time".to_owned())))
    }
}

/// Whether another connection could do what this one did not: also when this one leads to what has become a replica.
fn is_broken(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error() || error.code() == Some("READONLY")
}

async fn look_after(addresses: Vec<ConnectionInfo>, state: watch::Sender<State>) {
    let outage = Outage::new();
    let mut attempt = 0;
    let mut is_first = true;
    loop {
        match Connection::open(&addresses).await {
            Ok(connection) => {
                let is_cluster = connection.is_cluster();
                let seconds = outage.worked();
                if seconds.is_some() || is_first {
                    tracing::info!(is_cluster, seconds, "connected to Redis");
                }
                is_first = false;
                attempt = 0;
                let broken = Arc::new(Notify::new());
                state.send_replace(State::Connected(connection.clone(), broken.clone()));
                let reason = until_it_fails(&connection, &broken).await;
                if outage.failed(&reason).is_some() {
                    tracing::warn!(reason, "lost the connection to Redis");
                }
                if connection.is_cluster() {
                    // What its other servers hold is served meanwhile, and they are not to be pestered by all pods.
                    tokio::time::sleep(pause(u32::MAX)).await;
                } else {
                    state.send_replace(State::Connecting);
                }
            }
            Err(error) => {
                if let Some(seconds) = outage.failed(&error) {
                    tracing::warn!(%error, seconds, "Redis is away");
                }
                attempt += 1;
                state.send_replace(State::Away(error.to_string()));
            }
        }
        tokio::time::sleep(pause(attempt)).await;
    }
}

/// Returns why the connection is no good any more.
async fn until_it_fails(connection: &Connection, broken: &Notify) -> String {
    loop {
        if timeout(CHECK, broken.notified()).await.is_ok() {
            return "a call failed".to_owned();
        }
        // An error that Redis answers with, as while it is loading, says that the connection is good.
        if let Err(error) = connection.clone().check().await
            && is_broken(&error)
        {
            return error.to_string();
        }
    }
}

/// The pause before the next attempt to connect, after so many that failed. Random, so that not all pods come at once.
fn pause(failed: u32) -> Duration {
    let longest = Duration::from_millis(50).saturating_mul(1 << failed.min(10)).min(MAX_PAUSE);
    longest.mul_f64(rand::rng().random_range(0.5..=1.0))
}
