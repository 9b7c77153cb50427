//! `meeting:get`: rules M10, M6.

use shared::api::meeting::{MeetingId, deprecated::RoomMeetingData};

use crate::{
    context::Read,
    error::Error,
    meeting::{details::Details, meeting_id},
};

pub(crate) async fn handle(read: &mut Read, request: MeetingId) -> Result<RoomMeetingData, Error> {
    let id = meeting_id(&request.meeting_id)?;
    let session = read.session().clone();
    let details: Option<Details> = sqlx::query_as(concat!(
        include_str!("details.sql"),
        "WHERE d.network_id = $1 AND d.id = $2 AND d.room_id IS NOT NULL
             AND (EXISTS (SELECT FROM meeting_participants
                          WHERE network_id = $1 AND meeting_id = $2 AND user_id = $3)
                  OR EXISTS (SELECT FROM members WHERE network_id = $1 AND user_id = $3 AND is_manager))"
    ))
    .bind(session.network)
    .bind(id)
    .bind(session.user)
    .fetch_optional(read.connection())
    .await?;
    let meeting = details.ok_or_else(|| Error::not_found("meeting"))?.room_meeting()?;
    Ok(RoomMeetingData { meeting })
}
