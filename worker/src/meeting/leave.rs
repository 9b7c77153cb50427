//! What becomes of a user's meetings when he is deleted or taken off a network: rule M7.

use shared::api::meeting::{MeetingData, MeetingId, OnMeetingDeleted, OnMeetingUpdated};
use sqlx::FromRow;
use uuid::Uuid;

use crate::{context::Change, error::Error, meeting::row::Row};

/// A user who is of a network no more.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub(crate) struct Leaver {
    pub(crate) network_id: String,
    pub(crate) user_id: String,
}

/// So many meetings are changed by one statement, and their events held in memory.
const PORTION: usize = 500;

/// Deletes the meetings that the users organize and that have not ended, keeps those that have, and takes them off all
/// others. Their rows of `members` must be gone already: then no meeting is being made with them.
///
/// # Errors
/// The database's.
pub(crate) async fn leave<C>(change: &mut Change<C>, leavers: &[Leaver]) -> Result<(), Error> {
    let (networks, users): (Vec<&str>, Vec<&str>) =
        leavers.iter().map(|leaver| (leaver.network_id.as_str(), leaver.user_id.as_str())).unzip();
    // All of them at once and in order, before anything else of them is read: who changes one now is waited for.
    sqlx::query(
        "SELECT FROM meetings m
         WHERE (m.network_id, m.id) IN (
             SELECT p.network_id, p.meeting_id
             FROM unnest($1::text[], $2::text[]) l (network_id, user_id)
             JOIN meeting_participants p ON p.network_id = l.network_id AND p.user_id = l.user_id)
         ORDER BY m.network_id, m.id
         FOR UPDATE",
    )
    .bind(&networks)
    .bind(&users)
    .execute(change.connection())
    .await?;
    let meetings: Vec<(i64, Vec<Uuid>)> = sqlx::query_as(
        "SELECT l.place - 1, array_agg(p.meeting_id ORDER BY p.meeting_id)
         FROM unnest($1::text[], $2::text[]) WITH ORDINALITY l (network_id, user_id, place)
         JOIN meeting_participants p ON p.network_id = l.network_id AND p.user_id = l.user_id
         GROUP BY l.place
         ORDER BY l.place",
    )
    .bind(&networks)
    .bind(&users)
    .fetch_all(change.connection())
    .await?;
    for (place, meetings) in meetings {
        let place = usize::try_from(place).ok();
        let Some(Leaver { network_id, user_id }) = place.and_then(|place| leavers.get(place)) else { continue };
        for portion in meetings.chunks(PORTION) {
            delete_organized(change, network_id, user_id, portion).await?;
            take_off(change, network_id, user_id, portion).await?;
            change.write_events().await?;
        }
    }
    Ok(())
}

async fn delete_organized<C>(
    change: &mut Change<C>,
    network: &str,
    user: &str,
    meetings: &[Uuid],
) -> Result<(), Error> {
    let deleted: Vec<(Uuid, Vec<String>)> = sqlx::query_as(
        "WITH gone AS (
             DELETE FROM meetings
             WHERE network_id = $1 AND organizer_id = $2 AND id = ANY ($3) AND ends_at > statement_timestamp()
             RETURNING id
         )
         SELECT d.id, d.participant_ids FROM meeting_details d
         WHERE d.network_id = $1 AND d.id IN (SELECT id FROM gone)
         ORDER BY d.id",
    )
    .bind(network)
    .bind(user)
    .bind(meetings)
    .fetch_all(change.connection())
    .await?;
    for (id, participants) in deleted {
        change.emit_in(network, participants, &OnMeetingDeleted(MeetingId { meeting_id: id.to_string() }))?;
    }
    Ok(())
}

async fn take_off<C>(change: &mut Change<C>, network: &str, user: &str, meetings: &[Uuid]) -> Result<(), Error> {
    // The rows are as they were before: the user stands among the participants, who are all told.
    let left: Vec<Row> = sqlx::query_as(
        "WITH gone AS (
             DELETE FROM meeting_participants p USING meetings m
             WHERE p.network_id = $1 AND p.user_id = $2 AND p.meeting_id = ANY ($3)
                 AND m.network_id = $1 AND m.id = p.meeting_id AND m.organizer_id <> $2
             RETURNING p.meeting_id
         ), touched AS (
             UPDATE meetings SET updated_at = statement_timestamp()
             WHERE network_id = $1 AND id IN (SELECT meeting_id FROM gone)
         )
         SELECT * FROM meeting_details
         WHERE network_id = $1 AND id IN (SELECT meeting_id FROM gone)
         ORDER BY id",
    )
    .bind(network)
    .bind(user)
    .bind(meetings)
    .fetch_all(change.connection())
    .await?;
    for mut row in left {
        let recipients = row.participant_ids.clone();
        row.participant_ids.retain(|participant| participant != user);
        change.emit_in(network, recipients, &OnMeetingUpdated(MeetingData { meeting: row.into_meeting()? }))?;
    }
    Ok(())
}
