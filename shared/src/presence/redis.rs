//! Presence in Redis, for deployments.
//!
//! | key | holds |
//! | --- | --- |
//! | `presence:{<user>}` | hash: session → place, fence and expiry; one for each user, so one slot of a cluster |
//! | `presence-pods` | sorted set: pod → expiry |
//!
//! Every expiry is by Redis's own clock, so no pod's clock matters. Claiming and releasing are scripts: one atomic step.

use std::{collections::BTreeSet, fmt, time::Duration};

use ::redis::{
    Client, FromRedisValue, ParsingError, Pipeline, RedisError, Script, Value,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use futures::{FutureExt as _, future::BoxFuture};
use serde::Deserialize;
use tokio::{sync::OnceCell, time::timeout};

use super::{Claim, Engine, Entry, LIFETIME, PATIENCE, Place, Presence, PresenceError, Renewal};
use crate::internal::Session;

/// So many commands go in one pipeline: enough to save the round trips, few enough to share the server.
const PIPELINE: usize = 512;

/// The sorted set of the gateways that live.
const PODS: &str = "presence-pods";

/// Divides network and `sid` in a field: neither holds a control character.
const FIELD_SEPARATOR: char = '\n';

/// A Redis server, or the door to a cluster.
pub struct Redis {
    client: Client,
    connection: OnceCell<ConnectionManager>,
    claim: SharedScript,
    release: SharedScript,
    announce: SharedScript,
    lifetime: Duration,
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client holds a password.
        f.write_str("Redis")
    }
}

impl Redis {
    /// The store at this URL. Connects when it is first used, and again whenever the connection is lost.
    ///
    /// # Errors
    /// The URL makes no sense.
    pub fn connect(url: &str) -> anyhow::Result<Presence> {
        Self::with_lifetime(url, LIFETIME)
    }

    /// As [`Redis::connect`], with entries that live so long.
    ///
    /// # Errors
    /// The URL makes no sense.
    pub fn with_lifetime(url: &str, lifetime: Duration) -> anyhow::Result<Presence> {
        // The error of the crate would repeat the URL, which may hold a password.
        let client =
            Client::open(url).map_err(|_| anyhow::anyhow!("redis-url is no URL such as redis://host:6379/0"))?;
        Ok(Presence::new(Self {
            client,
            connection: OnceCell::new(),
            claim: SharedScript::new(include_str!("claim.lua")),
            release: SharedScript::new(include_str!("release.lua")),
            announce: SharedScript::new(include_str!("announce.lua")),
            lifetime,
        }))
    }

    async fn connection(&self) -> Result<ConnectionManager, RedisError> {
        let connect = || async {
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(PATIENCE))
                .set_response_timeout(Some(PATIENCE))
                // Whoever asks decides whether to ask again.
                .set_number_of_retries(0);
            ConnectionManager::new_with_config(self.client.clone(), config).await
        };
        self.connection.get_or_try_init(connect).await.cloned()
    }

    /// Sends a pipeline and returns what it answers.
    async fn run<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, PresenceError> {
        let run = async {
            let mut connection = self.connection().await?;
            pipeline.query_async(&mut connection).await
        };
        match timeout(PATIENCE, run).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(PresenceError(error.to_string())),
            Err(_) => Err(PresenceError(format!("no answer within {PATIENCE:?}"))),
        }
    }

    /// Claims these entries, and says of each whether it has its session, and whose place it took.
    async fn claim_all(&self, entries: &[Entry]) -> Result<Vec<(bool, String)>, PresenceError> {
        let mut answers = Vec::with_capacity(entries.len());
        for entries in entries.chunks(PIPELINE) {
            let mut pipeline = self.claim.pipeline();
            for Entry { session, place } in entries {
                let json = serde_json::to_string(place).map_err(|error| PresenceError(error.to_string()))?;
                self.claim
                    .call(&mut pipeline, &user_key(&session.user))
                    .arg(field(session))
                    .arg(place.fence)
                    .arg(json)
                    .arg(self.lifetime.as_millis() as u64);
            }
            answers.extend(self.run::<Vec<(bool, String)>>(&pipeline).await?);
        }
        Ok(answers)
    }

    /// For each of the users, the entries that have not expired.
    async fn entries_of(&self, users: &[String]) -> Result<Vec<Vec<Entry>>, PresenceError> {
        let mut found = Vec::with_capacity(users.len());
        for users in users.chunks(PIPELINE) {
            let mut pipeline = Pipeline::new();
            pipeline.cmd("TIME");
            for user in users {
                pipeline.hgetall(user_key(user));
            }
            let mut answers = self.run::<Vec<Value>>(&pipeline).await?.into_iter();
            let now = answers.next().map(now_ms).transpose()?.unwrap_or_default();
            for (user, answer) in users.iter().zip(answers) {
                let fields = Vec::<(String, String)>::from_redis_value(answer)?;
                found
                    .push(fields.into_iter().filter_map(|(field, stored)| entry(user, &field, &stored, now)).collect());
            }
        }
        Ok(found)
    }
}

