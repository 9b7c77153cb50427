//! What accepting and declining have in common: rule M5.

use shared::api::{
    NoData,
    meeting::{MeetingId, ParticipantStatus},
};
use sqlx::FromRow;

use crate::{
    context::Change,
    error::Error,
    meeting::{details::Reads, lock, meeting_id, push},
};

/// Sets the caller's status in a meeting that has not ended.
///
/// # Errors
/// 404 when there is no such meeting for the caller, 403 when he sees it as a manager only, 409 when he organizes it or it
/// has ended.
pub(crate) async fn answer(
    change: &mut Change,
    request: &MeetingId,
    status: ParticipantStatus,
) -> Result<NoData, Error> {
    let id = meeting_id(&request.meeting_id)?;
    lock(change, id).await?;
    let session = change.session().clone();
    let answered: Answered = sqlx::query_as(
        "WITH caller AS (
             SELECT (SELECT status FROM meeting_participants
                     WHERE network_id = $1 AND meeting_id = $2 AND user_id = $3) AS status,
                    EXISTS (SELECT FROM members WHERE network_id = $1 AND user_id = $3 AND is_manager) AS is_manager
         ), answered AS (
             UPDATE meeting_participants SET status = $4
             WHERE network_id = $1 AND meeting_id = $2 AND user_id = $3 AND status <> $4
             RETURNING meeting_id
         ), touched AS (
             UPDATE meetings SET updated_at = statement_timestamp()
             WHERE network_id = $1 AND id IN (SELECT meeting_id FROM answered)
         )
         SELECT c.status IS NOT NULL AS takes_part, c.is_manager, m.organizer_id = $3 AS organizes,
                m.ends_at <= statement_timestamp() AS has_ended, EXISTS (SELECT FROM answered) AS is_change
         FROM meetings m, caller c
         WHERE m.network_id = $1 AND m.id = $2",
    )
    .bind(session.network)
    .bind(id)
    .bind(session.user)
    .bind(status.as_str())
    .fetch_one(change.connection())
    .await?;
    // When this fails, nothing of the above has happened.
    answered.check()?;
    if answered.is_change {
        let reads = Reads::of_events(change);
        push::updated(change, id, reads).await?;
    }
    Ok(NoData)
}

/// What the statement found and did.
#[derive(Debug, FromRow)]
struct Answered {
    takes_part: bool,
    is_manager: bool,
    organizes: bool,
    has_ended: bool,
    /// Whether the answer is another than before.
    is_change: bool,
}

impl Answered {
    fn check(&self) -> Result<(), Error> {
        if !self.takes_part && !self.is_manager {
            return Err(Error::not_found("meeting"));
        }
        if !self.takes_part {
            return Err(Error::forbidden("only those who are invited may answer"));
        }
        if self.organizes {
            return Err(Error::conflict("the organizer takes part"));
        }
        if self.has_ended {
            return Err(Error::conflict("the meeting has ended"));
        }
        Ok(())
    }
}
