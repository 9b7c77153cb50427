//! `meeting:listUserMeetingsInDateRange`: rules M10, M8.

use futures::TryStreamExt as _;
use shared::api::meeting::{DateRange, deprecated::RoomMeetings};

use crate::{
    context::Read,
    error::Error,
    meeting::{
        details::Details,
        limits::{MAX_DURATION, MAX_LISTED},
        listing::Listing,
        row::Time,
    },
};

pub(crate) async fn handle(read: &mut Read, request: DateRange) -> Result<RoomMeetings, Error> {
    let session = read.session().clone();
    let range = Time::range_of_request(request.start_date, request.end_date)?;
    // Nothing that overlaps the range began earlier than the longest meeting before it: so one stretch of the index.
    let mut rows = sqlx::query_as::<_, Details>(concat!(
        include_str!("details.sql"),
        "JOIN meeting_participants own ON own.network_id = d.network_id AND own.meeting_id = d.id
         WHERE own.network_id = $1 AND own.user_id = $2
             AND own.starts_at > $3 AND own.starts_at < $5 AND own.ends_at > $4
             AND d.room_id IS NOT NULL
         ORDER BY own.starts_at, own.meeting_id
         LIMIT $6"
    ))
    .bind(session.network)
    .bind(session.user)
    .bind(range.starts_at - MAX_DURATION)
    .bind(range.starts_at)
    .bind(range.ends_at)
    .bind(MAX_LISTED as i64 + 1)
    .fetch(read.connection());

    let mut meetings = Listing::new();
    while let Some(details) = rows.try_next().await? {
        meetings.push(details.room_meeting()?)?;
    }
    Ok(RoomMeetings { meetings: meetings.into_meetings() })
}
