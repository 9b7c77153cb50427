//! News that those who merely joined a session of very many are told later (S11): what waits stands in the database, and
//! whoever serves `social` tells it when it is due, in whatever state the session is then.

use std::{sync::Arc, time::Duration};

use shared::lifecycle::Shutdown;
use sqlx::PgConnection;
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    context::{Change, Context, Gateway},
    database::Lease,
    error::Error,
    social::news::{load, merely_joined, tell},
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
    Ok(sqlx::query_scalar(
        "INSERT INTO social_news AS n (network_id, session_id, told_at, is_pending)
         VALUES ($1, $2, statement_timestamp(), false)
         ON CONFLICT (network_id, session_id) DO UPDATE
         SET is_pending = n.told_at > statement_timestamp() - make_interval(secs => $3),
             told_at = CASE
                 WHEN n.told_at > statement_timestamp() - make_interval(secs => $3) THEN n.told_at
                 ELSE statement_timestamp()
             END
         RETURNING NOT is_pending",
    )
    .bind(network)
    .bind(id)
    .bind(PAUSE_SECONDS)
    .fetch_one(connection)
    .await?)
}

/// They have just been told.
///
/// # Errors
/// The database's.
pub(super) async fn forget(connection: &mut PgConnection, network: &str, id: Uuid) -> Result<(), Error> {
    sqlx::query("UPDATE social_news SET is_pending = false WHERE network_id = $1 AND session_id = $2 AND is_pending")
        .bind(network)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Tells what is due, until it is to drain.
pub(crate) async fn run(context: Arc<Context>, shutdown: Shutdown) {
    let work = async {
        loop {
            sleep(LOOK_EVERY.mul_f64(rand::random_range(0.5..1.5))).await;
            // What fails is still due the next time.
            if let Err(error) = tell_due(&context).await {
                tracing::warn!(%error, "cannot tell who has joined sessions of many");
            }
        }
    };
    shutdown.work_until_drained(work).await;
}

async fn tell_due(context: &Arc<Context>) -> Result<(), Error> {
    let mut lease = Lease::take(&context.pool).await?;
    let due: Vec<(String, Uuid)> = sqlx::query_as(
        "SELECT network_id, session_id FROM social_news
         WHERE is_pending AND told_at <= statement_timestamp() - make_interval(secs => $1)
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
    let mut change = Change::new(context.clone(), Gateway, Lease::begin(&context.pool).await?);
    sqlx::query("SELECT FROM social_sessions WHERE network_id = $1 AND id = $2 FOR UPDATE")
        .bind(network)
        .bind(id)
        .execute(change.connection())
        .await?;
    let told = sqlx::query(
        "UPDATE social_news SET is_pending = false, told_at = statement_timestamp()
         WHERE network_id = $1 AND session_id = $2 AND is_pending
             AND told_at <= statement_timestamp() - make_interval(secs => $3)",
    )
    .bind(network)
    .bind(id)
    .bind(PAUSE_SECONDS)
    .execute(change.connection())
    .await?;
    if told.rows_affected() > 0 {
        let party = load(change.connection(), network, id).await?;
        let recipients = merely_joined(&party);
        tell(&mut change, &party, recipients).await?;
        change.write_events().await?;
    }
    // The events are in the outbox; relays look there every second.
    let (lease, _) = change.into_parts();
    lease.commit().await?;
    Ok(())
}
