//! The relay's own session of PostgreSQL: it holds the partitions' locks, and on it they are moved (I2).
//!
//! PostgreSQL lets go of a session's locks when the session ends, whatever it was doing. So a relay that was stopped, or is
//! cut off, loses its partitions together with the means to move them; nobody has to notice that it did.

use std::{
    collections::{BTreeSet, HashSet},
    future::Future,
    time::{Duration, SystemTime},
};

use serde_json::value::RawValue;
use shared::{
    internal::{Head, Partition, Position},
    telemetry::{Attribute, Hop, SpanKind},
};
use sqlx::{
    Connection as _, FromRow as _, PgConnection, Row as _,
    postgres::{PgConnectOptions, PgDatabaseError, PgRow, PgSeverity},
};

use super::bound::{Bound, Sight};
use crate::error::is_read_only;

/// A session is opened within this time, or not at all.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// No answer for so long: the server, or the way to it, is gone. Longer than its `statement_timeout`.
const PATIENCE: Duration = Duration::from_secs(25);

/// Plans must not depend on what ANALYZE happened to see of a table that is empty most of the time.
const SETTINGS: &str = "
    SET application_name = 'convene relay';
    SET idle_session_timeout = '10s';
    SET idle_in_transaction_session_timeout = '10s';
    SET statement_timeout = '20s';
    SET tcp_user_timeout = '10s';
    SET tcp_keepalives_idle = 5;
    SET tcp_keepalives_interval = 2;
    SET tcp_keepalives_count = 3;
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET jit = off;
    SET work_mem = '32MB'";

/// Class of the advisory lock that every relay holds, shared, as long as it lives.
const LIVE_CLASS: i32 = 1_668_178_289;

/// Class of the advisory locks of the partitions.
const PARTITION_CLASS: i32 = 1_668_178_290;

/// Why a statement was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It was refused; the session goes on.
    #[error("{0}")]
    Refused(sqlx::Error),
    /// The session is over.
    #[error("the relay's session is lost: {0}")]
    Lost(sqlx::Error),
    /// Nothing was heard of it.
    #[error("the relay's session is lost: no answer from the database")]
    Silent,
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        let refused = error
            .as_database_error()
            .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
            .is_some_and(|error| error.severity() == PgSeverity::Error)
            // By the server's name another one may be found.
            && !is_read_only(&error);
        if refused { Self::Refused(error) } else { Self::Lost(error) }
    }
}

/// A partition and from where on to read it.
pub(super) type Reading = (Partition, Bound);

/// Who relays and who writes, all over the database.
#[derive(Debug)]
pub(super) struct Look {
    /// Relays, this one included.
    pub(super) relays: usize,
    /// Partitions that some relay holds, this one included.
    pub(super) held: BTreeSet<Partition>,
    /// Transactions that have inserted into the outbox or are about to.
    pub(super) writers: HashSet<String>,
}

/// What waits in some partitions.
#[derive(Debug)]
pub(super) struct Polled {
    pub(super) sight: Option<Sight>,
    /// Each partition with the number and age (in seconds) of its first row.
    pub(super) first: Vec<(Partition, Option<(i64, f64)>)>,
}

/// What was moved.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) sight: Sight,
    /// Partitions that may hold more.
    pub(super) cut: BTreeSet<Partition>,
    /// By network and position.
    pub(super) events: Vec<Event>,
}

/// An event that was moved.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) partition: Partition,
    pub(super) seq: i64,
    pub(super) network: String,
    /// `None` when the network's row is gone.
    pub(super) epoch: Option<String>,
    pub(super) position: Position,
    pub(super) name: String,
    pub(super) recipients: Vec<String>,
    /// `None` when it is no JSON, which the outbox does not accept.
    pub(super) data: Option<Box<RawValue>>,
    /// How long it waited, in seconds.
    pub(super) age: f64,
    /// Its way from the outbox until gateways are told, when a trace is kept of it.
    pub(super) hop: Option<Hop>,
}

/// A network that moved lately.
#[derive(Debug)]
pub(super) struct RecentHead {
    pub(super) partition: Partition,
    pub(super) head: Head,
    pub(super) age: Duration,
}

/// The session.
#[derive(Debug)]
pub(super) struct Session {
    connection: PgConnection,
}

