//! `meeting:deleteMeeting`: rule M4.

use shared::api::{
    NoData,
    meeting::{MeetingId, OnMeetingDeleted},
};

use crate::{
    context::Change,
    error::Error,
    meeting::{lock, meeting_id, organizer_only},
};

pub(crate) async fn handle(change: &mut Change, request: MeetingId) -> Result<NoData, Error> {
    let id = meeting_id(&request.meeting_id)?;
    let locked = lock(change, id).await?;
    organizer_only(change, id, &locked).await?;
    let network = change.session().network.clone();
    let participants: Vec<String> = sqlx::query_scalar(
        "WITH gone AS (DELETE FROM meetings WHERE network_id = $1 AND id = $2)
         SELECT user_id FROM meeting_participants WHERE network_id = $1 AND meeting_id = $2 ORDER BY position",
    )
    .bind(network)
    .bind(id)
    .fetch_all(change.connection())
    .await?;
    change.emit(participants, &OnMeetingDeleted(request))?;
    Ok(NoData)
}
