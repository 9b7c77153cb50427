//! Users who leave a network: what they leave behind there (M7, S3) is given up at once, or, where that is very much, bit by
//! bit in transactions of its own. So no line can be too heavy for its request.

use std::{collections::HashMap, sync::Arc, time::Duration};

use shared::{lifecycle::Shutdown, telemetry::Outage};
use sqlx::FromRow;
use tokio::time::sleep;

use crate::{
    context::{Change, Context, Gateway},
    database::Lease,
    directory::apply::Work,
    error::Error,
    meeting, social,
};

/// A user who is of a network no more.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub(crate) struct Leaver {
    pub(crate) network_id: String,
    pub(crate) user_id: String,
}

/// A request gives up so many portions itself: what all but the busiest users have.
const PORTIONS_AT_ONCE: usize = 4;

/// How often a worker looks for what was left.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One transaction goes on with at most so many users.
const MOST_LEAVERS: i64 = 100;

/// Gives up what the users have in these networks, or remembers that it is still to be done.
///
/// # Errors
/// The database's.
pub(super) async fn begin(work: &mut Work, leavers: &[Leaver]) -> Result<(), Error> {
    if leave(work, leavers, PORTIONS_AT_ONCE).await? {
        return Ok(());
    }
    let (networks, users) = columns(leavers);
    sqlx::query(
        "INSERT INTO meeting_leavers (network_id, user_id) SELECT * FROM unnest($1::text[], $2::text[])
         ON CONFLICT DO NOTHING",
    )
    .bind(networks)
    .bind(users)
    .execute(work.connection())
    .await?;
    Ok(())
}

/// Gives up what the users have: so many portions of each kind. Returns whether that is done.
async fn leave<C>(change: &mut Change<C>, leavers: &[Leaver], portions: usize) -> Result<bool, Error> {
    let meetings = meeting::leave::leave(change, leavers, portions).await?;
    let sessions = social::leave::leave(change, leavers, portions).await?;
    Ok(meetings && sessions)
}

/// Of these users, those who are still leaving, each with his networks. They cannot return to them before they are done:
/// what one is invited to after one's return is not what one has left behind.
///
/// # Errors
/// The database's.
pub(super) async fn still_leaving(work: &mut Work, users: &[&str]) -> Result<HashMap<String, Vec<String>>, Error> {
    let leaving: Vec<(String, Vec<String>)> = sqlx::query_as(
        "SELECT user_id, array_agg(network_id) FROM meeting_leavers WHERE user_id = ANY ($1) GROUP BY user_id",
    )
    .bind(users)
    .fetch_all(work.connection())
    .await?;
    Ok(leaving.into_iter().collect())
}

/// Goes on with what requests have left to do, until it is to drain.
pub(crate) async fn run(context: Arc<Context>, shutdown: Shutdown) {
    let outage = Outage::new();
    let work = async {
        loop {
            sleep(LOOK_EVERY.mul_f64(rand::random_range(0.5..1.5))).await;
            // Anything that fails is still there the next time.
            let outcome = async {
                while finish_some(&context).await? {}
                Ok::<_, Error>(())
            };
            match outcome.await {
                Ok(()) => drop(outage.worked()),
                Err(error) => {
                    if let Some(seconds) = outage.failed(&error) {
                        tracing::warn!(%error, seconds, "cannot give up what users have left behind");
                    }
                }
            }
        }
    };
    shutdown.work_until_drained(work).await;
}

/// One portion of what is left to do, in one transaction. Returns whether there was anything.
async fn finish_some(context: &Arc<Context>) -> Result<bool, Error> {
    let mut lease = Lease::begin(&context.pool).await?;
    let leavers: Vec<Leaver> = sqlx::query_as(
        "SELECT network_id, user_id FROM meeting_leavers ORDER BY left_at LIMIT $1 FOR UPDATE SKIP LOCKED",
    )
    .bind(MOST_LEAVERS)
    .fetch_all(lease.connection())
    .await?;
    if leavers.is_empty() {
        lease.roll_back().await?;
        return Ok(false);
    }
    // The events are in the outbox when `leave` returns; relays look there every second.
    let mut change = Change::new(context.clone(), Gateway, lease);
    let is_done = leave(&mut change, &leavers, 1).await?;
    if is_done {
        let (networks, users) = columns(&leavers);
        sqlx::query(
            "DELETE FROM meeting_leavers WHERE (network_id, user_id) IN (SELECT * FROM unnest($1::text[], $2::text[]))",
        )
        .bind(networks)
        .bind(users)
        .execute(change.connection())
        .await?;
    }
    let (lease, _) = change.into_parts();
    lease.commit().await?;
    Ok(true)
}

fn columns(leavers: &[Leaver]) -> (Vec<&str>, Vec<&str>) {
    leavers.iter().map(|leaver| (leaver.network_id.as_str(), leaver.user_id.as_str())).unzip()
}
