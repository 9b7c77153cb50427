//! Newer zone data: rule S9. The first start and the end of a recurring session stand in the database as the zone data of whoever
//! wrote them made them. A worker that brings newer data goes over all sessions of each network, a page at a time, and works
//! them out again.
//!
//! Who is at a network, and how far it has come, stands in `social_zone_passes`: one worker at a time, and when it dies
//! another one goes on after [`CLAIM`]. Workers with older data stay away from a network that newer data has been brought to.
//! What they, and workers of an older release, write there meanwhile is found by the next pass, [`PASS_EVERY`].
//!
//! Each session is looked at again under its lock, so it does no harm when two workers are at the same one, or when
//! somebody moves it meanwhile. Those of which nothing changes, nearly all, are marked a page at a time.
//!
//! | metric | what |
//! | --- | --- |
//! | `convene_series_waiting` | sessions that are still to be looked at, as `zoneDataWaiting` in `/readyz` |
//! | `convene_series_moved_total` | weekly sessions that occur at other times by newer zone data |

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use shared::lifecycle::Shutdown;
use sqlx::FromRow;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    context::{Change, Context, Gateway},
    database::Lease,
    error::{Error, Trouble},
    social::{moved, session::Time},
};

/// How often a worker looks whether a network needs it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long after a pass the next one begins, in minutes. It finds what was written by workers that do not know of this version.
const PASS_EVERY: i32 = 5;

/// A worker that has not been heard of for so many seconds is not at it any more. A page takes less.
const CLAIM: f64 = 30.0;

/// Pause before a pass in which something went wrong is made again, in seconds.
const PAUSE_AFTER_TROUBLE: f64 = 10.0;

/// So many sessions are read at once.
const PAGE: i64 = 500;

/// Between two pages the database has as much time for others as the page took, but not more than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// So often a session is tried that others hold.
const TRIES: u32 = 5;

/// More sessions than these are not counted.
const MOST_COUNTED: i64 = 1_000_000;

/// How often it is counted what waits.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Works out what is to be worked out again, until it is to drain.
pub(crate) async fn run(context: Arc<Context>, shutdown: Shutdown) {
    let passes = async {
        loop {
            // What fails is done when the claim has run out.
            if let Err(error) = pass(&context).await {
                tracing::warn!(%error, "cannot work weekly sessions out with this zone data");
            }
            sleep(LOOK_EVERY.mul_f64(rand::random_range(0.5..1.5))).await;
        }
    };
    let counts = async {
        loop {
            // What cannot be counted now is counted the next time.
            if let Ok(waiting) = waiting(&context).await {
                metrics::gauge!("convene_series_waiting").set(waiting as f64);
                context.series_waiting.store(waiting, Ordering::Relaxed);
            }
            sleep(COUNT_EVERY.mul_f64(rand::random_range(0.5..1.5))).await;
        }
    };
    let work = async {
        tokio::join!(passes, counts);
    };
    Box::pin(shutdown.work_until_drained(work)).await;
}

/// How many sessions are still to be looked at with the newest zone data that is known.
async fn waiting(context: &Context) -> Result<i64, Error> {
    let mut lease = Lease::take(&context.background).await?;
    let waiting = sqlx::query_scalar(
        "SELECT count(*) FROM (
             SELECT FROM networks n
             LEFT JOIN social_zone_passes p ON p.network_id = n.id
             CROSS JOIN LATERAL (
                 SELECT FROM social_sessions s
                 WHERE s.network_id = n.id
                     AND s.id > CASE WHEN p.zone_data >= $1 THEN coalesce(p.beyond, $2) ELSE $2 END
             ) s
             WHERE p.zone_data IS NULL OR p.zone_data < $1 OR p.done_at IS NULL
             LIMIT $3) waiting",
    )
    .bind(context.zones.version())
    .bind(Uuid::nil())
    .bind(MOST_COUNTED)
    .fetch_one(lease.connection())
    .await?;
    lease.give_back().await;
    Ok(waiting)
}

/// Goes over the sessions of all networks that need it.
async fn pass(context: &Arc<Context>) -> Result<(), Error> {
    while let Some(claim) = Claim::take(context).await? {
        claim.work(context).await?;
    }
    Ok(())
}

