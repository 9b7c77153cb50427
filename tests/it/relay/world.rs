//! A database with networks, a bus and presence, and relays on them.

use std::{collections::BTreeMap, str::FromStr as _};

use futures::future::BoxFuture;
use harness::{Isolated, Servers, eventually, eventually::PATIENCE};
use serde::de::DeserializeOwned;
use shared::{
    bus::{Bus, Headers, Message, Subject, Subscription, nats::Nats},
    internal::{Heads, Partition},
    lifecycle::Shutdown,
    presence::{Presence, redis::Redis},
};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::task::JoinHandle;
use worker::{
    outbox::{self, Emission},
    relay::{Hooks, Relay, Step},
};

pub const EVENT: &str = "meeting:onMeetingUpdated";

/// What the test's relays, writers and listeners share.
pub struct World {
    pub servers: Isolated,
    pub pool: PgPool,
    pub bus: Bus,
    pub presence: Presence,
}

/// A relay that was started by the test.
pub struct Running {
    pub shutdown: Shutdown,
    pub task: JoinHandle<()>,
}

impl Running {
    /// As when its process is killed.
    pub async fn kill(self) {
        self.task.abort();
        self.task.await.expect_err("it was aborted");
    }

    /// As when its process is told to stop.
    pub async fn drain(self) {
        self.shutdown.drain.cancel();
        self.task.await.expect("it ends in order");
    }
}

/// Never lets a relay tell what it has moved.
pub struct Stuck;

impl Hooks for Stuck {
    fn at(&self, step: Step) -> BoxFuture<'_, ()> {
        if step == Step::Committed { Box::pin(std::future::pending()) } else { Box::pin(std::future::ready(())) }
    }
}

impl World {
    pub async fn new() -> Self {
        Self::on(Servers::shared().await.isolated().await).await
    }

    pub async fn on(servers: Isolated) -> Self {
        let pool = PgPoolOptions::new().max_connections(60).connect(&servers.database_url).await.expect("a database");
        let url = servers.database_url.parse().expect("a URL");
        worker::database::migrate(&url).await.expect("the schema");
        let bus = Nats::connect(&servers.nats_url, "test").expect("a bus");
        let presence = Redis::connect(&servers.redis_url).expect("presence");
        let world = Self { servers, pool, bus, presence };
        eventually!(world.bus.is_connected());
        world
    }

    /// Adds a network with the epoch `e`.
    pub async fn network(&self, network: &str, partition: Partition) {
        sqlx::query("INSERT INTO networks (id, partition, epoch) VALUES ($1, $2, 'e')")
            .bind(network)
            .bind(partition.cast_signed())
            .execute(&self.pool)
            .await
            .expect("a network");
    }

    pub fn database(&self) -> PgConnectOptions {
        PgConnectOptions::from_str(&self.servers.database_url).expect("a URL")
    }

    pub fn new_relay(&self) -> Relay {
        Relay::new(self.database(), self.bus.clone(), self.presence.clone())
    }

    pub fn start(&self, relay: Relay) -> Running {
        let shutdown = Shutdown::default();
        Running { shutdown: shutdown.clone(), task: tokio::spawn(relay.run(shutdown)) }
    }

    pub fn relay(&self) -> Running {
        self.start(self.new_relay())
    }

    /// Commits one event and wakes its relay.
    pub async fn emit(&self, network: &str, recipients: &[&str], payload: &str) {
        let mut transaction = self.pool.begin().await.expect("a transaction");
        let emission = emission(network, recipients, payload);
        let partitions = outbox::insert(&mut transaction, &[emission]).await.expect("it is accepted");
        transaction.commit().await.expect("it is committed");
        for partition in partitions {
            // A wake may be lost.
            let _ = self.bus.publish(Subject::wake(partition), Headers::new(), "").await;
        }
    }

    /// The log of a network: position, payload.
    pub async fn log(&self, network: &str) -> Vec<(i64, String)> {
        sqlx::query_as("SELECT position, payload FROM event_log WHERE network_id = $1 ORDER BY position")
            .bind(network)
            .fetch_all(&self.pool)
            .await
            .expect("the log")
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.expect("a number")
    }

    /// Waits until so many events are in the log of all networks.
    pub async fn moved(&self, count: i64) {
        let moved = eventually!(self.count("SELECT count(*) FROM event_log").await, |moved| *moved >= count);
        assert_eq!(moved, count, "more were moved than made");
    }

    /// How many partitions each relay holds, by its backend.
    pub async fn shares(&self) -> BTreeMap<i32, i64> {
        let shares: Vec<(i32, i64)> = sqlx::query_as(
            "SELECT a.pid, count(l.objid)
             FROM pg_stat_activity a
             LEFT JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'advisory' AND l.mode = 'ExclusiveLock' AND l.granted
             WHERE a.datname = current_database() AND a.application_name = 'convene relay'
             GROUP BY a.pid",
        )
        .fetch_all(&self.pool)
        .await
        .expect("locks");
        shares.into_iter().collect()
    }

    pub async fn wait_for_shares(&self, mut wanted: Vec<i64>) {
        wanted.sort_unstable();
        eventually!(self.shares().await, |shares| {
            let mut shares: Vec<i64> = shares.values().copied().collect();
            shares.sort_unstable();
            shares == wanted
        });
    }

    pub async fn subscribe(&self, subject: Subject) -> Subscription {
        let subscription = self.bus.subscribe(subject).await.expect("a subscription");
        self.bus.flush().await.expect("it is made");
        subscription
    }

    /// Waits until a partition's heads were told so many times.
    pub async fn hear_heads(&self, partition: Partition, times: usize) -> Vec<Heads> {
        let mut subscription = self.subscribe(Subject::heads(partition)).await;
        let mut heard = Vec::new();
        for _ in 0..times {
            heard.push(next(&mut subscription).await);
        }
        heard
    }
}

pub fn emission(network: &str, recipients: &[&str], payload: &str) -> Emission {
    Emission {
        network: network.to_owned(),
        recipients: recipients.iter().map(|user| (*user).to_owned()).collect(),
        name: EVENT,
        payload: payload.to_owned(),
    }
}

/// The next message of a subscription.
pub async fn next_message(subscription: &mut Subscription) -> Message {
    let message = tokio::time::timeout(PATIENCE, subscription.next()).await.expect("a message comes");
    message.expect("the bus lives")
}

/// What the next message of a subscription says.
pub async fn next<T: DeserializeOwned>(subscription: &mut Subscription) -> T {
    serde_json::from_slice(&next_message(subscription).await.payload).expect("a message of ours")
}
