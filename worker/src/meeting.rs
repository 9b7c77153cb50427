//! The namespace `meeting`, and what its files share: which meeting is meant, its lock, and who may know of it.

mod answer;
mod details;
mod limits;
mod listing;
mod local_day;
mod people;
mod push;
mod time_slots;
mod user_availability;

pub(crate) mod leave;
pub(crate) mod place;
pub(crate) mod row;
pub(crate) mod source;

use shared::api::meeting::{
    AcceptMeetingRequest, CheckPropHasMeetingsOrSocialSessions, Create, CreateMeeting, DeclineMeetingRequest, Delete,
    DeleteMeeting, Get, GetMeeting, GetMeetingTimeSlotsForMonth, GetTimeSlotsForMeeting, GetUserAvailabilityForDay,
    GetUserAvailabilityForMonth, GetUserAvailabilityForWeek, GetUserAvailabilityPattern, ListUserMeetingCounts,
    ListUserMeetings, ListUserMeetingsInDateRange, SetUserAvailability, Update, UpdateMeeting,
};
use uuid::Uuid;

use crate::{context::Change, error::Error, object::object_id, router::handlers};

handlers! { "meeting":
    change CreateMeeting => create_meeting;
    change UpdateMeeting => update_meeting;
    change DeleteMeeting => delete_meeting;
    read GetMeeting => get_meeting;
    read ListUserMeetings => list_user_meetings;
    read ListUserMeetingCounts => list_user_meeting_counts;
    change AcceptMeetingRequest => accept_meeting_request;
    change DeclineMeetingRequest => decline_meeting_request;

    read GetTimeSlotsForMeeting => get_time_slots_for_meeting;
    read GetMeetingTimeSlotsForMonth => get_meeting_time_slots_for_month;
    change SetUserAvailability => set_user_availability;
    read GetUserAvailabilityPattern => get_user_availability_pattern;
    read GetUserAvailabilityForDay => get_user_availability_for_day;
    read GetUserAvailabilityForWeek => get_user_availability_for_week;
    read GetUserAvailabilityForMonth => get_user_availability_for_month;

    change Create => create;
    change Update => update;
    change Delete => delete;
    read Get => get;
    read CheckPropHasMeetingsOrSocialSessions => check_prop_has_meetings_or_social_sessions;
    read ListUserMeetingsInDateRange => list_user_meetings_in_date_range;
}

/// The meeting that a client names. One that cannot exist is told as one that does not.
///
/// # Errors
/// 404.
fn meeting_id(text: &str) -> Result<Uuid, Error> {
    object_id("meeting", text)
}

/// Locks the meeting until the commit and returns what is committed of it now.
///
/// A statement of its own: one that waits for a lock sees everything else as it was before it waited.
///
/// # Errors
/// 404 when there is none in the caller's network (V1).
async fn lock(change: &mut Change, id: Uuid) -> Result<Locked, Error> {
    let network = change.session().network.clone();
    sqlx::query_as(
        "SELECT organizer_id, source_type, room_id, prop_id, group_id, direct_user_id,
                subject, description, color_r, color_g, color_b, color_a, starts_at, ends_at
         FROM meetings WHERE network_id = $1 AND id = $2 FOR UPDATE",
    )
    .bind(network)
    .bind(id)
    .fetch_optional(change.connection())
    .await?
    .ok_or_else(|| Error::not_found("meeting"))
}

/// A meeting that nobody else can change before the commit.
#[derive(Debug, sqlx::FromRow)]
struct Locked {
    organizer_id: String,
    #[sqlx(flatten)]
    old: Changeable,
}

/// What one endpoint or another can change of a meeting.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
struct Changeable {
    /// The deprecated endpoints only.
    #[sqlx(flatten)]
    source: source::Source,
    #[sqlx(flatten)]
    content: row::Content,
}

/// Lets the organizer pass (M4).
///
/// # Errors
/// 403 for others who see the meeting, 404 for those who do not (M6, V2).
async fn organizer_only(change: &mut Change, id: Uuid, locked: &Locked) -> Result<(), Error> {
    let session = change.session().clone();
    if locked.organizer_id == session.user {
        return Ok(());
    }
    let sees: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM meeting_participants WHERE network_id = $1 AND meeting_id = $2 AND user_id = $3)
             OR EXISTS (SELECT FROM members WHERE network_id = $1 AND user_id = $3 AND is_manager)",
    )
    .bind(session.network)
    .bind(id)
    .bind(session.user)
    .fetch_one(change.connection())
    .await?;
    Err(if sees { Error::forbidden("only the organizer may do this") } else { Error::not_found("meeting") })
}
