//! What must hold when all is well again and quiet.

mod database;
mod events;
mod history;
mod log;
mod pods;

use std::{sync::Arc, time::Duration};

use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

use self::{history::History, log::Log};
use super::{
    ledger::Ledger,
    leg::{Leg, position},
    session::Session,
    tally::Tally,
    world::{PATIENCE, World},
};
pub(super) use events::Received;

/// Judges everything, and says what was received.
pub(super) async fn judge(
    world: &World,
    sessions: &[Arc<Session>],
    ledger: &Ledger,
    tally: &Tally,
    waits_for_expiry: bool,
) -> Received {
    let mut database = world.stack.database().await;
    wait_for_quiet(&mut database, sessions, tally).await;
    let mut history = History::new(ledger);
    let log = Log::read(&mut database, tally, |row| history.add(row)).await;
    history.judge(ledger, tally);
    let received = events::judge(sessions, &log, tally);
    database::judge(&mut database, ledger, tally).await;
    pods::judge(world, &mut database, sessions, tally, waits_for_expiry).await;
    received
}

/// Waits until every session has one socket, which at the latest a beat (20 s) brings about, and which has received all that the log has for its user.
async fn wait_for_quiet(database: &mut PgConnection, sessions: &[Arc<Session>], tally: &Tally) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let unrest = unrest(database, sessions).await;
        if unrest.is_empty() {
            return;
        }
        if Instant::now() > deadline {
            return tally.blame(format!("{PATIENCE:?} after the last answer it is not quiet: {unrest:?}"));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn unrest(database: &mut PgConnection, sessions: &[Arc<Session>]) -> Vec<String> {
    let waiting: i64 =
        sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(&mut *database).await.expect("a number");
    let mut unrest = Vec::new();
    if waiting > 0 {
        unrest.push(format!("{waiting} rows wait in the outbox"));
    }
    let newest: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT network_id, user_id, max(position) FROM event_recipients GROUP BY 1, 2")
            .fetch_all(database)
            .await
            .expect("the newest positions");
    for session in sessions {
        let newest = newest.iter().find(|(network, user, _)| (network, user) == (&session.network, &session.user));
        let newest = newest.map_or(0, |(_, _, position)| *position);
        match &session.open_legs()[..] {
            [leg] if place_of(leg) >= Some(newest) => (),
            [leg] => unrest.push(format!("{session} is at {:?} and not at {newest}", place_of(leg))),
            legs => unrest.push(format!("{session} has {} sockets", legs.len())),
        }
    }
    unrest
}

/// The position up to which a socket has received everything.
fn place_of(leg: &Leg) -> Option<i64> {
    let record = leg.record();
    let begun = record.place.as_deref().map(|place| position(place).1);
    record.events.last().map(|seen| seen.position).or(begun)
}
