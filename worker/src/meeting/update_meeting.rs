//! `meeting:updateMeeting`: rules M3, M4.

use shared::api::{
    Rgba,
    meeting::{MeetingData, UpdateMeetingRequest},
};
use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    meeting::{
        Changeable,
        details::{Details, Reads},
        lock, meeting_id, organizer_only, push,
        row::{Content, Time},
    },
};

pub(crate) async fn handle(change: &mut Change, request: UpdateMeetingRequest) -> Result<MeetingData, Error> {
    let id = meeting_id(&request.meeting_id)?;
    let locked = lock(change, id).await?;
    organizer_only(change, id, &locked).await?;
    let new = Changeable { content: changed(&locked.old.content, request).checked("data")?, ..locked.old.clone() };
    let reads = Reads::of_events(change);
    let details = update(change, id, &locked.old, &new, reads).await?;
    Ok(MeetingData { meeting: details.meeting() })
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

/// Writes what is new of a locked meeting and tells of it, when anything is; returns so much of the meeting as it is then.
///
/// # Errors
/// The database's.
pub(crate) async fn update(
    change: &mut Change,
    id: Uuid,
    old: &Changeable,
    new: &Changeable,
    reads: Reads,
) -> Result<Details, Error> {
    if new == old {
        let network = change.session().network.clone();
        return Details::of(change.connection(), &network, id, reads).await;
    }
    write(change, id, new, new.content.time != old.content.time).await?;
    push::updated(change, id, reads).await
}

async fn write(change: &mut Change, id: Uuid, new: &Changeable, is_moved: bool) -> Result<(), Error> {
    let network = change.session().network.clone();
    let Changeable { source, content } = new;
    let [room, prop, ..] = source.columns();
    let Rgba { r, g, b, a } = content.color.into();
    // The statement's own time, not the transaction's: it begins after the lock, so `updated_at` never falls.
    sqlx::query(
        "WITH moved AS (
             UPDATE meeting_participants
             SET starts_at = $9, ends_at = $10, status = CASE WHEN position = 0 THEN status ELSE 'received' END
             WHERE $11 AND network_id = $1 AND meeting_id = $2
         )
         UPDATE meetings
         SET subject = $3, description = $4, color_r = $5, color_g = $6, color_b = $7, color_a = $8,
             starts_at = $9, ends_at = $10, sequence = sequence + $11::boolean::integer,
             source_type = $12, room_id = $13, prop_id = $14, updated_at = statement_timestamp()
         WHERE network_id = $1 AND id = $2",
    )
    .bind(network)
    .bind(id)
    .bind(&content.subject)
    .bind(&content.description)
    .bind(r)
    .bind(g)
    .bind(b)
    .bind(a)
    .bind(content.time.starts_at)
    .bind(content.time.ends_at)
    .bind(is_moved)
    .bind(source.source_type().as_str())
    .bind(room)
    .bind(prop)
    .execute(change.connection())
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_or_unset_stays() {
        let time = Time::of_request(
            "data",
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
