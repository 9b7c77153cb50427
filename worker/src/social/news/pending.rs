//! News that those who merely joined a session of very many are told later (S11): what waits stands in the database, and
//! whoever serves `social` tells it when it is due, in whatever state the session is then. Very many are told in rounds: some
//! of them in each transaction, so that those who want to join meanwhile are not kept waiting.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use shared::{lifecycle::Shutdown, telemetry::Outage};
use sqlx::PgConnection;
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    context::{Change, Context, Gateway},
    database::Lease,
    error::Error,
    social::{
        crowd::Joined,
        news::{Step, at_once, load},
    },
};

/// They are told at most once in so many seconds.
const PAUSE_SECONDS: f64 = 10.0;

/// How often a worker looks for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A look finds at most so many sessions.
const MOST_SESSIONS: i64 = 100;

/// Whether those who merely joined may be told now. Else they will be told later.
///
/// # Errors
/// The database's.
pub(super) async fn is_due(connection: &mut PgConnection, network: &str, id: Uuid) -> Result<bool, Error> {
    note(connection, network, id, true).await
}

/// Those who merely joined will be told later, as there are too many of them to be told by the way.
///
/// # Errors
/// The database's.
pub(super) async fn put_off(connection: &mut PgConnection, network: &str, id: Uuid) -> Result<(), Error> {
    note(connection, network, id, false).await.map(drop)
}

async fn note(connection: &mut PgConnection, network: &str, id: Uuid, may_be_now: bool) -> Result<bool, Error> {
    Ok(sqlx::query_scalar(
        "INSERT INTO social_news AS n (network_id, session_id, told_at, is_pending)
         VALUES ($1, $2, statement_timestamp() - make_interval(secs => CASE WHEN $4 THEN 0.0::float8 ELSE $3 END), NOT $4)
         ON CONFLICT (network_id, session_id) DO UPDATE
         SET is_pending = NOT $4 OR n.round_joined_at IS NOT NULL
                 OR n.told_at > statement_timestamp() - make_interval(secs => $3),
             is_stale = n.round_joined_at IS NOT NULL,
             told_at = CASE
                 WHEN NOT $4 OR n.round_joined_at IS NOT NULL
                     OR n.told_at > statement_timestamp() - make_interval(secs => $3) THEN n.told_at
                 ELSE statement_timestamp()
             END
         RETURNING NOT is_pending",
    )
    .bind(network)
    .bind(id)
    .bind(PAUSE_SECONDS)
    .bind(may_be_now)
    .fetch_one(connection)
    .await?)
}

/// They have just been told.
///
/// # Errors
/// The database's.
pub(super) async fn forget(connection: &mut PgConnection, network: &str, id: Uuid) -> Result<(), Error> {
    sqlx::query(
        "UPDATE social_news SET is_pending = false, is_stale = false, round_joined_at = NULL, round_user_id = NULL
         WHERE network_id = $1 AND session_id = $2 AND is_pending",
    )
    .bind(network)
    .bind(id)
    .execute(connection)
    .await?;
    Ok(())
}

/// Tells what is due, until it is to drain.
pub(crate) async fn run(context: Arc<Context>, shutdown: Shutdown) {
    let outage = Outage::new();
    let work = async {
        loop {
            sleep(LOOK_EVERY.mul_f64(rand::random_range(0.5..1.5))).await;
            // What fails is still due the next time.
            match tell_due(&context).await {
                Ok(()) => drop(outage.worked()),
                Err(error) => {
                    if let Some(seconds) = outage.failed(&error) {
                        tracing::warn!(%error, seconds, "cannot tell who has joined sessions of many");
                    }
                }
            }
        }
    };
    shutdown.work_until_drained(work).await;
}

async fn tell_due(context: &Arc<Context>) -> Result<(), Error> {
    let mut lease = Lease::take(&context.pool).await?;
    let due: Vec<(String, Uuid)> = sqlx::query_as(
        "SELECT network_id, session_id FROM social_news
         WHERE is_pending
             AND (round_joined_at IS NOT NULL OR told_at <= statement_timestamp() - make_interval(secs => $1))
         ORDER BY told_at LIMIT $2",
    )
    .bind(PAUSE_SECONDS)
    .bind(MOST_SESSIONS)
    .fetch_all(lease.connection())
    .await?;
    lease.give_back().await;
    let mut outcome = Ok(());
    for (network, id) in due {
        // One that is in trouble does not keep the others waiting.
        if let Err(error) = tell_of(context, &network, id).await {
            outcome = Err(error);
        }
    }
    outcome
}

/// Tells of one session, unless somebody else has.
async fn tell_of(context: &Arc<Context>, network: &str, id: Uuid) -> Result<(), Error> {
    while tell_some(context, network, id).await? {}
    Ok(())
}

/// Tells some of those who merely joined, in the order in which they have, and notes how far the round has come: who dies in
/// the middle of it lets another worker go on, and two who are at it share it. Returns whether there are more.
async fn tell_some(context: &Arc<Context>, network: &str, id: Uuid) -> Result<bool, Error> {
    let mut change = Change::new(context.clone(), Gateway, Lease::begin(&context.pool).await?);
    sqlx::query("SELECT FROM social_sessions WHERE network_id = $1 AND id = $2 FOR UPDATE")
        .bind(network)
        .bind(id)
        .execute(change.connection())
        .await?;
    let round: Option<(Option<DateTime<Utc>>, Option<String>)> = sqlx::query_as(
        "SELECT round_joined_at, round_user_id FROM social_news
         WHERE network_id = $1 AND session_id = $2 AND is_pending
             AND (round_joined_at IS NOT NULL OR told_at <= statement_timestamp() - make_interval(secs => $3))",
    )
    .bind(network)
    .bind(id)
    .bind(PAUSE_SECONDS)
    .fetch_optional(change.connection())
    .await?;
    let mut next = None;
    if let Some(round) = round {
        let told = match round {
            (Some(joined_at), Some(user_id)) => Some(Joined { joined_at, user_id }),
            _ => None,
        };
        let (party, _) = load(&mut change, network, id, 0).await?;
        let at_once = at_once(&party, &[]);
        let step = Step::after(change.connection(), &party, told.as_ref()).await?;
        step.tell(&mut change, &party, BTreeSet::new(), |user| !at_once.contains(user)).await?;
        change.write_events().await?;
        next = step.next();
        note_told(change.connection(), network, id, next.as_ref()).await?;
    }
    // The events are in the outbox; relays look there every second.
    let (lease, _) = change.into_parts();
    lease.commit().await?;
    Ok(next.is_some())
}

/// Those up to this one have been told; `None`: everybody has. What has happened since the round began is told in another.
async fn note_told(
    connection: &mut PgConnection,
    network: &str,
    id: Uuid,
    through: Option<&Joined>,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE social_news
         SET told_at = statement_timestamp(), round_joined_at = $3, round_user_id = $4,
             is_pending = $3 IS NOT NULL OR is_stale, is_stale = $3 IS NOT NULL AND is_stale
         WHERE network_id = $1 AND session_id = $2",
    )
    .bind(network)
    .bind(id)
    .bind(through.map(|joined| joined.joined_at))
    .bind(through.map(|joined| joined.user_id.as_str()))
    .execute(connection)
    .await?;
    Ok(())
}
