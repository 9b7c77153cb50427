//! `social:getSessions`: rules S1, S4, S5.

use shared::api::social::{EventId, Sessions};
use sqlx::FromRow;

use crate::{
    context::Read,
    error::Error,
    object::object_id,
    social::{event, limits::MAX_LISTED, reading, session::Row},
};

#[derive(Debug, FromRow)]
struct Listed {
    manages: bool,
    #[sqlx(flatten)]
    row: Row,
}

pub(crate) async fn handle(read: &mut Read, request: EventId) -> Result<Sessions, Error> {
    let id = object_id("event", &request.event_id)?;
    let session = read.session().clone();
    let zones = read.context().zones.clone();
    let mut snapshot = read.snapshot().await?;
    let event = event::look(&mut snapshot, &session.network, &session.user, id).await?;
    // Those that ended longest ago come last, and are left out when the others fill the answer.
    let listed: Vec<Listed> = sqlx::query_as(
        "SELECT d.*, $4 OR d.owner_id = $2 AS manages
         FROM social_session_details d
         WHERE d.network_id = $1 AND d.event_id = $3
             AND ($4 OR d.session_type <> 1
                  OR EXISTS (SELECT FROM social_participants p
                             WHERE p.network_id = $1 AND p.session_id = d.id AND p.user_id = $2))
         ORDER BY coalesce(d.ends_at, 'infinity') DESC, d.starts_at DESC, d.id DESC
         LIMIT $5",
    )
    .bind(&session.network)
    .bind(&session.user)
    .bind(id)
    .bind(event.manages)
    .bind(MAX_LISTED as i64)
    .fetch_all(&mut *snapshot)
    .await?;
    let rows = listed.into_iter().map(|Listed { manages, row }| (row.shown(&zones), manages)).collect();
    let mut sessions = reading::read_many(&mut snapshot, &session, rows).await?;
    snapshot.rollback().await?;
    sessions.sort_by(|a, b| (a.start_date, &a.id).cmp(&(b.start_date, &b.id)));
    Ok(Sessions { sessions })
}
