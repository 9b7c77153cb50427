//! `social:deleteEvent`: rules S1, S3.

use shared::api::{
    NoData,
    social::{EventId, SessionDeleted, SessionId},
};
use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    object::object_id,
    social::{event::lock_as_manager, outsiders},
};

/// So many sessions are deleted by one statement, and their events held in memory.
const PORTION: i64 = 100;

pub(crate) async fn handle(change: &mut Change, request: EventId) -> Result<NoData, Error> {
    let id = object_id("event", &request.event_id)?;
    lock_as_manager(change, id).await?;
    while delete_sessions(change, id).await? {}
    let network = change.session().network.clone();
    sqlx::query("DELETE FROM social_events WHERE network_id = $1 AND id = $2")
        .bind(network)
        .bind(id)
        .execute(change.connection())
        .await?;
    Ok(NoData)
}

/// Deletes some of the event's sessions. Returns whether there were any.
async fn delete_sessions(change: &mut Change, event: Uuid) -> Result<bool, Error> {
    let network = change.session().network.clone();
    // In order, and before who belongs to them is read.
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id FROM social_sessions WHERE network_id = $1 AND event_id = $2 ORDER BY id LIMIT $3 FOR UPDATE",
    )
    .bind(&network)
    .bind(event)
    .bind(PORTION)
    .fetch_all(change.connection())
    .await?;
    for (id, members) in delete(change, &network, &ids).await? {
        change.emit_in(&network, members, &SessionDeleted(SessionId { session_id: id.to_string() }))?;
    }
    change.write_events().await?;
    Ok(!ids.is_empty())
}

/// Deletes sessions that are locked, and lets outsiders know. Returns who belonged to them.
pub(super) async fn delete<C>(
    change: &mut Change<C>,
    network: &str,
    ids: &[Uuid],
) -> Result<Vec<(Uuid, Vec<String>)>, Error> {
    outsiders::cancel(change, network, ids).await?;
    Ok(sqlx::query_as(
        "WITH gone AS (DELETE FROM social_sessions WHERE network_id = $1 AND id = ANY ($2) RETURNING network_id, id)
         SELECT g.id, ARRAY(SELECT p.user_id FROM social_participants p
                            WHERE p.network_id = g.network_id AND p.session_id = g.id ORDER BY p.user_id)
         FROM gone g ORDER BY g.id",
    )
    .bind(network)
    .bind(ids)
    .fetch_all(change.connection())
    .await?)
}
