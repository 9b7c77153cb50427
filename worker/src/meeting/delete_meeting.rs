//! `meeting:deleteMeeting`: rule M4.

use shared::api::{NoData, meeting::MeetingId};
use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    meeting::{Locked, lock, meeting_id, organizer_only, push},
};

pub(crate) async fn handle(change: &mut Change, request: MeetingId) -> Result<NoData, Error> {
    let id = meeting_id(&request.meeting_id)?;
    let locked = lock(change, id).await?;
    delete(change, id, &locked).await
}

/// Deletes a locked meeting for its organizer.
///
/// # Errors
/// 403 for others who see the meeting, 404 for those who do not.
pub(crate) async fn delete(change: &mut Change, id: Uuid, locked: &Locked) -> Result<NoData, Error> {
    organizer_only(change, id, locked).await?;
    let network = change.session().network.clone();
    let participants: Vec<String> = sqlx::query_scalar(
        "WITH gone AS (DELETE FROM meetings WHERE network_id = $1 AND id = $2)
         SELECT user_id FROM meeting_participants WHERE network_id = $1 AND meeting_id = $2 ORDER BY position",
    )
    .bind(&network)
    .bind(id)
    .fetch_all(change.connection())
    .await?;
    push::deleted(change, &network, &participants, id, &locked.old.source)?;
    Ok(NoData)
}