impl Session {
    pub(super) async fn open(database: &PgConnectOptions) -> Result<Self, Failure> {
        let open = async {
            let mut connection = PgConnection::connect_with(database).await?;
            sqlx::raw_sql(SETTINGS).execute(&mut connection).await?;
            let live = sqlx::query("SELECT pg_advisory_lock_shared($1, 0)").bind(LIVE_CLASS);
            live.execute(&mut connection).await?;
            Ok(Self { connection })
        };
        tokio::time::timeout(CONNECT_PATIENCE, open).await.unwrap_or(Err(Failure::Silent))
    }

    /// Gives up everything that the session holds.
    pub(super) async fn close(self) -> Result<(), Failure> {
        within(self.connection.close()).await
    }

    pub(super) async fn look(&mut self) -> Result<Look, Failure> {
        let rows: Vec<(String, Option<i64>, Option<i64>, String)> = within(
            sqlx::query_as(
                "SELECT locktype, classid::bigint, objid::bigint, virtualtransaction
                 FROM pg_locks
                 WHERE granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                   AND (locktype = 'advisory' AND objsubid = 2 AND classid::bigint IN ($1, $2)
                        OR locktype = 'relation' AND relation = 'outbox'::regclass AND mode = 'RowExclusiveLock')",
            )
            .bind(i64::from(LIVE_CLASS))
            .bind(i64::from(PARTITION_CLASS))
            .fetch_all(&mut self.connection),
        )
        .await?;
        let mut look = Look { relays: 0, held: BTreeSet::new(), writers: HashSet::new() };
        for (kind, class, object, transaction) in rows {
            if kind == "relation" {
                look.writers.insert(transaction);
            } else if class == Some(i64::from(LIVE_CLASS)) {
                look.relays += 1;
            } else if let Some(partition) = object.and_then(|object| Partition::try_from(object).ok()) {
                look.held.insert(partition);
            }
        }
        Ok(look)
    }

    /// Takes those of the partitions that nobody holds.
    ///
    /// Only a later statement sees everything that the holder before has committed.
    pub(super) async fn take(&mut self, partitions: &[Partition]) -> Result<Vec<Partition>, Failure> {
        let taken: Vec<i32> = within(
            sqlx::query_scalar("SELECT p FROM unnest($2::int[]) AS p WHERE pg_try_advisory_lock($1, p)")
                .bind(PARTITION_CLASS)
                .bind(partitions.iter().copied().map(i32::from).collect::<Vec<_>>())
                .fetch_all(&mut self.connection),
        )
        .await?;
        Ok(taken.into_iter().filter_map(|partition| Partition::try_from(partition).ok()).collect())
    }

    pub(super) async fn give(&mut self, partitions: &[Partition]) -> Result<(), Failure> {
        within(
            sqlx::query("SELECT pg_advisory_unlock($1, p) FROM unnest($2::int[]) AS p")
                .bind(PARTITION_CLASS)
                .bind(partitions.iter().copied().map(i32::from).collect::<Vec<_>>())
                .execute(&mut self.connection),
        )
        .await?;
        Ok(())
    }

    /// The networks of these partitions that moved within `within_last`.
    pub(super) async fn recent(
        &mut self,
        partitions: &[Partition],
        within_last: Duration,
    ) -> Result<Vec<RecentHead>, Failure> {
        let rows: Vec<(i16, String, String, i64, f64)> = within(
            sqlx::query_as(
                "SELECT n.partition, n.id, n.epoch, max(l.position),
                        extract(epoch FROM now() - max(l.moved_at))::float8
                 FROM event_log l JOIN networks n ON n.id = l.network_id
                 WHERE l.moved_at > now() - make_interval(secs => $2) AND n.partition = ANY ($1)
                 GROUP BY n.id",
            )
            .bind(numbers(partitions.iter().copied()))
            .bind(within_last.as_secs_f64())
            .fetch_all(&mut self.connection),
        )
        .await?;
        Ok(rows
            .into_iter()
            .map(|(partition, network, epoch, head, age)| RecentHead {
                partition: partition.cast_unsigned(),
                head: Head { network, epoch, head: head.cast_unsigned() },
                age: Duration::try_from_secs_f64(age).unwrap_or_default(),
            })
            .collect())
    }

