//! Whether somebody may use a room, and a prop in it: rule V4.

use shared::internal::Session;
use sqlx::PgConnection;

use crate::error::Error;

/// Lets pass who may use the room; `prop` empty: the room itself.
///
/// # Errors
/// 802 when there is no such room, 803 when he may not use it, 404 when no such prop stands in it.
pub(crate) async fn check_place(
    connection: &mut PgConnection,
    session: &Session,
    room: &str,
    prop: &str,
) -> Result<(), Error> {
    let found: Option<(bool, bool)> = sqlx::query_as(
        "SELECT r.is_public OR r.owner_id = $2 OR $2 = ANY (r.viewers)
                    OR EXISTS (SELECT FROM members m WHERE m.network_id = $1 AND m.user_id = $2 AND m.is_manager),
                $4 = '' OR EXISTS (
                    SELECT FROM props p
                    WHERE p.network_id = $1 AND p.id = $4 AND p.room_id = $3 AND p.deleted_at IS NULL)
         FROM rooms r WHERE r.network_id = $1 AND r.id = $3 AND r.deleted_at IS NULL",
    )
    .bind(&session.network)
    .bind(&session.user)
    .bind(room)
    .bind(prop)
    .fetch_optional(connection)
    .await?;
    match found {
        None => Err(Error::room_not_found()),
        Some((false, _)) => Err(Error::room_forbidden()),
        Some((true, false)) => Err(Error::not_found("prop")),
        Some((true, true)) => Ok(()),
    }
}
