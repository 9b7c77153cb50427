//! `social:getPropSessions`: rule S9.

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use shared::api::social::{GetPropSessionsRequest, Sessions};
use sqlx::FromRow;

use crate::{
    context::Read,
    error::Error,
    social::{place::check_place, reading, session::Row},
};

/// So many are told.
const NEXT: usize = 2;

/// A session that may be one of the next.
#[derive(Debug, FromRow)]
struct Candidate {
    manages: bool,
    until: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    #[sqlx(flatten)]
    row: Row,
}

pub(crate) async fn handle(read: &mut Read, request: GetPropSessionsRequest) -> Result<Sessions, Error> {
    let session = read.session().clone();
    let zones = read.context().zones.clone();
    let mut snapshot = read.snapshot().await?;
    check_place(&mut snapshot, &session, &request.room_id, &request.prop_id).await?;
    let mut candidates = sqlx::query_as::<_, Candidate>(include_str!("get_prop_sessions.sql"))
        .bind(&session.network)
        .bind(&session.user)
        .bind(&request.room_id)
        .bind(&request.prop_id)
        .bind(NEXT as i64)
        .fetch(&mut *snapshot);
    let mut next: Vec<(Row, bool)> = Vec::new();
    while let Some(Candidate { manages, until, now, mut row }) = candidates.try_next().await? {
        let Some(occurrence) = row.content.time.series(&zones, until).next(now) else { continue };
        row.content.time.starts_at = occurrence.start;
        next.push((row, manages));
        next.sort_by_key(|(row, _)| (row.content.time.starts_at, row.id));
        next.truncate(NEXT);
    }
    drop(candidates);
    let sessions = reading::read_many(&mut snapshot, &session, next).await?;
    snapshot.rollback().await?;
    Ok(Sessions { sessions })
}
