//! Presence in Redis.
//!
//! | key | holds |
//! | --- | --- |
//! | `presence:{user}` | hash: session (network and `sid`) → record of its socket, with its expiry |
//! | `presence:{probe:…}` | the same of users that there are not, for seconds: see [`Presence::probe`] |
//! | `presence-pods` | sorted set: pod → its expiry |
//!
//! What must be one step is a script; each opens with its KEYS and ARGV, and touches one key only, as a cluster asks for.
//! Expiries are by Redis' clock: no pod's own matters. In a cluster that is the clock of the server that holds the key, and
//! whoever reads goes by any server's: they must be within seconds of each other, which [`LIFETIME`] has room for.

mod link;
mod record;

use std::{collections::BTreeSet, fmt, time::Duration};

use ::redis::{Cmd, ConnectionInfo, FromRedisValue, IntoConnectionInfo as _, Value, from_redis_value};
use futures::{
    FutureExt as _, StreamExt as _, TryStreamExt as _,
    future::{BoxFuture, join_all},
    stream,
};

use self::link::{Link, Lua};
use super::{Claim, Engine, Entry, LIFETIME, PROBES, Presence, PresenceError, Renewal};
use crate::pod::PodId;

/// So many users or entries travel in one round trip.
const CHUNK: usize = 100;

/// So many round trips of one look-up are under way at once: each has a patience of its own, which begins with it.
const READS_AT_ONCE: usize = 4;

/// What a probe has claimed and could not release is gone after so long.
const PROBE_LIFETIME: Duration = Duration::from_secs(5);

const PODS: &str = "presence-pods";

/// `redis-url` cannot be used. Does not say what it holds, as that may be a password.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("redis-url is not an address such as redis://host:6379")]
pub struct BadUrl;

/// The engine that speaks to Redis.
pub struct Redis {
    link: Link,
    lifetime_ms: u64,
    claim: Lua,
    renew: Lua,
    release: Lua,
    announce: Lua,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redis")
    }
}

impl Redis {
    /// A presence store that connects in the background, and again whenever it loses the connection or the server has become
    /// a replica, for ever. With `rediss://` the server's certificate is held against the system's. `url` may list several,
    /// with commas between, of which the first is taken that answers and is no replica. When that is a part of a cluster
    /// (`cluster_enabled`), keys are looked for in all of it.
    ///
    /// Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// [`BadUrl`]; a server that is away is none.
    pub fn connect(url: &str) -> Result<Presence, BadUrl> {
        Self::with_lifetime(url, LIFETIME)
    }

    /// As [`Redis::connect`], with another lifetime of entries and pods than [`LIFETIME`].
    ///
    /// # Errors
    /// [`BadUrl`]
    pub fn with_lifetime(url: &str, lifetime: Duration) -> Result<Presence, BadUrl> {
        // Fails when the process has one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let addresses: Result<Vec<ConnectionInfo>, _> =
            url.split(',').map(|url| url.trim().into_connection_info()).collect();
        Ok(Presence::new(Self {
            link: Link::new(addresses.map_err(|_| BadUrl)?),
            lifetime_ms: u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX),
            claim: Lua::new(include_str!("claim.lua")),
            renew: Lua::new(include_str!("renew.lua")),
            release: Lua::new(include_str!("release.lua")),
            announce: Lua::new(include_str!("announce.lua")),
        }))
    }

    async fn ask(&self, commands: Vec<Cmd>) -> Result<Vec<Value>, PresenceError> {
        self.link.with(async |mut connection| connection.ask(commands).await).await
    }

    /// One answer for each entry.
    async fn call<T: FromRedisValue>(
        &self,
        script: &Lua,
        calls: impl IntoIterator<Item = (String, Vec<String>)>,
    ) -> Result<Vec<T>, PresenceError> {
        let answers = self.link.with(async |mut connection| connection.call(script, calls).await).await?;
        answers.into_iter().map(read).collect()
    }

    /// What the scripts `claim` and `renew` want to know of an entry.
    fn claiming(&self, entry: &Entry) -> (String, Vec<String>) {
        claiming(entry, self.lifetime_ms)
    }

    /// Claims and releases what is nobody's.
    async fn probe_one(&self, entry: Entry) -> Result<(), PresenceError> {
        let claim = claiming(&entry, PROBE_LIFETIME.as_millis() as u64);
        let _: Vec<(bool, Option<String>)> = self.call(&self.claim, [claim]).await?;
        let _: Vec<()> = self.call(&self.release, [releasing(&entry)]).await?;
        Ok(())
    }
}