/// A script whose digest stands for it in a pipeline.
struct SharedScript {
    code: &'static str,
    digest: String,
}

impl SharedScript {
    fn new(code: &'static str) -> Self {
        Self { code, digest: Script::new(code).get_hash().to_owned() }
    }

    /// A pipeline that makes the script known first: the server may have been restarted since.
    fn pipeline(&self) -> Pipeline {
        let mut pipeline = Pipeline::new();
        pipeline.cmd("SCRIPT").arg("LOAD").arg(self.code).ignore();
        pipeline
    }

    /// Adds a call of the script, which takes one key, to a pipeline of its own.
    fn call<'p>(&self, pipeline: &'p mut Pipeline, key: &str) -> &'p mut Pipeline {
        pipeline.cmd("EVALSHA").arg(&self.digest).arg(1).arg(key)
    }
}

/// What a user's hash holds of a session.
#[derive(Deserialize)]
struct Stored {
    /// The JSON of a [`Place`].
    place: String,
    /// Unix milliseconds by Redis's clock.
    expires: f64,
}

fn entry(user: &str, field: &str, stored: &str, now_ms: f64) -> Option<Entry> {
    let (network, sid) = field.split_once(FIELD_SEPARATOR)?;
    let stored: Stored = serde_json::from_str(stored).ok()?;
    let place: Place = serde_json::from_str(&stored.place).ok()?;
    let session = Session { network: network.to_owned(), user: user.to_owned(), sid: sid.to_owned() };
    (stored.expires > now_ms).then_some(Entry { session, place })
}

/// The user in a hash tag. A tag ends at the first brace, and an empty one is none; so braces are written otherwise.
fn user_key(user: &str) -> String {
    format!("presence:{{{}}}", user.replace('%', "%25").replace('{', "%7B").replace('}', "%7D"))
}

fn field(session: &Session) -> String {
    format!("{}{FIELD_SEPARATOR}{}", session.network, session.sid)
}

/// The answer of `TIME` in Unix milliseconds.
fn now_ms(answer: Value) -> Result<f64, ParsingError> {
    let (seconds, micros) = <(f64, f64)>::from_redis_value(answer)?;
    Ok(seconds * 1e3 + micros / 1e3)
}

impl From<ParsingError> for PresenceError {
    fn from(error: ParsingError) -> Self {
        Self(error.to_string())
    }
}

