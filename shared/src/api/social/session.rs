//! The types of sessions and of the invitations to them (rules S4 to S11).

use serde::{Deserialize, Serialize};

use crate::api::{LocalTimestamp, Rgba, Timestamp, UserSimple};

/// Names a session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct SessionId {
    /// The session.
    pub session_id: String,
}

/// Request of [`CreateSession`](super::CreateSession). Limits: rule S4.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct CreateSessionRequest {
    /// The session.
    pub session: SessionInput,
    /// Whom to invite.
    pub users_to_invite: Vec<Invitation>,
}

/// Request of [`UpdateSession`](super::UpdateSession). What is missing stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct UpdateSessionRequest {
    /// Names the session, and what is new about it.
    pub session: SessionInput,
}

/// A session as clients send it. The server's own fields are read and have no effect, but `id`, which names the session
/// to change, and `eventId`, which may not be another one in a change (rule S4).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct SessionInput {
    /// The session to change.
    pub id: String,
    /// The server's.
    pub created: Timestamp,
    /// The server's.
    pub updated: Timestamp,
    /// The event; empty: the session stands in a room.
    pub event_id: Option<String>,
    /// The server's.
    pub owner_id: String,
    /// The room; empty: the event's.
    pub room_id: Option<String>,
    /// The prop in it; empty: the room itself.
    pub prop_id: Option<String>,
    /// 0 public, 1 private, 2 open slot (rule S5).
    pub session_type: Option<i64>,
    /// 1 to 255 characters.
    pub title: Option<String>,
    /// At most 10,000 characters.
    pub description: Option<String>,
    /// Its first instant, of a recurring one that of its first occurrence. Unset in a change: stays. Where the owner has no
    /// zone, the written one is that of the series (rule S9).
    pub start_date: LocalTimestamp,
    /// Seconds, 1 to 31 days.
    pub duration: Option<i64>,
    /// Every week (rule S9).
    pub is_recurring: Option<bool>,
    /// The colour in calendars.
    pub color: Option<Rgba>,
    /// The server's.
    pub is_valid: bool,
}

/// Whom to invite, in any mix (rule S10).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct Invitation {
    /// A user.
    pub user_id: String,
    /// A Facebook account: `appId:userId`.
    pub facebook: String,
    /// E-mail addresses.
    pub emails: Vec<String>,
    /// Phone numbers.
    pub phones: Vec<String>,
    /// 0 attendee, 1 presenter, 2 panelist.
    pub role: i64,
}

/// Request of [`GetPropSessions`](super::GetPropSessions).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct GetPropSessionsRequest {
    /// The room.
    pub room_id: String,
    /// The prop in it.
    pub prop_id: String,
}

/// Request of [`InviteUsersToSession`](super::InviteUsersToSession).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct InviteUsersToSessionRequest {
    /// The session.
    pub session_id: String,
    /// Whom to invite.
    pub users_to_invite: Vec<Invitation>,
}

/// Request of [`DeleteUserSessionInvitations`](super::DeleteUserSessionInvitations).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct DeleteUserSessionInvitationsRequest {
    /// The session.
    pub session_id: String,
    /// Users, or addresses of outsiders, whose invitation is taken back.
    pub users_to_invite: Vec<String>,
}

/// Request of [`JoinSession`](super::JoinSession).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct JoinSessionRequest {
    /// The session.
    pub session_id: String,
    /// The token of an invitation's link, which is claimed by this (rule S10). Not of the documents.
    pub invitation: String,
}

/// Answer of whatever concerns one session, and the data of [`SessionUpdated`](super::SessionUpdated).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionData {
    /// The session.
    pub session: SocialSession,
}

/// Answer of [`GetSessions`](super::GetSessions) and [`GetPropSessions`](super::GetPropSessions): by start, then id.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Sessions {
    /// Those that the caller may see.
    pub sessions: Vec<SocialSession>,
}

/// A social session.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SocialSession {
    /// UUIDv7.
    pub id: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// The event; empty: the session stands in a room.
    pub event_id: String,
    /// The user who created it.
    pub owner_id: String,
    /// The room.
    pub room_id: String,
    /// The prop; empty: the room itself.
    pub prop_id: String,
    /// 0 public, 1 private, 2 open slot.
    pub session_type: i64,
    /// What it is about.
    pub title: String,
    /// More of that.
    pub description: String,
    /// Its first instant.
    pub start_date: Timestamp,
    /// Seconds.
    pub duration: i64,
    /// Every week.
    pub is_recurring: bool,
    /// The colour in calendars.
    pub color: Rgba,
    /// False while the room or the prop is deleted.
    pub is_valid: bool,
    /// The user who created it.
    pub owner: UserSimple,
    /// Users only, no outsiders.
    pub invited_users: Vec<InvitedUser>,
    /// At most 500 (rule S11).
    pub joined_users: Vec<UserSimple>,
}

/// An invited user and what for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InvitedUser {
    /// The user.
    pub user: UserSimple,
    /// 0 attendee, 1 presenter, 2 panelist.
    pub role: i64,
}
