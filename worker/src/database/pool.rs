//! The connections of a worker's requests, and one more for what runs beside them.
//!
//! Requests take the connection that was given back last: its server process is awake and has its plans and pages at hand.
//! sqlx's own pool takes the one that rested longest, and asks the server once more before anything is given back: a
//! request of one statement then costs the server two.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant as StdInstant},
};

use deadpool::{
    Runtime,
    managed::{self, Manager, Metrics, Object, PoolError, QueueMode, RecycleError, RecycleResult},
};
use rand::Rng as _;
use sqlx::{Connection as _, PgConnection, Postgres, postgres::PgConnectOptions};
use sqlx_core::transaction::TransactionManager as _;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep},
};

use crate::{config::DatabaseUrl, error::Trouble};

/// Limits of every session here. A worker that is stopped in the middle must not hold locks for long, and nobody waits
/// long for those of others: such a request gives its connection back and is done afresh. They are set rather than asked for
/// with the connection: a pooler in session mode passes no options on.
const SETTINGS: &str = "
    SET lock_timeout = '200ms';
    SET statement_timeout = '5s';
    SET idle_in_transaction_session_timeout = '5s';
    SET tcp_user_timeout = '5s'";

/// How long a request waits for a connection. Longer means that the database is away, or far too busy.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause before a connection is tried again that was not made.
const PAUSE: std::ops::Range<Duration> = Duration::from_millis(20)..Duration::from_millis(200);

/// A connection that rested for longer is made anew: what lies between may have forgotten it without a word.
const LONGEST_REST: Duration = Duration::from_secs(10 * 60);

/// A connection that is older is made anew: the memory of its server process only grows.
const LONGEST_LIFE: Duration = Duration::from_secs(30 * 60);

/// Requests have all connections made anew at most once in so long: a server that takes no changes is not to be flooded.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);

/// So many connections has what runs beside the requests, one thing after the other: it waits for none of theirs, nor they
/// for its.
const BACKGROUND: usize = 1;

/// More connections than four for each core lose (measured), fewer than eight leave nothing to overlap.
pub(crate) fn pool_size() -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (4 * cores).max(8)
}

/// Some connections, at most as many as it was made for. Each is made when it is first needed, and again whenever it must.
pub type Pool = managed::Pool<Connector>;

/// Makes the connections of a [`Pool`].
#[derive(Debug)]
pub struct Connector {
    options: PgConnectOptions,
    /// Those that are older are made anew.
    renewed: Mutex<Option<StdInstant>>,
}

impl Connector {
    fn new(options: PgConnectOptions) -> Self {
        Self { options, renewed: Mutex::default() }
    }

    /// Has every connection made anew before it is used again: the server that they lead to takes no changes, and by its name
    /// another one may be found.
    pub(crate) fn renew(&self) {
        *self.renewed() = Some(StdInstant::now());
    }

    /// As [`Connector::renew`], for whoever is one of many.
    pub(crate) fn renew_now_and_then(&self) {
        let mut renewed = self.renewed();
        if renewed.is_none_or(|renewed| renewed.elapsed() > RENEWAL_PAUSE) {
            *renewed = Some(StdInstant::now());
        }
    }

    fn renewed(&self) -> MutexGuard<'_, Option<StdInstant>> {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> sqlx::Result<PgConnection> {
        let mut connection = super::connect(&self.options).await?;
        sqlx::raw_sql(SETTINGS).execute(&mut connection).await?;
        Ok(connection)
    }
}

impl Manager for Connector {
    type Type = PgConnection;
    type Error = sqlx::Error;

