//! Telling outsiders that a session has moved: rule S10.

use uuid::Uuid;

use crate::{context::Change, error::Error};

/// Lets those outside who were told of these sessions, and are still invited, be sent them anew: within `invitation-pause` of
/// what they were sent before late, and merged with what changes until then. For sessions that are locked and whose time or place
/// this transaction has changed, raising their sequence.
///
/// # Errors
/// The database's.
pub(crate) async fn moved<C>(change: &mut Change<C>, network: &str, ids: &[Uuid]) -> Result<(), Error> {
    let pause = change.context().config.outside.invitation_pause;
    // Also of those who are about to be told: whoever is just taking their message has read the session as it was, and else is
    // kept from it until the commit.
    let messages = sqlx::query(
        "SELECT FROM social_messages WHERE network_id = $1 AND session_id = ANY ($2)
         ORDER BY session_id, kind, address
         FOR NO KEY UPDATE",
    )
    .bind(network)
    .bind(ids)
    .execute(change.connection())
    .await?;
    if messages.rows_affected() == 0 {
        return Ok(());
    }
    sqlx::query(
        "UPDATE social_messages m
         SET is_moved = true, version = version + 1,
             due_at = coalesce(due_at, greatest(statement_timestamp(), sent_at + make_interval(secs => $3))),
             -- It is another mail than the one that was tried, and is tried for a day itself.
             message_id = CASE WHEN lease IS NULL AND first_attempt_at IS NOT NULL THEN gen_random_uuid() ELSE message_id END,
             first_attempt_at = CASE WHEN lease IS NOT NULL THEN first_attempt_at END
         WHERE network_id = $1 AND session_id = ANY ($2) AND cancelled IS NULL
             AND CASE
                 WHEN due_at IS NULL THEN sent_at IS NOT NULL
                 WHEN lease IS NOT NULL THEN true
                 -- It is going to say how things are then: nothing is written, however often the session moves.
                 ELSE first_attempt_at IS NOT NULL OR sent_at IS NOT NULL AND NOT is_moved
             END
             AND EXISTS (
                 SELECT FROM social_outsiders o
                 WHERE o.network_id = m.network_id AND o.session_id = m.session_id AND o.kind = m.kind
                     AND o.address = m.address AND o.expires_at > statement_timestamp())",
    )
    .bind(network)
    .bind(ids)
    .bind(pause.as_secs_f64())
    .execute(change.connection())
    .await?;
    Ok(())
}