    /// Networks with their partitions and their epochs as they are now.
    pub(super) async fn epochs(&mut self, networks: &[String]) -> Result<Vec<(Partition, String, String)>, Failure> {
        let rows: Vec<(i16, String, String)> = within(
            sqlx::query_as("SELECT partition, id, epoch FROM networks WHERE id = ANY ($1)")
                .bind(networks)
                .fetch_all(&mut self.connection),
        )
        .await?;
        Ok(rows.into_iter().map(|(partition, network, epoch)| (partition.cast_unsigned(), network, epoch)).collect())
    }

    pub(super) async fn poll(&mut self, readings: &[Reading], take_id: bool) -> Result<Polled, Failure> {
        let rows = within(
            sqlx::query(include_str!("poll.sql"))
                .bind(numbers(readings.iter().map(|(partition, _)| *partition)))
                .bind(readings.iter().map(|(_, bound)| bound.number()).collect::<Vec<_>>())
                .bind(take_id)
                .fetch_all(&mut self.connection),
        )
        .await?;
        let sight = rows.first().map(Sight::from_row).transpose()?;
        let first = rows
            .iter()
            .map(|row| {
                let lowest: Option<i64> = row.try_get("lowest")?;
                let age: Option<f64> = row.try_get("age")?;
                Ok((row.try_get::<i16, _>("partition")?.cast_unsigned(), lowest.zip(age)))
            })
            .collect::<Result<_, sqlx::Error>>()?;
        Ok(Polled { sight, first })
    }

    /// Moves what waits, up to `most_rows` and `most_bytes` of each partition. One transaction.
    pub(super) async fn move_on(
        &mut self,
        readings: &[Reading],
        most_rows: i64,
        most_bytes: i64,
    ) -> Result<Batch, Failure> {
        let begun = SystemTime::now();
        let rows = within(
            sqlx::query(include_str!("move.sql"))
                .bind(numbers(readings.iter().map(|(partition, _)| *partition)))
                .bind(readings.iter().map(|(_, bound)| bound.number()).collect::<Vec<_>>())
                .bind(most_rows)
                .bind(most_bytes)
                .fetch_all(&mut self.connection),
        )
        .await?;
        let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let sight = Sight::from_row(first)?;
        let cut = first.try_get::<Vec<i16>, _>("cut")?.into_iter().map(i16::cast_unsigned).collect();
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            if row.try_get::<Option<i64>, _>("position")?.is_some() {
                let mut event = Event::from_row(&row)?;
                if let Some(trace_parent) = row.try_get::<Option<String>, _>("trace_parent")? {
                    event.hop = hop(&event, &trace_parent, begun);
                }
                events.push(event);
            }
        }
        Ok(Batch { sight, cut, events })
    }
}

/// The step of an event that was moved by a statement that began then.
fn hop(event: &Event, trace_parent: &str, begun: SystemTime) -> Option<Hop> {
    let attributes = [
        Attribute::new("convene.network", event.network.clone()),
        Attribute::new("convene.position", event.position.cast_signed()),
        Attribute::new("convene.recipients", event.recipients.len() as i64),
        Attribute::new("convene.waited_seconds", event.age),
    ];
    let hop = Hop::begin_at(trace_parent, format!("relay {}", event.name), SpanKind::Producer, attributes, begun)?;
    let database = [Attribute::new("db.system.name", "postgresql"), Attribute::new("db.collection.name", "event_log")];
    // Over with the statement: from here on the event is in the log.
    drop(hop.part("move to event_log".to_owned(), SpanKind::Client, database, begun));
    Some(hop)
}

async fn within<T>(statement: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, statement).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Failure::Silent),
    }
}

/// As the database writes them.
fn numbers(partitions: impl Iterator<Item = Partition>) -> Vec<i16> {
    partitions.map(Partition::cast_signed).collect()
}

impl sqlx::FromRow<'_, PgRow> for Sight {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self { xmin: row.try_get("xmin")?, xid: row.try_get("xid")?, last: row.try_get("last")? })
    }
}

impl sqlx::FromRow<'_, PgRow> for Event {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            partition: row.try_get::<i16, _>("partition")?.cast_unsigned(),
            seq: row.try_get("seq")?,
            network: row.try_get("network_id")?,
            epoch: row.try_get("epoch")?,
            position: row.try_get::<i64, _>("position")?.cast_unsigned(),
            name: row.try_get("name")?,
            recipients: row.try_get("recipients")?,
            data: RawValue::from_string(row.try_get("payload")?).ok(),
            age: row.try_get("age")?,
            hop: None,
        })
    }
}