/// A network that this worker is at.
#[derive(Debug, FromRow)]
struct Claim {
    network_id: String,
    claim: Uuid,
    /// Sessions up to this one have been looked at.
    beyond: Uuid,
}

impl Claim {
    /// A network that nobody is at and whose sessions have not been looked at with our zone data, or not for a while.
    async fn take(context: &Context) -> Result<Option<Self>, Error> {
        let mut lease = Lease::take(&context.background).await?;
        let taken = sqlx::query_as(
            "WITH next AS (
                 SELECT n.id FROM networks n
                 LEFT JOIN social_zone_passes p ON p.network_id = n.id
                 WHERE (p.network_id IS NULL OR p.zone_data < $1
                        OR p.zone_data = $1 AND p.claimed_until <= statement_timestamp()
                            AND coalesce(p.beyond IS NOT NULL
                                         OR p.done_at <= statement_timestamp() - make_interval(mins => $2), true))
                     AND EXISTS (SELECT FROM social_sessions s WHERE s.network_id = n.id)
                 -- Two workers look for different ones.
                 ORDER BY random() LIMIT 1
             )
             INSERT INTO social_zone_passes AS p (network_id, zone_data, beyond, claim, claimed_until)
             SELECT id, $1, $3, gen_random_uuid(), statement_timestamp() + make_interval(secs => $4) FROM next
             ON CONFLICT (network_id) DO UPDATE
             SET zone_data = excluded.zone_data, claim = excluded.claim, claimed_until = excluded.claimed_until,
                 beyond = CASE WHEN p.zone_data < $1 THEN $3 ELSE coalesce(p.beyond, $3) END,
                 done_at = CASE WHEN p.zone_data < $1 THEN NULL ELSE p.done_at END
             -- Somebody else may just have taken it.
             WHERE p.zone_data < $1 OR p.zone_data = $1 AND p.claimed_until <= statement_timestamp()
             RETURNING network_id, claim, beyond",
        )
        .bind(context.zones.version())
        .bind(PASS_EVERY)
        .bind(Uuid::nil())
        .bind(CLAIM)
        .fetch_optional(lease.connection())
        .await?;
        lease.give_back().await;
        Ok(taken)
    }

    /// Goes over the network's sessions, until all are done or somebody else is at it.
    async fn work(mut self, context: &Arc<Context>) -> Result<(), Error> {
        let mut has_trouble = false;
        loop {
            let begun = Instant::now();
            let Page { last, left } = read_page(context, &self.network_id, self.beyond).await?;
            for id in left {
                match work_out(context, &self.network_id, id).await {
                    Ok(()) => {}
                    Err(error) => {
                        has_trouble = true;
                        tracing::warn!(session = %id, %error, "a weekly session is not worked out with this zone data yet");
                    }
                }
            }
            match last {
                Some(last) if self.advance(context, last).await? => self.beyond = last,
                Some(_) => return Ok(()),
                None => return self.end(context, has_trouble).await,
            }
            sleep(begun.elapsed().min(LONGEST_PAUSE)).await;
        }
    }

    /// Notes how far it has come. Returns whether nobody else has taken over.
    async fn advance(&self, context: &Context, beyond: Uuid) -> Result<bool, Error> {
        let mut lease = Lease::take(&context.background).await?;
        let noted = sqlx::query(
            "UPDATE social_zone_passes
             SET beyond = $3, claimed_until = statement_timestamp() + make_interval(secs => $4)
             WHERE network_id = $1 AND claim = $2",
        )
        .bind(&self.network_id)
        .bind(self.claim)
        .bind(beyond)
        .bind(CLAIM)
        .execute(lease.connection())
        .await?;
        lease.give_back().await;
        Ok(noted.rows_affected() > 0)
    }

    /// Notes that all have been looked at; what went wrong is done in another pass.
    async fn end(&self, context: &Context, has_trouble: bool) -> Result<(), Error> {
        let mut lease = Lease::take(&context.background).await?;
        sqlx::query(
            "UPDATE social_zone_passes
             SET beyond = CASE WHEN $3 THEN $4 END, done_at = CASE WHEN $3 THEN done_at ELSE statement_timestamp() END,
                 claimed_until = statement_timestamp() + make_interval(secs => CASE WHEN $3 THEN $5 ELSE 0.0::float8 END)
             WHERE network_id = $1 AND claim = $2",
        )
        .bind(&self.network_id)
        .bind(self.claim)
        .bind(has_trouble)
        .bind(Uuid::nil())
        .bind(PAUSE_AFTER_TROUBLE)
        .execute(lease.connection())
        .await?;
        lease.give_back().await;
        Ok(())
    }
}

