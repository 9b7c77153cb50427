//! `social:getEvents`: rule S1.

use futures::TryStreamExt as _;
use shared::api::social::{Events, GetEventsRequest, SocialEvent};

use crate::{
    context::{Read, json_bytes},
    error::Error,
    social::{
        event::{Row, event_columns},
        limits::{MAX_LIST_BYTES, MAX_LISTED},
        source::Source,
    },
};

pub(crate) async fn handle(read: &mut Read, request: GetEventsRequest) -> Result<Events, Error> {
    let session = read.session().clone();
    let source = Source::parse(&request.source)?;
    source.standing(&session, read.connection()).await?;
    // Those that ended longest ago come last, and are not read when the others fill the answer.
    let mut rows = sqlx::query_as::<_, Row>(concat!(
        "SELECT ",
        event_columns!(),
        "
         FROM social_events e
         JOIN social_event_rights r ON r.network_id = e.network_id AND r.event_id = e.id AND r.user_id = $2
         WHERE e.network_id = $1 AND e.community_id = $3 AND r.sees
         ORDER BY e.ends_at DESC, e.starts_at DESC, e.id DESC
         LIMIT $4",
    ))
    .bind(session.network)
    .bind(session.user)
    .bind(source.community())
    .bind(MAX_LISTED as i64)
    .fetch(read.connection());
    let mut events: Vec<SocialEvent> = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.try_next().await? {
        let event = row.into_event()?;
        bytes += json_bytes(&event)? + 1;
        if bytes > MAX_LIST_BYTES {
            break;
        }
        events.push(event);
    }
    events.sort_by(|a, b| (a.start_date, &a.id).cmp(&(b.start_date, &b.id)));
    Ok(Events { events })
}
