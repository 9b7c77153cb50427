//! What becomes of users' meetings when they are deleted or taken off a network: rule M7.

use shared::api::meeting::{MeetingData, MeetingId, OnMeetingDeleted, OnMeetingUpdated};
use sqlx::FromRow;
use uuid::Uuid;

use crate::{context::Change, directory::leaving::Leaver, error::Error, meeting::row::Row};

/// So many places in meetings are given up by one statement, and their events held in memory.
const PORTION: usize = 500;

/// Deletes the meetings that the users organize and that have not ended, keeps those that have, and takes them off all
/// others. Returns whether that is done; else so many `portions` were not enough, and it is to be called again.
///
/// Their rows of `members` must be gone already: then no meeting is being made with them.
///
/// # Errors
/// The database's.
pub(crate) async fn leave<C>(change: &mut Change<C>, leavers: &[Leaver], portions: usize) -> Result<bool, Error> {
    for _ in 0..portions {
        let places = Places::of(change, leavers).await?;
        if places.meetings.is_empty() {
            return Ok(true);
        }
        places.lock(change).await?;
        places.delete_organized(change).await?;
        places.take_off(change).await?;
        change.write_events().await?;
        if places.meetings.len() < PORTION {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Places in meetings that are to be given up: at each index one user's in one meeting. Ordered by meeting.
#[derive(Debug, Default)]
struct Places {
    networks: Vec<String>,
    users: Vec<String>,
    meetings: Vec<Uuid>,
}

impl Places {
    async fn of<C>(change: &mut Change<C>, leavers: &[Leaver]) -> Result<Self, Error> {
        let (networks, users): (Vec<&str>, Vec<&str>) =
            leavers.iter().map(|leaver| (leaver.network_id.as_str(), leaver.user_id.as_str())).unzip();
        let found: Vec<(String, String, Uuid)> = sqlx::query_as(
            "SELECT p.network_id, p.user_id, p.meeting_id
             FROM unnest($1::text[], $2::text[]) l (network_id, user_id)
             JOIN meeting_participants p ON p.network_id = l.network_id AND p.user_id = l.user_id
             JOIN meetings m ON m.network_id = p.network_id AND m.id = p.meeting_id
             WHERE m.organizer_id <> p.user_id OR m.ends_at > statement_timestamp()
             ORDER BY p.network_id, p.meeting_id, p.user_id
             LIMIT $3",
        )
        .bind(networks)
        .bind(users)
        .bind(PORTION as i64)
        .fetch_all(change.connection())
        .await?;
        let mut places = Self::default();
        for (network, user, meeting) in found {
            places.networks.push(network);
            places.users.push(user);
            places.meetings.push(meeting);
        }
        Ok(places)
    }

    /// In order, and before anything of the meetings is read that others change: they are waited for.
    async fn lock<C>(&self, change: &mut Change<C>) -> Result<(), Error> {
        sqlx::query(
            "SELECT FROM meetings
             WHERE (network_id, id) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
             ORDER BY network_id, id
             FOR UPDATE",
        )
        .bind(&self.networks)
        .bind(&self.meetings)
        .execute(change.connection())
        .await?;
        Ok(())
    }

    async fn delete_organized<C>(&self, change: &mut Change<C>) -> Result<(), Error> {
        let deleted: Vec<(String, Uuid, Vec<String>)> = sqlx::query_as(
            "WITH gone AS (
                 DELETE FROM meetings m
                 USING unnest($1::text[], $2::text[], $3::uuid[]) p (network_id, user_id, meeting_id)
                 WHERE m.network_id = p.network_id AND m.id = p.meeting_id AND m.organizer_id = p.user_id
                     AND m.ends_at > statement_timestamp()
                 RETURNING m.network_id, m.id
             )
             SELECT d.network_id, d.id, d.participant_ids
             FROM gone g JOIN meeting_details d ON d.network_id = g.network_id AND d.id = g.id
             ORDER BY d.network_id, d.id",
        )
        .bind(&self.networks)
        .bind(&self.users)
        .bind(&self.meetings)
        .fetch_all(change.connection())
        .await?;
        for (network, id, participants) in deleted {
            change.emit_in(&network, participants, &OnMeetingDeleted(MeetingId { meeting_id: id.to_string() }))?;
        }
        Ok(())
    }

    async fn take_off<C>(&self, change: &mut Change<C>) -> Result<(), Error> {
        // The rows are as they were before: those who leave stand among the participants, who are all told.
        let changed: Vec<Changed> = sqlx::query_as(
            "WITH gone AS (
                 DELETE FROM meeting_participants m
                 USING unnest($1::text[], $2::text[], $3::uuid[]) p (network_id, user_id, meeting_id), meetings o
                 WHERE m.network_id = p.network_id AND m.meeting_id = p.meeting_id AND m.user_id = p.user_id
                     AND o.network_id = p.network_id AND o.id = p.meeting_id AND o.organizer_id <> p.user_id
                 RETURNING m.network_id, m.meeting_id, m.user_id
             ), left_by AS (
                 SELECT network_id, meeting_id, array_agg(user_id) AS leavers FROM gone GROUP BY network_id, meeting_id
             ), touched AS (
                 UPDATE meetings m SET updated_at = statement_timestamp()
                 FROM left_by l WHERE m.network_id = l.network_id AND m.id = l.meeting_id
             )
             SELECT d.*, l.leavers
             FROM left_by l JOIN meeting_details d ON d.network_id = l.network_id AND d.id = l.meeting_id
             ORDER BY d.network_id, d.id",
        )
        .bind(&self.networks)
        .bind(&self.users)
        .bind(&self.meetings)
        .fetch_all(change.connection())
        .await?;
        for Changed { leavers, mut row } in changed {
            let network = row.network_id.clone();
            let recipients = row.participant_ids.clone();
            row.participant_ids.retain(|participant| !leavers.contains(participant));
            change.emit_in(&network, recipients, &OnMeetingUpdated(MeetingData { meeting: row.into_meeting()? }))?;
        }
        Ok(())
    }
}

/// A meeting that users were taken off, as it was before.
#[derive(Debug, FromRow)]
struct Changed {
    leavers: Vec<String>,
    #[sqlx(flatten)]
    row: Row,
}
