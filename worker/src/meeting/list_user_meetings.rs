//! `meeting:listUserMeetings`: rule M8.

use futures::TryStreamExt as _;
use shared::api::meeting::{ListUserMeetingsRequest, ParticipantStatus, SourceType, UserMeeting, UserMeetings};
use sqlx::FromRow;

use crate::{
    context::Read,
    error::Error,
    meeting::{
        limits::{MAX_DURATION, MAX_LISTED},
        listing::Listing,
        row::{Row, Time},
        source::Filter,
    },
};

pub(crate) async fn handle(read: &mut Read, request: ListUserMeetingsRequest) -> Result<UserMeetings, Error> {
    let session = read.session().clone();
    let range = Time::range_of_request(request.start_date, request.end_date)?;
    let Some(filter) = Filter::of_request(&request.source_type, request.source_ids, &session.network)? else {
        return Ok(UserMeetings { meetings: Vec::new() });
    };

    // Nothing that overlaps the range began earlier than the longest meeting before it: so one stretch of the index.
    let mut rows = sqlx::query_as::<_, ListedRow>(
        "SELECT p.status, d.*
         FROM meeting_participants p JOIN meeting_details d ON d.network_id = p.network_id AND d.id = p.meeting_id
         WHERE p.network_id = $1 AND p.user_id = $2
             AND p.starts_at > $3 AND p.starts_at < $5 AND p.ends_at > $4
             AND CASE $6
                 WHEN 'room' THEN d.source_type IN ('room', 'prop')
                     AND (cardinality($7::text[]) = 0 OR d.room_id = ANY ($7))
                 WHEN 'prop' THEN d.source_type = 'prop'
                     AND (cardinality($7) = 0
                          OR (d.room_id, d.prop_id) IN (SELECT * FROM unnest($7, $8::text[]) AS pair (room_id, prop_id)))
                 WHEN 'group' THEN d.source_type = 'group'
                     AND (cardinality($7) = 0 OR d.group_id = ANY ($7))
                 WHEN 'direct' THEN d.source_type = 'direct'
                     AND (cardinality($7) = 0 OR d.direct_user_id = ANY ($7)
                          OR (d.organizer_id = ANY ($7) AND d.organizer_id <> $2))
                 ELSE true
             END
         ORDER BY p.starts_at, p.meeting_id
         LIMIT $9",
    )
    .bind(session.network)
    .bind(&session.user)
    .bind(range.starts_at - MAX_DURATION)
    .bind(range.starts_at)
    .bind(range.ends_at)
    .bind(filter.source_type.map_or("network", SourceType::as_str))
    .bind(filter.ids)
    .bind(filter.props)
    .bind(MAX_LISTED as i64 + 1)
    .fetch(read.connection());

    let mut meetings = Listing::new();
    while let Some(ListedRow { status, row }) = rows.try_next().await? {
        let status = ParticipantStatus::parse(&status)
            .ok_or_else(|| Error::internal(format!("a participant's status is {status}")))?;
        meetings.push(UserMeeting { user_id: session.user.clone(), status, meeting: row.into_meeting() })?;
    }
    Ok(UserMeetings { meetings: meetings.into_meetings() })
}

#[derive(Debug, FromRow)]
struct ListedRow {
    status: String,
    #[sqlx(flatten)]
    row: Row,
}
