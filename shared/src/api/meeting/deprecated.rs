//! The types of the deprecated endpoints: views of the same meetings, of source room or prop (rule M10).

use serde::{Deserialize, Serialize};

use super::ParticipantStatus;
use crate::api::{Resource, Rgba, Timestamp, UserSimple};

/// Request of [`Create`](super::Create).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct CreateRequest {
    /// The meeting.
    pub meeting: NewRoomMeeting,
}

/// A meeting to be.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct NewRoomMeeting {
    /// Its first instant.
    pub start_date: Timestamp,
    /// The first instant after it.
    pub end_date: Timestamp,
    /// What it is about.
    pub subject: String,
    /// The room.
    pub room_id: String,
    /// The prop in it; empty: the room itself.
    pub prop_id: String,
    /// The colour in calendars.
    pub color: Rgba,
    /// Whom to invite.
    pub invited_user_ids: Vec<String>,
}

/// Request of [`Update`](super::Update). What is missing stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct UpdateRequest {
    /// The meeting.
    pub meeting_id: String,
    /// What is new about it.
    pub meeting: RoomMeetingChange,
}

/// Changes of a meeting.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct RoomMeetingChange {
    /// What it is about.
    pub subject: Option<String>,
    /// The room. A new one without a prop leaves the prop empty.
    pub room_id: Option<String>,
    /// The prop.
    pub prop_id: Option<String>,
    /// The colour in calendars.
    pub color: Option<Rgba>,
}

/// Request of [`CheckPropHasMeetingsOrSocialSessions`](super::CheckPropHasMeetingsOrSocialSessions).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct CheckPropRequest {
    /// The room.
    pub room_id: String,
    /// The prop in it.
    pub prop_id: String,
}

/// Answer of [`CheckPropHasMeetingsOrSocialSessions`](super::CheckPropHasMeetingsOrSocialSessions).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HasMeetingsOrSocialSessions {
    /// Whether there is one that has not ended.
    pub has_meetings_or_social_sessions: bool,
}

/// Answer of whatever concerns one meeting, and the data of [`MeetingUpdated`](super::MeetingUpdated).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RoomMeetingData {
    /// The meeting.
    pub meeting: RoomMeeting,
}

/// Answer of [`ListUserMeetingsInDateRange`](super::ListUserMeetingsInDateRange).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RoomMeetings {
    /// By start, then id.
    pub meetings: Vec<RoomMeeting>,
}

/// A meeting in a room or at a prop.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RoomMeeting {
    /// UUIDv7.
    pub id: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// Its first instant.
    pub start_date: Timestamp,
    /// The first instant after it.
    pub end_date: Timestamp,
    /// What it is about.
    pub subject: String,
    /// The room.
    pub room_id: String,
    /// The prop; empty: the room itself.
    pub prop_id: String,
    /// The colour in calendars.
    pub color: Rgba,
    /// False while the room or the prop is deleted.
    pub is_valid: bool,
    /// The room, as it last was when it is deleted.
    pub room: MeetingRoom,
    /// The prop, as it last was when it is deleted; empty fields when there is none.
    pub prop: MeetingProp,
    /// The user who created it.
    pub organizer: UserSimple,
    /// Everyone who takes part but the organizer, in the order invited.
    pub invited_users: Vec<InvitedUser>,
}

/// What a meeting shows of its room.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MeetingRoom {
    /// The room.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its picture.
    pub thumbnail: Resource,
}

/// What a meeting shows of its prop.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MeetingProp {
    /// The prop.
    pub id: String,
    /// Its title.
    pub title: String,
}

/// An invited user and his answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InvitedUser {
    /// The user.
    pub user: UserSimple,
    /// His answer.
    pub status: ParticipantStatus,
}