/// A session, and whether it is to be worked out.
#[derive(Debug, FromRow)]
struct Row {
    id: Uuid,
    event_id: Option<Uuid>,
    sequence: i32,
    is_due: bool,
    #[sqlx(flatten)]
    time: Time,
    /// Its event's end.
    until: Option<DateTime<Utc>>,
}

/// Whether a session `s` is to be worked out by zone data of the version `$2`.
macro_rules! is_due {
    () => {
        "s.is_recurring AND coalesce(s.zone_data < $2
             OR s.zone_data = $2 AND s.zone_data_sequence IS DISTINCT FROM s.sequence, true)"
    };
}

impl Row {
    /// As it is by our zone data, if that knows the zone.
    fn worked_out(&self, context: &Context) -> Option<Time> {
        context.zones.written(&self.time.time_zone)?;
        Some(self.time.worked_out(&context.zones, self.until))
    }

    fn stays(&self, new: &Time) -> bool {
        (new.starts_at, new.ends_at) == (self.time.starts_at, self.time.ends_at)
    }
}

#[derive(Debug)]
struct Page {
    /// The last session of it; `None`: there was none.
    last: Option<Uuid>,
    /// Those that are to be done one by one.
    left: Vec<Uuid>,
}

/// Reads the next sessions of a network, and marks those that nothing changes for.
async fn read_page(context: &Context, network: &str, beyond: Uuid) -> Result<Page, Error> {
    let mut lease = Lease::begin(&context.background).await?;
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "SELECT s.id, s.event_id, s.sequence, s.starts_at, s.seconds, s.is_recurring, s.local_start, s.time_zone, s.ends_at,
                e.ends_at AS until, ",
        is_due!(),
        " AS is_due
         FROM social_sessions s
         LEFT JOIN social_events e ON e.network_id = s.network_id AND e.id = s.event_id
         WHERE s.network_id = $1 AND s.id > $3
         ORDER BY s.id LIMIT $4",
    ))
    .bind(network)
    .bind(context.zones.version())
    .bind(beyond)
    .bind(PAGE)
    .fetch_all(lease.connection())
    .await?;
    let last = rows.last().map(|row| row.id);
    let due = rows.into_iter().filter(|row| row.is_due).filter_map(|row| row.worked_out(context).map(|new| (row, new)));
    let (staying, moving): (Vec<_>, Vec<_>) = due.partition(|(row, new)| row.stays(new));
    let staying: Vec<Row> = staying.into_iter().map(|(row, _)| row).collect();
    let marked = mark(&mut lease, context, network, &staying).await?;
    lease.commit().await?;
    let unmarked = staying.into_iter().map(|row| row.id).filter(|id| !marked.contains(id));
    let mut left: Vec<Uuid> = moving.into_iter().map(|(row, _)| row.id).chain(unmarked).collect();
    left.sort_unstable();
    Ok(Page { last, left })
}

