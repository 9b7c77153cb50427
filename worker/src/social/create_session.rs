//! `social:createSession`: rules S4, S9, S10, V4.

use shared::{
    api::{
        Rgba,
        social::{CreateSessionRequest, SessionData},
    },
    internal::Session,
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    object::object_id,
    social::{
        event::{self, Seen},
        invite::Named,
        news, reading,
        session::{Bounds, Content},
        standing::{Need, lock_event},
    },
};

pub(crate) async fn handle(change: &mut Change, request: CreateSessionRequest) -> Result<SessionData, Error> {
    let session = change.session().clone();
    let mut input = request.session;
    let named = Named::read(&request.users_to_invite)?;
    let event_id = input.event_id.take().filter(|id| !id.is_empty());
    let event_id = event_id.map(|id| object_id("event", &id)).transpose()?;
    if let Some(id) = event_id {
        // Without a lock: who may not is not kept waiting.
        look_at_event(change, &session, id).await?;
    }
    let invited = named.resolve(change).await?;
    let mut bounds = None;
    if let Some(id) = event_id {
        // When it is gone, the look finds out.
        lock_event(change, id, Need::Stays, false).await?;
        let event = look_at_event(change, &session, id).await?.row.content;
        bounds = Some(Bounds { starts_at: event.starts_at, ends_at: event.ends_at });
        input.room_id = input.room_id.filter(|room| !room.is_empty()).or(Some(event.room_id));
    }
    let owner = Owner::read(change.connection(), &session.user).await?;
    let zones = change.context().zones.clone();
    let content = Content::new(input, &owner.time_zone, bounds, &zones)?;
    content.check_place(change.connection(), &session, event_id).await?;

    let id = Uuid::now_v7();
    insert(change, id, event_id, &owner.name, &content).await?;
    invited.write(change, id).await?;
    news::tell_all(change, &session.network, id, &[]).await?;
    Ok(SessionData { session: reading::read_one(change.connection(), &zones, &session, id, true).await? })
}

/// The event, for a caller who may create sessions in it (S4).
async fn look_at_event(change: &mut Change, session: &Session, id: Uuid) -> Result<Seen, Error> {
    let seen = event::look(change.connection(), &session.network, &session.user, id).await?;
    if !seen.row.is_published && !seen.manages {
        return Err(Error::forbidden("only managers create sessions in an event that is not published"));
    }
    Ok(seen)
}

/// What a session takes over from its owner.
#[derive(Debug, sqlx::FromRow)]
struct Owner {
    time_zone: String,
    name: String,
}

impl Owner {
    async fn read(connection: &mut PgConnection, user: &str) -> Result<Self, Error> {
        Ok(sqlx::query_as("SELECT time_zone, btrim(first_name || ' ' || last_name) AS name FROM users WHERE id = $1")
            .bind(user)
            .fetch_one(connection)
            .await?)
    }
}

async fn insert(
    change: &mut Change,
    id: Uuid,
    event: Option<Uuid>,
    owner_name: &str,
    content: &Content,
) -> Result<(), Error> {
    let session = change.session().clone();
    let zones = change.context().zones.clone();
    let Rgba { r, g, b, a } = content.color.into();
    sqlx::query(
        "WITH created AS (
             INSERT INTO social_sessions (network_id, id, event_id, owner_id, owner_name, room_id, prop_id, session_type,
                                          title, description, color_r, color_g, color_b, color_a, starts_at, seconds,
                                          is_recurring, local_start, time_zone, ends_at, zone_data, zone_data_sequence)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, 0)
             RETURNING network_id, id, owner_id, event_id, starts_at, ends_at
         )
         INSERT INTO social_participants (network_id, session_id, user_id, is_owner, event_id, starts_at, ends_at)
         SELECT network_id, id, owner_id, true, event_id, starts_at, ends_at FROM created",
    )
    .bind(&session.network)
    .bind(id)
    .bind(event)
    .bind(&session.user)
    .bind(owner_name)
    .bind(&content.room_id)
    .bind(&content.prop_id)
    .bind(content.session_type)
    .bind(&content.title)
    .bind(&content.description)
    .bind(r)
    .bind(g)
    .bind(b)
    .bind(a)
    .bind(content.time.starts_at)
    .bind(content.time.seconds)
    .bind(content.time.is_recurring)
    .bind(content.time.local_start)
    .bind(&content.time.time_zone)
    .bind(content.time.ends_at)
    .bind(zones.version())
    .execute(change.connection())
    .await?;
    Ok(())
}
