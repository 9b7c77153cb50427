//! `social:publishEvent`: rules S1, S2. Publishing twice is fine.

use shared::api::social::{EventData, EventId};

use crate::{
    context::Change,
    error::Error,
    object::object_id,
    social::event::{lock_as_manager, look},
};

pub(crate) async fn handle(change: &mut Change, request: EventId) -> Result<EventData, Error> {
    let id = object_id("event", &request.event_id)?;
    let session = change.session().clone();
    let mut seen = lock_as_manager(change, id).await?;
    if !seen.row.is_published {
        sqlx::query(
            "UPDATE social_events SET is_published = true, updated_at = statement_timestamp()
             WHERE network_id = $1 AND id = $2",
        )
        .bind(&session.network)
        .bind(id)
        .execute(change.connection())
        .await?;
        seen = look(change.connection(), &session.network, &session.user, id).await?;
    }
    Ok(EventData { event: seen.row.into_event()? })
}
