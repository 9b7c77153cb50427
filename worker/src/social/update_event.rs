//! `social:updateEvent`: rules S1, S2, S4, S9.

use shared::api::social::{EventData, UpdateEventRequest};
use sqlx::FromRow;
use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    object::object_id,
    social::{
        event::{Content, lock_as_manager, look},
        moved,
        place::check_place,
        session::Time,
    },
};

pub(crate) async fn handle(change: &mut Change, request: UpdateEventRequest) -> Result<EventData, Error> {
    let id = object_id("event", &request.event_id)?;
    let session = change.session().clone();
    let seen = lock_as_manager(change, id).await?;
    let old = &seen.row.content;
    let new = old.changed(request.event, request.form_schema.as_ref())?;
    // 0.0 and -0.0 are two prices (V6).
    if new == *old && new.price.to_bits() == old.price.to_bits() {
        return Ok(EventData { event: seen.row.into_event()? });
    }
    if !new.room_id.is_empty() && new.room_id != old.room_id {
        check_place(change.connection(), &session, &new.room_id, "").await?;
    }
    if (new.starts_at, new.ends_at) != (old.starts_at, old.ends_at) {
        keep_singles_within(change, id, &new).await?;
        fit_series(change, id, &new).await?;
    }
    write(change, id, &new).await?;
    let seen = look(change.connection(), &session.network, &session.user, id).await?;
    Ok(EventData { event: seen.row.into_event()? })
}

/// Lets a time pass that leaves no session outside (S4) that occurs once.
async fn keep_singles_within(change: &mut Change, id: Uuid, new: &Content) -> Result<(), Error> {
    let network = change.session().network.clone();
    let is_outside: bool = sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM social_sessions
             WHERE network_id = $1 AND event_id = $2 AND NOT is_recurring
                 AND (starts_at < $3 OR ends_at > $4))",
    )
    .bind(network)
    .bind(id)
    .bind(new.starts_at)
    .bind(new.ends_at)
    .fetch_one(change.connection())
    .await?;
    if is_outside { Err(outside()) } else { Ok(()) }
}

fn outside() -> Error {
    Error::conflict("a session would lie outside of the event")
}

#[derive(Debug, FromRow)]
struct Recurring {
    id: Uuid,
    #[sqlx(flatten)]
    time: Time,
}

/// Lets every series of the event end by its end (S9), and tells those who belong to one that this changes. Of a series the first
/// occurrence must not lie outside (S4).
async fn fit_series(change: &mut Change, event: Uuid, new: &Content) -> Result<(), Error> {
    /// So many are read at once.
    const PAGE: usize = 1000;
    let network = change.session().network.clone();
    let zones = change.context().zones.clone();
    let mut beyond = Uuid::nil();
    loop {
        // Whoever changes when one of these sessions is holds the event's lock, which is ours.
        let page: Vec<Recurring> = sqlx::query_as(
            "SELECT id, starts_at, seconds, is_recurring, local_start, time_zone, ends_at
             FROM social_sessions WHERE network_id = $1 AND event_id = $2 AND is_recurring AND id > $3
             ORDER BY id LIMIT $4",
        )
        .bind(&network)
        .bind(event)
        .bind(beyond)
        .bind(PAGE as i64)
        .fetch_all(change.connection())
        .await?;
        let Some(last) = page.last() else { return Ok(()) };
        beyond = last.id;
        for Recurring { id, time } in page {
            let first = time.series(&zones, None).first();
            if first.is_some_and(|first| first.start < new.starts_at || first.end > new.ends_at) {
                return Err(outside());
            }
            let fitted = time.worked_out(&zones, Some(new.ends_at));
            if (fitted.starts_at, fitted.ends_at) != (time.starts_at, time.ends_at) {
                moved::write(change, &network, id, &fitted).await?;
                moved::tell(change, &network, id).await?;
                // However many there are, the events of one of them are held at once.
                change.write_events().await?;
            }
        }
    }
}

async fn write(change: &mut Change, id: Uuid, new: &Content) -> Result<(), Error> {
    let network = change.session().network.clone();
    sqlx::query(
        "UPDATE social_events
         SET title = $3, description = $4, starts_at = $5, ends_at = $6, preview_resource_id = $7, room_id = $8,
             participant_limit = $9, price = $10, custom_data = $11, form_schema = $12,
             updated_at = statement_timestamp()
         WHERE network_id = $1 AND id = $2",
    )
    .bind(network)
    .bind(id)
    .bind(&new.title)
    .bind(&new.description)
    .bind(new.starts_at)
    .bind(new.ends_at)
    .bind(&new.preview_resource_id)
    .bind(&new.room_id)
    .bind(new.participant_limit)
    .bind(new.price)
    .bind(&new.custom_data)
    .bind(&new.form_schema)
    .execute(change.connection())
    .await?;
    Ok(())
}
