//! What is pushed of a meeting: rule M11. Right after each event, and to the same users, comes the deprecated one, when
//! the meeting is one that the deprecated endpoints show. Where `deprecated-events` is off there is none, and nothing is
//! read for it.

use shared::api::{
    Code, MAX_EVENT_BYTES, Resource,
    meeting::{
        Meeting, MeetingData, MeetingDeleted, MeetingId, MeetingUpdated, OnMeetingCreated, OnMeetingDeleted,
        OnMeetingUpdated, deprecated::RoomMeetingData,
    },
};
use uuid::Uuid;

use crate::{
    context::Change,
    error::Error,
    meeting::{
        details::{Details, Reads},
        source::Source,
    },
};

/// Tells the participants of a new meeting. Its details are needed where a deprecated event shows it.
///
/// # Errors
/// 413 when the event is too large.
pub(crate) fn created(change: &mut Change, meeting: Meeting, details: Option<&Details>) -> Result<(), Error> {
    let recipients = meeting.participant_ids.clone();
    change.emit(recipients.clone(), &OnMeetingCreated(MeetingData { meeting }))?;
    details.map_or(Ok(()), |details| companion(change, &recipients, details))
}

/// Reads so much of a meeting as a change has left it, and tells those who take part.
///
/// # Errors
/// The database's; 413 when the event is too large.
pub(crate) async fn updated(change: &mut Change, id: Uuid, reads: Reads) -> Result<Details, Error> {
    let network = change.session().network.clone();
    let details = Details::of(change.connection(), &network, id, reads).await?;
    tell_updated(change, &details.row.participant_ids, &details)?;
    Ok(details)
}

/// Tells that a meeting was changed to what it is now.
///
/// # Errors
/// 413 when the event is too large.
pub(crate) fn tell_updated<C>(change: &mut Change<C>, recipients: &[String], details: &Details) -> Result<(), Error> {
    let event = OnMeetingUpdated(MeetingData { meeting: details.meeting() });
    change.emit_in(&details.row.network_id, recipients.to_vec(), &event)?;
    companion(change, recipients, details)
}

/// Tells that a meeting is gone.
///
/// # Errors
/// 413, in theory: these events are small.
pub(crate) fn deleted<C>(
    change: &mut Change<C>,
    network: &str,
    recipients: &[String],
    id: Uuid,
    source: &Source,
) -> Result<(), Error> {
    let gone = MeetingId { meeting_id: id.to_string() };
    change.emit_in(network, recipients.to_vec(), &OnMeetingDeleted(gone.clone()))?;
    if source.place().is_some() && Reads::of_events(change) == Reads::Deprecated {
        change.emit_in(network, recipients.to_vec(), &MeetingDeleted(gone))?;
    }
    Ok(())
}

/// The deprecated `meetingUpdated`. It holds pictures and names, which may be large, but no change of a meeting fails for
/// what a deprecated event would show of it: then the room's thumbnail is left empty in it, and when that is not enough
/// there is none.
fn companion<C>(change: &mut Change<C>, recipients: &[String], details: &Details) -> Result<(), Error> {
    if details.row.source.place().is_none() || Reads::of_events(change) == Reads::Current {
        return Ok(());
    }
    let network = &details.row.network_id;
    let mut emit = |event: &MeetingUpdated| unless_too_large(change.emit_in(network, recipients.to_vec(), event));
    if let Some(meeting) = unless_too_large(details.room_meeting())? {
        let mut event = MeetingUpdated(RoomMeetingData { meeting });
        if emit(&event)?.is_some() {
            return Ok(());
        }
        event.0.meeting.room.thumbnail = Resource::default();
        if emit(&event)?.is_some() {
            return Ok(());
        }
    }
    let limit = MAX_EVENT_BYTES;
    tracing::warn!(network, meeting = %details.row.id, limit, "a deprecated event is left out: it would be too large");
    Ok(())
}

/// `None` instead of 413.
fn unless_too_large<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(Error::Told(error)) if error.code == Code::TooLarge => Ok(None),
        other => other.map(Some),
    }
}
