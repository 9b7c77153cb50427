//! `social:createEvent`: rules S1, S2.

use shared::api::social::{CreateEventRequest, EventData};
use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    social::{
        event::{Content, look},
        place::check_place,
        source::Source,
    },
};

pub(crate) async fn handle(change: &mut Change, request: CreateEventRequest) -> Result<EventData, Error> {
    let session = change.session().clone();
    let source = Source::parse(&request.source)?;
    source.managers_only(change).await?;
    let content = Content::new(request.event, &request.form_schema)?;
    if !content.room_id.is_empty() {
        check_place(change.connection(), &session, &content.room_id, "").await?;
    }
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO social_events (network_id, id, community_id, creator_id, title, description, starts_at, ends_at,
                                    preview_resource_id, room_id, participant_limit, price, custom_data, form_schema)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(&session.network)
    .bind(id)
    .bind(source.community())
    .bind(&session.user)
    .bind(&content.title)
    .bind(&content.description)
    .bind(content.starts_at)
    .bind(content.ends_at)
    .bind(&content.preview_resource_id)
    .bind(&content.room_id)
    .bind(content.participant_limit)
    .bind(content.price)
    .bind(&content.custom_data)
    .bind(&content.form_schema)
    .execute(change.connection())
    .await?;
    let seen = look(change.connection(), &session.network, &session.user, id).await?;
    Ok(EventData { event: seen.row.into_event()? })
}