/// Notes that these sessions are right by our zone data. Returns those that nobody held or has changed meanwhile.
async fn mark(lease: &mut Lease, context: &Context, network: &str, rows: &[Row]) -> Result<HashSet<Uuid>, Error> {
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let events: Vec<Uuid> = rows.iter().filter_map(|row| row.event_id).collect();
    let held: Vec<(Uuid, DateTime<Utc>)> = sqlx::query_as(
        "SELECT id, ends_at FROM social_events WHERE network_id = $1 AND id = ANY ($2)
         ORDER BY id FOR KEY SHARE SKIP LOCKED",
    )
    .bind(network)
    .bind(events)
    .fetch_all(lease.connection())
    .await?;
    let held: HashSet<(Uuid, DateTime<Utc>)> = held.into_iter().collect();
    let rows = rows.iter().filter(|row| row.event_id.zip(row.until).is_none_or(|event| held.contains(&event)));
    let (ids, sequences): (Vec<Uuid>, Vec<i32>) = rows.map(|row| (row.id, row.sequence)).unzip();
    let marked: Vec<Uuid> = sqlx::query_scalar(concat!(
        "WITH free AS (
             SELECT s.id FROM social_sessions s
             JOIN unnest($3::uuid[], $4::integer[]) w (id, sequence) ON w.id = s.id AND w.sequence = s.sequence
             WHERE s.network_id = $1 AND ",
        is_due!(),
        " ORDER BY s.id FOR NO KEY UPDATE OF s SKIP LOCKED
         )
         UPDATE social_sessions s SET zone_data = $2, zone_data_sequence = s.sequence
         FROM free WHERE s.network_id = $1 AND s.id = free.id
         RETURNING s.id",
    ))
    .bind(network)
    .bind(context.zones.version())
    .bind(ids)
    .bind(sequences)
    .fetch_all(lease.connection())
    .await?;
    Ok(marked.into_iter().collect())
}

/// Works a session out under its lock, if it still needs it, and tells of it when it has moved.
async fn work_out(context: &Arc<Context>, network: &str, id: Uuid) -> Result<(), Error> {
    let mut tries = 1;
    loop {
        match try_to_work_out(context, network, id).await {
            Err(Error::Database(error)) if tries < TRIES && Trouble::of(&error) == Trouble::Conflict => tries += 1,
            outcome => return outcome,
        }
    }
}

async fn try_to_work_out(context: &Arc<Context>, network: &str, id: Uuid) -> Result<(), Error> {
    let mut change = Change::new(context.clone(), Gateway, Lease::begin(&context.background).await?);
    // The event before its session: neither its end nor the session's time changes until the commit.
    for lock in [
        "SELECT FROM social_events WHERE network_id = $1
             AND id = (SELECT event_id FROM social_sessions WHERE network_id = $1 AND id = $2) FOR KEY SHARE",
        "SELECT FROM social_sessions WHERE network_id = $1 AND id = $2 FOR UPDATE",
    ] {
        sqlx::query(lock).bind(network).bind(id).execute(change.connection()).await?;
    }
    let row: Option<Row> = sqlx::query_as(concat!(
        "SELECT s.id, s.event_id, s.sequence, s.starts_at, s.seconds, s.is_recurring, s.local_start, s.time_zone, s.ends_at,
                e.ends_at AS until, true AS is_due
         FROM social_sessions s
         LEFT JOIN social_events e ON e.network_id = s.network_id AND e.id = s.event_id
         WHERE s.network_id = $1 AND s.id = $3 AND ",
        is_due!(),
    ))
    .bind(network)
    .bind(context.zones.version())
    .bind(id)
    .fetch_optional(change.connection())
    .await?;
    if let Some((row, new)) = row.and_then(|row| row.worked_out(context).map(|new| (row, new))) {
        if row.stays(&new) {
            sqlx::query(
                "UPDATE social_sessions SET zone_data = $3, zone_data_sequence = sequence
                 WHERE network_id = $1 AND id = $2",
            )
            .bind(network)
            .bind(id)
            .bind(context.zones.version())
            .execute(change.connection())
            .await?;
        } else {
            moved::write(&mut change, network, id, &new).await?;
            match moved::tell(&mut change, network, id).await {
                // Nobody can help it here that a session is too large to be told.
                Err(Error::Told(error)) => {
                    tracing::warn!(session = %id, %error, "nobody is told that a session has moved");
                }
                outcome => outcome?,
            }
            change.write_events().await?;
            metrics::counter!("convene_series_moved_total").increment(1);
        }
    }
    // The events are in the outbox; relays look there every second.
    let (lease, _) = change.into_parts();
    lease.commit().await?;
    Ok(())
}
