//! Presence in Redis.
//!
//! | key | holds |
//! | --- | --- |
//! | `presence:{user}` | hash: session (network and `sid`) → record of its socket, with its expiry |
//! | `presence-pods` | sorted set: pod → its expiry |
//!
//! What must be one step is a script; each opens with its KEYS and ARGV, and touches one key only, as a cluster asks for.
//! Expiries are by Redis' clock: no pod's own matters.

mod link;
mod record;

use std::{collections::BTreeSet, fmt, time::Duration};

use ::redis::{Client, FromRedisValue, Pipeline, Script, Value, from_redis_value};
use futures::{FutureExt as _, future::BoxFuture, future::try_join_all};

use self::link::Link;
use super::{Claim, Engine, Entry, LIFETIME, Presence, PresenceError, Renewal};

/// So many users or entries travel in one round trip.
const CHUNK: usize = 500;

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
    /// A presence store that connects in the background, and again whenever it loses the connection, for ever. With
    /// `rediss://` the server's certificate is held against the system's.
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
        let client = Client::open(url).map_err(|_| BadUrl)?;
        Ok(Presence::new(Self {
            link: Link::new(client),
            lifetime_ms: u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX),
            claim: Lua::new(include_str!("claim.lua")),
            renew: Lua::new(include_str!("renew.lua")),
            release: Lua::new(include_str!("release.lua")),
            announce: Lua::new(include_str!("announce.lua")),
        }))
    }

    async fn query<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, PresenceError> {
        self.link.with(async |mut connection| pipeline.query_async(&mut connection).await).await
    }

    /// What the scripts `claim` and `renew` want to know of an entry.
    fn arguments(&self, Entry { session, place }: &Entry) -> [String; 4] {
        let fence = record::digits(place.fence);
        [record::field(session), record::without_expiry(place), fence, self.lifetime_ms.to_string()]
    }
}

impl Engine for Redis {
    fn claim(&self, entry: Entry) -> BoxFuture<'_, Result<Claim, PresenceError>> {
        async move {
            let mut pipeline = self.claim.pipeline();
            self.claim.call(&mut pipeline, &record::key(&entry.session.user), &self.arguments(&entry));
            let [(granted, replaced)]: [(bool, Option<String>); 1] = self.query(&pipeline).await?;
            let replaced = replaced.and_then(|record| record::read(&record)).map(|(place, _)| place);
            Ok(if granted { Claim::Granted(replaced) } else { Claim::Refused })
        }
        .boxed()
    }

    fn renew(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<Vec<Renewal>, PresenceError>> {
        async move {
            let mut renewals = Vec::with_capacity(entries.len());
            for chunk in entries.chunks(CHUNK) {
                let mut pipeline = self.renew.pipeline();
                for entry in chunk {
                    self.renew.call(&mut pipeline, &record::key(&entry.session.user), &self.arguments(entry));
                }
                let kept: Vec<bool> = self.query(&pipeline).await?;
                renewals.extend(kept.into_iter().map(|kept| if kept { Renewal::Kept } else { Renewal::Lost }));
            }
            Ok(renewals)
        }
        .boxed()
    }

    fn release(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), PresenceError>> {
        async move {
            for chunk in entries.chunks(CHUNK) {
                let mut pipeline = self.release.pipeline();
                for Entry { session, place } in chunk {
                    let arguments = [record::field(session), record::digits(place.fence)];
                    self.release.call(&mut pipeline, &record::key(&session.user), &arguments);
                }
                let _: Vec<()> = self.query(&pipeline).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn pods_of(
        &self,
        network: &str,
        users: Vec<String>,
    ) -> BoxFuture<'_, Result<Vec<BTreeSet<String>>, PresenceError>> {
        let network = network.to_owned();
        async move {
            let entries = try_join_all(users.chunks(CHUNK).map(|chunk| self.entries_of(chunk))).await?;
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

    fn announce(&self, pod: &str) -> BoxFuture<'_, Result<(), PresenceError>> {
        let mut pipeline = self.announce.pipeline();
        self.announce.call(&mut pipeline, PODS, &[pod.to_owned(), self.lifetime_ms.to_string()]);
        async move { self.query::<[(); 1]>(&pipeline).await.map(drop) }.boxed()
    }

    fn withdraw(&self, pod: &str) -> BoxFuture<'_, Result<(), PresenceError>> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("ZREM").arg(PODS).arg(pod).ignore();
        async move { self.query(&pipeline).await }.boxed()
    }

    fn pods(&self) -> BoxFuture<'_, Result<BTreeSet<String>, PresenceError>> {
        async move {
            let mut pipeline = Pipeline::new();
            pipeline.cmd("TIME");
            pipeline.cmd("ZRANGE").arg(PODS).arg(0).arg(-1).arg("WITHSCORES");
            let (now, pods): ((u64, u64), Vec<(String, f64)>) = self.query(&pipeline).await?;
            let live = |(_, expires_ms): &(String, f64)| *expires_ms > millis(now) as f64;
            Ok(pods.into_iter().filter(live).map(|(pod, _)| pod).collect())
        }
        .boxed()
    }
}

impl Redis {
    /// The entries of each of the users that have not expired, in one round trip.
    async fn entries_of(&self, users: &[String]) -> Result<Vec<Vec<Entry>>, PresenceError> {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("TIME");
        for user in users {
            pipeline.cmd("HGETALL").arg(record::key(user));
        }
        let mut answers = self.query::<Vec<Value>>(&pipeline).await?.into_iter();
        let now = millis(read(answers.next().unwrap_or_default())?);
        let read_user = |(user, hash): (&String, Value)| {
            let records: Vec<(String, String)> = read(hash)?;
            let entries = records.iter().filter_map(|(field, record)| record::read_entry(user, field, record));
            Ok(entries.filter(|(_, expires_ms)| *expires_ms > now).map(|(entry, _)| entry).collect())
        };
        users.iter().zip(answers).map(read_user).collect()
    }
}

/// A script that works on one key.
struct Lua {
    text: &'static str,
    hash: String,
}

impl Lua {
    fn new(text: &'static str) -> Self {
        Self { text, hash: Script::new(text).get_hash().to_owned() }
    }

    /// One that begins by making the script known, as Redis forgets it when it restarts.
    fn pipeline(&self) -> Pipeline {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("SCRIPT").arg("LOAD").arg(self.text).ignore();
        pipeline
    }

    fn call(&self, pipeline: &mut Pipeline, key: &str, arguments: &[String]) {
        pipeline.cmd("EVALSHA").arg(&self.hash).arg(1).arg(key).arg(arguments);
    }
}

fn read<T: FromRedisValue>(value: Value) -> Result<T, PresenceError> {
    from_redis_value(value).map_err(|error| PresenceError(error.to_string()))
}

/// The answer to `TIME`, in Unix milliseconds.
fn millis((seconds, micros): (u64, u64)) -> u64 {
    seconds * 1000 + micros / 1000
}
