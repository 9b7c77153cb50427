//! Social events, their sessions and the invitations to them.
//!
//! Rules S1 to S11.

mod session;

use serde::{Deserialize, Serialize};

use super::{CustomMap, NoData, Timestamp};

pub use session::{
    CreateSessionRequest, DeleteUserSessionInvitationsRequest, GetPropSessionsRequest, Invitation,
    InviteUsersToSessionRequest, InvitedUser, JoinSessionRequest, SessionData, SessionId, SessionInput, Sessions,
    SocialSession, UpdateSessionRequest,
};

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

crate::needs! {
    CreateEventRequest: Text "event.title";
    UpdateEventRequest: Id "eventId", TextIfGiven "event.title";
    EventId: Id "eventId";
    GetEventsRequest:;

    CreateSessionRequest: Text "session.title";
    UpdateSessionRequest: Id "session.id", TextIfGiven "session.title";
    SessionId: Id "sessionId";
    GetPropSessionsRequest: Id "roomId";

    InviteUsersToSessionRequest: Id "sessionId";
    DeleteUserSessionInvitationsRequest: Id "sessionId", Ids "usersToInvite";
    JoinSessionRequest: Id "sessionId";
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
