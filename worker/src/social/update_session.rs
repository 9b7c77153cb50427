//! `social:updateSession`: rules S4, S5, S8, S9, S10, V4.

use shared::api::{
    Rgba,
    social::{SessionData, SessionInput, UpdateSessionRequest},
};
use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    object::object_id,
    social::{
        invite::check_invited,
        moved, news, reading,
        session::{Content, OPEN_SLOT},
        standing::{Standing, lock_checked},
    },
};

pub(crate) async fn handle(change: &mut Change, request: UpdateSessionRequest) -> Result<SessionData, Error> {
    let mut input = request.session;
    let id = object_id("session", &input.id)?;
    let session = change.session().clone();
    let standing = lock_checked(change, id, Standing::managers_only).await?;
    check_event(&input, &standing)?;
    if standing.event_id.is_some() && input.room_id.as_deref() == Some("") {
        input.room_id = Some(standing.event_room_id.clone());
    }

    let old = &standing.content;
    let zones = change.context().zones.clone();
    let new = old.changed(input, standing.bounds(), &zones)?;
    if new != *old {
        if (&new.room_id, &new.prop_id) != (&old.room_id, &old.prop_id) {
            new.check_place(change.connection(), &session, standing.event_id).await?;
        }
        let is_put_off = new.time != old.time;
        // A prop stands in no calendar file.
        let is_moved = is_put_off || new.room_id != old.room_id;
        write(change, id, &new, is_put_off, is_moved).await?;
        if new.session_type != old.session_type {
            let is_open_slot = new.session_type == OPEN_SLOT;
            invite_joined(change, &session.network, id, is_open_slot).await?;
        }
        if is_moved {
            moved::tell(change, &session.network, id).await?;
        } else {
            news::tell_all(change, &session.network, id, &[]).await?;
        }
    }
    Ok(SessionData { session: reading::read_one(change.connection(), &zones, &session, id, true).await? })
}

/// The event stays (S4).
fn check_event(input: &SessionInput, standing: &Standing) -> Result<(), Error> {
    let event = standing.event_id.map(|id| id.to_string());
    match &input.event_id {
        Some(given) if !given.is_empty() && Some(given) != event.as_ref() => {
            Err(Error::bad_request("data.session.eventId", "a session stays in its event"))
        }
        _ => Ok(()),
    }
}

async fn write(change: &mut Change, id: Uuid, new: &Content, is_put_off: bool, is_moved: bool) -> Result<(), Error> {
    let network = change.session().network.clone();
    let zones = change.context().zones.clone();
    let Rgba { r, g, b, a } = new.color.into();
    // The statement's own time, not the transaction's: it begins after the lock, so `updated_at` never falls.
    sqlx::query(
        "WITH changed AS (
             UPDATE social_sessions
             SET room_id = $3, prop_id = $4, session_type = $5, title = $6, description = $7,
                 color_r = $8, color_g = $9, color_b = $10, color_a = $11,
                 starts_at = $12, seconds = $13, is_recurring = $14, local_start = $15, time_zone = $16, ends_at = $17,
                 sequence = sequence + $19::boolean::integer, updated_at = statement_timestamp(),
                 -- Newer zone data than ours will have another look; a move in place alone is none of its business.
                 zone_data = CASE WHEN $18 THEN greatest(zone_data, $20) ELSE zone_data END,
                 zone_data_sequence = CASE WHEN CASE WHEN $18 THEN coalesce(zone_data <= $20, true)
                                                     ELSE $19 AND zone_data_sequence = sequence END THEN sequence + 1
                                           ELSE zone_data_sequence END
             WHERE network_id = $1 AND id = $2
         )
         UPDATE social_participants SET starts_at = $12, ends_at = $17
         WHERE $18 AND network_id = $1 AND session_id = $2",
    )
    .bind(network)
    .bind(id)
    .bind(&new.room_id)
    .bind(&new.prop_id)
    .bind(new.session_type)
    .bind(&new.title)
    .bind(&new.description)
    .bind(r)
    .bind(g)
    .bind(b)
    .bind(a)
    .bind(new.time.starts_at)
    .bind(new.time.seconds)
    .bind(new.time.is_recurring)
    .bind(new.time.local_start)
    .bind(&new.time.time_zone)
    .bind(new.time.ends_at)
    .bind(is_put_off)
    .bind(is_moved)
    .bind(zones.version())
    .execute(change.connection())
    .await?;
    Ok(())
}

/// When the type changes, those who have joined count as invited (S5).
///
/// # Errors
/// 409 when they are too many for the new type, or for a session's invited (S6).
async fn invite_joined(change: &mut Change, network: &str, id: Uuid, is_open_slot: bool) -> Result<(), Error> {
    let joined: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM social_participants
         WHERE network_id = $1 AND session_id = $2 AND joined_at IS NOT NULL AND NOT is_owner",
    )
    .bind(network)
    .bind(id)
    .fetch_one(change.connection())
    .await?;
    if is_open_slot && joined > 1 {
        return Err(Error::conflict("more than one have joined: the session cannot become an open slot"));
    }
    sqlx::query(
        "UPDATE social_participants p SET role = 0, invited_no = j.invited_no
         FROM (
             SELECT user_id,
                    row_number() OVER (ORDER BY joined_at, user_id) + (
                        SELECT coalesce(max(invited_no), 0) FROM social_participants
                        WHERE network_id = $1 AND session_id = $2) AS invited_no
             FROM social_participants
             WHERE network_id = $1 AND session_id = $2 AND joined_at IS NOT NULL AND role IS NULL AND NOT is_owner
         ) j
         WHERE p.network_id = $1 AND p.session_id = $2 AND p.user_id = j.user_id",
    )
    .bind(network)
    .bind(id)
    .execute(change.connection())
    .await?;
    check_invited(change, network, id).await
}
