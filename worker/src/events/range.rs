//! `internal.events.range`: part of a network's log.

use shared::internal::{LoggedEvent, Range, ReadRange};

use super::{MOST_BYTES, body, number};
use crate::{
    context::{Gateway, Read},
    error::Error,
};

/// An answer has at most so many events.
const MOST_EVENTS: i64 = 500;

#[derive(sqlx::FromRow)]
struct Row {
    epoch: String,
    trimmed: i64,
    position: Option<i64>,
    name: Option<String>,
    recipients: Option<Vec<String>>,
    payload: Option<String>,
    trace_parent: Option<String>,
}

/// Reads from `after` on: as much of the range as fits, one event at least when there is any.
///
/// # Errors
/// 404 for an unknown network, and the database's.
pub(crate) async fn handle(read: &mut Read<Gateway>, request: ReadRange) -> Result<Range, Error> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT n.epoch, t.trimmed, e.position, e.name, e.recipients, e.payload, e.trace_parent
         FROM networks n
         CROSS JOIN LATERAL (
             SELECT coalesce(min(position) - 1, 0) AS trimmed
             FROM event_log
             -- What was removed stays in the index for a while, and would be read before the oldest one is found.
             WHERE network_id = n.id
                 AND position > coalesce((SELECT through FROM event_trims WHERE network_id = n.id), 0)
         ) t
         LEFT JOIN LATERAL (
             SELECT *, sum(size) OVER place AS total, row_number() OVER place AS number
             FROM (
                 SELECT position, name, recipients, payload, size, trace_parent
                 FROM event_log
                 WHERE network_id = n.id AND position > greatest($2, t.trimmed) AND position <= $3
                 ORDER BY position
                 LIMIT $4
             ) l
             WINDOW place AS (ORDER BY position ROWS UNBOUNDED PRECEDING)
         ) e ON e.total <= $5 OR e.number = 1
         WHERE n.id = $1
         ORDER BY e.position",
    )
    .bind(request.network)
    .bind(number(request.after))
    .bind(number(request.through))
    .bind(MOST_EVENTS)
    .bind(MOST_BYTES)
    .fetch_all(read.connection())
    .await?;
    let first = rows.first().ok_or_else(|| Error::not_found("network"))?;
    let (epoch, trimmed) = (first.epoch.clone(), first.trimmed.cast_unsigned());
    let mut events = Vec::with_capacity(rows.len());
    for Row { position, name, recipients, payload, trace_parent, .. } in rows {
        if let (Some(position), Some(name), Some(recipients), Some(payload)) = (position, name, recipients, payload) {
            let position = position.cast_unsigned();
            events.push(LoggedEvent { position, recipients, body: body(name, payload)?, trace_parent });
        }
    }
    Ok(Range { epoch, trimmed, events })
}
