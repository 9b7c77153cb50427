//! `internal.events.page`: what one user has missed.

use shared::internal::{Page, PlacedEvent, ReadPage};

use super::{MOST_BYTES, body, number};
use crate::{
    context::{Gateway, Read},
    error::Error,
};

/// A page has at most so many events.
const MOST_EVENTS: i64 = 200;

#[derive(sqlx::FromRow)]
struct Row {
    epoch: String,
    head: i64,
    trimmed: i64,
    position: Option<i64>,
    name: Option<String>,
    payload: Option<String>,
    trace_parent: Option<String>,
    found: Option<i64>,
}

/// Reads the user's events after a position: as many as fit, one at least when there is any.
///
/// # Errors
/// 404 for an unknown network, and the database's.
pub(crate) async fn handle(read: &mut Read<Gateway>, request: ReadPage) -> Result<Page, Error> {
    // One more than a page has is looked for, to know whether it holds everything.
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT n.epoch, l.head, l.trimmed, e.position, e.name, e.payload, e.trace_parent, e.found
         FROM networks n
         CROSS JOIN LATERAL (
             SELECT coalesce(max(position), 0) AS head, coalesce(min(position) - 1, 0) AS trimmed
             FROM event_log
             -- What was removed stays in the index for a while, and would be read before the oldest one is found.
             WHERE network_id = n.id
                 AND position > coalesce((SELECT through FROM event_trims WHERE network_id = n.id), 0)
         ) l
         LEFT JOIN LATERAL (
             SELECT *, sum(octet_length(payload)) OVER place AS total, row_number() OVER place AS number,
                    count(*) OVER () AS found
             FROM (
                 SELECT position
                 FROM event_recipients
                 WHERE network_id = n.id AND user_id = $2 AND position > greatest($3, l.trimmed)
                 ORDER BY position
                 LIMIT $4 + 1
             ) r
             JOIN LATERAL (
                 SELECT name, payload, trace_parent FROM event_log WHERE network_id = n.id AND position = r.position
             ) logged ON true
             WINDOW place AS (ORDER BY position ROWS UNBOUNDED PRECEDING)
         ) e ON e.number <= $4 AND (e.total <= $5 OR e.number = 1)
         WHERE n.id = $1
         ORDER BY e.position",
    )
    .bind(request.network)
    .bind(request.user)
    .bind(number(request.after))
    .bind(MOST_EVENTS)
    .bind(MOST_BYTES)
    .fetch_all(read.connection())
    .await?;
    let first = rows.first().ok_or_else(|| Error::not_found("network"))?;
    let (epoch, head, trimmed) = (first.epoch.clone(), first.head.cast_unsigned(), first.trimmed.cast_unsigned());
    let found = first.found.unwrap_or(0).cast_unsigned();
    let mut events = Vec::with_capacity(rows.len());
    for Row { position, name, payload, trace_parent, .. } in rows {
        if let (Some(position), Some(name), Some(payload)) = (position, name, payload) {
            let position = position.cast_unsigned();
            events.push(PlacedEvent { position, body: body(name, payload)?, trace_parent });
        }
    }
    let through = match events.last() {
        Some(last) if (events.len() as u64) < found => last.position,
        _ => head,
    };
    Ok(Page { epoch, trimmed, events, through, is_last: through == head })
}
