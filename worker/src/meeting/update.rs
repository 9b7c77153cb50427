//! `meeting:update`: rules M10, M3, M4, V4.

use shared::api::meeting::deprecated::{RoomMeetingChange, RoomMeetingData, UpdateRequest};

use crate::{
    context::Change,
    error::Error,
    meeting::{
        Changeable, details::Reads, lock, meeting_id, organizer_only, place, row::Content, source::Source,
        update_meeting,
    },
};

pub(crate) async fn handle(change: &mut Change, request: UpdateRequest) -> Result<RoomMeetingData, Error> {
    let id = meeting_id(&request.meeting_id)?;
    let locked = lock(change, id).await?;
    let old_place = locked.old.source.place().ok_or_else(|| Error::not_found("meeting"))?;
    organizer_only(change, id, &locked).await?;

    let RoomMeetingChange { subject, room_id, prop_id, color } = request.meeting;
    let old = &locked.old.content;
    let content = Content {
        subject: subject.unwrap_or_else(|| old.subject.clone()),
        color: color.map_or(old.color, Into::into),
        ..old.clone()
    }
    .checked("data.meeting")?;
    let new = Changeable { source: moved(old_place, room_id, prop_id)?, content };
    // Who stays where he is needs no right to be there: an invalid meeting can be changed (M7).
    if new.source != locked.old.source {
        let session = change.session().clone();
        place::check(change.connection(), &session, &new.source).await?;
    }
    let details = update_meeting::update(change, id, &locked.old, &new, Reads::Deprecated).await?;
    Ok(RoomMeetingData { meeting: details.room_meeting()? })
}

/// The place after a change: what is missing stays, but a prop stays only in its room.
fn moved(
    (old_room, old_prop): (&str, Option<&str>),
    room: Option<String>,
    prop: Option<String>,
) -> Result<Source, Error> {
    let stays = room.as_deref().is_none_or(|room| room == old_room);
    let old_prop = old_prop.filter(|_| stays).unwrap_or_default();
    Source::in_room(room.unwrap_or_else(|| old_room.to_owned()), prop.unwrap_or_else(|| old_prop.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prop_stays_only_in_its_room() {
        let table = [
            ((None, None), "lobby", "table"),
            ((Some("lobby"), None), "lobby", "table"),
            ((Some("stage"), None), "stage", ""),
            ((Some("stage"), Some("screen")), "stage", "screen"),
            ((Some("stage"), Some("")), "stage", ""),
            ((Some("lobby"), Some("")), "lobby", ""),
            ((None, Some("")), "lobby", ""),
            ((None, Some("chair")), "lobby", "chair"),
        ];
        for ((room, prop), new_room, new_prop) in table {
            let own = |text: Option<&str>| text.map(str::to_owned);
            let source = moved(("lobby", Some("table")), own(room), own(prop)).expect("a place");
            let place = (new_room, Some(new_prop).filter(|prop| !prop.is_empty()));
            assert_eq!(source.place(), Some(place), "{room:?} {prop:?}");
        }
        assert!(moved(("lobby", None), Some(String::new()), None).is_err(), "no room at all");
    }
}
