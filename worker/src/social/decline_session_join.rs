//! `social:declineSessionJoin`: rule S7.

use shared::api::{NoData, social::SessionId};
use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    object::object_id,
    social::{news, standing::lock_checked},
};

pub(crate) async fn handle(change: &mut Change, request: SessionId) -> Result<NoData, Error> {
    let id = object_id("session", &request.session_id)?;
    let session = change.session().clone();
    let standing = lock_checked(change, id, |_| Ok(())).await?;
    if standing.joined_at.is_none() && standing.role.is_none() {
        return Ok(NoData);
    }
    decline(change, id).await?;
    news::tell_of_joins(change, &session.network, id, &[session.user]).await?;
    Ok(NoData)
}

/// Removes the caller's join and invitation. An owner stays one.
async fn decline(change: &mut Change, id: Uuid) -> Result<(), Error> {
    let session = change.session().clone();
    sqlx::query(
        "WITH touched AS (
             UPDATE social_sessions SET updated_at = statement_timestamp() WHERE network_id = $1 AND id = $2
         ), stays AS (
             UPDATE social_participants SET joined_at = NULL
             WHERE network_id = $1 AND session_id = $2 AND user_id = $3 AND is_owner
         )
         DELETE FROM social_participants
         WHERE network_id = $1 AND session_id = $2 AND user_id = $3 AND NOT is_owner",
    )
    .bind(session.network)
    .bind(id)
    .bind(session.user)
    .execute(change.connection())
    .await?;
    Ok(())
}