impl Engine for Redis {
    fn claim(&self, entry: Entry) -> BoxFuture<'_, Result<Claim, PresenceError>> {
        async move {
            let answers = self.claim_all(std::slice::from_ref(&entry)).await?;
            match answers.into_iter().next() {
                Some((true, replaced)) => Ok(Claim::Granted(serde_json::from_str(&replaced).ok())),
                Some((false, _)) => Ok(Claim::Refused),
                None => Err(PresenceError("a claim was not answered".to_owned())),
            }
        }
        .boxed()
    }

    fn renew(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<Vec<Renewal>, PresenceError>> {
        async move {
            let answers = self.claim_all(&entries).await?;
            Ok(answers.into_iter().map(|(kept, _)| if kept { Renewal::Kept } else { Renewal::Lost }).collect())
        }
        .boxed()
    }

    fn release(&self, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), PresenceError>> {
        async move {
            for entries in entries.chunks(PIPELINE) {
                let mut pipeline = self.release.pipeline();
                for Entry { session, place } in entries {
                    self.release.call(&mut pipeline, &user_key(&session.user)).arg(field(session)).arg(place.fence);
                }
                self.run::<Vec<i64>>(&pipeline).await?;
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
            let found = self.entries_of(&users).await?;
            let pods = |entries: Vec<Entry>| {
                entries
                    .into_iter()
                    .filter(|entry| entry.session.network == network)
                    .map(|entry| entry.place.pod)
                    .collect()
            };
            Ok(found.into_iter().map(pods).collect())
        }
        .boxed()
    }

    fn sessions_of(&self, user: &str) -> BoxFuture<'_, Result<Vec<Entry>, PresenceError>> {
        let users = [user.to_owned()];
        async move {
            let mut entries: Vec<Entry> = self.entries_of(&users).await?.into_iter().flatten().collect();
            entries.sort_by(|one, other| one.session.cmp(&other.session));
            Ok(entries)
        }
        .boxed()
    }

    fn announce(&self, pod: &str) -> BoxFuture<'_, Result<(), PresenceError>> {
        let pod = pod.to_owned();
        async move {
            let mut pipeline = self.announce.pipeline();
            self.announce.call(&mut pipeline, PODS).arg(pod).arg(self.lifetime.as_millis() as u64);
            self.run::<(i64,)>(&pipeline).await.map(drop)
        }
        .boxed()
    }

    fn withdraw(&self, pod: &str) -> BoxFuture<'_, Result<(), PresenceError>> {
        let mut pipeline = Pipeline::new();
        pipeline.zrem(PODS, pod);
        async move { self.run::<(i64,)>(&pipeline).await.map(drop) }.boxed()
    }

    fn pods(&self) -> BoxFuture<'_, Result<BTreeSet<String>, PresenceError>> {
        async move {
            let mut pipeline = Pipeline::new();
            pipeline.cmd("TIME").zrange_withscores(PODS, 0, -1);
            let (time, pods) = self.run::<(Value, Vec<(String, f64)>)>(&pipeline).await?;
            let now = now_ms(time)?;
            Ok(pods.into_iter().filter(|(_, expires)| *expires > now).map(|(pod, _)| pod).collect())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_users_share_a_key_and_no_key_has_two_tags() {
        let users = ["a", "{a}", "a}", "{", "}{", "", "a%7D", "%7Ba%7D", "é"];
        let keys: BTreeSet<String> = users.iter().map(|user| user_key(user)).collect();
        assert_eq!(keys.len(), users.len());
        assert!(
            keys.iter().all(|key| key.matches('{').count() == 1 && key.matches('}').count() == 1 && key.ends_with('}'))
        );
    }

    #[test]
    fn an_expired_or_unreadable_entry_does_not_count() {
        let stored = r#"{"place":"{\"pod\":\"p\",\"socket\":1,\"fence\":2,\"since_ms\":3}","fence":2,"expires":100}"#;
        assert!(entry("u", "n\ns", stored, 99.0).is_some());
        assert!(entry("u", "n\ns", stored, 100.0).is_none());
        assert!(entry("u", "n", stored, 99.0).is_none());
        assert!(entry("u", "n\ns", "{}", 99.0).is_none());
    }
}
