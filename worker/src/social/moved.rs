//! What follows when a session is at another time or place, whoever has moved it: its managers, a change of its event (S9), or
//! newer zone data.

use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    social::{news, outsiders, session::Time},
};

/// Tells everyone who belongs to a session that it has moved (S11), and lets outsiders be sent the file again (S10). Under its
/// lock, after its new time, place and sequence number have been written.
///
/// # Errors
/// As [`news::tell_all`].
pub(crate) async fn tell<C>(change: &mut Change<C>, network: &str, id: Uuid) -> Result<(), Error> {
    outsiders::moved(change, network, &[id]).await?;
    news::tell_all(change, network, id, &[]).await
}

/// Writes the first start and the end of a recurring session, which is locked, as they have been worked out with our zone data;
/// also to the rows of those who belong to it. The sequence number rises (I3).
///
/// # Errors
/// The database's.
pub(crate) async fn write<C>(change: &mut Change<C>, network: &str, id: Uuid, time: &Time) -> Result<(), Error> {
    let zones = change.context().zones.clone();
    sqlx::query(
        "WITH moved AS (
             UPDATE social_sessions
             SET starts_at = $3, ends_at = $4, sequence = sequence + 1, updated_at = statement_timestamp(),
                 -- Newer zone data than ours will have another look.
                 zone_data = greatest(zone_data, $5),
                 zone_data_sequence = CASE WHEN coalesce(zone_data <= $5, true) THEN sequence + 1
                                           ELSE zone_data_sequence END
             WHERE network_id = $1 AND id = $2
         )
         UPDATE social_participants SET starts_at = $3, ends_at = $4 WHERE network_id = $1 AND session_id = $2",
    )
    .bind(network)
    .bind(id)
    .bind(time.starts_at)
    .bind(time.ends_at)
    .bind(zones.version())
    .execute(change.connection())
    .await?;
    Ok(())
}
