//! `meeting:updateMeeting`: rules M3, M4.

use shared::api::{
    Rgba,
    meeting::{MeetingData, OnMeetingUpdated, UpdateMeetingRequest},
};
use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    meeting::{
        lock, meeting_id, organizer_only,
        row::{Content, Row, Time},
    },
};

pub(crate) async fn handle(change: &mut Change, request: UpdateMeetingRequest) -> Result<MeetingData, Error> {
    let id = meeting_id(&request.meeting_id)?;
    let locked = lock(change, id).await?;
    organizer_only(change, id, &locked).await?;

    let old = locked.content;
    let new = changed(&old, request).checked()?;
    if new == old {
        let meeting = read(change, id).await?.into_meeting()?;
        return Ok(MeetingData { meeting });
    }
    let mut row = write(change, id, &new, new.time != old.time).await?;
    row.content = new;
    let recipients = row.participant_ids.clone();
    let data = MeetingData { meeting: row.into_meeting()? };
    change.emit(recipients, &OnMeetingUpdated(data.clone()))?;
    Ok(data)
}

/// What is missing in the request stays.
fn changed(old: &Content, request: UpdateMeetingRequest) -> Content {
    Content {
        subject: request.subject.unwrap_or_else(|| old.subject.clone()),
        description: request.description.unwrap_or_else(|| old.description.clone()),
        color: request.color.map_or(old.color, Into::into),
        time: Time {
            starts_at: request.start_date.instant().unwrap_or(old.time.starts_at),
            ends_at: request.end_date.instant().unwrap_or(old.time.ends_at),
        },
    }
}

async fn read(change: &mut Change, id: Uuid) -> Result<Row, Error> {
    let network = change.session().network.clone();
    Ok(sqlx::query_as("SELECT * FROM meeting_details WHERE network_id = $1 AND id = $2")
        .bind(network)
        .bind(id)
        .fetch_one(change.connection())
        .await?)
}

/// Returns the row as it was before: of what it shows, only the content changes.
async fn write(change: &mut Change, id: Uuid, new: &Content, is_moved: bool) -> Result<Row, Error> {
    let network = change.session().network.clone();
    let Rgba { r, g, b, a } = new.color.into();
    // The statement's own time, not the transaction's: it begins after the lock, so `updated_at` never falls.
    Ok(sqlx::query_as(
        "WITH changed AS (
             UPDATE meetings
             SET subject = $3, description = $4, color_r = $5, color_g = $6, color_b = $7, color_a = $8,
                 starts_at = $9, ends_at = $10, sequence = sequence + $11::boolean::integer,
                 updated_at = statement_timestamp()
             WHERE network_id = $1 AND id = $2
         ), moved AS (
             UPDATE meeting_participants
             SET starts_at = $9, ends_at = $10, status = CASE WHEN position = 0 THEN status ELSE 'received' END
             WHERE $11 AND network_id = $1 AND meeting_id = $2
         )
         SELECT * FROM meeting_details WHERE network_id = $1 AND id = $2",
    )
    .bind(network)
    .bind(id)
    .bind(&new.subject)
    .bind(&new.description)
    .bind(r)
    .bind(g)
    .bind(b)
    .bind(a)
    .bind(new.time.starts_at)
    .bind(new.time.ends_at)
    .bind(is_moved)
    .fetch_one(change.connection())
    .await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_unset_stays() {
        let time = Time::of_request(
            "2030-01-01T10:00:00Z".parse().expect("a timestamp"),
            "2030-01-01T11:00:00Z".parse().expect("a timestamp"),
        )
        .expect("set");
        let old = Content {
            subject: "Plans".to_owned(),
            description: "Long".to_owned(),
            color: Rgba { r: 1.0, g: 0.5, b: 0.0, a: 1.0 }.into(),
            time,
        };
        assert_eq!(changed(&old, UpdateMeetingRequest::default()), old);
        let request = UpdateMeetingRequest {
            description: Some(String::new()),
            color: Some(Rgba { g: 1.0, ..Rgba::default() }),
            end_date: "2030-01-01T12:00:00Z".parse().expect("a timestamp"),
            ..UpdateMeetingRequest::default()
        };
        let new = changed(&old, request);
        assert_eq!((new.subject, new.description), ("Plans".to_owned(), String::new()));
        assert_eq!(
            Rgba::from(new.color),
            Rgba { g: 1.0, ..Rgba::default() },
            "a colour that is given replaces the whole"
        );
        assert_eq!(new.time.starts_at, old.time.starts_at);
        assert_eq!(new.time.ends_at.to_rfc3339(), "2030-01-01T12:00:00+00:00");
    }
}
