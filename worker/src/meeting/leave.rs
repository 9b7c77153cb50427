//! What becomes of users' meetings when they are deleted or taken off a network: rule M7.

use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    context::Change,
    directory::leaving::Leaver,
    error::Error,
    meeting::{
        details::{Details, Reads},
        push,
        source::Source,
    },
};

/// So many places in meetings are given up by one statement.
const PORTION: usize = 500;

/// So many changed meetings are read at once, and their events held in memory: each may have its room's picture in it.
const TOLD_AT_ONCE: usize = 25;

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
        let deleted: Vec<Deleted> = sqlx::query_as(
            "WITH gone AS (
                 DELETE FROM meetings m
                 USING unnest($1::text[], $2::text[], $3::uuid[]) p (network_id, user_id, meeting_id)
                 WHERE m.network_id = p.network_id AND m.id = p.meeting_id AND m.organizer_id = p.user_id
                     AND m.ends_at > statement_timestamp()
                 RETURNING m.network_id, m.id
             )
             SELECT d.network_id, d.id, d.source_type, d.room_id, d.prop_id, d.group_id, d.direct_user_id,
                    d.participant_ids
             FROM gone g JOIN meeting_details d ON d.network_id = g.network_id AND d.id = g.id
             ORDER BY d.network_id, d.id",
        )
        .bind(&self.networks)
        .bind(&self.users)
        .bind(&self.meetings)
        .fetch_all(change.connection())
        .await?;
        for Deleted { network_id, id, source, participant_ids } in deleted {
            push::deleted(change, &network_id, &participant_ids, id, &source)?;
        }
        Ok(())
    }

    async fn take_off<C>(&self, change: &mut Change<C>) -> Result<(), Error> {
        // The view shows what was before: those who leave stand among the participants, who are all told.
        let changed: Vec<Changed> = sqlx::query_as(
            "WITH gone AS (
                 DELETE FROM meeting_participants m
                 USING unnest($1::text[], $2::text[], $3::uuid[]) p (network_id, user_id, meeting_id), meetings o
                 WHERE m.network_id = p.network_id AND m.meeting_id = p.meeting_id AND m.user_id = p.user_id
                     AND o.network_id = p.network_id AND o.id = p.meeting_id AND o.organizer_id <> p.user_id
                 RETURNING m.network_id, m.meeting_id
             ), left_by_some AS (
                 SELECT DISTINCT network_id, meeting_id FROM gone
             ), touched AS (
                 UPDATE meetings m SET updated_at = statement_timestamp()
                 FROM left_by_some l WHERE m.network_id = l.network_id AND m.id = l.meeting_id
             )
             SELECT d.network_id, d.id, d.participant_ids
             FROM left_by_some l JOIN meeting_details d ON d.network_id = l.network_id AND d.id = l.meeting_id
             ORDER BY d.network_id, d.id",
        )
        .bind(&self.networks)
        .bind(&self.users)
        .bind(&self.meetings)
        .fetch_all(change.connection())
        .await?;
        for some in changed.chunks(TOLD_AT_ONCE) {
            tell(change, some).await?;
            change.write_events().await?;
        }
        Ok(())
    }
}

/// Tells of meetings what has become of them.
async fn tell<C>(change: &mut Change<C>, changed: &[Changed]) -> Result<(), Error> {
    let (networks, ids): (Vec<&str>, Vec<Uuid>) =
        changed.iter().map(|meeting| (meeting.network_id.as_str(), meeting.id)).unzip();
    // In this order, and all of them: they are locked.
    let reads = Reads::of_events(change);
    let now = Details::of_many(change.connection(), &networks, &ids, reads).await?;
    if now.len() != changed.len() {
        return Err(Error::internal("a meeting is gone that was locked"));
    }
    for (before, now) in changed.iter().zip(&now) {
        push::tell_updated(change, &before.participant_ids, now)?;
    }
    Ok(())
}

/// A meeting that is gone with its organizer.
#[derive(Debug, FromRow)]
struct Deleted {
    network_id: String,
    id: Uuid,
    #[sqlx(flatten)]
    source: Source,
    participant_ids: Vec<String>,
}

/// A meeting that users were taken off, and who took part before.
#[derive(Debug, FromRow)]
struct Changed {
    network_id: String,
    id: Uuid,
    participant_ids: Vec<String>,
}
