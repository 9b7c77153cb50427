//! `social:getEvent`: rule S1.

use shared::api::social::{EventData, EventId};

use crate::{context::Read, error::Error, object::object_id, social::event::look};

pub(crate) async fn handle(read: &mut Read, request: EventId) -> Result<EventData, Error> {
    let id = object_id("event", &request.event_id)?;
    let session = read.session().clone();
    let seen = look(read.connection(), &session.network, &session.user, id).await?;
    Ok(EventData { event: seen.row.into_event()? })
}
