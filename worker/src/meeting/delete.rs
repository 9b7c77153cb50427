//! `meeting:delete`: rules M10, M4.

use shared::api::{NoData, meeting::MeetingId};

use crate::{
    context::Change,
    error::Error,
    meeting::{delete_meeting::delete, lock, meeting_id},
};

pub(crate) async fn handle(change: &mut Change, request: MeetingId) -> Result<NoData, Error> {
    let id = meeting_id(&request.meeting_id)?;
    let locked = lock(change, id).await?;
    if locked.old.source.place().is_none() {
        return Err(Error::not_found("meeting"));
    }
    delete(change, id, &locked).await
}
