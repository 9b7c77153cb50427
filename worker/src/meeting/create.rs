//! `meeting:create`: rules M10, M2, M3, V4.

use shared::api::meeting::deprecated::{CreateRequest, RoomMeetingData};

use crate::{
    context::Change,
    error::Error,
    meeting::{
        create_meeting::{create, named},
        details::Reads,
        row::{Content, Time},
        source::Source,
    },
};

pub(crate) async fn handle(change: &mut Change, request: CreateRequest) -> Result<RoomMeetingData, Error> {
    let new = request.meeting;
    let source = Source::in_room(new.room_id, new.prop_id)?;
    let content = Content {
        subject: new.subject,
        description: String::new(),
        color: new.color.into(),
        time: Time::of_request("data.meeting", new.start_date, new.end_date)?,
    }
    .checked("data.meeting")?;
    let named = named("data.meeting", &change.session().user, &source, new.invited_user_ids)?;
    let (_, details) = create(change, source, content, &named, Reads::Deprecated).await?;
    let details = details.ok_or_else(|| Error::internal("a meeting in a room has no details"))?;
    Ok(RoomMeetingData { meeting: details.room_meeting()? })
}
