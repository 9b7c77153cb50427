//! Runs one request: its connection, its transaction, and as many attempts as its time allows.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rand::Rng as _;
use shared::{
    api::{MAX_ANSWER_BYTES, success_body},
    bus::{Headers, Subject},
    internal::{Control, Partition},
};
use sqlx::PgConnection;
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    context::{Change, Context, Effects, Read, to_json},
    database::{self, Lease},
    error::{Error, Trouble, is_read_only},
    outbox,
    retry::{Begun, Once},
    router::{ChangeHandle, ReadHandle, Route},
    shares::Share,
};

/// Pause before a request is done afresh that others were in the way of. Random, so that two do not meet again.
const PAUSE: std::ops::Range<Duration> = Duration::from_millis(10)..Duration::from_millis(100);

/// Does a request and returns the body of its answer.
///
/// # Errors
/// What the handler or the database says; 504 at the deadline, when nothing was done or it is in doubt.
pub(crate) async fn run<C: Clone>(
    context: &Arc<Context>,
    share: &Share,
    route: &Route<C>,
    caller: &C,
    once: Option<&Once>,
    data: &[u8],
    deadline: Instant,
) -> Result<String, Error> {
    timeout_at(deadline, attempts(context, share, route, caller, once, data))
        .await
        .unwrap_or_else(|_| Err(Error::deadline_exceeded()))
}

async fn attempts<C: Clone>(
    context: &Arc<Context>,
    share: &Share,
    route: &Route<C>,
    caller: &C,
    once: Option<&Once>,
    data: &[u8],
) -> Result<String, Error> {
    let mut stale = 0;
    let mut is_renewed = false;
    loop {
        let outcome = match route {
            Route::Read(handle) => read(context, share, handle, caller.clone(), data).await,
            Route::Change(handle) => change(context, share, handle, caller.clone(), once, data).await,
        };
        match outcome {
            Err(Error::Database(error)) => match Trouble::of(&error) {
                Trouble::Conflict => {
                    let pause = rand::rng().random_range(PAUSE);
                    sleep(pause).await;
                }
                // Perhaps to another server.
                Trouble::Away if is_read_only(&error) && !is_renewed => {
                    context.pool.manager().renew_now_and_then();
                    is_renewed = true;
                }
                Trouble::Away if is_read_only(&error) => return Err(Error::Database(error)),
                // After a restart of the database every connection of the pool is stale, and each is found so once.
                Trouble::Away if stale < database::pool_size() && !matches!(error, sqlx::Error::PoolTimedOut) => {
                    stale += 1;
                }
                _ => return Err(Error::Database(error)),
            },
            outcome => return outcome,
        }
    }
}

async fn read<C>(
    context: &Arc<Context>,
    share: &Share,
    handle: &ReadHandle<C>,
    caller: C,
    data: &[u8],
) -> Result<String, Error> {
    let mut read = Read::new(context.clone(), caller, share.take().await?);
    let outcome = handle(&mut read, data).await;
    let lease = read.into_lease();
    // What the database has refused, or no longer answers, is closed.
    if !matches!(outcome, Err(Error::Database(_))) {
        lease.give_back().await;
    }
    bounded_body(&outcome?)
}

async fn change<C>(
    context: &Arc<Context>,
    share: &Share,
    handle: &ChangeHandle<C>,
    caller: C,
    once: Option<&Once>,
    data: &[u8],
) -> Result<String, Error> {
    let mut lease = share.begin().await?;
    if let Some(once) = once {
        match once.begin(lease.connection()).await {
            Ok(Begun::First) => {}
            Ok(Begun::Done(answer)) => {
                lease.roll_back().await?;
                return bounded_body(&answer);
            }
            Err(error) => return roll_back(lease, error).await,
        }
    }
    let mut change = Change::new(context.clone(), caller, lease);
    let outcome = handle(&mut change, data).await;
    let (mut lease, effects) = change.into_parts();
    let sealed = match outcome {
        Ok(answer) => seal(lease.connection(), once, &effects, &answer).await,
        Err(error) => Err(error),
    };
    match sealed {
        Ok((body, partitions)) => {
            lease.commit().await.map_err(at_commit)?;
            tell(context, partitions, effects.announcements).await;
            Ok(body)
        }
        Err(error) => roll_back(lease, error).await,
    }
}

/// What belongs into the transaction beside the change itself: the outbox rows and the record of the answer. Returns the
/// body of the answer and the partitions to wake.
async fn seal(
    connection: &mut PgConnection,
    once: Option<&Once>,
    effects: &Effects,
    answer: &str,
) -> Result<(String, BTreeSet<Partition>), Error> {
    let body = bounded_body(answer)?;
    let mut partitions = outbox::insert(connection, &effects.emissions).await?;
    partitions.extend(&effects.partitions);
    match once {
        Some(once) => once.finish(connection, answer).await?,
        // PostgreSQL answers the commit of a failed transaction as if it were fine, and rolls back. A handler that
        // overlooked an error must not be told that all is done: any statement finds out.
        None if effects.emissions.is_empty() => {
            sqlx::query("SELECT 1").execute(connection).await?;
        }
        None => {}
    }
    Ok((body, partitions))
}

/// Ends a transaction whose request has failed.
async fn roll_back<T>(lease: Lease, error: Error) -> Result<T, Error> {
    if let Err(error) = lease.roll_back().await {
        tracing::debug!(%error, "a transaction could not be rolled back: its connection is gone, and so is it");
    }
    Err(error)
}

/// Only what the server says of the commit itself is certain; when it says nothing, or that it goes, nobody knows.
fn at_commit(error: sqlx::Error) -> Error {
    match Trouble::of(&error) {
        Trouble::Away => Error::InDoubt(error),
        Trouble::Conflict | Trouble::Slow | Trouble::Fault => Error::Database(error),
    }
}

/// The body of an answer, unless it is too large for one.
fn bounded_body(answer: &str) -> Result<String, Error> {
    let body = success_body(answer);
    if body.len() > MAX_ANSWER_BYTES {
        let size = body.len();
        return Err(Error::too_large(format!(
            "the answer would have {size} bytes, the limit is {MAX_ANSWER_BYTES}: ask for less at once"
        )));
    }
    Ok(body)
}

/// Tells those who wait for it that something was committed. What is lost here is found without it: relays look every
/// second, gateways ask at every beat.
async fn tell(context: &Context, partitions: BTreeSet<Partition>, announcements: Vec<Control>) {
    for partition in partitions {
        if let Err(error) = context.bus.publish(Subject::wake(partition), Headers::new(), "").await {
            tracing::debug!(%error, partition, "a relay was not woken");
        }
    }
    for control in announcements {
        let published = match to_json(&control) {
            Ok(json) => context.bus.publish(Subject::control_all(), Headers::new(), json).await,
            Err(error) => return tracing::error!(%error, "an announcement cannot be written"),
        };
        if let Err(error) = published {
            tracing::debug!(%error, "gateways were not told");
        }
    }
}
