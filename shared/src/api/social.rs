//! Social events, their sessions and the invitations to them.
//!
//! Rules S1 to S11.

use serde::{Deserialize, Serialize};

use super::{CustomMap, NoData, Rgba, Timestamp, UserSimple};

crate::endpoints! { "social":
    /// Creates an event as a draft.
    Change CreateEvent = "createEvent" (CreateEventRequest) -> EventData;
    /// Changes an event.
    Change UpdateEvent = "updateEvent" (UpdateEventRequest) -> EventData;
    /// Shows an event to everyone whom it concerns.
    Change PublishEvent = "publishEvent" (EventId) -> EventData;
    /// Deletes an event and its sessions.
    Change DeleteEvent = "deleteEvent" (EventId) -> NoData;
    /// One event.
    Read GetEvent = "getEvent" (EventId) -> EventData;
    /// The events of a source.
    Read GetEvents = "getEvents" (GetEventsRequest) -> Events;

    /// Creates a session and invites to it.
    Change CreateSession = "createSession" (CreateSessionRequest) -> SessionData;
    /// Changes a session.
    Change UpdateSession = "updateSession" (UpdateSessionRequest) -> SessionData;
    /// Deletes a session.
    Change DeleteSession = "deleteSession" (SessionId) -> NoData;
    /// One session.
    Read GetSession = "getSession" (SessionId) -> SessionData;
    /// The sessions of an event.
    Read GetSessions = "getSessions" (EventId) -> Sessions;
    /// The two next sessions at a prop.
    Read GetPropSessions = "getPropSessions" (GetPropSessionsRequest) -> Sessions;

    /// Invites users and outsiders to a session.
    Change InviteUsersToSession = "inviteUsersToSession" (InviteUsersToSessionRequest) -> NoData;
    /// Takes invitations back.
    Change DeleteUserSessionInvitations = "deleteUserSessionInvitations" (DeleteUserSessionInvitationsRequest) -> NoData;
    /// The caller takes part.
    Change JoinSession = "joinSession" (JoinSessionRequest) -> NoData;
    /// The caller does not take part, or no longer.
    Change DeclineSessionJoin = "declineSessionJoin" (SessionId) -> NoData;
}

crate::events! { "social":
    /// A session came to be or changed, or who takes part in it.
    SessionUpdated = "sessionUpdated" (SessionData);
    /// A session is gone.
    SessionDeleted = "sessionDeleted" (SessionId);
}

/// Names an event.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct EventId {
    /// The event.
    pub event_id: String,
}

/// Names a session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct SessionId {
    /// The session.
    pub session_id: String,
}

/// Request of [`GetEvents`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct GetEventsRequest {
    /// `network:{networkId}` or `community:{networkId}:{communityId}`.
    pub source: String,
}

/// Request of [`CreateEvent`]. Limits: rule S2.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct CreateEventRequest {
    /// `network:{networkId}` or `community:{networkId}:{communityId}`.
    pub source: String,
    /// The event.
    pub event: NewEvent,
    /// Together with `customData` at most 64 KiB.
    pub form_schema: CustomMap,
}

/// An event to be.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct NewEvent {
    /// 1 to 255 characters.
    pub title: String,
    /// More of that.
    pub description: String,
    /// Its first instant.
    pub start_date: Timestamp,
    /// The first instant after it.
    pub end_date: Timestamp,
    /// Resource id of its picture.
    pub preview_resource_id: String,
    /// The room of sessions that name none.
    pub room_id: String,
    /// 0: none.
    pub participant_limit: i64,
    /// 0: free.
    pub price: f64,
    /// Place, address and the like.
    pub custom_data: CustomMap,
}

/// Request of [`UpdateEvent`]. What is missing stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct UpdateEventRequest {
    /// The event.
    pub event_id: String,
    /// What is new about it.
    pub event: EventChange,
    /// Replaces the whole.
    pub form_schema: Option<CustomMap>,
}

/// Changes of an event.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct EventChange {
    /// 1 to 255 characters.
    pub title: Option<String>,
    /// More of that.
    pub description: Option<String>,
    /// Unset: stays.
    pub start_date: Timestamp,
    /// Unset: stays.
    pub end_date: Timestamp,
    /// Resource id of its picture.
    pub preview_resource_id: Option<String>,
    /// The room of sessions that name none.
    pub room_id: Option<String>,
    /// 0: none. Lowering it removes nobody (rule S6).
    pub participant_limit: Option<i64>,
    /// 0: free.
    pub price: Option<f64>,
    /// Replaces the whole.
    pub custom_data: Option<CustomMap>,
}

/// Answer of whatever concerns one event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EventData {
    /// The event.
    pub event: SocialEvent,
}

/// Answer of [`GetEvents`]: by start, then id; at most 1000.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Events {
    /// Those that the caller may see.
    pub events: Vec<SocialEvent>,
}

/// A social event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SocialEvent {
    /// UUIDv7.
    pub id: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// As [`CreateEventRequest::source`].
    pub source_string: String,
    /// `network` or `community`.
    pub source_type: String,
    /// The network or community.
    pub source_pk: String,
    /// Its network.
    pub network_id: String,
    /// What it is about.
    pub title: String,
    /// More of that.
    pub description: String,
    /// Its first instant.
    pub start_date: Timestamp,
    /// The first instant after it.
    pub end_date: Timestamp,
    /// Resource id of its picture.
    pub preview_resource_id: String,
    /// The room of sessions that name none.
    pub room_id: String,
    /// 0: none.
    pub participant_limit: i64,
    /// 0: free.
    pub price: f64,
    /// Place, address and the like.
    pub custom_data: CustomMap,
    /// 0 draft, 1 published.
    pub status: i64,
    /// What is asked of who takes part.
    pub form_schema: CustomMap,
}

/// Request of [`CreateSession`]. Limits: rule S4.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct CreateSessionRequest {
    /// The session.
    pub session: SessionInput,
    /// Whom to invite.
    pub users_to_invite: Vec<Invitation>,
}

/// Request of [`UpdateSession`]. What is missing stays as it is.
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
    /// Its first instant, of a recurring one that of its first occurrence. Unset in a change: stays.
    pub start_date: Timestamp,
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

/// Request of [`GetPropSessions`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct GetPropSessionsRequest {
    /// The room.
    pub room_id: String,
    /// The prop in it.
    pub prop_id: String,
}

/// Request of [`InviteUsersToSession`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct InviteUsersToSessionRequest {
    /// The session.
    pub session_id: String,
    /// Whom to invite.
    pub users_to_invite: Vec<Invitation>,
}

/// Request of [`DeleteUserSessionInvitations`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct DeleteUserSessionInvitationsRequest {
    /// The session.
    pub session_id: String,
    /// Users, or addresses of outsiders, whose invitation is taken back.
    pub users_to_invite: Vec<String>,
}

/// Request of [`JoinSession`].
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, rename_all = "camelCase")]
pub struct JoinSessionRequest {
    /// The session.
    pub session_id: String,
    /// The token of an invitation's link, which is claimed by this (rule S10). Not of the documents.
    pub invitation: String,
}

/// Answer of whatever concerns one session, and the data of [`SessionUpdated`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionData {
    /// The session.
    pub session: SocialSession,
}

/// Answer of [`GetSessions`] and [`GetPropSessions`]: by start, then id.
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