    /// Tries for as long as a request waits: a server that is just starting takes connections within that.
    async fn create(&self) -> sqlx::Result<PgConnection> {
        let deadline = Instant::now() + ACQUIRE_TIMEOUT;
        loop {
            // Boxed: each request's future would have room for what hardly any of them needs.
            match Box::pin(self.connect()).await {
                Err(error) if Trouble::of(&error) == Trouble::Away && Instant::now() < deadline => {
                    let pause = rand::rng().random_range(PAUSE);
                    sleep(pause).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Asks the server nothing: a connection that went stale is found by its next request, which is done afresh.
    async fn recycle(&self, _: &mut PgConnection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        let is_left = self.renewed().is_some_and(|renewed| metrics.created < renewed);
        if is_left || metrics.last_used() > LONGEST_REST || metrics.age() > LONGEST_LIFE {
            return Err(RecycleError::message("it is made anew"));
        }
        Ok(())
    }
}

/// The connections of requests.
///
/// # Errors
/// The address makes no sense.
pub(crate) fn pool(url: &DatabaseUrl, name: &str) -> anyhow::Result<Pool> {
    of_size(pool_size(), url, name)
}

/// The connection of what runs beside the requests.
///
/// # Errors
/// The address makes no sense.
pub fn background(url: &DatabaseUrl, name: &str) -> anyhow::Result<Pool> {
    of_size(BACKGROUND, url, name)
}

fn of_size(size: usize, url: &DatabaseUrl, name: &str) -> anyhow::Result<Pool> {
    Ok(Pool::builder(Connector::new(super::options(url, name)?))
        .max_size(size)
        .queue_mode(QueueMode::Lifo)
        .wait_timeout(Some(ACQUIRE_TIMEOUT))
        .create_timeout(Some(ACQUIRE_TIMEOUT))
        .runtime(Runtime::Tokio1)
        .build()?)
}

/// A connection of the pool, with at most one transaction on it. It is closed, not given back, when the work on it is cut
/// off in the middle or fails: its session may be busy for long, or its server may have vanished without a word. PostgreSQL
/// rolls back what a closed session had begun.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: Option<Object<Connector>>,
    /// Given back after the connection.
    turn: Option<OwnedSemaphorePermit>,
}

/// What begins and ends transactions.
type Transactions = <Postgres as sqlx::Database>::TransactionManager;

impl Lease {
    /// Takes a connection from the pool.
    pub(crate) async fn take(pool: &Pool) -> sqlx::Result<Self> {
        pool.get().await.map(|connection| Self { connection: Some(connection), turn: None }).map_err(
            |error| match error {
                PoolError::Backend(error) => error,
                PoolError::Closed => sqlx::Error::PoolClosed,
                PoolError::Timeout(_) | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                    metrics::counter!("convene_database_pool_timeouts_total").increment(1);
                    sqlx::Error::PoolTimedOut
                }
            },
        )
    }

    /// Takes a connection from the pool and begins a transaction on it.
    pub(crate) async fn begin(pool: &Pool) -> sqlx::Result<Self> {
        let mut lease = Self::take(pool).await?;
        lease.begin_transaction().await?;
        Ok(lease)
    }

    /// For somebody whose turn it is until the connection is given back.
    pub(crate) fn in_turn(mut self, turn: OwnedSemaphorePermit) -> Self {
        self.turn = Some(turn);
        self
    }

    /// Begins a transaction.
    pub(crate) async fn begin_transaction(&mut self) -> sqlx::Result<()> {
        Transactions::begin(self.connection(), None).await
    }

    /// The connection.
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("it is there until the lease ends")
    }

    /// Commits the transaction and gives the connection back.
    pub(crate) async fn commit(mut self) -> sqlx::Result<()> {
        Transactions::commit(self.connection()).await?;
        self.connection = None;
        Ok(())
    }

    /// Rolls the transaction back and gives the connection back.
    pub(crate) async fn roll_back(mut self) -> sqlx::Result<()> {
        Transactions::rollback(self.connection()).await?;
        self.connection = None;
        Ok(())
    }

    /// Gives the connection back: its statements went well. A transaction that was dropped on it is still to be rolled
    /// back: until the server has heard that, it would hold its snapshot.
    pub(crate) async fn give_back(mut self) {
        if !self.connection().should_flush() || self.connection().ping().await.is_ok() {
            self.connection = None;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Taken out of the pool, which may make another one, and closed.
        drop(self.connection.take().map(Object::take));
    }
}
