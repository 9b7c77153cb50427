//! Where a change leaves its events, in its own transaction.

use std::collections::{BTreeSet, HashSet};

use shared::{internal::Partition, telemetry};
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

/// A row has at most so many recipients; an event for more of them takes several places in the network's order.
pub const MOST_RECIPIENTS: usize = 1000;

/// Their identifiers have at most so many bytes: an event and its recipients must fit one message.
pub const MOST_RECIPIENT_BYTES: usize = 64 * 1024;

/// What the row in `event_recipients` counts for when a batch of the relay is measured, beside the identifier's bytes.
const RECIPIENT_OVERHEAD_BYTES: usize = 64;

/// Leaves events in the outbox, in this order, in one statement. Returns the partitions whose relays are to be woken
/// after the commit.
///
/// Call it under the lock of the object that the events are about: then they are in the order of its commits (I1).
///
/// # Errors
/// The database's: also for a payload that is larger than [`shared::api::MAX_EVENT_BYTES`] or no JSON, and
/// [`sqlx::Error::RowNotFound`] for a network that does not exist.
pub async fn insert(connection: &mut PgConnection, emissions: &[Emission]) -> Result<BTreeSet<Partition>, sqlx::Error> {
    let mut networks = Vec::new();
    let mut recipients = Vec::new();
    let mut names = Vec::new();
    let mut payloads = Vec::new();
    let mut sizes = Vec::new();
    for emission in emissions {
        for part in split(&emission.recipients) {
            networks.push(emission.network.as_str());
            sizes.push(size(&part, &emission.payload));
            recipients.push(sqlx::types::Json(part));
            names.push(emission.name);
            payloads.push(emission.payload.as_str());
        }
    }
    let expected = networks.len();
    if expected == 0 {
        return Ok(BTreeSet::new());
    }
    // The numbers are drawn in the order of `place`: defaults are evaluated above the sort.
    let partitions: Vec<i16> = sqlx::query_scalar(
        "INSERT INTO outbox (partition, network_id, recipients, name, payload, size, trace_parent)
         SELECT n.partition, n.id, ARRAY(SELECT jsonb_array_elements_text(e.recipients)), e.name, e.payload, e.size, $6
         FROM unnest($1::text[], $2::jsonb[], $3::text[], $4::text[], $5::int[]) WITH ORDINALITY
              AS e (network_id, recipients, name, payload, size, place)
         JOIN networks n ON n.id = e.network_id
         ORDER BY e.place
         RETURNING partition",
    )
    .bind(networks)
    .bind(recipients)
    .bind(names)
    .bind(payloads)
    .bind(sizes)
    .bind(telemetry::sampled_trace_parent())
    .fetch_all(connection)
    .await?;
    if partitions.len() != expected {
        return Err(sqlx::Error::RowNotFound);
    }
    Ok(partitions.into_iter().filter_map(|partition| Partition::try_from(partition).ok()).collect())
}

/// Recipients in rows' worth, each of them once.
fn split(recipients: &[String]) -> Vec<Vec<&str>> {
    let mut known = HashSet::new();
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut bytes = 0;
    for recipient in recipients.iter().map(String::as_str).filter(|recipient| known.insert(*recipient)) {
        if part.len() == MOST_RECIPIENTS || bytes + recipient.len() > MOST_RECIPIENT_BYTES {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        part.push(recipient);
        bytes += recipient.len();
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

/// What a row counts for when a batch of the relay is measured, in bytes.
pub(crate) fn size(recipients: &[&str], payload: &str) -> i32 {
    let recipients: usize = recipients.iter().map(|recipient| recipient.len() + RECIPIENT_OVERHEAD_BYTES).sum();
    i32::try_from(payload.len() + recipients).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("user-{number}")).collect()
    }

    #[test]
    fn an_event_for_many_is_split_without_losing_or_repeating_anybody() {
        let mut recipients = numbered(2500);
        recipients.extend(numbered(700));
        let parts = split(&recipients);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 500]);
        assert_eq!(parts.concat(), numbered(2500));
        assert_eq!(split(&[]), Vec::<Vec<&str>>::new());
    }

    #[test]
    fn long_identifiers_are_split_by_their_bytes() {
        let recipients: Vec<String> = (0..1000).map(|number| format!("{number:0>500}")).collect();
        let parts = split(&recipients);
        assert!(parts.iter().all(|part| part.concat().len() <= MOST_RECIPIENT_BYTES), "{:?}", parts.len());
        assert_eq!(parts.concat(), recipients);
    }
}
