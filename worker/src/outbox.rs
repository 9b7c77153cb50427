//! Where a change leaves its events, in its own transaction.

use std::collections::BTreeSet;

use shared::internal::Partition;
use sqlx::PgConnection;

/// One event of one change, for some users of one network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emission {
    /// The network.
    pub network: String,
    /// Users of it, as many as there are; each receives it once.
    pub recipients: Vec<String>,
    /// `namespace:event`.
    pub name: &'static str,
    /// Its `data` as JSON, at most [`shared::api::MAX_EVENT_BYTES`].
    pub payload: String,
}

/// Leaves events in the outbox, in this order, in one statement. Returns the partitions whose relays are to be woken
/// after the commit.
///
/// # Errors
/// The database's.
pub async fn insert(connection: &mut PgConnection, emissions: &[Emission]) -> Result<BTreeSet<Partition>, sqlx::Error> {
    let mut networks = Vec::new();
    let mut recipients = Vec::new();
    let mut names = Vec::new();
    let mut payloads = Vec::new();
    for emission in emissions {
        for part in emission.recipients.chunks(1000) {
            networks.push(emission.network.as_str());
            recipients.push(serde_json::json!(part));
            names.push(emission.name);
            payloads.push(emission.payload.as_str());
        }
    }
    let partitions: Vec<(i16,)> = sqlx::query_as(
        "INSERT INTO outbox (network_id, partition, recipients, name, payload)
         SELECT n.id, n.partition, ARRAY(SELECT jsonb_array_elements_text(e.recipients)), e.name, e.payload
         FROM unnest($1::text[], $2::jsonb[], $3::text[], $4::text[]) WITH ORDINALITY
              AS e (network_id, recipients, name, payload, place)
         JOIN networks n ON n.id = e.network_id
         ORDER BY e.place
         RETURNING partition",
    )
    .bind(networks)
    .bind(recipients)
    .bind(names)
    .bind(payloads)
    .fetch_all(connection)
    .await?;
    Ok(partitions.into_iter().filter_map(|(partition,)| Partition::try_from(partition).ok()).collect())
}
