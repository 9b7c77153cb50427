//! Removing what has been kept long enough.
//!
//! | what | kept for |
//! | --- | --- |
//! | events | `event-retention`; each network's newest one always, as it is the network's head (I4) |
//! | answers of requests that were done | `retry-retention` |
//! | revoked sessions | 30 days, longer than any token of theirs is taken |
//! | invitations of outsiders | until they expire |
//! | who has invited outsiders lately | an hour |
//!
//! Every worker tries now and then; an advisory lock lets one of them at a time. Everything goes in small transactions that
//! lock nothing but the rows they remove.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::lifecycle::Shutdown;
use sqlx::{PgPool, Postgres, Transaction};
use tokio::time::sleep;

/// How often a worker tries, unless something is kept for a short time only.
const PASS_EVERY: Duration = Duration::from_secs(300);

/// The shortest time between two attempts.
const PASS_AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// Revoked sessions are kept for so long.
const REVOCATIONS: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long ago a user's invitations of outsiders still count (S10).
const INVITERS: Duration = Duration::from_secs(3600);

/// Advisory lock of the one who removes; taken for one transaction.
const LOCK: i64 = 0x636f_6e76_656e_6503;

/// One transaction removes at most so many rows, not counting recipients …
const MOST_ROWS: i64 = 1000;

/// … and events of so many bytes, as [`crate::outbox`] measures them.
const MOST_BYTES: i64 = 1024 * 1024;

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Events.
    pub events: Duration,
    /// Answers of requests that were done.
    pub retries: Duration,
}

/// How many rows a pass has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Events.
    pub events: u64,
    /// Answers.
    pub retries: u64,
    /// Revoked sessions.
    pub revocations: u64,
    /// Invitations of outsiders.
    pub invitations: u64,
    /// Users who have invited outsiders.
    pub inviters: u64,
}

/// Removes now and then what has been kept long enough, until it is to drain.
pub async fn run(pool: PgPool, retention: Retention, shutdown: Shutdown) {
    let every = retention.events.min(retention.retries).div_f64(10.0).clamp(PASS_AT_MOST_EVERY, PASS_EVERY);
    let work = async {
        loop {
            // Not all workers at once, although they may all have been started at once.
            sleep(every.mul_f64(rand::random_range(0.5..1.5))).await;
            match pass(&pool, retention).await {
                Ok(removed) if removed == Removed::default() => {}
                Ok(Removed { events, retries, revocations, invitations, inviters }) => {
                    tracing::info!(
                        events,
                        retries,
                        revocations,
                        invitations,
                        inviters,
                        "removed what was kept long enough"
                    );
                }
                Err(error) => tracing::warn!(%error, "cannot remove what was kept long enough"),
            }
        }
    };
    shutdown.work_until_drained(work).await;
}

/// Removes everything that has been kept long enough, unless somebody else is at it.
///
/// # Errors
/// The database's; what was removed before stays removed.
pub async fn pass(pool: &PgPool, retention: Retention) -> Result<Removed, sqlx::Error> {
    let mut removed = Removed { events: remove_events(pool, retention.events).await?, ..Removed::default() };
    removed.retries = remove_rows(
        pool,
        "DELETE FROM done_requests WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM done_requests WHERE done_at < now() - make_interval(secs => $1) ORDER BY done_at LIMIT $2
         ))",
        retention.retries,
    )
    .await?;
    removed.revocations = remove_rows(
        pool,
        "DELETE FROM revoked_sessions WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM revoked_sessions WHERE revoked_at < now() - make_interval(secs => $1)
             ORDER BY revoked_at LIMIT $2
         ))",
        REVOCATIONS,
    )
    .await?;
    // These rows are also changed: one that others have just made younger stays.
    removed.invitations = remove_rows(
        pool,
        "DELETE FROM social_outsiders WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM social_outsiders WHERE expires_at < now() - make_interval(secs => $1)
             ORDER BY expires_at LIMIT $2
         )) AND expires_at < now() - make_interval(secs => $1)",
        Duration::ZERO,
    )
    .await?;
    removed.inviters = remove_rows(
        pool,
        "DELETE FROM social_inviters WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM social_inviters WHERE last_at < now() - make_interval(secs => $1)
             ORDER BY last_at LIMIT $2
         )) AND last_at < now() - make_interval(secs => $1)",
        INVITERS,
    )
    .await?;
    Ok(removed)
}

async fn remove_rows(pool: &PgPool, delete: &'static str, kept_for: Duration) -> Result<u64, sqlx::Error> {
    let mut removed = 0;
    loop {
        let Some(mut transaction) = begin(pool).await? else { return Ok(removed) };
        let done = sqlx::query(delete).bind(kept_for.as_secs_f64()).bind(MOST_ROWS).execute(&mut *transaction).await?;
        transaction.commit().await?;
        removed += done.rows_affected();
        if done.rows_affected() < MOST_ROWS.cast_unsigned() {
            return Ok(removed);
        }
    }
}

async fn remove_events(pool: &PgPool, kept_for: Duration) -> Result<u64, sqlx::Error> {
    let mut removed = 0;
    // Heads are old and stay: each pass goes over them once.
    let mut beyond = (DateTime::<Utc>::UNIX_EPOCH, String::new(), 0_i64);
    loop {
        let Some(mut transaction) = begin(pool).await? else { return Ok(removed) };
        let last: Option<(DateTime<Utc>, String, i64, i64)> = sqlx::query_as(include_str!("retention/events.sql"))
            .bind(kept_for.as_secs_f64())
            .bind(beyond.0)
            .bind(beyond.1)
            .bind(beyond.2)
            .bind(MOST_ROWS)
            .bind(MOST_BYTES)
            .fetch_optional(&mut *transaction)
            .await?;
        transaction.commit().await?;
        let Some((moved_at, network, position, gone)) = last else { return Ok(removed) };
        removed += gone.cast_unsigned();
        beyond = (moved_at, network, position);
    }
}

/// A transaction of the one who removes; `None` while that is somebody else.
async fn begin(pool: &PgPool) -> Result<Option<Transaction<'static, Postgres>>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let is_ours: bool =
        sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(LOCK).fetch_one(&mut *transaction).await?;
    if !is_ours {
        return Ok(None);
    }
    // Few rows of large tables, found by their indexes whatever ANALYZE has last seen of them. Nobody waits for it, so it
    // may take its time where the rows have to come from a disk.
    sqlx::raw_sql(
        "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;
         SET LOCAL jit = off; SET LOCAL statement_timeout = '60s'",
    )
    .execute(&mut *transaction)
    .await?;
    Ok(Some(transaction))
}
