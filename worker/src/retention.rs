//! Removing what has been kept long enough.
//!
//! | what | kept for |
//! | --- | --- |
//! | events | `event-retention`; each network's newest one always, as it is the network's head (I4) |
//! | answers of requests that were done | `retry-retention` |
//! | revoked sessions | 30 days, longer than any token of theirs is taken |
//! | invitations of outsiders | until they expire |
//! | what outsiders were sent, or were to be | 30 days, and as long after its session |
//! | who has invited outsiders lately | an hour |
//!
//! Every worker tries now and then; an advisory lock lets one of them at a time. Everything goes in small transactions that
//! lock nothing but the rows they remove, pass over what others have locked, and leave the database as much time as they
//! took. A batch begins where the one before it ended: what was removed stays in the indexes as long as somebody's old
//! snapshot could see it, and would else be read again each time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};
use serde::Deserialize;
use shared::{lifecycle::Shutdown, telemetry::Outage};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    database::{Lease, Pool},
    social::outsiders::{self, End, News},
};

/// How often a worker tries, unless something is kept for a short time only.
const PASS_EVERY: Duration = Duration::from_secs(300);

/// The shortest time between two attempts.
const PASS_AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// Revoked sessions are kept for so long.
const REVOCATIONS: Duration = Duration::from_secs(30 * 24 * 3600);

/// What outsiders were sent is kept for so long, and as long after its session. Migration 0008 says it, too.
const MESSAGES: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long ago a user's invitations of outsiders still count (S10).
const INVITERS: Duration = Duration::from_secs(3600);

/// Advisory lock of the one who removes; taken for one transaction.
const LOCK: i64 = 0x636f_6e76_656e_6503;

/// One transaction removes at most so many rows, not counting recipients …
const MOST_ROWS: i64 = 1000;

/// … and events of so many bytes, as [`crate::outbox`] measures them.
const MOST_BYTES: i64 = 1024 * 1024;

/// The pause after a transaction is as long as it took, but no longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Removes the rows of a table by age: `$1` seconds old, at most `$2` of them, from the time `$3` on. Says how far it came, how
/// many it saw, how many are gone, and which messages would have been sent: none.
macro_rules! remove_older {
    ($table:literal, $at:literal) => {
        concat!(
            "WITH old AS (
                 SELECT ctid AS place, ",
            $at,
            " AS at FROM ",
            $table,
            "
                 WHERE ",
            $at,
            " >= $3 AND ",
            $at,
            " < now() - make_interval(secs => $1)
                 ORDER BY ",
            $at,
            " LIMIT $2
                 FOR UPDATE SKIP LOCKED
             ), gone AS (
                 DELETE FROM ",
            $table,
            " WHERE ctid = ANY (ARRAY(SELECT place FROM old)) RETURNING 1
             )
             SELECT max(at), count(*), (SELECT count(*) FROM gone), '[]' FROM old"
        )
    };
}

const ANSWERS: &str = remove_older!("done_requests", "done_at");
const REVOKED_SESSIONS: &str = remove_older!("revoked_sessions", "revoked_at");
const INVITATIONS: &str = remove_older!("social_outsiders", "expires_at");
const INVITED_LATELY: &str = remove_older!("social_inviters", "last_at");

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
    /// What outsiders were sent.
    pub messages: u64,
    /// Users who have invited outsiders.
    pub inviters: u64,
}

/// Removes now and then what has been kept long enough, until it is to drain.
pub async fn run(pool: Pool, retention: Retention, shutdown: Shutdown) {
    let every = retention.events.min(retention.retries).div_f64(10.0).clamp(PASS_AT_MOST_EVERY, PASS_EVERY);
    let outage = Outage::new();
    let work = async {
        loop {
            // Not all workers at once, although they may all have been started at once.
            sleep(every.mul_f64(rand::random_range(0.5..1.5))).await;
            let outcome = pass(&pool, retention).await;
            if outcome.is_ok() {
                outage.worked();
            }
            match outcome {
                Ok(removed) if removed == Removed::default() => {}
                Ok(Removed { events, retries, revocations, invitations, messages, inviters }) => {
                    tracing::info!(
                        events,
                        retries,
                        revocations,
                        invitations,
                        messages,
                        inviters,
                        "removed what was kept long enough"
                    );
                }
                Err(error) => {
                    metrics::counter!("convene_retention_failures_total").increment(1);
                    if let Some(seconds) = outage.failed(&error) {
                        tracing::warn!(%error, seconds, "cannot remove what was kept long enough");
                    }
                }
            }
        }
    };
    shutdown.work_until_drained(work).await;
}

