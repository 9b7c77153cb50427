//! `meeting:getMeeting`: rule M6.

use shared::api::meeting::{MeetingData, MeetingId};

use crate::{
    context::Read,
    error::Error,
    meeting::{meeting_id, row::Row},
};

pub(crate) async fn handle(read: &mut Read, request: MeetingId) -> Result<MeetingData, Error> {
    let id = meeting_id(&request.meeting_id)?;
    let session = read.session().clone();
    let row: Option<Row> = sqlx::query_as(
        "SELECT * FROM meeting_details
         WHERE network_id = $1 AND id = $2
             AND (EXISTS (SELECT FROM meeting_participants
                          WHERE network_id = $1 AND meeting_id = $2 AND user_id = $3)
                  OR EXISTS (SELECT FROM members WHERE network_id = $1 AND user_id = $3 AND is_manager))",
    )
    .bind(session.network)
    .bind(id)
    .bind(session.user)
    .fetch_optional(read.connection())
    .await?;
    let meeting = row.ok_or_else(|| Error::not_found("meeting"))?.into_meeting();
    Ok(MeetingData { meeting })
}
