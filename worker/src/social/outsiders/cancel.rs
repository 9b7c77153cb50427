//! Telling outsiders that a session is deleted: rule I2.

use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    social::{address::EMAIL, outsiders::occasion::Occasion},
};

/// Lets those who were mailed an invitation to these sessions, which are locked and about to be deleted, be mailed that they
/// are no more. What was not sent yet is not sent any more; of what is over nobody is told.
///
/// # Errors
/// The database's.
pub(crate) async fn cancel<C>(change: &mut Change<C>, network: &str, ids: &[Uuid]) -> Result<(), Error> {
    let told: Vec<Uuid> = sqlx::query_scalar(
        "SELECT DISTINCT session_id FROM social_messages WHERE network_id = $1 AND session_id = ANY ($2)",
    )
    .bind(network)
    .bind(ids)
    .fetch_all(change.connection())
    .await?;
    if told.is_empty() {
        return Ok(());
    }
    let networks = vec![network; told.len()];
    let mut texts = Vec::new();
    let mut sessions = Vec::new();
    let zones = change.context().zones.clone();
    for mut occasion in Occasion::load(change.connection(), &zones, &networks, &told).await? {
        if occasion.is_over {
            continue;
        }
        // Newer than whatever was sent before.
        occasion.sequence = occasion.sequence.saturating_add(1);
        sessions.push(occasion.session_id);
        texts.push(crate::context::to_json(&occasion)?);
    }
    sqlx::query(
        // What is just being sent is told afterwards.
        "WITH w AS (SELECT * FROM unnest($3::uuid[], $4::text[]) w (session_id, text)),
              told AS (
             UPDATE social_messages m
             SET cancelled = w.text, message_id = CASE WHEN lease IS NULL THEN gen_random_uuid() ELSE message_id END,
                 attempts = 0, first_attempt_at = NULL,
                 due_at = CASE WHEN lease IS NULL THEN statement_timestamp() ELSE due_at END
             FROM w
             WHERE m.network_id = $1 AND m.session_id = w.session_id AND m.kind = $5
                 AND (m.sent_at IS NOT NULL OR m.lease IS NOT NULL)
         )
         DELETE FROM social_messages m
         WHERE m.network_id = $1 AND m.session_id = ANY ($2)
             AND NOT (m.kind = $5 AND m.session_id = ANY ($3) AND (m.sent_at IS NOT NULL OR m.lease IS NOT NULL))",
    )
    .bind(network)
    .bind(told)
    .bind(sessions)
    .bind(texts)
    .bind(EMAIL)
    .execute(change.connection())
    .await?;
    Ok(())
}
