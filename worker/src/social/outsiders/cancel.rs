//! Telling outsiders that a session is deleted, or that they are not invited any more: rules S10, I2.

use std::collections::BTreeSet;

use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    context::{Change, to_json},
    error::Error,
    social::{
        address::Address,
        outsiders::{
            ending::{End, Unsent},
            occasion::{Cancelled, Occasion},
            words::News,
        },
    },
};

/// Lets those who were sent an invitation to these sessions, which are locked and about to be deleted, be told that they are no
/// more. What was not sent yet is not sent any more; of what is over nobody is told.
///
/// # Errors
/// The database's.
pub(crate) async fn cancel<C>(change: &mut Change<C>, network: &str, ids: &[Uuid]) -> Result<(), Error> {
    // Locked: whose message is just being taken would else be passed over.
    let mut told: Vec<Uuid> = sqlx::query_scalar(
        "SELECT session_id FROM social_messages WHERE network_id = $1 AND session_id = ANY ($2)
         ORDER BY session_id, kind, address
         FOR UPDATE",
    )
    .bind(network)
    .bind(ids)
    .fetch_all(change.connection())
    .await?;
    told.dedup();
    if told.is_empty() {
        return Ok(());
    }
    let networks = vec![network; told.len()];
    let mut texts = Vec::new();
    let mut sessions = Vec::new();
    let zones = change.context().zones.clone();
    for occasion in Occasion::load(change.connection(), &zones, &networks, &told).await? {
        if occasion.is_over {
            continue;
        }
        sessions.push(occasion.session_id);
        texts.push(to_json(&Cancelled::of(occasion, false))?);
    }
    let dropped: Vec<Dropped> = sqlx::query_as(
        // What is just being sent is told afterwards.
        "WITH w AS (SELECT * FROM unnest($3::uuid[], $4::text[]) w (session_id, text)),
              told AS (
             UPDATE social_messages m
             SET cancelled = w.text, message_id = CASE WHEN lease IS NULL THEN gen_random_uuid() ELSE message_id END,
                 attempts = 0, first_attempt_at = NULL,
                 due_at = CASE WHEN lease IS NULL THEN statement_timestamp() ELSE due_at END
             FROM w
             WHERE m.network_id = $1 AND m.session_id = w.session_id AND (m.sent_at IS NOT NULL OR m.lease IS NOT NULL)
         )
         DELETE FROM social_messages m
         WHERE m.network_id = $1 AND m.session_id = ANY ($2)
             AND NOT (m.session_id = ANY ($3) AND (m.sent_at IS NOT NULL OR m.lease IS NOT NULL))
         RETURNING kind, session_id, attempts, due_at IS NOT NULL AS was_due, sent_at IS NOT NULL AS is_change,
                   cancelled IS NOT NULL AS is_cancellation",
    )
    .bind(network)
    .bind(told)
    .bind(sessions)
    .bind(texts)
    .fetch_all(change.connection())
    .await?;
    for dropped in dropped.into_iter().filter(|dropped| dropped.was_due) {
        dropped.into_unsent().note();
    }
    Ok(())
}

/// A message that was deleted with its session.
#[derive(Debug, FromRow)]
struct Dropped {
    kind: i16,
    session_id: Uuid,
    attempts: i32,
    was_due: bool,
    is_change: bool,
    is_cancellation: bool,
}

impl Dropped {
    fn into_unsent(self) -> Unsent {
        let Self { kind, session_id, attempts, is_change, is_cancellation, .. } = self;
        Unsent {
            kind,
            news: News::of(is_cancellation, is_change),
            session: session_id,
            attempts: attempts.unsigned_abs(),
            end: End::Withdrawn("the session was deleted"),
        }
    }
}

/// Takes back the invitations of these addresses to a session that is locked. Their links are worth nothing from then on. Those
/// who were sent one are told at once; what else is still to be sent to them is found to be nothing when its time has come.
///
/// # Errors
/// The database's.
pub(crate) async fn remove(change: &mut Change, id: Uuid, addresses: &[Address]) -> Result<(), Error> {
    if addresses.is_empty() {
        return Ok(());
    }
    let network = change.session().network.clone();
    let (kinds, texts): (Vec<i16>, Vec<String>) =
        addresses.iter().flat_map(|address| address.forms().into_iter().map(|form| (address.kind(), form))).unzip();
    // In this order also those who send lock the rows of an address.
    let told: BTreeSet<(i16, String)> = sqlx::query_as::<_, (i16, String, bool)>(
        "SELECT kind, address, sent_at IS NOT NULL OR lease IS NOT NULL FROM social_messages
         WHERE network_id = $1 AND session_id = $2
             AND (kind, address) IN (SELECT * FROM unnest($3::smallint[], $4::text[]))
         ORDER BY kind, address
         FOR NO KEY UPDATE",
    )
    .bind(&network)
    .bind(id)
    .bind(&kinds)
    .bind(&texts)
    .fetch_all(change.connection())
    .await?
    .into_iter()
    .filter_map(|(kind, address, is_told)| is_told.then_some((kind, address)))
    .collect();
    let removed: Vec<(i16, String)> = sqlx::query_as(
        "DELETE FROM social_outsiders
         WHERE network_id = $1 AND session_id = $2
             AND (kind, address) IN (SELECT * FROM unnest($3::smallint[], $4::text[]))
         RETURNING kind, address",
    )
    .bind(&network)
    .bind(id)
    .bind(&kinds)
    .bind(&texts)
    .fetch_all(change.connection())
    .await?;
    let told: Vec<(i16, String)> = removed.into_iter().filter(|removed| told.contains(removed)).collect();
    withdraw(change, &network, id, told).await
}

/// Lets these be told that they are not invited any more; not where the session is over.
async fn withdraw(change: &mut Change, network: &str, id: Uuid, told: Vec<(i16, String)>) -> Result<(), Error> {
    if told.is_empty() {
        return Ok(());
    }
    let zones = change.context().zones.clone();
    let occasion = Occasion::load(change.connection(), &zones, &[network], &[id]).await?.pop();
    let Some(occasion) = occasion.filter(|occasion| !occasion.is_over) else { return Ok(()) };
    let (kinds, addresses): (Vec<i16>, Vec<String>) = told.into_iter().unzip();
    sqlx::query(
        // One step for the cancellation, which is newer than whatever was sent before, and one for an invitation after it, which
        // must be newer again.
        "WITH raised AS (
             UPDATE social_sessions
             SET sequence = sequence + 2,
                 -- When it occurs was not touched (S9).
                 zone_data_sequence = CASE WHEN zone_data_sequence = sequence THEN sequence + 2 ELSE zone_data_sequence END
             WHERE network_id = $1 AND id = $2
         )
         UPDATE social_messages m
         SET cancelled = $5, message_id = CASE WHEN lease IS NULL THEN gen_random_uuid() ELSE message_id END,
             attempts = 0, first_attempt_at = NULL, is_moved = false,
             -- What is just being sent is taken back afterwards; what waits is not sent any more.
             due_at = CASE WHEN lease IS NULL THEN statement_timestamp() ELSE due_at END
         WHERE network_id = $1 AND session_id = $2
             AND (kind, address) IN (SELECT * FROM unnest($3::smallint[], $4::text[]))",
    )
    .bind(network)
    .bind(id)
    .bind(kinds)
    .bind(addresses)
    .bind(to_json(&Cancelled::of(occasion, true))?)
    .execute(change.connection())
    .await?;
    Ok(())
}