/// Removes everything that has been kept long enough, as far as nobody else is at it.
///
/// # Errors
/// The database's first one. What was removed before stays removed, and what fails keeps nothing else from being removed.
pub async fn pass(pool: &Pool, retention: Retention) -> Result<Removed, sqlx::Error> {
    let mut removed = Removed::default();
    let events = remove_events(pool, retention.events, &mut removed.events).await;
    let plain: [(&str, &'static str, Duration, &mut u64); 5] = [
        ("done_requests", ANSWERS, retention.retries, &mut removed.retries),
        ("revoked_sessions", REVOKED_SESSIONS, REVOCATIONS, &mut removed.revocations),
        ("social_outsiders", INVITATIONS, Duration::ZERO, &mut removed.invitations),
        ("social_messages", include_str!("retention/messages.sql"), MESSAGES, &mut removed.messages),
        ("social_inviters", INVITED_LATELY, INVITERS, &mut removed.inviters),
    ];
    let mut outcome = events;
    for (table, statement, kept_for, count) in plain {
        let done = remove_rows(pool, table, statement, kept_for, count).await;
        outcome = outcome.and_then(|before| done.map(|now| before & now));
    }
    // Else somebody else was at it, and says so.
    if outcome? {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        metrics::gauge!("convene_retention_last_success_timestamp_seconds").set(now.as_secs_f64());
    }
    Ok(removed)
}

/// Removes rows of a table by a statement as those above, adding to `removed`. Returns whether none is left.
async fn remove_rows(
    pool: &Pool,
    table: &'static str,
    statement: &'static str,
    kept_for: Duration,
    removed: &mut u64,
) -> Result<bool, sqlx::Error> {
    let mut from = DateTime::<Utc>::UNIX_EPOCH;
    loop {
        let begun = Instant::now();
        let Some(mut lease) = begin(pool).await? else { return Ok(false) };
        let (last, seen, gone, unsent): (Option<DateTime<Utc>>, i64, i64, String) = sqlx::query_as(statement)
            .bind(kept_for.as_secs_f64())
            .bind(MOST_ROWS)
            .bind(from)
            .fetch_one(lease.connection())
            .await?;
        lease.commit().await?;
        count(table, gone, removed);
        note(&unsent);
        match last {
            Some(last) if seen == MOST_ROWS => from = last,
            _ => return Ok(true),
        }
        pause(begun).await;
    }
}

/// A message that was removed before it was sent.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unsent {
    kind: i16,
    session: Uuid,
    attempts: u32,
    is_change: bool,
    is_cancellation: bool,
    is_missed: bool,
}

fn note(unsent: &str) {
    // Our own JSON, just made.
    for Unsent { kind, session, attempts, is_change, is_cancellation, is_missed } in
        serde_json::from_str::<Vec<Unsent>>(unsent).unwrap_or_default()
    {
        let news = News::of(is_cancellation, is_change);
        let end = if is_missed {
            End::GivenUp("it has waited for too long".to_owned())
        } else {
            End::Withdrawn("the invitation was claimed, taken back, or has expired")
        };
        outsiders::Unsent { kind, news, session, attempts, end }.note();
    }
}

/// As [`remove_rows`].
async fn remove_events(pool: &Pool, kept_for: Duration, removed: &mut u64) -> Result<bool, sqlx::Error> {
    // Heads are old and stay: each pass goes over them once.
    let mut beyond = (DateTime::<Utc>::UNIX_EPOCH, String::new(), 0_i64);
    loop {
        let begun = Instant::now();
        let Some(mut lease) = begin(pool).await? else { return Ok(false) };
        let last: Option<(DateTime<Utc>, String, i64, i64)> = sqlx::query_as(include_str!("retention/events.sql"))
            .bind(kept_for.as_secs_f64())
            .bind(beyond.0)
            .bind(beyond.1)
            .bind(beyond.2)
            .bind(MOST_ROWS)
            .bind(MOST_BYTES)
            .fetch_optional(lease.connection())
            .await?;
        lease.commit().await?;
        let Some((moved_at, network, position, gone)) = last else { return Ok(true) };
        count("event_log", gone, removed);
        beyond = (moved_at, network, position);
        pause(begun).await;
    }
}

fn count(table: &'static str, gone: i64, removed: &mut u64) {
    metrics::counter!("convene_retention_removed_total", "table" => table).increment(gone.cast_unsigned());
    *removed += gone.cast_unsigned();
}

/// Leaves the database as much time for others as was taken, whatever is still to be removed.
async fn pause(begun: Instant) {
    sleep(begun.elapsed().min(LONGEST_PAUSE)).await;
}

/// A transaction of the one who removes; `None` while that is somebody else.
async fn begin(pool: &Pool) -> Result<Option<Lease>, sqlx::Error> {
    let mut lease = Lease::begin(pool).await?;
    let is_ours: bool =
        sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)").bind(LOCK).fetch_one(lease.connection()).await?;
    if !is_ours {
        lease.roll_back().await?;
        return Ok(None);
    }
    // Few rows of large tables, found by their indexes whatever ANALYZE has last seen of them. Nobody waits for it, so it
    // may take its time where the rows have to come from a disk.
    sqlx::raw_sql(
        "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off;
         SET LOCAL jit = off; SET LOCAL statement_timeout = '60s'",
    )
    .execute(lease.connection())
    .await?;
    Ok(Some(lease))
}