impl Engine for Redis {
    fn claim(&self, entry: Entry) -> BoxFuture<'_, Result<Claim, PresenceError>> {
        async move {
            let answers: Vec<(bool, Option<String>)> = self.call(&self.claim, [self.claiming(&entry)]).await?;
            let (granted, replaced) = answers.into_iter().next().unwrap_or_default();
            let replaced = replaced.and_then(|record| record::read(&record)).map(|(place, _)| place);
            Ok(if granted { Claim::Granted(replaced) } else { Claim::Refused })
        }
        .boxed()
    }

    fn renew(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<Vec<Renewal>, PresenceError>> {
        async move {
            let mut renewals = Vec::with_capacity(entries.len());
            for chunk in entries.chunks(CHUNK) {
                let kept: Vec<bool> = self.call(&self.renew, chunk.iter().map(|entry| self.claiming(entry))).await?;
                renewals.extend(kept.into_iter().map(|kept| if kept { Renewal::Kept } else { Renewal::Lost }));
            }
            Ok(renewals)
        }
        .boxed()
    }

    fn release(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), PresenceError>> {
        async move {
            for chunk in entries.chunks(CHUNK) {
                let _: Vec<()> = self.call(&self.release, chunk.iter().map(releasing)).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn pods_of(&self, network: &str, users: Vec<String>) -> BoxFuture<'_, Result<Vec<BTreeSet<PodId>>, PresenceError>> {
        let network = network.to_owned();
        async move {
            let reads: Vec<_> = users.chunks(CHUNK).map(|chunk| self.entries_of(chunk)).collect();
            let entries: Vec<Vec<Vec<Entry>>> = stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
            let pods_in_network = |entries: Vec<Entry>| {
                let in_network = entries.into_iter().filter(|entry| entry.session.network == network);
                in_network.map(|entry| entry.place.pod).collect()
            };
            Ok(entries.into_iter().flatten().map(pods_in_network).collect())
        }
        .boxed()
    }

    fn sessions_of(&self, user: &str) -> BoxFuture<'_, Result<Vec<Entry>, PresenceError>> {
        let user = user.to_owned();
        async move {
            let mut entries: Vec<Entry> = self.entries_of(&[user]).await?.into_iter().flatten().collect();
            entries.sort_by(|one, other| one.session.cmp(&other.session));
            Ok(entries)
        }
        .boxed()
    }

    fn announce(&self, pod: &PodId) -> BoxFuture<'_, Result<(), PresenceError>> {
        let call = (PODS.to_owned(), vec![pod.to_string(), self.lifetime_ms.to_string()]);
        async move { self.call::<()>(&self.announce, [call]).await.map(drop) }.boxed()
    }

    fn withdraw(&self, pod: &PodId) -> BoxFuture<'_, Result<(), PresenceError>> {
        let command = Cmd::zrem(PODS, pod.as_str());
        async move { self.ask(vec![command]).await.map(drop) }.boxed()
    }

    fn probe(&self, pod: &PodId) -> BoxFuture<'_, Result<Option<String>, PresenceError>> {
        let count = if self.link.is_cluster() { PROBES } else { 1 };
        let probes: Vec<_> = (0..count).map(|number| self.probe_one(super::probe_entry(pod, number))).collect();
        async move {
            let failures: Vec<_> = join_all(probes).await.into_iter().filter_map(Result::err).collect();
            let some = failures.len();
            match failures.into_iter().next() {
                Some(error) if some == count => Err(error),
                error => Ok(error.map(|error| format!("a part of the cluster: {error}"))),
            }
        }
        .boxed()
    }

    fn pods(&self) -> BoxFuture<'_, Result<BTreeSet<PodId>, PresenceError>> {
        async move {
            let (now, mut answers) = self.ask_with_time(vec![Cmd::zrange_withscores(PODS, 0, -1)]).await?;
            let pods: Vec<(String, f64)> = read(answers.next().unwrap_or_default())?;
            let live = |(_, expires_ms): &(String, f64)| *expires_ms > now as f64;
            Ok(pods.into_iter().filter(live).map(|(pod, _)| PodId::read(pod)).collect())
        }
        .boxed()
    }
}

impl Redis {
    /// Redis' time, in Unix milliseconds, and the answers to these commands.
    async fn ask_with_time(&self, mut commands: Vec<Cmd>) -> Result<(u64, impl Iterator<Item = Value>), PresenceError> {
        commands.insert(0, ::redis::cmd("TIME"));
        let mut answers = self.ask(commands).await?.into_iter();
        let (seconds, micros): (u64, u64) = read(answers.next().unwrap_or_default())?;
        Ok((seconds * 1000 + micros / 1000, answers))
    }

    /// The entries of each of the users that have not expired, in one round trip.
    async fn entries_of(&self, users: &[String]) -> Result<Vec<Vec<Entry>>, PresenceError> {
        let commands = users.iter().map(|user| Cmd::hgetall(record::key(user))).collect();
        let (now, answers) = self.ask_with_time(commands).await?;
        let read_user = |(user, hash): (&String, Value)| {
            let records: Vec<(String, String)> = read(hash)?;
            let entries = records.iter().filter_map(|(field, record)| record::read_entry(user, field, record));
            Ok(entries.filter(|(_, expires_ms)| *expires_ms > now).map(|(entry, _)| entry).collect())
        };
        users.iter().zip(answers).map(read_user).collect()
    }
}

/// A call of the scripts `claim` and `renew`.
fn claiming(Entry { session, place }: &Entry, lifetime_ms: u64) -> (String, Vec<String>) {
    let fence = record::digits(place.fence);
    let arguments = vec![record::field(session), record::without_expiry(place), fence, lifetime_ms.to_string()];
    (record::key(&session.user), arguments)
}

/// A call of the script `release`.
fn releasing(Entry { session, place }: &Entry) -> (String, Vec<String>) {
    (record::key(&session.user), vec![record::field(session), record::digits(place.fence)])
}

fn read<T: FromRedisValue>(value: Value) -> Result<T, PresenceError> {
    from_redis_value(value).map_err(|error| PresenceError(error.to_string()))
}
